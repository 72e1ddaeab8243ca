"""Pages of reports to the top-level node: what was sent, answered and waits, how complete it is, and sending again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from asyncpg import Connection, Record
from fastapi import Query, Response

from node.certificates_api import answer_file
from node.master_data import DAY_MARK
from node.monthly_report import SENT_ON
from node.outbox import decode_rows, retry
from node.store import outbox as store
from node.store.applications import find_present
from node.store.monthly_reports import fetch_unreported
from node.store.outbox import Message, Refusal, Standing
from node.store.outbox_pages import (
    Wanted,
    fetch_closed_days,
    fetch_completeness,
    fetch_differences,
    fetch_firms,
    fetch_page,
    fetch_revisions,
)
from node.toplevel_health import SILENT_AFTER
from node.toplevel_link import LINK
from registry.console.frame import format_moment, format_number
from registry.console.sections import Entry, Section
from registry.console.visits import Post, Posting, Visit, Visiting
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.days import get_day, get_working_day, list_months
from schemas.errors import Forbidden, InvalidInput, NotFound, ServiceError
from schemas.identifiers import shorten
from schemas.texts import TEXTS
from schemas.texts.outbox_pages import PAGES
from schemas.texts.written import describe_written
from schemas.toplevel_form import decode_form
from schemas.toplevel_tables import CURRENT, REPORT_DUE, TABLES, Reconciled

PAGE_ROWS = 50
SHOWN_ROWS = 25
SHOWN_REFUSALS = 200
SHOWN_REVISIONS = 50
SHOWN_DIFFERENCES = 50
DAYS = 14
DAILY = ("T3", "T8", "T9")
RETRIED = ("waiting", "sent", "refused", "dead")
MAX_VALUE = 300


def _sees_outbox(principal: Principal) -> bool:
    """The operator; the engineer reads what became of messages, not what stands in them."""
    return principal.kind in ("operator", "engineer")


router = LateRouter()
SECTION = Section(router, (Entry("/outbox", "outbox", "group_running", _sees_outbox),), labels=PAGES)
Text = Annotated[str, Query(max_length=4_096)]


def _check(visit: Visit) -> Principal:
    principal = visit.get_principal()
    if not _sees_outbox(principal):
        raise Forbidden("operator_only")
    return principal


# The list -------------------------------------------------------------------------------------------------------


@router.get("/outbox")
async def list_messages(
    visit: Visiting, table: Text = "", day: Text = "", state: Text = "", before: int | None = None
) -> Response:
    """Newest first, by cursor; above it how reporting stands and how complete each table and day is."""
    is_operator = _check(visit).is_operator
    wanted, problems = _read_wanted(visit, table, day, state)
    cursor = None if before is None else max(0, min(before, 2**63 - 1))
    is_overview = wanted == Wanted() and cursor is None
    async with visit.connect() as conn:
        standing = await store.fetch_standing(conn)
        link = await _describe_link(conn, visit, standing)
        messages = await fetch_page(conn, wanted, cursor, PAGE_ROWS + 1)
        today = get_day(visit.state.now())
        days, kinds = await _describe_completeness(conn, today) if is_overview else ([], [])
        due = await _find_due(conn, today)
        differing = await fetch_differences(conn, SHOWN_DIFFERENCES) if is_overview and is_operator else []
    following = messages[PAGE_ROWS - 1].number if len(messages) > PAGE_ROWS else None
    return visit.page(
        "outbox.html", status=400 if problems else 200, rows=messages[:PAGE_ROWS], next_before=following,
        before=before, asked={"table": table, "day": day, "state": state}, tables=list(TABLES), states=store.STATES,
        standing=standing, link=link, days=days, daily=DAILY, kinds=kinds, problems=problems,
        is_overview=is_overview, days_shown=DAYS, due=due,
        differences=[(row, _list_sides(row)) for row in differing],
    )  # fmt: skip


def _read_wanted(visit: Visit, table: str, day: str, state: str) -> tuple[Wanted, dict[str, Any]]:
    """What is no choice is no limit, and is said beside its field."""
    problems: dict[str, Any] = {}
    if table and table not in TABLES:
        table, problems["table"] = "", _complain(visit, "table", ", ".join(TABLES))
    if state and state not in store.STATES:
        state, problems["state"] = "", _complain(visit, "state", ", ".join(store.STATES))
    period = day.strip()
    try:
        if period not in ("", CURRENT):  # monthly tables have months
            is_month = len(period) == len("2026-10")
            period = date.fromisoformat(f"{period}-01" if is_month else period).isoformat()[: 7 if is_month else 10]
    except ValueError:
        problems["day"] = visit.describe(InvalidInput("day_malformed", field="day", text=period[:40]))
        period = ""
    return Wanted(table, period, state), problems


def _complain(visit: Visit, field: str, choices: str) -> Any:
    return visit.describe(InvalidInput("field_not_a_choice", field=field, choices=choices))


async def _describe_link(conn: Connection, visit: Visit, standing: Standing) -> dict[str, str]:
    """In one note: whether the node above answers, and what is to be done."""
    mark, answered = await store.find_mark(conn, LINK), await store.find_mark(conn, f"{LINK}_ok")
    if standing.dead:
        return {"tone": "bad", "said": visit.say("outbox_dead", count=standing.dead), "todo": "outbox_dead_todo"}
    if mark is None:
        return {"tone": "warn", "said": visit.say("outbox_never"), "todo": "outbox_never_todo"}
    since = format_moment(answered[1] if answered else None)
    if mark[0]:
        said = visit.say("outbox_silent", reason=describe_written(mark[0], visit.language), since=since)
        return {"tone": "bad", "said": said, "todo": "outbox_silent_todo"}
    if visit.state.now() - mark[1] > SILENT_AFTER:
        return {"tone": "bad", "said": visit.say("outbox_asleep", since=since), "todo": "outbox_asleep_todo"}
    if standing.refused:
        said = visit.say("outbox_refuses", count=standing.refused)
        return {"tone": "warn", "said": said, "todo": "outbox_refuses_todo"}
    return {"tone": "good", "said": visit.say("outbox_well", since=since), "todo": ""}


@dataclass(frozen=True, slots=True)
class Cell:
    """One table of one day: `state` complete, waiting, refused, dead, missing (a closed day), idle, or nothing.

    Idle is T9 of a day on which no identifier was issued, changed or retired: it has no row then (domain.md §f.1).
    """

    state: str
    row: Record | None = None


async def _describe_completeness(
    conn: Connection, today: date
) -> tuple[list[tuple[str, date, list[Cell]]], list[tuple[Record, str]]]:
    """(secondary prefix, day, a cell for each daily table), newest day first; then what is said of standing tables."""
    first = today - timedelta(days=DAYS)
    closed = await fetch_closed_days(conn, first)
    found = await fetch_completeness(conn, DAILY, first.isoformat(), today.isoformat())
    told = {(row["prefix"], row["period"], row["table_name"]): row for row in found}
    places = {(row["prefix"], date.fromisoformat(row["period"])) for row in found} | closed
    mark = await store.find_mark(conn, DAY_MARK)
    read_until = mark[0] if mark else ""
    days = []
    for prefix, day in sorted(places, key=lambda place: (-place[1].toordinal(), place[0])):
        cells = [_judge(told.get((prefix, day.isoformat(), table)), (prefix, day) in closed) for table in DAILY]
        if cells[-1].state == "missing" and day.isoformat() <= read_until:
            cells[-1] = Cell("idle")
        days.append((prefix, day, cells))
    standing = [name for name, table in TABLES.items() if not (table.daily or table.monthly)]
    monthly = [name for name, table in TABLES.items() if table.monthly]
    kinds = await fetch_completeness(conn, standing, CURRENT, CURRENT)
    kinds += await fetch_completeness(conn, monthly, *list_months(today.isoformat()[:7], 2))
    return days, [(row, _judge(row, False).state) for row in kinds]


def _list_sides(row: Record) -> list[tuple[str, str, str]]:
    """(what was compared, ours, theirs) of what differs; what the other side says may be anything."""
    ours, theirs = orjson.loads(row["ours"]), orjson.loads(row["theirs"])
    return [(name, _show_side(ours[name]), _show_side(theirs.get(name))) for name in Reconciled._fields
            if ours[name] != theirs.get(name)]  # fmt: skip


def _show_side(value: Any) -> str:
    return format_number(value) if isinstance(value, int | None) else shorten(str(value), 12)


async def _find_due(conn: Connection, today: date) -> dict[str, Any] | None:
    """The monthly report that is to be sent next; None where none was due or it was written."""
    month = list_months(today.isoformat()[:7], 2)[0]
    if not await fetch_unreported(conn, month, store.STATES):
        return None
    sent_on, due = get_working_day(month, SENT_ON), get_working_day(month, REPORT_DUE)
    said = "outbox_month_overdue" if today > due else "outbox_month_due"
    return {"month": month, "sent_on": sent_on if today < sent_on else None, "due": due, "said": said}


def _judge(row: Record | None, is_closed: bool) -> Cell:
    if row is None:
        return Cell("missing" if is_closed else "")
    for state in ("dead", "refused", "waiting"):
        if row[state]:
            return Cell(state, row)
    return Cell("complete", row)


# One message ----------------------------------------------------------------------------------------------------


@router.get("/outbox/{number}")
async def show_message(visit: Visiting, number: int, start: Annotated[int, Query(alias="from")] = 0) -> Response:
    """What it says, what was answered, which rows were refused and where each is repaired."""
    principal, start = _check(visit), max(0, start)
    async with visit.connect() as conn:
        message = await _get_message(conn, number)
        refusals = await store.fetch_refusals(conn, message.message_id)
        revisions = await fetch_revisions(conn, message.key, SHOWN_REVISIONS)
        shown = refusals[:SHOWN_REFUSALS]
        places = await _find_places(conn, message, shown) if principal.is_operator else {}
        body = await store.fetch_body(conn, message.message_id) if principal.is_operator else None
    rows = decode_rows(message, body) if body is not None else []
    return visit.page(
        "outbox_message.html", message=message, revisions=revisions, is_newest=revisions[0].number == number,
        refusals=[(one, *_word(visit, one), places.get(one.row_key, "")) for one in shown],
        refused=_count_rows(message, refusals), refusals_left=len(refusals) - len(shown),
        rows=[(at, _list_values(row)) for at, row in enumerate(rows)][start : start + SHOWN_ROWS], total=len(rows),
        start=start, size=SHOWN_ROWS, has_body=body is not None, may_read=principal.is_operator,
        has_file=body is not None and TABLES[message.table_name].form,
        may_retry=principal.is_operator and revisions[0].number == number and message.state in RETRIED,
    )  # fmt: skip


@router.get("/outbox/{number}/file")
async def download(visit: Visiting, number: int) -> Response:
    """The sheet that goes with a monthly report."""
    visit.get_operator()
    async with visit.connect() as conn:
        message = await _get_message(conn, number)
        body = await store.fetch_body(conn, message.message_id) if TABLES[message.table_name].form else None
    if body is None:
        raise NotFound("outbox_unknown", field="number", number=number)
    file = decode_form(body)[1]
    return answer_file(file.name.removesuffix(".pdf"), file.content)


async def _get_message(conn: Connection, number: int) -> Message:
    """Raises NotFound."""
    found = await store.find_numbered(conn, number) if 0 < number < 2**63 else None
    if found is None:
        raise NotFound("outbox_unknown", field="number", number=number)
    return found


def _count_rows(message: Message, refusals: list[Refusal]) -> int:
    """How many were refused: all, if the message was refused as a whole."""
    rows = {one.row_number for one in refusals}
    return message.row_count if min(rows, default=0) < 0 else len(rows)


def _word(visit: Visit, refusal: Refusal) -> tuple[str, str]:
    """A rule of the contract in our words and what to do; for a code that is not of the contract none."""
    code = f"tln_{refusal.code.lower()}"
    if code not in TEXTS:
        return "", ""
    problem = visit.describe(ServiceError(code, field=refusal.field or "—"))
    return problem.message, problem.remedy


def _list_values(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _shorten(value)) for name, value in row.items()]


def _shorten(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"


# Of which kind the first part of a row's key is: a firm, a prefix, a template, an identifier; or its last, the name of
# an application.
_SUBJECTS = {
    "T6": "firm", "T6H": "firm", "T8": "firm", "M2": "firm", "PREFIXES": "prefix", "STATE": "prefix", "T7": "prefix",
    "T4": "template", "T11": "template", "T9": "identifier", "T5": "application", "T10": "application",
}  # fmt: skip


async def _find_places(conn: Connection, message: Message, refusals: Sequence[Refusal]) -> dict[str, str]:
    """Key of a row → the page of the console where what it is made from is repaired."""
    kind = _SUBJECTS.get(message.table_name, "")
    subjects = {one.row_key: one.row_key.partition("|")[0] for one in refusals if one.row_key}
    if kind == "firm":
        firms = await fetch_firms(conn, sorted(set(subjects.values())))
        return {key: f"/enterprises/{firms[subject]}" for key, subject in subjects.items() if subject in firms}
    if kind == "prefix":
        return {key: f"/prefixes/one?{urlencode({'prefix': subject})}" for key, subject in subjects.items()}
    if kind == "identifier":
        return {key: f"/identifiers/one?{urlencode({'identifier': subject})}" for key, subject in subjects.items()}
    if kind == "application":
        return await _find_applications(conn, message, list(subjects))
    if kind == "template":
        return {key: _make_template_place(subject) for key, subject in subjects.items()}
    return {}


async def _find_applications(conn: Connection, message: Message, keys: Sequence[str]) -> dict[str, str]:
    """Rows of T5 are named by the application, those of T10 by prefix and application; one may be there no more."""
    places = {}
    for key in keys:
        prefix, _, name = key.partition("|") if message.table_name == "T10" else (message.prefix, "", key)
        present = await find_present(conn, prefix, name)
        if present is not None:
            places[key] = f"/applications/one?number={present.application_id}"
    return places


def _make_template_place(handle: str) -> str:
    prefix, _, suffix = handle.partition("/")
    return f"/templates/one?{urlencode({'prefix': prefix, 'version': suffix.removeprefix('META_')})}"


# Sending again --------------------------------------------------------------------------------------------------


@router.get("/outbox/{number}/retry")
async def show_retry(visit: Visiting, number: int) -> Response:
    visit.get_operator()
    async with visit.connect() as conn:
        message = await _get_message(conn, number)
    return visit.page("outbox_retry.html", message=message)


@router.post("/outbox/{number}/retry")
async def send_again(post: Posting, number: int) -> Response:
    """A dead or waiting one is due at once, a refused one goes as the next revision."""
    post.get_operator().check_scope("manage")
    async with post.connect() as conn:
        message = await _get_message(conn, number)
    try:
        written = await _retry(post, message)
    except ServiceError as error:
        return post.page("outbox_retry.html", status=400, message=message, problems=post.explain(error))
    return post.redirect(f"/outbox/{written.number}", "outbox_retried")


async def _retry(post: Post, message: Message) -> Message:
    """The message that goes now; raises Conflict."""
    order = post.order(post.form.get_reason())
    async with post.write() as conn:
        message_id = await retry(conn, message, order.at)
        return await store.find_message(conn, message_id) or message
