"""How far a plan is on a day: target against actual, and before the deadline a forecast with its method named."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from asyncpg import Connection, Record

from node.plans import MEASURED
from node.standing import Enterprise, count_connected
from node.statistics import ENTERPRISE_MEASURES, EVERYTHING, Figures, Limits, read_figures
from node.store import plans as store
from node.store.plans import Entry, Plan, Target
from node.store.statistics import Bounds, find_first_day
from schemas.errors import InvalidInput

WINDOWS = (90, 30)  # days a forecast looks back: the longer one if there are as many


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the figure will be at the deadline if it goes on as in the last `days` days, on a straight line."""

    value: int
    days: int
    will_meet: bool

    @property
    def method(self) -> str:
        return f"linear_{self.days}"


@dataclass(frozen=True, slots=True)
class Progress:
    """A target and what there is of it. `day` is the deadline once that has passed; `value` None: nobody knows.

    source: measured, entered (by `entry`), summed (of what was entered for the units), none.
    """

    target: Target
    day: date
    state: str  # not_begun, running, ended
    value: int | None
    source: str
    entry: Entry | None = None
    forecast: Forecast | None = None

    @property
    def met(self) -> bool | None:
        return None if self.value is None else is_met(self.target, self.value)


@dataclass(frozen=True, slots=True)
class Group:
    """The targets of one indicator and period. units_value is None while a unit's figure is not known; elsewhere:
    what of the division's figure belongs to none of the units (None: not measured, or no target of the division)."""

    units: tuple[Progress, ...]
    division: Progress | None
    elsewhere: int | None

    @property
    def rows(self) -> tuple[Progress, ...]:
        """The units' and the division's, one at least."""
        return (*self.units, self.division) if self.division is not None else self.units

    @property
    def first(self) -> Target:
        return self.rows[0].target

    @property
    def units_target(self) -> int:
        return sum(one.target.target for one in self.units)

    @property
    def units_value(self) -> int | None:
        values = [one.value for one in self.units]
        return None if None in values else sum(value for value in values if value is not None)


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan as it stood on a day, as far as its reader may see it: rows in the order of the file, and their groups."""

    plan: Plan
    as_of: date
    rows: tuple[Progress, ...]
    groups: tuple[Group, ...]


def is_met(target: Target, value: int) -> bool:
    return value > target.target if target.comparison == ">" else value >= target.target


async def read_plan(conn: Connection, plan: Plan, as_of: date, today: date, limits: Limits = EVERYTHING) -> PlanView:
    """Raises InvalidInput for a day that has not begun."""
    if as_of > today:
        raise InvalidInput("day_in_future", field="as_of", day=as_of)
    targets = [one for one in await store.fetch_targets(conn, plan.plan_id) if covers(limits, one)]
    entries = await store.fetch_entries(conn, plan.plan_id)
    reader = FigureReader(conn, await find_first_day(conn) or as_of)
    rows = [await _measure(reader, target, as_of, entries) for target in targets]
    rows = [_sum_units(row, rows) if row.source == "none" and row.state != "not_begun" else row for row in rows]
    return PlanView(plan, as_of, tuple(rows), tuple(_group(rows)))


def covers(limits: Limits, target: Target) -> bool:
    """Whether somebody with these limits sees a target."""
    if limits.unit_id is not None and limits.unit_id != target.unit_id:
        return False
    return not limits.division_code or target.division_code.startswith(find_head(limits.division_code))


def find_head(code: str) -> str:
    """What the codes below a division begin with: 321300 is a city, 3213."""
    while code.endswith("00"):
        code = code[:-2]
    return code


class FigureReader:
    """Figures of periods, each read once however many targets ask for it."""

    def __init__(self, conn: Connection, first_day: date) -> None:
        self._conn, self.first_day = conn, first_day
        self._read: dict[tuple[date, date], Figures] = {}

    async def get(self, first: date | None, last: date) -> Figures:
        period = (first or min(self.first_day, last), last)
        if period not in self._read:
            self._read[period] = await read_figures(self._conn, period, Bounds())
        return self._read[period]

    async def measure(self, target: Target, day: date) -> int:
        """What the node counts of an indicator until the end of a day; 0 before the period begins."""
        if target.period_start is not None and day < target.period_start:
            return 0
        figures = await self.get(target.period_start, day)
        return sum(figure for _, figure in count_by_firm(figures, target))


def find_counter(target: Target) -> str:
    """The counter of a measured indicator: what is registered within a period is what is new in it."""
    counter = MEASURED[target.indicator]
    return "registered_new" if target.period_start and target.indicator == "identifiers_registered" else counter


def count_by_firm(figures: Figures, target: Target) -> list[tuple[int | None, int]]:
    """(enterprise_id, figure) of those in the target's area that have any; None: prefixes that nobody owned."""
    counter = find_counter(target)
    if counter == "enterprises_new" or counter in ENTERPRISE_MEASURES:
        return [
            (key, count)
            for key, member in figures.members.items()
            if is_in_area(figures.rows[key], target) and (count := _count_member(figures, key, member, target))
        ]
    sums: dict[int | None, int] = {}
    for share in figures.shares:
        if is_in_area(share, target) and share[counter]:
            sums[share["enterprise_id"]] = sums.get(share["enterprise_id"], 0) + share[counter]
    return list(sums.items())


