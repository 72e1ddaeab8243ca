"""One identifier at a time: reading, changing, retiring, restoring, freezing, and what it was at another time."""

from dataclasses import dataclass, replace
from datetime import datetime

from asyncpg import Connection
from asyncpg import Record as Row

from registry.freezes import find_held, find_notices
from registry.issuing import (
    Outcome,
    draft_record,
    find_members,
    issue,
    lock_members,
    overwrite,
    pack_draft,
    raise_unless_registered,
)
from registry.store.changes import Act
from registry.store.records import (
    NewRecord,
    PrefixRule,
    StoredRecord,
    fetch_history,
    fetch_range_history,
    fetch_ranges_of,
    fetch_records,
    fetch_shapes,
    find_prefix_rule,
    find_revision_at,
    lock_for_issuing,
)
from schemas.changes import ChangeKind
from schemas.days import ZONE
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed, Retired
from schemas.identifiers import Identifier, format_suffix_key, shorten
from schemas.ranges import find_member
from schemas.records import Record, RecordState, says_the_same, unpack
from schemas.templates import Template

MAX_NOTICE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Located:
    """A stored record with the prefix it belongs to."""

    rule: PrefixRule
    stored: StoredRecord

    @property
    def identifier(self) -> str:
        return f"{self.rule.prefix}/{self.stored.suffix}"


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a record in time. `action`, `actor` and `reason` tell how it came to its end, if it did."""

    revision: int
    record: Record
    since: datetime
    until: datetime | None
    action: ChangeKind | None = None
    actor: str = ""
    reason: str = ""


def to_record(prefix_id: int, stored: StoredRecord) -> Record:
    """Unpack a stored record into values."""
    template_id, values = unpack(stored.packed, int(stored.changed.timestamp()))
    return Record(prefix_id, stored.suffix, template_id, tuple(values), RecordState(stored.state), stored.created,
                  stored.changed, stored.revision, stored.note)  # fmt: skip


async def get_rule(conn: Connection, prefix: str) -> PrefixRule:
    """The prefix, as we store it; raises NotFound."""
    rule = await find_prefix_rule(conn, prefix)
    if rule is None:
        raise NotFound("prefix_not_found", field="prefix", prefix=shorten(prefix))
    return rule


async def get_stored(conn: Connection, identifier: Identifier, *, for_update: bool = False) -> Located:
    """The record of an identifier, or its range's if it is a member; raises NotFound. Retired ones are found.

    `for_update` locks it for a write; raises Conflict for a template's own record.
    """
    rule = await find_prefix_rule(conn, identifier.prefix)
    if rule is None:
        raise _not_found(identifier)
    key = format_suffix_key(identifier.suffix, rule.folds_case)
    if not is_storable(key):
        raise _not_found(identifier)
    if for_update:
        await lock_for_issuing(conn, rule.prefix_id)
    found = await fetch_records(conn, rule.prefix_id, [key], for_update=for_update)
    if for_update and not found:  # a member of a range, perhaps, that somebody else is changing
        await lock_members(conn, rule, [key])
        found = await fetch_records(conn, rule.prefix_id, [key], for_update=True)
    stored = found.get(key) or (await find_members(conn, rule, [key])).get(key)
    if stored is None:
        raise _not_found(identifier)
    if for_update and stored.template_id == 0:  # the record of a template itself, which its template writes
        raise Conflict("record_without_template", field="identifier", identifier=f"{rule.prefix}/{stored.suffix}")
    return Located(rule, stored)


def is_storable(text: str) -> bool:
    """Whether the database can hold the text at all: one that it cannot is nowhere."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _not_found(identifier: Identifier) -> NotFound:
    return NotFound("identifier_not_found", field="identifier", identifier=shorten(str(identifier)))


async def register(
    conn: Connection, rule: PrefixRule, template: Template, suffix: str, texts: dict[str, str], act: Act
) -> Located:
    """Create one identifier; raises Conflict if it was ever issued."""
    draft = draft_record(template, suffix, texts)
    (result,) = await issue(conn, rule, [draft], act)
    raise_unless_registered(rule, suffix, result)
    return await get_stored(conn, Identifier(rule.prefix, suffix))


async def change(
    conn: Connection,
    located: Located,
    template: Template,
    texts: dict[str, str],
    act: Act,
    *,
    keep_others: bool = True,
) -> Outcome:
    """Give new values by type; an empty text removes one. `keep_others` false replaces the whole record.

    `located` was read with `for_update` in this transaction. Answers updated or unchanged.
    """
    new = plan_change(located, template, texts, keep_others=keep_others)
    if new is None:
        return Outcome.UNCHANGED
    await _write(conn, located, ChangeKind.CHANGED, new, act)
    return Outcome.UPDATED


