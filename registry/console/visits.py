"""One request as the pages see it: who visits, in which language, and the ways to answer."""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from asyncpg import Connection
from fastapi import Depends, Request, Response
from starlette.datastructures import UploadFile
from starlette.responses import HTMLResponse, RedirectResponse

from registry.api.calls import Call
from registry.api.problems import InvalidBody, NoRoute
from registry.api.state import RegistryState
from registry.console.frame import ROOT, Frame
from registry.console.security import (
    SAFE_METHODS,
    SESSION_COOKIE,
    VISITOR_COOKIE,
    check_token,
    find_own_path,
    make_token,
)
from registry.principals import Principal, Scope
from registry.records import is_storable
from registry.sign_in import Visit as Origin
from registry.tokens import find_session
from schemas.errors import Forbidden, InvalidInput, ServiceError, TooLarge, Unauthenticated, Unavailable
from schemas.texts import format_message, format_remedy
from schemas.texts.console_fields import FIELD_LABELS

MAX_FIELDS = 2_500
MAX_FILES = 10
MAX_FIELD_BYTES = 256 * 1024
MAX_REASON = 1_000
# A detail of an error → the beginning of the keys of its words.
_HEADS = {
    ("prefix_state_forbids", "state"): "prefix",
    ("outbox_not_waiting", "state"): "outbox_state",
    ("scope_not_given", "scope"): "key_may",
}
FORM_PAGE = "form_page"  # the field of every form that says where it stands
ABOUT = "about"  # of a request's state: what its form named, or its page chose, for the audit trail


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field, or with the whole where `field` is empty."""

    field: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Visit(Call):
    """A request to the console. `cookie` is the secret its forms' token is derived from."""

    frame: Frame
    cookie: str = ""
    new_cookies: list[str] = field(default_factory=list)

    @staticmethod
    def make_anonymous(request: Request, state: RegistryState, language: str, frame: Frame) -> "Visit":
        """Before it is known who asks; for error pages, too."""
        return Visit(request, state, language, None, frame)

    def page(self, name: str, *, status: int = 200, **context: Any) -> Response:
        """A page; templates know the visit's principal, its form token and where it stands."""
        path = self.request.scope["path"].removeprefix(ROOT)
        done = self.request.query_params.get("done", "")
        base = {
            "principal": self.principal,
            "token": make_token(self.cookie) if self.cookie else "",
            "entries": self.frame.list_entries(self.principal),
            "path": path,
            "other_language": "en" if self.language == "zh" else "zh",
            "language_address": self._make_language_address(),
            "form_page": self._find_form_page(),
            "node_prefix": self.state.config.rules.node_prefixes[0],
            "done": f"done_{done}" if self.frame.find_label(f"done_{done}") else "",
            "problems": {},
            "refresh_seconds": 0,
            "refresh_address": "",
        }
        return HTMLResponse(self.frame.render(name, self.language, base | context).encode("utf-8", "replace"), status)

    def _make_language_address(self) -> str:
        """This page in the other language; what a form was answered with is no page: then the page of the form."""
        other = urlencode({"lang": "en" if self.language == "zh" else "zh"})
        page = self._find_form_page()
        return f"{page}{'&' if '?' in page else '?'}{other}"

    def _find_form_page(self) -> str:
        """The address of the page that is asked for, or of the one whose form was sent."""
        if self.request.method not in SAFE_METHODS:
            return str(getattr(self.request.state, FORM_PAGE, f"{ROOT}/"))
        path = str(self.request.scope["raw_path"], "ascii", "replace")
        kept = [(name, text) for name, text in self.request.query_params.multi_items() if name not in ("lang", "done")]
        return path + (f"?{urlencode(kept, errors='replace')}" if kept else "")

    def say(self, key: str, **details: object) -> str:
        return self.frame.say(key, self.language, **details)

    def redirect(self, path: str, done: str = "", **query: str) -> Response:
        """To a page of ours, after something was done; `done` names the sentence it shows."""
        asked = query | ({"done": done} if done else {})
        return RedirectResponse(f"{ROOT}{path}" + (f"?{urlencode(asked)}" if asked else ""), 303)

    def describe(self, problem: ServiceError) -> Problem:
        error = say_to_people(problem)
        details = {name: self._say_state(error.code, name, _show(value)) for name, value in error.details.items()}
        at = error.field or ""
        named = self._name_field(at)
        details |= {"name": named} if details.get("name") == at else {}  # some texts call the field so
        return Problem(
            at,
            format_message(error.code, self.language, field=named, **details),
            format_remedy(error.code, self.language, field=named, **details),
        )

    def _say_state(self, code: str, name: str, value: object) -> object:
        """States, decisions and scopes as pages call them, not as programs do."""
        is_common = code.endswith("_state_forbids") and name in ("state", "decision")
        key = f"{_HEADS.get((code, name), name if is_common else '')}_{value}"
        return self.say(key) if self.frame.find_label(key) else value

    def _name_field(self, at: str) -> str:
        """As the form calls it, not the program: of `items[0].type` the word for `type` and the number of its row."""
        row, _, name = at.rpartition("].")
        number, name = find_number(row.rpartition("[")[2]), name.replace(".", "_")  # `name.zh` is `name_zh` in forms
        key = FIELD_LABELS.get(name, name)
        if not self.frame.find_label(key):
            return at
        return self.say(key) if number is None else f"{self.say(key)} {number + 1}"

    def explain(self, error: ServiceError, fields: Mapping[str, str] | None = None) -> dict[str, Problem]:
        """Field of the form → what is wrong with it. `fields`: what an error calls a field → what the form does.

        A right that is missing is no mistake in a form: raised on, it is answered 403 and stands in the audit trail.
        """
        if isinstance(error, Forbidden):
            raise error
        renamed = fields or {}
        if isinstance(error, InvalidBody):
            found = [InvalidInput(code, field=at, **details) for code, at, details in error.problems]
        else:
            found = [error]  # type: ignore[list-item]
        shown = [self.describe(one) for one in found]
        return {renamed.get(problem.field, problem.field): problem for problem in shown}

    def format_cookie(self, name: str, value: str, seconds: int | None) -> str:
        """A Set-Cookie header: for us alone, not for scripts, not for other sites' forms; over TLS never without."""
        parts = [f"{name}={value}", f"Path={ROOT}", "HttpOnly", "SameSite=Lax"]
        parts += [f"Max-Age={seconds}"] if seconds is not None else []
        parts += ["Secure"] if self.request.url.scheme == "https" else []
        return "; ".join(parts)

    def find_origin(self) -> Origin:
        """Where the visitor comes from, as sessions and the audit trail note it."""
        return Origin(self.state.now(), self.address, self.request.headers.get("user-agent", ""))

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """A connection in a transaction."""
        async with self.connect() as conn, conn.transaction():
            yield conn


