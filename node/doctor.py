"""`idnode doctor`: what is wrong with the node, and what to do about it. Looks and changes nothing."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from asyncpg import Connection

from node.alarms import PAGE, list_open
from node.listening import find_holder, list_places
from node.migrations import check_schema, connect, describe, list_applied
from node.pdf_font import find_font
from node.plausible_time import find_stored_doubt
from node.postgres import get_dsn
from node.readiness import ask_all
from node.registry_link import find_asking, make_asking_context
from node.secret_key import load_key_ring
from node.segment_files import (
    IDENTITY,
    get_compressed_path,
    get_free_bytes,
    identify_directory,
    is_read_only,
    is_whole,
    list_segments,
    read_portion,
)
from node.segment_keeping import KEPT, choose_reserve_bytes
from node.settings import NodeSettings
from node.store.counting import SEEN_FACT, Progress, fetch_gaps, fetch_kept, fetch_progress
from node.table import format_table
from node.tls import read_end
from node.toplevel_health import judge_reports
from node.wording import say
from registry.store import DATABASE_AWAY, takes_writes
from schemas.days import get_day
from schemas.errors import ServiceError, Unavailable
from schemas.texts import format_message, format_remedy
from schemas.texts.doctor import LABELS
from schemas.texts.toplevel import LABELS as TOPLEVEL_LABELS

State = Literal["ok", "warning", "error"]
MARKS: dict[State, str] = {"ok": "✓", "warning": "!", "error": "✗"}

PORT_SECONDS = 3.0
CHECK_SECONDS = 5.0  # for what one check asks the database
STANDBY_LOOKS = 5  # within the second a change may take to reach every reader
CLOCK_WARNING_SECONDS, CLOCK_ERROR_SECONDS = 2.0, 60.0
OLDEST_SANE = datetime(2025, 1, 1, tzinfo=UTC)  # a machine without a battery wakes up in 1970
UNCOUNTED_WARNING_SECONDS, UNCOUNTED_ERROR_SECONDS = 15.0, 120.0
AGENT_SILENT_SECONDS = 60.0
LOOK_BYTES = 65_536
LEAST_ROOM_BYTES = 100_000_000  # however small the disk: a checkpoint and one import need as much


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `code` is a label if it is well, else an error's; `details` fill its text."""

    check: str
    state: State
    code: str
    details: dict[str, Any] = field(default_factory=dict)

    def message(self, language: str) -> str:
        if self.state == "ok":
            return say({**LABELS, **TOPLEVEL_LABELS}[self.code], language, **self.details)
        return format_message(self.code, language, **self.details)

    def remedy(self, language: str) -> str:
        return "" if self.state == "ok" else format_remedy(self.code, language, **self.details)

    def to_json(self, language: str) -> dict[str, Any]:
        return {
            "check": self.check,
            "state": self.state,
            "code": self.code,
            "message": self.message(language),
            "remedy": self.remedy(language),
            "details": self.details,
        }


def blame(check: str, error: ServiceError, state: State = "error") -> Finding:
    return Finding(check, state, error.code, {"field": error.field or "", **error.details})


async def examine(settings: NodeSettings) -> list[Finding]:
    """All checks; those that need the database are left out when it cannot be reached."""
    now = datetime.now(UTC)
    findings = [check_secret_key(settings), *check_disk(settings)]
    try:
        dsn = get_dsn(settings.database_url, settings.data_dir)
        connection = await connect(dsn)
    except ServiceError as error:
        findings.insert(0, blame("database", error))
    else:
        try:
            findings[:0] = await _ask_database(connection, settings, dsn)
        finally:
            await connection.close()
    findings += [*check_certificate(settings, now), check_font(settings), *check_alarms(settings)]
    findings += await check_ports(settings)
    is_there = any(finding.check == "port:registry" and finding.state == "ok" for finding in findings)
    if is_there or not isinstance(settings.registry_link, Path | None):  # else it was said already
        findings.append(await check_link(settings))
    findings += [finding async for finding in check_upstream(settings)]
    findings.append(check_sanity_of_clock(now))
    findings.append(check_public_url(settings))
    return findings


