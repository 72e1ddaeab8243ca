"""`/ent/v1`: what enterprises' own nodes call (domain.md §f.6), on the registry's port. Signed, not by bearer token."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from asyncpg import Connection
from fastapi import Request, Response

from node import enterprise_node_files as files
from node import enterprise_nodes as nodes
from node.enterprise_nodes import SignedCall
from registry.api.gate import find_address
from registry.api.state import RegistryState
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.errors import InvalidInput, ServiceError, TooLarge

MAX_BODY_BYTES = 262_144
MAX_LIST_BYTES = 2_097_152  # 500 templates

router = LateRouter(prefix="/ent/v1", include_in_schema=False)
Work = Callable[[Connection, Principal, bytes, Any], Awaitable[object]]
Take = Callable[[Connection, Principal, dict[str, Any], Any], Awaitable[object]]


@router.post("/attach")
async def post_attachment(request: Request) -> Response:
    return await _serve(request, _read(nodes.attach))


@router.post("/heartbeat")
async def post_heartbeat(request: Request) -> Response:
    return await _serve(request, _read(nodes.beat))


@router.put("/route")
async def put_route(request: Request) -> Response:
    return await _serve(request, _read(nodes.propose_route))


@router.post("/stats")
async def post_statistics(request: Request) -> Response:
    return await _serve(request, _read(nodes.take_statistics))


@router.post("/monitor")
async def post_monitor(request: Request) -> Response:
    return await _serve(request, _read(nodes.take_monitor))


@router.post("/events")
async def post_event(request: Request) -> Response:
    return await _serve(request, _read(nodes.take_event))


@router.post("/apps")
async def post_applications(request: Request) -> Response:
    """What its administrator does in the console: the key must have the scope for it, too."""
    return await _serve(request, _read(nodes.take_applications))


@router.post("/metadata")
async def post_metadata(request: Request) -> Response:
    return await _serve(request, _read(nodes.take_metadata), MAX_LIST_BYTES)


@router.post("/master")
async def post_master(request: Request) -> Response:
    return await _serve(request, files.take_master, files.MAX_PACKED_BYTES)


@router.put("/logs/{day}/{kind}/{name}")
async def put_log(request: Request, day: str, kind: str, name: str, rev: str = "0") -> Response:
    async def take(conn: Connection, principal: Principal, body: bytes, now: Any) -> object:
        return await files.take_log(conn, principal, files.parse_place(day, kind, name, rev, now), body, now)

    return await _serve(request, take, files.MAX_PACKED_BYTES)


def _read(take: Take) -> Work:
    """A call whose body is a JSON object."""

    async def work(conn: Connection, principal: Principal, body: bytes, now: Any) -> object:
        return await take(conn, principal, _parse(body), now)

    return work


async def _serve(request: Request, work: Work, most_bytes: int = MAX_BODY_BYTES) -> Response:
    """One signed call in one transaction; errors are problem documents as everywhere."""
    state: RegistryState = request.app.state.registry
    try:
        return await _carry_out(request, state, work, most_bytes)
    except ServiceError as error:
        address = find_address(request.scope)
        await state.note_refused("ent", request.headers.get(nodes.KEY, ""), address, error)
        raise


async def _carry_out(request: Request, state: RegistryState, work: Work, most_bytes: int) -> Response:
    """The body is read once its head is believed: nobody else fills our memory."""
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    target = raw_path.decode("ascii") + (f"?{request.url.query}" if request.url.query else "")
    call, now = SignedCall(request.method, target, request.headers, find_address(request.scope)), state.now()
    async with state.connect() as conn:
        principal = await nodes.authenticate_call(conn, state.config.rules.key_ring, call, now)
    principal.check_scope("statistics")
    body = await _receive(request, most_bytes)
    nodes.check_body(call, body)
    async with state.connect() as conn, conn.transaction():
        answer = await work(conn, principal, body, now)
    receipt = {"status": "ACCEPTED", "serverTime": int(now.timestamp() * 1000), "repeated": answer == "repeated"}
    return Response(orjson.dumps(receipt | (answer if isinstance(answer, dict) else {})), media_type="application/json")


async def _receive(request: Request, most_bytes: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most_bytes:
            raise TooLarge("body_too_large", limit=most_bytes)
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any]:
    """Raises InvalidInput, also for the NUL that no database keeps."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or b"\\u0000" in body:
        raise InvalidInput("enterprise_node_body", field="body")
    return document
