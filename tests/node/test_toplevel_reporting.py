"""What is reported, and that a rehearsal top-level node ends up with exactly the figures that we have."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from asyncpg import Connection

from node import reporting
from node.master_data import expand, report_master
from node.outbox import renew, send_due
from node.report_rows import make_sources
from node.reporting import (
    Reporter,
    cut,
    report_day,
    report_enterprises,
    report_events,
    report_monitoring,
    report_node,
    report_prefixes,
    report_templates,
)
from node.reporting_loop import RECONCILED_DAYS, SCHEDULE, step
from node.store import outbox as store
from node.store import reports as report_store
from node.toplevel import book as above_store
from node.toplevel_health import judge_reports
from node.toplevel_keys import get_signer
from node.toplevel_link import Link, reconcile_day, reconcile_standing
from registry.prefixes import NodeRules, transfer_prefix
from registry.principals import Order, Principal
from registry.store.changes import Act, append_change, number_changes
from schemas.changes import ChangeKind
from schemas.days import get_day
from schemas.errors import InvalidInput
from schemas.records import pack_texts
from schemas.sealing import KeyRing, make_key
from schemas.signatures import format_public_key
from schemas.texts import format_message, format_remedy
from tests.node.toplevel_world import APP, PREFIX, START, YESTERDAY, Above, run_above
from tests.registry.issuing_world import DOCUMENT

DAY = date.fromisoformat(YESTERDAY)
REPORTER = Reporter((PREFIX,), ("203.0.113.1", {"tcp": 2641, "udp": 2641, "http": 8081}))
RECONCILE, HASHES = ({name: work for name, _, work in SCHEDULE}[name] for name in ("reconciliation", "hashes"))
USCC = ("91321302MA0000001Y", "91321302MA00000022")


@pytest_asyncio.fixture
async def above(tmp_path: Path) -> AsyncIterator[Above]:
    async with run_above(tmp_path / "above") as running:
        yield running


@pytest_asyncio.fixture
async def node(connection: Connection) -> Connection:
    """Two firms with a prefix each, one of them not hosted here, and figures of two days."""
    await connection.execute("INSERT INTO units (division_code, name) VALUES ('321302', '陈集镇')")
    for number, uscc in enumerate(USCC, start=1):
        firm = await connection.fetchval(
            "INSERT INTO enterprises (certificate_code, name, state, verification, connected_on, created, changed)"
            " VALUES ($1, $2, 3, 2, $3, $4, $4) RETURNING enterprise_id",
            uscc, f"泵厂{number}", DAY, START,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO placements (enterprise_id, from_day, division_code, unit_id, industry)"
            " VALUES ($1, $2, '321302', (SELECT unit_id FROM units), '{C,34,344,3441}')",
            firm, DAY,
        )  # fmt: skip
        prefix_id = await connection.fetchval(
            "INSERT INTO prefixes (prefix, state, created, changed, enabled_on) VALUES ($1, 1, $2, $2, $3)"
            " RETURNING prefix_id",
            f"{PREFIX}.{number}", START - timedelta(days=2), DAY - timedelta(days=number - 1),
        )  # fmt: skip
        await connection.execute("INSERT INTO prefix_owners VALUES ($1, $2, $3, NULL)", prefix_id, firm, DAY)
        await connection.execute(
            "INSERT INTO prefixes (prefix, state, created, changed, enabled_on, sandbox_of) VALUES ($1, 1, $2, $2, $3,"
            " $4)", f"{PREFIX}.99{number}", START, DAY, firm,
        )  # fmt: skip
        for back in (0, 1):
            day = DAY - timedelta(days=back)
            await add_counts(connection, prefix_id, day, 10 * number, 3)
    return connection


async def add_counts(conn: Connection, prefix_id: int, day: date, registered: int, asked: int) -> None:
    await conn.execute(
        "INSERT INTO registration_counts (prefix_id, day, template_id, registered, range_minted) VALUES ($1, $2, 0, $3,"
        " 5) ON CONFLICT (prefix_id, day, template_id) DO UPDATE SET registered = registration_counts.registered + $3",
        prefix_id, day, registered,
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO resolution_days VALUES ($1, $2, 0, $3, $3, 7) ON CONFLICT (prefix_id, day, template_id)"
        " DO UPDATE SET resolutions = resolution_days.resolutions + $3,"
        " resolutions_ok = resolution_days.resolutions_ok + $3",
        prefix_id, day, asked,
    )  # fmt: skip
    for client_class, address, count in ((1, "203.0.113.7", 2), (1, "::", 1), (3, "203.0.113.8", 7)):
        await conn.execute(
            "INSERT INTO resolution_clients VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            prefix_id, day, client_class, address, count,
        )  # fmt: skip


async def send_all(conn: Connection, above: Above) -> None:
    while (await send_due(conn, above.toplevel, above.clock, 100, lambda: 0.0))[0]:
        pass


async def list_compared(conn: Connection) -> list[str]:
    """Tables that were compared with the node above."""
    rows = await conn.fetch("SELECT table_name FROM toplevel_reconciliations ORDER BY period DESC, table_name")
    return [row["table_name"] for row in rows]


async def make_link(conn: Connection, above: Above, approval_required: bool = False) -> Link:
    """With a key of the node's own, which the top-level node knows."""
    ring = KeyRing(dict([make_key()]))
    signer = await get_signer(conn, ring, APP, "ED25519", above.clock())
    public = format_public_key("ED25519", signer.private_key)
    with above_store.transaction(above.book):
        above_store.enrol(above.book, APP, PREFIX, above_store.Key(signer.key_id, "ED25519", public, "active"), 0)
    toplevel = above.toplevel
    toplevel.signer = signer
    return Link(toplevel, REPORTER, NodeRules((PREFIX,), ring, approval_required), "ED25519", above.clock())


