"""The rows of the tables of TLN-1, made from what the database says; names as in domain.md appendix 3.6."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from ipaddress import ip_address, ip_network
from typing import Any, Literal

import orjson
from asyncpg import Record

from schemas.days import ZONE, get_day
from schemas.enterprises import Verification, split_division
from schemas.handle_bytes import MalformedMessage
from schemas.handle_values import HTTP, TCP, UDP, decode_site, format_address
from schemas.prefixes import Hosting, PrefixState
from schemas.records import unpack
from schemas.templates import Template, Visibility
from schemas.toplevel_tables import MAX_SOURCES, MONITOR_ITEMS

Row = dict[str, Any]
SourcePolicy = Literal["full", "truncated", "none"]
_ALLOTTED = re.compile(r"\d+(\.\d+)+", re.ASCII)
_PROTOCOLS = {UDP: "udp", TCP: "tcp", HTTP: "http"}
_ENCODINGS = {"handle": "Handle", "oid": "OID"}
# Types of template items → columns of T9 (domain.md appendix 3.7).
_PRODUCT = {
    "category": "productType", "producttype": "productType", "brand": "brand", "productname": "productName",
    "manufacturer": "manufacturer", "mfgdate": "productionTime", "expiry": "expiry", "terminaltype": "terminalType",
    "owner": "owner", "usage": "usage", "imei": "imei", "netlicenceno": "netLicenceNo",
    "netlicencecode": "netLicenceCode", "netlicencesn": "netLicenceSn",
}  # fmt: skip


# Statistics -----------------------------------------------------------------------------------------------------


def make_sources(named: Sequence[tuple[str, int]], total: int, policy: SourcePolicy) -> tuple[list[Row], int]:
    """The sources of a row and the count of all others, which together are `total`.

    A sealed day may be older than the last addresses that were counted: what is too much is left out at the end.
    """
    counts: dict[str, int] = {}
    for address, count in named if policy != "none" else ():
        shown = _truncate(address) if policy == "truncated" else address
        counts[shown] = counts.get(shown, 0) + count
    sources, left = [], total
    for address, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_SOURCES]:
        if count > left:
            break
        sources.append({"ip": address, "count": count})
        left -= count
    return sources, left


def _truncate(address: str) -> str:
    """The network of an address, /24 or /48: enough to see a region, too little to see a person."""
    network = ip_network(address, strict=False)
    bits = 24 if network.version == 4 else 48
    return str(network if network.prefixlen <= bits else network.supernet(new_prefix=bits))


def make_firm_statistics(
    figures: Record, day: date, named: Sequence[tuple[str, int]], policy: SourcePolicy, provisional: bool
) -> Row:
    """A row of T8."""
    sources, others = make_sources(named, figures["resolutions"], policy)
    row = {
        "prefix": figures["prefix"],
        "day": day.isoformat(),
        "regNew": figures["registered_new"],
        "regTotal": figures["registered_total"],
        "rangeMinted": figures["range_minted"],
        "liveTotal": figures["registered_live"],
        "resolveReq": figures["resolutions"],
        "resolveOk": figures["resolutions_ok"],
        "sources": sources,
        "othersCount": others,
    }
    return row | ({"provisional": True} if provisional else {})


def make_own_node(said: Record | None, policy: SourcePolicy) -> Row:
    """What the enterprise's own node says of the day: columns of their own in T8, beside what we counted."""
    if said is None:
        return {}
    sources, others = make_sources(orjson.loads(said["sources"]), said["resolutions"], policy)
    return {
        "nodeRegNew": said["registered_new"],
        "nodeRegTotal": said["registered_total"],
        "nodeResolveReq": said["resolutions"],
        "nodeResolveOk": said["resolutions_ok"],
        "nodeSources": sources,
        "nodeOthersCount": others,
    }


