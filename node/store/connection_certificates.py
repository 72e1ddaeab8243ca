"""SQL of connection certificates and of what signs them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class Certificate:
    """As issued, and whether it was revoked. `fingerprint`: SHA-256 of the signing certificate, hex."""

    number: str
    enterprise_id: int
    enterprise: str
    certificate_code: str
    prefixes: tuple[str, ...]
    connected_on: date
    node_name: str
    issued_at: datetime
    issued_by: str
    fingerprint: str
    sha256: bytes
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    reason: str = ""


_NAMES = tuple(field.name for field in fields(Certificate))
_COLUMNS = ", ".join(_NAMES)


async def insert_certificate(conn: Connection, one: Certificate, file: bytes) -> None:
    await conn.execute(
        "INSERT INTO connection_certificates (number, enterprise_id, enterprise, certificate_code, prefixes,"
        " connected_on, node_name, issued_at, issued_by, fingerprint, sha256, file)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        *(getattr(one, name) for name in _NAMES[:11]),
        file,
    )


async def fetch_certificate(conn: Connection, number: str, *, for_update: bool = False) -> Certificate | None:
    lock = " FOR UPDATE" if for_update else ""
    return _read(await conn.fetchrow(f"SELECT {_COLUMNS} FROM connection_certificates WHERE number = $1{lock}", number))  # noqa: S608


async def fetch_by_digest(conn: Connection, sha256: bytes) -> Certificate | None:
    return _read(await conn.fetchrow(f"SELECT {_COLUMNS} FROM connection_certificates WHERE sha256 = $1", sha256))  # noqa: S608


async def fetch_certificates(conn: Connection, enterprise_id: int | None, limit: int) -> list[Certificate]:
    """Newest first, of one enterprise or of all."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM connection_certificates WHERE $1::int4 IS NULL OR enterprise_id = $1"  # noqa: S608
        " ORDER BY issued_at DESC, number LIMIT $2",
        enterprise_id,
        limit,
    )
    return [one for row in rows if (one := _read(row)) is not None]


def _read(row: object) -> Certificate | None:
    if row is None:
        return None
    values = dict(row)  # type: ignore[call-overload]
    return Certificate(**values | {"prefixes": tuple(values["prefixes"])})


async def count_since(conn: Connection, enterprise_id: int, since: datetime) -> int:
    """How many a firm got since then."""
    count: int = await conn.fetchval(
        "SELECT count(*) FROM connection_certificates WHERE enterprise_id = $1 AND issued_at >= $2",
        enterprise_id,
        since,
    )
    return count


async def fetch_file(conn: Connection, number: str) -> bytes | None:
    content: bytes | None = await conn.fetchval("SELECT file FROM connection_certificates WHERE number = $1", number)
    return content


async def revoke_certificate(conn: Connection, number: str, act: tuple[str, datetime, str]) -> None:
    """`act`: who, when, why."""
    await conn.execute(
        "UPDATE connection_certificates SET revoked_by = $2, revoked_at = $3, reason = $4 WHERE number = $1",
        number,
        *act,
    )


async def fetch_since(conn: Connection, enterprise_id: int, decisions: Sequence[str]) -> datetime | None:
    """When the last of these decisions on an enterprise was taken."""
    at: datetime | None = await conn.fetchval(
        "SELECT max(at) FROM decisions WHERE enterprise_id = $1 AND prefix IS NULL AND decision = ANY($2::text[])",
        enterprise_id,
        list(decisions),
    )
    return at


async def fetch_own_signing(conn: Connection) -> tuple[str, bytes, bytes] | None:
    """The node's own (fingerprint, certificate, sealed key), if it was made."""
    row = await conn.fetchrow(
        "SELECT fingerprint, certificate, sealed FROM signing_certificates WHERE sealed IS NOT NULL"
    )
    return None if row is None else (row["fingerprint"], row["certificate"], row["sealed"])


async def fetch_signing(conn: Connection, fingerprint: str) -> bytes | None:
    """A certificate that signed, DER."""
    der: bytes | None = await conn.fetchval(
        "SELECT certificate FROM signing_certificates WHERE fingerprint = $1", fingerprint
    )
    return der


async def insert_signing(
    conn: Connection, fingerprint: str, certificate: bytes, sealed: bytes | None, at: datetime
) -> None:
    """Nothing happens if it is known, or if another process made the node's own meanwhile."""
    await conn.execute(
        "INSERT INTO signing_certificates (fingerprint, certificate, sealed, created) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        fingerprint,
        certificate,
        sealed,
        at,
    )
