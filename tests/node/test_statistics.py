"""Figures belong to whom the prefix belonged to on that day; units sum to the district, days to the total."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from node.definitions import DEFINITIONS, define_counters
from node.statistics import ENTERPRISE_MEASURES, GROUPINGS, Limits, stats, totals
from node.store.counting import add_answers
from node.store.registrations import add_registrations
from schemas.errors import InvalidInput
from schemas.resolution_log import ClientClass, Outcome, Transport

FIRST, MOVE, LAST = date(2024, 6, 1), date(2024, 6, 10), date(2024, 6, 20)
CREATED = datetime(2024, 5, 1, tzinfo=UTC)
SUMMED = ("registered_new", "registered_total", "registered_live", "resolutions", "resolutions_ok")
PUMPS = ["C", "34", "344", "3441"]
TOFU = ["C", "13", "139", "1392"]


@dataclass(frozen=True)
class District:
    """Two units; works A moved from North to South on MOVE, and prefix 2 went from A to B on the same day."""

    conn: asyncpg.Connection
    north: int
    south: int
    a: int
    b: int
    prefixes: tuple[int, int, int]


async def make_enterprise(conn: asyncpg.Connection, code: str, name: str, connected_on: date | None) -> int:
    found: int = await conn.fetchval(
        "INSERT INTO enterprises (certificate_code, name, state, connected_on, created, changed)"
        " VALUES ($1, $2, 3, $3, $4, $4) RETURNING enterprise_id",
        code, name, connected_on, CREATED,
    )  # fmt: skip
    return found


async def make_prefix(conn: asyncpg.Connection, prefix: str, state: int = 1) -> int:
    found: int = await conn.fetchval(
        "INSERT INTO prefixes (prefix, state, created, changed) VALUES ($1, $2, $3, $3) RETURNING prefix_id",
        prefix, state, CREATED,
    )  # fmt: skip
    return found


async def own(conn: asyncpg.Connection, prefix_id: int, owner: int, since: date, until: date | None = None) -> None:
    await conn.execute("INSERT INTO prefix_owners VALUES ($1, $2, $3, $4)", prefix_id, owner, since, until)


async def place(
    conn: asyncpg.Connection, enterprise: int, since: date, until: date | None, unit: int | None, industry: list[str]
) -> None:
    await conn.execute(
        "INSERT INTO placements (enterprise_id, from_day, to_day, division_code, unit_id, industry)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        enterprise, since, until, "321302" if unit else "", unit, industry,
    )  # fmt: skip


async def register(conn: asyncpg.Connection, prefix_id: int, day: date, *counts: int, template_id: int = 0) -> None:
    """counts: registered, range_minted, retired, restored, moved."""
    row = (*counts, 0, 0, 0, 0, 0)
    await add_registrations(conn, {(prefix_id, day, template_id): (row[0], row[1], row[2], row[3], row[4])})


async def resolve(
    conn: asyncpg.Connection, prefix_id: int, day: date, count: int, outcome: Outcome = Outcome.FOUND,
    client_class: ClientClass = ClientClass.PUBLIC,
) -> None:  # fmt: skip
    await add_answers(conn, {(prefix_id, day, 9, 0, Transport.HTTP, outcome, client_class): count})


@pytest_asyncio.fixture
async def district(connection: asyncpg.Connection) -> AsyncIterator[District]:
    conn = connection
    unit = "INSERT INTO units (division_code, name) VALUES ('321302', $1) RETURNING unit_id"
    north, south = await conn.fetchval(unit, "North"), await conn.fetchval(unit, "South")
    a = await make_enterprise(conn, "91321300MA1AAAAA01", "Works A", FIRST)
    b = await make_enterprise(conn, "91321300MA1BBBBB02", "Works B", date(2024, 6, 15))
    await place(conn, a, FIRST, MOVE, north, PUMPS)
    await place(conn, a, MOVE, None, south, PUMPS)
    await place(conn, b, FIRST, None, None, TOFU)
    one, two, stray = [await make_prefix(conn, p) for p in ("88.101.1", "88.101.2", "88.101.3")]
    await own(conn, one, a, FIRST)
    await own(conn, two, a, FIRST, MOVE)
    await own(conn, two, b, MOVE)
    for prefix_id, weight in ((one, 1), (two, 10), (stray, 100)):
        await register(conn, prefix_id, FIRST, weight)
        await register(conn, prefix_id, MOVE, 2 * weight, 1_000 * weight, weight)
        await resolve(conn, prefix_id, FIRST, 3 * weight)
        await resolve(conn, prefix_id, MOVE, 4 * weight, Outcome.NOT_FOUND)
        await resolve(conn, prefix_id, MOVE, 5 * weight, client_class=ClientClass.SELF)
    await resolve(conn, 0, MOVE, 7)
    await resolve(conn, 0, MOVE, 2, Outcome.NOT_FOUND)
    yield District(conn, north, south, a, b, (one, two, stray))


def pick(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


async def test_an_enterprise_has_a_row_for_each_prefix_and_only_its_own_days(district: District) -> None:
    rows = await stats(district.conn, "enterprise", (None, LAST))
    assert pick(rows, "enterprise", "prefix", *SUMMED, "range_minted", "retired_total", "resolutions_uncounted") == [
        ("Works A", "88.101.1", 1_003, 1_003, 1_002, 7, 3, 1_000, 1, 5),
        ("Works A", "88.101.2", 10, 10, 10, 30, 30, 0, 0, 0),
        ("Works B", "88.101.2", 10_020, 10_020, 10_010, 40, 0, 10_000, 10, 50),
        (None, "88.101.3", 100_300, 100_300, 100_200, 700, 300, 100_000, 100, 500),
    ]
    assert pick(rows, "unit", "industry") == [
        ("South", "C/34/344/3441"), ("South", "C/34/344/3441"), (None, "C/13/139/1392"), (None, None),
    ]  # fmt: skip


async def test_a_move_keeps_what_was_counted_before_where_it_was(district: District) -> None:
    rows = await stats(district.conn, "unit", (FIRST, LAST))
    assert pick(rows, "unit", "registered_total", "resolutions") == [
        ("North", 11, 33), ("South", 1_002, 4), (None, 110_320, 740),
    ]  # fmt: skip


async def test_a_unit_alone_counts_a_firm_that_came_from_elsewhere_as_the_whole_does(district: District) -> None:
    for column in ("from_day", "to_day"):  # after the last registration and resolution
        await district.conn.execute(f"UPDATE placements SET {column} = $1 WHERE {column} = $2", LAST, MOVE)
    (whole,) = [row for row in await stats(district.conn, "unit", (FIRST, LAST)) if row["unit"] == "South"]
    alone = await totals(district.conn, (FIRST, LAST), Limits(unit_id=district.south))
    assert (whole["registered_total"], whole["enterprises_with_identifiers"], whole["enterprises_active"]) == (0, 1, 1)
    assert {name: alone[name] for name in ENTERPRISE_MEASURES} == {name: whole[name] for name in ENTERPRISE_MEASURES}


async def test_an_industry_limits_every_grouping_to_what_its_own_row_says(district: District) -> None:
    for level in (1, 3):
        for row in await stats(district.conn, "industry", (FIRST, LAST), level=level):
            limits = Limits(industry=row["industry"] or "")
            if limits.industry:
                within = await totals(district.conn, (FIRST, LAST), limits)
                assert {name: within[name] for name in SUMMED} == {name: row[name] for name in SUMMED}
                for by in ("enterprise", "unit", "template", "day"):
                    rows = await stats(district.conn, by, (FIRST, LAST), limits)
                    assert sum(one["resolutions"] for one in rows) == row["resolutions"], (by, level)
    assert await stats(district.conn, "enterprise", (FIRST, LAST), Limits(industry="A")) == []


@pytest.mark.parametrize("period", [(None, LAST), (FIRST, FIRST), (MOVE, LAST), (date(2024, 6, 2), date(2024, 6, 9))])
async def test_every_grouping_sums_to_the_same(district: District, period: tuple[date | None, date]) -> None:
    expected = await totals(district.conn, period)
    for by in GROUPINGS:
        rows = await stats(district.conn, by, period)
        for name in SUMMED:
            summed = rows[-1][name] if by == "day" and name.endswith(("total", "live")) else sum(r[name] for r in rows)
            assert summed == expected[name], (by, name)


async def test_a_period_begins_with_its_first_day_and_ends_with_its_last(district: District) -> None:
    (row, *_) = await stats(district.conn, "enterprise", (date(2024, 6, 2), MOVE))
    assert (row["registered_new"], row["registered_total"], row["resolutions"]) == (1_002, 1_003, 4)
    (row, *_) = await stats(district.conn, "enterprise", (FIRST, MOVE - timedelta(days=1)))
    assert (row["registered_new"], row["registered_total"], row["resolutions"]) == (1, 1, 3)


async def test_days_are_complete_and_show_foreign_prefixes_apart(district: District) -> None:
    rows = await stats(district.conn, "day", (FIRST, LAST))
    assert [row["day"] for row in rows] == [(FIRST + timedelta(days=n)).isoformat() for n in range(20)]
    assert pick(rows, "registered_new", "registered_total", "resolutions", "resolutions_foreign")[8:10] == [
        (0, 111, 0, 0), (111_222, 111_333, 444, 9),
    ]  # fmt: skip
    assert rows[9]["resolutions_foreign_ok"] == 7
    later = await stats(district.conn, "day", (LAST, LAST))
    assert pick(later, "registered_new", "registered_total", "registered_live") == [(0, 111_333, 111_222)]


async def test_areas_and_industries_are_named_and_what_has_none_comes_last(district: District) -> None:
    areas = await stats(district.conn, "area", (None, LAST))
    assert pick(areas, "division_code", "area", "registered_total") == [
        ("321302", "江苏省宿迁市宿城区", 1_013), (None, None, 110_320),
    ]  # fmt: skip
    industries = await stats(district.conn, "industry", (None, LAST), level=2)
    assert pick(industries, "industry", "registered_total") == [("C/13", 10_020), ("C/34", 1_013), (None, 100_300)]
    assert industries[0]["industry_name"] == "农副食品加工业"


async def test_templates_keep_what_they_issued_and_hold_what_moved_to_them(district: District) -> None:
    conn, prefix_id = district.conn, district.prefixes[0]
    template_id = await conn.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, 'pump-1', 'META_PUMP-1', '{}', $2, $2) RETURNING template_id",
        prefix_id, CREATED,
    )  # fmt: skip
    await register(conn, prefix_id, LAST, 0, 0, 0, 0, -2)
    await register(conn, prefix_id, LAST, 5, 0, 0, 0, 2, template_id=template_id)
    rows = await stats(conn, "template", (None, LAST), Limits(["88.101.1"]))
    assert pick(rows, "version", "registered_total", "registered_live") == [("pump-1", 5, 7), (None, 1_003, 1_000)]


async def test_a_tenant_sees_the_prefixes_it_names_and_no_others(district: District) -> None:
    for by in ("enterprise", "template"):
        rows = await stats(district.conn, by, (None, LAST), Limits(["88.101.1"]))
        assert {row["prefix"] for row in rows} == {"88.101.1"}
    assert (await totals(district.conn, (None, LAST), Limits(["88.101.1"])))["registered_total"] == 1_003
    assert (await totals(district.conn, (None, LAST), Limits(["88.101.1"])))["resolutions_foreign"] == 0
    assert await stats(district.conn, "enterprise", (None, LAST), Limits([])) == []


@pytest.mark.parametrize(
    ("last", "north", "south", "unplaced"),
    [
        (date(2024, 5, 31), 0, 0, 0),
        (FIRST, 1, 0, 0),
        (MOVE, 0, 1, 0),
        (date(2024, 6, 14), 0, 1, 0),
        (date(2024, 6, 15), 0, 1, 1),
    ],
)
async def test_connected_is_a_distinct_code_with_an_enabled_prefix_from_its_day_on(
    district: District, last: date, north: int, south: int, unplaced: int
) -> None:
    conn = district.conn
    stopped = await make_enterprise(conn, "91321300MA1CCCCC03", "Stopped", FIRST)
    await own(conn, await make_prefix(conn, "88.101.7", state=0), stopped, FIRST)
    await make_enterprise(conn, "91321300MA1DDDDD04", "Without a prefix", FIRST)
    second = await make_prefix(conn, "88.101.8")
    await own(conn, second, district.a, FIRST)
    rows = await stats(conn, "unit", (None, last))
    assert [row["enterprises_connected"] for row in rows] == [north, south, unplaced]
    summed = await totals(conn, (FIRST, max(last, FIRST)))
    if last >= FIRST:
        assert summed["enterprises_connected"] == north + south + unplaced
        assert summed["enterprises_new"] == summed["enterprises_connected"] + 1, "and the one that was stopped since"


async def test_an_empty_node_has_statistics_of_nothing(connection: asyncpg.Connection) -> None:
    for by in GROUPINGS:
        rows = await stats(connection, by, (None, LAST))
        assert all(row["registered_total"] == row["resolutions"] == 0 for row in rows)


@pytest.mark.parametrize(
    ("by", "period", "level", "code"),
    [
        ("colour", (None, LAST), 4, "statistics_grouping_unknown"),
        ("industry", (None, LAST), 5, "statistics_level_unknown"),
        ("day", (LAST, FIRST), 4, "statistics_period_reversed"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    connection: asyncpg.Connection, by: str, period: tuple[date, date], level: int, code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await stats(connection, by, period, level=level)
    assert refused.value.code == code
    assert str(refused.value) != code


def test_every_counter_is_defined_in_both_languages() -> None:
    chinese, english = define_counters("zh"), define_counters("en")
    assert [one["counter"] for one in chinese] == list(DEFINITIONS)
    assert all(zh["definition"] != en["definition"] for zh, en in zip(chinese, english, strict=True))
