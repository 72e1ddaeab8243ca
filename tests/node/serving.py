"""A uvicorn server of ours on a socket of its own, for as long as a test needs it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import uvicorn


@asynccontextmanager
async def serve_app(server: uvicorn.Server) -> AsyncIterator[int]:
    """The port."""
    listening = socket.create_server(("127.0.0.1", 0))
    server.capture_signals = nullcontext  # type: ignore[assignment] - the signals of this process stay pytest's
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await running
