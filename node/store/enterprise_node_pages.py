"""SQL of the pages of enterprises' nodes: what they told beside what we counted. The caller owns the transaction.

Only days count on which the prefix belonged to its present owner: those before are another enterprise's.
"""

from collections.abc import Sequence
from datetime import date, datetime

from asyncpg import Connection, Record


async def fetch_nodes(
    conn: Connection, day: date, prefixes: Sequence[str] | None = None, area: tuple[str, int | None] | None = None
) -> list[Record]:
    """Attached nodes with what they say of a day beside what we counted ourselves: all, or of prefixes, or of an area.

    `area`: what the division code begins with, and the unit if it is one alone.
    """
    return await conn.fetch(
        "SELECT x.prefix, e.name AS enterprise, n.software, n.route::text AS route, n.route_state, n.trouble,"
        " n.probed, n.seen,"
        " d.registered_new AS node_registered_new, d.registered_total AS node_registered_total,"
        " d.resolutions AS node_resolutions, d.resolutions_ok AS node_resolutions_ok,"
        " CASE WHEN b.is_own THEN coalesce((SELECT sum(r.resolutions)::int8 FROM resolution_days r"
        " WHERE r.prefix_id = n.prefix_id AND r.day = $1), 0) END AS resolutions,"
        " CASE WHEN b.is_own THEN coalesce((SELECT sum(c.registered + c.range_minted)::int8 FROM registration_counts c"
        " WHERE c.prefix_id = n.prefix_id AND c.day = $1), 0) END AS registered_new"
        " FROM enterprise_nodes n JOIN prefixes x USING (prefix_id)"
        " LEFT JOIN prefix_owners o ON o.prefix_id = n.prefix_id AND o.to_day IS NULL"
        " LEFT JOIN enterprises e USING (enterprise_id)"
        " LEFT JOIN placements p ON p.enterprise_id = o.enterprise_id AND p.to_day IS NULL"
        " CROSS JOIN LATERAL (SELECT NOT EXISTS (SELECT FROM prefix_owners w WHERE w.prefix_id = n.prefix_id"
        " AND w.to_day > $1) AS is_own) b"
        " LEFT JOIN enterprise_node_days d ON d.prefix_id = n.prefix_id AND d.day = $1 AND b.is_own"
        " WHERE ($2::text[] IS NULL OR x.prefix = ANY($2)) AND ($3::text IS NULL OR starts_with(p.division_code, $3))"
        " AND ($4::int4 IS NULL OR p.unit_id = $4) ORDER BY x.prefix",
        day,
        None if prefixes is None else list(prefixes),
        *(area or (None, None)),
    )


async def find_node(conn: Connection, prefix: str, area: tuple[str, int | None] | None = None) -> Record | None:
    """One attached node, if it is of the area; `since`: the first day of its owner, None if there was no other."""
    return await conn.fetchrow(
        "SELECT n.prefix_id, x.prefix, x.hosting, e.enterprise_id, e.name AS enterprise, n.software,"
        " n.route::text AS route, n.route_state, n.trouble, n.probed, n.attached, n.seen, n.metadata_revision,"
        " n.metadata_at, (SELECT max(w.to_day) FROM prefix_owners w WHERE w.prefix_id = n.prefix_id) AS since"
        " FROM enterprise_nodes n JOIN prefixes x USING (prefix_id)"
        " LEFT JOIN prefix_owners o ON o.prefix_id = n.prefix_id AND o.to_day IS NULL"
        " LEFT JOIN enterprises e USING (enterprise_id)"
        " LEFT JOIN placements p ON p.enterprise_id = o.enterprise_id AND p.to_day IS NULL"
        " WHERE x.prefix = $1 AND ($2::text IS NULL OR starts_with(p.division_code, $2))"
        " AND ($3::int4 IS NULL OR p.unit_id = $3)",
        prefix,
        *(area or (None, None)),
    )


