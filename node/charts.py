"""Charts as numbers for the pages' SVG: places in percent of the width, so that text is never scaled. No database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MONTHLY_FROM_DAYS = 120
PLOT_HEIGHT = 160
TARGET_AT = 80.0  # where on a bar's width the target stands: what is above it has room


@dataclass(frozen=True, slots=True)
class Trend:
    """A line: `points` of an SVG polyline within 1000 × PLOT_HEIGHT; lines of the grid as (y, value); days below."""

    points: str
    area: str
    grid: tuple[tuple[float, int], ...]
    days: tuple[str, ...]
    step: str  # day or month
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """`width`, `mark` and `expected` in percent; mark: the target; expected: the forecast, if there is one."""

    width: float
    mark: float = 0.0
    expected: float | None = None


def draw_trend(days: Sequence[dict[str, Any]], measure: str, *, at_end: bool) -> Trend | None:
    """From rows by day; long times by month (the last day of each, or the sum over it). None for a single point."""
    values = [(row["day"], row[measure]) for row in days]
    step = "day"
    if len(values) > MONTHLY_FROM_DAYS:
        step, values = "month", _sum_months(values, at_end=at_end)
    if len(values) < 2:
        return None
    top = find_top(max(value for _, value in values))
    places = [(1000 * at / (len(values) - 1), place(value, top)) for at, (_, value) in enumerate(values)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    grid = tuple((place(part, top), part) for part in (top, top // 2, 0))
    shown = (values[0][0], values[len(values) // 2][0] if len(values) > 2 else "", values[-1][0])
    return Trend(points, f"0,{PLOT_HEIGHT} {points} 1000,{PLOT_HEIGHT}", grid, shown, step, tuple(values))


def _sum_months(values: Sequence[tuple[str, int]], *, at_end: bool) -> list[tuple[str, int]]:
    months: dict[str, int] = {}
    for day, value in values:
        month = day[:7]
        months[month] = value if at_end else months.get(month, 0) + value
    return list(months.items())


def find_top(most: int) -> int:
    """The end of an axis: the next 2, 4, 6, 8 or 10 of its power of ten; even, so that its half is whole."""
    power = 1
    while power * 10 < most:
        power *= 10
    return next(part * power for part in (2, 4, 6, 8, 10) if part * power >= most)


def place(value: int, top: int) -> float:
    """Height in the plot, from above."""
    return round(PLOT_HEIGHT - PLOT_HEIGHT * value / top, 1)


def draw_rank(rows: Sequence[tuple[str, int]], most: int = 10) -> list[tuple[str, int, Bar]]:
    """The largest first; (name, value, bar)."""
    ranked = sorted((row for row in rows if row[1] > 0), key=lambda row: -row[1])[:most]
    top = ranked[0][1] if ranked else 1
    return [(name, value, Bar(round(100 * value / top, 2))) for name, value in ranked]


def draw_progress(target: int, value: int | None, expected: int | None) -> Bar:
    """The target stands at the same place in all bars, so that they compare."""
    return Bar(_scale(value or 0, target), TARGET_AT, None if expected is None else _scale(expected, target))


def _scale(value: int, target: int) -> float:
    return round(min(100.0, TARGET_AT * value / max(target, 1)), 2)
