"""The cache against a real database: what is kept, for how long, and what the change log takes away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from resolver.cache import Entry, RecordCache
from resolver.fill import SERVER_SETTINGS, Filler, TemplateShelf
from resolver.follow import Follower
from resolver.prefixes import PrefixTable
from resolver.store import fetch_prefixes
from resolver.worker import _run
from schemas.changes import ChangeKind
from schemas.handle_values import Site, encode_site
from schemas.resolution_log import Outcome
from schemas.viewing import Verdict
from tests.resolver.rows import (
    PUMP,
    add_change,
    add_prefix,
    add_range,
    add_record,
    add_template,
    change_record,
    empty_tables,
)

OUR_SITE = encode_site(Site(serial=7))
THEIR_SITE = encode_site(Site(serial=9))
OTHER = [(2000, "product_name", "齿轮泵")]


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Node:
    """A cache whose questions a test answers when it likes, and a follower that polls when told."""

    cache: RecordCache
    filler: Filler
    follower: Follower
    clock: Clock
    writer: Any
    connects: bool = True
    asked: int = 0

    def ask(self, identifier: str) -> list[Entry | None]:
        """Ask without a database so far; the list holds the answer once there is one."""
        answers: list[Entry | None] = []
        raw = identifier.encode("utf-8", "surrogateescape")
        found = self.cache.find(raw)
        if found is not None:
            answers.append(found)
        else:
            self.cache.fetch(raw, answers.append)
        return answers

    async def fill(self) -> None:
        """Let the database answer everything that was asked."""
        fills = self.cache.take_questions(1_000)
        self.asked += len(fills)
        await self.filler.answer(fills)

    async def get(self, identifier: str) -> Entry | None:
        answers = self.ask(identifier)
        if not answers:
            await self.fill()
        return answers[0]

    async def get_verdict(self, identifier: str) -> Outcome | None:
        entry = await self.get(identifier)
        return None if entry is None else entry.outcome

    async def get_name(self, identifier: str) -> str:
        entry = await self.get(identifier)
        assert entry is not None, "not now"
        return entry.answer(types=["product_name"]).values[0].data.decode()

    async def poll(self) -> None:
        await self.follower.poll()

    async def take_database_away(self) -> None:
        self.connects = False
        self.filler.disconnect()
        self.follower.disconnect()
        await self.follower.poll_or_mark_away()


@pytest_asyncio.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    writer = await asyncpg.connect(database_url)
    await empty_tables(writer)
    clock = Clock()
    cache = RecordCache(PrefixTable(["88.101"], OUR_SITE), 10_000_000, clock)
    templates = TemplateShelf()

    async def connect() -> Any:
        if not made.connects:
            raise ConnectionRefusedError("the database is away")
        return await asyncpg.connect(database_url, server_settings=SERVER_SETTINGS)

    made = Node(cache, Filler(cache, templates, connect), Follower(cache, templates, connect), clock, writer)
    await made.poll()
    yield made
    made.filler.disconnect()
    made.follower.disconnect()
    await writer.close()


@pytest_asyncio.fixture
async def prefix_id(node: Node) -> int:
    """The prefix 88.101.5 with one record, SN1."""
    made = await add_prefix(node.writer, "88.101.5")
    await add_record(node.writer, made, "SN1")
    await node.poll()
    return made


async def test_a_record_is_read_once_and_answered_in_any_spelling(node: Node, prefix_id: int) -> None:
    first = await node.get("88.101.5/sn1")
    assert first is not None and first.verdict is Verdict.FOUND and first.prefix_id == prefix_id
    assert [value.data.decode() for value in first.answer().values] == [text for _, _, text in PUMP]
    assert await node.get("88.101.5/SN1") is first
    assert node.asked == 1


async def test_many_askers_of_one_key_are_one_question(node: Node, prefix_id: int) -> None:
    waiting = [node.ask("88.101.5/SN1"), node.ask("88.101.5/sn1"), node.ask("88.101.5/Sn1")]
    await node.fill()
    assert node.asked == 1
    assert waiting[0] == waiting[1] == waiting[2] and waiting[0][0] is not None


@pytest.mark.parametrize(
    ("identifier", "outcome"),
    [
        ("88.101.5/NONE", Outcome.NOT_FOUND),
        ("88.101.5/", Outcome.NOT_FOUND),  # legal on the wire, never issued
        ("88.101.5/\udcff", Outcome.NOT_FOUND),  # a byte that is no UTF-8
        ("88.101.5/a\0b", Outcome.NOT_FOUND),  # PostgreSQL has no NUL
        ("88.101.5/" + "x" * 2_000, Outcome.NOT_FOUND),
        ("88.101.5/ＳＮ1", Outcome.NOT_FOUND),  # full-width letters are other letters
        ("88.101.999/SN1", Outcome.NOT_FOUND),  # below us, not allocated
        ("10.1000/1", Outcome.NOT_FOUND),
        ("88.101.5", Outcome.FOUND),  # a bare prefix: where it is answered
        ("0.NA/88.101.5", Outcome.FOUND),
        ("0.na/88.101", Outcome.FOUND),
        ("", Outcome.NOT_FOUND),
        ("/", Outcome.NOT_FOUND),
        ("/SN1", Outcome.NOT_FOUND),
    ],
)
async def test_any_bytes_may_be_asked(node: Node, prefix_id: int, identifier: str, outcome: Outcome) -> None:
    assert await node.get_verdict(identifier) is outcome


async def test_each_question_of_a_statement_gets_its_own_answer(node: Node, prefix_id: int) -> None:
    """Whatever stands beside it: nothing, what could separate questions, other prefixes, cases and scripts."""
    case_counts = await add_prefix(node.writer, "88.101.6", folds_case=False)
    suffixes = ["SN1,2", "SN1;2", "A'B", 'A"B', "A\\NB", "{A,B}", "NULL", "é", "泵-1", "X\tY"]
    for suffix in suffixes:
        await add_record(node.writer, prefix_id, suffix)
    await add_record(node.writer, case_counts, "sn1")
    await node.poll()
    there = ["88.101.6/sn1", "88.101.5/SN1", *(f"88.101.5/{suffix}" for suffix in suffixes)]
    absent = ["88.101.5/", "88.101.5/SN1\nSN1", "88.101.5/\n", "88.101.6/SN1", "88.101.6/", "88.101.5/NUL"]
    answers = {identifier: node.ask(identifier) for identifier in sorted(there + absent)}
    await node.fill()
    assert [
        identifier for identifier, (entry,) in answers.items() if entry and entry.verdict is Verdict.FOUND
    ] == sorted(there)


async def test_only_prefixes_that_are_nobody_of_ours_are_foreign(node: Node, prefix_id: int) -> None:
    for identifier, is_foreign in (("10.1000/1", True), ("88.101.999/x", False), ("88.10/x", True), ("0.NA/x", True)):
        entry = await node.get(identifier)
        assert entry is not None and entry.is_foreign is is_foreign, identifier


async def test_a_bare_prefix_answers_with_our_site_or_its_own(node: Node, prefix_id: int) -> None:
    await add_prefix(node.writer, "88.101.7", hosting=1, site=THEIR_SITE)
    await node.poll()
    for identifier, site in (("88.101.5", OUR_SITE), ("88.101", OUR_SITE), ("0.NA/88.101.7", THEIR_SITE)):
        entry = await node.get(identifier)
        assert entry is not None and [v.data for v in entry.answer(types=["HS_SITE"]).values] == [site]
    elsewhere = await node.get("88.101.7/anything")
    assert elsewhere is not None and elsewhere.outcome is Outcome.REFERRAL and elsewhere.site == THEIR_SITE


async def test_a_secondary_prefix_may_own_identifiers_and_answers_with_our_site_whatever_becomes_of_it(
    node: Node,
) -> None:
    prefix_id = await add_prefix(node.writer, "88.101")
    await add_record(node.writer, prefix_id, "SN1", texts=[(2000, "product_name", "ours")])
    await node.poll()
    assert await node.get_name("88.101/sn1") == "ours"
    for state, site, outcome in ((1, THEIR_SITE, Outcome.REFERRAL), (0, None, Outcome.NOT_FOUND)):
        await node.writer.execute("UPDATE prefixes SET state = $1, hosting = 1, site = $2", state, site)
        await add_change(node.writer, ChangeKind.PREFIX, prefix_id)
        await node.poll()
        for identifier in ("88.101", "0.NA/88.101"):
            entry = await node.get(identifier)
            assert entry is not None and [v.data for v in entry.answer(types=["HS_SITE"]).values] == [OUR_SITE]
        assert await node.get_verdict("88.101/SN1") is outcome


@pytest.mark.parametrize(("state", "note"), [(0, "prefix_stopped"), (3, ""), (4, ""), (5, "")])
async def test_a_prefix_that_is_not_enabled_answers_nothing(node: Node, prefix_id: int, state: int, note: str) -> None:
    await node.get("88.101.5/SN1")
    await node.writer.execute("UPDATE prefixes SET state = $2 WHERE prefix_id = $1", prefix_id, state)
    await add_change(node.writer, ChangeKind.PREFIX, prefix_id)
    await node.poll()
    for identifier in ("88.101.5/SN1", "88.101.5", "0.NA/88.101.5"):
        entry = await node.get(identifier)
        assert entry is not None and (entry.outcome, entry.note) == (Outcome.NOT_FOUND, note)


async def test_case_counts_where_the_prefix_says_so(node: Node) -> None:
    prefix_id = await add_prefix(node.writer, "88.101.8", folds_case=False)
    await add_record(node.writer, prefix_id, "Ab", texts=[(2000, "product_name", "one")])
    await add_record(node.writer, prefix_id, "AB", texts=[(2000, "product_name", "other")])
    await node.poll()
    for _ in range(2):  # from the database, then from the cache
        assert await node.get_name("88.101.8/Ab") == "one"
        assert await node.get_name("88.101.8/AB") == "other"
        assert await node.get_verdict("88.101.8/ab") is Outcome.NOT_FOUND
    assert node.asked == 3


async def test_a_retired_record_says_so_and_a_frozen_one_shows_its_notice(node: Node, prefix_id: int) -> None:
    await add_record(node.writer, prefix_id, "OLD", state=2, note="88.101.5/SN1")
    await add_record(node.writer, prefix_id, "ICE", state=1, note="召回")
    await node.poll()
    old, ice = await node.get("88.101.5/OLD"), await node.get("88.101.5/ICE")
    assert old is not None and (old.verdict, old.note, old.answer().values) == (Verdict.RETIRED, "88.101.5/SN1", [])
    assert ice is not None and ice.answer(types=["NOTICE"]).values[0].data.decode() == "召回"


async def test_a_record_without_anything_public_has_no_values(node: Node, prefix_id: int) -> None:
    await add_record(node.writer, prefix_id, "EMPTY", texts=[])
    await node.poll()
    assert await node.get_verdict("88.101.5/EMPTY") is Outcome.NO_VALUES


# Ranges


async def test_ten_million_serials_are_one_row_and_a_record_of_its_own_comes_first(node: Node, prefix_id: int) -> None:
    await add_range(node.writer, prefix_id, "SN", 8, (1, 10_000_000))
    await add_record(node.writer, prefix_id, "SN00000007", texts=OTHER)
    await node.poll()
    assert await node.get_name("88.101.5/sn00000001") == "离心泵"
    assert await node.get_name("88.101.5/SN10000000") == "离心泵"
    assert await node.get_name("88.101.5/SN00000007") == "齿轮泵"
    for outside in ("SN00000000", "SN10000001", "SN0000001", "SN000000001", "SN0000000X"):
        assert await node.get_verdict(f"88.101.5/{outside}") is Outcome.NOT_FOUND


async def test_a_member_that_gets_a_record_of_its_own_shows_it(node: Node, prefix_id: int) -> None:
    await add_range(node.writer, prefix_id, "SN", 8, (1, 100))
    await node.poll()
    assert await node.get_name("88.101.5/SN00000050") == "离心泵"
    await add_record(node.writer, prefix_id, "SN00000050", texts=OTHER)
    await node.poll()
    assert await node.get_name("88.101.5/SN00000050") == "齿轮泵"


async def test_a_new_range_ends_the_answers_that_there_is_nothing(node: Node, prefix_id: int) -> None:
    assert await node.get_verdict("88.101.5/LOT001") is Outcome.NOT_FOUND
    await add_range(node.writer, prefix_id, "LOT", 3, (1, 100))
    await node.poll()
    assert await node.get_verdict("88.101.5/LOT001") is Outcome.FOUND


async def test_a_changed_range_changes_its_members_and_nothing_else(node: Node, prefix_id: int) -> None:
    await add_range(node.writer, prefix_id, "SN", 8, (1, 100))
    await node.poll()
    await node.get("88.101.5/SN00000050")
    kept = await node.get("88.101.5/SN1")
    await node.writer.execute("UPDATE ranges SET state = 2 WHERE prefix_id = $1", prefix_id)
    await add_change(node.writer, ChangeKind.RANGE_CHANGED, prefix_id)
    await node.poll()
    assert await node.get_verdict("88.101.5/SN00000050") is Outcome.RETIRED
    assert await node.get("88.101.5/SN1") is kept


# Following the log


async def test_a_change_is_seen_after_the_next_poll(node: Node, prefix_id: int) -> None:
    assert await node.get_name("88.101.5/SN1") == "离心泵"
    await change_record(node.writer, prefix_id, "SN1", OTHER)
    await node.poll()
    assert await node.get_name("88.101.5/SN1") == "齿轮泵"


async def test_creating_drops_only_what_was_said_in_the_records_absence(node: Node, prefix_id: int) -> None:
    assert await node.get_verdict("88.101.5/NEW") is Outcome.NOT_FOUND
    kept = await node.get("88.101.5/SN1")
    await add_record(node.writer, prefix_id, "NEW")
    await add_change(node.writer, ChangeKind.CREATED, prefix_id, ["SN1"])
    await node.poll()
    assert await node.get_verdict("88.101.5/NEW") is Outcome.FOUND
    assert await node.get("88.101.5/SN1") is kept


@pytest.mark.parametrize("kind", [ChangeKind.CHANGED, ChangeKind.RETIRED, ChangeKind.RESTORED, ChangeKind.FROZEN])
async def test_a_fill_that_was_under_way_when_its_key_was_named_is_answered_but_not_kept(
    node: Node, prefix_id: int, kind: ChangeKind
) -> None:
    early = node.ask("88.101.5/SN1")
    fills = node.cache.take_questions(10)
    found = await node.filler.ask([fill.lookup for fill in fills])  # the database has answered: the old values
    await change_record(node.writer, prefix_id, "SN1", OTHER)
    await add_change(node.writer, kind, prefix_id, ["SN1"])
    await node.poll()  # the log overtakes the answer
    late = node.ask("88.101.5/SN1")
    node.cache.settle(fills, found)
    assert early[0] is found[0]
    assert late == [], "who asks after the change is not given the answer from before it"
    await node.fill()
    assert late[0] is not None and late[0].answer().values[0].data.decode() == "齿轮泵"
    assert await node.get("88.101.5/SN1") is late[0]


async def test_an_absence_that_was_found_while_the_record_was_created_is_not_kept(node: Node, prefix_id: int) -> None:
    early = node.ask("88.101.5/NEW")
    fills = node.cache.take_questions(10)
    found = await node.filler.ask([fill.lookup for fill in fills])
    await add_record(node.writer, prefix_id, "NEW")
    await node.poll()
    node.cache.settle(fills, found)
    assert early[0] is not None and early[0].outcome is Outcome.NOT_FOUND
    assert await node.get_verdict("88.101.5/NEW") is Outcome.FOUND


@pytest.mark.parametrize("kind", [ChangeKind.RANGE_CHANGED, ChangeKind.PREFIX, ChangeKind.TEMPLATE])
async def test_what_was_being_fetched_while_more_than_records_changed_is_not_kept(
    node: Node, prefix_id: int, kind: ChangeKind
) -> None:
    await add_range(node.writer, prefix_id, "SN", 8, (1, 100))
    await node.poll()
    early = node.ask("88.101.5/SN00000050")
    fills = node.cache.take_questions(10)
    found = await node.filler.ask([fill.lookup for fill in fills])
    await node.writer.execute("UPDATE ranges SET state = 2 WHERE prefix_id = $1", prefix_id)
    await add_change(node.writer, kind, prefix_id)
    await node.poll()
    node.cache.settle(fills, found)
    assert early == [found[0]]
    assert await node.get_verdict("88.101.5/SN00000050") is Outcome.RETIRED


async def test_a_template_that_changes_hides_at_once(node: Node, prefix_id: int) -> None:
    template = await add_template(node.writer, prefix_id, "88.101.5")
    await add_record(node.writer, prefix_id, "T1", template.template_id)
    await node.poll()
    assert await node.get_name("88.101.5/T1") == "离心泵"
    await node.writer.execute(
        "UPDATE templates SET document = jsonb_set(document, '{items,0,visibility}', '\"private\"')"
    )
    await add_change(node.writer, ChangeKind.TEMPLATE, prefix_id, template_id=template.template_id)
    await node.poll()
    entry = await node.get("88.101.5/T1")
    assert entry is not None and entry.answer(types=["product_name"]).verdict is Verdict.DENIED
    assert "离心泵".encode() not in entry.rest_tail() + entry.handle_tail()


async def test_a_record_whose_template_was_just_deleted_is_not_shown(node: Node, prefix_id: int) -> None:
    """A sandbox is being emptied: without the template its private values would seem public."""
    await add_record(node.writer, prefix_id, "GONE", template_id=4_711)
    assert await node.get_verdict("88.101.5/GONE") is Outcome.NOT_FOUND


async def test_another_log_makes_the_cache_forget_everything(node: Node, prefix_id: int) -> None:
    await node.get("88.101.5/SN1")
    await node.writer.execute("UPDATE records SET state = 2, note = ''")  # a restore tells the log nothing
    await node.writer.execute("UPDATE change_log SET log_id = gen_random_uuid()")
    await node.poll()
    assert await node.get_verdict("88.101.5/SN1") is Outcome.RETIRED


async def test_a_log_of_another_timeline_has_another_name_and_goes_on_where_it_was(node: Node, prefix_id: int) -> None:
    """A promoted standby may lack the last entries: their positions come again and mean other things."""
    await node.get("88.101.5/SN1")
    before = await node.writer.fetchrow("SELECT log_id, position FROM change_log")
    await node.writer.execute("INSERT INTO counted_changes (log_id, position) SELECT log_id, position FROM change_log")
    await node.writer.execute("INSERT INTO reporting_marks VALUES ('master', $1, now())", f"{before['log_id']}:7")
    await node.writer.execute("UPDATE change_log SET timeline = 'one before'")  # as in what the standby copied
    await node.poll()
    assert len(node.cache) == 0
    after = await node.writer.fetchrow("SELECT log_id, position FROM change_log")
    assert (after["log_id"] != before["log_id"], after["position"]) == (True, before["position"])
    counted = await node.writer.fetchrow("SELECT log_id, position FROM counted_changes")
    assert counted == after  # nothing is counted twice, nothing left out
    assert await node.writer.fetchval("SELECT value FROM reporting_marks") == f"{after['log_id']}:7"
    await node.poll()
    assert await node.writer.fetchval("SELECT log_id FROM change_log") == after["log_id"]


async def test_what_another_server_says_is_answered_and_not_kept(node: Node, prefix_id: int) -> None:
    """One address may lead to several standbys: the rows of one may be older than the log of the other."""
    ours, node.cache.server = node.cache.server, datetime(2026, 1, 1, tzinfo=UTC)
    assert (await node.get("88.101.5/SN1")).outcome is Outcome.FOUND
    assert len(node.cache) == 0
    node.cache.server = ours
    await node.get("88.101.5/SN1")
    assert len(node.cache) == 1


async def test_a_server_whose_log_could_not_be_read_leaves_nothing_behind(
    node: Node, prefix_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next address of several may answer once, and with older rows, before the first one is back."""

    async def break_off(_: Any) -> Any:
        raise ConnectionResetError

    async def meet_another(_: Any) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    with monkeypatch.context() as before_its_log:
        before_its_log.setattr("resolver.follow.fetch_server", meet_another)
        before_its_log.setattr("resolver.follow.fetch_log_end", break_off)
        node.follower.disconnect()
        with pytest.raises(ConnectionResetError):
            await node.poll()
        await node.get("88.101.5/SN1")
        assert len(node.cache) == 1, "the log that is followed is still that of the first"
        node.follower.disconnect()
    await node.poll()
    await node.writer.execute("UPDATE change_log SET position = position - 1")
    with monkeypatch.context() as after_its_log:
        after_its_log.setattr("resolver.follow.fetch_prefixes", break_off)
        with pytest.raises(ConnectionResetError):
            await node.poll()
        await node.get("88.101.5/SN1")
    await node.writer.execute("UPDATE change_log SET position = position + 1")
    await node.poll()
    assert len(node.cache) == 0


