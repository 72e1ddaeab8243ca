"""Reading .xlsx: the sheet is streamed, every cell becomes the text the factory sees (ecosystem of formats: §18.3)."""

import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from registry.tables.headers import SCANNED_ROWS, Header, choose_sheet, match_key
from registry.tables.model import MAX_COLUMNS, CellNote, FileRefused, Row, Table, TableOptions, Wanted, is_blank
from registry.tables.number_formats import (
    BUILTIN_FORMATS,
    ERROR_NOTE,
    FORMULA_NOTE,
    Shown,
    compile_format,
    compile_text_format,
)
from registry.tables.xlsx_package import (
    CHUNK_BYTES,
    MAX_ROWS,
    Sheet,
    Workbook,
    feed,
    make_parser,
    open_package,
    open_part,
    parse_column,
    read_strings,
    read_workbook,
    survey_sheet,
    unescape,
)

MAX_SHEETS = 100
MAX_STYLES = 65_536
MAX_HEADER_ROWS = 5  # what is merged over more rows than this from the header on is no name of a column
Merges = dict[int, list[tuple[int, int]]]


class Styles(NamedTuple):
    """How the styles of cells show numbers, by number of the style, and texts, if not as they are."""

    numbers: list[Callable[[str], Shown]]
    texts: dict[str, Callable[[str], str]]


def open_xlsx(path: Path, wanted: Wanted, options: TableOptions) -> Table:
    """Raises FileRefused if the file is damaged or too large, or if sheet or header are in doubt."""
    with open_package(path) as package:
        workbook = read_workbook(package)
        strings = read_strings(package, workbook.strings)
        if len(workbook.sheets) > MAX_SHEETS:
            raise FileRefused("file_too_many_parts", limit=MAX_SHEETS)
        styles = _compile_styles(workbook)
        count = max(SCANNED_ROWS, options.header_row or 0)
        surveys = {sheet.name: survey_sheet(package, sheet.part) for sheet in workbook.sheets}
        samples = {
            sheet.name: fill_header(
                list(islice(_sample_rows(package, sheet, styles, strings), count)), surveys[sheet.name].merges
            )
            for sheet in workbook.sheets
        }
        hidden = frozenset(sheet.name for sheet in workbook.sheets if sheet.is_hidden)
        chosen = choose_sheet(samples, wanted, options, hidden)
        sheet = next(sheet for sheet in workbook.sheets if sheet.name == chosen.sheet)
    survey = surveys[sheet.name]
    width = len(chosen.header.columns)
    header_end = find_header_end(chosen.header, wanted, survey.merges)

    def read() -> Iterator[Row]:
        with open_package(path) as package:
            for row in stream_rows(package, sheet, styles, strings):
                is_header = chosen.header.row < row.number <= header_end
                if not is_header and (fitted := _fit(row, width)) is not None:
                    yield fitted

    rows = fill_merges(read, survey.merges) if survey.merges else read
    estimate = max(survey.rows - chosen.header.row, 0)
    return Table("xlsx", chosen.header.columns, chosen.header.row, estimate, rows, sheet.name)


def _sample_rows(package: zipfile.ZipFile, sheet: Sheet, styles: Styles, strings: list[str]) -> Iterator[Row]:
    """The first rows with something in them."""
    return (row for row in stream_rows(package, sheet, styles, strings) if not is_blank(row.texts))


def _fit(row: Row, width: int) -> Row | None:
    """Exactly `width` cells; what stands beside the table is not part of it. None if nothing is left."""
    texts, notes = row.texts, row.notes
    if len(texts) != width:
        texts = texts[:width] + [""] * (width - len(texts))
        notes = {c: note for c, note in notes.items() if c < width} if notes else None
    return None if is_blank(texts) else Row(row.number, texts, notes or None)


def fill_header(rows: list[Row], merges: Merges) -> list[Row]:
    """The first rows of a sheet, where names merged over several rows stand in each of them."""
    by_number = {row.number: row for row in rows}
    for first, cells in merges.items():
        top = by_number.get(first)
        for column, last in cells if top else ():
            if top is None or column >= len(top.texts) or last - first >= MAX_HEADER_ROWS:
                continue
            for number in range(first + 1, last + 1):
                if (row := by_number.get(number)) is not None:
                    row.texts.extend([""] * (column + 1 - len(row.texts)))
                    row.texts[column] = row.texts[column] or top.texts[column]
    return rows


def find_header_end(header: Header, wanted: Wanted, merges: Merges) -> int:
    """The last row of a header: the names of columns may be merged over several rows."""
    known = {c for c, text in enumerate(header.columns) if match_key(text) in wanted.known}
    lasts = [
        last
        for first, cells in merges.items()
        for column, last in cells
        if column in known and first <= header.row and last - first < MAX_HEADER_ROWS
    ]
    return max([header.row, *lasts])


def fill_merges(read: Callable[[], Iterator[Row]], merges: Merges) -> Callable[[], Iterator[Row]]:
    """A cell merged over several rows stands beside each of them, so each of them has it."""

    def read_filled() -> Iterator[Row]:
        active: dict[int, tuple[int, str, CellNote | None]] = {}
        for row in read():
            number, texts, notes, problem = row
            for column, (last, text, note) in list(active.items()):
                if number > last:
                    del active[column]
                elif not texts[column]:
                    texts[column] = text
                    notes = {**(notes or {}), column: note} if note else notes
            for column, last in merges.get(number, ()):
                if column < len(texts):
                    active[column] = (last, texts[column], (notes or {}).get(column))
            yield Row(number, texts, notes, problem)

    return read_filled


