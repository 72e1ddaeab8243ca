"""Imports of files beside a bare COPY of the same rows, in turn, in a database of their own with full durability.

Run as `python -m loadtests.importing DSN JOBS_DIR JOB_ID [--copy]` it is the child that does one of each.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from loadtests.processes import BenchFailure, read_memory
from loadtests.rows import PRODUCTS_COLUMN, PRODUCTS_TEMPLATE, write_products, write_products_sheet
from loadtests.verdicts import Finding, Verdict, judge_flat, judge_least, take_median
from loadtests.world import World
from node.migrations import migrate
from registry.import_plan import ImportOptions
from registry.jobs import create_import, run_import
from registry.records import get_rule
from registry.store.changes import Act
from registry.store.jobs import Job
from registry.store.records import PrefixRule
from schemas.templates import Template, bind_template, format_template, parse_template

PREFIX = "88.101.5"
DATABASE = "bench_import"
COPY_BOUND, SHEET_BOUND = 0.3, 8_000
CHUNK = 10_000
CSV_ROWS, SHEET_ROWS = 200_000, 40_000
COLUMNS = (
    "created", "changed", "prefix_id", "template_id", "state", "from_range", "suffix_key", "suffix", "packed", "note",
)  # fmt: skip


def with_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    head, _, options = dsn.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{options}"


async def measure_imports(world: World) -> list[Finding]:
    """CSV and COPY in turn, then XLSX."""
    world.node.unpin(world.cores)
    csv_file, sheet_file = world.place / "products.csv", world.place / "products.xlsx"
    write_products(csv_file, CSV_ROWS)
    write_products_sheet(sheet_file, SHEET_ROWS)
    conn = await asyncpg.connect(world.node.dsn)
    await conn.execute(f"CREATE DATABASE {DATABASE}")
    try:
        csv_runs = [await _run_one(world, csv_file, copy=True) for _ in range(world.rounds)]
        sheet_runs = [await _run_one(world, sheet_file, copy=False) for _ in range(world.rounds)]
    finally:
        await conn.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        await conn.close()
    return [_describe_csv(csv_runs), _describe_memory("CSV", csv_runs), _describe_sheet(sheet_runs),
            _describe_memory("XLSX", sheet_runs)]  # fmt: skip


async def _run_one(world: World, file: Path, *, copy: bool) -> dict[str, Any]:
    """One import, and one COPY of what it wrote, in a fresh schema and a fresh process."""
    dsn = with_database(world.node.dsn, DATABASE)
    conn = await asyncpg.connect(dsn)
    await conn.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await migrate(dsn)
    target, jobs_dir = await _make_target(conn), world.place / "import-jobs"
    options = ImportOptions(identifier_column=PRODUCTS_COLUMN)
    job_id = await create_import(conn, jobs_dir, file, target, file.name, Act("bench", datetime.now(UTC)), options)
    await conn.execute("CHECKPOINT")
    await conn.close()
    command = [sys.executable, "-m", "loadtests.importing", dsn, str(jobs_dir), str(job_id)]
    done = await asyncio.to_thread(
        subprocess.run, command + ["--copy"] * copy, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchFailure(f"import of {file.name}: {done.stderr[-400:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


async def _make_target(conn: asyncpg.Connection) -> tuple[PrefixRule, Template]:
    now = datetime.now(UTC)
    await conn.execute("INSERT INTO prefixes (prefix, state, created, changed) VALUES ($1, 1, $2, $2)", PREFIX, now)
    rule = await get_rule(conn, PREFIX)
    template = parse_template(json.loads(PRODUCTS_TEMPLATE.read_text(encoding="utf-8")), PREFIX)
    document = json.dumps(format_template(template))
    template_id = await conn.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, $2, 'META', $3, $4, $4) RETURNING template_id",
        rule.prefix_id, template.version, document, now,
    )  # fmt: skip
    return rule, bind_template(template, PREFIX, template_id)


def _describe_csv(runs: list[dict[str, Any]]) -> Finding:
    ratio = take_median([run["import_per_second"] / run["copy_per_second"] for run in runs])
    ours, bare = (take_median([run[f"{name}_per_second"] for run in runs]) for name in ("import", "copy"))
    return Finding(
        f"file import, CSV of {runs[0]['rows']:,} rows",
        f"≥ {COPY_BOUND} × bare COPY",
        f"{ratio:.2f} × ({ours:,.0f} rows/s, COPY {bare:,.0f} rows/s)",
        judge_least(ratio, COPY_BOUND),
        rounds=[f"import {r['import_per_second']:,.0f}/s; COPY {r['copy_per_second']:,.0f}/s" for r in runs],
    )


def _describe_sheet(runs: list[dict[str, Any]]) -> Finding:
    rate = take_median([run["import_per_second"] for run in runs])
    rounds = [f"{run['import_per_second']:,.0f} rows/s" for run in runs]
    what = f"file import, XLSX of {runs[0]['rows']:,} rows"
    return Finding(
        what, f"≥ {SHEET_BOUND:,} rows/s", f"{rate:,.0f} rows/s", judge_least(rate, SHEET_BOUND), rounds=rounds
    )


def _describe_memory(kind: str, runs: list[dict[str, Any]]) -> Finding:
    early, late = (take_median([run[name] for run in runs]) for name in ("quarter_bytes", "end_bytes"))
    measured = f"{late / 1e6:.0f} MB at the end, {early / 1e6:.0f} MB after a quarter"
    verdict = judge_flat(early, late)
    return Finding(
        f"memory of an import, {kind}",
        "flat",
        measured,
        verdict,
        "flat: at most a quarter more" * (verdict is Verdict.MISSED),
    )


# The child ------------------------------------------------------------------------------------------------------


class Watch:
    """Looks at this process after every chunk: (rows done, bytes)."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def look(self, job: Job) -> None:
        self.seen.append((job.rows_done, read_own_memory()))

    def find(self, rows: float) -> int:
        """Bytes once so many rows were done."""
        return next(size for done, size in self.seen if done >= rows)


