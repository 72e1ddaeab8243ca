"""`idnode backup`: everything a node needs to go on elsewhere, taken while it runs (design 5.18).

The database is read table by table in one snapshot, so the backup is of one instant whatever is written meanwhile, and
fits any PostgreSQL. Files are linked aside in the same moment: a segment may hold more than the snapshot has counted,
never less, and the rest is counted after the restore.
"""

import asyncio
import json
import os
import shutil
import zlib
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asyncpg import Connection

from node.backup_files import (
    MANIFEST,
    STAGE,
    SumsWriter,
    compare_sums,
    finish,
    link_segments,
    link_tree,
    stage,
)
from node.counting import alone
from node.migrations import check_schema, connect, list_applied
from node.postgres import get_dsn
from node.segment_files import IDENTITY, identify_directory
from node.settings import PREFIX, SECRETS, NodeSettings
from node.store import tables
from node.store.counting import set_fact
from schemas.errors import ServiceError

FORMAT = 1
BACKUP_FACT = "last_backup"  # node_facts: when the last backup was finished, ISO 8601
GZIP = 16 + zlib.MAX_WBITS
HIDDEN = "(not shown)"
FIGURES = {
    "enterprises": "SELECT count(*) FROM enterprises",
    "prefixes": "SELECT count(*) FROM prefixes",
    "identifiers": "SELECT count(*) FROM records WHERE state <> 2",
    "resolutions": "SELECT coalesce(sum(resolutions), 0)::int8 FROM resolution_days",
}
Report = Callable[[int, int | None], None]


async def back_up(settings: NodeSettings, target: Path, report: Report = lambda done, total: None) -> dict[str, Any]:
    """Write a backup into a directory that is empty or not there yet; its manifest. Raises ServiceError, OSError.

    What was begun is taken away again when it fails: on a full disk the next one would fail for it.
    """
    made = make_target(target, settings)
    try:
        return await _make(settings, target, report)
    except BaseException:
        clear(target, keep=not made)
        raise


async def _make(settings: NodeSettings, target: Path, report: Report) -> dict[str, Any]:
    conn = await connect(get_dsn(settings.database_url, settings.data_dir))
    try:
        await check_schema(conn)
        await asyncio.to_thread(check_room, target)
        writer = SumsWriter(target)
        with ExitStack() as places:
            staged = open_stages(settings, places)
            manifest = await _write(conn, settings, (staged, writer), report)
        manifest |= {"files": writer.files, "bytes": writer.bytes, "sums": writer.close()}
        manifest["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        write_manifest(target, manifest)
        await set_fact(conn, BACKUP_FACT, manifest["finished"])
    finally:
        await conn.close()
    return manifest


def make_target(target: Path, settings: NodeSettings) -> bool:
    """For nobody else's eyes: it holds the secret key. `target` is absolute. Whether it was not there before."""
    for kept in (settings.data_dir, settings.resolution_log_dir):
        if target == kept or kept in target.parents:
            raise ServiceError("backup_inside_data", path=str(target), data_dir=str(kept))
    is_new = not target.exists()
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise ServiceError("backup_target_not_empty", path=str(target))
    target.chmod(0o700)
    return is_new


def clear(directory: Path, *, keep: bool) -> None:
    """All that is in it, and itself unless it was there before."""
    for path in directory.iterdir() if keep else [directory]:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def check_room(target: Path) -> None:
    """That it can be written at all, before anything is read."""
    probe = target / "probe"
    try:
        with probe.open("wb") as file:
            file.write(bytes(4096))
            finish(file)
    finally:
        probe.unlink(missing_ok=True)


def open_stages(settings: NodeSettings, places: ExitStack) -> dict[str, Path]:
    """Where links stand until they are copied, by name in the backup; both in the file system of what is linked."""
    staged = {}
    for name, directory in (("data", settings.data_dir), ("resolution-log", settings.resolution_log_dir)):
        if directory.is_dir():
            staged[name] = places.enter_context(stage(directory))
    return staged


async def _write(
    conn: Connection, settings: NodeSettings, places: tuple[dict[str, Path], SumsWriter], report: Report
) -> dict[str, Any]:
    staged, writer = places
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_Snapshot(conn, settings, staged))
        manifest = await _describe(conn, settings)
        manifest["tables"] = await _dump(conn, writer, report)
        manifest["sequences"] = await tables.fetch_sequences(conn)  # never behind the snapshot
    await _copy_files(settings, staged, writer)
    return manifest


class _Snapshot:
    """A transaction that sees one instant; the files of that instant are linked when it begins."""

    def __init__(self, conn: Connection, settings: NodeSettings, staged: dict[str, Path]) -> None:
        self._conn, self._settings, self._staged = conn, settings, staged
        self._transaction = conn.transaction(isolation="repeatable_read", readonly=True)

    async def __aenter__(self) -> None:
        directory = self._settings.resolution_log_dir
        await self._link_data()
        async with AsyncExitStack() as locks:
            if (directory / IDENTITY).exists():
                identity = identify_directory(directory)
                for work in ("keep", "count"):  # the agent must not compress or remove what is being linked
                    await locks.enter_async_context(alone(self._conn, f"{work} {identity}"))
            await self._transaction.start()
            await self._conn.execute(tables.TEXT_FORM)
            await self._conn.fetchval("SELECT position FROM change_log")  # the first query takes the snapshot
            if "resolution-log" in self._staged:
                await asyncio.to_thread(link_segments, directory, self._staged["resolution-log"])
        await self._link_data()  # once more: what came or went around the snapshot is there either way

    async def __aexit__(self, *_: object) -> None:
        await self._transaction.rollback()

    async def _link_data(self) -> None:
        settings = self._settings
        if "data" in self._staged:
            without = frozenset({settings.resolution_log_dir, settings.secret_key_path})
            await asyncio.to_thread(link_tree, settings.data_dir, self._staged["data"], without)