def _count_member(figures: Figures, key: int, member: Enterprise, target: Target) -> int:
    counter = find_counter(target)
    if counter in ENTERPRISE_MEASURES:
        return figures.counts[key][ENTERPRISE_MEASURES.index(counter)]
    period = (target.period_start or date.min, figures.last)
    return sum(new for _, new in count_connected([member], period).values())


def is_in_area(row: Record, target: Target) -> bool:
    """Whether an enterprise or a share of figures belongs to the target's unit, or to its division."""
    if target.unit_id is not None:
        return bool(row["unit_id"] == target.unit_id)
    return (row["division_code"] or "").startswith(find_head(target.division_code))


async def _measure(reader: FigureReader, target: Target, as_of: date, entries: Sequence[Entry]) -> Progress:
    ended = target.deadline < as_of
    day = min(target.deadline, as_of)
    if target.period_start is not None and target.period_start > as_of:
        return Progress(target, day, "not_begun", None, "none")
    state = "ended" if ended else "running"
    if target.indicator not in MEASURED:
        entry = _find_entry(target, entries, day)
        source = "none" if entry is None else "entered"
        return Progress(target, day, state, None if entry is None else entry.value, source, entry)
    value = await reader.measure(target, day)
    forecast = None if ended else await _forecast(reader, target, day, value)
    return Progress(target, day, state, value, "measured", None, forecast)


def _find_entry(target: Target, entries: Iterable[Entry], day: date) -> Entry | None:
    """The last one of a day that is not later."""
    place = (target.division_code, target.unit_id, target.indicator)
    first = target.period_start or date.min
    found = [e for e in entries if (e.division_code, e.unit_id, e.indicator) == place and first <= e.day <= day]
    return found[-1] if found else None


async def _forecast(reader: FigureReader, target: Target, day: date, value: int) -> Forecast | None:
    """None while there are fewer days to look back at than the shortest window has."""
    begun = max(reader.first_day, target.period_start or reader.first_day)
    days = next((days for days in WINDOWS if day - timedelta(days=days) >= begun), None)
    if days is None:
        return None
    grown = value - await reader.measure(target, day - timedelta(days=days))
    left = (target.deadline - day).days
    expected = max(0, value + grown * left // days)
    return Forecast(expected, days, is_met(target, expected))


def _sum_units(division: Progress, rows: Sequence[Progress]) -> Progress:
    """A division's figure that nobody entered, if one was entered for each unit that has such a target."""
    target = division.target
    if target.unit_id is not None:
        return division
    values = [row.value for row in rows if _is_unit_of(row.target, target)]
    if not values or None in values:
        return division
    total = sum(value for value in values if value is not None)
    return Progress(target, division.day, division.state, total, "summed")


def _is_unit_of(unit: Target, division: Target) -> bool:
    same = (unit.indicator, unit.period_start, unit.deadline) == (
        division.indicator, division.period_start, division.deadline,
    )  # fmt: skip
    return same and unit.unit_id is not None and unit.division_code.startswith(find_head(division.division_code))


def _group(rows: Sequence[Progress]) -> Iterator[Group]:
    """Groups in the order in which the file begins them."""
    keyed: dict[tuple[Any, ...], list[Progress]] = {}
    for row in rows:
        keyed.setdefault((row.target.indicator, row.target.period_start, row.target.deadline), []).append(row)
    for found in keyed.values():
        units = tuple(row for row in found if row.target.unit_id is not None)
        divisions = [row for row in found if row.target.unit_id is None]
        if len(divisions) == 1:
            yield Group(units, divisions[0], _find_elsewhere(units, divisions[0]))
        else:  # of several divisions nobody knows which one the units sum to
            yield from ([Group(units, None, None)] if units else [])
            yield from (Group((), one, None) for one in divisions)


def _find_elsewhere(units: Sequence[Progress], division: Progress) -> int | None:
    if division.source != "measured" or division.value is None or not units:
        return None
    return division.value - sum(unit.value or 0 for unit in units)


async def list_firms(conn: Connection, progress: Progress) -> list[dict[str, Any]]:
    """The firms behind a measured figure, the largest first: enterprise_id (null: prefixes nobody owned), enterprise,
    certificate_code, connected_on, figure. Their figures sum to the progress's value."""
    target = progress.target
    if target.indicator not in MEASURED:
        raise InvalidInput("plan_indicator_by_hand", field="indicator", indicator=target.indicator)
    if progress.state == "not_begun":
        return []
    first_day = await find_first_day(conn) or progress.day
    figures = await FigureReader(conn, first_day).get(target.period_start, progress.day)
    firms = []
    for key, figure in count_by_firm(figures, target):
        row: Any = figures.rows[key] if key is not None else {}
        day = row.get("connected_on")
        firms.append(
            {
                "enterprise_id": key,
                "enterprise": row.get("name"),
                "certificate_code": row.get("certificate_code"),
                "unit_id": row.get("unit_id"),
                "connected_on": day and day.isoformat(),
                "figure": figure,
            }
        )
    return sorted(firms, key=lambda f: (-f["figure"], f["connected_on"] or "", f["enterprise_id"] or 0))
