"""A day is computed again from log and history; every damaged counter and every damaged segment is named."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from node.recompute import GAP_TEXTS, describe_gap, recompute
from node.segment_files import get_compressed_path
from node.segment_keeping import KEPT, keep_segments
from node.store.counting import LogGap
from registry.issuing import draft_record, issue
from registry.ranges import RangeRequest, create_range
from registry.records import get_stored, retire
from registry.store.changes import Act
from schemas.changes import ChangeKind
from schemas.identifiers import Identifier
from schemas.resolution_log import HEADER_BYTES, ClientClass, Outcome, encode_answer
from schemas.segments import SegmentWriter
from tests.node.counting_world import DAY, NOON, TABLES, answer, append_entry, count_all, write_segment
from tests.registry.issuing_world import make_prefix, make_template

ANSWERS = [
    answer(
        NOON + timedelta(minutes=7 * n), 1 + n % 3, list(Outcome)[n % 8], list(ClientClass)[n % 5], bytes((10, 0, 0, n))
    )
    for n in range(200)
]
OF_THE_DAY = sum((one.time_us // 3_600_000_000 + 8) // 24 == (ANSWERS[0].time_us // 3_600_000_000 + 8) // 24
                 for one in ANSWERS)  # fmt: skip


@pytest_asyncio.fixture
async def conn(pool: asyncpg.Pool, tmp_path: Path) -> AsyncIterator[asyncpg.Connection]:
    """A node that counted a day of registrations and, in segment a, of resolutions."""
    async with pool.acquire() as taken:
        act = Act("test", NOON)
        rule = await make_prefix(taken)
        template = await make_template(taken, rule)
        async with taken.transaction():
            await issue(taken, rule, [draft_record(template, f"p{n}", {"model": "W"}) for n in range(9)], act)
            await create_range(taken, rule, template, RangeRequest("SN001", "SN500", {"model": "W"}), act)
            await retire(taken, await get_stored(taken, Identifier(rule.prefix, "p1"), for_update=True), act)
        write_segment(tmp_path, ANSWERS)
        await count_all(taken, tmp_path)
        yield taken
        await taken.execute(f"TRUNCATE {TABLES} CASCADE")
        await taken.execute("UPDATE change_log SET log_id = gen_random_uuid(), position = 0, link = ''")


async def check(conn: asyncpg.Connection, directory: Path) -> dict[str, Any]:
    return await recompute(conn, directory, DAY)


async def test_what_was_counted_rightly_shows_no_difference(conn: asyncpg.Connection, tmp_path: Path) -> None:
    found = await check(conn, tmp_path)
    assert found == {
        "day": DAY.isoformat(), "complete": True, "records": OF_THE_DAY, "segments": [], "uncounted_segments": [],
        "gaps": [], "differences": [],
    }  # fmt: skip
    assert 0 < OF_THE_DAY < len(ANSWERS)


async def test_it_agrees_for_open_closed_and_compressed_segments_alike(
    conn: asyncpg.Connection, tmp_path: Path
) -> None:
    await keep_segments(conn, tmp_path, NOON, 0)
    write_segment(tmp_path, ANSWERS[::2], name="b")
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    writer.append(b"now", 5, 3, 1, 1, 1, b"")
    await count_all(conn, tmp_path)
    states = await conn.fetch("SELECT DISTINCT state FROM counted_segments ORDER BY 1")
    assert [row["state"] for row in states] == ["closed", "compressed", "open"]
    for day in (DAY, DAY + timedelta(days=1), (datetime.now(UTC) + timedelta(hours=8)).date()):
        found = await recompute(conn, tmp_path, day)
        assert (found["complete"], found["differences"]) == (True, [])
        assert found["records"] > 0
    writer.close()


DAMAGES = [
    ("resolution_counts", "answers = answers + 1", "prefix_id = 1 AND hour = 12"),
    ("resolution_days", "resolutions = resolutions - 1", "prefix_id = 2"),
    ("resolution_days", "resolutions_ok = 10 * resolutions_ok + 5", "prefix_id = 2"),
    ("resolution_clients", "answers = answers + 1", "address = '10.0.0.7'"),
    ("registration_counts", "registered = registered + 1", "true"),
    ("registration_counts", "range_minted = 0", "true"),
    ("registration_counts", "retired = 0", "true"),
    ("registration_counts", "moved = 3", "true"),
    ("prefix_days", "resolutions = resolutions + 1", "prefix_id = 2"),
    ("template_days", "moved_sum = 3", "true"),
    ("node_days", "registered = registered - 1", "true"),
]


@pytest.mark.parametrize(("table", "change", "where"), DAMAGES)
async def test_a_counter_that_was_changed_is_named_with_both_figures(
    conn: asyncpg.Connection, tmp_path: Path, table: str, change: str, where: str
) -> None:
    await conn.execute(f"UPDATE {table} SET {change} WHERE day = '{DAY}' AND {where}")
    differences = (await check(conn, tmp_path))["differences"]
    assert differences
    for one in differences:
        assert one["table"] == table
        assert one["counted"] != one["recomputed"]
        assert (one["day"], "prefix" in one) == (DAY.isoformat(), True)


async def test_a_running_total_that_was_changed_is_named(conn: asyncpg.Connection, tmp_path: Path) -> None:
    await conn.execute("UPDATE prefix_days SET registered_sum = registered_sum + 5 WHERE day = $1", DAY)
    differences = (await check(conn, tmp_path))["differences"]
    assert {(one["table"], one["measure"]) for one in differences} == {("prefix_sums", "registered")}
    assert all(one["counted"] == one["recomputed"] + 5 for one in differences)


@pytest.mark.parametrize("table", sorted({table for table, _, _ in DAMAGES if table.startswith("re")}))
async def test_counters_that_were_removed_are_named(conn: asyncpg.Connection, tmp_path: Path, table: str) -> None:
    rows = await conn.fetchval(f"SELECT count(*) FROM {table} WHERE day = $1", DAY)
    await conn.execute(f"DELETE FROM {table}")
    differences = (await check(conn, tmp_path))["differences"]
    assert {one["table"] for one in differences} == {table}
    assert all(one["counted"] == 0 < one["recomputed"] or table == "resolution_clients" for one in differences)
    assert 0 < len(differences) <= 3 * rows


async def test_counters_nobody_can_prove_are_named(conn: asyncpg.Connection, tmp_path: Path) -> None:
    await conn.execute("INSERT INTO resolution_counts VALUES (77, $1, 3, 0, 1, 1, 1, 1000000)", DAY)
    (one,) = (await check(conn, tmp_path))["differences"]
    assert (one["prefix_id"], one["hour"], one["counted"], one["recomputed"]) == (77, 3, 1_000_000, 0)


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_damaged_segment_is_named_with_its_offset(
    conn: asyncpg.Connection, tmp_path: Path, compressed: bool
) -> None:
    (path,) = tmp_path.glob("*.segment")
    if compressed:
        await keep_segments(conn, tmp_path, NOON, 0)
        path = get_compressed_path(tmp_path, path.name)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 if compressed else 128 + 50 * 40 + 1  # a length word; records have 40 bytes
    data[middle] ^= 0xFF
    data[middle + 1] ^= 0xFF
    path.write_bytes(data)
    found = await check(conn, tmp_path)
    assert not found["complete"]
    (one,) = found["segments"]
    assert (one["segment"], one["problem"]) == (path.name, "damaged")
    assert 128 <= one["offset"] <= 128 + 200 * 40
    assert compressed or one["offset"] == middle - 1
    assert {d["table"] for d in found["differences"]} >= {"resolution_counts"}


@pytest.mark.parametrize("place", range(HEADER_BYTES, HEADER_BYTES + len(encode_answer(ANSWERS[0]))))
async def test_no_byte_of_what_was_counted_can_change_unseen(
    conn: asyncpg.Connection, tmp_path: Path, place: int
) -> None:
    (path,) = tmp_path.glob("*.segment")
    data = bytearray(path.read_bytes())
    data[place] ^= 0x01
    path.write_bytes(data)
    found = await check(conn, tmp_path)
    assert [segment["problem"] for segment in found["segments"]] == ["damaged"]
    assert not found["complete"]


@pytest.mark.parametrize("size", [0, 100, 128, 128 + 40 * 50, 128 + 40 * 50 + 7])
async def test_a_segment_that_was_cut_short_is_named(conn: asyncpg.Connection, tmp_path: Path, size: int) -> None:
    (path,) = tmp_path.glob("*.segment")
    os.truncate(path, size)
    (one,) = (await check(conn, tmp_path))["segments"]
    assert (one["segment"], one["problem"]) == (path.name, "damaged")
    assert one["offset"] <= size


async def test_a_missing_and_a_purged_segment_are_named(conn: asyncpg.Connection, tmp_path: Path) -> None:
    (path,) = tmp_path.glob("*.segment")
    moved = path.rename(tmp_path / "elsewhere")
    (one,) = (await check(conn, tmp_path))["segments"]
    assert (one["segment"], one["problem"]) == (path.name, "missing")
    moved.rename(path)
    assert (await check(conn, tmp_path))["complete"]
    await keep_segments(conn, tmp_path, NOON + KEPT + timedelta(days=2), 0)
    await keep_segments(conn, tmp_path, NOON + KEPT + timedelta(days=2), 0)
    (one,) = (await check(conn, tmp_path))["segments"]
    assert (one["segment"], one["problem"]) == (path.name, "purged")


async def test_a_segment_of_another_machine_is_named(conn: asyncpg.Connection, tmp_path: Path) -> None:
    await conn.execute("UPDATE counted_segments SET directory = gen_random_uuid()")
    (one,) = (await check(conn, tmp_path))["segments"]
    assert one["problem"] == "elsewhere"


async def test_recorded_gaps_that_touch_the_day_are_shown(conn: asyncpg.Connection, tmp_path: Path) -> None:
    path = write_segment(tmp_path, ANSWERS[:5], name="b")
    with path.open("ab") as file:
        file.truncate(path.stat().st_size - 20)
    await count_all(conn, tmp_path)
    found = await check(conn, tmp_path)
    assert not found["complete"]
    (gap,) = found["gaps"]
    assert (gap["segment"], gap["reason"], gap["missing"]) == (path.name, "damaged", None)
    assert [one["problem"] for one in found["segments"]] == ["damaged"]
    assert found["differences"] == []


async def test_what_is_not_counted_yet_is_no_difference(
    conn: asyncpg.Connection, tmp_path: Path, pool: asyncpg.Pool
) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    for _ in range(5):
        writer.append(b"a", 5, 3, 1, 1, 1, b"")
    await count_all(conn, tmp_path)
    for _ in range(5):
        writer.append(b"b", 5, 3, 1, 1, 1, b"")
    write_segment(tmp_path, ANSWERS, name="new")
    rule = await conn.fetchval("SELECT prefix_id FROM prefixes")
    template_id = await conn.fetchval("SELECT template_id FROM templates")
    for numbered in (True, False):  # one entry of the change log with a position, one without
        await conn.execute(
            "INSERT INTO records (created, changed, prefix_id, template_id, suffix_key, packed)"
            " VALUES ($1, $1, $2, $3, $4, '')", NOON, rule, template_id, f"LATE{numbered}",
        )  # fmt: skip
        await append_entry(conn, ChangeKind.CREATED, 1, template_id=template_id, prefix_id=rule)
        if numbered:
            await conn.execute("SELECT number_changes()")
    for day in (DAY, (datetime.now(UTC) + timedelta(hours=8)).date()):
        found = await recompute(conn, tmp_path, day)
        assert found["differences"] == []
        assert len(found["uncounted_segments"]) == 1
    writer.close()
    await count_all(conn, tmp_path)
    assert (await check(conn, tmp_path))["differences"] == []


@pytest.mark.parametrize("reason", sorted(GAP_TEXTS))
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_gap_is_told_with_what_to_do(reason: str, language: str) -> None:
    for gap in (LogGap("a.segment", reason, NOON, NOON, 7, "at 3"), LogGap("a.segment", reason, None, None, None)):
        told = describe_gap(gap, language)
        assert "a.segment" in told["text"]
        assert "…" not in told["text"] + told["remedy"]
        assert told["remedy"]
