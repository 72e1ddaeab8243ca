"""Runs the numbered SQL files of `schemas/migrations`, forward only, and refuses a schema it does not know."""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

import schemas
from schemas.errors import SetupError

MIGRATIONS = Path(schemas.__file__).parent / "migrations"
MINIMUM_SERVER = 15
# Well below the second after which a server looks for deadlocks: it is the migration that gives way, not who works.
LOCK_SECONDS, LOCK_PAUSE_SECONDS, LOCK_ATTEMPTS = 0.3, 0.5, 75
LOCK = 0x69646E6F  # "idno": one migration at a time, whatever process asks for it
FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What the database says was done to it."""

    number: int
    name: str
    applied_at: datetime


def load_migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """The files in order; ValueError for a name or a gap in the numbers, which are errors of ours."""
    found = []
    for number, path in enumerate(sorted(directory.glob("*.sql")), start=1):
        match = FILE_NAME.fullmatch(path.name)
        if match is None or int(match[1]) != number:
            raise ValueError(f"{path.name}: expected {number:04}_name.sql")
        found.append(Migration(number, match[2], path.read_text(encoding="utf-8")))
    return found


async def migrate(dsn: str, directory: Path = MIGRATIONS) -> list[Migration]:
    """Bring the database up to date, each file in a transaction of its own; returns what was applied now."""
    connection = await connect(dsn)
    try:
        check_server(connection)
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)  # ends with the connection
        applied = await list_applied(connection)
        known = load_migrations(directory)
        _refuse_strange(applied, known)
        for migration in known[len(applied) :]:
            await _apply_patiently(connection, migration)
        return known[len(applied) :]
    finally:
        await connection.close()


async def check_schema(connection: asyncpg.Connection, directory: Path = MIGRATIONS) -> None:
    """Raise SetupError unless the database has exactly the schema this program knows."""
    check_server(connection)
    applied = await list_applied(connection)
    known = load_migrations(directory)
    _refuse_strange(applied, known)
    if len(applied) < len(known):
        raise SetupError("schema_older", found=len(applied), known=len(known))


async def connect(dsn: str) -> asyncpg.Connection:
    """A connection of its own, or SetupError with the server's host and never its password."""
    try:
        return await asyncpg.connect(dsn, timeout=20)
    except asyncpg.InsufficientResourcesError as error:
        raise SetupError("database_without_room", reason=str(error)) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        reason = str(error) or type(error).__name__
        raise SetupError("database_unreachable", database=describe(dsn), reason=reason) from error


def describe(dsn: str) -> str:
    """`host:port/database` of a DSN, without user and password."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return f"{host}{parts.path}{'?' + parts.query if not host and parts.query else ''}"


def check_server(connection: asyncpg.Connection) -> None:
    version = connection.get_server_version()
    if version.major < MINIMUM_SERVER:
        raise SetupError("database_too_old", version=version.major, minimum=MINIMUM_SERVER)


async def list_applied(connection: asyncpg.Connection) -> list[Applied]:
    """What was applied, in order; nothing for an empty database. A database of others is refused."""
    ours = await connection.fetchval(
        "SELECT count(*) = 3 FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND table_name = 'schema_migrations' AND column_name IN ('number', 'name', 'applied_at')"
    )
    if ours:
        rows = await connection.fetch("SELECT number, name, applied_at FROM schema_migrations ORDER BY number")
        return [Applied(row["number"], row["name"], row["applied_at"]) for row in rows]
    stranger = await connection.fetchval(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        " AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"
        " ORDER BY c.relname LIMIT 1"
    )
    if stranger is not None:
        raise SetupError("database_not_ours", table=stranger)
    return []


def _refuse_strange(applied: list[Applied], known: list[Migration]) -> None:
    if len(applied) > len(known):
        raise SetupError("schema_newer", found=applied[-1].number, known=len(known))
    for done, migration in zip(applied, known, strict=False):
        if (done.number, done.name) != (migration.number, migration.name):
            raise SetupError("schema_differs", found=f"{done.number:04}_{done.name}")


async def _apply_patiently(connection: asyncpg.Connection, migration: Migration) -> None:
    """In a transaction that never waits long for a lock: whoever queues behind it would wait, too."""
    for left in reversed(range(LOCK_ATTEMPTS)):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS:g}s'")
                await apply(connection, migration)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if not left:
                name = f"{migration.number:04}_{migration.name}"
                raise SetupError("migration_blocked", name=name, reason=str(error)) from error
            await asyncio.sleep(LOCK_PAUSE_SECONDS)


async def apply(connection: asyncpg.Connection, migration: Migration) -> None:
    if migration.number == 1:
        await connection.execute(
            "CREATE TABLE schema_migrations (number int PRIMARY KEY, name text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
    await connection.execute(migration.sql)
    await connection.execute(
        "INSERT INTO schema_migrations (number, name) VALUES ($1, $2)", migration.number, migration.name
    )
