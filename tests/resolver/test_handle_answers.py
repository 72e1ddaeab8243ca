"""What a live server answers over TCP and UDP: codes, flags, versions, referrals, and what it counts."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from schemas.handle_admin_messages import decode_challenge
from schemas.handle_bodies import (
    HandleBody,
    ResolutionRequest,
    decode_error,
    decode_handle_values,
    decode_referral,
    encode_handle_body,
    encode_resolution_request,
)
from schemas.handle_messages import (
    AUTH,
    CACR,
    CERT,
    DNRF,
    ENCR,
    PUBL,
    RECU,
    RRDG,
    Envelope,
    Header,
    Message,
    Opcode,
    ResponseCode,
    decode_message,
    encode_message,
    split_digest,
)
from schemas.handle_values import Site, decode_site, encode_site
from schemas.resolution_log import ClientClass, Outcome, Transport
from schemas.values import Value
from tests.resolver.handle_server import (
    VECTOR_VALUES,
    HandleServer,
    ServerPlan,
    encode_question,
    fill_database,
    get_code,
    run_server,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]
BY_NAME = {v["name"]: bytes.fromhex(v["hex"]) for v in VECTORS}
NOW = 1_800_000_000 - 43_200  # answers expire when those of the vectors do
OUR_SITE = encode_site(Site(serial=1))
THEIR_SITE = BY_NAME["hs_site"]


@pytest_asyncio.fixture(scope="module")
async def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HandleServer]:
    await fill_database(database_url, THEIR_SITE)
    with run_server(ServerPlan(database_url, tmp_path_factory.mktemp("log"), OUR_SITE, wall_clock=NOW)) as made:
        yield made


@pytest.fixture(params=["tcp", "udp"])
def ask(request: pytest.FixtureRequest, server: HandleServer) -> Any:
    """Send one message by each transport; the answer's bytes."""
    return server.ask if request.param == "tcp" else server.ask_udp


def get_values(reply: bytes) -> list[Value]:
    return decode_handle_values(split_digest(decode_message(reply))[1]).values


def get_text(reply: bytes) -> str:
    return decode_error(split_digest(decode_message(reply))[1]).message


# Vectors


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("resolution_request_plain", "resolution_response_3_values"),
        ("udp_request_big", None),  # both fragments of the vector were made at another time
    ],
)
def test_the_answer_of_the_reference_to_the_byte(ask: Any, question: str, answer: str | None) -> None:
    got = ask(BY_NAME[question])
    if answer:
        assert got == BY_NAME[answer]
    else:
        first, second = BY_NAME["udp_response_big_packet_0"], BY_NAME["udp_response_big_packet_1"]
        whole = first[20:] + second[20:]
        assert got[20:36] == whole[:16] and got[40:] == whole[20:]  # but for the expiration


def test_site_information_to_the_byte(database_url: str, tmp_path: Path) -> None:
    with run_server(ServerPlan(database_url, tmp_path, BY_NAME["hs_site"], wall_clock=NOW)) as server:
        for ask in (server.ask, server.ask_udp):
            assert ask(BY_NAME["get_site_info_request"]) == BY_NAME["get_site_info_response"]
        assert server.read_log() == []  # no question about an identifier


@pytest.mark.parametrize(
    ("name", "code", "indexes"),
    [
        ("resolution_request_types", 1, [1, 2]),
        ("resolution_request_idx_types_rrdg_cert", 5, None),  # asks for a signature
        ("resolution_request_compat_2_3", 1, [1, 2, 100]),
        ("resolution_request_2_1", 1, [1, 2, 100]),
        ("idpointer_resolution_trailing_auth", 1, [1]),
        ("get_site_info_request", 1, None),
        ("create_handle_request", 5, None),
        ("create_handle_request_mint_overwrite", 5, None),
        ("create_handle_request_2_0", 5, None),
        ("add_value_request", 5, None),
        ("modify_value_request", 5, None),
        ("remove_value_request", 5, None),
        ("delete_handle_request", 5, None),
        ("delete_request_session_mac", 5, None),
        ("list_handles_request", 5, None),
        ("home_na_request", 5, None),
        ("list_homed_nas_request", 5, None),
        ("verify_challenge_request", 5, None),
        ("session_setup_request_dh", 5, None),
        ("session_terminate_request", 500, None),
        ("challenge_answer_seckey_md5", 405, None),
        ("challenge_answer_seckey_pbkdf2", 405, None),
        ("challenge_answer_pubkey_rsa_sha256", 405, None),
        ("dump_handles_request", 5, None),
        ("idpointer_login_2001_no_credential", 5, None),
        ("captured_encrypted_session_create_request", 500, None),
        ("captured_encrypted_session_challenge", 500, None),
    ],
)
def test_every_request_of_the_vectors(ask: Any, name: str, code: int, indexes: list[int] | None) -> None:
    reply = ask(BY_NAME[name])
    assert get_code(reply) == code
    assert reply[8:12] == BY_NAME[name][8:12]  # the request id
    if code != 1:
        assert get_text(reply)
    if indexes is not None:
        assert [value.index for value in get_values(reply)] == indexes


