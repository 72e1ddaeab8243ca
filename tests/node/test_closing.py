"""A day is closed once, sealed in a chain that shows every change, and corrected by revisions alone."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from node.closing import (
    choose_node_prefix,
    close_day,
    close_due_days,
    compute_provisional,
    find_due_day,
    revise_day,
    verify_seals,
)
from node.day_seals import DayClose
from node.store.closing import fetch_closes, fetch_late_days, fetch_latest_rows, fetch_rows, save_counted_until
from node.store.counting import add_answers
from node.store.registrations import add_registrations
from registry.prefixes import transfer_prefix
from schemas.days import get_start
from schemas.errors import Conflict, InvalidInput
from schemas.resolution_log import ClientClass, Outcome, Transport
from tests.registry.people import CLERK, order

USED = (
    "closed_rows", "day_closes", "seal_ends", "late_days", "log_directories", "prefix_days", "template_days",
    "node_days", "counted_templates", "registration_counts", "resolution_days", "resolution_counts",
    "counted_changes", "changes_pending", "prefix_owners", "prefixes", "decisions", "enterprises",
)  # fmt: skip
NODES = ("88.101", "88.102")
MADE = datetime(2024, 6, 1, 2, tzinfo=UTC)
FIRST = date(2024, 6, 1)


def day(number: int) -> date:
    """The first of June is day 0."""
    return FIRST + timedelta(days=number)


def at(number: int, hour: int = 0, minute: int = 10) -> datetime:
    return get_start(day(number)) + timedelta(hours=hour, minutes=minute)


@pytest_asyncio.fixture
async def conn(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Prefixes 88.101.1 (1), 88.101.2 (2) and 88.102.1 (3), all of works A; the agent counts."""
    async with pool.acquire() as taken:
        await taken.execute(
            "INSERT INTO enterprises (enterprise_id, certificate_code, name, state, connected_on, created, changed)"
            " OVERRIDING SYSTEM VALUE VALUES (1, '91321300MA1AAAAA01', 'Works A', 3, $1, $2, $2)", FIRST, MADE,
        )  # fmt: skip
        for number, prefix in enumerate(("88.101.1", "88.101.2", "88.102.1"), 1):
            await taken.execute(
                "INSERT INTO prefixes (prefix_id, prefix, state, created, changed, enabled_on)"
                " OVERRIDING SYSTEM VALUE VALUES ($1, $2, 1, $3, $3, $4)", number, prefix, MADE, FIRST,
            )  # fmt: skip
            await taken.execute(
                "INSERT INTO prefix_owners SELECT $1, enterprise_id, $2 FROM enterprises", number, FIRST
            )
        await taken.execute("INSERT INTO counted_changes (log_id, position) SELECT log_id, position FROM change_log")
        yield taken
        await taken.execute("".join(f"DELETE FROM {table};" for table in USED))  # quicker than TRUNCATE


async def register(conn: asyncpg.Connection, number: int, count: int, prefix_id: int = 1, minted: int = 0) -> None:
    async with conn.transaction():
        await add_registrations(conn, {(prefix_id, day(number), 0): (count, minted, 0, 0, 0)})


async def resolve(conn: asyncpg.Connection, number: int, count: int, prefix_id: int = 1) -> None:
    key = (prefix_id, day(number), 9, 0, int(Transport.HTTP), int(Outcome.FOUND), int(ClientClass.PUBLIC))
    async with conn.transaction():
        await add_answers(conn, {key: count})


async def close(conn: asyncpg.Connection, number: int, **options: Any) -> list[DayClose]:
    return await close_day(conn, NODES, day(number), at(number + 1), **options)


async def verify(conn: asyncpg.Connection) -> list[str]:
    found = await verify_seals(conn)
    return [p["problem"] for p in found["problems"]] + ["difference"] * len(found["differences"])


# Closing --------------------------------------------------------------------------------------------------------


