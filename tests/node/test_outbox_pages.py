"""The console's pages of reports upwards: refused rows lead to where they are mended, nothing is sent unasked."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from node.master_data import DAY_MARK
from node.outbox import Report, enqueue
from node.store import outbox as store
from node.store.applications import Details, insert_application
from node.store.outbox import Outcome, Refusal
from node.toplevel_link import LINK
from registry.accounts import NewAccount
from schemas.days import get_day, get_working_day, list_months
from schemas.texts.outbox_pages import PAGES
from schemas.toplevel_form import File
from tests.node.toplevel_world import make_firm_row
from tests.registry.console_world import PASSWORD, Console, add_visitor, open_console
from tests.registry.people import make_uscc

NOW = datetime.now(UTC)
TODAY = get_day(NOW)
YESTERDAY = (TODAY - timedelta(days=1)).isoformat()
PACKAGE = Path(__file__).parents[2] / "node"


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """Yesterday's figures were accepted, today's wait; dossiers were refused in part; a dead letter; 60 old days."""
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        for name in ("engineer", "regulator", "reviewer"):
            area = "320000" if name == "regulator" else ""
            made.visitors[name] = await add_visitor(made, NewAccount(name, [name], PASSWORD, area=area))
        await write(
            made, "T8", YESTERDAY, [make_firm_row(5) | {"day": YESTERDAY}], Outcome("accepted", NOW, NOW, 200, "r1")
        )
        await write(made, "T8", TODAY.isoformat(), [make_firm_row(5)], None)
        await write(
            made, "T6", "current", [{"crtCode": make_uscc(901), "orgName": "<b>Firm</b>"}, {"crtCode": "X"}], REFUSED
        )
        await write(
            made, "T4", "current", [{"handle": "88.101/META_a"}], Outcome("dead", NOW, NOW, None, trouble="away")
        )
        for back in range(2, 62):
            day = (TODAY - timedelta(days=back)).isoformat()
            await write(made, "T3", day, [{"prefix": "88.101", "day": day}], Outcome("accepted", NOW, NOW, 200, "r"))
        yield made


REFUSED = Outcome(
    "refused", NOW, NOW, 200, "r2", "E506", "",
    (Refusal(0, "crtCode", "E506", make_uscc(901), "does not check"), Refusal(1, "verify", "X999", "X", "so be it")),
)  # fmt: skip


async def write(console: Console, table: str, period: str, rows: list[dict[str, Any]], outcome: Outcome | None) -> int:
    """A message in the outbox and what came of it; its number."""
    async with console.world.state.connect() as conn, conn.transaction():
        message_id = await enqueue(conn, Report(table, period, "88.101", rows), NOW)
        assert message_id is not None
        if outcome is not None:
            await store.store_outcome(conn, message_id, outcome)
        found = await store.find_message(conn, message_id)
        assert found is not None
        return found.number


async def find(console: Console, table: str) -> store.Message:
    """The newest message of a table."""
    async with console.world.state.connect() as conn:
        return (await store.fetch_messages(conn, limit=1, table_name=table))[0]


async def test_the_page_says_what_was_sent_what_waits_and_what_is_missing(console: Console) -> None:
    day = TODAY - timedelta(days=1)
    async with console.world.state.connect() as conn:
        await conn.execute(
            "INSERT INTO day_closes (node_prefix, day, revision, sequence, closed_at, row_count, figures,"
            " previous_seal, seal) VALUES ('88.101', $1, 0, 1, now(), 0, '{}', '', '')",
            day,
        )
    page = await console["operator"].get("/outbox")
    assert page.status == 200, page.shown
    assert "Waiting 1 Refused 1 Parked 1" in page.shown
    assert "since no receipt came for 72 hours: 1" in page.shown
    assert re.search(rf"{YESTERDAY} 88\.101 not reported accepted 1/1 not reported", page.shown)
    assert "T6 Enterprises 88.101 refused 0/1 rows refused: 2" in page.shown
    for read_until, said in ((day - timedelta(days=1), "not reported"), (day, "nothing to report")):
        async with console.world.state.connect() as conn:
            await store.set_mark(conn, DAY_MARK, read_until.isoformat(), NOW)
        page = await console["operator"].get("/outbox")
        assert re.search(rf"{YESTERDAY} 88\.101 not reported accepted 1/1 {said}", page.shown), read_until


async def test_what_is_not_the_same_above_is_shown_with_both_sides_to_the_operator(console: Console) -> None:
    sides = ('{"rows": 12345, "sum": 7, "root": "aa11"}', '{"rows": 12344, "sum": 7, "root": "<b>"}')
    async with console.world.state.connect() as conn:
        await conn.execute(
            "INSERT INTO toplevel_reconciliations VALUES"
            " ('T8', $1, '88.101', $2::text::jsonb, $3::text::jsonb, false, $4)",
            YESTERDAY, *sides, NOW,
        )  # fmt: skip
    page = await console["operator"].get("/outbox")
    assert f"T8 Enterprises' day {YESTERDAY} 88.101 Rows 12,345 12,344" in page.shown
    assert "Contents (Merkle root) aa11 <b>" in page.shown
    assert "Sum of the main figure" not in page.shown, "the same on both sides"
    assert "12,344" not in (await console["engineer"].get("/outbox")).shown
    async with console.world.state.connect() as conn:
        await conn.execute("UPDATE toplevel_reconciliations SET equal = true")
    assert "12,344" not in (await console["operator"].get("/outbox")).shown


async def test_messages_are_found_by_table_day_and_state_and_listed_page_by_page(console: Console) -> None:
    operator = console["operator"]
    for query, count in (("table=T3", 50), ("table=T8", 2), (f"day={YESTERDAY}", 1), ("day=current", 2),
                         ("state=dead", 1), ("state=refused&table=T6", 1), ("state=refused&table=T8", 0)):  # fmt: skip
        page = await operator.get(f"/outbox?{query}")
        assert len(re.findall(r'href="/console/outbox/\d+"', page.text)) == count, query
    seen, path = [], "/outbox?table=T3"
    while path:
        page = await operator.get(path)
        seen += re.findall(r'href="/console/outbox/(\d+)"', page.text)
        found = re.search(r'href="(\?[^"]*before=\d+)"', page.text)
        path = "/outbox" + found[1].replace("&amp;", "&") if found else ""
    assert len(seen) == len(set(seen)) == 60
    month = TODAY.isoformat()[:7]
    await write(console, "T10", month, [{"appName": "scan"}], None)
    overview = await operator.get("/outbox")
    assert f"table=T10&amp;day={month}" in overview.text
    for link in re.findall(r'href="/console(/outbox\?[^"]+)"', overview.text):
        assert (await operator.get(link.replace("&amp;", "&"))).status == 200, link
    for query in ("table=T99", "state=lost", "day=2026-13", "day=yesterday", "day=%E2%80%AE",
                  "table=%3Cscript%3E", "before=x"):  # fmt: skip
        page = await operator.get(f"/outbox?{query}")
        assert page.status == 400, query
        assert "<script>" not in page.text


async def test_a_refused_row_is_named_in_words_and_leads_to_the_dossier(console: Console) -> None:
    message = await find(console, "T6")
    page = await console["operator"].get(f"/outbox/{message.number}")
    assert "Rows refused: 2 of 2." in page.shown
    assert "T6 E506 The social credit code does not check (crtCode)." in page.shown
    assert "The node above says: does not check" in page.shown
    assert "T6 X999 so be it" in page.shown, "a code of a later contract is shown as it came"
    assert f'href="/console/enterprises/{console.world.firms["pump"].enterprise_id}"' in page.text
    assert "<b>Firm" not in page.text and "&lt;b&gt;Firm" in page.text
    zh = await console["operator"].get(f"/outbox/{message.number}", **{"Accept-Language": "zh"})
    assert "统一社会信用代码校验不通过" in zh.shown


async def test_a_refused_application_leads_to_its_own_page(console: Console) -> None:
    async with console.world.state.connect() as conn, conn.transaction():
        made = await insert_application(conn, "88.101", Details("scan|查码", 3), ("clerk", NOW))
    for table, key in (("T5", "scan|查码"), ("T10", "88.101|scan|查码"), ("T5", "gone")):
        refused = Outcome("refused", NOW, NOW, 422, "r", "E103", "", (Refusal(0, "name", "E103", key, ""),))
        number = await write(console, table, "2026-10", [{"name": key}], refused)
        page = await console["operator"].get(f"/outbox/{number}")
        leads = f'href="/console/applications/one?number={made.application_id}"' in page.text
        assert leads is (key != "gone"), table


async def test_the_engineer_reads_what_became_of_messages_and_not_what_stands_in_them(console: Console) -> None:
    message = await find(console, "T6")
    page = await console["engineer"].get(f"/outbox/{message.number}")
    assert page.status == 200
    assert "E506" in page.shown
    assert "Firm" not in page.text and "/enterprises/" not in page.text and "retry" not in page.text
    assert (await console["engineer"].get(f"/outbox/{message.number}/retry")).status == 403
    assert (await console["engineer"].post(f"/outbox/{message.number}/retry")).status == 403
    for who in ("pump", "reviewer", "regulator"):
        visitor = console[who]
        shown = (await visitor.get("/")).text
        for path in ("/outbox", f"/outbox/{message.number}", f"/outbox/{message.number}/retry"):
            assert (await visitor.get(path)).status == 403, (who, path)
        assert "/console/outbox" not in shown


async def test_a_message_is_sent_again_after_a_confirmation_and_it_is_on_record(console: Console) -> None:
    operator, message = console["operator"], await find(console, "T6")
    shown = await operator.get(f"/outbox/{message.number}/retry")
    assert "Revision 1 is written with the same" in shown.shown
    done = await operator.post(f"/outbox/{message.number}/retry", {"reason": "the node above was wrong"})
    assert done.status == 303
    renewed = await find(console, "T6")
    assert (renewed.revision, renewed.state) == (1, "waiting")
    assert done.location == f"/console/outbox/{renewed.number}?done=outbox_retried"
    async with console.world.state.connect() as conn:
        (reason,) = await conn.fetchrow(
            "SELECT reason FROM audit_pending WHERE subject LIKE '%/retry' AND outcome = 'ok'"
        )
    assert reason == "the node above was wrong"
    page = await operator.get(f"/outbox/{renewed.number}", **{"Accept-Language": "zh"})
    assert "重报原因 运营方重新发送" in page.shown
    again = await operator.post(f"/outbox/{message.number}/retry")
    assert again.status == 400
    assert "revision 1" in (await operator.get(f"/outbox/{message.number}")).shown
    dead = await find(console, "T4")
    assert (await operator.post(f"/outbox/{dead.number}/retry")).status == 303
    assert (await find(console, "T4")).state == "waiting"
    accepted = await find(console, "T3")
    assert (await operator.post(f"/outbox/{accepted.number}/retry")).status == 400
    for number in ("0", "999999", "99999999999999999999"):
        assert (await operator.get(f"/outbox/{number}")).status == 404


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("who", ["operator", "engineer"])
async def test_pages_are_whole_in_both_languages(console: Console, who: str, language: str) -> None:
    for path in ("/outbox", f"/outbox/{(await find(console, 'T8')).number}"):
        page = await console[who].get(path, **{"Accept-Language": language})
        assert page.status == 200
        assert language == "zh" or not re.search(r"[\u4e00-\u9fff]{2}", page.shown.replace("中文", ""))


@pytest.mark.parametrize(
    ("trouble", "age", "said"),
    [(None, 0, "Nothing was reported"), ("", 0, "answers, last at"), ("refused to connect", 0, "(refused to connect)"),
     ("", 6, "was not asked within five minutes")],
)  # fmt: skip
async def test_the_page_says_whether_the_node_above_answers(
    console: Console, trouble: str | None, age: int, said: str
) -> None:
    async with console.world.state.connect() as conn:
        await conn.execute("UPDATE outbox SET state = 'replaced' WHERE state IN ('dead', 'refused')")
        if trouble is not None:
            at = datetime.now(UTC) - timedelta(minutes=age)
            await store.set_mark(conn, LINK, trouble, at)
            await store.set_mark(conn, f"{LINK}_ok", "", at)
    assert said in (await console["operator"].get("/outbox")).shown


async def test_the_monthly_report_is_asked_for_and_its_sheet_is_there_to_read(console: Console) -> None:
    operator, month = console["operator"], list_months(TODAY.isoformat()[:7], 2)[0]
    page = await operator.get("/outbox")
    due = get_working_day(month, 10)
    said = "was" if due < TODAY else "is"
    assert f"The monthly report of {month} was not sent yet; it {said} due by {due}" in page.shown
    sheet = File(f"MR-88.101-{month}.pdf", "application/pdf", b"%PDF-1.3 sheet")
    row = {"month": month, "remarks": "<i>all well</i>"}
    async with console.world.state.connect() as conn, conn.transaction():
        await enqueue(conn, Report("MR", month, "88.101", [row], file=sheet), NOW)
    page = await operator.get("/outbox")
    assert "was not sent yet" not in page.shown
    assert f"MR The monthly report · {month} 88.101 waits" in page.shown
    number = (await find(console, "MR")).number
    page = await operator.get(f"/outbox/{number}")
    assert "Download the sheet" in page.shown
    assert "&lt;i&gt;all well" in page.text
    found = await operator.get(f"/outbox/{number}/file")
    assert (found.status, found.text) == (200, "%PDF-1.3 sheet")
    assert sheet.name in found.headers["Content-Disposition"]
    assert (await operator.get(f"/outbox/{(await find(console, 'T8')).number}/file")).status == 404
    assert (await console["engineer"].get(f"/outbox/{number}/file")).status == 403
    assert "Download" not in (await console["engineer"].get(f"/outbox/{number}")).shown


def test_every_word_is_said_somewhere() -> None:
    sources = [PACKAGE / "outbox_pages.py", *(PACKAGE / "pages").glob("*outbox*.html")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    said = set(re.findall(r"""["'](outbox(?:_[A-Za-z_0-9]+)?)["']""", source))
    built = re.compile(r"outbox_((state|compared)_\w+|[TM]\d+H?|MR|PREFIXES|STATE)|done_.*")
    assert {key for key in PAGES if not built.fullmatch(key)} - said == set()
    heads = {"outbox_", "outbox_state_", "outbox_compared_"}
    assert {key for key in said if key not in PAGES} <= {"outbox_unknown", "outbox_retried", *heads}
