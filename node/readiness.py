"""Asks the services of the node whether they answer, each in its own language."""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from node.listening import Place
from node.settings import format_host
from schemas.handle_bodies import ResolutionRequest, encode_resolution_request
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    ENVELOPE_BYTES,
    HIGHEST_VERSION,
    Envelope,
    Header,
    Message,
    Opcode,
    decode_envelope,
    encode_message,
)

PATIENCE_SECONDS = 3.0
REQUEST_ID = 1
# Asking for site information is no resolution: it is counted nowhere.
QUESTION = encode_message(
    Message(
        Envelope(*HIGHEST_VERSION, 0, *HIGHEST_VERSION, 0, REQUEST_ID, 0, 0),
        Header(Opcode.GET_SITE_INFO),
        encode_resolution_request(ResolutionRequest(b"0.NA/0.NA", [], [])),
    )
)


@dataclass(frozen=True, slots=True)
class Answer:
    """`problem` is empty if the service at this place answered as it should."""

    place: Place
    url: str
    problem: str


async def ask_all(places: Iterable[Place], patience_seconds: float = PATIENCE_SECONDS) -> list[Answer]:
    """Ask every place once, all at the same time."""
    return list(await asyncio.gather(*(ask(place, patience_seconds) for place in places)))


async def ask(place: Place, patience_seconds: float = PATIENCE_SECONDS) -> Answer:
    """Ask one place; never raises for what the other side does."""
    asking = {"tcp": _ask_handle_tcp, "udp": _ask_handle_udp}.get(place.name.rpartition("-")[2], _ask_http)
    try:
        async with asyncio.timeout(patience_seconds):
            problem = await asking(place)
    except TimeoutError:
        problem = f"no answer within {patience_seconds:g} s"
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else str(error)  # asyncio puts the address into its own
    return Answer(place, format_url(place), problem)


def format_url(place: Place) -> str:
    scheme = ("https" if place.is_tls else "http") if place.name in ("registry", "http", "toplevel") else place.protocol
    return f"{scheme}://{format_host(find_reachable(place.address))}:{place.port}"


def find_reachable(address: str) -> str:
    """Where this machine itself finds a service that is bound to this address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound


async def _ask_http(place: Place) -> str:
    # It is ourselves that we ask: whether the name in the certificate is that of the loopback does not matter.
    context = ssl._create_unverified_context() if place.is_tls else None  # noqa: S323
    reader, writer = await asyncio.open_connection(find_reachable(place.address), place.port, ssl=context)
    try:
        host = format_host(find_reachable(place.address))
        writer.write(f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(65_536)
    finally:
        writer.close()
    status = answer.partition(b"\r\n")[0].decode("latin-1")
    return "" if status.startswith("HTTP/1.1 200") else f"/health: {status or 'connection closed'}"


async def _ask_handle_tcp(place: Place) -> str:
    reader, writer = await asyncio.open_connection(find_reachable(place.address), place.port)
    try:
        writer.write(QUESTION)
        return _judge(await reader.readexactly(ENVELOPE_BYTES))
    except asyncio.IncompleteReadError:
        return "connection closed"
    finally:
        writer.close()


async def _ask_handle_udp(place: Place) -> str:
    loop = asyncio.get_running_loop()
    with socket.socket(place.family, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        await loop.sock_connect(asker, (find_reachable(place.address), place.port))
        await loop.sock_sendall(asker, QUESTION)
        return _judge(await loop.sock_recv(asker, 4096))


def _judge(answer: bytes) -> str:
    try:
        envelope = decode_envelope(answer)
    except MalformedMessage as error:
        return str(error)
    return "" if envelope.request_id == REQUEST_ID else "answer to another question"
