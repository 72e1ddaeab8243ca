"""One registry for all tests of the published interface that get along with each other."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests import database
from tests.registry.api_world import World
from tests.registry.snms_world import open_snms_world


@pytest_asyncio.fixture(scope="session")
async def snms_world(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Each module uses suffixes, versions and prefixes of its own, and leaves what is there as it is."""
    dsn = await database.create_database(server_dsn)
    async with open_snms_world(dsn, tmp_path_factory.mktemp("snms")) as made:
        yield made
    await database.drop_database(server_dsn, dsn)
