"""Enterprises over HTTP: from the application to the closing, with prefixes, templates, units, tags and statistics."""

import asyncio
import time
from base64 import b32decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio

from registry.accounts import NewAccount, set_second_factor
from registry.principals import Principal
from registry.problem_reports import NewReport, file_report
from registry.sign_in import Visit
from registry.totp import STEP_SECONDS, compute_code
from schemas.account_bodies import KeyPage, NewKeyBody
from schemas.bodies import TemplateBody, TemplatePage
from schemas.enterprise_bodies import (
    AddedEnterpriseBody,
    EnterpriseBody,
    EnterprisePage,
    FileBody,
    PrefixBody,
    PrefixPage,
    StatisticsRow,
    TagPage,
    UnitBody,
    UnitPage,
)
from schemas.statistics_bodies import DefinitionBody
from tests.registry.account_world import PASSWORD, sign
from tests.registry.api_world import PUMP, Reply, World, open_world
from tests.registry.people import NOW, RULES, make_uscc, order

V1 = "/api/v1"
DATA = Path(__file__).parent.parent.parent / "data"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


async def apply(world: World, number: int, **more: Any) -> Reply:
    dossier = {"name": f"申请企业 {number}", "certificate_code": make_uscc(number), "industry": "C/34/344/3441",
               "province": "320000", "city": "321300", "county": "321302", **more}  # fmt: skip
    return await world.ask("POST", f"{V1}/enterprises/applications", dossier, who="operator")


async def decide(world: World, enterprise_id: int, what: str, body: Any = None, who: str = "reviewer") -> Reply:
    return await world.ask("POST", f"{V1}/enterprises/{enterprise_id}/{what}", body or {"reason": "r"}, who=who)


async def test_an_application_is_reviewed_by_somebody_else(world: World) -> None:
    applied = await apply(world, 101, prefix="88.101.00101")
    firm = EnterpriseBody.model_validate(applied.json)
    assert (applied.status, firm.state, firm.prefixes[0].prefix) == (201, "pending", "88.101.00101")
    assert {item.field for item in firm.todo} >= {"contact", "legal_person"}
    own = await decide(world, firm.enterprise_id, "approve", who="operator")
    assert (own.status, own.json["code"]) == (403, "decision_on_own_application")
    taken = await decide(world, firm.enterprise_id, "review")
    approved = await decide(world, firm.enterprise_id, "approve")
    assert (taken.json["state"], approved.json["state"], approved.json["prefixes"][0]["state"]) == (
        "reviewing", "approved", "enabled",
    )  # fmt: skip
    assert approved.json["connected_on"] is not None


async def test_a_refusal_needs_a_reason_and_can_be_answered(world: World) -> None:
    firm = (await apply(world, 102)).json
    number = firm["enterprise_id"]
    unexplained = await decide(world, number, "refuse", {"reason": " "})
    assert (unexplained.status, unexplained.json["code"], unexplained.json["field"]) == (
        400,
        "reason_missing",
        "reason",
    )
    refused = await decide(world, number, "refuse", {"reason": "证照不清"})
    assert (refused.json["state"], refused.json["decisions"][-1]["reason"]) == ("refused", "证照不清")
    dossier = {"name": "申请企业 102", "certificate_code": make_uscc(102), "address": "发展大道 1 号"}
    again = await decide(world, number, "resubmit", dossier, who="operator")
    assert (again.status, again.json["state"], again.json["dossier"]["address"]) == (200, "pending", "发展大道 1 号")


async def test_what_is_wrong_with_a_dossier_is_named(world: World) -> None:
    wrong = await apply(world, 103, certificate_code="91321302MA1PUMP02X")
    assert (wrong.status, wrong.json["code"], wrong.json["field"]) == (400, "uscc_check", "certificate_code")
    industry = await apply(world, 103, industry="C/34/344/9999")
    assert (industry.status, industry.json["code"]) == (400, "industry_unknown")
    twice = [await apply(world, 104), await apply(world, 104)]
    assert [(r.status, r.json.get("code")) for r in twice] == [(201, None), (409, "enterprise_taken")]


