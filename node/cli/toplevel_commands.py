"""`idnode toplevel`: the rehearsal node above, and the keys that sign what we report."""

from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from node.cli.data import note_command
from node.cli.frame import AsJson, complain, get_language, load, open_database, print_json, run
from node.cli.outbox_commands import Day, open_link, parse_day_or
from node.table import format_table
from node.wording import say
from schemas.days import get_day
from schemas.errors import InvalidInput, ServiceError
from schemas.texts.toplevel import LABELS

if TYPE_CHECKING:
    from node.toplevel.book import Book

DECISIONS = ("approved", "refused")
TASKS = ("resend", "correction", "freeze", "rotateKey", "contactChange")

toplevel = typer.Typer(invoke_without_command=True, help="演练上级节点 / The rehearsal top-level node")


def add_to(app: typer.Typer) -> None:
    toplevel.callback()(serve)
    for given in (received, score, behave, enrol, decide, task, key, rotate):
        toplevel.command(given.__name__)(given)
    app.add_typer(toplevel, name="toplevel")


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

    wanted = parse_day_or(day, get_day(datetime.now(UTC)) - timedelta(days=1)).isoformat()
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
    public_key: Annotated[typer.FileText, typer.Argument(metavar="KEY.pem|-", encoding="utf-8")],
) -> None:
    """在演练节点登记一个上报节点的公钥 / Make a node's public key known to the rehearsal node"""
    from node.toplevel.book import Key, transaction
    from node.toplevel.book import enrol as store
    from schemas.signatures import ALGORITHMS, KeyRefused, check_public_key, format_key_id

    pem = public_key.read()
    if algorithm not in ALGORITHMS:
        raise InvalidInput("field_not_a_choice", field="algorithm", choices=", ".join(ALGORITHMS))
    try:
        check_public_key(algorithm, pem)
    except KeyRefused:
        raise InvalidInput("toplevel_key_unusable", path=public_key.name, algorithm=algorithm) from None
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

        async with open_link() as (conn, link):
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
