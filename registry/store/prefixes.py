"""SQL of prefixes and their owners."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from asyncpg import Connection, Record

from registry.store.changes import Act
from schemas.changes import ChangeKind
from schemas.prefixes import Hosting, PrefixState


@dataclass(frozen=True, slots=True)
class PrefixRow:
    """A prefix with its present owner. `site` is an HS_SITE record of an enterprise that runs its own server."""

    prefix_id: int
    prefix: str
    folds_case: bool
    state: PrefixState
    hosting: Hosting
    site: bytes | None
    created: datetime
    changed: datetime
    enabled_on: date | None
    enterprise_id: int
    enterprise_name: str
    enterprise_state: int
    owned_from: date
    is_sandbox: bool = False


@dataclass(frozen=True, slots=True)
class NewPrefix:
    """A prefix that is to be allotted; `day`: owned from, and enabled on if `state` is ENABLED."""

    prefix: str
    enterprise_id: int
    state: PrefixState
    day: date


@dataclass(frozen=True, slots=True)
class Ownership:
    """`to_day` is exclusive, None for the present."""

    enterprise_id: int
    enterprise_name: str
    from_day: date
    to_day: date | None


_SELECT = (
    "SELECT p.prefix_id, p.prefix, p.folds_case, p.state, p.hosting, p.site, p.created, p.changed, p.enabled_on,"
    " e.enterprise_id, e.name AS enterprise_name, e.state AS enterprise_state,"
    " coalesce(o.from_day, (p.created AT TIME ZONE 'UTC' + interval '8 hours')::date) AS owned_from,"
    " p.sandbox_of IS NOT NULL AS is_sandbox"
    " FROM prefixes p LEFT JOIN prefix_owners o ON o.prefix_id = p.prefix_id AND o.to_day IS NULL"
    " JOIN enterprises e ON e.enterprise_id = coalesce(p.sandbox_of, o.enterprise_id)"
)


def _to_row(row: Record) -> PrefixRow:
    return PrefixRow(**{**dict(row), "state": PrefixState(row["state"]), "hosting": Hosting(row["hosting"])})


async def insert_prefixes(conn: Connection, new: Sequence[NewPrefix], at: datetime) -> dict[str, int]:
    """Prefix → number, of those that were free, with their owners."""
    rows = await conn.fetch(
        "INSERT INTO prefixes (prefix, state, hosting, created, changed, enabled_on)"
        " SELECT prefix, state, $4, $5, $5, CASE WHEN state = $6 THEN day END"
        " FROM unnest($1::text[], $2::int2[], $3::date[]) AS n(prefix, state, day)"
        " ON CONFLICT DO NOTHING RETURNING prefix, prefix_id",
        [n.prefix for n in new],
        [int(n.state) for n in new],
        [n.day for n in new],
        int(Hosting.HOSTED),
        at,
        int(PrefixState.ENABLED),
    )
    numbers = {row["prefix"]: row["prefix_id"] for row in rows}
    owned = [n for n in new if n.prefix in numbers]
    await conn.execute(
        "INSERT INTO prefix_owners (prefix_id, enterprise_id, from_day)"
        " SELECT * FROM unnest($1::int4[], $2::int4[], $3::date[])",
        [numbers[n.prefix] for n in owned],
        [n.enterprise_id for n in owned],
        [n.day for n in owned],
    )
    return numbers


async def append_prefix_changes(conn: Connection, prefix_ids: Sequence[int], act: Act) -> None:
    """One entry of the change log for each prefix."""
    await conn.execute(
        "INSERT INTO changes_pending (kind, prefix_id, at, actor, reason)"
        " SELECT $1, prefix_id, $3, $4, $5 FROM unnest($2::int4[]) AS n(prefix_id)",
        int(ChangeKind.PREFIX),
        list(prefix_ids),
        act.at,
        act.actor,
        act.reason,
    )


async def find_prefix(conn: Connection, prefix: str, *, for_update: bool = False) -> PrefixRow | None:
    lock = " FOR UPDATE OF p" if for_update else ""
    row = await conn.fetchrow(f"{_SELECT} WHERE p.prefix = $1{lock}", prefix)
    return _to_row(row) if row else None


async def fetch_prefixes(
    conn: Connection, enterprise_id: int | None = None, after: int = 0, limit: int = 1_000
) -> list[PrefixRow]:
    """In order of their numbers, after the one given; sandboxes are not among them."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE p.prefix_id > $2 AND p.sandbox_of IS NULL AND ($1::int4 IS NULL OR o.enterprise_id = $1)"
        " ORDER BY p.prefix_id LIMIT $3",
        enterprise_id,
        after,
        limit,
    )
    return [_to_row(row) for row in rows]


