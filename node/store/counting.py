"""Counters, and how far the agent has counted; the caller owns the transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from asyncpg import Connection

from node.store.rollups import add_rollups
from node.tally import OTHERS, AnswerKey, ClientKey
from registry.store.late_days import lock_rollups, mark_late_days
from schemas.resolution_log import OK_OUTCOMES, UNCOUNTED_CLASSES, ClientClass

NAMED_ADDRESSES = 1_000
SEEN_FACT = "agent_seen"  # node_facts: when the agent last finished a pass, ISO 8601
AGENT_LOCK = 7241002  # number_changes() takes 7241001


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a segment is counted; `first_at` and `last_at` are of its counted records.

    `checksum` is the CRC-32 of the counted bytes behind the header; None if it is not known.
    """

    name: str
    directory: UUID
    counted_bytes: int
    records: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    state: str = "open"
    changed: datetime | None = None
    checksum: int | None = 0


async def lock_work(conn: Connection, work: str) -> None:
    """Wait until no other session does this; held until unlocked or disconnected."""
    await conn.execute("SELECT pg_advisory_lock($1, hashtext($2))", AGENT_LOCK, work)


async def unlock_work(conn: Connection, work: str) -> None:
    await conn.execute("SELECT pg_advisory_unlock($1, hashtext($2))", AGENT_LOCK, work)


# Resolutions ----------------------------------------------------------------------------------------------------


async def add_answers(conn: Connection, answers: Mapping[AnswerKey, int]) -> None:
    """Add to the hourly counters, to the daily ones and to the rollups."""
    await lock_rollups(conn)
    days = sum_days(answers)
    await conn.execute(
        "INSERT INTO resolution_counts (prefix_id, day, hour, template_id, transport, outcome, client_class, answers)"
        " SELECT * FROM unnest($1::int4[], $2::date[], $3::int2[], $4::int4[], $5::int2[], $6::int2[], $7::int2[],"
        " $8::int8[]) ON CONFLICT (prefix_id, day, hour, template_id, transport, outcome, client_class)"
        " DO UPDATE SET answers = resolution_counts.answers + excluded.answers",
        *_columns(((*key, count) for key, count in sorted(answers.items())), 8),
    )
    await conn.execute(
        "INSERT INTO resolution_days (prefix_id, day, template_id, resolutions, resolutions_ok, uncounted)"
        " SELECT * FROM unnest($1::int4[], $2::date[], $3::int4[], $4::int8[], $5::int8[], $6::int8[])"
        " ON CONFLICT (prefix_id, day, template_id)"
        " DO UPDATE SET resolutions = resolution_days.resolutions + excluded.resolutions,"
        " resolutions_ok = resolution_days.resolutions_ok + excluded.resolutions_ok,"
        " uncounted = resolution_days.uncounted + excluded.uncounted",
        *_columns(((*key, *sums) for key, sums in sorted(days.items())), 6),
    )
    await add_rollups(conn, {key: (0, 0, 0, 0, *sums) for key, sums in days.items()})
    await mark_late_days(conn, "resolutions", {key[1] for key in days})


def sum_days(answers: Mapping[AnswerKey, int]) -> dict[tuple[int, date, int], tuple[int, int, int]]:
    """(prefix_id, day, template_id) → resolutions, resolutions_ok, uncounted."""
    sums: dict[tuple[int, date, int], tuple[int, int, int]] = {}
    for (prefix_id, day, _, template_id, _, outcome, client_class), count in answers.items():
        if client_class == ClientClass.SANDBOX:  # stands in the hourly counters, by its class, and nowhere else
            continue
        resolutions, succeeded, uncounted = sums.get((prefix_id, day, template_id), (0, 0, 0))
        if client_class in UNCOUNTED_CLASSES:
            uncounted += count
        else:
            resolutions += count
            succeeded += count if outcome in OK_OUTCOMES else 0
        sums[prefix_id, day, template_id] = (resolutions, succeeded, uncounted)
    return sums


async def add_clients(conn: Connection, clients: Mapping[ClientKey, int]) -> None:
    """Add by address: those that have a row, then new ones while there is room, the rest to OTHERS."""
    rows = [(*key, count) for key, count in sorted(clients.items()) if key[3] != OTHERS]
    known = await conn.fetch(
        "UPDATE resolution_clients c SET answers = c.answers + n.answers"
        " FROM unnest($1::int4[], $2::date[], $3::int2[], $4::text[]::inet[], $5::int8[])"
        " AS n(prefix_id, day, client_class, address, answers)"
        " WHERE (c.prefix_id, c.day, c.client_class, c.address) = (n.prefix_id, n.day, n.client_class, n.address)"
        " RETURNING c.prefix_id, c.day, c.client_class, host(c.address) AS address",
        *_columns(rows, 5),
    )
    have = {(r["prefix_id"], r["day"], r["client_class"], r["address"]) for r in known}
    unknown = {key: count for key, count in clients.items() if key not in have}
    room = await _find_room(conn, {key[:3] for key in unknown})
    admitted: dict[ClientKey, int] = {}
    for (prefix_id, day, client_class, address), count in unknown.items():
        group = (prefix_id, day, client_class)
        if address != OTHERS and room[group] > 0:
            room[group] -= 1
        else:
            address = OTHERS
        admitted[*group, address] = admitted.get((*group, address), 0) + count
    await conn.execute(
        "INSERT INTO resolution_clients (prefix_id, day, client_class, address, answers)"
        " SELECT * FROM unnest($1::int4[], $2::date[], $3::int2[], $4::text[]::inet[], $5::int8[])"
        " ON CONFLICT (prefix_id, day, client_class, address)"
        " DO UPDATE SET answers = resolution_clients.answers + excluded.answers",
        *_columns(((*key, count) for key, count in sorted(admitted.items())), 5),
    )


