"""The receipt is opened in a spreadsheet by people who did nothing wrong: it must show texts and compute nothing."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.receipt import defuse, open_receipt
from registry.tables import Row


def write(columns: list[str], *lines: tuple[Row, str, str, str]) -> str:
    file = io.StringIO(newline="")
    write_line = open_receipt(file, columns, lambda identifier: f"https://id.example/{identifier}")
    for line in lines:
        write_line(line)
    return file.getvalue()


def test_a_line_is_row_outcome_identifier_address_reason_and_the_file_s_own_cells() -> None:
    text = write(
        ["编码", "备注"],
        (Row(2, ["A1", "x,y"]), "registered", "88.101.7/A1", ""),
        (Row(3, ["", "多\n行"]), "refused", "", "“编码”列：空"),
    )
    assert text[0] == "\ufeff"
    assert list(csv.reader(io.StringIO(text[1:], newline=""))) == [
        ["row", "outcome", "identifier", "scan_url", "reason", "编码", "备注"],
        ["2", "registered", "88.101.7/A1", "https://id.example/88.101.7/A1", "", "A1", "x,y"],
        ["3", "refused", "", "", "“编码”列：空", "", "多\n行"],
    ]


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", '=HYPERLINK("x")', "+", "-"]
)
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert defuse(text) == "'" + text


@pytest.mark.parametrize("text", ["", "A1", "-5", "+5", "-5.25", "1E+5", "-1e-3", "0054", "潜水泵", "a=b", "#N/A"])
def test_numbers_and_plain_texts_stay_as_they_are(text: str) -> None:
    assert defuse(text) == text


@given(st.text())
def test_no_cell_begins_like_a_formula_unless_it_is_a_number(text: str) -> None:
    shown = defuse(text)
    assert shown.removeprefix("'") == text.removeprefix("'")
    if shown[:1] in ("=", "+", "-", "@", "\t", "\r"):
        float(shown)


def test_headers_are_defused_too() -> None:
    assert "'=cmd" in write(["=cmd"]).splitlines()[0]
