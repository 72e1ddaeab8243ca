"""Who sees which figures over HTTP, as rows, tables, files and closed days."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from node.closing import close_day, revise_day
from node.statistics import Limits
from node.statistics_api import find_limits
from node.store.counting import add_answers
from node.store.registrations import add_registrations
from registry.principals import Principal
from schemas.days import ZONE, get_start
from schemas.errors import Forbidden, NotFound
from schemas.resolution_log import ClientClass, Outcome, Transport
from tests.days import get_today, get_yesterday
from tests.registry.api_world import PUMP, TOFU, World, open_world

V1 = "/api/v1/statistics"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Figures of yesterday, closed and revised, and of today."""
    closed = get_yesterday()
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        async with made.state.connect() as conn:
            await conn.execute("UPDATE prefixes SET created = $1", get_start(closed))
            ids = {
                row["prefix"]: row["prefix_id"] for row in await conn.fetch("SELECT prefix, prefix_id FROM prefixes")
            }
            async with conn.transaction():
                for prefix, count in ((PUMP, 5), (TOFU, 70)):
                    for day in (closed, get_today()):
                        await add_registrations(conn, {(ids[prefix], day, 0): (count, 0, 0, 0, 0)})
            await conn.execute("INSERT INTO counted_changes (log_id, position) SELECT log_id, 1000000 FROM change_log")
            await close_day(conn, ("88.101",), closed, datetime.now(UTC), incomplete=True)
            key = (ids[PUMP], closed, 9, 0, int(Transport.HTTP), int(Outcome.FOUND), int(ClientClass.PUBLIC))
            async with conn.transaction():
                await add_answers(conn, {key: 3})
            await revise_day(conn, ("88.101",), closed, datetime.now(UTC), "a late segment")
        yield made


@pytest.mark.parametrize(("who", "total"), [("operator", 75), ("pump", 5), ("tofu", 70)])
@pytest.mark.parametrize("by", ["enterprise", "unit", "area", "industry", "template", "stage", "day"])
async def test_everyone_sees_his_own(world: World, who: str, total: int, by: str) -> None:
    table = (await world.ask("GET", f"{V1}/table?by={by}&to={get_yesterday()}", who=who)).json
    assert (table["sums"]["registered_total"], table["sum_check"]["holds"]) == (total, True)
    totals = (await world.ask("GET", f"{V1}/totals?to={get_yesterday()}", who=who)).json
    assert (totals["registered_total"], totals["status"]) == (total, "sealed")


@pytest.mark.parametrize("query", [f"level={'9' * 20}", "level=-1", f"by=industry&industry_level={'9' * 20}"])
async def test_a_level_that_is_none_is_refused(world: World, query: str) -> None:
    assert (await world.ask("GET", f"{V1}/table?{query}", who="operator")).status == 400


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        ("statistics?by=day&prefix=88.101.5", ["prefix"]),  # not the figures of the whole node instead
        ("statistics/table?area=321302&From=2024-01-01", ["area", "From"]),
        ("statistics/export?formt=csv", ["formt"]),
        ("statistics/totals?by=day", ["by"]),
        ("statistics/definitions?x=1", ["x"]),
        ("statistics/closes?day=2024-01-01", ["day"]),
        ("statistics/closes/2024-01-01?asof=2024-01-01", ["asof"]),
        ("plans?name=x", ["name"]),
        ("plans/x?day=2024-01-01", ["day"]),
    ],
)
async def test_a_parameter_that_does_not_exist_is_refused(world: World, path: str, unknown: list[str]) -> None:
    for language, said in (("zh", "可用的参数"), ("en", "there are")):
        answer = await world.ask("GET", f"/api/v1/{path}&lang={language}", who="operator")
        assert (answer.status, answer.json["code"]) == (400, "parameter_unknown")
        assert [one["field"] for one in answer.json["errors"]] == unknown
        assert said in answer.json["remedy"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("?from=9999-12-31&to=9999-12-31", "to"),  # what the database takes for infinity
        ("/table?from=0001-01-01&by=day", "from"),
        ("/totals?to=0001-01-01", "to"),
        ("/export?from=1899-12-31", "from"),
    ],
)
async def test_a_day_at_the_end_of_the_calendar_is_named(world: World, path: str, field: str) -> None:
    answer = await world.ask("GET", f"{V1}{path}", who="operator")
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "statistics_day_out_of_bounds", field)


async def test_days_at_the_ends_of_the_calendar_were_not_closed(world: World) -> None:
    for day in ("0001-01-01", "9999-12-31"):
        assert (await world.ask("GET", f"{V1}/closes/{day}", who="operator")).status == 404
    every = await world.ask("GET", f"{V1}/closes?from=0001-01-01&to=9999-12-31", who="operator")
    assert len(every.json["closes"]) == 2


async def test_answers_say_whether_they_are_sealed(world: World) -> None:
    running = await world.ask("GET", f"{V1}?by=day&from={get_yesterday()}", who="operator")
    assert running.headers["Statistics-Status"] == "provisional"
    assert [row["registered_new"] for row in running.json] == [75, 75]
    sealed = await world.ask("GET", f"{V1}?by=day&from={get_yesterday()}&to={get_yesterday()}", who="operator")
    (close, _) = (await world.ask("GET", f"{V1}/closes", who="operator")).json["closes"]
    assert sealed.headers["Statistics-Status"] == "sealed"
    answer = await world.ask("GET", f"{V1}/table?to={get_yesterday()}", who="pump")
    assert answer.headers["Statistics-Seal"] == sealed.headers["Statistics-Seal"]
    table = answer.json
    assert [(r["day"], r["revision"], r["reason"]) for r in table["revisions"]] == [
        (str(get_yesterday()), 2, "a late segment")
    ]
    assert sealed.headers["Statistics-Seal"] != f"88.101={close['seal']}", "the seal of the last statement on that day"


