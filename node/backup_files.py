"""The files of a backup: linked aside while the node goes on, copied with their checksums, compared again.

A backup is a directory: `database/<table>.gz` (COPY's text), `resolution-log/`, `data/` (everything else of the data
directory), `secret.key`, `SHA256SUMS` (as `sha256sum -c` reads it) and, last of all, `manifest.json`.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from node.segment_files import IDENTITY, open_segment, read_whole
from schemas.errors import ServiceError
from schemas.resolution_log import encode_end
from schemas.segments import NEW_SUFFIX, SUFFIX

STAGE = ".backup"  # in the directory whose files it links
SUMS, MANIFEST = "SHA256SUMS", "manifest.json"
CHUNK_BYTES = 1 << 20
# Made again by the next start, or a node of its own.
NOT_KEPT = ("postgres", "logs", "run", "toplevel", STAGE)
BUSY_ENDINGS = (".new", ".part", NEW_SUFFIX)  # half written; whoever writes it begins again


@contextmanager
def stage(directory: Path) -> Iterator[Path]:
    """A place for links in the same file system, gone afterwards."""
    place = directory / STAGE
    shutil.rmtree(place, ignore_errors=True)  # a backup that was killed
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def link_tree(source: Path, target: Path, without: frozenset[Path]) -> None:
    """Link all files below `source` that are not in `target` yet; those that vanish meanwhile were not needed."""
    for folder, folders, names in os.walk(source):
        place = Path(folder)
        here = [name for name in folders if place / name not in without and name != STAGE]
        folders[:] = [name for name in here if not (place == source and name in NOT_KEPT)]
        for name in names:
            if place / name in without or name.endswith(BUSY_ENDINGS):
                continue
            link(place / name, target / place.relative_to(source) / name)


def link_segments(directory: Path, target: Path) -> None:
    for path in directory.iterdir():
        if path.name == IDENTITY or path.name.endswith((SUFFIX, SUFFIX + ".gz")):
            link(path, target / path.name)


def link(source: Path, target: Path) -> None:
    if target.exists() or not source.is_file() or source.is_symlink():
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        return
    except OSError:  # a file system without links, or one mounted below
        shutil.copy2(source, target)


class SumsWriter:
    """Copies files into a backup and notes their checksums; memory stays flat however many there are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = self.bytes = 0
        self._sums = open(root / SUMS, "w", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def copy(self, source: Path, name: str) -> None:
        """Raises OSError, for a full disk too."""
        target = self.root / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with target.open("xb") as out:
            os.fchmod(out.fileno(), 0o600)
            for chunk in read_for_backup(source):
                digest.update(chunk)
                out.write(chunk)
            self.note(name, digest.hexdigest(), finish(out))

    def note(self, name: str, digest: str, size: int) -> None:
        self._sums.write(f"{digest}  {name}\n")
        self.files, self.bytes = self.files + 1, self.bytes + size

    def close(self) -> str:
        """The checksum of the checksums."""
        finish(self._sums)
        self._sums.close()
        return compute_sum(self.root / SUMS)


def finish(file: IO[bytes] | IO[str]) -> int:
    """Force it to the disk; its size."""
    file.flush()
    os.fsync(file.fileno())
    return os.fstat(file.fileno()).st_size


def read_for_backup(path: Path) -> Iterator[bytes]:
    """A segment that is being written is cut behind its last whole record, since nobody will write it on."""
    if not path.name.endswith(SUFFIX):
        yield from read_chunks(path)
        return
    stop = 0
    for portion in read_whole(path):
        if portion.damage is not None:  # as it is: the damage is the node's to find
            yield from read_chunks(path)
            return
        stop = portion.stop
    if stop == 0:
        yield from read_chunks(path)
        return
    with open_segment(path) as file:  # read again: a length word may have been seen before its record
        left = stop
        while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
    yield encode_end()


def read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def compute_sum(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in read_chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def list_sums(root: Path) -> Iterator[tuple[str, str]]:
    """(name, checksum) of every file; names lead nowhere outside of the backup."""
    with (root / SUMS).open(encoding="utf-8") as lines:
        for line in lines:
            digest, _, name = line.rstrip("\n").partition("  ")
            if name.startswith("/") or ".." in Path(name).parts or not name:
                raise ServiceError("backup_damaged", path=f"{SUMS}: {name[:200]}")
            yield name, digest


def compare_sums(root: Path, expected: str) -> int:
    """How many files there are; raises ServiceError that names the first one that is missing or differs."""
    if not (root / SUMS).is_file() or compute_sum(root / SUMS) != expected:
        raise ServiceError("backup_damaged", path=SUMS)
    count = 0
    for name, digest in list_sums(root):
        path = root / name
        if not path.is_file() or compute_sum(path) != digest:
            raise ServiceError("backup_damaged", path=name)
        count += 1
    return count
