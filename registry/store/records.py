"""SQL of records, their history and ranges. Keys are folded suffixes; batches come sorted by key (no deadlocks)."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import NamedTuple

from asyncpg import Connection, Record, UniqueViolationError

from registry.store.changes import Act
from schemas.changes import ChangeKind
from schemas.ranges import Shape

# First member of pg_advisory_xact_lock(int4, int4): locks of prefixes, for issuing against creating ranges.
_ISSUING_LOCK = 7_241


@dataclass(frozen=True, slots=True)
class PrefixRule:
    """What issuing needs to know of a prefix."""

    prefix_id: int
    prefix: str
    folds_case: bool
    state: int
    hosting: int
    is_sandbox: bool = False


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A row of `records`, or what a range says of one of its members (`is_member`)."""

    suffix_key: str
    suffix: str
    template_id: int
    packed: bytes
    state: int
    revision: int
    created: datetime
    changed: datetime
    note: str
    is_member: bool = False


CopiedRecord = tuple[str, str, int, bytes]  # key, suffix as first written, template, packed


class NewRecord(NamedTuple):
    """`suffix` as first written, `packed` as schemas.records packs it."""

    suffix_key: str
    suffix: str
    template_id: int
    packed: bytes
    from_range: bool = False
    created: datetime | None = None
    state: int = 0
    note: str | None = None
    changed: datetime | None = None
    revision: int = 1


async def find_prefix_rule(conn: Connection, prefix: str) -> PrefixRule | None:
    return (await fetch_prefix_rules(conn, [prefix])).get(prefix)


async def fetch_prefix_rules(conn: Connection, prefixes: Sequence[str]) -> dict[str, PrefixRule]:
    """Of those that exist, by name."""
    rows = await conn.fetch(
        "SELECT prefix_id, prefix, folds_case, state, hosting, sandbox_of IS NOT NULL AS is_sandbox FROM prefixes"
        " WHERE prefix = ANY($1::text[])",
        list(prefixes),
    )
    return {row["prefix"]: PrefixRule(**row) for row in rows}


async def lock_for_issuing(conn: Connection, prefix_id: int) -> None:
    """Shared with other issuers; waits while a range of the prefix is being created."""
    await conn.execute("SELECT pg_advisory_xact_lock_shared($1, $2)", _ISSUING_LOCK, prefix_id)


async def lock_for_range(conn: Connection, prefix_id: int) -> None:
    await conn.execute("SELECT pg_advisory_xact_lock($1, $2)", _ISSUING_LOCK, prefix_id)


def _row(prefix_id: int, at: datetime, new: NewRecord) -> tuple[object, ...]:
    suffix = None if new.suffix == new.suffix_key else new.suffix
    return (new.created or at, new.changed or at, prefix_id, new.template_id, new.state, new.from_range, new.suffix_key,
            suffix, new.packed, new.note, new.revision)  # fmt: skip


# COPY in binary (PostgreSQL manual, "COPY", binary format): what the driver spends on a row is more than all the
# rest of an import, and most of a new record is the same in every row.
_COPY_COLUMNS = ("created", "changed", "prefix_id", "template_id", "suffix_key", "suffix", "packed")
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_SAME = Struct(">hiqiqiiii")  # columns; created, changed, prefix_id and template_id, each after its length
_NUMBER = Struct(">i")
_NULL = _NUMBER.pack(-1)
_LENGTHS = [_NUMBER.pack(length) for length in range(2_048)]  # a suffix of 255 characters has at most 1,020
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


async def copy_records(conn: Connection, prefix_id: int, at: datetime, records: Iterable[CopiedRecord]) -> bool:
    """Insert new live records by COPY; False, and nothing written, if any key exists already."""
    try:
        async with conn.transaction():
            source = _yield_once(_encode_copy(prefix_id, at, records))
            await conn.copy_to_table("records", source=source, columns=_COPY_COLUMNS, format="binary")
    except UniqueViolationError:
        return False
    return True