RESPONSES = [
    v["name"] for v in VECTORS if v["kind"] == "message" and v["decoded"].get("header", {}).get("responseCode")
]


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_is_no_request(server: HandleServer, name: str) -> None:
    assert get_code(server.ask(BY_NAME[name])) == ResponseCode.PROTOCOL_ERROR


def test_the_vectors_were_all_there() -> None:
    assert len(RESPONSES) > 15


# Values and filters


@pytest.mark.parametrize(
    ("indexes", "types", "found"),
    [
        ((), (), [1, 2, 100]),
        ((2,), (), [2]),
        ((), ("url",), [1]),  # types are compared without regard to case
        ((2,), ("URL",), [1, 2]),  # union
        ((100, 100, 2), (), [2, 100]),
        ((), ("URL.", "HS_"), [1]),  # only a dot at the end takes what is below
        ((), ("HS_ADMIN", "HS_ADMIN"), [100]),
    ],
)
def test_filters(ask: Any, indexes: tuple[int, ...], types: tuple[str, ...], found: list[int]) -> None:
    reply = ask(encode_question("88.101.5/SN0001", indexes=indexes, types=types))
    assert [value.index for value in get_values(reply)] == found


@pytest.mark.parametrize("indexes", [(3,), (0,), (-1,), (2**31 - 1,), (-(2**31),)])
def test_filters_that_match_nothing(ask: Any, indexes: tuple[int, ...]) -> None:
    assert get_code(ask(encode_question("88.101.5/SN0001", indexes=indexes))) == ResponseCode.VALUES_NOT_FOUND


def test_too_many_filters_are_refused_before_they_cost_anything(server: HandleServer) -> None:
    types = tuple(f"T{n}" for n in range(65))
    assert get_code(server.ask(encode_question("88.101.5/MANY", types=types))) == ResponseCode.PROTOCOL_ERROR
    assert get_code(server.ask(encode_question("88.101.5/MANY", types=types[:64]))) == ResponseCode.SUCCESS
    indexes = tuple(range(1, 2_050))
    assert get_code(server.ask(encode_question("88.101.5/MANY", indexes=indexes))) == ResponseCode.PROTOCOL_ERROR
    assert len(get_values(server.ask(encode_question("88.101.5/MANY", indexes=indexes[:2_048] * 20)))) == 2_048


@pytest.mark.parametrize("spelling", ["88.101.5/sn0001", "88.101.5/Sn0001", "88.101.5/SN0001"])
def test_the_client_hears_its_own_spelling(ask: Any, spelling: str) -> None:
    answer = decode_handle_values(decode_message(ask(encode_question(spelling))).body)
    assert answer.handle == spelling.encode() and answer.values == VECTOR_VALUES


def test_a_member_of_a_range_and_a_record_with_a_template(ask: Any) -> None:
    assert len(get_values(ask(encode_question("88.101.5/RN00000042")))) == 3
    assert get_code(ask(encode_question("88.101.5/RN10000001"))) == ResponseCode.HANDLE_NOT_FOUND
    values = get_values(ask(encode_question("88.101.5/pump")))
    assert [v.type for v in values if v.index >= 2000] == ["product_name", "URL"]  # the cost is private


