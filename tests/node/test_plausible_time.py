"""A clock that is days ahead closes nothing: whatever it is set to, no day is sealed early or twice."""

import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from node import doctor
from node.closing import close_due_days, verify_seals
from node.plausible_time import (
    ABOVE_MARK,
    Reading,
    Tick,
    find_doubt,
    find_stored_doubt,
    is_synchronised,
    look_at_clock,
    read_clocks,
)
from node.store.closing import fetch_closes
from node.store.outbox import set_mark
from node.watching import check_stored
from tests.node.test_alarms import run_time_server
from tests.node.test_cli_data import Node

NODES = ("88.101",)
FIRST = date(2024, 6, 1)
START = datetime(2024, 6, 1, 4, tzinfo=UTC)  # noon at UTC+8
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LAST = Tick(START, "boot-1", 5 * HOUR)


def make_reading(passed: timedelta, shown: timedelta, boot: str = "boot-1", **more: object) -> Reading:
    """`passed` is what the kernel counted since LAST, `shown` what the clock says has passed."""
    return replace(Reading(Tick(START + shown, boot, LAST.up + passed)), **more)


READINGS: list[tuple[Reading, bool, str]] = [
    (make_reading(DAY, DAY), False, "a day has passed"),
    (make_reading(9 * DAY, 9 * DAY), False, "asleep for nine days, which the kernel knows"),
    (make_reading(HOUR, 2 * HOUR), False, "summer time, and days are those at UTC+8"),
    (make_reading(HOUR, 4 * HOUR), True, "three hours too many"),
    (make_reading(HOUR, 3 * DAY), True, "days ahead"),
    (make_reading(HOUR, -3 * DAY), False, "days behind closes nothing anyway"),
    (make_reading(HOUR, 3 * DAY, synchronised=True), False, "NTP has set it"),
    (make_reading(HOUR, 3 * DAY, witnesses=(timedelta(seconds=2),)), False, "a time server agrees"),
    (make_reading(DAY, DAY, witnesses=(3 * DAY,)), True, "a time server knows better, from the beginning"),
    (make_reading(DAY, DAY, synchronised=True, database=DAY), True, "the database lives on another day"),
    (make_reading(HOUR, DAY, "boot-2"), False, "off for a night"),
    (make_reading(HOUR, 3 * DAY, "boot-2"), True, "off for days, or a battery is empty: nobody knows"),
    (make_reading(HOUR, 3 * DAY, database=timedelta()), True, "a database of the same machine agrees with anything"),
]  # fmt: skip


@pytest.mark.parametrize(("reading", "is_doubted", "reason"), READINGS, ids=[case[2] for case in READINGS])
def test_a_clock_is_believed_unless_more_time_went_by_than_can_have(
    reading: Reading, is_doubted: bool, reason: str
) -> None:
    assert (find_doubt(reading, LAST) is not None) is is_doubted, reason


def test_the_first_look_of_a_new_node_has_nothing_to_compare() -> None:
    assert find_doubt(make_reading(HOUR, 300 * DAY), None) is None


USED = ("closed_rows", "day_closes", "seal_ends", "node_facts", "counted_changes", "prefixes")


