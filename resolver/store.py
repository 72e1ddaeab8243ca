"""What the resolver reads from the database, as SQL. It writes nothing but the numbering of the change log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from asyncpg import Connection

from resolver.prefixes import Lookup, Prefix
from schemas.changes import ChangeKind
from schemas.ranges import Shape
from schemas.templates import Template, bind_template, parse_template

# One statement for all questions of a batch: the primary key of records and, only if a suffix fits a range, the
# ranges, which are probed by their last start at or below the serial number. `date_part` makes a float of an epoch,
# `extract` a numeric, which takes the server a microsecond more for each row. The driver spends more than a microsecond
# on each element of an array and nearly nothing on a text, and the server little on splitting it.
_FETCH_RECORDS = """
SELECT k.n - 1 AS n, false AS is_member, r.template_id, r.state, r.changed, r.packed, r.note
FROM unnest(string_to_array($1, ',')::int4[], string_to_array($2, E'\n')) WITH ORDINALITY AS k(prefix_id, suffix_key, n)
CROSS JOIN LATERAL (
    SELECT template_id, state, date_part('epoch', changed)::int8 AS changed, packed, note
    FROM records
    WHERE prefix_id = k.prefix_id AND suffix_key = k.suffix_key
    LIMIT 1) r
"""
_FETCH_MEMBERS = """
UNION ALL
SELECT k.n, true, r.template_id, r.state, r.changed, r.packed, r.note
FROM unnest($3::int8[], $4::int4[], $5::text[], $6::int2[], $7::bool[], $8::int8[])
    AS k(n, prefix_id, head_key, width, checked, number)
CROSS JOIN LATERAL (
    SELECT last, template_id, state, date_part('epoch', changed)::int8 AS changed, packed, note
    FROM ranges
    WHERE prefix_id = k.prefix_id AND head_key = k.head_key AND width = k.width AND checked = k.checked
        AND first <= k.number
    ORDER BY first DESC
    LIMIT 1) r
WHERE r.last >= k.number
"""

_PREFIXES = """
SELECT p.prefix_id, p.prefix, p.state, p.hosting, p.site, p.folds_case, extract(epoch FROM p.changed)::int8 AS changed,
    coalesce(owner.name, tries.name, '') AS enterprise, p.sandbox_of IS NOT NULL AS is_sandbox
FROM prefixes p
LEFT JOIN enterprises tries ON tries.enterprise_id = p.sandbox_of
LEFT JOIN LATERAL (
    SELECT e.name FROM prefix_owners o JOIN enterprises e USING (enterprise_id)
    WHERE o.prefix_id = p.prefix_id AND o.to_day IS NULL
    ORDER BY o.from_day DESC
    LIMIT 1) owner ON true
