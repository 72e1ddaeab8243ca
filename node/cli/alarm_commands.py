"""Alarms: what is open, whether they reach anybody, and saying that one was seen."""

import socket
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from node.cli.data import note_command
from node.cli.frame import AsJson, load, open_database, print_json, run
from node.table import format_table
from node.wording import say
from schemas.days import ZONE
from schemas.errors import NotFound, ServiceError, SetupError

alarms = typer.Typer(no_args_is_help=True, help="告警 / Alarms")
All = Annotated[bool, typer.Option("--all", help="含已解除的 / also those that are over (asks the database)")]
ACKNOWLEDGED_BY_HAND = ("restored",)
SHOWN = 200


def add_to(app: typer.Typer) -> None:
    alarms.command("list")(list_alarms)
    alarms.command("test")(test)
    alarms.command("acknowledge")(acknowledge)
    app.add_typer(alarms, name="alarm")


def list_alarms(everything: All = False, as_json: AsJson = False) -> None:
    """本机未解除的告警，数据库停止时也可用 / Open alarms of this machine, also while the database is away"""
    from schemas.texts.alarms import LABELS

    settings = load()
    found = _fetch_all() if everything else _read_open(settings.run_dir)
    if as_json:
        print_json(found)
        return
    rows = [(a["cause"], a["subject"], a["since"], a["until"] or "", a["message"][settings.language]) for a in found]
    print(format_table(rows) if rows else say(LABELS["alarms_none"], settings.language))
    for alarm in found:
        if not alarm["until"]:
            print(f"→ {alarm['paragraph']}: {alarm['remedy'][settings.language]}")
    raise typer.Exit(1 if any(not alarm["until"] for alarm in found) else 0)


def _read_open(run_dir: Any) -> list[dict[str, Any]]:
    from node.alarms import describe, list_open

    return [_show(describe("raised", alarm, "", time.time()), alarm.raised, None) for alarm in list_open(run_dir)]


def _fetch_all() -> list[dict[str, Any]]:
    import json

    from node.alarms import Alarm, describe
    from node.store.alarms import fetch_alarms

    async def read() -> list[dict[str, Any]]:
        async with open_database(load()) as conn:
            shown = []
            for row in await fetch_alarms(conn, SHOWN):
                raised, until = row["raised"].timestamp(), row["cleared"] and row["cleared"].timestamp()
                alarm = Alarm(row["cause"], row["subject"], json.loads(row["details"]), raised, raised, raised)
                shown.append(_show(describe("raised", alarm, "", raised), raised, until))
            return shown

    return run(read())


def _show(document: dict[str, Any], since: float, until: float | None) -> dict[str, Any]:
    kept = ("cause", "subject", "message", "remedy", "paragraph", "details")
    times = {"since": _format_time(since), "until": None if until is None else _format_time(until)}
    return {name: document[name] for name in kept} | times


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, ZONE).isoformat(timespec="seconds")


def test(as_json: AsJson = False) -> None:
    """用每种方式发送一条测试告警 / Send a test by every way that is set up"""
    from node.alarm_ways import UNSENT, list_ways
    from node.alarms import Alarm, describe
    from schemas.texts.alarms import LABELS

    settings, now = load(), time.time()
    ways = list_ways(settings)
    if not ways:
        raise SetupError("alarm_ways_missing")
    document = describe("test", Alarm("test", socket.gethostname(), {}, now, now, now), settings.site_address, now)
    failed = None
    for way, send in ways.items():
        try:
            send(settings, document)
        except UNSENT as error:  # the other way is tested all the same
            failed = failed or ServiceError("alarm_not_sent", way=way, reason=str(error) or type(error).__name__)
            continue
        print_json({"sent": way}) if as_json else print(say(LABELS["alarm_sent"], settings.language, way=way))
    if failed is not None:
        raise failed


def acknowledge(cause: Annotated[str, typer.Argument(metavar="restored")], as_json: AsJson = False) -> None:
    """确认已看到“由备份恢复” / Say that the restore was seen and dealt with"""
    from node.store.monitoring import delete_fact
    from schemas.texts.alarms import LABELS

    settings = load()

    async def work() -> bool:
        async with open_database(settings) as conn, conn.transaction():
            done = cause in ACKNOWLEDGED_BY_HAND and await delete_fact(conn, cause)
            if done:
                await note_command(conn)
            return done

    if not run(work()):
        raise NotFound("alarm_nothing_to_acknowledge", field="cause", cause=cause[:40])
    print_json({"acknowledged": cause}) if as_json else print(say(LABELS["alarm_acknowledged"], settings.language))
