"""Files of factories as tables: CSV, NDJSON, .xlsx and .xls, told apart by their content, never by their name."""

from pathlib import Path
from stat import S_ISDIR, S_ISREG

from registry.tables.csv_table import open_csv
from registry.tables.excel_table import open_xlsx
from registry.tables.model import (
    CellNote,
    FileRefused,
    Remark,
    Row,
    RowProblem,
    Table,
    TableOptions,
    Wanted,
)
from registry.tables.ndjson_table import open_ndjson
from registry.tables.xls_table import open_xls

__all__ = [
    "CellNote",
    "FileRefused",
    "Remark",
    "Row",
    "RowProblem",
    "Table",
    "TableOptions",
    "Wanted",
    "detect_kind",
    "open_table",
]

_ENDINGS = {
    ".csv": "csv", ".txt": "csv", ".tsv": "csv", ".xlsx": "xlsx", ".xlsm": "xlsx", ".xls": "xls",
    ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson",
}  # fmt: skip
_FOREIGN = {b"%PDF": "PDF", b"Rar!": "RAR", b"7z\xbc\xaf": "7z", b"\x1f\x8b": "gzip", b"\x89PNG": "PNG"}


def open_table(path: Path, wanted: Wanted, options: TableOptions = TableOptions(), name: str = "") -> Table:  # noqa: B008
    """Open a file of rows; `name` is what its owner calls it. Raises FileRefused with what to do."""
    kind = detect_kind(path)
    if kind == "xlsx":
        table = open_xlsx(path, wanted, options)
    elif kind == "xls":
        table = open_xls(path, wanted, options)
    elif kind == "ndjson":
        table = open_ndjson(path, options)
    else:
        table = open_csv(path, wanted, options)
    ending = Path(name or path.name).suffix.lower()
    if _ENDINGS.get(ending, kind) != kind:
        table.remarks.append(Remark("file_kind_differs", {"ending": ending, "kind": kind}))
    return table


def detect_kind(path: Path) -> str:
    """csv, ndjson, xlsx or xls; raises FileRefused for what is none of them."""
    try:
        mode = path.stat().st_mode
        if not (S_ISREG(mode) or S_ISDIR(mode)):  # a pipe gives its bytes once; a file is read several times
            raise FileRefused("file_not_ordinary", field="file")
        with path.open("rb") as file:
            head = file.read(4_096)
    except OSError as error:
        raise FileRefused("file_cannot_be_opened", field="file", problem=error.strerror or "") from error
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return "xls"
    for magic, kind in _FOREIGN.items():
        if head.startswith(magic):
            raise FileRefused("file_kind_unsupported", kind=kind)
    start = head.removeprefix(b"\xef\xbb\xbf").removeprefix(b"\x84\x31\x95\x33").lstrip().lower()  # marks of order
    if start.startswith((b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta", b"mime-version:")):
        raise FileRefused("file_is_web_page")
    if start.startswith(b"["):
        raise FileRefused("file_not_ndjson")
    return "ndjson" if start.startswith(b"{") else "csv"
