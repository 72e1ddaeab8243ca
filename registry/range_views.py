"""Ranges as JSON, for the API and the command line, and the cursor of their lists."""

import re
from typing import Any

from asyncpg import Record as Row

from registry.range_changes import LocatedRange, RangeRevision
from registry.ranges import Range
from registry.record_views import format_instant, format_state
from registry.store.records import RangeCursor
from schemas.errors import InvalidInput
from schemas.identifiers import format_scan_url
from schemas.ranges import MAX_WIDTH
from schemas.records import Record, RecordState, unpack
from schemas.templates import Template
from schemas.viewing import Viewer

_CURSOR = re.compile(r"(\d{1,2})\.([01])\.(\d{1,18})\.([^\0]*)", re.ASCII | re.DOTALL)


def format_range(a_range: Range, prefix: str, template: str | None, public_url: str) -> dict[str, Any]:
    """What never changes about a range, with the version of its template."""
    first = a_range.format_first()
    return {
        "prefix": prefix,
        "template": template,
        "first": first,
        "last": a_range.format_last(),
        "checked": a_range.checked,
        "members": a_range.members,
        "scan_url": format_scan_url(public_url, f"{prefix}/{first}"),
    }


def format_range_state(
    located: LocatedRange, template: Template | None, public_url: str, viewer: Viewer = Viewer.OWNER
) -> dict[str, Any]:
    """A range as it stands."""
    row = located.row
    _, values = unpack(row["packed"], int(row["changed"].timestamp()))
    record = Record(located.rule.prefix_id, "", row["template_id"], tuple(values), RecordState(row["state"]),
                    row["created"], row["changed"], row["revision"], row["note"])  # fmt: skip
    return {
        **format_range(located.range, located.rule.prefix, None, public_url),
        **format_state(record, template, viewer),
        "created": format_instant(row["created"]),
        "own_records": located.own_records,
    }


def format_range_revision(located: LocatedRange, revision: RangeRevision, template: Template | None) -> dict[str, Any]:
    """One entry of a history; `until` and what follows it are null for the present state."""
    _, values = unpack(revision.packed, int(revision.since.timestamp()))
    record = Record(located.rule.prefix_id, "", revision.template_id, tuple(values), revision.state,
                    located.row["created"], revision.since, revision.revision, revision.note)  # fmt: skip
    return {
        **format_state(record, template, Viewer.OWNER),
        "since": format_instant(revision.since),
        "until": format_instant(revision.until) if revision.until else None,
        "ended_by": revision.action.name.lower() if revision.action else None,
        "members": revision.members if revision.action else None,
        "actor": revision.actor or None,
        "reason": revision.reason or None,
    }


def format_cursor(row: Row) -> str:
    return f"{row['width']}.{int(row['checked'])}.{row['first']}.{row['head_key']}"


def parse_cursor(text: str) -> RangeCursor:
    """Where a list goes on; raises InvalidInput for what no page gave."""
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[1]) > MAX_WIDTH or not text.isprintable():
        raise InvalidInput("cursor_unknown", field="after")
    return found[4], int(found[1]), found[2] == "1", int(found[3])