def make_node_statistics(
    prefix: str, day: date, enabled: tuple[int, int], answers: tuple[int, int], sources: tuple[list[Row], int]
) -> Row:
    """The row of T3: enterprise prefixes (new, ever), resolutions (all, successful), (sources, others)."""
    return {
        "prefix": prefix,
        "day": day.isoformat(),
        "entNew": enabled[0],
        "entTotal": enabled[1],
        "resolveReq": answers[0],
        "resolveOk": answers[1],
        "sources": sources[0],
        "othersCount": sources[1],
    }


# Enterprises ----------------------------------------------------------------------------------------------------


def make_firm(firm: Record, operator: Row) -> Row:
    """A row of T6: the public part of the dossier; neither persons nor pictures. `operator`: our own, as in T1."""
    dossier, verify = orjson.loads(firm["dossier"]), _make_verification(firm)
    row: Row = {
        "orgName": firm["name"],
        "crtType": firm["certificate_type"],
        "crtCode": firm["certificate_code"],
        "orgAddr": _make_address(dossier, firm["division_code"] or ""),
        "industry": _make_industry(firm["industry"] or []),
        "prefixes": firm["prefixes"] or [],
        "verify": verify,
        "realName": _make_real_name(verify, operator),
        "namingCompliance": _is_named_by_rule(firm["prefixes"] or []),
        "town": firm["unit"],
        "connectedAt": firm["connected_on"].isoformat() if firm["connected_on"] else None,
        "orgNature": dossier.get("nature"),
        "intro": dossier.get("description"),
        "website": dossier.get("website"),
        "regAuthority": dossier.get("registration_authority"),
        "regCapital": dossier.get("registered_capital_yuan"),
        "establishDate": dossier.get("established_on"),
        "validTo": dossier.get("valid_until"),
        "licences": [{"type": entry["type"], "no": entry["number"]} for entry in dossier.get("licences", [])],
        "build": _make_charge(dossier.get("build")),
        "operate": _make_charge(dossier.get("operation")),
        "systems": [_make_system(system) for system in dossier.get("systems", [])],
        "dataHosting": _make_organisation(dossier.get("data_hosting")),
        "serviceHosting": _make_organisation(dossier.get("service_hosting")),
        "serveIndustries": dossier.get("serve_industries"),
        "extSites": _make_sites(dossier),
    }
    return {name: value for name, value in row.items() if value not in (None, "", [], {}) or name == "prefixes"} | {
        "orgAddr": row["orgAddr"], "industry": row["industry"],
    }  # fmt: skip


def _make_address(dossier: Mapping[str, Any], division_code: str) -> Row:
    province, city, county = split_division(division_code)
    given = {"province": province, "city": city, "county": county, "detail": dossier.get("address", "")}
    return {name: text for name, text in given.items() if text}


def _make_industry(codes: Sequence[str]) -> Row:
    return {"category": codes[0], "specific": codes[1], "codes": list(codes)} if len(codes) > 1 else {}


def _make_verification(firm: Record) -> Row:
    """The result of the real-name check, when it was taken down, and by which account of ours."""
    verify = {"method": "dossier", "result": Verification(firm["verification"]).name.lower()}
    if firm["verified_at"] is None:
        return verify
    return verify | {"at": firm["verified_at"].isoformat(timespec="seconds"), "by": firm["verified_by"]}


def _make_real_name(verify: Row, operator: Row) -> Row:
    """The real-name item: who checks – us or somebody we entrusted, as our own dossier (T1) says – and the result."""
    said = operator.get("realName")
    who = {name: said[name] for name in ("type", "org") if said.get(name)} if isinstance(said, dict) else {}
    return who | {name: verify[name] for name in ("result", "at") if name in verify}


def _is_named_by_rule(prefixes: Sequence[str]) -> bool | None:
    """Whether all prefixes are as they are allotted, digits below the secondary prefix; None if there are none."""
    return all(_ALLOTTED.fullmatch(prefix) and len(prefix) <= 64 for prefix in prefixes) if prefixes else None


