"""The HTTP side of the rehearsal top-level node: TLN-1 below /tln/v1, resolution, a page, and its score."""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import orjson
from fastapi import FastAPI, Request, Response

from node.toplevel import book as store
from node.toplevel.behaviour import Behaviour, is_turn, read_behaviour
from node.toplevel.book import Book
from node.toplevel.page import render_page
from node.toplevel.receiving import (
    CallRefused,
    Received,
    Reply,
    accept,
    authenticate,
    find_tables,
    make_receipt,
    rotate,
)
from node.toplevel.resolving import answer_http
from node.toplevel.score import score
from schemas.days import get_day
from schemas.signatures import KeyRefused, check_public_key, format_key_id
from schemas.texts import choose_language
from schemas.toplevel_envelope import BASE_PATH, EnvelopeRefused, parse_claims
from schemas.toplevel_tables import CURRENT, HEARTBEAT, REPORT_TYPES, TABLES, Problem, Table, judge_columns, reconcile

MAX_BODY_BYTES = 64 * 1024 * 1024
TASK_STATES = ("done", "failed")
LAST = 2**63 - 1  # the greatest number of a decision


def read_clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class State:
    """What all calls share. `number` counts the calls that were understood, for `…_every`."""

    book: Book
    clock: Callable[[], datetime] = read_clock
    number: int = 0
    started: float = field(default_factory=time.monotonic)


def create_app(book: Book, clock: Callable[[], datetime] = read_clock) -> FastAPI:
    app = FastAPI(title="idnode toplevel", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    state = State(book, clock)
    app.state.toplevel = state
    app.add_api_route("/health", _get_health, methods=["GET"])
    app.add_api_route("/", _get_page, methods=["GET"])
    app.add_api_route("/files/{prefix}/{table}/{period}", _get_file, methods=["GET"])
    app.add_api_route("/sim/score", _get_score, methods=["GET"])
    app.add_api_route("/sim/enrol", _post_enrolment, methods=["POST"])
    app.add_api_route("/api/handles/{handle:path}", _get_handle, methods=["GET"])
    app.add_api_route(f"{BASE_PATH}/{{path:path}}", _serve_call, methods=["GET", "POST", "PUT", "PATCH"])
    return app


def _state(request: Request) -> State:
    state: State = request.app.state.toplevel
    return state


def reply(status: int, document: object) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


async def _get_health(request: Request) -> Response:
    return reply(200, {"status": "ok", "uptimeSec": int(time.monotonic() - _state(request).started)})


async def _get_handle(request: Request, handle: str) -> Response:
    status, document = answer_http(_state(request).book, unquote(handle))
    return reply(status, document)


async def _get_file(request: Request, prefix: str, table: str, period: str) -> Response:
    """A file that came with a report, to be saved: nobody's HTML is shown here."""
    file = store.find_file(_state(request).book, prefix, table, period)
    if file is None:
        return reply(404, {"code": "E601"})
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}"}
    kind = file.media_type if file.media_type in REPORT_TYPES else "application/octet-stream"
    return Response(file.content, 200, headers, kind)


async def _get_score(request: Request) -> Response:
    state = _state(request)
    return reply(200, score(state.book, get_day(state.clock()) - timedelta(days=1)))


async def _get_page(request: Request) -> Response:
    state = _state(request)
    asked = request.query_params.get("lang", "")
    language = asked if asked in ("zh", "en") else choose_language(request.headers.get("accept-language", ""))
    return Response(render_page(state.book, state.clock(), language), media_type="text/html; charset=utf-8")


async def _post_enrolment(request: Request) -> Response:
    """Whoever is on this machine may enrol an app with its first key; further keys come by rotation."""
    state = _state(request)
    if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
        return _refuse(state, request, "", CallRefused(403, (-1, Problem("E209", "address"))))
    try:
        document = orjson.loads(await request.body())
        app, prefix, algorithm, public_key = (
            str(document[name]) for name in ("app", "prefix", "algorithm", "publicKey")
        )
        check_public_key(algorithm, public_key)  # type: ignore[arg-type]  # an unknown one is refused as no key
        key = store.Key(format_key_id(public_key), algorithm, public_key, "active")
        if not app or not prefix:
            raise KeyError("app")
    except (orjson.JSONDecodeError, KeyError, TypeError, KeyRefused):
        return _refuse(state, request, "", CallRefused(400, (-1, Problem("E104", "publicKey"))))
    with store.transaction(state.book):
        owner = store.find_owner(state.book, prefix)
        known = [entry.key_id for entry in store.fetch_keys(state.book, app) if entry.state == "active"]
        if owner not in (None, app) or (known and key.key_id not in known):
            taken = True
        else:
            taken = False
            store.enrol(state.book, app, prefix, key, int(state.clock().timestamp() * 1000))
    if taken:
        return _refuse(state, request, app, CallRefused(409, (-1, Problem("E209", "publicKey"))))
    return reply(200, {"app": app, "prefix": prefix, "keyId": key.key_id})


# TLN-1 ----------------------------------------------------------------------------------------------------------


