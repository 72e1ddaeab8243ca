"""Imports: a file is handed over with its options, a child process works on it, the receipt tells what came of it."""

import asyncio
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from asyncpg import Connection
from fastapi import Form, Query, Response, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from registry.api.calls import Answer, Call, PathText, Reading, Writing, check_limit, make_file_digest
from registry.api.enterprises import keep_upload
from registry.api.idempotency import make_digest
from registry.api.targets import check_texts, get_rule_for_writing, get_template_for_writing
from registry.api.views import Templates
from registry.import_plan import ImportOptions
from registry.issuing import Outcome
from registry.jobs import create_import, get_job, write_job_receipt
from registry.late_routes import LateRouter
from registry.rows import parse_mapping
from registry.store import ANSWER_SECONDS
from registry.store.jobs import Job, cancel_job, fetch_jobs
from schemas.bodies import JobBody, JobPage
from schemas.errors import Conflict, InvalidInput, NotFound
from schemas.identifiers import shorten
from schemas.texts import format_message, format_remedy

router = LateRouter(prefix="/api/v1/jobs", tags=["jobs"])

MAX_PAGE = 1_000
RECEIPT = "receipt-"  # names of files that are being sent begin with it


class ImportForm(BaseModel):
    """Exactly one of `identifier_column` and `identifier` (a pattern such as `{产品代码}-{生产日期:yyyyMMdd}`)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{
            "file": "(file)", "prefix": "88.101.5", "template": "pump-1", "identifier_column": "产品编码",
            "map": ["规格=model"],
        }]},
    )  # fmt: skip

    file: UploadFile
    prefix: Annotated[str, Field(max_length=64)]
    template: Annotated[str, Field(max_length=128)]
    identifier_column: Annotated[str | None, Field(max_length=255)] = None
    identifier: Annotated[str | None, Field(max_length=1_000)] = None
    map: Annotated[list[str], Field(description="`COLUMN=TYPE`, once for each column.")] = []
    sheet: Annotated[str | None, Field(max_length=255)] = None
    header_row: Annotated[int | None, Field(ge=1, le=1_048_576)] = None
    encoding: Annotated[str | None, Field(max_length=40)] = None
    separator: Annotated[str | None, Field(max_length=10)] = None
    update: bool = False
    dry_run: bool = False

    def to_options(self, dry_run: bool) -> ImportOptions:
        """Raises InvalidInput for a mapping that is none."""
        return ImportOptions(
            identifier_column=self.identifier_column,
            identifier=self.identifier,
            mapping=parse_mapping(self.map),
            sheet=self.sheet,
            header_row=self.header_row,
            encoding=self.encoding,
            separator=self.separator,
            update=self.update,
            dry_run=dry_run,
        )


@router.post("", status_code=201, response_model=JobBody, summary="Import a file")
async def post_job(call: Writing, form: Annotated[ImportForm, Form(media_type="multipart/form-data")]) -> Response:
    """CSV, NDJSON, XLSX or .xls. What is wrong with the file as a whole is said at once; rows are answered in the
    receipt. A dry run is a job like any other, which writes nothing."""
    options = form.to_options(call.dry_run or form.dry_run)
    file_name = (form.file.filename or "file").encode("utf-8", "replace").decode().replace("\0", "")
    check_texts(**{name: text for name, text in options.to_json().items() if isinstance(text, str)})
    check_texts(map="".join(form.map), file=file_name)
    async with keep_upload(call, form.file) as path:
        described = form.model_dump_json(exclude={"file"}).encode()
        digest = make_digest(await make_file_digest(path), described, file_name.encode())

        async def effect(conn: Connection) -> Answer:
            rule = await get_rule_for_writing(conn, call, form.prefix)
            template = await get_template_for_writing(conn, call, form.prefix, form.template)
            act, jobs_dir = call.order().act, call.state.config.jobs_dir
            job_id = await create_import(conn, jobs_dir, path, (rule, template), file_name, act, options)
            view = await format_job(call, Templates(conn), await get_job(conn, job_id))
            return Answer(view, 201, {"Location": f"/api/v1/jobs/{job_id}"})

        response = await replace(call, dry_run=False).write(effect, digest)
    call.state.job_added.set()
    return response


@router.get("", response_model=JobPage, summary="List imports")
async def list_jobs(
    call: Reading,
    before: Annotated[datetime | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(description="1 to 1,000.")] = 100,
) -> Response:
    """Newest first; an enterprise sees those of its prefixes."""
    principal = call.get_principal()
    check_limit(limit, MAX_PAGE)
    if before is not None and before.tzinfo is None:
        raise InvalidInput("cursor_unknown", field="before")
    own = None if principal.is_operator else list(principal.prefixes.values())
    async with call.connect() as conn:
        jobs, templates = await fetch_jobs(conn, own, before, limit + 1), Templates(conn)
        shown = [await format_job(call, templates, job) for job in jobs[:limit]]
    return call.reply({"jobs": shown, "next": jobs[limit - 1].created if len(jobs) > limit else None})


@router.get("/{job_id}", response_model=JobBody, summary="Progress of an import")
async def get_one_job(call: Reading, job_id: PathText) -> Response:
    async with call.connect() as conn:
        return call.reply(await format_job(call, Templates(conn), await get_own_job(conn, call, job_id)))


@router.post("/{job_id}/cancel", response_model=JobBody, summary="Stop an import")
async def post_cancellation(call: Writing, job_id: PathText) -> Response:
    """Rows that were registered stay registered, with their outcomes."""

    async def effect(conn: Connection) -> Answer:
        job = await get_own_job(conn, call, job_id)
        if not await cancel_job(conn, job.job_id, call.state.now()):
            raise Conflict("job_ended", field="job_id", job=str(job.job_id), state=job.state)
        return Answer(await format_job(call, Templates(conn), await get_job(conn, job.job_id)))

    return await call.write(effect)


@router.get(
    "/{job_id}/receipt", summary="The receipt of an import", response_class=Response,
    responses={200: {"description": "CSV, UTF-8 with BOM", "content": {"text/csv": {
        "example": "row,outcome,identifier,scan_url,reason,编码\r\n2,registered,88.101.5/P1,http://…/88.101.5/P1,,P1\r\n"
    }}}},
)  # fmt: skip
async def get_receipt(call: Reading, job_id: PathText) -> Response:
    """Row, outcome, identifier, address, reason, then the file's own columns; once the import has ended."""
    async with call.connect() as conn:
        job = await get_own_job(conn, call, job_id)
    if job.is_open:
        raise Conflict("job_not_ended", field="job_id", job=str(job.job_id), rows=job.rows_done)
    path = await asyncio.to_thread(_write_receipt, call, job)
    name = f"receipt-{job.job_id}.csv"
    return FileResponse(
        path, media_type="text/csv; charset=utf-8", filename=name, headers={"Cache-Control": "no-store"},
        background=BackgroundTask(path.unlink, missing_ok=True),
    )  # fmt: skip


