"""Hours of a plant's calls, and afterwards the books: `python -m loadtests.snms_endurance --minutes 120`.

2,000 identifiers at a time are created, looked at, updated and half of them deleted. One call in twenty is cut off at
any byte and sent again; the registry is restarted twice. At the end the tables hold what the answers said, nothing else
has grown, and neither has the registry's memory. Without `--speed` there is no pause; with it, calls come as many times
as often as at a plant of 15 million rows a day: `--minutes 6 --speed 20` are its two hours.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from yarl import URL

from loadtests.processes import BenchFailure, Node, open_place, read_memory, run_node
from loadtests.rows import add_firm, make_credit_code, make_suffix
from loadtests.snms import make_batch
from loadtests.verdicts import Verdict, judge_flat

BATCH_ROWS = 2_000
CUT_SHARE = 1 / 20
PATIENCE_SECONDS = 30.0
LEAST_CALLS = 9  # three rounds, however slow the machine
LOOKS = 20  # at identifiers of each batch
PLANT_SECONDS = 11.5  # between two calls of a plant with 15 million rows a day
CREATE, UPDATE, DELETE = (
    ("POST", "/identityv2/data/batchCreate"), ("PUT", "/identityv2/data/batchUpdate"),
    ("DELETE", "/identityv2/data/batchDelete"),
)  # fmt: skip
# What grows with identifiers, calls, or days and hours, by its design; all other tables stay as they are.
GROWING = (
    "records", "record_history", "changes", "registration_", "counted_", "resolution_", "audit", "log_gaps", "sessions",
    "job", "alarm", "totals", "rollup", "outbox", "prefix_totals", "prefix_days", "template_days", "node_days",
    "sign_in_", "monitor_", "operating_days",
)  # fmt: skip


# Of them, those with a row for each identifier or revision, which are compared one by one. The others may grow by so
# many rows for each call, and by what does not depend on calls at all.
OF_IDENTIFIERS = ("records", "record_history")
ROWS_A_CALL, ROWS_APART = 4, 2_000


@dataclass(slots=True)
class Plant:
    """`restart` ends when the registry answers again; `read_bytes` is its process and that one's memory."""

    url: str
    dsn: str
    key: str
    prefix: str
    restart: Callable[[], Coroutine[Any, Any, None]]
    read_bytes: Callable[[], tuple[int, int]]
    batch_rows: int = BATCH_ROWS
    token: str = ""
    pause_seconds: float = 0.0  # from the beginning of one call to that of the next


@dataclass(slots=True)
class Books:
    """What the answers said: suffix → the model it was given last, None once it was deleted; and what was counted."""

    models: dict[str, str | None] = field(default_factory=dict)
    revisions: int = 0  # that an identifier had before its present one
    calls: int = 0
    cuts: int = 0
    waits: int = 0  # for a registry that was being restarted
    late: int = 0  # calls that began after the next one was due
    bytes_added: int = 0  # to the database
    memory: list[tuple[int, int]] = field(default_factory=list)


async def run_endurance(plant: Plant, seconds: float, restarts: int = 2, seed: int = 1) -> Books:
    """Raises BenchFailure at the first answer that is not true."""
    books, chosen, began = Books(), random.Random(seed), time.monotonic()
    due = [began + seconds * (n + 1) / (restarts + 1) for n in range(restarts)]
    tables = await count_tables(plant)
    first = 0
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < began + seconds or due or books.calls < LEAST_CALLS:
            restarting = None
            if due and time.monotonic() >= due[0]:
                due.pop(0)
                restarting = asyncio.create_task(plant.restart())  # while calls are under way
            await _run_cycle(http, plant, books, chosen, first)
            first += plant.batch_rows
            if restarting is not None:
                await restarting
            books.memory.append(plant.read_bytes())
    await check_books(plant, books, tables)
    return books


async def _run_cycle(
    http: aiohttp.ClientSession, plant: Plant, books: Books, chosen: random.Random, first: int
) -> None:
    names = [make_suffix(n) for n in range(first, first + plant.batch_rows)]
    models = [f"M{chosen.randrange(10**6)}" for _ in range(2)]
    for call, model in zip((CREATE, UPDATE), models, strict=True):
        body = make_batch(plant.prefix, first, model, plant.batch_rows)
        again = {"success", "标识已存在"} if call is CREATE else {"success"}
        await _send(http, plant, books, chosen, (call, body, again))
        books.revisions += len(names) if call is UPDATE and models[0] != model else 0
        books.models |= dict.fromkeys(names, model)
        await _look(http, plant, chosen, names, model)
    gone = names[::2]
    body = json.dumps([f"{plant.prefix}/{name}" for name in gone]).encode()
    await _send(http, plant, books, chosen, (DELETE, body, {"success", "标识不存在"}))
    books.revisions += len(gone)
    books.models |= dict.fromkeys(gone, None)


