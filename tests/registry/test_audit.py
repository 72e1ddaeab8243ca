"""The audit trail tells of everything that was written or looked at, and of whoever altered it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from registry.accounts import NewAccount
from registry.audit import Finding, number_all, verify
from registry.store.audit import NUMBERED_AT_ONCE, AuditEntry, append_audit, fetch_audit, fetch_ends
from registry.store.changes import number_changes
from tests.registry.account_world import PASSWORD, sign
from tests.registry.api_world import PUMP, World, open_world

V1 = "/api/v1"
ROW = {"identifier": f"{PUMP}/A1", "template": "pump-1", "values": {"model": "A"}}


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        await sign(made, "reviewer", NewAccount("rui", ["reviewer"], PASSWORD))
        await sign(made, "engineer", NewAccount("eng", ["engineer"], PASSWORD))
        yield made


async def read_new(world: World) -> list[tuple[str, str, str, str, str]]:
    """Actor, action, subject, outcome and reason of what came since the last time, oldest first; the chain is sound."""
    async with world.state.connect() as conn:
        last = world.keys.get("last position", "0")
        await number_all(conn)
        found = [(p, e) for p, e in await fetch_audit(conn, None, 1_000) if p > int(last)]
        world.keys["last position"] = str(max([int(last), *(p for p, _ in found)]))
        assert [finding async for finding in verify(conn)] == []
    assert all(entry.address in ("127.0.0.1", "") for _, entry in found)
    return [(e.actor, e.action, e.subject, e.outcome, e.reason) for _, e in reversed(found)]


async def test_every_write_is_told_of_once(world: World) -> None:
    await read_new(world)
    pump = f"key:{world.firms['pump'].access_key}"
    assert (await world.ask("POST", f"{V1}/identifiers", ROW)).status == 201
    assert await read_new(world) == [(pump, "POST /identifiers", f"{V1}/identifiers", "ok", "")]
    path = f"{V1}/identifiers/{PUMP}/A1"
    assert (await world.ask("POST", f"{path}/retire", {"reason": "worn out"})).status == 200
    assert [(e[2], e[4]) for e in await read_new(world)] == [(f"{path}/retire", "worn out")]
    reason = "x" * 1_000
    assert (await world.ask("POST", f"{path}/restore", {"reason": reason})).status == 200
    assert [e[4] for e in await read_new(world)] == [reason]


async def test_what_was_not_written_is_not_told_of(world: World) -> None:
    await read_new(world)
    for query, body in (("", ROW), ("?dry_run=true", ROW | {"identifier": f"{PUMP}/A2"}), ("", {})):
        await world.ask("POST", f"{V1}/identifiers{query}", body)
    headers = {"Idempotency-Key": "once"}
    for _ in range(3):
        await world.ask("POST", f"{V1}/identifiers", ROW | {"identifier": f"{PUMP}/A3"}, headers=headers)
    await world.ask("GET", f"{V1}/identifiers/{PUMP}/A3")
    await world.ask("GET", f"{V1}/identifiers/{PUMP}/A3", who="anonymous")
    assert len(await read_new(world)) == 1  # A3, once


async def test_looks_of_the_operators_people_and_refused_attempts_are_told_of(world: World) -> None:
    await read_new(world)
    path = f"{V1}/identifiers/{PUMP}/A3"
    assert (await world.ask("GET", path, who="reviewer")).status == 200
    assert (await world.ask("POST", f"{V1}/units", {"division": "321302", "name": "x"}, who="engineer")).status == 403
    assert (await world.ask("POST", f"{V1}/units", {"division": "321302", "name": "x"}, who="pump")).status == 403
    firm = world.firms["pump"]
    revealed = await world.ask(
        "POST", f"{V1}/enterprises/{firm.enterprise_id}/personal", {"reason": "a complaint"}, who="operator"
    )
    assert revealed.status == 200
    told = await read_new(world)
    assert told[0][:4] == ("account:rui", "GET /identifiers/{identifier:path}", path, "ok")
    assert (told[1][0], told[1][3]) == ("account:eng", "scope_missing")
    assert (told[2][0], told[2][3]) == (f"key:{firm.access_key}", "operator_only")
    assert ("personal_revealed", f"enterprise:{firm.enterprise_id}", "ok", "a complaint") in [e[1:] for e in told]


TAMPERING = [
    ("UPDATE {t} SET actor = 'nobody' WHERE position = 3", "changed", 3),
    ("UPDATE {t} SET reason = 'x' WHERE position = 1", "changed", 1),
    ("UPDATE {t} SET at = at + interval '1 microsecond' WHERE position = 2", "changed", 2),
    ("UPDATE {t} SET link = sha256('x') WHERE position = 4", "changed", 4),
    ("DELETE FROM {t} WHERE position = 3", "removed", 4),
    ("DELETE FROM {t} WHERE position = (SELECT max(position) FROM {t})", "cut_off", 0),
]
INSERTED = {
    "audit": "INSERT INTO audit SELECT position + 1, at, 'x', address, action, subject, outcome, reason, link"
             " FROM audit ORDER BY position DESC LIMIT 1",
    "changes": "INSERT INTO changes SELECT position + 1, kind, prefix_id, template_id, old_template_id, suffix_keys,"
               " members, at, 'x', reason, link FROM changes ORDER BY position DESC LIMIT 1",
}  # fmt: skip


async def find(conn: asyncpg.Connection, statement: str) -> list[Finding]:
    """What is found after an act of tampering, which is undone."""
    transaction = conn.transaction()
    await transaction.start()
    await conn.execute(statement)
    found = [finding async for finding in verify(conn)]
    await transaction.rollback()
    return found


@pytest.mark.parametrize("log", ["audit", "changes"])
@pytest.mark.parametrize(("statement", "problem", "position"), TAMPERING, ids=[t[0][:40] for t in TAMPERING])
async def test_every_tampering_is_found(world: World, log: str, statement: str, problem: str, position: int) -> None:
    async with world.state.connect() as conn:
        await number_all(conn)
        while await number_changes(conn):
            pass
        assert [finding async for finding in verify(conn)] == []
        found = await find(conn, statement.format(t=log))
        if problem == "cut_off":
            position = (await fetch_ends(conn))[log].position
    assert Finding(log, position, problem) in found
    assert {finding.log for finding in found} == {log}


@pytest.mark.parametrize("kept_from", [2, 4])
async def test_the_beginning_of_the_audit_trail_is_missed_too(world: World, kept_from: int) -> None:
    """Of the change log it is not: retention ends its oldest entries."""
    async with world.state.connect() as conn:
        await number_all(conn)
        found = await find(conn, f"DELETE FROM audit WHERE position < {kept_from}")
        assert found == [Finding("audit", kept_from, "removed")]
        assert await find(conn, f"DELETE FROM changes WHERE position < {kept_from}") == []


async def test_numbering_takes_all_there_is(world: World) -> None:
    entry = AuditEntry(datetime.now(UTC), "test", "", "look", "much")
    async with world.state.connect() as conn:
        async with conn.transaction():
            for _ in range(2 * NUMBERED_AT_ONCE + 1):
                await append_audit(conn, entry)
        await number_all(conn)
        assert not await conn.fetchval("SELECT count(*) FROM audit_pending")


@pytest.mark.parametrize("log", INSERTED)
async def test_a_row_put_in_is_found(world: World, log: str) -> None:
    async with world.state.connect() as conn:
        await number_all(conn)
        while await number_changes(conn):
            pass
        problems = {finding.problem for finding in await find(conn, INSERTED[log])}
    assert {"changed", "cut_off"} <= problems


async def test_texts_cannot_be_moved_between_columns(world: World) -> None:
    """Each text is chained with its length."""
    async with world.state.connect() as conn:
        await number_all(conn)
        found = await find(conn, "UPDATE audit SET actor = actor || left(address, 1), address = substr(address, 2)"
                                 " WHERE position = 2")  # fmt: skip
    assert Finding("audit", 2, "changed") in found


async def test_entries_of_many_writers_are_numbered_without_a_gap(world: World) -> None:
    """Positions are given after commit: nothing is lost, doubled or out of order."""

    async def write(number: int) -> None:
        row = ROW | {"identifier": f"{PUMP}/M{number}"}
        assert (await world.ask("POST", f"{V1}/identifiers", row)).status == 201

    async def number() -> None:
        async with world.state.connect() as conn:
            await number_all(conn)

    await read_new(world)
    await asyncio.gather(*(write(n) for n in range(20)), *(number() for _ in range(5)))
    assert len(await read_new(world)) == 20
    async with world.state.connect() as conn:
        count, last = await conn.fetchrow("SELECT count(*), max(position) FROM audit")
    assert count == last
