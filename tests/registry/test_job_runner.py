"""Queued jobs run in processes of their own, one at a time, and go on after whatever happens to those."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from asyncpg import Connection

from registry.import_plan import ImportOptions
from registry.job_runner import LATER_SECONDS, MAX_CRASHES, JobRunner, run_jobs
from registry.jobs import create_import, get_job
from registry.principals import Order, Principal
from registry.store.changes import Act
from registry.store.jobs import Job, insert_job, try_lock_job
from registry.store.records import PrefixRule
from registry.templates import add_template
from schemas.templates import Template
from tests.registry.issuing_world import DOCUMENT, make_prefix

PATIENCE_SECONDS = 60.0
Target = tuple[PrefixRule, Template]


@pytest.fixture(scope="module")
async def conn(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def target(conn: Connection) -> Target:
    number = await conn.fetchval(
        "INSERT INTO enterprises (certificate_code, name, state, created, changed)"
        " VALUES ('91321302MA0000001Y', 'Pumps', 3, now(), now()) RETURNING enterprise_id"
    )
    rule = await make_prefix(conn)
    await conn.execute("INSERT INTO prefix_owners VALUES ($1, $2, current_date)", rule.prefix_id, number)
    order = Order(Principal("operator", "cli:tester"), datetime.now(UTC))
    template, _ = await add_template(conn, order, rule.prefix, DOCUMENT)
    return rule, template


@contextlib.asynccontextmanager
async def running(database_url: str, jobs_dir: Path) -> AsyncIterator[asyncio.Event]:
    """The runner at work; the event wakes it."""
    added = asyncio.Event()
    task = asyncio.create_task(run_jobs(database_url, jobs_dir, added))
    try:
        yield added
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert find_children() == [], "the runner leaves no process behind"


async def queue(conn: Connection, jobs_dir: Path, target: Target, rows: int, start: int = 0) -> UUID:
    source = jobs_dir / f"source-{uuid4()}.csv"
    lines = [f"P-{number:07},WQ15,13.5" for number in range(start, start + rows)]
    source.write_text("\n".join(["code,model,flow", *lines]) + "\n", encoding="utf-8")
    options = ImportOptions(identifier_column="code")
    return await create_import(conn, jobs_dir, source, target, "pumps.csv", Act("clerk", datetime.now(UTC)), options)


async def wait_until(condition: Callable[[Job], bool], conn: Connection, job_id: UUID) -> Job:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition(job := await get_job(conn, job_id)):
            await asyncio.sleep(0.02)
    return job


def find_children() -> list[int]:
    """Pids of the job processes this process started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and b"registry.job_child" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


async def test_what_is_queued_is_done_in_order_and_with_low_priority(
    database_url: str, conn: Connection, target: Target, tmp_path: Path
) -> None:
    first = await queue(conn, tmp_path, target, 3_000)
    second = await queue(conn, tmp_path, target, 3_000)  # the same rows: whoever comes second finds them unchanged
    async with running(database_url, tmp_path) as added:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (children := find_children()):
                await asyncio.sleep(0.005)
        assert len(children) == 1
        # Arguments are visible to every account of the machine, and the database's address may hold a password.
        assert b"postgresql" not in Path(f"/proc/{children[0]}/cmdline").read_bytes()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (children := find_children()) and os.getpriority(os.PRIO_PROCESS, children[0]) < 10:
                await asyncio.sleep(0.005)
        await wait_until(lambda job: job.state == "done", conn, second)
        third = await queue(conn, tmp_path, target, 10, start=10_000)
        added.set()
        await wait_until(lambda job: job.state == "done", conn, third)
    assert (await get_job(conn, first)).counts["registered"] == 3_000
    assert (await get_job(conn, second)).counts["unchanged"] == 3_000
    assert (await get_job(conn, third)).counts["registered"] == 10


async def test_a_job_whose_process_is_killed_is_finished_by_another(
    database_url: str, conn: Connection, target: Target, tmp_path: Path
) -> None:
    rows, kills = 60_000, 0
    job_id = await queue(conn, tmp_path, target, rows, start=100_000)
    async with running(database_url, tmp_path):
        for threshold in (1, 10_000):
            job = await wait_until(lambda job, least=threshold: job.rows_done >= least or not job.is_open, conn, job_id)
            for child in find_children() if job.is_open else []:
                os.kill(child, signal.SIGKILL)
                kills += 1
        job = await wait_until(lambda job: not job.is_open, conn, job_id)
    assert kills
    assert (job.state, job.rows_done, job.counts["registered"]) == ("done", rows, rows)


