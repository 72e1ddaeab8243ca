"""Enterprises' own nodes report to us (domain.md §f.6): signed calls, and figures that are kept apart.

A call is signed by HMAC-SHA256 or HMAC-SM3 over the same text as in TLN-1; the key of the HMAC is the lower-case
hexadecimal SHA-256 of an access key's secret, so that the secret itself never travels. Everything is told as absolute
values with a revision: it may arrive any number of times, in any order, and the highest revision holds.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_network
from typing import Any

import orjson
from asyncpg import Connection
from cryptography.hazmat.primitives.hashes import SHA256, SM3, Hash
from cryptography.hazmat.primitives.hmac import HMAC

from node.applications import put_application, read_row
from node.enterprise_node_probes import PROBED_SUFFIX, PROTOCOLS
from node.report_rows import make_route
from node.store import enterprise_nodes as store
from registry.api.problems import InvalidBody
from registry.audit import note
from registry.keys import format_signin_context, is_access_key, make_key_principal
from registry.principals import Order, Principal
from registry.store.holders import find_key_holder
from schemas.days import get_day
from schemas.errors import Conflict, InvalidInput, NotFound, SlowDown, Unauthenticated
from schemas.sealing import KeyRing, SealBroken, unseal
from schemas.toplevel_envelope import CLOCK_WINDOW_MS, encode_canonical, format_signed_text
from schemas.toplevel_tables import MONITOR_ITEMS, TABLES, Problem, Table, format_row_key, judge_row

KEY, TIME, NONCE = "X-Ent-Key", "X-Ent-Ts", "X-Ent-Nonce"
ALGORITHM, DIGEST, SIGNATURE = "X-Ent-Alg", "X-Ent-Digest", "X-Ent-Sign"
HASHES = {"HMAC-SHA256": SHA256, "HMAC-SM3": SM3}
HEARTBEAT_SECONDS = 60
SILENT_AFTER = timedelta(minutes=5)
CLOCKS_APART = timedelta(milliseconds=CLOCK_WINDOW_MS)
KEPT = timedelta(days=400)  # older days are neither taken nor kept
MAX_REVISION = 2**31 - 1
MAX_APPLICATIONS, MAX_TEMPLATES, MAX_ITEMS, MAX_INDUSTRIES = 100, 500, 500, 10
MAX_EVENTS_PER_DAY = 1_000
PROBLEMS_TOLD = 20


@dataclass(frozen=True, slots=True)
class SignedCall:
    """The head of a call as it came: whom to believe is known before its body is read. `address` is the client's."""

    method: str
    target: str
    headers: Mapping[str, str]
    address: str


def make_signature(
    secret_key: str, call: tuple[str, str], claims: tuple[int, str, str], algorithm: str = "HMAC-SHA256"
) -> str:
    """What an enterprise's node sends: (method, path with query), (time in ms, nonce, digest)."""
    key = sha256(secret_key.encode()).hexdigest().encode()
    return b64encode(_sign(algorithm, key, format_signed_text(*call, claims))).decode()


def _sign(algorithm: str, key: bytes, signed: bytes) -> bytes:
    mac = HMAC(key, HASHES[algorithm]())
    mac.update(signed)
    return mac.finalize()


