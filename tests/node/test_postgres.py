"""The embedded PostgreSQL: what it survives, what it refuses, and whom it leaves alone."""

import asyncio
import codecs
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import asyncpg
import pytest

from node import postgres, postgres_binaries, postgres_probe
from node.postgres import EmbeddedPostgres, find_reason, find_running, get_dsn, wait_for_orphans
from node.postgres_account import Account, can_reach, choose_account
from node.postgres_binaries import choose_binaries, copy_binaries
from node.postgres_probe import find_processes
from schemas.errors import SetupError
from tests.database import open_data_dir

ROOT = Path(__file__).parent.parent.parent
SMALL = {"shared_buffers": "16MB"}


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory with a cluster in it, which no server runs on between two tests."""
    with open_data_dir() as place:
        server = EmbeddedPostgres(place, parameters=SMALL)
        server.start()
        server.stop()
        yield place


@pytest.fixture
def server(made: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(made, parameters=SMALL)
    yield embedded
    embedded.stop()


async def ask(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def as_ordinary_user(
    place: Path, monkeypatch: pytest.MonkeyPatch, mode: int, act: Callable[[EmbeddedPostgres], bool]
) -> int:
    """Let a child that is not root, whoever runs the tests, act on a data directory of its own; 0 if it says true.

    Forked, because another account may not be able to reach this interpreter.
    """
    account = choose_account("nobody" if os.geteuid() == 0 else None, place / "none")
    binaries = choose_binaries(place, None, account)
    monkeypatch.setattr(postgres_binaries, "find_binaries", lambda: [binaries])
    data_dir = place / "data"
    data_dir.mkdir()
    os.chown(data_dir, account.uid, account.gid)
    data_dir.chmod(mode)
    codecs.lookup("ascii")  # what the child needs of the interpreter is read before
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        if account.switch:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
        status = 0 if act(EmbeddedPostgres(data_dir, parameters=SMALL)) else 2
    finally:
        os._exit(status)


def run_once(embedded: EmbeddedPostgres) -> bool:
    running = embedded.start() == find_running(embedded.data_dir)
    embedded.stop()
    return running


def is_refused(embedded: EmbeddedPostgres) -> bool:
    with pytest.raises(SetupError) as refused:
        embedded.start()
    return refused.value.code == "data_dir_not_writable" and str(embedded.data_dir) in str(refused.value)


async def test_what_was_written_is_there_after_a_stop_and_a_start(server: EmbeddedPostgres) -> None:
    dsn = server.start()
    assert server.is_running() and server.poll() is None
    await ask(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
    server.stop()
    assert not server.is_running()
    assert await ask(server.start(), "SELECT one FROM kept") == 1


async def test_the_cluster_is_utf8_checked_and_durable(server: EmbeddedPostgres) -> None:
    dsn = server.start()
    for name, value in {
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "TimeZone": "UTC",
        "jit": "off",
    }.items():
        assert await ask(dsn, f"SELECT current_setting('{name}')") == value, name
    assert await ask(dsn, "SELECT '沟' < '泵' COLLATE \"C\" AND lower('Ä') = 'ä'")


def test_nobody_else_can_reach_the_server_or_its_files(server: EmbeddedPostgres) -> None:
    server.start()
    for directory in (server.cluster, server.log_dir, server.root / "socket"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


async def test_a_killed_server_is_noticed_and_recovers_every_commit(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = server.start()
    await ask(dsn, "CREATE TABLE rows AS SELECT generate_series(1, 1000)")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait(10) == -signal.SIGKILL
    assert not server.is_running() and find_running(server.data_dir) is None
    assert server.start() == dsn  # the same address: what was given it need not be told
    assert await ask(dsn, "SELECT count(*) FROM rows") == 1000
    assert not server.end_if_stuck()
    monkeypatch.setattr(postgres_probe, "AT_WORK", ())  # as after a recovery that failed
    monkeypatch.setattr(postgres, "REINITIALISATION_SECONDS", 0.1)
    assert not server.end_if_stuck()
    deadline = time.monotonic() + 10  # a process that ends just then counts as work, and the time begins again
    while not server.end_if_stuck():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert server.wait(10) is not None


async def test_a_server_that_is_told_to_stop_while_it_gets_over_a_crash_ends_in_order(
    server: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await asyncpg.connect(server.start())
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    noticed = f"(PID {backend}) was terminated"
    os.kill(backend, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not any(noticed in path.read_text(errors="replace") for path in server.log_dir.glob("*.log")):
        assert time.monotonic() < deadline, "the server has not noticed the death of its backend"
        await asyncio.sleep(0.001)
    connection.terminate()
    server.stop()
    assert [record.message for record in caplog.records if "ignored" in record.message] == []


def test_a_server_ends_in_order_with_its_killed_supervisor_and_the_next_waits_for_it(
    made: Path, server: EmbeddedPostgres
) -> None:
    program = f"""
        import pathlib, signal
        from node.postgres import EmbeddedPostgres
        server = EmbeddedPostgres(pathlib.Path({str(made)!r}), parameters={SMALL!r})
        server.start()
        print(server.pid, flush=True)
        signal.pause()
    """
    supervisor = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, cwd=ROOT)
    assert supervisor.stdout is not None
    orphan = int(supervisor.stdout.readline())
    assert orphan in find_processes(server.cluster)
    supervisor.kill()
    supervisor.communicate()
    server.start()
    assert orphan not in find_processes(server.cluster)
    assert server.pid != orphan
    logs = "".join(path.read_text() for path in server.log_dir.glob("postgresql-*.log"))
    assert "received fast shutdown request" in logs


def test_a_pid_file_that_names_an_innocent_process_harms_neither(server: EmbeddedPostgres) -> None:
    """Pids are used again after a restart; PostgreSQL itself would refuse to start here."""
    account = choose_account(None, server.cluster)
    innocent = subprocess.Popen(["/bin/sleep", "600"], **account.popen_arguments())
    try:
        socket_dir = server.root / "socket"
        content = f"{innocent.pid}\n{server.cluster}\n1700000000\n5432\n{socket_dir}\n\n 1 1\nready\n"
        for left in (server.cluster / "postmaster.pid", socket_dir / ".s.PGSQL.5432.lock"):
            left.write_text(content)
            os.chown(left, account.uid, account.gid)
        server.start()
        assert server.is_running()
        server.stop()
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_a_second_node_on_the_same_directory_is_refused(made: Path, server: EmbeddedPostgres) -> None:
    server.start()
    with pytest.raises(SetupError) as refused:
        EmbeddedPostgres(made).start()
    assert refused.value.code == "data_dir_in_use"
    assert str(os.getpid()) in str(refused.value)
    assert server.is_running()


def test_a_server_that_somebody_else_started_is_left_running(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SERVING_ORPHAN_SECONDS", 0.1)
    server.start()
    with pytest.raises(SetupError) as refused:
        wait_for_orphans(server.cluster)
    assert refused.value.code == "database_runs_already"
    assert server.is_running()


@pytest.mark.parametrize("version", ["9.6", "14", "99", "", "x" * 1000, "１８"])
def test_a_cluster_of_a_version_that_cannot_be_run_is_refused_and_left_alone(
    server: EmbeddedPostgres, version: str
) -> None:
    file = server.cluster / "PG_VERSION"
    before = file.read_bytes()
    try:
        file.write_text(version, encoding="utf-8")
        with pytest.raises(SetupError) as refused:
            server.start()
        assert refused.value.code == "database_version_unknown"
        assert file.read_text(encoding="utf-8") == version
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", ["file/data", "file"])
def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError) as refused:
        EmbeddedPostgres(tmp_path / name).start()
    assert refused.value.code == "data_dir_not_writable"
    assert str(tmp_path / name) in str(refused.value)


def test_an_ordinary_user_needs_nothing_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_data_dir() as place:
        assert as_ordinary_user(place, monkeypatch, 0o700, run_once) == 0
        owner = (place / "data" / "postgres" / "cluster").stat().st_uid
        assert owner != 0 and pwd.getpwuid(owner)


def test_a_directory_that_may_not_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_data_dir() as place:
        assert as_ordinary_user(place, monkeypatch, 0o500, is_refused) == 0


@pytest.mark.parametrize(
    ("mode", "reachable"),
    [(0o711, True), (0o755, True), (0o700, False), (0o750, False), (0o766, False)],
)
def test_the_account_must_be_able_to_pass_every_directory(mode: int, reachable: bool) -> None:
    stranger = Account("stranger", os.geteuid() + 1, os.getegid() + 1, switch=True)
    with open_data_dir() as place:
        (place / "closed" / "data").mkdir(parents=True)
        (place / "closed").chmod(mode)
        assert can_reach(place / "closed" / "data", stranger) is reachable
        assert can_reach(place / "closed" / "not" / "yet", stranger) is reachable
        (place / "closed").chmod(0o700)


def test_an_account_that_does_not_exist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for account in ("no-such-account", "root"):
        with pytest.raises(SetupError) as refused:
            choose_account(account, tmp_path)
        assert refused.value.code == "database_account_unknown"


def test_a_user_without_an_account_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as any number; initdb wants a name for it."""
    monkeypatch.setattr(os, "geteuid", lambda: 2_000_000_001)
    with pytest.raises(SetupError) as refused:
        choose_account(None, tmp_path)
    assert refused.value.code == "database_account_unknown"


