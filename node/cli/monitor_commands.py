"""`idnode monitor`: how quickly the node answered, by day as it is reported (M1, M2), or by month."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.frame import AsJson, get_language, load, open_database, print_json, run
from node.cli.statistics_commands import parse_day
from node.table import format_table
from node.wording import say
from schemas.days import get_day
from schemas.texts.applications import LABELS

if TYPE_CHECKING:
    from asyncpg import Connection

MONTHS = 6  # as the monthly report of the alliance shows them
COLUMNS = ("prefix", "resolveAvgMs", "resolveMaxMs", "resolveMinMs", "maxQps", "registerAvgMs", "registerMaxMs",
           "registerMinMs")  # fmt: skip
MONTH_COLUMNS = ("prefix", "month", "days", "resolveAvgMs", "resolveMaxMs", "registerAvgMs", "registerMaxMs")


def add_to(app: typer.Typer) -> None:
    app.command("monitor")(monitor)


def monitor(
    day: Annotated[str | None, typer.Option("--day", metavar="D", help="缺省为昨天 / default: yesterday")] = None,
    months: Annotated[
        bool, typer.Option("--months", help="最近六个月及平均，供撰写月报 / six months and their mean, for the report")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """应答快慢：解析和登记的耗时、每秒最多请求 / How quickly the node answered; what was not measured is left out"""
    today = get_day(datetime.now(UTC))
    wanted = parse_day(day, "day") or today - timedelta(days=1)
    rows = run(_read_months(today) if months else _read_day(wanted))
    if as_json:
        print_json({"months": rows} if months else {"day": wanted.isoformat(), "rows": rows})
        return
    columns = MONTH_COLUMNS if months else COLUMNS
    shown = [[row.get(name, "–") for name in columns] for row in rows]
    print(format_table(shown, header=columns) if shown else say(LABELS["monitor_none"], get_language()))


async def _read_day(day: date) -> list[dict[str, Any]]:
    """The node's row first, then each prefix's that has a figure."""
    from node.reporting import make_monitors, read_node_monitor
    from node.store.monitor_days import fetch_monitored

    settings, rows = load(), []
    async with open_database(settings) as conn:
        for prefix in settings.prefixes:
            whole = await read_node_monitor(conn, prefix, day)
            found = await make_monitors(conn, await fetch_monitored(conn, prefix, day), day)
            rows += [row for row in (whole, *found) if len(row) > 2]
    return rows


async def _read_months(today: date) -> list[dict[str, Any]]:
    settings = load()
    first = date(today.year + (today.month - MONTHS) // 12, (today.month - MONTHS) % 12 + 1, 1)
    async with open_database(settings) as conn:
        return [row for prefix in settings.prefixes for row in await _list_months(conn, prefix, first)]


async def _list_months(conn: "Connection", prefix: str, first: date) -> list[dict[str, Any]]:
    """One row a month, and the mean of all requests at the end."""
    from node.store.monitor_days import fetch_months

    found = await fetch_months(conn, prefix, first)
    months = {row["month"]: {"prefix": prefix, "month": row["month"], "days": 0} for row in found}
    whole: dict[str, Any] = {"prefix": prefix, "month": "mean"}
    sums: dict[str, tuple[int, int]] = {}
    for row in found:
        kind, one = row["kind"], months[row["month"]]
        one["days"] = max(one["days"], row["days"])
        one[f"{kind}AvgMs"] = _say_ms(row["total_us"] / row["number"])
        one[f"{kind}MaxMs"] = _say_ms(row["longest_us"])
        number, total = sums.get(kind, (0, 0))
        sums[kind] = number + row["number"], total + row["total_us"]
        whole[f"{kind}MaxMs"] = max(whole.get(f"{kind}MaxMs", 0), one[f"{kind}MaxMs"])
    for kind, (number, total) in sums.items():
        whole[f"{kind}AvgMs"] = _say_ms(total / number)
    whole["days"] = sum(one["days"] for one in months.values())
    return [*months.values(), whole] if months else []


def _say_ms(microseconds: float) -> float:
    return round(microseconds / 1_000, 3)
