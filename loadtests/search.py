"""The console's search at size: each kind of search over one prefix with many rows, page by page.

    python -m loadtests.search --rows 20000000 --times 100 --place /mnt/disk

makes the rows in a server of its own, asks each search so many times with other words and cursors, and prints what the
half and what ninety-nine of a hundred took, in milliseconds.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from loadtests.rows import COLUMNS, COPY_ROWS, FIVE, WHEN, make_suffix, make_values
from node.migrations import migrate
from node.postgres import EmbeddedPostgres
from node.table import format_table
from registry.console.search import Search, search_records
from schemas.records import RecordState, pack_texts

PAGE_ROWS = 50
PER_DAY = 50_000  # rows registered a day
CHUNK_ROWS = 10_000  # of an import share their time
FROZEN_EACH = 5_000
ROWS = 20_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One search as a page asks it; `after` is the cursor."""

    wanted: Search
    after: str = ""


def list_searches(rows: int, chance: random.Random) -> dict[str, Asked]:
    """Name → one search of the kind, with words and a cursor of its own each time."""
    some = make_suffix(chance.randrange(rows))
    day = WHEN + timedelta(days=chance.randrange(rows // PER_DAY + 1))
    anywhere = make_suffix(chance.randrange(rows))
    return {
        "first page": Asked(Search()),
        "a page in the depth": Asked(Search(), anywhere),
        "begins with, a hundred": Asked(Search(starts_with=some[:-2])),
        "begins with, one": Asked(Search(starts_with=some)),
        "begins with, a million": Asked(Search(starts_with=some[:6])),
        "text at the end of a suffix": Asked(Search(contains=some[-5:], text=some[-5:]), anywhere),
        "batch": Asked(Search(contains="b240703", text="B240703"), anywhere),
        "text that is nowhere": Asked(Search(contains="nowhere", text="nowhere"), anywhere),
        "a whole suffix": Asked(Search(contains=some, text=some)),
        "frozen": Asked(Search(state=int(RecordState.FROZEN)), anywhere),
        "frozen, text that is nowhere": Asked(
            Search(contains="nowhere", text="nowhere", state=int(RecordState.FROZEN))
        ),
        "one letter": Asked(Search(contains="7", text="7"), anywhere),
        "text of every row": Asked(Search(contains="合格", text="合格"), anywhere),
        "retired, three of all": Asked(Search(state=int(RecordState.RETIRED))),
        "one day": Asked(Search(since=day, until=day + timedelta(days=1))),
        "since a day": Asked(Search(since=day)),
        "batch within one day": Asked(
            Search(contains="b240703", text="B240703", since=day, until=day + timedelta(days=1))
        ),
    }


async def fill(conn: asyncpg.Connection, rows: int) -> int:
    """The rows, in order of time and key; the prefix's number."""
    prefix_id: int = await conn.fetchval(
        "INSERT INTO prefixes (prefix, state, created, changed) VALUES ('88.101.1', 1, $1, $1) RETURNING prefix_id",
        WHEN,
    )
    template_id: int = await conn.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, 'five-1', 'META_FIVE-1', '{}', $2, $2) RETURNING template_id",
        prefix_id,
        WHEN,
    )
    made = _make_rows(prefix_id, template_id, rows)
    while portion := [row for _, row in zip(range(COPY_ROWS), made, strict=False)]:
        await conn.copy_records_to_table("records", columns=(*COLUMNS, "state"), records=portion)
    return prefix_id


def _make_rows(prefix_id: int, template_id: int, rows: int) -> Iterator[tuple[Any, ...]]:
    types = [(item["index"], item["type"]) for item in FIVE["items"]]
    for number in range(rows):
        values = make_values(number)
        packed = pack_texts(template_id, [(index, name, values[name]) for index, name in types])
        at = WHEN + timedelta(days=number // PER_DAY, minutes=number % PER_DAY // CHUNK_ROWS)
        state = RecordState.FROZEN if number % FROZEN_EACH == 0 else RecordState.LIVE
        state = RecordState.RETIRED if number % (rows // 3) == 1 else state
        yield at, at, prefix_id, template_id, make_suffix(number), packed, int(state)


async def measure(conn: asyncpg.Connection, prefix_id: int, rows: int, times: int) -> dict[str, list[float]]:
    """Name → milliseconds of each time, in order of length."""
    chance, took = random.Random(1), dict[str, list[float]]()
    for _ in range(times):
        for name, asked in list_searches(rows, chance).items():
            began = time.perf_counter()
            await search_records(conn, prefix_id, asked.wanted, asked.after, PAGE_ROWS)
            took.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return {name: sorted(all_of) for name, all_of in took.items()}


def format_took(took: dict[str, list[float]]) -> str:
    shown = [
        (name, f"{all_of[len(all_of) // 2]:.1f}", f"{all_of[min(len(all_of) - 1, len(all_of) * 99 // 100)]:.1f}")
        for name, all_of in took.items()
    ]
    return format_table(shown, ("search", "p50 ms", "p99 ms"))


async def run(server_dsn: str, rows: int, times: int) -> str:
    await migrate(server_dsn)
    conn = await asyncpg.connect(server_dsn)
    try:
        began = time.perf_counter()
        prefix_id = await fill(conn, rows)
        await conn.execute("VACUUM (ANALYZE) records")
        filled = time.perf_counter() - began
        return f"{rows:,} rows in {filled:.0f} s\n{format_took(await measure(conn, prefix_id, rows, times))}"
    finally:
        await conn.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--place", type=Path, help="where the data directory is made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.place, prefix="idn-") as directory:
        Path(directory).chmod(0o711)
        server = EmbeddedPostgres(Path(directory))
        try:
            print(asyncio.run(run(server.start(), given.rows, given.times)))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
