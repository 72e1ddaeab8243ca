"""What passes between us and the top-level node beside reports: heartbeats, its tasks and decisions, comparisons."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from asyncpg import Connection, Record

from node.hash_list import report_hashes
from node.monthly_report import report_month
from node.outbox import TRY_AGAIN, decode_rows, renew
from node.plausible_time import ABOVE_MARK
from node.report_rows import make_route
from node.reporting import REPORTS, Reporter, Written, report_day, report_monitoring
from node.store import outbox as outbox_store
from node.store import reports as store
from node.store.outbox import Message
from node.toplevel_client import Answer, Call, TopLevel, has_receipt
from node.toplevel_keys import activate, find_active_id, find_new_key, get_signer, make_key, open_key
from registry.prefixes import NodeRules, approve_prefix, refuse_prefix
from registry.principals import Order, Principal
from registry.records import freeze, get_stored
from registry.store.changes import Act
from schemas.days import get_day
from schemas.errors import InvalidInput, ServiceError
from schemas.identifiers import parse_any_identifier
from schemas.signatures import Algorithm, format_public_key
from schemas.texts import LANGUAGES, format_message, format_remedy
from schemas.toplevel_envelope import BASE_PATH, encode_canonical
from schemas.toplevel_tables import CURRENT, TABLES, Reconciled, Tally, judge_period

if TYPE_CHECKING:
    import aiohttp

LINK = "link"  # the mark of the last answer; its value is empty, or says what is wrong
MAX_TASK_CHARACTERS = 10_000
DECISIONS = ("approved", "refused")
STATISTICS = ("T3", "T8")
MONITORING = ("M1", "M2")
DAILY = (*STATISTICS, *MONITORING)
COMPARED_DAILY = (*DAILY, "T9", "M3")
LARGE = ("T9",)  # compared once after its last part was answered, then only while it differs
PARTS_PER_READ = 50
MONTHLY = ("T5", "T10", "MR")
STANDING = ("T1", "T2", "T4", "T6", "T7", "T11", "PREFIXES", "STATE")
_GROUPS = {"T1": "node", "T2": "node", "T6": "enterprises", "T7": "prefixes", "T4": "templates", "T11": "templates",
           "T5": "applications", "T10": "applications", "PREFIXES": "prefixes", "STATE": "prefixes",
           "M3": "events"}  # fmt: skip

log = logging.getLogger("idnode.toplevel")


@dataclass(frozen=True, slots=True)
class Link:
    """One way to the top-level node, and what the node that reports is. `algorithm` is for keys to come."""

    toplevel: TopLevel
    reporter: Reporter
    rules: NodeRules
    algorithm: Algorithm
    started: datetime


def read_version() -> str:
    try:
        return version("idnode")
    except PackageNotFoundError:
        return "0"


async def enrol(url: str, toplevel: TopLevel, prefixes: tuple[str, ...], session: "aiohttp.ClientSession") -> str:
    """Make our key known to a rehearsal node of this machine; empty, or why it would not."""
    import aiohttp

    signer = toplevel.signer
    public_key = format_public_key(signer.algorithm, signer.private_key)
    root = url[: -len(BASE_PATH)] if url.endswith(BASE_PATH) else url
    for prefix in prefixes:
        document = {"app": signer.app, "prefix": prefix, "algorithm": signer.algorithm, "publicKey": public_key}
        try:
            async with session.post(f"{root}/sim/enrol", json=document, timeout=aiohttp.ClientTimeout(10)) as answer:
                if answer.status != 200:
                    return f"HTTP {answer.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return str(error) or type(error).__name__
    return ""


# Heartbeat ------------------------------------------------------------------------------------------------------


async def beat(conn: Connection, link: Link, now: datetime) -> bool:
    """One heartbeat for each secondary prefix; tasks it brings are stored. Whether all were answered."""
    standing = await outbox_store.fetch_standing(conn)
    answered = True
    for prefix in link.reporter.prefixes:
        closed = await store.find_last_closed(conn, prefix)
        document = {
            "version": read_version(),
            "uptimeSec": max(int((now - link.started).total_seconds()), 0),
            "queueDepth": standing.waiting + standing.dead,
            "lastClosedDay": closed.isoformat() if closed else None,
            "clockMs": int(now.timestamp() * 1000),
            "routesHash": hash_routes(link.reporter, prefix),
            "health": "degraded" if standing.dead or standing.refused else "ok",
        }
        answer = await link.toplevel.call(Call("POST", "/heartbeat", prefix, orjson.dumps(document)), now)
        if answer.date is not None:
            await outbox_store.set_mark(conn, ABOVE_MARK, str((now - answer.date).total_seconds()), now)
        if not (answer.status == 200 and has_receipt(answer)):
            answered = False
            await note_link(conn, _explain(answer), now)
            break
        tasks = (answer.document or {}).get("tasks")
        for task in tasks if isinstance(tasks, list) else ():
            await take_task(conn, task, now)
    if answered:
        await note_link(conn, "", now)
    return answered


def hash_routes(reporter: Reporter, prefix: str) -> str:
    """SHA-256 of our rows of T2, by which the node above sees that its own are old."""
    return sha256(encode_canonical([make_route(prefix, *reporter.route)])).hexdigest()


async def note_link(conn: Connection, trouble: str, now: datetime) -> None:
    await outbox_store.set_mark(conn, LINK, trouble, now)
    if not trouble:
        await outbox_store.set_mark(conn, f"{LINK}_ok", "", now)


def _explain(answer: Answer) -> str:
    code = (answer.document or {}).get("code", "")
    return f"{answer.reason} {code}".strip() or "no receipt"


# Tasks ----------------------------------------------------------------------------------------------------------


async def take_task(conn: Connection, task: object, now: datetime) -> None:
    """Store a task once, whatever often it comes."""
    if not isinstance(task, dict) or not isinstance(task.get("id"), str):
        return
    text, kind = orjson.dumps(task).decode(), task.get("kind")
    if len(text) <= MAX_TASK_CHARACTERS:
        await store.store_task(conn, task["id"][:100], kind[:40] if isinstance(kind, str) else "", text, now)


async def work_on_tasks(conn: Connection, link: Link, now: datetime) -> None:
    """Do what was asked and was not done, and say what came of it."""
    for task in await store.fetch_unreported_tasks(conn):
        state, result = task["state"], task["result"]
        if state == "received":
            try:
                state, result = "done", await _do(conn, link, task, now)
            except ServiceError as error:
                state, result = "failed", _explain_refusal(error)
            except ValueError as error:
                state, result = "failed", str(error)[:500]
            except (KeyError, TypeError) as error:
                state, result = "failed", f"the task cannot be read ({type(error).__name__})"
            log.warning("task %s, %s: %s: %s", task["task_id"], task["kind"], state, result)
            await store.finish_task(conn, task["task_id"], (state, result), now)
        body = orjson.dumps({"status": state, "message": result})
        path = f"/tasks/{quote(task['task_id'], safe='')}/result"
        answer = await link.toplevel.call(Call("POST", path, link.reporter.prefixes[0], body), now)
        if answer.status is None or answer.status >= 500 or answer.status in TRY_AGAIN - {404}:
            return
        await store.note_task_reported(conn, task["task_id"], now)


async def _do(conn: Connection, link: Link, task: Record, now: datetime) -> str:
    """One task; what came of it in words. Raises ServiceError or ValueError, in words too."""
    document = orjson.loads(task["document"])
    match task["kind"]:
        case "resend":
            return await _resend(conn, link, (*_read_subject(document, now), document.get("reason")), now)
        case "correction":
            return await _correct(conn, link, _read_subject(document, now), now)
        case "contactChange":
            # Whom to call is the operator's to say, in a file of his; it is looked at once a minute.
            return "noted for the operator: T1 goes as a new revision as soon as its contact is changed"
        case "freeze":
            act = Act(f"toplevel:{task['task_id']}"[:80], now, str(document.get("reason", ""))[:255])
            async with conn.transaction():
                handle = parse_any_identifier(str(document.get("handle") or ""))
                located = await get_stored(conn, handle, for_update=True)
                await freeze(conn, located, str(document.get("notice") or document.get("reason") or "–"), act)
            return f"{document['handle']} is frozen"
        case "rotateKey":
            return await rotate(conn, link, now)
    raise ValueError(f"unknown kind of task {task['kind']!r}")


def _explain_refusal(error: ServiceError) -> str:
    """In both languages with what to do: who asked reads it above, the operator here."""
    details = {"field": error.field or "", **error.details}
    told = [(format_message(error.code, each, **details), format_remedy(error.code, each, **details))
            for each in LANGUAGES]  # fmt: skip
    return " / ".join(" ".join(each).strip() for each in told)[:500]


def _read_subject(document: dict[str, Any], now: datetime) -> tuple[str, str]:
    """Table and period; tables that say how things stand need no period. Raises ValueError in words."""
    table = TABLES.get(str(document.get("table")))
    if table is None:
        raise ValueError(f"there is no table {document.get('table')!r}; known are {', '.join(TABLES)}")
    period = document.get("period") or CURRENT
    problem = judge_period(table, period, get_day(now))
    if problem is not None:
        raise ValueError(f"{table.name}: {format_message(f'tln_{problem.code.lower()}', 'en', field=str(period))}")
    return table.name, str(period)


async def _resend(conn: Connection, link: Link, asked: tuple[str, str, object], now: datetime) -> str:
    """Everything of a table and period as new revisions, for a receiver that lost it. `asked` has the reason, too."""
    (table, period, reason), again = asked, 0
    for prefix in link.reporter.prefixes:
        for message in await outbox_store.fetch_latest_of(conn, table, period, prefix):
            again += 1
            if message.state in ("accepted", "refused", "dead"):
                async with conn.transaction():
                    await renew(conn, message, f"asked for: {reason or 'resend'}"[:255], now)
    if not again and table in DAILY:
        again = len((await _write_day(conn, link, table, period, now)).messages)
    if not again:
        raise ValueError(f"nothing of {table} {period} was ever reported")
    return f"{table} {period} goes again, messages: {again}"


async def _write_day(conn: Connection, link: Link, table: str, period: str, now: datetime) -> Written:
    day = date.fromisoformat(period)
    if day == get_day(now):
        raise InvalidInput("toplevel_task_day_running", field="period", day=day)
    if table in MONITORING:
        return await report_monitoring(conn, link.reporter, day, now)
    return await report_day(conn, link.reporter, day, now)


async def _correct(conn: Connection, link: Link, asked: tuple[str, str], now: datetime) -> str:
    """Look again: what is wrong in our data stays so until a person repairs it, and then goes by itself."""
    table, period = asked
    if table in DAILY:
        written = await _write_day(conn, link, table, period, now)
    elif table == "T6H":
        again = await report_hashes(conn, link.reporter.prefixes, now)
        return f"{table} goes again, messages: {again}"
    elif table == "MR":
        written = await report_month(conn, link.reporter, period, {}, now)
    elif table == "T9":
        return f"{table} {period} is what the log of changes says; what is changed goes with the day it is changed on"
    else:
        written = await REPORTS[_GROUPS[table]](conn, link.reporter, now)
    if written.messages:
        return f"{table} {period} changed and goes as a new revision, messages: {len(written.messages)}"
    return f"{table} {period} is as it was reported; noted for the operator"


async def rotate(conn: Connection, link: Link, now: datetime) -> str:
    """A new key, signed over by the old one. The new one signs once the top-level node said that it knows it.

    It is stored before that is asked for. Where the receipt was lost, the node above may believe the new one alone.
    """
    new = await find_new_key(conn)
    if new is None:
        await make_key(conn, link.rules.key_ring, link.algorithm, now)
        new = await find_new_key(conn)
    if new is None:
        raise ValueError("no new key")
    body = orjson.dumps({"algorithm": new.algorithm, "publicKey": new.public_key, "keyId": new.key_id})
    prefix, old_signer = link.reporter.prefixes[0], link.toplevel.signer
    answer = await link.toplevel.call(Call("POST", "/keys", prefix, body), now)
    link.toplevel.signer = await open_key(conn, link.rules.key_ring, old_signer.app, new.key_id)
    if not (answer.status == 200 and has_receipt(answer)):
        asked = await link.toplevel.call(Call("GET", "/tasks", prefix), now)
        if not (asked.status == 200 and isinstance((asked.document or {}).get("tasks"), list)):
            link.toplevel.signer = old_signer
            raise ValueError(_explain(answer))
    await activate(conn, new.key_id, now)
    return f"key {new.key_id} signs from now on"


async def renew_signer(conn: Connection, link: Link, now: datetime) -> None:
    """The key may have been changed by a command while this process ran."""
    if await find_active_id(conn) != (signer := link.toplevel.signer).key_id:
        link.toplevel.signer = await get_signer(conn, link.rules.key_ring, signer.app, link.algorithm, now)


# Decisions ------------------------------------------------------------------------------------------------------


async def fetch_decisions(conn: Connection, link: Link, now: datetime) -> int:
    """Ask what was decided since the last time, and store it; how many were news."""
    news = 0
    for prefix in link.reporter.prefixes:
        mark = await outbox_store.find_mark(conn, f"decisions:{prefix}")
        since = mark[0] if mark else "0"
        answer = await link.toplevel.call(Call("GET", f"/entities/enterprises/decisions?since={since}", prefix), now)
        decisions = (answer.document or {}).get("decisions")
        if answer.status != 200 or not isinstance(decisions, list):
            continue
        async with conn.transaction():
            for entry in decisions:
                try:
                    number, about, decision, at = _read_decision(entry)
                except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
                    log.warning("a decision that cannot be read is passed over (%r): %.200r", error, entry)
                    continue
                news += await store.store_decision(conn, *about, decision, at, now)
                since = str(max(int(since), number))
            await outbox_store.set_mark(conn, f"decisions:{prefix}", since, now)
    return news


def _read_decision(entry: dict[str, Any]) -> tuple[int, tuple[str, str], tuple[str, str], datetime]:
    """Its number, (kind, subject), (decision, reason), when; raises what reading a stranger's words can raise."""
    decision = entry["decision"]
    if decision not in DECISIONS:  # anything else would be taken for a refusal
        raise ValueError(decision)
    about = (str(entry["kind"])[:40], str(entry["subject"])[:100])
    reason = str(entry.get("reason") or "")[:500]
    return int(entry["number"]), about, (decision, reason), datetime.fromtimestamp(entry["at"] / 1000, UTC)


