"""The audit trail, for the operator: newest first, by cursor, with the state of both chains."""

from typing import Annotated, Any

from fastapi import Query, Response

from registry.console.frame import ROOT
from registry.console.sections import Entry, Section, is_operator
from registry.console.visits import Problem, Visit, Visiting
from registry.late_routes import LateRouter
from registry.records import is_storable
from registry.store.audit import AuditEntry, fetch_audit, fetch_ends
from schemas.errors import InvalidInput
from schemas.texts import TEXTS, format_message
from schemas.texts.api_reference import translate
from schemas.texts.audit import ACTIONS, SIGN_IN_WAYS

router = LateRouter(prefix="/audit")
SECTION = Section(router, (Entry("/audit", "audit_trail", "group_running", is_operator),))

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
        "audit.html", status=400 if problems else 200, rows=[_show(visit, *row) for row in rows[:PAGE_ROWS]],
        next_before=following, ends=ends, asked={"text": text}, before=before, problems=problems,
    )  # fmt: skip


def _show(visit: Visit, position: int, entry: AuditEntry) -> dict[str, Any]:
    """`did`, `way` and `came_of` in words; as they stand if a newer version wrote them."""
    code = f"status_{entry.outcome}" if entry.outcome.isdigit() else entry.outcome
    came_of = format_message(code, visit.language) if code in TEXTS else entry.outcome
    ways = SIGN_IN_WAYS.get(entry.subject, ("", "")) if entry.action == "sign_in" else ("", "")
    way = ways[0 if visit.language == "zh" else 1]
    return {"position": position, "did": say_action(visit, entry), "way": way, "came_of": came_of, "entry": entry}


def say_action(visit: Visit, entry: AuditEntry) -> str:
    """What was done, in words; the place in the console for what was done there."""
    texts, is_chinese = ACTIONS.get(entry.action), visit.language == "zh"
    if texts is None:
        summary: str = visit.request.app.state.summaries.get(entry.action, entry.action)
        return translate(summary) if is_chinese else summary
    said = texts[0 if is_chinese else 1]
    if not entry.action.endswith(ROOT):
        return said
    page = "/" + entry.subject.removeprefix(ROOT).partition("?")[0].strip("/").partition("/")[0]
    groups = visit.frame.list_entries(visit.principal).values()
    place = next((visit.say(line.label) for lines in groups for line in lines if line.path == page), "")
    return f"{place or visit.say('audit_console')}{'：' if is_chinese else ': '}{said}"
