"""Loading enterprises from a file: all or none, row by row, twice the same."""

from pathlib import Path

import pytest
import xlsxwriter
from asyncpg import Connection

from registry.enterprise_file import LoadResult, format_outcome, load_enterprises, read_enterprise_file
from registry.enterprise_views import get_enterprise, list_enterprises
from registry.store.listing import EnterpriseFilter
from schemas.errors import Forbidden, InvalidInput
from tests.registry.people import CLERK, RULES, make_owner, make_uscc, order

SUCHENG = Path(__file__).parents[2] / "data" / "enterprises-sucheng.csv"
HEADER = (
    "单位名称,统一社会信用代码,所在乡镇或园区,行政区划代码,行业门类,行业大类,行业中类,行业小类,主要产品,申请前缀,"
    "接入日期,规模以上,重点产业链"
)


def line(number: int, prefix: str = "", **changes: str) -> str:
    cells = {
        "name": f"企业{number}", "code": make_uscc(number), "unit": "陈集镇", "division": "321302", "section": "C",
        "industry_division": "34", "group": "344", "class": "3441", "products": "泵",
        "prefix": prefix or f"88.101.{number}", "day": "2022-03-15", "above": "是", "chain": "机电装备",
    } | changes  # fmt: skip
    return ",".join(cells.values())


def write(folder: Path, *lines: str, encoding: str = "utf-8-sig", header: str = HEADER) -> Path:
    path = folder / "firms.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
    return path


async def load(conn: Connection, path: Path, dry_run: bool = False) -> LoadResult:
    return await load_enterprises(conn, RULES, order(), read_enterprise_file(path), dry_run=dry_run)


async def count(conn: Connection, table: str) -> int:
    number: int = await conn.fetchval(f"SELECT count(*) FROM {table}")
    return number


async def test_the_66_firms_of_sucheng_are_connected_each_on_its_own_day(connection: Connection) -> None:
    result = await load(connection, SUCHENG)
    assert (result.count("connected"), result.written) == (66, True)
    assert [o.row for o in result.outcomes] == list(range(2, 68))
    page = await list_enterprises(connection, CLERK, EnterpriseFilter(), limit=100)
    assert len(page.items) == 66
    assert page.next_after is None
    first = page.items[0]
    assert (first.name, str(first.connected_on), first.unit) == ("示例企业001号", "2022-03-15", "陈集镇")
    assert first.prefixes == ["88.101.1"]
    assert {"88.101.00007"} <= {prefix for item in page.items for prefix in item.prefixes}
    assert len({item.connected_on for item in page.items}) > 30
    detail = await get_enterprise(connection, CLERK, first.enterprise_id)
    assert [item.field for item in detail.todo] == [
        "nature", "address", "certificate_image_id", "contact", "legal_person",
    ]  # fmt: skip
    assert detail.tags == {"above_scale": "规模以上", "industrial_chain": "机电装备"}
    assert str(detail.placements[0].from_day) == "2022-03-15"
    assert str(detail.prefixes[0].enabled_on) == "2022-03-15"


async def test_units_and_what_reports_to_none_sum_to_the_district(connection: Connection) -> None:
    await load(connection, SUCHENG)
    by_unit = await connection.fetch("SELECT unit_id, count(*) AS n FROM placements GROUP BY unit_id")
    assert sum(row["n"] for row in by_unit) == 66
    assert {row["n"] for row in by_unit} == {3, 6, 30}


async def test_the_same_file_again_is_unchanged(connection: Connection) -> None:
    await load(connection, SUCHENG)
    before = [await count(connection, t) for t in ("decisions", "changes_pending", "placements")]
    again = await load(connection, SUCHENG)
    assert (again.count("unchanged"), again.written) == (66, False)
    assert all(o.enterprise_id for o in again.outcomes)
    assert before == [await count(connection, t) for t in ("decisions", "changes_pending", "placements")]


