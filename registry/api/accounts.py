"""Accounts: the operator's for anybody, an enterprise's administrator's for his own people."""

from collections.abc import Mapping
from typing import Any

from asyncpg import Connection
from fastapi import Response

from registry.account_views import format_account
from registry.accounts import (
    NewAccount,
    add_account,
    disable_account,
    enable_account,
    get_account,
    get_known_account,
    list_accounts,
    set_password,
)
from registry.api.calls import Answer, Changing, PathText, Reading, Writing
from registry.api.etags import check_etag, make_etag
from registry.api.sign_in import make_visit
from registry.api.targets import check_texts
from registry.late_routes import LateRouter
from registry.passwords import make_password
from registry.sign_in import Attempt, sign_in
from schemas.account_bodies import AccountBody, AccountPage, NewAccountBody, NewPassword

router = LateRouter(prefix="/api/v1/accounts", tags=["accounts"])


@router.post("", status_code=201, response_model=AccountBody, summary="Add an account")
async def post_account(call: Writing, body: NewAccountBody) -> Response:
    """The operator adds anybody, an enterprise's administrator people of his enterprise."""
    principal = call.get_principal()
    check_texts(user_name=body.user_name, email=body.email, mobile=body.mobile, area=body.area)
    made = make_password() if body.password is None else None
    wanted = NewAccount(
        body.user_name,
        body.roles,
        body.password or made or "",
        enterprise_id=body.enterprise_id or principal.enterprise_id,
        organisation=body.organisation,
        area=body.area,
        personal={"email": body.email, "mobile": body.mobile},
        may_sign_in_hashed=body.may_sign_in_hashed,
    )

    async def effect(conn: Connection) -> Answer:
        row = await add_account(conn, call.state.config.rules.key_ring, call.order(), wanted)
        return _answer(format_account(row), _show(made, call), 201)

    return await call.write(effect)


@router.get("", response_model=AccountPage, summary="List accounts")
async def get_accounts(call: Reading) -> Response:
    """An enterprise's administrator sees those of his enterprise, the operator all."""
    async with call.connect() as conn:
        return call.reply({"accounts": [format_account(r) for r in await list_accounts(conn, call.get_principal())]})


@router.get("/{user_name}", response_model=AccountBody, summary="One account")
async def get_one_account(call: Reading, user_name: PathText) -> Response:
    """One's own, or one that the caller manages."""
    async with call.connect() as conn:
        shown = _answer(format_account(await get_known_account(conn, call.get_principal(), user_name)))
    return call.reply(shown.content, shown.headers)


@router.post("/{user_name}/disable", response_model=AccountBody, summary="Disable an account")
async def post_disabled(call: Changing, user_name: PathText) -> Response:
    """Its sessions end at once."""

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, user_name)
        return _answer(format_account(await disable_account(conn, call.order(), user_name)))

    return await call.write(effect)


@router.post("/{user_name}/enable", response_model=AccountBody, summary="Enable a disabled account")
async def post_enabled(call: Changing, user_name: PathText) -> Response:
    """It may sign in again."""

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, user_name)
        return _answer(format_account(await enable_account(conn, call.order(), user_name)))

    return await call.write(effect)


@router.put("/{user_name}/password", response_model=AccountBody, summary="Set a new password")
async def put_password(call: Changing, user_name: PathText, body: NewPassword) -> Response:
    """One's own, with the old one, or that of an account one manages. All its other sessions end."""
    principal, ring = call.get_principal(), call.state.config.rules.key_ring
    async with call.connect() as conn:
        row = await get_account(conn, user_name)
    if row.account_id == principal.account_id:
        attempt = Attempt(row.user_name, body.old_password, body.code)
        await sign_in(call.state.connect, ring, make_visit(call), attempt)
    made = make_password() if body.password is None else None

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, user_name)
        await set_password(conn, ring, call.order(), user_name, body.password or made or "")
        return _answer(format_account(row), _show(made, call))

    return await call.write(effect)


async def _check_unchanged(conn: Connection, call: Changing, user_name: str) -> None:
    if call.if_match is not None:
        check_etag(call.if_match, format_account(await get_account(conn, user_name, for_update=True)))


def _answer(view: dict[str, Any], made: Mapping[str, str] | None = None, status: int = 200) -> Answer:
    return Answer(view | dict(made or {}), status, {"ETag": make_etag(view)})


def _show(made: str | None, call: Writing) -> dict[str, str]:
    """The password that was made; of a dry run it opens nothing."""
    return {} if made is None or call.dry_run else {"password": made}