async def _yield_once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _encode_copy(prefix_id: int, at: datetime, records: Iterable[CopiedRecord]) -> bytes:
    microseconds = (at - _POSTGRES_EPOCH) // timedelta(microseconds=1)
    starts: dict[int, bytes] = {}
    parts = [_COPY_HEAD]
    for key, suffix, template_id, packed in records:
        start = starts.get(template_id)
        if start is None:
            columns = len(_COPY_COLUMNS)
            start = _SAME.pack(columns, 8, microseconds, 8, microseconds, 4, prefix_id, 4, template_id)
            starts[template_id] = start
        folded = key.encode()
        written = _NULL if suffix == key else _with_length(suffix.encode())
        parts += (start, _LENGTHS[len(folded)], folded, written, _with_length(packed))
    parts.append(_COPY_END)
    return b"".join(parts)


def _with_length(data: bytes) -> bytes:
    length = len(data)
    return (_LENGTHS[length] if length < 2_048 else _NUMBER.pack(length)) + data


async def insert_new_records(conn: Connection, prefix_id: int, at: datetime, records: Sequence[NewRecord]) -> set[str]:
    """Insert those whose keys are free; returns the keys that were written."""
    if not records:
        return set()
    columns = list(zip(*(_row(prefix_id, at, new) for new in records), strict=True))
    rows = await conn.fetch(
        "INSERT INTO records (created, changed, prefix_id, template_id, state, from_range, suffix_key, suffix, packed,"
        " note, revision) SELECT * FROM unnest($1::timestamptz[], $2::timestamptz[], $3::int4[], $4::int4[],"
        " $5::int2[], $6::bool[], $7::text[], $8::text[], $9::bytea[], $10::text[], $11::int4[])"
        " ON CONFLICT DO NOTHING RETURNING suffix_key",
        *columns,
    )
    return {row["suffix_key"] for row in rows}


async def fetch_records(
    conn: Connection, prefix_id: int, suffix_keys: Sequence[str], *, for_update: bool = False
) -> dict[str, StoredRecord]:
    """The rows of these keys; members of ranges are not among them."""
    lock = " FOR UPDATE" if for_update else ""
    rows = await conn.fetch(
        "SELECT r.* FROM unnest($2::text[]) AS asked(suffix_key) CROSS JOIN LATERAL ("  # noqa: S608
        " SELECT suffix_key, coalesce(suffix, suffix_key) AS suffix, template_id, packed, state, revision, created,"
        " changed, coalesce(note, '') AS note FROM records"
        f" WHERE prefix_id = $1 AND suffix_key = asked.suffix_key{lock}) AS r",
        prefix_id,
        list(suffix_keys),
    )
    return {row["suffix_key"]: StoredRecord(**row) for row in rows}


async def fetch_shapes(conn: Connection, prefix_id: int) -> list[Shape]:
    rows = await conn.fetch("SELECT DISTINCT head_key, width, checked FROM ranges WHERE prefix_id = $1", prefix_id)
    return [Shape(row["head_key"], row["width"], row["checked"]) for row in rows]


async def fetch_ranges_of(conn: Connection, prefix_id: int, shape: Shape, numbers: Sequence[int]) -> dict[int, Record]:
    """Number → the range of this shape that holds it."""
    rows = await conn.fetch(
        "SELECT asked.number, r.* FROM unnest($5::int8[]) AS asked(number) CROSS JOIN LATERAL ("
        " SELECT head, template_id, packed, state, revision, created, changed, coalesce(note, '') AS note, first, last"
        " FROM ranges WHERE prefix_id = $1 AND head_key = $2 AND width = $3 AND checked = $4"
        " AND first <= asked.number ORDER BY first DESC LIMIT 1) AS r WHERE r.last >= asked.number",
        prefix_id,
        shape.head,
        shape.width,
        shape.checked,
        list(numbers),
    )
    return {row["number"]: row for row in rows}


async def lock_ranges(conn: Connection, prefix_id: int, shape: Shape, firsts: Sequence[int]) -> None:
    """Until the transaction ends, in order of first serial."""
    await conn.execute(
        "SELECT FROM ranges WHERE prefix_id = $1 AND head_key = $2 AND width = $3 AND checked = $4"
        " AND first = ANY($5::int8[]) ORDER BY first FOR UPDATE",
        prefix_id, shape.head, shape.width, shape.checked, list(firsts),
    )  # fmt: skip


_RANGE_COLUMNS = (
    "head_key, head, width, checked, first, last, template_id, packed, state, revision, created, changed,"
    " coalesce(note, '') AS note"
)


