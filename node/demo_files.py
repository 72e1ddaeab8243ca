"""The files of the demonstration, and whether a node may take them in. Light: the supervisor asks before it starts."""

from dataclasses import dataclass
from pathlib import Path

from asyncpg import Connection

import node
from node.migrations import connect
from schemas.errors import Conflict, SetupError

DEMO_FACT = "demo"  # node_facts: `loading`, then `loaded`
SOURCE_DATA = Path(node.__file__).parent.parent / "data"


@dataclass(frozen=True, slots=True)
class DemoImport:
    """One file of identifiers: how it is registered, and how many identifiers must come of it."""

    prefix: str
    template: Path
    file: Path
    identifiers: int
    identifier_column: str | None = None
    identifier: str | None = None


@dataclass(frozen=True, slots=True)
class DemoFiles:
    enterprises: Path
    targets: Path
    imports: tuple[DemoImport, ...]


def find_demo_files(demo_dir: Path | None) -> DemoFiles:
    """Raises SetupError for the first file that is not there."""
    place = demo_dir or SOURCE_DATA
    files = DemoFiles(
        place / "enterprises-sucheng.csv",
        place / "targets-sucheng-2024.csv",
        (
            DemoImport(
                "88.101.5", place / "products-pump-works.template.json", place / "products-pump-works.csv", 20_000,
                identifier_column="产品编码",
            ),
            DemoImport(
                "88.101.10", place / "batches-tofu-works.template.json", place / "batches-tofu-works.xlsx", 2_940,
                identifier="{产品代码}-{生产日期:yyyyMMdd}-{批号}",
            ),
        ),
    )  # fmt: skip
    for path in (files.enterprises, files.targets, *(p for part in files.imports for p in (part.template, part.file))):
        if not path.is_file():
            raise SetupError("demo_data_missing", path=str(path))
    return files


async def check_demo_allowed(dsn: str) -> None:
    """Raises Conflict if the node holds real enterprises."""
    connection = await connect(dsn)
    try:
        await read_demo_state(connection)
    finally:
        await connection.close()


async def read_demo_state(conn: Connection) -> str | None:
    """`loading`, `loaded`, or None for an empty node; raises Conflict if the node holds real enterprises."""
    state: str | None = await conn.fetchval("SELECT value FROM node_facts WHERE name = $1", DEMO_FACT)
    if state is None:
        count = await conn.fetchval("SELECT count(*) FROM enterprises")
        if count:
            raise Conflict("demo_refused", count=count)
    return state
