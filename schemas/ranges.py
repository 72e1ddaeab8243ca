"""Ranges: many serials under one record (design decision 2). A head, a number of digits, first and last."""

from dataclasses import dataclass

from schemas.errors import InvalidInput
from schemas.identifiers import check_new_suffix, shorten

MAX_WIDTH = 18


@dataclass(frozen=True, slots=True)
class Shape:
    """What the members of ranges have in common: `head` is folded by the prefix's case rule."""

    head: str
    width: int
    checked: bool = False


def parse_range(first: str, last: str, checked: bool = False) -> tuple[str, int, int, int]:
    """(`SN00000001`, `SN10000000`) → (head, width, first, last); raises InvalidInput.

    All final digits belong to the number. With `checked`, the last character of both is their check character.
    """
    for name, suffix in (("first", first), ("last", last)):
        try:
            check_new_suffix(suffix)
        except InvalidInput as error:
            error.field = name
            raise
    (head, digits), (last_head, last_digits) = (_split(suffix[:-1] if checked else suffix) for suffix in (first, last))
    if not digits or head != last_head or len(digits) != len(last_digits):
        raise InvalidInput("range_malformed", field="last", first=shorten(first), last=shorten(last))
    if len(digits) > MAX_WIDTH:
        head, digits, last_digits = _fix_leading_digits(head, digits, last_digits)
    if int(digits) > int(last_digits):
        raise InvalidInput("range_backwards", field="last", first=shorten(first), last=shorten(last))
    if checked:
        for name, suffix, number in (("first", first, digits), ("last", last, last_digits)):
            expected = compute_check_character(number)
            if suffix[-1].upper() != expected:
                raise InvalidInput("range_check_character", field=name, text=shorten(suffix), expected=expected)
    return head, len(digits), int(digits), int(last_digits)


def _split(text: str) -> tuple[str, str]:
    head = text.rstrip("0123456789")
    return head, text[len(head) :]


def _fix_leading_digits(head: str, digits: str, last_digits: str) -> tuple[str, str, str]:
    """Serials of more than 18 digits keep the leading ones in the head, if both ends share them."""
    extra = len(digits) - MAX_WIDTH
    if digits[:extra] != last_digits[:extra]:
        raise InvalidInput("range_too_wide", field="first", width=len(digits))
    return head + digits[:extra], digits[extra:], last_digits[extra:]


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