async def _serve_call(request: Request, path: str) -> Response:
    state = _state(request)
    told = read_behaviour(state.book)
    if told.away:
        return reply(503, {"code": "AWAY"})
    body = await _read_body(request, told.slow_ms)
    if body is None:
        return _refuse(state, request, "", CallRefused(413, (-1, Problem("E104", "body"))))
    app = request.headers.get("X-Tln-App", "")[:100]
    try:
        received = _believe(state, request, body, told)
        _check_media_type(request, find_tables(received.method, f"/{path}"))
        state.number += 1
        number = state.number
        if is_turn(told.fail_every, number):
            return reply(500, {"code": "TOLD_TO_FAIL"})
        answer = _answer(state, received, f"/{path}", told)
        if is_turn(told.double_every, number) and request.method != "GET":
            answer = _answer(state, received, f"/{path}", told)
    except CallRefused as refused:
        return _refuse(state, request, app, refused)
    if told.slow_ms:
        await asyncio.sleep(told.slow_ms / 1000)
    if is_turn(told.lose_every, number):
        return reply(500, {"code": "TOLD_TO_LOSE_RECEIPTS"})
    if is_turn(told.wrong_every, number):
        return reply(200, {"hello": "world"})
    return reply(answer.status, answer.document)


async def _read_body(request: Request, slow_ms: int) -> bytes | None:
    """The body as sent; None if it is too large. A slow reader takes a breath after each piece."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            return None
        if slow_ms and piece:
            await asyncio.sleep(slow_ms / 1000)
    return bytes(body)


def _believe(state: State, request: Request, body: bytes, told: Behaviour) -> Received:
    try:
        claims = parse_claims(request.headers)
    except EnvelopeRefused as refused:
        raise CallRefused(401, (-1, Problem(refused.code, refused.field))) from None
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    target = raw_path.decode("ascii") + (f"?{request.url.query}" if request.url.query else "")
    now = state.clock() + timedelta(seconds=told.skew_seconds)
    received = Received(claims, request.method, target, body, now)
    authenticate(state.book, received)
    return received


def _check_media_type(request: Request, tables: Sequence[Table]) -> None:
    """What the tables of an address travel as; raises CallRefused."""
    for table in tables[:1]:
        wanted = "multipart/form-data" if table.form else "application/x-ndjson" if table.lines else "application/json"
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != wanted:
            raise CallRefused(415, (-1, Problem("E102", "Content-Type")))


def _answer(state: State, received: Received, path: str, told: Behaviour) -> Reply:
    """One call that is believed; raises CallRefused."""
    tables = find_tables(received.method, path)
    if tables:
        return accept(state.book, received, tables, (told.refuse_table, told.decide))
    head, _, rest = path[1:].partition("/")
    if received.method == "GET":
        return _answer_question(state, received, (head, rest), told)
    if (head, rest) == ("heartbeat", ""):
        return _take_heartbeat(state, received, told)
    if (head, rest) == ("keys", ""):
        return rotate(state.book, received)
    if head == "tasks" and rest.endswith("/result"):
        return _take_result(state, received, rest.removesuffix("/result"))
    raise CallRefused(404, (-1, Problem("E601", "path")))


def _answer_question(state: State, received: Received, where: tuple[str, str], told: Behaviour) -> Reply:
    prefix, times = received.claims.prefix, 2 if told.double_every else 1
    query = dict(part.partition("=")[::2] for part in received.target.partition("?")[2].split("&"))
    if where == ("tasks", ""):
        return Reply(200, {"tasks": store.fetch_tasks(state.book, prefix, "open") * times})
    if where == ("entities", "enterprises/decisions"):
        since = query.get("since", "0")
        decisions = store.fetch_decisions(state.book, prefix, min(int(since[:20]), LAST) if since.isdecimal() else 0)
        return Reply(200, {"decisions": decisions * times, "serverTime": received.at_ms})
    if where[0] == "recon" and where[1] in TABLES:
        period = unquote(query.get("period", CURRENT))
        found = reconcile(where[1], store.fetch_rows(state.book, where[1], period, prefix))
        return Reply(200, found._asdict() | {"table": where[1], "period": period})
    if where == ("probes", ""):
        return Reply(200, {"resolveHandle": f"0.NA/{prefix}", "intervalSec": 300})
    raise CallRefused(404, (-1, Problem("E601", "path")))


def _read_document(received: Received) -> dict[str, Any]:
    try:
        document = orjson.loads(received.body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise CallRefused(400, (-1, Problem("E104", "body")))
    return document


def _take_heartbeat(state: State, received: Received, told: Behaviour) -> Reply:
    document = _read_document(received)
    if len(received.body) > 1_024:
        raise CallRefused(413, (-1, Problem("E104", "body")))
    wrong = judge_columns(HEARTBEAT, document)
    if wrong:
        raise CallRefused(400, *((-1, problem) for problem in wrong))
    store.note_heartbeat(state.book, received.claims.prefix, document, received.at_ms)
    tasks = store.fetch_tasks(state.book, received.claims.prefix, "open") * (2 if told.double_every else 1)
    return Reply(200, make_receipt([], 1, 1, received.at_ms) | {"tasks": tasks})


def _take_result(state: State, received: Received, task_id: str) -> Reply:
    document = _read_document(received)
    outcome = (str(document.get("status")), str(document.get("message", ""))[:1_000])
    if outcome[0] not in TASK_STATES:
        raise CallRefused(400, (-1, Problem("E102", "status")))
    if not store.finish_task(state.book, task_id, received.claims.prefix, outcome):
        raise CallRefused(404, (-1, Problem("E601", "id")))
    return Reply(200, make_receipt([], 1, 1, received.at_ms))


def _refuse(state: State, request: Request, app: str, refused: CallRefused) -> Response:
    now_ms = int(state.clock().timestamp() * 1000)
    for number, problem in refused.problems:
        where = (app, request.url.path[:200])
        store.note_refusal(state.book, now_ms, where, (*problem, "" if number < 0 else str(number)))
    receipt = make_receipt(refused.problems, 0, 1, now_ms)
    return reply(refused.status, receipt | {"code": receipt["rejected"][0]["code"]})
