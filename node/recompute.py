"""Computes the figures of a day again, from the resolution log and the records' history, and compares.

The counters are read only to be compared. What the agent has not counted yet is no difference: the log is read as
far as the agent says it counted, and the change log's open entries are taken out.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from asyncpg import Connection, Record

from node.segment_files import get_compressed_path, identify_directory, list_segments, read_whole
from node.store import counting, registrations
from node.store import statistics as store
from node.store.counting import LogGap, Progress
from node.store.registrations import Entry, Registrations
from node.store.rollups import fetch_rollups
from node.tally import OTHERS, AnswerKey, ClientKey, Tally
from schemas.days import get_start
from schemas.resolution_log import HEADER_BYTES, Damage
from schemas.texts import format_message, format_remedy

GAP_TEXTS = {
    "no_room": "log_gap_no_room",
    "damaged": "log_gap_damaged",
    "lost": "log_gap_lost",
    "purged_for_room": "log_gap_purged_for_room",
}
ENTRIES = 100_000  # more than a running agent ever leaves uncounted
REGISTRATION_MEASURES = ("registered", "range_minted", "retired", "restored", "moved")


@dataclass(slots=True)
class LogRead:
    """What the log says of one day, and which segments cannot say it."""

    tally: Tally = field(default_factory=Tally)
    segments: list[dict[str, Any]] = field(default_factory=list)


async def recompute(conn: Connection, directory: Path, day: date) -> dict[str, Any]:
    """Compare the counters of a day with log and history; ready for JSON:

    - day; complete: whether all the log of the day could be read; records: how many answers it has for the day;
    - segments: those with a problem, each with segment, problem (damaged, missing, purged, elsewhere), offset, reason;
    - uncounted_segments: names of those the agent has not met yet;
    - gaps: recorded ones that touch the day, see `describe_gap`;
    - differences: each with table, its key (prefix, template_id, hour, …, measure), counted and recomputed.
    """
    since, until = get_start(day), get_start(day + timedelta(days=1))
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        names = await store.fetch_prefix_names(conn)
        counted, registered = await _recompute_registrations(conn, day, (since, until))
        rollups = await fetch_rollups(conn, day)
        segments = await counting.fetch_overlapping(conn, since, until)
        stored = await _fetch_stored(conn, day)
        gaps = await counting.fetch_gaps(conn, since, until)
        identity = identify_directory(directory)
        paths = list_segments(directory)
        known = await counting.fetch_progress(conn, list(paths))
    read = await asyncio.to_thread(_read_day, directory, identity, segments, day)
    answers, days, clients = stored
    differences = _compare("registration_counts", _by_measure(counted), _by_measure(registered))
    differences += _compare("resolution_counts", answers, read.tally.answers)
    differences += _compare("resolution_days", days, _expect_days(read.tally.answers))
    differences += _compare("resolution_clients", clients, _expect_clients(read.tally.clients, clients))
    differences += _compare_rollups(rollups, registered, counting.sum_days(read.tally.answers), day)
    return {
        "day": day.isoformat(),
        "complete": not read.segments and not gaps,
        "records": read.tally.records,
        "segments": read.segments,
        "uncounted_segments": [name for name in paths if name not in known],
        "gaps": [describe_gap(gap) for gap in gaps],
        "differences": [{"prefix": names.get(d["prefix_id"])} | d for d in differences],
    }


def describe_gap(gap: LogGap, language: str = "en") -> dict[str, Any]:
    """A recorded gap for people and programs: segment, reason, from_at, to_at, missing, details, text, remedy."""
    shown = {
        "segment": gap.segment,
        "from_at": gap.from_at.isoformat() if gap.from_at else None,
        "to_at": gap.to_at.isoformat() if gap.to_at else None,
        "missing": gap.missing,
        "details": gap.details,
    }
    details = {name: "?" if value is None else value for name, value in shown.items()}
    code = GAP_TEXTS[gap.reason]
    return shown | {
        "reason": gap.reason,
        "text": format_message(code, language, **details),
        "remedy": format_remedy(code, language, **details),
    }


# Registrations --------------------------------------------------------------------------------------------------


async def _recompute_registrations(
    conn: Connection, day: date, period: tuple[datetime, datetime]
) -> tuple[Registrations, Registrations]:
    """The counters of the day, and what they should be."""
    counted = await registrations.fetch_registrations(conn, day)
    found = await registrations.recompute_registrations(conn, *period)
    to_come = registrations.sum_entries(await _fetch_uncounted(conn))
    return counted, registrations.subtract(found, {key: sums for key, sums in to_come.items() if key[1] == day})


async def _fetch_uncounted(conn: Connection) -> list[Entry]:
    """Entries of the change log that the counters do not hold yet."""
    counted, end = await registrations.find_counted(conn), await registrations.fetch_log_end(conn)
    after = counted.position if counted is not None and counted.log_id == end.log_id else 0
    numbered = await registrations.fetch_entries(conn, after, ENTRIES)
    return [entry for _, entry in numbered] + await registrations.fetch_pending(conn)


def _by_measure(sums: Registrations) -> dict[tuple[Any, ...], int]:
    return {
        (*key, measure): count
        for key, counts in sums.items()
        for measure, count in zip(REGISTRATION_MEASURES, counts, strict=True)
        if count
    }


# Rollups --------------------------------------------------------------------------------------------------------


def _compare_rollups(
    rollups: Mapping[str, Iterable[Record]],
    registered: Registrations,
    resolved: Mapping[tuple[int, date, int], tuple[int, int, int]],
    day: date,
) -> list[dict[str, Any]]:
    """What each rollup says the day added, against log and history."""
    expected: dict[tuple[int, int, str], int] = {}

    def expect(key: tuple[int, date, int], **counts: int) -> None:
        for measure, count in counts.items():
            expected[key[0], key[2], measure] = expected.get((key[0], key[2], measure), 0) + count

    for key, (rows, minted, retired, restored, moved) in registered.items():
        expect(key, registered=rows + minted, range_minted=minted, gone=retired - restored, moved=moved)
    for key, (resolutions, succeeded, uncounted) in resolved.items():
        expect(key, resolutions=resolutions, resolutions_ok=succeeded, uncounted=uncounted)
    differences = []
    for name, rows_of in rollups.items():
        wanted: dict[tuple[Any, ...], int] = {}
        for (prefix_id, template_id, measure), count in expected.items():
            if (place := ROLLUP_KEYS[name](prefix_id, template_id, measure)) is not None:
                wanted[place[0], day, place[1], measure] = wanted.get((place[0], day, place[1], measure), 0) + count
        stored = {
            (row["prefix_id"], day, row["template_id"], measure): row[measure]
            for row in rows_of
            for measure in list(row.keys())[2:]
        }
        differences += _compare(name, stored, wanted)
    return differences


# Rollup → under which prefix and template it holds a measure; None: it does not. -1 is the whole node.
ROLLUP_KEYS: dict[str, Callable[[int, int, str], tuple[int, int] | None]] = {
    "prefix_days": lambda prefix_id, template_id, measure: None if measure == "moved" else (prefix_id, 0),
    "prefix_sums": lambda prefix_id, template_id, measure: None if measure == "moved" else (prefix_id, 0),
    "template_days": lambda prefix_id, template_id, measure: (prefix_id, template_id),
    "node_days": lambda prefix_id, template_id, measure: None if measure == "moved" or not prefix_id else (-1, 0),
}


# Resolutions ----------------------------------------------------------------------------------------------------

Sums = Mapping[tuple[Any, ...], int]
KEYS = {
    "registration_counts": ("prefix_id", "day", "template_id", "measure"),
    "resolution_counts": (
        "prefix_id", "day", "hour", "template_id", "transport", "outcome", "client_class",
    ),
    "resolution_days": ("prefix_id", "day", "template_id", "measure"),
    "resolution_clients": ("prefix_id", "day", "client_class", "address"),
    **dict.fromkeys(("prefix_days", "prefix_sums", "template_days", "node_days"),
                    ("prefix_id", "day", "template_id", "measure")),
}  # fmt: skip
DAY_MEASURES = ("resolutions", "resolutions_ok", "uncounted")


async def _fetch_stored(conn: Connection, day: date) -> tuple[Sums, Sums, dict[ClientKey, int]]:
    """The counters of the day: by hour, by day, by client."""
    answers = {tuple(row)[:-1]: row["answers"] for row in await store.fetch_answers(conn, day)}
    days = {
        (row["prefix_id"], row["day"], row["template_id"], measure): row[measure]
        for row in await store.fetch_days(conn, day)
        for measure in DAY_MEASURES
    }
    clients = {
        (row["prefix_id"], row["day"], row["client_class"], row["address"]): row["answers"]
        for row in await store.fetch_clients(conn, day)
    }
    return answers, days, clients


def _expect_days(answers: Mapping[AnswerKey, int]) -> Sums:
    return {
        (*key, measure): count
        for key, sums in counting.sum_days(answers).items()
        for measure, count in zip(DAY_MEASURES, sums, strict=True)
    }


def _expect_clients(found: Mapping[ClientKey, int], stored: Mapping[ClientKey, int]) -> dict[ClientKey, int]:
    """An address that is named has all its answers by name, whichever were named; all others stand together."""
    expected: dict[ClientKey, int] = {}
    for key, count in found.items():
        shown = key if key in stored else (*key[:3], OTHERS)
        expected[shown] = expected.get(shown, 0) + count
    return expected


def _compare(table: str, counted: Sums, recomputed: Sums) -> list[dict[str, Any]]:
    differences = []
    for key in sorted(counted.keys() | recomputed.keys()):
        one, other = counted.get(key, 0), recomputed.get(key, 0)
        if one != other:
            named = dict(zip(KEYS[table], key, strict=True)) | {"day": key[1].isoformat()}
            differences.append({"table": table, **named, "counted": one, "recomputed": other})
    return differences


def _read_day(directory: Path, identity: UUID, segments: Iterable[Progress], day: date) -> LogRead:
    read = LogRead()
    for segment in segments:
        if segment.directory != identity:
            read.segments.append(_problem(segment, "elsewhere", None, f"log directory {segment.directory}"))
        elif segment.state == "purged":
            read.segments.append(_problem(segment, "purged", None, f"{segment.records} answers, all counted"))
        else:
            _read_segment(read, directory, segment, day)
    return read


def _read_segment(read: LogRead, directory: Path, segment: Progress, day: date) -> None:
    whole, packed = directory / segment.name, get_compressed_path(directory, segment.name)
    path = whole if segment.state != "compressed" and whole.exists() else packed
    stop, damage, checksum = HEADER_BYTES, None, 0
    try:
        for portion in read_whole(path, segment.counted_bytes if segment.state == "open" else None):
            read.tally.add(_of_day(portion.tally, day))
            stop, damage, checksum = portion.stop, portion.damage, portion.checksum
    except FileNotFoundError:
        read.segments.append(_problem(segment, "missing", None, f"{segment.records} answers were counted"))
        return
    if damage is None and stop < segment.counted_bytes:
        damage = Damage(stop, f"ends here, but was counted up to {segment.counted_bytes}")
    if damage is not None:
        read.segments.append(_problem(segment, "damaged", damage.offset, damage.reason) | {"segment": path.name})
    elif segment.checksum is not None and checksum != segment.checksum:
        reason = "its bytes are not those that were counted (CRC-32)"
        read.segments.append(_problem(segment, "damaged", None, reason) | {"segment": path.name})


def _of_day(tally: Tally, day: date) -> Tally:
    answers = {key: count for key, count in tally.answers.items() if key[1] == day}
    clients = {key: count for key, count in tally.clients.items() if key[1] == day}
    return Tally(answers, clients, records=sum(answers.values()))


def _problem(segment: Progress, problem: str, offset: int | None, reason: str) -> dict[str, Any]:
    return {"segment": segment.name, "problem": problem, "offset": offset, "reason": reason}
