"""What a rehearsal top-level node does with a call: believe it or not, judge its rows, keep them, answer a receipt.

Rows are kept by (prefix, table, period, part) at the highest revision: whatever the order and however often messages
arrive, the same is kept in the end. That totals of days follow from each other is therefore no rule for one message:
the score judges it over all days.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson

from node.toplevel import book as store
from node.toplevel.book import Book, Message, MessageKey, Receipt
from schemas.days import get_day
from schemas.signatures import ALGORITHMS, KeyRefused, check_public_key, format_key_id
from schemas.texts import format_message
from schemas.toplevel_envelope import (
    IDEMPOTENCY_DAYS,
    NONCE_SECONDS,
    SCHEMA,
    Claims,
    EnvelopeRefused,
    check_claims,
    encode_canonical,
)
from schemas.toplevel_form import File, decode_form
from schemas.toplevel_tables import (
    ENVELOPE,
    MAX_REPORT_BYTES,
    TABLES,
    Problem,
    Table,
    format_row_key,
    judge_columns,
    judge_period,
    judge_rows,
)

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
MAX_PARTS = 2**31 - 1  # some number their parts by what they are about
ROUTES = ("T2", "T7")
UNAUTHORISED, NOT_YOURS, MALFORMED, CONFLICT, TOO_LARGE, UNPROCESSABLE = 401, 403, 400, 409, 413, 422


class CallRefused(Exception):
    """The whole call is refused with an HTTP status; `problems` are (row from 0 or -1, problem)."""

    def __init__(self, status: int, *problems: tuple[int, Problem]) -> None:
        super().__init__(status, problems)
        self.status, self.problems = status, problems


@dataclass(frozen=True, slots=True)
class Received:
    """A call that is believed: who made it, its signed target, and its body as sent."""

    claims: Claims
    method: str
    target: str
    body: bytes
    at: datetime

    @property
    def at_ms(self) -> int:
        return int(self.at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Reply:
    """HTTP status and document; a receipt unless it answers a question."""

    status: int
    document: dict[str, Any]


def authenticate(book: Book, received: Received) -> None:
    """Believe it or raise CallRefused: app, prefix, key, clock, digest, signature, nonce, in this order."""
    claims, at_ms = received.claims, received.at_ms
    keys = [key for key in store.fetch_keys(book, claims.app) if key.algorithm == claims.algorithm]
    if not keys:
        raise CallRefused(UNAUTHORISED, (-1, Problem("E207", "X-Tln-App")))
    if not store.has_prefix(book, claims.app, claims.prefix):
        raise CallRefused(NOT_YOURS, (-1, Problem("E301", "X-Tln-Prefix")))
    usable = [key for key in keys if key.state == "active" and claims.key_id in ("", key.key_id)]
    if not usable:
        raise CallRefused(UNAUTHORISED, (-1, Problem("E208", "X-Tln-Key")))
    call = (received.method, received.target, received.body)
    for key in usable:
        try:
            check_claims(claims, call, key.public_key, at_ms)
            break
        except EnvelopeRefused as refused:
            problem = Problem(refused.code, refused.field)
    else:
        raise CallRefused(UNAUTHORISED, (-1, problem))
    with store.transaction(book):
        fresh = store.take_nonce(book, claims.app, claims.nonce.lower(), at_ms, at_ms - NONCE_SECONDS * 1000)
        if fresh:
            store.retire_older_keys(book, claims.app, key.key_id)
    if not fresh:
        raise CallRefused(UNAUTHORISED, (-1, Problem("E204", "X-Tln-Nonce")))


def accept(book: Book, received: Received, tables: Sequence[Table], told: tuple[str, str]) -> Reply:
    """Take in a message once, whatever it takes to arrive. `told`: table whose first row is refused; how to decide."""
    claims = received.claims
    # Not the digest that was signed: the same message is the same after a change to a key of another algorithm.
    body_digest = sha256(received.body).hexdigest()
    with store.transaction(book):
        known = store.find_receipt(book, claims.app, claims.idempotency_key)
        if known is not None:
            if known.digest != body_digest:
                raise CallRefused(CONFLICT, (-1, Problem("E401", "Idempotency-Key")))
            return Reply(known.status, orjson.loads(known.answer))
        document, rows, file = read_message(received.body, tables)
        table = find_table(document, tables)
        key, rev, parts = read_key(document, table, received)
        reply = _keep(book, received, (key, rev, parts), (table, rows, file), told)
        answer = orjson.dumps(reply.document).decode()
        store.store_receipt(
            book, claims.app, claims.idempotency_key, Receipt(body_digest, reply.status, answer), received.at_ms
        )
        store.forget_receipts(book, received.at_ms - IDEMPOTENCY_DAYS * 86_400_000)
    return reply


def read_message(body: bytes, tables: Sequence[Table]) -> tuple[dict[str, Any], list[Any], File | None]:
    """The envelope, its rows, and the file of a form; a body of lines has the envelope first. Raises CallRefused."""
    file = None
    try:
        if any(table.form for table in tables):
            if len(body) > MAX_REPORT_BYTES:
                raise CallRefused(TOO_LARGE, (-1, Problem("E521", "body")))
            body, file = decode_form(body)
        if any(table.lines for table in tables):
            lines = unpack(body).splitlines()
            document, rows = orjson.loads(lines[0]), [orjson.loads(line) for line in lines[1:]]
        else:
            document = orjson.loads(body)
            rows = document["rows"]
    except (orjson.JSONDecodeError, IndexError, KeyError, TypeError, zlib.error, ValueError):
        raise CallRefused(MALFORMED, (-1, Problem("E104", "rows"))) from None
    if not isinstance(document, dict) or not isinstance(rows, list):
        raise CallRefused(MALFORMED, (-1, Problem("E104", "rows")))
    return document, rows, file


def unpack(body: bytes) -> bytes:
    """gzip or not; raises zlib.error, and ValueError over the limit."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    unpacker = zlib.decompressobj(31)
    content = unpacker.decompress(body, MAX_UNPACKED_BYTES)
    if unpacker.unconsumed_tail:
        raise ValueError("too large")
    return content


