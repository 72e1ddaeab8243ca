"""Reading .xls (BIFF) with xlrd: at most 65,536 rows, so a sheet is held whole."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xlrd

from registry.tables.excel_table import Merges, fill_header, fill_merges, find_header_end
from registry.tables.headers import SCANNED_ROWS, choose_sheet
from registry.tables.model import CellNote, FileRefused, Row, Table, TableOptions, Wanted, is_blank
from registry.tables.number_formats import ERROR_NOTE, Shown, compile_format, compile_text_format

MAX_FILE_BYTES = 100 * 1024 * 1024
_EMPTY, _TEXT, _NUMBER, _DATE, _BOOLEAN, _ERROR = 0, 1, 2, 3, 4, 5


def open_xls(path: Path, wanted: Wanted, options: TableOptions) -> Table:
    """Raises FileRefused if the file is damaged, protected or too large, or if sheet or header are in doubt."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise FileRefused("file_sheet_too_large", limit_mb=MAX_FILE_BYTES // (1024 * 1024))
    book = _open_book(path)
    shows: dict[int, Callable[[str], Shown]] = {}
    sheets = {sheet.name: sheet for sheet in book.sheets()}
    count = max(SCANNED_ROWS, options.header_row or 0)
    samples = {
        name: fill_header(list(_sample_rows(book, sheet, shows, count)), _list_merges(sheet))
        for name, sheet in sheets.items()
    }
    hidden = frozenset(name for name, sheet in sheets.items() if sheet.visibility)
    chosen = choose_sheet(samples, wanted, options, hidden)
    sheet = sheets[chosen.sheet]
    width = len(chosen.header.columns)
    merges = _list_merges(sheet)
    header_end = find_header_end(chosen.header, wanted, merges)

    def read() -> Iterator[Row]:
        for index in range(sheet.nrows):
            row = _read_row(book, sheet, shows, index, width)
            if not chosen.header.row < row.number <= header_end and not is_blank(row.texts):
                yield row

    rows = fill_merges(read, merges) if merges else read
    estimate = max(sheet.nrows - chosen.header.row, 0)
    return Table("xls", chosen.header.columns, chosen.header.row, estimate, rows, chosen.sheet)


def list_xls_sheets(path: Path) -> list[str]:
    """Names of the sheets that can be seen; raises FileRefused."""
    return [sheet.name for sheet in _open_book(path).sheets() if not sheet.visibility]


def _list_merges(sheet: Any) -> Merges:
    merges: Merges = {}
    for first, end, column, _ in sheet.merged_cells:
        if end > first + 1:
            merges.setdefault(first + 1, []).append((column, end))
    return merges


def _open_book(path: Path) -> Any:
    try:
        return xlrd.open_workbook(str(path), formatting_info=True, logfile=io.StringIO())
    except Exception as error:  # a damaged file makes xlrd fail in every way there is
        text = str(error).lower()
        if "encrypted" in text or "can't find workbook in ole2" in text:
            raise FileRefused("file_protected") from error
        raise FileRefused("file_damaged") from error


def _sample_rows(book: Any, sheet: Any, shows: dict[int, Callable[[str], Shown]], count: int) -> Iterator[Row]:
    found = 0
    for index in range(sheet.nrows):
        row = _read_row(book, sheet, shows, index, sheet.ncols)
        if not is_blank(row.texts):
            yield row
            found += 1
        if found >= count:
            return


def _read_row(book: Any, sheet: Any, shows: dict[int, Callable[[str], Shown]], index: int, width: int) -> Row:
    texts: list[str] = []
    notes: dict[int, CellNote] = {}
    for column, cell in enumerate(sheet.row(index)[:width]):
        text, note = _read_cell(book, cell, shows)
        texts.append(text)
        if note is not None:
            notes[column] = note
    texts.extend([""] * (width - len(texts)))
    return Row(index + 1, texts, notes or None)


def _read_cell(book: Any, cell: Any, shows: dict[int, Callable[[str], Shown]]) -> Shown:
    if cell.ctype == _TEXT:
        show_text = compile_text_format(_get_format(book, cell)[1])
        return (show_text(str(cell.value)) if show_text else str(cell.value)), None
    if cell.ctype in (_NUMBER, _DATE):
        key, code = _get_format(book, cell)
        if key not in shows:
            shows[key] = compile_format(code, bool(book.datemode))
        return shows[key](repr(cell.value))
    if cell.ctype == _BOOLEAN:
        return ("TRUE" if cell.value else "FALSE"), None
    if cell.ctype == _ERROR:
        return xlrd.error_text_from_code.get(cell.value, "#ERROR"), ERROR_NOTE
    return "", None


def _get_format(book: Any, cell: Any) -> tuple[int, str]:
    """The number of its display format, and the format."""
    key: int = book.xf_list[cell.xf_index].format_key if cell.xf_index is not None else 0
    known = book.format_map.get(key)
    return key, str(known.format_str) if known else "General"
