"""The key file of the node: made at first start, mode 0600, named in `doctor`, kept with every backup."""

import os
from pathlib import Path

from schemas.errors import SetupError
from schemas.sealing import KeyRing, format_key_ring, make_key, parse_key_ring


def load_key_ring(path: Path) -> KeyRing:
    """Read the key file, making it if there is none; raises SetupError."""
    try:
        _make_key_file(path)
        mode = path.stat().st_mode
        if mode & 0o077:
            raise SetupError("secret_key_readable", path=path, mode=f"{mode & 0o777:o}")
        return parse_key_ring(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError("secret_key_unreadable", path=path, reason=error.strerror or str(error)) from error
    except ValueError as error:
        raise SetupError("secret_key_malformed", path=path, reason=str(error)) from error


def _make_key_file(path: Path) -> None:
    """Whole or not at all: two processes that start together must end up with one key."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    key_id, key = make_key()
    draft = path.with_name(f"{path.name}.{key_id}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(format_key_ring(KeyRing({key_id: key})))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # the other process was first; its key counts
    finally:
        draft.unlink()
