"""What enterprises are sorted by: units (towns and parks) and tags."""

from typing import Any

from asyncpg import Connection
from fastapi import Response

from registry.api.calls import Answer, Reading, Writing
from registry.api.paging import MAX_PAGE, After, Limit, cut
from registry.api.targets import check_texts
from registry.areas import add_unit
from registry.late_routes import LateRouter
from registry.store.enterprises import fetch_tag_dictionary
from registry.store.placements import Unit, fetch_units
from schemas.enterprise_bodies import NewUnit, TagPage, UnitBody, UnitPage
from schemas.industries import format_division

router = LateRouter(prefix="/api/v1", tags=["enterprises"])


@router.get("/units", response_model=UnitPage, summary="Units enterprises report under")
async def list_units(call: Reading, after: After = "", limit: Limit = MAX_PAGE) -> Response:
    call.get_principal()
    async with call.connect() as conn:
        page, following = cut(await fetch_units(conn), lambda unit: str(unit.unit_id), after, limit)
    return call.reply({"units": [_format(unit) for unit in page], "next": following})


@router.post("/units", status_code=201, response_model=UnitBody, summary="Add a unit")
async def post_unit(call: Writing, body: NewUnit) -> Response:
    """A town or park below a division; one that exists is returned."""
    call.get_operator()
    check_texts(division=body.division, name=body.name)

    async def effect(conn: Connection) -> Answer:
        return Answer(_format(await add_unit(conn, call.order(), body.division, body.name)), 201)

    return await call.write(effect)


@router.get("/tags", response_model=TagPage, summary="The dictionary of tags")
async def list_tags(call: Reading, after: After = "", limit: Limit = MAX_PAGE) -> Response:
    """With the number of enterprises that carry each."""
    call.get_operator()
    async with call.connect() as conn:
        found = await fetch_tag_dictionary(conn)
    page, following = cut(found, lambda tag: f"{tag[0]}/{tag[1]}", after, limit)
    tags = [{"kind": kind, "name": name, "enterprises": n} for kind, name, n in page]
    return call.reply({"tags": tags, "next": following})


def _format(unit: Unit) -> dict[str, Any]:
    return {
        "unit_id": unit.unit_id,
        "division_code": unit.division_code,
        "division": format_division(unit.division_code),
        "name": unit.name,
    }
