"""`idnode close` and `idnode seal`: closing days, revising them, and proving that nobody changed them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import note_command
from node.cli.frame import AsJson, get_language, load, open_database, print_json, run
from node.cli.statistics_commands import parse_day
from node.table import format_table
from node.wording import say
from schemas.days import get_day
from schemas.errors import Conflict
from schemas.texts import format_message, format_remedy
from schemas.texts.statistics import LABELS
from schemas.texts.written import describe_written

if TYPE_CHECKING:
    from asyncpg import Connection

    from node.closing import Provisional
    from node.day_seals import DayClose

Day = Annotated[str | None, typer.Option("--day", metavar="D", help="缺省为昨天 / default: yesterday")]
From = Annotated[str | None, typer.Option("--from", metavar="D")]
To = Annotated[str | None, typer.Option("--to", metavar="D")]
SHOWN_FIGURES = ("registered_new", "range_minted", "registered_total", "resolutions", "resolutions_ok",
                 "enterprises_connected")  # fmt: skip

seals = typer.Typer(no_args_is_help=True, help="封印 / Seals of closed days")


def add_to(app: typer.Typer) -> None:
    app.command("close")(close)
    seals.command("verify")(verify)
    seals.command("list")(list_seals)
    app.add_typer(seals, name="seal")


def close(
    day: Day = None,
    provisional: Annotated[
        bool, typer.Option("--provisional", help="只看当日至今的数字，不封账 / today so far, nothing is closed")
    ] = False,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="日志未全部计数也封账 / though the log is not all counted")
    ] = False,
    revise: Annotated[bool, typer.Option("--revise", help="修订已封账的一天 / state a closed day again")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="修订原因 / why it is revised")] = "",
    confirm_clock: Annotated[
        bool, typer.Option("--confirm-clock", help="时钟已核对无误 / the clock was checked and is right")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """封账：先补齐之前未封的日期 / Close a day, and before it those that are not closed yet"""
    now = datetime.now(UTC)
    wanted, language = parse_day(day, "day"), get_language()
    if provisional:
        found = run(_read_provisional(wanted or get_day(now)))
        _print_provisional(found, language, as_json)
        return
    wanted = wanted or get_day(now) - timedelta(days=1)
    made = run(_revise(wanted, now, reason) if revise else _close(wanted, incomplete, confirm_clock))
    if confirm_clock and not as_json:
        print(say(LABELS["clock_confirmed"], language, at=f"{now:%Y-%m-%d %H:%M:%S} UTC"))
    if as_json:
        print_json([one.format() for one in made])
    elif made:
        last, label = made[-1], "revised_days" if revise else "closed_days"
        print(say(LABELS[label], language, count=len(made), day=last.day, seal=last.seal.hex()))
    else:
        print(say(LABELS["nothing_to_revise" if revise else "closed_already"], language, day=wanted))


async def _close(day: date, incomplete: bool, confirm_clock: bool) -> "list[DayClose]":
    from node.closing import close_day
    from node.plausible_time import look_at_clock, read_clocks

    settings = load()
    async with open_database(settings) as conn:
        reading = await read_clocks(conn, settings.time_server, trusts_above=settings.trusts_toplevel_clock)
        now = reading.tick.at
        ahead = await look_at_clock(conn, reading, confirmed=confirm_clock)
        if ahead is not None:
            hours = round(ahead.total_seconds() / 3600, 1)
            raise Conflict("close_clock_doubted", field="day", day=day, hours=hours, at=f"{now:%Y-%m-%d %H:%M} UTC")
        await note_command(conn, "begun")
        if day < get_day(now):
            await _count_all(conn, settings.resolution_log_dir)
        return await close_day(conn, settings.prefixes, day, now, incomplete=incomplete)


async def _revise(day: date, now: datetime, reason: str) -> "list[DayClose]":
    from node.closing import revise_day

    settings = load()
    async with open_database(settings) as conn:
        await note_command(conn, "begun")
        await _count_all(conn, settings.resolution_log_dir)
        return await revise_day(conn, settings.prefixes, day, now, reason)


async def _count_all(conn: "Connection", directory: Path) -> None:
    """What the agent does all the time; here for a node whose agent does not run."""
    from node.counting import count_changes, count_segments
    from node.segment_files import identify_directory
    from node.store.closing import save_counted_until

    more = True
    while more:
        began = datetime.now(UTC)
        more_changes = await count_changes(conn)
        more = await count_segments(conn, directory, began) or more_changes
    await save_counted_until(conn, identify_directory(directory), began)


async def _read_provisional(day: date) -> "list[Provisional]":
    from node.closing import compute_provisional

    settings = load()
    async with open_database(settings) as conn:
        return await compute_provisional(conn, settings.prefixes, day)


def _print_provisional(found: "list[Provisional]", language: str, as_json: bool) -> None:
    if as_json:
        print_json([one.format() | {"rows": [row.format() for row in one.rows]} for one in found])
        return
    for one in found:
        print(f"{one.node_prefix}  {one.day}  {say(LABELS['provisional'], language)}")
        rows = [[row.prefix, *row.measures] for row in one.rows]
        if rows:
            from node.day_seals import ROW_MEASURES

            print(format_table(rows, header=["prefix", *ROW_MEASURES]))


def verify(first: From = None, last: To = None, as_json: AsJson = False) -> None:
    """由各行重算封印、核对封印链和计数器 / Compute the seals again, follow the chain, compare with the counters"""
    from node.closing import verify_seals

    async def read() -> dict[str, Any]:
        async with open_database(load()) as conn:
            return await verify_seals(conn, parse_day(first, "from"), parse_day(last, "to"))

    found = run(read())
    broken = bool(found["problems"] or found["differences"])
    if as_json:
        print_json(found)
    else:
        _print_verdict(found, get_language())
    raise typer.Exit(1 if broken else 0)


def _print_verdict(found: dict[str, Any], language: str) -> None:
    told = [(f"seal_{problem['problem']}", problem) for problem in found["problems"]]
    told += [("seal_difference", difference) for difference in found["differences"]]
    for code, details in told:
        print(format_message(code, language, **details))
        print(f"  → {format_remedy(code, language, **details)}")
    if found["late"]:
        print(say(LABELS["late_days"], language, days=", ".join(found["late"])))
    if not told and not found["chains"]:
        print(say(LABELS["no_seals"], language))
    elif not told:
        chains = "; ".join(f"{c['node_prefix']} {c['first']}–{c['last']} {c['seal']}" for c in found["chains"])
        print(say(LABELS["seals_hold"], language, chains=chains))


def list_seals(first: From = None, last: To = None, as_json: AsJson = False) -> None:
    """列出封账记录 / List the closed days"""
    from node.store.closing import fetch_closes

    async def read() -> "list[DayClose]":
        async with open_database(load()) as conn:
            return await fetch_closes(conn, None, parse_day(first, "from"), parse_day(last, "to"))

    found = run(read())
    if as_json:
        print_json([one.format() for one in found])
        return
    rows = [
        [one.node_prefix, one.day, one.revision, one.row_count, *(one.figures.get(name, 0) for name in SHOWN_FIGURES),
         describe_written(one.reason, get_language()), one.seal.hex()[:16]]
        for one in found
    ]  # fmt: skip
    if not rows:
        print(say(LABELS["no_seals"], get_language()))
    else:
        print(format_table(rows, header=["node", "day", "revision", "rows", *SHOWN_FIGURES, "reason", "seal"]))
