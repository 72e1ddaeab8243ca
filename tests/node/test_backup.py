"""A backup is of one instant, is checked before anything is written, and becomes a node that goes on where it stood."""

import asyncio
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from node.backup import BACKUP_FACT, back_up, list_settings, verify
from node.backup_files import MANIFEST, STAGE, SUMS
from node.cli.backup_commands import be_stopped_by_any_signal
from node.connection_certificates import draft, keep, make_office
from node.counting import count_segments
from node.outbox import Report, enqueue
from node.postgres import EmbeddedPostgres
from node.recompute import recompute
from node.restore import RESTORED_FACT, load, restore
from node.secret_key import load_key_ring
from node.settings import NodeSettings, load_settings
from node.signing_identity import get_identity
from node.store import tables
from node.store.connection_certificates import Certificate
from registry.issuing import draft_record, issue
from registry.principals import Order, Principal
from registry.records import get_rule
from registry.store.changes import Act
from schemas.errors import ServiceError
from schemas.segments import SegmentWriter
from schemas.templates import bind_template, parse_template
from tests import database
from tests.node.counting_world import DAY, NOON, TABLES, answer, count_all, write_segment
from tests.registry.issuing_world import DOCUMENT, make_prefix, make_template
from tests.registry.people import add_firm

ACT = Act("test", NOON)
MakeSettings = Callable[..., NodeSettings]


@pytest.fixture
def make_settings(monkeypatch: pytest.MonkeyPatch) -> MakeSettings:
    def make(data_dir: Path, **variables: str) -> NodeSettings:
        for name in [name for name in os.environ if name.startswith("IDNODE_")]:
            monkeypatch.delenv(name)
        for name, value in ({"DATA_DIR": str(data_dir)} | variables).items():
            monkeypatch.setenv(f"IDNODE_{name}", value)
        return load_settings(NodeSettings)

    return make


@pytest.fixture
def place() -> Iterator[Path]:
    with database.open_data_dir() as made:
        yield made


@pytest.fixture
def settings(make_settings: MakeSettings, place: Path, database_url: str) -> NodeSettings:
    """A node with an external database, and files of every kind."""
    made = make_settings(place / "node", DATABASE_URL=database_url, PREFIXES="88.101")
    load_key_ring(made.secret_key_path)
    for name in ("jobs/1.upload", "attachments/ab/abcd", "logs/registry.log", "run/x.lock", "toplevel/secret.key"):
        path = made.data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content of " + name.encode())
    made.resolution_log_dir.mkdir()
    return made


@pytest_asyncio.fixture
async def conn(database_url: str, settings: NodeSettings) -> AsyncIterator[asyncpg.Connection]:
    """Two firms, a template, records, and a day of resolutions, counted."""
    connection = await asyncpg.connect(database_url)
    if not await connection.fetchval("SELECT count(*) FROM prefixes"):
        await add_firm(connection, 901, "88.101.9")
        rule = await make_prefix(connection)
        await make_template(connection, rule)
    write_segment(settings.resolution_log_dir, [answer(prefix_id=1) for _ in range(50)])
    await count_all(connection, settings.resolution_log_dir)
    yield connection
    await connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
    await connection.execute("UPDATE change_log SET log_id = gen_random_uuid(), position = 0, link = ''")
    await connection.close()


async def issue_some(conn: asyncpg.Connection, first: int, number: int) -> None:
    rule = await get_rule(conn, "88.101.5")
    template_id = await conn.fetchval("SELECT template_id FROM templates WHERE prefix_id = $1", rule.prefix_id)
    template = bind_template(parse_template(DOCUMENT, rule.prefix), rule.prefix, template_id)
    drafts = [draft_record(template, f"b{n}", {"model": "\t泵\\N\n"}) for n in range(first, first + number)]
    async with conn.transaction():
        await issue(conn, rule, drafts, ACT)


