"""Files on their way into an import: kept under names of ours between the steps, for a day, for their owner alone."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
from starlette.datastructures import UploadFile

from registry.console.proposing import propose_document, sample
from registry.console.visits import Visit
from registry.principals import Principal
from registry.tables import FileRefused, Table, TableOptions, Wanted, detect_kind, open_table
from registry.tables.xls_table import list_xls_sheets
from registry.tables.xlsx_package import open_package, read_workbook
from schemas.errors import InvalidInput, NotFound
from schemas.identifiers import shorten

DRAFT = "draft-"  # names of these files begin with it
KEPT_SECONDS = 86_400
MAX_NAME_CHARACTERS = 255
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that was uploaded; `file_name` is what its owner calls it and never part of a path."""

    draft_id: UUID
    path: Path
    file_name: str
    prefix: str


@dataclass(frozen=True, slots=True)
class DescribedDraft:
    """What its table looks like, and the template it suggests."""

    prefix: str
    document: dict[str, Any]


def _get_owner(principal: Principal) -> str:
    return "operator" if principal.enterprise_id is None else f"enterprise:{principal.enterprise_id}"


async def keep_draft(visit: Visit, file: UploadFile | None, prefix: str) -> Draft:
    """Keep what was uploaded; raises InvalidInput for no file."""
    name = clean_name(file.filename or "") if file is not None else ""
    if file is None or not name:
        raise InvalidInput("upload_missing", field="file")
    directory, draft_id = visit.state.config.jobs_dir, uuid4()
    await asyncio.to_thread(_forget_old, directory)
    path = directory / f"{DRAFT}{draft_id}"
    with path.open("wb") as kept:
        while block := await file.read(CHUNK_BYTES):
            await asyncio.to_thread(kept.write, block)
    if path.stat().st_size == 0:
        path.unlink()
        raise InvalidInput("upload_missing", field="file")
    about = {"owner": _get_owner(visit.get_principal()), "file_name": name, "prefix": prefix}
    path.with_suffix(".json").write_bytes(orjson.dumps(about))
    return Draft(draft_id, path, name, prefix)


def clean_name(name: str) -> str:
    """The last part of a file's name, printable: whatever path or control characters a browser sends."""
    last = name.replace("\\", "/").rpartition("/")[2].encode("utf-8", "replace").decode()
    return "".join(c for c in last if c.isprintable()).strip()[:MAX_NAME_CHARACTERS]


def _forget_old(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.glob(f"{DRAFT}*"):
        if time.time() - path.stat().st_mtime > KEPT_SECONDS:
            path.unlink(missing_ok=True)


async def get_draft(visit: Visit, text: str) -> Draft:
    """Raises NotFound, also for files of others."""
    try:
        path = visit.state.config.jobs_dir / f"{DRAFT}{UUID(text)}"
        about = orjson.loads(await asyncio.to_thread(path.with_suffix(".json").read_bytes))
    except (ValueError, OSError):
        raise NotFound("upload_not_found", field="draft", draft=shorten(text, 40)) from None
    if about["owner"] != _get_owner(visit.get_principal()):
        raise NotFound("upload_not_found", field="draft", draft=shorten(text, 40))
    return Draft(UUID(text), path, about["file_name"], about["prefix"])


async def open_draft(draft: Draft, sheet: str, header_row: int | None, wanted: Wanted | None = None) -> Table:
    """Its table; raises FileRefused with what to do."""
    options = TableOptions(sheet or None, header_row)
    return await asyncio.to_thread(open_table, draft.path, wanted or Wanted(), options, draft.file_name)


def list_sheets(path: Path) -> list[str]:
    """Names of the sheets that can be seen; none for files without sheets. Raises FileRefused."""
    kind = detect_kind(path)
    if kind == "xlsx":
        with open_package(path) as package:
            return [sheet.name for sheet in read_workbook(package).sheets if not sheet.is_hidden]
    if kind == "xls":
        return list_xls_sheets(path)
    return []


async def find_sheet(draft: Draft, sheets: list[str], wanted: Wanted) -> str:
    """The sheet a reader would open first: the only one that fits, or the one with the most cells."""
    try:
        return (await open_draft(draft, "", None, wanted)).sheet or ""
    except FileRefused as error:
        if error.code not in ("file_sheet_in_doubt", "file_sheet_not_found", "file_header_in_doubt"):
            raise
    sizes: dict[str, int] = {}
    for sheet in sheets:
        with suppress(FileRefused):
            table = await open_draft(draft, sheet, None)
            sizes[sheet] = table.rows_estimate * len(table.columns)
    return max(sizes, key=lambda sheet: sizes[sheet], default="")


async def describe_draft(visit: Visit, text: str, sheet: str, header_row: int | None) -> DescribedDraft:
    """The template the columns of a draft suggest."""
    draft = await get_draft(visit, text)
    if not sheet:
        sheet = await find_sheet(draft, await asyncio.to_thread(list_sheets, draft.path), Wanted())
    table = await open_draft(draft, sheet, header_row)
    rows = [row.texts for row in await asyncio.to_thread(sample, table)]
    name = Path(draft.file_name).stem[:40]
    version = "".join(c for c in name.lower().replace(" ", "-") if c.isascii() and (c.isalnum() or c in "-_"))
    return DescribedDraft(draft.prefix, propose_document(table, rows, f"{version or 'table'}-1", table.sheet or name))