async def test_a_day_is_closed_for_each_secondary_prefix_with_absolute_values(conn: asyncpg.Connection) -> None:
    await register(conn, 0, 100, minted=40)
    await register(conn, 1, 7)
    await resolve(conn, 1, 30)
    await resolve(conn, 1, 5, prefix_id=3)
    await resolve(conn, 1, 9, prefix_id=0)
    first, second = await close(conn, 0)
    assert [(c.node_prefix, c.day, c.revision, c.row_count) for c in (first, second)] == [
        ("88.101", day(0), 1, 2), ("88.102", day(0), 1, 1),
    ]  # fmt: skip
    one, _ = await close(conn, 1)
    rows = await fetch_latest_rows(conn, "88.101", day(1))
    assert rows[1].format() == {
        "prefix": "88.101.1", "enterprise_id": 1, "registered_new": 7, "range_minted": 0, "registered_total": 147,
        "registered_live": 147, "retired_total": 0, "resolutions": 30, "resolutions_ok": 30,
        "resolutions_uncounted": 0, "templates": [[0, 7, 0, 30, 30]],
    }  # fmt: skip
    assert rows[2].measures == (0,) * 8, "an enabled prefix without figures is stated, too"
    names = ("registered_new", "registered_total", "resolutions", "resolutions_foreign", "enterprises_connected",
             "prefixes_new", "prefixes_total")  # fmt: skip
    assert [one.figures[name] for name in names] == [7, 147, 30, 9, 1, 0, 2]
    assert (await fetch_closes(conn, "88.102", day(1)))[0].figures["resolutions_foreign"] == 0
    assert await verify(conn) == []


async def test_missing_days_are_closed_first_and_once(conn: asyncpg.Connection) -> None:
    made = await close_day(conn, NODES, day(2), at(5))
    assert [(c.day, c.node_prefix) for c in made] == [(day(n), node) for n in range(3) for node in NODES]
    before = await fetch_closes(conn)
    assert await close_day(conn, NODES, day(2), at(6)) == await close_day(conn, NODES, day(0), at(6)) == []
    assert await fetch_closes(conn) == before
    assert [(c.sequence, c.previous_seal) for c in before if c.node_prefix == "88.101"] == [
        (1, b""), (2, before[0].seal), (3, before[1].seal),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "now", "code"),
    [
        (3, at(3, 23, 59), "close_day_running"),  # to its last minute
        (3, at(2, 23, 59), "close_day_running"),  # not begun
        (-1, at(3), "close_before_beginning"),
    ],
)
async def test_what_cannot_be_closed_is_refused(
    conn: asyncpg.Connection, wanted: int, now: datetime, code: str
) -> None:
    with pytest.raises(Conflict) as refused:
        await close_day(conn, NODES, day(wanted), now)
    assert refused.value.code == code
    assert await fetch_closes(conn) == []


async def test_a_log_that_is_not_counted_is_waited_for(conn: asyncpg.Connection) -> None:
    other = uuid4()
    await save_counted_until(conn, uuid4(), at(2))
    await save_counted_until(conn, other, at(0, 22))
    with pytest.raises(Conflict) as refused:
        await close(conn, 0)
    assert (refused.value.code, refused.value.details["missing"]) == ("close_log_not_counted", str(other))
    assert await close_due_days(conn, NODES, at(1, 0, 29)) == []
    made = await close_due_days(conn, NODES, at(1, 0, 31))
    assert [c.gaps for c in made] == [[{"reason": "not_counted", "directory": str(other)}]] * 2
    await save_counted_until(conn, other, at(2))
    assert [(c.day, c.gaps) for c in await close(conn, 1)] == [(day(1), [])] * 2


async def test_a_machine_that_is_away_for_days_is_not_waited_for(conn: asyncpg.Connection) -> None:
    await save_counted_until(conn, uuid4(), at(0, 22))
    assert len(await close_due_days(conn, NODES, at(3, 0, 31))) == 6
    assert [c.gaps for c in await fetch_closes(conn, "88.101", day(2))] == [[]]


async def test_changes_that_are_not_counted_are_waited_for(conn: asyncpg.Connection) -> None:
    await conn.execute(
        "INSERT INTO changes_pending (kind, prefix_id, members, at, actor) VALUES (1, 1, 1, $1, 'test')", at(0, 12)
    )
    with pytest.raises(Conflict) as refused:
        await close(conn, 0)
    assert refused.value.details["missing"] == "1 changes"
    await conn.execute("UPDATE changes_pending SET at = $1", at(1))
    assert len(await close(conn, 0)) == 2, "what belongs to the next day holds nothing up"


