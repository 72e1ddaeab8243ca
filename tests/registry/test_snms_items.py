"""Laws of one HandleItem: whatever JSON holds, it is read or refused with a reason; the short way says the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.snms.fields import Fields, Refusal
from registry.snms.items import _read_plain, _read_value, draft_item, read_item, read_texts
from registry.snms.templates import format_template, number_items, read_head
from registry.snms.templates import read_item as read_template_item
from schemas.errors import ServiceError
from schemas.records import unpack
from schemas.templates import bind_template, parse_template
from tests.registry.issuing_world import DOCUMENT
from tests.registry.snms_world import make_item, make_value

PUMP = bind_template(parse_template(DOCUMENT, "88.101.5"), "88.101.5", 7)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["string", "88.101.5/x", "model", "2000", 2000, 1000, "pump-1"])
)  # fmt: skip
NAMES = st.sampled_from(["handle", "templateVersion", "value", "index", "type", "data", "format", "vlaue", "auth"])
TEMPLATE_NAMES = st.sampled_from([
    "name", "idType", "idIndex", "state", "required", "metadata", "type", "items", "industryCategory", "description",
    "minLength", "maxLength",
])  # fmt: skip
NEAR = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=8), inner, max_size=6),
    max_leaves=12,
)


@given(NEAR)
def test_any_json_is_an_item_or_refused_with_a_reason(raw: Any) -> None:
    try:
        item = read_item(raw)
        draft_item(PUMP, item)
    except (Refusal, ServiceError) as error:
        assert str(error)


@given(st.dictionaries(TEMPLATE_NAMES, NEAR), st.booleans())
def test_any_json_is_a_template_item_or_refused_with_a_reason(raw: dict[str, Any], v5: bool) -> None:
    for read in (
        lambda: number_items([read_template_item(Fields(raw), numbered=v5, with_state=v5)], []),
        lambda: read_head(Fields(raw)),
    ):
        try:
            read()
        except (Refusal, ServiceError) as error:
            assert str(error)


@given(st.integers(0, 10**11), st.text(min_size=1, max_size=9), st.text(max_size=9))
def test_the_short_way_reads_what_the_long_way_reads(index: int, kind: str, text: str) -> None:
    entry = make_value(index, kind, text)
    plain = _read_plain(entry)
    try:
        slow = _read_value(entry, 0)
    except Refusal:  # controls, and types of blanks: no template has such items, and no text such characters
        return
    assert plain in (None, slow)
    assert (plain is None) == (text == "" or index > 99_999_999_999)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([(2000, "other", "A"), (2077, "x", ""), (1001, "x", "")], "索引1001在模板中不存在"),
        ([(2000, "other", "A"), (2077, "x", "")], "索引2077在模板中不存在"),
        ([(2001, "flow", "1"), (2001, "flow", "1"), (2000, "other", "A")], "索引2000的类型应为model"),
        ([(2001, "flow", "1"), (2001, "flow", "1"), (2000, "model", "A")], "索引2001重复"),
    ],
)
def test_the_earliest_published_check_speaks_whatever_value_fails_it(values: Any, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        read_texts(PUMP, values)


def test_a_draft_is_what_the_template_makes_of_the_values_in_any_order() -> None:
    item = make_item("x") | {"value": [make_value(2001, "FLOW", "1,234.5"), make_value(2000, "model", "A")]}
    draft = draft_item(PUMP, read_item(item))
    template_id, values = unpack(draft.packed)
    assert (draft.suffix, template_id) == ("x", 7)
    assert [(v.index, v.type, v.data) for v in values] == [(2000, "model", b"A"), (2001, "flow", b"1234.5")]


def test_values_of_one_item_twice_are_refused_though_their_types_differ_in_case() -> None:
    with pytest.raises(Refusal, match="索引2000重复"):
        read_texts(PUMP, [(2000, "model", "A"), (2000, "MODEL", "B")])


def test_a_template_of_another_maker_is_shown_in_the_published_members() -> None:
    shown = format_template(PUMP, v5=True)
    assert [item["metadata"]["type"] for item in shown["items"]] == ["string"] * 4
    assert shown.keys() - format_template(PUMP, v5=False).keys() == {"handle"}
