"""Looking an identifier up (§d.3): a resolution like any other, counted as one (design 10)."""

import ipaddress
from datetime import datetime
from functools import lru_cache
from typing import Any

from registry.audit import note
from registry.issuing import HOSTED_HERE, PREFIX_ENABLED
from registry.principals import find_viewer
from registry.records import is_storable, to_record
from registry.snms.calls import SnmsCall
from registry.snms.edge import Route
from registry.snms.items import FORMAT, MAX_HANDLE_CHARACTERS
from registry.store.details import Key
from registry.store.records import PrefixRule
from registry.templates import find_template_by_id
from schemas.errors import Conflict, NotFound, Unavailable
from schemas.identifiers import Identifier, format_suffix_key, parse_any_identifier, shorten
from schemas.resolution_log import ClientClass, Outcome, Transport
from schemas.templates import Template
from schemas.values import Value
from schemas.viewing import Verdict, answer_record

MAX_TEMPLATES = 1_000


async def get_detail(call: SnmsCall) -> object:
    """What the caller may see of it; raises NotFound also for what was deleted."""
    named = parse_any_identifier(call.read_fields().get_text("handle", MAX_HANDLE_CHARACTERS))
    count = _Count(call, named)
    try:
        view, outcome = await _look_up(call, named, count)
    except Unavailable:
        count.append(Outcome.UNAVAILABLE)
        raise
    if view is None:
        count.append(outcome)
        raise NotFound("identifier_not_found", field="handle", identifier=shorten(str(named)))
    count.append(outcome)
    principal = call.get_principal()
    if principal.sees_all:  # the audit trail has who looks at what belongs to others
        async with call.connect() as conn:
            await note(conn, call.order(), "GET SNMS", str(named))
    return view


async def _look_up(call: SnmsCall, named: Identifier, count: "_Count") -> tuple[dict[str, Any] | None, Outcome]:
    if not is_storable(named.prefix) or not is_storable(named.suffix):
        return None, Outcome.NOT_FOUND
    detail = await call.shared.looks.find(Key(named.prefix, format_suffix_key(named.suffix, True), named.suffix))
    if detail is None:
        return None, Outcome.NOT_FOUND
    count.locate(detail.rule)
    if detail.rule.state != PREFIX_ENABLED:
        count.append(Outcome.NOT_FOUND)
        raise Conflict("prefix_not_enabled", field="handle", prefix=detail.rule.prefix)
    if detail.rule.hosting != HOSTED_HERE:
        return None, Outcome.NOT_FOUND
    stored = detail.stored
    if stored is None:
        return None, Outcome.NOT_FOUND
    count.template_id = stored.template_id
    template = await _find_template(call, stored.template_id, detail.template_changed)
    record = to_record(detail.rule.prefix_id, stored)
    answer = answer_record(record, template, find_viewer(call.get_principal(), detail.rule.prefix))
    if answer.verdict is Verdict.RETIRED:
        return None, Outcome.RETIRED
    found = Outcome.FOUND if answer.verdict is Verdict.FOUND else Outcome.NO_VALUES
    return _format(str(named), detail.rule.prefix, template, answer.values), found


async def _find_template(call: SnmsCall, template_id: int, changed: datetime | None) -> Template | None:
    """Remembered for as long as it has not changed; `changed` None: ask."""
    known = call.shared.templates
    remembered = known.get(template_id)
    if remembered is not None and remembered[0] == changed:
        return remembered[1]
    if not template_id:
        return None
    async with call.connect() as conn:
        template = await find_template_by_id(conn, template_id)
    if template is not None and changed is not None:
        if len(known) >= MAX_TEMPLATES:
            known.clear()
        known[template_id] = (changed, template)
    return template


def _format(handle: str, prefix: str, template: Template | None, values: list[Value]) -> dict[str, Any]:
    return {
        "code": "200",
        "prefix": prefix,
        "handle": handle,
        "templateVersion": template.version if template else "",
        "value": [
            {
                "auth": "1",
                "index": value.index,
                "type": value.type,
                "data": {"format": FORMAT, "value": value.data.decode("utf-8", "replace")},
            }
            for value in values
        ],
    }


class _Count:
    """What goes into the resolution log about one answer."""

    def __init__(self, call: SnmsCall, named: Identifier) -> None:
        self._call, self._named = call, named
        own = named.prefix in call.get_principal().prefixes
        self._class = ClientClass.SELF if own else ClientClass.PUBLIC
        self.prefix_id = self.template_id = 0

    def locate(self, rule: PrefixRule) -> None:
        self.prefix_id = rule.prefix_id
        if rule.is_sandbox:
            self._class = ClientClass.SANDBOX

    def append(self, outcome: Outcome) -> None:
        text = str(self._named).encode("utf-8", "surrogateescape")
        self._call.state.segments.append(
            text,
            self.prefix_id,
            self.template_id,
            Transport.REGISTRY,
            outcome,
            self._class,
            pack_address(self._call.address),
        )


@lru_cache(1_024)
def pack_address(text: str) -> bytes:
    """4 or 16 bytes; none for one that has none."""
    try:
        return ipaddress.ip_address(text.partition("%")[0]).packed
    except ValueError:
        return b""


ROUTES = {("GET", "/identityv2/data/detail"): Route(get_detail)}
