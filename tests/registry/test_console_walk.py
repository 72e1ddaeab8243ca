"""Every page, link and form of the console, found by walking it as each role: nothing by hand, so nothing is missed."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from node.outbox import Report, enqueue
from node.store import outbox
from node.store.outbox import Outcome, Refusal
from registry.accounts import NewAccount
from registry.console import apply_pages
from registry.console.security import make_token
from registry.http_protocol import MAX_HEAD_BYTES
from registry.job_runner import run_jobs
from tests.registry.api_world import PUMP, make_app
from tests.registry.console_walk import FoundForm, list_problems, read_page, walk
from tests.registry.console_world import PASSWORD, Console, Page, Visitor, add_visitor, open_console
from tests.registry.people import make_uscc

ROLES = {
    "admin": ["operator", "reviewer"], "judge": ["reviewer"], "engineer": ["engineer"], "owner": ["enterprise_admin"],
    "worker": ["enterprise_user"], "buyer": ["partner"], "mayor": ["regulator"], "governor": ["regulator"],
}  # fmt: skip
PLAN = "area,indicator,comparison,unit,period_start,deadline,target\n"
PLAN += "城北镇,enterprises_connected,>=,enterprises,,2099-12-31,1\n"
PLAN += "城北镇,benchmark_sites,>=,sites,2022-01-01,2099-12-31,3\n"
FILE = "编码,型号\nJ-1,A\nJ-2,B\n".encode()


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """Somebody of each role, and at least one of everything there is to see."""
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        config = made.world.state.config
        running = asyncio.create_task(run_jobs(config.database_url, config.jobs_dir, made.world.state.job_added))
        await add_people(made)
        await add_things(made)
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def add_people(console: Console) -> None:
    firm = console.world.firms["pump"].enterprise_id
    async with console.world.state.connect() as conn:
        unit = await conn.fetchval(
            "INSERT INTO units (division_code, name) VALUES ('321302', '城北镇') RETURNING unit_id"
        )
        await conn.execute("UPDATE placements SET unit_id = $1 WHERE enterprise_id = $2", unit, firm)
    for name, roles in ROLES.items():
        console.visitors[name] = await add_visitor(console, NewAccount(
            name, roles, PASSWORD, enterprise_id=firm if roles[0].startswith("enterprise") else None,
            organisation=make_uscc(77) if name == "buyer" else "",
            area={"mayor": "城北镇", "governor": "320000"}.get(name, ""),
        ))  # fmt: skip
    apply_pages._filed.clear()
    stranger = Visitor(console.world, "", headers={"Cookie": "idnode_visitor=" + "b" * 32})
    fields = {"name": "轴承厂", "certificate_code": make_uscc(700), "area": "321302", "industry": "C/34/344/3441",
              "user_name": "newcomer", "password": PASSWORD, "repeated": PASSWORD}  # fmt: skip
    assert (await stranger.post("/apply", fields, token=make_token("b" * 32))).status == 200
    console.visitors["newcomer"] = await enter(console, "newcomer")


async def enter(console: Console, name: str) -> Visitor:
    visitor = Visitor(console.world, "", headers={"Cookie": "idnode_visitor=" + "a" * 32})
    page = await visitor.post("/sign-in", {"user_name": name, "password": PASSWORD}, token=make_token("a" * 32))
    assert page.status == 303, page.shown
    cookie = next(text for text in page.headers.getall("Set-Cookie") if text.startswith("idnode_session="))
    return Visitor(console.world, cookie.partition("=")[2].partition(";")[0])


async def add_things(console: Console) -> None:
    owner, admin = console["owner"], console["admin"]
    one = {"prefix": PUMP, "template": "pump-1", "v.model": "A"}
    for suffix in ("own", "frozen", "retired"):
        assert (await owner.post("/identifiers/new", one | {"suffix": suffix})).status == 303
    for suffix, action in (("frozen", "freeze"), ("retired", "retire")):
        fields = {"identifier": f"{PUMP}/{suffix}", "action": action, "notice": "recall"}
        assert (await owner.post("/identifiers/act", fields)).status == 303
    assert (await owner.post("/templates/starter", {"prefix": PUMP, "starter": "quality-1"})).status == 303
    assert (await owner.post("/partners", {"prefix": PUMP, "organisation": make_uscc(77)})).status == 303
    assert (await owner.post("/keys", {"note": "printer", "scope": "read"})).status == 200
    draft = (await owner.post("/imports/new", {"prefix": PUMP}, files={"file": ("t.csv", FILE)})).location
    mapped = {"template": "pump-1", "by": "column", "identifier_column": "编码", "m.0": "", "m.1": "model"}
    tried = await owner.post(draft.removeprefix("/console"), mapped)
    job = tried.location.removeprefix("/console").partition("?")[0]
    while "http-equiv" in (await owner.get(job)).text:
        await asyncio.sleep(0.02)
    again = await owner.post("/imports/new", {"prefix": PUMP}, files={"file": ("u.csv", FILE)})
    assert again.status == 303
    console.world.keys["draft"] = again.location.removeprefix("/console")
    members = {"many": "yes", "prefix": PUMP, "template": "pump-1", "first": "R001", "last": "R050"}
    made = await owner.post("/identifiers/new", members | {"v.model": "A"})
    assert made.status == 303, made.shown
    loaded = await admin.post("/plans", {"name": "五年"}, files={"file": ("p.csv", PLAN.encode())})
    assert loaded.status == 303, loaded.shown
    await add_reports(console)


async def add_reports(console: Console) -> None:
    """Messages upwards with refused rows, each of which leads to where it is repaired."""
    now = datetime.now(UTC)
    refused = {
        "T6": make_uscc(901), "T8": PUMP, "PREFIXES": PUMP, "T11": f"{PUMP}/META_pump-1", "T9": f"{PUMP}/own|1",
    }  # fmt: skip
    async with console.world.state.connect() as conn:
        for table, key in refused.items():
            period = "2026-11-20" if table in ("T8", "T9") else "current"
            async with conn.transaction():
                message_id = await enqueue(conn, Report(table, period, "88.101", [{"prefix": PUMP}]), now)
                assert message_id is not None
                said = Outcome("refused", now, now, 200, "r", "E102", "", (Refusal(0, "prefix", "E102", key, "bad"),))
                await outbox.store_outcome(conn, message_id, said)


Seen = dict[str, dict[str, tuple[Page, str]]]
START = {"nobody": ("/sign-in", "/resolve", "/apply")}
EVERYBODY = (*ROLES, "newcomer", "nobody")
OWNERS = ("admin", "owner")  # what they look at is of more than one kind where the links to it are not


@pytest_asyncio.fixture(scope="module")
async def seen(console: Console) -> Seen:
    """Name → everything that links lead him to; a file that waits to be imported has no link of its own."""
    extra = {"owner": [console.world.keys["draft"]]}
    return {
        who: await walk(console[who], *START.get(who, ("/",)), *extra.get(who, ()), of_a_kind=1 + (who in OWNERS))
        for who in EVERYBODY
    }


@pytest.mark.parametrize("who", EVERYBODY)
def test_nobody_is_shown_a_link_he_may_not_follow(seen: Seen, who: str) -> None:
    wrong = [(page.status, path, origin) for path, (page, origin) in seen[who].items() if page.status not in (200, 303)]
    assert wrong == []
    assert len(seen[who]) > {"nobody": 2, "buyer": 3}.get(who, 10), "the walk has found its way"


# Other sites ----------------------------------------------------------------------------------------------------


async def read_state(console: Console) -> list[tuple[str, int, int]]:
    """(table, rows, a sum over their contents) of everything but the audit trail and when a session was last used."""
    tables = (
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        " AND NOT relispartition AND relname NOT LIKE 'audit%' AND relname <> 'sessions' ORDER BY 1"
    )
    async with console.world.state.connect() as conn:
        names = [row["relname"] for row in await conn.fetch(tables)]
        sums = (f"SELECT '{name}', count(*), coalesce(sum(hashtext(t::text)), 0) FROM {name} t" for name in names)
        rows = await conn.fetch(" UNION ALL ".join(sums))  # in any order: the server may ask several at once
        return sorted((row[0], row[1], row[2]) for row in rows)


def list_post_routes(console: Console) -> list[str]:
    """Every address of the console a form can be sent to, with something of the world in its places."""
    mounts = [route for route in make_app(console.world.state).routes if getattr(route, "path", "") == "/console"]
    (routes,) = [mount.app.routes for mount in mounts if isinstance(getattr(mount, "app", None), FastAPI)]
    paths = get_openapi(title="console", version="1", routes=routes)["paths"]
    places = {"enterprise_id": str(console.world.firms["pump"].enterprise_id), "draft_id": NO_ID, "job_id": NO_ID}
    found = [path for path, methods in paths.items() if "post" in methods]
    return [re.sub(r"\{(\w+)\}", lambda name: places.get(name[1], "1"), path) for path in found]


FOREIGN: tuple[tuple[str | None, dict[str, str]], ...] = (
    ("", {}), (None, {"Origin": "https://evil.example"}), ("wrong", {}), (None, {"Origin": "null"}),
    (None, {"Sec-Fetch-Site": "cross-site"}), (None, {"Sec-Fetch-Site": "same-site"}), ("é", {}),
    (None, {"Origin": "http://["}),
)  # fmt: skip


async def test_no_form_of_another_site_and_none_without_its_token_changes_anything(console: Console) -> None:
    """The right fields of the page's own forms go with it, so that nothing but token and origin is wrong."""
    routes = list_post_routes(console)
    assert len(routes) > 35
    before = await read_state(console)
    fields = FILL | {"identifier": f"{PUMP}/own", "prefix": PUMP, "template": "pump-1"}
    for address in routes:
        for who in ("admin", "nobody"):
            ways = FOREIGN if address == routes[0] else FOREIGN[:2]
            for token, headers in ways if who == "admin" else FOREIGN[:1]:
                page = await console[who].post(address, fields, token=token, **headers)
                assert page.status == 403 or (who == "nobody" and page.status == 401), (who, address, page.shown)
    assert await read_state(console) == before


