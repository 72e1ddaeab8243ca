"""Templates by the published interface, v3 and v5: what they take, what they refuse, and that /api/v1 has the same."""

from typing import Any

import pytest

from registry.console.starters import list_starters
from tests.registry.api_world import PUMP, TOFU, World
from tests.registry.snms_world import DATA, TEMPLATE, V3, V5, Said, ask, make_value, read_texts

V1 = "/api/v1"
ITEM = TEMPLATE["items"][0]  # type: ignore[index]


@pytest.fixture(scope="module")
def world(snms_world: World) -> World:
    return snms_world


def make(version: str, *items: Any, **more: Any) -> dict[str, Any]:
    return TEMPLATE | {"version": version, "items": list(items) or [ITEM]} | more


async def get(world: World, version: str, path: str = V5, who: str = "pump") -> Said:
    return await ask(world, "GET", f"{path}?prefix={PUMP}&version={version}", who=who)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ITEM.items() if key != name}


async def test_indexes_that_are_not_sent_follow_the_highest_from_2000_on(world: World) -> None:
    bare = without("idIndex")
    items = [bare | {"idType": kind, "name": kind} for kind in ("a", "b", "c")]
    items[1]["idIndex"] = "3000"
    assert (await ask(world, "POST", V5, make("numbers", *items))).status == 1
    found = (await get(world, "numbers")).data["items"]
    assert [(item["idType"], item["idIndex"]) for item in found] == [("b", 3000), ("a", 3001), ("c", 3002)]
    assert (await ask(world, "POST", V3, make("numbers-3", *items))).status == 1  # v3 numbers by order alone
    found = (await get(world, "numbers-3")).data["items"]
    assert [(item["idType"], item["idIndex"]) for item in found] == [("a", 2000), ("b", 2001), ("c", 2002)]


async def test_a_new_item_is_enabled_whatever_state_is_sent_with_it(world: World) -> None:
    """POST knows no `state` (§d.5): an unknown member, whatever stands in it."""
    assert (await ask(world, "POST", V5, make("states", ITEM | {"state": 0}))).status == 1
    assert (await ask(world, "POST", V3, make("states-3", ITEM | {"state": "x", "idIndex": "x"}))).status == 1
    for version in ("states", "states-3"):
        assert [item["state"] for item in (await get(world, version)).data["items"]] == [1]


async def test_what_no_identifier_uses_yet_may_be_narrowed(world: World) -> None:
    assert (await ask(world, "POST", V5, make("narrow", ITEM | {"required": False}))).status == 1
    tighter = ITEM | {"required": True, "metadata": {"minLength": 2, "maxLength": 5}}
    assert (await ask(world, "PUT", V5, make("narrow", tighter, industrySpecific="35", industryTrade="351",
                                             industrySubclass="3511"))).data is True  # fmt: skip
    (item,) = (await get(world, "narrow")).data["items"]
    assert (item["required"], item["metadata"]["minLength"], item["metadata"]["maxLength"]) == (True, 2, 5)


async def test_a_change_touches_what_is_sent_and_nothing_else(world: World) -> None:
    second = ITEM | {"idType": "flow", "name": "流量", "idIndex": 2001, "required": False}
    assert (await ask(world, "POST", V5, make("life", ITEM, second))).status == 1
    wider = second | {"name": "额定流量", "state": 0, "metadata": {"minLength": 0, "maxLength": 200}}
    assert (await ask(world, "PUT", V5, make("life", wider))).data is True
    first, changed = (await get(world, "life")).data["items"]
    assert (first["state"], first["name"], first["required"]) == (1, "型号", True)
    assert (changed["state"], changed["name"], changed["metadata"]["maxLength"]) == (0, "额定流量", 200)
    kept = {name: value for name, value in wider.items() if name not in ("state", "required")}
    assert (await ask(world, "PUT", V5, make("life", kept))).data is True
    assert (await get(world, "life")).data["items"][1]["state"] == 0  # not sent: it stays as it was
    assert (await ask(world, "PUT", V5, make("life", wider | {"state": "1"}))).data is True
    assert (await get(world, "life")).data["items"][1]["state"] == 1


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([ITEM | {"idType": "other", "name": "乙"}], "2000 other"),  # the index is another item's
        ([ITEM | {"idIndex": 2050}], "model"),  # the type is another item's
        ([without("idIndex")], "model"),  # without an index it is a new item, of a type that exists
        ([ITEM | {"metadata": {"minLength": 1, "maxLength": 5}}], "2000 model"),  # narrower: a new version does that
        ([ITEM | {"idIndex": 1999, "idType": "new", "name": "新"}], "1999"),
    ],
    ids=str,
)
async def test_a_change_that_would_alter_what_was_registered_is_refused(world: World, items: Any, says: str) -> None:
    used = {"handle": f"{PUMP}/by-1.2", "templateVersion": "1.2", "value": [make_value(2000, "model", "A")]}
    assert (await ask(world, "POST", DATA, used)).message in ("success", "标识已存在")
    before = (await get(world, "1.2")).data
    said = await ask(world, "PUT", V5, make("1.2", *items))
    assert (said.status, says in said.message) == (-2, True), said.message
    assert (await get(world, "1.2")).data == before


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"items": [ITEM, ITEM | {"idIndex": 2001, "name": "乙"}]}, "“model”重复"),
        ({"items": [ITEM, ITEM | {"idIndex": 2001, "idType": "MODEL", "name": "乙"}]}, "“MODEL”重复"),
        ({"items": [ITEM, ITEM | {"idType": "b", "name": "乙"}]}, "“2000”重复"),
        ({"items": [ITEM, ITEM | {"idIndex": 2001, "idType": "b"}]}, "“型号”重复"),
        ({"items": [ITEM | {"idIndex": 1000}]}, "1000"),
        ({"items": [ITEM | {"idIndex": 1001}]}, "1001"),
        ({"items": [ITEM | {"idIndex": 1999}]}, "1999"),
        ({"items": [ITEM | {"idIndex": 5}]}, "5"),
        ({"items": [ITEM | {"idType": "型号"}]}, "items[0].idType"),
        ({"items": [ITEM | {"idType": "HS_ADMIN"}]}, "items[0].idType"),
        ({"items": [ITEM | {"metadata": {"minLength": 9, "maxLength": 3}}]}, "items[0].metadata.maxLength"),
        ({"items": [ITEM | {"metadata": {"type": "int", "minLength": 1, "maxLength": 3}}]}, "metadata.type"),
        ({"industrySubclass": "9999"}, "9999"),
        ({"industryTrade": "345"}, "3441"),  # exists, but has no such class
        ({"type": 3}, "type"),
    ],
    ids=str,
)
async def test_a_template_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(
    world: World, more: dict[str, Any], says: str
) -> None:
    said = await ask(world, "POST", V5, make("wrong", **more))
    assert (said.status, says in said.message) == (-2, True), said.message
    assert (await get(world, "wrong")).status == -2


