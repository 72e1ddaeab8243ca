"""What people do in the console: every page in both languages, and the forms with what they refuse."""

import html
import re
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import zxingcpp
from PIL import Image

from registry.accounts import NewAccount
from registry.console import apply_pages, search
from registry.console.codes import draw_code, read_photo
from registry.console.frame import Frame, format_program
from registry.console.resolve_pages import parse_scan
from registry.console.security import make_token
from schemas.errors import InvalidInput
from schemas.texts.console import LABELS
from tests.registry.api_world import PUBLIC_URL, PUMP, TOFU
from tests.registry.console_world import PASSWORD, ROOT, Console, Visitor, add_visitor, open_console
from tests.registry.people import make_uscc

CONSOLE = Path(__file__).parents[2] / "registry" / "console"


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


ONE = f"identifier={PUMP}/seen"
FIRM = (
    "/", "/identifiers", "/identifiers/new", "/identifiers/new?many=true", f"/identifiers/one?{ONE}",
    f"/identifiers/one?{ONE}&as=public", f"/identifiers/change?{ONE}", f"/identifiers/act?{ONE}&action=freeze",
    f"/identifiers/act?{ONE}&action=retire", "/templates", "/templates/new",
    f"/templates/one?prefix={PUMP}&version=pump-1",
    f"/templates/edit?prefix={PUMP}&version=pump-1", f"/templates/act?prefix={PUMP}&version=pump-1&action=delete",
    "/imports", "/imports/new", "/labels", f"/labels/sheet?prefix={PUMP}&carrier=both", "/keys", "/keys/new",
    "/partners", "/enterprise",
    "/enterprise/edit", "/account", "/resolve", f"/resolve?text={PUMP}/seen", f"/prefixes/one?prefix={PUMP}",
    "/problems",
)  # fmt: skip
NODE = (
    "/", "/enterprises", "/enterprises/1", "/enterprises/1/act?action=suspend", "/enterprises/1/personal",
    "/enterprises/1/manage", "/prefixes",
    f"/prefixes/one?prefix={PUMP}", f"/prefixes/act?prefix={PUMP}&action=stopped", "/areas", "/health", "/audit",
    "/accounts", "/accounts/invitations",
    "/accounts/act?user_name=clerk&action=disable", "/accounts/act?user_name=clerk&action=password", "/keys",
    "/keys/new",
)  # fmt: skip
PROGRAMS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/120.0.0.0 Safari/537.36 Edg/120.0": "Edge 120 · Windows",
    "Mozilla/5.0 (Linux; Android 14) Chrome/116.0 Mobile MicroMessenger/8.0.42": "WeChat 8 · Android",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) Version/17.1 Mobile Safari/604.1": "Safari 17 · iPhone",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:109.0) Gecko/20100101 Firefox/119.0": "Firefox 119 · macOS",
    "python-requests/2.31": "python-requests/2.31", "Firefox/": "Firefox", "": "",
}  # fmt: skip


def test_a_session_names_its_browser_as_people_do() -> None:
    assert {agent: format_program(agent) for agent in PROGRAMS} == PROGRAMS


EVERYBODY = ("/sign-in", "/apply", "/resolve", f"/report?{ONE}", "/report")


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(("who", "paths"), [("pump", FIRM), ("operator", NODE), ("nobody", EVERYBODY)])
async def test_every_page_is_there_in_both_languages(console: Console, who: str, paths: Any, language: str) -> None:
    await register(console["pump"], "seen")
    for path in paths:
        page = await console[who].get(path, **{"Accept-Language": language})
        assert page.status == 200, (path, page.shown[:300])
        assert f'lang="{"zh-CN" if language == "zh" else "en"}"' in page.text
        if language == "en":
            words = re.sub(
                r"中文|江苏省\S*|制造业\S*|泵及真空设备制造|[^\s]*示例\S*|陈集镇|型号|泵|流量|产线|[{][^}]*[}]",
                "",
                page.shown,
            )
            assert "templates" in path or path.startswith("/identifiers") or not re.search(r"[\u4e00-\u9fff]{4}", words)


