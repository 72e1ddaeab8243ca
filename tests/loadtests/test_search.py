"""The load test of the search asks what it says it asks."""

import random

import asyncpg

from loadtests.search import PAGE_ROWS, Asked, fill, format_took, list_searches, measure
from registry.console.search import Search, search_records
from schemas.records import RecordState


async def test_each_search_finds_what_it_is_named_for(connection: asyncpg.Connection) -> None:
    rows = 6_000
    prefix_id = await fill(connection, rows)

    async def count(asked: Asked) -> int:
        return len((await search_records(connection, prefix_id, asked.wanted, asked.after, PAGE_ROWS)).rows)

    asked = list_searches(rows, random.Random(3))
    assert await count(asked["first page"]) == PAGE_ROWS
    assert await count(asked["begins with, one"]) == 1
    assert await count(asked["text that is nowhere"]) == 0
    frozen = Search(state=int(RecordState.FROZEN))
    assert await count(Asked(frozen)) == 2
    assert await count(Asked(Search(text="B240703", contains="b240703"))) > 10
    took = await measure(connection, prefix_id, rows, 2)
    assert {len(all_of) for all_of in took.values()} == {2}
    assert all(name in format_took(took) for name in asked)
