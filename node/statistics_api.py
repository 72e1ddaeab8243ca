"""Statistics on `/api/v1/statistics`: mounted into the registry by whoever starts it.

For the operator's people all figures, for an enterprise its own, for a regulator those of its area. An access key with
the scope `statistics` reads them and nothing else: that is what city and provincial platforms get.
"""

import asyncio
from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response
from fastapi.dependencies.models import Dependant

from node.closing import find_status
from node.definitions import define_counters
from node.statistics import Limits, stats, totals
from node.statistics_files import FORMATS, make_file, name_file
from node.statistics_tables import Question, read_export, read_table
from node.store.closing import fetch_closes, fetch_latest_rows, fetch_rows
from registry.api.calls import Call, Reading
from registry.api.problems import InvalidBody
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.bodies import Instant
from schemas.days import get_day
from schemas.enterprise_bodies import StatisticsRow
from schemas.errors import Forbidden, NotFound
from schemas.identifiers import shorten
from schemas.industries import check_industry_path
from schemas.statistics_bodies import ClosedDay, ClosedDayList, DefinitionBody, StatisticsTable, Totals


def _list_parameters(dependant: Dependant) -> set[str]:
    """Of a route and of all it depends on."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_list_parameters, dependant.dependencies))


def check_parameters(request: Request) -> None:
    """Raise InvalidBody for parameters the route has not: a filter misspelt would give all figures."""
    known = _list_parameters(request.scope["route"].dependant)
    unknown = [name for name in dict.fromkeys(request.query_params.keys()) if name not in known]
    if unknown:
        details = {"known": ", ".join(sorted(known))}
        raise InvalidBody([("parameter_unknown", shorten(name, 60), details) for name in unknown])


router = LateRouter(prefix="/api/v1/statistics", tags=["statistics"], dependencies=[Depends(check_parameters)])

By = Literal["enterprise", "unit", "area", "industry", "tag", "template", "stage", "day"]
From = Annotated[date | None, Query(alias="from", description="First day; since the beginning if left out.")]
To = Annotated[date | None, Query(alias="to", description="Last day; today if left out.")]
Level = Annotated[
    int | None,
    Query(ge=0, le=99, description="Of `industry` 1 to 4, section to class; of `area` 1 to 3, province to county."),
]
Division = Annotated[str, Query(description="Only this division and what lies below it.", examples=["321302"])]
Industry = Annotated[str, Query(description="Only this industry and what lies below it.", examples=["C/34"])]
Unit = Annotated[int | None, Query(description="Only this unit.")]


def find_limits(principal: Principal, division: str = "", unit_id: int | None = None, industry: str = "") -> Limits:
    """What somebody may see of the figures, and of that what is asked for; raises Forbidden, NotFound, InvalidInput."""
    if industry:
        check_industry_path(industry)
    return replace(_find_limits(principal, division, unit_id), industry=industry)


def _find_limits(principal: Principal, division: str, unit_id: int | None) -> Limits:
    if principal.kind == "partner":
        raise Forbidden("statistics_not_for_partners")
    if principal.kind == "enterprise":
        return Limits(enterprise_id=principal.enterprise_id, division_code=division, unit_id=unit_id)
    if principal.kind != "regulator":
        return Limits(division_code=division, unit_id=unit_id)
    if not principal.division_code:
        raise Forbidden("statistics_without_area")
    head = principal.division_code
    while head.endswith("00"):
        head = head[:-2]
    if (division and not division.startswith(head)) or (unit_id or principal.unit_id) != (principal.unit_id or unit_id):
        raise NotFound("division_not_yours", field="division")
    return Limits(division_code=division or principal.division_code, unit_id=principal.unit_id or unit_id)


def make_question(
    call: Reading,
    by: Annotated[By, Query(description="What a row stands for.")] = "enterprise",
    first: From = None,
    last: To = None,
    level: Level = None,
    industry_level: Annotated[int | None, Query(ge=0, le=99, description="As `level`, of industries.")] = None,
    division: Division = "",
    unit_id: Unit = None,
    industry: Industry = "",
) -> Question:
    limits = find_limits(call.get_principal(), division, unit_id, industry)
    wanted = industry_level if by == "industry" and level is None else level
    return Question(by, first, last or get_day(call.state.now()), limits, wanted)


Asked = Annotated[Question, Depends(make_question)]


def _say_status(status: dict[str, Any]) -> dict[str, str]:
    """Headers that tell whether figures are sealed."""
    seals = ", ".join(f"{seal['node_prefix']}={seal['seal']}" for seal in status["seals"])
    return {"Statistics-Status": status["status"]} | ({"Statistics-Seal": seals} if seals else {})


@router.get("", response_model=list[StatisticsRow], summary="Registrations and resolutions of a period")
async def get_statistics(call: Reading, asked: Asked) -> Response:
    """Days are those at UTC+8, the running day included. The header Statistics-Status says if they are sealed."""
    period = (asked.first, asked.last)
    async with call.connect() as conn:
        rows = await stats(conn, asked.by, period, asked.limits, asked.level)
        return call.reply(rows, _say_status(await find_status(conn, period)))


@router.get("/table", response_model=StatisticsTable, summary="The same as a table that explains itself")
async def get_table(call: Reading, asked: Asked) -> Response:
    """With period, time, seal, definitions, sums, and whether these sum to the figures of the whole."""
    async with call.connect() as conn:
        table = await read_table(conn, asked, call.state.now())
    return call.reply(table.format(call.language), _say_status(table.status))


@router.get(
    "/export",
    response_class=Response,
    summary="The same as a file",
    responses={200: {"description": "CSV, XLSX, PDF or JSON", "content": {
        "text/csv": {"example": "行政区划代码,行政区划,解析量 [Q1]\r\n321302,江苏省宿迁市宿城区,5210\r\n"},
        "application/json": {"example": {"by": "area", "rows": []}},
        "application/pdf": {"example": "(file)"},
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {"example": "(file)"}}}},
)  # fmt: skip
async def export_table(
    call: Reading,
    asked: Asked,
    file_format: Annotated[Literal["csv", "xlsx", "pdf", "json"], Query(alias="format")] = "csv",
) -> Response:
    """CSV (UTF-8 with a byte order mark), XLSX, PDF or JSON, each with definitions, period, time, seal and check."""
    async with call.connect() as conn:
        table, days = await read_export(conn, asked, call.state.now(), file_format)
    content = await asyncio.to_thread(make_file, table, file_format, call.language, days)
    disposition = f'attachment; filename="{name_file(table, file_format)}"'
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store", **_say_status(table.status)}
    return Response(content, 200, headers, FORMATS[file_format])


@router.get("/totals", response_model=Totals, summary="The sums of a period")
async def get_totals(
    call: Reading,
    first: From = None,
    last: To = None,
    division: Division = "",
    unit_id: Unit = None,
    industry: Industry = "",
) -> Response:
    """With states as they are at its end."""
    limits = find_limits(call.get_principal(), division, unit_id, industry)
    period = (first, last or get_day(call.state.now()))
    async with call.connect() as conn:
        summed = await totals(conn, period, limits)
        status = await find_status(conn, period)
    return call.reply(summed | {"status": status["status"]}, _say_status(status))


@router.get("/definitions", response_model=list[DefinitionBody], summary="What each counter counts")
async def get_definitions(call: Reading) -> Response:
    """In the caller's language."""
    call.get_principal()
    return call.reply(define_counters(call.language))


