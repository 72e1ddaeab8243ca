"""Every alarm is caused by a real fault, reaches a real receiver, and its paragraph in the operator's guide works."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from node.alarms import CAUSES
from node.backup import back_up
from node.postgres import get_dsn
from node.secret_key import load_key_ring
from node.settings import NodeSettings, load_settings
from tests import database
from tests.certificates import make_certificate
from tests.node.test_alarms import run_hook, run_time_server
from tests.resolver.handle_server import TcpClient, encode_question
from tests.system.accounts import ROOT, use_own
from tests.system.running_node import find_children, wait_until
from tests.system.world import World, run_world

GUIDE, CHINESE_GUIDE = ROOT / "docs" / "operations.md", ROOT / "docs" / "operations.zh-CN.md"
PREFIX = "88.101.61"
# The others are caused in tests/node: test_alarms.py (it takes a minute), test_plausible_time.py (it takes days),
# test_monthly_report.py (it takes weeks).
CAUSED_HERE = [cause for cause in CAUSES if cause not in ("agent_silent", "clock_jumped", "report_overdue")]

Got = list[tuple[dict[str, str], bytes]]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with database.open_data_dir() as made:
        yield made


@pytest.fixture(scope="module")
def backup(place: Path, server_dsn: str) -> Path:
    """Of a node that holds nothing yet."""
    with pytest.MonkeyPatch.context() as patch, closing(asyncio.new_event_loop()) as loop:
        dsn = loop.run_until_complete(database.create_database(server_dsn))
        patch.setenv("IDNODE_DATA_DIR", str(place / "before"))
        patch.setenv("IDNODE_DATABASE_URL", dsn)
        settings = load_settings(NodeSettings)
        load_key_ring(settings.secret_key_path)
        loop.run_until_complete(back_up(settings, place / "backup"))
        loop.run_until_complete(database.drop_database(server_dsn, dsn))
    return place / "backup"


@pytest.fixture(scope="module")
def node(place: Path, backup: Path) -> Iterator[tuple[World, Got]]:
    """A restored node with little patience, a certificate that ends soon and a clock that is 90 seconds off."""
    certificate, key = make_certificate(place, days=5)
    with ExitStack() as stack:
        url, got = stack.enter_context(run_hook())
        settings = {
            "ALARM_WEBHOOK_URL": url, "ALARM_LOOK_SECONDS": "0.5", "ALARM_DISK_PERCENT": "99.99",
            "ALARM_COLD_ANSWERS": "20", "TLS_CERTIFICATE": str(certificate), "TLS_KEY": str(key),
            "TIME_SERVER": stack.enter_context(run_time_server(90.0)),
        }  # fmt: skip
        variables = {f"IDNODE_{name}": value for name, value in settings.items()}
        world = stack.enter_context(run_world(place / "node", use_own(), **variables))
        done = world.run("restore", str(backup))
        assert done.returncode == 0, done.stderr
        world.start()
        yield world, got


def list_told(got: Got) -> set[str]:
    return {document["cause"] for _, body in got if (document := json.loads(body))["kind"] == "raised"}


def wait_for(got: Got, *causes: str) -> None:
    try:
        wait_until(lambda: list_told(got) >= set(causes))
    except AssertionError:
        raise AssertionError(f"told of {list_told(got)}, expected {causes}") from None


async def run_sql(dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


def execute(world: World, statement: str) -> None:
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(run_sql(get_dsn(None, world.data_dir), statement))


REFUSED = (
    "INSERT INTO outbox (table_name, period, prefix, part, revision, parts, path, state, content_sha256, row_count,"
    " created, waiting_since, next_at) VALUES ('T3', '2026-03-01', '88.101', 0, 1, 1, '/x', 'refused', '', 1,"
    " now(), now(), now())"
)

REPORTED = (
    "INSERT INTO problem_reports (prefix_id, suffix_key, identifier, kind, description, state, source_hash, created,"
    f" changed) SELECT prefix_id, 'P1', '{PREFIX}/P1', 'counterfeit', '', 'open', '', now(), now() FROM prefixes"
    f" WHERE prefix = '{PREFIX}'"
)


@contextmanager
def asking(world: World) -> Iterator[None]:
    """Somebody asks for something new all the time, so fast that a look finds enough and the machine has no less."""
    stop = threading.Event()

    def ask() -> None:
        client, number = TcpClient(world.handle_port), 0
        while not stop.wait(0.005):
            client.send(encode_question(f"{PREFIX}/q{number}"))
            client.receive()
            number += 1
        client.socket.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def hold_records(world: World) -> Iterator[None]:
    """Somebody's transaction keeps everybody from reading records."""

    async def hold(conn: asyncpg.Connection) -> None:
        await conn.execute("BEGIN; LOCK TABLE records IN ACCESS EXCLUSIVE MODE")

    with closing(asyncio.new_event_loop()) as loop:
        conn = loop.run_until_complete(asyncpg.connect(get_dsn(None, world.data_dir)))
        loop.run_until_complete(hold(conn))
        try:
            yield
        finally:
            loop.run_until_complete(conn.close())


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_faults_reach_the_receiver_each_once(node: tuple[World, Got]) -> None:
    world, got = node
    wait_for(got, "disk_full", "certificate_expiring", "clock_off", "restored")
    check_paragraphs(
        world, "disk_full", "certificate_expiring", "clock_off", "restored", "agent_silent", "clock_jumped"
    )
    world.add_enterprise(PREFIX)
    with asking(world):
        wait_for(got, "cold_cache")
        check_paragraphs(world, "cold_cache")
        with hold_records(world):
            wait_for(got, "slow_resolution")
            check_paragraphs(world, "slow_resolution")
    for _ in range(3):
        world.kill("resolver-0")
    execute(world, REFUSED)
    execute(world, REPORTED)
    wait_for(got, "worker_restarting", "report_refused", "problem_reported")
    check_paragraphs(world, "worker_restarting", "report_refused", "problem_reported")
    postmaster = world.find_processes()["postgres"]
    with stopped([postmaster, *find_children(postmaster)]):
        wait_for(got, "database_away")
        check_paragraphs(world, "database_away")
        listed = json.loads(world.run("alarm", "list", "--json").stdout)
        assert {alarm["cause"] for alarm in listed} >= {"database_away", "disk_full"}, "without the database, too"
    keys = [(d["cause"], d["subject"]) for _, body in got if (d := json.loads(body))["kind"] == "raised"]
    assert len(keys) == len(set(keys)), "one for each cause and subject"
    assert {cause for cause, _ in keys} == set(CAUSED_HERE)
    assert world.run("alarm", "acknowledge", "restored").returncode == 0
    assert world.run("alarm", "acknowledge", "restored").returncode == 1


