"""The commonest request of all, read and answered flat: a plain public resolution of something that is there.

Everything else returns None and goes the readable way (`resolver.handle_answers` on `schemas.handle_messages`);
where this one answers, it answers byte for byte the same, which the tests prove on vectors and mutations.
"""

from struct import Struct

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
    decode_envelope,
    negotiate_version,
)

# version with flags (4 bytes at once), session, request, sequence, length; opcode, code, flags, serial, recursion,
# reserved, expiration, body length; handle length
_REQUEST = Struct(">4sIIIIIIIHBBiii")
_RESPONSE = Struct(">4sIIIIIIIHBBii")
_HANDLE_AT = _REQUEST.size  # 48
# Behind the handle: no indexes, no types, perhaps an empty field that idPointer clients add, no credential.
_NO_FILTERS_UNSIGNED = (bytes(12), bytes(16))
_UNSIGNED = bytes(4)
_NOT_PLAIN = CERT | ENCR | RRDG
_ECHOED = CACR | PUBL | DNRF  # of those that can be set here
_ALWAYS = RECU | AUTH
_FIXED_BYTES = HEADER_BYTES + 4  # of a response behind the envelope: header and credential
MAX_RECURSION = 10
_MAX_VERSIONS = 1_024

PlainRequest = tuple[bytes, int, int, int, int, int]  # version of the answer, session, request, flags, hops, end


class PlainCodec:
    """Reads plain requests and writes their answers; `site_serial` is that of this node's site record."""

    def __init__(self, site_serial: int) -> None:
        self._serial = site_serial
        self._versions: dict[bytes, bytes] = {}  # first four bytes of a request: of its answer; empty: not plain

    def decode(self, message: bytes) -> PlainRequest | None:
        """What of a plain request is needed to answer it; the handle is message[48:end]. None: not plain."""
        size = len(message)
        if size < _HANDLE_AT:
            return None
        (
            version, session_id, request_id, sequence, length, opcode, code, flags, _, recursion, _, _,
            body_length, handle_length,
        ) = _REQUEST.unpack_from(message)  # fmt: skip
        end = _HANDLE_AT + handle_length
        if (
            opcode != 1
            or code
            or flags & _NOT_PLAIN
            or sequence
            or recursion >= MAX_RECURSION
            or length != size - ENVELOPE_BYTES
            or body_length != size - _HANDLE_AT
            or not 0 < handle_length <= MAX_HANDLE_BYTES
            or message[end:] not in _NO_FILTERS_UNSIGNED
        ):
            return None
        answer_version = self._versions.get(version)
        if answer_version is None:
            answer_version = self._learn(version)
        if not answer_version:
            return None
        return answer_version, session_id, request_id, flags, recursion, end

    def encode(self, message: bytes, request: PlainRequest, tail: bytes, expiration: int) -> bytes:
        """The successful answer: echoed handle and `tail`, which holds the count and the values.

        `expiration` in unix seconds.
        """
        version, session_id, request_id, flags, recursion, end = request
        body_length = end - _HANDLE_AT + 4 + len(tail)
        head = _RESPONSE.pack(
            version, session_id, request_id, 0, _FIXED_BYTES + body_length,
            1, 1, flags & _ECHOED | _ALWAYS, self._serial, recursion, 0, expiration, body_length,
        )  # fmt: skip
        return b"".join((head, message[_HANDLE_AT - 4 : end], tail, _UNSIGNED))

    def _learn(self, version: bytes) -> bytes:
        """How requests that begin so are answered, as the readable codec decides."""
        answer = b""
        try:
            envelope = decode_envelope(version + bytes(ENVELOPE_BYTES - 4))
        except MalformedMessage:
            return answer
        if not envelope.flags:
            answer = bytes((*negotiate_version(envelope), *HIGHEST_VERSION))
        if len(self._versions) < _MAX_VERSIONS:
            self._versions[version] = answer
        return answer
