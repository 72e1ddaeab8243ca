"""Accounts: who may sign in, as what, and for whom (domain.md §b.1, appendix 3.5)."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import orjson
from asyncpg import Connection

from registry.areas import Area, get_area
from registry.audit import note
from registry.keyed_hashes import hash_keyed
from registry.passwords import check_password, digest_password, hash_digest
from registry.principals import KIND_OF_ROLE, ROLES, SCOPES, SCOPES_OF_ROLE, Order, Principal, Role
from registry.store.accounts import (
    AccountRow,
    NewAccountRow,
    delete_failures,
    end_all_of,
    fetch_accounts,
    find_taken,
    insert_account,
    take_totp_step,
    update_disabled,
    update_enterprise,
    update_password,
    update_totp,
)
from registry.store.accounts import find_account as find_row
from registry.store.enterprises import fetch_enterprise
from registry.store.holders import Holder
from registry.store.invitations import revoke_all_by
from registry.store.prefixes import fetch_owners_of
from registry.totp import find_step, format_address, make_secret
from schemas.certificates import check_uscc
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from schemas.identifiers import shorten
from schemas.sealing import KeyRing, SealBroken, seal, unseal

# Nobody's password-equivalent is kept who can do harm beyond one enterprise.
HASHED_SIGNIN_ROLES: frozenset[Role] = frozenset(("enterprise_admin", "enterprise_user", "partner"))
_ENTERPRISE_ROLES: frozenset[Role] = frozenset(("enterprise_admin", "enterprise_user"))
MAX_NAME_CHARACTERS = 50
# A name, or an application's identity handle: one under a prefix.
_USER_NAME = re.compile(r"(?:([0-9.]+)/)?\w[\w.@+-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PERSONAL_LIMITS = {"email": 255, "mobile": 50, "remarks": 500, "open_id": 64, "open_user_name": 255}


@dataclass(frozen=True, slots=True)
class NewAccount:
    """`password`, or `password_digest` = sha256hex(password) where the published interface gives no more.

    `enterprise_id` for the enterprise roles, `organisation` (social credit code) for a partner, `area` (a unit, or a
    division) for a regulator. `personal`: email, mobile, remarks, open_id, open_user_name; the first two belong to
    one account only. `may_sign_in_hashed` keeps sha256hex(password), sealed; never for operator, reviewer, engineer
    and regulator. `awaits_enterprise`: of an enterprise that will be named later (`join_enterprise`); until then the
    account may sign in and do nothing.
    """

    user_name: str
    roles: Sequence[str]
    password: str = ""
    password_digest: str = ""
    enterprise_id: int | None = None
    organisation: str = ""
    area: str = ""
    personal: dict[str, str] = field(default_factory=dict)
    may_sign_in_hashed: bool = False
    awaits_enterprise: bool = False


def fold_user_name(user_name: str) -> str:
    """What two spellings of one name have in common."""
    return unicodedata.normalize("NFKC", user_name).casefold()


async def add_account(conn: Connection, ring: KeyRing, order: Order, wanted: NewAccount) -> AccountRow:
    """The operator adds anybody, an enterprise's administrator people of his own enterprise.

    Raises InvalidInput, Forbidden, NotFound, or Conflict if the name, the e-mail or the mobile is another account's.
    """
    roles = check_roles(wanted.roles)
    check_may_manage(order.principal, roles, wanted.enterprise_id)
    check_gives(order.principal, roles)
    await check_user_name(conn, wanted.user_name, wanted.enterprise_id)
    if wanted.may_sign_in_hashed and not set(roles) <= HASHED_SIGNIN_ROLES:
        raise InvalidInput("hashed_sign_in_not_for_role", field="may_sign_in_hashed")
    row = await _make_row(conn, ring, order, wanted, roles)
    async with conn.transaction():
        if await insert_account(conn, row, roles) is None:
            taken = await find_taken(conn, row.user_name_key, row.email_hash, row.mobile_hash) or "user_name"
            raise Conflict(f"taken_{taken}", field=taken)
        await delete_failures(conn, row.user_name_key)
        await note_account(conn, order, "account_added", wanted.user_name)
    return await get_account(conn, wanted.user_name)


async def check_user_name(conn: Connection, user_name: str, enterprise_id: int | None) -> None:
    """The prefix of an identity handle (domain.md §d.2) is one of the account's own enterprise; raises InvalidInput."""
    found = _USER_NAME.fullmatch(user_name) if len(user_name) <= MAX_NAME_CHARACTERS else None
    if found is not None and not user_name.startswith("ak_"):
        prefix = found[1]
        if prefix is None or enterprise_id in (await fetch_owners_of(conn, [prefix])).values():
            return
    raise InvalidInput("user_name_malformed", field="user_name")