async def test_a_path_too_long_for_a_socket_is_no_hindrance(made: Path) -> None:
    place = made / ("long-" * 20)
    server = EmbeddedPostgres(place, parameters=SMALL)
    try:
        dsn = server.start()
        assert await ask(dsn, "SELECT 1") == 1
        assert "long-" not in dsn
        server.stop()
        assert server.start() == dsn == find_running(place)
    finally:
        server.stop()
        shutil.rmtree(place)


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (
            'creating directory /d ... ok\nFATAL:  could not write to file "base": No space left on device\n'
            'child process exited with exit code 1\ninitdb: removing contents of data directory "/d"',
            'FATAL:  could not write to file "base": No space left on device',
        ),
        ("initdb: error: invalid locale\ninitdb: hint: see --help\n", "initdb: error: invalid locale"),
        ("Killed\n", "Killed"),
        ("", ""),
    ],
)
def test_the_reason_is_the_line_that_says_why(printed: str, reason: str) -> None:
    assert find_reason(printed) == reason


def test_what_an_interrupted_beginning_left_is_made_anew() -> None:
    with open_data_dir() as place:
        (place / "postgres" / "new-1" / "base").mkdir(parents=True)
        (place / "postgres" / "new-1" / "PG_VERSION").write_text("18")
        (place / "postgres").chmod(0o711)
        server = EmbeddedPostgres(place, parameters=SMALL)
        try:
            server.start()
        finally:
            server.stop()
        assert list((place / "postgres").glob("new-*")) == []