Sent = tuple[tuple[str, str], bytes, set[str]]


async def _send(http: aiohttp.ClientSession, plant: Plant, books: Books, chosen: random.Random, sent: Sent) -> None:
    """One call, sometimes cut off before; a call that was begun before tells what landed of the first."""
    (method, path), body, again = sent
    due = time.monotonic() + plant.pause_seconds
    repeated = chosen.random() < CUT_SHARE
    if repeated:
        books.cuts += 1
        await _cut(plant, method, path, body, chosen.random())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            answer = await _ask(http, plant, method, path, body)
            break
        except (aiohttp.ClientError, OSError, _Busy) as error:
            if time.monotonic() > deadline:
                raise BenchFailure(f"{method} {path}: no answer for {PATIENCE_SECONDS:.0f} s: {error}") from error
            repeated, books.waits = True, books.waits + 1
            await asyncio.sleep(0.05)
    books.calls += 1
    books.late += time.monotonic() > due
    await asyncio.sleep(due - time.monotonic())
    messages = {row["msg"] for row in answer}
    if messages != {"success"} and not (repeated and len(messages) == 1 and messages <= again):
        raise BenchFailure(f"{method} {path}: {sorted(messages)} (repeated: {repeated})")


class _Busy(Exception):
    """The registry says so itself: nothing was done, or nobody knows."""


async def _ask(http: aiohttp.ClientSession, plant: Plant, method: str, path: str, body: bytes | None) -> Any:
    if not plant.token:
        access_key, _, secret_key = plant.key.partition(".")
        async with http.post(f"{plant.url}/identity/token",
                             json={"username": access_key, "password": secret_key}) as reply:  # fmt: skip
            plant.token = _open(await reply.json())["token"]
    headers = {"Authorization": f"Bearer {plant.token}", "Content-Type": "application/json"}
    async with http.request(method, URL(plant.url + path, encoded=True), data=body, headers=headers) as reply:
        return _open(await reply.json())


def _open(envelope: Any) -> Any:
    if envelope["status"] == -4:
        raise _Busy(envelope["message"])
    if envelope["status"] != 1:
        raise BenchFailure(str(envelope))
    return envelope["data"]