async def test_the_running_day_is_shown_without_a_seal_and_nothing_is_kept(conn: asyncpg.Connection) -> None:
    await register(conn, 0, 3)
    shown = await compute_provisional(conn, NODES, day(0))
    assert [(p.format()["status"], p.figures["registered_new"]) for p in shown] == [
        ("provisional", 3), ("provisional", 0),
    ]  # fmt: skip
    assert await fetch_closes(conn) == []


@pytest.mark.parametrize(
    ("prefix", "node"),
    [("88.101.7", "88.101"), ("88.102.7", "88.102"), ("88.102", "88.102"), ("88.1017", "88.101"), ("0.NA", "88.101")],
)
def test_a_prefix_is_closed_with_its_secondary_prefix_or_with_the_first(prefix: str, node: str) -> None:
    assert choose_node_prefix(prefix, NODES) == node


# What comes late ------------------------------------------------------------------------------------------------


async def test_what_comes_late_is_a_revision_and_the_sealed_figure_stays(conn: asyncpg.Connection) -> None:
    await resolve(conn, 0, 10)
    (sealed, _) = await close(conn, 0)
    await resolve(conn, 0, 5)
    assert await fetch_late_days(conn) == [(day(0), "resolutions")]
    assert (await verify_seals(conn))["late"] == [day(0).isoformat()]
    assert await verify(conn) == [], "a day that waits for its revision is no difference"
    (revised,) = await revise_day(conn, NODES, day(0), at(1, 3), "segment of a machine that was away")
    assert (revised.revision, revised.row_count, revised.sequence, revised.previous_seal) == (2, 1, 2, sealed.seal)
    rows = await fetch_rows(conn, "88.101", day(0), day(0))
    assert [row.get_measure("resolutions") for row in rows[day(0), 1] if row.prefix_id == 1] == [10]
    assert [row.get_measure("resolutions") for row in rows[day(0), 2]] == [15]
    before = await fetch_latest_rows(conn, "88.101", day(0), at(1, 1))
    assert before[1].get_measure("resolutions") == 10, "as it was known then"
    assert (await fetch_closes(conn, "88.101", day(0)))[0] == sealed
    assert await fetch_late_days(conn) == []
    assert await revise_day(conn, NODES, day(0), at(1, 4), "again") == []
    assert await verify(conn) == []


async def test_late_registrations_revise_the_totals_of_later_days(conn: asyncpg.Connection) -> None:
    for number in range(3):
        await register(conn, number, 10)
    await close_day(conn, NODES, day(2), at(3))
    await register(conn, 1, 4)
    made = await revise_day(conn, NODES, day(1), at(3, 1), "clock")
    assert [(c.day, c.revision, c.row_count) for c in made] == [(day(1), 2, 1), (day(2), 2, 1)]
    rows = await fetch_latest_rows(conn, "88.101", day(2))
    assert (rows[1].get_measure("registered_new"), rows[1].get_measure("registered_total")) == (10, 34)
    assert await verify(conn) == []


async def test_the_agent_closes_in_time_and_revises_when_it_is_quiet(conn: asyncpg.Connection) -> None:
    assert await close_due_days(conn, NODES, at(1, 0, 4)) == []
    assert len(await close_due_days(conn, NODES, at(1, 0, 5))) == 2
    assert await close_due_days(conn, NODES, at(1, 0, 6)) == []
    await resolve(conn, 0, 5, prefix_id=3)
    assert await close_due_days(conn, NODES, at(1, 0, 7)) == []
    await conn.execute("UPDATE late_days SET last_at = last_at - interval '11 minutes'")
    (revised,) = await close_due_days(conn, NODES, at(1, 0, 8))
    assert (revised.node_prefix, revised.revision, revised.reason) == ("88.102", 2, "late: resolutions")


