"""Reading and writing the bytes of Handle messages: one cursor that cannot overrun, and its mirror image.

All integers are big-endian. `str` on the wire is an i32 length and that many bytes (handle-protocol, Notation).
"""

from collections.abc import Iterable
from struct import Struct
from typing import TYPE_CHECKING

from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from schemas.handle_messages import Envelope, Header

_U8, _U16, _I32, _U32, _I64 = Struct(">B"), Struct(">H"), Struct(">i"), Struct(">I"), Struct(">q")


class MalformedMessage(InvalidInput):
    """Bytes that are not a Handle message.

    `envelope` and `header` are there when they could still be read, so that an answer can echo the request id.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("malformed_message", reason=reason)
        self.reason = reason
        self.envelope: Envelope | None = None
        self.header: Header | None = None

    def __str__(self) -> str:
        return self.reason


class Reader:
    """A cursor over bytes; every method moves past what it returns or raises MalformedMessage."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._at = start
        self._end = len(data)

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self._end - self._at

    def skip(self, size: int) -> int:
        """Move past `size` bytes; return where they begin."""
        start = self._at
        stop = start + size
        if size < 0 or stop > self._end:
            raise MalformedMessage(f"{size} bytes announced, {self._end - start} left")
        self._at = stop
        return start

    def take(self, size: int) -> bytes:
        start = self.skip(size)
        return self._data[start : start + size]

    def unpack(self, layout: Struct) -> tuple[int, ...]:
        """Several fixed-width integers at once."""
        return layout.unpack_from(self._data, self.skip(layout.size))

    def peek_u8(self) -> int:
        """The next byte, without moving past it."""
        at = self.skip(1)
        self._at = at
        return self._data[at]

    def u8(self) -> int:
        return self._data[self.skip(1)]

    def u16(self) -> int:
        value: int = _U16.unpack_from(self._data, self.skip(2))[0]
        return value

    def i32(self) -> int:
        value: int = _I32.unpack_from(self._data, self.skip(4))[0]
        return value

    def u32(self) -> int:
        value: int = _U32.unpack_from(self._data, self.skip(4))[0]
        return value

    def i64(self) -> int:
        value: int = _I64.unpack_from(self._data, self.skip(8))[0]
        return value

    def bytes_(self) -> bytes:
        """A wire `str` as the bytes it is."""
        start = self.skip(4) + 4
        stop: int = start + _I32.unpack_from(self._data, start - 4)[0]
        if not start <= stop <= self._end:
            raise MalformedMessage(f"{stop - start} bytes announced, {self._end - start} left")
        self._at = stop
        return self._data[start:stop]

    def text(self) -> str:
        """A wire `str` as text; bytes that are not UTF-8 survive as surrogate escapes."""
        return self.bytes_().decode("utf-8", "surrogateescape")

    def count(self, smallest_item_bytes: int) -> int:
        """How many items follow; refused before anybody loops if the bytes left cannot hold them."""
        count = self.i32()
        if count < 0 or count * smallest_item_bytes > self.left:
            raise MalformedMessage(f"{count} items announced, {self.left} bytes left")
        return count

    def rest(self) -> bytes:
        """Everything not yet read; often nothing."""
        return self.take(self.left)

    def expect_end(self) -> None:
        if self.left:
            raise MalformedMessage(f"{self.left} bytes after the end")


def encode_u8(number: int) -> bytes:
    return _U8.pack(number)


def encode_u16(number: int) -> bytes:
    return _U16.pack(number)


def encode_i32(number: int) -> bytes:
    return _I32.pack(number)


def encode_u32(number: int) -> bytes:
    return _U32.pack(number)


def encode_i64(number: int) -> bytes:
    return _I64.pack(number)


def encode_bytes(data: bytes) -> bytes:
    """Bytes as a wire `str`."""
    return _I32.pack(len(data)) + data


def encode_text(text: str) -> bytes:
    """Text as a wire `str`: the inverse of Reader.text."""
    data = text.encode("utf-8", "surrogateescape")
    return _I32.pack(len(data)) + data


def encode_list(items: Iterable[bytes]) -> bytes:
    """An i32 count, then the items, each already encoded."""
    encoded = list(items)
    return _I32.pack(len(encoded)) + b"".join(encoded)
