"""Writes the reports of TLN-1 into the outbox: statistics of days, and how enterprises, prefixes and routes stand.

Everything is written as absolute values in parts that keep their bounds, so that a part is written again only if
something in it has changed, and then whole.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import orjson
from asyncpg import Connection, Record

from node import report_rows as make
from node.applications import MARK as APPLICATIONS_MARK
from node.applications import make_row
from node.outbox import Report, decode_rows, enqueue
from node.peaks import WHOLE_NODE
from node.report_rows import Row, SourcePolicy
from node.store import monitor_days as monitor
from node.store import outbox as outbox_store
from node.store import reports as store
from node.store.applications import fetch_reported
from node.store.enterprise_node_files import fetch_reported_templates
from node.store.enterprise_nodes import fetch_days
from schemas.days import get_day
from schemas.errors import InvalidInput, SetupError
from schemas.toplevel_envelope import encode_canonical
from schemas.toplevel_tables import CURRENT, MAX_SOURCES

FIRMS_PER_PART = 500
STATISTICS_PER_PART = 50  # with up to 1,000 sources each
ROUTES_PER_PART = 100  # an enterprise may have ten servers before a part exceeds the 1,000 rows of the contract
REQUESTS_PER_PART = 100
TEMPLATES_PER_PART = 200
PARTS_PER_READ = 50
ALARMS_PER_LOOK = 500
APPLICATIONS_PER_PART = 500
MONITORED_PER_PART = 1_000
KINDS = ("resolve", "register")
EVENTS_MARK = "events"
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Reporter:
    """What holds for all reports of this node. `route` is under what it can be reached: host, ports by protocol."""

    prefixes: tuple[str, ...]
    route: tuple[str, dict[str, int]]
    sources: SourcePolicy = "full"
    operator_file: Path | None = None
    language: str = "zh"  # of the monthly report


@dataclass
class Written:
    """What was written into the outbox, and how many parts said nothing new."""

    messages: list[UUID] = field(default_factory=list)
    unchanged: int = 0

    def add(self, other: "Written") -> None:
        self.messages += other.messages
        self.unchanged += other.unchanged


async def write(conn: Connection, reports: Iterable[Report], now: datetime) -> Written:
    """Write what has changed; each part in a transaction of its own, so that a long list holds no lock."""
    written = Written()
    known: dict[tuple[str, str, str], dict[int, bytes]] = {}
    for report in reports:
        about = (report.table_name, report.period, report.prefix)
        if about not in known:
            known[about] = await outbox_store.fetch_contents(conn, *about)
        if known[about].get(report.part) == sha256(encode_canonical(report.rows)).digest():
            written.unchanged += 1
            continue
        async with conn.transaction():
            message_id = await enqueue(conn, report, now)
        if message_id is None:
            written.unchanged += 1
        else:
            written.messages.append(message_id)
    return written


# Statistics -----------------------------------------------------------------------------------------------------


async def report_day(
    conn: Connection, reporter: Reporter, day: date, now: datetime, provisional: bool = False
) -> Written:
    """T3 and T8 of a day, of every secondary prefix: as it was closed, else as it stands.

    InvalidInput for a day that is not over, unless provisional figures are wanted.
    """
    today = get_day(now)
    if day > today:
        raise InvalidInput("toplevel_day_ahead", field="day", day=day)
    if day == today and not provisional:
        raise InvalidInput("toplevel_day_running", field="day", day=day)
    written = Written()
    for prefix in reporter.prefixes:
        closed = not provisional and await store.is_closed(conn, prefix, day)
        report = await _make_node_report(conn, reporter, (prefix, day), closed, provisional)
        written.add(await write(conn, [report], now))
        async for report in _make_firm_reports(conn, reporter, (prefix, day), closed, provisional):
            written.add(await write(conn, [report], now))
    return written


async def _make_node_report(
    conn: Connection, reporter: Reporter, about: tuple[str, date], closed: bool, provisional: bool
) -> Report:
    prefix, day = about
    answers = await store.fetch_node_answers(conn, prefix, day, closed)
    named = await store.fetch_node_sources(conn, prefix, day, MAX_SOURCES)
    enabled = await store.count_enabled(conn, prefix, day)
    row = make.make_node_statistics(
        prefix, day, enabled, answers, make.make_sources(named, answers[0], reporter.sources)
    )
    if provisional:
        row["provisional"] = True
    return Report("T3", day.isoformat(), prefix, [row], provisional=provisional)


async def _make_firm_reports(
    conn: Connection, reporter: Reporter, about: tuple[str, date], closed: bool, provisional: bool
) -> AsyncIterator[Report]:
    """Parts of T8, one after the other, so that memory does not grow with the number of enterprises."""
    prefix, day = about
    fetch = store.fetch_closed_firms if closed else store.fetch_running_firms
    firms = ((firm["prefix_id"], firm) for firm in await fetch(conn, prefix, day))
    parts = await cut_parts(conn, ("T8", day.isoformat(), prefix), firms, STATISTICS_PER_PART)
    for number, figures in enumerate(parts, start=1):
        sources = await store.fetch_sources(conn, [f["prefix_id"] for f in figures], day, MAX_SOURCES)
        rows = [
            make.make_firm_statistics(f, day, sources.get(f["prefix_id"], []), reporter.sources, provisional)
            for f in figures
        ]
        said = await fetch_days(conn, [f["prefix_id"] for f in figures], day)
        for row, figure in zip(rows, figures, strict=True):
            row |= make.make_own_node(said.get(figure["prefix_id"]), reporter.sources)
        yield Report("T8", day.isoformat(), prefix, rows, number, len(parts), provisional=provisional)


async def cut_parts(
    conn: Connection, about: tuple[str, str, str], rows: Iterable[tuple[int, Item]], size: int
) -> list[list[Item]]:
    """Rows into parts beside what was told before; `about`: table, period, secondary prefix.

    Of a day or month there is one part at least: nothing is something to report, too.
    """
    told = await outbox_store.fetch_contents(conn, *about)
    return cut(rows, size, told if about[1] == CURRENT else [*told, 1])


def cut(rows: Iterable[tuple[int, Item]], size: int, told: Iterable[int]) -> list[list[Item]]:
    """Rows by their number into parts 1, 2, … that keep their bounds whatever comes or goes, at most `size` in each.

    Parts that were told of before are there even if all went from them: only an empty part takes their rows away.
    """
    parts: dict[int, list[Item]] = {}
    for number, row in rows:
        parts.setdefault((number - 1) // size + 1, []).append(row)
    return [parts.get(part, []) for part in range(1, max([*parts, *told], default=0) + 1)]


# How things stand -----------------------------------------------------------------------------------------------


async def bucket(conn: Connection, table: str, prefix: str, rows: Iterable[tuple[int, Row]], size: int) -> list[Report]:
    """Rows by their number as the parts of a table that says how things stand; nothing if there never was any."""
    parts = await cut_parts(conn, (table, CURRENT, prefix), rows, size)
    return [Report(table, CURRENT, prefix, found, part, len(parts)) for part, found in enumerate(parts, start=1)]


async def report_enterprises(conn: Connection, reporter: Reporter, now: datetime) -> Written:
    """T6: enterprises with their verification."""
    written = Written()
    try:
        operator = read_operator(reporter.operator_file) or {}
    except SetupError:  # is said where T1 is reported, and no reason to say nothing of enterprises
        operator = {}
    for prefix in reporter.prefixes:
        firms = await store.fetch_firms(conn, prefix, prefix == reporter.prefixes[0])
        rows = ((firm["enterprise_id"], make.make_firm(firm, operator)) for firm in firms)
        written.add(await write(conn, await bucket(conn, "T6", prefix, rows, FIRMS_PER_PART), now))
    return written


async def report_prefixes(conn: Connection, reporter: Reporter, now: datetime) -> Written:
    """Prefixes we approved, their states, and under what each can be reached (T7)."""
    written = Written()
    for prefix in reporter.prefixes:
        found, told = await store.fetch_prefixes(conn, prefix), await _read_holders(conn, prefix)
        requests = (
            (entry["prefix_id"], make.make_prefix_request(entry, told.get(entry["prefix"], []))) for entry in found
        )
        reports = await bucket(conn, "PREFIXES", prefix, requests, REQUESTS_PER_PART)
        reports += [
            Report("STATE", CURRENT, prefix, [make.make_prefix_state(entry)], entry["prefix_id"], entry["prefix_id"])
            for entry in found
            if entry["state"] <= 2
        ]
        numbers = {entry["prefix"]: entry["prefix_id"] for entry in found}
        routes = make.list_firm_routes(found, make.make_route(prefix, *reporter.route))
        numbered = ((numbers[row["prefix"]], row) for row in routes)
        reports += await bucket(conn, "T7", prefix, numbered, ROUTES_PER_PART)
        written.add(await write(conn, reports, now))
    return written


async def _read_holders(conn: Connection, prefix: str) -> dict[str, list[str]]:
    """Enterprise prefix → codes of the enterprises it was told to be of, the last one told last."""
    holders: dict[str, list[str]] = {}
    after = 0
    while told := await outbox_store.fetch_told(conn, ("PREFIXES", CURRENT, prefix), after, PARTS_PER_READ):
        for message, body in told:
            for row in decode_rows(message, body) if body is not None else ():
                holders.setdefault(row["prefix"], []).extend([*row.get("formerUsccs", []), row["uscc"]])
        after = told[-1][0].part
    return holders


async def report_node(conn: Connection, reporter: Reporter, now: datetime) -> Written:
    """T1 and T2: who operates this node, if its file is there, and under what it can be reached."""
    reports = [
        Report("T2", CURRENT, prefix, [make.make_route(prefix, *reporter.route)]) for prefix in reporter.prefixes
    ]
    operator = read_operator(reporter.operator_file)
    if operator is not None:
        reports += [Report("T1", CURRENT, prefix, [operator]) for prefix in reporter.prefixes]
    return await write(conn, reports, now)


def read_operator(path: Path | None) -> Row | None:
    """The operator's own dossier, in the names of domain.md appendix 3.6; raises SetupError."""
    if path is None:
        return None
    try:
        document = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise SetupError("toplevel_operator_file", path=str(path), reason=str(error)) from error
    if not isinstance(document, dict):
        raise SetupError("toplevel_operator_file", path=str(path), reason="{}")
    return document


