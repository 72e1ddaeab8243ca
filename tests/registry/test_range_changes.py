"""A whole range is frozen, changed, retired and restored in one row, and every figure stays right."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from asyncpg import Connection

from node.counting import BEGINNING, FOREVER, count_changes
from node.store.registrations import recompute_registrations
from registry.bulk import Change, Wanted, change_many
from registry.issuing import Outcome, draft_record, issue
from registry.range_changes import (
    LocatedRange,
    change_range,
    check_range_revision,
    freeze_range,
    get_range,
    list_range_revisions,
    restore_range,
    retire_range,
    unfreeze_range,
)
from registry.ranges import RangeRequest, create_range
from registry.records import change, get_stored, restore, retire
from registry.store.changes import Act
from registry.store.records import PrefixRule
from schemas.changes import ChangeKind
from schemas.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Retired
from schemas.identifiers import Identifier
from schemas.records import RecordState, unpack
from schemas.templates import Template
from tests.registry.issuing_world import ACT, NOW, make_prefix, make_template

World = tuple[Connection, PrefixRule, Template]


@pytest_asyncio.fixture
async def world(pool: asyncpg.Pool) -> AsyncIterator[World]:
    """Committed, because numbering and counting are transactions of their own."""
    async with pool.acquire() as conn:
        await conn.execute("TRUNCATE prefixes, templates, records, record_history, ranges, range_history, changes,"
                           " changes_pending, registration_counts, counted_changes CASCADE")  # fmt: skip
        await conn.execute("UPDATE change_log SET position = 0")
        rule = await make_prefix(conn)
        template = await make_template(conn, rule)
        await create_range(conn, rule, template, RangeRequest("SN0001", "SN1000", {"model": "W", "flow": "1"}), ACT)
        yield conn, rule, template


def later(hours: int) -> Act:
    return Act("clerk", NOW + timedelta(hours=hours), "recall")


async def get(world: World, first: str = "SN0001") -> LocatedRange:
    return await get_range(world[0], world[1], first, for_update=True)


async def count(conn: Connection) -> dict[str, int]:
    """The counters, which must be those that records and history give."""
    while await count_changes(conn):
        pass
    found = await recompute_registrations(conn, BEGINNING, FOREVER)
    counted = {
        (row["prefix_id"], row["day"], row["template_id"]): tuple(row)[3:]
        for row in await conn.fetch("SELECT * FROM registration_counts")
    }
    assert {key: sums for key, sums in counted.items() if any(sums)} == found
    names = ("registered", "range_minted", "retired", "restored", "moved")
    return {name: sum(sums[n] for sums in found.values()) for n, name in enumerate(names)}


async def test_a_frozen_range_shows_its_notice_on_every_member_and_refuses_changes(world: World) -> None:
    conn, _, template = world
    await freeze_range(conn, await get(world), " stop using it ", later(1))
    member = await get_stored(conn, Identifier("88.101.5", "sn0500"))
    assert (member.stored.state, member.stored.note) == (RecordState.FROZEN, "stop using it")
    with pytest.raises(Conflict, match="frozen"):
        await change_range(conn, await get(world), template, {"model": "X"}, later(2))
    await unfreeze_range(conn, await get(world), later(3))
    assert (await get_stored(conn, Identifier("88.101.5", "SN0500"))).stored.state == RecordState.LIVE


async def test_a_change_keeps_other_values_and_is_one_entry_of_the_log(world: World) -> None:
    conn, _, template = world
    assert await change_range(conn, await get(world), template, {"model": "X"}, later(1)) is Outcome.UPDATED
    assert await change_range(conn, await get(world), template, {"model": "X"}, later(2)) is Outcome.UNCHANGED
    member = await get_stored(conn, Identifier("88.101.5", "SN1000"))
    assert {v.type: v.data.decode() for v in unpack(member.stored.packed)[1]} == {"model": "X", "flow": "1"}
    rows = await conn.fetch("SELECT kind, members FROM changes_pending ORDER BY pending_id")
    assert [tuple(row) for row in rows] == [(ChangeKind.RANGE_CREATED, 1_000), (ChangeKind.RANGE_CHANGED, 1_000)]


async def test_retired_and_restored_members_are_counted_but_for_those_with_records_of_their_own(world: World) -> None:
    conn, rule, template = world
    for suffix in ("SN0007", "SN0008"):
        own = await get_stored(conn, Identifier(rule.prefix, suffix), for_update=True)
        await change(conn, own, template, {"model": "own"}, later(1))
    assert (await get(world)).own_records == 2
    await retire_range(conn, await get(world), later(2))
    assert await count(conn) == {"registered": 0, "range_minted": 1_000, "retired": 998, "restored": 0, "moved": 0}
    await retire(conn, await get_stored(conn, Identifier(rule.prefix, "SN0007"), for_update=True), later(3))
    one = await get_stored(conn, Identifier(rule.prefix, "SN0009"), for_update=True)
    await restore(conn, one, later(4))  # a member of its own from now on
    await restore_range(conn, await get(world), later(30))
    sums = await count(conn)
    assert (sums["retired"], sums["restored"]) == (999, 1 + 997)
    assert (await get_stored(conn, Identifier(rule.prefix, "SN0007"))).stored.state == RecordState.RETIRED


async def test_a_range_that_moves_to_another_template_moves_its_counters(world: World) -> None:
    conn, rule, template = world
    await conn.execute("UPDATE templates SET version = 'old', suffix_key = 'META_OLD'")
    other = await make_template(conn, rule)
    await change_range(conn, await get(world), other, {}, later(1))
    await count(conn)
    rows = await conn.fetch("SELECT template_id, moved FROM registration_counts WHERE moved <> 0 ORDER BY 1")
    assert [tuple(row) for row in rows] == [(template.template_id, -1_000), (other.template_id, 1_000)]


async def test_a_member_of_a_retired_range_is_never_issued_again(world: World) -> None:
    conn, rule, template = world
    await issue(conn, rule, [draft_record(template, "NEW-1", {"model": "N"})], ACT)
    await retire_range(conn, await get(world), later(1), Identifier(rule.prefix, "new-1"))
    (result,) = await issue(conn, rule, [draft_record(template, "SN0500", {"model": "W"})], later(2))
    assert (result.outcome, result.code) == (Outcome.REFUSED, "identifier_taken_retired")
    with pytest.raises(Retired) as refused:
        await retire_range(conn, await get(world), later(3))
    assert refused.value.details["successor"] == f"{rule.prefix}/NEW-1"


async def test_a_range_is_not_succeeded_by_a_member_that_goes_with_it(world: World) -> None:
    conn, rule, template = world
    with pytest.raises(InvalidInput, match="own successor"):
        await retire_range(conn, await get(world), later(1), Identifier(rule.prefix, "sn1000"))
    await change(conn, await get_stored(conn, Identifier(rule.prefix, "SN0007"), for_update=True), template,
                 {"model": "own"}, later(1))  # fmt: skip
    await retire_range(conn, await get(world), later(2), Identifier(rule.prefix, "SN0007"))
    gone = await get_stored(conn, Identifier(rule.prefix, "SN0008"))
    assert (gone.stored.state, gone.stored.note) == (RecordState.RETIRED, f"{rule.prefix}/SN0007")


async def test_the_history_tells_who_did_what_to_how_many(world: World) -> None:
    conn = world[0]
    await freeze_range(conn, await get(world), "n", later(1))
    await retire_range(conn, await get(world), later(2))
    now, frozen, made = await list_range_revisions(conn, await get(world))
    assert (now.state, now.action, now.revision) == (RecordState.RETIRED, None, 3)
    assert (frozen.state, frozen.action, frozen.members) == (RecordState.FROZEN, ChangeKind.RETIRED, 1_000)
    assert (made.action, made.actor, made.reason) == (ChangeKind.FROZEN, "clerk", "recall")
    check_range_revision(await get(world), 3)
    with pytest.raises(PreconditionFailed):
        check_range_revision(await get(world), 2)


@pytest.mark.parametrize("first", ["SN0002", "SN1000", "SN1001", "SN001", "", "XX0001", "SN0001x", "\u00ff" * 300])
async def test_only_its_first_serial_names_a_range(world: World, first: str) -> None:
    with pytest.raises(NotFound):
        await get(world, first)


async def _unfreeze(conn: Connection, located: LocatedRange) -> Any:
    await unfreeze_range(conn, located, later(1))


async def _restore(conn: Connection, located: LocatedRange) -> Any:
    await restore_range(conn, located, later(1))


async def _freeze(conn: Connection, located: LocatedRange) -> Any:
    await freeze_range(conn, located, " ", later(1))


async def _succeed(conn: Connection, located: LocatedRange) -> Any:
    await retire_range(conn, located, later(1), Identifier("88.101.5", "nowhere"))


@pytest.mark.parametrize(
    ("work", "error"),
    [(_unfreeze, Conflict), (_restore, Conflict), (_freeze, InvalidInput), (_succeed, InvalidInput)],
)
async def test_what_is_not_so_cannot_be_undone(world: World, work: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await work(world[0], await get(world))
    assert (await get(world)).revision == 1


async def test_records_between_the_members_are_not_taken_for_members(world: World) -> None:
    """`SN00A1` sorts between SN0001 and SN1000 and is a member of another range."""
    conn, rule, template = world
    await create_range(conn, rule, template, RangeRequest("SN00A1", "SN00A9", {"model": "W"}), ACT)
    other = await get_stored(conn, Identifier(rule.prefix, "SN00A1"), for_update=True)
    await change(conn, other, template, {"model": "own"}, later(1))
    assert (await get(world)).own_records == 0
    assert (await get(world, "SN00A1")).own_records == 1


async def _change_one(conn: Connection, rule: PrefixRule, template: Template, suffix: str) -> None:
    with suppress(Retired):
        located = await get_stored(conn, Identifier(rule.prefix, suffix), for_update=True)
        await change(conn, located, template, {"flow": "2"}, later(1))


async def _freeze_in_batch(conn: Connection, rule: PrefixRule, template: Template, suffix: str) -> None:
    await change_many(conn, rule, Wanted("freeze"), [Change(suffix, {}, notice="recall")], later(1))


async def _import(conn: Connection, rule: PrefixRule, template: Template, suffix: str) -> None:
    await issue(conn, rule, [draft_record(template, suffix, {"model": "V"})], later(1), update=True)


@pytest.mark.parametrize("write", [_change_one, _freeze_in_batch, _import])
async def test_whoever_writes_a_member_that_is_being_retired_does_not_revive_it(
    world: World, pool: asyncpg.Pool, write: Callable[[Connection, PrefixRule, Template, str], Awaitable[None]]
) -> None:
    """A member has no row of its own that either of them could lock."""
    conn, rule, template = world

    async def retire_it(other: Connection, suffix: str) -> None:
        async with other.transaction():
            await retire(other, await get_stored(other, Identifier(rule.prefix, suffix), for_update=True), later(1))

    async def write_it(other: Connection, suffix: str) -> None:
        async with other.transaction():
            await write(other, rule, template, suffix)

    async with pool.acquire() as one, pool.acquire() as two:
        for suffix in (f"SN{n:04}" for n in range(1, 7)):
            await asyncio.gather(retire_it(one, suffix), write_it(two, suffix))
            found = await get_stored(conn, Identifier(rule.prefix, suffix))
            assert found.stored.state == RecordState.RETIRED, suffix


async def test_two_who_change_a_member_at_once_both_find_what_they_wrote(world: World, pool: asyncpg.Pool) -> None:
    conn, rule, template = world
    member = Identifier(rule.prefix, "SN0001")

    async def give(other: Connection, item_type: str) -> None:
        async with other.transaction():
            await change(other, await get_stored(other, member, for_update=True), template, {item_type: "7"}, later(1))

    async with pool.acquire() as one, pool.acquire() as two:
        await asyncio.gather(give(one, "model"), give(two, "flow"))
    assert [value.data for value in unpack((await get_stored(conn, member)).stored.packed)[1]] == [b"7", b"7"]