async def test_a_firm_that_waits_for_approval_is_shown_no_form_that_waits_with_it(console: Console) -> None:
    """Its dossier lies with the reviewer, and it has nothing yet that could be certified."""
    newcomer = console["newcomer"]
    for path in ("/", "/enterprise"):
        assert "/console/enterprise/edit" not in (await newcomer.get(path)).text
    typed = await newcomer.get("/enterprise/edit", **{"Accept-Language": "zh"})
    assert typed.status == 409
    assert "当前状态为“待审核”，不能执行“提出变更”" in typed.shown
    assert 'action="/console/certificates"' not in (await newcomer.get("/certificates")).text
    assert 'action="/console/certificates"' in (await console["owner"].get("/certificates")).text


# Forms ----------------------------------------------------------------------------------------------------------

SCRIPT = "<script>alert('walk')</script>"
HOSTILE = {"missing": "", "hostile": f"Ж♥\U0001f9ea {SCRIPT} \u202ereversed\u202c", "digits": "²٣"}
VISIBLE = ("text", "textarea", "password", "search", "date", "number", "email", "tel", "url")
# Who sends these as they are ends his own session, or somebody's account.
ENDING = ("/sign-out", "/accounts/act", "/account/sessions/end", "/keys/revoke", "/partners/revoke")
NO_ID = "00000000-0000-0000-0000-000000000000"
ANSWERS = (200, 303, 400, 401, 409, 413)


