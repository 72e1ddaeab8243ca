"""Every table and file of figures says what it counts, for which period, whether it is sealed, and if it sums up."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import openpyxl
import pytest
import pytest_asyncio

from node.closing import close_day, find_status, revise_day
from node.definitions import DEFINITIONS, define_counters, name_column
from node.statistics import GROUPINGS, Limits
from node.statistics_files import FORMATS, describe_status, guard_formula, list_notes, make_file, name_file
from node.statistics_tables import Question, Table, read_table
from node.store.counting import add_answers
from node.store.registrations import add_registrations
from schemas.days import get_start
from schemas.resolution_log import ClientClass, Outcome, Transport
from tests.node.counting_world import TABLES
from tests.node.pdf_reading import read_cells

NODES = ("88.101",)
FIRST, LAST = date(2024, 6, 1), date(2024, 6, 3)
MADE = get_start(FIRST) + timedelta(hours=2)
AS_OF = datetime(2024, 6, 5, tzinfo=UTC)
EVIL = '=HYPERLINK("http://evil.example","x")'


@pytest_asyncio.fixture(scope="module")
async def conn(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Two firms, one with an evil name; three days of figures, the first two closed, the first one revised."""
    async with pool.acquire() as taken:
        for number, name in ((1, EVIL), (2, "Works B")):
            await taken.execute(
                "INSERT INTO enterprises (enterprise_id, certificate_code, name, state, connected_on, created, changed)"
                " OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, 3, $4, $5, $5)",
                number, f"code {number}", name, FIRST, MADE,
            )  # fmt: skip
            await taken.execute(
                "INSERT INTO prefixes (prefix_id, prefix, state, created, changed, enabled_on)"
                " OVERRIDING SYSTEM VALUE VALUES ($1, $2, 1, $3, $3, $4)", number, f"88.101.{number}", MADE, FIRST,
            )  # fmt: skip
            await taken.execute("INSERT INTO prefix_owners VALUES ($1, $1, $2)", number, FIRST)
            await taken.execute(
                "INSERT INTO placements (enterprise_id, from_day, division_code, industry) VALUES ($1, $2, $3, '{}')",
                number, FIRST, ("321302", "321311")[number - 1],
            )  # fmt: skip
        for turn in range(3):
            day = FIRST + timedelta(days=turn)
            async with taken.transaction():
                await add_registrations(taken, {(n, day, 0): (10 * n, 5, 0, 0, 0) for n in (1, 2)})
                await resolve(taken, day, 7)
        await taken.execute("INSERT INTO counted_changes (log_id, position) SELECT log_id, position FROM change_log")
        await close_day(taken, NODES, FIRST + timedelta(days=1), AS_OF)
        async with taken.transaction():
            await resolve(taken, FIRST, 3)
        await revise_day(taken, NODES, FIRST, AS_OF, "=late")
        yield taken
        await taken.execute(f"TRUNCATE {TABLES} CASCADE")


async def resolve(conn: asyncpg.Connection, day: date, count: int) -> None:
    await add_answers(conn, {(1, day, 9, 0, int(Transport.HTTP), int(Outcome.FOUND), int(ClientClass.PUBLIC)): count})


async def read(conn: asyncpg.Connection, by: str = "enterprise", last: date = LAST, **limits: Any) -> Table:
    return await read_table(conn, Question(by, FIRST, last, Limits(**limits)), AS_OF)


@pytest.mark.parametrize("by", GROUPINGS)
async def test_rows_sum_to_the_whole_and_every_column_has_a_name(conn: asyncpg.Connection, by: str) -> None:
    table = await read(conn, by)
    assert table.differing == (None if by == "tag" else [])
    assert table.sums["registered_new"] == 3 * (15 + 25)
    shown = table.format("en")
    assert [set(row) for row in shown["rows"]] == [{one["column"] for one in shown["columns"]}] * len(table.rows)
    assert all(one["name"] != one["column"] for one in shown["columns"])
    assert {one["definition"] for one in shown["columns"]} - {None} == {one["code"] for one in shown["definitions"]}


async def test_a_sum_that_does_not_hold_is_named(conn: asyncpg.Connection) -> None:
    table = await read(conn, "day")
    transaction = conn.transaction()
    await transaction.start()
    await conn.execute("UPDATE node_days SET resolutions = resolutions + 1 WHERE day = $1", FIRST)
    assert (await read(conn, "day")).differing == ["resolutions"]
    await transaction.rollback()
    assert table.differing == []


@pytest.mark.parametrize(
    ("last", "status"),
    [(FIRST, "sealed"), (date(2024, 6, 2), "sealed"), (LAST, "provisional"), (date(2024, 7, 1), "provisional")],
)
async def test_figures_are_sealed_as_far_as_all_days_are(conn: asyncpg.Connection, last: date, status: str) -> None:
    found = await find_status(conn, (FIRST, last))
    assert (found["status"], found["sealed_until"], len(found["revisions"])) == (status, "2024-06-02", 1)
    assert [seal["day"] for seal in found["seals"]] == ([last.isoformat()] if status == "sealed" else [])


async def test_a_day_that_waits_for_its_revision_makes_figures_provisional(conn: asyncpg.Connection) -> None:
    transaction = conn.transaction()
    await transaction.start()
    await resolve(conn, date(2024, 6, 2), 1)
    found = await find_status(conn, (FIRST, date(2024, 6, 2)))
    assert (found["status"], found["late_days"]) == ("provisional", ["2024-06-02"])
    assert (await find_status(conn, (FIRST, FIRST)))["status"] == "sealed", "other days are none of its"
    await transaction.rollback()


