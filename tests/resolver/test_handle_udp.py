"""Datagrams to a live server: fragments both ways, in any order, lost, doubled, forged."""

import contextlib
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from schemas.handle_bodies import decode_error, decode_handle_values
from schemas.handle_messages import ResponseCode, decode_message
from schemas.handle_stream import split_datagrams
from schemas.handle_values import Site, encode_site
from tests.resolver.handle_server import (
    HandleServer,
    ServerPlan,
    UdpClient,
    encode_question,
    fill_database,
    get_code,
    run_server,
)
from tests.resolver.test_handle_tcp import mutate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]
MESSAGES = {v["name"]: bytes.fromhex(v["hex"]) for v in VECTORS if v["kind"] in ("message", "udp-fragment")}
SITE = encode_site(Site(serial=1))
KNOWN = encode_question("88.101.5/SN0001", 7)
LONG = "88.101.5/" + "x" * 1_900  # a request of five fragments


@pytest_asyncio.fixture(scope="module")
async def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HandleServer]:
    await fill_database(database_url, SITE)
    with run_server(ServerPlan(database_url, tmp_path_factory.mktemp("log"), SITE)) as made:
        yield made


@pytest.fixture
def client(server: HandleServer) -> Iterator[UdpClient]:
    with contextlib.closing(UdpClient(server.port)) as made:
        yield made


def check_silent(client: UdpClient) -> None:
    """Nothing came for what was sent so far: the next answer is that to the next question."""
    client.send(encode_question("88.101.5/SN0001", 123_456))
    assert client.receive()[8:12] == (123_456).to_bytes(4, "big")


@pytest.mark.parametrize("handle", ["88.101.5/SN0001", "88.101.5/RN00000001", "88.101.5/NOPE"])
def test_a_datagram_for_a_datagram(client: UdpClient, handle: str) -> None:
    for number in range(3):
        client.send(encode_question(handle, number))
        assert client.receive()[8:12] == number.to_bytes(4, "big")
    assert client.datagrams == 3


def test_a_large_answer_comes_in_fragments(client: UdpClient) -> None:
    client.send(encode_question("88.101.5/BIG"))
    [value] = decode_handle_values(decode_message(client.receive()).body).values
    assert len(value.data) == 900 and client.datagrams == 2


def test_an_answer_that_would_take_too_many_datagrams_is_an_error_that_says_tcp(client: UdpClient) -> None:
    client.send(encode_question("88.101.5/HUGE", 9))
    answer = decode_message(client.receive())
    assert answer.header.response_code == ResponseCode.PROTOCOL_ERROR and answer.envelope.request_id == 9
    assert "TCP" in decode_error(answer.body).message and client.datagrams == 1


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (0, 0, 1, 1, 2, 2, 3)])
def test_a_fragmented_request_in_any_order(client: UdpClient, order: tuple[int, ...]) -> None:
    parts = split_datagrams(encode_question(LONG, 31))
    assert len(parts) == 4
    for number in order:
        client.send(parts[number])
    assert get_code(client.receive()) == ResponseCode.HANDLE_NOT_FOUND
    check_silent(client)


def test_a_fragmented_request_without_the_flag_that_says_so(client: UdpClient) -> None:
    """As some clients send it: only length and number tell."""
    for part in split_datagrams(encode_question(LONG, 32)):
        client.send(part[:2] + b"\2" + part[3:])
    assert get_code(client.receive()) == ResponseCode.HANDLE_NOT_FOUND


def test_a_lost_fragment_is_made_good_by_sending_again(client: UdpClient) -> None:
    parts = split_datagrams(encode_question(LONG, 33))
    for part in (parts[0], parts[2], parts[3]):
        client.send(part)
    check_silent(client)
    for part in parts:
        client.send(part)
    assert client.receive()[8:12] == (33).to_bytes(4, "big")


