"""Identifiers one by one: what is refused and in which order, what the other interface sees, what is counted."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio

from registry.prefixes import change_prefix_state, host_prefix, make_site
from schemas.resolution_log import ClientClass, Outcome, Transport
from tests.registry.api_world import PUMP, TOFU, World
from tests.registry.people import CLERK, order
from tests.registry.snms_world import (
    DATA,
    TEMPLATE,
    V5,
    VERSION,
    add_owner,
    ask,
    make_item,
    make_value,
    read_texts,
)

V1 = "/api/v1"
STOPPED, ELSEWHERE = "88.101.21", "88.101.22"


@pytest_asyncio.fixture(scope="module")
async def world(snms_world: World) -> World:
    await add_owner(snms_world, "stopped", 921, STOPPED)
    await add_owner(snms_world, "elsewhere", 922, ELSEWHERE)
    for prefix in (STOPPED, ELSEWHERE):
        item = make_item("before", prefix=prefix)
        assert (await ask(snms_world, "POST", DATA, item, who="operator")).status == 1
    async with snms_world.state.pool.acquire() as conn:
        await change_prefix_state(conn, order(CLERK, "a test"), STOPPED, "stopped")
        await host_prefix(conn, order(CLERK), ELSEWHERE, make_site("192.0.2.7", {"tcp": 2641}))
    disabled = TEMPLATE["items"][1] | {"state": 0}  # type: ignore[index]
    assert (await ask(snms_world, "POST", V5, TEMPLATE | {"version": "half"})).status == 1
    assert (await ask(snms_world, "PUT", V5, TEMPLATE | {"version": "half", "items": [disabled]})).status == 1
    assert (await ask(snms_world, "POST", DATA, make_item("taken"))).status == 1
    return snms_world


def make(suffix: str, *value: Any, prefix: str = PUMP, version: str = VERSION) -> dict[str, Any]:
    return {"handle": f"{prefix}/{suffix}", "templateVersion": version, "value": list(value)}


MODEL = make_value(2000, "model", "QX-40")

# In the published order of checks: each case is wrong in this and in all that is checked later.
REFUSED = [
    ("no version", {"handle": "x" * 256}, "缺少必要的请求参数: templateVersion"),
    ("no value", {"handle": "x" * 256, "templateVersion": "none"}, "缺少必要的请求参数: value"),
    ("value is no list", make("x" * 256) | {"value": {}}, "参数 value 类型错误"),
    ("no slash", make("x") | {"handle": PUMP}, "不是“前缀/后缀”形式的标识"),
    ("blank at the end", make("x "), "空格"),
    ("a control character", make("x\u0007"), "不允许的字符"),
    ("too long", make("x" * 256), "参数 handle 长度超过上限 255"),
    ("unknown prefix", make("x", prefix="88.101.777"), "88.101.777"),
    ("stopped prefix", make("x", prefix=STOPPED, version="none"), "未启用"),
    ("prefix hosted elsewhere", make("x", prefix=ELSEWHERE, version="none"), "自建节点"),
    ("foreign prefix", make("x", prefix=TOFU, version="none"), "没有权限：前缀 88.101.10"),
    ("unknown template", make("x", make_value(1000, "x", "")), "请求参数: templateVersion"),
    ("unknown template", make("x", make_value(1000, "x", ""), version="none"), "none"),
    ("reserved index", make("x", make_value(1000, "x", "y")), "非法操作，索引1000在模板中不存在"),
    ("reserved index", make("x", make_value(1001, "x", "y")), "非法操作，索引1001在模板中不存在"),
    ("reserved index", make("x", make_value(1999, "x", "y")), "非法操作，索引1999在模板中不存在"),
    ("unknown index", make("x", make_value(2077, "x", "y")), "非法操作，索引2077在模板中不存在"),
    ("reserved index", make("x", make_value(2000, "x", "y" * 9_999), make_value(1000, "x", "y")), "索引1000在模板"),
    ("wrong type", make("x", make_value(2000, "x", "y" * 9_999)), "索引2000的类型应为model"),
    ("disabled item", make("x", make_value(2001, "batch", "y" * 99), version="half"), "索引2001对应的属性已停用"),
    ("an index twice", make("x", MODEL, MODEL), "索引2000重复"),
    ("required missing", make("x", make_value(2001, "batch", "y" * 99)), "缺少必填项“型号”"),
    ("required empty", make("x", make_value(2000, "model", "")), "缺少必填项“型号”"),
    ("required of blanks", make("taken", make_value(2000, "model", " \u3000" * 50)), "缺少必填项“型号”"),
    ("too long", make("taken", make_value(2000, "model", "y" * 41)), "“型号”有 41 个字符，最多 40 个"),
    ("far too long", make("taken", make_value(2000, "model", "y" * 9_999)), "“型号”有 9999 个字符，最多 40 个"),
    ("duplicate", make("taken", MODEL), "标识已存在"),
    ("duplicate by the case rule", make("TAKEN", MODEL), "标识已存在"),
]


@pytest.mark.parametrize(("why", "item", "says"), REFUSED, ids=[case[0] for case in REFUSED])
async def test_what_is_wrong_is_said_in_the_published_order(world: World, why: str, item: Any, says: str) -> None:
    if why == "unknown template" and "请求" in says:
        item = item | {"templateVersion": ""}
    who = {STOPPED: "stopped", ELSEWHERE: "elsewhere"}.get(item["handle"].partition("/")[0], "pump")
    said = await ask(world, "POST", DATA, item, who=who)
    assert (said.status, said.data) == (-3 if why == "foreign prefix" else -2, None)
    assert says in said.message
    batch = await ask(world, "POST", f"{DATA}/batchCreate", [item], who=who)
    assert batch.status == 1
    assert batch.data == [{"handle": item["handle"], "msg": said.message}]  # the same word for word


@pytest.mark.parametrize("mode", ["", "?mode=merge"])
@pytest.mark.parametrize("suffix", ["never", "retired-long"])
async def test_of_what_is_not_there_the_values_are_checked_first(world: World, suffix: str, mode: str) -> None:
    if suffix != "never":
        await ask(world, "POST", DATA, make(suffix, MODEL))
        await ask(world, "DELETE", DATA, {"handle": f"{PUMP}/{suffix}"})
    for item, says in (
        (make(suffix, make_value(2000, "model", "y" * 41)), "“型号”有 41 个字符，最多 40 个。请缩短内容。"),
        (make(suffix, MODEL), "没有找到标识"),
    ):
        assert (await ask(world, "PUT", f"{DATA}{mode}", item)).message == says
        batch = await ask(world, "PUT", f"{DATA}/batchUpdate{mode}", [item])
        assert batch.data == [{"handle": item["handle"], "msg": says}]


async def test_an_operator_registers_under_any_prefix_of_the_node(world: World) -> None:
    item = make("by-operator", make_value(2000, "model", "A"), prefix=TOFU, version="pump-1")
    assert (await ask(world, "POST", DATA, item, who="operator")).data is True
    seen = await world.ask("GET", f"{V1}/identifiers/{TOFU}/by-operator", who="tofu")
    assert [value["data"] for value in seen.json["values"]] == ["A"]


async def test_an_update_replaces_and_a_merge_keeps(world: World) -> None:
    await ask(world, "POST", DATA, make_item("values", "A", "B1"))
    assert (await ask(world, "PUT", DATA, make_item("values", "B"))).data is True
    assert await read_texts(world, "values") == {"model": "B"}
    only_batch = make("values", make_value(2001, "batch", "B2"))
    assert (await ask(world, "PUT", DATA, only_batch)).message.startswith("缺少必填项“型号”")
    assert (await ask(world, "PUT", f"{DATA}?mode=merge", only_batch)).data is True
    assert await read_texts(world, "values") == {"model": "B", "batch": "B2"}
    assert (await ask(world, "PUT", f"{DATA}?mode=replace", only_batch)).status == -2
    assert (await ask(world, "PUT", DATA, make_item("values", "B", "B2"))).data is True  # it says so already


@pytest.mark.parametrize(("method", "body"), [("PUT", make_item("nothing")), ("DELETE", {"handle": f"{PUMP}/nothing"})])
async def test_what_is_not_there_is_neither_changed_nor_deleted(world: World, method: str, body: Any) -> None:
    said = await ask(world, method, DATA, body)
    assert (said.status, said.message) == (-2, "没有找到标识")


async def test_what_was_deleted_is_gone_and_never_issued_again(world: World) -> None:
    await ask(world, "POST", DATA, make_item("gone"))
    assert (await ask(world, "DELETE", f"{DATA}?handle={PUMP}/gone")).data is True  # from the query, too
    for method, path, body in (
        ("GET", f"{DATA}/detail?handle={PUMP}/gone", None), ("PUT", DATA, make_item("gone")),
        ("DELETE", DATA, {"handle": f"{PUMP}/gone"}),
    ):  # fmt: skip
        assert (await ask(world, method, path, body)).message == "没有找到标识"
    assert (await ask(world, "POST", DATA, make_item("gone"))).message == "标识已存在"
    native = await world.ask("GET", f"{V1}/identifiers/{PUMP}/gone")
    assert (native.status, native.json["code"]) == (410, "identifier_retired")


async def test_a_frozen_identifier_says_so_to_who_would_change_it(world: World) -> None:
    await ask(world, "POST", DATA, make_item("frozen"))
    await world.ask("POST", f"{V1}/identifiers/{PUMP}/frozen/freeze", {"notice": "召回"})
    said = await ask(world, "PUT", DATA, make_item("frozen", "other"))
    assert (said.status, "召回" in said.message) == (-2, True)
    seen = await ask(world, "GET", f"{DATA}/detail?handle={PUMP}/frozen")
    assert [(v["index"], v["type"]) for v in seen.data["value"]] == [
        (1000, "TEMPLATE_ID"), (1001, "TEMPLATE"), (1999, "NOTICE"), (2000, "model"),
    ]  # fmt: skip


async def test_what_one_interface_wrote_the_other_reads_with_its_history(world: World) -> None:
    await ask(world, "POST", DATA, make_item("both", "A"))
    await ask(world, "PUT", DATA, make_item("both", "B", "7"))
    history = (await world.ask("GET", f"{V1}/identifiers/{PUMP}/both/history")).json["revisions"]
    assert [[v["data"] for v in revision["values"]] for revision in history] == [["B", "7"], ["A"]]
    await world.ask("PATCH", f"{V1}/identifiers/{PUMP}/both", {"values": {"batch": None}})
    assert await read_texts(world, "both") == {"model": "B"}
    native = {"identifier": f"{PUMP}/native", "template": VERSION, "values": {"model": "N"}}
    assert (await world.ask("POST", f"{V1}/identifiers", native)).status == 201
    assert (await ask(world, "POST", DATA, make_item("native"))).message == "标识已存在"
    assert await read_texts(world, "native") == {"model": "N"}
    serials = {"prefix": PUMP, "template": VERSION, "first": "SN0001", "last": "SN9999", "values": {"model": "R"}}
    assert (await world.ask("POST", f"{V1}/ranges", serials)).status == 201
    assert await read_texts(world, "SN0042") == {"model": "R"}  # a member of a range is issued
    assert (await ask(world, "POST", DATA, make_item("SN0042"))).message == "标识已存在"
    assert (await ask(world, "PUT", DATA, make_item("SN0042", "own"))).data is True
    assert (await read_texts(world, "SN0042"), await read_texts(world, "SN0043")) == ({"model": "own"}, {"model": "R"})


@pytest.mark.parametrize(
    "suffix", ["a/b/c", "with blank", "中文编码", "100%", "a+b", "a?b#c&d=e", "%2F", "..", "\U0001f6e2"]
)
async def test_any_suffix_is_written_and_read_as_it_is(world: World, suffix: str) -> None:
    item = make_item(suffix, "A")
    assert (await ask(world, "POST", DATA, item)).data is True
    seen = await ask(world, "GET", f"{DATA}/detail?handle={quote(item['handle'], safe='')}")
    assert (seen.data["handle"], seen.data["prefix"]) == (item["handle"], PUMP)
    assert (await ask(world, "DELETE", DATA, {"handle": item["handle"]})).data is True


async def test_detail_answers_in_the_clients_spelling_and_from_wherever_it_says_the_handle(world: World) -> None:
    for path, body in (
        (f"{DATA}/detail?handle={PUMP}/TaKeN", None), (f"{DATA}/detail?handle={PUMP}/TaKeN", b"no JSON"),
        (f"{DATA}/detail?handle={PUMP}/TaKeN", []), (f"{DATA}//detail/?handle={PUMP}/TaKeN", None),
        (f"/api/identityv2/query/data?handle={PUMP}/TaKeN", None), (f"{DATA}/detail", {"handle": f"{PUMP}/TaKeN"}),
    ):  # fmt: skip
        said = await ask(world, "GET", path, body, headers={"Content-Type": "text/plain"})
        assert (said.data["code"], said.data["handle"], said.data["prefix"]) == ("200", f"{PUMP}/TaKeN", PUMP)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "缺少必要的请求参数: handle"),
        ("?handle=", "缺少必要的请求参数: handle"),
        ("?handle=%20", "缺少必要的请求参数: handle"),
        (f"?handle={PUMP}/{'x' * 256}", "参数 handle 长度超过上限 255"),
        (f"?handle={PUMP}/%00", "参数 handle 含有不允许的字符"),
        (f"?handle={PUMP}/%FF", "参数 handle 含有不允许的字符"),
        (f"?handle={PUMP}/nothing", "没有找到标识"),
        (f"?handle={PUMP}", "没有找到标识"),
        ("?handle=nothing", "没有找到标识"),
        (f"?handle={ELSEWHERE}/before", "没有找到标识"),  # served by the enterprise's own node
        (f"?handle={STOPPED}/before", None),
    ],
)
async def test_what_cannot_be_looked_up_is_said(world: World, query: str, message: str | None) -> None:
    said = await ask(world, "GET", f"{DATA}/detail{query}")
    assert (said.status, said.data) == (-2, None)
    assert said.message == message or (message is None and "未启用" in said.message)


async def test_private_and_partner_fields_are_the_owners_alone(world: World) -> None:
    """`pump-1` has a private and a partner item."""
    values = (make_value(2000, "model", "A"), make_value(2002, "line", "L1"), make_value(2003, "price", "9"))
    assert (await ask(world, "POST", DATA, make("hidden", *values, version="pump-1"))).data is True
    seen = {}
    for who in ("pump", "operator", "tofu"):
        seen[who] = set(await read_texts(world, "hidden", who))
    assert seen == {"pump": {"model", "line", "price"}, "operator": {"model", "line", "price"}, "tofu": {"model"}}


async def test_every_look_is_counted_once_by_who_asked_and_what_came_of_it(world: World) -> None:
    await ask(world, "POST", DATA, make_item("counted"))
    await ask(world, "POST", DATA, make_item("counted-gone"))
    await ask(world, "DELETE", DATA, {"handle": f"{PUMP}/counted-gone"})
    before = len(world.read_log())
    asked = [("pump", "counted"), ("tofu", "counted"), ("operator", "counted"), ("tofu", "counted-no"),
             ("tofu", "counted-gone")] * 12  # fmt: skip
    await asyncio.gather(*(ask(world, "GET", f"{DATA}/detail?handle={PUMP}/{s}", who=who) for who, s in asked))
    await ask(world, "GET", f"{DATA}/detail")  # asks about nothing
    await ask(world, "GET", f"{DATA}/detail?handle={PUMP}/counted", who="nobody")  # no answer about it was given
    seen = world.read_log()[before:]
    assert len(seen) == len(asked)
    kinds = {(a.identifier, a.client_class, a.outcome, a.transport) for a in seen}
    of = {name: f"{PUMP}/{name}".encode() for name in ("counted", "counted-no", "counted-gone")}
    assert kinds == {
        (of["counted"], ClientClass.SELF, Outcome.FOUND, Transport.REGISTRY),
        (of["counted"], ClientClass.PUBLIC, Outcome.FOUND, Transport.REGISTRY),
        (of["counted-no"], ClientClass.PUBLIC, Outcome.NOT_FOUND, Transport.REGISTRY),
        (of["counted-gone"], ClientClass.PUBLIC, Outcome.RETIRED, Transport.REGISTRY),
    }
    assert {a.prefix_id for a in seen} == {seen[0].prefix_id} != {0}
    assert sum(a.client_class == ClientClass.SELF for a in seen) == 12


async def test_a_sandbox_is_written_and_read_like_any_prefix_and_counted_apart(world: World) -> None:
    prefix = (await world.ask("POST", f"{V1}/sandboxes", {})).json["prefix"]
    assert (await ask(world, "POST", V5, TEMPLATE | {"prefix": prefix})).data is True
    assert (await ask(world, "POST", DATA, make_item("try", prefix=prefix))).data is True
    said = await ask(world, "POST", f"{DATA}/batchCreate", [make_item(f"try-{n}", prefix=prefix) for n in range(9)])
    assert {row["msg"] for row in said.data} == {"success"}
    assert (await ask(world, "GET", f"{DATA}/detail?handle={prefix}/try")).data["prefix"] == prefix
    assert world.read_log()[-1].client_class == ClientClass.SANDBOX
    assert (await ask(world, "POST", DATA, make_item("theirs", prefix=prefix), who="tofu")).status == -3


async def test_of_200_clients_who_create_one_identifier_one_wins(world: World) -> None:
    """Each on a connection of its own, by this interface one by one and in batches, and by /api/v1."""

    async def create(clients: World, n: int) -> str:
        if n % 4 == 1:
            new = {"identifier": f"{PUMP}/race", "template": VERSION, "values": {"model": f"M{n}"}}
            reply = await clients.ask("POST", f"{V1}/identifiers", new)
            said = "success" if reply.status == 201 else str((reply.status, reply.json["code"]))
        elif n % 4 == 0:
            batch = await ask(clients, "POST", f"{DATA}/batchCreate", [make_item("race", f"M{n}")])
            said = str(batch.data[0]["msg"]) if batch.data else batch.message
        else:
            said = (await ask(clients, "POST", DATA, make_item("race", f"M{n}"))).message
        is_busy = said in (
            "系统繁忙",
            "(503, 'database_unavailable')",
        )  # on a slow machine: nothing was done, try again
        return await create(clients, n) if is_busy else said

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        clients = replace(world, http=http)
        said = await asyncio.gather(*(create(clients, n) for n in range(200)))
    (won,) = [n for n, message in enumerate(said) if message == "success"]
    assert Counter(said) - Counter({"标识已存在": 200, "(409, 'identifier_taken')": 50}) == {"success": 1}
    assert await read_texts(world, "race") == {"model": f"M{won}"}
    history = (await world.ask("GET", f"{V1}/identifiers/{PUMP}/race/history")).json["revisions"]
    assert len(history) == 1


HABITS: list[tuple[str, dict[str, Any]]] = [
    ("numbers as texts", {"value": [{"index": "2000", "type": "model", "data": {"format": "string", "value": "A"}}]}),
    ("a whole number with a point", {"value": [MODEL | {"index": 2000.0, "data": {"format": "string", "value": "A"}}]}),
    ("the misspelt key", {"value": [{"index": 2000, "type": "model", "data": {"format": "string", "vlaue": "A"}}]}),
    ("capital format", {"value": [{"index": 2000, "type": "model", "data": {"format": "String", "value": "A"}}]}),
    ("data as a list", {"value": [{"index": 2000, "type": "model", "data": [{"format": "string", "value": "A"}]}]}),
    ("another case", {"value": [{"index": 2000, "type": "Model", "data": {"format": "string", "value": "A"}}]}),
    ("more members", {"id": 7, "value": [MODEL | {"ttl": 86400, "data": {"format": "string", "value": "A"}}]}),
    ("a whole number", {"value": [{"index": 2000, "type": "model", "data": {"format": "string", "value": 40}}]}),
    ("an empty text", {"value": [MODEL, make_value(2001, "batch", "")]}),
]


@pytest.mark.parametrize(("habit", "more"), HABITS, ids=[habit for habit, _ in HABITS])
async def test_what_clients_in_the_field_send_is_understood(world: World, habit: str, more: dict[str, Any]) -> None:
    item = make_item(f"habit {habit}") | more
    assert (await ask(world, "POST", DATA, item)).data is True
    assert set(await read_texts(world, f"habit {habit}")) == {"model"}
