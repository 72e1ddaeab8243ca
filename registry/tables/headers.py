"""Finding the header row, and the sheet, by the names that are looked for."""

import re
import unicodedata
from typing import NamedTuple

from registry.tables.model import MAX_COLUMNS, FileRefused, Row, TableOptions, Wanted

SCANNED_ROWS = 50


class Header(NamedTuple):
    """`needed` and `known` say how much of what is looked for stands in this row."""

    row: int
    columns: list[str]
    needed: int
    known: int


# What forms put beside the name of a column that must, or need not, be filled in.
_MARKS = re.compile(r"^\*+|\((?:必填|选填|可选|required|optional)\)|\*+$")


def match_key(text: str) -> str:
    """Two header texts are one name if a person reads them as one: case, width, blanks and "required" do not count."""
    key = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _MARKS.sub("", key) or key


def find_header(rows: list[Row], wanted: Wanted, header_row: int | None) -> Header:
    """The header among the first rows of a file or sheet; raises FileRefused if it is missing or in doubt."""
    if header_row is not None:
        return _take_given(rows, wanted, header_row)
    headers = [_judge(row, wanted) for row in rows[:SCANNED_ROWS]]
    if not headers:
        raise FileRefused("file_empty")
    if not wanted.known:
        return _guess(headers)
    best = max(headers, key=_rank)
    if best.known == 0:
        raise FileRefused("file_header_not_found", field="header_row", expected=_list_expected(wanted))
    rivals = [h for h in headers if _rank(h) == _rank(best) and _keys(h) != _keys(best)]
    if rivals:
        candidates = sorted(h.row for h in [best, *rivals])
        raise FileRefused("file_header_in_doubt", field="header_row", candidates=_list_rows(candidates))
    return best


def _guess(headers: list[Header]) -> Header:
    """The first row about as wide as the widest: titles and notes above a table fill a cell or two."""
    filled = [sum(map(bool, header.columns)) for header in headers]
    return next(header for header, count in zip(headers, filled, strict=True) if count * 5 >= max(filled) * 4)


def is_complete(header: Header, wanted: Wanted) -> bool:
    return header.known > 0 and header.needed == len(wanted.needed)


def _take_given(rows: list[Row], wanted: Wanted, header_row: int) -> Header:
    for row in rows:
        if row.number == header_row:
            return _judge(row, wanted)
    raise FileRefused("file_header_row_empty", field="header_row", row=header_row)


def _judge(row: Row, wanted: Wanted) -> Header:
    columns = [text.strip() for text in row.texts]
    while columns and not columns[-1]:
        columns.pop()
    if len(columns) > MAX_COLUMNS:
        raise FileRefused("file_too_many_columns", row=row.number, columns=len(columns), limit=MAX_COLUMNS)
    keys = {match_key(column) for column in columns if column}
    needed = sum(1 for names in wanted.needed.values() if names & keys)
    return Header(row.number, columns, needed, len(keys & wanted.known))


def _rank(header: Header) -> tuple[int, int]:
    return header.needed, header.known


def _keys(header: Header) -> list[str]:
    return [match_key(column) for column in header.columns]


def _list_expected(wanted: Wanted) -> str:
    return "、".join(wanted.needed) or "、".join(sorted(wanted.known)[:10])


def _list_rows(numbers: list[int]) -> str:
    return "、".join(map(str, numbers))


class SheetChoice(NamedTuple):
    """A sheet and where its header stands."""

    sheet: str
    header: Header


def choose_sheet(
    samples: dict[str, list[Row]], wanted: Wanted, options: TableOptions, hidden: frozenset[str] = frozenset()
) -> SheetChoice:
    """`samples` are the first rows of every sheet. Only one sheet may fit, else FileRefused names them."""
    if not samples:
        raise FileRefused("file_without_sheets", field="sheet")
    if options.sheet is not None:
        name = _find_sheet(list(samples), options.sheet)
        return SheetChoice(name, find_header(samples[name], wanted, options.header_row))
    visible = [name for name in samples if name not in hidden] or list(samples)
    if len(visible) == 1:
        return SheetChoice(visible[0], find_header(samples[visible[0]], wanted, options.header_row))
    found: list[SheetChoice] = []
    doubt: FileRefused | None = None
    for name in visible:
        try:
            found.append(SheetChoice(name, find_header(samples[name], wanted, options.header_row)))
        except FileRefused as error:
            doubt = error if error.code == "file_header_in_doubt" else doubt
    fitting = [choice for choice in found if is_complete(choice.header, wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and len(found) == 1 and wanted.known:
        return found[0]  # what it lacks is said column by column
    if not found and doubt is not None:
        raise doubt
    code = "file_sheet_in_doubt" if fitting or not wanted.known else "file_sheet_not_found"
    sheets = [choice.sheet for choice in fitting] or visible
    raise FileRefused(code, field="sheet", sheets="、".join(sheets), expected=_list_expected(wanted))


def _find_sheet(names: list[str], asked: str) -> str:
    if asked in names:
        return asked
    if asked.isascii() and asked.isdigit() and 1 <= int(asked) <= len(names):
        return names[int(asked) - 1]
    raise FileRefused("file_sheet_unknown", field="sheet", sheet=asked, sheets="、".join(names))
