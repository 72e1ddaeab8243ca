"""Templates: the versioned schema of records under a prefix (domain.md §d.5, §c.3).

A value is stored as text in the form `check_text` returns: numbers without separators, dates as yyyy-MM-dd.
"""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date
from enum import IntEnum
from functools import cached_property
from typing import Any

from schemas.errors import InvalidInput, list_refusals
from schemas.identifiers import shorten
from schemas.industries import check_industry

FIRST_ITEM_INDEX = 2_000
TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX, NOTICE_INDEX = 1_000, 1_001, 1_999
RESERVED_INDEXES = frozenset({TEMPLATE_HANDLE_INDEX, TEMPLATE_VERSION_INDEX, NOTICE_INDEX})
MAX_ITEMS = 200
MAX_TEXT_CHARACTERS = 4_000
DATA_TYPES = ("text", "number", "integer", "date", "boolean", "url")
STAGES = ("design", "production", "supply", "service")
_MEMBERS = ("name", "version", "industry", "stage", "items", "description", "active_carrier", "enabled")
_ITEM_MEMBERS = (
    "index", "type", "name", "data", "min_length", "max_length", "required", "enabled", "visibility", "stage",
)  # fmt: skip
_TYPE = re.compile(r"[A-Za-z0-9_.\-/]{1,128}", re.ASCII)


class Visibility(IntEnum):
    """Who may see an item's values: anyone, organisations the enterprise has named, or the enterprise alone."""

    PUBLIC = 0
    PARTNER = 1
    PRIVATE = 2


@dataclass(frozen=True, slots=True)
class Item:
    """One field of a template; `type` becomes the type of its values, `index` their index."""

    index: int
    type: str
    name_zh: str
    name_en: str
    data: str = "text"
    min_length: int = 0
    max_length: int = 255
    required: bool = False
    enabled: bool = True
    visibility: Visibility = Visibility.PUBLIC
    stage: str | None = None

    def get_name(self, language: str) -> str:
        return (self.name_zh or self.name_en) if language == "zh" else (self.name_en or self.name_zh)

    @property
    def names(self) -> dict[str, str]:
        """What a message calls it in either language."""
        return {"item": self.get_name("zh") or self.type, "item_en": self.get_name("en") or self.type}


@dataclass(frozen=True)
class Template:
    """`industry` holds the four codes of GB/T 4754; `template_id` is 0 until the template is stored."""

    version: str
    items: tuple[Item, ...]
    name_zh: str = ""
    name_en: str = ""
    industry: tuple[str, str, str, str] | None = None
    stage: str = "production"
    description: str = ""
    active_carrier: bool = False
    enabled: bool = True
    prefix: str = ""
    template_id: int = 0

    @cached_property
    def items_by_index(self) -> dict[int, Item]:
        return {item.index: item for item in self.items}

    @cached_property
    def items_by_type(self) -> dict[str, Item]:
        return {item.type.lower(): item for item in self.items}

    @property
    def handle_suffix(self) -> str:
        """The suffix of the template's own identifier."""
        return f"META_{self.version}"

    @property
    def handle(self) -> str:
        return f"{self.prefix}/{self.handle_suffix}"

    def get_item(self, item_type: str) -> Item:
        """The item of that type; raises InvalidInput."""
        item = self.items_by_type.get(item_type.lower())
        if item is None:
            raise InvalidInput("value_unknown_item", field=item_type, template=self.version, item=shorten(item_type))
        return item

    def check_values(self, texts: Mapping[str, str]) -> list[tuple[Item, str]]:
        """Values by type → pairs in order of index; blank texts count as not given. Raises InvalidInput."""
        given: dict[int, tuple[Item, str]] = {}
        for item_type, text in texts.items():
            item = self.get_item(item_type)
            if item.index in given:
                raise InvalidInput("value_given_twice", field=item.type, item=item.type)
            if not item.enabled:
                raise InvalidInput("value_disabled_item", field=item.type, item=item.type)
            if not is_blank(text):
                given[item.index] = (item, check_text(item, text))
        for item in self.items:
            if item.required and item.enabled and item.index not in given:
                raise InvalidInput("value_missing", field=item.type, **item.names)
        return [given[index] for index in sorted(given)]