@pytest.mark.parametrize(
    "packed", [b"\x01[0,[[1]]]", b"\x01[0,5]", b'\x01[0,[[1,"t",null,{}]]]', b"\x01[0,[[1,2,3]]]", b""]
)
async def test_a_damaged_record_is_not_answered_and_harms_no_other(node: Node, prefix_id: int, packed: bytes) -> None:
    await node.writer.execute("UPDATE records SET packed = $1, template_id = 0", packed)
    assert await node.get("88.101.5/SN1") is None
    assert await node.get_verdict("88.101.5/NONE") is Outcome.NOT_FOUND


async def test_a_worker_stops_when_what_fills_its_cache_dies(
    node: Node, prefix_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every question that is not cached would wait for ever; who asked is told "not now"."""

    def starve(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("resolver.fill.make_entry", starve)
    stop = asyncio.Event()
    async with _run(node.filler.run(), stop):
        answers = node.ask("88.101.5/SN1")
        await asyncio.wait_for(stop.wait(), 30)
    assert answers == [None]


@pytest.mark.parametrize("lost", ["DELETE FROM changes", "UPDATE change_log SET position = position - 1"])
async def test_a_log_that_cannot_be_followed_without_a_gap_is_begun_anew(node: Node, prefix_id: int, lost: str) -> None:
    await node.get("88.101.5/SN1")
    await node.writer.execute("UPDATE records SET state = 2, note = ''")
    await add_change(node.writer, ChangeKind.RETIRED, prefix_id, ["SN1"])
    await node.writer.execute("SELECT number_changes()")
    await node.writer.execute(lost)
    if "position" in lost:
        await node.writer.execute(lost)
    await node.poll()
    assert await node.get_verdict("88.101.5/SN1") is Outcome.RETIRED


async def test_a_thousand_entries_are_followed_to_their_end(node: Node, prefix_id: int) -> None:
    assert await node.get_verdict("88.101.5/N999") is Outcome.NOT_FOUND
    for n in range(1_000):
        await add_record(node.writer, prefix_id, f"N{n}")
    while await node.writer.fetchval("SELECT number_changes()"):
        pass
    await node.poll()
    assert await node.get_verdict("88.101.5/N999") is Outcome.FOUND


# Time


async def test_nothing_is_kept_longer_than_ten_minutes_without_asking_again(node: Node, prefix_id: int) -> None:
    await node.get("88.101.5/SN1")
    node.clock.now += 601
    await node.poll()
    await node.get("88.101.5/SN1")
    assert node.asked == 2


async def test_an_absence_is_believed_for_seconds(node: Node, prefix_id: int) -> None:
    await node.get("88.101.5/NEW")
    await node.get("88.101.5/NEW")
    assert node.asked == 1
    node.clock.now += 6
    await node.get("88.101.5/NEW")
    assert node.asked == 2


async def test_while_the_database_is_away_what_is_known_is_answered_for_a_day(node: Node, prefix_id: int) -> None:
    await node.get("88.101.5/SN1")
    await node.take_database_away()
    for hours, age in ((0, 0), (1, 3_600), (23, 86_400)):
        node.clock.now += hours * 3_600
        await node.follower.poll_or_mark_away()
        assert await node.get_verdict("88.101.5/SN1") is Outcome.FOUND
        assert node.cache.stale_seconds() == node.cache.synced_seconds == age
        assert await node.get("88.101.5/UNKNOWN") is None, "not known is not the same as not there"
    node.clock.now += 1
    await node.follower.poll_or_mark_away()
    assert await node.get("88.101.5/SN1") is None


async def test_an_absence_is_not_believed_while_the_database_is_away(node: Node, prefix_id: int) -> None:
    await node.get("88.101.5/NEW")
    await node.take_database_away()
    node.clock.now += 6
    assert await node.get("88.101.5/NEW") is None


async def test_when_the_database_is_back_old_answers_are_asked_again(node: Node, prefix_id: int) -> None:
    await node.get("88.101.5/SN1")
    await node.take_database_away()
    node.clock.now += 3_600
    assert await node.get_verdict("88.101.5/SN1") is Outcome.FOUND
    await change_record(node.writer, prefix_id, "SN1", OTHER)
    node.connects = True
    await node.follower.poll_or_mark_away()
    assert node.cache.is_current and node.cache.stale_seconds() is None
    assert await node.get_name("88.101.5/SN1") == "齿轮泵"


async def test_nothing_is_kept_while_the_log_is_not_followed(node: Node, prefix_id: int) -> None:
    answers = node.ask("88.101.5/SN1")
    node.cache.mark_away()
    await node.fill()
    assert answers[0] is not None and len(node.cache) == 0


async def test_a_cut_connection_is_made_anew_without_going_stale(node: Node, prefix_id: int) -> None:
    await node.get("88.101.5/SN1")
    await change_record(node.writer, prefix_id, "SN1", OTHER)
    await node.writer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'idnode resolver' AND datname = current_database()"
    )
    await node.follower.poll_or_mark_away()
    assert node.cache.is_current
    assert await node.get_name("88.101.5/SN1") == "齿轮泵"


async def test_questions_that_were_given_up_do_not_fill_the_server(node: Node, prefix_id: int) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'idnode resolver' AND datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with node.writer.transaction():
        await node.writer.execute("LOCK TABLE records")
        assert await node.get("88.101.5/SN1") is None, "not now"
        async with asyncio.timeout(30):
            while await node.writer.fetchval(waiting):
                await asyncio.sleep(0.05)
    assert await node.get_verdict("88.101.5/SN1") is Outcome.FOUND


# Bounds


async def test_the_cache_stays_within_its_bytes_and_keeps_what_is_asked_for(node: Node, prefix_id: int) -> None:
    for n in range(300):
        await add_record(node.writer, prefix_id, f"B{n}")
    await node.poll()
    node.cache._limit_bytes = 100_000
    for n in range(300):
        await node.get("88.101.5/SN1")
        entry = await node.get(f"88.101.5/B{n}")
        assert entry is not None and entry.rest_tail() and entry.handle_tail()
        assert node.cache.occupied_bytes <= 100_000
    assert 30 < len(node.cache) < 300
    before = node.asked
    await node.get("88.101.5/SN1")
    assert node.asked == before


async def test_the_accounts_are_empty_when_the_cache_is(node: Node, prefix_id: int) -> None:
    for n in range(20):
        await add_record(node.writer, prefix_id, f"B{n}")
    await node.poll()
    for n in range(20):
        entry = await node.get(f"88.101.5/B{n}")
        assert entry is not None and entry.rest_tail()
    await add_change(node.writer, ChangeKind.CHANGED, prefix_id, [f"B{n}" for n in range(10)])
    await add_change(node.writer, ChangeKind.PREFIX, prefix_id)
    await node.poll()
    assert (len(node.cache), node.cache.occupied_bytes) == (0, 0)


async def test_absences_are_bounded(node: Node, prefix_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.cache.MAX_NEGATIVES", 10)
    for n in range(25):
        await node.get(f"88.101.5/X{n}")
        assert len(node.cache._negatives) <= 10


async def test_more_questions_than_can_wait_are_answered_not_now(
    node: Node, prefix_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.cache.MAX_WAITING", 3)
    asked = [node.ask(f"88.101.5/X{n}") for n in range(5)]
    assert asked[3] == asked[4] == [None]
    await node.fill()
    assert all(asked[n][0] is not None for n in range(3))


async def test_whose_a_question_was_is_known_to_a_worker_that_starts_while_the_database_is_away(
    node: Node, prefix_id: int, tmp_path: Path
) -> None:
    memory = tmp_path / "prefixes.json"
    before = PrefixTable(["88.101"], OUR_SITE, memory)
    before.replace(await fetch_prefixes(node.writer))
    cache = RecordCache(PrefixTable(["88.101"], OUR_SITE, memory), 1_000_000, Clock())
    for raw in (b"88.101.5/SN1", b"88.101.5/other", b"0.NA/88.101.5", b"0.na/88.101.5", b"88.101.5"):
        assert cache.find_prefix_id(raw) == prefix_id, raw
    for raw in (b"88.101.55/SN1", b"10.1/x", b"\xff/x", b"", b"88.101"):
        assert cache.find_prefix_id(raw) == 0, raw


@pytest.mark.parametrize(
    "kept", ["", "[]", "{}", "[1", '{"prefixes": [1], "sandboxes": []}', '{"prefixes": {}, "sandboxes": 7}']
)
def test_a_damaged_memory_of_prefixes_keeps_no_worker_from_starting(tmp_path: Path, kept: str) -> None:
    memory = tmp_path / "prefixes.json"
    memory.write_text(kept)
    assert RecordCache(PrefixTable(["88.101"], OUR_SITE, memory), 1_000_000, Clock()).find_prefix_id(b"88.101.5/x") == 0


def test_before_the_prefixes_are_known_nothing_is_said_not_to_be_there() -> None:
    """A worker that starts while the database is away; its own site it knows from its settings."""
    cache = RecordCache(PrefixTable(["88.101"], OUR_SITE), 1_000_000, Clock())
    assert cache.synced_seconds is None
    for raw in (b"88.101.5/SN0001", b"10.1/x", b"0.NA/88.101.5", b"nonsense"):
        answers: list[Entry | None] = []
        assert cache.find(raw) is None
        cache.fetch(raw, answers.append)
        assert answers == [None], "not now"
    site = cache.find(b"0.NA/88.101")
    assert site is not None
    assert site.outcome is Outcome.FOUND
