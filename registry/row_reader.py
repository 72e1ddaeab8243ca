"""Reading a file and deciding its rows in a process of its own, so that the writer is left with writing.

The reader gets its order as JSON on stdin and answers with frames on stdout: four bytes of length, then `marshal`
of a list of entries. An empty list ends the file; a tuple (code, field, details) says why it cannot be read on.
"""

import asyncio
import marshal
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from registry.import_plan import ImportOptions, open_plan
from registry.parent_process import die_with, make_environment
from registry.rows import Refusal, RowPlan
from registry.tables import FileRefused, Row
from schemas.errors import Unavailable
from schemas.records import pack_texts
from schemas.templates import Template, bind_template, format_template, parse_template

# A row that can be registered: (number, suffix, packed record). One that cannot: (number, None, its problems), each
# (code, column, details as texts).
Entry = tuple[int, str, bytes] | tuple[int, None, list[tuple[str, str, dict[str, str]]]]

FRAME_ROWS = 2_000
BUFFERED_BYTES = 2**22  # how far the reader may be ahead


class ReaderDied(Unavailable):
    """The process that reads the file was killed; the job can be taken up again."""


class RowSource:
    """The entries of a file, as a running reader gives them."""

    def __init__(self, process: asyncio.subprocess.Process, frames: asyncio.StreamReader) -> None:
        self._process = process
        self._frames = frames
        self._ended = False

    async def read(self, rows: int) -> list[Entry]:
        """The next entries, about as many; none at the end. Raises FileRefused, ReaderDied."""
        entries: list[Entry] = []
        while len(entries) < rows and not self._ended:
            frame = await self._read_frame()
            entries += frame
            self._ended = not frame
        return entries

    async def _read_frame(self) -> list[Entry]:
        try:
            size = int.from_bytes(await self._frames.readexactly(4), "big")
            frame = marshal.loads(await self._frames.readexactly(size))  # noqa: S302 (of our own process)
        except asyncio.IncompleteReadError as error:
            status = await self._process.wait()
            raise ReaderDied("import_reader_died", status=status) from error
        if isinstance(frame, tuple):
            code, field, details = frame
            raise FileRefused(code, field=field, **details)
        entries: list[Entry] = frame
        return entries


@asynccontextmanager
async def open_source(
    path: Path, template: Template, options: ImportOptions, file_name: str, after: int
) -> AsyncIterator[RowSource]:
    """Start a reader behind the row of that number; it ends with the block."""
    order = {
        "path": str(path),
        "prefix": template.prefix,
        "template_id": template.template_id,
        "template": format_template(template),
        "options": options.to_json(),
        "file_name": file_name,
        "after": after,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "registry.row_reader", str(os.getpid()),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=BUFFERED_BYTES,
        env=make_environment(),
    )  # fmt: skip
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("pipes were asked for")
    try:
        process.stdin.write(orjson.dumps(order))
        process.stdin.close()
        yield RowSource(process, process.stdout)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def main() -> None:
    die_with(int(sys.argv[1]))
    order = orjson.loads(sys.stdin.buffer.read())
    try:
        for entries in read_entries(order):
            _write_frame(sys.stdout.buffer, entries)
        _write_frame(sys.stdout.buffer, [])
    except FileRefused as error:
        details = {name: str(value) for name, value in error.details.items()}
        _write_frame(sys.stdout.buffer, (error.code, error.field, details))
    except BrokenPipeError:  # the job was cancelled, or its process died
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def read_entries(order: dict[str, Any]) -> Iterator[list[Entry]]:
    template = bind_template(parse_template(order["template"]), order["prefix"], order["template_id"])
    table, plan = open_plan(Path(order["path"]), template, ImportOptions(**order["options"]), order["file_name"])
    rows = table.rows(after=order["after"])
    while entries := _decide(rows, plan, template.template_id):
        yield entries


def _decide(rows: Iterator[Row], plan: RowPlan, template_id: int) -> list[Entry]:
    decide = plan.decide
    decisions = [decide(row) for row in islice(rows, FRAME_ROWS)]
    return [
        _plain_refusal(d) if isinstance(d, Refusal) else (d.number, d.suffix, pack_texts(template_id, d.values))
        for d in decisions
    ]


def _plain_refusal(refusal: Refusal) -> Entry:
    problems = [(p.code, p.column, {name: str(value) for name, value in p.details.items()}) for p in refusal.problems]
    return refusal.number, None, problems


def _write_frame(file: BinaryIO, frame: Any) -> None:
    data = marshal.dumps(frame)
    file.write(len(data).to_bytes(4, "big") + data)
    file.flush()


if __name__ == "__main__":
    main()
