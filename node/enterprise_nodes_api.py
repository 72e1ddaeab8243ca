"""`/ent/v1`: what enterprises' own nodes call (domain.md §f.6), on the registry's port. Signed, not by bearer token."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from asyncpg import Connection
from fastapi import APIRouter, Request, Response

from node import enterprise_nodes as nodes
from node.enterprise_nodes import SignedCall
from registry.api.gate import find_address
from registry.api.state import RegistryState
from registry.principals import Principal
from schemas.errors import InvalidInput, ServiceError, TooLarge

MAX_BODY_BYTES = 262_144

router = APIRouter(prefix="/ent/v1", include_in_schema=False)
Work = Callable[[Connection, Principal, dict[str, Any], Any], Awaitable[object]]


@router.post("/attach")
async def post_attachment(request: Request) -> Response:
    return await _serve(request, nodes.attach)


@router.post("/heartbeat")
async def post_heartbeat(request: Request) -> Response:
    return await _serve(request, nodes.beat)


@router.put("/route")
async def put_route(request: Request) -> Response:
    return await _serve(request, nodes.propose_route)


@router.post("/stats")
async def post_statistics(request: Request) -> Response:
    return await _serve(request, nodes.take_statistics)


@router.post("/monitor")
async def post_monitor(request: Request) -> Response:
    return await _serve(request, nodes.take_monitor)


@router.post("/apps")
async def post_applications(request: Request) -> Response:
    """What its administrator does in the console: the key must have the scope for it, too."""
    return await _serve(request, nodes.take_applications)


async def _serve(request: Request, work: Work) -> Response:
    """One signed call in one transaction; errors are problem documents as everywhere."""
    state: RegistryState = request.app.state.registry
    try:
        return await _carry_out(request, state, work)
    except ServiceError as error:
        address = find_address(request.scope)
        await state.note_refused("ent", request.headers.get(nodes.KEY, ""), address, error)
        raise


async def _carry_out(request: Request, state: RegistryState, work: Work) -> Response:
    body = await _read(request)
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    target = raw_path.decode("ascii") + (f"?{request.url.query}" if request.url.query else "")
    address = find_address(request.scope)
    now = state.now()
    async with state.connect() as conn:
        call = SignedCall(request.method, target, request.headers, body, address)
        principal = await nodes.authenticate_call(conn, state.config.rules.key_ring, call, now)
        principal.check_scope("statistics")
        document = _parse(body)
        async with conn.transaction():
            answer = await work(conn, principal, document, now)
    receipt = {"status": "ACCEPTED", "serverTime": int(now.timestamp() * 1000), "repeated": answer == "repeated"}
    return Response(orjson.dumps(receipt | (answer if isinstance(answer, dict) else {})), media_type="application/json")


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge("body_too_large", limit=MAX_BODY_BYTES)
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise InvalidInput("enterprise_node_body", field="body")
    return document
