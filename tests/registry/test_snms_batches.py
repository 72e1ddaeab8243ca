"""Batches by the published interface: sizes, forms, order, what a cut connection leaves, and 2,000 in a second."""

import asyncio
import logging
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from yarl import URL

from tests.registry.api_world import PUMP, TOFU, World
from tests.registry.snms_world import DATA, VERSION, Said, add_owner, ask, make_item, open_snms_world, read_texts

CREATE, UPDATE, DELETE = f"{DATA}/batchCreate", f"{DATA}/batchUpdate", f"{DATA}/batchDelete"
CALLS = (("POST", CREATE), ("PUT", UPDATE), ("DELETE", DELETE))
SECOND = "88.101.31"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_snms_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        await add_owner(made, "second", 931, SECOND)
        yield made


def name(*suffixes: str) -> list[str]:
    return [f"{PUMP}/{suffix}" for suffix in suffixes]


def read_messages(said: Said) -> list[str]:
    assert (said.status, said.message) == (1, "success")
    return [item["msg"] for item in said.data]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "body", [[], {"items": []}, ["x"] * 2_001, {}, {"rows": []}, "text", 7, None, b"", {"items": {"0": 1}}],
    ids=lambda body: str(body)[:20],
)  # fmt: skip
async def test_what_is_no_list_of_1_to_2000_is_refused_as_a_whole(
    world: World, method: str, path: str, body: Any
) -> None:
    said = await ask(world, method, path, body)
    assert (said.status, said.data) == (-2, None)
    assert "数组" in said.message


async def test_one_and_2000_are_taken_and_repeated_calls_tell_what_landed(world: World) -> None:
    many = [make_item(f"many-{n:04}", f"M{n}") for n in range(2_000)]
    assert read_messages(await ask(world, "POST", CREATE, many[:1])) == ["success"]
    made = await ask(world, "POST", CREATE, {"items": many})
    assert read_messages(made) == ["标识已存在"] + ["success"] * 1_999
    assert [item["handle"] for item in made.data] == [item["handle"] for item in many]  # in the order given
    assert read_messages(await ask(world, "POST", CREATE, many)) == ["标识已存在"] * 2_000
    changed = [make_item(f"many-{n:04}", f"N{n}", "7") for n in range(2_000)]
    for _ in range(2):
        assert read_messages(await ask(world, "PUT", UPDATE, changed)) == ["success"] * 2_000
    assert await read_texts(world, "many-1234") == {"model": "N1234", "batch": "7"}
    history = (await world.ask("GET", f"/api/v1/identifiers/{PUMP}/many-1234/history")).json["revisions"]
    assert len(history) == 2  # what says so already is not written again
    gone = [item["handle"] for item in many]
    for body, code, message in ((gone, 1, "success"), ({"handles": gone}, -2, "标识不存在")):
        said = await ask(world, "DELETE", DELETE, body)
        assert said.status == 1
        assert said.data == [{"handle": handle, "code": code, "msg": message} for handle in gone]


async def test_each_item_is_answered_by_itself_in_its_place(world: World) -> None:
    await ask(world, "POST", DATA, make_item("old"))
    items = [
        make_item("new"), make_item("old"), 7, {"handle": f"{PUMP}/no-version"}, make_item("new", "other"),
        make_item("", "x"), make_item("long", "y" * 41), make_item("x", prefix=TOFU),
        make_item("x", prefix="88.101.777"), make_item("new-2") | {"templateVersion": "none"}, make_item("NEW"),
        make_item("new-3"), make_item("new-4"),
    ]  # fmt: skip
    items[-1]["value"][0]["index"] = 1000
    said = await ask(world, "POST", CREATE, items)
    messages = read_messages(said)
    assert [n for n, message in enumerate(messages) if message == "success"] == [0, 11]
    assert [n for n, message in enumerate(messages) if message == "标识已存在"] == [1, 4, 10]
    assert messages[12] == "非法操作，索引1000在模板中不存在"
    for n, part in {
        2: "对象",
        3: "templateVersion",
        5: "后缀",
        6: "41",
        7: "没有权限",
        8: "88.101.777",
        9: "none",
    }.items():
        assert part in messages[n]
    assert await read_texts(world, "new") == {"model": "QX-40"}  # the first of the batch counts


