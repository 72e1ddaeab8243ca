"""The processes a measurement starts: a node with a data directory of its own, pinned, watched, stopped at the end."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.postgres import get_dsn

ROOT = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 40.0


class BenchFailure(Exception):
    """A measurement could not be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The server has a core of its own; the generator and PostgreSQL share the other."""

    server: int
    load: int
    all: tuple[int, ...]


def choose_cores() -> Cores | None:
    """None on a machine with one core."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    return Cores(cores[0], cores[1], cores) if len(cores) > 1 else None


@contextlib.contextmanager
def open_place(parent: Path | None) -> Iterator[Path]:
    """A directory for everything that is written; the database's account must be able to pass through it."""
    place = Path(tempfile.mkdtemp(prefix="idnode-bench-", dir=parent))
    place.chmod(0o711)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def find_free_port() -> int:
    """One that TCP and UDP both have free."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])


@dataclass
class Node:
    """`idnode up`, or a part of it, as a user starts it."""

    data_dir: Path
    arguments: Sequence[str] = ("up",)
    settings: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = (sys.executable, "-m", "node.cli")
    registry_port: int = field(default_factory=find_free_port)
    http_port: int = field(default_factory=find_free_port)
    handle_port: int = field(default_factory=find_free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IDNODE_")}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "IDNODE_DATA_DIR": str(self.data_dir),
            "IDNODE_REGISTRY_PORT": str(self.registry_port),
            "IDNODE_RESOLVER_HTTP_PORT": str(self.http_port),
            "IDNODE_HANDLE_PORT": str(self.handle_port),
            "IDNODE_TOPLEVEL_REHEARSAL": "false",
            "IDNODE_RESOLVER_WORKERS": "1",
            "IDNODE_LANGUAGE": "en",
            **self.settings,
        }

    @property
    def dsn(self) -> str:
        return get_dsn(None, self.data_dir)

    @property
    def log_path(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}-{self.arguments[0]}.log"

    def launch(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command, *self.arguments], cwd=ROOT, env=self.environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def wait_for_answer(self, path: str, limit_seconds: float = 180.0, port: int | None = None) -> float:
        """Seconds until the resolver, or who listens at `port`, answers `path` with 200; raises BenchFailure."""
        url, began = f"http://127.0.0.1:{port or self.http_port}{path}", time.perf_counter()
        while time.perf_counter() - began < limit_seconds:
            if self._process is None or self._process.poll() is not None:
                raise BenchFailure(f"`idnode {' '.join(self.arguments)}` ended: {self.read_log()}")
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return time.perf_counter() - began
            time.sleep(0.02)
        raise BenchFailure(f"no answer within {limit_seconds:.0f} s: {self.read_log()}")

    def wait_until_said(self, text: str, limit_seconds: float = 180.0) -> float:
        """Seconds until the log has this text, which `idnode up` prints when everything answers."""
        began = time.perf_counter()
        while time.perf_counter() - began < limit_seconds:
            if text in self.log_path.read_text(errors="replace"):
                return time.perf_counter() - began
            if self._process is None or self._process.poll() is not None:
                raise BenchFailure(f"`idnode {' '.join(self.arguments)}` ended: {self.read_log()}")
            time.sleep(0.02)
        raise BenchFailure(f"not ready within {limit_seconds:.0f} s: {self.read_log()}")

    def read_log(self) -> str:
        return " / ".join(self.log_path.read_text(errors="replace").splitlines()[-5:])

    def run(self, *arguments: str) -> Any:
        """A command of `idnode` with --json; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "node.cli", *arguments, "--json"],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchFailure(f"idnode {' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-400:]}")
        return json.loads(done.stdout)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise BenchFailure("the node does not run")
        return self._process.pid

    def list_children(self, name: str) -> list[int]:
        """Pids of the children whose command line has this word: registry, resolver, agent, postgres."""
        return [pid for pid in list_children(self.pid) if name in read_command(pid)]

    def get_worker(self) -> int:
        workers = self.list_children(" resolver ")
        if len(workers) != 1:
            raise BenchFailure(f"{len(workers)} workers run instead of one")
        return workers[0]

    def pin(self, cores: Cores) -> None:
        """The worker on the server's core, everything else on the other."""
        worker = self.get_worker()
        for pid in list_tree(self.pid):
            pin(pid, cores.server if pid == worker else cores.load)

    @contextlib.contextmanager
    def agent_in_pauses(self) -> Iterator[None]:
        """On two cores the agent, which counts what was answered, takes its time from the load generator: let it have
        the pauses only. Nobody but root may take that back, and where there are more cores, nobody needs to.
        """
        agents = self.list_children(" agent") if os.geteuid() == 0 and len(os.sched_getaffinity(0)) == 2 else []
        for pid in agents:
            schedule(pid, os.SCHED_IDLE)
        try:
            yield
        finally:
            for pid in agents:
                schedule(pid, os.SCHED_OTHER)

    def unpin(self, cores: Cores) -> None:
        for pid in list_tree(self.pid):
            pin(pid, *cores.all)

    def stop(self) -> None:
        """In order; what does not stop is killed."""
        if self._process is None:
            return
        tree = [(pid, read_start(pid)) for pid in list_tree(self._process.pid)]
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        for pid, start in tree:
            if start and read_start(pid) == start:  # pids are used again
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


@contextlib.contextmanager
def run_node(node: Node) -> Iterator[Node]:
    """Launched; stopped at the end, whatever happened."""
    try:
        node.launch()
        yield node
    finally:
        node.stop()


def read_command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def read_start(pid: int) -> str:
    """When a process began, in ticks since the machine started; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def list_children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found


def list_tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(below for child in list_children(pid) for below in list_tree(child))]


def pin(pid: int, *cores: int) -> None:
    """All threads of a process; processes it starts later inherit it."""
    with contextlib.suppress(OSError):  # it has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def schedule(pid: int, policy: int) -> None:
    """All threads of a process; those it starts later inherit it."""
    with contextlib.suppress(OSError):  # it has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(task.name), policy, os.sched_param(0))


def read_cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; nothing once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def read_memory(pid: int, name: str) -> int:
    """Bytes: `Pss` (a fair share of what is shared), `Rss`, or `Anonymous` (Rss without files, such as the log)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise BenchFailure(f"no {name} in smaps_rollup")
