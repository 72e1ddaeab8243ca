"""Targets against what really is: every comparison, every day, nothing that nobody knows shown as 0."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from node.plan_files import COLUMNS, make_lines, read_plan_file
from node.plan_progress import PlanView, Progress, covers, list_firms, read_plan
from node.plan_views import format_refusal, format_view
from node.plans import Figure, enter_figure, get_plan, load_plan
from node.statistics import Limits
from node.store.plans import Target, fetch_entries, fetch_plans
from node.store.registrations import add_registrations
from registry.enterprise_file import load_enterprises, read_enterprise_file
from registry.principals import Principal
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, ServiceError
from tests.node.test_cli_data import Node
from tests.registry.people import CLERK, RULES, order

DATA = Path(__file__).parents[2] / "data"
TARGETS = DATA / "targets-sucheng-2024.csv"
NAME = "Sucheng 2024"
TODAY = date(2026, 3, 2)
END = date(2024, 12, 31)
NEW = "enterprises_newly_connected"
PLAIN = dict(zip(COLUMNS, ("陈集镇", "benchmark_sites", ">=", "sites", "2022-01-01", "2024-12-31", "3"), strict=True))


@pytest_asyncio.fixture(scope="module", autouse=True)
async def firms(pool: asyncpg.Pool) -> AsyncIterator[None]:
    """The 66 firms of Sucheng, each connected on its own day, and 500 identifiers of one of them."""
    async with pool.acquire() as conn:
        rows = read_enterprise_file(DATA / "enterprises-sucheng.csv")
        assert (await load_enterprises(conn, RULES, order(), rows)).written
        prefix = await conn.fetchval("SELECT prefix_id FROM prefixes WHERE prefix = '88.101.1'")
        async with conn.transaction():
            for day, count in ((date(2023, 1, 5), 300), (date(2024, 3, 1), 200)):
                await add_registrations(conn, {(prefix, day, 0): (count, 0, 0, 0, 0)})
    yield


async def load(conn: asyncpg.Connection, name: str = NAME, *rows: dict[str, str], **more: Any) -> Any:
    lines = make_lines(rows) if rows else read_plan_file(TARGETS)
    return await load_plan(conn, order(), name, lines, **more)


async def read(conn: asyncpg.Connection, as_of: date = TODAY, name: str = NAME, limits: Limits = Limits()) -> PlanView:  # noqa: B008
    return await read_plan(conn, await get_plan(conn, name), as_of, TODAY, limits)


def find(view: PlanView, area: str, indicator: str) -> Progress:
    (found,) = [row for row in view.rows if (row.target.area, row.target.indicator) == (area, indicator)]
    return found


async def test_the_targets_of_the_annex_are_loaded_once(connection: asyncpg.Connection) -> None:
    loaded = await load(connection)
    assert (loaded.written, len(loaded.targets), loaded.refused) == (True, 54, [])
    again = await load(connection)
    assert (again.written, len(again.targets)) == (False, 54)
    with pytest.raises(Conflict, match="other targets"):
        await load(connection, NAME, PLAIN)
    assert (await load(connection, "Another", PLAIN)).written
    assert [plan.name for plan in await fetch_plans(connection)] == [NAME, "Another"]
    assert (await load(connection, NAME, PLAIN, replace=True)).written
    assert len((await read(connection)).rows) == 1


async def test_units_and_district_stand_beside_their_targets_on_the_day_of_the_deadline(
    connection: asyncpg.Connection,
) -> None:
    await load(connection)
    view = await read(connection)
    group = view.groups[0]
    assert [(row.target.area, row.value, row.met) for row in group.units][:2] == [
        ("陈集镇", 3, True),
        ("屠园镇", 3, True),
    ]
    assert {row.state for row in view.rows} == {"ended"}
    assert {row.day for row in view.rows} == {END}
    assert (group.units_target, group.units_value, group.elsewhere) == (66, 66, 0)
    assert group.division is not None
    assert (group.division.value, group.division.met, group.division.forecast) == (66, True, None)
    assert find(view, "宿城区", "identifiers_registered").value == 500
    assert find(view, "宿城区", "identifiers_registered").met is False


COMPARED = [(">=", 66, True), (">", 66, False), (">", 65, True), (">=", 67, False)]


@pytest.mark.parametrize(("comparison", "target", "met"), COMPARED)
async def test_more_than_is_not_at_least(
    connection: asyncpg.Connection, comparison: str, target: int, met: bool
) -> None:
    row = PLAIN | {
        "area": "宿城区",
        "indicator": "enterprises_connected",
        "comparison": comparison,
        "target": str(target),
    }
    await load(connection, NAME, row)
    assert (await read(connection)).rows[0].met is met


async def test_a_day_in_between_has_its_own_figure_and_a_forecast_with_its_method(
    connection: asyncpg.Connection,
) -> None:
    await load(connection)
    day = date(2024, 6, 30)
    district = find(await read(connection, day), "宿城区", NEW)
    days = await connection.fetch("SELECT connected_on FROM enterprises")
    until = sum(row["connected_on"] <= day for row in days)
    before = sum(row["connected_on"] <= day - timedelta(days=90) for row in days)
    assert (district.state, district.day, district.value) == ("running", day, until)
    assert district.forecast is not None
    expected = until + (until - before) * (END - day).days // 90
    assert (district.forecast.value, district.forecast.method) == (expected, "linear_90")
    assert district.forecast.will_meet is (expected >= 66)
    early = find(await read(connection, date(2022, 5, 1)), "宿城区", NEW)
    assert early.forecast is not None
    assert early.forecast.method == "linear_30", "there are not 90 days to look back at"
    assert find(await read(connection, date(2022, 3, 20)), "宿城区", NEW).forecast is None, "nor 30"
    unborn = find(await read(connection, date(2021, 12, 31)), "宿城区", NEW)
    assert (unborn.state, unborn.value, unborn.met) == ("not_begun", None, None)
    with pytest.raises(InvalidInput):
        await read(connection, TODAY + timedelta(days=1))


async def test_what_is_registered_within_a_period_is_what_is_new_in_it(connection: asyncpg.Connection) -> None:
    row = PLAIN | {"indicator": "identifiers_registered", "period_start": "2024-01-01", "target": "200"}
    await load(connection, NAME, row)
    assert (await read(connection)).rows[0].value == 200


async def test_what_nobody_measures_is_unknown_until_somebody_enters_it(connection: asyncpg.Connection) -> None:
    await load(connection)
    sites = find(await read(connection), "陈集镇", "benchmark_sites")
    assert (sites.value, sites.met, sites.source) == (None, None, "none")
    group = next(one for one in (await read(connection)).groups if one.first.indicator == "benchmark_sites")
    assert (group.units_value, group.division and group.division.value) == (None, None), "an unknown part is no 0"
    await enter(connection, "陈集镇", 2, date(2023, 6, 30))
    await enter(connection, "陈集镇", 4)
    await enter(connection, "陈集镇", 3, note="corrected")
    now = find(await read(connection), "陈集镇", "benchmark_sites")
    assert (now.value, now.met, now.source, now.entry and now.entry.actor) == (3, True, "entered", "key:clerk")
    assert now.entry is not None
    assert (now.entry.day, now.entry.note) == (END, "corrected"), "of the deadline, as that has passed"
    assert find(await read(connection, date(2024, 1, 1)), "陈集镇", "benchmark_sites").value == 2
    plan = await get_plan(connection, NAME)
    assert len(await fetch_entries(connection, plan.plan_id)) == 3, "nothing that was entered is lost"
    for unit in group.units[1:]:
        await enter(connection, unit.target.area, 5)
    district = find(await read(connection), "宿城区", "benchmark_sites")
    assert (district.value, district.source) == (3 + 11 * 5, "summed")
    await enter(connection, "宿城区", 60)
    assert find(await read(connection), "宿城区", "benchmark_sites").value == 60


async def enter(
    conn: asyncpg.Connection, area: str, value: int, day: date | None = None, indicator: str = "benchmark_sites",
    note: str = "",
) -> None:  # fmt: skip
    await enter_figure(conn, order(), NAME, Figure(area, indicator, value, day, note))


async def test_entries_that_cannot_be_are_refused(connection: asyncpg.Connection) -> None:
    await load(connection)
    for area, indicator, day, code in (
        ("陈集镇", NEW, None, "plan_indicator_measured"),
        ("陈集镇", "robots", None, "plan_target_not_found"),
        ("陈集镇", "benchmark_sites", TODAY + timedelta(days=1), "day_in_future"),
        ("陈集镇", "benchmark_sites", date(2021, 1, 1), "plan_entry_before"),
    ):
        with pytest.raises(ServiceError) as found:
            await enter(connection, area, 1, day, indicator)
        assert found.value.code == code
    with pytest.raises(NotFound):
        await enter_figure(connection, order(), "nothing", Figure("陈集镇", "benchmark_sites", 1))
    firm = replace(order(), principal=Principal("enterprise", "key:x", 1))
    with pytest.raises(Forbidden):
        await enter_figure(connection, firm, NAME, Figure("陈集镇", "benchmark_sites", 1))


def test_a_file_that_is_no_plan_is_told_the_columns_of_one(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("code,name\n1,2\n")
    with pytest.raises(InvalidInput) as found:
        read_plan_file(file)
    assert found.value.code == "plan_header_not_found"


BAD = [
    ({"area": "Atlantis"}, "area", "plan_area"),
    ({"area": ""}, "area", "plan_row_short"),
    ({"comparison": "<"}, "comparison", "plan_comparison"),
    ({"target": "many"}, "target", "plan_number"),
    ({"target": "-1"}, "target", "plan_number"),
    ({"target": "1e8"}, "target", "plan_number"),
    ({"indicator": "no such thing!"}, "indicator", "plan_indicator"),
    ({"deadline": "2024-02-30"}, "deadline", "day_malformed"),
    ({"period_start": "2025-01-01"}, "period_start", "plan_period"),
    ({}, "area", "plan_row_double"),
]


async def test_bad_rows_are_named_each_in_both_languages_and_nothing_is_written(connection: asyncpg.Connection) -> None:
    rows = [PLAIN, *(PLAIN | changed for changed, _, _ in BAD), PLAIN | {"area": "New Park", "target": "7"}]
    loaded = await load(connection, "bad", *rows)
    assert (loaded.written, await fetch_plans(connection)) == (False, [])
    zh = [format_refusal(one, "zh") for one in loaded.refused]
    en = [format_refusal(one, "en") for one in loaded.refused]
    assert [(row["row"], row["field"], row["code"]) for row in en[:-1]] == [
        (at, field, code) for at, (_, field, code) in enumerate(BAD, 2)
    ]
    assert all(
        row["reason"] and row["remedy"] and row["reason"] != other["reason"] for row, other in zip(zh, en, strict=True)
    )
    again = await load(connection, "bad", *rows, add_units_in="321302")
    assert not again.written
    assert await connection.fetchval("SELECT count(*) FROM units WHERE name = 'New Park'") == 0
    assert (await load(connection, "park", rows[-1], add_units_in="321302")).written


async def test_a_file_needs_its_columns_and_a_plan_a_name(connection: asyncpg.Connection, tmp_path: Path) -> None:
    file = tmp_path / "targets.csv"
    file.write_text("area,indicator,comparison,deadline\n陈集镇,benchmark_sites,>=,2024-12-31\n", encoding="utf-8")
    with pytest.raises(ServiceError):
        read_plan_file(file)
    with pytest.raises(InvalidInput):
        await load(connection, "a/b", PLAIN)
    with pytest.raises(InvalidInput):
        await load_plan(connection, order(), NAME, [])
    with pytest.raises(Forbidden):
        await load_plan(connection, order(Principal("reviewer", "account:x")), NAME, make_lines([PLAIN]))


async def test_a_chinese_file_is_the_same_plan(connection: asyncpg.Connection, tmp_path: Path) -> None:
    file = tmp_path / "目标.csv"
    file.write_text(
        "单位,指标,比较方式,计量单位,起始日期,期限,目标值\n陈集镇,标杆数,≥,sites,2022/1/1,2024/12/31,3\n",
        encoding="utf-8",
    )
    loaded = await load_plan(connection, order(), NAME, read_plan_file(file))
    assert not loaded.refused
    other = await load(connection, NAME, PLAIN)
    assert not other.written


async def test_from_a_number_to_the_firms_behind_it(connection: asyncpg.Connection) -> None:
    await load(connection)
    view = await read(connection, date(2023, 6, 30))
    for area in ("陈集镇", "宿城经济开发区", "宿城区"):
        row = find(view, area, NEW)
        found = await list_firms(connection, row)
        assert sum(firm["figure"] for firm in found) == row.value
        assert all(firm["connected_on"] <= "2023-06-30" for firm in found)
    (firm,) = await list_firms(connection, find(view, "宿城区", "identifiers_registered"))
    assert (firm["enterprise"], firm["figure"]) == ("示例企业001号", 300)
    with pytest.raises(InvalidInput):
        await list_firms(connection, find(view, "宿城区", "green_projects"))


async def test_what_is_in_none_of_the_units_stands_apart(connection: asyncpg.Connection) -> None:
    await load(connection)
    await connection.execute("UPDATE placements SET unit_id = NULL WHERE enterprise_id = 1")
    group = (await read(connection)).groups[0]
    assert (group.units_value, group.elsewhere, group.division and group.division.value) == (65, 1, 66)


async def test_a_regulator_sees_the_targets_of_his_area(connection: asyncpg.Connection) -> None:
    await load(connection)
    target = (await read(connection)).rows[0].target
    seen = await read(connection, limits=Limits(division_code="321302", unit_id=target.unit_id))
    assert {row.target.area for row in seen.rows} == {"陈集镇"}
    assert len((await read(connection, limits=Limits(division_code="321300"))).rows) == 54
    assert (await read(connection, limits=Limits(division_code="321311"))).rows == ()
    district = Target("宿城区", "321302", None, NEW, ">=", "", None, END, 66)
    assert not covers(Limits(division_code="321302", unit_id=target.unit_id), district)


async def test_the_view_is_ready_for_json(connection: asyncpg.Connection) -> None:
    await load(connection)
    status = {"status": "provisional", "sealed_until": None, "seals": []}
    shown = format_view(await read(connection), status, "en")
    first, total = shown["targets"][0], shown["totals"][0]
    assert (first["name"], first["definition"], first["comparison"], first["target"], first["actual"]) == (
        "Enterprises newly connected", "E2", ">=", 3, 3,
    )  # fmt: skip
    assert (total["units_target"], total["units_actual"], total["division_actual"]) == (66, 66, 66)
    assert (shown["as_of"], datetime.fromisoformat(shown["loaded"]).tzinfo) == (str(TODAY), UTC)
    assert CLERK.actor == shown["actor"]


def test_the_command_line_loads_shows_enters_and_exports(database_url: str, tmp_path: Path) -> None:
    node = Node(database_url, tmp_path)
    assert node.get("plan", "load", TARGETS, "--name", NAME) == {
        "name": NAME, "targets": 54, "written": True, "refused": [],
    }  # fmt: skip
    assert (
        node.get("plan", "enter", NAME, "--area", "陈集镇", "--indicator", "green_projects", "--value", "2")["value"]
        == 2
    )
    shown = node.get("plan", "show", NAME, "--as-of", "2024-12-31")
    assert (shown["totals"][0]["units_actual"], shown["targets"][0]["actual"]) == (66, 3)
    found = node.get("plan", "firms", NAME, "--area", "陈集镇", "--indicator", NEW)
    assert len(found["firms"]) == 3
    told = node.run("plan", "show", NAME, "--as-of", "2024-06-30")
    assert (told.returncode, "linear, from the last 90 days" in told.stdout) == (0, True), told.stderr
    assert node.run("plan", "export", NAME, "annex.csv").returncode == 0
    assert (tmp_path / "annex.csv").read_text(encoding="utf-8-sig").count("\n") > 15
