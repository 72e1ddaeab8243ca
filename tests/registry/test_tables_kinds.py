"""A file is what it holds, whatever its name says."""

import os
import zipfile
from pathlib import Path

import pytest

from registry.tables import FileRefused, open_table
from tests.registry.table_world import inline, make_row, want, write_bytes, write_xlsx

WANTED = want("编码")


def test_a_csv_that_is_really_a_workbook_is_read_as_one_and_said_so(tmp_path: Path) -> None:
    rows = make_row(1, inline("编码")) + make_row(2, inline("A1"))
    table = open_table(write_xlsx(tmp_path / "f.csv", {"S": rows}), WANTED)
    assert [row.texts for row in table.rows()] == [["A1"]]
    (remark,) = table.remarks
    assert (remark.code, remark.details) == ("file_kind_differs", {"ending": ".csv", "kind": "xlsx"})


def test_the_name_its_owner_gave_counts_and_not_that_of_the_upload(tmp_path: Path) -> None:
    path = write_bytes(tmp_path, "编码\nA1\n".encode(), "upload.bin")
    assert open_table(path, WANTED, name="批次.csv").remarks == []
    assert [remark.code for remark in open_table(path, WANTED, name="批次.XLSX").remarks] == ["file_kind_differs"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<html><table><tr><td>code</td></tr></table></html>", "file_is_web_page"),  # what web systems call .xls
        (b'\xef\xbb\xbf\r\n <?xml version="1.0"?><Workbook/>', "file_is_web_page"),
        (b"MIME-Version: 1.0\r\n", "file_is_web_page"),
        (b"%PDF-1.7", "file_kind_unsupported"),
        (b"\x1f\x8b\x08\x00", "file_kind_unsupported"),
        (b"PK\x03\x04 this is no zip", "file_damaged"),
        (b'[{"code": 1}]', "file_not_ndjson"),
        (b"", "file_empty"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        open_table(write_bytes(tmp_path, content, "f.xls"), WANTED)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("names", "kind"), [(["xl/workbook.bin"], "xlsb"), (["mimetype", "content.xml"], "ods"), (["a.txt"], "zip")]
)
def test_other_zips_are_refused_by_name(tmp_path: Path, names: list[str], kind: str) -> None:
    path = tmp_path / "f.xlsx"
    with zipfile.ZipFile(path, "w") as package:
        for name in names:
            package.writestr(name, "x")
    with pytest.raises(FileRefused) as refused:
        open_table(path, WANTED)
    assert (refused.value.code, refused.value.details["kind"]) == ("file_kind_unsupported", kind)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as refused:
        open_table(tmp_path / "none.csv", WANTED)
    assert refused.value.code == "file_cannot_be_opened"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileRefused) as refused:
        open_table(tmp_path / "pipe", WANTED)
    assert refused.value.code == "file_not_ordinary"
