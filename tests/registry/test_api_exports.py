"""An enterprise takes everything with it, and what it took can be brought back."""

import csv
import io
import json
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from registry import exports
from registry.import_plan import ImportOptions
from registry.jobs import create_import, run_import
from registry.records import get_rule
from registry.store.changes import Act
from registry.templates import find_template_by_id
from tests.registry.api_world import PUMP, TOFU, World, open_world
from tests.registry.people import order

V1 = "/api/v1"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        await fill(made)
        yield made


async def fill(world: World) -> None:
    """Values that are hard to carry: private ones, formulas, quotation marks, lines, negative numbers, many pages."""
    items: list[dict[str, Any]] = [{"suffix": f"N-{n:03}", "values": {"model": f"M{n}"}} for n in range(7)]
    items += [
        {"suffix": "neg", "values": {"model": "A", "flow": "-5"}},
        {"suffix": "quote,\"'", "values": {"model": 'a "b", c', "line": "geheim · 秘密"}},
        {"suffix": "line", "values": {"model": "one\ntwo"}},
    ]
    body = {"prefix": PUMP, "template": "pump-1", "items": items}
    assert (await world.ask("POST", f"{V1}/identifiers/batch", body)).json["registered"] == 10
    formula = {"identifier": f"{PUMP}/formula", "template": "pump-1", "values": {"model": "=1+1"}}
    assert (await world.ask("POST", f"{V1}/identifiers", formula)).status == 201
    serials = {"prefix": PUMP, "template": "pump-1", "first": "R001", "last": "R999", "values": {"model": "W"}}
    assert (await world.ask("POST", f"{V1}/ranges", serials)).status == 201
    for path, sent in (
        ("identifiers/{}/N-000", {"values": {"model": "new"}}),
        ("identifiers/{}/R007", {"values": {"model": "own"}}),
        ("ranges/{}/R001", {"values": {"model": "V"}}),
    ):
        assert (await world.ask("PATCH", f"{V1}/{path.format(PUMP)}", sent)).status == 200
    await world.ask("POST", f"{V1}/identifiers/{PUMP}/N-001/retire", {"reason": "old"})
    await world.ask("POST", f"{V1}/identifiers/{PUMP}/N-002/freeze", {"notice": "recall"})
    await world.ask("POST", f"{V1}/sandboxes", {})


async def export(world: World, query: str = "", who: str = "pump") -> zipfile.ZipFile:
    reply = await world.ask("GET", f"{V1}/export{query}", who=who)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/zip"), reply.json
    return zipfile.ZipFile(io.BytesIO(reply.body))


def read_ndjson(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


def read_csv(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline="")))


async def test_the_manifest_proves_every_file_and_nothing_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await export(world)
    monkeypatch.setattr(exports, "PAGE_ROWS", 2)
    archive = await export(world)
    manifest = json.loads(archive.read("manifest.json"))
    for listed in manifest["files"]:
        content = archive.read(listed["name"])
        assert (len(content), sha256(content).hexdigest()) == (listed["bytes"], listed["sha256"])
        assert content == whole.read(listed["name"]) or listed["name"] == "enterprise.json", "pages change nothing"
        if listed["name"].endswith(".ndjson") and listed["rows"] is not None:
            assert listed["rows"] == len(content.splitlines())
    assert {listed["name"] for listed in manifest["files"]} | {"manifest.json"} == set(archive.namelist())
    assert "SANDBOX" not in archive.read("prefixes.csv").decode()
    assert manifest["format"] == "idnode-export/1" and manifest["change_log"]["from"] >= 0


