"""Where a registry answers workers of other machines: `host:port`, in TLS, and the secret both sides know.

The worker's first line is the secret; the registry answers questions only after it.
"""

import hmac
from dataclasses import dataclass, field

MIN_SECRET_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """`host` is a name or an address, IPv6 without its brackets."""

    host: str
    port: int
    secret: str = field(default="", repr=False)

    @property
    def is_anywhere(self) -> bool:
        """Every address of the machine: something to listen on, and no place to ask."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_link_place(text: str) -> LinkPlace:
    """`host:port` or `[IPv6 address]:port`; raises ValueError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address stands in brackets: [2001:db8::1]:8443")
    is_host = host and not set(host) & set("/@?#[] ")
    if not colon or not is_host or not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65_535):
        raise ValueError("expected the absolute path of a Unix socket, or host:port")
    return LinkPlace(host, int(port))


def encode_secret(secret: str) -> bytes:
    return secret.encode() + b"\n"


def is_secret(line: bytes, secret: str) -> bool:
    """Whether a worker's first line says it; takes as long for a wrong one."""
    return hmac.compare_digest(line, encode_secret(secret))
