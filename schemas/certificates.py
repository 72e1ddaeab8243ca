"""Check characters of Chinese certificates: unified social credit codes (GB 32100) and resident IDs (GB 11643)."""

import re
from datetime import date

from schemas.errors import InvalidInput
from schemas.identifiers import shorten

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z
_USCC_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_RESIDENT_ID = re.compile(r"\d{17}[\dX]", re.ASCII)


def compute_uscc_check(first: str) -> str:
    """The check character that belongs to 17 characters of the alphabet."""
    total = sum(USCC_ALPHABET.index(c) * weight for c, weight in zip(first, _USCC_WEIGHTS, strict=True))
    return USCC_ALPHABET[(31 - total % 31) % 31]


def check_uscc(text: str) -> str:
    """The code in capitals; raises InvalidInput that says which character is wrong."""
    code = text.strip().upper()
    if len(code) != 18:
        raise InvalidInput("uscc_length", field="certificate_code", text=shorten(code, 40), length=len(code))
    for place, character in enumerate(code, 1):
        if character not in USCC_ALPHABET:
            shown = shorten(character)
            raise InvalidInput("uscc_character", field="certificate_code", text=code, place=place, character=shown)
    expected = compute_uscc_check(code[:17])
    if code[17] != expected:
        raise InvalidInput("uscc_check", field="certificate_code", text=code, expected=expected)
    return code


def check_resident_id(text: str, field: str) -> str:
    """The number with a capital X; raises InvalidInput. Texts never repeat it: it is personal."""
    number = text.strip().upper()
    if not _RESIDENT_ID.fullmatch(number):
        raise InvalidInput("resident_id_malformed", field=field)
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError as error:
        raise InvalidInput("resident_id_birthday", field=field) from error
    total = sum(int(digit) * weight for digit, weight in zip(number, _ID_WEIGHTS, strict=False))
    if number[17] != _ID_CHECKS[total % 11]:
        raise InvalidInput("resident_id_check", field=field)
    return number
