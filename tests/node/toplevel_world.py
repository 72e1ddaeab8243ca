"""A rehearsal top-level node on a port of its own, with a clock of the test's, and somebody who may report to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

from node.toplevel import book as store
from node.toplevel.behaviour import Behaviour, write_behaviour
from node.toplevel.book import Book, open_book
from node.toplevel.server import create_app
from node.toplevel_client import TopLevel
from schemas.signatures import Algorithm, format_key_id, format_public_key, make_private_key
from schemas.toplevel_envelope import Signer

START = datetime(2026, 11, 20, 16, 10, tzinfo=UTC)  # 00:10 of the 21st at UTC+8
YESTERDAY = "2026-11-20"
PREFIX = "88.101"
APP = "node-88.101"


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Above:
    """The top-level node; `url` is what is reported to."""

    book: Book
    clock: Clock
    port: int
    private_key: str
    algorithm: Algorithm = "ED25519"
    session: aiohttp.ClientSession = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tln/v1"

    @property
    def signer(self) -> Signer:
        public = format_public_key(self.algorithm, self.private_key)
        return Signer(APP, format_key_id(public), self.algorithm, self.private_key)

    @property
    def toplevel(self) -> TopLevel:
        return TopLevel(self.url, self.session, self.signer)

    def behave(self, **told: Any) -> None:
        write_behaviour(self.book, Behaviour(**told))

    def rows(self, table: str, period: str = YESTERDAY) -> list[dict[str, Any]]:
        return store.fetch_rows(self.book, table, period)


@asynccontextmanager
async def run_above(directory: Path, algorithm: Algorithm = "ED25519", prefix: str = PREFIX) -> AsyncIterator[Above]:
    book, clock = open_book(directory), Clock()
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(book, clock), ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    above = Above(book, clock, listening.getsockname()[1], make_private_key(algorithm), algorithm)
    public = format_public_key(algorithm, above.private_key)
    with store.transaction(book):
        store.enrol(book, APP, prefix, store.Key(format_key_id(public), algorithm, public, "active"), 0)
    try:
        # A server that shares our loop may close an idle connection while we are about to use it.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as above.session:
            yield above
    finally:
        server.should_exit = True
        await serving
        book.close()


def make_firm_row(number: int, registered: int = 10, total: int | None = None, asked: int = 5) -> dict[str, Any]:
    """A row of T8."""
    return {
        "prefix": f"{PREFIX}.{number}", "day": YESTERDAY, "regNew": registered,
        "regTotal": registered if total is None else total, "resolveReq": asked, "resolveOk": asked,
        "sources": [{"ip": "203.0.113.9", "count": asked}] if asked else [], "othersCount": 0,
    }  # fmt: skip