async def _ask_database(connection: Connection, settings: NodeSettings, dsn: str) -> list[Finding]:
    findings = [await check_database(connection, dsn)]
    if findings[0].state == "error":
        return findings  # an unknown schema answers no further question
    checks: list[tuple[str, Callable[[], Awaitable[Finding]]]] = [
        ("clock", lambda: check_clock(connection)),
        ("agent", lambda: check_agent(connection, datetime.now(UTC))),
        ("change_log", lambda: check_change_log(connection, datetime.now(UTC))),
        ("segments", lambda: check_segments(connection, settings.resolution_log_dir, datetime.now(UTC))),
        ("gaps", lambda: check_gaps(connection, datetime.now(UTC))),
        ("toplevel", lambda: check_toplevel(connection, settings, datetime.now(UTC))),
    ]
    if (read_url := settings.database_read_url) is not None:
        checks.insert(0, ("standby", lambda: check_standby(connection, read_url)))
    for name, check in checks:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                findings.append(await check())
        except ServiceError as error:
            findings.append(blame(name, error))
        except TimeoutError:  # somebody holds a lock, or the disk hangs
            reason = f"no answer within {CHECK_SECONDS:g} s"
            findings.append(Finding(name, "error", "check_failed", {"check": name, "reason": reason}))
        except (*DATABASE_AWAY, ValueError) as error:
            findings.append(Finding(name, "error", "check_failed", {"check": name, "reason": str(error)}))
    return findings


async def check_database(connection: Connection, dsn: str) -> Finding:
    """Reachable by now; version and schema."""
    try:
        await check_schema(connection)
    except ServiceError as error:
        return blame("database", error)
    if not await takes_writes(connection):
        return Finding("database", "error", "database_read_only")
    applied = await list_applied(connection)
    server = connection.get_settings().server_version
    return Finding(
        "database", "ok", "database_well", {"database": describe(dsn), "version": server, "schema": applied[-1].number}
    )


async def check_standby(connection: Connection, read_url: str) -> Finding:
    """Whether what resolvers read goes on with the primary: else they answer what is no longer so, and do not know."""
    log_id, end = await connection.fetchrow("SELECT log_id, position FROM change_log") or (None, 0)
    standby = await connect(read_url)
    try:
        for left in reversed(range(STANDBY_LOOKS)):
            follows, its_id, its_end = await standby.fetchrow(
                "SELECT NOT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_stat_wal_receiver), log_id, position"
                " FROM change_log"
            ) or (False, None, 0)
            if follows and its_id == log_id and its_end >= end:
                return Finding("standby", "ok", "standby_well", {"database": describe(read_url)})
            if left:
                await asyncio.sleep(1 / STANDBY_LOOKS)
    finally:
        standby.terminate()  # who has frozen takes no leave
    behind = str(end - its_end) if its_id == log_id else "?"
    return Finding("standby", "error", "standby_behind", {"database": describe(read_url), "behind": behind})


async def check_clock(connection: Connection) -> Finding:
    """Whether the agent believes it, and against the clock of the database: days would differ between its processes
    and ours."""
    doubt = await find_stored_doubt(connection)
    if doubt is not None:
        return Finding("clock", "error", "clock_doubted", dict(doubt))
    before = time.time()
    theirs: datetime = await connection.fetchval("SELECT clock_timestamp()")
    apart = theirs.timestamp() - (before + time.time()) / 2
    details = {"seconds": f"{abs(apart):.1f}"}
    if abs(apart) < CLOCK_WARNING_SECONDS:
        return Finding("clock", "ok", "clock_agrees", details)
    return Finding("clock", "error" if abs(apart) > CLOCK_ERROR_SECONDS else "warning", "clock_differs", details)


