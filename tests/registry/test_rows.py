"""From rows to drafts: the demonstration files come out as their README says, and every refusal names its column."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.identifier_rule import IdentifierRule, parse_rule
from registry.rows import (
    Decision,
    Draft,
    Refusal,
    RowPlan,
    describe_wanted,
    format_refusal,
    parse_mapping,
    plan_rows,
)
from registry.tables import CellNote, FileRefused, Row, RowProblem, Table, open_table
from registry.tables.number_formats import ERROR_NOTE, FORMULA_NOTE
from schemas.errors import InvalidInput
from schemas.templates import Template, parse_template
from tests.registry.table_world import DATA, make_template, write_bytes

COLUMNS = ["编码", "生产日期", "数量（箱）", "件数", "备注", "序号"]
RIGHT = ["A1", "2024-06-04", "1.5", "2", "x", "1"]
BY_CODE = parse_rule("编码", None)
BY_PATTERN = parse_rule(None, "{编码}-{生产日期:yyyyMMdd}")
BATCH_PATTERN = "{产品代码}-{生产日期:yyyyMMdd}-{批号}"


def open_demonstration(file: str, template: str, rule: IdentifierRule, prefix: str) -> tuple[Table, RowPlan]:
    read = parse_template(json.loads((DATA / template).read_text(encoding="utf-8")))
    table = open_table(DATA / file, describe_wanted(read, rule, {}))
    return table, plan_rows(read, table.columns, rule, {}, prefix)


def test_the_batches_of_the_tofu_works_come_out_row_by_row_as_expected() -> None:
    rule = parse_rule(None, BATCH_PATTERN)
    table, plan = open_demonstration("batches-tofu-works.xlsx", "batches-tofu-works.template.json", rule, "88.101.10")
    assert (table.sheet, table.header_row, plan.left) == ("批次登记", 3, ["序号"])
    issued: dict[str, list[tuple[int, str]]] = {}
    outcomes = []
    for row in table.rows():
        decision = plan.decide(row)
        if isinstance(decision, Refusal):
            outcomes.append((str(row.number), "refused", ""))
            continue
        known = issued.setdefault(decision.suffix, decision.values)
        outcome = "registered" if known is decision.values else "unchanged" if known == decision.values else "differs"
        outcomes.append((str(row.number), outcome, f"88.101.10/{decision.suffix}"))
    with (DATA / "batches-tofu-works.expected.csv").open(encoding="utf-8-sig", newline="") as file:
        expected = [(r["sheet_row"], r["outcome"], r["identifier"]) for r in csv.DictReader(file)]
    assert outcomes == expected


def test_the_pump_works_products_keep_every_character_of_their_codes() -> None:
    table, plan = open_demonstration("products-pump-works.csv", "products-pump-works.template.json",
                                     parse_rule("产品编码", None), "88.101.5")  # fmt: skip
    with (DATA / "products-pump-works.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = list(csv.reader(file))[1:]
    drafts = [plan.decide(row) for row in table.rows()]
    assert len(cells) == 20_000
    assert plan.left == []
    assert [(d.number, d.suffix, list_texts(d)) for d in drafts if isinstance(d, Draft)] == [
        (number, texts[0], [(2_000 + i, text) for i, text in enumerate(texts)]) for number, texts in enumerate(cells, 2)
    ]


def decide(
    texts: list[str], rule: IdentifierRule = BY_CODE, notes: dict[int, CellNote] | None = None,
    template: Template | None = None,
) -> Decision:  # fmt: skip
    plan = plan_rows(template or make_template(), COLUMNS, rule, {}, "88.101.7")
    return plan.decide(Row(9, texts, notes))


def change(**cells: str) -> list[str]:
    """The right row with other cells, by the type of their column."""
    order = ["code", "made_on", "quantity", "count", "note", "unmapped"]
    return [cells.get(name, text) for name, text in zip(order, RIGHT, strict=True)]


def list_texts(draft: Draft) -> list[tuple[int, str]]:
    return [(index, text) for index, _, text in draft.values]


def test_a_right_row_is_a_draft() -> None:
    values = [(2000, "A1"), (2001, "2024-06-04"), (2002, "1.5"), (2003, "2"), (2004, "x")]
    for rule, suffix in ((BY_CODE, "A1"), (BY_PATTERN, "A1-20240604")):
        decision = decide(RIGHT, rule)
        assert isinstance(decision, Draft)
        assert (decision.number, decision.suffix, list_texts(decision)) == (9, suffix, values)
        assert [item_type for _, item_type, _ in decision.values] == [item.type for item in make_template().items]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ({"note": "", "quantity": "  "}, [(2003, "2")]),  # empty optional cells are not values
        ({"note": " x "}, [(2002, "1.5"), (2003, "2"), (2004, " x ")]),  # a text is what it is
        ({"quantity": " 1,234.50 "}, [(2002, "1234.50"), (2003, "2"), (2004, "x")]),
        ({"unmapped": "#N/A\ufffd"}, [(2002, "1.5"), (2003, "2"), (2004, "x")]),  # nobody asked for it
    ],
)
def test_values(cells: dict[str, str], values: list[tuple[int, str]]) -> None:
    decision = decide(change(**cells))
    assert isinstance(decision, Draft)
    assert list_texts(decision)[2:] == values


@pytest.mark.parametrize("text", ["2024/6/4", "2024年6月4日", "20240604", "2024-06-04 08:30:00", "2024-06-04T08:30"])
@pytest.mark.parametrize("rule", [BY_CODE, BY_PATTERN])
def test_a_day_is_the_same_however_it_is_written(text: str, rule: IdentifierRule) -> None:
    decision = decide(change(made_on=text), rule)
    assert isinstance(decision, Draft)
    assert list_texts(decision)[1] == (2001, "2024-06-04")
    assert decision.suffix in ("A1", "A1-20240604")


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("88.101.7/A1", "A1"),  # the whole identifier
        ("88.101.7/A/1", "A/1"),
        ("http://127.0.0.1:8081/88.101.7/A27", "A27"),  # scanned from a label, or copied from a receipt
        ("HTTPS://id.example/node/88.101.7/A%2F1%20%E6%B3%B5%23?lang=en#top", "A/1 泵#"),
        ("https://id.example/88.101.7%2F..", ".."),
        ("ftp://id.example/A1", "ftp://id.example/A1"),
        ("88.102.70/A1", "88.102.70/A1"),  # what is no prefix of this node is only text
        ("88.101.x y/A1", "88.101.x y/A1"),
        ("A88.101.70/A1", "A88.101.70/A1"),
        ("X88.101.7/A1", "X88.101.7/A1"),
        ("QX 40/000002", "QX 40/000002"),
        ("泵#%/1", "泵#%/1"),
        ("1E+1", "1E+1"),  # one digit of exponent: no spreadsheet writes that
    ],
)
def test_an_identifier_column_holds_the_suffix_or_the_whole_identifier(text: str, suffix: str) -> None:
    decision = decide(change(code=text), template=make_template(items=[{"type": "code"}, {"type": "x"}]))
    assert isinstance(decision, Draft)
    assert decision.suffix == suffix


ROUNDED, FRACTION = CellNote(identifier_problem="number_rounded"), CellNote(None, "number_has_fraction", "166.5")


@pytest.mark.parametrize(
    ("cells", "notes", "problems"),
    [
        ({"code": ""}, {}, [("identifier_cell_empty", "编码")]),
        ({"code": "\u3000"}, {}, [("identifier_cell_empty", "编码")]),
        ({"code": "A1 "}, {}, [("identifier_cell_blank_at_ends", "编码")]),
        ({"code": "A\x07"}, {}, [("suffix_control_character", "编码")]),
        ({"code": "A\u200b"}, {}, [("suffix_control_character", "编码")]),
        ({"code": "A\0"}, {}, [("suffix_control_character", "编码")]),
        ({"code": "U\u0308"}, {}, [("suffix_not_composed", "编码")]),
        ({"code": "泵\ufffd"}, {}, [("cell_undecodable", "编码")]),
        ({"code": "2.02401E+17"}, {}, [("number_rounded", "编码")]),  # as Excel saves long numbers to CSV
        ({"code": "2.02401E+17"}, {0: ROUNDED}, [("number_rounded", "编码")]),
        ({"code": "166.5"}, {0: FRACTION}, [("number_has_fraction", "编码")]),
        ({"code": "#N/A"}, {0: ERROR_NOTE}, [("cell_error", "编码")]),
        ({"code": "=A1"}, {0: FORMULA_NOTE}, [("cell_formula_without_value", "编码")]),
        ({"code": "88.101.70/A1"}, {}, [("identifier_of_other_prefix", "编码")]),  # never issued by mistake
        ({"code": "http://127.0.0.1:8081/88.101.70/A1"}, {}, [("identifier_cell_is_address", "编码")]),
        ({"code": "https://shop.example/"}, {}, [("identifier_cell_is_address", "编码")]),
        ({"code": "https://id.example/88.101.7/"}, {}, [("identifier_cell_is_address", "编码")]),
        ({"code": "https://id.example/?at=/88.101.7/A1"}, {}, [("identifier_cell_is_address", "编码")]),
        ({"code": "http://88.101.7/A1"}, {}, [("identifier_cell_is_address", "编码")]),  # that is a host
        ({"code": "https://id.example/88.101.7/%FF"}, {}, [("cell_undecodable", "编码")]),
        ({"code": "A" * 21}, {}, [("value_too_long", "编码")]),
        ({"made_on": ""}, {}, [("value_missing", "生产日期")]),
        ({"made_on": "2024-02-30"}, {}, [("value_not_date", "生产日期")]),
        ({"quantity": "约五十"}, {}, [("value_not_number", "数量（箱）")]),
        ({"quantity": "#N/A"}, {2: ERROR_NOTE}, [("cell_error", "数量（箱）")]),
        ({"count": "1.5"}, {3: FRACTION}, [("value_not_integer", "件数")]),
        ({"note": "\ufffd"}, {}, [("cell_undecodable", "备注")]),
        ({"note": "a\x07"}, {}, [("value_control_character", "备注")]),
        (
            {"made_on": "x", "count": "y", "code": ""},  # everything at once, so that one correction is enough
            {},
            [("identifier_cell_empty", "编码"), ("value_not_date", "生产日期"), ("value_not_integer", "件数")],
        ),
    ],
)
def test_a_refusal_names_its_columns(
    cells: dict[str, str], notes: dict[int, CellNote], problems: list[tuple[str, str]]
) -> None:
    decision = decide(change(**cells), notes=notes or None)
    assert isinstance(decision, Refusal)
    assert (decision.number, [(p.code, p.column) for p in decision.problems]) == (9, problems)


@pytest.mark.parametrize(
    ("cells", "code", "column"),
    [
        ({"made_on": ""}, "identifier_cell_empty", "生产日期"),
        ({"made_on": "2024-02-30"}, "identifier_cell_not_date", "生产日期"),
        ({"code": "U\u0308"}, "suffix_not_composed", "编码"),
        ({"code": "A\x07"}, "suffix_control_character", "编码"),
        ({"code": " A"}, "identifier_cell_blank_at_ends", "编码"),
        ({"code": "泵\ufffd"}, "cell_undecodable", "编码"),
    ],
)
def test_a_part_of_a_pattern_is_named_by_its_column(cells: dict[str, str], code: str, column: str) -> None:
    decision = decide(change(**cells), BY_PATTERN)
    assert isinstance(decision, Refusal)
    assert (decision.problems[0].code, decision.problems[0].column) == (code, column)


def test_a_note_matters_only_where_the_cell_is_needed() -> None:
    """A fraction and a rounded number are values like any other; an error in a column without item is nothing."""
    decision = decide(change(quantity="166.5"), notes={2: FRACTION, 4: ROUNDED, 5: ERROR_NOTE})
    assert isinstance(decision, Draft)


@pytest.mark.parametrize(("shown", "plain"), [("50%", "0.5"), ("¥1,234.50", "1234.5"), ("1,234", "1234")])
def test_a_number_item_takes_the_number_behind_its_display(shown: str, plain: str) -> None:
    decision = decide(change(quantity=shown), notes={2: CellNote(plain=plain)})
    assert isinstance(decision, Draft)
    assert list_texts(decision)[2] == (2002, plain)


def test_a_row_that_could_not_be_read_is_refused_with_the_reason_of_its_reader() -> None:
    plan = plan_rows(make_template(), COLUMNS, BY_CODE, {}, "88.101.7")
    decision = plan.decide(Row(5, ["x"] + [""] * 5, None, RowProblem("row_quote_unclosed", "", {})))
    assert isinstance(decision, Refusal)
    assert [p.code for p in decision.problems] == ["row_quote_unclosed"]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_reason_says_column_and_remedy(language: str) -> None:
    decision = decide(change(code="", count="y"))
    assert isinstance(decision, Refusal)
    reason = format_refusal(decision, language)
    expected = {
        "zh": ["“编码”列：", "请填写后重试", "“件数”列：", "不是整数", "请填写整数"],
        "en": ["Column “编码”:", "Fill it in", "Column “件数”:", "whole number"],
    }
    assert all(part in reason for part in expected[language])
    assert "…" not in reason


@pytest.mark.parametrize(
    ("columns", "mapping", "matched"),
    [
        (["CODE ", "made on"], {}, {"CODE ": "code", "made on": "made_on"}),  # English, case, blanks
        (["code", "made_on", "数量(箱)"], {}, {"code": "code", "made_on": "made_on", "数量(箱)": "quantity"}),
        (["编码", "生产\n日期"], {}, {"编码": "code", "生产\n日期": "made_on"}),
        (["编码", "日期"], {"日期": "made_on"}, {"编码": "code", "日期": "made_on"}),
        (["编码", "日期", "生产日期"], {"日期": "made_on"}, {"编码": "code", "日期": "made_on"}),  # by hand wins
    ],
)
def test_columns_find_their_items(columns: list[str], mapping: dict[str, str], matched: dict[str, str]) -> None:
    plan = plan_rows(make_template(), columns, parse_rule("code", None), mapping, "88.101.7")
    assert plan.matched == matched
    assert plan.left == [column for column in columns if column not in matched]


@pytest.mark.parametrize(
    ("columns", "rule", "mapping", "code"),
    [
        (["编码"], BY_CODE, {}, "file_column_missing"),
        (["编码", "生产日期"], parse_rule("条码", None), {}, "file_column_unknown"),
        (["编码", "生产日期"], parse_rule(None, "{编码}-{批号}"), {}, "file_column_unknown"),
        (["编码", "生产日期"], parse_rule(None, "{生产日期:yyyyMMDD}"), {}, "pattern_date_letter"),
        (["编码", "生产日期"], BY_CODE, {"日期": "made_on"}, "file_column_unknown"),
        (["编码", "生产日期"], BY_CODE, {"生产日期": "made"}, "value_unknown_item"),
        (["编码", "Code", "生产日期"], BY_CODE, {}, "file_two_columns_for_item"),
        (["编码", "编码", "生产日期"], BY_CODE, {}, "file_two_columns_for_item"),
        (["编码", "生产日期", "批号", "批号"], parse_rule("批号", None), {}, "file_column_twice"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_row(
    columns: list[str], rule: IdentifierRule, mapping: dict[str, str], code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan_rows(make_template(), columns, rule, mapping, "88.101.7")
    assert refused.value.code == code


def test_a_column_whose_name_has_a_colon_can_stand_in_a_pattern() -> None:
    rule = parse_rule(None, "{批:号}-{编码}")
    plan = plan_rows(make_template(), ["编码", "生产日期", "批:号"], rule, {}, "88.101.7")
    decision = plan.decide(Row(2, ["A", "2024-06-04", "7"]))
    assert isinstance(decision, Draft)
    assert decision.suffix == "7-A"


def test_mappings_are_read_or_refused() -> None:
    assert parse_mapping(["品名=product", "a=b=c"]) == {"品名": "product", "a=b": "c"}
    refusals = {("品名",): "mapping_malformed", ("=x",): "mapping_malformed", ("a=x", "A=y"): "mapping_column_twice"}
    for texts, code in refusals.items():
        with pytest.raises(InvalidInput) as refused:
            parse_mapping(list(texts))
        assert refused.value.code == code


def test_a_wrong_header_says_what_was_looked_for(tmp_path: Path) -> None:
    path = write_bytes(tmp_path, "型号,批次\nX,1\n".encode())
    with pytest.raises(FileRefused) as refused:
        open_table(path, describe_wanted(make_template(), BY_CODE, {}))
    assert refused.value.code == "file_header_not_found"
    assert refused.value.details["expected"] == "编码、生产日期"


def test_a_file_with_bad_rows_still_gives_its_good_ones(tmp_path: Path) -> None:
    header = "编码,生产日期,备注\n"
    content = f"{header}A1,2024-06-04,x\n,2024-06-04,x\nA3,昨天,x\nA4,2024-06-04,1,2\n{header}A5,2024-06-04,潜"
    path = write_bytes(tmp_path, content.encode()[:-1])
    table = open_table(path, describe_wanted(make_template(), BY_CODE, {}))
    plan = plan_rows(make_template(), table.columns, BY_CODE, {}, "88.101.7")
    decisions = [plan.decide(row) for row in table.rows()]
    assert [d.number for d in decisions] == [2, 3, 4, 5, 6, 7]
    assert [d.problems[0].code if isinstance(d, Refusal) else d.suffix for d in decisions] == [
        "A1", "identifier_cell_empty", "value_not_date", "row_too_many_cells", "row_is_header", "cell_undecodable",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["合计", "总 计：", "小计", "Total", "GRAND TOTAL:", "sub-total"])
def test_a_row_of_totals_is_no_product(text: str) -> None:
    for rule in (BY_CODE, BY_PATTERN):
        plan = plan_rows(make_template(), COLUMNS, rule, {}, "88.101.7")
        texts = [text if column == "编码" else "2024-06-04" for column in COLUMNS]
        decision = plan.decide(Row(9, texts))
        assert isinstance(decision, Refusal)
        assert "row_is_total" in {problem.code for problem in decision.problems}


@given(st.lists(st.lists(st.text(max_size=30), min_size=6, max_size=6), max_size=8))
def test_a_decision_is_the_same_for_equal_rows_and_never_an_exception(rows: list[list[str]]) -> None:
    """What was seen before is remembered; memory must not change an answer."""
    plan = plan_rows(make_template(), COLUMNS, BY_PATTERN, {}, "88.101.7")
    for texts in rows:
        fresh = plan_rows(make_template(), COLUMNS, BY_PATTERN, {}, "88.101.7")
        assert plan.decide(Row(1, texts)) == fresh.decide(Row(1, texts))
        assert plan.decide(Row(1, texts)) == plan.decide(Row(1, texts, {5: CellNote(plain="1")}))