def strip(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


async def test_a_day_arrives_with_the_figures_that_were_counted(node: Connection, above: Above) -> None:
    await report_day(node, REPORTER, DAY, above.clock())
    await send_all(node, above)
    first, second = above.rows("T8")
    assert strip(first, "prefix", "regNew", "regTotal", "rangeMinted", "resolveReq", "othersCount") == {
        "prefix": "88.101.1", "regNew": 15, "regTotal": 30, "rangeMinted": 5, "resolveReq": 3, "othersCount": 1,
    }  # fmt: skip
    assert first["sources"] == [{"ip": "203.0.113.7", "count": 2}], "questions of the owner are no resolutions"
    assert (second["regNew"], second["regTotal"]) == (25, 50)
    (whole,) = above.rows("T3")
    assert strip(whole, "prefix", "entNew", "entTotal", "resolveReq", "resolveOk", "othersCount") == {
        "prefix": PREFIX, "entNew": 1, "entTotal": 2, "resolveReq": 6, "resolveOk": 6, "othersCount": 2,
    }  # fmt: skip
    assert {message.state for message in await store.fetch_messages(node)} == {"accepted"}


async def test_what_is_counted_late_becomes_a_revision_of_that_part_alone(node: Connection, above: Above) -> None:
    await report_day(node, REPORTER, DAY, above.clock())
    await send_all(node, above)
    assert (await report_day(node, REPORTER, DAY, above.clock())).messages == []
    prefix_id = await node.fetchval("SELECT prefix_id FROM prefixes WHERE prefix = '88.101.2'")
    await add_counts(node, prefix_id, DAY, 1, 0)
    assert len((await report_day(node, REPORTER, DAY, above.clock())).messages) == 1
    await send_all(node, above)
    assert [row["regNew"] for row in above.rows("T8")] == [15, 26]
    link = await make_link(node, above)
    assert await reconcile_day(node, link, YESTERDAY, above.clock())
    assert len(await list_compared(node)) == 2
    above.book.execute("DELETE FROM rows WHERE table_name = 'T8'")
    await RECONCILE(node, link, above.clock())
    assert await report_store.fetch_differing(node, DAY) == [(YESTERDAY, "T8", PREFIX)]
    (latest,) = await store.fetch_latest_of(node, "T8", YESTERDAY, PREFIX)
    await renew(node, latest, "lost above", above.clock())
    await send_due(node, link.toplevel, above.clock)
    above.clock.pass_(days=RECONCILED_DAYS + 1)
    await RECONCILE(node, link, above.clock())
    assert await report_store.fetch_differing(node, DAY) == [], "what differed is compared until it is equal"


async def test_a_closed_day_is_reported_as_it_was_closed_whatever_the_counters_say_now(
    node: Connection, above: Above
) -> None:
    await node.execute(
        "INSERT INTO day_closes VALUES ($1, $2, 1, 1, $3, '', 1, '{}', '[]', '', '')", PREFIX, DAY, above.clock()
    )
    for revision, registered in ((1, 4), (2, 6)):
        await node.execute(
            "INSERT INTO closed_rows SELECT prefix_id, $1, $2, $3, prefix, NULL, $4::int8, 0, $4::int8, $4::int8, 0,"
            " 1, 1, 0, '[]' FROM prefixes WHERE prefix = '88.101.1'",
            DAY, revision, PREFIX, registered,
        )  # fmt: skip
    link = await make_link(node, above)
    await step(node, link, above.clock)
    (row,) = above.rows("T8")
    assert strip(row, "regNew", "resolveReq", "othersCount") == {"regNew": 6, "resolveReq": 1, "othersCount": 1}
    assert "provisional" not in row


async def test_a_prefix_that_is_not_in_the_closed_day_is_not_counted_above_either(
    node: Connection, above: Above, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "STATISTICS_PER_PART", 1)
    monkeypatch.setattr(reporting, "MONITORED_PER_PART", 1)
    await report_day(node, REPORTER, DAY, above.clock(), provisional=True)
    await report_monitoring(node, REPORTER, DAY, above.clock())
    await send_all(node, above)
    assert [len(above.rows(table)) for table in ("T8", "M2")] == [2, 2]
    await node.execute(
        "INSERT INTO day_closes VALUES ($1, $2, 1, 1, $3, '', 1, '{}', '[]', '', '')", PREFIX, DAY, above.clock()
    )
    await node.execute(
        "INSERT INTO closed_rows SELECT prefix_id, $1, 1, $2, prefix, NULL, 4, 0, 4, 4, 0, 1, 1, 0, '[]' FROM prefixes"
        " WHERE prefix = '88.101.2'", DAY, PREFIX,
    )  # fmt: skip
    await node.execute("UPDATE prefixes SET enabled_on = $1 WHERE prefix = '88.101.1'", DAY + timedelta(days=1))
    await report_day(node, REPORTER, DAY, above.clock())
    await report_monitoring(node, REPORTER, DAY, above.clock())
    await send_all(node, above)
    assert [(row["prefix"], row["regNew"]) for row in above.rows("T8")] == [("88.101.2", 4)]
    assert [row["prefix"] for row in above.rows("M2")] == ["88.101.2"]


async def test_a_day_that_is_not_over_is_reported_only_as_provisional(node: Connection, above: Above) -> None:
    today = DAY + timedelta(days=1)
    for day in (today, today + timedelta(days=1)):
        with pytest.raises(InvalidInput):
            await report_day(node, REPORTER, day, above.clock())
    await report_day(node, REPORTER, today, above.clock(), provisional=True)
    await send_all(node, above)
    assert all(row["provisional"] for row in above.rows("T8", today.isoformat()))


SOURCES: list[tuple[list[tuple[str, int]], int, Any, Any, str]] = [
    ([("203.0.113.9", 3)], 5, "full", ([("203.0.113.9", 3)], 2), "the rest are others"),
    ([("203.0.113.9", 3), ("203.0.113.1", 3)], 6, "full", ([("203.0.113.1", 3), ("203.0.113.9", 3)], 0), "ties"),
    ([("203.0.113.9", 3), ("203.0.113.1", 4)], 7, "truncated", ([("203.0.113.0/24", 7)], 0), "networks"),
    ([("2001:db8:1:2::3", 1)], 1, "truncated", ([("2001:db8:1::/48", 1)], 0), "networks of IPv6"),
    ([("203.0.113.9", 3)], 5, "none", ([], 5), "no addresses at all"),
    ([("203.0.113.9", 4), ("203.0.113.1", 3)], 5, "full", ([("203.0.113.9", 4)], 1), "counted after the seal"),
]


@pytest.mark.parametrize(("named", "total", "policy", "expected", "reason"), SOURCES, ids=[s[4] for s in SOURCES])
def test_sources_and_others_are_all_requests(
    named: list[tuple[str, int]], total: int, policy: Any, expected: Any, reason: str
) -> None:
    sources, others = make_sources(named, total, policy)
    assert ([(source["ip"], source["count"]) for source in sources], others) == expected, reason


async def test_firms_prefixes_and_routes_arrive_and_are_resolved(
    node: Connection, above: Above, tmp_path: Path
) -> None:
    await node.execute(
        "INSERT INTO decisions (enterprise_id, decision, actor, at) SELECT min(enterprise_id), decision, actor, $1"
        " FROM enterprises, (VALUES ('verification_pass', 'user:r'), ('moved', 'user:x')) AS d (decision, actor)"
        " GROUP BY decision, actor", START,
    )  # fmt: skip
    operator = tmp_path / "operator.json"
    operator.write_text('{"realName": {"type": 2, "org": "核验公司", "contractIds": ["secret"]}}')
    for write in (report_node, report_enterprises, report_prefixes, report_templates):
        await write(
            node, REPORTER if write is report_node else replace(REPORTER, operator_file=operator), above.clock()
        )
    await send_all(node, above)
    firms = above.rows("T6", "current")
    assert [strip(firm, "crtCode", "prefixes", "town")["prefixes"] for firm in firms] == [["88.101.1"], ["88.101.2"]]
    at = "2026-11-20T16:10:00+00:00"
    assert [firm["verify"] for firm in firms] == [
        {"method": "dossier", "result": "pass", "at": at, "by": "user:r"}, {"method": "dossier", "result": "pass"},
    ]  # fmt: skip
    assert firms[0]["realName"] == {"type": 2, "org": "核验公司", "result": "pass", "at": at}
    assert [firm["namingCompliance"] for firm in firms] == [True, True]
    assert firms[0]["industry"] == {"category": "C", "specific": "34", "codes": ["C", "34", "344", "3441"]}
    assert firms[0]["orgAddr"] == {"province": "320000", "city": "321300", "county": "321302"}
    assert {row["prefix"] for row in above.rows("STATE", "current")} == {"88.101.1", "88.101.2"}
    async with above.session.get(f"http://127.0.0.1:{above.port}/api/handles/0.NA/88.101.2") as answer:
        found = await answer.json()
    (server,) = found["values"][0]["data"]["value"]["servers"]
    assert (found["responseCode"], server["address"]) == (1, "203.0.113.1")
    assert (await report_prefixes(node, REPORTER, above.clock())).messages == [], "nothing has changed"
    await store.forget_bodies(node, above.clock.now + timedelta(days=99))
    assert await reconcile_standing(node, await make_link(node, above), above.clock())
    assert await list_compared(node) == ["PREFIXES", "STATE", "T2", "T6", "T7"], "what stands is kept, and compared"
    with above_store.transaction(above.book):
        signer = above.signer
        public = format_public_key("ED25519", above.private_key)
        above_store.enrol(above.book, APP, PREFIX, above_store.Key(signer.key_id, "ED25519", public, "active"), 0)
    await node.execute("UPDATE prefixes SET state = 2 WHERE sandbox_of IS NULL")
    assert len((await report_prefixes(node, REPORTER, above.clock())).messages) == 3, "two states and one empty part"
    assert (await report_prefixes(node, REPORTER, above.clock())).messages == [], "an empty part is said once"
    await send_all(node, above)
    assert above.rows("T7", "current") == []
    async with above.session.get(f"http://127.0.0.1:{above.port}/api/handles/0.NA/88.101.2") as answer:
        assert answer.status == 404, "what is disabled here is not found above"


async def test_a_prefix_that_passes_to_another_enterprise_is_its_above_too(node: Connection, above: Above) -> None:
    firms = [row["enterprise_id"] for row in await node.fetch("SELECT enterprise_id FROM enterprises ORDER BY 1")]
    firms.append(await node.fetchval(
        "INSERT INTO enterprises (certificate_code, name, state, verification, created, changed)"
        " VALUES ('91321302MA0000003T', '三厂', 3, 2, $1, $1) RETURNING enterprise_id", START,
    ))  # fmt: skip
    order = Order(Principal("operator", "user:o"), above.clock(), "merger")
    await report_prefixes(node, REPORTER, above.clock())
    await send_all(node, above)
    for owner in (firms[1], firms[2]):  # the second before the first could be told
        await transfer_prefix(node, order, "88.101.1", owner, get_day(order.at))
        await report_prefixes(node, REPORTER, above.clock())
    assert (await report_prefixes(node, REPORTER, above.clock())).messages == [], "told once"
    await send_all(node, above)
    assert above_store.find_holder(above.book, "88.101.1") == "91321302MA0000003T"
    told = {row["prefix"]: row for row in above.rows("PREFIXES", "current")}
    assert told["88.101.1"]["formerUsccs"] == [USCC[0], USCC[1]]
    assert "formerUsccs" not in told["88.101.2"]
    await transfer_prefix(node, order, "88.101.1", firms[0], get_day(order.at))
    await report_prefixes(node, REPORTER, above.clock())
    await send_all(node, above)
    assert above_store.find_holder(above.book, "88.101.1") == USCC[0], "and back again"
    assert (await store.fetch_standing(node)).refused == 0
    await node.execute("UPDATE prefix_owners SET to_day = $1", DAY + timedelta(days=1))
    await report_prefixes(node, REPORTER, above.clock())
    await send_all(node, above)
    assert above_store.find_holder(above.book, "88.101.1") is None, "who has it no more holds it up for nobody"


async def test_what_the_nightly_list_of_hashes_finds_is_told_again(node: Connection, above: Above) -> None:
    link = await make_link(node, above)
    await step(node, link, above.clock)
    await HASHES(node, link, above.clock())
    assert await store.fetch_messages(node, table_name="T6H") == [], "the first night begins at 00:20"
    above.clock.pass_(minutes=15)
    for _ in range(2):
        await HASHES(node, link, above.clock())
        await send_due(node, link.toplevel, above.clock)
    (listed,) = await store.fetch_messages(node, table_name="T6H")
    assert (listed.state, listed.row_count) == ("accepted", 2), "once a night"
    above.book.execute("UPDATE rows SET document = replace(document, '泵厂1', '阀厂') WHERE table_name = 'T6'")
    above.book.execute(f"DELETE FROM rows WHERE table_name = 'T6' AND row_key = '{USCC[1]}'")
    above.clock.pass_(days=1)
    await HASHES(node, link, above.clock())
    await send_due(node, link.toplevel, above.clock)
    (refused,) = await store.fetch_messages(node, ["refused"])
    assert {(one.row_key, one.code) for one in await store.fetch_refusals(node, refused.message_id)} == {
        (USCC[0], "E602"), (USCC[1], "E602"),
    }  # fmt: skip
    await HASHES(node, link, above.clock())
    await send_due(node, link.toplevel, above.clock)
    assert (await store.fetch_standing(node)).refused == 0, "told again, and the list fits"
    assert [firm["orgName"] for firm in above.rows("T6", "current")] == ["泵厂1", "泵厂2"]
    await node.execute("UPDATE enterprises SET name = '新名'")
    await report_enterprises(node, REPORTER, above.clock())
    above.clock.pass_(days=1)
    await HASHES(node, link, above.clock())
    assert len(await store.fetch_messages(node, ["waiting"], table_name="T6H")) == 0, "T6 was not answered yet"


async def test_a_table_that_has_lost_its_last_row_is_empty_above(node: Connection, above: Above) -> None:
    prefix_id = await node.fetchval("SELECT prefix_id FROM prefixes WHERE prefix = '88.101.1'")
    await node.execute(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, 'pump-1', 'META_PUMP-1', $2, $3, $3)", prefix_id, orjson.dumps(DOCUMENT).decode(), START,
    )  # fmt: skip
    for expected in (1, 0):
        for write in (report_enterprises, report_prefixes, report_templates):
            await write(node, REPORTER, above.clock())
        await send_all(node, above)
        for table in ("T6", "T11", "PREFIXES"):
            assert bool(above.rows(table, "current")) == bool(expected), table
        await node.execute("UPDATE templates SET deleted = now()")
        await node.execute("UPDATE enterprises SET state = 0")
        await node.execute("UPDATE prefix_owners SET to_day = $1", DAY + timedelta(days=1))
    assert {message.state for message in await store.fetch_messages(node)} == {"accepted"}


