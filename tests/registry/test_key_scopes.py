"""A key does what its scopes say on every interface, and pages are for people."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from registry.api.openapi import list_operations, make_document
from registry.console.security import make_token
from registry.principals import SCOPES
from registry.snms.templates import V5
from registry.snms.texts import NO_PERMISSION
from tests.registry.api_world import PUMP, World, make_app, open_world
from tests.registry.console_world import Visitor

V1 = "/api/v1"
# One request for each thing that scopes are about; what a key needs for it. Bodies are empty: what is allowed is then
# refused for its body or not found, what is not allowed is refused before anything else.
TABLE = [
    ("GET", f"{V1}/identifiers/{PUMP}/x", "read"), ("GET", f"{V1}/keys", "read"), ("GET", f"{V1}/jobs", "read"),
    ("GET", f"{V1}/enterprises", "read"), ("GET", f"{V1}/prefixes/{PUMP}", "read"),
    ("GET", f"{V1}/prefixes/{PUMP}/templates", "read"), ("GET", f"{V1}/ranges?prefix={PUMP}", "read"),
    ("GET", f"{V1}/partners", "read"), ("GET", f"{V1}/accounts", "read"), ("GET", f"{V1}/sandboxes", "read"),
    ("GET", f"{V1}/industries", "read"), ("GET", f"{V1}/certificates", "read"), ("GET", f"{V1}/tags", "read"),
    ("GET", f"{V1}/invitations", "read"), ("GET", f"{V1}/applications", "read"),
    ("GET", f"{V1}/problem-reports", "read"), ("GET", f"{V1}/attachments/1", "read"),
    ("POST", f"{V1}/identifiers/resolve", "read"), ("POST", f"{V1}/sessions/x/end", "read"),
    ("POST", f"{V1}/identifiers", "write"), ("PATCH", f"{V1}/identifiers/{PUMP}/x", "write"),
    ("POST", f"{V1}/identifiers/{PUMP}/x/freeze", "write"), ("POST", f"{V1}/identifiers/batch", "write"),
    ("POST", f"{V1}/identifiers/stream", "write"), ("POST", f"{V1}/ranges", "write"), ("POST", f"{V1}/jobs", "write"),
    ("PATCH", f"{V1}/ranges/{PUMP}/x", "write"),
    ("POST", f"{V1}/prefixes/{PUMP}/templates", "templates"),
    ("PATCH", f"{V1}/prefixes/{PUMP}/templates/pump-1", "templates"),
    ("GET", f"{V1}/statistics", "statistics"), ("GET", f"{V1}/plans", "statistics"),
    ("POST", f"{V1}/enterprises", "manage"), ("POST", f"{V1}/enterprises/1/suspend", "manage"),
    ("POST", f"{V1}/keys", "manage"), ("POST", f"{V1}/keys/ak_1/revoke", "manage"),
    ("POST", f"{V1}/partners", "manage"),
    ("POST", f"{V1}/accounts", "manage"), ("POST", f"{V1}/prefixes", "manage"), ("POST", f"{V1}/sandboxes", "manage"),
    ("POST", f"{V1}/attachments", "manage"), ("GET", f"{V1}/export", "manage"), ("POST", f"{V1}/plans", "manage"),
    ("POST", f"{V1}/units", "manage"), ("POST", f"{V1}/invitations", "manage"),
    ("POST", f"{V1}/applications", "manage"),
    ("POST", f"{V1}/enterprises/1/approve", "review"), ("POST", f"{V1}/enterprises/1/refuse", "review"),
    ("POST", f"{V1}/prefixes/{PUMP}/decisions", "review"),
]  # fmt: skip
SNMS = [
    ("GET", f"/identityv2/data/detail?handle={PUMP}/x", "read"), ("POST", "/identityv2/data", "write"),
    ("POST", "/identityv2/data/batchCreate", "write"), ("POST", V5, "templates"),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A key of the operator's for each scope alone."""
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        for scope in SCOPES:
            key = (await made.ask("POST", f"{V1}/keys", {"note": scope, "scopes": [scope]}, who="operator")).json
            made.keys[scope] = f"{key['access_key']}.{key['secret_key']}"
        yield made


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_is_refused_whatever_its_scope_does_not_name(world: World, scope: str) -> None:
    for method, path, needed in TABLE:
        reply = await world.ask(method, path, {} if method != "GET" else None, who=scope)
        code = reply.json["code"] if reply.json and reply.status >= 400 else ""
        assert (code == "scope_missing") == (needed != scope), (method, path, needed, reply.status, reply.json)
        assert reply.status == 403 or needed == scope, (method, path, needed, reply.status)


