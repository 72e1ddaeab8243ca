# ruff: noqa: S608 - the queries are put together from a constant of this file, never from values
"""SQL of what is reported upwards; the caller owns the transaction. $1 is the secondary prefix where there is one."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from asyncpg import Connection, Record

from schemas.days import get_start
from schemas.resolution_log import UNCOUNTED_CLASSES

# Prefixes of enterprises below the secondary prefix; its reserved one is the node's own, and sandboxes count nowhere.
BELOW = "starts_with(x.prefix, $1 || '.') AND x.prefix <> $1 || '.000000' AND x.sandbox_of IS NULL"
COMPARED = timedelta(days=60)  # what differs is compared again for so long: bodies are kept a little longer


async def is_closed(conn: Connection, node_prefix: str, day: date) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM day_closes WHERE node_prefix = $1 AND day = $2)", node_prefix, day
    )
    return found


async def fetch_closed_since(conn: Connection, node_prefix: str, since: datetime) -> list[tuple[date, datetime]]:
    """Days that were closed or revised after an instant, and when."""
    rows = await conn.fetch(
        "SELECT day, max(closed_at) AS closed_at FROM day_closes WHERE node_prefix = $1 AND closed_at > $2"
        " GROUP BY day ORDER BY 2, 1",
        node_prefix,
        since,
    )
    return [(row["day"], row["closed_at"]) for row in rows]


async def was_there(conn: Connection, day: date) -> bool:
    """Whether any prefix was made until the end of that day: the first day that is closed is the first one's."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM prefixes WHERE sandbox_of IS NULL AND created < $1)",
        get_start(day + timedelta(days=1)),
    )
    return found


async def find_last_closed(conn: Connection, node_prefix: str) -> date | None:
    day: date | None = await conn.fetchval("SELECT max(day) FROM day_closes WHERE node_prefix = $1", node_prefix)
    return day


async def fetch_closed_firms(conn: Connection, node_prefix: str, day: date) -> list[Record]:
    """As `fetch_running_firms`, as the day was stated last."""
    return await conn.fetch(
        "SELECT DISTINCT ON (prefix_id) prefix_id, x.prefix, registered_new, range_minted, registered_total,"
        " registered_live, resolutions, resolutions_ok FROM closed_rows JOIN prefixes x USING (prefix_id)"
        f" WHERE node_prefix = $1 AND day = $2 AND {BELOW} ORDER BY prefix_id, revision DESC",
        node_prefix,
        day,
    )


async def fetch_running_firms(conn: Connection, node_prefix: str, day: date) -> list[Record]:
    """One row for each prefix that was enabled by that day or has figures, in order of prefix_id."""
    return await conn.fetch(
        "WITH registered AS (SELECT prefix_id,"
        "   coalesce(sum(registered + range_minted) FILTER (WHERE day = $2), 0)::int8 AS registered_new,"
        "   coalesce(sum(range_minted) FILTER (WHERE day = $2), 0)::int8 AS range_minted,"
        "   sum(registered + range_minted)::int8 AS registered_total,"
        "   sum(registered + range_minted - retired + restored + moved)::int8 AS registered_live"
        "   FROM registration_counts WHERE day <= $2 GROUP BY 1),"
        " answered AS (SELECT prefix_id, sum(resolutions)::int8 AS resolutions,"
        "   sum(resolutions_ok)::int8 AS resolutions_ok FROM resolution_days WHERE day = $2 GROUP BY 1)"
        " SELECT prefix_id, x.prefix, coalesce(registered_new, 0) AS registered_new,"
        " coalesce(range_minted, 0) AS range_minted, coalesce(registered_total, 0) AS registered_total,"
        " coalesce(registered_live, 0) AS registered_live, coalesce(resolutions, 0) AS resolutions,"
        " coalesce(resolutions_ok, 0) AS resolutions_ok"
        " FROM prefixes x LEFT JOIN registered USING (prefix_id) LEFT JOIN answered USING (prefix_id)"
        f" WHERE {BELOW} AND (x.enabled_on <= $2 OR registered_total > 0 OR resolutions > 0) ORDER BY prefix_id",
        node_prefix,
        day,
    )


