"""What every request to the console passes: size, origin, who visits, headers; and every error as a page."""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.api.gate import receive_at_most
from registry.api.problems import get_status, translate
from registry.api.state import RegistryState
from registry.audit import name_subject, note
from registry.console.frame import ROOT, Frame
from registry.console.security import HEADERS, LANGUAGE_COOKIE, SAFE_METHODS, check_origin
from registry.console.visits import ABOUT, Visit, open_visit, say_to_people
from schemas.errors import ServiceError, Unauthenticated
from schemas.texts import LANGUAGES, choose_language

MAX_FORM_BYTES = 2 * 1024 * 1024
MAX_UPLOAD_BYTES = 256 * 1024 * 1024
MAX_STRANGERS_BYTES = 32 * 1024 * 1024  # a dossier with its pictures, a photograph: on disk before it is looked at
PRIVATE = ("/identifiers", "/ranges", "/imports", "/files/", "/resolve")  # values and files of enterprises
YEAR_SECONDS = 31_536_000


class ConsoleGate:
    """Wraps the application of the console."""

    def __init__(self, app: ASGIApp, state: RegistryState, frame: Frame) -> None:
        self._app, self._state, self._frame = app, state, frame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked, language = find_language(scope, headers, self._state.config.language)
        request, started = Request(scope), False
        visit = Visit.make_anonymous(request, self._state, language, self._frame)

        async def finish(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                await note_visit(visit, scope, message["status"])
                started = True
                add_headers(message, visit, asked)
            await send(message)

        try:
            if scope["method"] not in SAFE_METHODS:
                check_origin(headers)
            visit = await open_visit(request, self._state, language, self._frame)
            scope["state"].update(visit=visit, language=language)
            await self._app(scope, limit_body(headers, visit, receive), finish)
        except Exception as error:
            if started:
                raise
            problem = translate(error)
            scope["state"]["refusal"] = problem.code
            await answer_error(visit, say_to_people(problem))(scope, receive, finish)


async def note_visit(visit: Visit, scope: Scope, status: int) -> None:
    """In the audit trail, before anything is answered: what was written, what was refused for lack of a right, and
    looks of the operator's people at what belongs to others."""
    principal, path = visit.principal, scope["path"].removeprefix(ROOT)
    if principal is None or path == "/resolve/photo" or 400 <= status != 403:
        return
    is_write = scope["method"] not in SAFE_METHODS
    if is_write or status == 403 or (principal.sees_all and path.startswith(PRIVATE)):
        async with visit.connect() as conn:
            outcome = "ok" if status < 400 else scope["state"].get("refusal", str(status))
            subject = name_subject(scope["path"], dict(visit.request.query_params) | scope["state"].get(ABOUT, {}))
            order = visit.order(scope["state"].get("reason", ""))  # as the page's own order had it
            await note(conn, order, f"{scope['method']} {ROOT}", subject, outcome)


def find_language(scope: Scope, headers: Headers, default: str) -> tuple[str, str]:
    """What `?lang=` asks for, if anything, and the language of the page."""
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("lang", [""])[-1]
    kept = Request(scope).cookies.get(LANGUAGE_COOKIE, "")
    chosen = next((language for language in (asked, kept) if language in LANGUAGES), "")
    return (asked if asked in LANGUAGES else ""), chosen or choose_language(headers.get("accept-language", ""), default)


def add_headers(message: MutableMapping[str, Any], visit: Visit, asked_language: str) -> None:
    """Those of security on every answer; the language asked for is remembered."""
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Content-Language", visit.language)
    for cookie in visit.new_cookies:
        headers.append("Set-Cookie", cookie)
    if asked_language:
        headers.append("Set-Cookie", visit.format_cookie(LANGUAGE_COOKIE, asked_language, YEAR_SECONDS))


def limit_body(headers: Headers, visit: Visit, receive: Receive) -> Receive:
    """Forms are small; files come as multipart, large ones from who is known. Raises TooLarge, announced or not."""
    limit = MAX_FORM_BYTES
    if headers.get("content-type", "").lower().startswith("multipart/form-data"):
        limit = MAX_STRANGERS_BYTES if visit.principal is None else MAX_UPLOAD_BYTES
    return receive_at_most(limit, headers, receive)


def answer_error(visit: Visit, error: ServiceError) -> Any:
    """A page that says what is wrong and what to do; who has not signed in is asked to."""
    request = visit.request
    if isinstance(error, Unauthenticated) and visit.principal is None and request.method in SAFE_METHODS:
        path = request.scope["raw_path"].decode("ascii", "replace")
        query = request.scope["query_string"].decode("ascii", "replace")
        return RedirectResponse(f"{ROOT}/sign-in?next={quote(path + ('?' + query if query else ''), safe='')}", 303)
    status = get_status(error)
    response = visit.page("error.html", status=status, problem=visit.describe(error), code=error.code)
    if status in (503, 507):
        response.headers["Retry-After"] = "5"
    return response
