# ruff: noqa: S608 - the queries are put together from the constants of this file, never from values
"""Running totals beside the counters (`prefix_days`, `template_days`, `node_days`), in the transaction that counts.

A row holds the sums of all days up to its own, so what comes late is added to the rows after it, too. One writer at a
time: a new row is made from the one before it, which nobody else may be about to change.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import date

import asyncpg
from asyncpg import Connection, Record

ROLLUPS_LOCK = 7241003  # 7241001: number_changes(), 7241002: work of agents

# (prefix_id, day, template_id) → registered (with members of ranges), range_minted, gone, moved, resolutions,
# resolutions_ok, uncounted
Added = Mapping[tuple[int, date, int], tuple[int, int, int, int, int, int, int]]

_MEASURES = ("registered", "range_minted", "gone", "resolutions", "resolutions_ok", "uncounted")
_TEMPLATE_MEASURES = ("registered", "range_minted", "gone", "moved", "resolutions", "resolutions_ok", "uncounted")
_SUMS = [f"{name}_sum" for name in _MEASURES]
_TEMPLATE_SUMS = [f"{name}_sum" for name in _TEMPLATE_MEASURES]


def _added(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = t.{name} + excluded.{name}" for name in names)


_BIGINTS = ", ".join(f"${3 + place}::int8[]" for place in range(6))
_ADD_PREFIXES = f"""
INSERT INTO prefix_days AS t (prefix_id, day, {", ".join(_MEASURES)}, {", ".join(_SUMS)})
SELECT n.prefix_id, $2, {", ".join(f"n.{name}" for name in _MEASURES)},
       {", ".join(f"n.{name} + coalesce(b.{name}_sum, 0)" for name in _MEASURES)}
FROM unnest($1::int4[], {_BIGINTS}) AS n(prefix_id, {", ".join(_MEASURES)})
LEFT JOIN LATERAL (SELECT * FROM prefix_days p WHERE p.prefix_id = n.prefix_id AND p.day < $2
                   ORDER BY p.day DESC LIMIT 1) AS b ON true
ON CONFLICT (prefix_id, day) DO UPDATE SET {_added(_MEASURES)},
       {", ".join(f"{name}_sum = t.{name}_sum + excluded.{name}" for name in _MEASURES)}
"""
_RAISE_PREFIXES = f"""
UPDATE prefix_days t SET {", ".join(f"{name}_sum = t.{name}_sum + n.{name}" for name in _MEASURES)}
FROM unnest($1::int4[], {_BIGINTS}) AS n(prefix_id, {", ".join(_MEASURES)})
WHERE t.prefix_id = n.prefix_id AND t.day > $2
"""
_SEVEN = ", ".join(f"${4 + place}::int8[]" for place in range(7))
_TEMPLATE_ROWS = (
    f"unnest($1::int4[], $3::int4[], {_SEVEN}) AS n(prefix_id, template_id, {', '.join(_TEMPLATE_MEASURES)})"
)
# The increments of a template are not kept, so a row that exists is raised with those after it, and only then made.
_RAISE_TEMPLATES = f"""
UPDATE template_days t SET {", ".join(f"{name}_sum = t.{name}_sum + n.{name}" for name in _TEMPLATE_MEASURES)}
FROM {_TEMPLATE_ROWS}
WHERE t.prefix_id = n.prefix_id AND t.template_id = n.template_id AND t.day >= $2
"""
_ADD_TEMPLATES = f"""
INSERT INTO template_days (prefix_id, day, template_id, {", ".join(_TEMPLATE_SUMS)})
SELECT n.prefix_id, $2, n.template_id,
       {", ".join(f"n.{name} + coalesce(b.{name}_sum, 0)" for name in _TEMPLATE_MEASURES)}
FROM {_TEMPLATE_ROWS}
LEFT JOIN LATERAL (SELECT * FROM template_days p WHERE p.prefix_id = n.prefix_id AND p.template_id = n.template_id
                   AND p.day < $2 ORDER BY p.day DESC LIMIT 1) AS b ON true
