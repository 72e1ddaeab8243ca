"""An alarm is told once, again while it lasts, once more when it is over, and reaches people signed and complete."""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import socket
import socketserver
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from smtplib import SMTPNotSupportedError
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import node.alarm_ways
from node.agent_stats import AgentStats
from node.alarm_ways import SIGNATURE, TIMESTAMP, check_may_read, deliver, send_mail, send_webhook
from node.alarms import (
    CAUSES,
    CLEAR_SECONDS,
    Alarm,
    Book,
    Condition,
    Letter,
    decide,
    describe,
    find_book,
    list_open,
    read_book,
    write_book,
    write_letters,
)
from node.clock import REQUEST, SINCE_1900, ask_time_server, compute_offset
from node.segment_files import get_free_bytes
from node.settings import NodeSettings, load_settings
from node.store.alarms import count_open, fetch_alarms
from node.watch import SupervisorWatch, Watch
from node.watching import (
    Memory,
    check_caches,
    check_database,
    check_disks,
    check_machine,
    check_restarts,
    check_stored,
    check_workers,
)
from schemas.process_stats import StatsFile, read_stats
from schemas.texts import TEXTS, format_message

HOUR = 3600.0
MakeSettings = Callable[..., NodeSettings]


@pytest.fixture
def make_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MakeSettings:
    def make(**variables: str) -> NodeSettings:
        for name, value in ({"DATA_DIR": str(tmp_path), "LANGUAGE": "en"} | variables).items():
            monkeypatch.setenv(f"IDNODE_{name}", value)
        return load_settings(NodeSettings)

    return make


# Deciding ---------------------------------------------------------------------------------------------------------