async def check_standing(conn: Connection, wanted: NewAccount, roles: Sequence[Role]) -> tuple[str, Area | None]:
    """For whom an account of these roles stands: the organisation of a partner, the area of a regulator.

    Raises InvalidInput, or NotFound for an enterprise that is not there.
    """
    await check_named_enterprise(conn, wanted, roles)
    return check_organisation(wanted, roles), await find_named_area(conn, wanted, roles)


async def check_named_enterprise(conn: Connection, wanted: NewAccount, roles: Sequence[Role]) -> None:
    if set(roles) & _ENTERPRISE_ROLES:
        if wanted.enterprise_id is None and not wanted.awaits_enterprise:
            raise InvalidInput("account_needs_enterprise", field="enterprise")
        if wanted.enterprise_id is not None and await fetch_enterprise(conn, wanted.enterprise_id) is None:
            raise NotFound("enterprise_not_found", field="enterprise", enterprise=wanted.enterprise_id)
    elif wanted.enterprise_id is not None:
        raise InvalidInput("account_scope_without_role", field="enterprise")


def check_organisation(wanted: NewAccount, roles: Sequence[Role]) -> str:
    if ("partner" in roles) != bool(wanted.organisation):
        raise InvalidInput("account_needs_organisation", field="organisation")
    return check_uscc(wanted.organisation) if wanted.organisation else ""


async def find_named_area(conn: Connection, wanted: NewAccount, roles: Sequence[Role]) -> Area | None:
    if ("regulator" in roles) != bool(wanted.area):
        raise InvalidInput("account_needs_area", field="area")
    return await get_area(conn, wanted.area) if wanted.area else None


async def _make_row(
    conn: Connection, ring: KeyRing, order: Order, wanted: NewAccount, roles: Sequence[Role]
) -> NewAccountRow:
    organisation, area = await check_standing(conn, wanted, roles)
    digest = wanted.password_digest.lower()
    if wanted.password or not digest:
        check_password(wanted.password, wanted.user_name)
        digest = digest_password(wanted.password)
    elif not _DIGEST.fullmatch(digest):
        raise InvalidInput("password_digest_malformed", field="password")
    key = fold_user_name(wanted.user_name)
    personal = check_personal(wanted.personal)
    return NewAccountRow(
        wanted.user_name, key, await hash_digest(digest),
        seal(ring, digest.encode(), format_signin_context(key)) if wanted.may_sign_in_hashed else None,
        wanted.enterprise_id, organisation, area.division_code if area else "", area.unit_id if area else None,
        seal(ring, orjson.dumps(personal), _format_personal_context(key)) if personal else None,
        _hash_contact(ring, personal, "email"), _hash_contact(ring, personal, "mobile"), order.at,
    )  # fmt: skip


def check_roles(given: Sequence[str]) -> list[Role]:
    """In the order of ROLES; raises InvalidInput."""
    for role in given:
        if role not in ROLES:
            raise InvalidInput("role_unknown", field="role", role=shorten(role, 40), roles=", ".join(ROLES))
    if not given:
        raise InvalidInput("role_unknown", field="role", role="", roles=", ".join(ROLES))
    return [role for role in ROLES if role in given]


def check_may_manage(principal: Principal, roles: Sequence[str], enterprise_id: int | None) -> None:
    """The operator manages all accounts, an enterprise's administrator those of his enterprise.

    Raises Forbidden, or NotFound, which tells nothing of the accounts of others.
    """
    if principal.is_operator:
        return
    if principal.kind != "enterprise" or "manage" not in principal.scopes:
        raise Forbidden("account_not_yours")
    if enterprise_id is not None:
        principal.check_enterprise(enterprise_id)
    if enterprise_id is None or not set(roles) <= _ENTERPRISE_ROLES:
        raise Forbidden("account_not_yours")


def check_gives(principal: Principal, roles: Sequence[str]) -> None:
    """Who makes an account, or sets its password, may do all that it may; raises Forbidden."""
    given = frozenset[str]().union(*(SCOPES_OF_ROLE[cast(Role, role)] for role in roles))
    principal.check_gives(scope for scope in SCOPES if scope in given)


def _check_may_manage_account(principal: Principal, row: AccountRow) -> None:
    """As `check_may_manage`; what belongs to others is not found."""
    if principal.kind == "enterprise" and row.enterprise_id != principal.enterprise_id:
        raise NotFound("account_not_found", field="user_name", user_name=shorten(row.user_name, 60))
    check_may_manage(principal, row.roles, row.enterprise_id)


