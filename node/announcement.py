"""What `idnode up` prints when everything answers: what runs, where, and what to try next, made to be pasted."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from asyncpg import Connection

from node.listening import Place
from node.migrations import connect, describe
from node.readiness import find_reachable, format_url
from node.settings import NodeSettings, SharedSettings, format_host
from node.table import format_table
from node.wording import say
from schemas.texts.supervisor import LABELS
from schemas.texts.toplevel import LABELS as TOPLEVEL_LABELS

# One live identifier: of a large table, whatever comes first. Those that need no quoting are shown first.
EXAMPLE = (
    "SELECT p.prefix || '/' || coalesce(r.suffix, r.suffix_key) FROM prefixes p CROSS JOIN LATERAL"
    " (SELECT suffix, suffix_key FROM records WHERE prefix_id = p.prefix_id AND state = 0 AND template_id > 0"
    " LIMIT 1) r WHERE p.state = 1 ORDER BY r.suffix_key ~ '^[A-Za-z0-9._-]+$' DESC, p.prefix_id LIMIT 1"
)


async def announce(settings: NodeSettings, dsn: str, places: Sequence[Place]) -> str:
    """The table; `places` are those that are served here."""
    connection = await connect(dsn)
    try:
        example = await find_example(connection)
    finally:
        await connection.close()
    urls = {place.name: format_url(place) for place in places}
    language = settings.language
    sections = [say(LABELS["running"], language), format_table(list_services(settings, urls, dsn), indent=2)]
    tries = list_tries(settings, urls, example)
    if tries:
        sections += ["", say(LABELS["try_next"], language), format_table(tries, indent=2)]
    if settings.public_url is None and "http" in urls:
        sections += ["", say(LABELS["public_url_missing"], language, url=settings.scan_url)]
    return "\n".join(["", *sections, "", say(LABELS["stop_by"], language), ""])


async def find_example(connection: Connection) -> str | None:
    found: str | None = await connection.fetchval(EXAMPLE)
    return found


def list_services(settings: NodeSettings, urls: dict[str, str], dsn: str) -> list[tuple[str, str]]:
    """What runs and where."""
    language = settings.language
    rows = []
    if "registry" in urls:
        rows.append((say(LABELS["service_registry"], language), urls["registry"]))
    if "http" in urls:
        workers = settings.resolver_workers
        rows.append((say(LABELS["service_resolver"], language, workers=workers), urls["http"]))
        rows.append((say(LABELS["service_handle"], language), f"{urls['handle-tcp']}  {urls['handle-udp']}"))
    if "toplevel" in urls:
        rows.append((say(TOPLEVEL_LABELS["service_toplevel"], language), f"{urls['toplevel']}  {urls['toplevel-tcp']}"))
    if settings.database_url:
        rows.append((say(LABELS["service_database"], language), describe(dsn)))
    else:
        rows.append((say(LABELS["service_embedded"], language), str(settings.data_dir / "postgres")))
    rows.append((say(LABELS["place_data"], language), str(settings.data_dir)))
    rows.append((say(LABELS["place_logs"], language), str(settings.data_dir / "logs")))
    return rows


def list_tries(settings: NodeSettings, urls: dict[str, str], example: str | None) -> list[tuple[str, str]]:
    """Commands and pages that work as they stand."""
    language, program = settings.language, find_program()
    rows = []
    if "http" in urls and example is not None:
        http, path = urls["http"], quote(example, safe="/")
        rows.append((say(LABELS["try_curl"], language), f"curl {shlex.quote(f'{http}/api/handles/{path}')}"))
        rows.append((say(LABELS["try_resolve"], language), format_resolve(settings, program, example)))
        rows.append((say(LABELS["try_page"], language), f"{http}/{path}"))
    elif "http" in urls:
        rows.append((say(LABELS["try_first"], language), f"{program} enterprise add --help"))
    if "registry" in urls:
        rows.append((say(LABELS["try_console"], language), f"{urls['registry']}/console/"))
        rows.append((say(LABELS["try_openapi"], language), f"{urls['registry']}/docs"))
        rows.append((say(LABELS["try_doctor"], language), f"{program} doctor"))
    return rows


def format_resolve(settings: NodeSettings, program: str, identifier: str) -> str:
    """Names the server unless it is where the command looks by itself: the settings of this terminal are not those
    of the one it is pasted into."""
    command = f"{program} resolve {shlex.quote(identifier)}"
    usual = SharedSettings.model_fields
    if (settings.bind, settings.handle_port) == (usual["bind"].default, usual["handle_port"].default):
        return command
    return f"{command} --server {shlex.quote(f'{format_host(find_reachable(settings.bind))}:{settings.handle_port}')}"


def find_program() -> str:
    """What to type for `idnode` here: its name if the shell finds it, else its path."""
    called = Path(sys.argv[0])
    if called.name != "idnode":
        return f"{shlex.quote(sys.executable)} -m node.cli"
    found = shutil.which("idnode")
    if found is not None and called.exists() and os.path.samefile(found, called):
        return "idnode"
    return shlex.quote(str(called.absolute()))
