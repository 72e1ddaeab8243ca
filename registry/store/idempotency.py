"""SQL of answers that are repeated: one row per account, route and key, kept for seven days."""

from datetime import datetime, timedelta

from asyncpg import Connection, Record

KEPT = timedelta(days=7)
# First member of pg_advisory_xact_lock(int4, int4); the second is a hash of account, route and key.
_LOCK = 7_243


async def lock_key(conn: Connection, account: str, route: str, key: str) -> None:
    """Wait until no other transaction works under this key. A shared hash only makes strangers wait."""
    await conn.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK, f"{account}\n{route}\n{key}")


async def find_answer(conn: Connection, account: str, route: str, key: str, now: datetime) -> Record | None:
    """body_sha256, status and answer, if the key was used within the last seven days."""
    return await conn.fetchrow(
        "SELECT body_sha256, status, answer FROM idempotency"
        " WHERE account = $1 AND route = $2 AND key = $3 AND at > $4",
        account,
        route,
        key,
        now - KEPT,
    )


async def store_answer(
    conn: Connection, account: str, route: str, key: str, body_sha256: bytes, status: int, answer: bytes, now: datetime
) -> None:  # fmt: skip
    await conn.execute(
        "INSERT INTO idempotency (account, route, key, body_sha256, status, answer, at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account, route, key) DO UPDATE SET"
        " body_sha256 = excluded.body_sha256, status = excluded.status, answer = excluded.answer, at = excluded.at",
        account,
        route,
        key,
        body_sha256,
        status,
        answer,
        now,
    )


async def delete_old_answers(conn: Connection, now: datetime, limit: int = 1_000) -> int:
    """Forget what is older than seven days, a bounded number at a time; returns how many."""
    done = await conn.execute(
        "DELETE FROM idempotency WHERE (account, route, key) IN"
        " (SELECT account, route, key FROM idempotency WHERE at <= $1 ORDER BY at LIMIT $2)",
        now - KEPT,
        limit,
    )
    return int(done.rpartition(" ")[2])
