"""One HandleItem (§d.4): what its members must be, and what its values mean by the template.

Batches hold 2,000 of them: what is as it should be takes a short way, the rest is read by name to say what is wrong.
"""

import sys
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from registry.issuing import Draft, pack_draft
from registry.snms import texts
from registry.snms.fields import Fields, Refusal
from schemas.errors import InvalidInput
from schemas.identifiers import Identifier, parse_new_identifier
from schemas.templates import MAX_ITEMS, RESERVED_INDEXES, Item, Template, check_text, is_blank

MAX_HANDLE_CHARACTERS = 255
MAX_VERSION_CHARACTERS = 128
MAX_TYPE_CHARACTERS = 128
MAX_INDEX = 99_999_999_999  # 11 digits
FORMAT = "string"

Entry = tuple[int, str, str]  # index, type, text


class HandleItem(NamedTuple):
    """An item whose members have the right types; `identifier` may be issued here."""

    identifier: Identifier
    version: str
    values: list[Entry]


def read_item(raw: object) -> HandleItem:
    """Raises Refusal, or InvalidInput for an identifier nobody can issue; what is malformed is said first (§d.10)."""
    if not isinstance(raw, dict):
        raise Refusal(texts.WRONG_TYPE.format(name="items", expected=texts.OBJECT))
    fields = Fields(raw)
    handle = fields.get_text("handle", sys.maxsize)
    version = fields.get_text("templateVersion", MAX_VERSION_CHARACTERS)
    entries = raw.get("value")
    if entries is None:
        raise Refusal(texts.MISSING.format(name="value"))
    if not isinstance(entries, list):
        raise Refusal(texts.WRONG_TYPE.format(name="value", expected=texts.LIST))
    if len(entries) > MAX_ITEMS:
        raise Refusal(texts.TOO_LONG.format(name="value", limit=MAX_ITEMS))
    values = [_read_plain(entry) or _read_value(entry, n) for n, entry in enumerate(entries)]
    if len(handle) > MAX_HANDLE_CHARACTERS:
        raise Refusal(texts.TOO_LONG.format(name="handle", limit=MAX_HANDLE_CHARACTERS))
    return HandleItem(parse_new_identifier(handle), version, values)


def _read_plain(entry: object) -> Entry | None:
    """A value just as the contract has it; None for what needs a closer look."""
    try:
        index, kind, data = entry["index"], entry["type"], entry["data"]  # type: ignore[index]
        text = data["value"]
        plain = type(index) is int and type(kind) is str and type(text) is str and text and data["format"] == FORMAT
    except (KeyError, TypeError):
        return None
    return (index, kind, text) if plain else None


def _read_value(entry: object, position: int) -> Entry:
    if not isinstance(entry, dict):
        raise Refusal(texts.WRONG_TYPE.format(name=f"value[{position}]", expected=texts.OBJECT))
    fields = Fields(entry, f"value[{position}].")
    index = fields.get_number("index", 0, MAX_INDEX)
    kind = fields.get_text("type", MAX_TYPE_CHARACTERS)
    data = fields.get_object("data")
    if data.get_text("format", 32).lower() != FORMAT:
        raise Refusal(texts.FORMAT_NOT_STRING.format(name=f"{data.path}format"))
    if data.is_empty("value") or data.is_empty("vlaue"):
        return index, kind, ""
    text = data.find_text("value", sys.maxsize, "vlaue")
    return index, kind, data.missing("value") if text is None else text


def read_texts(template: Template, values: list[Entry]) -> dict[str, str]:
    """Texts by type, where index, type and state of every item agree; lengths are not looked at yet."""
    items, given = template.items_by_index, {}
    for index, kind, text in values:
        item = items.get(index)
        if (
            item is None
            or not item.enabled
            or item.type in given
            or (item.type != kind and not _is_of_type(item, kind))
        ):
            _refuse_first(items, values)
        given[item.type] = text
    return given


def _is_of_type(item: Item, kind: str) -> bool:
    return item.type.lower() == kind.lower()


def _refuse_first(items: Mapping[int, Item], values: list[Entry]) -> NoReturn:
    """Not the first value that is wrong is named, but one that fails the earliest of the published checks (§d.10)."""
    unknown = [index for index, _, _ in values if index not in items]
    for index in sorted(unknown, key=lambda index: index not in RESERVED_INDEXES):
        raise Refusal(texts.INDEX_UNKNOWN.format(index=index))
    for index, kind, _ in values:
        if not _is_of_type(items[index], kind):
            raise Refusal(texts.WRONG_ITEM_TYPE.format(index=index, type=items[index].type))
    for index in (index for index, _, _ in values if not items[index].enabled):
        raise Refusal(texts.ITEM_DISABLED.format(index=index))
    indexes = [index for index, _, _ in values]
    twice = next(index for n, index in enumerate(indexes) if index in indexes[:n])
    raise Refusal(texts.VALUE_TWICE.format(index=twice))


def check_required(template: Template, given: Mapping[str, str]) -> None:
    """Nothing a whole record needs is missing, which is said before anything about the texts. Raises InvalidInput."""
    for item in template.items:
        if item.required and item.enabled and is_blank(given.get(item.type, "")):
            raise InvalidInput("value_missing", field=item.type, item=item.name_zh or item.type)


def check_given(template: Template, given: Mapping[str, str]) -> None:
    """Lengths and kinds of what was sent, which is said before whether the identifier exists. Raises InvalidInput."""
    for kind, text in given.items():
        if not is_blank(text):
            check_text(template.get_item(kind), text)


def draft_item(template: Template, item: HandleItem) -> Draft:
    """The record a new identifier is to get."""
    given = read_texts(template, item.values)
    check_required(template, given)
    return pack_draft(template.template_id, item.identifier.suffix, template.check_values(given))