def test_every_group_of_routes_is_in_the_table(world: World) -> None:
    document = make_document(make_app(world.state))
    groups = {path.split("/")[3] for _, path, _ in list_operations(document) if path.startswith(V1)}
    tried = {path.partition("?")[0].split("/")[3] for _, path, _ in TABLE}
    assert groups - tried <= {"tokens", "me"}, "these are for whoever has proved who he is"


async def test_a_key_for_templates_makes_and_changes_them_and_registers_nothing(world: World) -> None:
    path = f"{V1}/prefixes/{PUMP}/templates"
    document = {"version": "t-9", "name": {"zh": "模板"}, "items": [{"type": "model", "name": {"zh": "型号"}}]}
    assert (await world.ask("POST", path, document, who="templates")).status == 201
    assert (await world.ask("PATCH", f"{path}/t-9", {"enabled": False}, who="templates")).status == 200
    body = {"prefix": PUMP, "suffix": "y", "template": "pump-1", "values": {"model": "A"}}
    assert (await world.ask("POST", f"{V1}/identifiers", body, who="templates")).status == 403


async def test_a_key_gives_nobody_more_than_it_has(world: World) -> None:
    firm = world.firms["pump"].enterprise_id
    clerk = {"user_name": "clerk", "roles": ["enterprise_admin"], "enterprise_id": firm}
    assert (await world.ask("POST", f"{V1}/accounts", clerk, who="operator")).status == 201
    key = (await world.ask("POST", f"{V1}/keys", {"scopes": ["read", "manage"]}, who="operator")).json
    world.keys["manager"] = f"{key['access_key']}.{key['secret_key']}"
    tries: list[tuple[str, str, dict[str, Any], int]] = [
        ("POST", "/keys", {"enterprise_id": firm}, 403),
        ("POST", "/keys", {}, 403),
        ("POST", "/keys", {"enterprise_id": firm, "scopes": ["manage", "write"]}, 403),
        ("POST", "/keys", {"enterprise_id": firm, "scopes": ["manage"]}, 201),
        ("POST", "/accounts", clerk | {"user_name": "more"}, 403),
        ("POST", "/accounts", {"user_name": "boss", "roles": ["operator"]}, 403),
        ("POST", "/invitations", {"roles": ["enterprise_user"], "enterprise_id": firm}, 403),
        ("PUT", "/accounts/clerk/password", {}, 403),
        ("POST", "/accounts/clerk/disable", {}, 200),
    ]
    for method, path, body, status in tries:
        reply = await world.ask(method, f"{V1}{path}", body, who="manager")
        assert (reply.status, status != 403 or reply.json["code"] == "scope_not_given") == (status, True), (path, body)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("method", "path", "needed"), SNMS)
async def test_the_published_interface_keeps_to_scopes(
    world: World, method: str, path: str, needed: str, scope: str
) -> None:
    reply = await world.ask(method, path, {} if method != "GET" else None, who=scope)
    assert (reply.json["message"] == NO_PERMISSION) == (needed != scope), reply.json


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_limited_key_opens_no_console(world: World, scope: str) -> None:
    access_key, _, secret = world.keys[scope].partition(".")
    visitor = Visitor(world, "", headers={"Cookie": "idnode_visitor=" + "a" * 32})
    page = await visitor.post("/sign-in", {"user_name": access_key, "password": secret}, token=make_token("a" * 32))
    assert page.status == 403
    assert "it is for systems" in page.shown
    assert "idnode_session" not in str(page.headers.getall("Set-Cookie", []))


async def test_a_key_that_may_do_everything_opens_the_console(world: World) -> None:
    access_key, _, secret = world.keys["pump"].partition(".")
    visitor = Visitor(world, "", headers={"Cookie": "idnode_visitor=" + "a" * 32})
    page = await visitor.post("/sign-in", {"user_name": access_key, "password": secret}, token=make_token("a" * 32))
    assert page.status == 303


async def test_a_key_that_only_writes_reads_no_private_value_from_the_answers(world: World) -> None:
    values = {"model": "A", "line": "7"}
    one, range_ = f"{V1}/identifiers/{PUMP}/own", f"{V1}/ranges/{PUMP}%2FQ001"
    await world.ask("POST", f"{V1}/identifiers", {"identifier": f"{PUMP}/own", "template": "pump-1", "values": values})
    numbers = {"prefix": PUMP, "first": "Q001", "last": "Q009", "template": "pump-1", "values": values}
    await world.ask("POST", f"{V1}/ranges", numbers)
    for path in (one, range_):
        for who, seen in (("write", ["model"]), ("pump", ["model", "line"])):
            reply = await world.ask("PATCH", f"{path}?dry_run=true", {"values": {}}, who=who)
            assert [value["type"] for value in reply.json["values"]] == seen, (path, who)