async def test_a_job_that_kills_every_process_fails_with_a_reason_and_holds_nothing_back(
    database_url: str, conn: Connection, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.job_runner.RETRY_SECONDS", (0.0,))
    rule, template = target
    poison, now = uuid4(), datetime.now(UTC)
    fields = {
        "kind": "import", "prefix_id": rule.prefix_id, "template_id": template.template_id, "file_name": "x.csv",
        "file_sha256": b"", "actor": "clerk",
    }  # fmt: skip
    await insert_job(conn, poison, fields, {"an option of another release": True}, now)
    good = await queue(conn, tmp_path, target, 10, start=20_000)
    runner = JobRunner(database_url, tmp_path)
    for _ in range(MAX_CRASHES):
        assert not await runner.run_next()
    failed = await get_job(conn, poison)
    assert (failed.state, failed.error and failed.error["code"]) == ("failed", "job_crashed")
    assert await runner.run_next()
    assert (await get_job(conn, good)).state == "done"


async def test_a_database_that_goes_away_again_and_again_is_no_fault_of_the_job(
    database_url: str, conn: Connection, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.job_runner.LATER_SECONDS", 0.01)
    rows = 20_000
    job_id = await queue(conn, tmp_path, target, rows, start=300_000)
    runner, cut = JobRunner(database_url, tmp_path), 0
    while cut <= MAX_CRASHES:
        attempt = asyncio.create_task(runner.run_next())
        while not attempt.done():
            cut += await conn.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'idnode job'"
                " AND datname = current_database()"
            )
        assert not attempt.result()
    assert (await get_job(conn, job_id)).is_open
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await runner.run_next():
            await asyncio.sleep(0.02)
    job = await get_job(conn, job_id)
    assert (job.state, job.rows_done) == ("done", rows)


async def test_a_database_that_takes_no_writes_is_waited_for(
    database_url: str, conn: Connection, target: Target, tmp_path: Path
) -> None:
    """As a standby is, or one that its keepers set so."""
    job_id = await queue(conn, tmp_path, target, 10, start=400_000)
    runner = JobRunner(database_url, tmp_path)
    here = await conn.fetchval("SELECT current_database()")
    await conn.execute(f"ALTER DATABASE {here} SET default_transaction_read_only = on")
    try:
        for _ in range(2):
            assert not await runner.run_next()
            assert runner.pause_seconds == LATER_SECONDS
    finally:
        await conn.execute(f"ALTER DATABASE {here} RESET default_transaction_read_only")
    assert await runner.run_next()
    assert (await get_job(conn, job_id)).state == "done"


async def test_a_job_that_somebody_else_runs_is_left_to_them(
    database_url: str, conn: Connection, target: Target, tmp_path: Path
) -> None:
    job_id = await queue(conn, tmp_path, target, 10, start=30_000)
    runner = JobRunner(database_url, tmp_path)
    other = await asyncpg.connect(database_url)
    assert await try_lock_job(other, job_id)
    assert not await runner.run_next()
    assert (await get_job(conn, job_id)).state == "queued"
    await other.close()  # that process died: the job is anybody's again
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await runner.run_next():
            await asyncio.sleep(0.02)
    assert (await get_job(conn, job_id)).state == "done"


async def test_stopping_in_the_middle_leaves_a_job_that_goes_on_later(
    database_url: str, conn: Connection, target: Target, tmp_path: Path
) -> None:
    job_id = await queue(conn, tmp_path, target, 60_000, start=200_000)
    async with running(database_url, tmp_path):
        stopped = await wait_until(lambda job: job.rows_done > 0, conn, job_id)
    assert stopped.is_open
    async with running(database_url, tmp_path):
        job = await wait_until(lambda job: not job.is_open, conn, job_id)
    assert (job.state, job.rows_done) == ("done", 60_000)


async def test_a_database_that_is_away_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = asyncio.create_task(run_jobs("postgresql://nobody@127.0.0.1:1/nothing", tmp_path, asyncio.Event()))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "wait for the database" not in caplog.text:
            await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
