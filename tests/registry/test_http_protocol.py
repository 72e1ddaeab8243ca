"""Heads that never end, come too slowly or are no HTTP at all: each is told so, and harms nobody else."""

import asyncio
import re
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from registry import http_protocol
from registry.api import gate
from registry.http_protocol import MAX_HEAD_BYTES
from tests.registry.api_world import PUMP, World, open_world

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, tmp_path_factory.mktemp("registry")) as made:
        yield made


async def converse(world: World, *parts: bytes) -> bytes:
    """What the registry says until it closes; `parts` are sent one by one, as long as it listens."""
    port = int(world.base.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.001)  # in a read of its own
            return await reader.read()
    finally:
        writer.close()


def read_refusal(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    document = orjson.loads(body)
    assert document["detail"] and document["remedy"] and document["status"] == int(head.split()[1])
    return document["status"], document["code"]


async def test_who_sends_too_much_is_told_so_before_the_connection_ends(world: World) -> None:
    head = f"POST /api/v1/identifiers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.keys['pump']}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 300000000\r\n\r\n"
    sent = [head.encode(), *[b" " * (1 << 20)] * 12]
    assert read_refusal(await converse(world, *sent)) == (413, "body_too_large")


POST = b"POST /identity/token HTTP/1.1\r\nHost: x\r\n"
SHORT = '{"username": "泵厂", "password": "x"}'  # whose length was counted in characters


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (POST + b"Content-Length: %d\r\n\r\n" % len(SHORT) + SHORT.encode(), ["有效的 JSON"]),
        (GET + b"Connection: keep-alive\r\n\r\n\0", ['"status":"ok"']),
        ((GET + b"\r\n") * 2 + b"nonsense\r\n\r\n", ['"status":"ok"'] * 2),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", ["request_malformed"]),
    ],
    ids=["short", "byte", "pipelined", "chunk"],
)
async def test_what_was_asked_is_answered_though_nonsense_follows(
    world: World, sent: bytes, answers: list[str]
) -> None:
    for parts in ((sent,), (sent[:-3], sent[-3:])):
        said = (await converse(world, *parts)).decode()
        parts_said = re.split(r"HTTP/1\.1 (?=\d{3} )", said)[1:]
        assert all(answer in part for answer, part in zip(answers, parts_said, strict=True)), said


@pytest.mark.parametrize("path", ["/identity/token", "/api/v1/identifiers"])
async def test_a_body_that_stops_coming_is_told_so(world: World, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a client that announces more bytes than it sends."""
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.1)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.keys['pump']}\r\nConnection: close\r\n"
    said = await converse(world, f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{}}".encode())
    assert ("Content-Length" if path.startswith("/identity") else "body_cut_off") in said.decode()


LARGE = b"X-Large: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([GET + LARGE], (431, "head_too_large")),
        ([GET + b"X: y\r\n" * 8_000 + b"\r\n"], (431, "head_too_large")),
        ([GET + b"X: ", *[b"y" * 1_000] * 40], (431, "head_too_large")),  # never ends
        ([b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n"], (431, "head_too_large")),
        ([b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"], (400, "request_malformed")),  # TLS
        ([b"nonsense\r\n\r\n"], (400, "request_malformed")),
        ([b"GET /health HTTP/1.1\r\n\r\n"], (400, "request_malformed")),  # RFC 9112 section 3.2: one Host
        ([GET + b"Host: y\r\n\r\n"], (400, "request_malformed")),
        ([b"GET /health HTTP/1.1\r\nHost: x/y\r\n\r\n"], (400, "request_malformed")),
        ([b"GET /health\r\n\r\n"], (400, "request_malformed")),  # HTTP/0.9
        ([b"GET /health?a b HTTP/1.1\r\nHost: x\r\n\r\n"], (400, "request_malformed")),  # section 3.2: not guessed at
    ],
)
async def test_a_head_that_cannot_be_is_refused_with_what_to_do(
    world: World, parts: list[bytes], expected: tuple[int, str]
) -> None:
    assert read_refusal(await converse(world, *parts)) == expected
    assert (await world.ask("GET", "/health")).status == 200


async def test_a_head_has_a_deadline_and_so_has_an_idle_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.1)
    assert read_refusal(await converse(world, GET)) == (408, "head_too_slow")
    monkeypatch.setattr(http_protocol, "IDLE_SECONDS", 0.1)
    assert await converse(world) == b""


async def test_a_large_head_within_the_limit_and_what_follows_it_are_answered(world: World) -> None:
    large = GET + b"X: " + b"y" * (MAX_HEAD_BYTES - 2_000) + b"\r\n"
    asked = (large + b"\r\n") * 2 + GET + b"Connection: close\r\n\r\n"
    answer = await converse(world, *[asked[start : start + 5_000] for start in range(0, len(asked), 5_000)])
    assert answer.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("88.101.5/泵-1".encode(), "没有找到标识"),
        ("88.101.5/泵-1".encode("gbk"), "参数 handle 含有不允许的字符"),
    ],
    ids=["UTF-8", "GBK"],
)
@pytest.mark.parametrize("step", [1_000, 7])
async def test_an_address_that_was_not_encoded_is_read_however_it_is_cut(
    world: World, target: bytes, says: str, step: int
) -> None:
    """A look-up misses it; GBK cannot be told from UTF-8, so it is refused with the reason. Twice on a connection."""
    head = f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.keys['pump']}\r\n".encode()
    ask = b"GET /identityv2/data/detail?handle=" + target + head
    asked = ask + b"\r\n" + ask + b"Connection: close\r\n\r\n"
    answer = await converse(world, *[asked[at : at + step] for at in range(0, len(asked), step)])
    assert answer.count(says.encode()) == 2, answer


BODY = b"\xef\xbb\xbf" + f'[\n"{PUMP}/泵-1"]'.encode()
JAVA = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"", BODY),
        (JAVA, BODY),  # its HttpClient offers HTTP/2 with every request
        (JAVA.lower(), BODY),
        (b"Expect: 100-continue\r\n", BODY),
        (b"Transfer-Encoding: chunked\r\n", b"9\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (BODY[:9], len(BODY) - 9, BODY[9:])),
    ],
    ids=["plain", "Java", "lower case", "Expect", "chunked"],
)
@pytest.mark.parametrize("step", [10_000, 3])
async def test_a_body_is_read_as_it_was_sent_whatever_the_client_offers(
    world: World, head: bytes, body: bytes, step: int
) -> None:
    """Three times on a connection, and the last time as HTTP/1.0; however it is cut."""
    if b"chunked" not in head:
        head += b"Content-Length: %d\r\n" % len(body)
    head += f"authorization: {world.keys['pump']}\r\n".encode()
    call = b"DELETE /identityv2/data/batchDelete/ HTTP/1."
    sent = [call + version + head + b"\r\n" + body for version in (b"1\r\nhost: x\r\n", b"0\r\n")]
    sent[:1] *= 2
    if step > len(sent[0]):
        sent = [b"".join(sent)]  # in one read, as pipelined requests come
    answer = await converse(world, *[asked[at : at + step] for asked in sent for at in range(0, len(asked), step)])
    assert answer.count(f'{{"handle":"{PUMP}/泵-1","code":-2,"msg":"标识不存在"}}'.encode()) == 3, answer