async def issue_certificate(conn: asyncpg.Connection, settings: NodeSettings) -> Certificate:
    """For the firm of the fixture, with a key that the node makes for it."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[asyncpg.Connection]:
        yield conn

    firm = await conn.fetchval("SELECT enterprise_id FROM enterprises WHERE connected_on IS NOT NULL LIMIT 1")
    order = Order(Principal("operator", "test"), NOON)
    office = make_office(settings, load_key_ring(settings.secret_key_path))
    return await keep(conn, order, await draft(connect, office, order, firm))


async def read_all(conn: asyncpg.Connection) -> dict[str, Any]:
    """The rows of every table, in no order."""
    return {
        table.name: sorted(map(repr, await conn.fetch(f"SELECT * FROM {tables.quote(table.name)}")))
        for table in await tables.fetch_tables(conn)
    }


async def new_database(server_dsn: str) -> str:
    return await database.create_database(server_dsn, "template0")


async def test_a_restored_node_has_every_row_and_every_file(
    conn: asyncpg.Connection, settings: NodeSettings, place: Path, server_dsn: str, make_settings: MakeSettings
) -> None:
    await issue_some(conn, 0, 20)
    certificate = await issue_certificate(conn, settings)
    report = Report("T6", "current", "88.101", [{"name": "before the backup"}])
    await enqueue(conn, report, NOON)
    before = await read_all(conn)
    made = await back_up(settings, place / "backup")
    assert verify(place / "backup") == made
    assert await conn.fetchval("SELECT value FROM node_facts WHERE name = $1", BACKUP_FACT) == made["finished"]
    assert not (settings.data_dir / STAGE).exists()
    dsn = await new_database(server_dsn)
    again = make_settings(place / "again", DATABASE_URL=dsn)
    await asyncio.to_thread(restore, again, place / "backup")
    restored = await asyncpg.connect(dsn)
    try:
        found = await read_all(restored)
        assert made["tables"] == {name: len(rows) for name, rows in before.items()}
        renamed = {"change_log", "counted_changes", "node_facts"}  # the log has a new name; the restore is on record
        assert {n: r for n, r in found.items() if n not in renamed} == {
            n: r for n, r in before.items() if n not in renamed
        }
        assert set(found["node_facts"]) > set(before["node_facts"])
        assert await restored.fetchval("SELECT log_id FROM change_log") != await conn.fetchval(
            "SELECT log_id FROM change_log"
        )
        noted = await restored.fetchval("SELECT value FROM node_facts WHERE name = $1", RESTORED_FACT)
        assert json.loads(noted)["taken"] == made["taken"]
        keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
        assert await restored.fetchval(keys) == await conn.fetchval(keys)
        await enqueue(conn, replace(report, rows=[{"name": "lost"}]), NOON)  # sent by the node that was lost then
        assert await enqueue(restored, report, NOON) is None, "nothing new"
        await enqueue(restored, replace(report, rows=[{"name": "after"}]), NOON)
        highest = "SELECT max(revision) FROM outbox WHERE table_name = 'T6'"
        assert await restored.fetchval(highest) > await conn.fetchval(highest) + 1_000, "else ignored above"
        signs = await get_identity(restored, load_key_ring(again.secret_key_path), None, "node", NOON)
        assert signs.fingerprint == certificate.fingerprint, "the key that signs can be opened again"
    finally:
        await restored.close()
        await database.drop_database(server_dsn, dsn)
    assert (again.data_dir / "secret.key").read_bytes() == settings.secret_key_path.read_bytes()
    assert (again.data_dir / "secret.key").stat().st_mode & 0o777 == 0o600
    for name in ("jobs/1.upload", "attachments/ab/abcd"):
        assert (again.data_dir / name).read_bytes() == b"content of " + name.encode()
    for name in ("logs", "run", "toplevel", "postgres"):
        assert not (again.data_dir / name).exists(), "made again by the next start, or another node's"
    for path in settings.resolution_log_dir.iterdir():
        assert (again.resolution_log_dir / path.name).read_bytes() == path.read_bytes()


async def test_the_restored_node_goes_on_counting_and_issuing_without_anything_twice(
    conn: asyncpg.Connection, settings: NodeSettings, place: Path, server_dsn: str, make_settings: MakeSettings
) -> None:
    """Answers logged but not counted when the backup was taken are counted after the restore, once."""
    await issue_some(conn, 100, 5)
    await conn.execute("SELECT number_changes()")
    await count_all(conn, settings.resolution_log_dir)
    writer = SegmentWriter(settings.resolution_log_dir, "resolver-0", 1 << 16)
    for _ in range(7):
        writer.append(b"88.101.5/b1", 2, 1, 1, 1, 1, b"")
    await count_segments(conn, settings.resolution_log_dir, NOON)
    for _ in range(4):
        writer.append(b"88.101.5/b1", 2, 1, 1, 1, 1, b"")
    await back_up(settings, place / "backup")
    writer.append(b"88.101.5/b1", 2, 1, 1, 1, 1, b"")  # after the backup
    writer.close()
    dsn = await new_database(server_dsn)
    again = make_settings(place / "again", DATABASE_URL=dsn)
    await asyncio.to_thread(restore, again, place / "backup")
    restored = await asyncpg.connect(dsn)
    try:
        query = "SELECT sum(answers)::int8 FROM resolution_counts WHERE prefix_id = 2"
        assert await restored.fetchval(query) == 7
        registered = "SELECT prefix_id, day, registered FROM registration_counts ORDER BY 1, 2"
        counted = await restored.fetch(registered)
        for _ in range(2):
            await count_all(restored, again.resolution_log_dir)
        assert await restored.fetchval(query) == 11
        assert await restored.fetch(registered) == counted == await conn.fetch(registered)
        await issue_some(restored, 100, 6)
        await count_all(restored, again.resolution_log_dir)
        for day in (DAY, datetime.now(UTC).date()):
            assert (await recompute(restored, again.resolution_log_dir, day))["differences"] == []
        assert await restored.fetchval("SELECT count(*) FROM records WHERE suffix_key LIKE 'B10_'") == 6
        position, link = await restored.fetchrow("SELECT position, link FROM change_log")
        assert await restored.fetchval("SELECT link FROM changes WHERE position = $1", position) == link
        new = await add_firm(restored, 902, "88.101.902")
        assert new.enterprise_id > await restored.fetchval("SELECT min(enterprise_id) FROM enterprises")
    finally:
        await restored.close()
        await database.drop_database(server_dsn, dsn)


async def test_a_backup_under_load_is_of_one_instant(
    conn: asyncpg.Connection, settings: NodeSettings, place: Path, server_dsn: str
) -> None:
    """Every record has its entry in the log, although tables are read one after the other."""
    other = await asyncpg.connect(settings.database_url)
    stop = asyncio.Event()

    async def write() -> int:
        number = 0
        while not stop.is_set():
            await issue_some(other, 10_000 + number * 3, 3)
            number += 1
        return number

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    made = await back_up(settings, place / "backup")
    stop.set()
    assert await writing > 0
    await other.close()
    dsn = await new_database(server_dsn)
    await load(dsn, place / "backup", made)
    restored = await asyncpg.connect(dsn)
    try:
        logged = await restored.fetchval(
            "SELECT (SELECT coalesce(sum(members), 0) FROM changes WHERE kind = 1)"
            " + (SELECT coalesce(sum(members), 0) FROM changes_pending WHERE kind = 1)"
        )
        counted = await restored.fetchval("SELECT count(*) FROM records WHERE suffix_key LIKE 'B%'")
        assert counted == logged == made["tables"]["records"] - await count_templates(restored)
    finally:
        await restored.close()
        await database.drop_database(server_dsn, dsn)


async def count_templates(conn: asyncpg.Connection) -> int:
    found: int = await conn.fetchval("SELECT count(*) FROM records WHERE suffix_key NOT LIKE 'B%'")
    return found


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forge_sums(backup: Path) -> None:
    """A list that leads out of the backup, with a checksum that fits."""
    (backup / SUMS).write_text(f"{'0' * 64}  ../../outside\n")
    manifest = json.loads((backup / MANIFEST).read_text())
    manifest["sums"] = hashlib.sha256((backup / SUMS).read_bytes()).hexdigest()
    (backup / MANIFEST).write_text(json.dumps(manifest))


def set_in_manifest(**entries: Any) -> Callable[[Path], None]:
    def change(backup: Path) -> None:
        manifest = json.loads((backup / MANIFEST).read_text())
        (backup / MANIFEST).write_text(json.dumps(manifest | entries))

    return change


# what happens to a backup, the code, what the message names
DAMAGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a table": (lambda b: damage(b / "database/prefixes.gz"), "backup_damaged", "database/prefixes.gz"),
    "a file that is gone": (lambda b: (b / "secret.key").unlink(), "backup_damaged", "secret.key"),
    "the checksums": (lambda b: damage(b / SUMS), "backup_damaged", SUMS),
    "a path that leads outside": (forge_sums, "backup_damaged", "outside"),
    "an interrupted backup": (lambda b: (b / MANIFEST).unlink(), "backup_incomplete", MANIFEST),
    "a manifest that is none": (lambda b: (b / MANIFEST).write_text("{}"), "backup_damaged", MANIFEST),
    "a format of the future": (set_in_manifest(format=2), "backup_format_unknown", "2"),
    "a schema of the future": (set_in_manifest(schema=[[n, "x"] for n in range(1, 99)]), "schema_differs", "0001_x"),
}


@pytest_asyncio.fixture(scope="module")
async def good(database_url: str) -> AsyncIterator[Path]:
    """A backup of a node that is almost empty."""
    with database.open_data_dir() as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDNODE_DATA_DIR", str(place / "node"))
        patch.setenv("IDNODE_DATABASE_URL", database_url)
        settings = load_settings(NodeSettings)
        load_key_ring(settings.secret_key_path)
        await back_up(settings, place / "backup")
        yield place / "backup"


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_backup_is_refused_by_name_and_nothing_is_written(
    case: str, good: Path, place: Path, make_settings: MakeSettings
) -> None:
    hurt, code, named = DAMAGES[case]
    backup = place / "copy"
    shutil.copytree(good, backup)
    hurt(backup)
    settings = make_settings(place / "new", DATABASE_URL="postgresql://nobody@127.0.0.1:1/never-asked")
    with pytest.raises(ServiceError) as refused:
        restore(settings, backup)
    assert (refused.value.code, named in str(refused.value)) == (code, True)
    assert not settings.data_dir.exists()


@pytest.mark.parametrize("occupied", ["data", "log", "key", "database"])
def test_nothing_is_ever_written_over(
    occupied: str, good: Path, place: Path, make_settings: MakeSettings, database_url: str
) -> None:
    variables = {"DATABASE_URL": database_url} if occupied == "database" else {}
    log, key = place / "log", place / "key" / "secret.key"
    settings = make_settings(place / "new", LOG_DIR=str(log), SECRET_KEY_FILE=str(key), **variables)
    taken = {"data": settings.data_dir / "letter", "log": log / "letter", "key": key}.get(occupied)
    if taken is not None:
        taken.parent.mkdir()
        taken.write_text("mine")
    with pytest.raises(ServiceError) as refused:
        restore(settings, good)
    assert refused.value.code == ("restore_database_not_empty" if occupied == "database" else "restore_not_empty")
    if taken is None:
        assert not settings.data_dir.exists(), "what was begun is taken away again"
    else:
        assert taken.read_text() == "mine"


@pytest.mark.parametrize(
    ("where", "code"), [("node/inside", "backup_inside_data"), ("full", "backup_target_not_empty")]
)
async def test_a_place_that_is_none_for_a_backup_is_refused(
    where: str, code: str, settings: NodeSettings, place: Path
) -> None:
    (place / "full").mkdir()
    (place / "full" / "letter").touch()
    with pytest.raises(ServiceError) as refused:
        await back_up(settings, place / where)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("stops", "is_there"),
    [(OSError(errno.ENOSPC, "No space left on device"), False), (asyncio.CancelledError(), True)],
    ids=["full", "stopped"],
)
async def test_a_backup_that_fails_or_is_stopped_leaves_nothing_behind(
    stops: BaseException, is_there: bool, conn: asyncpg.Connection, settings: NodeSettings, place: Path
) -> None:
    """Else a disk that was full stays full, and the next night's fails too."""
    target = place / "backup"
    if is_there:
        target.mkdir()

    def report(done: int, total: int | None) -> None:
        if done > 3:
            assert list((target / "database").iterdir())
            raise stops

    with pytest.raises(type(stops)):
        await back_up(settings, target, report)
    assert [path.name for path in target.parent.rglob("*") if path.name in ("database", STAGE)] == []
    assert target.exists() == is_there


