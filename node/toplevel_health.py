"""How reporting stands, in one verdict: for the doctor, and for whoever watches the node."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from asyncpg import Connection

from node.store import outbox as store
from node.toplevel_keys import find_signing_since
from node.toplevel_link import LINK
from schemas.days import ZONE
from schemas.texts.written import describe_written

SILENT_AFTER = timedelta(minutes=5)
KEY_CHANGED_WITHIN = timedelta(days=365)  # domain.md §f.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is a label if all is well, else a text's."""

    state: Literal["ok", "warning", "error"]
    code: str
    details: dict[str, Any] = field(default_factory=dict)


async def judge_reports(conn: Connection, url: str | None, now: datetime) -> Verdict:
    """The worst that is to be said: dead letters, silence, refusals, an old key; else that all is well."""
    if url is None:
        return Verdict("ok", "toplevel_off")
    standing = await store.fetch_standing(conn)
    link, answered = await store.find_mark(conn, LINK), await store.find_mark(conn, f"{LINK}_ok")
    details: dict[str, Any] = {"url": url, "waiting": standing.waiting, "dead": standing.dead}
    if standing.dead:
        return Verdict("error", "toplevel_dead_letters", details)
    if link is None:
        return Verdict("warning", "toplevel_never", details)
    if link[0] or now - link[1] > SILENT_AFTER:
        since = answered[1].astimezone(ZONE).isoformat(timespec="seconds") if answered else "–"
        long = answered is None or now - answered[1] > timedelta(hours=1)
        reason = link[0] or "no heartbeat"
        why = {"reason": describe_written(reason, "zh"), "reason_en": describe_written(reason, "en"), "since": since}
        return Verdict("error" if long else "warning", "toplevel_silent", details | why)
    if standing.refused:
        (last,) = await store.fetch_messages(conn, ["refused"], 1)
        refusals = await store.fetch_refusals(conn, last.message_id)
        message = f"{refusals[0].row_key} {refusals[0].field}: {refusals[0].message}" if refusals else last.code
        more = {"refused": standing.refused, "table": last.table_name, "period": last.period, "message": message}
        return Verdict("warning", "toplevel_refuses", details | more)
    signing_since = await find_signing_since(conn)
    if signing_since is not None and now - signing_since > KEY_CHANGED_WITHIN:
        day = signing_since.astimezone(ZONE).date().isoformat()
        return Verdict("warning", "toplevel_key_old", details | {"since": day})
    seconds = int((now - link[1]).total_seconds())
    return Verdict("ok", "toplevel_well", details | {"seconds": max(seconds, 0)})
