"""The rehearsal top-level node as a conformance kit: every rule of TLN-1 is checked, and said in words."""

import asyncio
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from node.handle_client import ask
from node.toplevel import book as store
from node.toplevel import receiving
from node.toplevel.resolving import Datagrams, Streams
from node.toplevel_client import Answer, Call
from schemas.days import get_day, list_months
from schemas.handle_bodies import ResolutionRequest
from schemas.signatures import digest, format_key_id, format_public_key, make_private_key
from schemas.texts import TEXTS
from schemas.toplevel_envelope import Envelope, encode_envelope, encode_lines, make_headers
from schemas.toplevel_tables import CURRENT, TABLES, judge_row, reconcile
from tests.database import execute
from tests.node.command_line import run_here
from tests.node.pdf_reading import read_cells
from tests.node.toplevel_world import PREFIX, START, YESTERDAY, Above, make_firm_row, run_above

ROOT = Path(__file__).parents[2]
FIRM: dict[str, Any] = {
    "orgName": "泵厂", "crtType": 1, "crtCode": "91321302MA0000001Y", "orgAddr": {"province": "320000"},
    "industry": {"category": "C", "specific": "34"}, "verify": {"result": "pass"}, "prefixes": ["88.101.1"],
}  # fmt: skip
OPERATOR: dict[str, Any] = {
    name: value for name, value in FIRM.items() if name not in ("verify", "prefixes")
} | {"contact": {}, "legal": {}, "namingCompliance": True}  # fmt: skip
TEMPLATE: dict[str, Any] = {
    "handle": "88.101.1/META_1", "code": "1", "version": "1", "industry": ["C"], "activeCarrier": False,
    "items": [{"en": "brand", "cn": "品牌", "type": "text", "length": 255}],
}  # fmt: skip
GOODS: dict[str, Any] = {"handle": "88.101.1/a", "created": YESTERDAY, "op": 1}
ROUTE: dict[str, Any] = {
    "prefix": "88.101.1", "encodingType": "Handle", "ipType": "v4", "ip": "203.0.113.5", "tcp": 2641, "udp": 2641,
}  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def above(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Above]:
    async with run_above(tmp_path_factory.mktemp("above")) as running:
        yield running


def make_call(table: str, rows: list[dict[str, Any]], **more: Any) -> Call:
    given = {"period": YESTERDAY if TABLES[table].daily else CURRENT} | more
    envelope = Envelope(table, PREFIX, given.pop("period"), str(uuid4()), rows, **given)
    body = encode_lines(envelope) if TABLES[table].lines else encode_envelope(envelope)
    path = TABLES[table].path.format(prefix=rows[0].get("prefix", "") if rows else "")
    media_type = "application/x-ndjson" if TABLES[table].lines else "application/json"
    return Call(TABLES[table].method, path, PREFIX, body, media_type)


async def say(above: Above, table: str, *rows: dict[str, Any], **more: Any) -> Answer:
    return await above.toplevel.call(make_call(table, list(rows), **more), above.clock())


def read_code(answer: Answer) -> tuple[int | None, str, str]:
    """HTTP status, first code and field."""
    assert answer.document is not None
    (first, *_) = answer.document["rejected"]
    return answer.status, first["code"], first["field"]


