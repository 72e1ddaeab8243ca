"""Counted segments are compressed, kept for six months and purged with a word; a crash in between changes nothing."""

import gzip
import os
import shutil
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

import node.agent
import node.segment_keeping
from node.plausible_time import Reading, Tick, look_at_clock
from node.recompute import recompute
from node.segment_files import get_compressed_path, identify_directory, read_whole
from node.segment_keeping import KEPT, keep_segments
from schemas.segments import SegmentWriter
from tests.node.counting_world import DAY, NOON, TABLES, answer, count_all, count_answers, write_segment

LATER = NOON + timedelta(days=1)
FORGOTTEN = (
    "DELETE FROM counted_segments",  # all of it was opened, counted and compressed after what is left
    "UPDATE counted_segments SET state = 'open', counted_bytes = 0, records = 0, checksum = 0",
)


@pytest_asyncio.fixture
async def conn(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    async with pool.acquire() as taken:
        yield taken
        await taken.execute(f"TRUNCATE {TABLES} CASCADE")


async def fetch_states(conn: asyncpg.Connection) -> dict[str, str]:
    """Owner's name → state."""
    rows = await conn.fetch("SELECT name, state FROM counted_segments ORDER BY name")
    return {row["name"].partition(".")[0]: row["state"] for row in rows}


async def keep(conn: asyncpg.Connection, directory: Path, now: datetime = LATER, reserve_bytes: int = 0) -> None:
    await keep_segments(conn, directory, now, reserve_bytes)


async def test_a_finished_segment_is_compressed_and_says_the_same(conn: asyncpg.Connection, tmp_path: Path) -> None:
    path = write_segment(tmp_path, [answer(address=bytes((10, 0, 0, n % 200))) for n in range(5_000)])
    before = sum(portion.tally.records for portion in read_whole(path))
    size = path.stat().st_size
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    packed = get_compressed_path(tmp_path, path.name)
    assert not path.exists()
    assert await fetch_states(conn) == {"a": "compressed"}
    assert packed.stat().st_size < size / 4
    assert sum(portion.tally.records for portion in read_whole(packed)) == before == 5_000
    await count_all(conn, tmp_path)
    assert await count_answers(conn) == 5_000


async def test_a_segment_in_use_is_left_alone(conn: asyncpg.Connection, tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    writer.append(b"a", 5, 3, 1, 1, 1, b"")
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    assert await fetch_states(conn) == {"resolver-0": "open"}
    assert len(list(tmp_path.glob("*.segment"))) == 1
    writer.close()


async def test_segments_are_purged_after_six_months_with_a_line(
    conn: asyncpg.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_segment(tmp_path, [answer()])
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path, NOON + KEPT)
    assert await fetch_states(conn) == {"a": "compressed"}
    with caplog.at_level("INFO"):
        await keep(conn, tmp_path, NOON + KEPT + timedelta(seconds=1))
    assert await fetch_states(conn) == {"a": "purged"}
    assert [f.name for f in tmp_path.iterdir()] == ["directory-id"]
    assert any(path.name in line for line in caplog.messages)
    assert await conn.fetchval("SELECT count(*) FROM log_gaps") == 0
    assert await count_answers(conn) == 1


async def test_a_clock_that_is_ahead_purges_nothing_until_it_is_believed(
    conn: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.agent, "choose_reserve_bytes", lambda _: 0)
    write_segment(tmp_path, [answer()])
    await count_all(conn, tmp_path)
    await look_at_clock(conn, Reading(Tick(NOON, "boot", timedelta())))
    assert await look_at_clock(conn, Reading(Tick(NOON + 2 * KEPT, "boot", timedelta()))) is not None
    await node.agent._keep(conn, tmp_path)  # by the clock of the tests, the segment is years old
    assert await fetch_states(conn) == {"a": "compressed"}
    await look_at_clock(conn, Reading(Tick(NOON + 2 * KEPT, "boot", timedelta())), confirmed=True)
    await node.agent._keep(conn, tmp_path)
    assert await fetch_states(conn) == {"a": "purged"}


@pytest.mark.parametrize("forgotten", FORGOTTEN)
async def test_answers_whose_counting_a_database_forgot_when_it_was_set_back_are_counted_again(
    conn: asyncpg.Connection, tmp_path: Path, forgotten: str
) -> None:
    write_segment(tmp_path, [answer()] * 3)
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    await conn.execute(f"TRUNCATE resolution_counts, resolution_days; {forgotten}")
    for _ in range(2):
        await keep(conn, tmp_path)
        await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    assert await count_answers(conn) == 3
    assert await fetch_states(conn) == {"a": "compressed"}
    assert await conn.fetchval("SELECT count(*) FROM log_gaps") == 0


async def test_a_forgotten_segment_that_cannot_be_unpacked_is_a_gap_and_keeps_no_other_waiting(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    packed = get_compressed_path(tmp_path, write_segment(tmp_path, [answer()] * 3).name)
    write_segment(tmp_path, [answer()] * 4, name="b")
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    packed.write_bytes(packed.read_bytes()[:40])
    await conn.execute("TRUNCATE resolution_counts, resolution_days, counted_segments")
    for _ in range(3):
        await keep(conn, tmp_path)
        await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    assert await count_answers(conn) == 4
    assert await fetch_states(conn) == {"a": "damaged", "b": "compressed"}
    gaps = await conn.fetch("SELECT reason, from_at, to_at, missing FROM log_gaps")
    assert [tuple(gap) for gap in gaps] == [("damaged", NOON, LATER, None)], "no other day lacks anything"
    assert packed.exists() and not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize("forgotten", FORGOTTEN)
async def test_on_a_full_disk_nothing_is_unpacked_until_others_have_made_room(
    conn: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    for name in "ab":
        write_segment(tmp_path, [answer()] * 3, name=name)
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    await conn.execute(f"TRUNCATE resolution_counts, resolution_days; {forgotten} WHERE name LIKE 'a%'")
    with monkeypatch.context() as full:
        full.setattr(node.segment_keeping, "get_free_bytes", lambda _: 0)
        await keep(conn, tmp_path, reserve_bytes=1)
    assert (await fetch_states(conn))["b"] == "purged" and not list(tmp_path.glob("*.segment"))
    for _ in range(2):
        await keep(conn, tmp_path)
        await count_all(conn, tmp_path)
    assert await count_answers(conn) == 3
    assert await conn.fetchval("SELECT count(*) FROM log_gaps WHERE segment LIKE 'a%'") == 0


async def test_a_purged_segment_whose_file_outlived_a_crash_is_not_counted_again(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    path = write_segment(tmp_path, [answer()] * 3)
    await count_all(conn, tmp_path)
    await conn.execute("UPDATE counted_segments SET state = 'purged'")
    await count_all(conn, tmp_path)
    assert await count_answers(conn) == 3
    await keep(conn, tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("moment", ["compressed but not noted", "noted but not removed", "half compressed"])
async def test_a_crash_while_compressing_is_made_good(conn: asyncpg.Connection, tmp_path: Path, moment: str) -> None:
    path = write_segment(tmp_path, [answer()] * 3)
    await count_all(conn, tmp_path)
    copy = path.read_bytes()
    if moment == "half compressed":
        new = get_compressed_path(tmp_path, path.name).with_suffix(".gz.new")
        new.write_bytes(gzip.compress(copy)[:20])
        os.utime(new, (0, 0))
    else:
        await keep(conn, tmp_path)
        path.write_bytes(copy)
        if moment == "compressed but not noted":
            await conn.execute("UPDATE counted_segments SET state = 'closed'")
    await keep(conn, tmp_path)
    await count_all(conn, tmp_path)
    assert await fetch_states(conn) == {"a": "compressed"}
    assert sorted(f.suffix for f in tmp_path.iterdir()) == ["", ".gz"]
    assert await count_answers(conn) == 3
    found = await recompute(conn, tmp_path, DAY)
    assert (found["complete"], found["differences"]) == (True, [])


async def test_a_compressed_segment_may_have_lost_its_first_form_to_a_crash(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    write_segment(tmp_path, [answer()])
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    await conn.execute("UPDATE counted_segments SET state = 'closed'")
    await keep(conn, tmp_path)
    assert await fetch_states(conn) == {"a": "compressed"}
    assert await conn.fetchval("SELECT count(*) FROM log_gaps") == 0


async def test_a_segment_that_vanished_is_a_gap_and_its_answers_stay_counted(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    path = write_segment(tmp_path, [answer()] * 4)
    await count_all(conn, tmp_path)
    path.unlink()
    await keep(conn, tmp_path)
    assert await fetch_states(conn) == {"a": "lost"}
    gap = await conn.fetchrow("SELECT reason, from_at, to_at, missing FROM log_gaps")
    assert tuple(gap or ()) == ("lost", NOON, NOON, 4)
    assert await count_answers(conn) == 4


async def test_on_a_full_disk_the_oldest_compressed_segments_go_first_and_are_recorded(
    conn: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number, name in enumerate("abc"):
        write_segment(tmp_path, [answer(NOON + timedelta(hours=number))] * (number + 1), name=name)
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path)
    write_segment(tmp_path, [answer(NOON - timedelta(hours=1))], name="d")  # older, but not compressed
    await count_all(conn, tmp_path)
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    writer.append(b"a", 5, 3, 1, 1, 1, b"")

    def count_free(directory: Path) -> int:
        return 1_000 - 100 * sum(not f.name.startswith("directory") for f in directory.iterdir())

    monkeypatch.setattr(node.segment_keeping, "get_free_bytes", count_free)
    await count_all(conn, tmp_path)
    await keep(conn, tmp_path, reserve_bytes=650)  # five files: two must go
    assert await fetch_states(conn) == {
        "a": "purged", "b": "compressed", "c": "compressed", "d": "purged", "resolver-0": "open",
    }, "d was compressed first; it is the oldest, whatever the name"  # fmt: skip
    gaps = await conn.fetch("SELECT segment, reason, missing FROM log_gaps ORDER BY segment")
    assert [(g["segment"][0], g["reason"], g["missing"]) for g in gaps] == [
        ("a", "purged_for_room", 1), ("d", "purged_for_room", 1),
    ]  # fmt: skip
    assert "the disk is full" in caplog.text
    await keep(conn, tmp_path, reserve_bytes=10_000)
    assert (await fetch_states(conn))["resolver-0"] == "open", "what is not counted never goes"
    assert set((await fetch_states(conn)).values()) == {"purged", "open"}
    assert await count_answers(conn) == 8
    writer.close()


async def test_a_log_directory_keeps_its_name(tmp_path: Path) -> None:
    assert identify_directory(tmp_path) == identify_directory(tmp_path)
    copy = tmp_path.parent / "copy"
    shutil.copytree(tmp_path, copy)
    assert identify_directory(copy) == identify_directory(tmp_path)
    assert identify_directory(tmp_path / "other") != identify_directory(tmp_path)


async def test_what_a_dead_process_was_making_is_removed_and_what_a_living_one_makes_is_not(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    dead, fresh = tmp_path / "resolver-0.1.000001.new", tmp_path / "resolver-1.1.000001.new"
    dead.write_bytes(b"")
    fresh.write_bytes(b"")
    os.utime(dead, (0, 0))
    await keep(conn, tmp_path)
    assert not dead.exists()
    assert fresh.exists()
