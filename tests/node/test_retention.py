"""What is old and counted goes; nothing that is still to be counted does."""

from datetime import UTC, datetime, timedelta

import asyncpg
from asyncpg import Connection

from node.counting import count_changes
from node.store.retention import delete_counted_changes

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def append(conn: Connection, age_days: int) -> None:
    await conn.execute(
        "INSERT INTO changes_pending (kind, prefix_id, at, actor) VALUES (9, 1, $1, 'test')",
        NOW - timedelta(days=age_days),
    )


async def test_only_counted_entries_older_than_the_limit_are_deleted(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    for age in (90, 60, 10):
        await append(connection, age)
    await count_changes(connection)
    await append(connection, 80)
    await connection.execute("SELECT number_changes()")
    before = NOW - timedelta(days=30)
    assert await delete_counted_changes(connection, before, 1) == 1, "the oldest first, a few at a time"
    assert await delete_counted_changes(connection, before, 100) == 1
    assert await delete_counted_changes(connection, before, 100) == 0
    left = [row["position"] for row in await connection.fetch("SELECT position FROM changes ORDER BY position")]
    await connection.close()
    assert left == [3, 4], "the third is young, the fourth is not counted"
