"""The doctor sees what is wrong and says what to do; on a healthy node it has nothing to say."""

import asyncio
import gzip
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import web
from asyncpg import Connection

from node import doctor
from node.counting import count_segments
from node.doctor import Finding
from node.secret_key import load_key_ring
from node.segment_keeping import keep_segments
from node.settings import NodeSettings, load_settings
from node.signing_identity import make_identity
from node.store.counting import SEEN_FACT, LogGap, note_gap, set_fact
from registry.store.changes import Act, append_change, number_changes
from schemas.changes import ChangeKind
from schemas.resolution_log import ClientClass, Outcome, Transport
from schemas.segments import SegmentWriter

MakeSettings = Callable[..., NodeSettings]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MakeSettings:
    """Settings of a node in a directory of its own, with more variables if a test wants."""

    def make(**variables: str) -> NodeSettings:
        for name in [name for name in os.environ if name.startswith("IDNODE_")]:
            monkeypatch.delenv(name)
        for name, value in ({"DATA_DIR": str(tmp_path), "TOPLEVEL_REHEARSAL": "false"} | variables).items():
            monkeypatch.setenv(f"IDNODE_{name}", value)
        return load_settings(NodeSettings)

    return make


def judge(finding: Finding) -> tuple[str, str]:
    """State and code; every finding has words in both languages, and a problem has a remedy."""
    for language in ("zh", "en"):
        assert finding.message(language) not in ("", finding.code)
        assert "{" not in finding.message(language) + finding.remedy(language)
        assert "…" not in finding.message(language).replace("/…", ""), "a detail is missing"
        assert bool(finding.remedy(language)) == (finding.state != "ok")
    assert finding.to_json("en").keys() == {"check", "state", "code", "message", "remedy", "details"}
    return finding.state, finding.code


# Database


async def test_a_migrated_database_is_well(connection: Connection, database_url: str) -> None:
    finding = await doctor.check_database(connection, database_url)
    assert judge(finding) == ("ok", "database_well")
    assert finding.details["schema"] >= 1


async def test_a_database_that_takes_no_writes_is_an_error(connection: Connection, database_url: str) -> None:
    await connection.execute("SET TRANSACTION READ ONLY")
    assert judge(await doctor.check_database(connection, database_url)) == ("error", "database_read_only")


async def test_a_schema_of_another_release_is_named(connection: Connection, database_url: str) -> None:
    await connection.execute("INSERT INTO schema_migrations (number, name) VALUES (9999, 'from_the_future')")
    assert judge(await doctor.check_database(connection, database_url)) == ("error", "schema_newer")


async def test_without_a_database_the_other_checks_are_made(settings: MakeSettings) -> None:
    ports = {
        f"{name}_PORT": str(port)
        for name, port in zip(("REGISTRY", "RESOLVER_HTTP", "HANDLE"), find_ports(3), strict=True)
    }
    findings = {f.check: judge(f) for f in await doctor.examine(settings(**ports))}
    assert findings["database"] == ("error", "database_not_running")
    assert findings["port:registry"] == findings["port:handle-udp"] == ("error", "port_silent")
    assert findings["secret_key"] == ("error", "secret_key_missing")
    assert findings["public_url"] == ("warning", "public_url_not_set")
    assert "agent" not in findings


async def test_where_no_server_of_several_is_the_primary_that_is_said(
    database_url: str, settings: MakeSettings
) -> None:
    """As between the loss of a primary and the promotion of its standby."""
    url = f"{database_url}{'&' if '?' in database_url else '?'}target_session_attrs=standby"  # which ours is not
    findings = {f.check: judge(f) for f in await doctor.examine(settings(DATABASE_URL=url))}
    assert findings["database"] == ("error", "database_unreachable")


