"""The frame of all pages: Jinja, words in two languages, numbers and times as people read them."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined

from registry.console.sections import Entry, Section
from registry.principals import Principal
from schemas.days import ZONE
from schemas.texts import agree
from schemas.texts.console import LABELS
from schemas.texts.written import describe_written

ROOT = "/console"
STATIC = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8"}
DASH = "—"
# In this order: each browser also names those it wants to be taken for.
_BROWSERS = (
    ("MicroMessenger/", "WeChat"), ("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("Windows", "Windows"), ("Android", "Android"), ("HarmonyOS", "HarmonyOS"), ("iPhone", "iPhone"), ("iPad", "iPad"),
    ("Mac OS X", "macOS"), ("Linux", "Linux"),
)  # fmt: skip


class Frame:
    """The environment of all sections, and who sees what in the navigation."""

    def __init__(self, sections: Sequence[Section]) -> None:
        loaders: list[BaseLoader] = [PackageLoader("registry", "console/pages")]
        loaders += [section.pages for section in sections if section.pages is not None]
        self._environment = Environment(
            loader=ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True,
            undefined=StrictUndefined, auto_reload=False,
        )  # fmt: skip
        self._environment.filters.update(
            number=format_number, moment=format_moment, day=format_day, size=format_size, program=format_program,
            same=list_same, pairs=list_pairs, said=list_said,
        )  # fmt: skip
        self._labels: dict[str, tuple[str, str]] = dict(LABELS)
        for section in sections:
            self._labels.update(section.labels)
        self._entries = [entry for section in sections for entry in section.entries]

    def render(self, name: str, language: str, context: Mapping[str, Any]) -> str:
        """A page; `say(key, …)`, `say_written(…)`, `name_actor(…)` and `root` are known everywhere."""

        def say(key: str, **details: object) -> str:
            return self.say(key, language, **details)

        def name_actor(actor: str) -> str:
            """Who did it, as every history notes it (`registry.principals`), in words."""
            kind, _, name = actor.partition(":")
            return say(f"actor_{kind}", name=name) if self.find_label(f"actor_{kind}") else actor

        def say_written(text: str | None) -> str:
            return describe_written(text or "", language)

        template = self._environment.get_template(name)
        return template.render(
            context, say=say, say_written=say_written, name_actor=name_actor, language=language, root=ROOT,
            static=get_static_address,
        )  # fmt: skip

    def say(self, key: str, language: str, **details: object) -> str:
        """A word or sentence; `{name}` places are filled. Raises KeyError for what nobody has put into words."""
        chinese, english = self._labels[key]
        if not details:
            return chinese if language == "zh" else english
        return chinese.format(**details) if language == "zh" else agree(english, details).format(**details)

    def find_label(self, key: str) -> bool:
        return key in self._labels

    def list_entries(self, principal: Principal | None) -> dict[str, list[Entry]]:
        """Group → its lines, as far as they are for this caller."""
        groups: dict[str, list[Entry]] = {entry.group: [] for entry in self._entries}  # in one order for everybody
        for entry in self._entries:
            if principal is not None and entry.may(principal):
                groups[entry.group].append(entry)
        return {group: lines for group, lines in groups.items() if lines}


@cache
def read_static(name: str) -> bytes:
    """One of our own few files; KeyError for any other name, so that no path is ever made of what is asked for."""
    STATIC[name]
    return (files("registry") / "console" / "static" / name).read_bytes()


@cache
def get_static_address(name: str) -> str:
    """With its hash: a new release is never shown with an old style."""
    return f"{ROOT}/static/{name}?v={hashlib.sha256(read_static(name)).hexdigest()[:12]}"


def format_number(value: int | float | None) -> str:
    return DASH if value is None else f"{value:,}"


def format_moment(value: datetime | str | None) -> str:
    """Minutes at UTC+8, as all days of the node."""
    if not value:
        return DASH
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M")


def format_day(value: date | str | None) -> str:
    return str(value) if value else DASH


def format_program(agent: str) -> str:
    """A browser and what it runs on, as people know them; the beginning of what any other program says of itself."""
    browser = next(((name, mark) for mark, name in _BROWSERS if mark in agent), None)
    if browser is None:
        return agent[:60]
    version = re.match(r"\d+", agent.partition(browser[1])[2])
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return " ".join(filter(None, (browser[0], version and version[0], system and f"· {system}")))


def format_size(value: int) -> str:
    """Bytes as people say them."""
    return f"{value / 1_048_576:,.1f} MB" if value >= 1_048_576 else f"{max(1, value // 1_024):,} KB"


def list_same(values: Sequence[str]) -> list[tuple[str, str]]:
    """Options that show what they are."""
    return [(value, value) for value in values]


def list_pairs(rows: Sequence[Any], name: str) -> list[tuple[str, str]]:
    """Options from one attribute of rows."""
    return [(getattr(row, name), getattr(row, name)) for row in rows]


def list_said(values: Sequence[str], say: Callable[[str], str], head: str) -> list[tuple[str, str]]:
    """Options in the reader's words."""
    return [(value, say(head + value)) for value in values]
