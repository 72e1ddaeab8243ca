"""Applications are registered by who owns the prefix, kept such that the node above takes them, and told each month."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from asyncpg import Connection

from node.applications import add_application, change_application, put_application, retire_application
from node.reporting import report_applications
from node.reporting_loop import step
from node.store.applications import Details
from node.store.enterprise_node_files import LogPlace, store_log, store_master
from node.store.enterprise_nodes import store_event, store_metadata, store_monitor
from node.store.outbox import fetch_messages
from node.toplevel_link import reconcile_month
from registry.accounts import NewAccount
from registry.app import write_latencies
from schemas.errors import Conflict, InvalidInput
from schemas.texts.applications import PAGES
from schemas.texts.enterprise_node_pages import PAGES as OWN
from tests.node.test_cli_data import Node
from tests.node.test_statistics_pages import Balance
from tests.node.test_toplevel_reporting import REPORTER, above, make_link, node, send_all
from tests.node.toplevel_world import PREFIX, YESTERDAY, Above
from tests.registry.api_world import PUMP, TOFU
from tests.registry.console_world import PASSWORD, Console, add_visitor, open_console
from tests.registry.people import order

__all__ = ["above", "node"]

V1 = "/api/v1/applications"
NODES = (PREFIX,)
SCAN = Details("扫码查泵", 2, "查看型号", 1_200, "示例软件", "递归节点", "203.0.113.9", 2641)
BODY: dict[str, Any] = {"name": "scan", "kind": "web", "users": 3}
PAGES_OF_FIRM = ("/applications", "/applications/new", "/nodes")
PACKAGE = Path(__file__).parents[2] / "node"


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


# What is taken --------------------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"name": " \t"}, "application_missing", "name"),
    ({"name": "泵" * 101}, "application_too_long", "name"),
    ({"intro": "泵" * 501}, "application_too_long", "intro"),
    ({"kind": 6}, "application_malformed", "kind"),
    ({"users": -1}, "application_malformed", "users"),
    ({"recursion_ip": "recursion.example"}, "application_malformed", "recursion_ip"),
    ({"recursion_ip": ""}, "application_missing", "recursion_ip"),
    ({"recursion_port": None}, "application_missing", "recursion_port"),
    ({"recursion_port": 70_000}, "application_malformed", "recursion_port"),
]


@pytest.mark.parametrize(("changed", "code", "field"), BAD, ids=[f"{case[1]}-{case[2]}" for case in BAD])
async def test_what_the_node_above_would_refuse_is_refused_here(
    changed: dict[str, Any], code: str, field: str, node: Connection
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await add_application(node, order(), "88.101.1", replace(SCAN, **changed), NODES)
    assert (refused.value.code, refused.value.field) == (code, field)


async def test_a_name_stands_for_one_application_of_a_prefix_until_it_is_retired(node: Connection) -> None:
    made, is_new = await add_application(node, order(), "88.101.1", SCAN, NODES)
    assert is_new
    assert await add_application(node, order(), "88.101.1", SCAN, NODES) == (made, False)
    assert (await add_application(node, order(), "88.101.2", SCAN, NODES))[1], "another prefix, another application"
    with pytest.raises(Conflict) as refused:
        await add_application(node, order(), "88.101.1", replace(SCAN, users=1), NODES)
    assert refused.value.code == "application_exists"
    await retire_application(node, order(), made.application_id, NODES)
    with pytest.raises(Conflict):
        await retire_application(node, order(), made.application_id, NODES)
    again, is_new = await add_application(node, order(), "88.101.1", replace(SCAN, users=1), NODES)
    assert is_new
    assert again.application_id != made.application_id
    assert not await put_application(node, order(), "88.101.1", replace(SCAN, users=1))
    assert await put_application(node, order(), "88.101.1", replace(SCAN, users=2))


# Telling --------------------------------------------------------------------------------------------------------


async def test_what_is_registered_arrives_whole_and_what_is_retired_is_gone(node: Connection, above: Above) -> None:
    month = YESTERDAY[:7]
    made, _ = await add_application(node, order(), "88.101.1", SCAN, NODES)
    await add_application(node, order(), PREFIX, Details("门户", 3), NODES)
    await report_applications(node, REPORTER, above.clock())
    await send_all(node, above)
    assert above.rows("T10", month) == [{
        "prefix": "88.101.1", "name": "扫码查泵", "type": 2, "intro": "查看型号", "users": 1200,
        "developer": "示例软件", "recursion": "递归节点", "recursionIp": "203.0.113.9", "recursionPort": 2641,
    }]  # fmt: skip
    assert above.rows("T5", month) == [{"prefix": PREFIX, "name": "门户", "type": 3}]
    assert (await report_applications(node, REPORTER, above.clock())).messages == [], "nothing has changed"
    await retire_application(node, order(), made.application_id, NODES)
    await report_applications(node, REPORTER, above.clock())
    await send_all(node, above)
    assert above.rows("T10", month) == []
    assert len(above.rows("T5", month)) == 1
    assert await reconcile_month(node, await make_link(node, above), month, above.clock())


async def test_the_agent_tells_once_a_month(node: Connection, above: Above) -> None:
    link = await make_link(node, above)
    await step(node, link, above.clock)
    await add_application(node, order(), "88.101.1", SCAN, NODES)
    for days, months in ((5, {"2026-11"}), (5, {"2026-11", "2026-12"}), (5, {"2026-11", "2026-12"})):
        above.clock.pass_(days=days)
        await step(node, link, above.clock)
        assert {message.period for message in await fetch_messages(node, table_name="T10")} == months
    assert [len(above.rows("T10", month)) for month in ("2026-11", "2026-12")] == [0, 1]


async def test_an_application_that_was_refused_goes_again_as_soon_as_it_is_repaired(
    node: Connection, above: Above
) -> None:
    link = await make_link(node, above)
    made, _ = await add_application(node, order(), "88.101.1", SCAN, NODES)
    above.behave(refuse_table="T10")
    await step(node, link, above.clock)
    above.behave()
    for users, shown in ((SCAN.users, []), (7, [7])):
        await change_application(node, order(), made.application_id, replace(SCAN, users=users), NODES)
        above.clock.pass_(minutes=10)
        await step(node, link, above.clock)
        assert [row["users"] for row in above.rows("T10", YESTERDAY[:7])] == shown


# Over HTTP ------------------------------------------------------------------------------------------------------


async def test_applications_are_kept_over_the_api_and_registering_is_timed(console: Console) -> None:
    world = console.world
    made = await world.ask("POST", V1, BODY | {"prefix": PUMP})
    assert (made.status, made.json["kind"], made.json["users"]) == (201, "web", 3)
    assert (await world.ask("POST", V1, BODY | {"prefix": PUMP})).status == 200
    one = f"{V1}/{made.json['application_id']}"
    for who, prefix, status in (("pump", TOFU, 404), ("pump", PREFIX, 404), ("operator", PREFIX, 201)):
        assert (await world.ask("POST", V1, BODY | {"prefix": prefix}, who=who)).status == status
    changed = await world.ask("PUT", one, BODY | {"users": None})
    assert (changed.status, changed.json["users"]) == (200, None)
    assert (await world.ask("GET", V1)).json["applications"] == [changed.json]
    assert (await world.ask("GET", V1, who="tofu")).json == {"applications": [], "month": None}
    assert (await world.ask("GET", one, who="tofu")).status == 404
    assert (await world.ask("POST", f"{one}/retire")).json["retired"]
    assert (await world.ask("POST", f"{one}/retire")).status == 409
    new = {"identifier": f"{PUMP}/timed", "template": "pump-1", "values": {"model": "A"}}
    for body, status in ((new, 201), (new, 409), (new | {"identifier": f"{PUMP}/2", "values": {"model": ""}}, 400)):
        reply = await world.ask("POST", "/api/v1/identifiers", body)
        assert reply.status in (status, 200), reply.body
    await write_latencies(world.state)
    async with world.state.connect() as conn:
        rows = await conn.fetch("SELECT prefix, kind, number FROM monitor_days JOIN prefixes USING (prefix_id)")
        assert [tuple(row) for row in rows] == [(PUMP, "register", 1)], "only what was registered"


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("who", ["pump", "operator", "reviewer"])
async def test_pages_are_whole_in_both_languages(console: Console, who: str, language: str) -> None:
    for path in PAGES_OF_FIRM:
        page = await console[who].get(path, **{"Accept-Language": language})
        assert page.status == 200, (path, page.shown[:300])
        balance = Balance()
        balance.feed(page.text)
        assert balance.open == [], path
        if language == "en":
            assert not re.search(r"[\u4e00-\u9fff]{2}", page.shown.replace("中文", "")), path


async def test_a_firm_registers_changes_and_retires_by_forms(console: Console) -> None:
    pump, form = console["pump"], {"name": "Scan <b>", "kind": "app", "prefix": TOFU, "users": "many"}
    page = await pump.post("/applications/new", form | {"prefix": PUMP, "recursion_ip": "x", "recursion_port": "99999"})
    assert (page.status, "“Users” is not written as" in page.shown, "Scan &lt;b&gt;" in page.text) == (400, True, True)
    listed = re.findall(r'<li><a href="#f-(\w+)"', page.text)
    assert listed == ["users", "recursion_ip", "recursion_port"], "all of them at once"
    assert (await pump.post("/applications/new", form | {"users": "1,000"})).status == 400, "not its prefix"
    assert (await pump.post("/applications/new", form | {"users": "1,000", "prefix": PUMP})).status == 303
    engineer = await add_visitor(console, NewAccount("eng", ["engineer"], PASSWORD))
    assert (await engineer.get("/applications/new")).status == 403
    for path in ("/applications/new", "/applications/one"):
        assert (await engineer.post(path, form)).status == 403, path
    listed = await pump.get("/applications")
    assert "Scan <b> App" in listed.shown
    assert "1,000" in listed.shown
    (number,) = set(re.findall(r"applications/one\?number=(\d+)", listed.text))
    assert "applications/one" not in (await engineer.get("/applications")).text, "nothing leads to a form of others'"
    assert (await engineer.get(f"/applications/one?number={number}")).status == 403
    shown = await pump.get(f"/applications/one?number={number}")
    assert 'value="1000"' in shown.text
    changed = await pump.post("/applications/one", {"number": number, "name": "Scanner", "kind": "pc"})
    assert changed.location.endswith("/console/applications?done=application_changed")
    assert "Scanner PC client" in (await pump.get("/applications?done=application_changed")).shown
    for who in ("tofu", "clerk"):
        if who in console.visitors:
            assert (await console[who].post("/applications/retire", {"number": number})).status in (403, 404)
            assert "Scanner" not in (await console[who].get("/applications")).shown
    assert (await pump.post("/applications/tell")).status == 403
    assert (await console["operator"].post("/applications/tell")).status == 303
    month = (datetime.now(UTC) + timedelta(hours=8)).strftime("%Y-%m")
    assert f"The list of {month} was reported" in (await console["operator"].get("/applications")).shown
    assert (await pump.post("/applications/retire", {"number": number})).status == 303
    assert "Scanner" not in (await pump.get("/applications")).shown
    assert "Scanner" in (await pump.get("/applications?retired=yes")).shown
    assert (await console["nobody"].get("/applications")).status == 303


SOURCES = '[["2001:db8::/48", 9000], ["203.0.113.9", 90000]]'


async def fill_nodes(conn: Connection, day: date, now: datetime) -> None:
    """Two nodes: one is silent since six minutes, and has told of everything there is; the other failed its probe."""
    for prefix, state in ((PUMP, "active"), (TOFU, "failed")):
        await conn.execute(
            "INSERT INTO enterprise_nodes (prefix_id, software, route, route_state, trouble, attached, seen)"
            " SELECT prefix_id, 'idhub 5', '{\"ip\": \"203.0.113.7\", \"tcp\": 2641}', $2, 'tcp: no answer', $3, $3"
            " FROM prefixes WHERE prefix = $1",
            prefix, state, now - timedelta(minutes=6),
        )  # fmt: skip
        prefix_id = await conn.fetchval("SELECT prefix_id FROM prefixes WHERE prefix = $1", prefix)
        for back, total in ((0, 8888), (1, 7)):
            await conn.execute("INSERT INTO enterprise_node_days VALUES ($1, $2, 0, 7777, $3, 99999, 5, $4, $5)",
                               prefix_id, day - timedelta(days=back), total, now, SOURCES)  # fmt: skip
    prefix_id = await conn.fetchval("SELECT prefix_id FROM prefixes WHERE prefix = $1", PUMP)
    faults: list[dict[str, Any]] = [
        {"eventId": "f", "type": "异常", "class": 3, "item": "<b>"},
        {"eventId": "e", "type": "恢复", "class": 3, "relatedEventId": "f"},
        {"eventId": "x", "type": "恢复", "class": 1, "relatedEventId": "unknown"},
    ]
    for fault in faults:
        await store_event(conn, prefix_id, (fault["eventId"], now, orjson.dumps(fault).decode()), now)
    template = {"handle": f"{PUMP}/META_own", "industry": ["C"], "activeCarrier": True, "items": [{"en": "brand"}]}
    await store_metadata(conn, prefix_id, (4, b""), {template["handle"]: orjson.dumps(template).decode()}, now)
    await store_monitor(conn, prefix_id, day, (0, '{"resolveAvgMs": 12.5, "resolveMaxMs": 80, "maxQps": 41}'), now)
    await store_master(conn, prefix_id, day, (1, 0, 2, 101, 0, 0, b"", b"..."), now)
    await store_log(conn, prefix_id, LogPlace(day, "resolve", 1, 0), (4321, 4000, 0, 0, 0, b"", b"packed"), now)


async def test_the_pages_of_nodes_have_their_figures_beside_ours(console: Console) -> None:
    day, now = (datetime.now(UTC) + timedelta(hours=8)).date() - timedelta(days=1), datetime.now(UTC)
    async with console.world.state.connect() as conn, conn.transaction():
        await fill_nodes(conn, day, now)
    own = (await console["pump"].get("/nodes")).shown
    assert "203.0.113.7 · tcp 2641" in own
    assert "live" in own
    assert "silent 7,777 " in own
    assert TOFU not in own
    both = (await console["operator"].get("/nodes")).shown
    assert "probe failed" in both
    assert "Its port tcp does not answer." in both
    assert "99,999" in both
    one = await console["pump"].get(f"/nodes/{PUMP}")
    for said in ("99,999", "4,321 differs from what it reports", "8,888 does not add up", "101 / 0 / 0", "12.5 / 80",
                 "fault, over attack <b>", "waits for its fault", "META_own", "revision 4", "logs stay here",
                 "stays: the prefix was hosted here", "203.0.113.9 90,000 2001:db8::/48 9,000 Others 999"):  # fmt: skip
        assert said in one.shown, said
    for language in ("zh", "en"):
        page = await console["operator"].get(f"/nodes/{PUMP}", **{"Accept-Language": language})
        balance = Balance()
        balance.feed(page.text)
        assert balance.open == []
        assert language == "zh" or not re.search(r"[\u4e00-\u9fff]{2}", page.shown.replace("中文", ""))
    log = f"/nodes/{PUMP}/logs/{day}/resolve/1"
    assert (await console["pump"].get(log)).status == 200
    near = await add_visitor(console, NewAccount("near", ["regulator"], PASSWORD, area="321300"))
    far = await add_visitor(console, NewAccount("far", ["regulator"], PASSWORD, area="330000"))
    seen = [(await one.get("/nodes")).shown for one in (near, far)]
    assert ["99,999" in page for page in seen] == [True, False], "the regulator of the area, and of another"
    assert "203.0.113.9" not in (await near.get(f"/nodes/{PUMP}")).shown, "addresses are for the firm and the operator"
    for who, path, status in (
        (near, f"/nodes/{PUMP}", 200), (far, f"/nodes/{PUMP}", 404), (near, log, 404),
        (console["tofu"], f"/nodes/{PUMP}", 404), (console["tofu"], log, 404), (console["nobody"], log, 303),
        (console["operator"], f"/nodes/{PUMP}?day=1700-01-01", 400), (console["operator"], "/nodes/%00", 404),
        (console["pump"], log.replace("resolve", "guess"), 404), (console["pump"], f"{log}0000", 404),
    ):  # fmt: skip
        assert (await who.get(path)).status == status, path


async def test_a_new_owner_sees_nothing_of_the_days_before(console: Console) -> None:
    today, other = (datetime.now(UTC) + timedelta(hours=8)).date(), console.world.firms["tofu"].enterprise_id
    async with console.world.state.connect() as conn:
        moved = "UPDATE prefix_owners SET from_day = $2 FROM prefixes x WHERE x.prefix = $1 AND to_day IS NULL"
        moved += " AND prefix_owners.prefix_id = x.prefix_id RETURNING prefix_owners.prefix_id"
        prefix_id = await conn.fetchval(moved, PUMP, today)
        await conn.execute("INSERT INTO prefix_owners VALUES ($1, $2, '2026-01-01', $3)", prefix_id, other, today)
    for path in ("/nodes", f"/nodes/{PUMP}", f"/nodes/{PUMP}?day={today}"):
        page = await console["pump"].get(path)
        assert page.status == 200
        assert "99,999" not in page.shown, path


def test_no_word_is_missing_and_none_is_unused() -> None:
    sources = [*PACKAGE.glob("*pages*.py"), *PACKAGE.glob("pages/*.html"), *PACKAGE.glob("cli/application*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    built = ("application_kind_", "own_route_", "done_", "own_event_", "own_part_")
    unused = [name for name in (*PAGES, *OWN) if name not in text and not name.startswith(built)]
    assert unused == []


# The command ----------------------------------------------------------------------------------------------------


async def test_the_command_keeps_them_too(database_url: str, console: Console, tmp_path: Path) -> None:
    cli = Node(database_url, tmp_path)
    made = cli.get("application", "add", TOFU, "查码", "--kind", "web", "--users", "7")
    assert (made["new"], made["users"]) == (True, 7)
    changed = cli.get("application", "change", made["application_id"], "--developer", "D")
    assert (changed["name"], changed["users"], changed["developer"]) == ("查码", 7, "D")
    assert cli.get("application", "report")["messages"] >= 1
    assert cli.fail("application", "add", TOFU, "查码", "--kind", "tv")["code"] == "field_not_a_choice"
