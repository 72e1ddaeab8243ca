"""Signing in by the published interface: plain, hashed, with an access key; how long a token lasts and where."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from registry.accounts import NewAccount, add_account
from registry.keys import KeyTerms, add_key
from schemas.days import get_day
from schemas.errors import InvalidInput
from tests.registry.api_world import PUMP, TOFU, World, serve
from tests.registry.people import CLERK, RULES, order
from tests.registry.snms_world import DATA, Said, ask, make_item, open_snms_world

PASSWORD = "four pumps and a valve"
APPLICATION = f"{PUMP}/mes-1"  # an application's identity handle


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_snms_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        async with made.state.pool.acquire() as conn:
            firm = made.firms["pump"].enterprise_id
            for name, hashed in (("张三", True), ("li.si", False), (APPLICATION, True)):
                wanted = NewAccount(name, ["enterprise_user"], PASSWORD, enterprise_id=firm, may_sign_in_hashed=hashed)
                await add_account(conn, RULES.key_ring, order(CLERK), wanted)
            await add_account(conn, RULES.key_ring, order(CLERK), NewAccount("chief", ["operator"], PASSWORD))
            key = await add_key(conn, order(CLERK), firm, "MES", KeyTerms(key_ring=RULES.key_ring))
        made.keys["mes"] = ".".join(key)
        await ask(made, "POST", DATA, make_item("seen"))
        yield made


async def sign_in(world: World, name: Any, password: Any, path: str = "/identity/token") -> Said:
    return await ask(world, "POST", path, {"username": name, "password": password}, who="nobody")


async def look(world: World, token: str, as_sent: str = "Bearer {}") -> int:
    """The status of a look at an identifier by who shows this token."""
    headers = {"Authorization": as_sent.format(token)}
    return (await ask(world, "GET", f"{DATA}/detail?handle={PUMP}/seen", who="nobody", headers=headers)).status


def hash_secret(secret: str, world: World, days: int = 0) -> str:
    day = get_day(world.state.now()) + timedelta(days=days)
    return sha256(f"{sha256(secret.encode()).hexdigest()}{day:%Y-%m-%d}".encode()).hexdigest()


@asynccontextmanager
async def another_process(world: World, later: timedelta = timedelta()) -> AsyncIterator[World]:
    """A registry with the same database and key, whose clock is ahead by this much."""
    state = replace(world.state, now=lambda: world.state.now() + later)
    async with serve(state) as base:
        yield World(base, state, world.http, world.keys, world.firms)


async def test_password_and_key_pair_give_a_token_that_opens_what_they_open(world: World) -> None:
    access_key, _, secret_key = world.keys["mes"].partition(".")
    names = ("张三", "li.si", APPLICATION, "chief")
    for name, password in (*((name, PASSWORD) for name in names), (access_key, secret_key)):
        said = await sign_in(world, name, password)
        assert (said.status, said.message, list(said.data)) == (1, "success", ["token"])
        assert await look(world, said.data["token"]) == 1


async def test_the_hashed_sign_in_is_for_who_is_allowed_it_and_for_today(world: World) -> None:
    path = "/identity/token/v1"
    access_key, _, secret_key = world.keys["mes"].partition(".")
    for name, secret in (("张三", PASSWORD), (APPLICATION, PASSWORD), (access_key, secret_key)):
        said = await sign_in(world, name, hash_secret(secret, world), path)
        assert said.status == 1
        assert await look(world, said.data["token"]) == 1
        assert (await sign_in(world, name, hash_secret(secret, world, 7), path)).message == "用户名/密码错误！"
    for name in ("li.si", "chief"):  # his password-equivalent is not kept; an operator's never is
        said = await sign_in(world, name, hash_secret(PASSWORD, world), path)
        assert (said.status, said.message) == (-2, "用户名/密码错误！")


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("张三", "wrong" * 4, "用户名/密码错误！"),
        ("nobody", "wrong" * 4, "用户名/密码错误！"),  # unknown and wrong are one answer
        ("ak_00000000000000000000", "x", "用户名/密码错误！"),
        ("", "x", "缺少必要的请求参数: username"),
        (None, "x", "缺少必要的请求参数: username"),
        ("张三", None, "缺少必要的请求参数: password"),
        ("a" * 51, "x", "参数 username 长度超过上限 50"),
        ("张三", "x" * 65, "参数 password 长度超过上限 64"),
        ("a\0b", "x", "参数 username 含有不允许的字符"),
        (["张三"], "x", "参数 username 类型错误，应为字符串"),
        ("张三", {"a": 1}, "参数 password 类型错误，应为字符串"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/identity/token", "/identity/token/v1"])
async def test_who_cannot_sign_in_is_told_why(world: World, path: str, name: Any, password: Any, message: str) -> None:
    said = await sign_in(world, name, password, path)
    assert (said.status, said.message, said.data) == (-2, message, None)


async def test_a_password_in_the_address_is_not_taken(world: World) -> None:
    said = await ask(
        world, "POST", f"/identity/token?username=li.si&password={PASSWORD.replace(' ', '+')}", who="nobody"
    )
    assert (said.status, said.message) == (-2, "缺少必要的请求参数: username")


async def test_who_guesses_waits_and_is_told_so(world: World) -> None:
    """As long as he waits for a second or two, for the published answer itself."""
    said = [await sign_in(world, "guessed", f"guess number {n}") for n in range(5)]
    assert {(one.status, one.message) for one in said} == {(-2, "用户名/密码错误！")}
    told = await sign_in(world, "guessed", "guess number 5")
    assert (told.status, "秒" in told.message) == (-2, True)
    assert (await sign_in(world, "li.si", PASSWORD)).status == 1  # behind the same address


async def test_a_second_token_does_not_end_the_first_and_every_process_knows_both(world: World) -> None:
    first, second = [(await sign_in(world, "张三", PASSWORD)).data["token"] for _ in range(2)]
    assert first != second
    async with another_process(world) as other:
        assert [await look(place, token) for place in (world, other) for token in (first, second)] == [1] * 4


async def test_a_token_ends_after_24_hours(world: World) -> None:
    token = (await sign_in(world, "张三", PASSWORD)).data["token"]
    async with another_process(world, timedelta(hours=23, minutes=59)) as other:
        assert await look(other, token) == 1
    async with another_process(world, timedelta(hours=24)) as other:
        assert await look(other, token) == -1


async def test_a_token_is_taken_however_it_is_sent_and_nothing_else_is(world: World) -> None:
    token = (await sign_in(world, "张三", PASSWORD)).data["token"]
    for as_sent in ("Bearer {}", "bearer {}", "{}", "Bearer  {}"):
        assert await look(world, token, as_sent) == 1
    head, claims, signature = token.split(".")
    forged = [f"{head}.{claims}.", f"{head}.{claims}.{signature[:-2]}AA", f"e30.{claims}.{signature}", "a.b.c", "x",
              "ä.b", f"{world.keys['mes']}x", "9" * 10_000]  # fmt: skip
    for wrong in forged:
        assert await look(world, wrong) == -1
    assert (await ask(world, "GET", f"{DATA}/detail?handle={PUMP}/seen", who="nobody")).status == -1


async def test_a_key_that_is_revoked_writes_nothing_more_with_or_without_a_token(world: World) -> None:
    made = (await world.ask("POST", "/api/v1/keys", {"note": "to be revoked"})).json
    world.keys["ended"] = f"{made['access_key']}.{made['secret_key']}"
    world.keys["ended-token"] = (await sign_in(world, made["access_key"], made["secret_key"])).data["token"]
    for who in ("ended", "ended-token"):
        assert (await ask(world, "POST", DATA, make_item(f"by-{who}"), who=who)).status == 1
    await world.ask("POST", f"/api/v1/keys/{made['access_key']}/revoke")
    for who in ("ended", "ended-token"):
        assert (await ask(world, "POST", DATA, make_item(f"after-{who}"), who=who)).status == -1


@pytest.mark.parametrize(
    ("name", "role", "reason"),
    [
        (f"{TOFU}/mes-1", "enterprise_user", "the prefix of another enterprise"),
        (f"{PUMP}.9/mes-1", "enterprise_user", "a prefix nobody has"),
        (f"{PUMP}/mes-1", "operator", "an account of no enterprise"),
        (f"{PUMP}/", "enterprise_user", "no name"),
        ("/mes-1", "enterprise_user", "no prefix"),
        (f"{PUMP}/mes/1", "enterprise_user", "two slashes"),
        (f"{PUMP}\0/mes-1", "enterprise_user", "no prefix that the database could be asked for"),
        (f"{PUMP}/{'m' * 42}", "enterprise_user", "longer than anybody could sign in with"),
    ],
    ids=str,
)
async def test_an_application_is_named_under_a_prefix_of_its_own_enterprise(
    world: World, name: str, role: str, reason: str
) -> None:
    firm = world.firms["pump"].enterprise_id if role == "enterprise_user" else None
    async with world.state.connect() as conn:
        with pytest.raises(InvalidInput) as refused:
            wanted = NewAccount(name, [role], PASSWORD, enterprise_id=firm)
            await add_account(conn, RULES.key_ring, order(CLERK), wanted)
    assert refused.value.code == "user_name_malformed", reason


async def test_an_application_is_shown_by_the_name_in_its_address(world: World) -> None:
    shown = await world.ask("GET", f"/api/v1/accounts/{quote(APPLICATION, safe='')}", who="operator")
    assert (shown.status, shown.json["user_name"]) == (200, APPLICATION)


NEW_USER = {"userName": "wang.wu", "password": sha256(PASSWORD.encode()).hexdigest(), "email": "w@pump.example",
            "mobile": "13900000001", "openId": "o-1", "openUserName": "王五", "remarks": "MES"}  # fmt: skip


async def register(world: World, who: str = "operator", **more: Any) -> Said:
    return await ask(world, "POST", "/identity/registry", NEW_USER | more, who=who)


async def test_a_user_is_registered_by_the_administrator_and_can_sign_in_before_he_belongs_anywhere(
    world: World,
) -> None:
    assert (await register(world, "pump")).status == -3
    assert (await register(world, "nobody")).status == -1
    assert (await register(world)).data is True
    for path, password in (("/identity/token", PASSWORD), ("/identity/token/v1", hash_secret(PASSWORD, world))):
        said = await sign_in(world, "wang.wu", password, path)
        assert said.status == 1
        assert await look(world, said.data["token"]) == -3  # no enterprise has taken him yet
    native = {"Authorization": f"Bearer {said.data['token']}"}
    for path in ("prefixes", "enterprises", "keys", "statistics", "jobs"):
        assert (await world.ask("GET", f"/api/v1/{path}", who="nobody", headers=native)).status == 403


@pytest_asyncio.fixture(scope="module")
async def registered(world: World) -> None:
    await register(world)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "用户名已被使用"),
        ({"userName": "WANG.WU", "email": "x@pump.example", "mobile": "13900000002"}, "用户名已被使用"),
        ({"userName": "other", "mobile": "13900000002"}, "邮箱"),
        ({"userName": "other", "email": "x@pump.example"}, "手机"),
        ({"userName": None, "username": None}, "缺少必要的请求参数: username"),
        ({"userName": "a" * 51}, "username 长度"),
        ({"userName": "a b"}, "用户名"),
        ({"userName": f"{PUMP}/mes-2"}, "用户名"),  # he belongs to no enterprise yet
        ({"userName": 7.5}, "username 类型错误"),
        ({"password": PASSWORD}, "password"),
        ({"password": None}, "缺少必要的请求参数: password"),
        ({"email": ""}, "缺少必要的请求参数: email"),
        ({"mobile": None}, "缺少必要的请求参数: mobile"),
        ({"mobile": "1" * 256}, "mobile 长度"),
        ({"openId": "x" * 65}, "openId 长度"),
        ({"openUserName": ["x"]}, "openUserName 类型错误"),
    ],
    ids=str,
)
async def test_a_user_who_cannot_be_registered_is_refused(world: World, more: dict[str, Any], says: str) -> None:
    said = await register(world, **more)
    assert (said.status, says in said.message) == (-2, True), said.message
