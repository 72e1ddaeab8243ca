"""Commands for identifiers, one by one: register, update, retire, restore, freeze, history; and ranges."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import Desk, Values, open_desk, parse_values, print_record
from node.cli.frame import AsJson, get_language, print_json, run
from node.wording import say
from schemas.texts.commands import LABELS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from registry.records import Located

Reason = Annotated[str, typer.Option("--reason", help="原因，写入历史 / why; goes into the history")]
Identifier = Annotated[str, typer.Argument(metavar="ID", help="88.101.5/PUMP-1")]
TemplateVersion = Annotated[str, typer.Option("--template", metavar="V", help="模板版本 / version of the template")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="只检查，不写入 / check only, write nothing")]

ranges = typer.Typer(no_args_is_help=True, help="号段：一条记录代表许多序列号 / Ranges: many serials in one record")


def add_to(app: typer.Typer) -> None:
    for command in (register, update, retire, freeze, unfreeze, history):
        app.command()(command)
    ranges.command("add")(add_range)
    ranges.command("list")(list_ranges)
    app.add_typer(ranges, name="range")


def register(
    identifier: Identifier,
    template: TemplateVersion,
    value: Values = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """登记一个标识 / Register one identifier"""
    from registry.records import get_rule
    from registry.records import register as issue_one
    from schemas.identifiers import parse_new_identifier

    wanted = parse_new_identifier(identifier)
    texts = parse_values(value)

    async def write(desk: Desk) -> "Located":
        rule = await get_rule(desk.conn, wanted.prefix)
        chosen = await desk.get_template(wanted.prefix, template)
        return await issue_one(desk.conn, rule, chosen, wanted.suffix, texts, desk.act(reason))

    _write_one(write, as_json, "registered", dry_run)


def update(
    identifier: Identifier,
    value: Values = None,
    template: Annotated[
        str | None, typer.Option("--template", metavar="V", help="改用另一模板 / another template")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="未给出的值删除 / values not given are removed")] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """修改标识的值；“类型=”删除一项 / Change values of an identifier; `TYPE=` removes one"""
    from registry.records import change, get_stored
    from schemas.identifiers import parse_any_identifier

    texts = parse_values(value)

    async def write(desk: Desk) -> "Located":
        located = await get_stored(desk.conn, parse_any_identifier(identifier), for_update=True)
        chosen = (
            await desk.get_template(located.rule.prefix, template)
            if template is not None
            else await desk.get_template_of(located)
        )
        await change(desk.conn, located, chosen, texts, desk.act(reason), keep_others=not replace)
        return await get_stored(desk.conn, parse_any_identifier(identifier))

    _write_one(write, as_json, "updated", dry_run)


def retire(
    identifier: Identifier,
    successor: Annotated[
        str | None, typer.Option("--successor", metavar="ID", help="后继标识 / what replaces it")
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """停用标识；它永远不会再次发放 / Retire an identifier; it is never issued again"""
    from registry.records import retire as retire_one
    from schemas.identifiers import parse_any_identifier

    target = parse_any_identifier(successor) if successor is not None else None
    _change_state(
        identifier, lambda desk, found: retire_one(desk.conn, found, desk.act(reason), target), as_json, "retired"
    )


def restore(identifier: Identifier, reason: Reason, as_json: AsJson) -> None:
    """恢复停用的标识 / Restore a retired identifier"""
    from registry.records import restore as restore_one

    _change_state(identifier, lambda desk, found: restore_one(desk.conn, found, desk.act(reason)), as_json, "restored")


def freeze(
    identifier: Identifier,
    notice: Annotated[str, typer.Option("--notice", metavar="TEXT", help="扫码人看到的公告 / what a scan shows")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """冻结标识，解析时显示公告 / Freeze an identifier: every answer shows the notice"""
    from registry.records import freeze as freeze_one

    _change_state(
        identifier, lambda desk, found: freeze_one(desk.conn, found, notice, desk.act(reason)), as_json, "frozen"
    )


def unfreeze(identifier: Identifier, reason: Reason = "", as_json: AsJson = False) -> None:
    """解除冻结 / Lift a freeze"""
    from registry.records import unfreeze as unfreeze_one

    _change_state(identifier, lambda desk, found: unfreeze_one(desk.conn, found, desk.act(reason)), as_json, "unfrozen")


def history(
    identifier: Identifier,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="某一时刻的值 / the values at that time")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """标识的全部历史，或某一时刻的值 / What an identifier has been, or what it was at one time"""

    from registry.record_views import format_revision, format_state
    from registry.records import get_record_at, get_stored, list_revisions
    from schemas.days import parse_instant
    from schemas.errors import InvalidInput
    from schemas.identifiers import parse_any_identifier
    from schemas.viewing import Viewer

    try:
        instant = parse_instant(at) if at is not None else None
    except ValueError:
        raise InvalidInput("time_malformed", field="at", text=at) from None

    async def read() -> dict[str, Any] | list[dict[str, Any]]:
        async with open_desk() as desk:
            located = await get_stored(desk.conn, parse_any_identifier(identifier))
            if instant is not None:
                record = await get_record_at(desk.conn, located, instant)
                template = await desk.find_template(record.template_id)
                return {"identifier": located.identifier, **format_state(record, template, Viewer.OWNER)}
            return [
                format_revision(r, await desk.find_template(r.record.template_id), Viewer.OWNER)
                for r in await list_revisions(desk.conn, located)
            ]

    found = run(read())
    if as_json:
        print_json(found)
    else:
        for view in found if isinstance(found, list) else [found]:
            print_record(view, get_language())


def add_range(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="SN00000001")],
    last: Annotated[str, typer.Argument(metavar="LAST", help="SN10000000")],
    prefix: Annotated[str, typer.Option("--prefix", metavar="P")],
    template: TemplateVersion,
    value: Values = None,
    check: Annotated[
        bool, typer.Option("--check", help="末位是 MOD 11-2 校验位 / the last is a MOD 11-2 check")
    ] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """一次登记一个号段 / Register all serials from FIRST to LAST in one record"""
    from registry.ranges import RangeRequest, create_range
    from registry.records import get_rule

    request = RangeRequest(first, last, parse_values(value), check)

    async def write() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            rule = await get_rule(desk.conn, prefix)
            chosen = await desk.get_template(prefix, template)
            created = await create_range(desk.conn, rule, chosen, request, desk.act(reason))
            return {
                "prefix": prefix,
                "first": f"{prefix}/{created.format_first()}",
                "last": f"{prefix}/{created.format_last()}",
                "members": created.members,
            }

    made = run(write())
    if as_json:
        print_json(made)
    else:
        print(say(LABELS["range_added"], get_language(), **made))


def list_ranges(prefix: Annotated[str, typer.Option("--prefix", metavar="P")], as_json: AsJson = False) -> None:
    """一个前缀的全部号段 / All ranges of a prefix"""
    from registry.ranges import list_ranges as list_all
    from registry.records import get_rule

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            rule = await get_rule(desk.conn, prefix)
            return [
                {
                    "first": f"{prefix}/{one.format_first()}",
                    "last": f"{prefix}/{one.format_last()}",
                    "members": one.members,
                    "checked": one.checked,
                }
                for one, _ in await list_all(desk.conn, rule)
            ]

    found = run(read())
    if as_json:
        print_json(found)
    else:
        for one in found:
            print(f"{one['first']} … {one['last']}  {one['members']}")


def _change_state(
    identifier: str, work: "Callable[[Desk, Located], Awaitable[None]]", as_json: bool, label: str
) -> None:
    from registry.records import get_stored
    from schemas.identifiers import parse_any_identifier

    async def write(desk: Desk) -> "Located":
        wanted = parse_any_identifier(identifier)
        await work(desk, await get_stored(desk.conn, wanted, for_update=True))
        return await get_stored(desk.conn, wanted)

    _write_one(write, as_json, label)


def _write_one(write: "Callable[[Desk], Awaitable[Located]]", as_json: bool, label: str, dry_run: bool = False) -> None:
    """Run one write in one transaction (rolled back if dry) and print the record as it now is."""

    async def work() -> dict[str, Any]:
        async with open_desk(writing=not dry_run) as desk:
            located = await write(desk)
            return await desk.format(located) | ({"dry_run": True} if dry_run else {})

    view = run(work())
    if as_json:
        print_json(view)
        return
    language = get_language()
    print(say(LABELS["import_dry" if dry_run else label], language, identifier=view["identifier"]))
    print_record(view, language)
