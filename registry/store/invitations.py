"""SQL of invitations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation; at most one of `used` and `revoked` is set."""

    invitation_id: int
    roles: list[str]
    enterprise_id: int | None
    enterprise_name: str
    organisation: str
    area: str
    remark: str
    created: datetime
    created_by: str
    expires: datetime
    used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True, slots=True)
class NewInvitationRow:
    token_hash: bytes
    roles: Sequence[str]
    enterprise_id: int | None
    organisation: str
    area: str
    remark: str
    created: datetime
    created_by: str
    expires: datetime


_INVITATION = (
    "SELECT i.invitation_id, i.roles, i.enterprise_id, coalesce(e.name, '') AS enterprise_name, i.organisation, i.area,"
    " i.remark, i.created, i.created_by, i.expires, i.used, i.revoked"
    " FROM invitations i LEFT JOIN enterprises e USING (enterprise_id)"
)


async def insert_invitation(conn: Connection, row: NewInvitationRow) -> int:
    """Its number."""
    invitation_id: int = await conn.fetchval(
        "INSERT INTO invitations (token_hash, roles, enterprise_id, organisation, area, remark, created, created_by,"
        " expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING invitation_id",
        row.token_hash, list(row.roles), row.enterprise_id, row.organisation, row.area, row.remark, row.created,
        row.created_by, row.expires,
    )  # fmt: skip
    return invitation_id


async def find_by_token(conn: Connection, token_hash: bytes, *, for_update: bool = False) -> InvitationRow | None:
    lock = " FOR UPDATE OF i" if for_update else ""
    row = await conn.fetchrow(f"{_INVITATION} WHERE i.token_hash = $1{lock}", token_hash)
    return InvitationRow(**row) if row else None


async def find_invitation(conn: Connection, invitation_id: int) -> InvitationRow | None:
    """Locked until the transaction ends."""
    row = await conn.fetchrow(f"{_INVITATION} WHERE i.invitation_id = $1 FOR UPDATE OF i", invitation_id)
    return InvitationRow(**row) if row else None


async def fetch_open(conn: Connection, enterprise_id: int | None, at: datetime) -> list[InvitationRow]:
    """Those that can still be used, newest first: of one enterprise, or all (None)."""
    rows = await conn.fetch(
        f"{_INVITATION} WHERE i.used IS NULL AND i.revoked IS NULL AND i.expires > $2"
        " AND ($1::int4 IS NULL OR i.enterprise_id = $1) ORDER BY i.invitation_id DESC LIMIT 1000",
        enterprise_id, at,
    )  # fmt: skip
    return [InvitationRow(**row) for row in rows]


async def update_used(conn: Connection, invitation_id: int, user_name: str, at: datetime) -> None:
    await conn.execute(
        "UPDATE invitations SET used = $3, used_by = $2 WHERE invitation_id = $1", invitation_id, user_name, at
    )


async def update_revoked(conn: Connection, invitation_id: int, at: datetime) -> None:
    await conn.execute("UPDATE invitations SET revoked = $2 WHERE invitation_id = $1", invitation_id, at)


async def revoke_all_by(conn: Connection, actor: str, at: datetime) -> None:
    """What somebody has handed out and nobody has used: his own right has ended."""
    await conn.execute(
        "UPDATE invitations SET revoked = $2 WHERE created_by = $1 AND used IS NULL AND revoked IS NULL", actor, at
    )
