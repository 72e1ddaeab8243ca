"""Closing of days: what the counters say of a day becomes a sealed statement, once; what comes later, a revision.

Everything is keyed by secondary prefix; a prefix that stands under none of the node's own is closed with the first.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from asyncpg import Connection

from node.counting import alone
from node.day_seals import ClosedRow, DayClose, compute_seal, find_broken_links, seal_day
from node.statistics import Limits, totals
from node.store import closing as store
from node.store.counting import fetch_gaps
from node.store.rollups import rollups_alone
from node.store.statistics import fetch_foreign_days, fetch_prefix_names
from schemas.days import get_day, get_start
from schemas.errors import Conflict, InvalidInput
from schemas.prefixes import find_secondary_prefix

CLOSING_TIME = timedelta(minutes=5)  # after midnight
# For so long a day waits for the agents of other machines; what they bring later is a revision.
PATIENCE = timedelta(minutes=25)
AWAY = timedelta(days=1)  # a directory that was not counted for longer is not waited for
QUIET_SECONDS = 600  # a late day is revised when nothing was added to it for so long
DAYS_PER_ROUND = 30

log = logging.getLogger("idnode.agent")


@dataclass(frozen=True, slots=True)
class Provisional:
    """What the day has so far; neither kept nor sealed."""

    node_prefix: str
    day: date
    rows: list[ClosedRow]
    figures: dict[str, int]

    def format(self) -> dict[str, Any]:
        """Ready for JSON, without rows."""
        return {
            "node_prefix": self.node_prefix,
            "day": self.day.isoformat(),
            "status": "provisional",
            "rows": len(self.rows),
            "figures": self.figures,
        }


def choose_node_prefix(prefix: str, node_prefixes: Sequence[str]) -> str:
    """The secondary prefix that a prefix is closed and reported under."""
    return find_secondary_prefix(prefix, node_prefixes) or node_prefixes[0]


# Whether a day can be closed ------------------------------------------------------------------------------------


async def find_uncounted(conn: Connection, day: date) -> list[dict[str, Any]]:
    """What of a day may not be in the counters yet: directories of the log, and entries of the change log."""
    until = get_start(day + timedelta(days=1))
    directories = await store.fetch_uncounted_directories(conn, until, get_start(day) - AWAY)
    entries = await store.count_uncounted_changes(conn, until)
    found: list[dict[str, Any]] = [{"reason": "not_counted", "directory": str(one)} for one in directories]
    return found + ([{"reason": "not_counted", "changes": entries}] if entries else [])


def find_due_day(now: datetime) -> date:
    """The last day that should be closed: yesterday, from five minutes after midnight on."""
    return get_day(now - CLOSING_TIME) - timedelta(days=1)


# Closing --------------------------------------------------------------------------------------------------------


async def close_day(
    conn: Connection, node_prefixes: Sequence[str], day: date, now: datetime, *, incomplete: bool = False
) -> list[DayClose]:
    """Close a day, and before it all days that are not closed yet; the new statements, none if it was closed before.

    Raises Conflict for a day that still runs, for one before the first that can be closed, and for one whose log is
    not all counted (unless `incomplete`: then the statement names what may be missing).
    """
    if day >= get_day(now):
        raise Conflict("close_day_running", field="day", day=day)
    made: list[DayClose] = []
    async with alone(conn, "close"):
        open_days = await _list_open_days(conn, node_prefixes, day)
        if not open_days and not await store.fetch_closes(conn, None, day, day):
            raise Conflict("close_before_beginning", field="day", day=day)
        missing = await find_uncounted(conn, day) if open_days else []
        if missing and not incomplete:
            raise Conflict("close_log_not_counted", field="day", day=day, missing=_name_missing(missing))
        for node_prefix, one in open_days:
            made.append(await _close(conn, node_prefixes, node_prefix, one, now, missing if one == day else []))
    return made


def _name_missing(missing: Iterable[dict[str, Any]]) -> str:
    return ", ".join(str(one.get("directory") or f"{one['changes']} changes") for one in missing)


async def _list_open_days(conn: Connection, node_prefixes: Sequence[str], last: date) -> list[tuple[str, date]]:
    """Secondary prefixes and days that are to be closed up to `last`, day by day.

    The first is the day on which the first prefix below it was made. What was counted for days before that (a clock
    that was wrong) is in all totals, but no day of this node.
    """
    prefixes = await store.fetch_prefix_days(conn)
    found = []
    for node_prefix in node_prefixes:
        closed = await store.find_last_closed(conn, node_prefix)
        made = [p["created_on"] for p in prefixes if choose_node_prefix(p["prefix"], node_prefixes) == node_prefix]
        first = closed + timedelta(days=1) if closed is not None else min(made, default=None)
        if first is not None:
            found += [(first + timedelta(days=n), node_prefix) for n in range((last - first).days + 1)]
    return [(node_prefix, day) for day, node_prefix in sorted(found)]


async def _close(
    conn: Connection, node_prefixes: Sequence[str], node_prefix: str, day: date, now: datetime, missing: list[Any]
) -> DayClose:
    # Whoever counts now waits, and finds the day closed: nothing is added between reading and sealing unnoticed.
    async with rollups_alone(conn), conn.transaction(isolation="repeatable_read"):
        rows, figures = await _compute(conn, node_prefixes, node_prefix, day)
        gaps = missing + await _list_gaps(conn, day)
        return await _state(conn, DayClose(node_prefix, day, 1, 0, now, "", len(rows), figures, gaps), rows)


async def _state(conn: Connection, close: DayClose, rows: Sequence[ClosedRow]) -> DayClose:
    """Put a statement and its rows at the end of the chain."""
    sequence, previous = await store.find_end(conn, close.node_prefix) or (0, b"")
    close = seal_day(replace(close, sequence=sequence + 1, previous_seal=previous), rows)
    await store.insert_close(conn, close)
    await store.insert_rows(conn, close, rows)
    log.info("%s %s revision %d: %d rows, seal %s", close.node_prefix, close.day, close.revision, close.row_count,
             close.seal.hex())  # fmt: skip
    return close


async def _compute(
    conn: Connection, node_prefixes: Sequence[str], node_prefix: str, day: date
) -> tuple[list[ClosedRow], dict[str, int]]:
    """Rows of all prefixes that were there on that day or have figures, and what is no figure of one prefix."""
    prefixes = [
        row
        for row in await store.fetch_prefix_days(conn)
        if choose_node_prefix(row["prefix"], node_prefixes) == node_prefix
    ]
    found = await store.compute_rows(conn, [row["prefix_id"] for row in prefixes], day)
    rows = [
        found[row["prefix_id"]] for row in prefixes if row["created_on"] <= day or any(found[row["prefix_id"]].measures)
    ]
    enabled = [  # of enterprises: the node's own counts for none (T3)
        row["enabled_on"]
        for row in prefixes
        if row["enabled_on"] is not None and row["enabled_on"] <= day and row["prefix"] != node_prefix
    ]
    only = None if len(node_prefixes) == 1 else [row["prefix"] for row in prefixes]
    figures = await totals(conn, (day, day), Limits(only))
    figures |= await _sum_foreign(conn, day) if node_prefix == node_prefixes[0] else {}
    named = {name: count for name, count in figures.items() if name not in ("from", "to")}
    return rows, named | {"prefixes_new": enabled.count(day), "prefixes_total": len(enabled)}


async def _sum_foreign(conn: Connection, day: date) -> dict[str, int]:
    """Questions about prefixes that are not ours are the first secondary prefix's."""
    rows = await fetch_foreign_days(conn, (day, day))
    names = {"resolutions_foreign": "resolutions", "resolutions_foreign_ok": "resolutions_ok"}
    return {name: sum(row[column] for row in rows.values()) for name, column in names.items()}