async def test_a_closed_day_shows_the_last_statement_beside_the_sealed_one(world: World) -> None:
    shown = (await world.ask("GET", f"{V1}/closes/{get_yesterday()}", who="operator")).json
    rows = {row["prefix"]: row for row in shown["rows"]}
    assert (rows[PUMP]["resolutions"], rows[PUMP]["sealed"]["resolutions"]) == (3, 0)
    assert rows[TOFU]["sealed"] is None
    early = datetime.fromisoformat(shown["closes"][0]["closed_at"])
    for text in (early.isoformat(), early.astimezone(ZONE).replace(tzinfo=None).isoformat()):  # without: UTC+8
        asked = f"{V1}/closes/{get_yesterday()}?as_of={text.replace('+', '%2B')}"
        before = (await world.ask("GET", asked, who="operator")).json
        assert {row["prefix"]: row["resolutions"] for row in before["rows"]}[PUMP] == 0
    assert (await world.ask("GET", f"{V1}/closes/{get_today()}", who="operator")).json["code"] == "day_not_closed"


@pytest.mark.parametrize("path", ["closes", "closes/2026-01-01"])
async def test_closed_days_are_for_those_who_see_all(world: World, path: str) -> None:
    assert (await world.ask("GET", f"{V1}/{path}", who="pump")).status == 403
    assert (await world.ask("GET", f"{V1}/{path}", who="nobody")).status == 401


@pytest.mark.parametrize(("file_format", "begins"), [("csv", b"\xef\xbb\xbf"), ("xlsx", b"PK"), ("json", b"{")])
async def test_tables_come_as_files(world: World, file_format: str, begins: bytes) -> None:
    reply = await world.ask("GET", f"{V1}/export?by=unit&to={get_yesterday()}&format={file_format}", who="pump")
    assert reply.status == 200
    assert reply.body.startswith(begins)
    assert f"statistics-unit-all-{get_yesterday()}-sealed.{file_format}" in reply.headers["Content-Disposition"]


async def test_definitions_have_codes_in_both_languages(world: World) -> None:
    english = (await world.ask("GET", f"{V1}/definitions?lang=en")).json
    chinese = (await world.ask("GET", f"{V1}/definitions?lang=zh")).json
    assert [one["code"] for one in english] == [one["code"] for one in chinese]
    assert {"R1", "Q1", "E1"} < {one["code"] for one in english}


def make_regulator(division_code: str = "321302", unit_id: int | None = None) -> Principal:
    return Principal("regulator", "account:r", division_code=division_code, unit_id=unit_id)


@pytest.mark.parametrize(
    ("principal", "division", "unit_id", "limits"),
    [
        (Principal("operator", "cli:x"), "", None, Limits()),
        (Principal("reviewer", "account:x"), "321302", 4, Limits(division_code="321302", unit_id=4)),
        (Principal("enterprise", "key:x", 7), "", None, Limits(enterprise_id=7)),
        (make_regulator(), "", None, Limits(division_code="321302")),
        (make_regulator("321300"), "321302", 5, Limits(division_code="321302", unit_id=5)),
        (make_regulator("320000"), "321302", None, Limits(division_code="321302")),
        (make_regulator("321302", 5), "", None, Limits(division_code="321302", unit_id=5)),
        (make_regulator("321302", 5), "", 5, Limits(division_code="321302", unit_id=5)),
    ],
)
def test_limits_are_those_of_the_caller(
    principal: Principal, division: str, unit_id: int | None, limits: Limits
) -> None:
    assert find_limits(principal, division, unit_id) == limits


@pytest.mark.parametrize(
    ("principal", "division", "unit_id", "error"),
    [
        (make_regulator(), "321311", None, NotFound),  # the district beside his own
        (make_regulator(), "321300", None, NotFound),  # the city above it
        (make_regulator("321302", 5), "", 6, NotFound),
        (make_regulator(""), "", None, Forbidden),  # no area: nothing, not everything
        (Principal("partner", "key:x"), "", None, Forbidden),
    ],
)
def test_nobody_sees_beyond_his_area(
    principal: Principal, division: str, unit_id: int | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        find_limits(principal, division, unit_id)


@pytest.mark.parametrize("query", ["by=colour", "level=5&by=industry", f"from={date.max}", "division=%00", "to=x"])
async def test_what_cannot_be_asked_is_refused(world: World, query: str) -> None:
    assert (await world.ask("GET", f"{V1}?{query}", who="operator")).status in (400, 200)
    assert (await world.ask("GET", f"{V1}/export?format=docx", who="operator")).status == 400


async def test_a_pdf_is_made_or_the_package_of_its_font_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await world.ask("GET", f"{V1}/export?by=enterprise&format=pdf", who="operator")
    assert (made.status, made.body[:5], made.headers["Content-Type"]) == (200, b"%PDF-", "application/pdf")
    monkeypatch.setenv("IDNODE_PDF_FONT", "/nowhere.ttf")
    lacking = await world.ask("GET", f"{V1}/export?by=enterprise&format=pdf", who="operator")
    assert (lacking.status, lacking.json["code"]) == (503, "pdf_font_unusable")
    assert "apt-get install fonts-wqy-microhei" in lacking.json["remedy"]