async def test_an_area_has_its_own_figures_and_nothing_of_others(conn: asyncpg.Connection) -> None:
    for by in ("enterprise", "area", "unit", "industry", "tag", "stage", "template", "day"):
        own = await read(conn, by, division_code="321302")
        assert (own.sums["registered_total"], own.sums["resolutions"]) == (45, 24), by
        whole = await read(conn, by, division_code="321300")
        assert whole.sums["registered_total"] == 120, by
    names = {row["enterprise"] for row in (await read(conn, division_code="321311")).rows}
    assert names == {"Works B"}
    assert (await read(conn, "enterprise", enterprise_id=2)).sums["registered_total"] == 75
    assert "321302" in (await read(conn, division_code="321302")).limits_text


# Files ----------------------------------------------------------------------------------------------------------


async def test_days_from_before_the_node_are_final_without_a_seal(conn: asyncpg.Connection) -> None:
    sealed = await read(conn, "unit", date(2024, 6, 2))
    assert describe_status(sealed.status | {"seals": []}, "en").startswith("final: before the first prefix")
    assert describe_status(sealed.status, "en").startswith("sealed, 88.101 ")


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("file_format", sorted(FORMATS))
async def test_every_file_names_definition_period_time_seal_and_check(
    conn: asyncpg.Connection, file_format: str, language: str
) -> None:
    table = await read(conn, last=date(2024, 6, 2))
    text = read_text(make_file(table, file_format, language, await read(conn, "day")), file_format)
    as_of = "2024-06-05T00:00:00+00:00" if file_format == "json" else "2024-06-05 08:00:00 (UTC+8)"
    as_of = as_of.replace(" ", "") if file_format == "pdf" else as_of
    assert ("已接入" if file_format != "json" and language == "zh" else "connected") in text
    for named in ("2024-06-01", "2024-06-02", as_of, table.status["seals"][0]["seal"], "late"):
        assert named in text, named
    definitions = [one["definition"] for one in define_counters(language) if one["counter"] in table.figure_columns]
    if file_format == "pdf":  # its lines are broken where they end
        definitions = ["".join(definition.split()) for definition in definitions]
    assert all(definition in text for definition in definitions)
    holds = {"zh": "相符", "en": "holds"}[language] if file_format != "json" else '"holds": true'
    assert holds in text
    assert name_file(table, file_format) == f"statistics-enterprise-2024-06-01-2024-06-02-sealed.{file_format}"


def read_text(content: bytes, file_format: str) -> str:
    if file_format == "pdf":
        return "".join("".join(read_cells(content)).split())
    if file_format != "xlsx":
        return content.decode("utf-8-sig")
    book = openpyxl.load_workbook(io.BytesIO(content))
    return "\n".join(str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row)


async def test_csv_begins_with_a_byte_order_mark_and_has_numbers_and_sums(conn: asyncpg.Connection) -> None:
    content = make_file(await read(conn), "csv", "en")
    assert content.startswith(b"\xef\xbb\xbf")
    heading, one, two, summed, *_ = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    at = heading.index("New identifiers [R1]")
    assert [row[at] for row in (one, two, summed)] == ["45", "75", "120"]
    assert (one[1], summed[0]) == (f"'{EVIL}", "Sum")


async def test_a_text_from_outside_never_becomes_a_formula(conn: asyncpg.Connection) -> None:
    table = await read(conn)
    for row in csv.reader(io.StringIO(make_file(table, "csv", "en").decode("utf-8-sig"))):
        assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in row), row
    book = openpyxl.load_workbook(io.BytesIO(make_file(table, "xlsx", "en")))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert all(cell.data_type != "f" and cell.hyperlink is None for cell in cells)
    assert EVIL in [cell.value for cell in cells]
    assert {cell.data_type for cell in cells if cell.value == 45} == {"n"}


@pytest.mark.parametrize(
    ("text", "guarded"),
    [("=1", True), ("+1", True), ("-1", True), ("@x", True), (" =1", True), ("\t1", True), ("＝1", True),
     ("Works", False), ("", False), ("1-2", False), ("泵业", False)],
)  # fmt: skip
def test_formulas_are_recognised_by_their_beginning(text: str, guarded: bool) -> None:
    assert guard_formula(text) == (f"'{text}" if guarded else text)


async def test_json_is_the_table_itself(conn: asyncpg.Connection) -> None:
    table = await read(conn)
    assert json.loads(make_file(table, "json", "zh")) == json.loads(json.dumps(table.format("zh")))


def test_codes_of_definitions_are_never_used_twice() -> None:
    assert len({one.code for one in DEFINITIONS.values()}) == len(DEFINITIONS)
    assert all(name_column(counter, "zh") != name_column(counter, "en") for counter in DEFINITIONS)


async def test_days_begin_with_own_figures_and_an_area_has_none_of_foreign_prefixes(conn: asyncpg.Connection) -> None:
    foreign = ("resolutions_foreign", "resolutions_foreign_ok")
    assert (await read(conn, "day")).columns[-2:] == foreign
    assert not {*foreign} & {*(await read(conn, "day", division_code="321302")).columns}


async def test_notes_name_the_limits_where_there_are_some(conn: asyncpg.Connection) -> None:
    assert not any("321302" in note for note in list_notes(await read(conn), "en"))
    limited = list_notes(await read(conn, division_code="321302"), "en")
    assert ("Limited to", "321302 江苏省宿迁市宿城区") in limited
    firm = list_notes(await read(conn, enterprise_id=2, industry="C/34"), "zh")
    assert ("范围", "Works B, C/34 通用设备制造业") in firm
