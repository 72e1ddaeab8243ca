"""The load test of the search asks what it says it asks."""

import random
from datetime import timedelta

import asyncpg
import pytest

from loadtests.rows import WHEN, make_suffix
from loadtests.search import PAGE_ROWS, Asked, fill, format_took, list_searches, measure
from registry.console import search
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


async def test_pages_show_each_identifier_once_however_little_each_looks_at(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SCANNED_ROWS", 64)
    monkeypatch.setattr(search, "LOOKING_SECONDS", 0.0)
    rows, hour = 900, timedelta(hours=1)
    prefix_id = await fill(connection, rows)
    await connection.execute(
        "UPDATE records SET created = created - $1::interval WHERE suffix_key < $2", hour, make_suffix(400)
    )
    everything = [make_suffix(number) for number in range(rows)]
    exact = make_suffix(777)
    cases = {
        "in order of key": (Search(), everything),
        "in order of time, then of key": (Search(since=WHEN), everything[400:]),
        "until, in order of time": (Search(until=WHEN + hour), everything),
        "few states by their own index": (
            Search(state=int(RecordState.RETIRED)),
            [everything[n] for n in (1, 301, 601)],
        ),
        "a state on some days": (Search(state=int(RecordState.RETIRED), since=WHEN), [everything[601]]),
        "a beginning on some days": (Search(starts_with="SN000000039", since=WHEN), []),
        "the whole suffix, first and once": (Search(contains=exact, text=exact), [exact]),
        "what is a wildcard elsewhere": (Search(contains="%", text="%"), []),
    }
    for name, (wanted, expected) in cases.items():
        found, after = list[str](), ""
        while True:
            page = await search_records(connection, prefix_id, wanted, after, 20)
            found += [row.suffix_key for row in page.rows]
            if page.next_after is None:
                break
            after = page.next_after
        assert found == expected, name


async def test_a_search_looks_at_few_rows_first_since_they_may_lie_anywhere_on_a_disk(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOKING_SECONDS", 0.0)
    prefix_id = await fill(connection, 2 * search.FIRST_ROWS)
    found = await search_records(connection, prefix_id, Search(contains="nowhere", text="nowhere"), "", 50)
    assert found.cut_at is not None and found.cut_at[1] == make_suffix(search.FIRST_ROWS - 1)
