"""Reading identifiers: one, as anybody may, and lists of one's own. Every answer about one is counted (design 10)."""

import ipaddress
from datetime import datetime
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from registry.api.calls import Call, Reading, check_limit, decode_once, format_etag
from registry.api.problems import translate
from registry.api.targets import check_answering, check_known_prefix, get_rule, get_viewer
from registry.api.views import Templates, format_located
from registry.late_routes import LateRouter
from registry.record_views import format_state
from registry.records import Located, get_record_at, get_stored, is_storable, to_record
from registry.store.records import PrefixRule, fetch_page, find_prefix_rule
from schemas.bodies import IdentifierBody, IdentifierPage, Instant
from schemas.errors import InvalidInput, NotFound, Retired, ServiceError, Unauthenticated, Unavailable
from schemas.identifiers import Identifier, format_suffix_key, parse_any_identifier, shorten
from schemas.records import Record, RecordState
from schemas.resolution_log import ClientClass, Outcome, Transport
from schemas.viewing import Verdict, Viewer, answer_record

MAX_PAGE = 1_000

router = LateRouter(prefix="/api/v1", tags=["identifiers"])


At = Annotated[
    Instant | None,
    Query(description="What the identifier was then (ISO 8601; without an offset it is UTC+8).",
          examples=["2024-06-04T12:00:00+08:00"]),
]  # fmt: skip
Indexes = Annotated[list[int], Query(description="Only these indexes.", max_length=100)]
Types = Annotated[list[str], Query(description="Only these types.", max_length=100)]
Probe = Annotated[str | None, Header(alias="X-Idnode-Probe", description="Monitoring by the operator, counted apart.")]


@router.get("/identifiers", response_model=IdentifierBody | IdentifierPage, summary="List, or read by query")
async def list_identifiers(
    request: Request,
    call: Reading,
    identifier: Annotated[str | None, Query(description="Read this one instead, whatever characters it has.")] = None,
    prefix: Annotated[str | None, Query(examples=["88.101.5"])] = None,
    starts_with: Annotated[str, Query(description="Beginning of the suffix.", examples=["PUMP-"])] = "",
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
    limit: Annotated[int, Query(description="1 to 1,000.")] = 100,
    at: At = None,
    index: Indexes = [],  # noqa: B006 - FastAPI copies it
    type: Types = [],  # noqa: B006
    x_idnode_probe: Probe = None,
) -> Response:
    """Identifiers of one prefix that have records of their own, in order of suffix; ranges are listed apart."""
    if identifier is not None:
        return await _read(call, parse_any_identifier(identifier), at, index, type, is_probe=x_idnode_probe is not None)
    check_known_prefix(call, _need(prefix))
    check_limit(limit, MAX_PAGE)
    if not is_storable(starts_with) or not is_storable(after):
        raise InvalidInput("text_not_unicode", field="after")
    async with call.connect() as conn:
        return call.reply(await _fetch_list(conn, call, _need(prefix), (starts_with, after, limit)))


def _need(prefix: str | None) -> str:
    if prefix is None:
        raise RequestValidationError([{"type": "missing", "loc": ("query", "prefix"), "msg": ""}])
    return prefix


async def _fetch_list(conn: Connection, call: Call, prefix: str, page: tuple[str, str, int]) -> dict[str, Any]:
    rule = await get_rule(conn, call, prefix)
    starts_with, after, limit = page
    head, cursor = (format_suffix_key(text, rule.folds_case) for text in (starts_with, after))
    rows = await fetch_page(conn, rule.prefix_id, head, cursor, limit + 1)
    templates = Templates(conn)
    shown = [await format_located(call, templates, Located(rule, stored)) for stored in rows[:limit]]
    return {"identifiers": shown, "next": rows[limit - 1].suffix_key if len(rows) > limit else None}


@router.get("/identifiers/{identifier:path}", response_model=IdentifierBody, summary="Read one identifier")
async def get_identifier(
    call: Reading,
    identifier: str,
    at: At = None,
    index: Indexes = [],  # noqa: B006
    type: Types = [],  # noqa: B006
    x_idnode_probe: Probe = None,
) -> Response:
    """As far as the caller may see it: its owner and the operator everything, all others what is public."""
    named = parse_any_identifier(decode_once(identifier))
    return await _read(call, named, at, index, type, is_probe=x_idnode_probe is not None)


