"""The resolver's port knows its viewers: a registry, a worker and the link between them, all of them real."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_IMODE
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from registry.accounts import NewAccount
from registry.keys import KeyTerms, add_key
from registry.link import serve_link
from schemas.handle_bodies import decode_handle_values
from schemas.handle_messages import decode_message
from schemas.link_messages import decode_answer, decode_question
from schemas.resolution_log import ClientClass, LoggedAnswer, Outcome, decode_answers
from tests.registry.account_world import PASSWORD, sign
from tests.registry.api_world import PUMP, World, open_world
from tests.registry.people import make_uscc, order
from tests.resolver.handle_server import TcpClient, encode_question

V1 = "/api/v1"
SCANNER = make_uscc(501)
ITEMS = {"version": "shared", "items": [
    {"index": 2000, "type": "model", "name": "型号"},
    {"index": 2001, "type": "batch", "name": "批次", "visibility": "partner"},
    {"index": 2002, "type": "cost", "name": "成本", "visibility": "private"},
]}  # fmt: skip
RECORD = {"identifier": f"{PUMP}/P1", "template": "shared", "values": {"model": "A", "batch": "B7", "cost": "3"}}
HANDLE, PAGE = f"/api/handles/{PUMP}/P1", f"/{PUMP}/P1"
BROWSER = {"Accept": "text/html", "Accept-Language": "en"}


@dataclass
class Node:
    """A registry and one worker. `link` is closed by `hang_up` and opened again by `call_again`."""

    world: World
    link_path: Path
    log_dir: Path
    port: int
    handle_port: int
    http: aiohttp.ClientSession
    link: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def call_again(self) -> None:
        await self.link.enter_async_context(serve_link(self.world.state, self.link_path))

    async def hang_up(self) -> None:
        await self.link.aclose()

    async def ask(self, who: str, target: str, method: str = "GET", **headers: str) -> tuple[int, Any, Any]:
        """Status, headers, JSON or text of the resolver's answer; `who` may be an Authorization header itself."""
        key = self.world.keys.get(who)
        credentials = {"Authorization": f"Bearer {key}" if key else who} if who != "anonymous" else {}
        address = f"http://127.0.0.1:{self.port}{target}"
        async with self.http.request(method, address, headers=credentials | headers) as reply:
            body = await reply.read()
            is_json = reply.content_type == "application/json" and body
            return reply.status, reply.headers, orjson.loads(body) if is_json else body.decode()

    async def see(self, who: str, target: str = HANDLE) -> set[str]:
        """The types of the record's own values."""
        status, _, answer = await self.ask(who, target)
        assert status == 200, answer
        return {value["type"] for value in answer["values"]} - {"TEMPLATE_ID", "TEMPLATE"}

    def read_log(self) -> list[LoggedAnswer]:
        paths = sorted(self.log_dir.glob("*.segment"))
        return [a for path in paths for a in decode_answers(path.read_bytes()) if isinstance(a, LoggedAnswer)]


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@pytest_asyncio.fixture(scope="module")
async def node(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    place = Path(tmp_path_factory.mktemp("node"))
    deep = place / ("a" * 60) / ("b" * 60) / "registry.sock"  # longer than a socket's path may be
    ports = find_port(), find_port()
    options = {"database_url": database_url, "http_port": ports[0], "handle_port": ports[1], "link": str(deep)}
    options |= {"log_dir": str(place / "resolved")}
    command = [sys.executable, "-m", "tests.resolver.run_worker", orjson.dumps(options).decode()]
    worker = subprocess.Popen(command)
    try:
        async with open_world(database_url, place / "registry") as world, aiohttp.ClientSession() as http:
            await fill(world)
            made = Node(world, deep, place / "resolved", *ports, http)
            await made.call_again()
            await wait_for(made, worker)
            yield made
            await made.hang_up()
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)


async def wait_for(node: Node, worker: subprocess.Popen[bytes]) -> None:
    """Until the worker answers from the database."""
    while worker.poll() is None:
        try:
            if (await node.ask("anonymous", "/health"))[2]["database"] == "up":
                return
        except aiohttp.ClientError:
            pass
    raise AssertionError("the worker did not start")


