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
    template_id, entries = _load(packed)
    return template_id, [_unpack_value(entry, record_timestamp) for entry in entries]


def says_the_same(packed: bytes, other: bytes) -> bool:
    """Equal template and values; timestamps do not count (design decision 4)."""
    return packed == other or _load_untimed(packed) == _load_untimed(other)


def keep_times(packed: bytes, before: bytes, before_timestamp: int) -> bytes:
    """A new record, whose values that say the same as in the one before keep the time of their last change.

    `before_timestamp`: unix seconds of the record before. Raises TooLarge.
    """
    (_, old_entries), (template_id, entries) = _load(before), _load(packed)
    old = {entry[0]: entry for entry in old_entries}
    kept = [_keep_time(entry, old.get(entry[0]), before_timestamp) for entry in entries]
    return _limit(FORMAT_JSON + orjson.dumps([template_id, kept]))


def _keep_time(entry: list[Any], old: list[Any] | None, before_timestamp: int) -> list[Any]:
    """The entry, with the time of the old one if both say the same. Extras stand in the order that packing has."""
    if old is None or _without_time(old) != _without_time(entry):
        return entry
    extras = old[3] if len(old) == 4 else {}
    if "s" in extras or not before_timestamp:
        return old
    timed = {**extras, "s": before_timestamp}
    if "r" in extras:
        timed["r"] = timed.pop("r")
    return [*old[:3], timed]


def _without_time(entry: list[Any]) -> list[Any]:
    if len(entry) == 3 or "s" not in entry[3]:
        return entry
    extras = {name: value for name, value in entry[3].items() if name != "s"}
    return [*entry[:3], extras] if extras else entry[:3]


def _load_untimed(packed: bytes) -> tuple[int, list[list[Any]]]:
    template_id, entries = _load(packed)
    return template_id, [_without_time(entry) for entry in entries]


def _load(packed: bytes) -> tuple[int, list[list[Any]]]:
    """Template id and entries as they are packed; records are canonical, so that equal values are equal entries."""
    if packed[:1] != FORMAT_JSON:
        raise ValueError(f"record format {packed[:1]!r}")
    template_id, entries = orjson.loads(memoryview(packed)[1:])
    return template_id, entries


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
