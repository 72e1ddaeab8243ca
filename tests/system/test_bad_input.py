"""Bad input against the real processes: every question gets its answer, and nobody else notices."""

import json
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import decode_message
from tests.resolver.handle_server import TcpClient, encode_question, get_code
from tests.system.accounts import ROOT
from tests.system.running_node import PATIENCE_SECONDS, wait_until
from tests.system.world import HOST, World, locate, read_values

PREFIX = "88.101.501"
KNOWN = f"{PREFIX}/Ab-1"
VALUES = {"product_code": "x", "model": "WQ15", "produced_on": "2024-06-04"}
# Issued before the tests: what looks like something else, and what a URL must encode.
ISSUED = ["Ab-1", "é", "a/b", "a%2Fb", "50%", "泵 1", "..", "../x", "a//b", "?q=1#f", "a+b", "ß"]
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]
MESSAGES = [bytes.fromhex(v["hex"]) for v in VECTORS if v["kind"] in ("message", "udp-fragment")]
MUTATIONS = 3_000
IDLE_CONNECTIONS = 2_000


@pytest.fixture(scope="module")
def world(world: World) -> World:
    """The node of the session, with identifiers that are hard to spell."""
    world.add_enterprise(PREFIX)
    world.command("template", "add", ROOT / "data" / "products-pump-works.template.json", "--prefix", PREFIX)
    items = [{"suffix": suffix, "values": VALUES | {"product_code": suffix[:64]}} for suffix in ISSUED]
    body = {"prefix": PREFIX, "template": "product-1", "items": items}
    status, answer = world.api("POST", "/identifiers/batch", PREFIX, body)
    assert (status, answer["registered"]) == (200, len(ISSUED)), answer
    return world


@pytest.fixture(scope="module")
def trickle(world: World) -> Iterator["Trickle"]:
    """A request line that never ends, byte after byte, on its way while other tests run."""
    thread = Trickle(world)
    thread.start()
    yield thread
    thread.join(PATIENCE_SECONDS)


class Trickle(threading.Thread):
    """`received` is what the server said when it had had enough."""

    def __init__(self, world: World) -> None:
        super().__init__(name="trickle", daemon=True)
        self.received = b""
        self._world = world

    def run(self) -> None:
        with self._world.connect_http() as client:
            client.send(b"GET /api/handles/")
            client.socket.settimeout(0.1)
            started = time.monotonic()
            while not self.received and time.monotonic() - started < PATIENCE_SECONDS:
                client.send(b"x")
                with suppress(TimeoutError):
                    self.received = client.socket.recv(4096)


@pytest.fixture(autouse=True)
def begin_to_trickle(trickle: Trickle) -> Trickle:
    return trickle


@contextmanager
def witnesses(world: World) -> Iterator[None]:
    """Other connections to every worker, answered before, during and after; no process dies of what happens."""
    before, end, answered = world.find_processes(), threading.Event(), 0
    with world.connect_to_every_worker() as workers:

        def check() -> None:
            nonlocal answered
            assert {code for code, _, _ in workers.ask(KNOWN).values()} == {1}
            answered += 1

        def watch() -> None:
            with suppress(AssertionError):
                while not end.wait(0.01):
                    check()

        check()
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            end.set()
            watcher.join(PATIENCE_SECONDS)
        assert not watcher.is_alive()
        seen = answered
        check()
    assert answered == seen + 1
    assert world.find_processes() == before


# Identifiers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ISSUED)
def test_what_was_issued_is_found_by_its_own_text_everywhere(world: World, suffix: str) -> None:
    identifier = f"{PREFIX}/{suffix}"
    with world.connect_http() as client:
        for path in (locate(identifier), f"/{PREFIX}/{quote_from_bytes(suffix.encode(), safe='')}"):
            answer = client.ask(path)
            assert (answer.status, answer.document["handle"]) == (200, identifier), path
    with closing(world.connect_tcp()) as client_tcp:
        client_tcp.send(encode_question(identifier))
        assert read_values(client_tcp.receive())["product_code"] == suffix


@pytest.mark.parametrize("suffix", ["泵 1", "..", "a%2Fb"])
def test_the_command_resolves_it_as_well(world: World, suffix: str) -> None:
    values = world.command("resolve", f"{PREFIX}/{suffix}")["values"]
    assert {value["type"]: value["data"] for value in values}["product_code"] == suffix