async def test_records_hold_private_values_retired_ones_and_history(world: World) -> None:
    archive = await export(world)
    records = {row["identifier"]: row for row in read_ndjson(archive, f"{PUMP}/records.ndjson")}
    assert len(records) == 13, "11 registered, one member of its own, one template"
    values = {value["type"]: value["data"] for value in records[f"{PUMP}/quote,\"'"]["values"]}
    assert values == {"model": 'a "b", c', "line": "geheim · 秘密"}
    assert (records[f"{PUMP}/N-001"]["state"], records[f"{PUMP}/N-002"]["note"]) == ("retired", "recall")
    history = read_ndjson(archive, f"{PUMP}/history.ndjson")
    assert [(row["identifier"], row["ended_by"]) for row in history] == [
        (f"{PUMP}/N-000", "changed"), (f"{PUMP}/N-001", "retired"), (f"{PUMP}/N-002", "frozen"),
        (f"{PUMP}/R007", "changed"),
    ]  # fmt: skip
    (a_range,) = read_ndjson(archive, f"{PUMP}/ranges.ndjson")
    assert (a_range["first"], a_range["members"], a_range["values"][0]["data"]) == (f"{PUMP}/R001", 999, "V")
    (before,) = read_ndjson(archive, f"{PUMP}/range-history.ndjson")
    assert (before["values"][0]["data"], before["members"]) == ("W", 998)
    (template,) = read_ndjson(archive, f"{PUMP}/templates.ndjson")
    assert template["version"] == "pump-1"
    assert (
        b"secret" not in archive.read("keys.csv")
        and world.firms["pump"].access_key in archive.read("keys.csv").decode()
    )


