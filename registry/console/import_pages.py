"""Imports: upload, choose sheet and header, map columns, build the identifier, try, start, watch, receipt."""

import asyncio
from dataclasses import dataclass, replace
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.jobs import get_own_job, get_receipt
from registry.api.targets import get_rule_for_writing, get_template_for_writing
from registry.api.views import Templates
from registry.console.identifier_pages import list_own_prefixes
from registry.console.proposing import SHOWN_ROWS, find_code_column, propose_pattern, sample
from registry.console.search import RowOutcome, fetch_outcomes
from registry.console.sections import Entry, Section, is_registrar
from registry.console.uploads import Draft, find_sheet, get_draft, keep_draft, list_sheets, open_draft
from registry.console.visits import Form, Posting, Problem, Visit, Visiting, collect, needs
from registry.import_plan import ImportOptions
from registry.issuing import Outcome
from registry.jobs import create_import, find_upload
from registry.late_routes import LateRouter
from registry.rows import Problem as RowProblem
from registry.rows import Refusal, format_refusal
from registry.store.jobs import Job, cancel_job, fetch_jobs
from registry.tables import Row, Table, Wanted
from registry.tables.headers import match_key
from registry.templates import list_templates
from schemas.errors import Conflict, InvalidInput, ServiceError
from schemas.prefixes import PrefixState
from schemas.templates import Template

router = LateRouter(prefix="/imports")
SECTION = Section(router, (Entry("/imports", "imports", "group_work", is_registrar),))

Text = Annotated[str, Query(max_length=4_096)]
PAGE_ROWS = 50
EXAMPLES = 3
SEARCHED_CHUNKS = 40  # for examples of each outcome
REFRESH_SECONDS = 2


@router.get("")
async def list_imports(visit: Visiting) -> Response:
    principal = visit.get_principal()
    own = None if principal.is_operator else list(principal.prefixes.values())
    async with visit.connect() as conn:
        jobs, templates = await fetch_jobs(conn, own, None, PAGE_ROWS), Templates(conn)
        rows = [(job, await templates.find(job.template_id)) for job in jobs]
    is_open = any(job.is_open for job in jobs)
    return visit.page("imports.html", rows=rows, refresh_seconds=5 if is_open else 0)


@router.get("/new", dependencies=[needs("write")])
async def show_upload(visit: Visiting, prefix: Text = "", version: Text = "") -> Response:
    return await _show_upload(visit, {"prefix": prefix, "version": version}, {})


async def _show_upload(visit: Visit, fields: dict[str, str], problems: dict[str, Problem]) -> Response:
    async with visit.connect() as conn:
        prefixes = [row for row in await list_own_prefixes(conn, visit) if row.state is PrefixState.ENABLED]
    status = 400 if problems else 200
    return visit.page("import_new.html", status=status, prefixes=prefixes, fields=fields, problems=problems)


@router.post("/new", dependencies=[needs("write")])
async def upload(post: Posting) -> Response:
    """Keep the file for the next steps; what is wrong with it as a whole is said at once."""
    prefix, version = post.form["prefix"], post.form["version"]
    try:
        async with post.connect() as conn:
            await get_rule_for_writing(conn, post, prefix)
        draft = await keep_draft(post, post.form.files.get("file"), prefix)
        sheets = await asyncio.to_thread(list_sheets, draft.path)
        await find_sheet(draft, sheets, Wanted())
    except ServiceError as error:
        about_file = dict.fromkeys(("", "sheet", "header_row", "encoding"), "file")  # the form asks for nothing else
        return await _show_upload(post, post.form.to_dict(), post.explain(error, about_file))
    return post.redirect(f"/imports/drafts/{draft.draft_id}", **({"template": version} if version else {}))


@dataclass(frozen=True, slots=True)
class Step:
    """What the page of a draft shows: the file's table, the template chosen, and what goes wrong."""

    draft: Draft
    sheets: list[str]
    sheet: str
    header_row: int | None  # as asked for
    table: Table | None
    rows: list[Row]
    template: Template | None
    templates: list[Template]
    problems: dict[str, Problem]


async def _open_step(visit: Visit, draft_id: str, sheet: str, header_row: int | None, version: str) -> Step:
    draft = await get_draft(visit, draft_id)
    async with visit.connect() as conn:
        templates = [t for t in await list_templates(conn, visit.get_principal(), draft.prefix) if t.enabled]
    template = next((one for one in templates if one.version == version), None)
    problems: dict[str, Problem] = {}
    table, rows, sheets = None, [], []
    with collect(problems, visit):
        sheets = await asyncio.to_thread(list_sheets, draft.path)
        wanted = _describe(template) if template else Wanted()
        if sheets and not sheet:
            sheet = await find_sheet(draft, sheets, wanted)
        table = await _open_table(draft, sheet, header_row, wanted)
        rows = await asyncio.to_thread(sample, table)
    return Step(draft, sheets, sheet, header_row, table, rows, template, templates, problems)


