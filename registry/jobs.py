"""Imports as jobs: a file goes in chunk by chunk, each in one transaction with the outcome of its rows.

A job whose process died is taken up by another where its last committed chunk ended; the receipt is written from the
stored outcomes, so a crash changes nothing in it (design decision 4).
"""

import asyncio
import hashlib
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, TextIO
from uuid import UUID, uuid4

import orjson
from asyncpg import Connection

from registry.identifier_rule import parse_rule
from registry.issuing import Draft, Outcome, Result, check_enabled, issue, preview
from registry.receipt import ReceiptLine, open_receipt
from registry.rows import Decision, Problem, Refusal, RowPlan, describe_wanted, format_refusal, plan_rows
from registry.store.changes import Act
from registry.store.jobs import (
    Job,
    begin_job,
    count_chunks,
    find_job,
    finish_job,
    get_job_target,
    insert_job,
    iterate_chunks,
    restart_job,
    store_chunk,
    try_lock_job,
)
from registry.store.records import PrefixRule
from registry.tables import Row, Table, TableOptions, open_table
from schemas.errors import NotFound, ServiceError
from schemas.identifiers import format_scan_url
from schemas.records import pack_texts
from schemas.templates import Template
from schemas.texts import format_message, format_remedy

MAX_CHUNK_ROWS = 10_000
FIRST_CHUNK_ROWS = 2_000
# A chunk that takes longer than this is followed by a smaller one: no transaction of ours lasts over a second.
CHUNK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the caller of an import decides; kept with the job as JSON."""

    identifier_column: str | None = None
    identifier: str | None = None
    mapping: dict[str, str] = field(default_factory=dict)
    sheet: str | None = None
    header_row: int | None = None
    encoding: str | None = None
    separator: str | None = None
    update: bool = False
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def find_upload(jobs_dir: Path, job_id: UUID) -> Path:
    """Where a job's file is kept; names given by users are never part of a path."""
    return jobs_dir / f"{job_id}.upload"


async def create_import(
    conn: Connection, jobs_dir: Path, source: Path, target: tuple[PrefixRule, Template], file_name: str, act: Act,
    options: ImportOptions,
) -> UUID:  # fmt: skip
    """Keep the file, check what can be known before the first row, and queue the job. Raises InvalidInput."""
    rule, template = target
    await asyncio.to_thread(open_plan, source, rule, template, options, file_name)
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


def open_plan(
    path: Path, rule: PrefixRule, template: Template, options: ImportOptions, file_name: str
) -> tuple[Table, RowPlan]:
    """The opened file and what its columns mean; raises InvalidInput."""
    check_enabled(template)
    identifier_rule = parse_rule(options.identifier_column, options.identifier)
    wanted = describe_wanted(template, identifier_rule, options.mapping)
    table_options = TableOptions(options.sheet, options.header_row, options.encoding, options.separator)
    table = open_table(path, wanted, table_options, file_name)
    return table, plan_rows(template, table.columns, identifier_rule, options.mapping, rule.prefix)


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
        rule, template = await get_job_target(conn, job)
        table, plan = open_plan(find_upload(jobs_dir, job_id), rule, template, options, job.file_name)
        await begin_job(conn, job_id, table.rows_estimate, _summarise(table, plan), datetime.now(UTC))
        runner = _Runner(conn, rule, template, options)
        await runner.run(job, table, plan, report)
        state, error = "cancelled" if runner.cancelled else "done", None
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
        "matched": plan.matched,
        "left": plan.left,
        "remarks": [{"code": remark.code, "details": remark.details} for remark in table.remarks],
    }


def _format_error(error: ServiceError) -> dict[str, Any]:
    details = {name: str(value) for name, value in error.details.items()}
    return {"code": error.code, "field": error.field, "details": details}


class _Runner:
    """Chunks of one job on one connection."""

    def __init__(self, conn: Connection, rule: PrefixRule, template: Template, options: ImportOptions) -> None:
        self._conn, self._rule, self._options = conn, rule, options
        self._template_id = template.template_id
        self.cancelled = False

    async def run(self, job: Job, table: Table, plan: RowPlan, report: Callable[[Job], None]) -> None:
        """While the database writes one chunk, the next is read and decided in a thread."""
        rows = table.rows(after=job.last_row)
        chunk, size = await count_chunks(self._conn, job.job_id), FIRST_CHUNK_ROWS
        decisions = await asyncio.to_thread(_decide, rows, plan, size)
        while decisions and not self.cancelled:
            following = asyncio.create_task(asyncio.to_thread(_decide, rows, plan, size))
            try:
                started = monotonic()
                job = await self._commit(job, chunk, decisions)
                took = monotonic() - started
            except BaseException:
                await asyncio.wait([following])  # the file is being read until then
                raise
            report(job)
            chunk += 1
            size = max(100, size // 2) if took > CHUNK_SECONDS else min(MAX_CHUNK_ROWS, size * 2)
            decisions = await following

    async def _commit(self, job: Job, chunk: int, decisions: list[Decision]) -> Job:
        """One chunk in one transaction; unchanged, and nothing written, if the job was cancelled meanwhile."""
        async with self._conn.transaction():
            current = await find_job(self._conn, job.job_id)
            if current is None or not current.is_open:
                self.cancelled = True
                return job
            outcomes = await self._write(job, decisions)
            job = _advance(job, outcomes)
            await store_chunk(self._conn, job, chunk, _pack_outcomes(outcomes), datetime.now(UTC))
        return job

    async def _write(self, job: Job, decisions: Sequence[Decision]) -> list[tuple[Any, ...]]:
        """Issue (or preview) the good rows; the outcome of every row in order."""
        template_id = self._template_id
        drafts = [
            Draft(d.suffix, template_id, pack_texts(template_id, d.values))
            for d in decisions
            if not isinstance(d, Refusal)
        ]
        if self._options.dry_run:
            results = await preview(self._conn, self._rule, drafts, update=self._options.update)
        else:
            act = Act(job.actor, datetime.now(UTC), f"job {job.job_id}")
            results = await issue(self._conn, self._rule, drafts, act, update=self._options.update)
        answers: Iterator[Result] = iter(results)
        return [
            (d.number, Outcome.REFUSED, "", [(p.code, p.column, _plain(p.details)) for p in d.problems])
            if isinstance(d, Refusal)
            else _describe(d.number, d.suffix, next(answers))
            for d in decisions
        ]


def _decide(rows: Iterator[Row], plan: RowPlan, size: int) -> list[Decision]:
    decide = plan.decide
    return [decide(row) for row in islice(rows, size)]


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
    """Write the receipt from the stored outcomes beside the file's own columns; returns the number of rows."""
    rule, template = await get_job_target(conn, job)
    options = ImportOptions(**job.options)
    table, _ = open_plan(find_upload(jobs_dir, job.job_id), rule, template, options, job.file_name)
    rows = table.rows()
    write_line = open_receipt(file, table.columns, lambda identifier: format_scan_url(public_url, identifier))
    written = 0
    async for packed in iterate_chunks(conn, job.job_id):
        for outcome in orjson.loads(zlib.decompress(packed)):
            write_line(_format_line(next(rows), outcome, rule.prefix, language))
            written += 1
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