@pytest_asyncio.fixture
async def conn(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A prefix of the first of June; everything is counted."""
    async with pool.acquire() as taken:
        await taken.execute(
            "INSERT INTO prefixes (prefix, state, created, changed, enabled_on) VALUES ('88.101.1', 1, $1, $1, $2)",
            START, FIRST,
        )  # fmt: skip
        await taken.execute("INSERT INTO counted_changes (log_id, position) SELECT log_id, position FROM change_log")
        yield taken
        await taken.execute("".join(f"DELETE FROM {table};" for table in USED))


async def look(conn: asyncpg.Connection, passed: timedelta, shown: timedelta, boot: str = "boot-1") -> int:
    """One round of the agent; how many days it closed."""
    reading = make_reading(passed, shown, boot)
    if await look_at_clock(conn, reading) is not None:
        return 0
    return len(await close_due_days(conn, NODES, reading.tick.at))


async def list_closed(conn: asyncpg.Connection) -> list[tuple[date, int]]:
    found = [(close.day, close.revision) for close in await fetch_closes(conn)]
    verified = await verify_seals(conn)
    assert (verified["problems"], verified["differences"]) == ([], [])
    assert all(figure >= 0 for close in await fetch_closes(conn) for figure in close.figures.values())
    return found


async def test_days_ahead_and_back_close_nothing_early_and_nothing_twice(conn: asyncpg.Connection) -> None:
    assert await look(conn, HOUR, HOUR) == 0
    assert await look(conn, 2 * HOUR, 2 * HOUR + 5 * DAY) == 0, "somebody set the clock"
    (alarm,) = await check_stored(conn)
    assert (alarm.cause, alarm.details["hours"]) == ("clock_jumped", 120.0)
    assert await look(conn, DAY, 6 * DAY) == 0, "it stays wrong, and no less so"
    assert await list_closed(conn) == []
    assert await look(conn, DAY + HOUR, DAY + HOUR) == 1, "set back: the day that really ended"
    assert await check_stored(conn) == []
    assert await look(conn, DAY + 2 * HOUR, 2 * HOUR - 4 * DAY) == 0, "days behind"
    assert await look(conn, DAY + 3 * HOUR, 9 * DAY) == 0, "and ahead again: what was behind proves nothing"
    assert await look(conn, 2 * DAY, 2 * DAY) == 1
    assert await list_closed(conn) == [(FIRST, 1), (FIRST + DAY, 1)]


async def test_after_days_off_the_operator_is_asked_and_all_days_are_closed_once(conn: asyncpg.Connection) -> None:
    await look(conn, HOUR, HOUR)
    assert await look(conn, HOUR, 4 * DAY, "boot-2") == 0
    assert await find_stored_doubt(conn) is not None
    assert await look_at_clock(conn, make_reading(HOUR, 4 * DAY, "boot-2"), confirmed=True) is None
    assert await look(conn, HOUR, 4 * DAY, "boot-2") == 4
    assert await look(conn, HOUR + DAY, 5 * DAY, "boot-2") == 1
    assert [revision for _, revision in await list_closed(conn)] == [1] * 5


async def test_the_last_close_is_compared_where_a_machine_never_looked(conn: asyncpg.Connection) -> None:
    await look(conn, HOUR, HOUR)
    await look(conn, DAY, DAY)
    await conn.execute("UPDATE node_facts SET name = 'clock_tick:elsewhere' WHERE starts_with(name, 'clock_tick:')")
    assert await look(conn, DAY, 4 * DAY) == 0
    assert await look(conn, DAY, 2 * DAY) == 1


async def test_clocks_are_read_and_a_time_server_is_asked_anew_each_time(connection: asyncpg.Connection) -> None:
    with run_time_server(90.0) as server:
        reading = await read_clocks(connection, server, trusts_above=True)
        (witness,) = reading.witnesses
        assert abs(abs(witness.total_seconds()) - 90) < 5
    assert abs(reading.database) < HOUR
    assert reading.tick.boot
    assert reading.tick.up > timedelta()
    await set_mark(connection, ABOVE_MARK, "-7200.5", datetime.now(UTC))
    assert (await read_clocks(connection, None, trusts_above=True)).witnesses == (timedelta(seconds=-7200.5),)
    assert (await read_clocks(connection, None, trusts_above=False)).witnesses == ()
    await set_mark(connection, ABOVE_MARK, "0", datetime.now(UTC) - HOUR)
    assert (await read_clocks(connection, None, trusts_above=True)).witnesses == (), "said before the clock jumped"


async def test_the_command_refuses_until_somebody_confirms_the_clock(
    conn: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    node, now = Node(database_url, tmp_path), datetime.now(UTC)
    await conn.execute("UPDATE prefixes SET created = $1", now - 2 * DAY)
    tick = json.dumps({"at": (now - 3 * DAY).isoformat(), "boot": "before", "up": 10.0})
    await conn.execute("INSERT INTO node_facts VALUES ($1, $2)", f"clock_tick:{socket.gethostname()}", tick)
    if not is_synchronised():  # then the kernel knows better than a tick
        assert node.fail("close")["code"] == "close_clock_doubted"
        assert await list_closed(conn) == []
        assert (await doctor.check_clock(conn)).code == "clock_doubted"
    assert len(node.get("close", "--confirm-clock")) == 2
    assert (await doctor.check_clock(conn)).code == "clock_agrees"
    assert node.get("close") == [], "from now on the clock is believed"
