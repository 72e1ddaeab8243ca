"""Values as the JSON of the Handle REST API (handle-protocol 6.4)."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from schemas.handle_bytes import MalformedMessage
from schemas.handle_values import (
    HASH_BY_HANDLE,
    Site,
    decode_admin,
    decode_integer,
    decode_key,
    decode_site,
    decode_vlist,
    format_address,
)
from schemas.values import DEFAULT_PERMISSIONS, Reference, Value

# What the reference counts as control characters; 0x09 to 0x13 pass.
_CONTROLS = frozenset([*range(0x09), *range(0x14, 0x20), 0x7F])
_CONTROL_BYTES = bytes(_CONTROLS)
_PROTOCOLS = ("UDP", "TCP", "HTTP", "HTTPS")


def format_value(value: Value) -> dict[str, Any]:
    """One value, its members in the order of the reference."""
    shown: dict[str, Any] = {"index": value.index, "type": value.type, "data": format_data(value)}
    if value.permissions != DEFAULT_PERMISSIONS:
        shown["permissions"] = f"{value.permissions & 0x0F:04b}"
    shown["ttl"] = format_instant(value.ttl_seconds) if value.ttl_is_absolute else value.ttl_seconds
    if value.timestamp:
        shown["timestamp"] = format_instant(value.timestamp)
    if value.references:
        shown["references"] = [_format_reference(r) for r in value.references]
    return shown


def encode_tail(values: list[Value] | None) -> bytes:
    """What follows the echoed handle in an answer, from its closing quote on; None: no list of values."""
    if values is None:
        return b'"}'
    return b'","values":' + orjson.dumps([format_value(value) for value in values]) + b"}"


@lru_cache(maxsize=64)  # all values of a record have the same one
def format_instant(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def has_special_format(value_type: str) -> bool:
    """Whether data of this type are shown as something else than text or base64."""
    return value_type.upper() in _FORMATS


def format_data(value: Value) -> dict[str, Any]:
    """Format and content by type; data that does not decode as its type falls back to the general rule."""
    special = _FORMATS.get(value.type.upper())
    if special is not None:
        name, decode = special
        try:
            return {"format": name, "value": decode(value.data)}
        except (MalformedMessage, ValueError):
            pass
    return format_general(value.data)


def format_general(data: bytes) -> dict[str, Any]:
    """Text if it is UTF-8 without control characters, else base64."""
    if not _has_controls(data):
        try:
            return {"format": "string", "value": data.decode()}
        except UnicodeDecodeError:
            pass
    return {"format": "base64", "value": b64encode(data).decode()}


def _has_controls(data: bytes) -> bool:
    return len(data.translate(None, _CONTROL_BYTES)) != len(data)


def _format_reference(reference: Reference) -> dict[str, Any]:
    return {"handle": reference.handle, "index": reference.index}


def _format_admin(data: bytes) -> dict[str, Any]:
    admin = decode_admin(data)
    shown = {"handle": admin.handle, "index": admin.index, "permissions": f"{admin.permissions & 0x0FFF:012b}"}
    return shown | ({"legacyByteLength": True} if admin.trailing else {})


def _format_vlist(data: bytes) -> list[dict[str, Any]]:
    return [_format_reference(reference) for reference in decode_vlist(data)]


def format_site(data: bytes) -> dict[str, Any]:
    """A site record; raises MalformedMessage."""
    site: Site = decode_site(data)
    shown: dict[str, Any] = {
        "version": site.format_version,
        "protocolVersion": f"{site.major}.{site.minor}",
        "serialNumber": site.serial,
        "primarySite": site.is_primary,
        "multiPrimary": site.is_multi_primary,
    }
    if site.hash_option != HASH_BY_HANDLE:
        shown["hashOption"] = site.hash_option
    if site.hash_filter:
        shown["hashFilter"] = site.hash_filter.decode("utf-8", "replace")
    if site.attributes:
        shown["attributes"] = [{"name": name, "value": value} for name, value in site.attributes]
    shown["servers"] = [
        {
            "serverId": server.server_id,
            "address": format_address(server.address),
            **({"publicKey": _format_server_key(server.public_key)} if server.public_key else {}),
            "interfaces": [
                {
                    "query": bool(interface.type & 2),
                    "admin": bool(interface.type & 1),
                    "protocol": _PROTOCOLS[interface.protocol] if interface.protocol < 4 else str(interface.protocol),
                    "port": interface.port,
                }
                for interface in server.interfaces
            ],
        }
        for server in site.servers
    ]
    return shown


def _format_server_key(data: bytes) -> dict[str, Any]:
    try:
        return {"format": "key", "value": _format_key(data)}
    except (MalformedMessage, ValueError):
        return format_general(data)


def _format_key(data: bytes) -> dict[str, Any]:
    """A JSON web key; raises ValueError for keys that have no such form."""
    key = decode_key(data)
    fields = key.named_fields if key.flags is not None or key.fields else {}
    if key.key_type == "RSA_PUB_KEY":
        return {"kty": "RSA", "n": _format_number(fields["n"]), "e": _format_number(fields["e"])}
    if key.key_type == "DSA_PUB_KEY":
        return {"kty": "DSA", **{name: _format_number(fields[name]) for name in ("y", "p", "q", "g")}}
    raise ValueError(f"no JSON form of {key.key_type}")


def _format_number(data: bytes) -> str:
    """A big integer as base64url without padding, without leading zero bytes."""
    number = decode_integer(data)
    unsigned = number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")
    return urlsafe_b64encode(unsigned).decode().rstrip("=")


_FORMATS: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "HS_ADMIN": ("admin", _format_admin),
    "HS_VLIST": ("vlist", _format_vlist),
    "HS_SITE": ("site", format_site),
    "HS_SITE.6": ("site", format_site),
    "HS_SITE.PREFIX": ("site", format_site),
    "HS_NA_DELEGATE": ("site", format_site),
    "HS_PUBKEY": ("key", _format_key),
}
