"""The short way to a record's answers: for the commonest records, straight from the packed form.

Values without extras, all text that JSON need not escape, under a template. Gives the same bytes as
`rest_json.encode_tail` and `handle_values.encode_values` of what `schemas.viewing` answers, or None if the record is
not of that kind (a test proves both). Records of one template mostly differ in their texts alone: what stands around
them is made once.
"""

from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from resolver.rest_json import format_instant, has_special_format
from schemas.handle_bytes import encode_i32, encode_u32
from schemas.handle_values import encode_value
from schemas.records import FORMAT_JSON, Record, RecordState
from schemas.templates import TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX, Template
from schemas.values import DEFAULT_TTL_SECONDS, Value
from schemas.viewing import Viewer, is_visible, list_values

MAX_SHAPES = 4_096  # of some kilobytes

_LAST_SYSTEM_INDEX = max(TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX)
_EPOCH = datetime.fromtimestamp(0, UTC)
_TIME = b"\0"  # where JSON has the time: no other byte of it is like this one
_END = b'},"ttl":%d,"timestamp":"%b"}' % (DEFAULT_TTL_SECONDS, _TIME)


class _Forms(NamedTuple):
    """What stands around the texts of a template's records that have the same indexes and types.

    `rest` takes each text, `wire` its time, length and text; a text that is not public is left out by `%.0b`.
    """

    template: Template
    rest: bytes
    wire: bytes


_forms: dict[bytes, _Forms] = {}


def encode_plain_tail(packed: bytes, template: Template, changed: int) -> bytes | None:
    """The tail of a live record's answer as JSON; None: take the long way."""
    forms, texts = _find_forms(packed, template, changed)
    return forms and forms.rest.replace(_TIME, format_instant(changed).encode()) % tuple(texts)


def encode_plain_values(packed: bytes, template: Template, changed: int) -> bytes | None:
    """Count and values of a live record's resolution response; None: take the long way."""
    forms, texts = _find_forms(packed, template, changed)
    if forms is None:
        return None
    time = encode_u32(changed)
    filling = [time, time]  # of the template's own values
    for text in texts:
        filling += (time, encode_i32(len(text)), text)
    return forms.wire % tuple(filling)


def _find_forms(packed: bytes, template: Template, changed: int) -> tuple[_Forms | None, list[bytes]]:
    if not changed or packed[:1] != FORMAT_JSON or b"\\" in packed or b"\x7f" in packed:
        return None, []
    parts = packed.split(b'"')  # nothing is escaped: index, type, a comma and text, again and again
    texts = parts[3::4]
    del parts[3::4]
    shape = b'"'.join(parts)
    forms = _forms.get(shape)
    if forms is None or forms.template is not template:
        forms = _make_forms(packed, template)
        if forms is not None:
            if len(_forms) >= MAX_SHAPES:
                _forms.clear()
            _forms[shape] = forms
    return forms, texts


def _make_forms(packed: bytes, template: Template) -> _Forms | None:
    entries = orjson.loads(memoryview(packed)[1:])[1]
    if entries and entries[0][0] <= _LAST_SYSTEM_INDEX:
        return None
    own = list_values(Record(0, "", template.template_id, (), RecordState.LIVE, _EPOCH, _EPOCH), template)
    rest = [_make_rest(value, _escape(orjson.dumps(value.data.decode()))) for value in own]
    wire = [_make_wire(value, _escape(encode_i32(len(value.data)) + value.data)) for value in own]
    for entry in entries:
        if len(entry) != 3 or has_special_format(entry[1]):
            return None
        value = Value(entry[0], entry[1], b"")
        if is_visible(value, template, Viewer.PUBLIC):
            rest.append(_make_rest(value, b'"%b"'))
            wire.append(_make_wire(value, b"%b%b"))
        else:
            rest[-1] += b"%.0b"
            wire[-1] += b"%.0b%.0b%.0b"
    count = _escape(encode_i32(len(wire)))
    return _Forms(template, b'","values":[' + b",".join(rest) + b"]}", count + b"".join(wire))


def _make_rest(value: Value, text: bytes) -> bytes:
    value_type = _escape(orjson.dumps(value.type))
    return b'{"index":%d,"type":%b,"data":{"format":"string","value":%b' % (value.index, value_type, text) + _END


def _make_wire(value: Value, text: bytes) -> bytes:
    """Index, time, more, length and text, no references."""
    head = encode_value(Value(value.index, value.type, b""))
    return _escape(head[:4]) + b"%b" + _escape(head[8:-8]) + text + head[-4:]


def _escape(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
