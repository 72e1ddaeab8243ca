"""One indexed entry of a record, as every interface knows it (handle-protocol 3.1)."""

from dataclasses import dataclass

DEFAULT_TTL_SECONDS = 86_400
MAX_VALUES = 2_048

ADMIN_READ, ADMIN_WRITE, PUBLIC_READ, PUBLIC_WRITE = 0x08, 0x04, 0x02, 0x01
DEFAULT_PERMISSIONS = ADMIN_READ | ADMIN_WRITE | PUBLIC_READ
HIDDEN_PERMISSIONS = ADMIN_READ | ADMIN_WRITE


@dataclass(frozen=True, slots=True)
class Reference:
    """A pointer from a value to another value; informational on the wire."""

    handle: str
    index: int


@dataclass(frozen=True, slots=True)
class Value:
    """`data` is opaque bytes; `timestamp` is in unix seconds; text is UTF-8, `surrogateescape` for foreign bytes."""

    index: int
    type: str
    data: bytes
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    permissions: int = DEFAULT_PERMISSIONS
    timestamp: int = 0
    ttl_is_absolute: bool = False
    references: tuple[Reference, ...] = ()

    @property
    def is_public(self) -> bool:
        return bool(self.permissions & PUBLIC_READ)


def matches_type(requested: str, value_type: str) -> bool:
    """Case-insensitive; a request that ends with a dot also takes every type below it (handle-protocol 3.8)."""
    wanted, have = requested.lower(), value_type.lower()
    return have == wanted or (wanted.endswith(".") and (have.startswith(wanted) or have == wanted[:-1]))


def select_values(values: list[Value], indexes: list[int], types: list[str]) -> list[Value]:
    """The union of what the indexes and the types name, in stored order; both empty means everything."""
    if not indexes and not types:
        return values
    return [v for v in values if v.index in indexes or any(matches_type(t, v.type) for t in types)]
