"""The busiest second of a day, by prefix and of the whole node, from the resolution log (item 6 of M1 and M2)."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from asyncpg import Connection

from node.store.monitor_days import save_peaks
from node.tally import Second
from schemas.days import get_day

WHOLE_NODE = 0  # prefix_id of all requests together, those about foreign prefixes among them
SETTLED_SECONDS = 5  # then every process has written what it answered in that second, and it was read
MAX_OPEN = 200_000
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Peaks:
    """Several processes answer within one second: a second counts when all of them were read."""

    def __init__(self) -> None:
        self._open: defaultdict[Second, int] = defaultdict(int)

    def add(self, seconds: Mapping[Second, int]) -> None:
        for key, count in seconds.items():
            self._open[key] += count

    def forget(self) -> None:
        """What was not taken: a second that is read twice would be a peak that never was."""
        self._open.clear()

    def take(self, until: datetime) -> dict[tuple[int, date], tuple[int, datetime]]:
        """(prefix_id, day) → the busiest second before `until`: requests and when. Everything if it became too much."""
        last = until.timestamp() if len(self._open) < MAX_OPEN else float("inf")
        settled = [key for key in self._open if key[1] < last]
        sums: defaultdict[Second, int] = defaultdict(int)
        for prefix_id, second in settled:
            count = self._open.pop((prefix_id, second))
            sums[WHOLE_NODE, second] += count
            if prefix_id:
                sums[prefix_id, second] += count
        found: dict[tuple[int, date], tuple[int, datetime]] = {}
        for (prefix_id, second), count in sums.items():
            at = datetime.fromtimestamp(second, UTC)
            key = prefix_id, get_day(at)
            if key not in found or (-count, at) < (-found[key][0], found[key][1]):
                found[key] = count, at
        return found


async def keep_peaks(conn: Connection, peaks: Peaks, counted_until: datetime | None) -> None:
    """Write the seconds that are settled: none while it is not known how far the log was read."""
    found = peaks.take(BEGINNING if counted_until is None else counted_until - timedelta(seconds=SETTLED_SECONDS))
    if found:
        async with conn.transaction():
            await save_peaks(conn, found)