@router.get("/closes", response_model=ClosedDayList, summary="Closed days with their seals")
async def list_closes(call: Reading, first: From = None, last: To = None) -> Response:
    """Revision 1 is the sealed figure; later ones say why. For those who see all figures."""
    _check_sees_all(call)
    async with call.connect() as conn:
        closes = await fetch_closes(conn, None, first, last)
    return call.reply({"closes": [close.format() for close in closes]})


@router.get("/closes/{day}", response_model=ClosedDay, summary="What was stated of one day")
async def get_close(
    call: Reading,
    day: date,
    as_of: Annotated[
        Instant | None, Query(description="As it was known then (without an offset at UTC+8); now if left out.")
    ] = None,
) -> Response:
    """The last statement on every prefix, and the sealed one where it was another."""
    _check_sees_all(call)
    async with call.connect() as conn:
        closes = await fetch_closes(conn, None, day, day)
        if not closes:
            raise NotFound("day_not_closed", field="day", day=day)
        rows = []
        for node_prefix in dict.fromkeys(close.node_prefix for close in closes):
            sealed = {row.prefix_id: row for row in (await fetch_rows(conn, node_prefix, day, day)).get((day, 1), [])}
            for prefix_id, row in (await fetch_latest_rows(conn, node_prefix, day, as_of)).items():
                other = sealed.get(prefix_id)
                rows.append(row.format() | {"sealed": other.format() if other and other != row else None})
    return call.reply({"day": day.isoformat(), "closes": [close.format() for close in closes], "rows": rows})


def _check_sees_all(call: Call) -> None:
    if not call.get_principal().sees_all:
        raise Forbidden("operator_only")