async def test_a_transfer_that_is_told_late_revises_whose_the_figures_were(conn: asyncpg.Connection) -> None:
    await conn.execute(
        "INSERT INTO enterprises (enterprise_id, certificate_code, name, state, created, changed)"
        " OVERRIDING SYSTEM VALUE VALUES (2, '91321300MA1BBBBB02', 'Works B', 3, $1, $1)", MADE,
    )  # fmt: skip
    await register(conn, 0, 10)
    sealed = await close_day(conn, NODES, day(3), at(4))
    assert [c.figures["enterprises_connected"] for c in sealed if c.node_prefix == "88.101"] == [1] * 4
    await transfer_prefix(conn, order(CLERK, "sold", at(4, 9)), "88.101.1", 2, day(2))
    assert await fetch_late_days(conn) == [(day(2), "enterprises"), (day(3), "enterprises")]
    await conn.execute("UPDATE late_days SET last_at = last_at - interval '11 minutes'")
    revised = await close_due_days(conn, NODES, at(4, 10))
    assert [(c.node_prefix, c.day, c.revision, c.figures["enterprises_connected"]) for c in revised] == [
        ("88.101", day(2), 2, 2), ("88.101", day(3), 2, 2),
    ]  # fmt: skip
    owners = [(await fetch_latest_rows(conn, "88.101", day(number)))[1].enterprise_id for number in (1, 2)]
    assert owners == [1, 2]
    assert await verify(conn) == []


async def test_a_revision_needs_a_reason(conn: asyncpg.Connection) -> None:
    with pytest.raises(InvalidInput) as refused:
        await revise_day(conn, NODES, day(0), at(1), " ")
    assert refused.value.code == "revision_without_reason"


# The clock ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2024, 6, 4, 15, 59, 59, tzinfo=UTC), date(2024, 6, 3)),  # 23:59:59 of the fourth
        (datetime(2024, 6, 4, 16, 0, 0, tzinfo=UTC), date(2024, 6, 3)),  # midnight: what is on its way may still come
        (datetime(2024, 6, 4, 16, 4, 59, tzinfo=UTC), date(2024, 6, 3)),
        (datetime(2024, 6, 4, 16, 5, 0, tzinfo=UTC), date(2024, 6, 4)),
        (datetime.fromisoformat("2024-06-04T09:05:00-07:00"), date(2024, 6, 4)),  # the same instant elsewhere
        (datetime.fromisoformat("2024-06-05T06:05:00+14:00"), date(2024, 6, 4)),
    ],
)
def test_a_day_is_due_five_minutes_after_midnight_of_utc_plus_8(now: datetime, due: date) -> None:
    assert find_due_day(now) == due


async def test_a_clock_that_goes_back_closes_nothing_twice(conn: asyncpg.Connection) -> None:
    await resolve(conn, 0, 10)
    made = await close_due_days(conn, NODES, at(1, 0, 30))
    assert len(made) == 2
    assert await close_due_days(conn, NODES, at(0, 23, 30)) == []
    with pytest.raises(Conflict):
        await close_day(conn, NODES, day(0), at(0, 23, 30))
    assert await close_due_days(conn, NODES, at(1, 0, 30)) == []
    assert await fetch_closes(conn) == made


async def test_a_clock_that_was_an_hour_ahead_makes_revisions_and_nothing_is_negative(conn: asyncpg.Connection) -> None:
    await resolve(conn, 0, 10)
    await register(conn, 0, 2)
    await close_due_days(conn, NODES, at(1, 0, 10))  # it is 23:10 in truth
    await resolve(conn, 1, 1)  # logged by the wrong clock
    await resolve(conn, 0, 6)  # after it was put right
    await register(conn, 0, 3)
    await close_due_days(conn, NODES, at(2, 0, 10))
    await revise_day(conn, NODES, day(0), at(2, 1), "the clock was ahead")
    rows = await conn.fetch("SELECT * FROM closed_rows")
    assert all(count >= 0 for row in rows for count in list(row)[6:14])
    latest = [(await fetch_latest_rows(conn, "88.101", day(n)))[1] for n in (0, 1)]
    assert [row.get_measure("resolutions") for row in latest] == [16, 1]
    assert [row.get_measure("registered_total") for row in latest] == [5, 5]
    assert await verify(conn) == []


# Verifying ------------------------------------------------------------------------------------------------------

