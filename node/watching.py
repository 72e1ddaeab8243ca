"""What the agent watches: facts of processes, disks, clock, certificate and database become conditions."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from asyncpg import Connection

from node.alarms import Condition
from node.clock import ask_time_server
from node.metrics import get_size_bytes, list_places, sum_deaths
from node.plausible_time import find_stored_doubt
from node.segment_files import get_free_bytes, is_read_only
from node.segment_keeping import choose_reserve_bytes
from node.settings import WatchSettings
from node.store import monitoring
from node.store.monthly_reports import fetch_unreported
from node.store.reports import COMPARED, fetch_differing
from node.tls import read_end
from schemas.days import ZONE, get_day, get_working_day
from schemas.process_stats import FRESH_SECONDS
from schemas.toplevel_tables import REPORT_DUE, find_overdue_month

AWAY_SECONDS = 10.0
WINDOW_SECONDS = 300.0  # for the share of misses
RESTART_WINDOW_SECONDS = 600.0
RESTARTS = 3  # within that time
CLOCK_EVERY_SECONDS = 64.0  # as seldom as time servers like to be asked
RESTORED_FACT = "restored"  # node.restore
MOST_PREFIXES = 20  # whose problems are alarms at one time: anybody may report, and a flood of lies is no flood of mail

Stats = dict[str, dict[str, Any]]


@dataclass(slots=True)
class Memory:
    """What earlier looks have seen: a change over time is what tells."""

    database_since: float | None = None  # away since
    slow: dict[str, int] = field(default_factory=dict)  # times in a row, by worker
    worst: dict[str, float] = field(default_factory=dict)  # seconds
    written: dict[str, float] = field(default_factory=dict)  # what of it was looked at last
    statements: dict[str, tuple[int, float]] = field(default_factory=dict)  # number and seconds at the last look
    misses: dict[str, deque[tuple[float, int, int]]] = field(default_factory=dict)  # time, answers, misses
    deaths: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    clock: dict[str, float] = field(default_factory=dict)
    clock_at: float = 0.0  # monotonic


def check_workers(stats: Stats, memory: Memory, settings: WatchSettings, now: float) -> Iterator[Condition]:
    """A worker that is late, waits long for the database, or says nothing any more; twice in a row."""
    for name, worker in stats.items():
        if "cache_entries" not in worker:
            continue
        silent = now - worker["written"]
        is_news = memory.written.get(name) != worker["written"]
        memory.written[name] = worker["written"]
        if is_news or silent > FRESH_SECONDS:
            worst = max(worker["delay_seconds"], _compute_mean(name, worker, memory))
            worst = silent if silent > FRESH_SECONDS else worst
            memory.slow[name] = memory.slow.get(name, 0) + 1 if worst > settings.alarm_slow_seconds else 0
            memory.worst[name] = worst
        if memory.slow.get(name, 0) >= 2:
            yield Condition("slow_resolution", name, {"seconds": round(memory.worst[name], 2)})


def _compute_mean(name: str, worker: dict[str, Any], memory: Memory) -> float:
    """Seconds a statement took since the last look; 0 if there was none, or nobody to answer it."""
    number, seconds = memory.statements.get(name, (0, 0.0))
    asked, took = worker["statements"] - number, worker["statement_seconds"] - seconds
    memory.statements[name] = worker["statements"], worker["statement_seconds"]
    return float(took / asked) if asked > 0 and worker["database_up"] else 0.0


def check_caches(
    stats: Stats, answers: dict[str, int], memory: Memory, settings: WatchSettings, now: float
) -> Iterator[Condition]:
    """Too many answers within five minutes needed the database."""
    for name, worker in stats.items():
        if "cache_entries" not in worker:
            continue
        seen = memory.misses.setdefault(name, deque())
        point = (now, answers.get(name, 0), worker["misses"])
        if seen and (point[1] < seen[-1][1] or point[2] < seen[-1][2]):  # one of the two processes began anew
            seen.clear()
        seen.append(point)
        while now - seen[0][0] > WINDOW_SECONDS:
            seen.popleft()
        answered, missed = point[1] - seen[0][1], point[2] - seen[0][2]
        if answered >= settings.alarm_cold_answers and missed * 100 > answered * settings.alarm_cold_percent:
            percent = min(round(missed * 100 / answered), 100)
            yield Condition("cold_cache", name, {"percent": percent, "answers": answered})


def check_restarts(deaths: dict[str, int], memory: Memory, now: float) -> Iterator[Condition]:
    """Three deaths of one process within ten minutes."""
    for name, number in deaths.items():
        seen = memory.deaths.setdefault(name, deque([(now, 0 if number < RESTARTS else number)]))
        if number < seen[-1][1]:  # another supervisor
            seen.clear()
        seen.append((now, number))
        while now - seen[0][0] > RESTART_WINDOW_SECONDS:
            seen.popleft()
        if number - seen[0][1] >= RESTARTS:
            yield Condition("worker_restarting", name, {"times": number - seen[0][1]})


def check_disks(stats: Stats, memory: Memory, settings: WatchSettings) -> Iterator[Condition]:
    """Little room, or answers that could not be logged for want of it."""
    lost = 0
    for name, process in stats.items():
        missing = process.get("log_missing") or 0
        lost += max(missing - memory.missing.get(name, 0), 0)
        memory.missing[name] = missing
    has_log = "data" if settings.log_dir is None else "log"
    for name, place in list_places(settings):
        # What became read-only after an error has no room either.
        free = 0 if is_read_only(place) else get_free_bytes(place)
        size = get_size_bytes(place)
        percent = free * 100 / size if size else 0.0
        missed = lost if name == has_log else 0
        if percent < settings.alarm_disk_percent or free < choose_reserve_bytes(place) or missed:
            details = {"path": str(place), "free": f"{free / 1e6:.0f} MB", "percent": round(percent, 1), "lost": missed}
            yield Condition("disk_full", name, details)


def check_certificate(settings: WatchSettings, now: datetime) -> Iterator[Condition]:
    path = settings.tls_certificate
    if path is None:
        return
    try:
        end = read_end(path)
    except (OSError, ValueError):
        yield Condition("certificate_expiring", str(path), {"end": "?", "days": 0})
        return
    left = (end - now).total_seconds() / 86_400
    if left < settings.alarm_certificate_days:
        yield Condition("certificate_expiring", str(path), {"end": end.isoformat(), "days": max(int(left), 0)})


async def check_clock(conn: Connection | None, memory: Memory, settings: WatchSettings) -> list[Condition]:
    """Against the database and, if one is named, a time server; about once a minute."""
    if time.monotonic() - memory.clock_at >= CLOCK_EVERY_SECONDS or not memory.clock_at:
        memory.clock_at = time.monotonic()
        memory.clock.clear()
        if conn is not None:
            before = time.time()
            theirs: datetime = await conn.fetchval("SELECT clock_timestamp()")
            memory.clock["database"] = (before + time.time()) / 2 - theirs.timestamp()
        if settings.time_server is not None:
            offset = await asyncio.to_thread(ask_time_server, settings.time_server)
            if offset is not None:
                memory.clock["time server"] = offset
    return [
        Condition("clock_off", source, {"seconds": round(seconds, 1)})
        for source, seconds in memory.clock.items()
        if abs(seconds) > settings.alarm_clock_seconds
    ]


def check_database(is_up: bool, memory: Memory, now: float) -> Iterator[Condition]:
    """Away for ten seconds: a restart takes less."""
    if is_up:
        memory.database_since = None
        return
    memory.database_since = now if memory.database_since is None else memory.database_since
    if now - memory.database_since >= AWAY_SECONDS:
        yield Condition("database_away", "", {"seconds": int(now - memory.database_since)})


async def check_stored(conn: Connection) -> list[Condition]:
    """What only the database knows: reports refused or not the same above, or overdue, a restore nobody has looked at
    yet, a clock nobody believes, problems with codes that nobody has taken up."""
    found = []
    month = find_overdue_month(get_day(datetime.now(UTC)))
    if await fetch_unreported(conn, month, ("accepted", "sent")):
        due = get_working_day(month, REPORT_DUE).isoformat()
        found.append(Condition("report_overdue", month, {"due": due}))
    outbox = await monitoring.fetch_outbox(conn)
    trouble = {name: outbox[name] for name in ("refused", "dead")}
    trouble["differing"] = len(await fetch_differing(conn, get_day(datetime.now(UTC)) - COMPARED))
    if any(trouble.values()):
        found.append(Condition("report_refused", "", trouble))
    restored = await monitoring.find_fact(conn, RESTORED_FACT)
    if restored is not None:
        found.append(Condition("restored", "", {"note": describe_restored(restored)}))
    doubt = await find_stored_doubt(conn)
    if doubt is not None:
        found.append(Condition("clock_jumped", "", doubt))
    for row in await monitoring.fetch_unread_problems(conn, MOST_PREFIXES):
        found.append(Condition("problem_reported", row["prefix"], {"number": row["number"], "latest": row["latest"]}))
    return found


def check_machine(stats: Stats, answers: dict[str, int], memory: Memory, settings: WatchSettings) -> list[Condition]:
    """Everything that needs no database."""
    now, deaths = time.time(), sum_deaths(stats)
    deaths.pop("agent", None)  # its supervisor tells of that, and nobody else
    parts: Iterable[Iterator[Condition]] = (
        check_workers(stats, memory, settings, now),
        check_caches(stats, answers, memory, settings, now),
        check_restarts(deaths, memory, now),
        check_disks(stats, memory, settings),
        check_certificate(settings, datetime.now(UTC)),
    )
    return [condition for part in parts for condition in part]


def describe_restored(fact: str) -> str:
    """When the backup was taken and when it was restored; as it stands if an older version wrote it."""
    try:
        times = [datetime.fromisoformat(time).astimezone(ZONE) for time in json.loads(fact).values()]
        return " → ".join(f"{time:%Y-%m-%d %H:%M}" for time in times)
    except (ValueError, AttributeError, TypeError):
        return fact
