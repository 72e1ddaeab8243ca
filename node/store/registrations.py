"""Registration counters: added up from the change log, or made again from records and their history."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from asyncpg import Connection, Record

from node.store.rollups import add_rollups
from registry.store.late_days import lock_rollups, mark_late_days
from schemas.changes import ChangeKind
from schemas.days import get_day

# (prefix_id, day, template_id) → registered, range_minted, retired, restored, moved
RegistrationKey = tuple[int, date, int]
Registrations = dict[RegistrationKey, tuple[int, int, int, int, int]]

# Which of registered, range_minted, retired, restored, moved a change adds to.
COLUMN: dict[int, int] = {
    ChangeKind.CREATED: 0,
    ChangeKind.RANGE_CREATED: 1,
    ChangeKind.RETIRED: 2,
    ChangeKind.RESTORED: 3,
}
MOVED = 4


@dataclass(frozen=True, slots=True)
class LogPosition:
    log_id: UUID
    position: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What counting needs of an entry of the change log; `at` is the time of the records."""

    kind: int
    prefix_id: int
    template_id: int
    old_template_id: int | None
    members: int
    at: datetime


def sum_entries(entries: Iterable[Entry]) -> Registrations:
    """What the entries add to the counters; the order does not matter."""
    sums: dict[RegistrationKey, list[int]] = {}

    def add(template_id: int, column: int, members: int) -> None:
        sums.setdefault((entry.prefix_id, get_day(entry.at), template_id), [0] * 5)[column] += members

    for entry in entries:
        if (column := COLUMN.get(entry.kind)) is not None:
            add(entry.template_id, column, entry.members)
        if entry.old_template_id is not None and entry.old_template_id != entry.template_id:
            add(entry.template_id, MOVED, entry.members)
            add(entry.old_template_id, MOVED, -entry.members)
    return {key: (s[0], s[1], s[2], s[3], s[4]) for key, s in sums.items() if any(s)}


def subtract(one: Registrations, other: Registrations) -> Registrations:
    """One less the other, without the keys where nothing remains."""
    nothing = (0, 0, 0, 0, 0)
    sums = {}
    for key in one.keys() | other.keys():
        a, b = one.get(key, nothing), other.get(key, nothing)
        rest = (a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3], a[4] - b[4])
        if any(rest):
            sums[key] = rest
    return sums


async def fetch_log_end(conn: Connection) -> LogPosition:
    (row,) = await conn.fetch("SELECT log_id, position FROM change_log")
    return LogPosition(row["log_id"], row["position"])


async def find_counted(conn: Connection) -> LogPosition | None:
    """How far the change log is counted; None if it never was."""
    row = await conn.fetchrow("SELECT log_id, position FROM counted_changes")
    return None if row is None else LogPosition(row["log_id"], row["position"])


async def save_counted(conn: Connection, counted: LogPosition) -> None:
    await conn.execute(
        "INSERT INTO counted_changes (log_id, position) VALUES ($1, $2)"
        " ON CONFLICT (only_row) DO UPDATE SET log_id = $1, position = $2",
        counted.log_id,
        counted.position,
    )


# What happens under a sandbox counts as nothing; the entry still takes its place in the log.
_MEMBERS = (
    "CASE WHEN EXISTS (SELECT FROM prefixes p WHERE p.prefix_id = c.prefix_id AND p.sandbox_of IS NOT NULL)"
    " THEN 0 ELSE members END AS members"
)


async def fetch_entries(conn: Connection, after: int, limit: int) -> list[tuple[int, Entry]]:
    """Position and entry, in order."""
    rows = await conn.fetch(
        f"SELECT position, kind, prefix_id, template_id, old_template_id, {_MEMBERS}, at FROM changes AS c"  # noqa: S608
        " WHERE position > $1 ORDER BY position LIMIT $2",
        after,
        limit,
    )
    return [(row["position"], _read_entry(row)) for row in rows]


async def fetch_pending(conn: Connection) -> list[Entry]:
    """What has committed and has no position yet."""
    rows = await conn.fetch(
        f"SELECT kind, prefix_id, template_id, old_template_id, {_MEMBERS}, at FROM changes_pending AS c"  # noqa: S608
    )
    return [_read_entry(row) for row in rows]


def _read_entry(row: Record) -> Entry:
    return Entry(row["kind"], row["prefix_id"], row["template_id"], row["old_template_id"], row["members"], row["at"])


async def add_registrations(conn: Connection, sums: Registrations) -> None:
    """Add to the counters and to the rollups."""
    await lock_rollups(conn)
    await conn.executemany(
        "INSERT INTO registration_counts AS c (prefix_id, day, template_id, registered, range_minted, retired,"
        " restored, moved) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (prefix_id, day, template_id)"
        " DO UPDATE SET registered = c.registered + $4, range_minted = c.range_minted + $5,"
        " retired = c.retired + $6, restored = c.restored + $7, moved = c.moved + $8",
        [(*key, *counts) for key, counts in sorted(sums.items())],
    )
    added = {
        key: (rows + minted, minted, retired - restored, moved, 0, 0, 0)
        for key, (rows, minted, retired, restored, moved) in sums.items()
    }
    await add_rollups(conn, added)
    await mark_late_days(conn, "registrations", {key[1] for key in sums})


