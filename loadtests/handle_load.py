"""Load on a Handle server over TCP or UDP: `python -m loadtests.handle_load tcp 127.0.0.1 2641 keys.txt`.

The file names one identifier per line. Requests are encoded before the clock starts; each connection keeps a number
of them in flight and asks for the identifiers in random order. Every answer is counted, its code looked at, and every
thousandth is decoded and must echo the identifier that was asked with at least one value. Prints one JSON object.
"""

import argparse
import json
import multiprocessing
import os
import random
import select
import socket
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from schemas.handle_bodies import ResolutionRequest, decode_handle_values, encode_resolution_request
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import CACR, PUBL, RECU, Envelope, Header, Message, decode_message, encode_message

SAMPLE = 1_000
LOST_SECONDS = 0.5
_SUCCESS = (1).to_bytes(4, "big")


@dataclass(slots=True)
class Load:
    """What to do: `connections` sockets with `window` requests in flight each, for `seconds`."""

    transport: str
    host: str
    port: int
    connections: int = 8
    window: int = 16
    seconds: float = 5.0
    warm_up_seconds: float = 0.0  # before, not measured: each answer's encoded form is made when first asked for


@dataclass(slots=True)
class Figures:
    """What came of it. `core_percent`: of the generator's own core; above 95 it was the bottleneck."""

    answers: int = 0
    other_codes: int = 0
    lost: int = 0
    checked: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    core_percent: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        """Those of another process that ran at the same time."""
        for name in ("answers", "other_codes", "lost", "checked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.wrong += other.wrong
        self.latencies_ms += other.latencies_ms
        self.seconds = max(self.seconds, other.seconds)
        self.core_percent = max(self.core_percent, other.core_percent)

    def summarise(self) -> dict[str, object]:
        latencies = sorted(self.latencies_ms) or [0.0]
        cuts = statistics.quantiles(latencies, n=1_000, method="inclusive") if len(latencies) > 1 else latencies * 999
        return {
            "answers_per_second": round(self.answers / self.seconds) if self.seconds else 0,
            **{k: v for k, v in asdict(self).items() if k not in ("latencies_ms", "wrong")},
            "wrong": self.wrong[:10],
            "latency_ms": {"p50": cuts[499], "p90": cuts[899], "p99": cuts[989], "p999": cuts[998]},
        }


class Questions:
    """Encoded requests in random order, apart and in one buffer; request id = place in the order."""

    def __init__(self, identifiers: list[str], seed: int) -> None:
        self.identifiers = random.Random(seed).sample(identifiers, len(identifiers))
        self.apart = [encode_question(number, text) for number, text in enumerate(self.identifiers)]
        self.starts = [0]
        for message in self.apart:
            self.starts.append(self.starts[-1] + len(message))
        self.joined = memoryview(b"".join(self.apart))

    def __len__(self) -> int:
        return len(self.identifiers)


def encode_question(number: int, identifier: str) -> bytes:
    body = encode_resolution_request(ResolutionRequest(identifier.encode(), [], []))
    header = Header(1, 0, RECU | CACR | PUBL, expiration=0x7FFF_FFFF)
    return encode_message(Message(Envelope(2, 11, 0, 2, 11, 0, number, 0, 0), header, body))


def ask_udp(port: int, identifier: str) -> bytes:
    """The answer to one datagram, as it came."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(LOST_SECONDS)
        client.connect(("127.0.0.1", port))
        client.send(encode_question(0, identifier))
        return client.recv(1_024)


class Window:
    """What is in flight on one socket, and the checks of what comes back."""

    def __init__(self, questions: Questions, figures: Figures, first: int) -> None:
        self.next = first
        self.in_flight = 0
        self.questions, self._figures = questions, figures
        self._sent_at: dict[int, float] = {}

    def take(self, count: int) -> Iterator[tuple[int, int]]:
        """The next `count` requests, now in flight, as one or two stretches (first, behind the last) of the order."""
        while count:
            first, last = self.next, min(self.next + count, len(self.questions))
            sample = -first % SAMPLE + first
            if sample < last:
                self._sent_at[sample] = time.perf_counter()
            self.next = last % len(self.questions)
            self.in_flight += last - first
            count -= last - first
            yield first, last

    def check(self, message: bytes) -> None:
        """A thousandth answer: the handle that was asked, with values."""
        number = int.from_bytes(message[8:12], "big")
        sent_at = self._sent_at.pop(number, None)
        if sent_at is not None:
            self._figures.latencies_ms.append((time.perf_counter() - sent_at) * 1_000)
        self._figures.checked += 1
        expected = self.questions.identifiers[number] if number < len(self.questions) else None
        try:
            answer = decode_handle_values(decode_message(message).body)
            if expected is None or answer.handle != expected.encode() or not answer.values:
                self._figures.wrong.append(f"asked {expected!r}, got {answer.handle!r}, {len(answer.values)} values")
        except MalformedMessage as error:
            self._figures.wrong.append(f"asked {expected!r}, got {error}")


class Stream:
    """One TCP connection."""

    def __init__(self, load: Load, window: Window, figures: Figures) -> None:
        self.socket = socket.create_connection((load.host, load.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.window, self._figures, self._rest = window, figures, b""

    def ask(self, count: int) -> None:
        questions = self.window.questions
        for first, last in self.window.take(count):
            self.socket.sendall(questions.joined[questions.starts[first] : questions.starts[last]])

    def receive(self) -> int:
        """Count and check what has come; how many answers that were."""
        data = self._rest + self.socket.recv(262_144)
        if len(data) == len(self._rest):
            raise ConnectionError("the server closed the connection")
        at, answers, size, figures = 0, 0, len(data), self._figures
        while size - at >= 44:
            end = at + 20 + int.from_bytes(data[at + 16 : at + 20], "big")
            if end > size:
                break
            answers += 1
            if data[at + 24 : at + 28] != _SUCCESS:
                figures.other_codes += 1
            elif int.from_bytes(data[at + 8 : at + 12], "big") % SAMPLE == 0:
                self.window.check(data[at:end])
            at = end
        self._rest = data[at:]
        self.window.in_flight -= answers
        figures.answers += answers
        return answers


class Datagrams:
    """One UDP socket; what does not come back is counted as lost and asked no more."""

    def __init__(self, load: Load, window: Window, figures: Figures) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(load.host, load.port, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, kind, protocol)
        self.socket.connect(address)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.window, self._figures, self._heard_at = window, figures, time.perf_counter()

    def ask(self, count: int) -> None:
        send = self.socket.send
        for first, last in self.window.take(count):
            for message in self.window.questions.apart[first:last]:
                send(message)

    def receive(self) -> int:
        answers, figures, receive = 0, self._figures, self.socket.recv
        try:
            while answers < 64:
                data = receive(1_024, socket.MSG_DONTWAIT)
                answers += 1
                if data[24:28] != _SUCCESS:
                    figures.other_codes += 1
                elif int.from_bytes(data[8:12], "big") % SAMPLE == 0 and not data[2] & 0x20:
                    self.window.check(data)
        except BlockingIOError:
            pass
        self._heard_at = time.perf_counter()
        self.window.in_flight -= answers
        figures.answers += answers
        return answers

    def give_up_lost(self) -> int:
        """How many of those in flight will not come any more."""
        if time.perf_counter() - self._heard_at < LOST_SECONDS:
            return 0
        lost, self.window.in_flight = self.window.in_flight, 0
        self._figures.lost += lost
        self._heard_at = time.perf_counter()
        return lost


def run(load: Load, identifiers: list[str], seed: int = 1) -> Figures:
    """Load from this process alone."""
    questions = Questions(identifiers, seed)
    if load.warm_up_seconds:
        measure(replace(load, seconds=load.warm_up_seconds), questions)
    return measure(load, questions)


def measure(load: Load, questions: Questions) -> Figures:
    figures = Figures()
    kind = Stream if load.transport == "tcp" else Datagrams
    spread = [len(questions) * n // load.connections for n in range(load.connections)]
    peers = [kind(load, Window(questions, figures, first), figures) for first in spread]
    poll = select.epoll()
    by_fd = {peer.socket.fileno(): peer for peer in peers}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    began, cpu, stop_at = time.perf_counter(), time.process_time(), time.perf_counter() + load.seconds
    for peer in peers:
        peer.ask(load.window)
    while time.perf_counter() < stop_at:
        for fd, _ in poll.poll(LOST_SECONDS):
            by_fd[fd].ask(by_fd[fd].receive())
        if load.transport == "udp":
            for peer in peers:
                if isinstance(peer, Datagrams) and (lost := peer.give_up_lost()):
                    peer.ask(lost)
    figures.seconds = time.perf_counter() - began
    figures.core_percent = round(100 * (time.process_time() - cpu) / figures.seconds, 1)
    for peer in peers:
        peer.socket.close()
    return figures


def _run_one(arguments: tuple[Load, list[str], int, int | None]) -> Figures:
    load, identifiers, seed, core = arguments
    if core is not None:
        os.sched_setaffinity(0, {core})
    return run(load, identifiers, seed)


def run_many(load: Load, identifiers: list[str], cores: list[int | None]) -> Figures:
    """One process per entry of `cores`, pinned to it unless it is None."""
    if len(cores) == 1:
        return _run_one((load, identifiers, 1, cores[0]))
    with multiprocessing.get_context("spawn").Pool(len(cores)) as pool:
        tasks = [(load, identifiers, seed, core) for seed, core in enumerate(cores, 1)]
        total = Figures()
        for figures in pool.map(_run_one, tasks, chunksize=1):
            total.add(figures)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transport", choices=["tcp", "udp"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("identifiers", type=Path)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--window", type=int, default=16, help="requests in flight per connection")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=0.0, help="seconds of the same load before")
    parser.add_argument("--core", type=int, action="append", help="pin a process there; once per process")
    given = parser.parse_args()
    load = Load(given.transport, given.host, given.port, given.connections, given.window, given.seconds, given.warm_up)
    identifiers = given.identifiers.read_text(encoding="utf-8").split("\n")
    figures = run_many(load, [text for text in identifiers if text], given.core or [None])
    print(json.dumps(figures.summarise()))
    return 1 if figures.wrong or not figures.answers else 0


if __name__ == "__main__":
    raise SystemExit(main())
