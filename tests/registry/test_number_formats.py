"""Numbers and dates as a spreadsheet shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.tables.number_formats import BUILTIN_FORMATS, compile_format, compile_text_format


def show(code: str, raw: str, is_1904: bool = False) -> str:
    return compile_format(code, is_1904)(raw)[0]


@pytest.mark.parametrize(
    ("code", "raw", "text"),
    [
        ("00000", "54", "00054"),
        ("00000", "1234567", "1234567"),
        ("00000", "-54", "-00054"),
        ("000-0000", "1234567", "123-4567"),
        ('"SN"0000', "7", "SN0007"),
        ("0.00", "52.5", "52.50"),
        ("0.00", "0.005", "0.01"),  # rounds half away from zero
        ("0.0#", "1.5", "1.5"),
        ("#.##", "0.5", ".5"),
        ("#,##0", "1234567", "1,234,567"),
        ("#,##0", "0", "0"),
        ("#,##0.00", "-1234.5", "-1,234.50"),
        ("#,##0_);(#,##0)", "-1234", "(1,234)"),
        ("#,##0_);(#,##0)", "1234", "1,234"),
        ("0;-0;无", "0", "无"),
        ("#,##0,", "1234567", "1,235"),
        ("#,##0,,\\M", "1234567", "1M"),
        ("0%", "0.5", "50%"),
        ("0.0%", "0.125", "12.5%"),
        ("[$¥-804]#,##0.00", "1234.5", "¥1,234.50"),
        ('[Red]0"箱"', "12", "12箱"),
        ('General"件"', "12", "12件"),
        ("G/通用格式", "12", "12"),
        ("@", "54", "54"),
        ("0.00E+00", "12345", "1.23E+04"),
        ("# ?/?", "0.5", "0.5"),
        ("General", "54", "54"),
        ("General", "52.5", "52.5"),
        ("General", "0.30000000000000004", "0.3"),
        ("General", "0.333333333333333", "0.333333333"),
        ("General", "1E-05", "1E-05"),
        ("General", "6964572796759", "6964572796759"),
        ("General", "2.024010200123457E+17", "2.02401020012346E+17"),
        ("General", "1E3", "1000"),
        ("[<=9999999]000-0000;(000) 000-0000", "5551234", "555-1234"),
        ("[<=9999999]000-0000;(000) 000-0000", "5105551234", "(510) 555-1234"),
        ('[=1]"合格";[=2]"不合格";0', "2", "不合格"),
        ('[=1]"合格";[=2]"不合格";0', "3", "3"),
        ('[>=100]0"箱";0"件"', "-5", "-5件"),
        ('0!.0,"万"', "123456", "12.3万"),  # `!` escapes in Chinese versions
    ],
)
def test_a_number_is_what_the_screen_shows(code: str, raw: str, text: str) -> None:
    assert show(code, raw) == text


@pytest.mark.parametrize(
    ("code", "raw", "text"),
    [
        ("yyyy-mm-dd", "45447", "2024-06-04"),
        ("aaaa", "45447", "2024-06-04"),  # the weekday, in Chinese versions
        ('yyyy"年"m"月"d"日"', "45447", "2024-06-04"),
        ("yyyy/m/d", "45447", "2024-06-04"),
        ("[$-804]yyyy年m月", "45447", "2024-06-04"),
        ("m/d", "45447", "2024-06-04"),
        ("yyyy-mm-dd", "45447.75", "2024-06-04"),  # the screen shows no time
        ("yyyy-mm-dd hh:mm", "45447.75", "2024-06-04T18:00:00"),
        ("yyyy-mm-dd hh:mm", "45447", "2024-06-04"),
        ("yyyy-m-d h:mm AM/PM", "45447.25", "2024-06-04T06:00:00"),
        ("h:mm", "0.75", "18:00:00"),
        ("[h]:mm", "1.25", "30:00:00"),
        ("yyyy-mm-dd", "1", "1900-01-01"),
        ("yyyy-mm-dd", "59", "1900-02-28"),
        ("yyyy-mm-dd", "61", "1900-03-01"),
        ("yyyy-mm-dd", "2958465", "9999-12-31"),
    ],
)
def test_a_date_is_the_same_day_in_any_display_format(code: str, raw: str, text: str) -> None:
    assert show(code, raw) == text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ('"批"@', "批A1"),
        ('0;-0;0;@"号"', "A1号"),
        (";;;", ""),  # a cell that is hidden by its format
        ("0;-0;0;", ""),
        ("General", "A1"),
        ("@", "A1"),
        ("yyyy/m/d;@", "A1"),
        ('_ * #,##0_ ;_ * -#,##0_ ;_ * "-"_ ;_ @_ ', "A1"),
        ("0000", "A1"),
    ],
)
def test_a_text_is_what_the_screen_shows(code: str, text: str) -> None:
    show_text = compile_text_format(code)
    assert (show_text("A1") if show_text else "A1") == text


def test_dates_of_workbooks_that_count_from_1904() -> None:
    assert show("yyyy-mm-dd", "43985", is_1904=True) == "2024-06-04"


@pytest.mark.parametrize(
    ("code", "raw"), [("yyyy-mm-dd", "-1"), ("yyyy-mm-dd", "2958466"), ("h:mm", "-0.5"), ("h:mm", "1E300"), ("0", "x")]
)
def test_what_a_spreadsheet_cannot_show_is_an_error(code: str, raw: str) -> None:
    _, note = compile_format(code)(raw)
    assert note is not None
    assert note.problem == "cell_error"


@pytest.mark.parametrize(
    ("code", "raw", "problem", "plain"),
    [
        ("General", "54", None, None),
        ("00000", "54", None, "54"),
        ("#,##0", "1234", None, "1234"),
        ("General", "999999999999999", None, None),  # 15 digits are kept
        ("General", "1000000000000000", "number_rounded", None),
        ("0", "202401020012345678", "number_rounded", None),
        ("General", "166.5", "number_has_fraction", None),
        ("0", "166.5", "number_has_fraction", "166.5"),
        ("0%", "0.5", "number_has_fraction", "0.5"),
    ],
)
def test_what_an_identifier_must_know_about_a_number(
    code: str, raw: str, problem: str | None, plain: str | None
) -> None:
    _, note = compile_format(code)(raw)
    assert (note.identifier_problem if note else None, note.plain if note else None) == (problem, plain)


@given(st.text(alphabet='0#?.,%E+-@;[]"\\_* ymdhsG/箱', max_size=12), st.floats(allow_nan=False, allow_infinity=False))
def test_no_format_and_no_number_is_too_strange_to_be_shown(code: str, number: float) -> None:
    text, _ = compile_format(code)(repr(number))
    assert isinstance(text, str)


@given(st.integers(0, 10**15 - 1), st.integers(1, 12))
def test_zero_padding_never_loses_a_digit(number: int, width: int) -> None:
    assert show("0" * width, str(number)) == str(number).zfill(width)


@given(st.sampled_from(sorted(BUILTIN_FORMATS)), st.integers(0, 2_958_465))
def test_every_built_in_format_shows_every_whole_number(key: int, number: int) -> None:
    assert show(BUILTIN_FORMATS[key], str(number)) != ""
