"""The parts of an .xlsx file (ECMA-376): a zip of XML. Everything is bounded by what really comes out of it."""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from xml.parsers import expat

from registry.tables.model import FileRefused, mend_surrogates

MAX_PART_BYTES = 100 * 1024 * 1024
MAX_SMALL_PART_BYTES = 16 * 1024 * 1024
MAX_PARTS = 5_000
MAX_ROWS = 1_048_576
CHUNK_BYTES = 1 << 16
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


class Sheet(NamedTuple):
    """`part` is the path of its XML in the package."""

    name: str
    part: str
    is_hidden: bool


class Workbook(NamedTuple):
    """`formats` gives the display format of each cell style; `strings` is the part of shared texts."""

    sheets: list[Sheet]
    formats: list[str | int]
    strings: str | None
    is_1904: bool


class SheetSurvey(NamedTuple):
    """`merges`: first row → (column from 0, last row) of every merge that covers several rows."""

    rows: int
    merges: dict[int, list[tuple[int, int]]]


def refuse_damaged() -> FileRefused:
    return FileRefused("file_damaged")


def open_package(path: Path) -> zipfile.ZipFile:
    """Raises FileRefused if it is cut off or no zip at all."""
    try:
        package = zipfile.ZipFile(path)
    except _DAMAGES as error:
        raise refuse_damaged() from error
    if len(package.infolist()) > MAX_PARTS:
        package.close()
        raise FileRefused("file_too_many_parts", limit=MAX_PARTS)
    return package


