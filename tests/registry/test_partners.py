"""Partners see what is marked for partners from the next request on, and not one longer; regulators see their area."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from registry.accounts import NewAccount
from registry.areas import add_unit
from registry.keys import KeyTerms, add_key
from registry.snms import edge
from tests.registry.account_world import PASSWORD, sign
from tests.registry.api_world import PUMP, TOFU, World, open_world
from tests.registry.people import add_firm, make_uscc, order

V1 = "/api/v1"
SCANNER, OTHER = make_uscc(501), make_uscc(502)
ITEMS = {"version": "shared", "items": [
    {"type": "model", "name": "型号"},
    {"type": "batch", "name": "批次", "visibility": "partner"},
    {"type": "cost", "name": "成本", "visibility": "private"},
]}  # fmt: skip
RECORD = {"identifier": f"{PUMP}/P1", "template": "shared", "values": {"model": "A", "batch": "B7", "cost": "3"}}


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        assert (await made.ask("POST", f"{V1}/prefixes/{PUMP}/templates", ITEMS)).status == 201
        assert (await made.ask("POST", f"{V1}/identifiers", RECORD)).status == 201
        async with made.state.connect() as conn:
            for name, code in (("scanner", SCANNER), ("other", OTHER)):
                access_key, secret = await add_key(conn, order(), None, name, KeyTerms(organisation=code))
                made.keys[name] = f"{access_key}.{secret}"
            await add_unit(conn, order(), "321302", "陈集镇")
            elsewhere = await add_firm(conn, 903, "88.101.77")
            await conn.execute("UPDATE placements SET division_code = '321311' WHERE enterprise_id = $1",
                               elsewhere.enterprise_id)  # fmt: skip
        await sign(made, "person", NewAccount("paula", ["partner"], PASSWORD, organisation=SCANNER))
        await sign(made, "district", NewAccount("dai", ["regulator"], PASSWORD, area="321302"))
        await sign(made, "city", NewAccount("cao", ["regulator"], PASSWORD, area="321300"))
        await sign(made, "province", NewAccount("pan", ["regulator"], PASSWORD, area="440000"))
        await sign(made, "town", NewAccount("tan", ["regulator"], PASSWORD, area="陈集镇"))
        await sign(made, "reviewer", NewAccount("rui", ["reviewer"], PASSWORD))
        await sign(made, "engineer", NewAccount("eng", ["engineer"], PASSWORD))
        yield made


async def see(world: World, who: str, path: str = f"{V1}/identifiers/{PUMP}/P1") -> set[str]:
    reply = await world.ask("GET", path, who=who)
    assert reply.status == 200, reply.body
    return {value["type"] for value in reply.json["values"]}


async def test_a_partner_sees_more_from_naming_to_revoking_and_nobody_else_does(world: World) -> None:
    named = {"prefix": PUMP, "organisation": SCANNER}
    for who in ("scanner", "person", "other", "tofu", "anonymous"):
        assert await see(world, who) == {"model"}, who
    assert (await world.ask("POST", f"{V1}/partners", named)).status == 201
    assert (await world.ask("POST", f"{V1}/partners", named)).status == 200  # is one already
    for who in ("scanner", "person"):
        assert await see(world, who) == {"model", "batch"}, who
        assert (await world.ask("GET", f"{V1}/me", who=who)).json["partner_of"] == [PUMP]
    for who in ("other", "tofu", "anonymous"):
        assert await see(world, who) == {"model"}, who
    assert await see(world, "pump") == await see(world, "reviewer") == {"model", "batch", "cost"}
    for who in ("engineer", "district"):
        assert await see(world, who) == {"model"}, who
    revoked = await world.ask("DELETE", f"{V1}/partners/{PUMP}/{SCANNER}")
    assert (revoked.status, revoked.json["revoked"] is not None) == (200, True)
    for who in ("scanner", "person"):
        assert await see(world, who) == {"model"}, who
    assert (await world.ask("DELETE", f"{V1}/partners/{PUMP}/{SCANNER}")).status == 404
    listed = (await world.ask("GET", f"{V1}/partners?prefix={PUMP}")).json["partners"]
    assert [(row["organisation"], row["revoked"] is None) for row in listed] == [(SCANNER, False)]


async def test_by_the_published_interface_it_is_within_half_a_second_and_its_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It remembers who calls: a clock that goes on stands for the time that passes."""
    named, now = {"prefix": PUMP, "organisation": SCANNER}, 0.0
    monkeypatch.setattr(edge, "monotonic", lambda: now)

    async def look() -> bool:
        reply = await world.ask("GET", f"/identityv2/data/detail?handle={PUMP}/P1", who="scanner")
        return "B7" in reply.body.decode()

    assert not await look()
    assert (await world.ask("POST", f"{V1}/partners", named)).status in (200, 201)
    now += 0.51
    assert await look()
    assert (await world.ask("DELETE", f"{V1}/partners/{PUMP}/{SCANNER}")).status == 200
    now += 0.51
    assert not await look()


async def test_an_enterprise_of_the_node_can_be_a_partner(world: World) -> None:
    code = make_uscc(902)  # of tofu
    made = await world.ask("POST", f"{V1}/partners", {"prefix": PUMP, "organisation": code})
    assert (made.status, made.json["name"]) == (201, "Firm 902")
    assert await see(world, "tofu") == {"model", "batch"}
    async with world.state.connect() as conn:  # who has not been approved has not proved that the code is its own
        await conn.execute("UPDATE enterprises SET state = 1 WHERE certificate_code = $1", code)
        assert await see(world, "tofu") == {"model"}
        await conn.execute("UPDATE enterprises SET state = 3 WHERE certificate_code = $1", code)
    assert (await world.ask("DELETE", f"{V1}/partners/{PUMP}/{code}")).status == 200
    assert await see(world, "tofu") == {"model"}


