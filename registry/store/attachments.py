"""SQL of attachments: what is kept beside the database, whose it is, and what it is bound to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Connection

_COLUMNS = "attachment_id, file_id, name, kind, size_bytes, sha256, enterprise_id, actor, created, bound_as"


@dataclass(frozen=True, slots=True)
class Attachment:
    """`enterprise_id` None: of who uploaded it, `actor`. `bound_as`: the member of the dossier, None while unbound."""

    attachment_id: int
    file_id: UUID
    name: str
    kind: str
    size_bytes: int
    sha256: bytes
    enterprise_id: int | None
    actor: str
    created: datetime
    bound_as: str | None


@dataclass(frozen=True, slots=True)
class NewAttachment:
    """What is known of a file before it has a number."""

    file_id: UUID
    name: str
    kind: str
    size_bytes: int
    sha256: bytes
    enterprise_id: int | None
    actor: str
    created: datetime


async def insert_attachment(conn: Connection, new: NewAttachment) -> Attachment:
    row = await conn.fetchrow(
        "INSERT INTO attachments (file_id, name, kind, size_bytes, sha256, enterprise_id, actor, created)"  # noqa: S608
        f" VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_COLUMNS}",
        new.file_id,
        new.name,
        new.kind,
        new.size_bytes,
        new.sha256,
        new.enterprise_id,
        new.actor,
        new.created,
    )
    assert row is not None  # noqa: S101
    return Attachment(**row)


async def find_attachment(conn: Connection, attachment_id: int) -> Attachment | None:
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM attachments WHERE attachment_id = $1", attachment_id)  # noqa: S608
    return Attachment(**row) if row else None


async def fetch_attachments(conn: Connection, own: tuple[int, str] | None, after: int, limit: int) -> list[Attachment]:
    """In order of their numbers; `own`: of this enterprise, or of this actor and no enterprise."""
    enterprise_id, actor = own or (None, None)
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM attachments WHERE attachment_id > $1 AND ($2::int4 IS NULL OR enterprise_id = $2"  # noqa: S608
        " OR (enterprise_id IS NULL AND actor = $3)) ORDER BY attachment_id LIMIT $4",
        after,
        enterprise_id,
        actor,
        limit,
    )
    return [Attachment(**row) for row in rows]


async def lock_attachments(conn: Connection, attachment_ids: Sequence[int]) -> dict[int, Attachment]:
    """Number → attachment, of those that exist, locked in order of their numbers."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM attachments WHERE attachment_id = ANY($1::bigint[])"  # noqa: S608
        " ORDER BY attachment_id FOR UPDATE",
        list(attachment_ids),
    )
    return {row["attachment_id"]: Attachment(**row) for row in rows}


async def bind_attachments(conn: Connection, enterprise_id: int, fields: dict[int, str], at: datetime) -> None:
    """Number → member of the dossier; one that is bound keeps its day."""
    await conn.execute(
        "UPDATE attachments SET enterprise_id = $1, bound_as = n.field, bound_at = coalesce(bound_at, $4)"
        " FROM unnest($2::bigint[], $3::text[]) AS n(number, field) WHERE attachment_id = n.number",
        enterprise_id,
        list(fields),
        list(fields.values()),
        at,
    )


async def count_unbound(conn: Connection, enterprise_id: int | None, actor: str) -> int:
    """What an enterprise, or an account without one, has uploaded and not used."""
    counted: int = await conn.fetchval(
        "SELECT count(*) FROM attachments WHERE bound_as IS NULL AND enterprise_id IS NOT DISTINCT FROM $1"
        " AND ($1::int4 IS NOT NULL OR actor = $2)",
        enterprise_id,
        actor,
    )
    return counted


async def delete_unbound(conn: Connection, before: datetime, limit: int = 1_000) -> list[UUID]:
    """The files whose rows went: uploaded before that time and never used."""
    rows = await conn.fetch(
        "DELETE FROM attachments WHERE attachment_id IN (SELECT attachment_id FROM attachments WHERE bound_as IS NULL"
        " AND created < $1 ORDER BY created LIMIT $2 FOR UPDATE SKIP LOCKED) AND bound_as IS NULL RETURNING file_id",
        before,
        limit,
    )
    return [row["file_id"] for row in rows]


async def find_file_ids(conn: Connection, file_ids: Sequence[UUID]) -> set[UUID]:
    """Those of them that have a row."""
    rows = await conn.fetch("SELECT file_id FROM attachments WHERE file_id = ANY($1::uuid[])", list(file_ids))
    return {row["file_id"] for row in rows}