def check_personal(given: dict[str, str]) -> dict[str, str]:
    """Without what is empty; raises InvalidInput."""
    for name, value in given.items():
        limit = _PERSONAL_LIMITS[name]
        if len(value) > limit or not value.isprintable():
            raise InvalidInput("field_too_long", field=name, limit=limit)
    return {name: value.strip() for name, value in given.items() if value.strip()}


def _hash_contact(ring: KeyRing, personal: dict[str, str], name: str) -> bytes | None:
    return hash_keyed(ring, name, fold_user_name(personal[name])) if name in personal else None


async def find_account(conn: Connection, user_name: str) -> AccountRow | None:
    """By its name in any spelling."""
    return await find_row(conn, fold_user_name(user_name)) if user_name.isprintable() else None


async def get_account(conn: Connection, user_name: str, *, for_update: bool = False) -> AccountRow:
    """Raises NotFound."""
    storable = user_name.isprintable() and len(user_name) <= 200
    row = await find_row(conn, fold_user_name(user_name), for_update=for_update) if storable else None
    if row is None:
        raise NotFound("account_not_found", field="user_name", user_name=shorten(user_name, 60))
    return row


async def get_known_account(conn: Connection, principal: Principal, user_name: str) -> AccountRow:
    """One's own, or one the caller manages; raises NotFound or Forbidden."""
    row = await get_account(conn, user_name)
    if row.account_id != principal.account_id:
        _check_may_manage_account(principal, row)
    return row


async def list_accounts(conn: Connection, principal: Principal) -> list[AccountRow]:
    """The operator sees all, an enterprise's administrator those of his enterprise; raises Forbidden."""
    if principal.is_operator:
        return await fetch_accounts(conn)
    check_may_manage(principal, (), principal.enterprise_id)
    return await fetch_accounts(conn, principal.enterprise_id)


def open_personal(ring: KeyRing, row: AccountRow) -> dict[str, str]:
    """E-mail, mobile and so on; empty if nothing was given or the key that sealed it is not there."""
    if row.personal is None:
        return {}
    try:
        opened = unseal(ring, row.personal, _format_personal_context(fold_user_name(row.user_name)))
    except SealBroken:
        return {}
    return cast(dict[str, str], orjson.loads(opened))


async def set_password(conn: Connection, ring: KeyRing, order: Order, user_name: str, password: str) -> None:
    """For oneself or, as who manages the account, for others; all its sessions but the caller's own end.

    So do its open invitations: whoever knew the old password may have handed them out to stay.
    """
    row = await get_account(conn, user_name)
    if order.principal.account_id != row.account_id:
        _check_may_manage_account(order.principal, row)
        check_gives(order.principal, row.roles)
    check_password(password, row.user_name)
    key, digest = fold_user_name(row.user_name), digest_password(password)
    password_hash = await hash_digest(digest)
    async with conn.transaction():
        sealed = seal(ring, digest.encode(), format_signin_context(key)) if row.has_hashed_signin else None
        await update_password(conn, row.account_id, password_hash, sealed, order.at)
        await end_all_of(conn, row.account_id, order.at, order.principal.session_id)
        await revoke_all_by(conn, f"account:{row.user_name}", order.at)
        await delete_failures(conn, key)
        await note_account(conn, order, "password_set", row.user_name)


async def set_second_factor(conn: Connection, ring: KeyRing, order: Order, user_name: str) -> str:
    """Ask for a code of an authenticator app from now on; what the app is to read (otpauth://…), this once.

    For oneself, or as who manages the account. A second one replaces the first.
    """
    secret = make_secret()
    async with conn.transaction():
        row = await _get_own_or_managed(conn, order, user_name)
        sealed = seal(ring, secret, format_totp_context(fold_user_name(row.user_name)))
        await update_totp(conn, row.account_id, sealed, order.at)
        await note_account(conn, order, "second_factor_set", row.user_name)
    return format_address(secret, row.user_name)


async def confirm_second_factor(conn: Connection, ring: KeyRing, order: Order, secret: bytes, code: str) -> None:
    """As `set_second_factor` for oneself, once the app has shown a code of `secret`; raises Unauthenticated."""
    step = find_step(secret, code, order.at)
    if step is None:
        raise Unauthenticated("second_factor_wrong", field="code")
    async with conn.transaction():
        row = await get_account(conn, order.principal.user_name, for_update=True)
        sealed = seal(ring, secret, format_totp_context(fold_user_name(row.user_name)))
        await update_totp(conn, row.account_id, sealed, order.at)
        await take_totp_step(conn, row.account_id, step)
        await note_account(conn, order, "second_factor_set", row.user_name)


