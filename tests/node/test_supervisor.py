"""The pieces the supervisor is made of, and what it refuses: one sentence, the remedy, exit status 1."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import asyncpg
import pytest

from node.child import PAUSES_SECONDS, Child
from node.child_log import LOG_BYTES, ChildLog
from node.cli import explain_file
from node.cli.frame import run, take_language
from node.listening import Place, find_holder, open_sockets
from node.table import format_table, measure_width
from schemas.errors import ServiceError, SetupError
from tests.node.command_line import run_here

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[ChildLog, list[str]]]:
    echoed: list[str] = []
    made = ChildLog(tmp_path / "child.log", echoed.append)
    yield made, echoed
    made.close()


def find_port() -> int:
    """A port that TCP and UDP both have free."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        return int(tcp.getsockname()[1])


def place(protocol: str, port: int, address: str = "127.0.0.1") -> Place:
    return Place("http", "tcp" if protocol == "tcp" else "udp", address, port, "IDNODE_RESOLVER_HTTP_PORT")


# Sockets


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_that_is_taken_is_named_with_its_holder_and_a_free_one(protocol: str, reuse_port: bool) -> None:
    """Also when the holder would let others of its account join (SO_REUSEPORT): half the requests would be lost."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(type=kind) as holder:
        if reuse_port:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            holder.listen()
        taken = place(protocol, holder.getsockname()[1])
        with pytest.raises(SetupError) as refused:
            open_sockets(taken, 2)
        own = int(str(refused.value.details["free"]))  # of another service of ours
        with pytest.raises(SetupError) as again:
            open_sockets(taken, 2, {own})
        assert again.value.details["free"] not in (0, own)
        assert find_holder(taken) == (os.getpid(), Path("/proc/self/comm").read_text().strip())
    assert refused.value.code == "port_taken"
    details = refused.value.details
    assert (details["pid"], details["setting"]) == (os.getpid(), "IDNODE_RESOLVER_HTTP_PORT")
    assert details["free"] != taken.port
    for opened in open_sockets(place(protocol, int(str(details["free"]))), 2):
        opened.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_every_worker_gets_a_socket_of_its_own_on_the_same_port(address: str) -> None:
    port = find_port()
    opened = open_sockets(place("tcp", port, address), 3)
    assert {each.getsockname()[1] for each in opened} == {port}
    for each in opened:
        each.close()


def test_the_address_for_everything_is_for_both_families() -> None:
    port = find_port()
    (opened,) = open_sockets(place("tcp", port, "::"), 1)
    with closing(opened):
        socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS).close()
        socket.create_connection(("::1", port), PATIENCE_SECONDS).close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SetupError) as refused:
        open_sockets(place("tcp", find_port(), "192.0.2.1"), 1)
    assert refused.value.code == "address_not_here"


def test_a_connection_waits_while_nobody_serves_it() -> None:
    """The supervisor holds the socket: what arrives between two workers is answered by the second."""
    port = find_port()
    (opened,) = open_sockets(place("tcp", port), 1)
    with closing(opened), closing(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)) as client:
        client.sendall(b"question")
        heir = socket.socket(fileno=os.dup(opened.fileno()))
        heir.setblocking(True)
        with heir, closing(heir.accept()[0]) as served:
            assert served.recv(100) == b"question"


# Children


def test_pauses_between_restarts_grow_to_a_limit(log: tuple[ChildLog, list[str]]) -> None:
    child = Child("x", ["agent"], log[0])
    pauses = []
    for _ in range(len(PAUSES_SECONDS) + 2):
        child.put_off()
        pauses.append(child.pause_seconds)
    assert pauses == [*PAUSES_SECONDS, PAUSES_SECONDS[-1], PAUSES_SECONDS[-1]]
    assert pauses[0] == 0, "a single crash costs as little as possible"


PARENT = """
import os, subprocess, sys, time
command = "from registry.parent_process import die_with; die_with(int(%d)); print('tied', flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", command % os.getpid()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_ends_with_its_parent_even_by_kill_9() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    """A dead process that nobody has waited for does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    command = "from registry.parent_process import die_with; die_with(1 << 30); print('lives')"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


# Logs


def test_warnings_reach_the_terminal_once_and_everything_the_file(log: tuple[ChildLog, list[str]]) -> None:
    made, echoed = log
    lines = [
        "2026-01-01 00:00:00,000 INFO idnode: nothing special",
        "2026-01-01 00:00:01,000 WARNING idnode: the disk is filling",
        "2026-01-01 00:00:02,000 WARNING idnode: the disk is filling",
        "2026-01-01 00:00:03,000 ERROR idnode: the disk is full",
        "Traceback (most recent call last):",
        "RuntimeError: 磁盘",
    ]
    text = "\n".join(lines).encode()
    made.copy_from(BytesIO(text)).join(PATIENCE_SECONDS)
    assert made.path.read_bytes() == text
    assert echoed == ["child: idnode: the disk is filling", "child: idnode: the disk is full"]
    assert made.read_reason() == "RuntimeError: 磁盘"


def test_a_log_is_bounded(log: tuple[ChildLog, list[str]]) -> None:
    line = b"x" * 65_000 + b"\n"
    count = 5 * LOG_BYTES // len(line)
    log[0].copy_from(BytesIO(line * count)).join(PATIENCE_SECONDS)
    files = list(log[0].path.parent.iterdir())
    assert sorted(file.name for file in files) == ["child.log", "child.log.1"]
    assert sum(file.stat().st_size for file in files) <= 2 * LOG_BYTES


@pytest.mark.parametrize("what", ["moved by logrotate", "deleted", "deleted with its directory", "emptied in place"])
def test_a_log_that_somebody_takes_away_begins_anew(log: tuple[ChildLog, list[str]], tmp_path: Path, what: str) -> None:
    made = ChildLog(tmp_path / "logs" / "child.log", log[1].append, limit_bytes=64)
    made.path.parent.mkdir()
    made.copy_from(BytesIO(b"first\n")).join(PATIENCE_SECONDS)
    if what == "moved by logrotate":
        made.path.rename(tmp_path / "logs" / "child.log-20260302")
    elif what == "deleted":
        made.path.unlink()
    elif what == "emptied in place":
        os.truncate(made.path, 0)
    else:
        shutil.rmtree(made.path.parent)
    lines = b"".join(b"line %d\n" % number for number in range(12))  # once more than fits, so that it is rotated, too
    made.copy_from(BytesIO(lines)).join(PATIENCE_SECONDS)
    made.close()
    assert made.path.with_name("child.log.1").read_bytes() + made.path.read_bytes() == lines


def test_a_line_for_which_the_disk_has_no_room_leaves_no_torn_one(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the kernel takes a part of the line, then none."""
    script = (
        "import io, pathlib, resource, signal, sys; from node.child_log import ChildLog\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 1000))\n"
        "made = ChildLog(pathlib.Path(sys.argv[1]), print)\n"
        "made.copy_from(io.BytesIO(b'x' * 60 + b'\\n' + b'y' * 60 + b'\\n')).join()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); made.copy_from(io.BytesIO(b'after\\n')).join()\n"
    )
    path = tmp_path / "child.log"
    subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=True, timeout=60)
    assert path.read_bytes() == b"x" * 60 + b"\nafter\n"


