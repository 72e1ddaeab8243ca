"""Every code in the source has its texts, every text is used, and both languages say the same."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

from schemas import errors
from schemas.texts import LANGUAGES, TEXTS, agree, choose_language, format_message, format_remedy

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "registry", "resolver", "node")
TEXT_FOLDER = ROOT / "schemas" / "texts"
_CODE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+", re.ASCII)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@cache
def parse_sources() -> dict[Path, ast.Module]:
    files = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in files if TEXT_FOLDER not in path.parents}


@cache
def list_error_names() -> frozenset[str]:
    """ServiceError and every class of the source that descends from it."""
    names = {name for name, found in vars(errors).items() if isinstance(found, type) and name[0].isupper()}
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in parse_sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    while grown := {name for name, of in bases.items() if of & names} - names:
        names |= grown
    return frozenset(names)


def list_codes_of_calls() -> Iterator[tuple[str, str]]:
    """(code, where it is raised) for each call that builds an error with a code written out."""
    for path, tree in parse_sources().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in list_error_names():
                for code in _list_strings(node.args[0]):
                    if _CODE.fullmatch(code):
                        yield code, f"{path.relative_to(ROOT)}:{node.lineno}"


def _list_strings(node: ast.expr) -> Iterator[str]:
    """A literal, or both ends of `a if c else b`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _list_strings(node.body)
        yield from _list_strings(node.orelse)


@cache
def list_all_strings() -> frozenset[str]:
    """Every text constant of the source, and of page templates every word: a code may reach its error by a table."""
    strings = {
        node.value
        for tree in parse_sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for package in PACKAGES:
        for page in (ROOT / package).rglob("*.html"):
            strings |= set(_CODE.findall(page.read_text(encoding="utf-8")))
    return frozenset(strings)


def test_every_code_that_is_raised_has_its_texts() -> None:
    missing = sorted({f"{code} ({where})" for code, where in list_codes_of_calls() if code not in TEXTS})
    assert missing == []


@cache
def list_heads() -> tuple[str, ...]:
    """What codes that are put together begin with, such as `status_` in f"status_{number}"."""
    return tuple(
        str(node.values[0].value)
        for tree in parse_sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        and isinstance(node.values[0], ast.Constant)
        and re.fullmatch(r"[a-z]{3,}_", str(node.values[0].value))
    )


def test_every_text_is_used() -> None:
    unused = TEXTS.keys() - list_all_strings()
    assert sorted(code for code in unused if not code.startswith(list_heads())) == []


def test_the_source_is_really_read() -> None:
    found = {code for code, _ in list_codes_of_calls()}
    assert {"prefix_taken", "identifier_taken", "key_wrong", "uscc_check"} <= found
    assert {"FileRefused", "MalformedMessage", "Conflict"} <= list_error_names()


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_a_text_says_in_both_languages_what_is_wrong_and_what_to_do(code: str) -> None:
    text = TEXTS[code]
    for part in text:
        assert part.strip() == part != ""
    assert _CHINESE.search(text.zh)
    assert _CHINESE.search(text.remedy_zh)
    assert _list_places(text.zh) == _list_places(text.en)
    assert _list_places(text.remedy_zh) == _list_places(text.remedy_en)
    for part in (text.en, text.remedy_en):  # examples may be Chinese
        assert len(_CHINESE.findall(part)) * 3 < len(part)


def _list_places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_detail_that_is_not_given_never_stops_a_message(language: str) -> None:
    for code in TEXTS:
        assert format_message(code, language)
        assert format_remedy(code, language)


def test_braces_in_foreign_text_are_not_filled_again() -> None:
    assert "{prefix}" in format_message("identifier_malformed", "en", text="{prefix}", prefix="x")


def test_what_there_is_one_of_is_said_in_the_singular() -> None:
    text = "{count} labels on {sheets} sheets, {n} entries"
    assert agree(text, {"count": "1", "sheets": 1, "n": 1}).format(count=1, sheets=1, n=1) == (
        "1 label on 1 sheet, 1 entry"
    )
    assert agree(text, {"count": "11", "sheets": 0, "n": "1,001"}) == text
    assert agree("{user_name} signs in", {"user_name": "1"}) == "{user_name} signs in", "a name is no number"


ACCEPTED = [
    ("", "zh", "nothing asked for"),
    ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "a Chinese browser"),
    ("en-US,en;q=0.9", "en", "an English one"),
    ("de,en;q=0.5", "en", "the second choice"),
    ("en;q=0.2, zh;q=0.9", "zh", "the better quality wins, not the first"),
    ("en;q=x", "zh", "what cannot be read is left out"),
    ("de", "zh", "a language we have not"),
    ("en;q=0", "zh", "a language that is not wanted"),
    ("*", "zh", "any"),
]


@pytest.mark.parametrize(("header", "language", "reason"), ACCEPTED, ids=[a[2] for a in ACCEPTED])
def test_the_reader_chooses_the_language(header: str, language: str, reason: str) -> None:
    assert choose_language(header) == language, reason
