"""`idnode report`, `idnode outbox` and `idnode toplevel`: reports upwards, what became of them, and the rehearsal."""

import json
from contextlib import asynccontextmanager
from dataclasses import asdict, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from node.cli.data import note_command
from node.cli.frame import AsJson, complain, get_language, load, open_database, print_json, run
from node.table import format_table
from node.wording import say
from schemas.days import ZONE, get_day
from schemas.errors import InvalidInput, NotFound, ServiceError
from schemas.texts.toplevel import LABELS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg import Connection

    from node.store.outbox import Message
    from node.toplevel.book import Book
    from node.toplevel_link import Link

Day = Annotated[str | None, typer.Option("--day", metavar="D", help="2024-06-04；缺省为昨天 / default: yesterday")]
Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER...", help="编号 / as in `outbox list`")]
MAX_SENT = 10_000
DECISIONS = ("approved", "refused")
TASKS = ("resend", "correction", "freeze", "rotateKey", "contactChange")

outbox = typer.Typer(no_args_is_help=True, help="发件箱 / What waits, went and was answered")
toplevel = typer.Typer(invoke_without_command=True, help="演练上级节点 / The rehearsal top-level node")


def add_to(app: typer.Typer) -> None:
    app.command()(report)
    for command in (list_, show, retry, decisions, tasks, nodes):
        outbox.command(command.__name__.rstrip("_"))(command)
    app.add_typer(outbox, name="outbox")
    toplevel.callback()(serve)
    for given in (received, score, behave, enrol, decide, task, key, rotate):
        toplevel.command(given.__name__)(given)
    app.add_typer(toplevel, name="toplevel")


def _parse_day(text: str | None, default: date) -> date:
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
    wanted = _parse_day(day, today if provisional else today - timedelta(days=1))
    messages = run(_report_day(wanted, provisional) if month is None else _report_month(month, given))
    if as_json:
        about = {"day": wanted.isoformat(), "provisional": provisional} if month is None else {"month": month}
        print_json(about | {"messages": messages})
    else:
        _print_messages(messages)
    raise typer.Exit(0 if all(message["state"] == "accepted" for message in messages) else 1)


async def _report_day(day: date, provisional: bool) -> list[dict[str, Any]]:
    from node.reporting import report_day

    async with _open_link() as (conn, link):
        await note_command(conn, "begun")
        await report_day(conn, link.reporter, day, datetime.now(UTC), provisional)
        return await _send_now(conn, link, ("T3", "T8"), day.isoformat())


async def _report_month(month: str, given: Path | None) -> list[dict[str, Any]]:
    from node.monthly_report import report_month

    said = _read_given(given)
    async with _open_link() as (conn, link):
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
async def _open_link() -> "AsyncIterator[tuple[Connection, Link]]":
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
        rows.append((*about, m["row_count"], m["state"], status, m["code"] or m["trouble"] or "–", at))
    header = ("#", "table", "period", "prefix", "part", "rev", "rows", "state", "HTTP", "code", "at")
    print(format_table(rows, header))
    for m in messages:
        for refusal in m.get("refusals", []):
            print(f"  #{m['number']} {m['table_name']} {refusal['row_key']} {refusal['field']} {refusal['code']}: "
                  f"{refusal['message']}")  # fmt: skip


# The outbox -----------------------------------------------------------------------------------------------------


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

    found = run(work())
    if as_json:
        print_json(found)
    elif found:
        print(format_table([["–" if v is None else v for v in row.values()] for row in found], list(found[0])))
    else:
        print(say(LABELS["page_nothing"], get_language()))


def tasks(as_json: AsJson = False) -> None:
    """上级节点下达的任务及办理结果 / What the node above asked for, and what came of it"""

    async def work() -> list[dict[str, Any]]:
        from node.store.reports import fetch_tasks

        async with open_database(load()) as conn:
            return [dict(row) | {"document": json.loads(row["document"])} for row in await fetch_tasks(conn)]

    found = run(work())
    if as_json:
        print_json(found)
    elif found:
        rows = [row | {"document": json.dumps(row["document"], ensure_ascii=False)} for row in found]
        print(format_table([list(row.values()) for row in rows], list(rows[0])))
    else:
        print(say(LABELS["page_nothing"], get_language()))


def nodes(day: Day = None, as_json: AsJson = False) -> None:
    """企业自建节点及其自报数字，与我方计数分列 / Enterprises' own nodes: their figures beside ours, never added"""
    wanted = _parse_day(day, get_day(datetime.now(UTC)) - timedelta(days=1))

    async def work() -> list[dict[str, Any]]:
        from node.store.enterprise_node_pages import fetch_nodes

        async with open_database(load()) as conn:
            return [dict(row) for row in await fetch_nodes(conn, wanted)]

    found = run(work())
    if as_json:
        print_json(found)
    elif found:
        print(format_table([["–" if v is None else v for v in row.values()] for row in found], list(found[0])))
    else:
        print(say(LABELS["page_nothing"], get_language()))


