"""What the figures were measured on: cores, memory, versions. No names of machines, no paths."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

MEMORY = r"MemTotal:\s*(\d+)"  # kB


def describe_machine() -> list[tuple[str, str]]:
    return [
        ("cores", str(len(os.sched_getaffinity(0)))),
        ("processor", _find(r"model name\s*:\s*(.+)", "/proc/cpuinfo")),
        ("memory", f"{int(_find(MEMORY, '/proc/meminfo')) / 1_048_576:.1f} GB"),
        ("kernel", platform.release()),
        ("virtual", "yes" if "hypervisor" in _find(r"flags\s*:\s*(.+)", "/proc/cpuinfo").split() else "no"),
        ("Python", platform.python_version()),
        ("nginx", _ask(["nginx", "-v"], r"nginx/(\S+)")),
        ("wrk", _ask(["wrk", "-v"], r"wrk (?:debian/)?(\S+)")),
    ]


def get_load() -> float:
    """Processes that ran or waited to run during the last minute."""
    return os.getloadavg()[0]


def _find(pattern: str, path: str) -> str:
    match = re.search(pattern, Path(path).read_text())
    return match.group(1).strip() if match else ""


def _ask(command: list[str], pattern: str) -> str:
    if shutil.which(command[0]) is None:
        return "unknown"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout + done.stderr)
    return match.group(1) if match else "unknown"
