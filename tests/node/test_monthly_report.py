"""The monthly report: what was measured and what people said arrives with its sheet; nothing is made up."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from node.monthly_report import read_given, report_month
from node.outbox import renew
from node.probing import Prober, cut_days
from node.reporting import report_day
from node.reporting_loop import step
from node.store import outbox as store
from node.store.monthly_reports import add_operating
from node.toplevel import book as above_store
from node.toplevel.score import score
from node.toplevel_client import Call
from node.toplevel_link import reconcile_month
from node.watching import check_stored
from registry.latencies import Span
from registry.store.latencies import add_latencies
from schemas.days import get_day, get_start, get_working_day, list_months
from schemas.errors import InvalidInput
from schemas.toplevel_envelope import Envelope, encode_envelope
from schemas.toplevel_form import File, decode_form, encode_form, format_form_type
from schemas.toplevel_tables import MAX_REPORT_BYTES, TABLES, find_overdue_month, judge_row
from tests.node.pdf_reading import read_cells
from tests.node.test_monitoring import run_resolver
from tests.node.test_toplevel_reporting import REPORTER, above, make_link, node, send_all
from tests.node.toplevel_world import PREFIX, START, Above

__all__ = ["above", "node"]

MONTH = "2026-10"
GIVEN: dict[str, Any] = {
    "maintenance": [{"from": "2026-10-12T01:00+08:00", "to": "2026-10-12T03:30+08:00", "what": "升级数据库"}],
    "emergencies": [], "remarks": "十月新增泵厂两家", "registrationHours": 743.5,
}  # fmt: skip


async def measure(conn: asyncpg.Connection) -> None:
    """Two months of requests, half of October in operation, and one prefix that waited six hours for its approval."""
    first = await conn.fetchrow(
        "UPDATE prefixes SET enabled_on = '2026-10-05' WHERE prefix = '88.101.1' RETURNING prefix_id, (SELECT"
        " min(enterprise_id) FROM enterprises) AS firm"
    )
    at = datetime(2026, 10, 5, tzinfo=UTC)
    for day, took in ((date(2026, 9, 1), 1_000), (date(2026, 10, 1), 3_000), (date(2026, 11, 1), 10**9)):
        spans = {(first["prefix_id"], day): Span(2, took, took, at, 0, at)}
        await add_latencies(conn, "resolve", spans)
    await add_latencies(
        conn, "register", {(first["prefix_id"], date(2026, 10, 1)): Span(1, 9_000, 9_000, at, 9_000, at)}
    )
    for hours in (0, 6):
        await conn.execute(
            "INSERT INTO decisions (enterprise_id, prefix, decision, actor, at)"
            " VALUES ($1, '88.101.1', 'approved', 'x', $2)", first["firm"], at + timedelta(hours=hours),
        )  # fmt: skip
    await add_operating(conn, {date(2026, 10, 1): 1_300_000_000, date(2026, 10, 2): 39_200_000})


async def test_it_arrives_with_what_was_measured_what_was_said_and_its_sheet(
    node: asyncpg.Connection, above: Above
) -> None:
    await measure(node)
    assert len((await report_month(node, REPORTER, MONTH, GIVEN, above.clock())).messages) == 1
    assert (await report_month(node, REPORTER, MONTH, {}, above.clock())).messages == [], "what was said stays"
    await send_all(node, above)
    (row,) = above.rows("MR", MONTH)
    assert [entry["month"] for entry in row["sla"]] == list_months(MONTH, 6)
    assert row["sla"][:4] == [{"month": month} for month in list_months("2026-08", 4)], "nothing is made up"
    assert row["sla"][4:] == [
        {"month": "2026-09", "resolveAvgMs": 0.5},
        {"month": MONTH, "resolveAvgMs": 1.5, "registerAvgMs": 9.0, "effectiveHours": 6.0},
    ]
    assert row["average"] == {"resolveAvgMs": 1.0, "registerAvgMs": 9.0, "effectiveHours": 6.0}
    assert row["operating"] == [
        {"service": "resolution", "of": 744, "hours": 372.0}, {"service": "registration", "of": 744, "hours": 743.5},
    ]  # fmt: skip
    assert {name: row[name] for name in ("maintenance", "emergencies", "remarks")} == {
        name: GIVEN[name] for name in ("maintenance", "emergencies", "remarks")
    }
    assert read_given(row) == GIVEN
    async with above.session.get(f"http://127.0.0.1:{above.port}/files/{PREFIX}/MR/{MONTH}") as answer:
        text = " ".join(read_cells(await answer.read()))
    for words in ("2026-10", "升级数据库", "743.5", "未测得", "2026-11-13", "十月新增泵厂两家"):
        assert words in text, words
    await report_month(node, REPORTER, MONTH, {"remarks": "更正"}, above.clock())
    (message,) = await store.fetch_latest_of(node, "MR", MONTH, PREFIX)
    await renew(node, message, "asked for", above.clock())
    await send_all(node, above)
    (row,) = above.rows("MR", MONTH)
    assert (row["remarks"], row["maintenance"]) == ("更正", GIVEN["maintenance"])
    assert {message.state for message in await store.fetch_messages(node)} == {"accepted", "replaced"}
    assert await reconcile_month(node, await make_link(node, above), MONTH, above.clock())


async def test_without_a_word_from_anybody_it_goes_as_it_is_on_the_eighth_working_day(
    node: asyncpg.Connection, above: Above
) -> None:
    link = await make_link(node, above)
    await report_day(node, REPORTER, date(2026, 10, 31), get_start(date(2026, 11, 1)))
    for day, revisions in ((date(2026, 11, 10), 0), (date(2026, 11, 11), 1), (date(2026, 11, 12), 1)):
        above.clock.now = get_start(day) + timedelta(minutes=1)
        await step(node, link, above.clock)
        assert len(await store.fetch_messages(node, table_name="MR")) == revisions, day
    (row,) = above.rows("MR", MONTH)
    assert "maintenance" not in row
    assert row["operating"] == [{"service": name, "of": 744} for name in ("resolution", "registration")]
    (line,) = [line for line in score(above.book, date(2026, 11, 11), 1) if line["table"] == "MR"]
    assert (line["period"], line["complete"]) == (MONTH, 1.0)


async def test_one_that_did_not_arrive_is_missed_on_both_sides(node: asyncpg.Connection, above: Above) -> None:
    month = find_overdue_month(get_day(datetime.now(UTC)))
    assert await check_stored(node) == []
    day = date.fromisoformat(f"{month}-05")
    above.clock.now = get_start(day + timedelta(days=1))
    await report_day(node, REPORTER, day, above.clock())
    await send_all(node, above)
    (overdue,) = await check_stored(node)
    due = get_working_day(month, 10)
    assert (overdue.cause, overdue.subject, overdue.details) == ("report_overdue", month, {"due": due.isoformat()})
    lines = {day: [line for line in score(above.book, day, 1) if line["table"] == "MR"] for day in (due, due - DAY)}
    assert [line["complete"] for line in lines[due]] == [0.0]
    assert lines[due - DAY] == [], "before it is due nobody misses it"
    above.clock.now = get_start(due)
    await report_month(node, REPORTER, month, {}, above.clock())
    assert len(await check_stored(node)) == 1, "written is not arrived"
    await send_all(node, above)
    assert await check_stored(node) == []


DAY = timedelta(days=1)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"weather": "fine"}, "weather"),
    ({"registrationHours": 745}, "operating"),
    ({"registrationHours": "all"}, "operating"),
    ({"maintenance": "none"}, "maintenance"),
    ({"maintenance": [{"what": "x"}]}, "maintenance"),
    ({"emergencies": [GIVEN["maintenance"][0] | {"to": "2026-10-12T00:59+08:00"}]}, "emergencies"),
    ({"remarks": "x" * 4_001}, "remarks"),
]


async def test_what_cannot_be_is_refused_before_it_is_sent(node: asyncpg.Connection) -> None:
    for given, field in REFUSED:
        with pytest.raises(InvalidInput) as refused:
            await report_month(node, REPORTER, MONTH, GIVEN | given, START)
        assert refused.value.field == field, given
    for month in ("2026-11", "2026-13", "last"):
        with pytest.raises(InvalidInput):
            await report_month(node, REPORTER, month, {}, START)
    assert await store.fetch_messages(node) == []


PDF = File("x.pdf", "application/pdf", b"\r\n--x\r\n\r\n\0\xff")
ROW: dict[str, Any] = {
    "month": MONTH, "sla": [{"month": month} for month in list_months(MONTH, 6)], "average": {}, "operating": [],
    "file": {"name": "x.pdf", "type": "application/pdf", "size": len(PDF.content), "sha256": PDF.sha256},
}  # fmt: skip
BODIES: list[tuple[list[dict[str, Any]], File, tuple[int, str], str]] = [
    ([ROW], PDF, (200, ""), "as it must be"),
    ([ROW], PDF._replace(content=b"other"), (422, "E520"), "another file than the one that is described"),
    ([ROW | {"file": ROW["file"] | {"type": "text/html"}}], PDF, (422, "E520"), "no document"),
    ([ROW | {"sla": ROW["sla"][1:]}], PDF, (422, "E517"), "five months"),
    ([ROW | {"month": "2026-09"}], PDF, (422, "E517"), "another month"),
    ([], PDF, (400, "E101"), "a file without a row"),
    ([ROW | {"month": "2026-11"}], PDF, (422, "E514"), "a month that is not over"),
    ([ROW], PDF._replace(content=bytes(MAX_REPORT_BYTES)), (413, "E521"), "more than 10 MB"),
]


async def test_the_node_above_judges_row_and_file(above: Above) -> None:
    for revision, (rows, file, expected, reason) in enumerate(BODIES):
        month = "2026-11" if expected[1] == "E514" else MONTH
        body = encode_form(encode_envelope(Envelope("MR", PREFIX, month, str(uuid4()), rows, rev=revision)), file)
        answer = await above.toplevel.call(
            Call("POST", "/reports/monthly", PREFIX, body, format_form_type(body)), above.clock()
        )
        found = (answer.document or {}).get("rejected") or [{"code": ""}]
        assert (answer.status, found[0]["code"]) == expected, reason
    plain = encode_envelope(Envelope("MR", PREFIX, MONTH, str(uuid4()), [ROW]))
    for kind, expected in (("multipart/form-data; boundary=b", (400, "E104")), ("application/json", (415, "E102"))):
        answer = await above.toplevel.call(Call("POST", "/reports/monthly", PREFIX, plain, kind), above.clock())
        assert (answer.status, (answer.document or {})["code"]) == expected, "no form"
    kept = above_store.find_file(above.book, PREFIX, "MR", MONTH)
    assert kept == PDF, "what was refused has replaced nothing"
    assert judge_row(TABLES["MR"], ROW, PREFIX, MONTH) == []


BROKEN = [
    b"",
    b"--x\r\n",
    b"--x\r\n\r\n\r\n--x--",
    b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n1\r\n--x--',
]


@pytest.mark.parametrize("body", BROKEN)
def test_a_form_that_is_none_is_named_so(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"boundary|end|part|report"):
        decode_form(body)


NIGHT = get_start(date(2026, 11, 21))
SPANS: list[tuple[float, float, dict[str, int], str]] = [
    (10, 70, {"2026-11-21": 60_000}, "a minute"),
    (-20, 40, {"2026-11-20": 20_000, "2026-11-21": 40_000}, "over midnight"),
    (0, 120, {}, "a round was missed"),
    (60, 0, {}, "the clock was set back"),
]


@pytest.mark.parametrize(("since", "until", "expected", "reason"), SPANS, ids=[case[3] for case in SPANS])
def test_time_of_operation_lies_between_two_answered_rounds(
    since: float, until: float, expected: dict[str, int], reason: str
) -> None:
    found = cut_days(NIGHT + timedelta(seconds=since), NIGHT + timedelta(seconds=until))
    assert {day.isoformat(): span for day, span in found.items()} == expected, reason


async def test_the_agents_rounds_are_time_of_operation_unless_one_is_not_answered(node: asyncpg.Connection) -> None:
    async with run_resolver(200) as (url, _):
        prober = Prober(url, "token", (PREFIX,))
        for address, grows in ((url, False), (url, True), ("http://127.0.0.1:9", False), (url, False), (url, True)):
            before = await node.fetchval("SELECT coalesce(sum(milliseconds), 0) FROM operating_days")
            prober._url = address
            await asyncio.sleep(0.002)  # a round takes a millisecond at least
            await prober.look(node)
            after = await node.fetchval("SELECT coalesce(sum(milliseconds), 0) FROM operating_days")
            assert (after > before) is grows
