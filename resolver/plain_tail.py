"""The short way to a record's JSON: for the commonest records, straight from the packed form.

Values without extras, all text, under a template. Gives the same bytes as `rest_json.encode_tail` of what
`schemas.viewing` answers, or None if the record is not of that kind (a test proves both).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from resolver.rest_json import format_instant, has_special_format
from schemas.records import FORMAT_JSON, Record, RecordState
from schemas.templates import TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX, Template
from schemas.values import DEFAULT_TTL_SECONDS, Value
from schemas.viewing import Viewer, is_visible, list_values

_LAST_SYSTEM_INDEX = max(TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX)
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a template decides for all of its records."""

    template: Template
    system: tuple[bytes, ...]  # its own values, up to the time
    hidden: frozenset[int]


_plans: dict[int, _Plan] = {}


def encode_plain_tail(packed: bytes, template: Template, changed: int) -> bytes | None:
    """The tail of a live record's answer; None: take the long way."""
    if not changed or packed[:1] != FORMAT_JSON:
        return None
    plan = _plans.get(template.template_id)
    if plan is None or plan.template is not template:
        plan = _plans[template.template_id] = _make_plan(template)
    entries = orjson.loads(memoryview(packed)[1:])[1]
    if entries and entries[0][0] <= _LAST_SYSTEM_INDEX:
        return None
    shown = list(plan.system)
    hidden = plan.hidden
    for entry in entries:
        if len(entry) != 3:
            return None
        index, value_type, text = entry
        if index in hidden:
            continue
        head = _format_head(index, value_type)
        if head is None or not text.isprintable():
            return None
        shown.append(head + orjson.dumps(text))
    end = b'},"ttl":%d,"timestamp":"%b"}' % (DEFAULT_TTL_SECONDS, format_instant(changed).encode())
    return b'","values":[%b%b]}' % ((end + b",").join(shown), end)


def _make_plan(template: Template) -> _Plan:
    record = Record(0, "", template.template_id, (), RecordState.LIVE, _EPOCH, _EPOCH)
    heads = [(_format_head(value.index, value.type), value.data) for value in list_values(record, template)]
    system = tuple(head + orjson.dumps(data.decode()) for head, data in heads if head is not None)
    items = [Value(item.index, item.type, b"") for item in template.items]
    hidden = frozenset(value.index for value in items if not is_visible(value, template, Viewer.PUBLIC))
    return _Plan(template, system, hidden)


@lru_cache(maxsize=4_096)
def _format_head(index: int, value_type: str) -> bytes | None:
    """A value up to its text; None for types whose data are no text."""
    if has_special_format(value_type):
        return None
    return b'{"index":%d,"type":%b,"data":{"format":"string","value":' % (index, orjson.dumps(value_type))
