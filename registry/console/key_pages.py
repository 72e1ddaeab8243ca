"""Access keys: for MES, ERP and printers. A secret is shown once."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from registry.console.sections import Entry, Section
from registry.console.visits import Posting, Problem, Visit, Visiting
from registry.keys import add_key, list_keys, revoke_key
from registry.principals import Principal
from schemas.errors import ServiceError


def _may(principal: Principal) -> bool:
    return principal.kind in ("enterprise", "operator") and "manage" in principal.scopes


router = APIRouter(prefix="/keys")
SECTION = Section(router, (Entry("/keys", "access_keys", "group_people", _may),))

Text = Annotated[str, Query(max_length=4_096)]


@router.get("")
async def list_all(visit: Visiting) -> Response:
    return await _show_list(visit, {})


async def _show_list(visit: Visit, problems: dict[str, Problem]) -> Response:
    visit.get_principal().check_scope("manage")
    async with visit.connect() as conn:
        keys = await list_keys(conn, visit.get_principal())
    return visit.page("keys.html", status=400 if problems else 200, keys=keys, problems=problems)


@router.post("")
async def make(post: Posting) -> Response:
    """The answer is the page with the secret; it is not shown again."""
    principal = post.get_principal()
    principal.check_scope("manage")
    try:
        async with post.write() as conn:
            access_key, secret_key = await add_key(conn, post.order(), principal.enterprise_id, post.form["note"])
    except ServiceError as error:
        return await _show_list(post, post.explain(error))
    return post.page("key_made.html", access_key=access_key, secret_key=secret_key, note=post.form["note"])


@router.get("/revoke")
async def show_revocation(visit: Visiting, access_key: Text) -> Response:
    visit.get_principal().check_scope("manage")
    return visit.page("key_revoke.html", access_key=access_key)


@router.post("/revoke")
async def revoke(post: Posting) -> Response:
    """It ends at once."""
    post.get_principal().check_scope("manage")
    async with post.write() as conn:
        await revoke_key(conn, post.order(), post.form["access_key"])
    return post.redirect("/keys", "key_revoked")
