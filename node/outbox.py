"""The transactional outbox: reports are written with what they report, sent until they are answered, never twice.

A message says how things are, not what was added, and its key is (table, period, prefix, part, revision): it may be
sent and arrive any number of times, in any order. One that is refused holds nothing else back.
"""

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson
from asyncpg import Connection

from node.store import outbox as store
from node.store.outbox import Message, MessageKey, NewMessage, Outcome, Refusal
from node.toplevel_client import Answer, Call, TopLevel, has_receipt
from schemas.errors import Conflict
from schemas.toplevel_envelope import Envelope, encode_canonical, encode_envelope, encode_lines
from schemas.toplevel_form import File, decode_form, encode_form, format_form_type
from schemas.toplevel_tables import TABLES, format_row_key

DEAD_AFTER = timedelta(hours=72)
LONGEST_PAUSE_SECONDS = 300.0
PENDING_SECONDS = 60.0
# Not the message's fault: clock, nonce, signature, key; or a prefix whose request has not arrived yet.
TRY_AGAIN = {401, 404, 408, 425, 429}

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """Rows of a table for a period, or one part of them; `reason` says why it is said again.

    A `file` goes with the rows of a form, which name its digest.
    """

    table_name: str
    period: str
    prefix: str
    rows: Rows
    part: int = 1
    parts: int = 1
    watermark: int | None = None
    provisional: bool = False
    reason: str = ""
    file: File | None = None

    @property
    def key(self) -> MessageKey:
        return MessageKey(self.table_name, self.period, self.prefix, self.part)


async def enqueue(conn: Connection, report: Report, now: datetime) -> UUID | None:
    """Write a report in the caller's transaction; None if its newest revision says the same already."""
    await store.lock_key(conn, report.key)
    latest = await store.find_latest(conn, report.key)
    content = sha256(encode_canonical(report.rows)).digest()
    if latest is not None and latest.content_sha256 == content:
        return None
    return await _write(conn, report, content, await _choose_revision(conn, latest), now)


async def repeat(conn: Connection, report: Report, now: datetime) -> UUID:
    """The same, as the next revision even if it says nothing new: that it is said again is the news."""
    await store.lock_key(conn, report.key)
    latest = await store.find_latest(conn, report.key)
    content = sha256(encode_canonical(report.rows)).digest()
    return await _write(conn, report, content, await _choose_revision(conn, latest), now)


async def _choose_revision(conn: Connection, latest: store.Latest | None) -> int:
    """The next one; of a restored node beyond all that was sent after its backup, since the highest counts above."""
    return max(0 if latest is None else latest.revision + 1, await store.fetch_least_revision(conn))


async def _write(conn: Connection, report: Report, content: bytes, revision: int, now: datetime) -> UUID:
    table = TABLES[report.table_name]
    batch_id = uuid5(NAMESPACE_URL, f"{report.prefix}/{report.table_name}/{report.period}/{revision}")
    envelope = Envelope(
        report.table_name, report.prefix, report.period, str(batch_id), report.rows, report.part, report.parts,
        revision, report.watermark, report.reason or ("changed" if revision else ""),
    )  # fmt: skip
    body = gzip.compress(encode_lines(envelope), 6, mtime=0) if table.lines else encode_envelope(envelope)
    body = body if report.file is None else encode_form(body, report.file)
    new = NewMessage(
        report.key, revision, report.parts, table.path.format(prefix=_name_prefix(report)), body,
        "gzip" if table.lines else "", content, len(report.rows), report.provisional, report.reason,
    )  # fmt: skip
    return await store.insert_message(conn, new, now)


def _name_prefix(report: Report) -> str:
    return str(report.rows[0].get("prefix", "")) if report.rows else ""


def decode_rows(message: Message, body: bytes) -> Rows:
    """The rows of a message, from its body."""
    if TABLES[message.table_name].form:
        body, _ = decode_form(body)
    if TABLES[message.table_name].lines:
        lines = gzip.decompress(body).splitlines() if message.encoding == "gzip" else body.splitlines()
        return [orjson.loads(line) for line in lines[1:]]
    rows: Rows = orjson.loads(body)["rows"]
    return rows


async def renew(conn: Connection, message: Message, reason: str, now: datetime) -> UUID:
    """The same rows as the next revision, for a receiver that lost or refused them; raises Conflict."""
    body = await store.fetch_body(conn, message.message_id)
    if body is None:
        raise Conflict("outbox_body_gone", table=message.table_name, period=message.period)
    report = Report(
        message.table_name, message.period, message.prefix, decode_rows(message, body), message.part, message.parts,
        None, message.provisional, reason, decode_form(body)[1] if TABLES[message.table_name].form else None,
    )  # fmt: skip
    return await repeat(conn, report, now)