async def _find_room(conn: Connection, groups: set[tuple[int, date, int]]) -> dict[tuple[int, date, int], int]:
    """How many addresses may still be named for each prefix, day and class."""
    rows = await conn.fetch(
        "SELECT g.prefix_id, g.day, g.client_class, (SELECT count(*) FROM resolution_clients c"
        " WHERE c.prefix_id = g.prefix_id AND c.day = g.day AND c.client_class = g.client_class"
        " AND c.address <> '::') AS named"
        " FROM unnest($1::int4[], $2::date[], $3::int2[]) AS g(prefix_id, day, client_class)",
        *_columns(groups, 3),
    )
    return {(r["prefix_id"], r["day"], r["client_class"]): NAMED_ADDRESSES - r["named"] for r in rows}


def _columns(rows: Iterable[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as arrays for unnest; `width` many, also if there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


_SELECT_PROGRESS = (
    "SELECT name, directory, counted_bytes, records, first_at, last_at, state, changed, checksum FROM counted_segments"
)


# Segments -------------------------------------------------------------------------------------------------------


async def fetch_progress(conn: Connection, names: Sequence[str]) -> dict[str, Progress]:
    """How far each of these is counted; those that are new are missing."""
    rows = await conn.fetch(f"{_SELECT_PROGRESS} WHERE name = ANY($1)", list(names))
    return {row["name"]: Progress(*row) for row in rows}


async def fetch_kept(conn: Connection, directory: UUID) -> list[Progress]:
    """Segments of a directory whose file should be there, oldest first."""
    rows = await conn.fetch(
        f"{_SELECT_PROGRESS} WHERE directory = $1 AND state NOT IN ('purged', 'lost')"
        " ORDER BY coalesce(last_at, changed), name",
        directory,
    )
    return [Progress(*row) for row in rows]


async def fetch_overlapping(conn: Connection, since: datetime, until: datetime) -> list[Progress]:
    """Segments of all machines that may hold something of the period: open ones may, and those of unknown time."""
    rows = await conn.fetch(
        f"{_SELECT_PROGRESS} WHERE state = 'open' OR coalesce(first_at < $2 AND last_at >= $1, true) ORDER BY name",
        since,
        until,
    )
    return [Progress(*row) for row in rows]


async def save_progress(conn: Connection, segments: Sequence[Progress], at: datetime) -> None:
    """Say how far each is counted; in the transaction that adds to the counters."""
    await conn.executemany(
        "INSERT INTO counted_segments (name, directory, counted_bytes, records, first_at, last_at, state, changed,"
        " checksum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO UPDATE SET counted_bytes = $3,"
        " records = $4, first_at = $5, last_at = $6, state = $7, changed = $8, checksum = $9",
        [
            (s.name, s.directory, s.counted_bytes, s.records, s.first_at, s.last_at, s.state, at, s.checksum)
            for s in segments
        ],
    )


async def forget_segment(conn: Connection, name: str) -> None:
    """For a segment that never held anything."""
    await conn.execute("DELETE FROM counted_segments WHERE name = $1", name)


@dataclass(frozen=True, slots=True)
class LogGap:
    """Answers that the log is known to lack; None where nobody can know. reason: see the table."""

    segment: str
    reason: str
    from_at: datetime | None
    to_at: datetime | None
    missing: int | None
    details: str = ""


async def note_gap(conn: Connection, gap: LogGap) -> None:
    """Record that answers are missing; the same gap again replaces what was said of it."""
    await conn.execute(
        "INSERT INTO log_gaps AS g (segment, reason, from_at, to_at, missing, details) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (segment, reason) DO UPDATE SET from_at = $3, to_at = $4, missing = $5, details = $6"
        " WHERE (g.from_at, g.to_at, g.missing, g.details) IS DISTINCT FROM ($3, $4, $5, $6)",
        gap.segment, gap.reason, gap.from_at, gap.to_at, gap.missing, gap.details,
    )  # fmt: skip


async def fetch_gaps(conn: Connection, since: datetime, until: datetime) -> list[LogGap]:
    """Gaps that touch the period; those of unknown time touch every one."""
    rows = await conn.fetch(
        "SELECT segment, reason, from_at, to_at, missing, details FROM log_gaps"
        " WHERE coalesce(from_at < $2, true) AND coalesce(to_at >= $1, true) ORDER BY from_at, segment, reason",
        since,
        until,
    )
    return [LogGap(*row) for row in rows]


async def set_fact(conn: Connection, name: str, value: str) -> None:
    await conn.execute(
        "INSERT INTO node_facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2", name, value
    )
