"""All commands of `idnode`, gathered in one application."""

from typing import Annotated

import typer

from node.cli import (
    account_commands,
    alarm_commands,
    application_commands,
    audit_commands,
    backup_commands,
    certificate_commands,
    closing_commands,
    enterprise_commands,
    identifier_commands,
    import_command,
    key_commands,
    monitor_commands,
    native_commands,
    outbox_commands,
    partner_commands,
    plan_commands,
    process_commands,
    resolve_command,
    statistics_commands,
    toplevel_commands,
)

# Plain help and plain errors: rich would take a tenth of a second of every command.
app = typer.Typer(
    name="idnode",
    help="工业互联网标识解析二级节点 / A secondary node of industrial internet identifier resolution",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 140},
)


@app.callback()
def choose_output(
    lang: Annotated[str | None, typer.Option("--lang", metavar="zh|en", help="语言 / language")] = None,
) -> None:
    """工业互联网标识解析二级节点 / A secondary node of industrial internet identifier resolution"""
    if lang is not None:  # a known language was taken before the command line was read
        raise typer.BadParameter("zh, en", param_hint="--lang")


for commands in (
    process_commands,
    outbox_commands,
    toplevel_commands,
    enterprise_commands,
    account_commands,
    key_commands,
    partner_commands,
    audit_commands,
    native_commands,
    import_command,
    identifier_commands,
    resolve_command,
    statistics_commands,
    plan_commands,
    certificate_commands,
    application_commands,
    closing_commands,
    backup_commands,
    alarm_commands,
    monitor_commands,
):
    commands.add_to(app)
