"""Electronic signatures in PDFs (PAdES baseline B-B): signing, and telling whether one is intact. Slow to import."""

import asyncio
import io
from hashlib import sha256

from asn1crypto.keys import PrivateKeyInfo
from asn1crypto.x509 import Certificate
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import signers
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
from pyhanko.sign.general import SigningError
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from node.signing_identity import Identity

FIELD = "Signature"
ATTRIBUTE_BYTES = (
    4_096  # of a signature beside its certificates: digest, signed attributes, names; RSA up to 8,192 bits
)


def sign_pdf(content: bytes, identity: Identity, reason: str, name: str) -> bytes:
    """The file with a signature over all of it that allows no later change."""
    store = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    store.register_multiple(Certificate.load(der) for der in identity.chain)
    signer = signers.SimpleSigner(
        signing_cert=Certificate.load(identity.certificate),
        signing_key=PrivateKeyInfo.load(identity.private_key),
        cert_registry=store,
    )
    terms = signers.PdfSignatureMetadata(
        field_name=FIELD, md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES, reason=reason, name=name,
        certify=True, docmdp_permissions=MDPPerm.NO_CHANGES,
    )  # fmt: skip
    room = len(identity.certificate) + sum(map(len, identity.chain)) + ATTRIBUTE_BYTES
    signed: io.BytesIO = signers.PdfSigner(terms, signer).sign_pdf(
        IncrementalPdfFileWriter(io.BytesIO(content)),
        bytes_reserved=2 * room,  # in hex; found by a signature for trial, it would take twice as long
    )
    return signed.getvalue()


def is_intact(content: bytes, certificate: bytes) -> bool:
    """Whether there is one signature, by this certificate (DER), over the whole file, and nothing was changed.

    For files of ours, or of the operator: a foreign file may keep the parser busy.
    """
    try:
        (embedded,) = PdfFileReader(io.BytesIO(content)).embedded_regular_signatures
        trust = Certificate.load(certificate)
        context = ValidationContext(trust_roots=[trust], allow_fetching=False)
        status = asyncio.run(async_validate_pdf_signature(embedded, context))
    except (PdfError, SignatureValidationError, SigningError, ValueError, KeyError, OSError):
        return False
    return bool(
        status.intact
        and status.valid
        and status.coverage == SignatureCoverageLevel.ENTIRE_FILE
        and status.modification_level == ModificationLevel.NONE
        and sha256(status.signing_cert.dump()).digest() == sha256(certificate).digest()
    )
