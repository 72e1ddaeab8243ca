"""A live Handle server for tests: the real cache on a real PostgreSQL, in a thread with the event loop workers use."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from resolver.bounds import Bounds
from resolver.cache import RecordCache
from resolver.fill import SERVER_SETTINGS, Filler, TemplateShelf
from resolver.follow import Follower
from resolver.handle_answers import Node
from resolver.handle_transports import serve_handle
from resolver.prefixes import PrefixTable
from resolver.upstream import Upstream, UpstreamSettings
from schemas.handle_bodies import ResolutionRequest, encode_resolution_request
from schemas.handle_messages import PUBL, RECU, Envelope, Header, Message, decode_message, encode_message
from schemas.handle_stream import FrameReader, Reassembler
from schemas.records import pack_values
from schemas.resolution_log import LoggedAnswer, decode_answers
from schemas.segments import SegmentWriter
from schemas.values import Value
from tests.resolver.rows import add_prefix, add_range, add_record, add_template

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class ServerPlan:
    """What a test may choose about its server."""

    database_url: str
    log_dir: Path
    site: bytes
    upstream: UpstreamSettings | None = None
    bounds: Bounds = field(default_factory=Bounds)
    wall_clock: float | None = None  # unix seconds, standing still


class HandleServer:
    """Started by `run_server`; `port` is that of TCP and of UDP."""

    def __init__(self, plan: ServerPlan) -> None:
        self._plan = plan
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)
        self._loop: Any = None
        self._stop: Any = None
        self.cache: RecordCache
        self.port = 0
        self.troubles: list[Any] = []  # what raised out of a protocol or a callback: a defect, whoever caused it

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(PATIENCE_SECONDS), "the server did not start"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        plan = self._plan
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda _, context: self.troubles.append(context))
        tcp = socket.create_server(("127.0.0.1", 0))
        self.port = tcp.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", self.port))
        self.cache = RecordCache(PrefixTable(["88.101"], plan.site), 50_000_000, time.monotonic)
        templates = TemplateShelf()
        connect = partial(asyncpg.connect, plan.database_url, server_settings=SERVER_SETTINGS)
        follower = Follower(self.cache, templates, connect)
        log = SegmentWriter(plan.log_dir, "resolver-0")
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(log.close)
            upstream = await stack.enter_async_context(Upstream(plan.upstream)) if plan.upstream else None
            tasks = [asyncio.create_task(work.run()) for work in (follower, Filler(self.cache, templates, connect))]
            clock = time.time if plan.wall_clock is None else lambda: plan.wall_clock or 0.0
            node = Node(plan.site, upstream, clock)
            await stack.enter_async_context(serve_handle(self.cache, log, node, ([tcp], [udp]), plan.bounds))
            await follower.caught_up.wait()
            self._ready.set()
            await self._stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def connect(self) -> "TcpClient":
        return TcpClient(self.port)

    def ask(self, message: bytes) -> bytes:
        """One question over a connection of its own."""
        with contextlib.closing(self.connect()) as client:
            client.send(message)
            return client.receive()

    def ask_udp(self, message: bytes) -> bytes:
        """One question in one datagram; the answer put together from its fragments."""
        with contextlib.closing(UdpClient(self.port)) as client:
            client.send(message)
            return client.receive()

    def read_log(self) -> list[LoggedAnswer]:
        """Everything that was counted so far."""
        records = []
        for path in sorted(self._plan.log_dir.glob("*.segment")):
            records += [record for record in decode_answers(path.read_bytes()) if isinstance(record, LoggedAnswer)]
        return records


@contextlib.contextmanager
def run_server(plan: ServerPlan) -> Iterator[HandleServer]:
    server = HandleServer(plan)
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert server.troubles == []


class TcpClient:
    """A blocking client that finds messages in what comes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(PATIENCE_SECONDS)
        self._frames = FrameReader(10_000_000)
        self._messages: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """The next message; ConnectionError if the server closed instead."""
        while not self._messages:
            data = self.socket.recv(1_000_000)
            if not data:
                raise ConnectionError("closed")
            self._messages += self._frames.feed(data)
        return self._messages.pop(0)

    def receive_all(self) -> list[bytes]:
        """What comes until the server closes."""
        messages: list[bytes] = []
        with contextlib.suppress(ConnectionError):
            while True:
                messages.append(self.receive())
        return messages

    def close(self) -> None:
        self.socket.close()


