"""Connections to the public internet only: whatever a name resolves to is checked before anything connects to it.

The check sits in the connector's resolver, so a name cannot point elsewhere between the check and the connection.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult

_TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64 (RFC 6052)
_UNICAST = IPv6Network("2000::/3")  # all that was given out for the internet; translators of a site lie beside it
_ISATAP = 0x5EFE  # RFC 5214: the interface is this, with or without the universal bit, and an IPv4 address
# Public by their numbers and not by what answers there: protocol assignments, 6to4 relays, the host of a rented
# machine, documentation.
_APART = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; addresses that carry an IPv4 one count as that."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        inner = _find_inner(parsed)
        if inner is not None:
            return is_public(str(inner))
        if parsed not in _UNICAST:
            return False
    return parsed.is_global and not parsed.is_multicast and not any(parsed in network for network in _APART)


def _find_inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that is meant by a mapped, compatible, 6to4, Teredo, NAT64 or ISATAP address."""
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if address in _TRANSLATED or not int(address) >> 32 or int(address) >> 32 & 0xFDFF_FFFF == _ISATAP:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def is_private_literal(host: str) -> bool:
    """A host given as an IP address that is not public; the connector asks no resolver for those."""
    try:
        return not is_public(host)
    except ValueError:
        return False


class PublicResolver(AbstractResolver):
    """The system's resolver without the addresses that are not public."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError if nothing public is left."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        public = [
            ResolveResult(
                hostname=host, host=str(sockaddr[0]), port=int(sockaddr[1]), family=kind, proto=proto,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, proto, _, sockaddr in found
            if is_public(str(sockaddr[0]))
        ]  # fmt: skip
        if not public:
            raise OSError(f"{host} has no public address")
        return public

    async def close(self) -> None:
        """Holds nothing."""
