"""SM2 signatures with SM3 (GB/T 32918.2-2016, curve sm2p256v1 of GB/T 32918.5), for want of a kept library.

Plain arithmetic on Python integers: it does not run in constant time, so it is for messages that this node signs now
and then, never for answering whoever asks. Private keys as PKCS#8, public ones as SubjectPublicKeyInfo, uncompressed:
what `openssl genpkey -algorithm SM2` writes.
"""

import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SM3, Hash

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0

DEFAULT_USER_ID = b"1234567812345678"  # GM/T 0009-2012, 10
_OIDS = bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d")  # ecPublicKey, sm2p256v1
_PUBLIC_HEAD = bytes.fromhex("3059") + _OIDS + bytes.fromhex("03420004")
_PRIVATE_HEAD = bytes.fromhex("308187020100") + _OIDS + bytes.fromhex("046d306b0201010420")
_PRIVATE_MIDDLE = bytes.fromhex("a14403420004")

_Jacobian = tuple[int, int, int]  # x / z², y / z³; z = 0 is infinity


@dataclass(frozen=True, slots=True)
class PublicKey:
    x: int
    y: int


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    secret: int

    @property
    def public(self) -> PublicKey:
        return PublicKey(*_to_affine(_multiply(self.secret, (GX, GY, 1))))


def make_private_key() -> PrivateKey:
    return PrivateKey(secrets.randbelow(N - 2) + 1)


def encode_private_key(key: PrivateKey) -> bytes:
    """PKCS#8 in DER."""
    return _PRIVATE_HEAD + key.secret.to_bytes(32, "big") + _PRIVATE_MIDDLE + _encode_point(key.public)


def decode_private_key(data: bytes) -> PrivateKey:
    """Raises ValueError for what is not an SM2 key in the form that `encode_private_key` writes."""
    at = len(_PRIVATE_HEAD)
    key = PrivateKey(int.from_bytes(data[at : at + 32], "big"))
    if not 0 < key.secret < N - 1 or data != encode_private_key(key):
        raise ValueError("not an SM2 private key in PKCS#8")
    return key


def encode_public_key(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo in DER."""
    return _PUBLIC_HEAD + _encode_point(key)


def decode_public_key(data: bytes) -> PublicKey:
    """Raises ValueError for what is not a point of the curve."""
    at = len(_PUBLIC_HEAD)
    key = PublicKey(int.from_bytes(data[at : at + 32], "big"), int.from_bytes(data[at + 32 :], "big"))
    on_curve = key.x < P and key.y < P and (key.y * key.y - (key.x**3 + A * key.x + B)) % P == 0
    if len(data) != at + 64 or not data.startswith(_PUBLIC_HEAD) or not on_curve:
        raise ValueError("not an SM2 public key")
    return key


def sign(key: PrivateKey, message: bytes, user_id: bytes = DEFAULT_USER_ID, random: int | None = None) -> bytes:
    """DER of (r, s) (GB/T 32918.2, 6.1). `random` is for test vectors alone: twice the same gives the key away."""
    e = hash_message(key.public, message, user_id)
    while True:
        k = secrets.randbelow(N - 1) + 1 if random is None else random
        r = (e + _to_affine(_multiply(k, (GX, GY, 1)))[0]) % N
        s = pow(1 + key.secret, -1, N) * (k - r * key.secret) % N
        if r and s and r + k != N:
            return encode_dss_signature(r, s)


def verify(key: PublicKey, message: bytes, signature: bytes, user_id: bytes = DEFAULT_USER_ID) -> bool:
    """GB/T 32918.2, 7.1."""
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return False
    t = (r + s) % N
    if not (0 < r < N and 0 < s < N and t):
        return False
    point = _add(_multiply(s, (GX, GY, 1)), _multiply(t, (key.x, key.y, 1)))
    return point[2] != 0 and (hash_message(key, message, user_id) + _to_affine(point)[0]) % N == r


def hash_message(key: PublicKey, message: bytes, user_id: bytes = DEFAULT_USER_ID) -> int:
    """e of the standard: SM3 over who signs (Z) and the message."""
    parameters = b"".join(number.to_bytes(32, "big") for number in (A, B, GX, GY, key.x, key.y))
    z = hash_sm3((len(user_id) * 8).to_bytes(2, "big") + user_id + parameters)
    return int.from_bytes(hash_sm3(z + message), "big")


def hash_sm3(data: bytes) -> bytes:
    hasher = Hash(SM3())
    hasher.update(data)
    return hasher.finalize()


def _encode_point(key: PublicKey) -> bytes:
    return key.x.to_bytes(32, "big") + key.y.to_bytes(32, "big")


def _multiply(factor: int, point: _Jacobian) -> _Jacobian:
    product: _Jacobian = (1, 1, 0)
    for bit in f"{factor:b}":
        product = _double(product)
        if bit == "1":
            product = _add(product, point)
    return product


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if z == 0 or y == 0:
        return (1, 1, 0)
    square = y * y % P
    s = 4 * x * square % P
    m = 3 * (x - z * z) * (x + z * z) % P  # a = -3
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * square * square) % P, 2 * y * z % P


def _add(one: _Jacobian, other: _Jacobian) -> _Jacobian:
    if one[2] == 0 or other[2] == 0:
        return other if one[2] == 0 else one
    z1, z2 = one[2] * one[2] % P, other[2] * other[2] % P
    u1, u2 = one[0] * z2 % P, other[0] * z1 % P
    s1, s2 = one[1] * z2 * other[2] % P, other[1] * z1 * one[2] % P
    if u1 == u2:
        return _double(one) if s1 == s2 else (1, 1, 0)
    h, r = u2 - u1, s2 - s1
    h2 = h * h % P
    h3, v = h * h2 % P, u1 * h2 % P
    x3 = (r * r - h3 - 2 * v) % P
    return x3, (r * (v - x3) - s1 * h3) % P, h * one[2] * other[2] % P


def _to_affine(point: _Jacobian) -> tuple[int, int]:
    inverse = pow(point[2], -1, P)
    return point[0] * inverse**2 % P, point[1] * inverse**3 % P
