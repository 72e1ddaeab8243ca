"""Small files on a disk that has no room for another one."""

import json
import os
from pathlib import Path

import pytest

from schemas.small_files import ROOM_BYTES, replace_json


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A file that was written once, where no other can be made beside it now."""
    path = tmp_path / "stats" / "agent.json"
    replace_json(path, json.dumps({"said": "before"}))
    path.with_suffix(f".{os.getpid()}.new").mkdir()
    return path


@pytest.mark.parametrize("said", ["", "a", "x" * (ROOM_BYTES - 100)])
def test_what_is_new_is_read_on_a_full_disk_too(full: Path, said: str) -> None:
    size = full.stat().st_size
    replace_json(full, json.dumps({"said": said}))
    assert json.loads(full.read_text()) == {"said": said}
    assert full.stat().st_size == size, "not a block more"


def test_what_has_outgrown_its_file_leaves_the_old_one_whole(full: Path) -> None:
    with pytest.raises(OSError):
        replace_json(full, json.dumps({"said": "x" * ROOM_BYTES}))
    assert json.loads(full.read_text()) == {"said": "before"}
