"""What becomes of counted segments: compressed, kept for six months, purged with a line that says so."""

import asyncio
import gzip
import logging
import shutil
import zlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from asyncpg import Connection

from node.counting import alone, read_time
from node.segment_files import (
    READ_BYTES,
    compress,
    get_compressed_path,
    get_free_bytes,
    get_opened_us,
    identify_directory,
    list_compressed,
    list_segments,
    remove_abandoned,
)
from node.store import counting as store
from node.store.counting import LogGap, Progress

KEPT = timedelta(days=183)  # the law wants six months
LARGEST_RESERVE_BYTES = 1 << 30

log = logging.getLogger("idnode.agent")


def choose_reserve_bytes(directory: Path) -> int:
    """The room that counted segments give way to: a twentieth of the disk, at most 1 GiB."""
    return min(LARGEST_RESERVE_BYTES, shutil.disk_usage(directory).total // 20)


async def keep_segments(conn: Connection, directory: Path, now: datetime, reserve_bytes: int) -> None:
    """One round: finish what a crash left half done, compress, purge what is old, make room if there is little."""
    identity = identify_directory(directory)
    async with alone(conn, f"keep {identity}"):
        await asyncio.to_thread(remove_abandoned, directory)
        async with alone(conn, f"count {identity}"):  # a pass must not meet a file that is half way
            await _follow_database(conn, directory, now, reserve_bytes)
            found = await store.fetch_kept(conn, identity)
            kept = [await _check_file(conn, directory, segment, now) for segment in found]
        for segment in kept:
            if segment.state == "closed" and get_free_bytes(directory) > reserve_bytes // 2:
                await _compress(conn, directory, segment, now)
        for segment in await store.fetch_kept(conn, identity):
            if segment.state in ("compressed", "damaged") and _get_end(segment, now) < now - KEPT:
                log.info("purging %s, kept for %d days", segment.name, KEPT.days)
                await _purge(conn, directory, segment, now)
        await _make_room(conn, directory, now, reserve_bytes)


def _get_end(segment: Progress, now: datetime) -> datetime:
    return segment.last_at or segment.changed or now


async def _check_file(conn: Connection, directory: Path, segment: Progress, now: datetime) -> Progress:
    """Bring the state in line with the files; a file that is gone is a gap."""
    whole, packed = directory / segment.name, get_compressed_path(directory, segment.name)
    if segment.state == "compressed" and packed.exists():
        whole.unlink(missing_ok=True)
        return segment
    if segment.state != "compressed" and whole.exists():
        return segment
    if segment.state == "closed" and packed.exists():
        return await _set_state(conn, segment, "compressed", now)
    if segment.state in ("open", "damaged") and packed.exists():  # waits for room to be unpacked, or cannot be
        return segment
    log.error("segment %s is gone, with %d answers", segment.name, segment.records)
    async with conn.transaction():
        gap = LogGap(segment.name, "lost", segment.first_at, segment.last_at, segment.records)
        await store.note_gap(conn, gap)
        return await _set_state(conn, segment, "lost", now)


async def _set_state(conn: Connection, segment: Progress, state: str, now: datetime) -> Progress:
    changed = replace(segment, state=state)
    await store.save_progress(conn, [changed], now)
    return changed


async def _compress(conn: Connection, directory: Path, segment: Progress, now: datetime) -> None:
    await asyncio.to_thread(compress, directory / segment.name, segment.counted_bytes)
    await _set_state(conn, segment, "compressed", now)
    (directory / segment.name).unlink(missing_ok=True)


async def _purge(conn: Connection, directory: Path, segment: Progress, now: datetime) -> None:
    """Say so first: a file that is named as purged is removed in the next round, if not now."""
    await _set_state(conn, segment, "purged", now)
    _remove_files(directory, segment.name)


def _remove_files(directory: Path, name: str) -> None:
    (directory / name).unlink(missing_ok=True)
    get_compressed_path(directory, name).unlink(missing_ok=True)


async def _follow_database(conn: Connection, directory: Path, now: datetime, reserve_bytes: int) -> None:
    """Remove what was purged; unpack what is no longer known to be counted, so that it is.

    A database that was set back, by a promotion that lost the last entries or a recovery to a point in time, has
    forgotten answers together with how far it had counted.
    """
    packed = list_compressed(directory)
    whole = list_segments(directory)
    known = await store.fetch_progress(conn, [*whole, *packed])
    for name in (name for name, segment in known.items() if segment.state == "purged"):
        _remove_files(directory, name)
    uncounted = [name for name in packed if name not in whole and (name not in known or known[name].state == "open")]
    begun = [name for name in uncounted if name in known]
    forgotten = [name for name in uncounted if name not in known]
    for name in begun + forgotten[:1]:  # one a round, since they need room: the next packs it again
        if get_free_bytes(directory) <= reserve_bytes // 2:
            return
        log.warning("the database does not know that %s was counted: its answers are counted again", name)
        damage = await asyncio.to_thread(_unpack, directory, name)
        if damage is not None:  # said once: else it would be tried for ever, before all others
            segment = known.get(name) or Progress(name, identify_directory(directory), 0)
            async with conn.transaction():
                since = segment.last_at or read_time(get_opened_us(name))
                await store.note_gap(conn, LogGap(name, "damaged", since, now, None, damage))
                await _set_state(conn, segment, "damaged", now)


def _unpack(directory: Path, name: str) -> str | None:
    """What is wrong with a compressed segment that cannot be unpacked."""
    new = directory / f"{name}.new"
    try:
        with gzip.open(get_compressed_path(directory, name)) as source, new.open("wb") as target:
            shutil.copyfileobj(source, target, READ_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        log.exception("%s cannot be decompressed", name)
        new.unlink()
        return f"cannot be decompressed: {error}"
    new.rename(directory / name)
    return None


async def _make_room(conn: Connection, directory: Path, now: datetime, reserve_bytes: int) -> None:
    """On a full disk the counted segments go first: compressed ones, then those there was no room to compress."""
    if get_free_bytes(directory) >= reserve_bytes:
        return
    kept = await store.fetch_kept(conn, identify_directory(directory))
    for state in ("compressed", "closed"):
        for segment in (one for one in kept if one.state == state):
            log.error("the disk is full: purging %s with %d counted answers", segment.name, segment.records)
            async with conn.transaction():
                gap = LogGap(segment.name, "purged_for_room", segment.first_at, segment.last_at, segment.records)
                await store.note_gap(conn, gap)
                await _set_state(conn, segment, "purged", now)
            _remove_files(directory, segment.name)
            if get_free_bytes(directory) >= reserve_bytes:
                return
