# ruff: noqa: S608 - the queries are put together from the constants of this file, never from values
"""Figures of a period from the running totals, by whom they belong to; the caller owns the transaction.

A counter belongs to the enterprise that owned the prefix on that day, and to the unit, area and industry of that
enterprise on that day. So a prefix's time is cut at every day on which its owner or their place changed, and where the
period begins and ends; the figure of each piece is the difference of two running totals. The cost depends on the number
of prefixes and changes, not on the number of days. Adjoining pieces are taken for one before a total is read.

Of all queries $1 and $2 are the first and last day of the period. What they are limited to (`Bounds`): $3 prefix_ids,
$4 an enterprise, $5 the beginning of a division's code, $6 a unit, $7 the beginning of an industry's path; null: not
limited.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from asyncpg import Connection, Record

from schemas.resolution_log import Outcome

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


@dataclass(frozen=True, slots=True)
class Bounds:
    """What figures are limited to; None is no limit."""

    prefix_ids: Sequence[int] | None = None
    enterprise_id: int | None = None
    division_head: str | None = None
    unit_id: int | None = None
    industry: Sequence[str] | None = None

    @property
    def are_none(self) -> bool:
        return self == Bounds()

    @property
    def arguments(self) -> tuple[object, ...]:
        prefix_ids = None if self.prefix_ids is None else list(self.prefix_ids)
        industry = None if self.industry is None else list(self.industry)
        return prefix_ids, self.enterprise_id, self.division_head, self.unit_id, industry


# Days on which a prefix's figures may begin to belong to somebody else.
_CHANGES = """
    SELECT prefix_id, from_day AS point FROM prefix_owners WHERE from_day <= $2
  UNION SELECT prefix_id, to_day FROM prefix_owners WHERE to_day <= $2
  UNION SELECT o.prefix_id, b.point FROM prefix_owners o JOIN placements p USING (enterprise_id)
        CROSS JOIN LATERAL (VALUES (p.from_day), (p.to_day)) AS b(point)
        WHERE b.point > o.from_day AND b.point <= $2 AND (o.to_day IS NULL OR b.point < o.to_day)"""


def _points(days: str) -> str:
    """prefix_id, point: the days on which a piece begins; the last one ends the last piece."""
    return f"""
points AS (
    SELECT prefix_id, point FROM (
        SELECT prefix_id, unnest(ARRAY[{days}]::date[]) AS point FROM prefixes
      UNION {_CHANGES}) AS cut
    WHERE $3::int4[] IS NULL OR prefix_id = ANY($3)
)"""


_MEASURES = ("registered", "range_minted", "gone", "resolutions", "resolutions_ok", "uncounted")

# Whose each piece is, and whether it lies within the bounds.
_WITHIN = """($4::int4 IS NULL OR o.enterprise_id = $4) AND ($5::text IS NULL OR starts_with(p.division_code, $5))
         AND ($6::int4 IS NULL OR p.unit_id = $6)
         AND ($7::text[] IS NULL OR p.industry[:cardinality($7)] = $7)"""
_OWNERS = """
    LEFT JOIN prefix_owners o ON o.prefix_id = s.prefix_id AND s.point >= o.from_day
         AND (o.to_day IS NULL OR s.point < o.to_day)
    LEFT JOIN placements p ON p.enterprise_id = o.enterprise_id AND s.point >= p.from_day
         AND (p.to_day IS NULL OR s.point < p.to_day)
    WHERE s.next IS NOT NULL AND """
_OWNED = f"{_OWNERS} {_WITHIN}"
_WHOSE = f"""
cut AS (SELECT prefix_id, point, lead(point) OVER (PARTITION BY prefix_id ORDER BY point) AS next FROM points),
whose AS (SELECT s.prefix_id, s.point, s.next, o.enterprise_id, p.unit_id, nullif(p.division_code, '') AS division_code,
                 p.industry FROM cut s {_OWNED})"""


def _edges(keys: str, more: str = "") -> str:
    """Where running totals are read, by `keys` (prefix_id is one) and day.

    What belongs to somebody from one day to another is the total before the second less that before the first; where
    his pieces adjoin, nothing has to be read. whole: how often a total counts for the figures of the end, since: for
    those of the period.
    """
    return f"""
