"""Reading NDJSON: one flat JSON object per line."""

import json
from collections.abc import Iterator
from pathlib import Path

import orjson

from registry.tables.csv_table import MAX_LINE_CHARACTERS
from registry.tables.model import (
    MAX_COLUMNS,
    FileRefused,
    Row,
    RowProblem,
    Table,
    TableOptions,
    is_blank,
    mend_surrogates,
)
from registry.tables.text_encoding import open_text, survey_text


def open_ndjson(path: Path, options: TableOptions) -> Table:
    """The columns are the keys of all lines, in the order they first appear. Raises FileRefused."""
    survey = survey_text(path, options.encoding)
    columns = _collect_keys(path, survey.encoding)

    def read() -> Iterator[Row]:
        positions = {column: position for position, column in enumerate(columns)}
        with open_text(path, survey.encoding) as file:
            number = 0
            while line := file.readline(MAX_LINE_CHARACTERS):
                number += 1
                if len(line) >= MAX_LINE_CHARACTERS and not line.endswith("\n"):
                    while (rest := file.readline(MAX_LINE_CHARACTERS)) and not rest.endswith("\n"):
                        pass
                    yield _refuse(number, line, columns, "row_line_too_long", limit=MAX_LINE_CHARACTERS)
                elif line.strip():
                    row = _read_line(number, line, positions, columns)
                    if row.problem or not is_blank(row.texts):
                        yield row

    return Table("ndjson", columns, 0, survey.lines, read)


def _collect_keys(path: Path, encoding: str) -> list[str]:
    keys: dict[str, None] = {}
    with open_text(path, encoding) as file:
        while line := file.readline(MAX_LINE_CHARACTERS):
            try:
                found = _load_quickly(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                keys.update(dict.fromkeys(found))
            if len(keys) > MAX_COLUMNS:
                raise FileRefused("file_too_many_columns", row=1, columns=len(keys), limit=MAX_COLUMNS)
    if not keys:
        raise FileRefused("file_not_ndjson")
    return list(keys)


def _load_quickly(line: str) -> object:
    try:
        return orjson.loads(line)
    except ValueError:
        return json.loads(line)  # it takes what orjson does not, such as half a surrogate pair


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _read_line(number: int, line: str, positions: dict[str, int], columns: list[str]) -> Row:
    try:
        pairs = json.loads(
            line,
            object_pairs_hook=list,
            parse_int=str,  # the digits of the file: 1.50 stays 1.50, twenty digits stay twenty
            parse_float=str,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError):
        return _refuse(number, line, columns, "row_not_json")
    if not line.lstrip().startswith("{"):
        return _refuse(number, line, columns, "row_not_json")
    texts = [""] * len(columns)
    seen: set[str] = set()
    for key, value in pairs:
        if key in seen:
            return _refuse(number, line, columns, "row_key_twice", mend_surrogates(key))
        seen.add(key)
        if isinstance(value, list):
            return _refuse(number, line, columns, "row_value_nested", mend_surrogates(key))
        position = positions.get(key)
        if position is not None:
            texts[position] = mend_surrogates(_format_value(value))
    return Row(number, texts)


def _format_value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _refuse(number: int, line: str, columns: list[str], code: str, column: str = "", **details: object) -> Row:
    texts = [line[:200].rstrip("\r\n")] + [""] * (len(columns) - 1)
    return Row(number, texts, None, RowProblem(code, column, details))
