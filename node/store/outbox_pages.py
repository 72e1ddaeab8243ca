"""SQL of the console's page of reports: messages page by page, how complete each table and day is, whose rows they are.

The caller owns the transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from asyncpg import Connection, Record

from node.store.outbox import COLUMNS, STATES, Message, MessageKey


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages; empty texts are no limit."""

    table_name: str = ""
    period: str = ""
    state: str = ""


async def fetch_page(conn: Connection, wanted: Wanted, before: int | None, limit: int) -> list[Message]:
    """Newest first; `before` is the number the page before ended with."""
    rows = await conn.fetch(
        f"SELECT {COLUMNS} FROM outbox WHERE state = ANY($1) AND ($2 = '' OR table_name = $2)"  # noqa: S608
        " AND ($3 = '' OR period = $3) AND ($4::int8 IS NULL OR number < $4) ORDER BY number DESC LIMIT $5",
        [wanted.state] if wanted.state else list(STATES),
        wanted.table_name,
        wanted.period,
        before,
        limit,
    )
    return [Message(**dict(row)) for row in rows]


async def fetch_revisions(conn: Connection, key: MessageKey, limit: int) -> list[Message]:
    """All that was ever written about the same part, newest first."""
    rows = await conn.fetch(
        f"SELECT {COLUMNS} FROM outbox WHERE (table_name, period, prefix, part) = ($1, $2, $3, $4)"  # noqa: S608
        " ORDER BY revision DESC LIMIT $5",
        *key,
        limit,
    )
    return [Message(**dict(row)) for row in rows]


# The newest revision of each part is what counts: it alone is to arrive.
_COMPLETENESS = (
    "WITH newest AS (SELECT DISTINCT ON (table_name, period, prefix, part) message_id, table_name, period, prefix,"
    "   state, row_count, provisional, answered FROM outbox WHERE table_name = ANY($1)"
    "   AND period >= $2 AND period <= $3 ORDER BY table_name, period, prefix, part, revision DESC),"
    " told AS (SELECT n.*, (SELECT count(DISTINCT row_number) FROM outbox_refusals r"
    "   WHERE n.state = 'refused' AND r.message_id = n.message_id) AS refused_rows FROM newest n)"
    " SELECT table_name, period, prefix, count(*) AS parts, count(*) FILTER (WHERE state = 'accepted') AS accepted,"
    " count(*) FILTER (WHERE state IN ('waiting', 'sent')) AS waiting, count(*) FILTER (WHERE state = 'refused')"
    " AS refused, count(*) FILTER (WHERE state = 'dead') AS dead, sum(row_count)::int8 AS rows,"
    " sum(refused_rows)::int8 AS refused_rows, bool_or(provisional) AS provisional, max(answered) AS answered,"
    " (SELECT equal FROM toplevel_reconciliations c WHERE (c.table_name, c.period, c.prefix)"
    "   = (t.table_name, t.period, t.prefix)) AS equal"
    " FROM told t GROUP BY table_name, period, prefix ORDER BY prefix, period DESC, table_name"
)


async def fetch_completeness(conn: Connection, tables: Sequence[str], first: str, last: str) -> list[Record]:
    """One row for each table, period and prefix of which anything was written, periods between two texts."""
    return await conn.fetch(_COMPLETENESS, list(tables), first, last)


async def fetch_differences(conn: Connection, limit: int) -> list[Record]:
    """What of which the top-level node had something else when last asked, both sides as JSON; newest period first."""
    return await conn.fetch(
        "SELECT table_name, period, prefix, ours::text AS ours, theirs::text AS theirs, at"
        " FROM toplevel_reconciliations WHERE NOT equal ORDER BY period DESC, table_name, prefix LIMIT $1",
        limit,
    )


async def fetch_closed_days(conn: Connection, first: date) -> set[tuple[str, date]]:
    """(secondary prefix, day) of days that were closed, from a day on."""
    rows = await conn.fetch("SELECT DISTINCT node_prefix, day FROM day_closes WHERE day >= $1", first)
    return {(row["node_prefix"], row["day"]) for row in rows}


async def fetch_firms(conn: Connection, subjects: Sequence[str]) -> dict[str, int]:
    """Certificate code or prefix → number of the enterprise it belongs to now."""
    rows = await conn.fetch(
        "SELECT certificate_code AS subject, enterprise_id FROM enterprises WHERE certificate_code = ANY($1::text[])"
        " UNION ALL SELECT p.prefix, o.enterprise_id FROM prefixes p JOIN prefix_owners o USING (prefix_id)"
        " WHERE p.prefix = ANY($1::text[]) AND o.to_day IS NULL AND o.enterprise_id IS NOT NULL",
        list(subjects),
    )
    return {row["subject"]: row["enterprise_id"] for row in rows}
