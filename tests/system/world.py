"""A node under test as its neighbours meet it: commands, API, sockets; and clients that list their own questions."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from node.postgres import get_dsn
from schemas.errors import SetupError
from schemas.handle_bodies import decode_handle_values
from schemas.handle_messages import decode_message, split_digest
from schemas.values import Value
from tests.resolver.handle_server import TcpClient, UdpClient, encode_question, get_code
from tests.system.accounts import Account
from tests.system.running_node import PATIENCE_SECONDS, RunningNode, find_children, read_command, wait_until

HOST = "127.0.0.1"
NOT_NOW = 3  # response code
_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"


class World(RunningNode):
    """`idnode up`, or parts of it, with settings of its own."""

    def __init__(self, data_dir: Path, account: Account, **settings: str) -> None:
        super().__init__(data_dir, account)
        self._settings = settings
        self.keys: dict[str, str] = {}  # prefix → what its enterprise sends as Authorization

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self._settings

    @property
    def dsn(self) -> str:
        return self._settings.get("IDNODE_DATABASE_URL") or get_dsn(None, self.data_dir)

    def command(self, *arguments: object) -> Any:
        """The JSON that a command prints; it must succeed."""
        done = self.run(*map(str, arguments), "--json")
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def examine(self) -> dict[str, str]:
        """What the doctor says: check → state."""
        return {finding["check"]: finding["state"] for finding in json.loads(self.run("doctor", "--json").stdout)}

    def add_enterprise(self, prefix: str) -> Any:
        """What `idnode enterprise add` answers; its key is remembered."""
        added = self.command(
            "enterprise", "add", "--name", f"Works {prefix}", "--uscc", make_uscc(len(self.keys) + 1),
            "--prefix", prefix, "--area", "宿城区", "--industry", "C/34/344/3441", "--approve",
        )  # fmt: skip
        assert added["prefix"] == prefix
        self.keys[prefix] = f"Bearer {added['access_key']}.{added['secret_key']}"
        return added

    def api(self, method: str, path: str, prefix: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a call to `/api/v1`, made by the enterprise of that prefix. Raises OSError."""
        connection = HTTPConnection(HOST, self.registry_port, timeout=PATIENCE_SECONDS)
        try:
            head = {"Authorization": self.keys[prefix], "Content-Type": "application/json"} | headers
            connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), head)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(content)

    def read_text(self, prefix: str, path: str) -> str:
        """What a GET answers that is no JSON."""
        connection = HTTPConnection(HOST, self.registry_port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", f"/api/v1{path}", headers={"Authorization": self.keys[prefix]})
            answer = connection.getresponse()
            content = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, content
        return content

    def post_file(self, prefix: str, file: Path, form: dict[str, str]) -> str:
        """Start an import; the job's id."""
        fields = [f'name="{name}"\r\n\r\n{text}\r\n' for name, text in form.items()]
        fields.append(f'name="file"; filename="{file.name}"\r\n\r\n{file.read_text(encoding="utf-8")}\r\n')
        body = "".join(f"--field\r\nContent-Disposition: form-data; {part}" for part in fields) + "--field--\r\n"
        connection = HTTPConnection(HOST, self.registry_port, timeout=PATIENCE_SECONDS)
        head = {"Authorization": self.keys[prefix], "Content-Type": "multipart/form-data; boundary=field"}
        try:
            connection.request("POST", "/api/v1/jobs", body.encode(), head)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 201, content
        return str(content["job_id"])

    def read_log(self, name: str) -> str:
        """The end of what a process printed, for the report of a failure."""
        with suppress(FileNotFoundError):
            return (self.data_dir / "logs" / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-6_000:]
        return ""

    def fetch_value(self, statement: str) -> Any:
        """Straight from the database, for what no interface shows; None while it is away."""
        with closing(asyncio.new_event_loop()) as loop:  # asyncio.run would take away the session's own
            return loop.run_until_complete(self._fetch_value(statement))

    async def _fetch_value(self, statement: str) -> Any:
        try:
            connection = await asyncpg.connect(self.dsn, timeout=PATIENCE_SECONDS)
        except (OSError, SetupError, asyncpg.PostgresError):
            return None
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    def change(self, identifier: str, act: str = "", body: Any = None) -> float:
        """A write that must succeed: an action, or new values; when it was acknowledged (monotonic)."""
        path = "/identifiers/" + quote(identifier, safe="/")
        prefix = identifier.partition("/")[0]
        status, answer = self.api("POST" if act else "PATCH", path + (act and f"/{act}"), prefix, body or {})
        assert status == 200, answer
        return time.monotonic()

    def read_stats(self, prefix: str) -> dict[str, int]:
        """The enterprise's line."""
        return next((row for row in self.command("stats", "--by", "enterprise") if row["prefix"] == prefix), {})

    def wait_for_stats(self, prefix: str, **expected: int) -> None:
        """Until these figures stand there; AssertionError with what stood there last."""
        deadline, row = time.monotonic() + PATIENCE_SECONDS, {}
        while time.monotonic() < deadline:
            row = self.read_stats(prefix)
            if all(row.get(name) == count for name, count in expected.items()):
                return
            time.sleep(0.5)  # a command is dear, and the agent counts twice a second
        raise AssertionError(f"expected {expected}, found {row}")

    def check_recomputed(self) -> None:
        """`idnode stats recompute` finds no difference, and nothing missing; it may have to wait for the agent."""
        found: Any = None

        def agrees() -> bool:
            nonlocal found
            found = json.loads(self.run("stats", "recompute", "--json").stdout)
            return bool(found["complete"] and not found["differences"] and not found["uncounted_segments"])

        try:
            wait_until(agrees, 0.5)
        except AssertionError:
            raise AssertionError(found) from None

    def kill(self, name: str) -> None:
        """kill -9, and wait for the successor."""
        before = self.find_processes()[name]
        os.kill(before, signal.SIGKILL)
        self.wait_for_successor(name, before)

    def wait_for_successor(self, name: str, before: int) -> int:
        """Its pid."""
        return wait_until(lambda: (pid := self.find_processes().get(name)) != before and pid)  # type: ignore[return-value]

    def wait_until_well(self) -> None:
        """No error, as the doctor sees it."""
        wait_until(lambda: "error" not in self.examine().values(), 0.5)

    def list_postgres(self) -> list[int]:
        """The postmaster, then its children."""
        postmaster = self.find_processes()["postgres"]
        return [postmaster, *find_children(postmaster)]

    def list_workers(self) -> dict[str, int]:
        return {name: pid for name, pid in self.find_processes().items() if name.startswith("resolver")}

    def find_job_child(self) -> int | None:
        """The process of the import that runs now."""
        children = find_children(self.find_processes().get("registry", -1))
        return next((pid for pid in children if "registry.job_child" in read_command(pid)), None)

    # Clients

    def connect_http(self) -> "HttpClient":
        return HttpClient(self.http_port)

    def connect_tcp(self) -> TcpClient:
        return TcpClient(self.handle_port)

    def connect_udp(self) -> UdpClient:
        return UdpClient(self.handle_port)

    def connect_to_every_worker(self) -> "Workers":
        """One connection per worker and protocol."""
        return Workers(self)

    def resolve(self, identifier: str) -> "HttpAnswer":
        """One question over HTTP on a connection of its own."""
        with self.connect_http() as client:
            return client.ask(locate(identifier))


@contextmanager
def run_world(data_dir: Path, account: Account, **settings: str) -> Iterator[World]:
    """Not started yet. Nothing of it survives the block."""
    world = World(data_dir, account, **settings)
    try:
        yield world
    finally:
        with suppress(ProcessLookupError, KeyError, AssertionError):
            for pid in world.list_postgres():
                os.kill(pid, signal.SIGCONT)  # what a failing test left stopped
        with suppress(AssertionError):
            world.stop(signal.SIGTERM)


def make_uscc(number: int) -> str:
    """A code with the right check character (GB 32100-2015 §5)."""
    body = f"91321302{number:09d}"
    total = sum(_USCC.index(character) * pow(3, at, 31) for at, character in enumerate(body))
    return body + _USCC[-total % 31]


def locate(identifier: str) -> str:
    """Its path in the Handle REST API, slashes of the suffix encoded."""
    prefix, _, suffix = identifier.partition("/")
    return f"/api/handles/{prefix}/{quote(suffix, safe='')}"


# HTTP ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def values(self) -> dict[str, Any]:
        """Type → value, system values left out."""
        shown = self.document.get("values", [])
        return {value["type"]: value["data"]["value"] for value in shown if value["index"] >= 2000}


class HttpClient:
    """One connection, byte by byte as the test wants it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, target: str, method: str = "GET", *headers: str) -> HttpAnswer:
        lines = [f"{method} {target} HTTP/1.1", "Host: test", *headers, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))
        return self.receive(is_head=method == "HEAD")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, is_head: bool = False) -> HttpAnswer:
        """The next answer; ConnectionError if the server closed instead."""
        while (at := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill()
        lines = self._buffer[:at].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        size = 0 if is_head else int(headers.get("content-length", 0))
        while len(self._buffer) < at + 4 + size:
            self._fill()
        body = self._buffer[at + 4 : at + 4 + size]
        self._buffer = self._buffer[at + 4 + size :]
        return HttpAnswer(int(lines[0].split(" ")[1]), headers, body)

    def is_closed(self) -> bool:
        """Whether the server closes now, having said nothing more."""
        try:
            return not self._buffer and not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def _fill(self) -> None:
        data = self.socket.recv(262_144)
        if not data:
            raise ConnectionError("closed")
        self._buffer += data


def read_values(reply: bytes) -> dict[str, str]:
    """What a Handle answer says: type → text, system values left out."""
    values = decode_handle_values(split_digest(decode_message(reply))[1]).values
    return {value.type: value.data.decode() for value in values if value.index >= 2000}


def read_all_values(reply: bytes) -> list[Value]:
    return list(decode_handle_values(split_digest(decode_message(reply))[1]).values)


# Every worker ----------------------------------------------------------------------------------------------------


@dataclass
class Workers:
    """A connection to each worker over HTTP and over Handle TCP, so that none can hide behind another."""

    world: World
    http: dict[str, HttpClient] = field(default_factory=dict)
    tcp: dict[str, TcpClient] = field(default_factory=dict)

    def __enter__(self) -> "Workers":
        names = self.world.list_workers()
        wait_until(lambda: self._connect(names))
        return self

    def __exit__(self, *_: object) -> None:
        for opened in [c.socket for c in self.http.values()] + [c.socket for c in self.tcp.values()]:
            opened.close()

    def _connect(self, names: dict[str, int]) -> bool:
        if len(self.http) < len(names):
            client = self.world.connect_http()
            client.ask("/health")
            self._keep(self.http, client, names, self.world.http_port)
        if len(self.tcp) < len(names):
            other = self.world.connect_tcp()
            other.send(encode_question(b"0"))  # a heartbeat, counted as a probe
            other.receive()
            self._keep(self.tcp, other, names, self.world.handle_port)
        return len(self.http) == len(self.tcp) == len(names)

    @staticmethod
    def _keep(kept: dict[str, Any], client: Any, names: dict[str, int], port: int) -> None:
        inode = find_inode(port, client.socket.getsockname()[1])
        name = next(name for name, pid in names.items() if inode in list_sockets(pid))
        if name in kept:
            client.socket.close()
        else:
            kept[name] = client

    def ask(self, identifier: str) -> dict[str, tuple[int, dict[str, str], str]]:
        """Response code, values and notice that each worker answers now, by worker and protocol."""
        answers = {}
        for name, client in self.http.items():
            answer = client.ask(locate(identifier))
            notice = next((v["data"]["value"] for v in answer.document.get("values", []) if v["type"] == "NOTICE"), "")
            answers[f"{name} HTTP"] = (answer.document["responseCode"], answer.values, notice)
        for name, other in self.tcp.items():
            other.send(encode_question(identifier))
            reply = other.receive()
            code = get_code(reply)
            values = read_all_values(reply) if code == 1 else []
            notice = next((value.data.decode() for value in values if value.type == "NOTICE"), "")
            shown = {value.type: value.data.decode() for value in values if value.index >= 2000}
            answers[f"{name} Handle"] = (code, shown, notice)
        return answers

    def count(self) -> int:
        """How many questions one `ask` is."""
        return len(self.http) + len(self.tcp)


def find_inode(port: int, peer_port: int) -> str:
    """Of the server's end of a connection (proc(5), /proc/net/tcp)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port and int(fields[2].split(":")[1], 16) == peer_port:
            return fields[9]
    raise AssertionError(f"no connection from {peer_port} to {port}")


def list_sockets(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    return found
