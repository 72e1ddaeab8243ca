"""Pages of closed days: seals and revisions, and beside the last figure the sealed one where they differ."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from node.day_seals import ROW_MEASURES, ClosedRow, DayClose
from node.definitions import name_column
from node.statistics import Limits, stats
from node.statistics_api import find_limits
from node.statistics_pages import parse_day
from node.store.closing import fetch_closes, fetch_late_days, fetch_latest_rows, fetch_rows
from registry.console.sections import Section
from registry.console.visits import Problem, Visit, Visiting, collect
from registry.late_routes import LateRouter
from schemas.days import get_day
from schemas.errors import InvalidInput, NotFound
from schemas.texts.written import describe_written

router = LateRouter()
SECTION = Section(router)
Day = Annotated[str, Query(max_length=4_096)]
DEFAULT_DAYS = 60
MAX_DAYS = 400
MAX_ROWS = 500


@router.get("/statistics/days")
async def show_days(
    visit: Visiting, first: Annotated[Day, Query(alias="from")] = "", last: Annotated[Day, Query(alias="to")] = ""
) -> Response:
    """The newest first."""
    _find_limits(visit)
    problems: dict[str, Problem] = {}
    since, until = _read_period(visit, "", "")
    with collect(problems, visit):
        since, until = _read_period(visit, first, last)
    async with visit.connect() as conn:
        closes = await fetch_closes(conn, None, since, until)
        late = {day for day, _ in await fetch_late_days(conn)}
    ordered = sorted(closes, key=lambda one: (-one.day.toordinal(), one.node_prefix, one.revision))
    rows = [
        {"day": day, "node_prefix": prefix, "late": day in late, "statements": list(made)}
        for (day, prefix), made in groupby(ordered, key=lambda one: (one.day, one.node_prefix))
    ]
    fields = {"from": first, "to": last} if problems else {"from": since.isoformat(), "to": until.isoformat()}
    return visit.page(
        "closed_days.html", status=400 if problems else 200, rows=rows, fields=fields, problems=problems,
        say_reason=_make_saying(visit),
    )  # fmt: skip


def _read_period(visit: Visit, first: str, last: str) -> tuple[date, date]:
    """The last days where nothing is said, and never more than the page takes. Raises InvalidInput."""
    until = parse_day(last, "to") or get_day(visit.state.now())
    since = parse_day(first, "from") or until - timedelta(days=DEFAULT_DAYS - 1)
    if since > until:
        raise InvalidInput("statistics_period_reversed", field="from", first=since, last=until)
    return max(since, until - timedelta(days=MAX_DAYS - 1)), until


@router.get("/statistics/days/{day}")
async def show_day(visit: Visiting, day: str) -> Response:
    limits, wanted = _find_limits(visit), parse_day(day, "day")
    async with visit.connect() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        closes = [] if wanted is None else await fetch_closes(conn, None, wanted, wanted)
        if wanted is None or not closes:
            raise NotFound("day_not_closed", field="day", day=day[:20])
        is_late = wanted in {late for late, _ in await fetch_late_days(conn)}
        stated = await _list_rows(conn, wanted, closes, limits, sees_all=visit.get_principal().sees_all)
    rows = [row for row in stated if any(map(any, row["pairs"]))]
    return visit.page(
        "closed_day.html", day=wanted, closes=closes, is_late=is_late, rows=rows[:MAX_ROWS], count=len(rows),
        heads=[name_column(name, visit.language) for name in ROW_MEASURES], sums=_sum_pairs(rows),
        changed=sum(row["changed"] for row in rows), say_reason=_make_saying(visit), max_rows=MAX_ROWS,
        idle=len(stated) - len(rows),
        links=visit.get_principal().sees_all or visit.get_principal().kind == "regulator",
    )  # fmt: skip


def _find_limits(visit: Visit) -> Limits:
    visit.get_principal().check_scope("statistics")
    return find_limits(visit.get_principal())


def _make_saying(visit: Visit) -> Any:
    return lambda close: describe_written(close.reason, visit.language) if close.revision > 1 else ""


async def _list_rows(
    conn: Connection, day: date, closes: Sequence[DayClose], limits: Limits, *, sees_all: bool
) -> list[dict[str, Any]]:
    """Of each prefix its firm, and pairs of (last, sealed) figures; those that differ come first.

    Whoever does not see all finds the prefixes that were within his limits on that day.
    """
    firms = {row["prefix"]: row for row in await stats(conn, "enterprise", (day, day), limits)}
    found = []
    for node_prefix in dict.fromkeys(close.node_prefix for close in closes):
        sealed = {row.prefix_id: row for row in (await fetch_rows(conn, node_prefix, day, day)).get((day, 1), [])}
        for prefix_id, row in (await fetch_latest_rows(conn, node_prefix, day)).items():
            if sees_all or row.prefix in firms:
                found.append(_show_row(row, sealed.get(prefix_id), firms.get(row.prefix, {})))
    return sorted(found, key=lambda row: (not row["changed"], row["prefix"]))


def _show_row(row: ClosedRow, sealed: ClosedRow | None, firm: dict[str, Any]) -> dict[str, Any]:
    """A prefix that was sealed without a row had nothing."""
    before = sealed.measures if sealed else (0,) * len(row.measures)
    return {
        "prefix": row.prefix,
        "enterprise": firm.get("enterprise"),
        "enterprise_id": firm.get("enterprise_id"),
        "pairs": list(zip(row.measures, before, strict=True)),
        "changed": row.measures != before,
    }


def _sum_pairs(rows: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    columns = zip(*(row["pairs"] for row in rows), strict=True)
    return [(sum(last for last, _ in column), sum(sealed for _, sealed in column)) for column in columns]
