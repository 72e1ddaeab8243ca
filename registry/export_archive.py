"""The archive of an export: a ZIP that goes out while it is written, with tables as NDJSON and as CSV.

Of each table the NDJSON goes out at once; its CSV waits in a file of ours, since a ZIP takes one member at a time.
"""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import orjson

from registry.receipt import defuse

PIECE_BYTES = 1 << 16
Row = Mapping[str, Any]
Rows = AsyncIterator[Sequence[Row]]


class _Sink(io.RawIOBase):
    """What a ZIP is written to: bytes on their way out. It cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


@dataclass(slots=True)
class Listed:
    """A file of the archive, as the manifest lists it."""

    name: str
    rows: int | None = None
    size: int = 0
    digest: Any = field(default_factory=sha256)

    def format(self) -> dict[str, Any]:
        return {"name": self.name, "rows": self.rows, "bytes": self.size, "sha256": self.digest.hexdigest()}


class Archive:
    """`directory` is where tables wait; `at` is the time of all files."""

    def __init__(self, directory: Path, at: datetime) -> None:
        self._sink = _Sink()
        self._zip = ZipFile(self._sink, "w", ZIP_DEFLATED, compresslevel=6)
        self._directory = directory
        self._time = at.timetuple()[:6]
        self.files: list[Listed] = []

    async def add(self, name: str, pieces: AsyncIterator[bytes], rows: int | None = None) -> AsyncIterator[bytes]:
        """A member of the archive; yields what can go out."""
        listed = Listed(name, rows)
        self.files.append(listed)
        info = ZipInfo(name, self._time)
        info.compress_type = ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w", force_zip64=True) as member:
            async for piece in pieces:
                listed.size += len(piece)
                listed.digest.update(piece)
                await asyncio.to_thread(member.write, piece)
                yield self._sink.take()
        yield self._sink.take()

    async def add_bytes(self, name: str, content: bytes) -> AsyncIterator[bytes]:
        async def give() -> AsyncIterator[bytes]:
            yield content

        async for piece in self.add(name, give()):
            yield piece

    async def add_table(self, name: str, columns: Sequence[str], rows: Rows) -> AsyncIterator[bytes]:
        """`name`.ndjson with every member, `name`.csv with the columns."""
        with Table(self._directory, columns) as table:

            async def give() -> AsyncIterator[bytes]:
                async for page in rows:
                    table.write(page)
                    yield b"".join(orjson.dumps(row) + b"\n" for row in page)

            async for piece in self.add(f"{name}.ndjson", give()):
                yield piece
            self.files[-1].rows = table.rows
            async for piece in self.add(f"{name}.csv", table.read(), table.rows):
                yield piece

    def finish(self, manifest: Mapping[str, Any]) -> bytes:
        """The manifest, which lists all other files, and the end."""
        document = {**manifest, "files": [listed.format() for listed in self.files]}
        info = ZipInfo("manifest.json", self._time)
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, orjson.dumps(document, option=orjson.OPT_INDENT_2), ZIP_DEFLATED)
        self._zip.close()
        return self._sink.take()


class Table:
    """Rows that wait in a file as CSV, UTF-8 with a mark that tells spreadsheets so; without columns, as NDJSON."""

    def __init__(self, directory: Path, columns: Sequence[str] | None) -> None:
        self._columns = columns
        self._file = NamedTemporaryFile(dir=directory, prefix="arriving-")  # noqa: SIM115 - closed by the caller
        self.rows = 0
        if columns is not None:
            self._put("\ufeff" + _format_line(columns))

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(FileNotFoundError):
            self._file.close()

    def write(self, page: Sequence[Row]) -> None:
        columns = self._columns
        if columns is None:
            self._file.write(b"".join(orjson.dumps(row) + b"\n" for row in page))
        else:
            self._put("".join(_format_line([_format_cell(row.get(name)) for name in columns]) for row in page))
        self.rows += len(page)

    async def read(self) -> AsyncIterator[bytes]:
        self._file.seek(0)
        while piece := await asyncio.to_thread(self._file.read, PIECE_BYTES):
            yield piece

    def _put(self, text: str) -> None:
        self._file.write(text.encode("utf-8", "surrogatepass"))


def _format_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([defuse(cell) for cell in cells])
    return line.getvalue()


def _format_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