# Tables


def test_columns_stand_below_each_other_in_chinese_too() -> None:
    lines = format_table([("企业", 1), ("abc", 22), ("泵x", 3)], ("名称", "n")).splitlines()
    assert len({measure_width(line[: line.rindex(" ")]) for line in (lines[0], *lines[2:])}) == 1


# The command line


@pytest.mark.parametrize(
    ("arguments", "kept", "language"),
    [
        (["--lang", "en", "stats"], ["stats"], "en"),
        (["stats", "--lang=zh"], ["stats"], "zh"),
        (["stats"], ["stats"], None),
        (["register", "--", "--lang"], ["register", "--", "--lang"], None),  # an identifier may look like an option
        (["stats", "--lang", "fr"], ["--lang", "fr", "stats"], None),  # refused when the command line is read
        (["stats", "--lang"], ["--lang", "", "stats"], None),
    ],
)
def test_the_language_may_stand_anywhere(arguments: list[str], kept: list[str], language: str | None) -> None:
    assert take_language(arguments) == (kept, language)


def run_idnode(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    ours = {name: value for name, value in os.environ.items() if not name.startswith("IDNODE_")}
    return subprocess.run(
        [sys.executable, "-m", "node.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=ours | {"IDNODE_LANGUAGE": "en"} | environment,
        timeout=120,
        check=False,
    )


def test_help_lists_the_commands() -> None:
    done = run_idnode("--help")
    assert done.returncode == 0
    for command in ("up", "registry", "resolver", "agent", "migrate", "demo", "doctor"):
        assert f"\n  {command} " in done.stdout


REFUSALS = {
    "an unknown setting": ("IDNODE_DATADIR", {"IDNODE_DATADIR": "/x"}),
    "a data directory that cannot be written": ("IDNODE_DATA_DIR", {"IDNODE_DATA_DIR": "/proc/idnode"}),
    "a database that cannot be reached": (
        "IDNODE_DATABASE_URL",
        {"IDNODE_DATABASE_URL": "postgresql://node:pa55word@127.0.0.1:1/node"},
    ),
    "an address that is not here": ("IDNODE_BIND", {"IDNODE_BIND": "192.0.2.1"}),
    "demonstration data that are not there": ("IDNODE_DEMO_DIR", {"IDNODE_DEMO_DIR": "/nonexistent"}),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_makes_a_start_impossible_is_one_sentence_with_the_remedy(case: str, tmp_path: Path) -> None:
    remedy, environment = REFUSALS[case]
    ports = {name: str(find_port()) for name in ("REGISTRY_PORT", "RESOLVER_HTTP_PORT", "HANDLE_PORT")}
    given = {"IDNODE_DATA_DIR": str(tmp_path), "IDNODE_TOPLEVEL_REHEARSAL": "false"}
    given |= {f"IDNODE_{name}": port for name, port in ports.items()} | environment
    done = run_idnode("up", "--demo", **given)
    assert (done.returncode, done.stdout) == (1, "")
    message, advice = done.stderr.splitlines()[-2:]
    assert message.startswith("Error: ")
    assert advice.startswith("  → ")
    assert remedy in advice or remedy in message
    assert "Traceback" not in done.stderr
    assert "pa55word" not in done.stderr


def test_a_port_that_is_taken_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = run_idnode("up", IDNODE_DATA_DIR=str(tmp_path), IDNODE_REGISTRY_PORT=str(port))
    assert done.returncode == 1
    assert f"Port {port}" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert "IDNODE_REGISTRY_PORT=" in done.stderr
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("command", ["registry", "resolver", "agent", "migrate", "demo"])
def test_a_part_alone_says_that_it_needs_a_database(command: str, tmp_path: Path) -> None:
    ports = {f"IDNODE_{name}_PORT": str(find_port()) for name in ("REGISTRY", "RESOLVER_HTTP", "HANDLE")}
    done = run_idnode(command, IDNODE_DATA_DIR=str(tmp_path), **ports)
    assert done.returncode == 1
    assert "Start idnode up first, or set IDNODE_DATABASE_URL" in done.stderr


def test_an_error_with_json_is_one_line_for_programs(tmp_path: Path) -> None:
    done = run_idnode("migrate", "--json", IDNODE_DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    answer = json.loads(done.stderr)
    assert answer["code"] == "database_not_running"
    assert answer.keys() == {"code", "message", "remedy", "field"}


@pytest.mark.parametrize(("language", "word"), [("zh", "错误："), ("en", "Error: ")])
def test_errors_speak_the_language_that_was_asked_for(language: str, word: str, tmp_path: Path) -> None:
    done = run_idnode("migrate", "--lang", language, IDNODE_DATA_DIR=str(tmp_path), IDNODE_LANGUAGE="")
    assert done.stderr.startswith(word)


@pytest.mark.parametrize("arguments", [("up", "--bogus"), ("bogus",), ("retire",), ("doctor", "x")])
def test_a_wrong_command_line_ends_with_2_and_says_where_help_is(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run_here([*arguments, "--json"], {"IDNODE_LANGUAGE": "zh"}, tmp_path)
    error = json.loads(done.stderr)
    assert (done.returncode, error["code"], "--help" in error["remedy"]) == (2, "command_line_wrong", True)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x.csv"), "file_unusable"),
        (OSError(28, "No space left on device"), "disk_full"),
    ],
)
def test_trouble_with_files_is_named(error: OSError, code: str) -> None:
    explained = explain_file(error)
    assert explained.code == code
    assert str(error.filename or "") in str(explained)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (asyncpg.ConnectionDoesNotExistError("closed in the middle"), "database_connection_lost"),
        (asyncpg.AdminShutdownError("terminating connection"), "database_connection_lost"),
        (ConnectionResetError(), "database_connection_lost"),
        (asyncpg.DiskFullError("could not extend file"), "database_without_room"),
    ],
)
def test_a_database_that_fails_in_the_middle_of_a_command_is_named(error: Exception, code: str) -> None:
    async def work() -> None:
        raise error

    with pytest.raises(ServiceError) as told:
        run(work())
    assert told.value.code == code
