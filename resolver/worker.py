"""One resolver worker, put together in the order it reads: cache, database, change log, transports."""

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from logging import getLogger
from pathlib import Path
from typing import Any, cast

import asyncpg
import uvicorn

from resolver.bounds import LOOPBACK, Bounds, ReadBudget, SourceLimit
from resolver.cache import RecordCache
from resolver.fill import SERVER_SETTINGS, Filler, TemplateShelf
from resolver.follow import Follower
from resolver.handle_answers import Node
from resolver.handle_transports import serve_handle
from resolver.http_app import HttpSite
from resolver.http_protocol import IDLE_SECONDS, SWEEP_SECONDS, ResolverProtocol, ShortCut
from resolver.http_request import Judge, Network
from resolver.link import RegistryLink
from resolver.pages import Pages
from resolver.prefixes import PrefixTable
from resolver.stats import Sources, publish
from resolver.streams import Streams
from resolver.upstream import Upstream, UpstreamSettings
from schemas.handle_values import (
    ADMIN_AND_QUERY,
    HTTP,
    QUERY_INTERFACE,
    TCP,
    UDP,
    Interface,
    Server,
    Site,
    encode_site,
    parse_address,
)
from schemas.http_heads import STRICT_TRANSPORT
from schemas.link_place import LinkPlace
from schemas.process_stats import StatsFile
from schemas.segments import WATCH_SECONDS, SegmentWriter

