"""The main path from outside, as root and as an ordinary user: from a factory's file to a counted resolution."""

import csv
import os
import shutil
import signal
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import zxingcpp
from pyhandle.handleclient import PyHandleClient

from tests.resolver.handle_server import encode_question, get_code
from tests.system.accounts import ROOT, use_ordinary
from tests.system.running_node import wait_until
from tests.system.world import HOST, HttpClient, Workers, World, locate, read_values, run_world

PREFIX = "88.101.005"
FILE = ROOT / "data" / "products-pump-works.csv"
TEMPLATE = ROOT / "data" / "products-pump-works.template.json"
COLUMNS = {
    "产品编码": "product_code", "型号": "model", "批次": "batch", "生产日期": "produced_on", "检验结果": "inspection",
    "额定流量": "rated_flow", "说明书": "URL", "上级包装": "parent_package",
}  # fmt: skip
PRIVATE = "line"
WINDOW = 200  # questions under way on one connection
CONNECTIONS = 100
ACCOUNTS = ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]


@dataclass
class Journey:
    """A node on its way through the main path, and what its clients have asked so far."""

    world: World
    file: Path
    rows: dict[str, dict[str, str]]  # identifier → what everybody may see
    asked: int = 0
    ok: int = 0
    notes: list[str] = field(default_factory=list)

    def count(self, asked: int, ok: int | None = None) -> None:
        self.asked += asked
        self.ok += asked if ok is None else ok


@pytest.fixture(scope="module", params=ACCOUNTS)
def path(request: pytest.FixtureRequest, open_place: Path) -> Iterator[Journey]:
    """A new enterprise with the file imported; later tests find it as earlier ones left it."""
    if request.param == "root" or os.geteuid() != 0:
        made = begin(request.getfixturevalue("world"), FILE)
        assert len(made.rows) == 20_000
        yield made
        return
    account = use_ordinary(open_place)
    data_dir = open_place / "ordinary"
    data_dir.mkdir()
    if account.name is not None:
        shutil.chown(data_dir, account.name)
    with run_world(data_dir, account) as world:
        world.start("--demo")
        assert "Demonstration: 66 enterprises, 22940 identifiers." in world.printed
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in world.find_processes().values()}
        assert owners == {data_dir.stat().st_uid}
        assert 0 not in owners
        yield begin(world, shorten(data_dir / "rows.csv"))
        assert world.stop(signal.SIGINT) == 0
        assert world.find_leftovers() == []


def shorten(file: Path) -> Path:
    """A tenth of the rows and some odd ones: root has taken all, and whose processes do it makes no difference."""
    header, *rows = FILE.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    odd = [row for row in rows if " " in row][:10]
    file.write_text(header + "".join(odd + [row for row in rows[::10] if row not in odd]), encoding="utf-8-sig")
    return file


def begin(world: World, path: Path) -> Journey:
    world.add_enterprise(PREFIX)
    world.command("template", "add", TEMPLATE, "--prefix", PREFIX)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [{COLUMNS.get(name, PRIVATE): text for name, text in row.items()} for row in csv.DictReader(file)]
    expected = {f"{PREFIX}/{row['product_code']}": {t: text for t, text in row.items() if text} for row in rows}
    for row in expected.values():
        row.pop(PRIVATE, None)
    return Journey(world, path, expected)


def import_file(path: Journey, receipt: str) -> Any:
    done = path.world.command(
        "import", path.file, "--prefix", PREFIX, "--template", "product-1", "--identifier-column", "产品编码",
        "--receipt", path.world.data_dir / receipt,
    )  # fmt: skip
    return [done[name] for name in ("rows", "registered", "updated", "unchanged", "differs", "refused")]


def test_the_file_goes_in_whole_and_a_second_time_changes_nothing(path: Journey) -> None:
    number, started = len(path.rows), time.monotonic()
    assert import_file(path, "first.csv") == [number, number, 0, 0, 0, 0]
    path.notes.append(f"imported in {time.monotonic() - started:.1f} s")
    assert import_file(path, "again.csv") == [number, 0, 0, number, 0, 0]
    with (path.world.data_dir / "first.csv").open(encoding="utf-8-sig", newline="") as file:
        receipt = list(csv.DictReader(file))
    assert [row["identifier"] for row in receipt] == list(path.rows)
    assert {row["outcome"] for row in receipt} == {"registered"}


