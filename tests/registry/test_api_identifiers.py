"""Identifiers over HTTP: whatever characters they have, whoever asks, and every answer counted."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from schemas.bodies import BatchBody, HistoryBody, IdentifierBody, IdentifierPage, RangeBody, RangePage
from schemas.resolution_log import ClientClass, Outcome, Transport
from tests.registry.api_world import PUMP, TOFU, Reply, World, open_world

V1 = "/api/v1"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


async def create(world: World, suffix: str, **values: str) -> Reply:
    body = {"identifier": f"{PUMP}/{suffix}", "template": "pump-1", "values": {"model": "WQ15", **values}}
    return await world.ask("POST", f"{V1}/identifiers", body)


def at(suffix: str, action: str = "") -> str:
    return f"{V1}/identifiers/{quote(f'{PUMP}/{suffix}', safe='')}{action}"


def texts(reply: Reply) -> dict[str, str]:
    return {value["type"]: value["data"] for value in reply.json["values"]}


SUFFIXES = [
    "plain", "with blank", "a/b/c", "hash#1", "50%", "%2F", "%252F", "..", ".", "//", "a//b", "q?x=1&y=2", "泵-№1",
    "plus+plus", "retire", "x/retire", "x/history", "batch", "'; DROP TABLE records; --", "\\", "a;b", "ＦＵＬＬ",
]  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_any_identifier_is_created_read_changed_and_found_by_its_own_text(world: World, suffix: str) -> None:
    made = await create(world, suffix)
    assert made.status == 201, made.body
    IdentifierBody.model_validate(made.json)
    assert made.headers["Location"] == at(suffix)
    for path in (at(suffix), f"{V1}/identifiers?identifier={quote(f'{PUMP}/{suffix}', safe='')}"):
        read = await world.ask("GET", path)
        assert (read.status, read.json["identifier"]) == (200, f"{PUMP}/{suffix}")
        changed = await world.ask("PATCH", path, {"values": {"flow": "13.5"}})
        assert (changed.status, texts(changed)) == (200, {"model": "WQ15", "flow": "13.5"})


async def test_an_action_follows_a_whole_identifier(world: World) -> None:
    await create(world, "twice/history")
    await create(world, "twice")
    encoded = await world.ask("GET", f"{V1}/identifiers/{PUMP}/twice%2Fhistory")
    plain = await world.ask("GET", f"{V1}/identifiers/{PUMP}/twice/history")
    assert encoded.json["identifier"] == f"{PUMP}/twice/history"
    assert HistoryBody.model_validate(plain.json).identifier == f"{PUMP}/twice"


async def test_suffix_and_prefix_do_as_well_as_the_identifier(world: World) -> None:
    body = {"prefix": PUMP, "suffix": "apart", "template": "pump-1", "values": {"model": "A"}}
    made = await world.ask("POST", f"{V1}/identifiers", body)
    assert (made.status, made.json["identifier"]) == (201, f"{PUMP}/apart")


async def test_a_second_registration_is_refused(world: World) -> None:
    await create(world, "once")
    again = await create(world, "ONCE")
    assert (again.status, again.json["code"]) == (409, "identifier_taken")
    assert again.headers["Content-Type"] == "application/problem+json"


async def test_values_are_shown_by_who_asks(world: World) -> None:
    await create(world, "seen", line="L1", price="9.5")
    shown = {who: texts(await world.ask("GET", at("seen"), who=who)) for who in ("pump", "operator", "tofu", "nobody")}
    everything = {"model": "WQ15", "line": "L1", "price": "9.5"}
    public = {"model": "WQ15"}
    assert shown == {"pump": everything, "operator": everything, "tofu": public, "nobody": public}
    hidden = await world.ask("GET", at("seen") + "?type=line", who="nobody")
    assert (hidden.status, hidden.json["code"]) == (401, "values_not_public")
    some = await world.ask("GET", at("seen") + "?index=2000&type=price")
    assert texts(some) == {"model": "WQ15", "price": "9.5"}


async def test_patch_keeps_and_put_replaces(world: World) -> None:
    await create(world, "values", flow="1")
    kept = await world.ask("PATCH", at("values"), {"values": {"line": "L2"}})
    assert texts(kept) == {"model": "WQ15", "flow": "1", "line": "L2"}
    removed = await world.ask("PATCH", at("values"), {"values": {"flow": None}})
    assert texts(removed) == {"model": "WQ15", "line": "L2"}
    whole = await world.ask("PUT", at("values"), {"values": {"model": "B"}})
    assert (texts(whole), whole.json["revision"], whole.headers["ETag"]) == ({"model": "B"}, 4, '"4"')


async def test_if_match_keeps_one_writer_from_overwriting_another(world: World) -> None:
    made = await create(world, "etag")
    tag = {"If-Match": made.headers["ETag"]}
    first = await world.ask("PATCH", at("etag"), {"values": {"flow": "1"}}, headers=tag)
    second = await world.ask("PATCH", at("etag"), {"values": {"flow": "2"}}, headers=tag)
    foreign = await world.ask("PATCH", at("etag"), {"values": {"flow": "2"}}, headers={"If-Match": '"abc"'})
    assert (first.status, second.status, second.json["code"]) == (200, 412, "identifier_changed_meanwhile")
    assert (foreign.status, foreign.json["code"]) == (412, "etag_unknown")


async def test_a_retired_identifier_answers_410_with_its_successor(world: World) -> None:
    await create(world, "old")
    await create(world, "new")
    done = await world.ask("POST", at("old", "/retire"), {"successor": f"{PUMP}/new", "reason": "replaced"})
    assert (done.status, done.json["state"], done.json["successor"]) == (200, "retired", f"{PUMP}/new")
    gone = await world.ask("GET", at("old"), who="nobody")
    assert (gone.status, gone.json["code"], gone.json["successor"]) == (410, "identifier_retired", f"{PUMP}/new")
    assert (await create(world, "old")).json["code"] == "identifier_taken_retired"
    back = await world.ask("POST", at("old", "/restore"), {})
    assert (back.status, back.json["state"], texts(back)) == (200, "live", {"model": "WQ15"})
    history = HistoryBody.model_validate((await world.ask("GET", at("old", "/history"))).json)
    assert [(r.revision, r.ended_by, r.reason) for r in history.revisions] == [
        (3, None, None), (2, "restored", None), (1, "retired", "replaced"),
    ]  # fmt: skip


async def test_a_frozen_identifier_answers_with_its_notice(world: World) -> None:
    await create(world, "cold")
    await world.ask("POST", at("cold", "/freeze"), {"notice": "召回"}, who="operator")
    read = await world.ask("GET", at("cold"), who="nobody")
    assert (read.status, read.json["state"], read.json["notice"], texts(read)) == (
        200,
        "frozen",
        "召回",
        {"model": "WQ15"},
    )
    refused = await world.ask("PATCH", at("cold"), {"values": {"flow": "1"}})
    assert (refused.status, refused.json["code"]) == (409, "identifier_is_frozen")
    thawed = await world.ask("POST", at("cold", "/unfreeze"), {}, who="operator")
    assert (thawed.status, thawed.json["state"]) == (200, "live")


@pytest.mark.parametrize("action", ["unfreeze", "retire", "freeze", "batch/unfreeze", "batch/retire", "delete"])
async def test_what_the_operator_froze_is_not_lifted_by_the_enterprise(world: World, action: str) -> None:
    """Neither directly nor by way of a tombstone, on any interface: it never silently disappears."""
    name = f"held-{action}"
    await create(world, name)
    assert (await world.ask("POST", at(name, "/freeze"), {"notice": "查处"}, who="operator")).status == 200
    if action == "delete":
        said = await world.ask("DELETE", f"/identityv2/data?handle={PUMP}/{quote(name)}")
        assert (said.json["status"], "运营方" in said.json["message"]) == (-3, True), said.json
    elif action.startswith("batch"):
        item = {"suffix": name}
        body = {"prefix": PUMP, "items": [item], "notice": "x"}
        batch = await world.ask("POST", f"{V1}/identifiers/{action}", body)
        assert [item["code"] for item in batch.json["results"]] == ["identifier_held"], batch.json
    else:
        tried = await world.ask("POST", at(name, f"/{action}"), {"notice": "sold out"} if action == "freeze" else {})
        assert (tried.status, tried.json["code"]) == (403, "identifier_held")
    read = await world.ask("GET", at(name), who="nobody")
    assert (read.json["state"], read.json["notice"]) == ("frozen", "查处")


async def test_the_past_is_shown_and_what_was_not_issued_then_is_not_found(world: World) -> None:
    made = await create(world, "past", flow="1")
    await world.ask("PATCH", at("past"), {"values": {"flow": "2"}})
    then = quote(made.json["changed"], safe="")
    assert texts(await world.ask("GET", at("past") + f"?at={then}"))["flow"] == "1"
    for edge in ("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"):
        assert (await world.ask("GET", at("past") + f"?at={edge}")).status in (200, 400, 404)
    early = await world.ask("GET", at("past") + "?at=2001-01-01T00:00:00Z")
    assert (early.status, early.json["code"]) == (404, "identifier_not_issued_then")


async def test_what_is_private_now_is_private_in_the_past_whatever_its_index(world: World) -> None:
    made = await create(world, "moved", flow="1")
    items = [{"index": 2000, "type": "model", "name": "型号"},
             {"index": 2007, "type": "Flow", "name": "流量", "visibility": "private"}]  # fmt: skip
    await world.ask("POST", f"{V1}/prefixes/{PUMP}/templates", {"version": "moved", "items": items})
    await world.ask("PUT", at("moved"), {"template": "moved", "values": {"model": "WQ15", "flow": "1"}})
    path = at("moved") + f"?at={quote(made.json['changed'], safe='')}"
    assert [sorted(texts(await world.ask("GET", path, who=who))) for who in ("pump", "nobody")] == [
        ["flow", "model"], ["model"],
    ]  # fmt: skip


async def test_a_retired_identifier_has_a_past_for_its_owner_only(world: World) -> None:
    made = await create(world, "was")
    await world.ask("POST", at("was", "/retire"), {})
    path = at("was") + f"?at={quote(made.json['changed'], safe='')}"
    assert [(await world.ask("GET", path, who=who)).status for who in ("pump", "operator", "tofu", "nobody")] == [
        200, 200, 410, 410,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{V1}/identifiers/{PUMP}/missing", 404, "identifier_not_found"),
        (f"{V1}/identifiers/{PUMP}", 404, "identifier_not_found"),
        (f"{V1}/identifiers/", 404, "identifier_not_found"),
        (f"{V1}/identifiers/{PUMP}/%00", 404, "identifier_not_found"),
        (f"{V1}/identifiers/%00/x", 404, "identifier_not_found"),
        (f"{V1}/identifiers/{PUMP}/%FF%FE", 404, "identifier_not_found"),
        (f"{V1}/identifiers/{PUMP}/%C0%AF", 404, "identifier_not_found"),
        (f"{V1}/identifiers/{PUMP}/%ED%A0%80", 404, "identifier_not_found"),
        (f"{V1}/identifiers/{PUMP}/%zz", 404, "identifier_not_found"),
        (f"{V1}/identifiers/{PUMP}/{'x' * 2048}", 404, "identifier_not_found"),
        (f"{V1}/identifiers/{PUMP}/x?at=yesterday", 400, "field_invalid"),
        (f"{V1}/identifiers/{PUMP}/x?at=1717430400", 400, "field_invalid"),
        (f"{V1}/identifiers/{PUMP}/x?at=20240604", 404, "identifier_not_found"),
        (f"{V1}/identifiers?identifier=%00%FF", 404, "identifier_not_found"),
        (f"{V1}/identifiers?prefix={PUMP}&limit=0", 400, "limit_out_of_bounds"),
        (f"{V1}/identifiers?prefix={PUMP}&limit={'9' * 5000}", 400, "field_invalid"),
        (f"{V1}/identifiers?prefix={PUMP}&after=%00", 400, "text_not_unicode"),
        (f"{V1}/identifiers?prefix=%00", 404, "prefix_not_found"),
        (f"{V1}/identifiers", 400, "field_missing"),
        (f"{V1}/nothing", 404, "route_not_found"),
    ],
)
async def test_strange_questions_get_plain_answers(world: World, path: str, status: int, code: str) -> None:
    got = await world.ask("GET", path)
    assert (got.status, got.json["code"]) == (status, code)


async def test_a_list_goes_on_where_the_page_before_ended(world: World) -> None:
    for number in range(7):
        await create(world, f"page-{number}")
    found, after = [], ""
    while after is not None:
        reply = await world.ask("GET", f"{V1}/identifiers?prefix={PUMP}&starts_with=page-&limit=3&after={after}")
        page = IdentifierPage.model_validate(reply.json)
        found += [shown.identifier for shown in page.identifiers]
        after = page.next
    assert found == [f"{PUMP}/page-{number}" for number in range(7)]


async def test_a_batch_answers_item_by_item(world: World) -> None:
    await create(world, "b-old")
    items = [
        {"suffix": "b-1", "values": {"model": "A"}},
        {"identifier": f"{PUMP}/b-old", "values": {"model": "other"}},
        {"suffix": "b-1", "values": {"model": "A"}},
        {"suffix": "b-2", "values": {}},
        {"identifier": f"{TOFU}/b-3", "values": {"model": "A"}},
        {"suffix": "b\u0000", "values": {"model": "A"}},
        {"suffix": "b-4", "values": {"model": "\ud800"}},
        {"values": {"model": "A"}},
    ]
    body = {"prefix": PUMP, "template": "pump-1", "items": items}
    reply = await world.ask("POST", f"{V1}/identifiers/batch", body)
    batch = BatchBody.model_validate(reply.json)
    assert [(r.outcome, r.code) for r in batch.results] == [
        ("registered", None), ("differs", "identifier_differs"), ("unchanged", None), ("refused", "value_missing"),
        ("refused", "identifier_other_prefix"), ("refused", "suffix_control_character"),
        ("refused", "value_control_character"), ("refused", "identifier_or_suffix"),
    ]  # fmt: skip
    assert (batch.rows, batch.registered, batch.differs, batch.refused) == (8, 1, 1, 5)
    updated = await world.ask("POST", f"{V1}/identifiers/batch?update=true", body | {"items": items[1:2]})
    assert updated.json["updated"] == 1


async def test_ten_thousand_in_one_call_and_not_one_more(world: World) -> None:
    items = [{"suffix": f"many-{n}", "values": {"model": "A"}} for n in range(10_000)]
    body = {"prefix": PUMP, "template": "pump-1", "items": items}
    assert (await world.ask("POST", f"{V1}/identifiers/batch", body)).json["registered"] == 10_000
    refused = await world.ask("POST", f"{V1}/identifiers/batch", body | {"items": [*items, items[0]]})
    assert (refused.status, refused.json["code"]) == (400, "field_too_many")


async def test_a_range_is_one_call_and_its_members_resolve(world: World) -> None:
    body = {"prefix": PUMP, "template": "pump-1", "first": "SN00000001", "last": "SN10000000", "values": {"model": "R"}}
    made = await world.ask("POST", f"{V1}/ranges", body)
    assert (made.status, RangeBody.model_validate(made.json).members) == (201, 10_000_000)
    member = await world.ask("GET", at("SN01234567"), who="nobody")
    assert (member.json["range"], texts(member)) == (True, {"model": "R"})
    assert (await world.ask("POST", f"{V1}/ranges", body)).json["code"] == "range_overlaps"
    listed = RangePage.model_validate((await world.ask("GET", f"{V1}/ranges?prefix={PUMP}")).json)
    assert [r.last for r in listed.ranges] == ["SN10000000"]


async def test_a_dry_run_answers_as_usual_and_writes_nothing(world: World) -> None:
    body = {"identifier": f"{PUMP}/dry", "template": "pump-1", "values": {"model": "A"}}
    tried = await world.ask("POST", f"{V1}/identifiers?dry_run=true", body)
    assert (tried.status, tried.headers["Dry-Run"], tried.json["identifier"]) == (200, "true", f"{PUMP}/dry")
    assert (await world.ask("GET", at("dry"))).status == 404
    assert (await world.ask("POST", f"{V1}/identifiers", body)).status == 201
    again = await world.ask("POST", f"{V1}/identifiers?dry_run=true", body)
    assert (again.status, again.json["code"]) == (409, "identifier_taken")


async def test_every_answer_about_an_identifier_is_counted_once_by_who_asked(world: World) -> None:
    await create(world, "counted", line="L1")
    before = len(world.read_log())
    await world.ask("GET", at("counted"))
    await world.ask("GET", at("counted"), who="tofu")
    await world.ask("GET", at("counted"), who="nobody")
    await world.ask("GET", at("counted"), who="operator")
    await world.ask("GET", at("counted"), who="operator", headers={"X-Idnode-Probe": "1"})
    await world.ask("GET", at("counted"), who="nobody", headers={"X-Idnode-Probe": "1"})
    await world.ask("GET", at("counted-not"))
    await world.ask("GET", at("counted") + "?type=line", who="nobody")
    await world.ask("POST", at("counted", "/retire"), {})
    await world.ask("GET", at("counted"), who="nobody")
    logged = world.read_log()[before:]
    assert {answer.transport for answer in logged} == {Transport.REGISTRY}
    assert {answer.address for answer in logged} == {bytes((127, 0, 0, 1))}
    public = ClientClass.PUBLIC
    assert [(answer.outcome, answer.client_class) for answer in logged] == [
        (Outcome.FOUND, ClientClass.SELF), (Outcome.FOUND, public), (Outcome.FOUND, public), (Outcome.FOUND, public),
        (Outcome.FOUND, ClientClass.PROBE), (Outcome.FOUND, public), (Outcome.NOT_FOUND, ClientClass.SELF),
        (Outcome.DENIED, public), (Outcome.RETIRED, public),
    ]  # fmt: skip
    assert logged[0].identifier == f"{PUMP}/counted".encode() and logged[0].prefix_id and logged[0].template_id
    assert len({answer.prefix_id for answer in logged}) == 1, "a miss counts for the prefix it was asked under"
