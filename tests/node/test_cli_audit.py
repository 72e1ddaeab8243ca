"""What is written on the command line is in the audit trail: every command is either tried here or writes nothing."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import typer

from node.cli.commands import app
from node.cli.frame import read_actor
from registry.audit import number_all
from registry.enterprises import Registration, add_enterprise
from tests.database import create_database, drop_database
from tests.node.command_line import run_here
from tests.registry.people import RULES, make_uscc, order

DATA = Path(__file__).parents[2] / "data"
READING = {
    "account list", "alarm list", "application list", "audit list", "audit verify", "backup", "certificate file",
    "certificate list", "certificate verify", "doctor", "enterprise list", "enterprise show", "health", "history",
    "key list", "metrics", "monitor", "outbox", "outbox decisions", "outbox list", "outbox nodes", "outbox show",
    "outbox tasks", "partner list", "plan export", "plan firms", "plan list", "plan show", "prefix list",
    "prefix owners", "range list", "resolve", "sandbox list", "seal list", "seal verify", "stats", "stats recompute",
    "stats sources", "template list", "template show", "unit list",
}  # fmt: skip
ELSEWHERE = {
    "up": "starts processes, which keep the trail themselves",
    "registry": "the same", "resolver": "the same", "agent": "the same", "toplevel": "the same",
    "alarm test": "sends a message and keeps nothing",
    "toplevel behave": "the book of the rehearsal node, which is no part of the node",
    "toplevel decide": "the same", "toplevel enrol": "the same", "toplevel received": "the same",
    "toplevel score": "the same", "toplevel task": "the same",
    "migrate": "tried on an empty database below",
}  # fmt: skip
FIRM = make_uscc(7041)
P = "88.101.7041"
# In this order; {KEY} and {CERT} are what the one before printed. ! marks what is refused once it has begun.
WRITING = """
unit add --division 321302 --name 城北镇
enterprise add --name 泵厂 --uscc {FIRM} --area 城北镇 --industry C/34/344/3441 --prefix {P} --approve
enterprise import {DIR}/firms.csv
enterprise approve {OTHER}
enterprise refuse {THIRD} --reason no
template add {DIR}/template.json --prefix {P}
register {P}/A1 --template t-1 --value model=A
import {DIR}/rows.csv --prefix {P} --template t-1 --identifier-column code
update {P}/A1 --value model=B
freeze {P}/A1 --notice recall
unfreeze {P}/A1
retire {P}/A1
restore {P}/A1
range add R001 R010 --prefix {P} --template t-1 --value model=A
range change {P}/R001 --value model=B
range freeze {P}/R001 --notice recall
range unfreeze {P}/R001
range retire {P}/R001
range restore {P}/R001
prefix host {P} --address 203.0.113.9 --tcp-port 2641
partner add {P} {OTHER}
partner revoke {P} {OTHER}
account add clerk --role enterprise_user --enterprise {P} --password-file {DIR}/password
account disable clerk
account enable clerk
account reset-password clerk --password-file {DIR}/password
!account second-factor clerk --remove
account invite --role partner --organisation {OTHER}
key add --enterprise {P} --note printer
key revoke {KEY}
sandbox open --enterprise {P}
sandbox reset --enterprise {P}
application add {P} 追溯 --kind app
application change 1 --intro text
application report
application retire 1
certificate issue {P} --out {DIR}/c.pdf
certificate revoke {CERT} --reason wrong
plan load {DIR}/plan.csv --name 五年
plan enter 五年 --area 城北镇 --indicator benchmark_sites --value 2
export --enterprise {P} --to {DIR}
close
toplevel key
!report
outbox retry 1
!toplevel rotate
!alarm acknowledge restored
!demo
"""
FILES = {
    "template.json": json.dumps({"version": "t-1", "name": {"zh": "泵"}, "items": [
        {"type": "model", "name": {"zh": "型号"}, "required": True}]}, ensure_ascii=False),
    "rows.csv": "code,model\nB1,A\n", "password": "correct-horse-battery\n",
    "plan.csv": "area,indicator,comparison,unit,period_start,deadline,target\n"
                "城北镇,benchmark_sites,>=,sites,2022-01-01,2099-12-31,3\n",
}  # fmt: skip


def list_commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command of `idnode`, by its words."""
    inner = getattr(command, "commands", {})
    if not inner or (words and command.invoke_without_command):
        yield " ".join(words)
    for name, one in inner.items():
        yield from list_commands(one, (*words, name))


