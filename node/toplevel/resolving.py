"""`0.NA/<prefix>` as a top-level node answers it: the routes that were reported, over HTTP and the Handle protocol."""

import asyncio
import contextlib
import logging
import time
from typing import Any, cast

from node.toplevel.book import Book, fetch_rows_about
from resolver.rest_json import format_value
from schemas.handle_bodies import decode_resolution_request, encode_resolution_response
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    NO_SITE_SERIAL,
    Opcode,
    ResponseCode,
    decode_message,
    encode_error_response,
    encode_response,
)
from schemas.handle_stream import FrameReader
from schemas.handle_values import (
    ADMIN_AND_QUERY,
    HTTP,
    QUERY_INTERFACE,
    TCP,
    UDP,
    Interface,
    Server,
    Site,
    encode_site,
    parse_address,
)
from schemas.values import Value

NAMING = "0.NA/"
TTL_SECONDS = 3_600
IDLE_SECONDS = 60.0
MAX_CONNECTIONS = 256
_INTERFACES = {"udp": (QUERY_INTERFACE, UDP), "tcp": (ADMIN_AND_QUERY, TCP), "http": (QUERY_INTERFACE, HTTP)}

log = logging.getLogger("idnode.toplevel")


def find_site_values(book: Book, handle: str) -> list[Value]:
    """One HS_SITE value for each route reported for the prefix of `0.NA/<prefix>`; empty if there is none.

    A prefix without a route of its own is answered with those of the secondary node above it.
    """
    if not handle.upper().startswith(NAMING):
        return []
    prefix = handle[len(NAMING) :]
    routes = fetch_rows_about(book, "T7", prefix) or fetch_rows_about(book, "T2", prefix)
    return [
        Value(index, "HS_SITE", encode_site(_make_site(route)), TTL_SECONDS, timestamp=int(time.time()))
        for index, route in enumerate(routes, start=1)
    ]


def _make_site(route: dict[str, Any]) -> Site:
    interfaces = tuple(Interface(*_INTERFACES[name], route[name]) for name in _INTERFACES if route.get(name))
    attributes = (("domain", route["domain"]),) if route.get("domain") else ()
    address = parse_address(route["ip"]) if route.get("ip") else bytes(16)
    return Site(1, (Server(1, address, b"", interfaces),), attributes)


def answer_http(book: Book, handle: str) -> tuple[int, dict[str, Any]]:
    """Status and document of the Handle REST API."""
    values = find_site_values(book, handle)
    if not values:
        return 404, {"responseCode": int(ResponseCode.HANDLE_NOT_FOUND), "handle": handle}
    shown = [format_value(value) for value in values]
    return 200, {"responseCode": int(ResponseCode.SUCCESS), "handle": handle, "values": shown}


def answer_message(book: Book, data: bytes) -> bytes:
    """One request of the Handle protocol; raises MalformedMessage."""
    request = decode_message(data)
    now = int(time.time())
    if request.header.opcode != Opcode.RESOLUTION:
        code = ResponseCode.OPERATION_NOT_SUPPORTED
        return encode_error_response(request, code, "", now=now, site_serial=NO_SITE_SERIAL)
    asked = decode_resolution_request(request.body)
    values = find_site_values(book, asked.handle.decode("utf-8", "replace"))
    if not values:
        code = ResponseCode.HANDLE_NOT_FOUND
        return encode_error_response(request, code, "", now=now, site_serial=NO_SITE_SERIAL)
    body = encode_resolution_response(asked.handle, values)
    return encode_response(request, ResponseCode.SUCCESS, body, now=now, site_serial=NO_SITE_SERIAL)


class Datagrams(asyncio.DatagramProtocol):
    """UDP: answers that fit one datagram, which all of these do."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # Python 3.11's is none by its class

    def datagram_received(self, data: bytes, peer: tuple[str | Any, int]) -> None:
        with contextlib.suppress(MalformedMessage):
            answer = answer_message(self._book, data)
            if self._transport is not None:
                self._transport.sendto(answer, peer)


class Streams:
    """TCP: one connection after the other, each answered in order; too many are closed."""

    def __init__(self, book: Book) -> None:
        self._book, self._open = book, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        self._open += 1
        try:
            while self._open <= MAX_CONNECTIONS:
                data = await asyncio.wait_for(reader.read(65_536), IDLE_SECONDS)
                if not data:
                    break
                for message in frames.feed(data):
                    writer.write(answer_message(self._book, message))
                await writer.drain()
        except (MalformedMessage, TimeoutError, ConnectionError):
            pass
        finally:
            self._open -= 1
            writer.close()
