"""SQL of the console's search: always one bounded stretch of the key, however rare what is looked for."""

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Connection

from registry.store.records import StoredRecord

# A page is given up after this many rows, with a cursor to go on from, so that it is quick at any size of the table.
SCANNED_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Search:
    """`starts_with` and `contains` are folded as keys are; `text` is looked for in the values as it stands."""

    starts_with: str = ""
    contains: str = ""
    text: str = ""
    state: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """`next_after` is the cursor of the following page; `is_cut`: it ends because enough was looked at."""

    rows: list[StoredRecord]
    next_after: str | None
    is_cut: bool = False


async def search_records(conn: Connection, prefix_id: int, wanted: Search, after: str, limit: int) -> Found:
    """Records of their own under a prefix, in order of key; templates' own records are left out."""
    bounds = (prefix_id, wanted.starts_with, wanted.starts_with + "\U0010ffff", after)
    rows = await conn.fetch(
        "SELECT * FROM (SELECT suffix_key, coalesce(suffix, suffix_key) AS suffix, template_id, packed, state,"
        " revision, created, changed, coalesce(note, '') AS note FROM records WHERE prefix_id = $1"
        " AND suffix_key >= $2 AND suffix_key < $3 AND suffix_key > $4 ORDER BY suffix_key LIMIT $5) AS scanned"
        " WHERE template_id <> 0 AND ($6::int2 IS NULL OR state = $6)"
        " AND ($7::timestamptz IS NULL OR created >= $7) AND ($8::timestamptz IS NULL OR created < $8)"
        " AND ($9 = '' OR position($9 IN suffix_key) > 0 OR position(convert_to($10, 'UTF8') IN packed) > 0)"
        " ORDER BY suffix_key LIMIT $11",
        *bounds, SCANNED_ROWS, wanted.state, wanted.since, wanted.until, wanted.contains, wanted.text, limit + 1,
    )  # fmt: skip
    found = [StoredRecord(**row) for row in rows]
    if len(found) > limit:
        return Found(found[:limit], found[limit - 1].suffix_key)
    last = await conn.fetchval(
        "SELECT suffix_key FROM records WHERE prefix_id = $1 AND suffix_key >= $2 AND suffix_key < $3"
        " AND suffix_key > $4 ORDER BY suffix_key OFFSET $5 LIMIT 1",
        *bounds, SCANNED_ROWS - 1,
    )  # fmt: skip
    return Found(found, last, last is not None)


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row of a file; `problems` are (code, column, details)."""

    row: int
    outcome: str
    suffix: str
    problems: list[tuple[str, str, dict[str, str]]]


async def fetch_outcomes(conn: Connection, job_id: UUID, chunk: int) -> list[RowOutcome] | None:
    """The outcomes of one chunk of a job; None behind the last."""
    packed = await conn.fetchval(
        "SELECT outcomes FROM job_chunks WHERE job_id = $1 AND chunk = $2", job_id, chunk
    )  # fmt: skip
    if packed is None:
        return None
    return [_read_outcome(line) for line in orjson.loads(zlib.decompress(packed))]


def _read_outcome(line: list[Any]) -> RowOutcome:
    row, outcome, suffix, *problems = line
    return RowOutcome(
        row, outcome, suffix, [(code, column, details) for code, column, details in (problems or [[]])[0]]
    )


async def count_waiting(conn: Connection) -> dict[str, int]:
    """What waits in the whole node, and how many firms are connected."""
    row = await conn.fetchrow(
        "SELECT (SELECT count(*) FROM enterprises WHERE state IN (1, 2, 7)) AS reviews,"
        " (SELECT count(*) FROM prefixes WHERE state IN (4, 5)) AS prefixes,"
        " (SELECT count(*) FROM enterprises WHERE connected_on IS NOT NULL) AS connected,"
        " (SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')) AS jobs"
    )
    return dict(row) if row else {}
