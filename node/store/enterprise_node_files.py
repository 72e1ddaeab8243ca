"""SQL of the parts that enterprises' nodes send, master data and logs; the caller owns the transaction."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from asyncpg import Connection, Record

from node.store.enterprise_nodes import NONCES_KEPT
from node.store.reports import BELOW
from schemas.days import get_day, get_start

LOGS_KEPT = timedelta(days=183)  # as our own: the law wants six months
BODIES_KEPT = timedelta(days=62)  # of master data that went up


class LogPlace(NamedTuple):
    """Where a part of a log belongs; kind: register or resolve."""

    day: date
    kind: str
    part: int
    revision: int


async def store_master(conn: Connection, prefix_id: int, day: date, row: Sequence[Any], now: datetime) -> bool:
    """(part, revision, rows, added, retired, changed, content, body); False if that or a later revision is there.

    It goes up if the prefix is not hosted here at that time: of what is hosted here our own records go.
    """
    done: str = await conn.execute(
        "INSERT INTO enterprise_node_master AS m (prefix_id, day, received, part, revision, row_count, added, retired,"
        " changed, content_sha256, body, size, goes_up) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::bytea,"
        " length($11::bytea), hosting = 1 FROM prefixes WHERE prefix_id = $1 ON CONFLICT (prefix_id, day, part)"
        " DO UPDATE SET received = $3, revision = $5, row_count = $6, added = $7, retired = $8, changed = $9,"
        " content_sha256 = $10, body = $11, size = excluded.size, goes_up = m.goes_up OR excluded.goes_up"
        " WHERE m.revision < $5",
        prefix_id,
        day,
        now,
        *row,
    )
    return done.endswith(" 1")


async def find_master(conn: Connection, prefix_id: int, day: date, part: int) -> tuple[int, bytes] | None:
    """(revision, content)"""
    row = await conn.fetchrow(
        "SELECT revision, content_sha256 FROM enterprise_node_master WHERE prefix_id = $1 AND day = $2 AND part = $3",
        prefix_id,
        day,
        part,
    )
    return None if row is None else (row[0], row[1])


async def store_log(conn: Connection, prefix_id: int, place: LogPlace, row: Sequence[Any], now: datetime) -> bool:
    """(lines, ok, timed, total, longest, content, body); False if that or a later revision is there."""
    done: str = await conn.execute(
        "INSERT INTO enterprise_node_logs AS l (prefix_id, received, day, kind, part, revision, line_count, ok_count,"
        " timed_count, total_us, longest_us, content_sha256, body, size) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
        " $10, $11, $12, $13::bytea, length($13::bytea)) ON CONFLICT (prefix_id, day, kind, part) DO UPDATE SET"
        " received = $2, revision = $6, line_count = $7, ok_count = $8, timed_count = $9, total_us = $10,"
        " longest_us = $11, content_sha256 = $12, body = $13, size = excluded.size WHERE l.revision < $6",
        prefix_id,
        now,
        *place,
        *row,
    )
    return done.endswith(" 1")


async def find_log(conn: Connection, prefix_id: int, place: LogPlace) -> tuple[int, bytes] | None:
    """(revision, content)"""
    row = await conn.fetchrow(
        "SELECT revision, content_sha256 FROM enterprise_node_logs WHERE prefix_id = $1 AND day = $2 AND kind = $3"
        " AND part = $4",
        prefix_id,
        *place[:3],
    )
    return None if row is None else (row[0], row[1])


async def sum_kept_bytes(conn: Connection, prefix_id: int) -> int:
    """What is kept of a prefix, packed."""
    kept: int = await conn.fetchval(
        "SELECT coalesce((SELECT sum(size)::int8 FROM enterprise_node_logs WHERE prefix_id = $1), 0)"
        " + coalesce((SELECT sum(size)::int8 FROM enterprise_node_master WHERE prefix_id = $1), 0)",
        prefix_id,
    )
    return kept


async def forget(conn: Connection, now: datetime, kept: timedelta) -> None:
    """Days that are older than they are kept; bodies of master data sooner; nonces once they cannot come again."""
    today = get_day(now)
    await conn.execute("DELETE FROM enterprise_node_logs WHERE day < $1", today - LOGS_KEPT)
    await conn.execute(
        "UPDATE enterprise_node_master SET body = NULL, size = 0 WHERE day < $1 AND body IS NOT NULL",
        today - BODIES_KEPT,
    )
    for table in ("enterprise_node_master", "enterprise_node_days"):
        await conn.execute(f"DELETE FROM {table} WHERE day < $1", today - kept)  # noqa: S608 - a name of this line
    await conn.execute("DELETE FROM enterprise_node_events WHERE at < $1", get_start(today - kept))
    await conn.execute("DELETE FROM enterprise_node_nonces WHERE at < $1", now - NONCES_KEPT)


# What goes up ---------------------------------------------------------------------------------------------------


async def fetch_told_days(
    conn: Connection, table: Literal["enterprise_node_days", "enterprise_node_monitors"],
    received: tuple[datetime, datetime], days: tuple[date, date],
) -> list[date]:  # fmt: skip
    """Days, the last not among them, of which figures were received within a time, the end not in it."""
    rows = await conn.fetch(
        f"SELECT DISTINCT day FROM {table} WHERE received >= $1 AND received < $2 AND day >= $3 AND day < $4"  # noqa: S608
        " ORDER BY day",
        *received,
        *days,
    )
    return [row["day"] for row in rows]


async def fetch_untold_master(conn: Connection, node_prefix: str, limit: int = 50) -> list[Record]:
    """Parts below a secondary prefix of which the present revision has not been told, oldest first."""
    return await conn.fetch(
        "SELECT prefix_id, day, part, revision, told_part FROM enterprise_node_master m JOIN prefixes x"  # noqa: S608
        f" USING (prefix_id) WHERE {BELOW} AND goes_up AND body IS NOT NULL AND told_revision IS DISTINCT FROM revision"
        " ORDER BY received, prefix_id, part LIMIT $2",
        node_prefix,
        limit,
    )


async def lock_master(conn: Connection, key: tuple[int, date, int]) -> Record | None:
    return await conn.fetchrow(
        "SELECT revision, told_part, body FROM enterprise_node_master WHERE prefix_id = $1 AND day = $2 AND part = $3"
        " FOR UPDATE",
        *key,
    )


async def note_master_told(conn: Connection, key: tuple[int, date, int], told: tuple[int, int]) -> None:
    """(part of T9 of that day, revision)"""
    await conn.execute(
        "UPDATE enterprise_node_master SET told_part = $4, told_revision = $5 WHERE prefix_id = $1 AND day = $2"
        " AND part = $3",
        *key,
        *told,
    )


async def fetch_untold_events(conn: Connection, node_prefix: str, limit: int = 200) -> list[Record]:
    """Events that were not told, with the number of the one they end; one whose beginning is not here yet waits."""
    return await conn.fetch(
        "SELECT e.number, x.prefix, e.event_id, e.document::text AS document, r.number AS related"  # noqa: S608
        " FROM enterprise_node_events e JOIN prefixes x USING (prefix_id) LEFT JOIN enterprise_node_events r"
        " ON r.prefix_id = e.prefix_id AND r.event_id = e.document->>'relatedEventId'"
        f" WHERE {BELOW} AND e.told IS NULL AND (r.number IS NOT NULL OR e.document->>'relatedEventId' IS NULL)"
        " ORDER BY e.number LIMIT $2",
        node_prefix,
        limit,
    )


async def note_event_told(conn: Connection, number: int, now: datetime) -> None:
    await conn.execute("UPDATE enterprise_node_events SET told = $2 WHERE number = $1", number, now)


async def fetch_reported_templates(conn: Connection, node_prefix: str) -> list[Record]:
    """Templates of nodes whose prefixes are not hosted here, but for those that are registered here, too."""
    return await conn.fetch(
        "SELECT t.number, t.document::text AS document FROM enterprise_node_templates t"  # noqa: S608
        f" JOIN prefixes x USING (prefix_id) WHERE {BELOW} AND x.hosting = 1 AND NOT EXISTS (SELECT FROM templates o"
        " WHERE o.prefix_id = t.prefix_id AND o.deleted IS NULL AND x.prefix || '/META_' || o.version = t.handle)"
        " ORDER BY t.number",
        node_prefix,
    )
