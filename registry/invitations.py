"""Invitations: a link with which somebody makes himself an account, once and within seven days.

What the account may do and for whom it stands is fixed by who invites; the invited chooses name and password alone.
"""

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from asyncpg import Connection

from registry.accounts import NewAccount, add_account, check_gives, check_may_manage, check_roles, check_standing
from registry.audit import note
from registry.keyed_hashes import hash_keyed
from registry.principals import Order, Principal
from registry.sign_in import FORGET_AFTER, Visit, compute_wait_seconds, group_address
from registry.store import invitations as store
from registry.store.accounts import AccountRow, add_failure, delete_old_failures, find_failures
from registry.store.audit import AuditEntry, append_audit
from registry.store.invitations import InvitationRow, NewInvitationRow
from schemas.errors import Conflict, InvalidInput, NotFound, SlowDown
from schemas.sealing import KeyRing

LIFETIME = timedelta(days=7)
TOKEN_BYTES = 32
MAX_REMARK_CHARACTERS = 200
_GUESSES = "invitation:"  # among failed sign-ins; no account is called so


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """As `NewAccount` without what the invited chooses himself; `remark` says for whom it is."""

    roles: Sequence[str]
    enterprise_id: int | None = None
    organisation: str = ""
    area: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the invited sends; nothing in it says what he may do."""

    token: str
    user_name: str
    password: str


async def invite(conn: Connection, order: Order, wanted: NewInvitation) -> tuple[InvitationRow, str]:
    """The invitation and its token, which is shown this once.

    The operator invites anybody, an enterprise's administrator people of his own enterprise.
    Raises InvalidInput, Forbidden or NotFound.
    """
    roles = check_roles(wanted.roles)
    check_may_manage(order.principal, roles, wanted.enterprise_id)
    check_gives(order.principal, roles)
    organisation, _ = await check_standing(conn, _make_account(wanted, "", ""), roles)
    remark = check_remark(wanted.remark)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = NewInvitationRow(
        _hash(token), roles, wanted.enterprise_id, organisation, wanted.area.strip(), remark, order.at,
        order.principal.actor, order.at + LIFETIME,
    )  # fmt: skip
    async with conn.transaction():
        invitation_id = await store.insert_invitation(conn, row)
        await note(conn, order, "invited", f"{_format_subject(invitation_id)} {'+'.join(roles)}")
        return await _get(conn, invitation_id), token


def check_remark(text: str) -> str:
    """Raises InvalidInput."""
    remark = text.strip()
    if len(remark) > MAX_REMARK_CHARACTERS or not remark.isprintable():
        raise InvalidInput("field_too_long", field="remark", limit=MAX_REMARK_CHARACTERS)
    return remark


def _make_account(wanted: NewInvitation | InvitationRow, user_name: str, password: str) -> NewAccount:
    return NewAccount(
        user_name, wanted.roles, password, enterprise_id=wanted.enterprise_id, organisation=wanted.organisation,
        area=wanted.area,
    )  # fmt: skip


async def list_invitations(conn: Connection, principal: Principal, at: datetime) -> list[InvitationRow]:
    """Those that can still be used, newest first; an enterprise's administrator sees his own. Raises Forbidden."""
    if not principal.is_operator:
        check_may_manage(principal, (), principal.enterprise_id)
    return await store.fetch_open(conn, None if principal.is_operator else principal.enterprise_id, at)


async def revoke_invitation(conn: Connection, order: Order, invitation_id: int) -> InvitationRow:
    """Its link opens nothing any more. Raises NotFound, Forbidden, or Conflict if it is over already."""
    async with conn.transaction():
        row = await _get(conn, invitation_id)
        if order.principal.kind == "enterprise" and row.enterprise_id != order.principal.enterprise_id:
            raise NotFound("invitation_not_found", field="invitation_id", number=invitation_id)
        check_may_manage(order.principal, row.roles, row.enterprise_id)
        _check_open(row, order.at)
        await store.update_revoked(conn, invitation_id, order.at)
        await note(conn, order, "invitation_revoked", _format_subject(invitation_id))
        return await _get(conn, invitation_id)


async def _get(conn: Connection, invitation_id: int) -> InvitationRow:
    row = await store.find_invitation(conn, invitation_id) if 0 < invitation_id < 2**63 else None
    if row is None:
        raise NotFound("invitation_not_found", field="invitation_id", number=invitation_id)
    return row


# The invited ---------------------------------------------------------------------------------------------------------


async def open_invitation(conn: Connection, ring: KeyRing, visit: Visit, token: str) -> InvitationRow:
    """What a link is for. The connection is in no transaction: a wrong guess is written down and answered by an error.

    Raises NotFound, Conflict for one that is over, or SlowDown for who guesses.
    """
    address = group_address(visit.address)
    await _check_pace(conn, visit, address)
    row = await store.find_by_token(conn, _hash(token))
    if row is None:
        await delete_old_failures(conn, visit.at - FORGET_AFTER)
        await add_failure(conn, _GUESSES, address, hash_keyed(ring, "wrong invitation", token), visit.at)
        entry = AuditEntry(
            visit.at, "anonymous", visit.address, "invitation_opened", "invitation", "invitation_unknown"
        )
        await append_audit(conn, entry)
        raise NotFound("invitation_unknown", field="token")
    _check_open(row, visit.at)
    return row


async def _check_pace(conn: Connection, visit: Visit, address: str) -> None:
    """As signing in slows down who guesses; raises SlowDown."""
    known = await find_failures(conn, _GUESSES, address)
    if known is None or visit.at - known.last_at >= FORGET_AFTER:
        return
    due = known.last_at + timedelta(seconds=compute_wait_seconds(known.failures))
    if visit.at < due:
        raise SlowDown("invitation_slow_down", seconds=math.ceil((due - visit.at).total_seconds()))


def _check_open(row: InvitationRow, at: datetime) -> None:
    """Raises Conflict."""
    if row.used is not None:
        raise Conflict("invitation_used", field="token")
    if row.revoked is not None:
        raise Conflict("invitation_revoked", field="token")
    if row.expires <= at:
        raise Conflict("invitation_expired", field="token")


async def accept_invitation(conn: Connection, ring: KeyRing, visit: Visit, given: Acceptance) -> AccountRow:
    """Make the account; the link is used up with it, or not at all. The connection is in no transaction.

    Raises what `open_invitation` and `add_account` raise.
    """
    await open_invitation(conn, ring, visit, given.token)
    async with conn.transaction():
        row = await store.find_by_token(conn, _hash(given.token), for_update=True)
        if row is None:
            raise NotFound("invitation_unknown", field="token")
        _check_open(row, visit.at)  # of two at once one waited here
        # Who invited had the right when he did, and his open invitations ended with it.
        order = Order(Principal("operator", f"account:{given.user_name}"[:80]), visit.at, address=visit.address)
        made = await add_account(conn, ring, order, _make_account(row, given.user_name, given.password))
        await store.update_used(conn, row.invitation_id, made.user_name, visit.at)
        await note(conn, order, "invitation_used", _format_subject(row.invitation_id))
    return made


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _format_subject(invitation_id: int) -> str:
    return f"invitation:{invitation_id}"


def format_link(console_url: str, token: str) -> str:
    """What is handed to the invited."""
    return f"{console_url}/console/invitation?token={token}"
