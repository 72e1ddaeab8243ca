"""Every member of every call, missing, null, of another type, too long, in a wrong alphabet: -2 and a reason by name.

The calls of enterprises and prefixes have tables of their own in test_snms_enterprises.
"""

import copy
from typing import Any

import pytest
import pytest_asyncio

from tests.registry.api_world import World
from tests.registry.snms_world import DATA, TEMPLATE, V3, V5, VERSION, ask, make_item

MISSING = object()
NUL, SURROGATE = "a\0b", b'"\\ud800"'
USER = {"username": "x", "password": "0" * 64, "email": "x@y.example", "mobile": "13900000000"}
SIGN_IN = {"username": "x", "password": "y"}
NEW = copy.deepcopy(TEMPLATE) | {"version": "bad-input"}

# (who, method, path, a body that is right but for one member, the members: (path of the member, limit, kind, optional))
Member = tuple[str, int, str, bool]
TEXT, NUMBER, LIST, OBJECT, FLAG = "text", "number", "list", "object", "flag"
ITEM_MEMBERS: list[Member] = [
    ("handle", 255, TEXT, False), ("templateVersion", 128, TEXT, False), ("value", 200, LIST, False),
    ("value.0.index", 0, NUMBER, False), ("value.0.type", 128, TEXT, False), ("value.0.data", 0, OBJECT, False),
    ("value.0.data.format", 32, TEXT, False), ("value.0.data.value", 40, TEXT, False),
]  # fmt: skip
KEY_MEMBERS: list[Member] = [("prefix", 64, TEXT, False), ("version", 128, TEXT, False)]
TEMPLATE_MEMBERS: list[Member] = [
    *KEY_MEMBERS, ("industryCategory", 1, TEXT, False), ("industrySpecific", 2, TEXT, False),
    ("industryTrade", 3, TEXT, False), ("industrySubclass", 4, TEXT, False), ("type", 0, NUMBER, False),
    ("description", 1024, TEXT, True), ("items", 200, LIST, False), ("items.0.name", 255, TEXT, False),
    ("items.0.idType", 128, TEXT, False), ("items.0.required", 0, FLAG, True), ("items.0.metadata", 0, OBJECT, False),
    ("items.0.metadata.type", 32, TEXT, True), ("items.0.metadata.minLength", 0, NUMBER, False),
    ("items.0.metadata.maxLength", 0, NUMBER, False),
]  # fmt: skip
V5_MEMBERS: list[Member] = [("items.0.idIndex", 0, NUMBER, True)]
STATE: list[Member] = [("items.0.state", 0, NUMBER, True)]  # of a change alone
CALLS: list[tuple[str, str, str, Any, list[Member]]] = [
    ("nobody", "POST", "/identity/token", SIGN_IN, [("username", 50, TEXT, False), ("password", 64, TEXT, False)]),
    ("nobody", "POST", "/identity/token/v1", SIGN_IN, [("username", 50, TEXT, False), ("password", 64, TEXT, False)]),
    ("operator", "POST", "/identity/registry", USER, [
        ("username", 50, TEXT, False), ("password", 255, TEXT, False), ("email", 255, TEXT, False),
        ("mobile", 255, TEXT, False), ("openId", 64, TEXT, True), ("openUserName", 255, TEXT, True),
        ("remarks", 500, TEXT, True)]),
    ("pump", "POST", V3, NEW, TEMPLATE_MEMBERS),
    ("pump", "DELETE", V3, {"prefix": TEMPLATE["prefix"], "version": "bad-input"}, KEY_MEMBERS),
    ("pump", "POST", V5, NEW, TEMPLATE_MEMBERS + V5_MEMBERS),
    ("pump", "PUT", V5, TEMPLATE, TEMPLATE_MEMBERS + V5_MEMBERS + STATE),
    ("pump", "DELETE", V5, {"prefix": TEMPLATE["prefix"], "version": "bad-input"}, KEY_MEMBERS),
    ("pump", "POST", DATA, make_item("bad-input"), ITEM_MEMBERS),
    ("pump", "PUT", DATA, make_item("present"), ITEM_MEMBERS),
    ("pump", "DELETE", DATA, {"handle": f"{TEMPLATE['prefix']}/present"}, [("handle", 255, TEXT, False)]),
]  # fmt: skip

