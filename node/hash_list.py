"""T6H: every night the full list of enterprises as hashes, by which the node above finds what it has otherwise.

domain.md §f.5 asks for it beside the hourly differences. What it refuses is told once more, and then the list again.
"""

from datetime import datetime
from hashlib import sha256

from asyncpg import Connection

from node.outbox import Report, decode_rows, renew, repeat
from node.report_rows import Row
from node.store import outbox as store
from node.store.outbox import Message
from schemas.toplevel_envelope import encode_canonical
from schemas.toplevel_tables import CURRENT, TABLES, format_row_key

REPAIRED = "telling again what the hash list found"


async def report_hashes(conn: Connection, prefixes: tuple[str, ...], now: datetime) -> int:
    """A new revision of each part, beside the part of T6 it is about; how many there were.

    Those of which T6 has not been answered yet are left for another night: they could only differ.
    """
    written = 0
    for prefix in prefixes:
        for message in await store.fetch_latest_of(conn, "T6", CURRENT, prefix):
            rows = await _list_accepted(conn, message)
            if rows is None:
                continue
            hashes = [{"crtCode": row["crtCode"], "sha256": hash_row(row)} for row in rows]
            async with conn.transaction():
                await repeat(conn, Report("T6H", CURRENT, prefix, hashes, message.part, message.parts), now)
            written += 1
    return written


def hash_row(row: Row) -> str:
    return sha256(encode_canonical(row)).hexdigest()


async def _list_accepted(conn: Connection, message: Message) -> list[Row] | None:
    """The rows of T6 that the node above has; None while that is not known."""
    body = await store.fetch_body(conn, message.message_id)
    if body is None or message.state not in ("accepted", "refused"):
        return None
    refused = {refusal.row_key for refusal in await store.fetch_refusals(conn, message.message_id)}
    rows = decode_rows(message, body)
    return [row for row in rows if format_row_key(TABLES["T6"], row) not in refused]


async def repair_differing(conn: Connection, prefixes: tuple[str, ...], now: datetime) -> int:
    """Tell again the parts of T6 of which a list was refused, then the list, once; how many there were."""
    repaired = 0
    for prefix in prefixes:
        firms = {message.part: message for message in await store.fetch_latest_of(conn, "T6", CURRENT, prefix)}
        for refused in await store.fetch_latest_of(conn, "T6H", CURRENT, prefix):
            firm = firms.get(refused.part)
            if refused.state != "refused" or refused.reason == REPAIRED or firm is None:
                continue
            async with conn.transaction():
                if firm.state == "accepted":
                    await renew(conn, firm, REPAIRED, now)
                await renew(conn, refused, REPAIRED, now)
            repaired += 1
    return repaired
