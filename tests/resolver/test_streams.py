"""Our transports keep what asyncio promises of them: real sockets, small kernel buffers, peers that misbehave."""

import asyncio
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from resolver.streams import HIGH_WATER_BYTES, Streams

LARGE = bytes(range(256)) * 16_384  # 4 MB: more than both kernel buffers hold


class Recorder(asyncio.Protocol):
    """Notes what happens to a connection; `answer` is what it does with each piece."""

    def __init__(self, answer: "Callable[[Recorder, bytes], None]") -> None:
        self.answer = answer
        self.received = bytearray()
        self.events: list[str] = []
        self.keeps_half_open = False
        self.error: Exception | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.answer(self, data)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keeps_half_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.events.append("lost")
        self.lost.set()


class Side:
    """A server of recorders, and blocking clients of it."""

    def __init__(self, streams: Streams, listening: socket.socket, made: list[Recorder]) -> None:
        self.streams, self.made, self.address = streams, made, listening.getsockname()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Recorder]:
        before = len(self.made)
        reader, writer = await asyncio.open_connection(*self.address)
        await reach(lambda: len(self.made) > before)
        return reader, writer, self.made[-1]


@asynccontextmanager
async def serve(answer: Callable[[Recorder, bytes], None]) -> AsyncIterator[Side]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)  # its connections inherit it
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder(answer))
        return made[-1]

    streams = Streams()
    streams.listen(listening, make, 100)
    side = Side(streams, listening, made)
    try:
        yield side
    finally:
        await side.streams.close()


async def reach(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.001)


def echo(protocol: Recorder, data: bytes) -> None:
    protocol.transport.write(data)


def send_much(protocol: Recorder, _data: bytes) -> None:
    protocol.transport.write(LARGE)


async def test_what_is_written_arrives_whole_and_in_order_whatever_the_kernel_takes_at_once() -> None:
    async with serve(echo) as side:
        reader, writer, protocol = await side.connect()
        writer.write(LARGE)
        assert await reader.readexactly(len(LARGE)) == LARGE
        assert protocol.received == LARGE


async def test_a_slow_reader_pauses_the_writer_until_it_has_caught_up() -> None:
    async with serve(send_much) as side:
        reader, writer, protocol = await side.connect()
        writer.write(b"?")
        await reach(lambda: protocol.events == ["pause"])
        assert await reader.readexactly(len(LARGE)) == LARGE
        await reach(lambda: protocol.events == ["pause", "resume"])
        assert len(LARGE) > 2 * HIGH_WATER_BYTES


async def test_what_was_written_is_sent_before_a_connection_closes() -> None:
    def answer(protocol: Recorder, _data: bytes) -> None:
        protocol.transport.write(LARGE)
        protocol.transport.close()
        protocol.transport.write(b"too late")
        assert protocol.transport.is_closing()

    async with serve(answer) as side:
        reader, writer, protocol = await side.connect()
        writer.write(b"?")
        assert await reader.read() == LARGE
        await protocol.lost.wait()
        assert (protocol.error, protocol.events[-1]) == (None, "lost")


async def test_the_sending_half_is_shut_after_what_was_written_and_the_other_goes_on() -> None:
    def answer(protocol: Recorder, _data: bytes) -> None:
        if len(protocol.received) == 1:
            protocol.transport.write(LARGE)
            protocol.transport.write_eof()

    async with serve(answer) as side:
        reader, writer, protocol = await side.connect()
        writer.write(b"1")
        assert await reader.read() == LARGE
        writer.write(b"2")
        await reach(lambda: protocol.received == b"12")


@pytest.mark.parametrize("keeps", [True, False])
async def test_who_has_said_everything_still_hears_the_answer_if_the_protocol_wishes(keeps: bool) -> None:
    async with serve(lambda *_: None) as side:
        reader, writer, protocol = await side.connect()
        protocol.keeps_half_open = keeps
        writer.write_eof()
        await reach(lambda: "eof" in protocol.events)
        await asyncio.sleep(0)
        assert protocol.transport.is_closing() is not keeps
        if keeps:
            protocol.transport.write(b"answer")
            protocol.transport.close()
        assert await reader.read() == (b"answer" if keeps else b"")
        await protocol.lost.wait()
        assert protocol.events == ["eof", "lost"]


async def test_nothing_is_read_while_reading_is_paused_and_everything_afterwards() -> None:
    def answer(protocol: Recorder, data: bytes) -> None:
        protocol.transport.pause_reading()

    async with serve(answer) as side:
        _, writer, protocol = await side.connect()
        writer.write(b"first")
        await reach(lambda: protocol.received == b"first")
        writer.write(b"second")
        _, other, witness = await side.connect()
        other.write(b"turns of the loop")
        await reach(lambda: len(witness.received) > 0)
        assert protocol.received == b"first" and not protocol.transport.is_reading()
        protocol.transport.resume_reading()
        await reach(lambda: protocol.received == b"firstsecond")


@pytest.mark.parametrize("is_paused", [True, False])
async def test_a_reset_ends_the_connection_even_if_nobody_reads_from_it(is_paused: bool) -> None:
    async with serve(lambda *_: None) as side:
        _, writer, protocol = await side.connect()
        if is_paused:
            protocol.transport.pause_reading()
        client = cast(socket.socket, writer.get_extra_info("socket"))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await asyncio.wait_for(protocol.lost.wait(), 10)
        assert isinstance(protocol.error, ConnectionResetError)
        protocol.transport.write(b"into the void")
        protocol.transport.resume_reading()
        protocol.transport.abort()
        assert protocol.events == ["lost"]


async def test_one_protocols_mistake_ends_its_own_connection_and_no_other() -> None:
    def answer(protocol: Recorder, data: bytes) -> None:
        if data == b"mistake":
            raise ZeroDivisionError
        protocol.transport.write(data)

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with serve(answer) as side:
        reader, writer, protocol = await side.connect()
        other_reader, other_writer, _ = await side.connect()
        writer.write(b"mistake")
        with suppress(ConnectionError):
            assert await reader.read() == b""
        await protocol.lost.wait()
        other_writer.write(b"still here")
        assert await other_reader.readexactly(10) == b"still here"
    assert [type(error) for error in told] == [ZeroDivisionError]


async def test_a_connection_closed_by_anothers_callback_is_not_read_from() -> None:
    def answer(protocol: Recorder, _data: bytes) -> None:
        for other in side.made:
            if other is not protocol:
                other.transport.abort()

    async with serve(answer) as side:
        clients = [await side.connect() for _ in range(5)]
        for _, writer, _ in clients:
            writer.write(b"me")  # all are ready in one turn, or die before theirs
        await reach(lambda: sum(protocol.events == ["lost"] for protocol in side.made) == 4)
        assert sum(len(protocol.received) > 0 for protocol in side.made) == 1


async def test_without_descriptors_connections_wait_and_are_accepted_later() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serve(echo) as side:
        client = socket.socket()
        client.setblocking(False)
        holder = socket.socket()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (holder.fileno() + 1, limits[1]))
            with suppress(BlockingIOError):
                client.connect(side.address)
            await reach(lambda: len(told) > 0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            holder.close()
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(b"later")
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"later"
    assert all(isinstance(error, OSError) for error in told)


async def test_closing_ends_what_is_left() -> None:
    async with serve(echo) as side:
        reader, _, protocol = await side.connect()
        await side.streams.close(0.01)
        await protocol.lost.wait()
        assert await reader.read() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(*side.address)
        side.streams = Streams()  # to be closed instead
