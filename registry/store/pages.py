"""SQL of lists by page number, as the SNMS interface asks for them; `/api/v1` goes by cursors."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from asyncpg import Connection

from schemas.prefixes import Hosting, PrefixState


@dataclass(frozen=True, slots=True)
class PageFilter:
    """`name`: part of the enterprise's; `created_from` is inclusive, `created_to` exclusive. `own`: one enterprise."""

    name: str | None = None
    prefix: str | None = None  # the beginning of it
    created_from: datetime | None = None
    created_to: datetime | None = None
    own: int | None = None


@dataclass(frozen=True, slots=True)
class EnterpriseLine:
    """`dossier` is the public part."""

    enterprise_id: int
    name: str
    certificate_type: int
    certificate_code: str
    dossier: dict[str, Any]
    created: datetime
    changed: datetime


@dataclass(frozen=True, slots=True)
class PrefixLine:
    """A prefix with its present owner."""

    prefix_id: int
    prefix: str
    enterprise_id: int
    enterprise_name: str
    state: PrefixState
    hosting: Hosting
    created: datetime
    changed: datetime


_ENTERPRISES = (
    " FROM enterprises e WHERE ($1::text IS NULL OR position(lower($1) IN lower(e.name)) > 0)"
    " AND ($2::timestamptz IS NULL OR e.created >= $2) AND ($3::timestamptz IS NULL OR e.created < $3)"
    " AND ($4::int4 IS NULL OR e.enterprise_id = $4)"
)
_PREFIXES = (
    " FROM prefixes p JOIN prefix_owners o ON o.prefix_id = p.prefix_id AND o.to_day IS NULL"
    " JOIN enterprises e USING (enterprise_id)"
    " WHERE ($1::text IS NULL OR position(lower($1) IN lower(e.name)) > 0)"
    " AND ($2::timestamptz IS NULL OR p.created >= $2) AND ($3::timestamptz IS NULL OR p.created < $3)"
    " AND ($4::int4 IS NULL OR e.enterprise_id = $4) AND ($5::text IS NULL OR starts_with(p.prefix, $5))"
)


async def fetch_enterprise_lines(
    conn: Connection, wanted: PageFilter, offset: int, limit: int
) -> tuple[list[EnterpriseLine], int]:
    """Newest first, with how many there are in all."""
    bounds = (wanted.name, wanted.created_from, wanted.created_to, wanted.own)
    rows = await conn.fetch(
        "SELECT e.enterprise_id, e.name, e.certificate_type, e.certificate_code, e.dossier::text AS dossier,"
        f" e.created, e.changed{_ENTERPRISES} ORDER BY e.enterprise_id DESC OFFSET $5 LIMIT $6",
        *bounds, offset, limit,
    )  # fmt: skip
    total: int = await conn.fetchval(f"SELECT count(*){_ENTERPRISES}", *bounds)
    return [EnterpriseLine(**{**dict(row), "dossier": orjson.loads(row["dossier"])}) for row in rows], total


async def fetch_prefix_lines(
    conn: Connection, wanted: PageFilter, offset: int, limit: int
) -> tuple[list[PrefixLine], int]:
    """Newest first, with how many there are in all."""
    bounds = (wanted.name, wanted.created_from, wanted.created_to, wanted.own, wanted.prefix)
    rows = await conn.fetch(
        "SELECT p.prefix_id, p.prefix, e.enterprise_id, e.name AS enterprise_name, p.state, p.hosting, p.created,"
        f" p.changed{_PREFIXES} ORDER BY p.prefix_id DESC OFFSET $6 LIMIT $7",
        *bounds, offset, limit,
    )  # fmt: skip
    total: int = await conn.fetchval(f"SELECT count(*){_PREFIXES}", *bounds)
    lines = [
        PrefixLine(**{**dict(row), "state": PrefixState(row["state"]), "hosting": Hosting(row["hosting"])})
        for row in rows
    ]
    return lines, total
