"""What a reader of files hands on: a table with named columns, and rows of texts as the factory sees them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import NamedTuple

from schemas.errors import InvalidInput

MAX_COLUMNS = 1_000


class CellNote(NamedTuple):
    """What the text of a cell does not tell. Most cells have none.

    `problem`: code; refused wherever the cell is needed. `identifier_problem`: code; refused only where the
    identifier is built from the cell. `plain`: the number without its display format (`1,234 箱` → `1234`).
    """

    problem: str | None = None
    identifier_problem: str | None = None
    plain: str | None = None


class RowProblem(NamedTuple):
    """Why a whole row cannot be read; `column` is a header text or empty."""

    code: str
    column: str
    details: dict[str, object]


class Row(NamedTuple):
    """`number` is the line of the file where the row begins, or the row of the sheet. One text per column."""

    number: int
    texts: list[str]
    notes: dict[int, CellNote] | None = None
    problem: RowProblem | None = None


class Remark(NamedTuple):
    """Something the summary of an import says; nobody's fault."""

    code: str
    details: dict[str, object]


class FileRefused(InvalidInput):
    """The file cannot be read at all; the details name the row where one is known."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the caller has decided; None means that the file decides.

    `sheet` is the name of a sheet, or its number from 1. `header_row` counts from 1, as the file's lines do.
    """

    sheet: str | None = None
    header_row: int | None = None
    encoding: str | None = None
    separator: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a header row is recognised, in texts as `match_key` gives them.

    `known`: every name a column may have. `needed`: label → names, of which one must be there.
    """

    known: frozenset[str] = frozenset()
    needed: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """An opened file. `rows` reads it from the beginning, lazily, as often as it is called.

    `kind` is csv, ndjson, xlsx or xls. `rows_estimate` is for progress bars, exact if the file has no blank rows.
    """

    kind: str
    columns: list[str]
    header_row: int
    rows_estimate: int
    read: Callable[[], Iterator[Row]]
    sheet: str | None = None
    remarks: list[Remark] = field(default_factory=list)

    def rows(self, after: int = 0) -> Iterator[Row]:
        """Rows that hold something, below the header and after the row of that number. Raises FileRefused."""
        start = max(after, self.header_row)
        return dropwhile(lambda row: row.number <= start, self.read())


def is_blank(texts: list[str]) -> bool:
    """Nothing to be seen in any cell."""
    return not any(texts) or not any(map(str.strip, texts))


def fit_width(row: Row, width: int) -> Row:
    """Exactly `width` cells: missing ones are empty; more than the header has are refused if they hold text."""
    texts = row.texts
    if len(texts) < width:
        return row._replace(texts=texts + [""] * (width - len(texts)))
    if not is_blank(texts[width:]):
        problem = RowProblem("row_too_many_cells", "", {"cells": len(texts), "columns": width})
        return row._replace(texts=texts[:width], problem=row.problem or problem)
    return row._replace(texts=texts[:width])


def mend_surrogates(text: str) -> str:
    """Halves of a character beyond U+FFFF are joined; a half alone is no text and becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