def is_blank(text: str) -> bool:
    """Whether a text says nothing: it is no value, wherever it comes from."""
    return not text or text.isspace()


def check_text(item: Item, text: str) -> str:
    """The stored form of a text that is not blank for this item; raises InvalidInput that names item and reason."""
    return _CHECKS[item.data](item, text)


# Tab and line breaks are content; everything else below a blank, DEL and C1 are controls.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)", re.ASCII)
_DATE = re.compile(
    r"(\d{4})(?:-(\d{1,2})-(\d{1,2})|/(\d{1,2})/(\d{1,2})|\.(\d{1,2})\.(\d{1,2})|年(\d{1,2})月(\d{1,2})日|(\d\d)(\d\d))",
    re.ASCII,
)
_URL = re.compile(r"https?://[^\s/?#\\@<>\"]+(?:[/?#][^\s<>\"\\]*)?", re.IGNORECASE)
_BOOLEANS = {"是": "true", "否": "false", "true": "true", "false": "false", "yes": "true", "no": "false"}


def _check_length(item: Item, text: str) -> str:
    if not item.min_length <= len(text) <= item.max_length:
        code, limit = (
            ("value_too_long", item.max_length) if len(text) > item.max_length else ("value_too_short", item.min_length)
        )
        raise InvalidInput(code, field=item.type, **item.names, length=len(text), limit=limit)
    return text


def _check_plain_text(item: Item, text: str) -> str:
    if not text.isprintable() and (found := _CONTROL.search(text)):
        raise InvalidInput(
            "value_control_character",
            field=item.type,
            **item.names,
            character=f"U+{ord(found.group()):04X}",
        )
    return _check_length(item, text)


def _refuse(code: str, item: Item, text: str) -> InvalidInput:
    return InvalidInput(code, field=item.type, **item.names, text=shorten(text, 40))


def _check_number(item: Item, text: str) -> str:
    if not _NUMBER.fullmatch(text := text.strip()):
        raise _refuse("value_not_number", item, text)
    return _check_length(item, text.replace(",", "").removeprefix("+"))


def _check_integer(item: Item, text: str) -> str:
    if not _INTEGER.fullmatch(text := text.strip()):
        raise _refuse("value_not_integer", item, text)
    return _check_length(item, text.replace(",", "").removeprefix("+"))