def plan_change(
    located: Located, template: Template, texts: dict[str, str], *, keep_others: bool = True
) -> NewRecord | None:
    """The record as it is to be; None if it says the same. Raises Retired, Conflict or InvalidInput."""
    stored = located.stored
    _check_not_retired(located)
    if stored.state == RecordState.FROZEN:
        raise Conflict("identifier_is_frozen", field="identifier", identifier=located.identifier, notice=stored.note)
    packed = merge_texts(stored.packed, template, texts, keep_others=keep_others)
    return None if says_the_same(stored.packed, packed) else _alter(located, packed, template.template_id)


def merge_texts(packed: bytes, template: Template, texts: dict[str, str], *, keep_others: bool = True) -> bytes:
    """A packed record with new values by type; an empty text removes one. Raises InvalidInput or TooLarge."""
    merged = {template.get_item(item_type).type: text for item_type, text in texts.items()}
    if keep_others:
        before = {value.type: value.data.decode() for value in unpack(packed)[1]}
        disabled = {item.type for item in template.items if not item.enabled} - merged.keys()
        merged = {t: text for t, text in (before | merged).items() if t not in disabled and t.lower() in
                  template.items_by_type}  # fmt: skip
    return pack_draft(template.template_id, "", template.check_values(merged)).packed


async def retire(conn: Connection, located: Located, act: Act, successor: Identifier | None = None) -> None:
    """Leave a tombstone; the successor, if any, must exist and be another identifier. Raises Forbidden if held."""
    _check_not_retired(located)
    await _check_not_held(conn, located, act)
    note = None
    if successor is not None:
        target = await get_successor(conn, successor)
        if (target.rule.prefix_id, target.stored.suffix_key) == (located.rule.prefix_id, located.stored.suffix_key):
            raise InvalidInput("successor_is_itself", field="successor", identifier=located.identifier)
        note = target.identifier
    await _write(conn, located, ChangeKind.RETIRED, plan_retirement(located, note), act)


async def get_successor(conn: Connection, successor: Identifier) -> Located:
    """Raises InvalidInput if there is none."""
    try:
        return await get_stored(conn, successor)
    except NotFound:
        raise InvalidInput(
            "successor_not_found", field="successor", successor=shorten(str(successor).removesuffix("/"))
        ) from None


def plan_retirement(located: Located, successor: str | None) -> NewRecord:
    _check_not_retired(located)
    return _alter(located, state=RecordState.RETIRED, note=successor)


async def restore(conn: Connection, located: Located, act: Act) -> None:
    """As it was before it was retired: one that was frozen answers with its notice again."""
    notice = (await find_notices(conn, located.rule, [located.stored])).get(located.stored.suffix_key)
    await _write(conn, located, ChangeKind.RESTORED, plan_restoration(located, notice), act)


def plan_restoration(located: Located, notice: str | None) -> NewRecord:
    """`notice`: that of a freeze it was retired from."""
    if located.stored.state != RecordState.RETIRED:
        raise Conflict("identifier_not_retired", field="identifier", identifier=located.identifier)
    return _alter(located, state=RecordState.LIVE if notice is None else RecordState.FROZEN, note=notice)


async def freeze(conn: Connection, located: Located, notice: str, act: Act) -> None:
    """Answer with a notice beside the values from now on; a frozen one gets the new notice, unless it is held."""
    await _check_not_held(conn, located, act)
    await _write(conn, located, ChangeKind.FROZEN, plan_freeze(located, notice), act)


def plan_freeze(located: Located, notice: str) -> NewRecord:
    _check_not_retired(located)
    return _alter(located, state=RecordState.FROZEN, note=check_notice(notice))


def check_notice(notice: str) -> str:
    """1 to 500 characters; raises InvalidInput."""
    notice = notice.strip()
    if not notice:
        raise InvalidInput("notice_missing", field="notice")
    if len(notice) > MAX_NOTICE_CHARACTERS:
        raise InvalidInput("notice_too_long", field="notice", length=len(notice))
    return notice


async def unfreeze(conn: Connection, located: Located, act: Act) -> None:
    """Raises Forbidden if the operator froze it and somebody else asks."""
    await _check_not_held(conn, located, act)
    await _write(conn, located, ChangeKind.UNFROZEN, plan_thaw(located), act)


def plan_thaw(located: Located) -> NewRecord:
    if located.stored.state != RecordState.FROZEN:
        raise Conflict("identifier_not_frozen", field="identifier", identifier=located.identifier)
    return _alter(located, state=RecordState.LIVE)


