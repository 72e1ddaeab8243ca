"""Issuing rules: creating and overwriting identifiers, one by one or ten thousand at a time (design 2, 4, 5).

Every function here runs inside the caller's transaction. Nothing issued is ever issued again: a retired record
stays as a row, and a member of a range counts as issued.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from asyncpg import Connection, Record

from registry.store.changes import Act, append_change
from registry.store.records import (
    CopiedRecord,
    NewRecord,
    PrefixRule,
    StoredRecord,
    copy_records,
    fetch_ranges_of,
    fetch_records,
    fetch_shapes,
    insert_new_records,
    lock_for_issuing,
    lock_ranges,
    replace_records,
)
from schemas.changes import ChangeKind
from schemas.errors import Conflict, Forbidden
from schemas.identifiers import check_new_suffix, format_suffix_key
from schemas.ranges import Shape, find_member
from schemas.records import RecordState, keep_times, pack_texts, says_the_same
from schemas.templates import Item, Template

PREFIX_ENABLED, HOSTED_HERE = 1, 4


class Outcome(StrEnum):
    """What became of one row."""

    REGISTERED = "registered"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DIFFERS = "differs"
    REFUSED = "refused"


class Draft(NamedTuple):
    """A checked suffix with the packed record it is to get."""

    suffix: str
    template_id: int
    packed: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """`code` and `details` say why, for differs and refused."""

    outcome: Outcome
    code: str = ""
    details: dict[str, object] = field(default_factory=dict)


_NEVER = datetime.fromtimestamp(0, UTC)
REGISTERED, UPDATED, UNCHANGED = Result(Outcome.REGISTERED), Result(Outcome.UPDATED), Result(Outcome.UNCHANGED)


def draft_record(template: Template, suffix: str, texts: dict[str, str]) -> Draft:
    """Check a new suffix and values by type against the template; raises InvalidInput, TooLarge or Conflict."""
    check_enabled(template)
    return pack_draft(template.template_id, check_new_suffix(suffix), template.check_values(texts))


def check_enabled(template: Template) -> None:
    """Raise Conflict for a withdrawn template: what was registered by it stays, nothing new is."""
    if not template.enabled:
        raise Conflict("template_withdrawn", field="template", version=template.version)


def pack_draft(template_id: int, suffix: str, values: Sequence[tuple[Item, str]]) -> Draft:
    packed = pack_texts(template_id, [(item.index, item.type, text) for item, text in values])
    return Draft(suffix, template_id, packed)


def check_may_issue(rule: PrefixRule) -> None:
    """Raise Forbidden unless the prefix is enabled and hosted here."""
    if rule.state != PREFIX_ENABLED:
        raise Forbidden("prefix_not_enabled", field="prefix", prefix=rule.prefix)
    if rule.hosting != HOSTED_HERE:
        raise Forbidden("prefix_not_hosted", field="prefix", prefix=rule.prefix)


async def issue(
    conn: Connection, rule: PrefixRule, drafts: Sequence[Draft], act: Act, *, update: bool = False
) -> list[Result]:
    """Issue up to 10,000 drafts of one template; the results stand in the order of the drafts."""
    check_may_issue(rule)
    await lock_for_issuing(conn, rule.prefix_id)
    batch = _Batch(rule, drafts)
    if update:
        await lock_members(conn, rule, batch.keys)
    members = await find_members(conn, rule, batch.keys)
    if not members and await copy_records(conn, rule.prefix_id, act.at, batch.list_copied()):
        await _append_created(conn, rule, batch, batch.keys, act)
        if len(batch.keys) == len(drafts):
            return [REGISTERED] * len(drafts)
        written, existing = set(batch.keys), {}
    else:
        fresh = batch.list_new(members)
        written = await insert_new_records(conn, rule.prefix_id, act.at, fresh)
        taken = [key for key in batch.keys if key not in written]
        existing = members | await fetch_records(conn, rule.prefix_id, taken, for_update=update)
        await _append_created(conn, rule, batch, [key for key in batch.keys if key in written], act)
    results, overwritten = batch.judge(written, existing, update)
    await overwrite(conn, rule, ChangeKind.CHANGED, overwritten, existing, act)
    return results


async def preview(conn: Connection, rule: PrefixRule, drafts: Sequence[Draft], *, update: bool = False) -> list[Result]:
    """What `issue` would answer, writing nothing. Chunks of one connection see each other (a temporary table)."""
    check_may_issue(rule)
    await conn.execute(
        'CREATE TEMPORARY TABLE IF NOT EXISTS previewed (suffix_key text COLLATE "C" PRIMARY KEY, packed bytea)'
    )
    batch = _Batch(rule, drafts)
    existing = await find_members(conn, rule, batch.keys)
    existing |= await fetch_records(conn, rule.prefix_id, batch.keys)
    seen = await conn.fetch("SELECT suffix_key, packed FROM previewed WHERE suffix_key = ANY($1::text[])", batch.keys)
    for row in seen:
        batch.preview_seen(row["suffix_key"], row["packed"], existing)
    written = batch.first.keys() - existing.keys()
    results, overwritten = batch.judge(written, existing, update)
    now = {key: batch.first[key].packed for key in written} | {new.suffix_key: new.packed for new in overwritten}
    await conn.execute(
        "INSERT INTO previewed SELECT * FROM unnest($1::text[], $2::bytea[])"
        " ON CONFLICT (suffix_key) DO UPDATE SET packed = excluded.packed",
        list(now),
        list(now.values()),
    )
    return results


class _Batch:
    """Drafts by key; what stands twice in one batch is judged against its first appearance."""

    def __init__(self, rule: PrefixRule, drafts: Sequence[Draft]) -> None:
        self._rule = rule
        self._drafts = drafts
        folds_case = rule.folds_case
        self._keys_in_order = [format_suffix_key(draft.suffix, folds_case) for draft in drafts]
        # Backwards, so that the first of a key is what stays.
        self.first = dict(zip(reversed(self._keys_in_order), reversed(drafts), strict=True))
        self.keys = sorted(self.first)

    def list_copied(self) -> Iterator[CopiedRecord]:
        """All of them, in order of key, which spares the index and rules out deadlocks between batches."""
        first = self.first
        for key in self.keys:
            suffix, template_id, packed = first[key]
            yield key, suffix, template_id, packed

    def list_new(self, members: dict[str, StoredRecord]) -> list[NewRecord]:
        """Those that no range holds, in order of key."""
        return [
            NewRecord(key, self.first[key].suffix, self.first[key].template_id, self.first[key].packed)
            for key in self.keys
            if key not in members
        ]

    def preview_seen(self, key: str, packed: bytes, existing: dict[str, StoredRecord]) -> None:
        """An earlier chunk of this preview would have written this."""
        draft, stored = self.first[key], existing.get(key)
        now = stored.changed if stored else _NEVER
        existing[key] = StoredRecord(key, draft.suffix, draft.template_id, packed, 0, 1, now, now, "")

    def judge(
        self, written: set[str], existing: dict[str, StoredRecord], update: bool
    ) -> tuple[list[Result], list[NewRecord]]:
        """The result of every draft, and the records that are to be overwritten (last writer of a key wins)."""
        overwritten: dict[str, NewRecord] = {}
        fresh = set(written)
        results: list[Result] = []
        for key, draft in zip(self._keys_in_order, self._drafts, strict=True):
            if key in fresh:
                fresh.discard(key)
                results.append(REGISTERED)
                continue
            # A member's own answer is the range's, and issuing it again is refused whatever it says.
            present = overwritten[key].packed if key in overwritten else None
            result = self._judge_present(key, draft, existing.get(key), present, update)
            if result.outcome is Outcome.UPDATED:
                overwritten[key] = NewRecord(key, draft.suffix, draft.template_id, draft.packed)
            results.append(result)
        return results, [overwritten[key] for key in sorted(overwritten)]

    def _judge_present(
        self, key: str, draft: Draft, stored: StoredRecord | None, present: bytes | None, update: bool
    ) -> Result:
        identifier = f"{self._rule.prefix}/{draft.suffix}"
        if stored is not None and stored.state == RecordState.RETIRED:
            return Result(Outcome.REFUSED, "identifier_taken_retired", {"identifier": identifier})
        packed = present or (stored.packed if stored else self.first[key].packed)
        if says_the_same(packed, draft.packed):
            return UNCHANGED
        if not update:
            return Result(Outcome.DIFFERS, "identifier_differs", {"identifier": identifier})
        if stored is not None and stored.state == RecordState.FROZEN:
            details: dict[str, object] = {"identifier": identifier, "notice": stored.note}
            return Result(Outcome.REFUSED, "identifier_is_frozen", details)
        return UPDATED


async def overwrite(
    conn: Connection,
    rule: PrefixRule,
    kind: ChangeKind,
    records: Sequence[NewRecord],
    existing: dict[str, StoredRecord],
    act: Act,
) -> None:
    """Write new revisions; a member of a range gets a record of its own first, with the range's values as history.

    It goes on with the range's number of revision, so that an ETag of before never fits again.
    """
    if not records:
        return
    own = [
        NewRecord(s.suffix_key, new.suffix, s.template_id, s.packed, from_range=True, created=s.created,
                  state=s.state, note=s.note or None, changed=s.changed, revision=s.revision)
        for new in records
        if (s := existing.get(new.suffix_key)) is not None and s.is_member
    ]  # fmt: skip
    if own:
        await insert_new_records(conn, rule.prefix_id, act.at, own)
    await replace_records(conn, rule.prefix_id, kind, [_keep_old_times(new, existing) for new in records], act)
    moved: dict[tuple[int, int], list[str]] = {}
    for new in records:
        stored = existing.get(new.suffix_key)
        old = stored.template_id if stored else new.template_id
        moved.setdefault((old, new.template_id), []).append(new.suffix_key)
    for (old, template_id), keys in moved.items():
        await append_change(
            conn, kind, rule.prefix_id, act, template_id=template_id,
            old_template_id=old if old != template_id else None, suffix_keys=keys,
        )  # fmt: skip


def _keep_old_times(new: NewRecord, existing: dict[str, StoredRecord]) -> NewRecord:
    """A value that says the same as before keeps the time of its last change."""
    stored = existing.get(new.suffix_key)
    if stored is None:
        return new
    return new._replace(packed=keep_times(new.packed, stored.packed, int(stored.changed.timestamp())))


async def _append_created(conn: Connection, rule: PrefixRule, batch: _Batch, keys: Sequence[str], act: Act) -> None:
    by_template: dict[int, list[str]] = {}
    for key in keys:
        by_template.setdefault(batch.first[key].template_id, []).append(key)
    for template_id, created in by_template.items():
        await append_change(conn, ChangeKind.CREATED, rule.prefix_id, act, template_id=template_id, suffix_keys=created)


async def find_members(conn: Connection, rule: PrefixRule, keys: Sequence[str]) -> dict[str, StoredRecord]:
    """Those of the keys that are members of ranges, as records that say what their range says.

    A member that got a record of its own is that record.
    """
    found: dict[str, StoredRecord] = {}
    for shape in await fetch_shapes(conn, rule.prefix_id):
        numbers = {key: number for key in keys if (number := find_member(key, shape)) is not None}
        if not numbers:
            continue
        ranges = await fetch_ranges_of(conn, rule.prefix_id, shape, sorted(set(numbers.values())))
        for key, number in numbers.items():
            if (row := ranges.get(number)) is not None:
                found[key] = _make_member(shape, key, row)
    if found:
        found |= await fetch_records(conn, rule.prefix_id, list(found))
    return found


async def lock_members(conn: Connection, rule: PrefixRule, keys: Sequence[str]) -> None:
    """Keep others from giving records of their own to those of the keys that are members without one.

    Such a member has no row to lock, so its range is locked: before any record is, so that nobody waits in a circle.
    Looked up after this, it is what it will be until the transaction ends.
    """
    shapes = await fetch_shapes(conn, rule.prefix_id)
    for shape in sorted(shapes, key=lambda shape: (shape.head, shape.width, shape.checked)):
        numbers = {key: number for key in keys if (number := find_member(key, shape)) is not None}
        own = await fetch_records(conn, rule.prefix_id, list(numbers)) if numbers else {}
        wanted = sorted({number for key, number in numbers.items() if key not in own})
        ranges = await fetch_ranges_of(conn, rule.prefix_id, shape, wanted) if wanted else {}
        if ranges:
            await lock_ranges(conn, rule.prefix_id, shape, sorted({row["first"] for row in ranges.values()}))


def _make_member(shape: Shape, key: str, row: Record) -> StoredRecord:
    return StoredRecord(
        key, row["head"] + key[len(shape.head) :], row["template_id"], row["packed"], row["state"], row["revision"],
        row["created"], row["changed"], row["note"], is_member=True,
    )  # fmt: skip


def raise_unless_registered(rule: PrefixRule, suffix: str, result: Result) -> None:
    """For one identifier: a second issue is refused, also with equal values (101, 标识已存在)."""
    if result.outcome is Outcome.REGISTERED:
        return
    code = result.code if result.code == "identifier_taken_retired" else "identifier_taken"
    raise Conflict(code, field="identifier", identifier=f"{rule.prefix}/{suffix}")
