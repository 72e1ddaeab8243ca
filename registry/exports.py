"""Everything an enterprise owns in one archive: what it needs to go elsewhere, and to come back (exit is easy).

Read by pages on connections that are given back in between: no transaction lasts over a second, memory stays flat.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from asyncpg import Connection

from registry.attachments import Storage, read_attachment
from registry.enterprise_views import format_detail, format_prefixes, get_enterprise
from registry.enterprises import reveal_personal
from registry.export_archive import Archive, Row, Table
from registry.keys import list_keys
from registry.prefixes import NodeRules
from registry.principals import Order
from registry.ranges import list_ranges, read_range
from registry.record_views import format_instant
from registry.records import get_rule
from registry.rows import name_items
from registry.store.exports import (
    fetch_attachment_page,
    fetch_history_page,
    fetch_log_position,
    fetch_range_history_page,
)
from registry.store.prefixes import PrefixRow, fetch_prefixes
from registry.store.records import PrefixRule, StoredRecord, fetch_page
from registry.tables.headers import match_key
from registry.templates import find_template_by_id, list_templates
from schemas.changes import ChangeKind
from schemas.records import RecordState, unpack
from schemas.templates import Template, format_template
from schemas.texts.exports import README
from schemas.values import DEFAULT_PERMISSIONS, DEFAULT_TTL_SECONDS, Value

FORMAT = "idnode-export/1"
PAGE_ROWS = 500
IDENTIFIER_COLUMN = "identifier"

Connect = Callable[[], AbstractAsyncContextManager[Connection]]

_PREFIX_COLUMNS = ("prefix", "state", "hosting", "owned_from", "enabled_on", "created")
_ITEM_COLUMNS = ("prefix", "version", "index", "type", "name", "data", "visibility", "required")
_RANGE_COLUMNS = ("first", "last", "members", "checked", "state", "template", "revision", "created", "changed", "note",
                  "values")  # fmt: skip
_HISTORY_COLUMNS = ("identifier", "revision", "state", "template", "since", "until", "ended_by", "actor", "reason",
                    "note", "values")  # fmt: skip
_RANGE_HISTORY_COLUMNS = ("first", "last", "members", *_HISTORY_COLUMNS[1:])
_RECORD_COLUMNS = ("identifier", "state", "template", "revision", "created", "changed", "note", "values")
_KEY_COLUMNS = ("access_key", "note", "created", "revoked")


@dataclass(frozen=True, slots=True)
class Source:
    """Where an export reads, for whom, and where what waits may wait."""

    connect: Connect
    rules: NodeRules
    storage: Storage
    directory: Path
    order: Order
    enterprise_id: int


async def export_enterprise(source: Source) -> AsyncIterator[bytes]:
    """The archive, piece by piece. What may not be seen is refused before the first: NotFound, InvalidInput.

    An operator gives a reason, which is recorded: contacts and identity cards are in the archive.
    """
    async with source.connect() as conn:
        detail = await get_enterprise(conn, source.order.principal, source.enterprise_id)
        personal = await reveal_personal(conn, source.rules, source.order, source.enterprise_id)
        log_id, position = await fetch_log_position(conn)
    view = format_detail(detail, "en") | {"personal": personal}
    del view["todo"]
    archive = Archive(source.directory, source.order.at)
    async for piece in archive.add_bytes("README.txt", README.encode()):
        yield piece
    async for piece in archive.add_bytes("enterprise.json", _dump(view)):
        yield piece
    prefixes = await _fetch_all_prefixes(source)
    async for piece in archive.add_table("prefixes", _PREFIX_COLUMNS, _give([format_prefixes(prefixes)])):
        yield piece
    async for piece in archive.add_table("keys", _KEY_COLUMNS, _give([await _list_keys(source)])):
        yield piece
    for row in prefixes:
        async for piece in _Prefix(source, archive, row).export():
            yield piece
    async for piece in _export_attachments(source, archive):
        yield piece
    async with source.connect() as conn:
        _, last = await fetch_log_position(conn)
    yield archive.finish(
        {
            "format": FORMAT,
            "enterprise_id": source.enterprise_id,
            "enterprise": detail.row.name,
            "certificate_code": detail.row.certificate_code,
            "started": format_instant(source.order.at),
            "identifier_column": IDENTIFIER_COLUMN,
            # What was written while the export ran may be in it or not: between these positions of the change log.
            "change_log": {"log_id": str(log_id), "from": position, "to": last},
        }
    )


def _dump(view: Any) -> bytes:
    return orjson.dumps(view, default=str)


async def _give(pages: Sequence[Sequence[Row]]) -> AsyncIterator[Sequence[Row]]:
    for page in pages:
        yield page


async def _fetch_all_prefixes(source: Source) -> list[PrefixRow]:
    found: list[PrefixRow] = []
    async with source.connect() as conn:
        while page := await fetch_prefixes(conn, source.enterprise_id, found[-1].prefix_id if found else 0):
            found += page
    return found


async def _list_keys(source: Source) -> list[Row]:
    async with source.connect() as conn:
        keys = await list_keys(conn, source.order.principal, source.enterprise_id)
    return [
        {
            "access_key": key.access_key,
            "note": key.note,
            "created": format_instant(key.created),
            "revoked": format_instant(key.revoked) if key.revoked else None,
        }
        for key in keys
    ]


async def _export_attachments(source: Source, archive: Archive) -> AsyncIterator[bytes]:
    after = 0
    while True:
        async with source.connect() as conn:
            page = await fetch_attachment_page(conn, source.enterprise_id, after, PAGE_ROWS)
        for row in page:
            after = row["attachment_id"]
            async with source.connect() as conn, conn.transaction():
                _, content = await read_attachment(conn, source.storage, source.order, after)
            async for piece in archive.add_bytes(f"attachments/{after}-{quote(row['name'], safe=' .()')}", content):
                yield piece
        if len(page) < PAGE_ROWS:
            return


class _Ready(NamedTuple):
    """The files of a template that can be imported again, by ending; `columns` by the type of their item."""

    identifier: str
    columns: dict[str, str]
    tables: dict[str, Table]


def name_columns(template: Template) -> tuple[str, dict[str, str]]:
    """The identifier's column, and one for each item that takes values: the type, or a name where an import would
    take the type for another item. What an item is called, the identifier's column is not."""
    names, columns = name_items(template, {}), {}
    for item in template.items:
        if item.enabled:
            found = (text for text in (item.type, item.name_zh, item.name_en) if names.get(match_key(text)) is item)
            columns[item.type] = next(found, item.type)
    identifier = IDENTIFIER_COLUMN
    while match_key(identifier) in names:
        identifier += "_"
    return identifier, columns


