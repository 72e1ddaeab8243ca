"""Templates of a prefix, as the documents `idnode template add` reads."""

from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Body, Response

from registry.api.calls import Answer, Changing, PathText, Reading, Writing
from registry.api.etags import check_etag, make_etag
from registry.api.paging import MAX_PAGE, After, Limit, cut
from registry.api.targets import check_known_prefix, check_known_version, get_known_template
from registry.late_routes import LateRouter
from registry.templates import add_template, change_template, delete_template, list_templates, lock_template
from schemas.bodies import TEMPLATE_EXAMPLE, DeletedBody, TemplateBody, TemplatePage
from schemas.templates import Template, format_template

router = LateRouter(prefix="/api/v1", tags=["templates"])

Document = Annotated[dict[str, Any], Body(examples=[TEMPLATE_EXAMPLE])]
Changes = Annotated[dict[str, Any], Body(examples=[{"enabled": False}])]


@router.post("/prefixes/{prefix}/templates", status_code=201, response_model=TemplateBody, summary="Add a template")
async def post_template(call: Writing, prefix: PathText, document: Document) -> Response:
    """201 if it is new, 200 if the same is there already; another one of this version is refused."""
    check_known_prefix(call, prefix)

    async def effect(conn: Connection) -> Answer:
        template, is_new = await add_template(conn, call.order(), prefix, document)
        return _show(template, 201 if is_new else 200)

    return await call.write(effect)


@router.get("/prefixes/{prefix}/templates", response_model=TemplatePage, summary="Templates of a prefix")
async def get_templates(call: Reading, prefix: PathText, after: After = "", limit: Limit = MAX_PAGE) -> Response:
    """Oldest first."""
    check_known_prefix(call, prefix)
    async with call.connect() as conn:
        found = await list_templates(conn, call.get_principal(), prefix)
    page, following = cut(found, lambda template: template.version, after, limit)
    return call.reply({"templates": [_format(template) for template in page], "next": following})


@router.get("/prefixes/{prefix}/templates/{version}", response_model=TemplateBody, summary="One template")
async def get_one_template(call: Reading, prefix: PathText, version: PathText) -> Response:
    check_known_prefix(call, prefix)
    async with call.connect() as conn:
        shown = _show(await get_known_template(conn, call, prefix, version))
    return call.reply(shown.content, shown.headers)


@router.patch(
    "/prefixes/{prefix}/templates/{version}", response_model=TemplateBody, summary="Widen or withdraw a template"
)
async def patch_template(call: Changing, prefix: PathText, version: PathText, changes: Changes) -> Response:
    """Items that are not sent stay; items may be added, enabled and disabled, and never change their meaning.

    `{"enabled": false}` withdraws the template from registering.
    """
    check_known_prefix(call, prefix)
    check_known_version(prefix, version)

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, prefix, version)
        template, _ = await change_template(conn, call.order(), prefix, version, changes)
        return _show(template)

    return await call.write(effect)


@router.delete(
    "/prefixes/{prefix}/templates/{version}", response_model=DeletedBody, summary="Delete a template nobody uses"
)
async def remove_template(call: Changing, prefix: PathText, version: PathText) -> Response:
    """Refused while a live identifier uses it."""
    check_known_prefix(call, prefix)
    check_known_version(prefix, version)

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, prefix, version)
        await delete_template(conn, call.order(), prefix, version)
        return Answer({"deleted": True})

    return await call.write(effect)


async def _check_unchanged(conn: Connection, call: Changing, prefix: str, version: str) -> None:
    if call.if_match is not None:
        check_etag(call.if_match, _format(await lock_template(conn, call.get_principal(), prefix, version)))


def _show(template: Template, status: int = 200) -> Answer:
    view = _format(template)
    return Answer(view, status, {"ETag": make_etag(view)})


def _format(template: Template) -> dict[str, Any]:
    return {"prefix": template.prefix, "identifier": template.handle, **format_template(template)}
