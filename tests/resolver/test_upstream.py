"""Asking a real HTTP server on a socket, and what happens when it misbehaves."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from resolver.public_network import PublicResolver, is_public
from resolver.upstream import CircuitBreaker, Upstream, UpstreamAnswer, UpstreamSettings, format_path
from resolver.upstream_values import parse_data, parse_values
from schemas.errors import SetupError
from schemas.handle_messages import ResponseCode
from schemas.handle_values import decode_admin, decode_key, decode_site, decode_vlist
from schemas.texts import TEXTS
from schemas.values import Reference, Value

URL_VALUE = {"index": 1, "type": "URL", "data": {"format": "string", "value": "https://example.org/"}, "ttl": 60}
FOUND = {"responseCode": 1, "handle": "10.1000/1", "values": [URL_VALUE]}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Clock:
    """Time that moves when a test says so."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Elsewhere:
    """An upstream: what it was asked, and how it answers next."""

    asked: list[str] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: FOUND)
    status: int = 200
    handler: Handler | None = None
    gate: asyncio.Event | None = None
    url: str = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.raw_path)
        if self.gate is not None:
            await self.gate.wait()
        if self.handler is not None:
            return await self.handler(request)
        if isinstance(self.answer, bytes):
            return web.Response(body=self.answer, status=self.status)
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    made = Elsewhere()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@asynccontextmanager
async def open_upstream(elsewhere: Elsewhere, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Upstream]:
    made = UpstreamSettings(elsewhere.url, allow_private=True)
    clock = clock or Clock()
    async with Upstream(replace(made, **settings), clock, clock) as upstream:
        yield upstream


async def test_values_come_as_the_handle_protocol_knows_them(elsewhere: Elsewhere) -> None:
    async with open_upstream(elsewhere) as upstream:
        answer = await upstream.resolve(b"10.1000/1", [], [])
    assert answer.response_code == ResponseCode.SUCCESS
    assert answer.values == [Value(1, "URL", b"https://example.org/", ttl_seconds=60)]
    assert elsewhere.asked == ["/api/handles/10.1000/1"]


async def test_filters_are_passed_on(elsewhere: Elsewhere) -> None:
    async with open_upstream(elsewhere) as upstream:
        await upstream.resolve(b"10.1000/1", [1, 100], ["URL", "a&b=\udcff"])
    assert elsewhere.asked == ["/api/handles/10.1000/1?index=1&index=100&type=URL&type=a%26b%3D%3F"]


@pytest.mark.parametrize(
    ("identifier", "path"),
    [
        (b"10.1000/a/b", "10.1000/a%2Fb"),  # slashes of the suffix are not segments
        (b"10.1000/..", "10.1000%2F.."),  # would be taken away on the way
        (b"10.1000/../../admin", "10.1000/..%2F..%2Fadmin"),
        (b"10.1000/a?b#c%2F", "10.1000/a%3Fb%23c%252F"),
        (b"10.1000/\xff\x00\r\n", "10.1000/%FF%00%0D%0A"),
        (b"10.1000", "10.1000"),
        (b"10.1000/", "10.1000/"),
        (b"..", ".."),
    ],
)
def test_an_identifier_stays_one_path(identifier: bytes, path: str) -> None:
    assert format_path(identifier) == path


@pytest.mark.parametrize("identifier", [b"10.1000/..", b"10.1000/../../admin", b"10.1000/%2e%2e", b"10.1000/a b"])
async def test_what_is_asked_stays_below_the_interface(elsewhere: Elsewhere, identifier: bytes) -> None:
    async with open_upstream(elsewhere) as upstream:
        await upstream.resolve(identifier, [], [])
    assert elsewhere.asked == [f"/api/handles/{format_path(identifier)}"]


async def test_an_answer_is_kept_as_long_as_its_shortest_value_lives(elsewhere: Elsewhere) -> None:
    elsewhere.answer = FOUND | {"values": [URL_VALUE, URL_VALUE | {"index": 2, "ttl": 10}]}
    clock = Clock()
    async with open_upstream(elsewhere, clock) as upstream:
        for elapsed, asked in [(0, 1), (9, 1), (10, 2), (19, 2), (21, 3)]:
            clock.now = 1_000 + elapsed
            await upstream.resolve(b"10.1000/1", [], [])
            assert len(elsewhere.asked) == asked


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (FOUND | {"values": [URL_VALUE | {"ttl": 10**9}]}, 3_600),  # no value is believed for ever
        (FOUND | {"values": [URL_VALUE | {"ttl": "1970-01-01T00:17:00Z"}]}, 20),  # 1,020: absolute
        (FOUND | {"values": []}, 5),
        ({"responseCode": 100}, 5),
        ({"responseCode": 200, "values": []}, 5),
    ],
)
async def test_how_long_an_answer_is_kept(elsewhere: Elsewhere, answer: Any, seconds: float) -> None:
    elsewhere.answer, clock = answer, Clock()
    async with open_upstream(elsewhere, clock) as upstream:
        first = await upstream.resolve(b"10.1000/1", [], [])
        clock.now += seconds - 0.5
        assert upstream.find(b"10.1000/1", [], []) == first
        clock.now += 1
        assert upstream.find(b"10.1000/1", [], []) is None


