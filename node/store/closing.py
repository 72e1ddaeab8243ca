# ruff: noqa: S608 - the queries are put together from the constants of this file, never from values
"""Closed days, their rows and seals; the caller owns the transaction."""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

from asyncpg import Connection, Record

from node.day_seals import ROW_MEASURES, ClosedRow, DayClose

# How far the log is counted -----------------------------------------------------------------------------------


async def save_counted_until(conn: Connection, directory: UUID, until: datetime) -> None:
    """Everything that was written into a log directory before `until` is counted."""
    await conn.execute(
        "INSERT INTO log_directories (directory, counted_until) VALUES ($1, $2)"
        " ON CONFLICT (directory) DO UPDATE SET counted_until = $2",
        directory,
        until,
    )


async def fetch_uncounted_directories(conn: Connection, until: datetime, since: datetime) -> list[UUID]:
    """Directories that are not counted up to `until`, but were up to `since`: their agents should be at work."""
    rows = await conn.fetch(
        "SELECT directory FROM log_directories WHERE counted_until < $1 AND counted_until >= $2 ORDER BY 1",
        until,
        since,
    )
    return [row["directory"] for row in rows]


async def count_uncounted_changes(conn: Connection, until: datetime) -> int:
    """Entries of the change log from before `until` that the counters do not hold yet."""
    found: int = await conn.fetchval(
        "SELECT (SELECT count(*) FROM changes_pending WHERE at < $1) + (SELECT count(*) FROM changes WHERE at < $1"
        " AND position > coalesce((SELECT c.position FROM counted_changes c JOIN change_log USING (log_id)), 0))",
        until,
    )
    return found


# What comes late ----------------------------------------------------------------------------------------------


async def fetch_late_days(conn: Connection, quiet_seconds: int = 0) -> list[tuple[date, str]]:
    """Day and reason of those to which nothing was added for so long."""
    rows = await conn.fetch(
        "SELECT day, reason FROM late_days WHERE last_at <= now() - $1 * interval '1 second' ORDER BY day",
        quiet_seconds,
    )
    return [(row["day"], row["reason"]) for row in rows]


async def forget_late_day(conn: Connection, day: date) -> None:
    await conn.execute("DELETE FROM late_days WHERE day = $1", day)


# The rows of a day --------------------------------------------------------------------------------------------


async def fetch_prefix_days(conn: Connection) -> list[Record]:
    """prefix_id, prefix, and the day (UTC+8) on which it was made, of all prefixes but sandboxes."""
    return await conn.fetch(
        "SELECT prefix_id, prefix, enabled_on, (created AT TIME ZONE 'UTC' + interval '8 hours')::date AS created_on"
        " FROM prefixes WHERE sandbox_of IS NULL ORDER BY prefix"
    )


_ROWS = """
SELECT x.prefix_id, x.prefix, o.enterprise_id,
       coalesce(d.registered, 0) AS registered_new, coalesce(d.range_minted, 0) AS range_minted,
       coalesce(s.registered_sum, 0) AS registered_total,
       coalesce(s.registered_sum - s.gone_sum, 0) AS registered_live, coalesce(s.gone_sum, 0) AS retired_total,
       coalesce(d.resolutions, 0) AS resolutions, coalesce(d.resolutions_ok, 0) AS resolutions_ok,
       coalesce(d.uncounted, 0) AS resolutions_uncounted
FROM prefixes x
LEFT JOIN prefix_days d ON d.prefix_id = x.prefix_id AND d.day = $2
LEFT JOIN LATERAL (SELECT registered_sum, gone_sum FROM prefix_days p
                   WHERE p.prefix_id = x.prefix_id AND p.day <= $2 ORDER BY p.day DESC LIMIT 1) AS s ON true
LEFT JOIN prefix_owners o ON o.prefix_id = x.prefix_id AND $2 >= o.from_day AND (o.to_day IS NULL OR $2 < o.to_day)
WHERE x.prefix_id = ANY($1)
"""
_TEMPLATES = """
SELECT prefix_id, template_id, sum(registered)::int8 AS registered, sum(minted)::int8 AS minted,
       sum(resolutions)::int8 AS resolutions, sum(ok)::int8 AS ok
FROM unnest($1::int4[]) AS x(prefix_id) CROSS JOIN LATERAL (
    SELECT template_id, registered + range_minted AS registered, range_minted AS minted, 0 AS resolutions, 0 AS ok
    FROM registration_counts r WHERE r.prefix_id = x.prefix_id AND r.day = $2
  UNION ALL
    SELECT template_id, 0, 0, resolutions, resolutions_ok
    FROM resolution_days r WHERE r.prefix_id = x.prefix_id AND r.day = $2) AS t
GROUP BY 1, 2 HAVING sum(registered) <> 0 OR sum(resolutions) <> 0 ORDER BY 1, 2
"""


