"""A sandbox works like any prefix, counts nowhere, and is empty again every day."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from node.counting import BEGINNING, FOREVER, count_changes
from node.store.registrations import recompute_registrations
from registry import sandbox
from registry.sandbox import find_next_reset, reset_due_sandboxes
from schemas.days import get_start
from schemas.resolution_log import ClientClass
from tests.registry.api_world import PUMP, World, open_world, serve
from tests.registry.issuing_world import DOCUMENT
from tests.resolver.handle_server import ServerPlan, encode_question, get_code, run_server
from tests.resolver.test_handle_answers import OUR_SITE

V1 = "/api/v1"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


@pytest_asyncio.fixture
async def prefix(world: World) -> str:
    """The sandbox of the pump works, with a template."""
    opened = await world.ask("POST", f"{V1}/sandboxes", {})
    assert opened.status in (200, 201)
    made = await world.ask("POST", f"{V1}/prefixes/{opened.json['prefix']}/templates", DOCUMENT)
    assert made.status in (200, 201), made.json
    return str(opened.json["prefix"])


async def create(world: World, prefix: str, suffix: str) -> int:
    body = {"identifier": f"{prefix}/{suffix}", "template": "pump-1", "values": {"model": "A"}}
    return (await world.ask("POST", f"{V1}/identifiers", body)).status


async def fill(world: World, prefix: str) -> None:
    """Records with history, a range with a member of its own, a template."""
    for n in range(5):
        assert await create(world, prefix, f"T-{n}") == 201
    await world.ask("PATCH", f"{V1}/identifiers/{prefix}/T-1", {"values": {"model": "B"}})
    await world.ask("POST", f"{V1}/identifiers/{prefix}/T-2/retire", {})
    serials = {"prefix": prefix, "template": "pump-1", "first": "R001", "last": "R999", "values": {"model": "A"}}
    assert (await world.ask("POST", f"{V1}/ranges", serials)).status == 201
    await world.ask("PATCH", f"{V1}/identifiers/{prefix}/R007", {"values": {"model": "own"}})
    await world.ask("POST", f"{V1}/ranges/{prefix}/R001/freeze", {"notice": "n"})


async def test_each_enterprise_has_one_and_sees_its_own(world: World, prefix: str) -> None:
    assert prefix == f"88.101.SANDBOX{world.firms['pump'].enterprise_id}"
    again = await world.ask("POST", f"{V1}/sandboxes", {"enterprise_id": world.firms["pump"].enterprise_id})
    assert (again.status, again.json["prefix"], again.json["state"]) == (200, prefix, "enabled")
    assert (await world.ask("GET", f"{V1}/sandboxes", who="tofu")).json == {"sandboxes": [], "next": None}
    for who in ("pump", "operator"):
        assert [row["prefix"] for row in (await world.ask("GET", f"{V1}/sandboxes", who=who)).json["sandboxes"]] == [
            prefix
        ]
    stranger = await world.ask("POST", f"{V1}/sandboxes", {"enterprise_id": again.json["enterprise_id"]}, who="tofu")
    assert stranger.status == 404
    assert (await world.ask("POST", f"{V1}/sandboxes", {}, who="operator")).json["code"] == "field_missing"
    assert await create(world, prefix, "own") == 201
    body = {"identifier": f"{prefix}/x", "template": "pump-1", "values": {"model": "A"}}
    assert (await world.ask("POST", f"{V1}/identifiers", body, who="tofu")).status == 404


async def test_a_sandbox_is_not_decided_on_moved_or_listed_among_prefixes(world: World, prefix: str) -> None:
    tofu = world.firms["tofu"].enterprise_id
    for method, path, body in (
        ("POST", "decisions", {"decision": "stopped", "reason": "r"}),
        ("POST", "transfer", {"enterprise_id": tofu}),
        ("PUT", "hosting", {"address": "192.0.2.7", "tcp_port": 2641}),
    ):
        reply = await world.ask(method, f"{V1}/prefixes/{prefix}/{path}", body, who="operator")
        assert (reply.status, reply.json["code"]) == (409, "sandbox_is_fixed")
    listed = (await world.ask("GET", f"{V1}/prefixes")).json["prefixes"]
    assert [row["prefix"] for row in listed] == [PUMP]
    enterprise = (await world.ask("GET", f"{V1}/enterprises", who="operator")).json["enterprises"]
    assert all("SANDBOX" not in name for row in enterprise for name in row["prefixes"])


async def test_nothing_under_it_counts_and_the_count_can_be_proven(
    world: World, prefix: str, pool: asyncpg.Pool
) -> None:
    await fill(world, prefix)
    assert await create(world, PUMP, "REAL") == 201
    async with pool.acquire() as conn:
        while await count_changes(conn):
            pass
        rows = await conn.fetch("SELECT prefix, sum(registered + range_minted)::int AS n FROM registration_counts"
                                " JOIN prefixes USING (prefix_id) GROUP BY 1")  # fmt: skip
        assert [tuple(row) for row in rows] == [(PUMP, 1)]
        found = await recompute_registrations(conn, BEGINNING, FOREVER)
        assert sum(sum(counts) for counts in found.values()) == 1
    for by in ("day", "enterprise", "unit", "area", "industry"):
        rows = (await world.ask("GET", f"{V1}/statistics?by={by}", who="operator")).json
        assert sum(row["registered_new"] for row in rows) == 1
        assert all("SANDBOX" not in (row.get("prefix") or "") for row in rows)


async def test_reads_of_it_are_a_class_of_their_own(world: World, prefix: str) -> None:
    await create(world, prefix, "read")
    before = len(world.read_log())
    for who in ("pump", "nobody", "operator"):
        for suffix in ("read", "none"):
            await world.ask("GET", f"{V1}/identifiers/{prefix}/{suffix}", who=who)
    both = [f"{prefix}/read", f"{prefix}/none"]
    await world.ask("POST", f"{V1}/identifiers/resolve", {"identifiers": both}, who="tofu")
    assert [answer.client_class for answer in world.read_log()[before:]] == [ClientClass.SANDBOX] * 8


async def test_it_is_answered_over_the_handle_protocol_and_counted_apart(
    world: World, prefix: str, database_url: str, tmp_path: Path
) -> None:
    await create(world, prefix, "wire")
    with run_server(ServerPlan(database_url, tmp_path, OUR_SITE)) as server:
        for suffix, code in (("wire", 1), ("WIRE", 1), ("none", 100)):
            for ask in (server.ask, server.ask_udp):
                assert get_code(ask(encode_question(f"{prefix}/{suffix}"))) == code
        assert {answer.client_class for answer in server.read_log()} == {ClientClass.SANDBOX}


async def test_what_was_made_before_today_is_really_deleted_and_may_be_issued_again(
    world: World, prefix: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "RECORDS_PER_PASS", 2)
    await create(world, prefix, "T-2")
    async with pool.acquire() as conn:
        real = await conn.fetchval("SELECT count(*) FROM records r JOIN prefixes USING (prefix_id) WHERE prefix = $1",
                                   PUMP)  # fmt: skip
        midnight = find_next_reset(world.state.now())
        assert await reset_due_sandboxes(conn, midnight - timedelta(seconds=1)) == 0
        assert await reset_due_sandboxes(conn, midnight + timedelta(minutes=3)) == 1
        assert await reset_due_sandboxes(conn, midnight + timedelta(hours=1)) == 0
        for table in ("records", "record_history", "ranges", "range_history", "templates"):
            left = await conn.fetchval(
                f"SELECT count(*) FROM {table} JOIN prefixes USING (prefix_id) WHERE prefix = $1", prefix
            )
            assert left == 0, table
        assert real == await conn.fetchval(
            "SELECT count(*) FROM records r JOIN prefixes USING (prefix_id) WHERE prefix = $1", PUMP
        )
    later = midnight + timedelta(minutes=5)
    async with serve(replace(world.state, now=lambda: later)) as base:
        then = replace(world, base=base)
        assert (await then.ask("POST", f"{V1}/prefixes/{prefix}/templates", DOCUMENT)).status == 201
        assert await create(then, prefix, "T-2") == 201
        async with pool.acquire() as conn:
            await reset_due_sandboxes(conn, later + timedelta(minutes=1))
        assert (await then.ask("GET", f"{V1}/identifiers/{prefix}/T-2")).status == 200, "made today, gone tomorrow"


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 3, 2, 15, 59, 59, tzinfo=UTC), (2026, 3, 3)),
        (datetime(2026, 3, 2, 16, 0, tzinfo=UTC), (2026, 3, 4)),
    ],
)
def test_the_day_ends_at_midnight_in_china(now: datetime, day: tuple[int, int, int]) -> None:
    assert find_next_reset(now) == get_start(datetime(*day).date())
