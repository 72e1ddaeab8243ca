"""Bodies of `/api/v1/plans`."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.statistics_bodies import Body, Seal


class Sent(BaseModel):
    """What is sent; unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class NewTarget(Sent):
    """`unit` is what is counted; without `period_start` the target is a state on the deadline."""

    area: Annotated[str, Field(max_length=200, examples=["陈集镇"])]
    indicator: Annotated[str, Field(max_length=100, examples=["enterprises_newly_connected"])]
    comparison: Annotated[str, Field(max_length=20, examples=[">="])] = ">="
    unit: Annotated[str, Field(max_length=100, examples=["enterprises"])] = ""
    period_start: Annotated[str | None, Field(max_length=40, examples=["2022-01-01"])] = None
    deadline: Annotated[str, Field(max_length=40, examples=["2024-12-31"])]
    target: Annotated[int, Field(examples=[3])]


class NewPlan(Sent):
    """`add_units_in`: areas nobody knows become units of this division; `replace`: other targets of that name go."""

    name: Annotated[str, Field(max_length=200, examples=["Sucheng 2024"])]
    targets: Annotated[list[NewTarget], Field(max_length=2_000)]
    replace: bool = False
    add_units_in: Annotated[str, Field(max_length=20, examples=["321302"])] = ""


class NewFigure(Sent):
    """A figure the node does not measure; `day` is today, or the deadline if that has passed."""

    area: Annotated[str, Field(max_length=200, examples=["陈集镇"])]
    indicator: Annotated[str, Field(max_length=100, examples=["benchmark_sites"])]
    value: Annotated[int, Field(ge=0, le=10**15, examples=[2])]
    day: Annotated[date | None, Field(examples=["2024-06-30"])] = None
    note: Annotated[str, Field(max_length=500)] = ""


class RefusedRow(Body):
    row: int
    field: Annotated[str, Field(examples=["target"])]
    code: Annotated[str, Field(examples=["plan_number"])]
    reason: str
    remedy: str


class LoadedPlan(Body):
    """With a refused row nothing was written; neither was anything if the targets are what they were."""

    name: str
    targets: int
    written: bool
    refused: list[RefusedRow]


class PlanListed(Body):
    name: Annotated[str, Field(examples=["Sucheng 2024"])]
    loaded: Annotated[str, Field(examples=["2024-01-05T02:00:00+00:00"])]
    actor: str
    targets: int


class PlanList(Body):
    plans: list[PlanListed]


class ForecastBody(Body):
    """What the figure will be at the deadline if it goes on as in the last 90 or 30 days."""

    value: int
    will_meet: bool
    method: Annotated[str, Field(examples=["linear_90"])]
    description: str


class EntryBody(Body):
    day: Annotated[str, Field(examples=["2024-06-30"])]
    value: int
    author: Annotated[str, Field(examples=["account:li"])]
    at: str
    note: str


class EnteredFigure(EntryBody):
    area: str
    indicator: str


class TargetBody(Body):
    """`actual` null: nobody knows. `actual_on`: the deadline once that has passed."""

    area: str
    division_code: str
    unit_id: int | None
    indicator: str
    name: str
    definition: Annotated[str | None, Field(examples=["E2"])]
    comparison: Annotated[str, Field(examples=[">="])]
    unit: str
    period_start: str | None
    deadline: str
    target: int
    actual: int | None
    actual_on: str
    source: Literal["measured", "entered", "summed", "none"]
    state: Literal["not_begun", "running", "ended"]
    met: bool | None
    forecast: ForecastBody | None
    entry: EntryBody | None


class PlanTotal(Body):
    """One indicator and period: the units' sums beside the division's own; `in_no_unit` is what lies between."""

    indicator: str
    name: str
    period_start: str | None
    deadline: str
    units: int
    units_target: int | None
    units_actual: int | None
    in_no_unit: int | None
    division: str | None
    division_target: int | None
    division_actual: int | None


class PlanBody(Body):
    name: str
    loaded: str
    actor: str
    as_of: str
    status: Annotated[str, Field(examples=["provisional"])]
    sealed_until: str | None
    seals: list[Seal]
    targets: list[TargetBody]
    totals: list[PlanTotal]


class PlanFirm(Body):
    enterprise_id: int | None
    enterprise: str | None
    certificate_code: str | None
    unit_id: int | None
    connected_on: str | None
    figure: int


class PlanFirms(Body):
    """Their figures sum to `actual`."""

    target: TargetBody
    firms: list[PlanFirm]
