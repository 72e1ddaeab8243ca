"""SQL of the audit trail: appended with what it tells of, numbered and chained after commit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection

NUMBERED_AT_ONCE = 1_000  # by the function of the schema


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


async def fetch_audit(conn: Connection, before: int | None, limit: int, text: str = "") -> list[tuple[int, AuditEntry]]:
    """Newest first, with their positions; `text` is part of actor, action or subject."""
    rows = await conn.fetch(
        "SELECT position, at, actor, address, action, subject, outcome, reason FROM audit"
        " WHERE ($1::int8 IS NULL OR position < $1)"
        " AND ($3 = '' OR position($3 IN actor) > 0 OR position($3 IN action) > 0 OR position($3 IN subject) > 0)"
        " ORDER BY position DESC LIMIT $2",
        before, limit, text,
    )  # fmt: skip
    return [(row["position"], AuditEntry(*list(row)[1:])) for row in rows]


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The last position given and its link, in hexadecimal; `fits` whether the last row is it."""

    position: int
    link: str
    fits: bool


# Each row is compared with the link of the row before it as it stands, so that one bad row is one finding. The first
# row that retention has left has none before it.
_AUDIT_CHAIN = (
    "SELECT position, previous FROM (SELECT position, lag(position) OVER w AS previous,"
    " link = audit_link(coalesce(lag(link) OVER w, ''), a) AS is_right FROM audit a WINDOW w AS (ORDER BY position)) c"
    " WHERE position <> coalesce(previous, 0) + 1 OR NOT is_right ORDER BY position"
)
_CHANGES_CHAIN = (
    "SELECT position, previous FROM (SELECT position, lag(position) OVER w AS previous,"
    " link = sha256(coalesce(lag(link) OVER w, '') || convert_to(concat_ws('|', position, kind, prefix_id,"
    " template_id, coalesce(old_template_id, -1), members, extract(epoch FROM at), actor, reason, suffix_keys::text),"
    " 'UTF8')) AS is_right FROM changes WINDOW w AS (ORDER BY position)) c"
    " WHERE position <> coalesce(previous, 0) + 1 OR NOT is_right ORDER BY position"
)
# Retention may have emptied the change log, never the audit trail.
_ENDS = (
    "SELECT 'audit' AS log, h.position, encode(h.link, 'hex') AS link, h.position = coalesce(l.position, 0)"
    " AND (l.position IS NULL OR l.link = h.link) AS fits FROM audit_head h"
    " LEFT JOIN LATERAL (SELECT position, link FROM audit ORDER BY position DESC LIMIT 1) l ON true"
    " UNION ALL SELECT 'changes', h.position, encode(h.link, 'hex'), l.position IS NULL"
    " OR (h.position = l.position AND l.link = h.link) FROM change_log h"
    " LEFT JOIN LATERAL (SELECT position, link FROM changes ORDER BY position DESC LIMIT 1) l ON true"
)


async def fetch_broken_audit(conn: Connection) -> AsyncIterator[tuple[int, str]]:
    """(position, `changed`: the row itself, or `removed`: one before it)."""
    async for position, previous in _find_broken(conn, _AUDIT_CHAIN):
        yield position, "changed" if position == (previous or 0) + 1 else "removed"


async def fetch_broken_changes(conn: Connection) -> AsyncIterator[tuple[int, str]]:
    """As `fetch_broken_audit`. What retention deleted from the beginning is not missed."""
    async for position, previous in _find_broken(conn, _CHANGES_CHAIN):
        if previous is not None or position == 1:
            yield position, "changed" if position == (previous or 0) + 1 else "removed"


async def _find_broken(conn: Connection, chain: str) -> AsyncIterator[tuple[int, int | None]]:
    """Position of a row that does not fit, and of the row before it."""
    async with conn.transaction():
        async for row in conn.cursor(chain):
            yield row["position"], row["previous"]


async def fetch_ends(conn: Connection) -> dict[str, ChainEnd]:
    """Of both logs, by name."""
    rows = await conn.fetch(_ENDS)
    return {row["log"]: ChainEnd(row["position"], row["link"], row["fits"]) for row in rows}
