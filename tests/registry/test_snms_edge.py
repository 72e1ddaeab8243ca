"""The envelope, the token and the habits of clients in the field, whatever the call is."""

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import asyncpg
import orjson
import pytest

from registry.snms import texts
from registry.snms.calls import SnmsCall, parse_body, read_query
from registry.snms.edge import Route, SnmsEdge, answer_error, merge_routes, normalise_path, read_token
from registry.snms.fields import Fields, Refusal
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, ServiceError, Unauthenticated, Unavailable
from tests.registry.api_world import World
from tests.registry.snms_world import ask


@pytest.fixture(scope="module")
def world(snms_world: World) -> World:
    return snms_world


@pytest.mark.parametrize(
    ("path", "as_it_is"),
    [
        ("/identityv2/data/", "/identityv2/data"),
        ("//identityv2///data", "/identityv2/data"),
        ("/identityv2/data", "/identityv2/data"),
        ("/", ""),
        ("", ""),
    ],
)
def test_slashes_too_many_do_no_harm(path: str, as_it_is: str) -> None:
    assert normalise_path(path) == as_it_is


@pytest.mark.parametrize("header", ["Bearer t.k", "bearer t.k", "BEARER   t.k ", "t.k", " t.k"])
def test_a_token_is_found_however_it_is_sent(header: str) -> None:
    assert read_token(header) == "t.k"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "a b c"])
