"""Changing thousands of identifiers of one prefix in one transaction, each answered by itself.

What an identifier says or is already is "unchanged", so that whoever repeats a call that was cut learns the truth.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from asyncpg import Connection

from registry.freezes import find_held, find_notices
from registry.issuing import UNCHANGED, UPDATED, Outcome, Result, find_members, lock_members, overwrite
from registry.records import (
    Located,
    get_successor,
    is_storable,
    make_held,
    plan_change,
    plan_freeze,
    plan_restoration,
    plan_retirement,
    plan_thaw,
)
from registry.store.changes import Act
from registry.store.records import NewRecord, PrefixRule, StoredRecord, fetch_records, lock_for_issuing
from registry.templates import find_template_by_id
from schemas.changes import ChangeKind
from schemas.errors import Conflict, InvalidInput, NotFound, ServiceError
from schemas.identifiers import format_suffix_key, parse_any_identifier, shorten
from schemas.records import RecordState
from schemas.templates import Template

KINDS = {
    "update": ChangeKind.CHANGED,
    "retire": ChangeKind.RETIRED,
    "restore": ChangeKind.RESTORED,
    "freeze": ChangeKind.FROZEN,
    "unfreeze": ChangeKind.UNFROZEN,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One item: `texts` are values by type for update, `successor` is for retire, `notice` for freeze."""

    suffix: str
    texts: Mapping[str, str]
    successor: str | None = None
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is done to all of them: a key of KINDS; update: to which template (None: their own), others kept or not."""

    action: str
    template: Template | None = None
    keep_others: bool = True


async def change_many(
    conn: Connection, rule: PrefixRule, wanted: Wanted, changes: Sequence[Change | ServiceError], act: Act
) -> list[Result]:
    """Carry out up to 10,000 changes; the results stand in their order. What is an error already is refused."""
    await lock_for_issuing(conn, rule.prefix_id)
    results: list[Result | None] = [refuse(change) if isinstance(change, ServiceError) else None for change in changes]
    successors = await _find_successors(conn, changes) if wanted.action == "retire" else {}
    waiting = [(n, change) for n, change in enumerate(changes) if isinstance(change, Change)]
    while waiting:
        # An identifier that is named twice is changed twice, one after the other.
        wave: dict[str, tuple[int, Change]] = {}
        rest = []
        for n, change in waiting:
            key = format_suffix_key(change.suffix, rule.folds_case)
            if key in wave:
                rest.append((n, change))
            else:
                wave[key] = (n, change)
        for n, result in (await _change_wave(conn, rule, wanted, (wave, successors), act)).items():
            results[n] = result
        waiting = rest
    return [result for result in results if result is not None]


def refuse(error: ServiceError) -> Result:
    return Result(Outcome.REFUSED, error.code, {**error.details, "field": error.field or ""})


Successors = Mapping[str, str | ServiceError]
Wave = tuple[dict[str, tuple[int, Change]], Successors]
HOLDABLE = frozenset(("retire", "freeze", "unfreeze"))


@dataclass(frozen=True, slots=True)
class Aside:
    """What else decides: keys whose freeze is not the writer's to end; notices of retired ones that were frozen."""

    held: frozenset[str]
    notices: Mapping[str, str]
    successors: Successors


