"""Ranges: millions of serials in one call and one row. The first serial names a range."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Depends, Query, Response

from registry.api.calls import (
    Answer,
    IfMatch,
    Reading,
    Writing,
    WritingCall,
    check_limit,
    decode_once,
    format_etag,
    parse_revision,
)
from registry.api.targets import (
    check_known_prefix,
    get_rule,
    get_rule_for_state,
    get_rule_for_writing,
    get_template_for_writing,
    get_viewer,
)
from registry.api.views import Templates
from registry.late_routes import LateRouter
from registry.range_changes import (
    LocatedRange,
    change_range,
    check_range_revision,
    freeze_range,
    get_range,
    list_range_revisions,
    restore_range,
    retire_range,
    unfreeze_range,
)
from registry.range_views import format_cursor, format_range, format_range_revision, format_range_state, parse_cursor
from registry.ranges import RangeRequest, create_range
from registry.ranges import list_ranges as list_stored_ranges
from registry.records import is_storable
from registry.store.changes import Act
from schemas.bodies import ChangedValues, Freezing, NewRange, RangeBody, RangePage, Reason, Retirement
from schemas.errors import InvalidInput, NotFound
from schemas.identifiers import Identifier, parse_any_identifier, shorten
from schemas.native_bodies import RangeHistoryBody, RangeStateBody

MAX_PAGE = 1_000

router = LateRouter(prefix="/api/v1", tags=["ranges"])


@router.post("/ranges", status_code=201, response_model=RangeBody, summary="Register a range of serials")
async def add_range(call: Writing, body: NewRange) -> Response:
    """All of them or none: a range that overlaps another, or holds an issued identifier, is refused."""

    async def effect(conn: Connection) -> Answer:
        rule = await get_rule_for_writing(conn, call, body.prefix)
        template = await get_template_for_writing(conn, call, body.prefix, body.template)
        texts = {item_type: text or "" for item_type, text in body.values.items()}
        act = call.order().act
        made = await create_range(conn, rule, template, RangeRequest(body.first, body.last, texts, body.checked), act)
        view = format_range(made, rule.prefix, template.version, call.state.config.public_url)
        return Answer(view | {"created": act.at}, 201)

    return await call.write(effect)


@router.get("/ranges", response_model=RangePage, summary="Ranges of a prefix")
async def list_ranges(
    call: Reading,
    prefix: Annotated[str, Query(examples=["88.101.5"])],
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
    limit: Annotated[int, Query(description="1 to 1,000.")] = MAX_PAGE,
) -> Response:
    """In order of head and first serial."""
    check_known_prefix(call, prefix)
    check_limit(limit, MAX_PAGE)
    cursor = parse_cursor(after) if after else None
    async with call.connect() as conn:
        rule = await get_rule(conn, call, prefix)
        templates, shown = Templates(conn), []
        found = await list_stored_ranges(conn, rule, cursor, limit + 1)
        for a_range, row in found[:limit]:
            template = await templates.find(row["template_id"])
            version = template.version if template else None
            view = format_range(a_range, prefix, version, call.state.config.public_url)
            shown.append(view | {"created": row["created"]})
    following = format_cursor(found[limit - 1][1]) if len(found) > limit else None
    return call.reply({"ranges": shown, "next": following})


async def read_first(first: str) -> Identifier:
    """From the path, percent-encoded once; raises NotFound for what nothing can be called."""
    named = parse_any_identifier(decode_once(first))
    if not (is_storable(named.prefix) and is_storable(named.suffix)):
        raise NotFound("range_not_found", field="first", first=shorten(str(named)))
    return named


First = Annotated[Identifier, Depends(read_first)]
Work = Callable[[Connection, LocatedRange, Act], Awaitable[object]]


async def _change(call: WritingCall, first: Identifier, if_match: str | None, reason: str, work: Work) -> Response:
    """Like identifiers, ranges can be frozen and retired by the operator while their prefix is stopped."""

    async def effect(conn: Connection) -> Answer:
        rule = await get_rule_for_state(conn, call, first.prefix)
        located = await get_range(conn, rule, first.suffix, for_update=True)
        check_range_revision(located, parse_revision(if_match))
        await work(conn, located, call.order(reason).act)
        located = await get_range(conn, rule, first.suffix)
        view = await _show(conn, call, located)
        return Answer(view, 200, {"ETag": format_etag(located.revision)})

    return await call.write(effect)


async def _show(conn: Connection, call: WritingCall | Reading, located: LocatedRange) -> dict[str, Any]:
    template = await Templates(conn).find(located.row["template_id"])
    viewer = get_viewer(call, located.rule.prefix)
    return format_range_state(located, template, call.state.config.public_url, viewer)


@router.get("/ranges/{first:identifier}/history", response_model=RangeHistoryBody, summary="Every revision of a range")
async def get_range_history(call: Reading, first: First) -> Response:
    """Newest first, with how many members each change was about."""
    async with call.connect() as conn:
        rule = await get_rule(conn, call, first.prefix)
        located = await get_range(conn, rule, first.suffix)
        templates = Templates(conn)
        revisions = [
            format_range_revision(located, revision, await templates.find(revision.template_id))
            for revision in await list_range_revisions(conn, located)
        ]
    return call.reply({"first": located.first, "revisions": revisions})


@router.get("/ranges/{first:path}", response_model=RangeStateBody, summary="One range")
async def get_one_range(call: Reading, first: First) -> Response:
    """By its first serial, as everything about one range."""
    async with call.connect() as conn:
        rule = await get_rule(conn, call, first.prefix)
        located = await get_range(conn, rule, first.suffix)
        return call.reply(await _show(conn, call, located), {"ETag": format_etag(located.revision)})


@router.patch("/ranges/{first:path}", response_model=RangeStateBody, summary="Change the values of a whole range")
async def patch_range(call: Writing, first: First, body: ChangedValues, if_match: IfMatch = None) -> Response:
    """Values that are not named stay; null or an empty text removes one. Members with records of their own stay."""

    async def work(conn: Connection, located: LocatedRange, act: Act) -> None:
        await get_rule_for_writing(conn, call, first.prefix)
        template = await Templates(conn).find(located.row["template_id"])
        if body.template is not None:
            template = await get_template_for_writing(conn, call, first.prefix, body.template)
        if template is None:
            raise InvalidInput("record_without_items", field="template", identifier=located.first)
        texts = {item_type: text or "" for item_type, text in body.values.items()}
        await change_range(conn, located, template, texts, act)

    return await _change(call, first, if_match, body.reason, work)


@router.post("/ranges/{first:identifier}/retire", response_model=RangeStateBody, summary="Retire a whole range")
async def post_range_retirement(call: Writing, first: First, body: Retirement, if_match: IfMatch = None) -> Response:
    """All members answer 410 from now on, with one successor if there is one, and none is ever issued again."""
    successor = parse_any_identifier(body.successor) if body.successor is not None else None
    return await _change(
        call, first, if_match, body.reason, lambda conn, located, act: retire_range(conn, located, act, successor)
    )


@router.post("/ranges/{first:identifier}/restore", response_model=RangeStateBody, summary="Restore a retired range")
async def post_range_restoration(call: Writing, first: First, body: Reason, if_match: IfMatch = None) -> Response:
    """Its members are as they were: live, or frozen with the notice."""
    return await _change(call, first, if_match, body.reason, restore_range)


@router.post(
    "/ranges/{first:identifier}/freeze", response_model=RangeStateBody, summary="Freeze a whole range with a notice"
)
async def post_range_freeze(call: Writing, first: First, body: Freezing, if_match: IfMatch = None) -> Response:
    """All members answer with the notice beside their values; the range cannot be changed meanwhile."""
    return await _change(
        call, first, if_match, body.reason, lambda conn, located, act: freeze_range(conn, located, body.notice, act)
    )


@router.post("/ranges/{first:identifier}/unfreeze", response_model=RangeStateBody, summary="Unfreeze a range")
async def post_range_thaw(call: Writing, first: First, body: Reason, if_match: IfMatch = None) -> Response:
    """The notice goes. What the operator froze, he alone unfreezes."""
    return await _change(call, first, if_match, body.reason, unfreeze_range)
