"""The page of the rehearsal top-level node: what it received, how complete that is, what it refused and decided."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from node.toplevel import book as store
from node.toplevel.behaviour import Behaviour, read_behaviour
from node.toplevel.book import Book
from node.toplevel.score import score
from node.wording import say
from schemas.days import ZONE, get_day
from schemas.texts import format_message
from schemas.texts.toplevel import LABELS
from schemas.toplevel_tables import TABLES

DAYS_SHOWN = 3
MESSAGES_SHOWN = 60


@cache
def _load_page() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html")


def render_page(book: Book, now: datetime, language: str) -> str:
    """HTML in `zh` or `en`; needs no script and nothing from elsewhere."""
    refusals = [
        entry | {"at": format_time(entry["at"]), "text": format_message(f"tln_{entry['code'].lower()}", language,
                                                                       field=entry["field"])}
        for entry in store.fetch_refusals(book, 20)
    ]  # fmt: skip
    told = read_behaviour(book)
    usual = Behaviour()
    changed = {name: getattr(told, name) for name in Behaviour.__slots__ if getattr(told, name) != getattr(usual, name)}
    return _load_page().render(
        say=lambda name: say(LABELS[name], language),
        language=language,
        other="en" if language == "zh" else "zh",
        now=now.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S"),
        nodes=[node | {"at": format_time(node["at"])} for node in store.fetch_heartbeats(book)],
        messages=[
            dict(message) | {"at": format_time(message["at"])}
            for message in store.fetch_messages(book)[:MESSAGES_SHOWN]
        ],
        scores=score(book, get_day(now) - timedelta(days=1), DAYS_SHOWN),
        refusals=refusals,
        tasks=store.fetch_tasks(book),
        tables=TABLES,
        behaviour=changed,
    )


def format_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZONE).strftime("%m-%d %H:%M:%S")
