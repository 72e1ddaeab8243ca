"""The edge itself: finds the call, asks who it is, reads the body, and puts every end of it into the envelope (§d.1).

HTTP is 200 for whatever the interface itself has to say, also `-4 系统繁忙` when nothing was done. 504 means that a
write was under way when the database went, and is to be repeated. 404 and 405 are paths and methods that do not exist.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from registry.api.gate import receive_in_time
from registry.api.problems import Defect, dump_json, translate
from registry.api.state import RegistryState
from registry.keys import authenticate
from registry.principals import Principal
from registry.principals import Scope as Grant
from registry.snms import texts
from registry.snms.calls import Handler, Shared, SnmsCall, UnknownOutcome, parse_body, parse_spare_body, read_query
from registry.snms.fields import Refusal
from registry.snms.looking import Looks
from registry.tokens import authenticate_token, is_token
from schemas.errors import Forbidden, ServiceError, Unauthenticated, Unavailable

OK, NOT_SIGNED_IN, FAILED, NOT_ALLOWED, INTERNAL = 1, -1, -2, -3, -4
MAX_BODY_BYTES = 1024 * 1024
MAX_CALLERS, REMEMBER_SECONDS = 10_000, 0.5  # who is named or revoked is so within a second, answer included
BASES = ("/identity/", "/identityv2/", "/snms/api/", "/api/identityv2/")
# Older HTTP clients of Java read a body without a charset as Latin-1.
MEDIA_TYPE = "application/json;charset=UTF-8"
CLOSING = {"Connection": "close"}  # the rest of a body is not waited for
_SLASHES = re.compile(r"//+")
# They forbid something in the state of things, not to the caller.
_STATES = frozenset({"prefix_not_enabled", "prefix_not_hosted"})
_STATUS: tuple[tuple[type[ServiceError], int], ...] = (
    (Unauthenticated, NOT_SIGNED_IN),
    (Forbidden, NOT_ALLOWED),
    (Unavailable, INTERNAL),
    (Defect, INTERNAL),
)

logger = logging.getLogger("idnode.registry")


@dataclass(frozen=True, slots=True)
class Route:
    """`rights`: anyone, whoever is signed in (with this scope), or the operator. `raw`: the handler reads the body."""

    handler: Handler
    rights: Literal["anyone", "user", "operator"] = "user"
    scope: Grant = "read"
    max_body_bytes: int = MAX_BODY_BYTES
    raw: bool = False


# (method, path without a slash at its end) → route
Routes = Mapping[tuple[str, str], Route]


class SnmsEdge:
    """ASGI middleware: takes the paths of the interface and leaves all others to the application."""

    def __init__(self, app: ASGIApp, state: RegistryState, routes: Routes) -> None:
        self._app, self._state, self._routes = app, state, routes
        self._shared = Shared(Looks(state.connect))
        self._methods: dict[str, list[str]] = {}
        for method, path in routes:
            self._methods.setdefault(path, []).append(method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = normalise_path(scope["path"]) if scope["type"] == "http" else ""
        if not f"{path}/".startswith(BASES):
            await self._app(scope, receive, send)
            return
        response = await self._answer(Request(scope, receive_in_time(Headers(scope=scope), receive)), path)
        await response(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response:
        try:
            route = self._routes.get((request.method, path))
            if route is None:
                return self._answer_no_route(path)
            data = await self._call(request, route)
        except Exception as error:
            return answer_error(error)
        return data if isinstance(data, Response) else answer(data)

    async def _call(self, request: Request, route: Route) -> object:
        headers = Headers(scope=request.scope)
        call = SnmsCall(request, self._state, None, self._shared, read_query(request.scope["query_string"]))
        if route.rights != "anyone":
            call.principal = await self._identify(call, headers.get("authorization"), route)
            call.principal.check_scope(route.scope)
            if route.rights == "operator":
                call.principal.check_operator()
        if not route.raw:
            data = await read_body(request, headers, route.max_body_bytes)
            parse = parse_spare_body if request.method == "GET" else parse_body
            call.body = parse(data, headers.get("content-type", "").strip().lower())
        return await route.handler(call)

    async def _identify(self, call: SnmsCall, header: str | None, route: Route) -> Principal:
        try:
            return await find_principal(call, header, remembered=route.scope == "read")
        except ServiceError as error:
            await self._state.note_refused("snms", header or "", call.address, error)
            raise

    def _answer_no_route(self, path: str) -> Response:
        methods = self._methods.get(path)
        if methods is None:
            return answer(None, FAILED, texts.NO_ROUTE.format(path=path[:200]), http_status=404)
        allow = ", ".join(sorted(methods))
        message = texts.WRONG_METHOD.format(allow=allow)
        return answer(None, FAILED, message, http_status=405, headers={"Allow": allow})


def normalise_path(path: str) -> str:
    """Doubled slashes are one, and there is none at the end (§d.9)."""
    return _SLASHES.sub("/", path).rstrip("/")


async def find_principal(call: SnmsCall, header: str | None, *, remembered: bool = False) -> Principal:
    """Who holds the token of an Authorization header, or the key pair `<access_key>.<secret_key>` in its place.

    `remembered`: who was asked about half a second ago need not be asked about again, so that who looks up thousands of
    identifiers costs one statement each. Raises Unauthenticated, or Forbidden from an address the key does not work
    from.
    """
    token, callers, now = read_token(header), call.shared.callers, monotonic()
    caller = token, call.address
    if remembered and (known := callers.get(caller)) is not None and known[0] > now:
        return known[1]
    if not token.isascii() or not token.isprintable():
        raise Unauthenticated("key_wrong")
    visit = call.visit()
    async with call.connect() as conn:
        if is_token(token):
            principal = await authenticate_token(conn, call.state.config.rules.key_ring, token, visit)
        else:
            access_key, _, secret_key = token.partition(".")
            principal = await authenticate(conn, access_key, secret_key, visit.at, visit.address)
    if remembered:
        if len(callers) >= MAX_CALLERS:
            callers.clear()
        callers[caller] = (now + REMEMBER_SECONDS, principal)
    return principal


def read_token(header: str | None) -> str:
    """With or without `Bearer` before it, in any case (§d.9); raises Unauthenticated."""
    words = (header or "").split()
    if words and words[0].lower() == "bearer":
        words = words[1:]
    if len(words) != 1:
        raise Unauthenticated("key_missing")
    return words[0]


async def read_body(request: Request, headers: Headers, limit: int) -> bytes:
    """The whole body; refused as soon as it is known to be over the limit."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLarge(limit)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise BodyTooLarge(limit)
        parts.append(part)
    return b"".join(parts)