def parse_date(text: str) -> date | None:
    """2024-06-04, 2024/6/4, 2024.6.4, 20240604 and 2024年6月4日; None if it is no day of the calendar."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day = (int(part) for part in found.groups() if part is not None)
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _check_date(item: Item, text: str) -> str:
    day = parse_date(text)
    if day is None:
        raise _refuse("value_not_date", item, text)
    return day.isoformat()


def _check_boolean(item: Item, text: str) -> str:
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise _refuse("value_not_boolean", item, text)
    return value


def _check_url(item: Item, text: str) -> str:
    # Only web addresses: a record's address may be followed by a browser, so `javascript:` must never get in.
    if not _URL.fullmatch(text):
        raise _refuse("value_not_url", item, text)
    return _check_plain_text(item, text)


_CHECKS: dict[str, Callable[[Item, str], str]] = {
    "text": _check_plain_text,
    "number": _check_number,
    "integer": _check_integer,
    "date": _check_date,
    "boolean": _check_boolean,
    "url": _check_url,
}


def parse_template(document: object, prefix: str = "") -> Template:
    """Read a template document (the JSON of `idnode template add` and of `/api/v1`); raises InvalidInput."""
    if not isinstance(document, dict):
        raise _malformed("template", "{…}")
    unknown = document.keys() - {*_MEMBERS, "prefix", "identifier", "template_id"}  # the last three: as answers have it
    if unknown:
        raise _malformed(sorted(map(str, unknown))[0], ", ".join(_MEMBERS))
    zh, en = _parse_names(document.get("name", {}), "name")
    raw_items = document.get("items")
    if not isinstance(raw_items, list) or not 1 <= len(raw_items) <= MAX_ITEMS:
        raise _malformed("items", f"[…] (1–{MAX_ITEMS})")
    items = tuple(_parse_item(raw, n) for n, raw in enumerate(raw_items))
    for key, name in (("index", "index"), ("type", "type"), ("name_zh", "name.zh"), ("name_en", "name.en")):
        _check_distinct(items, key, name)
    return Template(
        version=_parse_version(document.get("version")),
        items=tuple(sorted(items, key=lambda item: item.index)),
        name_zh=zh,
        name_en=en,
        industry=_parse_industry(document.get("industry")),
        stage=_parse_choice(document.get("stage", "production"), "stage", STAGES),
        description=_parse_string(document.get("description", ""), "description", 1_024),
        active_carrier=_parse_flag(document.get("active_carrier", False), "active_carrier"),
        enabled=_parse_flag(document.get("enabled", True), "enabled"),
        prefix=prefix,
    )


_AT = re.compile(r"(?:items\[(\d+)\]\.)?(\w+)(?:\.\w+)?", re.ASCII)


def list_problems(document: dict[str, Any]) -> list[InvalidInput]:
    """What `parse_template` refuses of a form, each field once: what it names is left out for the next look.

    Indexes are not looked at: nobody types them.
    """
    rest = deepcopy(document)
    for item in rest["items"]:
        item.pop("index", None)
    return list_refusals(lambda: parse_template(rest), lambda field: _leave_out(rest, field))


def _leave_out(document: dict[str, Any], field: str) -> None:
    """What is compulsory becomes something that is right, and nobody else's."""
    if named := _AT.fullmatch(field):
        row, name = named.groups()
        holder = document["items"][int(row)] if row else document
        holder.pop(name, None)
        if name in ("type", "version"):
            holder[name] = f"-{row}"


def format_template(template: Template) -> dict[str, Any]:
    """The document that `parse_template` reads back to an equal template."""
    return {
        "name": {"zh": template.name_zh, "en": template.name_en},
        "version": template.version,
        "industry": list(template.industry) if template.industry else None,
        "stage": template.stage,
        "description": template.description,
        "active_carrier": template.active_carrier,
        "enabled": template.enabled,
        "items": [_format_item(item) for item in template.items],
    }


def _format_item(item: Item) -> dict[str, Any]:
    document: dict[str, Any] = {
        "index": item.index,
        "type": item.type,
        "name": {"zh": item.name_zh, "en": item.name_en},
        "data": item.data,
        "min_length": item.min_length,
        "max_length": item.max_length,
        "required": item.required,
        "enabled": item.enabled,
        "visibility": item.visibility.name.lower(),
    }
    return document | ({"stage": item.stage} if item.stage else {})


def bind_template(template: Template, prefix: str, template_id: int) -> Template:
    """The template as it is stored: under its prefix, with the number records refer to it by."""
    return replace(template, prefix=prefix, template_id=template_id)


def _malformed(field: str, expected: str) -> InvalidInput:
    """`expected` in signs that are read in every language."""
    return InvalidInput("template_malformed", field=field, expected=expected)


