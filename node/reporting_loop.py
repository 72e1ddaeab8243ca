"""The agent's part that reports upwards: what is due at which interval (domain.md §f.1), then what waits is sent."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta

import aiohttp
import asyncpg
from asyncpg import Connection

from node.applications import find_reported_month
from node.enterprise_node_reports import report_late_figures, report_own_nodes
from node.hash_list import repair_differing, report_hashes
from node.master_data import DAY_MARK, report_master
from node.monthly_report import SENT_ON, report_month
from node.outbox import renew, send_due
from node.plausible_time import find_stored_doubt, get_believed_time
from node.postgres import get_dsn
from node.reporting import REPORTS, Reporter, get_month, report_applications, report_day, report_monitoring
from node.secret_key import load_key_ring
from node.settings import ReportSettings
from node.store import outbox as outbox_store
from node.store import reports as store
from node.store.monitor_days import forget_days
from node.store.monthly_reports import fetch_unreported
from node.toplevel_client import TopLevel
from node.toplevel_keys import find_new_key, get_signer
from node.toplevel_link import (
    LINK,
    Link,
    apply_decisions,
    beat,
    enrol,
    fetch_decisions,
    note_link,
    reconcile_day,
    reconcile_month,
    reconcile_standing,
    renew_signer,
    rotate,
    work_on_tasks,
)
from registry.prefixes import NodeRules
from registry.store import ANSWER_SECONDS
from registry.store.changes import number_changes
from schemas.days import ZONE, get_day, get_working_day, list_months
from schemas.errors import ServiceError, SetupError
from schemas.toplevel_tables import CURRENT

STEP_SECONDS = 2.0
RETRY_SECONDS = 10.0
KEPT_ALIVE_SECONDS = 3.0
SENT_PER_STEP = 50
NOT_CLOSED_AFTER = time(1, 0)  # then a day that is not closed yet is reported as it stands, marked provisional
MASTER_AFTER = time(0, 20)
RECONCILED_DAYS = 3
HURRIED_FOR = timedelta(minutes=2)  # what began to wait longer ago was reported at its own turn
BODIES_KEPT = timedelta(days=62)
MONITORING_AFTER = time(0, 20)
MONITORED_DAYS = 31
MONITOR_KEPT = timedelta(days=400)

log = logging.getLogger("idnode.toplevel")
Work = Callable[[Connection, Link, datetime], Awaitable[object]]


async def run_reporting(settings: ReportSettings, stop: asyncio.Event) -> None:
    """Report until it is time to stop; whatever goes wrong is tried again, on a new connection."""
    if settings.toplevel_address is None:
        return
    started = datetime.now(UTC)
    while not stop.is_set():
        try:
            dsn = get_dsn(settings.database_url, settings.data_dir)
            conn = await asyncpg.connect(dsn, timeout=20, command_timeout=ANSWER_SECONDS)
            try:
                async with open_link(conn, settings, started) as link:
                    while not stop.is_set():
                        more = await step(conn, link, lambda: datetime.now(UTC))
                        await _pause(stop, 0.0 if more else STEP_SECONDS)
            finally:
                await conn.close(timeout=5)
        except (OSError, TimeoutError, ServiceError, asyncpg.PostgresError, asyncpg.InterfaceError,
                asyncpg.InternalClientError) as error:  # fmt: skip
            log.error("will try again: %s: %s", type(error).__name__, error)
            await _pause(stop, RETRY_SECONDS)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


@asynccontextmanager
async def open_link(conn: Connection, settings: ReportSettings, started: datetime) -> AsyncIterator[Link]:
    """The way to the top-level node of these settings, with the key that signs; raises SetupError."""
    url = settings.toplevel_address
    if url is None:
        raise SetupError("toplevel_not_set")
    ring = load_key_ring(settings.secret_key_path)
    signer = await get_signer(conn, ring, settings.toplevel_app_id, settings.toplevel_algorithm, started)
    rules = NodeRules(settings.prefixes, ring, settings.toplevel_approval == "required")
    # Shorter than servers wait: a connection they are about to close is not used again.
    connector = aiohttp.TCPConnector(keepalive_timeout=KEPT_ALIVE_SECONDS)
    async with aiohttp.ClientSession(connector=connector) as session:
        toplevel = TopLevel(url, session, signer)
        if settings.toplevel_url is None:  # our own rehearsal node learns our key from us
            await enrol(url, toplevel, settings.prefixes, session)
        yield Link(toplevel, make_reporter(settings), rules, settings.toplevel_algorithm, started)


def make_reporter(settings: ReportSettings) -> Reporter:
    ports = {"tcp": settings.handle_port, "udp": settings.handle_port, "http": settings.resolver_http_port}
    return Reporter(
        settings.prefixes, (settings.site_address, ports), settings.toplevel_sources, settings.operator_file,
        settings.language,
    )  # fmt: skip


# One step -------------------------------------------------------------------------------------------------------


async def step(conn: Connection, link: Link, clock: Callable[[], datetime]) -> bool:
    """Write what is due, then send some of what waits; whether there is more of it. The clock is the caller's."""
    await number_changes(conn)  # after a promotion it says what the log is called and which revision comes first
    await renew_signer(conn, link, clock())
    for name, seconds, work in SCHEDULE:
        now = clock()
        mark = await outbox_store.find_mark(conn, f"due:{name}")
        if mark is not None and 0 <= (now - mark[1]).total_seconds() < seconds:
            continue
        # Noted before: what fails is tried at its next turn, and holds the others back no longer than that.
        await outbox_store.set_mark(conn, f"due:{name}", "", now)
        try:
            await work(conn, link, now)
        except ServiceError as error:
            log.error("%s: %s", name, error)
    sent, _ = await send_due(conn, link.toplevel, clock, SENT_PER_STEP)
    return sent == SENT_PER_STEP