def test_a_server_that_does_not_start_says_why_and_leaves_nothing_behind(made: Path) -> None:
    server = EmbeddedPostgres(made, parameters=SMALL | {"max_connections": "many"})
    with pytest.raises(SetupError, match="max_connections") as refused:
        server.start()
    assert refused.value.code == "database_not_started"
    assert not server.is_running() and find_processes(server.cluster) == []
    repaired = EmbeddedPostgres(made, parameters=SMALL)
    repaired.start()
    repaired.stop()


async def test_variables_of_the_caller_do_not_reach_the_server(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGOPTIONS": "-c jit=on", "LC_ALL": "xx_YY"}.items():
        monkeypatch.setenv(name, value)
    dsn = server.start()
    monkeypatch.delenv("PGOPTIONS")
    assert await ask(dsn, "SELECT current_setting('port')") == "5432"


def test_only_the_main_thread_may_start_it(server: EmbeddedPostgres) -> None:
    """The kernel would stop the server with the thread."""
    seen: list[Exception] = []

    def start() -> None:
        try:
            server.start()
        except RuntimeError as error:
            seen.append(error)

    thread = Thread(target=start)
    thread.start()
    thread.join()
    assert len(seen) == 1 and not server.is_running()


def test_a_part_that_runs_alone_finds_the_database_or_says_what_to_do(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SetupError) as refused:
        get_dsn(None, server.data_dir)
    assert refused.value.code == "database_not_running"
    dsn = server.start()
    assert dsn == get_dsn(None, server.data_dir)
    assert server.pid
    monkeypatch.setattr(postgres_probe, "ANSWER_SECONDS", 0.2)
    os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(SetupError) as refused:
        get_dsn(None, server.data_dir)
    os.kill(server.pid, signal.SIGCONT)
    assert (refused.value.code, refused.value.details["pid"]) == ("database_silent", server.pid)
    assert get_dsn("postgresql://elsewhere/idnode", server.data_dir) == "postgresql://elsewhere/idnode"


def test_programs_are_copied_once_and_a_torn_copy_is_made_again(tmp_path: Path) -> None:
    wheel = next(found for found in postgres_binaries.find_binaries() if found.from_wheel)
    (tmp_path / "18-0.0.new" / "bin").mkdir(parents=True)
    copy = copy_binaries(wheel, tmp_path)
    inode = copy.postgres.stat().st_ino
    assert copy_binaries(wheel, tmp_path).postgres.stat().st_ino == inode
    os.truncate(copy.initdb, 0)  # as a power cut leaves what was written just before
    assert copy_binaries(wheel, tmp_path).initdb.stat().st_size == wheel.initdb.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [copy.directory.parent.parent.parent.name]
    said = subprocess.run([copy.postgres, "--version"], capture_output=True, text=True, check=True)
    assert f"PostgreSQL) {wheel.major}." in said.stdout
