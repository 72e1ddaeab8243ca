"""The second factor of one's own account: switched on with a code of the new secret, and off with password and code."""

from base64 import b32decode, b32encode

from fastapi import Response

from registry.accounts import confirm_second_factor, get_account, give_up_second_factor
from registry.console.codes import draw_code
from registry.console.sections import Section
from registry.console.sign_in_pages import check_present_password
from registry.console.visits import Posting, Problem, Visit, Visiting
from registry.late_routes import LateRouter
from registry.totp import SECRET_BYTES, format_address, make_secret
from schemas.errors import Conflict, Forbidden, InvalidInput, ServiceError

router = LateRouter(prefix="/account/second-factor")
SECTION = Section(router)


async def _check_account(visit: Visit, *, is_on: bool) -> None:
    """Raises Forbidden for access keys, Conflict if there is nothing to switch."""
    principal = visit.get_principal()
    if principal.account_id is None:
        raise Forbidden("account_needed")
    async with visit.connect() as conn:
        row = await get_account(conn, principal.user_name)
    if row.has_totp is not is_on:
        raise Conflict("second_factor_not_on" if is_on else "second_factor_on_already")


@router.get("")
async def show_second_factor(visit: Visiting) -> Response:
    """A new secret each time; nothing is kept until a code of it is given."""
    await _check_account(visit, is_on=False)
    return _show_secret(visit, make_secret(), {})


def _show_secret(visit: Visit, secret: bytes, problems: dict[str, Problem]) -> Response:
    address = format_address(secret, visit.get_principal().user_name)
    text = b32encode(secret).decode()
    return visit.page(
        "second_factor.html", status=400 if problems else 200, qr=draw_code(address, "qr"), secret=text,
        spaced=" ".join(text[at : at + 4] for at in range(0, len(text), 4)), problems=problems,
    )  # fmt: skip


@router.post("")
async def switch_on(post: Posting) -> Response:
    await _check_account(post, is_on=False)
    secret = _read_secret(post.form["secret"])
    try:
        await check_present_password(post, "")
        async with post.connect() as conn:
            ring = post.state.config.rules.key_ring
            await confirm_second_factor(conn, ring, post.order(), secret, post.form["code"][:20])
    except ServiceError as error:
        return _show_secret(post, secret, {error.field or "password": post.describe(error)})
    return post.redirect("/account", "second_factor_on")


def _read_secret(text: str) -> bytes:
    """The one that was shown; raises InvalidInput for another length."""
    try:
        secret = b32decode(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise InvalidInput("field_invalid", field="secret")
    return secret


@router.get("/off")
async def show_end(visit: Visiting) -> Response:
    await _check_account(visit, is_on=True)
    return visit.page("second_factor_off.html")


@router.post("/off")
async def switch_off(post: Posting) -> Response:
    await _check_account(post, is_on=True)
    try:
        await check_present_password(post, post.form["code"][:20])
    except ServiceError as error:
        problems = {error.field or "password": post.describe(error)}
        return post.page("second_factor_off.html", status=400, problems=problems)
    async with post.connect() as conn:
        await give_up_second_factor(conn, post.order())
    return post.redirect("/account", "second_factor_off")