async def authenticate_call(conn: Connection, ring: KeyRing, call: SignedCall, now: datetime) -> Principal:
    """Who calls; raises Unauthenticated, the same for all that is wrong with key or signature."""
    given = {name: call.headers.get(name, "") for name in (KEY, TIME, NONCE, DIGEST, SIGNATURE)}
    algorithm = call.headers.get(ALGORITHM, "HMAC-SHA256")
    time_ms = int(given[TIME]) if given[TIME].isascii() and given[TIME].isdigit() and len(given[TIME]) <= 15 else 0
    if abs(time_ms - int(now.timestamp() * 1000)) > CLOCK_WINDOW_MS:
        raise Unauthenticated("enterprise_node_clock", field=TIME)
    nonce = given[NONCE]
    if not is_access_key(given[KEY]) or not (16 <= len(nonce) <= 64 and nonce.isascii() and nonce.isalnum()):
        raise Unauthenticated("enterprise_node_signature", field=NONCE)
    if algorithm not in HASHES:
        raise Unauthenticated("enterprise_node_signature", field=ALGORITHM)
    holder = await find_key_holder(conn, given[KEY])
    if holder is None or holder.hashed_signin is None:
        raise Unauthenticated("enterprise_node_signature", field=KEY)
    try:
        key = unseal(ring, holder.hashed_signin, format_signin_context(given[KEY]))
        signature = b64decode(given[SIGNATURE], validate=True)
    except (SealBroken, NotBase64, ValueError):
        raise Unauthenticated("enterprise_node_signature", field=SIGNATURE) from None
    signed = format_signed_text(call.method, call.target, (time_ms, nonce, given[DIGEST]))
    if not hmac.compare_digest(_sign(algorithm, key, signed), signature):
        raise Unauthenticated("enterprise_node_signature", field=SIGNATURE)
    principal = make_key_principal(holder, now, call.address)
    if not await store.take_nonce(conn, given[KEY], nonce, now):
        raise Unauthenticated("enterprise_node_replay", field=NONCE)
    return principal


def check_body(call: SignedCall, body: bytes) -> None:
    """Raise Unauthenticated unless this is the body whose digest was signed."""
    hashed = Hash(HASHES[call.headers.get(ALGORITHM, "HMAC-SHA256")]())
    hashed.update(body)
    if not hmac.compare_digest(b64encode(hashed.finalize()), call.headers.get(DIGEST, "").encode()):
        raise Unauthenticated("enterprise_node_digest", field=DIGEST)


# What is told, and by whom --------------------------------------------------------------------------------------


def get_prefix_id(principal: Principal, document: Mapping[str, Any]) -> int:
    """The prefix a call is about must be the caller's own; raises InvalidInput if none is named, NotFound."""
    prefix = document.get("prefix")
    if not isinstance(prefix, str):
        raise InvalidInput("ent_e101", field="prefix")
    prefix_id = principal.prefixes.get(prefix)
    if prefix_id is None:
        raise NotFound("prefix_not_found", field="prefix", prefix=prefix[:64])
    return prefix_id


async def open_day(
    conn: Connection, principal: Principal, document: Mapping[str, Any], day: date, now: datetime
) -> int:
    """The prefix whose day it is. Raises NotFound, InvalidInput for an old day, and Conflict for another owner's day.

    A prefix may have been another enterprise's before: what that one's node said stays as it is.
    """
    prefix_id = get_prefix_id(principal, document)
    if day < get_day(now - KEPT):
        raise InvalidInput("enterprise_node_day_old", field="day", day=day, days=KEPT.days)
    if await store.is_of_another(conn, prefix_id, principal.enterprise_id, day):
        raise Conflict("enterprise_node_other_owner", field="day", day=day, prefix=document["prefix"])
    await beat(conn, principal, document, now)
    return prefix_id


def list_problems(table: Table, row: object, prefix: str, period: str) -> list[Problem]:
    """What is wrong with a row of a node of this prefix: the rules of the contract, and that it is its own."""
    found = judge_row(table, row, prefix.rpartition(".")[0], period)
    if found or not isinstance(row, dict):
        return found
    told = (name for name in ("prefix", "handle", "handleLast") if row.get(name) is not None)
    return [Problem("E302", name) for name in told if str(row[name]).partition("/")[0] != prefix]


def refuse(problems: Sequence[tuple[str, Problem]]) -> None:
    """Raise InvalidBody with the first of (where, problem), if there are any: each names its row and field."""
    if problems:
        raise InvalidBody([
            (f"ent_{code.lower()}", f"{place}{field}", {}) for place, (code, field) in problems[:PROBLEMS_TOLD]
        ])  # fmt: skip


