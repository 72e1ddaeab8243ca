"""SQL of a look at identifiers, for who asks often: prefix, record and template's state, of all that ask at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from asyncpg import Connection

from registry.store.records import PrefixRule, StoredRecord

_FETCH_DETAILS = """
SELECT k.n, p.prefix_id, p.prefix, p.folds_case, p.state, p.hosting, p.sandbox_of IS NOT NULL,
    r.suffix_key, coalesce(r.suffix, r.suffix_key), r.template_id, r.packed, r.state, r.revision, r.created, r.changed,
    coalesce(r.note, ''), t.changed
FROM unnest($1::int4[], $2::text[], $3::text[], $4::text[]) AS k(n, prefix, folded, as_written)
JOIN prefixes p ON p.prefix = k.prefix
LEFT JOIN LATERAL (
    SELECT * FROM records
    WHERE prefix_id = p.prefix_id AND suffix_key = CASE WHEN p.folds_case THEN k.folded ELSE k.as_written END
    LIMIT 1) r ON true
LEFT JOIN templates t ON t.template_id = r.template_id
"""


class Key(NamedTuple):
    """Which of the two keys counts is the prefix's case rule."""

    prefix: str
    folded: str
    as_written: str


@dataclass(frozen=True, slots=True)
class Detail:
    """`stored` None: there is none. `template_changed` tells whether a template that is known has changed."""

    rule: PrefixRule
    stored: StoredRecord | None
    template_changed: datetime | None = None


async def fetch_details(conn: Connection, keys: Sequence[Key]) -> list[Detail | None]:
    """In order, without members of ranges; None where there is no such prefix."""
    details: list[Detail | None] = [None] * len(keys)
    for row in await conn.fetch(_FETCH_DETAILS, range(len(keys)), *zip(*keys, strict=True)):
        has_record = row[7] is not None
        details[row[0]] = Detail(PrefixRule(*row[1:7]), StoredRecord(*row[7:16]) if has_record else None, row[16])
    return details
