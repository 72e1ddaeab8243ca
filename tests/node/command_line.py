"""A command line of `idnode` in this process: everything but the start of an interpreter."""

import io
import json
import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from node.cli import run_command

DOCS = Path(__file__).parents[2] / "docs"


def read_reference(name: str) -> dict[str, frozenset[str]]:
    """Command → the members that a table of the reference promises of its JSON."""
    promised: dict[str, frozenset[str]] = {}
    for row in (DOCS / name).read_text(encoding="utf-8").splitlines():
        if row.startswith("| `"):
            _, commands, _, members, _ = row.split("|")
            plain = re.split("[;；]", re.sub(r"\(.*?\)|（.*?）", "", members))[0]
            promised |= dict.fromkeys(re.findall("`(.+?)`", commands), frozenset(re.findall("`(.+?)`", plain)))
    return promised


PROMISED = read_reference("cli.md")


def check_promise(arguments: list[str], printed: str) -> None:
    """Whatever a test asks for as JSON is what the reference says."""
    names = (" ".join(arguments[:words]) for words in (3, 2, 1))
    promised = next((PROMISED[name] for name in names if name in PROMISED), None)
    if promised is None or "--at" in arguments:
        return
    document = json.loads(printed)
    for one in document[:1] if isinstance(document, list) else [document]:
        assert promised <= one.keys(), (arguments, promised - one.keys())


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
    if "--json" in arguments and status == 0:
        check_promise(arguments, out.getvalue())
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
