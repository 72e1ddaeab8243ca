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
