"""Commands for enterprises, prefixes and templates."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import open_desk
from node.cli.frame import AsJson, get_language, print_json, run
from node.table import format_table
from node.wording import say
from schemas.errors import InvalidInput
from schemas.texts.commands import LABELS

if TYPE_CHECKING:
    from registry.enterprise_file import LoadResult, RowOutcome
    from registry.store.placements import Unit

Name = Annotated[str, typer.Option("--name", metavar="N", help="单位名称 / name of the firm")]
Enterprise = Annotated[
    str, typer.Argument(metavar="ENTERPRISE", help="编号、信用代码、前缀或名称 / number, code, prefix or name")
]
Prefix = Annotated[str, typer.Option("--prefix", metavar="P")]
Reason = Annotated[str, typer.Option("--reason", help="原因，写入历史 / why; goes into the history")]
Approve = Annotated[bool, typer.Option("--approve", help="以 cli:<系统用户> 审核通过 / approve as cli:<system user>")]

enterprises = typer.Typer(no_args_is_help=True, help="企业 / Enterprises")
prefixes = typer.Typer(no_args_is_help=True, help="企业前缀 / Prefixes")
units = typer.Typer(no_args_is_help=True, help="乡镇和园区 / Towns and parks")
templates = typer.Typer(no_args_is_help=True, help="数据模板 / Templates")


def add_to(app: typer.Typer) -> None:
    groups: tuple[tuple[str, typer.Typer, dict[str, Callable[..., None]]], ...] = (
        ("enterprise", enterprises, {"add": add_enterprise, "import": import_enterprises, "list": list_all,
                                     "show": show, "approve": approve, "refuse": refuse}),
        ("prefix", prefixes, {"list": list_prefixes, "host": host, "owners": list_owners}),
        ("unit", units, {"add": add_unit, "list": list_units}),
        ("template", templates, {"add": add_template, "list": list_templates, "show": show_template}),
    )  # fmt: skip
    for name, group, commands in groups:
        for command, function in commands.items():
            group.command(command)(function)
        app.add_typer(group, name=name)


def add_enterprise(
    name: Name,
    uscc: Annotated[str, typer.Option("--uscc", metavar="U", help="统一社会信用代码 / unified social credit code")],
    area: Annotated[str, typer.Option("--area", metavar="A", help="乡镇、园区或行政区划 / a unit, or a division")],
    industry: Annotated[str, typer.Option("--industry", metavar="I", help="C/34/344/3441")],
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="P", help="缺省为下一个空号 / default: next free")
    ] = None,
    approve: Approve = False,
    as_json: AsJson = False,
) -> None:
    """登记企业并分配前缀和访问密钥 / Enter a firm with a prefix and an access key"""
    from registry.enterprises import Registration
    from registry.enterprises import add_enterprise as enter

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            wanted = Registration(name, uscc, area, industry, prefix)
            added = await enter(desk.conn, desk.rules, desk.order(), wanted, approve=approve)
            return {
                "enterprise_id": added.enterprise_id,
                "prefix": added.prefix,
                "access_key": added.access_key,
                "secret_key": added.secret_key,
                "approved": approve,
            }

    added = run(work())
    if as_json:
        print_json(added)
    else:
        label = LABELS["enterprise_added" if approve else "enterprise_applied"]
        print(say(label, get_language(), **added))


def import_enterprises(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, .xlsx")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只检查，不写入 / check only, write nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """一次接入文件中的全部企业；有一行不对则全部不写 / Connect all firms of a file, all or none"""
    from registry.enterprise_file import load_enterprises, read_enterprise_file

    async def work() -> "LoadResult":
        async with open_desk(writing=True) as desk:
            rows = read_enterprise_file(file, file.name)
            return await load_enterprises(desk.conn, desk.rules, desk.order(), rows, dry_run=dry_run)

    result, language = run(work()), get_language()
    rows = [_describe_row(outcome, language) for outcome in result.outcomes]
    counts = {name: result.count(name) for name in ("connected", "unchanged", "refused")}
    if as_json:
        print_json({"rows": len(rows), **counts, "written": result.written, "outcomes": rows})
    else:
        for row in rows:
            if row["reason"]:
                print(f"{row['row']}  {row['name']}  {row['reason']}")
        print(say(LABELS["enterprises_loaded"], language, **counts))
        if dry_run or counts["refused"]:
            print(say(LABELS["enterprises_not_written"], language))
    raise typer.Exit(1 if counts["refused"] else 0)


def _describe_row(outcome: "RowOutcome", language: str) -> dict[str, Any]:
    """As the API says it, with the remedy beside the reason; empty if nothing is wrong."""
    from registry.enterprise_file import format_outcome
    from registry.rows import name_column

    row = format_outcome(outcome, language)
    reason, remedy = row.pop("reason", ""), row.pop("remedy", "")
    separator = "" if language == "zh" else " "
    return row | {"reason": f"{name_column(row.get('field') or '', language)}{reason}{separator}{remedy}".strip()}


def list_all(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="名称、代码或前缀 / part of name, code or prefix")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """企业列表 / All enterprises"""
    from registry.enterprise_views import format_listed, list_enterprises
    from registry.store.listing import EnterpriseFilter

    async def read() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with open_desk() as desk:
            after: int | None = 0
            while after is not None:
                page = await list_enterprises(desk.conn, desk.principal, EnterpriseFilter(text=text), after, 1_000)
                found += [format_listed(item) for item in page.items]
                after = page.next_after
        return found

    found = run(read())
    if as_json:
        print_json(found)
        return
    columns = ("enterprise_id", "name", "certificate_code", "state", "connected_on", "unit", "industry")
    print(format_table([[*(_show(row[c]) for c in columns), " ".join(row["prefixes"])] for row in found],
                       header=(*columns, "prefixes")))  # fmt: skip


def _show(value: object) -> str:
    return "–" if value in (None, "") else str(value)


def show(enterprise: Enterprise, as_json: AsJson = False) -> None:
    """一家企业：档案、待办、前缀、历次审核 / One enterprise: dossier, to-do list, prefixes, decisions"""
    from registry.enterprise_views import format_detail, get_enterprise
    from registry.enterprises import get_enterprise_id

    async def read() -> dict[str, Any]:
        async with open_desk() as desk:
            number = await get_enterprise_id(desk.conn, enterprise)
            return format_detail(await get_enterprise(desk.conn, desk.principal, number), get_language())

    found = run(read())
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, list):
            print(f"{name}:")
            for line in value:
                print("  " + "  ".join(f"{k}={v}" for k, v in line.items() if v not in (None, "")))
        elif value not in (None, "", {}):
            print(f"{name}: {value}")


def approve(enterprise: Enterprise, as_json: AsJson = False) -> None:
    """审核通过 / Approve an application"""
    _decide(enterprise, "approve", "", as_json)


def refuse(enterprise: Enterprise, reason: Reason = "", as_json: AsJson = False) -> None:
    """驳回，须写明原因 / Refuse an application, with a reason"""
    _decide(enterprise, "refuse", reason, as_json)


def _decide(enterprise: str, decision: str, reason: str, as_json: bool) -> None:
    from registry import enterprises as decisions
    from registry.enterprise_views import format_detail, get_enterprise

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            number = await decisions.get_enterprise_id(desk.conn, enterprise)
            if decision == "approve":
                await decisions.approve(desk.conn, desk.rules, desk.order(), number)
            else:
                await decisions.refuse(desk.conn, desk.order(reason), number)
            return format_detail(await get_enterprise(desk.conn, desk.principal, number), get_language())

    found = run(work())
    if as_json:
        print_json(found)
    else:
        print(f"{found['name']}: {found['state']}")


def list_prefixes(
    enterprise: Annotated[str | None, typer.Option("--enterprise", metavar="E")] = None, as_json: AsJson = False
) -> None:
    """前缀及其状态、归属和托管 / Prefixes with state, owner and hosting"""
    from registry.enterprise_views import format_prefixes
    from registry.enterprises import get_enterprise_id
    from registry.prefixes import list_prefixes as fetch

    async def read() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with open_desk() as desk:
            owner = await get_enterprise_id(desk.conn, enterprise) if enterprise else None
            after = 0
            while page := await fetch(desk.conn, desk.principal, owner, after, 1_000):
                found += format_prefixes(page)
                after = page[-1].prefix_id
        return found

    found = run(read())
    if as_json:
        print_json(found)
    else:
        columns = ("prefix", "state", "hosting", "enterprise", "enabled_on")
        print(format_table([[_show(row[c]) for c in columns] for row in found], header=columns))


def host(
    prefix: Annotated[str, typer.Argument(metavar="P")],
    address: Annotated[
        str | None, typer.Option("--address", help="企业自建节点的 IP / the enterprise's own server")
    ] = None,
    tcp_port: Annotated[int | None, typer.Option("--tcp-port")] = None,
    udp_port: Annotated[int | None, typer.Option("--udp-port")] = None,
    http_port: Annotated[int | None, typer.Option("--http-port")] = None,
    as_json: AsJson = False,
) -> None:
    """由本节点托管，或指向企业自建节点 / Host a prefix here, or refer to the enterprise's own server"""
    from registry.enterprise_views import format_prefixes
    from registry.prefixes import host_prefix, make_site

    ports = {name: port for name, port in (("tcp", tcp_port), ("udp", udp_port), ("http", http_port)) if port}
    if address is None and ports:
        raise InvalidInput("site_address", field="address", address="")
    site = None if address is None else make_site(address, ports)

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            return format_prefixes([await host_prefix(desk.conn, desk.order(), prefix, site)])[0]

    found = run(work())
    if as_json:
        print_json(found)
    else:
        print(f"{found['prefix']}: {found['hosting']}")