async def apply_decisions(conn: Connection, link: Link, now: datetime) -> None:
    """Where the top-level node must agree, prefixes that wait for it are enabled or refused."""
    if not link.rules.toplevel_approval_required:
        return
    waiting = await conn.fetch(
        "SELECT d.subject, d.decision, d.reason FROM toplevel_decisions d JOIN prefixes x ON x.prefix = d.subject"
        " WHERE d.kind = 'prefix' AND d.applied IS NULL AND x.state = 5 ORDER BY d.subject"
    )
    for row in waiting:
        order = Order(Principal("toplevel", "toplevel:PREFIXES"), now, row["reason"] or "–")
        try:
            if row["decision"] == "approved":
                await approve_prefix(conn, link.rules, order, row["subject"])
            else:
                await refuse_prefix(conn, order, row["subject"])
        except ServiceError as error:
            log.warning("the decision on %s was not applied: %s", row["subject"], error)
            continue
        await conn.execute(
            "UPDATE toplevel_decisions SET applied = $2 WHERE kind = 'prefix' AND subject = $1", row["subject"], now
        )


# Comparing ------------------------------------------------------------------------------------------------------


async def reconcile_day(conn: Connection, link: Link, day: str, now: datetime) -> bool:
    """Compare what we said of a day with what the top-level node has; whether all is equal that was accepted."""
    return await _reconcile(conn, link, COMPARED_DAILY, day, now)