async def fetch_ranges(conn: Connection, prefix_id: int) -> list[Record]:
    return await conn.fetch(
        f"SELECT {_RANGE_COLUMNS} FROM ranges WHERE prefix_id = $1"  # noqa: S608
        " ORDER BY head_key, width, checked, first",
        prefix_id,
    )


RangeCursor = tuple[str, int, bool, int]  # head_key, width, checked, first


async def fetch_range_page(conn: Connection, prefix_id: int, after: RangeCursor | None, limit: int) -> list[Record]:
    """In order of head and first serial, after the one given."""
    head_key, width, checked, first = after or ("", -1, False, -1)
    return await conn.fetch(
        f"SELECT {_RANGE_COLUMNS} FROM ranges WHERE prefix_id = $1"  # noqa: S608
        " AND (head_key, width, checked, first) > ($2, $3, $4, $5)"
        " ORDER BY head_key, width, checked, first LIMIT $6",
        prefix_id,
        head_key,
        width,
        checked,
        first,
        limit,
    )


async def find_range(conn: Connection, prefix_id: int, shape: Shape, first: int) -> Record | None:
    """The range that begins with this serial; locked by who holds the prefix."""
    return await conn.fetchrow(
        f"SELECT {_RANGE_COLUMNS} FROM ranges WHERE prefix_id = $1 AND head_key = $2 AND width = $3"  # noqa: S608
        " AND checked = $4 AND first = $5",
        prefix_id,
        shape.head,
        shape.width,
        shape.checked,
        first,
    )


async def count_own_records(conn: Connection, prefix_id: int, shape: Shape, low: str, high: str) -> int:
    """Members between two keys of equal length that have records of their own."""
    counted: int = await conn.fetchval(
        "SELECT count(*) FROM records WHERE prefix_id = $1 AND suffix_key >= $2 AND suffix_key <= $3 AND from_range"
        " AND length(suffix_key) = length($2) AND starts_with(suffix_key, $4)"
        " AND substr(suffix_key, length($4) + 1, $5) ~ '^[0-9]+$'",
        prefix_id,
        low,
        high,
        shape.head,
        shape.width,
    )
    return counted


class RangeContent(NamedTuple):
    """What a range is to say from now on."""

    template_id: int
    packed: bytes
    state: int
    note: str | None


async def replace_range(
    conn: Connection, prefix_id: int, row: Record, new: RangeContent, ended_by: tuple[ChangeKind, int, Act]
) -> None:
    """Keep the present revision in the history, then write the new one. `ended_by`: kind, members meant, who."""
    action, members, act = ended_by
    key = (prefix_id, row["head_key"], row["width"], row["checked"], row["first"])
    await conn.execute(
        "INSERT INTO range_history (until, since, prefix_id, head_key, width, checked, first, last, revision,"
        " template_id, state, action, packed, note, actor, reason, members)"
        " SELECT $6, changed, prefix_id, head_key, width, checked, first, last, revision, template_id, state, $7,"
        " packed, note, $8, $9, $10 FROM ranges"
        " WHERE (prefix_id, head_key, width, checked, first) = ($1, $2, $3, $4, $5)",
        *key, act.at, int(action), act.actor, act.reason, members,
    )  # fmt: skip
    await conn.execute(
        "UPDATE ranges SET changed = $6, revision = revision + 1, template_id = $7, packed = $8, state = $9,"
        " note = $10 WHERE (prefix_id, head_key, width, checked, first) = ($1, $2, $3, $4, $5)",
        *key, act.at, new.template_id, new.packed, new.state, new.note,
    )  # fmt: skip


async def fetch_range_history(conn: Connection, prefix_id: int, shape: Shape, first: int) -> list[Record]:
    """Former revisions of the range that begins with this serial, at most 1,000, newest first."""
    return await conn.fetch(
        "SELECT revision, template_id, state, packed, coalesce(note, '') AS note, since, until, action, actor, reason,"
        " members FROM range_history WHERE (prefix_id, head_key, width, checked, first) = ($1, $2, $3, $4, $5)"
        " ORDER BY revision DESC LIMIT 1000",
        prefix_id, shape.head, shape.width, shape.checked, first,
    )  # fmt: skip


