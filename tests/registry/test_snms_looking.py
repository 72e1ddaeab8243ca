"""Looks at many identifiers with one question to the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from registry.snms.looking import Looks
from registry.store.details import Key
from schemas.errors import Unavailable

NUMBERS = range(40)


class Counted:
    """The way to the database, and how often it was taken."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool, self.taken, self.is_away = pool, 0, False

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[asyncpg.Connection]:
        self.taken += 1
        if self.is_away:
            raise Unavailable("database_unavailable")
        async with self.pool.acquire() as conn:
            yield conn


@pytest.fixture
async def counted(pool: asyncpg.Pool) -> Counted:
    async with pool.acquire() as conn:
        await conn.execute("TRUNCATE prefixes, records CASCADE")
        await conn.execute(
            "INSERT INTO prefixes (prefix, state, folds_case, created, changed)"
            " VALUES ('88.101.5', 1, true, now(), now()), ('88.101.6', 1, false, now(), now())"
        )
        await add_record(conn, "taken")
        for number in NUMBERS:
            await add_record(conn, f"sn-{number}")
    return Counted(pool)


async def add_record(conn: asyncpg.Connection, suffix: str) -> None:
    await conn.execute(
        "INSERT INTO records (created, changed, prefix_id, template_id, suffix_key, packed)"
        " SELECT now(), now(), prefix_id, 0, $1, '' FROM prefixes",
        suffix,
    )


def key(suffix: str, prefix: str = "88.101.5") -> Key:
    return Key(prefix, suffix.lower(), suffix)


async def test_who_asks_at_the_same_time_shares_a_question_and_gets_his_own_answer(counted: Counted) -> None:
    looks = Looks(counted.connect)
    details = await asyncio.gather(*(looks.find(key(f"SN-{number}")) for number in NUMBERS))
    assert [detail.stored.suffix for detail in details if detail and detail.stored] == [f"sn-{n}" for n in NUMBERS]
    assert counted.taken == 1


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (key("TAKEN"), (True, True)),
        (key("taken", "88.101.6"), (True, True)),
        (key("TAKEN", "88.101.6"), (True, False)),  # this prefix tells cases apart
        (key("sn-999"), (True, False)),
        (key("taken", "88.101.7"), (False, False)),
    ],
)
async def test_a_look_tells_a_missing_prefix_from_a_missing_record(
    counted: Counted, asked: Key, expected: tuple[bool, bool]
) -> None:
    detail = await Looks(counted.connect).find(asked)
    assert (detail is not None, detail is not None and detail.stored is not None) == expected


async def test_a_look_reads_what_was_written_before_it_while_others_look(counted: Counted) -> None:
    looks = Looks(counted.connect)

    async def write_and_look(number: int) -> bool:
        async with counted.pool.acquire() as conn:
            await add_record(conn, f"new-{number}")
        detail = await looks.find(key(f"new-{number}"))
        return detail is not None and detail.stored is not None

    assert all(await asyncio.gather(*(write_and_look(number) for number in NUMBERS)))


async def test_a_database_that_is_away_is_told_to_all_who_ask_and_is_asked_again(counted: Counted) -> None:
    looks = Looks(counted.connect)
    counted.is_away = True
    told = await asyncio.gather(*(looks.find(key("taken")) for _ in NUMBERS), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in told)
    counted.is_away = False
    assert await looks.find(key("taken")) is not None


async def test_who_gives_up_waiting_takes_no_answer_from_others(counted: Counted) -> None:
    looks = Looks(counted.connect)
    asked = [asyncio.ensure_future(looks.find(key(f"sn-{number}"))) for number in NUMBERS]
    await asyncio.sleep(0)
    asked[0].cancel()
    details = await asyncio.gather(*asked[1:])
    assert all(detail is not None and detail.stored is not None for detail in details)
