"""What a viewer may see of a record and what the record answers: decided here for every interface (design 12).

Two things hide a value: its template item (partner, private), silently, and a Handle permission that forbids
public reading, which behaves as the protocol says (handle-protocol 3.9).
"""

from dataclasses import dataclass
from enum import Enum

from schemas.records import Record, RecordState
from schemas.templates import NOTICE_INDEX, TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX, Template, Visibility
from schemas.values import Value, select_values


class Viewer(Enum):
    """The strongest right the asker has to this record."""

    PUBLIC = Visibility.PUBLIC
    PARTNER = Visibility.PARTNER
    OWNER = Visibility.PRIVATE


class Verdict(Enum):
    """What a question about an identifier came to."""

    FOUND = "found"
    NO_VALUES = "no_values"  # the identifier exists, nothing readable matches: code 200
    NOT_FOUND = "not_found"  # code 100
    RETIRED = "retired"  # code 100 on 2641 and /api/handles, 410 elsewhere
    DENIED = "denied"  # a hidden value was asked for by index or type alone: code 402


@dataclass(frozen=True, slots=True)
class Answer:
    """`values` in order of index, system values among them."""

    verdict: Verdict
    values: list[Value]


def list_values(record: Record, template: Template | None) -> list[Value]:
    """The record's values with the system values: template handle and version, and the notice of a frozen one."""
    stamp = int(record.changed.timestamp())
    system = []
    if template is not None:
        system.append(Value(TEMPLATE_HANDLE_INDEX, "TEMPLATE_ID", template.handle.encode(), timestamp=stamp))
        system.append(Value(TEMPLATE_VERSION_INDEX, "TEMPLATE", template.version.encode(), timestamp=stamp))
    if record.state is RecordState.FROZEN:
        system.append(Value(NOTICE_INDEX, "NOTICE", record.note.encode(), timestamp=stamp))
    return sorted((*system, *record.values), key=lambda value: value.index)


def is_visible(value: Value, template: Template | None, viewer: Viewer) -> bool:
    """Whether the template shows this value to this viewer. A value without an item is public."""
    item = template.items_by_index.get(value.index) if template else None
    return item is None or item.visibility <= viewer.value


def answer_record(
    record: Record,
    template: Template | None,
    viewer: Viewer = Viewer.PUBLIC,
    indexes: list[int] | None = None,
    types: list[str] | None = None,
    public_only: bool = True,
) -> Answer:
    """Answer a question about a record that exists; `public_only` is the PUBL flag of the Handle protocol."""
    if record.state is RecordState.RETIRED:
        return Answer(Verdict.RETIRED, [])
    if template is None and record.template_id and viewer is not Viewer.OWNER:
        return Answer(Verdict.NO_VALUES, [])  # a sandbox is being emptied: what was private is not known any more
    asked_for = select_values(list_values(record, template), indexes or [], types or [])
    visible = [value for value in asked_for if is_visible(value, template, viewer)]
    if asked_for and not visible and (indexes or types):
        return Answer(Verdict.DENIED, [])
    if viewer is not Viewer.OWNER:
        readable = [value for value in visible if value.is_public]
        if len(readable) < len(visible) and not public_only:
            return Answer(Verdict.DENIED, [])
        visible = readable
    return Answer(Verdict.FOUND if visible else Verdict.NO_VALUES, visible)
