"""Values, administrators, sites, groups and keys: both ways, byte for byte."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.handle_bytes import MalformedMessage, Reader
from schemas.handle_values import (
    Admin,
    Interface,
    KeyRecord,
    Server,
    Site,
    decode_admin,
    decode_integer,
    decode_key,
    decode_site,
    decode_value,
    decode_values,
    decode_vlist,
    encode_admin,
    encode_integer,
    encode_key,
    encode_site,
    encode_value,
    encode_values,
    encode_vlist,
    format_address,
    make_rsa_key,
    parse_address,
)
from schemas.values import Reference, Value

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]


def _vectors(*kinds: str) -> list[Any]:
    return [pytest.param(v, id=v["name"]) for v in VECTORS if v["kind"] in kinds]


def _decode_one_value(data: bytes) -> Value:
    reader = Reader(data)
    value = decode_value(reader)
    reader.expect_end()
    return value


CODECS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "data:value": (_decode_one_value, encode_value),
    "data:HS_ADMIN": (decode_admin, encode_admin),
    "data:HS_SITE": (decode_site, encode_site),
    "data:HS_VLIST": (decode_vlist, encode_vlist),
    "data:HS_PUBKEY": (decode_key, encode_key),
    "data:private": (decode_key, encode_key),
}


def _show_value(value: Value) -> dict[str, Any]:
    return {
        "index": value.index, "timestamp": value.timestamp, "ttlType": int(value.ttl_is_absolute),
        "ttl": value.ttl_seconds, "permissions": f"{value.permissions:02x}", "type": value.type,
        "data": value.data.decode(), "references": [[r.handle, r.index] for r in value.references],
    }  # fmt: skip


def _show_admin(admin: Admin) -> dict[str, Any]:
    return {
        "permissions": f"{admin.permissions:04x}", "adminHandle": admin.handle,
        "adminIndex": admin.index, "trailingBytes": admin.trailing.hex(),
    }  # fmt: skip


def _show_key(key: KeyRecord) -> dict[str, Any]:
    shown = {"keyType": key.key_type, "trailingBytes": key.trailing.hex()}
    flags = {} if key.flags is None else {"flags": key.flags}
    return shown | flags | {name: data.hex() for name, data in key.named_fields.items()}


def _show_site(site: Site) -> dict[str, Any]:
    return {
        "formatVersion": site.format_version, "protocol": f"{site.major}.{site.minor}", "serial": site.serial,
        "primary": site.is_primary, "multiPrimary": site.is_multi_primary, "hashOption": site.hash_option,
        "hashFilter": site.hash_filter.decode(), "attributes": [list(a) for a in site.attributes],
        "servers": [
            {
                "serverId": s.server_id, "address": s.address.hex(),
                "publicKey": _show_key(decode_key(s.public_key)) if s.public_key else "",
                "interfaces": [{"type": i.type, "protocol": i.protocol, "port": i.port} for i in s.interfaces],
            }
            for s in site.servers
        ],
    }  # fmt: skip


SHOW: dict[str, Callable[[Any], dict[str, Any]]] = {
    "data:value": _show_value,
    "data:HS_ADMIN": _show_admin,
    "data:HS_SITE": _show_site,
    "data:HS_VLIST": lambda references: {"references": [[r.handle, r.index] for r in references]},
    "data:HS_PUBKEY": _show_key,
    "data:private": _show_key,
}


@pytest.mark.parametrize("vector", _vectors(*CODECS))
def test_data_vectors_both_ways(vector: dict[str, Any]) -> None:
    decode, encode = CODECS[vector["kind"]]
    data = bytes.fromhex(vector["hex"])
    decoded = decode(data)
    assert SHOW[vector["kind"]](decoded) == vector["decoded"]
    assert encode(decoded) == data


@pytest.mark.parametrize("vector", _vectors(*CODECS))
def test_every_truncation_is_refused_or_shorter_by_its_trailing_bytes(vector: dict[str, Any]) -> None:
    decode, encode = CODECS[vector["kind"]]
    data = bytes.fromhex(vector["hex"])
    whole = decode(data)
    optional = len(getattr(whole, "trailing", b""))
    for size in range(len(data)):
        if size >= len(data) - optional:
            assert encode(decode(data[:size])) == data[:size]
        else:
            with pytest.raises(MalformedMessage):
                decode(data[:size])


@pytest.mark.parametrize("vector", _vectors(*CODECS))
def test_a_mutation_is_refused_or_encodes_back_to_itself(vector: dict[str, Any]) -> None:
    decode, encode = CODECS[vector["kind"]]
    data = bytes.fromhex(vector["hex"])
    chance = random.Random(vector["name"])
    for _ in range(2_000):
        mutated = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            mutated[chance.randrange(len(mutated))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        try:
            decoded = decode(bytes(mutated))
        except MalformedMessage:
            continue
        assert encode(decoded) == mutated


# Names of all texts: any bytes that came in as text can go out again.
TEXTS = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape"))
I32 = st.integers(-(2**31), 2**31 - 1)
U8, U16 = st.integers(0, 255), st.integers(0, 0xFFFF)
REFERENCES = st.builds(Reference, TEXTS, I32)
VALUES = st.builds(
    Value, I32, TEXTS, st.binary(max_size=30), I32, U8, st.integers(0, 2**32 - 1), st.booleans(),
    st.lists(REFERENCES, max_size=3).map(tuple),
)  # fmt: skip
SERVERS = st.builds(
    Server, I32, st.binary(min_size=16, max_size=16), st.binary(max_size=9),
    st.lists(st.builds(Interface, U8, U8, I32), max_size=3).map(tuple),
)  # fmt: skip
SITES = st.builds(
    Site, U16, st.lists(SERVERS, max_size=3).map(tuple), st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
    U8, U8, st.binary(max_size=5), U8, U8, U16,
)  # fmt: skip


@given(st.lists(VALUES, max_size=4))
def test_values_round_trip(values: list[Value]) -> None:
    reader = Reader(encode_values(values))
    assert decode_values(reader) == values
    reader.expect_end()


@given(st.builds(Admin, U16, TEXTS, I32, st.binary(max_size=3)))
def test_administrators_round_trip(admin: Admin) -> None:
    assert decode_admin(encode_admin(admin)) == admin


@given(st.lists(REFERENCES, max_size=4).map(tuple))
def test_groups_round_trip(references: tuple[Reference, ...]) -> None:
    assert decode_vlist(encode_vlist(references)) == references


@given(SITES)
def test_sites_round_trip(site: Site) -> None:
    assert decode_site(encode_site(site)) == site


@given(st.integers(0, 2**70), st.integers(0, 2**70))
def test_rsa_keys_round_trip(exponent: int, modulus: int) -> None:
    key = decode_key(encode_key(make_rsa_key(exponent, modulus)))
    assert {n: decode_integer(d) for n, d in key.named_fields.items()} == {"e": exponent, "n": modulus}


@pytest.mark.parametrize(
    ("number", "data"), [(0, "00"), (1, "01"), (0x7F, "7f"), (0x80, "0080"), (0x8123, "008123"), (0x7FFF, "7fff")]
)
def test_big_integers_are_written_as_java_writes_them(number: int, data: str) -> None:
    assert encode_integer(number).hex() == data


def test_a_key_of_an_unknown_type_is_kept_as_it_is() -> None:
    data = b"\0\0\0\x03XYZ" + bytes(range(20))
    assert encode_key(decode_key(data)) == data
    assert decode_key(data).named_fields == {}


def test_an_rsa_key_without_the_four_zero_bytes_is_read() -> None:
    data = encode_key(make_rsa_key(65537, 2**512 + 1))[:-4]
    assert encode_key(decode_key(data)) == data


def test_the_two_bytes_of_old_administrator_records_survive() -> None:
    data = encode_admin(Admin(0x0FFF, "0.NA/88.101.5", 300)) + b"\0\0"
    assert decode_admin(data).trailing == b"\0\0"
    assert encode_admin(decode_admin(data)) == data


@pytest.mark.parametrize(
    ("address", "packed"),
    [
        ("192.0.2.10", "000000000000000000000000c000020a"),
        ("2001:db8::1", "20010db8000000000000000000000001"),
        ("::1", "00000000000000000000000000000001"),
    ],
)
def test_addresses(address: str, packed: str) -> None:
    assert parse_address(address).hex() == packed
    assert format_address(bytes.fromhex(packed)) == address


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bytes(8) + b"\x02" + bytes(17), "ttl type 2"),
        (bytes(22) + b"\xff\xff\xff\xff", "-1 references"),
        (bytes(22) + b"\x10\0\0\0", "2^28 references"),
        (bytes(14) + b"\xff\xff\xff\xff" + bytes(8), "a type of -1 bytes"),
    ],
)
def test_values_that_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage):
        decode_value(Reader(data))


@pytest.mark.parametrize("decode", [decode_site, decode_vlist])
def test_bytes_after_sites_and_groups_are_refused(decode: Callable[[bytes], object]) -> None:
    data = encode_site(Site()) if decode is decode_site else encode_vlist([])
    decode(data)
    with pytest.raises(MalformedMessage):
        decode(data + b"\0")


def test_a_server_address_of_another_size_is_never_written() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        encode_site(Site(servers=(Server(1, b"\x7f\0\0\1"),)))