async def fill(world: World) -> None:
    assert (await world.ask("POST", f"{V1}/prefixes/{PUMP}/templates", ITEMS)).status == 201
    assert (await world.ask("POST", f"{V1}/identifiers", RECORD)).status == 201
    async with world.state.connect() as conn:
        access_key, secret = await add_key(conn, order(), None, "", KeyTerms(organisation=SCANNER))
        world.keys["scanner"] = f"{access_key}.{secret}"
        firm = world.firms["pump"].enterprise_id
        for name, terms in (
            ("figures", KeyTerms(("statistics",))),
            ("elsewhere", KeyTerms(networks=("192.0.2.0/24",))),
        ):
            access_key, secret = await add_key(conn, order(), firm, name, terms)
            world.keys[name] = f"{access_key}.{secret}"
    await sign(world, "person", NewAccount("paula", ["partner"], PASSWORD, organisation=SCANNER))
    await sign(world, "district", NewAccount("dai", ["regulator"], PASSWORD, area="321302"))
    await sign(world, "engineer", NewAccount("eng", ["engineer"], PASSWORD))


async def name_partner(node: Node) -> None:
    named = {"prefix": PUMP, "organisation": SCANNER}
    assert (await node.world.ask("POST", f"{V1}/partners", named)).status == 201


async def revoke_partner(node: Node) -> None:
    assert (await node.world.ask("DELETE", f"{V1}/partners/{PUMP}/{SCANNER}")).status == 200


@pytest_asyncio.fixture
async def named(node: Node) -> AsyncIterator[None]:
    await name_partner(node)
    yield
    await revoke_partner(node)


MODEL, BATCH, COST = {"model"}, {"model", "batch"}, {"model", "batch", "cost"}
VIEWERS = [
    ("anonymous", MODEL, "nobody in particular"),
    ("scanner", BATCH, "a partner organisation, by its key"),
    ("person", BATCH, "a person of that organisation, by a token"),
    ("pump", COST, "the owner"),
    ("tofu", MODEL, "another firm"),
    ("district", MODEL, "the regulator of the district sees figures, not values"),
    ("engineer", MODEL, "the operator's engineer sees no private values"),
    ("operator", COST, "the operator"),
]


@pytest.mark.parametrize(("who", "seen", "reason"), VIEWERS, ids=[v[0] for v in VIEWERS])
async def test_everybody_sees_what_is_theirs_however_they_ask(
    node: Node, named: None, who: str, seen: set[str], reason: str
) -> None:
    for target in (HANDLE, PAGE, f"{HANDLE}?publicOnly=false"):
        assert await node.see(who, target) == seen, (reason, target)
    assert await node.see(who, f"{HANDLE}?publicOnly=true") == MODEL, reason
    for number, name in enumerate(("model", "batch", "cost")):
        for asked in (f"index={2000 + number}", f"type={name}"):
            for path, refusal in ((HANDLE, 403), (PAGE, 401)):
                status, _, answer = await node.ask(who, f"{path}?{asked}")
                if name in seen:
                    assert (status, [v["type"] for v in answer["values"]]) == (200, [name]), (reason, asked)
                else:
                    assert (status, answer["responseCode"], "values" in answer) == (refusal, 402, False), (
                        reason,
                        asked,
                    )
    status, _, page = await node.ask(who, PAGE, **BROWSER)
    assert status == 200
    for label, name in (("型号", "model"), ("批次", "batch"), ("成本", "cost")):
        assert (label in page) is (name in seen), (reason, name)


async def test_naming_and_revoking_are_obeyed_by_the_next_answer(node: Node) -> None:
    for _ in range(3):
        for who in ("scanner", "person"):
            assert await node.see(who) == MODEL
        await name_partner(node)
        for who in ("scanner", "person"):
            assert await node.see(who) == BATCH
        assert await node.see("anonymous") == await node.see("tofu") == MODEL
        await revoke_partner(node)


async def test_what_a_viewer_saw_is_kept_by_nobody(node: Node, named: None) -> None:
    before = await node.ask("anonymous", HANDLE)
    for who in ("scanner", "pump"):
        _, headers, _ = await node.ask(who, HANDLE)
        assert headers["cache-control"] == "private, no-store"
    assert (await node.ask("anonymous", HANDLE))[2] == before[2]
    assert "cache-control" not in before[1]


WRONG = [
    ("Bearer nobody.secret", 401, "no such key"),
    ("Bearer ak_00000000000000000000.x", 401, "a key of the right form that is not there"),
    ("Bearer a.b.c", 401, "a token that is none"),
    ("Bearer", 401, "nothing after the scheme"),
    ("Bearer \xe9\xe9.x", 401, "no ASCII"),
    ("bearer  x y", 401, "blanks"),
    ("figures", 403, "a key that may only read figures"),
    ("elsewhere", 403, "a key that works from elsewhere only"),
]