@pytest.mark.parametrize(
    ("raw", "status", "code", "why"),
    [
        (b"", 400, 102, "empty"),
        (PREFIX.encode(), 200, 1, "a prefix alone is a question about the prefix: its site"),
        (PREFIX.encode() + b"/", 404, 100, "an empty suffix was never issued"),
        (PREFIX.encode() + b"/ab-1", 200, 1, "letters A-Z are folded"),
        (PREFIX.encode() + b"/AB-1", 200, 1, "letters A-Z are folded"),
        (PREFIX.encode() + b"/" + b"x" * 2_000, 404, 100, "long, and not there"),
        (PREFIX.encode() + b"/" + b"x" * 2_049, 400, 102, "over 2,048 bytes"),
        (PREFIX.encode() + b"/a\0b", 404, 100, "NUL"),
        (PREFIX.encode() + b"/../Ab-1", 404, 100, "dots are characters"),
        (PREFIX.encode() + b"/a%2Fb", 200, 1, "as issued, with a percent sign"),
        (PREFIX.encode() + b"/a%252Fb", 404, 100, "encoded once too often"),
        (PREFIX.encode() + "/\u00c9".encode(), 404, 100, "É is not é: only A-Z are folded"),
        (PREFIX.encode() + "/e\u0301".encode(), 404, 100, "é in two characters is another text"),
        (PREFIX.encode() + b"/ss", 404, 100, "ß is not ss"),
        (PREFIX.encode() + "/\uff21\uff42-1".encode(), 404, 100, "full-width look-alikes"),
        (PREFIX.encode() + "/\u0410b-1".encode(), 404, 100, "a Cyrillic А"),
        (PREFIX.encode() + b"/\xc0\xafAb-1", 404, 100, "an overlong slash"),
        (PREFIX.encode() + b"/\xff\xfe", 404, 100, "no UTF-8"),
        (PREFIX.encode() + b"/\xed\xa0\x80", 404, 100, "a lone surrogate"),
        (PREFIX.encode() + b"\xc0\xafAb-1", 404, 100, "an overlong slash is none: a prefix below ours, not there"),
        ("88.101.\uff15\uff10\uff11/Ab-1".encode(), 404, 100, "a full-width prefix below ours"),
        (b"88.101.0501/Ab-1", 404, 100, "zeros count"),
        (b"10.1/Ab-1", 400, 301, "a foreign prefix"),
        (b"/", 400, 301, "nothing but a slash"),
    ],
)
def test_what_is_asked_over_both_protocols_gets_the_same_code(
    world: World, raw: bytes, status: int, code: int, why: str
) -> None:
    with world.connect_http() as client:
        answer = client.ask("/api/handles/" + quote_from_bytes(raw, safe=""))
        assert (answer.status, answer.document["responseCode"]) == (status, code), (why, answer.body)
        assert client.ask(locate(KNOWN)).status == 200, "the connection goes on"
    with closing(world.connect_tcp()) as other:
        other.send(encode_question(raw))
        assert get_code(other.receive()) == code, why


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"/api/handles/{PREFIX}/a/b", 200),  # slashes of the suffix may stand as they are
        (f"/api/handles/{PREFIX}/a%2Fb", 200),
        (f"/api/handles/{PREFIX}%2Fa%2fb", 200),
        (f"/api/handles/{PREFIX}/a%252Fb", 200),  # a%2Fb was issued, too
        (f"/api/handles/{PREFIX}/a%25252Fb", 404),
        (f"/api/handles/{PREFIX}/../{PREFIX}/Ab-1", 404),  # no server may resolve dots in identifiers
        (f"/api/handles/{PREFIX}/%2e%2e", 200),
        (f"/api/handles/{PREFIX}/..", 200),
        (f"/api/handles/{PREFIX}/50%", 200),  # a percent sign that encodes nothing stays one
        (f"/api/handles/{PREFIX}/50%25", 200),
        (f"/api/handles/{PREFIX}/a//b", 200),
        (f"/api/handles/{PREFIX}/a+b", 200),
        (f"/api/handles/{PREFIX}/a b", 400),  # no request line
        (f"/api/handles/{PREFIX}/Ab-1?", 200),
        (f"/api/handles/{PREFIX}/Ab-1?index=x", 400),
        (f"/api/handles/{PREFIX}/Ab-1?unknown=1&index=2000", 200),
        (f"http://elsewhere.example/api/handles/{PREFIX}/Ab-1", 200),  # RFC 9112 §3.2.2: must be accepted
        (f"//{PREFIX}/Ab-1", 400),  # the identifier begins with a slash: its prefix is empty, and not ours
    ],
)
def test_how_a_path_is_read(world: World, target: str, status: int) -> None:
    with world.connect_http() as client:
        assert client.ask(target).status == status


