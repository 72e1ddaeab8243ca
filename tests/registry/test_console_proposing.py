"""What a file suggests: the template that fits its columns, and the columns its identifiers are built from."""

from pathlib import Path

import pytest
from fastapi import APIRouter
from jinja2 import DictLoader

from registry.console.frame import Frame
from registry.console.import_pages import match_columns
from registry.console.proposing import find_code_column, propose_document, propose_pattern, sample
from registry.console.sections import Entry, Section, is_operator
from registry.console.starters import list_starters
from registry.identifier_rule import parse_rule
from registry.rows import plan_rows
from registry.tables import TableOptions, Wanted, open_table
from schemas.templates import parse_template
from tests.registry.people import CLERK, make_owner
from tests.registry.table_world import DATA, make_template, write_bytes


def test_the_workbook_of_the_tofu_works_suggests_its_own_pattern() -> None:
    table = open_table(DATA / "batches-tofu-works.xlsx", Wanted(), TableOptions(sheet="批次登记"))
    rows = [row.texts for row in sample(table)]
    assert table.header_row == 3, "a title and a note stand above the table"
    assert find_code_column(table.columns, rows) == ""
    assert propose_pattern(table.columns, rows) == "{产品代码}-{生产日期:yyyyMMdd}-{批号}"
    template = parse_template(propose_document(table, rows, "batch-1", "批次"))
    kinds = {item.name_zh: item.data for item in template.items}
    assert (kinds["生产日期"], kinds["保质期（天）"], kinds["批号"], kinds["商品条码"]) == (
        "date",
        "integer",
        "text",
        "text",
    )
    assert match_columns(template, table.columns) == {item.name_zh: item.type for item in template.items}


def test_the_products_of_the_pump_works_have_a_column_of_codes() -> None:
    table = open_table(DATA / "products-pump-works.csv", Wanted())
    rows = [row.texts for row in sample(table)]
    assert find_code_column(table.columns, rows) == "产品编码"
    types = {item["name"]["zh"]: item["type"] for item in propose_document(table, rows, "v", "n")["items"]}
    assert (types["型号"], types["生产日期"]) == ("model", "mfgDate"), "named as the starter templates name them"


@pytest.mark.parametrize(
    ("header", "types"),
    [
        ("x,名称,名称,Name ,NAME", ["x", "name", "name_2"]),  # one item for columns that are called alike
        (f"{'宽' * 300},HS_ADMIN,hs_,type", ["field_1", "admin", "hs", "type"]),
    ],
)
def test_what_is_proposed_is_always_a_template(tmp_path: Path, header: str, types: list[str]) -> None:
    table = open_table(write_bytes(tmp_path, f"{header}\n1,2,3,4,5\n".encode()), Wanted(), TableOptions(header_row=1))
    template = parse_template(propose_document(table, [row.texts for row in sample(table)], "t-1", "t"))
    assert [item.type for item in template.items] == types


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("序号,名称\n1,a\n2,b\n3,a\n", ""),  # the number of a line is no code
        ("型号,流水\nA,001\nA,002\nB,003\n", "{流水}"),  # but one written with zeros in front is
        ("批次,日期\nB1,2024-01-01\nB1,2024-01-02\nB2,2024-01-01\n", "{批次}-{日期:yyyyMMdd}"),
        ("批次,备注\nB7,\nB9,\nB3,x\n", "{批次}"),
        ("名称\na\na\n", ""),
    ],
)
def test_a_pattern_tells_rows_apart_or_is_none(tmp_path: Path, text: str, pattern: str) -> None:
    table = open_table(write_bytes(tmp_path, text.encode()), Wanted())
    assert propose_pattern(table.columns, [row.texts for row in sample(table)]) == pattern


def test_a_column_that_is_left_out_by_hand_stays_out_whatever_it_is_called() -> None:
    template = make_template()
    columns = [item.name_zh for item in template.items]
    optional = next(item for item in template.items if not item.required)
    kept = plan_rows(template, columns, parse_rule("编码", None), {}, "88.101.5")
    left = plan_rows(template, columns, parse_rule("编码", None), {optional.name_zh: ""}, "88.101.5")
    assert optional.name_zh in kept.matched
    assert optional.name_zh in left.left


@pytest.mark.parametrize("version", list_starters())
def test_every_starter_is_a_template(version: str) -> None:
    template = parse_template(list_starters()[version])
    assert template.version == version
    assert len(template.items) >= 4


def test_another_package_adds_a_page_and_its_place_in_the_navigation() -> None:
    section = Section(
        APIRouter(), (Entry("/figures", "figures", "group_node", is_operator),),
        DictLoader({"figures.html": "{{ say('figures') }} {{ 1234567 | number }} {{ root }}"}),
        {"figures": ("统计", "Figures")},
    )  # fmt: skip
    frame = Frame([section])
    assert frame.render("figures.html", "en", {}) == "Figures 1,234,567 /console"
    assert list(frame.list_entries(CLERK)) == ["group_node"]
    assert frame.list_entries(make_owner(1)) == {}
