"""How complete what a rehearsal top-level node received is, per prefix, table and day."""

from datetime import date, timedelta
from typing import Any

from node.toplevel.book import Book, fetch_messages, fetch_rows
from schemas.days import get_working_day, list_months
from schemas.toplevel_tables import CURRENT, REPORT_DUE

DAILY = ("T3", "T8", "M1", "M2")
MONTHLY = ("T5", "T10")
STANDING = ("T2", "T6", "T7", "PREFIXES", "STATE")


def score(book: Book, last: date, days: int = 7) -> list[dict[str, Any]]:
    """One dict for each prefix, table and period: parts announced and received, rows, refused, breaks, complete (0–1).

    `breaks` are prefixes whose total is not that of the day before plus the new ones, where both days are there.
    """
    lines: list[dict[str, Any]] = []
    seen = {(row["prefix"], row["table_name"], row["period"]): dict(row) for row in fetch_messages(book)}
    for prefix in sorted({key[0] for key in seen}):
        for day in (last - timedelta(days=back) for back in range(days)):
            lines += [_judge(book, seen, (prefix, table, day.isoformat())) for table in DAILY]
        month = (last + timedelta(days=1)).isoformat()[:7]  # that of today: it is told on its first day
        lines += [_judge(book, seen, (prefix, table, month)) for table in MONTHLY]
        lines += [_judge(book, seen, (prefix, "MR", before)) for before in _list_due(seen, prefix, last)]
        lines += [_judge(book, seen, (prefix, table, CURRENT)) for table in STANDING]
    return lines


def _list_due(seen: dict[Any, dict[str, Any]], prefix: str, last: date) -> list[str]:
    """The month before, once its report is due or there: of a node that told of one of its days."""
    before = list_months((last + timedelta(days=1)).isoformat()[:7], 2)[0]
    told = any(key[:2] == (prefix, "T3") and key[2].startswith(before) for key in seen)
    is_due = told and last >= get_working_day(before, REPORT_DUE)
    return [before] if is_due or (prefix, "MR", before) in seen else []


def _judge(book: Book, seen: dict[Any, dict[str, Any]], key: tuple[str, str, str]) -> dict[str, Any]:
    prefix, table, period = key
    found = seen.get(key, {"parts": 0, "received": 0, "rows": 0, "refused": 0, "rev": None})
    # Messages about single prefixes have no parts that belong together.
    parts = found["parts"] if table != "STATE" else found["received"]
    rows = found["rows"] + found["refused"]
    arrived = min(found["received"] / parts, 1.0) if parts else 0.0
    return {
        "prefix": prefix,
        "table": table,
        "period": period,
        "parts": parts,
        "received": found["received"],
        "rows": found["rows"],
        "refused": found["refused"],
        "rev": found["rev"],
        "breaks": _count_breaks(book, prefix, period) if table == "T8" and parts else 0,
        "complete": round(arrived * (found["rows"] / rows if rows else 1.0), 4),
    }


def _count_breaks(book: Book, prefix: str, day: str) -> int:
    before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    totals = {row["prefix"]: row["regTotal"] for row in fetch_rows(book, "T8", before, prefix)}
    return sum(
        row["prefix"] in totals and row["regTotal"] != totals[row["prefix"]] + row["regNew"]
        for row in fetch_rows(book, "T8", day, prefix)
    )