"""


@dataclass(frozen=True, slots=True)
class Statements:
    """Prepared once per connection."""

    records: Any
    records_and_members: Any


async def prepare_statements(conn: Connection) -> Statements:
    return Statements(await conn.prepare(_FETCH_RECORDS), await conn.prepare(_FETCH_RECORDS + _FETCH_MEMBERS))


async def fetch_rows(statements: Statements, lookups: Sequence[Lookup]) -> list[Any]:
    """Rows (n, is_member, template_id, state, changed in unix seconds, packed, note); n is the place in `lookups`.

    A record of its own comes before the range that it belongs to.
    """
    members = [
        (n, lookup.prefix.prefix_id, shape, number)
        for n, lookup in enumerate(lookups)
        if lookup.prefix.shapes
        for shape, number in lookup.list_members()
    ]
    keys = (
        ",".join([str(lookup.prefix.prefix_id) for lookup in lookups]),
        "\n".join([lookup.suffix_key for lookup in lookups]),
    )
    if members:
        statement, more = statements.records_and_members, _turn(members)
    else:
        statement, more = statements.records, ()
    rows: list[Any] = await statement.fetch(*keys, *more)
    return rows


def _turn(members: list[tuple[int, int, Shape, int]]) -> tuple[list[Any], ...]:
    """The probes as the columns of the statement."""
    return (
        [n for n, _, _, _ in members],
        [prefix_id for _, prefix_id, _, _ in members],
        [shape.head for _, _, shape, _ in members],
        [shape.width for _, _, shape, _ in members],
        [shape.checked for _, _, shape, _ in members],
        [number for _, _, _, number in members],
    )


async def fetch_templates(conn: Connection, template_ids: Sequence[int]) -> list[Template]:
    rows = await conn.fetch(
        "SELECT t.template_id, p.prefix, t.document"
        " FROM templates t JOIN prefixes p USING (prefix_id) WHERE t.template_id = ANY($1::int4[])",
        template_ids,
    )
    return [
        bind_template(parse_template(orjson.loads(row["document"])), row["prefix"], row["template_id"]) for row in rows
    ]


async def fetch_prefixes(conn: Connection) -> list[Prefix]:
    """All prefixes with the shapes of their ranges and their owners' names."""
    shapes: dict[int, list[Shape]] = {}
    for row in await conn.fetch("SELECT DISTINCT prefix_id, head_key, width, checked FROM ranges"):
        shapes.setdefault(row["prefix_id"], []).append(Shape(row["head_key"], row["width"], row["checked"]))
    return [
        Prefix(
            row["prefix_id"], row["prefix"], row["state"], row["hosting"], row["site"], row["folds_case"],
            row["changed"], row["enterprise"], tuple(shapes.get(row["prefix_id"], ())), row["is_sandbox"],
        )
        for row in await conn.fetch(_PREFIXES)
    ]  # fmt: skip


async def fetch_shapes(conn: Connection, prefix_id: int) -> tuple[Shape, ...]:
    """The shapes of one prefix's ranges."""
    rows = await conn.fetch("SELECT DISTINCT head_key, width, checked FROM ranges WHERE prefix_id = $1", prefix_id)
    return tuple(Shape(row["head_key"], row["width"], row["checked"]) for row in rows)


async def fetch_server(conn: Connection) -> datetime:
    """Which server this is, behind whatever address: two did not start in the same microsecond."""
    started: datetime = await conn.fetchval("SELECT pg_postmaster_start_time()")
    return started


async def number_changes(conn: Connection) -> None:
    """Give positions to what was committed, after a promotion in a log of another name; a standby only reads."""
    await conn.execute("SELECT number_changes()")


async def fetch_log_end(conn: Connection) -> tuple[UUID, int]:
    """Which log this is, and its last position."""
    (row,) = await conn.fetch("SELECT log_id, position FROM change_log")
    return row["log_id"], row["position"]


class Change:
    """One entry of the change log. The suffixes stay one text, because most entries need not be looked at."""

    __slots__ = ("_suffixes", "kind", "position", "prefix_id", "template_id")

    def __init__(self, position: int, kind: ChangeKind, prefix_id: int, template_id: int, suffixes: str) -> None:
        self.position, self.kind = position, kind
        self.prefix_id, self.template_id, self._suffixes = prefix_id, template_id, suffixes

    def split_suffix_keys(self) -> list[str]:
        return self._suffixes.split("\n") if self._suffixes else []


async def fetch_changes(conn: Connection, after: int, limit: int) -> list[Change]:
    """Entries behind a position, in order. A line feed separates suffixes: nothing issued contains one."""
    rows = await conn.fetch(
        "SELECT position, kind, prefix_id, template_id, array_to_string(suffix_keys, E'\\n') AS suffixes"
        " FROM changes WHERE position > $1 ORDER BY position LIMIT $2",
        after,
        limit,
    )
    return [
        Change(row["position"], ChangeKind(row["kind"]), row["prefix_id"], row["template_id"], row["suffixes"])
        for row in rows
    ]
