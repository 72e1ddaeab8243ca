"""Routes of single identifiers. A path holds the identifier percent-encoded once; `?identifier=` takes any text."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from asyncpg import Connection
from fastapi import Depends, Query, Request, Response
from starlette.convertors import Convertor, register_url_convertor

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
from registry.api.targets import check_known_prefix, get_rule_for_state, get_rule_for_writing, get_template_for_writing
from registry.api.views import Templates, format_history, format_located
from registry.late_routes import LateRouter
from registry.records import (
    Located,
    change,
    check_revision,
    freeze,
    get_stored,
    list_revisions,
    register,
    restore,
    retire,
    unfreeze,
)
from registry.templates import find_template_by_id
from schemas.bodies import (
    Body,
    ChangedValues,
    Freezing,
    HistoryBody,
    IdentifierBody,
    NewIdentifier,
    Reason,
    Retirement,
)
from schemas.errors import InvalidInput
from schemas.identifiers import Identifier, parse_any_identifier, parse_new_identifier, shorten


class IdentifierConvertor(Convertor[str]):
    """A part of an undecoded path that holds a slash of its own, encoded or not: what follows it may be an action."""

    regex = "[^/]*?(?:/|%2[Ff]).+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("identifier", IdentifierConvertor())

router = LateRouter(prefix="/api/v1", tags=["identifiers"])


async def read_identifier(request: Request, identifier: str) -> Identifier:
    """From the path if it is there, else from the query."""
    in_path = "identifier" in request.path_params
    return parse_any_identifier(decode_once(identifier) if in_path else identifier)


Named = Annotated[Identifier, Depends(read_identifier)]


def _drop_nulls(values: dict[str, str | None]) -> dict[str, str]:
    return {item_type: text or "" for item_type, text in values.items()}


@router.post(
    "/identifiers", status_code=201, response_model=IdentifierBody, summary="Register one identifier",
)  # fmt: skip
async def create_identifier(call: Writing, body: NewIdentifier) -> Response:
    wanted = _read_new(body)

    async def effect(conn: Connection) -> Answer:
        rule = await get_rule_for_writing(conn, call, wanted.prefix)
        template = await get_template_for_writing(conn, call, wanted.prefix, body.template)
        act = call.order().act
        located = await register(conn, rule, template, wanted.suffix, _drop_nulls(body.values), act)
        answer = await _answer(conn, call, located)
        place = f"/api/v1/identifiers/{quote(located.identifier, safe='')}"
        return Answer(answer.content, 201, {**answer.headers, "Location": place})

    return await call.write(effect)


def _read_new(body: NewIdentifier) -> Identifier:
    if body.identifier is not None and body.suffix is None:
        wanted = parse_new_identifier(body.identifier)
        if body.prefix not in (None, wanted.prefix):
            raise InvalidInput("identifier_other_prefix", field="identifier", prefix=shorten(body.prefix or ""))
        return wanted
    if body.identifier is None and body.prefix is not None and body.suffix is not None:
        return parse_new_identifier(f"{body.prefix}/{body.suffix}")
    raise InvalidInput("identifier_or_suffix", field="identifier")


async def _answer(conn: Connection, call: WritingCall, located: Located) -> Answer:
    view = await format_located(call, Templates(conn), located)
    return Answer(view, 200, {"ETag": format_etag(located.stored.revision)})


async def _get_for_change(conn: Connection, call: WritingCall, named: Identifier, if_match: str | None) -> Located:
    """The locked record; what the caller may not write under is not found."""
    await get_rule_for_writing(conn, call, named.prefix)
    located = await get_stored(conn, named, for_update=True)
    check_revision(located, parse_revision(if_match))
    return located


async def _get_for_state(conn: Connection, call: WritingCall, named: Identifier, if_match: str | None) -> Located:
    """As `_get_for_change`, also under a prefix that is stopped if the operator asks: a recall cannot wait."""
    await get_rule_for_state(conn, call, named.prefix)
    located = await get_stored(conn, named, for_update=True)
    check_revision(located, parse_revision(if_match))
    return located


async def _change(
    call: WritingCall, named: Identifier, body: ChangedValues, if_match: str | None, *, keep_others: bool
) -> Response:
    async def effect(conn: Connection) -> Answer:
        located = await _get_for_change(conn, call, named, if_match)
        if body.template is not None:
            template = await get_template_for_writing(conn, call, named.prefix, body.template)
        else:
            found = await find_template_by_id(conn, located.stored.template_id)
            if found is None:
                raise InvalidInput("record_without_items", field="template", identifier=located.identifier)
            template = found
        act = call.order(body.reason).act
        await change(conn, located, template, _drop_nulls(body.values), act, keep_others=keep_others)
        return await _answer(conn, call, await get_stored(conn, named))

    return await call.write(effect)


async def patch_identifier(call: Writing, named: Named, body: ChangedValues, if_match: IfMatch = None) -> Response:
    """Values that are not named stay; null or an empty text removes one."""
    return await _change(call, named, body, if_match, keep_others=True)


async def put_identifier(call: Writing, named: Named, body: ChangedValues, if_match: IfMatch = None) -> Response:
    """The record holds these values and no others."""
    return await _change(call, named, body, if_match, keep_others=False)


async def retire_identifier(call: Writing, named: Named, body: Retirement, if_match: IfMatch = None) -> Response:
    """It answers 410 with its successor from now on, and is never issued again."""

    async def effect(conn: Connection) -> Answer:
        located = await _get_for_state(conn, call, named, if_match)
        successor = parse_any_identifier(body.successor) if body.successor is not None else None
        await retire(conn, located, call.order(body.reason).act, successor)
        return await _answer(conn, call, await get_stored(conn, named))

    return await call.write(effect)


async def restore_identifier(call: Writing, named: Named, body: Reason, if_match: IfMatch = None) -> Response:
    """It is as it was: live, or frozen with its notice."""

    async def effect(conn: Connection) -> Answer:
        located = await _get_for_state(conn, call, named, if_match)
        await restore(conn, located, call.order(body.reason).act)
        return await _answer(conn, call, await get_stored(conn, named))

    return await call.write(effect)


async def freeze_identifier(call: Writing, named: Named, body: Freezing, if_match: IfMatch = None) -> Response:
    """It answers with the notice beside its values; nothing of it can be changed meanwhile."""

    async def effect(conn: Connection) -> Answer:
        located = await _get_for_state(conn, call, named, if_match)
        await freeze(conn, located, body.notice, call.order(body.reason).act)
        return await _answer(conn, call, await get_stored(conn, named))

    return await call.write(effect)


async def unfreeze_identifier(call: Writing, named: Named, body: Reason, if_match: IfMatch = None) -> Response:
    """The notice goes. What the operator froze, he alone unfreezes."""

    async def effect(conn: Connection) -> Answer:
        located = await _get_for_state(conn, call, named, if_match)
        await unfreeze(conn, located, call.order(body.reason).act)
        return await _answer(conn, call, await get_stored(conn, named))

    return await call.write(effect)


async def get_identifier_history(
    call: Reading,
    named: Named,
    before: Annotated[int | None, Query(description="`next` of the page before.", ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Query(description="1 to 1,000.")] = 1_000,
) -> Response:
    """All revisions, newest first, for the owner and the operator."""
    check_limit(limit, 1_000)
    check_known_prefix(call, named.prefix)
    async with call.connect() as conn:
        located = await get_stored(conn, named)
        revisions = await list_revisions(conn, located, before, limit + 1)
        view = await format_history(call, Templates(conn), located, revisions[:limit])
    return call.reply(view | {"next": revisions[limit - 1].revision if len(revisions) > limit else None})


_ROUTES: tuple[tuple[str, str, Callable[..., Any], type[Body], str], ...] = (
    ("POST", "/retire", retire_identifier, IdentifierBody, "Retire an identifier"),
    ("POST", "/restore", restore_identifier, IdentifierBody, "Restore a retired identifier"),
    ("POST", "/freeze", freeze_identifier, IdentifierBody, "Freeze an identifier with a notice"),
    ("POST", "/unfreeze", unfreeze_identifier, IdentifierBody, "Unfreeze an identifier"),
    ("GET", "/history", get_identifier_history, HistoryBody, "Every revision of an identifier"),
    ("PATCH", "", patch_identifier, IdentifierBody, "Change some values"),
    ("PUT", "", put_identifier, IdentifierBody, "Replace all values"),
)
# Each in two forms. An action follows a whole identifier: `88.101.5/retire` is an identifier of its own.
for method, action, endpoint, model, summary in _ROUTES:
    router.add_api_route(
        f"/identifiers/{{identifier:{'identifier' if action else 'path'}}}{action}", endpoint,
        methods=[method], response_model=model, summary=summary,
    )  # fmt: skip
    router.add_api_route(
        f"/identifiers{action}", endpoint, methods=[method], response_model=model, summary=f"{summary} (query form)",
        name=f"{endpoint.__name__}_by_query",
    )  # fmt: skip
