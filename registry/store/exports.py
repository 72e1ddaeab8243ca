"""SQL of what an enterprise takes with it: pages by key, so that no statement and no transaction lasts long."""

from uuid import UUID

from asyncpg import Connection, Record


async def fetch_history_page(conn: Connection, prefix_id: int, after: tuple[str, int], limit: int) -> list[Record]:
    """Former revisions of records in order of key and revision, after the one given."""
    return await conn.fetch(
        "SELECT h.suffix_key, coalesce(r.suffix, h.suffix_key) AS suffix, h.revision, h.template_id, h.state, h.packed,"
        " coalesce(h.note, '') AS note, h.since, h.until, h.action, h.actor, h.reason FROM record_history h"
        " LEFT JOIN records r ON r.prefix_id = h.prefix_id AND r.suffix_key = h.suffix_key"
        " WHERE h.prefix_id = $1 AND (h.suffix_key, h.revision) > ($2, $3) ORDER BY h.suffix_key, h.revision LIMIT $4",
        prefix_id,
        *after,
        limit,
    )


async def fetch_range_history_page(
    conn: Connection, prefix_id: int, after: tuple[str, int, bool, int, int], limit: int
) -> list[Record]:
    """Former revisions of ranges, after head_key, width, checked, first and revision."""
    return await conn.fetch(
        "SELECT h.head_key, r.head, h.width, h.checked, h.first, h.last, h.revision, h.template_id, h.state, h.packed,"
        " coalesce(h.note, '') AS note, h.since, h.until, h.action, h.actor, h.reason, h.members FROM range_history h"
        " JOIN ranges r USING (prefix_id, head_key, width, checked, first)"
        " WHERE h.prefix_id = $1 AND (h.head_key, h.width, h.checked, h.first, h.revision) > ($2, $3, $4, $5, $6)"
        " ORDER BY h.head_key, h.width, h.checked, h.first, h.revision LIMIT $7",
        prefix_id,
        *after,
        limit,
    )


async def fetch_attachment_page(conn: Connection, enterprise_id: int, after: int, limit: int) -> list[Record]:
    """Files of an enterprise: attachment_id, name, kind, bound_as, created."""
    return await conn.fetch(
        "SELECT attachment_id, name, kind, bound_as, created FROM attachments"
        " WHERE enterprise_id = $1 AND attachment_id > $2 ORDER BY attachment_id LIMIT $3",
        enterprise_id,
        after,
        limit,
    )


async def fetch_log_position(conn: Connection) -> tuple[UUID, int]:
    """Which change log this is and how far it is numbered."""
    (row,) = await conn.fetch("SELECT log_id, position FROM change_log")
    return row["log_id"], row["position"]
