"""What an identifier resolves to, and how a record is packed into one column (design decisions 2, 5, 17).

Packed: a format byte, then JSON `[template_id, [[index, type, text], …]]` in order of index. A value that is not
UTF-8 text has null for its text; a fourth member holds what differs from the defaults: `b` base64 data,
`t` ttl in seconds, `a` true for an absolute ttl, `p` permissions, `s` unix time of a value older than its record,
`r` references. Equal records pack to equal bytes.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

import orjson

from schemas.errors import TooLarge
from schemas.values import DEFAULT_PERMISSIONS, DEFAULT_TTL_SECONDS, Reference, Value

FORMAT_JSON = b"\x01"
MAX_PACKED_BYTES = 200_000  # leaves room for envelope, header and echo within a message of 262,144 bytes


class RecordState(IntEnum):
    """A frozen record answers with its notice; a retired one stays as a tombstone and is never issued again."""

    LIVE = 0
    FROZEN = 1
    RETIRED = 2


@dataclass(frozen=True, slots=True)
class Record:
    """`note` is the notice of a frozen record, or the successor of a retired one. `suffix` is as first written."""

    prefix_id: int
    suffix: str
    template_id: int
    values: tuple[Value, ...]
    state: RecordState
    created: datetime
    changed: datetime
    revision: int = 1
    note: str = ""


def pack_texts(template_id: int, values: list[tuple[int, str, str]]) -> bytes:
    """Pack plain values (index, type, text) in order of index: what issuing writes. Raises TooLarge."""
    return _limit(FORMAT_JSON + orjson.dumps([template_id, values]))


def pack_values(template_id: int, values: Iterable[Value], record_timestamp: int = 0) -> bytes:
    """Pack any values; a timestamp is kept only where it is older than the record's. Raises TooLarge."""
    entries = [_pack_value(value, record_timestamp) for value in sorted(values, key=lambda v: v.index)]
    return _limit(FORMAT_JSON + orjson.dumps([template_id, entries]))


def unpack(packed: bytes, record_timestamp: int = 0) -> tuple[int, list[Value]]:
    """Template id and values; values without a timestamp of their own get `record_timestamp` (unix seconds)."""
    if packed[:1] != FORMAT_JSON:
        raise ValueError(f"record format {packed[:1]!r}")
    template_id, entries = orjson.loads(memoryview(packed)[1:])
    return template_id, [_unpack_value(entry, record_timestamp) for entry in entries]


def says_the_same(packed: bytes, other: bytes) -> bool:
    """Equal template and values; timestamps do not count (design decision 4)."""
    if packed == other:
        return True
    (template_a, values_a), (template_b, values_b) = unpack(packed), unpack(other)
    return template_a == template_b and [_strip(v) for v in values_a] == [_strip(v) for v in values_b]


def _strip(value: Value) -> tuple[object, ...]:
    return (
        value.index,
        value.type,
        value.data,
        value.ttl_seconds,
        value.ttl_is_absolute,
        value.permissions,
        value.references,
    )


def _limit(packed: bytes) -> bytes:
    if len(packed) > MAX_PACKED_BYTES:
        raise TooLarge("record_too_large", size=len(packed), limit=MAX_PACKED_BYTES)
    return packed


def _pack_value(value: Value, record_timestamp: int) -> list[Any]:
    extras: dict[str, Any] = {}
    text: str | None = None
    try:
        text = value.data.decode()
    except UnicodeDecodeError:
        extras["b"] = b64encode(value.data).decode()
    if value.ttl_seconds != DEFAULT_TTL_SECONDS:
        extras["t"] = value.ttl_seconds
    if value.ttl_is_absolute:
        extras["a"] = True
    if value.permissions != DEFAULT_PERMISSIONS:
        extras["p"] = value.permissions
    if value.timestamp and value.timestamp < record_timestamp:
        extras["s"] = value.timestamp
    if value.references:
        extras["r"] = [[r.handle, r.index] for r in value.references]
    return [value.index, value.type, text, extras] if extras else [value.index, value.type, text]


def _unpack_value(entry: list[Any], record_timestamp: int) -> Value:
    index, value_type, text = entry[0], entry[1], entry[2]
    if len(entry) == 3:
        return Value(index, value_type, text.encode(), timestamp=record_timestamp)
    extras = entry[3]
    return Value(
        index,
        value_type,
        b64decode(extras["b"]) if text is None else text.encode(),
        ttl_seconds=extras.get("t", DEFAULT_TTL_SECONDS),
        permissions=extras.get("p", DEFAULT_PERMISSIONS),
        timestamp=extras.get("s", record_timestamp),
        ttl_is_absolute=extras.get("a", False),
        references=tuple(Reference(handle, at) for handle, at in extras.get("r", ())),
    )
