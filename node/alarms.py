"""Alarms: one for each cause and subject, told once, told again while it lasts, and told when it is over.

What is open stands in a file of this machine, since an alarm must go out while the database is away; the database has
a copy for lists. Decisions are functions of what is true now; who looks and who sends stands elsewhere.
"""

import json
import logging
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from schemas.days import ZONE
from schemas.small_files import replace_json
from schemas.texts import format_message, format_remedy

log = logging.getLogger("idnode.alarms")

# Each has a paragraph of this name in docs/operations.md, and texts of the code `alarm_<cause>`.
CAUSES = (
    "slow_resolution", "cold_cache", "database_away", "disk_full", "clock_off", "report_refused",
    "certificate_expiring", "worker_restarting", "agent_silent", "restored", "clock_jumped", "problem_reported",
    "report_overdue",
)  # fmt: skip
PAGE = "docs/operations.md"
CLOCKS = {"database": ("数据库", "the database"), "time server": ("时间服务器", "the time server")}
CLEAR_SECONDS = 30.0  # nothing is over before it has not been seen for so long
UNSENT_KEPT = 200
UNSENT_SECONDS = 86_400.0

Kind = Literal["raised", "repeated", "cleared", "test"]


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now; `details` fill the text."""

    cause: str
    subject: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.cause, self.subject


@dataclass(slots=True)
class Alarm:
    """An open one; times are seconds since 1970."""

    cause: str
    subject: str
    details: dict[str, Any]
    raised: float
    seen: float
    told: float

    @property
    def key(self) -> tuple[str, str]:
        return self.cause, self.subject


@dataclass(slots=True)
class Letter:
    """What is to be sent by one way (webhook, mail) until it has arrived."""

    way: str
    document: dict[str, Any]
    written: float


@dataclass(slots=True)
class Book:
    """All that is open, and what could not be sent yet."""

    alarms: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    unsent: list[Letter] = field(default_factory=list)
    machine: str = ""  # under whose name the database was told of them; "" for none yet


def decide(book: Book, conditions: Iterable[Condition], now: float, repeat_seconds: float) -> list[tuple[Kind, Alarm]]:
    """Bring the book up to date with what is true now; what has to be told."""
    told: list[tuple[Kind, Alarm]] = []
    for condition in conditions:
        alarm = book.alarms.get(condition.key)
        if alarm is None:
            alarm = Alarm(condition.cause, condition.subject, condition.details, now, now, now)
            book.alarms[condition.key] = alarm
            told.append(("raised", alarm))
            continue
        alarm.seen, alarm.details = now, condition.details
        if now - alarm.told >= repeat_seconds or now < alarm.told:  # the clock was set back: better told twice
            alarm.told = now
            alarm.raised = min(alarm.raised, now)
            told.append(("repeated", alarm))
    for alarm in list(book.alarms.values()):
        if abs(now - alarm.seen) >= CLEAR_SECONDS:
            del book.alarms[alarm.key]
            told.append(("cleared", alarm))
    return told


def write_letters(book: Book, told: Iterable[tuple[Kind, Alarm]], ways: Iterable[str], place: str, now: float) -> None:
    """One letter for each way; the oldest go when nobody takes them."""
    listed = list(ways)
    for kind, alarm in told:
        document = describe(kind, alarm, place, now)
        say_in_log(document)
        book.unsent += [Letter(way, document, now) for way in listed]
    book.unsent = [letter for letter in book.unsent if now - letter.written < UNSENT_SECONDS][-UNSENT_KEPT:]


def describe(kind: Kind, alarm: Alarm, place: str, now: float) -> dict[str, Any]:
    """What is sent: the same document by every way."""
    code, details = f"alarm_{alarm.cause}", _word_details(alarm)
    return {
        "kind": kind,
        "cause": alarm.cause,
        "subject": alarm.subject,
        "node": place,
        "machine": socket.gethostname(),
        "raised": alarm.raised,
        "at": now,
        "message": {language: format_message(code, language, **details) for language in ("zh", "en")},
        "remedy": {language: format_remedy(code, language, **details) for language in ("zh", "en")},
        "paragraph": f"{PAGE}#{alarm.cause}",
        "details": alarm.details,
    }


def _word_details(alarm: Alarm) -> dict[str, Any]:
    """As people read them: times at UTC+8, digits grouped, other clocks by name."""
    subject, subject_en = CLOCKS.get(alarm.subject, (alarm.subject, alarm.subject))
    worded = {name: _word_detail(value) for name, value in alarm.details.items()}
    return {"subject": subject, "subject_en": subject_en, **worded}


def _word_detail(value: object) -> object:
    if isinstance(value, float):
        return f"{value:,}"
    with suppress(ValueError):
        if isinstance(value, str) and "T" in value:
            return datetime.fromisoformat(value).astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")
    return value


def say_in_log(document: dict[str, Any]) -> None:
    text = f"alarm {document['kind']}: {document['message']['en']} See {document['paragraph']}"
    (log.info if document["kind"] == "cleared" else log.error)("%s", text)


# The file ---------------------------------------------------------------------------------------------------------


def read_book(path: Path) -> Book:
    """An empty one if there is none or it cannot be read: better told twice than not at all."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        alarms = [Alarm(**alarm) for alarm in document["alarms"]]
        letters = [Letter(**letter) for letter in document["unsent"]]
        return Book({alarm.key: alarm for alarm in alarms}, letters, document.get("machine", ""))
    except (OSError, ValueError, KeyError, TypeError):
        return Book()


def write_book(path: Path, book: Book) -> None:
    """What is open is written on a full disk, too; letters may have no room there, and what is in memory counts."""
    document = {"machine": book.machine, "alarms": [asdict(a) for a in book.alarms.values()]}
    for unsent in (book.unsent, []):
        with suppress(OSError):
            replace_json(path, json.dumps(document | {"unsent": [asdict(u) for u in unsent]}, default=str))
            return


def find_book(run_dir: Path, who: str) -> Path:
    """`who`: the agent, or a supervisor."""
    return run_dir / f"alarms-{who}.json"


def list_open(run_dir: Path) -> list[Alarm]:
    """Of this machine, the oldest first; needs no database."""
    found = [alarm for path in run_dir.glob("alarms-*.json") for alarm in read_book(path).alarms.values()]
    return sorted(found, key=lambda alarm: alarm.raised)
