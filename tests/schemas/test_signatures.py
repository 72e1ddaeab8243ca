"""Signatures and the envelope: the same as `openssl` makes and believes; one changed byte is refused."""

import subprocess
from pathlib import Path

import pytest

from schemas import sm2
from schemas.signatures import (
    ALGORITHMS,
    Algorithm,
    KeyRefused,
    check_public_key,
    digest,
    format_key_id,
    format_public_key,
    make_private_key,
    sign,
    verify,
)
from schemas.toplevel_envelope import (
    SIGNATURE,
    TIME,
    Envelope,
    EnvelopeRefused,
    Signer,
    check_claims,
    encode_envelope,
    encode_lines,
    format_signed_text,
    make_headers,
    parse_claims,
)

NOW_MS = 1_763_600_000_000
ROW = {"prefix": "88.101.7", "day": "2026-11-20", "regNew": 1800, "regTotal": 912000, "name": "泵"}
ENVELOPE = Envelope("T8", "88.101", "2026-11-20", "00000000-0000-4000-8000-000000000001", [ROW])
BODY = encode_envelope(ENVELOPE)
CALL = ("POST", "/tln/v1/stats/enterprises?x=1", BODY)
IDEMPOTENCY_KEY = "3f2b1c9e-0000-4000-8000-000000000007"
# How the command signs and verifies each kind: options of `openssl pkeyutl`.
OPENSSL: dict[Algorithm, list[str]] = {
    "RSA-SHA256": ["-rawin", "-digest", "sha256"],
    "SM2-SM3": ["-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"],
    "ED25519": ["-rawin"],
}
GENERATE = {"RSA-SHA256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "SM2-SM3": ["SM2"], "ED25519": ["ED25519"]}


@pytest.fixture(scope="module")
def keys() -> dict[Algorithm, str]:
    return {algorithm: make_private_key(algorithm) for algorithm in ALGORITHMS}


def run(*arguments: object) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60).stdout


def make_signer(algorithm: Algorithm, private_key: str) -> Signer:
    return Signer("app-1", format_key_id(format_public_key(algorithm, private_key)), algorithm, private_key)


