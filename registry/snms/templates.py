"""Data templates, v3 and v5 (§d.5): the same templates as everywhere, in the published members.

v3 numbers items from 2000 in the order they are sent and knows neither their indexes nor their states.
"""

from collections.abc import Awaitable
from functools import partial
from typing import Any

from registry.snms import texts
from registry.snms.calls import SnmsCall
from registry.snms.edge import Route
from registry.snms.fields import Fields, Refusal
from registry.snms.targets import get_known_template, get_rule_for_writing
from registry.templates import add_template, change_template, delete_template
from schemas.errors import Conflict, InvalidInput
from schemas.prefixes import MAX_PREFIX_CHARACTERS
from schemas.templates import MAX_ITEMS, Item, Template

MAX_VERSION_CHARACTERS = 128
MAX_TYPE_CHARACTERS = 128
MAX_LENGTH = 255
CARRIERS = {1: "active carrier", 2: "other"}
STATES = {0: "disabled", 1: "enabled"}
# Codes of an industry, from section to class, with the signs of each.
INDUSTRY = (("industryCategory", 1), ("industrySpecific", 2), ("industryTrade", 3), ("industrySubclass", 4))
# How our own errors call the members of an item, and how this interface does.
_NAMES = {"index": "idIndex", "type": "idType", "min_length": "metadata.minLength", "max_length": "metadata.maxLength"}


async def get_one(call: SnmsCall, *, v5: bool) -> object:
    prefix, version = read_key(call.read_fields())
    async with call.connect() as conn:
        template = await get_known_template(conn, call, prefix, version)
    return format_template(template, v5=v5)


async def add(call: SnmsCall, *, v5: bool) -> object:
    """A version that exists is refused, whatever it says; so a repeated call tells that the first one landed."""
    fields = call.read_fields()
    prefix, version = read_key(fields)
    document = {"version": version, **read_head(fields)}
    document["items"] = [read_item(item, numbered=v5) for item in fields.get_objects("items", MAX_ITEMS)]
    number_items(document["items"], [])
    async with call.write() as conn:
        await get_rule_for_writing(conn, call, prefix)
        _, is_new = await _refusing(add_template(conn, call.order(), prefix, document), version)
        if not is_new:
            raise Refusal(texts.TEMPLATE_TAKEN.format(version=version))
    return True


async def change(call: SnmsCall) -> object:
    """Items that are not sent stay; a known index with its type is changed, without an index an item is new."""
    fields = call.read_fields()
    prefix, version = read_key(fields)
    changes = read_head(fields)
    changes["items"] = [
        read_item(item, numbered=True, with_state=True) for item in fields.get_objects("items", MAX_ITEMS)
    ]
    async with call.write() as conn:
        await get_rule_for_writing(conn, call, prefix)
        old = await get_known_template(conn, call, prefix, version)
        number_items(changes["items"], list(old.items))
        await _refusing(change_template(conn, call.order(), prefix, version, changes), version)
    return True


async def delete(call: SnmsCall) -> object:
    """Refused while an identifier uses it."""
    prefix, version = read_key(call.read_fields())
    async with call.write() as conn:
        await get_rule_for_writing(conn, call, prefix)
        await delete_template(conn, call.order(), prefix, version)
    return True


def read_key(fields: Fields) -> tuple[str, str]:
    """Prefix and version."""
    return fields.get_text("prefix", MAX_PREFIX_CHARACTERS), fields.get_text("version", MAX_VERSION_CHARACTERS)


def read_head(fields: Fields) -> dict[str, Any]:
    """Everything but the items; a description that is not sent is not among them."""
    head: dict[str, Any] = {
        "industry": [fields.get_text(name, size) for name, size in INDUSTRY],
        "active_carrier": fields.get_choice("type", CARRIERS) == 1,
    }
    description = fields.find_text("description", 1_024)
    return head if description is None else head | {"description": description}