def _compile_styles(workbook: Workbook) -> Styles:
    compiled: dict[str, Callable[[str], Shown]] = {}
    styles = Styles([], {})
    # Without styles a spreadsheet shows every number as General, whatever style its cell asks for.
    for number, given in enumerate(workbook.formats or [0] * MAX_STYLES):
        code = BUILTIN_FORMATS.get(given, "General") if isinstance(given, int) else given
        if code not in compiled:
            compiled[code] = compile_format(code, workbook.is_1904)
        styles.numbers.append(compiled[code])
        if (show_text := compile_text_format(code)) is not None:
            styles.texts[str(number)] = show_text
    return styles


def stream_rows(package: zipfile.ZipFile, sheet: Sheet, styles: Styles, strings: list[str]) -> Iterator[Row]:
    """Rows as they come out of the zip; memory holds one chunk of them. Raises FileRefused."""
    rows: list[Row] = []
    parser = make_parser()
    reader = _SheetReader(rows, styles, strings)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    with open_part(package, sheet.part) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            feed(parser, chunk, False)
            yield from rows
            rows.clear()
        feed(parser, b"", True)
        yield from rows


class _SheetReader:
    """The handlers of one sheet's XML. Short branches in order of frequency: this is where the time goes."""

    def __init__(self, rows: list[Row], styles: Styles, strings: list[str]) -> None:
        self._rows = rows
        self._shows, self._text_shows = styles
        self._strings = strings
        self._columns: dict[str, int] = {}
        self._number = 0
        self._texts: list[str] = []
        self._notes: dict[int, CellNote] = {}
        self._cell: dict[str, str] = {}
        self._column = -1
        self._parts: list[str] = []
        self._value = self._inline = ""
        self._formula: str | None = None
        self._capture = self._phonetic = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "c":
            self._cell = attributes
            self._value = self._inline = ""
            self._formula = None
            reference = attributes.get("r")
            self._column = self._find_column(reference) if reference else self._column + 1
        elif tag in ("v", "t", "f"):
            self._capture = not self._phonetic
            self._parts.clear()
        elif tag == "row":
            self._start_row(attributes)
        elif tag == "rPh":
            self._phonetic = True
        elif ":" in tag:
            self.start(tag.rpartition(":")[2], attributes)

    def data(self, text: str) -> None:
        if self._capture:
            self._parts.append(text)

    def end(self, tag: str) -> None:
        if tag == "c":
            self._end_cell()
        elif tag == "v":
            self._value = "".join(self._parts)
            self._capture = False
        elif tag == "t":
            if not self._phonetic:
                self._inline += "".join(self._parts)
            self._capture = False
        elif tag == "f":
            self._formula = "".join(self._parts)
            self._capture = False
        elif tag == "row":
            if self._texts:
                self._rows.append(Row(self._number, self._texts, self._notes or None))
        elif tag == "rPh":
            self._phonetic = False
        elif ":" in tag:
            self.end(tag.rpartition(":")[2])

    def _start_row(self, attributes: dict[str, str]) -> None:
        try:
            self._number = int(attributes.get("r", self._number + 1))
        except ValueError as error:
            raise FileRefused("file_damaged") from error
        if self._number > MAX_ROWS:
            raise FileRefused("file_too_many_rows", rows=self._number, limit=MAX_ROWS)
        self._column = -1
        self._texts, self._notes = [], {}

    def _find_column(self, reference: str) -> int:
        letters = reference.rstrip("0123456789")
        column = self._columns.get(letters)
        if column is None:
            if not (1 <= len(letters) <= 3 and letters.isascii() and letters.isalpha()):
                raise FileRefused("file_damaged")
            column = self._columns[letters] = parse_column(letters.upper())
        return column

    def _end_cell(self) -> None:
        text, note = self._read_cell()
        if not text:
            return
        texts, column = self._texts, self._column
        if column > MAX_COLUMNS:
            return  # one cell in column XFD must not make a list of 16,384; as a header it is refused all the same
        missing = column - len(texts)
        if missing >= 0:
            texts.extend([""] * missing)
            texts.append(text)
        else:
            texts[column] = text
        if note is not None:
            self._notes[column] = note

    def _read_cell(self) -> Shown:
        kind, value = self._cell.get("t", "n"), self._value
        if self._formula is not None and not value and kind != "str":
            return "=" + self._formula, FORMULA_NOTE
        if kind == "inlineStr":
            return self._show_text(unescape(self._inline)), None
        if not value:
            return "", None
        try:
            if kind == "s":
                text = self._strings[int(value)]
                return (self._show_text(text) if self._text_shows else text), None
            if kind == "n":
                return self._shows[int(self._cell.get("s", "0"))](value)
        except (ValueError, IndexError) as error:
            raise FileRefused("file_damaged") from error
        read = _READ_KINDS.get(kind)
        return read(value) if read else (self._show_text(unescape(value)), None)

    def _show_text(self, text: str) -> str:
        show = self._text_shows.get(self._cell.get("s", "0"))
        return show(text) if show and text else text


def _read_boolean(value: str) -> Shown:
    return ("TRUE" if value in ("1", "true") else "FALSE"), None


def _read_error(value: str) -> Shown:
    return value, ERROR_NOTE


def _read_iso_date(value: str) -> Shown:
    return value.removesuffix("Z").removesuffix("T00:00:00"), None


_READ_KINDS: dict[str, Callable[[str], Shown]] = {
    "b": _read_boolean,
    "e": _read_error,
    "d": _read_iso_date,
}
