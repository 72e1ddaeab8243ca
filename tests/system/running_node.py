"""`idnode up` as a process of its own, driven and watched from outside."""

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tests.system.accounts import Account

Found = TypeVar("Found")

PATIENCE_SECONDS = 120.0  # a machine that is busy with other things
LAST_LINE = "Ctrl-C"  # ends the table


def find_ports(number: int) -> list[int]:
    """Ports that TCP and UDP both have free, all different."""
    held, ports = [], []
    while len(ports) < number:
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        held += [tcp, udp]
        tcp.bind(("127.0.0.1", 0))
        with suppress(OSError):
            udp.bind(("127.0.0.1", tcp.getsockname()[1]))
            ports.append(tcp.getsockname()[1])
    for opened in held:
        opened.close()
    return ports


def wait_until(condition: Callable[[], Found], pause_seconds: float = 0.02) -> Found:
    """The first true value; AssertionError if it takes too long. What starts a process is asked less often."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(pause_seconds)
    raise AssertionError(f"waited for {PATIENCE_SECONDS:g} s")


class RunningNode:
    """One node with a data directory and ports of its own; started as often as the test likes."""

    def __init__(self, data_dir: Path, account: Account, part: str = "up", **settings: str) -> None:
        """`part` is the command: up, registry, resolver or agent; `settings` are more variables, without IDNODE_."""
        self.data_dir, self.account, self.part, self.settings = data_dir, account, part, settings
        self.registry_port, self.http_port, self.handle_port = find_ports(3)
        self.output: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("IDNODE_")}
        return ours | self.account.environment | {
            "IDNODE_DATA_DIR": str(self.data_dir),
            "IDNODE_REGISTRY_PORT": str(self.registry_port),
            "IDNODE_RESOLVER_HTTP_PORT": str(self.http_port),
            "IDNODE_HANDLE_PORT": str(self.handle_port),
            "IDNODE_RESOLVER_WORKERS": "2",
            "IDNODE_TOPLEVEL_REHEARSAL": "false",
            "IDNODE_LANGUAGE": "en",
        } | {f"IDNODE_{name}": value for name, value in self.settings.items()}  # fmt: skip

    @property
    def elsewhere(self) -> dict[str, str]:
        """The environment of another terminal, which knows nothing of this node's settings."""
        return {name: value for name, value in self.environment.items() if not name.startswith("IDNODE_")}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *arguments: str) -> None:
        """Start the command and wait until its table is printed."""
        self.launch(*arguments)
        wait_until(lambda: self._is_announced() or self._has_ended())
        assert self._is_announced(), self.printed

    def launch(self, *arguments: str) -> None:
        """Start the command, without waiting for anything."""
        self.output = []
        self._process = subprocess.Popen(
            [*self.account.command, self.part, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=self.environment,
            start_new_session=True,
            **self.account.popen_arguments,  # type: ignore[call-overload]
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Another command of `idnode` on the same node."""
        return subprocess.run(
            [*self.account.command, *arguments],
            capture_output=True,
            text=True,
            cwd="/",
            env=self.environment,
            timeout=PATIENCE_SECONDS,
            check=False,
            **self.account.popen_arguments,  # type: ignore[call-overload]
        )

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait; the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        status = int(self._process.wait(PATIENCE_SECONDS))
        assert self._reader is not None
        self._reader.join(PATIENCE_SECONDS)
        return status

    def end(self) -> None:
        """Stop it if it runs, by force if need be."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def printed(self) -> str:
        return "".join(self.output)

    def get(self, path: str, port: int | None = None) -> bytes:
        """The body of an HTTP answer from the resolver, or from another port."""
        url = f"http://127.0.0.1:{port or self.http_port}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return bytes(answer.read())

    def find_processes(self) -> dict[str, int]:
        """Pid by name of what the supervisor started: registry, resolver-0, …, agent, postgres."""
        found = {}
        for pid in find_children(self.pid):
            words = read_command(pid)
            if "node.processes" in words:
                name = words[words.index("node.processes") + 1]
                worker = next((word.partition("=")[2] for word in words if word.startswith("--worker=")), None)
                found[name if worker is None else f"{name}-{worker}"] = pid
            elif words and words[0].endswith("postgres"):
                found["postgres"] = pid
        return found

    def find_leftovers(self) -> list[list[str]]:
        """Commands of all processes that still have to do with this data directory or are of its supervisor."""
        mark = str(self.data_dir)
        return [
            words
            for entry in Path("/proc").glob("[0-9]*")
            if (words := read_command(int(entry.name)))
            and (any(mark in word for word in words) or f"--parent={self.pid}" in words)
        ]

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.output.append(line)

    def _is_announced(self) -> bool:
        return any(line.startswith(LAST_LINE) for line in list(self.output))

    def _has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None


@contextmanager
def run_node(data_dir: Path, account: Account, part: str = "up", **settings: str) -> Iterator[RunningNode]:
    """Nothing of it survives the block, whatever happens in it."""
    node = RunningNode(data_dir, account, part, **settings)
    try:
        yield node
    finally:
        node.end()


def find_children(parent: int) -> list[int]:
    """Those that live: whoever waits asks often, so that of all processes the parent's alone are looked at.

    A child may be left out of the kernel's list while another one is buried (proc(5), `children`), so it is read until
    it is the same twice.
    """
    before, found = None, _read_children(parent)
    while found != before:
        before, found = found, _read_children(parent)
    return [pid for pid in found if is_alive(pid)]


def _read_children(parent: int) -> list[int]:
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{parent}/task").iterdir():
            found += [int(pid) for pid in (thread / "children").read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    """Neither gone nor waiting to be buried (proc(5), /proc/pid/stat)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read_command(pid: int) -> list[str]:
    """The words of its command line; nothing for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def read_memory_bytes(pid: int) -> int:
    """Resident memory (proc(5), /proc/pid/status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
