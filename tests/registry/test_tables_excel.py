"""Workbooks as factories make them, and files that only pretend to be one."""

import zipfile
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.tables import CellNote, FileRefused, Table, TableOptions, Wanted, open_table
from registry.tables.number_formats import ERROR_NOTE, FORMULA_NOTE
from registry.tables.xlsx_package import MAX_PART_BYTES, parse_column
from tests.registry.table_world import inline, make_row, read_one, read_texts, want, write_xlsx

HEADER = make_row(1, inline("编码", "值"))
WANTED = want("编码")


def open_cell(folder: Path, cell: str, **package: object) -> Table:
    """A sheet whose only row has the code A1 and this cell."""
    rows = HEADER + make_row(2, inline("A1") + cell)
    return open_table(write_xlsx(folder / "f.xlsx", {"S": rows}, **package), WANTED)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cell", "text", "note"),
    [
        ("<c><v>54</v></c>", "54", None),
        ('<c s="1"><v>54</v></c>', "00054", CellNote(plain="54")),
        ('<c s="2"><v>45447</v></c>', "2024-06-04", None),
        ('<c t="b"><v>1</v></c>', "TRUE", None),
        ('<c t="e"><v>#N/A</v></c>', "#N/A", ERROR_NOTE),
        ('<c t="d"><v>2024-06-04T00:00:00Z</v></c>', "2024-06-04", None),
        ('<c t="s"><v>0</v></c>', "潜水泵", None),
        ('<c t="s"><v>1</v></c>', "红色字", None),  # rich text, without its pronunciation
        ('<c t="str"><f>A1&amp;"x"</f><v>A1x</v></c>', "A1x", None),
        ('<c t="str"><f>IF(1,"")</f><v></v></c>', "", None),
        ("<c><f>SUM(A1:A2)</f><v>7</v></c>", "7", None),
        ("<c><f>SUM(A1:A2)</f><v/></c>", "=SUM(A1:A2)", FORMULA_NOTE),
        ("<c><f>SUM(A1:A2)</f></c>", "=SUM(A1:A2)", FORMULA_NOTE),
        ('<c t="inlineStr"><is><t>DF02_x0007_</t></is></c>', "DF02\x07", None),
        ('<c t="inlineStr"><is><t>a_x005F_x0007_b</t></is></c>', "a_x0007_b", None),
        ('<c t="inlineStr"><is><t>a &lt;b&gt; &amp;amp;</t></is></c>', "a <b> &amp;", None),
        ('<c t="inlineStr"><is><t xml:space="preserve"> a </t></is></c>', " a ", None),
        ('<c t="inlineStr"><is><t>_xD83D__xDE00_ _xD83D_</t></is></c>', "😀 \ufffd", None),
        ('<c r="B2"/>', "", None),
    ],
)
def test_a_cell_is_what_the_factory_sees(tmp_path: Path, cell: str, text: str, note: CellNote | None) -> None:
    strings = [
        "<si><t>潜水泵</t></si>",
        '<si><r><rPr><b/></rPr><t>红色</t></r><r><t>字</t></r><rPh sb="0" eb="1"><t>hóng</t></rPh></si>',
    ]
    row = read_one(open_cell(tmp_path, cell, formats=("General", "00000", "yyyy/m/d"), strings=strings))
    assert (row.texts, (row.notes or {}).get(1)) == (["A1", text], note)


def test_dates_that_count_from_1904(tmp_path: Path) -> None:
    assert read_one(open_cell(tmp_path, "<c><v>43985</v></c>", formats=(14,), is_1904=True)).texts[1] == "2024-06-04"


def test_without_styles_a_number_is_shown_as_it_is_whatever_style_its_cell_asks_for(tmp_path: Path) -> None:
    assert read_one(open_cell(tmp_path, '<c s="3"><v>7.5</v></c>', formats=())).texts[1] == "7.5"


def test_references_decide_where_a_cell_stands(tmp_path: Path) -> None:
    rows = make_row(1, '<c r="B1" t="str"><v>编码</v></c><c r="D1" t="str"><v>值</v></c>')
    rows += make_row(5, '<c r="D5"><v>7</v></c><c r="Z5"><v>9</v></c>') + make_row(7, '<c r="B7" t="str"><v>A</v></c>')
    table = open_table(write_xlsx(tmp_path / "f.xlsx", {"S": rows}), WANTED)
    assert table.columns == ["", "编码", "", "值"]
    assert read_texts(table) == [(5, ["", "", "", "7"]), (7, ["", "A", "", ""])]


