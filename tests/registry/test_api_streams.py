"""Streams and batches of writes, and questions in bulk: every line is answered, and a cut one is completed truly."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from registry import streams
from registry.api import streams as api_streams
from schemas.resolution_log import ClientClass, Outcome
from tests.registry.api_world import PUMP, TOFU, Reply, World, open_world

V1 = "/api/v1"
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


def pack(*items: Any) -> bytes:
    return b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in items)


def make(suffix: str, model: str = "A") -> dict[str, Any]:
    return {"suffix": suffix, "values": {"model": model}}


async def send(world: World, action: str, body: bytes, query: str = "", headers: Any = None, **more: Any) -> Reply:
    path = f"{V1}/identifiers/stream/{action}?prefix={PUMP}{query}"
    return await world.ask("POST", path, data=body, headers=NDJSON | (headers or {}), **more)


def read(reply: Reply) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The lines about rows, and the counts."""
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    *lines, counts = map(json.loads, reply.body.splitlines())
    return lines, counts


async def create(world: World, *suffixes: str, model: str = "A") -> None:
    await send(world, "create", pack(*(make(suffix, model) for suffix in suffixes)), "&template=pump-1")


async def test_every_line_is_answered_in_order_and_the_last_line_counts(world: World) -> None:
    body = pack(
        make("S-1"), make("s-1", "B"), b"", {"identifier": f"{PUMP}/S-2", "values": {"model": "A"}}, b"{broken",
        {"identifier": f"{TOFU}/S-3"}, {"suffix": "S-4", "values": {}}, {"suffix": "S-5", "colour": "red"}, b"[1]",
        {"suffix": "S-6", "values": {"model": "A"}, "notice": "n"}, make("S-1"),
        b'{"suffix": "S-7", "suffix": "S-8", "values": {"model": "A"}}',
    )  # fmt: skip
    lines, counts = read(await send(world, "create", body, "&template=pump-1"))
    assert [(line["row"], line["outcome"], line.get("code")) for line in lines] == [
        (1, "registered", None),
        (2, "differs", "identifier_differs"),
        (4, "registered", None),
        (5, "refused", "line_not_json"),
        (6, "refused", "identifier_other_prefix"),
        (7, "refused", "value_missing"),
        (8, "refused", "field_unknown"),
        (9, "refused", "line_not_json"),
        (10, "refused", "field_unknown"),
        (11, "unchanged", None),
        (12, "refused", "member_twice"),
    ]
    assert all(line["reason"] and line["remedy"] for line in lines if line.get("code"))
    assert counts == {"rows": 11, "registered": 2, "updated": 0, "unchanged": 1, "differs": 1, "refused": 7}


async def test_identifiers_are_changed_frozen_retired_and_restored_by_streams(world: World) -> None:
    await create(world, "L-1", "L-2")
    both = pack({"suffix": "L-1"}, {"identifier": f"{PUMP}/l-2"}, {"suffix": "L-none"})
    steps: list[tuple[str, bytes, str]] = [
        ("update", pack(make("L-1", "B"), {"suffix": "L-2", "values": {"flow": "5"}}, make("L-none")), ""),
        ("freeze", both, "&notice=recall"),
        ("unfreeze", both, ""),
        ("retire", both, f"&successor={PUMP}/S-1&reason=gone"),
        ("restore", both, ""),
    ]
    for action, body, query in steps:
        lines, counts = read(await send(world, action, body, query))
        assert [line["outcome"] for line in lines] == ["updated", "updated", "refused"], (action, lines)
        assert (counts["updated"], lines[2]["code"]) == (2, "identifier_not_found")
        again, _ = read(await send(world, action, body, query))
        assert [line["outcome"] for line in again] == ["unchanged", "unchanged", "refused"], action
    history = (await world.ask("GET", f"{V1}/identifiers/{PUMP}/L-2/history")).json["revisions"]
    assert [r["state"] for r in history] == ["live", "retired", "live", "frozen", "live", "live"]
    assert history[2]["ended_by"] == "retired" and history[2]["reason"] == "gone"
    assert history[0]["values"][1]["data"] == "5"