def list_forms(seen: Seen) -> list[tuple[str, FoundForm]]:
    """(who sees it, form): one of each shape for each who sees it."""
    found: dict[tuple[str, tuple[str, ...]], FoundForm] = {}
    for who, pages in seen.items():
        for path, (page, _) in pages.items():
            for form in read_page(page, path).forms if page.status == 200 else ():
                if form.method == "POST":
                    found.setdefault((who, form.shape), form)
    return [(who, form) for (who, _), form in found.items()]


def list_shapes(seen: Seen) -> list[tuple[str, FoundForm]]:
    """Each shape once, for the first who sees it."""
    once = {form.shape: (who, form) for who, form in reversed(list_forms(seen))}
    return list(once.values())


async def send(console: Console, who: str, form: FoundForm, values: dict[str, str], language: str = "en") -> Page:
    visitor = console[who]
    cookie = {"Cookie": "idnode_visitor=" + "a" * 32} if who == "nobody" else {}
    token = make_token("a" * 32 if who == "nobody" else visitor.cookie)
    apply_pages._filed.clear()
    address = form.address.removeprefix("/console")
    return await visitor.post(address, values, token=token, **{"Accept-Language": language}, **cookie)


def list_visible(form: FoundForm) -> list[str]:
    """Fields that are typed into, of forms that leave the others something to work on."""
    action = form.controls["action"].value if "action" in form.controls else ""
    if form.address.removeprefix("/console").startswith(ENDING) or action in ("stopped", "deletion", "close"):
        return []
    return [name for name, one in form.controls.items() if one.kind in VISIBLE]


