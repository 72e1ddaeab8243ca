"""Writes the resolution log: segments mapped into memory, so that what was appended survives a killed process.

A segment is allocated in full before its first record: writing to a hole of a sparse file kills the process when the
disk is full. (Copy-on-write file systems cannot promise this; keep the log on ext4, XFS or tmpfs.)
"""

import errno
import fcntl
import logging
import mmap
import os
import re
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import time_ns

from schemas.resolution_log import (
    BODY,
    END,
    GAP,
    GAP_AT,
    HEADER_BYTES,
    LONGEST_BODY,
    SegmentHeader,
    encode_header,
)

SEGMENT_BYTES = 64 * 1024 * 1024
SMALLEST_SEGMENT_BYTES = 64 * 1024
SUFFIX = ".segment"
NEW_SUFFIX = ".new"  # being made; becomes a segment by its renaming
OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
RETRY_US = 1_000_000
WATCH_SECONDS = 1.0
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_RESERVED = 4  # for the end mark

_log = logging.getLogger(__name__)


class _Packings(dict[int, tuple[Callable[..., None], int, int]]):
    """By the size of address and identifier: how to pack a body in one go, its size, and that of the record.

    What is longer than a record may be is cut off, as packing does with too long a string.
    """

    def __missing__(self, tail_bytes: int) -> tuple[Callable[..., None], int, int]:
        body = struct.Struct(f"{BODY.format}{min(tail_bytes, LONGEST_BODY - BODY.size)}s")
        made = (body.pack_into, body.size, (4 + body.size + 3) & ~3)
        self[tail_bytes] = made
        return made


_PACKINGS = _Packings()


class _Segment:
    """One file, mapped and locked. The lock tells readers that the owner lives; it ends with the process."""

    def __init__(self, directory: Path, header: SegmentHeader, size: int) -> None:
        self.path = directory / f"{header.owner}.{header.opened_us}.{header.sequence:06d}{SUFFIX}"
        new = self.path.with_suffix(NEW_SUFFIX)
        self.descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(self.descriptor, 0, size)
            os.pwrite(self.descriptor, encode_header(header), 0)
            self.map = mmap.mmap(self.descriptor, size)
            os.rename(new, self.path)
        except BaseException:
            os.close(self.descriptor)
            new.unlink(missing_ok=True)
            raise
        self.words = memoryview(self.map).cast("I")
        self.end = size - _RESERVED

    def note_gap(self, from_us: int, to_us: int, missing: int) -> None:
        """Widen the gap in the header: it survives a killed process like the records do."""
        first_us, _, before = GAP.unpack_from(self.map, GAP_AT)
        GAP.pack_into(self.map, GAP_AT, first_us if before else from_us, to_us, before + missing)

    def finish(self, at: int) -> None:
        """Say that nothing follows, give back what was not used, and let go of the file."""
        self.words[at >> 2] = END
        self.words.release()
        self.map.close()
        with suppress(OSError):  # a disk that takes nothing any more: the file stays longer
            os.ftruncate(self.descriptor, at + 4)  # readers use pread: a mapping would be killed by this
        os.close(self.descriptor)


