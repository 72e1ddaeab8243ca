"""The outbox against a rehearsal top-level node: whatever happens on the way, the same arrives once."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncpg import Connection

from node import outbox
from node.outbox import Report, choose_pause_seconds, enqueue, judge_answer, retry, send, send_due
from node.store import outbox as store
from node.toplevel_client import Answer, TopLevel
from schemas.errors import Conflict
from tests.node.toplevel_world import PREFIX, START, YESTERDAY, Above, make_firm_row, run_above


@pytest_asyncio.fixture
async def above(tmp_path: Path) -> AsyncIterator[Above]:
    async with run_above(tmp_path / "above") as running:
        yield running


async def report(conn: Connection, above: Above, rows: list[dict[str, Any]], **more: Any) -> Any:
    return await enqueue(conn, Report("T8", YESTERDAY, PREFIX, rows, **more), above.clock())


async def send_all(conn: Connection, above: Above) -> tuple[int, bool]:
    return await send_due(conn, above.toplevel, above.clock, 1_000, lambda: 0.0)


async def list_states(conn: Connection) -> list[str]:
    return [message.state for message in reversed(await store.fetch_messages(conn))]


async def test_a_report_arrives_once_and_is_not_sent_again(connection: Connection, above: Above) -> None:
    await report(connection, above, [make_firm_row(1)])
    assert await report(connection, above, [make_firm_row(1)]) is None, "nothing has changed"
    assert await send_all(connection, above) == (1, True)
    assert await send_all(connection, above) == (0, True)
    assert above.rows("T8") == [make_firm_row(1)]
    (message,) = await store.fetch_messages(connection)
    assert (message.state, message.revision, message.answer_status) == ("accepted", 0, 200)
    assert message.receipt_id


async def test_what_changed_goes_as_the_next_revision_and_replaces_what_was_not_sent(
    connection: Connection, above: Above
) -> None:
    await report(connection, above, [make_firm_row(1)])
    await report(connection, above, [make_firm_row(1, 11)])
    assert await list_states(connection) == ["replaced", "waiting"]
    await send_all(connection, above)
    await report(connection, above, [make_firm_row(1, 12)])
    await send_all(connection, above)
    assert await list_states(connection) == ["replaced", "accepted", "accepted"]
    assert above.rows("T8") == [make_firm_row(1, 12)]


async def test_an_old_revision_that_comes_late_changes_nothing(connection: Connection, above: Above) -> None:
    await report(connection, above, [make_firm_row(1)])
    (old,) = await store.fetch_messages(connection)
    await report(connection, above, [make_firm_row(1, 11)])
    await send_all(connection, above)
    await send(connection, above.toplevel, old, above.clock)
    assert above.rows("T8") == [make_firm_row(1, 11)]


async def test_a_refused_row_is_named_holds_nothing_back_and_goes_again_when_it_is_repaired(
    connection: Connection, above: Above
) -> None:
    bad = make_firm_row(2) | {"resolveOk": 9}
    await report(connection, above, [make_firm_row(1), bad])
    await enqueue(connection, Report("T8", "2026-11-19", PREFIX, [make_firm_row(1) | {"day": "2026-11-19"}]), START)
    assert await send_all(connection, above) == (2, True)
    assert sorted(await list_states(connection)) == ["accepted", "refused"]
    assert above.rows("T8") == [make_firm_row(1)], "the other row of the message arrived"
    (refused,) = await store.fetch_messages(connection, ["refused"])
    (refusal,) = await store.fetch_refusals(connection, refused.message_id)
    assert (refusal.row_number, refusal.row_key, refusal.field, refusal.code) == (1, "88.101.2", "resolveOk", "E501")
    assert "解析" in refusal.message
    assert "succeeded" in refusal.message
    assert (await store.fetch_standing(connection)).refused == 1
    await report(connection, above, [make_firm_row(1), make_firm_row(2)])
    await send_all(connection, above)
    assert above.rows("T8") == [make_firm_row(1), make_firm_row(2)]
    assert (await store.fetch_standing(connection)).refused == 0


async def test_72_hours_away_then_errors_then_slow_then_doubled_and_lost_receipts_change_no_total(
    connection: Connection, above: Above
) -> None:
    """Every report is also sent three times, in an order that is shuffled."""
    alarmed = False
    above.behave(away=True)
    nowhere = TopLevel("http://127.0.0.1:9/tln/v1", above.session, above.signer)
    for number in range(1, 9):
        rows = [make_firm_row(number, number, asked=number), make_firm_row(100 + number, 2 * number)]
        await report(connection, above, rows, part=number, parts=8)
    for step in range(39):  # two hours each, and six more
        await send_due(connection, nowhere if step % 2 else above.toplevel, above.clock, 4, lambda: 0.0)
        above.clock.pass_(hours=2)
        standing = await store.fetch_standing(connection)
        alarmed = alarmed or standing.dead > 0
        assert standing.waiting + standing.dead == 8
    assert alarmed, "dead letters are seen after 72 hours"
    assert above.rows("T8") == []
    for message in await store.fetch_messages(connection, ["dead"]):
        await retry(connection, message, above.clock())
    for told in ({"fail_every": 2}, {"slow_ms": 1}, {"double_every": 1}, {"lose_every": 2}, {"wrong_every": 3}, {}):
        above.behave(**told)
        await send_due(connection, above.toplevel, above.clock, 4, lambda: 0.0)
        above.clock.pass_(seconds=301)
    while (await send_all(connection, above))[0]:
        above.clock.pass_(seconds=301)
    again = await store.fetch_messages(connection) * 3
    random.Random(1).shuffle(again)
    for message in again:
        await send(connection, above.toplevel, message, above.clock)
    received = above.rows("T8")
    assert len(received) == 16
    assert sum(row["regNew"] for row in received) == 3 * sum(range(1, 9))
    assert sum(row["resolveReq"] for row in received) == sum(range(1, 9)) + 8 * 5
    assert set(await list_states(connection)) == {"accepted"}


async def test_with_the_wire_cut_nothing_is_received_and_the_first_silence_ends_the_pass(
    connection: Connection, above: Above
) -> None:
    nowhere = TopLevel("http://127.0.0.1:9/tln/v1", above.session, above.signer)
    for part in (1, 2, 3):
        await report(connection, above, [make_firm_row(part)], part=part, parts=3)
    assert await send_due(connection, nowhere, above.clock) == (0, False)
    assert above.rows("T8") == []
    assert [m.attempts for m in reversed(await store.fetch_messages(connection))] == [1, 0, 0]
    assert (await store.fetch_messages(connection))[-1].trouble


async def test_letters_that_died_of_silence_are_revived_and_others_are_not(
    connection: Connection, above: Above
) -> None:
    await report(connection, above, [make_firm_row(1)])
    above.clock.pass_(hours=73)
    await send_due(connection, TopLevel("http://127.0.0.1:9", above.session, above.signer), above.clock)
    above.behave(fail_every=1)
    await report(connection, above, [make_firm_row(2)], part=2, parts=2)
    (second, first) = await store.fetch_messages(connection)
    assert first.state == "dead"
    above.clock.pass_(hours=73)
    await send_all(connection, above)
    assert await list_states(connection) == ["dead", "dead"]
    assert await store.revive_unanswered(connection, above.clock()) == 1
    assert await list_states(connection) == ["waiting", "dead"]
    await retry(connection, second, above.clock())
    above.behave()
    await send_all(connection, above)
    assert await list_states(connection) == ["accepted", "accepted"]


async def test_only_what_waits_or_was_refused_can_be_retried(connection: Connection, above: Above) -> None:
    await report(connection, above, [make_firm_row(1)])
    await send_all(connection, above)
    (done,) = await store.fetch_messages(connection)
    with pytest.raises(Conflict):
        await retry(connection, done, above.clock())
    above.behave(refuse_table="T8")
    await report(connection, above, [make_firm_row(1, 12)])
    await send_all(connection, above)
    (refused,) = await store.fetch_messages(connection, ["refused"])
    above.behave()
    await retry(connection, refused, above.clock())
    await send_all(connection, above)
    assert above.rows("T8") == [make_firm_row(1, 12)]
    with pytest.raises(Conflict):
        await retry(connection, refused, above.clock())
    await store.forget_bodies(connection, above.clock() + timedelta(days=1))
    with pytest.raises(Conflict):
        await outbox.renew(connection, (await store.fetch_messages(connection, ["accepted"]))[0], "x", above.clock())


RECEIPT = {"receiptId": "r", "status": "ACCEPTED", "received": 1, "rejected": []}
ANSWERS: list[tuple[Answer, str, str]] = [
    (Answer(200, RECEIPT), "accepted", "a receipt"),
    (Answer(201, RECEIPT), "accepted", "a prefix that was given"),
    (Answer(200, RECEIPT | {"status": "PENDING"}), "sent", "a person decides"),
    (Answer(200, RECEIPT | {"status": "PARTIAL"}), "refused", "some rows"),
    (Answer(422, RECEIPT | {"status": "REJECTED"}), "refused", "all rows"),
    (Answer(409, RECEIPT | {"status": "REJECTED"}), "refused", "another content of this revision"),
    (Answer(401, RECEIPT | {"status": "REJECTED"}), "waiting", "our clock or key: not the message's fault"),
    (Answer(404, RECEIPT | {"status": "REJECTED"}), "waiting", "what it is about comes later"),
    (Answer(500, RECEIPT), "waiting", "an error is no receipt, whatever it says"),
    (Answer(200, {"hello": "world"}), "waiting", "somebody else's answer"),
    (Answer(200, RECEIPT | {"status": "GREAT"}), "waiting", "a status nobody knows"),
    (Answer(200, None), "waiting", "no document"),
    (Answer(503, None, retry_after_seconds=7.0), "waiting", "asks for patience"),
    (Answer(None, reason="refused"), "waiting", "no answer"),
]


@pytest.mark.parametrize(("answer", "state", "reason"), ANSWERS, ids=[case[2] for case in ANSWERS])
async def test_what_an_answer_means(
    answer: Answer, state: str, reason: str, connection: Connection, above: Above
) -> None:
    await report(connection, above, [make_firm_row(1)])
    (message,) = await store.fetch_messages(connection)
    outcome = judge_answer(message, answer, START, 0.0)
    assert outcome.state == state, reason
    if answer.retry_after_seconds:
        assert outcome.next_at == START + timedelta(seconds=7)
    late = judge_answer(message, answer, START + timedelta(hours=72), 0.0)
    assert late.state == ("dead" if state == "waiting" else state)


@pytest.mark.parametrize(("row", "number"), [(0, 0), (1, 1), (-1, -1), (2**31, -1), (True, -1), ("0", -1), (None, -1)])
async def test_a_receipt_numbers_rows_from_zero(row: object, number: int, connection: Connection, above: Above) -> None:
    await report(connection, above, [make_firm_row(1)])
    (message,) = await store.fetch_messages(connection)
    answer = Answer(200, RECEIPT | {"status": "PARTIAL", "rejected": [{"row": row}]})
    (refusal,) = judge_answer(message, answer, START, 0.0).refusals
    assert refusal.row_number == number


def test_pauses_grow_to_five_minutes_and_differ() -> None:
    assert [choose_pause_seconds(attempts, 0.0) for attempts in (0, 1, 2, 8, 9, 500)] == [1, 2, 4, 256, 300, 300]
    assert choose_pause_seconds(9, 1.0) == 150


async def test_master_data_travel_as_lines_in_parts(connection: Connection, above: Above) -> None:
    rows = [{"handle": f"88.101.7/{n}", "created": YESTERDAY, "op": 1} for n in range(1, 4)]
    ranged = {"handle": "88.101.7/A001", "handleLast": "88.101.7/A900", "count": 900, "created": YESTERDAY, "op": 1}
    await enqueue(connection, Report("T9", YESTERDAY, PREFIX, rows, 1, 2, 77), above.clock())
    await enqueue(connection, Report("T9", YESTERDAY, PREFIX, [ranged], 2, 2, 78), above.clock())
    assert await send_all(connection, above) == (2, True)
    assert above.rows("T9") == [*rows, ranged]
    body = await store.fetch_body(connection, (await store.fetch_messages(connection))[0].message_id)
    assert body is not None
    assert body.startswith(b"\x1f\x8b")
