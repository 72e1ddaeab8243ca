"""Targets of a file, or of a request, row by row: understood, or refused with field and reason."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

from asyncpg import Connection

from node.store.plans import Target
from registry.areas import add_unit, get_area
from registry.identifier_rule import parse_moment
from registry.principals import Order
from registry.tables import FileRefused, TableOptions, Wanted, open_table
from registry.tables.headers import match_key
from schemas.errors import InvalidInput, ServiceError, TooLarge
from schemas.identifiers import shorten
from schemas.texts.plans import INDICATORS
from schemas.texts.statistics import COLUMNS as COUNTERS

MAX_ROWS = 2_000
MAX_VALUE = 10**15
# column → names it may have, in two languages
COLUMNS: dict[str, tuple[str, ...]] = {
    "area": ("area", "单位", "地区", "乡镇或园区"),
    "indicator": ("indicator", "指标"),
    "comparison": ("comparison", "比较", "比较方式"),
    "unit": ("unit", "计量单位"),
    "period_start": ("period_start", "起始日期", "period start"),
    "deadline": ("deadline", "期限", "截止日期"),
    "target": ("target", "目标", "目标值"),
}
_NEEDED = ("area", "indicator", "comparison", "deadline", "target")
_COMPARISONS = {">=": ">=", "≥": ">=", "＞＝": ">=", "不少于": ">=", "不低于": ">=", ">": ">", "＞": ">", "超过": ">"}
_INDICATOR = re.compile(r"[a-z][a-z0-9_]{0,59}", re.ASCII)
_NAMES = {name: code for names in (INDICATORS, COUNTERS) for code, (zh, en) in names.items() for name in (zh, en)}


class Line(NamedTuple):
    """A row of a file: its number and its texts, by the names of COLUMNS; `error`: it cannot even be read."""

    number: int
    cells: dict[str, str]
    error: ServiceError | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row was refused."""

    row: int
    error: ServiceError


def read_plan_file(path: Path, name: str = "") -> list[Line]:
    """CSV or a spreadsheet; raises FileRefused, InvalidInput for a missing header or column, TooLarge."""
    known = frozenset(match_key(alias) for aliases in COLUMNS.values() for alias in aliases)
    needed = {column: frozenset(map(match_key, COLUMNS[column])) for column in _NEEDED}
    try:
        table = open_table(path, Wanted(known, needed), TableOptions(), name)
    except FileRefused as error:
        if error.code == "file_header_not_found":  # its remedies are those of other files
            raise InvalidInput("plan_header_not_found", field="file") from error
        raise
    keys = [match_key(column) for column in table.columns]
    places: dict[str, int] = {}
    for column, aliases in COLUMNS.items():
        found = [keys.index(key) for key in map(match_key, aliases) if key in keys]
        if found:
            places[column] = found[0]
        elif column in _NEEDED:
            raise InvalidInput("plan_file_column", field=column, column=column, row=table.header_row)
    lines: list[Line] = []
    for row in table.rows():
        if len(lines) == MAX_ROWS:
            raise TooLarge("plan_file_too_long", field="file", limit=MAX_ROWS)
        if row.problem is not None:
            problem = InvalidInput(row.problem.code, field=row.problem.column, **row.problem.details)
            lines.append(Line(row.number, {}, problem))
        else:
            cells = {column: row.texts[place].strip() for column, place in places.items()}
            lines.append(Line(row.number, dict.fromkeys(COLUMNS, "") | cells))
    return lines


async def read_targets(
    conn: Connection, order: Order, lines: Iterable[Line], add_units_in: str = ""
) -> tuple[list[Target], list[Refusal]]:
    """`add_units_in`: areas nobody knows become units of this division."""
    targets: list[Target] = []
    refused: list[Refusal] = []
    seen: dict[tuple[object, ...], int] = {}
    for line in lines:
        try:
            if line.error is not None:
                raise line.error
            target = await _read_target(conn, order, line.cells, add_units_in)
            first = seen.setdefault(make_key(target), line.number)
            if first != line.number:
                raise InvalidInput("plan_row_double", field="area", row=first)
            targets.append(target)
        except ServiceError as error:
            refused.append(Refusal(line.number, error))
    return targets, refused


def make_key(target: Target) -> tuple[object, ...]:
    """No two targets of a plan share it."""
    return (target.division_code, target.unit_id, target.indicator, target.period_start, target.deadline)


async def _read_target(conn: Connection, order: Order, cells: dict[str, str], add_units_in: str) -> Target:
    for column in _NEEDED:
        if not cells[column]:
            raise InvalidInput("plan_row_short", field=column, column=column)
    comparison = _COMPARISONS.get(cells["comparison"])
    if comparison is None:
        raise InvalidInput("plan_comparison", field="comparison", text=shorten(cells["comparison"], 20))
    indicator = parse_indicator(cells["indicator"])
    target = parse_value(cells["target"], "target")
    start = _parse_day(cells["period_start"], "period_start") if cells["period_start"] else None
    deadline = _parse_day(cells["deadline"], "deadline")
    if start is not None and start > deadline:
        raise InvalidInput("plan_period", field="period_start", first=start, last=deadline)
    code, unit_id = await find_place(conn, order, cells["area"], add_units_in)
    counted_in = clean_text(cells["unit"], 40)
    return Target(cells["area"], code, unit_id, indicator, comparison, counted_in, start, deadline, target)


async def find_place(conn: Connection, order: Order, text: str, add_units_in: str = "") -> tuple[str, int | None]:
    """Division and unit of an area's name; raises InvalidInput, or Conflict if several are called so."""
    try:
        area = await get_area(conn, text)
    except InvalidInput as error:
        if error.code != "area_unknown":
            raise
        if not add_units_in:
            raise InvalidInput("plan_area", field="area", area=shorten(text, 60)) from None
        unit = await add_unit(conn, order, add_units_in, text)
        return unit.division_code, unit.unit_id
    return area.division_code, area.unit_id


def parse_indicator(text: str) -> str:
    """Its code, also from its name in either language."""
    code = _NAMES.get(text, text)
    if not _INDICATOR.fullmatch(code):
        raise InvalidInput("plan_indicator", field="indicator", text=shorten(text, 40))
    return code


def parse_value(text: str, field: str) -> int:
    """A whole number of 0 or more, with or without commas between thousands."""
    plain = text.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+", text, re.ASCII) else text
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 16 and int(plain) <= MAX_VALUE):
        raise InvalidInput("plan_number", field=field, text=shorten(text, 40))
    return int(plain)


def clean_text(text: str, most: int) -> str:
    """What can be stored and shown of a free text."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())[:most]


def _parse_day(text: str, field: str) -> date:
    moment = parse_moment(text)
    if moment is None:
        raise InvalidInput("day_malformed", field=field, text=shorten(text, 40))
    return moment.date()


def make_lines(rows: Sequence[dict[str, str]]) -> list[Line]:
    """Of rows that came without a file, numbered from 1."""
    return [Line(at, dict.fromkeys(COLUMNS, "") | row) for at, row in enumerate(rows, 1)]
