"""From the columns of a factory's file to a template that fits them, and to the column that tells rows apart."""

import re
from collections.abc import Sequence
from itertools import combinations, islice, pairwise
from typing import Any

from registry.console.starters import list_known_names
from registry.tables import Row, Table
from registry.tables.headers import match_key
from schemas.errors import InvalidInput
from schemas.templates import Item, check_text

SAMPLED_ROWS = 500
SHOWN_ROWS = 8
_CODE_NAMES = re.compile(r"编码|编号|标识|序列号|^码$|serial|^sn$|code|^id$|number", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9]+")
# In this order: what every cell of a column fits is its kind. A code of digits alone, too long to count, is text.
_KINDS = ("integer", "number", "date", "boolean", "url")
_MAX_DIGITS = 9
_MAX_PART_CHARACTERS = 32
_MAX_NAME_CHARACTERS = 255
_ENOUGH = 0.9  # of the rows
_MOSTLY = 0.97  # of the cells
_PART_NAMES = re.compile(r"代码|编码|批号|批次|日期|code|batch|lot|date", re.IGNORECASE)


def sample(table: Table, rows: int = SAMPLED_ROWS) -> list[Row]:
    """The first rows."""
    return list(islice(table.rows(), rows))


def propose_document(table: Table, rows: Sequence[Sequence[str]], version: str, name: str) -> dict[str, Any]:
    """A template document with one item for each name of a column: rows are refused where two are called alike."""
    known = {match_key(text): kind for text, kind in list_known_names().items()}
    items: list[dict[str, Any]] = []
    used: set[str] = set()
    names: set[str] = set()
    for position, column in enumerate(table.columns):
        cells = [row[position] for row in rows if position < len(row)]
        if column and match_key(column) not in names:
            names.add(match_key(column))
            items.append(_propose_item(column, cells, known, used))
    return {"name": {"zh": name, "en": ""}, "version": version, "stage": "production", "items": items}


def _propose_item(column: str, cells: list[str], known: dict[str, str], used: set[str]) -> dict[str, Any]:
    filled = [cell.strip() for cell in cells if cell.strip()]
    kind = _find_kind(filled)
    longest = max(map(len, filled), default=0)
    return {
        "type": _make_type(column, known, used),
        "name": {"zh": column[:_MAX_NAME_CHARACTERS], "en": ""},
        "data": kind,
        "max_length": min(4_000, max(50, -(-longest * 2 // 50) * 50)),
        "required": bool(filled) and len(filled) == len(cells),
        "visibility": "public",
    }


def _make_type(column: str, known: dict[str, str], used: set[str]) -> str:
    """What the column is called elsewhere, its own Latin letters, or a number."""
    own = "_".join(_WORD.findall(column)).lower().removeprefix("hs_")  # which means something to the Handle System
    base = known.get(match_key(column)) or own or f"field_{len(used) + 1}"
    made, number = base[:100], 2
    while made.lower() in used:
        made, number = f"{base[:100]}_{number}", number + 1
    used.add(made.lower())
    return made


def _find_kind(filled: list[str]) -> str:
    if not filled or any(_is_code(cell) for cell in filled):
        return "text"
    fitting = {kind: sum(_fits(kind, cell) for cell in filled) for kind in _KINDS}
    # A wrong cell among a hundred dates is to be found, not to make them all texts.
    return next((kind for kind in _KINDS if fitting[kind] >= _MOSTLY * len(filled)), "text")


def _is_code(cell: str) -> bool:
    """Digits that are a name, not a number: 007, or more of them than anybody counts."""
    return cell.isdecimal() and ((len(cell) > 1 and cell[0] == "0") or len(cell) > _MAX_DIGITS)


def _fits(kind: str, cell: str) -> bool:
    if kind in ("integer", "number") and len(cell) == 8 and cell.isdecimal() and cell[:2] in ("19", "20"):
        return False  # 20240604 is a day
    try:
        check_text(Item(2_000, kind, kind, kind, data=kind), cell)
    except InvalidInput:
        return False
    return True


def find_code_column(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column that is called a code and tells rows apart; empty if there is none."""
    return next((c for n, c in enumerate(columns) if _CODE_NAMES.search(c) and _tells_apart(rows, [n])), "")


def propose_pattern(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns that together tell rows apart, such as `{产品代码}-{生产日期:yyyyMMdd}-{批号}`; empty if none do.

    Those that are called code, batch or date come first, as factories build their codes.
    """
    parts = _list_parts(columns, rows)
    usual = [(position, part) for position, part in parts if _PART_NAMES.search(part)][:3]
    tried = [usual] if len(usual) > 1 else []
    tried += [list(chosen) for count in (1, 2, 3) for chosen in combinations(parts[:8], count)]
    for chosen in tried:
        if _tells_apart(rows, [position for position, _ in chosen]):
            return "-".join("{" + part + "}" for _, part in chosen)
    return ""


def _tells_apart(rows: Sequence[Sequence[str]], positions: Sequence[int]) -> bool:
    """All but a few rows (totals, doubles, gaps) have these cells, and no two the same."""
    keys = [tuple(row[position].strip() for position in positions) for row in rows]
    filled = [key for key in keys if all(key)]
    if len(filled) < 2 or (len(positions) == 1 and _counts_lines([key[0] for key in filled])):
        return False
    return len(set(filled)) >= _ENOUGH * len(keys)


def _counts_lines(cells: Sequence[str]) -> bool:
    """1, 2, 3 …: the number of a line is no code."""
    head = cells[:20]
    if cells[0] not in ("0", "1") or not all(cell.isdecimal() and len(cell) <= _MAX_DIGITS for cell in head):
        return False
    return all(int(after) == int(before) + 1 for before, after in pairwise(head))


def _list_parts(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Columns a code may be built from: nearly always filled, short, and not the number of the line."""
    parts = []
    for position, column in enumerate(columns):
        cells = [cell for row in rows if (cell := row[position].strip())]
        is_short = all(len(cell) <= _MAX_PART_CHARACTERS for cell in cells)
        if not column or len(cells) < _ENOUGH * len(rows) or not cells or not is_short or set("{}:") & set(column):
            continue
        if _counts_lines(cells) or any(" " in cell for cell in cells[:20]):
            continue
        dates = sum(_fits("date", cell) for cell in cells)
        parts.append((position, f"{column}:yyyyMMdd" if dates >= _ENOUGH * len(cells) else column))
    return parts
