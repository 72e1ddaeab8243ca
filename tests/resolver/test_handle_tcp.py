"""A live server and its TCP clients, the wrong ones above all: a result, an error or a close; nobody else notices."""

import contextlib
import json
import random
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from resolver import fill
from resolver.bounds import Bounds, TcpLimits
from resolver.entry import Entry
from resolver.handle_tcp import raise_file_limit
from schemas.handle_bodies import decode_handle_values
from schemas.handle_messages import ResponseCode, decode_message
from schemas.handle_values import Site, encode_site
from tests.resolver.handle_server import (
    HandleServer,
    ServerPlan,
    TcpClient,
    encode_question,
    fill_database,
    get_code,
    run_server,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]
MESSAGES = {v["name"]: bytes.fromhex(v["hex"]) for v in VECTORS if v["kind"] in ("message", "udp-fragment")}
SITE = encode_site(Site(serial=1))
KNOWN = encode_question("88.101.5/SN0001", 7)


@pytest_asyncio.fixture(scope="module")
async def plan(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> ServerPlan:
    await fill_database(database_url, SITE)
    return ServerPlan(database_url, tmp_path_factory.mktemp("log"), SITE)


@pytest_asyncio.fixture(scope="module")
async def server(plan: ServerPlan) -> AsyncIterator[HandleServer]:
    with run_server(plan) as made:
        yield made


@pytest.fixture
def client(server: HandleServer) -> Iterator[TcpClient]:
    with contextlib.closing(server.connect()) as made:
        yield made


@pytest.fixture
def witness(server: HandleServer) -> Iterator[TcpClient]:
    """Another connection, which is answered before, during and after whatever the test does."""
    with contextlib.closing(server.connect()) as made:
        check_answered(made)
        yield made
        check_answered(made)


def check_answered(client: TcpClient) -> None:
    client.send(KNOWN)
    assert len(decode_handle_values(decode_message(client.receive()).body).values) == 3


def test_who_waits_for_an_answer_that_cannot_be_made_hears_of_it(
    plan: ServerPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(_: Entry) -> bytes:
        raise MemoryError

    monkeypatch.setattr(Entry, "handle_tail", run_out)
    with run_server(plan) as server, contextlib.closing(server.connect()) as client:
        client.send(KNOWN)
        assert client.receive_all() == []  # raises TimeoutError while it waits


# Streams


@pytest.mark.parametrize("step", [1, 2, 19, 20, 21, 43, 44, 45, 47, 48, 59, 75, 76, 4_096])  # around every boundary
def test_requests_are_found_however_the_stream_is_cut(client: TcpClient, step: int) -> None:
    handles = ["88.101.5/SN0001", "88.101.5/nope", "88.101.5/BIG", "88.101.7/x", "10.1/x"]
    stream = b"".join(encode_question(handle, n) for n, handle in enumerate(handles))
    for start in range(0, len(stream), step):
        client.send(stream[start : start + step])
    answers = {decode_message(client.receive()) for _ in handles}
    codes = {a.envelope.request_id: a.header.response_code for a in answers}
    assert codes == {0: 1, 1: 100, 2: 1, 3: 302, 4: 301}


def test_a_thousand_pipelined_requests_are_each_answered_once(client: TcpClient) -> None:
    """Hits and misses mixed: answers may overtake each other, ids say which is which."""
    handles = [f"88.101.5/RN{number % 400:08d}" for number in range(1_000)]
    client.send(b"".join(encode_question(handle, number) for number, handle in enumerate(handles)))
    answers = [decode_message(client.receive()) for _ in handles]
    assert sorted(answer.envelope.request_id for answer in answers) == list(range(1_000))
    for answer in answers:
        handle, found = handles[answer.envelope.request_id], answer.header.response_code == 1
        assert found == (handle != "88.101.5/RN00000000")  # the range begins with 1
        if found:
            assert decode_handle_values(answer.body).handle == handle.encode()


def test_a_connection_stays_open_between_requests(client: TcpClient) -> None:
    for _ in range(100):
        check_answered(client)


@pytest.mark.parametrize("handle", ["88.101.5/SN0001", "88.101.5/RN00777001"])  # in the cache, and not yet
def test_who_only_stops_sending_still_gets_the_answer(client: TcpClient, handle: str) -> None:
    client.send(encode_question(handle))
    client.socket.shutdown(socket.SHUT_WR)
    assert [get_code(reply) for reply in client.receive_all()] == [1]


def test_who_goes_away_before_the_answer_harms_nobody(server: HandleServer, witness: TcpClient) -> None:
    for number in range(50):
        gone = server.connect()
        gone.send(encode_question(f"88.101.5/RN{800_000 + number:08d}") * 20)
        gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()  # with a reset
    check_answered(witness)


def test_who_does_not_read_is_waited_for_and_others_are_served(client: TcpClient, witness: TcpClient) -> None:
    """Two thousand questions whose answers come to 40 MB."""
    questions = b"".join(encode_question("88.101.5/HUGE", number) for number in range(2_000))
    sender = threading.Thread(target=client.send, args=(questions,))
    sender.start()
    for _ in range(50):
        check_answered(witness)
    ids = [int.from_bytes(client.receive()[8:12], "big") for _ in range(2_000)]
    sender.join()
    assert sorted(ids) == list(range(2_000))


# What is no stream of messages


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\n",
        bytes.fromhex("1603010200010001fc0303") + bytes(200),  # TLS ClientHello
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\0" * 100,
        b"\xff" * 100,
        b"\x06",
    ],
)
def test_other_protocols_are_hung_up_on(client: TcpClient, witness: TcpClient, noise: bytes) -> None:
    client.send(noise)
    assert client.receive_all() == []


