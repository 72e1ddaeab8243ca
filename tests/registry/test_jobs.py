"""A factory's file goes in as a job: every row has its outcome, and a crash changes nothing in the receipt."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from asyncpg import Connection

from registry import row_reader
from registry.accounts import NewAccount, add_account
from registry.import_plan import ImportOptions
from registry.jobs import (
    clear_old_jobs,
    create_import,
    find_upload,
    format_job_error,
    get_job,
    run_import,
    write_job_receipt,
)
from registry.keys import add_key
from registry.row_reader import ReaderDied
from registry.store.changes import Act
from registry.store.jobs import Job, cancel_job
from registry.store.records import PrefixRule
from schemas.errors import InvalidInput, NotFound
from schemas.templates import Template, bind_template, format_template, parse_template
from tests.registry.issuing_world import make_prefix
from tests.registry.people import RULES, order
from tests.system.running_node import find_children, read_command

DATA = Path(__file__).parents[2] / "data"
HEADER, REST = "产品编码,型号,批次,生产日期", "WQ15,B240102,2024-01-02"
PATTERN = "{产品代码}-{生产日期:yyyyMMdd}-{批号}"
Target = tuple[PrefixRule, Template]


async def make_target(conn: Connection, prefix: str, document: Path) -> Target:
    rule = await make_prefix(conn, prefix)
    template = parse_template(json.loads(document.read_text(encoding="utf-8")), prefix)
    template_id = await conn.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, $2, upper('META_' || $2), $3, now(), now())"
        " RETURNING template_id",
        rule.prefix_id,
        template.version,
        json.dumps(format_template(template)),
    )
    return rule, bind_template(template, prefix, template_id)


@pytest.fixture(scope="module")
async def conn(database_url: str) -> asyncpg.Connection:
    return await asyncpg.connect(database_url)


@pytest.fixture(scope="module")
async def tofu(conn: Connection) -> Target:
    return await make_target(conn, "88.101.10", DATA / "batches-tofu-works.template.json")


@pytest.fixture(scope="module")
async def pumps(conn: Connection) -> Target:
    return await make_target(conn, "88.101.5", DATA / "products-pump-works.template.json")


async def queue(conn: Connection, jobs_dir: Path, target: Target, source: Path, options: ImportOptions) -> UUID:
    act = Act("clerk", datetime.now(UTC))
    return await create_import(conn, jobs_dir, source, target, source.name, act, options)


async def run(conn: Connection, jobs_dir: Path, target: Target, source: Path, options: ImportOptions) -> Job:
    job = await run_import(conn, jobs_dir, await queue(conn, jobs_dir, target, source, options))
    assert job is not None
    return job


async def read_receipt(conn: Connection, jobs_dir: Path, job: Job, language: str = "zh") -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    await write_job_receipt(conn, jobs_dir, job, file, language, "https://id.example.com")
    text = file.getvalue()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


async def test_the_batches_come_out_row_by_row_as_expected(conn: Connection, tofu: Target, tmp_path: Path) -> None:
    source, options = DATA / "batches-tofu-works.xlsx", ImportOptions(identifier=PATTERN)
    preview = await run(conn, tmp_path, tofu, source, ImportOptions(identifier=PATTERN, dry_run=True))
    assert await conn.fetchval("SELECT count(*) FROM records WHERE prefix_id = $1", tofu[0].prefix_id) == 0
    job = await run(conn, tmp_path, tofu, source, options)
    assert job.counts == preview.counts
    lines = await read_receipt(conn, tmp_path, job)
    assert lines == await read_receipt(conn, tmp_path, preview)
    with (DATA / "batches-tofu-works.expected.csv").open(encoding="utf-8-sig", newline="") as file:
        expected = [(e["sheet_row"], e["outcome"], e["identifier"]) for e in csv.DictReader(file)]
    assert [(x["row"], x["outcome"], x["identifier"]) for x in lines] == expected
    for line in lines:
        assert bool(line["reason"]) == (line["outcome"] in ("refused", "differs"))


async def test_twenty_thousand_products_are_registered_once(conn: Connection, pumps: Target, tmp_path: Path) -> None:
    source, options = DATA / "products-pump-works.csv", ImportOptions(identifier_column="产品编码")
    first = await run(conn, tmp_path, pumps, source, options)
    second = await run(conn, tmp_path, pumps, source, options)
    assert Counter(first.counts)["registered"] == 20_000
    assert Counter(second.counts)["unchanged"] == 20_000
    with source.open(encoding="utf-8-sig", newline="") as file:
        codes = [row["产品编码"] for row in csv.DictReader(file)]
    stored = await conn.fetch(
        "SELECT coalesce(suffix, suffix_key) AS suffix FROM records WHERE prefix_id = $1", pumps[0].prefix_id
    )
    assert sorted(row["suffix"] for row in stored) == sorted(codes)


async def test_a_killed_job_goes_on_where_its_last_chunk_ended(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    target = await make_target(conn, "88.101.55", DATA / "products-pump-works.template.json")
    job_id = await queue(conn, tmp_path, target, DATA / "products-pump-works.csv",
                         ImportOptions(identifier_column="产品编码"))  # fmt: skip
    program = (
        "import asyncio, asyncpg, os, signal, sys, uuid\n"
        "from pathlib import Path\n"
        "from registry.jobs import run_import\n"
        "async def main():\n"
        "    conn = await asyncpg.connect(sys.argv[1])\n"
        "    def report(job):\n"
        "        if job.rows_done >= 6000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    await run_import(conn, Path(sys.argv[2]), uuid.UUID(sys.argv[3]), report)\n"
        "asyncio.run(main())\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", program, database_url, str(tmp_path), str(job_id)],
        cwd=DATA.parent, env={**os.environ}, check=False,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL
    half = await get_job(conn, job_id)
    assert half.state == "running" and 6_000 <= half.rows_done < 20_000
    finished = None
    while finished is None:  # the dead process's lock goes with its connection
        finished = await run_import(conn, tmp_path, job_id)
    assert (finished.state, finished.counts["registered"]) == ("done", 20_000)
    lines = await read_receipt(conn, tmp_path, finished)
    assert [line["outcome"] for line in lines] == ["registered"] * 20_000
    assert [int(line["row"]) for line in lines] == list(range(2, 20_002))


async def test_a_job_with_bad_rows_still_does_the_good_ones(conn: Connection, pumps: Target, tmp_path: Path) -> None:
    source = tmp_path / "some.csv"
    source.write_text(
        f"{HEADER},颜色\nNEW-1,{REST},红\n,{REST},红\n NEW-2,{REST},蓝\nNEW-3,{REST},\n", encoding="gb18030"
    )
    job = await run(conn, tmp_path, pumps, source, ImportOptions(identifier_column="产品编码"))
    assert (job.state, job.counts["registered"] + job.counts["refused"]) == ("done", 4)
    assert job.counts["refused"] == 2
    assert job.summary["left"] == ["颜色"]
    for language, word in (("zh", "产品编码"), ("en", "Column")):
        refused = [x for x in await read_receipt(conn, tmp_path, job, language) if x["outcome"] == "refused"]
        assert any(word in line["reason"] for line in refused)


async def test_update_overwrites_what_differs(conn: Connection, pumps: Target, tmp_path: Path) -> None:
    source = tmp_path / "one.csv"
    for model, update, outcome in (("A", False, "registered"), ("B", False, "differs"), ("B", True, "updated")):
        source.write_text(f"{HEADER}\nUPD-1,{REST.replace('WQ15', model)}\n", encoding="utf-8")
        options = ImportOptions(identifier_column="产品编码", update=update)
        job = await run(conn, tmp_path, pumps, source, options)
        assert job.counts[outcome] == 1, (model, update)


async def test_a_file_that_cannot_be_imported_is_refused_before_it_is_queued(
    conn: Connection, pumps: Target, tmp_path: Path
) -> None:
    source = tmp_path / "wrong.csv"
    source.write_text("名称,型号\nx,y\n", encoding="utf-8")
    with pytest.raises(InvalidInput):
        await queue(conn, tmp_path, pumps, source, ImportOptions(identifier_column="产品编码"))
    assert not list(tmp_path.glob("*.upload"))


async def test_a_job_whose_reader_dies_is_left_for_another_process(
    conn: Connection, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_reader, "BUFFERED_BYTES", 1_024)  # or it has read all before the first rows are registered
    target = await make_target(conn, "88.101.58", DATA / "products-pump-works.template.json")
    job_id = await queue(conn, tmp_path, target, DATA / "products-pump-works.csv",
                         ImportOptions(identifier_column="产品编码"))  # fmt: skip
    other = await asyncpg.connect(database_url)

    def kill_reader(job: Job) -> None:
        for child in list_readers():
            os.kill(child, signal.SIGKILL)

    with pytest.raises(ReaderDied, match="status -9"):
        await run_import(other, tmp_path, job_id, kill_reader)
    await other.close()
    assert (await get_job(conn, job_id)).state == "running"
    finished = None
    while finished is None:
        finished = await run_import(conn, tmp_path, job_id)
    assert (finished.state, finished.counts["registered"]) == ("done", 20_000)


async def test_a_month_after_its_end_a_job_keeps_its_counts_alone(
    conn: Connection, pumps: Target, tmp_path: Path
) -> None:
    source = tmp_path / "one.csv"
    source.write_text(f"{HEADER}\nMONTH-1,{REST}\n", encoding="utf-8")
    options = ImportOptions(identifier_column="产品编码")
    job, waiting = (
        await run(conn, tmp_path, pumps, source, options),
        await queue(conn, tmp_path, pumps, source, options),
    )
    unknown, foreign = find_upload(tmp_path, uuid4()), tmp_path / "notes.upload"
    for path in (unknown, foreign):
        path.touch()
    assert job.finished is not None
    for days, left in ((29, True), (31, False), (32, False)):
        now = job.finished + timedelta(days=days)
        os.utime(unknown, ((now - timedelta(hours=1)).timestamp(),) * 2)
        await clear_old_jobs(conn, tmp_path, now)
        assert find_upload(tmp_path, job.job_id).exists() is left
        assert len(await conn.fetch("SELECT FROM job_chunks WHERE job_id = $1", job.job_id)) == left
    cleared = await get_job(conn, job.job_id)
    assert (cleared.counts, cleared.cleared is not None) == (job.counts, True)
    with pytest.raises(NotFound, match="over 30 days ago"):
        await write_job_receipt(conn, tmp_path, cleared, io.StringIO(), "zh", "http://node.example")
    assert find_upload(tmp_path, waiting).exists() and foreign.exists(), "a job that has not ended, and no file of ours"
    assert unknown.exists(), "its job may only be being written"
    await clear_old_jobs(conn, tmp_path, now + timedelta(days=2))
    assert not unknown.exists(), "no job came of it"
    assert await cancel_job(conn, waiting, now)


def list_readers() -> list[int]:
    """The readers this process has started."""
    return [pid for pid in find_children(os.getpid()) if "registry.row_reader" in read_command(pid)]


async def test_a_cancelled_job_stops_and_keeps_what_is_done(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    target = await make_target(conn, "88.101.56", DATA / "products-pump-works.template.json")
    job_id = await queue(conn, tmp_path, target, DATA / "products-pump-works.csv",
                         ImportOptions(identifier_column="产品编码"))  # fmt: skip
    other = await asyncpg.connect(database_url)

    class Stop(Exception):
        pass

    def stop(job: Job) -> None:
        raise Stop

    with pytest.raises(Stop):
        await run_import(other, tmp_path, job_id, stop)
    assert await cancel_job(conn, job_id, datetime.now(UTC))
    job = await run_import(other, tmp_path, job_id)
    await other.close()
    assert job is not None and job.state == "cancelled"
    count = await conn.fetchval("SELECT count(*) FROM records WHERE prefix_id = $1", target[0].prefix_id)
    assert count == job.counts["registered"] == job.rows_done


# what happens → the prefix of the job, how it is done, what the job says
ENDS = {
    "the prefix is stopped": ("88.101.59", "prefixes SET state = 0 WHERE prefix = '88.101.59'", "prefix_not_enabled"),
    "the key is revoked": ("88.101.60", "access_keys SET revoked = now()", "job_starter_ended"),
    "the key may only read": ("88.101.61", "access_keys SET scopes = '{read}'", "job_starter_ended"),
    "the account is disabled": ("88.101.62", "accounts SET disabled = now()", "job_starter_ended"),
}


@pytest.mark.parametrize("what", ENDS)
async def test_a_job_ends_with_the_right_to_write_and_keeps_what_is_done(
    conn: Connection, tmp_path: Path, what: str
) -> None:
    """Here with its first chunk, so that the second is the first to be refused; the receipt says why it ends."""
    prefix, statement, code = ENDS[what]
    target = await make_target(conn, prefix, DATA / "products-pump-works.template.json")
    actor = f"key:{(await add_key(conn, order(), None))[0]}"
    if "account" in what:
        clerk = NewAccount("clerk", ["operator"], password="Sluice-Gate-2026!")
        actor = f"account:{(await add_account(conn, RULES.key_ring, order(), clerk)).user_name}"
    table = tmp_path / "many.csv"
    table.write_text("\n".join([HEADER, *(f"N{n},{REST}" for n in range(3_000))]), encoding="utf-8")
    options = ImportOptions(identifier_column="产品编码")
    job_id = await create_import(conn, tmp_path, table, target, "many.csv", Act(actor, datetime.now(UTC)), options)
    await conn.execute(
        "CREATE OR REPLACE FUNCTION pg_temp.stop() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN UPDATE {statement}; RETURN NULL; END $$"
    )
    await conn.execute("CREATE TRIGGER stop AFTER INSERT ON job_chunks EXECUTE FUNCTION pg_temp.stop()")
    job = await run_import(conn, tmp_path, job_id)
    await conn.execute("DROP TRIGGER stop ON job_chunks")
    assert job is not None and (job.state, job.error and job.error["code"]) == ("failed", code)
    count = await conn.fetchval("SELECT count(*) FROM records WHERE prefix_id = $1", target[0].prefix_id)
    assert 0 < count == job.counts["registered"] == job.rows_done < 3_000
    *lines, last = await read_receipt(conn, tmp_path, job)
    assert (len(lines), last["row"], last["outcome"], last["批次"]) == (count, "", "failed", "")
    assert last["reason"] == format_job_error(job, "zh")


async def test_two_processes_never_run_one_job(conn: Connection, database_url: str, tmp_path: Path) -> None:
    target = await make_target(conn, "88.101.57", DATA / "products-pump-works.template.json")
    job_id = await queue(conn, tmp_path, target, DATA / "products-pump-works.csv",
                         ImportOptions(identifier_column="产品编码"))  # fmt: skip
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_advisory_lock($1)", 7_242_000_000 + job_id.int % 1_000_000)
    assert await run_import(conn, tmp_path, job_id) is None
    await other.close()