AWAY = Condition("database_away", "", {"seconds": 12})
# what is true at which second, and what is told then
COURSES: dict[str, list[tuple[float, list[Condition], list[str]]]] = {
    "once, however often it is seen": [(0, [AWAY], ["raised"]), (5, [AWAY], []), (10, [AWAY], [])],
    "again while it lasts": [(0, [AWAY], ["raised"]), (HOUR, [AWAY], ["repeated"]), (HOUR + 5, [AWAY], [])],
    "over when it was not seen for a while": [(0, [AWAY], ["raised"]), (5, [], []), (CLEAR_SECONDS, [], ["cleared"])],
    "not over for a moment's peace": [(0, [AWAY], ["raised"]), (20, [], []), (25, [AWAY], []), (50, [], [])],
    "two subjects are two alarms": [
        (0, [Condition("slow_resolution", "resolver-0")], ["raised"]),
        (1, [Condition("slow_resolution", "resolver-0"), Condition("slow_resolution", "resolver-1")], ["raised"]),
    ],
    "the clock set back an hour loses nothing": [
        (HOUR, [AWAY], ["raised"]), (5, [AWAY], ["repeated"]), (10, [AWAY], []), (5 + 2 * HOUR, [], ["cleared"]),
    ],
    "a clock that was days ahead for a while silences nothing": [
        (0, [AWAY], ["raised"]), (240 * HOUR, [AWAY], ["repeated"]), (5, [AWAY], ["repeated"]),
        (5 + HOUR, [AWAY], ["repeated"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("course", COURSES)
def test_an_alarm_is_told(course: str) -> None:
    book = Book()
    for at, conditions, expected in COURSES[course]:
        assert [kind for kind, _ in decide(book, conditions, at, HOUR)] == expected, at


@given(st.lists(st.tuples(st.integers(1, 100), st.booleans()), max_size=60))
def test_nothing_is_raised_twice_nor_cleared_without_having_been_raised(looks: list[tuple[int, bool]]) -> None:
    book, now, told = Book(), 0.0, []
    for step, is_there in looks:
        now += step
        told += [kind for kind, _ in decide(book, [AWAY] if is_there else [], now, HOUR) if kind != "repeated"]
    assert told == (["raised", "cleared"] * len(told))[: len(told)]
    assert len(book.alarms) == len(told) % 2


def test_the_book_survives_a_restart_and_a_broken_one_is_an_empty_one(tmp_path: Path) -> None:
    path, book = find_book(tmp_path, "agent"), Book()
    told = decide(book, [AWAY, Condition("disk_full", "data", {"percent": 3})], 100.0, HOUR)
    write_letters(book, told, ["mail"], "node.example", 100.0)
    write_book(path, book)
    assert read_book(path) == book
    assert decide(read_book(path), [AWAY], 105.0, HOUR) == [], "the restarted agent does not tell it again"
    assert [alarm.cause for alarm in list_open(tmp_path)] == ["database_away", "disk_full"]
    path.write_text("{")
    assert read_book(path) == Book()


def test_a_full_disk_is_in_the_list_of_alarms_although_letters_have_no_room(tmp_path: Path) -> None:
    path, book = find_book(tmp_path, "agent"), Book()
    write_book(path, book)
    path.with_suffix(f".{os.getpid()}.new").mkdir()  # no other file can be made
    told = decide(book, [Condition("disk_full", "data", {"percent": 0})], 100.0, HOUR)
    write_letters(book, told * 50, ["mail"], "node.example", 100.0)
    write_book(path, book)
    assert [alarm.cause for alarm in list_open(tmp_path)] == ["disk_full"]


def test_people_read_times_at_utc_8_and_grouped_digits_in_an_alarm() -> None:
    ahead = Alarm("clock_jumped", "", {"at": "2026-11-23T22:54:58+00:00", "hours": 4987.5}, 0, 0, 0)
    assert "（2026-11-24 06:54:58）" in describe("raised", ahead, "", 0)["message"]["zh"]
    assert "is 4,987.5 hours ahead" in describe("raised", ahead, "", 0)["message"]["en"]
    apart = describe("raised", Alarm("clock_off", "database", {"seconds": -4752000.0}, 0, 0, 0), "", 0)
    assert "与 数据库 相差 -4,752,000.0 秒" in apart["message"]["zh"]
    assert apart["details"] == {"seconds": -4752000.0}, "programs read what was measured"


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_words_in_which_nothing_is_missing(cause: str) -> None:
    names = "seconds percent answers path free lost refused dead differing end days times note hours at due number"
    names += " latest"
    details = dict.fromkeys(names.split(), 1)
    assert f"alarm_{cause}" in TEXTS
    for language in ("zh", "en"):
        assert "…" not in format_message(f"alarm_{cause}", language, subject="x", **details)


# Sending ----------------------------------------------------------------------------------------------------------


@contextmanager
def run_hook(status: int = 200) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A receiver of webhooks: its address, and what it got."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Mailbox(socketserver.StreamRequestHandler):
    """Enough of SMTP (RFC 5321) to take one message."""

    def handle(self) -> None:
        self.wfile.write(b"220 mail.example\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.got.append(b"".join(lines))  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


@contextmanager
def run_mailbox() -> Iterator[tuple[str, list[bytes]]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.got = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"smtp://127.0.0.1:{server.server_address[1]}", server.got  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


def make_document(at: float = 1_772_424_000.0) -> dict[str, Any]:
    alarm = Alarm("disk_full", "data", {"path": "/data", "free": "5 MB", "percent": 1, "lost": 0}, at, at, at)
    return describe("raised", alarm, "node.example", at)


def test_a_webhook_is_signed_and_says_everything(make_settings: MakeSettings) -> None:
    began = time.time()
    with run_hook() as (url, got):
        settings = make_settings(ALARM_WEBHOOK_URL=url, ALARM_WEBHOOK_SECRET="s3cret")
        send_webhook(settings, make_document())
    (headers, body) = got[0]
    signed = headers[TIMESTAMP].encode() + b"." + body
    assert headers[SIGNATURE] == "sha256=" + hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert int(headers[TIMESTAMP]) >= int(began), "of the attempt: one that waited for hours is not refused as old"
    document = json.loads(body)
    assert (document["cause"], document["kind"], document["paragraph"]) == (
        "disk_full", "raised", "docs/operations.md#disk_full",
    )  # fmt: skip
    assert "/data" in document["message"]["zh"]
    assert document["remedy"]["en"]


@pytest.mark.parametrize("status", [302, 307, 400, 500])
def test_a_webhook_that_is_not_taken_stays_and_follows_nobody_elsewhere(
    make_settings: MakeSettings, status: int
) -> None:
    book = Book(unsent=[Letter("webhook", make_document(), 0.0), Letter("webhook", make_document(), 1.0)])
    with run_hook(status) as (url, got):
        deliver(make_settings(ALARM_WEBHOOK_URL=url), book)
    assert len(got) == 1, "one attempt a look, and nothing at the other address"
    assert len(book.unsent) == 2
    with run_hook() as (url, got):
        deliver(make_settings(ALARM_WEBHOOK_URL=url), book)
    assert (len(got), book.unsent) == (2, [])


@pytest.mark.parametrize("hook", ["nobody listens", "what listens speaks no HTTP"])
def test_one_way_that_fails_does_not_hold_the_other(make_settings: MakeSettings, hook: str) -> None:
    book = Book()
    with run_mailbox() as (url, got):
        address = "http://127.0.0.1:1/" if hook == "nobody listens" else url.replace("smtp:", "http:")
        settings = make_settings(
            ALARM_WEBHOOK_URL=address, ALARM_SMTP_URL=url, ALARM_MAIL_FROM="node@example.com",
            ALARM_MAIL_TO="a@example.com,b@example.com",
        )  # fmt: skip
        write_letters(book, decide(book, [AWAY], 5.0, HOUR), ["webhook", "mail"], "node.example", 5.0)
        deliver(settings, book)
    assert [letter.way for letter in book.unsent] == ["webhook"]
    assert len(got) == 1
    text = " ".join(got[0].decode().split())  # a long subject is folded
    assert "[idnode node.example] raised: The database has not answered, or has taken no writes, for 12 s." in text
    assert "docs/operations.md#database_away" in text
    assert "To: a@example.com, b@example.com" in text


def test_a_mail_in_chinese_arrives_as_written(make_settings: MakeSettings) -> None:
    import email
    import email.policy

    with run_mailbox() as (url, got):
        settings = make_settings(ALARM_SMTP_URL=url, ALARM_MAIL_FROM="n@x.cn", ALARM_MAIL_TO="a@x.cn", LANGUAGE="zh")
        send_mail(settings, make_document())
        send_mail(settings, make_document())  # the first answer was lost
        send_mail(settings, make_document(at=1_772_424_001.0))
    message, again, later = (email.message_from_bytes(taken, policy=email.policy.default) for taken in got)
    assert message["Message-ID"] == again["Message-ID"] != later["Message-ID"], "shown once by a mailbox"
    assert message["Subject"].startswith("[idnode node.example] 告警：/data 所在磁盘将满")
    assert "请立即清理或扩容" in message.get_content()


@pytest.mark.parametrize(
    ("address", "may_read"),
    [("127.0.0.1", True), ("::1", True), ("192.0.2.25", False), ("10.0.0.5", False), ("fe80::1%eth0", False)],
)
def test_a_password_goes_in_clear_to_this_machine_alone(address: str, may_read: bool) -> None:
    """Not even into one's own network: who takes STARTTLS out of what a server says would be given it."""
    with nullcontext() if may_read else pytest.raises(SMTPNotSupportedError, match="no STARTTLS"):
        check_may_read(address)


def test_what_a_slow_receiver_has_no_time_for_waits_for_the_next_look_in_its_order(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The book is written between looks: an agent that is killed meanwhile sends little twice."""
    monkeypatch.setattr(node.alarm_ways, "PASS_SECONDS", 0.0)
    book = Book(unsent=[Letter("webhook", make_document(float(n)), 0.0) for n in range(3)])
    with run_hook() as (url, got):
        for number in range(1, 4):
            deliver(make_settings(ALARM_WEBHOOK_URL=url), book)
            assert (len(got), len(book.unsent)) == (number, 3 - number)
    assert [json.loads(body)["at"] for _, body in got] == [0.0, 1.0, 2.0]


def test_letters_nobody_takes_are_bounded(tmp_path: Path) -> None:
    book = Book()
    for number in range(500):
        told = decide(book, [Condition("slow_resolution", f"w{number}")], float(number), HOUR)
        write_letters(book, told, ["mail"], "x", float(number))
    assert len(book.unsent) == 200
    write_letters(book, [], ["mail"], "x", 100_000.0)
    assert book.unsent == [], "older than a day"


# Looking ----------------------------------------------------------------------------------------------------------

WORKER = {
    "written": 1000.0, "cache_entries": 1, "misses": 0, "statements": 0, "statement_seconds": 0.0,
    "database_up": True, "delay_seconds": 0.0,
}  # fmt: skip


def look_at(worker: dict[str, Any], memory: Memory, settings: NodeSettings, now: float = 1000.0) -> list[str]:
    return [c.cause for c in check_workers({"resolver-0": WORKER | worker}, memory, settings, now)]


# two looks: what the worker says at each, when; whether it is slow
SLOW = [
    ({"delay_seconds": 2.0}, {"delay_seconds": 2.0}, True, "late twice"),
    ({"delay_seconds": 2.0}, {"delay_seconds": 0.0}, False, "late once: a pause of the machine"),
    ({"statements": 5, "statement_seconds": 9.0}, {"statements": 6, "statement_seconds": 11.0}, True, "slow database"),
    ({"statements": 5, "statement_seconds": 9.0}, {"statements": 5, "statement_seconds": 9.0}, False, "nothing asked"),
    ({"statements": 5, "statement_seconds": 9.0, "database_up": False},
     {"statements": 6, "statement_seconds": 11.0, "database_up": False}, False, "the database is away: another alarm"),
    ({"written": 900.0}, {"written": 900.0}, True, "it says nothing"),
    ({"written": 990.0}, {"written": 990.0}, False, "not for long yet"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "is_slow", "reason"), SLOW, ids=[row[3] for row in SLOW])
def test_a_slow_worker(
    make_settings: MakeSettings, first: dict[str, Any], second: dict[str, Any], is_slow: bool, reason: str
) -> None:
    memory, settings = Memory(), make_settings()
    assert look_at({"written": 999.0} | first, memory, settings) == []
    assert look_at({"written": 999.0} | first, memory, settings) == [] or first.get("written"), "nothing new was said"
    assert (look_at(second, memory, settings) == ["slow_resolution"]) == is_slow, reason


# (answers, misses) at looks a minute apart; whether the cache is cold at the last
COLD = [
    ([(0, 0), (10_000, 9_000)], True, "most answers needed the database"),
    ([(0, 0), (10_000, 400)], False, "few did"),
    ([(0, 0), (100, 100)], False, "too few to say"),
    ([(0, 0), (9_000, 9_000)] + [(9_000 + n * 5_000, 9_000) for n in range(1, 8)], False, "it was cold, and is warm"),
    ([(50_000, 50_000), (100, 90), (4_000, 200)], False, "the worker began anew"),
]


@pytest.mark.parametrize(("looks", "is_cold", "reason"), COLD, ids=[row[2] for row in COLD])
def test_a_cold_cache(make_settings: MakeSettings, looks: list[tuple[int, int]], is_cold: bool, reason: str) -> None:
    memory, settings, found = Memory(), make_settings(), []
    for minute, (answers, misses) in enumerate(looks):
        stats = {"resolver-0": WORKER | {"misses": misses}}
        found = list(check_caches(stats, {"resolver-0": answers}, memory, settings, 60.0 * minute))
    assert bool(found) == is_cold, reason


# deaths at looks five minutes apart; whether that is too often at the last
DEATHS = [
    ([0, 3], True, "three within ten minutes"),
    ([0, 2], False, "two are not many"),
    ([0, 1, 2, 2, 3, 4], False, "never three within ten minutes"),
    ([5, 0, 1], False, "another supervisor began"),
    ([7], False, "what was before the agent began says nothing about now"),
]


@pytest.mark.parametrize(("looks", "is_often", "reason"), DEATHS, ids=[row[2] for row in DEATHS])
def test_a_process_that_dies_again_and_again(looks: list[int], is_often: bool, reason: str) -> None:
    memory = Memory()
    for number, deaths in enumerate(looks):
        found = list(check_restarts({"resolver-0": deaths}, memory, number * 300.0 * 1.01))
    assert bool(found) == is_often, reason


def test_a_database_is_away_when_it_does_not_come_back() -> None:
    memory = Memory()
    assert list(check_database(False, memory, 0.0)) == []
    assert list(check_database(True, memory, 5.0)) == []
    assert list(check_database(False, memory, 10.0)) == []
    assert [c.details for c in check_database(False, memory, 25.0)] == [{"seconds": 15}]


async def test_refused_reports_and_a_restore_are_seen_in_the_database(connection: asyncpg.Connection) -> None:
    assert await check_stored(connection) == []
    await connection.execute(
        "INSERT INTO outbox (table_name, period, prefix, part, revision, parts, path, state, content_sha256, row_count,"
        " created, waiting_since, next_at) VALUES ('T3', '2026-03-01', '88.101', 0, 1, 1, '/x', 'refused', '', 1,"
        " now(), now(), now())"
    )
    await connection.execute("INSERT INTO node_facts VALUES ('restored', '{}')")
    assert [c.cause for c in await check_stored(connection)] == ["report_refused", "restored"]
    await connection.execute(
        "DELETE FROM outbox; INSERT INTO toplevel_reconciliations SELECT 'T8', (now() - days * interval '1 day')::date,"
        " '88.101', '{}', '{}', equal, now() FROM (VALUES (1, false), (2, true), (70, false)) AS v (days, equal)"
    )
    (differing, _) = await check_stored(connection)
    assert (differing.cause, differing.details) == ("report_refused", {"refused": 0, "dead": 0, "differing": 1})


async def test_a_problem_with_a_code_is_an_alarm_of_its_prefix_until_somebody_takes_it_up(
    connection: asyncpg.Connection,
) -> None:
    async def look() -> list[tuple[str, dict[str, Any]]]:
        return [(c.subject, c.details) for c in await check_stored(connection) if c.cause == "problem_reported"]

    await connection.execute(
        "INSERT INTO enterprises (enterprise_id, certificate_code, name, created, changed) OVERRIDING SYSTEM VALUE"
        " VALUES (9, '', '', now(), now())"
    )
    await connection.execute(
        "INSERT INTO prefixes (prefix, state, created, changed, sandbox_of) SELECT '88.101.' || n, 3, now(), now(),"
        " CASE WHEN n = 9 THEN 9 END FROM generate_series(7, 9) n"
    )
    await connection.execute(
        "INSERT INTO problem_reports (prefix_id, suffix_key, identifier, kind, description, state, source_hash,"
        " created, changed) SELECT prefix_id, 'P', prefix || '/P', 'other', '<b>', word, '', now(), now()"
        " FROM prefixes, unnest(ARRAY['open', 'open', 'in_work', 'closed']) word"
    )
    found = await look()
    assert [(subject, details["number"]) for subject, details in found] == [("88.101.7", 2), ("88.101.8", 2)]
    assert "<b>" not in repr(found), "what anybody wrote goes into no mail"
    await connection.execute("UPDATE problem_reports SET state = 'in_work' WHERE identifier = '88.101.7/P'")
    assert [subject for subject, _ in await look()] == ["88.101.8"]


async def test_a_look_is_copied_into_the_database_and_its_end_too(
    make_settings: MakeSettings, database_url: str, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    watch = Watch(make_settings(ALARM_DISK_PERCENT="99.99", DATABASE_URL=database_url), database_url, AgentStats())
    await watch.look()
    async with pool.acquire() as conn:
        assert await count_open(conn) == {"disk_full": 1}
        await watch.look()
        assert len(await fetch_alarms(conn, 10)) == 1
        watch._settings = make_settings(ALARM_DISK_PERCENT="0")  # type: ignore[attr-defined]
        for alarm in watch._book.alarms.values():  # type: ignore[attr-defined]
            alarm.seen -= CLEAR_SECONDS + 1
        await watch.look()
        assert await count_open(conn) == {}
        assert (await fetch_alarms(conn, 10))[0]["cleared"] is not None
    watch.close()


async def test_a_machine_that_has_another_name_now_leaves_nothing_open_under_the_old_one(
    make_settings: MakeSettings, database_url: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every new container has one, and so has the machine a backup is restored on."""
    settings = make_settings(ALARM_DISK_PERCENT="99.99", DATABASE_URL=database_url)
    for name in ("3f2a", "77bc"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        watch = Watch(settings, database_url, AgentStats())
        await watch.look()
        watch.close()
    assert [alarm["machine"] for alarm in await fetch_alarms(pool, 10) if not alarm["cleared"]] == ["77bc"]


async def test_a_database_that_takes_no_writes_is_as_good_as_away(
    make_settings: MakeSettings, database_url: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby, such as an address still leads to after a switch-over: nothing is registered, nothing counted."""
    monkeypatch.setattr("node.watching.AWAY_SECONDS", 0.0)
    watch = Watch(make_settings(ALARM_DISK_PERCENT="0", DATABASE_URL=database_url), database_url, AgentStats())
    here = await pool.fetchval("SELECT current_database()")
    await pool.execute(f"ALTER DATABASE {here} SET default_transaction_read_only = on")
    try:
        await watch.look()
    finally:
        await pool.execute(f"ALTER DATABASE {here} RESET default_transaction_read_only")
    (alarm,) = watch._book.alarms.values()  # type: ignore[attr-defined]
    assert alarm.cause == "database_away"
    await watch.look()
    assert await count_open(pool) == {"database_away": 1}, "it can be written again, and cleared soon"
    watch.close()


WAITING = """
SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE NOT granted AND datname = current_database()"""


async def test_a_database_that_stops_while_a_look_is_copied_ends_no_look(
    make_settings: MakeSettings, database_url: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.watch.DATABASE_SECONDS", 0.5)
    watch = Watch(make_settings(ALARM_DISK_PERCENT="99.99", DATABASE_URL=database_url), database_url, AgentStats())
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("LOCK TABLE alarms")
        look = asyncio.create_task(watch.look())
        while not (waiting := await conn.fetchval(WAITING)):
            await asyncio.sleep(0.01)
        os.kill(waiting, signal.SIGSTOP)
        try:
            await asyncio.wait_for(look, 30)
            await asyncio.wait_for(watch.look(), 30)
        finally:
            os.kill(waiting, signal.SIGCONT)
    await watch.look()
    assert await count_open(pool) == {"disk_full": 1}
    watch.close()


def test_the_supervisor_tells_of_an_agent_that_hangs_or_dies(make_settings: MakeSettings) -> None:
    settings = make_settings()
    StatsFile(settings.stats_dir, "supervisor-node").write({"deaths": {"agent": 0}})
    watch = SupervisorWatch(settings, lambda: True)
    now = time.time()
    watch._look(now + 30)  # type: ignore[attr-defined]
    assert list_open(settings.run_dir) == []
    agent = StatsFile(settings.stats_dir, "agent")
    agent.write({"written": now + 50})
    watch._look(now + 51)  # type: ignore[attr-defined]
    agent.remove()
    watch._look(now + 100)  # type: ignore[attr-defined]
    assert list_open(settings.run_dir) == [], "its successor has not said a word yet"
    watch._look(now + 111)  # type: ignore[attr-defined]
    assert [alarm.cause for alarm in list_open(settings.run_dir)] == ["agent_silent"]
    StatsFile(settings.stats_dir, "supervisor-node").write({"deaths": {"agent": 3, "registry": 9}})
    watch._look(now + 120)  # type: ignore[attr-defined]
    assert [a.key for a in list_open(settings.run_dir)] == [("agent_silent", ""), ("worker_restarting", "agent")]
    by_the_agent = check_machine(read_stats(settings.stats_dir), {}, Memory(), settings)
    assert not [c for c in by_the_agent if c.subject == "agent"], "told once, by the supervisor"


def test_answers_that_were_lost_are_told_of_the_log_s_own_disk(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    stats = {"resolver-0": {"log_missing": 7}}
    for own in (None, str(tmp_path / "log")):
        settings = make_settings(ALARM_DISK_PERCENT="0", **({"LOG_DIR": own} if own else {}))
        settings.data_dir.mkdir(exist_ok=True)
        found = {c.subject: c.details["lost"] for c in check_disks(stats, Memory(), settings)}
        assert found == ({"log": 7} if own else {"data": 7})


def test_a_disk_without_inodes_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    for inodes, left, has_room in ((100, 0, False), (100, 5, True), (0, 0, True)):  # btrfs counts none
        fields = {name: getattr(real, name) for name in ("f_bavail", "f_frsize")}
        room = SimpleNamespace(**fields, f_files=inodes, f_favail=left)
        monkeypatch.setattr("os.statvfs", lambda _, room=room: room)
        assert bool(get_free_bytes(tmp_path)) == has_room


# The clock --------------------------------------------------------------------------------------------------------


def make_answer(question: bytes, at: float, **fields: int) -> bytes:
    first, stratum = fields.get("first", 0x24), fields.get("stratum", 2)
    stamp = struct.pack("!II", int(at) + SINCE_1900, int(at % 1 * 2**32))
    return bytes((first, stratum)) + bytes(22) + question[40:48] + stamp + stamp


@contextmanager
def run_time_server(ahead_seconds: float) -> Iterator[str]:
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    question, peer = server.recvfrom(100)
                except TimeoutError:
                    continue
                server.sendto(make_answer(question, time.time() + ahead_seconds), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


def test_the_clock_is_compared_with_a_time_server() -> None:
    with run_time_server(-90.0) as server:
        offset = ask_time_server(server)
    assert offset is not None
    assert abs(offset - 90.0) < 5.0, "we are ahead"
    assert ask_time_server("127.0.0.1:1") is None
    assert ask_time_server("no.such.host.invalid") is None


NONCE = b"12345678"
STRANGE = {
    "too short": lambda a: a[:40],
    "an answer to another question": lambda a: a[:24] + bytes(8) + a[32:],
    "a question": lambda a: b"\x23" + a[1:],
    "a server that is not synchronised": lambda a: b"\xe4" + a[1:],
    "a kiss of death": lambda a: a[:1] + b"\0" + a[2:],
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_no_answer_says_nothing_about_the_clock(case: str) -> None:
    answer = make_answer(REQUEST + NONCE, 1_772_424_000.25)
    assert compute_offset(answer, NONCE, 1_772_424_010.0, 1_772_424_010.5) == 10.0
    assert compute_offset(STRANGE[case](answer), NONCE, 1_772_424_010.0, 1_772_424_010.5) is None


def test_the_windows_of_memory_are_bounded() -> None:
    memory = Memory()
    for number in range(1_000):
        list(check_restarts({"agent": 0}, memory, number * 10.0))
    assert isinstance(memory.deaths["agent"], deque)
    assert len(memory.deaths["agent"]) < 100
