"""Bodies of `/api/v1/statistics`."""

from typing import Annotated, Any

from pydantic import BaseModel, Field


class Body(BaseModel):
    """What is answered; it may gain members."""


class DefinitionBody(Body):
    """`code` never changes its meaning; `adds_up`: sum over days, or end: as it is on the last one."""

    code: Annotated[str, Field(examples=["Q2"])]
    counter: Annotated[str, Field(examples=["resolutions_ok"])]
    name: str
    definition: str
    check: Annotated[str, Field(description="How the figure can be proven.")]
    source: str
    adds_up: str


class Seal(Body):
    node_prefix: Annotated[str, Field(examples=["88.101"])]
    day: Annotated[str, Field(examples=["2024-06-04"])]
    revision: int
    seal: Annotated[str, Field(description="sha256, hexadecimal.")]


class Revision(Body):
    node_prefix: str
    day: str
    revision: int
    reason: str
    closed_at: str


class ColumnBody(Body):
    column: Annotated[str, Field(examples=["resolutions"])]
    name: str
    definition: Annotated[str | None, Field(examples=["Q1"])]


class SumCheck(Body):
    """Whether the rows sum to the figures of the whole; null where enterprises stand in several rows."""

    holds: bool | None
    differing: list[str] | None


class StatisticsTable(Body):
    by: Annotated[str, Field(examples=["unit"])]
    level: int | None
    from_: Annotated[str | None, Field(alias="from", examples=["2024-01-01"])]
    to: Annotated[str, Field(examples=["2024-06-30"])]
    as_of: Annotated[str, Field(description="When the figures were read.", examples=["2024-07-01T00:10:00+00:00"])]
    limited_to: str
    status: Annotated[str, Field(examples=["sealed"])]
    sealed_until: str | None
    seals: list[Seal]
    revisions: list[Revision]
    late_days: list[str]
    columns: list[ColumnBody]
    rows: list[dict[str, Any]]
    sums: dict[str, int]
    sum_check: SumCheck
    definitions: list[DefinitionBody]


class Totals(Body):
    """The sums of a period; see /statistics/definitions."""

    from_: Annotated[str, Field(alias="from", examples=["2024-01-01"])]
    to: Annotated[str, Field(examples=["2024-06-30"])]
    status: Annotated[str, Field(examples=["provisional"])]
    registered_new: int
    range_minted: int
    registered_total: int
    registered_live: int
    retired_total: int
    resolutions: int
    resolutions_ok: int
    resolutions_uncounted: int
    resolutions_foreign: int
    resolutions_foreign_ok: int
    enterprises_connected: int
    enterprises_new: int
    enterprises_with_identifiers: int
    enterprises_active: int
    enterprises_suspended: int
    enterprises_departed: int


class Close(Body):
    """A statement on one day of a secondary prefix; revision 1 is the sealed figure."""

    node_prefix: str
    day: str
    status: str
    revision: int
    sequence: int
    closed_at: str
    reason: str
    rows: int
    figures: dict[str, int]
    gaps: list[dict[str, Any]]
    previous_seal: str
    seal: str


class ClosedDayList(Body):
    closes: list[Close]


class ClosedDay(Body):
    """`sealed` in a row: the sealed figure where a revision has another."""

    day: str
    closes: list[Close]
    rows: list[dict[str, Any]]
