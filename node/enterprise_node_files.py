"""What enterprises' nodes send as lines (domain.md §f.6): master data (T9) and their logs, in parts.

A part is judged line by line as it is unpacked, so that memory does not grow with it, and kept packed. A part of the
same number and a higher revision takes its place; totals are sums over parts and never added to our own figures.
"""

import asyncio
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from io import BytesIO
from ipaddress import ip_address
from typing import Any, NamedTuple

import orjson
from asyncpg import Connection

from node.enterprise_nodes import get_prefix_id, list_problems, open_day, pick, read_revision, refuse
from node.store import enterprise_node_files as store
from node.store.enterprise_node_files import LogPlace
from registry.principals import Principal
from schemas.days import get_day
from schemas.errors import Conflict, InvalidInput, TooLarge
from schemas.ranges import parse_range
from schemas.toplevel_envelope import encode_canonical
from schemas.toplevel_tables import TABLES, Problem

MAX_PACKED_BYTES = 4_194_304
MAX_UNPACKED_BYTES = 33_554_432
MAX_LINE_BYTES = 65_536
MAX_MASTER_ROWS, MAX_LOG_LINES = 10_000, 50_000
MAX_PART = 1_000  # of a day
MAX_IN_RANGE = 10**10  # identifiers of a row; more no factory marks in a day
MAX_KEPT_BYTES = 1_073_741_824  # of a prefix, packed
KINDS = ("register", "resolve")
PROBLEMS_SOUGHT = 20
_NAME = re.compile(r"(0|[1-9][0-9]{0,3})\.ndjson(\.gz)?", re.ASCII)
_RANGE = ("handleLast", "count", "checked")
_TEXTS = {"op": 40, "app": 255}


class Line(NamedTuple):
    """A line of a body, counted from 1, as an editor does."""

    number: int
    value: Any
    text: bytes = b""


def read_lines(body: bytes, most: int) -> Iterator[Line]:
    """The lines of a body, gzip or not, at most so many; raises InvalidInput and TooLarge."""
    is_packed = body.startswith(b"\x1f\x8b")
    left, file = MAX_UNPACKED_BYTES, gzip.GzipFile(fileobj=BytesIO(body)) if is_packed else BytesIO(body)
    for number in range(1, most + 2):
        try:
            text = file.readline(MAX_LINE_BYTES + 1)
        except (OSError, EOFError, zlib.error):
            raise InvalidInput("enterprise_node_packed", field="body") from None
        left -= len(text)
        if not text:
            return
        if number > most or left < 0 or len(text) > MAX_LINE_BYTES:
            break
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict) or b"\\u0000" in text:
            raise InvalidInput("enterprise_node_line", field=f"lines[{number}]")
        yield Line(number, value, text)
    raise TooLarge("enterprise_node_too_long", field="body", lines=most, bytes=MAX_UNPACKED_BYTES)


# Master data ----------------------------------------------------------------------------------------------------


@dataclass
class Master:
    """A part as it is kept: its rows, packed, and how many identifiers were added (1), deleted (2), changed (3)."""

    day: date
    part: int
    revision: int
    rows: int = 0
    identifiers: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 3: 0})
    content: bytes = b""
    packed: bytes = b""


def read_master(head: Mapping[str, Any], lines: Iterator[Line], now: datetime) -> Master:
    """The head {prefix, day, part, rev}, then rows of T9; raises InvalidInput that names lines and columns."""
    prefix, day = str(head["prefix"]), _read_day(head.get("day"), now)
    master, table, today = Master(day, _read_part(head.get("part", 1)), read_revision(head)), TABLES["T9"], get_day(now)
    found: list[tuple[str, Problem]] = []
    seen: set[tuple[str, int]] = set()
    hashed, kept = sha256(), BytesIO()
    with gzip.GzipFile(fileobj=kept, mode="wb", compresslevel=6, mtime=0) as packing:
        for number, row, _ in lines:
            problems = list_problems(table, row, prefix, day.isoformat())
            problems = problems or _judge_master(row, today, seen)
            found += ((f"lines[{number}].", problem) for problem in problems)
            if problems:
                if len(found) >= PROBLEMS_SOUGHT:
                    break
                continue
            master.rows += 1
            master.identifiers[row["op"]] += row.get("count") or 1
            text = encode_canonical(pick(table, row, *_RANGE)) + b"\n"
            hashed.update(text)
            packing.write(text)
    refuse(found)
    master.content, master.packed = hashed.digest(), kept.getvalue()
    return master


