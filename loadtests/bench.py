"""Measures the bounds of the design in one run and writes RESULTS.md: `python -m loadtests.bench`, or `make bench`."""

import argparse
import asyncio
import contextlib
import inspect
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from loadtests import importing, journey_run, reading, scale, snms, standing, writing
from loadtests.machine import describe_machine, get_load
from loadtests.processes import BenchFailure, Cores, Node, choose_cores, open_place
from loadtests.results import Run, format_results
from loadtests.rows import add_firm, choose_numbers, copy_rows, make_credit_code, make_suffix
from loadtests.verdicts import Finding, Verdict
from loadtests.web import KEYS, check_tools
from loadtests.world import ROUNDS, World, write_keys

RESULTS = Path(__file__).with_name("RESULTS.md")
QUICK_ROWS, FULL_ROWS = 2_000_000, 20_000_000
COLD_KEYS = 1_000_000
OPEN_FILES = 8_192

# In this order: what must be cold or small comes first, what fills tables and logs last.
MEASUREMENTS: dict[str, Callable[[World], Any]] = {
    "processes": lambda world: standing.measure_processes(world.node),
    "statistics": lambda world: standing.measure_statistics(world.node, world.rounds),
    "scale": scale.measure_large_statistics,
    "memory": standing.measure_memory,
    "cached": reading.measure_cached,
    "bare": reading.measure_bare,
    "two": reading.measure_two_workers,
    "cold": reading.measure_cold,
    "disk": reading.measure_disk,
    "ranges": writing.measure_ranges,
    "batches": writing.measure_batches,
    "snms": snms.measure_batches,
    "detail": snms.measure_detail,
    "plant": snms.measure_plant,
    "invalidation": writing.measure_invalidation,
    "latency": writing.measure_latency,
    "imports": importing.measure_imports,
    "log": lambda world: standing.measure_log(world.place, world.rounds),
    "journey": journey_run.measure_journey,
}


def main() -> int:
    given = parse_arguments()
    missing = check_tools()
    cores = choose_cores()
    if missing or cores is None:
        print(missing or "a load generator needs a core of its own: this machine has one core", file=sys.stderr)
        return 1
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))
    run_began, load_before, clock = datetime.now(UTC), get_load(), time.perf_counter()
    with open_place(given.place) as place:
        try:
            machine, findings = measure_all(given, place, cores)
        except BenchFailure as failure:
            print(failure, file=sys.stderr)
            return 1
    options = re.sub(r" --(output|place)[ =]\S+", "", " ".join(["", *sys.argv[1:]]))  # not where it was kept
    command = f"python -m loadtests.bench{options}" if options else "make bench"
    run = Run(command, machine, load_before, time.perf_counter() - clock, run_began)
    text = format_results(run, findings)
    print(text)
    if given.only and given.output is None:
        print("Not written: only a part was measured. --output FILE writes it elsewhere.")
    else:
        (given.output or RESULTS).write_text(text, encoding="utf-8")
    return 1 if any(finding.verdict in (Verdict.FAILED, Verdict.MISSED) for finding in findings) else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="20 million rows, and `make run` in a fresh clone")
    parser.add_argument("--rows", type=int, help="of the table that cold resolves ask; default 2 million")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="the median of which counts; default 5")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round; default 3")
    parser.add_argument("--only", nargs="+", choices=[*MEASUREMENTS, "start"], help="measure these and write nothing")
    parser.add_argument("--place", type=Path, help="where the data directory is made; default: that of temporary files")
    parser.add_argument("--output", type=Path, help="instead of loadtests/RESULTS.md")
    given = parser.parse_args()
    given.rows = given.rows or (FULL_ROWS if given.full else QUICK_ROWS)
    return given


def measure_all(given: argparse.Namespace, place: Path, cores: Cores) -> tuple[list[tuple[str, str]], list[Finding]]:
    """The machine and what was found; a measurement that fails is a finding too, and the others go on."""
    node, findings = Node(place / "data"), []
    node.data_dir.mkdir(mode=0o711)
    try:
        with told("start"):
            findings += standing.measure_start(node)
        world = asyncio.run(make_world(given, place, cores, node))
        reading.check_answers(world)
        machine = [*describe_machine(), ("PostgreSQL", asyncio.run(read_version(node)))]
        for name, measure in MEASUREMENTS.items():
            if not given.only or name in given.only:
                with told(name):
                    findings += attempt(name, lambda measure=measure: measure(world))  # type: ignore[misc]
    finally:
        node.stop()
    if given.full:
        findings += attempt("make run", lambda: standing.measure_make_run(place))
    return machine, findings


@contextlib.contextmanager
def told(name: str) -> Iterator[None]:
    began = time.perf_counter()
    print(f"{name} …", end=" ", flush=True, file=sys.stderr)
    yield
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


def attempt(name: str, measure: Callable[[], Any]) -> list[Finding]:
    """What it found, or that it failed and why; coroutines are run."""
    try:
        found = measure()
        return list(asyncio.run(found) if inspect.iscoroutine(found) else found)
    except (BenchFailure, OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [Finding(name, "–", "–", Verdict.FAILED, f"{type(error).__name__}: {error}")]


async def make_world(given: argparse.Namespace, place: Path, cores: Cores, node: Node) -> World:
    """Two firms: one whose 100,000 identifiers fit into every cache, one with a large table."""
    with told("rows"):
        hot = await add_firm(node, place, make_credit_code("91321302MA1BENCH0"))
        cold = await add_firm(node, place, make_credit_code("91321302MA1BENCH1"))
        conn = await asyncpg.connect(node.dsn)
        try:
            await copy_rows(conn, hot, 0, KEYS)
            await copy_rows(conn, cold, 0, given.rows)
            await conn.execute("VACUUM (ANALYZE) records")
            await conn.execute("CHECKPOINT")
        finally:
            await conn.close()
    world = World(node, place, cores, hot, cold, given.rows, given.seconds, given.rounds)
    numbers = choose_numbers(KEYS, KEYS)
    write_keys(world.hot_paths, hot.prefix, numbers)
    world.hot_identifiers.write_text("".join(f"{hot.prefix}/{make_suffix(number)}\n" for number in numbers))
    write_keys(world.cold_paths, cold.prefix, choose_numbers(min(COLD_KEYS, given.rows), given.rows, seed=2))
    return world


async def read_version(node: Node) -> str:
    conn = await asyncpg.connect(node.dsn)
    try:
        version: str = await conn.fetchval("SHOW server_version")
    finally:
        await conn.close()
    return version


if __name__ == "__main__":
    raise SystemExit(main())
