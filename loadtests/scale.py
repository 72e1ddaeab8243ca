"""Statistics at size: a district with its identifiers really in the tables, and a national node by its counters alone.

    python -m loadtests.scale --firms 66 --days 400 --templates 20 --identifiers 20000000 --records 200000

makes a database of that size in a server of its own, measures every figure and file, closes a day, and with --pages
asks for every page and file over HTTP.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from loadtests.figure_pages import measure_pages
from loadtests.importing import with_database
from loadtests.verdicts import Finding, judge_most, take_median
from loadtests.world import World
from node.closing import close_day, verify_seals
from node.counting import rebuild_registrations
from node.migrations import migrate
from node.postgres import EmbeddedPostgres
from node.statistics import GROUPINGS, Limits
from node.statistics_files import make_file
from node.statistics_tables import Question, read_export, read_table
from node.store.rollups import rebuild_rollups
from schemas.days import get_start
from schemas.industries import load_industries
from schemas.records import pack_texts

LAST = date(2025, 12, 31)
DIVISIONS = ("321302", "321311", "321322", "321323")
UNITS = 40
DATABASE = "bench_statistics"
COPY_ROWS = 50_000
PERIODS = {"all days": None, "half a year": LAST - timedelta(days=180)}


@dataclass(frozen=True, slots=True)
class Size:
    """identifiers: as members of ranges and `records` rows, spread evenly; in_tables: whether they are there
    themselves or only counted."""

    firms: int
    days: int
    templates: int
    identifiers: int
    records: int = 0
    in_tables: bool = True

    @property
    def first(self) -> date:
        return LAST - timedelta(days=self.days - 1)

    def __str__(self) -> str:
        made = f"{self.records:,} of them rows, the rest ranges" if self.in_tables else "counters alone made"
        return (
            f"{self.identifiers:,} identifiers ({made}), {self.firms:,} firms, {self.templates} templates each,"
            f" {self.days} days"
        )


DISTRICT = Size(66, 400, 20, 20_000_000, 200_000)
NATIONAL = Size(1_200, 400, 3, 100_000_000, in_tables=False)
CITY = Size(3_500, 30, 3, 300_000_000, in_tables=False)  # for closing its days

_FIRMS = """
INSERT INTO enterprises (certificate_code, name, state, connected_on, created, changed)
SELECT 'code ' || n, 'firm ' || n, 3, $1::timestamptz::date + n % 30, $1, $1 FROM generate_series(1, $2::int) n
"""
_UNITS = """
INSERT INTO units (division_code, name)
SELECT ($1::text[])[1 + n % 4], 'unit ' || n FROM generate_series(0, $2::int - 1) n
"""
_PREFIXES = """
INSERT INTO prefixes (prefix, state, created, changed, enabled_on)
SELECT '88.101.' || enterprise_id, 1, created, created, connected_on FROM enterprises ORDER BY enterprise_id
"""
_OWNERS = """
INSERT INTO prefix_owners (prefix_id, enterprise_id, from_day)
SELECT prefix_id, split_part(prefix, '.', 3)::int, $1 FROM prefixes
"""
_PLACEMENTS = """
INSERT INTO placements (enterprise_id, from_day, division_code, unit_id, industry)
SELECT enterprise_id, $1, ($2::text[])[1 + enterprise_id % 4], 1 + enterprise_id % $3::int,
       string_to_array(($4::text[])[1 + enterprise_id % cardinality($4::text[])], '/')
FROM enterprises
"""
_TEMPLATES = """
INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)
SELECT prefix_id, 't-' || n, 'META_T-' || n,
       jsonb_build_object('stage', (ARRAY['design', 'production', 'supply', 'service'])[1 + n % 4]), created, created
