"""Resolving for everybody: a code pasted, scanned, or on a photograph."""

import asyncio
import re
import unicodedata
from typing import Annotated
from urllib.parse import parse_qs, quote, unquote, urlsplit

import orjson
from fastapi import Query, Response

from registry.api.problems import get_status
from registry.api.reading import get_identifier
from registry.console.codes import MAX_PHOTO_BYTES, read_photo
from registry.console.sections import Entry, Section, is_anybody
from registry.console.visits import Anybody, AnybodyPosting, Problem, Visit
from registry.late_routes import LateRouter
from registry.records import get_stored
from registry.store.records import find_prefix_rule
from registry.templates import find_template_by_id
from schemas.errors import InvalidInput, NotFound, Retired, ServiceError
from schemas.identifiers import parse_any_identifier, shorten

router = LateRouter(prefix="/resolve")
SECTION = Section(router, (Entry("/resolve", "resolve", "group_work", is_anybody),))

_IDENTIFIER = re.compile(r"(?:\d{1,10}(?:\.[0-9A-Za-z]{1,40}){1,5}|0\.NA)/.+", re.DOTALL)
_QUERY_NAMES = ("identity", "handle", "identifier", "id", "code")


def parse_scan(text: str) -> str:
    """The identifier in what a scanner gave: itself, `hdl:…`, or an address that holds it. Raises InvalidInput.

    Examples: domain.md appendix 3.9. Nothing is guessed: a text without a prefix is refused with a hint.
    """
    cleaned = text.strip("\ufeff\u00a0 \t\r\n")
    if not cleaned:
        raise InvalidInput("scan_empty", field="text")
    if "/" not in cleaned or not cleaned.isascii():
        head, slash, tail = cleaned.partition("／")
        if slash and "/" not in head:
            cleaned = unicodedata.normalize("NFKC", head) + "/" + tail
    scheme, colon, rest = cleaned.partition(":")
    if scheme.lower() == "hdl" and colon:
        cleaned = rest
    elif scheme.lower() in ("http", "https") and rest.startswith("//"):
        cleaned = _find_in_address(cleaned)
    if not _IDENTIFIER.fullmatch(cleaned):
        raise InvalidInput("scan_unknown", field="text", text=shorten(text.strip()))
    return cleaned


def _find_in_address(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    asked = parse_qs(parts.query)
    for name in _QUERY_NAMES:
        if name in asked:
            return asked[name][0]
    return unquote(parts.path.removeprefix("/"))


@router.get("")
async def show(visit: Anybody, text: Annotated[str, Query(max_length=8_192)] = "") -> Response:
    """The answer is counted like any other."""
    if not text:
        return visit.page("resolve.html", text="", view=None, problems={}, told=None, retired=None)
    try:
        identifier = parse_scan(text)
        view = orjson.loads((await get_identifier(visit, quote(identifier, safe=""))).body)
        async with visit.connect() as conn:
            stored = (await get_stored(conn, parse_any_identifier(view["identifier"]))).stored
            template = await find_template_by_id(conn, stored.template_id)
    except NotFound as error:
        return _show_problem(visit, text, await _find_reason(visit, identifier) or error, None)
    except Retired as error:
        return _show_problem(visit, text, error, str(error.details.get("successor") or "").strip("—"))
    except ServiceError as error:
        if get_status(error) >= 500:
            raise
        return _show_problem(visit, text, error, None)
    return visit.page("resolve.html", text=text, view=view, template=template, problems={}, told=None, retired=None)


async def _find_reason(visit: Visit, identifier: str) -> NotFound | None:
    """Nobody here issues under a prefix of another node: its manufacturer cannot register it here."""
    async with visit.connect() as conn:
        rule = await find_prefix_rule(conn, parse_any_identifier(identifier).prefix)
    return NotFound("prefix_not_here", field="text") if rule is None else None


def _show_problem(visit: Visit, text: str, error: ServiceError, successor: str | None) -> Response:
    """`successor`: empty for a retired identifier without one, None if something is wrong with the text."""
    told = visit.describe(error)
    problems: dict[str, Problem] = {"text": told} if successor is None else {}
    return visit.page(
        "resolve.html", status=get_status(error), text=text, view=None, problems=problems, told=told, retired=successor
    )


@router.post("/photo")
async def read(post: AnybodyPosting) -> Response:
    """Where there is no camera for pages (plain HTTP), a photograph is sent here and read."""
    file = post.form.files.get("photo")
    try:
        if file is None or not file.filename:
            raise InvalidInput("upload_missing", field="photo")
        data = await file.read(MAX_PHOTO_BYTES + 1)
        text = await asyncio.to_thread(read_photo, data)
    except ServiceError as error:
        return post.page(
            "resolve.html", status=get_status(error), text="", view=None, problems=post.explain(error), told=None,
            retired=None,
        )  # fmt: skip
    return post.redirect("/resolve", text=text)