def _describe(template: Template) -> Wanted:
    names = {match_key(text) for item in template.items for text in (item.name_zh, item.name_en, item.type)}
    return Wanted(frozenset(names))


async def _open_table(draft: Draft, sheet: str, header_row: int | None, wanted: Wanted) -> Table:
    """By the names the template knows; a file that has none of them is still shown, to be mapped by hand."""
    try:
        return await open_draft(draft, sheet, header_row, wanted)
    except InvalidInput as error:
        if error.code not in ("file_header_not_found", "file_header_in_doubt"):
            raise
    return await open_draft(draft, sheet, header_row)


def match_columns(template: Template, columns: list[str]) -> dict[str, str]:
    """Column → type of the item that is called so; an item is given once."""
    known: dict[str, str] = {}
    for item in reversed(template.items):
        if item.enabled:
            known |= {match_key(text): item.type for text in (item.type, item.name_en, item.name_zh) if text}
    matched: dict[str, str] = {}
    for column in columns:
        found = known.get(match_key(column))
        if column and found and found not in matched.values():
            matched[column] = found
    return matched


@router.get("/drafts/{draft_id}", dependencies=[needs("write")])
async def show_draft(
    visit: Visiting, draft_id: str, sheet: Text = "", header_row: str = "", template: Text = ""
) -> Response:
    """The table of the file, and how its columns become values and identifiers."""
    row = int(header_row) if header_row.isdecimal() and len(header_row) < 8 and int(header_row) > 0 else None
    step = await _open_step(visit, draft_id, sheet, row, template)
    fields: dict[str, str] = {}
    if step.table is not None and step.template is not None:
        fields = _propose_fields(step.table, [row.texts for row in step.rows], step.template)
    return _show_step(visit, step, fields, step.problems)


def _propose_fields(table: Table, rows: list[list[str]], template: Template) -> dict[str, str]:
    matched = match_columns(template, table.columns)
    fields = {f"m.{n}": matched.get(column, "") for n, column in enumerate(table.columns)}
    column = find_code_column(table.columns, rows)
    pattern = propose_pattern(table.columns, rows)
    if not column and pattern and "-" not in pattern:
        column = pattern.strip("{}").partition(":")[0]
    by = "pattern" if pattern and not column else "column"
    return fields | {"by": by, "identifier_column": column, "identifier": pattern}


def _show_step(visit: Visit, step: Step, fields: dict[str, str], problems: dict[str, Problem]) -> Response:
    return visit.page(
        "import_draft.html", status=400 if problems else 200, step=step, draft=step.draft, table=step.table,
        template=step.template, fields=fields, problems=problems, preview=step.rows[:SHOWN_ROWS],
    )  # fmt: skip


@router.post("/drafts/{draft_id}", dependencies=[needs("write")])
async def try_draft(post: Posting, draft_id: str) -> Response:
    """Queue a dry run: a job like any other, which writes nothing."""
    form = post.form
    row = int(form["header_row"]) if form["header_row"].isdecimal() and len(form["header_row"]) < 8 else None
    step = await _open_step(post, draft_id, form["sheet"], row, form["template"])
    problems = dict(step.problems)
    if step.table is None or step.template is None:
        return _show_step(post, step, form.to_dict(), problems or {"template": _say_missing(post)})
    try:
        options = _read_options(form, step.table)
        async with post.write() as conn:
            rule = await get_rule_for_writing(conn, post, step.draft.prefix)
            template = await get_template_for_writing(conn, post, step.draft.prefix, step.template.version)
            job_id = await create_import(
                conn, post.state.config.jobs_dir, step.draft.path, (rule, template), step.draft.file_name,
                post.order().act, options,
            )  # fmt: skip
    except ServiceError as error:
        return _show_step(post, step, form.to_dict(), post.explain(error, {"map": "mapping", "file": "mapping"}))
    post.state.job_added.set()
    return post.redirect(f"/imports/{job_id}", draft=str(step.draft.draft_id))


def _say_missing(visit: Visit) -> Problem:
    return visit.describe(InvalidInput("field_missing", field="template"))