FORGERIES = [
    ("UPDATE closed_rows SET resolutions = resolutions + 1 WHERE day = '2024-06-02' AND prefix_id = 1",
     ["seal_broken", "difference"]),
    ("UPDATE closed_rows SET registered_total = 9 WHERE day = '2024-06-02' AND prefix_id = 1", ["seal_broken"]),
    ("UPDATE closed_rows SET templates = '[]' WHERE day = '2024-06-02' AND prefix_id = 1", ["seal_broken"]),
    ("UPDATE closed_rows SET enterprise_id = NULL WHERE day = '2024-06-02' AND prefix_id = 1", ["seal_broken"]),
    ("DELETE FROM closed_rows WHERE day = '2024-06-02' AND prefix_id = 2", ["seal_broken"]),
    ("INSERT INTO closed_rows SELECT 9, day, 1, node_prefix, '88.101.9', NULL, 0, 0, 0, 0, 0, 0, 0, 0, '[]'"
     " FROM day_closes WHERE day = '2024-06-02' AND node_prefix = '88.101'", ["seal_broken"]),
    ("INSERT INTO closed_rows SELECT prefix_id, day, 2, node_prefix, prefix, enterprise_id, 0, 0, 0, 0, 0, 30, 30, 0,"
     " '[]' FROM closed_rows WHERE day = '2024-06-02' AND prefix_id = 1", ["rows_unsealed", "difference"]),
    ("UPDATE day_closes SET figures = figures || '{\"enterprises_connected\": 60}' WHERE day = '2024-06-02'"
     " AND node_prefix = '88.101'", ["seal_broken"]),
    ("UPDATE day_closes SET gaps = '[1]' WHERE day = '2024-06-02' AND node_prefix = '88.101'", ["seal_broken"]),
    ("UPDATE day_closes SET closed_at = closed_at + interval '1 hour' WHERE day = '2024-06-02'"
     " AND node_prefix = '88.101'", ["seal_broken"]),
    ("UPDATE day_closes SET seal = sha256('') WHERE day = '2024-06-02' AND node_prefix = '88.101'",
     ["link_broken", "seal_broken"]),
    ("UPDATE day_closes SET seal = sha256('') WHERE day = '2024-06-03' AND node_prefix = '88.101'",
     ["end_missing", "seal_broken"]),
    ("DELETE FROM day_closes WHERE day = '2024-06-02' AND node_prefix = '88.101'",
     ["sequence_broken", "link_broken", "day_missing", "rows_unsealed"]),
    ("DELETE FROM day_closes WHERE day = '2024-06-03' AND node_prefix = '88.101'", ["end_missing", "rows_unsealed"]),
    ("DELETE FROM day_closes WHERE node_prefix = '88.101'", ["end_missing", *["rows_unsealed"] * 3]),
    ("DELETE FROM seal_ends WHERE node_prefix = '88.101'", ["end_missing"]),
    ("UPDATE day_closes a SET seal = b.seal, closed_at = b.closed_at FROM day_closes b WHERE a.node_prefix = '88.101'"
     " AND b.node_prefix = '88.101' AND a.day >= '2024-06-02' AND b.day >= '2024-06-02' AND a.day <> b.day",
     ["link_broken", "end_missing", "seal_broken", "seal_broken"]),
    ("UPDATE resolution_days SET resolutions = 29 WHERE day = '2024-06-02'", ["difference"]),
    ("DELETE FROM registration_counts WHERE day = '2024-06-02'", ["difference"]),
]  # fmt: skip


@pytest.mark.parametrize(("forgery", "problems"), FORGERIES)
async def test_every_change_of_what_was_sealed_is_found(
    conn: asyncpg.Connection, forgery: str, problems: list[str]
) -> None:
    for number in range(3):
        await register(conn, number, 10)
        await resolve(conn, number, 30)
    await close_day(conn, NODES, day(2), at(3))
    assert await verify(conn) == []
    assert (await conn.execute(forgery)).rpartition(" ")[2] != "0"
    assert await verify(conn) == problems


async def test_only_the_rows_of_the_period_are_computed_again(conn: asyncpg.Connection) -> None:
    await register(conn, 0, 10)
    await close_day(conn, NODES, day(2), at(3))
    await conn.execute("UPDATE closed_rows SET retired_total = 1 WHERE day = $1 AND prefix_id = 1", day(1))
    assert (await verify_seals(conn, day(2), day(2)))["problems"] == []
    (problem,) = (await verify_seals(conn, day(1), day(1)))["problems"]
    assert (problem["node_prefix"], problem["day"], problem["problem"]) == ("88.101", "2024-06-02", "seal_broken")