async def test_who_waits_for_a_locked_table_is_named_and_keeps_no_other_check_waiting(
    connection: Connection, database_url: str, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CHECK_SECONDS", 2.0)
    ports = zip(("REGISTRY", "RESOLVER_HTTP", "HANDLE"), map(str, find_ports(3)), strict=True)
    await connection.execute("LOCK TABLE node_facts")  # until the test's own transaction is rolled back
    made = settings(DATABASE_URL=database_url, **{f"{name}_PORT": port for name, port in ports})
    findings = {f.check: judge(f) for f in await doctor.examine(made)}
    assert findings["agent"] == ("error", "check_failed")
    assert findings["change_log"] == ("ok", "change_log_well")


async def test_a_standby_that_lacks_what_the_primary_has_is_noticed(connection: Connection, database_url: str) -> None:
    assert judge(await doctor.check_standby(connection, database_url)) == ("ok", "standby_well")
    await connection.execute("UPDATE change_log SET position = position + 3")  # nobody else sees this
    finding = await doctor.check_standby(connection, database_url)
    assert (*judge(finding), finding.details["behind"]) == ("error", "standby_behind", "3")


async def test_a_standby_that_freezes_while_it_is_asked_is_left(
    connection: Connection, pool: asyncpg.Pool, database_url: str
) -> None:
    await connection.execute("LOCK TABLE change_log")  # the standby has to wait, we do not
    look = asyncio.create_task(doctor.check_standby(connection, database_url))
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT NOT pg_is_in_%'"
    async with pool.acquire() as other:
        while (frozen := await other.fetchval(waits)) is None:
            assert not look.done()
            await asyncio.sleep(0.01)
    os.kill(frozen, signal.SIGSTOP)
    try:
        look.cancel()  # as the time limit of a check does
        left, _ = await asyncio.wait([look], timeout=30)
    finally:
        os.kill(frozen, signal.SIGCONT)
    assert left


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(seconds=1), ("ok", "agent_seen")),
        (timedelta(seconds=-1), ("ok", "agent_seen")),  # clocks are never quite the same
        (timedelta(minutes=2), ("error", "agent_silent")),
        (None, ("error", "agent_never_seen")),
    ],
)
async def test_an_agent_that_is_silent_is_noticed(
    connection: Connection, age: timedelta | None, expected: tuple[str, str]
) -> None:
    now = datetime.now(UTC)
    if age is not None:
        await set_fact(connection, SEEN_FACT, (now - age).isoformat(timespec="seconds"))
    assert judge(await doctor.check_agent(connection, now)) == expected


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize(
    ("later", "state"), [(timedelta(0), "ok"), (timedelta(seconds=30), "warning"), (timedelta(hours=1), "error")]
)
async def test_changes_that_wait_too_long_are_noticed(
    connection: Connection, numbered: bool, later: timedelta, state: str
) -> None:
    """Whether nobody numbers them or nobody counts them."""
    now = datetime.now(UTC)
    assert (await doctor.check_change_log(connection, now)).state == "ok"
    await append_change(connection, ChangeKind.CREATED, 1, Act("test", now), suffix_keys=["A"])
    if numbered:
        await number_changes(connection)
    finding = await doctor.check_change_log(connection, now + later)
    assert judge(finding) == (state, "change_log_well" if state == "ok" else "change_log_waits")
    assert finding.details["waiting"] == 1


@pytest.mark.parametrize(
    ("now", "expected"),
    [(datetime(1970, 1, 1, tzinfo=UTC), "clock_insane"), (datetime(2026, 5, 1, 17, tzinfo=UTC), "clock_sane")],
)
def test_a_clock_that_woke_up_in_1970_is_noticed(now: datetime, expected: str) -> None:
    finding = doctor.check_sanity_of_clock(now)
    assert judge(finding)[1] == expected
    if expected == "clock_sane":
        assert finding.details["day"] == "2026-05-02", "the day is that of UTC+8"


async def test_the_clock_of_the_database_is_compared(connection: Connection) -> None:
    assert judge(await doctor.check_clock(connection)) == ("ok", "clock_agrees")


# The resolution log


def log_answer(directory: Path) -> SegmentWriter:
    writer = SegmentWriter(directory, f"test-{uuid4().hex[:8]}", 65_536)
    writer.append(b"88.101.5/x", 1, 1, Transport.HTTP, Outcome.FOUND, ClientClass.PUBLIC, b"\x7f\0\0\1")
    return writer