async def compute_rows(conn: Connection, prefix_ids: Sequence[int], day: date) -> dict[int, ClosedRow]:
    """What the counters say of these prefixes on a day, by prefix_id."""
    templates: dict[int, list[tuple[int, ...]]] = {}
    for prefix_id, *counts in await conn.fetch(_TEMPLATES, list(prefix_ids), day):
        templates.setdefault(prefix_id, []).append(tuple(counts))
    rows = await conn.fetch(_ROWS, list(prefix_ids), day)
    return {row["prefix_id"]: _to_row(row, templates.get(row["prefix_id"], ())) for row in rows}


def _to_row(row: Record, templates: Sequence[Sequence[int]]) -> ClosedRow:
    measures = tuple(row[name] for name in ROW_MEASURES)
    of_templates = tuple(tuple(one) for one in templates)
    return ClosedRow(row["prefix_id"], row["prefix"], row["enterprise_id"], measures, of_templates)


async def insert_rows(conn: Connection, close: DayClose, rows: Iterable[ClosedRow]) -> None:
    await conn.copy_records_to_table(
        "closed_rows",
        columns=("prefix_id", "day", "revision", "node_prefix", "prefix", "enterprise_id", *ROW_MEASURES, "templates"),
        records=[
            (row.prefix_id, close.day, close.revision, close.node_prefix, row.prefix, row.enterprise_id, *row.measures,
             json.dumps(row.templates))
            for row in rows
        ],
    )  # fmt: skip


_SELECT_ROWS = (
    f"SELECT r.day, r.revision, r.prefix_id, r.prefix, r.enterprise_id, {', '.join(ROW_MEASURES)}, r.templates"
    " FROM closed_rows r"
)


async def fetch_rows(
    conn: Connection, node_prefix: str, first: date, last: date
) -> dict[tuple[date, int], list[ClosedRow]]:
    """Rows as they were stated, by day and revision."""
    found: dict[tuple[date, int], list[ClosedRow]] = {}
    for row in await conn.fetch(f"{_SELECT_ROWS} WHERE r.day BETWEEN $2 AND $3 AND r.node_prefix = $1",
                                node_prefix, first, last):  # fmt: skip
        templates = json.loads(row["templates"])
        found.setdefault((row["day"], row["revision"]), []).append(_to_row(row, templates))
    return found


async def fetch_latest_rows(
    conn: Connection, node_prefix: str, day: date, as_of: datetime | None = None
) -> dict[int, ClosedRow]:
    """The last statement on each prefix, or the last one that was made until `as_of`; by prefix_id."""
    rows = await conn.fetch(
        f"{_SELECT_ROWS} JOIN day_closes c USING (node_prefix, day, revision) WHERE r.node_prefix = $1 AND r.day = $2"
        " AND ($3::timestamptz IS NULL OR c.closed_at <= $3) ORDER BY r.revision",
        node_prefix,
        day,
        as_of,
    )
    return {row["prefix_id"]: _to_row(row, json.loads(row["templates"])) for row in rows}


async def fetch_unsealed_rows(conn: Connection, first: date, last: date) -> list[Record]:
    """Rows that belong to no statement: node_prefix, day, revision and how many."""
    return await conn.fetch(
        "SELECT node_prefix, day, revision, count(*) AS rows FROM closed_rows r WHERE day BETWEEN $1 AND $2"
        " AND NOT EXISTS (SELECT FROM day_closes c WHERE (c.node_prefix, c.day, c.revision)"
        " = (r.node_prefix, r.day, r.revision)) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        first,
        last,
    )


async def find_closed_period(conn: Connection, first: date, last: date) -> tuple[date, date]:
    """The first and the last day of a period with a statement or rows; reversed if there are none."""
    (row,) = await conn.fetch(
        "SELECT coalesce(min(day), 'infinity'), coalesce(max(day), '-infinity') FROM"
        " (SELECT day FROM day_closes UNION ALL SELECT day FROM closed_rows) AS d WHERE day BETWEEN $1 AND $2",
        first,
        last,
    )
    return row[0], row[1]