async def test_of_two_changes_in_one_batch_the_first_counts(world: World) -> None:
    await ask(world, "POST", CREATE, [make_item("twice"), make_item("merged", "A", "1")])
    said = await ask(
        world, "PUT", UPDATE, [make_item("twice", "first"), make_item("Twice", "second"), make_item("never")]
    )
    assert read_messages(said) == ["success", "标识已存在", "没有找到标识"]
    assert await read_texts(world, "twice") == {"model": "first"}
    only_batch = make_item("merged", "x", "2")
    del only_batch["value"][0]
    assert "型号" in read_messages(await ask(world, "PUT", UPDATE, [only_batch]))[0]
    assert read_messages(await ask(world, "PUT", f"{UPDATE}?mode=merge", [only_batch])) == ["success"]
    assert await read_texts(world, "merged") == {"model": "A", "batch": "2"}


async def test_of_two_deletions_in_one_batch_the_second_finds_nothing(world: World) -> None:
    await ask(world, "POST", DATA, make_item("del"))
    said = await ask(world, "DELETE", DELETE, [*name("del", "DEL", "never"), 7, "", None, f"{TOFU}/x"])
    assert [item["code"] for item in said.data] == [1, -2, -2, -2, -2, -2, -2]
    assert [item["msg"] for item in said.data[:3]] == ["success", "标识不存在", "标识不存在"]
    assert said.data[3]["handle"] == ""
    assert "没有权限" in said.data[6]["msg"]


async def test_an_operators_batch_may_name_many_prefixes(world: World) -> None:
    items = [make_item(f"op-{n}", prefix=prefix) for n in range(3) for prefix in (SECOND, PUMP)]
    assert read_messages(await ask(world, "POST", CREATE, items, who="operator")) == ["success"] * 6
    said = await ask(world, "POST", CREATE, items)
    assert read_messages(said) == ["没有权限：前缀 88.101.31 不属于当前用户所在企业", "标识已存在"] * 3
    handles = [item["handle"] for item in items]
    assert [row["code"] for row in (await ask(world, "DELETE", DELETE, handles, who="operator")).data] == [1] * 6


@pytest.mark.parametrize("method_path", CALLS, ids=["create", "update", "delete"])
async def test_batches_that_overlap_get_along(world: World, method_path: tuple[str, str]) -> None:
    """Twelve at once in different orders: no deadlock, and each identifier is created and deleted once."""
    method, path = method_path
    mark = path.rpartition("batch")[2]
    items: list[Any] = [make_item(f"{mark}-{n}", "A") for n in range(200)]
    if method != "POST":
        await ask(world, "POST", CREATE, items)
    bodies = [[make_item(f"{mark}-{n}", f"B{k}") for n in range(200)][:: 1 if k % 2 else -1] for k in range(12)]
    sent: list[Any] = bodies if method != "DELETE" else [[item["handle"] for item in body] for body in bodies]
    said = await asyncio.gather(*(ask(world, method, path, body) for body in sent))
    assert {one.status for one in said} == {1}
    successes = sum(message == "success" for one in said for message in read_messages(one))
    assert successes == (2_400 if method == "PUT" else 200)


NATIVE = ("POST", "/api/v1/identifiers/batch")
# What the second of two identical calls says of each item.
AGAIN = {"POST": "标识已存在", "PUT": "success", "DELETE": "标识不存在"}


