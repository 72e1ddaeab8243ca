"""How long requests took, by prefix and day: kept in memory and written by whoever holds them, now and then."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from schemas.days import get_day


@dataclass(slots=True)
class Span:
    """Microseconds; the longest and the shortest with their times."""

    number: int
    total_us: int
    longest_us: int
    longest_at: datetime
    shortest_us: int
    shortest_at: datetime

    def note(self, took_us: int, at: datetime) -> None:
        self.number += 1
        self.total_us += took_us
        if took_us > self.longest_us:
            self.longest_us, self.longest_at = took_us, at
        if took_us < self.shortest_us:
            self.shortest_us, self.shortest_at = took_us, at


Key = tuple[int, date]  # prefix_id, day


class Latencies:
    """What is lost when the process is killed is half a minute of it."""

    def __init__(self) -> None:
        self._spans: dict[Key, Span] = {}

    def note(self, prefix_ids: Iterable[int], seconds: float, at: datetime) -> None:
        """One request that touched these prefixes."""
        took_us, day = max(round(seconds * 1_000_000), 0), get_day(at)
        for prefix_id in prefix_ids:
            span = self._spans.get((prefix_id, day))
            if span is None:
                self._spans[prefix_id, day] = Span(1, took_us, took_us, at, took_us, at)
            else:
                span.note(took_us, at)

    def take(self) -> dict[Key, Span]:
        """What was noted since the last time."""
        taken, self._spans = self._spans, {}
        return taken
