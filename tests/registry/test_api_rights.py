"""Who may do what: every route times anonymous, the enterprise, another enterprise, the operator."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from node.closing import close_day
from registry.api.openapi import list_operations, make_document
from registry.problem_reports import NewReport, file_report
from registry.sign_in import Visit
from tests.days import get_yesterday
from tests.registry.api_world import PUMP, World, make_app, open_world
from tests.registry.people import NOW, RULES, make_uscc
from tests.registry.pictures import PNG

V1 = "/api/v1"
WHO = ("nobody", "pump", "tofu", "operator")
OPEN, OWN, OPERATOR, SIGN_IN = "open", "own", "operator", "sign in"

# Rights of a route: OPEN to anybody; OWN: the enterprise it is about (others find nothing) and the operator;
# OPERATOR alone (enterprises are forbidden); "each": everybody with a key, who sees what is his; SIGN_IN: for those
# who have no key yet (and give a wrong password here).
ID = f"{V1}/identifiers/{PUMP}/right"
X = f"identifier={PUMP}/right"
SERIALS = f"{V1}/ranges/{PUMP}/S0001"
NEW = {"identifier": f"{PUMP}/new", "template": "pump-1", "values": {"model": "A"}}
REASON = {"reason": "because"}
DOSSIER = {"name": "New Firm", "certificate_code": make_uscc(77)}
PARTNER = make_uscc(500)
TEMPLATES = f"{V1}/prefixes/{PUMP}/templates"
TARGET = {"area": "321302", "deadline": "2030-12-31", "target": 60}
PLAN = {"name": "now", "targets": [TARGET | {"indicator": name} for name in ("enterprises_connected", "sites")]}
APPLICATION = {"name": "scan", "kind": "mini_program"}
TEMPLATE = {"version": "t-2", "items": [{"type": "a", "name": "甲"}]}

# method, path, body, rights
ROUTES: list[tuple[str, str, Any, str]] = [
    ("GET", "/health", None, OPEN),
    ("POST", f"{V1}/identifiers", NEW, OWN),
    ("POST", f"{V1}/identifiers/batch", {"prefix": PUMP, "template": "pump-1", "items": []}, OWN),
    ("GET", f"{V1}/identifiers?prefix={PUMP}", None, OWN),
    ("GET", ID, None, OPEN),
    ("GET", f"{V1}/identifiers?{X}", None, OPEN),
    ("PATCH", ID, {"values": {}}, OWN),
    ("PUT", ID, {"values": {"model": "B"}}, OWN),
    ("POST", f"{ID}/retire", {}, OWN),
    ("POST", f"{ID}/restore", {}, OWN),
    ("POST", f"{ID}/freeze", {"notice": "n"}, OWN),
    ("POST", f"{ID}/unfreeze", {}, OWN),
    ("GET", f"{ID}/history", None, OWN),
    ("PATCH", f"{V1}/identifiers?{X}", {"values": {}}, OWN),
    ("PUT", f"{V1}/identifiers?{X}", {"values": {"model": "B"}}, OWN),
    ("POST", f"{V1}/identifiers/retire?{X}", {}, OWN),
    ("POST", f"{V1}/identifiers/restore?{X}", {}, OWN),
    ("POST", f"{V1}/identifiers/freeze?{X}", {"notice": "n"}, OWN),
    ("POST", f"{V1}/identifiers/unfreeze?{X}", {}, OWN),
    ("GET", f"{V1}/identifiers/history?{X}", None, OWN),
    ("POST", f"{V1}/ranges", {"prefix": PUMP, "template": "pump-1", "first": "R1", "last": "R9",
                              "values": {"model": "A"}}, OWN),
    ("GET", f"{V1}/ranges?prefix={PUMP}", None, OWN),
    ("GET", SERIALS, None, OWN),
    ("GET", f"{SERIALS}/history", None, OWN),
    ("PATCH", SERIALS, {"values": {"model": "B"}}, OWN),
    ("POST", f"{SERIALS}/freeze", {"notice": "n"}, OWN),
    ("POST", f"{SERIALS}/unfreeze", {}, OWN),
    ("POST", f"{SERIALS}/retire", {}, OWN),
    ("POST", f"{SERIALS}/restore", {}, OWN),
    ("POST", f"{V1}/identifiers/batch/ACTION", {"prefix": PUMP, "items": []}, OWN),
    ("POST", f"{V1}/identifiers/stream/ACTION?prefix={PUMP}", None, OWN),
    ("POST", f"{V1}/identifiers/resolve", {"identifiers": [f"{PUMP}/right"]}, "each"),
    ("POST", TEMPLATES, TEMPLATE, OWN),
    ("GET", TEMPLATES, None, OWN),
    ("GET", f"{TEMPLATES}/pump-1", None, OWN),
    ("PATCH", f"{TEMPLATES}/pump-1", {"enabled": True}, OWN),
    ("DELETE", f"{TEMPLATES}/unused", None, OWN),
    ("GET", f"{V1}/prefixes", None, "each"),
    ("POST", f"{V1}/prefixes", {"enterprise_id": "PUMP"}, OWN),
    ("GET", f"{V1}/prefixes/{PUMP}", None, OWN),
    ("POST", f"{V1}/prefixes/{PUMP}/decisions", {"decision": "stopped", **REASON}, OPERATOR),
    ("PUT", f"{V1}/prefixes/{PUMP}/hosting", {"address": "192.0.2.7", "tcp_port": 2641}, OWN),
    ("POST", f"{V1}/prefixes/{PUMP}/transfer", {"enterprise_id": "TOFU"}, OPERATOR),
    ("GET", f"{V1}/enterprises", None, "each"),
    ("POST", f"{V1}/enterprises", {"name": "F", "certificate_code": make_uscc(78), "area": "321302",
                                   "industry": "C/34/344/3441"}, OPERATOR),
    ("POST", f"{V1}/enterprises/applications", DOSSIER, OPERATOR),
    ("POST", f"{V1}/enterprises/file", "FILE", OPERATOR),
    ("GET", f"{V1}/enterprises/PUMP", None, OWN),
    ("POST", f"{V1}/enterprises/PUMP/personal", REASON, OWN),
    ("POST", f"{V1}/enterprises/PUMP/changes", DOSSIER | {"certificate_code": make_uscc(901)}, OWN),
    ("POST", f"{V1}/enterprises/PUMP/resubmit", DOSSIER, OWN),
    ("POST", f"{V1}/enterprises/PUMP/review", {}, OPERATOR),
    ("POST", f"{V1}/enterprises/PUMP/approve", {}, OPERATOR),
    ("POST", f"{V1}/enterprises/PUMP/refuse", REASON, OPERATOR),
    ("POST", f"{V1}/enterprises/PUMP/suspend", REASON, OPERATOR),
    ("POST", f"{V1}/enterprises/PUMP/resume", REASON, OPERATOR),
    ("POST", f"{V1}/enterprises/PUMP/close", REASON, OPERATOR),
    ("POST", f"{V1}/enterprises/PUMP/verification", {"result": "pass"}, OPERATOR),
    ("POST", f"{V1}/enterprises/PUMP/move", {"area": "321302", "industry": "C/34/344/3442"}, OPERATOR),
    ("PUT", f"{V1}/enterprises/PUMP/tags", {"tags": {"industrial_chain": "高端装备"}}, OPERATOR),
    ("GET", f"{V1}/export?reason=move&enterprise_id=PUMP", None, OWN),
    ("GET", f"{V1}/sandboxes", None, "each"),
    ("POST", f"{V1}/sandboxes", {"enterprise_id": "PUMP"}, OWN),
    ("GET", f"{V1}/units", None, "each"),
    ("POST", f"{V1}/units", {"division": "321302", "name": "陈集镇"}, OPERATOR),
    ("GET", f"{V1}/tags", None, OPERATOR),
    ("GET", f"{V1}/keys", None, "each"),
    ("POST", f"{V1}/keys", {"enterprise_id": "PUMP"}, OWN),
    ("GET", f"{V1}/keys/KEY", None, OWN),
    ("POST", f"{V1}/keys/KEY/revoke", None, OWN),
    ("POST", f"{V1}/tokens", {"user_name": "nobody", "password": "wrong"}, SIGN_IN),
    ("GET", f"{V1}/me", None, "each"),
    ("GET", f"{V1}/sessions", None, "each"),
    ("POST", f"{V1}/sessions/SESSION/end", None, OWN),
    ("GET", f"{V1}/accounts", None, "each"),
    ("POST", f"{V1}/accounts", {"user_name": "new", "roles": ["enterprise_user"], "enterprise_id": "PUMP"}, OWN),
    ("GET", f"{V1}/accounts/ACCOUNT", None, OWN),
    ("POST", f"{V1}/accounts/ACCOUNT/disable", None, OWN),
    ("POST", f"{V1}/accounts/ACCOUNT/enable", None, OWN),
    ("PUT", f"{V1}/accounts/ACCOUNT/password", {}, OWN),
    ("GET", f"{V1}/invitations", None, "each"),
    ("POST", f"{V1}/invitations", {"roles": ["enterprise_user"], "enterprise_id": "PUMP"}, OWN),
    ("POST", f"{V1}/invitations/INVITATION/revoke", None, OWN),
    ("GET", f"{V1}/partners", None, "each"),
    ("GET", f"{V1}/partners?prefix={PUMP}", None, OWN),
    ("POST", f"{V1}/partners", {"prefix": PUMP, "organisation": PARTNER}, OWN),
    ("DELETE", f"{V1}/partners/{PUMP}/{PARTNER}", None, OWN),
    ("POST", f"{V1}/attachments", "PICTURE", "each"),
    ("GET", f"{V1}/attachments", None, "each"),
    ("GET", f"{V1}/attachments/ATTACHMENT", None, OWN),
    ("GET", f"{V1}/attachments/ATTACHMENT/content", None, OWN),
    ("POST", f"{V1}/jobs", "IMPORT", OWN),
    ("GET", f"{V1}/problem-reports", None, "each"),
    ("GET", f"{V1}/problem-reports/REPORT", None, OWN),
    ("POST", f"{V1}/problem-reports/REPORT/decision", {"state": "in_work"}, OWN),
    ("POST", f"{V1}/problem-reports/REPORT/contact", REASON, OWN),
    ("GET", f"{V1}/jobs", None, "each"),
    ("GET", f"{V1}/jobs/JOB", None, OWN),
    ("POST", f"{V1}/jobs/JOB/cancel", None, OWN),
    ("GET", f"{V1}/jobs/JOB/receipt", None, OWN),
    ("GET", f"{V1}/statistics", None, "each"),
    ("GET", f"{V1}/statistics/totals", None, "each"),
    ("GET", f"{V1}/statistics/definitions", None, "each"),
    ("GET", f"{V1}/statistics/table", None, "each"),
    ("GET", f"{V1}/statistics/export?format=json", None, "each"),
    ("GET", f"{V1}/statistics/closes", None, OPERATOR),
    ("GET", f"{V1}/statistics/closes/DAY", None, OPERATOR),
    ("GET", f"{V1}/plans", None, OPERATOR),
    ("POST", f"{V1}/plans", PLAN | {"name": "next"}, OPERATOR),
    ("GET", f"{V1}/plans/now", None, OPERATOR),
    ("GET", f"{V1}/plans/now/annex", None, OPERATOR),
    ("GET", f"{V1}/plans/now/firms?area=321302&indicator=enterprises_connected", None, OPERATOR),
    ("POST", f"{V1}/plans/now/entries", {"area": "321302", "indicator": "sites", "value": 3}, OPERATOR),
    ("GET", f"{V1}/applications", None, "each"),
    ("GET", f"{V1}/applications?prefix={PUMP}", None, OWN),
    ("POST", f"{V1}/applications", APPLICATION | {"prefix": PUMP}, OWN),
    ("GET", f"{V1}/applications/APPLICATION", None, OWN),
    ("PUT", f"{V1}/applications/APPLICATION", APPLICATION, OWN),
    ("POST", f"{V1}/applications/APPLICATION/retire", None, OWN),
    ("POST", f"{V1}/certificates", {"enterprise_id": "PUMP"}, OWN),
    ("GET", f"{V1}/certificates", None, "each"),
    ("GET", f"{V1}/certificates?enterprise_id=PUMP", None, OWN),
    ("GET", f"{V1}/certificates/CERTIFICATE", None, OWN),
    ("GET", f"{V1}/certificates/CERTIFICATE/file", None, OWN),
    ("POST", f"{V1}/certificates/CERTIFICATE/revoke", REASON, OPERATOR),
    ("GET", "/verify/CERTIFICATE", None, OPEN),
]  # fmt: skip

# 409 and 410 say "you may, but not now": the table is about rights, not about states.
ALLOWED = {200, 201, 409, 410}


def is_as_it_should(rights: str, who: str, status: int) -> bool:
    if rights == OPEN:
        return status == 200
    if who == "nobody" or rights == SIGN_IN:
        return status == 401
    if who == "operator" or rights == "each" or (rights == OWN and who == "pump"):
        return status in ALLOWED
    return status == (404 if rights == OWN else 403)


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        right = NEW | {"identifier": f"{PUMP}/right"}
        assert (await made.ask("POST", f"{V1}/identifiers", right)).status == 201
        serials = {"prefix": PUMP, "template": "pump-1", "first": "S0001", "last": "S0009", "values": {"model": "A"}}
        assert (await made.ask("POST", f"{V1}/ranges", serials)).status == 201
        assert (await made.ask("POST", TEMPLATES, TEMPLATE | {"version": "unused"})).status == 201
        await add_figures(made)
        yield made


async def add_figures(world: World) -> None:
    """A plan, and a day that is closed."""
    assert (await world.ask("POST", f"{V1}/plans", PLAN, who="operator")).status == 201
    async with world.state.connect() as conn:
        await close_day(conn, ("88.101",), get_yesterday(), datetime.now(UTC), incomplete=True)


def make_form(body: str) -> aiohttp.FormData:
    form = aiohttp.FormData()
    if body == "FILE":
        header = "name,certificate_code,division,section,industry_division,group,class,prefix"
        row = f"F,{make_uscc(79)},321302,C,34,344,3441,88.101.79"
        form.add_field("file", f"{header}\n{row}\n".encode(), filename="firms.csv")
    elif body == "PICTURE":
        form.add_field("file", PNG, filename="licence.png")
    else:
        form.add_field("file", "编码,型号\nJ1,A\n".encode(), filename="products.csv")
        for name, text in (("prefix", PUMP), ("template", "pump-1"), ("identifier_column", "编码")):
            form.add_field(name, text)
    return form


async def fill(world: World, method: str, path: str, body: Any) -> tuple[str, Any]:
    """Names of the table → what they stand for in this world."""
    firms = {name.upper(): firm.enterprise_id for name, firm in world.firms.items()}
    if "/JOB" in path:
        job = await world.ask("POST", f"{V1}/jobs", data=make_form("IMPORT"))
        path = path.replace("JOB", job.json["job_id"])
    if "/INVITATION" in path:
        body_of_it = {"roles": ["enterprise_user"], "enterprise_id": firms["PUMP"]}
        made = await world.ask("POST", f"{V1}/invitations", body_of_it, who="operator")
        path = path.replace("INVITATION", str(made.json["invitation_id"]))
    if "/REPORT" in path:
        if "report" not in world.keys:
            wanted = NewReport(f"{PUMP}/right", "data", "")
            async with world.state.connect() as conn:
                world.keys["report"] = str(await file_report(conn, RULES.key_ring, Visit(NOW, ""), wanted))
        path = path.replace("REPORT", world.keys["report"])
    if "/ATTACHMENT" in path:
        stored = await world.ask("POST", f"{V1}/attachments", data=make_form("PICTURE"))
        path = path.replace("ATTACHMENT", str(stored.json["attachment_id"]))
    path = path.replace("DAY", get_yesterday().isoformat())
    if "/CERTIFICATE" in path:
        if "certificate" not in world.keys:
            made = await world.ask("POST", f"{V1}/certificates", {"enterprise_id": firms["PUMP"]}, who="operator")
            world.keys["certificate"] = made.json["number"]
        path = path.replace("CERTIFICATE", world.keys["certificate"])
    if "/APPLICATION" in path:
        made = await world.ask("POST", f"{V1}/applications", APPLICATION | {"prefix": PUMP})
        path = path.replace("APPLICATION", str(made.json["application_id"]))
    if "/SESSION" in path:
        world.keys["session"] = await sign_in_with_key(world)
        sessions = (await world.ask("GET", f"{V1}/sessions", who="session")).json["sessions"]
        path = path.replace("SESSION", sessions[0]["session_id"])
    if "/ACCOUNT" in path:
        clerk = {"user_name": "clerk", "roles": ["enterprise_user"], "enterprise_id": firms["PUMP"]}
        await world.ask("POST", f"{V1}/accounts", clerk, who="operator")
        path = path.replace("ACCOUNT", "clerk")
    if method == "DELETE" and "/partners/" in path:
        await world.ask("POST", f"{V1}/partners", {"prefix": PUMP, "organisation": PARTNER})
    if "/KEY" in path:
        path = path.replace("KEY", world.firms["pump"].access_key)
    path = (
        path.replace("/PUMP", f"/{firms['PUMP']}").replace("=PUMP", f"={firms['PUMP']}").replace("/ACTION", "/update")
    )
    if isinstance(body, dict) and "enterprise_id" in body:
        body = body | {"enterprise_id": firms[body["enterprise_id"]]}
    return path, body


async def sign_in_with_key(world: World) -> str:
    """A bearer token of pump's access key."""
    firm = world.firms["pump"]
    asked = {"user_name": firm.access_key, "password": firm.secret_key}
    token: str = (await world.ask("POST", f"{V1}/tokens", asked, who="anonymous")).json["token"]
    return token


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "path", "body", "rights"), ROUTES, ids=lambda value: str(value)[:60])
async def test_rights(world: World, method: str, path: str, body: Any, rights: str, who: str) -> None:
    path, sent = await fill(world, method, path, body)
    dry = path + ("&" if "?" in path else "?") + "dry_run=true" if method != "GET" and "/jobs" not in path else path
    if isinstance(sent, str):
        reply = await world.ask(method, dry, who=who, data=make_form(sent))
    else:
        reply = await world.ask(method, dry, sent, who=who)
    assert is_as_it_should(rights, who, reply.status), (reply.status, reply.body[:500])


