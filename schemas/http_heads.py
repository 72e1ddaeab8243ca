"""What both HTTP ports decide about the head of a request, before there is one."""

import re
from collections.abc import Iterable

_NOT_ASCII = re.compile(rb"[\x80-\xff]")


class HostMissing(Exception):
    """HTTP/1.1 asks for one Host, no more and no less."""


def check_host(headers: Iterable[tuple[bytes, bytes]], version: str) -> None:
    """Raise HostMissing where it is not clear who is asked (RFC 9112 section 3.2); names are in lower case."""
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (not hosts and version == "1.1"):
        raise HostMissing


def encode_line(line: bytes) -> bytes:
    """Percent-encode what a client that does not encode put into its request line; parsers take ASCII only."""
    return _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line)


def format_without_offer(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A head without its offer of another protocol, which nobody has to take up (RFC 9110 section 7.8).

    Java's client offers HTTP/2 with its first requests, curl if told. The parser gives up the body of such a request:
    it is given this instead. Names are in lower case.
    """
    line = b"%b %b HTTP/%b" % (method, url, version.encode())
    return b"\r\n".join((line, *(b"%b: %b" % header for header in headers if header[0] != b"upgrade"), b"\r\n"))