def check_sanity_of_clock(now: datetime) -> Finding:
    details = {"now": now.isoformat(timespec="seconds"), "day": get_day(now).isoformat()}
    if now < OLDEST_SANE:
        return Finding("day", "error", "clock_insane", details)
    return Finding("day", "ok", "clock_sane", details)


async def check_agent(connection: Connection, now: datetime) -> Finding:
    """When it last finished a pass."""
    seen = await connection.fetchval("SELECT value FROM node_facts WHERE name = $1", SEEN_FACT)
    if seen is None:
        return Finding("agent", "error", "agent_never_seen")
    seconds = (now - datetime.fromisoformat(seen)).total_seconds()
    if seconds > AGENT_SILENT_SECONDS:
        return Finding("agent", "error", "agent_silent", {"seen": seen, "seconds": int(seconds)})
    return Finding("agent", "ok", "agent_seen", {"seconds": max(int(seconds), 0)})


async def check_change_log(connection: Connection, now: datetime) -> Finding:
    """What has not been numbered or counted yet, and how old it is."""
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM changes_pending) AS pending, l.position, coalesce(c.position, 0) AS counted,"
        " least((SELECT min(at) FROM changes_pending),"
        " (SELECT at FROM changes WHERE position > coalesce(c.position, 0) ORDER BY position LIMIT 1)) AS oldest"
        " FROM change_log l LEFT JOIN counted_changes c ON c.log_id = l.log_id"
    )
    if row is None:
        return Finding("change_log", "error", "change_log_missing")
    waiting = row["pending"] + row["position"] - row["counted"]
    seconds = (now - row["oldest"]).total_seconds() if row["oldest"] is not None else 0.0
    details = {"waiting": waiting, "seconds": int(seconds), "position": row["position"]}
    if waiting and seconds > UNCOUNTED_WARNING_SECONDS:
        state: State = "error" if seconds > UNCOUNTED_ERROR_SECONDS else "warning"
        return Finding("change_log", state, "change_log_waits", details)
    return Finding("change_log", "ok", "change_log_well", details)


async def check_segments(connection: Connection, directory: Path, now: datetime) -> Finding:
    """Whether answers of this machine wait to be counted, and whether every kept segment is there."""
    if not (directory / IDENTITY).exists():  # made by the first agent; not by us
        return Finding("segments", "ok", "segments_none", {"path": str(directory)})
    kept = await fetch_kept(connection, identify_directory(directory))
    there = {name.removesuffix(".gz") for name in os.listdir(directory)}
    missing = [segment.name for segment in kept if segment.name not in there]
    if missing:
        return Finding("segments", "error", "segments_missing", {"count": len(missing), "name": missing[0]})
    damaged = [segment.name for segment in kept if not _is_whole(directory, segment)]
    if damaged:
        return Finding("segments", "error", "segments_damaged", {"count": len(damaged), "name": damaged[0]})
    paths = list_segments(directory)
    progress = await fetch_progress(connection, list(paths))
    oldest_us = 0
    for name, path in paths.items():
        if name in progress and progress[name].state != "open":
            continue
        counted = progress[name].counted_bytes if name in progress else 0
        tally = read_portion(path, counted, LOOK_BYTES).tally
        if tally.records:
            oldest_us = min(oldest_us or tally.first_us, tally.first_us)
    seconds = now.timestamp() - oldest_us / 1_000_000 if oldest_us else 0.0
    details = {"segments": len(kept), "seconds": int(seconds), "path": str(directory)}
    if seconds > UNCOUNTED_WARNING_SECONDS:
        return Finding(
            "segments", "error" if seconds > UNCOUNTED_ERROR_SECONDS else "warning", "segments_uncounted", details
        )
    return Finding("segments", "ok", "segments_well", details)


def _is_whole(directory: Path, segment: Progress) -> bool:
    packed = get_compressed_path(directory, segment.name)
    try:
        return is_whole(packed, segment.counted_bytes)
    except FileNotFoundError:  # not compressed
        return True
    except OSError:
        return False


