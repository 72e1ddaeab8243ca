"""What tells the probes of this machine from questions."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

FILE_NAME = "probe-token"


def get_probe_token(run_dir: Path) -> str:
    """Made by whoever needs it first; readable by its owner."""
    path = run_dir / FILE_NAME
    if not path.exists():
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.new")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(16), encoding="ascii")
        with suppress(FileExistsError):  # another process was quicker; its token holds
            os.link(draft, path)
        draft.unlink()
    return path.read_text(encoding="ascii").strip()
