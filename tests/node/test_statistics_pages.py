"""The console's pages of figures and plans: everybody sees his own, in two languages and as files."""

import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import openpyxl
import pytest
import pytest_asyncio

from node.charts import PLOT_HEIGHT, draw_progress, draw_rank, draw_trend, find_top
from node.closing import close_day, revise_day
from node.periods import list_periods
from node.store.counting import add_answers
from node.store.registrations import add_registrations
from registry.accounts import NewAccount
from schemas.resolution_log import ClientClass, Outcome, Transport
from schemas.texts.figure_pages import PAGES
from tests.days import get_today, get_yesterday
from tests.node.pdf_reading import read_cells
from tests.registry.api_world import PUMP, TOFU
from tests.registry.console_world import PASSWORD, Console, add_visitor, open_console

NAME, TOWN = quote("五年"), quote("城北镇")
PACKAGE = Path(__file__).parents[2] / "node"


def make_plan() -> str:
    return f"""area,indicator,comparison,unit,period_start,deadline,target
城北镇,enterprises_connected,>=,enterprises,,2099-12-31,1
城北镇,benchmark_sites,>=,sites,2022-01-01,2099-12-31,3
321302,enterprises_connected,>,enterprises,,2099-12-31,2
321302,identifiers_registered,>=,identifiers,{get_today() - timedelta(days=40)},2099-12-31,100000000
"""


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """Pump's firm belongs to a town, tofu's to none; both have figures of 50 days; a plan is loaded by its page."""
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        async with made.world.state.connect() as conn, conn.transaction():
            ids = {
                row["prefix"]: row["prefix_id"] for row in await conn.fetch("SELECT prefix, prefix_id FROM prefixes")
            }
            unit = "INSERT INTO units (division_code, name) VALUES ('321302', '城北镇') RETURNING unit_id"
            unit_id = await conn.fetchval(unit)
            firm = made.world.firms["pump"].enterprise_id
            await conn.execute("UPDATE placements SET unit_id = $1 WHERE enterprise_id = $2", unit_id, firm)
            for back in range(50):
                day = get_today() - timedelta(days=back)
                for prefix, count in ((PUMP, 7), (TOFU, 1_000)):
                    await add_registrations(conn, {(ids[prefix], day, 0): (count, 0, 0, 0, 0)})
                    place = (ids[prefix], day, 9, 0, int(Transport.HTTP), int(Outcome.FOUND), int(ClientClass.PUBLIC))
                    await add_answers(conn, {place: count * 3})
        for name, role, area in (
            ("engineer", "engineer", ""),
            ("mayor", "regulator", "城北镇"),
            ("governor", "regulator", "320000"),
            ("stranger", "regulator", "330000"),
        ):
            account = NewAccount(name, [role], PASSWORD, area=area)
            made.visitors[name] = await add_visitor(made, account)
        loaded = await made["operator"].post(
            "/plans", {"name": "五年"}, files={"file": ("t.csv", make_plan().encode())}
        )
        assert loaded.status == 303, loaded.shown
        yield made


PAGES_OF_ALL = ("/statistics", "/statistics?by=day", "/statistics/definitions", "/statistics/days")
PAGES_OF_PLANS = (
    "/plans", f"/plans/one?name={NAME}", f"/plans/firms?name={NAME}&area={TOWN}&indicator=enterprises_connected",
)  # fmt: skip