class UdpClient:
    """A blocking client that puts fragments together."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(PATIENCE_SECONDS)
        self.datagrams = 0
        self._reassembler = Reassembler()

    def send(self, datagram: bytes) -> None:
        self.socket.send(datagram)

    def receive(self) -> bytes:
        while True:
            datagram = self.socket.recv(65_535)
            self.datagrams += 1
            message = self._reassembler.accept(datagram, "server", time.monotonic())
            if message is not None:
                return message

    def close(self) -> None:
        self.socket.close()


def encode_question(
    handle: str | bytes,
    request_id: int = 1,
    *,
    flags: int = RECU | PUBL,
    indexes: tuple[int, ...] = (),
    types: tuple[str, ...] = (),
    **envelope: Any,
) -> bytes:
    """A resolution of version 2.11; `envelope` may set its fields and `recursion_count`."""
    raw = handle.encode("utf-8", "surrogateescape") if isinstance(handle, str) else handle
    hops = envelope.pop("recursion_count", 0)
    fields = {
        "major": 2, "minor": 11, "flags": 0, "suggested_major": 2, "suggested_minor": 11, "session_id": 0,
        "sequence": 0, "length": 0,
    } | envelope  # fmt: skip
    body = encode_resolution_request(ResolutionRequest(raw, list(indexes), list(types)))
    header = Header(1, flags=flags, recursion_count=hops, expiration=1_900_000_000)
    return encode_message(Message(Envelope(request_id=request_id, **fields), header, body))


def get_code(reply: bytes) -> int:
    return decode_message(reply).header.response_code


# Rows

VECTOR_VALUES = [
    Value(1, "URL", b"https://example.org/item/1", timestamp=1_700_000_000),
    Value(2, "EMAIL", b"admin@example.org", timestamp=1_700_000_001),
    Value(100, "HS_ADMIN", bytes.fromhex("0fff0000000d302e4e412f38382e3130312e350000012c"), timestamp=1_700_000_002),
]
SECRET = Value(300, "HS_SECKEY", b"s3cret", permissions=0x0C)


async def fill_database(dsn: str, their_site: bytes) -> None:
    """The identifiers the tests ask for."""
    conn = await asyncpg.connect(dsn)
    try:
        await _fill(conn, their_site)
    finally:
        await conn.close()


async def _fill(conn: Any, their_site: bytes) -> None:
    prefix_id = await add_prefix(conn, "88.101.5")
    template = await add_template(conn, prefix_id, "88.101.5")

    async def add(suffix: str, values: list[Value], changed: int = 1_700_000_002, **columns: Any) -> None:
        await add_record(conn, prefix_id, suffix, packed=pack_values(0, values, changed), **columns)
        await conn.execute("UPDATE records SET changed = to_timestamp($1) WHERE suffix_key = $2", changed, suffix)

    await add("SN0001", VECTOR_VALUES)
    letters = bytes(b"abcdefghijklmnopqrstuvwxyz"[n % 26] for n in range(900))
    await add("BIG", [Value(1, "DESC", letters)], changed=1_700_000_000)
    await add("HUGE", [Value(1, "DESC", bytes(20_000))])
    await add("EMPTY", [])
    await add("SECRET", [*VECTOR_VALUES, SECRET])
    await add("ONLYSECRET", [SECRET])
    await add("FROZEN", VECTOR_VALUES, state=1, note="under investigation")
    await add("RETIRED", VECTOR_VALUES, state=2, note="88.101.5/SN0001")
    await add("MANY", [Value(n, f"T{n}", b"x") for n in range(1, 2_049)])
    pump = [(2000, "product_name", "离心泵"), (2003, "URL", "https://example.org/"), (2004, "cost", "100")]
    await add_record(conn, prefix_id, "PUMP", template.template_id, pump)
    await add_range(conn, prefix_id, "RN", 8, (1, 10_000_000))
    await add_prefix(conn, "88.101.6", state=0)
    await add_prefix(conn, "88.101.7", hosting=1, site=their_site)
