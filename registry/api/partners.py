"""Partners: who may see what an enterprise has marked for partners, prefix by prefix."""

from typing import Annotated

from asyncpg import Connection
from fastapi import Query, Response

from registry.account_views import format_grant
from registry.api.calls import Answer, PathText, Reading, Writing
from registry.api.targets import check_known_prefix
from registry.late_routes import LateRouter
from registry.partners import list_partners, name_partner, revoke_partner
from schemas.account_bodies import NewPartner, PartnerBody, PartnerPage

router = LateRouter(prefix="/api/v1/partners", tags=["partners"])


@router.get("", response_model=PartnerPage, summary="List partners")
async def get_partners(
    call: Reading, prefix: Annotated[str | None, Query(description="Only those of this prefix.")] = None
) -> Response:
    """Of one's own prefixes, revoked ones among them."""
    principal = call.get_principal()
    async with call.connect() as conn:
        return call.reply({"partners": [format_grant(g) for g in await list_partners(conn, principal, prefix)]})


@router.post("", status_code=201, response_model=PartnerBody, summary="Name a partner")
async def post_partner(call: Writing, body: NewPartner) -> Response:
    """It sees what is marked for partners from now on; 200 if it does already."""
    check_known_prefix(call, body.prefix)

    async def effect(conn: Connection) -> Answer:
        grant, is_new = await name_partner(conn, call.order(), body.prefix, body.organisation)
        return Answer(format_grant(grant), 201 if is_new else 200)

    return await call.write(effect)


@router.delete("/{prefix}/{organisation}", response_model=PartnerBody, summary="Revoke a partner")
async def delete_partner(call: Writing, prefix: PathText, organisation: PathText) -> Response:
    """It sees what everybody sees, at once."""
    check_known_prefix(call, prefix)

    async def effect(conn: Connection) -> Answer:
        order = call.order()
        return Answer(format_grant(await revoke_partner(conn, order, prefix, organisation)) | {"revoked": order.at})

    return await call.write(effect)
