"""Templates of a prefix: added once, then only widened (domain.md §b.2 W5, §d.5 PUT).

A version that identifiers use keeps its meaning: items may be added, enabled and disabled, lengths widened. Nothing is
ever removed or given another index, type or kind of data. Each template has an identifier of its own,
`prefix/META_<version>`, an ordinary record that shows its public items and counts as no registration.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from asyncpg import Connection

from registry.prefixes import get_prefix, get_writable_prefix
from registry.principals import Order, Principal
from registry.store.changes import append_change
from registry.store.prefixes import PrefixRow
from registry.store.records import NewRecord, fetch_records, insert_new_records, lock_for_range, replace_records
from registry.store.templates import (
    TemplateRow,
    count_users,
    fetch_templates,
    find_template,
    find_template_row,
    insert_template,
    update_document,
)
from schemas.changes import ChangeKind
from schemas.errors import Conflict, InvalidInput, NotFound
from schemas.identifiers import check_new_suffix, format_suffix_key, shorten
from schemas.records import RecordState, pack_texts
from schemas.templates import FIRST_ITEM_INDEX, Template, Visibility, bind_template, format_template, parse_template

DOCUMENT_INDEX, DOCUMENT_TYPE = 2_000, "TEMPLATE_DOCUMENT"
_COUNT_LIMIT = 1_000


async def add_template(conn: Connection, order: Order, prefix: str, document: object) -> tuple[Template, bool]:
    """Store a template; the same document again is unchanged. True if it is new. Raises Conflict for another one."""
    template = parse_template(document, prefix)
    async with conn.transaction():
        owner = await get_writable_prefix(conn, order.principal, prefix, "templates")
        suffix = check_new_suffix(template.handle_suffix)
        key = format_suffix_key(suffix, owner.folds_case)
        stored = format_template(template)
        template_id = await insert_template(conn, owner.prefix_id, template.version, key, stored, order.at)
        if template_id is None:
            return await _add_again(conn, order, owner, template)
        new = NewRecord(key, suffix, 0, _pack_document(template))
        if not await insert_new_records(conn, owner.prefix_id, order.at, [new]):
            raise Conflict("identifier_taken", field="version", identifier=template.handle)
        await _append(conn, order, owner.prefix_id, template_id, key)
    return bind_template(template, prefix, template_id), True


async def _add_again(conn: Connection, order: Order, owner: PrefixRow, template: Template) -> tuple[Template, bool]:
    """The version exists: unchanged if it says the same, brought back if it was deleted."""
    key = format_suffix_key(template.handle_suffix, owner.folds_case)
    row = await find_template(conn, owner.prefix, key, for_update=True)
    same = row is not None and _without_state(row.document) == _without_state(format_template(template))
    if row is None or not same:
        version = row.version if row else template.version
        raise Conflict("template_taken", field="version", prefix=owner.prefix, version=version)
    if row.deleted is not None:
        await _store(conn, order, row, template, RecordState.LIVE)
        return bind_template(template, owner.prefix, row.template_id), True
    return _to_template(row), False


async def get_template(conn: Connection, principal: Principal, prefix: str, version: str) -> Template:
    """Raises NotFound. Versions are compared as identifiers are."""
    owner = await get_prefix(conn, principal, prefix)
    return _to_template(await _get_row(conn, owner, version))


async def lock_template(conn: Connection, principal: Principal, prefix: str, version: str) -> Template:
    """As `get_template`, for who changes it only if it is what he saw; locked in the order of all other changes."""
    owner = await get_prefix(conn, principal, prefix)
    await lock_for_range(conn, owner.prefix_id)
    return _to_template(await _get_row(conn, owner, version, for_update=True))


async def find_template_by_id(conn: Connection, template_id: int) -> Template | None:
    """The template a record refers to, deleted or not."""
    row = await find_template_row(conn, template_id)
    return _to_template(row) if row else None


async def list_templates(conn: Connection, principal: Principal, prefix: str) -> list[Template]:
    """The templates of a prefix, oldest first."""
    await get_prefix(conn, principal, prefix)
    return [_to_template(row) for row in await fetch_templates(conn, prefix)]


async def change_template(
    conn: Connection, order: Order, prefix: str, version: str, changes: Mapping[str, Any]
) -> tuple[Template, bool]:
    """Apply a document that holds only what changes; items that are not sent stay. True if anything changed.

    Items are matched by index and type. Without an index, a type that is known means its item, another a new one. What
    no identifier uses yet may also be narrowed.
    """
    try:
        return await _change(conn, order, (prefix, version), changes, may_narrow=False)
    except Conflict as error:
        if error.code != "template_meaning":
            raise
        return await _change(conn, order, (prefix, version), changes, may_narrow=True)


async def _change(
    conn: Connection, order: Order, key: tuple[str, str], changes: Mapping[str, Any], *, may_narrow: bool
) -> tuple[Template, bool]:
    async with conn.transaction():
        owner = await get_writable_prefix(conn, order.principal, key[0], "templates")
        if may_narrow:
            await lock_for_range(conn, owner.prefix_id)  # nobody issues by it meanwhile
        row = await _get_row(conn, owner, key[1], for_update=True)
        old = _to_template(row)
        is_used = not may_narrow or await count_users(conn, owner.prefix_id, row.template_id, 1) > 0
        new = merge_template(old, changes, is_used=is_used)
        if new == old:
            return old, False
        await _store(conn, order, row, new, RecordState.LIVE)
    return new, True


async def delete_template(conn: Connection, order: Order, prefix: str, version: str) -> None:
    """Only if no live identifier uses it; its own identifier is retired. Raises Conflict with their number."""
    async with conn.transaction():
        owner = await get_writable_prefix(conn, order.principal, prefix, "templates")
        await lock_for_range(conn, owner.prefix_id)  # nobody issues by it meanwhile
        row = await _get_row(conn, owner, version, for_update=True)
        used = await count_users(conn, owner.prefix_id, row.template_id, _COUNT_LIMIT)
        if used:
            count = f"{_COUNT_LIMIT:,}+" if used >= _COUNT_LIMIT else used
            raise Conflict("template_in_use", field="version", version=row.version, count=count)
        await _store(conn, order, row, _to_template(row), RecordState.RETIRED)


def merge_template(old: Template, changes: Mapping[str, Any], *, is_used: bool = True) -> Template:
    """The template after a change, or InvalidInput / Conflict where its meaning would change."""
    document = format_template(old)
    raw_items = changes.get("items", [])
    if not isinstance(raw_items, list):
        raise InvalidInput("template_malformed", field="items", expected="[…]")
    items = {item["index"]: item for item in document["items"]}
    for raw in raw_items:
        if not isinstance(raw, dict):
            raise InvalidInput("template_malformed", field="items", expected="{…}")
        index = _find_index(old, items, raw)
        items[index] = items.get(index, {}) | raw | {"index": index}
    version = changes.get("version", old.version)
    if version != old.version:
        raise Conflict("template_meaning", field="version", item=shorten(str(version)))
    merged = document | dict(changes) | {"items": list(items.values())}
    new = bind_template(parse_template(merged, old.prefix), old.prefix, old.template_id)
    _check_meaning(old, new, is_used)
    return new


def _find_index(old: Template, items: Mapping[int, Any], raw: Mapping[str, Any]) -> Any:
    index, item_type = raw.get("index"), raw.get("type")
    known = old.items_by_type.get(item_type.lower()) if isinstance(item_type, str) else None
    if index is None:
        return known.index if known else max(items, default=FIRST_ITEM_INDEX - 1) + 1
    if not isinstance(index, int):
        raise InvalidInput("template_malformed", field="items.index", expected=f"{FIRST_ITEM_INDEX}–{2**31 - 1}")
    if index in items and (known is None or known.index != index):
        if item_type is None:
            return index
        raise Conflict("template_meaning", field="items", item=f"{index} {shorten(str(item_type))}")
    return index


def _check_meaning(old: Template, new: Template, is_used: bool) -> None:
    if is_used and new.industry != old.industry and old.industry is not None:
        raise Conflict("template_meaning", field="industry", item="industry")
    if is_used and new.active_carrier != old.active_carrier:
        raise Conflict("template_meaning", field="active_carrier", item="active_carrier")
    for item in old.items:
        same = new.items_by_index[item.index]
        is_shorter = same.max_length < item.max_length or same.min_length > item.min_length
        narrower = is_used and (is_shorter or (same.required and not item.required))
        if (same.type, same.data) != (item.type, item.data) or narrower:
            raise Conflict("template_meaning", field="items", item=f"{item.index} {shorten(item.type)}")


def _without_state(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "enabled"}


def _pack_document(template: Template) -> bytes:
    """The record of the template's own identifier: what anyone may know of it."""
    document = format_template(template)
    public = {item.index for item in template.items if item.visibility is Visibility.PUBLIC}
    document["items"] = [item for item in document["items"] if item["index"] in public]
    return pack_texts(0, [(DOCUMENT_INDEX, DOCUMENT_TYPE, orjson.dumps(document).decode())])


