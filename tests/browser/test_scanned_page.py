"""What a person sees after a scan, in a real browser: Debian's chromium, headless."""

import asyncio
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.browser.walking import find_browser
from tests.resolver.rows import PUMP, add_owner, add_prefix, add_record, add_template, empty_tables

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--window-size=390,844",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def rows(database_url: str) -> AsyncIterator[None]:
    conn = await asyncpg.connect(database_url)
    await empty_tables(conn)
    prefix_id = await add_prefix(conn, "88.101.5")
    await add_owner(conn, prefix_id, "示例水泵厂")
    template = await add_template(conn, prefix_id, "88.101.5")
    secret = [*PUMP, (2004, "cost", "123.45")]
    await add_record(conn, prefix_id, "PUMP-1", template.template_id, secret)
    await add_record(conn, prefix_id, "FROZEN", template.template_id, secret, state=1, note="召回：请停止使用")
    await add_record(
        conn, prefix_id, "EVIL", template.template_id, [(2000, "product_name", "<script>document.title=1</script>")]
    )
    await conn.close()
    yield None


@pytest.fixture(scope="module")
def site(rows: None, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"database_url": database_url, "http_port": port, "log_dir": str(tmp_path_factory.mktemp("log"))}
    worker = subprocess.Popen([sys.executable, "-m", "tests.resolver.run_worker", json.dumps(options)], cwd=ROOT)
    base = f"http://127.0.0.1:{port}"
    try:
        while not answers(base):
            assert worker.poll() is None, "the worker did not start"
        yield base
    finally:
        worker.terminate()
        worker.wait(30)


def answers(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=5) as health:
            return bool(health.status == 200)
    except OSError:
        return False


async def open_page(url: str, profile: Path, language: str = "zh-CN") -> tuple[str, str]:
    """The page as the browser built it, and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        find_browser(), *FLAGS, f"--user-data-dir={profile}", f"--accept-lang={language}", "--dump-dom", url,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        page, log = await process.communicate()
    return page.decode(), "\n".join(line for line in log.decode().splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize(
    ("language", "path", "seen"),
    [
        ("zh-CN", "PUMP-1", ["水泵", "产品名称", "离心泵", "示例水泵厂"]),
        ("en-US", "PUMP-1", ["Pump", "Product name", "离心泵"]),
        ("zh-CN", "FROZEN", ["召回：请停止使用", "离心泵"]),
        ("zh-CN", "nope", ["没有找到标识"]),
        ("zh-CN", "EVIL", ["&lt;script&gt;"]),
    ],
)
async def test_a_scan_shows_the_fields_in_the_readers_language(
    site: str, tmp_path: Path, language: str, path: str, seen: list[str]
) -> None:
    page, complaints = await open_page(f"{site}/88.101.5/{path}", tmp_path, language)
    for text in seen:
        assert text in page
    assert complaints == "", "the page's own policy must allow its own style, and nothing may run"
    assert "123.45" not in page, "a private value is nobody else's"


def test_the_page_weighs_little_and_needs_no_cookies(site: str) -> None:
    request = urllib.request.Request(f"{site}/88.101.5/PUMP-1", headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body, headers = answer.read(), dict[str, Any](answer.headers)
    assert len(body) <= 60_000
    assert not {name for name in headers if name.lower() == "set-cookie"}
    assert b"http://" not in body.replace(b'href="http', b""), "nothing is loaded from elsewhere"
