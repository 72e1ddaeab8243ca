"""The table of requirements names tests, files and commands that exist, the same in both languages."""

import ast
import re
from pathlib import Path

import pytest
import typer

from node.cli.commands import app

ROOT = Path(__file__).parent.parent
PAGES = ["docs/requirements.md", "docs/requirements.zh-CN.md"]
NAMED = re.compile(r"`([a-z]+/[A-Za-z0-9_./-]+\.[a-z]+)(?:::(\w+))?`")
COMMAND = re.compile(r"`idnode ([a-z]+(?: [a-z]+)?)")
NOT_MET = re.compile(r"\*\*(?:Not met|Partly met|未满足|部分满足)\*\*")


def read_rows(page: str) -> list[list[str]]:
    """Cells of the tables about requirements, without their heads."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    rows = [line.strip("|").split(" | ") for line in lines if line.startswith("| ")]
    return [row for row in rows if len(row) == 4 and row[0].strip() not in ("clause", "条款")]


def list_tests(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("page", PAGES)
def test_every_named_file_and_test_exists(page: str) -> None:
    named = NAMED.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(named) > 50
    missing = [path for path, _ in named if not (ROOT / path).is_file()]
    assert missing == []
    assert [(path, test) for path, test in named if test and test not in list_tests(ROOT / path)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_named_command_exists(page: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for text in COMMAND.findall((ROOT / page).read_text(encoding="utf-8")):
        first, _, second = text.partition(" ")
        assert first in commands, text
        if second and hasattr(commands[first], "commands"):
            assert second in commands[first].commands, text


@pytest.mark.parametrize("page", PAGES)
def test_what_is_met_is_shown_and_what_is_not_is_said(page: str) -> None:
    for row in read_rows(page):
        assert "`tests/" in row[3] or NOT_MET.search(row[2]), row


def test_both_languages_name_the_same() -> None:
    english, chinese = (read_rows(page) for page in PAGES)
    assert len(english) == len(chinese) > 30
    for one, other in zip(english, chinese, strict=True):
        assert NAMED.findall(one[3]) == NAMED.findall(other[3])
        assert bool(NOT_MET.search(one[2])) == bool(NOT_MET.search(other[2])), one