async def test_an_enterprise_entered_in_one_step_can_work_at_once(world: World) -> None:
    body = {"name": "一步录入", "certificate_code": make_uscc(105), "area": "宿城区", "industry": "C/34/344/3441",
            "prefix": "88.101.105", "approve": True}  # fmt: skip
    tried = await world.ask("POST", f"{V1}/enterprises?dry_run=true", body, who="operator")
    assert (tried.status, tried.json["access_key"], tried.json["secret_key"]) == (200, None, None)
    added = AddedEnterpriseBody.model_validate(
        (await world.ask("POST", f"{V1}/enterprises", body, who="operator")).json
    )
    world.keys["fresh"] = f"{added.access_key}.{added.secret_key}"
    template = {"version": "v1", "items": [{"type": "model", "name": "型号"}]}
    made = await world.ask("POST", f"{V1}/prefixes/88.101.105/templates", template, who="fresh")
    assert made.status == 201
    new = {"identifier": "88.101.105/a", "template": "v1"}
    assert (await world.ask("POST", f"{V1}/identifiers", new, who="fresh")).status == 201


async def test_a_suspended_enterprise_reads_and_does_not_write(world: World) -> None:
    number = world.firms["tofu"].enterprise_id
    await decide(world, number, "suspend", {"reason": "核验"})
    new = {"identifier": "88.101.10/x", "template": "pump-1", "values": {"model": "A"}}
    refused = await world.ask("POST", f"{V1}/identifiers", new, who="tofu")
    assert (refused.status, refused.json["code"]) == (409, "enterprise_not_active")
    await decide(world, number, "resume", {"reason": "核验通过"})
    assert (await world.ask("POST", f"{V1}/identifiers", new, who="tofu")).status == 201


async def test_an_enterprise_with_enabled_prefixes_is_not_closed(world: World) -> None:
    body = {"name": "待注销", "certificate_code": make_uscc(106), "area": "宿城区", "industry": "C/34/344/3441",
            "approve": True}  # fmt: skip
    added = (await world.ask("POST", f"{V1}/enterprises", body, who="operator")).json
    world.keys["closing"] = f"{added['access_key']}.{added['secret_key']}"
    early = await decide(world, added["enterprise_id"], "close")
    assert (early.status, early.json["code"]) == (409, "enterprise_has_prefixes")
    stop = {"decision": "stopped", "reason": "注销"}
    assert (await world.ask("POST", f"{V1}/prefixes/{added['prefix']}/decisions", stop, who="reviewer")).status == 200
    closed = await decide(world, added["enterprise_id"], "close")
    assert (closed.status, closed.json["state"]) == (200, "closed")
    assert (await world.ask("GET", f"{V1}/prefixes", who="closing")).status == 401


async def test_a_changed_dossier_waits_for_approval(world: World) -> None:
    number = world.firms["pump"].enterprise_id
    dossier = {"name": "Firm 901 改名", "certificate_code": make_uscc(901)}
    proposed = await decide(world, number, "changes", dossier, who="pump")
    assert (proposed.json["state"], proposed.json["name"]) == ("change_pending", "Firm 901")
    assert (await decide(world, number, "approve")).json["name"] == "Firm 901 改名"


async def test_personal_data_are_shown_with_a_reason_that_is_recorded(world: World) -> None:
    number = (await apply(world, 107, contact={"name": "张三", "phone": "052700000000"})).json["enterprise_id"]
    silent = await decide(world, number, "personal", {"reason": ""})
    shown = await decide(world, number, "personal", {"reason": "核验来电"})
    assert (silent.json["code"], shown.json["contact"]["name"]) == ("reason_missing", "张三")
    detail = await world.ask("GET", f"{V1}/enterprises/{number}", who="operator")
    assert "张三" not in detail.body.decode() and detail.json["decisions"][-1]["decision"] == "revealed"


async def test_a_firm_moves_is_tagged_and_verified(world: World) -> None:
    unit = await world.ask("POST", f"{V1}/units", {"division": "宿城区", "name": "耿车镇"}, who="operator")
    assert (unit.status, UnitBody.model_validate(unit.json).division_code) == (201, "321302")
    number = world.firms["pump"].enterprise_id
    moved = await decide(world, number, "move", {"area": "耿车镇"})
    assert (moved.status, moved.json["unit"]) == (200, "耿车镇")
    tags = {"tags": {"industrial_chain": "高端装备"}}
    tagged = await world.ask("PUT", f"{V1}/enterprises/{number}/tags", tags, who="operator")
    assert tagged.json["tags"] == {"industrial_chain": "高端装备"}
    assert (await decide(world, number, "verification", {"result": "pass"})).json["verification"] == "pass"
    dictionary = TagPage.model_validate((await world.ask("GET", f"{V1}/tags", who="operator")).json)
    assert [(tag.name, tag.enterprises) for tag in dictionary.tags] == [("高端装备", 1)]
    units = UnitPage.model_validate((await world.ask("GET", f"{V1}/units")).json)
    assert [known.name for known in units.units] == ["耿车镇"]


