"""Bodies of administration, authentication, sessions and replication: what is written is read, cuts are refused."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.handle_admin_messages import (
    ChallengeAnswer,
    DumpRequest,
    HandleList,
    HashSlice,
    Login,
    RemoveRequest,
    SecretKeyProof,
    SessionSetupRequest,
    SessionSetupResponse,
    Signature,
    TransactionsRequest,
    VerifyRequest,
    VerifyResponse,
    decode_body,
    decode_challenge_answer,
    decode_dump_request,
    decode_handle_list,
    decode_login,
    decode_remove_request,
    decode_secret_key_proof,
    decode_session_key_data,
    decode_session_setup_request,
    decode_session_setup_response,
    decode_signature,
    decode_transactions_request,
    decode_verify_request,
    decode_verify_response,
    encode_challenge_answer,
    encode_dump_request,
    encode_handle_list,
    encode_login,
    encode_remove_request,
    encode_secret_key_proof,
    encode_session_setup_request,
    encode_session_setup_response,
    encode_signature,
    encode_transactions_request,
    encode_verify_request,
    encode_verify_response,
)
from schemas.handle_bodies import (
    ErrorBody,
    HandleBody,
    HandleValues,
    Referral,
    decode_error,
    decode_handle_body,
    decode_handle_values,
    decode_referral,
    encode_error,
    encode_handle_body,
    encode_handle_values,
    encode_referral,
    encode_resolution_response,
)
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    RRDG,
    Envelope,
    Header,
    Message,
    Opcode,
    RequestDigest,
    ResponseCode,
)
from schemas.values import Reference, Value

BYTES = st.binary(max_size=12)
TEXTS = BYTES.map(lambda data: data.decode("utf-8", "surrogateescape"))
I32, I64, U8 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(0, 255)
TYPED_DIGESTS = st.one_of(
    *(st.builds(RequestDigest, st.just(t), st.binary(min_size=n, max_size=n)) for t, n in ((1, 16), (2, 20), (3, 32)))
)
# Below 2^24 bytes the first byte of a length is 0, which is how the two forms are told apart.
DIGESTS = st.one_of(TYPED_DIGESTS, st.builds(RequestDigest, st.just(0), BYTES))
SLICES = st.builds(HashSlice, U8, I32, I32)
VALUES = st.builds(
    Value, I32, TEXTS, BYTES, I32, U8, st.integers(0, 2**32 - 1), st.booleans(),
    st.lists(st.builds(Reference, TEXTS, I32), max_size=2).map(tuple),
)  # fmt: skip
SETUPS = st.one_of(
    st.builds(SessionSetupRequest, st.sampled_from([1, 4]), I32, BYTES, I32, BYTES, trailing=BYTES),
    st.builds(SessionSetupRequest, st.just(2), I32, BYTES, I32, trailing=BYTES),
    st.builds(SessionSetupRequest, st.just(3), I32, BYTES, I32, st.just(b""), BYTES, I32, trailing=BYTES),
)

Codec = tuple[st.SearchStrategy[Any], Callable[[bytes], Any], Callable[[Any], bytes]]
CODECS: dict[str, Codec] = {
    "handle": (st.builds(HandleBody, BYTES, BYTES), decode_handle_body, encode_handle_body),
    "handle and values": (
        st.builds(HandleValues, BYTES, st.lists(VALUES, max_size=3), BYTES), decode_handle_values, encode_handle_values
    ),
    "error": (st.builds(ErrorBody, TEXTS, BYTES), decode_error, encode_error),
    "referral": (st.builds(Referral, BYTES, st.lists(VALUES, max_size=3), BYTES), decode_referral, encode_referral),
    "remove": (st.builds(RemoveRequest, BYTES, st.lists(I32, max_size=4), BYTES), decode_remove_request,
               encode_remove_request),
    "list": (st.builds(HandleList, st.lists(BYTES, max_size=4), BYTES), decode_handle_list, encode_handle_list),
    "answer": (st.builds(ChallengeAnswer, TEXTS, BYTES, I32, BYTES, BYTES), decode_challenge_answer,
               encode_challenge_answer),
    "mac": (st.builds(SecretKeyProof, st.sampled_from([0, 1, 2, 3, 0x12, 0x13, 255]), BYTES), decode_secret_key_proof,
            encode_secret_key_proof),
    "pbkdf2": (st.builds(SecretKeyProof, st.just(0x22), BYTES, BYTES, I32, I32), decode_secret_key_proof,
               encode_secret_key_proof),
    "signature": (st.builds(Signature, TEXTS, BYTES), decode_signature, encode_signature),
    "verify": (st.builds(VerifyRequest, BYTES, I32, BYTES, DIGESTS, BYTES, BYTES), decode_verify_request,
               encode_verify_request),
    "verified": (st.builds(VerifyResponse, U8, BYTES), decode_verify_response, encode_verify_response),
    "setup": (SETUPS, decode_session_setup_request, encode_session_setup_request),
    "set up": (st.builds(SessionSetupResponse, st.integers(0, 0xFFFF), BYTES, BYTES), decode_session_setup_response,
               encode_session_setup_response),
    "login": (st.builds(Login, BYTES, I32, BYTES), decode_login, encode_login),
    "dump": (st.builds(DumpRequest, SLICES), decode_dump_request, encode_dump_request),
    "resumed dump": (st.builds(DumpRequest, SLICES, st.tuples(BYTES, I32), BYTES), decode_dump_request,
                     encode_dump_request),
    "transactions 2.8": (
        st.builds(TransactionsRequest, SLICES, st.none(), I64, I64, BYTES),
        lambda data: decode_transactions_request(data, (2, 8)),
        lambda request: encode_transactions_request(request, (2, 8)),
    ),
    "transactions 2.9": (
        st.one_of(
            st.builds(TransactionsRequest, SLICES, BYTES, trailing=BYTES),
            st.builds(TransactionsRequest, SLICES, st.none(), I64, I64, BYTES),
        ),
        lambda data: decode_transactions_request(data, (2, 9)),
        lambda request: encode_transactions_request(request, (2, 9)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_bodies_round_trip_with_what_stands_behind_them(name: str, data: st.DataObject) -> None:
    bodies, decode, encode = CODECS[name]
    body = data.draw(bodies)
    decoded = decode(encode(body))
    for each in fields(body):
        assert getattr(decoded, each.name) == getattr(body, each.name)


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_a_cut_body_is_refused_or_is_a_shorter_body(name: str, data: st.DataObject) -> None:
    bodies, decode, encode = CODECS[name]
    whole = encode(data.draw(bodies))
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    try:
        decoded = decode(cut)
    except MalformedMessage:
        return
    assert encode(decoded) == cut or isinstance(decoded, ErrorBody | Referral)


@pytest.mark.parametrize("name", CODECS)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_body_or_malformed(name: str, data: bytes) -> None:
    try:
        CODECS[name][1](data)
    except MalformedMessage:
        return


def test_the_answer_to_a_resolution_is_a_handle_and_values() -> None:
    values = [Value(1, "URL", b"https://example.org/")]
    assert decode_handle_values(encode_resolution_response(b"88.101.5/x", values)).values == values


@pytest.mark.parametrize("handle", [b"", b"0.NA/88.101.5"])
def test_a_referral_may_carry_sites_beside_or_instead_of_a_handle(handle: bytes) -> None:
    referral = Referral(handle, [Value(1, "HS_SITE", b"...")])
    assert decode_referral(encode_referral(referral)) == referral


def test_a_session_key_comes_with_its_algorithm() -> None:
    assert decode_session_key_data(b"\0\0\0\3key") == (3, b"key")


@pytest.mark.parametrize("mode", [0, 5, 0xFFFF])
def test_an_unknown_way_to_exchange_keys_is_refused(mode: int) -> None:
    with pytest.raises(MalformedMessage):
        decode_session_setup_request(mode.to_bytes(2, "big") + bytes(20))


def test_a_replication_state_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        decode_transactions_request(b"\2" + bytes(40), (2, 11))


def _message(opcode: int, code: int, body: bytes, flags: int = 0, minor: int = 11) -> Message:
    return Message(Envelope(2, minor, 0, 2, 11, 0, 1, 0, 0), Header(opcode, code, flags), body)


def test_every_known_opcode_has_a_decoder_and_unknown_ones_keep_their_bytes() -> None:
    for opcode in Opcode:
        with pytest.raises(MalformedMessage):
            decode_body(_message(opcode, 0, b"\xff\xff\xff\xff"))
    for unknown in (0, 606, 2**32 - 1):
        assert decode_body(_message(unknown, 0, b"\xff\xff\xff\xff")) == b"\xff\xff\xff\xff"


@pytest.mark.parametrize("code", [c for c in ResponseCode if c not in (0, 1, 302, 303, 402)])
def test_every_other_code_has_a_message_for_people(code: int) -> None:
    assert decode_body(_message(1, code, encode_error(ErrorBody("why")))) == ErrorBody("why")


def test_a_create_answered_with_nothing_is_accepted() -> None:
    assert decode_body(_message(Opcode.CREATE_HANDLE, 1, b"")) == b""


@pytest.mark.parametrize("digest", [b"\4" + bytes(40), b"\3" + bytes(31), b"\0\xff\xff\xff\xff", b""])
def test_a_digest_that_does_not_fit_its_type_is_refused(digest: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_body(_message(Opcode.DELETE_HANDLE, 1, digest, RRDG))


def test_the_old_digest_that_says_its_length_is_read() -> None:
    body = b"\0\0\0\0\2ab" + encode_error(ErrorBody("why"))
    assert decode_body(_message(Opcode.DELETE_HANDLE, 100, body, RRDG)) == ErrorBody("why")