async def _list_gaps(conn: Connection, day: date) -> list[dict[str, Any]]:
    gaps = await fetch_gaps(conn, get_start(day), get_start(day + timedelta(days=1)))
    return [{"reason": gap.reason, "segment": gap.segment, "missing": gap.missing} for gap in gaps]


async def compute_provisional(conn: Connection, node_prefixes: Sequence[str], day: date) -> list[Provisional]:
    """What a day, today for one, has so far, by secondary prefix."""
    found = []
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        for node_prefix in node_prefixes:
            rows, figures = await _compute(conn, node_prefixes, node_prefix, day)
            found.append(Provisional(node_prefix, day, rows, figures))
    return found


# Revising -------------------------------------------------------------------------------------------------------


async def revise_day(
    conn: Connection, node_prefixes: Sequence[str], day: date, now: datetime, reason: str
) -> list[DayClose]:
    """State again what the counters say otherwise than the last statement, also of later days where totals changed.

    Empty where nothing changed. Raises InvalidInput without a reason.
    """
    if not reason.strip():
        raise InvalidInput("revision_without_reason", field="reason")
    made: list[DayClose] = []
    async with alone(conn, "close"):
        for node_prefix in node_prefixes:
            last = await store.find_last_closed(conn, node_prefix)
            one = day
            while last is not None and one <= last:
                revised, totals_changed = await _revise(conn, node_prefixes, node_prefix, one, (now, reason))
                made += [revised] if revised else []
                one = one + timedelta(days=1) if totals_changed else last + timedelta(days=1)
        await store.forget_late_day(conn, day)
    return made


