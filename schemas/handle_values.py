"""Handle value records and the data of the types a server must know, as bytes (handle-protocol 3).

Decoding raises MalformedMessage and nothing else; what was decoded is encoded back to the same bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct

from schemas.handle_bytes import (
    MalformedMessage,
    Reader,
    encode_bytes,
    encode_i32,
    encode_list,
    encode_text,
    encode_u16,
)
from schemas.values import Reference, Value

_VALUE_HEAD = Struct(">iIBiB")  # index, timestamp, ttl type, ttl, permissions
_SITE_HEAD = Struct(">HBBHBB")  # format, major, minor, serial, primary mask, hash option
_INTERFACE = Struct(">BBi")
_NO_REFERENCES = bytes(4)
MIN_VALUE_BYTES = 26
_MIN_REFERENCE_BYTES = 8
_MIN_ATTRIBUTE_BYTES = 8
_MIN_SERVER_BYTES = 28


# Values (3.1)


def decode_value(reader: Reader) -> Value:
    """One value record; a ttl type other than 0 and 1 is refused."""
    index, timestamp, ttl_type, ttl, permissions = reader.unpack(_VALUE_HEAD)
    if ttl_type > 1:
        raise MalformedMessage(f"ttl type {ttl_type}")
    type_, data = reader.text(), reader.bytes_()
    count = reader.count(_MIN_REFERENCE_BYTES)
    references = tuple(_decode_reference(reader) for _ in range(count)) if count else ()
    return Value(index, type_, data, ttl, permissions, timestamp, ttl_type == 1, references)


def encode_value(value: Value) -> bytes:
    type_ = value.type.encode("utf-8", "surrogateescape")
    head = _VALUE_HEAD.pack(value.index, value.timestamp, value.ttl_is_absolute, value.ttl_seconds, value.permissions)
    references = encode_list(map(_encode_reference, value.references)) if value.references else _NO_REFERENCES
    lengths = encode_i32(len(type_)), encode_i32(len(value.data))
    return b"".join((head, lengths[0], type_, lengths[1], value.data, references))


def decode_values(reader: Reader) -> list[Value]:
    """An i32 count and that many values, back to back."""
    return [decode_value(reader) for _ in range(reader.count(MIN_VALUE_BYTES))]


def encode_values(values: Iterable[Value]) -> bytes:
    return encode_list(encode_value(v) for v in values)


def _decode_reference(reader: Reader) -> Reference:
    return Reference(reader.text(), reader.i32())


def _encode_reference(reference: Reference) -> bytes:
    return encode_text(reference.handle) + encode_i32(reference.index)


# HS_ADMIN (3.3)

ADMIN_ADD_HANDLE, ADMIN_DELETE_HANDLE = 0x0001, 0x0002
ADMIN_ADD_PREFIX, ADMIN_DELETE_PREFIX = 0x0004, 0x0008
ADMIN_MODIFY_VALUE, ADMIN_REMOVE_VALUE, ADMIN_ADD_VALUE = 0x0010, 0x0020, 0x0040
ADMIN_MODIFY_ADMIN, ADMIN_REMOVE_ADMIN, ADMIN_ADD_ADMIN = 0x0080, 0x0100, 0x0200
ADMIN_READ_VALUE, ADMIN_LIST_HANDLES, ADMIN_LIST_PREFIXES = 0x0400, 0x0800, 0x1000
ADMIN_ALL = 0x0FFF


@dataclass(frozen=True, slots=True)
class Admin:
    """Who may do what; index 0 is any key of the handle. `trailing` are the two zero bytes of old writers."""

    permissions: int
    handle: str
    index: int
    trailing: bytes = b""


def decode_admin(data: bytes) -> Admin:
    reader = Reader(data)
    return Admin(reader.u16(), reader.text(), reader.i32(), reader.rest())


def encode_admin(admin: Admin) -> bytes:
    return encode_u16(admin.permissions) + encode_text(admin.handle) + encode_i32(admin.index) + admin.trailing


# HS_VLIST (3.5)


def decode_vlist(data: bytes) -> tuple[Reference, ...]:
    """The references of a group; bytes after the last are refused."""
    reader = Reader(data)
    count = reader.count(_MIN_REFERENCE_BYTES)
    references = tuple(_decode_reference(reader) for _ in range(count))
    reader.expect_end()
    return references


def encode_vlist(references: Iterable[Reference]) -> bytes:
    return encode_list(_encode_reference(r) for r in references)


# HS_SITE (3.4)

PRIMARY, MULTI_PRIMARY = 0x80, 0x40
HASH_BY_PREFIX, HASH_BY_SUFFIX, HASH_BY_HANDLE = 0, 1, 2
OUT_OF_SERVICE, ADMIN_INTERFACE, QUERY_INTERFACE, ADMIN_AND_QUERY = 0, 1, 2, 3
UDP, TCP, HTTP, HTTPS = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Interface:
    """`type` is what it serves (admin, query, both), `protocol` one of UDP, TCP, HTTP, HTTPS."""

    type: int
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class Server:
    """`address` is 16 bytes (see parse_address), `public_key` a key record or empty."""

    server_id: int
    address: bytes
    public_key: bytes = b""
    interfaces: tuple[Interface, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """Servers that together answer for prefixes; `serial` is bumped on every change."""

    serial: int = 1
    servers: tuple[Server, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    primary_mask: int = PRIMARY
    hash_option: int = HASH_BY_HANDLE
    hash_filter: bytes = b""
    major: int = 2
    minor: int = 11
    format_version: int = 1

    @property
    def is_primary(self) -> bool:
        return bool(self.primary_mask & PRIMARY)

    @property
    def is_multi_primary(self) -> bool:
        return bool(self.primary_mask & MULTI_PRIMARY)


def decode_site(data: bytes) -> Site:
    """A site record; bytes after the last server are refused, as the reference does."""
    reader = Reader(data)
    format_version, major, minor, serial, mask, hash_option = reader.unpack(_SITE_HEAD)
    hash_filter = reader.bytes_()
    attribute_count = reader.count(_MIN_ATTRIBUTE_BYTES)
    attributes = tuple((reader.text(), reader.text()) for _ in range(attribute_count))
    servers = tuple(_decode_server(reader) for _ in range(reader.count(_MIN_SERVER_BYTES)))
    reader.expect_end()
    return Site(serial, servers, attributes, mask, hash_option, hash_filter, major, minor, format_version)


def _decode_server(reader: Reader) -> Server:
    server_id, address, public_key = reader.i32(), reader.take(16), reader.bytes_()
    count = reader.count(_INTERFACE.size)
    return Server(server_id, address, public_key, tuple(_decode_interface(reader) for _ in range(count)))


def _decode_interface(reader: Reader) -> Interface:
    type_, protocol, port = reader.unpack(_INTERFACE)
    return Interface(type_, protocol, port)


def encode_site(site: Site) -> bytes:
    head = _SITE_HEAD.pack(
        site.format_version, site.major, site.minor, site.serial, site.primary_mask, site.hash_option
    )
    attributes = encode_list(encode_text(name) + encode_text(value) for name, value in site.attributes)
    return head + encode_bytes(site.hash_filter) + attributes + encode_list(map(_encode_server, site.servers))


def _encode_server(server: Server) -> bytes:
    if len(server.address) != 16:
        raise ValueError(f"a server address is 16 bytes, not {len(server.address)}")
    interfaces = encode_list(_INTERFACE.pack(i.type, i.protocol, i.port) for i in server.interfaces)
    return encode_i32(server.server_id) + server.address + encode_bytes(server.public_key) + interfaces


def parse_address(text: str) -> bytes:
    """An IP address as the 16 bytes of a site record: IPv4 right-aligned after twelve zero bytes."""
    return ip_address(text).packed.rjust(16, b"\0")


def format_address(address: bytes) -> str:
    """The inverse; `::1` cannot be told from 0.0.0.1 and is shown as IPv6, being the likelier one."""
    if any(address[:12]) or address[12:15] == b"\0\0\0":
        return str(IPv6Address(address))
    return str(IPv4Address(address[12:]))


# Key records (3.6)

_KEY_FIELDS = {
    "RSA_PUB_KEY": ("e", "n"),
    "DSA_PUB_KEY": ("q", "p", "g", "y"),
    "DH_PUB_KEY": ("y", "p", "g"),
    "SM2_PUB_KEY": ("key",),
    "SM9_PUB_KEY": ("identity",),
    "DSA_PRIV_KEY": ("x", "p", "q", "g"),
    "RSA_PRIVCRT_KEY": ("n", "e", "d", "p", "q", "dP", "dQ", "qInv"),
    "RSA_PRIV_KEY": ("n", "d"),
}


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as its fields' bytes, in the order of the wire; private keys have no `flags`.

    Of a key type we do not know, everything after the type is in `trailing`.
    """

    key_type: str
    fields: tuple[bytes, ...]
    flags: int | None = 0
    trailing: bytes = b""

    @property
    def named_fields(self) -> dict[str, bytes]:
        return dict(zip(_KEY_FIELDS.get(self.key_type, ()), self.fields, strict=True))