async def reconcile_month(conn: Connection, link: Link, month: str, now: datetime) -> bool:
    """The same of what is told once a month."""
    return await _reconcile(conn, link, MONTHLY, month, now)


async def reconcile_standing(conn: Connection, link: Link, now: datetime) -> bool:
    """The same of what is told as it stands."""
    return await _reconcile(conn, link, STANDING, CURRENT, now)


async def _reconcile(conn: Connection, link: Link, tables: Sequence[str], period: str, now: datetime) -> bool:
    equal = True
    for prefix in link.reporter.prefixes:
        for table in tables:
            about = (table, period, prefix)
            if table in LARGE and await store.is_compared_since(conn, about):
                continue
            told = await _tally_told(conn, about)
            if told is None:
                continue
            answer = await link.toplevel.call(Call("GET", f"/recon/{table}?period={quote(period)}", prefix), now)
            if answer.status is None or answer.status >= 500:
                return equal  # it is away, which the heartbeat says
            if answer.status != 200 or answer.document is None:
                continue  # it compares no such table
            ours = told._asdict()
            theirs = {name: answer.document.get(name) for name in ours}
            same = ours == theirs
            equal = equal and same
            texts = orjson.dumps(ours).decode(), orjson.dumps(theirs).decode()
            await store.store_reconciliation(conn, about, *texts, same, now)
    return equal


async def _tally_told(conn: Connection, about: tuple[str, str, str]) -> Reconciled | None:
    """What we told of table, period, prefix, read part by part; None unless all was accepted and is kept."""
    tally, after = Tally(about[0]), 0
    while told := await outbox_store.fetch_told(conn, about, after, PARTS_PER_READ):
        for message, body in told:
            if message.state != "accepted" or body is None:
                return None
            await asyncio.to_thread(_add_rows, tally, message, body)
        after = told[-1][0].part
    return tally.finish() if after else None


def _add_rows(tally: Tally, message: Message, body: bytes) -> None:
    tally.add(decode_rows(message, body))