# A right value for every field that needs one, where the page shows none.
FILL = {
    "name": "轴承厂", "certificate_code": make_uscc(31), "industry": "C/34/344/3441", "area": "321302", "suffix": "new",
    "v.model": "A", "first": "Z001", "last": "Z010", "user_name": "somebody", "password": PASSWORD,
    "repeated": PASSWORD, "v.productName": "A", "v.batchNo": "1", "v.mfgDate": "2026-01-01", "reason": "because",
    "notice": "recall",
    "members": "50", "version": "t-1", "name_zh": "模板", "i.0.type": "model", "i.0.name_zh": "型号", "value": "3",
    "organisation": make_uscc(88), "old_password": PASSWORD, "recursion": "R", "tcp_port": "2641",
    "new_password": PASSWORD + "x",
}  # fmt: skip
WITHOUT_FIELD = {("/console/templates/save", "i.0.type")}  # an item that is in use: said of the template as a whole


async def test_what_is_too_long_is_said_beside_its_field_and_never_cut(console: Console, seen: Seen) -> None:
    for who, form in list_shapes(seen):
        base = {name: text or FILL.get(name, "") for name, text in form.values.items()}
        base |= {"where": "own"} if "where" in base else {}  # else the fields below it are of no account
        for name in list_visible(form):
            if name.startswith("i.") and not name.startswith("i.0."):
                continue  # rows of a table have the same fields
            page = await send(console, who, form, base | {name: "长" * 5_000})
            what = (who, form.address, name, page.status, page.shown[-400:])
            assert page.status in (400, 401), what
            assert list_problems(page) or (form.shape[0], name) in WITHOUT_FIELD, what


@pytest.mark.parametrize("kind", HOSTILE)
async def test_no_form_breaks_on_what_is_sent_and_its_page_is_there_in_the_other_language(
    console: Console, seen: Seen, kind: str
) -> None:
    """All fields at once; half of the forms in each language, and then the page behind the language switch."""
    for n, (who, form) in enumerate(list_shapes(seen)):
        visible = list_visible(form)
        if not visible:
            continue
        language, other = ("zh", "en")[:: 1 if (n + len(kind)) % 2 else -1]
        values = form.values | dict.fromkeys(visible, HOSTILE[kind])
        page = await send(console, who, form, values, language)
        assert page.status in ANSWERS, (who, form.address, page.status, page.shown[:300])
        assert SCRIPT not in page.text, (who, form.address)
        if page.status == 400:
            assert 'role="alert"' in page.text or list_problems(page), (who, form.address, page.shown[:300])
            await check_language_switch(console, who, form, page, other)


