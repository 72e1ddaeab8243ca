"""Applications are registered by who owns the prefix, kept such that the node above takes them, and told each month."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncpg import Connection

from node.applications import add_application, put_application, retire_application
from node.reporting import report_applications
from node.reporting_loop import step
from node.store.applications import Details
from node.store.outbox import fetch_messages
from node.toplevel_link import reconcile_month
from registry.accounts import NewAccount
from registry.app import write_latencies
from schemas.errors import Conflict, InvalidInput
from schemas.texts.applications import PAGES
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
    page = await pump.post("/applications/new", form)
    assert (page.status, "This has not the form" in page.shown, "Scan &lt;b&gt;" in page.text) == (400, True, True)
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


async def test_the_page_of_nodes_has_their_figures_beside_ours(console: Console) -> None:
    async with console.world.state.connect() as conn:
        for prefix, state in ((PUMP, "active"), (TOFU, "failed")):
            await conn.execute(
                "INSERT INTO enterprise_nodes (prefix_id, software, route, route_state, trouble, attached, seen)"
                " SELECT prefix_id, 'idhub 5', '{\"ip\": \"203.0.113.7\", \"tcp\": 2641}', $2, 'tcp: no answer', $3, $3"
                " FROM prefixes WHERE prefix = $1",
                prefix, state, datetime.now(UTC) - timedelta(minutes=6),
            )  # fmt: skip
            await conn.execute(
                "INSERT INTO enterprise_node_days SELECT prefix_id, $2, 0, 7777, 8888, 99999, 5, $3 FROM prefixes"
                " WHERE prefix = $1",
                prefix, (datetime.now(UTC) + timedelta(hours=8)).date() - timedelta(days=1), datetime.now(UTC),
            )  # fmt: skip
    own = (await console["pump"].get("/nodes")).shown
    assert "203.0.113.7 · tcp 2641" in own
    assert "live" in own
    assert "silent 7,777 " in own
    assert TOFU not in own
    both = (await console["operator"].get("/nodes")).shown
    assert "probe failed" in both
    assert "Its port tcp does not answer." in both
    assert "99,999" in both


def test_no_word_is_missing_and_none_is_unused() -> None:
    sources = [*PACKAGE.glob("*pages*.py"), *PACKAGE.glob("pages/*.html"), *PACKAGE.glob("cli/application*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    built = ("application_kind_", "own_route_", "done_")
    unused = [name for name in PAGES if name not in text and not name.startswith(built)]
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
