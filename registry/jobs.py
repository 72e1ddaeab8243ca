"""Imports as jobs: a file goes in chunk by chunk, each in one transaction with the outcome of its rows.

A job whose process died is taken up by another where its last committed chunk ended; the receipt is written from the
stored outcomes, so a crash changes nothing in it (design decision 4).
"""

import asyncio
import hashlib
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, TextIO
from uuid import UUID, uuid4

import orjson
from asyncpg import Connection

from registry.accounts import fold_user_name, make_account_principal
from registry.import_plan import ImportOptions, open_plan
from registry.issuing import Draft, Outcome, Result, check_enabled, issue, preview
from registry.keys import make_key_principal
from registry.receipt import ReceiptLine, open_receipt
from registry.row_reader import FRAME_ROWS, Entry, ReaderDied, RowSource, open_source
from registry.rows import Problem, Refusal, RowPlan, format_refusal
from registry.store.changes import Act
from registry.store.holders import find_key_holder, find_name_holder
from registry.store.jobs import (
    Job,
    begin_job,
    clear_job,
    count_chunks,
    find_job,
    find_kept_jobs,
    finish_job,
    get_job_target,
    insert_job,
    iterate_chunks,
    restart_job,
    store_chunk,
    try_lock_job,
)
from registry.store.records import PrefixRule
from registry.tables import Row, Table
from schemas.errors import Forbidden, NotFound, ServiceError, Unauthenticated
from schemas.identifiers import format_scan_url
from schemas.templates import Template
from schemas.texts import format_message, format_remedy

MAX_CHUNK_ROWS = 10_000
FIRST_CHUNK_ROWS = 2_000
# A chunk that takes longer than this is followed by a smaller one: no transaction of ours lasts over a second.
CHUNK_SECONDS = 0.5
KEEP_FILES = timedelta(days=30)  # after the end of a job; its counts stay for ever
KEEP_UNKNOWN = timedelta(days=1)
_UPLOAD = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.upload", re.ASCII)


def find_upload(jobs_dir: Path, job_id: UUID) -> Path:
    """Where a job's file is kept; names given by users are never part of a path."""
    return jobs_dir / f"{job_id}.upload"


async def create_import(
    conn: Connection, jobs_dir: Path, source: Path, target: tuple[PrefixRule, Template], file_name: str, act: Act,
    options: ImportOptions,
) -> UUID:  # fmt: skip
    """Keep the file, check what can be known before the first row, and queue the job. Raises InvalidInput."""
    rule, template = target
    check_enabled(template)
    await asyncio.to_thread(open_plan, source, template, options, file_name)
    job_id = uuid4()
    digest = await asyncio.to_thread(_keep_file, source, find_upload(jobs_dir, job_id))
    fields = {
        "kind": "import",
        "prefix_id": rule.prefix_id,
        "template_id": template.template_id,
        "file_name": Path(file_name).name[:255],
        "file_sha256": digest,
        "actor": act.actor,
    }
    await insert_job(conn, job_id, fields, options.to_json(), act.at)
    return job_id