def _read_options(form: Form, table: Table) -> ImportOptions:
    mapping: dict[str, str] = {}
    names: dict[str, str] = {}
    for n, column in enumerate(table.columns):
        if column:  # of columns that are called alike none is left out silently: what is chosen for any is refused
            first = names.setdefault(match_key(column), column)
            mapping[first] = mapping.get(first) or form[f"m.{n}"]
    by_column = form["by"] != "pattern"
    return ImportOptions(
        identifier_column=form["identifier_column"] if by_column else None,
        identifier=None if by_column else form["identifier"],
        mapping=mapping,
        sheet=table.sheet,
        header_row=table.header_row or None,
        update=form["update"] == "yes",
        dry_run=True,
    )


@router.get("/{job_id}")
async def show_import(visit: Visiting, job_id: str, draft: Text = "") -> Response:
    """Progress while it runs; then counts, and examples of each outcome."""
    async with visit.connect() as conn:
        job = await get_own_job(conn, visit, job_id)
        template = await Templates(conn).find(job.template_id)
        examples = {} if job.is_open else await _find_examples(conn, job)
    counts = {str(outcome): job.counts.get(str(outcome), 0) for outcome in Outcome}
    news: dict[str, Any] = {} if job.is_open else {"done": ""}  # "has started" is old news by then
    return visit.page(
        "job.html", job=job, template=template, prefix=template.prefix if template else "", counts=counts,
        names={item.type: item.get_name(visit.language) for item in template.items} if template else {},
        examples={name: [_describe_example(visit, one) for one in rows] for name, rows in examples.items()},
        is_dry=bool(job.options.get("dry_run")), draft=draft, error=_describe_error(visit, job),
        refresh_seconds=REFRESH_SECONDS if job.is_open else 0,
        **news,
    )  # fmt: skip


def _describe_error(visit: Visit, job: Job) -> Problem | None:
    if job.error is None:
        return None
    return visit.describe(InvalidInput(job.error["code"], field=job.error["field"], **job.error["details"]))


async def _find_examples(conn: Connection, job: Job) -> dict[str, list[RowOutcome]]:
    """Up to three rows of each outcome that occurs, what went wrong first."""
    missing = {name: min(EXAMPLES, count) for name, count in job.counts.items() if count}
    found: dict[str, list[RowOutcome]] = {name: [] for name in reversed([str(o) for o in Outcome]) if name in missing}
    for chunk in range(SEARCHED_CHUNKS):
        outcomes = await fetch_outcomes(conn, job.job_id, chunk)
        if outcomes is None or all(len(found[name]) >= count for name, count in missing.items()):
            break
        for one in outcomes:
            if len(found[one.outcome]) < missing[one.outcome]:
                found[one.outcome].append(one)
    return found


def _describe_example(visit: Visit, one: RowOutcome) -> dict[str, Any]:
    problems = tuple(RowProblem(code, column, details) for code, column, details in one.problems)
    reason = format_refusal(Refusal(one.row, problems), visit.language) if problems else ""
    return {"row": one.row, "suffix": one.suffix, "reason": reason}


@router.post("/{job_id}/start", dependencies=[needs("write")])
async def start(post: Posting, job_id: str) -> Response:
    """Do what was tried, with the same file and the same choices."""
    async with post.write() as conn:
        job = await get_own_job(conn, post, job_id)
        if job.state != "done" or not job.options.get("dry_run"):
            raise Conflict("job_not_ended", field="job_id", job=str(job.job_id), rows=job.rows_done)
        found = await Templates(conn).find(job.template_id)
        if found is None:
            raise Conflict("template_withdrawn", field="template", version="—")
        rule = await get_rule_for_writing(conn, post, found.prefix)
        template = await get_template_for_writing(conn, post, found.prefix, found.version)
        options = replace(ImportOptions(**job.options), dry_run=False)
        config = post.state.config
        started = await create_import(
            conn, config.jobs_dir, find_upload(config.jobs_dir, job.job_id), (rule, template), job.file_name,
            post.order().act, options,
        )  # fmt: skip
    post.state.job_added.set()
    return post.redirect(f"/imports/{started}", "import_started")


@router.post("/{job_id}/cancel", dependencies=[needs("write")])
async def cancel(post: Posting, job_id: str) -> Response:
    """Rows that were registered stay registered."""
    async with post.write() as conn:
        job = await get_own_job(conn, post, job_id)
        cancelled = await cancel_job(conn, job.job_id, post.state.now())
    return post.redirect(f"/imports/{job_id}", "import_cancelled" if cancelled else "")  # it ended: its page says so


@router.get("/{job_id}/receipt")
async def download_receipt(visit: Visiting, job_id: str) -> Response:
    """The same file as the API gives: cells a spreadsheet would compute are defused."""
    return await get_receipt(visit, job_id)