ON CONFLICT (prefix_id, template_id, day) DO NOTHING
"""
_ADD_NODE = f"""
INSERT INTO node_days AS t (day, {", ".join(_MEASURES)}) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (day) DO UPDATE SET {_added(_MEASURES)}
"""


async def add_rollups(conn: Connection, added: Added) -> None:
    """Add to all rollups what was added to the counters; in the same transaction."""
    if not added:
        return
    await conn.execute("SELECT pg_advisory_xact_lock($1)", ROLLUPS_LOCK)
    pairs = sorted({(prefix_id, template_id) for prefix_id, _, template_id in added})
    await conn.execute(
        "INSERT INTO counted_templates (prefix_id, template_id) SELECT * FROM unnest($1::int4[], $2::int4[])"
        " ON CONFLICT DO NOTHING",
        *map(list, zip(*pairs, strict=True)),
    )
    for day in sorted({key[1] for key in added}):
        of_day = sorted((key[0], key[2], *sums) for key, sums in added.items() if key[1] == day)
        prefixes, templates, *sums = map(list, zip(*of_day, strict=True))
        await conn.execute(_RAISE_TEMPLATES, prefixes, day, templates, *sums)
        await conn.execute(_ADD_TEMPLATES, prefixes, day, templates, *sums)
        by_prefix = _sum_prefixes(of_day)
        columns = [list(column) for column in zip(*by_prefix, strict=True)]
        await conn.execute(_RAISE_PREFIXES, columns[0], day, *columns[1:])
        await conn.execute(_ADD_PREFIXES, columns[0], day, *columns[1:])
        own = [row[1:] for row in by_prefix if row[0] != 0]
        if own:
            await conn.execute(_ADD_NODE, day, *map(sum, zip(*own, strict=True)))


def _sum_prefixes(rows: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Rows of templates → (prefix_id, registered, range_minted, gone, resolutions, resolutions_ok, uncounted)."""
    sums: dict[int, list[int]] = {}
    for prefix_id, _, registered, minted, gone, _, resolutions, succeeded, uncounted in rows:
        mine = sums.setdefault(prefix_id, [0] * 6)
        for place, count in enumerate((registered, minted, gone, resolutions, succeeded, uncounted)):
            mine[place] += count
    return [(prefix_id, *counts) for prefix_id, counts in sorted(sums.items())]


@asynccontextmanager
async def rollups_alone(conn: Connection) -> AsyncIterator[None]:
    """Wait until nobody else adds to the rollups. A lock of the session, as snapshots must not be older than it."""
    await conn.execute("SELECT pg_advisory_lock($1)", ROLLUPS_LOCK)
    try:
        yield
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # a lost connection has let go
            await conn.execute("SELECT pg_advisory_unlock($1)", ROLLUPS_LOCK)


async def rebuild_rollups(conn: Connection) -> None:
    """Make them again from the counters; the caller is alone with them and owns the transaction."""
    await conn.execute("SELECT rebuild_rollups()")


_TOTALS = """
SELECT (SELECT coalesce(sum(registered + range_minted), 0) FROM registration_counts) AS registered,
       (SELECT coalesce(sum(retired - restored), 0) FROM registration_counts) AS gone,
       (SELECT coalesce(sum(resolutions + uncounted), 0) FROM resolution_days) AS resolutions
EXCEPT
SELECT coalesce(sum(registered), 0), coalesce(sum(gone), 0), coalesce(sum(resolutions + uncounted), 0) FROM prefix_days
"""


async def are_rollups_whole(conn: Connection) -> bool:
    """Whether all days together are what the counters hold; reads both in full."""
    return not await conn.fetch(_TOTALS)


async def fetch_prefix_days(conn: Connection, day: date) -> list[Record]:
    """The rows of a day: prefix_id and what was added on it."""
    return await conn.fetch(f"SELECT prefix_id, {', '.join(_MEASURES)} FROM prefix_days WHERE day = $1", day)


async def fetch_broken_sums(conn: Connection, day: date) -> list[Record]:
    """Prefixes whose running totals at the end of a day are not the sums of their counters: prefix_id, measure,
    stored and counted."""
    return await conn.fetch(
        """
        WITH stored AS (
            SELECT DISTINCT ON (prefix_id) prefix_id, registered_sum, gone_sum, resolutions_sum, uncounted_sum
            FROM prefix_days WHERE day <= $1 ORDER BY prefix_id, day DESC),
        counted AS (
            SELECT prefix_id, sum(registered)::int8 AS registered, sum(gone)::int8 AS gone,
                   sum(resolutions)::int8 AS resolutions, sum(uncounted)::int8 AS uncounted
            FROM (SELECT prefix_id, registered + range_minted AS registered, retired - restored AS gone,
                         0 AS resolutions, 0 AS uncounted FROM registration_counts WHERE day <= $1
                  UNION ALL
                  SELECT prefix_id, 0, 0, resolutions, uncounted FROM resolution_days WHERE day <= $1) AS d
            GROUP BY 1)
        SELECT prefix_id, v.measure, v.stored, v.counted
        FROM stored s FULL JOIN counted c USING (prefix_id) CROSS JOIN LATERAL (VALUES
             ('registered_sum', coalesce(s.registered_sum, 0), coalesce(c.registered, 0)),
             ('gone_sum', coalesce(s.gone_sum, 0), coalesce(c.gone, 0)),
             ('resolutions_sum', coalesce(s.resolutions_sum, 0), coalesce(c.resolutions, 0)),
             ('uncounted_sum', coalesce(s.uncounted_sum, 0), coalesce(c.uncounted, 0))) AS v(measure, stored, counted)
        WHERE v.stored <> v.counted
        """,
        day,
    )
