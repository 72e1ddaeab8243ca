"""Bodies of `/api/v1` about enterprises, prefixes, units, tags and statistics.

A dossier is checked by `schemas.enterprises.parse_dossier`, which names every field it refuses.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.bodies import PREFIX, REASON, Body, Request

Id = Annotated[int, Field(examples=[17])]
Code = Annotated[str, Field(examples=["91321302MA1PUMP02Y"])]
AREA = Annotated[str, Field(max_length=255, description="A unit, or a division's name or code.", examples=["陈集镇"])]
INDUSTRY = Annotated[str, Field(max_length=64, examples=["C/34/344/3441"])]
EnterpriseStateName = Literal[
    "draft", "pending", "reviewing", "approved", "refused", "suspended", "closed", "change_pending"
]
PrefixStateName = Literal["stopped", "enabled", "to_be_deleted", "refused", "pending", "reviewing"]
Day = Annotated[date, Field(strict=False, examples=["2024-06-04"])]

DOSSIER_EXAMPLE: dict[str, Any] = {
    "name": "宿城水泵有限公司",
    "certificate_code": "91321302MA1PUMP02Y",
    "nature": 2,
    "province": "320000",
    "city": "321300",
    "county": "321302",
    "unit": "陈集镇",
    "address": "江苏省宿迁市宿城区发展大道 1 号",
    "industry": "C/34/344/3441",
    "prefix": "88.101.5",
}


class NewEnterprise(Request):
    """An enterprise the operator enters and, with `approve`, approves in one step; an access key comes with it."""

    name: Annotated[str, Field(max_length=255, examples=["宿城水泵有限公司"])]
    certificate_code: Annotated[str, Field(max_length=32, examples=["91321302MA1PUMP02Y"])]
    area: AREA
    industry: INDUSTRY
    prefix: Annotated[PREFIX | None, Field(description="The next free one if it is left out.")] = None
    approve: bool = False


class AddedEnterpriseBody(Body):
    """The secret is shown this once."""

    enterprise_id: Id
    prefix: PREFIX
    access_key: Annotated[str | None, Field(examples=["ak_0a1b2c3d4e5f6a7b8c9d"])]
    secret_key: Annotated[str | None, Field(description="Null in a dry run.")]


class Explained(Request):
    reason: REASON


class Verified(Request):
    """What the real-name check came to."""

    result: Literal["none", "pending", "pass", "fail", "unavailable"]
    reason: REASON = ""


class Move(Request):
    """To another unit, division or industry from `day` on; today if it is left out."""

    area: AREA = ""
    industry: Annotated[str, Field(max_length=64)] = ""
    day: Day | None = None
    reason: REASON = ""


class Tags(Request):
    """Kind → name; these and no others."""

    tags: Annotated[dict[str, str], Field(max_length=100, examples=[{"industrial_chain": "高端装备"}])]
    reason: REASON = ""


class TodoBody(Body):
    field: str
    missing: str
    remedy: str


class PrefixBody(Body):
    prefix: PREFIX
    state: PrefixStateName
    hosting: Literal["not_hosted", "applied", "refused", "hosted"]
    enterprise_id: Id
    enterprise: str
    owned_from: date | None
    enabled_on: date | None
    created: datetime


class EnterpriseBody(Body):
    """One enterprise without its personal part, with what is still missing in its dossier."""

    enterprise_id: Id
    name: str
    certificate_type: Annotated[int, Field(examples=[1])]
    certificate_code: Code
    state: EnterpriseStateName
    verification: str
    connected_on: date | None
    division_code: Annotated[str, Field(examples=["321302"])]
    division: Annotated[str, Field(examples=["江苏省宿迁市宿城区"])]
    unit: Annotated[str, Field(examples=["陈集镇"])]
    industry: Annotated[str, Field(examples=["C/34/344/3441"])]
    tags: dict[str, str]
    dossier: dict[str, Any]
    todo: list[TodoBody]
    prefixes: list[PrefixBody]
    placements: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    created: datetime
    changed: datetime
    revision: int


class ListedEnterpriseBody(Body):
    enterprise_id: Id
    name: str
    certificate_code: Code
    state: EnterpriseStateName
    connected_on: date | None
    division_code: str
    division: str
    unit: str
    industry: str
    prefixes: list[str]
    missing: Annotated[list[str], Field(examples=[["contact", "legal_person"]])]
    created: datetime


class EnterprisePage(Body):
    enterprises: list[ListedEnterpriseBody]
    next: Annotated[int | None, Field(description="Goes into `after` for the following page.", examples=[100])]


class PersonalBody(Body):
    """Contact and legal person."""

    contact: dict[str, Any] | None = None
    legal_person: dict[str, Any] | None = None


class FileRowBody(Body):
    row: int
    outcome: Literal["connected", "unchanged", "refused"]
    enterprise_id: int | None
    name: str
    certificate_code: str
    prefix: str
    code: str | None = None
    field: str | None = None
    reason: str | None = None
    remedy: str | None = None


class FileBody(Body):
    """`written` is false for a dry run, and if any row was refused: then nothing of the file was written."""

    rows: int
    connected: int
    unchanged: int
    refused: int
    written: bool
    results: list[FileRowBody]


class NewPrefix(Request):
    """`prefix` is the next free one if it is left out; `enterprise_id` is the caller's own if it is left out."""

    prefix: PREFIX | None = None
    enterprise_id: Annotated[int, Field(ge=1, lt=2**31, examples=[17])] | None = None