def check_revision(located: Located, expected: int | None) -> None:
    """Raise PreconditionFailed if the caller saw another revision (If-Match)."""
    if expected is not None and located.stored.revision != expected:
        raise PreconditionFailed(
            "identifier_changed_meanwhile",
            field="If-Match",
            identifier=located.identifier,
            revision=located.stored.revision,
        )


async def _check_not_held(conn: Connection, located: Located, act: Act) -> None:
    if await find_held(conn, located.rule, [located.stored], act):
        raise make_held(located)


def make_held(located: Located) -> Forbidden:
    return Forbidden(
        "identifier_held", field="identifier", identifier=located.identifier, notice=located.stored.note
    )  # fmt: skip


def _check_not_retired(located: Located) -> None:
    if located.stored.state == RecordState.RETIRED:
        raise Retired(
            "identifier_retired", field="identifier", identifier=located.identifier,
            successor=located.stored.note or "—",
        )  # fmt: skip


def _alter(
    located: Located,
    packed: bytes | None = None,
    template_id: int | None = None,
    *,
    state: RecordState | None = None,
    note: str | None = None,
) -> NewRecord:
    """The next revision: as it is, but for what is given."""
    stored = located.stored
    return NewRecord(
        stored.suffix_key,
        stored.suffix,
        stored.template_id if template_id is None else template_id,
        stored.packed if packed is None else packed,
        state=stored.state if state is None else state,
        note=note,
    )


async def _write(conn: Connection, located: Located, kind: ChangeKind, new: NewRecord, act: Act) -> None:
    """One new revision. The clock may have gone back: a revision never ends before it began."""
    stored = located.stored
    act = replace(act, at=max(act.at, stored.changed))
    await overwrite(conn, located.rule, kind, [new], {stored.suffix_key: stored}, act)


async def list_revisions(
    conn: Connection, located: Located, before: int | None = None, limit: int = 1_000
) -> list[Revision]:
    """Revisions below a number, or all, newest first; what a member's range said before is part of its history."""
    stored, rule = located.stored, located.rule
    present = []
    if before is None or stored.revision < before:
        present = [Revision(stored.revision, to_record(rule.prefix_id, stored), stored.changed, None)]
    last = stored.revision if before is None else min(before, stored.revision)
    rows = []
    if not stored.is_member:
        rows = await fetch_history(conn, rule.prefix_id, stored.suffix_key, last, limit - len(present))
        last = rows[-1]["revision"] if rows else last
    if last > 1:
        past = await _fetch_range_past(conn, located)
        rows += [row for row in past if row["revision"] < last][: limit - len(present) - len(rows)]
    return present + [
        Revision(
            row["revision"],
            _make_former(located, row),
            row["since"],
            row["until"],
            ChangeKind(row["action"]),
            row["actor"],
            row["reason"],
        )
        for row in rows
    ]


async def _fetch_range_past(conn: Connection, located: Located) -> list[Row]:
    """Former revisions of the range that holds this identifier, newest first; none if no range does."""
    prefix_id, key = located.rule.prefix_id, located.stored.suffix_key
    for shape in await fetch_shapes(conn, prefix_id):
        number = find_member(key, shape)
        if number is None:
            continue
        row = (await fetch_ranges_of(conn, prefix_id, shape, [number])).get(number)
        if row is not None:
            return await fetch_range_history(conn, prefix_id, shape, row["first"])
    return []


def _make_former(located: Located, row: Row) -> Record:
    """A row of the history as the record it was."""
    then = replace(located.stored, template_id=row["template_id"], packed=row["packed"], state=row["state"],
                   revision=row["revision"], changed=row["since"], note=row["note"])  # fmt: skip
    return to_record(located.rule.prefix_id, then)


async def get_record_at(conn: Connection, located: Located, at: datetime) -> Record:
    """The record as it was at that instant; raises NotFound if it was not issued yet."""
    stored = located.stored
    if at >= stored.changed:
        return to_record(located.rule.prefix_id, stored)
    row = await find_revision_at(conn, located.rule.prefix_id, stored.suffix_key, at)
    if row is None and at >= stored.created:
        past = await _fetch_range_past(conn, located)
        row = next((former for former in past if former["since"] <= at < former["until"]), None)
    if row is None:
        raise NotFound(
            "identifier_not_issued_then", field="at", identifier=located.identifier,
            at=at.astimezone(ZONE).isoformat(), created=stored.created.astimezone(ZONE).isoformat(),
        )  # fmt: skip
    return _make_former(located, row)
