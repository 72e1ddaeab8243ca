"""Whatever goes wrong has one shape, two languages, and a status that is right."""

import asyncio
import re
from collections.abc import AsyncIterator
from inspect import getmembers, isclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.api import problems, state
from registry.api.problems import STATUS, answer_problem, get_status, translate
from registry.api.targets import is_storable
from schemas import errors
from schemas.bodies import ProblemBody
from schemas.errors import ServiceError
from schemas.texts import TEXTS
from tests import database
from tests.registry.api_world import PUMP, World, open_world

V1 = "/api/v1"
PACKAGES = Path(problems.__file__).parent.parent.parent


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


def every_error() -> list[type[ServiceError]]:
    kinds = {kind for module in (errors, problems) for _, kind in getmembers(module, isclass)}
    return sorted((k for k in kinds if issubclass(k, ServiceError) and k is not ServiceError), key=lambda k: k.__name__)


@pytest.mark.parametrize("kind", every_error())
def test_every_error_has_a_status_with_a_title(kind: type[ServiceError]) -> None:
    owner = next((base for base in kind.__mro__ if base in STATUS), None)
    assert owner is not None and owner is not ServiceError
    assert f"status_{STATUS[owner]}" in TEXTS


def test_every_code_raised_by_the_interface_has_its_texts() -> None:
    source = "".join(path.read_text() for path in (PACKAGES / "registry" / "api").glob("*.py"))
    names = "|".join(kind.__name__ for kind in every_error())
    raised = set(re.findall(rf"(?:{names})\(\s*\"([a-z_]+)\"", source))
    raised |= set(problems._VALIDATION_CODES.values())
    assert len(raised) > 20
    assert raised - TEXTS.keys() == set()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TimeoutError(), 503, "database_unavailable"),
        (ConnectionRefusedError(), 503, "database_unavailable"),
        (asyncpg.InterfaceError("pool is closing"), 503, "database_unavailable"),
        (asyncpg.InternalClientError("cannot switch to state 12"), 503, "database_unavailable"),
        (asyncpg.CannotConnectNowError(), 503, "database_unavailable"),
        (asyncpg.ConnectionDoesNotExistError(), 503, "database_unavailable"),
        (asyncpg.AdminShutdownError(), 503, "database_unavailable"),
        (asyncpg.TooManyConnectionsError(), 503, "database_unavailable"),
        (asyncpg.QueryCanceledError(), 503, "database_unavailable"),
        (asyncpg.LockNotAvailableError(), 503, "database_unavailable"),
        (asyncpg.DeadlockDetectedError(), 503, "database_unavailable"),
        (asyncpg.ReadOnlySQLTransactionError(), 503, "database_unavailable"),
        (asyncpg.DiskFullError("no space"), 507, "disk_full"),
        (OSError(28, "No space left on device"), 507, "disk_full"),
        (asyncpg.CharacterNotInRepertoireError("0x00"), 400, "text_not_unicode"),
        (asyncpg.DataError("too long"), 400, "text_not_unicode"),
        (asyncpg.UndefinedTableError("relation secret_table"), 500, "internal_error"),
        (RuntimeError("secret"), 500, "internal_error"),
        (PermissionError(13, "secret"), 500, "internal_error"),
    ],
)
def test_foreign_exceptions_become_plain_answers(error: Exception, status: int, code: str) -> None:
    answer = answer_problem(translate(error), "en")
    assert (answer.status, ProblemBody.model_validate_json(answer.body).code) == (status, code)
    assert b"secret" not in answer.body, "what is wrong inside stays inside"
    assert ("Retry-After" in answer.headers) == (status in (503, 507))


def test_texts_of_callers_come_back_as_json_whatever_they_are() -> None:
    answer = answer_problem(errors.NotFound("prefix_not_found", field="\ud800", prefix="\ud800\0"), "zh")
    assert ProblemBody.model_validate_json(answer.body).status == 404