def _write_receipt(call: Call, job: Job) -> Path:
    """In a thread, with a loop and a connection of its own: a million rows must not keep others waiting."""
    config = call.state.config
    descriptor, name = mkstemp(dir=config.jobs_dir, prefix=RECEIPT)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:

            async def write() -> None:
                conn = await asyncpg.connect(config.database_url, timeout=5, command_timeout=ANSWER_SECONDS)
                try:
                    await write_job_receipt(conn, config.jobs_dir, job, file, call.language, config.public_url)
                finally:
                    await conn.close(timeout=5)

            asyncio.run(write())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


async def get_own_job(conn: Connection, call: Call, text: str) -> Job:
    """Raises NotFound, also for jobs of others."""
    principal = call.get_principal()
    try:
        job = await get_job(conn, UUID(text))
    except ValueError:
        raise NotFound("job_not_found", field="job_id", job=shorten(text)) from None
    if not principal.is_operator and job.prefix_id not in principal.prefixes.values():
        raise NotFound("job_not_found", field="job_id", job=shorten(text))
    return job


async def format_job(call: Call, templates: Templates, job: Job) -> dict[str, Any]:
    template = await templates.find(job.template_id)
    counts = {str(outcome): job.counts.get(str(outcome), 0) for outcome in Outcome}
    error = None
    if job.error is not None:
        code, details = job.error["code"], {"field": job.error["field"] or "", **job.error["details"]}
        error = {
            "code": code,
            "field": job.error["field"],
            "detail": format_message(code, call.language, **details),
            "remedy": format_remedy(code, call.language, **details),
        }
    return {
        "job_id": str(job.job_id),
        "state": job.state,
        "file_name": job.file_name,
        "prefix": template.prefix if template else None,
        "template": template.version if template else None,
        "dry_run": bool(job.options.get("dry_run")),
        "rows_done": job.rows_done,
        "rows_total": job.rows_total,
        "counts": {"rows": sum(counts.values()), **counts},
        "summary": job.summary,
        "error": error,
        "receipt": None if job.cleared else f"/api/v1/jobs/{job.job_id}/receipt",
        "created": job.created,
        "finished": job.finished,
    }
