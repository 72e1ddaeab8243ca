"""SQL of how the node answered, day by day; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from asyncpg import Connection, Record

from node.store.reports import BELOW


async def save_peaks(conn: Connection, peaks: Mapping[tuple[int, date], tuple[int, datetime]]) -> None:
    """(prefix_id, day) → (requests, when); only what is more than before."""
    await conn.executemany(
        "INSERT INTO monitor_peaks AS p (prefix_id, day, requests, at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (prefix_id, day) DO UPDATE SET requests = excluded.requests, at = excluded.at"
        " WHERE excluded.requests > p.requests",
        [(*key, *peak) for key, peak in sorted(peaks.items())],
    )


async def fetch_samples(conn: Connection, node_prefixes: Sequence[str], after: int, limit: int) -> list[Record]:
    """The next prefixes in use, in order, each with an identifier to ask for: its first, or none."""
    return await conn.fetch(
        "SELECT x.prefix_id, x.prefix, (SELECT coalesce(r.suffix, r.suffix_key) FROM records r"
        " WHERE r.prefix_id = x.prefix_id AND r.template_id > 0 ORDER BY r.suffix_key LIMIT 1) AS suffix"
        " FROM prefixes x WHERE x.prefix_id > $2 AND x.state = 1 AND x.hosting <> 1 AND x.sandbox_of IS NULL"
        " AND EXISTS (SELECT FROM unnest($1::text[]) n WHERE starts_with(x.prefix, n || '.'))"
        " ORDER BY x.prefix_id LIMIT $3",
        list(node_prefixes),
        after,
        limit,
    )


_SPANS = (
    "sum(number)::int8 AS number, sum(total_us)::int8 AS total_us, max(longest_us) AS longest_us,"
    " (array_agg(longest_at ORDER BY longest_us DESC, longest_at))[1] AS longest_at, min(shortest_us) AS shortest_us,"
    " (array_agg(shortest_at ORDER BY shortest_us, shortest_at))[1] AS shortest_at"
)


async def fetch_node_spans(conn: Connection, node_prefix: str, day: date) -> dict[str, Record]:
    """How long answers took over all prefixes of a secondary prefix, by kind."""
    rows = await conn.fetch(
        f"SELECT kind, {_SPANS} FROM monitor_days JOIN prefixes x USING (prefix_id)"  # noqa: S608
        " WHERE day = $2 AND (x.prefix = $1 OR starts_with(x.prefix, $1 || '.')) AND x.sandbox_of IS NULL"
        " GROUP BY kind",
        node_prefix,
        day,
    )
    return {row["kind"]: row for row in rows}


async def fetch_months(conn: Connection, node_prefix: str, first: date) -> list[Record]:
    """How long answers took over all prefixes of a secondary prefix, by month from a day on: kind resolve, register."""
    return await conn.fetch(
        "SELECT to_char(day, 'YYYY-MM') AS month, kind, count(DISTINCT day) AS days, sum(number)::int8 AS number,"
        " sum(total_us)::int8 AS total_us, max(longest_us) AS longest_us FROM monitor_days"
        " JOIN prefixes x USING (prefix_id) WHERE day >= $2 AND (x.prefix = $1 OR starts_with(x.prefix, $1 || '.'))"
        " AND x.sandbox_of IS NULL GROUP BY 1, 2 ORDER BY 1, 2",
        node_prefix,
        first,
    )


async def find_peak(conn: Connection, prefix_id: int, day: date) -> Record | None:
    return await conn.fetchrow(
        "SELECT requests, at FROM monitor_peaks WHERE prefix_id = $1 AND day = $2", prefix_id, day
    )


async def fetch_monitored(conn: Connection, node_prefix: str, day: date) -> list[Record]:
    """Enterprises' prefixes that were enabled by that day, in order of prefix_id."""
    return await conn.fetch(
        f"SELECT x.prefix_id, x.prefix, n.document::text AS said FROM prefixes x"  # noqa: S608
        f" LEFT JOIN enterprise_node_monitors n ON n.prefix_id = x.prefix_id AND n.day = $2"
        f" WHERE {BELOW} AND x.enabled_on <= $2 ORDER BY x.prefix_id",
        node_prefix,
        day,
    )


async def fetch_spans(conn: Connection, prefix_ids: Sequence[int], day: date) -> dict[tuple[int, str], Record]:
    """(prefix_id, kind) → how long answers took."""
    rows = await conn.fetch(
        "SELECT prefix_id, kind, number, total_us, longest_us, longest_at, shortest_us, shortest_at FROM monitor_days"
        " WHERE prefix_id = ANY($1) AND day = $2",
        list(prefix_ids),
        day,
    )
    return {(row["prefix_id"], row["kind"]): row for row in rows}


async def fetch_peaks(conn: Connection, prefix_ids: Sequence[int], day: date) -> dict[int, Record]:
    rows = await conn.fetch(
        "SELECT prefix_id, requests, at FROM monitor_peaks WHERE prefix_id = ANY($1) AND day = $2",
        list(prefix_ids),
        day,
    )
    return {row["prefix_id"]: row for row in rows}


async def forget_days(conn: Connection, before: date) -> None:
    """What was reported long ago."""
    for table in ("monitor_days", "monitor_peaks", "enterprise_node_monitors", "operating_days"):
        await conn.execute(f"DELETE FROM {table} WHERE day < $1", before)  # noqa: S608
