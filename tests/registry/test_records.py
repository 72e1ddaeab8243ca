"""Changing, retiring, freezing, and what an identifier was before."""

from datetime import timedelta

import pytest
from asyncpg import Connection

from registry.bulk import Change, Wanted, change_many
from registry.issuing import Outcome
from registry.range_changes import (
    change_range,
    freeze_range,
    get_range,
    restore_range,
    retire_range,
    unfreeze_range,
)
from registry.ranges import RangeRequest, create_range
from registry.records import (
    Located,
    change,
    check_revision,
    freeze,
    get_record_at,
    get_stored,
    list_revisions,
    register,
    restore,
    retire,
    to_record,
    unfreeze,
)
from registry.store.changes import Act
from registry.store.records import NewRecord, PrefixRule, insert_new_records
from schemas.changes import ChangeKind
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed, Retired, ServiceError
from schemas.identifiers import parse_any_identifier
from schemas.records import RecordState, pack_texts, unpack
from schemas.templates import Template
from tests.registry.issuing_world import ACT, NOW, make_prefix, make_template

World = tuple[Connection, PrefixRule, Template]


def later(hours: int, actor: str = "clerk") -> Act:
    return Act(actor, NOW + timedelta(hours=hours))


@pytest.fixture
async def world(connection: Connection) -> World:
    rule = await make_prefix(connection)
    return connection, rule, await make_template(connection, rule)


@pytest.fixture
async def pump(world: World) -> Located:
    conn, rule, template = world
    return await register(conn, rule, template, "Pump-1", {"model": "WQ15", "flow": "13.5"}, ACT)


async def again(world: World, suffix: str = "pump-1") -> Located:
    return await get_stored(world[0], parse_any_identifier(f"88.101.5/{suffix}"), for_update=True)


async def test_a_second_issue_is_refused_even_with_equal_values(world: World, pump: Located) -> None:
    conn, rule, template = world
    with pytest.raises(Conflict, match="exists already"):
        await register(conn, rule, template, "PUMP-1", {"model": "WQ15", "flow": "13.5"}, ACT)


async def test_a_change_keeps_other_values_and_their_times(world: World, pump: Located) -> None:
    conn, _, template = world
    assert await change(conn, await again(world), template, {"FLOW": "14"}, later(1)) is Outcome.UPDATED
    stored = (await again(world)).stored
    values = unpack(stored.packed, int(stored.changed.timestamp()))[1]
    assert [(v.type, v.data, v.timestamp - int(NOW.timestamp())) for v in values] == [
        ("model", b"WQ15", 0),
        ("flow", b"14", 3600),
    ]


async def test_an_empty_text_removes_a_value_but_never_a_required_one(world: World, pump: Located) -> None:
    conn, _, template = world
    await change(conn, await again(world), template, {"flow": ""}, later(1))
    assert [v.type for v in unpack((await again(world)).stored.packed)[1]] == ["model"]
    with pytest.raises(InvalidInput, match="missing"):
        await change(conn, await again(world), template, {"model": ""}, later(2))


async def test_a_change_that_says_the_same_writes_nothing(world: World, pump: Located) -> None:
    conn, _, template = world
    assert await change(conn, await again(world), template, {"model": "WQ15"}, later(1)) is Outcome.UNCHANGED
    assert (await again(world)).stored.revision == 1


async def test_a_retired_identifier_names_its_successor_and_can_be_restored(world: World, pump: Located) -> None:
    conn, rule, template = world
    await register(conn, rule, template, "Pump-2", {"model": "WQ15"}, ACT)
    await retire(conn, await again(world), later(1), parse_any_identifier("88.101.5/pump-2"))
    with pytest.raises(Retired) as raised:
        await change(conn, await again(world), template, {"model": "x"}, later(2))
    assert raised.value.details["successor"] == "88.101.5/Pump-2"
    await restore(conn, await again(world), later(3))
    assert (await again(world)).stored.state == RecordState.LIVE