def test_sm2_and_sm3_give_the_published_results() -> None:
    """GB/T 32905 example 1; GB/T 32918.5-2017 annex A.2: key, message, random number, r and s."""
    assert sm2.hash_sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    key = sm2.PrivateKey(0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8)
    assert key.public.x == 0x09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020
    assert key.public.y == 0xCCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13
    signature = sm2.sign(
        key, b"message digest", random=0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
    )
    r, s = sm2.decode_dss_signature(signature)
    assert r == 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
    assert s == 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
    assert sm2.verify(key.public, b"message digest", signature)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_openssl_believes_a_fixed_envelope_that_we_sign(
    algorithm: Algorithm, keys: dict[Algorithm, str], tmp_path: Path
) -> None:
    signer = make_signer(algorithm, keys[algorithm])
    claims = parse_claims(make_headers(signer, "88.101", CALL, NOW_MS, IDEMPOTENCY_KEY))
    signed = format_signed_text(CALL[0], CALL[1], (claims.time_ms, claims.nonce, claims.digest))
    public, message, signature = tmp_path / "public.pem", tmp_path / "message", tmp_path / "signature"
    public.write_text(format_public_key(algorithm, keys[algorithm]))
    message.write_bytes(signed)
    signature.write_bytes(claims.signature)
    verdict = run(
        "pkeyutl", "-verify", "-pubin", "-inkey", public, "-in", message, "-sigfile", signature, *OPENSSL[algorithm]
    )
    assert b"Successfully" in verdict
    body = tmp_path / "body"
    body.write_bytes(BODY)
    name = "-sm3" if algorithm == "SM2-SM3" else "-sha256"
    assert run("dgst", name, "-binary", body) == digest(algorithm, BODY)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_we_believe_what_openssl_signs_and_no_changed_byte_of_it(algorithm: Algorithm, tmp_path: Path) -> None:
    private, message = tmp_path / "private.pem", tmp_path / "message"
    run("genpkey", "-algorithm", *GENERATE[algorithm], "-out", private)
    signed = b"POST\n/tln/v1/heartbeat\n1763600000000\n" + b"0" * 32 + b"\nZGlnZXN0"
    message.write_bytes(signed)
    signature = run("pkeyutl", "-sign", "-inkey", private, "-in", message, *OPENSSL[algorithm])
    public = run("pkey", "-in", private, "-pubout").decode()
    assert format_public_key(algorithm, private.read_text()) == public
    assert verify(algorithm, public, signed, signature)
    for at in range(0, len(signed), 7):
        assert not verify(algorithm, public, _change(signed, at), signature), at
    for at in (0, len(signature) // 2, len(signature) - 1):
        assert not verify(algorithm, public, signed, _change(signature, at)), at


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_of_another_kind_is_refused(algorithm: Algorithm, keys: dict[Algorithm, str]) -> None:
    for other in ALGORITHMS:
        public = format_public_key(other, keys[other])
        if other == algorithm:
            check_public_key(algorithm, public)
            continue
        with pytest.raises(KeyRefused):
            check_public_key(algorithm, public)
        with pytest.raises(KeyRefused):
            sign(algorithm, keys[other], b"x")


CHANGES = [
    ("method", ("PUT", CALL[1], BODY), "E206"),
    ("path", ("POST", "/tln/v1/stats/node?x=1", BODY), "E206"),
    ("query", ("POST", "/tln/v1/stats/enterprises?x=2", BODY), "E206"),
    ("body", ("POST", CALL[1], BODY.replace(b"1800", b"1801")), "E205"),
]


@pytest.mark.parametrize(("name", "call", "code"), CHANGES, ids=[change[0] for change in CHANGES])
def test_a_call_that_was_changed_on_its_way_is_refused(
    name: str, call: tuple[str, str, bytes], code: str, keys: dict[Algorithm, str]
) -> None:
    signer = make_signer("ED25519", keys["ED25519"])
    public = format_public_key("ED25519", keys["ED25519"])
    claims = parse_claims(make_headers(signer, "88.101", CALL, NOW_MS, IDEMPOTENCY_KEY))
    check_claims(claims, CALL, public, NOW_MS)
    with pytest.raises(EnvelopeRefused) as refused:
        check_claims(claims, call, public, NOW_MS)
    assert refused.value.code == code, name


@pytest.mark.parametrize(("apart_ms", "code"), [(0, None), (300_000, None), (-300_000, None), (300_001, "E203"),
                                                (-300_001, "E203")])  # fmt: skip
def test_the_clock_may_be_five_minutes_off(apart_ms: int, code: str | None, keys: dict[Algorithm, str]) -> None:
    signer = make_signer("ED25519", keys["ED25519"])
    public = format_public_key("ED25519", keys["ED25519"])
    claims = parse_claims(make_headers(signer, "88.101", CALL, NOW_MS, IDEMPOTENCY_KEY))
    try:
        check_claims(claims, CALL, public, NOW_MS + apart_ms)
        found = None
    except EnvelopeRefused as refused:
        found = refused.code
    assert found == code


HEADERS = [
    ("X-Tln-App", "", "E201", "who calls"),
    ("X-Tln-Alg", "HMAC", "E202", "an algorithm that is not of the contract"),
    ("X-Tln-Ts", "yesterday", "E201", "no number"),
    ("X-Tln-Nonce", "abc", "E201", "too short to be unique"),
    ("X-Tln-Nonce", "g" * 32, "E201", "not hexadecimal"),
    (SIGNATURE, "***", "E201", "not base64"),
    ("Idempotency-Key", "seven", "E201", "no uuid"),
]


@pytest.mark.parametrize(("name", "text", "code", "reason"), HEADERS, ids=[header[3] for header in HEADERS])
def test_a_header_that_cannot_be_read_is_named(
    name: str, text: str, code: str, reason: str, keys: dict[Algorithm, str]
) -> None:
    headers = make_headers(make_signer("ED25519", keys["ED25519"]), "88.101", CALL, NOW_MS, IDEMPOTENCY_KEY)
    with pytest.raises(EnvelopeRefused) as refused:
        parse_claims(headers | {name: text})
    assert (refused.value.code, refused.value.field) == (code, name)


def test_every_call_has_a_nonce_of_its_own(keys: dict[Algorithm, str]) -> None:
    signer = make_signer("ED25519", keys["ED25519"])
    made = [make_headers(signer, "88.101", CALL, NOW_MS, IDEMPOTENCY_KEY) for _ in range(3)]
    assert len({headers["X-Tln-Nonce"] for headers in made}) == 3
    assert {headers[TIME] for headers in made} == {str(NOW_MS)}


def test_equal_envelopes_are_equal_bytes() -> None:
    turned = Envelope("T8", "88.101", "2026-11-20", ENVELOPE.batch_id, [dict(reversed(ROW.items()))])
    assert encode_envelope(turned) == BODY
    assert b" " not in BODY
    assert "泵".encode() in BODY
    head, row, end = encode_lines(ENVELOPE).split(b"\n")
    assert b'"rows"' not in head
    assert b'"regNew":1800' in row
    assert end == b""


def _change(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
