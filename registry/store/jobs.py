"""SQL of jobs: what was asked, how far it is, and the outcome of every row, chunk by chunk."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Connection, Record

from registry.store.records import PrefixRule
from schemas.templates import Template, bind_template, parse_template

# Held by the process that runs a job, for as long as its connection lives: a job without its lock is nobody's.
_JOB_LOCK = 7_242_000_000
_COLUMNS = (
    "job_id, kind, prefix_id, template_id, file_name, file_sha256, options, state, rows_done, last_row, rows_total,"
    " counts, summary, error, actor, created, changed, finished, cleared"
)


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs`; `options`, `counts`, `summary` and `error` are JSON."""

    job_id: UUID
    kind: str
    prefix_id: int
    template_id: int
    file_name: str
    options: dict[str, Any]
    state: str
    rows_done: int
    last_row: int
    rows_total: int | None
    counts: dict[str, int]
    summary: dict[str, Any]
    error: dict[str, Any] | None
    actor: str
    created: datetime
    changed: datetime
    finished: datetime | None
    cleared: datetime | None = None  # since then there is neither file nor receipt

    @property
    def is_open(self) -> bool:
        return self.state in ("queued", "running")


def _read_job(row: Record) -> Job:
    fields = dict(row)
    del fields["file_sha256"]
    for name in ("options", "counts", "summary", "error"):
        fields[name] = orjson.loads(fields[name]) if fields[name] is not None else None
    return Job(**fields)


async def insert_job(
    conn: Connection, job_id: UUID, fields: dict[str, Any], options: dict[str, Any], at: datetime
) -> None:
    """`fields`: kind, prefix_id, template_id, file_name, file_sha256, actor."""
    await conn.execute(
        "INSERT INTO jobs (job_id, kind, prefix_id, template_id, file_name, file_sha256, options, actor, created,"
        " changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        job_id,
        fields["kind"],
        fields["prefix_id"],
        fields["template_id"],
        fields["file_name"],
        fields["file_sha256"],
        orjson.dumps(options).decode(),
        fields["actor"],
        at,
    )


async def find_job(conn: Connection, job_id: UUID) -> Job | None:
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM jobs WHERE job_id = $1", job_id)  # noqa: S608
    return _read_job(row) if row else None


