"""Counts what stands in the bytes of a segment. No files, no database: bytes in, sums out."""

import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from itertools import groupby

from schemas.resolution_log import BODY, END, LATEST_US, LONGEST_BODY, UNCOUNTED_CLASSES, WORD, Damage, check_record

SECOND_US = 1_000_000
HOUR_SECONDS = 3_600
ZONE_SECONDS = 8 * HOUR_SECONDS  # days and hours are those at UTC+8
EPOCH = date(1970, 1, 1)
_UNCOUNTED = -1
OTHERS = "::"  # stands for all addresses that are not listed by name

_TIME = struct.Struct("=q")
_KEY = struct.Struct("=iiBBBB")  # as these fields follow each other in a record; the address comes next
_ANY_TIME = _TIME.pack(1)

# (prefix_id, day, hour, template_id, transport, outcome, client_class)
AnswerKey = tuple[int, date, int, int, int, int, int]
# (prefix_id, day, client_class, address)
ClientKey = tuple[int, date, int, str]
Second = tuple[int, int]  # prefix_id (0: not ours), seconds since 1970

_Run = tuple[int, int, int]  # second, index of its first record and of that after its last


@dataclass(slots=True)
class Tally:
    """Sums of records, in the order in which the keys first appeared.

    `seconds`: requests, without the owner's own and probes; of one piece of log alone, for they would be too many of
    a whole day.
    """

    answers: dict[AnswerKey, int] = field(default_factory=dict)
    clients: dict[ClientKey, int] = field(default_factory=dict)
    seconds: dict[Second, int] = field(default_factory=dict)
    records: int = 0
    first_us: int = LATEST_US  # the earliest time
    last_us: int = 0

    def add(self, other: "Tally") -> None:
        """All but the seconds."""
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
    words = memoryview(lengths or data)[: len(data) & ~3].cast("I")
    read_time, room, shortest, longest = _TIME.unpack_from, len(data) - 3, BODY.size, LONGEST_BODY
    at = low = high = time_us = 0
    keys: list[bytes] = []  # _KEY and address of each record
    begun: list[tuple[int, int]] = []  # second, index of its first record
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
        if not low <= now_us < high:  # records of one process follow each other in time
            if not 0 < now_us < LATEST_US:
                damage = Damage(at, f"time {now_us}")
                break
            second = now_us // SECOND_US
            low, high = second * SECOND_US, (second + 1) * SECOND_US
            begun.append((second, len(keys)))
            times += (time_us or now_us, now_us)
        time_us = now_us
        keys.append(data[at + 12 : at + 24 + data[at + 23]])
        at = stop
    if keys:
        times.append(time_us)
    tally = Tally(records=len(keys), first_us=min(times, default=LATEST_US), last_us=max(times, default=0))
    stops = [first for _, first in begun[1:]] + [len(keys)]
    if _decode(keys, [(*begin, stop) for begin, stop in zip(begun, stops, strict=False)], tally):
        return tally, Extent(at, finished, damage)
    damage = _find_damage(data, at)
    return tally_records(data[: damage.offset])[0], Extent(damage.offset, damage=damage)


def _decode(keys: list[bytes], runs: list[_Run], tally: Tally) -> bool:
    """Read the keys of all records; False if one is not what a writer can have written."""
    prefixes: dict[bytes, int] = {}
    for hour, counts in _count_hours(keys, runs).items():
        day = EPOCH + timedelta(days=hour // 24)
        for packed, count in counts.items():
            prefix_id, template_id, transport, outcome, client_class, address_bytes = _KEY.unpack_from(packed)
            if not _is_plausible(packed, address_bytes):
                return False
            key = (prefix_id, day, hour % 24, template_id, transport, outcome, client_class)
            tally.answers[key] = tally.answers.get(key, 0) + count
            client = (prefix_id, day, client_class, format_address(packed[_KEY.size :]))
            tally.clients[client] = tally.clients.get(client, 0) + count
            prefixes[packed] = _UNCOUNTED if client_class in UNCOUNTED_CLASSES else prefix_id
    _add_seconds(keys, runs, prefixes, tally.seconds)
    return True


def _count_hours(keys: list[bytes], runs: list[_Run]) -> dict[int, Counter[bytes]]:
    found: defaultdict[int, Counter[bytes]] = defaultdict(Counter)
    for hour, of_hour in groupby(runs, key=lambda run: (run[0] + ZONE_SECONDS) // HOUR_SECONDS):
        first, last = (stretch := list(of_hour))[0], stretch[-1]
        found[hour].update(keys[first[1] : last[2]])
    return found


def _add_seconds(keys: list[bytes], runs: list[_Run], prefixes: dict[bytes, int], seconds: dict[Second, int]) -> None:
    """Counted by the interpreter's own loops: of records from many addresses, hardly two in a second are alike."""
    for second, first, stop in runs:
        for prefix_id, count in Counter(map(prefixes.__getitem__, keys[first:stop])).items():
            if prefix_id != _UNCOUNTED:
                seconds[prefix_id, second] = seconds.get((prefix_id, second), 0) + count


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