async def test_one_wrong_row_and_nothing_is_written(connection: Connection, tmp_path: Path) -> None:
    path = write(tmp_path, line(1), line(2, code="91321302MA0000001X"), line(3, group="345"), line(4))
    result = await load(connection, path)
    assert [o.outcome for o in result.outcomes] == ["connected", "refused", "refused", "connected"]
    assert [o.row for o in result.outcomes] == [2, 3, 4, 5]
    assert not result.written
    assert await count(connection, "enterprises") == 0
    shown = format_outcome(result.outcomes[1], "zh")
    assert shown["code"] == "uscc_check"
    assert "校验位" in shown["reason"]
    assert shown["remedy"]


WRONG = [
    ({"code": "91321302MA00000"}, "uscc_length", "three characters are missing"),
    ({"code": "9132130OMA0000001Y"}, "uscc_character", "a letter O instead of a zero"),
    ({"division": "999999"}, "division_unknown", "no such division"),
    ({"section": "A"}, "industry_wrong_parent", "agriculture has no machine building"),
    ({"class": "3431"}, "industry_wrong_parent", "a class of another group"),
    ({"prefix": "88.101.000000"}, "prefix_reserved", "the node's own"),
    ({"prefix": "88.201.5"}, "prefix_not_ours", "under another node"),
    ({"prefix": "88.101.A5"}, "prefix_malformed", "letters"),
    ({"day": "2022-02-30"}, "day_malformed", "no day of the calendar"),
    ({"day": "2027-01-01"}, "day_in_future", "nobody was connected tomorrow"),
    ({"above": "大概"}, "enterprise_file_yes_no", "neither yes nor no"),
    ({"name": "x" * 256}, "dossier_field_too_long", "longer than the dossier allows"),
    ({"name": ""}, "dossier_field_missing", "a firm without a name"),
    ({"unit": "a/b"}, "unit_name", "a slash separates division and unit"),
]


@pytest.mark.parametrize(("changes", "code", "reason"), WRONG, ids=[w[2] for w in WRONG])
async def test_a_wrong_row_is_refused_with_its_reason(
    connection: Connection, tmp_path: Path, changes: dict[str, str], code: str, reason: str
) -> None:
    result = await load(connection, write(tmp_path, line(1, **changes)))
    assert result.outcomes[0].error is not None, reason
    assert result.outcomes[0].error.code == code


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
async def test_files_come_in_the_encodings_of_offices(connection: Connection, tmp_path: Path, encoding: str) -> None:
    result = await load(connection, write(tmp_path, line(1), line(2), encoding=encoding))
    assert result.count("connected") == 2
    assert result.outcomes[0].name == "企业1"


async def test_headers_may_be_english(connection: Connection, tmp_path: Path) -> None:
    header = "Name,USCC,Unit,Division code,Section,Industry division,Group,Class,Main products,Prefix,Connected on"
    path = write(tmp_path, line(1).rsplit(",", 2)[0], header=header)
    assert (await load(connection, path)).count("connected") == 1


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_enterprise_file(write(tmp_path, line(1), header=HEADER.replace("统一社会信用代码", "代码")))
    assert caught.value.details["column"] == "统一社会信用代码"


async def test_leading_zeros_make_another_prefix(connection: Connection, tmp_path: Path) -> None:
    result = await load(connection, write(tmp_path, line(1, "88.101.7"), line(2, "88.101.00007")))
    assert result.count("connected") == 2


async def test_one_prefix_cannot_go_to_two_firms(connection: Connection, tmp_path: Path) -> None:
    result = await load(connection, write(tmp_path, line(1, "88.101.7"), line(2, "88.101.7")))
    assert result.outcomes[1].error is not None
    assert result.outcomes[1].error.details["row"] == 2


