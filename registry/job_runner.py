"""Runs queued jobs, one at a time, each in a process of its own that gives way to everything that answers somebody.

A job whose process died is taken up again where its last committed chunk ended.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import orjson

from registry.job_child import TRY_LATER
from registry.parent_process import make_environment
from registry.store import ANSWER_SECONDS, DATABASE_AWAY
from registry.store.jobs import Job, fetch_open_job_ids, find_job, finish_job, is_job_locked

LOOK_SECONDS = 2.0  # for jobs whose process died elsewhere; what is added here wakes us
LATER_SECONDS = 2.0  # when the database or the disk is what is wrong
RETRY_SECONDS = (0.0, 1.0, 2.0, 5.0)
MAX_CRASHES = 5  # without a further row: then the job itself is what kills its process
STOP_SECONDS = 5.0

log = logging.getLogger("idnode.jobs")


async def run_jobs(database_url: str, jobs_dir: Path, job_added: asyncio.Event) -> None:
    """Run what is queued until cancelled; the process of the present job is ended then, and goes on another time."""
    runner = JobRunner(database_url, jobs_dir)
    while True:
        job_added.clear()
        pause = LOOK_SECONDS
        try:
            while await runner.run_next():
                pass
        except DATABASE_AWAY as error:
            log.warning("jobs wait for the database: %s", str(error) or type(error).__name__)
        if runner.pause_seconds:
            pause = runner.pause_seconds
        with suppress(TimeoutError):
            await asyncio.wait_for(job_added.wait(), pause)


class JobRunner:
    """Knows how often the present job has crashed, and how far it had come then."""

    def __init__(self, database_url: str, jobs_dir: Path) -> None:
        self._database_url, self._jobs_dir = database_url, jobs_dir
        self._crashes: dict[UUID, tuple[int, int]] = {}  # job → crashes without a further row, rows done
        self.pause_seconds = 0.0

    async def run_next(self) -> bool:
        """Run the oldest open job that nobody has; whether the next may be run at once."""
        self.pause_seconds = 0.0
        async with self._connect() as conn:
            job = await self._find_next(conn)
        if job is None:
            return False
        status = await self._run_child(job.job_id)
        if status == 0:
            self._crashes.pop(job.job_id, None)
            return True
        if status == TRY_LATER:
            self.pause_seconds = LATER_SECONDS
            return False
        async with self._connect() as conn:
            await self._note_crash(conn, job.job_id, status)
        return False

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[asyncpg.Connection]:
        conn = await asyncpg.connect(
            self._database_url,
            timeout=10,
            command_timeout=ANSWER_SECONDS,
            server_settings={"application_name": "idnode jobs"},
        )
        try:
            yield conn
        finally:
            with suppress(*DATABASE_AWAY):
                await conn.close(timeout=5)

    async def _find_next(self, conn: asyncpg.Connection) -> Job | None:
        for job_id in await fetch_open_job_ids(conn):
            if not await is_job_locked(conn, job_id):
                return await find_job(conn, job_id)
        return None

    async def _run_child(self, job_id: UUID) -> int:
        """The exit status of the process, negative if a signal ended it. Its order comes by a pipe: arguments are
        visible to every account of the machine, and the database's address may hold a password."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "registry.job_child", str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=make_environment(),
        )  # fmt: skip
        order = {"database_url": self._database_url, "jobs_dir": str(self._jobs_dir), "job_id": str(job_id)}
        try:
            await child.communicate(orjson.dumps(order))
            return child.returncode or 0
        finally:
            if child.returncode is None:
                await _end(child)

    async def _note_crash(self, conn: asyncpg.Connection, job_id: UUID, status: int) -> None:
        job = await find_job(conn, job_id)
        if job is None or not job.is_open:
            return
        before, rows_done = self._crashes.get(job_id, (0, 0))
        crashes = before + 1 if job.rows_done == rows_done else 1
        self._crashes[job_id] = (crashes, job.rows_done)
        log.error("the process of job %s ended with status %s after %s rows", job_id, status, job.rows_done)
        if crashes >= MAX_CRASHES:
            error = {"code": "job_crashed", "field": None, "details": {"count": str(crashes), "row": str(job.last_row)}}
            await finish_job(conn, job_id, "failed", error, datetime.now(UTC))
            del self._crashes[job_id]
            return
        self.pause_seconds = RETRY_SECONDS[min(crashes, len(RETRY_SECONDS) - 1)]


async def _end(child: asyncio.subprocess.Process) -> None:
    """Whatever it is doing is in a transaction: it may be killed."""
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        await asyncio.wait_for(child.wait(), STOP_SECONDS)
    except TimeoutError:
        child.kill()
        await child.wait()
