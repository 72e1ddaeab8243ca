"""Probes of enterprises' nodes go to the public internet alone, follow nobody, and wait for nobody."""

import asyncio
from contextlib import suppress

import pytest

from node.enterprise_node_probes import probe
from schemas.handle_messages import NO_SITE_SERIAL, ResponseCode, decode_message, encode_error_response

PREFIX = "88.101.51"


async def test_who_answers_a_byte_now_and_then_holds_no_prober(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not stop.is_set():
            writer.write(b"\0")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.02)
        writer.close()

    monkeypatch.setattr("node.enterprise_node_probes.PROBE_SECONDS", 0.3)
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await probe(PREFIX, {"ip": "127.0.0.1", "tcp": port}, private_too=True) == "tcp: no answer"
    assert await probe(PREFIX, {"ip": "127.0.0.1", "http": port}, private_too=True) == "http: no answer"
    stop.set()
    server.close()


async def test_a_probe_follows_nobody_elsewhere() -> None:
    asked: list[str] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await probe(PREFIX, {"ip": "127.0.0.1", "http": port}, private_too=True) == ""
    assert asked == [f"GET /{PREFIX}/ping-handle HTTP/1.1\r\n"]
    server.close()


ANSWERS = [
    (ResponseCode.HANDLE_NOT_FOUND, "", "it would know"),
    (ResponseCode.AUTHENTICATION_NEEDED, "", "it knows and does not tell"),
    (ResponseCode.SERVER_NOT_RESPONSIBLE, "tcp: answers for other prefixes", "somebody else's server"),
    (ResponseCode.PREFIX_REFERRAL, "tcp: answers for other prefixes", "it sends people elsewhere"),
    (ResponseCode.PROTOCOL_ERROR, "tcp: answers for other prefixes", "it did not understand"),
]


async def test_only_a_server_of_the_prefix_goes_live() -> None:
    answers = [code for code, _, _ in ANSWERS]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = decode_message(await reader.read(4_096))
        writer.write(encode_error_response(request, answers.pop(0), "", now=0, site_serial=NO_SITE_SERIAL))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for _, trouble, reason in ANSWERS:
        assert await probe(PREFIX, {"ip": "127.0.0.1", "tcp": port}, private_too=True) == trouble, reason
    server.close()


PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
]


async def test_no_private_address_is_ever_asked() -> None:
    for address in PRIVATE:
        trouble = await probe(PREFIX, {"ip": address, "tcp": 1, "http": 2, "udp": 3}, private_too=False)
        assert trouble == "not an address of the public internet", address
    for address in ("169.254.169.254", "0.0.0.0", "fe80::1", "::ffff:10.0.0.1", "224.0.0.1"):
        trouble = await probe(PREFIX, {"ip": address, "tcp": 1}, private_too=True)
        assert trouble == "not an address of the public internet", address
