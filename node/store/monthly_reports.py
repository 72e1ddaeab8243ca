"""SQL of the monthly report; the caller owns the transaction."""

from collections.abc import Mapping
from datetime import date

from asyncpg import Connection

from node.store.reports import BELOW


async def add_operating(conn: Connection, spans: Mapping[date, int]) -> None:
    """Milliseconds in which the node answered, by day."""
    await conn.executemany(
        "INSERT INTO operating_days AS o VALUES ($1, $2)"
        " ON CONFLICT (day) DO UPDATE SET milliseconds = o.milliseconds + excluded.milliseconds",
        sorted(spans.items()),
    )


async def find_operating(conn: Connection, first: date, last: date) -> int | None:
    """Milliseconds over the days from first to last; None if nobody looked on any of them."""
    found: int | None = await conn.fetchval(
        "SELECT sum(milliseconds)::int8 FROM operating_days WHERE day BETWEEN $1 AND $2", first, last
    )
    return found


async def fetch_effective(conn: Connection, node_prefix: str, first: date, last: date) -> dict[str, tuple[int, float]]:
    """Month → (prefixes first enabled in it, hours from our approval until they could be resolved, together).

    Where the node above must agree there are two approvals, ours and the one that enabled.
    """
    rows = await conn.fetch(
        "SELECT to_char(x.enabled_on, 'YYYY-MM') AS month, count(*) AS number,"  # noqa: S608
        " sum(extract(epoch FROM d.enabled - d.approved) / 3600)::float8 AS hours FROM prefixes x JOIN LATERAL ("
        "   SELECT min(at) AS approved, max(at) AS enabled FROM decisions WHERE prefix = x.prefix"
        "   AND decision = 'approved' AND at > coalesce((SELECT max(at) FROM decisions"
        "     WHERE prefix = x.prefix AND decision = 'resubmitted'), '-infinity')) AS d ON d.approved IS NOT NULL"
        f" WHERE {BELOW} AND x.enabled_on BETWEEN $2 AND $3 GROUP BY 1",
        node_prefix,
        first,
        last,
    )
    return {row["month"]: (row["number"], row["hours"]) for row in rows}


async def fetch_unreported(conn: Connection, month: str, states: tuple[str, ...]) -> list[str]:
    """Secondary prefixes that told of a day of that month, without a report of it in one of these states."""
    rows = await conn.fetch(
        "SELECT DISTINCT prefix FROM outbox o WHERE table_name = 'T3' AND period BETWEEN $1 || '-01' AND $1 || '-31'"
        " AND NOT EXISTS (SELECT FROM outbox m WHERE m.table_name = 'MR' AND m.period = $1 AND m.prefix = o.prefix"
        " AND m.state = ANY($2)) ORDER BY 1",
        month,
        list(states),
    )
    return [row["prefix"] for row in rows]
