"""Every logged answer and every registration is counted once, whatever is killed, repeated or damaged."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.agent import _count
from node.agent_stats import AgentStats
from node.cli.closing_commands import _count_all
from node.counting import PASS_BYTES, count_changes, count_segments
from node.peaks import WHOLE_NODE
from node.store.counting import NAMED_ADDRESSES
from node.store.registrations import Entry, sum_entries
from registry.issuing import draft_record, issue
from registry.ranges import RangeRequest, create_range
from registry.records import Located, change, freeze, get_stored, restore, retire
from registry.store.changes import Act
from registry.store.records import PrefixRule
from schemas.changes import ChangeKind
from schemas.identifiers import Identifier
from schemas.resolution_log import ClientClass, LoggedAnswer, Outcome
from schemas.segments import SegmentWriter
from schemas.templates import Template, bind_template
from tests.node.counting_world import (
    DAY,
    NOON,
    TABLES,
    answer,
    append_entry,
    count_all,
    count_answers,
    fetch_all,
    write_segment,
)
from tests.registry.issuing_world import make_prefix, make_template

ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture
async def conn(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection without a transaction of the test's own, since counting has its own; tables are emptied after."""
    async with pool.acquire() as taken:
        await taken.execute("INSERT INTO counted_changes (log_id, position) SELECT log_id, position FROM change_log")
        yield taken
        await taken.execute(f"TRUNCATE {TABLES} CASCADE")
        await taken.execute("UPDATE change_log SET log_id = gen_random_uuid(), position = 0, link = ''")


# Resolutions ----------------------------------------------------------------------------------------------------