CUTS: list[tuple[list[int], list[int], list[list[int]], str]] = [
    ([], [], [], "nothing, and never was"),
    ([], [1], [[]], "all went"),
    ([1, 2, 3], [], [[1, 2], [3]], "by number"),
    ([2, 3], [1, 2], [[2], [3]], "one that goes shifts nothing"),
    ([1, 7], [], [[1], [], [], [7]], "a gap is an empty part"),
    ([1, 2], [1, 2], [[1, 2], []], "the last part went"),
]


@pytest.mark.parametrize(("numbers", "told", "expected", "reason"), CUTS, ids=[c[3] for c in CUTS])
def test_parts_keep_their_bounds(numbers: list[int], told: list[int], expected: list[list[int]], reason: str) -> None:
    assert cut([(number, number) for number in numbers], 2, told) == expected, reason


async def test_a_firm_without_industry_is_refused_and_repaired_while_the_other_is_known(
    node: Connection, above: Above
) -> None:
    await node.execute("UPDATE placements SET industry = '{}' WHERE enterprise_id = (SELECT min(enterprise_id)"
                       " FROM enterprises)")  # fmt: skip
    await report_enterprises(node, REPORTER, above.clock())
    await send_all(node, above)
    assert [firm["crtCode"] for firm in above.rows("T6", "current")] == [USCC[1]]
    await store.set_mark(node, "link", "", above.clock())
    verdict = await judge_reports(node, above.url, above.clock())
    assert verdict.code == "toplevel_refuses"
    for language in ("zh", "en"):
        said = format_message(verdict.code, language, **verdict.details)
        assert "T6" in said
        assert USCC[0] in said
        assert "industry.category" in said
        assert format_remedy(verdict.code, language)
    await node.execute("UPDATE placements SET industry = '{C,34,344,3441}'")
    await report_enterprises(node, REPORTER, above.clock())
    await send_all(node, above)
    assert len(above.rows("T6", "current")) == 2


