"""Signing in and out, and one's own account: password and sessions."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from registry.accounts import get_account, set_password
from registry.api.problems import get_status
from registry.audit import note
from registry.console.frame import ROOT
from registry.console.sections import Section
from registry.console.security import SESSION_COOKIE, find_own_path
from registry.console.visits import Anybody, AnybodyPosting, Post, Posting, Problem, Visit, Visiting, collect
from registry.keys import is_limited
from registry.late_routes import LateRouter
from registry.principals import Order, Principal
from registry.sign_in import Attempt, sign_in
from registry.tokens import SESSION_LIFETIME, end_session, list_sessions, open_session
from schemas.errors import Forbidden, InvalidInput, NotFound, ServiceError, Unauthenticated
from schemas.sealing import SealBroken, seal, unseal

router = LateRouter()
SECTION = Section(router)

Text = Annotated[str, Query(max_length=4_096)]
KEPT_FOR = timedelta(minutes=5)  # a right password, while its owner looks for his telephone


@router.get("/sign-in")
async def show_sign_in(visit: Anybody, next: Text = "") -> Response:
    if visit.principal is not None:
        return visit.redirect("/")
    return visit.page("sign_in.html", next=next, user_name="", kept="")


@router.post("/sign-in")
async def enter(post: AnybodyPosting) -> Response:
    """A new session each time: a cookie from before signing in opens nothing afterwards."""
    name, state = post.form["user_name"], post.state
    attempt = Attempt(name, _open_kept(post) or dict(post.form.items).get("password", ""), post.form["code"][:20])
    try:
        principal = await sign_in(state.connect, state.config.rules.key_ring, post.find_origin(), attempt)
        await _check_is_for_people(post, principal)
    except ServiceError as error:
        return _ask_again(post, attempt, error)
    async with post.write() as conn:
        cookie = await open_session(conn, principal, post.find_origin())
    post.new_cookies.append(post.format_cookie(SESSION_COOKIE, cookie, int(SESSION_LIFETIME.total_seconds())))
    path = find_own_path(post.form["next"], ROOT + "/")
    return post.redirect(path.removeprefix(ROOT))


async def _check_is_for_people(post: Post, principal: Principal) -> None:
    """Raises Forbidden for a key that may not do everything: pages are not divided as its scopes are."""
    if principal.access_key and is_limited(principal):
        async with post.connect() as conn:
            order = Order(principal, post.state.now(), address=post.address)
            await note(conn, order, "sign_in", "console", "key_is_limited")
        raise Forbidden("key_is_limited")


def _ask_again(post: Post, attempt: Attempt, error: ServiceError) -> Response:
    """For the password, or for the code of the second factor alone where the password was right."""
    asks_for_code = error.code in ("second_factor_missing", "second_factor_wrong")
    problems = {"code" if asks_for_code else "password": post.describe(error)}
    if error.code == "second_factor_missing":
        problems = {}  # nothing is wrong: the page asks for it now
    return post.page(
        "sign_in.html", status=get_status(error), next=post.form["next"], user_name=attempt.user_name,
        kept=_seal_password(post, attempt) if asks_for_code else "", problems=problems,
    )  # fmt: skip


def _seal_password(post: Post, attempt: Attempt) -> str:
    """What the form carries instead of the password until the code is given; for this visitor and name alone."""
    text = f"{post.state.now().timestamp():.0f}|{attempt.password}"
    return seal(post.state.config.rules.key_ring, text.encode(), _name_kept(post, attempt.user_name)).hex()


def _open_kept(post: Post) -> str:
    """The password that was right a moment ago, or nothing."""
    try:
        sealed = bytes.fromhex(post.form["kept"])
        opened = unseal(post.state.config.rules.key_ring, sealed, _name_kept(post, post.form["user_name"])).decode()
    except (ValueError, SealBroken):
        return ""
    at, _, password = opened.partition("|")
    return password if post.state.now() - datetime.fromtimestamp(int(at), UTC) < KEPT_FOR else ""


def _name_kept(post: Post, user_name: str) -> str:
    return f"sign-in/{post.cookie}/{user_name}"


@router.post("/sign-out")
async def leave(post: Posting) -> Response:
    session_id = post.get_principal().session_id
    if session_id is not None:
        async with post.connect() as conn:
            await end_session(conn, post.order(), session_id)
    post.new_cookies.append(post.format_cookie(SESSION_COOKIE, "", 0))
    return post.redirect("/sign-in", "signed_out")


@router.get("/account")
async def show_account(visit: Visiting) -> Response:
    return await _show_account(visit, {})


async def _show_account(visit: Visit, problems: dict[str, Problem]) -> Response:
    principal = visit.get_principal()
    async with visit.connect() as conn:
        sessions = await list_sessions(conn, principal, visit.state.now())
        asks_for_code = principal.user_name != "" and (await get_account(conn, principal.user_name)).has_totp
    return visit.page(
        "account.html", status=400 if problems else 200, sessions=sessions, problems=problems,
        roles=sorted(principal.roles) or [principal.kind], asks_for_code=asks_for_code,
    )  # fmt: skip


@router.post("/account/sessions/end")
async def end(post: Posting) -> Response:
    """One of one's own; ending the present one is signing out."""
    try:
        session_id = UUID(post.form["session_id"])
    except ValueError:
        raise NotFound("session_not_found", field="session_id") from None
    async with post.connect() as conn:
        await end_session(conn, post.order(), session_id)
    return post.redirect("/account", "session_ended")


async def check_present_password(post: Post, code: str) -> None:
    """An open screen is not enough; who guesses waits, as at the sign-in. Raises what `sign_in` does."""
    attempt = Attempt(post.get_principal().user_name, dict(post.form.items).get("password", ""), code)
    try:
        await sign_in(post.state.connect, post.state.config.rules.key_ring, post.find_origin(), attempt)
    except Unauthenticated as error:
        if error.code == "sign_in_wrong":
            raise Unauthenticated("present_password_wrong", field="password") from None
        raise


@router.post("/account/password")
async def change_password(post: Posting) -> Response:
    """The old one is asked for: an open screen is not enough to take an account over."""
    problems: dict[str, Problem] = {}
    texts = dict(post.form.items)
    with collect(problems, post, {"password": "new_password"}):
        if texts.get("new_password", "") != texts.get("repeated", ""):
            raise InvalidInput("password_repeated_wrong", field="repeated")
        try:
            await check_present_password(post, post.form["code"][:20])
        except ServiceError as error:
            problems[error.field or "password"] = post.describe(error)
        else:
            async with post.connect() as conn:
                new = texts.get("new_password", "")
                ring, user_name = post.state.config.rules.key_ring, post.get_principal().user_name
                await set_password(conn, ring, post.order(), user_name, new)
    return await _show_account(post, problems) if problems else post.redirect("/account", "password_changed")
