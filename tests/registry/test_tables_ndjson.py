"""One flat JSON object per line; a bad line is refused alone."""

from pathlib import Path

import pytest

from registry.tables import FileRefused, Table, open_table
from tests.registry.table_world import want, write_bytes


def open_lines(folder: Path, text: str, encoding: str = "utf-8") -> Table:
    return open_table(write_bytes(folder, text.encode(encoding), "f.ndjson"), want("code"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns_are_the_keys_of_all_lines(tmp_path: Path, encoding: str) -> None:
    table = open_lines(tmp_path, '{"code":"A","n":1}\n\n{"code":"B","备注":"泵"}\n', encoding)
    assert table.columns == ["code", "n", "备注"]
    assert [(row.number, row.texts) for row in table.rows()] == [(1, ["A", "1", ""]), (3, ["B", "", "泵"])]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("20240102001234567890", "20240102001234567890"),  # no digit is lost
        ("1.50", "1.50"),
        ("-1e3", "-1e3"),
        ("true", "true"),
        ("null", ""),
        ('"00054"', "00054"),
        ('"\\u6cf5"', "泵"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\ud83d"', "\ufffd"),  # half a character cannot be stored or written anywhere
    ],
)
def test_a_value_keeps_the_digits_of_the_file(tmp_path: Path, value: str, text: str) -> None:
    (row,) = open_lines(tmp_path, f'{{"code":"A","v":{value}}}\n').rows()
    assert row.texts == ["A", text]


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        ('{"code":"B"', "row_not_json", ""),  # cut off
        ('{"code":NaN}', "row_not_json", ""),
        ('["code"]', "row_not_json", ""),
        ("7", "row_not_json", ""),
        ('{"code":' + "[" * 100_000, "row_not_json", ""),
        ('{"code":{"a":1}}', "row_value_nested", "code"),
        ('{"code":["a"]}', "row_value_nested", "code"),
        ('{"code":"B","code":"C"}', "row_key_twice", "code"),
        ('{"code":"' + "B" * 200_000 + '"}', "row_line_too_long", ""),
    ],
)
def test_a_bad_line_is_refused_and_its_neighbours_are_read(tmp_path: Path, line: str, code: str, column: str) -> None:
    first, bad, last = open_lines(tmp_path, f'{{"code":"A"}}\n{line}\n{{"code":"Z"}}\n').rows()
    assert (first.texts, last.texts, last.number) == (["A"], ["Z"], 3)
    assert bad.problem is not None
    assert (bad.number, bad.problem.code, bad.problem.column) == (2, code, column)


@pytest.mark.parametrize("text", ['[{"code":"A"}]\n', '{"code"\n'])
def test_what_is_no_ndjson_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileRefused) as refused:
        open_lines(tmp_path, text)
    assert refused.value.code == "file_not_ndjson"