@pytest.mark.parametrize("length", [0, 1, 23, 262_145, 2**31 - 1, 2**31, 2**32 - 1])
def test_an_impossible_length_is_answered_with_its_own_id_and_a_close(
    client: TcpClient, witness: TcpClient, length: int
) -> None:
    client.send(KNOWN + KNOWN[:8] + (4_711).to_bytes(4, "big") + bytes(4) + length.to_bytes(4, "big"))
    good, bad = client.receive_all()
    assert get_code(good) == ResponseCode.SUCCESS  # what was complete before is served
    assert get_code(bad) == ResponseCode.PROTOCOL_ERROR and bad[8:12] == (4_711).to_bytes(4, "big")


@pytest.mark.parametrize("at", [0, 1, 19, 20, 43, 44, 60])
def test_a_message_that_stops_in_the_middle(client: TcpClient, witness: TcpClient, at: int) -> None:
    client.send(KNOWN + KNOWN[:at])
    client.socket.shutdown(socket.SHUT_WR)
    assert [get_code(reply) for reply in client.receive_all()] == [1]


def converse(server: HandleServer, data: bytes) -> list[bytes]:
    """Send and take what comes until the server closes or has answered everything."""
    with contextlib.closing(server.connect()) as client, contextlib.suppress(ConnectionError, BrokenPipeError):
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        return client.receive_all()
    return []


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_truncation_of_every_vector(server: HandleServer, witness: TcpClient, name: str) -> None:
    """As it is, and with a length that says it is whole."""
    message = MESSAGES[name]
    step = 1 if len(message) < 120 else 7
    for size in [*range(min(64, len(message))), *range(64, len(message), step)]:
        assert converse(server, message[:size]) == []
        if size >= 44:
            whole = message[:16] + (size - 20).to_bytes(4, "big") + message[20:size]
            [reply] = converse(server, whole)
            assert reply[8:12] == message[8:12] and decode_message(reply).header.response_code
    check_answered(witness)


def mutate(message: bytes, chance: random.Random) -> bytes:
    changed = bytearray(message)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                changed[at : at + 4] = chance.choice((0, 1, 2**31, 2**32 - 1, 2**31 - 1)).to_bytes(4, "big")
            case _:
                changed[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 9)))
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_mutations(server: HandleServer, witness: TcpClient, seed: int) -> None:
    """Each ends in answers that can be decoded, or in silence and a close."""
    chance, names = random.Random(seed), sorted(MESSAGES)
    for number in range(1_000):
        for reply in converse(server, mutate(MESSAGES[chance.choice(names)], chance)):
            assert decode_message(reply).header.response_code
        if number % 100 == 0:
            check_answered(witness)


