"""The agent's process: counts twice a second, closes days, looks after the segments, and stops on SIGTERM."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGINT, SIGTERM

import asyncpg
from asyncpg import Connection

from node.agent_stats import AgentStats, publish_agent
from node.closing import close_due_days
from node.counting import check_rollups, count_changes, count_segments
from node.enterprise_node_probes import probe_routes
from node.enterprise_nodes import KEPT
from node.peaks import keep_peaks
from node.plausible_time import get_believed_time, look_at_clock, read_clocks
from node.postgres import get_dsn
from node.probe_token import get_probe_token
from node.probing import ROUND_SECONDS, Prober
from node.reporting_loop import make_reporter, run_reporting
from node.segment_files import identify_directory
from node.segment_keeping import choose_reserve_bytes, keep_segments
from node.settings import AgentSettings
from node.store.closing import save_counted_until
from node.store.counting import SEEN_FACT, set_fact
from node.store.enterprise_node_files import forget
from node.store.retention import delete_counted_changes
from node.watch import Watch
from registry.store import ANSWER_SECONDS
from schemas.days import get_day
from schemas.errors import SetupError
from schemas.process_stats import StatsFile

COUNT_SECONDS = 0.5
KEEP_SECONDS = 10.0
PROBE_SECONDS = 15.0
CLOSE_SECONDS = 20.0
PEAK_SECONDS = 10.0
RETRY_SECONDS = 1.0
LAST_PASS_SECONDS = 10.0
CHANGES_KEPT = timedelta(days=30)
CHANGES_PER_PASS = 1_000

# A connection that is cut in mid-operation shows as InternalClientError, which is none of the others.
TROUBLE = (
    OSError, TimeoutError, SetupError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError,
)  # fmt: skip

log = logging.getLogger("idnode.agent")


async def run_agent(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT; then count once more what the other processes left."""
    stop = asyncio.Event()
    for number in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    dsn = get_dsn(settings.database_url, settings.data_dir)
    directory = settings.resolution_log_dir
    stats = AgentStats()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_repeat(dsn, lambda conn: _count(conn, directory, stop, stats), COUNT_SECONDS, stop))
        tasks.create_task(_repeat(dsn, lambda conn: _keep(conn, directory), KEEP_SECONDS, stop))
        tasks.create_task(run_reporting(settings, stop))
        tasks.create_task(_repeat(dsn, _make_prober(settings), PROBE_SECONDS, stop))
        tasks.create_task(_repeat(dsn, _make_closer(settings), CLOSE_SECONDS, stop))
        tasks.create_task(_repeat(dsn, _make_asker(settings), ROUND_SECONDS, stop))
        tasks.create_task(_repeat(dsn, lambda conn: _keep_peaks(conn, stats), PEAK_SECONDS, stop))
        tasks.create_task(Watch(settings, dsn, stats).run(stop))
        tasks.create_task(publish_agent(stats, StatsFile(settings.stats_dir, "agent"), stop))
    with suppress(*TROUBLE):
        async with asyncio.timeout(LAST_PASS_SECONDS):
            conn = await asyncpg.connect(dsn)
            try:
                await _count(conn, directory)
            finally:
                conn.terminate()


async def _count(
    conn: Connection, directory: Path, stop: asyncio.Event | None = None, stats: AgentStats | None = None
) -> None:
    """Count until nothing is left, or until it is time to stop; say after every pass that the agent lives."""
    more = True
    try:
        while more and not (stop is not None and stop.is_set()):
            began = datetime.now(UTC)
            more_changes = await count_changes(conn)
            more = await count_segments(conn, directory, datetime.now(UTC), stats) or more_changes
            await set_fact(conn, SEEN_FACT, datetime.now(UTC).isoformat(timespec="seconds"))
            if not more:  # what was written before this pass began is counted
                await save_counted_until(conn, identify_directory(directory), began)
    except TROUBLE:
        if stats is not None:  # a standby that took over may not know that these seconds were counted
            stats.peaks.forget()
        raise
    if stats is not None and not more:
        stats.note_counted()


def _make_closer(settings: AgentSettings) -> Callable[[Connection], Awaitable[None]]:
    """Closes due days while the clock can be believed; looks once whether the rollups are what the counters say."""
    checked, doubted = False, False

    async def close(conn: Connection) -> None:
        nonlocal checked, doubted
        if not checked:
            await check_rollups(conn)
            checked = True
        reading = await read_clocks(conn, settings.time_server, trusts_above=settings.trusts_toplevel_clock)
        ahead = await look_at_clock(conn, reading)
        if ahead is None:
            await close_due_days(conn, settings.prefixes, reading.tick.at)
        elif not doubted:
            log.error("the clock is %s ahead of what it can be: no day is closed until it is confirmed", ahead)
        doubted = ahead is not None

    return close


def _make_prober(settings: AgentSettings) -> Callable[[Connection], Awaitable[None]]:
    """Looks whether routes that enterprises' nodes proposed answer; once a day forgets what they told long ago."""
    own, forgotten = make_reporter(settings).route, ""

    async def look(conn: Connection) -> None:
        nonlocal forgotten
        now = datetime.now(UTC)
        await probe_routes(conn, now, settings.enterprise_node_private, own)
        today = get_day(now)
        if forgotten != str(today):
            await forget(conn, await get_believed_time(conn, now), KEPT)
            forgotten = str(today)

    return look


def _make_asker(settings: AgentSettings) -> Callable[[Connection], Awaitable[None]]:
    """Times answers of the resolver; not in the first round, in which it may be starting."""
    prober = Prober(settings.monitored_url, get_probe_token(settings.run_dir), settings.prefixes)
    begun = False

    async def look(conn: Connection) -> None:
        nonlocal begun
        if begun:
            await prober.look(conn)
        begun = True

    return look


async def _keep_peaks(conn: Connection, stats: AgentStats) -> None:
    until = None if stats.counted_at is None else datetime.fromtimestamp(stats.counted_at, UTC)
    await keep_peaks(conn, stats.peaks, until)


async def _keep(conn: Connection, directory: Path) -> None:
    now = await get_believed_time(conn, datetime.now(UTC))
    await keep_segments(conn, directory, now, choose_reserve_bytes(directory))
    # A reader that was away for longer starts again; nothing else asks for old entries.
    await delete_counted_changes(conn, now - CHANGES_KEPT, CHANGES_PER_PASS)


async def _repeat(dsn: str, work: Callable[[Connection], Awaitable[None]], seconds: float, stop: asyncio.Event) -> None:
    """Do the work every so many seconds on a connection of its own; after a failure, on a new one."""
    conn: Connection | None = None
    while not stop.is_set():
        pause = seconds
        try:
            if conn is None:
                conn = await asyncpg.connect(dsn, timeout=20, command_timeout=ANSWER_SECONDS)
            await work(conn)
        except TROUBLE as error:
            log.error("will try again: %s: %s", type(error).__name__, error)
            pause = RETRY_SECONDS
            if conn is not None:
                conn.terminate()
            conn = None
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
    if conn is not None:
        with suppress(*TROUBLE):
            await conn.close(timeout=5)
