"""Fixtures for all tests: `database_url`, `pool` and `connection` on a real PostgreSQL."""

import gc
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from hypothesis import settings

from registry import passwords
from schemas.days import get_start
from tests import database
from tests.days import get_today

# While thousands of tests are collected nothing becomes garbage: looking for it takes a quarter of the time.
gc.set_threshold(20_000, 50, 1_000)

# A slow machine refutes no law.
settings.register_profile("suite", max_examples=60, deadline=None)
settings.load_profile("suite")

# Guessing is dear on purpose; who may sign in does not depend on how dear. Processes that tests start pay in full.
passwords._HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
passwords._NOBODY = passwords._HASHER.hash("")


def pytest_collection_finish() -> None:
    """All modules and thousands of tests stay: looking for garbage among them again and again takes a tenth of all."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def one_day() -> None:
    """The tests of a module share their day (UTC+8): none begins in the last two minutes of one."""
    left = get_start(get_today() + timedelta(days=1)) - datetime.now(UTC)
    if left < timedelta(minutes=2):
        time.sleep(left.total_seconds())


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """One PostgreSQL for the whole session; the database it names is empty and is for `CREATE DATABASE`."""
    with database.run_server() as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="module")
async def database_url(server_dsn: str) -> AsyncIterator[str]:
    """A migrated, empty database for this module alone."""
    dsn = await database.create_database(server_dsn)
    yield dsn
    await database.drop_database(server_dsn, dsn)


@pytest_asyncio.fixture(scope="module")
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on the module's database."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as made:
        yield made


@pytest_asyncio.fixture
async def connection(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection in a transaction that is rolled back when the test ends."""
    async with pool.acquire() as taken:
        transaction = taken.transaction()
        await transaction.start()
        try:
            yield taken
        finally:
            await transaction.rollback()
