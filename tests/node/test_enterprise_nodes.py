"""Enterprises' own nodes: signed calls over a real socket, figures kept apart, and probes that go nowhere else."""

import asyncio
import gzip
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import orjson
import pytest
import pytest_asyncio

from node.closing import close_day
from node.enterprise_node_files import read_lines
from node.enterprise_node_probes import PROBED_AGAIN_AFTER, probe_routes
from node.enterprise_node_reports import report_late_figures, report_own_nodes
from node.enterprise_nodes import KEPT, make_signature
from node.enterprise_nodes_api import router
from node.outbox import decode_rows
from node.reporting import Reporter, report_day, report_monitoring, report_templates
from node.store import outbox as outbox_store
from node.store.enterprise_node_files import forget
from node.store.enterprise_node_pages import fetch_nodes
from node.toplevel.book import open_book
from node.toplevel.resolving import Streams
from registry.api.state import RegistryState
from registry.app import create_app, make_server
from registry.enterprises import AddedEnterprise
from schemas.days import get_day, get_start
from schemas.errors import TooLarge
from schemas.segments import SegmentWriter
from schemas.sm2 import hash_sm3
from schemas.toplevel_tables import TABLES, judge_rows
from tests.days import get_yesterday
from tests.registry.api_world import make_config
from tests.registry.people import add_firm

PREFIX, OTHER = "88.101.51", "88.101.52"


