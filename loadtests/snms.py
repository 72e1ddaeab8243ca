"""The published interface: batches beside a bare COPY, looks at identifiers, and what a plant costs who resolves."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import asyncpg

from loadtests.processes import BenchFailure
from loadtests.reading import ask_all_over_http
from loadtests.rows import COLUMNS, FIVE, Firm, choose_numbers, make_suffix, make_values
from loadtests.verdicts import (
    DISTURBED,
    Finding,
    Rate,
    Verdict,
    is_disturbed,
    judge_least,
    judge_most,
    take_median,
    take_ratio,
)
from loadtests.web import KEYS, WrkLoad, run_wrk
from loadtests.world import World
from loadtests.writing import PACED_SHARE, run_paced
from schemas.records import pack_texts

BATCH_ROWS = 2_000
CALLS = 5  # of each client in one round
CLIENTS = 4
ROWS_BOUND, DETAIL_BOUND = 5_000, 2_000
DETAIL_CONNECTIONS = 16
PLANT_SECONDS = 11.0  # a round holds one call; 11.5 would be 15 million rows a day, but wrk takes whole seconds
PLANT_ROUNDS = 3
COST_BOUND, P99_FACTOR = 0.95, 5.0
FIRST_NUMBER = 6_000_000_000  # serial numbers far from those of the other measurements
SCRATCH_PREFIX_ID = 2_000_000_000  # rows that are nobody's
TYPES = [(item["index"], item["type"]) for item in FIVE["items"]]


def make_item(prefix: str, number: int, model: str | None = None) -> dict[str, Any]:
    """A HandleItem with five short values."""
    values = make_values(number) | ({} if model is None else {"model": model})
    return {
        "handle": f"{prefix}/{make_suffix(number)}",
        "templateVersion": FIVE["version"],
        "value": [
            {"auth": "", "index": index, "type": kind, "data": {"format": "string", "value": values[kind]}}
            for index, kind in TYPES
        ],
    }


def make_batch(prefix: str, first: int, model: str | None = None, rows: int = BATCH_ROWS) -> bytes:
    return json.dumps([make_item(prefix, n, model) for n in range(first, first + rows)], ensure_ascii=False).encode()


def sign_in(port: int, key: str) -> str:
    """A token for an access key and its secret."""
    access_key, _, secret_key = key.partition(".")
    body = json.dumps({"username": access_key, "password": secret_key}).encode()
    answer = json.loads(Client(port, "").send("POST", "/identity/token", body))
    if answer["status"] != 1:
        raise BenchFailure(f"no token: {answer['message']}")
    return str(answer["data"]["token"])


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise BenchFailure(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content

    def send_batch(self, method: str, path: str, body: bytes) -> None:
        """Raises BenchFailure unless every item is a success."""
        content = self.send(method, path, body)
        done = content.count(b'"msg":"success"')
        if done != BATCH_ROWS:
            raise BenchFailure(f"{method} {path}: {done} of {BATCH_ROWS} succeeded: {content[:300]!r}")

    def close(self) -> None:
        self._connection.close()


# Batches --------------------------------------------------------------------------------------------------------


async def measure_batches(world: World) -> list[Finding]:
    """Create, update and COPY in turn; one client, then four."""
    world.node.unpin(world.cores)
    token, number = sign_in(world.node.registry_port, world.hot.key), FIRST_NUMBER
    rates: dict[str, list[float]] = {}
    conn = await asyncpg.connect(world.node.dsn)
    try:
        for _ in range(world.rounds):
            rates.setdefault("copy", []).append(await _time_copy(conn, number))
            for clients in (1, CLIENTS):
                rows = clients * CALLS * BATCH_ROWS
                firsts = range(number, number + rows, BATCH_ROWS)
                created = [make_batch(world.hot.prefix, first) for first in firsts]
                changed = [make_batch(world.hot.prefix, first, "changed") for first in firsts]
                for name, method, path, bodies in (
                    ("create", "POST", "/identityv2/data/batchCreate", created),
                    ("update", "PUT", "/identityv2/data/batchUpdate", changed),
                ):
                    seconds = _time_clients(world.node.registry_port, token, clients, (method, path), bodies)
                    rates.setdefault(f"{name} {clients}", []).append(rows / seconds)
                number += rows
    finally:
        await conn.execute("DELETE FROM records WHERE prefix_id = $1", SCRATCH_PREFIX_ID)
        await conn.close()
    return [*_describe_batches("create", "batchCreate", rates), *_describe_batches("update", "batchUpdate", rates)]


def _time_clients(port: int, token: str, clients: int, call: tuple[str, str], bodies: Sequence[bytes]) -> float:
    """Seconds until each client has sent its share, one call after the other."""
    failures: list[BaseException] = []

    def work(share: Sequence[bytes]) -> None:
        try:
            client = Client(port, token)
            for body in share:
                client.send_batch(*call, body)
            client.close()
        except (BenchFailure, OSError, http.client.HTTPException) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(bodies[n::clients],)) for n in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise BenchFailure(str(failures[0]))
    return time.perf_counter() - began


async def _time_copy(conn: Any, number: int) -> float:
    """Rows per second of a bare COPY of such rows into the same table, 2,000 a transaction."""
    now, batches = datetime.now(UTC), []
    for first in range(number, number + CALLS * BATCH_ROWS, BATCH_ROWS):
        values = [(n, make_values(n)) for n in range(first, first + BATCH_ROWS)]
        batches.append([
            (now, now, SCRATCH_PREFIX_ID, 0, make_suffix(n), pack_texts(0, [(i, kind, v[kind]) for i, kind in TYPES]))
            for n, v in values
        ])  # fmt: skip
    began = time.perf_counter()
    for rows in batches:
        async with conn.transaction():
            await conn.copy_records_to_table("records", columns=COLUMNS, records=rows)
    return CALLS * BATCH_ROWS / (time.perf_counter() - began)


def _describe_batches(name: str, call: str, rates: dict[str, list[float]]) -> Iterator[Finding]:
    copy = take_median(rates["copy"])
    one, many = (take_median(rates[f"{name} {clients}"]) for clients in (1, CLIENTS))
    for clients, rate, bound in ((1, one, ROWS_BOUND), (CLIENTS, many, one)):
        yield Finding(
            f"SNMS {call} of {BATCH_ROWS:,}, {clients} client{'s' * (clients > 1)}",
            f"≥ {ROWS_BOUND:,} rows/s" if clients == 1 else "more in total than one client",
            f"{rate:,.0f} rows/s ({rate / copy:.2f} × bare COPY, {copy:,.0f} rows/s)",
            judge_least(rate, bound),
            rounds=[f"{each:,.0f} rows/s" for each in rates[f"{name} {clients}"]],
        )


# Looks ----------------------------------------------------------------------------------------------------------


def measure_detail(world: World) -> list[Finding]:
    """By wrk over 16 connections, with a token."""
    world.node.unpin(world.cores)
    token = sign_in(world.node.registry_port, world.hot.key)
    numbers = choose_numbers(KEYS, KEYS)
    paths = world.place / "detail.paths"
    paths.write_text("".join(_format_detail(world.hot, n) + "\n" for n in numbers))
    _check_details(world, token, numbers[:100])
    load = WrkLoad(
        paths, [world.cores.load], world.seconds, DETAIL_CONNECTIONS, headers=(f"Authorization: Bearer {token}",)
    )
    (registry,) = world.node.list_children(" registry")
    runs = [run_wrk(world.node.registry_port, [registry], load) for _ in range(world.rounds)]
    if any(run.refused for run in runs):
        raise BenchFailure("some looks were refused")
    rate, p99 = (take_median(values) for values in ([r.rate.per_second for r in runs], [r.p99_ms for r in runs]))
    return [
        Finding(
            f"SNMS detail from {DETAIL_CONNECTIONS} connections", f"≥ {DETAIL_BOUND:,}/s",
            f"{rate:,.0f}/s (p99 {p99:.1f} ms)", judge_least(rate, DETAIL_BOUND), rounds=[str(r.rate) for r in runs],
        )
    ]  # fmt: skip


def _format_detail(firm: Firm, number: int) -> str:
    return f"/identityv2/data/detail?handle={quote(f'{firm.prefix}/{make_suffix(number)}', safe='')}"


def _check_details(world: World, token: str, numbers: Sequence[int]) -> None:
    client = Client(world.node.registry_port, token)
    for number in numbers:
        answer = json.loads(client.send("GET", _format_detail(world.hot, number)))
        values = {value["type"]: value["data"]["value"] for value in answer["data"]["value"]}
        if not make_values(number).items() <= values.items():
            raise BenchFailure(f"detail of {make_suffix(number)}: {answer}")
    client.close()


# A plant --------------------------------------------------------------------------------------------------------


def measure_plant(world: World) -> list[Finding]:
    """Cached rate and p99 with and without one call of 2,000 in each round, in turn."""
    world.node.pin(world.cores)
    ask_all_over_http(world)
    token, rounds = sign_in(world.node.registry_port, world.hot.key), min(world.rounds, PLANT_ROUNDS)
    load = WrkLoad(world.hot_paths, [world.cores.load], PLANT_SECONDS)
    idle, busy = _take_turns(world, token, rounds, lambda: run_wrk(world.node.http_port, [world.worker], load).rate)
    pace = PACED_SHARE * take_median([rate.per_second for rate in idle])
    calm, loaded = _take_turns(world, token, rounds, lambda: run_paced(_stretch(world), pace)["p99_ms"])
    return [_describe_cost(idle, busy), _describe_p99(pace, calm, loaded)]


def _stretch(world: World) -> World:
    """Rounds as long as a plant's pause, so that each holds one call."""
    return World(world.node, world.place, world.cores, world.hot, world.cold, world.rows, PLANT_SECONDS, world.rounds)