@pytest.mark.parametrize(
    ("headers", "query", "language"),
    [
        ({"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}, "", "zh"),
        ({"Accept-Language": "en-US"}, "", "en"),
        ({"Accept-Language": "fr"}, "", "zh"),  # the node's own
        ({"Accept-Language": "zh"}, "?lang=en", "en"),
        ({"Accept-Language": "en"}, "?lang=xx", "en"),
    ],
)
async def test_problems_speak_the_callers_language(
    world: World, headers: dict[str, str], query: str, language: str
) -> None:
    reply = await world.ask("GET", f"{V1}/identifiers/{PUMP}/none{query}", headers=headers)
    problem = ProblemBody.model_validate(reply.json)
    assert (reply.status, reply.headers["Content-Language"]) == (404, language)
    assert problem.detail.startswith("没有找到" if language == "zh" else "There is no identifier")
    assert problem.remedy and problem.title and problem.field == "identifier"


GOOD = {"identifier": f"{PUMP}/x", "template": "pump-1", "values": {"model": "A"}}


@pytest.mark.parametrize(
    ("sent", "kind", "status", "code", "field"),
    [
        (b"{", "application/json", 400, "body_not_json", None),
        (b'{"identifier": "a", "identifier": "b"}', "application/json", 400, "member_twice", "identifier"),
        (b'{"values": {"model": "\\ud800", "model": 7}}', "application/json", 400, "member_twice", "model"),
        (b"\xff\xfe\x00", "application/json", 400, "body_unreadable", None),
        (b"[]", "application/json", 400, "body_wrong_shape", None),
        (b"null", "application/json", 400, "body_wrong_shape", None),
        (b"", "application/json", 400, "field_missing", "body"),
        (b"[" * 100_000, "application/json", 400, "body_unreadable", None),
        (b'{"template":' + b"9" * 5_000 + b"}", "application/json", 400, "body_unreadable", None),
        (
            b'{"template":"t","values":{},"identifer":"88.101.5/x"}',
            "application/json",
            400,
            "field_unknown",
            "identifer",
        ),
        (b'{"values":{"model":1}}', "application/json", 400, "field_missing", "template"),
        (b'{"template":"t","values":{"model":1}}', "application/json", 400, "field_invalid", "values.model"),
        (b'{"template":NaN}', "application/json", 400, "field_invalid", "template"),
        (b"<xml/>", "application/xml", 415, "content_type_wrong", "Content-Type"),
        (b"{}", "", 415, "content_type_wrong", "Content-Type"),
    ],
)
async def test_wrong_bodies_are_named(
    world: World, sent: bytes, kind: str, status: int, code: str, field: str | None
) -> None:
    more: dict[str, Any] = {"skip_auto_headers": ["Content-Type"]} if not kind else {}
    headers = {"Content-Type": kind} if kind else {}
    reply = await world.ask("POST", f"{V1}/identifiers", headers=headers, data=sent, **more)
    assert (reply.status, reply.json["code"]) == (status, code), reply.json
    if field is not None:
        assert reply.json["field"] == field


async def test_several_mistakes_are_told_at_once(world: World) -> None:
    reply = await world.ask("POST", f"{V1}/identifiers", {"values": 1, "more": 2})
    assert {(e["field"], e["code"]) for e in reply.json["errors"]} == {
        ("template", "field_missing"), ("values", "field_invalid"), ("more", "field_unknown"),
    }  # fmt: skip


async def test_a_body_over_the_limit_is_not_read(world: World) -> None:
    for sent in (b" " * (33 << 20), _stream(33)):
        headers = {"Content-Type": "application/json"}
        reply = await world.ask("POST", f"{V1}/identifiers", headers=headers, data=sent)
        assert (reply.status, reply.json["code"]) == (413, "body_too_large")


async def _stream(megabytes: int) -> AsyncIterator[bytes]:
    for _ in range(megabytes):
        yield b" " * (1 << 20)


async def test_the_wrong_method_names_the_right_ones(world: World) -> None:
    reply = await world.ask("DELETE", f"{V1}/ranges")
    assert (reply.status, reply.json["code"]) == (405, "method_not_allowed")
    assert reply.headers["Allow"]


async def test_health_says_how_the_node_is(world: World) -> None:
    reply = await world.ask("GET", "/health", who="nobody")
    assert (reply.status, reply.json["status"], reply.json["database"], reply.json["log_missing"]) == (
        200,
        "ok",
        "ok",
        0,
    )


async def test_connections_that_were_cut_are_made_again(world: World, pool: asyncpg.Pool) -> None:
    await world.ask("POST", f"{V1}/identifiers", GOOD)
    await pool.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
                       " AND datname = current_database()", "idnode registry")  # fmt: skip
    statuses = {(await world.ask("GET", f"{V1}/identifiers/{PUMP}/x")).status for _ in range(20)}
    assert statuses <= {200, 503}, "a cut connection is never an answer of its own"
    assert (await world.ask("GET", f"{V1}/identifiers/{PUMP}/x")).status == 200


async def test_without_its_database_the_registry_says_unavailable_never_not_found(
    server_dsn: str, tmp_path: Path
) -> None:
    url = await database.create_database(server_dsn)
    async with open_world(url, tmp_path) as away:
        await away.ask("POST", f"{V1}/identifiers", GOOD)
        name = await away.state.pool.fetchval("SELECT current_database()")
        await database.execute(server_dsn, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await away.state.pool.expire_connections()
        health = await away.ask("GET", "/health")
        assert (health.status, health.json["database"], health.json["status"]) == (200, "read_only", "degraded")
        reply = await away.ask("POST", f"{V1}/identifiers", GOOD | {"identifier": f"{PUMP}/while-read-only"})
        assert (reply.status, reply.json["code"]) == (503, "database_unavailable")
        await database.drop_database(server_dsn, url)
        for method, path, sent, who in (
            ("GET", f"{V1}/identifiers/{PUMP}/x", None, "nobody"),
            ("GET", f"{V1}/identifiers/{PUMP}/never", None, "nobody"),
            ("GET", f"{V1}/identifiers/{PUMP}/x", None, "pump"),
            ("POST", f"{V1}/identifiers", GOOD, "pump"),
        ):
            reply = await away.ask(method, path, sent, who=who)
            assert (reply.status, reply.json["code"]) == (503, "database_unavailable"), path
            assert reply.headers["Retry-After"]
        health = await away.ask("GET", "/health")
        assert (health.status, health.json["database"], health.json["status"]) == (503, "unavailable", "degraded")


TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
WRITES = [
    ("POST", "/identifiers"), ("POST", "/identifiers/batch"), ("POST", "/ranges"), ("POST", "/enterprises"),
    ("POST", "/enterprises/applications"), ("POST", "/enterprises/1/changes"), ("PUT", "/enterprises/1/tags"),
    ("POST", "/enterprises/1/move"), ("POST", "/prefixes"), ("PUT", f"/prefixes/{PUMP}/hosting"),
    ("POST", f"/prefixes/{PUMP}/templates"), ("PATCH", f"/prefixes/{PUMP}/templates/pump-1"), ("POST", "/keys"),
    ("POST", "/units"), ("PATCH", f"/identifiers/{PUMP}/x"), ("POST", f"/identifiers/{PUMP}/x/freeze"),
]  # fmt: skip
MEMBERS = st.sampled_from(
    ["identifier", "prefix", "suffix", "template", "values", "items", "first", "last", "name", "certificate_code",
     "area", "industry", "tags", "reason", "division", "note", "notice", "version", "address", "unit", "enterprise_id",
     "tcp_port", "day"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    route=st.sampled_from(WRITES),
    sent=JSON
    | st.dictionaries(MEMBERS, JSON | st.sampled_from([PUMP, "pump-1", f"{PUMP}/x", {"model": "A"}]), max_size=8),
)
async def test_no_body_makes_the_registry_fail(world: World, route: tuple[str, str], sent: Any) -> None:
    method, path = route
    reply = await world.ask(method, f"{V1}{path}?dry_run=true", sent, who="operator")
    assert reply.status < 500, (reply.status, reply.json)


PATHS = ["/identifiers/{}", f"/identifiers/{PUMP}/{{}}", "/identifiers?identifier={}", "/identifiers?prefix={}",
         "/ranges?prefix={}", "/prefixes/{}", f"/prefixes/{PUMP}/templates/{{}}", "/enterprises/{}", "/jobs/{}",
         "/jobs/{}/receipt", "/enterprises?text={}", "/enterprises?division={}", "/prefixes?enterprise_id={}",
         "/statistics?by={}", "/statistics?from={}", f"/identifiers/{PUMP}/x?at={{}}", "/keys?enterprise_id={}",
         f"/identifiers?prefix={PUMP}&starts_with={{}}", "/jobs?before={}", "/enterprises?after={}"]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), text=st.binary(max_size=20) | st.integers().map(lambda n: str(n).encode()))
async def test_no_path_makes_the_registry_fail(world: World, path: str, text: bytes) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in text)
    reply = await world.ask("GET", V1 + path.format(encoded), who="operator")
    assert reply.status < 500, (reply.status, reply.json)


