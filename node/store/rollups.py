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

from registry.store.late_days import ROLLUPS_LOCK

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
    """Add to all rollups what was added to the counters; in the same transaction, which has locked the rollups."""
    if not added:
        return
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


def _grown(names: Sequence[str]) -> str:
    """How much the running totals of t grew over those of b, the row before."""
    return ", ".join(f"t.{name}_sum - coalesce(b.{name}_sum, 0) AS {name}" for name in names)


async def fetch_rollups(conn: Connection, day: date) -> dict[str, list[Record]]:
    """What the rollups say was added on a day, by name of the rollup: prefix_id, template_id, measures.

    prefix_sums and template_days are what the running totals grew by.
    """
    before = "WHERE p.prefix_id = t.prefix_id AND p.day < t.day ORDER BY p.day DESC LIMIT 1) AS b ON true"
    same_template = before.replace("AND", "AND p.template_id = t.template_id AND", 1)
    queries = {
        "prefix_days": f"SELECT prefix_id, 0 AS template_id, {', '.join(_MEASURES)} FROM prefix_days WHERE day = $1",
        "prefix_sums": f"SELECT t.prefix_id, 0 AS template_id, {_grown(_MEASURES)} FROM prefix_days t"
        f" LEFT JOIN LATERAL (SELECT * FROM prefix_days p {before} WHERE t.day = $1",
        "template_days": f"SELECT t.prefix_id, t.template_id, {_grown(_TEMPLATE_MEASURES)} FROM template_days t"
        f" LEFT JOIN LATERAL (SELECT * FROM template_days p {same_template} WHERE t.day = $1",
        "node_days": f"SELECT -1 AS prefix_id, 0 AS template_id, {', '.join(_MEASURES)} FROM node_days WHERE day = $1",
    }
    return {name: await conn.fetch(query, day) for name, query in queries.items()}