async def _beat(conn: Connection, link: Link, now: datetime) -> None:
    before = await outbox_store.find_mark(conn, LINK)
    if not await beat(conn, link, now):
        return
    if before is not None and before[0]:
        revived = await outbox_store.revive_unanswered(conn, now)
        log.info("the top-level node answers again; %d dead letters go again", revived)
    await work_on_tasks(conn, link, now)


async def _decisions(conn: Connection, link: Link, now: datetime) -> None:
    await fetch_decisions(conn, link, now)
    await apply_decisions(conn, link, now)


async def _waiting(conn: Connection, link: Link, now: datetime) -> None:
    """Where the node above must agree: while prefixes wait for it, they are reported and asked about without delay."""
    if not link.rules.toplevel_approval_required:
        return
    since = await store.find_last_waiting(conn)
    if since is None:
        return
    if now - since < HURRIED_FOR:
        for name in ("enterprises", "prefixes"):
            await _standing(name, conn, link, now)
    await _decisions(conn, link, now)


async def _rotation(conn: Connection, link: Link, now: datetime) -> None:
    """A key the operator asked for."""
    if await find_new_key(conn) is not None:
        try:
            log.info(await rotate(conn, link, now))
        except ValueError as error:
            await note_link(conn, str(error), now)


async def _days(conn: Connection, link: Link, now: datetime) -> None:
    """Days that were closed or revised since the last look; yesterday as it stands if nobody closes it."""
    for prefix in link.reporter.prefixes:
        name = f"closed:{prefix}"
        mark = await outbox_store.find_mark(conn, name)
        since = datetime.fromisoformat(mark[0]) if mark else datetime(1970, 1, 1, tzinfo=UTC)
        for day, closed_at in await store.fetch_closed_since(conn, prefix, since):
            await report_day(conn, link.reporter, day, now)
            await outbox_store.set_mark(conn, name, closed_at.isoformat(), now)
    local = now.astimezone(ZONE)
    yesterday = get_day(now) - timedelta(days=1)
    if await find_stored_doubt(conn) is not None:
        return  # nobody knows which day was yesterday
    if local.time() >= NOT_CLOSED_AFTER and not await _is_known(conn, link, yesterday):
        await report_day(conn, link.reporter, yesterday, now, provisional=True)


async def _is_known(conn: Connection, link: Link, day: date) -> bool:
    """Whether a day was reported, or had no chance: nothing is said of days before the node's first."""
    if not await store.was_there(conn, day):
        return True
    for prefix in link.reporter.prefixes:
        if await store.is_closed(conn, prefix, day) or await outbox_store.fetch_contents(
            conn, "T3", day.isoformat(), prefix
        ):
            return True
    return False


async def _master(conn: Connection, link: Link, now: datetime) -> None:
    """Once a day, after midnight: what the change log gained until now, as rows of the day that ended."""
    if now.astimezone(ZONE).time() < MASTER_AFTER or await find_stored_doubt(conn) is not None:
        return
    day = (get_day(now) - timedelta(days=1)).isoformat()
    mark = await outbox_store.find_mark(conn, DAY_MARK)
    if mark is None or mark[0] < day:
        await report_master(conn, link.reporter.prefixes, day, now)
        await outbox_store.set_mark(conn, DAY_MARK, day, now)


async def _applications(conn: Connection, link: Link, now: datetime) -> None:
    """Once a month, on its first day, or as soon as somebody is here; what was refused of it when it is repaired."""
    told, month = await find_reported_month(conn), get_month(now)
    if await find_stored_doubt(conn) is not None:
        return
    if told is None or told < month or await _are_refused(conn, link, ("T5", "T10"), month):
        await report_applications(conn, link.reporter, now)


async def _are_refused(conn: Connection, link: Link, tables: tuple[str, ...], period: str) -> bool:
    """Whether anything of these tables stands refused."""
    for prefix in link.reporter.prefixes:
        for table in tables:
            told = await outbox_store.fetch_latest_of(conn, table, period, prefix)
            if any(message.state == "refused" for message in told):
                return True
    return False