async def test_master_data_say_what_anyone_may_read_and_a_range_is_one_row(node: Connection, above: Above) -> None:
    prefix_id = await node.fetchval("SELECT prefix_id FROM prefixes WHERE prefix = '88.101.1'")
    items = [
        *DOCUMENT["items"],
        {"index": 2004, "type": "brand", "name": {"zh": "品牌", "en": "Brand"}},
        {"index": 2005, "type": "productName", "name": {"zh": "品名", "en": "Name"}, "visibility": "private"},
    ]
    template_id = await node.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, 'pump-1', 'META_PUMP-1', $2, $3, $3) RETURNING template_id",
        prefix_id, orjson.dumps(DOCUMENT | {"items": items}).decode(), START,
    )  # fmt: skip
    packed = pack_texts(template_id, [(2000, "model", "A"), (2004, "brand", "好泵"), (2005, "productName", "secret")])
    act = Act("test", START)
    for key, kind in (("SN1", ChangeKind.CREATED), ("SN2", ChangeKind.RETIRED)):
        await node.execute(
            "INSERT INTO records (created, changed, prefix_id, template_id, suffix_key, packed)"
            " VALUES ($1, $1, $2, $3, $4, $5)",
            START, prefix_id, template_id, key, packed,
        )  # fmt: skip
        await append_change(node, kind, prefix_id, act, template_id=template_id, suffix_keys=[key])
    await node.execute(
        "INSERT INTO ranges (prefix_id, head_key, width, first, last, head, template_id, created, changed, packed)"
        " VALUES ($1, 'R', 3, 7, 9, 'r', $2, $3, $3, $4)",
        prefix_id, template_id, START, packed,
    )  # fmt: skip
    await append_change(
        node, ChangeKind.RANGE_CREATED, prefix_id, act, template_id=template_id, suffix_keys=["R"], members=3
    )
    for _ in range(2):
        await append_change(node, ChangeKind.CHANGED, prefix_id, act, template_id=template_id, suffix_keys=["SN1"])
    await number_changes(node)
    assert await report_master(node, (PREFIX,), YESTERDAY, above.clock()) == 5
    assert await report_master(node, (PREFIX,), YESTERDAY, above.clock()) == 0, "the log was read to its end"
    await send_all(node, above)
    created, changed, retired, ranged = above.rows("T9")
    assert (changed["handle"], changed["op"]) == ("88.101.1/SN1", 3), "twice in one day is told once"
    assert created == {"handle": "88.101.1/SN1", "created": "2026-11-21", "op": 1, "brand": "好泵",
                       "metadata": "88.101.1/META_pump-1"}  # fmt: skip
    assert (retired["handle"], retired["op"], "brand" in retired) == ("88.101.1/SN2", 2, False)
    assert strip(ranged, "handle", "handleLast", "count") == {
        "handle": "88.101.1/r007", "handleLast": "88.101.1/r009", "count": 3,
    }  # fmt: skip
    assert [row["handle"] for row in expand(ranged)] == ["88.101.1/r007", "88.101.1/r008", "88.101.1/r009"]
    assert list(expand(created)) == [created]
    link = await make_link(node, above)
    above.clock.pass_(minutes=1)
    for lost, equal in ((False, True), (True, True)):
        if lost:  # what was the same is not read again every half hour
            above.book.execute("DELETE FROM rows WHERE table_name = 'T9'")
        assert await reconcile_day(node, link, YESTERDAY, above.clock()) is equal
    await node.execute("DELETE FROM toplevel_reconciliations")
    assert not await reconcile_day(node, link, YESTERDAY, above.clock())


