"""Following the change log, so that no worker answers what was true more than a second ago (design decisions 3, 6)."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from logging import getLogger
from typing import Any
from uuid import UUID

from resolver.cache import RecordCache
from resolver.fill import DATABASE_TROUBLE, TemplateShelf
from resolver.store import (
    Change,
    fetch_changes,
    fetch_log_end,
    fetch_prefixes,
    fetch_server,
    fetch_shapes,
    number_changes,
)
from schemas.changes import ChangeKind

POLL_SECONDS = 0.2
QUERY_SECONDS = 2.0
CONNECT_SECONDS = 2.0
CHANGES_PER_READ = 100
_KEYS_PER_TURN = 1_000
_OF_RANGES = {ChangeKind.RANGE_CREATED, ChangeKind.RANGE_CHANGED}

_log = getLogger(__name__)


class Follower:
    """Reads the log behind `(log_id, position)` and takes out of the cache what was touched."""

    def __init__(self, cache: RecordCache, templates: TemplateShelf, connect: Callable[[], Any]) -> None:
        self._cache = cache
        self._templates = templates
        self._connect = connect
        self._connection: Any = None
        self._server: datetime | None = None
        self.caught_up = asyncio.Event()  # the end of the log was reached once
        self._log_id: UUID | None = None
        self._position = 0

    @property
    def position(self) -> int:
        """The last entry of the change log that was read."""
        return self._position

    async def run(self) -> None:
        """Poll until cancelled. Trouble with the database is tried again at once, then every poll."""
        try:
            while True:
                await self.poll_or_mark_away()
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self.disconnect()

    async def poll_or_mark_away(self) -> None:
        """One poll; while it fails the cache answers what it knows."""
        for attempt in (1, 2):  # a connection that was cut says nothing about the server: try with a new one at once
            try:
                await self.poll()
                return
            except DATABASE_TROUBLE as error:
                self.disconnect()
                if attempt == 2 or not self._cache.is_current:
                    if self._cache.is_current:
                        _log.warning("the change log cannot be read: %s", str(error) or type(error).__name__)
                    self._cache.mark_away()
                    return

    async def poll(self) -> None:
        """Number what was committed, read to the end of the log, forget what was touched. Raises driver errors."""
        if self._connection is None or self._connection.is_closed():
            async with asyncio.timeout(CONNECT_SECONDS):
                self._connection = await self._connect()
                self._server = await fetch_server(self._connection)
        async with asyncio.timeout(QUERY_SECONDS):
            await number_changes(self._connection)
            log_id, end = await fetch_log_end(self._connection)
        self._cache.server = self._server
        if log_id != self._log_id or end < self._position:
            await self._start_again(log_id, end)
        while self._position < end:
            async with asyncio.timeout(QUERY_SECONDS):
                changes = await fetch_changes(self._connection, self._position, CHANGES_PER_READ)
            if not changes or changes[0].position != self._position + 1:
                await self._start_again(log_id, end)  # what stood there is older than the log's retention
                break
            await self._apply(changes)
            self._position = changes[-1].position
        self._cache.mark_current()
        self.caught_up.set()

    async def _start_again(self, log_id: UUID, end: int) -> None:
        """Know nothing, from the present end on; if this breaks off, also the next time."""
        self._log_id = None
        self._cache.forget_everything()
        self._templates.forget()
        self._cache.prefixes.replace(await self._read_prefixes())
        self._cache.forget_everything()  # what was asked by the old table meanwhile
        self._log_id, self._position = log_id, end

    async def _read_prefixes(self) -> Any:
        async with asyncio.timeout(10 * QUERY_SECONDS):
            return await fetch_prefixes(self._connection)

    async def _read_shapes(self, prefix_ids: set[int]) -> None:
        for prefix_id in prefix_ids:
            prefix = self._cache.prefixes.find_by_id(prefix_id)
            if prefix is not None:
                async with asyncio.timeout(QUERY_SECONDS):
                    prefix.shapes = await fetch_shapes(self._connection, prefix_id)

    async def _apply(self, changes: list[Change]) -> None:
        kinds = {change.kind for change in changes}
        # The tables first, so that what is asked from now on is asked by the new ones.
        if kinds & {ChangeKind.PREFIX, ChangeKind.ENTERPRISE}:
            self._cache.prefixes.replace(await self._read_prefixes())
        elif kinds & _OF_RANGES:
            await self._read_shapes({change.prefix_id for change in changes if change.kind in _OF_RANGES})
        if ChangeKind.TEMPLATE in kinds:
            self._templates.forget()
        await self._forget_wholes(changes)
        for change in changes:
            if change.kind <= ChangeKind.UNFROZEN:
                await self._forget_suffixes(change)

    async def _forget_wholes(self, changes: list[Change]) -> None:
        """One walk for all templates, prefixes and ranges that were touched."""
        templates = {c.template_id for c in changes if c.kind is ChangeKind.TEMPLATE}
        prefixes = {c.prefix_id for c in changes if c.kind is ChangeKind.PREFIX}
        ranges = {c.prefix_id for c in changes if c.kind in _OF_RANGES}
        if templates or prefixes or ranges:
            await self._cache.forget_where(
                lambda entry: (
                    entry.template_id in templates
                    or entry.prefix_id in prefixes
                    or (entry.is_member and entry.prefix_id in ranges)
                )
            )

    async def _forget_suffixes(self, change: Change) -> None:
        prefix = self._cache.prefixes.find_by_id(change.prefix_id)
        if prefix is None:  # never answered anything from records
            return
        created = change.kind is ChangeKind.CREATED
        if created and not self._cache.has_absences(prefix):
            return
        forget = self._cache.forget_absence if created else self._cache.forget_records
        keys = change.split_suffix_keys()
        for start in range(0, len(keys), _KEYS_PER_TURN):
            forget(prefix, keys[start : start + _KEYS_PER_TURN])
            await asyncio.sleep(0)

    def disconnect(self) -> None:
        """The next use connects anew."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
