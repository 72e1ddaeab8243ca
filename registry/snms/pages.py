"""Lists by page number in the form of Spring's pages (§d.1), and the times they are narrowed by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from registry.principals import Principal
from registry.snms import texts
from registry.snms.fields import Fields, Refusal
from registry.store.pages import PageFilter
from schemas.days import ZONE

DEFAULT_PAGE = 10
MAX_PAGE = 500  # a larger page is answered with so many, as `size` says
MAX_PAGE_NUMBER = 10**9
_SECOND = timedelta(seconds=1)
# Forms of a time, each with how much of time it stands for.
_FORMS = (
    ("%Y-%m-%d", timedelta(days=1)), ("%Y-%m-%d %H:%M:%S", _SECOND), ("%Y-%m-%dT%H:%M:%S", _SECOND),
    ("%Y-%m-%d %H:%M", _SECOND),
)  # fmt: skip
_EARLIEST, _LATEST = datetime(2, 1, 1), datetime(9998, 12, 31)


@dataclass(frozen=True, slots=True)
class PageWanted:
    """`number` counts from 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


def read_page(fields: Fields) -> PageWanted:
    """0 is the first page, too: some clients count from there."""
    number = fields.find_number("currentPage", 0, MAX_PAGE_NUMBER) or 1
    size = fields.find_number("pageSize", 0, MAX_PAGE_NUMBER) or DEFAULT_PAGE
    return PageWanted(number, min(size, MAX_PAGE))


def read_filter(fields: Fields, principal: Principal, name: str, prefix: str = "") -> PageFilter:
    """`name` and `prefix`: what the members are called. An enterprise sees its own, whatever it asks for."""
    return PageFilter(
        _find_trimmed(fields, name, 255),
        _find_trimmed(fields, prefix, 64) if prefix else None,
        _read_time(fields, "startDate", is_end=False),
        _read_time(fields, "endDate", is_end=True),
        None if principal.sees_all else principal.enterprise_id or 0,
    )


def _find_trimmed(fields: Fields, name: str, limit: int) -> str | None:
    return (fields.find_text(name, limit) or "").strip() or None


def _read_time(fields: Fields, name: str, *, is_end: bool) -> datetime | None:
    """`yyyy-MM-dd HH:mm:ss` at UTC+8, or a day, which as the end is meant with all its hours. The end is exclusive."""
    text = _find_trimmed(fields, name, 32)
    if text is None:
        return None
    for form, step in _FORMS:
        try:
            at = datetime.strptime(text, form)
        except ValueError:
            continue
        # Some mean "ever" by the first or the last day there is, next to which no time can be computed.
        return min(max(at, _EARLIEST), _LATEST).replace(tzinfo=ZONE) + (step if is_end else timedelta())
    raise Refusal(texts.TIME_WRONG.format(name=name, text=text))


def format_page(content: Sequence[dict[str, Any]], total: int, wanted: PageWanted) -> dict[str, Any]:
    """Spring counts pages from 0, callers from 1."""
    pages = -(-total // wanted.size)
    return {
        "content": list(content),
        "first": wanted.number == 1,
        "last": wanted.number >= pages,
        "totalPages": pages,
        "totalElements": total,
        "number": wanted.number - 1,
        "size": wanted.size,
        "sort": None,
        "numberOfElements": len(content),
    }


def format_time(at: datetime) -> str:
    return at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")
