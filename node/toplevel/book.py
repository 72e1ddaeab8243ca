"""SQL of the rehearsal top-level node's book; the caller owns the transaction. Times are unix milliseconds."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from schemas.toplevel_form import File
from schemas.toplevel_tables import TABLES

SCHEMA = Path(__file__).with_name("schema.sql")
FILE_NAME = "book.sqlite"
REFUSALS_KEPT = 10_000

Book = sqlite3.Connection


def open_book(directory: Path) -> Book:
    """The book in that directory, made if there is none; readable by its owner alone."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    # Autocommit: transactions are begun by `transaction` alone. What has a receipt survives a power cut.
    book = sqlite3.connect(directory / FILE_NAME, isolation_level=None, check_same_thread=False, timeout=20)
    book.row_factory = sqlite3.Row
    book.execute("PRAGMA journal_mode = WAL")
    book.execute("PRAGMA synchronous = FULL")
    book.executescript(SCHEMA.read_text(encoding="utf-8"))
    return book


@contextmanager
def transaction(book: Book) -> Iterator[None]:
    book.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        book.execute("ROLLBACK")
        raise
    book.execute("COMMIT")


# Who may report -------------------------------------------------------------------------------------------------


class Key(NamedTuple):
    key_id: str
    algorithm: str
    public_key: str
    state: str


def enrol(book: Book, app: str, prefix: str, key: Key, now_ms: int) -> None:
    book.execute("INSERT OR IGNORE INTO apps VALUES (?, ?, ?)", (app, prefix, now_ms))
    # One that is known keeps its place in the order of keys.
    book.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (app, key_id) DO UPDATE SET state = excluded.state",
        (app, *key, now_ms),
    )


def has_prefix(book: Book, app: str, prefix: str) -> bool:
    return book.execute("SELECT 1 FROM apps WHERE app = ? AND prefix = ?", (app, prefix)).fetchone() is not None


def find_owner(book: Book, prefix: str) -> str | None:
    """The app that reports for a prefix."""
    row = book.execute("SELECT app FROM apps WHERE prefix = ?", (prefix,)).fetchone()
    return None if row is None else row["app"]


def fetch_keys(book: Book, app: str) -> list[Key]:
    rows = book.execute("SELECT key_id, algorithm, public_key, state FROM keys WHERE app = ? ORDER BY created", (app,))
    return [Key(*row) for row in rows]


def retire_older_keys(book: Book, app: str, key_id: str) -> None:
    """Those that were enrolled before that one."""
    book.execute(
        "UPDATE keys SET state = 'retired' WHERE app = ?1 AND state = 'active'"
        " AND rowid < (SELECT rowid FROM keys WHERE app = ?1 AND key_id = ?2)",
        (app, key_id),
    )


def take_nonce(book: Book, app: str, nonce: str, now_ms: int, forget_before_ms: int) -> bool:
    """Remember a nonce; False if it was seen already."""
    book.execute("DELETE FROM nonces WHERE at < ?", (forget_before_ms,))
    return book.execute("INSERT OR IGNORE INTO nonces VALUES (?, ?, ?)", (app, nonce, now_ms)).rowcount == 1


# Receipts -------------------------------------------------------------------------------------------------------


class Receipt(NamedTuple):
    digest: str
    status: int
    answer: str


def find_receipt(book: Book, app: str, idempotency_key: str) -> Receipt | None:
    row = book.execute(
        "SELECT digest, status, answer FROM receipts WHERE app = ? AND idempotency_key = ?", (app, idempotency_key)
    ).fetchone()
    return None if row is None else Receipt(*row)


def store_receipt(book: Book, app: str, idempotency_key: str, receipt: Receipt, now_ms: int) -> None:
    book.execute("INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?)", (app, idempotency_key, *receipt, now_ms))


def forget_receipts(book: Book, before_ms: int) -> None:
    book.execute("DELETE FROM receipts WHERE at < ?", (before_ms,))


# Messages and rows ----------------------------------------------------------------------------------------------


class MessageKey(NamedTuple):
    prefix: str
    table_name: str
    period: str
    part: int


class Message(NamedTuple):
    rev: int
    parts: int
    digest: str
    row_count: int
    refused: int
    at: int


_OF_KEY = "prefix = ? AND table_name = ? AND period = ? AND part = ?"


def find_message(book: Book, key: MessageKey) -> Message | None:
    row = book.execute(
        f"SELECT rev, parts, digest, row_count, refused, at FROM messages WHERE {_OF_KEY}",  # noqa: S608
        key,
    ).fetchone()
    return None if row is None else Message(*row)


def store_message(book: Book, key: MessageKey, message: Message) -> None:
    book.execute(
        "INSERT OR REPLACE INTO messages (prefix, table_name, period, part, rev, parts, digest, row_count, refused, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, *message),
    )