async def test_what_the_secondary_prefix_itself_holds_is_the_nodes_own_and_no_enterprises(
    node: Connection, above: Above
) -> None:
    firm = await node.fetchval("SELECT min(enterprise_id) FROM enterprises")
    prefix_id = await node.fetchval(
        "INSERT INTO prefixes (prefix, state, created, changed, enabled_on) VALUES ($1, 1, $2, $2, $3)"
        " RETURNING prefix_id", PREFIX, START, DAY,
    )  # fmt: skip
    await node.execute("INSERT INTO prefix_owners VALUES ($1, $2, $3, NULL)", prefix_id, firm, DAY)
    template_id = await node.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, 'pump-1', 'META_PUMP-1', $2, $3, $3) RETURNING template_id",
        prefix_id, orjson.dumps(DOCUMENT).decode(), START,
    )  # fmt: skip
    await node.execute(
        "INSERT INTO records (created, changed, prefix_id, template_id, suffix_key, packed)"
        " VALUES ($1, $1, $2, $3, 'SN1', $4)",
        START, prefix_id, template_id, pack_texts(template_id, [(2000, "model", "A")]),
    )  # fmt: skip
    await append_change(node, ChangeKind.CREATED, prefix_id, Act("test", START), suffix_keys=["SN1"])
    await number_changes(node)
    await add_counts(node, prefix_id, DAY, 10, 4)
    await report_day(node, REPORTER, DAY, above.clock())
    await report_master(node, (PREFIX,), YESTERDAY, above.clock())
    for write in (report_enterprises, report_prefixes, report_templates):
        await write(node, REPORTER, above.clock())
    await send_all(node, above)
    assert {message.state for message in await store.fetch_messages(node)} == {"accepted"}
    assert [row["prefix"] for row in above.rows("T8")] == ["88.101.1", "88.101.2"]
    (whole,) = above.rows("T3")
    assert strip(whole, "entNew", "entTotal", "resolveReq") == {"entNew": 1, "entTotal": 2, "resolveReq": 10}
    assert [row["handle"] for row in above.rows("T9")] == ["88.101/SN1"]
    for table in ("T7", "STATE", "PREFIXES"):
        assert PREFIX not in {row["prefix"] for row in above.rows(table, "current")}, table
    assert ([len(above.rows(table, "current")) for table in ("T4", "T11")]) == [1, 0]
    assert above.rows("T6", "current")[0]["prefixes"] == ["88.101.1"]


async def test_an_alarm_is_an_event_and_its_end_another_that_names_the_first(node: Connection, above: Above) -> None:
    await node.execute(
        "INSERT INTO alarms (machine, cause, subject, raised) VALUES ('m', 'disk_full', '/data', $1),"
        " ('m', 'report_refused', '', $1)", above.clock(),
    )  # fmt: skip
    await report_events(node, REPORTER, above.clock())
    above.clock.pass_(minutes=5)
    await node.execute("UPDATE alarms SET cleared = $1", above.clock())
    for _ in range(2):
        await report_events(node, REPORTER, above.clock())
    await send_all(node, above)
    begun, ended = above.rows("M3", "2026-11-21")
    assert (begun["type"], begun["item"], begun["class"]) == ("异常", "disk_full /data", 2)
    assert (ended["type"], ended["relatedEventId"]) == ("恢复", begun["eventId"])
    assert ended["at"] > begun["at"]
    assert await reconcile_day(node, await make_link(node, above), "2026-11-21", above.clock())
    assert await list_compared(node) == ["M3"]
