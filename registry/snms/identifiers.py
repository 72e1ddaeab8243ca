"""Writing identifiers one by one (§d.4, H1, H3, H5)."""

from registry.issuing import issue, raise_unless_registered
from registry.records import change, get_stored, retire
from registry.snms import texts
from registry.snms.calls import SnmsCall
from registry.snms.edge import Route
from registry.snms.fields import Refusal
from registry.snms.items import MAX_HANDLE_CHARACTERS, check_given, check_required, draft_item, read_item, read_texts
from registry.snms.targets import get_rule_for_writing, get_template_for_writing
from schemas.identifiers import parse_new_identifier

MERGE = "merge"


async def create(call: SnmsCall) -> object:
    item = read_item(call.get_object())
    prefix = item.identifier.prefix
    async with call.write() as conn:
        rule = await get_rule_for_writing(conn, call, prefix)
        template = await get_template_for_writing(conn, call, prefix, item.version)
        draft = draft_item(template, item)
        (result,) = await issue(conn, rule, [draft], call.order().act)
        raise_unless_registered(rule, draft.suffix, result)
    return True


async def update(call: SnmsCall) -> object:
    """The record holds these values and no others; with `?mode=merge` those that are not sent stay (§d.4)."""
    item, merges = read_item(call.get_object()), read_mode(call)
    prefix = item.identifier.prefix
    async with call.write() as conn:
        await get_rule_for_writing(conn, call, prefix)
        template = await get_template_for_writing(conn, call, prefix, item.version)
        given = read_texts(template, item.values)
        if not merges:
            check_required(template, given)
        check_given(template, given)
        located = await get_stored(conn, item.identifier, for_update=True)
        await change(conn, located, template, given, call.order().act, keep_others=merges)
    return True


async def delete(call: SnmsCall) -> object:
    """It answers nobody from now on, and is never issued again."""
    named = parse_new_identifier(call.read_fields().get_text("handle", MAX_HANDLE_CHARACTERS))
    async with call.write() as conn:
        await get_rule_for_writing(conn, call, named.prefix)
        located = await get_stored(conn, named, for_update=True)
        await retire(conn, located, call.order().act)
    return True


def read_mode(call: SnmsCall) -> bool:
    """Whether values that are not sent stay."""
    mode = call.query.get("mode", "")
    if mode not in ("", MERGE):
        raise Refusal(texts.MODE_UNKNOWN)
    return mode == MERGE


DATA = "/identityv2/data"
ROUTES = {
    ("POST", DATA): Route(create, scope="write"),
    ("PUT", DATA): Route(update, scope="write"),
    ("DELETE", DATA): Route(delete, scope="write"),
}
