"""Bodies of `/api/v1` about accounts, signing in, tokens, sessions, access keys and partners."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.bodies import PREFIX, Body, Instant, Request

RoleName = Literal["operator", "engineer", "reviewer", "enterprise_admin", "enterprise_user", "partner", "regulator"]
ScopeName = Literal["read", "write", "templates", "statistics", "manage", "review"]
UserName = Annotated[str, Field(max_length=50, examples=["wang.li"])]
Password = Annotated[str, Field(max_length=128, examples=["correct horse battery"])]
ORGANISATION = Annotated[str, Field(max_length=18, description="Unified social credit code.",
                                    examples=["91321302MA1PUMP02Y"])]  # fmt: skip


class SignIn(Request):
    """A user name with its password, or an access key with its secret."""

    user_name: Annotated[str, Field(max_length=255, examples=["wang.li"])]
    password: Annotated[str, Field(max_length=255, examples=["correct horse battery"])]
    code: Annotated[str, Field(max_length=16, description="Of the second factor, if there is one.")] = ""


class TokenBody(Body):
    """To be sent as `Authorization: Bearer <token>`; signing in again ends no other token."""

    token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIuLi4ifQ.c2lnbmF0dXJl"])]
    expires: datetime


class MeBody(Body):
    """Who the caller is, and what he may do."""

    kind: Annotated[str, Field(examples=["enterprise"])]
    actor: Annotated[str, Field(examples=["account:wang.li"])]
    user_name: str | None
    access_key: str | None
    roles: list[RoleName]
    scopes: list[ScopeName]
    enterprise_id: int | None
    prefixes: Annotated[list[str], Field(examples=[["88.101.5"]])]
    organisation: str | None
    partner_of: Annotated[list[str], Field(description="Prefixes whose owners named the caller's organisation.")]
    division_code: str | None
    unit_id: int | None


class SessionBody(Body):
    """`how`: password, hashed or console. `seen`: to the minute."""

    session_id: UUID
    how: str
    address: Annotated[str, Field(examples=["192.0.2.7"])]
    user_agent: str
    created: datetime
    seen: datetime
    expires: datetime
    current: bool


class SessionPage(Body):
    sessions: list[SessionBody]


class EndedBody(Body):
    session_id: UUID
    ended: datetime


class NewAccountBody(Request):
    """`enterprise_id` for the roles of an enterprise, `organisation` for a partner, `area` for a regulator.

    Without `password` one is made and answered this once.
    """

    user_name: UserName
    roles: Annotated[list[RoleName], Field(min_length=1, max_length=7, examples=[["enterprise_user"]])]
    password: Password | None = None
    enterprise_id: Annotated[int, Field(ge=1, lt=2**31, examples=[17])] | None = None
    organisation: Annotated[str, Field(max_length=18)] = ""
    area: Annotated[str, Field(max_length=255)] = ""
    email: Annotated[str, Field(max_length=255)] = ""
    mobile: Annotated[str, Field(max_length=50)] = ""
    may_sign_in_hashed: bool = False


class NewPassword(Request):
    """Without `password` one is made and answered this once. For oneself, `old_password` is needed."""

    password: Password | None = None
    old_password: Annotated[str, Field(max_length=255)] = ""
    code: Annotated[str, Field(max_length=16, description="Of the second factor, if there is one.")] = ""


class AccountBody(Body):
    account_id: int
    user_name: UserName
    roles: list[RoleName]
    enterprise_id: int | None
    enterprise: str | None
    organisation: str | None
    division_code: str | None
    unit_id: int | None
    hashed_sign_in: bool
    second_factor: bool
    created: datetime
    disabled: datetime | None
    password: Annotated[str | None, Field(description="Only if it was made now.")] = None


class AccountPage(Body):
    accounts: list[AccountBody]


class NewInvitationBody(Request):
    """Who is invited chooses name and password alone; the rest is as for an account."""

    roles: Annotated[list[RoleName], Field(min_length=1, max_length=7, examples=[["enterprise_user"]])]
    enterprise_id: Annotated[int, Field(ge=1, lt=2**31, examples=[17])] | None = None
    organisation: Annotated[str, Field(max_length=18)] = ""
    area: Annotated[str, Field(max_length=255)] = ""
    remark: Annotated[str, Field(max_length=200, description="For whom it is.", examples=["Wang Li"])] = ""


class InvitationBody(Body):
    invitation_id: Annotated[int, Field(examples=[5])]
    roles: list[RoleName]
    enterprise_id: int | None
    enterprise: str | None
    organisation: str | None
    area: str | None
    remark: str
    created: datetime
    created_by: Annotated[str, Field(examples=["account:admin"])]
    expires: datetime
    revoked: datetime | None
    link: Annotated[
        str | None,
        Field(
            description="Only in the answer that made it; null in a dry run.",
            examples=["https://console.example.com/console/invitation?token=4u4Z…"],
        ),
    ] = None


class InvitationPage(Body):
    invitations: list[InvitationBody]


class NewKey(Request):
    """For an enterprise, a partner organisation, or the operator if neither is named and the caller is the operator.

    Without scopes the key may do everything its owner may; without networks it works from anywhere.
    """

    enterprise_id: Annotated[int, Field(ge=1, lt=2**31, examples=[17])] | None = None
    organisation: Annotated[str, Field(max_length=18, description="A partner's unified social credit code.")] = ""
    note: Annotated[str, Field(max_length=1_000, examples=["MES, line 2"])] = ""
    scopes: Annotated[list[ScopeName], Field(max_length=6, examples=[["read", "write"]])] = Field(default_factory=list)
    networks: Annotated[
        list[Annotated[str, Field(max_length=64)]], Field(max_length=50, examples=[["192.0.2.0/24"]])
    ] = Field(default_factory=list)
    expires: Annotated[Instant, Field(strict=False, examples=["2027-01-01T00:00:00+08:00"])] | None = None


class NewKeyBody(Body):
    """The secret is shown this once: only its hash is kept."""

    access_key: Annotated[str | None, Field(examples=["ak_0a1b2c3d4e5f6a7b8c9d"])]
    secret_key: Annotated[str | None, Field(description="Null in a dry run.")]
    enterprise_id: int | None


class KeyBody(Body):
    access_key: Annotated[str, Field(examples=["ak_0a1b2c3d4e5f6a7b8c9d"])]
    enterprise_id: int | None
    enterprise: str
    organisation: str | None
    note: str
    scopes: Annotated[list[ScopeName] | None, Field(description="Null: all its owner has.")]
    networks: list[str]
    created: datetime
    expires: datetime | None
    revoked: datetime | None


class KeyPage(Body):
    keys: list[KeyBody]
    next: Annotated[str | None, Field(examples=["ak_0a1b2c3d4e5f6a7b8c9d"])] = None


class NewPartner(Request):
    """An organisation; it need not be an enterprise of this node."""

    prefix: PREFIX
    organisation: ORGANISATION


class PartnerBody(Body):
    prefix: PREFIX
    organisation: ORGANISATION
    name: Annotated[str | None, Field(description="Of the enterprise of this node that has the code.")]
    created: datetime
    revoked: datetime | None


class PartnerPage(Body):
    partners: list[PartnerBody]
