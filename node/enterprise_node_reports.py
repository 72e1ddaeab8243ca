"""What enterprises' own nodes told goes up, marked as theirs: master data (T9) and events (M3).

Their templates go up with those registered here (`node.reporting.report_templates`), their figures in columns of their
own of T8 and M2.
"""

import gzip
from datetime import date, datetime, timedelta
from typing import Any

import orjson
from asyncpg import Connection, Record

from node.outbox import Report, enqueue
from node.report_rows import find_event_day
from node.reporting import Reporter, Written, report_day, report_monitoring
from node.store import enterprise_node_files as store
from node.store import outbox as outbox_store
from node.store.reports import is_closed
from schemas.days import get_day

FIRST_EVENT = 1 << 30  # parts of M3 below this are our own alarms'
OWN_NODE = {"ownNode": True}
FIGURES_MARK = "own_figures"
LATE_DAYS = timedelta(days=31)  # figures of older days are kept and shown, but go up no more
COMMITTED_AFTER = timedelta(minutes=1)  # no transaction of ours lasts longer


async def report_late_figures(conn: Connection, reporter: Reporter, now: datetime) -> Written:
    """T8 and M2 again of days that went up before the nodes had told theirs: only parts that changed are sent."""
    written, today, until = Written(), get_day(now), now - COMMITTED_AFTER
    mark = await outbox_store.find_mark(conn, FIGURES_MARK)
    since = datetime.fromisoformat(mark[0]) if mark else now - LATE_DAYS
    for day in await store.fetch_told_days(conn, "enterprise_node_days", (since, until), (today - LATE_DAYS, today)):
        if all([await is_closed(conn, prefix, day) for prefix in reporter.prefixes]):
            written.add(await report_day(conn, reporter, day, now))
    for day in await store.fetch_told_days(
        conn, "enterprise_node_monitors", (since, until), (today - LATE_DAYS, today)
    ):
        if await outbox_store.fetch_contents(conn, "M1", day.isoformat(), reporter.prefixes[0]):
            written.add(await report_monitoring(conn, reporter, day, now))
    await outbox_store.set_mark(conn, FIGURES_MARK, until.isoformat(), now)
    return written


async def report_own_nodes(conn: Connection, prefixes: tuple[str, ...], now: datetime) -> int:
    """Write what has come since the last look; how many messages. Each in a transaction with its mark."""
    written = 0
    for node_prefix in prefixes:
        for event in await store.fetch_untold_events(conn, node_prefix):
            async with conn.transaction():
                number = FIRST_EVENT + event["number"]
                row = make_event(event)
                await enqueue(conn, Report("M3", find_event_day(row, now), node_prefix, [row], number, number), now)
                await store.note_event_told(conn, event["number"], now)
            written += 1
        for part in await store.fetch_untold_master(conn, node_prefix):
            async with conn.transaction():
                written += await _tell_master(conn, node_prefix, (part["prefix_id"], part["day"], part["part"]), now)
    return written


def make_event(event: Record) -> dict[str, Any]:
    """A row of M3: its id is ours, since two nodes may use the same one; theirs stands beside it."""
    told: dict[str, Any] = orjson.loads(event["document"])
    related = {} if event["related"] is None else {"relatedEventId": f"N{event['related']}"}
    own = {"eventId": f"N{event['number']}", "nodeEventId": event["event_id"], "prefix": event["prefix"]}
    return told | own | related | OWN_NODE


async def _tell_master(conn: Connection, node_prefix: str, key: tuple[int, date, int], now: datetime) -> int:
    """As a part of T9 of its day; a later revision as the next one of the same part."""
    locked = await store.lock_master(conn, key)
    if locked is None or locked["body"] is None:
        return 0
    rows = [orjson.loads(line) | OWN_NODE for line in gzip.decompress(locked["body"]).splitlines()]
    day, number = key[1].isoformat(), locked["told_part"]
    if number is None:
        number = max(await outbox_store.fetch_contents(conn, "T9", day, node_prefix), default=0) + 1
    message_id = await enqueue(conn, Report("T9", day, node_prefix, rows, number, number), now)
    await store.note_master_told(conn, key, (number, locked["revision"]))
    return int(message_id is not None)
