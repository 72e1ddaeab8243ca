"""HTTP from outside, over real sockets: one suite against both ways, the short cut and the long one."""

import asyncio
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
import zxingcpp

from resolver import http_protocol
from resolver.bounds import ReadBudget
from resolver.cache import RecordCache
from resolver.fill import SERVER_SETTINGS, Filler, TemplateShelf
from resolver.follow import Follower
from resolver.http_app import HttpSite
from resolver.http_protocol import ResolverProtocol
from resolver.http_request import Judge
from resolver.pages import Pages
from resolver.prefixes import PrefixTable
from resolver.worker import WorkerConfig, _run, _serve_http, make_site
from schemas.resolution_log import ClientClass, LoggedAnswer, Outcome, decode_answers
from schemas.segments import SegmentWriter
from tests.resolver.rows import PUMP, add_owner, add_prefix, add_record, add_template, empty_tables

REGISTRY = "https://registry.example.cn"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SITE = make_site("192.0.2.1", 2641, 8081)
THEIRS = make_site("192.0.2.9", 2641, 8080)
EVIL = [(2000, "product_name", "<script>alert(1)</script>"), (2003, "URL", 'https://a.example/x?q="><b>')]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Client:
    """A connection that speaks bytes, kept open between requests."""

    port: int
    extra: str = ""
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def send(self, data: bytes) -> None:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, method: str = "GET") -> Answer:
        assert self.reader is not None
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:] if line)}
            size = 0 if method == "HEAD" else int(headers["content-length"])
            return Answer(int(head[0].split()[1]), headers, await self.reader.readexactly(size))

    async def ask(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        await self.send(self.format(target, method, body, **headers))
        return await self.read(method)

    def format(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", "Host: resolver.example"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [self.extra] * bool(self.extra) + [f"Content-Length: {len(body)}"] * bool(body)
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def is_closed(self) -> bool:
        assert self.reader is not None
        async with asyncio.timeout(10):
            return await self.reader.read(1) == b""

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


@dataclass
class Site:
    port: int
    log_dir: Path
    follower: Follower
    cache: RecordCache
    http: HttpSite
    reads: ReadBudget
    extra: str = ""
    clients: list[Client] = field(default_factory=list)
    logged_before: int = 0

    def connect(self) -> Client:
        client = Client(self.port, self.extra)
        self.clients.append(client)
        return client

    async def ask(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        return await self.connect().ask(target, method, body, **headers)

    async def ask_twice(self, target: str, **headers: str) -> Answer:
        """On one connection: first the long way (nothing is judged), then the way under test."""
        client = self.connect()
        first = await client.ask(target, "GET", b"", **headers)
        second = await client.ask(target, "GET", b"", **headers)
        assert (first.status, first.body) == (second.status, second.body)
        assert {*first.headers} == {*second.headers}
        return second

    def read_log(self) -> list[LoggedAnswer]:
        found = []
        for path in sorted(self.log_dir.iterdir()):
            found += [a for a in decode_answers(path.read_bytes()) if isinstance(a, LoggedAnswer)]
        return found[self.logged_before :]


async def fill_database(dsn: str) -> None:
    conn = await asyncpg.connect(dsn)
    await empty_tables(conn)
    prefix_id = await add_prefix(conn, "88.101.5")
    await add_owner(conn, prefix_id, "宿城水泵厂 <有限公司>")
    template = await add_template(conn, prefix_id, "88.101.5")
    n = template.template_id
    more = [(2003, "URL", "https://pump.example/p/1"), (2004, "cost", "99")]
    await add_record(conn, prefix_id, "PUMP-1", n, [*PUMP, *more])
    await add_record(conn, prefix_id, "OLD", n, state=2, note="88.101.5/PUMP-1")
    await add_record(conn, prefix_id, "ICE", n, state=1, note="请停止使用 <b>")
    await add_record(conn, prefix_id, "EVIL", n, EVIL)
    await add_record(conn, prefix_id, "EMPTY", 0, [])
    await add_record(conn, prefix_id, "A/B C%2F", n)
    await add_record(conn, prefix_id, "标识", n)
    await add_record(conn, prefix_id, "..", n)
    await add_record(conn, prefix_id, "HUGE", n, [(3000 + i, f"t{i}", "长&" * 1_500) for i in range(30)])
    await add_prefix(conn, "88.101.7", hosting=1, site=THEIRS)
    await add_prefix(conn, "88.101.6", state=0)
    sandbox_id = await add_prefix(conn, "88.101.SANDBOX1", sandbox_of=1)
    await add_record(conn, sandbox_id, "TRY-1", 0, PUMP)
    while await conn.fetchval("SELECT number_changes()"):
        pass
    await conn.close()


@pytest_asyncio.fixture(scope="module")
async def filled(database_url: str) -> str:
    await fill_database(database_url)
    return database_url


@pytest_asyncio.fixture(scope="module", params=["short", "long", "odd"])
async def served(
    filled: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Site]:
    """The HTTP side of a worker: with the short cut, without it, and with a header that is never plain."""
    log_dir = tmp_path_factory.mktemp("log")
    listening = socket.create_server(("127.0.0.1", 0))
    cache = RecordCache(PrefixTable(["88.101"], SITE), 10_000_000, time.monotonic)
    templates = TemplateShelf()
    connect = partial(asyncpg.connect, filled, server_settings=SERVER_SETTINGS)
    follower, filler = Follower(cache, templates, connect), Filler(cache, templates, connect)
    log = SegmentWriter(log_dir, "resolver-0", 1_048_576)
    judge = Judge("zh", "probe token", [ip_network("127.0.0.1")])
    http = HttpSite(cache, log, judge, Pages(cache.prefixes, True, REGISTRY), SITE, "https://id.example.cn", True)
    config = WorkerConfig(filled, log_dir, http_sockets=[listening], short_cut=request.param != "long")
    extra = "X-Odd: yes" if request.param == "odd" else ""
    async with AsyncExitStack() as stack:
        stack.callback(log.close)
        await follower.poll()
        await stack.enter_async_context(_run(filler.run()))
        await stack.enter_async_context(_serve_http(http, config, reads := ReadBudget()))
        yield Site(listening.getsockname()[1], log_dir, follower, cache, http, reads, extra)
        follower.disconnect()


@pytest_asyncio.fixture
async def site(served: Site) -> AsyncIterator[Site]:
    """With an empty cache and a log that counts from here."""
    served.cache.forget_everything()
    served.cache.mark_current()
    served.http.public_url_is_set = True
    served.logged_before = 0
    served.logged_before = len(served.read_log())
    yield served
    for client in served.clients:
        client.close()
    served.clients.clear()


PLAIN = {
    "responseCode": 1,
    "handle": "88.101.5/pump-1",
    "values": [
        {
            "index": i, "type": t, "data": {"format": "string", "value": v},
            "ttl": 86400, "timestamp": "2026-03-01T08:00:00Z",
        }
        for i, t, v in [
            (1000, "TEMPLATE_ID", "88.101.5/META_1.0"), (1001, "TEMPLATE", "1.0"), *PUMP,
            (2003, "URL", "https://pump.example/p/1"),
        ]
    ],
}  # fmt: skip


# Values and codes (handle-protocol 6)


async def test_a_record_is_answered_in_the_rest_shape_in_the_clients_spelling(site: Site) -> None:
    for _ in range(2):
        answer = await site.ask_twice("/api/handles/88.101.5/pump-1")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json;charset=utf-8")
        assert answer.json == PLAIN
        assert [*answer.json] == ["responseCode", "handle", "values"]
        assert "date" in answer.headers and "cost" not in answer.body.decode()


CASES = [
    # target, status, code
    ("/api/handles/88.101.5/PUMP-1", 200, 1),
    ("/api/handles/88.101.5%2Fpump-1", 200, 1),
    ("/api/handles/88.101.5/NONE", 404, 100),
    ("/api/handles/88.101.5/OLD", 404, 100),  # retired: as if it were not there
    ("/api/handles/88.101.5/ICE", 200, 1),
    ("/api/handles/88.101.5/EMPTY", 200, 200),
    ("/api/handles/88.101.5/PUMP-1/", 404, 100),  # a slash at the end belongs to the handle
    ("/api/handles/88.101.5/A%2FB%20C%252F", 200, 1),  # decoded once
    ("/api/handles/88.101.5/A/B%20C%252f", 200, 1),
    ("/api/handles/88.101.5/A%2FB%20C%2F", 404, 100),
    ("/api/handles/88.101.5/%E6%A0%87%E8%AF%86", 200, 1),
    ("/api/handles/88.101.5/标识", 200, 1),  # a client that does not encode
    ("/api/handles/88.101.5/..", 200, 1),  # no path, an identifier
    ("/api/handles/88.101.5/%2E%2E", 200, 1),
    ("/api/handles/88.101.5/%C0%AF", 404, 100),  # overlong UTF-8
    ("/api/handles/88.101.5/PUMP%00-1", 404, 100),
    ("/api/handles/88.101.5/%EF%BC%B0UMP-1", 404, 100),  # full-width P
    ("/api/handles/88.101.5/" + "x" * 2_040, 400, 102),
    ("/api/handles/88.101.5/" + "x" * 2_030, 404, 100),
    ("/api/handles/", 400, 102),
    ("/api/handles", 400, 102),
    ("/api/handles/88.101.5", 200, 1),  # a bare prefix: its site
    ("/api/handles/0.NA/88.101.5", 200, 1),
    ("/api/handles/88.101.7/x", 300, 302),
    ("/api/handles/88.101.6/x", 404, 100),
    ("/api/handles/88.101.999/x", 404, 100),
    ("/api/handles/10.1000/1", 400, 301),
    ("/api/handles/88.101.5/PUMP-1?type=model", 200, 1),
    ("/api/handles/88.101.5/PUMP-1?type=nothing", 200, 200),
    ("/api/handles/88.101.5/PUMP-1?index=2000&type=MODEL", 200, 1),
    ("/api/handles/88.101.5/PUMP-1?index=abc", 400, 4),
    ("/api/handles/88.101.5/PUMP-1?at=2024-06-04T12:00:00Z", 400, 4),  # not what is asked for
    ("/88.101.5/PUMP-1?at=20240604", 400, 4),
    ("/88.101.5/PUMP-1?at=wechat", 200, 1),  # a parameter that somebody else has added
    ("/api/handles/88.101.5/PUMP-1?index=99999999999999", 200, 200),
    ("/api/handles/88.101.5/PUMP-1?type=cost", 403, 402),  # private: there, but not for everybody
    ("/api/handles/88.101.5/PUMP-1?index=2004", 403, 402),
    ("/api/handles?prefix=88.101.5", 403, 402),
    ("/api/site", 200, 1),
    ("/api/site/", 200, 1),
    ("/api/foo", 404, 4),
    ("/api/prefixes", 403, 402),
    ("/api/sessions/this", 403, 402),
    ("/api/verifications/300:0.NA/88.101", 501, 5),
    # the printed address, to a program
    ("/88.101.5/pump-1", 200, 1),
    ("/88.101.5%2Fpump-1", 200, 1),
    ("/88.101.5/none", 404, 100),
    ("/88.101.5/old", 410, 100),
    ("/88.101.5/empty", 200, 200),
    ("/88.101.5/pump-1?type=cost", 401, 402),
    ("/88.101.7/x", 300, 302),
    ("/10.1000/1", 400, 301),
    ("/", 400, 102),
    ("/" + "8" * 2_049, 400, 102),
]


async def test_every_question_has_its_status_and_code(site: Site) -> None:
    client = site.connect()
    for target, status, code in CASES:
        for _ in range(2):  # whatever the first time took, the second is the same
            answer = await client.ask(target)
            assert (answer.status, answer.json["responseCode"]) == (status, code), target
        head = await client.ask(target, "HEAD")
        assert (head.status, head.headers["content-length"]) == (status, answer.headers["content-length"]), target


async def test_filters_select_and_a_frozen_record_shows_its_notice(site: Site) -> None:
    answer = await site.ask("/api/handles/88.101.5/PUMP-1?index=2000&type=model&type=NOTHING")
    assert [value["index"] for value in answer.json["values"]] == [2000, 2001]
    frozen = await site.ask("/api/handles/88.101.5/ICE?type=NOTICE")
    assert frozen.json["values"][0]["data"]["value"] == "请停止使用 <b>"
    empty = await site.ask("/api/handles/88.101.5/EMPTY")
    assert empty.json == {"responseCode": 200, "handle": "88.101.5/EMPTY", "values": []}


async def test_parameters_may_come_in_a_form_or_a_json_body(site: Site) -> None:
    target = "/api/handles/88.101.5/PUMP-1"
    form = await site.ask(target, "POST", b"index=2001", Content_Type="application/x-www-form-urlencoded")
    carried = await site.ask(target, "POST", b'{"index":[2001]}', Content_Type="application/json")
    assert form.body == carried.body and [v["index"] for v in form.json["values"]] == [2001]
    for body in (b"[", b"[1]", b"null", b'{"index":[[1]]}', b'{"index":1.5}', b"\xff"):
        bad = await site.ask(target, "POST", body, Content_Type="application/json")
        assert (bad.status, bad.json["responseCode"]) == (400, 4), body
    huge = await site.ask(target, "POST", b"x=" + b"y" * 70_000)
    assert huge.status == 400


async def test_pretty_and_callback(site: Site) -> None:
    pretty = await site.ask("/api/handles/88.101.5/PUMP-1?pretty")
    assert pretty.body.startswith(b'{\n  "responseCode": 1')
    jsonp = await site.ask("/api/handles/88.101.5/PUMP-1?callback=a.b[0]%3Balert(1)//")
    assert jsonp.body.startswith(b"a.b[0]alert1({") and jsonp.body.endswith(b"});")
    assert jsonp.headers["content-type"] == "application/javascript;charset=utf-8"


async def test_cors(site: Site) -> None:
    answer = await site.ask("/api/handles/88.101.5/PUMP-1", Origin="https://app.example")
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "Origin" in answer.headers["vary"] and "Content-Length" in answer.headers["access-control-expose-headers"]
    preflight = await site.ask("/api/handles/x", "OPTIONS", Origin="https://app.example")
    assert preflight.status == 200 and preflight.headers["access-control-allow-methods"] == "GET,POST,HEAD,PUT,DELETE"
    assert "access-control-allow-credentials" not in preflight.headers


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("PUT", "/api/handles/88.101.5/NEW", 403),
        ("DELETE", "/api/handles/88.101.5/PUMP-1", 403),
        ("PUT", "/api/site", 405),
        ("PATCH", "/api/handles/88.101.5/NEW", 501),
        ("POST", "/88.101.5/PUMP-1", 405),
        ("TRACE", "/88.101.5/PUMP-1", 501),
        ("FOO", "/88.101.5/PUMP-1", 501),
    ],
)
async def test_what_is_not_reading_is_refused(site: Site, method: str, target: str, status: int) -> None:
    assert (await site.ask(target, method)).status == status


async def test_credentials_over_plain_http_are_not_looked_at(site: Site) -> None:
    answer = await site.ask("/api/handles/88.101.5/pump-1", Authorization="Basic eDp5")
    assert answer.json == PLAIN


CARRIED = [
    # client behind the trusted proxy, its scheme, status, code
    ("203.0.113.7", "http", 403, 402),  # others could read them
    ("2001:db8::7", "http", 403, 402),
    ("203.0.113.7", "https", 503, 3),  # would be handed to the registry, which is not there
    ("127.0.0.1", "http", 503, 3),
]


@pytest.mark.parametrize(("client", "scheme", "status", "code"), CARRIED)
async def test_tokens_are_looked_at_where_nobody_can_overhear_them(
    site: Site, client: str, scheme: str, status: int, code: int
) -> None:
    sent = {"Authorization": "Bearer a.b.c", "X_Forwarded_For": client, "X_Forwarded_Proto": scheme}
    for target in ("/api/handles/88.101.5/pump-1", "/88.101.5/pump-1"):
        answer = await site.ask_twice(target, **sent)
        assert (answer.status, answer.json["responseCode"], "values" in answer.json) == (status, code, False)


# Pages


async def test_a_browser_is_shown_a_page_in_its_language(site: Site) -> None:
    chinese = await site.ask_twice("/88.101.5/PUMP-1", Accept=BROWSER, Accept_Language="zh-CN,zh;q=0.9,en;q=0.8")
    assert chinese.status == 200 and chinese.headers["content-type"] == "text/html; charset=utf-8"
    page = chinese.body.decode()
    assert "产品名称" in page and "离心泵" in page and "宿城水泵厂 &lt;有限公司&gt;" in page and "99" not in page
    english = (await site.ask("/88.101.5/PUMP-1", Accept=BROWSER, Accept_Language="en")).body.decode()
    assert "Product name" in english and 'lang="en"' in english
    assert "Product name" in (await site.ask("/88.101.5/PUMP-1?lang=en", Accept=BROWSER)).body.decode()
    assert "set-cookie" not in chinese.headers and "<script" not in page
    assert "default-src 'none'" in chinese.headers["content-security-policy"]
    assert chinese.headers["x-content-type-options"] == "nosniff"
    assert "strict-transport-security" not in chinese.headers, "in plain HTTP it would mean nothing"
    assert chinese.headers["referrer-policy"] == "no-referrer"


async def test_values_are_escaped_and_only_web_addresses_are_links(site: Site) -> None:
    page = (await site.ask("/88.101.5/EVIL", Accept=BROWSER)).body.decode()
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert 'href="https://a.example' not in page, "an address with a quote is no address"


async def test_a_page_leads_to_the_form_for_problems_of_the_registry_where_there_is_one(site: Site) -> None:
    address = 'href="https://registry.example.cn/console/report?identifier=88.101.5%2F'
    for name, is_led in (("PUMP-1", True), ("OLD", True), ("NONE", False)):
        page = (await site.ask(f"/88.101.5/{name}", Accept=BROWSER)).body.decode()
        assert (f"{address}{name}&amp;lang=zh" in page) is is_led, name
    english = await site.ask("/88.101.5/PUMP-1?lang=en", Accept=BROWSER)
    assert "PUMP-1&amp;lang=en" in english.body.decode()
    assert "Set-Cookie" not in english.headers
    assert "<form" not in english.body.decode()


async def test_a_page_is_small_however_large_the_record(site: Site) -> None:
    answer = await site.ask("/88.101.5/HUGE", Accept=BROWSER)
    assert len(answer.body) < 60_000 and "其余请见 JSON" in answer.body.decode()


@pytest.mark.parametrize(
    ("identifier", "status", "words"),
    [
        ("88.101.5/NONE", 404, "没有找到"),
        ("88.101.5/<b>", 404, "&lt;b&gt;"),
        ("88.101.5/OLD", 410, 'href="/88.101.5/PUMP-1"'),
        ("88.101.5/ICE", 200, "请停止使用 &lt;b&gt;"),
        ("88.101.5/EMPTY", 200, "没有可公开的内容"),
        ("88.101.6/x", 404, "前缀已停用"),
        ("88.101.7/x", 300, 'href="http://192.0.2.9:8080/88.101.7/x"'),
        ("10.1000/1", 404, "不由本节点解析"),
        ("", 400, "没有给出标识"),
        ("9" * 2_049, 400, "2048"),
    ],
)
async def test_pages_say_what_is_the_matter(site: Site, identifier: str, status: int, words: str) -> None:
    answer = await site.ask("/" + identifier.replace("<", "%3C").replace(">", "%3E"), Accept=BROWSER)
    assert answer.status == status and words in answer.body.decode()


async def test_a_program_learns_the_successor_of_a_retired_identifier(site: Site) -> None:
    answer = await site.ask("/88.101.5/OLD")
    assert (answer.status, answer.json["successor"]) == (410, "88.101.5/PUMP-1")


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        ("/88.101.5/PUMP-1?follow=1", 302, "https://pump.example/p/1"),
        ("/88.101.5/PUMP-1?follow=1&noredirect", 200, None),
        ("/88.101.5/ICE?follow=1", 200, None),  # no address in the record
        ("/88.101.5/EVIL?follow=1", 200, None),  # one with a quote in it
        ("/88.101.5/OLD?follow=1", 410, None),
        ("/88.101.7/x?follow=1", 302, "http://192.0.2.9:8080/88.101.7/x"),
    ],
)
async def test_follow_leads_to_the_records_address(site: Site, target: str, status: int, location: str | None) -> None:
    answer = await site.ask(target)
    assert (answer.status, answer.headers.get("location")) == (status, location)


