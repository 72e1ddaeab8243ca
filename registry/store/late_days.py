"""Closed days about which more is known since: they wait for a revision. Who counts notes them, and who enters late."""

from collections.abc import Iterable
from datetime import date

from asyncpg import Connection

# The key of a lock: who holds it adds to counters and rollups, or closes a day (7241001: number_changes(), 7241002:
# work of agents).
ROLLUPS_LOCK = 7241003


async def lock_rollups(conn: Connection) -> None:
    """To the end of the transaction; before anything is added to the counters, or two might wait for each other."""
    await conn.execute("SELECT pg_advisory_xact_lock($1)", ROLLUPS_LOCK)


async def mark_late_days(
    conn: Connection, reason: str, days: Iterable[date] = (), *, since: date | None = None
) -> None:
    """Of these days, and of all from `since` on, those that are closed; in the transaction that changes their figures.

    The caller holds the lock of the rollups, so that no day is being closed meanwhile.

    `reason`: registrations, resolutions, or enterprises (whose a prefix was, or who was connected, is only said now).
    """
    await conn.execute(
        "INSERT INTO late_days AS l (day, first_at, last_at, reason)"
        " SELECT DISTINCT day, now(), now(), $3 FROM day_closes WHERE day = ANY($1::date[]) OR day >= $2"
        " ON CONFLICT (day) DO UPDATE SET last_at = now(),"
        " reason = CASE WHEN l.reason = $3 THEN $3 ELSE 'both' END",
        sorted(days),
        since,
        reason,
    )
