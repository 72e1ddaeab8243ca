"""Which prefix and template a request is about, and whether its caller may touch them."""

from asyncpg import Connection

from registry.api.calls import Call
from registry.prefixes import get_prefix, get_writable_prefix
from registry.principals import find_viewer
from registry.records import is_storable
from registry.store.prefixes import PrefixRow
from registry.store.records import PrefixRule
from registry.templates import get_template
from schemas.errors import Conflict, InvalidInput, NotFound
from schemas.identifiers import Identifier, shorten
from schemas.prefixes import Hosting, PrefixState
from schemas.templates import Template
from schemas.viewing import Viewer


def check_known_prefix(call: Call, prefix: str) -> str:
    """Raises Unauthenticated, or NotFound for what the caller may not know of."""
    call.get_principal().check_sees_prefix(prefix)
    if not is_storable(prefix):
        raise NotFound("prefix_not_found", field="prefix", prefix=shorten(prefix))
    return prefix


def get_enterprise_id(call: Call, named: int | None) -> int:
    """The enterprise that is named, else the caller's own. Raises InvalidInput, or NotFound for another's."""
    principal = call.get_principal()
    enterprise_id = named if named is not None else principal.enterprise_id
    if enterprise_id is None:
        raise InvalidInput("field_missing", field="enterprise_id")
    principal.check_enterprise(enterprise_id)
    return enterprise_id


async def get_rule(conn: Connection, call: Call, prefix: str) -> PrefixRule:
    """One of the caller's prefixes, in whatever state it is; raises NotFound."""
    check_known_prefix(call, prefix)
    return _to_rule(await get_prefix(conn, call.get_principal(), prefix))


async def get_rule_for_writing(conn: Connection, call: Call, prefix: str) -> PrefixRule:
    """Also raises Conflict where nothing can be registered now, Forbidden for who may only look."""
    check_known_prefix(call, prefix)
    return _to_rule(await get_writable_prefix(conn, call.get_principal(), prefix))


async def get_rule_for_state(conn: Connection, call: Call, prefix: str) -> PrefixRule:
    """The operator retires and freezes under a prefix that is stopped, too: a recall cannot wait."""
    if call.get_principal().is_operator:
        return await get_rule(conn, call, prefix)
    return await get_rule_for_writing(conn, call, prefix)


def _to_rule(row: PrefixRow) -> PrefixRule:
    return PrefixRule(row.prefix_id, row.prefix, row.folds_case, int(row.state), int(row.hosting), row.is_sandbox)


async def get_known_template(conn: Connection, call: Call, prefix: str, version: str) -> Template:
    """Raises NotFound."""
    return await get_template(conn, call.get_principal(), prefix, check_known_version(prefix, version))


async def get_template_for_writing(conn: Connection, call: Call, prefix: str, version: str) -> Template:
    """Also raises Conflict for a template that was withdrawn."""
    template = await get_known_template(conn, call, prefix, version)
    if not template.enabled:
        raise Conflict("template_withdrawn", field="template", version=version)
    return template


def check_known_version(prefix: str, version: str) -> str:
    """Raises NotFound for what no template can be called."""
    if not is_storable(version):
        raise NotFound("template_not_found", field="template", prefix=prefix, version=shorten(version))
    return version


def get_viewer(call: Call, prefix: str) -> Viewer:
    """The owner of a prefix, the operator and a reviewer see everything under it, partners what is for them."""
    return find_viewer(call.principal, prefix)


def check_answering(named: Identifier, rule: PrefixRule, viewer: Viewer) -> None:
    """Raises NotFound, as resolvers answer, under a prefix that is stopped or kept elsewhere; its owner may look."""
    if viewer is Viewer.OWNER:
        return
    if rule.state not in (PrefixState.ENABLED, PrefixState.TO_BE_DELETED):
        raise NotFound("prefix_stopped", field="identifier")
    if rule.hosting != Hosting.HOSTED:
        raise NotFound("identifier_not_found", field="identifier", identifier=shorten(str(named)))


def check_texts(**texts: str) -> None:
    """Raises InvalidInput for a text that the database cannot hold."""
    for name, text in texts.items():
        if not is_storable(text):
            raise InvalidInput("text_not_unicode", field=name)