async def replace_registrations(conn: Connection, sums: Registrations) -> None:
    """Make the counters what is given; the rollups are made again afterwards."""
    await conn.execute("DELETE FROM registration_counts")
    await conn.copy_records_to_table(
        "registration_counts",
        columns=("prefix_id", "day", "template_id", "registered", "range_minted", "retired", "restored", "moved"),
        records=[(*key, *counts) for key, counts in sums.items()],
    )


async def fetch_registrations(conn: Connection, day: date) -> Registrations:
    """The counters of one day."""
    rows = await conn.fetch(
        "SELECT prefix_id, day, template_id, registered, range_minted, retired, restored, moved"
        " FROM registration_counts WHERE day = $1",
        day,
    )
    return {(r[0], r[1], r[2]): (r[3], r[4], r[5], r[6], r[7]) for r in rows if any(list(r)[3:])}


# A template moved between two revisions: the one that ended, and the one after it, former or present.
_EVENTS = """
SELECT prefix_id, (at AT TIME ZONE 'UTC' + interval '8 hours')::date AS day, template_id,
       sum(registered)::int8 AS registered, sum(range_minted)::int8 AS range_minted, sum(retired)::int8 AS retired,
       sum(restored)::int8 AS restored, sum(moved)::int8 AS moved
FROM (
    SELECT r.prefix_id, r.created AS at, coalesce(h.template_id, r.template_id) AS template_id,
           count(*) AS registered, 0 AS range_minted, 0 AS retired, 0 AS restored, 0 AS moved
    FROM records r LEFT JOIN record_history h
      ON h.prefix_id = r.prefix_id AND h.suffix_key = r.suffix_key AND h.revision = 1
    WHERE NOT r.from_range AND r.created >= $1 AND r.created < $2
      AND NOT EXISTS (SELECT FROM templates t WHERE t.prefix_id = r.prefix_id AND t.suffix_key = r.suffix_key)
    GROUP BY 1, 2, 3
  UNION ALL
    SELECT prefix_id, created, coalesce((SELECT h.template_id FROM range_history h
           WHERE (h.prefix_id, h.head_key, h.width, h.checked, h.first, h.revision)
               = (ranges.prefix_id, ranges.head_key, ranges.width, ranges.checked, ranges.first, 1)), template_id),
           0, last - first + 1, 0, 0, 0
    FROM ranges WHERE created >= $1 AND created < $2
  UNION ALL
    SELECT h.prefix_id, h.until, n.template_id, 0, 0, (h.action = 3)::int, (h.action = 4)::int, 0
    FROM record_history h CROSS JOIN LATERAL (
        SELECT template_id FROM record_history l
        WHERE (l.prefix_id, l.suffix_key, l.revision) = (h.prefix_id, h.suffix_key, h.revision + 1)
      UNION ALL
        SELECT template_id FROM records l
        WHERE (l.prefix_id, l.suffix_key, l.revision) = (h.prefix_id, h.suffix_key, h.revision + 1)) AS n
    WHERE h.until >= $1 AND h.until < $2 AND h.action IN (3, 4)
  UNION ALL
    SELECT h.prefix_id, h.until, side.template_id, 0, 0, 0, 0, side.moved
    FROM record_history h CROSS JOIN LATERAL (
        SELECT template_id FROM record_history l
        WHERE (l.prefix_id, l.suffix_key, l.revision) = (h.prefix_id, h.suffix_key, h.revision + 1)
      UNION ALL
        SELECT template_id FROM records l
        WHERE (l.prefix_id, l.suffix_key, l.revision) = (h.prefix_id, h.suffix_key, h.revision + 1)) AS n
    CROSS JOIN LATERAL (VALUES (n.template_id, 1), (h.template_id, -1)) AS side(template_id, moved)
    WHERE h.until >= $1 AND h.until < $2 AND n.template_id <> h.template_id
  UNION ALL
    SELECT h.prefix_id, h.until, side.template_id, 0, 0, side.retired, side.restored, side.moved
    FROM range_history h CROSS JOIN LATERAL (
        SELECT template_id FROM range_history l
        WHERE (l.prefix_id, l.head_key, l.width, l.checked, l.first, l.revision)
            = (h.prefix_id, h.head_key, h.width, h.checked, h.first, h.revision + 1)
      UNION ALL
        SELECT template_id FROM ranges l
        WHERE (l.prefix_id, l.head_key, l.width, l.checked, l.first, l.revision)
            = (h.prefix_id, h.head_key, h.width, h.checked, h.first, h.revision + 1)) AS n
    CROSS JOIN LATERAL (VALUES
        (n.template_id, (h.action = 3)::int * h.members, (h.action = 4)::int * h.members,
         (n.template_id <> h.template_id)::int * h.members),
        (h.template_id, 0, 0, (n.template_id <> h.template_id)::int * -h.members))
        AS side(template_id, retired, restored, moved)
    WHERE h.until >= $1 AND h.until < $2
) AS events
WHERE prefix_id NOT IN (SELECT prefix_id FROM prefixes WHERE sandbox_of IS NOT NULL)
GROUP BY 1, 2, 3
"""


async def recompute_registrations(conn: Connection, since: datetime, until: datetime) -> Registrations:
    """The counters of days from records, ranges and their history alone. Reads every record of the period."""
    rows = await conn.fetch(_EVENTS, since, until)
    return {(r[0], r[1], r[2]): (r[3], r[4], r[5], r[6], r[7]) for r in rows if any(list(r)[3:])}