edges AS (
    SELECT {keys}, at, sum(sign) AS whole, coalesce(sum(sign) FILTER (WHERE point >= $1), 0) AS since{more}
    FROM whose CROSS JOIN LATERAL (VALUES (point, -1), (next, 1)) AS ends(at, sign)
    WHERE at > '-infinity' GROUP BY {keys}, at
)"""


def _sum_totals(live: str) -> str:
    """The measures, from running totals called d."""
    columns = (
        ("d.registered_sum", "since", "registered_new"),
        ("d.range_minted_sum", "since", "range_minted"),
        ("d.registered_sum", "whole", "registered_total"),
        (live, "whole", "registered_live"),
        ("d.gone_sum", "whole", "retired_total"),
        ("d.resolutions_sum", "since", "resolutions"),
        ("d.resolutions_ok_sum", "since", "resolutions_ok"),
        ("d.uncounted_sum", "since", "resolutions_uncounted"),
    )
    return ",\n       ".join(f"coalesce(sum(({total}) * {times}), 0)::int8 AS {name}" for total, times, name in columns)


_RECENT = ", coalesce(sum(sign) FILTER (WHERE point >= $8), 0) AS recent"
_SHARES = f"""
WITH {_points("'-infinity', $1, $8, $2::date + 1")}, {_WHOSE},
{_edges("enterprise_id, prefix_id, unit_id, division_code, industry", _RECENT)}
SELECT e.enterprise_id, e.prefix_id, e.unit_id, e.division_code, e.industry,
       {_sum_totals("d.registered_sum - d.gone_sum")},
       coalesce(sum(d.resolutions_sum * recent), 0)::int8 AS resolutions_recent
FROM edges e CROSS JOIN LATERAL (
    SELECT * FROM prefix_days d WHERE d.prefix_id = e.prefix_id AND d.day < e.at ORDER BY d.day DESC LIMIT 1) AS d
WHERE (whole, since, recent) <> (0, 0, 0)
GROUP BY 1, 2, 3, 4, 5
HAVING (sum(d.registered_sum * whole), sum(d.gone_sum * whole), sum(d.resolutions_sum * whole),
        sum(d.uncounted_sum * whole)) <> (0, 0, 0, 0)
"""


async def fetch_shares(conn: Connection, period: tuple[date, date], bounds: Bounds, recent: date) -> list[Record]:
    """Who has how much: one row for each enterprise (None: nobody), prefix, unit, division and industry.

    resolutions_recent are those from `recent` on, which may lie before the period.
    """
    return await conn.fetch(_SHARES, *period, *bounds.arguments, recent)


_NODE_DAYS = f"SELECT day, {', '.join(_MEASURES)} FROM node_days WHERE day BETWEEN $1 AND $2"
_FOUND_DAYS = f"""
SELECT d.day, {", ".join(f"sum(d.{name})::int8 AS {name}" for name in _MEASURES)}
FROM whose w JOIN prefix_days d ON d.prefix_id = w.prefix_id AND d.day >= w.point AND d.day < w.next
WHERE d.day BETWEEN $1 AND $2 GROUP BY 1"""
_OWN_DAYS = f"""WITH {_points("'-infinity', $1, $2::date + 1")}, {_WHOSE} {_FOUND_DAYS}"""
# All less the others: the shorter way where most is within the bounds.
_REST_OF_DAYS = f"""
WITH {_points("'-infinity', $1, $2::date + 1")},
{_WHOSE.replace(_OWNED, f"{_OWNERS} NOT coalesce({_WITHIN}, false)")},
others AS ({_FOUND_DAYS})
SELECT n.day, {", ".join(f"n.{name} - coalesce(o.{name}, 0) AS {name}" for name in _MEASURES)}
FROM node_days n LEFT JOIN others o USING (day) WHERE n.day BETWEEN $1 AND $2
"""


async def fetch_days_added(
    conn: Connection, period: tuple[date, date], bounds: Bounds, most: bool = False
) -> dict[date, Record]:
    """What each day added, by day; days on which nothing was added may be missing.

    `most`: most prefixes lie within the bounds. It changes the way, not the answer.
    """
    if bounds.are_none:
        rows = await conn.fetch(_NODE_DAYS, *period)
    elif most and bounds.prefix_ids is None:
        rows = await conn.fetch(_REST_OF_DAYS, *period, *bounds.arguments)
    else:
        rows = await conn.fetch(_OWN_DAYS, *period, *bounds.arguments)
    return {row["day"]: row for row in rows}


async def fetch_foreign_days(conn: Connection, period: tuple[date, date]) -> dict[date, Record]:
    """Resolutions of prefixes that are not ours, by day."""
    rows = await conn.fetch(
        "SELECT day, resolutions, resolutions_ok FROM prefix_days WHERE prefix_id = 0 AND day BETWEEN $1 AND $2",
        *period,
    )
    return {row["day"]: row for row in rows}


_ALL_EDGES = """
edges AS (
    SELECT prefix_id, at, whole, since FROM (SELECT DISTINCT prefix_id FROM counted_templates) AS counted
    CROSS JOIN (VALUES ($1::date, 0, -1), ($2::date + 1, 1, 1)) AS ends(at, whole, since)
)"""


_READ = _sum_totals("d.registered_sum - d.gone_sum + d.moved_sum").replace("d.", "(d).")
# OFFSET 0: each total is read once, not once for each of its columns.
_FOUND = f"""
found AS (
    SELECT prefix_id, template_id, {_READ}
    FROM (
        SELECT c.prefix_id, c.template_id, e.whole, e.since, (
            SELECT d FROM template_days d
            WHERE d.prefix_id = c.prefix_id AND d.template_id = c.template_id AND d.day < e.at
            ORDER BY d.day DESC LIMIT 1) AS d
        FROM edges e JOIN counted_templates c USING (prefix_id)
        WHERE c.prefix_id <> 0 AND (e.whole, e.since) <> (0, 0) OFFSET 0) AS read
    GROUP BY 1, 2
)"""


_STAGE = "CASE WHEN t.template_id IS NOT NULL THEN coalesce(t.document->>'stage', 'production') END"


def _find_templates(bounded: bool) -> str:
    """template_id, prefix_id and measures of all pairs; where there are no bounds, nobody asks whose a piece is."""
    if not bounded:
        return f"WITH {_ALL_EDGES}, {_FOUND}"
    return f"""WITH {_points("'-infinity', $1, $2::date + 1")}, {_WHOSE}, {_edges("prefix_id")}, {_FOUND}"""


def _by_template(bounded: bool) -> str:
    return f"""{_find_templates(bounded)},
