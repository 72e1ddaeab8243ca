"""Up to 10,000 identifiers in one call: one transaction, an answer for every item."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import APIRouter, Query, Response

from registry.api.calls import Answer, Writing
from registry.api.targets import get_rule_for_writing, get_template_for_writing
from registry.issuing import Draft, Outcome, Result, draft_record, issue
from schemas.bodies import Batch, BatchBody, BatchItem
from schemas.errors import InvalidInput, ServiceError
from schemas.identifiers import shorten
from schemas.templates import Template
from schemas.texts import format_message, format_remedy

router = APIRouter(tags=["identifiers"])


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
        outcomes = [next(results) if isinstance(draft, Draft) else _refuse(draft) for draft in drafts]
        return Answer(_describe_batch(body, outcomes, call.language))

    return await call.write(effect)


def _draft(template: Template, prefix: str, item: BatchItem) -> Draft | ServiceError:
    try:
        return draft_record(template, _read_suffix(prefix, item), {t: text or "" for t, text in item.values.items()})
    except ServiceError as error:
        return error


def _read_suffix(prefix: str, item: BatchItem) -> str:
    if (item.identifier is None) == (item.suffix is None):
        raise InvalidInput("identifier_or_suffix", field="identifier")
    if item.suffix is not None:
        return item.suffix
    own, _, suffix = (item.identifier or "").partition("/")
    if own != prefix:
        raise InvalidInput("identifier_other_prefix", field="identifier", prefix=shorten(prefix))
    return suffix


def _refuse(error: ServiceError) -> Result:
    return Result(Outcome.REFUSED, error.code, {**error.details, "field": error.field or ""})


def _describe_batch(body: Batch, outcomes: Sequence[Result], language: str) -> dict[str, Any]:
    counts = dict.fromkeys(map(str, Outcome), 0)
    for result in outcomes:
        counts[str(result.outcome)] += 1
    items = zip(body.items, outcomes, strict=True)
    results = [_describe(n, body.prefix, item, result, language) for n, (item, result) in enumerate(items)]
    return {"rows": len(outcomes), **counts, "results": results}


def _describe(index: int, prefix: str, item: BatchItem, result: Result, language: str) -> dict[str, Any]:
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
