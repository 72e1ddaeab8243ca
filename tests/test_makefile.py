"""What a fresh machine lacks is said by `make` in one sentence, in both languages, and nothing is begun."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OLD = "#!/bin/sh\necho False\n"  # what an old Python answers when asked whether it is new enough
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\necho True\n'  # Debian without python3-venv
ABSENT = "#!/no/such/interpreter\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("goal", ["run", "test", "bench", "lint", "types"])
@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        (OLD, "Python 3.11 or later is needed"),
        (ABSENT, "Python 3.11 or later is needed"),
        (WITHOUT_VENV, "install it: apt install python3-venv"),
    ],
    ids=["old", "absent", "without venv"],
)
def test_what_is_missing_is_the_last_line_printed(clone: Path, goal: str, python: str, sentence: str) -> None:
    fake = clone / "python"
    fake.write_text(python)
    fake.chmod(0o755)
    done = subprocess.run(["make", goal, f"PYTHON={fake}"], cwd=clone, capture_output=True, text=True)
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert done.returncode != 0
    assert sentence in last and "请安装" in last
    assert not (clone / ".venv").exists()


def test_continuous_integration_calls_make_test_and_nothing_else() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in script if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
