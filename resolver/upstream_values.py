"""Reading values of the Handle REST form as another server gives them (handle-protocol 6.4).

Whatever is wrong with them is a ValueError: the answer is foreign, nobody here can mend it.
"""

from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable
from datetime import datetime
from typing import Any

from schemas.handle_values import (
    HTTP,
    HTTPS,
    MULTI_PRIMARY,
    PRIMARY,
    TCP,
    UDP,
    Admin,
    Interface,
    KeyRecord,
    Server,
    Site,
    encode_admin,
    encode_key,
    encode_site,
    encode_vlist,
    make_rsa_key,
    parse_address,
)
from schemas.values import DEFAULT_PERMISSIONS, DEFAULT_TTL_SECONDS, MAX_VALUES, Reference, Value

_PROTOCOLS = {"UDP": UDP, "TCP": TCP, "HTTP": HTTP, "HTTPS": HTTPS}
_MAX_INT32 = 0x7FFF_FFFF


def parse_values(items: object) -> list[Value]:
    """The member `values` of an answer; an absent one is no values."""
    if items is None:
        return []
    if not isinstance(items, list) or len(items) > MAX_VALUES:
        raise ValueError("`values` is no list of at most 2,048")
    try:
        return [_parse_value(item) for item in items]
    except (AttributeError, KeyError, TypeError, OverflowError) as error:  # a shape nobody announced
        raise ValueError(f"a value that cannot be read: {error!r}") from error


def _parse_value(item: dict[str, Any]) -> Value:
    index, type_, ttl = _parse_number(item["index"]), item["type"], item.get("ttl", DEFAULT_TTL_SECONDS)
    if not isinstance(type_, str):
        raise ValueError("a type that is no text")
    absolute = isinstance(ttl, str) and not ttl.isdecimal()
    return Value(
        index,
        type_,
        parse_data(item["data"]),
        ttl_seconds=_parse_instant(ttl) if absolute else _parse_number(ttl),
        permissions=_parse_permissions(item.get("permissions")),
        timestamp=_parse_instant(item["timestamp"]) if "timestamp" in item else 0,
        ttl_is_absolute=absolute,
        references=tuple(_parse_reference(r) for r in item.get("references", ())),
    )


def parse_data(data: object) -> bytes:
    """The member `data` of a value: a bare string, or a format and a value."""
    if isinstance(data, str):
        return data.encode()
    if not isinstance(data, dict):
        raise ValueError("data that is neither text nor an object")
    parse = _FORMATS.get(data.get("format", ""))
    if parse is None:
        raise ValueError(f"unknown data format {str(data.get('format'))[:20]!r}")
    return parse(data["value"])


def _parse_base64(text: str) -> bytes:
    return b64decode(text, validate=True)


def _parse_admin(value: dict[str, Any]) -> bytes:
    trailing = bytes(2) if value.get("legacyByteLength") else b""
    permissions = int(value["permissions"], 2) & 0xFFFF
    return encode_admin(Admin(permissions, value["handle"], _parse_number(value["index"]), trailing))


def _parse_vlist(value: list[dict[str, Any]]) -> bytes:
    return encode_vlist(_parse_reference(item) for item in value)


def _parse_site(value: dict[str, Any]) -> bytes:
    major, _, minor = str(value.get("protocolVersion", "2.11")).partition(".")
    mask = (PRIMARY if value.get("primarySite") else 0) | (MULTI_PRIMARY if value.get("multiPrimary") else 0)
    return encode_site(
        Site(
            serial=_parse_number(value.get("serialNumber", 1)) & 0xFFFF,
            servers=tuple(_parse_server(server) for server in value.get("servers", ())),
            attributes=tuple((a["name"], a["value"]) for a in value.get("attributes", ())),
            primary_mask=mask,
            hash_option=_parse_number(value.get("hashOption", 2)) & 0xFF,
            hash_filter=str(value.get("hashFilter", "")).encode(),
            major=int(major) & 0xFF,
            minor=int(minor or 0) & 0xFF,
            format_version=_parse_number(value.get("version", 1)) & 0xFFFF,
        )
    )


def _parse_server(server: dict[str, Any]) -> Server:
    key = server.get("publicKey")
    interfaces = tuple(
        Interface(
            bool(i.get("admin")) | bool(i.get("query")) << 1,
            _PROTOCOLS[str(i["protocol"]).upper()],
            _parse_number(i["port"]),
        )
        for i in server.get("interfaces", ())
    )
    address = parse_address(server["address"])
    return Server(_parse_number(server["serverId"]), address, parse_data(key) if key else b"", interfaces)


def _parse_key(value: dict[str, Any]) -> bytes:
    """A JSON web key; key types other than RSA and DSA have no record of their own here."""
    if value["kty"] == "RSA":
        return encode_key(make_rsa_key(_parse_big(value["e"]), _parse_big(value["n"])))
    if value["kty"] == "DSA":
        fields = tuple(_pad_sign(_parse_base64url(value[name])) for name in ("q", "p", "g", "y"))
        return encode_key(KeyRecord("DSA_PUB_KEY", fields))
    raise ValueError("an unknown kind of key")


def _parse_base64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _parse_big(text: str) -> int:
    return int.from_bytes(_parse_base64url(text), "big")


def _pad_sign(number: bytes) -> bytes:
    """Java's two's complement form: a zero byte first if the top bit is set."""
    return b"\0" + number if number[:1] >= b"\x80" else number


_FORMATS: dict[str, Callable[[Any], bytes]] = {
    "string": str.encode,
    "base64": _parse_base64,
    "hex": bytes.fromhex,
    "admin": _parse_admin,
    "vlist": _parse_vlist,
    "site": _parse_site,
    "key": _parse_key,
}


def _parse_number(number: object) -> int:
    """A number that fits an i32; strings of digits are taken too."""
    if isinstance(number, bool) or not isinstance(number, int | str):
        raise ValueError("not a number")
    parsed = int(number)
    if not -_MAX_INT32 <= parsed <= _MAX_INT32:
        raise ValueError("a number out of range")
    return parsed


def _parse_permissions(text: object) -> int:
    """`adminRead adminWrite publicRead publicWrite`, left out when it is 1110."""
    return DEFAULT_PERMISSIONS if text is None else int(str(text), 2) & 0x0F


def _parse_instant(text: str) -> int:
    """An ISO 8601 instant as unix seconds that fit an i32."""
    return _parse_number(int(datetime.fromisoformat(text).timestamp()))


def _parse_reference(item: dict[str, Any]) -> Reference:
    handle = item["handle"]
    if not isinstance(handle, str):
        raise ValueError("a reference without a handle")
    return Reference(handle, _parse_number(item["index"]))
