"""SQL of what is thrown away in time."""

from datetime import datetime

from asyncpg import Connection


async def delete_counted_changes(conn: Connection, before: datetime, limit: int) -> int:
    """Delete the oldest entries of the change log that are counted and older than `before`; how many."""
    tag = await conn.execute(
        "DELETE FROM changes WHERE at < $1 AND position IN (SELECT position FROM changes WHERE position <="
        " (SELECT c.position FROM counted_changes c JOIN change_log USING (log_id)) ORDER BY position LIMIT $2)",
        before,
        limit,
    )
    return int(tag.rpartition(" ")[2])
