"""Our own supervisor of a PostgreSQL inside the data directory (design 5.1).

Below `<data_dir>/postgres`: `binaries` (a copy, only when root runs the node), `cluster`, `log`, `socket`
and the supervisor's `lock`.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from node.postgres_account import Account, can_reach, choose_account, claim
from node.postgres_binaries import Binaries, choose_binaries, version_unknown
from node.postgres_probe import (
    DATABASE,
    ROLE,
    SOCKET_NAME,
    Probe,
    dsn_of,
    find_processes,
    is_at_work,
    probe,
    read_socket_dir,
)
from schemas.errors import SetupError

START_SECONDS = 900.0  # recovery after a crash reads up to max_wal_size again, on slow disks for minutes
PROGRAM_LOOK_SECONDS = 0.02
# Fast, then immediate (what is lost of it is recovered at the next start), then none.
STOPPING = ((signal.SIGINT, 120.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
REINITIALISATION_SECONDS = 10.0  # after the crash of a backend
ORPHAN_SECONDS = 300.0
SERVING_ORPHAN_SECONDS = 10.0
SOCKET_PATH_BYTES = 107  # sun_path without its NUL
NOT_A_REASON = "the database system is (starting up|not yet accepting|shutting down)"  # answers to our own probes

PARAMETERS = {
    "shared_buffers": "256MB",
    "max_connections": "60",
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "client_connection_check_interval": "5s",  # who waits for a lock when his client has gone must not stay for ever
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "cluster_name": "idnode",
    # seven files, each overwritten after a week: bounded without anyone cleaning up
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_min_duration_statement": "1s",
}

log = logging.getLogger("idnode.postgres")


def _go_on() -> None:
    pass


@dataclass
class EmbeddedPostgres:
    """One server on one data directory; `start` it again after it died. For the main thread only."""

    data_dir: Path
    user: str | None = None  # the account when root starts it; None: `postgres`, else `nobody`
    parameters: dict[str, str] = field(default_factory=dict)
    watch: Callable[[], None] = _go_on  # called while `start` waits; what it raises ends that
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _lock: IO[str] | None = field(default=None, init=False, repr=False)
    _borrowed_socket_dir: Path | None = field(default=None, init=False, repr=False)
    _has_answered: bool = field(default=False, init=False, repr=False)  # since it was started last
    _idle_since: float | None = field(default=None, init=False, repr=False)  # monotonic

    def __post_init__(self) -> None:
        self.data_dir = self.data_dir.absolute()

    @property
    def root(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def cluster(self) -> Path:
        return self.root / "cluster"

    @property
    def log_dir(self) -> Path:
        return self.root / "log"

    def start(self) -> str:
        """Start the server, making the cluster if there is none; its DSN once it answers. Raises SetupError."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("PR_SET_PDEATHSIG follows the thread; start the server from the main one")
        if self.is_running():
            raise RuntimeError("the server runs already")
        try:
            account = choose_account(self.user, self.cluster)
            if not can_reach(self.root, account):  # before anything is made there
                raise SetupError("data_dir_unreachable", path=str(self.data_dir), account=account.name)
            self._take_lock()
            wait_for_orphans(self.cluster, self.watch)
            binaries = choose_binaries(self.root, read_version(self.cluster), account)
            self._claim_directories(account)
            if not (self.cluster / "PG_VERSION").exists():
                make_cluster(self.cluster, binaries, account, self.watch)
            return self._launch(binaries, account)
        except OSError as error:
            self.stop()
            reason = error.strerror or str(error)
            raise SetupError("data_dir_not_writable", path=str(self.data_dir), reason=reason) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, everything is written. May be called at any time."""
        process = self._process  # known until it has ended, so that a second signal can hurry it
        if process is not None:
            self._let_recover(process)
            for stop_signal, patience_seconds in STOPPING:
                process.send_signal(stop_signal)
                try:
                    process.wait(patience_seconds)
                    break
                except subprocess.TimeoutExpired:
                    log.warning("PostgreSQL (pid %s) ignored %s", process.pid, stop_signal.name)
            self._process = None
        self._release()

    def _let_recover(self, process: subprocess.Popen[bytes]) -> None:
        """PostgreSQL 18 that is told to stop while it gets over the crash of a backend waits for itself for ever."""
        deadline = time.monotonic() + REINITIALISATION_SECONDS
        socket_dir = read_socket_dir(self.cluster / "postmaster.pid") if self._has_answered else None
        while socket_dir and process.poll() is None and time.monotonic() < deadline:
            if probe(socket_dir) is Probe.READY:  # a connection that dies with its backend is no answer
                return
            time.sleep(0.05)

    def is_running(self) -> bool:
        return self.poll() is None and self._process is not None

    def end_if_stuck(self) -> bool:
        """To be called every second or so; true if the server was told to end, so that it can be started again.

        PostgreSQL 18 whose recovery fails (an error of the disk) stays "in recovery" for ever, and nobody recovers.
        """
        if self._process is None or is_at_work(self._process.pid):
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or time.monotonic()
        idle_seconds = time.monotonic() - self._idle_since
        if idle_seconds < REINITIALISATION_SECONDS:
            return False
        self._process.send_signal(signal.SIGQUIT if idle_seconds < 2 * REINITIALISATION_SECONDS else signal.SIGKILL)
        return True

    def poll(self) -> int | None:
        """The exit status, None while it runs (or was never started), as in subprocess."""
        return None if self._process is None else self._process.poll()

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Wait for the end of the server; raises subprocess.TimeoutExpired."""
        return 0 if self._process is None else self._process.wait(timeout_seconds)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        make_directory(self.data_dir)
        make_directory(self.root)
        lock = open(self.root / "lock", "a+", encoding="ascii")  # noqa: SIM115 - held as long as the supervisor lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "?"
            lock.close()
            raise SetupError("data_dir_in_use", path=str(self.data_dir), pid=holder) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _release(self) -> None:
        if self._borrowed_socket_dir is not None:
            shutil.rmtree(self._borrowed_socket_dir, ignore_errors=True)
            self._borrowed_socket_dir = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _claim_directories(self, account: Account) -> None:
        for directory in (self.cluster, self.log_dir, self.root / "socket"):
            directory.mkdir(mode=0o700, exist_ok=True)
            claim(directory, account)

    def _socket_dir(self, account: Account) -> Path:
        """Our own, unless a path in it would be longer than the kernel takes; the same one at every start."""
        own = self.root / "socket"
        if len(os.fsencode(own / SOCKET_NAME)) <= SOCKET_PATH_BYTES:
            return own
        if self._borrowed_socket_dir is None:
            self._borrowed_socket_dir = borrow_socket_dir(self.data_dir, account)
        return self._borrowed_socket_dir

    def _launch(self, binaries: Binaries, account: Account) -> str:
        socket_dir = self._socket_dir(account)
        forget_stale_pid_files(self.cluster, socket_dir)
        settings = PARAMETERS | {"log_directory": str(self.log_dir)} | self.parameters
        command = [str(binaries.postgres), "-D", str(self.cluster), "-k", str(socket_dir), "-h", "", "-p", "5432"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        said_before = {path: path.stat().st_size for path in self.log_dir.glob("postgresql-*.log")}
        with open(self.log_dir / "start.log", "wb") as output:
            self._process = process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.cluster,
                env=account.environment(),
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops the database last
                preexec_fn=account.prepare_child(os.getpid()),
                **account.popen_arguments(),
            )
        self._has_answered, self._idle_since, started = False, None, time.monotonic()
        while probe(socket_dir) is not Probe.READY:
            waited = time.monotonic() - started
            if process.poll() is not None or waited > START_SECONDS:
                raise start_failure(self.data_dir, self.log_dir, said_before)
            self.watch()
            time.sleep(pause_after(waited))
        self._has_answered = True
        return dsn_of(socket_dir)


