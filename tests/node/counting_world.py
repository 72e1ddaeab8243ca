"""Segments and change entries for the tests of counting."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from asyncpg import Connection

from node.counting import count_changes, count_segments
from schemas.changes import ChangeKind
from schemas.resolution_log import (
    ClientClass,
    LoggedAnswer,
    Outcome,
    SegmentHeader,
    Transport,
    encode_answer,
    encode_end,
    encode_header,
)

NOON = datetime(2024, 6, 4, 4, 0, tzinfo=UTC)  # 12:00 at UTC+8
DAY = (NOON + timedelta(hours=8)).date()
TABLES = (
    "registration_counts, resolution_counts, resolution_days, resolution_clients, counted_changes, counted_segments,"
    " log_gaps, changes, changes_pending, records, record_history, ranges, range_history, templates, prefix_owners,"
    " placements, units, enterprises, prefixes, node_facts, prefix_days, template_days, node_days, counted_templates,"
    " log_directories, day_closes, closed_rows, seal_ends, late_days"
)
ROLLUPS = (
    "SELECT * FROM prefix_days ORDER BY 1, 2",
    "SELECT * FROM template_days ORDER BY 1, 2, 3",
    "SELECT * FROM node_days ORDER BY 1",
    "SELECT * FROM counted_templates ORDER BY 1, 2",
)


def answer(
    at: datetime = NOON,
    prefix_id: int = 5,
    outcome: Outcome = Outcome.FOUND,
    client_class: ClientClass = ClientClass.PUBLIC,
    address: bytes = bytes((10, 0, 0, 7)),
) -> LoggedAnswer:
    time_us = int(at.timestamp() * 1_000_000)
    return LoggedAnswer(time_us, prefix_id, 3, Transport.HTTP, outcome, client_class, address, b"88.101.5/x")


def write_segment(directory: Path, answers: list[LoggedAnswer], *, name: str = "a", end: bool = True) -> Path:
    """A segment as a writer that has gone leaves it."""
    path = directory / f"{name}.1717473600000000.000001.segment"
    header = encode_header(SegmentHeader(name, 1_717_473_600_000_000, 1))
    path.write_bytes(header + b"".join(map(encode_answer, answers)) + (encode_end() if end else bytes(64)))
    return path


async def count_all(conn: Connection, directory: Path, now: datetime = NOON) -> None:
    while await count_changes(conn):
        pass
    while await count_segments(conn, directory, now):
        pass


async def append_entry(
    conn: Connection, kind: ChangeKind, members: int = 1, *, template_id: int = 3, old: int | None = None,
    at: datetime = NOON, prefix_id: int = 5,
) -> None:  # fmt: skip
    await conn.execute(
        "INSERT INTO changes_pending (kind, prefix_id, template_id, old_template_id, members, at, actor)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'test')",
        int(kind), prefix_id, template_id, old, members, at,
    )  # fmt: skip


async def count_answers(conn: Connection) -> int:
    found: int = await conn.fetchval("SELECT coalesce(sum(answers), 0)::int8 FROM resolution_counts")
    return found


async def fetch_all(conn: Connection) -> list[list[tuple[object, ...]]]:
    """Everything that counting writes, but the times of writing."""
    queries = (
        "SELECT * FROM registration_counts ORDER BY 1, 2, 3",
        "SELECT * FROM resolution_counts ORDER BY 1, 2, 3, 4, 5, 6, 7",
        "SELECT * FROM resolution_days ORDER BY 1, 2, 3",
        "SELECT * FROM resolution_clients ORDER BY 1, 2, 3, 4",
        "SELECT name, counted_bytes, records, first_at, last_at, state FROM counted_segments ORDER BY 1",
        "SELECT position FROM counted_changes",
        *ROLLUPS,
    )
    return [[tuple(row) for row in await conn.fetch(query)] for query in queries]