def test_every_identifier_resolves_over_http_by_exactly_its_own_text(path: Journey) -> None:
    """On many connections, each with one question under way, as the field's clients do."""
    with ExitStack() as stack:
        clients = [stack.enter_context(path.world.connect_http()) for _ in range(CONNECTIONS)]
        waiting = iter(path.rows)
        while taken := list(zip(clients, waiting, strict=False)):
            for client, identifier in taken:
                client.send(f"GET {locate(identifier)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            for client, identifier in taken:
                answer = client.receive()
                assert answer.status == 200
                assert answer.document["handle"] == identifier
                assert answer.values == path.rows[identifier], "the private production line is not shown"
    path.count(len(path.rows))


def test_every_identifier_resolves_over_tcp_with_many_questions_under_way(path: Journey) -> None:
    identifiers, answers = list(path.rows), {}
    client = path.world.connect_tcp()
    for start in range(0, len(identifiers), WINDOW):
        questions = range(start, min(start + WINDOW, len(identifiers)))
        client.send(b"".join(encode_question(identifiers[n], n + 1) for n in questions))
        for _ in questions:
            reply = client.receive()
            answers[int.from_bytes(reply[8:12], "big") - 1] = reply
    client.close()
    path.count(len(identifiers))
    assert answers.keys() == set(range(len(identifiers)))
    for n, identifier in enumerate(identifiers):  # taking all of them to pieces would cost more than asking them
        reply, expected = answers[n], path.rows[identifier]
        assert int.from_bytes(reply[24:28], "big") == 1
        assert reply.find(identifier.encode()) == 48
        assert all(text.encode() in reply for text in expected.values())
        assert "号线".encode() not in reply, "the private production line is not shown"
        assert n % 20 or read_values(reply) == expected


def test_identifiers_resolve_over_udp(path: Journey) -> None:
    """From several sockets, so that each worker is asked; loss on the loopback would be a defect."""
    sample = list(path.rows)[::20]
    clients = [path.world.connect_udp() for _ in range(16)]
    for n, identifier in enumerate(sample):
        client = clients[n % len(clients)]
        client.send(encode_question(identifier, n + 1))
        reply = client.receive()
        assert get_code(reply) == 1
        assert read_values(reply) == path.rows[identifier]
    for client in clients:
        client.close()
    path.count(len(sample))


def test_a_question_for_what_is_private_is_refused(path: Journey) -> None:
    identifier = next(iter(path.rows))
    with path.world.connect_http() as client:
        answer = client.ask(f"{locate(identifier)}?type={PRIVATE}")
        assert (answer.status, answer.document["responseCode"]) == (403, 402)
        both = client.ask(f"{locate(identifier)}?type={PRIVATE}&type=model")
    assert both.values == {"model": path.rows[identifier]["model"]}, "silently left out beside what is public"
    tcp = path.world.connect_tcp()
    tcp.send(encode_question(identifier, types=(PRIVATE,)))
    assert get_code(tcp.receive()) == 402
    tcp.close()
    path.count(3, ok=1)


def test_retiring_restoring_and_freezing_reach_every_worker_at_once(path: Journey) -> None:
    identifier, other = list(path.rows)[100:102]
    shown = path.rows[identifier]
    steps: list[tuple[list[str], tuple[int, dict[str, str], str]]] = [
        (["retire", identifier, "--successor", other], (100, {}, "")),
        (["restore", identifier], (1, shown, "")),
        (["freeze", identifier, "--notice", "召回"], (1, shown, "召回")),
        (["unfreeze", identifier], (1, shown, "")),
    ]
    with path.world.connect_to_every_worker() as workers:
        assert workers.count() == 4
        ask(path, workers, identifier)
        for command, expected in steps:
            path.world.command(*command)
            wait_for_all(path, workers, identifier, expected)
            if command[0] == "retire":
                with path.world.connect_http() as client:
                    gone = client.ask(f"/{PREFIX}/{quote(identifier.partition('/')[2], safe='')}")
                assert (gone.status, gone.document["successor"]) == (410, other)
                path.count(1, ok=0)


def ask(path: Journey, workers: Workers, identifier: str) -> dict[str, tuple[int, dict[str, str], str]]:
    answers = workers.ask(identifier)
    path.count(len(answers), ok=sum(code == 1 for code, _, _ in answers.values()))
    return answers


def wait_for_all(path: Journey, workers: Workers, identifier: str, expected: tuple[int, dict[str, str], str]) -> None:
    """Until every worker answers so; how long it took goes into the notes."""
    started = time.monotonic()
    wait_until(lambda: set(map(repr, ask(path, workers, identifier).values())) == {repr(expected)})
    path.notes.append(f"{expected[0]} {expected[2]} seen everywhere after {time.monotonic() - started:.2f} s")


@pytest.mark.parametrize(("kind", "media"), [("svg", "image/svg+xml"), ("png", "image/png")])
def test_the_printed_code_leads_to_the_identifier(path: Journey, kind: str, media: str) -> None:
    identifier = next(i for i in path.rows if " " in i)
    page = f"/{PREFIX}/{quote(identifier.partition('/')[2], safe='')}"
    with path.world.connect_http() as client:
        drawn = client.ask(f"{page}?qr={kind}")
    assert (drawn.status, drawn.headers["content-type"].partition(";")[0]) == (200, media)
    if kind == "svg":
        assert drawn.body.rstrip().endswith(b"</svg>")
        return
    (code,) = zxingcpp.read_barcodes(read_png(drawn.body))
    address = urlsplit(code.text)
    assert (address.hostname, address.port) == (HOST, path.world.http_port)
    with path.world.connect_http() as client:
        scanned = client.ask(address.path)
        person = client.ask(address.path, "GET", "Accept: text/html", "Accept-Language: en")
    assert scanned.values == path.rows[identifier]
    assert path.rows[identifier]["model"] in person.body.decode()
    path.count(2)


def read_png(data: bytes) -> Any:
    """The picture as rows of grey bytes; only what our codes are: one bit per pixel, rows as they are or repeated."""
    width, height, depth = *struct.unpack_from(">II", data, 16), data[24]
    packed, at = b"", 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + size]
        at += size + 12
    rows, stride = zlib.decompress(packed), (width + 7) // 8 + 1
    assert depth == 1
    grey, line = bytearray(), ""
    for start in range(0, height * stride, stride):
        if rows[start] == 0:
            line = f"{int.from_bytes(rows[start + 1 : start + stride], 'big'):0{8 * (stride - 1)}b}"[:width]
        else:  # filter "up", and no difference
            assert rows[start] == 2
            assert not any(rows[start + 1 : start + stride])
        grey += bytes(255 * (bit == "1") for bit in line)
    return memoryview(grey).cast("B", (height, width))