def _judge_master(row: Mapping[str, Any], today: date, seen: set[tuple[str, int]]) -> list[Problem]:
    """Each identifier once for each operation, none of a day to come, and ranges that count what they hold."""
    key = row["handle"], row["op"]
    if key in seen:
        return [Problem("E109", "handle")]
    seen.add(key)
    if date.fromisoformat(row["created"]) > today:
        return [Problem("E514", "created")]
    return [Problem("E509", "count")] if "count" in row and not _is_range(row) else []


def _is_range(row: Mapping[str, Any]) -> bool:
    if type(row.get("checked", False)) is not bool or row["count"] > MAX_IN_RANGE:
        return False
    first, last = (str(row[name]).partition("/")[2] for name in ("handle", "handleLast"))
    try:
        _, _, low, high = parse_range(first, last, row.get("checked", False))
    except InvalidInput:
        return False
    return bool(high - low + 1 == row["count"])


def _read_day(text: object, now: datetime) -> date:
    try:
        day = date.fromisoformat(str(text))
    except ValueError:
        raise InvalidInput("ent_e107", field="day") from None
    if day > get_day(now):
        raise InvalidInput("ent_e514", field="day")
    return day


def _read_part(part: object) -> int:
    if type(part) is not int or not 1 <= part <= MAX_PART:
        raise InvalidInput("ent_e108", field="part")
    return part


async def take_master(conn: Connection, principal: Principal, body: bytes, now: datetime) -> dict[str, Any]:
    """A part of a day's rows of T9; what of a prefix that is not hosted here goes up. Raises ServiceError."""
    lines = read_lines(body, MAX_MASTER_ROWS + 1)
    head = next(lines, Line(1, {})).value
    get_prefix_id(principal, head)
    master = await asyncio.to_thread(read_master, head, lines, now)
    prefix_id = await open_day(conn, principal, head, master.day, now)
    counted = master.identifiers
    row = (master.part, master.revision, master.rows, counted[1], counted[2], counted[3], master.content, master.packed)
    told = {"received": master.rows, "added": counted[1], "deleted": counted[2], "changed": counted[3]}
    if await store.store_master(conn, prefix_id, master.day, row, now):
        await _check_room(conn, prefix_id)
        return told
    known = await store.find_master(conn, prefix_id, master.day, master.part)
    _check_same(known, (master.revision, master.content), f"{master.day} T9 {master.part}")
    return told | {"repeated": True}


def _check_same(known: tuple[int, bytes] | None, sent: tuple[int, bytes], about: str) -> None:
    """What is there of the same revision says the same; raises Conflict. A later one may be there."""
    if known is not None and known[0] == sent[0] and known[1] != sent[1]:
        raise Conflict("enterprise_node_revision", field="rev", about=about, rev=sent[0])


async def _check_room(conn: Connection, prefix_id: int) -> None:
    if await store.sum_kept_bytes(conn, prefix_id) > MAX_KEPT_BYTES:
        raise TooLarge("enterprise_node_full", field="body", bytes=MAX_KEPT_BYTES)


# Logs -----------------------------------------------------------------------------------------------------------


@dataclass
class LogTally:
    """What the lines of a part come to; times in microseconds, of the lines that give one."""

    prefix: str = ""
    lines: int = 0
    ok: int = 0
    timed: int = 0
    total_us: int = 0
    longest_us: int = 0
    content: bytes = b""


def parse_place(day: str, kind: str, name: str, rev: str, now: datetime) -> LogPlace:
    """`/logs/{day}/{kind}/{part}.ndjson.gz?rev=N`; raises InvalidInput."""
    if kind not in KINDS:
        raise InvalidInput("field_not_a_choice", field="kind", choices=", ".join(KINDS))
    named = _NAME.fullmatch(name)
    if named is None or not (rev.isascii() and rev.isdigit() and len(rev) <= 10):
        raise InvalidInput("ent_e108", field="part" if named is None else "rev")
    return LogPlace(_read_day(day, now), kind, _read_part(int(named[1])), read_revision({"rev": int(rev)}))


