"""`idnode plan`: targets, how far they are, and figures the node does not measure."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import open_desk
from node.cli.frame import AsJson, get_language, load, open_database, print_json, run
from node.cli.statistics_commands import parse_day
from node.table import format_table
from node.wording import say
from schemas.days import get_day
from schemas.errors import InvalidInput
from schemas.texts.plans import LABELS
from schemas.texts.statistics import LABELS as FIGURE_LABELS

if TYPE_CHECKING:
    from node.plan_progress import PlanView, Progress
    from node.plans import Loaded

Name = Annotated[str, typer.Argument(metavar="NAME", help="计划名称 / name of the plan")]
AsOf = Annotated[str | None, typer.Option("--as-of", metavar="D", help="缺省为今天 / default: today")]

plans = typer.Typer(no_args_is_help=True, help="计划和目标 / Plans and targets")


def add_to(app: typer.Typer) -> None:
    for name, command in (
        ("load", load_file), ("list", list_all), ("show", show), ("firms", firms), ("enter", enter), ("export", export),
    ):  # fmt: skip
        plans.command(name)(command)
    app.add_typer(plans, name="plan")


def load_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, .xlsx")],
    name: Annotated[str, typer.Option("--name", metavar="N", help="计划名称 / name of the plan")],
    replace: Annotated[bool, typer.Option("--replace", help="替换同名计划的目标 / replace the targets")] = False,
    add_units: Annotated[
        str, typer.Option("--add-units", metavar="CODE", help="登记文件中的新单位 / add the file's units to a division")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """载入目标；有一行不对则全部不写 / Load targets, all rows or none"""
    from node.plan_files import read_plan_file
    from node.plan_views import format_refusal
    from node.plans import load_plan

    async def work() -> "Loaded":
        async with open_desk(writing=True) as desk:
            lines = read_plan_file(file, file.name)
            return await load_plan(desk.conn, desk.order(), name, lines, replace=replace, add_units_in=add_units)

    loaded, language = run(work()), get_language()
    refused = [format_refusal(one, language) for one in loaded.refused]
    if as_json:
        print_json({"name": loaded.name, "targets": len(loaded.targets), "written": loaded.written, "refused": refused})
    else:
        for row in refused:
            print(f"{row['row']}  {row['field']}  {row['reason']} {row['remedy']}")
        label = "plan_not_written" if refused else "plan_loaded" if loaded.written else "plan_unchanged"
        print(say(LABELS[label], language, name=loaded.name, count=len(refused) or len(loaded.targets)))
    raise typer.Exit(1 if refused else 0)


def list_all(as_json: AsJson = False) -> None:
    """列出计划 / List the plans"""
    from node.plan_views import format_plan
    from node.store.plans import fetch_plans, fetch_targets

    async def read() -> list[dict[str, Any]]:
        async with open_database(load()) as conn:
            return [format_plan(p, len(await fetch_targets(conn, p.plan_id))) for p in await fetch_plans(conn)]

    found = run(read())
    if as_json:
        print_json({"plans": found})
    elif found:
        print(format_table([list(plan.values()) for plan in found], header=list(found[0])))
    else:
        print(say(LABELS["no_plans"], get_language()))


async def _read(name: str, as_of: date | None) -> "tuple[PlanView, dict[str, Any]]":
    from node.plan_progress import read_plan
    from node.plans import get_plan
    from node.plans_api import read_status

    today = get_day(datetime.now(UTC))
    async with open_database(load()) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        view = await read_plan(conn, await get_plan(conn, name), as_of or today, today)
        return view, await read_status(conn, view)


def show(name: Name, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """目标与实际 / Targets against actual figures"""
    from node.plan_views import format_view
    from node.statistics_files import describe_status

    (view, status), language = run(_read(name, parse_day(as_of, "as_of"))), get_language()
    if as_json:
        print_json(format_view(view, status, language))
        return
    header = [say(LABELS[key], language) for key in ("area", "indicator", "target", "actual", "of_day", "met", "state",
                                                     "source", "forecast")]  # fmt: skip
    print(format_table([_describe(row, language) for row in view.rows], header=header))
    for group in view.groups:
        if group.units:
            print(_sum_up(group, language))
    print(f"{say(FIGURE_LABELS['status'], language)}: {describe_status(status, language)}")


def _describe(row: "Progress", language: str) -> list[object]:
    from node.annex import say_value
    from node.plan_views import name_indicator, name_source, say_yes

    target, forecast = row.target, row.forecast
    expected = "–"
    if forecast is not None:
        expected = f"{forecast.value} ({say(LABELS[f'forecast_{forecast.method}'], language)})"
    return [target.area, name_indicator(target.indicator, language), f"{target.comparison} {target.target}",
            say_value(row, language), row.day, say_yes(row.met, language), say(LABELS[f"state_{row.state}"], language),
            name_source(row, language), expected]  # fmt: skip


def _sum_up(group: Any, language: str) -> str:
    from node.plan_views import name_indicator

    unknown = say(LABELS["not_measured"], language)
    value = unknown if group.units_value is None else group.units_value
    line = f"{name_indicator(group.first.indicator, language)}: {say(LABELS['units_sum'], language)} "
    line += f"{value} / {group.units_target}"
    if group.elsewhere is not None:
        line += f"  {say(LABELS['elsewhere'], language)} {group.elsewhere}"
    return line


def firms(
    name: Name,
    area: Annotated[str, typer.Option("--area", metavar="A", help="计划中的单位 / as the plan names it")],
    indicator: Annotated[str, typer.Option("--indicator", metavar="I")],
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """一个数字背后的企业 / The firms behind a figure"""
    from node.plan_progress import list_firms, read_plan
    from node.plans import get_plan
    from node.plans_api import find_row

    async def read() -> list[dict[str, Any]]:
        today, day = get_day(datetime.now(UTC)), parse_day(as_of, "as_of")
        async with open_database(load()) as conn:
            view = await read_plan(conn, await get_plan(conn, name), day or today, today)
            return await list_firms(conn, find_row(view, area, indicator, None))

    found = run(read())
    if as_json:
        print_json({"firms": found})
    elif found:
        print(format_table([list(firm.values()) for firm in found], header=list(found[0])))


def enter(
    name: Name,
    area: Annotated[str, typer.Option("--area", metavar="A", help="计划中的单位 / as the plan names it")],
    indicator: Annotated[str, typer.Option("--indicator", metavar="I")],
    value: Annotated[str, typer.Option("--value", metavar="N")],
    day: Annotated[
        str | None, typer.Option("--day", metavar="D", help="缺省为今天或期限 / default: today or the deadline")
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="T", help="依据 / where it comes from")] = "",
    as_json: AsJson = False,
) -> None:
    """录入节点不计量的数字，记下录入人和日期 / Enter what the node does not measure, with author and date"""
    from node.plan_files import parse_value
    from node.plan_views import format_entry
    from node.plans import Figure, enter_figure

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            figure = Figure(area, indicator, parse_value(value, "value"), parse_day(day, "day"), note)
            return format_entry(await enter_figure(desk.conn, desk.order(), name, figure), area)

    entered = run(work())
    if as_json:
        print_json(entered)
    else:
        print(say(LABELS["plan_entered"], get_language(), **entered))


def export(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".csv, .xlsx, .pdf")],
    as_of: AsOf = None,
) -> None:
    """按附件的行序写出 / Write the sheet of the annex"""
    from node.annex import FORMATS, Annex, make_annex

    file_format = file.suffix.removeprefix(".").lower()
    if file_format not in FORMATS:
        raise InvalidInput("annex_format_unknown", field="file", file=file.name[:80])
    view, status = run(_read(name, parse_day(as_of, "as_of")))
    file.write_bytes(make_annex(Annex(view, datetime.now(UTC), status), file_format, get_language()))
    print(say(LABELS["wrote"], get_language(), path=file))
