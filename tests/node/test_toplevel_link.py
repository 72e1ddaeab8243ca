"""What passes between us and the top-level node beside reports: keys that change, and its tasks."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from asyncpg import Connection

from node.reporting_loop import step
from node.store.reports import fetch_tasks
from node.toplevel import book as above_store
from node.toplevel_client import Answer, Call, read_pause_seconds
from node.toplevel_health import judge_reports
from node.toplevel_keys import get_signer
from node.toplevel_link import rotate
from schemas.signatures import format_key_id, format_public_key, make_private_key
from schemas.toplevel_envelope import Signer
from tests.node.test_toplevel_node import make_call
from tests.node.test_toplevel_reporting import above, make_link, node
from tests.node.toplevel_world import APP, PREFIX, YESTERDAY, Above, make_firm_row

__all__ = ["above", "node"]  # fixtures


@pytest.mark.parametrize("retired_at_once", [False, True])
async def test_a_lost_receipt_for_a_new_key_locks_nobody_out(
    retired_at_once: bool, node: Connection, above: Above
) -> None:
    link = await make_link(node, above)
    old_id, now = link.toplevel.signer.key_id, above.clock()
    above.behave(lose_every=1)
    with pytest.raises(ValueError, match="500"):
        await rotate(node, link, now)
    assert link.toplevel.signer.key_id == old_id, "nobody said yet that the new one is known"
    above.behave()
    if retired_at_once:
        with above_store.transaction(above.book):
            above.book.execute("UPDATE keys SET state = 'retired' WHERE key_id = ?", (old_id,))
    restarted = replace(link, toplevel=above.toplevel)
    restarted.toplevel.signer = await get_signer(node, link.rules.key_ring, APP, "ED25519", now)
    assert await step(node, restarted, above.clock) is False
    new_id = restarted.toplevel.signer.key_id
    assert new_id != old_id
    assert (await judge_reports(node, above.url, above.clock())).state == "ok"
    await node.execute("UPDATE toplevel_keys SET changed = changed - '366 days'::interval WHERE state = 'active'")
    assert (await judge_reports(node, above.url, above.clock())).code == "toplevel_key_old"
    await step(node, link, above.clock)
    assert link.toplevel.signer.key_id == new_id, "another process learns of it"
    keys = {key.key_id: key.state for key in above_store.fetch_keys(above.book, APP)}
    assert (keys[old_id], keys[new_id]) == ("retired", "active")


async def test_a_message_is_the_same_whatever_algorithm_signs_it(above: Above) -> None:
    call = replace(make_call("T8", [make_firm_row(1)]), idempotency_key=str(uuid4()))
    toplevel, now = above.toplevel, above.clock()
    first = await toplevel.call(call, now)
    private_key = make_private_key("SM2-SM3")
    public_key = format_public_key("SM2-SM3", private_key)
    body = orjson.dumps({"algorithm": "SM2-SM3", "publicKey": public_key})
    assert (await toplevel.call(Call("POST", "/keys", PREFIX, body), now)).status == 200
    toplevel.signer = Signer(APP, format_key_id(public_key), "SM2-SM3", private_key)
    again = await toplevel.call(call, now)
    assert (again.status, again.document) == (200, first.document)
    other = replace(make_call("T8", [make_firm_row(2)]), idempotency_key=call.idempotency_key)
    assert (await toplevel.call(other, now)).status == 409


TASKS: list[tuple[dict[str, Any], str, str]] = [
    *(({"kind": "correction", "table": table}, "done", table) for table in ("PREFIXES", "STATE", "T7", "T2")),
    *(({"kind": "correction", "table": table, "period": YESTERDAY}, "done", table) for table in ("M1", "M3")),
    ({"kind": "correction", "table": "T6H"}, "done", "T6H goes again"),
    ({"kind": "correction", "table": "MR", "period": "2026-09"}, "done", "MR 2026-09"),
    ({"kind": "correction", "table": "T9", "period": YESTERDAY}, "done", "log of changes"),
    ({"kind": "correction", "table": "T9"}, "failed", "period"),
    ({"kind": "correction", "table": "T8", "period": "2026-11-21"}, "failed", "次日零点五分（UTC+8）封账后"),
    ({"kind": "correction", "table": "M1", "period": "2026-11-21"}, "failed", "ask again then"),
    ({"kind": "correction"}, "failed", "no table None"),
    ({"kind": "resend", "table": "T77"}, "failed", "no table 'T77'"),
    ({"kind": "resend", "table": "T8", "period": "yesterday"}, "failed", "period (yesterday)"),
    ({"kind": "resend", "table": "T11"}, "failed", "nothing of T11"),
    ({"kind": "resend", "table": "T2"}, "done", "T2 current goes again, messages: 1"),
    ({"kind": "freeze"}, "failed", "identifier"),
    ({"kind": "contactChange", "contact": {"name": "王工"}}, "done", "noted for the operator"),
    ({"kind": "freeze", "handle": "88.101.1/x", "reason": "\0"}, "failed", "88.101.1/x"),
    ({"kind": "dance"}, "failed", "unknown kind"),
    ({"type": "resend"}, "failed", "unknown kind"),
    ({"kind": "freeze", "reason": "x" * 10_000}, "open", ""),
]


async def test_what_came_of_a_task_is_said_in_words(node: Connection, above: Above) -> None:
    link = await make_link(node, above)
    await step(node, link, above.clock)
    with above_store.transaction(above.book):
        for number, (task, _, _) in enumerate(TASKS):
            above_store.add_task(above.book, f"{number:02}", PREFIX, task, number)
    above.clock.pass_(minutes=2)
    await step(node, link, above.clock)
    answered = above_store.fetch_tasks(above.book)
    assert [(task["id"], task["state"]) for task in answered] == [(f"{n:02}", t[1]) for n, t in enumerate(TASKS)]
    for task, (_, _, words) in zip(answered, TASKS, strict=True):
        assert words in task["result"], task
    assert len(await fetch_tasks(node)) == len(TASKS) - 1, "what cannot be kept holds nothing else up"


class Stranger:
    """A top-level node that answers every call with the same document."""

    def __init__(self, signer: Signer, document: dict[str, Any]) -> None:
        self.signer, self.document, self.calls = signer, document, 0

    async def call(self, call: Call, now: datetime) -> Answer:
        self.calls += 1
        return Answer(200, self.document)


RECEIPT: dict[str, Any] = {"receiptId": "1", "status": "ACCEPTED", "received": 1, "rejected": []}
DECISION: dict[str, Any] = {
    "number": 1, "kind": "prefix", "subject": "88.101.1", "decision": "approved", "at": 1_795_000_000_000
}  # fmt: skip
STRANGE: list[tuple[dict[str, Any], str]] = [
    (RECEIPT | {"tasks": None}, "no tasks"),
    (RECEIPT | {"tasks": {"id": "1"}}, "tasks that are no list"),
    (RECEIPT | {"tasks": [None, 7, {"id": 7}]}, "tasks that are none"),
    (RECEIPT | {"status": "PARTIAL", "rejected": None}, "refusals that are no list"),
    (RECEIPT | {"status": "REJECTED", "rejected": 7}, "the same"),
    (RECEIPT | {"status": "GREAT", "rejected": 7}, "the same in what is no receipt"),
    (RECEIPT | {"status": "PARTIAL", "rejected": [{"row": 2**62, "code": None, "msg": {}}]}, "a row that is not there"),
    *(
        ({"decisions": [entry, DECISION]}, "a decision that cannot be read")
        for entry in (7, None, {}, *(DECISION | {name: value} for name, value in (
            ("number", "x"), ("at", "y"), ("at", 10**17), ("at", None), ("decision", "核准"), ("decision", []))))
    ),
]  # fmt: skip


@pytest.mark.parametrize(("document", "reason"), STRANGE, ids=[case[1] for case in STRANGE])
async def test_whatever_the_node_above_says_the_agent_goes_on(
    document: dict[str, Any], reason: str, node: Connection, above: Above
) -> None:
    link = await make_link(node, above)
    stranger = Stranger(above.signer, document)
    assert await step(node, replace(link, toplevel=stranger), above.clock) is False, reason  # type: ignore[arg-type]
    assert stranger.calls > 3, "reports went, too"
    known = await node.fetch("SELECT subject, decision FROM toplevel_decisions")
    assert [tuple(row) for row in known] == [("88.101.1", "approved")] * ("decisions" in document), reason


PAUSES: list[tuple[str, float | None]] = [
    ("", None),
    ("7", 7),
    ("999999", 3_600),
    ("Fri, 20 Nov 2026 16:12:00 GMT", 120),
    ("Fri, 20 Nov 2026 16:00:00 GMT", 0),
    ("Sat, 20 Nov 2027 16:00:00 GMT", 3_600),
    ("Fri, 99 Nov 2026 16:00:00 GMT", None),
    ("soon", None),
    ("٧", None),
]


@pytest.mark.parametrize(("text", "seconds"), PAUSES)
def test_how_long_to_wait_is_seconds_or_a_date_by_their_clock(text: str, seconds: float | None) -> None:
    assert read_pause_seconds(text, datetime(2026, 11, 20, 16, 10, tzinfo=UTC)) == seconds