class _Bounded:
    """A stream that refuses to give more than `limit` bytes, whatever the package declares."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit

    def read(self, size: int) -> bytes:
        try:
            chunk = self._stream.read(size)
        except _DAMAGES as error:
            raise refuse_damaged() from error
        self._left -= len(chunk)
        if self._left < 0:
            raise FileRefused("file_sheet_too_large", limit_mb=self._limit // (1024 * 1024))
        return chunk


@contextmanager
def open_part(package: zipfile.ZipFile, name: str, limit: int = MAX_PART_BYTES) -> Iterator[_Bounded]:
    """Raises FileRefused if the part is missing, encrypted, damaged or too large."""
    try:
        entry = package.getinfo(name)
        if entry.file_size > limit:
            raise FileRefused("file_sheet_too_large", limit_mb=limit // (1024 * 1024))
        stream = package.open(entry)
    except (KeyError, *_DAMAGES) as error:
        raise refuse_damaged() from error
    with stream:
        yield _Bounded(stream, limit)


def make_parser() -> expat.XMLParserType:
    """A parser without document types: no entity can expand, nothing outside can be asked for."""

    def refuse(*_: object) -> None:
        raise FileRefused("file_xml_forbidden")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.buffer_text = True
    return parser


def feed(parser: expat.XMLParserType, chunk: bytes, is_last: bool) -> None:
    try:
        parser.Parse(chunk, is_last)
    except expat.ExpatError as error:
        raise refuse_damaged() from error


def _read_elements(package: zipfile.ZipFile, name: str) -> list[tuple[str, dict[str, str]]]:
    """Every element of a small part as (name without prefix, attributes), in order."""
    elements: list[tuple[str, dict[str, str]]] = []
    parser = make_parser()
    parser.StartElementHandler = lambda tag, attributes: elements.append(
        (tag.rpartition(":")[2], {key.rpartition(":")[2]: value for key, value in attributes.items()})
    )
    with open_part(package, name, MAX_SMALL_PART_BYTES) as part:
        while chunk := part.read(CHUNK_BYTES):
            feed(parser, chunk, False)
        feed(parser, b"", True)
    return elements


def read_workbook(package: zipfile.ZipFile) -> Workbook:
    """Sheets, styles and settings; raises FileRefused if it is no workbook of this kind."""
    names = set(package.namelist())
    main = _find_main_part(package, names)
    folder = posixpath.dirname(main)
    relations_part = f"{folder}/_rels/{posixpath.basename(main)}.rels".lstrip("/")
    targets: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for tag, attributes in _read_elements(package, relations_part):
        if tag == "Relationship" and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", ""))).lstrip("/")
            kind = attributes.get("Type", "").rpartition("/")[2]
            targets[attributes.get("Id", "")] = target
            kinds[kind if kind != "worksheet" else f"worksheet {target}"] = target
    sheets: list[Sheet] = []
    is_1904 = False
    for tag, attributes in _read_elements(package, main):
        part = targets.get(attributes.get("id", ""), "")
        if tag == "sheet" and f"worksheet {part}" in kinds:
            sheets.append(Sheet(attributes.get("name", ""), part, "idden" in attributes.get("state", "")))
        elif tag == "workbookPr":
            is_1904 = attributes.get("date1904") in ("1", "true")
    styles = kinds.get("styles", "")
    formats = _read_formats(package, styles) if styles in names else []
    strings = kinds.get("sharedStrings", "")
    return Workbook(sheets, formats, strings if strings in names else None, is_1904)


def _find_main_part(package: zipfile.ZipFile, names: set[str]) -> str:
    if "xl/workbook.bin" in names:
        raise FileRefused("file_kind_unsupported", kind="xlsb")
    if "content.xml" in names and "mimetype" in names:
        raise FileRefused("file_kind_unsupported", kind="ods")
    if "_rels/.rels" in names:
        for tag, attributes in _read_elements(package, "_rels/.rels"):
            if tag == "Relationship" and attributes.get("Type", "").endswith("/officeDocument"):
                target = posixpath.normpath("/" + attributes.get("Target", "")).lstrip("/")
                if target in names and target.startswith("xl/"):
                    return target
    if "xl/workbook.xml" in names:
        return "xl/workbook.xml"
    raise FileRefused("file_kind_unsupported", kind="zip")


def _read_formats(package: zipfile.ZipFile, part: str) -> list[str | int]:
    """The format of every cell style: its text, or its number if it is a built-in one."""
    texts: dict[int, str] = {}
    formats: list[str | int] = []
    inside = ""
    for tag, attributes in _read_elements(package, part):
        if tag in ("numFmts", "cellXfs", "cellStyleXfs", "cellStyles", "dxfs", "fonts", "fills", "borders"):
            inside = tag
        elif tag == "numFmt" and inside == "numFmts":
            texts[_parse_number(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
        elif tag == "xf" and inside == "cellXfs":
            number = _parse_number(attributes.get("numFmtId"))
            formats.append(texts.get(number, number))
    return formats


def _parse_number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def unescape(text: str) -> str:
    """`_x0007_` is how the format spells a character XML cannot hold (ECMA-376 part 1, §22.4.2.4)."""
    if "_x" not in text:
        return text
    return mend_surrogates(_ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text))


def read_strings(package: zipfile.ZipFile, part: str | None) -> list[str]:
    """The shared texts. Pronunciations (`rPh`) are not part of what is seen."""
    strings: list[str] = []
    if part is None:
        return strings
    pieces: list[str] = []
    state = {"capture": False, "phonetic": False}

    def start(tag: str, _: dict[str, str]) -> None:
        local = tag.rpartition(":")[2]
        if local == "t":
            state["capture"] = not state["phonetic"]
        elif local == "rPh":
            state["phonetic"] = True

    def end(tag: str) -> None:
        local = tag.rpartition(":")[2]
        if local == "si":
            strings.append(unescape("".join(pieces)))
            pieces.clear()
        elif local == "t":
            state["capture"] = False
        elif local == "rPh":
            state["phonetic"] = False

    parser = make_parser()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: pieces.append(text) if state["capture"] else None
    with open_part(package, part) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            feed(parser, chunk, False)
        feed(parser, b"", True)
    return strings


_MERGE = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')
_ROW = re.compile(rb"<(?:\w+:)?row[\s/>]")


def survey_sheet(package: zipfile.ZipFile, part: str) -> SheetSurvey:
    """Reads the sheet once without keeping it: its true size, its checksum, its rows, its merged cells."""
    rows, tail = 0, b""
    merges: dict[int, list[tuple[int, int]]] = {}
    with open_part(package, part) as stream:
        while chunk := stream.read(CHUNK_BYTES * 4):
            window = tail + chunk
            # A tag that is cut by the end of the window is looked at again with the next one.
            cut = window.rfind(b"<")
            tail = window[cut:] if cut >= 0 and len(window) - cut < 4_096 else b""
            whole = window[:cut] if tail else window
            rows += len(_ROW.findall(whole))
            for found in _MERGE.finditer(whole):
                first_column, first, _, last = found.groups()
                if int(last) > int(first):
                    column = parse_column(first_column.decode())
                    merges.setdefault(int(first), []).append((column, int(last)))
    if rows > MAX_ROWS:
        raise FileRefused("file_too_many_rows", rows=rows, limit=MAX_ROWS)
    return SheetSurvey(rows, merges)


def parse_column(letters: str) -> int:
    """A → 0, Z → 25, AA → 26."""
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return column - 1
