"""The Handle protocol's part of a worker: its TCP and UDP sockets on one cache and one log."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence

from resolver.bounds import Bounds
from resolver.cache import RecordCache
from resolver.handle_answers import HandleAnswers, Node
from resolver.handle_tcp import HandleTcpServer
from resolver.handle_udp import HandleUdpServer
from schemas.resolution_log import Transport
from schemas.segments import SegmentWriter


@contextlib.asynccontextmanager
async def serve_handle(
    records: RecordCache,
    log: SegmentWriter,
    node: Node,
    sockets: tuple[Sequence[socket.socket], Sequence[socket.socket]],
    bounds: Bounds,
) -> AsyncIterator[None]:
    """Serve on `sockets`, bound ones of TCP and of UDP, while the context lasts."""
    tcp_answers = HandleAnswers(records, log, Transport.HANDLE_TCP, node)
    udp_answers = HandleAnswers(records, log, Transport.HANDLE_UDP, node)
    tcp_server = HandleTcpServer(tcp_answers, bounds)
    udp_servers: list[HandleUdpServer] = []
    try:
        for listening in sockets[0]:
            tcp_server.listen(listening)
        udp_servers += [HandleUdpServer(udp_answers, bound, time.monotonic, bounds.sources) for bound in sockets[1]]
        yield
    finally:
        for server in udp_servers:
            server.close()
        await tcp_server.close()
        for answers in (tcp_answers, udp_answers):
            answers.close()
        await asyncio.sleep(0)