def list_owners(prefix: Annotated[str, typer.Argument(metavar="P")], as_json: AsJson = False) -> None:
    """前缀的历任所有者 / Who has owned a prefix, and when"""
    from registry.enterprise_views import format_ownership
    from registry.prefixes import get_prefix
    from registry.store.prefixes import fetch_ownerships

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            row = await get_prefix(desk.conn, desk.principal, prefix)
            return [format_ownership(owned) for owned in await fetch_ownerships(desk.conn, row.prefix_id)]

    found = run(read())
    if as_json:
        print_json(found)
    else:
        columns = ("enterprise_id", "enterprise", "from", "to")
        print(format_table([[_show(row[c]) for c in columns] for row in found], header=columns))


def add_unit(
    division: Annotated[
        str, typer.Option("--division", metavar="D", help="行政区划代码或名称 / code or name of the division")
    ],
    name: Annotated[str, typer.Option("--name", metavar="N", help="乡镇或园区名称 / its name")],
    as_json: AsJson = False,
) -> None:
    """添加乡镇或园区；已有的不变 / Add a town or park; one that exists stays as it is"""
    from registry.areas import add_unit as add

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            return _format_unit(await add(desk.conn, desk.order(), division, name))

    made = run(work())
    if as_json:
        print_json(made)
    else:
        print(f"{made['division']} {made['name']}")


