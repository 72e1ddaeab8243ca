"""Plans are loaded, all rows or none, and what the node does not measure is entered by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from asyncpg import Connection

from node.definitions import DEFINITIONS
from node.plan_files import Line, Refusal, clean_text, find_place, parse_indicator, read_targets
from node.store import plans as store
from node.store.plans import Entry, Plan, Target
from registry.principals import Order
from schemas.errors import Conflict, InvalidInput, NotFound
from schemas.identifiers import shorten

MAX_NAME = 80
MAX_NOTE = 500
# Indicators that the node measures → its counter. `identifiers_registered` of a period are those new in it.
MEASURED = {
    "enterprises_newly_connected": "enterprises_new",
    "identifiers_registered": "registered_total",
    **{name: name for name in DEFINITIONS if not name.startswith(("resolutions_foreign", "resolutions_unc"))},
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """`written`: the plan is new or was replaced. With `refused` rows nothing was written."""

    name: str
    targets: list[Target]
    refused: list[Refusal]
    written: bool


async def load_plan(
    conn: Connection, order: Order, name: str, lines: Sequence[Line], *, replace: bool = False, add_units_in: str = ""
) -> Loaded:
    """All rows or none; the same targets again are unchanged.

    Raises Forbidden, InvalidInput for the name or no rows at all, Conflict for other targets without `replace`.
    """
    order.principal.check_operator()
    name = check_name(name)
    if not lines:
        raise InvalidInput("plan_empty", field="targets")
    try:
        async with conn.transaction():
            targets, refused = await read_targets(conn, order, lines, add_units_in)
            if refused:
                raise _Refused(refused)
            await store.lock_plans(conn)
            known = await store.find_plan(conn, name)
            if known is not None:
                if await store.fetch_targets(conn, known.plan_id) == targets:
                    return Loaded(name, targets, [], False)
                if not replace:
                    raise Conflict("plan_exists", field="name", name=name)
            plan_id = await store.save_plan(conn, name, order.principal.actor, order.at)
            await store.replace_targets(conn, plan_id, targets)
    except _Refused as found:
        return Loaded(name, [], found.refusals, False)
    return Loaded(name, targets, [], True)


class _Refused(Exception):
    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__()
        self.refusals = refusals


def check_name(name: str) -> str:
    """Without blanks at its ends; raises InvalidInput."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable() or "/" in name:
        raise InvalidInput("plan_name", field="name", name=shorten(name, 40))
    return name


async def get_plan(conn: Connection, name: str) -> Plan:
    """Raises NotFound."""
    plan = await store.find_plan(conn, name.strip()) if name.isprintable() else None
    if plan is None:
        raise NotFound("plan_not_found", field="name", name=shorten(name, 40))
    return plan


@dataclass(frozen=True, slots=True)
class Figure:
    """What somebody enters: `day` None is today, or the deadline if that has passed."""

    area: str
    indicator: str
    value: int
    day: date | None = None
    note: str = ""


async def enter_figure(conn: Connection, order: Order, name: str, figure: Figure) -> Entry:
    """A figure the node does not measure, with who entered it and when; an earlier entry stays in the history.

    Raises Forbidden, NotFound for no such plan or target, InvalidInput for a measured one or a day that cannot be.
    """
    order.principal.check_operator()
    plan = await get_plan(conn, name)
    indicator = parse_indicator(figure.indicator)
    place = await find_place(conn, order, figure.area)
    targets = [
        target
        for target in await store.fetch_targets(conn, plan.plan_id)
        if (target.division_code, target.unit_id) == place and target.indicator == indicator
    ]
    if not targets:
        raise NotFound(
            "plan_target_not_found", field="area", name=plan.name, area=shorten(figure.area, 40), indicator=indicator
        )
    if indicator in MEASURED:
        raise InvalidInput("plan_indicator_measured", field="indicator", indicator=indicator)
    day = figure.day or min(order.day, max(target.deadline for target in targets))
    if day > order.day:
        raise InvalidInput("day_in_future", field="day", day=day)
    first = min((target.period_start or date.min) for target in targets)
    if day < first:
        raise InvalidInput("plan_entry_before", field="day", day=day, first=first)
    actor = order.principal.actor
    if len(figure.note) > MAX_NOTE:
        raise InvalidInput("field_too_long", field="note", limit=MAX_NOTE)
    entry = Entry(*place, indicator, day, figure.value, clean_text(figure.note, MAX_NOTE), actor, order.at)
    await store.insert_entry(conn, plan.plan_id, entry)
    return entry
