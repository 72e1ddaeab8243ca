"""Bodies of `/api/v1` about identifiers, ranges, templates and jobs: what a request may say, what an answer says.

Only their shape is checked here; what the texts mean is checked where it is decided, with the reason in two languages.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schemas.days import parse_instant

MAX_BATCH = 10_000
LONGEST = 4_096  # of any single text that has no narrower limit of its own

PREFIX = Annotated[str, Field(max_length=64, examples=["88.101.5"])]
VERSION = Annotated[str, Field(max_length=128, examples=["pump-1"])]
SUFFIX = Annotated[str, Field(max_length=LONGEST, examples=["PUMP-0000001"])]

IDENTIFIER = Annotated[str, Field(max_length=LONGEST, examples=["88.101.5/PUMP-0000001"])]
SUCCESSOR = Annotated[str, Field(max_length=LONGEST, examples=["88.101.5/PUMP-0000002"])]


def _read_instant(text: object) -> object:
    """ISO 8601 and nothing else: pydantic alone would take 20240604 for seconds since 1970. Raises ValueError."""
    return parse_instant(text) if isinstance(text, str) else text


# As it is given: without an offset it is at UTC+8.
Instant = Annotated[datetime, BeforeValidator(_read_instant)]
VALUES = Annotated[
    dict[str, str | None],
    Field(description="Type of the template's item → text.", examples=[{"model": "WQ15", "flow": "13.5"}]),
]
REASON = Annotated[str, Field(max_length=1_000, description="Stands in the history.", examples=["label misprinted"])]
State = Literal["live", "frozen", "retired"]

# What gives an identifier names it once: whole, or by its suffix.
ITEM_EXAMPLE: dict[str, Any] = {
    "identifier": "88.101.5/PUMP-0000001",
    "values": {"model": "WQ15", "flow": "13.5"},
}

TEMPLATE_EXAMPLE: dict[str, Any] = {
    "name": {"zh": "水泵", "en": "Pump"},
    "version": "pump-1",
    "industry": ["C", "34", "344", "3441"],
    "stage": "production",
    "items": [
        {"type": "model", "name": {"zh": "型号", "en": "Model"}, "required": True},
        {"type": "flow", "name": {"zh": "流量", "en": "Flow"}, "data": "number", "visibility": "partner"},
    ],
}


class Request(BaseModel):
    """What a caller sends: unknown members are refused, so that a misspelled one is not silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Body(BaseModel):
    """What we answer. `/api/v1` only grows: readers ignore members they do not know."""

    model_config = ConfigDict(extra="allow")


class NewIdentifier(Request):
    """`identifier`, or `prefix` and `suffix`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"template": "pump-1", **ITEM_EXAMPLE}]})

    template: VERSION
    values: VALUES = {}
    identifier: IDENTIFIER | None = None
    prefix: PREFIX | None = None
    suffix: SUFFIX | None = None


class BatchItem(Request):
    """`identifier` or `suffix`."""

    model_config = ConfigDict(json_schema_extra={"examples": [ITEM_EXAMPLE]})

    identifier: IDENTIFIER | None = None
    suffix: SUFFIX | None = None
    values: VALUES = {}


class Batch(Request):
    """Identifiers of one prefix and template; every item is answered by itself."""

    prefix: PREFIX
    template: VERSION
    items: Annotated[list[BatchItem], Field(max_length=MAX_BATCH)]


class ChangedValues(Request):
    """PATCH: the values named get new texts, null or an empty text removes one. PUT: these are all values.

    `template` moves the identifier to another version of its template.
    """

    values: VALUES
    template: VERSION | None = None
    reason: REASON = ""


class Retirement(Request):
    successor: SUCCESSOR | None = None
    reason: REASON = ""


class Reason(Request):
    reason: REASON = ""


class Freezing(Request):
    notice: Annotated[str, Field(max_length=LONGEST, examples=["召回：请停止使用并联系厂家 400-000-0000"])]
    reason: REASON = ""


class NewRange(Request):
    """All serials from `first` to `last` (suffixes) under one record."""

    prefix: PREFIX
    template: VERSION
    first: Annotated[str, Field(max_length=LONGEST, examples=["SN00000001"])]
    last: Annotated[str, Field(max_length=LONGEST, examples=["SN10000000"])]
    values: VALUES = {}
    checked: Annotated[bool, Field(description="A check character (ISO 7064 MOD 11-2) follows the digits.")] = False


class ValueBody(Body):
    """One value of a template's item; `changed` is when it last said something else."""

    index: Annotated[int, Field(examples=[2000])]
    type: Annotated[str, Field(examples=["model"])]
    name: Annotated[dict[str, str], Field(examples=[{"zh": "型号", "en": "Model"}])]
    data: Annotated[str, Field(examples=["WQ15"])]
    visibility: Literal["public", "partner", "private"]
    changed: datetime


class StateBody(Body):
    """What one revision of an identifier says to this caller."""

    state: State
    revision: Annotated[int, Field(examples=[1])]
    changed: datetime
    template: Annotated[str | None, Field(examples=["pump-1"])]
    values: list[ValueBody]
    notice: Annotated[str | None, Field(description="Only of a frozen identifier.")] = None
    successor: Annotated[str | None, Field(description="Only of a retired identifier.")] = None