def _parse_item(raw: object, position: int) -> Item:
    where = f"items[{position}]"
    if not isinstance(raw, dict):
        raise _malformed(where, "{…}")
    unknown = raw.keys() - set(_ITEM_MEMBERS)
    if unknown:
        raise _malformed(f"{where}.{sorted(map(str, unknown))[0]}", ", ".join(_ITEM_MEMBERS))
    index = raw.get("index", FIRST_ITEM_INDEX + position)
    if not isinstance(index, int) or isinstance(index, bool) or not 1 <= index < 2**31:
        raise _malformed(f"{where}.index", f"{FIRST_ITEM_INDEX}–{2**31 - 1}")
    if index < FIRST_ITEM_INDEX:
        raise InvalidInput("template_index_reserved", field=f"{where}.index", index=index)
    item_type = raw.get("type")
    if not isinstance(item_type, str) or not _TYPE.fullmatch(item_type) or item_type.upper().startswith("HS_"):
        raise InvalidInput("template_type_malformed", field=f"{where}.type")
    zh, en = _parse_names(raw.get("name", {}), f"{where}.name")
    shortest = _parse_size(raw.get("min_length", 0), f"{where}.min_length")
    longest = _parse_size(raw.get("max_length", 255), f"{where}.max_length")
    if longest < max(1, shortest):
        raise _refuse_size(f"{where}.max_length", max(1, shortest))
    stage = raw.get("stage")
    return Item(
        index=index,
        type=item_type,
        name_zh=zh or en or item_type,
        name_en=en or zh or item_type,
        data=_parse_choice(raw.get("data", "text"), f"{where}.data", DATA_TYPES),
        min_length=shortest,
        max_length=longest,
        required=_parse_flag(raw.get("required", False), f"{where}.required"),
        enabled=_parse_flag(raw.get("enabled", True), f"{where}.enabled"),
        visibility=_parse_visibility(raw.get("visibility", "public"), f"{where}.visibility"),
        stage=None if stage is None else _parse_choice(stage, f"{where}.stage", STAGES),
    )


def _parse_visibility(value: object, field: str) -> Visibility:
    return Visibility[_parse_choice(value, field, tuple(v.name.lower() for v in Visibility)).upper()]


def _check_distinct(items: tuple[Item, ...], key: str, name: str) -> None:
    seen: set[object] = set()
    for position, item in enumerate(items):
        value = getattr(item, key)
        value = value.lower() if isinstance(value, str) else value
        if value in seen:
            raise InvalidInput("template_item_taken", field=f"items[{position}].{name}", item=getattr(item, key))
        seen.add(value)


def _parse_names(value: object, field: str) -> tuple[str, str]:
    if isinstance(value, str):
        value = {"zh": value}
    if not isinstance(value, dict) or value.keys() - {"zh", "en"}:
        raise _malformed(field, '{"zh": …, "en": …}')
    return (
        _parse_string(value.get("zh", ""), f"{field}.zh", 255),
        _parse_string(value.get("en", ""), f"{field}.en", 255),
    )


def _parse_string(value: object, field: str, limit: int) -> str:
    if isinstance(value, str) and len(value) > limit:
        raise InvalidInput("field_too_long", field=field, limit=limit)
    if not isinstance(value, str) or _CONTROL.search(value):
        raise _malformed(field, f'"…" (≤ {limit})')
    return value.strip()


def _parse_version(value: object) -> str:
    version = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(version) <= 128 or not version.isprintable():
        raise InvalidInput("template_version_malformed", field="version")
    return version


def _parse_choice(value: object, field: str, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise _malformed(field, " | ".join(choices))
    return value


def _parse_flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise _malformed(field, "true | false")
    return value


def _parse_size(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TEXT_CHARACTERS:
        raise _refuse_size(field, 0 if field.endswith("min_length") else 1)
    return value


def _refuse_size(field: str, least: int) -> InvalidInput:
    return InvalidInput("template_length_malformed", field=field, least=least, most=MAX_TEXT_CHARACTERS)


def _parse_industry(value: object) -> tuple[str, str, str, str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(code, str) for code in value):
        raise _malformed("industry", '["C", "13", "139", "1392"]')
    return check_industry("/".join(value))
