"""Counts what stands in the bytes of a segment. No files, no database: bytes in, sums out."""

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from ipaddress import IPv6Address, ip_address

from schemas.resolution_log import BODY, END, LATEST_US, LONGEST_BODY, WORD, Damage, check_record

HOUR_US = 3_600_000_000
ZONE_US = 8 * HOUR_US  # days and hours are those at UTC+8
EPOCH = date(1970, 1, 1)
OTHERS = "::"  # stands for all addresses that are not listed by name

_TIME = struct.Struct("=q")
_KEY = struct.Struct("=iiBBB")  # as these fields follow each other in a record
_CLIENT = struct.Struct("=iBB")

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


def find_extent(data: bytes, at: int = 0) -> Extent:
    """Walk the length words from offset `at` of `data`, which begins on a multiple of 4."""
    words = memoryview(data)[: len(data) & ~3].cast("I")
    room = len(data)
    shortest, longest = BODY.size, LONGEST_BODY
    while at + 4 <= room:
        size = words[at >> 2]
        if not shortest <= size <= longest:
            if size in (0, END):
                return Extent(at, finished=size == END)
            return Extent(at, damage=Damage(at, f"length word {size:#010x}"))
        stop = (at + size + 7) & ~3
        if stop > room:
            break
        at = stop
    return Extent(at)


def tally_records(data: bytes, at: int, stop: int) -> Tally | Damage:
    """Sum the complete records from `at` to `stop`; or the first record that no writer can have written."""
    by_hour: dict[int, defaultdict[bytes, int]] = {}
    by_day: dict[int, defaultdict[bytes, int]] = {}
    words = memoryview(data)[: len(data) & ~3].cast("I")
    read_time = _TIME.unpack_from
    low = high = latest = 0
    first, records, earliest = at, 0, LATEST_US
    while at < stop:
        (time_us,) = read_time(data, at + 4)
        if not low <= time_us < high:
            if not 0 < time_us < LATEST_US:
                return _find_damage(data, first, stop)
            hour = (time_us + ZONE_US) // HOUR_US
            low = hour * HOUR_US - ZONE_US
            high = low + HOUR_US
            answers = by_hour.setdefault(hour, defaultdict(int))
            clients = by_day.setdefault(hour // 24, defaultdict(int))
        if time_us > latest:
            latest = time_us
        if time_us < earliest:
            earliest = time_us
        answers[data[at + 12 : at + 23]] += 1
        clients[data[at + 12 : at + 16] + data[at + 22 : at + 24 + data[at + 23]]] += 1
        at += (words[at >> 2] + 7) & ~3
        records += 1
    tally = Tally(records=records, first_us=earliest, last_us=latest)
    return tally if _decode(by_hour, by_day, tally) else _find_damage(data, first, stop)


def _decode(
    by_hour: dict[int, defaultdict[bytes, int]], by_day: dict[int, defaultdict[bytes, int]], tally: Tally
) -> bool:
    """Read the keys of the sums; False if one is not what a writer can have written."""
    for hour, answers in by_hour.items():
        day = EPOCH + timedelta(days=hour // 24)
        for packed, count in answers.items():
            prefix_id, template_id, transport, outcome, client_class = _KEY.unpack(packed)
            if not _is_plausible(prefix_id, template_id, transport, outcome, client_class):
                return False
            tally.answers[prefix_id, day, hour % 24, template_id, transport, outcome, client_class] = count
    for day_number, clients in by_day.items():
        day = EPOCH + timedelta(days=day_number)
        for packed, count in clients.items():
            prefix_id, client_class, size = _CLIENT.unpack_from(packed)
            if size not in (0, 4, 16):
                return False
            client = (prefix_id, day, client_class, format_address(packed[_CLIENT.size :]))
            tally.clients[client] = tally.clients.get(client, 0) + count
    return True


def _is_plausible(prefix_id: int, template_id: int, transport: int, outcome: int, client_class: int) -> bool:
    probe = bytes(4) + BODY.pack(1, prefix_id, template_id, transport, outcome, client_class, 0)
    return check_record(probe, 0, BODY.size) is None


def _find_damage(data: bytes, at: int, stop: int) -> Damage:
    while at < stop:
        (size,) = WORD.unpack_from(data, at)
        if (reason := check_record(data, at, size)) is not None:
            return Damage(at, reason)
        at = (at + size + 7) & ~3
    raise ValueError("no damage found where there was some")


def format_address(packed: bytes) -> str:
    """As people write it; an IPv4 address in IPv6 clothes is the IPv4 address. Empty: OTHERS."""
    if not packed:
        return OTHERS
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
