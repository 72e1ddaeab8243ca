"""Handle messages as bytes: envelope, header, body, credential; versions, digests and answers.

A message on the wire is: envelope (20 bytes), header (24), body, credential (handle-protocol 1).
No I/O and no clock. Decoding raises MalformedMessage and nothing else.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import md5, sha1, sha256
from struct import Struct

from schemas.handle_bytes import MalformedMessage, Reader, encode_bytes, encode_i32, encode_text, encode_u16

_ENVELOPE = Struct(">BBBBIIII")
_HEADER = Struct(">IIIHBBii")
ENVELOPE_BYTES, HEADER_BYTES = _ENVELOPE.size, _HEADER.size

MAX_MESSAGE_BYTES = 262_144  # after the envelope (1.2)
MAX_HANDLE_BYTES = 2_048
EXPIRATION_SECONDS = 43_200
NO_SITE_SERIAL = 0xFFFF

Version = tuple[int, int]
HIGHEST_VERSION: Version = (2, 11)

COMPRESSED, ENCRYPTED, TRUNCATED = 0x80, 0x40, 0x20  # envelope flags

# opFlags (1.4)
AUTH, CERT, ENCR, RECU = 0x8000_0000, 0x4000_0000, 0x2000_0000, 0x1000_0000
CACR, CONT, KPAL, PUBL = 0x0800_0000, 0x0400_0000, 0x0200_0000, 0x0100_0000
RRDG, OVRW, MINT, DNRF = 0x0080_0000, 0x0040_0000, 0x0020_0000, 0x0010_0000
_ECHOED_FLAGS = CERT | CACR | ENCR | PUBL | DNRF | RRDG


class Opcode(IntEnum):
    """What is asked (2.1). A number that is not here is legal on the wire and answered "not supported"."""

    RESOLUTION = 1
    GET_SITE_INFO = 2
    CREATE_HANDLE = 100
    DELETE_HANDLE = 101
    ADD_VALUE = 102
    REMOVE_VALUE = 103
    MODIFY_VALUE = 104
    LIST_HANDLES = 105
    LIST_DERIVED_PREFIXES = 106
    RESPONSE_TO_CHALLENGE = 200
    VERIFY_CHALLENGE = 201
    HOME_NA = 300
    UNHOME_NA = 301
    LIST_HOMED_NAS = 302
    SESSION_SETUP = 400
    SESSION_TERMINATE = 401
    SESSION_EXCHANGEKEY = 402
    GET_NEXT_TXN_ID = 1000
    RETRIEVE_TXN_LOG = 1001
    DUMP_HANDLES = 1002
    BACKUP_SERVER = 1003
    LOGIN = 2000
    LOGIN_ID_SYSTEM = 2001


class ResponseCode(IntEnum):
    """How it went (2.2); 0 marks a request."""

    REQUEST = 0
    SUCCESS = 1
    ERROR = 2
    SERVER_TOO_BUSY = 3
    PROTOCOL_ERROR = 4
    OPERATION_NOT_SUPPORTED = 5
    RECURSION_COUNT_TOO_HIGH = 6
    SERVER_BACKUP = 7
    HANDLE_NOT_FOUND = 100
    HANDLE_ALREADY_EXISTS = 101
    INVALID_HANDLE = 102
    VALUES_NOT_FOUND = 200
    VALUE_ALREADY_EXISTS = 201
    INVALID_VALUE = 202
    OUT_OF_DATE_SITE_INFO = 300
    SERVER_NOT_RESPONSIBLE = 301
    SERVICE_REFERRAL = 302
    PREFIX_REFERRAL = 303
    INVALID_ADMIN = 400
    INSUFFICIENT_PERMISSIONS = 401
    AUTHENTICATION_NEEDED = 402
    AUTHENTICATION_FAILED = 403
    INVALID_CREDENTIAL = 404
    AUTHENTICATION_TIMEOUT = 405
    AUTHENTICATION_ERROR = 406
    SESSION_TIMEOUT = 500
    SESSION_FAILED = 501
    INVALID_SESSION_KEY = 502
    NEED_RSA_KEY = 503
    INVALID_SESSION_SETUP = 504
    SESSION_MESSAGE_REJECTED = 505


@dataclass(frozen=True, slots=True)
class Envelope:
    """The first 20 bytes; never signed or encrypted. `length` is that of the whole message after them."""

    major: int
    minor: int
    flags: int
    suggested_major: int
    suggested_minor: int
    session_id: int
    request_id: int
    sequence: int
    length: int

    @property
    def version(self) -> Version:
        """The version the message is encoded in."""
        return self.major, self.minor

    @property
    def suggested_version(self) -> Version:
        """The highest version the sender wants to hear back."""
        return (self.suggested_major, self.suggested_minor) if self.suggested_major else self.version

    @property
    def is_encrypted(self) -> bool:
        return bool(self.flags & ENCRYPTED)


@dataclass(frozen=True, slots=True)
class Header:
    """The 24 bytes after the envelope, without the body's length. `opcode` may be any number."""

    opcode: int
    response_code: int = 0
    flags: int = 0
    site_serial: int = NO_SITE_SERIAL
    recursion_count: int = 0
    expiration: int = 0
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message. `credential` is None if the trailer is missing, b"" if the message is unsigned."""

    envelope: Envelope
    header: Header
    body: bytes
    credential: bytes | None = b""

    @property
    def is_request(self) -> bool:
        """Never answer a message that is not: two servers could go on for ever."""
        return self.header.response_code == 0

    @property
    def header_and_body(self) -> bytes:
        """The bytes that are digested, exactly as they came."""
        return encode_header(self.header, len(self.body)) + self.body


def decode_envelope(data: bytes) -> Envelope:
    """The envelope at the start of `data`. Major versions outside 1 to 5 are other protocols: TLS, HTTP (8.6)."""
    if len(data) < ENVELOPE_BYTES:
        raise MalformedMessage(f"{len(data)} bytes are no envelope")
    major, minor, third, *numbers = _ENVELOPE.unpack_from(data)
    check_major(major)
    return Envelope(major, minor, third & 0xE0, third & 0x1F, *numbers)


def check_major(major: int) -> None:
    if not 1 <= major <= 5:
        raise MalformedMessage(f"major version {major}")


def check_length(envelope: Envelope, limit: int) -> None:
    """Refuse a declared length before anything is kept for it."""
    if not HEADER_BYTES <= envelope.length <= limit:
        error = MalformedMessage(f"Invalid message length {envelope.length}")
        error.envelope = envelope
        raise error


def encode_envelope(envelope: Envelope, length: int | None = None) -> bytes:
    """The envelope, with another message length if one is given."""
    third = envelope.flags | envelope.suggested_major
    return _ENVELOPE.pack(
        envelope.major, envelope.minor, third, envelope.suggested_minor, envelope.session_id,
        envelope.request_id, envelope.sequence, envelope.length if length is None else length,
    )  # fmt: skip


def encode_header(header: Header, body_length: int) -> bytes:
    return _HEADER.pack(
        header.opcode, header.response_code, header.flags, header.site_serial,
        header.recursion_count, header.reserved, header.expiration, body_length,
    )  # fmt: skip


def decode_message(data: bytes) -> Message:
    """A whole message, envelope first, exactly as long as its envelope says and not encrypted.

    The error carries envelope and header if they could be read.
    """
    envelope = decode_envelope(data)
    if len(data) != ENVELOPE_BYTES + envelope.length:
        error = MalformedMessage(f"{envelope.length} bytes announced, {len(data) - ENVELOPE_BYTES} there")
        error.envelope = envelope
        raise error
    if envelope.is_encrypted:
        error = MalformedMessage("encrypted")
        error.envelope = envelope
        raise error
    return decode_payload(envelope, data[ENVELOPE_BYTES:])


def decode_payload(envelope: Envelope, payload: bytes) -> Message:
    """Header, body and credential, as they follow a clear envelope or come out of decryption."""
    reader, header = Reader(payload), None
    try:
        opcode, code, flags, serial, recursion, reserved, expiration, body_length = reader.unpack(_HEADER)
        header = Header(opcode, code, flags, serial, recursion, expiration, reserved)
        body = reader.take(body_length)
        return Message(envelope, header, body, _read_credential(reader))
    except MalformedMessage as error:
        error.envelope, error.header = envelope, header
        raise


def _read_credential(reader: Reader) -> bytes | None:
    """The trailer; it may be missing, and one that runs past the end counts as none (1.5)."""
    if not reader.left:
        return None
    length = reader.i32()
    if length < 0:
        raise MalformedMessage(f"credential of {length} bytes")
    return reader.take(length) if length <= reader.left else None


def encode_message(message: Message) -> bytes:
    """The whole message; the length in its envelope is set from what follows."""
    trailer = b"" if message.credential is None else encode_bytes(message.credential)
    payload = message.header_and_body + trailer
    return encode_envelope(message.envelope, len(payload)) + payload


# Credentials (1.5)


@dataclass(frozen=True, slots=True)
class Credential:
    """A signature (`HS_SIGNED`) or a session's MAC (`HS_MAC`) over header and body."""

    type: str
    digest_algorithm: str
    signature: bytes
    session_counter: int = 0
    signer: str = ""
    version: int = 0
    reserved: int = 0
    options: int = 0


