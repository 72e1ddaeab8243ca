"""Which prefix and template a call is about, in the published order of checks: known, enabled, hosted, then owned."""

from collections.abc import Awaitable
from typing import TypeVar

from asyncpg import Connection

from registry.issuing import check_enabled, check_may_issue
from registry.prefixes import get_writable_prefix
from registry.snms import texts
from registry.snms.calls import SnmsCall
from registry.snms.fields import Refusal
from registry.store.records import PrefixRule, find_prefix_rule
from registry.templates import get_template
from schemas.errors import NotFound
from schemas.templates import Template

Found = TypeVar("Found")


async def get_rule_for_writing(conn: Connection, call: SnmsCall, prefix: str) -> PrefixRule:
    """A prefix under which the caller may register now; raises NotFound, Conflict or Refusal."""
    row = await name_owner(conn, prefix, get_writable_prefix(conn, call.get_principal(), prefix), writing=True)
    return PrefixRule(row.prefix_id, row.prefix, row.folds_case, int(row.state), int(row.hosting), row.is_sandbox)


async def get_known_template(conn: Connection, call: SnmsCall, prefix: str, version: str) -> Template:
    """Raises NotFound or Refusal."""
    return await name_owner(conn, prefix, get_template(conn, call.get_principal(), prefix, version))


async def get_template_for_writing(conn: Connection, call: SnmsCall, prefix: str, version: str) -> Template:
    """Also raises Conflict for one that is withdrawn."""
    template = await get_known_template(conn, call, prefix, version)
    check_enabled(template)
    return template


async def name_owner(conn: Connection, prefix: str, found: Awaitable[Found], *, writing: bool = False) -> Found:
    """Where a prefix is hidden since it is somebody else's, say so: here that is status -3, not "there is none"."""
    try:
        return await found
    except NotFound as error:
        rule = await find_prefix_rule(conn, prefix) if error.code == "prefix_not_found" else None
        if rule is None:
            raise
        if writing:
            check_may_issue(rule)
        raise Refusal(texts.PREFIX_NOT_OWN.format(prefix=rule.prefix), -3) from None
