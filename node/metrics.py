"""Metrics in Prometheus' text format (version 0.0.4): from the files of the processes and a few rows of the database.

Nothing is counted for a scrape, and nothing on the way of an answer. Counters begin anew with their process.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from asyncpg import Connection

from node.alarms import CAUSES
from node.backup import BACKUP_FACT, find_version
from node.segment_files import get_free_bytes
from node.settings import SharedSettings
from node.store import alarms, monitoring
from node.tls import read_end
from schemas.process_stats import FRESH_SECONDS, read_stats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# name → (type, what it is)
METRICS: dict[str, tuple[str, str]] = {
    "idnode_info": ("gauge", "Version of the program."),
    "idnode_process_up": ("gauge", "1 if the process has said something within 15 s."),
    "idnode_process_start_time_seconds": ("gauge", "When the process began."),
    "idnode_process_resident_bytes": ("gauge", "Resident memory of the process."),
    "idnode_process_restarts_total": ("counter", "Deaths of the process that its supervisor has seen."),
    "idnode_loop_delay_seconds": ("gauge", "How late the event loop was at worst in 2 s: every answer waited so long."),
    "idnode_answers_total": ("counter", "Answered questions in the resolution log, by the process that answered."),
    "idnode_resolutions_total": ("counter", "The same by transport and outcome."),
    "idnode_cache_misses_total": ("counter", "Questions that the cache of a worker could not answer."),
    "idnode_cache_entries": ("gauge", "Records in the cache of a worker."),
    "idnode_cache_bytes": ("gauge", "What they occupy."),
    "idnode_misses_in_flight": ("gauge", "Identifiers a worker is asking the database about."),
    "idnode_miss_statements_total": ("counter", "Statements a worker has sent for misses."),
    "idnode_miss_seconds_total": ("counter", "How long these took together."),
    "idnode_invalidation_lag_seconds": ("gauge", "Since a worker last read the change log to its end."),
    "idnode_invalidation_lag_entries": ("gauge", "Entries of the change log a worker has not read yet."),
    "idnode_udp_unsent_total": ("counter", "Datagrams of a worker not answered: over a source's limit, or not sent."),
    "idnode_half_read_bytes": ("gauge", "What a worker holds of requests that are not complete."),
    "idnode_half_read_closed_total": ("counter", "Connections closed because that was too much."),
    "idnode_log_missing_total": ("counter", "Answers a process could not log, for want of room."),
    "idnode_count_lag_seconds": ("gauge", "Since the agent last had counted everything in the resolution log."),
    "idnode_requests_total": ("counter", "Requests the registry has answered, by status."),
    "idnode_request_seconds_total": ("counter", "How long these took together."),
    "idnode_database_up": ("gauge", "1 if the database answers."),
    "idnode_change_log_position": ("gauge", "The last position of the change log."),
    "idnode_change_log_pending": ("gauge", "Entries without a position yet."),
    "idnode_change_log_pending_seconds": ("gauge", "Age of the oldest of them."),
    "idnode_change_log_uncounted": ("gauge", "Entries not yet added to the counters."),
    "idnode_jobs": ("gauge", "Jobs that are open, or failed within a day, by state."),
    "idnode_outbox_messages": ("gauge", "Reports to the top-level node that are not settled, by state."),
    "idnode_enterprises": ("gauge", "Enterprises."),
    "idnode_registrations": ("gauge", "Identifiers ever registered: rows, and members of ranges."),
    "idnode_identifiers_retired": ("gauge", "Identifiers retired now."),
    "idnode_disk_free_bytes": ("gauge", "Free room where the node keeps its data and its log."),
    "idnode_disk_size_bytes": ("gauge", "Size of these file systems."),
    "idnode_clock_offset_seconds": ("gauge", "Clock of this machine minus the one it is compared with."),
    "idnode_certificate_end_time_seconds": ("gauge", "When the certificate of the HTTP ports ends."),
    "idnode_backup_time_seconds": ("gauge", "When the last backup was finished."),
    "idnode_alarms_open": ("gauge", "Alarms that are not over, by cause."),
}  # fmt: skip


@dataclass(slots=True)
class Samples:
    """Samples by metric, in the order of METRICS when printed."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, value: float | None, **labels: object) -> None:
        """None adds nothing: what is not known is not 0."""
        if value is None:
            return
        shown = ",".join(f'{key}="{escape(str(text))}"' for key, text in labels.items())
        number = repr(float(value)) if isinstance(value, float) else str(int(value))
        self.found.setdefault(name, []).append(f"{name}{{{shown}}} {number}" if shown else f"{name} {number}")

    def format(self) -> str:
        lines = []
        for name, (kind, what) in METRICS.items():
            if name in self.found:
                lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}", *self.found[name]]
        return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


async def collect(settings: SharedSettings, conn: Connection | None) -> str:
    """The page; without a connection what is known without it. Raises what the driver raises."""
    samples, now = Samples(), time.time()
    samples.add("idnode_info", 1, version=find_version())
    stats = read_stats(settings.stats_dir)
    position = None
    samples.add("idnode_database_up", int(conn is not None))
    if conn is not None:
        position = await _add_database(samples, conn, now)
    for name, process in stats.items():
        _add_process(samples, name, process, now)
        _add_worker(samples, name, process, position, now)
    for name, deaths in sum_deaths(stats).items():  # each once, though every part may have a supervisor of its own
        samples.add("idnode_process_restarts_total", deaths, process=name)
    _add_agent(samples, stats.get("agent", {}), now)
    _add_registry(samples, stats.get("registry", {}))
    _add_machine(samples, settings)
    return samples.format()