def find_command(line: str, known: set[str]) -> str:
    words = line.lstrip("!").split()
    return max((" ".join(words[:n]) for n in (1, 2) if " ".join(words[:n]) in known), key=len)


def test_every_command_is_tried_or_writes_nothing() -> None:
    known = set(list_commands(typer.main.get_command(app)))
    tried = {find_command(line, known) for line in WRITING.split("\n") if line}
    assert known - tried == READING | set(ELSEWHERE)
    assert tried & READING == set()


async def read_trail(dsn: str) -> list[tuple[str, str, str]]:
    conn = await asyncpg.connect(dsn)
    try:
        await number_all(conn)
        rows = await conn.fetch("SELECT actor, subject, outcome FROM audit WHERE action = 'idnode' ORDER BY position")
        return [tuple(row) for row in rows]
    finally:
        await conn.close()


async def test_what_commands_write_is_in_the_audit_trail(database_url: str, tmp_path: Path) -> None:
    settings = {
        "IDNODE_DATABASE_URL": database_url, "IDNODE_DATA_DIR": str(tmp_path / "node"), "IDNODE_LANGUAGE": "en",
        "IDNODE_TOPLEVEL_URL": "http://127.0.0.1:9/tln/v1",
    }  # fmt: skip
    await add_applications(database_url)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    firms = (DATA / "enterprises-sucheng.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "firms.csv").write_text("".join(firms[:3]), encoding="utf-8")
    known = {"FIRM": FIRM, "OTHER": make_uscc(7042), "THIRD": make_uscc(7043), "P": P, "DIR": str(tmp_path)}
    for line in filter(None, WRITING.split("\n")):
        refused, words = line.startswith("!"), line.lstrip("!").format(**known).split()
        before = await read_trail(database_url)
        done = run_here(words, settings, tmp_path)
        assert refused or done.returncode == 0, (line, done.stdout, done.stderr)
        (entry,) = (await read_trail(database_url))[len(before) :] or [("", "", "")]
        if line not in NOTHING_WRITTEN:
            assert entry[:2] == (read_actor(), " ".join(words)), (line, entry, done.stderr)
            assert entry[2] in ("ok", "begun")
        known |= find_words(done.stdout)


async def add_applications(dsn: str) -> None:
    """Two that somebody else has entered: nobody decides on what is his own."""
    conn = await asyncpg.connect(dsn)
    try:
        for number in (7042, 7043):
            firm = Registration(f"Firm {number}", make_uscc(number), "321302", "C/34/344/3441", f"88.101.{number}")
            await add_enterprise(conn, RULES, order(), firm, approve=False)
    finally:
        await conn.close()


# Refused before anything could be written.
NOTHING_WRITTEN = ("!account second-factor clerk --remove", "!alarm acknowledge restored")


def find_words(text: str) -> dict[str, str]:
    patterns = {"KEY": r"ak_[0-9a-f]+", "CERT": r"JR\d{4}-?[0-9A-Z]{4}[0-9A-Z-]*"}
    return {name: found[0] for name, pattern in patterns.items() if (found := re.search(pattern, text))}


async def test_a_migration_is_in_the_trail_that_it_may_have_made(server_dsn: str, tmp_path: Path) -> None:
    dsn = await create_database(server_dsn, "template1")
    try:
        done = run_here(["migrate"], {"IDNODE_DATABASE_URL": dsn, "IDNODE_DATA_DIR": str(tmp_path)}, tmp_path)
        assert done.returncode == 0, done.stderr
        assert await read_trail(dsn) == [(read_actor(), "migrate", "ok")]
    finally:
        await drop_database(server_dsn, dsn)
