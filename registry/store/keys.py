"""SQL of access keys."""

from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key without its secret; `enterprise_id` None acts for the operator."""

    access_key: str
    enterprise_id: int | None
    enterprise_name: str
    note: str
    created: datetime
    revoked: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against."""

    secret_hash: bytes
    enterprise_id: int | None
    is_revoked: bool


async def insert_key(conn: Connection, key: KeyRow, secret_hash: bytes) -> None:
    await conn.execute(
        "INSERT INTO access_keys (access_key, secret_hash, enterprise_id, note, created) VALUES ($1, $2, $3, $4, $5)",
        key.access_key,
        secret_hash,
        key.enterprise_id,
        key.note,
        key.created,
    )


async def find_credentials(conn: Connection, access_key: str) -> Credentials | None:
    row = await conn.fetchrow(
        "SELECT secret_hash, enterprise_id, revoked IS NOT NULL AS is_revoked FROM access_keys WHERE access_key = $1",
        access_key,
    )
    return Credentials(**row) if row else None


async def fetch_keys(conn: Connection, enterprise_id: int | None = None) -> list[KeyRow]:
    """All keys, or those of one enterprise, oldest first."""
    rows = await conn.fetch(
        "SELECT k.access_key, k.enterprise_id, coalesce(e.name, '') AS enterprise_name, k.note, k.created, k.revoked"
        " FROM access_keys k LEFT JOIN enterprises e USING (enterprise_id)"
        " WHERE $1::int4 IS NULL OR k.enterprise_id = $1 ORDER BY k.created, k.access_key",
        enterprise_id,
    )
    return [KeyRow(**row) for row in rows]


async def find_key(conn: Connection, access_key: str) -> KeyRow | None:
    rows = await conn.fetch(
        "SELECT k.access_key, k.enterprise_id, coalesce(e.name, '') AS enterprise_name, k.note, k.created, k.revoked"
        " FROM access_keys k LEFT JOIN enterprises e USING (enterprise_id) WHERE access_key = $1 FOR UPDATE OF k",
        access_key,
    )
    return KeyRow(**rows[0]) if rows else None


async def update_revoked(conn: Connection, access_key: str, at: datetime) -> None:
    await conn.execute("UPDATE access_keys SET revoked = $2 WHERE access_key = $1", access_key, at)


async def update_revoked_of(conn: Connection, enterprise_id: int, at: datetime) -> None:
    await conn.execute(
        "UPDATE access_keys SET revoked = $2 WHERE enterprise_id = $1 AND revoked IS NULL", enterprise_id, at
    )


async def fetch_owned_prefixes(conn: Connection, enterprise_id: int) -> dict[str, int]:
    """Prefix → number, of those the enterprise owns now."""
    rows = await conn.fetch(
        "SELECT p.prefix, p.prefix_id FROM prefix_owners o JOIN prefixes p USING (prefix_id)"
        " WHERE o.enterprise_id = $1 AND o.to_day IS NULL ORDER BY p.prefix_id",
        enterprise_id,
    )
    return {row["prefix"]: row["prefix_id"] for row in rows}
