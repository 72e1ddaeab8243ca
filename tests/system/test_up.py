"""`idnode up` from outside: what a newcomer does and sees, and what the node survives."""

import json
import os
import shlex
import signal
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import database
from tests.system.accounts import use_own
from tests.system.running_node import PATIENCE_SECONDS, RunningNode, is_alive, read_memory_bytes, run_node, wait_until

CHILDREN = {"registry", "resolver-0", "resolver-1", "agent", "postgres"}
MEMORY_BYTES = 400 * 1_048_576  # registry, one worker and agent at start


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Short, and reachable for every account."""
    with database.open_data_dir() as made:
        yield made


@pytest.fixture(scope="module")
def node(place: Path) -> Iterator[RunningNode]:
    """A node with the demonstration, run by whoever runs the tests; later tests find it as earlier ones left it."""
    with run_node(place / "own", use_own()) as made:
        made.start("--demo")
        yield made


def find_line(node: RunningNode, start: str) -> str:
    """The rest of the table's line that begins with these words."""
    return next(line.strip().removeprefix(start).strip() for line in node.output if line.strip().startswith(start))


def test_the_table_says_where_everything_is(node: RunningNode) -> None:
    assert "Demonstration: 66 enterprises, 22940 identifiers." in node.printed
    assert find_line(node, "Registry") == f"http://127.0.0.1:{node.registry_port}"
    assert find_line(node, "Resolver (2 workers)") == f"http://127.0.0.1:{node.http_port}"
    assert f"tcp://127.0.0.1:{node.handle_port}" in find_line(node, "Handle protocol")
    assert "IDNODE_PUBLIC_URL is not set" in node.printed
    assert node.find_processes().keys() == CHILDREN


def test_what_the_node_keeps_is_not_for_other_accounts(node: RunningNode) -> None:
    for name in ("logs", "jobs", "run", "resolution-log", "postgres/cluster"):
        assert (node.data_dir / name).stat().st_mode & 0o077 == 0, name
    assert (node.data_dir / "secret.key").stat().st_mode & 0o177 == 0


def test_what_the_table_proposes_works_as_it_stands(node: RunningNode) -> None:
    curl, url = shlex.split(find_line(node, "Resolve over HTTP"))
    assert curl == "curl"
    answer = json.loads(node.get(urllib.parse.urlsplit(url).path))
    assert answer["responseCode"] == 1
    command = shlex.split(find_line(node, "Resolve over Handle"))
    resolved = subprocess.run(command, capture_output=True, text=True, cwd="/", env=node.elsewhere, check=False)
    assert resolved.returncode == 0, resolved.stderr
    assert answer["handle"] in resolved.stdout
    page = node.get(urllib.parse.urlsplit(find_line(node, "Page of one product")).path)
    assert page
    assert b"openapi" in node.get("/docs", node.registry_port)


def test_the_doctor_finds_nothing_wrong(node: RunningNode) -> None:
    done = node.run("doctor", "--json")
    found = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0, [f["message"] for f in found.values() if f["state"] == "error"]
    assert {name for name, finding in found.items() if finding["state"] != "ok"} == {"public_url"}


def test_registry_one_worker_and_agent_are_small_at_start(node: RunningNode) -> None:
    pids = node.find_processes()
    used = {name: read_memory_bytes(pids[name]) for name in ("registry", "resolver-0", "agent")}
    assert sum(used.values()) <= MEMORY_BYTES, used


@pytest.mark.parametrize("name", sorted(CHILDREN))
def test_what_is_killed_is_started_again(node: RunningNode, name: str) -> None:
    before = node.find_processes()
    os.kill(before[name], signal.SIGKILL)
    if name.startswith("resolver"):  # whoever comes meanwhile waits for an answer, and gets one
        with closing(socket.create_connection(("127.0.0.1", node.http_port), PATIENCE_SECONDS)) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
    after = wait_until(lambda: (now := node.find_processes()).keys() == CHILDREN and now[name] != before[name] and now)
    assert {other: pid for other, pid in after.items() if other != name} == {
        other: pid for other, pid in before.items() if other != name
    }, "nothing else was touched"
    wait_until(lambda: node.run("doctor").returncode == 0, 0.5)
    assert json.loads(node.get("/api/handles/88.101.5/0000000001"))["responseCode"] == 1


