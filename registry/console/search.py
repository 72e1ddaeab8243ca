"""SQL of the console's search: bounded stretches of one index, one after the other, however rare what is looked for."""

import re
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Connection, Record

from registry.store.records import StoredRecord
from schemas.errors import InvalidInput

# One statement looks at so many rows. By key they may lie anywhere on a disk: few at first, and then no more than the
# time that is left allows; frozen and retired ones always do. After this time a page begins no statement, and ends with
# a cursor to go on from. Who has been told how far the search is and goes on waits for longer: pages in between cost
# more than looking.
FIRST_ROWS = 200
SCANNED_ROWS = 20_000
LOOKING_SECONDS = 0.25
GOING_ON_SECONDS = 2.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Search:
    """`starts_with` and `contains` are folded as keys are; `text` is looked for in the values as it stands."""

    starts_with: str = ""
    contains: str = ""
    text: str = ""
    state: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    goes_on: bool = False  # a page of a search through everything


@dataclass(frozen=True, slots=True)
class Found:
    """`next_after` is the cursor of the following page; a page that ends because enough was looked at says how far."""

    rows: list[StoredRecord]
    next_after: str | None
    cut_at: tuple[datetime, str] | None = None  # created, key


async def search_records(conn: Connection, prefix_id: int, wanted: Search, after: str, limit: int) -> Found:
    """Records of their own under a prefix, without templates' own; first the one whose suffix is the text itself.

    In order of key, or of time where days are asked for; `after` is a cursor of the same search. Raises InvalidInput.
    """
    is_by_time = bool(wanted.since or wanted.until) and not wanted.starts_with and not wanted.state
    cursor, until = _parse_cursor(after, is_by_time), time.monotonic()
    until += GOING_ON_SECONDS if wanted.goes_on else LOOKING_SECONDS
    async with conn.transaction(readonly=not conn.is_in_transaction()):
        # one worker: other processes of this machine resolve; planned for these very bounds
        await conn.execute("SET LOCAL max_parallel_workers_per_gather=0; SET LOCAL plan_cache_mode=force_custom_plan")
        exact = [] if after or not wanted.contains else await _look_at_key(conn, prefix_id, wanted)
        found = list(_take(exact))
        until = 0.0 if found else until  # one stretch is enough for whoever gave the whole suffix
        most = FIRST_ROWS if wanted.state else SCANNED_ROWS
        scanned = SCANNED_ROWS if is_by_time else min(FIRST_ROWS, most)
        while True:
            began = time.monotonic()
            # the exact one and the last of the stretch may be left out
            stretch = Stretch(prefix_id, scanned, limit - len(found) + 2)
            if is_by_time:
                looked = await _look_by_time(conn, stretch, wanted, cursor)
            else:
                looked = await _look_by_key(conn, stretch, wanted, cursor[1])
            found += [row for row in _take(looked) if not wanted.contains or row.suffix_key != wanted.contains]
            if len(found) > limit:
                last = found[limit - 1]
                return Found(found[:limit], _format_cursor(last.created, last.suffix_key, is_by_time))
            if not looked or looked[-1]["nth"] < scanned:
                return Found(found, None)
            cursor, now = (looked[-1]["created"], looked[-1]["suffix_key"]), time.monotonic()
            if now > until:
                return Found(found, _format_cursor(*cursor, is_by_time), cursor)
            left = max(FIRST_ROWS, int(scanned * (until - now) / (now - began)))
            scanned = min(most, 4 * scanned, left)


def _take(rows: Iterable[Record]) -> Iterable[StoredRecord]:
    names = StoredRecord.__slots__
    return (StoredRecord(**{name: row[name] for name in names if name in row}) for row in rows if row["fits"])


def _parse_cursor(after: str, is_by_time: bool) -> tuple[datetime, str]:
    """By time it is the microseconds since 1970 and the key."""
    if not is_by_time or not after:
        return _EPOCH, after
    at, _, key = after.partition(":")
    try:
        return _EPOCH + timedelta(microseconds=int(at)), key
    except (ValueError, OverflowError):
        raise InvalidInput("cursor_unknown", field="after") from None


def _format_cursor(created: datetime, key: str, is_by_time: bool) -> str:
    return f"{(created - _EPOCH) // timedelta(microseconds=1)}:{key}" if is_by_time else key


@dataclass(frozen=True, slots=True)
class Stretch:
    """So many rows of an index from where a search is, of which those that fit are taken up to `limit`."""

    prefix_id: int
    rows: int
    limit: int


async def _look_by_key(conn: Connection, stretch: Stretch, wanted: Search, after: str) -> list[Record]:
    few = " AND state = $2 AND state <> 0" if wanted.state else ""
    bounds = wanted.starts_with, wanted.starts_with + _LAST, after
    return await _look(
        conn, f"suffix_key >= $9 AND suffix_key < $10 AND suffix_key > $11{few}", "suffix_key", stretch, wanted, *bounds
    )  # fmt: skip


async def _look_at_key(conn: Connection, prefix_id: int, wanted: Search) -> list[Record]:
    if not wanted.contains.startswith(wanted.starts_with):
        return []
    return await _look(conn, "suffix_key = $9", "suffix_key", Stretch(prefix_id, 1, 1), wanted, wanted.contains)


async def _look_by_time(
    conn: Connection, stretch: Stretch, wanted: Search, after: tuple[datetime, str]
) -> list[Record]:
    bounds = "($3::timestamptz IS NULL OR created >= $3) AND ($4::timestamptz IS NULL OR created < $4)"
    return await _look(
        conn, f"{bounds} AND (created, suffix_key) > ($9, $10)", "created, suffix_key", stretch, wanted, *after
    )


async def _look(
    conn: Connection, bounds: str, order: str, stretch: Stretch, wanted: Search, *more: object
) -> list[Record]:
    """The first rows that fit of one stretch, and its last row whether it `fits` or not; `nth` counts from 1."""
    pattern = re.sub(rb"[\\%_]", rb"\\\g<0>", wanted.text.encode())
    rows: list[Record] = await conn.fetch(
        "SELECT * FROM (SELECT *, template_id <> 0 AND ($2::int2 IS NULL OR state = $2)"  # noqa: S608
        " AND ($3::timestamptz IS NULL OR created >= $3) AND ($4::timestamptz IS NULL OR created < $4)"
        " AND ($5 = '' OR position($5 IN suffix_key) > 0 OR packed LIKE $6::bytea) AS fits"
        " FROM (SELECT suffix_key, coalesce(suffix, suffix_key) AS suffix, template_id, packed, state, revision,"
        f" created, changed, coalesce(note, '') AS note, row_number() OVER (ORDER BY {order}) AS nth"
        f" FROM records WHERE prefix_id = $1 AND {bounds} ORDER BY {order} LIMIT $8) AS scanned) AS judged"
        f" WHERE fits OR nth = $8 ORDER BY {order} LIMIT $7",
        stretch.prefix_id, wanted.state, wanted.since, wanted.until, wanted.contains, b"%" + pattern + b"%",
        stretch.limit, stretch.rows, *more,
    )  # fmt: skip
    return rows


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
        " (SELECT count(*) FROM enterprises e WHERE e.certificate_type = 1 AND e.state IN (3, 7) AND EXISTS (SELECT"
        "  FROM prefix_owners o JOIN prefixes p USING (prefix_id) WHERE o.enterprise_id = e.enterprise_id"
        "  AND o.to_day IS NULL AND p.state = 1)) AS connected,"
        " (SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')) AS jobs"
    )
    return dict(row) if row else {}
