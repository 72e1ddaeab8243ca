"""Patterns are understood or refused before the first row is read."""

from datetime import datetime

import pytest

from registry.identifier_rule import Field, compile_date_format, parse_moment, parse_rule, split_format
from schemas.errors import InvalidInput

MOMENT = datetime(2024, 6, 4, 7, 8, 9)


def test_a_pattern_is_texts_and_fields_in_order() -> None:
    rule = parse_rule(None, "{{SN}}-{产品代码}-{生产日期:yyyyMMdd}/{批号}#")
    assert rule.parts == ("{SN}-", Field("产品代码"), "-", Field("生产日期:yyyyMMdd"), "/", Field("批号"), "#")
    assert split_format("生产日期:yyyyMMdd") == ("生产日期", "yyyyMMdd")


@pytest.mark.parametrize(
    ("column", "pattern", "code"),
    [
        (None, None, "identifier_rule_needed"),
        ("A", "{A}", "identifier_rule_needed"),
        (" ", None, "identifier_rule_needed"),
        (None, "{A", "pattern_brace_open"),
        (None, "A}", "pattern_brace_open"),
        (None, "{A{B}", "pattern_brace_open"),
        (None, "{}", "pattern_name_empty"),
        (None, "SN", "pattern_without_column"),
        (None, "", "pattern_without_column"),
    ],
)
def test_refused(column: str | None, pattern: str | None, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_rule(column, pattern)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("date_format", "text"),
    [
        ("yyyyMMdd", "20240604"),
        ("yy-MM", "24-06"),
        ("yyyy年MM月dd日", "2024年06月04日"),
        ("yyyyMMddHHmmss", "20240604070809"),
        ("{dd}", "{04}"),
    ],
)
def test_a_date_is_written_as_asked(date_format: str, text: str) -> None:
    assert compile_date_format(date_format)(MOMENT) == text


@pytest.mark.parametrize(("date_format", "letter"), [("YYYYMMdd", "Y"), ("yyyyMMDD", "D"), ("yyy", "y"), ("", "")])
def test_a_letter_without_meaning_is_named(date_format: str, letter: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        compile_date_format(date_format)
    assert (refused.value.code, refused.value.details["letter"]) == ("pattern_date_letter", letter)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-06-04", datetime(2024, 6, 4)),
        ("2024/6/4", datetime(2024, 6, 4)),
        ("2024年6月4日", datetime(2024, 6, 4)),
        ("2024-06-04T07:08:09", MOMENT),
        (" 2024/6/4  7:08 ", datetime(2024, 6, 4, 7, 8)),
        ("2024-02-30", None),
        ("2024-06-04 25:00", None),
        ("明天", None),
        ("", None),
    ],
)
def test_moments(text: str, moment: datetime | None) -> None:
    assert parse_moment(text) == moment
