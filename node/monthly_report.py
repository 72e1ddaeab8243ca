"""The monthly report to the top-level node (MR, domain.md §f.1): what was measured, and what only people know.

Six months of how quickly the node answered, hours of operation, maintenance, emergencies. Nothing is made up: what
nobody measured or gave is left out of the row, and the sheet says so.
"""

import asyncio
from calendar import monthrange
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from asyncpg import Connection

from node.outbox import Report, decode_rows, enqueue
from node.report_rows import Row
from node.reporting import Reporter, Written, get_month, read_operator
from node.store import monthly_reports as store
from node.store import outbox as outbox_store
from node.store.monitor_days import fetch_months
from schemas.days import list_months
from schemas.errors import InvalidInput
from schemas.texts import format_message
from schemas.toplevel_form import File
from schemas.toplevel_tables import REPORT_TYPES, REPORTED_MONTHS, TABLES, judge_row

SENT_ON = 8  # the working day on which a report that nobody sent goes as it is: two are left for what goes wrong
GIVEN = ("maintenance", "emergencies", "remarks", "registrationHours")


def get_bounds(month: str) -> tuple[date, date]:
    """First and last day of a month such as 2026-10; raises InvalidInput."""
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise InvalidInput("month_malformed", field="month", text=month[:40]) from None
    return first, first.replace(day=monthrange(first.year, first.month)[1])


async def read_months(conn: Connection, prefix: str, last: str) -> tuple[list[Row], Row]:
    """Six months of RTTs and effective times, and their mean over all requests; without those nobody measured."""
    months = list_months(last, REPORTED_MONTHS)
    first, (_, end) = get_bounds(months[0])[0], get_bounds(last)
    sums: dict[tuple[str, str], tuple[float, int]] = {}
    for found in await fetch_months(conn, prefix, first):
        sums[found["month"], f"{found['kind']}AvgMs"] = found["total_us"] / 1_000, found["number"]
    for month, (number, hours) in (await store.fetch_effective(conn, prefix, first, end)).items():
        sums[month, "effectiveHours"] = hours, number
    rows: list[Row] = [{"month": month} for month in months]
    mean: Row = {}
    for name in ("registerAvgMs", "resolveAvgMs", "effectiveHours"):
        known = {month: sums[month, name] for month in months if (month, name) in sums}
        for row in rows:
            if row["month"] in known:
                row[name] = _divide(known[row["month"]])
        if known:
            mean[name] = _divide((sum(total for total, _ in known.values()), sum(n for _, n in known.values())))
    return rows, mean


def _divide(total: tuple[float, int]) -> float:
    return round(total[0] / total[1], 3)


async def make_report(conn: Connection, prefix: str, month: str, given: Mapping[str, Any]) -> Row:
    """The row of MR without its file; raises InvalidInput for what cannot be a report."""
    first, last = get_bounds(month)
    unknown = sorted(given.keys() - set(GIVEN))
    if unknown:
        raise InvalidInput("field_not_a_choice", field=unknown[0], choices=", ".join(GIVEN))
    months, mean = await read_months(conn, prefix, month)
    of, answered = last.day * 24, await store.find_operating(conn, first, last)
    hours = {
        "resolution": None if answered is None else min(round(answered / 3_600_000, 2), of),
        "registration": given.get("registrationHours"),
    }
    row: Row = {"month": month, "sla": months, "average": mean, "operating": [
        {"service": service, "of": of} | ({} if known is None else {"hours": known}) for service, known in hours.items()
    ]}  # fmt: skip
    row |= {name: given[name] for name in GIVEN[:3] if given.get(name) is not None}
    blank = {"name": "–", "type": REPORT_TYPES[0], "size": 0, "sha256": "0" * 64}
    for problem in judge_row(TABLES["MR"], row | {"file": blank}, prefix, month):
        code = f"tln_{problem.code.lower()}"
        reason, reason_en = (format_message(code, language, field=problem.field) for language in ("zh", "en"))
        raise InvalidInput("monthly_report_given", field=problem.field, reason=reason, reason_en=reason_en)
    return row


async def find_told(conn: Connection, prefix: str, month: str) -> Row | None:
    """The newest revision's row; None if there is none, or it is not kept any more."""
    for message in await outbox_store.fetch_latest_of(conn, "MR", month, prefix):
        body = await outbox_store.fetch_body(conn, message.message_id)
        return None if body is None else decode_rows(message, body)[0]
    return None


def read_given(told: Row | None) -> Row:
    """What people said in a report that was made before."""
    if told is None:
        return {}
    given = {name: told[name] for name in GIVEN[:3] if name in told}
    hours = [entry["hours"] for entry in told["operating"] if entry["service"] == "registration" and "hours" in entry]
    return given | ({"registrationHours": hours[0]} if hours else {})


async def report_month(
    conn: Connection, reporter: Reporter, month: str, given: Mapping[str, Any], now: datetime
) -> Written:
    """MR of every secondary prefix, with the sheet as a PDF. What was given before and is not given now stays.

    InvalidInput for a month that is not over, Unavailable where there is no font.
    """
    get_bounds(month)
    if month >= get_month(now):
        raise InvalidInput("month_running", field="month", month=month)
    written = Written()
    for prefix in reporter.prefixes:
        told = await find_told(conn, prefix, month)
        row = await make_report(conn, prefix, month, read_given(told) | dict(given))
        if told is not None and row == {name: told[name] for name in told if name != "file"}:
            written.unchanged += 1
            continue
        file = await draw_report(reporter, prefix, row, now)
        row |= {"file": {"name": file.name, "type": file.media_type, "size": len(file.content), "sha256": file.sha256}}
        async with conn.transaction():
            message_id = await enqueue(conn, Report("MR", month, prefix, [row], file=file), now)
        written.messages += [message_id] if message_id is not None else []
    return written


async def draw_report(reporter: Reporter, prefix: str, row: Row, now: datetime) -> File:
    """The sheet that goes with the row; raises Unavailable."""
    from node.monthly_pdf import make_pdf  # slow to import

    operator = read_operator(reporter.operator_file) or {}
    about = (prefix, str(operator.get("orgName") or ""), now)
    content = await asyncio.to_thread(make_pdf, row, about, reporter.language)
    return File(f"MR-{prefix}-{row['month']}.pdf", REPORT_TYPES[0], content)
