"""SQL of the outbox; the caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from asyncpg import Connection, Record

LEAST_REVISION = "least_revision"  # node_facts: what a restored node begins with (node.restore)
STATES = ("waiting", "sent", "accepted", "refused", "dead", "replaced")


class MessageKey(NamedTuple):
    """What a message is about; together with its revision it is unique."""

    table_name: str
    period: str
    prefix: str
    part: int


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message before it has an id. `body` is as it will be sent, compressed if `encoding` says so."""

    key: MessageKey
    revision: int
    parts: int
    path: str
    body: bytes
    encoding: str
    content_sha256: bytes
    row_count: int
    provisional: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest revision of a key."""

    message_id: UUID
    revision: int
    content_sha256: bytes
    state: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message and what became of it, without its body."""

    message_id: UUID
    number: int
    table_name: str
    period: str
    prefix: str
    part: int
    revision: int
    parts: int
    path: str
    state: str
    encoding: str
    row_count: int
    provisional: bool
    reason: str
    created: datetime
    waiting_since: datetime
    next_at: datetime
    attempts: int
    attempted: datetime | None
    answered: datetime | None
    answer_status: int | None
    receipt_id: str
    code: str
    trouble: str

    @property
    def key(self) -> MessageKey:
        return MessageKey(self.table_name, self.period, self.prefix, self.part)