@pytest.mark.parametrize(("who", "status", "reason"), WRONG, ids=[w[2] for w in WRONG])
async def test_wrong_credentials_open_nothing_not_even_what_is_public(
    node: Node, who: str, status: int, reason: str
) -> None:
    for target in (HANDLE, PAGE, f"/api/handles/{PUMP}/NONE"):
        before = len(node.read_log())
        found, headers, answer = await node.ask(who, target)
        assert (found, "values" in answer, bool(answer["message"])) == (status, False, True), (reason, answer)
        assert ("Bearer" in headers.get("www-authenticate", "")) is (status == 401)
        assert [a.outcome for a in node.read_log()[before:]] == [Outcome.DENIED]


async def test_a_key_that_was_revoked_is_refused_by_the_next_answer(node: Node) -> None:
    async with node.world.state.connect() as conn:
        access_key, secret = await add_key(conn, order(), node.world.firms["pump"].enterprise_id, "short")
    node.world.keys["short"] = f"{access_key}.{secret}"
    assert await node.see("short") == COST
    assert (await node.world.ask("POST", f"{V1}/keys/{access_key}/revoke")).status == 200
    assert (await node.ask("short", HANDLE))[0] == 401


async def test_answers_to_owners_are_counted_as_their_own(node: Node, named: None) -> None:
    before = len(node.read_log())
    for who in ("pump", "scanner", "tofu", "operator", "anonymous"):
        await node.ask(who, HANDLE)
    await node.ask("pump", f"/api/handles/{PUMP}/NONE")
    counted = [(a.client_class, a.outcome) for a in node.read_log()[before:]]
    assert counted == [(ClientClass.SELF, Outcome.FOUND), *[(ClientClass.PUBLIC, Outcome.FOUND)] * 4,
                       (ClientClass.PUBLIC, Outcome.NOT_FOUND)]  # fmt: skip


async def test_looks_of_the_operator_are_in_the_audit_trail_and_those_of_owners_are_not(node: Node) -> None:
    counted = (
        "SELECT count(*) FROM (SELECT action, subject FROM audit UNION ALL SELECT action, subject FROM audit_pending) a"
        f" WHERE action = 'GET /{{identifier}}' AND subject = '{PUMP}/p1'"
    )
    for who in ("pump", "tofu", "operator"):
        await node.ask(who, f"/api/handles/{PUMP}/p1")
    async with node.world.state.connect() as conn:
        assert await conn.fetchval(counted) == 1


async def test_without_the_link_only_credentials_have_to_wait(node: Node) -> None:
    assert S_IMODE(os.stat(node.link_path).st_mode) == 0o600
    await node.hang_up()
    for target in (HANDLE, PAGE):
        status, headers, answer = await node.ask("pump", target)
        assert (status, headers["retry-after"], "values" in answer) == (503, "5", False)
        assert await node.see("anonymous", target) == MODEL
    assert node.read_log()[-2].outcome == Outcome.UNAVAILABLE
    await node.call_again()  # in place of the socket that was left
    assert await node.see("pump") == COST
    await node.hang_up()
    await node.call_again()  # nobody asked meanwhile
    assert await node.see("pump") == COST


async def test_what_is_no_question_ends_its_own_connection_only(node: Node) -> None:
    directory = os.open(node.link_path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(30)
        stranger.connect(f"/proc/self/fd/{directory}/{node.link_path.name}")
        os.close(directory)
        stranger.setblocking(False)
        await read_nothing(stranger, b'{"number": "1"}\n')
    assert await node.see("pump") == COST


async def read_nothing(stranger: socket.socket, said: bytes) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(stranger, said)
    async with asyncio.timeout(30):
        assert await loop.sock_recv(stranger, 100) == b""


async def test_on_2641_everybody_is_anonymous(node: Node) -> None:
    client = TcpClient(node.handle_port)
    client.send(encode_question(f"{PUMP}/P1"))
    message = decode_message(client.receive())
    client.close()
    types = {value.type for value in decode_handle_values(message.body).values}
    assert "model" in types and not types & {"batch", "cost"}


LINES = [b"", b"[]\n", b"1\n", b"{}\n", b'{"number": 1}\n', b"\xff\n", b'{"number":1,"viewer":"GOD"}\n']


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_no_message_is_refused(line: bytes) -> None:
    for decode in (decode_question, decode_answer):
        with pytest.raises(ValueError):
            decode(line)
