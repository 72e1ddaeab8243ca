"""Handle messages out of a TCP stream and out of UDP datagrams, and into datagrams (handle-protocol 1.7, 1.10).

No sockets, no clock: bytes in, whole messages out.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace

from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    ENVELOPE_BYTES,
    HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    TRUNCATED,
    Envelope,
    check_length,
    check_major,
    decode_envelope,
    encode_envelope,
)

MAX_DATAGRAM_BYTES = 512
FRAGMENT_BYTES = MAX_DATAGRAM_BYTES - ENVELOPE_BYTES
REASSEMBLY_SECONDS = 5.0


class FrameReader:
    """Finds the messages in what one TCP peer sends. After an error the framing is lost: close the connection."""

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes of a message that has begun and is not complete; 0 between messages."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what the peer sent; yield the messages that are now complete, envelopes included.

        Yields, so that what was complete before a bad frame is still served; iterate to the end. A refused
        length raises MalformedMessage with the envelope; a first byte of another protocol raises without.
        """
        buffer = self._buffer
        buffer += data
        while buffer:
            check_major(buffer[0])
            if len(buffer) < ENVELOPE_BYTES:
                return
            length = int.from_bytes(buffer[16:20], "big")
            if not HEADER_BYTES <= length <= self._limit:
                check_length(decode_envelope(bytes(buffer[:ENVELOPE_BYTES])), self._limit)
            size = ENVELOPE_BYTES + length
            if len(buffer) < size:
                return
            message = bytes(buffer[:size])
            del buffer[:size]
            yield message


def split_datagrams(message: bytes) -> list[bytes]:
    """A whole message as datagrams of at most 512 bytes: one as it is, or several with TC set, numbered from 0."""
    if len(message) <= MAX_DATAGRAM_BYTES:
        return [message]
    envelope = decode_envelope(message)
    flags = envelope.flags | TRUNCATED
    return [
        encode_envelope(replace(envelope, flags=flags, sequence=number)) + message[start : start + FRAGMENT_BYTES]
        for number, start in enumerate(range(ENVELOPE_BYTES, len(message), FRAGMENT_BYTES))
    ]


@dataclass(frozen=True, slots=True)
class ReassemblyLimits:
    """How much may wait for its missing parts; when full, the oldest incomplete message gives way."""

    message_bytes: int = MAX_MESSAGE_BYTES
    sets: int = 1_024
    bytes: int = 8 * 1_048_576
    peer_sets: int = 16
    peer_bytes: int = 2 * MAX_MESSAGE_BYTES
    seconds: float = REASSEMBLY_SECONDS


_Key = tuple[Hashable, int]


@dataclass(slots=True)
class _Set:
    """The fragments of one message that have come so far, by number."""

    envelope: Envelope
    started: float
    fragments: dict[int, bytes] = field(default_factory=dict)
    held: int = 0


@dataclass(slots=True)
class _Peer:
    """What one peer has waiting; `keys` is an ordered set, oldest first."""

    keys: dict[_Key, None] = field(default_factory=dict)
    held: int = 0


