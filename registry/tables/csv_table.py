"""Reading separated text: encoding and separator found by content, one bad record never costs its neighbours."""

import csv
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from registry.tables.headers import SCANNED_ROWS, Header, find_header
from registry.tables.model import FileRefused, Row, RowProblem, Table, TableOptions, Wanted, fit_width, is_blank
from registry.tables.text_encoding import TextSurvey, open_text, survey_text

SEPARATORS = (",", ";", "\t")
MAX_LINE_CHARACTERS = 131_072
# An unclosed quotation mark swallows everything that follows; a cell with more line breaks than this is taken for one.
MAX_RECORD_LINES = 200
# How exports keep a spreadsheet from taking zeros off a code; the spreadsheet shows 0034.
_WRAPPED = re.compile(r'="([^"]*)"')


def open_csv(path: Path, wanted: Wanted, options: TableOptions) -> Table:
    """Raises FileRefused if there is no header to be found or the encoding cannot be told."""
    survey = survey_text(path, options.encoding)
    separator, header = _choose_separator(path, survey, wanted, options)
    width = len(header.columns)

    def read() -> Iterator[Row]:
        with open_text(path, survey.encoding) as file:
            yield from _read_rows(file, separator, width, survey)

    return Table("csv", header.columns, header.row, max(survey.lines - header.row, 0), read)


def _choose_separator(path: Path, survey: TextSurvey, wanted: Wanted, options: TableOptions) -> tuple[str, Header]:
    asked = "\t" if options.separator == "tab" else options.separator
    if asked is not None and len(asked) != 1:
        raise FileRefused("file_separator_unknown", field="separator", separator=asked)
    found: list[tuple[str, Header]] = []
    failure: FileRefused | None = None
    for separator in (asked,) if asked else SEPARATORS:
        try:
            sample = _read_sample(path, survey, separator, options.header_row)
            found.append((separator, find_header(sample, wanted, options.header_row)))
        except FileRefused as error:
            failure = failure or error
    if not found:
        raise failure or FileRefused("file_empty")
    return max(found, key=lambda f: (f[1].needed, f[1].known, len(f[1].columns)))


def _read_sample(path: Path, survey: TextSurvey, separator: str, header_row: int | None) -> list[Row]:
    sample: list[Row] = []
    with open_text(path, survey.encoding) as file:
        for row in read_records(file, separator):
            if not is_blank(row.texts):
                sample.append(row)
            if len(sample) >= SCANNED_ROWS and row.number >= (header_row or 0):
                break
    return sample


def _read_rows(file: TextIO, separator: str, width: int, survey: TextSurvey) -> Iterator[Row]:
    """Rows of exactly `width` cells. A last line without its end that is too short was cut off."""
    held: Row | None = None  # a short row waits until it is known not to be the last
    for row in read_records(file, separator, width):
        if held is not None:
            yield fit_width(held, width)
            held = None
        texts = row.texts
        if not any(texts) or not (texts[0].strip() or any(map(str.strip, texts))):
            continue
        if len(texts) == width:
            yield row
        elif len(texts) < width and row.problem is None:
            held = row
        else:
            yield fit_width(row, width)
    if held is not None:
        if not survey.ends_with_newline:
            details: dict[str, object] = {"cells": len(held.texts), "columns": width}
            held = held._replace(problem=RowProblem("row_cut_off", "", details))
        yield fit_width(held, width)


class _Broken(Exception):
    """The record being read cannot be finished."""


class _Source(NamedTuple):
    """Physical lines: those given back are read again first; `taken` are those of the record being read."""

    file: TextIO
    given_back: deque[str]
    taken: list[str]


def _lines(source: _Source) -> Iterator[str]:
    file, given_back, taken = source
    readline = file.readline
    while True:
        line = given_back.popleft() if given_back else readline(MAX_LINE_CHARACTERS)
        if taken or not line or len(line) >= MAX_LINE_CHARACTERS:
            if not line and not taken:
                return
            _check_line(source, line)
        taken.append(line)
        yield line


def _check_line(source: _Source, line: str) -> None:
    """Of the lines that do not begin a record of their own, or are very long; raises _Broken."""
    taken = source.taken
    is_whole = len(line) < MAX_LINE_CHARACTERS or line[-1] in "\r\n"
    if taken and (not line or not is_whole or len(taken) >= MAX_RECORD_LINES):
        source.given_back.appendleft(line)  # it is judged when its own turn comes
        raise _Broken("row_quote_unclosed")
    if not is_whole:
        while (rest := source.file.readline(MAX_LINE_CHARACTERS)) and rest[-1] not in "\r\n":
            pass
        taken.append(line)
        raise _Broken("row_line_too_long")


def _is_well_quoted(lines: list[str], separator: str, width: int) -> bool:
    """Whether a record of several lines is one by the strict rules too; else its first mark is none."""
    try:
        return [len(cells) for cells in csv.reader(lines, delimiter=separator, strict=True)] == [width]
    except csv.Error:
        return False


def read_records(file: TextIO, separator: str, width: int | None = None) -> Iterator[Row]:
    """Every record with the line it begins at. Of a broken one the first line is refused, the rest read again.

    A record of several lines must have `width` cells and faultless quotation marks, or else it is none.
    """
    source = _Source(file, deque(), [])
    taken = source.taken
    number = 1
    new = tuple.__new__
    while True:
        try:
            for texts in csv.reader(_lines(source), delimiter=separator):
                if len(taken) > 1 and width is not None and not _is_well_quoted(taken, separator, width):
                    raise _Broken("row_quote_unclosed")
                if '="' in taken[0]:
                    texts = [_WRAPPED.sub(r"\1", text) if _WRAPPED.fullmatch(text) else text for text in texts]
                yield new(Row, (number, texts, None, None))  # a third of the cost of Row(...)
                number += len(taken)
                taken.clear()
            return
        except (csv.Error, _Broken) as error:
            code = str(error) if isinstance(error, _Broken) else "row_line_too_long"
            shown = taken[0][:200].rstrip("\r\n")
            source.given_back.extendleft(reversed(taken[1:]))
            taken.clear()
            yield Row(number, [shown], None, RowProblem(code, "", {"limit": MAX_LINE_CHARACTERS}))
            number += 1
