"""Pages of lists that are short enough to be read whole: those of templates, keys, units and tags."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from registry.api.calls import check_limit
from schemas.errors import InvalidInput

MAX_PAGE = 1_000

Item = TypeVar("Item")
After = Annotated[str, Query(description="`next` of the page before.", max_length=1_000)]
Limit = Annotated[int, Query(description="1 to 1,000.")]


def cut(items: Sequence[Item], name: Callable[[Item], str], after: str, limit: int) -> tuple[list[Item], str | None]:
    """The page behind the item that is called `after`, and the name of its last one if more follow."""
    check_limit(limit, MAX_PAGE)
    start = 0
    if after:
        start = next((n for n, item in enumerate(items, start=1) if name(item) == after), -1)
        if start < 0:
            raise InvalidInput("cursor_unknown", field="after")
    page = list(items[start : start + limit])
    return page, name(page[-1]) if start + limit < len(items) else None
