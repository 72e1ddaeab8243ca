"""Bodies of `/api/v1` about whole ranges, batches, streams, questions in bulk, sandboxes and exports."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from schemas.bodies import (
    IDENTIFIER,
    LONGEST,
    MAX_BATCH,
    PREFIX,
    REASON,
    SUCCESSOR,
    SUFFIX,
    VALUES,
    VERSION,
    Body,
    IdentifierBody,
    RangeBody,
    Request,
    State,
    StateBody,
)

NOTICE_EXAMPLE = "召回：请停止使用并联系厂家 400-000-0000"
NOTICE = Annotated[str, Field(max_length=LONGEST, examples=[NOTICE_EXAMPLE])]
Action = Literal["update", "retire", "restore", "freeze", "unfreeze"]
STREAM_TYPE = "application/x-ndjson"


class RangeStateBody(StateBody, RangeBody):
    """A range as it stands. `own_records` of its members have records of their own, which the range does not touch."""

    state: State
    own_records: Annotated[int, Field(examples=[3])]
    template: Annotated[str | None, Field(examples=["pump-1"])]


class RangeRevisionBody(StateBody):
    """`members` were meant by what ended it; null for the present state, as are the others."""

    since: datetime
    until: datetime | None
    ended_by: Annotated[str | None, Field(examples=["frozen"])]
    members: Annotated[int | None, Field(examples=[10_000_000])]
    actor: Annotated[str | None, Field(examples=["key:ak_0a1b2c3d4e5f6a7b8c9d"])]
    reason: str | None


class RangeHistoryBody(Body):
    """Newest first."""

    first: IDENTIFIER
    revisions: list[RangeRevisionBody]


class WriteItem(Request):
    """`identifier` or `suffix`, and what the action needs: `values` for update, `successor` for retire, `notice`."""

    identifier: IDENTIFIER | None = None
    suffix: SUFFIX | None = None
    values: Annotated[VALUES, Field(default_factory=dict)]
    successor: SUCCESSOR | None = None
    notice: NOTICE | None = None


class WriteBatch(Request):
    """Up to 10,000 identifiers of one prefix; `notice` and `successor` hold for items that have none of their own."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{
            "prefix": "88.101.5", "items": [{"identifier": "88.101.5/PUMP-0000001"}], "notice": NOTICE_EXAMPLE,
            "reason": "label misprinted",
        }]}
    )  # fmt: skip

    prefix: PREFIX
    items: Annotated[list[WriteItem], Field(max_length=MAX_BATCH)]
    template: Annotated[VERSION | None, Field(description="Update: moves them to this template.")] = None
    replace: Annotated[bool, Field(description="Update: values that are not named are removed.")] = False
    successor: SUCCESSOR | None = None
    notice: NOTICE | None = None
    reason: REASON = ""


class Questions(Request):
    """Identifiers of any prefixes; `index` and `type` narrow every answer."""

    identifiers: Annotated[list[IDENTIFIER], Field(max_length=MAX_BATCH)]
    index: Annotated[list[int], Field(default_factory=list, max_length=100, examples=[[]])]
    type: Annotated[
        list[Annotated[str, Field(max_length=255)]], Field(default_factory=list, max_length=100, examples=[[]])
    ]


ResolveOutcome = Literal["found", "no_values", "not_found", "retired", "denied", "malformed"]


class ResolvedBody(Body):
    """`record` where there is something to see; else `code`, `detail`, `remedy`, and `successor` of a retired one."""

    index: int
    identifier: str
    outcome: ResolveOutcome
    record: IdentifierBody | None = None
    code: str | None = None
    detail: str | None = None
    remedy: str | None = None
    successor: str | None = None


class ResolveBody(Body):
    """In the order asked."""

    asked: int
    found: int
    results: list[ResolvedBody]


class SandboxBody(Body):
    """`emptied` is when it was last reset, `next_reset` when it will be."""

    prefix: Annotated[PREFIX, Field(examples=["88.101.SANDBOX5"])]
    enterprise_id: Annotated[int, Field(examples=[5])]
    enterprise: str
    state: Annotated[str, Field(examples=["enabled"])]
    created: datetime
    emptied: datetime | None
    next_reset: datetime


class NewSandbox(Request):
    """For the caller's own enterprise, or the one the operator names."""

    enterprise_id: Annotated[int | None, Field(ge=1, le=2**31 - 1, examples=[5])] = None


class SandboxPage(Body):
    sandboxes: list[SandboxBody]
    next: Annotated[int | None, Field(examples=[105])]
