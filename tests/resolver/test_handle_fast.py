"""The flattened codec says what the readable one says, on every vector and on thousands of mutations of them."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.handle_fast import PlainCodec
from schemas.handle_bodies import decode_resolution_request
from schemas.handle_bytes import MalformedMessage, encode_bytes
from schemas.handle_messages import CERT, ENCR, PUBL, RRDG, Message, decode_message, encode_response
from tests.resolver.handle_server import encode_question

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]
MESSAGES = {v["name"]: bytes.fromhex(v["hex"]) for v in VECTORS if v["kind"] in ("message", "udp-fragment")}
PLAIN = [
    encode_question("88.101.5/SN0001"),
    encode_question("88.101.5/SN0001", 2**32 - 1, flags=0, session_id=2**32 - 1, recursion_count=9),
    encode_question("a" * 2_048),
    encode_question("x", major=5, suggested_major=0, suggested_minor=0),
    MESSAGES["resolution_request_plain"],
    MESSAGES["resolution_request_compat_2_3"],
    # what idPointer clients send: an empty field behind the body's end
    encode_question("88.101.5/SN0001")[:16]
    + (59).to_bytes(4, "big")
    + encode_question("88.101.5/SN0001")[20:40]
    + (31).to_bytes(4, "big")
    + encode_question("88.101.5/SN0001")[44:]
    + bytes(4),
]
NOW = 1_750_000_000
TAIL = b"\0\0\0\0"


def read_plain(message: bytes) -> Message | None:
    """By the readable codec: the message if it is a plain resolution, else None."""
    try:
        read = decode_message(message)
        asked = decode_resolution_request(read.body)
    except MalformedMessage:
        return None
    if read.header.opcode != 1 or not read.is_request or read.header.flags & (CERT | ENCR | RRDG):
        return None
    if asked.indexes or asked.types or not 0 < len(asked.handle) <= 2_048 or read.header.recursion_count >= 10:
        return None
    return read


def check(codec: PlainCodec, message: bytes) -> bool:
    """Whether the flat way took it; if so, it took it as it is and answers to the byte."""
    shape = codec.decode(message)
    if shape is None:
        return False
    read = read_plain(message)
    assert read is not None, message.hex()
    handle = decode_resolution_request(read.body).handle
    assert message[48 : shape.end] == handle and shape.is_public_only == bool(read.header.flags & PUBL)
    expected = encode_response(read, 1, encode_bytes(handle) + TAIL, now=NOW, site_serial=7)
    assert codec.encode(message, shape, TAIL, NOW + 43_200) == expected
    return True


@pytest.mark.parametrize("number", range(len(PLAIN)))
def test_the_common_forms_go_the_short_way(number: int) -> None:
    assert check(PlainCodec(7), PLAIN[number])


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_vector(name: str) -> None:
    assert check(PlainCodec(7), MESSAGES[name]) == (
        name in ("resolution_request_plain", "resolution_request_compat_2_3", "udp_request_big")
    )


@pytest.mark.parametrize("number", range(len(PLAIN)))
def test_every_truncation_and_extension(number: int) -> None:
    codec, message = PlainCodec(7), PLAIN[number]
    assert not any(check(codec, message[:size]) for size in range(len(message)))
    assert not any(check(codec, message + extra) for extra in (b"\0", bytes(4), b"x" * 100))


def test_every_changed_byte() -> None:
    """Each byte of a plain request set to each of some values that matter."""
    codec = PlainCodec(7)
    message = PLAIN[0]
    taken = 0
    for at in range(len(message)):
        for byte in (0, 1, 2, 3, 5, 6, 10, 11, 0x20, 0x40, 0x7F, 0x80, 0xFF):
            taken += check(codec, message[:at] + bytes((byte,)) + message[at + 1 :])
    assert taken > 100


def test_thousands_of_mutations() -> None:
    """Several bytes changed, removed, doubled; lengths that lie; pieces of other messages."""
    chance, codec = random.Random(2641), PlainCodec(7)
    sources = [*MESSAGES.values(), *PLAIN]
    for _ in range(20_000):
        message = bytearray(chance.choice(sources if chance.random() < 0.3 else PLAIN))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(message))
            match chance.randrange(5):
                case 0:
                    message[at] = chance.randrange(256)
                case 1:
                    message[at] ^= 1 << chance.randrange(8)
                case 2:
                    del message[at : at + chance.randint(1, 8)]
                case 3:
                    message[at:at] = message[at : at + chance.randint(1, 8)]
                case _:
                    word = chance.choice((0, 1, 12, 16, 27, 55, 2**31, 2**32 - 1)).to_bytes(4, "big")
                    message[at : at + 4] = word
            if not message:
                break
        check(codec, bytes(message))


@given(
    handle=st.binary(max_size=60),
    request_id=st.integers(0, 2**32 - 1),
    session_id=st.integers(0, 2**32 - 1),
    flags=st.integers(0, 2**32 - 1),
    hops=st.integers(0, 12),
    version=st.tuples(*(st.integers(1, 12) for _ in range(4))),
)
def test_any_plain_request(
    handle: bytes, request_id: int, session_id: int, flags: int, hops: int, version: tuple[int, int, int, int]
) -> None:
    major, minor, suggested_major, suggested_minor = version
    message = encode_question(
        handle, request_id, flags=flags, session_id=session_id, recursion_count=hops, major=major % 6, minor=minor,
        suggested_major=suggested_major, suggested_minor=suggested_minor,
    )  # fmt: skip
    assert check(PlainCodec(7), message) == (read_plain(message) is not None)


def test_a_codec_that_has_seen_every_version_remembers_few() -> None:
    codec, message = PlainCodec(7), PLAIN[0]
    for number in range(10_000):
        check(codec, bytes((2, number % 256, number // 256, 11)) + message[4:])
    assert len(codec._shapes) <= 4_096
    assert check(codec, message)
