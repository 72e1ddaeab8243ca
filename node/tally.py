"""Counts what stands in the bytes of a segment. No files, no database: bytes in, sums out."""

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from schemas.resolution_log import BODY, END, LATEST_US, LONGEST_BODY, WORD, Damage, check_record

HOUR_US = 3_600_000_000
ZONE_US = 8 * HOUR_US  # days and hours are those at UTC+8
EPOCH = date(1970, 1, 1)
OTHERS = "::"  # stands for all addresses that are not listed by name

_TIME = struct.Struct("=q")
_KEY = struct.Struct("=iiBBBB")  # as these fields follow each other in a record; the address comes next
_ANY_TIME = _TIME.pack(1)

# (prefix_id, day, hour, template_id, transport, outcome, client_class)
AnswerKey = tuple[int, date, int, int, int, int, int]
# (prefix_id, day, client_class, address)
ClientKey = tuple[int, date, int, str]


@dataclass(slots=True)
class Tally:
    """Sums of records, in the order in which the keys first appeared."""

    answers: dict[AnswerKey, int] = field(default_factory=dict)
    clients: dict[ClientKey, int] = field(default_factory=dict)
    records: int = 0
    first_us: int = LATEST_US  # the earliest time
    last_us: int = 0

    def add(self, other: "Tally") -> None:
        for key, count in other.answers.items():
            self.answers[key] = self.answers.get(key, 0) + count
        for client, count in other.clients.items():
            self.clients[client] = self.clients.get(client, 0) + count
        self.records += other.records
        self.first_us = min(self.first_us, other.first_us)
        self.last_us = max(self.last_us, other.last_us)


@dataclass(frozen=True, slots=True)
class Extent:
    """Complete records reach up to `stop`; there is an end mark, or damage, or neither and more may come."""

    stop: int
    finished: bool = False
    damage: Damage | None = None


def tally_records(data: bytes, lengths: bytes | None = None) -> tuple[Tally, Extent]:
    """Sum the records of `data`, which begins with a length word, as far as they are complete.

    `lengths` is the same piece of a segment as it was read before: only what was complete then is summed, because a
    length word may be seen before the record it belongs to, on its way from another process.
    """
    by_hour: dict[int, defaultdict[bytes, int]] = {}
    words = memoryview(lengths or data)[: len(data) & ~3].cast("I")
    read_time, room, shortest, longest = _TIME.unpack_from, len(data) - 3, BODY.size, LONGEST_BODY
    at = low = high = time_us = records = 0
    times: list[int] = []
    damage, finished = None, False
    while at < room:
        size = words[at >> 2]
        if not shortest <= size <= longest:
            finished = size == END
            damage = None if finished or size == 0 else Damage(at, f"length word {size:#010x}")
            break
        stop = (at + size + 7) & ~3
        if stop > len(data):
            break
        (now_us,) = read_time(data, at + 4)
        if not low <= now_us < high:
            if not 0 < now_us < LATEST_US:
                damage = Damage(at, f"time {now_us}")
                break
            hour = (now_us + ZONE_US) // HOUR_US
            low = hour * HOUR_US - ZONE_US
            high = low + HOUR_US
            counts = by_hour.setdefault(hour, defaultdict(int))
            times += (time_us or now_us, now_us)
        time_us = now_us
        counts[data[at + 12 : at + 24 + data[at + 23]]] += 1
        records += 1
        at = stop
    if records:
        times.append(time_us)
    tally = Tally(records=records, first_us=min(times, default=LATEST_US), last_us=max(times, default=0))
    if _decode(by_hour, tally):
        return tally, Extent(at, finished, damage)
    damage = _find_damage(data, at)
    return tally_records(data[: damage.offset])[0], Extent(damage.offset, damage=damage)


def _decode(by_hour: dict[int, defaultdict[bytes, int]], tally: Tally) -> bool:
    """Read the keys of the sums; False if one is not what a writer can have written."""
    for hour, counts in by_hour.items():
        day = EPOCH + timedelta(days=hour // 24)
        for packed, count in counts.items():
            prefix_id, template_id, transport, outcome, client_class, address_bytes = _KEY.unpack_from(packed)
            if not _is_plausible(packed, address_bytes):
                return False
            key = (prefix_id, day, hour % 24, template_id, transport, outcome, client_class)
            tally.answers[key] = tally.answers.get(key, 0) + count
            client = (prefix_id, day, client_class, format_address(packed[_KEY.size :]))
            tally.clients[client] = tally.clients.get(client, 0) + count
    return True


def _is_plausible(packed: bytes, address_bytes: int) -> bool:
    probe = bytes(4) + _ANY_TIME + packed[: _KEY.size]
    return check_record(probe, 0, BODY.size + address_bytes) is None


def _find_damage(data: bytes, stop: int) -> Damage:
    at = 0
    while at < stop:
        (size,) = WORD.unpack_from(data, at)
        if (reason := check_record(data, at, size)) is not None:
            return Damage(at, reason)
        at = (at + size + 7) & ~3
    raise ValueError("no damage found where there was some")


@lru_cache(maxsize=16_384)
def format_address(packed: bytes) -> str:
    """As people write it; an IPv4 address in IPv6 clothes is the IPv4 address. Empty: OTHERS."""
    if not packed:
        return OTHERS
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
