"""The published interface on lists by page, and on prefixes: where their identifiers are kept."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from schemas.handle_values import TCP, UDP, decode_site, format_address
from tests.registry.api_world import PUMP, World
from tests.registry.snms_applications import V3, apply, find_id, make_application, sign_in
from tests.registry.snms_world import DATA, TEMPLATE, V5, ask, make_item, make_value


@pytest_asyncio.fixture(scope="module")
async def world(snms_world: World) -> AsyncIterator[World]:
    yield snms_world
    here = {"proxyServerId": 1, "entPrefixConfig": {"entPrefix": PUMP}}
    assert (await ask(snms_world, "POST", "/snms/api/ent/config", here)).status == 1


async def test_the_operators_own_firm_registers_under_the_two_segments_of_the_node(world: World) -> None:
    """As clients do that send `88.529/…`, their types with a capital and their numbers as texts (§d.9)."""
    application = await make_application(world)
    application["entBasicInfo"]["entPrefix"] = "88.102"
    assert (await apply(world, application)).status == 1
    number = await find_id(world, application)
    assert (await world.ask("POST", f"/api/v1/enterprises/{number}/approve", {}, who="reviewer")).status == 200
    who = await sign_in(world, application)
    item = {"name": "型号", "idType": "model", "idIndex": "3000", "metadata": {"type": "String", "minLength": "1",
            "maxLength": "40"}}  # fmt: skip
    template = {name: TEMPLATE[name] for name in TEMPLATE if name != "items"} | {"prefix": "88.102", "items": [item]}
    assert (await ask(world, "POST", V5, template, who=who)).status == 1
    made = make_item("A/1", prefix="88.102") | {"value": [make_value("3000", "model", "QX-40")]}
    for path, sent in ((DATA, made), (f"{DATA}/batchCreate", [made | {"handle": "88.102/B"}])):
        assert (await ask(world, "POST", path, sent, who=who)).status == 1
    found = (await ask(world, "GET", f"{DATA}/detail?handle=88.102/a%2F1", who=who)).data
    assert (found["prefix"], found["value"][2]["index"]) == ("88.102", 3000)
    shown = (await ask(world, "GET", "/snms/api/prefix/query?prefix=88.102", who=who)).data
    assert (shown["prefix"], shown["ghrName"], shown["status"]) == ("88.102", "88.102", 1)
    (row,) = (await ask(world, "GET", "/snms/api/prefix/page", who=who)).data["content"]
    assert (row["entPrefix"], row["state"], row["proxyState"]) == ("88.102", 1, 4)
    assert (await ask(world, "POST", DATA, made)).status == -3, "a firm of the node has no part in it"


# N4, N7: lists -------------------------------------------------------------------------------------------------------


async def test_pages_are_springs(world: World) -> None:
    for _ in range(3):
        assert (await apply(world, await make_application(world))).status == 1
    path = f"{V3}/page?pageSize=2&currentPage="
    total = (await ask(world, "GET", f"{path}1", who="operator")).data["totalElements"]
    pages = -(-total // 2)
    seen: list[int] = []
    for number in range(1, pages + 2):
        page = (await ask(world, "GET", f"{path}{number}", who="operator")).data
        rows = page["content"]
        assert (page["first"], page["last"]) == (number == 1, number >= pages)
        assert (page["number"], page["size"], page["totalPages"]) == (number - 1, 2, pages)
        assert (page["numberOfElements"], page["totalElements"]) == (len(rows), total)
        seen += [row["id"] for row in rows]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == total
    assert (await ask(world, "GET", f"{path}0", who="operator")).data["number"] == 0
    assert (await ask(world, "GET", f"{V3}/page", {"pageSize": "1"}, who="operator")).data["size"] == 1, (
        "a GET with a body"
    )
    assert (await ask(world, "GET", f"{V3}/page?pageSize=100000", who="operator")).data["size"] == 500


TIMES = [
    ("startDate=2000-01-01", True), ("startDate=2000-01-01%2000:00:00", True), ("startDate=2999-01-01", False),
    ("endDate=2000-01-01", False), ("endDate=2999-01-01%2023:59:59", True), ("startDate=&endDate=", True),
    ("startDate=9999-12-31&endDate=9999-12-30", False), ("startDate=0001-01-01&endDate=9999-12-31", True),
    ("startDate=0001-01-01%2000:00:00&endDate=9999-12-31%2023:59:59", True),
]  # fmt: skip


@pytest.mark.parametrize(("query", "found"), TIMES)
@pytest.mark.parametrize("path", [f"{V3}/page", "/snms/api/prefix/page"])
async def test_lists_are_narrowed_by_time(world: World, path: str, query: str, found: bool) -> None:
    said = await ask(world, "GET", f"{path}?{query}", who="operator")
    assert (said.status, said.data["totalElements"] > 0) == (1, found)


BAD_QUERIES = [
    ("currentPage=x", "currentPage"), ("currentPage=-1", "currentPage"), ("pageSize=1.5", "pageSize"),
    ("pageSize=99999999999999999999", "pageSize"), ("startDate=yesterday", "startDate"),
    ("endDate=2024-02-30", "endDate"), ("currentPage=1000000001", "currentPage"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "name"), BAD_QUERIES)
@pytest.mark.parametrize("path", [f"{V3}/page", "/snms/api/prefix/page"])
async def test_a_query_that_is_wrong_is_refused_by_its_name(world: World, path: str, query: str, name: str) -> None:
    said = await ask(world, "GET", f"{path}?{query}", who="operator")
    assert (said.status, name in said.message) == (-2, True), said.message


@pytest.mark.parametrize("value", ["", "%00", "%ff", "x" * 300, "%ED%A0%80", "%27%3B--"])
@pytest.mark.parametrize(
    "path",
    [f"{V3}/page?orgName=", f"{V3}/detail?id=", "/snms/api/prefix/query?prefix=", "/snms/api/prefix/page?entName="],
)
async def test_whatever_stands_in_a_query_is_answered(world: World, path: str, value: str) -> None:
    assert (await ask(world, "GET", path + value, who="operator")).status in (1, -2)


# N8, N9: hosting -----------------------------------------------------------------------------------------------------

SITE = {"entPrefix": PUMP, "hdlType": "HS_SITE", "ip": "192.0.2.7", "ipType": "4", "tcpPort": "2641", "udpPort": 2641}
SITES: list[tuple[dict[str, Any], str | None, str]] = [
    ({}, None, "an own server"),
    ({"ip": "2001:db8::7", "ipType": 6}, None, "by IPv6"),
    ({"ip": "[2001:db8::7]", "ipType": "6"}, None, "in brackets, as it stands in URLs"),
    ({"tcpPort": None, "udpPort": "", "httpPort": "8081"}, None, "one port is enough"),
    ({"tcpPort": None, "udpPort": None}, "tcpPort", "no port"),
    ({"tcpPort": 0}, "tcpPort", "port 0"),
    ({"tcpPort": "65536"}, "tcpPort", "a port that is none"),
    ({"tcpPort": "26 41"}, "tcpPort", "a port with a blank"),
    ({"ip": ""}, "ip", "no address"),
    ({"ip": "pump.example"}, "ip", "a name"),
    ({"ip": "192.0.2.7", "ipType": "6"}, "ipType", "not of that family"),
    ({"ipType": "5"}, "ipType", "no family"),
    ({"ipType": None}, "ipType", "which family?"),
    ({"hdlType": "HS_SERV"}, "hdlType", "another kind of record"),
    ({"hdlType": None}, "hdlType", "no kind"),
    ({"entPrefix": None}, "entPrefix", "no prefix"),
    ({"entPrefix": "88.101.4711"}, "entPrefix", "a prefix nobody has"),
    ({"entPrefix": "x" * 65}, "entPrefix", "too long"),
]


@pytest.mark.parametrize(("change", "named", "reason"), SITES, ids=[s[2] for s in SITES])
async def test_a_firm_names_its_own_server(
    world: World, change: dict[str, Any], named: str | None, reason: str
) -> None:
    said = await ask(world, "POST", "/snms/api/ent/config", {"entPrefixConfig": SITE | change})
    if named is not None:
        assert (said.status, named in said.message) == (-2, True), (reason, said.message)
        return
    assert (said.status, said.data) == (1, True), (reason, said.message)
    async with world.state.connect() as conn:
        row = await conn.fetchrow("SELECT hosting, site FROM prefixes WHERE prefix = $1", PUMP)
    server = decode_site(row["site"]).servers[0]
    wanted = SITE | change
    assert (row["hosting"], format_address(server.address)) == (1, wanted["ip"].strip("[]"))
    ports = {interface.protocol: interface.port for interface in server.interfaces}
    assert ports.get(TCP) == (int(wanted["tcpPort"]) if wanted["tcpPort"] else None)
    assert ports.get(UDP) == (int(wanted["udpPort"]) if wanted["udpPort"] else None)
    shown = (await world.ask("GET", f"/api/v1/prefixes/{PUMP}")).json
    assert shown["hosting"] == "not_hosted", "what one interface wrote the other reads"


async def test_every_member_of_a_configuration_is_refused_by_its_name(world: World) -> None:
    for name, limit in (("entPrefix", 64), ("hdlType", 255), ("ip", 255), ("ipType", 1), ("tcpPort", 11),
                        ("udpPort", 11), ("httpPort", 11)):  # fmt: skip
        for value in ({"a": 1}, True, 1.5, [1, 2], "a\0b", "9" * (limit + 1)):
            said = await ask(world, "POST", "/snms/api/ent/config", {"entPrefixConfig": SITE | {name: value}})
            assert (said.status, name in said.message) == (-2, True), (name, value, said.message)


async def test_the_node_keeps_identifiers_itself_on_its_own_server(world: World) -> None:
    for server, status in ((7, -2), (-1, -2), (True, -2), ("x", -2), ("1", 1), (1, 1)):
        config = {"proxyServerId": server, "entPrefixConfig": {"entPrefix": PUMP}}
        said = await ask(world, "POST", "/snms/api/ent/config", config)
        assert (said.status, status == 1 or "proxyServerId" in said.message) == (status, True)
    rows = (await ask(world, "GET", "/snms/api/prefix/page")).data["content"]
    assert (rows[0]["proxyState"], rows[0]["state"]) == (4, 1)


@pytest.mark.parametrize(
    "body", [{}, {"entPrefixConfig": None}, {"entPrefixConfig": 5}, {"entPrefixConfig": [1, 2]}, []]
)
async def test_a_configuration_that_is_none_is_refused(world: World, body: Any) -> None:
    assert (await ask(world, "POST", "/snms/api/ent/config", body)).status == -2