def read_item(fields: Fields, *, numbered: bool, with_state: bool = False) -> dict[str, Any]:
    """Members of an item as our templates name them; those that were not sent are not among them.

    v3 knows no index, and only a change knows a state: what is new is enabled.
    """
    name = fields.get_text("name", 255)
    metadata = fields.get_object("metadata")
    kind = metadata.find_text("type", 32)
    if kind is not None and kind.lower() != "string":
        raise Refusal(texts.FORMAT_NOT_STRING.format(name=f"{fields.path}metadata.type"))
    shortest = metadata.get_number("minLength", 0, MAX_LENGTH)
    item: dict[str, Any] = {
        "name": {"zh": name},
        "type": fields.get_text("idType", MAX_TYPE_CHARACTERS),
        "min_length": shortest,
        "max_length": metadata.get_number("maxLength", max(1, shortest), MAX_LENGTH),
    }
    required = fields.find_flag("required")
    if required is not None:
        item["required"] = required
    index = fields.find_number("idIndex", 0, 2**31 - 1) if numbered else None
    state = fields.find_choice("state", STATES) if with_state else None
    item |= {} if index is None else {"index": index}
    item |= {} if state is None else {"enabled": state == 1}
    return item


def number_items(items: list[dict[str, Any]], old: list[Item]) -> None:
    """Items without an index get the next free ones from 2000 on; a type or an index that stands twice is refused."""
    known = {item.type.lower(): item.index for item in old}
    free = max((*known.values(), *(item.get("index", 0) for item in items), 1_999)) + 1
    seen: set[object] = set()
    for item in items:
        kind = str(item["type"]).lower()
        if kind in seen or (kind in known and known[kind] != item.get("index")):
            raise Refusal(texts.ITEM_TAKEN.format(item=item["type"]))
        if "index" not in item:
            item["index"], free = free, free + 1
        if item["index"] in seen:
            raise Refusal(texts.ITEM_TAKEN.format(item=item["index"]))
        seen |= {kind, item["index"]}


async def _refusing(write: Awaitable[tuple[Template, bool]], version: str) -> tuple[Template, bool]:
    """Our own errors with the names of this interface."""
    try:
        return await write
    except Conflict as error:
        if error.code == "template_taken":
            raise Refusal(texts.TEMPLATE_TAKEN.format(version=version)) from None
        raise
    except InvalidInput as error:
        if error.code == "template_item_taken":
            raise Refusal(texts.ITEM_TAKEN.format(item=error.details.get("item", ""))) from None
        where, dot, member = (error.field or "").rpartition(".")
        if dot and member in _NAMES:
            raise type(error)(error.code, field=f"{where}.{_NAMES[member]}", **error.details) from None
        raise


def format_template(template: Template, *, v5: bool) -> dict[str, Any]:
    """What GET answers. Every item is there, in order of index, since clients number values by that order."""
    industry = template.industry or ("", "", "", "")
    view = {
        "id": template.template_id,
        "prefix": template.prefix,
        "name": template.name_zh,
        "version": template.version,
        **{name: code for (name, _), code in zip(INDUSTRY, industry, strict=True)},
        "type": 1 if template.active_carrier else 2,
        "description": template.description,
        "items": [_format_item(item, v5=v5) for item in template.items],
    }
    return view | ({"handle": template.handle} if v5 else {})


def _format_item(item: Item, *, v5: bool) -> dict[str, Any]:
    """Whatever a value is checked for, it is a string here (§d.5)."""
    view: dict[str, Any] = {
        "name": item.name_zh,
        "idType": item.type,
        "required": item.required,
        "metadata": {"type": "string", "minLength": item.min_length, "maxLength": item.max_length},
    }
    if v5:
        view |= {"idIndex": item.index, "state": int(item.enabled), "metadataId": item.index}
    return view


V3, V5 = "/snms/api/v3/template", "/snms/api/v5/template"
ROUTES = {
    ("GET", V3): Route(partial(get_one, v5=False)),
    ("POST", V3): Route(partial(add, v5=False), scope="templates"),
    ("DELETE", V3): Route(delete, scope="templates"),
    ("GET", V5): Route(partial(get_one, v5=True)),
    ("POST", V5): Route(partial(add, v5=True), scope="templates"),
    ("PUT", V5): Route(change, scope="templates"),
    ("DELETE", V5): Route(delete, scope="templates"),
}
