"""The receipt of an import: CSV that any spreadsheet opens, with one line per row of the file."""

import csv
import re
from collections.abc import Callable
from typing import TextIO

from registry.tables.model import Row

OUTCOMES = ("registered", "updated", "unchanged", "differs", "refused")
RECEIPT_COLUMNS = ("row", "outcome", "identifier", "scan_url", "reason")
ReceiptLine = tuple[Row | None, str, str, str]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def open_receipt(file: TextIO, columns: list[str], format_url: Callable[[str], str]) -> Callable[[ReceiptLine], None]:
    """Write the header and return what writes a line: (row or None, outcome, identifier or "", reason or "").

    The file must be opened with encoding utf-8 and newline=""; the mark that tells spreadsheets UTF-8 is written here.
    """
    file.write("\ufeff")
    writer = csv.writer(file)
    writer.writerow([*RECEIPT_COLUMNS, *map(defuse, columns)])

    def write_line(line: ReceiptLine) -> None:
        row, outcome, identifier, reason = line
        url = format_url(identifier) if identifier else ""
        number, texts = ("", [""] * len(columns)) if row is None else (row.number, row.texts)
        writer.writerow([number, outcome, defuse(identifier), url, defuse(reason), *map(defuse, texts)])

    return write_line


def defuse(text: str) -> str:
    """A cell that a spreadsheet would compute gets an apostrophe in front; numbers such as -5 stay as they are."""
    if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text
