"""Nothing issued is ever issued again; every draft of a batch gets its own true answer."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from asyncpg import Connection

from registry.issuing import Draft, Outcome, draft_record, issue, preview
from registry.ranges import RangeRequest, create_range
from registry.records import get_stored, retire
from registry.store.records import PrefixRule
from schemas.errors import Conflict, Forbidden
from schemas.identifiers import parse_any_identifier
from schemas.templates import Template
from tests.registry.issuing_world import ACT, make_prefix, make_template

World = tuple[Connection, PrefixRule, Template]


@pytest.fixture
async def world(connection: Connection) -> World:
    rule = await make_prefix(connection)
    return connection, rule, await make_template(connection, rule)


def draft(template: Template, suffix: str, model: str = "WQ15") -> Draft:
    return draft_record(template, suffix, {"model": model})


async def outcomes(world: World, *drafts: Draft, update: bool = False) -> list[str]:
    conn, rule, _ = world
    return [str(result.outcome) for result in await issue(conn, rule, drafts, ACT, update=update)]


async def changes(conn: Connection) -> list[tuple[int, list[str]]]:
    rows = await conn.fetch("SELECT kind, suffix_keys FROM changes_pending ORDER BY pending_id")
    return [(row["kind"], row["suffix_keys"]) for row in rows]


async def test_new_identifiers_are_registered_and_named_in_one_change(world: World) -> None:
    conn, _, template = world
    assert await outcomes(world, draft(template, "b"), draft(template, "A")) == ["registered"] * 2
    assert await changes(conn) == [(1, ["A", "B"])]


async def test_a_batch_answers_every_row_by_itself(world: World) -> None:
    _, _, template = world
    await outcomes(world, draft(template, "old"), draft(template, "other"))
    got = await outcomes(
        world,
        draft(template, "new"),
        draft(template, "old"),  # says the same
        draft(template, "OTHER", "IS80"),  # the same identifier in other letters, other values
        draft(template, "new"),  # a second time in the batch
        draft(template, "NEW", "IS80"),  # a second time, other values
    )
    assert got == ["registered", "unchanged", "differs", "unchanged", "differs"]


async def test_with_update_the_last_row_of_an_identifier_wins(world: World) -> None:
    conn, _, template = world
    await outcomes(world, draft(template, "x"))
    got = await outcomes(world, draft(template, "x", "A"), draft(template, "x", "B"), draft(template, "x", "B"),
                         update=True)  # fmt: skip
    assert got == ["updated", "updated", "unchanged"]
    located = await get_stored(conn, parse_any_identifier("88.101.5/X"))
    assert b'"B"' in located.stored.packed and located.stored.revision == 2
    assert located.stored.suffix == "x"


async def test_a_retired_identifier_is_never_issued_again(world: World) -> None:
    conn, _, template = world
    await outcomes(world, draft(template, "x"))
    await retire(conn, await get_stored(conn, parse_any_identifier("88.101.5/x"), for_update=True), ACT)
    (result,) = await issue(conn, world[1], [draft(template, "X")], ACT, update=True)
    assert (result.outcome, result.code) == (Outcome.REFUSED, "identifier_taken_retired")


async def test_a_member_of_a_range_is_issued_already(world: World) -> None:
    conn, rule, template = world
    await create_range(conn, rule, template, RangeRequest("SN001", "SN100", {"model": "WQ15"}), ACT)
    got = await outcomes(world, draft(template, "sn050"), draft(template, "SN051", "B"), draft(template, "SN101"))
    assert got == ["unchanged", "differs", "registered"]


async def test_updating_a_member_makes_a_record_of_its_own(world: World) -> None:
    conn, rule, template = world
    await create_range(conn, rule, template, RangeRequest("SN001", "SN100", {"model": "WQ15"}), ACT)
    assert await outcomes(world, draft(template, "SN051", "B"), update=True) == ["updated"]
    own = (await get_stored(conn, parse_any_identifier("88.101.5/SN051"))).stored
    other = (await get_stored(conn, parse_any_identifier("88.101.5/SN052"))).stored
    assert (own.is_member, b'"B"' in own.packed) == (False, True)
    assert (other.is_member, b'"WQ15"' in other.packed) == (True, True)
    counted = await conn.fetchval("SELECT count(*) FROM records WHERE NOT from_range")
    assert counted == 0, "the range has counted it"


async def test_a_case_sensitive_prefix_keeps_letters_apart(connection: Connection) -> None:
    rule = await make_prefix(connection, "88.101.6", folds_case=False)
    template = await make_template(connection, rule)
    got = await issue(connection, rule, [draft(template, "a"), draft(template, "A")], ACT)
    assert [r.outcome for r in got] == ["registered", "registered"]


@pytest.mark.parametrize(
    ("state", "hosting", "code"),
    [(0, 4, "prefix_not_enabled"), (4, 4, "prefix_not_enabled"), (1, 1, "prefix_not_hosted")],
)
async def test_only_an_enabled_prefix_that_is_hosted_here_issues(
    world: World, state: int, hosting: int, code: str
) -> None:
    conn, rule, template = world
    barred = PrefixRule(rule.prefix_id, rule.prefix, True, state, hosting)
    with pytest.raises(Forbidden) as raised:
        await issue(conn, barred, [draft(template, "x")], ACT)
    assert raised.value.code == code


async def test_a_withdrawn_template_registers_nothing_new(world: World) -> None:
    with pytest.raises(Conflict, match="withdrawn"):
        draft(replace(world[2], enabled=False), "x")


async def test_a_preview_answers_as_issuing_would_and_writes_nothing(world: World) -> None:
    conn, rule, template = world
    await outcomes(world, draft(template, "old"))
    first = await preview(conn, rule, [draft(template, "old"), draft(template, "new")])
    second = await preview(conn, rule, [draft(template, "NEW"), draft(template, "new", "B"), draft(template, "z")])
    assert [r.outcome for r in first + second] == ["unchanged", "registered", "unchanged", "differs", "registered"]
    assert await conn.fetchval("SELECT count(*) FROM records") == 1


async def test_one_winner_among_many_who_issue_the_same(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        rule = await make_prefix(conn, "88.101.77")
        template = await make_template(conn, rule)

    async def attempt(model: str) -> str:
        async with pool.acquire() as conn, conn.transaction():
            (result,) = await issue(conn, rule, [draft(template, "same", model)], ACT)
            return str(result.outcome)

    got = await asyncio.gather(*(attempt(f"m{n}") for n in range(20)))
    assert sorted(got) == ["differs"] * 19 + ["registered"]


async def test_batches_in_opposite_order_do_not_wait_for_each_other_for_ever(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        rule = await make_prefix(conn, "88.101.78")
        template = await make_template(conn, rule)
    drafts = [draft(template, f"s{n:03d}") for n in range(300)]

    async def write(batch: list[Draft]) -> list[str]:
        async with pool.acquire() as conn, conn.transaction():
            return [str(r.outcome) for r in await issue(conn, rule, batch, ACT)]

    forth, back = await asyncio.gather(write(drafts), write(drafts[::-1]))
    assert sorted(forth + back) == ["registered"] * 300 + ["unchanged"] * 300
