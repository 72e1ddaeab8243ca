"""SQL of the audit trail: appended with what it tells of, numbered and chained after commit."""

from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what, when, from where and why; `outcome` is `ok` or the code of what was wrong."""

    at: datetime
    actor: str
    address: str
    action: str
    subject: str
    outcome: str = "ok"
    reason: str = ""


async def append_audit(conn: Connection, entry: AuditEntry) -> None:
    await conn.execute(
        "INSERT INTO audit_pending (at, actor, address, action, subject, outcome, reason)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        entry.at, entry.actor, entry.address, entry.action, entry.subject, entry.outcome, entry.reason,
    )  # fmt: skip


async def number_audit(conn: Connection) -> int:
    """Give positions and links to what has committed; returns how many entries were moved. Its own transaction."""
    moved: int = await conn.fetchval("SELECT number_audit()")
    return moved
