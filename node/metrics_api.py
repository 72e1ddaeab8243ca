"""`/metrics` on the registry's port, for who stands in a network that may read it, or has the operator's key."""

import asyncio
from ipaddress import ip_address

from fastapi import APIRouter, Request, Response

from node.metrics import CONTENT_TYPE, collect
from node.settings import RegistrySettings
from registry.api.gate import find_address
from registry.api.state import RegistryState
from registry.keys import authenticate, split_bearer
from registry.late_routes import LateRouter
from registry.store import DATABASE_AWAY
from schemas.errors import ServiceError, Unavailable

DATABASE_SECONDS = 3.0
# A proxy on this machine that is not among IDNODE_TRUSTED_PROXIES must not lend its own address to the world.
FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip", "via")


def make_metrics_router(settings: RegistrySettings) -> APIRouter:
    router = LateRouter()

    @router.get("/metrics", include_in_schema=False)
    async def get_metrics(request: Request) -> Response:
        state: RegistryState = request.app.state.registry
        if not is_near(request, settings):
            await check_operator(request, state)
        return Response(await collect_all(settings, state), media_type=CONTENT_TYPE)

    return router


def is_near(request: Request, settings: RegistrySettings) -> bool:
    """By the address of the connection, or by what a trusted proxy says."""
    if not settings.trusted_proxies and any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ip_address(find_address(request.scope))
    except ValueError:
        return False
    return any(address in network for network in settings.metrics_networks)


async def check_operator(request: Request, state: RegistryState) -> None:
    """Raises Unauthenticated, Forbidden."""
    header = request.headers.get("authorization")
    access_key, secret_key = split_bearer(header)
    address = find_address(request.scope)
    try:
        async with state.connect() as conn:
            principal = await authenticate(conn, access_key, secret_key, address=address)
    except ServiceError as error:
        await state.note_refused("metrics", header or "", address, error)
        raise
    principal.check_operator()


async def collect_all(settings: RegistrySettings, state: RegistryState) -> str:
    """Without the database as much as there is."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS), state.connect() as conn:
            return await collect(settings, conn)
    except (Unavailable, *DATABASE_AWAY):
        return await collect(settings, None)
