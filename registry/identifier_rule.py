"""How the suffix of an identifier is made from the columns of a file: one column, or a pattern around several.

`{产品代码}-{生产日期:yyyyMMdd}-{批号}`: a name in braces stands for the cell; after a colon, how its date is written
(yyyy, yy, MM, dd, HH, mm, ss); `{{` and `}}` are braces.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time

from schemas.errors import InvalidInput
from schemas.templates import parse_date

DATE_LETTERS = "yyyy, yy, MM, dd, HH, mm, ss"
_DATE_TOKEN = re.compile(r"yyyy|yy|MM|dd|HH|mm|ss")
_DATE_OUTPUT = {
    "yyyy": "{0.year:04}", "yy": "{1:02}", "MM": "{0.month:02}", "dd": "{0.day:02}",
    "HH": "{0.hour:02}", "mm": "{0.minute:02}", "ss": "{0.second:02}",
}  # fmt: skip
_MOMENT = re.compile(r"\s*(\S+?)(?:(?:T|\s+)(\d{1,2}):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """A place for a cell; `name` is what stands between the braces, format included."""

    name: str


@dataclass(frozen=True, slots=True)
class IdentifierRule:
    """Literal texts and fields in order. Only a rule of one column may hold whole identifiers."""

    parts: tuple[str | Field, ...]
    is_column: bool

    @property
    def fields(self) -> list[Field]:
        return [part for part in self.parts if isinstance(part, Field)]


def parse_rule(column: str | None, pattern: str | None) -> IdentifierRule:
    """Exactly one of the two is given; raises InvalidInput."""
    if (column is None) == (pattern is None):
        raise InvalidInput("identifier_rule_needed", field="identifier_column")
    if column is not None:
        if not column.strip():
            raise InvalidInput("identifier_rule_needed", field="identifier_column")
        return IdentifierRule((Field(column.strip()),), True)
    return IdentifierRule(tuple(_parse_pattern(pattern or "")), False)


def _parse_pattern(pattern: str) -> list[str | Field]:
    parts: list[str | Field] = []
    literal, position = "", 0
    while position < len(pattern):
        character = pattern[position]
        if pattern[position : position + 2] in ("{{", "}}"):
            literal += character
            position += 2
        elif character == "{":
            end = pattern.find("}", position)
            name = pattern[position + 1 : end].strip()
            if end < 0 or "{" in name:
                raise InvalidInput("pattern_brace_open", field="identifier", pattern=pattern, at=position + 1)
            if not name:
                raise InvalidInput("pattern_name_empty", field="identifier", pattern=pattern, at=position + 1)
            parts += [literal, Field(name)] if literal else [Field(name)]
            literal, position = "", end + 1
        elif character == "}":
            raise InvalidInput("pattern_brace_open", field="identifier", pattern=pattern, at=position + 1)
        else:
            literal += character
            position += 1
    if not any(isinstance(part, Field) for part in parts):
        raise InvalidInput("pattern_without_column", field="identifier", pattern=pattern)
    return [*parts, literal] if literal else parts


def split_format(name: str) -> tuple[str, str | None]:
    """`生产日期:yyyyMMdd` → column and date format."""
    column, colon, date_format = name.rpartition(":")
    return (column.strip(), date_format.strip()) if colon else (name, None)


def compile_date_format(date_format: str) -> Callable[[datetime], str]:
    """Raises InvalidInput that names the first letter that means nothing."""
    output, position = "", 0
    while position < len(date_format):
        token = _DATE_TOKEN.match(date_format, position)
        if token:
            output += _DATE_OUTPUT[token.group()]
            position = token.end()
            continue
        character = date_format[position]
        if character.isascii() and character.isalpha():
            raise InvalidInput(
                "pattern_date_letter", field="identifier", letter=character, format=date_format, known=DATE_LETTERS
            )
        output += {"{": "{{", "}": "}}"}.get(character, character)
        position += 1
    if output == "":
        raise InvalidInput("pattern_date_letter", field="identifier", letter="", format="", known=DATE_LETTERS)
    return lambda moment: output.format(moment, moment.year % 100)


def parse_moment(text: str) -> datetime | None:
    """A day as `schemas.templates.parse_date` reads it, with an optional time of day."""
    found = _MOMENT.fullmatch(text)
    day = parse_date(found.group(1)) if found else None
    if found is None or day is None:
        return None
    try:
        hour, minute, second = (int(part or 0) for part in found.groups()[1:])
        clock = time(hour, minute, second)
    except ValueError:
        return None
    return datetime.combine(day, clock)
