"""CSV as systems really export it: every row is read or refused by name, never lost and never guessed."""

import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from registry.tables import FileRefused, TableOptions, open_table
from registry.tables.csv_table import MAX_LINE_CHARACTERS, MAX_RECORD_LINES
from tests.registry.table_world import open_text, read_one, read_texts, want, write_bytes

TEXT = "编码,备注\r\nA1,潜水泵\r\nA2,\r\n"
ROWS = [(2, ["A1", "潜水泵"]), (3, ["A2", ""])]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encoding_and_separator_are_found(tmp_path: Path, encoding: str, separator: str) -> None:
    table = open_text(tmp_path, TEXT.replace(",", separator), encoding)
    assert (table.columns, read_texts(table)) == (["编码", "备注"], ROWS)


def test_a_nul_in_a_cell_makes_no_other_encoding(tmp_path: Path) -> None:
    assert read_texts(open_text(tmp_path, "编码,值\nA1,x\0\n")) == [(2, ["A1", "x\0"])]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_any_line_ending(tmp_path: Path, ending: str) -> None:
    assert read_texts(open_text(tmp_path, TEXT.replace("\r\n", ending))) == ROWS


def test_chinese_that_begins_a_million_bytes_into_the_file_still_decides_the_encoding(tmp_path: Path) -> None:
    text = "code,note\n" + "A,plain ascii\n" * 100_000 + "B,不合格\n"
    table = open_table(write_bytes(tmp_path, text.encode("gb18030")), want("code"))
    assert list(table.rows())[-1].texts == ["B", "不合格"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"encoding": "utf-8"}, "file_encoding_wrong"),
        ({"encoding": "latin-9"}, "file_encoding_unknown"),
        ({"encoding": "utf-16"}, "file_encoding_wrong"),
        ({"separator": "::"}, "file_separator_unknown"),
        ({"separator": ";"}, "file_header_not_found"),
        ({"header_row": 9}, "file_header_row_empty"),
    ],
)
def test_a_wrong_choice_of_the_caller_is_refused_by_name(tmp_path: Path, options: dict[str, object], code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        open_table(
            write_bytes(tmp_path, TEXT.encode("gb18030")),
            want("编码"),
            TableOptions(**options),  # type: ignore[arg-type]
        )
    assert refused.value.code == code


def test_a_tab_is_given_by_its_name(tmp_path: Path) -> None:
    path = write_bytes(tmp_path, "编码\t备注,甲\nA1\tx,y\n".encode())
    assert read_texts(open_table(path, want("编码"), TableOptions(separator="tab"))) == [(2, ["A1", "x,y"])]


def test_a_text_in_no_known_encoding_is_refused(tmp_path: Path) -> None:
    path = write_bytes(tmp_path, b"code,note\n" + b"A,\xff\xff\xfe\x80 \n" * 9)
    with pytest.raises(FileRefused) as refused:
        open_table(path, want("code"))
    assert refused.value.code == "file_encoding_wrong"


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_half_a_character_at_the_end_spoils_only_its_own_row(tmp_path: Path, encoding: str) -> None:
    cut = "编码,备注\nA1,潜水泵\nA2,潜水泵".encode(encoding)[:-1]
    table = open_table(write_bytes(tmp_path, cut), want("编码"))
    rows = read_texts(table)
    assert rows[0] == (2, ["A1", "潜水泵"])
    assert rows[1][1][0] == "A2"
    assert "\ufffd" in rows[1][1][1]


def test_one_damaged_line_does_not_make_a_utf8_file_a_gb18030_one(tmp_path: Path) -> None:
    lines = ["编码,备注", *(f"A{i},潜水泵" for i in range(20))]
    content = "\n".join(lines).encode() + b"\nB,\xe6\xbd\n" + "C,泵\n".encode()
    rows = read_texts(open_table(write_bytes(tmp_path, content), want("编码")))
    assert rows[0][1] == ["A0", "潜水泵"]
    assert "\ufffd" in rows[20][1][1]
    assert rows[21][1] == ["C", "泵"]


def test_title_and_blank_lines_above_the_header_count_as_lines(tmp_path: Path) -> None:
    table = open_text(tmp_path, "登记表,\n,\n\n编码,备注\nA1,x\n\n , \nA2,y\n")
    assert table.header_row == 4
    assert read_texts(table) == [(5, ["A1", "x"]), (8, ["A2", "y"])]


def test_a_cell_of_several_lines_counts_every_line(tmp_path: Path) -> None:
    table = open_text(tmp_path, '编码,备注\nA1,"一\n二\n三"\nA2,y\n')
    assert read_texts(table) == [(2, ["A1", "一\n二\n三"]), (5, ["A2", "y"])]


def test_cells_too_few_are_empty_ones(tmp_path: Path) -> None:
    """Excel leaves out separators at the end of rows whose last cells are empty."""
    assert read_texts(open_text(tmp_path, "编码,备注,x\nA1\nA2,y\n")) == [(2, ["A1", "", ""]), (3, ["A2", "y", ""])]


@pytest.mark.parametrize(
    ("last", "code"),
    [
        ("A2,y", "row_cut_off"),  # the line ends within the file's last row
        ('A2,y,"zz', "row_quote_unclosed"),
    ],
)
def test_a_file_that_was_cut_off_gives_its_whole_rows_and_refuses_the_last(
    tmp_path: Path, last: str, code: str
) -> None:
    first, second = open_text(tmp_path, f"编码,备注,x\nA1,y,z\n{last}").rows()
    assert first.texts == ["A1", "y", "z"]
    assert (second.number, second.problem and second.problem.code) == (3, code)


def test_a_last_line_without_its_end_is_a_row_if_it_is_whole(tmp_path: Path) -> None:
    assert read_one(open_text(tmp_path, "编码,备注\nA1,y")).problem is None


def test_more_cells_than_columns_are_refused_unless_they_are_empty(tmp_path: Path) -> None:
    first, second = open_text(tmp_path, "编码,备注\nA1,1,234\nA2,y,,\n").rows()
    assert first.problem is not None
    assert (first.problem.code, first.problem.details["cells"]) == ("row_too_many_cells", 3)
    assert (second.texts, second.problem) == (["A2", "y"], None)


@pytest.mark.parametrize("following", [1, 5, MAX_RECORD_LINES - 1, MAX_RECORD_LINES, 2 * MAX_RECORD_LINES + 7])
def test_an_unclosed_quotation_mark_costs_one_row_and_not_the_rest(tmp_path: Path, following: int) -> None:
    text = '编码,备注\nA1,x\n"A2,x\n' + "".join(f"B{i},x\n" for i in range(following))
    rows = list(open_text(tmp_path, text).rows())
    assert [row.number for row in rows] == list(range(2, following + 4))
    assert [row.number for row in rows if row.problem] == [3]
    assert rows[1].problem is not None
    assert rows[1].problem.code == "row_quote_unclosed"


def test_an_unclosed_quotation_mark_that_a_later_cell_closes_swallows_nothing(tmp_path: Path) -> None:
    rows = list(open_text(tmp_path, '编码,备注\n"A1,x\nA2,x\n"A3",x\nA4,x\n').rows())
    assert [(row.number, bool(row.problem)) for row in rows] == [(2, True), (3, False), (4, False), (5, False)]


@pytest.mark.parametrize("size", [MAX_LINE_CHARACTERS, MAX_LINE_CHARACTERS + 1, 3 * MAX_LINE_CHARACTERS])
@pytest.mark.parametrize("start", ["", '"'])
def test_a_very_long_line_costs_one_row(tmp_path: Path, size: int, start: str) -> None:
    text = "编码,备注\nA1,x\n" + start + "长" * size + "\nA2,y\n"
    rows = list(open_text(tmp_path, text).rows())
    assert [(row.number, bool(row.problem)) for row in rows] == [(2, False), (3, True), (4, False)]
    assert len(rows[1].texts[0]) <= 200


def test_a_code_wrapped_against_spreadsheets_is_the_code(tmp_path: Path) -> None:
    lines = '编码,名称\n="0034",a\n"=""0035""","=1+1"\n="",=A1&"x"\n'
    assert read_texts(open_text(tmp_path, lines)) == [(2, ["0034", "a"]), (3, ["0035", "=1+1"]), (4, ["", '=A1&"x"'])]


@pytest.mark.parametrize("header", ["编码*", "*编码", "编码（必填）", '"编码\n(必填)"', "＊ 编 码 (Required)"])
def test_marks_of_required_columns_are_no_part_of_their_names(tmp_path: Path, header: str) -> None:
    assert open_text(tmp_path, f"标题,\n{header},名称\n1,a\n").header_row >= 2


def test_a_nul_is_a_character_of_its_cell(tmp_path: Path) -> None:
    assert read_texts(open_text(tmp_path, "编码,备注\nA\0,x\n")) == [(2, ["A\0", "x"])]


def test_bytes_that_are_no_text_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as refused:
        open_table(write_bytes(tmp_path, bytes(range(256)) * 20), want("code"))
    assert refused.value.code == "file_not_a_table"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" , \n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FileRefused) as refused:
        open_table(write_bytes(tmp_path, content), want("code"))
    assert refused.value.code == "file_empty"


def test_two_different_rows_that_fit_equally_are_a_doubt_and_named(tmp_path: Path) -> None:
    text = "编码,甲\n编码,乙\nA1,x\n"
    with pytest.raises(FileRefused) as refused:
        open_text(tmp_path, text)
    assert (refused.value.code, refused.value.details["candidates"]) == ("file_header_in_doubt", "1、2")
    assert read_texts(open_text(tmp_path, text, header_row=2)) == [(3, ["A1", "x"])]


def test_reading_goes_on_after_the_row_where_it_stopped(tmp_path: Path) -> None:
    table = open_text(tmp_path, TEXT)
    assert [row.number for row in table.rows(after=2)] == [3]
    assert [row.number for row in table.rows()] == [2, 3]


def test_a_million_rows_take_no_more_memory_than_a_thousand(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("编码,备注\n")
        file.writelines(f"PUMP-{i:07},潜水泵\n" for i in range(1_000_000))
    table = open_table(path, want("编码"), TableOptions())
    assert table.rows_estimate == 1_000_000
    rows = table.rows()
    tracemalloc.start()
    assert sum(1 for _ in islice(rows, 10_000)) == 10_000
    _, early = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    middle = sum(1 for _ in islice(rows, 980_000))
    tracemalloc.start()
    last = sum(1 for _ in rows)
    _, late = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (middle, last) == (980_000, 10_000)
    assert max(early, late) < 1_000_000


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, encoding: str) -> None:
    table = open_text(tmp_path, "\ufeff编码,值\nA1,甲\n", encoding=encoding)
    assert (table.columns, read_texts(table)) == (["编码", "值"], [(2, ["A1", "甲"])])
