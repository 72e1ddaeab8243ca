"""Encrypting what must be read back, such as personal data: AES-256-GCM, the key's id in every ciphertext.

A sealed text: format byte 1, length of the key id, key id, nonce of 12 bytes, ciphertext with its tag. The head and
the context are authenticated with it, so that a sealed text opens nowhere but where it was put.
"""

import os
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
_FORMAT = 1


class SealBroken(Exception):
    """A sealed text that cannot be opened: damaged, moved elsewhere, or of a key that is not in the ring."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by id; the first one seals, all of them open."""

    keys: dict[str, bytes]

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.keys)})"  # never the keys themselves


def make_key() -> tuple[str, bytes]:
    """A new key with a random id."""
    return os.urandom(4).hex(), os.urandom(KEY_BYTES)


def parse_key_ring(text: str) -> KeyRing:
    """Lines of `key_id:base64 of 32 bytes`; blank lines and lines that begin with # are left out. Raises ValueError."""
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key_id, colon, encoded = line.partition(":")
        try:
            key = b64decode(encoded.strip(), validate=True)
        except NotBase64:
            key = b""
        key_id = key_id.strip()
        if not colon or not 1 <= len(key_id.encode()) <= 64 or len(key) != KEY_BYTES or key_id in keys:
            raise ValueError(f"line {number} is not key_id:base64 of {KEY_BYTES} bytes with an id of its own")
        keys[key_id] = key
    if not keys:
        raise ValueError("there is no key in it")
    return KeyRing(keys)


def format_key_ring(ring: KeyRing) -> str:
    """The text that `parse_key_ring` reads back."""
    return "".join(f"{key_id}:{b64encode(key).decode()}\n" for key_id, key in ring.keys.items())


def seal(ring: KeyRing, plaintext: bytes, context: str) -> bytes:
    """Encrypt with the first key; `context` says where the text belongs, such as `enterprise/17/personal`."""
    key_id, key = next(iter(ring.keys.items()))
    name = key_id.encode()
    head = bytes((_FORMAT, len(name))) + name
    nonce = os.urandom(NONCE_BYTES)
    return head + nonce + AESGCM(key).encrypt(nonce, plaintext, head + context.encode())


def unseal(ring: KeyRing, sealed: bytes, context: str) -> bytes:
    """The plaintext; raises SealBroken."""
    if len(sealed) < 2 or sealed[0] != _FORMAT:
        raise SealBroken("not a sealed text")
    end = 2 + sealed[1]
    head, nonce, ciphertext = sealed[:end], sealed[end : end + NONCE_BYTES], sealed[end + NONCE_BYTES :]
    key_id = head[2:].decode(errors="replace")
    if key_id not in ring.keys:
        raise SealBroken(f"the key {key_id!r} is not in the key file")
    try:
        return AESGCM(ring.keys[key_id]).decrypt(nonce, ciphertext, head + context.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken("damaged, or not of this place") from error
