"""What each figure counts, and from what: data for pages, exports and reports (domain.md appendix 3.3)."""

from dataclasses import dataclass

from schemas.texts import format_message, format_remedy
from schemas.texts.statistics import COLUMNS

RECENT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Definition:
    """`code` stands in every export and never changes its meaning; `text`: its code in the texts.

    source: what proves the figure, in Chinese and English. adds_up: over days (sum) or as it is on the last day (end).
    """

    code: str
    counter: str
    source: tuple[str, str]
    adds_up: str = "sum"

    @property
    def text(self) -> str:
        return f"counter_{self.counter}"


_CHANGES = ("标识、号段及其历史", "identifiers, ranges and their history")
_LOG = ("解析日志", "resolution log")
_DOSSIERS = ("企业、前缀归属和办理记录", "enterprises, owners of prefixes, decisions")
DEFINITIONS = {
    definition.counter: definition
    for definition in (
        Definition("R1", "registered_new", _CHANGES),
        Definition("R2", "range_minted", _CHANGES),
        Definition("R3", "registered_total", _CHANGES, "end"),
        Definition("R4", "registered_live", _CHANGES, "end"),
        Definition("R5", "retired_total", _CHANGES, "end"),
        Definition("Q1", "resolutions", _LOG),
        Definition("Q2", "resolutions_ok", _LOG),
        Definition("Q3", "resolutions_uncounted", _LOG),
        Definition("Q4", "resolutions_foreign", _LOG),
        Definition("Q5", "resolutions_foreign_ok", _LOG),
        Definition("E1", "enterprises_connected", _DOSSIERS, "end"),
        Definition("E2", "enterprises_new", _DOSSIERS),
        Definition("E3", "enterprises_with_identifiers", _DOSSIERS, "end"),
        Definition("E4", "enterprises_active", _DOSSIERS, "end"),
        Definition("E5", "enterprises_suspended", _DOSSIERS, "end"),
        Definition("E6", "enterprises_departed", _DOSSIERS, "end"),
    )
}


def define_counters(language: str) -> list[dict[str, str]]:
    """All definitions in `zh` or `en`: code, counter, name, definition, check (how to prove it), source, adds_up."""
    return [
        {
            "code": one.code,
            "counter": one.counter,
            "name": name_column(one.counter, language),
            "definition": format_message(one.text, language, days=RECENT_DAYS),
            "check": format_remedy(one.text, language),
            "source": one.source[language == "en"],
            "adds_up": one.adds_up,
        }
        for one in DEFINITIONS.values()
    ]


def name_column(column: str, language: str) -> str:
    """The heading of a column of any table of figures."""
    zh, en = COLUMNS[column]
    return zh if language == "zh" else en
