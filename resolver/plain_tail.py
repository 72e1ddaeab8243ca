"""The short way to a record's JSON: for the commonest records, straight from the packed form.

Values without extras, all text that JSON need not escape, under a template. Gives the same bytes as
`rest_json.encode_tail` of what `schemas.viewing` answers, or None if the record is not of that kind (a test proves
both). Records of one template mostly differ in their texts alone: what stands around them is made once.
"""

from datetime import UTC, datetime

import orjson

from resolver.rest_json import format_instant, has_special_format
from schemas.records import FORMAT_JSON, Record, RecordState
from schemas.templates import TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX, Template
from schemas.values import DEFAULT_TTL_SECONDS, Value
from schemas.viewing import Viewer, is_visible, list_values

MAX_FORMS = 4_096  # of about a kilobyte

_LAST_SYSTEM_INDEX = max(TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX)
_EPOCH = datetime.fromtimestamp(0, UTC)
_TIME = b"\0"  # where a form has the time: no JSON has such a byte
_END = b'},"ttl":%d,"timestamp":"%b"}' % (DEFAULT_TTL_SECONDS, _TIME)
_forms: dict[bytes, tuple[Template, bytes]] = {}


def encode_plain_tail(packed: bytes, template: Template, changed: int) -> bytes | None:
    """The tail of a live record's answer; None: take the long way."""
    if not changed or packed[:1] != FORMAT_JSON or b"\\" in packed or b"\x7f" in packed:
        return None
    parts = packed.split(b'"')  # nothing is escaped: index, type, a comma and text, again and again
    texts = tuple(parts[3::4])
    del parts[3::4]
    shape = b'"'.join(parts)
    known = _forms.get(shape)
    if known is None or known[0] is not template:
        form = _make_form(packed, template)
        if form is None:
            return None
        if len(_forms) >= MAX_FORMS:
            _forms.clear()
        known = _forms[shape] = template, form
    return known[1].replace(_TIME, format_instant(changed).encode()) % texts


def _make_form(packed: bytes, template: Template) -> bytes | None:
    """The tail of all records of this shape: `%b` for each text, `%.0b` for one that is not public."""
    entries = orjson.loads(memoryview(packed)[1:])[1]
    if entries and entries[0][0] <= _LAST_SYSTEM_INDEX:
        return None
    hidden = _list_hidden(template)
    shown = _encode_system_values(template)
    skipped = b""
    for entry in entries:
        if len(entry) != 3 or has_special_format(entry[1]):
            return None
        index, value_type, _ = entry
        if index in hidden:
            skipped += b"%.0b"
        else:
            shown.append(skipped + _encode_head(index, value_type) + b'"%b"' + _END)
            skipped = b""
    return b'","values":[' + b",".join(shown) + skipped + b"]}"


def _list_hidden(template: Template) -> frozenset[int]:
    items = [Value(item.index, item.type, b"") for item in template.items]
    return frozenset(item.index for item in items if not is_visible(item, template, Viewer.PUBLIC))


def _encode_system_values(template: Template) -> list[bytes]:
    """The template's own, as every record under it has them."""
    record = Record(0, "", template.template_id, (), RecordState.LIVE, _EPOCH, _EPOCH)
    values = list_values(record, template)
    return [_encode_head(v.index, v.type) + _escape(orjson.dumps(v.data.decode())) + _END for v in values]


def _encode_head(index: int, value_type: str) -> bytes:
    """A value up to its text."""
    return b'{"index":%d,"type":%b,"data":{"format":"string","value":' % (index, _escape(orjson.dumps(value_type)))


def _escape(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
