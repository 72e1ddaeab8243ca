"""The key file is made once, for its owner alone, and never replaced."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.secret_key import load_key_ring
from schemas.errors import SetupError


def test_the_first_start_makes_the_key_and_the_second_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret.key"
    ring = load_key_ring(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key_ring(path) == ring
    assert os.listdir(path.parent) == ["secret.key"]


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with ThreadPoolExecutor(8) as threads:
        rings = list(threads.map(lambda _: load_key_ring(path), range(8)))
    assert all(ring == rings[0] for ring in rings)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret.key"
    load_key_ring(path)
    path.chmod(mode)
    with pytest.raises(SetupError) as caught:
        load_key_ring(path)
    assert caught.value.code == "secret_key_readable"


@pytest.mark.parametrize("content", [b"", b"k1:short", b"\xff\xfe\x00"])
def test_a_damaged_key_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SetupError) as caught:
        load_key_ring(path)
    assert caught.value.code == "secret_key_malformed"
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError) as caught:
        load_key_ring(tmp_path / "file" / "secret.key")
    assert caught.value.code == "secret_key_unreadable"
