"""Routes that enterprises' nodes proposed are asked before they go live (domain.md §f.6), and nothing else ever is."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import orjson
from asyncpg import Connection, Record

from node.handle_client import ask
from node.store import enterprise_nodes as store
from registry.prefixes import host_prefix, make_site
from registry.principals import Order, Principal
from schemas.errors import ServiceError
from schemas.handle_bodies import ResolutionRequest
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import ResponseCode
from schemas.prefixes import Hosting

PROBE_SECONDS = 5.0
PROBED_AGAIN_AFTER = timedelta(minutes=1)  # however often a route is proposed: nobody scans ports by us
PROBED_SUFFIX = "ping-handle"
NO_ANSWER, NOT_PUBLIC = "no answer", "not an address of the public internet"
NOT_ITS_OWN, OURSELVES = "answers for other prefixes", "an address of this node"
PROTOCOLS = ("tcp", "udp", "http")
# What a server answers that is responsible for the prefix, whether or not it has the identifier.
_ANSWERS = {
    ResponseCode.SUCCESS, ResponseCode.HANDLE_NOT_FOUND, ResponseCode.VALUES_NOT_FOUND,
    ResponseCode.AUTHENTICATION_NEEDED,
}  # fmt: skip
# Where the operator may let nodes be; never the neighbours on a link, among them the hosts of rented machines.
_PRIVATE = tuple(map(ip_network, (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128",
)))  # fmt: skip
Place = tuple[str, Mapping[str, int]]


async def probe_routes(conn: Connection, now: datetime, private_too: bool = False, own: Place = ("", {})) -> int:
    """Probe what was proposed; what answers goes live if the prefix is not hosted here. How many were looked at.

    `own`: host and ports under which this node answers itself. All are asked at once: who is slow delays nobody.
    """
    proposed = await store.fetch_proposed(conn, now, PROBED_AGAIN_AFTER)
    troubles = await asyncio.gather(*(_judge(entry, private_too, own) for entry in proposed))
    for entry, trouble in zip(proposed, troubles, strict=True):
        if trouble is None:
            verdict = ("waiting", "the prefix is hosted here")
        elif trouble:
            verdict = ("failed", trouble)
        else:
            verdict = await _go_live(conn, entry["prefix"], orjson.loads(entry["route"]), now)
        await store.store_probe(conn, entry["prefix_id"], entry["route"], verdict, now)
    return len(proposed)


async def _judge(entry: Record, private_too: bool, own: Place) -> str | None:
    """As `probe`; None for a prefix that is hosted here, of which nothing is asked."""
    if entry["hosting"] != Hosting.NOT_HOSTED:
        return None
    route = orjson.loads(entry["route"])
    if any(route.get(name) == port and _is_same(route["ip"], own[0]) for name, port in own[1].items()):
        return OURSELVES
    return await probe(entry["prefix"], route, private_too)


def _is_same(address: str, host: str) -> bool:
    try:
        return ip_address(address) == ip_address(host)
    except ValueError:
        return False


async def _go_live(conn: Connection, prefix: str, route: dict[str, Any], now: datetime) -> tuple[str, str]:
    site = make_site(route["ip"], {name: route[name] for name in PROTOCOLS if route.get(name)}, int(now.timestamp()))
    order = Order(Principal("operator", "probe:enterprise-node"), now, "the enterprise's own node answered")
    try:
        await host_prefix(conn, order, prefix, site)
    except ServiceError as error:
        return "failed", str(error)[:300]
    return "active", ""


async def probe(prefix: str, route: Mapping[str, Any], private_too: bool) -> str:
    """Empty if every port of the route answers, else what is wrong.

    Only addresses of the public internet are asked, and only ever a fixed question; the route holds an address and no
    name, so that it cannot point elsewhere afterwards. What was answered is shown to nobody.
    """
    from resolver.public_network import is_public

    address = str(route["ip"])
    if not is_public(address) and not (private_too and any(ip_address(address) in network for network in _PRIVATE)):
        return NOT_PUBLIC
    for name in PROTOCOLS:
        if route.get(name):
            trouble = await _probe_port(name, (address, route[name]), f"{prefix}/{PROBED_SUFFIX}")
            if trouble:
                return f"{name}: {trouble}"
    return ""


async def _probe_port(protocol: str, address: tuple[str, int], handle: str) -> str:
    import aiohttp  # the agent's alone: the registry shows what was found, and starts without it

    try:
        if protocol == "http":
            return await _probe_http(address, handle)
        question = ResolutionRequest(handle.encode(), [], [])
        reply = await asyncio.to_thread(
            ask, question, address, udp=protocol == "udp", timeout_seconds=PROBE_SECONDS
        )  # fmt: skip
    except (OSError, TimeoutError, MalformedMessage, aiohttp.ClientError):
        return NO_ANSWER
    return "" if reply.code in _ANSWERS else NOT_ITS_OWN


async def _probe_http(address: tuple[str, int], handle: str) -> str:
    import aiohttp

    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://{host}:{address[1]}/{handle}", allow_redirects=False) as answer,
    ):
        return "" if answer.status < 500 else NO_ANSWER