async def report_templates(conn: Connection, reporter: Reporter, now: datetime) -> Written:
    """T4 and T11, with what enterprises' own nodes have in it, marked as theirs."""
    written = Written()
    for prefix in reporter.prefixes:
        for table, of_node in (("T4", True), ("T11", False)):
            found = await store.fetch_templates(conn, prefix, of_node)
            rows = [(template["template_id"], make.make_template(template)) for template in found]
            if not of_node:
                own = await fetch_reported_templates(conn, prefix)
                rows += ((row["number"], orjson.loads(row["document"]) | {"ownNode": True}) for row in own)
            written.add(await write(conn, await bucket(conn, table, prefix, rows, TEMPLATES_PER_PART), now))
    return written


async def report_events(conn: Connection, reporter: Reporter, now: datetime) -> Written:
    """M3: alarms that began or ended since the last look, each a message of its own."""
    mark = await outbox_store.find_mark(conn, EVENTS_MARK)
    since = datetime.fromisoformat(mark[0]) if mark else datetime(1970, 1, 1, tzinfo=UTC)
    alarms = await store.fetch_alarms(conn, since, ALARMS_PER_LOOK)
    reports = [
        Report("M3", make.find_event_day(row, now), prefix, [row], number, number)
        for prefix in reporter.prefixes
        for alarm in alarms
        for number, row in make.list_events(alarm)
    ]
    written = await write(conn, reports, now)
    if alarms:
        last = alarms[-1]["cleared"] or alarms[-1]["raised"]
        await outbox_store.set_mark(conn, EVENTS_MARK, last.isoformat(), now)
    return written


