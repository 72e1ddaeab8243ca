"""Problem reports: anybody who scanned a code says what is wrong with it; its enterprise and the operator hear of it.

How to reach who reported is personal data: sealed at rest, shown to nobody without a reason, which is recorded, and
forgotten half a year after the report is closed.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

from asyncpg import Connection

from registry.audit import note
from registry.keyed_hashes import hash_keyed
from registry.prefixes import check_reason
from registry.principals import Order, Principal
from registry.records import Located, get_stored
from registry.sign_in import Visit, group_address
from registry.store import problem_reports as store
from registry.store.audit import AuditEntry, append_audit
from registry.store.problem_reports import NewReportRow, ReportDecision, ReportFilter, ReportRow
from schemas.errors import Conflict, InvalidInput, NotFound, SlowDown
from schemas.identifiers import parse_any_identifier, shorten
from schemas.sealing import KeyRing, SealBroken, seal, unseal

Kind = Literal["mismatch", "counterfeit", "data", "damaged", "other"]
State = Literal["open", "in_work", "closed"]

KINDS: tuple[Kind, ...] = get_args(Kind)
STATES: tuple[State, ...] = get_args(State)
MAX_DESCRIPTION_CHARACTERS = 1_000
MAX_CONTACT_CHARACTERS = 200
MAX_NOTE_CHARACTERS = 1_000
MOST_OF_SOURCE = 10  # in an hour
MOST_OF_IDENTIFIER = 20  # in a day: more say nothing new, and a crowd of liars could bury those of others
CONTACT_KEPT = timedelta(days=183)  # after closing
_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they turn what follows round


@dataclass(frozen=True, slots=True)
class NewReport:
    """What the form gives; `contact` may be empty, `description` only where the kind says enough."""

    identifier: str
    kind: str
    description: str
    contact: str = ""


async def get_reportable(conn: Connection, text: str) -> Located:
    """What was issued under an identifier, retired or not; raises NotFound."""
    try:
        located = await get_stored(conn, parse_any_identifier(text))
    except NotFound:
        located = None
    if located is None or located.stored.template_id == 0:  # a template's own record is no product
        raise NotFound("problem_identifier_unknown", field="identifier", identifier=shorten(text))
    return located


async def file_report(conn: Connection, ring: KeyRing, visit: Visit, wanted: NewReport) -> int:
    """The number of the new report. Raises InvalidInput, NotFound, or SlowDown for who reports too often."""
    located = await get_reportable(conn, wanted.identifier)
    kind = _check_kind(wanted.kind)
    description = check_text(wanted.description, "description", MAX_DESCRIPTION_CHARACTERS)
    contact = check_text(wanted.contact, "contact", MAX_CONTACT_CHARACTERS)
    if not description and kind == "other":
        raise InvalidInput("problem_description_missing", field="description")
    prefix_id, suffix_key = located.rule.prefix_id, located.stored.suffix_key
    source = hash_keyed(ring, "problem report", group_address(visit.address))
    async with conn.transaction():
        await _check_pace(conn, source, located, visit.at)
        report_id = await store.insert_report(
            conn, NewReportRow(prefix_id, suffix_key, located.identifier, kind, description, source, visit.at)
        )
        if contact:
            await store.update_contact(conn, report_id, seal(ring, contact.encode(), _format_context(report_id)))
        await append_audit(
            conn, AuditEntry(visit.at, "anonymous", visit.address, "problem_reported", _format_subject(report_id))
        )
    return report_id


def _check_kind(kind: str) -> Kind:
    if kind not in KINDS:
        raise InvalidInput("field_not_a_choice", field="kind", choices=", ".join(KINDS))
    return kind


def check_text(text: str, name: str, limit: int) -> str:
    """Without blanks at its ends; raises InvalidInput, also for characters that hide or turn round what is written."""
    text = text.strip()
    if len(text) > limit:
        raise InvalidInput("problem_text_too_long", field=name, limit=limit, length=len(text))
    hidden = (c for c in text if c in _BIDIRECTIONAL or (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"))
    if found := next(hidden, None):
        raise InvalidInput("problem_text_hidden", field=name, character=f"U+{ord(found):04X}")
    return text


async def _check_pace(conn: Connection, source: bytes, located: Located, at: datetime) -> None:
    """Raises SlowDown."""
    await store.lock_source(conn, source)
    times = await store.fetch_times_of_source(conn, source, at - timedelta(hours=1))
    if len(times) >= MOST_OF_SOURCE:
        seconds = max(1, math.ceil((times[-MOST_OF_SOURCE] + timedelta(hours=1) - at).total_seconds()))
        raise SlowDown("problem_slow_down", seconds=seconds, minutes=math.ceil(seconds / 60))
    since = at - timedelta(days=1)
    known = await store.count_of_identifier(conn, located.rule.prefix_id, located.stored.suffix_key, since)
    if known >= MOST_OF_IDENTIFIER:
        raise SlowDown("problem_known", seconds=86_400, identifier=located.identifier)


# For the enterprise and the node's people -----------------------------------------------------------------------------


def find_own_prefixes(principal: Principal) -> Sequence[int] | None:
    """Whose reports somebody sees: those of his prefixes, or all (None). Of an area, nobody."""
    return None if principal.sees_all else list(principal.prefixes.values())


async def list_reports(
    conn: Connection, principal: Principal, wanted: ReportFilter, before: int | None, limit: int
) -> tuple[list[ReportRow], int | None]:
    """A page, newest first, and the number to go on below; None at the end."""
    if wanted.state and wanted.state not in STATES:
        raise InvalidInput("field_not_a_choice", field="state", choices=", ".join(STATES))
    if wanted.kind:
        _check_kind(wanted.kind)
    wanted = replace(wanted, prefix_ids=find_own_prefixes(principal))
    rows = await store.fetch_reports(conn, wanted, before, limit + 1)
    return rows[:limit], rows[limit - 1].report_id if len(rows) > limit else None


async def get_report(conn: Connection, principal: Principal, report_id: int, *, for_update: bool = False) -> ReportRow:
    """Raises NotFound, which tells nothing of the reports of others."""
    known = 0 < report_id < 2**63
    row = await store.find_report(conn, report_id, for_update=for_update) if known else None
    own = find_own_prefixes(principal)
    if row is None or (own is not None and row.prefix_id not in own):
        raise NotFound("problem_not_found", field="report_id", number=report_id)
    return row


async def list_decisions(conn: Connection, row: ReportRow) -> list[ReportDecision]:
    """Of a report the caller may see, oldest first."""
    return await store.fetch_decisions(conn, row.report_id)


async def count_waiting(conn: Connection, principal: Principal) -> dict[str, int]:
    """Open and in work, as far as the caller sees them."""
    found = await store.count_by_state(conn, find_own_prefixes(principal))
    return {"open": found.get("open", 0), "in_work": found.get("in_work", 0)}


async def decide(conn: Connection, order: Order, report_id: int, state: str) -> ReportRow:
    """Set a state; `order.reason` is the note, which closing and opening again need.

    For the enterprise whose prefix it is, and the operator. Raises NotFound, Forbidden, InvalidInput or Conflict.
    """
    if state not in STATES:
        raise InvalidInput("field_not_a_choice", field="state", choices=", ".join(STATES))
    text = check_text(order.reason, "note", MAX_NOTE_CHARACTERS)
    async with conn.transaction():
        row = await _get_own(conn, order, report_id)
        if row.state == state and not (state == "in_work" and text):
            raise Conflict("problem_state_already", field="state", number=report_id)
        if not text and state != "in_work":
            raise InvalidInput("problem_note_missing", field="note")
        await store.insert_decision(conn, report_id, ReportDecision(order.at, order.principal.actor, state, text))
        await note(conn, order, f"problem_{state}", _format_subject(report_id))
        return await get_report(conn, order.principal, report_id)


async def reveal_contact(conn: Connection, ring: KeyRing, order: Order, report_id: int) -> str:
    """How to reach who reported, for a reason, which is recorded; empty if nothing was left.

    For the enterprise whose prefix it is, and the operator. Raises NotFound, Forbidden or InvalidInput.
    """
    async with conn.transaction():
        await _get_own(conn, order, report_id)
        check_reason(order)
        await note(conn, order, "problem_contact_revealed", _format_subject(report_id))
        sealed = await store.find_contact(conn, report_id)
    try:
        return unseal(ring, sealed, _format_context(report_id)).decode() if sealed else ""
    except SealBroken:
        return ""


async def _get_own(conn: Connection, order: Order, report_id: int) -> ReportRow:
    """To be worked on; who only looks is refused."""
    row = await get_report(conn, order.principal, report_id, for_update=True)
    order.principal.check_scope("write")
    if row.prefix_id not in order.principal.prefixes.values():
        order.principal.check_operator()
    return row


async def forget_contacts(conn: Connection, at: datetime) -> None:
    """Of reports that were closed half a year ago."""
    await store.delete_old_contacts(conn, at - CONTACT_KEPT)


def _format_subject(report_id: int) -> str:
    return f"problem:{report_id}"


def _format_context(report_id: int) -> str:
    """Where a sealed contact belongs."""
    return f"problem_report/{report_id}/contact"
