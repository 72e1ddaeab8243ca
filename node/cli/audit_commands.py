"""Commands for the audit trail: what was done, and proof that what it says was not altered."""

from typing import Annotated, Any

import typer

from node.cli.data import open_desk
from node.cli.frame import AsJson, get_language, print_json, run
from node.table import format_table
from node.wording import say
from schemas.texts.accounts import LABELS

audit = typer.Typer(no_args_is_help=True, help="审计记录 / The audit trail")


def add_to(app: typer.Typer) -> None:
    audit.command("list")(list_entries)
    audit.command("verify")(verify)
    app.add_typer(audit, name="audit")


def list_entries(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="人员、动作或对象的一部分 / part of actor, action or subject")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50,
    before: Annotated[int | None, typer.Option("--before", metavar="N", help="此序号之前 / before this number")] = None,
    as_json: AsJson = False,
) -> None:
    """何人何时从何处做了什么，新的在前 / Who did what, when, from where and why; newest first"""
    from registry.audit import number_all
    from registry.record_views import format_instant
    from registry.store.audit import fetch_audit

    async def read() -> list[dict[str, Any]]:
        async with open_desk(writing=True, noted=False) as desk:
            await number_all(desk.conn)
            return [
                {
                    "number": position,
                    "at": format_instant(entry.at),
                    "actor": entry.actor,
                    "address": entry.address,
                    "action": entry.action,
                    "subject": entry.subject,
                    "outcome": entry.outcome,
                    "reason": entry.reason,
                }
                for position, entry in await fetch_audit(desk.conn, before, limit, text)
            ]

    found = run(read())
    if as_json:
        print_json(found)
    elif found:
        columns = tuple(found[0])
        print(format_table([[str(row[c] or "–") for c in columns] for row in found], header=columns))


def verify(as_json: AsJson = False) -> None:
    """核对审计记录和变更日志的哈希链 / Verify the hash chains of the audit trail and the change log"""
    from registry import audit as trail
    from registry.store.audit import ChainEnd, fetch_ends

    async def read() -> tuple[list[trail.Finding], dict[str, ChainEnd]]:
        async with open_desk(writing=True, noted=False) as desk:
            await trail.number_all(desk.conn)
            return [finding async for finding in trail.verify(desk.conn)], await fetch_ends(desk.conn)

    findings, ends = run(read())
    language = get_language()
    if as_json:
        shown = {log: {"position": end.position, "link": end.link} for log, end in ends.items()}
        problems = [{"log": f.log, "position": f.position, "problem": f.problem} for f in findings]
        print_json({"intact": not findings, "ends": shown, "findings": problems})
    else:
        for found in findings:
            print(say(LABELS[f"chain_{found.problem}"], language, log=found.log, position=found.position))
        for log, end in ends.items():
            print(say(LABELS["chain_end"], language, log=log, position=end.position, link=end.link or "–"))
        if not findings:
            print(say(LABELS["chain_intact"], language))
    raise typer.Exit(1 if findings else 0)