def replace_rows(book: Book, key: MessageKey, rev: int, rows: dict[str, dict[str, Any]], kept: Sequence[str]) -> None:
    """The rows of a message take the place of those before; `kept` were refused now, and stay as they were."""
    book.executemany(
        "INSERT OR REPLACE INTO rows (prefix, table_name, period, part, row_key, rev, document)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((*key, row_key, rev, json.dumps(row, ensure_ascii=False)) for row_key, row in rows.items()),
    )
    spared = set(kept)
    old = [
        (*key, row["row_key"])
        for row in book.execute(f"SELECT row_key FROM rows WHERE {_OF_KEY} AND rev < ?", (*key, rev))  # noqa: S608
        if row["row_key"] not in spared
    ]
    book.executemany(f"DELETE FROM rows WHERE {_OF_KEY} AND row_key = ?", old)  # noqa: S608


def fetch_rows(book: Book, table_name: str, period: str | None, prefix: str | None = None) -> list[dict[str, Any]]:
    """The rows of a table, as they were received; of all periods and prefixes where none is named.

    A row that came in two parts, since they were cut otherwise, is that of the higher revision. Not so in T9, where it
    is two events.
    """
    rows = book.execute(
        "SELECT document FROM (SELECT *, row_number() OVER (PARTITION BY prefix, period, row_key, iif(?4, part, 0)"
        " ORDER BY rev DESC, part) AS place FROM rows WHERE table_name = ?1 AND (?2 IS NULL OR period = ?2)"
        " AND (?3 IS NULL OR prefix = ?3)) WHERE place = 1 ORDER BY prefix, period, part, row_key",
        (table_name, period, prefix, TABLES[table_name].lines),
    )
    return [json.loads(row["document"]) for row in rows]


def fetch_part(book: Book, table_name: str, key: MessageKey) -> list[dict[str, Any]]:
    """The rows of a table that came in the same part of another message of the same prefix and period."""
    rows = book.execute(
        f"SELECT document FROM rows WHERE {_OF_KEY}",  # noqa: S608
        (key.prefix, table_name, key.period, key.part),
    )
    return [json.loads(row["document"]) for row in rows]


def fetch_rows_about(book: Book, table_name: str, row_prefix: str) -> list[dict[str, Any]]:
    """Present rows of a table whose `prefix` is that one."""
    rows = book.execute(
        "SELECT document FROM rows WHERE table_name = ? AND json_extract(document, '$.prefix') = ?",
        (table_name, row_prefix),
    )
    return [json.loads(row["document"]) for row in rows]


def store_file(book: Book, key: MessageKey, file: File) -> None:
    """In place of the one before."""
    book.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", (*key[:3], *file))


def find_file(book: Book, prefix: str, table_name: str, period: str) -> File | None:
    row = book.execute(
        "SELECT name, media_type, content FROM files WHERE prefix = ? AND table_name = ? AND period = ?",
        (prefix, table_name, period),
    ).fetchone()
    return None if row is None else File(*row)


def fetch_messages(book: Book, period: str | None = None) -> list[sqlite3.Row]:
    """One line for each table, period and prefix: parts announced and received, rows, refused, highest revision."""
    return book.execute(
        "SELECT prefix, table_name, period, max(parts) AS parts, count(*) AS received, sum(row_count) AS rows,"
        " sum(refused) AS refused, max(rev) AS rev, max(at) AS at FROM messages WHERE ?1 IS NULL OR period = ?1"
        " GROUP BY prefix, table_name, period ORDER BY period DESC, prefix, table_name",
        (period,),
    ).fetchall()


# Prefixes, decisions, tasks -------------------------------------------------------------------------------------


def find_holder(book: Book, prefix: str) -> str | None:
    """The social credit code a prefix was given to."""
    row = book.execute("SELECT uscc FROM prefixes WHERE prefix = ?", (prefix,)).fetchone()
    return None if row is None else row["uscc"]


def store_prefix(book: Book, shr_prefix: str, row: dict[str, Any]) -> None:
    book.execute(
        "INSERT INTO prefixes (prefix, shr_prefix, uscc, encoding) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (prefix) DO UPDATE SET uscc = excluded.uscc, encoding = excluded.encoding",
        (row["prefix"], shr_prefix, row["uscc"], row["encodingType"]),
    )


def release_prefixes(book: Book, rows: Sequence[dict[str, Any]]) -> None:
    """Prefixes that are asked for no more: whoever asks next gets them, unless that was before."""
    book.executemany(
        "DELETE FROM prefixes WHERE prefix = ? AND uscc = ?", [(row["prefix"], row["uscc"]) for row in rows]
    )


