"""The files of the resolution log as the agent sees them: reading, compressing, removing."""

import errno
import fcntl
import gzip
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast
from uuid import UUID, uuid4

from node.tally import Extent, Tally, tally_records
from schemas.errors import SetupError
from schemas.resolution_log import (
    END,
    HEADER_BYTES,
    LONGEST_RECORD,
    WORD,
    Damage,
    SegmentDamaged,
    SegmentHeader,
    decode_header,
    encode_end,
)
from schemas.segments import SUFFIX

COMPRESSED_SUFFIX = SUFFIX + ".gz"
READ_BYTES = 4 * 1024 * 1024
PACKING_LEVEL = 4  # 7 to 10 bytes and 0.4–0.5 µs a record; gzip's own 9 takes 5.5–8 µs for at most 4 % less
IDENTITY = "directory-id"
ABANDONED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Portion:
    """What was read of a segment: sums of complete records up to `stop`, and how it stands there.

    `checksum` is the CRC-32 of everything from the header's end to `stop`, also of what was read before.
    """

    tally: Tally
    stop: int
    finished: bool  # nothing more will come
    damage: Damage | None = None
    header: SegmentHeader | None = None
    checksum: int = 0


def identify_directory(directory: Path) -> UUID:
    """The name of this log directory in the database; made at first use. Several machines may share a database.

    Raises SetupError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / IDENTITY
    if not path.exists():
        new = directory / f"{IDENTITY}.{uuid4()}"
        with new.open("w", encoding="ascii") as file:
            file.write(f"{uuid4()}\n")
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name without what it says
        try:
            os.link(new, path)
        except FileExistsError:
            pass  # another process was quicker; its name holds
        finally:
            new.unlink()
    try:
        return UUID(path.read_text(encoding="ascii").strip())
    except ValueError as error:
        raise SetupError("log_identity_malformed", path=str(path)) from error


def list_segments(directory: Path) -> dict[str, Path]:
    """Segments that are not compressed, by name, oldest first."""
    paths = [path for path in directory.glob(f"*{SUFFIX}") if path.is_file()]
    return {path.name: path for path in sorted(paths, key=_get_age)}


def _get_age(path: Path) -> tuple[int, str]:
    return (get_opened_us(path.name), path.name)


def get_opened_us(name: str) -> int:
    """When a segment was opened, which stands in its name; 0 if it does not."""
    opened = name.split(".")[1:2]
    return int(opened[0]) if opened and opened[0].isdigit() else 0


def get_compressed_path(directory: Path, name: str) -> Path:
    return directory / (name.removesuffix(SUFFIX) + COMPRESSED_SUFFIX)


def is_owned(descriptor: int) -> bool:
    """Whether the process that writes this segment lives."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def read_portion(path: Path, at: int, limit: int = READ_BYTES, checksum: int = 0) -> Portion:
    """Sum what a segment holds from offset `at` on, at most `limit` bytes of it, and force that to the disk.

    `checksum` is that of what stands before `at`. Counted records must survive a power cut, or the log could not
    prove the counters.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        owned = is_owned(descriptor)  # asked first: what a dead process wrote is all there
        try:
            header = decode_header(os.pread(descriptor, HEADER_BYTES, 0))
        except SegmentDamaged as error:
            damage = Damage(error.offset, error.reason)
            return Portion(Tally(), at, finished=not owned, damage=damage, checksum=checksum)
        at = max(at, HEADER_BYTES)
        seen = os.pread(descriptor, limit, at)
        # Read again: a length word may have been seen before the record that belongs to it.
        data = os.pread(descriptor, len(seen), at)
        tally, extent = tally_records(data, seen)
        checksum = zlib.crc32(data[: extent.stop], checksum)
        if extent.stop:
            os.fdatasync(descriptor)
        if not owned and extent.damage is None and not extent.finished:
            extent = _look_beyond(os.pread(descriptor, LONGEST_RECORD, at + extent.stop), extent)
        return _make_portion(tally, at, extent, header, checksum)
    finally:
        os.close(descriptor)


def _look_beyond(data: bytes, extent: Extent) -> Extent:
    """Nobody writes any more: if no complete record begins after the extent, it is finished, or was cut off."""
    _, beyond = tally_records(data)
    if beyond.stop:
        return extent
    if len(data) >= WORD.size and WORD.unpack_from(data)[0] not in (0, END):
        return Extent(extent.stop, True, Damage(extent.stop, "the file ends within a record"))
    return Extent(extent.stop, True)


def _make_portion(tally: Tally, at: int, extent: Extent, header: SegmentHeader, checksum: int) -> Portion:
    damage = extent.damage and Damage(at + extent.damage.offset, extent.damage.reason)
    return Portion(tally, at + extent.stop, extent.finished, damage, header, checksum)


def read_whole(path: Path, until: int | None = None) -> Iterator[Portion]:
    """All of a segment, compressed or not, portion by portion, up to offset `until`; ends with the first damage."""
    with open_segment(path) as file:
        at, rest, checksum = HEADER_BYTES, b"", 0
        try:
            header = decode_header(file.read(HEADER_BYTES))
            while chunk := file.read(READ_BYTES if until is None else min(READ_BYTES, max(until - at - len(rest), 0))):
                data = rest + chunk
                tally, extent = tally_records(data)
                checksum = zlib.crc32(data[: extent.stop], checksum)
                yield (portion := _make_portion(tally, at, extent, header, checksum))
                if portion.damage is not None or extent.finished or data[extent.stop : extent.stop + 4] == bytes(4):
                    return
                rest, at = data[extent.stop :], at + extent.stop
            if rest:
                yield Portion(Tally(), at, True, Damage(at, "the file ends within a record"), header)
        except SegmentDamaged as error:
            yield Portion(Tally(), error.offset, True, Damage(error.offset, error.reason))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield Portion(Tally(), at, True, Damage(at, f"cannot be decompressed: {error}"))


@contextmanager
def open_segment(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        if path.name.endswith(COMPRESSED_SUFFIX):
            with gzip.GzipFile(fileobj=raw) as file:
                yield cast(BinaryIO, file)
        else:
            yield raw


def list_compressed(directory: Path) -> list[str]:
    """Names of the segments that are there in compressed form."""
    return sorted(p.name.removesuffix(COMPRESSED_SUFFIX) + SUFFIX for p in directory.glob(f"*{COMPRESSED_SUFFIX}"))


def compress(path: Path, until: int) -> Path:
    """Write the first `until` bytes and an end mark beside the segment, compressed and synced; the segment stays."""
    target = get_compressed_path(path.parent, path.name)
    new = target.with_suffix(".gz.new")
    with path.open("rb") as source, new.open("wb") as raw:
        with gzip.GzipFile("", "wb", PACKING_LEVEL, raw, mtime=0) as packed:
            while until > 0 and (chunk := source.read(min(READ_BYTES, until))):
                packed.write(chunk)
                until -= len(chunk)
            packed.write(encode_end())
        raw.flush()
        os.fsync(raw.fileno())
    os.rename(new, target)
    _sync_directory(path.parent)
    return target


def is_whole(packed: Path, counted_bytes: int) -> bool:
    """Whether a compressed segment says that it holds all that was counted, in its last four bytes (RFC 1952, ISIZE).

    Cheap; a byte that was changed within is found by recomputing. Raises OSError.
    """
    with packed.open("rb") as file:
        file.seek(-min(4, packed.stat().st_size), os.SEEK_END)
        return int.from_bytes(file.read(), "little") == (counted_bytes + len(encode_end())) & 0xFFFF_FFFF


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(directory: Path, now: float | None = None) -> list[str]:
    """Remove what processes that died were about to make; their names."""
    removed = []
    for path in directory.glob("*.new"):
        try:
            if (time.time() if now is None else now) - path.stat().st_mtime < ABANDONED_SECONDS:
                continue
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            if not is_owned(descriptor):
                path.unlink(missing_ok=True)
                removed.append(path.name)
        finally:
            os.close(descriptor)
    return removed


def is_read_only(directory: Path) -> bool:
    """Whether its file system is: what kernels make of one whose disk fails.

    It is tried, since Linux 6.15 lets such a one of ext4 look writable ("emergency_ro") and XFS answers EIO.
    """
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        return True
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o600))
    except OSError as error:
        return error.errno in (errno.EROFS, errno.EIO)
    return False


def get_free_bytes(directory: Path) -> int:
    """0 where no file can be made any more for want of inodes; some file systems count none."""
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize if room.f_favail or not room.f_files else 0
