"""What a child process prints goes to a file of bounded size; warnings and errors to the terminal as well."""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import IO

from node.logs import find_warning

LOG_BYTES = 10_000_000  # then it becomes <name>.log.1, in place of the one before
REPEAT_SECONDS = 60.0


class ChildLog:
    """The log of one process name. A thread copies, so that a child never waits for a supervisor that is busy."""

    def __init__(self, path: Path, echo: Callable[[str], None], limit_bytes: int = LOG_BYTES) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._echo = echo
        self._file: FileIO | None = None
        self._lock = threading.Lock()  # a successor's output may begin before all of its predecessor's is read
        self._said: dict[str, float] = {}

    def copy_from(self, stream: IO[bytes]) -> threading.Thread:
        thread = threading.Thread(target=self._copy, args=(stream,), name=f"log {self.path.name}", daemon=True)
        thread.start()
        return thread

    def read_reason(self) -> str:
        """The last line that is not part of a trace's body: what a process said before it ended."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace")[-10_000:].splitlines()
        except OSError:
            return "?"
        return next((line.strip() for line in reversed(lines) if line.strip()), "?")

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _copy(self, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(65_536):
                self._keep(line)
                self._echo_if_important(line)

    def _keep(self, line: bytes) -> None:
        """As a whole or, on a full disk, not at all: the child must not notice."""
        with self._lock, suppress(OSError):
            file = self._open_for(len(line))
            written = file.write(line)
            if written < len(line):
                os.ftruncate(file.fileno(), file.tell() - written)

    def _open_for(self, line_bytes: int) -> FileIO:
        """What has this name now: anybody may have moved or deleted the file, or its directory."""
        try:
            there: os.stat_result | None = self.path.stat()
        except FileNotFoundError:
            there = None
        if there is not None and there.st_size + line_bytes > self._limit_bytes:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            there = None
        if self._file is not None and (there is None or not os.path.samestat(there, os.fstat(self._file.fileno()))):
            self._file.close()
            self._file = None
        if self._file is None:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - kept open
        return self._file

    def _echo_if_important(self, line: bytes) -> None:
        text = find_warning(line.decode("utf-8", errors="replace").rstrip())
        if text is None:
            return
        now = time.monotonic()
        if now - self._said.get(text, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            self._said = {said: at for said, at in self._said.items() if now - at < REPEAT_SECONDS}
            self._said[text] = now
            self._echo(f"{self.path.stem}: {text}")


def print_line(line: str) -> None:
    """On stderr, with the time: stdout is for the table."""
    with suppress(OSError):  # the terminal has gone, or what stderr is written to is full: the node goes on
        print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)
