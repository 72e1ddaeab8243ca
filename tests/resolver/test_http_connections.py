"""HTTP connections from outside, over real sockets: cut, pipelined, broken, idle; and a whole worker."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from resolver import http_protocol
from resolver.entry import Entry
from resolver.http_protocol import ResolverProtocol
from schemas.resolution_log import ClientClass, Outcome
from tests.resolver.http_site import BROWSER, PLAIN, Client, Site

# The connection


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    client = site.connect()
    handle = "/api/handles/88.101.5/pump-1"
    targets = [handle, "/88.101.5/NONE", "/api/site", "/health", "/api/handles/88.101.5/ICE"] * 3
    await client.ask(targets[0])
    await client.send(b"".join(client.format(target) for target in targets))
    answers = [await client.read() for _ in targets]
    assert [a.status for a in answers] == [200, 404, 200, 200, 200] * 3
    assert [a.json.get("handle") for a in answers[::5]] == ["88.101.5/pump-1"] * 3


@pytest.mark.parametrize("step", [1, 7, 19, 40, 64])
async def test_requests_are_found_however_the_stream_is_cut(site: Site, step: int) -> None:
    client = site.connect()
    data = client.format("/api/handles/88.101.5/pump-1") * 3
    for start in range(0, len(data), step):
        await client.send(data[start : start + step])
        await asyncio.sleep(0)
    assert [(await client.read()).json for _ in range(3)] == [PLAIN] * 3


async def test_what_comes_while_the_database_is_asked_waits_for_its_turn(site: Site) -> None:
    client = site.connect()
    await client.ask("/api/handles/88.101.5/pump-1")
    site.cache.forget_everything()
    targets = ["/api/handles/88.101.5/ICE", "/88.101.5/NONE", "/health", "/api/handles/88.101.5/pump-1"] * 5
    for target in targets:
        await client.send(client.format(target))
        await asyncio.sleep(0)  # another turn of the loop, so that each is a read of its own
    await client.send(client.format("/api/handles/88.101.5/ICE") * 400)  # more than is kept
    answers = [await client.read() for _ in targets]
    assert [a.status for a in answers] == [200, 404, 200, 200] * 5
    assert [a.json["handle"] for a in answers[::4]] == ["88.101.5/ICE"] * 5
    assert {(await client.read()).status for _ in range(400)} == {200}


async def test_each_request_is_judged_by_its_own_head(site: Site) -> None:
    client, target = site.connect(), "/api/handles/88.101.5/pump-1"
    for _ in range(3):
        for headers in ({}, {"X_Idnode_Probe": "probe token"}, {"X_Idnode_Probe": "another"}):
            assert (await client.ask(target, **headers)).json == PLAIN
    public, probe = ClientClass.PUBLIC, ClientClass.PROBE
    assert [answer.client_class for answer in site.read_log()] == [public, probe, public] * 3


async def test_who_waits_for_an_answer_that_cannot_be_made_hears_of_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(_: Entry) -> bytes:
        raise MemoryError

    client = site.connect()
    await client.ask("/api/handles/88.101.5/EVIL")
    site.cache.forget_everything()
    monkeypatch.setattr(Entry, "rest_tail", run_out)
    await client.send(client.format("/api/handles/88.101.5/pump-1"))
    await client.is_closed()  # or an answer, on the long way; raises TimeoutError


@pytest.mark.parametrize("target", ["/api/handles/88.101.5/ICE", "/api/handles/88.101.5/pump-1?pretty", "/health"])
async def test_who_has_finished_asking_still_hears_the_answer(site: Site, target: str) -> None:
    client = site.connect()
    await client.ask("/api/handles/88.101.5/EVIL")
    await client.send(client.format(target))
    assert client.writer is not None
    client.writer.write_eof()
    assert (await client.read()).status == 200
    assert await client.is_closed()


async def test_connection_close_is_honoured(site: Site) -> None:
    client = site.connect()
    await client.ask("/api/handles/88.101.5/pump-1")
    answer = await client.ask("/api/handles/88.101.5/pump-1", Connection="close")
    assert answer.headers["connection"] == "close" and await client.is_closed()


async def test_a_body_on_get_is_read_and_ignored(site: Site) -> None:
    client = site.connect()
    for _ in range(3):
        assert (await client.ask("/api/handles/88.101.5/pump-1", body=b"GET /x HTTP/1.1\r\n\r\n")).json == PLAIN
    assert len(site.read_log()) == 3


OFFER = {"Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA", "Upgrade": "h2c"}


async def test_an_offer_of_another_protocol_is_passed_over(site: Site) -> None:
    """Java's HttpClient makes it with its first requests; their bodies are read, and the connection stays."""
    client, target = site.connect(), "/api/handles/88.101.5/pump-1"
    get = client.format(target, **OFFER)
    form = {"Content-Type": "application/x-www-form-urlencoded", **OFFER}
    post = client.format(target, "POST", b"index=2000", **form)
    for data in (get * 2 + client.format(target) + post + get, post):
        await client.send(data[:150])
        await asyncio.sleep(0)
        await client.send(data[150:])
    answers = [await client.read() for _ in range(6)]
    assert [a.json for i, a in enumerate(answers) if i not in (3, 5)] == [PLAIN] * 4
    assert [[v["index"] for v in answers[i].json["values"]] for i in (3, 5)] == [[2000]] * 2
    await client.send(get * 100)
    assert {(await client.read()).status for _ in range(100)} == {200}
    old = site.connect()
    await old.send(post.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert [v["index"] for v in (await old.read()).json["values"]] == [2000] and await old.is_closed()
    await client.send(b"CONNECT /88.101.5/pump-1 HTTP/1.1\r\nHost: x\r\n\r\n" + get)
    assert (await client.read()).status == 501 and await client.is_closed()


async def test_absolute_addresses_and_http_1_0(site: Site) -> None:
    client = site.connect()
    assert (await client.ask("http://resolver.example/api/handles/88.101.5/pump-1")).json == PLAIN
    await client.send(b"GET /api/handles/88.101.5/pump-1 HTTP/1.0\r\n\r\n")
    assert (await client.read()).json == PLAIN
    assert await client.is_closed()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /88.101.5/x HTTP/1.1\r\nX: " + b"y" * 17_000 + b"\r\n\r\n", 431),
        (b"GET /88.101.5/x HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", 431),
        (b"GET /88.101.5/" + b"x" * 17_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /" + b"x" * 40_000, 414),  # never ends
        (b"GET /x HTTP/1.1\r\nX: " + b"y" * 17_000, 431),  # nor does this header
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /api/handles/88.101.5/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5", 400),  # TLS
        (b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /88.101.5/pump-1\r\n\r\n", 400),  # HTTP/0.9, which the Handle REST interface refuses
        (b"GET /88.101.5/pump-1 HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET /88.101.5/pump-1 HTTP/1.1\r\nHost: x y\r\n\r\n", 400),  # RFC 9112 section 3.2: no such host
    ],
)
async def test_heads_that_are_too_large_or_broken_are_refused_and_closed(site: Site, head: bytes, status: int) -> None:
    for warm in (False, True):
        client = site.connect()
        if warm:
            await client.ask("/api/handles/88.101.5/pump-1")
        await client.send(head)
        assert (await client.read()).status == status
        assert await client.is_closed()


async def test_a_head_of_endless_header_is_refused(site: Site) -> None:
    client = site.connect()
    await client.send(b"GET /x HTTP/1.1\r\nX: ")
    for _ in range(12):
        await client.send(b"y" * 4_096)
        await asyncio.sleep(0.005)  # in several reads
    assert (await client.read()).status == 431


async def test_garbage_behind_a_good_request_does_not_take_its_answer(site: Site) -> None:
    client = site.connect()
    await client.send(client.format("/api/handles/88.101.5/pump-1") + b"\x00\x01garbage\r\n\r\n")
    assert (await client.read()).json == PLAIN
    assert await client.is_closed()


async def test_a_head_that_never_ends_has_a_deadline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.0)
    client = site.connect()
    await client.send(b"GET /88.101.5/x HT")
    assert (await client.read()).status == 408
    assert await client.is_closed()


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /88.101.5/pump-1 HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10_000,
        b"POST /api/handles/88.101.5/pump-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"z" * 10_000,
    ],
    ids=["heads", "bodies"],
)
async def test_who_began_first_gives_way_when_too_much_is_half_read(
    site: Site, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(site.reads, "_limit", 100_000)
    closed_before = site.reads.closed
    slow = [site.connect() for _ in range(25)]
    for client in slow:
        await client.send(begun)
        assert (await site.ask("/api/handles/88.101.5/pump-1")).json == PLAIN
    for client in slow[:10]:
        with suppress(ConnectionResetError):
            assert await client.is_closed()
    assert site.reads.held <= 100_000 and site.reads.closed - closed_before >= 15
    for client in slow:
        client.close()
    while site.reads.held:
        await asyncio.sleep(0.001)


async def test_idle_connections_are_closed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client = site.connect()
    await client.ask("/api/handles/88.101.5/pump-1")
    monkeypatch.setattr(http_protocol, "IDLE_SECONDS", 0.0)
    assert await client.is_closed()


# The database is away


async def test_stale_answers_say_so_and_unknown_ones_are_unavailable(site: Site) -> None:
    await site.ask_twice("/api/handles/88.101.5/pump-1")
    site.cache.mark_away()
    client = site.connect()
    async with asyncio.timeout(30):  # the short way learns it with the next tick
        while "age" not in (answer := await client.ask("/api/handles/88.101.5/pump-1")).headers:
            await asyncio.sleep(0.01)
    assert answer.json == PLAIN and answer.headers["warning"].startswith("110")
    for target in ("/api/handles/88.101.5/ice", "/88.101.5/ice"):
        unknown = await client.ask(target)
        assert (unknown.status, unknown.json["responseCode"], unknown.headers["retry-after"]) == (503, 3, "5")
    assert (await site.ask("/88.101.5/ICE", Accept=BROWSER)).status == 503
    assert (await site.ask("/health")).json["database"] == "away"
    assert [a.outcome for a in site.read_log()][-3:] == [Outcome.UNAVAILABLE] * 3


# A whole worker


@pytest.fixture
def worker(filled: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = orjson.dumps({"database_url": filled, "http_port": port, "log_dir": str(tmp_path / "log")}).decode()
    process = subprocess.Popen([sys.executable, "-m", "tests.resolver.run_worker", options])
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


async def test_a_worker_stops_cleanly(worker: tuple[subprocess.Popen[bytes], int], tmp_path: Path) -> None:
    process, port = worker
    client = Client(port)
    async with asyncio.timeout(20):
        while True:
            try:
                answer = await client.ask("/api/handles/88.101.5/pump-1")
                break
            except OSError:
                await asyncio.sleep(0.05)
    assert answer.json == PLAIN
    process.terminate()
    assert await client.is_closed()
    assert await asyncio.to_thread(process.wait, 20) == 0
    (segment,) = (tmp_path / "log").iterdir()
    assert segment.stat().st_size < 10_000, "the log was finished, not left"


def test_the_protocol_is_what_uvicorn_expects() -> None:
    assert issubclass(ResolverProtocol, asyncio.Protocol)