# The rehearsal node ---------------------------------------------------------------------------------------------


def serve(context: typer.Context) -> None:
    """启动演练上级节点，Ctrl-C 停止 / Run the rehearsal top-level node; Ctrl-C stops it"""
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from node.listening import list_toplevel_places, open_sockets
    from node.readiness import format_url
    from node.toplevel.process import TopLevelConfig, serve_toplevel

    settings = load()
    places = list_toplevel_places(settings)
    sockets = [open_sockets(place, 1)[0] for place in places]
    url, port = f"{format_url(places[0])}/tln/v1", settings.toplevel_handle_port
    print(say(LABELS["toplevel_running"], settings.language, url=url, handle_port=port), flush=True)
    asyncio.run(serve_toplevel(TopLevelConfig(settings.toplevel_dir, *sockets)))


def _open_book() -> "Book":
    from node.toplevel.book import open_book

    return open_book(load().toplevel_dir)


def received(
    day: Day = None,
    table: Annotated[
        str | None, typer.Option("--table", help="T1 … T11, M1 … M3, MR；缺省为 / default: T3, T8")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """演练节点收到的某日统计（T3、T8）或某张表 / The rows of T3 and T8 it received of a day, or those of a table"""
    from node.toplevel.book import fetch_rows

    wanted = _parse_day(day, get_day(datetime.now(UTC)) - timedelta(days=1)).isoformat()
    book, names = _open_book(), [table] if table else ["T3", "T8"]
    tables = {name: fetch_rows(book, name, _choose_period(name, day, wanted)) for name in names}
    if as_json:
        print_json({"day": wanted} | tables)
        return
    for name, rows in tables.items():
        print(name)
        print(_format_rows(name, rows) if rows else say(LABELS["page_nothing"], get_language()))


def _choose_period(name: str, day: str | None, wanted: str) -> str | None:
    """The day, its month, or how things stand; None: all there are, where no day was asked for. Raises InvalidInput."""
    from schemas.toplevel_tables import CURRENT, TABLES

    if name not in TABLES:
        raise InvalidInput("field_not_a_choice", field="table", choices=", ".join(TABLES))
    if TABLES[name].monthly:
        return wanted[:7] if day else None
    return wanted if TABLES[name].daily else CURRENT


def _format_rows(name: str, rows: list[dict[str, Any]]) -> str:
    """What tells rows apart first; lists and objects are for --json."""
    from schemas.toplevel_tables import TABLES

    seen = dict.fromkeys(column for row in rows for column, value in row.items() if not isinstance(value, list | dict))
    first = [column for column in TABLES[name].key if column in seen]
    header = first + [column for column in seen if column not in (*first, "day")]
    return format_table([[row.get(column, "–") for column in header] for row in rows], header)


def score(
    days: Annotated[int, typer.Option("--days", min=1, max=400)] = 7,
    as_json: AsJson = False,
) -> None:
    """各表各日的完整度 / How complete each table and day is"""
    from node.toplevel.score import score as judge

    lines = judge(_open_book(), get_day(datetime.now(UTC)) - timedelta(days=1), days)
    if as_json:
        print_json(lines)
    elif lines:
        print(format_table([list(line.values()) for line in lines], list(lines[0])))


def behave(
    told: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE...]", help="away=1 slow_ms=500 fail_every=2 … ；不给则恢复正常 / none: well"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """让它迟缓、离线、出错、丢失或重复回执 / Make it slow, away or wrong, lose or double receipts"""
    from node.toplevel.behaviour import Behaviour, write_behaviour

    wanted = Behaviour()
    kinds = {field.name: type(getattr(wanted, field.name)) for field in fields(Behaviour)}
    for text in told or []:
        name, _, value = text.partition("=")
        try:
            parsed: Any = value if kinds[name] is str else kinds[name](int(value or "1"))
        except (KeyError, ValueError):
            raise InvalidInput("toplevel_behaviour", field="behave", name=text, choices=", ".join(kinds)) from None
        wanted = replace(wanted, **{name: parsed})
    write_behaviour(_open_book(), wanted)
    if as_json:
        print_json(asdict(wanted))
    else:
        print(format_table(asdict(wanted).items()))


def enrol(
    app: Annotated[str, typer.Argument(metavar="APP")],
    prefix: Annotated[str, typer.Argument(metavar="PREFIX")],
    algorithm: Annotated[str, typer.Argument(metavar="SM2-SM3|RSA-SHA256|ED25519")],
    public_key: Annotated[Path, typer.Argument(metavar="KEY.pem", exists=True, dir_okay=False)],
) -> None:
    """在演练节点登记一个上报节点的公钥 / Make a node's public key known to the rehearsal node"""
    from node.toplevel.book import Key, transaction
    from node.toplevel.book import enrol as store
    from schemas.signatures import ALGORITHMS, KeyRefused, check_public_key, format_key_id

    pem = public_key.read_text(encoding="utf-8")
    if algorithm not in ALGORITHMS:
        raise InvalidInput("field_not_a_choice", field="algorithm", choices=", ".join(ALGORITHMS))
    try:
        check_public_key(algorithm, pem)
    except KeyRefused:
        raise InvalidInput("toplevel_key_unusable", path=str(public_key), algorithm=algorithm) from None
    book = _open_book()
    with transaction(book):
        made = Key(format_key_id(pem), algorithm, pem, "active")
        store(book, app, prefix, made, int(datetime.now(UTC).timestamp() * 1000))
    print(say(LABELS["toplevel_enrolled"], get_language(), app=app, prefix=prefix))


def decide(
    subject: Annotated[str, typer.Argument(metavar="USCC|PREFIX")],
    decision: Annotated[str, typer.Argument(metavar="approved|refused")],
    node: Annotated[str | None, typer.Option("--node", metavar="PREFIX", help="上报节点 / the node that asked")] = None,
    reason: Annotated[str, typer.Option("--reason")] = "",
) -> None:
    """以上级节点的身份核准或驳回企业、前缀 / Approve or refuse an enterprise or a prefix as the node above"""
    from node.toplevel.book import decide as store
    from node.toplevel.book import transaction

    if decision not in DECISIONS:
        raise InvalidInput("field_not_a_choice", field="decision", choices=", ".join(DECISIONS))
    kind = "prefix" if "." in subject else "enterprise"
    when = (int(datetime.now(UTC).timestamp() * 1000), True)
    book = _open_book()
    with transaction(book):
        store(book, node or load().prefixes[0], (kind, subject), (decision, reason), when)
    print(say(LABELS["toplevel_decided"], get_language(), subject=subject, decision=decision))


def task(
    kind: Annotated[str, typer.Argument(metavar="resend|correction|freeze|rotateKey|contactChange")],
    table: Annotated[str | None, typer.Option("--table")] = None,
    period: Annotated[str | None, typer.Option("--period")] = None,
    handle: Annotated[str | None, typer.Option("--handle")] = None,
    reason: Annotated[str, typer.Option("--reason")] = "",
    node: Annotated[str | None, typer.Option("--node", metavar="PREFIX")] = None,
) -> None:
    """以上级节点的身份下达任务 / Give the reporting node a task"""
    from node.toplevel.book import add_task, transaction

    if kind not in TASKS:
        raise InvalidInput("field_not_a_choice", field="kind", choices=", ".join(TASKS))
    given = {"table": table, "period": period, "handle": handle, "reason": reason or None}
    document = {"kind": kind} | {name: value for name, value in given.items() if value is not None}
    task_id, book = uuid4().hex[:12], _open_book()
    with transaction(book):
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        add_task(book, task_id, node or load().prefixes[0], document, now_ms)
    print(say(LABELS["toplevel_task_given"], get_language(), task=task_id))


def key(as_json: AsJson = False) -> None:
    """本节点签名用的公钥，供上级节点登记 / Our public keys, for the top-level node to enrol"""

    async def work() -> list[dict[str, Any]]:
        from node.secret_key import load_key_ring
        from node.toplevel_keys import fetch_public_keys, get_signer

        settings = load()
        async with open_database(settings) as conn:
            ring, now = load_key_ring(settings.secret_key_path), datetime.now(UTC)
            if not await fetch_public_keys(conn):  # then one is made now
                await note_command(conn)
            await get_signer(conn, ring, settings.toplevel_app_id, settings.toplevel_algorithm, now)
            return [asdict(found) | {"app": settings.toplevel_app_id} for found in await fetch_public_keys(conn)]

    keys = run(work())
    if as_json:
        print_json(keys)
        return
    for found in keys:
        print(f"{found['app']}  {found['key_id']}  {found['algorithm']}  {found['state']}\n{found['public_key']}")


def rotate(as_json: AsJson = False) -> None:
    """换签名密钥：旧密钥为新密钥签名 / Change the signing key: the old one signs the new one over"""

    async def work() -> str:
        from node import toplevel_link

        async with _open_link() as (conn, link):
            await note_command(conn, "begun")
            try:
                await toplevel_link.rotate(conn, link, datetime.now(UTC))
            except ValueError as error:  # the agent tries again with the same key
                address = load().toplevel_address
                complain(ServiceError("toplevel_silent", url=address, reason=str(error), since="–"), as_json)
                raise typer.Exit(1) from None
            return link.toplevel.signer.key_id

    key_id = run(work())
    if as_json:
        print_json({"key_id": key_id})
    else:
        print(say(LABELS["toplevel_key_new"], get_language(), key=key_id))
