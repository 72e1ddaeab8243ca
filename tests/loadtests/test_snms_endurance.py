"""The endurance run in its short form: cut calls, two restarts of the registry, and books that balance."""

import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from loadtests.processes import BenchFailure
from loadtests.rows import FIVE
from loadtests.snms_endurance import (
    LEAST_CALLS,
    Books,
    Plant,
    Tables,
    check_books,
    check_growth,
    count_tables,
    judge_memory,
    run_endurance,
)
from loadtests.verdicts import Verdict
from registry.api.state import RegistryState, open_pool
from registry.templates import add_template
from schemas.segments import SegmentWriter
from tests.registry.api_world import PUMP, make_config, make_people, serve
from tests.registry.people import CLERK, order

SECONDS = 2.0


class RestartedRegistry:
    """Registries one after the other on one port, each with a pool and a log of its own."""

    def __init__(self, database_url: str, directory: Path) -> None:
        self._url, self._directory, self._number = database_url, directory, 0
        self._running = AsyncExitStack()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    async def start(self) -> None:
        self._number += 1
        config = make_config(self._url, self._directory)
        segments = SegmentWriter(config.log_dir, f"registry-{self._number}", 1 << 16)
        self._running.callback(segments.close)
        pool = await self._running.enter_async_context(open_pool(self._url))
        await self._running.enter_async_context(serve(RegistryState(config, pool, segments), self.port))

    async def stop(self) -> None:
        await self._running.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def read_bytes(self) -> tuple[int, int]:
        return self._number, 1_000_000


async def test_the_tables_say_what_the_answers_said(database_url: str, tmp_path: Path) -> None:
    async with open_pool(database_url) as pool:
        keys, _ = await make_people(pool)
        async with pool.acquire() as conn:
            await add_template(conn, order(CLERK), PUMP, FIVE)
    registry = RestartedRegistry(database_url, tmp_path)
    await registry.start()
    plant = Plant(f"http://127.0.0.1:{registry.port}", database_url, keys["pump"], PUMP, registry.restart,
                  registry.read_bytes, batch_rows=50)  # fmt: skip
    tables = await count_tables(plant)
    try:
        books = await run_endurance(plant, SECONDS)
        assert books.calls >= LEAST_CALLS
        assert len({number for number, _ in books.memory}) >= 2
        assert judge_memory(books)[0] is Verdict.HELD
        lost = next(name for name, model in books.models.items() if model is not None)
        books.models[lost] = "what no answer said"
        with pytest.raises(BenchFailure, match=lost):
            await check_books(plant, books, tables)
    finally:
        await registry.stop()


@pytest.mark.parametrize(
    ("fixed", "growing", "says"),
    [
        ({"units": 1}, {"changes": 2_100}, ""),
        ({"units": 2}, {"changes": 0}, "grew: {'units': 2}"),
        ({"units": 1}, {"changes": 2_501}, "more than 2,400 rows in 100 calls"),
    ],
)
def test_a_table_that_grows_without_need_is_named(fixed: dict[str, int], growing: dict[str, int], says: str) -> None:
    def check() -> None:
        check_growth(Books(calls=100), Tables({"units": 1}, {"changes": 1}, 0), Tables(fixed, growing, 0))

    if not says:
        check()
        return
    with pytest.raises(BenchFailure, match=says):
        check()


@pytest.mark.parametrize(
    ("sizes", "verdict"),
    [
        ([(1, 100), (1, 100), (1, 110), (1, 120)], Verdict.HELD),
        ([(1, 100), (1, 100), (1, 110), (1, 130)], Verdict.MISSED),
        ([(1, 100), (1, 300), (2, 100), (2, 100), (2, 101)], Verdict.HELD),  # the one that lived longest counts
    ],
)
def test_memory_is_flat_if_it_ends_as_it_was_after_a_quarter(sizes: list[tuple[int, int]], verdict: Verdict) -> None:
    assert judge_memory(Books(memory=sizes))[0] is verdict