class Balance(HTMLParser):
    """Every element that is opened is closed, and nothing carries a style or a script of its own."""

    EMPTY = frozenset(("meta", "link", "input", "br", "img", "line", "rect", "polygon", "polyline", "path", "hr"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name == "style" or name.startswith("on")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("who", ["operator", "reviewer", "engineer", "mayor", "governor", "pump"])
async def test_pages_are_whole_in_both_languages(console: Console, who: str, language: str) -> None:
    for path in PAGES_OF_ALL + (() if who == "pump" else PAGES_OF_PLANS):
        page = await console[who].get(path, **{"Accept-Language": language})
        assert page.status == 200, (path, page.shown[:300])
        balance = Balance()
        balance.feed(page.text)
        assert balance.open == [], path
        if language == "en":
            words = re.sub(r"中文|城北镇|五年|江苏省\S*|[^\s]*泵[^\s]*", "", page.shown)
            assert not re.search(r"[\u4e00-\u9fff]{2}", words), path


@pytest.mark.parametrize(("by", "meant"), [("industry", "industry_4"), ("area", "area_3")])
async def test_a_grouping_without_its_level_is_shown_as_the_one_it_means(console: Console, by: str, meant: str) -> None:
    assert f'<option value="{meant}" selected>' in (await console["operator"].get(f"/statistics?by={by}")).text


RESOLVED = {"operator": 30 * 3 * 1_007, "engineer": 30 * 3 * 1_007, "governor": 30 * 3 * 1_007, "mayor": 630,
            "pump": 630, "tofu": 90_000, "stranger": 0}  # fmt: skip


@pytest.mark.parametrize(("who", "resolutions"), RESOLVED.items())
async def test_everybody_sees_his_own_figures(console: Console, who: str, resolutions: int) -> None:
    for by in ("day", "enterprise", "template", "stage"):
        page = await console[who].get(f"/statistics?by={by}")
        assert f"Resolutions {resolutions:,}" in page.shown, (by, page.shown[:600])
        assert "Sum check: holds" in page.shown or not resolutions
    assert "provisional" in page.shown
    other = {"pump": "Firm 902", "mayor": "Firm 902", "tofu": "Firm 901"}.get(who)
    shown = (await console[who].get("/statistics?by=enterprise")).shown
    assert other is None or other not in shown


async def test_figures_are_for_those_who_may_see_them(console: Console) -> None:
    for path in PAGES_OF_ALL + PAGES_OF_PLANS + ("/statistics/export", f"/plans/annex?name={NAME}"):
        assert (await console["nobody"].get(path)).status == 303, path
    for path in (*PAGES_OF_PLANS, f"/plans/annex?name={NAME}"):
        assert (await console["pump"].get(path)).status == 403, path
    for who in ("engineer", "mayor", "pump"):
        assert (await console[who].post("/plans", {"name": "x"}, files={"file": ("t.csv", b"x")})).status == 403
        assert (await console[who].post("/plans/entry", {"name": "五年"})).status == 403
    assert "/plans" not in (await console["pump"].get("/statistics")).text
    for path in PAGES_OF_PLANS[1:]:
        assert (await console["stranger"].get(path)).status == 404, "a plan of another area is not there"
    assert "五年" not in (await console["stranger"].get("/plans")).shown
    assert (
        await console["mayor"].get(f"/plans/firms?name={NAME}&area=321302&indicator=enterprises_connected")
    ).status == 404
    assert (await console["mayor"].get("/statistics?unit=999")).status == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [("from=yesterday", 400), ("by=colour", 400), ("by=industry_9", 400), ("by=area_x", 400),
     ("from=2024-02-01&to=2024-01-01", 400), ("unit=x", 400), ("industry=C/99", 400),
     ("by=industry_2", 200), ("by=area_1", 200), ("by=tag", 200), ("measure=nothing", 200), ("from=2020-01-01", 200)],
)  # fmt: skip
async def test_questions_that_make_no_sense_are_answered_as_such(console: Console, query: str, status: int) -> None:
    assert (await console["operator"].get(f"/statistics?{query}")).status == status


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("/statistics?from=2026-12-01&to=2026-10-01", "2026-12-01"),
        ("/statistics/days?from=2026-12-01&to=2026-10-01", "2026-12-01"),
        (f"/plans/one?name={NAME}&as_of=2099-01-01", "2099-01-01"),
    ],
)
async def test_days_that_make_no_sense_are_said_beside_their_field(console: Console, path: str, typed: str) -> None:
    page = await console["governor"].get(path)
    assert page.status == 400
    field = re.search(rf'<input [^>]*value="{typed}"[^>]* aria-invalid="true"[^>]*><p class="problem"', page.text)
    assert field, page.shown[:500]


