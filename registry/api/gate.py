"""What every request passes first: language, size of the body, who asks; and what every error passes last."""

import asyncio
import re
from contextlib import suppress
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.api.problems import WrongContentType, answer_problem, translate
from registry.api.rights import find_scope
from registry.api.state import RegistryState
from registry.audit import name_subject, note
from registry.keys import read_bearer
from registry.principals import Order, Principal
from registry.sign_in import Visit
from registry.store import DATABASE_AWAY
from registry.tokens import authenticate_bearer
from schemas.errors import Forbidden, ServiceError, TooLarge, Unavailable
from schemas.texts import LANGUAGES, choose_language

API = "/api/v1/"
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_UPLOAD_BYTES = 1024 * 1024 * 1024
BODY_SECONDS = 60.0  # without a byte of a body that was announced
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Where values, documents and receipts of enterprises are read.
_PRIVATE = re.compile(r"/api/v1/(identifiers|ranges|jobs|attachments|export)(/|$)")
_OPEN = frozenset({f"{API}tokens"})  # for those who are about to sign in
_UPLOADS = ("multipart/form-data", "text/csv", "application/x-ndjson")


class Gate:
    """Authenticates before anything of a body is read; turns every exception into a problem document."""

    def __init__(self, app: ASGIApp, state: RegistryState) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, started = Headers(scope=scope), False
        language = find_language(scope, headers, self._state.config.language)

        async def note_start(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                await self._note(scope, message["status"])
                started = True
            await send(message)

        try:
            scope.setdefault("state", {}).update(language=language, principal=None)
            if scope["path"].startswith(API):
                # Routes see the path as it was sent: an encoded slash of an identifier is no slash of the path.
                scope["path"] = scope["raw_path"].decode("ascii")
                principal = await self._find_principal(scope, headers)
                scope["state"]["principal"] = principal
                if principal is not None:
                    principal.check_scope(find_scope(scope["method"], scope["path"]))
                receive = limit_body(scope["method"], headers, receive)
            await self._app(scope, receive, note_start)
        except Exception as error:
            if started:
                raise
            problem = translate(error)
            if isinstance(problem, Forbidden):
                with suppress(Unavailable, *DATABASE_AWAY):
                    await self._note(scope, 403, problem.code)
            await _send_problem(problem, language, send)

    async def _note(self, scope: Scope, status: int, outcome: str = "ok") -> None:
        """In the audit trail, before anything is answered: what was written and not noted with its transaction, what
        was refused for lack of a right, and looks of the operator's people at what belongs to others."""
        principal: Principal | None = scope["state"]["principal"]
        if principal is None or "audited" in scope["state"] or not is_noted(principal, scope, status):
            return
        reason = scope["state"].get("reason", "")
        order = Order(principal, self._state.now(), reason, find_address(scope))
        outcome = outcome if status < 400 or outcome != "ok" else str(status)
        scope["state"]["audited"] = True
        async with self._state.connect() as conn:
            subject = name_subject(scope["path"], Request(scope).query_params)
            await note(conn, order, name_action(scope), subject, outcome)

    async def _find_principal(self, scope: Scope, headers: Headers) -> Principal | None:
        """Of an access key with its secret, or of a bearer token. None for an anonymous reader.

        Raises Unauthenticated, or Forbidden from an address the key does not work from.
        """
        header = headers.get("authorization")
        if header is None and (scope["method"] in _SAFE or scope["path"] in _OPEN):
            return None
        read_bearer(header)  # what has not its form costs no connection
        visit = Visit(self._state.now(), find_address(scope))
        try:
            async with self._state.connect() as conn:
                return await authenticate_bearer(conn, self._state.config.rules.key_ring, header, visit)
        except ServiceError as error:
            await self._state.note_refused("api", header or "", visit.address, error)
            raise


def is_noted(principal: Principal, scope: Scope, status: int) -> bool:
    """Whether the audit trail tells of a request of `/api/v1` that was answered like this."""
    if not scope["path"].startswith(API):
        return False
    if status == 403:
        return True
    is_write = scope["method"] not in _SAFE and b"dry_run=true" not in scope["query_string"]
    is_look = principal.sees_all and _PRIVATE.match(scope["path"]) is not None
    return status < 400 and (is_write or is_look)


def find_address(scope: Scope) -> str:
    """The client's, as trusted proxies say it; empty for who comes by a Unix socket."""
    client = scope.get("client")
    return client[0] if client else ""


def find_language(scope: Scope, headers: Headers, default: str) -> str:
    """`?lang=` before Accept-Language before the node's own."""
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("lang", [""])[-1]
    return asked if asked in LANGUAGES else choose_language(headers.get("accept-language", ""), default)


def name_action(scope: Scope) -> str:
    """How the audit trail and the keys of idempotency name what was asked."""
    return name_route(scope["method"], getattr(scope.get("route"), "path", ""))


def name_route(method: str, path: str) -> str:
    """Method and path of the route, without the version."""
    return f"{method} {path.removeprefix('/api/v1')}".strip()


def limit_body(method: str, headers: Headers, receive: Receive) -> Receive:
    """Refuse kinds of bodies nobody reads, and bodies over the limit, announced or not."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    length = headers.get("content-length", "")
    limit = MAX_UPLOAD_BYTES if kind in _UPLOADS else MAX_BODY_BYTES
    has_body = (length.isdigit() and int(length) > 0) or "transfer-encoding" in headers
    if method not in _SAFE and has_body and kind != "application/json" and kind not in _UPLOADS:
        raise WrongContentType("content_type_wrong", field="Content-Type", kind=kind[:100] or "—")
    return receive_at_most(limit, headers, receive)


def receive_at_most(limit: int, headers: Headers, receive: Receive) -> Receive:
    """Raises TooLarge for a body over the limit, announced or not."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise TooLarge("body_too_large", limit=limit)
    received, receive_next = 0, receive_in_time(headers, receive)

    async def receive_within_limit() -> Message:
        nonlocal received
        message = await receive_next()
        received += len(message.get("body", b""))
        if received > limit:
            raise TooLarge("body_too_large", limit=limit)
        return message

    return receive_within_limit


def receive_in_time(headers: Headers, receive: Receive) -> Receive:
    """Raises ClientDisconnect for a body that stops coming; the lines of a stream may come when they will."""
    if headers.get("content-type", "").lower().startswith("application/x-ndjson"):
        return receive
    has_more = True

    async def receive_or_give_up() -> Message:
        nonlocal has_more
        if not has_more:  # waits for the client to leave
            return await receive()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await receive()
        except TimeoutError:
            raise ClientDisconnect from None
        has_more = message.get("more_body", False)
        return message

    return receive_or_give_up


async def _send_problem(error: Exception, language: str, send: Send) -> None:
    answer = answer_problem(translate(error), language)
    await answer.to_response()({"type": "http"}, _receive_nothing, send)


async def _receive_nothing() -> Message:
    return {"type": "http.disconnect"}
