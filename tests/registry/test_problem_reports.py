"""Who scans a code says what is wrong with it: the form, its limits, who sees it, what is decided."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from registry.accounts import NewAccount
from registry.problem_reports import (
    CONTACT_KEPT,
    KINDS,
    MOST_OF_IDENTIFIER,
    MOST_OF_SOURCE,
    NewReport,
    check_text,
    file_report,
    forget_contacts,
)
from registry.sign_in import Visit
from registry.store.problem_reports import find_contact
from schemas.errors import InvalidInput, SlowDown
from schemas.texts.problem_reports import PROPOSED_NOTICES
from tests.registry.account_world import PASSWORD, sign
from tests.registry.api_world import PUMP
from tests.registry.console_world import Console, Page, Visitor, add_visitor, open_console
from tests.registry.people import RULES

V1 = "/api/v1/problem-reports"
NOW = datetime.now(UTC)
PHONE = "13912345678"
CODES = ("seen", "frozen", "busy", "gone", "form", "secret", "kept")


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        for suffix in CODES:
            fields = {"prefix": PUMP, "template": "pump-1", "suffix": suffix, "v.model": "WQ15"}
            assert (await made["pump"].post("/identifiers/new", fields)).status == 303
        serials = {"prefix": PUMP, "template": "pump-1", "first": "S0001", "last": "S0009", "values": {"model": "A"}}
        assert (await made.world.ask("POST", "/api/v1/ranges", serials)).status == 201
        yield made


_addresses = iter(f"198.51.{a}.{b}" for a in range(256) for b in range(256))


async def report(console: Console, suffix: str, kind: str = "mismatch", text: str = "15 kW", contact: str = "") -> int:
    """Filed from an address of its own."""
    async with console.world.state.connect() as conn:
        wanted = NewReport(f"{PUMP}/{suffix}", kind, text, contact)
        return await file_report(conn, RULES.key_ring, Visit(datetime.now(UTC), next(_addresses)), wanted)


def make_scanner(console: Console) -> Visitor:
    """Anybody, with the cookie the form gives him."""
    return Visitor(console.world, "", headers={"Cookie": "idnode_visitor=" + "e" * 32})


async def send(scanner: Visitor, fields: dict[str, str]) -> Page:
    from registry.console.security import make_token

    return await scanner.post("/report", fields, token=make_token("e" * 32))


@pytest.mark.parametrize(("language", "title"), [("zh", "反馈编码问题"), ("en", "Report a problem with this code")])
async def test_whoever_scanned_a_code_finds_the_form_without_an_account(
    console: Console, language: str, title: str
) -> None:
    for suffix in ("seen", "SEEN", "S0003"):  # in other letters, and a member of a range
        page = await console["nobody"].get(f"/report?identifier={PUMP}/{suffix}&lang={language}")
        assert page.status == 200
        assert title in page.shown
        assert "Firm 901" in page.shown
        assert f"{PUMP}/{'seen' if suffix == 'SEEN' else suffix}" in page.shown
    assert "Cache-Control" in page.headers
    assert "no-store" in page.headers["Cache-Control"]
    resolved = await console["nobody"].get(f"/resolve?text={PUMP}/seen")
    assert f'href="/console/report?identifier={PUMP}/seen"' in resolved.text


@pytest.mark.parametrize(
    "identifier",
    [f"{PUMP}/none", "99.9.9/x", "no-slash", f"{PUMP}/%00", "%ED%A0%80/x", "<script>alert(1)", "x" * 2_048],
)
async def test_a_code_that_was_never_issued_gets_a_clear_answer(console: Console, identifier: str) -> None:
    page = await console["nobody"].get(f"/report?identifier={identifier}")
    assert page.status == 404
    assert "not registered at this node" in page.shown
    assert "counterfeit" in page.shown
    assert 'name="kind"' not in page.text
    assert "<script>alert" not in page.text


async def test_all_that_is_wrong_with_a_report_is_named_at_once(console: Console) -> None:
    fields = {"identifier": f"{PUMP}/seen", "description": "x" * 1_001, "contact": "y" * 201}
    refused = await send(make_scanner(console), fields)
    assert refused.status == 400
    assert re.findall(r'<li><a href="#f-(\w+)"', refused.text) == ["kind", "description", "contact"]
    assert "y" * 201 in refused.text, "what was typed is still there"


async def test_without_a_code_the_page_says_how_to_come_by_one(console: Console) -> None:
    assert "Scan the code" in (await console["nobody"].get("/report")).shown


async def test_a_report_reaches_the_firm_and_the_operator_and_nobody_else(console: Console) -> None:
    scanner = make_scanner(console)
    fields = {
        "identifier": f"{PUMP}/form",
        "kind": "counterfeit",
        "description": "买于<b>二手</b>市场",
        "contact": PHONE,
    }
    sent = await send(scanner, fields)
    assert sent.status == 200, sent.shown
    number = re.search(r"<strong>(\d+)</strong>", sent.text)
    assert number
    one = f"/problems/{number[1]}"
    for who in ("pump", "operator"):
        assert f'href="/console{one}"' in (await console[who].get("/problems")).text
        shown = await console[who].get(one)
        assert "&lt;b&gt;二手&lt;/b&gt;" in shown.text
        assert PHONE not in shown.text
        assert re.search(r"problem reports? (open|wait)", (await console[who].get("/")).shown, re.IGNORECASE)
    reviewer = await add_visitor(console, NewAccount("rita", ["reviewer"], PASSWORD))
    looked = await reviewer.get(one)
    assert looked.status == 200
    assert "<button" not in looked.text.partition('<main id="main">')[2], "who reviews looks, and decides nothing here"
    assert (await console["tofu"].get(one)).status == 404
    assert one not in (await console["tofu"].get("/problems")).text
    for name, wanted in (
        ("dai", NewAccount("dai", ["regulator"], PASSWORD, area="321302")),
        ("eng", NewAccount("eng", ["engineer"], PASSWORD)),
    ):
        other = await add_visitor(console, wanted)
        assert [(await other.get(path)).status for path in ("/problems", one, f"{one}/freeze")] == [403] * 3, name
        assert "/console/problems" not in (await other.get("/")).text
    assert (await console["nobody"].get(one)).status == 303


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"kind": ""}, "kind", "nothing was chosen"),
        ({"kind": "stolen"}, "kind", "there is no such kind"),
        ({"description": "x" * 1_001}, "description", "too long"),
        ({"kind": "other", "description": " \n"}, "description", "nothing was said"),
        ({"description": "a\u202eb"}, "description", "turns round what follows"),
        ({"description": "a\x07b"}, "description", "cannot be seen"),
        ({"contact": "5" * 201}, "contact", "too long"),
        ({"contact": "a\u2067b"}, "contact", "turns round what follows"),
    ],
)
@pytest.mark.parametrize("language", ["zh", "en"])
async def test_what_is_wrong_stands_beside_its_field(
    console: Console, change: dict[str, str], field: str, reason: str, language: str
) -> None:
    fields = {"identifier": f"{PUMP}/seen", "kind": "data", "description": "kept", "contact": "me@example.com"} | change
    scanner = make_scanner(console)
    scanner.language = language
    page = await send(scanner, fields)
    assert page.status == 400, reason
    assert f'id="f-{field}-problem"' in page.text
    assert ("kept" in page.text) or "description" in change, "what was typed is still there"


def test_arabic_and_hebrew_are_no_trick() -> None:
    assert check_text(" مضخة معطلة\nשבור ", "description", 100) == "مضخة معطلة\nשבור"
    with pytest.raises(InvalidInput):
        check_text("\ud800", "description", 100)


async def test_a_form_without_its_token_or_from_another_site_reports_nothing(console: Console) -> None:
    fields = {"identifier": f"{PUMP}/seen", "kind": "data"}
    scanner = make_scanner(console)
    assert (await scanner.post("/report", fields, token="")).status == 403
    assert (await scanner.post("/report", fields, token="x")).status == 403
    assert (await scanner.post("/report", fields, Origin="https://evil.example")).status == 403
    async with console.world.state.connect() as conn:
        assert await conn.fetchval("SELECT count(*) FROM problem_reports WHERE identifier LIKE '%/seen'") == 0


async def test_one_address_reports_ten_times_an_hour_also_when_all_come_at_once(console: Console) -> None:
    state = console.world.state
    wanted = NewReport(f"{PUMP}/busy", "damaged", "")

    async def file(address: str, at: datetime = NOW) -> int | None:
        async with state.connect() as conn:
            try:
                return await file_report(conn, RULES.key_ring, Visit(at, address), wanted)
            except SlowDown as error:
                assert error.code == "problem_slow_down"
                assert 0 < int(str(error.details["seconds"])) <= 3_600
                return None

    made = await asyncio.gather(*(file("203.0.113.5") for _ in range(MOST_OF_SOURCE + 4)))
    assert sum(number is not None for number in made) == MOST_OF_SOURCE
    assert await file("203.0.113.6") is not None, "others are not held up"
    assert await file("203.0.113.5", NOW + timedelta(minutes=61)) is not None


async def test_a_code_everybody_reports_is_known_enough_for_a_day(console: Console) -> None:
    async with console.world.state.connect() as conn:
        for n in range(MOST_OF_IDENTIFIER):
            visit = Visit(NOW, f"2001:db8:{n:x}::1")
            await file_report(conn, RULES.key_ring, visit, NewReport(f"{PUMP}/S0005", "data", ""))
        with pytest.raises(SlowDown, match="S0005"):
            await file_report(
                conn, RULES.key_ring, Visit(NOW, "2001:db8:ffff::1"), NewReport(f"{PUMP}/s0005", "data", "")
            )
    page = await send(make_scanner(console), {"identifier": f"{PUMP}/S0005", "kind": "data"})
    assert page.status == 429
    assert "the enterprise and the operator know" in page.shown


async def test_a_report_is_taken_in_hand_closed_with_a_note_and_opened_again(console: Console) -> None:
    number = await report(console, "gone")
    pump, one = console["pump"], f"/problems/{number}"
    assert (await pump.post(one, {"state": "in_work"})).location.endswith("done=problem_in_work")
    again = await pump.post(one, {"state": "in_work"})
    assert again.status == 400
    assert "in that state already" in again.shown
    assert (await pump.post(one, {"state": "in_work", "note": "asked the dealer"})).status == 303
    refused = await pump.post(one, {"state": "closed"})
    assert refused.status == 400
    assert 'id="f-note-problem"' in refused.text
    assert (await pump.post(one, {"state": "closed", "note": "label replaced"})).status == 303
    assert (await pump.post(one, {"state": "gone", "note": "x"})).status == 400
    operator = await console["operator"].get(one)
    assert all(text in operator.shown for text in ("asked the dealer", "label replaced", "Open it again"))
    assert (await console["operator"].post(one, {"state": "open", "note": "not so"})).status == 303
    assert (await console["tofu"].post(one, {"state": "closed", "note": "mine"})).status == 404
    closed = await console["pump"].get("/problems?state=closed")
    assert one not in closed.text
    assert (await console["pump"].get("/problems?state=lost")).status == 400
    async with console.world.state.connect() as conn:
        noted = await conn.fetch(
            "SELECT action, actor, reason FROM (SELECT action, actor, subject, reason, at FROM audit UNION ALL"
            " SELECT action, actor, subject, reason, at FROM audit_pending) a WHERE subject = $1 ORDER BY at",
            f"problem:{number}",
        )
    assert [row["action"] for row in noted] == [
        "problem_reported", "problem_in_work", "problem_in_work", "problem_closed", "problem_open",
    ]  # fmt: skip
    assert noted[0]["actor"] == "anonymous"
    assert noted[-1]["reason"] == "not so"


async def test_freezing_is_one_step_away_with_a_notice_proposed_and_told_what_will_happen(console: Console) -> None:
    number = await report(console, "frozen", "counterfeit")
    pump = console["pump"]
    asked = await pump.get(f"/problems/{number}/freeze")
    assert asked.status == 200
    assert "What will happen" in asked.shown
    notice = re.search(r'name="notice"[^>]*>([^<]+)<', asked.text)
    assert notice
    assert notice[1] == PROPOSED_NOTICES["counterfeit"]
    assert f'value="Problem report {number}"' in asked.text
    fields = {"identifier": f"{PUMP}/frozen", "action": "freeze", "notice": notice[1], "reason": f"report {number}"}
    assert (await pump.post("/identifiers/act", fields)).status == 303
    assert "Do not buy or use" in (await console["nobody"].get(f"/resolve?text={PUMP}/frozen")).shown
    assert "frozen" in (await pump.get(f"/problems/{number}")).shown
    assert (await console["tofu"].get(f"/problems/{number}/freeze")).status == 404


def test_every_kind_has_a_notice_that_fits() -> None:
    assert set(PROPOSED_NOTICES) == set(KINDS)
    assert all(len(notice) <= 500 for notice in PROPOSED_NOTICES.values())


async def test_how_to_reach_somebody_is_sealed_shown_for_a_reason_and_forgotten(console: Console) -> None:
    number = await report(console, "secret", contact=PHONE)
    state, one = console.world.state, f"/problems/{number}"
    async with state.connect() as conn:
        row = await conn.fetchrow("SELECT * FROM problem_reports WHERE report_id = $1", number)
    assert PHONE not in repr(row)
    for who in ("pump", "operator"):
        assert PHONE not in (await console[who].get(one)).text
        assert (await console[who].post(f"{one}/contact", {"reason": " "})).status == 400
        revealed = await console[who].post(f"{one}/contact", {"reason": "ask for a photograph"})
        assert PHONE in revealed.text
    rita = await add_visitor(console, NewAccount("rosa", ["reviewer"], PASSWORD))
    assert (await rita.post(f"{one}/contact", {"reason": "curious"})).status == 403
    assert (await console["tofu"].post(f"{one}/contact", {"reason": "curious"})).status == 404
    async with state.connect() as conn:
        looks = await conn.fetch(
            "SELECT reason FROM (SELECT action, subject, reason FROM audit UNION ALL"
            " SELECT action, subject, reason FROM audit_pending) a"
            " WHERE action = 'problem_contact_revealed' AND subject = $1",
            f"problem:{number}",
        )
        assert [row["reason"] for row in looks] == ["ask for a photograph"] * 2
    assert (await console["pump"].post(one, {"state": "closed", "note": "done"})).status == 303
    async with state.connect() as conn:
        await forget_contacts(conn, datetime.now(UTC) + CONTACT_KEPT - timedelta(hours=1))
        assert await find_contact(conn, number) is not None
        await forget_contacts(conn, datetime.now(UTC) + CONTACT_KEPT + timedelta(hours=1))
        assert await find_contact(conn, number) is None


async def ask(console: Console, method: str, path: str, body: Any = None, who: str = "pump") -> Any:
    return await console.world.ask(method, f"{V1}{path}", body, who=who)


async def test_systems_read_and_decide_over_the_api_page_by_page(console: Console) -> None:
    numbers = [await report(console, "kept", "data", f"n{n}", PHONE) for n in range(3)]
    seen: list[int] = []
    path: str | None = "?kind=data&limit=2"
    while path is not None:
        page = (await ask(console, "GET", path)).json
        assert len(page["reports"]) <= 2
        seen += [row["report_id"] for row in page["reports"]]
        assert PHONE not in str(page)
        path = f"?kind=data&limit=2&after={page['next']}" if page["next"] is not None else None
    assert seen == sorted(seen, reverse=True)
    assert set(numbers) <= set(seen)
    assert (await ask(console, "GET", "", who="tofu")).json["reports"] == []
    before = (await ask(console, "GET", "")).json["waiting"]["open"]
    tried = await ask(console, "POST", f"/{numbers[0]}/decision?dry_run=true", {"state": "closed", "note": "x"})
    assert tried.json["state"] == "closed"
    assert (await ask(console, "POST", f"/{numbers[0]}/decision", {"state": "closed"})).status == 400
    done = await ask(console, "POST", f"/{numbers[0]}/decision", {"state": "closed", "note": "right now"})
    assert (done.status, done.json["state"]) == (200, "closed")
    one = (await ask(console, "GET", f"/{numbers[0]}", who="operator")).json
    assert [decision["note"] for decision in one["decisions"]] == ["right now"]
    assert (await ask(console, "GET", "")).json["waiting"]["open"] == before - 1
    assert (await ask(console, "POST", f"/{numbers[1]}/contact", {"reason": ""})).status == 400
    assert (await ask(console, "POST", f"/{numbers[1]}/contact?dry_run=true", {"reason": "r"})).json == {"contact": ""}
    assert (await ask(console, "POST", f"/{numbers[1]}/contact", {"reason": "r"})).json == {"contact": PHONE}
    for number in (0, -1, 2**63, 10**30):
        assert (await ask(console, "GET", f"/{number}")).status in (400, 404)


async def test_a_firm_that_guesses_numbers_finds_nothing(console: Console) -> None:
    number = await report(console, "kept")
    await sign(console.world, "auditor", NewAccount("aud", ["regulator"], PASSWORD, area="321302"))
    for who in ("tofu", "auditor"):
        assert (await ask(console, "GET", f"/{number}", who=who)).status == 404
        status = (await ask(console, "POST", f"/{number}/decision", {"state": "closed", "note": "x"}, who=who)).status
        assert status == (404 if who == "tofu" else 403)