@pytest.mark.parametrize("by", ["unit", "area_2", "industry_4"])
async def test_from_a_number_to_the_firms_behind_it(console: Console, by: str) -> None:
    page = await console["governor"].get(f"/statistics?by={by}")
    links = re.findall(r'href="/console(/statistics\?by=enterprise[^"]+)" title="The firms behind', page.text)
    firms = [(await console["governor"].get(unescape(link))).shown for link in links]
    assert any("Firm 901" in shown and "Sum check: holds" in shown for shown in firms), (by, links)
    assert ("Only:" in firms[0]) == (by != "unit")


@pytest.mark.parametrize(
    ("today", "periods"),
    [
        ("2026-01-01", ["2025-12-01 2025-12-31", "2025-10-01 2025-12-31", "2026-01-01 2026-01-01",
                        "2025-01-01 2025-12-31"]),
        ("2024-03-31", ["2024-02-01 2024-02-29", "2023-10-01 2023-12-31", "2024-01-01 2024-03-31",
                        "2023-01-01 2023-12-31"]),
    ],
)  # fmt: skip
def test_months_quarters_and_years_that_are_over_are_one_click(today: str, periods: list[str]) -> None:
    assert [f"{first} {last}" for first, last in list_periods(date.fromisoformat(today)).values()] == periods


async def test_the_page_is_taken_away_as_a_file(console: Console) -> None:
    annex = await console["mayor"]._ask("GET", f"/plans/annex?name={NAME}&format=csv", {})
    assert annex.status == 200
    assert "城北镇,1,1,yes,3,not measured,–" in annex.body.decode()
    for path in ("/statistics/export?format=exe", f"/plans/annex?name={NAME}&format=exe"):
        assert (await console["operator"].get(path)).status == 400


def read_file(kind: str, content: bytes) -> str:
    """All texts of it."""
    if kind == "pdf":
        return "\n".join(read_cells(content))
    if kind == "xlsx":
        sheets = openpyxl.load_workbook(io.BytesIO(content)).worksheets
        return "\n".join(str(cell) for sheet in sheets for row in sheet.iter_rows(values_only=True) for cell in row)
    return content.decode("utf-8-sig")


# (file, what the regulator of a town finds in it, what of others he does not): firms, and the district's target
TAKEN = (
    ("/statistics/export?by=enterprise", "Firm 901", "Firm 902"),
    (f"/plans/annex?name={NAME}", "城北镇", "321302"),
)


@pytest.mark.parametrize("kind", ["csv", "xlsx", "pdf", "json"])
async def test_a_regulators_files_hold_his_area_alone(console: Console, kind: str) -> None:
    heads = {"csv": b"\xef\xbb\xbf", "xlsx": b"PK", "pdf": b"%PDF", "json": b"{"}
    for path, own, foreign in TAKEN[: 1 if kind == "json" else 2]:
        for who, sees in (("mayor", False), ("governor", True)):
            reply = await console[who]._ask("GET", f"{path}&format={kind}", {})
            assert (reply.status, reply.body[: len(heads[kind])]) == (200, heads[kind])
            assert f".{kind}" in reply.headers["Content-Disposition"]
            text = read_file(kind, reply.body)
            assert (own in text, foreign in text) == (True, sees), (path, who)
    assert (await console["stranger"].get(f"/plans/annex?name={NAME}&format={kind}")).status in (400, 404)


