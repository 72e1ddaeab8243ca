"""One table: code → Chinese, English and what to do. Errors, pages, the command line and exports draw on it."""

import re
from collections.abc import Mapping

from schemas.texts.table import Text, gather

TEXTS: dict[str, Text] = gather()

LANGUAGES = ("zh", "en")


def format_message(code: str, language: str, **details: object) -> str:
    """The sentence that says what is wrong. An unknown code is a defect that a test finds; it shows as itself.

    A detail that has another name in English is given twice: `item` and `item_en`.
    """
    text = TEXTS.get(code)
    return code if text is None else _fill(text, ("zh", "en"), language, details)


def format_remedy(code: str, language: str, **details: object) -> str:
    """The sentence that says what to do about it."""
    text = TEXTS.get(code)
    return "" if text is None else _fill(text, ("remedy_zh", "remedy_en"), language, details)


def choose_language(accept_language: str, default: str = "zh") -> str:
    """`zh` or `en` from an Accept-Language header (RFC 9110 §12.5.4); `default` if neither is asked for."""
    best, best_quality = default, 0.0
    for part in accept_language.split(","):
        tag, _, parameter = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        try:
            quality = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and quality > best_quality:
            best, best_quality = language, quality
    return best


class _Details(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "…"


def _fill(text: Text, parts: tuple[str, str], language: str, details: dict[str, object]) -> str:
    if language == "zh":
        return str(getattr(text, parts[0])).format_map(_Details(details))
    english = {name: details.get(f"{name}_en") or value for name, value in details.items()}
    return agree(getattr(text, parts[1]), english).format_map(_Details(english))


# What English texts count, after the number; each ends in a plain s, or in ies.
_COUNTED = re.compile(
    r"\{(\w+)\} (answers|bytes|cells|certificates|characters|columns|days|entries|enterprises|errors|files|firms|hours"
    r"|identifiers|labels|lines|messages|minutes|reports|rows|seconds|segments|sheets|targets|times|values|warnings)\b"
)


def agree(text: str, details: Mapping[str, object]) -> str:
    """An English text before it is filled, what there is one of in the singular: `{n} rows` → `{n} row`."""

    def make_singular(found: re.Match[str]) -> str:
        if str(details.get(found[1])) != "1":
            return found[0]
        return found[0][:-3] + "y" if found[0].endswith("ies") else found[0][:-1]

    return _COUNTED.sub(make_singular, text)