async def _revise(
    conn: Connection, node_prefixes: Sequence[str], node_prefix: str, day: date, act: tuple[datetime, str]
) -> tuple[DayClose | None, bool]:
    """The new statement if there is one, and whether totals of later days change with it."""
    async with rollups_alone(conn), conn.transaction(isolation="repeatable_read"):
        before = await store.fetch_closes(conn, node_prefix, day, day)
        if not before:
            return None, False
        rows, figures = await _compute(conn, node_prefixes, node_prefix, day)
        stated = await store.fetch_latest_rows(conn, node_prefix, day)
        changed = [row for row in rows if row != stated.get(row.prefix_id)]
        last = max(before, key=lambda close: close.revision)
        if not changed and all(figures.get(name) == count for name, count in last.figures.items()):
            return None, False
        revision = last.revision + 1
        gaps = await _list_gaps(conn, day)
        close = DayClose(node_prefix, day, revision, 0, act[0], act[1], len(changed), figures, gaps)
        return await _state(conn, close, changed), any(_has_other_totals(row, stated) for row in changed)


def _has_other_totals(row: ClosedRow, stated: dict[int, ClosedRow]) -> bool:
    names = ("registered_total", "registered_live", "retired_total")
    before = stated.get(row.prefix_id)
    return any(row.get_measure(name) != (before.get_measure(name) if before else 0) for name in names)


# What the agent does --------------------------------------------------------------------------------------------


async def close_due_days(conn: Connection, node_prefixes: Sequence[str], now: datetime) -> list[DayClose]:
    """One round of the agent: close what is due and counted, and revise late days that are quiet."""
    made = []
    due = find_due_day(now)
    open_days = sorted({day for _, day in await _list_open_days(conn, node_prefixes, due)})
    for day in open_days[:DAYS_PER_ROUND]:
        patient = now < get_start(day + timedelta(days=1)) + CLOSING_TIME + PATIENCE
        if patient and await find_uncounted(conn, day):
            break
        made += await close_day(conn, node_prefixes, day, now, incomplete=True)
    for day, reason in (await store.fetch_late_days(conn, QUIET_SECONDS))[:DAYS_PER_ROUND]:
        made += await revise_day(conn, node_prefixes, day, now, f"late: {reason}")
    return made


# Verifying ------------------------------------------------------------------------------------------------------


