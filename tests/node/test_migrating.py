"""The first released schema is brought up to date while the program of that release goes on writing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from shutil import copy
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

import node.migrations
from node.migrations import MIGRATIONS, check_schema, list_applied, load_migrations, migrate
from schemas.errors import SetupError
from tests import database

RELEASED = ("0001_first.sql", "0002_segment_checksums.sql")
NOW, DAY = datetime(2026, 3, 2, 4, tzinfo=UTC), date(2026, 3, 2)
ENTRY = (
    "INSERT INTO changes_pending (kind, prefix_id, template_id, old_template_id, suffix_keys, members, at, actor,"
    " reason) VALUES ($1, $2, 1, NULL, $3, $4, $5, 'key:1', '')"
)
COUNTS = (
    "INSERT INTO registration_counts AS c (prefix_id, day, template_id, registered, range_minted, retired, restored,"
    " moved) VALUES ($1, $2, 1, $3, 0, 0, 0, 0) ON CONFLICT (prefix_id, day, template_id)"
    " DO UPDATE SET registered = c.registered + $3"
)
ANSWERS = (
    "INSERT INTO resolution_counts (prefix_id, day, hour, template_id, transport, outcome, client_class, answers)"
    " VALUES ($1, $2, 4, 1, 1, 1, 1, 1) ON CONFLICT (prefix_id, day, hour, template_id, transport, outcome,"
    " client_class) DO UPDATE SET answers = resolution_counts.answers + excluded.answers"
)
DAYS = (
    "INSERT INTO resolution_days (prefix_id, day, template_id, resolutions, resolutions_ok, uncounted)"
    " VALUES ($1, $2, 1, 1, 1, 0) ON CONFLICT (prefix_id, day, template_id)"
    " DO UPDATE SET resolutions = resolution_days.resolutions + 1"
)


@pytest_asyncio.fixture
async def old_dsn(server_dsn: str, tmp_path: Path) -> AsyncIterator[str]:
    """A database as the first release made it."""
    for name in RELEASED:
        copy(MIGRATIONS / name, tmp_path)
    dsn = await database.create_database(server_dsn, "template0")
    await migrate(dsn, tmp_path)
    yield dsn
    await database.drop_database(server_dsn, dsn)


class OldProgram:
    """The statements of release 1, word for word where it matters: columns listed, nothing of later releases known."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn
        self.rounds = 0

    async def write(self) -> None:
        """One round: a firm with prefix, template and key; records, a change, a range; a job; what the agent adds."""
        conn, n = self._conn, self.rounds
        async with conn.transaction():
            enterprise_id = await conn.fetchval(
                "INSERT INTO enterprises (certificate_type, certificate_code, name, state, connected_on, dossier,"
                " missing, created, changed) VALUES (1, $1, 'Firm', 3, $2, '{}', '{}', $3, $3) RETURNING enterprise_id",
                f"code-{n}", DAY, NOW,
            )  # fmt: skip
            prefix_id = await conn.fetchval(
                "INSERT INTO prefixes (prefix, folds_case, state, hosting, created, changed)"
                " VALUES ($1, true, 1, 4, $2, $2) RETURNING prefix_id", f"88.101.{n}", NOW,
            )  # fmt: skip
            await conn.execute(
                "INSERT INTO prefix_owners (prefix_id, enterprise_id, from_day) VALUES ($1, $2, $3)",
                prefix_id, enterprise_id, DAY,
            )  # fmt: skip
            await conn.execute(
                "INSERT INTO access_keys (access_key, secret_hash, enterprise_id, note, created)"
                " VALUES ($1, '\\x00', $2, '', $3)", f"ak_{n}", enterprise_id, NOW,
            )  # fmt: skip
            await conn.execute(ENTRY, 9, prefix_id, [], 0, NOW)
        await self._write_records(prefix_id)
        await self._count(prefix_id)
        self.rounds += 1

    async def _write_records(self, prefix_id: int) -> None:
        conn = self._conn
        async with conn.transaction():
            await conn.execute("SELECT pg_advisory_xact_lock_shared($1)", prefix_id)
            columns = ["created", "changed", "prefix_id", "revision", "template_id", "state", "from_range",
                       "suffix_key", "suffix", "packed", "note"]  # fmt: skip
            rows = [(NOW, NOW, prefix_id, 1, 1, 0, False, f"S{i}", None, b"x", None) for i in range(5)]
            await conn.copy_records_to_table("records", records=rows, columns=columns)
            await conn.execute(ENTRY, 1, prefix_id, [f"S{i}" for i in range(5)], 5, NOW)
        async with conn.transaction():
            await conn.execute(
                "INSERT INTO record_history (until, since, prefix_id, revision, template_id, state, action, suffix_key,"
                " packed, note, actor, reason) SELECT $2, r.changed, r.prefix_id, r.revision, r.template_id, r.state,"
                " 2, r.suffix_key, r.packed, r.note, 'key:1', '' FROM records r"
                " WHERE prefix_id = $1 AND suffix_key = 'S1'", prefix_id, NOW,
            )  # fmt: skip
            await conn.execute("UPDATE records SET revision = 2 WHERE prefix_id = $1 AND suffix_key = 'S1'", prefix_id)
            await conn.execute(
                "INSERT INTO ranges (prefix_id, head_key, head, width, checked, first, last, template_id, packed,"
                " created, changed) VALUES ($1, 'R', 'R', 4, false, 1, 99, 1, 'x', $2, $2)", prefix_id, NOW,
            )  # fmt: skip
            await conn.execute(ENTRY, 2, prefix_id, ["S1"], 1, NOW)

    async def _count(self, prefix_id: int) -> None:
        conn = self._conn
        await conn.execute("SELECT number_changes()")
        async with conn.transaction():
            await conn.execute(COUNTS, prefix_id, DAY, 5)
            await conn.execute(
                "INSERT INTO counted_changes (log_id, position) SELECT log_id, position FROM change_log"
                " ON CONFLICT (only_row) DO UPDATE SET log_id = excluded.log_id, position = excluded.position"
            )
        async with conn.transaction():
            await conn.execute(ANSWERS, prefix_id, DAY)
            await conn.execute(DAYS, prefix_id, DAY)
        await conn.execute(
            "INSERT INTO jobs (job_id, kind, prefix_id, template_id, file_name, file_sha256, options, actor, created,"
            " changed) VALUES ($1, 'import', $2, 1, 'f', '', '{}', 'key:1', $3, $3)", uuid4(), prefix_id, NOW,
        )  # fmt: skip