@pytest.mark.parametrize(
    ("identifier", "code"),
    [
        ("", "identifier_malformed"),
        (f"{PREFIX}", "identifier_malformed"),
        (f"{PREFIX}/", "suffix_empty"),
        (f"{PREFIX}/{'x' * 256}", "suffix_too_long"),
        (f"{PREFIX}/{'x' * 2_048}", "suffix_too_long"),
        (f"{PREFIX}/a\tb", "suffix_control_character"),
        (f"{PREFIX}/a\u200bb", "suffix_control_character"),
        (f"{PREFIX}/ a", "suffix_blank_at_ends"),
        (f"{PREFIX}/e\u0301x", "suffix_not_composed"),
        (f"{PREFIX}/AB-1", "identifier_taken"),
        (f"{PREFIX}\uff0fx", "identifier_malformed"),
        ("88.101.\uff15/x", "identifier_malformed"),
    ],
)
def test_what_is_not_issued_and_why(world: World, identifier: str, code: str) -> None:
    body = {"identifier": identifier, "template": "product-1", "values": VALUES}
    status, problem = world.api("POST", "/identifiers", PREFIX, body)
    assert (status, problem["code"]) == (409 if code == "identifier_taken" else 400, code)
    assert problem["remedy"]


@pytest.mark.parametrize(
    ("identifier", "code"),
    [
        ("", "identifier_malformed"),
        (f"{PREFIX}/e\u0301x", "suffix_not_composed"),
        (f"{PREFIX}/ab-1", "identifier_taken"),
    ],
)
def test_the_command_refuses_with_the_same_reason(world: World, identifier: str, code: str) -> None:
    values = [part for name, text in VALUES.items() for part in ("--value", f"{name}={text}")]
    done = world.run("register", identifier, "--template", "product-1", *values, "--json")
    assert (done.returncode, json.loads(done.stderr)["code"]) == (1, code)


@pytest.mark.parametrize("suffix", ["\0", "\ud800"])
def test_what_json_can_say_and_no_text_can_is_the_callers_fault(world: World, suffix: str) -> None:
    body = {"identifier": f"{PREFIX}/{suffix}", "template": "product-1", "values": VALUES}
    status, _ = world.api("POST", "/identifiers", PREFIX, body)
    assert status == 400


# HTTP ------------------------------------------------------------------------------------------------------------

GET = f"GET {locate(KNOWN)} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.mark.parametrize(
    ("request_bytes", "statuses", "is_closed", "why"),
    [
        (GET + b"X: " + b"x" * 17_000 + b"\r\n\r\n", [431], True, "a head of 17 kB"),
        (GET + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 100) for n in range(170)) + b"\r\n", [431], True, "in many lines"),
        (b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", [414], True, "a request line of 17 kB"),
        (GET + b"X: " + b"x" * 15_000 + b"\r\n\r\n", [200], False, "15 kB are allowed"),
        (GET + b"Content-Length: 5\r\n\r\nhello" + GET + b"\r\n", [200, 200], False, "a body on GET is read over"),
        (GET + b"Connection: close\r\n\r\n" + GET + b"\r\n", [200], True, "nothing after the last request"),
        (GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", [400], True, "two lengths (RFC 9112 §6.3)"),
        (GET + b"Content-Length: -1\r\n\r\n", [400], True, "a negative length"),
        (GET.partition(b"Host")[0] + b"\r\n", [400], True, "no Host (RFC 9112 §3.2)"),
        (GET + b"Host: y\r\n\r\n", [400], True, "two Hosts"),
        (GET.replace(b"1.1", b"1.0").partition(b"Host")[0] + b"\r\n", [200], True, "HTTP/1.0 knew no Host"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), [400], True, "a TLS hello"),
        (b"\r\n" * 3 + GET + b"\r\n", [200], False, "empty lines before a request (RFC 9112 §2.2)"),
        (b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", [501], True, "no method of HTTP"),
        (b"POST " + GET[4:] + b"Content-Length: 0\r\n\r\n", [200], False, "parameters may come in a body"),
        (GET + b"\r\n" + bytes(range(256)), [200], True, "garbage after a request"),
        (encode_question(KNOWN), [400], True, "the other protocol"),
    ],
)  # fmt: skip
def test_requests_and_what_is_none(
    world: World, request_bytes: bytes, statuses: list[int], is_closed: bool, why: str
) -> None:
    with witnesses(world), world.connect_http() as client:
        client.send(request_bytes)
        for status in statuses:
            assert client.receive().status == status, why
        if is_closed:
            assert client.is_closed(), why
        else:
            assert client.ask(locate(KNOWN)).status == 200, why


