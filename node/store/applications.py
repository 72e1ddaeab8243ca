# ruff: noqa: S608 - the queries are put together from a constant of this file, never from values
"""SQL of applications that use identifiers; the caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection, Record

_COLUMNS = (
    "application_id, prefix, name, kind, intro, users, developer, recursion, recursion_ip, recursion_port, actor,"
    " created, changed, retired"
)


@dataclass(frozen=True, slots=True)
class Details:
    """What is told of an application; empty texts and None: not known."""

    name: str
    kind: int
    intro: str = ""
    users: int | None = None
    developer: str = ""
    recursion: str = ""
    recursion_ip: str = ""
    recursion_port: int | None = None


@dataclass(frozen=True, slots=True)
class Application:
    """`prefix`: an enterprise's, or a secondary one of the node. `actor` wrote it last."""

    application_id: int
    prefix: str
    details: Details
    actor: str
    created: datetime
    changed: datetime
    retired: datetime | None


def _to_application(row: Record) -> Application:
    details = Details(row["name"], row["kind"], row["intro"], row["users"], row["developer"], row["recursion"],
                      row["recursion_ip"], row["recursion_port"])  # fmt: skip
    return Application(
        row["application_id"], row["prefix"], details, row["actor"], row["created"], row["changed"], row["retired"]
    )


async def fetch_applications(
    conn: Connection, prefixes: Sequence[str] | None = None, *, retired: bool = False, limit: int = 1_000
) -> list[Application]:
    """Those of some prefixes or of all, by prefix and name; `retired`: those too."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM applications WHERE ($1::text[] IS NULL OR prefix = ANY($1))"
        " AND ($2 OR retired IS NULL) ORDER BY prefix, name, application_id LIMIT $3",
        None if prefixes is None else list(prefixes),
        retired,
        limit,
    )
    return [_to_application(row) for row in rows]


async def fetch_reported(conn: Connection, node_prefix: str, of_node: bool) -> list[Application]:
    """Those that are reported for a secondary prefix: its own, or those of enterprises' prefixes in use below it."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM applications a WHERE retired IS NULL AND CASE WHEN $2 THEN prefix = $1"
        " ELSE starts_with(prefix, $1 || '.') AND EXISTS (SELECT FROM prefixes x WHERE x.prefix = a.prefix"
        " AND x.state IN (0, 1, 2) AND x.sandbox_of IS NULL) END ORDER BY application_id",
        node_prefix,
        of_node,
    )
    return [_to_application(row) for row in rows]


async def find_application(conn: Connection, application_id: int) -> Application | None:
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM applications WHERE application_id = $1", application_id)
    return None if row is None else _to_application(row)


async def find_present(conn: Connection, prefix: str, name: str) -> Application | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM applications WHERE prefix = $1 AND name = $2 AND retired IS NULL",
        prefix,
        name,
    )
    return None if row is None else _to_application(row)


async def lock_applications(conn: Connection, prefix: str) -> None:
    """Until the end of the transaction: two that register the same name wait for each other."""
    await conn.execute("SELECT pg_advisory_xact_lock(7241009, hashtext($1))", prefix)


async def count_present(conn: Connection, prefix: str) -> int:
    count: int = await conn.fetchval("SELECT count(*) FROM applications WHERE prefix = $1 AND retired IS NULL", prefix)
    return count


def _list_values(details: Details) -> list[object]:
    return [details.name, details.kind, details.intro, details.users, details.developer, details.recursion,
            details.recursion_ip, details.recursion_port]  # fmt: skip


async def insert_application(conn: Connection, prefix: str, details: Details, act: tuple[str, datetime]) -> Application:
    """(actor, time)"""
    row = await conn.fetchrow(
        "INSERT INTO applications (prefix, actor, created, changed, name, kind, intro, users, developer, recursion,"
        " recursion_ip, recursion_port) VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING "
        + _COLUMNS,
        prefix,
        *act,
        *_list_values(details),
    )
    assert row is not None  # noqa: S101 - for mypy
    return _to_application(row)


async def update_application(
    conn: Connection, application_id: int, details: Details, act: tuple[str, datetime]
) -> None:
    await conn.execute(
        "UPDATE applications SET actor = $2, changed = $3, name = $4, kind = $5, intro = $6, users = $7,"
        " developer = $8, recursion = $9, recursion_ip = $10, recursion_port = $11 WHERE application_id = $1",
        application_id,
        *act,
        *_list_values(details),
    )


async def retire_application(conn: Connection, application_id: int, act: tuple[str, datetime]) -> None:
    await conn.execute(
        "UPDATE applications SET actor = $2, changed = $3, retired = $3 WHERE application_id = $1", application_id, *act
    )
