"""The process of the rehearsal top-level node: HTTP and the Handle protocol on one book, until SIGTERM."""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from node.toplevel.book import open_book
from node.toplevel.resolving import Datagrams, Streams
from node.toplevel.server import create_app

STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class TopLevelConfig:
    """Sockets are open; the TCP ones listen."""

    directory: Path
    http: socket.socket
    handle_tcp: socket.socket
    handle_udp: socket.socket


class _Server(uvicorn.Server):
    """uvicorn raises a signal it caught once more when it has stopped; we are done then and end with status 0."""

    def handle_exit(self, sig: int, frame: object) -> None:
        self.should_exit = True


async def serve_toplevel(config: TopLevelConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    book = open_book(config.directory)
    streams = Streams(book)
    handle = await asyncio.start_server(streams.serve, sock=config.handle_tcp)
    datagrams, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Datagrams(book), sock=config.handle_udp
    )
    server = _Server(
        uvicorn.Config(
            create_app(book), loop="none", http="httptools", ws="none", lifespan="off", log_config=None,
            access_log=False, server_header=False, timeout_graceful_shutdown=STOP_SECONDS,
        )
    )  # fmt: skip
    try:
        await server.serve(sockets=[config.http])
    finally:
        datagrams.close()
        handle.close()
        book.close()
