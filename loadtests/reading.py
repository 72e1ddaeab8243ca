"""Answers per second: cached over HTTP beside nginx and over the Handle protocol, by two workers, from the database."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import orjson

from loadtests.handle_load import ask_udp
from loadtests.processes import (
    ROOT,
    BenchFailure,
    Node,
    find_free_port,
    list_tree,
    pin,
    read_cpu_seconds,
    run_node,
)
from loadtests.rows import format_path, make_values
from loadtests.verdicts import (
    DISTURBED,
    Finding,
    Rate,
    Verdict,
    is_disturbed,
    judge_least,
    judge_most,
    judge_ratio,
    judge_ratio_at_least,
    take_median,
    take_ratio,
)
from loadtests.web import KEYS, Checker, WrkLoad, WrkRun, fetch, run_nginx, run_wrk
from loadtests.world import World

HTTP_BOUND = 0.8
TCP_BOUND, UDP_BOUND = 80 / 115, 120 / 115  # of nginx's rate
TWO_BOUND = 1.8
COLD_BOUND, COLD_P99_BOUND = 25_000, 20.0
COLD_CONNECTIONS = 256
COLD_MOST_PER_SECOND = 60_000
FILL_SECONDS = 120.0


def is_right(path: str, body: bytes) -> bool:
    """Whether a body of Handle REST names the identifier that was asked and holds its five values."""
    prefix, suffix = path.split("/")[-2:]
    answer = orjson.loads(body)
    values = {value["type"]: value["data"]["value"] for value in answer["values"]}
    expected = make_values(int(suffix.removeprefix("SN")))
    return bool(answer["handle"] == f"{prefix}/{suffix}" and expected.items() <= values.items())


def ask_all_over_http(world: World, keys: int = KEYS) -> None:
    """Every hot key once at least."""
    asked, deadline = 0, time.monotonic() + FILL_SECONDS
    while time.monotonic() < deadline:
        load = WrkLoad(world.hot_paths, [world.cores.load], 1, first=asked, count=keys - asked)
        asked += run_wrk(world.node.http_port, [], load).answers
        if asked >= keys:
            return
    raise BenchFailure(f"only {asked} answers while the cache was filled")


def ask_all_over_handle(world: World) -> None:
    """Every hot key: connections begin at different places of the order and go round."""
    answers, deadline = 0, time.monotonic() + FILL_SECONDS
    while answers < 3 * KEYS:
        if time.monotonic() > deadline:
            raise BenchFailure(f"only {answers} answers over the Handle protocol")
        answers += run_handle(world, "tcp", 2)[1]["answers"]


def run_handle(
    world: World, transport: str, seconds: float, server: tuple[int, int] | None = None
) -> tuple[Rate, dict[str, Any]]:
    """Load on the worker, or on the server with this port and pid. Raises BenchFailure if an answer was wrong."""
    port, pid = server or (world.node.handle_port, world.worker)
    cpu = read_cpu_seconds(pid)
    command = [
        sys.executable, "-m", "loadtests.handle_load", transport, "127.0.0.1", str(port),
        str(world.hot_identifiers), "--seconds", f"{seconds:g}", "--core", str(world.cores.load),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchFailure(f"{transport}: {(done.stdout or done.stderr)[-400:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["other_codes"]:
        raise BenchFailure(f"{transport}: {figures['other_codes']} answers were not successes")
    served = 100 * (read_cpu_seconds(pid) - cpu) / figures["seconds"]
    return Rate(figures["answers_per_second"], figures["core_percent"], served), figures


def measure_cached(world: World) -> list[Finding]:
    """HTTP, nginx, TCP, UDP in turn, five times."""
    world.node.pin(world.cores)
    ask_all_over_http(world)
    ask_all_over_handle(world)
    path = world.hot_paths.read_text().split("\n", 1)[0]
    body = fetch(world.node.http_port, path)
    rounds: dict[str, list[Rate]] = {"http": [], "nginx": [], "tcp": [], "udp": []}
    checker = Checker(world.node.http_port, world.hot_paths.read_text().split(), is_right)
    answers = lost = 0
    load = WrkLoad(world.hot_paths, [world.cores.load], world.seconds)
    nginx = run_nginx(world.place, len(body), world.cores.server)
    with nginx as (nginx_port, nginx_pid), world.node.agent_in_pauses():
        for _ in range(world.rounds):
            with checker.checking():
                run = run_wrk(world.node.http_port, [world.worker], load)
            _refuse_errors(run)
            answers += run.answers
            rounds["http"].append(run.rate)
            rounds["nginx"].append(run_wrk(nginx_port, [nginx_pid], load).rate)
            for transport in ("tcp", "udp"):
                rate, figures = run_handle(world, transport, world.seconds)
                rounds[transport].append(rate)
                lost += figures["lost"]
    if checker.wrong or checker.checked * 1000 < answers:
        raise BenchFailure(f"{checker.checked} of {answers} bodies checked; wrong: {checker.wrong[:3]}")
    world.nginx, world.cached = rounds["nginx"], rounds["http"]
    return [
        _describe_http(rounds, len(body), checker.checked),
        _describe_handle("Handle TCP resolve, cached", rounds["tcp"], rounds["nginx"], TCP_BOUND),
        _describe_handle(f"Handle UDP resolve, cached ({lost} lost)", rounds["udp"], rounds["nginx"], UDP_BOUND),
    ]


def _refuse_errors(run: WrkRun) -> None:
    if run.refused:
        raise BenchFailure(f"{run.refused} of {run.answers} answers had an error status")


def _median_rate(rates: list[Rate]) -> str:
    return f"{take_median([rate.per_second for rate in rates]):,.0f}/s"


def _list_rounds(ours: list[Rate], theirs: list[Rate]) -> list[str]:
    return [f"{our}; nginx {their}" for our, their in zip(ours, theirs, strict=True)]


def _describe_http(rounds: dict[str, list[Rate]], body_bytes: int, checked: int) -> Finding:
    ours, theirs = rounds["http"], rounds["nginx"]
    verdict, reason = judge_ratio(ours, theirs, HTTP_BOUND)
    return Finding(
        f"HTTP resolve, cached (body of {body_bytes} bytes, {checked:,} bodies checked)",
        f"≥ {HTTP_BOUND} × nginx",
        f"{take_ratio(ours, theirs):.2f} × ({_median_rate(ours)}, nginx {_median_rate(theirs)})",
        verdict, reason, _list_rounds(ours, theirs),
    )  # fmt: skip


def _describe_handle(what: str, ours: list[Rate], theirs: list[Rate], bound: float) -> Finding:
    verdict, reason = judge_ratio_at_least(ours, theirs, bound)
    return Finding(
        what,
        f"≥ {bound:.2f} × nginx",
        f"{take_ratio(ours, theirs):.2f} × ({_median_rate(ours)}, nginx {_median_rate(theirs)})",
        verdict, reason, _list_rounds(ours, theirs),
    )  # fmt: skip


# Bare Python ----------------------------------------------------------------------------------------------------


def measure_bare(world: World) -> list[Finding]:
    """nginx and Python with ready answers in turn: what part of nginx's rate an interpreter reaches here at most."""
    path = world.hot_paths.read_text().split("\n", 1)[0]
    identifier = world.hot_identifiers.read_text().split("\n", 1)[0]
    body = fetch(world.node.http_port, path)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    rounds: dict[str, list[Rate]] = {"http": [], "nginx": [], "udp": []}
    load = WrkLoad(world.hot_paths, [world.cores.load], world.seconds)
    with (
        run_nginx(world.place, len(body), world.cores.server) as (nginx_port, nginx_pid),
        _run_bare(world, "http", head.encode() + body) as (http_port, http_pid),
        _run_bare(world, "udp", ask_udp(world.node.handle_port, identifier)) as udp,
        world.node.agent_in_pauses(),
    ):
        for _ in range(world.rounds):
            rounds["http"].append(run_wrk(http_port, [http_pid], load).rate)
            rounds["nginx"].append(run_wrk(nginx_port, [nginx_pid], load).rate)
            rounds["udp"].append(run_handle(world, "udp", world.seconds, udp)[0])
    return [
        Finding(
            f"bare Python over {name.upper()}: answers ready in a dictionary, nothing else", "–",
            f"{take_ratio(rounds[name], rounds['nginx']):.2f} × nginx ({_median_rate(rounds[name])})",
            Verdict.INFORMATION, rounds=_list_rounds(rounds[name], rounds["nginx"]),
        )
        for name in ("http", "udp")
    ]  # fmt: skip