class IdentifierBody(StateBody):
    """An identifier as this caller may see it; `range` is true where the record is that of a whole range."""

    identifier: IDENTIFIER
    prefix: PREFIX
    scan_url: Annotated[str, Field(examples=["http://node.example:8081/88.101.5/PUMP-0000001"])]
    created: datetime
    range: bool = False


class IdentifierPage(Body):
    """`next` goes into `after` for the following page; null on the last one."""

    identifiers: list[IdentifierBody]
    next: Annotated[str | None, Field(examples=["PUMP-0000100"])]


class RevisionBody(StateBody):
    """`until`, `ended_by`, `actor` and `reason` tell how it came to its end; they are null for the present state."""

    since: datetime
    until: datetime | None
    ended_by: Annotated[str | None, Field(examples=["changed"])]
    actor: Annotated[str | None, Field(examples=["key:ak_0a1b2c3d4e5f6a7b8c9d"])]
    reason: str | None


class HistoryBody(Body):
    """Newest first."""

    identifier: IDENTIFIER
    revisions: list[RevisionBody]
    next: Annotated[int | None, Field(description="Goes into `before` for the following page.")] = None


Outcome = Literal["registered", "updated", "unchanged", "differs", "refused"]


class BatchResult(Body):
    """`index` counts the items from 0; `code`, `field`, `detail` and `remedy` say why it was left or refused."""

    index: int
    outcome: Outcome
    identifier: str
    code: str | None = None
    field: str | None = None
    detail: str | None = None
    remedy: str | None = None


class Counts(Body):
    """`rows` is the sum of the others."""

    rows: int
    registered: int
    updated: int
    unchanged: int
    differs: int
    refused: int


class BatchBody(Counts):
    results: list[BatchResult]


class RangeBody(Body):
    prefix: PREFIX
    template: str | None
    first: Annotated[str, Field(examples=["SN00000001"])]
    last: Annotated[str, Field(examples=["SN10000000"])]
    checked: bool
    members: Annotated[int, Field(examples=[10_000_000])]
    created: datetime | None = None
    scan_url: Annotated[str, Field(description="Of the first member.")]


class RangePage(Body):
    ranges: list[RangeBody]
    next: Annotated[str | None, Field(examples=["8.0.1.SN"])] = None


class TemplateBody(Body):
    """The document as it was given, with its prefix and its own identifier."""

    prefix: PREFIX
    identifier: Annotated[str, Field(examples=["88.101.5/META_pump-1"])]
    name: dict[str, str]
    version: VERSION
    industry: list[str] | None
    stage: str
    enabled: bool
    items: list[dict[str, Any]]


class TemplatePage(Body):
    templates: list[TemplateBody]
    next: Annotated[str | None, Field(examples=["pump-1"])] = None


class DeletedBody(Body):
    deleted: Literal[True]


class JobError(Body):
    code: str
    field: str | None
    detail: str
    remedy: str


class JobBody(Body):
    """An import. `rows_total` is an estimate until the job is done."""

    job_id: Annotated[str, Field(examples=["3f1c0e9e-6d3b-4a55-9d55-6f1a0a7c5c11"])]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    file_name: Annotated[str, Field(examples=["products.csv"])]
    prefix: PREFIX
    template: str | None
    dry_run: bool
    rows_done: int
    rows_total: int | None
    counts: Counts
    summary: Annotated[dict[str, Any], Field(description="Sheet, header row, columns matched and columns left.")]
    error: JobError | None
    receipt: Annotated[
        str | None,
        Field(
            description="Null 30 days after the end: file and receipt are deleted then, the counts stay.",
            examples=["/api/v1/jobs/3f1c0e9e-6d3b-4a55-9d55-6f1a0a7c5c11/receipt"],
        ),
    ]
    created: datetime
    finished: datetime | None


class JobPage(Body):
    jobs: list[JobBody]
    next: Annotated[str | None, Field(description="Goes into `before` for the following page.")]


class HealthBody(Body):
    """`status` is `ok`, or `degraded` while the database is away or read-only, or answers could not be logged."""

    status: Literal["ok", "degraded"]
    version: str
    database: Literal["ok", "read_only", "unavailable"]
    jobs_open: int | None
    log_missing: Annotated[int, Field(description="Answers that could not be logged since the start of the process.")]


class ProblemItem(Body):
    field: str
    code: str
    detail: str
    remedy: str


class ProblemBody(Body):
    """RFC 9457. `code` is stable; `detail` and `remedy` are in the caller's language."""

    type: Annotated[str, Field(examples=["/docs#error-identifier_taken"])]
    title: Annotated[str, Field(examples=["Conflict"])]
    status: Annotated[int, Field(examples=[409])]
    detail: Annotated[str, Field(examples=["The identifier 88.101.5/PUMP-0000001 exists already."])]
    code: Annotated[str, Field(examples=["identifier_taken"])]
    field: Annotated[str | None, Field(examples=["identifier"])]
    remedy: Annotated[str, Field(examples=["Use another code; to change its content, update it."])]
    successor: Annotated[str | None, Field(description="Only of a retired identifier.")] = None
    errors: Annotated[list[ProblemItem] | None, Field(description="Only of a request with several mistakes.")] = None