# QR codes


def read_png(data: bytes) -> Any:
    """A two-coloured PNG as rows of bytes, white 255."""
    width, height = struct.unpack(">II", data[16:24])
    packed = b"".join(data[at + 8 : at + 8 + size] for at, size, name in _list_chunks(data) if name == b"IDAT")
    stride = (width + 7) // 8 + 1
    raw = zlib.decompress(packed)
    assert data[24] == 1, "one bit a pixel"
    rows = [bytes(stride - 1)]
    for y in range(height):
        row, above = raw[y * stride + 1 : (y + 1) * stride], rows[-1]
        rows.append({0: row, 2: bytes((a + b) & 255 for a, b in zip(row, above, strict=True))}[raw[y * stride]])
    del rows[0]
    pixels = bytearray(255 * (row[x >> 3] >> (7 - x % 8) & 1) for row in rows for x in range(width))
    return memoryview(pixels).cast("B", (height, width))


def _list_chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield at, size, data[at + 4 : at + 8]
        at += size + 12


@pytest.mark.parametrize("kind", ["svg", "png"])
async def test_a_qr_code_holds_the_printed_address(site: Site, kind: str) -> None:
    answer = await site.ask(f"/88.101.5/A%2FB%20C%252F?qr={kind}")
    assert answer.status == 200
    if kind == "png":
        (code,) = zxingcpp.read_barcodes(read_png(answer.body))
        assert code.text == "https://id.example.cn/88.101.5/A%2FB%20C%252F"
    else:
        assert b"<desc>https://id.example.cn/88.101.5/A%2FB%20C%252F</desc>" in answer.body


