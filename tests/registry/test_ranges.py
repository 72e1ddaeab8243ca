"""Ten million serials are one row, and no serial is issued twice."""

import asyncio

import asyncpg
import pytest
from asyncpg import Connection

from registry.issuing import draft_record, issue
from registry.ranges import RangeRequest, create_range
from registry.store.records import PrefixRule
from schemas.errors import Conflict, InvalidInput
from schemas.ranges import compute_check_character
from schemas.templates import Template
from tests.registry.issuing_world import ACT, make_prefix, make_template

World = tuple[Connection, PrefixRule, Template]


@pytest.fixture
async def world(connection: Connection) -> World:
    rule = await make_prefix(connection)
    return connection, rule, await make_template(connection, rule)


async def make(world: World, first: str, last: str, checked: bool = False) -> int:
    conn, rule, template = world
    async with conn.transaction():
        request = RangeRequest(first, last, {"model": "W"}, checked)
        return (await create_range(conn, rule, template, request, ACT)).members


async def test_ten_million_serials_are_one_row_and_one_change(world: World) -> None:
    assert await make(world, "SN00000001", "SN10000000") == 10_000_000
    assert await world[0].fetchval("SELECT count(*) FROM ranges") == 1
    assert await world[0].fetchval("SELECT members FROM changes_pending") == 10_000_000


async def test_ends_named_with_their_prefix_are_the_same_range(world: World) -> None:
    own = world[1].prefix
    assert await make(world, f"{own}/SN00000001", f"{own}/SN00000003") == 3
    assert await world[0].fetchval("SELECT head FROM ranges") == "SN"


@pytest.mark.parametrize("last", ["\U0010ffff", "\ud7ff"])  # there is no character right behind them
async def test_what_stands_behind_a_thousand_other_identifiers_is_seen(world: World, last: str) -> None:
    conn, rule, template = world
    await conn.execute(
        "INSERT INTO records (created, changed, prefix_id, suffix_key, packed)"
        " SELECT now(), now(), $1, key, '' FROM (SELECT 'sn2' || chr(256 + n / 40) || chr(256 + n % 40) || 'x' AS key"
        " FROM generate_series(1, 999) AS n UNION VALUES ('sn2' || $2 || $2 || $2)) AS other",
        rule.prefix_id, last,
    )  # fmt: skip
    async with conn.transaction():
        await issue(conn, rule, [draft_record(template, "SN8000", {"model": "W"})], ACT)
    with pytest.raises(Conflict, match="8000"):
        await make(world, "SN1000", "SN8999")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("SN00000500", "SN00000500"),  # inside
        ("sn00000999", "sn00002000"),  # across the end, other letters
        ("SN00000000", "SN00009999"),  # around
    ],
)
async def test_ranges_do_not_overlap(world: World, first: str, last: str) -> None:
    await make(world, "SN00000100", "SN00001000")
    with pytest.raises(Conflict, match="overlaps"):
        await make(world, first, last)


async def test_ranges_of_other_shapes_overlap_where_their_texts_do(world: World) -> None:
    await make(world, "9" + "0" * 15 + "0100", "9" + "0" * 15 + "0200")  # 20 digits: head 90, width 18
    with pytest.raises(Conflict, match="overlaps"):
        await make(world, "9" + "0" * 15 + "0150", "9" + "0" * 15 + "0160")
    with pytest.raises(Conflict, match="overlaps"):  # another head that reaches over it
        await make(world, "90" + "0" * 18, "90" + "0" * 9 + "9" * 9)


@pytest.mark.parametrize(("first", "last"), [("SN001001", "SN002000"), ("SN0100", "SN0200"), ("TN000100", "TN001000")])
async def test_neighbours_other_lengths_and_other_heads_are_free(world: World, first: str, last: str) -> None:
    await make(world, "SN000100", "SN001000")
    assert await make(world, first, last) > 0


async def test_a_range_over_issued_identifiers_is_refused(world: World) -> None:
    conn, rule, template = world
    await issue(conn, rule, [draft_record(template, "sn0050", {"model": "x"})], ACT)
    with pytest.raises(Conflict, match=r"88\.101\.5/SN0050"):
        await make(world, "SN0001", "SN0100")
    assert await make(world, "SN0051", "SN0100") == 50


async def test_texts_between_that_are_no_serials_do_not_matter(world: World) -> None:
    conn, rule, template = world
    await issue(conn, rule, [draft_record(template, f"SN00{n}A", {"model": "x"}) for n in range(10)], ACT)
    assert await make(world, "SN0001", "SN0100") == 100


async def test_a_slip_of_the_finger_registers_no_thousand_million_serials(world: World) -> None:
    with pytest.raises(InvalidInput) as raised:
        await make(world, "SN0000000000", "SN1000000000")
    assert raised.value.code == "range_too_large"


async def test_a_checked_range_wants_right_check_characters(world: World) -> None:
    first, wrong, last = (digits + compute_check_character(digits) for digits in ("001", "002", "900"))
    assert await make(world, "V" + first, "V" + last, checked=True) == 900
    with pytest.raises(InvalidInput, match="check character"):
        await make(world, "W001" + wrong[-1], "W" + last, checked=True)


async def test_a_range_and_single_issues_at_once_never_share_a_serial(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        rule = await make_prefix(conn, "88.101.88")
        template = await make_template(conn, rule)

    async def single(n: int) -> bool:
        async with pool.acquire() as conn, conn.transaction():
            (result,) = await issue(conn, rule, [draft_record(template, f"K{n:04d}", {"model": "w"})], ACT)
            return result.outcome == "registered"

    async def whole() -> bool:
        try:
            async with pool.acquire() as conn, conn.transaction():
                await create_range(conn, rule, template, RangeRequest("K0000", "K9999", {"model": "W"}), ACT)
        except Conflict:
            return False
        return True

    got = await asyncio.gather(*(single(n) for n in range(10)), whole(), *(single(n) for n in range(10, 20)))
    range_made, singles = got[10], got[:10] + got[11:]
    assert range_made != any(singles), "either the range was first, or it was refused"
