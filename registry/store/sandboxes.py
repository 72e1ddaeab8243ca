"""SQL of sandboxes: prefixes whose content is deleted every day. They have no row in prefix_owners."""

from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class SandboxRow:
    """`emptied` is when it was last reset."""

    prefix_id: int
    prefix: str
    state: int
    enterprise_id: int
    enterprise_name: str
    created: datetime
    emptied: datetime | None


_SELECT = (
    "SELECT p.prefix_id, p.prefix, p.state, e.enterprise_id, e.name AS enterprise_name, p.created,"
    " p.sandbox_reset AS emptied FROM prefixes p JOIN enterprises e ON e.enterprise_id = p.sandbox_of"
)


async def insert_sandbox(conn: Connection, prefix: str, enterprise_id: int, at: datetime) -> int | None:
    """The number of a new prefix, enabled and hosted; None if there is one already."""
    prefix_id: int | None = await conn.fetchval(
        "INSERT INTO prefixes (prefix, state, hosting, created, changed, sandbox_of, sandbox_reset)"
        " VALUES ($1, 1, 4, $3, $3, $2, $3) ON CONFLICT DO NOTHING RETURNING prefix_id",
        prefix,
        enterprise_id,
        at,
    )
    return prefix_id


async def fetch_sandboxes(
    conn: Connection, enterprise_id: int | None = None, after: int = 0, limit: int = 1_000
) -> list[SandboxRow]:
    """In order of their numbers, after the one given."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE p.prefix_id > $2 AND ($1::int4 IS NULL OR p.sandbox_of = $1) ORDER BY p.prefix_id LIMIT $3",
        enterprise_id,
        after,
        limit,
    )
    return [SandboxRow(**row) for row in rows]


async def fetch_due_sandboxes(conn: Connection, before: datetime, limit: int = 100) -> list[SandboxRow]:
    """Those that were last reset before an instant."""
    rows = await conn.fetch(f"{_SELECT} WHERE p.sandbox_reset < $1 ORDER BY p.prefix_id LIMIT $2", before, limit)
    return [SandboxRow(**row) for row in rows]


async def delete_records(conn: Connection, prefix_id: int, before: datetime, limit: int) -> int:
    """Records created before an instant with their history, but for those of templates; how many there were."""
    keys = await conn.fetch(
        "SELECT suffix_key FROM records r WHERE prefix_id = $1 AND created < $2 AND NOT EXISTS (SELECT FROM templates t"
        " WHERE t.prefix_id = r.prefix_id AND t.suffix_key = r.suffix_key) ORDER BY suffix_key LIMIT $3 FOR UPDATE",
        prefix_id,
        before,
        limit,
    )
    gone = [row["suffix_key"] for row in keys]
    for table in ("record_history", "records"):
        await conn.execute(
            f"DELETE FROM {table} WHERE prefix_id = $1 AND suffix_key = ANY($2::text[])",  # noqa: S608
            prefix_id,
            gone,
        )
    return len(gone)


async def delete_ranges(conn: Connection, prefix_id: int, before: datetime) -> int:
    """Ranges created before an instant with their history; how many there were."""
    await conn.execute(
        "DELETE FROM range_history h USING ranges r WHERE r.prefix_id = $1 AND r.created < $2"
        " AND (h.prefix_id, h.head_key, h.width, h.checked, h.first)"
        " = (r.prefix_id, r.head_key, r.width, r.checked, r.first)",
        prefix_id,
        before,
    )
    done = await conn.execute("DELETE FROM ranges WHERE prefix_id = $1 AND created < $2", prefix_id, before)
    return int(done.rpartition(" ")[2])


async def delete_templates(conn: Connection, prefix_id: int, before: datetime) -> list[int]:
    """Templates created before an instant that nothing uses, with their own records; their numbers."""
    rows = await conn.fetch(
        "DELETE FROM templates t WHERE prefix_id = $1 AND created < $2"
        " AND NOT EXISTS (SELECT FROM records r WHERE r.prefix_id = $1 AND r.template_id = t.template_id)"
        " AND NOT EXISTS (SELECT FROM ranges r WHERE r.prefix_id = $1 AND r.template_id = t.template_id)"
        " RETURNING template_id, suffix_key",
        prefix_id,
        before,
    )
    for table in ("record_history", "records"):
        await conn.execute(
            f"DELETE FROM {table} WHERE prefix_id = $1 AND suffix_key = ANY($2::text[])",  # noqa: S608
            prefix_id,
            [row["suffix_key"] for row in rows],
        )
    return [row["template_id"] for row in rows]


async def note_reset(conn: Connection, prefix_id: int, at: datetime) -> None:
    await conn.execute("UPDATE prefixes SET sandbox_reset = $2 WHERE prefix_id = $1", prefix_id, at)
