"""Ties a process to the one that started it, so that none is left behind, not even after kill -9."""

import ctypes
import os
import signal

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
