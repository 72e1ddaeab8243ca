"""The sheet of the annex, cell by cell against one computed by hand."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import openpyxl
import pytest_asyncio

from node.annex import Annex, list_rows, make_annex, name_annex
from node.closing import find_status
from node.plan_files import make_lines, read_plan_file
from node.plan_progress import read_plan
from node.plans import Figure, enter_figure, get_plan, load_plan
from registry.enterprise_file import load_enterprises, read_enterprise_file
from tests.node.pdf_reading import read_cells
from tests.registry.people import RULES, order

DATA = Path(__file__).parents[2] / "data"
NAME = "=evil()"
TODAY, MIDYEAR = date(2026, 3, 2), date(2023, 6, 30)
READ_AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
NOT, YES, NO, NOBODY = "未计量", "是", "否", "–"
RENOVATION = "intelligent_renovation_projects"

# By hand. Firms: those of data/enterprises-sucheng.csv connected from 2022-01-01 to 2023-06-30. Sites: 2 were entered
# for 陈集镇 alone, so their sum is not known. Renovation: each unit's target was entered. Green: nothing was entered.
SHEET: list[list[object]] = [
    ["单位", "新接入企业数 [家] 目标 ≥", "新接入企业数 [家] 实际", "新接入企业数 [家] 达成",
     "标杆数 [个] 目标 ≥", "标杆数 [个] 实际", "标杆数 [个] 达成",
     "智能化技术改造项目数 [个] 目标 ≥", "智能化技术改造项目数 [个] 实际", "智能化技术改造项目数 [个] 达成",
     "绿色化改造项目数 [个] 目标 ≥", "绿色化改造项目数 [个] 实际", "绿色化改造项目数 [个] 达成"],
    ["陈集镇", 3, 3, YES, 3, 2, NO, 1, 1, YES, 2, NOT, NOBODY],
    ["屠园镇", 3, 3, YES, 3, NOT, NOBODY, 1, 1, YES, 2, NOT, NOBODY],
    ["中扬镇", 3, 3, YES, 3, NOT, NOBODY, 1, 1, YES, 3, NOT, NOBODY],
    ["埠子镇", 3, 3, YES, 4, NOT, NOBODY, 2, 2, YES, 4, NOT, NOBODY],
    ["龙河镇", 3, 3, YES, 4, NOT, NOBODY, 2, 2, YES, 4, NOT, NOBODY],
    ["蔡集镇", 3, 3, YES, 3, NOT, NOBODY, 1, 1, YES, 3, NOT, NOBODY],
    ["王官集镇", 3, 3, YES, 3, NOT, NOBODY, 1, 1, YES, 2, NOT, NOBODY],
    ["耿车镇", 3, 3, YES, 3, NOT, NOBODY, 1, 1, YES, 2, NOT, NOBODY],
    ["宿城经济开发区", 30, 10, NO, 25, NOT, NOBODY, 15, 15, YES, 28, NOT, NOBODY],
    ["运河宿迁港产业园", 6, 0, NO, 8, NOT, NOBODY, 3, 3, YES, 6, NOT, NOBODY],
    ["吴中宿城工业园", 3, 0, NO, 3, NOT, NOBODY, 1, 1, YES, 2, NOT, NOBODY],
    ["耿车循环经济产业园", 3, 0, NO, 3, NOT, NOBODY, 1, 1, YES, 2, NOT, NOBODY],
    ["各单位合计", 66, 34, "", 65, NOT, "", 30, 30, "", 60, NOT, ""],
    ["宿城区", 66, 34, NO, 65, NOT, NOBODY, 30, 30, YES, 60, NOT, NOBODY],
]  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def annex(pool: asyncpg.Pool) -> AsyncIterator[Annex]:
    async with pool.acquire() as conn:
        rows = read_enterprise_file(DATA / "enterprises-sucheng.csv")
        assert (await load_enterprises(conn, RULES, order(), rows)).written
        loaded = await load_plan(conn, order(), NAME, read_plan_file(DATA / "targets-sucheng-2024.csv"))
        for target in loaded.targets:
            if target.indicator == RENOVATION and target.unit_id is not None:
                await enter_figure(conn, order(), NAME, Figure(target.area, RENOVATION, target.target, MIDYEAR))
        await enter_figure(conn, order(), NAME, Figure("陈集镇", "benchmark_sites", 2, MIDYEAR, "=1+1"))
        view = await read_plan(conn, await get_plan(conn, NAME), MIDYEAR, TODAY)
        yield Annex(view, READ_AT, await find_status(conn, (None, MIDYEAR)))


def test_the_sheet_is_the_one_computed_by_hand(annex: Annex) -> None:
    assert list_rows(annex.view, "zh") == SHEET


def test_the_csv_has_the_same_cells(annex: Annex) -> None:
    content = make_annex(annex, "csv", "zh")
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert rows[: len(SHEET)] == [[str(cell) for cell in row] for row in SHEET]
    assert rows[len(SHEET)] == []
    notes = rows[len(SHEET) + 1 :]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row), "nothing is computed"
    said = {tuple(row[:2]): row[2:] for row in notes}
    assert said["截至日期", "2023-06-30"] == []
    assert said["性质", "暂定（数字仍会变化）"] == []
    assert said["各单位合计核对", "新接入企业数 [E2]"] == ["各单位目标之和与全区目标一致"]
    assert said["统计口径 E2", "新接入企业数"] == ["期内新接入企业数：接入日期在统计期内。"]
    others = [row[1:] for row in notes if row[0] == "其他目标"]
    assert others == [
        ["宿城区", "接入企业数 [E1]", "> 60", "34", "否", "进行中"],
        ["宿城区", "标识注册量 [R3]", "> 100000000", "0", "否", "进行中"],
    ]
    assert ["来源", "陈集镇", "标杆数", "clerk 于 2026-03-02 录入", "'=1+1"] in notes


def test_the_spreadsheet_has_the_same_cells_with_numbers_as_numbers(annex: Annex) -> None:
    book = openpyxl.load_workbook(io.BytesIO(make_annex(annex, "xlsx", "zh")))
    assert book.sheetnames == ["附件", "统计口径"]
    shown = [["" if cell is None else cell for cell in row] for row in book["附件"].iter_rows(values_only=True)]
    assert shown == SHEET
    notes = [[cell for cell in row if cell is not None] for row in book["统计口径"].iter_rows(values_only=True)]
    assert notes[0] == ["计划", NAME]
    assert all(cell.data_type != "f" for sheet in book for row in sheet.iter_rows() for cell in row)


def test_the_pdf_has_the_same_cells_in_the_same_order(annex: Annex) -> None:
    cells = ["".join(cell.split()) for cell in read_cells(make_annex(annex, "pdf", "zh"))]
    wanted = ["".join(format(cell, "," if isinstance(cell, int) else "").split()) for row in SHEET for cell in row]
    start = cells.index("单位")
    assert cells[start : start + len(wanted) - wanted.count("")] == [cell for cell in wanted if cell]
    said = "".join(cells)
    for words in ("截至日期2023-06-30", "暂定", "34/≥66", "各单位目标之和与全区目标一致", "统计口径E2", "34/>60", NAME):
        assert words in said, words
    assert "Unitstogether" in "".join("".join(read_cells(make_annex(annex, "pdf", "en"))).split())


def test_the_sheet_speaks_english_and_has_a_plain_name(annex: Annex) -> None:
    rows = list_rows(annex.view, "en")
    assert rows[0][1:4] == [
        f"Enterprises newly connected [enterprises] {part}" for part in ("Target ≥", "Actual", "Met")
    ]
    assert [row[1:3] for row in rows[1:]] == [row[1:3] for row in SHEET[1:]]
    assert rows[-2][0] == "Units together"
    assert name_annex(annex.view, "csv") == "annex-2023-06-30.csv"


async def test_firms_of_no_unit_have_a_row_and_signs_that_differ_stand_in_the_cells(
    annex: Annex, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE placements SET unit_id = NULL WHERE enterprise_id = 1")
    base = {"indicator": "enterprises_connected", "deadline": "2024-12-31", "target": "2"}
    rows = [base | {"area": "陈集镇", "comparison": ">"}, base | {"area": "宿城区", "comparison": ">="}]
    later = {"indicator": "identifiers_registered", "period_start": "2030-01-01", "deadline": "2030-12-31"}
    rows += [row | {"indicator": "green_projects"} for row in rows] + [row | later for row in rows]
    await load_plan(connection, order(), "mixed", make_lines(rows))
    view = await read_plan(connection, await get_plan(connection, "mixed"), TODAY, TODAY)
    unknown, ahead = "not measured", "not begun"
    assert list_rows(view, "en")[1:] == [
        ["陈集镇", "> 2", 2, "no", "> 2", unknown, "–", "> 2", ahead, "–"],
        ["Units together", 2, 2, "", 2, unknown, "", 2, ahead, ""],
        ["In none of these units", "", 64, "", "", unknown, "", "", ahead, ""],
        ["宿城区", ">= 2", 66, "yes", ">= 2", unknown, "–", ">= 2", ahead, "–"],
    ]
