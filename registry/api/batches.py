"""Up to 10,000 identifiers in one call: one transaction, an answer for every item."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.calls import Answer, Writing
from registry.api.targets import check_texts, get_rule_for_state, get_rule_for_writing, get_template_for_writing
from registry.bulk import Wanted, refuse
from registry.issuing import Draft, Outcome, Result, draft_record, issue
from registry.late_routes import LateRouter
from registry.streams import Errand, carry_out, read_change, read_suffix
from schemas.bodies import Batch, BatchBody, BatchItem
from schemas.errors import ServiceError
from schemas.native_bodies import Action, WriteBatch, WriteItem
from schemas.templates import Template
from schemas.texts import format_message, format_remedy

router = LateRouter(prefix="/api/v1", tags=["identifiers"])


@router.post("/identifiers/batch", response_model=BatchBody, summary="Register up to 10,000 identifiers")
async def create_batch(
    call: Writing,
    body: Batch,
    update: Annotated[bool, Query(description="Overwrite identifiers that exist with other values.")] = False,
) -> Response:
    """Every item is answered by itself: a wrong one keeps none of the others from being registered."""
    async with call.connect() as conn:  # what takes time is done before the transaction begins
        await get_rule_for_writing(conn, call, body.prefix)
        template = await get_template_for_writing(conn, call, body.prefix, body.template)
    drafts = await asyncio.to_thread(lambda: [_draft(template, body.prefix, item) for item in body.items])

    async def effect(conn: Connection) -> Answer:
        rule = await get_rule_for_writing(conn, call, body.prefix)
        good = [draft for draft in drafts if isinstance(draft, Draft)]
        results = iter(await issue(conn, rule, good, call.order().act, update=update))
        outcomes = [next(results) if isinstance(draft, Draft) else refuse(draft) for draft in drafts]
        return Answer(_describe_batch(body.prefix, body.items, outcomes, call.language))

    return await call.write(effect)


@router.post(
    "/identifiers/batch/{action}", response_model=BatchBody, summary="Change up to 10,000 identifiers in one call"
)
async def change_batch(call: Writing, action: Action, body: WriteBatch) -> Response:
    """Every item is answered by itself. What is so already is `unchanged`, so the same call twice does no harm."""
    check_texts(reason=body.reason)
    is_state = action != "update"

    async def effect(conn: Connection) -> Answer:
        rule = await (get_rule_for_state if is_state else get_rule_for_writing)(conn, call, body.prefix)
        template = None
        if body.template is not None and not is_state:
            template = await get_template_for_writing(conn, call, body.prefix, body.template)
        wanted = Wanted(action, template, not body.replace)
        errand = Errand(action, wanted, successor=body.successor, notice=body.notice or "")
        work = [read_change(body.prefix, errand, item) for item in body.items]
        results = await carry_out(conn, rule, errand, work, call.order(body.reason).act)
        return Answer(_describe_batch(body.prefix, body.items, results, call.language))

    return await call.write(effect)


def _draft(template: Template, prefix: str, item: BatchItem) -> Draft | ServiceError:
    try:
        suffix = read_suffix(prefix, item.identifier, item.suffix)
        return draft_record(template, suffix, {t: text or "" for t, text in item.values.items()})
    except ServiceError as error:
        return error


def _describe_batch(
    prefix: str, items: Sequence[BatchItem | WriteItem], outcomes: Sequence[Result], language: str
) -> dict[str, Any]:
    counts = dict.fromkeys(map(str, Outcome), 0)
    for result in outcomes:
        counts[str(result.outcome)] += 1
    pairs = zip(items, outcomes, strict=True)
    results = [_describe(n, prefix, item, result, language) for n, (item, result) in enumerate(pairs)]
    return {"rows": len(outcomes), **counts, "results": results}


def _describe(index: int, prefix: str, item: BatchItem | WriteItem, result: Result, language: str) -> dict[str, Any]:
    identifier = item.identifier if item.identifier is not None else f"{prefix}/{item.suffix or ''}"
    answer: dict[str, Any] = {"index": index, "outcome": str(result.outcome), "identifier": identifier}
    if result.code:
        details = {"field": "", **result.details}
        answer |= {
            "code": result.code,
            "field": details["field"] or None,
            "detail": format_message(result.code, language, **details),
            "remedy": format_remedy(result.code, language, **details),
        }
    return answer
