"""Partners: which organisations see what is marked for partners, prefix by prefix."""

from typing import Annotated

from fastapi import Query, Response

from registry.console.identifier_pages import list_own_prefixes
from registry.console.sections import Entry, Section
from registry.console.visits import Posting, Problem, Visit, Visiting
from registry.late_routes import LateRouter
from registry.partners import list_partners, name_partner, revoke_partner
from registry.principals import Principal
from schemas.errors import NotFound, ServiceError
from schemas.identifiers import shorten


def _may(principal: Principal) -> bool:
    return principal.kind == "enterprise" and "manage" in principal.scopes


router = LateRouter(prefix="/partners")
SECTION = Section(router, (Entry("/partners", "partners", "group_firm", _may),))

Text = Annotated[str, Query(max_length=4_096)]


@router.get("")
async def list_all(visit: Visiting) -> Response:
    return await _show_list(visit, {}, {})


async def _show_list(visit: Visit, fields: dict[str, str], problems: dict[str, Problem]) -> Response:
    principal = visit.get_principal()
    principal.check_scope("manage")
    async with visit.connect() as conn:
        grants = await list_partners(conn, principal, None)
        prefixes = await list_own_prefixes(conn, visit)
    return visit.page(
        "partners.html", status=400 if problems else 200, grants=grants, prefixes=prefixes, fields=fields,
        problems=problems,
    )  # fmt: skip


@router.post("")
async def name(post: Posting) -> Response:
    """They see it from now on, on every interface."""
    post.get_principal().check_scope("manage")
    try:
        async with post.write() as conn:
            await name_partner(conn, post.order(), post.form["prefix"], post.form["organisation"])
    except ServiceError as error:
        return await _show_list(post, post.form.to_dict(), post.explain(error))
    return post.redirect("/partners", "partner_named")


@router.get("/revoke")
async def show_revocation(visit: Visiting, prefix: Text, organisation: Text) -> Response:
    visit.get_principal().check_scope("manage")
    async with visit.connect() as conn:
        named = await list_partners(conn, visit.get_principal(), prefix)
    names = {grant.organisation: grant.name for grant in named if grant.revoked is None}
    if organisation not in names:
        raise NotFound("partner_not_found", field="organisation", organisation=shorten(organisation), prefix=prefix)
    name = names[organisation]
    return visit.page("partner_revoke.html", prefix=prefix, organisation=organisation, organisation_name=name)


@router.post("/revoke")
async def revoke(post: Posting) -> Response:
    """They see what everybody sees, within a second."""
    post.get_principal().check_scope("manage")
    async with post.write() as conn:
        await revoke_partner(conn, post.order(), post.form["prefix"], post.form["organisation"])
    return post.redirect("/partners", "partner_revoked")