async def test_many_askers_put_one_question(elsewhere: Elsewhere) -> None:
    elsewhere.gate = asyncio.Event()
    async with open_upstream(elsewhere) as upstream:
        askers = [asyncio.create_task(upstream.resolve(b"10.1000/1", [], [])) for _ in range(50)]
        while not elsewhere.asked:
            await asyncio.sleep(0.001)
        askers[0].cancel()  # the one that began it gives up; the others still get their answer
        elsewhere.gate.set()
        answers = await asyncio.gather(*askers[1:])
    assert {a.response_code for a in answers} == {ResponseCode.SUCCESS}
    assert len(elsewhere.asked) == 1


async def test_too_many_waiting_questions_are_refused(elsewhere: Elsewhere) -> None:
    elsewhere.gate = asyncio.Event()
    async with open_upstream(elsewhere, waiting=3) as upstream:
        askers = [asyncio.create_task(upstream.resolve(b"10.1000/%d" % n, [], [])) for n in range(3)]
        await asyncio.sleep(0)
        refused = await upstream.resolve(b"10.1000/4", [], [])
        elsewhere.gate.set()
        await asyncio.gather(*askers)
    assert refused.response_code == ResponseCode.SERVER_TOO_BUSY


async def test_the_cache_is_bounded_in_entries(elsewhere: Elsewhere) -> None:
    async with open_upstream(elsewhere, cache_entries=2) as upstream:
        for identifier in (b"10.1000/1", b"10.1000/2", b"10.1000/1", b"10.1000/3"):
            await upstream.resolve(identifier, [], [])
        assert upstream.find(b"10.1000/1", [], []) is not None
        assert upstream.find(b"10.1000/2", [], []) is None  # the one that was not asked for again


async def test_the_cache_is_bounded_in_bytes(elsewhere: Elsewhere) -> None:
    elsewhere.answer = FOUND | {"values": [URL_VALUE | {"data": "x" * 10_000}]}
    async with open_upstream(elsewhere, cache_bytes=50_000) as upstream:
        for number in range(20):
            await upstream.resolve(b"10.1000/%d" % number, [], [])
        kept = [n for n in range(20) if upstream.find(b"10.1000/%d" % n, [], [])]
    assert kept == [16, 17, 18, 19]


REFUSED_DATA: list[Any] = [
    None,
    1,
    [],
    {},
    {"format": "x", "value": ""},
    {"format": "base64", "value": "*"},
    {"format": "hex"},
]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>not found</html>",
        b'{"responseCode":1',
        b"[" * 100_000,
        b"\xff\xfe",
        [],
        None,
        {},
        {"responseCode": "1"},
        {"responseCode": 2},
        {"responseCode": 99},
        FOUND | {"values": {}},
        FOUND | {"values": [None]},
        FOUND | {"values": [URL_VALUE] * 2_049},
        FOUND | {"values": [{"index": 1}]},
        FOUND | {"values": [URL_VALUE | {"index": 2**31}]},
        FOUND | {"values": [URL_VALUE | {"index": True}]},
        FOUND | {"values": [URL_VALUE | {"type": 5}]},
        FOUND | {"values": [URL_VALUE | {"ttl": "soon"}]},
        FOUND | {"values": [URL_VALUE | {"permissions": "rw"}]},
        FOUND | {"values": [URL_VALUE | {"timestamp": "0000"}]},
        FOUND | {"values": [URL_VALUE | {"references": [{"handle": 1, "index": 1}]}]},
        *[FOUND | {"values": [URL_VALUE | {"data": data}]} for data in REFUSED_DATA],
        FOUND | {"values": [URL_VALUE | {"data": {"format": "admin", "value": {"handle": 1}}}]},
        FOUND | {"values": [URL_VALUE | {"data": {"format": "site", "value": {"servers": [1]}}}]},
        FOUND | {"values": [URL_VALUE | {"data": {"format": "key", "value": {"kty": "RSA", "n": 1}}}]},
        FOUND | {"values": [URL_VALUE | {"data": "x" * 1_048_576}]},  # over the bound
    ],
)
async def test_an_answer_that_makes_no_sense_is_an_error_not_an_exception(elsewhere: Elsewhere, answer: Any) -> None:
    elsewhere.answer = answer
    async with open_upstream(elsewhere) as upstream:
        got = await upstream.resolve(b"10.1000/1", [], [])
        assert upstream.find(b"10.1000/1", [], []) is None
    assert got.response_code == ResponseCode.ERROR
    assert got.message and len(got.message) <= 200


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [
        (404, {"responseCode": 100}, 100),
        (200, {"responseCode": 200, "values": []}, 200),
        (400, {"responseCode": 301, "message": "That prefix doesn't live here"}, 301),
        (400, {"responseCode": 102}, 102),
        (401, {"responseCode": 402}, 401),  # nobody here can answer its challenge
        (403, {"responseCode": 400}, 401),
        (503, {"responseCode": 3}, 3),
        (503, {"responseCode": 7}, 3),
        (502, b"<html>Bad Gateway</html>", 3),
        (300, {"responseCode": 303, "handle": "0.NA/10.1000"}, 303),
    ],
)
async def test_codes_of_the_upstream(elsewhere: Elsewhere, status: int, answer: Any, code: int) -> None:
    elsewhere.status, elsewhere.answer = status, answer
    async with open_upstream(elsewhere) as upstream:
        assert (await upstream.resolve(b"10.1000/1", [], [])).response_code == code