def _make_charge(charge: Mapping[str, Any] | None) -> Row | None:
    return {"type": charge.get("type", 1), "org": charge.get("name", "")} if charge else None


def _make_organisation(organisation: Mapping[str, Any] | None) -> Row | None:
    return {"org": organisation.get("name", "")} if organisation else None


def _make_system(system: Mapping[str, Any]) -> Row:
    place = [system.get(name, "") for name in ("province", "city", "county", "address")]
    where = (
        {"cloud": system.get("provider", "")} if system.get("deployment") == 2 else {"addr": " ".join(place).strip()}
    )
    ports = {"ipPorts": system["ip_ports"]} if system.get("ip_ports") else {}
    return {"sysType": system.get("kind"), "deployMode": system.get("deployment")} | where | ports


def _make_sites(dossier: Mapping[str, Any]) -> list[Row]:
    site = {
        "name": dossier.get("site_name", ""), "domain": dossier.get("site_domain", ""),
        "ips": [text for text in dossier.get("site_addresses", "").split(";") if text],
    }  # fmt: skip
    return [site] if any(site.values()) else []


# Prefixes and routes --------------------------------------------------------------------------------------------


def make_route(prefix: str, host: str, ports: Mapping[str, int], encoding: str = "Handle") -> Row:
    """A row of T2 or T7; `host` is an address or a name, `ports` by protocol (tcp, udp, http)."""
    try:
        version = ip_address(host).version
        place = {"ipType": "v6" if version == 6 else "v4", "ip": host}
    except ValueError:
        place = {"ipType": "v4", "domain": host}
    return {"prefix": prefix, "encodingType": encoding} | place | dict(ports)


def list_firm_routes(prefixes: Sequence[Record], own_route: Row) -> list[Row]:
    """T7: ours for what is hosted here, else those of the enterprise's own servers. Enabled prefixes only."""
    rows = []
    for prefix in prefixes:
        if prefix["state"] != PrefixState.ENABLED:
            continue
        if prefix["hosting"] == Hosting.HOSTED or prefix["site"] is None:
            encoding = _ENCODINGS[prefix["scheme"]]
            rows.append(own_route | {"prefix": prefix["prefix"], "encodingType": encoding, "hosted": True})
        else:
            rows += _list_site_routes(prefix)
    return rows


def _list_site_routes(prefix: Record) -> list[Row]:
    try:
        site = decode_site(prefix["site"])
    except MalformedMessage:
        return []
    rows = []
    for server in site.servers:
        ports = {_PROTOCOLS[i.protocol]: i.port for i in server.interfaces if i.protocol in _PROTOCOLS}
        encoding = _ENCODINGS[prefix["scheme"]]
        rows.append(make_route(prefix["prefix"], format_address(server.address), ports, encoding) | {"hosted": False})
    return rows


def make_prefix_request(prefix: Record, told: Sequence[str]) -> Row:
    """A row of POST /prefixes. `told`: whose it was said to be before; the node above may still have any of them."""
    former = [uscc for uscc in dict.fromkeys(told) if uscc != prefix["certificate_code"]]
    row = {
        "prefix": prefix["prefix"],
        "uscc": prefix["certificate_code"],
        "encodingType": _ENCODINGS[prefix["scheme"]],
    }
    return row | ({"formerUsccs": former} if former else {})


def make_prefix_state(prefix: Record) -> Row:
    """The row of PATCH /prefixes/{prefix}."""
    reason = {"reason": prefix["reason"][:255]} if prefix["reason"].strip() else {}
    return {"prefix": prefix["prefix"], "state": prefix["state"]} | reason


# Monitoring -----------------------------------------------------------------------------------------------------


