"""Invitations: handing out links and taking them back; and the page the link opens, where the invited begins."""

from typing import Annotated

from asyncpg import Connection
from fastapi import Query, Response

from registry.accounts import check_user_name
from registry.api.problems import get_status
from registry.console.account_pages import ENTERPRISE_ROLES, read_standing
from registry.console.sections import Section
from registry.console.visits import (
    Anybody,
    AnybodyPosting,
    Post,
    Posting,
    Problem,
    Visit,
    Visiting,
    collect,
    find_number,
)
from registry.invitations import (
    Acceptance,
    NewInvitation,
    accept_invitation,
    check_remark,
    format_link,
    invite,
    list_invitations,
    open_invitation,
    revoke_invitation,
)
from registry.late_routes import LateRouter
from registry.passwords import check_password
from registry.principals import ROLES
from schemas.errors import InvalidInput, NotFound, ServiceError
from schemas.industries import format_division

router = LateRouter()
SECTION = Section(router)

Text = Annotated[str, Query(max_length=4_096)]
_OF_THE_LINK = frozenset(("invitation_unknown", "invitation_used", "invitation_revoked", "invitation_expired",
                          "invitation_slow_down"))  # fmt: skip


@router.get("/accounts/invitations")
async def list_all(visit: Visiting) -> Response:
    return await _show_list(visit, {}, {})


async def _show_list(visit: Visit, fields: dict[str, str], problems: dict[str, Problem]) -> Response:
    principal = visit.get_principal()
    async with visit.connect() as conn:
        rows = await list_invitations(conn, principal, visit.state.now())
    return visit.page(
        "invitations.html", status=400 if problems else 200, rows=rows, name_area=_name_area, fields=fields,
        problems=problems, roles=ROLES if principal.is_operator else ENTERPRISE_ROLES,
    )  # fmt: skip


def _name_area(area: str) -> str:
    """A division by its name; units have no other."""
    return format_division(area) if area.isdigit() else area


@router.post("/accounts/invitations")
async def send(post: Posting) -> Response:
    """The link is shown once: it is handed on by whatever way is safe."""
    form, problems = post.form, dict[str, Problem]()
    async with post.connect() as conn:
        with collect(problems, post):
            check_remark(form["remark"])
        new = await read_standing(conn, post, problems)
        if not problems:
            with collect(problems, post):
                wanted = NewInvitation(new.roles, new.enterprise_id, new.organisation, new.area, form["remark"])
                row, token = await invite(conn, post.order(), wanted)
    if problems:
        return await _show_list(post, form.to_dict(), problems)
    link = format_link(post.state.config.console_url, token)
    return post.page("invitation_made.html", row=row, name_area=_name_area, link=link)


@router.get("/accounts/invitations/revoke")
async def show_revocation(visit: Visiting, invitation_id: int) -> Response:
    async with visit.connect() as conn:
        rows = await list_invitations(conn, visit.get_principal(), visit.state.now())
    row = next((row for row in rows if row.invitation_id == invitation_id), None)
    if row is None:
        raise NotFound("invitation_not_found", field="invitation_id", number=invitation_id)
    return visit.page("invitation_revoke.html", row=row)


@router.post("/accounts/invitations/revoke")
async def revoke(post: Posting) -> Response:
    number = find_number(post.form["invitation_id"], 18)
    if number is None:
        raise NotFound("invitation_not_found", field="invitation_id", number=0)
    async with post.write() as conn:
        await revoke_invitation(conn, post.order(), number)
    return post.redirect("/accounts/invitations", "invitation_revoked")


# The invited ---------------------------------------------------------------------------------------------------------


@router.get("/invitation")
async def show_form(visit: Anybody, token: Text = "") -> Response:
    """What the link is for, and the two things that are left to choose."""
    return await _show_form(visit, token, {}, {})


async def _show_form(
    visit: Visit, token: str, fields: dict[str, str], problems: dict[str, Problem], status: int = 200
) -> Response:
    try:
        async with visit.connect() as conn:
            row = await open_invitation(conn, visit.state.config.rules.key_ring, visit.find_origin(), token)
    except ServiceError as error:
        return _refuse(visit, error)
    return visit.page(
        "invitation.html", status=status, row=row, name_area=_name_area, given=token, fields=fields, problems=problems
    )


def _refuse(visit: Visit, error: ServiceError) -> Response:
    """A link that opens nothing: why, and whom to ask."""
    response = visit.page("invitation_over.html", status=get_status(error), problem=visit.describe(error))
    if "seconds" in error.details:
        response.headers["Retry-After"] = str(error.details["seconds"])
    return response


@router.post("/invitation")
async def accept(post: AnybodyPosting) -> Response:
    """Roles are those of the invitation, whatever the form says."""
    given = Acceptance(post.form["invitation"], post.form["user_name"], dict(post.form.items).get("password", ""))
    ring, origin = post.state.config.rules.key_ring, post.find_origin()
    try:
        async with post.connect() as conn:
            row = await open_invitation(conn, ring, origin, given.token)
            problems = await _check(conn, post, given, row.enterprise_id)
            if not problems:
                made = await accept_invitation(conn, ring, origin, given)
    except ServiceError as error:
        if error.code in _OF_THE_LINK:
            return _refuse(post, error)
        problems = post.explain(error)
    if problems:
        return await _show_form(post, given.token, {"user_name": given.user_name}, problems, 400)
    return post.page("invitation_done.html", user_name=made.user_name)


async def _check(conn: Connection, post: Post, given: Acceptance, enterprise_id: int | None) -> dict[str, Problem]:
    """Whoever has several things to mend is told of all of them at once."""
    problems: dict[str, Problem] = {}
    with collect(problems, post):
        await check_user_name(conn, given.user_name, enterprise_id)
    with collect(problems, post):
        check_password(given.password, given.user_name)
    with collect(problems, post):
        if given.password != dict(post.form.items).get("repeated", ""):
            raise InvalidInput("password_repeated_wrong", field="repeated")
    return problems