async def give_up_second_factor(conn: Connection, order: Order) -> None:
    """As `remove_second_factor` for oneself; the caller has checked password and code just now."""
    async with conn.transaction():
        row = await get_account(conn, order.principal.user_name, for_update=True)
        await update_totp(conn, row.account_id, None, order.at)
        await note_account(conn, order, "second_factor_removed", row.user_name)


async def remove_second_factor(conn: Connection, order: Order, user_name: str) -> None:
    """A password is enough again, such as after a telephone was lost. For who manages the account."""
    async with conn.transaction():
        row = await get_account(conn, user_name, for_update=True)
        _check_may_manage_account(order.principal, row)
        await update_totp(conn, row.account_id, None, order.at)
        await note_account(conn, order, "second_factor_removed", row.user_name)


async def _get_own_or_managed(conn: Connection, order: Order, user_name: str) -> AccountRow:
    row = await get_account(conn, user_name, for_update=True)
    if row.account_id != order.principal.account_id:
        _check_may_manage_account(order.principal, row)
    return row


async def disable_account(conn: Connection, order: Order, user_name: str) -> AccountRow:
    """At once: its sessions end, and its open invitations. Nobody disables himself.

    Raises NotFound, Forbidden or Conflict.
    """
    async with conn.transaction():
        row = await get_account(conn, user_name, for_update=True)
        _check_may_manage_account(order.principal, row)
        if row.account_id == order.principal.account_id:
            raise Conflict("account_is_yours", field="user_name")
        if row.disabled is not None:
            raise Conflict("account_disabled_already", field="user_name", user_name=row.user_name)
        await update_disabled(conn, row.account_id, order.at, order.at)
        await end_all_of(conn, row.account_id, order.at)
        await revoke_all_by(conn, f"account:{row.user_name}", order.at)
        await note_account(conn, order, "account_disabled", row.user_name)
        return await get_account(conn, user_name)


async def enable_account(conn: Connection, order: Order, user_name: str) -> AccountRow:
    """Raises NotFound, Forbidden, or Conflict if it is not disabled."""
    async with conn.transaction():
        row = await get_account(conn, user_name, for_update=True)
        _check_may_manage_account(order.principal, row)
        if row.disabled is None:
            raise Conflict("account_enabled_already", field="user_name", user_name=row.user_name)
        await update_disabled(conn, row.account_id, None, order.at)
        await delete_failures(conn, fold_user_name(row.user_name))
        await note_account(conn, order, "account_enabled", row.user_name)
        return await get_account(conn, user_name)


async def join_enterprise(conn: Connection, order: Order, user_name: str, enterprise_id: int) -> AccountRow:
    """Make an account that belongs to nobody the administrator of an enterprise. For the operator alone.

    Raises NotFound, or Conflict if it stands for somebody already.
    """
    order.principal.check_operator()
    async with conn.transaction():
        row = await get_account(conn, user_name, for_update=True)
        if row.enterprise_id is not None or not set(row.roles) <= _ENTERPRISE_ROLES:
            raise Conflict("account_has_enterprise", field="user_name", user_name=row.user_name)
        await update_enterprise(conn, row.account_id, enterprise_id, "enterprise_admin", order.at)
        await note_account(conn, order, "account_joined", row.user_name)
    return await get_account(conn, user_name)


async def note_account(conn: Connection, order: Order, action: str, user_name: str) -> None:
    """In the audit trail."""
    await note(conn, order, action, f"account:{user_name}")


def make_account_principal(holder: Holder, session_id: UUID | None = None) -> Principal:
    """What an account may do is the sum of its roles."""
    roles = cast(list[Role], holder.roles)
    kinds = [kind for role, kind in KIND_OF_ROLE.items() if role in roles]
    waits = kinds[0] == "enterprise" and holder.enterprise_id is None
    shared: dict[str, Any] = {"account_id": holder.account_id, "user_name": holder.user_name or ""}
    return Principal(
        kinds[0],
        f"account:{holder.user_name}",
        holder.enterprise_id,
        prefixes=dict(zip(holder.prefixes, holder.prefix_ids, strict=True)),
        roles=frozenset(roles),
        scopes=frozenset(scope for role in roles for scope in SCOPES_OF_ROLE[role] if not waits),
        organisation=holder.organisation,
        division_code=holder.division_code,
        unit_id=holder.unit_id,
        session_id=session_id,
        partner_of=frozenset(holder.partner_of),
        **shared,
    )


def format_signin_context(user_name_key: str) -> str:
    """Where the sealed sha256hex of an account's password belongs."""
    return f"account/{user_name_key}/signin"


def format_totp_context(user_name_key: str) -> str:
    """Where the sealed secret of the second factor belongs."""
    return f"account/{user_name_key}/totp"


def _format_personal_context(user_name_key: str) -> str:
    return f"account/{user_name_key}/personal"
