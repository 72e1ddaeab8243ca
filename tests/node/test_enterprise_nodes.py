"""Enterprises' own nodes: signed calls over a real socket, figures kept apart, and probes that go nowhere else."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
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

from node.enterprise_nodes import make_signature, probe, probe_routes
from node.enterprise_nodes_api import router
from node.reporting import Reporter, report_day, report_monitoring
from node.store import outbox as outbox_store
from node.store.enterprise_nodes import fetch_nodes
from node.toplevel.book import open_book
from node.toplevel.resolving import Streams
from registry.api.state import RegistryState
from registry.app import create_app, make_server
from registry.enterprises import AddedEnterprise
from schemas.days import get_day
from schemas.segments import SegmentWriter
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

    async def say(self, path: str, document: Any, *, method: str = "POST", who: str = PREFIX, **changed: Any) -> int:
        """The status of a signed call; `changed` replaces body, secret, nonce, ms or target after signing."""
        body = orjson.dumps(document)
        target, nonce = f"/ent/v1/{path}", changed.get("nonce", uuid4().hex)
        ms = int(changed.get("ms", datetime.now(UTC).timestamp() * 1000))
        firm, digest = self.firms[who], b64encode(sha256(body).digest()).decode()
        secret = changed.get("secret", firm.secret_key)
        headers = {
            "X-Ent-Key": firm.access_key, "X-Ent-Ts": str(ms), "X-Ent-Nonce": nonce, "X-Ent-Digest": digest,
            "X-Ent-Sign": make_signature(secret, (method, target), (ms, nonce, digest)),
            "Content-Type": "application/json",
        }  # fmt: skip
        url = self.base + changed.get("target", target)
        async with self.http.request(method, url, data=changed.get("body", body), headers=headers) as answer:
            return answer.status


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
    day = (get_day(datetime.now(UTC)) - timedelta(days=1)).isoformat()
    return {
        "prefix": PREFIX, "day": day, "rev": 0, "regNew": 3, "regTotal": 9, "resolveReq": 5, "resolveOk": 4,
        "sources": [], "othersCount": 5,
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
    ]
    for changed in wrong:
        assert await registry.say("attach", document, **changed) == 401, changed
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
]


@pytest.mark.parametrize(("changed", "reason"), BAD_DAYS, ids=[case[1] for case in BAD_DAYS])
async def test_statistics_that_break_a_rule_are_refused(
    changed: dict[str, Any], reason: str, registry: Registry
) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    assert await registry.say("stats", make_day(**changed)) == 400, reason


async def test_what_a_node_says_stands_in_columns_of_its_own_and_is_never_added(registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    assert await registry.say("stats", make_day()) == 200
    assert await registry.say("stats", make_day()) == 200, "the same again"
    assert await registry.say("stats", make_day(regNew=4)) == 409, "other content of the same revision"
    assert await registry.say("stats", make_day(regNew=4, rev=1)) == 200
    assert await registry.say("stats", make_day()) == 200, "an old revision that comes late"
    day = date.fromisoformat(make_day()["day"])
    async with registry.pool.acquire() as conn:
        (shown,) = [dict(row) for row in await fetch_nodes(conn, day) if row["prefix"] == PREFIX]
        assert (shown["node_registered_new"], shown["registered_new"]) == (4, 0)
        assert (shown["node_resolutions"], shown["resolutions"]) == (5, 0)
        await conn.execute("UPDATE prefixes SET enabled_on = $1 WHERE prefix = $2", day, PREFIX)
        reporter = Reporter(("88.101",), ("203.0.113.1", {"tcp": 2641}))
        await report_day(conn, reporter, day, datetime.now(UTC))
        (message,) = await outbox_store.fetch_messages(conn, table_name="T8")
        body = orjson.loads(await outbox_store.fetch_body(conn, message.message_id) or b"")
        (row,) = [row for row in body["rows"] if row["prefix"] == PREFIX]
        assert (row["regNew"], row["nodeRegNew"], row["resolveReq"], row["nodeResolveReq"]) == (0, 4, 0, 5)


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
    async with registry.pool.acquire() as conn:
        assert await registry.say("route", route, method="PUT") == 200
        await probe_routes(conn, datetime.now(UTC), private_too=True)
        assert (await find_route(registry))[0] == "waiting", "its identifiers are kept here"
        await conn.execute("UPDATE prefixes SET hosting = 1 WHERE prefix = $1", PREFIX)
        await probe_routes(conn, datetime.now(UTC))
        assert await find_route(registry) == ("failed", "not an address of the public internet")
        assert await conn.fetchval("SELECT site FROM prefixes WHERE prefix = $1", PREFIX) is None
        await registry.say("route", route, method="PUT")
        await probe_routes(conn, datetime.now(UTC), private_too=True)
        assert await find_route(registry) == ("active", "")
        assert await conn.fetchval("SELECT site FROM prefixes WHERE prefix = $1", PREFIX)
        server.close()
        await registry.say("route", route | {"route": {"ip": "127.0.0.1", "tcp": port, "udp": 9}}, method="PUT")
        await probe_routes(conn, datetime.now(UTC), private_too=True)
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


async def test_who_answers_a_byte_now_and_then_holds_no_prober(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not stop.is_set():
            writer.write(b"\0")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.02)
        writer.close()

    monkeypatch.setattr("node.enterprise_nodes.PROBE_SECONDS", 0.3)
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await probe(PREFIX, {"ip": "127.0.0.1", "tcp": port}, private_too=True) == "tcp: no answer"
    assert await probe(PREFIX, {"ip": "127.0.0.1", "http": port}, private_too=True) == "http: no answer"
    stop.set()
    server.close()


async def test_a_probe_follows_nobody_elsewhere() -> None:
    asked: list[str] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await probe(PREFIX, {"ip": "127.0.0.1", "http": port}, private_too=True) == ""
    assert asked == [f"GET /{PREFIX}/ping-handle HTTP/1.1\r\n"]
    server.close()


BAD_ROUTES = [{"ip": "router.local", "tcp": 1}, {"ip": "203.0.113.1"}, {"ip": "203.0.113.1", "tcp": 70_000}, None, "x"]


@pytest.mark.parametrize("route", BAD_ROUTES)
async def test_a_route_is_an_address_with_ports(route: Any, registry: Registry) -> None:
    await registry.say("attach", {"prefix": PREFIX})
    assert await registry.say("route", {"prefix": PREFIX, "route": route}, method="PUT") == 400


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1",
                "64:ff9b::7f00:1", "0.0.0.0", "100.64.0.1", "224.0.0.1"],
)  # fmt: skip
async def test_no_private_address_is_ever_asked(address: str) -> None:
    trouble = await probe(PREFIX, {"ip": address, "tcp": 1, "http": 2, "udp": 3}, private_too=False)
    assert trouble == "not an address of the public internet"
