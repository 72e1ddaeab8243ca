"""Addresses of peers as the bytes the resolution log keeps: 4 for IPv4, 16 for IPv6."""

from ipaddress import IPv6Address, ip_address

_MAX_KNOWN = 10_000
_known: dict[str, bytes] = {}


def pack_address(host: str) -> bytes:
    """An address as the socket names it; what is none (a Unix socket) has no bytes. IPv4 mapped into IPv6 is IPv4."""
    packed = _known.get(host)
    if packed is None:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        packed = _known[host] = _pack(host)
    return packed


def _pack(host: str) -> bytes:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return b""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.packed
    return address.packed