async def test_the_old_program_goes_on_while_and_after_the_schema_is_brought_up_to_date(old_dsn: str) -> None:
    conn = await asyncpg.connect(old_dsn)
    program, stop = OldProgram(conn), asyncio.Event()
    await program.write()

    async def work() -> None:
        while not stop.is_set():
            await program.write()

    working = asyncio.create_task(work())
    applied = await migrate(old_dsn)
    assert [step.number for step in applied] == [step.number for step in load_migrations()][len(RELEASED) :]
    before = program.rounds
    while program.rounds < before + 3:
        await asyncio.wait({working}, timeout=0.01)
        assert not working.done(), working.exception()
    stop.set()
    await working
    await check_schema(conn)
    rounds = program.rounds
    figures = {
        "enterprises": rounds, "prefixes": rounds, "access_keys": rounds, "records": 5 * rounds, "ranges": rounds,
        "record_history": rounds, "changes": 3 * rounds, "resolution_days": rounds, "jobs": rounds,
    }  # fmt: skip
    for table, number in figures.items():
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == number, table
    assert await conn.fetchval("SELECT max(position) = count(*) FROM changes")
    assert await conn.fetchval("SELECT sum(registered) FROM registration_counts") == 5 * rounds
    await conn.close()


async def test_a_migration_waits_for_no_lock_so_long_that_others_wait_behind_it(
    old_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's open transaction holds it up; who comes after it is served all the same, and it is tried again."""
    monkeypatch.setattr(node.migrations, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(node.migrations, "LOCK_PAUSE_SECONDS", 0.01)
    holder, writer = await asyncpg.connect(old_dsn), await asyncpg.connect(old_dsn)
    transaction = holder.transaction()
    await transaction.start()
    await holder.fetch("SELECT * FROM access_keys")
    migrating = asyncio.create_task(migrate(old_dsn))
    for number in range(20):
        await writer.execute(
            "INSERT INTO access_keys (access_key, secret_hash, note, created) VALUES ($1, '', '', now())", str(number)
        )
        await asyncio.sleep(0.01)
    assert not migrating.done()
    await transaction.rollback()
    assert len(await migrating) == len(load_migrations()) - len(RELEASED)
    await holder.close()
    await writer.close()


async def test_a_migration_that_never_gets_its_locks_changes_nothing_and_says_so(
    old_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOCK_SECONDS", 0.02), ("LOCK_PAUSE_SECONDS", 0.0), ("LOCK_ATTEMPTS", 3)):
        monkeypatch.setattr(node.migrations, name, value)
    holder = await asyncpg.connect(old_dsn)
    async with holder.transaction():
        await holder.fetch("SELECT * FROM access_keys")
        with pytest.raises(SetupError) as refused:
            await migrate(old_dsn)
    assert refused.value.code == "migration_blocked"
    assert len(await list_applied(holder)) == len(RELEASED)
    await holder.close()
