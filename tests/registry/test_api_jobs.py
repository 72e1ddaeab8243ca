"""Files over HTTP: uploaded, worked on by a process of their own, answered by a receipt."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from registry.job_runner import run_jobs
from registry.jobs import clear_old_jobs
from schemas.bodies import JobBody, JobPage
from tests.registry.api_world import PUMP, TOFU, Reply, World, open_world

V1 = "/api/v1"
FILE = "编码,型号,产线\nP-1,A,L1\nP-2,,L1\nP-3,C,=1+1\n".encode()


@pytest_asyncio.fixture(scope="module")
async def idle(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A registry whose jobs nobody runs."""
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def world(idle: World) -> AsyncIterator[World]:
    """The same, with its runner."""
    config = idle.state.config
    running = asyncio.create_task(run_jobs(config.database_url, config.jobs_dir, idle.state.job_added))
    yield idle
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def make_form(content: bytes = FILE, name: str = "产品.csv", **fields: Any) -> aiohttp.FormData:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", content, filename=name)
    for field, text in ({"prefix": PUMP, "template": "pump-1", "identifier_column": "编码"} | fields).items():
        for one in text if isinstance(text, list) else [text]:
            form.add_field(field, str(one))
    return form


async def upload(world: World, who: str = "pump", query: str = "", headers: Any = None, **fields: Any) -> Reply:
    return await world.ask("POST", f"{V1}/jobs{query}", who=who, data=make_form(**fields), headers=headers)


async def wait_for(world: World, reply: Reply) -> JobBody:
    """The job when it has ended."""
    assert reply.status == 201, reply.body
    while True:
        job = JobBody.model_validate((await world.ask("GET", reply.headers["Location"])).json)
        if job.finished is not None:
            return job
        await asyncio.sleep(0.05)


async def test_a_file_that_waits_can_be_cancelled_and_has_no_receipt_yet(idle: World) -> None:
    made = await upload(idle, content="编码,型号\nC-1,A\n".encode())
    path = made.headers["Location"]
    early = await idle.ask("GET", f"{path}/receipt")
    assert (early.status, early.json["code"]) == (409, "job_not_ended")
    cancelled = await idle.ask("POST", f"{path}/cancel")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    again = await idle.ask("POST", f"{path}/cancel")
    assert (again.status, again.json["code"]) == (409, "job_ended")


async def test_a_file_goes_in_and_every_row_is_answered(world: World) -> None:
    made = await upload(world, name="../../../tmp/产品.csv")
    job = await wait_for(world, made)
    assert (job.state, job.file_name, job.counts.rows, job.counts.registered, job.counts.refused) == (
        "done", "产品.csv", 3, 2, 1,
    )  # fmt: skip
    assert job.receipt
    receipt = await world.ask("GET", job.receipt)
    assert receipt.headers["Content-Type"].startswith("text/csv") and receipt.body.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(receipt.body.decode("utf-8-sig"))))
    assert [(row["row"], row["outcome"], row["identifier"]) for row in rows] == [
        ("2", "registered", f"{PUMP}/P-1"), ("3", "refused", ""), ("4", "registered", f"{PUMP}/P-3"),
    ]  # fmt: skip
    assert "Model" in rows[1]["reason"] or "型号" in rows[1]["reason"]
    assert rows[2]["产线"] == "'=1+1"
    assert (await world.ask("GET", f"{V1}/identifiers/{PUMP}/P-3", who="nobody")).status == 200
    kept = {path.name for path in world.state.config.jobs_dir.iterdir()}
    assert {name.partition(".")[2] for name in kept} == {"upload"}, "names are ours, nothing half done is left"


@pytest.mark.parametrize("how", [{"query": "?dry_run=true"}, {"dry_run": "true"}])
async def test_a_dry_run_gives_the_receipt_and_writes_nothing(world: World, how: dict[str, Any]) -> None:
    job = await wait_for(world, await upload(world, content="编码,型号\nD-1,A\n".encode(), **how))
    assert (job.dry_run, job.counts.registered) == (True, 1)
    assert job.receipt
    assert b"D-1" in (await world.ask("GET", job.receipt)).body
    assert (await world.ask("GET", f"{V1}/identifiers/{PUMP}/D-1")).status == 404


