"""What the agent knows beside its counters: sums since it began, for monitoring and for alarms."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from node.peaks import Peaks
from node.tally import AnswerKey
from schemas.process_stats import PUBLISH_SECONDS, StatsFile
from schemas.resolution_log import Outcome, Transport


@dataclass(slots=True)
class AgentStats:
    """`answers` by process; `resolutions` by (transport, outcome); `clock` by what it is compared with."""

    answers: Counter[str] = field(default_factory=Counter)
    resolutions: Counter[tuple[int, int]] = field(default_factory=Counter)
    counted_at: float | None = None  # when nothing was left to count
    clock: dict[str, float] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    peaks: Peaks = field(default_factory=Peaks)

    def add(self, owners: Mapping[str, int], answers: Mapping[AnswerKey, int]) -> None:
        """What one pass has counted; `owners` are those who wrote the segments: `resolver-0-<pid>`."""
        for owner, number in owners.items():
            self.answers[owner.rpartition("-")[0] or owner] += number
        for (_, _, _, _, transport, outcome, _), number in answers.items():
            self.resolutions[transport, outcome] += number

    def collect(self) -> dict[str, Any]:
        shown = [[name(Transport, t), name(Outcome, o), number] for (t, o), number in sorted(self.resolutions.items())]
        return {
            "answers": dict(self.answers),
            "resolutions": shown,
            "counted_at": self.counted_at,
            "clock": dict(self.clock),
            "totals": dict(self.totals),
        }

    def note_counted(self) -> None:
        self.counted_at = time.time()


def name(kind: type[Transport] | type[Outcome], number: int) -> str:
    try:
        return kind(number).name.lower()
    except ValueError:
        return str(number)


async def publish_agent(stats: AgentStats, file: StatsFile, stop: asyncio.Event) -> None:
    """Until it is time to stop."""
    try:
        while not stop.is_set():
            file.write(stats.collect())
            try:
                await asyncio.wait_for(stop.wait(), PUBLISH_SECONDS)
            except TimeoutError:
                continue
    finally:
        file.remove()
