"""Writes: batches, ranges, how soon resolvers see them, and what a bulk load does to those who resolve meanwhile."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import asyncpg

from loadtests.api import Api, Pages
from loadtests.processes import BenchFailure, Node, run_node
from loadtests.rows import (
    FIVE,
    PRODUCTS_COLUMN,
    PRODUCTS_TEMPLATE,
    format_path,
    make_suffix,
    make_values,
    write_products,
)
from loadtests.verdicts import Finding, Verdict, judge_least, judge_most, take_median
from loadtests.world import World

BATCH_ROWS = 2_000
RANGE_MEMBERS = 10_000_000
PACED_SHARE = 0.3  # of the cached rate
P99_FACTOR = 5.0
WRITES = 10  # seen on every worker, in each of the conditions
WORKERS, CONNECTIONS = 2, 16  # one worker gets all of 16 connections once in 32,768 times
BULK_ROWS_PER_SECOND = 80_000  # more than an import does: it must not end before the measurement
FIRST_BATCH_NUMBER = 5_000_000_000  # serial numbers far from those that COPY made


def measure_batches(world: World) -> list[Finding]:
    """One client, one batch of 2,000 after the other."""
    world.node.unpin(world.cores)
    api, number, rates = Api(world.node.registry_port, world.hot.key), FIRST_BATCH_NUMBER, []
    for _ in range(world.rounds):
        began, rows = time.perf_counter(), 0
        while time.perf_counter() - began < world.seconds:
            items = [{"suffix": make_suffix(n), "values": make_values(n)} for n in range(number, number + BATCH_ROWS)]
            body = {"prefix": world.hot.prefix, "template": FIVE["version"], "items": items}
            counts = api.call("POST", "/api/v1/identifiers/batch", body)
            if counts["registered"] != BATCH_ROWS:
                raise BenchFailure(f"{counts['registered']} of {BATCH_ROWS} were registered")
            rows, number = rows + BATCH_ROWS, number + BATCH_ROWS
        rates.append(rows / (time.perf_counter() - began))
    api.close()
    rate = take_median(rates)
    rounds = [f"{each:,.0f} rows/s" for each in rates]
    what = f"batch create of {BATCH_ROWS:,} (one client, /api/v1, making the JSON included)"
    return [Finding(what, "≥ 5,000 rows/s", f"{rate:,.0f} rows/s", judge_least(rate, 5_000), rounds=rounds)]


def measure_ranges(world: World) -> list[Finding]:
    """Ten million serials in one call, each time under another head."""
    api, took = Api(world.node.registry_port, world.hot.key), []
    for number in range(world.rounds):
        head = f"R{number}-"
        body = {"prefix": world.hot.prefix, "template": FIVE["version"], "values": make_values(number),
                "first": f"{head}00000001", "last": f"{head}{RANGE_MEMBERS:08d}"}  # fmt: skip
        began = time.perf_counter()
        api.call("POST", "/api/v1/ranges", body)
        took.append(time.perf_counter() - began)
    api.close()
    seconds = take_median(took)
    rounds = [f"{each * 1000:.0f} ms" for each in took]
    return [
        Finding(
            "range of 10 million serials", "≤ 1 s", f"{seconds * 1000:.0f} ms", judge_most(seconds, 1), rounds=rounds
        )
    ]


# Bulk load ------------------------------------------------------------------------------------------------------


class Bulk:
    """An import of the pump works' products that runs in the registry's own child process until it is cancelled."""

    def __init__(self, world: World, seconds: float) -> None:
        self._world, self._api = world, Api(world.node.registry_port, world.hot.key)
        file = world.place / "bulk.csv"
        write_products(file, int(BULK_ROWS_PER_SECOND * seconds))
        version = json.loads(PRODUCTS_TEMPLATE.read_text())["version"]
        fields = {"prefix": world.hot.prefix, "template": version, "identifier_column": PRODUCTS_COLUMN}
        self._job = self._api.upload("/api/v1/jobs", file, fields)["job_id"]
        file.unlink()

    def read(self) -> tuple[str, int]:
        """State and rows done; raises BenchFailure if it could not go on."""
        job = self._api.call("GET", f"/api/v1/jobs/{self._job}")
        if job["error"]:
            raise BenchFailure(f"the import failed after {job['rows_done']} rows: {job['error']['detail']}")
        return job["state"], job["rows_done"]

    def wait_until_busy(self) -> None:
        deadline = time.monotonic() + 60
        while self.read()[1] == 0:
            if time.monotonic() > deadline:
                raise BenchFailure("the import does not begin")
            time.sleep(0.1)

    def cancel(self) -> int:
        """Rows done; raises BenchFailure if it had ended before."""
        state, rows = self.read()
        if state != "running":
            raise BenchFailure(f"the bulk load was {state} after {rows} rows, before the measurement ended")
        self._api.call("POST", f"/api/v1/jobs/{self._job}/cancel", {})
        self._api.close()
        return rows


@contextlib.contextmanager
def bulk_load(world: World, seconds: float) -> Iterator[Bulk]:
    """Running from here to the end of the block, which lasts at most so long."""
    add_products_template(world.node, world.hot.prefix)
    bulk = Bulk(world, seconds)
    bulk.wait_until_busy()
    yield bulk
    bulk.cancel()


def add_products_template(node: Node, prefix: str) -> None:
    """The same document again is accepted."""
    with contextlib.suppress(BenchFailure):
        node.run("template", "add", str(PRODUCTS_TEMPLATE), "--prefix", prefix)


def run_paced(world: World, rate: float) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "loadtests.paced", str(world.node.http_port), str(world.hot_paths), f"{rate:.0f}",
        f"{world.seconds:g}", "--core", str(world.cores.load),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchFailure(f"paced load: {(done.stdout or done.stderr)[-300:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure_latency(world: World) -> list[Finding]:
    """p99 at 30 % of the cached rate: idle rounds, then as many while an import runs."""
    world.node.pin(world.cores)
    rate = PACED_SHARE * world.get_cached_rate()
    idle = [run_paced(world, rate) for _ in range(world.rounds)]
    with bulk_load(world, (world.rounds + 2) * (world.seconds + 3)) as bulk:
        world.node.pin(world.cores)  # the import's own process too
        before, began = bulk.read()[1], time.perf_counter()
        busy = [run_paced(world, rate) for _ in range(world.rounds)]
        import_rate = (bulk.read()[1] - before) / (time.perf_counter() - began)
    base, loaded = (take_median([run["p99_ms"] for run in runs]) for runs in (idle, busy))
    factor = loaded / base
    late = [take_median([run["sent_late_p99_ms"] for run in runs]) for runs in (idle, busy)]
    verdict, reason = judge_most(factor, P99_FACTOR), ""
    if late[0] > base / 2 or late[1] > loaded / 2:
        lateness = f"the generator itself was late by {late[0]:.1f} ms idle, {late[1]:.1f} ms busy (p99)"
        verdict, reason = Verdict.NOT_MEASURABLE, lateness
    return [
        Finding(
            f"p99 of cached resolves at {rate:,.0f}/s while an import runs ({import_rate:,.0f} rows/s)",
            f"≤ {P99_FACTOR:g} × idle", f"{factor:.1f} × ({loaded:.2f} ms, idle {base:.2f} ms)", verdict, reason,
            [_describe_pace("idle", run) for run in idle] + [_describe_pace("import", run) for run in busy],
        )
    ]  # fmt: skip


def _describe_pace(name: str, run: dict[str, Any]) -> str:
    return (
        f"{name}: p50 {run['p50_ms']:.2f}, p99 {run['p99_ms']:.2f}, longest {run['max_ms']:.1f} ms;"
        f" sent late by {run['sent_late_p99_ms']:.2f} ms (p99); generator {run['core_percent']:.0f} %"
    )


# Invalidation ---------------------------------------------------------------------------------------------------


async def measure_invalidation(world: World) -> list[Finding]:
    """Seconds from the answer to a write until every connection of two workers shows it; the longest counts."""
    world.node.unpin(world.cores)
    part = Node(world.node.data_dir, ("resolver",), {"IDNODE_RESOLVER_WORKERS": str(WORKERS)})
    api = Api(world.node.registry_port, world.hot.key)
    with run_node(part):
        part.wait_for_answer("/health")
        pages = Pages(part.http_port, CONNECTIONS)
        quiet = [_change_and_see(world, api, pages, n) for n in range(WRITES)]
        with bulk_load(world, 15):
            busy = [_change_and_see(world, api, pages, n) for n in range(WRITES)]
        cut = [await _cut_and_see(world, api, pages, n) for n in range(WRITES // 2)]
        pages.close()
    api.close()
    longest = {"quiet": max(quiet), "during an import": max(busy), "after the connection was cut": max(cut)}
    parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in longest.items())
    what = f"invalidation after a write, on each of {WORKERS} workers (longest of {2 * WRITES + WRITES // 2})"
    worst = max(longest.values())
    return [Finding(what, "≤ 1 s", f"{worst:.2f} s ({parts})", judge_most(worst, 1))]


def _change_and_see(world: World, api: Api, pages: Pages, number: int) -> float:
    path, model = format_path(world.hot.prefix, number), f"changed {time.time_ns()}"
    pages.ask(path)  # cached everywhere
    identifier = f"{world.hot.prefix}/{make_suffix(number)}"
    api.call("PATCH", f"/api/v1/identifiers/{identifier}", {"values": {"model": model}})
    began = time.perf_counter()
    while not all(model.encode() in body for body in pages.ask(path)):
        if time.perf_counter() - began > 30:
            raise BenchFailure(f"{identifier} still shows what it was 30 s ago")
    return time.perf_counter() - began


async def _cut_and_see(world: World, api: Api, pages: Pages, number: int) -> float:
    conn = await asyncpg.connect(world.node.dsn)
    try:
        cut = await conn.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'idnode resolver'"
        )
    finally:
        await conn.close()
    if not cut:
        raise BenchFailure("no connection of a resolver was found to be cut")
    return _change_and_see(world, api, pages, number)
