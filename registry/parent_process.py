"""A process and those it starts: they find the same code, and none is left behind, not even after kill -9."""

import ctypes
import os
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Be killed when the parent dies. Called first of all in the main thread; ends at once if it has died already.

    The signal follows the parent's thread: the parent must start us from one that lives as long as it does.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def make_environment() -> dict[str, str]:
    """This process's environment, for a child that finds our packages wherever it is started, and all we find."""
    packages, before = str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{packages}{os.pathsep}{before}" if before else packages}