def test_sighup_loads_the_certificate_anew_and_ends_nobody(node: tuple[World, Got]) -> None:
    world, _ = node
    before = world.find_processes()
    os.kill(world.pid, signal.SIGHUP)
    wait_until(lambda: all("was loaded anew" in world.read_log(name) for name in ("registry", "resolver-0")))
    assert world.find_processes() == before


def test_a_test_alarm_arrives(node: tuple[World, Got]) -> None:
    world, got = node
    assert world.run("alarm", "test").stdout.strip() == "Sent by webhook."
    assert json.loads(got[-1][1])["kind"] == "test"


# The guide --------------------------------------------------------------------------------------------------------


def read_paragraph(guide: Path, cause: str) -> tuple[list[str], list[str]]:
    """Its commands, and what they print."""
    rest = guide.read_text(encoding="utf-8").partition(f'<a id="{cause}"></a>\n')[2]
    text = re.split("<a id=|\n## ", rest)[0]
    assert text.startswith(f"### {cause}"), cause
    blocks = dict(re.findall(r"```(sh|text)\n(.*?)```", text, re.DOTALL))
    assert blocks.keys() == {"sh", "text"}, cause
    return blocks["sh"].splitlines(), blocks["text"].splitlines()


def check_paragraphs(world: World, *causes: str) -> None:
    """Run the commands as they stand there, and find every line they are said to print."""
    tools = world.data_dir.parent / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "idnode").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m node.cli "$@"\n')
    (tools / "idnode").chmod(0o755)
    environment = world.environment | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    for cause in causes:
        commands, lines = read_paragraph(GUIDE, cause)
        script = "\n".join(commands)
        options = {"capture_output": True, "text": True, "cwd": "/", "env": environment}
        call = partial(subprocess.run, ["bash", "-c", script], **options)
        try:  # what metrics say is as old as the last time their process published them
            wait_until(lambda: not find_missing(lines, call().stdout), 0.5)  # noqa: B023
        except AssertionError:
            done = call()
            raise AssertionError((cause, find_missing(lines, done.stdout), done.stdout, done.stderr)) from None


def find_missing(lines: list[str], printed: str) -> list[str]:
    patterns = (".*".join(map(re.escape, line.split("…"))) for line in lines)
    spaced = (pattern.replace(r"\ \ ", r"\s+").replace(r"\ ", r"\s*") for pattern in patterns)
    return [pattern for pattern in spaced if not re.search(pattern, printed)]


@pytest.mark.parametrize("cause", CAUSES)
def test_both_guides_have_the_same_commands_for_every_alarm(cause: str) -> None:
    assert read_paragraph(GUIDE, cause) == read_paragraph(CHINESE_GUIDE, cause)