listed AS (SELECT prefix_id, template_id FROM templates
           WHERE deleted IS NULL {"AND prefix_id IN (SELECT prefix_id FROM whose)" if bounded else ""})
SELECT nullif(l.template_id, 0) AS template_id, t.version, {_STAGE} AS stage, x.prefix,
       {", ".join(f"coalesce({name}, 0) AS {name}" for name in MEASURES)}
FROM (SELECT * FROM found FULL JOIN listed USING (prefix_id, template_id)) AS l
LEFT JOIN templates t ON t.template_id = l.template_id LEFT JOIN prefixes x ON x.prefix_id = l.prefix_id
ORDER BY x.prefix, nullif(l.template_id, 0) NULLS LAST
"""


def _by_stage(bounded: bool) -> str:
    return f"""{_find_templates(bounded)}
SELECT {_STAGE} AS stage, count(t.template_id) AS templates,
       {", ".join(f"sum({name})::int8 AS {name}" for name in MEASURES)}
FROM found LEFT JOIN templates t USING (template_id) GROUP BY 1
"""


_TEMPLATE_QUERIES = {False: _by_template(False), True: _by_template(True)}
_STAGE_QUERIES = {False: _by_stage(False), True: _by_stage(True)}


async def fetch_templates(conn: Connection, period: tuple[date, date], bounds: Bounds) -> list[Record]:
    """template_id (null: none), version, stage, prefix and the measures."""
    arguments = () if bounds.are_none else bounds.arguments
    return await conn.fetch(_TEMPLATE_QUERIES[not bounds.are_none], *period, *arguments)


async def fetch_stages(conn: Connection, period: tuple[date, date], bounds: Bounds) -> list[Record]:
    """stage (null: without a template), templates with figures, and the measures."""
    arguments = () if bounds.are_none else bounds.arguments
    return await conn.fetch(_STAGE_QUERIES[not bounds.are_none], *period, *arguments)


# Whose the figures are ------------------------------------------------------------------------------------------


async def fetch_enterprises(conn: Connection, day: date) -> list[Record]:
    """All that were ever connected or own something, with where they stand on a day.

    One that was connected before its first placement stands there.
    """
    return await conn.fetch(
        "SELECT e.enterprise_id, e.name, e.certificate_type, e.certificate_code, e.state, e.connected_on, p.unit_id,"
        " nullif(p.division_code, '') AS division_code, nullif(p.industry, '{}') AS industry"
        " FROM enterprises e LEFT JOIN LATERAL (SELECT unit_id, division_code, industry FROM placements"
        " WHERE enterprise_id = e.enterprise_id ORDER BY from_day <= $1 DESC, abs(from_day - $1) LIMIT 1) AS p ON true"
        " WHERE e.connected_on IS NOT NULL OR EXISTS (SELECT FROM prefix_owners o"
        " WHERE o.enterprise_id = e.enterprise_id)",
        day,
    )


async def fetch_outside(conn: Connection, bounds: Bounds) -> set[int]:
    """Enterprises that ever stood outside the division, unit or industry."""
    rows = await conn.fetch(
        "SELECT DISTINCT enterprise_id FROM placements WHERE NOT starts_with(division_code, coalesce($1, ''))"
        " OR ($2::int4 IS NOT NULL AND unit_id IS DISTINCT FROM $2)"
        " OR ($3::text[] IS NOT NULL AND industry[:cardinality($3)] IS DISTINCT FROM $3)",
        bounds.division_head, bounds.unit_id, bounds.arguments[-1],
    )  # fmt: skip
    return {row["enterprise_id"] for row in rows}


async def fetch_ownerships(conn: Connection, prefix_ids: Sequence[int] | None) -> list[Record]:
    """Who owned which prefix when, the prefix's present state, and when it was first enabled; sandboxes are none."""
    return await conn.fetch(
        "SELECT o.prefix_id, x.prefix, x.state, x.enabled_on, o.enterprise_id, o.from_day, o.to_day"
        " FROM prefix_owners o JOIN prefixes x USING (prefix_id)"
        " WHERE x.sandbox_of IS NULL AND ($1::int4[] IS NULL OR o.prefix_id = ANY($1)) ORDER BY x.prefix, o.from_day",
        None if prefix_ids is None else list(prefix_ids),
    )


