"""Reads the members of a request: what is missing, of another type or too long is refused by name (§d.1, d.9).

Numbers may come as texts and whole numbers as texts' values, as the field's clients send them; null and an empty text
count as missing; members nobody asked for are ignored (§d.8).
"""

import re
from collections.abc import Mapping
from typing import NoReturn

from registry.snms import texts

# What the database cannot hold, and controls other than tab and line breaks.
_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)


class Refusal(Exception):
    """A call that is refused with this message; status -2 unless said otherwise (§d.1)."""

    def __init__(self, message: str, status: int = -2) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Fields:
    """The members of one object; `path` names it in messages (`sysUser.`)."""

    def __init__(self, members: Mapping[str, object], path: str = "") -> None:
        self._members = members
        self.path = path

    def find(self, *names: str) -> object:
        """The first of these members that is there and neither null nor empty, else None."""
        for name in names:
            value = self._members.get(name)
            if value is not None and value != "":
                return value
        return None

    def is_empty(self, name: str) -> bool:
        """Whether it is there and an empty text, which is not the same as missing for some."""
        return self._members.get(name) == ""

    def find_text(self, name: str, limit: int, *aliases: str) -> str | None:
        """A text of at most `limit` characters, as it was sent; whole numbers are taken as texts."""
        value = self.find(name, *aliases)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            self._refuse(texts.WRONG_TYPE, name, expected=texts.TEXT)
        if len(value) > limit:
            self._refuse(texts.TOO_LONG, name, limit=limit)
        if _UNWANTED.search(value):
            self._refuse(texts.BAD_CHARACTER, name)
        return value

    def get_text(self, name: str, limit: int, *aliases: str) -> str:
        value = self.find_text(name, limit, *aliases)
        return self.missing(name) if value is None or not value.strip() else value

    def find_number(self, name: str, least: int, most: int, *aliases: str) -> int | None:
        """A whole number, or its digits as a text; some libraries of Java write 2000 as 2000.0."""
        value = self.find(name, *aliases)
        if value is None:
            return None
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            self._refuse(texts.WRONG_TYPE, name, expected=texts.NUMBER)
        if not least <= value <= most:
            self._refuse(texts.OUT_OF_BOUNDS, name, least=least, most=most)
        return value

    def get_number(self, name: str, least: int, most: int, *aliases: str) -> int:
        value = self.find_number(name, least, most, *aliases)
        return self.missing(name) if value is None else value

    def find_choice(self, name: str, choices: Mapping[int, object], *aliases: str) -> int | None:
        """One of the numbers of a list of the published tables."""
        value = self.find_number(name, -(10**18), 10**18, *aliases)
        if value is not None and value not in choices:
            self._refuse(texts.NOT_A_CHOICE, name, choices="、".join(f"{n}" for n in choices))
        return value

    def get_choice(self, name: str, choices: Mapping[int, object], *aliases: str) -> int:
        value = self.find_choice(name, choices, *aliases)
        return self.missing(name) if value is None else value

    def find_flag(self, name: str) -> bool | None:
        """true and false, also as texts and as 1 and 0."""
        value = self.find(name)
        if isinstance(value, str):
            value = {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower(), value)
        if value is None or isinstance(value, bool):
            return value
        if value in (0, 1):
            return bool(value)
        return self._refuse(texts.WRONG_TYPE, name, expected=texts.FLAG)

    def find_object(self, name: str) -> "Fields | None":
        """An object, or a list that holds just one (§d.8)."""
        value = self.find(name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is None:
            return None
        if not isinstance(value, dict):
            self._refuse(texts.WRONG_TYPE, name, expected=texts.OBJECT)
        return Fields(value, f"{self.path}{name}.")

    def get_object(self, name: str) -> "Fields":
        value = self.find_object(name)
        return self.missing(name) if value is None else value

    def find_objects(self, name: str, most: int) -> "list[Fields] | None":
        """A list of objects."""
        value = self.find(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self._refuse(texts.WRONG_TYPE, name, expected=texts.LIST)
        if len(value) > most:
            self._refuse(texts.TOO_LONG, name, limit=most)
        for n, member in enumerate(value):
            if not isinstance(member, dict):
                self._refuse(texts.WRONG_TYPE, f"{name}[{n}]", expected=texts.OBJECT)
        return [Fields(member, f"{self.path}{name}[{n}].") for n, member in enumerate(value)]

    def get_objects(self, name: str, most: int) -> "list[Fields]":
        value = self.find_objects(name, most)
        return value if value else self.missing(name)

    def missing(self, name: str) -> NoReturn:
        self._refuse(texts.MISSING, name)

    def _refuse(self, message: str, name: str, **details: object) -> NoReturn:
        raise Refusal(message.format(name=f"{self.path}{name}", **details))
