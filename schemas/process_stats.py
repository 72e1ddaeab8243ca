"""What a running process says of itself: a small JSON file of its own, replaced as a whole every other second.

Who answers requests only ever counts in memory; monitoring reads the files, so a scrape costs the answering nothing.
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas.small_files import replace_json

PUBLISH_SECONDS = 2.0
FRESH_SECONDS = 15.0  # who has not written for so long hangs, or is gone
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class StatsFile:
    """`<directory>/<name>.json`; `name` is that of the process, the same for its successor."""

    def __init__(self, directory: Path, name: str) -> None:
        self._path = directory / f"{name}.json"
        self._base = {"pid": os.getpid(), "started": time.time()}

    def write(self, stats: Mapping[str, Any]) -> None:
        """Never raises: a full disk is no reason to stop."""
        document = {**self._base, "written": time.time(), "resident_bytes": read_resident_bytes(), **stats}
        with suppress(OSError):
            replace_json(self._path, json.dumps(document))

    def remove(self) -> None:
        """When the process ends as it should, so that nobody takes it for one that hangs."""
        with suppress(OSError):
            if json.loads(self._path.read_text(encoding="ascii"))["pid"] == os.getpid():
                self._path.unlink()


def read_resident_bytes() -> int:
    """Of this process (proc(5), statm)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def read_stats(directory: Path) -> dict[str, dict[str, Any]]:
    """By name of process; a file that cannot be read is left out."""
    found = {}
    for path in sorted(directory.glob("*.json")):
        with suppress(OSError, ValueError):
            document = json.loads(path.read_text(encoding="ascii"))
            if isinstance(document, dict) and isinstance(document.get("written"), int | float):
                found[path.stem] = document
    return found