async def test_a_firm_may_ask_for_several_prefixes_row_by_row(connection: Connection, tmp_path: Path) -> None:
    await load(connection, write(tmp_path, line(1, "88.101.7")))
    result = await load(connection, write(tmp_path, line(1, "88.101.7"), line(1, "88.101.8"), line(1, "88.101.9")))
    assert [o.outcome for o in result.outcomes] == ["unchanged", "connected", "connected"]
    assert len({o.enterprise_id for o in result.outcomes}) == 1
    assert await count(connection, "enterprises") == 1


async def test_rows_of_one_firm_must_agree(connection: Connection, tmp_path: Path) -> None:
    result = await load(connection, write(tmp_path, line(1, "88.101.7"), line(1, "88.101.8", products="阀")))
    assert result.outcomes[1].error is not None
    assert (result.outcomes[1].error.code, result.outcomes[1].error.field) == ("enterprise_twice_in_file", "主要产品")


async def test_a_file_never_changes_a_registered_firm(connection: Connection, tmp_path: Path) -> None:
    await load(connection, write(tmp_path, line(1)))
    for column, change in {"所在乡镇或园区": {"unit": "龙河镇"}, "接入日期": {"day": "2023-01-01"}}.items():
        result = await load(connection, write(tmp_path, line(1, **change)))
        error = result.outcomes[0].error
        assert error is not None
        assert (error.code, error.field) == ("enterprise_differs", column)


async def test_a_dry_run_writes_nothing(connection: Connection, tmp_path: Path) -> None:
    result = await load(connection, write(tmp_path, line(1)), dry_run=True)
    assert (result.count("connected"), result.written) == (1, False)
    assert await count(connection, "enterprises") == 0


async def test_only_the_operator_loads_enterprises(connection: Connection, tmp_path: Path) -> None:
    rows = read_enterprise_file(write(tmp_path, line(1)))
    with pytest.raises(Forbidden):
        await load_enterprises(connection, RULES, order(make_owner(1)), rows)


async def test_a_city_of_3500_firms_goes_in_at_once(connection: Connection, tmp_path: Path) -> None:
    path = write(tmp_path, *(line(n) for n in range(1, 3_501)))
    result = await load(connection, path)
    assert (result.count("connected"), result.written) == (3_500, True)
    assert await count(connection, "prefixes") == 3_500


@pytest.mark.parametrize(("changes", "column"), [
    ({"code": "91321302MA0000001X"}, "统一社会信用代码"),
    ({"above": "大概"}, "规模以上"),
    ({"class": "3671"}, "行业小类"),
    ({"prefix": "88.101.000000"}, "申请前缀"),
    ({"name": ""}, "单位名称"),
    ({"unit": "a/b"}, "所在乡镇或园区"),
])  # fmt: skip
async def test_a_refusal_names_the_column(
    connection: Connection, tmp_path: Path, changes: dict[str, str], column: str
) -> None:
    result = await load(connection, write(tmp_path, line(1, **changes)))
    assert format_outcome(result.outcomes[0], "zh")["field"] == column


async def test_an_error_of_the_spreadsheet_is_no_name_of_a_town(connection: Connection, tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(tmp_path / "f.xlsx")
    sheet = book.add_worksheet()
    for number, text in enumerate(HEADER.split(",")):
        sheet.write(0, number, text)
    for number, text in enumerate(line(1).split(",")):
        sheet.write(1, number, text)
    sheet.write_formula(1, HEADER.split(",").index("所在乡镇或园区"), "=NA()", None, "#N/A")
    book.close()
    result = await load(connection, tmp_path / "f.xlsx")
    assert [(o.outcome, o.error and o.error.code) for o in result.outcomes] == [("refused", "cell_error")]


async def test_a_time_of_day_beside_the_day_does_no_harm(connection: Connection, tmp_path: Path) -> None:
    result = await load(connection, write(tmp_path, line(1, day="2022/3/15 0:00:00"), line(2, day="2022-03-15T08:00")))
    assert [o.error for o in result.outcomes] == [None, None]
