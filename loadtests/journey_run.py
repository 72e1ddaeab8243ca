"""The locust journey without its page: a few users for some seconds, every failure counted."""

import json
import os
import subprocess
import sys
from typing import Any

from loadtests.processes import ROOT, BenchFailure
from loadtests.rows import FIVE
from loadtests.verdicts import Finding, Verdict
from loadtests.world import World

USERS, SECONDS = 20, 15


def measure_journey(world: World) -> list[Finding]:
    """No bound is set for it but that nothing fails."""
    world.node.unpin(world.cores)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JOURNEY_KEY": world.hot.key,
        "JOURNEY_PREFIX": world.hot.prefix,
        "JOURNEY_TEMPLATE": str(FIVE["version"]),
        "JOURNEY_RESOLVER": f"http://127.0.0.1:{world.node.http_port}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "journey.py"), "--headless", "--json",
         "--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", f"{SECONDS}s", "--loglevel", "WARNING",
         "--host", f"http://127.0.0.1:{world.node.registry_port}"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    start = done.stdout.find("[")
    if start < 0:
        raise BenchFailure(f"locust: {(done.stderr or done.stdout)[-400:]}")
    return [_describe(json.loads(done.stdout[start:]), done.stderr)]


def _describe(rows: list[dict[str, Any]], said: str) -> Finding:
    requests, failures = (sum(row[name] for row in rows) for name in ("num_requests", "num_failures"))
    if not requests:
        raise BenchFailure(f"locust made no request: {said[-400:]}")
    rounds = [_describe_row(row) for row in sorted(rows, key=lambda row: str(row["name"]))]
    what = f"journey of {USERS} users for {SECONDS} s (register, resolve, statistics)"
    verdict = Verdict.MISSED if failures else Verdict.HELD
    reason = said.strip()[-200:] if failures else ""
    return Finding(what, "no failure", f"{requests:,} requests, {failures:,} failures", verdict, reason, rounds)


def _describe_row(row: dict[str, Any]) -> str:
    times = sorted((float(time), count) for time, count in row["response_times"].items())
    return (
        f"{row['name']}: {row['num_requests']:,} requests, {row['num_failures']:,} failures,"
        f" p50 {take_weighted(times, 50):.0f} ms, p99 {take_weighted(times, 99):.0f} ms"
    )


def take_weighted(times: list[tuple[float, int]], percent: float) -> float:
    """The value that `percent` of all requests do not exceed; `times` are (value, how often), ascending."""
    wanted, seen = sum(count for _, count in times) * percent / 100, 0
    for value, count in times:
        seen += count
        if seen >= wanted:
            return value
    return 0.0
