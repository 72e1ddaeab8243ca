"""Changing, freezing, retiring and restoring whole ranges: one row, one entry of the change log, whatever their size.

Members that got records of their own before answer for themselves: they are left as they are, and told.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from asyncpg import Connection, Record

from registry.freezes import list_node_actors
from registry.issuing import Outcome
from registry.ranges import Range, read_range
from registry.records import Located, check_notice, get_successor, merge_texts
from registry.store.changes import Act, append_change
from registry.store.records import (
    PrefixRule,
    RangeContent,
    count_own_records,
    fetch_range_history,
    fetch_shapes,
    find_range,
    lock_for_range,
    replace_range,
)
from schemas.changes import ChangeKind
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed, Retired
from schemas.identifiers import Identifier, format_suffix_key, shorten
from schemas.ranges import Shape, find_member
from schemas.records import RecordState, says_the_same
from schemas.templates import Template


@dataclass(frozen=True, slots=True)
class LocatedRange:
    """A range as it stands; `own_records` of its members have records of their own."""

    rule: PrefixRule
    range: Range
    row: Record
    own_records: int

    @property
    def shape(self) -> Shape:
        return Shape(self.row["head_key"], self.row["width"], self.row["checked"])

    @property
    def first(self) -> str:
        return f"{self.rule.prefix}/{self.range.format_first()}"

    @property
    def revision(self) -> int:
        return int(self.row["revision"])


@dataclass(frozen=True, slots=True)
class RangeRevision:
    """One state of a range in time; `members` were meant by what ended it, by `actor` for `reason`."""

    revision: int
    template_id: int
    packed: bytes
    state: RecordState
    note: str
    since: datetime
    until: datetime | None = None
    action: ChangeKind | None = None
    actor: str = ""
    reason: str = ""
    members: int = 0


async def get_range(conn: Connection, rule: PrefixRule, first: str, *, for_update: bool = False) -> LocatedRange:
    """The range whose first serial this is; raises NotFound. `for_update`: nobody issues under the prefix meanwhile.

    Its first serial alone names a range, so that nobody who means one member touches all of them.
    """
    if for_update:
        await lock_for_range(conn, rule.prefix_id)
    key = format_suffix_key(first, rule.folds_case)
    for shape in await fetch_shapes(conn, rule.prefix_id):
        number = find_member(key, shape)
        row = None if number is None else await find_range(conn, rule.prefix_id, shape, number)
        if row is not None:
            found = read_range(row)
            own = await count_own_records(conn, rule.prefix_id, shape, *_get_bounds(shape, found))
            return LocatedRange(rule, found, row, own)
    raise NotFound("range_not_found", field="first", first=shorten(f"{rule.prefix}/{first}"))


def _get_bounds(shape: Shape, found: Range) -> tuple[str, str]:
    """The least and the greatest key a member can have."""
    low, high = (f"{shape.head}{number:0{shape.width}d}" for number in (found.first, found.last))
    return (low + "0", high + "X") if shape.checked else (low, high)


def check_range_revision(located: LocatedRange, expected: int | None) -> None:
    """Raise PreconditionFailed if the caller saw another revision (If-Match)."""
    if expected is not None and located.revision != expected:
        raise PreconditionFailed(
            "range_changed_meanwhile", field="If-Match", first=located.first, revision=located.revision
        )


async def change_range(
    conn: Connection, located: LocatedRange, template: Template, texts: dict[str, str], act: Act, *,
    keep_others: bool = True,
) -> Outcome:  # fmt: skip
    """Give its members new values by type; an empty text removes one. `located` was read with `for_update`."""
    _check_not_retired(located)
    row = located.row
    if row["state"] == RecordState.FROZEN:
        raise Conflict("range_is_frozen", field="first", first=located.first, notice=row["note"])
    packed = merge_texts(row["packed"], template, texts, keep_others=keep_others)
    if says_the_same(row["packed"], packed):
        return Outcome.UNCHANGED
    content = RangeContent(template.template_id, packed, row["state"], None)
    await _store(conn, located, ChangeKind.CHANGED, content, act)
    return Outcome.UPDATED


async def retire_range(conn: Connection, located: LocatedRange, act: Act, successor: Identifier | None = None) -> None:
    """Every member is a tombstone from now on, with one successor for all if there is one, which none of them is."""
    _check_not_retired(located)
    await check_not_held(conn, located, act)
    note = None
    if successor is not None:
        target = await get_successor(conn, successor)
        if _is_retired_with(target, located):
            raise InvalidInput("successor_is_itself", field="successor", identifier=target.identifier)
        note = target.identifier
    await _store_state(conn, located, ChangeKind.RETIRED, RecordState.RETIRED, note, act)


def _is_retired_with(target: Located, located: LocatedRange) -> bool:
    """Whether it is a member without a record of its own."""
    number = find_member(target.stored.suffix_key, located.shape)
    is_within = number is not None and located.range.first <= number <= located.range.last
    return target.stored.is_member and target.rule.prefix_id == located.rule.prefix_id and is_within


async def restore_range(conn: Connection, located: LocatedRange, act: Act) -> None:
    """As it was before it was retired: one that was frozen answers with its notice again."""
    if located.row["state"] != RecordState.RETIRED:
        raise Conflict("range_not_retired", field="first", first=located.first)
    before = (await list_range_revisions(conn, located))[1]
    await _store_state(conn, located, ChangeKind.RESTORED, before.state, before.note or None, act)


async def freeze_range(conn: Connection, located: LocatedRange, notice: str, act: Act) -> None:
    """Every member answers with the notice; a frozen range gets the new one, unless it is held."""
    _check_not_retired(located)
    await check_not_held(conn, located, act)
    await _store_state(conn, located, ChangeKind.FROZEN, RecordState.FROZEN, check_notice(notice), act)


async def unfreeze_range(conn: Connection, located: LocatedRange, act: Act) -> None:
    if located.row["state"] != RecordState.FROZEN:
        raise Conflict("range_not_frozen", field="first", first=located.first)
    await check_not_held(conn, located, act)
    await _store_state(conn, located, ChangeKind.UNFROZEN, RecordState.LIVE, None, act)


async def list_range_revisions(conn: Connection, located: LocatedRange) -> list[RangeRevision]:
    """All revisions, newest first."""
    row = located.row
    present = RangeRevision(row["revision"], row["template_id"], row["packed"], RecordState(row["state"]), row["note"],
                            row["changed"])  # fmt: skip
    former = await fetch_range_history(conn, located.rule.prefix_id, located.shape, row["first"])
    return [present] + [
        RangeRevision(
            old["revision"], old["template_id"], old["packed"], RecordState(old["state"]), old["note"], old["since"],
            old["until"], ChangeKind(old["action"]), old["actor"], old["reason"], old["members"],
        )
        for old in former
    ]  # fmt: skip


async def is_held(conn: Connection, located: LocatedRange, act: Act) -> bool:
    """Whether the operator froze it and somebody else asks."""
    if located.row["state"] != RecordState.FROZEN:
        return False
    revisions = await list_range_revisions(conn, located)
    freezer = next((revision.actor for revision in revisions if revision.action is ChangeKind.FROZEN), "")
    node = await list_node_actors(conn, (freezer, act.actor))
    return freezer in node and act.actor not in node


async def check_not_held(conn: Connection, located: LocatedRange, act: Act) -> None:
    """Raise Forbidden if it is held."""
    if await is_held(conn, located, act):
        raise Forbidden("range_held", field="first", first=located.first, notice=located.row["note"])


def _check_not_retired(located: LocatedRange) -> None:
    if located.row["state"] == RecordState.RETIRED:
        raise Retired("range_retired", field="first", first=located.first, successor=located.row["note"] or "—")


async def _store_state(
    conn: Connection, located: LocatedRange, kind: ChangeKind, state: RecordState, note: str | None, act: Act
) -> None:
    row = located.row
    await _store(conn, located, kind, RangeContent(row["template_id"], row["packed"], int(state), note), act)


async def _store(conn: Connection, located: LocatedRange, kind: ChangeKind, content: RangeContent, act: Act) -> None:
    """One new revision, named in the change log; retired and restored members are counted by an entry of their own."""
    row, rule = located.row, located.rule
    act = replace(act, at=max(act.at, row["changed"]))  # a clock may go back: no revision ends before it began
    members = located.range.members - located.own_records
    await replace_range(conn, rule.prefix_id, row, content, (kind, members, act))
    is_moved = content.template_id != row["template_id"]
    await append_change(
        conn, ChangeKind.RANGE_CHANGED, rule.prefix_id, act, template_id=content.template_id,
        old_template_id=row["template_id"] if is_moved else None,
        suffix_keys=[row["head_key"]] if members else [], members=members,
    )  # fmt: skip
    if members and kind in (ChangeKind.RETIRED, ChangeKind.RESTORED):
        await append_change(conn, kind, rule.prefix_id, act, template_id=content.template_id, members=members)
