"""SQL of templates. Documents are as schemas.templates formats them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from asyncpg import Connection, Record


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A template of a prefix; a deleted one keeps its row, so that its version never gets another meaning."""

    template_id: int
    prefix: str
    prefix_id: int
    version: str
    suffix_key: str
    document: dict[str, Any]
    created: datetime
    changed: datetime
    deleted: datetime | None


_SELECT = (
    "SELECT t.template_id, p.prefix, t.prefix_id, t.version, t.suffix_key, t.document::text AS document, t.created,"
    " t.changed, t.deleted FROM templates t JOIN prefixes p USING (prefix_id)"
)


def _to_row(row: Record) -> TemplateRow:
    return TemplateRow(**{**dict(row), "document": orjson.loads(row["document"])})


async def insert_template(
    conn: Connection, prefix_id: int, version: str, suffix_key: str, document: dict[str, Any], at: datetime
) -> int | None:
    """The number of the new template; None if version or key exist already."""
    template_id: int | None = await conn.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, $2, $3, $4::text::jsonb, $5, $5) ON CONFLICT DO NOTHING RETURNING template_id",
        prefix_id,
        version,
        suffix_key,
        orjson.dumps(document).decode(),
        at,
    )
    return template_id


async def find_template(
    conn: Connection, prefix: str, suffix_key: str, *, for_update: bool = False
) -> TemplateRow | None:
    """By prefix and the key of its own record, deleted ones among them."""
    lock = " FOR UPDATE OF t" if for_update else ""
    row = await conn.fetchrow(f"{_SELECT} WHERE p.prefix = $1 AND t.suffix_key = $2{lock}", prefix, suffix_key)
    return _to_row(row) if row else None


async def find_template_row(conn: Connection, template_id: int) -> TemplateRow | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE t.template_id = $1", template_id)
    return _to_row(row) if row else None


async def fetch_templates(conn: Connection, prefix: str) -> list[TemplateRow]:
    """Those that are not deleted, oldest first."""
    rows = await conn.fetch(f"{_SELECT} WHERE p.prefix = $1 AND t.deleted IS NULL ORDER BY t.template_id", prefix)
    return [_to_row(row) for row in rows]


async def update_document(
    conn: Connection, template_id: int, document: dict[str, Any], at: datetime, deleted: datetime | None = None
) -> None:
    await conn.execute(
        "UPDATE templates SET document = $2::text::jsonb, changed = $3, deleted = $4 WHERE template_id = $1",
        template_id,
        orjson.dumps(document).decode(),
        at,
        deleted,
    )


async def count_users(conn: Connection, prefix_id: int, template_id: int, limit: int) -> int:
    """How many live identifiers and ranges use the template, counted up to `limit`."""
    used: int = await conn.fetchval(
        "SELECT count(*) FROM ("
        " (SELECT 1 FROM records WHERE prefix_id = $1 AND template_id = $2 AND state <> 2 LIMIT $3) UNION ALL"
        " (SELECT 1 FROM ranges WHERE prefix_id = $1 AND template_id = $2 AND state <> 2 LIMIT $3)) AS users",
        prefix_id,
        template_id,
        limit,
    )
    return used
