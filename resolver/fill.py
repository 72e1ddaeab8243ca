"""Misses on their way to the database: a few connections, each asking for everything that is waiting at once."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from logging import getLogger
from time import monotonic
from typing import Any

import asyncpg

from resolver.cache import Entry, Fill, RecordCache
from resolver.entry import make_entry, make_fixed
from resolver.prefixes import Lookup
from resolver.store import fetch_rows, fetch_server, fetch_templates, prepare_statements
from schemas.errors import ServiceError
from schemas.resolution_log import Outcome
from schemas.templates import Template

MAX_BATCH = 512
QUERY_SECONDS = 2.0
DATABASE_TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_log = getLogger(__name__)
# A statement that sees 500 keys now and one later shall keep its plan; compiling it would cost more than running it.
SERVER_SETTINGS = {
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",  # a plan made while a partition is empty would scan it when it is full
    "application_name": "idnode resolver",
    # A server does not notice that nobody waits for its answer any more: who is given up must not stay and fill it.
    "lock_timeout": "3000",
}


class TemplateShelf:
    """Templates by id, read when a record first needs them."""

    def __init__(self) -> None:
        self._templates: dict[int, Template | None] = {0: None}
        self._epoch = 0

    def find(self, template_id: int) -> Template | None:
        return self._templates.get(template_id)

    def forget(self) -> None:
        """Templates changed; those being read meanwhile are not kept."""
        self._epoch += 1
        self._templates = {0: None}

    async def read(self, connection: Any, template_ids: set[int]) -> dict[int, Template | None]:
        """Those templates; an id without a template has None."""
        missing = sorted(template_ids - self._templates.keys())
        wanted = {n: self._templates.get(n) for n in template_ids}
        if missing:
            epoch = self._epoch
            read = {t.template_id: t for t in await fetch_templates(connection, missing)}
            wanted |= read
            if epoch == self._epoch:
                self._templates |= {n: read.get(n) for n in missing}
        return wanted


class Filler:
    """Answers the cache's questions over one connection of its own, for as long as it runs."""

    def __init__(self, cache: RecordCache, templates: TemplateShelf, connect: Callable[[], Any]) -> None:
        self._cache = cache
        self._templates = templates
        self._connect = connect
        self._connection: Any = None
        self._statements: Any = None
        self._server: datetime | None = None
        self.statements_sent = 0
        self.seconds = 0.0  # that they took

    async def run(self) -> None:
        """Until cancelled; what is under way then is answered "not now"."""
        try:
            while True:
                await self._cache.asked.wait()
                fills = self._cache.take_questions(MAX_BATCH)
                if fills:
                    await self.answer(fills)
        finally:
            if self._connection is not None:
                self._connection.terminate()

    async def answer(self, fills: list[Fill]) -> None:
        """Ask for all of them at once, and tell who waits."""
        entries: list[Entry | None] = [None] * len(fills)
        started = monotonic()
        try:
            entries = list(await self._ask_twice([fill.lookup for fill in fills]))
            if self._server != self._cache.server:  # its rows may be older than the log: one address, several servers
                self.disconnect()
                self._templates.forget()
                for fill in fills:
                    fill.keep = False
        except DATABASE_TROUBLE as error:
            _log.warning("the database does not answer: %s", str(error) or type(error).__name__)
        except (ServiceError, ValueError, TypeError, LookupError, AttributeError):
            _log.exception("a record or a template cannot be read")
        finally:
            self.statements_sent += 1
            self.seconds += monotonic() - started
            self._cache.settle(fills, entries)

    async def _ask_twice(self, lookups: list[Lookup]) -> list[Entry]:
        """A connection that was cut meanwhile says nothing about the server: then a new one is tried at once."""
        was_connected = self._connection is not None
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                return await self.ask(lookups)
        except DATABASE_TROUBLE as error:
            self.disconnect()
            if not was_connected or isinstance(error, TimeoutError):
                raise
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                return await self.ask(lookups)
        except DATABASE_TROUBLE:
            self.disconnect()
            raise

    async def ask(self, lookups: list[Lookup]) -> list[Entry]:
        """Their answers, in order; raises driver errors."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
            self._server = await fetch_server(self._connection)
            self._statements = await prepare_statements(self._connection)
        rows = await fetch_rows(self._statements, lookups)
        templates = await self._templates.read(self._connection, {row[2] for row in rows})
        found: list[Entry | None] = [None] * len(lookups)
        for n, is_member, template_id, state, changed, packed, note in rows:
            if is_member and found[n] is not None:
                continue  # a record of its own stands before its range
            if template_id and templates[template_id] is None:
                continue  # deleted since with all of its sandbox; without it private values would seem public
            entry = make_entry(lookups[n].prefix.prefix_id, templates[template_id], state, changed, packed, note or "")
            entry.is_member = is_member
            found[n] = entry
        return [entry or _make_absent(lookup) for entry, lookup in zip(found, lookups, strict=True)]

    def disconnect(self) -> None:
        """The next use connects anew."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _make_absent(lookup: Lookup) -> Entry:
    if lookup.otherwise is None:
        return make_fixed(Outcome.NOT_FOUND, lookup.prefix.prefix_id)
    lookup.otherwise.is_member = True  # a record of its own would come before it
    return lookup.otherwise
