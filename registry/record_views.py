"""A record as JSON, for the API and the command line: what this viewer may see, with names in both languages."""

from datetime import UTC, datetime
from typing import Any

from registry.records import Located, Revision, to_record
from schemas.identifiers import format_scan_url
from schemas.records import Record, RecordState
from schemas.templates import Template
from schemas.values import Value
from schemas.viewing import Viewer, answer_record


def format_record(located: Located, template: Template | None, viewer: Viewer, public_url: str) -> dict[str, Any]:
    """Identifier, template, state, times, revision, values, and notice or successor where there is one."""
    record = to_record(located.rule.prefix_id, located.stored)
    view = {
        "identifier": located.identifier,
        "prefix": located.rule.prefix,
        "scan_url": format_scan_url(public_url, located.identifier),
        **format_state(record, template, viewer),
        "created": format_instant(record.created),
    }
    return view | ({"range": True} if located.stored.is_member else {})


def format_state(record: Record, template: Template | None, viewer: Viewer) -> dict[str, Any]:
    """What one revision says. The values of a retired record are shown to its owner alone."""
    view: dict[str, Any] = {
        "state": record.state.name.lower(),
        "revision": record.revision,
        "changed": format_instant(record.changed),
        "template": template.version if template else None,
        "values": list_value_views(record, template, viewer),
    }
    if record.state is RecordState.FROZEN:
        view["notice"] = record.note
    if record.state is RecordState.RETIRED:
        view["successor"] = record.note or None
    return view


def list_value_views(record: Record, template: Template | None, viewer: Viewer) -> list[dict[str, Any]]:
    """The values of the template's items; index, type, names, text, and who may see it."""
    if record.state is RecordState.RETIRED and viewer is Viewer.OWNER:
        values = list(record.values)
    else:
        stored = {value.index for value in record.values}
        values = [v for v in answer_record(record, template, viewer).values if v.index in stored]
    return [_format_value(value, template) for value in values]


def _format_value(value: Value, template: Template | None) -> dict[str, Any]:
    item = template.items_by_index.get(value.index) if template else None
    return {
        "index": value.index,
        "type": value.type,
        "name": {"zh": item.name_zh, "en": item.name_en} if item else {"zh": value.type, "en": value.type},
        "data": value.data.decode("utf-8", "replace"),
        "visibility": item.visibility.name.lower() if item else "public",
        "changed": format_instant(datetime.fromtimestamp(value.timestamp, UTC)),
    }


def format_revision(revision: Revision, template: Template | None, viewer: Viewer) -> dict[str, Any]:
    """One entry of a history; `until` and what follows it are null for the present state."""
    return {
        **format_state(revision.record, template, viewer),
        "revision": revision.revision,
        "since": format_instant(revision.since),
        "until": format_instant(revision.until) if revision.until else None,
        "ended_by": revision.action.name.lower() if revision.action else None,
        "actor": revision.actor or None,
        "reason": revision.reason or None,
    }


def format_instant(at: datetime) -> str:
    """ISO 8601 with Z, to the second where nothing is lost."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