async def test_answers_are_counted_by_prefix_day_hour_transport_outcome_class_and_template(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    write_segment(tmp_path, [answer(), answer(), answer(outcome=Outcome.NOT_FOUND), answer(prefix_id=0)])
    await count_all(conn, tmp_path)
    rows = await conn.fetch("SELECT * FROM resolution_counts ORDER BY prefix_id, outcome")
    assert [tuple(row) for row in rows] == [
        (0, DAY, 12, 3, 1, 1, 1, 1),
        (5, DAY, 12, 3, 1, 1, 1, 2),
        (5, DAY, 12, 3, 1, 3, 1, 1),
    ]


@pytest.mark.parametrize(
    ("at", "day", "hour"),
    [
        (datetime(2024, 6, 3, 15, 59, 59, 999_999, tzinfo=UTC), date(2024, 6, 3), 23),
        (datetime(2024, 6, 3, 16, 0, tzinfo=UTC), date(2024, 6, 4), 0),
        (datetime(2023, 12, 31, 16, 0, tzinfo=UTC), date(2024, 1, 1), 0),
    ],
)
async def test_the_day_begins_at_midnight_of_utc_plus_8(
    conn: asyncpg.Connection, tmp_path: Path, at: datetime, day: date, hour: int
) -> None:
    write_segment(tmp_path, [answer(at)])
    await count_all(conn, tmp_path)
    for table in ("resolution_counts", "resolution_days", "resolution_clients"):
        assert await conn.fetchval(f"SELECT day FROM {table}") == day
    assert await conn.fetchval("SELECT hour FROM resolution_counts") == hour


async def test_classes_that_do_not_count_are_shown_apart(conn: asyncpg.Connection, tmp_path: Path) -> None:
    outcomes = (Outcome.FOUND, Outcome.REFERRAL, Outcome.NOT_FOUND)
    write_segment(tmp_path, [answer(outcome=o, client_class=c) for o in outcomes for c in ClientClass])
    await count_all(conn, tmp_path)
    row = await conn.fetchrow("SELECT resolutions, resolutions_ok, uncounted FROM resolution_days")
    assert tuple(row or ()) == (6, 4, 6)
    hourly = await conn.fetchval("SELECT sum(answers)::int FROM resolution_counts WHERE client_class = 5")
    assert hourly == 3, "a sandbox stands in the hourly counters alone"


async def test_a_repeated_pass_adds_nothing(conn: asyncpg.Connection, tmp_path: Path) -> None:
    write_segment(tmp_path, [answer()] * 10)
    await append_entry(conn, ChangeKind.CREATED, 7)
    await count_all(conn, tmp_path)
    before = await fetch_all(conn)
    await count_all(conn, tmp_path)
    assert await fetch_all(conn) == before


async def test_several_agents_at_once_count_everything_once(
    conn: asyncpg.Connection, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    for name in "abcd":
        write_segment(tmp_path, [answer()] * 500, name=name)
    for _ in range(50):
        await append_entry(conn, ChangeKind.CREATED)

    async def count() -> None:
        async with pool.acquire() as own:
            await count_all(own, tmp_path)

    await asyncio.gather(count(), count(), count())
    assert await count_answers(conn) == 2_000
    assert await conn.fetchval("SELECT sum(registered)::int FROM registration_counts") == 50


async def test_what_comes_later_is_added_to_what_was_counted(conn: asyncpg.Connection, tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    for number in range(3_000):  # through several segments
        writer.append(b"88.101.5/%d" % number, 5, 3, 1, 1, 1, bytes((10, 0, 0, number % 200)))
        if number % 500 == 0:
            await count_all(conn, tmp_path)
            assert await count_answers(conn) == number + 1
    writer.close()
    await count_all(conn, tmp_path)
    assert await count_answers(conn) == 3_000
    assert await conn.fetchval("SELECT sum(answers)::int FROM resolution_clients") == 3_000
    assert await conn.fetchval("SELECT bool_and(state = 'closed') FROM counted_segments")


@pytest.mark.parametrize("count", [_count, _count_all])
async def test_counting_ends_while_answers_and_changes_keep_coming(
    conn: asyncpg.Connection, pool: asyncpg.Pool, tmp_path: Path, count: Callable[..., Awaitable[None]]
) -> None:
    writer, began = SegmentWriter(tmp_path, "resolver-0", 1 << 20), datetime.now(UTC)

    async def go_on() -> None:
        async with pool.acquire() as own:
            while True:
                await append_entry(own, ChangeKind.CREATED)
                writer.append(b"88.101.5/x", 5, 3, 1, 1, 1, b"")

    busy = asyncio.create_task(go_on())
    try:
        for _ in range(3):
            await asyncio.wait_for(count(conn, tmp_path), 60)
            assert not busy.done()
    finally:
        busy.cancel()
        await asyncio.wait([busy])
        writer.close()
    counted_until = await conn.fetchval("SELECT counted_until FROM log_directories")
    assert counted_until > began, "or no day of a busy node is ever closed"


async def test_a_pass_that_could_not_read_all_says_so(conn: asyncpg.Connection, tmp_path: Path) -> None:
    long = replace(answer(), identifier=b"x" * 2_000)
    write_segment(tmp_path, [long] * (PASS_BYTES // 2_000 + 1))
    assert await count_segments(conn, tmp_path, NOON)
    while await count_segments(conn, tmp_path, NOON):
        pass
    assert await count_answers(conn) == PASS_BYTES // 2_000 + 1


async def test_no_second_is_twice_as_busy_because_a_standby_took_over_that_had_not_heard_of_it(
    conn: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    stats = AgentStats()
    write_segment(tmp_path, [answer()] * 3)
    await _count(conn, tmp_path, None, stats)
    cut = await asyncpg.connect(database_url)
    cut.terminate()
    with pytest.raises(asyncpg.InterfaceError):
        await _count(cut, tmp_path, None, stats)
    await conn.execute("TRUNCATE counted_segments, resolution_counts, resolution_days, resolution_clients")
    await _count(conn, tmp_path, None, stats)
    assert await count_answers(conn) == 3
    assert stats.peaks.take(datetime.now(UTC))[WHOLE_NODE, DAY] == (3, NOON)


async def test_a_segment_without_answers_leaves_no_trace(conn: asyncpg.Connection, tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    await count_all(conn, tmp_path)
    writer.close()
    await count_all(conn, tmp_path)
    assert not list(tmp_path.glob("*.segment"))
    assert await conn.fetchval("SELECT count(*) FROM counted_segments") == 0


async def test_a_segment_of_a_dead_owner_is_finished_without_an_end_mark(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    write_segment(tmp_path, [answer()] * 3, end=False)
    await count_all(conn, tmp_path)
    assert await conn.fetchval("SELECT state FROM counted_segments") == "closed"
    assert await count_answers(conn) == 3


# Clients --------------------------------------------------------------------------------------------------------


def make_address(number: int) -> bytes:
    return (0x0A000000 + number).to_bytes(4, "big")


async def test_the_first_thousand_addresses_are_named_and_the_sum_is_exact(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    addresses = [make_address(number) for number in range(NAMED_ADDRESSES + 300)]
    write_segment(tmp_path, [answer(address=a) for a in addresses], name="a")
    await count_all(conn, tmp_path)
    write_segment(tmp_path, [answer(address=a) for a in reversed(addresses)] + [answer(address=b"")], name="b")
    await count_all(conn, tmp_path)
    rows = await conn.fetch("SELECT host(address) AS address, answers FROM resolution_clients")
    named = {row["address"]: row["answers"] for row in rows}
    assert named.pop("::") == 601
    assert len(named) == NAMED_ADDRESSES
    assert set(named.values()) == {2}


async def test_addresses_are_listed_by_class_so_that_counted_ones_sum_to_resolutions(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    write_segment(tmp_path, [answer(client_class=c, address=make_address(n)) for c in ClientClass for n in range(4)])
    await count_all(conn, tmp_path)
    rows = await conn.fetch("SELECT client_class, sum(answers)::int FROM resolution_clients GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, 4), (2, 4), (3, 4), (4, 4), (5, 4)]


async def test_an_ipv4_address_in_ipv6_clothes_is_the_same_client(conn: asyncpg.Connection, tmp_path: Path) -> None:
    mapped = bytes(10) + b"\xff\xff" + make_address(7)
    write_segment(tmp_path, [answer(address=mapped), answer(address=make_address(7)), answer(address=bytes(15) + b"1")])
    await count_all(conn, tmp_path)
    rows = await conn.fetch("SELECT host(address), answers FROM resolution_clients ORDER BY address")
    assert [tuple(row) for row in rows] == [("10.0.0.7", 2), ("::31", 1)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            answer,
            st.datetimes(datetime(2024, 6, 1), datetime(2024, 6, 4), timezones=st.just(UTC)),
            st.integers(0, 3),
            st.sampled_from(Outcome),
            st.sampled_from(ClientClass),
            st.integers(0, 5).map(make_address),
        ),
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
async def test_every_table_sums_to_the_answers_that_were_logged(
    pool: asyncpg.Pool, tmp_path_factory: pytest.TempPathFactory, answers: list[LoggedAnswer], shuffle: random.Random
) -> None:
    directory = tmp_path_factory.mktemp("log")
    cuts = sorted(shuffle.randrange(len(answers) + 1) for _ in range(2))
    async with pool.acquire() as own:
        await own.execute(f"TRUNCATE {TABLES} CASCADE")
        for name, piece in zip(
            "abc", (answers[: cuts[0]], answers[cuts[0] : cuts[1]], answers[cuts[1] :]), strict=True
        ):
            write_segment(directory, piece, name=name)
            await count_segments(own, directory, NOON)
        assert await count_answers(own) == len(answers)
        summed = await own.fetchval("SELECT coalesce(sum(resolutions + uncounted), 0)::int FROM resolution_days")
        assert summed == sum(one.client_class != ClientClass.SANDBOX for one in answers)
        assert await own.fetchval("SELECT coalesce(sum(answers), 0)::int FROM resolution_clients") == len(answers)
        expected = Counter((one.prefix_id, one.outcome, one.client_class) for one in answers)
        rows = await own.fetch(
            "SELECT prefix_id, outcome, client_class, sum(answers)::int FROM resolution_counts GROUP BY 1, 2, 3"
        )
        assert {tuple(row)[:3]: row[3] for row in rows} == expected
        await own.execute(f"TRUNCATE {TABLES} CASCADE")


# Damage and gaps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "value", "why"),
    [(3, 0x7F, "a length word of 2 GB"), (22, 99, "a client class there is not"), (11, 0xFF, "a time before 1970")],
)
async def test_a_damaged_segment_is_counted_up_to_the_damage_and_recorded_as_a_gap(
    conn: asyncpg.Connection, tmp_path: Path, offset: int, value: int, why: str
) -> None:
    path = write_segment(tmp_path, [answer()] * 10)
    data = bytearray(path.read_bytes())
    size = (len(data) - 128 - 4) // 10
    data[128 + 6 * size + offset] = value
    path.write_bytes(data)
    await count_all(conn, tmp_path)
    assert await count_answers(conn) == 6, why
    assert await conn.fetchval("SELECT state FROM counted_segments") == "damaged"
    gap = await conn.fetchrow("SELECT segment, reason, missing, from_at, details FROM log_gaps")
    assert gap is not None
    assert (gap["segment"], gap["reason"], gap["missing"], gap["from_at"]) == (path.name, "damaged", None, NOON)
    assert f"at {128 + 6 * size}" in gap["details"]


async def test_a_segment_that_is_cut_off_counts_its_complete_records(conn: asyncpg.Connection, tmp_path: Path) -> None:
    path = write_segment(tmp_path, [answer()] * 10)
    os.truncate(path, path.stat().st_size - 10)
    await count_all(conn, tmp_path)
    assert await count_answers(conn) == 9
    assert await conn.fetchval("SELECT reason FROM log_gaps") == "damaged"


async def test_a_file_that_is_no_segment_is_named_and_counts_nothing(conn: asyncpg.Connection, tmp_path: Path) -> None:
    (tmp_path / "a.1.000001.segment").write_bytes(b"not a segment at all" * 100)
    write_segment(tmp_path, [answer()], name="b")
    await count_all(conn, tmp_path)
    assert await count_answers(conn) == 1
    assert "begins with" in await conn.fetchval("SELECT details FROM log_gaps")


async def test_answers_without_room_are_a_recorded_gap_that_grows(conn: asyncpg.Connection, tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    writer._start_allocation = lambda: None  # type: ignore[method-assign]  # the disk is full from now on
    for total in (3_000, 5_000):
        for _ in range(total - await count_answers(conn) - writer.missing):
            writer.append(b"x" * 20, 5, 3, 1, 1, 1, b"")
        await count_all(conn, tmp_path)
        gap = await conn.fetchrow("SELECT reason, missing, from_at <= to_at AS ordered FROM log_gaps")
        assert gap is not None
        assert (gap["reason"], gap["missing"], gap["ordered"]) == ("no_room", writer.missing, True)
        assert await count_answers(conn) + writer.missing == total
    writer.close()


# Killed ---------------------------------------------------------------------------------------------------------

COUNT_FOR_EVER = """
import asyncio, sys
from datetime import datetime, UTC
from pathlib import Path
import asyncpg
from node.counting import count_changes, count_segments
from node.segment_keeping import keep_segments
async def main():
    conn = await asyncpg.connect(sys.argv[1], server_settings={"application_name": "agent to be killed"})
    print("ready", flush=True)
    while True:
        await count_changes(conn)
        await count_segments(conn, Path(sys.argv[2]), datetime.now(UTC))
        await keep_segments(conn, Path(sys.argv[2]), datetime.now(UTC), 0)
asyncio.run(main())
"""
AGENTS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agent to be killed'"


async def test_an_agent_killed_at_any_moment_counts_everything_once(
    conn: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    chance, written, registered = random.Random(7), 0, 0
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    for _ in range(12):
        agent = subprocess.Popen(
            [sys.executable, "-c", COUNT_FOR_EVER, database_url, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert agent.stdout is not None
        agent.stdout.readline()
        for _ in range(chance.randrange(1, 40)):
            for _ in range(100):
                writer.append(b"88.101.5/x", 5, 3, 1, 1, 1, bytes((10, 0, 0, written % 250)))
                written += 1
            await append_entry(conn, ChangeKind.CREATED, 3, at=NOON + timedelta(hours=registered))
            registered += 3
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        agent.stdout.close()
        assert await count_answers(conn) <= written
    writer.close()
    while await conn.fetchval(AGENTS):  # the server may still be at the last statement of a killed agent
        await asyncio.sleep(0.01)
    await count_all(conn, tmp_path)
    assert await count_answers(conn) == written
    assert await conn.fetchval("SELECT sum(answers)::int FROM resolution_clients") == written
    assert await conn.fetchval("SELECT sum(registered)::int FROM registration_counts") == registered
    assert await conn.fetchval("SELECT count(*) FROM log_gaps") == 0


async def test_a_pass_that_fails_before_its_end_adds_nothing(
    conn: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_segment(tmp_path, [answer()] * 5)
    await conn.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        " CREATE TRIGGER refuse BEFORE INSERT ON counted_segments FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(asyncpg.RaiseError):
        await count_segments(conn, tmp_path, NOON)
    assert await count_answers(conn) == 0
    await conn.execute("DROP TRIGGER refuse ON counted_segments; DROP FUNCTION refuse")
    await count_all(conn, tmp_path)
    assert await count_answers(conn) == 5


# Registrations --------------------------------------------------------------------------------------------------


async def fetch_registrations(conn: asyncpg.Connection) -> dict[tuple[date, int], tuple[int, ...]]:
    """(day, template_id) → registered, range_minted, retired, restored, moved."""
    rows = await conn.fetch(
        "SELECT day, template_id, registered, range_minted, retired, restored, moved FROM registration_counts"
    )
    return {(row[0], row[1]): tuple(row)[2:] for row in rows if any(tuple(row)[2:])}


async def test_registrations_count_on_the_day_of_the_records_time(conn: asyncpg.Connection, tmp_path: Path) -> None:
    midnight = datetime(2024, 6, 4, 16, 0, tzinfo=UTC)
    await append_entry(conn, ChangeKind.CREATED, 10_000, at=midnight - timedelta(microseconds=1))
    await append_entry(conn, ChangeKind.RANGE_CREATED, 10_000_000, at=midnight)
    await append_entry(conn, ChangeKind.RETIRED, 2, at=midnight)
    await append_entry(conn, ChangeKind.RESTORED, 1, at=midnight)
    await append_entry(conn, ChangeKind.CHANGED, 5, at=midnight, template_id=4, old=3)
    for kind in (ChangeKind.FROZEN, ChangeKind.UNFROZEN, ChangeKind.TEMPLATE, ChangeKind.PREFIX, ChangeKind.CHANGED):
        await append_entry(conn, kind, 9, at=midnight)
    await count_all(conn, tmp_path)
    assert await fetch_registrations(conn) == {
        (date(2024, 6, 4), 3): (10_000, 0, 0, 0, 0),
        (date(2024, 6, 5), 3): (0, 10_000_000, 2, 1, -5),
        (date(2024, 6, 5), 4): (0, 0, 0, 0, 5),
    }


entries = st.builds(
    Entry,
    st.sampled_from(ChangeKind).map(int),
    st.integers(1, 3),
    st.integers(0, 3),
    st.none() | st.integers(0, 3),
    st.integers(0, 10_000),
    st.datetimes(datetime(2024, 6, 1), datetime(2024, 6, 4), timezones=st.just(UTC)),
)


@given(st.lists(entries, max_size=12), st.randoms(use_true_random=False), st.integers(0, 12))
def test_the_order_and_the_portions_of_the_change_log_do_not_matter(
    log: list[Entry], shuffle: random.Random, cut: int
) -> None:
    expected = sum_entries(log)
    shuffled = list(log)
    shuffle.shuffle(shuffled)
    assert sum_entries(shuffled) == expected
    total: dict[tuple[int, date, int], tuple[int, ...]] = {}
    for part in (log[:cut], log[cut:]):
        for key, sums in sum_entries(part).items():
            total[key] = tuple(a + b for a, b in zip(total.get(key, (0,) * 5), sums, strict=True))
    assert {key: sums for key, sums in total.items() if any(sums)} == expected
    assert sum(sums[4] for sums in expected.values()) == 0, "what moves away arrives"


@pytest_asyncio.fixture
async def busy_prefix(conn: asyncpg.Connection) -> PrefixRule:
    """A prefix to which all happened that can happen to identifiers, through the registry's own functions."""
    rule = await make_prefix(conn)
    first = await make_template(conn, rule)
    other_id = await conn.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, 'pump-2', 'META_PUMP-2', '{}', $2, $2) RETURNING template_id",
        rule.prefix_id, NOON,
    )  # fmt: skip
    second = bind_template(first, rule.prefix, other_id)

    def act(hours: int) -> Act:
        return Act("test", NOON + timedelta(hours=hours))

    async def get(suffix: str) -> Located:
        return await get_stored(conn, Identifier(rule.prefix, suffix), for_update=True)

    async def create(template: Template, suffixes: list[str], hours: int) -> None:
        await issue(conn, rule, [draft_record(template, s, {"model": "WQ15"}) for s in suffixes], act(hours))

    async with conn.transaction():
        await create(first, [f"p{n}" for n in range(20)], 0)
        await create(second, ["q1", "q2"], 13)  # the next day
        await create(first, ["META_PUMP-1"], 0)  # as the template's own record stands there
        await conn.execute("DELETE FROM changes_pending WHERE suffix_keys = '{META_PUMP-1}'")
        await create_range(conn, rule, first, RangeRequest("SN0001", "SN1000", {"model": "WQ20"}), act(1))
    async with conn.transaction():
        await change(conn, await get("p1"), second, {"model": "WQ16"}, act(20))
        await change(conn, await get("p2"), first, {"model": "WQ17"}, act(20))
        await change(conn, await get("SN0500"), second, {"model": "WQ21"}, act(21))
        await retire(conn, await get("p3"), act(14))
        await retire(conn, await get("SN0007"), act(15))
        await retire(conn, await get("p4"), act(14))
        await freeze(conn, await get("p5"), "recalled", act(14))
    async with conn.transaction():
        await restore(conn, await get("p4"), act(40))
        await change(conn, await get("p4"), second, {"model": "WQ18"}, act(41))
    return rule


async def test_adding_up_the_log_and_reading_the_records_agree(
    conn: asyncpg.Connection, busy_prefix: PrefixRule, tmp_path: Path
) -> None:
    await count_all(conn, tmp_path)
    added = await fetch_registrations(conn)
    await conn.execute("DELETE FROM counted_changes")  # as if nothing had ever been counted
    await count_all(conn, tmp_path)
    assert await fetch_registrations(conn) == added
    totals = [sum(column) for column in zip(*added.values(), strict=True)]
    assert totals == [22, 1_000, 3, 1, 0]


async def test_a_new_log_doubles_nothing(conn: asyncpg.Connection, busy_prefix: PrefixRule, tmp_path: Path) -> None:
    await count_all(conn, tmp_path)
    before = await fetch_registrations(conn)
    await conn.execute("UPDATE change_log SET log_id = $1", uuid4())
    await count_all(conn, tmp_path)
    assert await fetch_registrations(conn) == before
    await append_entry(conn, ChangeKind.CREATED, 5, prefix_id=busy_prefix.prefix_id)
    await count_all(conn, tmp_path)
    assert sum(row[0] for row in (await fetch_registrations(conn)).values()) == 27


async def test_a_log_that_was_restored_to_an_earlier_position_is_counted_anew(
    conn: asyncpg.Connection, busy_prefix: PrefixRule, tmp_path: Path
) -> None:
    await count_all(conn, tmp_path)
    before = await fetch_registrations(conn)
    await conn.execute("UPDATE change_log SET position = position - 1")
    await count_all(conn, tmp_path)
    assert await fetch_registrations(conn) == before


@pytest.mark.parametrize("kept", ["position > 5", "false"])
async def test_a_log_whose_entries_are_gone_is_counted_anew(
    conn: asyncpg.Connection, busy_prefix: PrefixRule, tmp_path: Path, kept: str
) -> None:
    await count_all(conn, tmp_path)
    before = await fetch_registrations(conn)
    await conn.execute("UPDATE counted_changes SET position = 2")
    await conn.execute(f"DELETE FROM changes WHERE NOT ({kept})")
    await count_all(conn, tmp_path)
    assert await fetch_registrations(conn) == before


async def test_counting_anew_leaves_out_what_has_no_position_yet(
    conn: asyncpg.Connection, busy_prefix: PrefixRule, tmp_path: Path, pool: asyncpg.Pool
) -> None:
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(7241001)")  # nobody can number
        await conn.execute("DELETE FROM counted_changes")
        await count_changes(conn)
        assert sum(sum(map(abs, row)) for row in (await fetch_registrations(conn)).values()) == 0
    await count_all(conn, tmp_path)
    totals = [sum(column) for column in zip(*(await fetch_registrations(conn)).values(), strict=True)]
    assert totals == [22, 1_000, 3, 1, 0]