def say_to_people(problem: ServiceError) -> ServiceError:
    """What is told to programs in their terms, in those of who is at a page."""
    limit = problem.details.get("limit")
    if problem.code == "body_too_large" and isinstance(limit, int):
        return TooLarge("page_body_too_large", limit=limit >> 20)
    if problem.code == "database_unavailable":
        return Unavailable("page_database_unavailable")
    if problem.code in ("scope_missing", "role_missing"):
        return Forbidden("page_forbidden")
    return NoRoute("page_not_found") if problem.code == "route_not_found" else problem


def _show(value: object) -> object:
    return value if isinstance(value, int) else str(value).encode("utf-8", "backslashreplace").decode()[:1_000]


def find_number(text: str, most_digits: int = 9) -> int | None:
    """What a field holds if that is ASCII digits, and not too many: others pass `isdigit`, and `int` fails on them."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= most_digits else None


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent: the last text of each name without blanks at its ends, all texts of a name, files."""

    items: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, UploadFile] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.get(name)

    def get(self, name: str) -> str:
        """Empty if there is none."""
        return next((text.strip() for key, text in reversed(self.items) if key == name), "")

    def get_all(self, name: str) -> list[str]:
        return [text.strip() for key, text in self.items if key == name]

    def to_dict(self) -> dict[str, str]:
        return {key: text.strip() for key, text in self.items}

    def get_reason(self) -> str:
        """Raises InvalidInput: what is on record is never cut."""
        reason = self.get("reason")
        if len(reason) > MAX_REASON:
            raise InvalidInput("field_too_long", field="reason", limit=MAX_REASON)
        return reason


