"""The Handle protocol over UDP: datagrams of at most 512 bytes, larger messages in numbered fragments (1.10)."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resolver.addresses import pack_address
from resolver.bounds import SourceLimit
from resolver.handle_answers import HandleAnswers
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import ENCRYPTED, ENVELOPE_BYTES
from schemas.handle_stream import FRAGMENT_BYTES, MAX_DATAGRAM_BYTES, Reassembler, split_datagrams

# An answer may not be much larger than its question: the source of a datagram can be forged.
MAX_PACKETS = 8
_LONGEST_ANSWER = ENVELOPE_BYTES + MAX_PACKETS * FRAGMENT_BYTES
_RECEIVE_BYTES = 4_096  # some clients send requests above 512 bytes in one piece
_BATCH = 64  # datagrams answered per wake-up, so that other sockets get their turn
_BUFFER_BYTES = 4 * 1_048_576
_REQUEST_CODE = _FIRST = bytes(4)  # the response code of a request; the number of a first fragment

Peer = Any  # the socket's own form of an address


@dataclass(frozen=True, slots=True)
class _Datagram:
    """The sender of a request whose answer comes later."""

    server: "HandleUdpServer"
    peer: Peer
    address: bytes
    request: bytes

    def send_later(self, reply: bytes) -> None:
        self.server.send(reply, self)

    def give_up(self) -> None:
        """Datagrams may be lost; the client asks again."""


class HandleUdpServer:
    """Answers the datagrams of one socket; `clock` is monotonic seconds.

    The socket is read here rather than by a transport: many datagrams per wake-up, and an answer for which the
    kernel has no room is dropped, as the network would, instead of being queued without bound.
    """

    def __init__(
        self, answers: HandleAnswers, bound: socket.socket, clock: Callable[[], float], limit: SourceLimit
    ) -> None:
        self._answers = answers
        self._socket = bound
        self._clock = clock
        self._limit = limit
        self._reassembler = Reassembler()
        self._loop = asyncio.get_running_loop()
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            bound.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        bound.setblocking(False)
        self._loop.add_reader(bound.fileno(), self._read)

    def close(self) -> None:
        """Stop reading and close the socket; answers still to come go nowhere."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def send(self, reply: bytes, asker: _Datagram) -> None:
        """Send an answer, in fragments if need be."""
        if len(reply) > _LONGEST_ANSWER:
            reply = self._answers.refuse_size(asker.request, len(reply))
        packets = split_datagrams(reply)
        if len(packets) > 1:
            self._limit.charge(asker.address, len(packets) - 1)
        for packet in packets:
            self._send_packet(packet, asker.peer)

    def _read(self) -> None:
        """Answer what is there. Answers go out together: a client that the first one wakes need not sleep again."""
        receive, send, answer_plain = self._socket.recvfrom, self._socket.sendto, self._answers.answer_plain
        admits, replies = self._limit.admits, []
        self._limit.begin(self._clock())
        for _ in range(_BATCH):
            try:
                data, peer = receive(_RECEIVE_BYTES)
            except OSError:  # nothing there, or an ICMP error about an answer sent before
                break
            address = pack_address(peer[0])
            if not admits(address):
                continue
            reply = answer_plain(data, address)
            if reply is None:
                self._answer(data, peer, address)
            elif len(reply) <= MAX_DATAGRAM_BYTES:
                replies.append((reply, peer))
            else:
                self.send(reply, _Datagram(self, peer, address, data))
        for reply, peer in replies:
            try:
                send(reply, peer)
            except OSError:
                self._limit.unsent += 1

    def _answer(self, data: bytes, peer: Peer, address: bytes) -> None:
        """What the short way has no answer for."""
        if len(data) < ENVELOPE_BYTES:
            return
        try:
            message = self._reassembler.accept(data, peer[0], self._clock())
        except MalformedMessage as error:
            self._answer_malformed(data, peer, error)
            return
        if message is None or _is_response(message):
            return
        asker = _Datagram(self, peer, address, message)
        reply = self._answers.answer(message, asker)
        if reply:
            self.send(reply, asker)

    def _answer_malformed(self, data: bytes, peer: Peer, error: MalformedMessage) -> None:
        """One answer to the first datagram of a bad message; none to fragments and to what may be a response."""
        if error.envelope is None or data[12:16] != _FIRST or _is_response(data):
            return
        reply = self._answers.answer_malformed(error)
        if reply:
            self._send_packet(reply, peer)

    def _send_packet(self, packet: bytes, peer: Peer) -> None:
        try:
            self._socket.sendto(packet, peer)
        except OSError:  # no room, or no way there: datagrams may be lost, the client asks again
            self._limit.unsent += 1


def _is_response(message: bytes) -> bool:
    """Never to be answered: two servers could go on for ever. The code of an encrypted message cannot be seen."""
    return not message[2] & ENCRYPTED and message[24:28] not in (_REQUEST_CODE, b"")
