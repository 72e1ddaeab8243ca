"""The commonest request of all, read and answered flat: a plain public resolution of something that is there.

Everything else returns None and goes the readable way (`resolver.handle_answers` on `schemas.handle_messages`);
where this one answers, it answers byte for byte the same, which the tests prove on vectors and mutations.
"""

from struct import Struct
from typing import NamedTuple

from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    AUTH,
    CACR,
    CERT,
    DNRF,
    ENCR,
    ENVELOPE_BYTES,
    HEADER_BYTES,
    HIGHEST_VERSION,
    MAX_HANDLE_BYTES,
    PUBL,
    RECU,
    RRDG,
    Opcode,
    decode_envelope,
    negotiate_version,
)

# version with flags (4 bytes at once), session, request, sequence, length; opcode, code, flags, serial, recursion,
# reserved, expiration, body length; handle length
_REQUEST = Struct(">4sIIIIIIIHBBiii")
_RESPONSE_REST = Struct(">IIIIIHBBii")  # of a response behind version, session and request id
_HANDLE_AT = _REQUEST.size  # 48
# Behind the handle: no indexes, no types, perhaps an empty field that idPointer clients add, no credential.
_RESTS = {12: bytes(12), 16: bytes(16)}
_UNSIGNED = bytes(4)
_NOT_PLAIN = CERT | ENCR | RRDG
_ECHOED = CACR | PUBL | DNRF  # of those that can be set here
_ALWAYS = RECU | AUTH
_FIXED_BYTES = HEADER_BYTES + 4  # of a response behind the envelope: header and credential
MAX_RECURSION = 10
_MAX_SHAPES = 4_096


class Shape(NamedTuple):
    """What plain requests with the same first 48 bytes, but for session and request id, have in common."""

    end: int  # the handle is message[48:end]
    rest: bytes  # what must follow it
    is_public_only: bool
    version: bytes  # first four bytes of the answer
    flags: int  # of the answer
    recursion: int


class PlainCodec:
    """Reads plain requests and writes their answers; `site_serial` is that of this node's site record.

    What the first bytes say is remembered: a client repeats them, but for the second in its expiration.
    """

    def __init__(self, site_serial: int) -> None:
        self._serial = site_serial
        self._shapes: dict[bytes, Shape | None] = {}

    def decode(self, message: bytes) -> Shape | None:
        """The shape of a plain request, whose handle is message[48:shape.end]; None: not plain."""
        key = message[:4] + message[12:48]
        shape = self._shapes.get(key)
        if shape is None:
            if key in self._shapes:
                return None
            shape = self._learn(key, message)
        if shape is None or message[shape.end :] != shape.rest:
            return None
        return shape

    def encode(self, message: bytes, shape: Shape, tail: bytes, expiration: int) -> bytes:
        """The successful answer: echoed handle and `tail`, which holds the count and the values.

        `expiration` in unix seconds.
        """
        end, _, _, version, flags, recursion = shape
        body_length = end - _HANDLE_AT + 4 + len(tail)
        rest = _RESPONSE_REST.pack(
            0, _FIXED_BYTES + body_length, 1, 1, flags, self._serial, recursion, 0, expiration, body_length
        )
        return b"".join((version, message[4:12], rest, message[_HANDLE_AT - 4 : end], tail, _UNSIGNED))

    def _learn(self, key: bytes, message: bytes) -> Shape | None:
        if len(self._shapes) >= _MAX_SHAPES:
            self._shapes.clear()
        shape = self._shapes[key] = _read_shape(message)
        return shape


def _read_shape(message: bytes) -> Shape | None:
    if len(message) < _HANDLE_AT:
        return None
    (
        version, _, _, sequence, length, opcode, code, flags, _, recursion, _, _, body_length, handle_length,
    ) = _REQUEST.unpack_from(message)  # fmt: skip
    rest = _RESTS.get(body_length - handle_length)
    if opcode != Opcode.RESOLUTION or code or flags & _NOT_PLAIN or sequence or recursion >= MAX_RECURSION:
        return None
    if rest is None or length != HEADER_BYTES + body_length + 4 or not 0 < handle_length <= MAX_HANDLE_BYTES:
        return None
    try:
        envelope = decode_envelope(version + bytes(ENVELOPE_BYTES - 4))
    except MalformedMessage:
        return None
    if envelope.flags:
        return None
    answer_version = bytes((*negotiate_version(envelope), *HIGHEST_VERSION))
    end = _HANDLE_AT + handle_length
    return Shape(end, rest, bool(flags & PUBL), answer_version, flags & _ECHOED | _ALWAYS, recursion)