async def check_language_switch(console: Console, who: str, form: FoundForm, page: Page, other: str) -> None:
    (link,) = {link for link in read_page(page, "/").links if f"lang={other}" in link}
    shown = await console[who].get(link.removeprefix("/console"))
    assert shown.status == 200, (who, form.address, link, shown.status)
    assert f'<html lang="{"zh-CN" if other == "zh" else "en"}">' in shown.text
    assert form.shape[0] in {one.shape[0] for one in read_page(shown, form.page).forms}, (who, form.address, link)


def test_no_search_that_can_be_typed_makes_an_address_too_long(seen: Seen) -> None:
    """A Chinese character is nine bytes of an address; what is longer than a head may be is answered with no page."""
    for pages in seen.values():
        for path, (page, _) in pages.items():
            for form in read_page(page, path).forms if page.status == 200 else ():
                typed = [one for one in form.controls.values() if one.kind in ("text", "textarea", "search")]
                longest = 9 * sum(int(one.attributes["maxlength"]) for one in typed if form.method == "GET")
                assert longest < MAX_HEAD_BYTES - 4_096, (path, form.address)


async def test_a_form_that_comes_without_what_its_page_hides_is_answered(console: Console, seen: Seen) -> None:
    """Hidden fields and lists to choose from, each left out once; what is typed is left out elsewhere."""
    for who, form in list_shapes(seen):
        kept = (*VISIBLE, "file", "button", "checkbox", "radio")
        names = [name for name, one in form.controls.items() if one.kind not in kept and not name.startswith("i.")]
        for name in set(names) - {"token", "form_page", "action"} if list_visible(form) else ():
            left = {key: text for key, text in form.values.items() if key != name}
            page = await send(console, who, form, left)
            assert page.status in (*ANSWERS, 404), (who, form.address, name, page.status, page.shown[:300])


async def test_what_was_taken_from_hostile_forms_is_text_wherever_it_is_shown(console: Console, seen: Seen) -> None:
    pages = await walk(console["admin"], "/", of_a_kind=1)
    assert [path for path, (page, _) in pages.items() if SCRIPT in page.text] == []
    assert [path for path, (page, _) in pages.items() if page.status not in (200, 303)] == []


async def test_nobody_is_shown_a_form_he_may_not_send(console: Console, seen: Seen) -> None:
    """Those who may less than the operator, with the page's own values; what ends a session is left out."""
    wrong = []
    for who, form in list_forms(seen):
        if who not in ("admin", "nobody") and not form.address.removeprefix("/console").startswith(ENDING):
            page = await send(console, who, form, form.values)
            if page.status in (403, 405, 500):
                now = await console[who].get(form.page.removeprefix("/console"))  # not what the operator froze since
                wrong += [(who, form.page, form.address, page.status)] if now.status == 200 else []
    assert wrong == []


async def test_nobody_reaches_a_form_he_may_not_send_by_typing_its_address(console: Console, seen: Seen) -> None:
    """Pages of others, opened by those whom no link leads there."""
    own, wrong, opened = {(who, form.shape) for who, form in list_forms(seen)}, [], 0
    for _, form in list_shapes(seen):
        path = form.page.removeprefix("/console")
        for who in ("judge", "worker", "mayor"):  # engineer and buyer may as much as the mayor, or less
            if (who, form.shape) in own:
                continue
            page = await console[who].get(path)
            opened += 1
            assert page.status in (200, 303, 403, 404, 409), (who, path, page.status)
            typed = [one for one in read_page(page, path).forms if one.shape == form.shape and page.status == 200]
            for one in typed:
                sent = await send(console, who, one, one.values)
                wrong += [(who, path, one.address)] if sent.status == 403 else []
    assert wrong == []
    assert opened > 60
