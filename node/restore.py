"""`idnode restore`: a node made again from a backup, on an empty machine.

Everything is compared before anything is written. The database is loaded in one transaction, so it is there as a whole
or not at all; the change log gets a new name, so that caches and mirrors elsewhere start again.
"""

import asyncio
import json
import os
import shutil
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncpg import Connection

from node.backup import GZIP, verify
from node.backup_files import list_sums, read_chunks
from node.migrations import apply, check_server, connect, list_applied, load_migrations, migrate
from node.postgres import EmbeddedPostgres, make_directory
from node.settings import NodeSettings
from node.store import tables
from node.store.counting import set_fact
from node.store.outbox import LEAST_REVISION
from schemas.errors import ServiceError, SetupError

RESTORED_FACT = "restored"  # node_facts: {"taken": …, "restored": …}, until somebody says that he has seen it
HARMLESS = frozenset({"lost+found"})


def restore(settings: NodeSettings, source: Path) -> dict[str, Any]:
    """Make the node of the settings from the backup; its manifest. For the main thread. Raises ServiceError, OSError.

    What was begun is taken away again when it fails, so that it can be tried anew.
    """
    manifest = verify(source)
    check_schema_known(manifest)
    check_places(settings)
    made = [path for path in (settings.data_dir, settings.resolution_log_dir) if not path.exists()]
    try:
        make_directory(settings.data_dir)
        marker = settings.unfinished_restore
        marker.touch()
        place_files(settings, source)
        load_database(settings, source, manifest)
        marker.unlink()
    except BaseException:
        clear(settings, made)
        raise
    return manifest


def check_schema_known(manifest: dict[str, Any]) -> None:
    """Raises SetupError for a backup of a newer program, or of another one."""
    known = [[step.number, step.name] for step in load_migrations()]
    found = manifest["schema"]
    if found[: len(known)] != known[: len(found)]:
        odd = next(step for step, ours in zip(found, known, strict=False) if step != ours)
        raise SetupError("schema_differs", found=f"{odd[0]:04}_{odd[1]}")
    if len(found) > len(known):
        raise SetupError("schema_newer", found=len(found), known=len(known))


def check_places(settings: NodeSettings) -> None:
    """Nothing is ever written over."""
    for directory in (settings.data_dir, settings.resolution_log_dir):
        if directory.is_dir() and any(path.name not in HARMLESS for path in directory.iterdir()):
            raise ServiceError("restore_not_empty", path=str(directory))
    if settings.secret_key_path.exists():
        raise ServiceError("restore_not_empty", path=str(settings.secret_key_path))


def place_files(settings: NodeSettings, source: Path) -> None:
    roots = {"data": settings.data_dir, "resolution-log": settings.resolution_log_dir}
    for name, _ in list_sums(source):
        top, _, rest = name.partition("/")
        target = settings.secret_key_path if name == "secret.key" else roots[top] / rest if top in roots else None
        if target is None:
            continue
        for folder in reversed([folder for folder in target.parents if not folder.exists()]):
            folder.mkdir(mode=0o700)
        copy_file(source / name, target)


def copy_file(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        for chunk in read_chunks(source):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


def load_database(settings: NodeSettings, source: Path, manifest: dict[str, Any]) -> None:
    """Into the configured database, which must be empty, or into an embedded one that is made for it."""
    if settings.database_url is not None:
        asyncio.run(load(settings.database_url, source, manifest))
        return
    server = EmbeddedPostgres(settings.data_dir, settings.database_user)
    try:
        asyncio.run(load(server.start(), source, manifest))
    finally:
        server.stop()


async def load(dsn: str, source: Path, manifest: dict[str, Any]) -> None:
    """The schema as it was then, the rows, and the changes of schema that came since. Raises ServiceError."""
    conn = await connect(dsn)
    try:
        check_server(conn)
        if await list_applied(conn):
            raise ServiceError("restore_database_not_empty")
        async with conn.transaction():
            for step in load_migrations()[: len(manifest["schema"])]:
                await apply(conn, step)
            await _fill(conn, source, manifest)
            await tables.change_log_id(conn)
            note = {"taken": manifest["taken"], "restored": datetime.now(UTC).isoformat(timespec="seconds")}
            await set_fact(conn, RESTORED_FACT, json.dumps(note))
            # The lost node may have sent any revision since; minutes since 1970 grow faster than corrections of a day.
            await set_fact(conn, LEAST_REVISION, str(int(datetime.now(UTC).timestamp()) // 60))
        await migrate(dsn)
        await conn.execute("ANALYZE")
    finally:
        await conn.close()


async def _fill(conn: Connection, source: Path, manifest: dict[str, Any]) -> None:
    await conn.execute(tables.TEXT_FORM)
    found = await tables.fetch_tables(conn)
    if {table.name for table in found} != manifest["tables"].keys():
        raise ServiceError("backup_damaged", path="manifest.json")
    rules = await tables.fetch_rules(conn)
    for rule in rules:
        await conn.execute(rule.take_away)
    await tables.empty_tables(conn, found)
    for table in found:
        path = source / "database" / f"{table.name}.gz"
        if await tables.copy_in(conn, table, unpack(path)) != manifest["tables"][table.name]:
            raise ServiceError("backup_damaged", path=f"database/{path.name}")
    for name, value in manifest["sequences"].items():
        await tables.set_sequence(conn, name, value)
    for rule in reversed(rules):
        await conn.execute(rule.put_back)


async def unpack(path: Path) -> AsyncIterator[bytes]:
    """The rows of a table, some megabytes at a time; raises ServiceError."""
    unpacker = zlib.decompressobj(GZIP)
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, 1 << 18):
            try:
                yield await asyncio.to_thread(unpacker.decompress, chunk)
            except zlib.error as error:
                raise ServiceError("backup_damaged", path=f"database/{path.name}") from error
    if not unpacker.eof:
        raise ServiceError("backup_damaged", path=f"database/{path.name}")


def clear(settings: NodeSettings, made: list[Path]) -> None:
    """The directories as they were found: empty, or not there."""
    with suppress(OSError):
        settings.secret_key_path.unlink(missing_ok=True)
    for directory in (settings.resolution_log_dir, settings.data_dir):
        if not directory.is_dir():
            continue
        for path in directory.iterdir():
            if path.name in HARMLESS:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if directory in made:
            with suppress(OSError):
                directory.rmdir()
