"""TCP connections of a worker without TLS: asyncio's transports on one epoll, read and answered in one callback.

A cached answer costs so little that what an event loop spends on its generality is half of it: a handle, a context and
a queue of writes for each request. Here the loop watches one descriptor, the epoll of all connections; whoever is
ready is read in a flat loop, and what a protocol writes goes to the kernel at once. The protocols are asyncio's.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, epoll
from typing import Any, cast

READ_BYTES = 16_384
HIGH_WATER_BYTES = 65_536
LOW_WATER_BYTES = 16_384
ACCEPTED_PER_TURN = 64
READY_PER_TURN = 256
NO_DESCRIPTORS_SECONDS = 0.5  # until connections are accepted again
_GONE = EPOLLHUP | EPOLLERR

MakeProtocol = Callable[[], asyncio.Protocol]


class Streams:
    """Listens, accepts, and reads all connections accepted."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = epoll()
        self._transports: dict[int, StreamTransport] = {}
        self._listeners: list[socket.socket] = []
        self._loop.add_reader(self._epoll.fileno(), self._serve_ready)

    def listen(self, listening: socket.socket, make_protocol: MakeProtocol, backlog: int) -> None:
        """Serve on a bound socket, which is closed with this."""
        listening.setblocking(False)
        listening.listen(backlog)
        self._listeners.append(listening)
        self._loop.add_reader(listening.fileno(), self._accept, listening, make_protocol)

    def stop_listening(self) -> None:
        """Connections that are open stay so."""
        for listening in self._listeners:
            self._loop.remove_reader(listening.fileno())
            listening.close()
        self._listeners.clear()

    async def close(self, seconds: float = 0.0) -> None:
        """Stop listening, give clients that long to take what was answered, and end what is left."""
        self.stop_listening()
        deadline = self._loop.time() + seconds
        while self._transports and self._loop.time() < deadline:  # noqa: ASYNC110 (nobody waits for them otherwise)
            await asyncio.sleep(0.01)
        for transport in list(self._transports.values()):
            transport.abort()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _accept(self, listening: socket.socket, make_protocol: MakeProtocol) -> None:
        for _ in range(ACCEPTED_PER_TURN):
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # gone before it was accepted
                continue
            except OSError as error:
                self._loop.remove_reader(listening.fileno())
                self._loop.call_later(NO_DESCRIPTORS_SECONDS, self._accept_again, listening, make_protocol)
                context = {"message": "no connection can be accepted for a moment", "exception": error}
                self._loop.call_exception_handler(context)
                return
            accepted.setblocking(False)
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport = StreamTransport(self._loop, self._epoll, self._transports, accepted, peer)
            try:
                transport.begin(make_protocol())
            except Exception as error:
                transport.fail(error)

    def _accept_again(self, listening: socket.socket, make_protocol: MakeProtocol) -> None:
        if listening in self._listeners:
            self._loop.add_reader(listening.fileno(), self._accept, listening, make_protocol)

    def _serve_ready(self) -> None:
        find, read = self._transports.get, os.read
        for descriptor, events in self._epoll.poll(0, READY_PER_TURN):
            transport = find(descriptor)
            if transport is None:  # closed by what another one received
                continue
            if events != EPOLLIN and not transport.settle(events):
                continue
            try:
                data = read(descriptor, READ_BYTES)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                transport.lose(error)
                continue
            try:
                if data:
                    transport.receive(data)
                else:
                    transport.end()
            except Exception as error:  # one connection's trouble is not the others'
                transport.fail(error)


class StreamTransport(asyncio.Transport):
    """One connection, as its protocol sees it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, poll: epoll, transports: "dict[int, StreamTransport]",
        accepted: socket.socket, peer: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self._loop, self._epoll, self._transports = loop, poll, transports
        self._socket, self._peer, self._fd = accepted, peer, accepted.fileno()
        self._buffer = bytearray()  # what the kernel did not take yet
        self._events = EPOLLIN
        self._reads = True  # as the protocol wishes
        self._ended = False  # the peer sends nothing more
        self._full = self._write_eof = self._closing = self._lost = False

    def begin(self, protocol: asyncio.Protocol) -> None:
        self.set_protocol(protocol)
        self._transports[self._fd] = self
        self._epoll.register(self._fd, EPOLLIN)
        protocol.connection_made(self)

    # What happens to it

    def settle(self, events: int) -> bool:
        """Something else than bytes to read alone; whether to read as well."""
        if events & EPOLLOUT:
            self._flush()
        if self._lost:
            return False
        if events & _GONE and not self._events & EPOLLIN:
            self.lose(ConnectionResetError())
        return bool(events & ~EPOLLOUT and self._events & EPOLLIN)

    def end(self) -> None:
        """The peer has said all it wants to say."""
        self._ended = True
        if self._protocol.eof_received():
            self._watch()
        else:
            self.close()

    def fail(self, error: Exception) -> None:
        """The protocol did not get on with what it received."""
        context = {"message": "a connection's protocol failed", "exception": error, "transport": self}
        self._loop.call_exception_handler(context)
        self.lose(error)

    def lose(self, error: Exception | None) -> None:
        """Nothing can be sent or received any more."""
        if self._lost:
            return
        self._closing = self._lost = True
        self._buffer.clear()
        self._epoll.unregister(self._fd)
        del self._transports[self._fd]
        self._loop.call_soon(self._finish, error)

    def _finish(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()
            del self._protocol, self.receive  # they know each other: nobody shall have to find that out

    def _watch(self) -> None:
        """Tell the kernel what is waited for, if that has changed."""
        events = EPOLLIN if self._reads and not self._ended and not self._closing else 0
        if self._buffer:
            events |= EPOLLOUT
        if events != self._events and not self._lost:
            self._events = events
            self._epoll.modify(self._fd, events)

    def _flush(self) -> None:
        try:
            sent = os.write(self._fd, self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.lose(error)
            return
        del self._buffer[:sent]
        if not self._buffer:
            if self._write_eof:
                self._shut_down()
            if self._closing:
                self.lose(None)
                return
        if self._full and len(self._buffer) <= LOW_WATER_BYTES:
            self._full = False
            self._protocol.resume_writing()
        self._watch()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.lose(error)

    # What its protocol asks for

    def write(self, data: bytes | bytearray | memoryview) -> None:
        sent = 0
        if self._closing or not data:
            return
        if not self._buffer:
            try:
                sent = os.write(self._fd, data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self.lose(error)
                return
            if sent == len(data):
                return
        self._buffer += memoryview(data)[sent:]
        self._watch()
        if not self._full and len(self._buffer) > HIGH_WATER_BYTES:
            self._full = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        self._write_eof = True
        if not self._buffer and not self._closing:
            self._shut_down()

    def pause_reading(self) -> None:
        self._reads = False
        self._watch()

    def resume_reading(self) -> None:
        self._reads = True
        self._watch()

    def is_reading(self) -> bool:
        return self._reads and not self._closing

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """What was written is still sent."""
        if self._closing:
            return
        self._closing = True
        if self._buffer:
            self._watch()
        else:
            self.lose(None)

    def abort(self) -> None:
        self.lose(None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)
        self.receive = self._protocol.data_received

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`, `peername` and `sockname`."""
        if name == "socket":
            return self._socket
        if name == "peername":
            return self._peer
        return self._socket.getsockname() if name == "sockname" else default
