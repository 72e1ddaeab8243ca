"""Both HTTP ports speak TLS: on the short way, on the long way, and across a change of the certificate."""

import asyncio
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import node.tls
from node.tls import TlsFiles, check_files, read_end, renew_certificate, serve_renewing
from registry.api.state import RegistryState, open_pool
from registry.app import create_app, make_server
from resolver.worker import WorkerConfig, serve_worker
from schemas.errors import SetupError
from schemas.segments import SegmentWriter
from tests.certificates import make_certificate
from tests.node.serving import serve_app
from tests.registry.api_world import make_config
from tests.registry.issuing_world import make_prefix

PATIENCE_SECONDS = 30.0


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles(*make_certificate(tmp_path, days=90, name="first"))


class Client:
    """One connection, blocking; `subject` is the name in the certificate that was shown."""

    def __init__(self, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        opened = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self._socket = context.wrap_socket(opened, server_hostname="localhost")
        self.version = self._socket.version()

    def ask(self, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
        lines = [f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        status, *rest = head.decode().split("\r\n")
        found = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        while len(body) < int(found["content-length"]):
            body += self._receive()
        return int(status.split()[1]), found, body

    def read_certificate(self) -> bytes:
        return self._socket.getpeercert(binary_form=True) or b""

    def _receive(self) -> bytes:
        data = self._socket.recv(65_536)
        assert data, "closed"
        return data

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def run_worker(dsn: str, directory: Path, files: TlsFiles) -> AsyncIterator[int]:
    """In a task of this process; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    ready = asyncio.Event()
    config = WorkerConfig(dsn, directory / "log", http_sockets=[listening])
    task = asyncio.create_task(serve_renewing(lambda tls: serve_worker(replace(config, tls=tls), ready), files))
    try:
        await asyncio.wait_for(ready.wait(), PATIENCE_SECONDS)
        yield listening.getsockname()[1]
    finally:
        os.kill(os.getpid(), 15)  # the worker's own handler: it stops in order
        await asyncio.wait_for(task, PATIENCE_SECONDS)


@pytest_asyncio.fixture
async def record(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        if await conn.fetchval("SELECT count(*) FROM prefixes WHERE prefix = '88.101.5'"):
            return
        await make_prefix(conn)


async def test_the_resolver_answers_over_tls_on_both_ways(
    database_url: str, files: TlsFiles, tmp_path: Path, record: None
) -> None:
    async with run_worker(database_url, tmp_path, files) as port:

        def ask() -> list[tuple[int, dict[str, str], bytes]]:
            with closing(Client(port)) as client:
                assert client.version in ("TLSv1.2", "TLSv1.3")
                path = "/api/handles/88.101.5/none"
                asked = [client.ask(path) for _ in range(3)]  # judged, then short
                return [*asked, client.ask(path, "X-Request-Id: me"), client.ask("/api/sessions")]

        *found, with_id, secure = await asyncio.to_thread(ask)
        assert {(status, json.loads(body)["responseCode"]) for status, _, body in found} == {(404, 100)}
        assert {one["strict-transport-security"] for _, one, _ in (*found, with_id, secure)} == {"max-age=31536000"}
        assert (with_id[0], with_id[1]["x-request-id"]) == (404, "me")
        assert "x-request-id" not in found[0][1]
        assert json.loads(secure[2])["responseCode"] != 402, "over TLS nobody is told to use TLS"


async def test_plain_http_on_a_port_of_tls_gets_nothing(
    database_url: str, files: TlsFiles, tmp_path: Path, record: None
) -> None:
    async with run_worker(database_url, tmp_path, files) as port:

        def ask() -> bytes:
            with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
                client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                try:
                    return client.recv(100)
                except ConnectionResetError:
                    return b""

        assert not (await asyncio.to_thread(ask)).startswith(b"HTTP")


@pytest_asyncio.fixture
async def registry(database_url: str, files: TlsFiles, tmp_path: Path) -> AsyncIterator[tuple[int, Any]]:
    config = make_config(database_url, tmp_path)
    segments = SegmentWriter(config.log_dir, "registry-test", 1 << 16)
    async with open_pool(database_url) as opened:
        context = files.make_context()
        config = replace(config, tls=context)
        app = create_app(RegistryState(config, opened, segments))
        async with serve_app(make_server(app, config)) as port:
            yield port, context
    segments.close()


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(node.tls, "LOOK_SECONDS", 0.02)
    yield


async def test_a_new_certificate_is_taken_without_dropping_a_connection(
    registry: tuple[int, ssl.SSLContext], files: TlsFiles, tmp_path: Path, quickly: None
) -> None:
    port, context = registry
    renewing = asyncio.create_task(renew_certificate(context, files))

    def read_new(old: bytes) -> bytes:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with closing(Client(port)) as client:
                if (shown := client.read_certificate()) != old:
                    return shown
        return old

    old_client = await asyncio.to_thread(Client, port)
    with closing(old_client):
        assert (await asyncio.to_thread(old_client.ask, "/health"))[0] == 200
        first = old_client.read_certificate()
        files.key.write_text("no key")  # half of the change: refused, and the old pair goes on
        await asyncio.sleep(0.1)
        with closing(await asyncio.to_thread(Client, port)) as between:
            assert between.read_certificate() == first
        make_certificate(tmp_path, days=365, name="second")
        assert await asyncio.to_thread(read_new, first) != first
        assert (await asyncio.to_thread(old_client.ask, "/health"))[0] == 200, "the old connection goes on"
    assert read_end(files.certificate).timestamp() > time.time() + 300 * 86_400
    renewing.cancel()


async def test_on_sighup_it_is_taken_at_once(
    database_url: str, files: TlsFiles, tmp_path: Path, record: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.tls, "LOOK_SECONDS", 3_600.0)

    def read_certificate(port: int) -> bytes:
        with closing(Client(port)) as client:
            return client.read_certificate()

    async with run_worker(database_url, tmp_path, files) as port:
        first = await asyncio.to_thread(read_certificate, port)
        make_certificate(tmp_path, days=365, name="second")
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await asyncio.to_thread(read_certificate, port) == first:
                await asyncio.sleep(0.02)


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path, files: TlsFiles) -> None:
    (tmp_path / "other").mkdir()
    other = TlsFiles(*make_certificate(tmp_path / "other", days=1))
    with pytest.raises(ssl.SSLError):
        TlsFiles(files.certificate, other.key).make_context()
    with pytest.raises(FileNotFoundError):
        TlsFiles(tmp_path / "none", files.key).make_context()


@pytest.mark.parametrize("broken", ["certificate", "key"])
@pytest.mark.parametrize("content", [None, b"", b"no PEM", "another"])
def test_files_that_cannot_be_used_are_said_before_anything_starts(
    tmp_path: Path, files: TlsFiles, broken: str, content: bytes | str | None
) -> None:
    check_files(files)
    check_files(None)
    path: Path = getattr(files, broken)
    if content is None:
        path.unlink()
    else:
        (tmp_path / "other").mkdir()
        other = TlsFiles(*make_certificate(tmp_path / "other", days=90))
        path.write_bytes(getattr(other, broken).read_bytes() if isinstance(content, str) else content)
    with pytest.raises(SetupError, match=str(path)) as refused:
        check_files(files)
    assert refused.value.code == "tls_unusable"


def test_a_key_with_a_passphrase_asks_nobody(files: TlsFiles) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    encryption = BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    with pytest.raises(SetupError):
        check_files(files)


async def test_the_registry_echoes_the_requests_id_in_head_and_problem(registry: tuple[int, Any]) -> None:
    def ask(*headers: str) -> tuple[str, str]:
        with closing(Client(registry[0])) as client:
            _, found, body = client.ask("/api/v1/identifiers/1/2", *headers)
            assert found["strict-transport-security"] == "max-age=31536000"
            return found["x-request-id"], json.loads(body)["request_id"]

    assert await asyncio.to_thread(ask, "X-Request-Id: order-17") == ("order-17", "order-17")
    made, shown = await asyncio.to_thread(ask, "X-Request-Id: not sane")
    assert made == shown != "not sane"
