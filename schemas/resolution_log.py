"""The format of the resolution log: segments of answered requests, one record each (design: the log is the counter).

A segment is a header of 128 bytes, then records, each on a multiple of 4 bytes and begun by a length word (u32):
0 means nothing more yet, END means nothing more ever, else it is the size of the body in bytes. The writer stores the
length word last, in one aligned store, so a record that was torn by a crash is none. Numbers are in the byte order of
the machine, which the header tells.

Body: time (i64, µs since 1970), prefix_id (i32, 0: not ours), template_id (i32, 0: none), transport, outcome, client
class, size of the address (u8 each), address (0, 4 or 16 bytes), identifier as asked (at most 2,048 bytes).
"""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum


class Transport(IntEnum):
    HTTP = 1
    HANDLE_TCP = 2
    HANDLE_UDP = 3
    REGISTRY = 4


class Outcome(IntEnum):
    FOUND = 1
    REFERRAL = 2
    NOT_FOUND = 3
    NO_VALUES = 4
    DENIED = 5
    RETIRED = 6
    MALFORMED = 7
    UNAVAILABLE = 8


class ClientClass(IntEnum):
    PUBLIC = 1
    PARTNER = 2
    SELF = 3
    PROBE = 4
    SANDBOX = 5


OK_OUTCOMES = frozenset({Outcome.FOUND, Outcome.REFERRAL})
# Shown apart, never part of `resolutions`.
UNCOUNTED_CLASSES = frozenset({ClientClass.SELF, ClientClass.PROBE, ClientClass.SANDBOX})

IDENTIFIER_BYTES = 2048
HEADER_BYTES = 128
BODY = struct.Struct("=qiiBBBB")
WORD = struct.Struct("=I")
END = 0xFFFFFFFF
LONGEST_BODY = BODY.size + 16 + IDENTIFIER_BYTES
LONGEST_RECORD = 4 + LONGEST_BODY  # a multiple of 4

LATEST_US = 253_402_200_000_000_000  # near the end of the year 9999, as far as dates go

MAGIC = b"IDNLOG\x00\x01"  # the last byte is the format
OWNER_BYTES = 63
_BYTE_ORDER_MARK = 0x0A0B0C0D
_HEADER = struct.Struct("=8sIIqq")  # magic, byte order, sequence, opened, reserved
GAP = struct.Struct("=qqq")  # from (µs), to (µs), missing; missing = 0: no gap
GAP_AT = 104
_OWNER_AT = 40


class SegmentDamaged(Exception):
    """What stands at `offset` of the segment cannot have been written by a writer of this format."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"at {offset}: {reason}")
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Gap:
    """Requests that were answered while there was no room to log them."""

    from_us: int
    to_us: int
    missing: int


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    owner: str
    opened_us: int
    sequence: int
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    time_us: int
    prefix_id: int
    template_id: int
    transport: int
    outcome: int
    client_class: int
    address: bytes
    identifier: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """The first thing of a segment that cannot be read; what follows it cannot be found."""

    offset: int
    reason: str

    def __str__(self) -> str:
        return f"at {self.offset}: {self.reason}"


@dataclass(frozen=True, slots=True)
class End:
    """How far the segment goes: finished with an end mark, or open for more at `offset`."""

    offset: int
    finished: bool


def encode_header(header: SegmentHeader) -> bytes:
    """128 bytes. ValueError for an owner that is not 1–63 bytes."""
    owner = header.owner.encode()
    if not 0 < len(owner) <= OWNER_BYTES:
        raise ValueError(f"owner of {len(owner)} bytes")
    gap = header.gap
    return (
        _HEADER.pack(MAGIC, _BYTE_ORDER_MARK, header.sequence, header.opened_us, 0).ljust(_OWNER_AT, b"\0")
        + owner.ljust(GAP_AT - _OWNER_AT, b"\0")
        + GAP.pack(*((gap.from_us, gap.to_us, gap.missing) if gap else (0, 0, 0)))
    )


def decode_header(data: bytes) -> SegmentHeader:
    """Read the first 128 bytes of a segment; raise SegmentDamaged if they are not a header of this format."""
    if len(data) < HEADER_BYTES:
        raise SegmentDamaged(len(data), f"header of {len(data)} bytes, {HEADER_BYTES} expected")
    magic, order, sequence, opened_us, _ = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise SegmentDamaged(0, f"begins with {magic!r}, {MAGIC!r} expected")
    if order != _BYTE_ORDER_MARK:
        raise SegmentDamaged(8, "written on a machine of another byte order")
    from_us, to_us, missing = GAP.unpack_from(data, GAP_AT)
    try:
        owner = data[_OWNER_AT:GAP_AT].rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise SegmentDamaged(_OWNER_AT, "the owner's name is not UTF-8") from None
    return SegmentHeader(owner, opened_us, sequence, Gap(from_us, to_us, missing) if missing else None)


def encode_answer(answer: LoggedAnswer) -> bytes:
    """One record with its length word and padding. The writer of `schemas.segments` does the same in place."""
    body = (
        BODY.pack(
            answer.time_us, answer.prefix_id, answer.template_id,
            answer.transport, answer.outcome, answer.client_class, len(answer.address),
        )
        + answer.address
        + answer.identifier[:IDENTIFIER_BYTES]
    )  # fmt: skip
    return WORD.pack(len(body)) + body + bytes(-len(body) % 4)


def encode_end() -> bytes:
    return WORD.pack(END)


def check_record(data: bytes, at: int, size: int) -> str | None:
    """What is wrong with the body of `size` bytes at `at + 4` of `data`; None if a writer may have written it."""
    if not BODY.size <= size <= LONGEST_BODY:
        return f"length word {size:#010x}"
    time_us, prefix_id, template_id, transport, outcome, client_class, address_size = BODY.unpack_from(data, at + 4)
    if not 0 < time_us < LATEST_US or prefix_id < 0 or template_id < 0:
        return f"time {time_us}, prefix {prefix_id}, template {template_id}"
    if not (0 < transport <= len(Transport) and 0 < outcome <= len(Outcome) and 0 < client_class <= len(ClientClass)):
        return f"transport {transport}, outcome {outcome}, client class {client_class}"
    if address_size not in (0, 4, 16) or BODY.size + address_size > size:
        return f"address of {address_size} bytes in a record of {size}"
    return None


def decode_answers(data: bytes, at: int = HEADER_BYTES) -> Iterator[LoggedAnswer | Damage | End]:
    """The records of a segment from offset `at` (a multiple of 4) on; last comes one Damage or one End.

    Never raises, whatever follows the last complete record.
    """
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], sys.byteorder)
        if size == 0 or size == END:
            yield End(at, finished=size == END)
            return
        stop = at + 4 + size
        if size <= LONGEST_BODY and stop > len(data):
            yield Damage(at, f"record of {size} bytes, {len(data) - at - 4} left")
            return
        if (reason := check_record(data, at, size)) is not None:
            yield Damage(at, reason)
            return
        time_us, prefix_id, template_id, transport, outcome, client_class, address_size = BODY.unpack_from(data, at + 4)
        split = at + 4 + BODY.size + address_size
        address, identifier = data[split - address_size : split], data[split:stop]
        yield LoggedAnswer(time_us, prefix_id, template_id, transport, outcome, client_class, address, identifier)
        at = (stop + 3) & ~3
    yield End(at, finished=False)