async def check_gaps(connection: Connection, now: datetime) -> Finding:
    """Times for which the log is known to lack answers, as long as segments are kept."""
    gaps = await fetch_gaps(connection, now - KEPT, now + timedelta(days=1))
    if not gaps:
        return Finding("gaps", "ok", "gaps_none", {"days": KEPT.days})
    last = gaps[-1]
    details = {
        "count": len(gaps),
        "missing": sum(gap.missing or 0 for gap in gaps),
        "segment": last.segment,
        "reason": last.reason,
        "from": last.from_at.isoformat(timespec="seconds") if last.from_at else "?",
    }
    return Finding("gaps", "warning", "gaps_found", details)


async def check_toplevel(connection: Connection, settings: NodeSettings, now: datetime) -> Finding:
    """Whether reports arrive at the top-level node."""
    judged = await judge_reports(connection, settings.toplevel_address, now)
    return Finding("toplevel", judged.state, judged.code, judged.details)


def check_secret_key(settings: NodeSettings) -> Finding:
    path = settings.secret_key_path
    if not path.exists():
        return Finding("secret_key", "error", "secret_key_missing", {"path": str(path)})
    try:
        load_key_ring(path)
    except ServiceError as error:
        return blame("secret_key", error)
    return Finding(
        "secret_key", "ok", "secret_key_well", {"path": str(path), "mode": f"{path.stat().st_mode & 0o777:o}"}
    )


def check_disk(settings: NodeSettings) -> list[Finding]:
    """The file systems of the data and of the resolution log; one finding if they are the same."""
    places = {settings.data_dir, settings.resolution_log_dir}
    by_device = {os.stat(place).st_dev: place for place in sorted(places, reverse=True) if place.is_dir()}
    if not by_device:
        return [Finding("disk", "error", "data_dir_missing", {"path": str(settings.data_dir)})]
    return [
        Finding("disk", "error", "disk_read_only", {"path": str(place)})
        if is_read_only(place)
        else judge_room(place, get_free_bytes(place), _choose_least_bytes(place, device, settings))
        for device, place in by_device.items()
    ]


def _choose_least_bytes(place: Path, device: int, settings: NodeSettings) -> int:
    reserve_bytes = choose_reserve_bytes(place)
    holds_data = settings.data_dir.is_dir() and os.stat(settings.data_dir).st_dev == device
    return max(reserve_bytes, LEAST_ROOM_BYTES) if holds_data else reserve_bytes


def judge_room(place: Path, free_bytes: int, reserve_bytes: int) -> Finding:
    """Below the reserve counted segments are given up, and soon answers are no longer logged."""
    details = {"path": str(place), "free": format_bytes(free_bytes), "reserve": format_bytes(reserve_bytes)}
    if free_bytes >= 2 * reserve_bytes:
        return Finding("disk", "ok", "disk_well", details)
    return Finding("disk", "error" if free_bytes < reserve_bytes else "warning", "disk_filling", details)


def check_certificate(settings: NodeSettings, now: datetime) -> Iterator[Finding]:
    """That of the HTTP ports, and what signs connection certificates; nothing of what is not configured."""
    for check, path in (("certificate", settings.tls_certificate), ("signing", settings.signing_certificate)):
        if path is not None:
            yield _judge_certificate(check, path, settings.alarm_certificate_days, now)


def _judge_certificate(check: str, path: Path, warning_days: int, now: datetime) -> Finding:
    try:
        end = read_end(path)
    except (OSError, ValueError) as error:
        return Finding(check, "error", "certificate_unreadable", {"path": str(path), "reason": str(error)})
    days = (end - now).total_seconds() / 86_400
    details = {"path": str(path), "end": end.isoformat(), "days": max(int(days), 0)}
    if days >= warning_days:
        return Finding(check, "ok", "certificate_well", details)
    return Finding(check, "error" if days <= 0 else "warning", "certificate_ends", details)


def check_font(settings: NodeSettings) -> Finding:
    """What PDFs need; everything else works without."""
    try:
        return Finding("font", "ok", "font_well", {"path": str(find_font(settings.pdf_font))})
    except ServiceError as error:
        return blame("font", error, "warning")


