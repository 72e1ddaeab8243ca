"""Plans on `/api/v1/plans`: mounted into the registry by whoever starts it.

The operator loads them and enters what the node does not measure; his people see all, a regulator those of its area.
"""

import asyncio
from datetime import date
from typing import Annotated, Any, Literal

from asyncpg import Connection
from fastapi import Depends, Query, Response

from node.annex import FORMATS, Annex, make_annex, name_annex
from node.closing import find_status
from node.plan_files import make_lines
from node.plan_progress import PlanView, Progress, covers, list_firms, read_plan
from node.plan_views import format_entry, format_plan, format_progress, format_refusal, format_view
from node.plans import Figure, enter_figure, get_plan, load_plan
from node.statistics import EVERYTHING, Limits
from node.statistics_api import check_parameters, find_limits
from node.store.plans import Plan, fetch_plans, fetch_targets
from registry.api.calls import Answer, Call, PathText, Reading, Writing
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.days import get_day
from schemas.errors import Forbidden, NotFound
from schemas.identifiers import shorten
from schemas.plan_bodies import EnteredFigure, LoadedPlan, NewFigure, NewPlan, PlanBody, PlanFirms, PlanList

router = LateRouter(prefix="/api/v1/plans", tags=["plans"], dependencies=[Depends(check_parameters)])

AsOf = Annotated[date | None, Query(description="As it stood at the end of that day; today if left out.")]
Area = Annotated[str, Query(description="As the plan names it.", examples=["陈集镇"])]
Indicator = Annotated[str, Query(examples=["enterprises_newly_connected"])]


def find_plan_limits(principal: Principal) -> Limits:
    """Whose targets somebody sees; raises Forbidden."""
    if principal.kind == "enterprise":
        raise Forbidden("plans_not_for_enterprises")
    return find_limits(principal)


async def read_status(conn: Connection, view: PlanView) -> dict[str, Any]:
    """Whether the figures are sealed: those of the last day that any of them is of."""
    last = max((row.day for row in view.rows), default=view.as_of)
    return await find_status(conn, (None, last))


async def read_view(conn: Connection, call: Call, name: str, as_of: date | None) -> tuple[PlanView, dict[str, Any]]:
    """A plan as the caller may see it, with its status, in one snapshot."""
    limits, today = find_plan_limits(call.get_principal()), get_day(call.state.now())
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        view = await read_plan(conn, await get_plan(conn, name), as_of or today, today, limits)
        if not view.rows and limits != EVERYTHING:
            raise NotFound("plan_not_found", field="name", name=shorten(name, 40))
        return view, await read_status(conn, view)


async def list_seen_plans(conn: Connection, limits: Limits) -> list[tuple[Plan, int]]:
    """With the number of targets somebody sees; a plan in which his area has none is not there for him."""
    plans = [(plan, await fetch_targets(conn, plan.plan_id)) for plan in await fetch_plans(conn)]
    seen = [(plan, sum(covers(limits, one) for one in targets)) for plan, targets in plans]
    return [(plan, number) for plan, number in seen if number or limits == EVERYTHING]


def find_row(view: PlanView, area: str, indicator: str, deadline: date | None) -> Progress:
    """The target of an area; raises NotFound."""
    for row in view.rows:
        one = row.target
        if (one.area, one.indicator) == (area, indicator) and deadline in (None, one.deadline):
            return row
    raise NotFound("plan_target_not_found", field="area", name=view.plan.name, area=area[:40], indicator=indicator[:60])


@router.get("", response_model=PlanList, summary="List plans")
async def list_plans(call: Reading) -> Response:
    """In the order in which they were loaded first; `targets`: how many of them the caller sees."""
    limits = find_plan_limits(call.get_principal())
    async with call.connect() as conn:
        shown = [format_plan(plan, seen) for plan, seen in await list_seen_plans(conn, limits)]
    return call.reply({"plans": shown})


@router.post("", status_code=201, response_model=LoadedPlan, summary="Load a plan")
async def post_plan(call: Writing, body: NewPlan) -> Response:
    """All targets or none: 200 if nothing changed, or if a row was refused; `refused` says why."""
    call.get_principal().check_operator()
    rows = [
        {name: "" if value is None else str(value) for name, value in target.model_dump().items()}
        for target in body.targets
    ]

    async def effect(conn: Connection) -> Answer:
        loaded = await load_plan(
            conn, call.order(), body.name, make_lines(rows), replace=body.replace, add_units_in=body.add_units_in
        )
        refused = [format_refusal(one, call.language) for one in loaded.refused]
        content = {"name": loaded.name, "targets": len(loaded.targets), "written": loaded.written, "refused": refused}
        return Answer(content, 201 if loaded.written else 200)

    return await call.write(effect)


@router.get("/{name}", response_model=PlanBody, summary="Targets against actual figures")
async def show_plan(call: Reading, name: PathText, as_of: AsOf = None) -> Response:
    """A target whose deadline has passed is ended and shows the figure of that day; others have a forecast."""
    async with call.connect() as conn:
        view, status = await read_view(conn, call, name, as_of)
    return call.reply(format_view(view, status, call.language))


@router.get("/{name}/firms", response_model=PlanFirms, summary="The firms behind a figure")
async def show_firms(
    call: Reading, name: PathText, area: Area, indicator: Indicator, as_of: AsOf = None, deadline: date | None = None
) -> Response:
    """Of a target the node measures; the largest figure first."""
    async with call.connect() as conn:
        view, _ = await read_view(conn, call, name, as_of)
        row = find_row(view, area, indicator, deadline)
        firms = await list_firms(conn, row)
    return call.reply({"target": format_progress(row, call.language), "firms": firms})


@router.get(
    "/{name}/annex",
    response_class=Response,
    summary="The sheet of the annex as a file",
    responses={200: {"description": "CSV, XLSX or PDF", "content": {
        "text/csv": {"example": "单位,新接入企业数 [家] 目标 ≥,新接入企业数 [家] 实际\r\n陈集镇,3,3\r\n"},
        "application/pdf": {"example": "(file)"},
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {"example": "(file)"}}}},
)  # fmt: skip
async def export_annex(
    call: Reading,
    name: PathText,
    as_of: AsOf = None,
    file_format: Annotated[Literal["csv", "xlsx", "pdf"], Query(alias="format")] = "csv",
) -> Response:
    """Its units in its order with totals; it names day, status, seal, definitions and checks of sums."""
    async with call.connect() as conn:
        view, status = await read_view(conn, call, name, as_of)
    return await answer_annex(Annex(view, call.state.now(), status), file_format, call.language)


async def answer_annex(annex: Annex, file_format: str, language: str) -> Response:
    """The file, to be saved."""
    content = await asyncio.to_thread(make_annex, annex, file_format, language)
    headers = {"Content-Disposition": f'attachment; filename="{name_annex(annex.view, file_format)}"',
               "Cache-Control": "no-store"}  # fmt: skip
    return Response(content, 200, headers, FORMATS[file_format])


@router.post("/{name}/entries", status_code=201, response_model=EnteredFigure, summary="Enter a figure by hand")
async def post_entry(call: Writing, name: PathText, body: NewFigure) -> Response:
    """Of an indicator the node does not measure; author and time are kept, and so is what was entered before."""
    call.get_principal().check_operator()

    async def effect(conn: Connection) -> Answer:
        figure = Figure(body.area, body.indicator, body.value, body.day, body.note)
        entry = await enter_figure(conn, call.order(), name, figure)
        return Answer(format_entry(entry, body.area), 201)

    return await call.write(effect)
