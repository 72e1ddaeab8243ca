"""What every measurement is given: the running node, where to write, which cores, how long and how often."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.processes import Cores, Node
from loadtests.rows import Firm, format_path
from loadtests.verdicts import Rate

ROUNDS = 5


@dataclass
class World:
    """`hot` owns the keys that are cached, `cold` the large table; `rows`: how many identifiers that has."""

    node: Node
    place: Path
    cores: Cores
    hot: Firm
    cold: Firm
    rows: int
    seconds: float = 3.0
    rounds: int = ROUNDS
    nginx: list[Rate] = field(default_factory=list)
    cached: list[Rate] = field(default_factory=list)

    @property
    def worker(self) -> int:
        return self.node.get_worker()

    @property
    def hot_paths(self) -> Path:
        return self.place / "hot.paths"

    @property
    def cold_paths(self) -> Path:
        return self.place / "cold.paths"

    @property
    def hot_identifiers(self) -> Path:
        return self.place / "hot.identifiers"

    def get_cached_rate(self) -> float:
        return statistics.median(rate.per_second for rate in self.cached)


def write_keys(target: Path, prefix: str, numbers: Sequence[int]) -> None:
    """One path a line, in the order given."""
    target.write_text("".join(format_path(prefix, number) + "\n" for number in numbers))
