"""SQL of problem reports: what people who scanned a code say is wrong with it, and what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A report without its contact; `enterprise_name` is that of the present owner of the prefix."""

    report_id: int
    prefix_id: int
    prefix: str
    identifier: str
    enterprise_id: int | None
    enterprise_name: str
    kind: str
    description: str
    has_contact: bool
    state: str
    created: datetime
    changed: datetime


@dataclass(frozen=True, slots=True)
class NewReportRow:
    """What `insert_report` stores; `source_hash` is a keyed hash of where it came from."""

    prefix_id: int
    suffix_key: str
    identifier: str
    kind: str
    description: str
    source_hash: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class ReportDecision:
    """Who set which state when, and what he noted."""

    at: datetime
    actor: str
    state: str
    note: str


@dataclass(frozen=True, slots=True)
class ReportFilter:
    """Empty: whatever it is. `prefix_ids` None: of all prefixes."""

    prefix_ids: Sequence[int] | None = None
    state: str = ""
    kind: str = ""


_REPORT = (
    "SELECT r.report_id, r.prefix_id, p.prefix, r.identifier, e.enterprise_id, coalesce(e.name, '') AS enterprise_name,"
    " r.kind, r.description, r.contact IS NOT NULL AS has_contact, r.state, r.created, r.changed"
    " FROM problem_reports r JOIN prefixes p USING (prefix_id)"
    " LEFT JOIN prefix_owners o ON o.prefix_id = p.prefix_id AND o.to_day IS NULL"
    " LEFT JOIN enterprises e ON e.enterprise_id = coalesce(p.sandbox_of, o.enterprise_id)"
)


async def insert_report(conn: Connection, row: NewReportRow) -> int:
    """Its number."""
    report_id: int = await conn.fetchval(
        "INSERT INTO problem_reports (prefix_id, suffix_key, identifier, kind, description, state, source_hash,"
        " created, changed) VALUES ($1, $2, $3, $4, $5, 'open', $6, $7, $7) RETURNING report_id",
        row.prefix_id, row.suffix_key, row.identifier, row.kind, row.description, row.source_hash, row.at,
    )  # fmt: skip
    return report_id


async def update_contact(conn: Connection, report_id: int, sealed: bytes) -> None:
    await conn.execute("UPDATE problem_reports SET contact = $2 WHERE report_id = $1", report_id, sealed)


async def find_contact(conn: Connection, report_id: int) -> bytes | None:
    """Sealed; None if none was given, or it was forgotten."""
    sealed: bytes | None = await conn.fetchval("SELECT contact FROM problem_reports WHERE report_id = $1", report_id)
    return sealed


async def lock_source(conn: Connection, source_hash: bytes) -> None:
    """Two reports of one source wait for each other until the transaction ends: none slips past its limit."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 7241010))", source_hash)


async def fetch_times_of_source(conn: Connection, source_hash: bytes, since: datetime) -> list[datetime]:
    """When this source reported, oldest first."""
    rows = await conn.fetch(
        "SELECT created FROM problem_reports WHERE source_hash = $1 AND created > $2 ORDER BY created",
        source_hash, since,
    )  # fmt: skip
    return [row["created"] for row in rows]


async def count_of_identifier(conn: Connection, prefix_id: int, suffix_key: str, since: datetime) -> int:
    found: int = await conn.fetchval(
        "SELECT count(*) FROM problem_reports WHERE prefix_id = $1 AND suffix_key = $2 AND created > $3",
        prefix_id, suffix_key, since,
    )  # fmt: skip
    return found


async def fetch_reports(conn: Connection, wanted: ReportFilter, before: int | None, limit: int) -> list[ReportRow]:
    """Newest first, below a number."""
    rows = await conn.fetch(
        f"{_REPORT} WHERE ($1::int4[] IS NULL OR r.prefix_id = ANY($1)) AND ($2 = '' OR r.state = $2)"
        " AND ($3 = '' OR r.kind = $3) AND ($4::int8 IS NULL OR r.report_id < $4) ORDER BY r.report_id DESC LIMIT $5",
        wanted.prefix_ids, wanted.state, wanted.kind, before, limit,
    )  # fmt: skip
    return [ReportRow(**row) for row in rows]


async def find_report(conn: Connection, report_id: int, *, for_update: bool = False) -> ReportRow | None:
    lock = " FOR UPDATE OF r" if for_update else ""
    row = await conn.fetchrow(f"{_REPORT} WHERE r.report_id = $1{lock}", report_id)
    return ReportRow(**row) if row else None


async def count_by_state(conn: Connection, prefix_ids: Sequence[int] | None) -> dict[str, int]:
    """State → reports in it, of these prefixes or of all; those that are closed are not counted."""
    rows = await conn.fetch(
        "SELECT state, count(*) AS reports FROM problem_reports WHERE state <> 'closed'"
        " AND ($1::int4[] IS NULL OR prefix_id = ANY($1)) GROUP BY state",
        prefix_ids,
    )
    return {row["state"]: row["reports"] for row in rows}


async def insert_decision(conn: Connection, report_id: int, decision: ReportDecision) -> None:
    """With the report's new state."""
    await conn.execute(
        "UPDATE problem_reports SET state = $2, changed = $3 WHERE report_id = $1",
        report_id, decision.state, decision.at,
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO problem_report_decisions (report_id, at, actor, state, note) VALUES ($1, $2, $3, $4, $5)",
        report_id, decision.at, decision.actor, decision.state, decision.note,
    )  # fmt: skip


async def fetch_decisions(conn: Connection, report_id: int) -> list[ReportDecision]:
    """Oldest first."""
    rows = await conn.fetch(
        "SELECT at, actor, state, note FROM problem_report_decisions WHERE report_id = $1 ORDER BY decision_id",
        report_id,
    )
    return [ReportDecision(**row) for row in rows]


async def delete_old_contacts(conn: Connection, before: datetime) -> None:
    """Of reports that were closed before."""
    await conn.execute(
        "UPDATE problem_reports SET contact = NULL WHERE state = 'closed' AND changed < $1 AND contact IS NOT NULL",
        before,
    )
