"""The site record of this node: where it can be asked (handle-protocol 3.4)."""

import socket
from ipaddress import ip_address

from schemas.handle_values import (
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


def find_site_address(host: str) -> str:
    """An IP address for the site record, which has no room for names; IPv4 first, which all clients speak.

    A name that cannot be resolved at start gives 0.0.0.0, which no client connects to; `domain` has the name.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError:
        return "0.0.0.0"  # noqa: S104 (an address to show, not one to bind)
    return min(found, key=lambda address: ":" in address)


def make_site(host: str, handle_port: int, http_port: int, serial: int = 1) -> bytes:
    """The HS_SITE record; it advertises queries only, since administration needs the registry."""
    interfaces = tuple(
        Interface(QUERY_INTERFACE, protocol, port)
        for protocol, port in ((TCP, handle_port), (UDP, handle_port), (HTTP, http_port))
    )
    address = find_site_address(host)
    attributes = () if address == host else (("domain", host),)
    server = Server(1, parse_address(address), interfaces=interfaces)
    return encode_site(Site(serial, (server,), attributes))