def decode_key(data: bytes) -> KeyRecord:
    """A key record; only its shape is checked, not whether the numbers make a sound key."""
    reader = Reader(data)
    key_type = reader.text()
    names = _KEY_FIELDS.get(key_type)
    if names is None:
        return KeyRecord(key_type, (), None, reader.rest())
    flags = reader.u16() if key_type.endswith("_PUB_KEY") else None
    fields = tuple(reader.bytes_() for _ in names)
    return KeyRecord(key_type, fields, flags, reader.rest())


def encode_key(key: KeyRecord) -> bytes:
    flags = b"" if key.flags is None else encode_u16(key.flags)
    return encode_text(key.key_type) + flags + b"".join(map(encode_bytes, key.fields)) + key.trailing


def make_rsa_key(exponent: int, modulus: int) -> KeyRecord:
    """An RSA public key with the four zero bytes that the Java writer always leaves behind it."""
    return KeyRecord("RSA_PUB_KEY", (encode_integer(exponent), encode_integer(modulus)), trailing=bytes(4))


def encode_integer(number: int) -> bytes:
    """A non-negative big integer in Java's two's complement form: a zero byte first if the top bit is set."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def decode_integer(data: bytes) -> int:
    """A big integer, read as unsigned whether or not the leading zero byte is there."""
    return int.from_bytes(data, "big")
