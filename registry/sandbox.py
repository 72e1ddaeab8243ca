"""Sandboxes: one prefix for each enterprise that wants one, where everything works and nothing counts.

What is under a sandbox is really deleted every day: "never issued again" holds for goods, not for attempts.
"""

from datetime import datetime, timedelta

from asyncpg import Connection

from registry.prefixes import NodeRules, check_active, get_enterprise_row
from registry.principals import Order
from registry.store.changes import Act, append_change
from registry.store.records import lock_for_range
from registry.store.sandboxes import (
    SandboxRow,
    delete_ranges,
    delete_records,
    delete_templates,
    fetch_due_sandboxes,
    fetch_sandboxes,
    insert_sandbox,
    note_reset,
)
from schemas.changes import ChangeKind
from schemas.days import get_day, get_start

RECORDS_PER_PASS = 2_000  # deleted in one transaction
ACTOR = "sandbox"


def make_sandbox_prefix(rules: NodeRules, enterprise_id: int) -> str:
    """`88.101.SANDBOX5`: prefixes that are allotted end in digits, so none is ever equal to it."""
    return f"{rules.node_prefixes[0]}.SANDBOX{enterprise_id}"


async def open_sandbox(conn: Connection, rules: NodeRules, order: Order, enterprise_id: int) -> tuple[SandboxRow, bool]:
    """The sandbox of an active enterprise, made if there is none; True if it is new. Raises NotFound or Conflict."""
    order.principal.check_enterprise(enterprise_id)
    check_active(await get_enterprise_row(conn, enterprise_id))
    prefix_id = await insert_sandbox(conn, make_sandbox_prefix(rules, enterprise_id), enterprise_id, order.at)
    if prefix_id is not None:
        await append_change(conn, ChangeKind.PREFIX, prefix_id, order.act)
    (row,) = await fetch_sandboxes(conn, enterprise_id)
    return row, prefix_id is not None


def find_next_reset(now: datetime) -> datetime:
    """The next midnight at UTC+8."""
    return get_start(get_day(now) + timedelta(days=1))


async def reset_due_sandboxes(conn: Connection, now: datetime) -> int:
    """Empty every sandbox of what was made before today; how many sandboxes. Transactions of its own."""
    start, emptied = get_start(get_day(now)), 0
    while due := await fetch_due_sandboxes(conn, start):
        for row in due:
            await reset_sandbox(conn, row, start, now)
        emptied += len(due)
    return emptied


async def reset_sandbox(conn: Connection, row: SandboxRow, before: datetime, now: datetime) -> int:
    """Delete what was made under it before an instant, a bounded number in each transaction; how much there was."""
    deleted, gone = 0, RECORDS_PER_PASS
    while gone == RECORDS_PER_PASS:
        async with conn.transaction():
            gone = await delete_records(conn, row.prefix_id, before, RECORDS_PER_PASS)
        deleted += gone
    async with conn.transaction():
        await lock_for_range(conn, row.prefix_id)  # nobody registers by a template that is being deleted
        act = Act(ACTOR, now)
        deleted += await delete_ranges(conn, row.prefix_id, before)
        templates = await delete_templates(conn, row.prefix_id, before)
        for template_id in templates:
            await append_change(conn, ChangeKind.TEMPLATE, row.prefix_id, act, template_id=template_id)
        await note_reset(conn, row.prefix_id, now)
        await append_change(conn, ChangeKind.PREFIX, row.prefix_id, act)  # resolvers forget all of it
    return deleted + len(templates)
