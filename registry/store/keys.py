"""SQL of access keys."""

from dataclasses import dataclass, field
from datetime import datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key without its secret; `enterprise_id` None acts for the operator, or for a partner."""

    access_key: str
    enterprise_id: int | None
    enterprise_name: str
    note: str
    created: datetime
    revoked: datetime | None
    organisation: str = ""  # a partner's key
    scopes: list[str] | None = None  # None: all
    networks: list[str] = field(default_factory=list)  # empty: from anywhere
    expires: datetime | None = None


async def insert_key(conn: Connection, key: KeyRow, secret_hash: bytes, hashed_signin: bytes | None) -> None:
    await conn.execute(
        "INSERT INTO access_keys (access_key, secret_hash, hashed_signin, enterprise_id, note, created, organisation,"
        " scopes, networks, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        key.access_key, secret_hash, hashed_signin, key.enterprise_id, key.note, key.created, key.organisation,
        key.scopes, key.networks, key.expires,
    )  # fmt: skip


_KEY = (
    "SELECT k.access_key, k.enterprise_id, coalesce(e.name, '') AS enterprise_name, k.note, k.created, k.revoked,"
    " k.organisation, k.scopes, k.networks, k.expires FROM access_keys k LEFT JOIN enterprises e USING (enterprise_id)"
)


async def fetch_keys(conn: Connection, enterprise_id: int | None = None) -> list[KeyRow]:
    """All keys, or those of one enterprise, oldest first."""
    rows = await conn.fetch(
        f"{_KEY} WHERE $1::int4 IS NULL OR k.enterprise_id = $1 ORDER BY k.created, k.access_key", enterprise_id
    )
    return [KeyRow(**row) for row in rows]


async def find_key(conn: Connection, access_key: str) -> KeyRow | None:
    """Locked until the transaction ends."""
    rows = await conn.fetch(f"{_KEY} WHERE k.access_key = $1 FOR UPDATE OF k", access_key)
    return KeyRow(**rows[0]) if rows else None


async def update_revoked(conn: Connection, access_key: str, at: datetime) -> None:
    await conn.execute("UPDATE access_keys SET revoked = $2 WHERE access_key = $1", access_key, at)


async def update_revoked_of(conn: Connection, enterprise_id: int, at: datetime) -> None:
    await conn.execute(
        "UPDATE access_keys SET revoked = $2 WHERE enterprise_id = $1 AND revoked IS NULL", enterprise_id, at
    )