async def register(visitor: Visitor, suffix: str, model: str = "WQ15") -> str:
    fields = {"prefix": PUMP, "template": "pump-1", "suffix": suffix, "v.model": model}
    await visitor.post("/identifiers/new", fields)
    return f"{PUMP}/{suffix}"


async def test_a_whole_identifier_that_is_pasted_keeps_its_prefix_once(console: Console) -> None:
    fields = {"prefix": PUMP, "template": "pump-1", "suffix": f"{PUMP}/PASTED-1", "v.model": "WQ15"}
    added = await console["pump"].post("/identifiers/new", fields)
    assert f"identifier={PUMP}%2FPASTED-1&" in added.headers["location"]


async def test_who_may_only_read_is_offered_no_form_that_would_be_refused(console: Console) -> None:
    identifier = await register(console["pump"], "READ-ONLY")
    for path in (f"/identifiers?prefix={PUMP}", f"/identifiers/one?identifier={identifier}",
                 f"/templates/one?prefix={PUMP}&version=pump-1"):  # fmt: skip
        page = await console["reviewer"].get(path)
        assert page.status == 200, path
        for link in re.findall(r'<a class="button[^"]*" href="/console([^"]+)"', page.text):
            assert (await console["reviewer"].get(html.unescape(link))).status == 200, link


