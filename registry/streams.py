"""Streams of writes: NDJSON of any length, carried out chunk by chunk, with an outcome for every line.

A chunk is one transaction: its rows, what became of each, and, under an Idempotency-Key, how far the stream is done.
A stream that was cut goes on where it stopped when it is sent again, and tells first what was done before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import orjson
from asyncpg import Connection
from pydantic import ValidationError

from registry.bulk import Change, Wanted, change_many, refuse
from registry.issuing import Draft, Outcome, Result, draft_record, issue, preview
from registry.members import find_member_twice
from registry.store.changes import Act
from registry.store.records import PrefixRule
from schemas.errors import InvalidInput, ServiceError
from schemas.identifiers import shorten
from schemas.native_bodies import WriteItem
from schemas.texts import format_message, format_remedy

CHUNK_ROWS = 2_000
MAX_LINE_BYTES = 1_000_000  # a record has at most 200,000


class Line(NamedTuple):
    """One line that was sent; `item` says why it is none if it cannot be read."""

    row: int
    item: WriteItem | ServiceError


class RowOutcome(NamedTuple):
    """`identifier` as the line says it; `details` fill the texts of `code`."""

    row: int
    identifier: str
    outcome: str
    code: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done to every line: `action` is create or a key of `bulk.KINDS`.

    `overwrite` is for create; `successor` and `notice` hold for lines that have none of their own.
    """

    action: str
    wanted: Wanted
    overwrite: bool = False
    successor: str | None = None
    notice: str = ""


def read_lines(file: BinaryIO, row: int) -> list[Line]:
    """The next lines of a stream that are not blank, at most a chunk; `row` is the number of the line before."""
    lines: list[Line] = []
    while len(lines) < CHUNK_ROWS and (data := file.readline(MAX_LINE_BYTES)):
        row += 1
        if len(data) == MAX_LINE_BYTES and not data.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            lines.append(Line(row, InvalidInput("line_too_long", limit=MAX_LINE_BYTES)))
        elif data.strip():
            lines.append(Line(row, _read_item(data)))
    return lines


def _read_item(data: bytes) -> WriteItem | ServiceError:
    try:
        item, parsed = WriteItem.model_validate_json(data), orjson.loads(data)
        name = find_member_twice(data, parsed)
        return item if name is None else InvalidInput("member_twice", field=shorten(name, 100))
    except orjson.JSONDecodeError:
        return InvalidInput("line_not_json")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        code = {"json_invalid": "line_not_json", "extra_forbidden": "field_unknown"}.get(first["type"], "field_invalid")
        code = "line_not_json" if not field and code == "field_invalid" else code
        return InvalidInput(code, field=shorten(field, 100) or None)


def read_change(prefix: str, errand: Errand, item: WriteItem) -> Draft | Change | ServiceError:
    """What a line or an item asks for, checked as far as it can be without the database."""
    try:
        suffix = read_suffix(prefix, item.identifier, item.suffix)
        texts = {item_type: text or "" for item_type, text in item.values.items()}
        if errand.action == "create":
            _refuse_extra(item, "successor", "notice")
            template = errand.wanted.template
            if template is None:
                raise InvalidInput("field_missing", field="template")
            return draft_record(template, suffix, texts)
        if errand.action != "update" and texts:
            raise InvalidInput("field_unknown", field="values")
        _refuse_extra(item, *({"successor", "notice"} - {_EXTRA.get(errand.action, "")}))
        notice = item.notice if item.notice is not None else errand.notice
        return Change(suffix, texts, item.successor or errand.successor, notice)
    except ServiceError as error:
        return error


_EXTRA = {"retire": "successor", "freeze": "notice"}


def _refuse_extra(item: WriteItem, *names: str) -> None:
    """A member that the action does not know is refused, so that nobody believes it did something."""
    for name in names:
        if getattr(item, name) is not None:
            raise InvalidInput("field_unknown", field=name)


def read_suffix(prefix: str, identifier: str | None, suffix: str | None) -> str:
    """Of an item that names one of both; raises InvalidInput."""
    if (identifier is None) == (suffix is None):
        raise InvalidInput("identifier_or_suffix", field="identifier")
    if suffix is not None:
        return suffix
    own, _, rest = (identifier or "").partition("/")
    if own != prefix:
        raise InvalidInput("identifier_other_prefix", field="identifier", prefix=shorten(prefix))
    return rest


Work = Sequence[Draft | Change | ServiceError]


async def carry_out(
    conn: Connection, rule: PrefixRule, errand: Errand, work: Work, act: Act, *, dry_run: bool = False
) -> list[Result]:
    """Write a chunk; the results stand in its order. A dry run of `create` sees its earlier chunks."""
    if errand.action != "create":
        changes = [change for change in work if not isinstance(change, Draft)]
        return await change_many(conn, rule, errand.wanted, changes, act)
    drafts = [draft for draft in work if isinstance(draft, Draft)]
    if dry_run:
        done = await preview(conn, rule, drafts, update=errand.overwrite)
    else:
        done = await issue(conn, rule, drafts, act, update=errand.overwrite)
    results = iter(done)
    return [next(results) if isinstance(draft, Draft) else _refuse(draft) for draft in work]


def _refuse(found: Change | ServiceError) -> Result:
    assert isinstance(found, ServiceError)  # noqa: S101 - nothing else is left of a chunk of drafts
    return refuse(found)


def tell(prefix: str, lines: Sequence[Line], results: Sequence[Result]) -> list[RowOutcome]:
    """What became of each line."""
    return [
        RowOutcome(line.row, _name(prefix, line.item), str(result.outcome), result.code,
                   {name: _plain(value) for name, value in result.details.items()})
        for line, result in zip(lines, results, strict=True)
    ]  # fmt: skip


def _name(prefix: str, item: WriteItem | ServiceError) -> str:
    if isinstance(item, ServiceError):
        return ""
    return item.identifier if item.identifier is not None else f"{prefix}/{item.suffix or ''}"


def _plain(value: object) -> Any:
    return value if isinstance(value, int) else str(value)


def encode_outcomes(outcomes: Sequence[RowOutcome]) -> bytes:
    """As they are kept for who sends the stream again."""
    return orjson.dumps([list(outcome) for outcome in outcomes])


def decode_outcomes(data: bytes) -> list[RowOutcome]:
    return [RowOutcome(*entry) for entry in orjson.loads(data)]


def format_outcome(outcome: RowOutcome, language: str) -> dict[str, Any]:
    """One line of the answer."""
    view: dict[str, Any] = {"row": outcome.row, "identifier": outcome.identifier, "outcome": outcome.outcome}
    if outcome.code:
        details = {"field": "", **outcome.details}
        view |= {
            "code": outcome.code,
            "field": details["field"] or None,
            "reason": format_message(outcome.code, language, **details),
            "remedy": format_remedy(outcome.code, language, **details),
        }
    return view


def count(outcomes: Iterator[RowOutcome] | Sequence[RowOutcome], counts: dict[str, int]) -> None:
    """Add to the last line of the answer."""
    for outcome in outcomes:
        counts["rows"] += 1
        counts[outcome.outcome] += 1


def make_counts() -> dict[str, int]:
    return {"rows": 0, **dict.fromkeys(map(str, Outcome), 0)}