def test_a_prefixed_vocabulary_reads_the_same(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "f.xlsx", {"S": HEADER + make_row(2, inline("A1", "x"))})
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    sheet = parts["xl/worksheets/s1.xml"].decode().replace("</", "</x:").replace("<", "<x:").replace("<x:/x:", "</x:")
    parts["xl/worksheets/s1.xml"] = sheet.replace("xmlns=", "xmlns:x=").encode()
    with zipfile.ZipFile(path, "w") as package:
        for name, content in parts.items():
            package.writestr(name, content)
    assert read_texts(open_table(path, WANTED)) == [(2, ["A1", "x"])]


def test_a_cell_merged_over_rows_stands_beside_each_of_them_but_not_over_columns(tmp_path: Path) -> None:
    rows = HEADER + make_row(2, inline("A1", "甲")) + make_row(3, '<c r="B3" t="str"><v>乙</v></c>')
    rows += make_row(4, '<c r="B4" t="str"><v>丙</v></c>') + make_row(5, inline("合计")) + make_row(6, inline("A2", ""))
    merges = '<mergeCells count="2"><mergeCell ref="A2:A3"/><mergeCell ref="A5:B5"/></mergeCells>'
    table = open_table(write_xlsx(tmp_path / "f.xlsx", {"S": rows}, merges=merges), WANTED)
    assert [texts for _, texts in read_texts(table)] == [
        ["A1", "甲"], ["A1", "乙"], ["", "丙"], ["合计", ""], ["A2", ""],
    ]  # fmt: skip


def test_a_workbook_of_xlsxwriter_with_hidden_rows_and_formats(tmp_path: Path) -> None:
    path = tmp_path / "f.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet("数据")
    sheet.write_row(0, 0, ["编码", "值"])
    sheet.write_number(1, 0, 54, book.add_format({"num_format": "00000"}))
    sheet.write_formula(1, 1, "=1+1", None, 2)
    sheet.write_row(3, 0, ["A3", 12.5])
    sheet.set_row(3, None, None, {"hidden": True})
    book.close()
    table = open_table(path, WANTED)
    assert (table.kind, table.sheet, table.rows_estimate) == ("xlsx", "数据", 2)
    assert read_texts(table) == [(2, ["00054", "2"]), (4, ["A3", "12.5"])]


COVER = make_row(1, inline("说明"))


@pytest.mark.parametrize(
    ("sheets", "options", "chosen"),
    [
        ({"封面": COVER, "数据": HEADER}, TableOptions(), "数据"),
        ({"a": HEADER, "b": HEADER}, TableOptions(sheet="b"), "b"),
        ({"a": HEADER, "b": HEADER}, TableOptions(sheet="2"), "b"),
        ({"a": HEADER, "hidden": HEADER}, TableOptions(), "a"),  # nobody sees a hidden sheet
        ({"a": COVER, "hidden": HEADER}, TableOptions(sheet="hidden"), "hidden"),
    ],
)
def test_the_sheet_is_found_or_named(
    tmp_path: Path, sheets: dict[str, str], options: TableOptions, chosen: str
) -> None:
    assert open_table(write_xlsx(tmp_path / "f.xlsx", sheets), WANTED, options).sheet == chosen


@pytest.mark.parametrize(
    ("sheets", "options", "code"),
    [
        ({"a": HEADER, "b": HEADER}, TableOptions(), "file_sheet_in_doubt"),
        ({"a": COVER, "b": COVER}, TableOptions(), "file_sheet_not_found"),
        ({"a": COVER, "b": HEADER}, TableOptions(sheet="c"), "file_sheet_unknown"),
        ({"a": COVER, "b": HEADER}, TableOptions(sheet="a"), "file_header_not_found"),
        ({"a": COVER}, TableOptions(), "file_header_not_found"),
        ({"a": ""}, TableOptions(), "file_empty"),
        ({}, TableOptions(), "file_without_sheets"),
        ({"a": HEADER + make_row(2, inline("编码", "别"))}, TableOptions(), "file_header_in_doubt"),
    ],
)
def test_a_doubt_is_refused_with_the_candidates(
    tmp_path: Path, sheets: dict[str, str], options: TableOptions, code: str
) -> None:
    with pytest.raises(FileRefused) as refused:
        open_table(write_xlsx(tmp_path / "f.xlsx", sheets), WANTED, options)
    assert refused.value.code == code