def store_prefix_state(book: Book, prefix: str, state: int, reason: str) -> None:
    book.execute("UPDATE prefixes SET state = ?, reason = ? WHERE prefix = ?", (state, reason, prefix))


def decide(book: Book, prefix: str, about: tuple[str, str], decision: tuple[str, str], when: tuple[int, bool]) -> None:
    """(kind, subject), (decision, reason), (time, by hand). A decision by hand stands until another one by hand."""
    now_ms, by_hand = when
    row = book.execute(
        "SELECT decision, reason, by_hand FROM decisions WHERE prefix = ? AND kind = ? AND subject = ?",
        (prefix, *about),
    ).fetchone()
    if row is not None and ((row["by_hand"] and not by_hand) or (row["decision"], row["reason"]) == decision):
        return
    # A new number: who asks for what came since then must see it again.
    book.execute("DELETE FROM decisions WHERE prefix = ? AND kind = ? AND subject = ?", (prefix, *about))
    book.execute(
        "INSERT INTO decisions (prefix, kind, subject, decision, reason, by_hand, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (prefix, *about, *decision, int(by_hand), now_ms),
    )


def fetch_decisions(book: Book, prefix: str, since: int, limit: int = 500) -> list[dict[str, Any]]:
    rows = book.execute(
        "SELECT number, kind, subject, decision, reason, at FROM decisions WHERE prefix = ? AND number > ?"
        " ORDER BY number LIMIT ?",
        (prefix, since, limit),
    )
    return [dict(row) for row in rows]


def add_task(book: Book, task_id: str, prefix: str, document: dict[str, Any], now_ms: int) -> None:
    text = json.dumps(document, ensure_ascii=False)
    book.execute(
        "INSERT INTO tasks (task_id, prefix, document, at) VALUES (?, ?, ?, ?)", (task_id, prefix, text, now_ms)
    )


def fetch_tasks(book: Book, prefix: str | None = None, state: str | None = None) -> list[dict[str, Any]]:
    rows = book.execute(
        "SELECT task_id, prefix, document, state, result, at FROM tasks WHERE (?1 IS NULL OR prefix = ?1)"
        " AND (?2 IS NULL OR state = ?2) ORDER BY at, task_id",
        (prefix, state),
    )
    return [
        json.loads(row["document"]) | {"id": row["task_id"], "state": row["state"], "result": row["result"]}
        for row in rows
    ]


def finish_task(book: Book, task_id: str, prefix: str, outcome: tuple[str, str]) -> bool:
    """(state, result); False if the prefix has no such task."""
    done = book.execute(
        "UPDATE tasks SET state = ?, result = ? WHERE task_id = ? AND prefix = ?", (*outcome, task_id, prefix)
    )
    return done.rowcount == 1


def note_heartbeat(book: Book, prefix: str, document: dict[str, Any], now_ms: int) -> None:
    book.execute(
        "INSERT INTO heartbeats (prefix, document, at) VALUES (?, ?, ?) ON CONFLICT (prefix) DO UPDATE SET"
        " document = excluded.document, at = excluded.at, beats = beats + 1",
        (prefix, json.dumps(document, ensure_ascii=False), now_ms),
    )


def fetch_heartbeats(book: Book) -> list[dict[str, Any]]:
    rows = book.execute("SELECT prefix, document, at, beats FROM heartbeats ORDER BY prefix")
    return [dict(row) | {"document": json.loads(row["document"])} for row in rows]


def note_refusal(book: Book, now_ms: int, where: tuple[str, str], what: tuple[str, str, str]) -> None:
    """(app, path), (code, field, row key)."""
    number = book.execute(
        "INSERT INTO refusals (at, app, path, code, field, row_key) VALUES (?, ?, ?, ?, ?, ?)", (now_ms, *where, *what)
    ).lastrowid
    book.execute("DELETE FROM refusals WHERE number <= ?", ((number or 0) - REFUSALS_KEPT,))


def fetch_refusals(book: Book, limit: int = 50) -> list[dict[str, Any]]:
    rows = book.execute(
        "SELECT at, app, path, code, field, row_key FROM refusals ORDER BY number DESC LIMIT ?", (limit,)
    )
    return [dict(row) for row in rows]


# Behaviour ------------------------------------------------------------------------------------------------------


def fetch_behaviour(book: Book) -> dict[str, str]:
    return {row["name"]: row["value"] for row in book.execute("SELECT name, value FROM behaviour ORDER BY name")}


def set_behaviour(book: Book, wanted: dict[str, str]) -> None:
    book.execute("DELETE FROM behaviour")
    book.executemany("INSERT INTO behaviour VALUES (?, ?)", wanted.items())