def _take_turns(world: World, token: str, rounds: int, measure: Callable[[], Any]) -> tuple[list[Any], list[Any]]:
    idle, busy = [], []
    for number in range(rounds):
        idle.append(measure())
        with _plant(world, token, FIRST_NUMBER + 10**8 + (time.time_ns() // 1000 % 10**8) * 10 + number):
            busy.append(measure())
    return idle, busy


@contextmanager
def _plant(world: World, token: str, first: int) -> Iterator[None]:
    """One batchCreate in the middle of what is measured."""
    body, failures = make_batch(world.hot.prefix, first), []

    def send() -> None:
        try:
            client = Client(world.node.registry_port, token)
            client.send_batch("POST", "/identityv2/data/batchCreate", body)
            client.close()
        except (BenchFailure, OSError, http.client.HTTPException) as error:
            failures.append(error)

    timer = threading.Timer(PLANT_SECONDS / 2, send)
    timer.start()
    yield
    timer.join()
    if failures:
        raise BenchFailure(f"the plant's call: {failures[0]}")


def _describe_cost(idle: Sequence[Rate], busy: Sequence[Rate]) -> Finding:
    ratio, reason = take_ratio(busy, idle), DISTURBED if is_disturbed(idle) or is_disturbed(busy) else ""
    return Finding(
        "cached resolves while a plant registers 15 million rows a day", f"≥ {COST_BOUND} × without",
        f"{ratio:.3f} ×", Verdict.NOT_MEASURABLE if reason else judge_least(ratio, COST_BOUND), reason,
        rounds=[f"without {a}; with {b}" for a, b in zip(idle, busy, strict=True)],
    )  # fmt: skip


def _describe_p99(pace: float, calm: Sequence[float], loaded: Sequence[float]) -> Finding:
    factor = take_median([b / a for a, b in zip(calm, loaded, strict=True)])
    return Finding(
        f"their p99 at {pace:,.0f}/s", f"≤ {P99_FACTOR:g} × without", f"{factor:.1f} ×",
        judge_most(factor, P99_FACTOR),
        rounds=[f"without {a:.2f} ms; with {b:.2f} ms" for a, b in zip(calm, loaded, strict=True)],
    )  # fmt: skip