async def test_an_identifier_named_twice_is_changed_twice(world: World) -> None:
    await create(world, "T-1")
    lines, _ = read(await send(world, "update", pack(make("T-1", "B"), make("t-1", "C"), make("T-1", "C"))))
    assert [line["outcome"] for line in lines] == ["updated", "updated", "unchanged"]
    assert (await world.ask("GET", f"{V1}/identifiers/{PUMP}/T-1")).json["revision"] == 3


async def test_a_dry_run_answers_alike_and_writes_nothing(world: World) -> None:
    body = pack(make("D-1"), make("D-1", "B"))
    tried = await send(world, "create", body, "&template=pump-1&dry_run=true")
    assert tried.headers["Dry-Run"] == "true"
    assert [line["outcome"] for line in read(tried)[0]] == ["registered", "differs"]
    assert (await world.ask("GET", f"{V1}/identifiers/{PUMP}/D-1")).status == 404
    await create(world, "D-2")
    tried = await send(world, "retire", pack({"suffix": "D-2"}), "&dry_run=true")
    assert read(tried)[1]["updated"] == 1
    assert (await world.ask("GET", f"{V1}/identifiers/{PUMP}/D-2")).json["state"] == "live"


async def test_a_dry_run_of_many_chunks_sees_what_its_earlier_chunks_would_have_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHUNK_ROWS", 2)
    body = pack(make("E-1"), make("E-2"), make("E-1"), make("E-2", "B"))
    lines, _ = read(await send(world, "create", body, "&template=pump-1&dry_run=true"))
    assert [line["outcome"] for line in lines] == ["registered", "registered", "unchanged", "differs"]


async def test_a_stream_may_be_compressed_and_is_not_half_carried_out(world: World) -> None:
    packed = gzip.compress(pack(make("G-1"))) + gzip.compress(pack(make("G-2")))
    encoded = {"Content-Encoding": "gzip"}
    assert read(await send(world, "create", packed, "&template=pump-1", encoded))[1]["registered"] == 2
    for body, encoding, status in ((packed[:-5], "gzip", 400), (b"no", "gzip", 400), (b"x", "br", 415)):
        reply = await send(world, "create", body, "&template=pump-1", {"Content-Encoding": encoding})
        assert (reply.status, reply.json["remedy"] != "") == (status, True)


@pytest.mark.parametrize(
    ("action", "query", "status", "code"),
    [
        ("create", "", 400, "field_missing"),
        ("create", "&template=none", 404, "template_not_found"),
        ("burn", "", 400, "field_not_a_choice"),
        ("update", "&template=none", 404, "template_not_found"),
    ],
)
async def test_what_is_wrong_with_the_whole_is_said_before_the_first_line(
    world: World, action: str, query: str, status: int, code: str
) -> None:
    reply = await send(world, action, pack(make("W-1")), query)
    assert (reply.status, reply.json["code"]) == (status, code)
    other = await send(world, action, pack(make("W-1")), query, who="tofu")
    assert other.status in (400, 404)


async def cut_after(world: World, key: str, body: bytes, lines: int) -> None:
    """Send a stream, read so many lines of the answer, and go away."""
    headers = NDJSON | {"Authorization": f"Bearer {world.keys['pump']}", "Idempotency-Key": key}
    address = f"{world.base}{V1}/identifiers/stream/create?prefix={PUMP}&template=pump-1"
    async with world.http.post(address, data=body, headers=headers) as reply:
        for _ in range(lines):
            await reply.content.readline()
        reply.close()


