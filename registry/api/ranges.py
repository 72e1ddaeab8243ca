"""Ranges: millions of serials in one call and one row."""

from typing import Annotated, Any

from asyncpg import Connection
from fastapi import APIRouter, Query, Response

from registry.api.calls import Answer, Reading, Writing
from registry.api.targets import check_known_prefix, get_rule, get_rule_for_writing, get_template_for_writing
from registry.api.views import Templates
from registry.ranges import Range, RangeRequest, create_range
from registry.ranges import list_ranges as list_stored_ranges
from schemas.bodies import NewRange, RangeBody, RangePage
from schemas.identifiers import format_scan_url

router = APIRouter(tags=["ranges"])


@router.post("/ranges", status_code=201, response_model=RangeBody, summary="Register a range of serials")
async def add_range(call: Writing, body: NewRange) -> Response:
    """All of them or none: a range that overlaps another, or holds an issued identifier, is refused."""

    async def effect(conn: Connection) -> Answer:
        rule = await get_rule_for_writing(conn, call, body.prefix)
        template = await get_template_for_writing(conn, call, body.prefix, body.template)
        texts = {item_type: text or "" for item_type, text in body.values.items()}
        act = call.order().act
        made = await create_range(conn, rule, template, RangeRequest(body.first, body.last, texts, body.checked), act)
        view = _format(made, rule.prefix, template.version, call.state.config.public_url)
        return Answer(view | {"created": act.at}, 201)

    return await call.write(effect)


@router.get("/ranges", response_model=RangePage, summary="Ranges of a prefix")
async def list_ranges(call: Reading, prefix: Annotated[str, Query(examples=["88.101.5"])]) -> Response:
    """In order of head and first serial."""
    check_known_prefix(call, prefix)
    async with call.connect() as conn:
        rule = await get_rule(conn, call, prefix)
        templates, shown = Templates(conn), []
        for a_range, row in await list_stored_ranges(conn, rule):
            template = await templates.find(row["template_id"])
            version = template.version if template else None
            view = _format(a_range, prefix, version, call.state.config.public_url)
            shown.append(view | {"created": row["created"]})
    return call.reply({"ranges": shown})


def _format(a_range: Range, prefix: str, template: str | None, public_url: str) -> dict[str, Any]:
    first = a_range.format_first()
    return {
        "prefix": prefix,
        "template": template,
        "first": first,
        "last": a_range.format_last(),
        "checked": a_range.checked,
        "members": a_range.members,
        "scan_url": format_scan_url(public_url, f"{prefix}/{first}"),
    }
