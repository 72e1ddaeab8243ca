"""What a registry process is given, and what it holds while it runs."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import cast
from weakref import WeakValueDictionary

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from registry.api.watch import RequestCounts
from registry.attachments import Storage
from registry.prefixes import NodeRules
from registry.refusals import Refusals, name_tried
from registry.store import DATABASE_AWAY
from schemas.errors import Forbidden, ServiceError, Unauthenticated, Unavailable
from schemas.link_place import LinkPlace
from schemas.process_stats import StatsFile
from schemas.segments import SegmentWriter

ACQUIRE_SECONDS = 2.0
# How long a request stands in line while others are being served: a crowd is no reason to say the database is away.
CROWD_SECONDS = 30.0
POOL_SIZE = 8
# A transaction of ours takes less than a second; what takes longer is in the way of others and is given up.
SERVER_SETTINGS = {
    "application_name": "idnode registry",
    "statement_timeout": "8000",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "10000",
}


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """`public_url` is what is printed on goods; `trusted_proxies` are networks whose X-Forwarded-For is believed.

    `public_url_is_set`: false while it is this machine's own address, and no code may be printed.
    `snms_aliases`: older paths of the SNMS interface are served, too.
    """

    database_url: str
    public_url: str
    jobs_dir: Path
    log_dir: Path
    rules: NodeRules
    language: str = "zh"
    trusted_proxies: tuple[str, ...] = ()
    public_url_is_set: bool = True
    console_url: str = "http://127.0.0.1:8000"  # what stands before `/console` in links that are handed on
    snms_aliases: bool = True
    stats: StatsFile | None = None  # where the process says how it is
    link: Path | None = None  # the Unix socket on which resolver workers ask who their viewers are
    link_place: LinkPlace | None = None  # where workers of other machines ask, in `tls`
    tls: ssl.SSLContext | None = None  # who gave it renews its certificate

    @property
    def attachments(self) -> Storage:
        """Files of dossiers, beside the jobs' in the data directory."""
        return Storage(self.jobs_dir.with_name("attachments"), self.rules.key_ring)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Pace:
    """When somebody was last done with a connection, on the monotonic clock."""

    last: float = 0.0


@dataclass(frozen=True, slots=True)
class RegistryState:
    """`segments` counts the reads that are answered here; `job_added` wakes who runs jobs.

    `key_locks`: requests that repeat each other wait here, not with connections of the pool in their hands.
    """

    config: RegistryConfig
    pool: asyncpg.Pool
    segments: SegmentWriter
    job_added: asyncio.Event = field(default_factory=asyncio.Event)
    key_locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = field(default_factory=WeakValueDictionary)
    now: Callable[[], datetime] = _now
    requests: RequestCounts = field(default_factory=RequestCounts)
    refusals: Refusals = field(default_factory=Refusals)
    pace: Pace = field(default_factory=Pace)

    async def note_refused(self, interface: str, bearer: str, address: str, error: ServiceError) -> None:
        """Credentials that opened nothing go into the audit trail; who gave none tried none."""
        if bearer and isinstance(error, Unauthenticated | Forbidden):
            await self.refusals.note(self.connect, self.now(), name_tried(interface, bearer, address, error))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the pool; Unavailable if for two seconds none is to be had and nobody else is served."""
        taken = await self._acquire()
        is_away = False
        try:
            yield cast(asyncpg.Connection, taken)  # the pool hands out proxies, which do what connections do
        except DATABASE_AWAY:
            is_away = True
            raise
        finally:
            await self.pool.release(taken)
            if not is_away:
                self.pace.last = monotonic()

    async def _acquire(self) -> PoolConnectionProxy:
        latest = monotonic() + CROWD_SECONDS
        while True:
            try:
                return await self.pool.acquire(timeout=ACQUIRE_SECONDS)
            except DATABASE_AWAY as error:
                now = monotonic()
                is_crowd = isinstance(error, TimeoutError) and now - self.pace.last < ACQUIRE_SECONDS and now < latest
                if not is_crowd:
                    raise Unavailable("database_unavailable") from error


def open_pool(database_url: str) -> asyncpg.Pool:
    """To be entered with `async with`. Opens nothing by itself: the registry starts while the database is away."""
    return asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=POOL_SIZE,
        timeout=ACQUIRE_SECONDS,
        command_timeout=10,
        max_inactive_connection_lifetime=60,
        server_settings=SERVER_SETTINGS,
        reset=_keep_session,
    )


async def _keep_session(conn: asyncpg.Connection) -> None:
    """Nothing of ours outlives its transaction, which the pool ends: no round trip more to reset a session."""
