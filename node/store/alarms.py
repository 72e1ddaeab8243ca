"""Alarms in the database, for lists and pages; what decides is the file of the machine (node.alarms)."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from asyncpg import Connection, Record


async def note_alarm(
    conn: Connection, key: tuple[str, str, str], at: datetime, details: Mapping[str, Any], sent: datetime | None
) -> None:
    """An alarm that is open; `key`: machine, cause, subject."""
    await conn.execute(
        "INSERT INTO alarms (machine, cause, subject, raised, details, sent)"
        " VALUES ($1, $2, $3, $4, $5::text::jsonb, $6)"
        " ON CONFLICT (machine, cause, subject) WHERE cleared IS NULL DO UPDATE SET details = excluded.details,"
        " sent = excluded.sent",
        *key, at, json.dumps(details, default=str), sent,
    )  # fmt: skip


async def clear_alarms(conn: Connection, machine: str, open_keys: list[tuple[str, str]], at: datetime) -> None:
    """Everything of this machine that is not among these (cause, subject) is over."""
    await conn.execute(
        "UPDATE alarms SET cleared = $4 WHERE machine = $1 AND cleared IS NULL"
        " AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::text[]) o(cause, subject)"
        " WHERE o.cause = alarms.cause AND o.subject = alarms.subject)",
        machine, [key[0] for key in open_keys], [key[1] for key in open_keys], at,
    )  # fmt: skip


async def clear_others(conn: Connection, machine: str, at: datetime) -> None:
    """Everything of other machines is over; those that live note theirs again with their next look."""
    await conn.execute("UPDATE alarms SET cleared = $2 WHERE machine <> $1 AND cleared IS NULL", machine, at)


async def fetch_alarms(conn: Connection, limit: int) -> list[Record]:
    """Open ones first, then the latest: machine, cause, subject, raised, sent, cleared, details."""
    return await conn.fetch(
        "SELECT machine, cause, subject, raised, sent, cleared, details::text AS details FROM alarms"
        " ORDER BY cleared IS NOT NULL, raised DESC, alarm_id DESC LIMIT $1",
        limit,
    )


async def count_open(conn: Connection) -> dict[str, int]:
    rows = await conn.fetch("SELECT cause, count(*) AS number FROM alarms WHERE cleared IS NULL GROUP BY cause")
    return {row["cause"]: row["number"] for row in rows}
