"""From rounds of measurements to a verdict: medians, ratios of pairs, and what cannot be measured on this machine."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

GENERATOR_LIMIT_PERCENT = 95.0  # of its core; above, the load generator was what is measured

BUSY_PERCENT = 85.0  # of a core: what is measured at its limit is at least so busy
DISTURBED = "neither server nor load generator had its core to itself: the machine was busy"


class Verdict(StrEnum):
    HELD = "held"
    MISSED = "missed"
    NOT_MEASURABLE = "not measurable here"
    INFORMATION = "for information"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of RESULTS.md; `rounds` are what the measured value was made from."""

    what: str
    bound: str
    measured: str
    verdict: Verdict
    reason: str = ""
    rounds: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers per second of one round; both percents are of one core each."""

    per_second: float
    generator_percent: float = 0.0
    server_percent: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.per_second:,.0f}/s (generator {self.generator_percent:.0f} %, server {self.server_percent:.0f} %)"
        )


def take_median(values: Sequence[float]) -> float:
    """Raises ValueError when there is nothing: a measurement without rounds has no figure."""
    if not values:
        raise ValueError("no rounds")
    return statistics.median(values)


def take_ratio(ours: Sequence[Rate], theirs: Sequence[Rate]) -> float:
    """The median of the ratios of pairs that ran one after the other, so that a slow minute hits both."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds against {len(theirs)}")
    return take_median([our.per_second / their.per_second for our, their in zip(ours, theirs, strict=True)])


def is_saturated(rates: Sequence[Rate]) -> bool:
    """Whether the generator was the bottleneck in the middle round."""
    return take_median([rate.generator_percent for rate in rates]) >= GENERATOR_LIMIT_PERCENT


def is_disturbed(rates: Sequence[Rate]) -> bool:
    """Whether in the middle round neither server nor generator could use its core: somebody else did."""
    return take_median([max(rate.generator_percent, rate.server_percent) for rate in rates]) < BUSY_PERCENT


def judge_least(value: float, bound: float) -> Verdict:
    return Verdict.HELD if value >= bound else Verdict.MISSED


def judge_most(value: float, bound: float) -> Verdict:
    return Verdict.HELD if value <= bound else Verdict.MISSED


def judge_ratio(ours: Sequence[Rate], theirs: Sequence[Rate], bound: float) -> tuple[Verdict, str]:
    """Held, missed, or not measurable with the reason: a saturated generator hides how fast the server is."""
    if is_disturbed(ours) or is_disturbed(theirs):
        return Verdict.NOT_MEASURABLE, DISTURBED
    saturated = [name for name, rates in (("ours", ours), ("nginx's", theirs)) if is_saturated(rates)]
    if saturated:
        runs = " and ".join(saturated)
        return (
            Verdict.NOT_MEASURABLE,
            f"the load generator used {GENERATOR_LIMIT_PERCENT:.0f} % of its core in {runs} run",
        )
    return judge_least(take_ratio(ours, theirs), bound), ""


def judge_ratio_at_least(ours: Sequence[Rate], theirs: Sequence[Rate], bound: float) -> tuple[Verdict, str]:
    """As `judge_ratio`, for generators that may be slower than the server: what they reached counts all the same."""
    if is_disturbed(ours) or is_disturbed(theirs):
        return Verdict.NOT_MEASURABLE, DISTURBED
    if is_saturated(theirs):
        return Verdict.NOT_MEASURABLE, "the load generator of nginx's run was the bottleneck"
    verdict = judge_least(take_ratio(ours, theirs), bound)
    if verdict is Verdict.MISSED and is_saturated(ours):
        return Verdict.NOT_MEASURABLE, "the load generator was the bottleneck; the server had time left"
    return verdict, ""


def judge_flat(early_bytes: float, late_bytes: float, slack: float = 1.25) -> Verdict:
    """Memory that does not grow with the rows: at the end about what it was after a quarter of them."""
    return judge_most(late_bytes, early_bytes * slack)


def take_percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1).__trunc__())]
