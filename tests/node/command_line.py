"""A command line of `idnode` in this process: everything but the start of an interpreter."""

import io
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from node.cli import run_command


def run_here(
    arguments: list[str], settings: Mapping[str, str], directory: Path, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Exit status, stdout and stderr; in a thread, since each command has a loop of its own."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err),
        ThreadPoolExecutor(1) as thread,
    ):  # fmt: skip
        for name in [name for name in os.environ if name.startswith("IDNODE_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.chdir(directory)
        patch.setattr("sys.stdin", io.StringIO(given))
        status = thread.submit(run_command, arguments).result()
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
