"""One table: code → Chinese, English and what to do. Errors, pages, the command line and exports draw on it."""

from schemas.texts.table import Text, gather

TEXTS: dict[str, Text] = gather()

LANGUAGES = ("zh", "en")


def format_message(code: str, language: str, **details: object) -> str:
    """The sentence that says what is wrong. An unknown code is a defect that a test finds; it shows as itself."""
    text = TEXTS.get(code)
    return code if text is None else _fill(text.zh if language == "zh" else text.en, details)


def format_remedy(code: str, language: str, **details: object) -> str:
    """The sentence that says what to do about it."""
    text = TEXTS.get(code)
    return "" if text is None else _fill(text.remedy_zh if language == "zh" else text.remedy_en, details)


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


def _fill(template: str, details: dict[str, object]) -> str:
    return template.format_map(_Details(details))
