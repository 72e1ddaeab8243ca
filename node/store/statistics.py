# ruff: noqa: S608 - the queries are put together from the constants of this file, never from values
"""Sums of the counters by whom they belong to; the caller owns the transaction.

$1 and $2 are the first and last day of the period, $3 the prefix_ids it is limited to, or null. A counter belongs to
the enterprise that owned the prefix on that day, and to the unit, area and industry of that enterprise on that day.
"""

from collections.abc import Sequence
from datetime import date

from asyncpg import Connection, Record

MEASURES = (
    "registered_new",
    "range_minted",
    "registered_total",
    "registered_live",
    "retired_total",
    "resolutions",
    "resolutions_ok",
    "resolutions_uncounted",
)

_DAILY = """
daily AS (
    SELECT prefix_id, day, template_id, registered + range_minted AS issued, range_minted AS minted,
           retired - restored AS gone, moved, 0 AS resolutions, 0 AS resolutions_ok, 0 AS uncounted
    FROM registration_counts WHERE day <= $2 AND ($3::int4[] IS NULL OR prefix_id = ANY($3))
  UNION ALL
    SELECT prefix_id, day, template_id, 0, 0, 0, 0, resolutions, resolutions_ok, uncounted
    FROM resolution_days WHERE day BETWEEN $1 AND $2 AND ($3::int4[] IS NULL OR prefix_id = ANY($3))
)"""

_PLACED = f"""{_DAILY},
placed AS (
    SELECT d.*, o.enterprise_id, p.unit_id, nullif(p.division_code, '') AS division_code, p.industry
    FROM daily d
    LEFT JOIN prefix_owners o ON o.prefix_id = d.prefix_id AND d.day >= o.from_day
         AND (o.to_day IS NULL OR d.day < o.to_day)
    LEFT JOIN placements p ON p.enterprise_id = o.enterprise_id AND d.day >= p.from_day
         AND (p.to_day IS NULL OR d.day < p.to_day)
    WHERE d.prefix_id <> 0
)"""

_SUMS = """
    coalesce(sum(issued) FILTER (WHERE day >= $1), 0)::int8 AS registered_new,
    coalesce(sum(minted) FILTER (WHERE day >= $1), 0)::int8 AS range_minted,
    sum(issued)::int8 AS registered_total,
    sum(issued - gone + moved)::int8 AS registered_live,
    sum(gone)::int8 AS retired_total,
    sum(resolutions)::int8 AS resolutions,
    sum(resolutions_ok)::int8 AS resolutions_ok,
    sum(uncounted)::int8 AS resolutions_uncounted"""

_OUT = ", ".join(f"coalesce(s.{measure}, 0) AS {measure}" for measure in MEASURES)

# Where an enterprise stands on the last day; one that was connected before its first placement stands there.
_STANDING = """
LEFT JOIN LATERAL (
    SELECT unit_id, nullif(division_code, '') AS division_code, industry FROM placements
    WHERE enterprise_id = e.enterprise_id ORDER BY from_day <= $2 DESC, abs(from_day - $2) LIMIT 1
) AS p ON true"""

# A distinct social credit code with at least one enabled prefix, from the day that its file or first enabling gives.
_CONNECTED = f"""
    SELECT e.certificate_code, e.connected_on, p.unit_id, p.division_code, p.industry
    FROM enterprises e {_STANDING}
    WHERE e.certificate_type = 1 AND e.connected_on <= $2 AND EXISTS (
        SELECT FROM prefix_owners o JOIN prefixes x USING (prefix_id)
        WHERE o.enterprise_id = e.enterprise_id AND x.state = 1 AND (o.to_day IS NULL OR o.to_day > $2)
          AND ($3::int4[] IS NULL OR o.prefix_id = ANY($3)))"""

_BY_ENTERPRISE = f"""
WITH {_PLACED},
sums AS (SELECT enterprise_id, prefix_id, {_SUMS} FROM placed GROUP BY 1, 2),
owned AS (SELECT DISTINCT enterprise_id, prefix_id FROM prefix_owners
          WHERE from_day <= $2 AND ($3::int4[] IS NULL OR prefix_id = ANY($3)))
SELECT enterprise_id, e.name AS enterprise, e.certificate_code, x.prefix, p.unit_id, u.name AS unit, p.division_code,
       p.industry, {_OUT}
FROM owned FULL JOIN sums s USING (enterprise_id, prefix_id)
LEFT JOIN enterprises e USING (enterprise_id)
LEFT JOIN prefixes x USING (prefix_id) {_STANDING}
LEFT JOIN units u ON u.unit_id = p.unit_id
ORDER BY enterprise_id NULLS LAST, x.prefix
"""