async def fetch_sources(
    conn: Connection, prefix_ids: Sequence[int], day: date, limit: int
) -> dict[int, list[tuple[str, int]]]:
    """prefix_id → (address, answers) of the most frequent ones that are named; the rest are others."""
    rows = await conn.fetch(
        "SELECT prefix_id, host(address) AS address, answers::int8 FROM ("
        "  SELECT prefix_id, address, sum(answers) AS answers,"
        "  row_number() OVER (PARTITION BY prefix_id ORDER BY sum(answers) DESC, address) AS place"
        "  FROM resolution_clients WHERE day = $2 AND prefix_id = ANY($1) AND client_class <> ALL($3)"
        "  AND address <> '::' GROUP BY prefix_id, address) AS ranked WHERE place <= $4 ORDER BY prefix_id, place",
        list(prefix_ids),
        day,
        [int(client_class) for client_class in UNCOUNTED_CLASSES],
        limit,
    )
    found: dict[int, list[tuple[str, int]]] = {}
    for row in rows:
        found.setdefault(row["prefix_id"], []).append((row["address"], row["answers"]))
    return found


async def fetch_node_sources(conn: Connection, node_prefix: str, day: date, limit: int) -> list[tuple[str, int]]:
    """The most frequent addresses over all prefixes of a secondary prefix."""
    rows = await conn.fetch(
        "SELECT host(address) AS address, sum(answers)::int8 AS answers FROM resolution_clients"
        " JOIN prefixes x USING (prefix_id) WHERE day = $2 AND client_class <> ALL($3) AND address <> '::'"
        " AND (x.prefix = $1 OR starts_with(x.prefix, $1 || '.')) GROUP BY address ORDER BY 2 DESC, address LIMIT $4",
        node_prefix,
        day,
        [int(client_class) for client_class in UNCOUNTED_CLASSES],
        limit,
    )
    return [(row["address"], row["answers"]) for row in rows]


async def fetch_node_answers(conn: Connection, node_prefix: str, day: date, closed: bool) -> tuple[int, int]:
    """Resolutions and those that succeeded, of the secondary prefix and all below it."""
    running = (
        "SELECT coalesce(sum(resolutions), 0)::int8, coalesce(sum(resolutions_ok), 0)::int8 FROM resolution_days"
        " JOIN prefixes x USING (prefix_id) WHERE day = $2 AND (x.prefix = $1 OR starts_with(x.prefix, $1 || '.'))"
    )
    stated = (
        "SELECT coalesce(sum(resolutions), 0)::int8, coalesce(sum(resolutions_ok), 0)::int8 FROM ("
        "SELECT DISTINCT ON (prefix_id) resolutions, resolutions_ok FROM closed_rows WHERE node_prefix = $1"
        " AND day = $2 ORDER BY prefix_id, revision DESC) AS stated"
    )
    (row,) = await conn.fetch(stated if closed else running, node_prefix, day)
    return row[0], row[1]


async def count_enabled(conn: Connection, node_prefix: str, day: date) -> tuple[int, int]:
    """Enterprise prefixes first enabled on that day, and ever until then."""
    (row,) = await conn.fetch(
        f"SELECT count(*) FILTER (WHERE enabled_on = $2), count(*) FROM prefixes x WHERE {BELOW} AND enabled_on <= $2",
        node_prefix,
        day,
    )
    return row[0], row[1]


async def fetch_firms(conn: Connection, node_prefix: str, is_first: bool) -> list[Record]:
    """Enterprises beyond the draft that have a prefix there; those that have none yet belong to the first prefix.

    With their present place, prefixes, and the latest result of the real-name check.
    """
    return await conn.fetch(
        "SELECT e.enterprise_id, e.certificate_type, e.certificate_code, e.name, e.state, e.verification,"
        " e.connected_on, e.dossier::text AS dossier, p.division_code, p.industry, u.name AS unit, o.prefixes,"
        " v.at AS verified_at, v.actor AS verified_by FROM enterprises e"
        " LEFT JOIN placements p ON p.enterprise_id = e.enterprise_id AND p.to_day IS NULL"
        " LEFT JOIN units u USING (unit_id)"
        " LEFT JOIN LATERAL (SELECT array_agg(x.prefix::text ORDER BY x.prefix_id)"
        f"   FILTER (WHERE {BELOW}) AS prefixes, count(*) AS owned FROM prefix_owners w JOIN prefixes x"
        "   USING (prefix_id) WHERE w.enterprise_id = e.enterprise_id AND w.to_day IS NULL) AS o ON true"
        " LEFT JOIN LATERAL (SELECT at, actor FROM decisions d WHERE d.enterprise_id = e.enterprise_id"
        "   AND starts_with(d.decision, 'verification_') ORDER BY decision_id DESC LIMIT 1) AS v ON true"
        " WHERE e.state <> 0 AND (o.prefixes IS NOT NULL OR (o.owned = 0 AND $2)) ORDER BY e.enterprise_id",
        node_prefix,
        is_first,
    )


