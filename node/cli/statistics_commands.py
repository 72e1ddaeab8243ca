"""`idnode stats`: the counters, as a table or a file, and their recomputation from the log and the records' history."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer._click.exceptions import UsageError  # typer's own copy of click; no public name for it

from node.cli.frame import AsJson, get_language, load, open_database, print_json, run
from node.table import format_table
from node.wording import say
from schemas.days import get_day
from schemas.errors import InvalidInput
from schemas.industries import check_industry_path
from schemas.texts.commands import LABELS
from schemas.texts.statistics import LABELS as WORDS

if TYPE_CHECKING:
    from node.statistics_tables import Question, Table

Day = Annotated[str | None, typer.Option("--day", metavar="D", help="2024-06-04；缺省为今天 / default: today")]

statistics = typer.Typer(invoke_without_command=True, help="统计 / Statistics")


def add_to(app: typer.Typer) -> None:
    statistics.callback()(stats)
    statistics.command("recompute")(recompute)
    statistics.command("sources")(sources)
    app.add_typer(statistics, name="stats")


def stats(
    context: typer.Context,
    by: Annotated[
        str, typer.Option("--by", help="enterprise, unit, area, industry, tag, template, stage, day")
    ] = "enterprise",
    first: Annotated[
        str | None, typer.Option("--from", metavar="D", help="缺省为最早 / default: the beginning")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="D", help="缺省为今天 / default: today")] = None,
    period: Annotated[
        str,
        typer.Option(
            "--period",
            metavar="P",
            help="last-month, last-quarter, this-year, last-year; 代替 --from 和 --to / instead of --from and --to",
        ),
    ] = "",
    prefix: Annotated[list[str] | None, typer.Option("--prefix", metavar="P", help="只看这些前缀 / only these")] = None,
    area: Annotated[str, typer.Option("--area", metavar="CODE", help="只看该区划 / only this division")] = "",
    industry: Annotated[str, typer.Option("--industry", metavar="C/34", help="只看该行业 / only this industry")] = "",
    level: Annotated[
        int | None, typer.Option("--level", min=1, max=4, help="行业 1–4、区划 1–3 / of industries, of areas")
    ] = None,
    industry_level: Annotated[int | None, typer.Option("--industry-level", min=1, max=4, hidden=True)] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="写入 .csv、.xlsx、.pdf 或 .json / write a file")
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", metavar="FILE", help="写入 PDF，含图表 / write a PDF with charts")
    ] = None,
    provisional: Annotated[
        bool, typer.Option("--provisional", help="连同口径、性质和合计 / with status, definitions and sums")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """登记和解析统计，含正在进行的一天 / Registrations and resolutions, the running day included"""
    if context.invoked_subcommand is not None:
        _check_no_options(context)
        return
    from node.statistics import Limits
    from node.statistics_tables import Question

    today = get_day(datetime.now().astimezone())
    limits = Limits(prefix, division_code=area, industry="/".join(check_industry_path(industry)) if industry else "")
    days_asked = parse_day(first, "from"), parse_day(last, "to") or today
    wanted = industry_level if by == "industry" and level is None else level
    question = Question(by, *(_find_period(period, today) if period else days_asked), limits, wanted)
    target = pdf or export
    file_format = "pdf" if pdf else _find_format(export) if export else ""
    table, days = run(_read(question, file_format))
    language = get_language()
    if target is not None:
        from node.statistics_files import make_file

        target.write_bytes(make_file(table, file_format, language, days))
    if as_json:
        print_json(table.format(language) if provisional else table.rows)
    elif target is not None:
        print(say(WORDS["exported"], language, path=target))
    else:
        _print_table(table, language)


def _check_no_options(context: typer.Context) -> None:
    """Raise UsageError: what stands before `recompute` is meant for it, and would be lost."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{option.opts[0]} goes behind {context.invoked_subcommand}", context)


def _find_period(name: str, today: date) -> tuple[date, date]:
    """Raises InvalidInput."""
    from node.periods import list_periods

    periods = list_periods(today)
    if name not in periods:
        raise InvalidInput("statistics_period_unknown", field="period", period=name[:40], periods=", ".join(periods))
    return periods[name]


async def _read(question: "Question", file_format: str) -> "tuple[Table, Table | None]":
    from node.statistics_tables import read_export

    async with open_database(load()) as conn:
        return await read_export(conn, question, datetime.now(UTC), file_format)


def _print_table(table: "Table", language: str) -> None:
    from node.statistics_files import describe_status

    if table.rows:
        # A terminal is narrow: what is 0 in every row is named below; files and --json have it.
        empty = [name for name in table.figure_columns if not any(row[name] for row in table.rows)]
        columns = [name for name in table.columns if name not in empty]
        rows = [["–" if row[name] is None else row[name] for name in columns] for row in table.rows]
        print(format_table(rows, header=columns))
        if empty:
            print(say(WORDS["all_zero"], language, columns=", ".join(empty)))
    print(f"{say(WORDS['status'], language)}: {describe_status(table.status, language)}")


def _find_format(path: Path) -> str:
    """By the end of the file's name; raises InvalidInput."""
    from node.statistics_files import FORMATS

    file_format = path.suffix.removeprefix(".").lower()
    if file_format not in FORMATS:
        raise InvalidInput("export_format_unknown", field="export", file=path.name[:80])
    return file_format


def recompute(day: Day = None, as_json: AsJson = False) -> None:
    """由日志和登记历史重算一天，列出不一致之处 / Recompute a day from log and history; name what differs"""
    from node.recompute import recompute as compare

    settings = load()
    wanted = parse_day(day, "day") or get_day(datetime.now().astimezone())

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


def sources(
    day: Day = None, limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 20, as_json: AsJson = False
) -> None:
    """一天里谁在查询、哪些前缀查不到 / Who asked on a day, and under which prefixes nothing was found"""
    from node.store.statistics import fetch_outcomes, fetch_sources
    from schemas.resolution_log import ClientClass

    wanted = parse_day(day, "day") or get_day(datetime.now().astimezone())

    async def read() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        async with open_database(load()) as conn:
            asking = [dict(row) for row in await fetch_sources(conn, wanted, limit)]
            return [dict(row) for row in await fetch_outcomes(conn, wanted, limit)], asking

    prefixes, found = run(read())
    for row in found:
        row["client_class"] = ClientClass(row["client_class"]).name.lower()
    if as_json:
        print_json({"day": wanted.isoformat(), "prefixes": prefixes, "sources": found})
        return
    words = get_language()
    for rows, names in ((prefixes, ("answers", "not_found", "prefix")),
                        (found, ("answers", "address", "client_class", "prefix"))):  # fmt: skip
        if rows:
            other = {"prefix": say(WORDS["other_prefixes"], words), "address": say(WORDS["other_addresses"], words)}
            print(format_table([[row[name] or other.get(name, 0) for name in names] for row in rows], header=names))
    if not prefixes:
        print(say(WORDS["nobody_asked"], words, day=wanted))


def parse_day(text: str | None, field: str) -> date | None:
    """A day of an option; raises InvalidInput."""
    from node.statistics import check_day

    if text is None:
        return None
    try:
        return check_day(date.fromisoformat(text), field)
    except ValueError:
        raise InvalidInput("day_malformed", field=field, text=text[:40]) from None
