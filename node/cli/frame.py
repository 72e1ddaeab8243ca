"""What every command of `idnode` uses: language, `--json`, the database, tables and progress bars.

A command with `--json` prints one JSON document on stdout; an error is one JSON line on stderr, with code, message,
remedy and field.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from schemas.errors import ServiceError
from schemas.texts import LANGUAGES, format_message, format_remedy

if TYPE_CHECKING:  # slow to import; `idnode --help` needs none of them
    import asyncpg

    from node.settings import NodeSettings

LANGUAGE_VARIABLE = "IDNODE_LANGUAGE"
# The words of the command that runs, as the audit trail has them; no option of ours takes a secret as a word.
COMMAND: ContextVar[str] = ContextVar("COMMAND", default="")
AsJson = Annotated[bool, typer.Option("--json", help="一个 JSON 文档 / print one JSON document")]
Answer = TypeVar("Answer")


def take_language(arguments: list[str]) -> tuple[list[str], str | None]:
    """Find `--lang zh|en` anywhere before `--`; the arguments without it, and the language."""
    kept, language = [], None
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            kept += [argument, *rest]
        elif argument == "--lang":
            language = next(rest, "")
        elif argument.startswith("--lang="):
            language = argument.removeprefix("--lang=")
        else:
            kept.append(argument)
    if language is not None and language not in LANGUAGES:
        return ["--lang", language, *kept], None  # refused by the option's own declaration
    return kept, language


def load() -> "NodeSettings":
    """The settings; raises SetupError."""
    from node.settings import NodeSettings, load_settings

    return load_settings(NodeSettings)


def get_language() -> str:
    """The language of the settings, or of the environment when the settings are what is wrong."""
    from node.settings import find_default_language

    try:
        return load().language
    except ServiceError:
        named = os.environ.get(LANGUAGE_VARIABLE, "")
        return named if named in LANGUAGES else find_default_language()


def complain(error: ServiceError, as_json: bool = False) -> None:
    """Print an error on stderr: the sentence, and what to do on the line below."""
    language = get_language()
    details = {"field": error.field or "", **error.details}
    message, remedy = format_message(error.code, language, **details), format_remedy(error.code, language, **details)
    if as_json:
        print_json({"code": error.code, "message": message, "remedy": remedy, "field": error.field}, sys.stderr)
        return
    start = "错误：" if language == "zh" else "Error: "
    print(f"{start}{message}", file=sys.stderr)
    if remedy:
        print(f"  → {remedy}", file=sys.stderr)


def show_text(text: str) -> str:
    """A name or a command line without the bytes that are no UTF-8, as in names of files that came from elsewhere."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def print_json(value: object, file: Any = None) -> None:
    """One line; text that is not ASCII as it is, times and other objects as `str` writes them."""
    print(json.dumps(value, ensure_ascii=False, default=str), file=file or sys.stdout)


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run the coroutine of a command. Errors of the database become ours; the command ends with exit status 1."""
    import asyncpg

    from registry.store import is_passing

    try:
        return asyncio.run(work)
    except asyncpg.DataError as error:
        if type(error) is not asyncpg.DataError:  # of the server; this one is the driver's about what it was given
            raise
        raise ServiceError("argument_unusable", reason=str(error)) from error
    except asyncpg.InsufficientResourcesError as error:  # a full disk, too many connections
        raise ServiceError("database_without_room", reason=str(error)) from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise ServiceError("database_read_only") from error
    except Exception as error:
        if not is_passing(error):
            raise
        raise ServiceError("database_connection_lost", reason=str(error) or type(error).__name__) from error


@asynccontextmanager
async def open_database(settings: "NodeSettings") -> "AsyncIterator[asyncpg.Connection]":
    """A connection to the node's database, embedded or configured, of the schema we know; raises SetupError."""
    from node.migrations import check_schema, connect
    from node.postgres import get_dsn

    connection = await connect(get_dsn(settings.database_url, settings.data_dir))
    try:
        await check_schema(connection)
        yield connection
    finally:
        await connection.close()


def read_actor() -> str:
    """Who acts on the command line, as it stands in the history: `cli:<system user>`."""
    import pwd

    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


@contextmanager
def show_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr while the block runs, only on a terminal; the function given takes (done, total or None)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