async def test_no_route_is_missing_from_the_table(world: World) -> None:
    app = make_app(world.state)
    hidden = {route.path for route in app.routes if isinstance(route, APIRoute) and not route.include_in_schema}
    # The reference and the ways to the console, whose pages are walked as every role in test_console_walk.
    assert hidden == {"/", "/console", "/snms/ui", "/snms/ui/{page:path}", "/docs", "/openapi.json",
                      f"{V1}/openapi.json", "/verify"}  # fmt: skip
    places = {PUMP: "{prefix}", "pump-1": "{version}", "unused": "{version}", "PUMP": "{enterprise_id}",
              "JOB": "{job_id}", "KEY": "{access_key}", "ACTION": "{action}",
              "ATTACHMENT": "{attachment_id}", "SESSION": "{session_id}", "ACCOUNT": "{user_name}",
              "REPORT": "{report_id}", "INVITATION": "{invitation_id}", "APPLICATION": "{application_id}",
              "CERTIFICATE": "{number}", "DAY": "{day}", "now": "{name}",
              PARTNER: "{organisation}"}  # fmt: skip

    def generalise(path: str) -> str:
        path = path.replace(f"/identifiers/{PUMP}/right", "/identifiers/{identifier}").partition("?")[0]
        path = path.replace(f"/ranges/{PUMP}/S0001", "/ranges/{first}")
        return "/".join(places.get(part, part) for part in path.split("/"))

    tested = {(method, generalise(path)) for method, path, _, _ in ROUTES}
    assert {(method, path) for method, path, _ in list_operations(make_document(app))} == tested


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer x", "Bearer x.y", "Basic eDp5", "Bearer ak_\u00e9.x", "Bearer " + "k" * 5_000 + ".x", "x.y", ""],
)
async def test_a_wrong_key_opens_nothing_not_even_what_is_public(world: World, header: str) -> None:
    for method, path in (("GET", ID), ("POST", f"{V1}/identifiers")):
        reply = await world.ask(method, path, who="nobody", headers={"Authorization": header})
        assert (reply.status, reply.json["code"] in ("key_wrong", "key_missing")) == (401, True)
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_key_ends_when_it_is_revoked(world: World) -> None:
    made = (await world.ask("POST", f"{V1}/keys", {"note": "short"})).json
    world.keys["short"] = f"{made['access_key']}.{made['secret_key']}"
    assert (await world.ask("GET", f"{V1}/prefixes/{PUMP}", who="short")).status == 200
    gone = await world.ask("POST", f"{V1}/keys/{made['access_key']}/revoke")
    assert (gone.status, gone.json["revoked"] is not None) == (200, True)
    assert (await world.ask("GET", f"{V1}/prefixes/{PUMP}", who="short")).status == 401
    listed = (await world.ask("GET", f"{V1}/keys")).json["keys"]
    assert {key["enterprise_id"] for key in listed} == {world.firms["pump"].enterprise_id}
    assert all("secret_key" not in key for key in listed)