async def test_a_file_of_enterprises_goes_in_whole_and_is_answered_row_by_row(world: World) -> None:
    async def load(query: str = "") -> FileBody:
        form = aiohttp.FormData()
        form.add_field("file", (DATA / "enterprises-sucheng.csv").read_bytes().replace(b"88.101.", b"88.102."),
                       filename="../../etc/企业.csv")  # fmt: skip
        reply = await world.ask("POST", f"{V1}/enterprises/file{query}", who="operator", data=form)
        assert reply.status == 200, reply.body
        return FileBody.model_validate(reply.json)

    tried, first, second = await load("?dry_run=true"), await load(), await load()
    assert [row.code for row in tried.results if row.outcome != "connected"] == []
    assert (tried.connected, tried.written, first.connected, first.written) == (66, False, 66, True)
    assert (second.unchanged, second.connected, second.rows) == (66, 0, 66)
    wrong = aiohttp.FormData()
    wrong.add_field("file", b"a,b\n1,2\n", filename="x.csv")
    refused = await world.ask("POST", f"{V1}/enterprises/file", who="operator", data=wrong)
    assert refused.status == 400 and refused.json["remedy"]


async def test_lists_are_filtered_and_paged(world: World) -> None:
    found: list[int] = []
    after: int | None = 0
    while after is not None:
        reply = await world.ask("GET", f"{V1}/enterprises?limit=5&after={after}", who="operator")
        page = EnterprisePage.model_validate(reply.json)
        found += [row.enterprise_id for row in page.enterprises]
        after = page.next
    assert found == sorted(set(found)) and len(found) > 5
    one = await world.ask("GET", f"{V1}/enterprises?text={PUMP}&state=approved", who="operator")
    assert [row["prefixes"][0] for row in one.json["enterprises"]] == [PUMP]
    unknown = await world.ask("GET", f"{V1}/enterprises?state=happy", who="operator")
    assert (unknown.status, unknown.json["code"]) == (400, "field_not_a_choice")


async def test_a_prefix_from_the_request_to_the_transfer(world: World) -> None:
    asked = await world.ask("POST", f"{V1}/prefixes", {"prefix": "88.101.0777"})
    assert (asked.status, PrefixBody.model_validate(asked.json).state) == (201, "pending")
    taken = await world.ask("POST", f"{V1}/prefixes", {"prefix": "88.101.0777"}, who="tofu")
    assert (taken.status, taken.json["code"]) == (409, "prefix_taken")
    path = f"{V1}/prefixes/88.101.0777"
    approved = await world.ask("POST", f"{path}/decisions", {"decision": "approved"}, who="reviewer")
    assert (approved.status, approved.json["state"]) == (200, "enabled")
    hosted = await world.ask("PUT", f"{path}/hosting", {"address": "192.0.2.7", "tcp_port": 2641})
    assert (hosted.status, hosted.json["hosting"]) == (200, "not_hosted")
    bad = await world.ask("PUT", f"{path}/hosting", {"address": "nowhere", "tcp_port": 2641})
    assert (bad.status, bad.json["code"]) == (400, "site_address")
    assert (await world.ask("PUT", f"{path}/hosting", {})).json["hosting"] == "hosted"
    receiver = world.firms["tofu"].enterprise_id
    given = await world.ask("POST", f"{path}/transfer", {"enterprise_id": receiver}, who="operator")
    assert (given.status, given.json["enterprise_id"]) == (200, receiver)
    assert [(await world.ask("GET", path, who=who)).status for who in ("pump", "tofu")] == [404, 200]
    owners = [(one["enterprise_id"], one["to"]) for one in (await world.ask("GET", path, who="tofu")).json["owners"]]
    assert owners == [(receiver, None)], "given on its first day, it was never anybody else's"
    page = PrefixPage.model_validate((await world.ask("GET", f"{V1}/prefixes?limit=1", who="tofu")).json)
    rest = PrefixPage.model_validate((await world.ask("GET", f"{V1}/prefixes?after={page.next}", who="tofu")).json)
    assert (len(page.prefixes), [row.prefix for row in rest.prefixes], rest.next) == (1, ["88.101.0777"], None)