async def fetch_waiting_prefixes(conn: Connection, limit: int) -> list[PrefixRow]:
    """Those that nobody has decided on, oldest first."""
    states = [int(PrefixState.PENDING), int(PrefixState.REVIEWING)]
    rows = await conn.fetch(f"{_SELECT} WHERE p.state = ANY($1) ORDER BY p.prefix_id LIMIT $2", states, limit)
    return [_to_row(row) for row in rows]


async def fetch_owners_of(conn: Connection, prefixes: Sequence[str]) -> dict[str, int]:
    """Prefix → present owner, of those that exist."""
    rows = await conn.fetch(
        "SELECT p.prefix, o.enterprise_id FROM prefixes p JOIN prefix_owners o USING (prefix_id)"
        " WHERE p.prefix = ANY($1::text[]) AND o.to_day IS NULL",
        list(prefixes),
    )
    return {row["prefix"]: row["enterprise_id"] for row in rows}


async def update_prefix_state(conn: Connection, prefix_id: int, state: PrefixState, day: date, at: datetime) -> None:
    """Set the state; the day of the first enabling is kept for ever."""
    await conn.execute(
        "UPDATE prefixes SET state = $2::int2, changed = $3,"
        " enabled_on = CASE WHEN $2::int2 = $5 THEN coalesce(enabled_on, $4::date) ELSE enabled_on END"
        " WHERE prefix_id = $1",
        prefix_id,
        int(state),
        at,
        day,
        int(PrefixState.ENABLED),
    )


async def update_hosting(conn: Connection, prefix_id: int, hosting: Hosting, site: bytes | None, at: datetime) -> None:
    await conn.execute(
        "UPDATE prefixes SET hosting = $2, site = $3, changed = $4 WHERE prefix_id = $1",
        prefix_id,
        int(hosting),
        site,
        at,
    )


async def delete_unused_prefix(conn: Connection, prefix_id: int) -> None:
    """Give back a prefix that was never enabled, so that nothing can have been issued under it."""
    await conn.execute(
        "DELETE FROM prefix_owners WHERE prefix_id = (SELECT prefix_id FROM prefixes"
        " WHERE prefix_id = $1 AND enabled_on IS NULL)",
        prefix_id,
    )
    await conn.execute("DELETE FROM prefixes WHERE prefix_id = $1 AND enabled_on IS NULL", prefix_id)


async def replace_owner(conn: Connection, prefix_id: int, enterprise_id: int, day: date) -> None:
    """End the present ownership at `day` and begin the new one; on its first day, correct it."""
    await conn.execute(
        "DELETE FROM prefix_owners WHERE prefix_id = $1 AND to_day IS NULL AND from_day = $2", prefix_id, day
    )
    await conn.execute("UPDATE prefix_owners SET to_day = $2 WHERE prefix_id = $1 AND to_day IS NULL", prefix_id, day)
    await conn.execute(
        "INSERT INTO prefix_owners (prefix_id, enterprise_id, from_day) VALUES ($1, $2, $3)",
        prefix_id,
        enterprise_id,
        day,
    )


async def fetch_ownerships(conn: Connection, prefix_id: int) -> list[Ownership]:
    """Who owned a prefix, oldest first."""
    rows = await conn.fetch(
        "SELECT o.enterprise_id, e.name AS enterprise_name, o.from_day, o.to_day"
        " FROM prefix_owners o JOIN enterprises e USING (enterprise_id) WHERE prefix_id = $1 ORDER BY from_day",
        prefix_id,
    )
    return [Ownership(**row) for row in rows]


async def find_free_number(conn: Connection, node_prefix: str) -> int:
    """The smallest n from 1 for which `<node_prefix>.n` is free."""
    free: int = await conn.fetchval(
        "WITH taken AS (SELECT prefix FROM prefixes WHERE starts_with(prefix, $1 || '.'))"
        " SELECT min(n) FROM generate_series(1, (SELECT count(*) + 1 FROM taken)) AS n"
        " WHERE NOT EXISTS (SELECT FROM taken WHERE prefix = $1 || '.' || n)",
        node_prefix,
    )
    return free


async def fetch_owner_names(conn: Connection, prefixes: Sequence[str]) -> list[tuple[str, str]]:
    """Prefix and name of its present owner."""
    rows = await conn.fetch(
        "SELECT p.prefix, e.name FROM prefixes p JOIN prefix_owners o USING (prefix_id) JOIN enterprises e"
        " USING (enterprise_id) WHERE p.prefix = ANY($1) AND o.to_day IS NULL ORDER BY p.prefix_id",
        list(prefixes),
    )
    return [(row["prefix"], row["name"]) for row in rows]
