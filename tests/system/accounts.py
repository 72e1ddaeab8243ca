"""The accounts the system tests run the node under, and a copy of the program for one that cannot reach ours."""

import getpass
import os
import shutil
import subprocess
import sys
import sysconfig
import warnings
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("node", "registry", "resolver", "schemas", "data")
ORDINARY = "nobody"  # exists on every system


@dataclass(frozen=True, slots=True)
class Account:
    """`name` None: whoever runs the tests. `command` starts the program `idnode`."""

    name: str | None
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def popen_arguments(self) -> dict[str, object]:
        return {} if self.name is None else {"user": self.name, "group": gid_of(self.name), "extra_groups": []}


def gid_of(name: str) -> int:
    import pwd

    return pwd.getpwnam(name).pw_gid


def use_own() -> Account:
    return Account(None, [sys.executable, "-m", "node.cli"], {"PYTHONPATH": str(ROOT)})


def use_ordinary(place: Path) -> Account:
    """An account without rights: ourselves, unless we are root; `place` is a directory that everybody can reach."""
    if os.geteuid() != 0:
        warnings.warn(f"not root: the node is tested as {getpass.getuser()} only, not as root", stacklevel=1)
        return use_own()
    own = Account(ORDINARY, [sys.executable, "-m", "node.cli"], {"PYTHONPATH": str(ROOT)})
    return own if can_run(own) else copy_program(place)


def can_run(account: Account) -> bool:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | account.environment
    try:
        done = subprocess.run(
            [*account.command, "--help"],
            capture_output=True,
            cwd="/",
            env=environment,
            check=False,
            **account.popen_arguments,  # type: ignore[call-overload]
        )
    except PermissionError:
        return False
    return bool(done.returncode == 0)


def copy_program(place: Path) -> Account:
    """Python, our packages and what they need, below a directory that everybody can reach: links where possible."""
    python = place / "python"
    copy_tree(Path(sys.base_prefix), python, "site-packages", "test", "share", "include", "*.a")
    for package in PACKAGES:
        copy_tree(ROOT / package, place / "source" / package)
    copy_tree(Path(sysconfig.get_path("purelib")), place / "site", "*mypy*", "gevent", "pip")
    interpreter = python / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    path = f"{place / 'source'}{os.pathsep}{place / 'site'}"
    # Its library, if it has one, would be looked for where it was installed, which this account cannot reach.
    environment = {"PYTHONPATH": path, "PYTHONHOME": str(python), "LD_LIBRARY_PATH": str(python / "lib")}
    account = Account(ORDINARY, [str(interpreter), "-m", "node.cli"], environment)
    assert can_run(account), f"{ORDINARY} can run neither {sys.executable} nor a copy of it in {place}"
    return account


def copy_tree(source: Path, target: Path, *without: str) -> None:
    ignored = shutil.ignore_patterns(*without)
    shutil.copytree(source, target, symlinks=True, ignore=ignored, copy_function=link)


def link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
