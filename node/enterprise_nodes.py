"""Enterprises' own nodes report to us (domain.md §f.6): signed calls, routes that are probed, figures kept apart.

A call is signed by HMAC-SHA256 over the same text as in TLN-1; the key of the HMAC is the lower-case hexadecimal
SHA-256 of an access key's secret, so that the secret itself never travels.
"""

import asyncio
import hmac
import logging
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any

import aiohttp
import orjson
from asyncpg import Connection

from node.applications import put_application, read_row
from node.handle_client import ask
from node.report_rows import make_route
from node.store import enterprise_nodes as store
from registry.audit import note
from registry.keys import format_signin_context, is_access_key, make_key_principal
from registry.prefixes import host_prefix, make_site
from registry.principals import Order, Principal
from registry.store.holders import find_key_holder
from resolver.public_network import is_public
from schemas.days import get_day
from schemas.errors import Conflict, InvalidInput, NotFound, ServiceError, Unauthenticated
from schemas.handle_bodies import ResolutionRequest
from schemas.handle_bytes import MalformedMessage
from schemas.prefixes import Hosting
from schemas.sealing import KeyRing, SealBroken, unseal
from schemas.toplevel_envelope import CLOCK_WINDOW_MS, format_signed_text
from schemas.toplevel_tables import MONITOR_ITEMS, TABLES, judge_row

KEY, TIME, NONCE = "X-Ent-Key", "X-Ent-Ts", "X-Ent-Nonce"
DIGEST, SIGNATURE = "X-Ent-Digest", "X-Ent-Sign"
PROBE_SECONDS = 5.0
PROBED_SUFFIX = "ping-handle"
NO_ANSWER, NOT_PUBLIC = "no answer", "not an address of the public internet"
HEARTBEAT_SECONDS = 60
SILENT_AFTER = timedelta(minutes=5)
MAX_APPLICATIONS = 100
PROTOCOLS = ("tcp", "udp", "http")

log = logging.getLogger("idnode.toplevel")


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A call as it came; `address` is the client's."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    address: str


def make_signature(secret_key: str, call: tuple[str, str], claims: tuple[int, str, str]) -> str:
    """What an enterprise's node sends: (method, path with query), (time in ms, nonce, digest)."""
    key = sha256(secret_key.encode()).hexdigest().encode()
    return b64encode(hmac.digest(key, format_signed_text(*call, claims), "sha256")).decode()


async def authenticate_call(conn: Connection, ring: KeyRing, call: SignedCall, now: datetime) -> Principal:
    """Who calls; raises Unauthenticated, the same for all that is wrong with key or signature."""
    given = {name: call.headers.get(name, "") for name in (KEY, TIME, NONCE, DIGEST, SIGNATURE)}
    if not given[TIME].isdecimal() or abs(int(given[TIME]) - now.timestamp() * 1000) > CLOCK_WINDOW_MS:
        raise Unauthenticated("enterprise_node_clock", field=TIME)
    if not is_access_key(given[KEY]) or not 16 <= len(given[NONCE]) <= 64 or not given[NONCE].isalnum():
        raise Unauthenticated("enterprise_node_signature", field=NONCE)
    holder = await find_key_holder(conn, given[KEY])
    if holder is None or holder.hashed_signin is None:
        raise Unauthenticated("enterprise_node_signature", field=KEY)
    try:
        key = unseal(ring, holder.hashed_signin, format_signin_context(given[KEY]))
        signature = b64decode(given[SIGNATURE], validate=True)
    except (SealBroken, NotBase64, ValueError):
        raise Unauthenticated("enterprise_node_signature", field=SIGNATURE) from None
    signed = format_signed_text(call.method, call.target, (int(given[TIME]), given[NONCE], given[DIGEST]))
    whole = hmac.compare_digest(b64encode(sha256(call.body).digest()).decode(), given[DIGEST])
    if not (hmac.compare_digest(hmac.digest(key, signed, "sha256"), signature) and whole):
        raise Unauthenticated("enterprise_node_signature", field=SIGNATURE)
    principal = make_key_principal(holder, now, call.address)
    if not await store.take_nonce(conn, given[KEY], given[NONCE], now):
        raise Unauthenticated("enterprise_node_replay", field=NONCE)
    return principal


def get_prefix_id(principal: Principal, document: Mapping[str, Any]) -> int:
    """The prefix a call is about must be the caller's own; raises NotFound."""
    prefix = document.get("prefix")
    prefix_id = principal.prefixes.get(prefix) if isinstance(prefix, str) else None
    if prefix_id is None:
        raise NotFound("prefix_not_found", field="prefix", prefix=str(prefix)[:64])
    return prefix_id


def read_route(prefix: str, given: object) -> dict[str, Any]:
    """A route as T7 has it, at an IP address: behind NAT the one it has outside. Raises InvalidInput."""
    route = given if isinstance(given, dict) else {}
    ports = {name: route[name] for name in PROTOCOLS if route.get(name) is not None}
    row = make_route(prefix, str(route.get("publicIp") or route.get("ip", "")), ports)
    if route.get("ipType") not in (None, row["ipType"]):
        raise InvalidInput("enterprise_node_route", field="route.ipType")
    problems = judge_row(TABLES["T7"], row, prefix.rpartition(".")[0], "current")
    if problems or "ip" not in row:
        raise InvalidInput("enterprise_node_route", field=f"route.{problems[0].field if problems else 'ip'}")
    return row


