"""Aligned columns for a terminal, counting Chinese characters as two."""

import unicodedata
from collections.abc import Iterable, Sequence


def measure_width(text: str) -> int:
    """Columns of a terminal the text takes (Unicode Annex 11)."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def format_table(rows: Iterable[Sequence[object]], header: Sequence[str] = (), indent: int = 0) -> str:
    """Rows as lines, two blanks between columns; nothing is cut, so that a line can be pasted."""
    lines = [[str(cell) for cell in row] for row in rows]
    if header:
        lines.insert(0, list(header))
    columns = max((len(line) for line in lines), default=0)
    widths = [max(measure_width(line[at]) for line in lines if at < len(line)) for at in range(columns)]
    if header:
        lines.insert(1, ["─" * width for width in widths])
    return "\n".join(
        " " * indent
        + "  ".join(
            cell + " " * (width - measure_width(cell)) for cell, width in zip(line, widths, strict=False)
        ).rstrip()
        for line in lines
    )