def read_revision(document: Mapping[str, Any]) -> int:
    """`rev`, 0 if it is left out; raises InvalidInput."""
    rev = document.get("rev", 0)
    if type(rev) is not int or not 0 <= rev <= MAX_REVISION:
        raise InvalidInput("ent_e108", field="rev")
    return rev


def read_rows(document: Mapping[str, Any], table: Table, least: int, most: int) -> list[dict[str, Any]]:
    """The rows of a list, each of the caller's prefix and no two of the same key; raises InvalidInput."""
    rows = document.get("rows")
    if not isinstance(rows, list) or not least <= len(rows) <= most:
        raise InvalidInput("enterprise_node_rows", field="rows", least=least, most=most)
    found: list[tuple[str, Problem]] = []
    seen: set[str] = set()
    for number, row in enumerate(rows):
        problems = list_problems(table, row, str(document["prefix"]), "")
        if not problems:
            key = format_row_key(table, row)
            problems = [Problem("E109", table.key[-1])] if key in seen else []
            seen.add(key)
        found += ((f"rows[{number}].", problem) for problem in problems)
    refuse(found)
    return rows


def pick(table: Table, row: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """The columns of the contract, and those named; what else a node says is left out."""
    names = (*(column.name for column in table.columns), *more)
    return {name: row[name] for name in names if row.get(name) is not None}


# The calls ------------------------------------------------------------------------------------------------------


def read_route(prefix: str, given: object) -> dict[str, Any]:
    """A route as T7 has it, at an IP address: behind NAT the one it has outside. Raises InvalidInput."""
    route = given if isinstance(given, dict) else {}
    ports = {name: route[name] for name in PROTOCOLS if route.get(name) is not None}
    row = make_route(prefix, str(route.get("publicIp") or route.get("ip", "")), ports)
    if route.get("ipType") not in (None, row["ipType"]):
        raise InvalidInput("enterprise_node_route", field="route.ipType")
    problems = judge_row(TABLES["T7"], row, prefix.rpartition(".")[0], "current")
    if problems or "%" in row.get("ip", "%"):  # a name, or an address of one link alone
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
    day, rev = str(document.get("day", "")), read_revision(document)
    problems = list_problems(TABLES[table], dict(document), str(document["prefix"]), day)
    if not problems and date.fromisoformat(day) > get_day(now):
        problems = [Problem("E514", "day")]
    refuse([("", problem) for problem in problems])
    return date.fromisoformat(day), rev


def _pack_sources(sources: Sequence[Mapping[str, Any]]) -> str:
    """[[address or network, count], …] as JSON; what is neither, a hash for one, counts with the others."""
    named = []
    for source in sources:
        with suppress(ValueError):
            network = ip_network(source["ip"].partition("%")[0], strict=False)
            whole = network.prefixlen == network.max_prefixlen
            named.append([str(network.network_address if whole else network), source["count"]])
    return orjson.dumps(named).decode()


async def take_statistics(
    conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime
) -> str | None:
    """A row of T8 with `rev`, stored beside our own figures. `repeated` for one that is there; raises ServiceError."""
    get_prefix_id(principal, document)
    day, rev = read_day(document, "T8", now)
    prefix_id = await open_day(conn, principal, document, day, now)
    new, total, asked, answered = (document[name] for name in ("regNew", "regTotal", "resolveReq", "resolveOk"))
    figures = (rev, new, total, asked, answered, _pack_sources(document["sources"]))
    if await store.store_day(conn, prefix_id, day, figures, now):
        return None
    if await store.has_other_day(conn, prefix_id, day, figures):
        raise Conflict("enterprise_node_revision", field="rev", about=str(day), rev=rev)
    return "repeated"


async def take_monitor(
    conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime
) -> str | None:
    """A row of M2 with `rev`, stored beside our own; `repeated` for one that is there. Raises ServiceError."""
    get_prefix_id(principal, document)
    day, rev = read_day(document, "M2", now)
    prefix_id = await open_day(conn, principal, document, day, now)
    said = {name: document[name] for name in MONITOR_ITEMS if document.get(name) is not None}
    stored = rev, orjson.dumps(said).decode()
    if await store.store_monitor(conn, prefix_id, day, stored, now):
        return None
    if not await store.is_same_monitor(conn, prefix_id, day, stored):
        raise Conflict("enterprise_node_revision", field="rev", about=str(day), rev=rev)
    return "repeated"


async def take_applications(
    conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Rows of T10, as if its people had registered them: added, or changed where known. Raises ServiceError."""
    get_prefix_id(principal, document)
    await beat(conn, principal, document, now)
    rows, prefix, written = read_rows(document, TABLES["T10"], 1, MAX_APPLICATIONS), str(document["prefix"]), 0
    for row in rows:
        written += await put_application(conn, Order(principal, now), prefix, read_row(row))
    if written:
        await note(conn, Order(principal, now), "POST /ent/v1/apps", prefix)
    return {"received": len(rows), "written": written}


async def take_metadata(
    conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """All templates of the node as rows of T11, with `rev`: what is not among them is there no more."""
    prefix_id = get_prefix_id(principal, document)
    rev, table = read_revision(document), TABLES["T11"]
    rows = read_rows(document, table, 0, MAX_TEMPLATES)
    refuse([(f"rows[{number}].", problem) for number, row in enumerate(rows) for problem in _judge_template(row)])
    await beat(conn, principal, document, now)
    kept = [pick(table, row) | {"items": [_pick_item(item) for item in row["items"]]} for row in rows]
    documents = {str(row["handle"]): encode_canonical(row).decode() for row in kept}
    content = sha256("".join(documents[handle] for handle in sorted(documents)).encode()).digest()
    known = await store.lock_metadata(conn, prefix_id)
    if known is not None and known[0] >= rev:
        if known[0] == rev and known[1] != content:
            raise Conflict("enterprise_node_revision", field="rev", about="T11", rev=rev)
        return {"received": len(rows), "repeated": True}
    await store.store_metadata(conn, prefix_id, (rev, content), documents, now)
    return {"received": len(rows)}


def _judge_template(row: Mapping[str, Any]) -> list[Problem]:
    """Bounds beside the rules of the contract."""
    items, industry = row["items"], row["industry"]
    texts = [item.get(name) for item in items for name in ("en", "cn", "type")]
    if len(items) > MAX_ITEMS or any(text is not None and len(str(text)) > 255 for text in texts):
        return [Problem("E103", "items")]
    is_long = len(industry) > MAX_INDUSTRIES or any(len(code) > 40 for code in industry)
    return [Problem("E103", "industry")] if is_long else []


def _pick_item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("en", "cn", "type", "length") if item.get(name) is not None}


async def take_event(conn: Connection, principal: Principal, document: Mapping[str, Any], now: datetime) -> str | None:
    """A row of M3. An event happened once: the same again is `repeated`, another one of its id is refused."""
    get_prefix_id(principal, document)
    table = TABLES["M3"]
    refuse([("", problem) for problem in list_problems(table, dict(document), str(document["prefix"]), "")])
    at = datetime.fromisoformat(document["at"])
    if at > now + CLOCKS_APART:
        raise InvalidInput("enterprise_node_future", field="at")
    prefix_id = await open_day(conn, principal, document, get_day(at), now)
    event = str(document["eventId"]), at, orjson.dumps(pick(table, document)).decode()
    if await store.store_event(conn, prefix_id, event, now):
        if await store.count_events(conn, prefix_id, now - timedelta(days=1)) > MAX_EVENTS_PER_DAY:
            raise SlowDown("enterprise_node_events", field="eventId", most=MAX_EVENTS_PER_DAY, seconds=3_600)
        return None
    if not await store.is_same_event(conn, prefix_id, event):
        raise Conflict("enterprise_node_event", field="eventId", event=event[0])
    return "repeated"