@pytest.mark.parametrize(
    ("handle", "options", "code"),
    [
        ("88.101.5/SECRET", {"flags": PUBL}, 1),  # what is public
        ("88.101.5/SECRET", {"flags": 0}, 402),  # everything: a challenge
        ("88.101.5/SECRET", {"flags": 0, "indexes": (1,)}, 1),  # nothing hidden was selected
        ("88.101.5/SECRET", {"flags": 0, "indexes": (300,)}, 402),
        ("88.101.5/SECRET", {"flags": PUBL, "indexes": (300,)}, 200),
        ("88.101.5/ONLYSECRET", {"flags": PUBL}, 200),
        ("88.101.5/ONLYSECRET", {"flags": 0}, 402),
        ("88.101.5/PUMP", {"flags": PUBL, "indexes": (2004,)}, 402),  # a template's private item by index alone
        ("88.101.5/PUMP", {"flags": 0, "types": ("cost",)}, 402),
        ("88.101.5/PUMP", {"flags": 0}, 1),  # hidden silently
        ("88.101.5/EMPTY", {}, 200),
        ("88.101.5/FROZEN", {}, 1),
        ("88.101.5/RETIRED", {}, 100),
        ("88.101.5/RETIRED", {"indexes": (1,)}, 100),
        ("88.101.5/NOPE", {}, 100),
        ("88.101.5/NOPE", {"types": ("URL",)}, 100),
        ("88.101.6/X", {}, 100),  # stopped
        ("88.101.99/X", {}, 100),  # ours to give, not given
        ("0.NA/88.101.99", {}, 100),
        ("88.101.7/X", {}, 302),  # the enterprise's own server
        ("88.101.7/X", {"flags": RECU | DNRF}, 301),
        ("10.1000/1", {}, 301),  # foreign, and there is no upstream
        ("0.NA/10.1000", {}, 301),
        ("0.NA/0.NA", {}, 301),
        ("0.0/0.0", {}, 301),
        ("/", {}, 301),
        ("", {}, 102),
        ("88.101.5/" + "x" * 2_039, {}, 100),
        ("88.101.5/" + "x" * 2_040, {}, 102),
        (b"88.101.5/\xff\xfe", {}, 100),  # no text at all: simply not there
        (b"88.101.5/\xed\xa0\x80", {}, 100),  # half a surrogate pair
        (b"88.101.5/\xc0\xaf", {}, 100),  # an overlong slash
        (b"88.101.5/a\x00b", {}, 100),
        ("88.101.5/%53N0001", {}, 100),  # nothing is decoded on 2641
        ("88.101.5/ＳＮ0001", {}, 100),
        ("88.101.5/", {}, 100),
        ("88.101.5/..", {}, 100),
    ],
)
def test_codes(ask: Any, handle: str | bytes, options: dict[str, Any], code: int) -> None:
    reply = ask(encode_question(handle, **options))
    assert get_code(reply) == code


# Prefixes and sites


@pytest.mark.parametrize("handle", ["88.101.5", "0.NA/88.101.5", "0.na/88.101.5", "0.NA/88.101", "88.101"])
def test_a_prefix_of_ours_leads_here(ask: Any, handle: str) -> None:
    values = get_values(ask(encode_question(handle)))
    assert [(value.type, value.data) for value in values] == [("HS_SITE", OUR_SITE)]


@pytest.mark.parametrize("handle", ["88.101.7", "0.NA/88.101.7"])
def test_a_prefix_hosted_elsewhere_leads_there(ask: Any, handle: str) -> None:
    [value] = get_values(ask(encode_question(handle)))
    assert value.type == "HS_SITE" and decode_site(value.data).serial == 7


def test_a_referral_names_the_site_inline(ask: Any) -> None:
    referral = decode_referral(decode_message(ask(encode_question("88.101.7/SN1"))).body)
    assert referral.handle == b""
    assert [(value.type, value.data) for value in referral.values] == [("HS_SITE", THEIR_SITE)]


def test_a_stopped_prefix_says_so(ask: Any) -> None:
    assert "前缀已停用" in get_text(ask(encode_question("88.101.6/X")))


# Header, envelope, versions


@pytest.mark.parametrize(
    ("flags", "answered"),
    [
        (0, RECU | AUTH),
        (RECU | CACR | PUBL, RECU | CACR | PUBL | AUTH),
        (PUBL | DNRF, PUBL | DNRF | RECU | AUTH),
        (RRDG, RRDG | RECU | AUTH),
        (0x0000_0007, RECU | AUTH),  # bits of other dialects
    ],
)
def test_flags_of_the_answer(ask: Any, flags: int, answered: int) -> None:
    header = decode_message(ask(encode_question("88.101.5/SN0001", flags=flags))).header
    assert header.flags == answered and header.site_serial == 1 and header.expiration == NOW + 43_200


