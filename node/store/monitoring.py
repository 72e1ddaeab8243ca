"""What monitoring asks the database: a few rows each, whatever the node holds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asyncpg import Connection, Record


@dataclass(frozen=True, slots=True)
class LogState:
    """`pending`: entries without a position yet; `counted`: the last one the agent has added to the counters."""

    position: int
    pending: int
    counted: int
    oldest: datetime | None  # of the entries that wait for a position


async def fetch_log_state(conn: Connection) -> LogState | None:
    row = await conn.fetchrow(
        "SELECT l.position, p.number, coalesce(c.position, 0), p.oldest FROM change_log l"
        " CROSS JOIN (SELECT count(*) AS number, min(at) AS oldest FROM changes_pending) p"
        " LEFT JOIN counted_changes c ON c.log_id = l.log_id"
    )
    return None if row is None else LogState(row[0], row[1], row[2], row[3])


async def fetch_jobs(conn: Connection) -> dict[str, int]:
    """Open ones by state, and those that failed within a day."""
    rows = await conn.fetch(
        "SELECT state, count(*) AS number FROM jobs"
        " WHERE state IN ('queued', 'running') OR (state = 'failed' AND changed > now() - interval '1 day')"
        " GROUP BY state"
    )
    return {"queued": 0, "running": 0, "failed": 0} | {row["state"]: row["number"] for row in rows}


async def fetch_totals(conn: Connection) -> dict[str, int]:
    """Sums over all counters: for once a minute, not for every look."""
    row: Any = await conn.fetchrow(
        "SELECT coalesce(sum(registered), 0)::int8 AS rows, coalesce(sum(range_minted), 0)::int8 AS members,"
        " coalesce(sum(retired - restored), 0)::int8 AS retired,"
        " (SELECT count(*) FROM enterprises) AS enterprises FROM registration_counts"
    )
    return dict(row)


async def fetch_outbox(conn: Connection) -> dict[str, int]:
    """Messages to the top-level node that wait, were refused, or were given up."""
    rows = await conn.fetch(
        "SELECT state, count(*) AS number FROM outbox WHERE state IN ('waiting', 'sent', 'refused', 'dead')"
        " GROUP BY state"
    )
    return {"waiting": 0, "sent": 0, "refused": 0, "dead": 0} | {row["state"]: row["number"] for row in rows}


async def fetch_unread_problems(conn: Connection, limit: int) -> list[Record]:
    """prefix, number and latest of problem reports nobody has taken up, by prefix; who waits longest comes first."""
    return await conn.fetch(
        "SELECT p.prefix, count(*) AS number, max(r.report_id) AS latest FROM problem_reports r"
        " JOIN prefixes p USING (prefix_id) WHERE r.state = 'open' AND p.sandbox_of IS NULL"
        " GROUP BY p.prefix ORDER BY min(r.report_id) LIMIT $1",
        limit,
    )


async def find_fact(conn: Connection, name: str) -> str | None:
    found: str | None = await conn.fetchval("SELECT value FROM node_facts WHERE name = $1", name)
    return found


async def delete_fact(conn: Connection, name: str) -> bool:
    """Whether there was one."""
    return await conn.fetchval("DELETE FROM node_facts WHERE name = $1 RETURNING true", name) is not None
