"""A client of the Handle protocol for one question: what `idnode resolve` asks, and what a partner's software would."""

import secrets
import socket
import time
from dataclasses import dataclass

from schemas.handle_bodies import (
    ResolutionRequest,
    decode_error,
    decode_handle_values,
    decode_referral,
    encode_resolution_request,
)
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    CACR,
    PUBL,
    RECU,
    Envelope,
    Header,
    Message,
    Opcode,
    ResponseCode,
    decode_message,
    encode_message,
    split_digest,
)
from schemas.handle_stream import FrameReader, Reassembler
from schemas.values import Value

TIMEOUT_SECONDS = 5.0
UDP_TRIES = 3
REFERRALS = (ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL)


@dataclass(frozen=True, slots=True)
class Reply:
    """`values` are the record's, or the sites of a referral; `text` is what an error says."""

    code: int
    values: list[Value]
    text: str = ""


def ask(
    question: ResolutionRequest,
    address: tuple[str, int],
    *,
    udp: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Reply:
    """Raises OSError (also for a time-out or a connection that ends) and MalformedMessage."""
    request_id = secrets.randbelow(2**31 - 1) + 1
    envelope = Envelope(2, 11, 0, 2, 11, 0, request_id, 0, 0)
    header = Header(Opcode.RESOLUTION, flags=RECU | CACR | PUBL, expiration=int(time.time()) + 43_200)
    request = encode_message(Message(envelope, header, encode_resolution_request(question), b""))
    exchange = _exchange_udp if udp else _exchange_tcp
    message = decode_message(exchange(request, address, timeout_seconds))
    if message.envelope.request_id != request_id:
        raise MalformedMessage("an answer to another question")
    return _read(message)


def _read(message: Message) -> Reply:
    body, code = split_digest(message)[1], message.header.response_code
    if code == ResponseCode.SUCCESS:
        return Reply(code, list(decode_handle_values(body).values))
    if code in REFERRALS:
        return Reply(code, list(decode_referral(body).values))
    return Reply(code, [], "" if code == ResponseCode.AUTHENTICATION_NEEDED else decode_error(body).message)


def _exchange_tcp(request: bytes, address: tuple[str, int], timeout_seconds: float) -> bytes:
    frames, deadline = FrameReader(), time.monotonic() + timeout_seconds
    with socket.create_connection(address, timeout_seconds) as connection:
        connection.sendall(request)
        while data := connection.recv(65_536):
            for message in frames.feed(data):
                return message
            left = deadline - time.monotonic()  # for all of it: who sends a byte now and then holds nobody
            if left <= 0:
                raise TimeoutError(f"no whole answer within {timeout_seconds:g} s")
            connection.settimeout(left)
    raise ConnectionResetError("the connection was closed before the answer was whole")


def _exchange_udp(request: bytes, address: tuple[str, int], timeout_seconds: float) -> bytes:
    """The same request is sent again, with the same id, as clients do (handle-protocol 1.10)."""
    family = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0][0]
    pieces = Reassembler()
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect(address)
        for _ in range(UDP_TRIES):
            datagrams.send(request)
            deadline = time.monotonic() + timeout_seconds / UDP_TRIES
            while (left := deadline - time.monotonic()) > 0:
                datagrams.settimeout(left)
                try:
                    data = datagrams.recv(65_536)
                except TimeoutError:
                    break
                message = pieces.accept(data, address, time.monotonic())
                if message is not None:
                    return message
    raise TimeoutError(f"no answer within {timeout_seconds:g} s")
