"""From a row of a factory's file to the draft of a record, or to the reasons why there is none.

A cell means what the factory sees on its screen. Everything that can be known before the first row (columns, the
identifier's pattern) is decided once by `plan_rows`; what is left per row are look-ups.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem, itemgetter
from typing import NamedTuple
from urllib.parse import unquote

from registry.identifier_rule import IdentifierRule, compile_date_format, parse_moment, split_format
from registry.tables.headers import match_key
from registry.tables.model import CellNote, FileRefused, Row, Wanted
from schemas.errors import InvalidInput
from schemas.identifiers import check_new_suffix, shorten
from schemas.templates import Item, Template, check_text, is_blank
from schemas.texts import format_message, format_remedy

MEMO_SIZE = 4_096
REPLACED = "\ufffd"  # stands where bytes of the file are no text
# What a spreadsheet makes of a long number when it saves as CSV: the digits are gone already.
_SCIENTIFIC = re.compile(r"\d(?:\.\d+)?E\+\d{2,3}", re.ASCII)
# What stands where a code should, in the rows that people and programs put below a table.
_TOTAL = re.compile(r"(?:[合总小共]\s*计|(?:(?:sub|grand)[\s-]*)?total)\s*[:：]?", re.IGNORECASE)
_TOTAL_ENDS = "计:：lL"
_WEB_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_DAY_AND_TIME = re.compile(r"\s*(\S+?)(?:T|\s+)\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?\s*", re.ASCII)

Positions = dict[str, list[int]]
_new = tuple.__new__


class Draft(NamedTuple):
    """What a row asks to be registered; `values` are (index and type of the item, stored text) in order of index."""

    number: int
    suffix: str
    values: list[tuple[int, str, str]]


class Problem(NamedTuple):
    """One reason; `column` is a header text, or empty where the whole row is meant."""

    code: str
    column: str
    details: Mapping[str, object]


class Refusal(NamedTuple):
    """A row that cannot be registered, with everything that is wrong with it."""

    number: int
    problems: tuple[Problem, ...]


Decision = Draft | Refusal


@dataclass(frozen=True, slots=True)
class RowPlan:
    """`matched`: header text → type of its item; `left`: columns nobody asked for; `decide` never raises."""

    matched: dict[str, str]
    left: list[str]
    decide: Callable[[Row], Decision]


def parse_mapping(texts: list[str]) -> dict[str, str]:
    """`COLUMN=TYPE` texts → column → type; raises InvalidInput."""
    mapping: dict[str, str] = {}
    for text in texts:
        column, equals, item_type = (part.strip() for part in text.rpartition("="))
        if not equals or not column or not item_type:
            raise InvalidInput("mapping_malformed", field="map", text=text)
        if match_key(column) in map(match_key, mapping):
            raise InvalidInput("mapping_column_twice", field="map", column=column)
        mapping[column] = item_type
    return mapping


def describe_wanted(template: Template, rule: IdentifierRule, mapping: Mapping[str, str]) -> Wanted:
    """The names by which the header row of a file for this import is recognised. Raises InvalidInput."""
    names = name_items(template, mapping)
    by_index: dict[int, set[str]] = {}
    for key, item in names.items():
        by_index.setdefault(item.index, set()).add(key)
    needed = {
        item.get_name("zh"): frozenset(by_index.get(item.index, ()))
        for item in template.items
        if item.required and item.enabled
    }
    known = set(names)
    for field in rule.fields:
        keys = {match_key(field.name)} | ({match_key(split_format(field.name)[0])} if not rule.is_column else set())
        for key in keys & names.keys():
            keys |= by_index[names[key].index]
        needed.setdefault(split_format(field.name)[0], frozenset(keys))
        known |= keys
    return Wanted(frozenset(known), needed)


def name_items(template: Template, mapping: Mapping[str, str]) -> dict[str, Item]:
    """Every text a column of an item may have; an item that is mapped by hand goes by nothing else.

    A column mapped to nothing is left out, whatever it is called.
    """
    mapped = {match_key(column): template.get_item(item_type) for column, item_type in mapping.items() if item_type}
    taken = {item.index for item in mapped.values()}
    free = [item for item in template.items if item.enabled and item.index not in taken]
    names = dict(mapped)
    for texts in ((i.name_zh for i in free), (i.name_en for i in free), (i.type for i in free)):
        for item, text in zip(free, texts, strict=True):
            names.setdefault(match_key(text), item)
    left = {match_key(column) for column, item_type in mapping.items() if not item_type}
    return {key: item for key, item in names.items() if key not in left}


def plan_rows(
    template: Template, columns: list[str], rule: IdentifierRule, mapping: Mapping[str, str], prefix: str
) -> RowPlan:
    """Decide which column is what; raises InvalidInput if a column is missing, unknown or named twice."""
    positions: Positions = {}
    for position, column in enumerate(columns):
        if column:
            positions.setdefault(match_key(column), []).append(position)
    used = _match_columns(template, columns, positions, mapping)
    for item in template.items:
        if item.required and item.enabled and item.index not in used:
            raise FileRefused("file_column_missing", field="file", **item.names, type=item.type,
                              columns=_list_names(columns))  # fmt: skip
    match = _Match(template, columns, positions, used)
    sources = [part if isinstance(part, str) else _bind_field(part.name, rule, match) for part in rule.parts]
    taken = {s.position for s in sources if isinstance(s, _Source)} | set(used.values())
    in_order = sorted(used.items(), key=itemgetter(1))
    return RowPlan(
        matched={columns[position]: template.items_by_index[index].type for index, position in in_order},
        left=[column for position, column in enumerate(columns) if column and position not in taken],
        decide=_Decider(match, sources, rule, prefix).decide,
    )


def _list_names(columns: list[str]) -> str:
    return "、".join(filter(None, columns))


def _match_columns(
    template: Template, columns: list[str], positions: Positions, mapping: Mapping[str, str]
) -> dict[int, int]:
    """Index of an item → position of its column."""
    for column in mapping:
        if match_key(column) not in positions:
            raise FileRefused("file_column_unknown", field="map", column=column, columns=_list_names(columns))
    used: dict[int, int] = {}
    for key, item in name_items(template, mapping).items():
        for position in positions.get(key, ()):
            if item.index in used:
                both = f"{columns[used[item.index]]}、{columns[position]}"
                raise FileRefused("file_two_columns_for_item", field="file", **item.names, columns=both)
            used[item.index] = position
    return used


class _Source(NamedTuple):
    """A column the identifier is built from; `read` gives its part or raises InvalidInput."""

    position: int
    read: Callable[[str], str]


class _Match(NamedTuple):
    """What is known of the columns: `positions` by the key of their header, `used` by the index of their item."""

    template: Template
    columns: list[str]
    positions: Positions
    used: dict[int, int]


def _bind_field(name: str, rule: IdentifierRule, match: _Match) -> _Source:
    position = _find_column(name, match)
    if position is not None:
        return _Source(position, _read_code)
    column, date_format = (name, None) if rule.is_column else split_format(name)
    position = _find_column(column, match)
    if position is None or date_format is None:
        field = "identifier_column" if rule.is_column else "identifier"
        raise FileRefused("file_column_unknown", field=field, column=column, columns=_list_names(match.columns))
    return _Source(position, _make_date_reader(date_format))


def _find_column(name: str, match: _Match) -> int | None:
    """By header text first, then by either name or the type of the item it carries."""
    key = match_key(name)
    found = match.positions.get(key, [])
    if len(found) > 1:
        raise FileRefused("file_column_twice", field="file", column=name)
    if found:
        return found[0]
    for item in match.template.items:
        if key in map(match_key, (item.name_zh, item.name_en, item.type)) and item.index in match.used:
            return match.used[item.index]
    return None


def _read_code(text: str) -> str:
    if is_blank(text):
        raise InvalidInput("identifier_cell_empty")
    if text[0].isspace() or text[-1].isspace():
        raise InvalidInput("identifier_cell_blank_at_ends")
    if "E+" in text and _SCIENTIFIC.fullmatch(text):
        raise InvalidInput("number_rounded", text=text)
    if _TOTAL.fullmatch(text):
        raise InvalidInput("row_is_total", text=text)
    return text


def _make_date_reader(date_format: str) -> Callable[[str], str]:
    format_moment = compile_date_format(date_format)
    memo: dict[str, str] = {}

    def read(text: str) -> str:
        part = memo.get(text)
        if part is None:
            if not text.strip():
                raise InvalidInput("identifier_cell_empty")
            moment = parse_moment(text)
            if moment is None:
                raise InvalidInput("identifier_cell_not_date", text=shorten(text, 40))
            part = format_moment(moment)
            if len(memo) < MEMO_SIZE:
                memo[text] = part
        return part

    return read


class _Known(dict[str, tuple[int, str, str] | None]):
    """Texts of one column that were seen and checked → (index, type, stored text), None for empty ones.

    Columns repeat themselves: a look-up costs a tenth of a check. Only the first few thousand texts are kept.
    """

    def __init__(self, item: Item) -> None:
        super().__init__()
        self._item = item
        self._is_text = item.data == "text"
        self._shortest = max(item.min_length, 1)

    def __missing__(self, text: str) -> tuple[int, str, str] | None:
        item = self._item
        if is_blank(text):
            if item.required:
                raise InvalidInput("value_missing", **item.names)
            return None
        if REPLACED in text:
            raise InvalidInput("cell_undecodable")
        if self._is_text and text.isprintable() and self._shortest <= len(text) <= item.max_length:
            pair = (
                item.index,
                item.type,
                text,
            )  # what `check_text` would say, without its calls: this is the commonest case
        elif item.data == "date" and (found := _DAY_AND_TIME.fullmatch(text)):
            pair = (item.index, item.type, check_text(item, found.group(1)))
        else:
            pair = (item.index, item.type, check_text(item, text))
        if len(self) < MEMO_SIZE:
            self[text] = pair
        return pair


def _read_address(text: str, own: str) -> str:
    """Of a web address that ends in an identifier of this import, as scanned from a label, the identifier.

    Raises InvalidInput for every other web address: it is no code of a product.
    """
    if not _WEB_ADDRESS.match(text):
        return text
    # As `format_scan_url` writes it: the first slash of a suffix of dots is encoded, too.
    found = re.match(rf"[^:]+://[^/?#]+(?:/[^?#]*?)?/{re.escape(own[:-1])}(?:/|%2[Ff])([^?#]+)", text)
    if found is None:
        raise InvalidInput("identifier_cell_is_address", text=shorten(text, 80), own=own[:-1])
    return own + unquote(found.group(1))


def _make_column_builder(source: _Source, own: str) -> Callable[[list[str]], str]:
    """`own` is this import's prefix with its slash: a cell that begins with it holds the whole identifier."""
    position, read = source
    secondary = own.rpartition(".")[0] + "."  # such as 88.101.
    other = re.compile(re.escape(secondary) + r"[0-9A-Za-z.]+/")

    def build(texts: list[str]) -> str:
        suffix = texts[position]
        if secondary in suffix or "E+" in suffix or "://" in suffix or suffix[-1:] in _TOTAL_ENDS:
            suffix = _read_address(read(suffix), own)
            if not suffix.startswith(own) and (found := other.match(suffix)):
                raise InvalidInput("identifier_of_other_prefix", prefix=found.group()[:-1], own=own[:-1])
            suffix = suffix.removeprefix(own)
        if not suffix.isascii() and REPLACED in suffix:
            raise InvalidInput("cell_undecodable")
        return check_new_suffix(suffix)

    return build


