"""Running totals are what the counters sum to, in whatever order and however late the figures come."""

import asyncio
from datetime import date, timedelta
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.counting import check_rollups
from node.store.counting import add_answers
from node.store.registrations import add_registrations
from node.store.rollups import are_rollups_whole, rebuild_rollups
from schemas.resolution_log import ClientClass, Outcome, Transport
from tests.node.counting_world import ROLLUPS, TABLES

FIRST = date(2024, 6, 1)

days = st.integers(0, 6).map(lambda n: FIRST + timedelta(days=n))
prefix_ids, template_ids, counts = st.integers(1, 3), st.integers(0, 2), st.integers(0, 1_000)
registrations = st.dictionaries(
    st.tuples(prefix_ids, days, template_ids),
    st.tuples(counts, counts, counts, counts, st.integers(-50, 50)),
    min_size=1,
)
answers = st.dictionaries(
    st.tuples(
        st.integers(0, 3), days, st.integers(0, 23), template_ids, st.just(int(Transport.HTTP)),
        st.sampled_from([int(Outcome.FOUND), int(Outcome.NOT_FOUND)]),
        st.sampled_from([int(ClientClass.PUBLIC), int(ClientClass.SELF)]),
    ),
    st.integers(1, 1_000),
    min_size=1,
)  # fmt: skip
passes = st.lists(st.one_of(registrations, answers), min_size=1, max_size=6)


async def fetch_rollups(conn: asyncpg.Connection) -> list[list[tuple[Any, ...]]]:
    return [[tuple(row) for row in await conn.fetch(query)] for query in ROLLUPS]


async def add(conn: asyncpg.Connection, added: dict[Any, Any]) -> None:
    if isinstance(next(iter(added.values())), tuple):
        await add_registrations(conn, added)
    else:
        await add_answers(conn, added)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(passes)
async def test_they_are_what_is_made_again_from_the_counters(
    connection: asyncpg.Connection, found: list[dict[Any, Any]]
) -> None:
    inner = connection.transaction()
    await inner.start()
    for added in found:
        await add(connection, added)
    kept = await fetch_rollups(connection)
    assert await are_rollups_whole(connection)
    await rebuild_rollups(connection)
    assert await fetch_rollups(connection) == kept
    await inner.rollback()


async def test_two_that_count_at_once_lose_nothing(pool: asyncpg.Pool) -> None:
    async def count(number: int) -> None:
        async with pool.acquire() as conn:
            for turn in range(10):
                async with conn.transaction():
                    day = FIRST + timedelta(days=(turn * 7 + number) % 5)  # each in another order
                    await add_registrations(conn, {(n, day, 0): (1, 0, 0, 0, 0) for n in range(1, 6)})
                    await add_registrations(conn, {(1, FIRST, 0): (1, 0, 0, 0, 0)})

    try:
        await asyncio.gather(*(count(number) for number in range(4)))
        async with pool.acquire() as conn:
            assert await conn.fetchval("SELECT sum(registered) FROM node_days") == 4 * 10 * 6
            kept = await fetch_rollups(conn)
            await rebuild_rollups(conn)
            assert await fetch_rollups(conn) == kept
    finally:
        await pool.execute(f"TRUNCATE {TABLES} CASCADE")


async def test_what_a_program_of_before_them_counted_is_added_when_the_agent_starts(
    connection: asyncpg.Connection,
) -> None:
    await add_registrations(connection, {(1, FIRST, 0): (5, 0, 0, 0, 0)})
    assert not await check_rollups(connection)
    await connection.execute("UPDATE registration_counts SET registered = registered + 2")
    assert await check_rollups(connection)
    assert await connection.fetchval("SELECT registered_sum FROM prefix_days") == 7
    assert not await check_rollups(connection)
