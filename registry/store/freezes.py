"""SQL of who did something to a record or a range last, and whether he writes for the node."""

from collections.abc import Sequence
from typing import NamedTuple

from asyncpg import Connection

from schemas.changes import ChangeKind
from schemas.ranges import Shape


class LastAct(NamedTuple):
    """Who it was, and the state and notice that his act ended."""

    actor: str
    state: int
    note: str


async def fetch_last_acts(
    conn: Connection, prefix_id: int, suffix_keys: Sequence[str], kind: ChangeKind
) -> dict[str, LastAct]:
    """By key, of those whose own history has an act of this kind."""
    rows = await conn.fetch(
        "SELECT asked.suffix_key, h.* FROM unnest($2::text[]) AS asked(suffix_key) CROSS JOIN LATERAL ("
        " SELECT actor, state, coalesce(note, '') AS note FROM record_history"
        " WHERE prefix_id = $1 AND suffix_key = asked.suffix_key AND action = $3 ORDER BY revision DESC LIMIT 1) AS h",
        prefix_id, list(suffix_keys), int(kind),
    )  # fmt: skip
    return {row["suffix_key"]: LastAct(row["actor"], row["state"], row["note"]) for row in rows}


async def fetch_acts_on_ranges(
    conn: Connection, prefix_id: int, shape: Shape, kind: ChangeKind
) -> list[tuple[int, int, LastAct]]:
    """First and last serial of each range of this shape that has an act of this kind, and the last one."""
    rows = await conn.fetch(
        "SELECT DISTINCT ON (first) first, last, actor, state, coalesce(note, '') AS note FROM range_history"
        " WHERE (prefix_id, head_key, width, checked) = ($1, $2, $3, $4) AND action = $5 ORDER BY first, revision DESC",
        prefix_id, shape.head, shape.width, shape.checked, int(kind),
    )  # fmt: skip
    return [(row["first"], row["last"], LastAct(row["actor"], row["state"], row["note"])) for row in rows]


async def fetch_node_actors(conn: Connection, actors: Sequence[str]) -> set[str]:
    """Those of access keys and accounts that belong to no enterprise and to no partner."""
    rows = await conn.fetch(
        "SELECT 'key:' || access_key AS actor FROM access_keys WHERE access_key = ANY ($1) AND enterprise_id IS NULL"
        " AND organisation = '' UNION ALL SELECT 'account:' || user_name FROM accounts WHERE user_name = ANY ($2)"
        " AND enterprise_id IS NULL AND organisation = ''",
        [actor.removeprefix("key:") for actor in actors if actor.startswith("key:")],
        [actor.removeprefix("account:") for actor in actors if actor.startswith("account:")],
    )  # fmt: skip
    return {row["actor"] for row in rows}