async def fetch_prefixes(conn: Connection, node_prefix: str) -> list[Record]:
    """Prefixes that were approved by us at least, with their present owner."""
    return await conn.fetch(
        "SELECT x.prefix_id, x.prefix, x.state, x.hosting, x.site, x.scheme, e.certificate_code,"
        " coalesce((SELECT reason FROM decisions d WHERE d.prefix = x.prefix ORDER BY decision_id DESC LIMIT 1), '')"
        " AS reason FROM prefixes x JOIN prefix_owners o ON o.prefix_id = x.prefix_id AND o.to_day IS NULL"
        f" JOIN enterprises e USING (enterprise_id) WHERE {BELOW} AND x.state IN (0, 1, 2, 5) ORDER BY x.prefix_id",
        node_prefix,
    )


async def fetch_templates(conn: Connection, node_prefix: str, of_node: bool) -> list[Record]:
    """Templates of the node's own prefixes, or of enterprises'."""
    return await conn.fetch(
        "SELECT t.template_id, x.prefix, t.version, t.document::text AS document, t.suffix_key FROM templates t"
        " JOIN prefixes x USING (prefix_id) WHERE t.deleted IS NULL AND CASE WHEN $2"
        f" THEN x.prefix IN ($1, $1 || '.000000') ELSE {BELOW} END ORDER BY t.template_id",
        node_prefix,
        of_node,
    )


async def fetch_changes(conn: Connection, after: int, limit: int) -> list[Record]:
    """Entries of the change log about identifiers and ranges, in order; of the others only the position counts."""
    return await conn.fetch(
        "SELECT c.position, c.kind, c.prefix_id, c.suffix_keys, c.members, c.at, x.prefix FROM changes c"
        " LEFT JOIN prefixes x ON x.prefix_id = c.prefix_id AND x.sandbox_of IS NULL"
        " WHERE c.position > $1 ORDER BY c.position LIMIT $2",
        after,
        limit,
    )


async def fetch_log(conn: Connection) -> tuple[str, int]:
    """Which change log this is, and its last position."""
    (row,) = await conn.fetch("SELECT log_id::text, position FROM change_log")
    return row[0], row[1]


async def find_range_created(conn: Connection, prefix_id: int, head_key: str, at: datetime) -> list[Record]:
    """Ranges of a head that were created at that instant."""
    return await conn.fetch(
        "SELECT head, width, checked, first, last, template_id, packed, created FROM ranges"
        " WHERE prefix_id = $1 AND head_key = $2 AND created = $3 ORDER BY width, checked, first",
        prefix_id,
        head_key,
        at,
    )


async def fetch_present(conn: Connection, prefix_id: int, keys: Sequence[str]) -> dict[str, Record]:
    """Records as they are now; templates' own records are none."""
    rows = await conn.fetch(
        "SELECT r.suffix_key, coalesce(r.suffix, r.suffix_key) AS suffix, r.template_id, r.packed, r.created"
        " FROM unnest($2::text[]) AS k(suffix_key) JOIN records r ON r.prefix_id = $1 AND r.suffix_key = k.suffix_key"
        ' COLLATE "C" WHERE r.template_id > 0',
        prefix_id,
        list(keys),
    )
    return {row["suffix_key"]: row for row in rows}


async def fetch_alarms(conn: Connection, since: datetime, limit: int) -> list[Record]:
    """Alarms that were raised or ended since an instant, in that order. Reports that are refused or late are none."""
    return await conn.fetch(
        "SELECT alarm_id, cause, subject, raised, cleared FROM alarms WHERE greatest(raised, cleared) >= $1"
        " AND cause NOT IN ('report_refused', 'report_overdue') ORDER BY greatest(raised, cleared), alarm_id LIMIT $2",
        since,
        limit,
    )


# Decisions, tasks, reconciliations ------------------------------------------------------------------------------


async def store_decision(conn: Connection, kind: str, subject: str, decision: tuple[str, str], at: datetime,
                         now: datetime) -> bool:  # fmt: skip
    """(decision, reason); whether it is news."""
    done: str = await conn.execute(
        "INSERT INTO toplevel_decisions AS d (kind, subject, decision, reason, at, received)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kind, subject) DO UPDATE SET decision = $3, reason = $4,"
        " at = $5, received = $6, applied = NULL WHERE (d.decision, d.reason) <> ($3, $4) AND d.at <= $5",
        kind,
        subject,
        *decision,
        at,
        now,
    )
    return done.endswith(" 1")


