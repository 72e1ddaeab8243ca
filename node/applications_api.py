"""Applications on `/api/v1/applications`: mounted into the registry by whoever starts it."""

from typing import Annotated

from asyncpg import Connection
from fastapi import Query, Response

from node.applications import (
    add_application,
    change_application,
    find_reported_month,
    format_application,
    get_application,
    list_applications,
    parse_kind,
    retire_application,
)
from node.store.applications import Application, Details, lock_applications
from registry.api.calls import Answer, Changing, Reading, Writing
from registry.api.etags import check_etag, make_etag
from registry.late_routes import LateRouter
from schemas.application_bodies import ApplicationBody, ApplicationList, NewApplication
from schemas.application_bodies import Details as DetailsBody

router = LateRouter(prefix="/api/v1/applications", tags=["applications"])


def read_details(body: DetailsBody) -> Details:
    return Details(
        body.name, parse_kind(body.kind), body.intro, body.users, body.developer, body.recursion, body.recursion_ip,
        body.recursion_port,
    )  # fmt: skip


@router.get("", response_model=ApplicationList, summary="List applications")
async def get_list(
    call: Reading,
    prefix: Annotated[str | None, Query(description="Those of this prefix alone.")] = None,
    retired: Annotated[bool, Query(description="Retired ones, too.")] = False,
) -> Response:
    """Of one's own prefixes, by prefix and name; they are reported upwards on the first day of each month."""
    principal = call.get_principal()
    async with call.connect() as conn:
        found = await list_applications(conn, principal, prefix, retired=retired)
        month = await find_reported_month(conn)
    return call.reply({"applications": [format_application(one) for one in found], "month": month})


@router.post("", status_code=201, response_model=ApplicationBody, summary="Register an application")
async def post_application(call: Writing, body: NewApplication) -> Response:
    """200 if it is there with the same details; 409 if another one of the prefix has that name."""
    node_prefixes = call.state.config.rules.node_prefixes

    async def effect(conn: Connection) -> Answer:
        made, is_new = await add_application(conn, call.order(), body.prefix, read_details(body), node_prefixes)
        return _show(made, 201 if is_new else 200)

    return await call.write(effect)


@router.get("/{application_id}", response_model=ApplicationBody, summary="Read an application")
async def show(call: Reading, application_id: int) -> Response:
    """With who wrote it last."""
    async with call.connect() as conn:
        shown = _show(await get_application(conn, call.get_principal(), application_id))
    return call.reply(shown.content, shown.headers)


@router.put("/{application_id}", response_model=ApplicationBody, summary="Change an application")
async def put_application(call: Changing, application_id: int, body: DetailsBody) -> Response:
    """All its details; its prefix stays."""
    node_prefixes = call.state.config.rules.node_prefixes

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, application_id)
        return _show(await change_application(conn, call.order(), application_id, read_details(body), node_prefixes))

    return await call.write(effect)


@router.post("/{application_id}/retire", response_model=ApplicationBody, summary="Retire an application")
async def post_retirement(call: Changing, application_id: int) -> Response:
    """It is reported no more; its name may be used again."""
    node_prefixes = call.state.config.rules.node_prefixes

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, application_id)
        return _show(await retire_application(conn, call.order(), application_id, node_prefixes))

    return await call.write(effect)


async def _check_unchanged(conn: Connection, call: Changing, application_id: int) -> None:
    if call.if_match is not None:
        await lock_applications(conn, (await get_application(conn, call.get_principal(), application_id)).prefix)
        check_etag(call.if_match, format_application(await get_application(conn, call.get_principal(), application_id)))


def _show(application: Application, status: int = 200) -> Answer:
    view = format_application(application)
    return Answer(view, status, {"ETag": make_etag(view)})