def decode_credential(data: bytes) -> Credential:
    """The inside of a trailer that is not empty; its inner lengths must agree to the byte."""
    reader = Reader(data)
    version, reserved, options = reader.u8(), reader.u8(), reader.u16()
    signer, counter, type_ = reader.text(), reader.i32(), reader.text()
    if reader.i32() != reader.left:
        raise MalformedMessage("the credential's inner lengths contradict each other")
    algorithm, signature = reader.text(), reader.bytes_()
    reader.expect_end()
    return Credential(type_, algorithm, signature, counter, signer, version, reserved, options)


def encode_credential(credential: Credential) -> bytes:
    info = encode_text(credential.digest_algorithm) + encode_bytes(credential.signature)
    head = bytes((credential.version, credential.reserved)) + encode_u16(credential.options)
    signer = encode_text(credential.signer) + encode_i32(credential.session_counter)
    return head + signer + encode_text(credential.type) + encode_bytes(info)


# Versions (1.9) and request digests (1.6)

MD5, SHA1, SHA256 = 1, 2, 3
_DIGEST_BYTES = {MD5: 16, SHA1: 20, SHA256: 32}


@dataclass(frozen=True, slots=True)
class RequestDigest:
    """`type` is 1 MD5, 2 SHA-1, 3 SHA-256, or 0 for the old form that only says its length."""

    type: int
    digest: bytes