@contextlib.contextmanager
def _run_bare(world: World, transport: str, answer: bytes) -> Iterator[tuple[int, int]]:
    """Port and pid of a bare server on the server's core; `answer` is about the first key."""
    file, port = world.place / f"bare.{transport}", find_free_port()
    file.write_bytes(answer)
    command = [sys.executable, "-m", "loadtests.bare", transport, str(port), str(world.hot_identifiers), str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise BenchFailure(f"bare Python over {transport} did not start")
        pin(process.pid, world.cores.server)
        yield port, process.pid
    finally:
        process.kill()
        process.communicate()


# Two workers ----------------------------------------------------------------------------------------------------


def measure_two_workers(world: World) -> list[Finding]:
    """Two resolver workers on two cores against one, with the load from two others."""
    what, bound = "two workers", f"≥ {TWO_BOUND} × one"
    if len(world.cores.all) < 4:
        reason = f"needs 4 cores, there are {len(world.cores.all)}"
        return [Finding(what, bound, "–", Verdict.NOT_MEASURABLE, reason)]
    one = [_run_workers(world, 1) for _ in range(world.rounds)]
    two = [_run_workers(world, 2) for _ in range(world.rounds)]
    ratio = take_ratio(two, one)
    rounds = [f"two {a}; one {b}" for a, b in zip(two, one, strict=True)]
    measured = f"{ratio:.2f} × ({_median_rate(two)}, one {_median_rate(one)})"
    return [Finding(what, bound, measured, judge_least(ratio, TWO_BOUND), rounds=rounds)]


def _run_workers(world: World, number: int) -> Rate:
    settings = {"IDNODE_RESOLVER_WORKERS": str(number)}
    with run_node(Node(world.node.data_dir, ("resolver",), settings)) as part:
        part.wait_for_answer("/health")
        workers = part.list_children(" resolver ")
        for place, worker in enumerate(workers):
            pin(worker, world.cores.all[place])
        load = WrkLoad(world.hot_paths, world.cores.all[2:4], world.seconds)
        for _ in range(3):
            run_wrk(part.http_port, workers, load)  # fills both caches
        return run_wrk(part.http_port, workers, load).rate


# Cold -----------------------------------------------------------------------------------------------------------


def measure_cold(world: World) -> list[Finding]:
    """Keys that were never asked before, each one row of a large table."""
    for pid in list_tree(world.node.pid):
        pin(pid, world.cores.server if pid == world.worker else world.cores.load)
    asked, runs, keys = 0, [], len(world.cold_paths.read_text().splitlines())
    for number in range(world.rounds + 1):
        count = int(world.seconds * COLD_MOST_PER_SECOND)
        load = WrkLoad(world.cold_paths, [world.cores.load], world.seconds, COLD_CONNECTIONS, asked, count)
        spent, begun = sum(map(read_cpu_seconds, others := _list_others(world))), time.monotonic()
        run = run_wrk(world.node.http_port, [world.worker], load)
        watched = time.monotonic() - begun  # longer than the load, since wrk reads its paths first
        beside = 100 * (sum(map(read_cpu_seconds, others)) - spent) / watched
        _refuse_errors(run)
        asked += run.answers + COLD_CONNECTIONS
        if run.answers + COLD_CONNECTIONS > count or asked > keys:
            raise BenchFailure(f"{keys} keys were not enough: some were asked twice")
        if number:  # the first warms PostgreSQL's own caches
            rate = replace(run.rate, generator_percent=run.rate.generator_percent + beside)
            runs.append(replace(run, rate=rate))
    disturbed = is_disturbed([run.rate for run in runs])
    per_second, p99_ms = take_median([run.rate.per_second for run in runs]), take_median([run.p99_ms for run in runs])
    rounds = [f"{run.rate}, p99 {run.p99_ms:.1f} ms" for run in runs]
    what = f"cold resolve (misses, one row of {world.rows:,}, {COLD_CONNECTIONS} connections)"
    verdicts = judge_least(per_second, COLD_BOUND), judge_most(p99_ms, COLD_P99_BOUND)
    reason = DISTURBED if disturbed else ""
    rate_verdict, p99_verdict = (Verdict.NOT_MEASURABLE if disturbed else verdict for verdict in verdicts)
    return [
        Finding(what, "≥ 25,000/s", f"{per_second:,.0f}/s", rate_verdict, reason, rounds),
        Finding("p99 of cold resolve", "≤ 20 ms", f"{p99_ms:.1f} ms", p99_verdict, reason),
    ]


def _list_others(world: World) -> list[int]:
    """Who shares the generator's core: PostgreSQL and the rest of the node."""
    return [pid for pid in list_tree(world.node.pid) if pid != world.worker]


async def measure_disk(world: World) -> list[Finding]:
    """The partition of the large table with its index, divided by its rows."""
    conn = await asyncpg.connect(world.node.dsn)
    try:
        (row,) = await conn.fetch(
            "SELECT tableoid::regclass::text AS name, pg_total_relation_size(tableoid) AS bytes,"
            " avg(length(packed))::int AS packed, count(*) AS rows"
            " FROM records WHERE tableoid = (SELECT tableoid FROM records WHERE prefix_id = $1 LIMIT 1)"
            " GROUP BY tableoid",
            world.cold.prefix_id,
        )
    finally:
        await conn.close()
    per_row = row["bytes"] / row["rows"]
    what = f"bytes on disk (five short values, {row['packed']} bytes packed; {row['rows']:,} rows in order of issue)"
    return [Finding(what, "≤ 400 per identifier", f"{per_row:.0f}", judge_most(per_row, 400))]


def check_answers(world: World) -> None:
    """One answer of each table before anything is measured; raises BenchFailure."""
    for firm, number in ((world.hot, 7), (world.cold, 7)):
        path = format_path(firm.prefix, number)
        if not is_right(path, fetch(world.node.http_port, path)):
            raise BenchFailure(f"{path} is answered wrongly")