def test_every_word_is_there_and_every_word_is_used() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for kind in ("*.html", "*.py") for path in CONSOLE.rglob(kind))
    said = set(re.findall(r"say\(\s*['\"]([a-z0-9_]+)['\"]\s*[,)]", source)) - {"key"}
    assert {key for key in said if key not in LABELS} == set()
    heads = (
        "done_", "ended_", "hint_", "record_", "visibility_", "outcome_", "job_", "state_", "verification_", "prefix_",
        "decision_", "hosting_", "role_", "account_", "data_", "stage_", "viewer_", "carrier_", "sheet_", "key_",
        "template_", "health_", "check_", "nature_", "p_", "d_", "partner_", "chain_",
        "report_kind_", "problem_state_", "problem_kind_", "tag_", "actor_",
    )  # fmt: skip
    built = re.compile(r".*_(title|button|consequence)")
    unused = {key for key in LABELS if not key.startswith(heads) and not built.fullmatch(key)}
    assert {key for key in unused if not re.search(rf"\b{re.escape(key)}\b", source)} == set()
    for zh, en in LABELS.values():
        assert zh.strip() == zh != ""
        assert en.strip() == en != ""
        assert set(re.findall(r"\{[a-z]+\}", zh)) == set(re.findall(r"\{[a-z]+\}", en))


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"suffix": "x"}, "Model"),  # a value that is missing
        ({"suffix": "", "v.model": "A"}, "suffix"),
        ({"suffix": "a" * 256, "v.model": "A"}, "255"),
        ({"suffix": "a\u202eb", "v.model": "A"}, "U+202E"),
        ({"suffix": "y", "v.model": "A", "v.flow": "ten"}, "ten"),
        ({"suffix": "z", "v.model": "A" * 5_000}, "255"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(console: Console, fields: dict[str, str], seen: str) -> None:
    page = await console["pump"].post("/identifiers/new", {"prefix": PUMP, "template": "pump-1", **fields})
    assert page.status == 400
    assert 'aria-invalid="true"' in page.text
    assert seen.lower() in page.shown.lower()
    if fields["suffix"]:
        assert f'value="{fields["suffix"]}"' in page.text, "what was typed is still there"


async def test_all_values_that_are_wrong_are_named_at_once(console: Console) -> None:
    fields = {"prefix": PUMP, "template": "pump-1", "suffix": "many-wrong", "v.flow": "ten"}
    page = await console["pump"].post("/identifiers/new", fields)
    assert page.status == 400
    assert 'id="f-v-model-problem"' in page.text and 'id="f-v-flow-problem"' in page.text
    ways = ({"suffix": ""}, "suffix"), ({"many": "yes", "first": "SN9", "last": "SN1"}, "last")
    for change, field in ways:
        page = await console["pump"].post("/identifiers/new", fields | change)
        found = re.findall('<li><a href="#f-([^"]+)"', page.text)
        assert found == [field, "v-model", "v-flow"], "and what they are to be called"


async def test_an_identifier_is_registered_changed_frozen_and_retired(console: Console) -> None:
    pump = console["pump"]
    name = await register(pump, "life")
    one = f"/identifiers/one?identifier={name}"
    changed = await pump.post("/identifiers/change", {"identifier": name, "revision": "1", "v.model": "B2"})
    assert changed.location.endswith("done=changed")
    stale = await pump.post("/identifiers/change", {"identifier": name, "revision": "1", "v.model": "B3"})
    assert stale.status == 400
    assert "B2" in (await pump.get(one)).shown
    assert (await pump.post("/identifiers/act", {"identifier": name, "action": "freeze"})).status == 400, "no notice"
    notice = {"identifier": name, "action": "freeze", "notice": "Recall: stop using it", "reason": "batch 7"}
    assert (await pump.post("/identifiers/act", notice)).status == 303
    page = await pump.get(one)
    assert "Recall: stop using it" in page.shown
    assert (await console["nobody"].get(f"/resolve?text={name}")).shown.count("Recall: stop using it") == 1
    assert (await console["nobody"].get(f"/resolve?text={PUMP}/lost")).shown.count("There is no identifier") == 1
    elsewhere = await console["nobody"].get("/resolve?text=88.500.1/lost")
    assert (elsewhere.status, "does not answer for that prefix" in elsewhere.shown) == (404, True), "nobody here to ask"
    successor = await register(pump, "next")
    retired = {"identifier": name, "action": "retire", "successor": successor}
    lost = await pump.post("/identifiers/act", retired | {"successor": f"{PUMP}/nobody"})
    assert '<a href="#f-successor">' in lost.text, "the summary leads to the field, and the keyboard is in it"
    assert re.findall(r'<[^>]* id="([^"]*)"[^>]* autofocus', lost.text) == ["f-successor"]
    assert (await pump.post("/identifiers/act", retired)).status == 303
    gone = await console["nobody"].get(f"/resolve?text={name}")
    assert gone.status == 410
    assert successor in gone.shown
    assert "batch 7" in (await pump.get(one)).shown


async def test_the_page_shows_what_others_see(console: Console) -> None:
    pump = console["pump"]
    fields = {"prefix": PUMP, "template": "pump-1", "suffix": "secret", "v.model": "M9", "v.line": "L-secret"}
    await pump.post("/identifiers/new", fields)
    one = f"/identifiers/one?identifier={PUMP}/secret"
    shown = {who: (await pump.get(f"{one}&as={who}")).text.partition("<h2>History")[0] for who in ("owner", "public")}
    assert "L-secret" in shown["owner"]
    assert "L-secret" not in shown["public"]
    assert "L-secret" not in (await console["tofu"].get(f"/resolve?text={PUMP}/secret")).text


async def test_search_narrows_by_beginning_text_and_state(console: Console) -> None:
    pump = console["pump"]
    for suffix, model in (("find-1", "apple"), ("find-2", "pear")):
        await register(pump, suffix, model)
    for query, found in (
        ("starts_with=find-", {"find-1", "find-2"}),
        ("starts_with=FIND-1", {"find-1"}),
        ("text=pear&starts_with=find", {"find-2"}),
        ("state=retired&starts_with=find", set()),
        ("since=2099-01-01&starts_with=find", set()),
    ):
        page = await pump.get(f"/identifiers?prefix={PUMP}&{query}")
        assert set(re.findall(r"find-\d(?=</a>)", page.text)) == found, query
    assert (await pump.get(f"/identifiers?prefix={PUMP}&since=yesterday")).status == 400
    assert (await pump.get(f"/identifiers?prefix={PUMP}&until=9999-12-31")).status == 400  # no day comes after it


async def test_a_column_chosen_beside_one_called_alike_is_not_left_out_silently(console: Console) -> None:
    pump = console["pump"]
    files = {"file": ("t.csv", b"code,model,Model\nT1,A,B\n")}
    draft = (await pump.post("/imports/new", {"prefix": PUMP}, files=files)).location.removeprefix("/console")
    shown = (await pump.get(f"{draft}?template=pump-1")).text
    assert all(f'name="m.{n}"' in shown for n in range(3))
    fields = {"template": "pump-1", "by": "column", "identifier_column": "code", "m.0": "", "m.1": "model", "m.2": ""}
    tried = await pump.post(draft, fields)
    assert (tried.status, "model、Model" in tried.text) == (400, True)


async def test_a_rare_text_is_looked_for_page_after_page_until_it_is_found(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    pump = console["pump"]
    for suffix, model in (("rare-1", "a"), ("rare-2", "b"), ("rare-3", "unicorn")):
        await register(pump, suffix, model)
    monkeypatch.setattr(search, "SCANNED_ROWS", 1)
    for name in ("LOOKING_SECONDS", "GOING_ON_SECONDS"):
        monkeypatch.setattr(search, name, 0.0)
    page = await pump.get(f"/identifiers?prefix={PUMP}&text=unicorn&starts_with=rare")
    assert 'http-equiv="refresh"' not in page.text, "only who asks for it is sent on"
    (address,) = re.findall(r'href="([^"]*through=yes)"', page.text)
    page = await pump.get(f"/identifiers{html.unescape(address)}")
    (address,) = re.findall(r'http-equiv="refresh" content="1; url=([^"]+)"', page.text)
    assert "RARE-2" in page.shown, "how far it has looked"
    page = await pump.get(f"/identifiers{html.unescape(address)}")
    assert "rare-3</a>" in page.text and 'http-equiv="refresh"' not in page.text
    whole = await pump.get(f"/identifiers?prefix={PUMP}&text={PUMP}/rare-3")
    assert "rare-3</a>" in whole.text, "a whole identifier is found at once"


async def test_retired_identifiers_get_no_labels_and_are_counted(console: Console) -> None:
    pump = console["pump"]
    for suffix in ("gone-1", "gone-2"):
        await register(pump, suffix, "a")
    sheet, alone = (
        f"/labels/sheet?prefix={PUMP}&{which}" for which in ("starts_with=gone", f"identifier={PUMP}/gone-1")
    )
    assert "left out" not in (await pump.get(sheet)).shown
    assert (await pump.post("/identifiers/act", {"identifier": f"{PUMP}/gone-1", "action": "retire"})).status == 303
    page = await pump.get(sheet)
    assert f"{PUMP}/gone-2" in page.shown and f"{PUMP}/gone-1" not in page.shown
    assert "1 label on 1 sheet · 1 retired left out" in page.shown
    assert "另有 1 枚标识已停用" in (await pump.get(f"{sheet}&lang=zh")).shown
    nothing = await pump.get(f"{alone}&lang=en")
    assert (nothing.status, "no identifier to print. Retired ones are not printed" in nothing.shown) == (400, True)


async def test_who_ends_a_partnership_is_told_with_whom(console: Console) -> None:
    pump, code = console["pump"], make_uscc(1)
    assert (await pump.post("/partners", {"prefix": PUMP, "organisation": code})).status == 303
    page = await pump.get(f"/partners/revoke?prefix={PUMP}&organisation={code}")
    assert page.status == 200 and code in page.shown and PUMP in page.shown
    assert (await pump.post("/partners/revoke", {"prefix": PUMP, "organisation": code})).status == 303


@pytest.mark.parametrize("wrong", ["copies=", "copies=0", "copies=241", "lines=five", "carrier=none", "sheet=a3"])
async def test_labels_that_cannot_be_made_are_said_in_their_form(console: Console, wrong: str) -> None:
    name = await register(console["pump"], "label-1")
    page = await console["pump"].get(f"/labels/sheet?prefix={PUMP}&identifier={name}&{wrong}")
    assert (page.status, 'aria-invalid="true"' in page.text) == (400, True), page.shown[:300]
    assert f'value="{name}"' in page.text


async def test_a_template_without_items_says_where_the_first_goes(console: Console) -> None:
    fields = {"prefix": PUMP, "version": "empty-1", "name_zh": "空", "rows": "3", "action": "save"}
    page = await console["pump"].post("/templates/save", fields)
    assert page.status == 400
    assert 'id="f-i-0-name_zh-problem"' in page.text


async def test_a_range_is_registered_and_its_labels_are_made(console: Console) -> None:
    pump = console["pump"]
    fields = {"prefix": PUMP, "template": "pump-1", "many": "yes", "first": "SN0001", "last": "SN0500", "v.model": "R"}
    assert (await pump.post("/identifiers/new", fields)).status == 303
    assert "SN0500" in (await pump.get("/identifiers")).shown
    sheet = await pump.get(f"/labels/sheet?prefix={PUMP}&range_first=SN0001&sheet=a4-24")
    assert sheet.shown.count(f"{PUMP}/SN0") == 240
    rest = await pump.get(f"/labels/sheet?prefix={PUMP}&range_first=SN0001&skip=480")
    assert rest.shown.count(f"{PUMP}/SN0") == 20


async def test_the_template_editor_keeps_rows_and_says_what_is_wrong(console: Console) -> None:
    pump = console["pump"]
    base = {"prefix": PUMP, "version": "edited-1", "name_zh": "编辑", "stage": "production", "rows": "2",
            "i.0.name_zh": "甲", "i.0.type": "a", "i.1.name_zh": "乙", "i.1.type": "b"}  # fmt: skip
    more = await pump.post("/templates/save", base | {"action": "add"})
    assert 'name="rows" value="3"' in more.text
    less = await pump.post("/templates/save", base | {"action": "remove.0"})
    assert 'value="乙"' in less.text
    assert 'value="甲"' not in less.text
    wrong = await pump.post("/templates/save", base | {"action": "save", "i.1.type": "not a type!"})
    assert "“Type 2” needs 1 to 128 letters" in wrong.shown, "as the form calls it, and what to do"
    assert wrong.status == 400
    assert 'name="i.1.type" value="not a type!"' in wrong.text
    assert wrong.text.count('aria-invalid="true" autofocus') == 1, "where the keyboard goes on"
    assert 'href="#f-i-1-type"' in wrong.text
    assert 'id="f-i-1-type"' in wrong.text
    nameless = await pump.post("/templates/save", base | {"action": "save", "name_en": "n" * 256})
    assert "“English name” is longer than" in nameless.shown, "not name.en"
    twice = await pump.post("/templates/save", base | {"action": "save", "i.1.type": "a"})
    assert 'href="#f-i-1-type"' in twice.text, "the second of the two"
    mistakes = {"version": "", "industry": "C/34", "i.0.type": "HS_SITE", "i.0.max_length": "4001", "i.1.type": "é"}
    several = await pump.post("/templates/save", base | {"action": "save"} | mistakes)
    assert re.findall('<li><a href="#f-([^"]+)"', several.text) == [
        "version", "industry", "i-0-type", "i-0-max_length", "i-1-type",
    ], "all of them at once, in the order of the form"  # fmt: skip
    empty = await pump.post("/templates/save", base | {"action": "save", "version": "", "rows": "0"})
    assert re.findall('<li><a href="#f-([^"]+)"', empty.text) == ["version", "i-0-name_zh"]
    saved = await pump.post("/templates/save", base | {"action": "save"})
    assert saved.status == 303
    again = await pump.post("/templates/starter", {"prefix": PUMP, "starter": "quality-1"})
    assert again.status == 303
    assert "质量追溯" in (await pump.get("/templates", **{"Accept-Language": "zh"})).shown


async def test_a_key_is_shown_once_and_ends_when_it_is_revoked(console: Console) -> None:
    tofu = console["tofu"]
    page = await tofu.post("/keys", {"note": "MES of line 1", "scope": "write"})
    access_key, secret = re.findall(r'<code class="secret">([^<]+)</code>', page.text)[:2]
    assert secret not in (await tofu.get("/keys")).text
    assert f"{access_key} MES of line 1" in (await tofu.get(f"/keys/revoke?access_key={access_key}")).shown
    assert (await tofu.post("/keys/revoke", {"access_key": access_key})).location.endswith("done=key_revoked")
    wrong = {"note": "x" * 201, "networks": "300.1.1.1", "expires": "2020-01-01"}
    refused = await tofu.post("/keys", wrong)
    assert refused.status == 400
    found = re.findall(r'id="f-(\w+)-problem"', refused.text)
    assert found == ["note", "scope", "networks", "expires"], "all of them at once"


async def test_signing_in_is_slowed_down_and_a_new_session_can_be_ended(console: Console) -> None:
    nobody = console["nobody"]
    visitor = Visitor(console.world, "", headers={"Cookie": "idnode_visitor=" + "a" * 32})
    token = make_token("a" * 32)
    guesses = [{"user_name": "clerk", "password": f"guess-{n}"} for n in range(5)]
    wrong = [await visitor.post("/sign-in", guess, token=token) for guess in guesses]
    assert [page.status for page in wrong[:3]] == [401, 401, 401]
    assert wrong[-1].status == 429
    assert (await nobody.get("/account")).status == 303
    access_key, _, secret = console.world.keys["pump"].partition(".")
    firm = console.world.firms["pump"].enterprise_id
    application = NewAccount(f"{PUMP}/mes-1", ["enterprise_admin"], PASSWORD, enterprise_id=firm)
    await add_visitor(console, application)
    for name, password in ((application.user_name, PASSWORD), (access_key, secret)):
        right = {"user_name": name, "password": password, "next": "/console/keys"}
        entered = await visitor.post("/sign-in", right, token=token)
        assert (entered.status, entered.location) == (303, f"{ROOT}/keys")
    cookie = re.search(r"idnode_session=([^;]+)", str(entered.headers.getall("Set-Cookie")))
    assert cookie
    signed_in = Visitor(console.world, cookie[1])
    page = await signed_in.get("/account")
    assert page.status == 200
    assert (await signed_in.post("/sign-out")).status == 303
    assert (await signed_in.get("/account")).status == 303


async def test_a_firm_applies_and_is_approved_by_somebody_else(console: Console) -> None:
    apply_pages._filed.clear()
    visitor = Visitor(console.world, "", headers={"Cookie": "idnode_visitor=" + "b" * 32})
    token = make_token("b" * 32)
    fields = {"name": "新的轴承厂", "certificate_code": make_uscc(700), "area": "321302", "industry": "C/34/344/3441",
              "user_name": "bearing", "password": PASSWORD, "repeated": PASSWORD}  # fmt: skip
    for change, field in (({"certificate_code": "91321302MA0000000X"}, "certificate_code"), ({"name": ""}, "name"),
                          ({"industry": "C/99"}, "industry"), ({"password": "short"}, "repeated"),
                          ({"area": "nowhere"}, "area"), ({"contact.email": "a b"}, "contact.email"),
                          ({"prefix": " 88.101"}, "prefix")):  # fmt: skip
        page = await visitor.post("/apply", fields | change, token=token)
        assert page.status == 400
        assert re.search(rf'name="{re.escape(field)}"[^>]*aria-invalid="true"', page.text), field
        assert PASSWORD not in page.text
    licence = {"certificate_image_id": ("licence.png", make_png())}
    page = await visitor.post("/apply", fields, token=token, files=licence)
    assert page.status == 200, page.shown
    listed = await console["reviewer"].get("/enterprises?state=pending")
    number = re.findall(r"/enterprises/(\d+)", listed.text)[-1]
    assert (await console["reviewer"].post(f"/enterprises/{number}/act", {"action": "refuse"})).status == 400, (
        "no reason"
    )
    approved = await console["reviewer"].post(f"/enterprises/{number}/act", {"action": "approve"})
    assert approved.status == 303, approved.shown
    shown = await console["operator"].get(f"/enterprises/{number}")
    assert "approved" in shown.shown
    licence_path = re.search(r"/files/\d+", shown.text)
    assert licence_path
    got = await console["reviewer"].get(licence_path[0])
    assert (got.status, got.headers["Content-Type"]) == (200, "image/png")
    assert got.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in got.headers["Content-Security-Policy"]
    assert (await console["tofu"].get(licence_path[0])).status == 404


async def test_the_node_verifies_moves_and_tags_a_firm(console: Console) -> None:
    operator, firm = console["operator"], console.world.firms["pump"].enterprise_id
    page = f"/enterprises/{firm}/manage"
    for fields, field in (
        ({"what": "verification", "result": "maybe"}, "result"),
        ({"what": "move", "area": "nowhere"}, "area"),
        ({"what": "tags", "tags": "no equals sign"}, "tags"),
        ({"what": "transfer", "prefix": PUMP, "enterprise_id": "x"}, "enterprise_id"),
        ({"what": "transfer", "confirmed": "yes", "prefix": PUMP, "enterprise_id": "x"}, "enterprise_id"),
    ):
        refused = await operator.post(page, fields)
        assert refused.status == 400
        assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', refused.text), field
    asked = await operator.post(page, {"what": "transfer", "prefix": PUMP, "enterprise_id": TOFU})
    assert "Firm 901" in asked.shown and "Firm 902" in asked.shown and 'name="confirmed" value="yes"' in asked.text
    assert (await console["pump"].get(f"/prefixes/one?prefix={PUMP}")).status == 200, "it is still theirs"
    assert (await operator.post(page, {"what": "verification", "result": "pass"})).status == 303
    assert (await operator.post(page, {"what": "tags", "tags": "industrial_chain=高端装备"})).status == 303
    assert (await operator.post(page, {"what": "move", "area": "321302", "industry": "C/34/344/3442"})).status == 303
    shown = (await operator.get(f"/enterprises/{firm}")).shown
    assert "verified" in shown
    assert "高端装备" in shown
    assert "C/34/344/3442" in shown
    assert (await console["tofu"].post(page, {"what": "verification", "result": "fail"})).status == 404


async def test_a_regulator_sees_the_firms_of_his_area_and_changes_nothing(console: Console) -> None:
    here = await add_visitor(console, NewAccount("sucheng", ["regulator"], PASSWORD, area="321302"))
    elsewhere = await add_visitor(console, NewAccount("beijing", ["regulator"], PASSWORD, area="110105"))
    firm = console.world.firms["pump"].enterprise_id
    assert "Firm 901" in (await here.get("/enterprises")).shown
    assert (await here.get(f"/enterprises/{firm}")).status == 200
    assert "Firm 901" not in (await elsewhere.get("/enterprises")).shown
    assert (await elsewhere.get(f"/enterprises/{firm}")).status == 404
    for action in ("approve", "suspend", "close"):
        refused = await here.post(f"/enterprises/{firm}/act", {"action": action, "reason": "because"})
        assert refused.status == 403, "which stands in the audit trail"
        assert (await here.get(f"/enterprises/{firm}/act?action={action}")).status == 403
    assert (await here.post(f"/enterprises/{firm}/manage", {"what": "tags", "tags": ""})).status in (403, 404)
    assert (await here.get(f"/enterprises/{firm}/personal")).status == 404
    assert (await here.post(f"/enterprises/{firm}/personal", {"reason": "curious"})).status == 404
    assert "approved" in (await here.get(f"/enterprises/{firm}")).shown


async def test_a_user_of_a_firm_registers_and_manages_nothing(console: Console) -> None:
    firm = console.world.firms["pump"].enterprise_id
    user = await add_visitor(console, NewAccount("user", ["enterprise_user"], PASSWORD, enterprise_id=firm))
    assert (await register(user, "by-user")) == f"{PUMP}/by-user"
    assert "by-user" in (await user.get(f"/identifiers?prefix={PUMP}&starts_with=by-user")).shown
    for path in ("/keys", "/partners", "/enterprise/edit", "/accounts"):
        assert (await user.get(path)).status == 403, path
    assert (await user.post("/templates/starter", {"prefix": PUMP, "starter": "carbon-1"})).status == 403


def make_png() -> bytes:
    out = BytesIO()
    Image.new("RGB", (20, 20), "white").save(out, "PNG")
    return out.getvalue()


async def test_a_changed_dossier_waits_for_review(console: Console) -> None:
    tofu = console["tofu"]
    form = await tofu.get("/enterprise/edit")
    sent = dict(re.findall(r'name="([\w.]+)" type="\w+" value="([^"]*)"', form.text))
    refused = await tofu.post("/enterprise/edit", sent | {"contact.phone": "call me"})
    assert refused.status == 400
    assert re.search(r'name="contact.phone"[^>]*aria-invalid="true"', refused.text)
    filed = await tofu.post("/enterprise/edit", sent | {"main_products": "老豆腐"})
    assert filed.status == 303, filed.shown
    assert "under review" in (await tofu.get("/enterprise")).shown


@pytest.mark.parametrize("kind", ["qr", "matrix"])
def test_a_code_says_the_address_it_was_made_from(kind: str) -> None:
    address = f"{PUBLIC_URL}/{PUMP}/%E6%B3%B5-1"
    svg = draw_code(address, kind)
    assert read_svg(svg) == address
    assert "#c00000" in draw_code(address, kind, is_final=False)


def read_svg(svg: str) -> str:
    """What a scanner reads from the picture, drawn here module by module."""
    box = re.search(r'viewBox="(-?\d+) -?\d+ (\d+) \d+"', svg)
    assert box
    start, size, scale = int(box[1]), int(box[2]), 4
    image = Image.new("L", (size * scale, size * scale), 255)
    for x, y, w, h in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)", svg):
        left, top = int(x) - start, int(y) - start
        image.paste(0, (left * scale, top * scale, (left + int(w)) * scale, (top + int(h)) * scale))
    return str(zxingcpp.read_barcodes(image)[0].text)


def test_a_photograph_is_read_and_what_is_none_is_refused() -> None:
    out = BytesIO()
    drawn = zxingcpp.create_barcode(f"{PUBLIC_URL}/{PUMP}/P1", zxingcpp.BarcodeFormat.QRCode).to_image(scale=6)
    Image.fromarray(drawn).convert("RGB").save(out, "JPEG")
    assert read_photo(out.getvalue()) == f"{PUBLIC_URL}/{PUMP}/P1"
    for data in (b"", b"GIF89a", make_png()):
        with pytest.raises(InvalidInput):
            read_photo(data)


@pytest.mark.parametrize(
    ("scanned", "identifier"),
    [
        ("88.118.8/JXDY2106023", "88.118.8/JXDY2106023"),
        ("https://dms.idfactory.cn/whois/ui/searchResult?identity=88.389.00054%2FABC", "88.389.00054/ABC"),
        ("http://host/sign?handle=86.122.2/A%20B", "86.122.2/A B"),
        ("hdl:88.101.5/x", "88.101.5/x"),
        ("https://hdl.handle.net/88.101.5/x", "88.101.5/x"),
        ("\ufeff 88.101.5/x\r\n", "88.101.5/x"),
        ("８８.101.5／x", "88.101.5/x"),
        (f"{PUBLIC_URL}/88.101.5/a%2Fb", "88.101.5/a/b"),
    ],
)
def test_what_scanners_give_holds_an_identifier(scanned: str, identifier: str) -> None:
    assert parse_scan(scanned) == identifier


@pytest.mark.parametrize("scanned", ["", "  ", "hello", "JXDY2106023", "https://example.com/", "javascript:alert(1)"])
def test_what_holds_none_is_not_guessed(scanned: str) -> None:
    with pytest.raises(InvalidInput):
        parse_scan(scanned)


def test_templates_of_other_packages_find_their_words() -> None:
    assert Frame([]).say("resolve", "en") == "Resolve"