def _to_template(row: TemplateRow) -> Template:
    return bind_template(parse_template(row.document, row.prefix), row.prefix, row.template_id)


async def _get_row(conn: Connection, owner: PrefixRow, version: str, *, for_update: bool = False) -> TemplateRow:
    row = None
    if version.isprintable():
        key = format_suffix_key(f"META_{version}", owner.folds_case)
        row = await find_template(conn, owner.prefix, key, for_update=for_update)
    if row is None or row.deleted is not None:
        raise NotFound("template_not_found", field="template", prefix=owner.prefix, version=shorten(version))
    return row


async def _store(conn: Connection, order: Order, row: TemplateRow, new: Template, state: RecordState) -> None:
    """Write the template and the next revision of its own record."""
    deleted = order.at if state is RecordState.RETIRED else None
    await update_document(conn, row.template_id, format_template(new), order.at, deleted)
    stored = (await fetch_records(conn, row.prefix_id, [row.suffix_key], for_update=True))[row.suffix_key]
    record = NewRecord(row.suffix_key, stored.suffix, 0, _pack_document(new), state=int(state))
    await replace_records(conn, row.prefix_id, ChangeKind.CHANGED, [record], order.act)
    await _append(conn, order, row.prefix_id, row.template_id, row.suffix_key)


async def _append(conn: Connection, order: Order, prefix_id: int, template_id: int, key: str) -> None:
    """Two entries: the template, and its own record, as changed, since only created ones count as registered."""
    await append_change(conn, ChangeKind.TEMPLATE, prefix_id, order.act, template_id=template_id)
    await append_change(conn, ChangeKind.CHANGED, prefix_id, order.act, suffix_keys=[key])
