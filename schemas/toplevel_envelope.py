"""The signed envelope of TLN-1 (domain.md §f.5): what is signed, what stands in the headers, and how it is judged.

The signature is over `METHOD\\nPATH?QUERY\\nTS\\nNONCE\\nDIGEST`, with the digest of the body as it is sent. Pure: the
clock and the nonces that were seen are arguments.
"""

import secrets
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from schemas.signatures import ALGORITHMS, Algorithm, KeyRefused, digest, sign, verify

BASE_PATH = "/tln/v1"
CLOCK_WINDOW_MS = 300_000
NONCE_SECONDS = 600
IDEMPOTENCY_DAYS = 7
SCHEMA = 1

APP, PREFIX, KEY = "X-Tln-App", "X-Tln-Prefix", "X-Tln-Key"
TIME, NONCE, ALGORITHM = "X-Tln-Ts", "X-Tln-Nonce", "X-Tln-Alg"
DIGEST, SIGNATURE = "X-Tln-Digest", "X-Tln-Sign"
IDEMPOTENCY = "Idempotency-Key"


class EnvelopeRefused(Exception):
    """A call that is not believed; `code` is one of the contract: E2xx signature or clock, E3xx prefix."""

    def __init__(self, code: str, field: str) -> None:
        super().__init__(code, field)
        self.code, self.field = code, field


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """Who signs: the app id the top-level node issued, and the key in use. `key_id` names it in X-Tln-Key."""

    app: str
    key_id: str
    algorithm: Algorithm
    private_key: str


@dataclass(frozen=True, slots=True)
class Claims:
    """The headers of a call, read but not yet believed. `key_id` is empty where none was named."""

    app: str
    prefix: str
    key_id: str
    time_ms: int
    nonce: str
    algorithm: Algorithm
    digest: str
    signature: bytes
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message: rows of a table for a period, or one part of them. `rev` counts corrections from 0."""

    table: str
    prefix: str
    period: str
    batch_id: str
    rows: list[dict[str, Any]]
    part: int = 1
    parts: int = 1
    rev: int = 0
    watermark: int | None = None
    reason: str = ""


def encode_envelope(envelope: Envelope) -> bytes:
    """Canonical JSON: keys sorted, no blanks, UTF-8. Equal envelopes are equal bytes."""
    document: dict[str, Any] = {
        "table": envelope.table, "schema": SCHEMA, "shrPrefix": envelope.prefix, "period": envelope.period,
        "batchId": envelope.batch_id, "part": envelope.part, "parts": envelope.parts, "rev": envelope.rev,
        "rows": envelope.rows,
    }  # fmt: skip
    if envelope.watermark is not None:
        document["watermark"] = envelope.watermark
    if envelope.reason:
        document["reason"] = envelope.reason
    return encode_canonical(document)


def encode_canonical(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def encode_lines(envelope: Envelope) -> bytes:
    """NDJSON for master data: the envelope without its rows on the first line, then a row a line."""
    head = orjson.loads(encode_envelope(envelope))
    del head["rows"]
    lines = [encode_canonical(head), *map(encode_canonical, envelope.rows)]
    return b"\n".join(lines) + b"\n"


def format_signed_text(method: str, target: str, claims: tuple[int, str, str]) -> bytes:
    """The bytes that are signed; `target` is the path with its query, `claims` time in ms, nonce and digest."""
    time_ms, nonce, body_digest = claims
    return f"{method}\n{target}\n{time_ms}\n{nonce}\n{body_digest}".encode()


def make_headers(
    signer: Signer, prefix: str, call: tuple[str, str, bytes], now_ms: int, idempotency_key: str
) -> dict[str, str]:
    """The headers of one call (method, path with query, body as sent); every call gets a nonce of its own."""
    method, target, body = call
    nonce = secrets.token_hex(16)
    body_digest = b64encode(digest(signer.algorithm, body)).decode()
    signed = format_signed_text(method, target, (now_ms, nonce, body_digest))
    return {
        APP: signer.app,
        PREFIX: prefix,
        KEY: signer.key_id,
        TIME: str(now_ms),
        NONCE: nonce,
        ALGORITHM: signer.algorithm,
        DIGEST: body_digest,
        SIGNATURE: b64encode(sign(signer.algorithm, signer.private_key, signed)).decode(),
        IDEMPOTENCY: idempotency_key,
    }


def parse_claims(headers: Mapping[str, str]) -> Claims:
    """Read the headers; raises EnvelopeRefused that names the one at fault. Names are looked up in lower case too."""

    def get(name: str, longest: int = 256) -> str:
        text = headers.get(name) or headers.get(name.lower()) or ""
        if not text or len(text) > longest or not text.isascii():
            raise EnvelopeRefused("E201", name)
        return text

    algorithm = get(ALGORITHM)
    if algorithm not in ALGORITHMS:
        raise EnvelopeRefused("E202", ALGORITHM)
    time_text, nonce = get(TIME, 16), get(NONCE)
    if not time_text.isdecimal():
        raise EnvelopeRefused("E201", TIME)
    if len(nonce) != 32 or set(nonce.lower()) - set("0123456789abcdef"):
        raise EnvelopeRefused("E201", NONCE)
    try:
        signature = b64decode(get(SIGNATURE, 2_048), validate=True)
        key = str(UUID(get(IDEMPOTENCY, 64)))
    except NotBase64:
        raise EnvelopeRefused("E201", SIGNATURE) from None
    except ValueError:
        raise EnvelopeRefused("E201", IDEMPOTENCY) from None
    key_id = headers.get(KEY) or headers.get(KEY.lower()) or ""
    return Claims(
        get(APP), get(PREFIX), key_id[:64], int(time_text), nonce, algorithm,
        get(DIGEST), signature, key,
    )  # fmt: skip


def check_claims(claims: Claims, call: tuple[str, str, bytes], public_key: str, now_ms: int) -> None:
    """Believe a call or raise EnvelopeRefused: clock, digest, signature. Nonces are the receiver's to remember."""
    method, target, body = call
    if abs(claims.time_ms - now_ms) > CLOCK_WINDOW_MS:
        raise EnvelopeRefused("E203", TIME)
    if b64encode(digest(claims.algorithm, body)).decode() != claims.digest:
        raise EnvelopeRefused("E205", DIGEST)
    signed = format_signed_text(method, target, (claims.time_ms, claims.nonce, claims.digest))
    try:
        believed = verify(claims.algorithm, public_key, signed, claims.signature)
    except KeyRefused:
        believed = False
    if not believed:
        raise EnvelopeRefused("E206", SIGNATURE)
