"""How quickly the node answers is measured, never made up: what goes up as M1 and M2 is what was timed."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from node.peaks import MAX_OPEN, WHOLE_NODE, Peaks, keep_peaks
from node.probe_token import get_probe_token
from node.probing import Prober
from node.reporting import report_monitoring
from node.segment_files import read_portion
from node.toplevel_link import reconcile_day
from registry.latencies import Latencies, Span
from registry.store.latencies import add_latencies
from schemas.days import get_day
from schemas.errors import InvalidInput
from schemas.resolution_log import ClientClass
from schemas.toplevel_tables import TABLES, judge_row
from tests.node.counting_world import answer, write_segment
from tests.node.test_cli_data import Node
from tests.node.test_toplevel_reporting import REPORTER, above, make_link, node, send_all
from tests.node.toplevel_world import PREFIX, START, YESTERDAY, Above

__all__ = ["above", "node"]

DAY = date.fromisoformat(YESTERDAY)
NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)


# Timing ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 100_000)), min_size=1, max_size=40))
def test_latencies_are_sums_and_extremes_of_what_was_noted_on_each_day(noted: list[tuple[int, int]]) -> None:
    latencies, expected = Latencies(), {}
    for after, took in noted:
        at = NOON + timedelta(seconds=after)
        latencies.note([7], took / 1_000_000, at)
        expected.setdefault((at + timedelta(hours=8)).date(), []).append(took)
    spans = {day: span for (_, day), span in latencies.take().items()}
    assert {d: (s.number, s.total_us, s.longest_us, s.shortest_us) for d, s in spans.items()} == {
        day: (len(times), sum(times), max(times), min(times)) for day, times in expected.items()
    }
    assert latencies.take() == {}


async def test_spans_of_two_writers_are_added(connection: asyncpg.Connection) -> None:
    later = NOON + timedelta(hours=1)
    for span in (Span(2, 30, 20, NOON, 10, NOON), Span(1, 25, 25, later, 25, later), Span(1, 5, 5, later, 5, later)):
        await add_latencies(connection, "register", {(7, DAY): span})
    row = await connection.fetchrow("SELECT * FROM monitor_days")
    assert row is not None
    assert tuple(row)[3:] == (4, 60, 25, later, 5, later)


# The busiest second ---------------------------------------------------------------------------------------------


def test_a_second_is_counted_by_prefix_without_probes_and_the_owner(tmp_path: Path) -> None:
    times = [NOON, NOON, NOON + timedelta(microseconds=999_999), NOON + timedelta(seconds=1)]
    answers = [answer(at) for at in times] + [answer(NOON, 6), answer(NOON, 0)]
    answers += [answer(NOON, client_class=kind) for kind in (ClientClass.SELF, ClientClass.PROBE, ClientClass.SANDBOX)]
    path = write_segment(tmp_path, answers)
    second = int(NOON.timestamp())
    portion = read_portion(path, 0)
    assert portion.tally.seconds == {(5, second): 3, (5, second + 1): 1, (6, second): 1, (0, second): 1}


def test_a_second_of_several_processes_is_one_and_waits_until_all_were_read() -> None:
    peaks, second = Peaks(), int(NOON.timestamp())
    peaks.add({(5, second): 3, (0, second): 2})
    peaks.add({(5, second): 4, (6, second + 1): 6})
    assert peaks.take(NOON) == {}
    assert peaks.take(NOON + timedelta(seconds=1)) == {(WHOLE_NODE, DAY): (9, NOON), (5, DAY): (7, NOON)}
    assert peaks.take(NOON + timedelta(hours=1)) == {
        (WHOLE_NODE, DAY): (6, NOON + timedelta(seconds=1)), (6, DAY): (6, NOON + timedelta(seconds=1)),
    }  # fmt: skip


def test_memory_is_bounded_while_the_log_is_not_read_to_its_end() -> None:
    peaks = Peaks()
    peaks.add({(5, second): 1 for second in range(MAX_OPEN)})
    assert len(peaks.take(datetime(1970, 1, 1, tzinfo=UTC))) > 0
    assert peaks.take(datetime(1970, 1, 1, tzinfo=UTC)) == {}


# Asking ourselves -----------------------------------------------------------------------------------------------


def test_the_token_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    token = get_probe_token(tmp_path / "run")
    assert len(token) == 32
    assert get_probe_token(tmp_path / "run") == token
    assert (tmp_path / "run" / "probe-token").stat().st_mode & 0o077 == 0


@asynccontextmanager
async def run_resolver(status: int) -> AsyncIterator[tuple[str, list[tuple[str, str]]]]:
    """Something that answers; its address, and who asked for what."""
    asked: list[tuple[str, str]] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append((request.raw_path, request.headers.get("X-Idnode-Probe", "")))
        return web.Response(status=200 if request.path == "/health" else status)

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
    finally:
        await runner.cleanup()


async def test_every_hosted_prefix_is_asked_as_a_probe_and_only_answers_are_timed(node: asyncpg.Connection) -> None:
    await node.execute("UPDATE prefixes SET hosting = 1 WHERE prefix = '88.101.2'")
    await node.execute(
        "INSERT INTO records (created, changed, prefix_id, template_id, suffix_key, packed)"
        " SELECT $1, $1, prefix_id, 1, '泵/1', '' FROM prefixes WHERE prefix = '88.101.1'", START,
    )  # fmt: skip
    for status, number in ((503, 0), (200, 1), (404, 2)):
        async with run_resolver(status) as (url, asked):
            prober = Prober(url, "token", (PREFIX,))
            await prober.look(node)
        assert asked == [("/health", "token"), ("/api/handles/88.101.1/%E6%B3%B5/1", "token")]
        rows = await node.fetch("SELECT kind, number FROM monitor_days")
        assert [tuple(row) for row in rows] == ([("resolve", number)] if number else [])
    await Prober("http://127.0.0.1:9", "token", (PREFIX,)).look(node)


# Reporting ------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def measured(node: asyncpg.Connection) -> asyncpg.Connection:
    """Prefix 1 was asked twice and registered once; prefix 2 was only asked. The sandbox counts nowhere."""
    ids = {row["prefix"]: row["prefix_id"] for row in await node.fetch("SELECT prefix, prefix_id FROM prefixes")}
    one, two, sandbox = (ids[f"88.101.{number}"] for number in (1, 2, 991))
    later = NOON + timedelta(hours=2)
    await add_latencies(node, "resolve", {(one, DAY): Span(2, 3_000, 2_500, NOON, 500, later),
                                          (two, DAY): Span(1, 9_000, 9_000, later, 9_000, later)})  # fmt: skip
    await add_latencies(node, "register", {(one, DAY): Span(1, 12_345, 12_345, NOON, 12_345, NOON),
                                           (sandbox, DAY): Span(1, 10**9, 10**9, NOON, 1, NOON)})  # fmt: skip
    peaks = Peaks()
    peaks.add({(one, int(NOON.timestamp())): 40, (two, int(NOON.timestamp())): 2})
    await keep_peaks(node, peaks, NOON + timedelta(minutes=1))
    return node


async def test_twelve_items_arrive_for_the_node_and_for_each_prefix(measured: asyncpg.Connection, above: Above) -> None:
    await report_monitoring(measured, REPORTER, DAY, above.clock())
    assert (await report_monitoring(measured, REPORTER, DAY, above.clock())).messages == [], "nothing has changed"
    await send_all(measured, above)
    noon, later = "2026-11-20T12:00:00+08:00", "2026-11-20T14:00:00+08:00"
    registered = {"registerAvgMs": 12.345, "registerMaxMs": 12.345, "registerMaxAt": noon, "registerMinMs": 12.345,
                  "registerMinAt": noon}  # fmt: skip
    (whole,) = above.rows("M1")
    assert whole == {
        "prefix": PREFIX, "day": YESTERDAY, "resolveAvgMs": 4.0, "resolveMaxMs": 9.0, "resolveMaxAt": later,
        "resolveMinMs": 0.5, "resolveMinAt": later, "maxQps": 42, "maxQpsAt": noon,
    } | registered  # fmt: skip
    first, second = above.rows("M2")
    assert (first["resolveAvgMs"], first["maxQps"], first["registerAvgMs"]) == (1.5, 40, 12.345)
    assert (second["resolveMaxMs"], second["maxQps"], "registerAvgMs" in second) == (9.0, 2, False)
    assert await reconcile_day(measured, await make_link(measured, above), YESTERDAY, above.clock())


async def test_the_command_shows_a_day_and_six_months(pool: asyncpg.Pool, database_url: str, tmp_path: Path) -> None:
    cli = Node(database_url, tmp_path)
    assert cli.get("monitor", "--months") == {"months": []}
    async with pool.acquire() as conn:
        prefix_id = await conn.fetchval(
            "INSERT INTO prefixes (prefix, state, created, changed, enabled_on) VALUES ('88.101.77', 1, $1, $1, $2)"
            " RETURNING prefix_id", START, DAY,
        )  # fmt: skip
        today = get_day(datetime.now(UTC))
        for day, took in ((today, 3_000), (today.replace(day=1) - timedelta(days=1), 1_000), (date(2020, 1, 1), 9)):
            at = datetime.now(UTC)
            await add_latencies(conn, "resolve", {(prefix_id, day): Span(2, took, took, at, 0, at)})
    rows = cli.get("monitor", "--day", today)["rows"]
    assert [(row["prefix"], row["resolveAvgMs"]) for row in rows] == [(PREFIX, 1.5), ("88.101.77", 1.5)]
    months = cli.get("monitor", "--months")["months"]
    assert [(row["month"][:2], row["resolveAvgMs"], row["resolveMaxMs"]) for row in months] == [
        ("20", 0.5, 1.0), ("20", 1.5, 3.0), ("me", 1.0, 3.0),
    ]  # fmt: skip
    async with pool.acquire() as conn:
        await conn.execute("DELETE FROM monitor_days; DELETE FROM prefixes WHERE prefix = '88.101.77'")


async def test_a_day_without_requests_has_no_figures_and_one_that_runs_is_not_told(
    node: asyncpg.Connection, above: Above
) -> None:
    await report_monitoring(node, REPORTER, DAY, above.clock())
    await send_all(node, above)
    assert above.rows("M1") == [{"prefix": PREFIX, "day": YESTERDAY}]
    with pytest.raises(InvalidInput):
        await report_monitoring(node, REPORTER, DAY + timedelta(days=1), above.clock())


GOOD: dict[str, Any] = {
    "prefix": PREFIX, "day": YESTERDAY, "resolveAvgMs": 1.5, "resolveMaxMs": 2, "resolveMinMs": 0,
    "resolveMaxAt": f"{YESTERDAY}T10:00+08:00", "resolveMinAt": f"{YESTERDAY}T00:00+08:00", "maxQps": 3,
    "maxQpsAt": f"{YESTERDAY}T23:59+08:00",
}  # fmt: skip
ROWS: list[tuple[dict[str, Any], list[tuple[str, str]], str]] = [
    ({}, [], "good"),
    ({"resolveAvgMs": 2.5}, [("E515", "resolveAvgMs")], "a mean above the greatest"),
    ({"resolveMinMs": 1.6}, [("E515", "resolveAvgMs")], "a mean below the least"),
    ({"resolveMaxAt": None}, [("E101", "resolveMaxAt")], "an extreme without its time"),
    ({"maxQps": None}, [("E101", "maxQps")], "a time without its peak"),
    ({"maxQpsAt": f"{YESTERDAY}T23:59+00:00"}, [("E516", "maxQpsAt")], "tomorrow at UTC+8"),
    ({"resolveAvgMs": True}, [("E102", "resolveAvgMs")], "no number"),
    ({"resolveAvgMs": -1}, [("E102", "resolveAvgMs")], "less than nothing"),
    ({"registerAvgMs": 1.0}, [("E101", "registerMaxMs")], "one of five"),
]


@pytest.mark.parametrize(("changed", "problems", "reason"), ROWS, ids=[case[2] for case in ROWS])
def test_figures_and_their_times_come_together_and_in_order(
    changed: dict[str, Any], problems: list[tuple[str, str]], reason: str
) -> None:
    row = {name: value for name, value in (GOOD | changed).items() if value is not None}
    assert judge_row(TABLES["M1"], row, PREFIX, YESTERDAY) == problems, reason
