"""SQL of streams that were sent with an Idempotency-Key: how far each is done and what became of its rows."""

from datetime import datetime, timedelta

from asyncpg import Connection, Record

KEPT = timedelta(days=7)


async def insert_stream(
    conn: Connection, account: str, route: str, key: str, body_sha256: bytes, at: datetime
) -> Record:
    """The stream of this key, begun now or before: stream_id, body_sha256. One of more than seven days ago is new."""
    await conn.execute(
        "DELETE FROM streams WHERE account = $1 AND route = $2 AND key = $3 AND at <= $4",
        account, route, key, at - KEPT,
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO streams (account, route, key, body_sha256, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        account, route, key, body_sha256, at,
    )  # fmt: skip
    (row,) = await conn.fetch(
        "SELECT stream_id, body_sha256 FROM streams WHERE account = $1 AND route = $2 AND key = $3", account, route, key
    )
    return row


async def lock_stream(conn: Connection, stream_id: int) -> int:
    """How many chunks are done; whoever sends the same stream at the same time waits here."""
    done: int | None = await conn.fetchval("SELECT chunks_done FROM streams WHERE stream_id = $1 FOR UPDATE", stream_id)
    return done or 0


async def fetch_chunk(conn: Connection, stream_id: int, chunk: int) -> bytes:
    outcomes: bytes = await conn.fetchval(
        "SELECT outcomes FROM stream_chunks WHERE stream_id = $1 AND chunk = $2", stream_id, chunk
    )
    return outcomes


async def store_chunk(conn: Connection, stream_id: int, chunk: int, outcomes: bytes) -> None:
    """In the transaction of the rows themselves."""
    await conn.execute(
        "INSERT INTO stream_chunks (stream_id, chunk, outcomes) VALUES ($1, $2, $3)", stream_id, chunk, outcomes
    )
    await conn.execute("UPDATE streams SET chunks_done = $2 WHERE stream_id = $1", stream_id, chunk + 1)


async def delete_old_streams(conn: Connection, now: datetime, limit: int = 100) -> int:
    """Forget chunks of streams of more than seven days ago, then the streams; how many of both."""
    deleted = await conn.fetchval(
        "WITH gone AS (DELETE FROM stream_chunks WHERE (stream_id, chunk) IN (SELECT c.stream_id, c.chunk FROM streams"
        " JOIN stream_chunks c USING (stream_id) WHERE at <= $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
        now - KEPT,
        limit,
    )
    if not deleted:
        done = await conn.execute(
            "DELETE FROM streams WHERE stream_id IN (SELECT stream_id FROM streams WHERE at <= $1 LIMIT $2)",
            now - KEPT, limit,
        )  # fmt: skip
        deleted = int(done.rpartition(" ")[2])
    return int(deleted)