async def test_answers_that_nobody_counts_are_noticed(connection: Connection, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert judge(await doctor.check_segments(connection, tmp_path / "none", now)) == ("ok", "segments_none")
    await count_segments(connection, tmp_path, now)
    writer = log_answer(tmp_path)
    assert judge(await doctor.check_segments(connection, tmp_path, now)) == ("ok", "segments_well")
    for later, state in ((timedelta(seconds=60), "warning"), (timedelta(hours=1), "error")):
        assert judge(await doctor.check_segments(connection, tmp_path, now + later)) == (state, "segments_uncounted")
    await count_segments(connection, tmp_path, now)
    later = now + timedelta(hours=1)
    assert judge(await doctor.check_segments(connection, tmp_path, later)) == ("ok", "segments_well")
    writer.close()


async def test_a_segment_that_was_taken_away_is_noticed(connection: Connection, tmp_path: Path) -> None:
    log_answer(tmp_path).close()
    await count_segments(connection, tmp_path, datetime.now(UTC))
    (segment,) = tmp_path.glob("*.segment")
    segment.unlink()
    finding = await doctor.check_segments(connection, tmp_path, datetime.now(UTC))
    assert judge(finding) == ("error", "segments_missing")
    assert finding.details["name"] == segment.name


@pytest.mark.parametrize("kept_bytes", [0, 3, 40, None])
async def test_a_compressed_segment_that_is_not_whole_is_noticed(
    connection: Connection, tmp_path: Path, kept_bytes: int | None
) -> None:
    now = datetime.now(UTC)
    log_answer(tmp_path).close()
    await count_segments(connection, tmp_path, now)
    await keep_segments(connection, tmp_path, now, reserve_bytes=0)
    (packed,) = tmp_path.glob("*.segment.gz")
    assert judge(await doctor.check_segments(connection, tmp_path, now)) == ("ok", "segments_well")
    if kept_bytes is None:
        packed.write_bytes(gzip.compress(b"another file"))
    else:
        os.truncate(packed, kept_bytes)
    assert judge(await doctor.check_segments(connection, tmp_path, now)) == ("error", "segments_damaged")


async def test_a_log_directory_that_forgot_its_name_is_said_and_the_rest_is_still_looked_at(
    connection: Connection, tmp_path: Path, settings: MakeSettings
) -> None:
    made = settings()
    made.resolution_log_dir.mkdir()
    (made.resolution_log_dir / "directory-id").write_bytes(b"\xff\xff")
    findings = {f.check: f for f in await doctor._ask_database(connection, made, "postgresql:///x")}
    assert judge(findings["segments"]) == ("error", "log_identity_malformed")
    assert judge(findings["gaps"]) == ("ok", "gaps_none")


async def test_gaps_are_told_with_their_size(connection: Connection) -> None:
    now = datetime.now(UTC)
    assert judge(await doctor.check_gaps(connection, now)) == ("ok", "gaps_none")
    await note_gap(connection, LogGap("a.segment", "no_room", now - timedelta(days=1), now, 17))
    await note_gap(connection, LogGap("b.segment", "damaged", None, None, None))
    finding = await doctor.check_gaps(connection, now)
    assert judge(finding) == ("warning", "gaps_found")
    assert (finding.details["count"], finding.details["missing"]) == (2, 17)


# Files and disk


def test_a_key_file_that_others_may_read_is_an_error(settings: MakeSettings) -> None:
    made = settings()
    load_key_ring(made.secret_key_path)
    assert judge(doctor.check_secret_key(made)) == ("ok", "secret_key_well")
    made.secret_key_path.chmod(0o644)
    assert judge(doctor.check_secret_key(made)) == ("error", "secret_key_readable")


def test_the_font_of_pdfs_is_looked_for_and_the_signing_certificate_watched(
    settings: MakeSettings, tmp_path: Path
) -> None:
    assert judge(doctor.check_font(settings())) == ("ok", "font_well")
    lacking = doctor.check_font(settings(PDF_FONT="/nowhere.ttf"))
    assert judge(lacking) == ("warning", "pdf_font_unusable")
    assert "apt-get install fonts-wqy-microhei" in lacking.remedy("en")
    now = datetime(2026, 3, 2, tzinfo=UTC)
    path = tmp_path / "signing.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(make_identity("node", now).certificate))
    made = settings(SIGNING_CERTIFICATE=str(path), SIGNING_KEY=str(path))
    assert [judge(one) for one in doctor.check_certificate(made, now)] == [("ok", "certificate_well")]
    (ending,) = doctor.check_certificate(made, now + timedelta(days=3_645))
    assert (ending.check, judge(ending)) == ("signing", ("warning", "certificate_ends"))


@pytest.mark.parametrize(
    ("free", "expected"),
    [(200, ("ok", "disk_well")), (199, ("warning", "disk_filling")), (99, ("error", "disk_filling"))],
)
def test_a_disk_that_fills_is_noticed_before_it_is_full(free: int, expected: tuple[str, str]) -> None:
    assert judge(doctor.judge_room(Path("/data"), free, reserve_bytes=100)) == expected


def test_two_directories_on_one_disk_are_one_finding(settings: MakeSettings, tmp_path: Path) -> None:
    made = settings()
    made.resolution_log_dir.mkdir()
    assert len(doctor.check_disk(made)) == 1
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(made.resolution_log_dir)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
        findings = [judge(finding) for finding in doctor.check_disk(made)]
        subprocess.run(["umount", str(made.resolution_log_dir)], check=True)
        assert ("error", "disk_read_only") in findings
    shutil.rmtree(tmp_path)
    assert [judge(finding) for finding in doctor.check_disk(made)] == [("error", "data_dir_missing")]


# What answers


def find_ports(number: int) -> list[int]:
    held = [socket.socket() for _ in range(number)]
    for opened in held:
        opened.bind(("127.0.0.1", 0))
    ports = [int(opened.getsockname()[1]) for opened in held]
    for opened in held:
        opened.close()
    return ports


async def test_a_port_that_another_program_answers_on_is_named_with_it(settings: MakeSettings) -> None:
    async def say_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(say_nonsense, "127.0.0.1", 0)
    port, *others = [server.sockets[0].getsockname()[1], *find_ports(2)]
    made = settings(REGISTRY_PORT=str(port), RESOLVER_HTTP_PORT=str(others[0]), HANDLE_PORT=str(others[1]))
    findings = {finding.check: finding for finding in await doctor.check_ports(made)}
    assert judge(findings["port:registry"]) == ("error", "port_answers_wrongly")
    assert findings["port:registry"].details["pid"] == os.getpid()
    assert judge(findings["port:http"]) == ("error", "port_silent")
    server.close()


async def serve(handler: Callable[[web.Request], Awaitable[web.Response]]) -> web.AppRunner:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, '{"responseCode": 100, "handle": "0.NA/0.NA"}', ("ok", "upstream_answers")),
        (500, "oops", ("error", "upstream_silent")),
        (200, "<html>a captive portal</html>", ("error", "upstream_silent")),
    ],
)
async def test_the_upstream_is_asked(settings: MakeSettings, status: int, body: str, expected: tuple[str, str]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type="application/json")

    runner = await serve(answer)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    made = settings(UPSTREAM_URL=url, UPSTREAM_ALLOW_PRIVATE="true")
    assert [judge(finding) async for finding in doctor.check_upstream(made)] == [expected]
    refused = settings(UPSTREAM_URL=url)
    assert [judge(finding) async for finding in doctor.check_upstream(refused)] == [("error", "upstream_private")]
    await runner.cleanup()


async def test_an_upstream_that_is_not_configured_is_not_asked(settings: MakeSettings) -> None:
    assert [finding async for finding in doctor.check_upstream(settings())] == []


def test_the_public_url_is_asked_for(settings: MakeSettings) -> None:
    assert judge(doctor.check_public_url(settings())) == ("warning", "public_url_not_set")
    public = {"PUBLIC_URL": "https://id.example.com"}
    assert judge(doctor.check_public_url(settings(**public))) == ("warning", "registry_url_not_set")
    public["REGISTRY_URL"] = "https://console.example.com"
    assert judge(doctor.check_public_url(settings(**public))) == ("ok", "public_url_set")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_findings_are_printed_with_their_remedies(language: str, settings: MakeSettings) -> None:
    findings = [doctor.check_public_url(settings()), doctor.check_sanity_of_clock(datetime(1970, 1, 1, tzinfo=UTC))]
    printed = doctor.format_findings(findings, language)
    assert printed.count("→") == 2
    assert printed.splitlines()[-1] in ("1 个错误，1 个警告。", "1 error, 1 warning.")
