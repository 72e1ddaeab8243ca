"""What a rehearsal top-level node can be told to do wrong, and when it does so."""

from dataclasses import Field, dataclass, fields
from typing import Any

from node.toplevel.book import Book, fetch_behaviour, set_behaviour, transaction


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Well-behaved by default. `…_every` n: every n-th call that was understood; 0: never."""

    away: bool = False  # 503 to everything, nothing is kept
    slow_ms: int = 0  # reads the body slowly and answers late
    fail_every: int = 0  # 500 before anything is kept
    lose_every: int = 0  # keeps it, then answers 500: the receipt is lost
    double_every: int = 0  # takes the call in twice; lists its tasks and decisions twice
    wrong_every: int = 0  # 200 with something that is no receipt
    refuse_table: str = ""  # refuses the first row of every message of that table
    skew_seconds: int = 0  # its clock goes wrong by that much
    decide: str = "auto"  # on enterprises and prefixes: auto or hand


def read_behaviour(book: Book) -> Behaviour:
    """As it was told last; the command writes into the same book."""
    told = fetch_behaviour(book)
    return Behaviour(
        **{field.name: _read(field, told[field.name]) for field in fields(Behaviour) if field.name in told}
    )


def _read(field: "Field[Any]", text: str) -> Any:
    if field.type in (bool, "bool"):
        return text == "1"
    return int(text) if field.type in (int, "int") else text


def write_behaviour(book: Book, wanted: Behaviour) -> None:
    texts = {}
    for field in fields(Behaviour):
        value = getattr(wanted, field.name)
        texts[field.name] = str(int(value)) if isinstance(value, bool) else str(value)
    with transaction(book):
        set_behaviour(book, texts)


def is_turn(every: int, number: int) -> bool:
    """Whether call `number` (from 1) is one of every n."""
    return every > 0 and number % every == 0