def _keep_file(source: Path, kept: Path) -> bytes:
    """Copy the file to where a job finds it again; its SHA-256."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, kept)
    with kept.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


async def clear_old_jobs(conn: Connection, jobs_dir: Path, now: datetime) -> int:
    """Delete files and outcomes of jobs that ended over 30 days ago, and files no job knows; how many files went."""
    while True:
        async with conn.transaction():
            if await clear_job(conn, now - KEEP_FILES, now) is None:
                break
    uploads = {UUID(path.stem): path for path in await asyncio.to_thread(_list_uploads, jobs_dir, now)}
    kept = await find_kept_jobs(conn, list(uploads))
    gone = [path for job_id, path in uploads.items() if job_id not in kept]
    for path in gone:
        await asyncio.to_thread(path.unlink, missing_ok=True)
    return len(gone)


def _list_uploads(jobs_dir: Path, now: datetime) -> list[Path]:
    """A file of today may belong to a job that is only being written."""
    before, found = (now - KEEP_UNKNOWN).timestamp(), []
    for path in jobs_dir.glob("*.upload"):
        with suppress(FileNotFoundError):  # another process clears, too
            if _UPLOAD.fullmatch(path.name) and path.stat().st_mtime < before:
                found.append(path)
    return found


async def get_job(conn: Connection, job_id: UUID) -> Job:
    """Raises NotFound."""
    job = await find_job(conn, job_id)
    if job is None:
        raise NotFound("job_not_found", field="job_id", job=str(job_id))
    return job


async def run_import(
    conn: Connection, jobs_dir: Path, job_id: UUID, report: Callable[[Job], None] = lambda _: None
) -> Job | None:
    """Run a job to its end on this connection, from where it stands; None if another process has it.

    `report` is called after every chunk. A file that cannot be read on makes the job `failed`; what was read before
    stays registered, with its outcomes.
    """
    if not await try_lock_job(conn, job_id):
        return None
    job = await get_job(conn, job_id)
    if not job.is_open:
        return job
    options = ImportOptions(**job.options)
    if options.dry_run and job.rows_done:
        await restart_job(conn, job_id, datetime.now(UTC))
        job = await get_job(conn, job_id)
    try:
        _, template = await get_job_target(conn, job)
        check_enabled(template)
        upload = find_upload(jobs_dir, job_id)
        table, plan = open_plan(upload, template, options, job.file_name)
        await begin_job(conn, job_id, table.rows_estimate, _summarise(table, plan), datetime.now(UTC))
        runner = _Runner(conn, options)
        async with open_source(upload, template, options, job.file_name, job.last_row) as source:
            await runner.run(job, source, report)
        state, error = "cancelled" if runner.cancelled else "done", None
    except ReaderDied:
        raise  # nothing is wrong with the file that another reader might not get over
    except ServiceError as refused:
        state, error = "failed", _format_error(refused)
    if state != "cancelled":
        await finish_job(conn, job_id, state, error, datetime.now(UTC))
    return await get_job(conn, job_id)


def _summarise(table: Table, plan: RowPlan) -> dict[str, Any]:
    return {
        "kind": table.kind,
        "sheet": table.sheet,
        "header_row": table.header_row,
        "columns": [*plan.matched],  # in order, which the database does not keep of the names of an object
        "matched": plan.matched,
        "left": plan.left,
        "remarks": [{"code": remark.code, "details": remark.details} for remark in table.remarks],
    }


def _format_error(error: ServiceError) -> dict[str, Any]:
    details = {name: str(value) for name, value in error.details.items()}
    return {"code": error.code, "field": error.field, "details": details}


class _Runner:
    """Chunks of one job on one connection."""

    def __init__(self, conn: Connection, options: ImportOptions) -> None:
        self._conn, self._options = conn, options
        self.cancelled = False

    async def run(self, job: Job, source: RowSource, report: Callable[[Job], None]) -> None:
        chunk, size = await count_chunks(self._conn, job.job_id), FIRST_CHUNK_ROWS
        while (entries := await source.read(size)) and not self.cancelled:
            started = monotonic()
            job = await self._commit(job, chunk, entries)
            took = monotonic() - started
            report(job)
            chunk += 1
            size = max(FRAME_ROWS, size // 2) if took > CHUNK_SECONDS else min(MAX_CHUNK_ROWS, size * 2)

    async def _commit(self, job: Job, chunk: int, entries: list[Entry]) -> Job:
        """One chunk in one transaction; unchanged, and nothing written, if the job was cancelled meanwhile.

        Raises Forbidden or Conflict from the moment on when nothing may be registered by it any more.
        """
        async with self._conn.transaction():
            current = await find_job(self._conn, job.job_id)
            if current is None or not current.is_open:
                self.cancelled = True
                return job
            rule, template = await get_job_target(self._conn, job)
            await check_starter(self._conn, job, rule)
            check_enabled(template)
            outcomes = await self._write(job, rule, entries)
            job = _advance(job, outcomes)
            await store_chunk(self._conn, job, chunk, _pack_outcomes(outcomes), datetime.now(UTC))
        return job

    async def _write(self, job: Job, rule: PrefixRule, entries: Sequence[Entry]) -> list[tuple[Any, ...]]:
        """Issue (or preview) the good rows; the outcome of every row in order."""
        drafts = [Draft(entry[1], job.template_id, entry[2]) for entry in entries if entry[1] is not None]
        if self._options.dry_run:
            results = await preview(self._conn, rule, drafts, update=self._options.update)
        else:
            act = Act(job.actor, datetime.now(UTC), f"job {job.job_id}")
            results = await issue(self._conn, rule, drafts, act, update=self._options.update)
        answers: Iterator[Result] = iter(results)
        return [
            _describe(entry[0], entry[1], next(answers))
            if entry[1] is not None
            else (entry[0], Outcome.REFUSED, "", entry[2])
            for entry in entries
        ]


async def check_starter(conn: Connection, job: Job, rule: PrefixRule) -> None:
    """Raises Forbidden once the access key or account that queued the job may not write to the prefix any more.

    From where it was queued has been looked at then; the command line always may.
    """
    kind, _, name = job.actor.partition(":")
    if kind not in ("key", "account"):
        return
    try:
        holder = await (find_key_holder(conn, name) if kind == "key" else find_name_holder(conn, fold_user_name(name)))
        if holder is None or holder.is_closed:
            raise Unauthenticated("key_wrong")
        if kind == "key":
            principal = make_key_principal(replace(holder, networks=[]), datetime.now(UTC), "")
        else:
            principal = make_account_principal(holder)
        principal.check_scope("write")
        principal.check_prefix(rule.prefix)
    except ServiceError:
        raise Forbidden("job_starter_ended", actor=job.actor) from None


def _describe(number: int, suffix: str, result: Result) -> tuple[Any, ...]:
    if not result.code:
        return (number, result.outcome, suffix)
    return (number, result.outcome, suffix, [(result.code, "", _plain(result.details))])


def _plain(details: Any) -> dict[str, str]:
    return {name: str(value) for name, value in details.items()}


def _advance(job: Job, outcomes: list[tuple[Any, ...]]) -> Job:
    new = Counter(outcome[1] for outcome in outcomes)
    counts = {str(outcome): job.counts.get(str(outcome), 0) + new[outcome] for outcome in Outcome}
    return replace(job, rows_done=job.rows_done + len(outcomes), last_row=outcomes[-1][0], counts=counts)


def _pack_outcomes(outcomes: list[tuple[Any, ...]]) -> bytes:
    return zlib.compress(orjson.dumps(outcomes), 1)


async def write_job_receipt(
    conn: Connection, jobs_dir: Path, job: Job, file: TextIO, language: str, public_url: str
) -> int:
    """Write the receipt from the stored outcomes beside the file's own columns; returns the number of rows.

    The last line of a job that failed has no row and says why; rows without a line were not looked at.
    Raises NotFound once file and outcomes were deleted.
    """
    if job.cleared is not None:
        raise NotFound("receipt_gone", field="job_id", job=str(job.job_id), days=KEEP_FILES.days)
    rule, template = await get_job_target(conn, job)
    options = ImportOptions(**job.options)
    table, _ = open_plan(find_upload(jobs_dir, job.job_id), template, options, job.file_name)
    rows = table.rows()
    write_line = open_receipt(file, table.columns, lambda identifier: format_scan_url(public_url, identifier))
    written = 0
    async for packed in iterate_chunks(conn, job.job_id):
        for outcome in orjson.loads(zlib.decompress(packed)):
            write_line(_format_line(next(rows), outcome, rule.prefix, language))
            written += 1
    if job.error is not None:
        write_line((None, "failed", "", format_job_error(job, language)))
    return written


def _format_line(row: Row, outcome: list[Any], prefix: str, language: str) -> ReceiptLine:
    number, name, suffix, *problems = outcome
    if number != row.number:
        raise LookupError(f"outcome of row {number} meets row {row.number}")
    # A refused row got no identifier, whatever it asked for: its own columns stand beside it.
    identifier = f"{prefix}/{suffix}" if suffix and name != Outcome.REFUSED else ""
    reason = ""
    if problems:
        found = tuple(Problem(code, column, details) for code, column, details in problems[0])
        reason = format_refusal(Refusal(number, found), language)
    return row, name, identifier, reason


def format_job_error(job: Job, language: str) -> str:
    """Why a job failed and what to do, or nothing."""
    if job.error is None:
        return ""
    code, details = job.error["code"], job.error["details"]
    return f"{format_message(code, language, **details)} {format_remedy(code, language, **details)}"