def test_on_a_network_that_loses_a_fifth_every_question_is_answered_in_the_end(client: UdpClient) -> None:
    """As the reference's client does: the whole request anew until a whole answer has come, whatever came between."""
    chance = random.Random(17)
    client.socket.settimeout(0.02)
    waiting = {number: split_datagrams(encode_question(LONG, number)) for number in range(500, 520)}
    for _ in range(100):
        sent = [part for parts in waiting.values() for part in parts if chance.random() > 0.2]
        chance.shuffle(sent)
        for part in sent:
            client.send(part)
        with contextlib.suppress(TimeoutError):
            while waiting:
                answer = client.receive()
                if chance.random() > 0.2:
                    assert get_code(answer) == ResponseCode.HANDLE_NOT_FOUND
                    waiting.pop(int.from_bytes(answer[8:12], "big"), None)
        if not waiting:
            break
    assert not waiting
    client.socket.settimeout(5)


def test_requests_whose_fragments_are_mixed(client: UdpClient) -> None:
    streams = [split_datagrams(encode_question(LONG, number)) for number in range(40, 45)]
    datagrams = [part for parts in streams for part in parts]
    random.Random(1).shuffle(datagrams)
    for datagram in datagrams:
        client.send(datagram)
    assert {client.receive()[11] for _ in streams} == set(range(40, 45))


def test_a_whole_request_above_512_bytes_is_taken(client: UdpClient) -> None:
    client.send(encode_question(LONG, 50))
    assert client.receive()[8:12] == (50).to_bytes(4, "big")


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"x",
        KNOWN[:19],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 60,
        KNOWN[:12] + (2**32 - 1).to_bytes(4, "big") + KNOWN[16:],  # a fragment number beyond everything
        KNOWN[:12] + (1).to_bytes(4, "big") + KNOWN[16:],
        KNOWN[:24] + (1).to_bytes(4, "big") + KNOWN[28:],  # a response
        MESSAGES["resolution_response_3_values"],
        MESSAGES["error_handle_not_found"],
        MESSAGES["udp_response_big_packet_0"],
        MESSAGES["resolution_response_3_values"][:16] + bytes(4) + MESSAGES["resolution_response_3_values"][20:],
    ],
)
def test_dropped_without_a_word(client: UdpClient, datagram: bytes) -> None:
    client.send(datagram)
    check_silent(client)


@pytest.mark.parametrize("length", [0, 23, 262_145, 2**31, 2**32 - 1])
def test_an_impossible_length_is_answered_with_its_own_id(client: UdpClient, length: int) -> None:
    client.send(KNOWN[:16] + length.to_bytes(4, "big") + KNOWN[20:])
    reply = client.receive()
    assert get_code(reply) == ResponseCode.PROTOCOL_ERROR and reply[8:12] == KNOWN[8:12]


def test_thousands_of_incomplete_requests_leave_room_for_others(server: HandleServer, client: UdpClient) -> None:
    first = split_datagrams(encode_question(LONG, 0))[0]
    for number in range(5_000):
        client.send(first[:8] + number.to_bytes(4, "big") + first[12:])
        if number % 500 == 0:
            check_silent(client)
    parts = split_datagrams(encode_question(LONG, 9_999))
    for part in parts:
        client.send(part)
    assert client.receive()[8:12] == (9_999).to_bytes(4, "big")


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_truncation_of_every_vector(server: HandleServer, client: UdpClient, name: str) -> None:
    with contextlib.closing(UdpClient(server.port)) as strange:
        for size in range(len(MESSAGES[name])):
            strange.send(MESSAGES[name][:size])
            if size % 50 == 0:
                check_silent(client)
    check_silent(client)


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_mutations(server: HandleServer, client: UdpClient, seed: int) -> None:
    chance, names = random.Random(seed), sorted(MESSAGES)
    with contextlib.closing(UdpClient(server.port)) as strange:
        for number in range(2_500):
            strange.send(mutate(MESSAGES[chance.choice(names)], chance))
            if number % 50 == 0:
                check_silent(client)
    check_silent(client)