class SegmentWriter:
    """Appends answered requests for one process and one thread. `owner` names the process, as `resolver-0`.

    Never raises for want of room: what could not be logged is counted in `missing` and noted in the log as a gap.
    """

    def __init__(self, directory: Path, owner: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        if not OWNER.fullmatch(owner):
            raise ValueError(f"not the name of an owner: {owner!r}")
        directory.mkdir(parents=True, exist_ok=True)
        self.missing = 0  # since this writer began
        self._directory, self._owner = directory, owner
        self._sizes = [max(segment_bytes >> shift & ~7, SMALLEST_SEGMENT_BYTES) for shift in (0, 2, 4, 10)]
        self._sequence = 0
        self._segment: _Segment | None = None
        self._spare: _Segment | None = None
        self._allocation: threading.Thread | None = None
        self._failed_us = 0
        self._first_missing_us = self._missing_unnoted = 0  # dropped while there was no segment to note it in
        self._at = self._limit = 0
        self._lost_us = 0  # when the disk was found to take nothing any more; what is mapped no longer reaches it
        self._map: mmap.mmap | bytearray = bytearray()
        self._words = memoryview(b"")
        self._closed = False
        try:
            self._spare = self._make_segment()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._failed_us = time_ns() // 1000
        else:
            self._advance()

    def append(
        self,
        identifier: bytes,
        prefix_id: int,
        template_id: int,
        transport: int,
        outcome: int,
        client_class: int,
        address: bytes = b"",
    ) -> None:
        """Log one answer, before it is handed to the kernel. `address`: 0, 4 or 16 bytes."""
        tail = address + identifier
        pack_body, body_bytes, record_bytes = _PACKINGS[len(tail)]
        end = self._at + record_bytes
        if end > self._limit:
            if not self._make_room(record_bytes):
                return
            end = self._at + record_bytes
        at = self._at
        pack_body(
            self._map, at + 4, time_ns() // 1000, prefix_id, template_id,
            transport, outcome, client_class, len(address), tail,
        )  # fmt: skip
        self._words[at >> 2] = body_bytes
        self._at = end

    def begin_sync(self) -> Callable[[], None]:
        """What raises OSError, in any thread, if the present segment does not reach the disk; `give_up` is told then.

        To be done every WATCH_SECONDS, since writing to memory never fails: a file system that an error made read-only
        keeps the mapping as it is, and forgets it with the next start.
        """
        if self._segment is None or self._lost_us or self._closed:
            return _sync_nothing
        try:
            descriptor = os.dup(self._segment.descriptor)  # the segment may be finished meanwhile
        except OSError:  # none is left, which says nothing about the disk
            return _sync_nothing
        return partial(_sync, descriptor)

    def give_up(self, error: OSError) -> None:
        """From now on answers are counted in memory, until a new segment can be made, in which the gap is noted."""
        if self._closed or self._lost_us:
            return
        _log.error("the resolution log cannot be written, answers are only counted: %s", error)
        self._lost_us = self._failed_us = time_ns() // 1000
        self._limit = 0
        if self._spare is not None:
            self._spare.finish(HEADER_BYTES)
            self._spare = None

    def close(self) -> None:
        """Finish the segment. A writer that is killed instead loses nothing; its last segment just stays longer."""
        self._closed = True
        if self._allocation is not None:
            self._allocation.join()
        if self._segment is not None:
            self._segment.finish(self._at)
        if self._spare is not None:
            self._spare.finish(HEADER_BYTES)
        if self._missing_unnoted:
            _log.error("%d answers are missing in the log, and no gap could be noted", self._missing_unnoted)
        self._segment = self._spare = None
        self._at = self._limit = 0

    def _make_room(self, size: int) -> bool:
        """Room for `size` bytes more at `_at`; False if the record must be dropped, which is noted."""
        if self._segment is not None and self._at + size <= self._segment.end and not self._lost_us:
            self._limit = self._segment.end  # three quarters are full: make the next one while there is time
            self._start_allocation()
            return True
        if self._spare is None:
            self._start_allocation()
            if self._allocation is not None:
                self._allocation.join()
        if self._spare is None:
            self._drop()
            return False
        self._advance()
        return True

    def _drop(self) -> None:
        self.missing += 1
        now_us = time_ns() // 1000
        if self._segment is not None and not self._lost_us:
            self._segment.note_gap(now_us, now_us, 1)
        else:
            self._first_missing_us = self._first_missing_us or now_us
            self._missing_unnoted += 1

    def _advance(self) -> None:
        """Go on in the spare segment, which there is."""
        before, segment = self._segment, self._spare
        if segment is None:
            raise RuntimeError("no spare segment")
        self._segment, self._spare = segment, None
        self._map, self._words = segment.map, segment.words
        if before is not None:
            before.finish(self._at)
        if self._lost_us:
            _log.warning("the resolution log can be written again; %d answers are missing", self._missing_unnoted)
            self._lost_us = 0
        if self._missing_unnoted:
            segment.note_gap(self._first_missing_us, time_ns() // 1000, self._missing_unnoted)
            self._first_missing_us = self._missing_unnoted = 0
        self._at = HEADER_BYTES
        self._limit = segment.end * 3 // 4

    def _start_allocation(self) -> None:
        """Make the spare in a thread, unless that was tried in vain within the last second."""
        busy = self._allocation is not None and self._allocation.is_alive()
        if self._closed or self._spare is not None or busy or time_ns() // 1000 - self._failed_us < RETRY_US:
            return
        self._allocation = threading.Thread(target=self._allocate, name="segments", daemon=True)
        self._allocation.start()

    def _allocate(self) -> None:
        try:
            self._spare = self._make_segment()
        except OSError:
            self._failed_us = time_ns() // 1000  # whatever the reason: answering goes on, and it is tried again

    def _make_segment(self) -> _Segment:
        """A segment of the usual size, or of what room there is; OSError if there is none."""
        self._sequence += 1
        header = SegmentHeader(self._owner, time_ns() // 1000, self._sequence)
        for size in self._sizes[:-1]:
            try:
                return _Segment(self._directory, header, size)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
        return _Segment(self._directory, header, self._sizes[-1])


def _sync(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _sync_nothing() -> None:
    pass