async def _change_wave(conn: Connection, rule: PrefixRule, wanted: Wanted, wave: Wave, act: Act) -> dict[int, Result]:
    """Every key once; the rows are locked in order of key."""
    named, successors = wave
    keys = sorted(key for key in named if is_storable(key))
    await lock_members(conn, rule, keys)
    existing = await fetch_records(conn, rule.prefix_id, keys, for_update=True)
    missing = [key for key in keys if key not in existing]
    existing |= await find_members(conn, rule, missing)
    templates = await _fetch_templates(conn, existing.values()) if wanted.action == "update" else {}
    aside = Aside(
        await find_held(conn, rule, existing.values(), act) if wanted.action in HOLDABLE else frozenset(),
        await find_notices(conn, rule, existing.values()) if wanted.action == "restore" else {},
        successors,
    )
    results, planned = {}, []
    for key, (n, change) in named.items():
        try:
            located = _locate(rule, change, existing.get(key))
            new = _plan(located, wanted, change, templates, aside)
        except ServiceError as error:
            results[n] = refuse(error)
            continue
        results[n] = UNCHANGED if new is None else UPDATED
        if new is not None:
            planned.append(new)
    planned.sort(key=lambda new: new.suffix_key)
    # A clock may go back: no revision ends before it began.
    at = max((existing[new.suffix_key].changed for new in planned), default=act.at)
    await overwrite(conn, rule, KINDS[wanted.action], planned, existing, replace(act, at=max(act.at, at)))
    return results


def _locate(rule: PrefixRule, change: Change, stored: StoredRecord | None) -> Located:
    identifier = f"{rule.prefix}/{change.suffix}"
    if stored is None:
        raise NotFound("identifier_not_found", field="identifier", identifier=shorten(identifier))
    if stored.template_id == 0:  # the record of a template itself, which its template writes
        raise Conflict("record_without_template", field="identifier", identifier=f"{rule.prefix}/{stored.suffix}")
    return Located(rule, stored)


def _plan(
    located: Located, wanted: Wanted, change: Change, templates: Mapping[int, Template | None], aside: Aside
) -> NewRecord | None:  # fmt: skip
    """The next revision; None if it is so already."""
    stored = located.stored
    if wanted.action == "update":
        template = wanted.template or templates[stored.template_id]
        if template is None:
            raise InvalidInput("record_without_items", field="template", identifier=located.identifier)
        return plan_change(located, template, dict(change.texts), keep_others=wanted.keep_others)
    new = _PLANS[wanted.action](located, change, aside)
    if new is not None and stored.suffix_key in aside.held:
        raise make_held(located)
    return new


async def _fetch_templates(conn: Connection, existing: Iterable[StoredRecord]) -> dict[int, Template | None]:
    used = {stored.template_id for stored in existing}
    return {template_id: await find_template_by_id(conn, template_id) for template_id in sorted(used)}


def _retire(located: Located, change: Change, aside: Aside) -> NewRecord | None:
    note = aside.successors[change.successor] if change.successor is not None else None
    if isinstance(note, ServiceError):
        raise note
    if note == located.identifier:
        raise InvalidInput("successor_is_itself", field="successor", identifier=located.identifier)
    if located.stored.state == RecordState.RETIRED and located.stored.note == (note or ""):
        return None
    return plan_retirement(located, note)


def _restore(located: Located, change: Change, aside: Aside) -> NewRecord | None:
    if located.stored.state != RecordState.RETIRED:
        return None
    return plan_restoration(located, aside.notices.get(located.stored.suffix_key))


def _freeze(located: Located, change: Change, aside: Aside) -> NewRecord | None:
    new = plan_freeze(located, change.notice)
    same = located.stored.state == RecordState.FROZEN and located.stored.note == new.note
    return None if same else new


def _thaw(located: Located, change: Change, aside: Aside) -> NewRecord | None:
    return None if located.stored.state == RecordState.LIVE else plan_thaw(located)


_PLANS: dict[str, Callable[[Located, Change, Aside], NewRecord | None]] = {
    "retire": _retire,
    "restore": _restore,
    "freeze": _freeze,
    "unfreeze": _thaw,
}


async def _find_successors(conn: Connection, changes: Sequence[Change | ServiceError]) -> dict[str, str | ServiceError]:
    """Each that is named once: as it was first written, or why it cannot be one."""
    found: dict[str, str | ServiceError] = {}
    for change in changes:
        if isinstance(change, ServiceError) or change.successor is None or change.successor in found:
            continue
        try:
            found[change.successor] = (await get_successor(conn, parse_any_identifier(change.successor))).identifier
        except ServiceError as error:
            found[change.successor] = error
    return found