async def test_a_redirect_is_not_followed(elsewhere: Elsewhere) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/api/handles/secret"})

    elsewhere.handler = redirect
    async with open_upstream(elsewhere) as upstream:
        answer = await upstream.resolve(b"10.1000/1", [], [])
    assert answer.response_code == ResponseCode.ERROR
    assert elsewhere.asked == ["/api/handles/10.1000/1"]


async def test_a_body_without_end_is_cut_off(elsewhere: Elsewhere) -> None:
    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)

    elsewhere.handler = pour
    async with open_upstream(elsewhere) as upstream:
        assert (await upstream.resolve(b"10.1000/1", [], [])).response_code == ResponseCode.ERROR


async def test_an_upstream_that_says_nothing_is_given_up(elsewhere: Elsewhere) -> None:
    elsewhere.gate = asyncio.Event()
    async with open_upstream(elsewhere, time_limit_seconds=0.05) as upstream:
        answer = await upstream.resolve(b"10.1000/1", [], [])
    elsewhere.gate.set()
    assert answer.response_code == ResponseCode.SERVER_TOO_BUSY


async def test_nobody_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    async with open_upstream(Elsewhere(url=f"http://127.0.0.1:{free}")) as upstream:
        answer = await upstream.resolve(b"10.1000/1", [], [])
    assert answer.response_code == ResponseCode.SERVER_TOO_BUSY


async def test_after_failures_nobody_waits_until_a_probe_succeeds(elsewhere: Elsewhere) -> None:
    clock = Clock()
    elsewhere.status, elsewhere.answer = 500, b"no"
    async with open_upstream(elsewhere, clock) as upstream:
        for number in range(8):
            answer = await upstream.resolve(b"10.1000/%d" % number, [], [])
            assert answer.response_code == ResponseCode.SERVER_TOO_BUSY
        assert upstream.is_open and len(elsewhere.asked) == 5
        clock.now += 11
        await upstream.resolve(b"10.1000/p", [], [])  # a probe that fails
        await upstream.resolve(b"10.1000/q", [], [])
        assert len(elsewhere.asked) == 6
        clock.now += 11
        elsewhere.status, elsewhere.answer = 200, FOUND
        for _ in range(2):
            assert (await upstream.resolve(b"10.1000/r", [], [])).response_code == ResponseCode.SUCCESS
        assert not upstream.is_open


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (414, b"<html>URI too long</html>"),  # of a proxy before it
        (500, {"responseCode": 2, "message": "the server of that prefix does not answer"}),
    ],
)
async def test_questions_it_cannot_answer_keep_nobody_from_asking_others(
    elsewhere: Elsewhere, status: int, answer: Any
) -> None:
    elsewhere.status, elsewhere.answer = status, answer
    async with open_upstream(elsewhere) as upstream:
        for number in range(8):
            assert (await upstream.resolve(b"10.1000/%d" % number, [], [])).response_code == ResponseCode.ERROR
        elsewhere.status, elsewhere.answer = 200, FOUND
        assert (await upstream.resolve(b"10.1000/r", [], [])).response_code == ResponseCode.SUCCESS