ROWS: list[tuple[str, dict[str, Any], str, str]] = [
    ("T8", make_firm_row(1) | {"regNew": -1}, "E102", "regNew"),
    ("T8", {name: value for name, value in make_firm_row(1).items() if name != "regTotal"}, "E101", "regTotal"),
    ("T8", make_firm_row(1) | {"resolveOk": 6}, "E501", "resolveOk"),
    ("T8", make_firm_row(1) | {"othersCount": 1}, "E502", "sources"),
    ("T8", make_firm_row(1, 10, 9), "E503", "regTotal"),
    ("T8", make_firm_row(1) | {"rangeMinted": 11}, "E503", "rangeMinted"),
    ("T8", make_firm_row(1) | {"day": "2026-11-19"}, "E505", "day"),
    ("T8", make_firm_row(1) | {"prefix": PREFIX}, "E302", "prefix"),
    ("T8", make_firm_row(1) | {"prefix": "88.102.1"}, "E302", "prefix"),
    ("T8", make_firm_row(1, asked=1001) | {"sources": [{"ip": f"{n}", "count": 1} for n in range(1001)]}, "E511",
     "sources"),
    ("T3", make_firm_row(1) | {"prefix": PREFIX, "entNew": 2, "entTotal": 1}, "E504", "entTotal"),
    ("T3", make_firm_row(1) | {"entNew": 1, "entTotal": 1}, "E303", "prefix"),
    ("T8", make_firm_row(1) | {"rangeMinted": "11"}, "E102", "rangeMinted"),
    ("T1", OPERATOR | {"crtCode": "nonsense"}, "E506", "crtCode"),
    ("T1", OPERATOR | {"orgAddr": {}}, "E101", "orgAddr.province"),
    ("T1", OPERATOR | {"industry": {}}, "E101", "industry.category"),
    ("T1", OPERATOR | {"realName": "self"}, "E102", "realName"),
    ("T4", TEMPLATE | {"items": [{"en": "brand", "cn": "品牌", "type": "text"}]}, "E102", "items"),
    ("T6", FIRM | {"crtCode": "91321302MA0000001X"}, "E506", "crtCode"),
    ("T6", FIRM | {"industry": {}}, "E101", "industry.category"),
    ("T6", FIRM | {"orgAddr": {}}, "E101", "orgAddr.province"),
    ("T6", FIRM | {"verify": {}}, "E508", "verify.result"),
    ("T6", FIRM | {"orgName": "泵" * 256}, "E103", "orgName"),
    ("T7", {name: value for name, value in ROUTE.items() if name not in ("tcp", "udp")}, "E513", "tcp"),
    ("T7", {name: value for name, value in ROUTE.items() if name != "ip"}, "E101", "ip"),
    ("T7", ROUTE | {"ipType": "v6"}, "E512", "ipType"),
    ("T7", ROUTE | {"encodingType": "GTIN"}, "E102", "encodingType"),
    ("T9", {"handle": "88.101.1/a", "created": YESTERDAY, "op": 1, "count": 3}, "E509", "handleLast"),
    ("T9", GOODS | {"op": 4}, "E102", "op"),
    ("T9", GOODS | {"brand": ["x"]}, "E102", "brand"),
    ("T9", GOODS | {"expiry": 5}, "E102", "expiry"),
    ("T9", GOODS | {"productName": "泵" * 4_001}, "E103", "productName"),
    ("T9", GOODS | {"imei": {}}, "E102", "imei"),
    ("T9", {"handle": "88.103.1/a", "created": YESTERDAY, "op": 1}, "E302", "prefix"),
    ("M3", {"eventId": "1", "type": "恢复", "at": "2026-11-20T10:00:00+08:00", "class": 1}, "E101", "relatedEventId"),
    ("M3", {"eventId": "1", "type": "异常", "at": "yesterday", "class": 1}, "E102", "at"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "row", "code", "field"), ROWS, ids=[f"{r[0]}-{r[2]}-{r[3]}" for r in ROWS])
def test_a_row_that_breaks_a_rule_is_named_by_code_and_column(
    table: str, row: dict[str, Any], code: str, field: str
) -> None:
    assert judge_row(TABLES[table], row, PREFIX, YESTERDAY) == [(code, field)]
    text = TEXTS[f"tln_{code.lower()}"]
    assert "{field}" in text.zh
    assert "{field}" in text.en


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("T1", OPERATOR),
        ("T4", TEMPLATE),
        ("T8", make_firm_row(1)),
        ("T6", FIRM),
        ("T7", ROUTE),
        ("T7", ROUTE | {"extra": "allowed"}),
        ("T9", GOODS | {"brand": "泵" * 4_000, "expiry": "2027-01"}),
    ],
)
def test_a_row_that_keeps_all_rules_is_accepted(table: str, row: dict[str, Any]) -> None:
    assert judge_row(TABLES[table], row, PREFIX, YESTERDAY) == []


