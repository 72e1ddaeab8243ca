"""The demonstration goes in whole, once, and never beside real enterprises."""

import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from asyncpg import Connection

from node.demo import PLAN, load_demo
from node.demo_files import SOURCE_DATA, find_demo_files, read_demo_state
from node.plan_progress import read_plan
from node.plans import get_plan
from node.settings import NodeSettings, load_settings
from schemas.days import get_day
from schemas.errors import Conflict, SetupError
from tests import database

PUMPS, BATCHES = 20_000, 2_940


@pytest.fixture
async def conn(server_dsn: str) -> AsyncIterator[Connection]:
    """A node of its own for each test: the demonstration commits as it goes."""
    dsn = await database.create_database(server_dsn)
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()
    await database.drop_database(server_dsn, dsn)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NodeSettings:
    for name in [name for name in os.environ if name.startswith("IDNODE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IDNODE_DATA_DIR", str(tmp_path))
    return load_settings(NodeSettings)


async def count_records(conn: Connection, prefix: str) -> int:
    """Without the templates' own records."""
    counted: int = await conn.fetchval(
        "SELECT count(*) FROM records r JOIN prefixes p USING (prefix_id) WHERE p.prefix = $1 AND r.template_id > 0",
        prefix,
    )
    return counted


async def add_real_enterprise(conn: Connection, code: str = "91321302MA0000001Y") -> None:
    await conn.execute(
        "INSERT INTO enterprises (certificate_code, name, created, changed) VALUES ($1, 'Real', now(), now())", code
    )


async def test_it_goes_in_whole_and_once(conn: Connection, settings: NodeSettings) -> None:
    """Whoever tries the node out adds firms of their own and starts it again: that is not refused."""
    steps: list[tuple[int, int | None]] = []
    counts = await load_demo(conn, settings, lambda done, total: steps.append((done, total)))
    assert (counts.enterprises, counts.identifiers) == (66, PUMPS + BATCHES)
    assert await count_records(conn, "88.101.5") == PUMPS
    assert await count_records(conn, "88.101.10") == BATCHES
    assert steps == sorted(steps), "progress never goes back"
    assert steps[-1] == (PUMPS + BATCHES, PUMPS + BATCHES)
    today = get_day(datetime.now(UTC))
    view = await read_plan(conn, await get_plan(conn, PLAN), today, today)
    connected = next(row for row in view.rows if row.target.indicator == "enterprises_connected")
    assert (connected.target.area, connected.value, connected.met) == ("宿城区", 66, True)
    jobs = await conn.fetchval("SELECT count(*) FROM jobs")
    await add_real_enterprise(conn, "91321302MA00TRIED0")
    assert (await load_demo(conn, settings)).enterprises == counts.enterprises + 1
    assert await conn.fetchval("SELECT count(*) FROM jobs") == jobs, "the second time nothing is read again"


async def test_one_that_was_cut_off_is_finished(conn: Connection, settings: NodeSettings) -> None:
    def lose_power(done: int, total: int | None) -> None:
        if done > PUMPS // 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await load_demo(conn, settings, lose_power)
    assert await read_demo_state(conn) == "loading"
    half = await count_records(conn, "88.101.5")
    assert 0 < half < PUMPS
    await load_demo(conn, settings)
    assert await count_records(conn, "88.101.5") == PUMPS
    assert await count_records(conn, "88.101.10") == BATCHES


async def test_a_node_with_real_enterprises_refuses_it(conn: Connection, settings: NodeSettings) -> None:
    await add_real_enterprise(conn)
    with pytest.raises(Conflict) as refused:
        await load_demo(conn, settings)
    assert refused.value.code == "demo_refused"
    assert await conn.fetchval("SELECT count(*) FROM prefixes") == 0


async def test_data_that_were_changed_are_told(conn: Connection, settings: NodeSettings, tmp_path: Path) -> None:
    place = tmp_path / "data"
    shutil.copytree(SOURCE_DATA, place)
    products = place / "products-pump-works.csv"
    lines = products.read_text(encoding="utf-8").splitlines(keepends=True)
    products.write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(SetupError) as told:
        await load_demo(conn, settings.model_copy(update={"demo_dir": place}))
    assert told.value.code == "demo_incomplete"
    assert told.value.details["file"] == products.name
    products.write_text("".join(lines), encoding="utf-8")
    await load_demo(conn, settings)
    assert await count_records(conn, "88.101.5") == PUMPS


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as told:
        find_demo_files(tmp_path)
    assert told.value.code == "demo_data_missing"
    assert str(tmp_path) in str(told.value)
