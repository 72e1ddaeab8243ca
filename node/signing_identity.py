"""What signs connection certificates: a key the node makes and keeps sealed, or configured files of a certificate.

The node's own certificate is self-signed: it proves that files come from who holds this node, and nothing beyond that.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from asyncpg import Connection

from node.store import connection_certificates as store
from schemas.errors import SetupError
from schemas.sealing import KeyRing, SealBroken, seal, unseal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KEY_BITS = 3_072  # RSA: every reader of PDF checks it
YEARS = 10
_CONTEXT = "signing/"


@dataclass(frozen=True, slots=True)
class Identity:
    """DER: certificate, private key (PKCS #8), and the certificates between it and its root."""

    certificate: bytes
    private_key: bytes
    chain: tuple[bytes, ...] = ()

    @property
    def fingerprint(self) -> str:
        return sha256(self.certificate).hexdigest()


async def get_identity(
    conn: Connection, ring: KeyRing, files: tuple[Path, Path] | None, name: str, now: datetime
) -> Identity:
    """That of the files (certificate, key), else the node's own, which is made when it is first needed.

    Raises SetupError. `conn` is in no transaction: a key takes its time.
    """
    if files is not None:
        identity = await asyncio.to_thread(read_files, *files, now)
        await store.insert_signing(conn, identity.fingerprint, identity.certificate, None, now)
        return identity
    found = await store.fetch_own_signing(conn)
    if found is None:
        made = await asyncio.to_thread(make_identity, name, now)
        sealed = seal(ring, made.private_key, _CONTEXT + made.fingerprint)
        await store.insert_signing(conn, made.fingerprint, made.certificate, sealed, now)
        found = await store.fetch_own_signing(conn)  # another process may have been first
    if found is None:
        raise SetupError("certificate_key_broken", key="–")
    fingerprint, certificate, kept = found
    try:
        return Identity(certificate, unseal(ring, kept, _CONTEXT + fingerprint))
    except SealBroken as error:
        raise SetupError("certificate_key_broken", key=fingerprint[:16]) from error


def make_identity(name: str, now: datetime) -> Identity:
    """A new key with a certificate that it signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding

    key = rsa.generate_private_key(65_537, KEY_BITS)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "CN"),
                         x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])  # fmt: skip
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    begin = now.astimezone(UTC).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin - timedelta(days=1))
        .not_valid_after(begin + timedelta(days=365 * YEARS))
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate.public_bytes(Encoding.DER), _encode_key(key))


def read_files(certificate: Path, key: Path, now: datetime) -> Identity:
    """PEM; the certificate's file may hold its chain. Raises SetupError if they do not fit or are not in force."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    try:
        own, *chain = x509.load_pem_x509_certificates(certificate.read_bytes())
        private_key = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise SetupError("certificate_files_unusable", path=certificate, reason=str(error)[:200]) from error
    if not isinstance(private_key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise SetupError("certificate_files_unusable", path=key, reason=type(private_key).__name__)
    if private_key.public_key() != own.public_key():
        raise SetupError("certificate_files_unusable", path=certificate, reason=f"{key.name} ≠ {certificate.name}")
    if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
        period = f"{own.not_valid_before_utc:%Y-%m-%d} – {own.not_valid_after_utc:%Y-%m-%d}"
        raise SetupError("certificate_files_unusable", path=certificate, reason=period)
    der = (one.public_bytes(Encoding.DER) for one in chain)
    return Identity(own.public_bytes(Encoding.DER), _encode_key(private_key), tuple(der))


def _encode_key(key: "RSAPrivateKey | EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
