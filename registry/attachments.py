"""Attachments: files of dossiers, kept sealed beside the database, each bound once (domain.md §d.6 N3, §d.7).

A file is on the disk before its row is written and deleted after its row is gone: what a crash leaves is a file
without a row, which the daily cleaning finds.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

from asyncpg import Connection
from pydantic import BaseModel

from registry.prefixes import check_reason
from registry.principals import Order, Principal
from registry.store.attachments import (
    Attachment,
    NewAttachment,
    bind_attachments,
    count_unbound,
    delete_unbound,
    fetch_attachments,
    find_attachment,
    find_file_ids,
    insert_attachment,
    lock_attachments,
)
from registry.store.enterprises import insert_decision
from schemas.attachments import check_content, make_name
from schemas.enterprises import PERSONAL_FIELDS, Dossier
from schemas.errors import Conflict, NotFound
from schemas.sealing import KeyRing, seal, unseal

KEEP_UNBOUND = timedelta(days=1)
MAX_UNBOUND = 200
_ARRIVING = ".arriving-"
_SWEPT_AT_ONCE = 1_000
_STAFF = frozenset({"operator", "reviewer"})


@dataclass(frozen=True, slots=True)
class Storage:
    """Where files are kept, and the keys that seal them."""

    directory: Path
    key_ring: KeyRing


@dataclass(frozen=True, slots=True)
class Upload:
    """What was sent: the name its owner gave it, and the content."""

    name: str
    content: bytes


async def keep_attachment(
    conn: Connection, storage: Storage, order: Order, upload: Upload, *, dry_run: bool = False
) -> Attachment:
    """Store a file for who uploads it; raises InvalidInput, TooLarge. A dry run writes the row alone."""
    content, principal = upload.content, order.principal
    kind = await asyncio.to_thread(check_content, content)
    if not principal.is_operator and await count_unbound(conn, principal.enterprise_id, principal.actor) >= MAX_UNBOUND:
        raise Conflict("attachment_too_many", field="file", limit=MAX_UNBOUND)
    new = NewAttachment(
        uuid4(),
        make_name(upload.name, kind),
        kind,
        len(content),
        sha256(content).digest(),
        principal.enterprise_id,
        principal.actor,
        order.at,
    )
    if not dry_run:
        await asyncio.to_thread(_write, storage, new.file_id, content)
    return await insert_attachment(conn, new)


async def get_attachment(conn: Connection, principal: Principal, attachment_id: int) -> Attachment:
    """Raises NotFound, also for what belongs to others."""
    row = await find_attachment(conn, attachment_id) if 0 < attachment_id < 2**63 else None
    if row is None or not _may_read(principal, row):
        raise NotFound("attachment_not_found", field="attachment_id", attachment=attachment_id)
    return row


async def list_attachments(conn: Connection, principal: Principal, after: int, limit: int) -> list[Attachment]:
    """In order of their numbers, after the one given: the operator's all, others' own."""
    own = None if principal.kind in _STAFF else (principal.enterprise_id or 0, principal.actor)
    return await fetch_attachments(conn, own, after, limit)


async def read_attachment(
    conn: Connection, storage: Storage, order: Order, attachment_id: int
) -> tuple[Attachment, bytes]:
    """The file itself. An identity card shows as much as the sealed part of the dossier: operator and reviewer give a
    reason, which is recorded, and of the enterprise its administrators see it. Raises NotFound, Forbidden."""
    row = await get_attachment(conn, order.principal, attachment_id)
    if row.enterprise_id is not None and _is_personal(row):
        if order.principal.kind in _STAFF:
            check_reason(order)
            await insert_decision(conn, row.enterprise_id, "revealed", order.act)
        else:
            order.principal.check_scope("manage")
    try:
        content = await asyncio.to_thread(_read, storage, row.file_id)
    except FileNotFoundError as error:
        raise NotFound("attachment_lost", field="attachment_id", attachment=attachment_id) from error
    return row, content


async def bind_dossier(conn: Connection, order: Order, enterprise_id: int, dossier: Dossier) -> None:
    """Take the files a dossier names. Each must exist, be the caller's, and belong to this member alone, for ever.

    Raises NotFound for a file of somebody else, Conflict for one that is used already.
    """
    named = list(_list_files(dossier))
    rows = await lock_attachments(conn, [number for _, number in named]) if named else {}
    fields: dict[int, str] = {}
    for field, number in named:
        row = rows.get(number)
        if row is None or not _may_bind(order.principal, row, enterprise_id):
            raise NotFound("attachment_not_found", field=field, attachment=number)
        is_same_again = row.bound_as == field and row.enterprise_id == enterprise_id
        if number in fields or (row.bound_as is not None and not is_same_again):
            raise Conflict("attachment_bound", field=field, attachment=number)
        fields[number] = field
    if fields:
        await bind_attachments(conn, enterprise_id, fields, order.at)


async def clean_attachments(conn: Connection, directory: Path, now: datetime) -> int:
    """Delete what was uploaded over a day ago and never used, and files that no row knows; how many files went."""
    deleted = 0
    while file_ids := await delete_unbound(conn, now - KEEP_UNBOUND):
        for file_id in file_ids:
            await asyncio.to_thread(_find_path(directory, file_id).unlink, missing_ok=True)
        deleted += len(file_ids)
    old = await asyncio.to_thread(lambda: list(_list_old_files(directory, (now - KEEP_UNBOUND).timestamp())))
    for first in range(0, len(old), _SWEPT_AT_ONCE):
        some = old[first : first + _SWEPT_AT_ONCE]
        known = await find_file_ids(conn, [UUID(path.name) for path in some if _is_file_id(path.name)])
        for path in some:
            if not _is_file_id(path.name) or UUID(path.name) not in known:
                await asyncio.to_thread(path.unlink, missing_ok=True)
                deleted += 1
    return deleted


def _list_files(part: BaseModel, path: str = "") -> Iterator[tuple[str, int]]:
    """Members of a dossier that name files, with the numbers they name."""
    for name in type(part).model_fields:
        value, here = getattr(part, name), f"{path}{name}"
        if isinstance(value, BaseModel):
            yield from _list_files(value, f"{here}.")
        elif name.endswith(("_image_id", "_file_id")) and value is not None:
            yield here, value


def _may_read(principal: Principal, row: Attachment) -> bool:
    if principal.kind in _STAFF:
        return True
    if row.enterprise_id is None:
        return row.actor == principal.actor
    return row.enterprise_id == principal.enterprise_id


def _may_bind(principal: Principal, row: Attachment, enterprise_id: int) -> bool:
    """A file of another enterprise is never bound, not even by the operator."""
    return _may_read(principal, row) and row.enterprise_id in (None, enterprise_id)


def _is_personal(row: Attachment) -> bool:
    return (row.bound_as or "").startswith(PERSONAL_FIELDS)


def _context(file_id: UUID) -> str:
    return f"attachment/{file_id}"


def _find_path(directory: Path, file_id: UUID) -> Path:
    """No part of it comes from a caller."""
    name = str(file_id)
    return directory / name[:2] / name[2:4] / name


def _write(storage: Storage, file_id: UUID, content: bytes) -> None:
    """Whole or not at all, whatever happens meanwhile."""
    path = _find_path(storage.directory, file_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, arriving = tempfile.mkstemp(dir=path.parent, prefix=_ARRIVING)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(seal(storage.key_ring, content, _context(file_id)))
            file.flush()
            os.fsync(file.fileno())
        os.rename(arriving, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(arriving)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(storage: Storage, file_id: UUID) -> bytes:
    return unseal(storage.key_ring, _find_path(storage.directory, file_id).read_bytes(), _context(file_id))


def _is_file_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _list_old_files(directory: Path, before: float) -> Iterator[Path]:
    """Ours by their names, last written before that time; whatever else lies there is left alone."""
    for path in directory.glob("??/??/*"):
        if not (_is_file_id(path.name) or path.name.startswith(_ARRIVING)):
            continue
        with suppress(FileNotFoundError):  # another process cleans, too
            if path.stat().st_mtime < before:
                yield path
