"""One step of the agent writes what is due and sends what waits, once; what was asked for above is done, and said."""

from datetime import timedelta
from hashlib import sha256
from typing import Any

from asyncpg import Connection

from node.reporting import report_day
from node.reporting_loop import step
from node.store import outbox as store
from node.store import reports as report_store
from node.toplevel import book as above_store
from node.toplevel.score import score
from node.toplevel_health import judge_reports
from schemas.toplevel_envelope import encode_canonical
from tests.node.test_toplevel_reporting import DAY, REPORTER, USCC, above, make_link, node
from tests.node.toplevel_world import APP, PREFIX, START, YESTERDAY, Above

__all__ = ["above", "node"]


async def test_a_step_sends_all_that_is_due_and_the_next_one_nothing_more(node: Connection, above: Above) -> None:
    link = await make_link(node, above)
    above.clock.pass_(hours=1)  # beyond the hour until which a close is waited for
    await step(node, link, above.clock)
    await step(node, link, above.clock)
    sent = {message.table_name for message in await store.fetch_messages(node)}
    assert sent == {"T2", "T3", "T5", "T6", "T7", "T8", "T10", "M1", "M2", "PREFIXES", "STATE"}
    assert {message.state for message in await store.fetch_messages(node)} == {"accepted"}
    assert (await judge_reports(node, above.url, above.clock())).state == "ok"
    (beat,) = above_store.fetch_heartbeats(above.book)
    (route,) = above.rows("T2", "current")
    assert beat["document"]["routesHash"] == sha256(encode_canonical([route])).hexdigest()
    above.clock.pass_(minutes=6)
    await step(node, link, above.clock)
    decisions = await report_store.fetch_decisions(node)
    assert [(row["kind"], row["subject"], row["decision"]) for row in decisions] == [
        ("enterprise", USCC[0], "approved"), ("enterprise", USCC[1], "approved"),
        ("prefix", "88.101.1", "approved"), ("prefix", "88.101.2", "approved"),
    ]  # fmt: skip
    beside = [(row["kind"], row["state"], row["decision"]) for row in await report_store.fetch_decided(node)]
    assert beside == [("enterprise", 3, "approved")] * 2 + [("prefix", 1, "approved")] * 2
    lines = {(line["table"], line["period"]): line["complete"] for line in score(above.book, DAY, 1)}
    daily, standing = ("T3", "T8", "M1", "M2"), ("T2", "T6", "T7", "PREFIXES", "STATE")
    assert lines == dict.fromkeys(
        [(table, YESTERDAY) for table in daily]
        + [(table, YESTERDAY[:7]) for table in ("T5", "T10")]
        + [(table, "current") for table in standing],
        1.0,
    )


async def test_after_a_promotion_nothing_is_told_under_a_revision_that_may_have_been_sent(
    node: Connection, above: Above
) -> None:
    link = await make_link(node, above)
    await node.execute("UPDATE change_log SET timeline = 'one before'")  # nobody has asked for numbers since
    above.clock.pass_(hours=1)
    await step(node, link, above.clock)
    assert min(message.revision for message in await store.fetch_messages(node)) > 1_000_000


async def test_nothing_is_said_of_days_before_there_was_a_prefix(node: Connection, above: Above) -> None:
    link = await make_link(node, above)
    await node.execute("UPDATE prefixes SET created = $1", START)
    for periods in (set(), {"2026-11-21"}):
        above.clock.pass_(hours=1)
        await step(node, link, above.clock)
        assert {message.period for message in await store.fetch_messages(node, table_name="T3")} == periods
        above.clock.pass_(hours=23)


async def test_what_was_refused_before_its_enterprise_was_known_goes_again(node: Connection, above: Above) -> None:
    link = await make_link(node, above)

    async def step_until_sent() -> tuple[int, str]:
        above.clock.pass_(minutes=2)
        await step(node, link, above.clock)
        (message,) = await store.fetch_latest_of(node, "PREFIXES", "current", PREFIX)
        return message.revision, message.state

    above.behave(refuse_table="PREFIXES")
    assert await step_until_sent() == (0, "refused")
    above.behave()
    assert await step_until_sent() == (0, "refused"), "nothing new was told of enterprises"
    await node.execute("UPDATE enterprises SET name = '新名'")
    await step_until_sent()
    assert await step_until_sent() == (1, "accepted")


async def test_tasks_are_done_once_and_answered(node: Connection, above: Above) -> None:
    link = await make_link(node, above)
    await report_day(node, REPORTER, DAY, above.clock())
    await step(node, link, above.clock)
    first = await store.fetch_messages(node, table_name="T8")
    old_key = link.toplevel.signer.key_id
    tasks: list[dict[str, Any]] = [
        {"kind": "resend", "table": "T8", "period": YESTERDAY},
        {"kind": "correction", "table": "T6", "message": "look again"},
        {"kind": "rotateKey"},
        {"kind": "freeze", "handle": "88.101.1/nothing", "reason": "recall"},
        {"kind": "dance"},
    ]
    with above_store.transaction(above.book):
        for number, task in enumerate(tasks):
            above_store.add_task(above.book, f"task-{number}", PREFIX, task, number)
    for _ in range(2):
        above.behave(double_every=1)
        above.clock.pass_(minutes=2)
        await step(node, link, above.clock)
    states = {task["id"]: task["state"] for task in above_store.fetch_tasks(above.book)}
    assert states == {"task-0": "done", "task-1": "done", "task-2": "done", "task-3": "failed", "task-4": "failed"}
    assert link.toplevel.signer.key_id != old_key
    again = [m for m in await store.fetch_messages(node, table_name="T8") if m.revision == 1]
    assert {message.part: message.state for message in again} == {message.part: "accepted" for message in first}
    keys = {key.key_id: key.state for key in above_store.fetch_keys(above.book, APP)}
    assert keys[link.toplevel.signer.key_id] == "active"
    assert keys[old_key] == "retired"


async def test_where_the_node_above_must_agree_its_decision_enables_the_prefix(node: Connection, above: Above) -> None:
    await node.execute("UPDATE prefixes SET state = 5, enabled_on = NULL WHERE prefix IN ('88.101.1', '88.101.2')")
    link = await make_link(node, above, approval_required=True)
    with above_store.transaction(above.book):
        above_store.decide(above.book, PREFIX, ("prefix", "88.101.2"), ("refused", "taken"), (1, True))
    for _ in range(2):
        await step(node, link, above.clock)
        above.clock.pass_(minutes=6)
    states = await node.fetch("SELECT prefix, state FROM prefixes WHERE sandbox_of IS NULL ORDER BY prefix")
    assert [tuple(row) for row in states] == [("88.101.1", 1), ("88.101.2", 3)]


async def test_when_the_node_above_is_back_what_died_of_silence_goes_by_itself(node: Connection, above: Above) -> None:
    link = await make_link(node, above)
    await report_day(node, REPORTER, DAY, above.clock())
    port, above.clock.now = above.port, above.clock.now + timedelta(hours=73)
    link.toplevel._url = "http://127.0.0.1:9/tln/v1"
    for _ in range(4):
        await step(node, link, above.clock)
        above.clock.pass_(minutes=6)
    verdict = await judge_reports(node, above.url, above.clock())
    assert (verdict.state, verdict.code) == ("error", "toplevel_dead_letters")
    link.toplevel._url = f"http://127.0.0.1:{port}/tln/v1"
    for _ in range(3):
        above.clock.pass_(minutes=6)
        await step(node, link, above.clock)
    assert (await store.fetch_standing(node)).dead == 0
    assert len(above.rows("T8")) == 2