async def retry(conn: Connection, message: Message, now: datetime) -> UUID:
    """At the operator's wish: a dead or waiting one now, a refused one as the next revision; raises Conflict."""
    latest = await store.find_latest(conn, message.key)
    if latest is not None and latest.message_id != message.message_id:
        raise Conflict("outbox_replaced", number=message.number, revision=latest.revision)
    if message.state == "refused":
        return await renew(conn, message, "retried by the operator", now)
    if not await store.revive(conn, message.message_id, now):
        raise Conflict("outbox_not_waiting", number=message.number, state=message.state)
    return message.message_id


# Sending --------------------------------------------------------------------------------------------------------

Clock = Callable[[], datetime]


async def send_due(
    conn: Connection, toplevel: TopLevel, clock: Clock, limit: int = 100, chance: Callable[[], float] = random.random
) -> tuple[int, bool]:
    """Send what is due, one after the other; how many were sent, and whether the top-level node answers at all.

    The first one that gets no answer ends the pass: the others would not either. `chance` gives 0 to 1 for jitter.
    """
    for done in range(limit):
        message = await store.find_due(conn, clock())
        if message is None:
            return done, True
        answer = await send(conn, toplevel, message, clock, chance)
        if answer.status is None:
            return done, False
    return limit, True


async def send(
    conn: Connection, toplevel: TopLevel, message: Message, clock: Clock, chance: Callable[[], float] = random.random
) -> Answer:
    """Send one message and store what it came to."""
    table = TABLES[message.table_name]
    body = await store.fetch_body(conn, message.message_id) or b""
    media_type = "application/x-ndjson" if table.lines else "application/json"
    media_type = format_form_type(body) if table.form else media_type
    call = Call(table.method, message.path, message.prefix, body, media_type, message.encoding, str(message.message_id))
    answer = await toplevel.call(call, clock())
    outcome = judge_answer(message, answer, clock(), chance())
    if outcome.refusals:
        outcome = _name_rows(outcome, message, body)
    async with conn.transaction():
        await store.store_outcome(conn, message.message_id, outcome)
    return answer


def judge_answer(message: Message, answer: Answer, now: datetime, chance: float) -> Outcome:
    """What an answer means for its message."""
    document = answer.document or {}
    status = answer.status
    if status is not None and status < 500 and status not in TRY_AGAIN and has_receipt(answer):
        verdict, receipt_id = document["status"], document["receiptId"][:200]
        if verdict == "ACCEPTED" and status < 300:
            return Outcome("accepted", now, now, status, receipt_id)
        if verdict == "PENDING" and status < 300:
            return Outcome("sent", now, now + timedelta(seconds=PENDING_SECONDS), status, receipt_id)
        if verdict in ("PARTIAL", "REJECTED"):
            refusals = _read_refusals(document)
            code = refusals[0].code if refusals else ""
            return Outcome("refused", now, now, status, receipt_id, code, "", refusals)
    code = str(document.get("code", ""))[:40] or next((refusal.code for refusal in _read_refusals(document)), "")
    trouble = answer.reason if status is None or status >= 300 else "an answer that is no receipt"
    dead = now - message.waiting_since >= DEAD_AFTER
    pause = answer.retry_after_seconds or choose_pause_seconds(message.attempts, chance)
    return Outcome("dead" if dead else "waiting", now, now + timedelta(seconds=pause), status, "", code, trouble[:400])


def choose_pause_seconds(attempts: int, chance: float) -> float:
    """1, 2, 4 … 300 seconds, less up to half of it so that not all come back at once."""
    return min(LONGEST_PAUSE_SECONDS, 2.0 ** min(attempts, 20)) * (1 - chance / 2)


def _read_refusals(document: dict[str, Any]) -> tuple[Refusal, ...]:
    """Whatever stands in an answer; what is not there is empty."""
    rejected = document.get("rejected")
    return tuple(map(_read_refusal, rejected)) if isinstance(rejected, list) else ()


def _read_refusal(entry: object) -> Refusal:
    given = entry if isinstance(entry, dict) else {}
    row = given.get("row")
    return Refusal(
        row if type(row) is int and 0 <= row < 2**31 else -1,
        str(given.get("field") or "")[:100],
        str(given.get("code") or "")[:40],
        "",
        str(given.get("msg") or "")[:400],
    )


def _name_rows(outcome: Outcome, message: Message, body: bytes) -> Outcome:
    """Refusals with the key of the row they are about."""
    table, rows = TABLES[message.table_name], decode_rows(message, body)
    named = tuple(
        refusal._replace(row_key=format_row_key(table, rows[refusal.row_number]))
        if 0 <= refusal.row_number < len(rows)
        else refusal
        for refusal in outcome.refusals
    )
    return replace(outcome, refusals=named)
