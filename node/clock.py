"""How far the clock of this machine is from that of a time server (SNTP, RFC 4330)."""

import os
import socket
import struct
import time

NTP_PORT = 123
PATIENCE_SECONDS = 3.0
SINCE_1900 = 2_208_988_800  # seconds from 1900, where NTP begins, to 1970
REQUEST = b"\x23" + bytes(39)  # version 4, client


def ask_time_server(server: str) -> float | None:
    """Our clock minus theirs, seconds; None if it does not answer. `server`: host, or host:port."""
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit() or ("]" not in host and ":" in host):
        host, port = server, str(NTP_PORT)
    nonce = os.urandom(8)  # echoed by the server: nobody else can answer for it
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as asking:
            asking.settimeout(PATIENCE_SECONDS)
            asking.connect(address)
            sent = time.time()
            asking.send(REQUEST + nonce)
            answer = asking.recv(512)
            received = time.time()
    except OSError:
        return None
    return compute_offset(answer, nonce, sent, received)


def compute_offset(answer: bytes, nonce: bytes, sent: float, received: float) -> float | None:
    """None for what is no answer to this question, or one of a server that does not know the time itself."""
    if len(answer) < 48 or answer[24:32] != nonce or answer[0] & 7 != 4 or answer[0] >> 6 == 3 or answer[1] == 0:
        return None
    arrived, left = (_read_time(answer, at) for at in (32, 40))
    return ((sent - arrived) + (received - left)) / 2


def _read_time(answer: bytes, at: int) -> float:
    seconds, fraction = struct.unpack_from("!II", answer, at)
    return float(seconds) + float(fraction) / 2**32 - SINCE_1900