async def fetch_days(conn: Connection, prefix_id: int, period: tuple[date, date]) -> list[Record]:
    """One row for each day of a period, the last first: figures of days, logs and master data, theirs beside ours."""
    return await conn.fetch(
        "SELECT s.day, d.revision, d.registered_new AS node_registered_new,"
        " d.registered_total AS node_registered_total, d.resolutions AS node_resolutions,"
        " d.resolutions_ok AS node_resolutions_ok, d.sources::text AS sources, b.registered_total AS total_before,"
        " (SELECT coalesce(sum(c.registered + c.range_minted), 0)::int8 FROM registration_counts c"
        " WHERE c.prefix_id = $1 AND c.day = s.day) AS registered_new,"
        " (SELECT coalesce(sum(r.resolutions), 0)::int8 FROM resolution_days r WHERE r.prefix_id = $1"
        " AND r.day = s.day) AS resolutions,"
        " l.resolve_lines, l.resolve_ok, l.register_lines, l.register_ok,"
        " m.master_rows, m.added, m.retired, m.changed"
        " FROM (SELECT $2::date + n AS day FROM generate_series(0, $3::date - $2::date) AS n) AS s"
        " LEFT JOIN enterprise_node_days d ON d.prefix_id = $1 AND d.day = s.day"
        " LEFT JOIN enterprise_node_days b ON b.prefix_id = $1 AND b.day = s.day - 1"
        " LEFT JOIN LATERAL (SELECT sum(line_count) FILTER (WHERE kind = 'resolve') AS resolve_lines,"
        " sum(ok_count) FILTER (WHERE kind = 'resolve') AS resolve_ok,"
        " sum(line_count) FILTER (WHERE kind = 'register') AS register_lines,"
        " sum(ok_count) FILTER (WHERE kind = 'register') AS register_ok"
        " FROM enterprise_node_logs WHERE prefix_id = $1 AND day = s.day) l ON true"
        " LEFT JOIN LATERAL (SELECT sum(row_count)::int8 AS master_rows, sum(added)::int8 AS added,"
        " sum(retired)::int8 AS retired, sum(changed)::int8 AS changed FROM enterprise_node_master"
        " WHERE prefix_id = $1 AND day = s.day) m ON true ORDER BY s.day DESC",
        prefix_id,
        *period,
    )


async def fetch_monitors(conn: Connection, prefix_id: int, period: tuple[date, date]) -> list[Record]:
    """Days of which the node said how it answered, the last first, beside what we measured of the prefix."""
    return await conn.fetch(
        "SELECT n.day, n.document::text AS document, k.requests AS peak,"
        " v.total_us / nullif(v.number, 0) / 1000.0 AS resolve_ms, w.total_us / nullif(w.number, 0) / 1000.0"
        " AS register_ms FROM enterprise_node_monitors n"
        " LEFT JOIN monitor_peaks k ON k.prefix_id = n.prefix_id AND k.day = n.day"
        " LEFT JOIN monitor_days v ON v.prefix_id = n.prefix_id AND v.day = n.day AND v.kind = 'resolve'"
        " LEFT JOIN monitor_days w ON w.prefix_id = n.prefix_id AND w.day = n.day AND w.kind = 'register'"
        " WHERE n.prefix_id = $1 AND n.day BETWEEN $2 AND $3 ORDER BY n.day DESC",
        prefix_id,
        *period,
    )


async def fetch_events(conn: Connection, prefix_id: int, since: datetime, limit: int) -> list[Record]:
    """The last ones first; `begun`: whether the fault that it ends is here, too."""
    return await conn.fetch(
        "SELECT e.event_id, e.at, e.document::text AS document, e.told, r.number IS NOT NULL AS begun,"
        " EXISTS (SELECT FROM enterprise_node_events a WHERE a.prefix_id = e.prefix_id"
        " AND a.document->>'relatedEventId' = e.event_id) AS is_over FROM enterprise_node_events e"
        " LEFT JOIN enterprise_node_events r ON r.prefix_id = e.prefix_id AND r.event_id ="
        " e.document->>'relatedEventId' WHERE e.prefix_id = $1 AND e.at >= $2 ORDER BY e.at DESC, e.number DESC"
        " LIMIT $3",
        prefix_id,
        since,
        limit,
    )


async def fetch_templates(conn: Connection, prefix_id: int) -> list[Record]:
    return await conn.fetch(
        "SELECT handle, document::text AS document FROM enterprise_node_templates WHERE prefix_id = $1 ORDER BY handle",
        prefix_id,
    )


async def fetch_parts(conn: Connection, prefix_id: int, day: date) -> list[Record]:
    """Parts of master data and logs of a day. goes_up: of master data alone."""
    return await conn.fetch(
        "SELECT 'master' AS kind, part, revision, row_count AS rows, size, received, goes_up,"
        " told_revision IS NOT DISTINCT FROM revision AS is_told FROM enterprise_node_master"
        " WHERE prefix_id = $1 AND day = $2 UNION ALL"
        " SELECT kind, part, revision, line_count, size, received, false, false FROM enterprise_node_logs"
        " WHERE prefix_id = $1 AND day = $2 ORDER BY 1, 2",
        prefix_id,
        day,
    )


async def find_log_body(conn: Connection, prefix_id: int, place: tuple[date, str, int]) -> bytes | None:
    """The lines of a part (day, kind, part), gzip."""
    body: bytes | None = await conn.fetchval(
        "SELECT body FROM enterprise_node_logs WHERE prefix_id = $1 AND day = $2 AND kind = $3 AND part = $4",
        prefix_id,
        *place,
    )
    return body