class BodyTooLarge(Refusal):
    """The rest of the body is not waited for."""

    def __init__(self, limit: int) -> None:
        super().__init__(texts.BODY_TOO_LARGE.format(limit=limit))


def answer(
    data: object,
    status: int = OK,
    message: str = texts.SUCCESS,
    *,
    http_status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The envelope."""
    content = dump_json({"message": message, "status": status, "data": data})
    return Response(content, http_status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def answer_error(error: Exception) -> Response:
    """Whatever was raised; what is a defect of ours is written to the log and told without detail."""
    if isinstance(error, Refusal):
        headers = CLOSING if isinstance(error, BodyTooLarge) else None
        return answer(None, error.status, error.message, headers=headers)
    if isinstance(error, ClientDisconnect):
        return answer(None, FAILED, texts.BODY_CUT_OFF, headers=CLOSING)
    known = translate(error)
    status = get_status(known)
    message = texts.BUSY if status == INTERNAL else texts.say(known)
    return answer(None, status, message, http_status=504 if isinstance(known, UnknownOutcome) else 200)


def get_status(error: ServiceError) -> int:
    """The status of an error of ours in the envelope."""
    if error.code in _STATES:
        return FAILED
    return next((status for kind, status in _STATUS if isinstance(error, kind)), FAILED)


def merge_routes(modules: Iterable[Routes]) -> dict[tuple[str, str], Route]:
    """All routes; two for one call are an error of ours and stop the program."""
    merged: dict[tuple[str, str], Route] = {}
    for routes in modules:
        doubled = merged.keys() & routes.keys()
        if doubled:
            raise ValueError(f"routes defined twice: {sorted(doubled)}")
        merged.update(routes)
    return merged
