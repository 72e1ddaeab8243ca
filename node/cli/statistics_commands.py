"""`idnode stats`: the counters, and their recomputation from the log and the history of records."""

from datetime import date, datetime
from typing import Annotated, Any

import typer

from node.cli.data import open_desk
from node.cli.frame import AsJson, get_language, load, open_database, print_json, run
from node.table import format_table
from node.wording import say
from schemas.days import get_day
from schemas.errors import InvalidInput
from schemas.texts.commands import LABELS

Day = Annotated[str | None, typer.Option("--day", metavar="D", help="2024-06-04；缺省为今天 / default: today")]

statistics = typer.Typer(invoke_without_command=True, help="统计 / Statistics")


def add_to(app: typer.Typer) -> None:
    statistics.callback()(stats)
    statistics.command("recompute")(recompute)
    app.add_typer(statistics, name="stats")


def stats(
    context: typer.Context,
    by: Annotated[str, typer.Option("--by", help="enterprise, unit, area, industry, template, day")] = "enterprise",
    first: Annotated[
        str | None, typer.Option("--from", metavar="D", help="缺省为最早 / default: the beginning")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="D", help="缺省为今天 / default: today")] = None,
    prefix: Annotated[list[str] | None, typer.Option("--prefix", metavar="P", help="只看这些前缀 / only these")] = None,
    level: Annotated[int, typer.Option("--industry-level", min=1, max=4)] = 4,
    as_json: AsJson = False,
) -> None:
    """登记和解析统计，含正在进行的一天 / Registrations and resolutions, the running day included"""
    if context.invoked_subcommand is not None:
        return
    from node.statistics import stats as read_stats

    today = get_day(datetime.now().astimezone())
    period = _parse_day(first, "from"), _parse_day(last, "to") or today

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            return await read_stats(desk.conn, by, period, prefix, level)

    found = run(read())
    if as_json:
        print_json(found)
    elif found:
        print(format_table([["–" if v is None else v for v in row.values()] for row in found], header=list(found[0])))


def recompute(day: Day = None, as_json: AsJson = False) -> None:
    """由日志和登记历史重算一天，列出不一致之处 / Recompute a day from log and history; name what differs"""
    from node.recompute import recompute as compare

    settings = load()
    wanted = _parse_day(day, "day") or get_day(datetime.now().astimezone())

    async def read() -> dict[str, Any]:
        async with open_database(settings) as conn:  # it reads in a snapshot of its own
            return await compare(conn, settings.resolution_log_dir, wanted)

    found = run(read())
    if as_json:
        print_json(found)
    else:
        _print_comparison(found, get_language())
    raise typer.Exit(0 if found["complete"] and not found["differences"] else 1)


def _print_comparison(found: dict[str, Any], language: str) -> None:
    for name in ("segments", "gaps", "differences"):
        for entry in found[name]:
            print(f"{name}: " + "  ".join(f"{key}={value}" for key, value in entry.items() if value not in (None, "")))
    if found["complete"] and not found["differences"]:
        print(say(LABELS["no_differences"], language, day=found["day"]))


def _parse_day(text: str | None, field: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput("day_malformed", field=field, text=text[:40]) from None
