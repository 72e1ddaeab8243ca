"""One process of the node: started from the main thread, started again when it dies, stopped in order."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from socket import socket

from node.child_log import ChildLog
from registry.parent_process import make_environment

# The first restart is immediate, so that a single crash costs as little as possible.
PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0)
SETTLED_SECONDS = 30.0  # who lived that long begins anew with the pauses


@dataclass
class Child:
    """`arguments` follow `python -m node.processes`; `sockets` are inherited by every successor."""

    name: str
    arguments: list[str]
    log: ChildLog
    sockets: dict[str, socket] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    on_terminal: bool = False  # prints on the supervisor's terminal instead of the log
    deaths: int = 0  # since it last settled
    deaths_seen: int = 0  # since the supervisor began
    pause_seconds: float = 0.0  # before the next start
    _due: float = 0.0  # time.monotonic() of the next start
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _started: float = 0.0

    def start(self) -> None:
        """For the main thread only: the child is killed when the thread that started it ends."""
        passed = [f"--{name}={opened.fileno()}" for name, opened in self.sockets.items()]
        # -P: a directory `node` where the operator happens to stand must not be taken for ours.
        command = [sys.executable, "-P", "-m", "node.processes", *self.arguments, f"--parent={os.getpid()}", *passed]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=None if self.on_terminal else subprocess.PIPE,
            stderr=None if self.on_terminal else subprocess.STDOUT,
            pass_fds=[opened.fileno() for opened in self.sockets.values()],
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops its children in order
            env=make_environment() | self.environment,
        )
        self._started = time.monotonic()
        if self._process.stdout is not None:
            self.log.copy_from(self._process.stdout)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def take_death(self) -> str | None:
        """How it ended, once for each death; from then on it is due after a pause. None while it runs."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        self._process = None
        self.deaths_seen += 1
        if time.monotonic() - self._started > SETTLED_SECONDS:
            self.deaths = 0
        self.put_off()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def put_off(self) -> None:
        """Count a death or a start in vain, and wait longer than after the one before."""
        self.pause_seconds = PAUSES_SECONDS[min(self.deaths, len(PAUSES_SECONDS) - 1)]
        self.deaths += 1
        self._due = time.monotonic() + self.pause_seconds

    def restart_if_due(self) -> bool:
        """Raises OSError if the system cannot start any process now."""
        if self._process is not None or time.monotonic() < self._due:
            return False
        self.start()
        return True

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)  # does nothing once it has ended

    def end(self) -> None:
        """Kill it if it still runs; close its log."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.log.close()
