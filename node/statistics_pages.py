"""Pages of figures: for the node's people all, for a regulator his area's, for an enterprise its own."""

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Response
from jinja2 import PackageLoader

from node.charts import draw_trend
from node.definitions import define_counters, name_column
from node.periods import list_periods
from node.statistics import AT_END, LEVELS, check_day
from node.statistics_api import find_limits
from node.statistics_files import FORMATS, describe_check, make_file, name_file, rank_rows, say_cell
from node.statistics_tables import Question, Table, read_export, read_table
from registry.console.frame import DASH
from registry.console.sections import Entry, Section
from registry.console.visits import Problem, Visit, Visiting
from registry.late_routes import LateRouter
from registry.principals import Principal
from registry.store.placements import fetch_units
from schemas.days import get_day
from schemas.errors import InvalidInput
from schemas.industries import format_division, format_industry
from schemas.texts.figure_pages import PAGES


def _sees_figures(principal: Principal) -> bool:
    return principal.kind != "partner"


router = LateRouter()
SECTION = Section(
    router, (Entry("/statistics", "figures", "group_figures", _sees_figures),), PackageLoader("node", "pages"), PAGES
)
Text = Annotated[str, Query(max_length=100)]
GROUPINGS = (
    "enterprise", "unit", "area_3", "area_2", "area_1", "industry_1", "industry_2", "industry_3", "industry_4", "tag",
    "template", "stage", "day",
)  # fmt: skip
OWN_GROUPINGS = ("enterprise", "template", "stage", "day")  # of one enterprise
CHARTED = ("resolutions", "resolutions_ok", "registered_new", "registered_total", "enterprises_connected")
TILES = ("enterprises_connected", "enterprises_new", "registered_new", "registered_total", "resolutions",
         "resolutions_ok")  # fmt: skip
# What names a row on the page; the files have numbers and codes besides.
NAMED = {
    "enterprise": ("enterprise", "prefix", "unit", "standing"), "unit": ("unit",), "area": ("area",),
    "industry": ("industry_name", "industry"), "tag": ("tag", "kind"), "template": ("version", "stage", "prefix"),
    "stage": ("stage",), "day": ("day",),
}  # fmt: skip
MAX_ROWS = 500
DEFAULT_DAYS = 30


def parse_day(text: str, field: str) -> date | None:
    """None for an empty one; raises InvalidInput."""
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput("day_malformed", field=field, text=text[:40]) from None
    return check_day(day, field)


def make_question(visit: Visit, asked: Mapping[str, str]) -> Question:
    """What the page's fields ask for; raises Forbidden, NotFound and InvalidInput."""
    principal = visit.get_principal()
    principal.check_scope("statistics")
    by, _, level = asked["by"].partition("_")
    unit = asked["unit"]
    if (level and not level.isdecimal()) or (unit and not (unit.isdecimal() and len(unit) < 10)):
        raise InvalidInput("statistics_grouping_unknown", field="by", by=asked["by"][:40], groupings="—")
    unit_id = int(unit) if unit else None
    limits = find_limits(principal, asked.get("division", ""), unit_id, asked.get("industry", ""))
    last = parse_day(asked["to"], "to") or get_day(visit.state.now())
    first = parse_day(asked["from"], "from") or last - timedelta(days=DEFAULT_DAYS - 1)
    return Question(by, first, last, limits, int(level) if level else None)


@router.get("/statistics")
async def show_figures(
    visit: Visiting,
    by: Text = "",
    first: Annotated[str, Query(alias="from", max_length=4_096)] = "",
    last: Annotated[str, Query(alias="to", max_length=4_096)] = "",
    unit: Text = "",
    measure: Text = "",
    division: Text = "",
    industry: Text = "",
) -> Response:
    principal = visit.get_principal()
    is_own = principal.kind == "enterprise"
    by = by or ("template" if is_own else "unit")
    asked = {"by": f"{by}_{LEVELS[by][-1]}" if by in LEVELS else by, "from": first, "to": last, "unit": unit}
    asked |= {"division": division, "industry": industry}
    problems: dict[str, Problem] = {}
    try:
        days, table = await _read_tables(visit, asked)
    except InvalidInput as error:  # what was asked for stands in the form, above the figures of every day
        problems = visit.explain(error)
        asked |= {"by": OWN_GROUPINGS[1] if is_own else GROUPINGS[1]} if error.field == "by" else {}
        days, table = await _read_tables(visit, asked | {"from": "", "to": ""})
    fields = {"from": first, "to": last} if problems else {}
    asked |= {"from": str(table.question.first), "to": str(table.question.last)}
    async with visit.connect() as conn:
        units = [] if is_own else await fetch_units(conn)
    now, charted = visit.state.now(), measure if measure in CHARTED else CHARTED[0]
    return visit.page(
        "statistics.html", status=400 if problems else 200, problems=problems, fields=asked | fields, asked=asked,
        query=urlencode(asked), measure=charted, table=table,
        groupings=OWN_GROUPINGS if is_own else GROUPINGS, measures=_name_all(CHARTED, visit),
        units=[one for one in units if _is_of(principal, one)], tiles=_list_tiles(days, visit, is_own=is_own),
        trend=draw_trend(days.rows, charted, at_end=charted in AT_END), charted=name_column(charted, visit.language),
        rank=rank_rows(table, charted, visit.language), heads=_list_heads(table, visit),
        rows=_list_rows(table, visit, asked),
        sums=[table.sums[name] for name in table.figure_columns], check=describe_check(table, visit.language),
        max_rows=MAX_ROWS,
        links_firms=principal.sees_all or principal.kind == "regulator",
        presets=[(f"fig_{name.replace('-', '_')}", _ask_again(asked, {"from": str(since), "to": str(until)}))
                 for name, (since, until) in list_periods(get_day(now)).items()],
        chosen=[(text, _ask_again(asked, {field: ""})) for field, text in _list_chosen(asked)],
    )  # fmt: skip