async def _hashes(conn: Connection, link: Link, now: datetime) -> None:
    """Once a day, after midnight; what a list found wrong is told again at the next turn."""
    prefixes, today = link.reporter.prefixes, get_day(now).isoformat()
    await repair_differing(conn, prefixes, now)
    mark = await outbox_store.find_mark(conn, "hashes_day")
    if (mark is None or mark[0] < today) and now.astimezone(ZONE).time() >= MASTER_AFTER:
        await report_hashes(conn, prefixes, now)
        await outbox_store.set_mark(conn, "hashes_day", today, now)


async def _monthly(conn: Connection, link: Link, now: datetime) -> None:
    """The report of the month before, as it is, once people have had their days to say what only they know."""
    today, (month, _) = get_day(now), list_months(get_month(now), 2)
    if today < get_working_day(month, SENT_ON) or await find_stored_doubt(conn) is not None:
        return
    if await fetch_unreported(conn, month, outbox_store.STATES):
        await report_month(conn, link.reporter, month, {}, now)


async def _monitoring(conn: Connection, link: Link, now: datetime) -> None:
    """Once a day, after midnight; days on which nobody reported are made up for as far as figures are kept."""
    if now.astimezone(ZONE).time() < MONITORING_AFTER or await find_stored_doubt(conn) is not None:
        return
    yesterday = get_day(now) - timedelta(days=1)
    mark = await outbox_store.find_mark(conn, "monitoring_day")
    told = date.fromisoformat(mark[0]) if mark else yesterday - timedelta(days=1)
    for back in range(min((yesterday - told).days, MONITORED_DAYS), 0, -1):
        day = yesterday - timedelta(days=back - 1)
        await report_monitoring(conn, link.reporter, day, now)
        await outbox_store.set_mark(conn, "monitoring_day", day.isoformat(), now)


async def _reconcile(conn: Connection, link: Link, now: datetime) -> None:
    """The last days and months, and whatever differed when it was compared last: until it is equal, it is an alarm."""
    periods = {(get_day(now) - timedelta(days=back)).isoformat() for back in range(1, RECONCILED_DAYS + 1)}
    differing = await store.fetch_differing(conn, get_day(now) - store.COMPARED)
    periods |= {*list_months(get_month(now), 2), *(period for period, _, _ in differing if period != CURRENT)}
    for period in sorted(periods):
        compare = reconcile_month if len(period) == len("2026-11") else reconcile_day
        if not await compare(conn, link, period, now):
            log.error("what the top-level node has of %s is not what we reported", period)
    if not await reconcile_standing(conn, link, now):
        log.error("what the top-level node has of dossiers, routes and templates is not what we reported")


async def _standing(name: str, conn: Connection, link: Link, now: datetime) -> None:
    await REPORTS[name](conn, link.reporter, now)


async def _too_early(conn: Connection, link: Link, now: datetime) -> None:
    """What was refused for want of what it is about goes again once that was answered, whoever came first."""
    for message in await outbox_store.fetch_refused_too_early(conn):
        async with conn.transaction():
            await renew(conn, message, "what it is about was told meanwhile", now)


async def _forget(conn: Connection, link: Link, now: datetime) -> None:
    now = await get_believed_time(conn, now)
    await outbox_store.forget_bodies(conn, now - BODIES_KEPT)
    await forget_days(conn, get_day(now) - MONITOR_KEPT)


# In this order: who signs, who answers at all, then what the others are about before the others. At least as often as
# §f.1 of domain.md asks for: what has not changed costs a look.
SCHEDULE: tuple[tuple[str, float, Work], ...] = (
    ("rotation", 60, _rotation),
    ("heartbeat", 60, _beat),
    ("node", 60, lambda conn, link, now: _standing("node", conn, link, now)),
    ("enterprises", 60, lambda conn, link, now: _standing("enterprises", conn, link, now)),
    ("prefixes", 60, lambda conn, link, now: _standing("prefixes", conn, link, now)),
    ("templates", 60, lambda conn, link, now: _standing("templates", conn, link, now)),
    ("too_early", 60, _too_early),
    ("events", 30, lambda conn, link, now: _standing("events", conn, link, now)),
    ("days", 60, _days),
    ("master", 600, _master),
    ("own_nodes", 60, lambda conn, link, now: report_own_nodes(conn, link.reporter.prefixes, now)),
    ("own_figures", 600, lambda conn, link, now: report_late_figures(conn, link.reporter, now)),
    ("hashes", 600, _hashes),
    ("applications", 600, _applications),
    ("monitoring", 600, _monitoring),
    ("monthly", 3_600, _monthly),
    ("waiting", 5, _waiting),
    ("decisions", 300, _decisions),
    ("reconciliation", 1_800, _reconcile),
    ("forgetting", 3_600, _forget),
)
