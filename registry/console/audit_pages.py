"""The audit trail, for the operator: newest first, by cursor, with the state of both chains."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from registry.api.targets import is_storable
from registry.console.sections import Entry, Section, is_operator
from registry.console.visits import Problem, Visiting
from registry.store.audit import fetch_audit, fetch_ends
from schemas.errors import InvalidInput

router = APIRouter(prefix="/audit")
SECTION = Section(router, (Entry("/audit", "audit_trail", "group_node", is_operator),))

Text = Annotated[str, Query(max_length=4_096)]
PAGE_ROWS = 100
MAX_TEXT = 100


@router.get("")
async def list_audit(visit: Visiting, text: Text = "", before: int | None = None) -> Response:
    """`text` is part of who, what or about what; `before` the position the page before ended with."""
    visit.get_operator()
    problems: dict[str, Problem] = {}
    wanted = text.strip()
    if len(wanted) > MAX_TEXT or not is_storable(wanted):
        problems["text"] = visit.describe(InvalidInput("field_invalid", field="text"))
        wanted = ""
    cursor = None if before is None else max(0, min(before, 2**63 - 1))
    async with visit.connect() as conn:
        rows = await fetch_audit(conn, cursor, PAGE_ROWS + 1, wanted)
        ends = await fetch_ends(conn)
    following = rows[PAGE_ROWS - 1][0] if len(rows) > PAGE_ROWS else None
    return visit.page(
        "audit.html", status=400 if problems else 200, rows=rows[:PAGE_ROWS], next_before=following, ends=ends,
        asked={"text": text}, before=before, problems=problems,
    )  # fmt: skip