async def test_what_was_exported_is_imported_again_as_unchanged(
    world: World, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    """The NDJSON exactly; in the CSV, what a spreadsheet would compute differs."""
    archive = await export(world)
    lines, ready = tmp_path / "pump-1.ndjson", tmp_path / "pump-1.csv"
    for path in (lines, ready):
        path.write_bytes(archive.read(f"{PUMP}/import/{path.name}"))
    async with pool.acquire() as conn:
        rule = await get_rule(conn, PUMP)
        template_id = await conn.fetchval("SELECT template_id FROM templates WHERE prefix_id = $1", rule.prefix_id)
        template = await find_template_by_id(conn, template_id)
        assert template is not None
        options = ImportOptions(identifier_column="identifier")
        for path, counts in ((lines, {"unchanged": 11}), (ready, {"unchanged": 10, "differs": 1})):
            act = Act("test", world.state.now())
            job_id = await create_import(conn, tmp_path, path, (rule, template), path.name, act, options)
            job = await run_import(conn, tmp_path, job_id)
            assert job is not None and {k: n for k, n in job.counts.items() if n} == counts, path.name
    (guarded,) = [row for row in read_csv(archive, f"{PUMP}/import/pump-1.csv") if "formula" in row["identifier"]]
    assert guarded["model"] == "'=1+1", "only what a spreadsheet would compute differs, and says so in the README"
    (negative,) = [row for row in read_csv(archive, f"{PUMP}/import/pump-1.csv") if "neg" in row["identifier"]]
    assert negative["flow"] == "-5"


async def test_attachments_and_the_dossier_are_in_it(world: World, pool: asyncpg.Pool) -> None:
    form = aiohttp.FormData()
    pdf = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    form.add_field("file", pdf, filename="licence ../营业执照.pdf", content_type="application/pdf")
    sent = await world.ask("POST", f"{V1}/attachments", data=form)
    assert sent.status == 201, sent.json
    archive = await export(world)
    (name,) = [name for name in archive.namelist() if name.startswith("attachments/")]
    assert archive.read(name) == pdf and ".." not in name.split("/")
    dossier = json.loads(archive.read("enterprise.json"))
    assert dossier["certificate_code"] and "personal" in dossier and dossier["decisions"]


async def test_the_operator_gives_a_reason_which_is_recorded(world: World, pool: asyncpg.Pool) -> None:
    pump = world.firms["pump"].enterprise_id
    for query, code in (("", "field_missing"), (f"?enterprise_id={pump}", "reason_missing")):
        reply = await world.ask("GET", f"{V1}/export{query}", who="operator")
        assert (reply.status, reply.json["code"]) == (400, code)
    await export(world, f"?enterprise_id={pump}&reason=court+order", who="operator")
    shown = (await world.ask("GET", f"{V1}/enterprises/{pump}")).json["decisions"]
    assert ("revealed", "court order") in [(row["decision"], row["reason"]) for row in shown]
    assert (await world.ask("GET", f"{V1}/export?enterprise_id={pump}", who="tofu")).status == 404


async def test_nothing_is_left_behind_on_the_disk(world: World) -> None:
    await export(world)
    assert not list(world.state.config.jobs_dir.glob("arriving-*"))


async def test_memory_is_flat_however_much_is_exported(
    world: World, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ten times the records, of which each is a few hundred bytes of JSON: not a hundred bytes each are held."""
    monkeypatch.setattr(exports, "PAGE_ROWS", 50)
    body = {"identifier": f"{TOFU}/0", "template": "pump-1", "values": {"model": "W" * 60}}
    assert (await world.ask("POST", f"{V1}/identifiers", body, who="tofu")).status == 201
    await measure_export(world, tmp_path / "0.zip")  # what is loaded once
    peaks = []
    for first, last in ((1, 150), (151, 1_500)):
        await pool.execute(
            "INSERT INTO records (created, changed, prefix_id, template_id, suffix_key, packed)"
            " SELECT created, changed, prefix_id, template_id, n::text, packed"
            " FROM records, generate_series($1::int, $2::int) n"
            " WHERE prefix_id = (SELECT prefix_id FROM prefixes WHERE prefix = $3) AND suffix_key = '0'",
            first, last, TOFU,
        )  # fmt: skip
        rows, peak = await measure_export(world, tmp_path / f"{last}.zip")
        assert rows == last + 2, "the first one, and the template's own"
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 1_350 * 100, peaks


async def measure_export(world: World, path: Path) -> tuple[int, int]:
    """Records in the export of the tofu maker, and the most bytes that were held while it ran."""
    state, firm = world.state, world.firms["tofu"].enterprise_id
    given = order(reason="measured")
    config = state.config
    source = exports.Source(state.connect, config.rules, config.attachments, path.parent, given, firm)
    tracemalloc.start()
    with path.open("wb") as file:
        async for piece in exports.export_enterprise(source):
            file.write(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with zipfile.ZipFile(path) as archive:
        return len(archive.read(f"{TOFU}/records.ndjson").splitlines()), peak


async def test_items_that_are_called_as_other_columns_are_imported_again(
    world: World, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    items = [
        {"type": "identifier"}, {"type": "sn", "name": {"en": "Identifier_"}},
        {"type": "model", "name": {"zh": "型号", "en": "Kind"}}, {"type": "brand", "name": {"en": "Model"}},
    ]  # fmt: skip
    document = {"version": "named", "items": items}
    assert (await world.ask("POST", f"{V1}/prefixes/{TOFU}/templates", document, who="tofu")).status == 201
    body = {"identifier": f"{TOFU}/named", "template": "named",
            "values": {"identifier": "OLD-1", "sn": "7", "model": "A", "brand": "B"}}  # fmt: skip
    assert (await world.ask("POST", f"{V1}/identifiers", body, who="tofu")).status == 201
    archive = await export(world, who="tofu")
    for kind in ("csv", "ndjson"):
        path = tmp_path / f"named.{kind}"
        path.write_bytes(archive.read(f"{TOFU}/import/named.{kind}"))
        first = read_csv(archive, f"{TOFU}/import/named.csv")[0]
        assert next(iter(first)) == "identifier__", "two items have the shorter ones"
        form = aiohttp.FormData({"prefix": TOFU, "template": "named", "identifier_column": "identifier__"})
        form.add_field("file", path.read_bytes(), filename=path.name)
        job = (await world.ask("POST", f"{V1}/jobs", data=form, who="tofu")).json["job_id"]
        async with pool.acquire() as conn:
            done = await run_import(conn, world.state.config.jobs_dir, UUID(job))
        assert done is not None and {k: n for k, n in done.counts.items() if n} == {"unchanged": 1}, kind
