"""Bodies that a resolving server reads and writes: resolution, site information, errors, referrals (2.3).

The bodies of administration are in handle_admin_messages. Bytes after the last field are kept in
`trailing` and do not count in comparisons: clients append fields of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.handle_bytes import Reader, encode_bytes, encode_i32, encode_list, encode_text
from schemas.handle_values import decode_values, encode_values
from schemas.values import Value


@dataclass(frozen=True, slots=True)
class ResolutionRequest:
    """The handle in the client's spelling, which the answer echoes; both lists empty means everything."""

    handle: bytes
    indexes: list[int]
    types: list[str]
    trailing: bytes = field(default=b"", compare=False)


def decode_resolution_request(body: bytes) -> ResolutionRequest:
    reader = Reader(body)
    handle = reader.bytes_()
    indexes = [reader.i32() for _ in range(reader.count(4))]
    types = [reader.text() for _ in range(reader.count(4))]
    return ResolutionRequest(handle, indexes, types, reader.rest())


def encode_resolution_request(request: ResolutionRequest) -> bytes:
    indexes, types = encode_list(map(encode_i32, request.indexes)), encode_list(map(encode_text, request.types))
    return encode_bytes(request.handle) + indexes + types + request.trailing


@dataclass(frozen=True, slots=True)
class HandleBody:
    """Just a handle: many requests (site information, delete, list, home), and the answer to a create."""

    handle: bytes
    trailing: bytes = field(default=b"", compare=False)


def decode_handle_body(body: bytes) -> HandleBody:
    reader = Reader(body)
    return HandleBody(reader.bytes_(), reader.rest())


def encode_handle_body(body: HandleBody) -> bytes:
    return encode_bytes(body.handle) + body.trailing


@dataclass(frozen=True, slots=True)
class HandleValues:
    """A handle and values: the answer to a resolution, and the requests to create, add and modify."""

    handle: bytes
    values: list[Value]
    trailing: bytes = field(default=b"", compare=False)


def decode_handle_values(body: bytes) -> HandleValues:
    reader = Reader(body)
    return HandleValues(reader.bytes_(), decode_values(reader), reader.rest())


def encode_handle_values(body: HandleValues) -> bytes:
    return encode_bytes(body.handle) + encode_values(body.values) + body.trailing


def encode_resolution_response(handle: bytes, values: Iterable[Value]) -> bytes:
    """The body of a successful resolution, without a digest."""
    return encode_bytes(handle) + encode_values(values)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """`message` is for people and often empty. DO-IRP 3.0 may put an index list behind it: in `trailing`."""

    message: str
    trailing: bytes = field(default=b"", compare=False)


def decode_error(body: bytes) -> ErrorBody:
    """A body too short for a length has no message."""
    if len(body) < 4:
        return ErrorBody("")
    reader = Reader(body)
    return ErrorBody(reader.text(), reader.rest())


def encode_error(body: ErrorBody) -> bytes:
    return encode_text(body.message) + body.trailing


@dataclass(frozen=True, slots=True)
class Referral:
    """Ask elsewhere: at the service or prefix `handle` names (may be empty), or at the sites in `values`."""

    handle: bytes
    values: list[Value] = field(default_factory=list)
    trailing: bytes = field(default=b"", compare=False)


def decode_referral(body: bytes) -> Referral:
    reader = Reader(body)
    handle = reader.bytes_()
    values = decode_values(reader) if reader.left else []
    return Referral(handle, values, reader.rest())


def encode_referral(referral: Referral) -> bytes:
    values = encode_values(referral.values) if referral.values or referral.trailing else b""
    return encode_bytes(referral.handle) + values + referral.trailing
