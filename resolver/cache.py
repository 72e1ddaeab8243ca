"""The record cache of a worker: synchronous on a hit, one question to the database per key on a miss (design 6).

Everything here runs on the loop's thread. Nothing is kept that the change log could not take away again: a fill
that was under way when its key was named is answered but not kept.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from logging import getLogger

from resolver.entry import Entry
from resolver.prefixes import Lookup, Prefix, PrefixTable
from schemas.resolution_log import Outcome

__all__ = ["Callback", "Entry", "Fill", "RecordCache"]

LONGEST_KEPT_SECONDS = 600.0
LONGEST_STALE_SECONDS = 86_400.0
NEGATIVE_SECONDS = 5.0
MAX_NEGATIVES = 50_000
MAX_WAITING = 50_000
_WALK_STEP = 2_000

Callback = Callable[[Entry | None], None]
_Key = bytes | str
_FOUND, _NOT_FOUND = Outcome.FOUND, Outcome.NOT_FOUND  # members are looked up slowly

_log = getLogger(__name__)
# Neither URL nor JSON escapes any of these, so a request that spells such a key needs no decoding.
_PLAIN = re.compile(rb"[0-9A-Z.]+/[0-9A-Z.\-_~!$&'()*+,;=:@/]*")


class Fill:
    """A question on its way to the database, and who waits for it."""

    __slots__ = ("callbacks", "keep", "lookup")

    def __init__(self, lookup: Lookup, callback: Callback) -> None:
        self.lookup = lookup
        self.callbacks = [callback]
        self.keep = True


_NOTHING_MISSED = (b"", None)


class RecordCache:
    """Entries by folded identifier. `clock` is monotonic seconds; `limit_bytes` bounds what the entries occupy."""

    def __init__(self, prefixes: PrefixTable, limit_bytes: int, clock: Callable[[], float]) -> None:
        self.prefixes = prefixes
        self.asked = asyncio.Event()  # there are questions for the database
        self.server: datetime | None = None  # whose log is followed: what others say is answered and not kept
        self.misses = 0  # questions that the cache could not answer, so far
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._entries: dict[_Key, Entry] = {}
        self._negatives: dict[_Key, Entry] = {}
        self._hand: deque[_Key] = deque()  # who is looked at next when room is needed (second chance)
        self._fills: dict[_Key, Fill] = {}
        self._queue: deque[Fill] = deque()
        self._missed: tuple[bytes, Lookup | None] = _NOTHING_MISSED  # located by `find` for `fetch`
        self._on_growth = self._grow  # one object for all entries
        self._oldest = float("inf")  # entries checked before are asked about again
        self._synced_at: float | None = None  # when rows and log were last known to agree with what is kept
        self._is_current = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def occupied_bytes(self) -> int:
        return self._bytes

    @property
    def misses_in_flight(self) -> int:
        """Keys that are being asked about."""
        return len(self._fills)

    @property
    def synced_seconds(self) -> float | None:
        """Since the change log was last read to its end; None: never yet."""
        return None if self._synced_at is None else self._clock() - self._synced_at

    @property
    def is_current(self) -> bool:
        """Whether the change log is being followed: false while the database is away."""
        return self._is_current

    # Asking

    def find(self, raw: bytes) -> Entry | None:
        """The answer if no database is needed for it; None: ask `fetch`. `raw` is the identifier as asked."""
        entry = self._entries.get(raw.upper())
        if entry is not None and entry.checked_at >= self._oldest:
            entry.used = True
            return entry
        return self._find_otherwise(raw)

    def _find_otherwise(self, raw: bytes) -> Entry | None:
        located = self.prefixes.locate(raw)
        if isinstance(located, Entry):
            return self._trust(located)
        self._missed = raw, located
        key = located.key
        entry = self._entries.get(key)
        if entry is not None and entry.checked_at >= self._oldest:
            entry.used = True
            return entry
        entry = self._negatives.get(key)
        if entry is not None and entry.checked_at >= self._clock() - NEGATIVE_SECONDS:
            return entry
        return None

    def _trust(self, located: Entry) -> Entry | None:
        """A worker that started while the database is away knows no prefixes: what it does not find may exist."""
        return located if self.prefixes.is_known or located.outcome is not _NOT_FOUND else None

    def fetch(self, raw: bytes, callback: Callback) -> None:
        """Ask the database after `find` found nothing; the callback gets the answer, or None for "not now".

        Questions of one loop turn become one statement; a key that is being asked about is not asked again.
        """
        (asked, missed), self._missed = self._missed, _NOTHING_MISSED
        located = missed if missed is not None and asked is raw else self.prefixes.locate(raw)
        if isinstance(located, Entry):  # the prefixes changed since, or are not known
            callback(self._trust(located))
            return
        self.misses += 1
        fill = self._fills.get(located.key)
        if fill is not None:
            fill.callbacks.append(callback)
            return
        is_away = self._synced_at is not None and not self._is_current
        if is_away or len(self._fills) >= MAX_WAITING:  # nobody gains from waiting in a longer queue
            callback(self._find_stale(located.key))
            return
        self._fills[located.key] = fill = Fill(located, callback)
        self._queue.append(fill)
        self.asked.set()

    async def get(self, raw: bytes) -> Entry | None:
        """For callers that can wait: the answer, or None for "not now"."""
        entry = self.find(raw)
        if entry is not None:
            return entry
        waiting: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        self.fetch(raw, lambda found: None if waiting.done() else waiting.set_result(found))
        return await waiting

    def find_prefix_id(self, raw: bytes) -> int:
        """Whose question it is that got no answer, for the log; 0: nobody's of ours."""
        if not self.prefixes.is_known:
            return self.prefixes.recall(raw)
        located = self.prefixes.locate(raw)
        return located.prefix_id if isinstance(located, Entry) else located.prefix.prefix_id

    def stale_seconds(self) -> int | None:
        """How old answers may be because the database is away; None while they are current."""
        if self._is_current or self._synced_at is None:
            return None
        return int(self._clock() - self._synced_at)

    # Filling

    def take_questions(self, limit: int) -> list[Fill]:
        """The questions to ask next, at most `limit`."""
        taken = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        if not self._queue:
            self.asked.clear()
        return taken

    def settle(self, fills: Iterable[Fill], entries: Iterable[Entry | None]) -> None:
        """Answer everybody who waits; keep each answer if nothing happened to it since the question."""
        now = self._clock()  # one object for all: a hit reads it, and memory is what a hit waits for
        for fill, entry in zip(fills, entries, strict=True):
            key = fill.lookup.key
            if self._fills.get(key) is fill:
                del self._fills[key]
            found = entry
            if found is None:
                found = self._find_stale(key)
            else:
                found.checked_at = now
                if fill.keep and self._is_current:
                    self._keep(key, found)
            for callback in fill.callbacks:
                try:
                    callback(found)
                except Exception:  # one asker's trouble is not the others'
                    _log.exception("an answer could not be delivered")

    def _find_stale(self, key: _Key) -> Entry | None:
        """An answer from before the database went away, if there is one and it is not too old."""
        entry = self._entries.get(key)
        if entry is None or self._synced_at is None or self._clock() - self._synced_at > LONGEST_STALE_SECONDS:
            return None
        return entry

    def _keep(self, key: _Key, entry: Entry) -> None:
        if entry.outcome is _NOT_FOUND:
            self._drop(key)
            if len(self._negatives) >= MAX_NEGATIVES:
                self._negatives.clear()
            self._negatives[key] = entry
            return
        self._negatives.pop(key, None)
        old = self._entries.get(key)
        if old is None:
            self._hand.append(key)
        else:
            self._release(old)
        is_found = entry.outcome is _FOUND
        is_plain = is_found and isinstance(key, bytes) and _PLAIN.fullmatch(key) is not None
        entry.is_plain = is_plain and entry.prefix_id not in self.prefixes.sandboxes  # counted apart
        entry.grew = self._on_growth
        self._entries[key] = entry
        self._grow(entry.count_bytes() + len(key))

    # Bounds

    def _grow(self, size: int) -> None:
        self._bytes += size
        while self._bytes > self._limit_bytes and self._hand:
            key = self._hand.popleft()
            entry = self._entries.get(key)
            if entry is None:
                continue
            if entry.used:
                entry.used = False
                self._hand.append(key)
            else:
                self._drop(key)

    def _drop(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(key)
            self._release(entry)

    def _release(self, entry: Entry) -> None:
        """From now on the entry's size is its holder's affair."""
        if entry.grew is not None:
            entry.grew = None
            self._bytes -= entry.count_bytes()

    # Following the change log

    def mark_current(self) -> None:
        """The log has just been read to its end."""
        now = self._clock()
        self._is_current = True
        self._synced_at = now
        self._oldest = now - LONGEST_KEPT_SECONDS
        if len(self._hand) > 2 * len(self._entries) + 1_000:  # keys that were dropped and came back stand there twice
            self._hand = deque(self._entries)

    def mark_away(self) -> None:
        """The log cannot be read: what is known is answered for a day, nothing new is kept."""
        self._is_current = False
        fresh = self._synced_at is not None and self._clock() - self._synced_at <= LONGEST_STALE_SECONDS
        self._oldest = float("-inf") if fresh else float("inf")

    def forget_records(self, prefix: Prefix, suffix_keys: Iterable[str]) -> None:
        """These records changed."""
        for suffix_key in suffix_keys:
            key = self.prefixes.make_key(prefix, suffix_key)
            self._drop(key)
            self._negatives.pop(key, None)
            self._abandon(key)

    def forget_absence(self, prefix: Prefix, suffix_keys: Iterable[str]) -> None:
        """These records were created: only what was said in their absence is wrong now."""
        for suffix_key in suffix_keys:
            key = self.prefixes.make_key(prefix, suffix_key)
            self._negatives.pop(key, None)
            entry = self._entries.get(key)
            if entry is not None and entry.is_member:
                self._drop(key)
            self._abandon(key)

    def has_absences(self, prefix: Prefix) -> bool:
        """Whether creating records under the prefix could make anything kept or under way wrong."""
        return bool(self._negatives or self._fills or prefix.shapes or prefix.name.upper() == "0.NA")

    async def forget_where(self, is_touched: Callable[[Entry], bool]) -> None:
        """Drop every entry the test names, some thousands at a time, and all negative answers and fills."""
        self._negatives.clear()
        for key in list(self._fills):
            self._abandon(key)
        keys = list(self._entries)
        for start in range(0, len(keys), _WALK_STEP):
            for key in keys[start : start + _WALK_STEP]:
                entry = self._entries.get(key)
                if entry is not None and is_touched(entry):
                    self._drop(key)
            await asyncio.sleep(0)

    def forget_everything(self) -> None:
        """Another log, or one that we cannot follow without a gap."""
        for entry in self._entries.values():
            entry.grew = None
        self._entries.clear()
        self._negatives.clear()
        self._hand.clear()
        self._bytes = 0
        for key in list(self._fills):
            self._abandon(key)

    def _abandon(self, key: _Key) -> None:
        """What is being fetched may be older than the change: answer it, do not keep it, let others ask anew."""
        fill = self._fills.pop(key, None)
        if fill is not None:
            fill.keep = False