_BY_UNIT = f"""
WITH {_PLACED},
sums AS (SELECT unit_id, {_SUMS} FROM placed GROUP BY 1),
connected AS (SELECT unit_id, count(DISTINCT certificate_code) AS enterprises_connected
              FROM ({_CONNECTED}) AS c GROUP BY 1),
listed AS (SELECT unit_id, name, division_code FROM units UNION ALL VALUES (NULL::int4, NULL::text, NULL::text))
SELECT l.unit_id, l.name AS unit, l.division_code, coalesce(c.enterprises_connected, 0) AS enterprises_connected,
       {_OUT}
FROM listed l LEFT JOIN sums s ON s.unit_id IS NOT DISTINCT FROM l.unit_id
LEFT JOIN connected c ON c.unit_id IS NOT DISTINCT FROM l.unit_id
ORDER BY l.unit_id NULLS LAST
"""

_BY_AREA = f"""
WITH {_PLACED},
sums AS (SELECT division_code, {_SUMS} FROM placed GROUP BY 1),
connected AS (SELECT division_code, count(DISTINCT certificate_code) AS enterprises_connected
              FROM ({_CONNECTED}) AS c GROUP BY 1),
listed AS (SELECT division_code FROM sums UNION SELECT division_code FROM connected UNION SELECT NULL)
SELECT l.division_code, coalesce(c.enterprises_connected, 0) AS enterprises_connected, {_OUT}
FROM listed l LEFT JOIN sums s ON s.division_code IS NOT DISTINCT FROM l.division_code
LEFT JOIN connected c ON c.division_code IS NOT DISTINCT FROM l.division_code
ORDER BY l.division_code NULLS LAST
"""

_BY_INDUSTRY = f"""
WITH {_PLACED},
sums AS (SELECT nullif(industry[1:$4], '{{}}') AS industry, {_SUMS} FROM placed GROUP BY 1),
connected AS (SELECT nullif(industry[1:$4], '{{}}') AS industry, count(DISTINCT certificate_code)
              AS enterprises_connected FROM ({_CONNECTED}) AS c GROUP BY 1),
listed AS (SELECT industry FROM sums UNION SELECT industry FROM connected UNION SELECT NULL)
SELECT l.industry, coalesce(c.enterprises_connected, 0) AS enterprises_connected, {_OUT}
FROM listed l LEFT JOIN sums s ON s.industry IS NOT DISTINCT FROM l.industry
LEFT JOIN connected c ON c.industry IS NOT DISTINCT FROM l.industry
ORDER BY l.industry NULLS LAST
"""

_BY_TEMPLATE = f"""
WITH {_DAILY},
sums AS (SELECT prefix_id, template_id, {_SUMS} FROM daily WHERE prefix_id <> 0 GROUP BY 1, 2),
listed AS (SELECT prefix_id, template_id FROM sums UNION SELECT prefix_id, template_id FROM templates
           WHERE deleted IS NULL AND ($3::int4[] IS NULL OR prefix_id = ANY($3)))
SELECT nullif(template_id, 0) AS template_id, t.version, x.prefix, {_OUT}
FROM listed LEFT JOIN sums s USING (prefix_id, template_id)
LEFT JOIN templates t USING (template_id) LEFT JOIN prefixes x ON x.prefix_id = listed.prefix_id
ORDER BY x.prefix, template_id
"""

