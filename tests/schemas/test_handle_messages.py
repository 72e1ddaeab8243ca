"""Whole messages: every vector both ways, versions, digests, and how answers are made."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.handle_admin_messages import (
    Challenge,
    ChallengeAnswer,
    DumpRequest,
    HandleList,
    Login,
    RemoveRequest,
    SessionSetupRequest,
    SessionSetupResponse,
    VerifyRequest,
    VerifyResponse,
    decode_body,
    decode_secret_key_proof,
    decode_session_key_data,
    decode_signature,
    encode_challenge,
    encode_challenge_answer,
    encode_dump_request,
    encode_handle_list,
    encode_login,
    encode_remove_request,
    encode_secret_key_proof,
    encode_session_setup_request,
    encode_session_setup_response,
    encode_signature,
    encode_verify_request,
    encode_verify_response,
)
from schemas.handle_bodies import (
    ErrorBody,
    HandleBody,
    HandleValues,
    Referral,
    ResolutionRequest,
    decode_error,
    decode_resolution_request,
    encode_error,
    encode_handle_body,
    encode_handle_values,
    encode_referral,
    encode_resolution_request,
)
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    ENCRYPTED,
    Credential,
    Envelope,
    Header,
    Message,
    Opcode,
    decode_credential,
    decode_envelope,
    decode_message,
    decode_payload,
    encode_credential,
    encode_digest,
    encode_envelope,
    encode_message,
    split_digest,
)
from schemas.handle_values import KeyRecord, Site, decode_admin, decode_key, encode_site
from schemas.values import Value

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]
BY_NAME = {v["name"]: v for v in VECTORS}
MESSAGES = [v for v in VECTORS if v["kind"] == "message" and "header" in v["decoded"]]
ENCRYPTED_MESSAGES = [v for v in VECTORS if v["kind"] == "message" and "plaintext" in v["decoded"]]

FLAG_NAMES = ["AUTH", "CERT", "ENCR", "RECU", "CACR", "CONT", "KPAL", "PUBL", "RRDG", "OVRW", "MINT", "DNRF"]


def _each(vectors: list[Any]) -> list[Any]:
    return [pytest.param(v, id=v["name"]) for v in vectors]


def _bytes(name: str) -> bytes:
    return bytes.fromhex(BY_NAME[name]["hex"])


def _request(name: str) -> Message:
    return decode_message(_bytes(name))


# What the vectors say, said of ours


def _show_envelope(envelope: Envelope) -> dict[str, Any]:
    suggested = envelope.suggested_version
    return {
        "version": f"{envelope.major}.{envelope.minor}", "suggested": f"{suggested[0]}.{suggested[1]}",
        "flags": ["encrypted"] if envelope.is_encrypted else [], "sessionId": envelope.session_id,
        "requestId": envelope.request_id, "sequence": envelope.sequence, "length": envelope.length,
    }  # fmt: skip


def _show_header(header: Header, body_length: int) -> dict[str, Any]:
    return {
        "opCode": header.opcode, "responseCode": header.response_code, "opFlags": f"{header.flags:08x}",
        "flagNames": [n for i, n in enumerate(FLAG_NAMES) if header.flags & 0x8000_0000 >> i],
        "siteInfoSerial": header.site_serial, "recursionCount": header.recursion_count,
        "expiration": header.expiration, "bodyLength": body_length,
    }  # fmt: skip


def _show_credential(data: bytes | None) -> dict[str, Any] | None:
    if not data:
        return None if data is None else {"length": 0}
    credential = decode_credential(data)
    assert encode_credential(credential) == data
    info = 8 + len(credential.digest_algorithm) + len(credential.signature)
    return {
        "length": len(data), "version": credential.version, "reserved": credential.reserved,
        "options": credential.options, "signer": credential.signer,
        "sessionCounter": credential.session_counter, "type": credential.type, "signedInfoLength": info,
        "digestAlg": credential.digest_algorithm, "signature": credential.signature.hex(),
    }  # fmt: skip


def _show_value(value: Value) -> dict[str, Any]:
    data: Any = value.data.decode("utf-8", "replace")
    if value.type == "HS_ADMIN":
        admin = decode_admin(value.data)
        data = {
            "permissions": f"{admin.permissions:04x}", "adminHandle": admin.handle,
            "adminIndex": admin.index, "trailingBytes": admin.trailing.hex(),
        }  # fmt: skip
    return {
        "index": value.index, "timestamp": value.timestamp, "ttlType": int(value.ttl_is_absolute),
        "ttl": value.ttl_seconds, "permissions": f"{value.permissions:02x}", "type": value.type, "data": data,
        "references": [[r.handle, r.index] for r in value.references],
    }  # fmt: skip


def _show_key(data: bytes) -> dict[str, Any]:
    key: KeyRecord = decode_key(data)
    fields = {name: data.hex() for name, data in key.named_fields.items()}
    return {"keyType": key.key_type, "flags": key.flags, "trailingBytes": key.trailing.hex()} | fields


def _show_site(site: Site) -> dict[str, Any]:
    return {"serial": site.serial, "hashOption": site.hash_option, "servers": len(site.servers)}


def _show_proof(answer: ChallengeAnswer) -> dict[str, Any]:
    if answer.auth_type == "HS_PUBKEY":
        signature = decode_signature(answer.signed_response)
        assert encode_signature(signature) == answer.signed_response
        return {"hashAlg": signature.hash_algorithm, "signature": signature.signature.hex()}
    proof = decode_secret_key_proof(answer.signed_response)
    assert encode_secret_key_proof(proof) == answer.signed_response
    shown: dict[str, Any] = {"macType": f"{proof.algorithm:02x}", "mac": proof.mac.hex()}
    if proof.salt:
        shown |= {"salt": proof.salt.hex(), "iterations": proof.iterations, "keyBits": proof.key_bits}
    return shown


def _show_setup_response(response: SessionSetupResponse) -> dict[str, Any]:
    algorithm, key = decode_session_key_data(response.data)
    return {"mode": response.mode, "sessionKeyAlg": algorithm, "publicKey": _show_key(key)}


SHOW_BODY: dict[type, Callable[[Any], dict[str, Any]]] = {
    bytes: lambda b: {},
    ResolutionRequest: lambda b: {"handle": b.handle.decode(), "indexes": b.indexes, "types": b.types},
    HandleBody: lambda b: {"handle": b.handle.decode()},
    HandleValues: lambda b: {"handle": b.handle.decode(), "values": [_show_value(v) for v in b.values]},
    Referral: lambda b: {"handle": b.handle.decode()},
    ErrorBody: lambda b: {"message": b.message},
    RemoveRequest: lambda b: {"handle": b.handle.decode(), "indexes": b.indexes},
    HandleList: lambda b: {"handles": [h.decode() for h in b.handles]},
    Challenge: lambda b: {"nonce": b.nonce.hex(), "requestDigest": b.digest.digest.hex()},
    ChallengeAnswer: lambda b: {
        "authType": b.auth_type, "userHandle": b.user_handle.decode(), "userIndex": b.user_index,
        "signedResponse": b.signed_response.hex(), **_show_proof(b),
    },
    VerifyRequest: lambda b: {
        "handle": b.handle.decode(), "index": b.index, "nonce": b.nonce.hex(),
        "requestDigest": b.digest.digest.hex(), "signedResponse": b.signed_response.hex(),
    },
    VerifyResponse: lambda b: {"valid": b.result},
    SessionSetupRequest: lambda b: {
        "mode": b.mode, "timeout": b.timeout_seconds, "identityHandle": b.identity_handle.decode(),
        "identityIndex": b.identity_index, "publicKey": _show_key(b.public_key),
    },
    SessionSetupResponse: _show_setup_response,
    DumpRequest: lambda b: {
        "hashType": b.receiver.hash_option, "numServers": b.receiver.servers, "serverNum": b.receiver.server,
    },
    Login: lambda b: {"handle": b.handle.decode(), "index": b.index},
}  # fmt: skip

ENCODE_BODY: dict[type, Callable[[Any], bytes]] = {
    bytes: bytes,
    ResolutionRequest: encode_resolution_request,
    HandleBody: encode_handle_body,
    HandleValues: encode_handle_values,
    Referral: encode_referral,
    ErrorBody: encode_error,
    Site: encode_site,
    RemoveRequest: encode_remove_request,
    HandleList: encode_handle_list,
    ChallengeAnswer: encode_challenge_answer,
    VerifyRequest: encode_verify_request,
    VerifyResponse: encode_verify_response,
    SessionSetupRequest: encode_session_setup_request,
    SessionSetupResponse: encode_session_setup_response,
    DumpRequest: encode_dump_request,
    Login: encode_login,
}


def _show_body(message: Message) -> dict[str, Any]:
    body = decode_body(message)
    digest, _ = split_digest(message)
    front = {} if digest is None else {"digestType": digest.type, "requestDigest": digest.digest.hex()}
    if isinstance(body, Site):
        return front | {"site": _show_site(body), "trailingBytes": ""}
    trailing = getattr(body, "trailing", b"").hex()
    return front | SHOW_BODY[type(body)](body) | {"trailingBytes": trailing}


def _encode_body(message: Message) -> bytes:
    body = decode_body(message)
    digest, _ = split_digest(message)
    front = b"" if digest is None else encode_digest(digest)
    if isinstance(body, Challenge):
        return front + encode_challenge(body, message.envelope.version)
    return front + ENCODE_BODY[type(body)](body)


def _expected_body(vector: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = dict(vector["decoded"]["body"])
    if "site" in body:  # its details are compared by test_handle_values
        site = body["site"]
        body["site"] = {
            "serial": site["serial"], "hashOption": site["hashOption"], "servers": len(site["servers"])
        }  # fmt: skip
    return body


# Vectors


@pytest.mark.parametrize("vector", _each(MESSAGES))
def test_every_vector_decodes_to_what_it_says(vector: dict[str, Any]) -> None:
    message = decode_message(bytes.fromhex(vector["hex"]))
    wanted = vector["decoded"]
    assert _show_envelope(message.envelope) == wanted["envelope"]
    assert _show_header(message.header, len(message.body)) == wanted["header"]
    assert _show_credential(message.credential) == wanted["credential"]
    assert _show_body(message) == _expected_body(vector)


@pytest.mark.parametrize("vector", _each(MESSAGES))
def test_every_vector_is_encoded_to_the_same_bytes(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    message = decode_message(data)
    assert encode_message(replace(message, body=_encode_body(message))) == data
    assert message.header_and_body == data[20 : 44 + len(message.body)]


@pytest.mark.parametrize("vector", _each(ENCRYPTED_MESSAGES))
def test_an_encrypted_message_is_refused_with_its_envelope_and_read_once_decrypted(vector: dict[str, Any]) -> None:
    data, wanted = bytes.fromhex(vector["hex"]), vector["decoded"]
    with pytest.raises(MalformedMessage) as refusal:
        decode_message(data)
    envelope = refusal.value.envelope
    assert envelope is not None
    assert envelope.is_encrypted
    assert _show_envelope(envelope) == wanted["envelope"]

    plaintext, inner = bytes.fromhex(wanted["plaintext"]), wanted["plaintextDecoded"]
    message = decode_payload(envelope, plaintext)
    assert _show_header(message.header, len(message.body)) == inner["header"]
    assert _show_credential(message.credential) == inner["credential"]
    assert _show_body(message) == inner["body"]
    assert encode_message(message)[20:] == plaintext


# Damage


@pytest.mark.parametrize("vector", _each([v for v in VECTORS if v["kind"] in ("message", "udp-fragment")]))
def test_every_truncation_is_refused(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    for size in range(len(data)):
        with pytest.raises(MalformedMessage) as refusal:
            decode_message(data[:size])
        assert (refusal.value.envelope is not None) == (size >= 20)


@pytest.mark.parametrize("vector", _each(MESSAGES))
def test_a_truncation_with_an_honest_length_is_refused_or_means_an_unsigned_message(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    whole = decode_message(data)
    body_end = 44 + len(whole.body)
    for size in range(20, len(data)):
        cut = data[:16] + (size - 20).to_bytes(4, "big") + data[20:size]
        if size == body_end or size >= body_end + 4:  # no trailer, or one that runs past the end
            message = decode_message(cut)
            assert message.credential is None
            assert message.header_and_body == whole.header_and_body
        else:
            with pytest.raises(MalformedMessage) as refusal:
                decode_message(cut)
            assert refusal.value.envelope is not None
            assert (refusal.value.header is not None) == (size >= 44)


@pytest.mark.parametrize("vector", _each(MESSAGES))
def test_a_truncated_body_is_refused_or_lacks_only_what_is_optional(vector: dict[str, Any]) -> None:
    whole = decode_message(bytes.fromhex(vector["hex"]))
    for size in range(len(whole.body)):
        message = replace(whole, body=whole.body[:size])
        try:
            body = decode_body(message)
        except MalformedMessage:
            continue
        trailing = len(getattr(decode_body(whole), "trailing", b""))
        allowed = size >= len(whole.body) - trailing or isinstance(body, ErrorBody) or body == b""
        assert allowed, f"{size} of {len(whole.body)} bytes were taken for {body}"


@pytest.mark.parametrize("vector", _each([v for v in VECTORS if v["kind"] == "message"]))
def test_a_mutation_is_a_message_or_malformed_and_nothing_else(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    chance = random.Random(vector["name"])
    for _ in range(2_000):
        mutated = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(min(len(mutated), 160) if chance.random() < 0.7 else len(mutated))
            mutated[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        try:
            message = decode_message(bytes(mutated))
            assert message.header_and_body == mutated[20 : 44 + len(message.body)]
            decode_body(message)
            if message.credential:
                decode_credential(message.credential)
        except MalformedMessage:
            continue


@given(st.binary(max_size=120))
def test_no_bytes_at_all_raise_anything_else(data: bytes) -> None:
    for version in (b"\x02\x0b\x02\x0b", b""):
        try:
            decode_body(decode_message(version + data))
        except MalformedMessage:
            continue


CREDENTIALS = [
    ("", None, "the trailer is missing"),
    ("00000000", b"", "unsigned"),
    ("00000001", None, "one byte announced, none there"),
    ("7fffffff00", None, "two thousand million bytes announced"),
    ("00000002aabbcc", b"\xaa\xbb", "what follows the credential is ignored"),
]


@pytest.mark.parametrize(("trailer", "credential", "why"), CREDENTIALS)
def test_trailers_that_are_accepted(trailer: str, credential: bytes | None, why: str) -> None:
    payload = _request("resolution_request_plain").header_and_body + bytes.fromhex(trailer)
    envelope = replace(_request("resolution_request_plain").envelope, length=len(payload))
    assert decode_message(encode_envelope(envelope) + payload).credential == credential


@pytest.mark.parametrize("trailer", ["ffffffff", "80000000aa", "000000"])
def test_trailers_that_are_refused(trailer: str) -> None:
    payload = _request("resolution_request_plain").header_and_body + bytes.fromhex(trailer)
    with pytest.raises(MalformedMessage):
        decode_payload(_request("resolution_request_plain").envelope, payload)


@pytest.mark.parametrize("length", [-1, -(2**31), 28, 2**31 - 1])
def test_a_body_length_that_does_not_fit_is_refused_with_the_header(length: int) -> None:
    data = bytearray(_bytes("resolution_request_plain"))
    data[40:44] = length.to_bytes(4, "big", signed=True)
    if length == 28:
        data = data[:16] + (51).to_bytes(4, "big") + data[20:71]
    with pytest.raises(MalformedMessage) as refusal:
        decode_message(bytes(data))
    assert refusal.value.header is not None
    assert refusal.value.header.opcode == Opcode.RESOLUTION


@pytest.mark.parametrize("first", [0, 6, 0x16, ord("G"), ord("P"), 255])
def test_other_protocols_are_refused_without_an_envelope_to_echo(first: int) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        decode_envelope(bytes((first,)) + _bytes("resolution_request_plain")[1:])
    assert refusal.value.envelope is None


# Laws

U32, I32 = st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1)
TEXTS = st.binary(max_size=9).map(lambda data: data.decode("utf-8", "surrogateescape"))
ENVELOPES = st.builds(
    Envelope, st.integers(1, 5), st.integers(0, 255), st.sampled_from([0, 0x80, 0x20]), st.integers(0, 31),
    st.integers(0, 255), U32, U32, U32, st.just(0),
)  # fmt: skip
HEADERS = st.builds(Header, U32, U32, U32, st.integers(0, 0xFFFF), st.integers(0, 255), I32, st.integers(0, 255))


@given(ENVELOPES, HEADERS, st.binary(max_size=50), st.none() | st.binary(max_size=20))
def test_messages_round_trip(envelope: Envelope, header: Header, body: bytes, credential: bytes | None) -> None:
    message = Message(envelope, header, body, credential)
    decoded = decode_message(encode_message(message))
    assert replace(decoded, envelope=replace(decoded.envelope, length=0)) == message


@given(TEXTS, TEXTS, st.binary(max_size=40), I32, TEXTS)
def test_credentials_round_trip(type_: str, algorithm: str, signature: bytes, counter: int, signer: str) -> None:
    credential = Credential(type_, algorithm, signature, counter, signer)
    assert decode_credential(encode_credential(credential)) == credential


@pytest.mark.parametrize("change", [-1, 1])
def test_a_credential_whose_inner_lengths_disagree_is_refused(change: int) -> None:
    data = bytearray(_request("delete_request_session_mac").credential or b"")
    assert data[25] == 51  # the length of the signed info: low byte
    data[25] += change
    with pytest.raises(MalformedMessage):
        decode_credential(bytes(data))


@pytest.mark.parametrize("vector", _each(MESSAGES))
def test_only_requests_are_to_be_answered(vector: dict[str, Any]) -> None:
    message = decode_message(bytes.fromhex(vector["hex"]))
    assert message.is_request == (vector["decoded"]["header"]["responseCode"] == 0)


def test_the_encrypted_flag_is_the_envelopes() -> None:
    assert decode_envelope(_bytes("captured_encrypted_session_challenge")).flags == ENCRYPTED


# Bodies that are laws or corner cases


@given(st.binary(max_size=20), st.lists(I32, max_size=4), st.lists(TEXTS, max_size=4), st.binary(max_size=6))
def test_resolution_requests_round_trip(handle: bytes, indexes: list[int], types: list[str], trailing: bytes) -> None:
    body = encode_resolution_request(ResolutionRequest(handle, indexes, types, trailing))
    decoded = decode_resolution_request(body)
    assert (decoded.handle, decoded.indexes, decoded.types, decoded.trailing) == (handle, indexes, types, trailing)


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0"])
def test_an_error_body_too_short_for_a_length_has_no_message(body: bytes) -> None:
    assert decode_error(body) == ErrorBody("")
