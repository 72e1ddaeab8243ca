"""Records as the interface shows them, with their templates fetched once per answer."""

from typing import Any

from asyncpg import Connection

from registry.api.calls import Call
from registry.api.targets import get_viewer
from registry.record_views import format_record, format_revision
from registry.records import Located, Revision
from registry.templates import find_template_by_id
from schemas.templates import Template


class Templates:
    """Templates by number, as far as one answer needs them."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._known: dict[int, Template | None] = {}

    async def find(self, template_id: int) -> Template | None:
        if template_id not in self._known:
            self._known[template_id] = await find_template_by_id(self._conn, template_id)
        return self._known[template_id]


async def format_located(call: Call, templates: Templates, located: Located) -> dict[str, Any]:
    """An identifier for this caller."""
    template = await templates.find(located.stored.template_id)
    viewer = get_viewer(call, located.rule.prefix)
    return format_record(located, template, viewer, call.state.config.public_url)


async def format_history(
    call: Call, templates: Templates, located: Located, revisions: list[Revision]
) -> dict[str, Any]:
    """Newest first."""
    viewer = get_viewer(call, located.rule.prefix)
    return {
        "identifier": located.identifier,
        "revisions": [
            format_revision(revision, await templates.find(revision.record.template_id), viewer)
            for revision in revisions
        ],
    }