def test_without_names_to_look_for_the_first_row_of_the_only_sheet_is_the_header(tmp_path: Path) -> None:
    table = open_table(write_xlsx(tmp_path / "f.xlsx", {"S": HEADER + make_row(2, inline("A1", "x"))}), Wanted())
    assert table.columns == ["编码", "值"]


def _refused(path: Path) -> str:
    with pytest.raises(FileRefused) as refused:
        list(open_table(path, WANTED).rows())
    return refused.value.code


def test_a_zip_bomb_is_refused_by_what_it_says_it_holds(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "bomb.xlsx", {"S": HEADER + " " * (MAX_PART_BYTES + 1)})
    assert path.stat().st_size < 1_000_000
    assert _refused(path) == "file_sheet_too_large"


def test_a_zip_bomb_that_lies_about_its_size_gives_no_more_than_it_said(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "bomb.xlsx", {"S": HEADER + " " * (MAX_PART_BYTES + 1)})
    content = path.read_bytes()
    true_size = zipfile.ZipFile(path).getinfo("xl/worksheets/s1.xml").file_size
    path.write_bytes(content.replace(true_size.to_bytes(4, "little"), (1_000).to_bytes(4, "little")))
    assert _refused(path) == "file_damaged"


def test_a_text_bomb_in_the_shared_texts_is_refused(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "f.xlsx", {"S": HEADER}, strings=[f"<si><t>{' ' * (MAX_PART_BYTES + 1)}</t></si>"])
    assert _refused(path) == "file_sheet_too_large"


def test_entities_are_refused_before_they_expand(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "f.xlsx", {"S": HEADER})
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist() if "s1" not in name}
    with zipfile.ZipFile(path, "w") as package:
        for name, content in parts.items():
            package.writestr(name, content)
        entities = '<!DOCTYPE w [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>'
        package.writestr("xl/worksheets/s1.xml", f"{entities}<worksheet><sheetData>&b;</sheetData></worksheet>")
    assert _refused(path) == "file_xml_forbidden"


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1048577"><c><v>1</v></c></row>',
        pytest.param("<row/>" * 1_048_577, id="as many elements"),
    ],
)
def test_more_rows_than_a_sheet_can_have_are_refused(tmp_path: Path, rows: str) -> None:
    assert _refused(write_xlsx(tmp_path / "f.xlsx", {"S": HEADER + rows})) == "file_too_many_rows"


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_refused_whole(tmp_path: Path, share: float) -> None:
    path = write_xlsx(tmp_path / "f.xlsx", {"S": HEADER + make_row(2, inline("A1", "x"))})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert _refused(path) == "file_damaged"


def test_a_damaged_byte_is_noticed_before_the_first_row(tmp_path: Path) -> None:
    rows = "".join(make_row(i, inline(f"A{i}")) for i in range(2, 5_000))
    path = write_xlsx(tmp_path / "f.xlsx", {"S": HEADER + rows})
    content = bytearray(path.read_bytes())
    content[5_000] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(FileRefused) as refused:
        open_table(path, WANTED)
    assert refused.value.code == "file_damaged"


@pytest.mark.parametrize(
    "cell",
    [
        '<c t="s"><v>99</v></c>',  # no such text
        '<c t="s"><v>x</v></c>',
        '<c s="99"><v>1</v></c>',  # no such style
        '<c r="7"><v>1</v></c>',
        "<c><v>1</c></v>",
    ],
)
def test_xml_that_makes_no_sense_is_refused(tmp_path: Path, cell: str) -> None:
    with pytest.raises(FileRefused) as refused:
        list(open_cell(tmp_path, cell).rows())
    assert refused.value.code == "file_damaged"


