"""HTTP requests at a given rate, whatever the answers do: `python -m loadtests.paced PORT PATHS RATE SECONDS`.

Arrivals are random (Poisson), on a schedule made before the clock starts. Latency is counted from the scheduled
instant, so an answer that is late delays nobody's clock, and a queue shows in full. Prints one JSON object.
"""

import argparse
import contextlib
import json
import os
import random
import select
import socket
import time
from collections import deque
from pathlib import Path

from loadtests.verdicts import take_percentile

CONNECTIONS = 128
PATIENCE_SECONDS = 5.0


class Pacer:
    """Connections that wait for work, requests that are due, and what is in flight on which connection."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._requests, self._asked = requests, 0
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._due_of: dict[int, float] = {}  # of the request in flight on each connection
        self._rest_of: dict[int, bytes] = {}
        self._idle: deque[socket.socket] = deque()
        self.latencies: list[float] = []
        self.lateness: list[float] = []  # how late requests left: the generator's own delays and full connections
        self.refused = 0
        for _ in range(CONNECTIONS):
            opened = socket.create_connection(("127.0.0.1", port))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[opened.fileno()] = opened
            self._idle.append(opened)
            self._epoll.register(opened.fileno(), select.EPOLLIN)

    def run(self, schedule: list[float]) -> None:
        """`schedule`: seconds from now, ascending."""
        clock, began, at = time.perf_counter, time.perf_counter(), 0
        while at < len(schedule) or self._due_of:
            now = clock() - began
            while at < len(schedule) and schedule[at] <= now and self._idle:
                self._ask(began + schedule[at], clock())
                at += 1
            wait = PATIENCE_SECONDS
            if at < len(schedule) and self._idle:
                wait = max(0.0, began + schedule[at] - clock())
            # The timeout of epoll is in whole milliseconds, that of select in microseconds.
            if select.select([self._epoll], [], [], wait)[0]:
                for descriptor, _ in self._epoll.poll(0):
                    self._receive(descriptor)
            elif wait == PATIENCE_SECONDS:
                raise TimeoutError(f"{len(self._due_of)} requests got no answer")

    def _ask(self, due: float, now: float) -> None:
        chosen = self._idle.popleft()
        self._due_of[chosen.fileno()] = due
        self.lateness.append(now - due)
        chosen.send(self._requests[self._asked % len(self._requests)])
        self._asked += 1

    def _receive(self, descriptor: int) -> None:
        data = self._sockets[descriptor].recv(65_536)
        if not data:
            raise ConnectionError("the server closed a connection")
        data = self._rest_of.pop(descriptor, b"") + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _read_length(data, head):
            self._rest_of[descriptor] = data
            return
        self.latencies.append(time.perf_counter() - self._due_of.pop(descriptor))
        self.refused += not data.startswith(b"HTTP/1.1 200 ")
        self._idle.append(self._sockets[descriptor])

    def close(self) -> None:
        for opened in self._sockets.values():
            opened.close()
        self._epoll.close()


def _read_length(data: bytes, head: int) -> int:
    at = data.lower().find(b"content-length:", 0, head)
    return int(data[at + 15 : data.find(b"\r\n", at)])


def make_schedule(rate: float, seconds: float, seed: int = 1) -> list[float]:
    """Poisson arrivals."""
    chosen, at, schedule = random.Random(seed), 0.0, []
    while (at := at + chosen.expovariate(rate)) < seconds:
        schedule.append(at)
    return schedule


def take_priority() -> bool:
    """Before everything else on this core, so that its clock is right; False where that is not allowed."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("paths", type=Path, help="one path per line")
    parser.add_argument("rate", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--core", type=int)
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    lines = given.paths.read_text().split()
    requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() for path in lines]
    pacer, schedule = Pacer(given.port, requests), make_schedule(given.rate, given.seconds)
    has_priority, cpu, began = take_priority(), time.process_time(), time.perf_counter()
    pacer.run(schedule)
    seconds = time.perf_counter() - began
    pacer.close()
    figures = {
        "answers": len(pacer.latencies),
        "refused": pacer.refused,
        "per_second": len(pacer.latencies) / seconds,
        "core_percent": 100 * (time.process_time() - cpu) / seconds,
        "has_priority": has_priority,
        "sent_late_p99_ms": take_percentile(pacer.lateness, 99) * 1000,
        **{f"p{p}_ms": take_percentile(pacer.latencies, p) * 1000 for p in (50, 99)},
        "max_ms": max(pacer.latencies) * 1000,
    }
    print(json.dumps(figures))
    return 1 if pacer.refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
