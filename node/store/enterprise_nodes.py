"""SQL of enterprises' own nodes; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from asyncpg import Connection, Record

NONCES_KEPT = timedelta(minutes=10)


async def take_nonce(conn: Connection, access_key: str, nonce: str, now: datetime) -> bool:
    """Remember a nonce; False if it was seen within ten minutes. What other keys left goes once a day (`forget`)."""
    await conn.execute(
        "DELETE FROM enterprise_node_nonces WHERE access_key = $1 AND at < $2", access_key, now - NONCES_KEPT
    )
    done: str = await conn.execute(
        "INSERT INTO enterprise_node_nonces VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", access_key, nonce, now
    )
    return done.endswith(" 1")


async def attach(conn: Connection, prefix_id: int, software: str, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO enterprise_nodes (prefix_id, software, attached, seen) VALUES ($1, $2, $3, $3)"
        " ON CONFLICT (prefix_id) DO UPDATE SET software = $2, seen = $3",
        prefix_id,
        software,
        now,
    )


async def note_seen(conn: Connection, prefix_id: int, now: datetime) -> bool:
    """False if no node is attached there."""
    done: str = await conn.execute("UPDATE enterprise_nodes SET seen = $2 WHERE prefix_id = $1", prefix_id, now)
    return done.endswith(" 1")


async def propose_route(conn: Connection, prefix_id: int, route: str, now: datetime) -> bool:
    """A route of JSON text, to be probed; one that is active already stays so. False if no node is attached there."""
    done: str = await conn.execute(
        "UPDATE enterprise_nodes SET seen = $3, route = $2::text::jsonb, route_state = CASE WHEN route_state = 'active'"
        " AND route = $2::text::jsonb THEN 'active' ELSE 'proposed' END WHERE prefix_id = $1",
        prefix_id,
        route,
        now,
    )
    return done.endswith(" 1")


async def fetch_proposed(conn: Connection, now: datetime, pause: timedelta, limit: int = 20) -> list[Record]:
    """Routes to be probed, of prefixes of which none was so shortly ago; those that waited longest first."""
    return await conn.fetch(
        "SELECT n.prefix_id, x.prefix, x.hosting, n.route::text AS route FROM enterprise_nodes n"
        " JOIN prefixes x USING (prefix_id) WHERE (n.route_state = 'proposed' OR (n.route_state = 'waiting'"
        " AND x.hosting = 1)) AND n.route IS NOT NULL AND (n.probed IS NULL OR n.probed NOT BETWEEN $2 AND $1"
        " OR n.route_state = 'waiting' OR x.hosting <> 1) ORDER BY n.probed NULLS FIRST, n.prefix_id LIMIT $3",
        now,
        now - pause,
        limit,
    )


async def store_probe(conn: Connection, prefix_id: int, route: str, verdict: tuple[str, str], now: datetime) -> None:
    """(state, trouble) of a route; nothing if another one was proposed meanwhile."""
    await conn.execute(
        "UPDATE enterprise_nodes SET route_state = $3, trouble = $4, probed = $5 WHERE prefix_id = $1"
        " AND route = $2::text::jsonb",
        prefix_id,
        route,
        *verdict,
        now,
    )


async def store_day(
    conn: Connection, prefix_id: int, day: date, figures: tuple[int, int, int, int, int, str], now: datetime
) -> bool:
    """(revision, new, total, resolutions, successful, JSON text of [[address, count], …]); False if a later revision is
    there, or the same one already."""
    done: str = await conn.execute(
        "INSERT INTO enterprise_node_days AS d (prefix_id, day, revision, registered_new, registered_total,"
        " resolutions, resolutions_ok, sources, received) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9)"
        " ON CONFLICT (prefix_id, day) DO UPDATE SET revision = $3, registered_new = $4, registered_total = $5,"
        " resolutions = $6, resolutions_ok = $7, sources = excluded.sources, received = $9 WHERE d.revision < $3",
        prefix_id,
        day,
        *figures,
        now,
    )
    return done.endswith(" 1")


async def has_other_day(
    conn: Connection, prefix_id: int, day: date, figures: tuple[int, int, int, int, int, str]
) -> bool:
    """Whether something else is there under the same revision."""
    other: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM enterprise_node_days WHERE prefix_id = $1 AND day = $2 AND revision = $3 AND"
        " (registered_new, registered_total, resolutions, resolutions_ok, sources)"
        " IS DISTINCT FROM ($4::int8, $5::int8, $6::int8, $7::int8, $8::text::jsonb))",
        prefix_id,
        day,
        *figures,
    )
    return other


async def fetch_days(conn: Connection, prefix_ids: Sequence[int], day: date) -> dict[int, Record]:
    rows = await conn.fetch(
        "SELECT prefix_id, registered_new, registered_total, resolutions, resolutions_ok, sources::text AS sources"
        " FROM enterprise_node_days WHERE prefix_id = ANY($1) AND day = $2",
        list(prefix_ids),
        day,
    )
    return {row["prefix_id"]: row for row in rows}


async def store_monitor(conn: Connection, prefix_id: int, day: date, document: tuple[int, str], now: datetime) -> bool:
    """(revision, JSON text); False if a later revision is there, or the same one already."""
    done: str = await conn.execute(
        "INSERT INTO enterprise_node_monitors AS m (prefix_id, day, revision, document, received)"
        " VALUES ($1, $2, $3, $4::text::jsonb, $5) ON CONFLICT (prefix_id, day) DO UPDATE SET"
        " revision = excluded.revision, document = excluded.document, received = excluded.received"
        " WHERE m.revision < excluded.revision",
        prefix_id,
        day,
        *document,
        now,
    )
    return done.endswith(" 1")


async def is_same_monitor(conn: Connection, prefix_id: int, day: date, document: tuple[int, str]) -> bool:
    """Whether what is there of that revision, if anything, says the same."""
    same: bool | None = await conn.fetchval(
        "SELECT revision <> $3 OR document = $4::text::jsonb FROM enterprise_node_monitors"
        " WHERE prefix_id = $1 AND day = $2",
        prefix_id,
        day,
        *document,
    )
    return same is not False


async def is_of_another(conn: Connection, prefix_id: int, enterprise_id: int | None, day: date) -> bool:
    """Whether a prefix belonged to another enterprise on a day."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM prefix_owners WHERE prefix_id = $1 AND enterprise_id IS DISTINCT FROM $2"
        " AND from_day <= $3 AND $3 < to_day)",
        prefix_id,
        enterprise_id,
        day,
    )
    return found