async def test_a_node_without_a_public_address_says_so_on_every_code(site: Site) -> None:
    site.http.public_url_is_set = False
    svg = await site.ask("/88.101.5/PUMP-1?qr=svg&lang=en")
    assert b"no registered public address" in svg.body and svg.headers["cache-control"] == "no-store"


async def test_bad_codes_are_refused(site: Site) -> None:
    assert (await site.ask("/88.101.5/PUMP-1?qr=gif")).status == 400
    assert (await site.ask("/88.101.5/" + "%E6" * 2_000 + "?qr=png")).status == 400


# Counting (design decision 10)


async def test_every_answered_question_is_counted_once_on_every_way(site: Site) -> None:
    client = site.connect()
    asked = [
        ("/api/handles/88.101.5/pump-1", "GET", Outcome.FOUND),
        ("/api/handles/88.101.5/pump-1", "GET", Outcome.FOUND),  # the short way
        ("/api/handles/88.101.5/pump-1", "HEAD", Outcome.FOUND),
        ("/88.101.5/pump-1", "GET", Outcome.FOUND),
        ("/api/handles/88.101.5/none", "GET", Outcome.NOT_FOUND),
        ("/api/handles/88.101.5/none", "GET", Outcome.NOT_FOUND),
        ("/api/handles/88.101.5/old", "GET", Outcome.RETIRED),
        ("/88.101.5/old", "GET", Outcome.RETIRED),
        ("/api/handles/88.101.5/empty", "GET", Outcome.NO_VALUES),
        ("/api/handles/88.101.5/pump-1?type=cost", "GET", Outcome.DENIED),
        ("/api/handles/88.101.5/pump-1?index=x", "GET", Outcome.MALFORMED),
        ("/88.101.5/pump-1?index=x", "GET", Outcome.MALFORMED),
        ("/api/handles/88.101.7/x", "GET", Outcome.REFERRAL),
        ("/api/handles/10.1000/1", "GET", Outcome.NOT_FOUND),
    ]
    for target, method, _ in asked:
        await client.ask(target, method)
    for target in ("/health", "/api/site", "/88.101.5/pump-1?qr=svg", "/favicon.ico"):
        await client.ask(target)
    logged = site.read_log()
    assert [answer.outcome for answer in logged] == [outcome for _, _, outcome in asked]
    assert logged[0].identifier == b"88.101.5/pump-1" and logged[0].address == bytes([127, 0, 0, 1])
    assert (logged[0].prefix_id, logged[0].template_id) == (1, 1) and logged[-1].prefix_id == 0


