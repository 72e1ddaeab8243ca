"""Ranges: many serials under one record (design decision 2). A head, a number of digits, first and last."""

import re
from dataclasses import dataclass

from schemas.errors import InvalidInput
from schemas.identifiers import check_new_suffix, shorten

MAX_WIDTH = 18
CHECK_CHARACTERS = ("none", "mod11_2")
_SERIAL = re.compile(r"(.*?)(\d+)", re.ASCII | re.DOTALL)
_CHECKED_SERIAL = re.compile(r"(.*?)(\d+)([0-9X])", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the members of ranges have in common: `head` is folded by the prefix's case rule."""

    head: str
    width: int
    checked: bool = False


def parse_range(first: str, last: str, checked: bool = False) -> tuple[str, int, int, int]:
    """(`SN00000001`, `SN10000000`) → (head, width, first, last); raises InvalidInput."""
    check_new_suffix(first), check_new_suffix(last)
    pattern = _CHECKED_SERIAL if checked else _SERIAL
    one, other = pattern.fullmatch(first), pattern.fullmatch(last)
    if one is None or other is None or len(first) != len(last):
        raise InvalidInput("range_malformed", field="last", first=shorten(first), last=shorten(last))
    head, digits, end = _split_digits(one.group(1) + one.group(2), other.group(1) + other.group(2))
    if head is None:
        raise InvalidInput("range_malformed", field="last", first=shorten(first), last=shorten(last))
    if len(digits) > MAX_WIDTH:
        raise InvalidInput("range_too_wide", field="first", width=len(digits))
    if int(digits) > int(end):
        raise InvalidInput("range_backwards", field="last", first=shorten(first), last=shorten(last))
    if checked:
        for written, number in ((first, digits), (last, end)):
            if written[-1] != compute_check_character(number):
                raise InvalidInput(
                    "range_check_character",
                    field="first",
                    text=shorten(written),
                    expected=compute_check_character(number),
                )
    return head, len(digits), int(digits), int(end)


def _split_digits(first: str, last: str) -> tuple[str | None, str, str]:
    """The final digits of both; what stands before them must be equal."""
    width = len(first) - len(first.rstrip("0123456789"))
    width = min(width, len(last) - len(last.rstrip("0123456789")))
    head, end_head = first[: len(first) - width], last[: len(last) - width]
    if width == 0 or head != end_head:
        return None, "", ""
    # Digits that both share stay part of the number: SN001…SN100 has width 3 and head SN.
    if width > MAX_WIDTH:
        shared = next((n for n in range(width) if first[-width + n] != last[-width + n]), width - 1)
        cut = min(shared, width - 1)
        head, width = first[: len(first) - width + cut], width - cut
    return head, first[-width:], last[-width:]


def find_member(suffix_key: str, shape: Shape) -> int | None:
    """The serial number a suffix has in a shape; None if it does not fit. The caller compares first and last."""
    body = suffix_key
    if shape.checked:
        body, check = suffix_key[:-1], suffix_key[-1:]
    digits = body[len(shape.head) :]
    if len(digits) != shape.width or not body.startswith(shape.head):
        return None
    if not (digits.isascii() and digits.isdigit()):
        return None
    if shape.checked and check.upper() != compute_check_character(digits):
        return None
    return int(digits)


def format_member(head: str, width: int, number: int, checked: bool = False) -> str:
    """The suffix of one member, as written on goods."""
    digits = f"{number:0{width}d}"
    return head + digits + (compute_check_character(digits) if checked else "")


def compute_check_character(digits: str) -> str:
    """ISO 7064 MOD 11-2: finds every wrong character and every swap of neighbours; the last may be X."""
    total = 0
    for digit in digits:
        total = (total + int(digit)) * 2 % 11
    value = (12 - total) % 11
    return "X" if value == 10 else str(value)