def find_running(data_dir: Path) -> str | None:
    """The DSN of the server that runs on this data directory and answers, for the parts that run alone."""
    socket_dir = read_socket_dir(data_dir.absolute() / "postgres" / "cluster" / "postmaster.pid")
    if socket_dir is None or probe(socket_dir) is not Probe.READY:
        return None
    return dsn_of(socket_dir)


def get_dsn(database_url: str | None, data_dir: Path) -> str:
    """The configured database, else the embedded one if it runs; for every part but `idnode up`."""
    dsn = database_url or find_running(data_dir)
    if dsn is None:
        processes = find_processes(data_dir.absolute() / "postgres" / "cluster")
        if processes:
            raise SetupError("database_silent", path=str(data_dir), pid=min(processes))
        raise SetupError("database_not_running", path=str(data_dir))
    return dsn


def read_version(cluster: Path) -> int | None:
    """The major version that made the cluster; None if there is no cluster yet."""
    try:
        text = (cluster / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise version_unknown(cluster, text[:20] or "?")
    return int(text)


def make_directory(path: Path) -> None:
    """Make it with its parents. Root's are passable for the database's account: what is secret has its own mode."""
    if not path.is_dir():
        if path.parent != path:
            make_directory(path.parent)
        path.mkdir(exist_ok=True)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def borrow_socket_dir(data_dir: Path, account: Account) -> Path:
    """A private directory of a short name; the same one at every start, unless somebody else has taken its name."""
    parent = Path("/run") if os.geteuid() == 0 and os.access("/run", os.W_OK) else Path("/tmp")  # noqa: S108
    place = parent / f"idnode-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (account.uid, os.geteuid()):
        place = Path(tempfile.mkdtemp(prefix="idnode-", dir=parent))
    place.chmod(0o700)
    claim(place, account)
    return place


def forget_stale_pid_files(cluster: Path, socket_dir: Path) -> None:
    """Remove what a killed server left, once it is known that no process works in the cluster."""
    # PostgreSQL takes any living process of its account with that pid for a server, although pids are used again
    # after a restart of the machine or container.
    for left in (cluster / "postmaster.pid", socket_dir / SOCKET_NAME, socket_dir / f"{SOCKET_NAME}.lock"):
        left.unlink(missing_ok=True)


def wait_for_orphans(cluster: Path, watch: Callable[[], None] = _go_on) -> None:
    """Wait until no server process works in the cluster: one whose supervisor was killed still has to write."""
    started = time.monotonic()
    while processes := find_processes(cluster):
        waited = time.monotonic() - started
        socket_dir = read_socket_dir(cluster / "postmaster.pid")
        serving = socket_dir is not None and probe(socket_dir) is Probe.READY
        # Our own were told to stop when their supervisor died. One that goes on serving is somebody else's.
        if waited > ORPHAN_SECONDS or (serving and waited > SERVING_ORPHAN_SECONDS):
            raise SetupError("database_runs_already", path=str(cluster), pid=min(processes))
        watch()
        time.sleep(pause_after(waited))


def pause_after(waited_seconds: float) -> float:
    """Seconds until the next look: prompt at first, then seldom, since the server logs every refusal."""
    return min(0.02 + waited_seconds / 20, 0.5)


def make_cluster(cluster: Path, binaries: Binaries, account: Account, watch: Callable[[], None]) -> None:
    """Make a cluster with our database in it, in place only when it is complete."""
    for left in cluster.parent.glob("new-*"):
        # The programs of a killed supervisor may still write there for a moment; then the next start removes it.
        shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=cluster.parent))
    claim(fresh, account)
    locale = ["--locale=C.UTF-8"] + (["--locale-provider=builtin"] if binaries.major >= 17 else [])
    options = ["-U", ROLE, "-E", "UTF8", "--data-checksums", "--auth=trust"]
    run_program([str(binaries.initdb), "-D", str(fresh), *options, *locale], fresh, account, watch)
    statement = f"CREATE DATABASE {DATABASE}\n".encode()
    run_program([str(binaries.postgres), "--single", "-D", str(fresh), "postgres"], fresh, account, watch, statement)
    cluster.rmdir()  # empty: there was no PG_VERSION in it
    fresh.rename(cluster)


