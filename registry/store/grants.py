"""SQL of partners: organisations an enterprise has named, prefix by prefix."""

from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class Grant:
    """An organisation that may see what is marked for partners under a prefix; `revoked` None: it still may."""

    prefix: str
    organisation: str
    name: str  # of the enterprise of this node that has the code, else empty
    created: datetime
    revoked: datetime | None


_GRANT = (
    "SELECT p.prefix, g.organisation, coalesce((SELECT e.name FROM enterprises e WHERE e.certificate_type = 1"
    " AND e.certificate_code = g.organisation), '') AS name, g.created, g.revoked"
    " FROM grants g JOIN prefixes p USING (prefix_id)"
)


async def fetch_grants(conn: Connection, prefix_ids: list[int] | None, organisation: str | None = None) -> list[Grant]:
    """Of these prefixes, or of all, with those that were revoked; oldest first."""
    rows = await conn.fetch(
        f"{_GRANT} WHERE ($1::int4[] IS NULL OR g.prefix_id = ANY($1)) AND ($2::text IS NULL OR g.organisation = $2)"
        " ORDER BY g.created, p.prefix, g.organisation LIMIT 10000",
        prefix_ids, organisation,
    )  # fmt: skip
    return [Grant(**row) for row in rows]


async def find_grant(conn: Connection, prefix_id: int, organisation: str) -> Grant | None:
    """The one that holds now."""
    row = await conn.fetchrow(
        f"{_GRANT} WHERE g.prefix_id = $1 AND g.organisation = $2 AND g.revoked IS NULL", prefix_id, organisation
    )
    return Grant(**row) if row else None


async def insert_grant(conn: Connection, prefix_id: int, organisation: str, at: datetime) -> None:
    await conn.execute(
        "INSERT INTO grants (prefix_id, organisation, created) VALUES ($1, $2, $3)", prefix_id, organisation, at
    )


async def revoke_grant(conn: Connection, prefix_id: int, organisation: str, at: datetime) -> None:
    await conn.execute(
        "UPDATE grants SET revoked = $3 WHERE prefix_id = $1 AND organisation = $2 AND revoked IS NULL",
        prefix_id, organisation, at,
    )  # fmt: skip


async def revoke_grants(conn: Connection, prefix_id: int, at: datetime) -> None:
    """All that hold now."""
    await conn.execute("UPDATE grants SET revoked = $2 WHERE prefix_id = $1 AND revoked IS NULL", prefix_id, at)
