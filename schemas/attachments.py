"""Files that may be attached to a dossier (domain.md §b.2 W2, E02): what they are by their content, and how large."""

import re
import struct
from typing import NamedTuple

from schemas.errors import InvalidInput, TooLarge

MAX_IMAGE_BYTES = 1024 * 1024
MAX_PDF_BYTES = 5 * 1024 * 1024
MAX_NAME_CHARACTERS = 255


class Kind(NamedTuple):
    """`endings`: of file names, the first one is given to names that have none of them."""

    media_type: str
    endings: tuple[str, ...]
    max_bytes: int


KINDS = {
    "jpeg": Kind("image/jpeg", (".jpg", ".jpeg"), MAX_IMAGE_BYTES),
    "png": Kind("image/png", (".png",), MAX_IMAGE_BYTES),
    "bmp": Kind("image/bmp", (".bmp",), MAX_IMAGE_BYTES),
    "pdf": Kind("application/pdf", (".pdf",), MAX_PDF_BYTES),
}
_PDF_HEAD = re.compile(rb"%PDF-[12]\.\d", re.ASCII)
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})  # sizes of the versions of the second header
# Frame headers SOF0 to SOF15 (ITU T.81 table B.1) without the table definitions among those numbers.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_content(content: bytes) -> str:
    """The kind of a file, whatever it is called; raises InvalidInput, or TooLarge for its kind."""
    kind = _find_kind(content)
    if kind is None:
        raise InvalidInput("attachment_kind", field="file")
    limit = KINDS[kind].max_bytes
    if len(content) > limit:
        raise TooLarge("attachment_too_large", field="file", bytes=len(content), limit=limit, kind=kind.upper())
    return kind


def _find_kind(content: bytes) -> str | None:
    """None also for a file that was cut off: it has no end."""
    if _PDF_HEAD.match(content):
        return "pdf" if b"%%EOF" in content[-1024:] else None
    if content.startswith(_PNG_HEAD):
        return "png" if b"IEND" in content[-64:] else None
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg" if _has_jpeg_frame(content) and b"\xff\xd9" in content[-1024:] else None
    if content.startswith(b"BM") and len(content) > 26:
        size, _, _, header = struct.unpack_from("<IIII", content, 2)
        return "bmp" if size in (0, len(content)) and header in _BMP_HEADERS else None
    return None


def _has_jpeg_frame(content: bytes) -> bool:
    """Walk from marker to marker up to the picture's frame header."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _JPEG_FRAMES:
            return True
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return False


def make_name(name: str, kind: str) -> str:
    """What a file is called when it is sent back: the last part of its name, with the ending of what it really is."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    # Unprintable characters, lone surrogates and those that turn the direction of writing, which would hide an ending.
    shown = "".join(c for c in last if c.isprintable() and c not in '"<>:|?*/').strip(" .")
    endings = KINDS[kind].endings
    if not shown.lower().endswith(endings):
        shown = (shown or "file") + endings[0]
    if len(shown) <= MAX_NAME_CHARACTERS:
        return shown
    stem, _, ending = shown.rpartition(".")
    return f"{stem[: MAX_NAME_CHARACTERS - len(ending) - 1]}.{ending}"