@dataclass
class Registry:
    """The registry's port, and two firms with their keys."""

    base: str
    http: aiohttp.ClientSession
    pool: asyncpg.Pool
    firms: dict[str, AddedEnterprise]

    async def say(self, path: str, document: Any, **changed: Any) -> int:
        """The status of a signed call."""
        return (await self.call(path, document, **changed))[0]

    async def call(
        self, path: str, document: Any, *, method: str = "POST", who: str = PREFIX, **changed: Any
    ) -> tuple[int, dict[str, Any]]:
        """Status and document; bytes go as they are. `changed` replaces something after signing, or a header."""
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        target, nonce = f"/ent/v1/{path}", changed.get("nonce", uuid4().hex)
        ms = int(changed.get("ms", datetime.now(UTC).timestamp() * 1000))
        firm, algorithm = self.firms[who], changed.get("algorithm", "HMAC-SHA256")
        digest = b64encode(hash_sm3(body) if algorithm == "HMAC-SM3" else sha256(body).digest()).decode()
        secret = changed.get("secret", firm.secret_key)
        headers = {
            "X-Ent-Key": firm.access_key, "X-Ent-Ts": str(ms), "X-Ent-Nonce": nonce, "X-Ent-Digest": digest,
            "X-Ent-Sign": make_signature(secret, (method, target), (ms, nonce, digest), algorithm),
            "X-Ent-Alg": algorithm, "Content-Type": "application/json",
        } | changed.get("headers", {})  # fmt: skip
        url = self.base + changed.get("target", target)
        async with self.http.request(method, url, data=changed.get("body", body), headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest_asyncio.fixture(scope="module")
async def registry(database_url: str, pool: asyncpg.Pool, tmp_path_factory: pytest.TempPathFactory) \
        -> AsyncIterator[Registry]:  # fmt: skip
    config = make_config(database_url, tmp_path_factory.mktemp("registry"))
    async with pool.acquire() as conn, conn.transaction():
        firms = {prefix: await add_firm(conn, number, prefix) for number, prefix in ((951, PREFIX), (952, OTHER))}
    segments = SegmentWriter(config.log_dir, "registry-test", 1 << 16)
    async with aiohttp.ClientSession() as http, serve(RegistryState(config, pool, segments)) as base:
        yield Registry(base, http, pool, firms)
    segments.close()


@asynccontextmanager
async def serve(state: RegistryState) -> AsyncIterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(create_app(state, [], [router]), state.config)
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


def make_day(**changed: Any) -> dict[str, Any]:
    return {
        "prefix": PREFIX, "day": get_yesterday().isoformat(), "rev": 0, "regNew": 3, "regTotal": 9,
        "resolveReq": 5, "resolveOk": 4, "sources": [], "othersCount": 5,
    } | changed  # fmt: skip


async def test_only_the_holder_of_the_key_is_believed_and_only_once(registry: Registry) -> None:
    document = {"prefix": PREFIX, "software": "idhub 5"}
    assert await registry.say("attach", document) == 200
    wrong: list[dict[str, Any]] = [
        {"secret": "guessed"},
        {"body": b"{}"},
        {"target": "/ent/v1/heartbeat"},
        {"ms": datetime.now(UTC).timestamp() * 1000 - 301_000},
        {"nonce": "short"},
        {"nonce": "é" * 20, "headers": {"X-Ent-Nonce": "a" * 20}},
        {"headers": {"X-Ent-Ts": "9" * 400}},
        {"headers": {"X-Ent-Ts": "-1"}},
        {"headers": {"X-Ent-Digest": "dieselbe Länge"}},
        {"headers": {"X-Ent-Sign": "é"}},
        {"headers": {"X-Ent-Key": "AK" + "0" * 40}},
        {"headers": {"X-Ent-Alg": "HMAC-MD5"}},
        {"headers": {"X-Ent-Alg": "HMAC-SM3"}},
    ]
    for changed in wrong:
        assert await registry.say("attach", document, **changed) == 401, changed
    assert await registry.say("attach", document, algorithm="HMAC-SM3") == 200
    nonce = uuid4().hex
    assert await registry.say("heartbeat", document, nonce=nonce) == 200
    assert await registry.say("heartbeat", document, nonce=nonce) == 401, "a replay"
    async with registry.http.post(f"{registry.base}/ent/v1/attach", data=b"{}") as answer:
        assert answer.status == 401


async def test_a_node_speaks_for_its_own_prefixes_alone(registry: Registry) -> None:
    assert await registry.say("attach", {"prefix": PREFIX}) == 200
    assert await registry.say("attach", {"prefix": PREFIX}, who=OTHER) == 404
    assert await registry.say("heartbeat", {"prefix": OTHER}, who=OTHER) == 409, "nothing is attached there yet"
    assert await registry.say("stats", make_day(), who=OTHER) == 404


BAD_DAYS: list[tuple[dict[str, Any], str]] = [
    ({"resolveOk": 6}, "more succeeded than were asked"),
    ({"othersCount": 4}, "sources do not sum to all"),
    ({"regTotal": 2}, "less in all than on the day"),
    ({"day": "2999-01-01"}, "a day that has not begun"),
    ({"day": "yesterday"}, "no day"),
    ({"rev": -1}, "no revision"),
    ({"rev": 2**31}, "a revision no column holds"),
    ({"regNew": -1}, "less than nothing"),
    ({"regTotal": 2**63}, "more than can be counted"),
    ({"regNew": 1.5}, "half an identifier"),
    ({"day": "2020-01-01"}, "a day that nobody keeps"),
    ({"day": "\0"}, "what no database keeps"),
]


async def test_statistics_that_break_a_rule_are_refused(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    for changed, reason in BAD_DAYS:
        assert await registry.say("stats", make_day(**changed)) == 400, reason


async def test_what_a_node_says_stands_in_columns_of_its_own_and_is_never_added(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    assert await registry.say("stats", make_day()) == 200
    assert await registry.say("stats", make_day()) == 200, "the same again"
    assert await registry.say("stats", make_day(regNew=4)) == 409, "other content of the same revision"
    told = {"sources": [{"ip": "2001:db8::9", "count": 1}, {"ip": "203.0.113.9", "count": 2},
                        {"ip": "a hash", "count": 1}], "othersCount": 1}  # fmt: skip
    assert await registry.say("stats", make_day(**told)) == 409, "other sources of the same revision"
    assert await registry.say("stats", make_day(regNew=4, rev=1, **told)) == 200
    assert await registry.say("stats", make_day()) == 200, "an old revision that comes late"
    day = date.fromisoformat(make_day()["day"])
    async with registry.pool.acquire() as conn:
        (shown,) = [dict(row) for row in await fetch_nodes(conn, day) if row["prefix"] == PREFIX]
        assert (shown["node_registered_new"], shown["registered_new"]) == (4, 0)
        assert (shown["node_resolutions"], shown["resolutions"]) == (5, 0)
        await conn.execute("UPDATE prefixes SET enabled_on = $1 WHERE prefix = $2", day, PREFIX)
        reporter = Reporter(("88.101",), ("203.0.113.1", {"tcp": 2641}), "truncated")
        await report_day(conn, reporter, day, datetime.now(UTC))
        (message,) = await outbox_store.fetch_messages(conn, table_name="T8")
        body = orjson.loads(await outbox_store.fetch_body(conn, message.message_id) or b"")
        (row,) = [row for row in body["rows"] if row["prefix"] == PREFIX]
        assert (row["regNew"], row["nodeRegNew"], row["resolveReq"], row["nodeResolveReq"]) == (0, 4, 0, 5)
        assert (row["sources"], row["othersCount"], row["nodeOthersCount"]) == ([], 0, 2)
        assert row["nodeSources"] == [{"ip": "203.0.113.0/24", "count": 2}, {"ip": "2001:db8::/48", "count": 1}]


APPLICATION = {"prefix": PREFIX, "name": "扫码", "type": 2, "users": 5}


async def test_applications_are_registered_as_if_its_people_had_done_it(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    for row, status in (
        (APPLICATION, 200), (APPLICATION, 200), (APPLICATION | {"users": 6}, 200),
        (APPLICATION | {"type": 9}, 400), (APPLICATION | {"prefix": OTHER}, 400), ("x", 400),
    ):  # fmt: skip
        assert await registry.say("apps", {"prefix": PREFIX, "rows": [row]}) == status, row
    assert await registry.say("apps", {"prefix": PREFIX, "rows": []}) == 400
    assert await registry.say("apps", {"prefix": PREFIX, "rows": [APPLICATION]}, who=OTHER) == 404
    async with registry.pool.acquire() as conn:
        rows = await conn.fetch("SELECT name, users, actor FROM applications WHERE prefix = $1", PREFIX)
        assert [(row["name"], row["users"]) for row in rows] == [("扫码", 6)]
        audited = "SELECT count(*) FROM audit_pending WHERE action = 'POST /ent/v1/apps'"
        assert await conn.fetchval(audited) == 2, "what changed nothing is no entry"


async def test_how_a_node_says_it_answered_stands_beside_what_we_measured(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    day = make_day()["day"]
    said = {"prefix": PREFIX, "day": day, "rev": 0, "maxQps": 40, "maxQpsAt": f"{day}T12:00:00+08:00"}
    for changed, status in (
        ({}, 200), ({}, 200), ({"maxQps": 41}, 409), ({"maxQps": 41, "rev": 1}, 200), ({}, 200),
        ({"maxQpsAt": None}, 400), ({"day": "2999-01-01"}, 400), ({"rev": "1"}, 400), ({"prefix": OTHER}, 404),
    ):  # fmt: skip
        assert await registry.say("monitor", said | changed) == status, changed
    async with registry.pool.acquire() as conn:
        await conn.execute("UPDATE prefixes SET enabled_on = $1 WHERE prefix = $2", date.fromisoformat(day), PREFIX)
        reporter = Reporter(("88.101",), ("203.0.113.1", {"tcp": 2641}))
        await report_monitoring(conn, reporter, date.fromisoformat(day), datetime.now(UTC))
        (message,) = await outbox_store.fetch_messages(conn, table_name="M2")
        body = orjson.loads(await outbox_store.fetch_body(conn, message.message_id) or b"")
        (row,) = [row for row in body["rows"] if row["prefix"] == PREFIX]
        assert (row["nodeMaxQps"], "maxQps" in row) == (41, False)


YESTERDAY = get_yesterday().isoformat()  # or the day before that one, if midnight passed since
TEMPLATE = {
    "handle": f"{PREFIX}/META_pump-1", "code": "pump-1", "version": "pump-1", "industry": ["C", "34"],
    "activeCarrier": False, "items": [{"en": "brand", "cn": "品牌", "type": "text", "length": 40}],
}  # fmt: skip
EVENT = {"prefix": PREFIX, "eventId": "7", "type": "异常", "at": f"{YESTERDAY}T03:00:00+08:00", "class": 1}
ENDED = EVENT | {"eventId": "8", "type": "恢复", "at": f"{YESTERDAY}T04:00:00+08:00", "relatedEventId": "7"}
GOODS = {"handle": f"{PREFIX}/P1", "created": YESTERDAY, "op": 1, "brand": "恒力"}
RANGE = {"handle": f"{PREFIX}/S001", "handleLast": f"{PREFIX}/S100", "count": 100, "created": YESTERDAY, "op": 1}
LINE = {"ts": f"{YESTERDAY}T08:00:00+08:00", "handle": f"{PREFIX}/P1", "op": "query", "ok": True, "ms": 1.5,
        "ip": "203.0.113.9", "app": "scan"}  # fmt: skip


def join(*lines: Any) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines) + b"\n"


def make_master(*rows: Any, **head: Any) -> bytes:
    return join({"prefix": PREFIX, "day": YESTERDAY, "part": 1, "rev": 0} | head, *rows)


def metadata(*rows: Any, rev: Any = 0) -> dict[str, Any]:
    return {"prefix": PREFIX, "rev": rev, "rows": list(rows)}


LOG = f"logs/{YESTERDAY}/resolve/1.ndjson.gz"
# path, body, status, code or field that the answer names; one after the other
TOLD: list[tuple[str, Any, int, str]] = [
    ("metadata", metadata(TEMPLATE), 200, ""),
    ("metadata", metadata(TEMPLATE), 200, "repeated"),
    ("metadata", metadata(TEMPLATE | {"activeCarrier": True}), 409, "enterprise_node_revision"),
    ("metadata", metadata(TEMPLATE, TEMPLATE | {"handle": f"{PREFIX}/META_x"}, rev=2), 200, ""),
    ("metadata", metadata(rev=1), 200, "repeated"),  # shuffled: an older list comes late
    ("metadata", metadata(TEMPLATE | {"handle": f"{OTHER}/META_x"}, rev=3), 400, "rows[0].handle"),
    ("metadata", metadata(TEMPLATE, TEMPLATE, rev=3), 400, "rows[1].handle"),
    ("metadata", metadata(TEMPLATE, {"handle": 1}, rev=3), 400, "rows[1].handle"),
    ("metadata", metadata(TEMPLATE | {"items": [{"en": "x" * 300, "type": "t", "length": 1}]}, rev=3), 400, "items"),
    ("metadata", metadata(TEMPLATE | {"items": [{"en": "x", "type": "t", "length": -1}]}, rev=3), 400, "rows[0].items"),
    ("metadata", metadata(TEMPLATE | {"code": "\0"}, rev=3), 400, "enterprise_node_body"),
    ("metadata", metadata(*[TEMPLATE] * 501, rev=3), 400, "enterprise_node_rows"),
    ("metadata", metadata(rev=10**10), 400, "rev"),
    ("metadata", metadata() | {"prefix": OTHER}, 404, "prefix_not_found"),
    ("events", ENDED, 200, ""),  # before the fault it ends
    ("events", ENDED, 200, "repeated"),
    ("events", EVENT, 200, ""),
    ("events", EVENT | {"class": 2}, 409, "enterprise_node_event"),
    ("events", EVENT | {"eventId": "9", "type": "恢复"}, 400, "relatedEventId"),
    ("events", EVENT | {"eventId": "9", "at": "2999-01-01T00:00:00Z"}, 400, "enterprise_node_future"),
    ("events", EVENT | {"eventId": "9", "at": "0001-01-01T00:00:00+14:00"}, 400, "at"),
    ("events", EVENT | {"eventId": "9", "at": "2020-01-01T00:00:00Z"}, 400, "enterprise_node_day_old"),
    ("events", EVENT | {"eventId": "9", "class": 5}, 400, "class"),
    ("events", EVENT | {"eventId": "9", "prefix": OTHER}, 404, "prefix_not_found"),
    ("master", make_master(GOODS), 200, '"added":1,'),
    ("master", gzip.compress(make_master(GOODS)), 200, "repeated"),
    ("master", make_master(GOODS | {"op": 2}), 409, "enterprise_node_revision"),
    ("master", make_master(GOODS, RANGE, rev=1), 200, '"added":101,'),
    ("master", make_master(GOODS), 200, "repeated"),  # shuffled: an older revision comes late
    ("master", make_master(RANGE | {"count": 99}, part=2), 400, "lines[2].count"),
    ("master", make_master(RANGE | {"handleLast": f"{OTHER}/S100"}, part=2), 400, "lines[2].handleLast"),
    ("master", make_master(GOODS, GOODS, part=2), 400, "lines[3].handle"),
    ("master", make_master(GOODS | {"handle": f"{OTHER}/P1"}, part=2), 400, "lines[2].handle"),
    ("master", make_master(GOODS | {"created": "2999-01-01"}, part=2), 400, "lines[2].created"),
    ("master", make_master(GOODS | {"op": 4}, b"{", part=2), 400, "lines[3]"),
    ("master", make_master(part=0), 400, "part"),
    ("master", make_master(day="2999-01-01"), 400, "day"),
    ("master", make_master(day="2020-01-01"), 400, "enterprise_node_day_old"),
    ("master", make_master(prefix=OTHER), 404, "prefix_not_found"),
    ("master", b"", 400, "ent_e101"),
    ("master", b"\x1f\x8bnonsense", 400, "enterprise_node_packed"),
    ("master", gzip.compress(make_master(GOODS))[:-9], 400, "enterprise_node_packed"),
    ("master", make_master(b" " * 70_000, part=2), 413, "enterprise_node_too_long"),
    ("master", make_master(*[b"{}"] * 30, part=2), 400, "lines[2].handle"),
    (LOG, gzip.compress(join(LINE, LINE | {"ok": False, "ms": None})), 200, '"ok":1'),
    (LOG, join(LINE, LINE | {"ok": False, "ms": None}), 200, "repeated"),  # packed or not, the same lines
    (LOG, join(LINE), 409, "enterprise_node_revision"),
    (f"{LOG}?rev=1", join(LINE | {"ts": 1_000 * int(datetime.fromisoformat(LINE["ts"]).timestamp())}), 200, '"ok":1'),
    (LOG, join(LINE), 200, "repeated"),  # shuffled: an older revision comes late
    (f"{LOG}?rev=x", join(LINE), 400, "rev"),
    (LOG.replace("resolve", "guess"), join(LINE), 400, "kind"),
    (LOG.replace("/1.", "/0."), join(LINE), 400, "part"),
    (LOG.replace(YESTERDAY, "2999-01-01"), join(LINE), 400, "day"),
    (LOG.replace(YESTERDAY, "2020-01-01"), join(LINE), 400, "lines[1].ts"),
    (f"{LOG}?rev=2", join(LINE, LINE | {"handle": f"{OTHER}/P1"}), 400, "lines[2].handle"),
    (f"{LOG}?rev=2", join(LINE | {"handle": f"{OTHER}/P1"}), 400, "lines[1].handle"),
    (f"{LOG}?rev=2", join(LINE | {"ok": 1}), 400, "lines[1].ok"),
    (f"{LOG}?rev=2", join(LINE | {"ms": -1}), 400, "lines[1].ms"),
    (f"{LOG}?rev=2", join(LINE | {"ip": "nobody"}), 400, "lines[1].ip"),
    (f"{LOG}?rev=2", join(LINE | {"app": "x" * 300}), 400, "lines[1].app"),
    (f"{LOG}?rev=2", join(LINE | {"ts": 10**18}), 400, "lines[1].ts"),
    (f"{LOG}?rev=2", b"", 400, "enterprise_node_empty"),
    (f"{LOG}?rev=2", b"\n", 400, "lines[1]"),
]  # fmt: skip


async def test_what_a_node_tells_is_taken_once_whole_and_in_any_order(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    for number, (path, body, status, named) in enumerate(TOLD):
        method = "PUT" if path.startswith("logs") else "POST"
        got, answer = await registry.call(path, body, method=method)
        said = orjson.dumps(answer).decode()
        assert got == status, (number, path, said)
        assert answer["repeated"] is (named == "repeated") if status == 200 else True, (number, said)
        assert named == "repeated" or named in said, (number, path, said)
        if status == 400:
            assert answer["remedy"]
            assert answer["field"], (number, said)
    async with registry.pool.acquire() as conn:
        kept = await conn.fetch("SELECT part, revision, row_count, added FROM enterprise_node_master")
        assert [tuple(row) for row in kept] == [(1, 1, 2, 101)], "what was refused left nothing"
        kept = await conn.fetch("SELECT kind, revision, line_count, ok_count, total_us FROM enterprise_node_logs")
        assert [tuple(row) for row in kept] == [("resolve", 1, 1, 1, 1_500)]
        assert await conn.fetchval("SELECT count(*) FROM enterprise_node_templates") == 2
        assert await conn.fetchval("SELECT count(*) FROM enterprise_node_events") == 2


TOO_LONG = [
    (b"{}\n" * 4, "more lines"),
    (gzip.compress(b"{}" + b" " * 90), "more bytes"),
    (b"{}" * 30, "a longer line"),
]


@pytest.mark.parametrize(("body", "reason"), TOO_LONG, ids=[case[1] for case in TOO_LONG])
def test_a_part_is_unpacked_no_further_than_it_may_be_long(
    body: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.enterprise_node_files.MAX_UNPACKED_BYTES", 80)
    monkeypatch.setattr("node.enterprise_node_files.MAX_LINE_BYTES", 50 if reason == "a longer line" else 100)
    with pytest.raises(TooLarge):
        list(read_lines(body, 3))


async def test_what_a_node_tells_goes_up_marked_as_its_own(registry: Registry) -> None:
    for document in (EVENT, ENDED):
        await registry.say("events", document)
    await registry.say("attach", {"prefix": PREFIX})
    now, reporter = datetime.now(UTC), Reporter(("88.101",), ("203.0.113.1", {"tcp": 2641}))
    async with registry.pool.acquire() as conn:
        assert await report_own_nodes(conn, ("88.101",), now) == 2, "a prefix that is hosted here: events alone"
        await conn.execute("UPDATE prefixes SET hosting = 1 WHERE prefix = $1", PREFIX)
        await registry.call("master", make_master(GOODS, RANGE, part=3))
        await registry.call("metadata", metadata(TEMPLATE, rev=7))
        assert await report_own_nodes(conn, ("88.101",), now) == 1
        await report_templates(conn, reporter, now)
        await registry.call("master", make_master(GOODS, part=3, rev=1))
        assert await report_own_nodes(conn, ("88.101",), now) == 1, "corrected"
        assert await report_own_nodes(conn, ("88.101",), now) == 0
        await conn.execute("UPDATE prefixes SET hosting = 4 WHERE prefix = $1", PREFIX)
        sent = {}
        for table in ("M3", "T9", "T11"):
            for message in reversed(await outbox_store.fetch_messages(conn, table_name=table)):
                body = await outbox_store.fetch_body(conn, message.message_id) or b""
                rows = decode_rows(message, body)
                assert judge_rows(TABLES[table], rows, "88.101", message.period) == []
                sent[table, message.part, message.revision] = [row for row in rows if row.get("ownNode")]
    (fault,), (end,) = (rows for (table, _, _), rows in sent.items() if table == "M3")
    assert {fault["nodeEventId"], end["nodeEventId"]} == {"7", "8"}
    fault, end = sorted((fault, end), key=lambda row: str(row["nodeEventId"]))
    assert end["relatedEventId"] == fault["eventId"] != EVENT["eventId"]
    assert [len(sent["T9", part, rev]) for table, part, rev in sent if table == "T9"] == [2, 1], (
        "one part, two revisions"
    )
    assert {part for table, part, _ in sent if table == "T9"} == {1}
    assert [row["handle"] for rows in (sent[key] for key in sent if key[0] == "T11") for row in rows] == [
        TEMPLATE["handle"]
    ]


async def test_figures_that_come_after_the_day_went_up_follow(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    now, day = datetime.now(UTC), get_yesterday()
    reporter = Reporter(("88.101",), ("203.0.113.1", {"tcp": 2641}))
    async with registry.pool.acquire() as conn:
        await conn.execute("UPDATE prefixes SET enabled_on = $1 WHERE prefix = $2", day, PREFIX)
        await conn.execute("UPDATE prefixes SET created = $1", get_start(day))
        await close_day(conn, ("88.101",), day, now, incomplete=True)
        await report_day(conn, reporter, day, now)
        await report_monitoring(conn, reporter, day, now)
        assert await registry.say("stats", make_day(regNew=8, rev=9)) == 200
        said = {"prefix": PREFIX, "day": str(day), "rev": 9, "maxQps": 77, "maxQpsAt": f"{day}T12:00:00+08:00"}
        assert await registry.say("monitor", said) == 200
        later = now + timedelta(minutes=10)
        assert len((await report_late_figures(conn, reporter, later)).messages) == 2
        assert (await report_late_figures(conn, reporter, later)).messages == []
        sent = {}
        for table in ("T8", "M2"):
            message = (await outbox_store.fetch_messages(conn, table_name=table))[0]
            rows = decode_rows(message, await outbox_store.fetch_body(conn, message.message_id) or b"")
            sent[table] = next(row for row in rows if row["prefix"] == PREFIX)
        assert (sent["T8"]["nodeRegNew"], sent["M2"]["nodeMaxQps"]) == (8, 77)


async def test_nobody_reports_days_on_which_the_prefix_was_anothers(registry: Registry) -> None:
    await registry.say("attach", {"prefix": OTHER}, who=OTHER)
    day = make_day(prefix=OTHER)
    async with registry.pool.acquire() as conn:
        moved = ("UPDATE prefix_owners SET enterprise_id = $2, from_day = $3 FROM prefixes x"
                 " WHERE x.prefix = $1 AND prefix_owners.prefix_id = x.prefix_id AND to_day IS NULL")  # fmt: skip
        before = "INSERT INTO prefix_owners SELECT prefix_id, $2, '2026-01-01', $3 FROM prefixes WHERE prefix = $1"
        today = get_day(datetime.now(UTC))
        firms = registry.firms[OTHER].enterprise_id, registry.firms[PREFIX].enterprise_id
        await conn.execute(moved, OTHER, firms[0], today)
        await conn.execute(before, OTHER, firms[1], today)
        assert await registry.say("stats", day, who=OTHER) == 409
        assert await registry.say("stats", day | {"day": today.isoformat()}, who=OTHER) == 200
        line = LINE | {"handle": f"{OTHER}/P1"}
        assert await registry.say(LOG, join(line), who=OTHER, method="PUT") == 409
        await conn.execute("DELETE FROM prefix_owners WHERE to_day = $1", today)


async def test_a_key_that_ended_or_may_not_see_figures_reports_nothing(registry: Registry) -> None:
    ended = (
        ("revoked = now()", 401), ("expires = now() - interval '1 day'", 401), ("scopes = '{read}'", 403),
        ("networks = '{203.0.113.0/24}'", 403),
    )  # fmt: skip
    async with registry.pool.acquire() as conn:
        for changed, status in ended:
            key = registry.firms[PREFIX].access_key
            kept = await conn.fetchrow(
                "SELECT revoked, expires, scopes, networks FROM access_keys WHERE access_key = $1", key
            )
            await conn.execute(f"UPDATE access_keys SET {changed} WHERE access_key = $1", key)
            assert await registry.say("heartbeat", {"prefix": PREFIX}) == status, changed
            back = "UPDATE access_keys SET revoked = $2, expires = $3, scopes = $4, networks = $5 WHERE access_key = $1"
            await conn.execute(back, key, *kept)


async def find_route(registry: Registry) -> tuple[str, str]:
    async with registry.pool.acquire() as conn:
        row = await conn.fetchrow(
            "SELECT route_state, trouble FROM enterprise_nodes JOIN prefixes USING (prefix_id) WHERE prefix = $1",
            PREFIX,
        )
    assert row is not None
    return row["route_state"], row["trouble"]


async def test_a_route_goes_live_when_it_answers_and_the_prefix_is_not_hosted_here(
    registry: Registry, tmp_path: Path
) -> None:
    book = open_book(tmp_path)
    server = await asyncio.start_server(Streams(book).serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    route = {"prefix": PREFIX, "route": {"ip": "127.0.0.1", "tcp": port}}
    await registry.say("attach", {"prefix": PREFIX})
    now = datetime.now(UTC)
    async with registry.pool.acquire() as conn:
        assert await registry.say("route", route, method="PUT") == 200
        await probe_routes(conn, now, private_too=True)
        assert (await find_route(registry))[0] == "waiting", "its identifiers are kept here"
        await conn.execute("UPDATE prefixes SET hosting = 1 WHERE prefix = $1", PREFIX)
        await probe_routes(conn, now)
        assert await find_route(registry) == ("failed", "not an address of the public internet")
        assert await conn.fetchval("SELECT site FROM prefixes WHERE prefix = $1", PREFIX) is None
        await registry.say("route", route, method="PUT")
        assert await probe_routes(conn, now, private_too=True) == 0, "nobody scans ports by proposing them"
        now += 2 * PROBED_AGAIN_AFTER
        await probe_routes(conn, now, private_too=True, own=("127.0.0.1", {"tcp": port}))
        assert await find_route(registry) == ("failed", "an address of this node")
        await registry.say("route", route, method="PUT")
        now += 2 * PROBED_AGAIN_AFTER
        await probe_routes(conn, now, private_too=True)
        assert await find_route(registry) == ("active", "")
        assert await conn.fetchval("SELECT site FROM prefixes WHERE prefix = $1", PREFIX)
        server.close()
        await registry.say("route", route | {"route": {"ip": "127.0.0.1", "tcp": port, "udp": 9}}, method="PUT")
        now += 2 * PROBED_AGAIN_AFTER
        await probe_routes(conn, now, private_too=True)
        assert (await find_route(registry))[0] == "failed"
    book.close()


async def test_behind_nat_the_address_outside_is_probed(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    for given, status in (
        ({"ip": "10.0.0.4", "publicIp": "203.0.113.4", "ipType": "v4", "tcp": 1}, 200),
        ({"ip": "203.0.113.4", "ipType": "v6", "tcp": 1}, 400),
        ({"ip": "203.0.113.4", "publicIp": "node.example", "tcp": 1}, 400),
    ):
        assert await registry.say("route", {"prefix": PREFIX, "route": given}, method="PUT") == status, given
    async with registry.pool.acquire() as conn:
        stored = await conn.fetchval("SELECT route->>'ip' FROM enterprise_nodes JOIN prefixes USING (prefix_id)"
                                     " WHERE prefix = $1", PREFIX)  # fmt: skip
    assert stored == "203.0.113.4"


BAD_ROUTES = [
    {"ip": "router.local", "tcp": 1},
    {"ip": "203.0.113.1"},
    {"ip": "203.0.113.1", "tcp": 70_000},
    None,
    "x",
    {"ip": 2130706433, "tcp": 1},
    {"ip": "2130706433", "tcp": 1},
    {"ip": "0x7f.1", "tcp": 1},
    {"ip": "127.1", "tcp": 1},
    {"ip": "127.0.0.01", "tcp": 1},
    {"ip": "fe80::1%eth0", "tcp": 1},
    {"ip": "203.0.113.1", "tcp": True},
    {"ip": ["203.0.113.1"], "tcp": 1},
    {"ip": "203.0.113.1/8", "tcp": 1},
]


async def test_a_route_is_an_address_with_ports(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    for route in BAD_ROUTES:
        assert await registry.say("route", {"prefix": PREFIX, "route": route}, method="PUT") == 400, route


async def test_what_is_old_is_forgotten_logs_after_half_a_year(registry: Registry) -> None:
    tables = ("logs", "master", "days", "events", "nonces")
    now = datetime.now(UTC)
    left = {}
    async with registry.pool.acquire() as conn:
        for days in (0, 63, 190, 402):
            await forget(conn, now + timedelta(days=days), KEPT)
            counts = [await conn.fetchval(f"SELECT count(*) > 0 FROM enterprise_node_{table}") for table in tables]
            left[days] = dict(zip(tables, counts, strict=True))
            assert await conn.fetchval("SELECT bool_and(body IS NOT NULL) FROM enterprise_node_master") in (
                days < 63,
                None,
            )
    everything = dict.fromkeys(tables, True)
    assert left[0] == everything
    assert left[63] == everything | {"nonces": False}
    assert left[190] == everything | {"nonces": False, "logs": False}
    assert left[402] == dict.fromkeys(tables, False)


DOCS = Path(__file__).parents[2] / "docs"


async def test_the_example_of_the_guide_works_in_a_terminal(registry: Registry, tmp_path: Path) -> None:
    pages = [(DOCS / name).read_text("utf-8") for name in ("enterprise-node.md", "enterprise-node.zh-CN.md")]
    blocks = [page.partition("```bash\n")[2].partition("```\n")[0] for page in pages]
    assert blocks[0] == blocks[1]
    firm = registry.firms[OTHER]
    settings = f"BASE={registry.base} KEY={firm.access_key} SECRET={firm.secret_key} PREFIX={OTHER}\n"
    script = settings + blocks[0].partition("\n")[2]
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euc", script, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, trouble = await shell.communicate()
    answers = [orjson.loads(line) for line in said.splitlines()]
    assert [answer.get("status") for answer in answers] == ["ACCEPTED"] * 6, (answers, trouble)
    assert [answers[place]["received"] for place in (3, 4, 5)] == [1, 1, 1]
