"""Problem reports: what people who scanned a code say is wrong with it. They are filed on a page of the console."""

from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.calls import Answer, Changing, Reading, Writing, check_limit
from registry.api.etags import check_etag, make_etag
from registry.api.paging import MAX_PAGE, Limit
from registry.api.targets import check_texts
from registry.late_routes import LateRouter
from registry.problem_reports import count_waiting, decide, get_report, list_decisions, list_reports, reveal_contact
from registry.store.problem_reports import ReportDecision as Decision
from registry.store.problem_reports import ReportFilter, ReportRow
from schemas.problem_report_bodies import (
    ContactBody,
    ContactQuestion,
    ReportBody,
    ReportDecision,
    ReportDetailBody,
    ReportKind,
    ReportPage,
    ReportState,
)

router = LateRouter(prefix="/api/v1/problem-reports", tags=["problem reports"])


def format_report(row: ReportRow) -> dict[str, Any]:
    """Without the contact, which is personal."""
    return {
        "report_id": row.report_id,
        "identifier": row.identifier,
        "prefix": row.prefix,
        "enterprise_id": row.enterprise_id,
        "enterprise": row.enterprise_name,
        "kind": row.kind,
        "description": row.description,
        "has_contact": row.has_contact,
        "state": row.state,
        "created": row.created,
        "changed": row.changed,
    }


def _show(row: ReportRow) -> Answer:
    view = format_report(row)
    return Answer(view, 200, {"ETag": make_etag(view)})


def _format_decision(decision: Decision) -> dict[str, Any]:
    return {"at": decision.at, "actor": decision.actor, "state": decision.state, "note": decision.note}


@router.get("", response_model=ReportPage, summary="List problem reports")
async def get_reports(
    call: Reading,
    state: ReportState | None = None,
    kind: ReportKind | None = None,
    after: Annotated[int | None, Query(description="`next` of the page before.", ge=1, lt=2**63)] = None,
    limit: Limit = 100,
) -> Response:
    """About codes of one's own prefixes, for operator and reviewers about all; newest first."""
    principal = call.get_principal()
    check_limit(limit, MAX_PAGE)
    wanted = ReportFilter(state=state or "", kind=kind or "")
    async with call.connect() as conn:
        rows, following = await list_reports(conn, principal, wanted, after, limit)
        waiting = await count_waiting(conn, principal)
    return call.reply({"reports": [format_report(row) for row in rows], "waiting": waiting, "next": following})


@router.get("/{report_id}", response_model=ReportDetailBody, summary="One problem report")
async def get_one(call: Reading, report_id: int) -> Response:
    """With what was decided on it."""
    async with call.connect() as conn:
        row = await get_report(conn, call.get_principal(), report_id)
        decisions = [_format_decision(one) for one in await list_decisions(conn, row)]
    shown = _show(row)
    return call.reply(shown.content | {"decisions": decisions}, shown.headers)


@router.post("/{report_id}/decision", response_model=ReportBody, summary="Decide on a problem report")
async def post_decision(call: Changing, report_id: int, body: ReportDecision) -> Response:
    """Take it in hand, close it, or open it again. Nothing happens to the identifier: freezing is a call of its own."""
    check_texts(note=body.note)

    async def effect(conn: Connection) -> Answer:
        if call.if_match is not None:
            row = await get_report(conn, call.get_principal(), report_id, for_update=True)
            check_etag(call.if_match, format_report(row))
        return _show(await decide(conn, call.order(body.note), report_id, body.state))

    return await call.write(effect)


@router.post("/{report_id}/contact", response_model=ContactBody, summary="See how to reach who reported")
async def post_contact(call: Writing, report_id: int, body: ContactQuestion) -> Response:
    """Personal data: the reason goes into the audit trail."""
    check_texts(reason=body.reason)

    async def effect(conn: Connection) -> Answer:
        ring = call.state.config.rules.key_ring
        contact = await reveal_contact(conn, ring, call.order(body.reason), report_id)
        return Answer({"contact": "" if call.dry_run else contact})  # a look that is not recorded shows nothing

    return await call.write(effect)