def test_thousands_of_mutations_whose_length_is_right(server: HandleServer, witness: TcpClient) -> None:
    """So that they reach the decisions, many on one connection: each gets exactly one answer with its id."""
    chance, names = random.Random(2641), sorted(MESSAGES)
    with contextlib.closing(server.connect()) as client:
        for _ in range(40):
            ids = set()
            for number in range(100):
                message = mutate(MESSAGES[chance.choice(names)], chance)[20:]
                if len(message) < 24:
                    continue
                envelope = b"\2\x0b\2\x0b" + bytes(4) + number.to_bytes(4, "big") + bytes(4)
                client.send(envelope + len(message).to_bytes(4, "big") + message)
                ids.add(number)
            client.send(encode_question("88.101.5/SN0001", 1_000))
            replies = [decode_message(client.receive()) for _ in ids | {1_000}]
            assert {reply.envelope.request_id for reply in replies} == ids | {1_000}
            check_answered(witness)


# Many, and slow ones


def test_two_thousand_idle_connections_are_no_problem(server: HandleServer) -> None:
    raise_file_limit()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(contextlib.closing(server.connect())) for _ in range(2_000)]
        for client in (idle[0], idle[999], idle[-1]):
            check_answered(client)
        assert get_code(server.ask(encode_question("88.101.5/BIG"))) == ResponseCode.SUCCESS


@pytest.fixture
def hasty(plan: ServerPlan, tmp_path: Path) -> Iterator[HandleServer]:
    """A server that loses patience within moments."""
    limits = TcpLimits(idle_seconds=0.4, message_seconds=0.2, unread_seconds=0.2, sweep_seconds=0.02)
    with run_server(ServerPlan(plan.database_url, tmp_path, SITE, bounds=Bounds(tcp=limits))) as made:
        yield made


def test_an_idle_connection_is_closed_in_the_end(hasty: HandleServer) -> None:
    with contextlib.closing(hasty.connect()) as client:
        check_answered(client)
        with pytest.raises(ConnectionError):
            client.receive()


def test_a_message_that_trickles_in_is_given_up(hasty: HandleServer) -> None:
    """Each byte would renew an idle timeout; the deadline is that of the whole message."""
    with contextlib.closing(hasty.connect()) as client, contextlib.closing(hasty.connect()) as busy:
        client.socket.settimeout(0.01)
        closed = False
        for byte in (KNOWN[:16] + (262_000).to_bytes(4, "big") + bytes(262_000))[:200_000]:
            check_answered(busy)
            try:
                client.send(bytes((byte,)))
                closed = client.socket.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
            if closed:
                break
        assert closed


def test_who_never_takes_its_answers_is_cut_off(hasty: HandleServer) -> None:
    with contextlib.closing(hasty.connect()) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with pytest.raises(OSError):
            while True:
                client.send(encode_question("88.101.5/HUGE") * 100)


async def test_a_database_that_takes_too_long_delays_no_known_answer_and_hides_no_unknown_identifier(
    server: HandleServer, plan: ServerPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its statements wait for: what is not known is "not now", never "not found"."""
    monkeypatch.setattr(fill, "QUERY_SECONDS", 0.3)
    assert get_code(server.ask(KNOWN)) == ResponseCode.SUCCESS
    blocking = await asyncpg.connect(plan.database_url)
    try:
        await blocking.execute("BEGIN; LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
        with contextlib.closing(server.connect()) as waiting:
            for number in range(20):
                waiting.send(encode_question(f"88.101.5/SLOW-{number}", 100 + number))
            for _ in range(50):
                assert get_code(server.ask(KNOWN)) == ResponseCode.SUCCESS
            assert {get_code(waiting.receive()) for _ in range(20)} == {ResponseCode.SERVER_TOO_BUSY}
    finally:
        await blocking.close()
    while get_code(server.ask(encode_question("88.101.5/SLOW-1"))) != ResponseCode.HANDLE_NOT_FOUND:
        pass