class Reassembler:
    """Puts fragmented messages together by (peer, request id), in any order; bounded per peer and in all."""

    def __init__(self, limits: ReassemblyLimits | None = None) -> None:
        self._limits = limits or ReassemblyLimits()
        self._sets: dict[_Key, _Set] = {}  # in the order they began
        self._peers: dict[Hashable, _Peer] = {}
        self._held = 0

    @property
    def pending(self) -> int:
        """Incomplete messages."""
        return len(self._sets)

    @property
    def held(self) -> int:
        """Bytes kept of incomplete messages."""
        return self._held

    def accept(self, datagram: bytes, peer: Hashable, now: float) -> bytes | None:
        """The whole message if this datagram completes one (sequence 0, TC clear), else None.

        `now` is monotonic seconds. `peer` is what limits apply to: the address, with or without port.
        Raises MalformedMessage for what can be no part of a message; the waiting fragments stay.
        """
        self.expire(now)
        if self._is_whole(datagram):
            return datagram
        envelope = decode_envelope(datagram)
        check_length(envelope, self._limits.message_bytes)
        fragment = datagram[ENVELOPE_BYTES:]
        number = envelope.sequence
        envelope = replace(envelope, flags=envelope.flags & ~TRUNCATED, sequence=0)
        if number == 0 and len(fragment) == envelope.length:
            return encode_envelope(envelope) + fragment
        _check_fragment(envelope, number, len(fragment))
        return self._add((peer, envelope.request_id), envelope, number, fragment, now)

    def expire(self, now: float) -> None:
        """Forget what has waited too long."""
        while self._sets:
            key, oldest = next(iter(self._sets.items()))
            if now - oldest.started < self._limits.seconds:
                return
            self._drop(key)

    def _is_whole(self, datagram: bytes) -> bool:
        """A sound message in one packet, as nearly all are: nothing to put together, nothing to correct."""
        length = int.from_bytes(datagram[16:20], "big")
        return (
            len(datagram) == ENVELOPE_BYTES + length
            and HEADER_BYTES <= length <= self._limits.message_bytes
            and 1 <= datagram[0] <= 5
            and not datagram[2] & TRUNCATED
            and datagram[12:16] == b"\0\0\0\0"
        )

    def _add(self, key: _Key, envelope: Envelope, number: int, fragment: bytes, now: float) -> bytes | None:
        waiting = self._sets.get(key)
        if waiting is None:
            waiting = self._sets[key] = _Set(envelope, now)
            self._peers.setdefault(key[0], _Peer()).keys[key] = None
        elif waiting.envelope != envelope:
            raise _refused(envelope, "contradicts the fragments that came before")
        if number in waiting.fragments:
            return None
        waiting.fragments[number] = fragment
        waiting.held += len(fragment)
        self._peers[key[0]].held += len(fragment)
        self._held += len(fragment)
        if waiting.held == envelope.length:
            self._drop(key)
            parts = waiting.fragments
            return encode_envelope(envelope) + b"".join(parts[n] for n in range(len(parts)))
        self._make_room(key)
        return None

    def _make_room(self, newest: _Key) -> None:
        """Let the oldest others go while a bound is exceeded: first those of this peer, then anybody's."""
        limits, peer = self._limits, self._peers[newest[0]]
        while len(peer.keys) > limits.peer_sets or peer.held > limits.peer_bytes:
            self._drop(_oldest_but(peer.keys, newest))
        while len(self._sets) > limits.sets or self._held > limits.bytes:
            self._drop(_oldest_but(self._sets, newest))

    def _drop(self, key: _Key) -> None:
        dropped, peer = self._sets.pop(key), self._peers[key[0]]
        self._held -= dropped.held
        peer.held -= dropped.held
        del peer.keys[key]
        if not peer.keys:
            del self._peers[key[0]]


def _oldest_but(keys: dict[_Key, None] | dict[_Key, _Set], spared: _Key) -> _Key:
    """The oldest key but one; if there is no other, that one has to go."""
    return next((key for key in keys if key != spared), spared)


def _check_fragment(envelope: Envelope, number: int, size: int) -> None:
    """Every fragment is full but the last, so its number and size say exactly where it belongs."""
    last = (envelope.length - 1) // FRAGMENT_BYTES
    expected = FRAGMENT_BYTES if number < last else envelope.length - last * FRAGMENT_BYTES
    if number > last:
        raise _refused(envelope, f"fragment {number} of {last + 1}")
    if size != expected:
        raise _refused(envelope, f"fragment {number} has {size} bytes instead of {expected}")


def _refused(envelope: Envelope, reason: str) -> MalformedMessage:
    error = MalformedMessage(reason)
    error.envelope = envelope
    return error