class Refusal(NamedTuple):
    """Why a row was refused; row_number -1 is the message itself."""

    row_number: int
    field: str
    code: str
    row_key: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to; `next_at` is for those that will be tried again."""

    state: str
    at: datetime
    next_at: datetime
    status: int | None = None
    receipt_id: str = ""
    code: str = ""
    trouble: str = ""
    refusals: tuple[Refusal, ...] = ()


COLUMNS = (
    "message_id, number, table_name, period, prefix, part, revision, parts, path, state, encoding, row_count,"
    " provisional, reason, created, waiting_since, next_at, attempts, attempted, answered, answer_status, receipt_id,"
    " code, trouble"
)
_OF_KEY = "table_name = $1 AND period = $2 AND prefix = $3 AND part = $4"


def _to_message(row: Record) -> Message:
    return Message(**dict(row))


async def lock_key(conn: Connection, key: MessageKey) -> None:
    """Until the end of the transaction: two that write the same report must not draw the same revision."""
    await conn.execute("SELECT pg_advisory_xact_lock(7241008, hashtext($1))", "|".join(map(str, key)))


async def find_latest(conn: Connection, key: MessageKey) -> Latest | None:
    row = await conn.fetchrow(
        f"SELECT message_id, revision, content_sha256, state FROM outbox WHERE {_OF_KEY}"  # noqa: S608
        " ORDER BY revision DESC LIMIT 1",
        *key,
    )
    return None if row is None else Latest(*row)


async def fetch_least_revision(conn: Connection) -> int:
    return int(await conn.fetchval("SELECT value FROM node_facts WHERE name = $1", LEAST_REVISION) or 0)


async def insert_message(conn: Connection, new: NewMessage, at: datetime) -> UUID:
    """Write a message that is due at once; older revisions that were not accepted are replaced by it."""
    await conn.execute(
        f"UPDATE outbox SET state = 'replaced' WHERE {_OF_KEY} AND state NOT IN ('accepted', 'replaced')",  # noqa: S608
        *new.key,
    )
    message_id: UUID = await conn.fetchval(
        "INSERT INTO outbox (table_name, period, prefix, part, revision, parts, path, body, encoding, content_sha256,"
        " row_count, provisional, reason, created, waiting_since, next_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $14) RETURNING message_id",
        *new.key, new.revision, new.parts, new.path, new.body, new.encoding, new.content_sha256, new.row_count,
        new.provisional, new.reason, at,
    )  # fmt: skip
    return message_id


async def find_due(conn: Connection, now: datetime) -> Message | None:
    """The message that has been due for the longest time."""
    row = await conn.fetchrow(
        f"SELECT {COLUMNS} FROM outbox WHERE state IN ('waiting', 'sent') AND next_at <= $1"  # noqa: S608
        " ORDER BY next_at, number LIMIT 1",
        now,
    )
    return None if row is None else _to_message(row)


async def fetch_body(conn: Connection, message_id: UUID) -> bytes | None:
    """As it is sent; None once it was forgotten."""
    body: bytes | None = await conn.fetchval("SELECT body FROM outbox WHERE message_id = $1", message_id)
    return body


async def store_outcome(conn: Connection, message_id: UUID, outcome: Outcome) -> None:
    """One attempt more. A message that was replaced meanwhile stays so unless it was accepted after all."""
    answered = outcome.at if outcome.status is not None else None
    await conn.execute(
        "UPDATE outbox SET state = CASE WHEN state = 'replaced' AND $2 <> 'accepted' THEN state"
        " ELSE $2 END, attempts = attempts + 1, attempted = $3, next_at = $4, answered = coalesce($5, answered),"
        " answer_status = $6, receipt_id = $7, code = $8, trouble = $9 WHERE message_id = $1",
        message_id, outcome.state, outcome.at, outcome.next_at, answered, outcome.status, outcome.receipt_id,
        outcome.code, outcome.trouble,
    )  # fmt: skip
    await conn.execute("DELETE FROM outbox_refusals WHERE message_id = $1", message_id)
    await conn.executemany(
        "INSERT INTO outbox_refusals (message_id, row_number, field, code, row_key, message)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        [(message_id, *refusal) for refusal in outcome.refusals],
    )


async def revive(conn: Connection, message_id: UUID, now: datetime) -> bool:
    """A dead or waiting message is due at once, and its 72 hours begin anew; whether it was one of those."""
    done: str = await conn.execute(
        "UPDATE outbox SET state = 'waiting', next_at = $2, waiting_since = $2, attempts = 0"
        " WHERE message_id = $1 AND state IN ('dead', 'waiting', 'sent')",
        message_id,
        now,
    )
    return done.endswith(" 1")


async def revive_unanswered(conn: Connection, now: datetime) -> int:
    """Dead letters that never got any answer: the top-level node was away, and it is back. How many there were."""
    done: str = await conn.execute(
        "UPDATE outbox SET state = 'waiting', next_at = $1, waiting_since = $1, attempts = 0"
        " WHERE state = 'dead' AND answer_status IS NULL",
        now,
    )
    return int(done.rpartition(" ")[2])


async def fetch_messages(
    conn: Connection, states: Sequence[str] = STATES, limit: int = 100, table_name: str | None = None,
    period: str | None = None,
) -> list[Message]:  # fmt: skip
    """Newest first."""
    rows = await conn.fetch(
        f"SELECT {COLUMNS} FROM outbox WHERE state = ANY($1) AND ($3::text IS NULL OR table_name = $3)"  # noqa: S608
        " AND ($4::text IS NULL OR period = $4) ORDER BY number DESC LIMIT $2",
        list(states),
        limit,
        table_name,
        period,
    )
    return [_to_message(row) for row in rows]


async def find_message(conn: Connection, message_id: UUID) -> Message | None:
    row = await conn.fetchrow(f"SELECT {COLUMNS} FROM outbox WHERE message_id = $1", message_id)  # noqa: S608
    return None if row is None else _to_message(row)


async def find_numbered(conn: Connection, number: int) -> Message | None:
    row = await conn.fetchrow(f"SELECT {COLUMNS} FROM outbox WHERE number = $1", number)  # noqa: S608
    return None if row is None else _to_message(row)


async def fetch_latest_of(conn: Connection, table_name: str, period: str, prefix: str) -> list[Message]:
    """The newest revision of each part of a report."""
    rows = await conn.fetch(
        f"SELECT DISTINCT ON (part) {COLUMNS} FROM outbox WHERE table_name = $1 AND period = $2"  # noqa: S608
        " AND prefix = $3 ORDER BY part, revision DESC",
        table_name,
        period,
        prefix,
    )
    return [_to_message(row) for row in rows]


async def fetch_refused_too_early(conn: Connection) -> list[Message]:
    """Prefixes that were refused before their enterprises were answered (T6), routes and templates before prefixes."""
    rows = await conn.fetch(
        f"SELECT {COLUMNS} FROM outbox o WHERE state = 'refused' AND table_name IN ('PREFIXES', 'T7', 'T11')"  # noqa: S608
        " AND NOT EXISTS (SELECT FROM outbox l WHERE (l.table_name, l.period, l.prefix, l.part)"
        " = (o.table_name, o.period, o.prefix, o.part) AND l.revision > o.revision)"
        " AND EXISTS (SELECT FROM outbox b WHERE b.table_name = CASE o.table_name WHEN 'PREFIXES' THEN 'T6'"
        " ELSE 'PREFIXES' END AND (b.period, b.prefix) = (o.period, o.prefix) AND b.answered > o.answered"
        " AND b.state IN ('accepted', 'refused')) ORDER BY number"
    )
    return [_to_message(row) for row in rows]


async def fetch_told(
    conn: Connection, about: tuple[str, str, str], after_part: int, limit: int
) -> list[tuple[Message, bytes | None]]:
    """The newest revision of the next parts of a report, each with its body; `about`: table, period, prefix."""
    rows = await conn.fetch(
        f"SELECT DISTINCT ON (part) body, {COLUMNS} FROM outbox WHERE table_name = $1 AND period = $2"  # noqa: S608
        " AND prefix = $3 AND part > $4 ORDER BY part, revision DESC LIMIT $5",
        *about,
        after_part,
        limit,
    )
    return [(Message(**{name: row[name] for name in Message.__slots__}), row["body"]) for row in rows]


async def fetch_refusals(conn: Connection, message_id: UUID) -> list[Refusal]:
    rows = await conn.fetch(
        "SELECT row_number, field, code, row_key, message FROM outbox_refusals WHERE message_id = $1"
        " ORDER BY row_number, field",
        message_id,
    )
    return [Refusal(*row) for row in rows]


async def fetch_contents(conn: Connection, table_name: str, period: str, prefix: str) -> dict[int, bytes]:
    """Part → hash of the rows of its newest revision."""
    rows = await conn.fetch(
        "SELECT DISTINCT ON (part) part, content_sha256 FROM outbox WHERE table_name = $1 AND period = $2"
        " AND prefix = $3 ORDER BY part, revision DESC",
        table_name,
        period,
        prefix,
    )
    return {row["part"]: row["content_sha256"] for row in rows}


class Standing(NamedTuple):
    """How the outbox stands. Refused ones are those of which no later revision exists."""

    waiting: int
    refused: int
    dead: int
    oldest_waiting: datetime | None
    last_accepted: datetime | None


async def fetch_standing(conn: Connection) -> Standing:
    (row,) = await conn.fetch(
        "SELECT count(*) FILTER (WHERE state IN ('waiting', 'sent')) AS waiting,"
        " count(*) FILTER (WHERE state = 'refused' AND NOT EXISTS (SELECT FROM outbox l WHERE (l.table_name, l.period,"
        " l.prefix, l.part) = (o.table_name, o.period, o.prefix, o.part) AND l.revision > o.revision)) AS refused,"
        " count(*) FILTER (WHERE state = 'dead') AS dead,"
        " min(waiting_since) FILTER (WHERE state IN ('waiting', 'sent')) AS oldest,"
        " (SELECT max(answered) FROM outbox WHERE state = 'accepted') AS accepted"
        " FROM outbox o WHERE state IN ('waiting', 'sent', 'refused', 'dead')"
    )
    return Standing(*row)


async def forget_bodies(conn: Connection, before: datetime, limit: int = 100) -> None:
    """What was accepted or replaced long ago is not sent again; but how things stand may be asked for at any time."""
    await conn.execute(
        "UPDATE outbox SET body = NULL WHERE message_id IN (SELECT message_id FROM outbox o"
        " WHERE state IN ('accepted', 'replaced') AND body IS NOT NULL AND answered < $1"
        " AND (period <> 'current' OR EXISTS (SELECT FROM outbox l WHERE (l.table_name, l.period,"
        " l.prefix, l.part) = (o.table_name, o.period, o.prefix, o.part) AND l.revision > o.revision)) LIMIT $2)",
        before,
        limit,
    )


# Marks ----------------------------------------------------------------------------------------------------------


async def find_mark(conn: Connection, name: str) -> tuple[str, datetime] | None:
    row = await conn.fetchrow("SELECT value, at FROM reporting_marks WHERE name = $1", name)
    return None if row is None else (row["value"], row["at"])


async def set_mark(conn: Connection, name: str, value: str, at: datetime) -> None:
    await conn.execute(
        "INSERT INTO reporting_marks (name, value, at) VALUES ($1, $2, $3)"
        " ON CONFLICT (name) DO UPDATE SET value = $2, at = $3",
        name,
        value,
        at,
    )