async def test_messages_that_break_the_envelope_are_refused_whole(
    above: Above, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = make_firm_row(1)
    assert read_code(await say(above, "T8", good, period="2026-11-31")) == (400, "E107", "period")
    assert read_code(await say(above, "T8", good | {"day": "2026-11-22"}, period="2026-11-22")) == (
        422, "E514", "period",
    )  # fmt: skip
    assert read_code(await say(above, "T8", good, part=2, parts=1)) == (400, "E108", "part")
    assert read_code(await say(above, "T8", good, rev=-1)) == (400, "E108", "part")
    assert read_code(await say(above, "T3", good, good)) == (422, "E110", "rows")
    assert read_code(await say(above, "T8", good, good)) == (200, "E109", "prefix")
    wrong_path = Call("POST", "/stats/node", PREFIX, make_call("T8", [good]).body)
    assert read_code(await above.toplevel.call(wrong_path, START)) == (400, "E105", "table")
    garbage = Call("POST", "/stats/node", PREFIX, b"[1")
    assert read_code(await above.toplevel.call(garbage, START)) == (400, "E104", "rows")
    monkeypatch.setattr(receiving, "MAX_UNPACKED_BYTES", 1_000_000)
    bomb = Call("POST", "/master", PREFIX, gzip.compress(bytes(1_000_001)), "application/x-ndjson", "gzip")
    assert read_code(await above.toplevel.call(bomb, START)) == (400, "E104", "rows")
    nowhere = Call("POST", "/nowhere", PREFIX, b"{}")
    assert read_code(await above.toplevel.call(nowhere, START)) == (404, "E601", "path")
    plain = replace(make_call("T8", [good]), content_type="text/plain")
    assert read_code(await above.toplevel.call(plain, START)) == (415, "E102", "Content-Type")
    document = json.loads(make_call("T8", [good]).body)
    for name, value, code in (("batchId", None, "E101"), ("batchId", "x", "E102"), ("watermark", "x", "E102")):
        call = replace(make_call("T8", [good]), body=json.dumps(document | {name: value}).encode())
        assert read_code(await above.toplevel.call(call, START)) == (400, code, name)


async def test_what_is_asked_or_said_beside_reports_is_judged_too(above: Above) -> None:
    beat = {"version": "1", "uptimeSec": 1, "queueDepth": 0, "lastClosedDay": None, "clockMs": 1, "routesHash": "x",
            "health": "ok"}  # fmt: skip
    for changed, status in (
        ({}, 200),
        ({"uptimeSec": -1}, 400),
        ({"health": None}, 400),
        ({"version": "1" * 999}, 413),
    ):
        call = Call("POST", "/heartbeat", PREFIX, json.dumps(beat | changed).encode())
        assert (await above.toplevel.call(call, START)).status == status, changed
    for since in ("", "x", "0", "9" * 30):
        call = Call("GET", f"/entities/enterprises/decisions?since={since}", PREFIX)
        assert (await above.toplevel.call(call, START)).status == 200, since


async def test_a_call_is_believed_only_from_who_may_make_it(above: Above, monkeypatch: pytest.MonkeyPatch) -> None:
    call = make_call("T2", [ROUTE | {"prefix": PREFIX}])
    key = str(uuid4())

    def sign(prefix: str = PREFIX, at_ms: int = int(START.timestamp() * 1000), **changed: str) -> dict[str, str]:
        signed = (call.method, f"/tln/v1{call.path}", call.body)
        headers = make_headers(above.signer, prefix, signed, at_ms, key) | {"Content-Type": call.content_type}
        return headers | changed

    async def code(headers: dict[str, str]) -> tuple[int | None, str]:
        return read_code(await above.toplevel.send_unsigned(call, headers))[:2]

    late = int(START.timestamp() * 1000) - 300_001
    assert await code(sign(at_ms=late)) == (401, "E203")
    assert await code(sign() | {"X-Tln-App": "stranger"}) == (401, "E207")
    assert await code(sign() | {"X-Tln-Key": "0" * 16}) == (401, "E208")
    assert await code(sign("88.102")) == (403, "E301")
    assert await code(sign() | {"X-Tln-Nonce": "0" * 32}) == (401, "E206")
    wrong = b64encode(digest("ED25519", b"other")).decode()
    assert await code(sign() | {"X-Tln-Digest": wrong}) == (401, "E205")
    headers = sign()
    assert (await above.toplevel.send_unsigned(call, headers)).status == 200
    assert await code(headers) == (401, "E204"), "the same bytes again are a replay"
    assert (await above.toplevel.send_unsigned(call, sign())).status == 200, "the same message, signed anew, is not"
    monkeypatch.setattr("secrets.token_hex", lambda size: "AB" * size)
    assert (await above.toplevel.send_unsigned(call, sign())).status == 200, "a nonce is signed as it is written"
    monkeypatch.setattr("secrets.token_hex", lambda size: "ab" * size)
    assert await code(sign()) == (401, "E204"), "and the same number however it is written"
    monkeypatch.undo()
    call = make_call("T2", [ROUTE | {"prefix": PREFIX, "tcp": 1}])
    assert await code(sign()) == (409, "E401"), "another message under the same key"


async def test_receipts_are_repeated_and_revisions_only_go_up(above: Above) -> None:
    call, key = make_call("T8", [make_firm_row(3)], rev=5, part=3, parts=3), str(uuid4())
    with_key = Call(call.method, call.path, call.prefix, call.body, idempotency_key=key)
    first = await above.toplevel.call(with_key, START)
    again = await above.toplevel.call(with_key, START)
    assert first.document == again.document
    other = await say(above, "T8", make_firm_row(3, 11), rev=5, part=3, parts=3)
    assert read_code(other) == (409, "E403", "rev")
    older = await say(above, "T8", make_firm_row(3, 9), rev=4, part=3, parts=3)
    assert (older.status, older.document and older.document["status"]) == (200, "ACCEPTED")
    assert make_firm_row(3) in above.rows("T8")


@pytest.mark.parametrize(("day", "newest_first"), [("2026-11-11", False), ("2026-11-12", True)])
async def test_a_row_that_was_cut_into_another_part_is_there_once(day: str, newest_first: bool, above: Above) -> None:
    rows = [make_firm_row(n) | {"day": day} for n in range(1, 4)]
    said: list[tuple[list[dict[str, Any]], dict[str, int]]] = [
        *(([row], {"part": at, "parts": 3}) for at, row in enumerate(rows, start=1)),
        ([row | {"regTotal": 99} for row in rows], {"rev": 1}),
    ]
    for some, more in reversed(said) if newest_first else said:
        assert (await say(above, "T8", *some, period=day, **more)).status == 200
    assert [row["regTotal"] for row in above.rows("T8", day)] == [99, 99, 99]


async def test_a_prefix_is_given_once_and_its_state_needs_it(above: Above) -> None:
    asked = {"prefix": "88.101.7", "uscc": FIRM["crtCode"], "encodingType": "Handle"}
    state = {"prefix": "88.101.7", "state": 1}
    assert read_code(await say(above, "STATE", state)) == (404, "E601", "prefix")
    assert (await say(above, "PREFIXES", asked)).status == 201
    assert (await say(above, "STATE", state)).status == 200
    taken = await say(above, "PREFIXES", asked | {"uscc": "91321302MA00000022"}, part=2, parts=2)
    assert read_code(taken) == (409, "E404", "prefix")
    mixed = await say(
        above, "PREFIXES", asked | {"uscc": "91321302MA00000022"}, asked | {"prefix": "x"}, part=3, parts=3
    )
    assert mixed.status == 422, "not all for the same reason"


async def test_the_first_key_is_enrolled_and_no_other_without_the_first(above: Above) -> None:
    keys = [make_private_key("SM2-SM3") for _ in range(2)]
    documents = [
        {
            "app": "node-88.202",
            "prefix": "88.202",
            "algorithm": "SM2-SM3",
            "publicKey": format_public_key("SM2-SM3", key),
        }
        for key in keys
    ]
    url = f"http://127.0.0.1:{above.port}/sim/enrol"
    statuses = []
    for document in (documents[0], documents[0], documents[1], documents[1] | {"app": "other"}, {"app": "x"}):
        async with above.session.post(url, json=document) as answer:
            statuses.append(answer.status)
    assert statuses == [200, 200, 409, 409, 400]
    assert [key.key_id for key in store.fetch_keys(above.book, "node-88.202")] == [
        format_key_id(documents[0]["publicKey"])
    ]


async def test_prefixes_are_resolved_over_the_handle_protocol(above: Above) -> None:
    routed = await say(above, "T7", ROUTE, rev=1)
    assert routed.document and routed.document["effectiveSec"] == 0
    streams = Streams(above.book)
    server = await asyncio.start_server(streams.serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()[:2]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Datagrams(above.book), local_addr=address
    )
    try:
        for udp in (False, True):
            for handle, code in ((b"0.NA/88.101.1", 1), (b"0.NA/88.9", 100), (b"88.101.1/x", 100)):
                question = ResolutionRequest(handle, [], [])
                reply = await asyncio.to_thread(ask, question, address, udp=udp, timeout_seconds=20)
                assert reply.code == code, (udp, handle)
                assert [value.type for value in reply.values] == (["HS_SITE"] if code == 1 else [])
    finally:
        transport.close()
        server.close()


@pytest.mark.parametrize(("language", "words"), [("zh", ("演练上级节点", "完整度")), ("en", ("Rehearsal", "Complete"))])
async def test_the_page_says_in_both_languages_what_was_received(
    language: str, words: tuple[str, str], above: Above
) -> None:
    await say(above, "T8", make_firm_row(1) | {"resolveOk": 9}, rev=7, part=9, parts=9)
    async with above.session.get(f"http://127.0.0.1:{above.port}/?lang={language}") as answer:
        page = await answer.text()
    for word in (*words, "T8", YESTERDAY, "E501", "88.101"):
        assert word in page, word


async def test_reconciliation_gives_count_sum_and_root_whatever_the_order(above: Above) -> None:
    rows = [make_firm_row(n) | {"day": "2026-11-18"} for n in range(1, 6)]
    for part, row in enumerate(reversed(rows), start=1):
        await say(above, "T8", row, period="2026-11-18", part=part, parts=5)
    answer = await above.toplevel.call(Call("GET", "/recon/T8?period=2026-11-18", PREFIX), START)
    assert answer.document is not None
    assert (answer.document["rows"], answer.document["sum"]) == (5, 25)
    assert len(answer.document["root"]) == 64


def test_a_merkle_root_depends_on_every_leaf_and_on_no_order() -> None:
    leaves: list[dict[str, object]] = [{"resolveReq": 1, "prefix": n} for n in range(7)]
    roots = {reconcile("T8", leaves[:n]).root for n in range(8)}
    assert len(roots) == 8
    assert reconcile("T8", leaves[::-1]) == reconcile("T8", leaves)
    assert reconcile("T8", []).root == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# The process and the commands -----------------------------------------------------------------------------------


def find_ports() -> tuple[int, int]:
    """One for HTTP, and one that is free over TCP and UDP."""
    with socket.socket() as one, socket.socket() as two, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        datagrams.bind(two.getsockname())
        return one.getsockname()[1], two.getsockname()[1]


async def wait_for_health(url: str) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"{url}/health") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def test_reports_go_by_command_from_the_node_to_the_rehearsal_node_and_back_into_words(
    database_url: str, tmp_path: Path
) -> None:
    port, handle_port = find_ports()
    settings = {
        "IDNODE_DATABASE_URL": database_url, "IDNODE_DATA_DIR": str(tmp_path), "IDNODE_LANGUAGE": "en",
        "IDNODE_TOPLEVEL_PORT": str(port), "IDNODE_TOPLEVEL_HANDLE_PORT": str(handle_port),
        "IDNODE_TOPLEVEL_ALGORITHM": "SM2-SM3",
    }  # fmt: skip

    async def run(*arguments: str) -> tuple[int, Any]:
        done = await asyncio.to_thread(run_here, [*arguments, "--json"], settings, tmp_path)
        return done.returncode, json.loads(done.stdout or done.stderr)

    silent, messages = await run("report", "--day", YESTERDAY)
    assert silent == 1
    assert {message["state"] for message in messages["messages"]} == {"waiting"}
    _, standing = await run("outbox")
    assert [(m["table_name"], m["state"]) for m in standing["messages"]] == [("T8", "waiting"), ("T3", "waiting")]
    assert (standing["waiting"], standing["refused"], standing["dead"], standing["last_accepted"]) == (2, 0, 0, None)
    sides = """'{"rows": 3}', '{"rows": 2}'"""
    await execute(
        database_url,
        f"INSERT INTO toplevel_reconciliations VALUES ('T8', '2024-06-04', '88.101', {sides}, false, now())",
    )
    for language, words in (("zh", "等待 2（最早自 20"), ("en", "2 waiting (since 20")):
        shown = await asyncio.to_thread(run_here, ["outbox"], settings | {"IDNODE_LANGUAGE": language}, tmp_path)
        assert shown.returncode == 0
        assert words in shown.stdout
        assert re.search(r"T8 +2024-06-04 +88\.101 +rows +3 +2", shown.stdout)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IDNODE_")}
    running = subprocess.Popen(
        [sys.executable, "-m", "node.cli", "toplevel"], env=kept | settings | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path
    )
    try:
        await wait_for_health(f"http://127.0.0.1:{port}")
        status, sent = await run("report", "--day", YESTERDAY)
        assert status == 0, sent
        assert [(m["table_name"], m["state"], m["revision"]) for m in sent["messages"]] == [
            ("T3", "accepted", 0), ("T8", "accepted", 0),
        ]  # fmt: skip
        _, received = await run("toplevel", "received", "--day", YESTERDAY)
        assert [row["prefix"] for row in received["T3"]] == [PREFIX]
        await check_month(run, tmp_path)
        _, rotated = await run("toplevel", "rotate")
        _, keys = await run("toplevel", "key")
        assert (keys[0]["key_id"], keys[0]["state"]) == (rotated["key_id"], "active")
        _, listed = await run("outbox", "list")
        assert [message["state"] for message in listed] == ["accepted"] * 3
        assert (await run("outbox"))[1]["messages"] == []
        status, refused = await run("outbox", "retry", str(listed[0]["number"]))
        assert (status, refused["code"]) == (1, "outbox_not_waiting")
        status, behaviour = await run("toplevel", "behave", "away=1", "slow_ms=5")
        assert (behaviour["away"], behaviour["slow_ms"]) == (True, 5)
        running.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.wait, 30) == 0
    finally:
        running.kill()
        running.wait()


async def check_month(run: Callable[..., Awaitable[tuple[int, Any]]], place: Path) -> None:
    """The sheet is written to look at; then the report goes, with what was given."""
    month, given, sheet = list_months(get_day(datetime.now(UTC)).isoformat()[:7], 2)[0], place / "given", place / "pdf"
    for content, code in (("{", "monthly_report_file"), ("[]", "monthly_report_file"),
                          ('{"remarks": 7}', "monthly_report_given")):  # fmt: skip
        given.write_text(content)
        status, refused = await run("report", "--month", month, "--given", str(given))
        assert (status, refused["code"]) == (1, code)
    given.write_text('{"remarks": "alles gut"}')
    options = ("report", "--month", month, "--given", str(given))
    assert (await run(*options, "--pdf", str(sheet)))[0] == 0
    assert "alles gut" in " ".join(read_cells(sheet.read_bytes()))
    assert (await run("outbox", "list", "--table", "MR"))[1] == []
    status, sent = await run(*options)
    assert (status, [message["state"] for message in sent["messages"]]) == (0, ["accepted"])
    _, received = await run("toplevel", "received", "--table", "MR")
    assert [(row["month"], row["remarks"]) for row in received["MR"]] == [(month, "alles gut")]