def test_only_one_probe_at_a_time() -> None:
    breaker = CircuitBreaker(2, 10)
    breaker.report(False, 0)
    assert breaker.allow(0)
    breaker.report(False, 0)
    assert [breaker.allow(t) for t in (0, 9.9, 10, 10, 19.9, 20)] == [False, False, True, False, False, True]
    breaker.report(True, 21)
    assert breaker.allow(21) and breaker.allow(21)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5))))
def test_an_open_circuit_always_lets_a_probe_through_in_the_end(reports: list[tuple[bool, float]]) -> None:
    breaker, now = CircuitBreaker(3, 10), 0.0
    for succeeded, elapsed in reports:
        now += elapsed
        if breaker.allow(now):
            breaker.report(succeeded, now)
    assert breaker.allow(now + 10)


PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
    "::10.0.0.1", "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::a00:1", "2001:0:1:2:3:4:f5ff:fffe",
    "64:ff9b:1::a00:1", "::ffff:0:10.0.0.1", "2400:3200::5efe:10.0.0.1", "2400:3200::200:5efe:10.0.0.1", "5f00::1",
    "192.0.0.192", "192.88.99.1", "168.63.129.16", "3fff::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "114.114.114.114", "2400:3200::1", "::ffff:1.1.1.1", "2002:101:101::"])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "[fe80::1]", "169.254.169.254"]
)
def test_a_private_upstream_is_refused_at_start(host: str) -> None:
    with pytest.raises(SetupError) as refused:
        Upstream(UpstreamSettings(f"http://{host}:8000"))
    assert refused.value.code == "upstream_private" in TEXTS


@pytest.mark.parametrize(
    "url", ["", "hdl.handle.net", "ftp://x", "http://", "http://a:b@x", "http://x?a", "http://x:70000", "http://[::1"]
)
def test_an_upstream_address_that_is_none(url: str) -> None:
    with pytest.raises(SetupError) as refused:
        Upstream(UpstreamSettings(url))
    assert refused.value.code == "upstream_url_malformed" in TEXTS


async def test_a_name_that_leads_inside_is_never_connected_to(elsewhere: Elsewhere) -> None:
    """`localhost` stands for any name whose owner points it at a private address."""
    port = elsewhere.url.rpartition(":")[2]
    async with Upstream(UpstreamSettings(f"http://localhost:{port}")) as upstream:
        answer = await upstream.resolve(b"10.1000/1", [], [])
    assert answer.response_code == ResponseCode.SERVER_TOO_BUSY
    assert elsewhere.asked == []


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f.1", "2130706433"])  # the C library reads them all
async def test_the_resolver_drops_what_is_not_public(host: str) -> None:
    with pytest.raises(OSError, match="no public address"):
        await PublicResolver().resolve(host, 80)


def test_data_formats() -> None:
    assert parse_data("text") == b"text"
    assert parse_data({"format": "base64", "value": "AP8="}) == b"\x00\xff"
    assert parse_data({"format": "hex", "value": "00ff"}) == b"\x00\xff"
    vlist = parse_data({"format": "vlist", "value": [{"handle": "0.NA/1", "index": 300}]})
    assert decode_vlist(vlist) == (Reference("0.NA/1", 300),)
    admin = parse_data(
        {"format": "admin", "value": {"handle": "0.NA/1", "index": "200", "permissions": "011111110011"}}
    )
    assert decode_admin(admin).permissions == 0x07F3


def test_a_site_and_its_key() -> None:
    key = {"format": "key", "value": {"kty": "RSA", "e": "AQAB", "n": "-_8"}}
    interface = {"query": True, "admin": False, "protocol": "TCP", "port": 2641}
    server = {"serverId": 1, "address": "203.0.113.9", "publicKey": key, "interfaces": [interface]}
    site = decode_site(
        parse_data({"format": "site", "value": {"serialNumber": 7, "primarySite": True, "servers": [server]}})
    )
    assert site.serial == 7 and site.is_primary and site.hash_option == 2
    assert decode_key(site.servers[0].public_key).key_type == "RSA_PUB_KEY"
    assert site.servers[0].interfaces[0].port == 2641


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
value_like = st.fixed_dictionaries(
    {"index": json_values, "type": json_values, "data": st.builds(
        lambda name, value: {"format": name, "value": value},
        st.sampled_from(["string", "base64", "hex", "admin", "vlist", "site", "key"]), json_values,
    ) | json_values},
    optional=dict.fromkeys(("ttl", "permissions", "timestamp", "references"), json_values),
)  # fmt: skip


@given(st.lists(value_like | json_values, max_size=3) | json_values)
def test_any_json_is_values_or_refused(items: Any) -> None:
    with suppress(ValueError):
        assert all(isinstance(value, Value) for value in parse_values(items))


def test_an_answer_without_values_is_complete() -> None:
    assert UpstreamAnswer(100).values == []
