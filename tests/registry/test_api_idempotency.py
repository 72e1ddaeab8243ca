"""An Idempotency-Key: one effect and one answer, byte for byte, however often and however concurrently it is sent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import asyncpg
import pytest
import pytest_asyncio

from registry.store.idempotency import delete_old_answers
from tests.registry.api_world import PUMP, TOFU, Reply, World, open_world, serve

V1 = "/api/v1"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


def body(suffix: str, model: str = "A", prefix: str = PUMP) -> dict[str, Any]:
    return {"identifier": f"{prefix}/{suffix}", "template": "pump-1", "values": {"model": model}}


async def create(world: World, key: str, sent: dict[str, Any], who: str = "pump") -> Reply:
    return await world.ask("POST", f"{V1}/identifiers", sent, who=who, headers={"Idempotency-Key": key})


async def test_the_first_answer_is_repeated_byte_for_byte(world: World) -> None:
    first, second = await create(world, "k1", body("x")), await create(world, "k1", body("x"))
    assert (first.status, second.status) == (201, 201)
    assert (first.body, first.headers["ETag"]) == (second.body, second.headers["ETag"])


async def test_a_hundred_at_once_have_one_effect(world: World, pool: asyncpg.Pool) -> None:
    """Whichever process of the registry they come to: another one has locks of its own."""
    async with serve(replace(world.state, key_locks=WeakValueDictionary())) as base:
        places = [world, replace(world, base=base)]
        replies = await asyncio.gather(*(create(places[n % 2], "many", body("many")) for n in range(100)))
    assert {(reply.status, reply.body) for reply in replies} == {(201, replies[0].body)}
    made = await pool.fetchval("SELECT sum(members) FROM changes_pending WHERE suffix_keys = ARRAY['MANY']")
    assert made == 1


async def test_another_request_under_the_same_key_is_refused(world: World) -> None:
    await create(world, "k2", body("y"))
    other = await create(world, "k2", body("z"))
    assert (other.status, other.json["code"]) == (409, "idempotency_key_reused")
    assert (await world.ask("GET", f"{V1}/identifiers/{PUMP}/z")).status == 404


async def test_what_one_operator_was_shown_is_not_repeated_for_another(world: World, pool: asyncpg.Pool) -> None:
    """A look at personal data is noted of each who looks."""
    path, reason = f"{V1}/enterprises/{world.firms['pump'].enterprise_id}/personal", {"reason": "call them"}
    for who in ("operator", "reviewer", "reviewer"):
        shown = await world.ask("POST", path, reason, who=who, headers={"Idempotency-Key": "look"})
        assert shown.status == 200
    actors = await pool.fetch("SELECT actor FROM audit_pending WHERE action LIKE 'POST /enterprises/%/personal'")
    assert len(actors) == len({row["actor"] for row in actors}) == 2


async def test_the_same_body_for_another_identifier_is_another_request(world: World) -> None:
    for suffix in ("t1", "t2"):
        await create(world, f"make-{suffix}", body(suffix))
    key = {"Idempotency-Key": "k3"}
    first = await world.ask("POST", f"{V1}/identifiers/{PUMP}/t1/retire", {}, headers=key)
    other = await world.ask("POST", f"{V1}/identifiers/{PUMP}/t2/retire", {}, headers=key)
    assert (first.status, other.status) == (200, 409)


async def test_a_refusal_is_repeated_too_even_if_it_would_succeed_by_now(world: World) -> None:
    await create(world, "made", body("taken"))
    refused = await create(world, "k4", body("taken", "B"))
    freed = body("taken", "B")
    again = await create(world, "k4", freed)
    assert (refused.status, again.status, refused.body) == (409, 409, again.body)
    assert again.headers["Content-Type"] == "application/problem+json"


async def test_two_programs_of_one_firm_that_draw_the_same_key_get_their_own_answers(world: World) -> None:
    """One may write and not read: it is not shown what the other is."""
    made = (await world.ask("POST", f"{V1}/keys", {"note": "line 2", "scopes": ["write"]})).json
    world.keys["line 2"] = f"{made['access_key']}.{made['secret_key']}"
    first, second = await create(world, "17", body("p17")), await create(world, "17", body("q17"), who="line 2")
    assert (first.status, second.status) == (201, 201)
    assert (await create(world, "17", body("q17"))).json["code"] == "idempotency_key_reused"
    same = await create(world, "18", body("p18")), await create(world, "18", body("p18"), who="line 2")
    assert [reply.json.get("code") for reply in same] == [None, "identifier_taken"]


async def test_keys_of_different_accounts_and_routes_are_strangers(world: World) -> None:
    first = await create(world, "shared", body("own"))
    other = await create(world, "shared", body("own", prefix=TOFU), who="tofu")
    serials = {"prefix": PUMP, "template": "pump-1", "first": "R001", "last": "R009", "values": {"model": "A"}}
    route = await world.ask("POST", f"{V1}/ranges", serials, headers={"Idempotency-Key": "shared"})
    assert (first.status, other.status, route.status) == (201, 201, 201)


async def test_a_dry_run_uses_up_no_key(world: World) -> None:
    sent = {"Idempotency-Key": "dry"}
    tried = await world.ask("POST", f"{V1}/identifiers?dry_run=true", body("dry"), headers=sent)
    done = await world.ask("POST", f"{V1}/identifiers", body("dry"), headers=sent)
    assert (tried.status, done.status) == (200, 201)


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel"])
async def test_a_key_that_is_none_is_refused(world: World, key: str) -> None:
    reply = await create(world, key, body("bad-key"))
    assert (reply.status, reply.json["code"]) == (400, "idempotency_key_malformed")


async def test_after_seven_days_a_key_is_new(world: World, pool: asyncpg.Pool) -> None:
    await create(world, "old", body("week"))
    later = world.state.now() + timedelta(days=7, seconds=1)
    async with serve(replace(world.state, now=lambda: later)) as base:
        then = replace(world, base=base)
        assert (await create(then, "old", body("week"))).json["code"] == "identifier_taken"
    async with pool.acquire() as conn:
        assert await delete_old_answers(conn, later) >= 1
        assert await conn.fetchval("SELECT count(*) FROM idempotency WHERE at < $1", later - timedelta(days=7)) == 0


async def test_a_secret_is_repeated_but_not_kept_readable(world: World, pool: asyncpg.Pool) -> None:
    key = {"Idempotency-Key": "key-of-keys"}
    first = await world.ask("POST", f"{V1}/keys", {"note": "MES"}, headers=key)
    again = await world.ask("POST", f"{V1}/keys", {"note": "MES"}, headers=key)
    assert (first.status, first.body) == (201, again.body)
    stored = await pool.fetchval("SELECT answer FROM idempotency WHERE key = 'key-of-keys'")
    assert first.json["secret_key"].encode() not in stored