def test_a_partners_client_retrieves_a_record(path: Journey) -> None:
    identifier = next(i for i in path.rows if i.isascii() and "%" not in i and "#" not in i and " " not in i)
    url = f"http://{HOST}:{path.world.http_port}"
    client = PyHandleClient("rest").instantiate_for_read_access(handle_server_url=url)
    record = client.retrieve_handle_record(identifier)
    assert {name: text for name, text in record.items() if name in COLUMNS.values()} == path.rows[identifier]
    assert client.get_value_from_handle(identifier, "model") == path.rows[identifier]["model"]
    assert client.retrieve_handle_record(f"{PREFIX}/nothing-of-the-kind") is None
    path.count(3, ok=2)


def test_a_head_has_the_length_of_the_body_and_the_connection_stays_usable(path: Journey) -> None:
    identifier = next(iter(path.rows))
    with path.world.connect_http() as client:
        whole = client.ask(locate(identifier))
        head = client.ask(locate(identifier), "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, str(len(whole.body)))
        assert client.ask(locate(identifier)).body == whole.body
    path.count(3)


def test_a_client_that_wants_the_connection_closed_gets_that(path: Journey) -> None:
    identifier = next(iter(path.rows))
    with path.world.connect_http() as client:
        client.ask(locate(identifier))  # cached, and its head judged: the short way is open
        answer = client.ask(locate(identifier), "GET", "Connection: close")
        assert answer.values == path.rows[identifier]
        assert client.is_closed()
    with path.world.connect_http() as client:
        client.send(f"GET {locate(identifier)} HTTP/1.0\r\n\r\n".encode())
        assert client.receive().status == 200
        assert client.is_closed(), "HTTP/1.0 closes unless asked otherwise"
    path.count(3)


def test_pipelined_questions_are_answered_in_order(path: Journey) -> None:
    """Known and unknown ones mixed, so that short and long way and the database take turns."""
    known = list(path.rows)[:50]
    asked = [name for pair in zip(known, [f"{PREFIX}/none-{n}" for n in range(50)], strict=True) for name in pair]
    with path.world.connect_http() as client:
        client.send(b"".join(f"GET {locate(name)} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for name in asked))
        answers = [client.receive() for _ in asked]
    assert [answer.document["handle"] for answer in answers] == asked
    assert [answer.document["responseCode"] for answer in answers] == [1, 100] * 50
    path.count(100, ok=50)


def test_questions_may_arrive_in_pieces_on_either_port(path: Journey) -> None:
    identifier = next(iter(path.rows))
    message = encode_question(identifier, 7)
    tcp = path.world.connect_tcp()
    tcp.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in message:
        tcp.send(bytes([byte]))
    assert read_values(tcp.receive()) == path.rows[identifier]
    tcp.close()
    request = f"GET {locate(identifier)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with HttpClient(path.world.http_port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begun, ended in pairwise([*range(0, len(request), 5), len(request)]):
            client.send(request[begun:ended])
        assert client.receive().values == path.rows[identifier]
    path.count(2)


def test_everything_that_was_asked_is_counted_and_nothing_else(path: Journey) -> None:
    """The last test of the path: the figures equal what the clients listed."""
    path.world.wait_for_stats(
        PREFIX,
        registered_total=len(path.rows),
        registered_live=len(path.rows),
        resolutions=path.asked,
        resolutions_ok=path.ok,
    )
    path.world.check_recomputed()
    assert "error" not in path.world.examine().values()
    print(f"\n{path.asked} questions, {path.ok} answered with values; {'; '.join(path.notes)}")