async def verify_seals(conn: Connection, first: date | None = None, last: date | None = None) -> dict[str, Any]:
    """Compute the seals of a period from its rows again, follow every chain from its beginning, compare with the
    counters; ready for JSON:

    - chains: node_prefix, first, last, statements, seal (the last one);
    - problems: node_prefix, day, revision, problem: sequence_broken, link_broken, day_missing, end_missing (the chain
      was cut), seal_broken (head or rows are not what was sealed), rows_unsealed;
    - differences: prefix, day, measure, stated and counted; late: days that wait for a revision.
    """
    found: dict[str, Any] = {"chains": [], "problems": [], "differences": [], "late": []}
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        for node_prefix in await store.fetch_node_prefixes(conn):
            closes = await store.fetch_closes(conn, node_prefix)
            found["problems"] += find_broken_links(node_prefix, closes, await store.find_end(conn, node_prefix))
            if closes:
                found["chains"].append(_describe_chain(closes))
                found["problems"] += await _find_broken_seals(conn, closes, first, last)
        period = await store.find_closed_period(conn, first or date.min, last or date.max)
        for row in await store.fetch_unsealed_rows(conn, *period):
            named = {"node_prefix": row["node_prefix"], "day": row["day"].isoformat(), "revision": row["revision"]}
            found["problems"].append(named | {"problem": "rows_unsealed", "rows": row["rows"]})
        late = {day for day, _ in await store.fetch_late_days(conn)}
        names = await fetch_prefix_names(conn)
        for row in await store.fetch_differences(conn, *period):
            if row["day"] not in late:
                named = {"prefix": names.get(row["prefix_id"], f"#{row['prefix_id']}"), "day": row["day"].isoformat()}
                found["differences"].append(
                    named | {"measure": row["measure"], "stated": row["stated"], "counted": row["counted"]}
                )
    return found | {"late": sorted(day.isoformat() for day in late)}


def _describe_chain(closes: Sequence[DayClose]) -> dict[str, Any]:
    return {
        "node_prefix": closes[0].node_prefix,
        "first": min(close.day for close in closes).isoformat(),
        "last": max(close.day for close in closes).isoformat(),
        "statements": len(closes),
        "seal": closes[-1].seal.hex(),
    }


async def _find_broken_seals(
    conn: Connection, closes: Sequence[DayClose], first: date | None, last: date | None
) -> list[dict[str, Any]]:
    """A month at a time, so that memory stays flat."""
    problems: list[dict[str, Any]] = []
    wanted = [c for c in closes if (first is None or c.day >= first) and (last is None or c.day <= last)]
    months: dict[tuple[int, int], list[DayClose]] = {}
    for close in wanted:
        months.setdefault((close.day.year, close.day.month), []).append(close)
    for of_month in months.values():
        period = min(c.day for c in of_month), max(c.day for c in of_month)
        rows = await store.fetch_rows(conn, of_month[0].node_prefix, *period)
        for close in of_month:
            own = rows.get((close.day, close.revision), [])
            if len(own) != close.row_count or compute_seal(close, own) != close.seal:
                named = {"node_prefix": close.node_prefix, "day": close.day.isoformat(), "revision": close.revision}
                problems.append(named | {"problem": "seal_broken", "rows": len(own), "sealed_rows": close.row_count})
    return problems


# Whether figures are sealed -------------------------------------------------------------------------------------


async def find_status(conn: Connection, period: tuple[date | None, date]) -> dict[str, Any]:
    """What a table of figures says of itself; ready for JSON:

    - status: sealed if every secondary prefix has closed the last day and no day of the period waits for a revision,
      else provisional; sealed_until: the last day that all have closed, or null;
    - seals: of the last day, if sealed: node_prefix, day, revision, seal; it holds all days before by the chain;
    - revisions: of days of the period: node_prefix, day, revision, reason, closed_at; late_days: those that wait.
    """
    first, last = period
    ends = await store.fetch_last_days(conn)
    sealed_until = min(ends.values(), default=None)
    late = [day for day, _ in await store.fetch_late_days(conn) if day <= last and (first is None or day >= first)]
    sealed = sealed_until is not None and last <= sealed_until and not late
    seals = {c.node_prefix: c for c in await store.fetch_closes(conn, None, last, last)} if sealed else {}
    revised = await store.fetch_revisions(conn, first or date.min, last)
    return {
        "status": "sealed" if sealed else "provisional",
        "sealed_until": sealed_until and sealed_until.isoformat(),
        "seals": [_name_close(close) | {"seal": close.seal.hex()} for close in seals.values()],
        "revisions": [
            _name_close(close) | {"reason": close.reason, "closed_at": close.closed_at.isoformat()} for close in revised
        ],
        "late_days": [day.isoformat() for day in late],
    }


def _name_close(close: DayClose) -> dict[str, Any]:
    return {"node_prefix": close.node_prefix, "day": close.day.isoformat(), "revision": close.revision}