async def test_targets_stand_beside_figures_and_lead_to_the_firms(console: Console) -> None:
    page = await console["governor"].get(f"/plans/one?name={NAME}")
    assert "running, met" in page.shown
    assert "> 2" in page.shown and "≥ 1" in page.shown
    assert "not measured" in page.shown
    assert "linear, from the last 30 days" in page.shown
    assert "In none of these units 1" in page.shown
    (link,) = re.findall(r'href="/console(/plans/firms\?[^"]*indicator=enterprises_connected[^"]*)">1<', page.text)
    firms = await console["governor"].get(link.replace("&amp;", "&"))
    assert "Firm 901" in firms.shown and "1 firm, 1 in all" in firms.shown
    assert (await console["governor"].get("/plans/one?name=none")).status == 404
    assert (await console["governor"].get(f"/plans/one?name={NAME}&as_of=2099-01-01")).status == 400


async def test_a_figure_is_entered_on_the_page_with_its_author(console: Console) -> None:
    operator = console["operator"]
    wrong = await operator.post("/plans/entry", {"name": "五年", "target": "1", "value": "two", "note": "kept"})
    assert (wrong.status, wrong.text.count('aria-invalid="true"'), 'value="kept"' in wrong.text) == (400, 1, True)
    assert (await operator.post("/plans/entry", {"name": "五年", "target": "99", "value": "2"})).status == 400
    entered = await operator.post("/plans/entry", {"name": "五年", "target": "1", "value": "2", "note": "list of May"})
    assert entered.status == 303
    shown = (await console["mayor"].get(f"/plans/one?name={NAME}")).shown
    assert "entered by" in shown and "list of May" in shown and str(date.today().year) in shown


async def test_a_bad_file_is_refused_row_by_row(console: Console) -> None:
    bad = make_plan().replace("城北镇,bench", "无此镇,bench").encode()
    page = await console["operator"].post("/plans", {"name": "worthless"}, files={"file": ("t.csv", bad)})
    assert page.status == 400
    assert 'value="worthless"' in page.text, "what was typed stays"
    assert "3 area “无此镇” is neither a division nor a town or park" in page.shown
    assert "No target was written" in page.shown
    nothing = await console["operator"].post("/plans", {"name": " "}, files={"file": ("t.csv", b"")})
    assert nothing.text.count('class="problem"') == 2, "name and file are said at once"
    assert "江苏省宿迁市宿城区" in (await console["operator"].get(f"/plans/one?name={NAME}")).shown
    empty = await console["operator"].post("/plans", {"name": "worthless"}, files={"file": ("t.csv", b"")})
    assert (empty.status, "worthless" in (await console["operator"].get("/plans")).shown) == (400, False)
    again = await console["operator"].post("/plans", {"name": "五年"}, files={"file": ("t.csv", make_plan().encode())})
    assert again.location.endswith("done=plan_unchanged")


async def test_a_key_for_figures_reads_plans_and_nothing_else(console: Console) -> None:
    world = console.world
    made = (await world.ask("POST", "/api/v1/keys", {"scopes": ["statistics"]}, who="operator")).json
    world.keys["city"] = f"{made['access_key']}.{made['secret_key']}"
    assert (await world.ask("GET", "/api/v1/plans", who="city")).status == 200
    assert (await world.ask("POST", "/api/v1/plans", {"name": "x", "targets": []}, who="city")).status == 403
    assert (await world.ask("GET", "/api/v1/enterprises", who="city")).status == 403


@pytest_asyncio.fixture(scope="module")
async def revised(console: Console) -> AsyncIterator[str]:
    """A day that was closed; then twelve registrations of pump's arrived late."""
    day, nodes = get_yesterday(), ("88.101",)
    async with console.world.state.connect() as conn:
        await conn.execute("UPDATE prefixes SET created = created - interval '2 days', enabled_on = NULL")
        prefix_id = await conn.fetchval("SELECT prefix_id FROM prefixes WHERE prefix = $1", PUMP)
        await close_day(conn, nodes, day, datetime.now(UTC), incomplete=True)
        async with conn.transaction():
            await add_registrations(conn, {(prefix_id, day, 0): (12, 0, 0, 0, 0)})
        await revise_day(conn, nodes, day, datetime.now(UTC), "late: registrations")
    yield str(day)