def read_own_memory() -> int:
    return read_memory(os.getpid(), "Rss")


async def work(dsn: str, jobs_dir: Path, job_id: UUID, copy: bool) -> dict[str, Any]:
    """What came of one import, and of a COPY of the same rows into the same emptied table."""
    conn = await asyncpg.connect(dsn)
    watch, began = Watch(), time.perf_counter()
    job = await run_import(conn, jobs_dir, job_id, watch.look)
    took = time.perf_counter() - began
    if job is None or job.state != "done" or job.counts["registered"] != job.rows_done:
        raise BenchFailure(f"the import ended as {job}")
    figures = {"rows": job.rows_done, "import_per_second": job.rows_done / took,
               "quarter_bytes": watch.find(job.rows_done / 4), "end_bytes": watch.seen[-1][1]}  # fmt: skip
    if copy:
        figures["copy_per_second"] = job.rows_done / await _time_copy(conn)
    await conn.close()
    return figures


async def _time_copy(conn: asyncpg.Connection) -> float:
    """Seconds to write all rows of `records` again, in the order of the file."""
    found = await conn.fetch(f"SELECT {', '.join(COLUMNS)} FROM records ORDER BY ctid")
    rows = [tuple(row) for row in found]
    del found
    await conn.execute("TRUNCATE records")
    await conn.execute("CHECKPOINT")
    began = time.perf_counter()
    for start in range(0, len(rows), CHUNK):
        async with conn.transaction():
            await conn.copy_records_to_table("records", columns=COLUMNS, records=rows[start : start + CHUNK])
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    parser.add_argument("jobs_dir", type=Path)
    parser.add_argument("job_id", type=UUID)
    parser.add_argument("--copy", action="store_true")
    given = parser.parse_args()
    print(json.dumps(uvloop.run(work(given.dsn, given.jobs_dir, given.job_id, given.copy))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
