""".xls files: the older kind, which many machines still write."""

from datetime import date, datetime
from pathlib import Path

import pytest
import xlwt

from registry.tables import CellNote, FileRefused, TableOptions, open_table
from registry.tables.number_formats import ERROR_NOTE
from tests.registry.table_world import want, write_bytes

WANTED = want("编码")


def styled(number_format: str) -> xlwt.XFStyle:
    return xlwt.easyxf(num_format_str=number_format)


def write_xls(path: Path) -> Path:
    book = xlwt.Workbook()
    book.add_sheet("封面").write(0, 0, "说明")
    sheet = book.add_sheet("数据")
    for column, text in enumerate(["编码", "日期", "数量", "合格", "批"]):
        sheet.write(1, column, text)
    sheet.write(2, 0, 54, styled("00000"))
    sheet.write(2, 1, date(2024, 6, 4), styled('yyyy"年"m"月"d"日"'))
    sheet.write(2, 2, 1234.5, styled("#,##0.00"))
    sheet.write(2, 3, True)
    sheet.write_merge(2, 3, 4, 4, "B1")
    sheet.write(3, 0, 2.024e17)
    sheet.write(3, 1, datetime(2024, 6, 4, 18, 30), styled("yyyy-mm-dd hh:mm"))
    sheet.row(3).set_cell_error(2, 0x2A)  # #N/A
    sheet.write(5, 0, "A5")
    book.save(str(path))
    return path


def test_cells_are_what_the_factory_sees(tmp_path: Path) -> None:
    table = open_table(write_xls(tmp_path / "f.xls"), WANTED)
    assert (table.kind, table.sheet, table.header_row) == ("xls", "数据", 2)
    first, second, third = table.rows()
    assert (first.number, first.texts) == (3, ["00054", "2024-06-04", "1,234.50", "TRUE", "B1"])
    assert first.notes == {0: CellNote(plain="54"), 2: CellNote(None, "number_has_fraction", "1234.5")}
    assert second.texts[1:] == ["2024-06-04T18:30:00", "#N/A", "", "B1"]
    assert second.notes == {0: CellNote(identifier_problem="number_rounded"), 2: ERROR_NOTE}
    assert (third.number, third.texts[0]) == (6, "A5")


def test_the_sheet_and_the_header_row_can_be_named(tmp_path: Path) -> None:
    table = open_table(write_xls(tmp_path / "f.xls"), WANTED, TableOptions(sheet="封面", header_row=1))
    assert table.columns == ["说明"]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = write_xls(tmp_path / "f.xls")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(FileRefused) as refused:
        open_table(path, WANTED)
    assert refused.value.code == "file_damaged"


def test_what_only_begins_like_an_xls_is_refused(tmp_path: Path) -> None:
    path = write_bytes(tmp_path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5_000), "f.xls")
    with pytest.raises(FileRefused) as refused:
        open_table(path, WANTED)
    assert refused.value.code in ("file_damaged", "file_protected")
