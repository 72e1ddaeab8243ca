"""Access keys: for MES, ERP and printers. A secret is shown once."""

from datetime import date, datetime, time, timedelta
from typing import Annotated

from asyncpg import Connection
from fastapi import Query, Response

from registry.console.account_pages import read_enterprise_id
from registry.console.frame import format_day, format_moment
from registry.console.sections import Entry, Section
from registry.console.visits import Post, Posting, Problem, Visit, Visiting, collect
from registry.keys import (
    KeyTerms,
    add_key,
    check_expiry,
    check_networks,
    check_note,
    get_key,
    list_keys,
    revoke_key,
)
from registry.late_routes import LateRouter
from registry.principals import SCOPES, Principal
from schemas.days import ZONE
from schemas.errors import InvalidInput
from schemas.identifiers import shorten


def _may(principal: Principal) -> bool:
    return principal.kind in ("enterprise", "operator") and "manage" in principal.scopes


router = LateRouter(prefix="/keys")
SECTION = Section(router, (Entry("/keys", "access_keys", "group_people", _may),))

Text = Annotated[str, Query(max_length=4_096)]

# What an error calls a field → the form's.
_FIELDS = {"scopes": "scope", "enterprise": "enterprise_id", "certificate_code": "organisation", "uscc": "organisation"}


@router.get("")
async def list_all(visit: Visiting) -> Response:
    visit.get_principal().check_scope("manage")
    async with visit.connect() as conn:
        keys = await list_keys(conn, visit.get_principal())
    return visit.page("keys.html", keys=keys, now=visit.state.now(), format_end=_format_end)


def _format_end(end: datetime) -> str:
    """The last day of a key that ends with a day, as its form was filled in; otherwise the minute."""
    local = end.astimezone(ZONE)
    return format_day(local.date() - timedelta(days=1)) if local.time() == time() else format_moment(end)


@router.get("/new")
async def show_new(visit: Visiting) -> Response:
    visit.get_principal().check_scope("manage")
    offered = _list_scopes(visit)
    return visit.page("key_new.html", fields={}, chosen=offered, scopes=offered)


def _list_scopes(visit: Visit) -> list[str]:
    """Firms review nothing."""
    return [scope for scope in SCOPES if scope != "review" or visit.get_principal().is_operator]


@router.post("")
async def make(post: Posting) -> Response:
    """The answer is the page with the secret; it is not shown again."""
    principal, note = post.get_principal(), post.form["note"]
    principal.check_scope("manage")
    problems: dict[str, Problem] = {}
    with collect(problems, post):
        check_note(note)
    with collect(problems, post, _FIELDS):
        _read_scopes(post)
    with collect(problems, post):
        check_networks(post.form["networks"].split())
    with collect(problems, post):
        check_expiry(_read_end(post.form["expires"]), post.state.now())
    if not problems:
        with collect(problems, post, _FIELDS):
            async with post.write() as conn:
                owner = await _read_owner(conn, post)
                access_key, secret_key = await add_key(conn, post.order(), owner, note, _read_terms(post))
    if problems:
        return post.page(
            "key_new.html", status=400, fields=post.form.to_dict(), chosen=post.form.get_all("scope"),
            scopes=_list_scopes(post), problems=problems,
        )  # fmt: skip
    return post.page("key_made.html", access_key=access_key, secret_key=secret_key, note=note)


async def _read_owner(conn: Connection, post: Post) -> int | None:
    """The enterprise it acts for; the operator names one, a partner organisation, or none for the node itself."""
    if post.get_principal().is_operator and post.form["enterprise_id"] and post.form["organisation"]:
        raise InvalidInput("key_for_whom", field="organisation")
    return await read_enterprise_id(conn, post)


def _read_terms(post: Post) -> KeyTerms:
    form = post.form
    organisation = form["organisation"] if post.get_principal().is_operator else ""
    return KeyTerms(_read_scopes(post), tuple(form["networks"].split()), _read_end(form["expires"]), organisation,
                    post.state.config.rules.key_ring)  # fmt: skip


def _read_scopes(post: Post) -> tuple[str, ...]:
    """No scope would be all of them to `add_key`: who ticks nothing is asked instead."""
    scopes = post.form.get_all("scope")
    if not scopes:
        raise InvalidInput("scope_needed", field="scopes")
    return () if set(scopes) >= set(_list_scopes(post)) else tuple(scopes)


def _read_end(text: str) -> datetime | None:
    """The end of a day at UTC+8."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), ZONE) + timedelta(days=1) if text else None
    except (ValueError, OverflowError):
        raise InvalidInput("day_malformed", field="expires", text=shorten(text, 40)) from None


@router.get("/revoke")
async def show_revocation(visit: Visiting, access_key: Text) -> Response:
    visit.get_principal().check_scope("manage")
    async with visit.connect() as conn:
        key = await get_key(conn, visit.get_principal(), access_key)
    return visit.page("key_revoke.html", access_key=key.access_key, note=key.note)


@router.post("/revoke")
async def revoke(post: Posting) -> Response:
    """It ends at once."""
    post.get_principal().check_scope("manage")
    async with post.write() as conn:
        await revoke_key(conn, post.order(), post.form["access_key"])
    return post.redirect("/keys", "key_revoked")
