"""Whole ranges over HTTP: pages, states, If-Match, dry runs, and who may."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from schemas.ranges import format_member
from tests.registry.api_world import PUMP, World, open_world
from tests.resolver.handle_server import ServerPlan, encode_question, get_code, run_server
from tests.resolver.test_handle_answers import OUR_SITE

V1 = "/api/v1"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


async def add(world: World, head: str, checked: bool = False) -> None:
    first, last = (format_member(head, 10, number, checked) for number in (1, 999))
    body = {"prefix": PUMP, "template": "pump-1", "first": first, "last": last,
            "values": {"model": "A", "line": "secret"}, "checked": checked}  # fmt: skip
    reply = await world.ask("POST", f"{V1}/ranges", body)
    assert reply.status == 201, reply.json


async def test_a_range_is_shown_with_its_state_and_values_by_its_first_serial(world: World) -> None:
    await add(world, "A/B ")
    shown = await world.ask("GET", f"{V1}/ranges/{PUMP}/A%2FB%200000000001")
    assert (shown.status, shown.headers["ETag"]) == (200, '"1"')
    assert (shown.json["state"], shown.json["members"], shown.json["own_records"]) == ("live", 999, 0)
    assert {value["type"]: value["data"] for value in shown.json["values"]} == {"model": "A", "line": "secret"}
    assert (await world.ask("GET", f"{V1}/ranges/{PUMP}/A%2FB%200000000002")).status == 404
    assert (await world.ask("GET", f"{V1}/ranges/{PUMP}/%00")).status == 404


async def test_a_recall_freezes_retires_and_restores_all_members_at_once(world: World) -> None:
    await add(world, "C")
    first = f"{V1}/ranges/{PUMP}/C0000000001"
    steps: list[tuple[str, Any, str]] = [
        ("freeze", {"notice": "召回", "reason": "batch 7"}, "frozen"),
        ("unfreeze", {}, "live"),
        ("retire", {}, "retired"),
        ("restore", {"reason": "a mistake"}, "live"),
    ]
    for n, (action, body, state) in enumerate(steps, start=1):
        stale = await world.ask("POST", f"{first}/{action}", body, headers={"If-Match": f'"{n + 1}"'})
        assert (stale.status, stale.json["code"]) == (412, "range_changed_meanwhile")
        tried = await world.ask("POST", f"{first}/{action}?dry_run=true", body)
        assert (tried.status, tried.json["state"], tried.headers["Dry-Run"]) == (200, state, "true")
        done = await world.ask("POST", f"{first}/{action}", body, headers={"If-Match": f'"{n}"'})
        assert (done.status, done.json["state"], done.headers["ETag"]) == (200, state, f'"{n + 1}"')
        member = await world.ask("GET", f"{V1}/identifiers/{PUMP}/C0000000500", who="nobody")
        assert member.status == (410 if state == "retired" else 200)
    history = (await world.ask("GET", f"{first}/history")).json["revisions"]
    assert [r["ended_by"] for r in history] == [None, "restored", "retired", "unfrozen", "frozen"]
    assert [r["members"] for r in history] == [None, 999, 999, 999, 999]


async def test_a_change_is_shown_by_every_member_but_those_with_records_of_their_own(world: World) -> None:
    await add(world, "D")
    await world.ask("PATCH", f"{V1}/identifiers/{PUMP}/D0000000007", {"values": {"model": "own"}})
    changed = await world.ask("PATCH", f"{V1}/ranges/{PUMP}/D0000000001", {"values": {"model": "B", "line": None}})
    assert (changed.status, changed.json["own_records"]) == (200, 1)
    for suffix, model in (("D0000000007", "own"), ("D0000000008", "B")):
        member = (await world.ask("GET", f"{V1}/identifiers/{PUMP}/{suffix}", who="nobody")).json
        assert [value["data"] for value in member["values"]] == [model]


async def test_ranges_come_in_pages(world: World) -> None:
    for head in ("P1-", "P2-"):
        await add(world, head)
    await add(world, "P.3-", checked=True)
    whole = (await world.ask("GET", f"{V1}/ranges?prefix={PUMP}")).json
    assert whole["next"] is None
    seen, after = [], ""
    while after is not None:
        page = (await world.ask("GET", f"{V1}/ranges?prefix={PUMP}&limit=2&after={after}")).json
        seen += page["ranges"]
        after = page["next"]
    assert seen == whole["ranges"] and len(seen) >= 3
    for cursor in ("x", "99.0.1.A", "8.0.1", "8.2.1.A"):
        reply = await world.ask("GET", f"{V1}/ranges?prefix={PUMP}&after={cursor}")
        assert (reply.status, reply.json["code"]) == (400, "cursor_unknown")


async def test_a_resolver_that_knows_a_member_forgets_it_when_its_range_is_retired(
    world: World, database_url: str, tmp_path: Path
) -> None:
    await add(world, "W")
    question = encode_question(f"{PUMP}/W0000000500")
    with run_server(ServerPlan(database_url, tmp_path, OUR_SITE)) as server:
        for action, code in (("retire", 100), ("restore", 1)):
            assert get_code(await asyncio.to_thread(server.ask, question)) != code
            assert (await world.ask("POST", f"{V1}/ranges/{PUMP}/W0000000001/{action}", {})).status == 200
            async with asyncio.timeout(30):
                while get_code(await asyncio.to_thread(server.ask, question)) != code:
                    await asyncio.sleep(0.02)
