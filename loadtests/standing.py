"""What the node needs to stand there: memory, time to start, statistics, the resolution log's own cost."""

import gzip
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import asyncpg

from loadtests.processes import ROOT, BenchFailure, Node, list_tree, read_memory, run_node
from loadtests.reading import ask_all_over_handle, ask_all_over_http, run_handle
from loadtests.verdicts import Finding, Verdict, judge_most, take_median
from loadtests.web import KEYS
from loadtests.world import World
from node.statistics import stats
from node.tally import tally_records
from schemas.resolution_log import HEADER_BYTES, ClientClass, Outcome, Transport
from schemas.segments import SegmentWriter

EXAMPLE = "/api/handles/88.101.5/0000000001"  # of the demonstration
READY = "Ctrl-C"  # in the last line of the table that `idnode up` prints
RECORDS = 200_000
MEGABYTE = 1_048_576


# Starting -------------------------------------------------------------------------------------------------------


def measure_start(node: Node) -> list[Finding]:
    """From an empty data directory with the demonstration, then again; leaves the node running."""
    node.arguments = ("up", "--demo")
    node.launch()
    first = node.wait_for_answer(EXAMPLE)
    ready = first + node.wait_until_said(READY)
    node.stop()
    node.log_path.unlink()
    node.arguments = ("up",)
    node.launch()
    again = node.wait_for_answer(EXAMPLE)
    node.wait_until_said(READY)
    return [
        Finding(
            "`idnode up --demo` from an empty directory to the first answer", "≤ 180 s", f"{first:.1f} s",
            judge_most(first, 180), f"environment not included; table of what runs after {ready:.1f} s",
        ),
        Finding("later start to the first answer", "≤ 10 s", f"{again:.1f} s", judge_most(again, 10)),
    ]  # fmt: skip


def measure_make_run(place: Path) -> list[Finding]:
    """`make run` in a fresh clone, which makes the environment too, to the first answer."""
    clone, data_dir = place / "clone", place / "clone-data"
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(clone)], check=True)
    data_dir.mkdir(mode=0o711)
    python = str(Path(sys.base_prefix, "bin", "python3"))
    command = ("make", "-C", str(clone), f"PYTHON={python}")
    with run_node(Node(data_dir, ("run",), {"PYTHONPATH": ""}, command)) as node:
        seconds = node.wait_for_answer(EXAMPLE, 600)
        for pid in list_tree(node.pid)[1:2]:
            os.kill(pid, signal.SIGINT)
    measured = f"{seconds:.0f} s"
    return [Finding("`make run` in a fresh clone to the first answer", "≤ 180 s", measured, judge_most(seconds, 180))]


# Memory ---------------------------------------------------------------------------------------------------------


def measure_processes(node: Node) -> list[Finding]:
    """Registry, one worker and agent after their start."""
    sizes = {name: sum(read_memory(pid, "Pss") for pid in node.list_children(f" {name} "))
             for name in ("registry", "resolver", "agent")}  # fmt: skip
    total = sum(sizes.values()) / MEGABYTE
    parts = ", ".join(f"{name} {size / MEGABYTE:.0f}" for name, size in sizes.items())
    what = "memory of registry, one worker and agent at start"
    return [Finding(what, "≤ 400 MB", f"{total:.0f} MB ({parts})", judge_most(total, 400))]


def measure_memory(world: World) -> list[Finding]:
    """Growth of a worker while all keys are asked over HTTP, then over the Handle protocol too."""
    world.node.pin(world.cores)
    run_handle(world, "tcp", 0.05)  # what the code itself needs is no part of a record
    before = read_memory(world.worker, "Anonymous")
    ask_all_over_http(world)
    one = (read_memory(world.worker, "Anonymous") - before) / KEYS
    ask_all_over_handle(world)
    both = (read_memory(world.worker, "Anonymous") - before) / KEYS
    return [
        Finding("memory per cached record, asked for in one form", "≤ 1,536 bytes", f"{one:,.0f} bytes",
                judge_most(one, 1536)),
        Finding("memory per cached record, asked for in both forms", "≤ 2,048 bytes", f"{both:,.0f} bytes",
                judge_most(both, 2048)),
    ]  # fmt: skip


# Statistics -----------------------------------------------------------------------------------------------------


async def measure_statistics(node: Node, rounds: int) -> list[Finding]:
    """The demonstration's firms, by enterprise and by unit, all days."""
    conn = await asyncpg.connect(node.dsn)
    try:
        slowest = max(
            [
                await time_stats(conn, by, date.today(), rounds)
                for by in ("enterprise", "unit", "area", "industry", "day")
            ]
        )
    finally:
        await conn.close()
    return [
        Finding("statistics of the demonstration, slowest grouping", "≤ 300 ms", f"{slowest:.1f} ms",
                judge_most(slowest, 300)),
    ]  # fmt: skip


async def time_stats(conn: asyncpg.Connection, by: str, last: date, rounds: int) -> float:
    """Milliseconds, the median."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        if not await stats(conn, by, (None, last)):
            raise BenchFailure(f"no statistics by {by}")
        took.append((time.perf_counter() - began) * 1000)
    return take_median(took)


# The resolution log ---------------------------------------------------------------------------------------------


def measure_log(place: Path, rounds: int) -> list[Finding]:
    """Microseconds to append and to count one answer, and bytes of it when compressed."""
    appends, counts, packed_bytes = [], [], 0.0
    for number in range(rounds):
        directory = place / f"log-{number}"
        appends.append(_time_appending(directory))
        data = b"".join(path.read_bytes()[HEADER_BYTES:] for path in sorted(directory.iterdir()))
        began = time.perf_counter()
        tally, _ = tally_records(data)
        counts.append((time.perf_counter() - began) * 1e6 / RECORDS)
        if tally.records != RECORDS:
            raise BenchFailure(f"{tally.records} of {RECORDS} answers counted")
        packed_bytes = len(gzip.compress(data, 6)) / RECORDS
    figure = (
        f"append {take_median(appends):.2f} µs, count {take_median(counts):.2f} µs, {packed_bytes:.0f} bytes compressed"
    )
    return [Finding("resolution log, one answer", "–", figure, Verdict.INFORMATION)]


def _time_appending(directory: Path) -> float:
    writer = SegmentWriter(directory, "bench")
    keys = [f"88.101.5/SN{number * 7919 % 100_000:010d}".encode() for number in range(RECORDS)]
    transport, outcome, client = int(Transport.HANDLE_TCP), int(Outcome.FOUND), int(next(iter(ClientClass)))
    append, address = writer.append, b"\x7f\0\0\1"
    began = time.perf_counter()
    for key in keys:
        append(key, 5, 1, transport, outcome, client, address)
    took = time.perf_counter() - began
    writer.close()
    return took * 1e6 / RECORDS