async def _describe(conn: Connection, settings: NodeSettings) -> dict[str, Any]:
    log_id, position = await conn.fetchrow("SELECT log_id, position FROM change_log") or ("", 0)
    return {
        "format": FORMAT,
        "taken": (await conn.fetchval("SELECT now()")).isoformat(timespec="seconds"),
        "program": find_version(),
        "server": conn.get_settings().server_version,
        "schema": [[step.number, step.name] for step in await list_applied(conn)],
        "change_log": [str(log_id), position],
        "prefixes": list(settings.prefixes),
        "settings": list_settings(settings),
        "figures": {name: await conn.fetchval(query) for name, query in FIGURES.items()},
    }


def find_version() -> str:
    try:
        return version("idnode")
    except PackageNotFoundError:
        return "unknown"


def list_settings(settings: NodeSettings) -> dict[str, str]:
    """What was set, by the name of its variable; of secrets and what may hold one only that it was set."""
    shown = {}
    for name in sorted(settings.model_fields_set):
        value = getattr(settings, name)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        secret = name in SECRETS or any(word in name for word in ("password", "secret", "token", "webhook"))
        is_path = isinstance(value, Path)
        shown[PREFIX + name.upper()] = HIDDEN if secret and not is_path else text
    return shown


async def _dump(conn: Connection, writer: SumsWriter, report: Report) -> dict[str, int]:
    """Every table into a file of its own; rows by table."""
    found = await tables.fetch_tables(conn)
    rows = {}
    for done, table in enumerate(found):
        report(done, len(found))
        rows[table.name] = await _dump_table(conn, table, writer)
    report(len(found), len(found))
    return rows


async def _dump_table(conn: Connection, table: tables.Table, writer: SumsWriter) -> int:
    name = f"database/{table.name}.gz"
    path = writer.root / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    packer, digest = zlib.compressobj(1, zlib.DEFLATED, GZIP), sha256()
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)

        def keep(data: bytes, end: bool = False) -> None:
            packed = packer.compress(data) + (packer.flush() if end else b"")
            digest.update(packed)
            file.write(packed)

        async def write(data: bytes) -> None:
            await asyncio.to_thread(keep, data)

        collected = _Collector(write)
        rows = await tables.copy_out(conn, table, collected.add)
        await collected.end()
        keep(b"", end=True)
        writer.note(name, digest.hexdigest(), finish(file))
    return rows


class _Collector:
    """Hands on a megabyte at a time: a thread is not worth its while for less."""

    def __init__(self, write: Callable[[bytes], Coroutine[Any, Any, None]]) -> None:
        self._write, self._parts, self._size = write, bytearray(), 1 << 20

    async def add(self, data: bytes) -> None:
        self._parts += data
        if len(self._parts) >= self._size:
            await self.end()

    async def end(self) -> None:
        data, self._parts = bytes(self._parts), bytearray()
        await self._write(data)


async def _copy_files(settings: NodeSettings, staged: dict[str, Path], writer: SumsWriter) -> None:
    """One after the other, so that whoever interrupts it waits for one only."""
    for name, place in staged.items():
        for folder, _, files in os.walk(place):
            for file in sorted(files):
                source = Path(folder) / file
                await asyncio.to_thread(writer.copy, source, f"{name}/{source.relative_to(place)}")
                source.unlink()
    if settings.secret_key_path.exists():
        writer.copy(settings.secret_key_path, "secret.key")


def write_manifest(target: Path, manifest: dict[str, Any]) -> None:
    """Last, and whole or not at all: a directory without it is no backup."""
    draft = target / f"{MANIFEST}.new"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, ensure_ascii=False, indent=1)
        finish(file)
    draft.rename(target / MANIFEST)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(source: Path) -> dict[str, Any]:
    """Raises ServiceError for what is no backup, or one of a format that this program does not know."""
    try:
        found: dict[str, Any] = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        known = found["format"] == FORMAT
        str(found["sums"]), found["tables"].items(), found["sequences"].items(), found["schema"][0]
    except OSError as error:
        raise ServiceError("backup_incomplete", path=str(source), reason=error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ServiceError("backup_damaged", path=MANIFEST) from error
    if not known:
        raise ServiceError("backup_format_unknown", format=found["format"], known=FORMAT)
    return found


def verify(source: Path) -> dict[str, Any]:
    """The manifest, if every file is as it was written; raises ServiceError that names the first that is not."""
    manifest = read_manifest(source)
    count = compare_sums(source, manifest["sums"])
    if count != manifest["files"]:
        raise ServiceError("backup_damaged", path=MANIFEST)
    return manifest


__all__ = ["BACKUP_FACT", "STAGE", "back_up", "read_manifest", "verify"]
