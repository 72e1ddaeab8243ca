"""Commands for whole ranges, sandboxes, and for an enterprise that takes everything with it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import Desk, Values, note_command, open_desk, parse_values
from node.cli.frame import AsJson, get_language, load, open_database, print_json, run
from node.cli.identifier_commands import DryRun, Reason, ranges
from node.wording import say
from schemas.days import get_day
from schemas.errors import NotFound
from schemas.identifiers import shorten
from schemas.texts.commands import LABELS as COMMANDS
from schemas.texts.native import LABELS

if TYPE_CHECKING:
    from asyncpg import Connection

    from registry.range_changes import LocatedRange
    from registry.store.changes import Act

First = Annotated[str, typer.Argument(metavar="FIRST", help="号段的第一个标识 / its first identifier: 88.101.5/SN0001")]
Enterprise = Annotated[
    str, typer.Option("--enterprise", metavar="E", help="编号、信用代码、前缀或名称 / number, code, prefix or name")
]
Work = Callable[[Desk, "LocatedRange", "Act"], Awaitable[object]]

sandboxes = typer.Typer(no_args_is_help=True, help="沙箱：供测试的前缀，每日清空 / Sandboxes: to try things out")


def add_to(app: typer.Typer) -> None:
    ranges.command("change")(change_whole)
    ranges.command("retire")(retire_whole)
    ranges.command("restore")(restore_whole)
    ranges.command("freeze")(freeze_whole)
    ranges.command("unfreeze")(unfreeze_whole)
    sandboxes.command("open")(open_one)
    sandboxes.command("list")(list_all)
    sandboxes.command("reset")(reset)
    app.add_typer(sandboxes, name="sandbox")
    app.command("export")(export)


def change_whole(
    first: First,
    value: Values = None,
    template: Annotated[
        str | None, typer.Option("--template", metavar="V", help="改用另一模板 / another template")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """修改整个号段的值；“类型=”删除一项 / Change the values of a whole range; `TYPE=` removes one"""
    from registry.range_changes import change_range
    from schemas.errors import NotFound

    texts = parse_values(value)

    async def work(desk: Desk, found: "LocatedRange", act: "Act") -> None:
        if template is not None:
            chosen = await desk.get_template(found.rule.prefix, template)
        else:
            known = await desk.find_template(found.row["template_id"])
            if known is None:
                raise NotFound("record_without_template", field="first", identifier=found.first)
            chosen = known
        await change_range(desk.conn, found, chosen, texts, act)

    _change(first, work, reason, as_json, dry_run)


def retire_whole(
    first: First,
    successor: Annotated[
        str | None, typer.Option("--successor", metavar="ID", help="后继标识 / what replaces them")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """停用整个号段；其中的标识永远不会再次发放 / Retire a whole range; none of it is ever issued again"""
    from registry.range_changes import retire_range
    from schemas.identifiers import parse_any_identifier

    target = parse_any_identifier(successor) if successor is not None else None
    _change(first, lambda desk, found, act: retire_range(desk.conn, found, act, target), reason, as_json, dry_run)


def restore_whole(first: First, reason: Reason = "", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """恢复停用的号段 / Restore a retired range"""
    from registry.range_changes import restore_range

    _change(first, lambda desk, found, act: restore_range(desk.conn, found, act), reason, as_json, dry_run)


def freeze_whole(
    first: First,
    notice: Annotated[str, typer.Option("--notice", metavar="TEXT", help="扫码人看到的公告 / what a scan shows")],
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """冻结整个号段，解析时显示公告 / Freeze a whole range: every answer shows the notice"""
    from registry.range_changes import freeze_range

    _change(first, lambda desk, found, act: freeze_range(desk.conn, found, notice, act), reason, as_json, dry_run)


def unfreeze_whole(first: First, reason: Reason = "", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """解除号段的冻结 / Lift the freeze of a range"""
    from registry.range_changes import unfreeze_range

    _change(first, lambda desk, found, act: unfreeze_range(desk.conn, found, act), reason, as_json, dry_run)


def _change(first: str, work: Work, reason: str, as_json: bool, dry_run: bool) -> None:
    """One change of a range in one transaction, rolled back if dry; prints the range as it then is."""
    from registry.range_changes import get_range
    from registry.range_views import format_range_state
    from registry.records import get_rule
    from schemas.identifiers import parse_any_identifier

    async def write() -> dict[str, Any]:
        named = parse_any_identifier(first)
        async with open_desk(writing=not dry_run) as desk:
            rule = await get_rule(desk.conn, named.prefix)
            await work(desk, await get_range(desk.conn, rule, named.suffix, for_update=True), desk.act(reason))
            found = await get_range(desk.conn, rule, named.suffix)
            view = format_range_state(found, await desk.find_template(found.row["template_id"]), desk.public_url)
            return view | ({"dry_run": True} if dry_run else {})

    view = run(write())
    if as_json:
        print_json(view)
    else:
        touched = view["members"] - view["own_records"]
        if dry_run:
            print(say(COMMANDS["import_dry"], get_language()))
        print(say(LABELS["range_state"], get_language(), **view | {"touched": touched}))


def open_one(enterprise: Enterprise, as_json: AsJson = False) -> None:
    """为企业开通沙箱 / Open the sandbox of an enterprise"""
    from registry.enterprises import get_enterprise_id
    from registry.sandbox import open_sandbox

    async def write() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            enterprise_id = await get_enterprise_id(desk.conn, enterprise)
            row, is_new = await open_sandbox(desk.conn, desk.rules, desk.order(), enterprise_id)
            return {"prefix": row.prefix, "enterprise": row.enterprise_name, "new": is_new}

    made = run(write())
    print_json(made) if as_json else print(f"{made['prefix']}  {made['enterprise']}")


def list_all(as_json: AsJson = False) -> None:
    """全部沙箱 / All sandboxes"""
    from registry.store.sandboxes import fetch_sandboxes

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            return [
                {"prefix": row.prefix, "enterprise": row.enterprise_name, "emptied": row.emptied}
                for row in await fetch_sandboxes(desk.conn)
            ]

    found = run(read())
    if as_json:
        print_json(found)
    else:
        for row in found:
            print(f"{row['prefix']}  {row['enterprise']}")


def reset(
    enterprise: Annotated[
        str | None, typer.Option("--enterprise", metavar="E", help="只清空一家的 / only that of one")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """立即清空沙箱 / Empty sandboxes now"""
    from datetime import UTC, datetime

    from registry.enterprises import get_enterprise_id
    from registry.sandbox import reset_sandbox
    from registry.store.sandboxes import fetch_sandboxes

    async def write() -> list[dict[str, Any]]:
        async with open_database(load()) as conn:  # every pass is a transaction of its own
            wanted = await get_enterprise_id(conn, enterprise) if enterprise is not None else None
            now, rows = datetime.now(UTC), await fetch_sandboxes(conn, wanted)
            if enterprise is not None and not rows:
                raise NotFound("sandbox_none", field="enterprise", enterprise=shorten(enterprise))
            await note_command(conn, "begun")
            return [{"prefix": row.prefix, "deleted": await reset_sandbox(conn, row, now, now)} for row in rows]

    done = run(write())
    if as_json:
        print_json(done)
    else:
        for row in done:
            print(say(LABELS["sandbox_emptied"], get_language(), **row))


def export(
    enterprise: Enterprise,
    to: Annotated[Path, typer.Option("--to", metavar="DIR|FILE", help="目录或 ZIP 文件 / directory or ZIP file")],
    reason: Annotated[str, typer.Option("--reason", help="原因，会留下记录 / why; it is recorded")] = "idnode export",
    as_json: AsJson = False,
) -> None:
    """导出企业的全部数据（ZIP） / Everything an enterprise owns, as a ZIP of NDJSON, CSV and files"""
    from registry.enterprises import get_enterprise_id
    from registry.exports import Source, export_enterprise

    async def write() -> dict[str, Any]:
        from registry.attachments import Storage

        settings = load()
        async with open_database(settings) as conn:
            desk = Desk(conn, settings)
            enterprise_id = await get_enterprise_id(conn, enterprise)
            order, rules = desk.order(reason), desk.rules
            await note_command(conn, "begun")
            path = to / f"export-{enterprise_id}-{get_day(order.at):%Y%m%d}.zip" if to.is_dir() else to
            part = path.with_name(path.name + ".part")
            storage = Storage(settings.jobs_dir.with_name("attachments"), rules.key_ring)
            source = Source(_lend(conn), rules, storage, path.parent, order, enterprise_id)
            with part.open("wb") as file:
                async for piece in export_enterprise(source):
                    file.write(piece)
            part.replace(path)
            return {"enterprise_id": enterprise_id, "file": str(path), "bytes": path.stat().st_size}

    done = run(write())
    print_json(done) if as_json else print(say(LABELS["exported"], get_language(), **done))


def _lend(conn: "Connection") -> Callable[[], Any]:
    """The one connection of a command, again and again."""

    @asynccontextmanager
    async def connect() -> "AsyncIterator[Connection]":
        yield conn

    return connect
