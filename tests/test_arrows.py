"""schemas ← registry, resolver ← node: who may import whom, read from the imports themselves (design 2)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"schemas", "registry", "resolver", "node", "loadtests", "tests"}
ALLOWED = {
    "schemas": {"schemas"},
    "registry": {"registry", "schemas"},
    "resolver": {"resolver", "schemas"},
    "node": {"node", "registry", "resolver", "schemas"},
}
# Pure functions and bytes: no sockets, no queries, no loops.
NOT_IN_SCHEMAS = {"asyncio", "socket", "selectors", "ssl", "subprocess", "asyncpg", "aiohttp", "fastapi"}


def find_imports(source: str) -> Iterator[str]:
    """Full dotted names of all modules a source text imports, wherever in it."""
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "relative imports hide the package from this test"
            yield statement.module or ""
        elif isinstance(statement, ast.Call) and ast.unparse(statement.func).endswith("import_module"):
            name = statement.args[0]
            yield name.value if isinstance(name, ast.Constant) else ast.unparse(name).strip("f'\"")


def find_offences(package: str, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in find_imports(path.read_text(encoding="utf-8"))
        if name.partition(".")[0] in forbidden
    ]


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    assert find_offences(package, OURS - ALLOWED[package]) == []


def test_schemas_does_no_input_or_output() -> None:
    assert find_offences("schemas", NOT_IN_SCHEMAS) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import node.settings as s", ["node.settings"]),
        ("from registry import jobs", ["registry"]),
        ("def f():\n    from resolver.cache import Cache", ["resolver.cache"]),
        ("if TYPE_CHECKING:\n    import registry.store", ["registry.store"]),
        ("importlib.import_module('node.cli')", ["node.cli"]),
        ("import_module(f'node.{x}')", ["node.{x}"]),
    ],
)
def test_no_way_of_importing_is_overlooked(source: str, names: list[str]) -> None:
    assert list(find_imports(source)) == names


def test_there_is_no_folder_for_things_without_a_name() -> None:
    vague = {"utils", "util", "common", "helpers", "core", "misc", "base"}
    named = {p.stem for package in ALLOWED for p in (ROOT / package).rglob("*")}
    assert not named & vague