async def _read_tables(visit: Visit, asked: Mapping[str, str]) -> tuple[Table, Table]:
    """The period by day, and as it was asked for. Raises InvalidInput."""
    question, now = make_question(visit, asked), visit.state.now()
    days_question = Question("day", question.first, question.last, question.limits)
    async with visit.connect() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        days = await read_table(conn, days_question, now)
        return days, days if question.by == "day" else await read_table(conn, question, now)


def _ask_again(asked: Mapping[str, str], other: Mapping[str, str]) -> str:
    """The page's query with other fields; empty ones are left out."""
    return urlencode({name: text for name, text in {**asked, **other}.items() if text})


def _list_chosen(asked: Mapping[str, str]) -> list[tuple[str, str]]:
    """Limits that a number was followed to, and that the form has no field for: (field, name)."""
    division, industry = asked["division"], asked["industry"]
    named = [("division", format_division(division))] if division else []
    return [*named, *([("industry", f"{industry} {format_industry(industry)}")] if industry else [])]


def _is_of(principal: Principal, unit: Any) -> bool:
    """Whether a unit may be chosen: a regulator's lies in his area, unless that is one unit already."""
    if principal.kind != "regulator":
        return True
    head = principal.division_code.rstrip("0")
    return principal.unit_id is None and bool(unit.division_code.startswith(head))


def _name_all(names: tuple[str, ...], visit: Visit) -> list[tuple[str, str]]:
    return [(name, name_column(name, visit.language)) for name in names]


def _list_tiles(days: Table, visit: Visit, *, is_own: bool) -> list[tuple[str, int]]:
    """What stands above: the whole period's sums, and states at its end."""
    shown = [name for name in TILES if not (is_own and name.startswith("enterprises"))]
    return [(name_column(name, visit.language), days.sums[name]) for name in shown if name in days.sums]


def _list_heads(table: Table, visit: Visit) -> list[tuple[str, bool]]:
    """(heading, whether numbers stand below it)."""
    named, figures = NAMED[table.question.by], table.figure_columns
    return [(name_column(one, visit.language), one in figures) for one in (*named, *figures)]


def _list_rows(table: Table, visit: Visit, asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """name cells, numbers, the firm's number for its link, and the question that shows the firms behind a row."""
    by, figures = table.question.by, table.figure_columns
    named = NAMED[by]
    return [
        {
            "names": [say_cell(by, column, row[column], visit.language) or DASH for column in named],
            "numbers": [row[column] for column in figures],
            "enterprise_id": row.get("enterprise_id") if by == "enterprise" else None,
            "firms": _ask_again(asked, {"by": "enterprise", **group}) if (group := _name_group(by, row)) else "",
        }
        for row in table.rows[:MAX_ROWS]
    ]


def _name_group(by: str, row: Mapping[str, Any]) -> dict[str, str]:
    """What limits figures to the group of a row; nothing for other groups, and for what belongs to none."""
    field, column = {"unit": ("unit", "unit_id"), "area": ("division", "division_code"),
                     "industry": ("industry", "industry")}.get(by, ("", ""))  # fmt: skip
    return {field: str(row[column])} if field and row[column] is not None else {}


@router.get("/statistics/definitions")
async def show_definitions(visit: Visiting) -> Response:
    find_limits(visit.get_principal())
    return visit.page("statistics_definitions.html", definitions=define_counters(visit.language))


@router.get("/statistics/export")
async def export(
    visit: Visiting,
    by: Text = "unit",
    first: Annotated[str, Query(alias="from", max_length=20)] = "",
    last: Annotated[str, Query(alias="to", max_length=20)] = "",
    unit: Text = "",
    division: Text = "",
    industry: Text = "",
    kind: Annotated[str, Query(alias="format")] = "csv",
) -> Response:
    """The table of the page as a file, with all its columns and rows."""
    if kind not in FORMATS:
        raise InvalidInput("export_format_unknown", field="format", file=kind[:40])
    asked = {"by": by, "from": first, "to": last, "unit": unit, "division": division, "industry": industry}
    question = make_question(visit, asked)
    async with visit.connect() as conn:
        table, days = await read_export(conn, question, visit.state.now(), kind)
    content = await asyncio.to_thread(make_file, table, kind, visit.language, days)
    headers = {"Content-Disposition": f'attachment; filename="{name_file(table, kind)}"'}
    return Response(content, 200, headers, FORMATS[kind])
