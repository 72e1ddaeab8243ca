"""Other sites, scripts in values, hostile links, foreign objects: none of them gets anywhere in the console."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from starlette.requests import Request

from registry.console import gate
from registry.console.frame import Frame
from registry.console.security import SESSION_COOKIE, find_own_path
from registry.console.uploads import clean_name
from registry.console.visits import Visit
from registry.job_runner import run_jobs
from schemas.errors import Unavailable
from schemas.texts import format_remedy
from tests.registry.api_world import PUMP, TOFU
from tests.registry.console_walk import list_problems
from tests.registry.console_world import Console, Page, open_console
from tests.registry.people import make_uscc

EVIL = "<script>alert(1)</script>"
FILE = f"编码,型号\nS-1,{EVIL}\nS-2,=1+1\n".encode()


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        config = made.world.state.config
        running = asyncio.create_task(run_jobs(config.database_url, config.jobs_dir, made.world.state.job_added))
        for suffix, model in (("own", "A"), ("evil", EVIL)):
            fields = {"prefix": PUMP, "template": "pump-1", "suffix": suffix, "v.model": model}
            assert (await made["pump"].post("/identifiers/new", fields)).status == 303
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


PAGES = (
    "/", "/identifiers", "/identifiers/new", f"/identifiers/one?identifier={PUMP}/own", "/templates", "/templates/new",
    f"/templates/one?prefix={PUMP}&version=pump-1", "/imports", "/imports/new", "/labels", "/keys", "/keys/new",
    "/partners", "/enterprise", "/enterprise/edit", "/account", "/accounts", "/enterprises", "/prefixes", "/areas",
    "/health", "/audit", "/problems", "/accounts/invitations",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_who_has_not_signed_in_is_led_to_the_sign_in_and_back(console: Console, path: str) -> None:
    page = await console["nobody"].get(path)
    assert page.status == 303
    assert page.location.startswith("/console/sign-in?next=%2Fconsole")


def check_headers(page: Page) -> None:
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "path", [*PAGES, "/sign-in", "/resolve", "/report", "/invitation", "/nothing-here", "/static/console.css"]
)
async def test_every_answer_carries_the_security_headers_and_no_inline_code(console: Console, path: str) -> None:
    for name in ("pump", "nobody"):
        page = await console[name].get(path)
        check_headers(page)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|\sstyle=|javascript:", page.text)


@pytest.mark.parametrize(
    "path",
    [f"/api/v1/identifiers/{EVIL}", "/api/v1/keys", "/health", f"/identityv2/data/detail?handle={EVIL}", f"/{EVIL}"],
)
async def test_no_answer_to_a_program_is_taken_for_a_page(console: Console, path: str) -> None:
    answer = await console.world.ask("GET", path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "json" in answer.headers["Content-Type"]


async def test_a_script_in_a_value_is_text_on_every_page(console: Console) -> None:
    paths = (
        "/identifiers", f"/identifiers/one?identifier={PUMP}/evil", f"/identifiers/change?identifier={PUMP}/evil",
        f"/resolve?text={PUMP}/evil", f"/labels/sheet?prefix={PUMP}&starts_with=evil", f"/resolve?text={EVIL}",
        f"/identifiers?text={EVIL}", f"/sign-in?next={EVIL}", f"/templates/one?prefix={PUMP}&version={EVIL}",
    )  # fmt: skip
    for path in paths:
        page = await console["pump"].get(path)
        assert EVIL not in page.text
        if "evil" in path:
            assert "&lt;script&gt;" in page.text


async def upload(console: Console, name: str, content: bytes = FILE, who: str = "pump") -> Page:
    return await console[who].post("/imports/new", {"prefix": PUMP}, files={"file": (name, content)})


@pytest.mark.parametrize("name", [f"{EVIL}.csv", "../../../../etc/passwd", "..\\..\\boot.ini", "a\u202eb.csv"])
async def test_a_file_is_kept_under_a_name_of_ours_whatever_it_is_called(console: Console, name: str) -> None:
    page = await upload(console, name)
    assert page.status == 303
    shown = await console["pump"].get(page.location.removeprefix("/console"))
    assert shown.status == 200
    assert '<td class="num muted">2</td>' in shown.text, "rows are numbered as the receipt numbers them"
    assert EVIL not in shown.text
    assert "/etc/" not in shown.text
    kept = {path.name for path in console.world.state.config.jobs_dir.iterdir()}
    assert all(re.fullmatch(r"(draft-)?[0-9a-f-]{36}(\.json|\.upload)?", name) for name in kept)


async def test_what_is_wrong_with_a_file_stands_beside_it(console: Console) -> None:
    damaged = await upload(console, "a.xlsx", b"PK\x03\x04" + b"x" * 100)
    assert damaged.status == 400
    assert list_problems(damaged) == {"f-file"}
    page = await upload(console, "a.csv")
    draft = await console["pump"].get(f"{page.location.removeprefix('/console')}?header_row=77")
    assert list_problems(draft) == {"f-header_row"}
    assert 'value="77"' in draft.text, "what was typed can be mended"


def test_a_file_name_is_its_last_part() -> None:
    assert [clean_name(n) for n in ("/a/b.csv", "C:\\x\\c.csv", "..", "a\nb", "\ud800", "")] == [
        "b.csv", "c.csv", "..", "ab", "?", ""
    ]  # fmt: skip


@pytest.mark.parametrize("draft", ["x", "../x", "00000000-0000-0000-0000-000000000000", "%2e%2e%2fjobs"])
async def test_a_draft_that_is_none_is_not_found(console: Console, draft: str) -> None:
    assert (await console["pump"].get(f"/imports/drafts/{draft}")).status == 404


async def test_the_receipt_holds_no_formula(console: Console) -> None:
    draft = (await upload(console, "table.csv")).location.removeprefix("/console")
    fields = {"template": "pump-1", "by": "column", "identifier_column": "编码", "m.0": "", "m.1": "model"}
    tried = (await console["pump"].post(draft, fields)).location.removeprefix("/console")
    job = tried.partition("?")[0]
    while "http-equiv" in (await console["pump"].get(job)).text:
        await asyncio.sleep(0.05)
    receipt = await console["pump"].get(f"{job}/receipt")
    assert receipt.status == 200
    assert ",'=1+1" in receipt.text
    assert (await console["tofu"].get(job)).status == 404
    assert (await console["tofu"].get(f"{job}/receipt")).status == 404
    assert (await console["tofu"].post(f"{job}/start")).status == 404
    assert (await console["tofu"].post(f"{job}/cancel")).status == 404
    assert (await console["pump"].post(f"{job}/cancel")).location == f"/console{job}", "it had ended"
    assert (await console["tofu"].get(draft.partition("?")[0])).status == 404
    assert (await console["tofu"].get(f"/labels/sheet?prefix={TOFU}&job={job.rpartition('/')[2]}")).status == 400


OTHERS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", f"/identifiers?prefix={PUMP}", {}),
    ("GET", f"/identifiers/one?identifier={PUMP}/own", {}),
    ("GET", f"/identifiers/change?identifier={PUMP}/own", {}),
    ("GET", f"/identifiers/act?identifier={PUMP}/own&action=retire", {}),
    ("GET", f"/templates?prefix={PUMP}", {}),
    ("GET", f"/templates/one?prefix={PUMP}&version=pump-1", {}),
    ("GET", f"/templates/edit?prefix={PUMP}&version=pump-1", {}),
    ("GET", f"/templates/act?prefix={PUMP}&version=pump-1&action=delete", {}),
    ("GET", f"/labels?prefix={PUMP}", {}),
    ("GET", f"/prefixes/one?prefix={PUMP}", {}),
    ("GET", f"/prefixes/act?prefix={PUMP}&action=stopped", {}),
    ("GET", "/enterprises/PUMP", {}),
    ("GET", "/enterprises/PUMP/act?action=close", {}),
    ("GET", "/enterprises/PUMP/personal", {}),
    ("GET", "/imports/00000000-0000-0000-0000-000000000000", {}),
    ("POST", "/identifiers/change", {"identifier": f"{PUMP}/own", "v.model": "B"}),
    ("GET", "/keys/revoke?access_key=KEY", {}),
    ("GET", f"/partners/revoke?prefix={PUMP}&organisation={make_uscc(1)}", {}),
    ("GET", f"/partners/revoke?prefix={TOFU}&organisation={make_uscc(1)}", {}),
    ("POST", "/keys/revoke", {"access_key": "KEY"}),
    ("POST", "/partners/revoke", {"prefix": PUMP, "organisation": make_uscc(1)}),
    ("POST", "/templates/starter", {"prefix": PUMP, "starter": "quality-1"}),
    ("POST", "/account/sessions/end", {"session_id": "00000000-0000-0000-0000-000000000000"}),
]


@pytest.mark.parametrize(("method", "path", "fields"), OTHERS, ids=lambda value: str(value)[:50])
async def test_what_belongs_to_another_firm_is_not_found(
    console: Console, method: str, path: str, fields: dict[str, Any]
) -> None:
    firm = console.world.firms["pump"]
    path = path.replace("PUMP", str(firm.enterprise_id)).replace("KEY", firm.access_key)
    sent = {name: text.replace("KEY", firm.access_key) for name, text in fields.items()}
    visitor = console["tofu"]
    page = await (visitor.get(path) if method == "GET" else visitor.post(path, sent))
    assert page.status == 404, page.shown[:300]


@pytest.mark.parametrize("path", ["/enterprises", "/prefixes", "/areas", "/audit", "/health"])
async def test_pages_of_the_node_are_not_for_firms(console: Console, path: str) -> None:
    assert (await console["pump"].get(path)).status == 403
    assert path not in (await console["pump"].get("/")).text


@pytest.mark.parametrize(
    "path",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/console/../docs", "/docs", "javascript:alert(1)",
     "/console//evil.example/..", "", "/console/\r\nSet-Cookie: a=b", "/console/é"],
)  # fmt: skip
def test_signing_in_leads_to_pages_of_ours_alone(path: str) -> None:
    assert find_own_path(path, "/console/") == "/console/"


def test_signing_in_leads_back_to_where_one_was() -> None:
    path = "/console/identifiers/one?identifier=88.101.5%2FA%20B&as=public"
    assert find_own_path(path, "/console/") == path


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_cookies_are_for_us_alone_and_over_tls_never_sent_without(scheme: str, secure: bool) -> None:
    scope = {"type": "http", "scheme": scheme, "headers": [], "path": "/console/", "query_string": b"",
             "server": ("node.example", 80)}  # fmt: skip
    visit = Visit.make_anonymous(Request(scope), None, "en", Frame([]))  # type: ignore[arg-type]
    cookie = visit.format_cookie(SESSION_COOKIE, "x", 60)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/console" in cookie
    assert ("Secure" in cookie) is secure


async def test_a_static_file_is_one_of_ours(console: Console) -> None:
    for name in ("app.py", "..%2fapp.py", "console.css%00", "pages/layout.html"):
        assert (await console["nobody"].get(f"/static/{name}")).status == 404


def test_a_page_says_in_words_of_its_own_that_the_database_is_silent() -> None:
    told = gate.say_to_people(Unavailable("database_unavailable"))
    assert "Idempotency-Key" not in format_remedy(told.code, "en"), "nobody at a page sends one"


async def test_too_much_is_refused_before_it_is_read(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    page = await console["pump"].post("/keys", {"note": "x" * 3_000_000})
    assert page.status == 413
    assert "larger than 2 MB" in page.shown, "for people, not for programs"
    monkeypatch.setattr(gate, "MAX_STRANGERS_BYTES", 1_000)
    photo = {"photo": ("p.png", b"x" * 2_000)}
    assert (await console["nobody"].post("/resolve/photo", files=photo)).status == 413
    assert (await console["pump"].post("/resolve/photo", files=photo)).status == 400, "no photograph, but looked at"
