"""What both HTTP ports decide about the head of a request, before there is one."""

import re
from collections.abc import Iterable
from typing import Any

import httptools

# For ports that speak TLS themselves: browsers come back that way alone (RFC 6797). Subdomains are others' business.
STRICT_TRANSPORT = ("strict-transport-security", "max-age=31536000")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_VERSIONS = ("1.1", "1.0")  # the parser also takes 0.9 and 2.0 for such a text
_HOST = re.compile(rb"[\w.\-~!$&'()*+,;=%:\[\]]*", re.ASCII)


class HeadUnclear(Exception):
    """It cannot be said who is asked, or in which version of HTTP."""


def check_host(headers: Iterable[tuple[bytes, bytes]], version: str) -> None:
    """Raise HeadUnclear where it is not clear who is asked, and how (RFC 9112 section 3.2); names are in lower case."""
    hosts = [value for name, value in headers if name == b"host"]
    if version not in _VERSIONS or len(hosts) > 1 or (not hosts and version == "1.1"):
        raise HeadUnclear
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise HeadUnclear


def encode_line(line: bytes) -> bytes:
    """Percent-encode what a client that does not encode put into its request line; parsers take ASCII only."""
    return _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line)


def is_offer(parser: Any) -> bool:
    """Whether the request being read offers another protocol, which nobody has to take up (RFC 9110 section 7.8)."""
    return bool(parser.should_upgrade()) and parser.get_method() != b"CONNECT"


def feed(protocol: Any, data: bytes) -> None:
    """The parser of uvicorn's HttpToolsProtocol gets everything; raises httptools.HttpParserError.

    Java's client offers HTTP/2 with its first requests, curl if told. The parser gives up the body of such a request:
    its head is given once more without the offer, and `is_offer` says which time is to be passed over.
    """
    while data:
        try:
            protocol.parser.feed_data(data)
            return
        except httptools.HttpParserUpgrade as offer:
            if not is_offer(protocol.parser):
                protocol.cycle.keep_alive = False  # what follows CONNECT is not read
                return
            data = _format_without_offer(protocol) + data[offer.args[0] :]
            protocol.parser = httptools.HttpRequestParser(protocol)  # the old one may have ended with that request
            protocol.parser.set_dangerous_leniencies(lenient_data_after_close=True)


def _format_without_offer(protocol: Any) -> bytes:
    """The head that was read; names are in lower case."""
    parser, headers = protocol.parser, protocol.headers
    line = b"%b %b HTTP/%b" % (parser.get_method(), protocol.url, parser.get_http_version().encode())
    return b"\r\n".join((line, *(b"%b: %b" % header for header in headers if header[0] != b"upgrade"), b"\r\n"))
