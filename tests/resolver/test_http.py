"""HTTP from outside, over real sockets: one suite against both ways, the short cut and the long one."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import zxingcpp

from resolver.pages import Pages, list_fields
from schemas.resolution_log import ClientClass, Outcome
from schemas.templates import parse_template
from schemas.values import Value
from tests.resolver.http_site import BROWSER, PLAIN, Site

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
        ("9" * 2_049, 400, "2048"),
    ],
)
async def test_pages_say_what_is_the_matter(site: Site, identifier: str, status: int, words: str) -> None:
    answer = await site.ask("/" + identifier.replace("<", "%3C").replace(">", "%3E"), Accept=BROWSER)
    assert answer.status == status and words in answer.body.decode()


async def test_a_page_names_no_successor_where_there_is_none(site: Site) -> None:
    gone = await site.ask("/88.101.5/GONE", Accept=BROWSER)
    assert (gone.status, "已停用" in gone.body.decode(), "后继" in gone.body.decode()) == (410, True, False)


async def test_the_address_itself_tells_a_browser_what_it_is_and_where_to_type_a_code(site: Site) -> None:
    english = await site.ask("/", Accept=BROWSER, Accept_Language="en")
    assert english.status == 200 and "Identifier resolution" in english.body.decode()
    assert 'action="https://registry.example.cn/console/resolve"' in english.body.decode()
    assert "form-action https://registry.example.cn;" in english.headers["content-security-policy"]
    chinese = (await site.ask("/?lang=zh", Accept=BROWSER)).body.decode()
    assert "标识解析" in chinese and 'href="?lang=en"' in chinese
    alone = Pages(site.cache.prefixes, public_url_is_set=True).show_root("zh")
    assert "<form" not in alone.body.decode(), "where only this machine would find the registry"
    assert ("本地址后面" in alone.body.decode(), site.read_log()) == (True, [])


def test_yes_and_no_are_words_on_a_page() -> None:
    item = {"index": 2000, "type": "passed", "name": {"zh": "检验合格", "en": "Passed"}, "data": "boolean"}
    template = parse_template({"name": {"zh": "泵", "en": "Pump"}, "version": "v-1", "items": [item]})
    values = [Value(2000, "passed", b"true")]
    assert [field.text for field in list_fields(values, template, "zh")[0]] == ["是"]
    assert [field.text for field in list_fields(values, template, "en")[0]] == ["Yes"]


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
