"""Signatures of three kinds behind one interface, chosen by the name of the algorithm (design decision 13).

Keys are PEM texts as `openssl genpkey` and `openssl pkey -pubout` write them. A signature is what `openssl pkeyutl
-sign -rawin` makes: RSASSA-PKCS1-v1_5 with SHA-256, SM2 with SM3 and the usual user id in DER, or Ed25519.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from hashlib import sha256
from typing import Literal, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from schemas import sm2

Algorithm = Literal["SM2-SM3", "RSA-SHA256", "ED25519"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
RSA_BITS = 3072
RSA_MINIMUM_BITS = 2048


class KeyRefused(ValueError):
    """A key that cannot be read, or that is of another algorithm."""


def make_private_key(algorithm: Algorithm) -> str:
    """A new key, as PEM."""
    if algorithm == "SM2-SM3":
        return _format_pem("PRIVATE KEY", sm2.encode_private_key(sm2.make_private_key()))
    made = rsa.generate_private_key(65_537, RSA_BITS) if algorithm == "RSA-SHA256" else Ed25519PrivateKey.generate()
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def format_public_key(algorithm: Algorithm, private_key: str) -> str:
    """The public half as PEM; raises KeyRefused."""
    if algorithm == "SM2-SM3":
        return _format_pem("PUBLIC KEY", sm2.encode_public_key(_read_sm2(private_key).public))
    public = _read_private(algorithm, private_key).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def format_key_id(public_key: str) -> str:
    """16 hexadecimal digits of SHA-256 over the key's DER; raises KeyRefused."""
    return sha256(_parse_pem("PUBLIC KEY", public_key)).hexdigest()[:16]


def digest(algorithm: Algorithm, data: bytes) -> bytes:
    """SM3 with SM2, SHA-256 with the others."""
    return sm2.hash_sm3(data) if algorithm == "SM2-SM3" else sha256(data).digest()


def sign(algorithm: Algorithm, private_key: str, message: bytes) -> bytes:
    """Raises KeyRefused."""
    if algorithm == "SM2-SM3":
        return sm2.sign(_read_sm2(private_key), message)
    key = _read_private(algorithm, private_key)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), SHA256())
    return key.sign(message)


def verify(algorithm: Algorithm, public_key: str, message: bytes, signature: bytes) -> bool:
    """Whether the owner of the key signed exactly this; raises KeyRefused."""
    if algorithm == "SM2-SM3":
        return sm2.verify(_decode_sm2_public(public_key), message, signature)
    key = _read_public(algorithm, public_key)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), SHA256())
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def check_public_key(algorithm: Algorithm, public_key: str) -> None:
    """Raise KeyRefused unless it is a key of that algorithm."""
    if algorithm == "SM2-SM3":
        _decode_sm2_public(public_key)
    else:
        _read_public(algorithm, public_key)


def _read_private(algorithm: Algorithm, pem: str) -> rsa.RSAPrivateKey | Ed25519PrivateKey:
    wanted = rsa.RSAPrivateKey if algorithm == "RSA-SHA256" else Ed25519PrivateKey
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyRefused(f"no private key: {error}") from error
    if not isinstance(key, wanted):
        raise KeyRefused(f"not a private key for {algorithm}")
    return key


def _read_public(algorithm: Algorithm, pem: str) -> rsa.RSAPublicKey | Ed25519PublicKey:
    wanted = rsa.RSAPublicKey if algorithm == "RSA-SHA256" else Ed25519PublicKey
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyRefused(f"no public key: {error}") from error
    if not isinstance(key, wanted) or (isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_MINIMUM_BITS):
        raise KeyRefused(f"not a public key for {algorithm}, or one that is too short")
    return key


def _read_sm2(pem: str) -> sm2.PrivateKey:
    try:
        return sm2.decode_private_key(_parse_pem("PRIVATE KEY", pem))
    except ValueError as error:
        raise KeyRefused(str(error)) from error


def _decode_sm2_public(pem: str) -> sm2.PublicKey:
    try:
        return sm2.decode_public_key(_parse_pem("PUBLIC KEY", pem))
    except ValueError as error:
        raise KeyRefused(str(error)) from error


def _format_pem(label: str, data: bytes) -> str:
    encoded = b64encode(data).decode()
    lines = "\n".join(encoded[at : at + 64] for at in range(0, len(encoded), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def _parse_pem(label: str, pem: str) -> bytes:
    """The bytes of the first block of that kind; raises KeyRefused."""
    _, begin, rest = pem.partition(f"-----BEGIN {label}-----")
    encoded, end, _ = rest.partition(f"-----END {label}-----")
    try:
        if begin and end:
            return b64decode("".join(encoded.split()), validate=True)
    except NotBase64:
        pass
    raise KeyRefused(f"no PEM block of a {label}")
