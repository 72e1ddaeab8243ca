"""The audit trail: numbered and chained after commit, like the change log; proof that neither was altered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

from asyncpg import Connection

from registry.principals import Order
from registry.store import DATABASE_AWAY
from registry.store.audit import (
    NUMBERED_AT_ONCE,
    AuditEntry,
    append_audit,
    fetch_broken_audit,
    fetch_broken_changes,
    fetch_ends,
    number_audit,
)
from schemas.errors import Unavailable
from schemas.identifiers import shorten

NUMBER_SECONDS = 1.0
MAX_TEXT = 300
MAX_REASON = 1_000  # as long as forms and programs may give
# What a request's address or form says it is about, what matters most first; all else in them is left out.
NAMES = (
    "action", "what", "prefix", "identifier", "first", "last", "suffix", "version", "template", "starter", "user_name",
    "organisation", "access_key", "invitation_id", "enterprise_id", "job", "text",
)  # fmt: skip

Connect = Callable[[], AbstractAsyncContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a chain: `log` is audit or changes; `problem` changed, removed, inserted or cut_off."""

    log: str
    position: int
    problem: str


async def note(conn: Connection, order: Order, action: str, subject: str, outcome: str = "ok") -> None:
    """Append an entry to the caller's transaction: it stands if what it tells of stands.

    What a client chose, such as a path, is shown with its control characters as codes: terminals obey them.
    """
    about, why = shorten(subject, MAX_TEXT), shorten(" ".join(order.reason.split()), MAX_REASON)
    entry = AuditEntry(order.at, order.principal.actor, order.address, action, about, outcome, why)
    await append_audit(conn, entry)


def name_subject(path: str, asked: Mapping[str, str]) -> str:
    """A path with what was asked for there, which alone says whose identifiers a page showed or a form ended."""
    named = "&".join(f"{name}={asked[name]}" for name in NAMES if asked.get(name))
    return f"{path}?{named}" if named else path


async def keep_numbering(connect: Connect) -> None:
    """Give positions and links to what has committed, once a second, until cancelled."""
    while True:
        with suppress(Unavailable, *DATABASE_AWAY):
            async with connect() as conn:
                await number_all(conn)
        await asyncio.sleep(NUMBER_SECONDS)


async def number_all(conn: Connection) -> None:
    """Everything that had committed when this began, however much keeps coming."""
    while await number_audit(conn) == NUMBERED_AT_ONCE:
        pass


async def verify(conn: Connection) -> AsyncIterator[Finding]:
    """Recompute both chains; what is wrong, in order of positions, nothing if all is as it was written.

    A row changed, removed, put in or moved breaks the links from there on; rows cut off the end miss the position and
    the link that stand apart. Who can rewrite whole tables with all their links is found by comparing with the end of
    the chain that was written down elsewhere (`fetch_ends`).
    """
    for log, fetch in (("audit", fetch_broken_audit), ("changes", fetch_broken_changes)):
        async for position, problem in fetch(conn):
            yield Finding(log, position, problem)
    for log, end in (await fetch_ends(conn)).items():
        if not end.fits:
            yield Finding(log, end.position, "cut_off")
