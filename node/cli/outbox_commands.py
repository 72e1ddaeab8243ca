"""`idnode report` and `idnode outbox`: reports upwards by hand, and what became of them all."""

import json
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import note_command
from node.cli.frame import AsJson, get_language, load, open_database, print_json, run
from node.table import format_table
from node.wording import say
from schemas.days import ZONE, get_day
from schemas.errors import InvalidInput, NotFound
from schemas.texts.toplevel import LABELS
from schemas.texts.written import describe_written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg import Connection

    from node.store.outbox import Message
    from node.toplevel_link import Link

Day = Annotated[str | None, typer.Option("--day", metavar="D", help="2024-06-04；缺省为昨天 / default: yesterday")]
Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER...", help="编号 / as in `outbox list`")]
MAX_SENT = 10_000
OPEN_STATES = ("waiting", "sent", "refused", "dead")
SHOWN_WAITING = 50

outbox = typer.Typer(invoke_without_command=True, help="发件箱 / What waits, went and was answered")


def add_to(app: typer.Typer) -> None:
    app.command()(report)
    outbox.callback()(waiting)
    for command in (list_, show, retry, decisions, tasks, nodes):
        outbox.command(command.__name__.rstrip("_"))(command)
    app.add_typer(outbox, name="outbox")


def parse_day_or(text: str | None, default: date) -> date:
    try:
        return default if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidInput("day_malformed", field="day", text=text[:40] if text else "") from None


# Reports --------------------------------------------------------------------------------------------------------


