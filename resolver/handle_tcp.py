"""The Handle protocol over TCP: connections stay open, requests are pipelined, hits are answered at once (1.7)."""

import asyncio
import resource
import socket
from typing import cast

from resolver.addresses import pack_address
from resolver.bounds import Bounds, TcpLimits
from resolver.handle_answers import HandleAnswers
from resolver.streams import Streams
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import ENVELOPE_BYTES
from schemas.handle_stream import FrameReader

_FLUSH_BYTES = 65_536
_BACKLOG = 4_096
_CLOSING_SECONDS = 1.0  # for clients to take what was answered


class HandleConnection(asyncio.Protocol):
    """One client. Everything it sends is answered, refused or ends its own connection, and no other."""

    def __init__(self, server: "HandleTcpServer") -> None:
        self.address = b""
        self._server = server
        self._answers = server.answers
        self._frames = FrameReader()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        self._waiting = 0  # answers that will come later
        self._held = False  # reading is paused
        self._full = False  # the peer does not take what we write
        self._ended = False  # the peer will send nothing more, or nothing that could be understood
        self._active_at = self._message_at = self._full_at = server.now
        self._is_mid_message = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = pack_address(peer[0]) if isinstance(peer, tuple) else b""
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._server.connections.discard(self)
        self._server.reads.release(self)

    def data_received(self, data: bytes) -> None:
        if self._ended:  # what follows a lost framing means nothing
            return
        self._active_at = self._server.now
        self._serve(data)

    def eof_received(self) -> bool:
        """Who has only shut down its sending half still gets its answers."""
        self._ended = True
        return self._waiting > 0 or self._full or self._held

    def pause_writing(self) -> None:
        self._full, self._full_at = True, self._server.now

    def resume_writing(self) -> None:
        self._full = False
        self._go_on()

    def send_later(self, reply: bytes) -> None:
        """An answer that was not there at once."""
        self._waiting -= 1
        if self._transport.is_closing():
            return
        self._active_at = self._server.now
        if reply:
            self._transport.write(reply)
        self._go_on()

    def give_up(self) -> None:
        """An answer cannot be made: who waits for it must not wait for ever."""
        self._transport.abort()

    def close(self) -> None:
        """The worker stops."""
        self._transport.close()

    def give_way(self) -> None:
        """Too much is half read, and this began first."""
        self._ended = True
        self._transport.abort()

    def check_deadlines(self, now: float, limits: TcpLimits) -> None:
        """Close a connection that is idle, sends a message too slowly or does not take its answers."""
        if self._full:
            late = now - self._full_at >= limits.unread_seconds
        elif self._is_mid_message and not self._held:
            late = now - self._message_at >= limits.message_seconds
        else:
            late = not self._waiting and now - self._active_at >= limits.idle_seconds
        if late:
            self._transport.abort()

    def _serve(self, data: bytes) -> None:
        """Answer what is complete, as far as the peer takes the answers."""
        replies: list[bytes] = []
        at = 0 if self._is_mid_message else self._answer_plain(data, replies)
        served = at > 0
        if not served or at < len(data):
            served |= self._answer_rest(data[at:], replies)
        if replies:
            self._transport.write(replies[0] if len(replies) == 1 else b"".join(replies))
        self._follow_up(served)

    def _answer_plain(self, data: bytes, replies: list[bytes]) -> int:
        """Answer the commonest requests where they stand, up to the first that is anything else; bytes answered."""
        answer, address, at, size, room = self._answers.answer_plain, self.address, 0, len(data), _FLUSH_BYTES
        while room > 0:
            end = at + ENVELOPE_BYTES + int.from_bytes(data[at + 16 : at + 20], "big")
            reply = answer(data[at:end], address) if end <= size else None
            if reply is None:
                break
            replies.append(reply)
            room -= len(reply)
            at = end
        return at

    def _answer_rest(self, data: bytes, replies: list[bytes]) -> bool:
        """Answer what else is complete; whether anything was. Leaves in the frame reader what has to wait."""
        size, served, answer = sum(map(len, replies)), False, self._answers.answer
        try:
            for message in self._frames.feed(data):
                served = True
                reply = answer(message, self)
                if reply is None:
                    self._waiting += 1
                    if self._waiting >= self._server.limits.waiting:
                        break
                    continue
                replies.append(reply)
                size += len(reply)
                if size >= _FLUSH_BYTES:
                    self._transport.write(b"".join(replies))
                    replies.clear()
                    size = 0
                    if self._full:
                        break
        except MalformedMessage as error:  # the framing is lost; TLS, HTTP and the like get no answer at all
            replies.append(self._answers.answer_malformed(error))
            self._frames, self._ended = FrameReader(), True
        return served

    def _follow_up(self, served: bool) -> None:
        """Note where the stream stands, hold it if need be, close it if it is over."""
        buffered = self._frames.buffered
        if buffered:
            if served or not self._is_mid_message:
                self._message_at = self._server.now
                self._server.reads.release(self)
            self._server.reads.hold(self, buffered)
        elif self._is_mid_message:
            self._server.reads.release(self)
        self._is_mid_message = buffered > 0
        if self._is_blocked():
            if not self._held and not self._ended:
                self._transport.pause_reading()
            self._held = True
        elif self._ended and not self._waiting:
            self._transport.close()  # what was written is still sent

    def _is_blocked(self) -> bool:
        return self._full or self._waiting >= self._server.limits.waiting

    def _go_on(self) -> None:
        """After something was taken or delivered: serve what is already here, then read on."""
        if self._is_blocked() or self._transport.is_closing():
            return
        if self._held:
            self._held = False
            self._message_at = self._server.now
            self._serve(b"")
            if not self._held and not self._ended and not self._transport.is_closing():
                self._transport.resume_reading()
        elif self._ended and not self._waiting:
            self._transport.close()


class HandleTcpServer:
    """All TCP connections of a worker."""

    def __init__(self, answers: HandleAnswers, bounds: Bounds) -> None:
        self.answers = answers
        self.reads, self.limits = bounds.reads, bounds.tcp
        self.connections: set[HandleConnection] = set()
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()  # as of the last sweep: precise enough for deadlines
        self._streams = Streams()
        self._timer = self._loop.call_later(self.limits.sweep_seconds, self._sweep)

    def listen(self, listening: socket.socket) -> None:
        """Serve on a bound socket."""
        raise_file_limit()
        self._streams.listen(listening, lambda: HandleConnection(self), _BACKLOG)

    async def close(self) -> None:
        """Stop listening and end every connection; what was answered is still sent."""
        self._timer.cancel()
        self._streams.stop_listening()
        for connection in list(self.connections):
            connection.close()
        await self._streams.close(_CLOSING_SECONDS)

    def _sweep(self) -> None:
        self.now = self._loop.time()
        for connection in list(self.connections):
            connection.check_deadlines(self.now, self.limits)
        self._timer = self._loop.call_later(self.limits.sweep_seconds, self._sweep)


def raise_file_limit() -> None:
    """Thousands of connections need as many descriptors: take as many as are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
