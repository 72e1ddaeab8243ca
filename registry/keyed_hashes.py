"""Keys and hashes made from the node's secret key: every process has the same ones, before and after a restart."""

import hmac
from hashlib import sha256

from schemas.sealing import KeyRing


def derive_key(key: bytes, purpose: str) -> bytes:
    """A key for one purpose; it tells nothing of the one it is made from."""
    return hmac.digest(key, f"idnode {purpose}".encode(), sha256)


def hash_keyed(ring: KeyRing, purpose: str, text: str) -> bytes:
    """Tells whether two texts are equal, and nothing to who has the database alone.

    With the oldest key of the ring: a newer one is put before it and must not change these hashes.
    """
    oldest = list(ring.keys.values())[-1]
    return hmac.digest(derive_key(oldest, purpose), text.encode("utf-8", "surrogatepass"), sha256)