_BY_DAY = f"""
WITH {_DAILY},
sums AS (
    SELECT greatest(day, $1) AS day,
           sum(issued) FILTER (WHERE day >= $1) AS issued_now, sum(minted) FILTER (WHERE day >= $1) AS minted_now,
           sum(issued) AS issued, sum(gone) AS gone, sum(issued - gone + moved) AS live,
           sum(resolutions) FILTER (WHERE prefix_id <> 0) AS resolutions,
           sum(resolutions_ok) FILTER (WHERE prefix_id <> 0) AS resolutions_ok,
           sum(uncounted) FILTER (WHERE prefix_id <> 0) AS uncounted,
           sum(resolutions) FILTER (WHERE prefix_id = 0) AS resolutions_foreign,
           sum(resolutions_ok) FILTER (WHERE prefix_id = 0) AS resolutions_foreign_ok
    FROM daily GROUP BY 1),
connected AS (SELECT greatest(connected_on, $1) AS day, count(*) AS all_until,
                     count(*) FILTER (WHERE connected_on >= $1) AS new
              FROM (SELECT certificate_code, min(connected_on) AS connected_on FROM ({_CONNECTED}) AS c GROUP BY 1)
              AS d GROUP BY 1)
SELECT day::date AS day,
       coalesce(issued_now, 0)::int8 AS registered_new, coalesce(minted_now, 0)::int8 AS range_minted,
       coalesce(sum(issued) OVER w, 0)::int8 AS registered_total, coalesce(sum(live) OVER w, 0)::int8
       AS registered_live, coalesce(sum(gone) OVER w, 0)::int8 AS retired_total,
       coalesce(resolutions, 0)::int8 AS resolutions, coalesce(resolutions_ok, 0)::int8 AS resolutions_ok,
       coalesce(uncounted, 0)::int8 AS resolutions_uncounted,
       coalesce(resolutions_foreign, 0)::int8 AS resolutions_foreign,
       coalesce(resolutions_foreign_ok, 0)::int8 AS resolutions_foreign_ok,
       coalesce(c.new, 0) AS enterprises_new, coalesce(sum(c.all_until) OVER w, 0)::int8 AS enterprises_connected
FROM (SELECT g::date AS day FROM generate_series($1::date, $2::date, interval '1 day') AS g) AS days
LEFT JOIN sums s USING (day) LEFT JOIN connected c USING (day)
WINDOW w AS (ORDER BY day) ORDER BY day
"""

QUERIES = {
    "enterprise": _BY_ENTERPRISE,
    "unit": _BY_UNIT,
    "area": _BY_AREA,
    "industry": _BY_INDUSTRY,
    "template": _BY_TEMPLATE,
    "day": _BY_DAY,
}


async def fetch_sums(
    conn: Connection, by: str, period: tuple[date, date], prefix_ids: Sequence[int] | None, industry_level: int = 4
) -> list[Record]:
    """One row per group; `by` is a key of QUERIES."""
    arguments: list[object] = [*period, None if prefix_ids is None else list(prefix_ids)]
    if by == "industry":
        arguments.append(industry_level)
    return await conn.fetch(QUERIES[by], *arguments)


async def find_first_day(conn: Connection) -> date | None:
    """The first day that has a counter, or on which an enterprise was connected."""
    first: date | None = await conn.fetchval(
        "SELECT least((SELECT min(day) FROM registration_counts), (SELECT min(day) FROM resolution_days),"
        " (SELECT min(connected_on) FROM enterprises))"
    )
    return first


async def fetch_prefix_ids(conn: Connection, prefixes: Sequence[str]) -> list[int]:
    rows = await conn.fetch("SELECT prefix_id FROM prefixes WHERE prefix = ANY($1)", list(prefixes))
    return [row["prefix_id"] for row in rows]


async def fetch_answers(conn: Connection, day: date) -> list[Record]:
    """The hourly counters of one day."""
    return await conn.fetch(
        "SELECT prefix_id, day, hour, template_id, transport, outcome, client_class, answers FROM resolution_counts"
        " WHERE day = $1",
        day,
    )


async def fetch_days(conn: Connection, day: date) -> list[Record]:
    return await conn.fetch(
        "SELECT prefix_id, day, template_id, resolutions, resolutions_ok, uncounted FROM resolution_days"
        " WHERE day = $1",
        day,
    )


async def fetch_clients(conn: Connection, day: date) -> list[Record]:
    return await conn.fetch(
        "SELECT prefix_id, day, client_class, host(address) AS address, answers FROM resolution_clients WHERE day = $1",
        day,
    )


async def fetch_prefix_names(conn: Connection) -> dict[int, str]:
    rows = await conn.fetch("SELECT prefix_id, prefix FROM prefixes")
    return {row["prefix_id"]: row["prefix"] for row in rows}
