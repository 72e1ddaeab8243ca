"""Which encoding a text file is in: told by all of its lines, never by its first ones alone."""

import codecs
from pathlib import Path
from typing import NamedTuple, TextIO

from registry.tables.model import FileRefused

CHUNK_BYTES = 1 << 20
JUDGED_LINES = 20_000
_ALIASES = {
    "utf-8": "utf-8-sig", "utf8": "utf-8-sig", "utf-8-sig": "utf-8-sig",
    "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030", "cp936": "gb18030",
    "utf-16": "utf-16", "utf16": "utf-16",
}  # fmt: skip


class TextSurvey(NamedTuple):
    """`encoding` is a codec of Python; `lines` counts line feeds; a file cut off may end without one."""

    encoding: str
    lines: int
    ends_with_newline: bool


def survey_text(path: Path, asked: str | None = None) -> TextSurvey:
    """Reads the whole file once, in flat memory; raises FileRefused if it is no text or its encoding is not told."""
    with path.open("rb") as file:
        head = file.read(4_096)
    if not head:
        raise FileRefused("file_empty")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _count_lines(path, "utf-16")
    if (unmarked := _find_utf16(head)) is not None:
        return _count_lines(path, unmarked)
    if sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head) * 10 > len(head):
        raise FileRefused("file_not_a_table")
    if asked is not None:
        encoding = _ALIASES.get(asked.strip().lower().replace("_", "-"))
        if encoding is None:
            raise FileRefused("file_encoding_unknown", field="encoding", encoding=asked)
        if encoding == "utf-16":  # which shows itself, and would have been found above
            raise FileRefused("file_encoding_wrong", field="encoding", encoding=asked)
        candidates: tuple[str, ...] = (encoding,)
    elif head.startswith(codecs.BOM_UTF8):
        candidates = ("utf-8-sig",)
    else:
        candidates = ("utf-8-sig", "gb18030")
    survey = _count_lines(path, candidates[0])
    if _is_wholly(path, candidates[0]):
        return survey
    return survey._replace(encoding=_judge_lines(path, candidates, survey.ends_with_newline))


def _find_utf16(head: bytes) -> str | None:
    """UTF-16 without its mark: separators, digits and line ends have a NUL beside them, and always on the same side."""
    first, second = head[::2].count(0), head[1::2].count(0)
    if (first + second) * 20 > len(head) + 20 and not (first and second):
        return "utf-16-be" if first else "utf-16-le"
    return None


def open_text(path: Path, encoding: str) -> TextIO:
    """The text behind its byte order mark, which programs that convert UTF-8 to GB18030 leave in."""
    file = path.open(encoding=encoding, errors="replace", newline="")
    if file.read(1) != "\ufeff":
        file.seek(0)
    return file


def _count_lines(path: Path, encoding: str) -> TextSurvey:
    lines, last = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            lines += chunk.count(b"\n")
            last = chunk[-2:]
    ends = last.endswith((b"\n", b"\r")) or (encoding.startswith("utf-16") and last in (b"\n\0", b"\0\n"))
    return TextSurvey(encoding, lines + (not ends), ends)


def _is_wholly(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _judge_lines(path: Path, candidates: tuple[str, ...], ends_with_newline: bool) -> str:
    """The first encoding that fits most of the lines that tell anything.

    Text in GB18030 is hardly ever valid UTF-8, while the reverse happens often: so UTF-8 is asked first, and single
    damaged lines do not make a UTF-8 file a GB18030 one. A last line without its end counts only if it is alone.
    """
    failed = dict.fromkeys(candidates, 0)
    judged = 0
    with path.open("rb") as file:
        while judged < JUDGED_LINES and (line := file.readline(CHUNK_BYTES)):
            is_whole = line.endswith(b"\n")
            if not line.isascii() and (is_whole or judged == 0):
                judged += 1
                for encoding in candidates:
                    failed[encoding] += not _decodes(line, encoding)
    for encoding in candidates:
        if failed[encoding] * 2 <= judged:
            return encoding
    if judged == 1 and not ends_with_newline:
        return candidates[0]  # nothing but a row that was cut off; it will be refused as such
    raise FileRefused("file_encoding_wrong", field="encoding", encoding=" / ".join(candidates))


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