# Once a month, once a day ---------------------------------------------------------------------------------------


async def report_applications(conn: Connection, reporter: Reporter, now: datetime) -> Written:
    """T5 and T10 of the running month, as they stand; a part from which all went is sent empty."""
    written, month = Written(), get_month(now)
    for prefix in reporter.prefixes:
        for table, of_node in (("T5", True), ("T10", False)):
            rows = ((one.application_id, make_row(one)) for one in await fetch_reported(conn, prefix, of_node))
            parts = await cut_parts(conn, (table, month, prefix), rows, APPLICATIONS_PER_PART)
            reports = [Report(table, month, prefix, part, n, len(parts)) for n, part in enumerate(parts, start=1)]
            written.add(await write(conn, reports, now))
    await outbox_store.set_mark(conn, APPLICATIONS_MARK, month, now)
    return written


def get_month(now: datetime) -> str:
    """The month at UTC+8 as periods name it."""
    return get_day(now).isoformat()[:7]


async def report_monitoring(conn: Connection, reporter: Reporter, day: date, now: datetime) -> Written:
    """M1 and M2 of a day that is over; InvalidInput for another."""
    if day >= get_day(now):
        raise InvalidInput("toplevel_day_running", field="day", day=day)
    written = Written()
    for prefix in reporter.prefixes:
        whole = await read_node_monitor(conn, prefix, day)
        written.add(await write(conn, [Report("M1", day.isoformat(), prefix, [whole])], now))
        monitored = ((row["prefix_id"], row) for row in await monitor.fetch_monitored(conn, prefix, day))
        parts = await cut_parts(conn, ("M2", day.isoformat(), prefix), monitored, MONITORED_PER_PART)
        for number, found in enumerate(parts, start=1):
            rows = await make_monitors(conn, found, day)
            written.add(await write(conn, [Report("M2", day.isoformat(), prefix, rows, number, len(parts))], now))
    return written


async def read_node_monitor(conn: Connection, prefix: str, day: date) -> Row:
    """The row of M1 of a secondary prefix."""
    spans, peak = await monitor.fetch_node_spans(conn, prefix, day), await monitor.find_peak(conn, WHOLE_NODE, day)
    return make.make_monitor(prefix, day, spans, peak)


async def make_monitors(conn: Connection, found: Sequence[Record], day: date) -> list[Row]:
    """The rows of M2 of these prefixes, with what their own nodes say."""
    ids = [row["prefix_id"] for row in found]
    spans, peaks = await monitor.fetch_spans(conn, ids, day), await monitor.fetch_peaks(conn, ids, day)
    rows = []
    for row in found:
        own = {kind: spans[row["prefix_id"], kind] for kind in KINDS if (row["prefix_id"], kind) in spans}
        made = make.make_monitor(row["prefix"], day, own, peaks.get(row["prefix_id"]))
        rows.append(made | make.make_own_monitor(row["said"]))
    return rows


REPORTS: dict[str, Callable[[Connection, Reporter, datetime], Awaitable[Written]]] = {
    "node": report_node,
    "enterprises": report_enterprises,
    "prefixes": report_prefixes,
    "templates": report_templates,
    "events": report_events,
    "applications": report_applications,
}
