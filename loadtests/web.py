"""HTTP load by wrk on one core, an nginx beside which our rate is shown, and a checker of what comes back."""

import contextlib
import http.client
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from loadtests.processes import BenchFailure, find_free_port, list_tree, pin, read_cpu_seconds
from loadtests.verdicts import Rate

SCRIPT = Path(__file__).with_name("ask.lua")
CONNECTIONS = 64
KEYS = 100_000
CHECKS_PER_SECOND = 150  # every thousandth answer up to this many thousand answers a second
_CONFIG = """
worker_processes 1; daemon off; pid {place}/nginx.pid; error_log {place}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000000; default_type application/json;
    client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};
    uwsgi_temp_path {place}; scgi_temp_path {place};
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{body}"; }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class WrkRun:
    """What one run of wrk says; `errors` are of sockets, `refused` are answers with a status of 400 or more."""

    rate: Rate
    p99_ms: float
    answers: int
    errors: int
    refused: int


def check_tools() -> str:
    """Empty if nginx and wrk are there, else how to install them."""
    missing = [name for name in ("nginx", "wrk") if shutil.which(name) is None]
    packages = " ".join({"nginx": "nginx-light"}.get(name, name) for name in missing)
    return f"{' and '.join(missing)} missing: apt-get install -y {packages}" if missing else ""


@contextlib.contextmanager
def run_nginx(place: Path, body_bytes: int, core: int) -> Iterator[tuple[int, int]]:
    """An nginx of our own that answers everything with `body_bytes` bytes; port and pid of its one worker."""
    port, config = find_free_port(), place / "nginx.conf"
    config.write_text(_CONFIG.format(place=place, port=port, body="x" * body_bytes))
    with (place / "nginx.out").open("ab") as log:
        process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(place)], stdout=log, stderr=log)
    try:
        _wait_for_port(port, process)
        tree = list_tree(process.pid)
        for pid in tree:
            pin(pid, core)
        yield port, tree[-1]
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise BenchFailure("nginx did not start")


@dataclass(frozen=True, slots=True)
class WrkLoad:
    """Paths are asked in the file's order, `count` of them behind the `first`, by one thread on each of `cores`."""

    paths: Path
    cores: Sequence[int]
    seconds: float = 3.0
    connections: int = CONNECTIONS
    first: int = 0
    count: int = KEYS
    headers: Sequence[str] = ()


def run_wrk(port: int, server_pids: Sequence[int], load: WrkLoad) -> WrkRun:
    """Raises BenchFailure if connections broke."""
    command = [
        "taskset", "-c", ",".join(map(str, load.cores)),
        "wrk", f"-t{len(load.cores)}", f"-c{load.connections}", f"-d{load.seconds:g}s", "--timeout", "10s",
        *(part for header in load.headers for part in ("-H", header)), "-s", str(SCRIPT),
        f"http://127.0.0.1:{port}", "--", str(load.paths), str(load.first), str(load.count),
    ]  # fmt: skip
    served = sum(map(read_cpu_seconds, server_pids))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output, _ = process.communicate(timeout=load.seconds + 60)
    served = sum(map(read_cpu_seconds, server_pids)) - served
    return _read_result(output, len(load.cores), served / max(1, len(server_pids)))


def _read_result(output: str, threads: int, server_seconds: float) -> WrkRun:
    lines = [line.split()[1:] for line in output.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise BenchFailure(f"wrk: {output.strip()[-300:]}")
    answers, duration_us, errors, refused, p99_us, cpu_us = map(int, lines[0])
    if errors:
        raise BenchFailure(f"wrk: {errors} connections broke or timed out")
    seconds = duration_us / 1e6
    rate = Rate(answers / seconds, 100 * cpu_us / duration_us / threads, 100 * server_seconds / seconds)
    return WrkRun(rate, p99_us / 1000, answers, errors, refused)


class Checker:
    """Asks for paths at random while a load runs, and compares what comes back with what must."""

    def __init__(self, port: int, paths: Sequence[str], is_right: Callable[[str, bytes], bool]) -> None:
        self.checked = 0
        self.wrong: list[str] = []
        self._port, self._paths, self._is_right = port, paths, is_right
        self._stop = threading.Event()

    @contextlib.contextmanager
    def checking(self) -> Iterator[None]:
        self._stop.clear()  # one checker serves every round
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        chosen = random.Random(1)
        try:
            with socket.create_connection(("127.0.0.1", self._port), 10) as client, client.makefile("rb") as answers:
                while not self._stop.wait(1 / CHECKS_PER_SECOND):
                    path = chosen.choice(self._paths)
                    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                    status, body = _read_answer(answers)
                    self.checked += 1
                    if status != 200 or not self._is_right(path, body):
                        self.wrong.append(f"{path}: {status} {body[:100]!r}")
        except OSError as error:
            self.wrong.append(str(error))


def _read_answer(answers: BinaryIO) -> tuple[int, bytes]:
    """Status and body. Read flat: the checker shares the load generator's core, and a library would take a tenth."""
    words, length = answers.readline().split(None, 2), 0
    while (line := answers.readline().lower()) not in (b"\r\n", b""):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    if len(words) < 2:
        raise ConnectionError("the connection was closed")
    return int(words[1]), answers.read(length)


def fetch(port: int, path: str) -> bytes:
    """The body of one answer; raises BenchFailure unless its status is 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise BenchFailure(f"GET {path}: {answer.status} {body[:200]!r}")
    return body
