"""Whether an enterprise is connected, suspended or departed on a day. Plain values in, plain values out.

Connected: a distinct social credit code with at least one enabled prefix (design decision 15), from the day that its
file or the first enabling gives. What a state was on an earlier day follows from the decisions; where none was taken,
it was always what it is now.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Generic, Literal, TypeVar

from asyncpg import Record

from schemas.enterprises import CERTIFICATE_USCC, EnterpriseState
from schemas.prefixes import PrefixState

Standing = Literal["connected", "suspended", "departed"]
Value = TypeVar("Value")

# decision → what holds from that day on, and what held before if nothing was decided before.
_ENTERPRISE_EVENTS: dict[str, tuple[Standing, Standing]] = {
    "suspended": ("suspended", "connected"),
    "resumed": ("connected", "suspended"),
    "closed": ("departed", "connected"),
}
# The same of prefixes: enabled or not. Its first enabling is no event: the day of connection stands for that.
_PREFIX_EVENTS: dict[str, tuple[bool | None, bool | None]] = {
    "stopped": (False, True),
    "deletion": (False, True),
    "deletion_withdrawn": (False, False),
    "resumed": (True, False),
}
DECISIONS = tuple(sorted({*_ENTERPRISE_EVENTS, *_PREFIX_EVENTS}))
_PRESENT: dict[int, Standing] = {EnterpriseState.SUSPENDED: "suspended", EnterpriseState.CLOSED: "departed"}
# None: it never was enabled.
_PREFIX_PRESENT = {PrefixState.ENABLED: True, PrefixState.STOPPED: False, PrefixState.TO_BE_DELETED: False}


@dataclass(frozen=True, slots=True)
class Track(Generic[Value]):
    """A value over time: values[n] holds from days[n - 1] on, values[0] before."""

    days: Sequence[date]
    values: Sequence[Value]

    def at(self, day: date) -> Value:
        return self.values[bisect_right(self.days, day)]


def make_track(events: Iterable[tuple[date, tuple[Value, Value]]], present: Value) -> Track[Value]:
    """From (day, (value after, value before)) in their order; without events it is what it is now."""
    days: list[date] = []
    values = [present]
    for day, (after, before) in events:
        if not days:
            values = [before]
        days.append(day)
        values.append(after)
    return Track(days, values)


@dataclass(slots=True)
class Holding:
    """A prefix while an enterprise owns it: `until` is exclusive; what `enabled` says holds from enabled_on."""

    since: date
    until: date | None
    enabled_on: date
    enabled: Track[bool | None]

    def begin(self) -> date:
        return max(self.since, self.enabled_on)


@dataclass(slots=True)
class Enterprise:
    """What decides how an enterprise stands. Before its own first enabling, the day of connection stands for it."""

    connected_on: date | None
    state: Track[Standing]
    holdings: list[Holding] = field(default_factory=list)

    def stand(self, day: date) -> Standing | None:
        """None: not connected yet, or never. One that gave all its prefixes away has departed."""
        if self.connected_on is None or day < self.connected_on or not self.holdings:
            return None
        state = self.state.at(day)
        if state != "connected":
            return state
        held = [one for one in self.holdings if one.since <= day and (one.until is None or day < one.until)]
        if not held:
            return "departed" if any(one.since <= day for one in self.holdings) else None
        enabled = [one.enabled.at(day) if one.enabled_on <= day else None for one in held]
        if any(enabled):
            return "connected"
        return "suspended" if False in enabled else None

    def list_changes(self) -> list[tuple[date, Standing | None]]:
        """The days on which it may stand otherwise than before, and how it stands from then on."""
        if self.connected_on is None:
            return []
        days = {self.connected_on, *self.state.days}
        for one in self.holdings:
            days.update((one.since, one.enabled_on, *one.enabled.days, one.until or one.since))
        return [(day, self.stand(day)) for day in sorted(day for day in days if day >= self.connected_on)]


def make_enterprises(
    enterprises: Iterable[Record], ownerships: Iterable[Record], decisions: Iterable[Record]
) -> dict[int, Enterprise]:
    """By enterprise_id, those with a social credit code; rows as node.store.statistics fetches them."""
    own_events: dict[int, list[tuple[date, tuple[Standing, Standing]]]] = {}
    prefix_events: dict[str, list[tuple[date, tuple[bool | None, bool | None]]]] = {}
    for row in decisions:
        day, decision = row["day"], row["decision"]
        if row["prefix"] is not None and decision in _PREFIX_EVENTS:
            prefix_events.setdefault(row["prefix"], []).append((day, _PREFIX_EVENTS[decision]))
        elif row["prefix"] is None and decision in _ENTERPRISE_EVENTS:
            own_events.setdefault(row["enterprise_id"], []).append((day, _ENTERPRISE_EVENTS[decision]))
    found = {
        row["enterprise_id"]: Enterprise(
            row["connected_on"],
            make_track(own_events.get(row["enterprise_id"], ()), _PRESENT.get(row["state"], "connected")),
        )
        for row in enterprises
        if row["certificate_type"] == CERTIFICATE_USCC
    }
    for row in ownerships:
        if row["enterprise_id"] in found:
            track = make_track(prefix_events.get(row["prefix"], ()), _PREFIX_PRESENT.get(row["state"]))
            since, until = row["from_day"], row["to_day"]
            holding = Holding(since, until, row["enabled_on"] or since, track)
            found[row["enterprise_id"]].holdings.append(holding)
    for enterprise in found.values():
        _begin_with_connection(enterprise.holdings)
    return found


def _begin_with_connection(holdings: Sequence[Holding]) -> None:
    """What was enabled first was so from the day of connection on, which a file may say is earlier."""
    first = min((one.begin() for one in holdings if one.enabled.values[-1] is not None), default=None)
    for one in holdings:
        if one.begin() == first:
            one.since = one.enabled_on = date.min


def count_connected(enterprises: Iterable[Enterprise], period: tuple[date, date]) -> dict[date, tuple[int, int]]:
    """For days on which it changes: how many are connected more than the day before, and how many are new.

    What was before the period stands at its first day, without being new.
    """
    first, last = period
    changes: dict[date, tuple[int, int]] = {}
    for enterprise in enterprises:
        before = False
        for day, standing in enterprise.list_changes():
            after = standing == "connected"
            new = int(day == enterprise.connected_on and standing is not None)
            if day <= last and (after != before or new):
                more, newer = changes.get(max(day, first), (0, 0))
                changes[max(day, first)] = (more + after - before, newer + (new if day >= first else 0))
            before = after
    return changes