def check_alarms(settings: NodeSettings) -> Iterator[Finding]:
    """Those of this machine that are not over, as they stand in its own files."""
    for alarm in list_open(settings.run_dir):
        details = {"cause": alarm.cause, "subject": alarm.subject or "–", "paragraph": f"{PAGE}#{alarm.cause}"}
        yield Finding("alarm", "warning", "alarm_open", details)


def format_bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


async def check_ports(settings: NodeSettings) -> list[Finding]:
    """Whether each service answers in its own language."""
    findings = []
    for answer in await ask_all(list_places(settings), PORT_SECONDS):
        details: dict[str, Any] = {"name": answer.place.name, "url": answer.url, "reason": answer.problem}
        if not answer.problem:
            findings.append(Finding(f"port:{answer.place.name}", "ok", "port_answers", details))
            continue
        holder = find_holder(answer.place)
        code = "port_silent"
        if holder is not None:
            code = "port_answers_wrongly"
            details |= {"pid": holder[0], "program": holder[1]}
        findings.append(Finding(f"port:{answer.place.name}", "error", code, details))
    return findings


async def check_link(settings: NodeSettings) -> Finding:
    """Whether workers of this machine reach the registry to ask who their viewers are."""
    from resolver.link import RegistryLink
    from schemas.link_messages import SECRET_WRONG, ViewerQuestion

    try:
        link = RegistryLink(find_asking(settings), make_asking_context(settings), is_quiet=True)
    except ServiceError as error:
        return blame("link", error)
    place = {"place": str(find_asking(settings))}
    try:
        await link.identify(ViewerQuestion(0, "", "", "", ""))
    except Unavailable:
        if link.trouble == SECRET_WRONG:
            return Finding("link", "error", "link_secret_wrong", place)
        return Finding("link", "error", "link_silent", place | {"reason": link.trouble.rstrip(".")})
    except ServiceError:  # nobody without credentials: that is its answer
        pass
    finally:
        await link.close()
    return Finding("link", "ok", "link_answers", place)


async def check_upstream(settings: NodeSettings) -> AsyncIterator[Finding]:
    """Nothing if none is configured."""
    if settings.upstream_url is None:
        return
    from resolver.upstream import Upstream, UpstreamSettings
    from schemas.handle_messages import ResponseCode

    details = {"url": settings.upstream_url}
    wanted = UpstreamSettings(settings.upstream_url, settings.upstream_allow_private)
    try:
        async with Upstream(wanted) as upstream:
            answer = await upstream.resolve(b"0.NA/0.NA", [], [])
    except ServiceError as error:
        yield blame("upstream", error)
        return
    silent = answer.response_code in (ResponseCode.SERVER_TOO_BUSY, ResponseCode.ERROR)
    yield (
        Finding("upstream", "error", "upstream_silent", details)
        if silent
        else Finding("upstream", "ok", "upstream_answers", details)
    )


def check_public_url(settings: NodeSettings) -> Finding:
    if settings.public_url is None:
        return Finding("public_url", "warning", "public_url_not_set", {"url": settings.scan_url})
    if not settings.report_url:
        return Finding("public_url", "warning", "registry_url_not_set", {"url": settings.public_url})
    return Finding("public_url", "ok", "public_url_set", {"url": settings.public_url})


def format_findings(findings: list[Finding], language: str) -> str:
    """One line for each, with what to do below."""
    lines = format_table((MARKS[f.state], f.check, f.message(language)) for f in findings).splitlines()
    printed = []
    for line, finding in zip(lines, findings, strict=True):
        printed.append(line)
        if finding.remedy(language):
            printed.append(f"     → {finding.remedy(language)}")
    errors, warnings = (sum(f.state == state for f in findings) for state in ("error", "warning"))
    return "\n".join([*printed, "", say(LABELS["sum"], language, errors=errors, warnings=warnings)])