def is_before(version: Version, other: Version) -> bool:
    """Major 5 is a very old client that really speaks 2.0."""
    return ((2, 0) if version[0] == 5 else version) < other


def negotiate_version(envelope: Envelope) -> Version:
    """The version to answer in: what the client suggests, at most 2.11; 5.x is echoed."""
    suggested = envelope.suggested_version
    return suggested if is_before(suggested, HIGHEST_VERSION) else HIGHEST_VERSION


def digest_request(request: Message, version: Version) -> RequestDigest:
    """The digest of a request by the algorithm that belongs to the version of the answer."""
    data = request.header_and_body
    if is_before(version, (2, 1)):
        return RequestDigest(MD5, md5(data, usedforsecurity=False).digest())
    if is_before(version, (2, 7)):
        return RequestDigest(SHA1, sha1(data, usedforsecurity=False).digest())
    return RequestDigest(SHA256, sha256(data).digest())


def decode_digest(reader: Reader) -> RequestDigest:
    """A typed digest as it begins a body or stands in a verification request."""
    kind = reader.u8()
    if kind == 0:
        return RequestDigest(0, reader.bytes_())
    size = _DIGEST_BYTES.get(kind)
    if size is None:
        raise MalformedMessage(f"digest type {kind}")
    return RequestDigest(kind, reader.take(size))


def encode_digest(digest: RequestDigest) -> bytes:
    return bytes((digest.type,)) + (digest.digest if digest.type else encode_bytes(digest.digest))


def split_digest(message: Message) -> tuple[RequestDigest | None, bytes]:
    """The request digest at the head of a response's body, if RRDG says there is one, and what follows it."""
    if message.is_request or not message.header.flags & RRDG:
        return None, message.body
    reader = Reader(message.body)
    return decode_digest(reader), reader.rest()


# Answers


def make_response(
    request: Message, response_code: int, body: bytes, *, now: int, site_serial: int, authoritative: bool = True
) -> Message:
    """The answer to a request: version negotiated, ids echoed, flags as 1.4 says, digest in front if asked for.

    `now` in unix seconds. OVRW, MINT, CONT and another session id are put in by the caller with `replace`.
    """
    asked, version = request.header, negotiate_version(request.envelope)
    flags = asked.flags & _ECHOED_FLAGS | RECU | (AUTH if authoritative else 0)
    if is_before(version, (2, 1)):
        flags &= ~RRDG
    elif response_code == ResponseCode.AUTHENTICATION_NEEDED:
        flags |= RRDG
    if flags & RRDG:
        body = encode_digest(digest_request(request, version)) + body
    header = Header(
        asked.opcode, _code_for(version, response_code), flags, site_serial,
        asked.recursion_count, min(now + EXPIRATION_SECONDS, 0x7FFF_FFFF),
    )  # fmt: skip
    envelope = Envelope(*version, 0, *HIGHEST_VERSION, request.envelope.session_id, request.envelope.request_id, 0, 0)
    return Message(envelope, header, body)


def encode_response(
    request: Message, response_code: int, body: bytes, *, now: int, site_serial: int, authoritative: bool = True
) -> bytes:
    """make_response as bytes."""
    return encode_message(
        make_response(request, response_code, body, now=now, site_serial=site_serial, authoritative=authoritative)
    )


def encode_error_response(
    request: Message, response_code: int, text: str, *, now: int, site_serial: int, authoritative: bool = True
) -> bytes:
    """The answer that something went wrong, with a text for people."""
    return encode_response(
        request, response_code, encode_text(text), now=now, site_serial=site_serial, authoritative=authoritative
    )


def find_answerable(error: MalformedMessage) -> Message | None:
    """What can be echoed of a message that could not be decoded; None if not even its envelope was readable.

    Without RRDG and CERT, since nobody can say what the digest would be over. Check `is_request` as always.
    """
    if error.envelope is None:
        return None
    header = error.header or Header(0)
    return Message(error.envelope, replace(header, flags=header.flags & ~(RRDG | CERT)), b"")


# Before 2.5, 303 on the wire meant 7 and there was no 202; a prefix referral goes as a service referral.
_OLD_CODES: dict[int, int] = {
    ResponseCode.SERVER_BACKUP: ResponseCode.PREFIX_REFERRAL,
    ResponseCode.PREFIX_REFERRAL: ResponseCode.SERVICE_REFERRAL,
    ResponseCode.INVALID_VALUE: ResponseCode.VALUE_ALREADY_EXISTS,
}


def _code_for(version: Version, code: int) -> int:
    return _OLD_CODES.get(code, code) if is_before(version, (2, 5)) else code
