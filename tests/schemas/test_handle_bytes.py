"""The cursor cannot overrun, and what is written is read back."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.handle_bytes import (
    MalformedMessage,
    Reader,
    encode_bytes,
    encode_i32,
    encode_i64,
    encode_list,
    encode_text,
    encode_u8,
    encode_u16,
    encode_u32,
)
from schemas.texts import format_message

READS: dict[str, Callable[[Reader], object]] = {
    "u8": Reader.u8,
    "peek_u8": Reader.peek_u8,
    "u16": Reader.u16,
    "i32": Reader.i32,
    "u32": Reader.u32,
    "i64": Reader.i64,
    "bytes_": Reader.bytes_,
    "text": Reader.text,
    "rest": Reader.rest,
    "count": lambda r: r.count(4),
    "take": lambda r: r.take(7),
    "expect_end": Reader.expect_end,
}


@pytest.mark.parametrize(
    ("data", "read", "why"),
    [
        (b"", Reader.u8, "nothing there"),
        (b"\0\0\0", Reader.i32, "cut in an integer"),
        (b"\0\0\0\x05abcd", Reader.bytes_, "length one past the end"),
        (b"\xff\xff\xff\xffabcd", Reader.bytes_, "length -1"),
        (b"\x7f\xff\xff\xffabcd", Reader.text, "length 2^31 - 1"),
        (b"\x80\0\0\0", lambda r: r.count(1), "count -2^31"),
        (b"\0\0\0\x02" + bytes(7), lambda r: r.count(4), "two items of four bytes in seven"),
        (b"\x40\0\0\0", lambda r: r.count(4), "count times size is over 2^32"),
        (b"x", Reader.expect_end, "something left"),
        (b"abc", lambda r: r.take(-1), "a negative size"),
    ],
)
def test_what_does_not_fit_is_refused(data: bytes, read: Callable[[Reader], object], why: str) -> None:
    with pytest.raises(MalformedMessage):
        read(Reader(data))


@given(st.binary(max_size=40), st.lists(st.sampled_from(sorted(READS)), max_size=8))
def test_no_sequence_of_reads_overruns(data: bytes, names: list[str]) -> None:
    reader = Reader(data)
    for name in names:
        before = reader.left
        try:
            READS[name](reader)
        except MalformedMessage:
            return
        assert 0 <= reader.left <= before


@given(st.binary(max_size=60))
def test_text_keeps_any_bytes(data: bytes) -> None:
    assert encode_text(Reader(encode_bytes(data)).text()) == encode_bytes(data)


@given(
    st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1), st.lists(st.binary(max_size=9), max_size=5),
)  # fmt: skip
def test_what_is_written_is_read(u8: int, u16: int, i32: int, u32: int, i64: int, items: list[bytes]) -> None:
    data = encode_u8(u8) + encode_u16(u16) + encode_i32(i32) + encode_u32(u32) + encode_i64(i64)
    reader = Reader(data + encode_list(map(encode_bytes, items)))
    assert (reader.peek_u8(), reader.u8(), reader.u16()) == (u8, u8, u16)
    assert (reader.i32(), reader.u32(), reader.i64()) == (i32, u32, i64)
    assert [reader.bytes_() for _ in range(reader.count(4))] == items
    reader.expect_end()


def test_the_refusal_says_what_was_wrong_in_both_languages() -> None:
    with pytest.raises(MalformedMessage) as refusal:
        Reader(b"ab").take(3)
    error = refusal.value
    assert str(error) == "3 bytes announced, 2 left"
    for language in ("zh", "en"):
        assert error.reason in format_message(error.code, language, **error.details)