def read_log(lines: Iterator[Line], prefixes: Mapping[str, int], day: date) -> LogTally:
    """Lines {ts, handle, op, ok, ms, ip, app} of one prefix and day; raises InvalidInput that names line and field."""
    tally, found = LogTally(), list[tuple[str, Problem]]()
    hashed = sha256()
    for number, line, text in lines:
        problem = _judge_line(line, tally, prefixes, day)
        if problem is not None:
            found.append((f"lines[{number}].", problem))
            if len(found) >= PROBLEMS_SOUGHT:
                break
            continue
        hashed.update(text)
        tally.lines += 1
        tally.ok += line["ok"]
        if line.get("ms") is not None:
            took = round(line["ms"] * 1_000)
            tally.timed += 1
            tally.total_us += took
            tally.longest_us = max(tally.longest_us, took)
    refuse(found)
    if not tally.lines:
        raise InvalidInput("enterprise_node_empty", field="body")
    tally.content = hashed.digest()
    return tally


def _judge_line(line: Mapping[str, Any], tally: LogTally, prefixes: Mapping[str, int], day: date) -> Problem | None:
    """The first line says whose log it is: one of the caller's prefixes, and that of all others."""
    prefix, slash, suffix = str(line.get("handle")).partition("/")
    tally.prefix = tally.prefix or (prefix if prefix in prefixes else "")
    if not (slash and suffix) or len(suffix) > 2_048:
        return Problem("E102", "handle")
    if prefix != tally.prefix:
        return Problem("E302", "handle")
    at = _read_day_of(line.get("ts"))
    if at != day:
        return Problem("E102" if at is None else "E516", "ts")
    if type(line.get("ok")) is not bool:
        return Problem("E102", "ok")
    ms = line.get("ms")
    if ms is not None and (type(ms) not in (int, float) or not 0 <= ms < 10**9):
        return Problem("E102", "ms")
    return _judge_rest(line)


def _judge_rest(line: Mapping[str, Any]) -> Problem | None:
    """Client address, operation and application may be left out."""
    try:
        if line.get("ip") is not None:
            ip_address(str(line["ip"]))
    except ValueError:
        return Problem("E102", "ip")
    long = (name for name, most in _TEXTS.items() if len(str(line.get(name, ""))) > most)
    return next((Problem("E103", name) for name in long), None)


def _read_day_of(given: object) -> date | None:
    """The day at UTC+8 of an instant: ISO 8601 with its zone, or milliseconds since 1970."""
    try:
        if type(given) is int:
            return get_day(datetime.fromtimestamp(given / 1_000, UTC))
        at = datetime.fromisoformat(given) if isinstance(given, str) else None
        return None if at is None or at.tzinfo is None else get_day(at)
    except (ValueError, OverflowError, OSError):
        return None


async def take_log(
    conn: Connection, principal: Principal, place: LogPlace, body: bytes, now: datetime
) -> dict[str, Any]:
    """A part of a day's log; raises ServiceError."""
    tally = await asyncio.to_thread(read_log, read_lines(body, MAX_LOG_LINES), principal.prefixes, place.day)
    prefix_id = await open_day(conn, principal, {"prefix": tally.prefix}, place.day, now)
    packed = body if body.startswith(b"\x1f\x8b") else gzip.compress(body, 6, mtime=0)
    counts = tally.lines, tally.ok, tally.timed, tally.total_us, tally.longest_us
    told = {"prefix": tally.prefix, "received": tally.lines, "ok": tally.ok}
    if await store.store_log(conn, prefix_id, place, (*counts, tally.content, packed), now):
        await _check_room(conn, prefix_id)
        return told
    about = f"{place.day} {place.kind} {place.part}"
    _check_same(await store.find_log(conn, prefix_id, place), (place.revision, tally.content), about)
    return told | {"repeated": True}
