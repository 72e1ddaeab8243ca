"""Backups and restores."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.frame import AsJson, load, print_json, run, show_progress
from node.cli.identifier_commands import Reason
from node.cli.identifier_commands import restore as restore_identifier
from node.wording import say

Words = Annotated[list[str], typer.Argument(metavar="DIR | verify DIR", help="空目录 / an empty directory")]
What = Annotated[str, typer.Argument(metavar="ID | DIR", help="标识，或备份所在的目录 / an identifier, or a backup")]


def add_to(app: typer.Typer) -> None:
    for command in (backup, restore):
        app.command()(command)


def backup(words: Words, as_json: AsJson = False) -> None:
    """备份运行中的节点；verify 检查已有的备份 / Back up the node while it runs; verify: compare a backup again"""
    from node.backup import back_up, verify
    from node.doctor import format_bytes
    from schemas.texts.backup import LABELS

    settings = load()
    if words[0] == "verify" and len(words) == 2:
        found = verify(Path(words[1]))
        details = {"files": found["files"], "taken": found["taken"], "schema": len(found["schema"])}
        print_json(found) if as_json else print(say(LABELS["backup_well"], settings.language, **details))
        return
    if len(words) > 1 or words[0] == "verify":  # a directory of that name is ./verify
        raise typer.BadParameter("DIR | verify DIR")
    target = Path(words[0]).expanduser().absolute()
    be_stopped_by_any_signal()
    with show_progress(say(LABELS["backup_title"], settings.language)) as report:
        made = run(back_up(settings, target, report))
    if as_json:
        print_json(made)
        return
    size, identifiers = format_bytes(made["bytes"]), made["figures"]["identifiers"]
    details = {"files": made["files"], "size": size, "taken": made["taken"], "identifiers": identifiers}
    print(say(LABELS["backup_done"], settings.language, **details))
    print(say(LABELS["backup_key"], settings.language, path=target))


def restore(what: What, reason: Reason = "", as_json: AsJson = False) -> None:
    """恢复停用的标识，或由备份恢复节点 / Restore a retired identifier, or a node from its backup"""
    if not is_place(what):
        restore_identifier(what, reason, as_json)
        return
    from node.restore import restore as make_again

    settings = load()
    be_stopped_by_any_signal()
    made = make_again(settings, Path(what).expanduser().absolute())
    if as_json:
        print_json(made)
    else:
        _print_restored(made, settings.data_dir, settings.language)


def be_stopped_by_any_signal() -> None:
    """As by Ctrl-C: a timer that ends it, or a terminal that goes away, leaves nothing half done behind either."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)


def is_place(what: str) -> bool:
    """Whether this names a directory and no identifier, which may look like a relative path."""
    from node.backup_files import MANIFEST

    return what.startswith(("/", ".", "~")) or "/" not in what or (Path(what) / MANIFEST).is_file()


def _print_restored(made: dict[str, Any], data_dir: Path, language: str) -> None:
    from schemas.texts.backup import LABELS

    details = {"path": data_dir, "taken": made["taken"], "identifiers": made["figures"]["identifiers"]}
    print(say(LABELS["restore_done"], language, **details))
    if made["settings"]:
        print(say(LABELS["restore_settings"], language))
        for name, value in made["settings"].items():
            print(f"  {name}={value}")
    print(say(LABELS["restore_next"], language))