async def test_a_stream_that_was_cut_is_completed_by_sending_it_again_and_told_truly(
    world: World, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part was registered by the cut one: it is told as registered, not as unchanged."""
    monkeypatch.setattr(streams, "CHUNK_ROWS", 3)
    body = pack(*(make(f"C-{n}") for n in range(30)))
    await cut_after(world, "cut", body, 2)
    lines, counts = read(await send(world, "create", body, "&template=pump-1", {"Idempotency-Key": "cut"}))
    assert (counts["registered"], len(lines)) == (30, 30)
    assert [line["row"] for line in lines] == list(range(1, 31))
    again = await send(world, "create", body, "&template=pump-1", {"Idempotency-Key": "cut"})
    assert read(again) == (lines, counts)
    made = await pool.fetchval(
        "SELECT coalesce(sum(members), 0) FROM (SELECT * FROM changes_pending) p WHERE suffix_keys && $1",
        [f"C-{n}" for n in range(30)],
    )
    assert made == 30


async def test_the_same_stream_sent_many_times_at_once_has_one_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHUNK_ROWS", 2)
    body = pack(*(make(f"M-{n}") for n in range(9)))
    sent = (send(world, "create", body, "&template=pump-1", {"Idempotency-Key": "many"}) for _ in range(12))
    replies = await asyncio.gather(*sent)
    assert {reply.body for reply in replies} == {replies[0].body}
    assert read(replies[0])[1]["registered"] == 9


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_stream_ends_with_the_key_that_began_it_and_keeps_what_was_answered(
    world: World, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    """Revoked with its second chunk; the same stream of another key goes on after it."""
    monkeypatch.setattr(streams, "CHUNK_ROWS", 3)
    made = (await world.ask("POST", f"{V1}/keys", {"note": "to be revoked"})).json
    world.keys["lost"] = f"{made['access_key']}.{made['secret_key']}"
    body, query = pack(*(make(f"R-{dry_run}-{n}") for n in range(9))), f"&template=pump-1&dry_run={dry_run}".lower()
    carry_out, chunks = api_streams.carry_out, 0

    async def revoke_meanwhile(*given: Any, **named: Any) -> Any:
        nonlocal chunks
        chunks += 1
        if chunks == 2:
            await pool.execute("UPDATE access_keys SET revoked = now() WHERE access_key = $1", made["access_key"])
        return await carry_out(*given, **named)

    monkeypatch.setattr(api_streams, "carry_out", revoke_meanwhile)
    *lines, last = map(json.loads, (await send(world, "create", body, query, who="lost")).body.splitlines())
    assert ([line["outcome"] for line in lines], last["error"]["code"]) == (["registered"] * 6, "key_wrong")
    if not dry_run:
        _, counts = read(await send(world, "create", body, query))
        assert (counts["unchanged"], counts["registered"]) == (6, 3)


async def test_another_stream_under_the_same_key_is_refused(world: World) -> None:
    key = {"Idempotency-Key": "reused"}
    await send(world, "create", pack(make("K-1")), "&template=pump-1", key)
    for body, query in ((pack(make("K-2")), "&template=pump-1"), (pack(make("K-1")), "&template=pump-1&update=true")):
        reply = await send(world, "create", body, query, key)
        assert (reply.status, reply.json["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize("cut", [1, 20, 61, 100])
async def test_a_request_that_is_cut_at_any_byte_writes_nothing(world: World, cut: int) -> None:
    body = pack(*(make(f"B-{cut}-{n}") for n in range(3)))
    head = (
        f"POST {V1}/identifiers/stream/create?prefix={PUMP}&template=pump-1 HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {world.keys['pump']}\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    host, port = world.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + body[:cut])
    await writer.drain()
    writer.write_eof()
    await reader.read()
    writer.close()
    assert (await world.ask("GET", f"{V1}/identifiers/{PUMP}/B-{cut}-0")).status == 404


async def test_old_streams_are_forgotten(world: World, pool: asyncpg.Pool) -> None:
    from datetime import timedelta

    from registry.store.streams import delete_old_streams

    await send(world, "create", pack(make("O-1")), "&template=pump-1", {"Idempotency-Key": "old"})
    async with pool.acquire() as conn:
        while await delete_old_streams(conn, world.state.now() + timedelta(days=8), 2):
            pass
        assert await conn.fetchval("SELECT count(*) FROM streams") == 0
        assert await conn.fetchval("SELECT count(*) FROM stream_chunks") == 0


# Batches --------------------------------------------------------------------------------------------------------


async def test_a_batch_changes_items_one_by_one_and_counts(world: World) -> None:
    await create(world, "X-1", "X-2")
    body: dict[str, Any] = {"prefix": PUMP, "items": [{"suffix": "X-1"}, {"suffix": "nope"}, {"suffix": "X-2",
                            "successor": f"{PUMP}/x-2"}], "successor": f"{PUMP}/X-1", "reason": "old"}  # fmt: skip
    reply = (await world.ask("POST", f"{V1}/identifiers/batch/retire", body)).json
    codes = [(item["outcome"], item.get("code")) for item in reply["results"]]
    assert codes == [
        ("refused", "successor_is_itself"),
        ("refused", "identifier_not_found"),
        ("refused", "successor_is_itself"),
    ]
    body["items"] = [{"suffix": "X-2"}]
    reply = (await world.ask("POST", f"{V1}/identifiers/batch/retire", body)).json
    assert (reply["updated"], reply["rows"]) == (1, 1)
    gone = await world.ask("GET", f"{V1}/identifiers/{PUMP}/X-2", who="nobody")
    assert (gone.status, gone.json["successor"]) == (410, f"{PUMP}/X-1")


async def test_a_batch_moves_identifiers_to_another_template_or_replaces_all_values(world: World) -> None:
    await send(world, "create", pack({"suffix": "Y-1", "values": {"model": "A", "flow": "1"}}), "&template=pump-1")
    body = {"prefix": PUMP, "items": [make("Y-1", "B")], "replace": True, "template": "pump-1"}
    assert (await world.ask("POST", f"{V1}/identifiers/batch/update", body)).json["updated"] == 1
    shown = (await world.ask("GET", f"{V1}/identifiers/{PUMP}/Y-1")).json
    assert [(value["type"], value["data"]) for value in shown["values"]] == [("model", "B")]


async def test_a_batch_over_the_limit_is_refused(world: World) -> None:
    body = {"prefix": PUMP, "items": [{"suffix": "x"}] * 10_001}
    reply = await world.ask("POST", f"{V1}/identifiers/batch/freeze", body)
    assert (reply.status, reply.json["code"]) == (400, "field_too_many")


# Questions in bulk ----------------------------------------------------------------------------------------------


async def test_many_questions_are_answered_and_counted_one_by_one(world: World) -> None:
    await create(world, "Q-1", "Q-2")
    await send(world, "retire", pack({"suffix": "Q-2"}), f"&successor={PUMP}/Q-1")
    await send(world, "update", pack({"suffix": "Q-1", "values": {"line": "secret"}}))
    serials = {"prefix": PUMP, "template": "pump-1", "first": "R001", "last": "R999", "values": {"model": "A"}}
    await world.ask("POST", f"{V1}/ranges", serials)
    asked = [f"{PUMP}/q-1", f"{PUMP}/Q-2", f"{PUMP}/R500", f"{PUMP}/none", "99.1/x", "\u0000", f"{PUMP}/Q-1"]
    before = len(world.read_log())
    reply = await world.ask("POST", f"{V1}/identifiers/resolve", {"identifiers": asked}, who="tofu")
    outcomes = [result["outcome"] for result in reply.json["results"]]
    assert outcomes == ["found", "retired", "found", "not_found", "not_found", "not_found", "found"]
    assert (reply.json["asked"], reply.json["found"]) == (7, 3)
    first, retired, member = reply.json["results"][:3]
    assert [value["type"] for value in first["record"]["values"]] == ["model"], "a stranger sees what is public"
    assert retired["successor"] == f"{PUMP}/Q-1" and member["record"]["range"] is True
    logged = world.read_log()[before:]
    assert [answer.outcome for answer in logged] == [Outcome[outcome.upper()] for outcome in outcomes]
    assert {answer.client_class for answer in logged} == {ClientClass.PUBLIC}
    ours = logged[0].prefix_id
    assert [answer.prefix_id for answer in logged] == [ours, ours, ours, ours, 0, 0, ours]
    own = await world.ask("POST", f"{V1}/identifiers/resolve", {"identifiers": asked[:1], "type": ["line"]})
    assert [value["data"] for value in own.json["results"][0]["record"]["values"]] == ["secret"]
    hidden = await world.ask(
        "POST", f"{V1}/identifiers/resolve", {"identifiers": asked[:1], "type": ["line"]}, who="tofu"
    )
    assert hidden.json["results"][0]["outcome"] == "denied"
