"""One running node for all tests that leave it as well as they found it; it ends before the other tests begin."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import database
from tests.system.accounts import use_own
from tests.system.world import World, run_world


@pytest.fixture(scope="package")
def open_place() -> Iterator[Path]:
    """A short directory that every account can reach."""
    with database.open_data_dir() as made:
        yield made


@pytest.fixture(scope="package")
def world(open_place: Path) -> Iterator[World]:
    """A node with two workers, run by whoever runs the tests."""
    with run_world(open_place / "world", use_own()) as made:
        made.start()
        yield made