def report(
    day: Day = None,
    provisional: Annotated[
        bool, typer.Option("--provisional", help="当天尚未结束的数字 / figures of a day that is not over")
    ] = False,
    month: Annotated[
        str | None, typer.Option("--month", metavar="M", help="2024-05：该月月报（MR） / the monthly report instead")
    ] = None,
    given: Annotated[
        Path | None, typer.Option("--given", metavar="FILE", help="月报中人工填写的内容 / what people say in it")
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", metavar="FILE", help="只写出月报文稿，不上报 / only write the sheet")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """上报一天的统计（T3、T8）或一个月的月报，并显示回执 / Report a day or a month and show what was answered"""
    if month is None and (given or pdf):
        raise InvalidInput("field_missing", field="month")
    if month is not None and pdf is not None:
        pdf.write_bytes(run(_draw_month(month, given)))
        if as_json:
            print_json({"month": month, "file": str(pdf)})
        else:
            print(say(LABELS["month_drawn"], get_language(), path=pdf))
        return
    today = get_day(datetime.now(UTC))
    wanted = parse_day_or(day, today if provisional else today - timedelta(days=1))
    messages = run(_report_day(wanted, provisional) if month is None else _report_month(month, given))
    if as_json:
        about = {"day": wanted.isoformat(), "provisional": provisional} if month is None else {"month": month}
        print_json(about | {"messages": messages})
    else:
        _print_messages(messages)
    raise typer.Exit(0 if all(message["state"] == "accepted" for message in messages) else 1)


async def _report_day(day: date, provisional: bool) -> list[dict[str, Any]]:
    from node.reporting import report_day

    async with open_link() as (conn, link):
        await note_command(conn, "begun")
        await report_day(conn, link.reporter, day, datetime.now(UTC), provisional)
        return await _send_now(conn, link, ("T3", "T8"), day.isoformat())


async def _report_month(month: str, given: Path | None) -> list[dict[str, Any]]:
    from node.monthly_report import report_month

    said = _read_given(given)
    async with open_link() as (conn, link):
        await note_command(conn, "begun")
        await report_month(conn, link.reporter, month, said, datetime.now(UTC))
        return await _send_now(conn, link, ("MR",), month)


async def _draw_month(month: str, given: Path | None) -> bytes:
    """The sheet of the first secondary prefix as it would go now."""
    from node.monthly_report import draw_report, find_told, make_report, read_given
    from node.reporting_loop import make_reporter

    said, settings = _read_given(given), load()
    reporter, prefix = make_reporter(settings), settings.prefixes[0]
    async with open_database(settings) as conn:
        row = await make_report(conn, prefix, month, read_given(await find_told(conn, prefix, month)) | said)
    return (await draw_report(reporter, prefix, row, datetime.now(UTC))).content


def _read_given(path: Path | None) -> dict[str, Any]:
    """What the operator says in the monthly report; raises InvalidInput."""
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput("monthly_report_file", field="given", path=str(path), reason=str(error)) from error
    if not isinstance(document, dict):
        raise InvalidInput("monthly_report_file", field="given", path=str(path), reason="{}")
    return document


@asynccontextmanager
async def open_link() -> "AsyncIterator[tuple[Connection, Link]]":
    from node.reporting_loop import open_link

    settings = load()
    async with open_database(settings) as conn, open_link(conn, settings, datetime.now(UTC)) as link:
        yield conn, link


async def _send_now(conn: "Connection", link: "Link", tables: tuple[str, ...], period: str) -> list[dict[str, Any]]:
    """Send what was not answered yet, at once; the newest revision of every part as it stands then."""
    from node.outbox import send
    from node.store import outbox as store

    shown = []
    for prefix in link.reporter.prefixes:
        for table in tables:
            for message in await store.fetch_latest_of(conn, table, period, prefix):
                if message.state in ("waiting", "sent", "dead"):
                    await send(conn, link.toplevel, message, lambda: datetime.now(UTC))
                shown.append(await _format_message(conn, message.number))
    return shown


async def _format_message(conn: "Connection", number: int) -> dict[str, Any]:
    from node.store import outbox as store

    message = await store.find_numbered(conn, number)
    if message is None:
        raise NotFound("outbox_unknown", field="number", number=number)
    refusals = [refusal._asdict() for refusal in await store.fetch_refusals(conn, message.message_id)]
    return asdict(message) | {"refusals": refusals}


def _print_messages(messages: list[dict[str, Any]]) -> None:
    if not messages:
        print(say(LABELS["outbox_empty"], get_language()))
        return
    rows = []
    for m in messages:
        status = m["answer_status"] if m["answer_status"] is not None else "–"
        at = m["created"].astimezone(ZONE).strftime("%m-%d %H:%M:%S")
        about = (m["number"], m["table_name"], m["period"], m["prefix"], f"{m['part']}/{m['parts']}", m["revision"])
        said = m["code"] or describe_written(m["trouble"], get_language()) or "–"
        rows.append((*about, m["row_count"], m["state"], status, said, at))
    header = ("#", "table", "period", "prefix", "part", "rev", "rows", "state", "HTTP", "code", "at")
    print(format_table(rows, header))
    for m in messages:
        for refusal in m.get("refusals", []):
            print(f"  #{m['number']} {m['table_name']} {refusal['row_key']} {refusal['field']} {refusal['code']}: "
                  f"{refusal['message']}")  # fmt: skip


# The outbox -----------------------------------------------------------------------------------------------------


def waiting(context: typer.Context, as_json: AsJson = False) -> None:
    """发件箱：还有什么在等待、被退回或已停发 / What waits, was refused or is parked"""
    if context.invoked_subcommand is not None:
        return

    async def work() -> dict[str, Any]:
        from node.store import outbox as store
        from node.store.outbox_pages import fetch_differences

        async with open_database(load()) as conn:
            found = await store.fetch_messages(conn, OPEN_STATES, SHOWN_WAITING)
            messages = [await _format_message(conn, message.number) for message in found]
            differing = [dict(row) for row in await fetch_differences(conn, SHOWN_WAITING)]
            for row in differing:
                row |= {side: json.loads(row[side]) for side in ("ours", "theirs")}
            return (await store.fetch_standing(conn))._asdict() | {"messages": messages, "differing": differing}

    standing = run(work())
    if as_json:
        print_json(standing)
        return
    times = {
        name: standing[name].astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S") if standing[name] else "–"
        for name in ("oldest_waiting", "last_accepted")
    }
    print(say(LABELS["outbox_standing"], get_language(), **standing | times))
    if standing["messages"]:
        _print_messages(standing["messages"])
    total = sum(standing[name] for name in ("waiting", "refused", "dead"))
    if total > len(standing["messages"]):
        print(say(LABELS["outbox_more"], get_language(), count=total - len(standing["messages"])))
    if standing["differing"]:
        print(say(LABELS["outbox_differing"], get_language()))
        print(format_table(_list_sides(standing["differing"]), ("table", "period", "prefix", "what", "ours", "theirs")))


def _list_sides(differing: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """A line for each thing both sides have differently."""
    return [(row["table_name"], row["period"], row["prefix"], name, ours, row["theirs"].get(name))
            for row in differing for name, ours in row["ours"].items() if ours != row["theirs"].get(name)]  # fmt: skip


def list_(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="waiting, sent, accepted, refused, dead, replaced")
    ] = None,
    table: Annotated[str | None, typer.Option("--table", help="T1 … T11, M1 … M3, MR, PREFIXES, STATE")] = None,
    day: Annotated[str | None, typer.Option("--day", metavar="D", help="统计期 / period")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_SENT)] = 50,
    as_json: AsJson = False,
) -> None:
    """列出报文，新的在前 / Messages, newest first"""

    async def work() -> list[dict[str, Any]]:
        from node.store import outbox as store

        async with open_database(load()) as conn:
            found = await store.fetch_messages(conn, state or store.STATES, limit, table, day)
            return [await _format_message(conn, message.number) for message in found]

    messages = run(work())
    if as_json:
        print_json(messages)
    else:
        _print_messages(messages)


def show(numbers: Numbers, as_json: AsJson = False) -> None:
    """报文的内容和回执 / The rows of messages, and what was answered"""

    async def work() -> list[dict[str, Any]]:
        from node.outbox import decode_rows
        from node.store import outbox as store

        shown = []
        async with open_database(load()) as conn:
            for number in numbers:
                document = await _format_message(conn, number)
                message = await store.find_numbered(conn, number)
                body = await store.fetch_body(conn, document["message_id"])
                shown.append(document | {"rows": decode_rows(message, body) if message and body else None})
        return shown

    messages = run(work())
    if as_json:
        print_json(messages)
        return
    for message in messages:
        _print_messages([message])
        for row in message["rows"] or []:
            print_json(row)


def retry(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[NUMBER...]")] = None,
    every: Annotated[bool, typer.Option("--all", help="所有死信和退回的报文 / all dead and refused ones")] = False,
    as_json: AsJson = False,
) -> None:
    """重新发送死信或退回的报文 / Send dead or refused messages again"""

    async def work() -> int:
        async with open_database(load()) as conn:
            chosen = await _choose(conn, numbers or [], every)
            return await _retry(conn, chosen)

    count = run(work())
    if as_json:
        print_json({"retried": count})
    else:
        print(say(LABELS["outbox_retried"], get_language(), count=count))


async def _choose(conn: "Connection", numbers: list[int], every: bool) -> "list[Message]":
    from node.store import outbox as store

    if every:
        found = await store.fetch_messages(conn, ("dead", "refused"), MAX_SENT)
        newest = [(message, await store.find_latest(conn, message.key)) for message in found]
        return [message for message, latest in newest if latest and latest.message_id == message.message_id]
    chosen = []
    for number in numbers:
        message = await store.find_numbered(conn, number)
        if message is None:
            raise NotFound("outbox_unknown", field="number", number=number)
        chosen.append(message)
    return chosen


async def _retry(conn: "Connection", messages: "list[Message]") -> int:
    from node import outbox as decisions

    if messages:
        await note_command(conn, "begun")
    for message in messages:
        async with conn.transaction():
            await decisions.retry(conn, message, datetime.now(UTC))
    return len(messages)


def decisions(as_json: AsJson = False) -> None:
    """企业和前缀：我方状态与上级节点的决定 / Enterprises and prefixes: our state beside the decision above"""

    async def work() -> list[dict[str, Any]]:
        from node.store.reports import fetch_decided

        async with open_database(load()) as conn:
            return [dict(row) for row in await fetch_decided(conn)]

    _show(run(work()), as_json)


def tasks(as_json: AsJson = False) -> None:
    """上级节点下达的任务及办理结果 / What the node above asked for, and what came of it"""

    async def work() -> list[dict[str, Any]]:
        from node.store.reports import fetch_tasks

        async with open_database(load()) as conn:
            return [dict(row) | {"document": json.loads(row["document"])} for row in await fetch_tasks(conn)]

    found = run(work())
    if not as_json:
        found = [row | {"document": json.dumps(row["document"], ensure_ascii=False)} for row in found]
    _show(found, as_json)


def nodes(day: Day = None, as_json: AsJson = False) -> None:
    """企业自建节点及其自报数字，与我方计数分列 / Enterprises' own nodes: their figures beside ours, never added"""
    wanted = parse_day_or(day, get_day(datetime.now(UTC)) - timedelta(days=1))

    async def work() -> list[dict[str, Any]]:
        from node.store.enterprise_node_pages import fetch_nodes

        async with open_database(load()) as conn:
            return [dict(row) for row in await fetch_nodes(conn, wanted)]

    _show(run(work()), as_json)


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Rows with the same columns."""
    if as_json:
        print_json(rows)
    elif rows:
        print(format_table([["–" if v is None else v for v in row.values()] for row in rows], list(rows[0])))
    else:
        print(say(LABELS["page_nothing"], get_language()))