# What is said last of each prefix and day, against the counters of that day.
_DIFFERENCES = """
WITH closed AS (SELECT DISTINCT day FROM day_closes WHERE day BETWEEN $1 AND $2),
stated AS (
    SELECT DISTINCT ON (prefix_id, day) prefix_id, day, registered_new, range_minted, resolutions, resolutions_ok,
           resolutions_uncounted
    FROM closed_rows WHERE day BETWEEN $1 AND $2 ORDER BY prefix_id, day, revision DESC),
counted AS (
    SELECT prefix_id, day, sum(registered)::int8 AS registered_new, sum(minted)::int8 AS range_minted,
           sum(resolutions)::int8 AS resolutions, sum(ok)::int8 AS resolutions_ok,
           sum(uncounted)::int8 AS resolutions_uncounted
    FROM (SELECT prefix_id, day, registered + range_minted AS registered, range_minted AS minted, 0 AS resolutions,
                 0 AS ok, 0 AS uncounted FROM registration_counts WHERE day BETWEEN $1 AND $2
          UNION ALL
          SELECT prefix_id, day, 0, 0, resolutions, resolutions_ok, uncounted FROM resolution_days
          WHERE day BETWEEN $1 AND $2) AS d
    WHERE prefix_id IN (SELECT prefix_id FROM prefixes) GROUP BY 1, 2)
SELECT prefix_id, day, v.measure, v.stated, v.counted
FROM stated s FULL JOIN counted c USING (prefix_id, day) JOIN closed USING (day) CROSS JOIN LATERAL (VALUES
     ('registered_new', coalesce(s.registered_new, 0), coalesce(c.registered_new, 0)),
     ('range_minted', coalesce(s.range_minted, 0), coalesce(c.range_minted, 0)),
     ('resolutions', coalesce(s.resolutions, 0), coalesce(c.resolutions, 0)),
     ('resolutions_ok', coalesce(s.resolutions_ok, 0), coalesce(c.resolutions_ok, 0)),
     ('resolutions_uncounted', coalesce(s.resolutions_uncounted, 0), coalesce(c.resolutions_uncounted, 0)))
     AS v(measure, stated, counted)
WHERE v.stated <> v.counted ORDER BY day, prefix_id, measure
"""


async def fetch_differences(conn: Connection, first: date, last: date) -> list[Record]:
    """Where statements and counters differ: prefix_id, day, measure, stated, counted."""
    return await conn.fetch(_DIFFERENCES, first, last)


# Statements ---------------------------------------------------------------------------------------------------

_SELECT_CLOSES = (
    "SELECT node_prefix, day, revision, sequence, closed_at, reason, row_count, figures, gaps, previous_seal, seal"
    " FROM day_closes"
)


def _to_close(row: Record) -> DayClose:
    close = dict(row) | {"figures": json.loads(row["figures"]), "gaps": json.loads(row["gaps"])}
    return DayClose(**close)


async def insert_close(conn: Connection, close: DayClose) -> None:
    """Add a statement to its chain, with the chain's end."""
    await conn.execute(
        "INSERT INTO day_closes (node_prefix, day, revision, sequence, closed_at, reason, row_count, figures, gaps,"
        " previous_seal, seal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        close.node_prefix, close.day, close.revision, close.sequence, close.closed_at, close.reason, close.row_count,
        json.dumps(close.figures), json.dumps(close.gaps, ensure_ascii=False), close.previous_seal, close.seal,
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO seal_ends (node_prefix, sequence, seal) VALUES ($1, $2, $3)"
        " ON CONFLICT (node_prefix) DO UPDATE SET sequence = $2, seal = $3",
        close.node_prefix,
        close.sequence,
        close.seal,
    )


async def find_end(conn: Connection, node_prefix: str) -> tuple[int, bytes] | None:
    """Sequence and seal of the last statement, as noted beside the chain."""
    row = await conn.fetchrow("SELECT sequence, seal FROM seal_ends WHERE node_prefix = $1", node_prefix)
    return None if row is None else (row["sequence"], row["seal"])


async def find_last_closed(conn: Connection, node_prefix: str) -> date | None:
    last: date | None = await conn.fetchval("SELECT max(day) FROM day_closes WHERE node_prefix = $1", node_prefix)
    return last


async def find_last_closing(conn: Connection) -> datetime | None:
    """When a day was closed or revised last."""
    at: datetime | None = await conn.fetchval("SELECT max(closed_at) FROM day_closes")
    return at


async def fetch_closes(
    conn: Connection, node_prefix: str | None = None, first: date | None = None, last: date | None = None
) -> list[DayClose]:
    """Statements in the order of their chains."""
    rows = await conn.fetch(
        f"{_SELECT_CLOSES} WHERE ($1::text IS NULL OR node_prefix = $1) AND day >= coalesce($2::date, '-infinity')"
        " AND day <= coalesce($3::date, 'infinity') ORDER BY node_prefix, sequence",
        node_prefix,
        first,
        last,
    )
    return [_to_close(row) for row in rows]


async def fetch_revisions(conn: Connection, first: date, last: date) -> list[DayClose]:
    """Later statements on days of a period, in the order they were made."""
    rows = await conn.fetch(
        f"{_SELECT_CLOSES} WHERE revision > 1 AND day BETWEEN $1 AND $2 ORDER BY closed_at, node_prefix", first, last
    )
    return [_to_close(row) for row in rows]


async def fetch_last_days(conn: Connection) -> dict[str, date]:
    """The last day that each secondary prefix has closed."""
    rows = await conn.fetch("SELECT node_prefix, max(day) AS day FROM day_closes GROUP BY 1")
    return {row["node_prefix"]: row["day"] for row in rows}


async def fetch_node_prefixes(conn: Connection) -> list[str]:
    """Secondary prefixes that ever closed a day, or whose rows or chain's end are there."""
    rows = await conn.fetch("SELECT node_prefix FROM day_closes UNION SELECT node_prefix FROM seal_ends ORDER BY 1")
    return [row["node_prefix"] for row in rows]