async def fetch_state_decisions(conn: Connection, decisions: Sequence[str]) -> list[Record]:
    """enterprise_id, prefix (null: the enterprise itself), decision and day, in the order they were taken."""
    return await conn.fetch(
        "SELECT enterprise_id, prefix, decision, (at AT TIME ZONE 'UTC' + interval '8 hours')::date AS day"
        " FROM decisions WHERE decision = ANY($1) ORDER BY at, decision_id",
        list(decisions),
    )


async def fetch_units(conn: Connection) -> list[Record]:
    return await conn.fetch("SELECT unit_id, name, division_code FROM units ORDER BY unit_id")


async def fetch_names(conn: Connection, enterprise_id: int | None, unit_id: int | None) -> list[str]:
    """Of an enterprise and of a unit, as far as they are asked for."""
    rows = await conn.fetch(
        "SELECT name FROM enterprises WHERE enterprise_id = $1 UNION ALL SELECT name FROM units WHERE unit_id = $2",
        enterprise_id, unit_id,
    )  # fmt: skip
    return [row["name"] for row in rows]


async def fetch_tags(conn: Connection) -> list[Record]:
    """kind, name and enterprise_id, as they are now: tags have no dates."""
    return await conn.fetch(
        "SELECT t.kind, t.name, e.enterprise_id FROM tags t JOIN enterprise_tags e USING (tag_id) ORDER BY 1, 2, 3"
    )


async def fetch_prefix_ids(conn: Connection, prefixes: Sequence[str]) -> list[int]:
    """Of those that exist."""
    rows = await conn.fetch("SELECT prefix_id FROM prefixes WHERE prefix = ANY($1)", list(prefixes))
    return [row["prefix_id"] for row in rows]


async def fetch_owned_ids(conn: Connection, enterprise_id: int) -> list[int]:
    """All prefixes an enterprise ever owned."""
    rows = await conn.fetch("SELECT DISTINCT prefix_id FROM prefix_owners WHERE enterprise_id = $1", enterprise_id)
    return [row["prefix_id"] for row in rows]


async def find_first_day(conn: Connection) -> date | None:
    """The first day that has a counter, or on which an enterprise was connected."""
    first: date | None = await conn.fetchval(
        "SELECT least((SELECT min(day) FROM node_days), (SELECT min(day) FROM prefix_days WHERE prefix_id = 0),"
        " (SELECT min(connected_on) FROM enterprises))"
    )
    return first


# One day's counters as they stand, for recomputation --------------------------------------------------------------


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


async def fetch_outcomes(conn: Connection, day: date, limit: int) -> list[Record]:
    """prefix (null: not ours), answers, and by outcome those that were not found, the most of these first."""
    return await conn.fetch(
        "SELECT x.prefix, sum(c.answers)::int8 AS answers,"
        " coalesce(sum(c.answers) FILTER (WHERE c.outcome = $2), 0)::int8 AS not_found"
        " FROM resolution_counts c LEFT JOIN prefixes x USING (prefix_id) WHERE c.day = $1"
        " GROUP BY 1 ORDER BY 3 DESC, 2 DESC, 1 LIMIT $3",
        day, int(Outcome.NOT_FOUND), limit,
    )  # fmt: skip


async def fetch_sources(conn: Connection, day: date, limit: int) -> list[Record]:
    """address (null: all that are not listed by name), client_class, prefix (null: not ours), answers; most first."""
    return await conn.fetch(
        "SELECT nullif(host(c.address), '::') AS address, c.client_class, x.prefix, c.answers"
        " FROM resolution_clients c LEFT JOIN prefixes x USING (prefix_id) WHERE c.day = $1"
        " ORDER BY c.answers DESC, c.address, x.prefix LIMIT $2",
        day, limit,
    )  # fmt: skip


async def fetch_prefix_names(conn: Connection) -> dict[int, str]:
    rows = await conn.fetch("SELECT prefix_id, prefix FROM prefixes")
    return {row["prefix_id"]: row["prefix"] for row in rows}
