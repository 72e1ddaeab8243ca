"""Lock files say what is installed, never from where: an address in them would be somebody's own mirror."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ["requirements.lock", "requirements-dev.lock"]
PINNED = re.compile(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
ADDRESSES = [
    "http://",
    "https://",
    "file://",
    "git+",
    " @ ",
    "--index",
    "--extra-index",
    "--find-links",
    "--trusted-host",
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def find_names(lock: str) -> set[str]:
    return {line.partition("==")[0].partition("[")[0] for line in lock.splitlines() if "==" in line[:80]}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_holds_names_versions_and_hashes_only(name: str) -> None:
    strange = [line for line in read(name).splitlines() if not (PINNED.fullmatch(line) or HASH.fullmatch(line))]
    assert strange == []


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_lock_file_names_no_address(name: str, address: str) -> None:
    assert address not in read(name)


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_a_hash(name: str) -> None:
    for block in re.split(r"\n(?=\S)", read(name).strip()):
        assert "--hash=sha256:" in block, block.partition("\n")[0]


def test_what_runs_is_tested_in_the_same_versions() -> None:
    pins = [{line.split()[0] for line in read(name).splitlines() if PINNED.fullmatch(line)} for name in LOCKS]
    assert pins[0] <= pins[1]


@pytest.mark.parametrize(("name", "groups"), [(LOCKS[0], ["build"]), (LOCKS[1], ["build", "dev"])])
def test_every_direct_dependency_is_locked(name: str, groups: list[str]) -> None:
    project = tomllib.loads(read("pyproject.toml"))
    wanted = project["project"]["dependencies"] + [d for g in groups for d in project["dependency-groups"][g]]
    missing = {re.split(r"[\[<>=~! ]", text)[0].lower() for text in wanted} - find_names(read(name))
    assert not missing


def test_nothing_that_records_addresses_is_kept() -> None:
    kept = [p for pattern in ("uv.lock", "pylock*.toml", "poetry.lock", "Pipfile.lock") for p in ROOT.glob(pattern)]
    assert kept == []