async def test_passwords_are_not_in_the_backup_only_that_they_were_set(
    good: Path, make_settings: MakeSettings, place: Path
) -> None:
    settings = make_settings(place, DATABASE_URL="postgresql://a:s3cret@h/d", PUBLIC_URL="https://id.example.com")
    assert list_settings(settings) == {
        "IDNODE_DATABASE_URL": "(not shown)", "IDNODE_DATA_DIR": str(place),
        "IDNODE_PUBLIC_URL": "https://id.example.com",
    }  # fmt: skip
    for name in ("", "database"):
        assert (good / name).stat().st_mode & 0o077 == 0, "not for other accounts"


def test_sums_are_as_sha256sum_reads_them(good: Path) -> None:
    done = subprocess.run(["sha256sum", "--quiet", "-c", SUMS], cwd=good, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_restore_makes_an_embedded_database_too(good: Path, place: Path, make_settings: MakeSettings) -> None:
    settings = make_settings(place / "node")
    made = restore(settings, good)
    server = EmbeddedPostgres(settings.data_dir, parameters=database.FAST)
    dsn = server.start()
    try:
        assert asyncio.run(count_rows(dsn)) == made["tables"]["schema_migrations"]
    finally:
        server.stop()
    assert not settings.unfinished_restore.exists()


async def count_rows(dsn: str) -> int:
    conn = await asyncpg.connect(dsn)
    try:
        found: int = await conn.fetchval("SELECT count(*) FROM schema_migrations")
        return found
    finally:
        await conn.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["a timer", "a terminal that goes away"])
def test_a_backup_is_stopped_by_others_as_by_ctrl_c(number: signal.Signals) -> None:
    kept = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(number, signal.SIG_DFL)  # the tests themselves may run under nohup
        be_stopped_by_any_signal()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        be_stopped_by_any_signal()
        signal.raise_signal(signal.SIGHUP)  # nohup: it goes on
    finally:
        for each, handler in kept.items():
            signal.signal(each, handler)