async def insert_range(conn: Connection, prefix_id: int, row: tuple[object, ...], at: datetime) -> None:
    """`row`: head_key, head, width, checked, first, last, template_id, packed."""
    await conn.execute(
        "INSERT INTO ranges (prefix_id, head_key, head, width, checked, first, last, template_id, packed, created,"
        " changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        prefix_id,
        *row,
        at,
    )


async def fetch_keys_between(conn: Connection, prefix_id: int, low: str, high: str, limit: int = 1_000) -> list[str]:
    """Keys of equal length from low to high, in order."""
    rows = await conn.fetch(
        "SELECT suffix_key FROM records WHERE prefix_id = $1 AND suffix_key >= $2 AND suffix_key <= $3"
        " AND length(suffix_key) = length($2) ORDER BY suffix_key LIMIT $4",
        prefix_id,
        low,
        high,
        limit,
    )
    return [row["suffix_key"] for row in rows]


async def replace_records(
    conn: Connection, prefix_id: int, kind: ChangeKind, records: Sequence[NewRecord], act: Act
) -> None:
    """Keep the present revision of each key in the history, then write the new one. The rows are locked."""
    keys = [new.suffix_key for new in records]
    await conn.execute(
        "INSERT INTO record_history (until, since, prefix_id, revision, template_id, state, action, suffix_key, packed,"
        " note, actor, reason)"
        " SELECT $3, r.changed, r.prefix_id, r.revision, r.template_id, r.state, $4, r.suffix_key, r.packed, r.note,"
        " $5, $6 FROM unnest($2::text[]) AS asked(suffix_key) CROSS JOIN LATERAL ("
        " SELECT * FROM records WHERE prefix_id = $1 AND suffix_key = asked.suffix_key) AS r",
        prefix_id, keys, act.at, int(kind), act.actor, act.reason,
    )  # fmt: skip
    await conn.execute(
        "UPDATE records AS r SET changed = $2, revision = r.revision + 1, template_id = n.template_id,"
        " state = n.state, packed = n.packed, note = n.note"
        " FROM unnest($3::text[], $4::int4[], $5::int2[], $6::bytea[], $7::text[])"
        " AS n(suffix_key, template_id, state, packed, note)"
        " WHERE r.prefix_id = $1 AND r.suffix_key = n.suffix_key",
        prefix_id, act.at, keys, [new.template_id for new in records], [new.state for new in records],
        [new.packed for new in records], [new.note for new in records],
    )  # fmt: skip


async def fetch_history(
    conn: Connection, prefix_id: int, suffix_key: str, before: int = 2**31 - 1, limit: int = 1_000
) -> list[Record]:
    """Former revisions below a number, newest first."""
    return await conn.fetch(
        "SELECT revision, template_id, state, packed, coalesce(note, '') AS note, since, until, action, actor, reason"
        " FROM record_history WHERE prefix_id = $1 AND suffix_key = $2 AND revision < $3"
        " ORDER BY revision DESC LIMIT $4",
        prefix_id,
        suffix_key,
        before,
        limit,
    )


async def find_revision_at(conn: Connection, prefix_id: int, suffix_key: str, at: datetime) -> Record | None:
    """The former revision that was valid at that instant."""
    return await conn.fetchrow(
        "SELECT revision, template_id, state, packed, coalesce(note, '') AS note, since, until FROM record_history"
        " WHERE prefix_id = $1 AND suffix_key = $2 AND since <= $3 AND until > $3 ORDER BY revision LIMIT 1",
        prefix_id,
        suffix_key,
        at,
    )


async def fetch_page(
    conn: Connection, prefix_id: int, starts_with: str, after_key: str, limit: int
) -> list[StoredRecord]:
    """Identifiers of a prefix in order of key, after a cursor; `starts_with` is folded."""
    upper = starts_with + "\U0010ffff"
    rows = await conn.fetch(
        "SELECT suffix_key, coalesce(suffix, suffix_key) AS suffix, template_id, packed, state, revision, created,"
        " changed, coalesce(note, '') AS note FROM records WHERE prefix_id = $1 AND suffix_key >= $2"
        " AND suffix_key < $3 AND suffix_key > $4 ORDER BY suffix_key LIMIT $5",
        prefix_id,
        starts_with,
        upper,
        after_key,
        limit,
    )
    return [StoredRecord(**row) for row in rows]
