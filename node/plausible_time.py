"""Whether the clock of this machine can be believed: one that runs days ahead must not close days that have not been.

Each look leaves a tick in the database. At the next one no more may have passed than the kernel counted since (nobody
can set that), or a day and a little if the machine was started anew meanwhile. Whoever knows the time better is heard
first: a time server, the kernel if it is disciplined by NTP, a top-level node over TLS. A database on another machine
may only contradict: whether its clock is another one, nobody can tell.
"""

import asyncio
import ctypes
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from asyncpg import Connection

from node.clock import ask_time_server
from node.store import closing as closing_store
from node.store import outbox as outbox_store
from node.store.counting import set_fact
from node.store.monitoring import delete_fact, find_fact

STEP = timedelta(hours=2)  # an hour of summer time is no reason to wait: what comes late is a revision
AWAY = timedelta(hours=26)  # since the last look, when nobody counted
FRESH = timedelta(minutes=5)  # older comparisons say nothing of the clock as it is now
TICK, DOUBT = "clock_tick", "clock_doubted"  # node_facts, of one machine each
ABOVE_MARK = "clock_above"  # reporting_marks: our clock minus the top-level node's, seconds
STA_UNSYNC = 0x40  # adjtimex(2)
_STATUS_AT = 40  # of struct timex where a long has eight bytes
_TIMEX_BYTES = 512


@dataclass(frozen=True, slots=True)
class Tick:
    """When a machine looked last, and how long it had been up then, sleep included."""

    at: datetime
    boot: str
    up: timedelta


@dataclass(frozen=True, slots=True)
class Reading:
    """What a machine says of the time now. `witnesses` and `database`: our clock minus theirs."""

    tick: Tick
    synchronised: bool = False
    witnesses: tuple[timedelta, ...] = ()
    database: timedelta = timedelta()


def find_doubt(reading: Reading, last: Tick | None) -> timedelta | None:
    """By how much the clock is further than it can be; None if it is believed."""
    ahead = max((*reading.witnesses, reading.database))
    if ahead > STEP:
        return ahead
    if reading.synchronised or reading.witnesses or last is None:
        return None
    ahead = _compute_lead(reading.tick, last)
    return ahead if ahead > (STEP if reading.tick.boot == last.boot else AWAY) else None


def _compute_lead(now: Tick, last: Tick) -> timedelta:
    return now.at - last.at - (now.up - last.up if now.boot == last.boot else timedelta())


async def look_at_clock(conn: Connection, reading: Reading, *, confirmed: bool = False) -> timedelta | None:
    """By how much the clock is too far ahead to close a day; None if it is believed, or an operator said so.

    What was found stands in the database: for the alarm, and for whoever reports.
    """
    machine, now = socket.gethostname(), reading.tick
    last = await _find_last(conn, machine)
    doubt = None if confirmed else find_doubt(reading, last)
    if doubt is not None:
        found = {"hours": round(doubt.total_seconds() / 3600, 1), "at": now.at.isoformat(timespec="seconds")}
        await set_fact(conn, f"{DOUBT}:{machine}", orjson.dumps(found).decode())
        return doubt
    await delete_fact(conn, f"{DOUBT}:{machine}")
    # Set back, the clock may be the wrong one: then the last tick still tells when it jumps forward again.
    if last is None or confirmed or reading.synchronised or reading.witnesses or _compute_lead(now, last) >= -STEP:
        content = {"at": now.at.isoformat(), "boot": now.boot, "up": now.up.total_seconds()}
        await set_fact(conn, f"{TICK}:{machine}", orjson.dumps(content).decode())
    return None


async def _find_last(conn: Connection, machine: str) -> Tick | None:
    """The last tick of this machine; else when a day was closed last, by whatever machine."""
    text = await find_fact(conn, f"{TICK}:{machine}")
    if text is not None:
        found = orjson.loads(text)
        return Tick(datetime.fromisoformat(found["at"]), found["boot"], timedelta(seconds=found["up"]))
    closed = await closing_store.find_last_closing(conn)
    return None if closed is None else Tick(closed, "", timedelta())


async def get_believed_time(conn: Connection, now: datetime) -> datetime:
    """`now`, or when this machine was last believed if that is earlier: by it is judged what may go for good."""
    last = await _find_last(conn, socket.gethostname())
    return now if last is None else min(now, last.at)


async def find_stored_doubt(conn: Connection) -> dict[str, object] | None:
    """What this machine found at its last look: hours ahead, and what the clock said; None if all is well."""
    text = await find_fact(conn, f"{DOUBT}:{socket.gethostname()}")
    if text is None:
        return None
    found: dict[str, object] = orjson.loads(text)
    return found


# Reading clocks -------------------------------------------------------------------------------------------------


async def read_clocks(conn: Connection, time_server: str | None, *, trusts_above: bool) -> Reading:
    """All clocks there are. `trusts_above`: the top-level node is another organisation's, reached over TLS."""
    boot = await asyncio.to_thread(Path("/proc/sys/kernel/random/boot_id").read_text)
    up = timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
    now = datetime.now(UTC)
    witnesses = []
    if time_server is not None:
        offset = await asyncio.to_thread(ask_time_server, time_server)
        witnesses += [timedelta(seconds=offset)] if offset is not None else []
    above = await outbox_store.find_mark(conn, ABOVE_MARK) if trusts_above else None
    if above is not None and abs(now - above[1]) < FRESH:
        witnesses.append(timedelta(seconds=float(above[0])))
    theirs: datetime = await conn.fetchval("SELECT clock_timestamp()")
    apart = datetime.now(UTC) - theirs
    return Reading(Tick(now, boot.strip(), up), is_synchronised(), tuple(witnesses), apart)


def is_synchronised() -> bool:
    """Whether the kernel says that NTP disciplines its clock; setting the clock by hand ends that (adjtimex(2))."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return False
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        answer = ctypes.CDLL(None).adjtimex(buffer)
    except (OSError, AttributeError):  # no such call here
        return False
    status = ctypes.c_int.from_buffer(buffer, _STATUS_AT).value
    return answer >= 0 and not status & STA_UNSYNC