async def test_a_sandbox_is_marked_on_its_pages_and_counted_apart(site: Site) -> None:
    client = site.connect()
    for target in ("/api/handles/88.101.sandbox1/try-1", "/88.101.SANDBOX1/TRY-1", "/88.101.SANDBOX1/NONE"):
        for _ in range(2):
            await client.ask(target)
    page = await client.ask("/88.101.SANDBOX1/TRY-1", Accept=BROWSER, Accept_Language="en")
    missing = await client.ask("/88.101.SANDBOX1/NONE", Accept=BROWSER, Accept_Language="zh")
    assert "Sandbox: for tests only" in page.body.decode() and "宿城水泵厂" in page.body.decode()
    assert "沙箱" in missing.body.decode()
    logged = site.read_log()
    assert len(logged) == 8 and {answer.client_class for answer in logged} == {ClientClass.SANDBOX}
    assert len({answer.prefix_id for answer in logged}) == 1


async def test_probes_and_clients_behind_a_proxy_are_told_apart(site: Site) -> None:
    client = site.connect()
    for _ in range(2):
        await client.ask("/api/handles/88.101.5/pump-1", X_Idnode_Probe="probe token")
        chain = "9.9.9.9, 198.51.100.7"  # what the proxy added stands last
        await client.ask("/api/handles/88.101.5/pump-1", X_Idnode_Probe="guess", X_Forwarded_For=chain)
    logged = site.read_log()
    assert [a.client_class for a in logged] == [ClientClass.PROBE, ClientClass.PUBLIC] * 2
    assert [a.address for a in logged] == [bytes([127, 0, 0, 1]), bytes([198, 51, 100, 7])] * 2


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
    async with asyncio.timeout(10):  # the short way learns it with the next tick
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
