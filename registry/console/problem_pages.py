"""Problem reports: the public form a scanned page leads to; the list and its handling for firms and the node."""

from typing import Annotated

from fastapi import Query, Response

from registry.console.sections import Entry, Section, is_registrar
from registry.console.visits import Anybody, AnybodyPosting, Post, Posting, Problem, Visit, Visiting, collect
from registry.late_routes import LateRouter
from registry.principals import Principal
from registry.problem_reports import (
    KINDS,
    MAX_CONTACT_CHARACTERS,
    MAX_DESCRIPTION_CHARACTERS,
    STATES,
    NewReport,
    check_text,
    count_waiting,
    decide,
    file_report,
    get_report,
    get_reportable,
    list_decisions,
    list_reports,
    reveal_contact,
)
from registry.records import Located, is_storable
from registry.store.prefixes import find_prefix
from registry.store.problem_reports import ReportFilter
from schemas.errors import Forbidden, InvalidInput, NotFound, ServiceError
from schemas.records import RecordState
from schemas.texts.problem_reports import PROPOSED_NOTICES

router = LateRouter()


def _may(principal: Principal) -> bool:
    """Firms and the node's people; nobody for an area."""
    return principal.kind == "enterprise" or principal.sees_all


SECTION = Section(router, (Entry("/problems", "problem_reports", "group_work", _may),))
Text = Annotated[str, Query(max_length=4_096)]
PAGE_ROWS = 50


@router.get("/report")
async def show_form(visit: Anybody, identifier: Text = "") -> Response:
    """Where a scanned page leads; needs no account."""
    if not identifier.strip():
        return visit.page("report_unknown.html", problem=None)
    return await _show_form(visit, identifier.strip(), {}, {})


async def _show_form(
    visit: Visit, identifier: str, fields: dict[str, str], problems: dict[str, Problem], status: int = 200
) -> Response:
    """What was asked about, with its owner's name, as the scanned page shows it."""
    try:
        if not is_storable(identifier):
            raise NotFound("problem_identifier_unknown", field="identifier", identifier="?")
        async with visit.connect() as conn:
            located = await get_reportable(conn, identifier)
            owner = await find_prefix(conn, located.rule.prefix)
    except NotFound as error:
        return visit.page("report_unknown.html", status=404, problem=visit.describe(error))
    return visit.page(
        "report.html", status=status, identifier=located.identifier, kinds=KINDS, fields=fields, problems=problems,
        enterprise=owner.enterprise_name if owner else "",
    )  # fmt: skip


@router.post("/report")
async def file(post: AnybodyPosting) -> Response:
    form = post.form
    wanted = NewReport(form["identifier"], form["kind"], form["description"], form["contact"])
    problems: dict[str, Problem] = {}
    with collect(problems, post):
        if wanted.kind not in KINDS:
            raise InvalidInput("choice_missing", field="kind")
    with collect(problems, post):
        check_text(wanted.description, "description", MAX_DESCRIPTION_CHARACTERS)
    with collect(problems, post):
        check_text(wanted.contact, "contact", MAX_CONTACT_CHARACTERS)
    if problems:
        return await _show_form(post, wanted.identifier, form.to_dict(), problems, 400)
    try:
        async with post.write() as conn:
            number = await file_report(conn, post.state.config.rules.key_ring, post.find_origin(), wanted)
    except ServiceError as error:
        status = 429 if error.code in ("problem_slow_down", "problem_known") else 400
        return await _show_form(post, wanted.identifier, form.to_dict(), post.explain(error), status)
    return post.page("reported.html", number=number, identifier=wanted.identifier)


# For firms and the node ---------------------------------------------------------------------------------------------


@router.get("/problems")
async def list_all(visit: Visiting, state: Text = "", kind: Text = "", after: int | None = None) -> Response:
    """Newest first."""
    principal = _check_may(visit)
    wanted = ReportFilter(state=state, kind=kind)
    before = after if after is not None and 0 < after < 2**63 else None
    async with visit.connect() as conn:
        rows, following = await list_reports(conn, principal, wanted, before, PAGE_ROWS)
        waiting = await count_waiting(conn, principal)
    asked = {name: text for name, text in (("state", state), ("kind", kind)) if text}
    return visit.page(
        "problems.html", rows=rows, waiting=waiting, asked={"state": state, "kind": kind}, following=following,
        kept=asked, kinds=KINDS, states=STATES,
    )  # fmt: skip


def _check_may(visit: Visit) -> Principal:
    """Raises Forbidden."""
    principal = visit.get_principal()
    if not _may(principal):
        raise Forbidden("role_missing", role="operator")
    return principal


@router.get("/problems/{report_id}")
async def show_one(visit: Visiting, report_id: int) -> Response:
    return await _show_one(visit, report_id, {}, {})


async def _show_one(
    visit: Visit, report_id: int, fields: dict[str, str], problems: dict[str, Problem], contact: str | None = None
) -> Response:
    """`contact`: what was just revealed; empty: nothing was left."""
    principal = _check_may(visit)
    async with visit.connect() as conn:
        row = await get_report(conn, principal, report_id)
        decisions = await list_decisions(conn, row)
        try:
            located = await get_reportable(conn, row.identifier)
        except NotFound:
            located = None
    return visit.page(
        "problem.html", status=400 if problems else 200, row=row, decisions=decisions, fields=fields,
        problems=problems, contact=contact, record_state=_name_state(located),
        may_decide=is_registrar(principal) and "write" in principal.scopes,
    )  # fmt: skip


def _name_state(located: Located | None) -> str:
    return RecordState(located.stored.state).name.lower() if located else ""


@router.post("/problems/{report_id}")
async def act(post: Posting, report_id: int) -> Response:
    """Take in hand, close, open again."""
    _check_may(post)
    state = post.form["state"]
    try:
        async with post.write() as conn:
            await decide(conn, post.order(post.form["note"]), report_id, state)
    except ServiceError as error:
        return await _refuse(post, report_id, error)
    return post.redirect(f"/problems/{report_id}", f"problem_{state}")


@router.post("/problems/{report_id}/contact")
async def show_contact(post: Posting, report_id: int) -> Response:
    """Once, for a reason."""
    _check_may(post)
    try:
        async with post.write() as conn:
            order = post.order(post.form.get_reason())
            contact = await reveal_contact(conn, post.state.config.rules.key_ring, order, report_id)
    except ServiceError as error:
        return await _refuse(post, report_id, error)
    return await _show_one(post, report_id, {}, {}, contact)


async def _refuse(post: Post, report_id: int, error: ServiceError) -> Response:
    """Beside the field; what is no fault of the form becomes a page of its own."""
    if isinstance(error, (NotFound, Forbidden)):
        raise error
    return await _show_one(post, report_id, post.form.to_dict(), post.explain(error))


@router.get("/problems/{report_id}/freeze")
async def show_freeze(visit: Visiting, report_id: int) -> Response:
    """The confirmation every freezing has, with a notice proposed by what was reported."""
    principal = _check_may(visit)
    principal.check_scope("write")
    async with visit.connect() as conn:
        row = await get_report(conn, principal, report_id)
        located = await get_reportable(conn, row.identifier)
    fields = {"notice": PROPOSED_NOTICES[row.kind], "reason": visit.say("problem_freeze_reason", n=row.report_id)}
    return visit.page("identifier_act.html", identifier=located.identifier, action="freeze", fields=fields)