class OwnershipBody(Body):
    """`to` is the first day it was somebody else's, null for the present owner."""

    enterprise_id: Id
    enterprise: str
    from_: Annotated[date, Field(alias="from", examples=["2024-06-04"])]
    to: date | None


class PrefixDetailBody(PrefixBody):
    """With all who have owned it, oldest first; counters belong to the owner of the day."""

    owners: list[OwnershipBody]


class PrefixPage(Body):
    prefixes: list[PrefixBody]
    next: Annotated[int | None, Field(description="Goes into `after` for the following page.")]


class PrefixDecision(Request):
    """`approved` and `refused` are the reviewer's; `resubmitted` is the enterprise's."""

    decision: Literal[
        "approved", "refused", "resubmitted", "reviewing", "stopped", "resumed", "deletion", "deletion_withdrawn"
    ]
    reason: REASON = ""


class Hosting(Request):
    """Without an address the identifiers are kept here; with one, clients are referred to the enterprise's server."""

    address: Annotated[str, Field(max_length=255, examples=["203.0.113.7"])] = ""
    tcp_port: Annotated[int, Field(examples=[2641])] | None = None
    udp_port: Annotated[int, Field(examples=[2641])] | None = None
    http_port: Annotated[int, Field(examples=[8080])] | None = None


class Transfer(Request):
    """To another enterprise from `day` on; what was counted before stays with the old owner."""

    enterprise_id: Annotated[int, Field(ge=1, lt=2**31, examples=[18])]
    day: Day | None = None
    reason: REASON = ""


class NewUnit(Request):
    division: Annotated[str, Field(max_length=255, examples=["321302"])]
    name: Annotated[str, Field(max_length=255, examples=["陈集镇"])]


class UnitBody(Body):
    unit_id: int
    division_code: Annotated[str, Field(examples=["321302"])]
    division: str
    name: Annotated[str, Field(examples=["陈集镇"])]


class UnitPage(Body):
    units: list[UnitBody]
    next: Annotated[str | None, Field(examples=["12"])] = None


class TagBody(Body):
    kind: Annotated[str, Field(examples=["industrial_chain"])]
    name: Annotated[str, Field(examples=["高端装备"])]
    enterprises: int


class TagPage(Body):
    tags: list[TagBody]
    next: Annotated[str | None, Field(examples=["pilot_batch/2024"])] = None


class AttachmentBody(Body):
    """`bound_as`: the member of the dossier it serves, null while unused; unused ones are deleted after a day."""

    attachment_id: Annotated[int, Field(examples=[4711])]
    name: Annotated[str, Field(examples=["营业执照.jpg"])]
    kind: Literal["jpeg", "png", "bmp", "pdf"]
    bytes: Annotated[int, Field(examples=[183_204])]
    sha256: Annotated[str, Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])]
    enterprise_id: int | None
    bound_as: Annotated[str | None, Field(examples=["certificate_image_id"])]
    created: datetime


class AttachmentPage(Body):
    attachments: list[AttachmentBody]
    next: Annotated[int | None, Field(description="Goes into `after` for the following page.")]


class StatisticsRow(Body):
    """One group of a period. Which members name the group depends on `by`; counters are defined at `/definitions`."""

    registered_new: int
    registered_total: int
    registered_live: int
    resolutions: int
    resolutions_ok: int
    resolutions_uncounted: int