async def test_a_receipt_that_was_deleted_is_said_to_be_gone(world: World) -> None:
    job = await wait_for(world, await upload(world, dry_run="true"))
    assert job.receipt
    async with world.state.connect() as conn:
        await clear_old_jobs(conn, world.state.config.jobs_dir, world.state.now() + timedelta(days=31))
    shown = JobBody.model_validate((await world.ask("GET", f"{V1}/jobs/{job.job_id}")).json)
    assert (shown.receipt, shown.counts) == (None, job.counts)
    gone = await world.ask("GET", job.receipt)
    assert (gone.status, gone.json["code"]) == (404, "receipt_gone")


async def test_an_upload_sent_twice_under_one_key_is_one_job(world: World) -> None:
    sent = {"Idempotency-Key": "upload-1"}
    first, again = await upload(world, headers=sent), await upload(world, headers=sent)
    other = await upload(world, headers=sent, content="编码,型号\nX,A\n".encode())
    assert (first.body, again.headers["Location"]) == (again.body, first.headers["Location"])
    assert (other.status, other.json["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"identifier_column": "没有"}, "file_column_unknown", "identifier_column"),
        ({"map": ["编码"]}, "mapping_malformed", "map"),
        ({"header_row": "0"}, "field_invalid", "header_row"),
        ({"header_row": "9" * 5_000}, "field_invalid", "header_row"),
        ({"dryrun": "true"}, "field_unknown", "dryrun"),
        ({"update": "maybe"}, "field_invalid", "update"),
        ({"identifier": "{编码}"}, "identifier_rule_needed", "identifier_column"),
        ({"content": b"%PDF-1.7"}, "file_kind_unsupported", None),
        ({"content": b"PK\x03\x04 cut off", "name": "x.xlsx"}, None, None),
        ({"content": b""}, None, None),
        ({"sheet": "a\0b"}, "text_not_unicode", "sheet"),
    ],
)
async def test_what_is_wrong_with_the_whole_file_is_said_at_once(
    world: World, fields: dict[str, Any], code: str | None, field: str | None
) -> None:
    reply = await upload(world, **fields)
    assert reply.status == 400, reply.body
    assert reply.json["remedy"] and (code is None or reply.json["code"] == code), reply.json
    assert field is None or reply.json["field"] == field


async def test_a_form_without_a_file_and_a_body_that_is_no_form_are_refused(world: World) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("prefix", PUMP)
    for data, headers in ((form, {}), (b"--x\r\nbroken", {"Content-Type": "multipart/form-data; boundary=x"}),
                          (b"x", {"Content-Type": "multipart/form-data"})):  # fmt: skip
        reply = await world.ask("POST", f"{V1}/jobs", data=data, headers=headers)
        assert (reply.status, reply.headers["Content-Type"]) == (400, "application/problem+json")


async def test_jobs_of_others_are_not_found(world: World) -> None:
    foreign = await upload(world, prefix=TOFU)
    assert (foreign.status, foreign.json["code"]) == (404, "prefix_not_found")
    made = await upload(world)
    await wait_for(world, made)
    for action in ("", "/receipt"):
        assert (await world.ask("GET", made.headers["Location"] + action, who="tofu")).status == 404
    assert (await world.ask("GET", f"{V1}/jobs/not-a-job")).json["code"] == "job_not_found"


async def test_the_list_is_paged_newest_first(world: World) -> None:
    for _ in range(3):
        await wait_for(world, await upload(world))
    found, before = [], ""
    while before is not None:
        query = f"&before={before.replace('+', '%2B')}" if before else ""
        page = JobPage.model_validate((await world.ask("GET", f"{V1}/jobs?limit=2{query}")).json)
        found += [job.created for job in page.jobs]
        before = page.next
    assert found == sorted(set(found), reverse=True) and len(found) >= 3
