"""Bodies are compared while a load runs; what wrk prints is read as it is meant."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from loadtests.processes import BenchFailure
from loadtests.web import Checker, _read_result, fetch

answered = Event()


class Server(BaseHTTPRequestHandler):
    """Answers /right with its path, everything else with 404."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200 if self.path == "/right" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        answered.set()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    answered.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def is_path(path: str, body: bytes) -> bool:
    return body == path.encode()


def test_right_bodies_are_counted(port: int) -> None:
    checker = Checker(port, ["/right"], is_path)
    with checker.checking():
        assert answered.wait(10)
    assert checker.checked >= 1
    assert checker.wrong == []


def test_one_checker_serves_every_round(port: int) -> None:
    checker = Checker(port, ["/right"], is_path)
    for _ in range(3):
        before = checker.checked
        answered.clear()
        with checker.checking():
            assert answered.wait(10)
        assert checker.checked > before


@pytest.mark.parametrize(("path", "expected"), [("/wrong", True), ("/right", False)])  # a status; a body
def test_wrong_answers_are_kept(port: int, path: str, expected: bool) -> None:
    checker = Checker(port, [path], lambda asked, body: expected)
    with checker.checking():
        assert answered.wait(10)
    assert checker.wrong


def test_a_page_that_is_refused_is_a_failure(port: int) -> None:
    assert fetch(port, "/right") == b"/right"
    with pytest.raises(BenchFailure, match="404"):
        fetch(port, "/wrong")


def test_the_line_of_the_script_is_read() -> None:
    """Requests, µs, broken connections, refusals, p99 in µs, processor time in µs."""
    run = _read_result("Running 2s test\nRESULT 200000 2000000 0 3 1500 1800000\n", 1, 1.9)
    assert run.rate.per_second == 100_000
    assert run.rate.generator_percent == 90
    assert run.rate.server_percent == 95
    assert (run.p99_ms, run.answers, run.refused) == (1.5, 200_000, 3)


@pytest.mark.parametrize("output", ["", "unable to connect", "RESULT 10 2000000 1 0 1500 1000\n"])
def test_broken_connections_are_a_failure(output: str) -> None:
    with pytest.raises(BenchFailure):
        _read_result(output, 1, 1.0)
