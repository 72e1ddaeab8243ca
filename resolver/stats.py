"""What a worker publishes of itself, read from what it counts anyway; never on the way of an answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resolver.bounds import Bounds
from resolver.cache import RecordCache
from resolver.fill import Filler
from resolver.follow import Follower
from schemas.process_stats import PUBLISH_SECONDS, StatsFile
from schemas.segments import SegmentWriter

LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts of a worker that know something."""

    cache: RecordCache
    follower: Follower
    fillers: Sequence[Filler]
    log: SegmentWriter
    bounds: Bounds

    def collect(self, delay_seconds: float) -> dict[str, Any]:
        cache = self.cache
        return {
            "cache_entries": len(cache),
            "cache_bytes": cache.occupied_bytes,
            "misses": cache.misses,
            "misses_in_flight": cache.misses_in_flight,
            "database_up": cache.is_current,
            "synced_seconds": cache.synced_seconds,
            "position": self.follower.position,
            "statements": sum(filler.statements_sent for filler in self.fillers),
            "statement_seconds": sum(filler.seconds for filler in self.fillers),
            "log_missing": self.log.missing,
            "udp_refused": self.bounds.sources.refused,
            "udp_unsent": self.bounds.sources.unsent,
            "half_read_bytes": self.bounds.reads.held,
            "half_read_closed": self.bounds.reads.closed,
            "delay_seconds": delay_seconds,
        }


async def publish(sources: Sources, file: StatsFile) -> None:
    """Until cancelled. `delay_seconds` is how long the loop was late at worst: what every answer waited, too."""
    loop, worst, last = asyncio.get_running_loop(), 0.0, float("-inf")
    try:
        while True:
            now = loop.time()
            if now - last >= PUBLISH_SECONDS:
                file.write(sources.collect(worst))
                worst, last = 0.0, now
            await asyncio.sleep(LOOK_SECONDS)
            worst = max(worst, loop.time() - now - LOOK_SECONDS)
    finally:
        file.remove()