def find_table(document: dict[str, Any], tables: Sequence[Table]) -> Table:
    table = next((table for table in tables if table.name == document.get("table")), None)
    if table is None:
        raise CallRefused(MALFORMED, (-1, Problem("E105", "table")))
    if document.get("schema") != SCHEMA:
        raise CallRefused(MALFORMED, (-1, Problem("E106", "schema")))
    return table


def read_key(document: dict[str, Any], table: Table, received: Received) -> tuple[MessageKey, int, int]:
    """Key, revision and number of parts; raises CallRefused."""
    prefix = document.get("shrPrefix")
    if prefix != received.claims.prefix:
        raise CallRefused(NOT_YOURS, (-1, Problem("E303", "shrPrefix")))
    problem = judge_period(table, document.get("period"), get_day(received.at))
    if problem is not None:
        raise CallRefused(UNPROCESSABLE if problem.code == "E514" else MALFORMED, (-1, problem))
    numbers = [document.get(name) for name in ("part", "parts", "rev")]
    part, parts, rev = (number if type(number) is int else -1 for number in numbers)
    if not (1 <= part <= parts <= MAX_PARTS and rev >= 0):
        raise CallRefused(MALFORMED, (-1, Problem("E108", "part")))
    wrong = judge_columns(ENVELOPE, document)
    if wrong:
        raise CallRefused(MALFORMED, (-1, wrong[0]))
    return MessageKey(prefix, table.name, str(document["period"]), part), rev, parts


def _keep(
    book: Book, received: Received, where: tuple[MessageKey, int, int], what: tuple[Table, list[Any], File | None],
    told: tuple[str, str],
) -> Reply:  # fmt: skip
    (key, rev, parts), (table, rows, file) = where, what
    content = sha256(encode_canonical(rows)).hexdigest()
    newest = store.find_message(book, key)
    if newest is not None and newest.rev == rev and newest.digest != content:
        raise CallRefused(CONFLICT, (-1, Problem("E403", "rev")))
    if table.form and not rows:
        raise CallRefused(MALFORMED, (-1, Problem("E101", "rows")))
    if len(rows) > table.limit:
        raise CallRefused(UNPROCESSABLE, (-1, Problem("E110", "rows")))
    found = judge_rows(table, rows, key.prefix, key.period)
    if told[0] == table.name and rows:
        found.append((0, Problem("E599", table.key[0])))
    found += _judge_holders(book, table, rows, {number for number, _ in found})
    found += _compare_hashes(book, table, rows, key) if not found else []
    if file is not None and not found:
        found += [(at, Problem("E520", "file")) for at, row in enumerate(rows) if row["file"] != describe_file(file)]
    refused = {number for number, _ in found if number >= 0}
    for number, problem in found:
        row_key = format_row_key(table, rows[number]) if number >= 0 and isinstance(rows[number], dict) else ""
        store.note_refusal(book, received.at_ms, (received.claims.app, received.target), (*problem, row_key))
    if newest is None or rev > newest.rev:
        _store_rows(book, key, rev, (table, rows, refused))
        entry = Message(rev, parts, content, len(rows) - len(refused), len(refused), received.at_ms)
        store.store_message(book, key, entry)
        if file is not None and not found:
            store.store_file(book, key, file)
        _follow(book, received, table, [row for at, row in enumerate(rows) if at not in refused], told[1])
    receipt = make_receipt(found, len(rows) - len(refused), len(rows), received.at_ms)
    if table.name in ROUTES:
        receipt["effectiveSec"] = 0  # what is in the book is resolved
    return Reply(_choose_status(table, len(rows) - len(refused), found), receipt)


def describe_file(file: File) -> dict[str, Any]:
    """What the row must say of the file beside it."""
    return {"name": file.name, "type": file.media_type, "size": len(file.content), "sha256": file.sha256}