# The native port -------------------------------------------------------------------------------------------------

QUESTION = encode_question(KNOWN, 9)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (GET + b"\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600), "a TLS hello"),
        (QUESTION[:16] + (1 << 31).to_bytes(4, "big") + QUESTION[20:], "a length of 2^31"),
        (QUESTION[:16] + b"\xff\xff\xff\xff" + QUESTION[20:], "a length of 2^32 - 1"),
        (QUESTION[:16] + (3).to_bytes(4, "big") + QUESTION[20:], "a length below that of a header"),
        (bytes(64), "zeros"),
    ],
)
def test_who_speaks_otherwise_is_closed_and_nobody_notices(world: World, sent: bytes, why: str) -> None:
    with witnesses(world), closing(world.connect_tcp()) as client:
        client.send(sent)
        answers = client.receive_all()  # until it is closed
        assert {get_code(answer) for answer in answers} <= {4}, why


def test_a_length_of_2_31_costs_no_memory(world: World) -> None:
    def measure() -> int:
        return sum(read_resident(pid) for pid in world.list_workers().values())

    before = measure()
    announced = QUESTION[:16] + (1 << 31).to_bytes(4, "big") + bytes(100_000)
    for _ in range(50):
        with closing(world.connect_tcp()) as client, suppress(OSError):
            client.send(announced)
            client.receive_all()
    assert measure() - before < 50_000_000


def read_resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_two_thousand_idle_connections_keep_nobody_from_being_answered(world: World) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3 * IDLE_CONNECTIONS)), hard))
    with witnesses(world), ExitStack() as stack:
        place = (HOST, world.handle_port)
        idle = [stack.enter_context(socket.create_connection(place)) for _ in range(IDLE_CONNECTIONS)]
        for connection in idle[::10]:
            connection.sendall(QUESTION[:30])  # half a question
        with closing(world.connect_tcp()) as client:
            client.send(QUESTION)
            assert get_code(client.receive()) == 1
        for connection in idle[::10]:
            connection.sendall(QUESTION[30:])
            assert len(connection.recv(65_536)) > 20, "and is answered when the rest comes"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_mutated_messages_get_an_answer_an_error_or_a_close(world: World, transport: str) -> None:
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"\nseed {seed}")
    chosen = random.Random(seed)
    with witnesses(world):
        if transport == "tcp":
            send_streams(world, chosen)
        else:
            send_datagrams(world, chosen)
    wait_until(lambda: "error" not in world.examine().values(), 0.5)


def mutate(chosen: random.Random) -> bytes:
    """A vector with bytes changed, cut off, doubled or put in."""
    message = bytearray(chosen.choice(MESSAGES))
    for _ in range(chosen.randrange(1, 4)):
        at = chosen.randrange(len(message))
        match chosen.randrange(4):
            case 0:
                message[at] = chosen.randrange(256)
            case 1:
                message[at : at + 4] = chosen.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
            case 2:
                del message[max(at, 1) :]
            case _:
                message[at:at] = bytes(chosen.randrange(256) for _ in range(chosen.randrange(8)))
    return bytes(message)


def send_streams(world: World, chosen: random.Random) -> None:
    """Many on one connection, until the server has enough of it; then on a new one."""
    client: TcpClient | None = None
    for _ in range(MUTATIONS):
        client = client or world.connect_tcp()
        try:
            client.send(mutate(chosen))
            client.socket.settimeout(0.001)
            decode_message(client.receive())
        except TimeoutError:
            continue  # it waits for more
        except (OSError, MalformedMessage):  # closed, or an answer encrypted as the question claimed to be
            client.close()
            client = None
    if client is not None:
        client.close()


def send_datagrams(world: World, chosen: random.Random) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.connect((HOST, world.handle_port))
        for _ in range(MUTATIONS):
            sender.send(mutate(chosen)[:60_000])
            if chosen.random() < 0.05:
                time.sleep(0.001)
    with closing(world.connect_udp()) as client:
        client.send(QUESTION)
        assert get_code(client.receive()) == 1


def test_a_request_line_that_never_ends_was_cut_off(trickle: Trickle) -> None:
    """The deadline is for the whole head, whatever trickles in."""
    trickle.join(PATIENCE_SECONDS)
    assert trickle.received.startswith(b"HTTP/1.1 408 ")
