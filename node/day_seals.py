"""What a day's statement is, and its seal: sha256 over head, rows and the seal before. Bytes and values alone."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

# Absolute values of a prefix and day, in the order in which they are sealed.
ROW_MEASURES = (
    "registered_new",
    "range_minted",
    "registered_total",
    "registered_live",
    "retired_total",
    "resolutions",
    "resolutions_ok",
    "resolutions_uncounted",
)


@dataclass(frozen=True, slots=True)
class ClosedRow:
    """What is stated of a prefix on a day; `measures` in the order of ROW_MEASURES.

    templates: [template_id, registered_new, range_minted, resolutions, resolutions_ok] of those with something.
    """

    prefix_id: int
    prefix: str
    enterprise_id: int | None
    measures: tuple[int, ...]
    templates: tuple[tuple[int, ...], ...] = ()

    def get_measure(self, name: str) -> int:
        return self.measures[ROW_MEASURES.index(name)]

    def format(self) -> dict[str, Any]:
        """Ready for JSON."""
        named = dict(zip(ROW_MEASURES, self.measures, strict=True))
        templates = [list(one) for one in self.templates]
        return {"prefix": self.prefix, "enterprise_id": self.enterprise_id, **named, "templates": templates}


@dataclass(frozen=True, slots=True)
class DayClose:
    """A statement on one day of one secondary prefix. Revision 1 is the sealed figure and has all rows; later ones
    have those that changed. `sequence`: its place in the chain; gaps: what the log was known to lack."""

    node_prefix: str
    day: date
    revision: int
    sequence: int
    closed_at: datetime
    reason: str
    row_count: int
    figures: dict[str, int]
    gaps: list[dict[str, Any]] = field(default_factory=list)
    previous_seal: bytes = b""
    seal: bytes = b""

    def format(self) -> dict[str, Any]:
        """Ready for JSON, without rows."""
        return {
            "node_prefix": self.node_prefix,
            "day": self.day.isoformat(),
            "status": "sealed",
            "revision": self.revision,
            "sequence": self.sequence,
            "closed_at": self.closed_at.astimezone(UTC).isoformat(),
            "reason": self.reason,
            "rows": self.row_count,
            "figures": self.figures,
            "gaps": self.gaps,
            "previous_seal": self.previous_seal.hex(),
            "seal": self.seal.hex(),
        }


def seal_day(close: DayClose, rows: Iterable[ClosedRow]) -> DayClose:
    """The statement with its seal; the order of the rows does not matter."""
    return replace(close, seal=compute_seal(close, rows))


def compute_seal(close: DayClose, rows: Iterable[ClosedRow]) -> bytes:
    """sha256 of the seal before, a line for the head and a line for each row by prefix; lines are canonical JSON."""
    head = [
        close.node_prefix,
        close.day.isoformat(),
        close.revision,
        close.sequence,
        close.closed_at.astimezone(UTC).isoformat(timespec="microseconds"),
        close.reason,
        close.row_count,
        close.figures,
        close.gaps,
    ]
    digest = sha256(close.previous_seal)
    digest.update(_encode_line(head))
    for row in sorted(rows, key=lambda row: row.prefix):
        digest.update(_encode_line([row.prefix, row.enterprise_id, *row.measures, [list(t) for t in row.templates]]))
    return digest.digest()


def _encode_line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def find_broken_links(
    node_prefix: str, closes: Sequence[DayClose], end: tuple[int, bytes] | None
) -> list[dict[str, Any]]:
    """Where the chain of one secondary prefix is broken: `closes` in their sequence, `end`: its noted last link.

    Each problem has day, revision and problem: sequence_broken, link_broken, day_missing or end_missing.
    """
    problems: list[dict[str, Any]] = []
    sequence, before, last_day = 0, b"", None
    for close in closes:
        named = {"node_prefix": node_prefix, "day": close.day.isoformat(), "revision": close.revision}
        if close.sequence != sequence + 1:
            problems.append(named | {"problem": "sequence_broken"})
        if close.previous_seal != before:
            problems.append(named | {"problem": "link_broken"})
        if close.revision == 1:
            if last_day is not None and (close.day - last_day).days != 1:
                problems.append(named | {"problem": "day_missing"})
            last_day = close.day
        sequence, before = close.sequence, close.seal
    if end != ((sequence, before) if closes else None):
        day = closes[-1].day.isoformat() if closes else None
        named = {"node_prefix": node_prefix, "day": day, "revision": closes[-1].revision if closes else None}
        problems.append(named | {"problem": "end_missing"})
    return problems
