"""T9: what was issued, changed and retired, from the change log; once a day, in parts of lines.

How far the log is reported advances in the transaction that writes the part. A range is one row; whoever cannot read
those gets them expanded (`expand`).
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from asyncpg import Connection, Record

from node.outbox import Report, enqueue
from node.report_rows import Row, make_master
from node.store import outbox as outbox_store
from node.store import reports as store
from registry.store.templates import find_template_row
from schemas.changes import ChangeKind
from schemas.days import get_day
from schemas.prefixes import find_secondary_prefix
from schemas.ranges import format_member, parse_range
from schemas.templates import Template, bind_template, parse_template

MARK = "master"
DAY_MARK = "master_day"  # until which day nothing is left to report, whether or not there was anything
ENTRIES_PER_READ = 200
ROWS_PER_PART = 10_000
_OPERATIONS = {ChangeKind.CREATED: 1, ChangeKind.RETIRED: 2, ChangeKind.CHANGED: 3, ChangeKind.RESTORED: 1}


@dataclass
class _Part:
    """Rows by secondary prefix, and how far in the log they reach.

    By identifier and operation, since a row says how things are: of two changes of one identifier the last is told.
    """

    rows: dict[str, dict[tuple[str, int], Row]] = field(default_factory=dict)
    position: int = 0
    count: int = 0


async def report_master(conn: Connection, prefixes: tuple[str, ...], day: str, now: datetime) -> int:
    """Write what the log has gained since the last time, as the rows of `day`; how many rows there were."""
    log_id, end = await store.fetch_log(conn)
    mark = await outbox_store.find_mark(conn, MARK)
    known_log, _, position = (mark[0] if mark else "").partition(":")
    # Another log begins anew after a restore; what it says of the past was reported from the one before.
    after = int(position) if known_log == log_id else (0 if mark is None else end)
    templates: dict[int, Template | None] = {}
    total = 0
    while after < end:
        part = await _collect(conn, prefixes, after, templates)
        async with conn.transaction():
            for prefix, rows in part.rows.items():
                await _write(conn, prefix, day, list(rows.values()), part.position, now)
            await outbox_store.set_mark(conn, MARK, f"{log_id}:{part.position}", now)
        total += part.count
        after = part.position
    return total


async def _write(conn: Connection, prefix: str, day: str, rows: list[Row], watermark: int, now: datetime) -> None:
    """As the next parts of the day."""
    for at in range(0, len(rows), ROWS_PER_PART):
        parts = await outbox_store.fetch_contents(conn, "T9", day, prefix)
        number = max(parts, default=0) + 1
        await enqueue(conn, Report("T9", day, prefix, rows[at : at + ROWS_PER_PART], number, number, watermark), now)


async def _collect(
    conn: Connection, prefixes: tuple[str, ...], after: int, templates: dict[int, Template | None]
) -> _Part:
    """The rows of entries behind a position, until there are enough for a part."""
    part = _Part(position=after)
    while part.count < ROWS_PER_PART:
        entries = await store.fetch_changes(conn, part.position, ENTRIES_PER_READ)
        if not entries:
            break
        for entry in entries:
            part.position = entry["position"]
            node_prefix = find_secondary_prefix(entry["prefix"] or "", prefixes)
            if node_prefix is not None:
                rows = [row async for row in _read_entry(conn, entry, templates)]
                part.rows.setdefault(node_prefix, {}).update({(row["handle"], row["op"]): row for row in rows})
                part.count += len(rows)
            if part.count >= ROWS_PER_PART:
                break
    part.rows = {prefix: rows for prefix, rows in part.rows.items() if rows}
    return part


async def _read_entry(conn: Connection, entry: Record, templates: dict[int, Template | None]) -> AsyncIterator[Row]:
    kind, prefix = entry["kind"], entry["prefix"]
    if kind == ChangeKind.RANGE_CREATED:
        for key in entry["suffix_keys"]:
            for found in await store.find_range_created(conn, entry["prefix_id"], key, entry["at"]):
                yield await _make_range(conn, prefix, found, templates)
        return
    operation = _OPERATIONS.get(ChangeKind(kind))
    if operation is None:
        return
    present = await store.fetch_present(conn, entry["prefix_id"], entry["suffix_keys"])
    for record in present.values():
        template = await _find_template(conn, record["template_id"], templates)
        handle = f"{prefix}/{record['suffix']}"
        yield make_master(handle, get_day(record["created"]), operation, (record["packed"], template))


async def _make_range(conn: Connection, prefix: str, found: Record, templates: dict[int, Template | None]) -> Row:
    template = await _find_template(conn, found["template_id"], templates)
    first, last = (
        f"{prefix}/{format_member(found['head'], found['width'], found[end], found['checked'])}"
        for end in ("first", "last")
    )
    row = make_master(first, get_day(found["created"]), 1, (found["packed"], template))
    extra = {"checked": True} if found["checked"] else {}
    return row | {"handleLast": last, "count": found["last"] - found["first"] + 1} | extra


async def _find_template(conn: Connection, template_id: int, templates: dict[int, Template | None]) -> Template | None:
    if template_id not in templates:
        row = await find_template_row(conn, template_id)
        found = (
            None if row is None else bind_template(parse_template(row.document, row.prefix), row.prefix, template_id)
        )
        templates[template_id] = found
    return templates[template_id]


def expand(row: Row) -> Iterator[Row]:
    """The members of a range as rows of their own, for a receiver that knows no ranges."""
    if "handleLast" not in row:
        yield row
        return
    common = {name: value for name, value in row.items() if name not in ("handle", "handleLast", "count", "checked")}
    prefix, _, first = row["handle"].partition("/")
    checked = bool(row.get("checked"))
    head, width, low, high = parse_range(first, row["handleLast"].partition("/")[2], checked)
    for number in range(low, high + 1):
        yield {"handle": f"{prefix}/{format_member(head, width, number, checked)}"} | common