class _Prefix:
    """The part of an archive that is about one prefix."""

    def __init__(self, source: Source, archive: Archive, row: PrefixRow) -> None:
        self._source, self._archive, self._row = source, archive, row
        self._templates: dict[int, Template | None] = {0: None}
        self._ready: dict[int, _Ready] = {}

    async def export(self) -> AsyncIterator[bytes]:
        source, archive, name = self._source, self._archive, self._row.prefix
        async with source.connect() as conn:
            rule = await get_rule(conn, name)
            templates = await list_templates(conn, source.order.principal, name)
        documents = [{"prefix": name, **format_template(template)} for template in templates]
        lines = b"".join(_dump(document) + b"\n" for document in documents)
        async for piece in archive.add_bytes(f"{name}/templates.ndjson", lines):
            yield piece
        items = [{"prefix": name, "version": document["version"], **item} for document in documents
                 for item in document["items"]]  # fmt: skip
        async for piece in archive.add_table(f"{name}/template-items", _ITEM_COLUMNS, _give([items])):
            yield piece
        tables = (
            ("ranges", _RANGE_COLUMNS, self._read_ranges(rule)),
            ("range-history", _RANGE_HISTORY_COLUMNS, self._read_range_history(rule)),
            ("history", _HISTORY_COLUMNS, self._read_history(rule)),
        )
        for table, columns, rows in tables:
            async for piece in archive.add_table(f"{name}/{table}", columns, rows):
                yield piece
        async for piece in self._export_records(rule):
            yield piece

    async def _export_records(self, rule: PrefixRule) -> AsyncIterator[bytes]:
        """All records, then for each template those that can be registered again as they are."""
        async with AsyncExitStack() as stack:
            records = self._archive.add_table(
                f"{rule.prefix}/records", _RECORD_COLUMNS, self._read_records(rule, stack)
            )
            async for piece in records:
                yield piece
            for template_id, ready in self._ready.items():
                template = self._templates[template_id]
                version = quote(template.version if template else str(template_id), safe="")
                for kind, table in ready.tables.items():
                    name = f"{rule.prefix}/import/{version}.{kind}"
                    async for piece in self._archive.add(name, table.read(), table.rows):
                        yield piece

    async def _read_records(self, rule: PrefixRule, stack: AsyncExitStack) -> AsyncIterator[Sequence[Row]]:
        after = ""
        while True:
            async with self._source.connect() as conn:
                page = await fetch_page(conn, rule.prefix_id, "", after, PAGE_ROWS)
                await self._learn(conn, {stored.template_id for stored in page})
            if page:
                yield [self._format_record(rule, stored) for stored in page]
                for stored in page:
                    self._prepare(rule, stored, stack)
                after = page[-1].suffix_key
            if len(page) < PAGE_ROWS:
                return

    def _prepare(self, rule: PrefixRule, stored: StoredRecord, stack: AsyncExitStack) -> None:
        """A line of the files that can be imported again: live and frozen records of a template."""
        template = self._templates[stored.template_id]
        if template is None or stored.state == RecordState.RETIRED:
            return
        if stored.template_id not in self._ready:
            first, columns = name_columns(template)
            tables = {
                kind: stack.enter_context(Table(self._source.directory, of))
                for kind, of in (("csv", [first, *columns.values()]), ("ndjson", None))
            }
            self._ready[stored.template_id] = _Ready(first, columns, tables)
        ready = self._ready[stored.template_id]
        row = {ready.identifier: f"{rule.prefix}/{stored.suffix}"}
        for value in unpack(stored.packed)[1]:
            if value.type in ready.columns:
                row[ready.columns[value.type]] = value.data.decode("utf-8", "replace")
        for table in ready.tables.values():
            table.write([row])

    async def _learn(self, conn: Connection, template_ids: set[int]) -> None:
        for template_id in template_ids - self._templates.keys():
            self._templates[template_id] = await find_template_by_id(conn, template_id)

    def _format_record(self, rule: PrefixRule, stored: StoredRecord) -> Row:
        return {
            "identifier": f"{rule.prefix}/{stored.suffix}",
            **self._format_content(stored.template_id, stored.state, stored.packed, stored.note, stored.changed),
            "revision": stored.revision,
            "created": format_instant(stored.created),
            "changed": format_instant(stored.changed),
        }

    def _format_content(
        self, template_id: int, state: int, packed: bytes, note: str, changed: datetime
    ) -> dict[str, Any]:
        template = self._templates.get(template_id)
        values = unpack(packed, int(changed.timestamp()))[1]
        return {
            "state": RecordState(state).name.lower(),
            "template": template.version if template else None,
            "note": note or None,
            "values": [_format_value(value) for value in values],
        }

    async def _read_ranges(self, rule: PrefixRule) -> AsyncIterator[Sequence[Row]]:
        after = None
        while True:
            async with self._source.connect() as conn:
                page = await list_ranges(conn, rule, after, PAGE_ROWS)
                await self._learn(conn, {row["template_id"] for _, row in page})
            yield [
                {
                    "first": f"{rule.prefix}/{found.format_first()}",
                    "last": f"{rule.prefix}/{found.format_last()}",
                    "members": found.members,
                    "checked": found.checked,
                    **self._format_content(row["template_id"], row["state"], row["packed"], row["note"],
                                           row["changed"]),
                    "revision": row["revision"],
                    "created": format_instant(row["created"]),
                    "changed": format_instant(row["changed"]),
                }
                for found, row in page
            ]  # fmt: skip
            if len(page) < PAGE_ROWS:
                return
            last = page[-1][1]
            after = (last["head_key"], last["width"], last["checked"], last["first"])

    async def _read_history(self, rule: PrefixRule) -> AsyncIterator[Sequence[Row]]:
        after = ("", 0)
        while True:
            async with self._source.connect() as conn:
                page = await fetch_history_page(conn, rule.prefix_id, after, PAGE_ROWS)
                await self._learn(conn, {row["template_id"] for row in page})
            yield [{"identifier": f"{rule.prefix}/{row['suffix']}", **self._format_revision(row)} for row in page]
            if len(page) < PAGE_ROWS:
                return
            after = (page[-1]["suffix_key"], page[-1]["revision"])

    async def _read_range_history(self, rule: PrefixRule) -> AsyncIterator[Sequence[Row]]:
        after = ("", -1, False, -1, 0)
        while True:
            async with self._source.connect() as conn:
                page = await fetch_range_history_page(conn, rule.prefix_id, after, PAGE_ROWS)
                await self._learn(conn, {row["template_id"] for row in page})
            yield [
                {
                    "first": f"{rule.prefix}/{read_range(row).format_first()}",
                    "last": f"{rule.prefix}/{read_range(row).format_last()}",
                    "members": row["members"],
                    **self._format_revision(row),
                }
                for row in page
            ]
            if len(page) < PAGE_ROWS:
                return
            last = page[-1]
            after = (last["head_key"], last["width"], last["checked"], last["first"], last["revision"])

    def _format_revision(self, row: Any) -> dict[str, Any]:
        return {
            **self._format_content(row["template_id"], row["state"], row["packed"], row["note"], row["since"]),
            "revision": row["revision"],
            "since": format_instant(row["since"]),
            "until": format_instant(row["until"]),
            "ended_by": ChangeKind(row["action"]).name.lower(),
            "actor": row["actor"],
            "reason": row["reason"],
        }


def _format_value(value: Value) -> dict[str, Any]:
    """With what differs from the defaults; `base64` instead of `data` where it is no text."""
    view: dict[str, Any] = {"index": value.index, "type": value.type}
    try:
        view["data"] = value.data.decode()
    except UnicodeDecodeError:
        view["base64"] = b64encode(value.data).decode()
    view["changed"] = value.timestamp
    if value.ttl_seconds != DEFAULT_TTL_SECONDS or value.ttl_is_absolute:
        view |= {"ttl_seconds": value.ttl_seconds, "ttl_is_absolute": value.ttl_is_absolute}
    if value.permissions != DEFAULT_PERMISSIONS:
        view["permissions"] = value.permissions
    if value.references:
        view["references"] = [[reference.handle, reference.index] for reference in value.references]
    return view