@given(TEXT)
def test_storable_is_what_the_database_takes(text: str) -> None:
    broken = any("\ud800" <= character <= "\udfff" for character in text)
    assert is_storable(text) == (not broken and "\0" not in text)


def test_the_nearest_class_decides_the_status() -> None:
    assert (get_status(problems.DiskFull("disk_full")), get_status(problems.NoRoute("route_not_found"))) == (507, 404)


async def test_when_every_connection_is_taken_nobody_waits_long_and_all_are_told_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database takes seconds for each statement."""
    monkeypatch.setattr(state, "ACQUIRE_SECONDS", 0.1)
    pool = world.state.pool
    taken = [await pool.acquire(timeout=10) for _ in range(state.POOL_SIZE)]
    try:
        reads = [world.ask("GET", f"/api/v1/identifiers/{PUMP}/slow-{n}") for n in range(20)]
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*reads)
        assert {(answer.status, answer.headers["Retry-After"]) for answer in answers} == {(503, "5")}
        assert {answer.json["code"] for answer in answers} == {"database_unavailable"}
    finally:
        for connection in taken:
            await pool.release(connection)
    assert (await world.ask("GET", f"/api/v1/identifiers/{PUMP}/slow-1")).status == 404


async def test_a_crowd_waits_its_turn_as_long_as_others_are_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten askers, one served after the other: that takes longer than anybody waits in vain."""
    monkeypatch.setattr(state, "ACQUIRE_SECONDS", 1.0)
    monkeypatch.setattr(state, "CROWD_SECONDS", 60)
    held = world.state
    others = [await held.pool.acquire(timeout=10) for _ in range(state.POOL_SIZE - 1)]

    async def ask() -> None:
        async with held.connect():
            await asyncio.sleep(0.15)

    try:
        await asyncio.gather(*(ask() for _ in range(10)))
    finally:
        for connection in others:
            await held.pool.release(connection)