def test_a_database_whose_socket_was_removed_is_started_again(node: RunningNode) -> None:
    """Its process lives on, but nobody finds it."""
    (node.data_dir / "postgres" / "socket" / ".s.PGSQL.5432").unlink()
    before = node.find_processes()["postgres"]
    wait_until(lambda: node.find_processes().get("postgres", before) != before)
    wait_until(lambda: node.run("doctor").returncode == 0, 0.5)


def test_a_second_node_in_the_same_directory_is_refused(node: RunningNode) -> None:
    done = node.run("up")
    assert done.returncode == 1
    assert f"pid {node.pid}" in done.stderr


def test_ctrl_c_leaves_nothing_behind_and_the_next_start_reuses_the_data(node: RunningNode) -> None:
    assert node.stop(signal.SIGINT) == 0, node.printed
    assert node.find_leftovers() == []
    with closing(socket.socket()) as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", node.http_port))
    node.start("--demo")
    assert "Demonstration: 66 enterprises, 22940 identifiers." in node.printed
    jobs = list((node.data_dir / "jobs").iterdir())
    assert len(jobs) == 2, "the files went in once"


def test_a_killed_supervisor_takes_everything_with_it(node: RunningNode) -> None:
    assert node.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not node.find_leftovers())
    node.start()
    assert json.loads(node.get("/api/handles/88.101.5/0000000001"))["responseCode"] == 1


def test_a_second_ctrl_c_does_not_wait_for_a_process_that_hangs(node: RunningNode) -> None:
    os.kill(node.find_processes()["resolver-0"], signal.SIGSTOP)
    os.kill(node.pid, signal.SIGINT)
    wait_until(lambda: "Stopping" in node.printed)
    assert node.stop(signal.SIGINT) == 0
    assert "Killed resolver-0" in node.printed
    assert node.find_leftovers() == []


@pytest.mark.parametrize("moment", ["Starting the database", "Starting the services"])
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_it_starts_leaves_nothing_behind(node: RunningNode, moment: str, times: int) -> None:
    node.end()
    node.launch()
    wait_until(lambda: moment in node.printed)
    for _ in range(times - 1):
        os.kill(node.pid, signal.SIGINT)
    assert node.stop(signal.SIGINT) == 0, node.printed
    assert node.find_leftovers() == []


def test_whoever_cannot_stop_pressing_ctrl_c_still_gets_an_orderly_end(node: RunningNode) -> None:
    node.end()
    node.launch()
    wait_until(lambda: "Starting the database" in node.printed)
    while is_alive(node.pid):
        os.kill(node.pid, signal.SIGINT)
    assert node.stop(signal.SIGINT) == 0, node.printed
    assert node.find_leftovers() == []


async def test_parts_run_alone_on_a_database_of_their_own(place: Path, server_dsn: str) -> None:
    """As they are deployed on several machines; the address of the database is in nobody's arguments."""
    await database.execute(server_dsn, "CREATE DATABASE parts")
    dsn = database.with_database(server_dsn, "parts")
    with (
        run_node(place / "parts", use_own(), "registry", DATABASE_URL=dsn) as registry,
        run_node(place / "parts", use_own(), "resolver", DATABASE_URL=dsn) as resolver,
        run_node(place / "parts", use_own(), "agent", DATABASE_URL=dsn) as agent,
    ):
        refused = registry.run("registry")
        assert refused.returncode == 1
        assert "idnode migrate" in refused.stderr, "a part alone changes no schema"
        assert registry.run("migrate").returncode == 0
        for part in (registry, resolver, agent):
            part.launch()
        assert wait_until(lambda: "Ctrl-C" in resolver.printed)
        assert wait_until(lambda: "Ctrl-C" in registry.printed)
        assert wait_until(lambda: "Ctrl-C" in agent.printed)
        assert registry.find_processes().keys() == {"registry"}
        assert resolver.find_processes().keys() == {"resolver-0", "resolver-1"}
        assert agent.find_processes().keys() == {"agent"}
        for part in (registry, resolver, agent):
            assert not any("postgresql" in word for words in part.find_leftovers() for word in words)
            assert part.stop(signal.SIGTERM) == 0
            assert part.find_leftovers() == []