WRONG = [
    ({"prefix": PUMP, "organisation": "91321302MA1PUMP02X"}, 400, "a code that is none"),
    ({"prefix": PUMP, "organisation": ""}, 400, "no code"),
    ({"prefix": TOFU, "organisation": SCANNER}, 404, "the prefix of another firm"),
    ({"prefix": "88.101.\0", "organisation": SCANNER}, 404, "no prefix at all"),
]


@pytest.mark.parametrize(("body", "status", "reason"), WRONG, ids=[w[2] for w in WRONG])
async def test_what_is_wrong_with_a_partner_is_said(world: World, body: Any, status: int, reason: str) -> None:
    assert (await world.ask("POST", f"{V1}/partners", body)).status == status


async def test_naming_and_revoking_are_in_the_change_log(world: World) -> None:
    """Readers that keep grants learn of both."""
    async with world.state.connect() as conn:
        before = await conn.fetchval("SELECT count(*) FROM changes_pending WHERE kind = 11")
        await world.ask("POST", f"{V1}/partners", {"prefix": PUMP, "organisation": OTHER})
        await world.ask("DELETE", f"{V1}/partners/{PUMP}/{OTHER}")
        assert await conn.fetchval("SELECT count(*) FROM changes_pending WHERE kind = 11") == before + 2


SEEN = [
    ("reviewer", "", {"Firm 901", "Firm 902", "Firm 903"}, "a reviewer sees all"),
    ("district", "", {"Firm 901", "Firm 902"}, "a district sees its own"),
    ("district", "?division=321300", {"Firm 901", "Firm 902"}, "and no more by asking for more"),
    ("district", "?division=321311", set(), "nor its neighbour"),
    ("city", "", {"Firm 901", "Firm 902", "Firm 903"}, "a city sees all its districts"),
    ("city", "?division=321311", {"Firm 903"}, "or one of them"),
    ("town", "", set(), "a town sees who reports under it"),
    ("province", "", set(), "another province sees nothing"),
    ("scanner", "", set(), "a partner is told of no firm"),
]  # fmt: skip


@pytest.mark.parametrize(("who", "query", "names", "reason"), SEEN, ids=[s[3] for s in SEEN])
async def test_enterprises_are_seen_by_whom_they_concern(
    world: World, who: str, query: str, names: set[str], reason: str
) -> None:
    reply = await world.ask("GET", f"{V1}/enterprises{query}", who=who)
    assert {firm["name"] for firm in reply.json["enterprises"]} == names


async def test_a_regulator_finds_no_firm_of_another_district(world: World) -> None:
    everywhere = (await world.ask("GET", f"{V1}/enterprises", who="reviewer")).json["enterprises"]
    for firm in everywhere:
        status = 404 if firm["name"] == "Firm 903" else 200
        for who, expected in (("district", status), ("city", 200), ("town", 404), ("province", 404)):
            reply = await world.ask("GET", f"{V1}/enterprises/{firm['enterprise_id']}", who=who)
            assert reply.status == expected, (who, firm["name"])


async def test_a_reviewer_decides_and_the_operators_account_without_that_role_does_not(world: World) -> None:
    await sign(world, "manager", NewAccount("max", ["operator"], PASSWORD))
    dossier = {"name": "New Firm", "certificate_code": make_uscc(77)}
    made = await world.ask("POST", f"{V1}/enterprises/applications", dossier, who="manager")
    assert made.status == 201, made.body
    path = f"{V1}/enterprises/{made.json['enterprise_id']}"
    assert (await world.ask("POST", f"{path}/refuse", {"reason": "r"}, who="manager")).status == 403
    assert (await world.ask("POST", f"{path}/refuse", {"reason": "r"}, who="district")).status == 403
    assert (await world.ask("POST", f"{path}/refuse", {"reason": "r"}, who="reviewer")).status == 200


async def test_whom_the_former_owner_named_is_no_partner_of_the_next(world: World) -> None:
    prefix, firm = "88.101.77", world.firms["tofu"].enterprise_id
    named = {"prefix": prefix, "organisation": SCANNER}
    assert (await world.ask("POST", f"{V1}/partners", named, who="operator")).status == 201
    given = await world.ask("POST", f"{V1}/prefixes/{prefix}/transfer", {"enterprise_id": firm}, who="operator")
    assert given.status == 200
    (grant,) = (await world.ask("GET", f"{V1}/partners?prefix={prefix}", who="tofu")).json["partners"]
    assert grant["revoked"] is not None


async def test_under_a_stopped_prefix_only_its_owner_finds_anything(world: World) -> None:
    """As on every other interface."""
    path, many = f"{V1}/prefixes/{PUMP}/decisions", f"{V1}/identifiers/resolve"
    assert (await world.ask("POST", path, {"decision": "stopped", "reason": "M204"}, who="operator")).status == 200
    for who, status, outcome in (("tofu", 404, "not_found"), ("pump", 200, "found")):
        one = await world.ask("GET", f"{V1}/identifiers/{PUMP}/P1", who=who)
        asked = await world.ask("POST", many, {"identifiers": [f"{PUMP}/P1"]}, who=who)
        assert (one.status, asked.json["results"][0]["outcome"]) == (status, outcome), who
    assert (await world.ask("POST", path, {"decision": "resumed"}, who="operator")).status == 200
