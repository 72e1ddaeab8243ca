"""Small files that are replaced all the time, and that must tell the truth when the disk is full as well."""

import os
from contextlib import suppress
from pathlib import Path

ROOM_BYTES = 4_096


def replace_json(path: Path, text: str) -> None:
    """As a whole; if there is no room for another file, within this one, which ends with blanks to have some.

    `text` is ASCII. Raises OSError if it cannot be written or has outgrown the file.
    """
    content = text.encode("ascii")
    content += b" " * (-len(content) % ROOM_BYTES)
    draft = path.with_suffix(f".{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        with path.open("r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if len(content) > size:
                raise
            file.write(content.ljust(size))