def run_program(command: list[str], cwd: Path, account: Account, watch: Callable[[], None], stdin: bytes = b"") -> None:
    with tempfile.TemporaryFile(dir=cwd.parent) as given, tempfile.TemporaryFile(dir=cwd.parent) as printed:
        given.write(stdin)
        given.seek(0)
        with subprocess.Popen(
            command,
            stdin=given,
            stdout=printed,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=account.environment(),
            preexec_fn=account.prepare_child(os.getpid()),
            **account.popen_arguments(),
        ) as process:
            try:
                while (status := process.poll()) is None:
                    watch()
                    time.sleep(PROGRAM_LOOK_SECONDS)
            except BaseException:
                process.kill()
                raise
        printed.seek(0)
        output = printed.read().decode(errors="replace").strip()
    if status or "FATAL:" in output or "ERROR:" in output:  # a single-user server exits with 0 all the same
        reason = find_reason(output) or f"exit status {status}"
        raise SetupError("database_not_made", path=str(cwd.parent), reason=reason)


def find_reason(output: str) -> str:
    """The line that says why, of what a program of PostgreSQL printed; what it tidies up afterwards is no reason."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if re.search("FATAL:|PANIC:|[Ee]rror:|ERROR:", line)), (lines or [""])[-1])


def start_failure(data_dir: Path, log_dir: Path, said_before: dict[Path, int]) -> SetupError:
    """What the server said since it was launched, as one of our errors; `said_before`: sizes of the logs then."""
    lines = (log_dir / "start.log").read_text(errors="replace").splitlines()
    for path in log_dir.glob("postgresql-*.log"):
        lines += path.read_bytes()[said_before.get(path, 0) :].decode(errors="replace").splitlines()
    fatal = [line for line in lines if re.search("FATAL:|PANIC:", line) and not re.search(NOT_A_REASON, line)]
    reason = (fatal or lines or ["?"])[-1]
    if "incompatible with server" in reason:
        version = read_version(data_dir / "postgres" / "cluster")
        return version_unknown(data_dir, version)
    return SetupError("database_not_started", path=str(log_dir), reason=reason)
