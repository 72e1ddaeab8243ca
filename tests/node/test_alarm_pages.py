"""The console's page of alarms."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from node.alarms import CAUSES
from node.store.alarms import clear_alarms, note_alarm
from node.store.counting import set_fact
from node.store.monitoring import find_fact
from node.watching import RESTORED_FACT, describe_restored
from registry.accounts import NewAccount
from registry.audit import number_all
from tests.registry.console_world import PASSWORD, Console, add_visitor, open_console

NOW = datetime.now(UTC)
PAPERS = Path(__file__).parents[2] / "docs"
RESTORED = json.dumps({"taken": "2026-03-01T10:00:00+00:00", "restored": "2026-03-02T08:00:00+00:00"})


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        for name in ("engineer", "reviewer"):
            made.visitors[name] = await add_visitor(made, NewAccount(name, [name], PASSWORD))
        yield made


async def test_an_alarm_says_since_when_and_what_to_do_and_leads_to_its_paragraph(console: Console) -> None:
    operator = console["operator"]
    assert "Nothing is wrong" in (await operator.get("/alarms")).shown
    async with console.world.state.connect() as conn:
        await note_alarm(conn, ("a", "worker_restarting", "<b>resolver-0"), NOW, {"times": 4}, NOW)
        await note_alarm(conn, ("a", "clock_off", "time.example"), NOW - timedelta(days=1), {"seconds": 9}, None)
        await clear_alarms(conn, "a", [("worker_restarting", "<b>resolver-0")], NOW)
    page = await operator.get("/alarms")
    assert "The process <b>resolver-0 has died 4 times" in page.shown
    assert "See its log in logs of the data directory" in page.shown
    assert "docs/operations.md#worker_restarting" in page.shown
    assert "time.example" in page.shown.partition("Alarms that are over")[2]
    operator.language = "zh"
    assert "docs/operations.zh-CN.md#worker_restarting" in (await operator.get("/alarms")).shown
    operator.language = "en"


@pytest.mark.parametrize("name", ["operations.md", "operations.zh-CN.md"])
def test_every_cause_has_its_paragraph_in_both_languages(name: str) -> None:
    text = (PAPERS / name).read_text(encoding="utf-8")
    assert [cause for cause in CAUSES if f'<a id="{cause}"></a>' not in text] == []


async def test_a_restore_is_acknowledged_once_and_by_the_operator_alone(console: Console) -> None:
    async with console.world.state.connect() as conn:
        await set_fact(conn, RESTORED_FACT, RESTORED)
        await note_alarm(conn, ("a", RESTORED_FACT, ""), NOW, {"note": describe_restored(RESTORED)}, NOW)
    assert "2026-03-01 18:00 → 2026-03-02 16:00" in (await console["operator"].get("/alarms")).shown
    assert "It is dealt with" not in (await console["engineer"].get("/alarms")).shown
    for who in ("engineer", "reviewer", "pump"):
        assert (await console[who].post("/alarms/acknowledge")).status == 403, who
    assert (await console["operator"].post("/alarms/acknowledge")).location.endswith("done=alarm_acknowledged")
    assert (await console["operator"].post("/alarms/acknowledge")).status == 404
    async with console.world.state.connect() as conn:
        assert await find_fact(conn, RESTORED_FACT) is None
        await number_all(conn)
    assert "alarm_acknowledged" in (await console["operator"].get("/audit?text=alarm")).shown


async def test_only_those_who_run_the_node_see_alarms(console: Console) -> None:
    for who, status in (("operator", 200), ("engineer", 200), ("reviewer", 403), ("pump", 403), ("nobody", 303)):
        page = await console[who].get("/alarms")
        assert page.status == status, (who, page.status)
    assert "/console/alarms" not in (await console["reviewer"].get("/")).text


def test_what_an_older_version_wrote_of_a_restore_is_shown_as_it_stands() -> None:
    assert describe_restored("from a tape") == "from a tape"
    assert describe_restored("[1]") == "[1]"
