"""Gathers the texts of all areas; each area is a module with a dict `TEXTS`."""

from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple


class Text(NamedTuple):
    """Sentences in two languages with what to do; `{name}` places are filled from the error's details."""

    zh: str
    en: str
    remedy_zh: str
    remedy_en: str


def gather() -> dict[str, Text]:
    """All texts by code. A code that stands in two areas is an error of ours and stops the program."""
    package = import_module("schemas.texts")
    merged: dict[str, Text] = {}
    for found in iter_modules(package.__path__):
        texts: dict[str, Text] = getattr(import_module(f"schemas.texts.{found.name}"), "TEXTS", {})
        doubled = merged.keys() & texts.keys()
        if doubled:
            raise ValueError(f"texts defined twice: {sorted(doubled)}")
        merged.update(texts)
    return merged
