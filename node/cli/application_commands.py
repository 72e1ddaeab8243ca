"""`idnode application`: applications that use identifiers, which are reported upwards once a month."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import note_command, open_desk
from node.cli.frame import AsJson, get_language, load, open_database, print_json, run
from node.table import format_table
from node.wording import say
from schemas.texts.applications import LABELS, PAGES

if TYPE_CHECKING:
    from node.store.applications import Details

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="编号 / as in `application list`")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="名称 / name")]
NewName = Annotated[str | None, typer.Option("--name", help="名称 / name")]
Kind = Annotated[str | None, typer.Option("--kind", metavar="K", help="app, mini_program, web, pc, other")]
Intro = Annotated[str | None, typer.Option("--intro", help="简介 / what it does")]
Users = Annotated[int | None, typer.Option("--users", min=0, help="用户数 / users")]
Developer = Annotated[str | None, typer.Option("--developer", help="开发单位 / who made it")]
Recursion = Annotated[str | None, typer.Option("--recursion", help="递归节点 / the recursive node it asks")]
RecursionIp = Annotated[str | None, typer.Option("--recursion-ip", metavar="IP")]
RecursionPort = Annotated[int | None, typer.Option("--recursion-port", metavar="PORT", min=1, max=65_535)]

applications = typer.Typer(no_args_is_help=True, help="应用 / Applications that use identifiers (T5, T10)")


def add_to(app: typer.Typer) -> None:
    for name, command in (
        ("add", add), ("list", list_all), ("change", change), ("retire", retire), ("report", report),
    ):  # fmt: skip
        applications.command(name)(command)
    app.add_typer(applications, name="application")


def add(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="企业前缀或二级节点前缀 / a firm's, or the node's")],
    name: Name,
    kind: Kind = "mini_program",
    intro: Intro = None,
    users: Users = None,
    developer: Developer = None,
    recursion: Recursion = None,
    recursion_ip: RecursionIp = None,
    recursion_port: RecursionPort = None,
    as_json: AsJson = False,
) -> None:
    """登记应用 / Register an application"""
    from node.applications import add_application, format_application, parse_kind
    from node.store.applications import Details

    async def work() -> dict[str, Any]:
        details = Details(
            name, parse_kind(kind or ""), intro or "", users, developer or "", recursion or "", recursion_ip or "",
            recursion_port,
        )  # fmt: skip
        async with open_desk(writing=True) as desk:
            made, is_new = await add_application(desk.conn, desk.order(), prefix, details, desk.settings.prefixes)
            return format_application(made) | {"new": is_new}

    made = run(work())
    _print("application_added" if made["new"] else "application_known", made, as_json)


def change(
    number: Number,
    name: NewName = None,
    kind: Kind = None,
    intro: Intro = None,
    users: Users = None,
    developer: Developer = None,
    recursion: Recursion = None,
    recursion_ip: RecursionIp = None,
    recursion_port: RecursionPort = None,
    as_json: AsJson = False,
) -> None:
    """修改应用；不给的内容保持不变 / Change an application; what is not given stays"""
    from node.applications import change_application, format_application, get_application, parse_kind

    given = {
        "name": name, "kind": parse_kind(kind) if kind else None, "intro": intro, "users": users,
        "developer": developer, "recursion": recursion, "recursion_ip": recursion_ip, "recursion_port": recursion_port,
    }  # fmt: skip

    def revise(details: "Details") -> "Details":
        wanted: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
        return replace(details, **wanted)

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            present = await get_application(desk.conn, desk.principal, number)
            order, wanted = desk.order(), revise(present.details)
            return format_application(
                await change_application(desk.conn, order, number, wanted, desk.settings.prefixes)
            )

    _print("application_changed", run(work()), as_json)


def retire(number: Number, as_json: AsJson = False) -> None:
    """停用应用，不再上报 / Retire an application: it is reported no more"""
    from node.applications import format_application, retire_application

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            return format_application(await retire_application(desk.conn, desk.order(), number, desk.settings.prefixes))

    _print("application_gone", run(work()), as_json)


def _print(label: str, made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        print(say(LABELS[label], get_language(), **made))


def list_all(
    prefix: Annotated[str | None, typer.Option("--prefix", metavar="P")] = None,
    retired: Annotated[bool, typer.Option("--retired", help="包含已停用的 / retired ones, too")] = False,
    as_json: AsJson = False,
) -> None:
    """列出应用 / List applications"""
    from node.applications import find_reported_month, format_application, list_applications

    async def read() -> dict[str, Any]:
        async with open_desk() as desk:
            found = await list_applications(desk.conn, desk.principal, prefix, retired=retired)
            month = await find_reported_month(desk.conn)
            return {"applications": [format_application(one) for one in found], "month": month}

    found, language = run(read()), get_language()
    if as_json:
        print_json(found)
        return
    columns = ("application_id", "prefix", "name", "kind", "users", "developer", "changed", "retired")
    rows = [[one[name] if one[name] not in (None, "") else "–" for name in columns] for one in found["applications"]]
    print(format_table(rows, header=columns) if rows else say(LABELS["application_none"], language))
    told = "applications_told" if found["month"] else "applications_untold"
    print(say(PAGES[told], language, month=found["month"]))


def report(as_json: AsJson = False) -> None:
    """不等下月一日，立即把本月清单放入发件箱 / Put the list of this month into the outbox now; the agent sends it"""
    from node.reporting import Reporter, get_month, report_applications

    now = datetime.now(UTC)

    async def work() -> int:
        settings = load()
        async with open_database(settings) as conn:
            await note_command(conn, "begun")
            written = await report_applications(conn, Reporter(settings.prefixes, ("", {})), now)
            return len(written.messages)

    count, month = run(work()), get_month(now)
    if as_json:
        print_json({"month": month, "messages": count})
    else:
        print(say(LABELS["application_queued"], get_language(), month=month, count=count))
