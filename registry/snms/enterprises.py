"""Enterprises (§d.6, N1, N2, N4, N5): applications with their user, lists, and the whole dossier back."""

import re
from typing import Any

from asyncpg import Connection

from registry.accounts import NewAccount, add_account, join_enterprise, open_personal
from registry.enterprise_views import EnterpriseDetail, get_enterprise
from registry.enterprises import apply as file_application
from registry.enterprises import reveal_personal
from registry.snms import texts
from registry.snms.calls import SnmsCall
from registry.snms.dossiers import format_dossier, naming, read_dossier
from registry.snms.edge import Route
from registry.snms.fields import Fields, Refusal
from registry.snms.pages import format_page, format_time, read_filter, read_page
from registry.store.accounts import AccountRow, fetch_accounts
from registry.store.pages import EnterpriseLine, fetch_enterprise_lines
from schemas.errors import NotFound

MAX_ID = 2**31 - 1
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
# How our errors call the members of a user, and how this interface does.
_USER_NAMES = {
    "user_name": "sysUser.userName",
    "email": "sysUser.email",
    "mobile": "sysUser.mobile",
    "password": "sysUser.password",
    "remarks": "sysUser.remarks",
}


async def apply(call: SnmsCall) -> object:
    """User and enterprise together, or neither (N1). Somebody else decides on the application."""
    fields = call.read_fields()
    user, dossier = read_user(fields.get_object("sysUser")), read_dossier(fields)
    rules, order = call.state.config.rules, call.order()
    async with call.write() as conn:
        with naming():
            enterprise_id = await file_application(conn, rules, order, dossier)
        with naming(_USER_NAMES):
            await add_account(conn, rules.key_ring, order, _make_account(user, enterprise_id))
    return True


async def upgrade_apply(call: SnmsCall) -> object:
    """An enterprise for a user who exists and has none (N2)."""
    fields = call.read_fields()
    user_name, dossier = fields.get_text("username", 50, "userName").strip(), read_dossier(fields)
    order = call.order()
    async with call.write() as conn:
        with naming():
            enterprise_id = await file_application(conn, call.state.config.rules, order, dossier)
        with naming({"user_name": "username"}):
            await join_enterprise(conn, order, user_name, enterprise_id)
    return True


def read_user(user: Fields) -> dict[str, str]:
    """`password` is sha256hex of the password itself, which never comes here."""
    digest = user.get_text("password", 64).strip().lower()
    if not _DIGEST.fullmatch(digest):
        raise Refusal(texts.DIGEST_WRONG.format(name=f"{user.path}password"))
    return {
        "user_name": user.get_text("userName", 50, "username").strip(),
        "digest": digest,
        "email": user.get_text("email", 50).strip(),
        "mobile": user.get_text("mobile", 50).strip(),
        "remarks": (user.find_text("remarks", 500) or "").strip(),
    }


def _make_account(user: dict[str, str], enterprise_id: int) -> NewAccount:
    """The enterprise's administrator; clients of this interface may sign in hashed."""
    return NewAccount(
        user["user_name"],
        ["enterprise_admin"],
        password_digest=user["digest"],
        enterprise_id=enterprise_id,
        personal={name: user[name] for name in ("email", "mobile", "remarks")},
        may_sign_in_hashed=True,
    )


async def page(call: SnmsCall) -> object:
    fields, principal = call.read_fields(), call.get_principal()
    wanted, narrowed = read_page(fields), read_filter(fields, principal, "orgName")
    async with call.connect() as conn:
        lines, total = await fetch_enterprise_lines(conn, narrowed, wanted.offset, wanted.size)
        content = [_format_line(line, await _list_open_ids(conn, call, line.enterprise_id)) for line in lines]
    return format_page(content, total, wanted)


def _format_line(line: EnterpriseLine, open_ids: list[str]) -> dict[str, Any]:
    return {
        "id": line.enterprise_id,
        "createDate": format_time(line.created),
        "updateDate": format_time(line.changed),
        "orgName": line.name,
        "orgNature": line.dossier.get("nature"),
        "orgCrtType": line.certificate_type,
        "orgCrtCode": line.certificate_code,
        "orgDesc": line.dossier.get("description", ""),
        "website": line.dossier.get("website", ""),
        "entGeneralId": line.enterprise_id,
        "openIds": open_ids,
    }


async def _list_open_ids(conn: Connection, call: SnmsCall, enterprise_id: int) -> list[str]:
    """What other systems call the enterprise's users."""
    ring = call.state.config.rules.key_ring
    found = [open_personal(ring, row).get("open_id", "") for row in await fetch_accounts(conn, enterprise_id)]
    return list(filter(None, found))


async def detail(call: SnmsCall) -> object:
    """Everything that was filed. The operator's look at it is recorded: it shows personal data, which those who do
    not manage the enterprise are not shown."""
    enterprise_id = call.read_fields().get_number("id", 1, 2**62)
    principal = call.get_principal()
    try:
        if enterprise_id > MAX_ID:
            raise NotFound("enterprise_not_found")
        principal.check_sees_enterprise(enterprise_id)  # regulators have pages of their own, by area
        async with call.connect() as conn:
            shown = await get_enterprise(conn, principal, enterprise_id)
            personal: dict[str, Any] = {}
            users: list[AccountRow] = []
            if "manage" in principal.scopes:
                order = call.order("SNMS ent/detail")
                personal = await reveal_personal(conn, call.state.config.rules, order, enterprise_id)
                users = await fetch_accounts(conn, enterprise_id)
    except NotFound:
        raise Refusal(texts.ENTERPRISE_NOT_FOUND.format(id=enterprise_id)) from None
    return _format_detail(call, shown, personal, users)


def _format_detail(
    call: SnmsCall, shown: EnterpriseDetail, personal: dict[str, Any], users: list[AccountRow]
) -> dict[str, Any]:
    row, present = shown.row, shown.placements[-1]
    document = row.dossier | personal
    document["industry"] = present.industry
    document["prefix"] = shown.prefixes[0].prefix if shown.prefixes else ""
    return {
        "id": row.enterprise_id,
        "createDate": format_time(row.created),
        "updateDate": format_time(row.changed),
        "sysUser": _format_user(call, users[0]) if users else None,
        **format_dossier(document),
    }


def _format_user(call: SnmsCall, row: AccountRow) -> dict[str, Any]:
    """Never the password."""
    personal = open_personal(call.state.config.rules.key_ring, row)
    return {"userName": row.user_name, **{name: personal.get(name, "") for name in ("email", "mobile", "remarks")}}


ROUTES = {
    ("POST", "/snms/api/v3/ent/apply"): Route(apply, "operator", "manage"),
    ("POST", "/snms/api/v3/ent/upgrade-apply"): Route(upgrade_apply, "operator", "manage"),
    ("GET", "/snms/api/v3/ent/page"): Route(page),
    ("GET", "/snms/api/v3/ent/detail"): Route(detail),
}
