"""Creating ranges: many serials under one record, in one row (design decision 2)."""

from dataclasses import dataclass

from asyncpg import Connection, Record

from registry.issuing import check_enabled, check_may_issue, pack_draft
from registry.store.changes import Act, append_change
from registry.store.records import (
    PrefixRule,
    RangeCursor,
    fetch_keys_between,
    fetch_range_page,
    fetch_ranges,
    insert_range,
    lock_for_range,
)
from schemas.changes import ChangeKind
from schemas.errors import Conflict, InvalidInput
from schemas.identifiers import format_suffix_key
from schemas.ranges import Shape, find_member, format_member, parse_range
from schemas.templates import Template

# A slip of the finger must not outweigh all that a district registers, nor bring its sums near what a counter holds.
MAX_MEMBERS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Range:
    """`head` as first written; `checked` means that a check character follows the digits."""

    head: str
    width: int
    first: int
    last: int
    checked: bool = False

    @property
    def members(self) -> int:
        return self.last - self.first + 1

    def format_first(self) -> str:
        return format_member(self.head, self.width, self.first, self.checked)

    def format_last(self) -> str:
        return format_member(self.head, self.width, self.last, self.checked)


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """First and last as written, with the prefix or without, and the values its members share, by type."""

    first: str
    last: str
    texts: dict[str, str]
    checked: bool = False


async def create_range(
    conn: Connection, rule: PrefixRule, template: Template, request: RangeRequest, act: Act
) -> Range:
    """Issue all serials from first to last; raises InvalidInput, or Conflict where any of them is issued already."""
    first_suffix, last_suffix = (text.removeprefix(f"{rule.prefix}/") for text in (request.first, request.last))
    head, width, first, last = parse_range(first_suffix, last_suffix, request.checked)
    created = Range(head, width, first, last, request.checked)
    if created.members > MAX_MEMBERS:
        raise InvalidInput("range_too_large", field="last", count=created.members, limit=MAX_MEMBERS)
    check_enabled(template)
    draft = pack_draft(template.template_id, first_suffix, template.check_values(request.texts))
    check_may_issue(rule)
    await lock_for_range(conn, rule.prefix_id)
    for row in await fetch_ranges(conn, rule.prefix_id):
        if _overlap(rule, created, read_range(row)):
            other = read_range(row)
            raise Conflict("range_overlaps", field="first", first=other.format_first(), last=other.format_last())
    await _check_free(conn, rule, created)
    head_key = format_suffix_key(head, rule.folds_case)
    stored = (head_key, head, width, request.checked, first, last, draft.template_id, draft.packed)
    await insert_range(conn, rule.prefix_id, stored, act.at)
    await append_change(
        conn, ChangeKind.RANGE_CREATED, rule.prefix_id, act, template_id=draft.template_id, suffix_keys=[head_key],
        members=created.members,
    )  # fmt: skip
    return created


async def list_ranges(
    conn: Connection, rule: PrefixRule, after: RangeCursor | None = None, limit: int | None = None
) -> list[tuple[Range, Record]]:
    """Ranges of a prefix beside their rows, in order of head and first serial; all of them without a limit."""
    if limit is None:
        rows = await fetch_ranges(conn, rule.prefix_id)
    else:
        rows = await fetch_range_page(conn, rule.prefix_id, after, limit)
    return [(read_range(row), row) for row in rows]


def read_range(row: Record) -> Range:
    return Range(row["head"], row["width"], row["first"], row["last"], row["checked"])


def _overlap(rule: PrefixRule, one: Range, other: Range) -> bool:
    """Whether some suffix is a member of both. SN + 8 digits and SN0 + 7 digits can hold the same one.

    With a check character against without: compared as if any digit could stand there, so that a refusal may be
    wider than needed but never too narrow.
    """
    (head, first, last), (other_head, other_first, other_last) = _as_digits(rule, one), _as_digits(rule, other)
    if len(head) > len(other_head):
        (head, first, last), (other_head, other_first, other_last) = (
            (other_head, other_first, other_last),
            (head, first, last),
        )
    rest = other_head[len(head) :]
    if len(head) + len(first) != len(other_head) + len(other_first) or not other_head.startswith(head):
        return False
    if rest and not (rest.isascii() and rest.isdigit()):
        return False
    return int(first) <= int(rest + other_last) and int(rest + other_first) <= int(last)


def _as_digits(rule: PrefixRule, a_range: Range) -> tuple[str, str, str]:
    first, last = f"{a_range.first:0{a_range.width}d}", f"{a_range.last:0{a_range.width}d}"
    if a_range.checked:
        first, last = first + "0", last + "9"
    return format_suffix_key(a_range.head, rule.folds_case), first, last


async def _check_free(conn: Connection, rule: PrefixRule, created: Range) -> None:
    """Raise Conflict if a record within the range exists, live or retired."""
    head_key = format_suffix_key(created.head, rule.folds_case)
    shape = Shape(head_key, created.width, created.checked)
    low = head_key + f"{created.first:0{created.width}d}" + ("0" if created.checked else "")
    high = head_key + f"{created.last:0{created.width}d}" + ("X" if created.checked else "")
    while keys := await fetch_keys_between(conn, rule.prefix_id, low, high):
        taken = [key for key in keys if find_member(key, shape) is not None]
        if taken:
            raise Conflict(
                "range_holds_identifiers", field="first", count=len(taken), identifier=f"{rule.prefix}/{taken[0]}"
            )
        if len(keys) < 1_000:
            return
        low = keys[-1]  # looked at once more: not every key has a text right behind it
