"""A real PostgreSQL for the tests: one server per session, one copy of a migrated database per module."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import asyncpg

from node.migrations import migrate
from node.postgres import EmbeddedPostgres

# Tests of what survives a crash start servers of their own, without these.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
TEMPLATE = "migrated"
_numbers = count(1)


@contextmanager
def open_data_dir() -> Iterator[Path]:
    """A short directory that the database's account can reach: pytest's own are closed to other accounts."""
    place = Path(tempfile.mkdtemp(prefix="idn-"))
    place.chmod(0o711)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def run_server() -> Iterator[str]:
    """A server with the template database; its DSN names the maintenance database."""
    with open_data_dir() as data_dir:
        server = EmbeddedPostgres(data_dir, parameters=FAST)
        dsn = server.start()
        try:
            with closing(asyncio.new_event_loop()) as loop:  # asyncio.run would take away the session's own
                loop.run_until_complete(_make_template(dsn))
            yield dsn
        finally:
            server.stop()


def with_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    head, _, options = dsn.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{options}"


async def create_database(server_dsn: str, template: str = TEMPLATE) -> str:
    """A new database copied from the template; its DSN."""
    name = f"test_{next(_numbers)}"
    await execute(server_dsn, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return with_database(server_dsn, name)


async def drop_database(server_dsn: str, dsn: str) -> None:
    name = dsn.partition("?")[0].rpartition("/")[2]
    await execute(server_dsn, f"DROP DATABASE {name} WITH (FORCE)")


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _make_template(dsn: str) -> None:
    await execute(dsn, f"CREATE DATABASE {TEMPLATE}")
    await migrate(with_database(dsn, TEMPLATE))
