"""One source is answered so much by UDP and no more; what is half read has a bound over all connections."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from resolver.bounds import COUNTERS, Bounds, ReadBudget, SourceLimit
from schemas.handle_messages import ResponseCode
from schemas.handle_values import Site, encode_site
from tests.resolver.handle_server import (
    HandleServer,
    ServerPlan,
    TcpClient,
    UdpClient,
    encode_question,
    fill_database,
    get_code,
    run_server,
)

SITE = encode_site(Site(serial=1))
KNOWN = encode_question("88.101.5/SN0001", 7)


def pack(address: str) -> bytes:
    return ip_address(address).packed


# One source


def count_admitted(limit: SourceLimit, address: str, asked: int = 20) -> int:
    return sum(limit.admits(pack(address)) for _ in range(asked))


def test_a_source_is_answered_so_often_a_second_and_anew_in_the_next() -> None:
    limit = SourceLimit(5)
    limit.begin(10.0)
    assert count_admitted(limit, "203.0.113.7") == 5
    limit.begin(10.9)
    assert count_admitted(limit, "203.0.113.7") == 0 and limit.refused == 35
    limit.begin(11.0)
    assert count_admitted(limit, "203.0.113.7") == 5


@pytest.mark.parametrize(
    ("other", "admitted"),
    [
        ("203.0.113.8", 5),  # another source
        ("2001:db8:1:2::ffff", 0),  # who has one address of a network has them all
        ("2001:db8:1:3::1", 5),
    ],
)
def test_a_source_is_an_address_or_a_network_of_64_bits(other: str, admitted: int) -> None:
    limit = SourceLimit(5)
    sources = [pack(a) for a in ("203.0.113.7", "203.0.113.8", "2001:db8:1:2::1", "2001:db8:1:3::1")]
    while len({limit._find_counter(source) for source in sources}) < 4:  # two share a counter once in 16,384 times
        limit = SourceLimit(5)
    assert count_admitted(limit, "203.0.113.7") == count_admitted(limit, "2001:db8:1:2::1") == 5
    assert count_admitted(limit, other) == admitted


def test_an_answer_in_fragments_counts_as_many_datagrams() -> None:
    limit = SourceLimit(10)
    assert limit.admits(pack("203.0.113.7"))
    limit.charge(pack("203.0.113.7"), 7)
    assert count_admitted(limit, "203.0.113.7") == 2


@pytest.mark.parametrize(
    ("per_second", "address"),
    [(5, "127.0.0.1"), (5, "127.8.0.1"), (5, "::1"), (5, "10.1.2.3"), (0, "203.0.113.7")],
)
def test_who_is_trusted_is_answered_always(per_second: int, address: str) -> None:
    limit = SourceLimit(per_second, [ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("10.0.0.0/8")])
    for second in range(3):
        limit.begin(second)
        assert count_admitted(limit, address) == 20
        limit.charge(pack(address), 100)
    assert limit.refused == 0


def test_a_flood_of_other_sources_makes_nothing_forgotten_and_takes_no_memory() -> None:
    limit = SourceLimit(100)
    assert count_admitted(limit, "203.0.113.7", 100) == 100
    for number in range(30_000):
        limit.admits(number.to_bytes(4, "big"))
    assert count_admitted(limit, "203.0.113.7") == 0
    assert len(limit._spent) == COUNTERS + 1 and len(limit._counters) <= 10_000


# What is half read


class Holder:
    def __init__(self) -> None:
        self.gone = False

    def give_way(self) -> None:
        self.gone = True


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=60))
def test_the_bytes_held_are_those_of_the_holders_and_within_the_budget(steps: list[tuple[int, int]]) -> None:
    """A size of 0 releases."""
    budget, holders, model = ReadBudget(100), [Holder() for _ in range(10)], dict[int, int]()
    for number, size in steps:
        if size:
            budget.hold(holders[number], size)
            model[number] = size
        else:
            budget.release(holders[number])
            model.pop(number, None)
        while sum(model.values()) > 100:
            oldest = next(iter(model))
            del model[oldest]
            assert holders[oldest].gone
        assert budget.held == sum(model.values()) <= 100


# Over real sockets


@pytest_asyncio.fixture(scope="module")
async def plan(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerPlan]:
    await fill_database(database_url, SITE)
    yield ServerPlan(database_url, tmp_path_factory.mktemp("log"), SITE)


def test_a_source_over_its_limit_is_not_answered_and_not_counted(plan: ServerPlan, tmp_path: Path) -> None:
    bounds = Bounds(SourceLimit(10, exempt=()))
    with run_server(replace(plan, log_dir=tmp_path, bounds=bounds)) as server:
        with contextlib.closing(UdpClient(server.port)) as client:
            while time.monotonic() % 1 > 0.5:  # the second must not end among the questions
                time.sleep(0.01)
            for number in range(40):
                client.send(encode_question("88.101.5/SN0001", number))
            answers = [client.receive() for _ in range(10)]
            assert server.ask(KNOWN), "TCP has no such limit"
            client.socket.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.receive()
        assert [int.from_bytes(answer[8:12], "big") for answer in answers] == list(range(10))
        assert bounds.sources.refused == 30
        assert len(server.read_log()) == 11


def begin_message(server: HandleServer, size: int = 100_000) -> TcpClient:
    client = server.connect()
    client.send(KNOWN[:16] + (200_000).to_bytes(4, "big") + bytes(size))
    return client


def is_closed(client: TcpClient) -> bool:
    try:
        return client.socket.recv(1) == b""
    except ConnectionError:
        return True


def test_who_began_first_gives_way_when_too_much_is_half_read(plan: ServerPlan) -> None:
    bounds = Bounds(reads=ReadBudget(1_000_000))
    with run_server(replace(plan, bounds=bounds)) as server, contextlib.ExitStack() as stack:
        witness = stack.enter_context(contextlib.closing(server.connect()))
        slow = [stack.enter_context(contextlib.closing(begin_message(server))) for _ in range(40)]
        assert all(is_closed(client) for client in slow[:25]), "40 messages of 100 kB began, ten fit"
        witness.send(KNOWN)
        assert get_code(witness.receive()) == ResponseCode.SUCCESS
        whole = slow[-1]
        whole.send(bytes(100_000))  # the rest: a message that is complete, and wrong
        assert whole.receive()
        assert bounds.reads.held <= 1_000_000 and bounds.reads.closed >= 25


def test_what_is_complete_or_gone_is_no_longer_held(plan: ServerPlan) -> None:
    bounds = Bounds(reads=ReadBudget(1_000_000))
    with run_server(replace(plan, bounds=bounds)) as server:
        with contextlib.closing(server.connect()) as client:
            client.send(KNOWN[:30])
            client.send(KNOWN[30:] + KNOWN + KNOWN[:50])
            client.receive(), client.receive()
            client.send(KNOWN[50:])
            client.receive()
            server.ask(KNOWN)  # its loop has turned since
            assert bounds.reads.held == 0
        begin_message(server, 10).close()
        begin = time.monotonic()
        while bounds.reads.held and time.monotonic() < begin + 10:
            assert get_code(server.ask(KNOWN)) == ResponseCode.SUCCESS
        assert bounds.reads.held == 0 and bounds.reads.closed == 0