def _make_pattern_builder(sources: list[str | _Source]) -> Callable[[list[str]], str]:
    def build(texts: list[str]) -> str:
        suffix = "".join([s if isinstance(s, str) else s.read(texts[s.position]) for s in sources])
        if not suffix.isascii() and REPLACED in suffix:
            raise InvalidInput("cell_undecodable")
        return check_new_suffix(suffix)

    return build


def _make_picker(positions: list[int]) -> Callable[[list[str]], Sequence[str]]:
    """The cells at these positions, in this order."""
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda texts: [texts[position] for position in positions]


class _Decider:
    """Rows are decided on a short way that knows only that something is wrong; the long way says what."""

    def __init__(self, match: _Match, sources: list[str | _Source], rule: IdentifierRule, prefix: str) -> None:
        self._columns = match.columns
        self._sources = sources
        self._lookups = [(_Known(match.template.items_by_index[i]), match.used[i]) for i in sorted(match.used)]
        self._knowns = [known for known, _ in self._lookups]
        self._pick = _make_picker([position for _, position in self._lookups])
        only = sources[0]
        self._build = (
            _make_column_builder(only, f"{prefix}/")
            if rule.is_column and isinstance(only, _Source)
            else _make_pattern_builder(sources)
        )
        self._built_from = {s.position for s in sources if isinstance(s, _Source)}
        self._needed = self._built_from | set(match.used.values())

    def decide(self, row: Row) -> Decision:
        number, texts, notes, problem = row
        if problem is None and (notes is None or self._is_harmless(notes)) and texts != self._columns:
            try:
                suffix = self._build(texts)
                values = list(map(getitem, self._knowns, self._pick(texts)))
            except InvalidInput:
                return self._explain(row)  # only wrong rows are looked at cell by cell
            # Empty cells of optional items leave None. `Draft(...)` would cost three times as much as `_new`.
            return _new(Draft, (number, suffix, values if all(values) else list(filter(None, values))))
        return self._explain(row)

    def _is_harmless(self, notes: dict[int, CellNote]) -> bool:
        for position, note in notes.items():
            if note.problem and position in self._needed:
                return False
            if note.identifier_problem and position in self._built_from:
                return False
        return True

    def _explain(self, row: Row) -> Decision:
        if row.problem is not None:
            return Refusal(row.number, (Problem(row.problem.code, row.problem.column, row.problem.details),))
        if row.texts == self._columns:  # printed pages and joined files begin with it again
            return Refusal(row.number, (Problem("row_is_header", "", {}),))
        problems: dict[str, Problem] = {}
        suffix = self._explain_identifier(row, problems)
        values: list[tuple[int, str, str]] = []
        for known, position in self._lookups:
            try:
                pair = _read_value(known, row.texts[position], (row.notes or {}).get(position))
                values += [pair] if pair else []
            except InvalidInput as error:
                column = self._columns[position]
                problems.setdefault(column, Problem(error.code, column, error.details))
        if problems:
            return Refusal(row.number, tuple(problems.values()))
        return Draft(row.number, suffix, values)

    def _explain_identifier(self, row: Row, problems: dict[str, Problem]) -> str:
        """The suffix, or problems by column; each part is checked alone so that the column at fault is named."""
        for source in self._sources:
            if isinstance(source, str):
                continue
            column, text = self._columns[source.position], row.texts[source.position]
            note = (row.notes or {}).get(source.position)
            try:
                code = note and (note.problem or note.identifier_problem)
                if code:
                    raise InvalidInput(code, text=shorten(text, 40))
                if REPLACED in source.read(text):
                    raise InvalidInput("cell_undecodable")
                if len(self._sources) > 1:
                    check_new_suffix(source.read(text))
            except InvalidInput as error:
                problems.setdefault(column, Problem(error.code, column, error.details))
        if problems:
            return ""
        try:
            return self._build(row.texts)
        except InvalidInput as error:
            only = [s for s in self._sources if isinstance(s, _Source)]
            column = self._columns[only[0].position] if len(only) == 1 else ""
            problems[column] = Problem(error.code, column, error.details)
            return ""


def _read_value(known: _Known, text: str, note: CellNote | None) -> tuple[int, str, str] | None:
    if note is None:
        return known[text]
    if note.problem:
        raise InvalidInput(note.problem, text=shorten(text, 40))
    try:
        return known[text]
    except InvalidInput:
        # 1,234 箱 or 50% is shown, but a number is asked for: the number behind the display serves.
        if note.plain is None:
            raise
        return known[note.plain]


def format_refusal(refusal: Refusal, language: str) -> str:
    """Everything that is wrong with the row and what to do, in one line."""
    return " ".join(format_problem(problem, language) for problem in refusal.problems)


def format_problem(problem: Problem, language: str) -> str:
    message = format_message(problem.code, language, **problem.details)
    remedy = format_remedy(problem.code, language, **problem.details)
    separator = "" if language == "zh" else " "
    return f"{name_column(problem.column, language)}{message}{separator}{remedy}"


def name_column(column: str, language: str) -> str:
    """What stands before a reason; nothing where the whole row is meant."""
    if not column:
        return ""
    return f"“{column}”列：" if language == "zh" else f"Column “{column}”: "