def make_monitor(prefix: str, day: date, spans: Mapping[str, Record], peak: Record | None) -> Row:
    """A row of M1 or M2: milliseconds by kind, and the busiest second; what was not measured is left out."""
    row: Row = {"prefix": prefix, "day": day.isoformat()}
    for kind, span in sorted(spans.items()):
        row |= {
            f"{kind}AvgMs": _say_ms(span["total_us"] / span["number"]),
            f"{kind}MaxMs": _say_ms(span["longest_us"]),
            f"{kind}MaxAt": _say_second(span["longest_at"]),
            f"{kind}MinMs": _say_ms(span["shortest_us"]),
            f"{kind}MinAt": _say_second(span["shortest_at"]),
        }
    return row | ({"maxQps": peak["requests"], "maxQpsAt": _say_second(peak["at"])} if peak is not None else {})


def _say_ms(microseconds: float) -> float:
    return round(microseconds / 1_000, 3)


def _say_second(at: datetime) -> str:
    return at.astimezone(ZONE).isoformat(timespec="seconds")


def make_own_monitor(said: str | None) -> Row:
    """What the enterprise's own node says of how it answered: columns of their own, beside what we measured."""
    found = {} if said is None else orjson.loads(said)
    return {f"node{name[0].upper()}{name[1:]}": found[name] for name in MONITOR_ITEMS if found.get(name) is not None}


def find_event_day(row: Row, now: datetime) -> str:
    """The period of an event: its day, or today where another clock is ahead of ours."""
    return min(get_day(datetime.fromisoformat(row["at"])), get_day(now)).isoformat()


# Alarms of these causes are faults of the network (1); all others are of the system (2).
_NETWORK_CAUSES = frozenset({"database_away"})


def list_events(alarm: Record) -> list[tuple[int, Row]]:
    """M3: (a number of its own, row) of the fault, and of its end once it is over."""
    begun = {
        "eventId": f"A{alarm['alarm_id']}",
        "type": "异常",
        "at": alarm["raised"].isoformat(timespec="seconds"),
        "class": 1 if alarm["cause"] in _NETWORK_CAUSES else 2,
        "item": f"{alarm['cause']} {alarm['subject']}".strip()[:255],
    }
    events = [(2 * alarm["alarm_id"] - 1, begun)]
    if alarm["cleared"] is not None:
        ended = {"eventId": f"{begun['eventId']}R", "type": "恢复", "relatedEventId": begun["eventId"]}
        at = alarm["cleared"].isoformat(timespec="seconds")
        events.append((2 * alarm["alarm_id"], begun | ended | {"at": at}))
    return events


# Templates and master data --------------------------------------------------------------------------------------


def make_template(template: Record) -> Row:
    """A row of T4 or T11."""
    document = orjson.loads(template["document"])
    codes = document.get("industry") or ""
    return {
        "handle": f"{template['prefix']}/META_{template['version']}",
        "code": template["version"],
        "version": template["version"],
        "industry": codes.split("/") if isinstance(codes, str) and codes else list(codes or []),
        "activeCarrier": bool(document.get("active_carrier")),
        "items": [_make_item(item) for item in document.get("items", [])],
    }


def _make_item(item: Mapping[str, Any]) -> Row:
    name = item.get("name")
    names = name if isinstance(name, dict) else {"zh": name or ""}
    return {
        "en": item.get("type", ""), "cn": names.get("zh") or names.get("en") or "", "type": item.get("data", "text"),
        "length": item.get("max_length", 255),
    }  # fmt: skip


def make_master(handle: str, created: date, op: int, content: tuple[bytes, Template | None]) -> Row:
    """A row of T9: what anyone may read of the record, in the columns of the table. op: 1 new, 2 deleted, 3 changed."""
    packed, template = content
    row: Row = {"handle": handle, "created": created.isoformat(), "op": op}
    if template is None:
        return row
    row["metadata"] = template.handle
    if op == 2:
        return row
    for value in unpack(packed)[1]:
        item = template.items_by_index.get(value.index)
        column = _PRODUCT.get(value.type.lower())
        if column and item is not None and item.visibility is Visibility.PUBLIC and value.is_public:
            row[column] = value.data.decode("utf-8", "replace")
    return row
