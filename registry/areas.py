"""From what people write for an area to a division and a unit."""

from dataclasses import dataclass
from functools import cache

from asyncpg import Connection

from registry.principals import Order
from registry.store.placements import Unit, fetch_units, insert_units
from schemas.errors import Conflict, InvalidInput, NotFound
from schemas.identifiers import shorten
from schemas.industries import find_division, format_division, load_divisions

MAX_UNIT_CHARACTERS = 100
# Divisions that only group others; addresses leave them out.
PLACEHOLDERS = frozenset({"市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划"})


@dataclass(frozen=True, slots=True)
class Area:
    """A division by its code, or a unit below it."""

    division_code: str
    unit_id: int | None = None
    unit: str = ""


async def get_area(conn: Connection, text: str) -> Area:
    """A unit by name (`陈集镇`, or `321302/陈集镇` where the name is shared), or a division by code, name, full name.

    Raises InvalidInput if nothing is called so, Conflict if several are.
    """
    text = text.strip()
    unit = await find_unit(conn, text)
    if unit is not None:
        return Area(unit.division_code, unit.unit_id, unit.name)
    code = find_division(text) or _full_names().get(text)
    if code is not None:
        return Area(code)
    shared = [format_division(code) for code, (_, name) in load_divisions().items() if name == text]
    if shared:
        raise Conflict("area_ambiguous", field="area", area=shorten(text), candidates="、".join(shared[:10]))
    raise InvalidInput("area_unknown", field="area", area=shorten(text))


async def find_unit(conn: Connection, text: str) -> Unit | None:
    """The unit of that name, its division before a slash if several are called so; raises Conflict if they are."""
    if not text.isprintable():
        return None
    head, slash, name = text.partition("/")
    division = (find_division(head) or _full_names().get(head)) if slash else None
    units = await fetch_units(conn, name if slash else text)
    if slash:
        units = [unit for unit in units if unit.division_code == division]
    if len(units) > 1:
        candidates = "、".join(f"{unit.division_code}/{unit.name}" for unit in units)
        raise Conflict("area_ambiguous", field="area", area=shorten(text), candidates=candidates)
    return units[0] if units else None


async def get_unit(conn: Connection, text: str) -> Unit:
    """As `find_unit`; raises NotFound."""
    unit = await find_unit(conn, text)
    if unit is None:
        raise NotFound("unit_not_found", field="unit", unit=shorten(text))
    return unit


async def add_unit(conn: Connection, order: Order, division: str, name: str) -> Unit:
    """A town or park below a division; one that exists is returned."""
    order.principal.check_operator()
    code = find_division(division) or _full_names().get(division)
    if code is None:
        raise InvalidInput("area_unknown", field="division", area=shorten(division))
    await insert_units(conn, [(code, check_unit_name(name))])
    return await get_unit(conn, f"{code}/{name.strip()}")


def check_unit_name(name: str) -> str:
    """The name without blanks at its ends; raises InvalidInput."""
    name = name.strip()
    if not name or len(name) > MAX_UNIT_CHARACTERS or not name.isprintable() or "/" in name:
        raise InvalidInput("unit_name", field="unit", unit=shorten(name))
    return name


@cache
def _full_names() -> dict[str, str]:
    """江苏省宿迁市宿城区 and 宿迁市宿城区 → code; names that stay ambiguous are left out.

    The table puts 市辖区 between 北京市 and 朝阳区, which nobody writes: both spellings serve.
    """
    codes: dict[str, set[str]] = {}
    table = load_divisions()
    for code, (parent, name) in table.items():
        full = short = name
        while parent:
            upper = table[parent][1]
            full = upper + full
            short = short if upper in PLACEHOLDERS else upper + short
            parent = table[parent][0]
            for label in {full, short} - {name}:
                codes.setdefault(label, set()).add(code)
    return {label: found.pop() for label, found in codes.items() if len(found) == 1}