class Count:
    """What goes into the resolution log about one answer."""

    def __init__(self, call: Call, named: Identifier, is_probe: bool) -> None:
        self._call, self.named = call, named
        principal = call.principal
        self._class = ClientClass.PUBLIC
        if principal is not None and named.prefix in principal.prefixes:
            self._class = ClientClass.SELF
        elif principal is not None and principal.is_operator and is_probe:
            self._class = ClientClass.PROBE
        self.prefix_id = self.template_id = 0

    def place(self, rule: PrefixRule | None) -> None:
        """Under a prefix of this node, whatever the answer; None: the prefix is not ours."""
        if rule is None:
            return
        self.prefix_id = rule.prefix_id
        if rule.is_sandbox:
            self._class = ClientClass.SANDBOX

    def locate(self, located: Located) -> None:
        self.place(located.rule)
        self.template_id = located.stored.template_id

    def append(self, outcome: Outcome) -> None:
        text = str(self.named).encode("utf-8", "surrogateescape")
        self._call.state.segments.append(
            text, self.prefix_id, self.template_id, Transport.REGISTRY, outcome, self._class, get_address(self._call)
        )


def get_address(call: Call) -> bytes:
    """The client's address, 4 or 16 bytes; none for one that has none."""
    client = call.request.client
    try:
        return ipaddress.ip_address(client.host.partition("%")[0]).packed if client else b""
    except ValueError:
        return b""


async def _read(
    call: Call, named: Identifier, at: datetime | None, indexes: list[int], types: list[str], *, is_probe: bool
) -> Response:
    """Answer, and count the answer before it is sent, whatever it is."""
    count = Count(call, named, is_probe)
    try:
        view, outcome, revision = await _look_up(call, named, at, (indexes, types), count)
    except Exception as error:
        count.append(_judge(translate(error)))
        raise
    count.append(outcome)
    return call.reply(view, {"ETag": format_etag(revision)})


def _judge(error: ServiceError) -> Outcome:
    if isinstance(error, Retired):
        return Outcome.RETIRED
    if isinstance(error, Unauthenticated):
        return Outcome.DENIED
    if isinstance(error, NotFound):
        return Outcome.NOT_FOUND
    return Outcome.UNAVAILABLE if isinstance(error, Unavailable) else Outcome.MALFORMED


async def _look_up(
    call: Call, named: Identifier, at: datetime | None, wanted: tuple[list[int], list[str]], count: Count
) -> tuple[dict[str, Any], Outcome, int]:
    """The view, what it came to, and the revision shown."""
    if not is_storable(named.prefix):
        raise NotFound("identifier_not_found", field="identifier", identifier=shorten(str(named)))
    async with call.connect() as conn:
        try:
            located = await get_stored(conn, named)
        except NotFound:
            count.place(await find_prefix_rule(conn, named.prefix))
            raise
        count.locate(located)
        viewer, templates = get_viewer(call, located.rule.prefix), Templates(conn)
        check_answering(named, located.rule, viewer)
        present = record = to_record(located.rule.prefix_id, located.stored)
        if at is None or viewer is not Viewer.OWNER:
            _check_not_retired(located, present)
        if at is not None:
            record = await get_record_at(conn, located, at)
            _check_not_retired(located, record)
        template = await templates.find(record.template_id)
        answer = answer_record(record, template, viewer, *wanted)
        if answer.verdict is Verdict.DENIED:
            raise Unauthenticated("values_not_public", field="type", identifier=located.identifier)
        indexes, names = await _list_hidden_now(templates, present, viewer)
        shown = {v.index for v in answer.values if v.index not in indexes and v.type.lower() not in names}
        view = await format_located(call, templates, located) | format_state(record, template, viewer)
    view["values"] = [value for value in view["values"] if value["index"] in shown]
    return view, Outcome.FOUND if answer.verdict is Verdict.FOUND else Outcome.NO_VALUES, record.revision


async def _list_hidden_now(templates: Templates, present: Record, viewer: Viewer) -> tuple[set[int], set[str]]:
    """Indexes and types: what was public once and is no longer stays hidden, whatever time is asked for."""
    template = await templates.find(present.template_id)
    hidden = [item for item in template.items if item.visibility > viewer.value] if template else []
    return {item.index for item in hidden}, {item.type.lower() for item in hidden}


def _check_not_retired(located: Located, record: Record) -> None:
    if record.state is RecordState.RETIRED:
        raise Retired(
            "identifier_retired", field="identifier", identifier=located.identifier, successor=record.note or "—"
        )