def test_what_is_no_token_is_not_signed_in(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        read_token(header)


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a": 1}', "", {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "text/plain;charset=gbk", {"a": 1}),
        (b'{"a": 1}', "application/x-www-form-urlencoded", {"a": 1}),
        (b"username=a%20b&x=%E4%B8%AD", "application/x-www-form-urlencoded", {"username": "a b", "x": "中"}),
        (b"", "application/json", None),
        (b" \r\n", "application/json", None),
        (b'[{"a": "\\u0022"}, {"a": "\\""}]', "", [{"a": '"'}, {"a": '"'}]),
    ],
)  # fmt: skip
def test_a_body_is_read_whatever_its_content_type_says(body: bytes, content_type: str, value: object) -> None:
    assert parse_body(body, content_type) == value


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "JSON"),
        (b"{'a': 1}", "JSON"),
        (b'{"a": NaN}', "JSON"),
        (b'{"a": "\\ud800"}', "JSON"),
        ('{"a": "中"}'.encode("gbk"), "JSON"),
        ("a=中".encode(), "JSON"),
        (b'{"a": 1, "a": 2}', "a 重复出现"),
        (b'[{"x": [{"handle": "1", "value": [], "handle": "2"}]}]', "handle 重复出现"),
        (b"[" * 300 + b"]" * 300, "嵌套"),
        (b"[" * 5_000 + b"]" * 5_000, "嵌套"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "嵌套"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_body_that_cannot_be_read_is_refused_with_the_reason(body: bytes, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        parse_body(body, "application/json")


def test_parameters_are_the_first_of_their_name_and_any_bytes() -> None:
    assert read_query(b"handle=88.101.5%2Fa%20b&handle=x&empty=") == {"handle": "88.101.5/a b", "empty": ""}
    assert read_query(b"handle=%ff") == {"handle": "\udcff"}


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Unauthenticated("key_wrong"), -1, texts.SIGN_IN_FIRST),
        (Forbidden("operator_only"), -3, texts.NO_PERMISSION),
        (Conflict("identifier_taken", identifier="x"), -2, "标识已存在"),
        (NotFound("identifier_not_found", identifier="x"), -2, "没有找到标识"),
        (Unavailable("database_unavailable"), -4, "系统繁忙"),
        (ConnectionRefusedError(), -4, "系统繁忙"),
        (asyncpg.PostgresSyntaxError(), -4, "系统繁忙"),
        (ZeroDivisionError(), -4, "系统繁忙"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_every_error_has_a_place_in_the_envelope(error: Exception, status: int, message: str) -> None:
    answer = answer_error(error)
    assert answer.status_code == 200
    assert orjson.loads(answer.body) == {"message": message, "status": status, "data": None}


def test_an_error_without_a_published_text_says_ours_in_chinese() -> None:
    error: ServiceError = Forbidden("prefix_not_enabled", prefix="88.101.5")
    said = orjson.loads(answer_error(error).body)
    assert said["status"] == -2  # a state of the prefix, not a right of the caller
    assert "88.101.5" in said["message"]
    assert any("\u4e00" <= character <= "\u9fff" for character in said["message"])


FIELDS = {"text": "a", "int": 7, "digits": "7", "null": None, "empty": "", "yes": "TRUE", "one": [{"a": 1}],
          "nul": "\0", "half": 1.5, "list": [1], "surrogate": "\ud800", "object": {"deep": "x" * 9}}  # fmt: skip


def test_a_message_and_what_to_do_are_two_sentences() -> None:
    said = texts.say(InvalidInput("template_malformed", field="items[0].idIndex", expected="2000–2147483647"))
    assert "2000–2147483647。请" in said
    assert "。。" not in said + texts.say(InvalidInput("suffix_blank_at_ends"))


def test_numbers_may_be_texts_and_one_object_may_be_a_list() -> None:
    fields = Fields(FIELDS)
    assert fields.get_text("text", 1) == "a"
    assert fields.get_text("int", 5) == "7"
    assert fields.get_number("digits", 0, 9) == fields.get_number("int", 0, 9) == 7
    assert fields.get_text("missing", 5, "text") == "a"
    assert fields.find_flag("yes") is True
    assert fields.get_object("one").get_number("a", 0, 1) == 1
    assert [fields.find_text("null", 1), fields.find_number("empty", 0, 1), fields.find_flag("none")] == [None] * 3


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda f: f.get_text("null", 1), "缺少必要的请求参数: null"),
        (lambda f: f.get_number("empty", 0, 1), "缺少必要的请求参数: empty"),
        (lambda f: f.get_text("list", 1), "list 类型错误"),
        (lambda f: f.get_text("half", 5), "half 类型错误"),
        (lambda f: f.get_text("yes", 3), "yes 长度超过上限 3"),
        (lambda f: f.get_text("nul", 3), "nul 含有"),
        (lambda f: f.get_text("surrogate", 3), "surrogate 含有"),
        (lambda f: f.get_number("text", 0, 1), "text 类型错误"),
        (lambda f: f.get_number("int", 8, 9), "int 应在 8 到 9"),
        (lambda f: f.get_choice("int", {1: ""}), "int 取值错误"),
        (lambda f: f.find_flag("list"), "list 类型错误"),
        (lambda f: f.get_object("text"), "text 类型错误"),
        (lambda f: f.get_objects("list", 1), "list\\[0\\] 类型错误"),
        (lambda f: f.get_objects("object", 1), "object 类型错误"),
        (lambda f: f.get_object("object").get_text("deep", 8), "object.deep 长度超过上限 8"),
    ],
)
def test_what_is_wrong_with_a_member_is_said_by_its_name(read: Any, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        read(Fields(FIELDS))


def test_two_modules_cannot_claim_one_call() -> None:
    route = Route(answer_nothing)
    with pytest.raises(ValueError, match="twice"):
        merge_routes([{("GET", "/identity/x"): route}, {("GET", "/identity/x"): route}])


async def answer_nothing(call: SnmsCall) -> object:
    return True


async def test_a_path_that_does_not_exist_says_so_in_the_envelope(world: World) -> None:
    said = await ask(world, "GET", "/identityv2/data/nothing")
    assert (said.http_status, said.status, said.message) == (404, -2, "接口不存在: /identityv2/data/nothing")


async def test_other_paths_are_left_to_the_application(world: World) -> None:
    assert (await world.ask("GET", "/health")).json["status"]
    assert (await world.ask("GET", "/identit")).json["code"] == "route_not_found"


async def test_a_database_that_is_away_is_busy_and_a_write_under_way_unknown(world: World) -> None:
    """Nothing was done: 200 and -4, as published. The connection broke in a transaction: 504, to be repeated."""

    async def read(call: SnmsCall) -> object:
        async with call.connect() as conn:
            return await conn.fetchval("SELECT 1")

    async def cut(call: SnmsCall) -> object:
        async with call.write() as conn:
            return await conn.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")

    async def wait(call: SnmsCall) -> object:
        async with call.write() as conn:
            await conn.execute("SET LOCAL statement_timeout = 1")
            return await conn.fetchval("SELECT pg_sleep(5)")

    routes = {("GET", "/identity/read"): Route(read, "anyone"), ("GET", "/identity/cut"): Route(cut, "anyone"),
              ("GET", "/identity/wait"): Route(wait, "anyone")}  # fmt: skip
    edge = SnmsEdge(answer_nothing, world.state, routes)  # type: ignore[arg-type]
    for path, http_status, status in (("read", 200, 1), ("cut", 504, -4), ("wait", 200, -4), ("read", 200, 1)):
        assert await run(edge, f"/identity/{path}") == (http_status, status)
    async with asyncpg.create_pool(world.state.config.database_url, min_size=0) as pool:
        closed = replace(world.state, pool=pool)
        await pool.close()
        assert await run(SnmsEdge(answer_nothing, closed, routes), "/identity/read") == (200, -4)  # type: ignore[arg-type]


async def run(edge: SnmsEdge, path: str) -> tuple[int, int]:
    """HTTP status and status of the envelope of a GET without a body."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    await edge(scope, receive, send)
    return sent[0]["status"], orjson.loads(sent[1]["body"])["status"]


async def test_a_body_over_the_limit_is_refused_and_the_connection_ends(world: World) -> None:
    async def read(call: SnmsCall) -> object:
        return len(call.body) if isinstance(call.body, list) else 0

    edge = SnmsEdge(answer_nothing, world.state, {("POST", "/identity/x"): Route(read, "anyone", max_body_bytes=10)})  # type: ignore[arg-type]
    for parts, status in (([b"[1, 2, 3]"], 1), ([b"[1, 2, 3", b", 4]"], -2)):
        left = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        left.append({"type": "http.request", "body": b"", "more_body": False})
        sent: list[Any] = []

        async def receive(left: list[Any] = left) -> Any:
            return left.pop(0)

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/identity/x", "query_string": b"", "headers": []}
        await edge(scope, receive, send)
        assert orjson.loads(sent[1]["body"])["status"] == status
        assert ((b"connection", b"close") in sent[0]["headers"]) == (status == -2)


async def test_a_request_cut_off_in_its_body_harms_nobody(world: World) -> None:
    url = aiohttp.client.URL(world.base)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /identityv2/data HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await world.ask("GET", "/health")).status == 200