CONNECTIONS = 2  # that ask for misses; a third one follows the change log
SHUTDOWN_SECONDS = 10
BACKLOG = 2_048  # connections that wait for being accepted
FIRST_POLL_SECONDS = 5.0

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Everything a worker needs; sockets are open and listening or bound.

    `public_url` is printed on goods; None while the node has none: `fallback_url` is shown instead, with a warning.
    `database_url` is where both rows and change log are read: the primary or one of its standbys.
    """

    database_url: str
    log_dir: Path
    name: str = "resolver-0"
    http_sockets: Sequence[socket.socket] = ()
    handle_tcp_sockets: Sequence[socket.socket] = ()
    handle_udp_sockets: Sequence[socket.socket] = ()
    own_prefixes: Sequence[str] = ("88.101",)
    public_url: str | None = None
    fallback_url: str = "http://127.0.0.1:8081"
    report_url: str = ""  # the registry's, where problems with a code are reported; empty: nowhere
    site: bytes = b""  # our HS_SITE record; made by `make_site` if empty
    cache_bytes: int = 256 * 1_048_576
    language: str = "zh"
    trusted_proxies: Sequence[Network] = ()
    probe_token: str = ""
    upstream: UpstreamSettings | None = None
    short_cut: bool = True
    stats: StatsFile | None = None  # where the worker says how it is
    prefix_memory: Path | None = None  # a file that all workers of a machine share
    tls: ssl.SSLContext | None = None  # who gave it renews its certificate
    link: Path | LinkPlace | None = None  # the registry's Unix socket or place, for requests with credentials
    link_tls: ssl.SSLContext | None = None  # for a place
    udp_per_second: int = 0  # datagrams that one source is answered; 0: no limit
    udp_exempt: Sequence[Network] = LOOPBACK  # whom that does not bind
    half_read_bytes: int = 32 * 1_048_576  # of incomplete requests


def make_site(address: str, handle_port: int, http_port: int, *, names: Sequence[str] = (), serial: int = 1) -> bytes:
    """The HS_SITE record of this node. `address` may be a host name, which then stands beside 0.0.0.0."""
    try:
        packed = parse_address(str(ip_address(address)))
        attributes: tuple[tuple[str, str], ...] = ()
    except ValueError:
        packed = bytes(16)
        attributes = (("domain", address),)
    interfaces = (
        Interface(QUERY_INTERFACE, UDP, handle_port),
        Interface(ADMIN_AND_QUERY, TCP, handle_port),
        Interface(QUERY_INTERFACE, HTTP, http_port),
    )
    attributes += tuple(("desc", name) for name in names)
    return encode_site(Site(serial, (Server(1, packed, b"", interfaces),), attributes))


async def serve_worker(config: WorkerConfig, ready: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM or SIGINT: then stop accepting, finish what is being answered, and close the log."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    site = config.site or make_site("127.0.0.1", 2641, 8081)
    prefixes = PrefixTable(config.own_prefixes, site, config.prefix_memory)
    cache = RecordCache(prefixes, config.cache_bytes, time.monotonic)
    templates = TemplateShelf()
    bounds = Bounds(SourceLimit(config.udp_per_second, config.udp_exempt), ReadBudget(config.half_read_bytes))
    connect = partial(asyncpg.connect, config.database_url, server_settings=SERVER_SETTINGS, timeout=5)
    follower = Follower(cache, templates, connect)
    fillers = [Filler(cache, templates, connect) for _ in range(CONNECTIONS)]
    log = SegmentWriter(config.log_dir, config.name)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(log.close)
        upstream = await stack.enter_async_context(Upstream(config.upstream)) if config.upstream else None
        link = RegistryLink(config.link, config.link_tls) if config.link else None
        if link is not None:
            stack.push_async_callback(link.close)
        for task in (_watch(log), follower.run(), *(filler.run() for filler in fillers)):
            await stack.enter_async_context(_run(task, stop))
        with contextlib.suppress(TimeoutError):  # without a database it serves too: "not now"
            await asyncio.wait_for(follower.caught_up.wait(), FIRST_POLL_SECONDS)
        http = HttpSite(
            cache, log, Judge(config.language, config.probe_token, config.trusted_proxies),
            Pages(prefixes, config.public_url is not None, config.report_url), site,
            config.public_url or config.fallback_url, config.public_url is not None, upstream, link,
        )  # fmt: skip
        await stack.enter_async_context(_serve_http(http, config, bounds.reads))
        handle_sockets = config.handle_tcp_sockets, config.handle_udp_sockets
        await stack.enter_async_context(serve_handle(cache, log, Node(site, upstream), handle_sockets, bounds))
        if config.stats is not None:
            sources = Sources(cache, follower, fillers, log, bounds)
            await stack.enter_async_context(_run(publish(sources, config.stats), stop))
        tune_collector()
        if ready is not None:
            ready.set()
        await stop.wait()


@contextlib.asynccontextmanager
async def _run(work: Any, stop: asyncio.Event) -> AsyncIterator[None]:
    """A task for as long as the context lasts. If it fails, for want of memory say, the worker stops.

    Its successor starts at once and with room; without the task this one would let questions wait for ever, or answer
    what is no longer so.
    """

    def end(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("this worker stops, to be started anew", exc_info=error)
            stop.set()

    task = asyncio.ensure_future(work)
    task.add_done_callback(end)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _serve_http(http: HttpSite, config: WorkerConfig, reads: ReadBudget) -> AsyncIterator[None]:
    """uvicorn with our protocol on the sockets handed down; leaving ends it gracefully."""
    short = ShortCut(http, reads, config.short_cut, is_tls=config.tls is not None)
    settings = uvicorn.Config(
        cast(Any, http),
        http=cast(Any, partial(ResolverProtocol, short)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(IDLE_SECONDS),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        headers=[STRICT_TRANSPORT] if config.tls else [],
        ssl_context_factory=(lambda *_: cast(ssl.SSLContext, config.tls)) if config.tls else None,
    )
    server = _Server(settings)
    with_tls, plain = (config.http_sockets, ()) if config.tls else ((), config.http_sockets)
    serving = asyncio.ensure_future(server.serve(sockets=list(with_tls)))
    ticking = asyncio.ensure_future(_tick(short))
    streams = Streams()
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        for listening in plain:
            streams.listen(listening, lambda: ResolverProtocol(short, settings, server.server_state, {}), BACKLOG)
        yield
    finally:
        streams.stop_listening()
        server.should_exit = True
        await serving
        await streams.close()
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)


class _Server(uvicorn.Server):
    """Leaves the signals to the worker, which has more to stop than this."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


async def _watch(log: SegmentWriter) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            await asyncio.to_thread(log.begin_sync())
        except OSError as error:
            log.give_up(error)


async def _tick(short: ShortCut) -> None:
    while True:
        short.refresh()
        short.sweep()
        await asyncio.sleep(SWEEP_SECONDS / 2)


def tune_collector() -> None:
    """What was made so far lives as long as the process; entries hold no cycles, so the oldest generation can wait.

    A full collection walks every cached entry: at a million of them that is a pause of a second.
    """
    gc.collect()
    gc.freeze()
