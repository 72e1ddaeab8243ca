"""Appending to the change log; numbering is the database function `number_changes` (design decision 3)."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection

from schemas.changes import ChangeKind

# The prefixes under which the present request has registered something, for whoever measures it.
ISSUED: ContextVar[set[int] | None] = ContextVar("issued", default=None)
_ISSUING = (ChangeKind.CREATED, ChangeKind.RANGE_CREATED)


@dataclass(frozen=True, slots=True)
class Act:
    """Who writes, when and why: goes into the change log and the history of what is touched."""

    actor: str
    at: datetime
    reason: str = ""


async def append_change(
    conn: Connection,
    kind: ChangeKind,
    prefix_id: int,
    act: Act,
    *,
    template_id: int = 0,
    old_template_id: int | None = None,
    suffix_keys: Sequence[str] = (),
    members: int = 0,
) -> None:
    """Name what this transaction touched; call it after the row locks are held."""
    issued = ISSUED.get()
    if issued is not None and kind in _ISSUING:
        issued.add(prefix_id)
    await conn.execute(
        "INSERT INTO changes_pending (kind, prefix_id, template_id, old_template_id, suffix_keys, members, at,"
        " actor, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        int(kind),
        prefix_id,
        template_id,
        old_template_id,
        list(suffix_keys),
        members or len(suffix_keys),
        act.at,
        act.actor,
        act.reason,
    )


async def number_changes(conn: Connection) -> int:
    """Give positions to what has committed; returns how many entries were moved. Its own transaction."""
    moved: int = await conn.fetchval("SELECT number_changes()")
    return moved