def test_a_header_of_too_many_columns_is_refused_and_a_far_cell_costs_nothing(tmp_path: Path) -> None:
    far = '<c r="XFD{}" t="str"><v>x</v></c>'
    rows = HEADER + make_row(2, inline("A1") + far.format(2))
    assert read_texts(open_table(write_xlsx(tmp_path / "f.xlsx", {"S": rows}), WANTED)) == [(2, ["A1", ""])]
    wide = make_row(1, inline("编码", *map(str, range(1_100))))
    assert _refused(write_xlsx(tmp_path / "g.xlsx", {"S": wide})) == "file_too_many_columns"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    part=st.sampled_from(["xl/worksheets/s1.xml", "xl/workbook.xml", "xl/styles.xml", "xl/_rels/workbook.xml.rels"]),
    at=st.integers(0, 2_000),
    removed=st.integers(0, 12),
    put=st.sampled_from([b"", b"9", b"-1", b"9" * 40, b'"', b"<v>", b"</row>", b'<c r="ZZZZ1">', b"\xff", b"_x0000_"]),
)
def test_whatever_happened_to_a_part_it_is_read_or_refused(
    tmp_path: Path, part: str, at: int, removed: int, put: bytes
) -> None:
    rows = HEADER + make_row(2, inline("A1") + '<c s="0"><v>1.5</v></c>')
    with zipfile.ZipFile(write_xlsx(tmp_path / "f.xlsx", {"S": rows})) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    at %= len(parts[part])
    parts[part] = parts[part][:at] + put + parts[part][at + removed :]
    with zipfile.ZipFile(tmp_path / "g.xlsx", "w") as package:
        for name, content in parts.items():
            package.writestr(name, content)
    try:
        found = read_texts(open_table(tmp_path / "g.xlsx", WANTED))
    except FileRefused:
        return
    assert all(len(texts) == len(found[0][1]) for _, texts in found)


@pytest.mark.parametrize(("letters", "column"), [("A", 0), ("Z", 25), ("AA", 26), ("XFD", 16_383)])
def test_columns_count_in_letters(letters: str, column: int) -> None:
    assert parse_column(letters) == column


def _write_sheet(tmp_path: Path, rows: list[str], merges: str) -> Path:
    body = "".join(
        f'<row r="{number}">' + "".join(
            f'<c r="{cell[0]}{number}" t="str"><v>{cell[1:]}</v></c>' for cell in row.split()
        ) + "</row>"
        for number, row in enumerate(rows, 1)
    )  # fmt: skip
    tags = "".join(f'<mergeCell ref="{ref}"/>' for ref in merges.split())
    return write_xlsx(tmp_path / "f.xlsx", {"s": body}, merges=f"<mergeCells>{tags}</mergeCells>")


HEADERS = [
    (["A标题", "A编码 B产品 D日期", "B名称 C规格", "A1 Bx Cy Dz"], "A1:D1 A2:A3 B2:C2 D2:D3", 3,
     ["编码", "名称", "规格", "日期"], "names below a group, the others merged over both rows"),
    (["A编码 B名称 C数量", "C（箱）", "A1 Bx C2"], "A1:A2 B1:B2", 1,
     ["编码", "名称", "数量"], "a unit below a name is no row of the table"),
    (["A编码 B名称", "", "A1 Bx"], "A1:A2 B1:B2", 1, ["编码", "名称"], "all merged: the second row is empty"),
    (["A编码 B名称", "A1 Bx"], "A1:B1", 1, ["编码", "名称"], "merged over columns only"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "merges", "header_row", "columns", "reason"), HEADERS, ids=[h[4] for h in HEADERS])
def test_a_header_of_several_rows_is_understood(
    tmp_path: Path, rows: list[str], merges: str, header_row: int, columns: list[str], reason: str
) -> None:
    table = open_table(_write_sheet(tmp_path, rows, merges), want("编码", "名称", "数量"))
    assert (table.header_row, table.columns) == (header_row, columns), reason
    assert [row.texts[0] for row in table.rows()] == ["1"], reason


def test_a_banner_that_begins_beside_the_header_hides_no_row(tmp_path: Path) -> None:
    rows = ["A六月 B编码 C名称", "B1 Cx", "B2 Cy"]
    table = open_table(_write_sheet(tmp_path, rows, "A1:A3"), want("编码", "名称"))
    assert [row.texts[1] for row in table.rows()] == ["1", "2"]


def test_texts_have_display_formats_too(tmp_path: Path) -> None:
    cells = '<row r="1"><c r="A1" t="str"><v>编码</v></c></row>'
    cells += '<row r="2"><c r="A2" s="1" t="inlineStr"><is><t>7a</t></is></c></row>'
    cells += '<row r="3"><c r="A3" s="1"><v>7</v></c></row>'
    path = write_xlsx(tmp_path / "f.xlsx", {"s": cells}, formats=["General", '"批"@'])
    assert [row.texts for row in open_table(path, want("编码")).rows()] == [["批7a"], ["批7"]]
