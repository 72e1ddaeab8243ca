"""Closing, sealing and exporting on the command line: a real database."""

import json
from datetime import date, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from node.store.counting import add_answers, add_clients
from node.store.registrations import add_registrations
from schemas.days import get_start
from schemas.resolution_log import ClientClass, Outcome, Transport
from tests.days import get_today, get_yesterday
from tests.node.pdf_reading import read_cells
from tests.node.test_cli_data import Node


@pytest_asyncio.fixture(scope="module")
async def node(database_url: str, pool: asyncpg.Pool, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A prefix that was made two days ago, with figures of yesterday and today; no agent runs."""
    async with pool.acquire() as conn, conn.transaction():
        made = get_start(get_yesterday() - timedelta(days=1))
        await conn.execute(
            "INSERT INTO prefixes (prefix_id, prefix, state, created, changed) OVERRIDING SYSTEM VALUE"
            " VALUES (1, '88.101.1', 1, $1, $1)", made,
        )  # fmt: skip
        await conn.execute("INSERT INTO counted_changes (log_id, position) SELECT log_id, position FROM change_log")
        await add_registrations(conn, {(1, day, 0): (5, 0, 0, 0, 0) for day in (get_yesterday(), get_today())})
    return Node(database_url, tmp_path_factory.mktemp("node"))


async def test_who_asks_for_what_does_not_exist_is_told(node: Node, pool: asyncpg.Pool) -> None:
    assert node.get("stats", "sources", "--day", "2020-01-01") == {"day": "2020-01-01", "prefixes": [], "sources": []}
    public, day = int(ClientClass.PUBLIC), date(2020, 1, 2)
    async with pool.acquire() as conn, conn.transaction():
        for outcome, count in ((Outcome.FOUND, 4), (Outcome.NOT_FOUND, 30)):
            await add_answers(conn, {(1, day, 9, 0, int(Transport.HTTP), int(outcome), public): count})
        await add_clients(conn, {(1, day, public, "192.0.2.7"): 33, (0, day, public, "2001:db8::1"): 1})
    found = node.get("stats", "sources", "--day", day)
    assert [(one["answers"], one["not_found"]) for one in found["prefixes"]] == [(34, 30)]
    assert [(one["address"], one["client_class"], one["answers"]) for one in found["sources"]] == [
        ("192.0.2.7", "public", 33), ("2001:db8::1", "public", 1),
    ]  # fmt: skip
    shown = node.run("stats", "sources", "--day", day, "--limit", 1).stdout
    assert "192.0.2.7" in shown and "2001:db8::1" not in shown


async def test_days_are_closed_shown_verified_and_exported(node: Node, pool: asyncpg.Pool) -> None:
    assert node.fail("close", "--day", get_today())["code"] == "close_day_running"
    closed = node.get("close")
    assert [(one["day"], one["figures"]["registered_new"]) for one in closed] == [
        (str(get_yesterday() - timedelta(days=1)), 0), (str(get_yesterday()), 5),
    ]  # fmt: skip
    assert node.get("close") == []
    (running,) = node.get("close", "--provisional")
    assert (running["status"], running["day"], running["rows"][0]["registered_new"]) == (
        "provisional",
        str(get_today()),
        5,
    )
    verified = node.get("seal", "verify")
    assert (verified["problems"], verified["chains"][0]["statements"]) == ([], 2)
    target = Path(node.data_dir, "figures.json")
    exported = node.run("stats", "--by", "day", "--to", get_yesterday(), "--export", target)
    assert exported.returncode == 0, exported.stderr
    table = json.loads(target.read_text(encoding="utf-8"))
    assert (table["status"], table["seals"][0]["seal"], table["sums"]["registered_total"]) == (
        "sealed", closed[-1]["seal"], 5,
    )  # fmt: skip
    printed = Path(node.data_dir, "figures.pdf")
    assert node.run("stats", "--by", "day", "--to", get_yesterday(), "--pdf", printed).returncode == 0
    assert table["seals"][0]["seal"] in "".join(read_cells(printed.read_bytes()))
    assert node.fail("stats", "--export", "figures.docx")["code"] == "export_format_unknown"
    assert node.fail("stats", "--period", "last-week")["code"] == "statistics_period_unknown"
    yearly = node.run("stats", "--by", "day", "--period", "this-year", "--industry", "C", "--export", target)
    assert yearly.returncode == 0, yearly.stderr
    assert json.loads(target.read_text(encoding="utf-8"))["from"] == f"{get_today().year}-01-01"
    await pool.execute("UPDATE closed_rows SET registered_new = 6 WHERE day = $1", get_yesterday())
    found = node.run("seal", "verify")
    assert found.returncode == 1
    assert "not what was sealed" in found.stdout
    assert "stated 6, counted 5" in found.stdout
