"""What strangers may take from a worker: answers by UDP for one source, memory for requests that never become whole."""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
COUNTERS = 16_384
_EXEMPT = COUNTERS  # the counter of those that have no limit: it never gets there
_MAX_KNOWN = 10_000
_NOTHING_SPENT = [*[0] * COUNTERS, float("-inf")]
_IPV6_SOURCE_BYTES = 8  # who has one address of such a network has them all


class SourceLimit:
    """How many datagrams one source is answered in a second; 0: as many as it likes.

    The source of a datagram can be forged, so that the answers hit another, and one source must not take the time of
    all. A source is an IPv4 address or an IPv6 network of 64 bits. Sources share a fixed number of counters, found by
    a hash nobody outside can know: the memory never grows, and no flood of other sources makes it forget one.
    """

    def __init__(self, per_second: int = 0, exempt: Sequence[Network] = LOOPBACK) -> None:
        self._limit = per_second
        self._exempt = exempt
        self._key = secrets.token_bytes(16)
        self._spent = _NOTHING_SPENT.copy()
        self._second = 0
        self._counters: dict[bytes, int] = {}  # of the addresses seen last
        self.refused = 0  # datagrams that were not looked at
        self.unsent = 0  # those of answers for which the kernel had no room, or no way

    def begin(self, now: float) -> None:
        """`now` is monotonic seconds: with each second all sources begin anew."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._spent[:] = _NOTHING_SPENT

    def admits(self, address: bytes) -> bool:
        """Whether one more datagram of this address (0, 4 or 16 bytes) is answered; counts it."""
        counter = self._counters.get(address)
        if counter is None:
            counter = self._find_counter(address)
        spent = self._spent
        if (datagrams := spent[counter]) < self._limit:
            spent[counter] = datagrams + 1
            return True
        self.refused += 1
        return False

    def charge(self, address: bytes, datagrams: int) -> None:
        """An answer took that many more than one."""
        self._spent[self._find_counter(address)] += datagrams

    def _find_counter(self, address: bytes) -> int:
        known = self._counters.get(address)
        if known is not None:
            return known
        if len(self._counters) >= _MAX_KNOWN:
            self._counters.clear()
        counter = self._counters[address] = self._choose_counter(address)
        return counter

    def _choose_counter(self, address: bytes) -> int:
        if not self._limit or not address or any(ip_address(address) in network for network in self._exempt):
            return _EXEMPT
        source = address[:_IPV6_SOURCE_BYTES]
        return int.from_bytes(blake2b(source, digest_size=4, key=self._key).digest()) % COUNTERS


class HalfRead(Protocol):
    """A connection with a request that has begun and is not complete."""

    def give_way(self) -> None:
        """Close: others need the room."""


class ReadBudget:
    """Bytes of requests that are not complete, over all connections of a worker; the oldest gives way when they are
    too many. One connection may hold a quarter of a megabyte, thousands would hold gigabytes.
    """

    def __init__(self, limit_bytes: int = 32 * 1_048_576) -> None:
        self._limit = limit_bytes
        self._holders: OrderedDict[HalfRead, int] = OrderedDict()  # in the order their requests began
        self.held = 0
        self.closed = 0

    def hold(self, holder: HalfRead, size: int) -> None:
        """`size` bytes are kept for this one now; it keeps its place in the order until it is released."""
        self.held += size - self._holders.get(holder, 0)
        self._holders[holder] = size
        while self.held > self._limit:
            oldest, held = self._holders.popitem(last=False)
            self.held -= held
            self.closed += 1
            oldest.give_way()

    def release(self, holder: HalfRead) -> None:
        """Its request is complete, or it is gone."""
        self.held -= self._holders.pop(holder, 0)


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """`message_seconds` is from the first byte of a message to its last, whatever trickles in between.

    `waiting` answers may be outstanding per connection before nothing more is read from it.
    """

    idle_seconds: float = 300.0
    message_seconds: float = 30.0
    unread_seconds: float = 60.0  # a peer that does not take its answers
    waiting: int = 256
    sweep_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Those of one worker."""

    sources: SourceLimit = field(default_factory=SourceLimit)
    reads: ReadBudget = field(default_factory=ReadBudget)
    tcp: TcpLimits = field(default_factory=TcpLimits)