async def test_a_repeated_call_tells_that_the_first_one_landed(world: World) -> None:
    assert (await ask(world, "POST", V5, make("again"))).status == 1
    for body in (make("again"), make("again", description="another")):
        said = await ask(world, "POST", V5, body)
        assert (said.status, said.message) == (-2, "模板版本 again 已存在")


async def test_a_template_is_deleted_unless_it_is_used(world: World) -> None:
    assert (await ask(world, "POST", V3, make("used"))).status == 1
    item = {"handle": f"{PUMP}/by-used", "templateVersion": "used", "value": [make_value(2000, "model", "A")]}
    assert (await ask(world, "POST", DATA, item)).status == 1
    for path in (V3, V5):
        assert (await ask(world, "DELETE", path, {"prefix": PUMP, "version": "used"})).status == -2
    assert (await ask(world, "DELETE", DATA, {"handle": f"{PUMP}/by-used"})).status == 1
    assert (await ask(world, "DELETE", V3, {"prefix": PUMP, "version": "used"})).data is True
    assert (await get(world, "used")).status == -2
    assert (await ask(world, "DELETE", f"{V3}?prefix={PUMP}&version=used", b"")).status == -2  # read from the query


async def test_what_one_interface_wrote_the_other_reads(world: World) -> None:
    native = await world.ask("GET", f"{V1}/prefixes/{PUMP}/templates/1.2")
    assert [(i["index"], i["type"], i["required"], i["max_length"]) for i in native.json["items"]] == [
        (2000, "model", True, 40), (2001, "batch", False, 10),
    ]  # fmt: skip
    assert native.json["industry"] == ["C", "34", "344", "3441"]
    seen = (await get(world, "pump-1")).data  # of the world, by /api/v1's own decisions
    assert [(item["idIndex"], item["idType"], item["metadata"]["type"]) for item in seen["items"]] == [
        (2000, "model", "string"), (2001, "flow", "string"), (2002, "line", "string"), (2003, "price", "string"),
    ]  # fmt: skip
    assert (seen["type"], seen["industryCategory"], seen["handle"]) == (2, "", f"{PUMP}/META_pump-1")


async def test_the_versions_of_others_are_not_ones_own(world: World) -> None:
    said = await ask(world, "GET", f"{V5}?prefix={TOFU}&version=pump-1")
    assert (said.status, TOFU in said.message) == (-3, True)
    for method in ("POST", "PUT", "DELETE"):
        assert (await ask(world, method, V5, make("theirs", prefix=TOFU))).status == -3
    assert (await ask(world, "GET", f"{V5}?prefix=88.101.999&version=1")).status == -2
    assert (await ask(world, "POST", V5, make("by-us", prefix=TOFU), who="operator")).status == 1


async def test_clients_that_know_one_version_alone_find_it_among_the_starters(world: World) -> None:
    starter = list_starters()["OneCodeDefault"]
    assert (await world.ask("POST", f"{V1}/prefixes/{PUMP}/templates", starter)).status == 201
    shown = (await get(world, "OneCodeDefault", V3)).data["items"]
    value = [make_value(2000 + n, item["idType"], f"值 {n}") for n, item in enumerate(shown)]
    item = {"handle": f"{PUMP}/one-code", "templateVersion": "OneCodeDefault", "value": value}
    assert (await ask(world, "POST", DATA, item)).data is True
    assert (await read_texts(world, "one-code")) == {one["type"]: one["data"]["value"] for one in value}


async def test_the_older_path_is_the_same_call(world: World) -> None:
    old = "/snms/api/template/v1"
    assert (await ask(world, "POST", old, make("old"))).status == 1
    assert (await get(world, "old", old)).data == (await get(world, "old", V3)).data
    assert (await ask(world, "DELETE", old, {"prefix": PUMP, "version": "old"})).status == 1