# Templates and events -------------------------------------------------------------------------------------------


async def lock_metadata(conn: Connection, prefix_id: int) -> tuple[int, bytes] | None:
    """(revision, content) of the list of templates; None before the first. No other list is taken meanwhile."""
    row = await conn.fetchrow(
        "SELECT metadata_revision, metadata_sha256 FROM enterprise_nodes WHERE prefix_id = $1 FOR UPDATE", prefix_id
    )
    return None if row is None or row[0] is None else (row[0], row[1])


async def store_metadata(
    conn: Connection, prefix_id: int, version: tuple[int, bytes], documents: Mapping[str, str], now: datetime
) -> None:
    """All templates there are, JSON text by handle; `version`: revision and content."""
    await conn.execute(
        "UPDATE enterprise_nodes SET metadata_revision = $2, metadata_sha256 = $3, metadata_at = $4"
        " WHERE prefix_id = $1",
        prefix_id,
        *version,
        now,
    )
    await conn.execute(
        "DELETE FROM enterprise_node_templates WHERE prefix_id = $1 AND handle <> ALL($2)", prefix_id, list(documents)
    )
    told = prefix_id, list(documents), list(documents.values())
    await conn.execute(
        "UPDATE enterprise_node_templates t SET document = s.document::jsonb FROM unnest($2::text[], $3::text[])"
        " AS s(handle, document) WHERE prefix_id = $1 AND t.handle = s.handle",
        *told,
    )
    await conn.execute(  # not ON CONFLICT, which draws a number for every row that is there
        "INSERT INTO enterprise_node_templates (prefix_id, handle, document) SELECT $1, s.handle, s.document::jsonb"
        " FROM unnest($2::text[], $3::text[]) AS s(handle, document) WHERE NOT EXISTS (SELECT FROM"
        " enterprise_node_templates t WHERE t.prefix_id = $1 AND t.handle = s.handle) ORDER BY s.handle",
        *told,
    )


async def store_event(conn: Connection, prefix_id: int, event: tuple[str, datetime, str], now: datetime) -> bool:
    """(id, when, JSON text); False if there is one of that id."""
    done: str = await conn.execute(
        "INSERT INTO enterprise_node_events (prefix_id, event_id, at, document, received)"
        " VALUES ($1, $2, $3, $4::text::jsonb, $5) ON CONFLICT (prefix_id, event_id) DO NOTHING",
        prefix_id,
        *event,
        now,
    )
    return done.endswith(" 1")


async def is_same_event(conn: Connection, prefix_id: int, event: tuple[str, datetime, str]) -> bool:
    """Whether the one of that id says the same."""
    same: bool = await conn.fetchval(
        "SELECT document = $3::text::jsonb FROM enterprise_node_events WHERE prefix_id = $1 AND event_id = $2",
        prefix_id,
        event[0],
        event[2],
    )
    return same


async def count_events(conn: Connection, prefix_id: int, since: datetime) -> int:
    count: int = await conn.fetchval(
        "SELECT count(*) FROM enterprise_node_events WHERE prefix_id = $1 AND received > $2", prefix_id, since
    )
    return count
