"""Bodies of `/api/v1/certificates` and `/verify`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.statistics_bodies import Body

Number = Annotated[str, Field(examples=["JR2026-7K3M-9QXR-0BCD-E1FG"])]


class NewCertificate(BaseModel):
    """Whom it is for; an enterprise's own key may leave it out."""

    model_config = ConfigDict(extra="forbid")
    enterprise_id: Annotated[int | None, Field(ge=1, le=2**31 - 1, examples=[5])] = None


class Revocation(BaseModel):
    """Everybody who verifies the number is told the reason."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(max_length=1_000, examples=["issued for the wrong firm"])]


class CertificateFacts(Body):
    number: Number
    enterprise: str
    certificate_code: str
    prefixes: list[str]
    connected_on: Annotated[str, Field(examples=["2023-05-06"])]
    issued_at: Annotated[str, Field(examples=["2026-03-02T04:00:00+00:00"])]
    sha256: Annotated[str, Field(description="Of the file, byte for byte.")]
    signing_certificate_sha256: str
    revoked_at: str | None
    reason: str


class CertificateBody(CertificateFacts):
    enterprise_id: int
    issued_by: str
    revoked_by: str | None


class CertificateList(Body):
    certificates: list[CertificateBody]


class VerifiedCertificate(CertificateFacts):
    """`state` is that of now: valid, revoked, or the firm was suspended, departed, or lost a prefix since."""

    node: str
    state: Literal["valid", "revoked", "suspended", "departed", "prefix_changed"]
    since: str | None