async def test_the_end_of_a_key_without_an_offset_is_at_utc8(world: World) -> None:
    made = (await world.ask("POST", f"{V1}/keys", {"note": "till 2099", "expires": "2099-12-31T00:00:00"})).json
    listed = (await world.ask("GET", f"{V1}/keys")).json["keys"]
    (expires,) = [key["expires"] for key in listed if key["access_key"] == made["access_key"]]
    assert expires == "2099-12-30T16:00:00+00:00"
    assert (await world.ask("POST", f"{V1}/keys", {"expires": "0001-01-01"})).json["code"] == "field_invalid"


async def test_lists_hold_what_is_the_callers_own(world: World) -> None:
    for who, firms in (("pump", {"pump"}), ("tofu", {"tofu"}), ("operator", {"pump", "tofu"})):
        wanted = {world.firms[name].enterprise_id for name in firms}
        for path, members in (("enterprises", "enterprises"), ("prefixes", "prefixes")):
            listed = (await world.ask("GET", f"{V1}/{path}", who=who)).json[members]
            assert {row["enterprise_id"] for row in listed} == wanted
        statistics = (await world.ask("GET", f"{V1}/statistics?by=enterprise", who=who)).json
        assert {row["enterprise_id"] for row in statistics} == wanted
    assert (await world.ask("GET", f"{V1}/jobs", who="tofu")).json["jobs"] == []
