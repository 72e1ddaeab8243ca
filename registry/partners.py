"""Partners: who may see what an enterprise has marked for partners (design decision 12).

A grant takes effect with the next request: who asks is looked up with what he was granted (registry.store.holders).
"""

from asyncpg import Connection

from registry.prefixes import lock_own_prefix
from registry.principals import Order, Principal
from registry.store.changes import append_change
from registry.store.grants import Grant, fetch_grants, find_grant, insert_grant, revoke_grant
from registry.store.prefixes import find_prefix
from schemas.certificates import check_uscc
from schemas.changes import ChangeKind
from schemas.errors import InvalidInput, NotFound
from schemas.identifiers import shorten


async def name_partner(conn: Connection, order: Order, prefix: str, organisation: str) -> tuple[Grant, bool]:
    """The grant, and whether it is new. Raises NotFound, Forbidden or InvalidInput."""
    code = _check_organisation(organisation)
    async with conn.transaction():
        row = await lock_own_prefix(conn, order, prefix)
        known = await find_grant(conn, row.prefix_id, code)
        if known is not None:
            return known, False
        await insert_grant(conn, row.prefix_id, code, order.at)
        await append_change(conn, ChangeKind.GRANT, row.prefix_id, order.act)
        return (await fetch_grants(conn, [row.prefix_id], code))[-1], True


async def revoke_partner(conn: Connection, order: Order, prefix: str, organisation: str) -> Grant:
    """Raises NotFound if the organisation is no partner of the prefix."""
    code = _check_organisation(organisation)
    async with conn.transaction():
        row = await lock_own_prefix(conn, order, prefix)
        known = await find_grant(conn, row.prefix_id, code)
        if known is None:
            raise NotFound("partner_not_found", field="organisation", organisation=code, prefix=prefix)
        await revoke_grant(conn, row.prefix_id, code, order.at)
        await append_change(conn, ChangeKind.GRANT, row.prefix_id, order.act)
    return known


async def list_partners(conn: Connection, principal: Principal, prefix: str | None) -> list[Grant]:
    """Of one prefix or of all the caller may know of, revoked ones among them; raises NotFound."""
    if prefix is None:
        return await fetch_grants(conn, None if principal.sees_all else list(principal.prefixes.values()))
    principal.check_sees_prefix(prefix)
    row = await find_prefix(conn, prefix) if prefix.isprintable() else None
    if row is None:
        raise NotFound("prefix_not_found", field="prefix", prefix=shorten(prefix))
    return await fetch_grants(conn, [row.prefix_id])


def _check_organisation(text: str) -> str:
    """Raises InvalidInput that names the field it came in."""
    try:
        return check_uscc(text)
    except InvalidInput as error:
        error.field = "organisation"
        raise