@pytest.mark.parametrize(("who", "sealed"), [("operator", "1,007"), ("mayor", "7"), ("tofu", None)])
async def test_the_sealed_figure_stays_beside_the_revised_one(
    console: Console, revised: str, who: str, sealed: str | None
) -> None:
    shown = (await console[who].get(f"/statistics/days/{revised}")).shown
    assert "revision 2" in shown and "registrations that arrived after the day was closed" in shown
    assert ("19 sealed: 7" in shown, "prefixes revised: 1" in shown) == ((True, True) if sealed else (False, False))
    assert sealed is None or f"sealed: {sealed} " in shown
    assert ("Firm 902" in shown) == (who in ("operator", "tofu"))
    days = (await console[who].get("/statistics/days")).shown
    assert revised in days and "revision 2" in days
    page = await console[who].get(f"/statistics?by=day&to={revised}")
    assert f"{revised} 88.101 r2: registrations that arrived" in page.shown and "sealed These figures" in page.shown


@pytest.mark.parametrize(
    ("path", "status"), [("/2020-01-01", 404), ("/yesterday", 400), ("?from=2024-02-01&to=2024-01-01", 400)]
)
async def test_days_that_are_not_closed_are_not_shown(console: Console, path: str, status: int) -> None:
    assert (await console["operator"].get(f"/statistics/days{path}")).status == status
    assert (await console["stranger"].get("/statistics/days")).status == 200


def test_every_word_is_said_somewhere() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for kind in ("*_pages.py", "statistics_files.py", "pages/*.html")
        for path in PACKAGE.glob(kind)
    )
    said = set(re.findall(r"""["']([a-z]+_[a-z_0-9]+|figures|plans)["']""", source))
    built = (
        "by_",
        "fig_last_",
        "fig_this_",
        "standing_",
        "fig_stage_",
        "fig_step_",
        "done_",
        "plan_running_",
        "plan_ended_",
        "plan_linear_",
    )
    assert {key for key in PAGES if not key.startswith(built)} - said == set()
    assert {key for key in said if key.startswith(("fig_", "plan_")) and key not in PAGES} <= {
        "fig_step_", "plan_target_not_found", "plan_file_too_long", "plan_loaded", "plan_unchanged", "plan_entered",
    }  # fmt: skip


def test_charts_are_true_to_their_figures() -> None:
    days = [{"day": f"2024-01-{n:02}", "resolutions": n * 10} for n in range(1, 11)]
    trend = draw_trend(days, "resolutions", at_end=False)
    assert trend is not None
    heights = [PLOT_HEIGHT - float(point.split(",")[1]) for point in trend.points.split()]
    assert heights == [pytest.approx(PLOT_HEIGHT * n / 10) for n in range(1, 11)]
    assert [value for _, value in trend.grid] == [100, 50, 0]
    year = [{"day": str(date(2024, 1, 1) + timedelta(days=n)), "x": 2} for n in range(366)]
    monthly, standing = draw_trend(year, "x", at_end=False), draw_trend(year, "x", at_end=True)
    assert monthly is not None and standing is not None
    assert (monthly.step, monthly.values[1], standing.values[1]) == ("month", ("2024-02", 58), ("2024-02", 2))
    assert draw_trend(days[:1], "resolutions", at_end=False) is None
    assert [find_top(most) for most in (0, 1, 3, 11, 81, 100, 101)] == [2, 2, 4, 20, 100, 100, 200]
    assert [(name, bar.width) for name, _, bar in draw_rank([("a", 1), ("b", 4), ("c", 0)])] == [("b", 100), ("a", 25)]
    assert [draw_progress(100, value, None).width for value in (None, 50, 100, 125, 900)] == [0, 40, 80, 100, 100]