async def test_a_template_is_added_widened_withdrawn_and_deleted(world: World) -> None:
    path = f"{V1}/prefixes/{PUMP}/templates"
    version = "版本 1.0/甲"
    document = {"version": version, "name": "阀", "items": [{"type": "dn", "name": "口径", "required": True}]}
    made = await world.ask("POST", path, document)
    again = await world.ask("POST", path, document)
    other = await world.ask("POST", path, document | {"items": [{"type": "pn", "name": "压力"}]})
    assert (made.status, again.status, other.status, other.json["code"]) == (201, 200, 409, "template_taken")
    one = f"{path}/%E7%89%88%E6%9C%AC%201.0%2F%E7%94%B2"
    wider = await world.ask("PATCH", one, {"items": [{"type": "pn", "name": "压力"}]})
    assert [item["type"] for item in TemplateBody.model_validate(wider.json).items] == ["dn", "pn"]
    assert (await world.ask("PATCH", one, {"enabled": False})).json["enabled"] is False
    new = {"identifier": f"{PUMP}/v1", "template": version, "values": {"dn": "50"}}
    withdrawn = await world.ask("POST", f"{V1}/identifiers", new)
    assert (withdrawn.status, withdrawn.json["code"]) == (409, "template_withdrawn")
    listed = TemplatePage.model_validate((await world.ask("GET", path)).json)
    assert version in [template.version for template in listed.templates]
    assert (await world.ask("DELETE", one)).json == {"deleted": True}
    assert (await world.ask("GET", one)).json["code"] == "template_not_found"
    wrong = await world.ask("POST", path, {"version": "x", "items": [{"index": 1000, "type": "a", "name": "n"}]})
    assert (wrong.status, wrong.json["code"], wrong.json["field"]) == (400, "template_index_reserved", "items[0].index")


async def test_keys_are_listed_without_secrets(world: World) -> None:
    made = NewKeyBody.model_validate((await world.ask("POST", f"{V1}/keys", {"note": "MES 产线 2"})).json)
    listed = KeyPage.model_validate((await world.ask("GET", f"{V1}/keys")).json)
    assert made.access_key in [key.access_key for key in listed.keys]
    unknown = await world.ask("POST", f"{V1}/keys/ak_none/revoke")
    assert (unknown.status, unknown.json["code"]) == (404, "key_not_found")


async def make_changes(world: World) -> list[tuple[str, str, str, Any, str]]:
    """Things of every kind: where each is read, and a change of it."""
    firm = (await apply(world, 108, prefix="88.101.108")).json["enterprise_id"]
    document = {"version": "tagged", "items": [{"type": "dn", "name": "口径"}]}
    assert (await world.ask("POST", f"{V1}/prefixes/{PUMP}/templates", document)).status == 201
    key = (await world.ask("POST", f"{V1}/keys", {"note": "tagged"})).json["access_key"]
    await world.ask("POST", f"{V1}/accounts", {"user_name": "tagged", "roles": ["engineer"]}, who="operator")
    application = {"name": "扫码", "kind": "web"}
    kept = (await world.ask("POST", f"{V1}/applications", application | {"prefix": PUMP})).json["application_id"]
    new = {"identifier": f"{PUMP}/tagged", "template": "pump-1", "values": {"model": "A"}}
    assert (await world.ask("POST", f"{V1}/identifiers", new)).status == 201
    wrong = NewReport(f"{PUMP}/tagged", "data", "")
    async with world.state.connect() as conn:
        report = await file_report(conn, RULES.key_ring, Visit(NOW, ""), wrong)
    template = f"{V1}/prefixes/{PUMP}/templates/tagged"
    site = {"address": "192.0.2.7", "tcp_port": 2641}
    return [
        (f"{V1}/enterprises/{firm}", "POST", f"{V1}/enterprises/{firm}/review", {}, "reviewer"),
        (f"{V1}/enterprises/{firm}", "PUT", f"{V1}/enterprises/{firm}/tags", {"tags": {"a": "b"}}, "operator"),
        (f"{V1}/prefixes/{PUMP}", "PUT", f"{V1}/prefixes/{PUMP}/hosting", site, "pump"),
        (f"{V1}/prefixes/{PUMP}", "PUT", f"{V1}/prefixes/{PUMP}/hosting", {}, "pump"),
        (template, "PATCH", template, {"items": [{"type": "pn", "name": "压力"}]}, "pump"),
        (template, "DELETE", template, None, "pump"),
        (f"{V1}/accounts/tagged", "POST", f"{V1}/accounts/tagged/disable", None, "operator"),
        (f"{V1}/accounts/tagged", "POST", f"{V1}/accounts/tagged/enable", None, "operator"),
        (f"{V1}/accounts/tagged", "PUT", f"{V1}/accounts/tagged/password", {}, "operator"),
        (f"{V1}/keys/{key}", "POST", f"{V1}/keys/{key}/revoke", None, "pump"),
        (f"{V1}/applications/{kept}", "PUT", f"{V1}/applications/{kept}", application | {"users": 7}, "pump"),
        (f"{V1}/applications/{kept}", "POST", f"{V1}/applications/{kept}/retire", None, "pump"),
        (
            f"{V1}/problem-reports/{report}",
            "POST",
            f"{V1}/problem-reports/{report}/decision",
            {"state": "in_work"},
            "pump",
        ),
    ]


