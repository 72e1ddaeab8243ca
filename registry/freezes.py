"""Whose a freeze is, and that retiring and restoring does not end it.

Who keeps the node freezes after a complaint or by order: until he lifts it, the notice stays on every scan (domain
W14). An enterprise lifts its own freezes alone. The history says whose a freeze is.
"""

from collections.abc import Iterable, Sequence

from asyncpg import Connection

from registry.store.changes import Act
from registry.store.freezes import LastAct, fetch_acts_on_ranges, fetch_last_acts, fetch_node_actors
from registry.store.records import PrefixRule, StoredRecord, fetch_shapes
from schemas.changes import ChangeKind
from schemas.ranges import find_member
from schemas.records import RecordState


async def find_held(
    conn: Connection, rule: PrefixRule, records: Iterable[StoredRecord], act: Act
) -> frozenset[str]:  # fmt: skip
    """Keys of those that the node's operator froze, if the writer is not the operator himself."""
    frozen = [stored.suffix_key for stored in records if stored.state == RecordState.FROZEN]
    if not frozen:
        return frozenset()
    freezers = {key: last.actor for key, last in (await _find_last(conn, rule, frozen, ChangeKind.FROZEN)).items()}
    node = await list_node_actors(conn, {*freezers.values(), act.actor})
    return frozenset() if act.actor in node else frozenset(key for key, actor in freezers.items() if actor in node)


async def find_notices(conn: Connection, rule: PrefixRule, records: Iterable[StoredRecord]) -> dict[str, str]:
    """Of retired records those that were frozen then: key → the notice."""
    retired = [stored.suffix_key for stored in records if stored.state == RecordState.RETIRED]
    if not retired:
        return {}
    found = await _find_last(conn, rule, retired, ChangeKind.RETIRED)
    return {key: last.note for key, last in found.items() if last.state == RecordState.FROZEN}


async def list_node_actors(conn: Connection, actors: Iterable[str]) -> frozenset[str]:
    """Those that write for who keeps the node, not for an enterprise: the command line, his keys and accounts."""
    wanted = set(actors)
    local = {actor for actor in wanted if actor.startswith("cli:")}
    others = wanted - local
    return frozenset(local | (await fetch_node_actors(conn, sorted(others)) if others else set()))


async def _find_last(
    conn: Connection, rule: PrefixRule, keys: Sequence[str], kind: ChangeKind
) -> dict[str, LastAct]:  # fmt: skip
    """Who did this last to each record; where nobody did, to the range that holds it."""
    found = await fetch_last_acts(conn, rule.prefix_id, keys, kind)
    missing = [key for key in keys if key not in found]
    if not missing:
        return found
    for shape in await fetch_shapes(conn, rule.prefix_id):
        numbers = {key: number for key in missing if (number := find_member(key, shape)) is not None}
        on_ranges = await fetch_acts_on_ranges(conn, rule.prefix_id, shape, kind) if numbers else []
        for key, number in numbers.items():
            last = next((last for first, end, last in on_ranges if first <= number <= end), None)
            if last is not None:
                found[key] = last
    return found