def _add_process(samples: Samples, name: str, process: dict[str, Any], now: float) -> None:
    silent = now - process["written"]
    samples.add("idnode_process_up", int(silent < FRESH_SECONDS), process=name)
    samples.add("idnode_process_start_time_seconds", process.get("started"), process=name)
    samples.add("idnode_process_resident_bytes", process.get("resident_bytes"), process=name)
    samples.add("idnode_loop_delay_seconds", process.get("delay_seconds"), process=name)
    samples.add("idnode_log_missing_total", process.get("log_missing"), process=name)


def sum_deaths(stats: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Deaths by process, as supervisors publish them."""
    found: dict[str, int] = {}
    for process in stats.values():
        for name, number in process.get("deaths", {}).items():
            found[name] = found.get(name, 0) + number
    return found


OF_WORKERS = {
    "idnode_cache_misses_total": "misses",
    "idnode_cache_entries": "cache_entries",
    "idnode_cache_bytes": "cache_bytes",
    "idnode_misses_in_flight": "misses_in_flight",
    "idnode_miss_statements_total": "statements",
    "idnode_miss_seconds_total": "statement_seconds",
    "idnode_half_read_bytes": "half_read_bytes",
    "idnode_half_read_closed_total": "half_read_closed",
}


def _add_worker(samples: Samples, name: str, process: dict[str, Any], position: int | None, now: float) -> None:
    if "cache_entries" not in process:
        return
    for metric, key in OF_WORKERS.items():
        samples.add(metric, process.get(key), process=name)
    for reason, key in (("limit", "udp_refused"), ("network", "udp_unsent")):
        samples.add("idnode_udp_unsent_total", process.get(key), process=name, reason=reason)
    if process.get("synced_seconds") is not None:
        lag = process["synced_seconds"] + max(now - process["written"], 0.0)
        samples.add("idnode_invalidation_lag_seconds", lag, process=name)
    if position is not None and process.get("database_up"):
        samples.add("idnode_invalidation_lag_entries", max(position - process["position"], 0), process=name)


def _add_agent(samples: Samples, agent: dict[str, Any], now: float) -> None:
    for process, number in agent.get("answers", {}).items():
        samples.add("idnode_answers_total", number, process=process)
    for transport, outcome, number in agent.get("resolutions", []):
        samples.add("idnode_resolutions_total", number, transport=transport, outcome=outcome)
    if agent.get("counted_at") is not None:
        samples.add("idnode_count_lag_seconds", max(now - agent["counted_at"], 0.0))
    for source, seconds in agent.get("clock", {}).items():
        samples.add("idnode_clock_offset_seconds", seconds, source=source)
    totals = agent.get("totals", {})
    samples.add("idnode_enterprises", totals.get("enterprises"))
    for kind in ("rows", "members"):
        samples.add("idnode_registrations", totals.get(kind), kind=kind)
    samples.add("idnode_identifiers_retired", totals.get("retired"))


def _add_registry(samples: Samples, registry: dict[str, Any]) -> None:
    for status, number in sorted(registry.get("requests", {}).items()):
        samples.add("idnode_requests_total", number, status=status)
    samples.add("idnode_request_seconds_total", registry.get("request_seconds"))


async def _add_database(samples: Samples, conn: Connection, now: float) -> int | None:
    """The position of the change log."""
    for state, number in (await monitoring.fetch_jobs(conn)).items():
        samples.add("idnode_jobs", number, state=state)
    for state, number in (await monitoring.fetch_outbox(conn)).items():
        samples.add("idnode_outbox_messages", number, state=state)
    for cause, number in (dict.fromkeys(CAUSES, 0) | await alarms.count_open(conn)).items():
        samples.add("idnode_alarms_open", number, cause=cause)
    last = await monitoring.find_fact(conn, BACKUP_FACT)
    samples.add("idnode_backup_time_seconds", datetime.fromisoformat(last).timestamp() if last else None)
    log = await monitoring.fetch_log_state(conn)
    if log is None:
        return None
    samples.add("idnode_change_log_position", log.position)
    samples.add("idnode_change_log_pending", log.pending)
    oldest = log.oldest.timestamp() if log.oldest is not None else now
    samples.add("idnode_change_log_pending_seconds", max(now - oldest, 0.0))
    samples.add("idnode_change_log_uncounted", log.position - log.counted)
    return log.position


def _add_machine(samples: Samples, settings: SharedSettings) -> None:
    for name, place in list_places(settings):
        samples.add("idnode_disk_free_bytes", get_free_bytes(place), place=name)
        samples.add("idnode_disk_size_bytes", get_size_bytes(place), place=name)
    if settings.tls_certificate is not None:
        with suppress(OSError, ValueError):
            samples.add("idnode_certificate_end_time_seconds", read_end(settings.tls_certificate).timestamp())


def list_places(settings: SharedSettings) -> Iterator[tuple[str, Path]]:
    """Where the node fills disks: data, and the log where it is elsewhere."""
    places = {"data": settings.data_dir, "log": settings.resolution_log_dir}
    for name, place in places.items():
        if place.is_dir() and (name == "data" or settings.log_dir is not None):
            yield name, place


def get_size_bytes(place: Path) -> int:
    return shutil.disk_usage(place).total