async def _cut(plant: Plant, method: str, path: str, body: bytes, share: float) -> None:
    """Send a part of a request, or all of it, and hang up."""
    url = URL(plant.url)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {plant.token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    try:
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(head.encode() + body[: int(len(body) * share * 1.2)])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    except OSError:
        return  # it is being restarted: that cuts, too


async def _look(http: aiohttp.ClientSession, plant: Plant, chosen: random.Random, names: list[str], model: str) -> None:
    for name in chosen.sample(names, min(LOOKS, len(names))):
        path = f"/identityv2/data/detail?handle={plant.prefix}/{name}"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = await _ask(http, plant, "GET", path, None)
                break
            except (aiohttp.ClientError, OSError, _Busy) as error:
                if time.monotonic() > deadline:
                    raise BenchFailure(f"{path}: no answer: {error}") from error
                await asyncio.sleep(0.05)
        values = {value["type"]: value["data"]["value"] for value in answer["value"]}
        if values.get("model") != model:
            raise BenchFailure(f"{name} says {values.get('model')!r}, not {model!r}")


# The books ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tables:
    """Table → rows, of those that are not meant to grow and of those that may, by calls; and the bytes of all."""

    fixed: dict[str, int]
    growing: dict[str, int]
    database_bytes: int


async def count_tables(plant: Plant) -> Tables:
    conn = await asyncpg.connect(plant.dsn)
    try:
        found = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        names = [row["relname"] for row in found if not row["relname"].startswith(OF_IDENTIFIERS)]
        rows = {name: await conn.fetchval(f'SELECT count(*) FROM "{name}"') for name in names}
        size = await conn.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await conn.close()
    growing = {name: count for name, count in rows.items() if name.startswith(GROWING)}
    return Tables({name: count for name, count in rows.items() if name not in growing}, growing, size)


def check_growth(books: Books, before: Tables, after: Tables) -> None:
    """Raises BenchFailure for a table that grew without need."""
    grown = {name: count for name, count in after.fixed.items() if count > before.fixed.get(name, 0)}
    if grown:
        raise BenchFailure(f"tables that grew: {grown}")
    most = books.calls * ROWS_A_CALL + ROWS_APART
    added = {name: count - before.growing.get(name, 0) for name, count in after.growing.items()}
    if max(added.values(), default=0) > most:
        raise BenchFailure(f"tables that grew by more than {most:,} rows in {books.calls:,} calls: {added}")


async def check_books(plant: Plant, books: Books, before: Tables) -> None:
    """The tables say what the answers said; raises BenchFailure."""
    conn = await asyncpg.connect(plant.dsn)
    try:
        prefix_id = await conn.fetchval("SELECT prefix_id FROM prefixes WHERE prefix = $1", plant.prefix)
        rows = await conn.fetch(
            "SELECT suffix_key, state, packed FROM records WHERE prefix_id = $1 AND template_id <> 0", prefix_id
        )
        history = await conn.fetchval("SELECT count(*) FROM record_history WHERE prefix_id = $1", prefix_id)
        members = await conn.fetchval(
            "SELECT coalesce(sum(members), 0) FROM (SELECT kind, prefix_id, members FROM changes"
            " UNION ALL SELECT kind, prefix_id, members FROM changes_pending) c WHERE prefix_id = $1 AND kind = 1",
            prefix_id,
        )
    finally:
        await conn.close()
    stored = {row["suffix_key"]: None if row["state"] == 2 else _read_model(row["packed"]) for row in rows}
    if stored != books.models:
        wrong = [name for name in stored.keys() | books.models.keys() if stored.get(name) != books.models.get(name)]
        raise BenchFailure(f"{len(wrong)} identifiers are not what the answers said, such as {sorted(wrong)[:3]}")
    if (history, members) != (books.revisions, len(books.models)):
        raise BenchFailure(f"history {history}, not {books.revisions}; created {members}, not {len(books.models)}")
    after = await count_tables(plant)
    check_growth(books, before, after)
    books.bytes_added = after.database_bytes - before.database_bytes


def _read_model(packed: bytes) -> str:
    _, entries = json.loads(packed[1:])
    return str(next(entry[2] for entry in entries if entry[1] == "model"))


def judge_memory(books: Books) -> tuple[Verdict, str]:
    """Of the process that lived longest: after a quarter of its life, and at its end."""
    lives: dict[int, list[int]] = {}
    for pid, size in books.memory:
        lives.setdefault(pid, []).append(size)
    longest = max(lives.values(), key=len)
    early, late = longest[len(longest) // 4], longest[-1]
    return judge_flat(early, late), f"{late / 1e6:.0f} MB, {early / 1e6:.0f} MB after a quarter of its life"


# A node of its own ----------------------------------------------------------------------------------------------


async def run_on_node(node: Node, place: Path, seconds: float, speed: float) -> Books:
    firm = await add_firm(node, place, make_credit_code("91321302MA1ENDUR0"))

    async def restart() -> None:
        (registry,) = node.list_children(" registry")
        os.kill(registry, signal.SIGTERM)  # the supervisor starts the next one
        deadline = time.monotonic() + 60
        while (now := node.list_children(" registry")) == [registry] or not now:
            if time.monotonic() > deadline:
                raise BenchFailure("the registry does not come back")
            await asyncio.sleep(0.1)

    def read_bytes() -> tuple[int, int]:
        running = node.list_children(" registry")
        return (running[0], read_memory(running[0], "Anonymous")) if len(running) == 1 else (0, 0)

    url = f"http://127.0.0.1:{node.registry_port}"
    plant = Plant(url, node.dsn, firm.key, firm.prefix, restart, read_bytes)
    plant.pause_seconds = PLANT_SECONDS / speed if speed else 0.0
    return await run_endurance(plant, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--speed", type=float, default=0.0, help="times that of the plant; default: without a pause")
    parser.add_argument("--place", type=Path, help="where the data directory is made; default: that of temporary files")
    given = parser.parse_args()
    began = time.monotonic()
    with open_place(given.place) as place:
        node = Node(place / "data")
        node.data_dir.mkdir(mode=0o711)
        try:
            with run_node(node):
                node.wait_for_answer("/health")
                node.wait_until_said(str(node.registry_port))
                books = asyncio.run(run_on_node(node, place, given.minutes * 60, given.speed))
        except BenchFailure as failure:
            print(failure, file=sys.stderr)
            return 1
    verdict, memory = judge_memory(books)
    minutes = (time.monotonic() - began) / 60
    print(
        f"{books.calls:,} calls of {BATCH_ROWS:,} in {minutes:.1f} minutes, which a plant makes in"
        f" {books.calls * PLANT_SECONDS / 3_600:.1f} hours; {books.cuts} of them cut off before,"
        f" {books.waits} sent again while the registry was restarted"
        + (f", {books.late} slower than the next was due" if given.speed else "")
        + ": the tables say what the answers said.\n"
        f"The database grew by {books.bytes_added / max(len(books.models), 1):.0f} bytes for each identifier (with two"
        f" changes), and nothing else by more than {ROWS_A_CALL} rows a call.\n"
        f"Memory of the registry: {memory}: {verdict}."
    )
    return 0 if verdict is Verdict.HELD else 1


if __name__ == "__main__":
    raise SystemExit(main())
