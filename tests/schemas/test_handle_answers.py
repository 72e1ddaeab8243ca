"""How answers are made: version negotiated, digest in front, codes and flags as the reference has them."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.handle_admin_messages import Challenge, decode_body, encode_challenge
from schemas.handle_bodies import (
    ErrorBody,
    Referral,
    encode_referral,
    encode_resolution_response,
)
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    AUTH,
    CERT,
    CONT,
    MINT,
    OVRW,
    PUBL,
    RECU,
    RRDG,
    Envelope,
    Message,
    Opcode,
    ResponseCode,
    Version,
    decode_message,
    digest_request,
    encode_error_response,
    encode_message,
    encode_response,
    find_answerable,
    make_response,
    negotiate_version,
    split_digest,
)
from schemas.handle_values import Site, encode_site
from schemas.values import Value

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]
BY_NAME = {v["name"]: v for v in VECTORS}
NOW = 1_800_000_000 - 43_200  # so that answers expire when those of the vectors do


def _bytes(name: str) -> bytes:
    return bytes.fromhex(BY_NAME[name]["hex"])


def _request(name: str) -> Message:
    return decode_message(_bytes(name))


# Versions


@pytest.mark.parametrize(
    ("version", "suggested", "answer"),
    [
        ((2, 11), (2, 11), (2, 11)),
        ((2, 3), (2, 11), (2, 11)),  # first contact of a Java client
        ((2, 10), (2, 11), (2, 11)),
        ((2, 3), (2, 10), (2, 10)),
        ((2, 1), (0, 0), (2, 1)),  # written from the RFC: nothing suggested
        ((2, 1), (0, 9), (2, 1)),  # a suggested minor without a major says nothing
        ((2, 0), (0, 0), (2, 0)),
        ((3, 0), (3, 0), (2, 11)),
        ((4, 9), (9, 0), (2, 11)),
        ((5, 0), (0, 0), (5, 0)),  # a very old client: echoed, treated as 2.0
        ((5, 0), (2, 11), (2, 11)),
        ((2, 5), (2, 30), (2, 11)),
    ],
)
def test_the_version_of_the_answer(version: Version, suggested: Version, answer: Version) -> None:
    assert negotiate_version(Envelope(*version, 0, *suggested, 0, 1, 0, 0)) == answer


def _speaking(version: Version, **flags: int) -> Message:
    request = _request("resolution_request_plain")
    envelope = replace(request.envelope, major=version[0], minor=version[1], suggested_major=0, suggested_minor=0)
    return replace(request, envelope=envelope, header=replace(request.header, **flags))


@pytest.mark.parametrize(
    ("version", "code", "sent"),
    [
        ((2, 11), ResponseCode.SERVER_BACKUP, 7),
        ((2, 5), ResponseCode.SERVER_BACKUP, 7),
        ((2, 4), ResponseCode.SERVER_BACKUP, 303),
        ((5, 0), ResponseCode.SERVER_BACKUP, 303),
        ((2, 5), ResponseCode.INVALID_VALUE, 202),
        ((2, 4), ResponseCode.INVALID_VALUE, 201),
        ((2, 5), ResponseCode.PREFIX_REFERRAL, 303),
        ((2, 4), ResponseCode.PREFIX_REFERRAL, 302),  # 303 would be read as "temporarily disabled"
        ((2, 0), ResponseCode.HANDLE_NOT_FOUND, 100),
    ],
)
def test_codes_that_old_peers_know_otherwise(version: Version, code: int, sent: int) -> None:
    answer = make_response(_speaking(version), code, b"", now=NOW, site_serial=1)
    assert answer.header.response_code == sent


@pytest.mark.parametrize(
    ("version", "algorithm", "type_"),
    [((2, 11), "sha256", 3), ((2, 7), "sha256", 3), ((2, 6), "sha1", 2), ((2, 1), "sha1", 2)],
)
def test_the_digest_belongs_to_the_version_of_the_answer(version: Version, algorithm: str, type_: int) -> None:
    request = _speaking(version, flags=RRDG)
    digest = digest_request(request, version)
    assert digest.type == type_
    assert digest.digest == hashlib.new(algorithm, request.header_and_body).digest()
    answer = make_response(request, ResponseCode.SUCCESS, b"body", now=NOW, site_serial=1)
    assert answer.header.flags & RRDG
    assert split_digest(answer) == (digest, b"body")


@pytest.mark.parametrize("version", [(2, 0), (5, 0)])
def test_before_2_1_there_is_no_digest_in_front(version: Version) -> None:
    answer = make_response(_speaking(version, flags=RRDG), ResponseCode.SUCCESS, b"body", now=NOW, site_serial=1)
    assert (answer.header.flags & RRDG, answer.body) == (0, b"body")
    assert digest_request(_speaking(version), version).type == 1


# Answers

VALUES = [
    Value(1, "URL", b"https://example.org/item/1", timestamp=1_700_000_000),
    Value(2, "EMAIL", b"admin@example.org", timestamp=1_700_000_001),
    Value(100, "HS_ADMIN", bytes.fromhex("0fff0000000d302e4e412f38382e3130312e350000012c"), timestamp=1_700_000_002),
]
HANDLE = b"88.101.5/SN0001"

ANSWERS = [
    ("resolution_request_plain", 1, encode_resolution_response(HANDLE, VALUES), "resolution_response_3_values"),
    ("resolution_request_2_1", 1, encode_resolution_response(HANDLE, VALUES[:1]), "resolution_response_rrdg_sha1_2_1"),
    ("resolution_request_plain", 303, encode_referral(Referral(b"0.NA/88.101.5.6")), "referral_prefix_handle"),
]


@pytest.mark.parametrize(("request_name", "code", "body", "vector"), ANSWERS)
def test_answers_are_those_of_the_reference(request_name: str, code: int, body: bytes, vector: str) -> None:
    answer = encode_response(_request(request_name), code, body, now=NOW, site_serial=1)
    assert answer == _bytes(vector)


def test_an_answer_with_site_information_is_that_of_the_reference() -> None:
    site = decode_body(_request("get_site_info_response"))
    assert isinstance(site, Site)
    answer = encode_response(
        _request("get_site_info_request"), ResponseCode.SUCCESS, encode_site(site), now=NOW, site_serial=7
    )
    assert answer == _bytes("get_site_info_response")


@pytest.mark.parametrize(
    ("request_name", "code", "text", "vector"),
    [
        ("resolution_request_plain", 100, "", "error_handle_not_found"),
        ("resolution_request_idx_types_rrdg_cert", 100, "no such handle", "error_handle_not_found_rrdg"),
        ("resolution_request_plain", 200, "", "error_values_not_found"),
        ("resolution_request_plain", 301, "That prefix doesn't live here", "error_not_responsible"),
    ],
)
def test_errors_are_those_of_the_reference(request_name: str, code: int, text: str, vector: str) -> None:
    assert encode_error_response(_request(request_name), code, text, now=NOW, site_serial=1) == _bytes(vector)


@pytest.mark.parametrize(
    ("request_name", "session", "vector"),
    [
        ("create_handle_request", 33, "challenge"),
        ("create_handle_request_2_0", 35, "challenge_2_0"),
    ],
)
def test_challenges_are_those_of_the_reference(request_name: str, session: int, vector: str) -> None:
    request, wanted = _request(request_name), _request(vector)
    digest = digest_request(request, wanted.envelope.version)
    body = encode_challenge(Challenge(bytes(range(16)), digest), wanted.envelope.version)
    serial = wanted.header.site_serial
    answer = make_response(request, ResponseCode.AUTHENTICATION_NEEDED, body, now=NOW, site_serial=serial)
    answer = replace(answer, envelope=replace(answer.envelope, session_id=session))
    assert encode_message(answer) == _bytes(vector)


def test_an_answer_echoes_ids_and_only_the_flags_of_the_protocol() -> None:
    request = _speaking((2, 11), flags=CERT | CONT | OVRW | MINT | PUBL | 0x7, recursion_count=3)
    dirty = replace(request.envelope, flags=0xA0, session_id=10001, request_id=0xFFFF_FFFF, sequence=5)
    answer = make_response(replace(request, envelope=dirty), 1, b"", now=NOW, site_serial=9, authoritative=False)
    envelope, header = answer.envelope, answer.header
    assert (envelope.flags, envelope.session_id, envelope.request_id, envelope.sequence) == (0, 10001, 0xFFFF_FFFF, 0)
    assert header.flags == CERT | PUBL | RECU
    assert (header.site_serial, header.recursion_count, header.expiration) == (9, 3, NOW + 43_200)
    assert make_response(request, 1, b"", now=NOW, site_serial=9).header.flags & AUTH


def test_an_answer_after_2037_still_has_an_expiration_that_fits() -> None:
    answer = make_response(_request("resolution_request_plain"), 1, b"", now=2**31 - 1, site_serial=1)
    assert answer.header.expiration == 2**31 - 1


def test_what_cannot_be_decoded_is_answered_with_its_request_id_and_opcode() -> None:
    data = bytearray(_bytes("resolution_request_idx_types_rrdg_cert"))
    data[40:44] = b"\xff\xff\xff\xff"
    with pytest.raises(MalformedMessage) as refusal:
        decode_message(bytes(data))
    request = find_answerable(refusal.value)
    assert request is not None
    assert request.is_request
    answer = decode_message(
        encode_error_response(request, ResponseCode.PROTOCOL_ERROR, str(refusal.value), now=NOW, site_serial=1)
    )
    assert (answer.envelope.request_id, answer.header.opcode) == (0x01020306, Opcode.RESOLUTION)
    assert decode_body(answer) == ErrorBody("-1 bytes announced, 46 left")


def test_nothing_is_answered_to_what_has_no_envelope() -> None:
    with pytest.raises(MalformedMessage) as refusal:
        decode_message(b"GET / HTTP/1.1\r\n\r\n")
    assert find_answerable(refusal.value) is None
