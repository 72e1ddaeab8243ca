"""Template documents and the texts of values."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.templates import (
    DATA_TYPES,
    STAGES,
    Item,
    Visibility,
    check_text,
    format_template,
    parse_date,
    parse_template,
)
from schemas.texts import format_message

TOFU = json.loads((Path(__file__).parents[2] / "data" / "batches-tofu-works.template.json").read_bytes())


def with_item(**item: Any) -> dict[str, Any]:
    return {"version": "v", "items": [{"index": 2000, "type": "a"} | item]}


def test_the_tofu_template_is_read_as_it_stands() -> None:
    template = parse_template(TOFU, "88.101.10")
    assert (template.version, template.stage, len(template.items)) == ("batch-1", "production", 11)
    assert template.industry == ("C", "13", "139", "1392")
    assert template.items_by_type["shift"].visibility is Visibility.PRIVATE
    assert template.handle == "88.101.10/META_batch-1"


BAD: list[tuple[Any, str, str]] = [
    (None, "template_malformed", "nothing"),
    ([], "template_malformed", "a list"),
    ({}, "template_malformed", "no items"),
    ({"version": "v", "items": []}, "template_malformed", "an empty list of items"),
    ({"version": "v", "items": [5]}, "template_malformed", "an item that is a number"),
    ({"version": "v", "items": [{"type": f"t{n}"} for n in range(201)]}, "template_malformed", "201 items"),
    ({"items": [{"type": "a"}]}, "template_version_malformed", "no version"),
    (with_item() | {"version": ""}, "template_version_malformed", "an empty version"),
    (with_item() | {"version": "a\0"}, "template_version_malformed", "NUL in the version"),
    (with_item() | {"version": "x" * 129}, "template_version_malformed", "a version of 129 characters"),
    (with_item() | {"colour": 1}, "template_malformed", "an unknown member"),
    (with_item() | {"stage": "sale"}, "template_malformed", "an unknown stage"),
    (with_item() | {"industry": ["C", "13", "139", "3441"]}, "industry_wrong_parent", "a wrong industry"),
    (with_item() | {"industry": ["C", "13"]}, "industry_malformed", "two levels of industry"),
    (with_item(index=1000), "template_index_reserved", "the template's handle"),
    (with_item(index=1001), "template_index_reserved", "the template's version"),
    (with_item(index=1999), "template_index_reserved", "the notice"),
    (with_item(index=100), "template_index_reserved", "HS_ADMIN by convention"),
    (with_item(index=1), "template_index_reserved", "below 2000"),
    (with_item(index=0), "template_malformed", "index 0"),
    (with_item(index=-5), "template_malformed", "a negative index"),
    (with_item(index=2**31), "template_malformed", "an index of 32 bits"),
    (with_item(index="2000"), "template_malformed", "an index as text"),
    (with_item(index=True), "template_malformed", "true is no index"),
    (with_item(type=""), "template_type_malformed", "an empty type"),
    (with_item(type="a b"), "template_type_malformed", "a blank in the type"),
    (with_item(type="HS_ADMIN"), "template_type_malformed", "a type of the protocol"),
    (with_item(type="hs_site"), "template_type_malformed", "the same in small letters"),
    (with_item(type="类型"), "template_type_malformed", "a Chinese type"),
    (with_item(data="blob"), "template_malformed", "an unknown kind of data"),
    (with_item(required="yes"), "template_malformed", "a text where true or false is meant"),
    (with_item(visibility="secret"), "template_malformed", "an unknown visibility"),
    (with_item(stage="sale"), "template_malformed", "an unknown stage of an item"),
    (with_item(max_length=0), "template_length_malformed", "no room at all"),
    (with_item(max_length=4_001), "template_length_malformed", "more than a value may hold"),
    (with_item(min_length=9, max_length=8), "template_length_malformed", "shorter than its minimum"),
    (with_item(min_length=-1), "template_length_malformed", "a negative length"),
    (with_item(name={"fr": "a"}), "template_malformed", "a third language"),
    (with_item(colour=1), "template_malformed", "an unknown member of an item"),
    ({"version": "v", "items": [{"type": "a"}, {"type": "A"}]}, "template_item_taken", "one type twice"),
    ({"version": "v", "items": [{"type": "a", "index": 2000}, {"type": "b", "index": 2000}]}, "template_item_taken",
     "one index twice"),
    ({"version": "v", "items": [{"type": "a", "name": "名"}, {"type": "b", "name": "名"}]}, "template_item_taken",
     "one name twice"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "code", "reason"), BAD, ids=[b[2] for b in BAD])
def test_a_wrong_document_is_refused(document: Any, code: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_template(document)
    assert caught.value.code == code, reason
    assert caught.value.field


def test_items_are_numbered_from_2000_where_they_are_not() -> None:
    template = parse_template({"version": "v", "items": [{"type": "a"}, {"type": "b"}]})
    assert [item.index for item in template.items] == [2000, 2001]
    assert template.items[0].name_zh == template.items[0].name_en == "a"


NAMES = st.text(st.characters(categories=["L", "N"]), max_size=20)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    item_types = st.from_regex(r"[a-gi-z][a-z0-9_.]{0,20}", fullmatch=True)
    types = draw(st.lists(item_types, min_size=1, max_size=8, unique=True))
    items = [
        {
            "index": 2000 + 7 * n,
            "type": item_type,
            "name": {"zh": f"{draw(NAMES)}{n}", "en": f"{draw(NAMES)}-{n}"},
            "data": draw(st.sampled_from(DATA_TYPES)),
            "min_length": draw(st.integers(0, 5)),
            "max_length": draw(st.integers(5, 4_000)),
            "required": draw(st.booleans()),
            "enabled": draw(st.booleans()),
            "visibility": draw(st.sampled_from(["public", "partner", "private"])),
        }
        | ({"stage": draw(st.sampled_from(STAGES))} if draw(st.booleans()) else {})
        for n, item_type in enumerate(types)
    ]
    return {"version": draw(NAMES.filter(bool)), "name": {"zh": draw(NAMES)}, "items": items}


@given(documents())
def test_a_template_is_written_and_read_back(document: dict[str, Any]) -> None:
    try:
        template = parse_template(document)
    except InvalidInput as error:
        assert error.code == "template_item_taken"  # names that differ in case only
        return
    assert parse_template(format_template(template)) == template
    assert json.loads(json.dumps(format_template(template))) == format_template(template)


STORED = [
    ("text", " 泵 ", " 泵 ", "text is kept as it is"),
    ("text", "a\nb\tc", "a\nb\tc", "line breaks and tabs are content"),
    ("number", "1,234.50", "1234.50", "separators go, zeros stay"),
    ("number", "+5", "5", "a sign too many"),
    ("number", " -0.5 ", "-0.5", "blanks around"),
    ("integer", "007", "007", "leading zeros are kept"),
    ("date", "2024/6/4", "2024-06-04", "slashes"),
    ("date", "2024年6月4日", "2024-06-04", "Chinese"),
    ("date", "20240604", "2024-06-04", "digits only"),
    ("boolean", "是", "true", "yes"),
    ("boolean", "No", "false", "no"),
    ("url", "https://example.com/说明?x=1#y", "https://example.com/说明?x=1#y", "an address"),
]


@pytest.mark.parametrize(("data", "text", "stored", "reason"), STORED, ids=[s[3] for s in STORED])
def test_a_text_has_one_stored_form(data: str, text: str, stored: str, reason: str) -> None:
    item = Item(2000, "a", "甲", "A", data=data)
    assert check_text(item, text) == stored, reason
    assert check_text(item, stored) == stored


REFUSED = [
    ("text", "a\0b", "value_control_character", "NUL"),
    ("text", "\ud800", "value_control_character", "half a character"),
    ("text", "x" * 256, "value_too_long", "longer than the item allows"),
    ("number", "1.2.3", "value_not_number", "two points"),
    ("number", "12,34", "value_not_number", "a separator out of place"),
    ("number", "1e5", "value_not_number", "an exponent"),
    ("number", "NaN", "value_not_number", "not a number"),
    ("number", "５", "value_not_number", "a full-width digit"),
    ("integer", "1.0", "value_not_integer", "a fraction"),
    ("date", "2024-02-30", "value_not_date", "no day of the calendar"),
    ("date", "2024-6/4", "value_not_date", "two separators"),
    ("date", "04.06.2024", "value_not_date", "the day first"),
    ("boolean", "也许", "value_not_boolean", "perhaps"),
    ("url", "javascript:alert(1)", "value_not_url", "a script"),
    ("url", "data:text/html,x", "value_not_url", "a document"),
    ("url", "//example.com", "value_not_url", "no scheme"),
    ("url", "https://user@example.com/", "value_not_url", "a name before the host"),
    ("url", "https://exa mple.com/", "value_not_url", "a blank"),
    ("url", "https://", "value_not_url", "no host"),
]


@pytest.mark.parametrize(("data", "text", "code", "reason"), REFUSED, ids=[r[3] for r in REFUSED])
def test_a_wrong_value_is_refused(data: str, text: str, code: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_text(Item(2000, "a", "甲", "A", data=data), text)
    assert caught.value.code == code, reason


@given(st.dates())
def test_every_day_is_read_in_every_form(day: Any) -> None:
    y, m, d = f"{day.year:04}", day.month, day.day
    for text in (f"{y}-{m:02}-{d:02}", f"{y}/{m}/{d}", f"{y}.{m}.{d}", f"{y}{m:02}{d:02}", f"{y}年{m}月{d}日"):
        assert parse_date(text) == day


VALUES: list[tuple[dict[str, str], str | None, str]] = [
    ({"a": "1"}, None, "what is required is there"),
    ({"A": "1"}, None, "types are compared without case"),
    ({}, "value_missing", "what is required is missing"),
    ({"a": ""}, "value_missing", "an empty text is not given"),
    ({"a": " \t\u3000"}, "value_missing", "nor is one of blanks"),
    ({"a": "1", "x": "2"}, "value_unknown_item", "an item the template has not"),
    ({"a": "1", "A": "2"}, "value_given_twice", "one item by two spellings"),
    ({"a": "1", "off": "2"}, "value_disabled_item", "an item that is disabled"),
]


@pytest.mark.parametrize(("texts", "code", "reason"), VALUES, ids=[v[2] for v in VALUES])
def test_values_are_checked_against_the_template(texts: dict[str, str], code: str | None, reason: str) -> None:
    template = parse_template(
        {"version": "v", "items": [{"type": "a", "required": True}, {"type": "off", "enabled": False}]}
    )
    if code is None:
        assert [(item.index, text) for item, text in template.check_values(texts)] == [(2000, "1")]
        return
    with pytest.raises(InvalidInput) as caught:
        template.check_values(texts)
    assert caught.value.code == code, reason


def test_a_message_calls_an_item_by_its_name_in_the_language_of_the_message() -> None:
    names = {"zh": "型号", "en": "Model"}
    document = {
        "version": "v",
        "items": [{"index": 2000, "type": "a", "required": True, "name": names, "max_length": 2}],
    }
    template = parse_template(document, "88.101.10")
    for values in ({}, {"a": "xyz"}):
        with pytest.raises(InvalidInput) as caught:
            template.check_values(values)
        assert "型号" in format_message(caught.value.code, "zh", **caught.value.details)
        english = format_message(caught.value.code, "en", **caught.value.details)
        assert "Model" in english and "型号" not in english