@dataclass(frozen=True, slots=True)
class Post(Visit):
    """A form that was sent, with a right token."""

    form: Form = field(default_factory=Form)


async def open_visit(request: Request, state: RegistryState, language: str, frame: Frame) -> Visit:
    """Who visits, by the cookie; a visitor without one gets one, for the tokens of his forms."""
    cookie = request.cookies.get(SESSION_COOKIE, "")
    anonymous = Visit.make_anonymous(request, state, language, frame)
    principal: Principal | None = None
    if cookie:
        async with state.connect() as conn:
            principal = await find_session(conn, cookie, anonymous.find_origin())
    if principal is not None:
        return Visit(request, state, language, principal, frame, cookie)
    visitor = request.cookies.get(VISITOR_COOKIE, "")
    new = "" if len(visitor) == 32 and visitor.isalnum() else secrets.token_hex(16)
    visit = Visit(request, state, language, None, frame, new or visitor)
    if new:
        visit.new_cookies.append(visit.format_cookie(VISITOR_COOKIE, new, None))
    return visit


def make_visit(request: Request) -> Visit:
    """For pages anybody may see."""
    visit: Visit = request.state.visit
    return replace(visit, request=request)  # the one of the route can read the body


def make_signed_in_visit(request: Request) -> Visit:
    """Raises Unauthenticated, or Forbidden for an access key that may not read."""
    visit = make_visit(request)
    if visit.principal is None:
        raise Unauthenticated("sign_in_needed")
    if request.method in SAFE_METHODS:
        visit.principal.check_scope("read")
    return visit


async def read_form(visit: Visit) -> AsyncIterator[Post]:
    """The form with its token checked; its files are closed when it is answered. Raises Forbidden, InvalidInput."""
    async with visit.request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES) as sent:
        texts, files = [], {}
        for name, value in sent.multi_items():
            if isinstance(value, UploadFile):
                files[name] = value
            else:
                texts.append((name, value.replace("\r\n", "\n")))
        for name, text in texts:
            if not (is_storable(name) and is_storable(text)):
                raise InvalidInput("text_not_unicode", field=name if is_storable(name) else "?")
        form = Form(tuple(texts), files)
        setattr(visit.request.state, ABOUT, form.to_dict())
        setattr(visit.request.state, FORM_PAGE, find_own_path(form.get(FORM_PAGE), f"{ROOT}/"))
        check_token(visit.cookie, form.get("token"))
        yield Post(
            visit.request, visit.state, visit.language, visit.principal, visit.frame, visit.cookie, visit.new_cookies,
            form,
        )  # fmt: skip


async def make_post(visit: Annotated[Visit, Depends(make_signed_in_visit)]) -> AsyncIterator[Post]:
    async for post in read_form(visit):
        yield post


async def make_anonymous_post(visit: Annotated[Visit, Depends(make_visit)]) -> AsyncIterator[Post]:
    async for post in read_form(visit):
        yield post


def needs(scope: Scope) -> Any:
    """A dependency of the page of a form and of its sending alike: who may not send a form is not shown it."""

    def check(visit: Annotated[Visit, Depends(make_signed_in_visit)]) -> None:
        visit.get_principal().check_scope(scope)

    return Depends(check)


Anybody = Annotated[Visit, Depends(make_visit)]
Visiting = Annotated[Visit, Depends(make_signed_in_visit)]
Posting = Annotated[Post, Depends(make_post)]
AnybodyPosting = Annotated[Post, Depends(make_anonymous_post)]


@contextmanager
def collect(problems: dict[str, Problem], visit: Visit, fields: Mapping[str, str] | None = None) -> Iterator[None]:
    """What goes wrong inside is put beside the fields of the form that is shown again."""
    try:
        yield
    except ServiceError as error:
        problems.update(visit.explain(error, fields))
