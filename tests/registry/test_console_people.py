"""Second factors and the terms of access keys, as people set them in the console."""

import ast
import re
from base64 import b32decode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from registry.accounts import NewAccount
from registry.app import find_summaries
from registry.audit import note, number_all
from registry.console import apply_pages
from registry.console.security import make_token
from registry.principals import Order
from registry.problem_reports import STATES
from registry.store.audit import AuditEntry, append_audit, fetch_audit
from registry.totp import STEP_SECONDS, compute_code
from schemas.texts.api_reference import translate
from schemas.texts.audit import ACTIONS
from tests.registry.api_world import PUMP, make_app
from tests.registry.console_walk import list_problems
from tests.registry.console_world import PASSWORD, Console, Page, Visitor, add_visitor, open_console
from tests.registry.people import CLERK, make_uscc


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


def read_hidden(page: Page, name: str) -> str:
    found = re.search(rf'type="hidden" name="{name}" value="([^"]*)"', page.text)
    assert found, page.shown[:300]
    return found[1]


def make_code(secret: str, later: int = 0) -> str:
    """Of now, or of so many steps later; one is still taken."""
    return compute_code(b32decode(secret), int(datetime.now(UTC).timestamp()) // STEP_SECONDS + later)


async def test_a_second_factor_is_switched_on_asked_for_and_switched_off(console: Console) -> None:
    olga = await add_visitor(console, NewAccount("olga", ["operator"], PASSWORD))
    path = "/account/second-factor"
    secret = read_hidden(await olga.get(path), "secret")
    right = {"secret": secret, "code": make_code(secret), "password": PASSWORD}
    for change, field in (({"code": "000000 1"}, "code"), ({"password": "wrong"}, "password")):
        refused = await olga.post(path, right | change)
        assert refused.status == 400
        assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', refused.text), field
        assert read_hidden(refused, "secret") == secret, "the app has read it already"
    assert (await olga.post(path, right | {"secret": "AAAA"})).status == 400
    assert (await olga.post(path, right)).location.endswith("done=second_factor_on")
    assert secret not in (await olga.get("/account")).text
    assert (await olga.get(path)).status == 409

    visitor = Visitor(console.world, "", headers={"Cookie": "idnode_visitor=" + "c" * 32})
    token = make_token("c" * 32)
    asked = await visitor.post("/sign-in", {"user_name": "olga", "password": PASSWORD}, token=token)
    assert asked.status == 401
    assert PASSWORD not in asked.text
    kept = {"user_name": "olga", "kept": read_hidden(asked, "kept")}
    used = await visitor.post("/sign-in", kept | {"code": right["code"]}, token=token)
    assert used.status == 401, "the code that switched it on opens nothing more"
    other = Visitor(console.world, "", headers={"Cookie": "idnode_visitor=" + "d" * 32})
    stolen = await other.post("/sign-in", kept | {"code": make_code(secret, 1)}, token=make_token("d" * 32))
    assert stolen.status == 401, "what the form carries is worth nothing to another visitor"
    entered = await visitor.post("/sign-in", kept | {"code": make_code(secret, 1)}, token=token)
    assert entered.status == 303, entered.shown

    assert (await olga.post(f"{path}/off", {"password": PASSWORD})).status == 400, "a password is not enough"
    off = {"password": PASSWORD, "code": "123"}
    assert (await olga.post(f"{path}/off", off)).status == 400
    assert "Switch the second factor off" in (await olga.get("/account")).shown
    assert (await console["pump"].get(path)).status == 403, "access keys have none"


async def test_a_wrong_present_password_is_called_so(console: Console) -> None:
    visitor = await add_visitor(console, NewAccount("otto", ["operator"], PASSWORD))
    new = {"new_password": "another-" + PASSWORD, "repeated": "another-" + PASSWORD}
    for path in ("/account/password", "/account/second-factor"):
        fields = {"password": "wrong"} | (new if path.endswith("password") else {"secret": "A" * 32, "code": "1"})
        refused = await visitor.post(path, fields)
        assert (refused.status, "The present password is wrong." in refused.shown) == (400, True), refused.shown
        assert "user name" not in refused.shown.partition("Present password")[2]


async def test_a_key_does_what_was_ticked_from_where_and_until_when_was_said(console: Console) -> None:
    firm = console["tofu"]
    fields = {"note": "printer", "scope": "read", "networks": "192.0.2.0/24\n127.0.0.1", "expires": "2099-12-31"}
    for change, field in (({"scope": "everything"}, "scope"), ({"networks": "the plant"}, "networks"),
                          ({"expires": "2001-01-01"}, "expires"), ({"expires": "soon"}, "expires"),
                          ({"note": "n" * 201}, "note")):  # fmt: skip
        refused = await firm.post("/keys", fields | change)
        assert refused.status == 400
        assert f'id="f-{field}-problem"' in refused.text, refused.shown
    assert (await firm.post("/keys", {"note": "printer"})).status == 400, "nothing was ticked"
    made = await firm.post("/keys", fields | {"note": ""})  # as by the API, a note is for those who want one
    assert "required" not in (await firm.get("/keys/new")).text.partition('name="note"')[2].partition(">")[0]
    header = re.search(r"Authorization: (Bearer [^<]+)<", made.text)
    assert header
    assert (await ask(console, header[1], "GET", "/api/v1/me"))["scopes"] == ["read"]
    listed = (await firm.get("/keys")).shown
    assert "192.0.2.0/24, 127.0.0.1/32" in listed
    assert "until 2099-12-31" in listed


async def ask(console: Console, header: str, method: str, path: str) -> Any:
    reply = await console.world.ask(method, path, who="", headers={"Authorization": header})
    return reply.json


async def test_the_operator_makes_keys_for_partners_and_firms_and_firms_for_themselves(console: Console) -> None:
    operator, code = console["operator"], make_uscc(501)
    assert (await operator.post("/keys", {"note": "p", "scope": "read", "organisation": code})).status == 200
    assert code in (await operator.get("/keys")).text
    both = {"note": "b", "scope": "read", "organisation": code, "enterprise_id": "1"}
    assert "Name one alone: an enterprise, the operator or a partner" in (await operator.post("/keys", both)).shown
    assert (await operator.post("/keys", {"note": "n", "scope": "read", "enterprise_id": "999999"})).status == 400
    assert (await console["pump"].post("/keys", {"note": "own", "scope": "read", "organisation": code})).status == 200
    assert code not in (await console["pump"].get("/keys")).text


async def test_who_decides_on_a_changed_dossier_sees_old_and_new_and_no_personal_data(console: Console) -> None:
    tofu, firm = console["tofu"], console.world.firms["tofu"].enterprise_id
    form = await tofu.get("/enterprise/edit")
    sent = dict(re.findall(r'name="([\w.]+)" type="\w+" value="([^"]*)"', form.text))
    change = {"main_products": "臭豆腐", "nature": "2", "contact.name": "王小明", "contact.phone": "13912345678"}
    assert (await tofu.post("/enterprise/edit", sent | change)).status == 303
    for who, path in (("reviewer", f"/enterprises/{firm}"), ("operator", f"/enterprises/{firm}/act?action=approve"),
                      ("tofu", "/enterprise")):  # fmt: skip
        page = (await console[who].get(path)).shown
        changes = page.partition("What changes")[2]
        assert "臭豆腐" in changes.partition("Of persons")[0], (who, page)
        assert "1***8" in changes
        assert "Resident ID card" in changes
        assert "13912345678" not in page
        assert "王小明" not in page
        assert "Address" not in changes.partition("Of persons")[0], "what stays is not repeated"
    for path in ("/", "/enterprise"):
        todo = (await tofu.get(path)).shown
        assert "The address is missing. Fill it in." in todo
        assert "The kind of organisation is missing. Filled in; it waits for approval." in todo
    again = await tofu.get("/enterprise/edit")
    assert 'value="臭豆腐"' in again.text and 'value="王小明"' in again.text, "the next form begins with what waits"
    sent = dict(re.findall(r'name="([\w.]+)" type="\w+" value="([^"]*)"', again.text))
    assert (await tofu.post("/enterprise/edit", sent | {"website": "w.example"})).status == 303
    changes = (await console["reviewer"].get(f"/enterprises/{firm}")).shown.partition("What changes")[2]
    assert "臭豆腐" in changes and "w.example" in changes
    assert "Area" not in changes.partition("Of persons")[0]
    filed = "UPDATE decisions SET actor = $1 WHERE enterprise_id = $2 AND decision = 'change_proposed'"
    own = f"key:{console.world.keys['reviewer'].partition('.')[0]}"
    for actor, is_offered in ((own, False), ("account:chen", True)):
        async with console.world.state.connect() as conn:
            await conn.execute(filed, actor, firm)
        offer = await console["reviewer"].get(f"/enterprises/{firm}")
        assert ("action=approve" in offer.text) == is_offered, "nobody decides on what he filed himself"
        assert ("You filed this application" in offer.shown) != is_offered
    assert (await console["reviewer"].post(f"/enterprises/{firm}/act", {"action": "approve"})).status == 303
    assert "What changes" not in (await console["reviewer"].get(f"/enterprises/{firm}")).shown


ROOT = Path(__file__).parents[2]
PLACES = {"note": 2, "note_account": 2, "AuditEntry": 3, "note_refused": 0}  # of the action among what is given


def list_actions() -> set[str]:
    """What the code calls the actions it notes; what is made of more than a text has `*` for the rest."""
    found = set()
    for path in (path for package in ("registry", "node") for path in ROOT.joinpath(package).rglob("*.py")):
        text = path.read_text("utf-8")
        nodes = ast.walk(ast.parse(text)) if re.search(r"\b(note\w*|AuditEntry)\(", text) else ()
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            given = call.args[PLACES[name]] if len(call.args) > PLACES.get(name, 99) else None
            if isinstance(given, ast.Constant | ast.JoinedStr):
                parts = given.values if isinstance(given, ast.JoinedStr) else [given]
                action = "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in parts)
                found.add(f"refused {action}" if name == "note_refused" else action)
    return found


def test_every_action_of_the_audit_trail_has_words(console: Console) -> None:
    more = {"problem_*": [f"problem_{state}" for state in STATES], "* SNMS": ["GET SNMS", "POST SNMS"]}
    more |= {"* *": ["GET /console", "POST /console"], "refused *": ["refused others"]}
    wanted = [action for name in list_actions() for action in more.get(name, [name])]
    assert len(wanted) > 25
    assert {action for action in wanted if action not in ACTIONS} == set()
    summaries = find_summaries(make_app(console.world.state))
    assert len(summaries) > 100
    assert {name for name, summary in summaries.items() if translate(summary) == summary} == set()


async def test_what_a_visitor_chose_stands_in_the_audit_trail_without_its_control_characters(console: Console) -> None:
    engineer = await add_visitor(console, NewAccount("ed", ["engineer"], PASSWORD))
    for path in ("/certificates/revoke/%00", "/certificates/revoke/%1b%5B31m%E2%80%AE"):
        assert (await engineer.post(path, {"reason": "x"})).status == 403, path
    async with console.world.state.connect() as conn:
        why = Order(CLERK, datetime.now(UTC), "one\r\ntwo\x1b[31m")
        await note(conn, why, "idnode", "x\x00\x1b[31m\u202ey")
        await number_all(conn)
        found = await fetch_audit(conn, None, 10)
    assert (found[0][1].subject, found[0][1].reason) == ("x\\u0000\\u001b[31m\\u202ey", "one two\\u001b[31m")
    assert all(entry.subject.isprintable() for _, entry in found)


async def test_the_audit_trail_says_in_words_what_was_done_and_what_came_of_it(console: Console) -> None:
    operator, at = console["operator"], datetime.now(UTC)
    noted = [
        ("POST /console", "/console/problems/7", "ok", "Problem reports: sent", "问题反馈：提交"),
        ("POST /console", "/console/sign-out", "ok", "Console: sent", "控制台：提交"),
        ("POST /keys", "/api/v1/keys", "ok", "Make an access key", "新建访问密钥"),
        ("sign_in", "account:x", "sign_in_wrong", "The user name or the password is wrong", "用户名/密码错误"),
        ("sign_in", "password", "ok", "With a password", "用密码"),
        ("POST /console", "/console/keys", "403", "Forbidden", "没有权限"),
        ("GET /console", "/console/audit", "operator_only", "Only the operator of the node", "只有节点运营方"),
        ("<b>newer", "x", "<b>odd", "<b>newer", "<b>newer"),
    ]
    async with console.world.state.connect() as conn:
        for action, subject, outcome, _, _ in noted:
            await append_audit(conn, AuditEntry(at, "account:said", "192.0.2.9", action, subject, outcome))
        await number_all(conn)
    english = (await operator.get("/audit?text=account:said")).shown
    chinese = (await operator.get("/audit?text=account:said", **{"Accept-Language": "zh"})).shown
    for action, _, _, en, zh in noted:
        assert (en in english, zh in chinese) == (True, True), action


async def test_the_operator_reads_the_audit_trail_page_by_page_and_sees_whether_its_end_fits(console: Console) -> None:
    operator, state = console["operator"], console.world.state
    at = datetime.now(UTC)
    async with state.connect() as conn:
        for n in range(250):
            await append_audit(conn, AuditEntry(at, "key:walker", "192.0.2.9", "walked", f"step:{n}"))
        await number_all(conn)
    seen, path = [], "/audit?text=step:"
    while path:
        page = await operator.get(path)
        seen += re.findall(r"step:(\d+)<", page.text)
        found = re.search(r'href="(\?[^"]*before=\d+)"', page.text)
        path = "/audit" + found[1].replace("&amp;", "&") if found else ""
    assert seen == [str(n) for n in reversed(range(250))]
    assert "its end fits" in page.shown
    assert (await operator.get("/audit?text=" + "x" * 101)).status == 400
    for other in (console["pump"], await add_visitor(console, NewAccount("rita", ["reviewer"], PASSWORD))):
        assert (await other.get("/audit")).status == 403
        assert "/console/audit" not in (await other.get("/")).text
    async with state.connect() as conn:
        await number_all(conn)
    assert "Only the operator of the node may do this." in (await operator.get("/audit")).shown, "who was refused why"


async def test_all_that_is_missing_or_wrong_is_called_as_the_form_calls_it(console: Console) -> None:
    visitor = Visitor(console.world, "", language="zh", headers={"Cookie": "idnode_visitor=" + "c" * 32})
    apply_pages._filed.clear()
    empty = await visitor.post("/apply", {"name": "", "website": "w.example"}, token=make_token("c" * 32))
    assert empty.status == 400
    assert list_problems(empty) == {"f-name", "f-certificate_code", "f-user_name", "f-password"}, "all at once"
    assert 'value="w.example"' in empty.text
    assert "缺少“统一社会信用代码”。" in empty.shown
    fields = {"name": "轴承厂", "certificate_code": make_uscc(700)}
    pump = replace(console["pump"], language="zh")
    for change, said in (
        ({"main_products": "长" * 256}, "“主要产品”太长"),
        ({"contact.email": "a b"}, "“电子邮箱”格式不正确"),
    ):
        assert said in (await pump.post("/enterprise/edit", fields | change)).shown
    wrong = {"industry": "C/99", "area": "火星", "registered_capital_yuan": "abc", "contact.phone": "电话",
             "contact.certificate_number": "123", "established_on": "2026-02-30"}  # fmt: skip
    beside = {f"f-{name.replace('.', '-')}" for name in wrong}
    refused = await pump.post("/enterprise/edit", fields | wrong)
    assert list_problems(refused) == beside, "malformed ones, too"
    listed = re.findall('<li><a href="#(f-[^"]+)"', refused.text)
    assert listed == [
        "f-industry", "f-area", "f-registered_capital_yuan", "f-established_on", "f-contact-certificate_number",
        "f-contact-phone",
    ], "in the order of the form"  # fmt: skip
    wrong |= {"certificate_code": "91321302MA0000010X", "prefix": "99.1", "user_name": "a b", "password": "short"}
    refused = await visitor.post("/apply", fields | wrong, token=make_token("c" * 32))
    assert list_problems(refused) == beside | {
        "f-certificate_code", "f-prefix", "f-user_name", "f-password", "f-repeated"
    }  # fmt: skip
    left = await pump.post("/enterprise/edit", {"address": "x"})
    assert list_problems(left) == {"f-name", "f-certificate_code"}
    operator = replace(console["operator"], language="zh")
    assert "“查询”超过 4096 个字符" in (await operator.get(f"/enterprises?text={'q' * 4_097}")).shown
    assert "“地区”含有无法保存的字符" in (await operator.post("/areas", {"division": "a\0b"})).shown


async def test_the_operator_sees_where_a_prefix_is_referred_to_and_which_wait(console: Console) -> None:
    operator = console["operator"]
    own = {"prefix": PUMP, "where": "own", "address": "203.0.113.7", "tcp_port": "2641", "http_port": "8081"}
    missing = await operator.post("/prefixes/hosting", own | {"tcp_port": "", "http_port": ""})
    assert 'id="f-tcp_port-problem"' in missing.text, "beside a field"
    assert (await operator.post("/prefixes/hosting", own)).status == 303
    page = await operator.get(f"/prefixes/one?prefix={PUMP}")
    assert "203.0.113.7 · tcp 2641 · http 8081" in page.shown
    assert 'value="203.0.113.7"' in page.text, "to be changed, not typed again"
    assert (await operator.post("/prefixes/hosting", {"prefix": PUMP, "where": "here"})).status == 303
    assert (await console["pump"].post("/enterprise/prefixes", {"prefix": "88.101.7777"})).status == 303
    first, _, all_of_them = (await console["reviewer"].get("/prefixes")).shown.partition("All prefixes")
    assert "88.101.7777" in first, "who decides need not look for it among all"
    assert PUMP in all_of_them


async def test_an_account_is_found_by_its_name_and_by_whom_it_stands_for(console: Console) -> None:
    operator = console["operator"]
    for text, is_there in (("CLER", True), ("firm 901", True), ("nobody has it", False)):
        listed = await operator.get(f"/accounts?text={quote(text)}")
        assert ("<strong>clerk</strong>" in listed.text) == is_there, text
    assert "No account fits" in listed.shown
