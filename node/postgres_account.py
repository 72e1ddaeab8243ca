"""The system account PostgreSQL runs under: it refuses root, and wants an account that exists."""

import ctypes
import logging
import os
import pwd
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import SetupError

PR_SET_PDEATHSIG = 1

log = logging.getLogger("idnode.postgres")


@dataclass(frozen=True, slots=True)
class Account:
    """`switch` is true when root gives up its rights for it."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen_arguments(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def environment(self) -> dict[str, str]:
        """Nothing of the caller's: PGPORT, PGDATA or a locale not installed would change the server."""
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "USER": self.name, "TZ": "UTC"}

    def prepare_child(self, parent_pid: int) -> Callable[[], None]:
        """A preexec function: the server shuts down in order when its supervisor dies, even by kill -9."""
        prctl = getattr(ctypes.CDLL(None), "prctl", None)  # loaded here: a forked child must not import

        def prepare() -> None:
            if prctl is not None:
                prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
                if os.getppid() != parent_pid:  # it died before we asked to be told
                    os._exit(1)

        return prepare


def choose_account(wanted: str | None, cluster: Path) -> Account:
    """Our own account; for root `wanted`, else the owner of the cluster, else `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        try:
            name = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            raise SetupError("database_account_unknown", account=f"uid {os.geteuid()}") from None
        return Account(name, os.geteuid(), os.getegid(), switch=False)
    if wanted is not None:
        account = find_account(wanted)
        if account is None or account.uid == 0:
            raise SetupError("database_account_unknown", account=wanted)
        return account
    account = find_owner(cluster) or find_account("postgres")
    if account is None:
        account = find_account("nobody")
        log.warning("no system account postgres: the database runs as nobody; IDNODE_DATABASE_USER names another")
    if account is None:
        raise SetupError("database_account_unknown", account="postgres")
    return account


def find_account(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid, switch=True)


def find_owner(path: Path) -> Account | None:
    """The account that owns an existing cluster, so that a `postgres` made later does not take it over."""
    try:
        uid = path.stat().st_uid
        return find_account(pwd.getpwuid(uid).pw_name) if uid else None
    except (FileNotFoundError, KeyError):
        return None


def can_reach(path: Path, account: Account) -> bool:
    """Whether the account may pass all directories down to `path`, by the modes of those that exist.

    They are never ours to change: opening /root for a database would open it for everyone.
    """
    for directory in (path, *path.parents):
        try:
            status = directory.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        else:
            needed = stat.S_IXGRP if status.st_gid == account.gid else stat.S_IXOTH
        if account.uid != 0 and not status.st_mode & needed:
            return False
    return True


def claim(directory: Path, account: Account) -> None:
    """Give a directory of ours, with all it holds, to the account, unless it has it already."""
    if not account.switch:
        return
    if directory.lstat().st_uid == account.uid:
        return
    for path, folders, files in os.walk(directory):
        for name in folders + files:
            os.lchown(os.path.join(path, name), account.uid, account.gid)
    os.lchown(directory, account.uid, account.gid)  # last, so that an interrupted claim is done again
    directory.chmod(stat.S_IRWXU)