@pytest.mark.parametrize("version", [(2, minor) for minor in range(12)] + [(3, 0), (5, 0)])
def test_every_version_is_answered(ask: Any, version: tuple[int, int]) -> None:
    major, minor = version
    for suggested in ((0, 0), (2, 11), (2, 5)):
        question = encode_question(
            "88.101.5/SN0001", major=major, minor=minor, suggested_major=suggested[0], suggested_minor=suggested[1],
        )  # fmt: skip
        answer = decode_message(ask(question))
        wanted = suggested if suggested[0] else version
        assert answer.envelope.version == min(wanted, (2, 11)) or wanted == (5, 0) == answer.envelope.version
        assert answer.envelope.suggested_version == (2, 11)
        assert len(decode_handle_values(answer.body).values) == 3


@pytest.mark.parametrize(
    ("minor", "kind", "digest"), [(11, 3, hashlib.sha256), (7, 3, hashlib.sha256), (6, 2, hashlib.sha1)]
)
def test_the_digest_is_over_the_bytes_as_they_came(ask: Any, minor: int, kind: int, digest: Any) -> None:
    question = encode_question("88.101.5/SN0001", flags=RRDG, minor=minor, suggested_minor=minor)
    found, _ = split_digest(decode_message(ask(question)))
    assert found is not None and found.type == kind
    assert found.digest == digest(question[20:-4]).digest()


def test_ids_and_hops_are_echoed(ask: Any) -> None:
    for handle in ("88.101.5/SN0001", "88.101.5/NOPE"):
        question = encode_question(handle, 2**32 - 1, session_id=10_001, recursion_count=9)
        answer = decode_message(ask(question))
        assert (answer.envelope.request_id, answer.envelope.session_id) == (2**32 - 1, 10_001)
        assert answer.header.recursion_count == 9


def test_who_was_passed_on_too_often_is_refused(ask: Any) -> None:
    reply = ask(encode_question("88.101.5/SN0001", recursion_count=10))
    assert get_code(reply) == ResponseCode.RECURSION_COUNT_TOO_HIGH


@pytest.mark.parametrize("opcode", [0, 3, 99, 606, 2**32 - 1])
def test_an_unknown_opcode_is_echoed_with_5(ask: Any, opcode: int) -> None:
    envelope = Envelope(2, 11, 0, 2, 11, 0, 77, 0, 0)
    answer = decode_message(ask(encode_message(Message(envelope, Header(opcode), b""))))
    assert (answer.header.opcode, answer.header.response_code) == (opcode, 5)
    assert answer.envelope.request_id == 77


@pytest.mark.parametrize("opcode", [int(o) for o in Opcode if o not in (1, 2)])
def test_what_needs_credentials_is_refused(ask: Any, opcode: int) -> None:
    body = encode_handle_body(HandleBody(b"88.101.5/SN0001"))
    reply = ask(encode_message(Message(Envelope(2, 11, 0, 2, 11, 0, 77, 0, 0), Header(opcode), body)))
    expected = {200: 405, 401: 500, 402: 500}.get(opcode, 5)
    assert get_code(reply) == expected and get_text(reply)


def test_a_session_nobody_began(ask: Any) -> None:
    assert get_code(ask(encode_question("88.101.5/SN0001", flags=ENCR, session_id=5))) == 500


@pytest.mark.parametrize("version", [(2, 11), (2, 3), (2, 0)])
def test_a_challenge_is_well_formed_and_its_answer_comes_too_late(ask: Any, version: tuple[int, int]) -> None:
    major, minor = version
    question = encode_question(
        "88.101.5/SECRET", flags=0, major=major, minor=minor, suggested_major=0, suggested_minor=0
    )
    message = decode_message(ask(question))
    challenge = decode_challenge(message)
    digest = {11: hashlib.sha256, 3: hashlib.sha1, 0: hashlib.md5}[minor]
    assert challenge.digest.digest == digest(question[20:-4]).digest()
    assert len(challenge.nonce) == 16 and 0 < message.envelope.session_id < 2**31
    answer = decode_message(BY_NAME["challenge_answer_seckey_sha256"])
    answer = replace(answer, envelope=replace(answer.envelope, session_id=message.envelope.session_id))
    assert get_code(ask(encode_message(answer))) == ResponseCode.AUTHENTICATION_TIMEOUT


