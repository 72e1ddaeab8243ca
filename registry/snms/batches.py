"""Up to 2,000 identifiers a call (§d.4, H2, H4, H6): one transaction, an answer for every item, in order.

What is done to a batch that was cut off can be learnt by sending it again: what landed says `标识已存在` when created,
`success` when updated, and `标识不存在` when deleted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from asyncpg import Connection

from registry import bulk
from registry.issuing import Draft, Outcome, Result, issue
from registry.snms import texts
from registry.snms.calls import SnmsCall
from registry.snms.edge import Route
from registry.snms.fields import Fields, Refusal
from registry.snms.identifiers import DATA, read_mode
from registry.snms.items import (
    MAX_HANDLE_CHARACTERS,
    HandleItem,
    check_given,
    check_required,
    draft_item,
    read_item,
    read_texts,
)
from registry.snms.targets import get_rule_for_writing, get_template_for_writing
from registry.store.records import PrefixRule
from schemas.errors import ServiceError, Unavailable
from schemas.identifiers import Identifier, format_suffix_key, parse_new_identifier
from schemas.templates import Template

MAX_ITEMS = 2_000
MAX_BATCH_BYTES = 32 * 1024 * 1024
_GONE = frozenset({"identifier_not_found", "identifier_retired"})

Failure = ServiceError | Refusal
Read = TypeVar("Read")
Made = TypeVar("Made")


async def create(call: SnmsCall) -> object:
    raw = read_list(call, "items")
    items = await asyncio.to_thread(lambda: [_try(read_item, one) for one in raw])
    drafts = await _prepare(call, items, lambda template, item: draft_item(template, item))

    async def write(conn: Connection, rule: PrefixRule, chosen: Sequence[Draft]) -> Sequence[str]:
        return [_say_created(result) for result in await issue(conn, rule, chosen, call.order().act)]

    said = await _write_by_prefix(call, _list_prefixes(items), drafts, write)
    return [{"handle": _name(one), "msg": message} for one, message in zip(raw, said, strict=True)]


async def update(call: SnmsCall) -> object:
    """As PUT of each: the whole record, or with `?mode=merge` what is sent."""
    raw, merges = read_list(call, "items"), read_mode(call)
    items = await asyncio.to_thread(lambda: [_try(read_item, one) for one in raw])

    def prepare(template: Template, item: HandleItem) -> tuple[Template, bulk.Change]:
        given = read_texts(template, item.values)
        if not merges:
            check_required(template, given)
        return template, bulk.Change(item.identifier.suffix, given)

    changes = await _prepare(call, items, prepare)

    async def write(
        conn: Connection, rule: PrefixRule, chosen: Sequence[tuple[Template, bulk.Change]]
    ) -> Sequence[str]:
        return await _update(conn, rule, chosen, call, keep_others=merges)

    said = await _write_by_prefix(call, _list_prefixes(items), changes, write)
    return [{"handle": _name(one), "msg": message} for one, message in zip(raw, said, strict=True)]


async def delete(call: SnmsCall) -> object:
    raw = read_list(call, "handles", "items")
    named = [_try(_read_handle, one) for one in raw]

    async def write(conn: Connection, rule: PrefixRule, chosen: Sequence[Identifier]) -> Sequence[str]:
        changes = [bulk.Change(one.suffix, {}) for one in chosen]
        results = await bulk.change_many(conn, rule, bulk.Wanted("retire"), changes, call.order().act)
        return [_say_deleted(result) for result in results]

    said = await _write_by_prefix(call, [_get_prefix(one) for one in named], named, write)
    return [
        {"handle": one if isinstance(one, str) else "", "code": 1 if message == texts.SUCCESS else -2, "msg": message}
        for one, message in zip(raw, said, strict=True)
    ]


def read_list(call: SnmsCall, *names: str) -> list[object]:
    """The body: a list, or an object that holds it under one of these names (§d.8, d.9)."""
    body = call.body
    if isinstance(body, dict):
        body = next((body[name] for name in names if name in body), body)
    if not isinstance(body, list):
        raise Refusal(texts.BODY_NOT_LIST)
    if not 1 <= len(body) <= MAX_ITEMS:
        raise Refusal(texts.BATCH_SIZE.format(most=MAX_ITEMS, count=len(body)))
    return body


def _read_handle(raw: object) -> Identifier:
    return parse_new_identifier(Fields({"handle": raw}).get_text("handle", MAX_HANDLE_CHARACTERS))


def _try(read: Callable[[object], Read], raw: object) -> Read | Failure:
    try:
        return read(raw)
    except (ServiceError, Refusal) as error:
        return error


def _name(raw: object) -> str:
    """The identifier of an item as it was sent."""
    handle = raw.get("handle") if isinstance(raw, dict) else None
    return handle if isinstance(handle, str) else ""


def _get_prefix(read: Identifier | Failure) -> str:
    return read.prefix if isinstance(read, Identifier) else ""


def _list_prefixes(items: Sequence[HandleItem | Failure]) -> list[str]:
    return [_get_prefix(item.identifier) if isinstance(item, HandleItem) else "" for item in items]


async def _prepare(
    call: SnmsCall, items: Sequence[HandleItem | Failure], make: Callable[[Template, HandleItem], Made]
) -> list[Made | Failure]:
    """What takes time is done before the transaction begins: every item is checked against its template."""
    templates = await _find_templates(call, items)

    def prepare() -> list[Made | Failure]:
        return [_make_one(item, templates, make) for item in items]

    return await asyncio.to_thread(prepare)


async def _find_templates(
    call: SnmsCall, items: Sequence[HandleItem | Failure]
) -> dict[tuple[str, str], Template | Failure]:
    """By prefix and version; the prefix is looked at first, as it is when a single one is written."""
    wanted = {(item.identifier.prefix, item.version) for item in items if isinstance(item, HandleItem)}
    found: dict[tuple[str, str], Template | Failure] = {}
    refused: dict[str, Failure | None] = {}
    async with call.connect() as conn:
        for prefix, version in sorted(wanted):
            if prefix not in refused:
                refused[prefix] = await _failure_of(get_rule_for_writing(conn, call, prefix))
            failure = refused[prefix]
            if failure is not None:
                found[prefix, version] = failure
                continue
            try:
                found[prefix, version] = await get_template_for_writing(conn, call, prefix, version)
            except (ServiceError, Refusal) as error:
                found[prefix, version] = _unless_away(error)
    return found


async def _failure_of(look: Awaitable[object]) -> Failure | None:
    try:
        await look
    except (ServiceError, Refusal) as error:
        return _unless_away(error)
    return None


def _unless_away(error: Failure) -> Failure:
    """A database that is away is no property of an item."""
    if isinstance(error, Unavailable):
        raise error
    return error


def _make_one(
    item: HandleItem | Failure,
    templates: dict[tuple[str, str], Template | Failure],
    make: Callable[[Template, HandleItem], Made],
) -> Made | Failure:
    if not isinstance(item, HandleItem):
        return item
    template = templates[item.identifier.prefix, item.version]
    if not isinstance(template, Template):
        return template
    try:
        return make(template, item)
    except (ServiceError, Refusal) as error:
        return error


async def _write_by_prefix(
    call: SnmsCall,
    prefixes: Sequence[str],
    made: Sequence[Made | Failure],
    write: Callable[[Connection, PrefixRule, Sequence[Made]], Awaitable[Sequence[str]]],
) -> list[str]:
    """What is to be said of every item. Prefixes in order, so that two batches never wait for each other."""
    said = [_say(one) if isinstance(one, ServiceError | Refusal) else "" for one in made]
    places: dict[str, list[int]] = {}
    for n, one in enumerate(made):
        if not isinstance(one, ServiceError | Refusal):
            places.setdefault(prefixes[n], []).append(n)
    if not places:
        return said
    async with call.write() as conn:
        for prefix in sorted(places):
            at = places[prefix]
            try:
                rule = await get_rule_for_writing(conn, call, prefix)
            except (ServiceError, Refusal) as error:
                messages: Sequence[str] = [_say(_unless_away(error))] * len(at)
            else:
                messages = await write(
                    conn, rule, [one for n in at if not isinstance(one := made[n], ServiceError | Refusal)]
                )
            for n, message in zip(at, messages, strict=True):
                said[n] = message
    return said


async def _update(
    conn: Connection,
    rule: PrefixRule,
    chosen: Sequence[tuple[Template, bulk.Change]],
    call: SnmsCall,
    *,
    keep_others: bool,
) -> list[str]:
    """Template by template; of two items for one identifier the first counts (§d.8)."""
    said = [texts.TAKEN] * len(chosen)
    seen: set[str] = set()
    groups: dict[int, list[int]] = {}
    for n, (template, change) in enumerate(chosen):
        key = format_suffix_key(change.suffix, rule.folds_case)
        if key not in seen:
            seen.add(key)
            groups.setdefault(template.template_id, []).append(n)
    for at in groups.values():
        order = bulk.Wanted("update", chosen[at[0]][0], keep_others)
        results = await bulk.change_many(conn, rule, order, [chosen[n][1] for n in at], call.order().act)
        for n, result in zip(at, results, strict=True):
            said[n] = _say_updated(*chosen[n], result)
    return said


def _say(error: Failure) -> str:
    return error.message if isinstance(error, Refusal) else texts.say(error)


def _say_updated(template: Template, change: bulk.Change, result: Result) -> str:
    """As a single PUT: what is wrong with the values is said before that there is no such identifier."""
    if result.code in _GONE:
        try:
            check_given(template, change.texts)
        except ServiceError as error:
            return texts.say(error)
    return _say_result(result)


def _say_result(result: Result) -> str:
    """Of an update: what says so already is a success, too."""
    if result.outcome is not Outcome.REFUSED:
        return texts.SUCCESS
    return texts.say(ServiceError(result.code, **result.details))  # type: ignore[arg-type]


def _say_created(result: Result) -> str:
    """Equal or not: what exists, exists."""
    return texts.SUCCESS if result.outcome is Outcome.REGISTERED else texts.TAKEN


def _say_deleted(result: Result) -> str:
    """What was deleted before is not there, as what never was."""
    if result.outcome is Outcome.UPDATED:
        return texts.SUCCESS
    gone = result.outcome is Outcome.UNCHANGED or result.code in _GONE
    return texts.NOT_THERE if gone else _say_result(result)


ROUTES = {
    ("POST", f"{DATA}/batchCreate"): Route(create, scope="write", max_body_bytes=MAX_BATCH_BYTES),
    ("PUT", f"{DATA}/batchUpdate"): Route(update, scope="write", max_body_bytes=MAX_BATCH_BYTES),
    ("DELETE", f"{DATA}/batchDelete"): Route(delete, scope="write", max_body_bytes=MAX_BATCH_BYTES),
}