async def fetch_decisions(conn: Connection) -> list[Record]:
    return await conn.fetch(
        "SELECT kind, subject, decision, reason, at, applied FROM toplevel_decisions ORDER BY kind, subject"
    )


async def fetch_decided(conn: Connection) -> list[Record]:
    """Every enterprise and prefix that was reported: our state beside the decision of the top-level node."""
    return await conn.fetch(
        "SELECT 'enterprise' AS kind, e.certificate_code AS subject, e.name, e.state, d.decision, d.reason, d.at"
        " FROM enterprises e LEFT JOIN toplevel_decisions d ON d.kind = 'enterprise' AND d.subject = e.certificate_code"
        " WHERE e.state <> 0 UNION ALL"
        " SELECT 'prefix', x.prefix, e.name, x.state, d.decision, d.reason, d.at FROM prefixes x"
        " JOIN prefix_owners o ON o.prefix_id = x.prefix_id AND o.to_day IS NULL"
        " JOIN enterprises e USING (enterprise_id)"
        " LEFT JOIN toplevel_decisions d ON d.kind = 'prefix' AND d.subject = x.prefix ORDER BY 1, 2"
    )


async def find_last_waiting(conn: Connection) -> datetime | None:
    """When the last of the prefixes that wait for the top-level node began to; None if none waits."""
    found: datetime | None = await conn.fetchval("SELECT max(changed) FROM prefixes WHERE state = 5")
    return found


async def store_task(conn: Connection, task_id: str, kind: str, document: str, now: datetime) -> bool:
    """Whether it is a new one."""
    done: str = await conn.execute(
        "INSERT INTO toplevel_tasks (task_id, kind, document, state, received) VALUES ($1, $2, $3::text::jsonb,"
        " 'received', $4) ON CONFLICT DO NOTHING",
        task_id,
        kind,
        document,
        now,
    )
    return done.endswith(" 1")


async def finish_task(conn: Connection, task_id: str, outcome: tuple[str, str], now: datetime) -> None:
    """(state, result)"""
    await conn.execute(
        "UPDATE toplevel_tasks SET state = $2, result = $3, finished = $4 WHERE task_id = $1", task_id, *outcome, now
    )


async def fetch_unreported_tasks(conn: Connection) -> list[Record]:
    return await conn.fetch(
        "SELECT task_id, kind, document::text AS document, state, result FROM toplevel_tasks WHERE reported IS NULL"
        " ORDER BY received, task_id LIMIT 100"
    )


async def fetch_tasks(conn: Connection) -> list[Record]:
    """What the top-level node asked for and what came of it, newest first."""
    return await conn.fetch(
        "SELECT task_id, kind, document::text AS document, state, result, received FROM toplevel_tasks"
        " ORDER BY received DESC, task_id LIMIT 1000"
    )


async def note_task_reported(conn: Connection, task_id: str, now: datetime) -> None:
    await conn.execute("UPDATE toplevel_tasks SET reported = $2 WHERE task_id = $1", task_id, now)


async def store_reconciliation(conn: Connection, key: tuple[str, str, str], ours: str, theirs: str, equal: bool,
                               now: datetime) -> None:  # fmt: skip
    await conn.execute(
        "INSERT INTO toplevel_reconciliations VALUES ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6, $7)"
        " ON CONFLICT (table_name, period, prefix) DO UPDATE SET ours = excluded.ours, theirs = excluded.theirs,"
        " equal = excluded.equal, at = excluded.at",
        *key,
        ours,
        theirs,
        equal,
        now,
    )


async def is_compared_since(conn: Connection, about: tuple[str, str, str]) -> bool:
    """Whether table, period, prefix was the same above after the last answer to a message of it."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM toplevel_reconciliations c WHERE (table_name, period, prefix) = ($1, $2, $3)"
        " AND equal AND at > (SELECT max(answered) FROM outbox o WHERE (o.table_name, o.period, o.prefix)"
        " = (c.table_name, c.period, c.prefix)))",
        *about,
    )
    return found


async def fetch_differing(conn: Connection, first: date) -> list[tuple[str, str, str]]:
    """(period, table, secondary prefix) of which the top-level node had something else when it was last asked."""
    rows = await conn.fetch(
        "SELECT period, table_name, prefix FROM toplevel_reconciliations WHERE NOT equal AND period >= $1"
        " ORDER BY 1, 2, 3",
        first.isoformat(),
    )
    return [(row["period"], row["table_name"], row["prefix"]) for row in rows]
