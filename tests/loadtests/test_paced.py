"""The paced generator asks when it said it would, and counts from then."""

import itertools
import statistics
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from socket import SHUT_RDWR, create_server
from threading import Thread

import pytest

from loadtests.paced import CONNECTIONS, Pacer, make_schedule

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
REFUSAL = b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n"
REQUEST = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


def serve(answer: bytes, pieces: int, delay_seconds: float, port: Connection) -> None:
    """One thread per connection; every answer comes in so many pieces, after a while."""
    with create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as server:
        port.send(server.getsockname()[1])
        while True:
            peer, _ = server.accept()
            Thread(target=answer_all, args=(peer, answer, pieces, delay_seconds), daemon=True).start()


def answer_all(peer, answer: bytes, pieces: int, delay_seconds: float) -> None:  # type: ignore[no-untyped-def]
    size = -(-len(answer) // pieces)
    while peer.recv(4096):
        time.sleep(delay_seconds)
        for start in range(0, len(answer), size):
            peer.sendall(answer[start : start + size])
    peer.shutdown(SHUT_RDWR)


def run_pacer(answer: bytes, *, pieces: int = 1, delay_seconds: float = 0.0, rate: float = 400) -> Pacer:
    context = get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(answer, pieces, delay_seconds, theirs), daemon=True)
    process.start()
    try:
        pacer = Pacer(ours.recv(), [REQUEST])
        pacer.run(make_schedule(rate, 0.5))
        pacer.close()
    finally:
        process.terminate()
        process.join()
    return pacer


def test_arrivals_are_random_and_as_many_as_asked_for() -> None:
    schedule = make_schedule(10_000, 2.0)
    assert len(schedule) == pytest.approx(20_000, rel=0.05)
    assert schedule == sorted(schedule)
    gaps = [b - a for a, b in itertools.pairwise(schedule)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.1)  # as of a Poisson process


@pytest.mark.parametrize("pieces", [1, 2, 40])  # however the stream is cut
def test_every_request_is_answered_once(pieces: int) -> None:
    pacer = run_pacer(ANSWER, pieces=pieces)
    assert len(pacer.latencies) == len(make_schedule(400, 0.5))
    assert not pacer.refused


def test_refusals_are_counted() -> None:
    pacer = run_pacer(REFUSAL)
    assert pacer.refused == len(pacer.latencies)


def test_a_queue_shows_in_the_latencies() -> None:
    """All connections are busy for 0.2 s: who waits for one has waited since its own scheduled instant."""
    pacer = run_pacer(ANSWER, delay_seconds=0.2, rate=1_500)
    assert min(pacer.latencies) >= 0.2
    assert max(pacer.latencies) >= 0.4