# In place of a value of this kind.
WRONG: dict[str, list[Any]] = {
    TEXT: [True, 1.5, ["a"], {"a": 1}, NUL],
    NUMBER: [True, 1.5, "abc", "1.5", [1], {"a": 1}, 10**17, -1, "", "一"],
    LIST: [True, 7, "text", {"0": 1}, [7], ["text"], [None]],
    OBJECT: [True, 7, "text", ["text"], [1, 2]],
    FLAG: ["maybe", 7, [True], {"a": 1}],
}


def replace(body: Any, path: str, value: Any) -> Any:
    """A copy with another value in one place, or without it."""
    changed = copy.deepcopy(body)
    *way, last = path.split(".")
    place = changed
    for step in way:
        place = place[int(step)] if step.isdecimal() else place[step]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return changed


def list_wrong(body: Any, member: Member) -> list[Any]:
    path, limit, kind, optional = member
    values = [value for value in WRONG[kind] if not (optional and value == "")]
    if not optional:
        values += [MISSING, None]
        values += [""] * (kind == TEXT)
    if kind == TEXT and limit:
        values.append("9" * (limit + 1))
    if kind == LIST:
        values.append([{}] * (limit + 1))
    return [replace(body, path, value) for value in values if value is not MISSING or has(body, path)]


def has(body: Any, path: str) -> bool:
    place = body
    for step in path.split("."):
        try:
            place = place[int(step)] if step.isdecimal() else place[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


@pytest_asyncio.fixture(scope="module")
async def world(snms_world: World) -> World:
    assert (await ask(snms_world, "POST", DATA, make_item("present"))).status == 1
    return snms_world


CASES = [
    pytest.param(who, method, path, body, member, id=f"{method} {path} {member[0]}")
    for who, method, path, body, members in CALLS
    for member in members
]


@pytest.mark.parametrize(("who", "method", "path", "body", "member"), CASES)
async def test_a_wrong_member_is_refused_by_its_name(
    world: World, who: str, method: str, path: str, body: Any, member: Member
) -> None:
    for wrong in list_wrong(body, member):
        said = await ask(world, method, path, wrong, who=who)
        assert (said.status, said.data) == (-2, None), (wrong, said.message)
        assert said.message != "系统繁忙"
        assert any("\u4e00" <= character <= "\u9fff" for character in said.message)
    assert (await ask(world, "GET", f"{DATA}/detail?handle={TEMPLATE['prefix']}/bad-input")).status == -2


@pytest.mark.parametrize("member", [("handle", 255, TEXT, False), *ITEM_MEMBERS[1:]], ids=lambda member: member[0])
async def test_a_wrong_member_of_one_item_leaves_the_others_of_a_batch_alone(world: World, member: Member) -> None:
    wrong = list_wrong(make_item("bad-input"), member)
    for method, path in (("POST", f"{DATA}/batchCreate"), ("PUT", f"{DATA}/batchUpdate")):
        said = await ask(world, method, path, [*wrong, make_item("present")])
        assert said.status == 1
        messages = [row["msg"] for row in said.data]
        assert "success" not in messages[:-1]
        assert messages[-1] == ("success" if method == "PUT" else "标识已存在")


@pytest.mark.parametrize(("who", "method", "path", "body", "members"), CALLS, ids=lambda value: str(value)[:24])
@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"7", b'"text"', b"{", b"\xff\xfe", b'{"handle": "\\ud800"}', b'{"a": 1, "a": 2}',
     b"[" * 900 + b"]" * 900, b'{"prefix":' * 200 + b"1" + b"}" * 200, b"<xml/>", "{'a': '中'}".encode("gbk")],
    ids=lambda data: repr(data)[:16],
)  # fmt: skip
async def test_a_body_that_is_none_is_refused(
    world: World, who: str, method: str, path: str, body: Any, members: Any, data: bytes
) -> None:
    said = await ask(world, method, path, data, who=who)
    assert (said.status, said.data) == (-2, None)


@pytest.mark.parametrize("name", ["prefix", "version"])
@pytest.mark.parametrize("path", [V3, V5])
@pytest.mark.parametrize("value", [None, "", "%20", "9" * 129, "%00", "%FF", "none"])
async def test_a_template_is_asked_for_by_prefix_and_version(
    world: World, path: str, name: str, value: str | None
) -> None:
    query = {"prefix": str(TEMPLATE["prefix"]), "version": VERSION} | {name: value}
    text = "&".join(f"{key}={value}" for key, value in query.items() if value is not None)
    said = await ask(world, "GET", f"{path}?{text}")
    assert (said.status, said.data) == (-2, None)
    if not value or value == "%20":
        assert said.message == f"缺少必要的请求参数: {name}"