def list_units(as_json: AsJson = False) -> None:
    """乡镇和园区及其所在行政区划 / Towns and parks with their divisions"""
    from registry.store.placements import fetch_units

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            return [_format_unit(unit) for unit in await fetch_units(desk.conn)]

    found = run(read())
    if as_json:
        print_json(found)
    else:
        columns = ("unit_id", "name", "division_code", "division")
        print(format_table([[_show(row[c]) for c in columns] for row in found], header=columns))


def _format_unit(unit: "Unit") -> dict[str, Any]:
    from schemas.industries import format_division

    return {
        "unit_id": unit.unit_id,
        "division_code": unit.division_code,
        "division": format_division(unit.division_code),
        "name": unit.name,
    }


def add_template(
    file: Annotated[Path, typer.Argument(metavar="FILE.json")], prefix: Prefix, as_json: AsJson = False
) -> None:
    """添加模板；同一文件再次添加不变 / Add a template; the same file again changes nothing"""
    import json

    from registry.templates import add_template as store
    from schemas.templates import format_template

    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidInput("file_cannot_be_opened", field="file", problem=error.strerror or "") from error
    except (ValueError, RecursionError) as error:
        place = f" ({error.lineno}:{error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput("template_malformed", field="file", expected=f"JSON, UTF-8{place}") from error

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            template, is_new = await store(desk.conn, desk.order(), prefix, document)
            outcome = "added" if is_new else "unchanged"
            return {"prefix": prefix, "identifier": template.handle, "outcome": outcome, **format_template(template)}

    made = run(work())
    if as_json:
        print_json(made)
    else:
        print(say(LABELS[f"template_{made['outcome']}"], get_language(), **made))


def list_templates(prefix: Prefix, as_json: AsJson = False) -> None:
    """一个前缀的模板 / The templates of a prefix"""
    from registry.templates import list_templates as fetch
    from schemas.templates import format_template

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            return [
                {"identifier": t.handle, **format_template(t)} for t in await fetch(desk.conn, desk.principal, prefix)
            ]

    found = run(read())
    if as_json:
        print_json(found)
    else:
        language = get_language()
        rows = [[t["version"], t["name"][language] or "–", len(t["items"]), t["stage"], t["identifier"]] for t in found]
        print(format_table(rows, header=("version", "name", "items", "stage", "identifier")))


def show_template(
    version: Annotated[str, typer.Argument(metavar="V")], prefix: Prefix, as_json: AsJson = False
) -> None:
    """一个模板及其各项 / One template with its items"""
    from schemas.templates import format_template

    async def read() -> dict[str, Any]:
        async with open_desk() as desk:
            template = await desk.get_template(prefix, version)
            return {"identifier": template.handle, **format_template(template)}

    found = run(read())
    if as_json:
        print_json(found)
        return
    print(found["identifier"])
    columns = ("index", "type", "data", "max_length", "required", "enabled", "visibility")
    rows = [[item["name"][get_language()], *(item[c] for c in columns)] for item in found["items"]]
    print(format_table(rows, header=("name", *columns)))