def test_nonces_and_sessions_of_challenges_differ(server: HandleServer) -> None:
    challenges = [decode_message(server.ask(encode_question("88.101.5/SECRET", flags=0))) for _ in range(5)]
    assert len({c.envelope.session_id for c in challenges}) == 5
    assert len({decode_challenge(c).nonce for c in challenges}) == 5


def test_a_signed_answer_is_refused_not_faked(ask: Any) -> None:
    for question in (
        encode_question("88.101.5/SN0001", flags=CERT),
        encode_message(Message(Envelope(2, 11, 0, 2, 11, 0, 1, 0, 0), Header(2, flags=CERT), b"\0\0\0\1/")),
    ):
        assert get_code(ask(question)) == ResponseCode.OPERATION_NOT_SUPPORTED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\5abc",
        b"\xff\xff\xff\xff",
        b"\0\0\0\1a\x7f\xff\xff\xff",  # two thousand million indexes
        b"\0\0\0\1a\0\0\0\0\0\0\0\1\0\0\0\x09abc",
        b"\0\0\0\1a\xff\xff\xff\xff\0\0\0\0",
    ],
)
def test_a_body_that_cannot_be_read_is_answered_4_with_its_own_id(ask: Any, body: bytes) -> None:
    answer = decode_message(ask(encode_message(Message(Envelope(2, 11, 0, 2, 11, 0, 99, 0, 0), Header(1), body))))
    assert (answer.envelope.request_id, answer.header.response_code) == (99, 4)


def test_bytes_behind_the_last_field_are_tolerated(ask: Any) -> None:
    request = ResolutionRequest(b"88.101.5/SN0001", [], [], trailing=b"\0\0\0\3abc")
    message = Message(Envelope(2, 11, 0, 2, 11, 0, 1, 0, 0), Header(1, flags=PUBL), encode_resolution_request(request))
    for credential in (b"", None, b"a credential nobody asked for"):
        assert get_code(ask(encode_message(replace(message, credential=credential)))) == ResponseCode.SUCCESS


# Counting


@pytest.mark.parametrize(
    ("handle", "options", "outcome", "prefix"),
    [
        ("88.101.5/sn0001", {}, Outcome.FOUND, "88.101.5"),
        ("88.101.5/SN0001", {"indexes": (1,)}, Outcome.FOUND, "88.101.5"),
        ("88.101.5/NOPE", {}, Outcome.NOT_FOUND, "88.101.5"),
        ("88.101.5/EMPTY", {}, Outcome.NO_VALUES, "88.101.5"),
        ("88.101.5/RETIRED", {}, Outcome.RETIRED, "88.101.5"),
        ("88.101.5/PUMP", {"indexes": (2004,)}, Outcome.DENIED, "88.101.5"),
        ("88.101.5/SN0001", {"flags": CERT}, Outcome.DENIED, "88.101.5"),
        ("88.101.6/X", {}, Outcome.NOT_FOUND, "88.101.6"),
        ("88.101.7/X", {}, Outcome.REFERRAL, "88.101.7"),
        ("10.1000/1", {}, Outcome.NOT_FOUND, None),
        ("", {}, Outcome.MALFORMED, None),
    ],
)
def test_every_question_is_counted_once(
    server: HandleServer, handle: str, options: Any, outcome: Outcome, prefix: str
) -> None:
    for ask, transport in ((server.ask, Transport.HANDLE_TCP), (server.ask_udp, Transport.HANDLE_UDP)):
        before = len(server.read_log())
        ask(encode_question(handle, **options))
        [counted] = server.read_log()[before:]
        found = server.cache.prefixes.find(prefix.encode()) if prefix else None
        assert counted.outcome == outcome and counted.transport == transport
        assert counted.prefix_id == (found.prefix_id if found else 0)
        assert counted.identifier == handle.encode() and counted.address == bytes((127, 0, 0, 1))
        assert counted.client_class == ClientClass.PUBLIC


def test_the_template_is_counted_too(server: HandleServer) -> None:
    before = len(server.read_log())
    server.ask(encode_question("88.101.5/PUMP"))
    assert server.read_log()[before].template_id > 0


def test_a_heartbeat_is_answered_and_is_no_resolution(server: HandleServer) -> None:
    before = len(server.read_log())
    assert get_code(server.ask(encode_question("0"))) == ResponseCode.HANDLE_NOT_FOUND
    [counted] = server.read_log()[before:]
    assert counted.client_class == ClientClass.PROBE
