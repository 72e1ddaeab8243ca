"""SQL of one look at one identifier, for who asks often: prefix, record and template's state in one statement."""

from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection

from registry.store.records import PrefixRule, StoredRecord


@dataclass(frozen=True, slots=True)
class Detail:
    """`stored` None: no record of its own. `template_changed` tells whether a template that is known has changed."""

    rule: PrefixRule
    stored: StoredRecord | None
    template_changed: datetime | None


async def find_detail(conn: Connection, prefix: str, folded: str, as_written: str) -> Detail | None:
    """None if there is no such prefix; which of the two keys counts is the prefix's case rule."""
    row = await conn.fetchrow(
        "SELECT p.prefix_id, p.prefix, p.folds_case, p.state AS prefix_state, p.hosting,"
        " p.sandbox_of IS NOT NULL AS is_sandbox, r.*, t.changed AS template_changed"
        " FROM prefixes p LEFT JOIN LATERAL (SELECT suffix_key, coalesce(suffix, suffix_key) AS suffix, template_id,"
        " packed, state, revision, created, changed, coalesce(note, '') AS note FROM records"
        " WHERE prefix_id = p.prefix_id AND suffix_key = CASE WHEN p.folds_case THEN $2 ELSE $3 END) r ON true"
        " LEFT JOIN templates t ON t.template_id = r.template_id WHERE p.prefix = $1",
        prefix,
        folded,
        as_written,
    )
    if row is None:
        return None
    rule = PrefixRule(row["prefix_id"], row["prefix"], row["folds_case"], row["prefix_state"], row["hosting"],
                      row["is_sandbox"])  # fmt: skip
    if row["suffix_key"] is None:
        return Detail(rule, None, None)
    stored = StoredRecord(
        row["suffix_key"], row["suffix"], row["template_id"], row["packed"], row["state"], row["revision"],
        row["created"], row["changed"], row["note"],
    )  # fmt: skip
    return Detail(rule, stored, row["template_changed"])
