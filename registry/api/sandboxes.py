"""Sandboxes: a prefix to try things out under, emptied every day and outside every figure."""

from datetime import datetime
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.calls import Answer, Reading, Writing, check_limit
from registry.api.enterprises import check_cursor
from registry.api.targets import get_enterprise_id
from registry.late_routes import LateRouter
from registry.sandbox import find_next_reset, open_sandbox
from registry.store.sandboxes import SandboxRow, fetch_sandboxes
from schemas.native_bodies import NewSandbox, SandboxBody, SandboxPage
from schemas.prefixes import PrefixState

MAX_PAGE = 1_000

router = LateRouter(prefix="/api/v1/sandboxes", tags=["prefixes"])


@router.post("", status_code=201, response_model=SandboxBody, summary="Open a sandbox")
async def post_sandbox(call: Writing, body: NewSandbox) -> Response:
    """One for each enterprise; 200 if there is one already. It works like any prefix; nothing under it counts.

    Identifiers, ranges and templates under it are deleted every day at midnight (UTC+8).
    """
    enterprise_id = get_enterprise_id(call, body.enterprise_id)

    async def effect(conn: Connection) -> Answer:
        order = call.order()
        row, is_new = await open_sandbox(conn, call.state.config.rules, order, enterprise_id)
        return Answer(_format(row, order.at), 201 if is_new else 200)

    return await call.write(effect)


@router.get("", response_model=SandboxPage, summary="List sandboxes")
async def get_sandboxes(
    call: Reading,
    enterprise_id: Annotated[int | None, Query(description="Only those of this enterprise.")] = None,
    after: Annotated[int, Query(description="`next` of the page before.")] = 0,
    limit: Annotated[int, Query(description="1 to 1,000.")] = 100,
) -> Response:
    """An enterprise sees its own, the operator all."""
    principal = call.get_principal()
    check_limit(limit, MAX_PAGE)
    if enterprise_id is not None:
        principal.check_enterprise(check_cursor(enterprise_id))
    own = enterprise_id if principal.is_operator else principal.enterprise_id or 0
    async with call.connect() as conn:
        rows = await fetch_sandboxes(conn, own, check_cursor(after), limit + 1)
    following = rows[limit - 1].prefix_id if len(rows) > limit else None
    return call.reply({"sandboxes": [_format(row, call.state.now()) for row in rows[:limit]], "next": following})


def _format(row: SandboxRow, now: datetime) -> dict[str, Any]:
    return {
        "prefix": row.prefix,
        "enterprise_id": row.enterprise_id,
        "enterprise": row.enterprise_name,
        "state": PrefixState(row.state).name.lower(),
        "created": row.created,
        "emptied": row.emptied,
        "next_reset": find_next_reset(now),
    }