FROM prefixes, generate_series(1, $1::int) n
"""
_RESOLUTIONS = """
INSERT INTO resolution_days (prefix_id, day, template_id, resolutions, resolutions_ok, uncounted)
SELECT prefix_id, $1::date + n, template_id, 40 + (prefix_id * 7 + n) % 90, 40, 3
FROM templates, generate_series(0, $2::int - 1) n
"""
_REGISTRATIONS = """
INSERT INTO registration_counts (prefix_id, day, template_id, registered)
SELECT prefix_id, $1::date + n, template_id, $3 FROM templates, generate_series(0, $2::int - 1) n
"""


async def fill(conn: asyncpg.Connection, size: Size) -> None:
    """Everything that statistics and closing read; identifiers by COPY, counters from them as the agent makes them."""
    await conn.execute(_FIRMS, get_start(size.first), size.firms)
    await conn.execute(_UNITS, list(DIVISIONS), UNITS)
    await conn.execute(_PREFIXES)
    await conn.execute(_OWNERS, size.first)
    await conn.execute(_PLACEMENTS, size.first, list(DIVISIONS), UNITS, _choose_industries(12))
    await conn.execute(_TEMPLATES, size.templates)
    await conn.execute(_RESOLUTIONS, size.first, size.days)
    if size.in_tables:
        pairs = [tuple(row) for row in await conn.fetch("SELECT prefix_id, template_id FROM templates ORDER BY 1, 2")]
        await _copy(conn, "ranges", _RANGE_COLUMNS, _make_ranges(size, pairs))
        await _copy(conn, "records", _RECORD_COLUMNS, _make_records(size, pairs))
        await rebuild_registrations(conn)
    else:
        await conn.execute(_REGISTRATIONS, size.first, size.days, size.identifiers // len_all(size))
        async with conn.transaction():
            await rebuild_rollups(conn)
        await conn.execute("INSERT INTO counted_changes (log_id, position) SELECT log_id, position FROM change_log")
    await conn.execute("VACUUM (ANALYZE)")


def len_all(size: Size) -> int:
    """How many templates there are on all days."""
    return size.firms * size.templates * size.days


def _choose_industries(count: int) -> list[str]:
    """Paths such as C/34/344/3441."""
    table = load_industries()
    classes = [code for code in table if len(code) == 4 and code.isdigit()][:: 1382 // count][:count]
    paths = []
    for code in classes:
        path = [code]
        while parent := table[path[0]][0]:
            path.insert(0, parent)
        paths.append("/".join(path))
    return paths


_RANGE_COLUMNS = (
    "prefix_id",
    "head_key",
    "width",
    "first",
    "last",
    "head",
    "template_id",
    "created",
    "changed",
    "packed",
)
_RECORD_COLUMNS = ("created", "changed", "prefix_id", "template_id", "suffix_key", "packed")
_VALUES = [(2_000, "model", "WQ15-7-1.1"), (2_001, "batch", "B240601")]


def _make_ranges(size: Size, pairs: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """One range for each template and day."""
    members = (size.identifiers - size.records) // len_all(size)
    for prefix_id, template_id in pairs:
        packed = pack_texts(template_id, _VALUES)
        for number in range(size.days):
            at = get_start(size.first + timedelta(days=number)) + timedelta(hours=9)
            head = f"T{template_id}-"
            yield prefix_id, head, 9, number * members, (number + 1) * members - 1, head, template_id, at, at, packed


def _make_records(size: Size, pairs: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for number in range(size.records):
        prefix_id, template_id = pairs[number % len(pairs)]
        at = get_start(size.first + timedelta(days=number // len(pairs) % size.days)) + timedelta(hours=10)
        yield at, at, prefix_id, template_id, f"R{number:09d}", pack_texts(template_id, _VALUES)


async def _copy(
    conn: asyncpg.Connection, table: str, columns: tuple[str, ...], rows: Iterator[tuple[Any, ...]]
) -> None:
    while portion := [row for _, row in zip(range(COPY_ROWS), rows, strict=False)]:
        await conn.copy_records_to_table(table, columns=columns, records=portion)


# Measuring ------------------------------------------------------------------------------------------------------


async def measure_size(conn: asyncpg.Connection, size: Size, rounds: int) -> dict[str, float]:
    """Milliseconds, medians, of every page and file, of closing a day and of verifying it."""
    took: dict[str, float] = {}
    limits = {"": Limits(), " of one district": Limits(division_code="321302"), " of one firm": Limits(enterprise_id=7)}
    for when, first in PERIODS.items():
        for whose, limit in limits.items():
            for by in GROUPINGS:
                asked = Question(by, first, LAST, limit)
                took[f"by {by}{whose}, {when}"] = await _time(partial(read_table, conn, asked, _now()), rounds)
    for file_format in ("csv", "xlsx", "pdf"):
        took[f"{file_format} by enterprise"] = await _time(partial(_export, conn, file_format), rounds)
    return took | await measure_closing(conn, size)


async def measure_closing(conn: asyncpg.Connection, size: Size) -> dict[str, float]:
    """Milliseconds of closing two days, the second of which has a day before it, and of verifying them."""
    took: dict[str, float] = {}
    for turn in range(2):
        day = size.first + timedelta(days=turn)
        took[f"closing day {turn + 1}"] = await _time(partial(close_day, conn, ("88.101",), day, _now()), 1)
    took["verifying two days"] = await _time(partial(_verify, conn), 1)
    return took


def _now() -> datetime:
    return datetime.now(UTC)


async def _export(conn: asyncpg.Connection, file_format: str) -> None:
    table, days = await read_export(conn, Question("enterprise", None, LAST), _now(), file_format)
    make_file(table, file_format, "zh", days)


async def _verify(conn: asyncpg.Connection) -> None:
    found = await verify_seals(conn)
    if found["problems"] or found["differences"]:
        raise ValueError(f"seals do not hold: {found['problems'][:3]} {found['differences'][:3]}")


async def _time(work: Callable[[], Awaitable[object]], rounds: int) -> float:
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    return take_median(took)


def judge_size(size: Size, took: dict[str, float]) -> list[Finding]:
    """The slowest page or file, and the closing of a day."""
    pages = {name: each for name, each in took.items() if name.startswith("by ")}
    slowest = max(pages, key=lambda name: pages[name])
    rounds = [f"{name}: {each:.0f} ms" for name, each in took.items()]
    return [
        Finding(f"statistics of {size}: slowest page", "≤ 300 ms", f"{pages[slowest]:.0f} ms ({slowest})",
                judge_most(pages[slowest], 300), rounds=rounds),
        judge_closing(size, took),
    ]  # fmt: skip


def judge_closing(size: Size, took: dict[str, float]) -> Finding:
    slowest = max(took["closing day 1"], took["closing day 2"])
    measured = f"{slowest / 1000:.2f} s"
    return Finding(f"closing a day of {size.firms:,} firms", "≤ 60 s", measured, judge_most(slowest, 60_000))


async def measure_large_statistics(world: World) -> list[Finding]:
    """A district and a national node, the slowest page of each counts; and a day of a city."""
    world.node.unpin(world.cores)
    dsn, rounds = world.node.dsn, world.rounds
    findings: list[Finding] = []
    async with _fill_database(dsn, DISTRICT) as conn:
        findings += judge_size(DISTRICT, await measure_size(conn, DISTRICT, rounds))
        period = DISTRICT.first, LAST
        findings += await measure_pages(with_database(dsn, DATABASE), world.place, period, rounds)
    async with _fill_database(dsn, NATIONAL) as conn:
        findings += judge_size(NATIONAL, await measure_size(conn, NATIONAL, rounds))
    async with _fill_database(dsn, CITY) as conn:
        findings.append(judge_closing(CITY, await measure_closing(conn, CITY)))
    return findings


@contextlib.asynccontextmanager
async def _fill_database(server_dsn: str, size: Size) -> AsyncIterator[asyncpg.Connection]:
    """One beside the node's own, of that size; dropped at the end."""
    server = await asyncpg.connect(server_dsn)
    await server.execute(f"CREATE DATABASE {DATABASE}")
    try:
        dsn = with_database(server_dsn, DATABASE)
        await migrate(dsn)
        conn = await asyncpg.connect(dsn)
        try:
            await fill(conn, size)
            yield conn
        finally:
            await conn.close()
    finally:
        await server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("firms", "days", "templates", "identifiers", "records"):
        parser.add_argument(f"--{name}", type=int, default=getattr(DISTRICT, name))
    parser.add_argument("--counters-alone", action="store_true", help="no identifiers, only what counts them")
    parser.add_argument("--pages", action="store_true", help="every page and file over HTTP, too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", type=Path, help="where the data directory is made")
    given = parser.parse_args()
    size = Size(given.firms, given.days, given.templates, given.identifiers, given.records, not given.counters_alone)
    with tempfile.TemporaryDirectory(dir=given.place, prefix="idn-") as directory:
        Path(directory).chmod(0o711)
        server = EmbeddedPostgres(Path(directory))
        with contextlib.ExitStack() as stack:
            dsn = server.start()
            stack.callback(server.stop)
            place = Path(directory) if given.pages else None
            for finding in asyncio.run(_measure_one(dsn, size, given.rounds, place)):
                print(finding.what, finding.measured, finding.verdict, finding.reason, *finding.rounds, sep="\n  ")


async def _measure_one(dsn: str, size: Size, rounds: int, place: Path | None) -> list[Finding]:
    async with _fill_database(dsn, size) as conn:
        findings = judge_size(size, await measure_size(conn, size, rounds))
        if place is not None:
            findings += await measure_pages(with_database(dsn, DATABASE), place, (size.first, LAST), rounds)
        return findings


if __name__ == "__main__":
    main()
