"""Batches by the published interface: sizes, forms, order, what a cut connection leaves, and 2,000 in a second."""

import asyncio
import logging
import re
import socket
import struct
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import pytest_asyncio
from yarl import URL

from tests.registry.api_world import PUMP, TOFU, World
from tests.registry.snms_world import DATA, VERSION, Said, add_owner, ask, make_item, read_texts

CREATE, UPDATE, DELETE = f"{DATA}/batchCreate", f"{DATA}/batchUpdate", f"{DATA}/batchDelete"
CALLS = (("POST", CREATE), ("PUT", UPDATE), ("DELETE", DELETE))
SECOND = "88.101.31"


@pytest_asyncio.fixture(scope="module")
async def world(snms_world: World) -> World:
    await add_owner(snms_world, "second", 931, SECOND)
    return snms_world


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
# A letter for its identifiers, the call, and what the first and the second of two identical calls say of each item.
CUTS = (
    ("c", ("POST", CREATE), "success", "标识已存在"),
    ("u", ("PUT", UPDATE), "success", "success"),
    ("d", ("DELETE", DELETE), "success", "标识不存在"),
    ("n", NATIVE, "registered", "registered"),  # the first answer, for ever
)


def format_request(world: World, method: str, path: str, *suffixes: str) -> bytes:
    """A whole request about these identifiers, as short as can be."""
    value = {"index": 2000, "type": "model", "data": {"format": "string", "value": "B"}}
    sent: Any = [{"handle": handle, "templateVersion": VERSION, "value": [value]} for handle in name(*suffixes)]
    more = ""
    if (method, path) == NATIVE:
        items = [{"suffix": suffix, "values": {"model": "B"}} for suffix in suffixes]
        sent, more = {"prefix": PUMP, "template": "pump-1", "items": items}, f"Idempotency-Key: {suffixes[0]}\r\n"
    body = orjson.dumps([item["handle"] for item in sent] if method == "DELETE" else sent)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.keys['pump']}\r\n{more}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def send(world: World, request: bytes) -> socket.socket:
    sending = socket.create_connection(("127.0.0.1", URL(world.base).port))
    sending.sendall(request)
    sending.setblocking(False)
    return sending


def hang_up(sending: socket.socket, *, hard: bool) -> None:
    """`hard`: by RST."""
    if hard:
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sending.close()


async def cut_requests(world: World, requests: Sequence[bytes]) -> None:
    """Each on a connection of its own, which is hung up once the registry has read what there is."""
    sent = [send(world, request) for request in requests]
    for _ in range(6):  # turns of the loop, in which it accepts and reads
        await asyncio.sleep(0)
    for n, sending in enumerate(sent):
        hang_up(sending, hard=n % 2 == 0)


async def cut_answer(world: World, request: bytes, size: int) -> bytes:
    """Send it, read so many bytes of the answer, hang up; what was read."""
    loop, sending, read = asyncio.get_running_loop(), send(world, request), b""
    while len(read) < size:
        part = await loop.sock_recv(sending, size - len(read))
        assert part, (size, read)
        read += part
    hang_up(sending, hard=size % 2 == 0)
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


@pytest.mark.parametrize(("letter", "call", "done", "again"), CUTS, ids=["create", "update", "delete", "native"])
async def test_a_connection_cut_at_any_byte_leaves_what_the_next_call_completes(
    world: World, letter: str, call: tuple[str, str], done: str, again: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each cut is followed by the identical call. Heads are alike: a request's and an answer's are cut at one call."""
    method, marks = call[0], [f"{letter}{n}" for n in range(5)]
    if method != "POST":
        await ask(world, "POST", CREATE, [make_item(mark, "A") for mark in marks])
    request = format_request(world, *call, *marks[:2])
    first = 0 if call == CALLS[0] else request.index(b"\r\n\r\n")
    for start in range(first, len(request), 50):
        await cut_requests(world, [request[:end] for end in range(start, min(start + 50, len(request)))])
    assert (await read_answer(world, request))[1] == [done] * 2, "of what came in part nothing was carried out"
    request = format_request(world, *call, marks[2])
    await cut_answer(world, request, 1)
    whole, said = await read_answer(world, request)
    assert said == [again]
    first = 0 if call == CALLS[2] else whole.index(b"\r\n\r\n")
    for size in range(first, len(whole)):
        assert drop_own(await cut_answer(world, request, size)) == drop_own(whole[:size])
    for n, mark in enumerate(marks[3:]):  # gone before the answer: landed whole, or not at all
        request = format_request(world, *call, mark)
        hang_up(send(world, request), hard=n == 0)
        assert (await read_answer(world, request))[1] in ([done], [again])
        assert (await read_answer(world, request))[1] == [again]
    async with world.state.pool.acquire() as conn:
        rows = await conn.fetch("SELECT revision FROM records WHERE suffix_key = ANY($1)", [m.upper() for m in marks])
    assert [row["revision"] for row in rows] == [1 if method == "POST" else 2] * 5
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