async def test_nothing_is_overwritten_that_was_not_seen(world: World) -> None:
    for place, method, path, body, who in await make_changes(world):
        seen = await world.ask("GET", place, who=who, headers={"Accept-Language": "zh"})
        tag = seen.headers["ETag"]
        assert (await world.ask("GET", place, who=who, headers={"Accept-Language": "en"})).headers["ETag"] == tag
        for other in ('"0"', '"0123456789abcdef0123", W/"7"'):
            refused = await world.ask(method, path, body, who=who, headers={"If-Match": other})
            assert (refused.status, refused.json["code"], refused.json["field"]) == (
                412,
                "changed_meanwhile",
                "If-Match",
            )
        assert (await world.ask("GET", place, who=who)).headers["ETag"] == tag
        done = await world.ask(method, path, body, who=who, headers={"If-Match": f'"0", {tag}'})
        assert done.status == 200, (path, done.body)
        if method != "DELETE":
            assert done.headers["ETag"] == (await world.ask("GET", place, who=who)).headers["ETag"]
            assert (done.headers["ETag"] == tag) == path.endswith("/password")


async def test_of_two_who_change_what_both_saw_one_succeeds(world: World) -> None:
    document = {"version": "raced", "items": [{"type": "dn", "name": "口径"}]}
    path = f"{V1}/prefixes/{PUMP}/templates"
    tag = {"If-Match": (await world.ask("POST", path, document)).headers["ETag"]}
    changes = [{"items": [{"type": f"t{n}", "name": f"名{n}"}]} for n in range(8)]
    done = await asyncio.gather(*(world.ask("PATCH", f"{path}/raced", change, headers=tag) for change in changes))
    assert sorted(reply.status for reply in done) == [200] + [412] * 7


async def test_ones_own_password_needs_the_old_one_and_the_second_factor(world: World) -> None:
    await sign(world, "olga", NewAccount("olga", ["engineer"], PASSWORD))
    async with world.state.connect() as conn:
        me = order(Principal("operator", "account:olga", user_name="olga"))
        address = await set_second_factor(conn, RULES.key_ring, me, "olga")
    code = compute_code(b32decode(parse_qs(urlsplit(address).query)["secret"][0]), int(time.time()) // STEP_SECONDS)
    body = {"password": "battery horse correct", "old_password": PASSWORD}
    said = []
    for more in ({}, {"code": "000000"}, {"code": code, "old_password": "wrong"}, {"code": code}):
        reply = await world.ask("PUT", f"{V1}/accounts/olga/password", body | more, who="olga")
        said.append((reply.status, reply.json.get("code")))
    assert said == [
        (401, "second_factor_missing"), (401, "second_factor_wrong"), (401, "sign_in_wrong"), (200, None),
    ]  # fmt: skip


async def test_statistics_in_every_grouping(world: World) -> None:
    for by in ("enterprise", "unit", "area", "industry", "template", "day"):
        rows = (await world.ask("GET", f"{V1}/statistics?by={by}&from=2026-03-01&to=2026-03-31")).json
        for row in rows:
            StatisticsRow.model_validate(row)
    totals = await world.ask("GET", f"{V1}/statistics/totals?from=2026-03-01&to=2026-03-02", who="operator")
    assert (totals.status, totals.json["from"], totals.json["to"]) == (200, "2026-03-01", "2026-03-02")
    backwards = await world.ask("GET", f"{V1}/statistics?from=2026-03-31&to=2026-03-01")
    assert (backwards.status, backwards.json["code"]) == (400, "statistics_period_reversed")
    definitions = await world.ask("GET", f"{V1}/statistics/definitions?lang=zh")
    assert all(DefinitionBody.model_validate(row).definition for row in definitions.json)
