"""The grammar of identifiers and what makes two of them equal (design decision 14, domain.md appendix 3.2).

Issuing is strict; a look-up takes any bytes up to 2,048 and simply misses.
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

from schemas.errors import InvalidInput

MAX_SUFFIX_CHARACTERS = 255

PREFIX = re.compile(r"\d{2,3}\.\d{1,10}(?:\.[0-9A-Za-z]{1,40})?|0\.NA", re.ASCII)

# Control characters, marks that cannot be seen (they would print two equal codes that differ), lone surrogates,
# and the line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Unicode's default-ignorable characters of other categories (joiners, fillers, variation selectors), and empty braille.
_UNSEEN_TOO = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_PLAIN_SUFFIX = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identifier:
    """`prefix` and `suffix` as written; the first slash separates them."""

    prefix: str
    suffix: str

    def __str__(self) -> str:
        return f"{self.prefix}/{self.suffix}"


def parse_new_identifier(text: str) -> Identifier:
    """Read an identifier that is to be issued here; raise InvalidInput with the reason."""
    prefix, slash, suffix = text.partition("/")
    if not slash or not PREFIX.fullmatch(prefix):
        raise InvalidInput("identifier_malformed", field="identifier", text=shorten(text))
    return Identifier(prefix, check_new_suffix(suffix))


def check_new_suffix(suffix: str) -> str:
    """Return the suffix if it may be issued; raise InvalidInput with the reason."""
    if _PLAIN_SUFFIX.fullmatch(suffix):
        return suffix
    if not suffix:
        raise InvalidInput("suffix_empty", field="identifier")
    if len(suffix) > MAX_SUFFIX_CHARACTERS:
        raise InvalidInput("suffix_too_long", field="identifier", length=len(suffix))
    for character in suffix:
        if unicodedata.category(character) in _UNSEEN or _UNSEEN_TOO.match(character):
            raise InvalidInput("suffix_control_character", field="identifier", character=f"U+{ord(character):04X}")
    if suffix != suffix.strip():
        raise InvalidInput("suffix_blank_at_ends", field="identifier")
    if not unicodedata.is_normalized("NFC", suffix):
        raise InvalidInput("suffix_not_composed", field="identifier")
    return suffix


def parse_any_identifier(text: str) -> Identifier:
    """Read an identifier that is only looked up: split at the first slash; the suffix may be empty."""
    prefix, _, suffix = text.partition("/")
    return Identifier(prefix, suffix)


def fold(text: str) -> str:
    """a–z become A–Z, everything else stays, as Handle servers compare (handle-protocol 3.10)."""
    return text.encode("utf-8", "surrogatepass").upper().decode("utf-8", "surrogatepass")


def format_suffix_key(suffix: str, folds_case: bool) -> str:
    """The key a suffix is stored and found under, by the case rule of its prefix."""
    if not folds_case:
        return suffix
    return suffix.upper() if suffix.isascii() else fold(suffix)


def format_scan_url(public_url: str, identifier: str) -> str:
    """The address printed on goods: `{public_url}/{identifier}`, percent-encoded, for ever the same.

    Slashes within the suffix are encoded, and a suffix of dots takes its first slash with it, because browsers
    resolve `.` and `..` segments before they ask.
    """
    prefix, _, suffix = identifier.partition("/")
    separator = "%2F" if suffix in {".", ".."} else "/"
    return f"{public_url.rstrip('/')}/{quote(prefix, safe='')}{separator}{quote(suffix, safe='')}"


def shorten(text: str, limit: int = 80) -> str:
    """Foreign text for a message: printable and of bounded length."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:limit])
    return shown if len(text) <= limit else shown + "…"
