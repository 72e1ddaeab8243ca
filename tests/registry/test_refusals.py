"""Wrong keys and passwords are in the audit trail whatever interface they were tried on, and a flood is a few lines."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from registry.audit import number_all
from registry.link import _identify_or_note
from registry.refusals import MAX_LINES, Refusals, name_tried
from registry.sign_in import MAX_NOTED_NAMES
from registry.store.audit import AuditEntry, fetch_audit
from schemas.errors import ServiceError, Unauthenticated
from schemas.link_messages import ViewerQuestion
from tests.registry.api_world import World, open_world

AT = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
WRONG = "ak_00000000000000000001.wrong"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


async def read_trail(world: World, text: str) -> list[AuditEntry]:
    async with world.state.connect() as conn:
        await number_all(conn)
        return [entry for _, entry in await fetch_audit(conn, None, 1_000, text)]


@pytest.mark.parametrize(
    ("interface", "method", "path", "bearer"),
    [
        ("api", "GET", "/api/v1/keys", f"Bearer {WRONG}"),
        ("api", "POST", "/api/v1/identifiers", "Bearer not.a.token"),
        ("snms", "GET", "/identityv2/data/detail?handle=88.101.5/x", WRONG),
        ("snms", "POST", "/identityv2/data", f"Bearer {WRONG}"),
    ],
)
async def test_a_wrong_key_is_noted(world: World, interface: str, method: str, path: str, bearer: str) -> None:
    world.state.refusals.counts.clear()
    before = len(await read_trail(world, f"refused {interface}"))
    for _ in range(3):
        await world.ask(method, path, who="nobody", headers={"Authorization": bearer})
    entry, *older = await read_trail(world, f"refused {interface}")
    assert len(older) == before, "three within a minute are one line"
    assert entry.actor == "anonymous" and entry.address == "127.0.0.1" and entry.outcome != "ok"
    assert entry.subject in ("key:ak_00000000000000000001", "key:token")
    assert "wrong" not in entry.subject


async def test_a_wrong_key_at_the_resolver_is_noted(world: World) -> None:
    with pytest.raises(Unauthenticated):
        question = ViewerQuestion(1, f"Bearer {WRONG}", "192.0.2.9", "88.101.5", "88.101.5/x")
        await _identify_or_note(world.state, question)
    assert [entry.address for entry in await read_trail(world, "refused resolver")] == ["192.0.2.9"]


async def test_who_gives_no_key_has_tried_none(world: World) -> None:
    before = await read_trail(world, "refused")
    assert (await world.ask("GET", "/api/v1/keys", who="nobody")).status == 401
    assert await read_trail(world, "refused") == before


async def test_a_flood_of_names_and_of_one_password_is_a_few_lines(world: World) -> None:
    for n in range(MAX_NOTED_NAMES + 10):
        asked = {"user_name": f"nobody-{n}", "password": "wrong"}
        assert (await world.ask("POST", "/api/v1/tokens", asked, who="nobody")).status == 401
    for _ in range(5):
        asked = {"user_name": "nobody-0", "password": "wrong"}
        assert (await world.ask("POST", "/api/v1/tokens", asked, who="nobody")).status == 401
    noted = [entry.subject for entry in await read_trail(world, "account:")]
    assert len(noted) == MAX_NOTED_NAMES + 1
    assert noted[0] == "account:others"


def test_the_first_of_a_minute_is_noted_at_once_and_the_rest_as_a_sum() -> None:
    refusals, tried = Refusals(), name_tried("api", f"Bearer {WRONG}", "192.0.2.9", ServiceError("key_wrong"))
    noted = [len(refusals.count(AT + timedelta(seconds=n), tried)) for n in range(60)]
    assert noted == [1] + [0] * 59
    (total, first) = refusals.count(AT + timedelta(seconds=60), tried)
    assert (total.reason, total.subject) == ("59 more in the minute from 04:00:00Z", "key:ak_00000000000000000001")
    assert first.reason == ""


async def test_what_was_counted_is_written_though_nobody_tries_again_and_when_the_process_ends(world: World) -> None:
    refusals, tried = Refusals(), ("api", "ak_00000000000000000002", "192.0.2.8", "key_wrong")

    async def count_lines(at: datetime, *, ending: bool = False) -> int:
        await refusals.flush(world.state.connect, at, ending=ending)
        return len(await read_trail(world, tried[1]))

    refusals.count(AT, tried)
    refusals.count(AT, tried)
    assert await count_lines(AT + timedelta(seconds=59)) == 0
    assert await count_lines(AT + timedelta(seconds=60)) == 1
    refusals.count(AT + timedelta(seconds=61), tried)
    refusals.count(AT + timedelta(seconds=62), tried)
    assert await count_lines(AT + timedelta(seconds=63), ending=True) == 2
    assert await count_lines(AT + timedelta(seconds=64), ending=True) == 2


def test_a_thousand_keys_are_fifty_lines_a_minute_and_one_for_the_others() -> None:
    refusals = Refusals()
    names = [("api", f"ak_{n}", f"192.0.2.{n % 250}", "key_wrong") for n in range(1_000)]
    assert sum(len(refusals.count(AT, tried)) for tried in names) == MAX_LINES + 1
    (total,) = refusals.close_minute(AT + timedelta(minutes=2))
    assert (total.subject, total.reason[:8]) == ("key:others", f"{1_000 - MAX_LINES - 1} more")


def test_a_clock_that_goes_back_begins_a_new_minute() -> None:
    refusals = Refusals()
    refusals.count(AT, ("api", "ak_1", "", "key_wrong"))
    assert len(refusals.count(AT - timedelta(hours=1), ("api", "ak_1", "", "key_wrong"))) == 1