async def fetch_jobs(conn: Connection, prefix_ids: list[int] | None, before: datetime | None, limit: int) -> list[Job]:
    """Newest first; of these prefixes, or of all if None; created before a cursor."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM jobs WHERE ($1::int4[] IS NULL OR prefix_id = ANY($1))"  # noqa: S608
        " AND ($2::timestamptz IS NULL OR created < $2) ORDER BY created DESC LIMIT $3",
        prefix_ids,
        before,
        limit,
    )
    return [_read_job(row) for row in rows]


async def fetch_open_job_ids(conn: Connection) -> list[UUID]:
    """Queued ones, and running ones whose process may have died; oldest first."""
    rows = await conn.fetch("SELECT job_id FROM jobs WHERE state IN ('queued', 'running') ORDER BY created")
    return [row["job_id"] for row in rows]


async def try_lock_job(conn: Connection, job_id: UUID) -> bool:
    """Take the job for this connection; False if another process has it."""
    taken: bool = await conn.fetchval("SELECT pg_try_advisory_lock($1)", _JOB_LOCK + job_id.int % 1_000_000)
    return taken


async def is_job_locked(conn: Connection, job_id: UUID) -> bool:
    key = _JOB_LOCK + job_id.int % 1_000_000
    locked: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::oid AND objid = $2::oid"
        " AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        key >> 32,
        key & 0xFFFF_FFFF,
    )
    return locked


async def get_job_target(conn: Connection, job: Job) -> tuple[PrefixRule, Template]:
    """The prefix and the template a job writes to."""
    row = await conn.fetchrow(
        "SELECT p.prefix_id, p.prefix, p.folds_case, p.state, p.hosting, t.document FROM prefixes p"
        " JOIN templates t ON t.template_id = $2 WHERE p.prefix_id = $1",
        job.prefix_id,
        job.template_id,
    )
    if row is None:
        raise LookupError(f"job {job.job_id} names a prefix or template that does not exist")
    rule = PrefixRule(row["prefix_id"], row["prefix"], row["folds_case"], row["state"], row["hosting"])
    template = parse_template(orjson.loads(row["document"]), rule.prefix)
    return rule, bind_template(template, rule.prefix, job.template_id)


async def begin_job(conn: Connection, job_id: UUID, rows_total: int, summary: dict[str, Any], at: datetime) -> None:
    await conn.execute(
        "UPDATE jobs SET state = 'running', rows_total = $2, summary = $3, changed = $4 WHERE job_id = $1",
        job_id,
        rows_total,
        orjson.dumps(summary).decode(),
        at,
    )


async def restart_job(conn: Connection, job_id: UUID, at: datetime) -> None:
    """Forget the outcomes so far: a preview keeps nothing between processes."""
    await conn.execute("DELETE FROM job_chunks WHERE job_id = $1", job_id)
    await conn.execute(
        "UPDATE jobs SET rows_done = 0, last_row = 0, counts = '{}', changed = $2 WHERE job_id = $1", job_id, at
    )


async def store_chunk(conn: Connection, job: Job, chunk: int, outcomes: bytes, at: datetime) -> None:
    """The outcomes of one chunk, with how far the file is done: the same transaction as its records."""
    await conn.execute(
        "INSERT INTO job_chunks (job_id, chunk, outcomes) VALUES ($1, $2, $3)", job.job_id, chunk, outcomes
    )
    await conn.execute(
        "UPDATE jobs SET rows_done = $2, last_row = $3, counts = $4, changed = $5 WHERE job_id = $1",
        job.job_id,
        job.rows_done,
        job.last_row,
        orjson.dumps(job.counts).decode(),
        at,
    )


async def finish_job(conn: Connection, job_id: UUID, state: str, error: dict[str, Any] | None, at: datetime) -> None:
    """`state`: done, failed or cancelled."""
    await conn.execute(
        "UPDATE jobs SET state = $2, error = $3, changed = $4, finished = $4 WHERE job_id = $1",
        job_id,
        state,
        None if error is None else orjson.dumps(error).decode(),
        at,
    )


async def cancel_job(conn: Connection, job_id: UUID, at: datetime) -> bool:
    """False if it has ended already."""
    tag = await conn.execute(
        "UPDATE jobs SET state = 'cancelled', changed = $2, finished = $2 WHERE job_id = $1"
        " AND state IN ('queued', 'running')",
        job_id,
        at,
    )
    return tag.endswith(" 1")


async def clear_job(conn: Connection, before: datetime, at: datetime) -> UUID | None:
    """Delete the outcomes of the job that ended first, if that was before a time; its number."""
    job_id: UUID | None = await conn.fetchval(
        "UPDATE jobs SET cleared = $2 WHERE job_id = (SELECT job_id FROM jobs WHERE cleared IS NULL AND finished < $1"
        " ORDER BY finished LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING job_id",
        before,
        at,
    )
    if job_id is not None:
        await conn.execute("DELETE FROM job_chunks WHERE job_id = $1", job_id)
    return job_id


async def find_kept_jobs(conn: Connection, job_ids: list[UUID]) -> set[UUID]:
    """Those of them whose files are still needed."""
    rows = await conn.fetch("SELECT job_id FROM jobs WHERE job_id = ANY($1::uuid[]) AND cleared IS NULL", job_ids)
    return {row["job_id"] for row in rows}


async def count_chunks(conn: Connection, job_id: UUID) -> int:
    counted: int = await conn.fetchval("SELECT count(*) FROM job_chunks WHERE job_id = $1", job_id)
    return counted


async def iterate_chunks(conn: Connection, job_id: UUID) -> AsyncIterator[bytes]:
    """Outcomes in order, one chunk in memory at a time."""
    chunk = 0
    while (
        outcomes := await conn.fetchval(
            "SELECT outcomes FROM job_chunks WHERE job_id = $1 AND chunk = $2", job_id, chunk
        )
    ) is not None:
        yield outcomes
        chunk += 1