def _choose_status(table: Table, accepted: int, found: Sequence[tuple[int, Problem]]) -> int:
    """Of a receipt: 200, or 422 if no row is accepted; of requests for prefixes 201, or 409 if all are taken."""
    asks = table.name == "PREFIXES"
    if accepted:
        return 201 if asks else 200
    if asks and found and all(problem.code == "E404" for _, problem in found):
        return CONFLICT
    return UNPROCESSABLE if found else 200


def _judge_holders(book: Book, table: Table, rows: list[Any], bad: set[int]) -> list[tuple[int, Problem]]:
    """A prefix belongs to one enterprise until it is told to be another's; a state is of one that was asked for."""
    found = []
    for number, row in enumerate(rows):
        if number in bad or table.name not in ("PREFIXES", "STATE"):
            continue
        holder = store.find_holder(book, row["prefix"])
        if table.name == "PREFIXES" and holder not in (None, row["uscc"], *row.get("formerUsccs", ())):
            found.append((number, Problem("E404", "prefix")))
        if table.name == "STATE" and holder is None:
            raise CallRefused(404, (number, Problem("E601", "prefix")))
    return found


def _compare_hashes(book: Book, table: Table, rows: list[Any], key: MessageKey) -> list[tuple[int, Problem]]:
    """T6H: which enterprises of the same part of T6 we have otherwise, or do not have; -1: some that are not listed."""
    if table.name != "T6H":
        return []
    known = {row["crtCode"]: sha256(encode_canonical(row)).hexdigest() for row in store.fetch_part(book, "T6", key)}
    found = [
        (at, Problem("E602", "crtCode")) for at, row in enumerate(rows) if known.get(row["crtCode"]) != row["sha256"]
    ]
    return found + ([(-1, Problem("E602", "rows"))] if known.keys() - {row["crtCode"] for row in rows} else [])


def _store_rows(book: Book, key: MessageKey, rev: int, what: tuple[Table, list[Any], set[int]]) -> None:
    table, rows, refused = what
    accepted = {format_row_key(table, row): row for at, row in enumerate(rows) if at not in refused}
    kept = [format_row_key(table, rows[at]) for at in refused if isinstance(rows[at], dict)]
    if table.name == "PREFIXES":
        before = store.fetch_part(book, table.name, key)
        store.release_prefixes(book, [row for row in before if row["prefix"] not in (*accepted, *kept)])
    store.replace_rows(book, key, rev, accepted, kept)


def _follow(book: Book, received: Received, table: Table, rows: list[dict[str, Any]], decide: str) -> None:
    """What accepted rows lead to: prefixes that are held, and decisions unless a person takes them."""
    prefix, when = received.claims.prefix, (received.at_ms, False)
    for row in rows:
        if table.name == "PREFIXES":
            store.store_prefix(book, prefix, row)
            if decide == "auto":
                store.decide(book, prefix, ("prefix", row["prefix"]), ("approved", ""), when)
        elif table.name == "STATE":
            store.store_prefix_state(book, row["prefix"], row["state"], row.get("reason") or "")
        elif table.name == "T6" and decide == "auto":
            failed = row["verify"]["result"] == "fail"
            decision = ("refused", "real-name verification failed") if failed else ("approved", "")
            store.decide(book, prefix, ("enterprise", row["crtCode"]), decision, when)


def make_receipt(problems: Sequence[tuple[int, Problem]], received: int, rows: int, at_ms: int) -> dict[str, Any]:
    """`received` are the rows that were accepted of `rows`."""
    status = "ACCEPTED" if not problems else "PARTIAL" if received else "REJECTED"
    return {
        "receiptId": uuid4().hex,
        "status": status,
        "received": received,
        "rejected": [
            {"row": number, "code": code, "field": field, "msg": describe(code, field)}
            for number, (code, field) in problems
        ],
        "serverTime": at_ms,
    }


def describe(code: str, field: str) -> str:
    """The rule in words, Chinese and English."""
    name = f"tln_{code.lower()}"
    return f"{format_message(name, 'zh', field=field)} / {format_message(name, 'en', field=field)}"


def rotate(book: Book, received: Received) -> Reply:
    """A new public key, in a call that the old one signed; the old one counts until the first call by the new one.

    Whoever did not get the receipt can still ask again, by either.
    """
    try:
        document = orjson.loads(received.body)
        algorithm, public_key = document["algorithm"], document["publicKey"]
        if algorithm not in ALGORITHMS:
            raise ValueError(algorithm)
        check_public_key(algorithm, public_key)
        key_id = format_key_id(public_key)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError, KeyRefused):
        raise CallRefused(MALFORMED, (-1, Problem("E102", "publicKey"))) from None
    with store.transaction(book):
        new = store.Key(key_id, algorithm, public_key, "active")
        store.enrol(book, received.claims.app, received.claims.prefix, new, received.at_ms)
    return Reply(200, make_receipt([], 1, 1, received.at_ms))


def find_tables(method: str, path: str) -> list[Table]:
    """The tables that travel by this call."""
    return [table for table in TABLES.values() if table.method == method and _fits(table.path, path)]


def _fits(pattern: str, path: str) -> bool:
    head, brace, _ = pattern.partition("{")
    return path == pattern if not brace else path.startswith(head) and "/" not in path[len(head) :] and path != head