@pytest.mark.parametrize(
    ("successor", "code"),
    [
        ("88.101.5/nowhere", "successor_not_found"),
        ("88.999.5/x", "successor_not_found"),
        ("88.101.5/PUMP-1", "successor_is_itself"),
    ],
)
async def test_a_successor_must_be_another_identifier_that_exists(
    world: World, pump: Located, successor: str, code: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        await retire(world[0], await again(world), ACT, parse_any_identifier(successor))
    assert raised.value.code == code


async def test_a_frozen_identifier_keeps_its_values_and_refuses_changes(world: World, pump: Located) -> None:
    conn, _, template = world
    await freeze(conn, await again(world), " 召回：请停止使用 ", later(1))
    frozen = (await again(world)).stored
    assert (frozen.state, frozen.note) == (RecordState.FROZEN, "召回：请停止使用")
    assert to_record(9, frozen).values == to_record(9, pump.stored).values  # with the times of their last change
    with pytest.raises(Conflict, match="frozen"):
        await change(conn, await again(world), template, {"model": "x"}, later(2))
    await unfreeze(conn, await again(world), later(3))
    assert (await again(world)).stored.note == ""


async def test_what_was_frozen_when_it_was_retired_is_restored_with_its_notice(world: World, pump: Located) -> None:
    """Of a record, of a member of a range, and in bulk."""
    conn, rule, template = world
    await create_range(conn, rule, template, RangeRequest("SN001", "SN100", {"model": "W"}), ACT)
    for hour, act in enumerate((freeze_range, retire_range)):
        more = ("recalled",) if act is freeze_range else ()
        await act(conn, await get_range(conn, rule, "SN001", for_update=True), *more, later(hour))
    await freeze(conn, await again(world), "recalled", later(1))
    await retire(conn, await again(world), later(2))
    changes = [Change("pump-1", {}), Change("SN007", {})]
    results = await change_many(conn, rule, Wanted("restore"), changes, later(3))
    await restore(conn, await again(world, "SN008"), later(3))
    assert [result.outcome for result in results] == [Outcome.UPDATED] * 2
    await restore_range(conn, await get_range(conn, rule, "SN001", for_update=True), later(4))
    for suffix in ("pump-1", "SN007", "SN008", "SN009"):
        stored = (await again(world, suffix)).stored
        assert (stored.state, stored.note) == (RecordState.FROZEN, "recalled"), suffix


async def test_only_the_operator_lifts_his_freeze_of_a_range_or_of_its_members(world: World) -> None:
    conn, rule, template = world
    await create_range(conn, rule, template, RangeRequest("SN001", "SN100", {"model": "W"}), ACT)
    await freeze_range(conn, await get_range(conn, rule, "SN001"), "by order", later(1, "cli:root"))
    for act in (unfreeze_range, retire_range):
        with pytest.raises(Forbidden, match="operator"):
            await act(conn, await get_range(conn, rule, "SN001", for_update=True), later(2))
    with pytest.raises(Forbidden, match="operator"):
        await unfreeze(conn, await again(world, "SN007"), later(2))
    (held,) = await change_many(conn, rule, Wanted("retire"), [Change("SN008", {})], later(2))
    assert held.code == "identifier_held"
    for act in (retire, restore):  # which gives the member a record of its own
        await act(conn, await again(world, "SN009"), later(3, "cli:root"))
    with pytest.raises(Forbidden, match="operator"):
        await unfreeze(conn, await again(world, "SN009"), later(4))
    await unfreeze_range(conn, await get_range(conn, rule, "SN001", for_update=True), later(5, "cli:root"))


async def test_what_is_not_so_cannot_be_undone(world: World, pump: Located) -> None:
    conn = world[0]
    for attempt in (restore, unfreeze):
        with pytest.raises(Conflict):
            await attempt(conn, await again(world), ACT)
    for notice in ("", "  ", "x" * 501):
        with pytest.raises(InvalidInput):
            await freeze(conn, await again(world), notice, ACT)


async def test_the_history_tells_every_state_and_who_ended_it(world: World, pump: Located) -> None:
    conn, _, template = world
    await change(conn, await again(world), template, {"model": "B"}, later(1, "clerk"))
    await retire(conn, await again(world), later(2, "boss"))
    revisions = await list_revisions(conn, await again(world))
    assert [(r.revision, r.record.state, r.action, r.actor) for r in revisions] == [
        (3, RecordState.RETIRED, None, ""),
        (2, RecordState.LIVE, ChangeKind.RETIRED, "boss"),
        (1, RecordState.LIVE, ChangeKind.CHANGED, "clerk"),
    ]


async def test_a_record_shows_what_it_was_at_any_time(world: World, pump: Located) -> None:
    conn, _, template = world
    for hours, model in ((1, "B"), (2, "C")):
        await change(conn, await again(world), template, {"model": model}, later(hours))
    located = await again(world)
    for hours, model in ((0, "WQ15"), (0.5, "WQ15"), (1, "B"), (1.9, "B"), (2, "C"), (99, "C")):
        record = await get_record_at(conn, located, NOW + timedelta(hours=hours))
        assert record.values[0].data.decode() == model
    with pytest.raises(NotFound):
        await get_record_at(conn, located, NOW - timedelta(seconds=1))


async def test_a_clock_that_went_back_does_not_turn_the_history_over(world: World, pump: Located) -> None:
    conn, _, template = world
    await change(conn, await again(world), template, {"model": "B"}, later(-5))
    assert (await again(world)).stored.changed == NOW


async def test_retiring_a_member_leaves_its_neighbours(world: World) -> None:
    conn, rule, template = world
    await create_range(conn, rule, template, RangeRequest("SN001", "SN100", {"model": "W"}), ACT)
    await retire(conn, await again(world, "SN007"), later(1))
    assert (await again(world, "sn007")).stored.state == RecordState.RETIRED
    assert (await again(world, "SN008")).stored.is_member


async def test_a_member_was_what_its_range_said_until_it_got_a_record_of_its_own(world: World) -> None:
    conn, rule, template = world
    await create_range(conn, rule, template, RangeRequest("SN001", "SN100", {"model": "W"}), ACT)
    await freeze(conn, await again(world, "SN007"), "recalled", later(2))
    located = await again(world, "SN007")
    for hours, state in ((0, RecordState.LIVE), (1, RecordState.LIVE), (2, RecordState.FROZEN)):
        record = await get_record_at(conn, located, NOW + timedelta(hours=hours))
        assert (record.state, record.values[0].timestamp) == (state, int(NOW.timestamp()))
    assert [r.since for r in await list_revisions(conn, located)] == [NOW + timedelta(hours=2), NOW]


async def test_what_a_range_said_before_is_history_of_its_members(world: World) -> None:
    conn, rule, template = world
    await create_range(conn, rule, template, RangeRequest("SN001", "SN100", {"model": "A"}), ACT)
    for hours, model in ((1, "B"), (3, "D")):
        await change_range(conn, await get_range(conn, rule, "SN001", for_update=True), template, {"model": model},
                           later(hours))  # fmt: skip
        if hours == 1:
            await change(conn, await again(world, "SN007"), template, {"model": "C"}, later(2))
    for suffix, models in (("SN007", "ABCC"), ("SN008", "ABBD")):
        located = await again(world, suffix)
        then = [await get_record_at(conn, located, NOW + timedelta(hours=hours)) for hours in range(4)]
        assert "".join(record.values[0].data.decode() for record in then) == models
        revisions = await list_revisions(conn, located)
        assert [r.revision for r in revisions] == [3, 2, 1]
        assert [r.record.values[0].data for r in await list_revisions(conn, located, 3, 1)] == [b"B"]
        with pytest.raises(NotFound):
            await get_record_at(conn, located, NOW - timedelta(seconds=1))


async def test_a_stale_revision_is_refused(pump: Located) -> None:
    check_revision(pump, 1)
    check_revision(pump, None)
    with pytest.raises(PreconditionFailed):
        check_revision(pump, 2)


@pytest.mark.parametrize("text", ["88.101.5/nope", "88.101.9/x", "", "/", "88.101.5/\0", "88.101.5/\udcff"])
async def test_what_was_never_issued_is_not_found(world: World, text: str) -> None:
    with pytest.raises(NotFound):
        await get_stored(world[0], parse_any_identifier(text))


async def test_the_record_of_a_template_is_written_by_its_template_alone(world: World) -> None:
    conn, rule, _ = world
    await insert_new_records(conn, rule.prefix_id, NOW, [NewRecord("META_X", "META_x", 0, pack_texts(0, []))])
    assert (await get_stored(conn, parse_any_identifier("88.101.5/meta_x"))).stored.suffix == "META_x"
    with pytest.raises(Conflict, match="template"):
        await again(world, "meta_x")


async def test_every_refusal_has_texts(world: World) -> None:
    with pytest.raises(ServiceError) as raised:
        await get_stored(world[0], parse_any_identifier("88.101.5/nope"))
    assert "88.101.5/nope" in str(raised.value)