async def attach(conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """First contact; a route may come with it. What the node should do."""
    prefix_id = get_prefix_id(principal, document)
    await store.attach(conn, prefix_id, str(document.get("software", ""))[:100], now)
    if document.get("route") is not None:
        await propose_route(conn, principal, document, now)
    intervals = {"heartbeatSec": HEARTBEAT_SECONDS, "statsAfter": "00:10", "monitorAfter": "00:20"}
    config = {"intervals": intervals, "drop": "http", "probeHandle": PROBED_SUFFIX}
    return {"prefix": document["prefix"], "config": config} | intervals | {"probeHandle": PROBED_SUFFIX}


async def propose_route(conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime) -> None:
    """It goes live when a probe has found it."""
    prefix_id = get_prefix_id(principal, document)
    route = orjson.dumps(read_route(str(document["prefix"]), document.get("route"))).decode()
    if not await store.propose_route(conn, prefix_id, route, now):
        raise Conflict("enterprise_node_not_attached", field="prefix", prefix=document["prefix"])


async def beat(conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime) -> None:
    """Raises Conflict before the first contact."""
    if not await store.note_seen(conn, get_prefix_id(principal, document), now):
        raise Conflict("enterprise_node_not_attached", field="prefix", prefix=document["prefix"])


def read_day(document: Mapping[str, Any], table: str, now: datetime) -> tuple[date, int]:
    """Day and revision of a row of this table that keeps its rules and is not of a day to come; raises InvalidInput."""
    day, rev = str(document.get("day", "")), document.get("rev", 0)
    problems = judge_row(TABLES[table], dict(document), str(document["prefix"]).rpartition(".")[0], day)
    if problems or type(rev) is not int or rev < 0 or date.fromisoformat(day) > get_day(now):
        code, field = problems[0] if problems else ("E514", "day")
        raise InvalidInput("enterprise_node_statistics", field=field, rule=code)
    return date.fromisoformat(day), rev


async def take_statistics(
    conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime
) -> str | None:
    """A row of T8 with `rev`, stored beside our own figures. `repeated` for one that is there; raises ServiceError."""
    prefix_id = get_prefix_id(principal, document)
    day, rev = read_day(document, "T8", now)
    figures = (rev, *(document[name] for name in ("regNew", "regTotal", "resolveReq", "resolveOk")))
    await beat(conn, principal, document, now)
    if await store.store_day(conn, prefix_id, day, figures, now):
        return None
    known = await store.find_day(conn, prefix_id, day)
    if known is not None and known["revision"] == rev and tuple(known) != figures:
        raise Conflict("enterprise_node_revision", field="rev", day=str(day), rev=rev)
    return "repeated"


async def take_monitor(
    conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime
) -> str | None:
    """A row of M2 with `rev`, stored beside our own; `repeated` for one that is there. Raises ServiceError."""
    prefix_id = get_prefix_id(principal, document)
    day, rev = read_day(document, "M2", now)
    await beat(conn, principal, document, now)
    said = {name: document[name] for name in MONITOR_ITEMS if document.get(name) is not None}
    stored = rev, orjson.dumps(said).decode()
    if await store.store_monitor(conn, prefix_id, day, stored, now):
        return None
    if not await store.is_same_monitor(conn, prefix_id, day, stored):
        raise Conflict("enterprise_node_revision", field="rev", day=str(day), rev=rev)
    return "repeated"


async def take_applications(
    conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Rows of T10, as if its people had registered them: added, or changed where known. Raises ServiceError."""
    get_prefix_id(principal, document)
    await beat(conn, principal, document, now)
    rows, prefix = document.get("rows"), str(document["prefix"])
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_APPLICATIONS:
        raise InvalidInput("enterprise_node_applications", field="rows", most=MAX_APPLICATIONS)
    written = 0
    for number, row in enumerate(rows):
        problems = judge_row(TABLES["T10"], row, prefix.rpartition(".")[0], "")
        if problems or row["prefix"] != prefix:
            code, field = problems[0] if problems else ("E302", "prefix")
            raise InvalidInput("enterprise_node_statistics", field=f"rows[{number}].{field}", rule=code)
        written += await put_application(conn, Order(principal, now), prefix, read_row(row))
    if written:
        await note(conn, Order(principal, now), "POST /ent/v1/apps", prefix)
    return {"received": len(rows), "written": written}


# Probing --------------------------------------------------------------------------------------------------------


async def probe_routes(conn: Connection, now: datetime, private_too: bool = False) -> int:
    """Probe what was proposed; what answers goes live if the prefix is not hosted here. How many were looked at."""
    proposed = await store.fetch_proposed(conn)
    for entry in proposed:
        route = orjson.loads(entry["route"])
        if entry["hosting"] != Hosting.NOT_HOSTED:
            verdict = ("waiting", "the prefix is hosted here")
        else:
            trouble = await probe(entry["prefix"], route, private_too)
            verdict = ("failed", trouble) if trouble else await _go_live(conn, entry["prefix"], route, now)
        await store.store_probe(conn, entry["prefix_id"], entry["route"], verdict, now)
    return len(proposed)


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
    address = str(route["ip"])
    if not private_too and not is_public(address):
        return NOT_PUBLIC
    for name in PROTOCOLS:
        if route.get(name):
            trouble = await _probe_port(name, (address, route[name]), f"{prefix}/{PROBED_SUFFIX}")
            if trouble:
                return f"{name}: {trouble}"
    return ""


async def _probe_port(protocol: str, address: tuple[str, int], handle: str) -> str:
    try:
        if protocol == "http":
            return await _probe_http(address, handle)
        question = ResolutionRequest(handle.encode(), [], [])
        await asyncio.to_thread(ask, question, address, udp=protocol == "udp", timeout_seconds=PROBE_SECONDS)
    except (OSError, TimeoutError, MalformedMessage, aiohttp.ClientError):
        return NO_ANSWER
    return ""


async def _probe_http(address: tuple[str, int], handle: str) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://{host}:{address[1]}/{handle}", allow_redirects=False) as answer,
    ):
        return "" if answer.status < 500 else NO_ANSWER
