"""The agent: adds what the change log and the resolution log say to the counters, and looks after the segments.

Counters and how far was read change in one transaction, so a pass that is repeated after a crash adds nothing twice.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
from asyncpg import Connection

from node.agent_stats import AgentStats
from node.segment_files import READ_BYTES, Portion, identify_directory, list_segments, read_portion
from node.store import counting as store
from node.store import registrations
from node.store.counting import LogGap, Progress
from node.store.registrations import LogPosition
from node.store.rollups import are_rollups_whole, rebuild_rollups, rollups_alone
from node.tally import Second, Tally
from schemas.resolution_log import LONGEST_RECORD

ENTRIES_PER_PASS = 1_000
PASS_BYTES = 4 * READ_BYTES  # some 300,000 records, counted in well under a second
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)

log = logging.getLogger("idnode.agent")


@asynccontextmanager
async def alone(conn: Connection, work: str) -> AsyncIterator[None]:
    """Wait until no other agent does this work.

    A lock of the session, since the snapshot of a transaction must not be older than the lock.
    """
    await store.lock_work(conn, work)
    try:
        yield
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # a lost connection has let go
            await store.unlock_work(conn, work)


# Registrations --------------------------------------------------------------------------------------------------


async def count_changes(conn: Connection) -> bool:
    """Add up to 1,000 entries of the change log to the registration counters; whether there may be more at once.

    A log that is new (after a restore), or that no longer holds what comes next, is not added: the counters are
    made again from the records, so that nothing is doubled.
    """
    await conn.execute("SELECT number_changes()")
    async with alone(conn, "count changes"):
        end, counted = await registrations.fetch_log_end(conn), await registrations.find_counted(conn)
        if counted is None or counted.log_id != end.log_id or counted.position > end.position:
            if counted is not None:
                log.warning("change log %s is not the one that was counted, or shorter", end.log_id)
            await rebuild_registrations(conn)
            return False
        entries = await registrations.fetch_entries(conn, counted.position, ENTRIES_PER_PASS)
        next_position = entries[0][0] if entries else end.position + 1
        if next_position != counted.position + 1:
            log.warning("change log: %d comes after %d, which was counted", next_position, counted.position)
            await rebuild_registrations(conn)
            return False
        if entries:
            async with conn.transaction():
                await registrations.add_registrations(conn, registrations.sum_entries(e for _, e in entries))
                await registrations.save_counted(conn, LogPosition(end.log_id, entries[-1][0]))
        return len(entries) == ENTRIES_PER_PASS


async def rebuild_registrations(conn: Connection) -> None:
    """Make the registration counters from records and history, as of one snapshot; the caller counts alone.

    Entries that have committed without a position yet are taken out again: they come when they are numbered.
    """
    async with rollups_alone(conn), conn.transaction(isolation="repeatable_read"):
        end = await registrations.fetch_log_end(conn)
        found = await registrations.recompute_registrations(conn, BEGINNING, FOREVER)
        pending = registrations.sum_entries(await registrations.fetch_pending(conn))
        await registrations.replace_registrations(conn, registrations.subtract(found, pending))
        await rebuild_rollups(conn)
        await registrations.save_counted(conn, end)
    log.info("registrations counted from the records, change log %s at %d", end.log_id, end.position)


async def check_rollups(conn: Connection) -> bool:
    """Make the rollups again where they are not what the counters say; whether that was necessary.

    A program of before the rollups may have counted while the schema had them already.
    """
    if await are_rollups_whole(conn):
        return False
    log.warning("the rollups are not what the counters say, and are made again")
    async with rollups_alone(conn), conn.transaction():
        await rebuild_rollups(conn)
    return True


# Resolutions ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Pass:
    """What one pass over the segments read; stored in one transaction."""

    tally: Tally = field(default_factory=Tally)
    progress: list[Progress] = field(default_factory=list)
    gaps: list[LogGap] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    owners: Counter[str] = field(default_factory=Counter)  # answers by who wrote them
    seconds: Counter[Second] = field(default_factory=Counter)
    more: bool = False


async def count_segments(conn: Connection, directory: Path, now: datetime, stats: AgentStats | None = None) -> bool:
    """Add what the segments hold beyond what was counted; whether there is more that was there when this began."""
    identity = identify_directory(directory)
    async with alone(conn, f"count {identity}"):
        paths = list_segments(directory)
        known = await store.fetch_progress(conn, list(paths))
        read = await asyncio.to_thread(_read_segments, paths, known, identity)
        if read.progress or read.gaps or read.empty:
            async with conn.transaction():
                await _store(conn, read, now)
            for path in read.empty:
                path.unlink(missing_ok=True)
    if stats is not None:
        stats.add(read.owners, read.tally.answers)
        stats.peaks.add(read.seconds)
    return read.more


def _read_segments(paths: dict[str, Path], known: dict[str, Progress], identity: UUID) -> Pass:
    read, room = Pass(), PASS_BYTES
    for name, path in paths.items():
        before = known.get(name) or Progress(name, identity, 0)
        if before.state != "open":
            continue
        if room <= 0:
            read.more = True
            break
        limit = min(room, READ_BYTES)
        portion = read_portion(path, before.counted_bytes, limit, before.checksum or 0)
        size = portion.stop - before.counted_bytes
        room -= size
        after = _advance(before, portion)
        gaps = _list_gaps(after, portion)
        if after.state == "closed" and not after.records and not gaps:
            read.empty.append(path)
            continue
        read.gaps += gaps
        # Not whether anything was found: where answers keep coming, each look would find some, and none be the last.
        read.more = read.more or (after.state == "open" and size + LONGEST_RECORD >= limit)
        read.tally.add(portion.tally)
        read.owners[name.partition(".")[0]] += portion.tally.records
        read.seconds.update(portion.tally.seconds)
        if after != before:
            read.progress.append(after)
    return read


def _advance(before: Progress, portion: Portion) -> Progress:
    """How the segment stands when this portion is counted."""
    tally = portion.tally
    times = [at for at in (before.first_at, before.last_at) if at is not None]
    if tally.records:
        times += [read_time(tally.first_us), read_time(tally.last_us)]
    return replace(
        before,
        counted_bytes=portion.stop,
        records=before.records + tally.records,
        first_at=min(times, default=None),
        last_at=max(times, default=None),
        state="damaged" if portion.damage else "closed" if portion.finished else "open",
        checksum=None if before.checksum is None else portion.checksum,
    )


def _list_gaps(after: Progress, portion: Portion) -> list[LogGap]:
    gaps, header = [], portion.header
    if header is not None and header.gap is not None:
        gap = header.gap
        gaps.append(LogGap(after.name, "no_room", read_time(gap.from_us), read_time(gap.to_us), gap.missing))
    if portion.damage is not None:
        since = after.last_at or (read_time(header.opened_us) if header else None)
        gaps.append(LogGap(after.name, "damaged", since, None, None, str(portion.damage)))
    return gaps


def read_time(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)


async def _store(conn: Connection, read: Pass, now: datetime) -> None:
    if read.tally.records:
        await store.add_answers(conn, read.tally.answers)
        await store.add_clients(conn, read.tally.clients)
    await store.save_progress(conn, read.progress, now)
    for gap in read.gaps:
        await store.note_gap(conn, gap)
    for path in read.empty:
        await store.forget_segment(conn, path.name)
