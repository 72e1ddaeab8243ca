"""Invitations: links with which people make themselves accounts. They are accepted on a page of the console."""

from typing import Any

from asyncpg import Connection
from fastapi import Response

from registry.account_views import format_invitation
from registry.api.calls import Answer, Reading, Writing
from registry.api.targets import check_texts
from registry.invitations import NewInvitation, format_link, invite, list_invitations, revoke_invitation
from registry.late_routes import LateRouter
from schemas.account_bodies import InvitationBody, InvitationPage, NewInvitationBody

router = LateRouter(prefix="/api/v1/invitations", tags=["accounts"])


@router.post("", status_code=201, response_model=InvitationBody, summary="Invite somebody")
async def post_invitation(call: Writing, body: NewInvitationBody) -> Response:
    """The answer holds the link, this once: valid for seven days, for one account with these roles."""
    check_texts(area=body.area, organisation=body.organisation, remark=body.remark)
    principal = call.get_principal()
    own = body.enterprise_id or principal.enterprise_id
    wanted = NewInvitation(body.roles, own, body.organisation, body.area, body.remark)

    async def effect(conn: Connection) -> Answer:
        row, token = await invite(conn, call.order(), wanted)
        link = None if call.dry_run else format_link(call.state.config.console_url, token)
        return Answer(format_invitation(row) | {"link": link}, 201)

    return await call.write(effect)


@router.get("", response_model=InvitationPage, summary="List open invitations")
async def get_invitations(call: Reading) -> Response:
    """Those that can still be used: of one's own enterprise, for the operator all."""
    async with call.connect() as conn:
        rows = await list_invitations(conn, call.get_principal(), call.state.now())
    return call.reply({"invitations": [format_invitation(row) for row in rows]})


@router.post("/{invitation_id}/revoke", response_model=InvitationBody, summary="Revoke an invitation")
async def post_revocation(call: Writing, invitation_id: int) -> Response:
    """Its link opens nothing any more."""

    async def effect(conn: Connection) -> Answer:
        content: dict[str, Any] = format_invitation(await revoke_invitation(conn, call.order(), invitation_id))
        return Answer(content)

    return await call.write(effect)
