"""Statistics at the size of a national node: the counters of 1,200 firms with 100 million identifiers, over a year."""

from datetime import date

import asyncpg

from loadtests.importing import with_database
from loadtests.standing import time_stats
from loadtests.verdicts import Finding, judge_most
from loadtests.world import World
from node.migrations import migrate

DATABASE = "bench_statistics"
FIRMS, DAYS, IDENTIFIERS = 1_200, 365, 100_000_000
LAST = date(2025, 12, 31)
GROUPINGS = ("enterprise", "unit", "area", "industry", "template", "day")
# Only what statistics read: counters by day, and who owned what. The identifiers themselves are not looked at.
_FIRMS = """
INSERT INTO enterprises (certificate_code, name, state, connected_on, created, changed)
SELECT 'code ' || n, 'firm ' || n, 3, $1::date - 500, now(), now() FROM generate_series(1, $2::int) n;
"""
_REST = """
INSERT INTO units (division_code, name) SELECT '321302', 'unit ' || n FROM generate_series(1, 40) n;
INSERT INTO prefixes (prefix, state, created, changed)
SELECT '88.101.' || enterprise_id, 1, now(), now() FROM enterprises ORDER BY enterprise_id;
INSERT INTO prefix_owners (prefix_id, enterprise_id, from_day)
SELECT prefix_id, split_part(prefix, '.', 3)::int, '2024-01-01' FROM prefixes;
INSERT INTO placements (enterprise_id, from_day, division_code, unit_id, industry)
SELECT enterprise_id, '2024-01-01', '321302', 1 + enterprise_id % 40, '{C,34,344,3441}' FROM enterprises;
"""
_REGISTRATIONS = """
INSERT INTO registration_counts (prefix_id, day, template_id, registered)
SELECT prefix_id, $1::date - n, 0, $3 FROM prefixes, generate_series(0, $2::int - 1) n
"""
_RESOLUTIONS = """
INSERT INTO resolution_days (prefix_id, day, template_id, resolutions, resolutions_ok, uncounted)
SELECT prefix_id, $1::date - n, 0, 900, 890, 3 FROM prefixes, generate_series(0, $2::int - 1) n
"""


async def measure_large_statistics(world: World) -> list[Finding]:
    """Every grouping, all days; the slowest counts."""
    world.node.unpin(world.cores)
    server = await asyncpg.connect(world.node.dsn)
    await server.execute(f"CREATE DATABASE {DATABASE}")
    try:
        dsn = with_database(world.node.dsn, DATABASE)
        await migrate(dsn)
        conn = await asyncpg.connect(dsn)
        try:
            await _fill(conn)
            took = {by: await time_stats(conn, by, LAST, world.rounds) for by in GROUPINGS}
        finally:
            await conn.close()
    finally:
        await server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        await server.close()
    slowest = max(took.values())
    what = f"statistics of {IDENTIFIERS:,} identifiers, {FIRMS:,} firms, {DAYS} days (counters alone made), slowest"
    rounds = [f"by {by}: {each:.0f} ms" for by, each in took.items()]
    return [Finding(what, "≤ 300 ms", f"{slowest:.0f} ms", judge_most(slowest, 300), rounds=rounds)]


async def _fill(conn: asyncpg.Connection) -> None:
    await conn.execute(_FIRMS, LAST, FIRMS)
    await conn.execute(_REST)
    await conn.execute(_REGISTRATIONS, LAST, DAYS, IDENTIFIERS // FIRMS // DAYS)
    await conn.execute(_RESOLUTIONS, LAST, DAYS)
    await conn.execute("VACUUM (ANALYZE)")