def format_request(world: World, method: str, path: str, mark: str) -> bytes:
    """A whole request about two identifiers of this mark."""
    value = {"index": 2000, "type": "model", "data": {"format": "string", "value": "B"}}
    sent: Any = [
        {"handle": handle, "templateVersion": VERSION, "value": [value]} for handle in name(f"{mark}-0", f"{mark}-1")
    ]
    more = ""
    if (method, path) == NATIVE:
        items = [{"suffix": f"{mark}-{n}", "values": {"model": "B"}} for n in range(2)]
        sent, more = {"prefix": PUMP, "template": "pump-1", "items": items}, f"Idempotency-Key: {mark}\r\n"
    body = orjson.dumps([item["handle"] for item in sent] if method == "DELETE" else sent)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.keys['pump']}\r\n{more}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def cut(world: World, request: bytes, answered: int | None = None, *, hard: bool = True) -> bytes:
    """Send it, read as many bytes of the answer (None: none), hang up; `hard`: by RST. What was read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(world.base).port)
    writer.write(request)
    await writer.drain()
    read = b"" if answered is None else await reader.readexactly(answered)
    if hard:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return read


async def read_answer(world: World, request: bytes) -> tuple[bytes, list[str]]:
    """The whole answer, and what it says of each item."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(world.base).port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split()[1]) for line in head.lower().splitlines() if line.startswith(b"content-length"))
    body = await reader.readexactly(length)
    writer.close()
    found = orjson.loads(body)
    rows = found["results"] if "results" in found else found["data"]
    return head + body, [row.get("msg") or row["outcome"] for row in rows]


@pytest.mark.parametrize("method_path", [*CALLS, NATIVE], ids=["create", "update", "delete", "native"])
async def test_a_connection_cut_at_any_byte_leaves_what_the_next_call_completes(
    world: World, method_path: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each cut is followed by the identical call. Heads are alike and cut once; an answer leaves in one piece."""
    method, path = method_path
    again = AGAIN[method] if method_path != NATIVE else "registered"  # the first answer, for ever
    done = "registered" if method_path == NATIVE else "success"
    marks = [f"{path[-6:]}-{n}" for n in range(3)]
    if method != "POST":
        await ask(world, "POST", CREATE, [make_item(f"{mark}-{n}", "A") for mark in marks for n in range(2)])
    request = format_request(world, *method_path, marks[0])
    first = 0 if method_path == CALLS[0] else request.index(b"\r\n\r\n")
    for start in range(first, len(request), 50):
        ends = range(start, min(start + 50, len(request)))
        await asyncio.gather(*(cut(world, request[:end], hard=end % 2 == 0) for end in ends))
    _, said = await read_answer(world, request)
    assert said == [done] * 2, "of what came in part nothing was carried out"
    whole, said = await read_answer(world, request)
    assert said == [again] * 2
    sizes = range(0, len(whole), 9)
    read = await asyncio.gather(*(cut(world, request, size, hard=size % 2 == 0) for size in sizes))
    assert [drop_own(part) for part in read] == [drop_own(whole[:size]) for size in sizes]
    for mark, hard in zip(marks[1:], (True, False), strict=True):  # gone before the answer: landed whole, or not at all
        request = format_request(world, *method_path, mark)
        await cut(world, request, hard=hard)
        assert (await read_answer(world, request))[1] in ([done] * 2, [again] * 2)
        assert (await read_answer(world, request))[1] == [again] * 2
    async with world.state.pool.acquire() as conn:
        keys = [f"{mark}-{n}".upper() for mark in marks for n in range(2)]
        rows = await conn.fetch("SELECT revision FROM records WHERE suffix_key = ANY($1)", keys)
    assert [row["revision"] for row in rows] == [1 if method == "POST" else 2] * 6
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def drop_own(answer: bytes) -> bytes:
    """Without what differs from answer to answer."""
    return re.sub(rb"(date|x-request-id): [^\r]*", b"", answer)


async def test_a_large_batch_is_a_few_statements_and_one_entry_of_the_change_log(world: World) -> None:
    async with world.state.pool.acquire() as conn:
        before = await conn.fetchval("SELECT count(*) FROM changes_pending")
        await ask(world, "POST", CREATE, [make_item(f"log-{n}") for n in range(500)])
        assert await conn.fetchval("SELECT count(*) FROM changes_pending") == before + 1
        await ask(world, "PUT", UPDATE, [make_item(f"log-{n}", "other") for n in range(500)])
        assert await conn.fetchval("SELECT count(*) FROM changes_pending") == before + 2
        await ask(world, "DELETE", DELETE, name(*(f"log-{n}" for n in range(500))))
        assert await conn.fetchval("SELECT count(*) FROM changes_pending") == before + 3
