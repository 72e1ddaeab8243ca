"""The command `idnode`: the entry point, and how errors of every command are said."""

import errno
import os
import sys
import tempfile
import traceback

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError  # typer's own copy of click; no public name for it

from node.cli.frame import COMMAND, LANGUAGE_VARIABLE, complain, show_text, take_language
from schemas.errors import ServiceError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> None:
    """Exit status 0 on success only; 1: refused or failed; 2: the command line itself is wrong; 130: Ctrl-C."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # names of files may be no UTF-8
    status = run_command(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit status; nothing is ever answered with a stack trace."""
    arguments, language = take_language(arguments)
    if language is not None:
        os.environ[LANGUAGE_VARIABLE] = language  # children and settings see it too
    as_json = "--json" in arguments
    try:
        from node.cli.commands import app

        COMMAND.set(show_text(" ".join(arguments)))
        result = app(args=arguments, prog_name="idnode", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except ServiceError as error:
        complain(error, as_json)
        return 1
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except UsageError as error:  # an unknown option, a value that is none
        command = error.ctx.command_path if error.ctx else "idnode"
        complain(ServiceError("command_line_wrong", reason=error.format_message(), command=command), as_json)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except OSError as error:
        complain(explain_file(error), as_json)
        return 1
    except Exception as error:
        complain(ServiceError("program_failed", error=type(error).__name__, path=keep_trace()), as_json)
        return 1


def explain_file(error: OSError) -> ServiceError:
    """A file that is not there or not ours, or a full disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ServiceError("disk_full")
    return ServiceError("file_unusable", path=error.filename or "?", reason=error.strerror or str(error))


def keep_trace() -> str:
    """Write the present exception to a file for whoever repairs it; its path."""
    with tempfile.NamedTemporaryFile("w", prefix="idnode-error-", suffix=".txt", delete=False) as file:
        traceback.print_exc(file=file)
    return file.name
