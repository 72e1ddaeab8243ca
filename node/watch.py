"""The agent's watch: looks every few seconds at what may be wrong, and tells people through node.alarms."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import asyncpg
from asyncpg import Connection

from node.agent_stats import AgentStats
from node.alarm_ways import deliver, list_ways
from node.alarms import Alarm, Book, Condition, Kind, decide, find_book, read_book, write_book, write_letters
from node.metrics import sum_deaths
from node.settings import WatchSettings
from node.store import alarms as store
from node.store import monitoring
from node.watching import (
    RESTORED_FACT,
    Memory,
    check_clock,
    check_database,
    check_machine,
    check_restarts,
    check_stored,
)
from registry.store import takes_writes
from schemas.process_stats import read_stats

TOTALS_SECONDS = 60.0
DATABASE_SECONDS = 5.0
AGENT_SILENT_SECONDS = 60.0
# Cannot be seen while the database is away.
STORED = ("report_refused", "report_overdue", "restored", "clock_jumped", "problem_reported")
TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

log = logging.getLogger("idnode.alarms")


class Watch:
    """One machine's; `look` once in a while."""

    def __init__(self, settings: WatchSettings, dsn: str, stats: AgentStats) -> None:
        self._settings, self._dsn, self._stats = settings, dsn, stats
        self._memory = Memory()
        self._path = find_book(settings.run_dir, "agent")
        self._book = read_book(self._path)
        self._conn: Connection | None = None
        self._totals_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Whatever goes wrong in one look, there is another."""
        while not stop.is_set():
            try:
                await self.look()
            except Exception:
                log.exception("a look at the node failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._settings.alarm_look_seconds)
        self.close()

    def close(self) -> None:
        if self._conn is not None:
            self._conn.terminate()
        self._conn = None

    async def look(self) -> None:
        now = time.time()
        conditions = await self._ask_database()
        conditions += check_database(self._conn is not None, self._memory, now)
        stats = await asyncio.to_thread(read_stats, self._settings.stats_dir)
        conditions += check_machine(stats, self._stats.answers, self._memory, self._settings)
        if self._conn is None:
            for alarm in self._book.alarms.values():
                alarm.seen = now if alarm.cause in STORED else alarm.seen
        told = await asyncio.to_thread(tell, self._settings, self._book, conditions, now)
        await asyncio.to_thread(write_book, self._path, self._book)
        await self._copy(told, now)

    async def _ask_database(self) -> list[Condition]:
        """The connection is None afterwards if it is away, or takes no writes, as a standby does."""
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                if self._conn is None or self._conn.is_closed():
                    self._conn = await asyncpg.connect(self._dsn, timeout=DATABASE_SECONDS)
                if not await takes_writes(self._conn):
                    raise asyncpg.ReadOnlySQLTransactionError
                found = await check_stored(self._conn) + await check_clock(self._conn, self._memory, self._settings)
                if not self._totals_at or time.monotonic() - self._totals_at > TOTALS_SECONDS:
                    self._totals_at = time.monotonic()
                    self._stats.totals = await monitoring.fetch_totals(self._conn)
        except TROUBLE:
            self.close()
            found = await check_clock(None, self._memory, self._settings)
        self._stats.clock = dict(self._memory.clock)
        return found

    async def _copy(self, told: list[tuple[Kind, Alarm]], now: float) -> None:
        """Into the database, when it is there; what was missed is made up for by the next look."""
        if self._conn is None:
            return
        machine, at = socket.gethostname(), datetime.fromtimestamp(now, UTC)
        with suppress(*TROUBLE):  # each by itself: a transaction would wait for its end, however long that takes
            async with asyncio.timeout(DATABASE_SECONDS):
                for alarm in self._book.alarms.values():
                    raised, sent = (datetime.fromtimestamp(t, UTC) for t in (alarm.raised, alarm.told))
                    key = (machine, alarm.cause, alarm.subject)
                    await store.note_alarm(self._conn, key, raised, alarm.details, sent)
                await store.clear_alarms(self._conn, machine, list(self._book.alarms), at)
                if self._book.machine != machine:  # a new container, or a restore: nobody else would end the old ones
                    await store.clear_others(self._conn, machine, at)
                    self._book.machine = machine


def tell(settings: WatchSettings, book: Book, conditions: list[Condition], now: float) -> list[tuple[Kind, Alarm]]:
    """Bring the book up to date and send what has to be sent."""
    told = decide(book, conditions, now, settings.alarm_repeat_hours * 3600)
    write_letters(book, told, list_ways(settings), settings.site_address, now)
    if book.unsent:
        deliver(settings, book)
    return told


class SupervisorWatch:
    """A thread of the supervisor, for what the agent cannot tell: that the agent itself dies or hangs."""

    def __init__(self, settings: WatchSettings, is_agent_ours: Callable[[], bool]) -> None:
        self._settings, self._is_agent_ours = settings, is_agent_ours
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._path = find_book(settings.run_dir, "supervisor")
        self._book, self._memory = read_book(self._path), Memory()
        self._said = time.time()  # when the agent said something last; a new one begins without a word

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._settings.alarm_look_seconds):
            try:
                self._look(time.time())
            except Exception:
                log.exception("a look at the agent failed")

    def _look(self, now: float) -> None:
        stats = read_stats(self._settings.stats_dir)
        deaths = {name: number for name, number in sum_deaths(stats).items() if name == "agent"}
        conditions = list(check_restarts(deaths, self._memory, now))
        self._said = max(stats.get("agent", {}).get("written", 0.0), self._said)
        if self._is_agent_ours() and now - self._said > AGENT_SILENT_SECONDS:
            conditions.append(Condition("agent_silent", "", {"seconds": int(now - self._said)}))
        if conditions or self._book.alarms or self._book.unsent:
            tell(self._settings, self._book, conditions, now)
            write_book(self._path, self._book)


__all__ = ["RESTORED_FACT", "SupervisorWatch", "Watch", "tell"]
