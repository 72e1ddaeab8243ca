"""Numbered SQL is applied once, in order, by one process at a time; strange databases are left alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from node.migrations import check_schema, connect, describe, load_migrations, migrate
from schemas.errors import SetupError
from tests import database

FIRST = {"0001_pumps.sql": "CREATE TABLE pumps (id int); INSERT INTO pumps VALUES (1);"}
SECOND = {"0002_valves.sql": "CREATE TABLE valves (id int);"}
BROKEN = {"0002_valves.sql": "CREATE TABLE valves (id int); SELECT 1/0;"}


def write(directory: Path, *files: dict[str, str]) -> Path:
    directory.mkdir(exist_ok=True)
    for named in files:
        for name, sql in named.items():
            (directory / name).write_text(sql)
    return directory


@pytest_asyncio.fixture
async def empty_url(server_dsn: str) -> AsyncIterator[str]:
    dsn = await database.create_database(server_dsn, "template0")
    yield dsn
    await database.drop_database(server_dsn, dsn)


@pytest_asyncio.fixture
async def empty(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_url)
    yield connection
    await connection.close()


async def test_files_are_applied_once_and_in_order(empty_url: str, tmp_path: Path) -> None:
    directory = write(tmp_path, FIRST)
    assert [m.name for m in await migrate(empty_url, directory)] == ["pumps"]
    write(directory, SECOND)
    assert [m.name for m in await migrate(empty_url, directory)] == ["valves"]
    assert await migrate(empty_url, directory) == []


async def test_two_at_once_apply_every_file_once(empty_url: str, empty: asyncpg.Connection, tmp_path: Path) -> None:
    directory = write(tmp_path, FIRST, SECOND)
    done = await asyncio.gather(*(migrate(empty_url, directory) for _ in range(4)))
    assert sorted(len(applied) for applied in done) == [0, 0, 0, 2]
    assert await empty.fetchval("SELECT count(*) FROM pumps") == 1


async def test_a_file_that_fails_leaves_nothing_and_can_be_repaired(
    empty_url: str, empty: asyncpg.Connection, tmp_path: Path
) -> None:
    directory = write(tmp_path, FIRST, BROKEN)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_url, directory)
    assert await empty.fetchval("SELECT to_regclass('pumps') IS NOT NULL AND to_regclass('valves') IS NULL")
    write(directory, SECOND)
    assert [m.number for m in await migrate(empty_url, directory)] == [2]


async def test_a_schema_that_is_older_is_refused_with_the_command_to_run(
    empty_url: str, empty: asyncpg.Connection, tmp_path: Path
) -> None:
    with pytest.raises(SetupError) as refused:
        await check_schema(empty, write(tmp_path, FIRST))
    assert refused.value.code == "schema_older"
    await migrate(empty_url, tmp_path)
    await check_schema(empty, tmp_path)


async def test_a_schema_that_is_newer_is_refused(empty_url: str, empty: asyncpg.Connection, tmp_path: Path) -> None:
    await migrate(empty_url, write(tmp_path / "new", FIRST, SECOND))
    old = write(tmp_path / "old", FIRST)
    for refused in (check_schema(empty, old), migrate(empty_url, old)):
        with pytest.raises(SetupError) as error:
            await refused
        assert error.value.code == "schema_newer"


async def test_a_schema_made_by_other_files_is_refused(
    empty_url: str, empty: asyncpg.Connection, tmp_path: Path
) -> None:
    await migrate(empty_url, write(tmp_path / "fork", {"0001_tanks.sql": "CREATE TABLE tanks (id int)"}))
    with pytest.raises(SetupError) as refused:
        await check_schema(empty, write(tmp_path / "ours", FIRST))
    assert refused.value.code == "schema_differs"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE customers (id int)",
        "CREATE SCHEMA sales; CREATE VIEW sales.totals AS SELECT 1",
        "CREATE TABLE schema_migrations (version text)",  # as another framework calls its own
    ],
)
async def test_a_database_of_others_is_left_alone(
    empty_url: str, empty: asyncpg.Connection, tmp_path: Path, statement: str
) -> None:
    await empty.execute(statement)
    with pytest.raises(SetupError) as refused:
        await migrate(empty_url, write(tmp_path, FIRST))
    assert refused.value.code == "database_not_ours"
    assert await empty.fetchval("SELECT to_regclass('pumps') IS NULL")


@pytest.mark.parametrize(
    "names",
    [["0002_second.sql"], ["0001_first.sql", "0003_third.sql"], ["1_first.sql"], ["0001_a.sql", "0001_b.sql"]],
)
def test_a_gap_in_the_numbers_is_an_error_of_ours(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        load_migrations(write(tmp_path, dict.fromkeys(names, "SELECT 1")))


async def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as refused:
        await migrate("postgresql://app:s3cret@127.0.0.1:1/idnode", write(tmp_path, FIRST))
    assert refused.value.code == "database_unreachable"
    assert "127.0.0.1:1/idnode" in str(refused.value)
    assert "s3cret" not in str(refused.value)


async def test_a_database_without_room_for_us_is_no_database_that_is_away(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    role = f"crowded_{uuid4().hex}"
    await empty.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        parts = urlsplit(empty_url)
        dsn = parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()
        with pytest.raises(SetupError, match="too many connections") as refused:
            await connect(dsn)
        assert refused.value.code == "database_without_room"
    finally:
        await empty.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://u:p@db.example:5432/idnode?sslmode=require", "db.example:5432/idnode"),
        ("postgresql://idnode@/idnode?host=/run/idnode&port=5432", "/idnode?host=/run/idnode&port=5432"),
        ("postgresql://u:p%40x@[::1]:5432/idnode", "[::1]:5432/idnode"),
    ],
)
def test_a_dsn_is_shown_by_its_place(dsn: str, shown: str) -> None:
    assert describe(dsn) == shown


async def test_the_shipped_files_make_a_schema_that_passes(connection: asyncpg.Connection) -> None:
    await check_schema(connection)
