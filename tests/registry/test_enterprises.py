"""From application to closing: who may decide what, and what stays where it was."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from asyncpg import Connection

from registry.areas import add_unit, get_area
from registry.enterprise_views import format_detail, format_listed, get_enterprise, list_enterprises
from registry.enterprises import (
    Registration,
    add_enterprise,
    apply,
    approve,
    begin_review,
    close,
    find_enterprise,
    get_enterprise_id,
    move,
    propose_change,
    refuse,
    resubmit,
    resume,
    reveal_personal,
    set_tags,
    set_verification,
    suspend,
)
from registry.keys import authenticate
from registry.prefixes import change_prefix_state, get_prefix, get_writable_prefix, request_prefix
from registry.store.listing import EnterpriseFilter
from schemas.enterprises import Dossier, EnterpriseState, Verification, parse_dossier
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, ServiceError, Unauthenticated
from schemas.prefixes import PrefixState
from schemas.texts import format_message
from tests import database
from tests.registry.people import CLERK, NOW, REVIEWER, RULES, add_firm, make_owner, make_uscc, order

CONTACT = {"name": "张三", "certificate_number": "11010519491231002X", "email": "z@example.com", "phone": "13800000000"}


def dossier(number: int = 1, **more: Any) -> Dossier:
    return parse_dossier(
        {
            "name": f"Works {number}",
            "certificate_code": make_uscc(number),
            "province": "320000",
            "city": "321300",
            "county": "321302",
            "industry": "C/34/344/3441",
            "contact": CONTACT,
            "prefix": f"88.101.{number}",
        }
        | more
    )


async def state_of(conn: Connection, enterprise_id: int) -> EnterpriseState:
    return EnterpriseState((await get_enterprise(conn, CLERK, enterprise_id)).row.state)


async def decisions_of(conn: Connection, enterprise_id: int) -> list[tuple[str, str | None, str]]:
    detail = await get_enterprise(conn, CLERK, enterprise_id)
    return [(d.decision, d.prefix, d.actor) for d in detail.decisions]


async def test_an_application_is_reviewed_and_its_prefix_enabled_with_it(connection: Connection) -> None:
    number = await apply(connection, RULES, order(), dossier())
    assert await state_of(connection, number) is EnterpriseState.PENDING
    assert (await get_prefix(connection, CLERK, "88.101.1")).state is PrefixState.PENDING
    await begin_review(connection, order(REVIEWER), number)
    assert (await get_prefix(connection, CLERK, "88.101.1")).state is PrefixState.REVIEWING
    await approve(connection, RULES, order(REVIEWER), number)
    detail = await get_enterprise(connection, CLERK, number)
    assert EnterpriseState(detail.row.state) is EnterpriseState.APPROVED
    assert detail.row.connected_on == date(2026, 3, 2)
    assert (detail.prefixes[0].state, detail.prefixes[0].enabled_on) == (PrefixState.ENABLED, date(2026, 3, 2))
    assert await decisions_of(connection, number) == [
        ("applied", None, "key:clerk"),
        ("applied", "88.101.1", "key:clerk"),
        ("reviewing", None, "key:reviewer"),
        ("approved", None, "key:reviewer"),
        ("approved", "88.101.1", "key:reviewer"),
    ]


async def test_the_day_is_that_at_utc_8(connection: Connection) -> None:
    number = await apply(connection, RULES, order(), dossier())
    late = NOW.replace(hour=16, minute=30)  # half past midnight in China
    await approve(connection, RULES, order(REVIEWER, at=late), number)
    assert (await get_enterprise(connection, CLERK, number)).row.connected_on == date(2026, 3, 3)


async def test_nobody_decides_on_an_application_of_his_own(connection: Connection) -> None:
    number = await apply(connection, RULES, order(), dossier())
    for attempt in (approve(connection, RULES, order(), number), refuse(connection, order(reason="no"), number)):
        with pytest.raises(Forbidden) as caught:
            await attempt
        assert caught.value.code == "decision_on_own_application"


async def test_an_enterprise_decides_on_nothing(connection: Connection) -> None:
    number = await apply(connection, RULES, order(), dossier())
    owner = make_owner(number, "88.101.1")
    for attempt in (
        apply(connection, RULES, order(owner), dossier(2)),
        approve(connection, RULES, order(owner), number),
        refuse(connection, order(owner, "no"), number),
        suspend(connection, order(owner, "no"), number),
        close(connection, order(owner, "no"), number),
        set_verification(connection, order(owner), number, Verification.PASS),
        set_tags(connection, order(owner), number, {}),
        move(connection, order(owner), number, NOW.date(), area="321302"),
    ):
        with pytest.raises(Forbidden):
            await attempt


async def test_a_refusal_gives_its_reason_and_the_firm_applies_again(connection: Connection) -> None:
    number = await apply(connection, RULES, order(), dossier())
    with pytest.raises(InvalidInput):
        await refuse(connection, order(REVIEWER), number)
    await refuse(connection, order(REVIEWER, "the licence cannot be read"), number)
    assert await state_of(connection, number) is EnterpriseState.REFUSED
    assert (await get_prefix(connection, CLERK, "88.101.1")).state is PrefixState.REFUSED
    owner = make_owner(number, "88.101.1")
    await resubmit(connection, RULES, order(owner), number, dossier(name="Works Ltd"))
    detail = await get_enterprise(connection, CLERK, number)
    assert (detail.row.name, detail.prefixes[0].state) == ("Works Ltd", PrefixState.PENDING)
    assert "the licence cannot be read" in [d.reason for d in detail.decisions]
    await approve(connection, RULES, order(REVIEWER), number)


async def test_who_asks_for_another_prefix_after_a_refusal_gives_the_first_one_back(connection: Connection) -> None:
    number = await apply(connection, RULES, order(), dossier())
    await refuse(connection, order(REVIEWER, "that prefix is promised"), number)
    await resubmit(connection, RULES, order(), number, dossier(prefix="88.101.77"))
    assert [p.prefix for p in (await get_enterprise(connection, CLERK, number)).prefixes] == ["88.101.77"]
    await apply(connection, RULES, order(), dossier(2, prefix="88.101.1"))


STATES: list[tuple[str, list[str]]] = [
    ("pending", ["resume", "suspend", "propose", "resubmit"]),
    ("approved", ["approve", "refuse", "resume", "resubmit", "review"]),
    ("suspended", ["approve", "suspend", "propose", "review"]),
    ("closed", ["approve", "refuse", "suspend", "resume", "propose", "resubmit", "close", "review"]),
]


@pytest.mark.parametrize(("state", "forbidden"), STATES, ids=[s[0] for s in STATES])
async def test_a_decision_fits_the_state_or_is_refused(
    connection: Connection, state: str, forbidden: list[str]
) -> None:
    number = await apply(connection, RULES, order(), dossier())
    review = order(REVIEWER, "because")
    if state != "pending":
        await approve(connection, RULES, review, number)
    if state == "suspended":
        await suspend(connection, review, number)
    if state == "closed":
        await change_prefix_state(connection, review, "88.101.1", "stopped")
        await close(connection, review, number)
    attempts = {
        "approve": lambda: approve(connection, RULES, review, number),
        "refuse": lambda: refuse(connection, review, number),
        "suspend": lambda: suspend(connection, review, number),
        "resume": lambda: resume(connection, review, number),
        "close": lambda: close(connection, review, number),
        "review": lambda: begin_review(connection, review, number),
        "propose": lambda: propose_change(connection, RULES, review, number, dossier()),
        "resubmit": lambda: resubmit(connection, RULES, review, number, dossier()),
    }
    for name in forbidden:
        with pytest.raises(Conflict) as caught:
            await attempts[name]()
        assert caught.value.code == "enterprise_state_forbids", name


async def test_a_changed_dossier_waits_while_the_approved_one_is_in_force(connection: Connection) -> None:
    number = await apply(connection, RULES, order(), dossier())
    await approve(connection, RULES, order(REVIEWER), number)
    owner = make_owner(number, "88.101.1")
    await propose_change(connection, RULES, order(owner), number, dossier(name="New Name"))
    assert (await get_enterprise(connection, CLERK, number)).row.name == "Works 1"
    assert (await get_writable_prefix(connection, owner, "88.101.1")).prefix == "88.101.1"
    await refuse(connection, order(REVIEWER, "not yet"), number)
    assert await state_of(connection, number) is EnterpriseState.APPROVED
    await propose_change(connection, RULES, order(owner), number, dossier(name="Newer Name", contact=None))
    await approve(connection, RULES, order(REVIEWER), number)
    detail = await get_enterprise(connection, CLERK, number)
    assert (detail.row.name, detail.row.proposed) == ("Newer Name", None)
    assert (await reveal_personal(connection, RULES, order(owner), number))["contact"]["name"] == "张三"


async def test_a_suspended_firm_writes_nothing_and_its_goods_keep_resolving(connection: Connection) -> None:
    firm = await add_firm(connection)
    owner = make_owner(firm.enterprise_id, firm.prefix)
    await suspend(connection, order(REVIEWER, "inspection"), firm.enterprise_id)
    with pytest.raises(Conflict) as caught:
        await get_writable_prefix(connection, owner, firm.prefix)
    assert caught.value.code == "enterprise_not_active"
    assert (await get_prefix(connection, owner, firm.prefix)).state is PrefixState.ENABLED
    await resume(connection, order(REVIEWER, "passed"), firm.enterprise_id)
    await get_writable_prefix(connection, owner, firm.prefix)


async def test_closing_needs_stopped_prefixes_and_ends_the_keys(connection: Connection) -> None:
    firm = await add_firm(connection)
    with pytest.raises(Conflict) as caught:
        await close(connection, order(REVIEWER, "bankrupt"), firm.enterprise_id)
    assert caught.value.code == "enterprise_has_prefixes"
    await authenticate(connection, firm.access_key, firm.secret_key)
    await change_prefix_state(connection, order(REVIEWER), firm.prefix, "stopped")
    await close(connection, order(REVIEWER, "bankrupt"), firm.enterprise_id)
    with pytest.raises(Unauthenticated):
        await authenticate(connection, firm.access_key, firm.secret_key)


async def test_one_call_adds_a_firm_that_can_register_at_once(connection: Connection) -> None:
    firm = await add_firm(connection, 5, "88.101.00005")
    assert firm.prefix == "88.101.00005"
    principal = await authenticate(connection, firm.access_key, firm.secret_key)
    assert (principal.kind, principal.enterprise_id) == ("enterprise", firm.enterprise_id)
    assert list(principal.prefixes) == ["88.101.00005"]
    await get_writable_prefix(connection, principal, firm.prefix)


async def test_without_approval_the_firm_waits(connection: Connection) -> None:
    wanted = Registration("Waiting", make_uscc(8), "宿城区", "C/34/344/3441")
    firm = await add_enterprise(connection, RULES, order(), wanted, approve=False)
    assert await state_of(connection, firm.enterprise_id) is EnterpriseState.PENDING
    assert firm.prefix == "88.101.1"  # the next free one
    with pytest.raises(Conflict):
        await get_writable_prefix(connection, CLERK, firm.prefix)


async def test_a_certificate_is_registered_once(connection: Connection) -> None:
    await add_firm(connection, 1)
    with pytest.raises(Conflict) as caught:
        await add_firm(connection, 1)
    assert caught.value.code == "enterprise_taken"


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"area": "Atlantis"}, "area_unknown"),
    ({"area": "朝阳区"}, "area_ambiguous"),  # in Beijing and in Changchun
    ({"industry": "C/34"}, "industry_malformed"),
    ({"certificate_code": "91321302MA0000001X"}, "uscc_check"),
    ({"prefix": "88.101.000000"}, "prefix_reserved"),
    ({"name": " "}, "dossier_field_missing"),
    ({"name": "a\0b"}, "dossier_field_characters"),
    ({"area": "\0"}, "area_unknown"),
]


@pytest.mark.parametrize(("change", "code"), REFUSED, ids=[f"{r[1]} {next(iter(r[0]))}" for r in REFUSED])
async def test_what_is_wrong_with_a_firm_is_said(connection: Connection, change: dict[str, str], code: str) -> None:
    good = {"name": "N", "certificate_code": make_uscc(1), "area": "321302", "industry": "C/34/344/3441"}
    with pytest.raises(ServiceError) as caught:
        await add_enterprise(connection, RULES, order(), Registration(**(good | change)), approve=True)
    assert caught.value.code == code
    assert await connection.fetchval("SELECT count(*) FROM enterprises") == 0


@pytest_asyncio.fixture
async def other_pool(server_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on a database for what commits."""
    dsn = await database.create_database(server_dsn)
    async with asyncpg.create_pool(dsn, min_size=4, max_size=4) as made:
        yield made
    await database.drop_database(server_dsn, dsn)


async def test_two_clerks_at_once_enter_a_firm_once(other_pool: asyncpg.Pool) -> None:
    async def enter() -> object:
        async with other_pool.acquire() as conn:
            return await add_firm(conn, 31)

    outcomes = await asyncio.gather(*(enter() for _ in range(4)), return_exceptions=True)
    assert sum(not isinstance(o, Exception) for o in outcomes) == 1
    assert all(isinstance(o, Conflict) for o in outcomes if isinstance(o, Exception)), outcomes


async def test_firms_that_leave_the_prefix_open_at_once_get_different_ones(other_pool: asyncpg.Pool) -> None:
    async def enter(number: int) -> str:
        async with other_pool.acquire() as conn:
            return (await add_firm(conn, number)).prefix

    prefixes = await asyncio.gather(*(enter(number) for number in range(12)))
    assert sorted(prefixes) == sorted(f"88.101.{n}" for n in range(1, 13))


async def test_an_area_is_a_unit_or_a_division(connection: Connection) -> None:
    await add_unit(connection, order(), "宿城区", "陈集镇")
    await add_unit(connection, order(), "321302", "陈集镇")  # again
    assert (await get_area(connection, "陈集镇")).unit == "陈集镇"
    await add_unit(connection, order(), "321311", "陈集镇")
    with pytest.raises(Conflict):
        await get_area(connection, "陈集镇")
    assert (await get_area(connection, "宿城区/陈集镇")).division_code == "321302"
    for name in ("321302", "宿城区", "江苏省宿迁市宿城区", "宿迁市宿城区"):
        area = await get_area(connection, name)
        assert (area.division_code, area.unit_id) == ("321302", None)
    for name, code in (("北京市朝阳区", "110105"), ("北京市市辖区朝阳区", "110105"), ("长春市朝阳区", "220104")):
        assert (await get_area(connection, name)).division_code == code
    with pytest.raises(Conflict):
        await get_area(connection, "朝阳区")


async def test_personal_data_are_sealed_and_a_look_at_them_is_recorded(connection: Connection) -> None:
    number = await apply(connection, RULES, order(), dossier())
    row = await connection.fetchrow("SELECT dossier::text, personal FROM enterprises WHERE enterprise_id = $1", number)
    assert row is not None
    for secret in ("张三", "11010519491231002X", "13800000000", "z@example.com"):
        assert secret not in row["dossier"]
        assert secret.encode() not in row["personal"]
    with pytest.raises(InvalidInput):
        await reveal_personal(connection, RULES, order(), number)
    shown = await reveal_personal(connection, RULES, order(reason="complaint 17"), number)
    assert shown["contact"]["phone"] == "13800000000"
    assert (await decisions_of(connection, number))[-1] == ("revealed", None, "key:clerk")
    assert (await reveal_personal(connection, RULES, order(make_owner(number)), number)) == shown
    with pytest.raises(NotFound):
        await reveal_personal(connection, RULES, order(make_owner(number + 1)), number)


async def test_a_move_keeps_where_the_firm_was(connection: Connection) -> None:
    firm = await add_firm(connection)
    await add_unit(connection, order(), "321302", "陈集镇")
    later = order(at=NOW + timedelta(days=10))
    day = later.day - timedelta(days=3)
    await move(connection, later, firm.enterprise_id, day, area="陈集镇")
    places = (await get_enterprise(connection, CLERK, firm.enterprise_id)).placements
    assert [(p.unit, p.from_day, p.to_day) for p in places] == [("", NOW.date(), day), ("陈集镇", day, None)]
    await move(connection, later, firm.enterprise_id, day, industry="C/13/139/1392")  # the same day: corrected
    places = (await get_enterprise(connection, CLERK, firm.enterprise_id)).placements
    assert [(p.unit, p.industry[3]) for p in places] == [("", "3441"), ("陈集镇", "1392")]
    for wrong in (NOW.date(), later.day + timedelta(days=1)):
        with pytest.raises(InvalidInput):
            await move(connection, later, firm.enterprise_id, wrong, area="321302")
    with pytest.raises(Conflict):
        await move(connection, later, firm.enterprise_id, later.day, area="陈集镇")


async def test_a_firm_is_found_by_whatever_people_know_of_it(connection: Connection) -> None:
    firm = await add_firm(connection, 3, "88.101.3")
    for text in (str(firm.enterprise_id), make_uscc(3), make_uscc(3).lower(), "88.101.3", " Firm 3 "):
        assert await get_enterprise_id(connection, text) == firm.enterprise_id
    for text in ("Firm", "", "\0", "\ud800", "88.101.03", "999999999", "9" * 30):
        with pytest.raises(NotFound):
            await get_enterprise_id(connection, text)
    assert await find_enterprise(connection, "nobody") is None


async def test_what_may_mean_two_firms_is_refused_and_both_are_named(connection: Connection) -> None:
    """A firm may be called like the number, the code or the prefix of another, or like another."""
    firm = await add_firm(connection, 3, "88.101.3")
    for number, name in enumerate((str(firm.enterprise_id), make_uscc(3), "88.101.3", "Firm 3"), start=50):
        shadow = Registration(name, make_uscc(number), "321302", "C/34/344/3441", f"88.101.{number}")
        other = await add_enterprise(connection, RULES, order(), shadow, approve=True)
        with pytest.raises(Conflict) as refused:
            await get_enterprise_id(connection, name)
        assert refused.value.code == "enterprise_ambiguous"
        said = format_message(refused.value.code, "en", **refused.value.details)
        assert make_uscc(3) in said and make_uscc(number) in said
        assert await get_enterprise_id(connection, make_uscc(number)) == other.enterprise_id


async def test_lists_are_paged_and_filtered(connection: Connection) -> None:
    for number in range(1, 6):
        await add_firm(connection, number)
    await set_tags(connection, order(), (await get_enterprise_id(connection, "Firm 2")), {"pilot_batch": "第一批"})
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await list_enterprises(connection, CLERK, EnterpriseFilter(), after, 2)
        seen += [item.name for item in page.items]
        after = page.next_after
    assert seen == [f"Firm {n}" for n in range(1, 6)]
    own = await get_enterprise_id(connection, "Firm 4")

    async def names(**wanted: Any) -> list[str]:
        page = await list_enterprises(connection, CLERK, EnterpriseFilter(**wanted))
        return [item.name for item in page.items]

    assert await names(text="firm 3") == ["Firm 3"]
    assert await names(text="88.101.3") == ["Firm 3"]
    assert await names(text=make_uscc(2)) == ["Firm 2"]
    assert await names(tag="第一批") == ["Firm 2"]
    assert len(await names(division_code="320000")) == len(await names(division_code="321300")) == 5
    assert await names(division_code="310000") == []
    assert len(await names(industry="C")) == len(await names(industry="344")) == 5
    assert await names(industry="345") == []
    assert len(await names(incomplete=True)) == 5
    assert await names(connected_from=date(2026, 3, 3)) == []
    assert len(await names(connected_to=date(2026, 3, 2), state=3)) == 5
    alone = await list_enterprises(connection, make_owner(own), EnterpriseFilter())
    assert [format_listed(item)["enterprise_id"] for item in alone.items] == [own]


async def test_the_to_do_list_speaks_both_languages(connection: Connection) -> None:
    firm = await add_firm(connection)
    detail = await get_enterprise(connection, CLERK, firm.enterprise_id)
    chinese, english = format_detail(detail, "zh"), format_detail(detail, "en")
    assert [t["field"] for t in chinese["todo"]] == [
        "nature", "address", "certificate_image_id", "contact", "legal_person",
    ]  # fmt: skip
    assert chinese["todo"][3]["missing"] == "联系人信息不全。"
    assert english["todo"][3]["missing"] == "The contact is incomplete."
    assert chinese["division"] == "江苏省宿迁市宿城区"


async def test_others_are_not_found_rather_than_forbidden(connection: Connection) -> None:
    firm = await add_firm(connection)
    stranger = make_owner(firm.enterprise_id + 1)
    for attempt in (
        get_enterprise(connection, stranger, firm.enterprise_id),
        get_prefix(connection, stranger, firm.prefix),
        request_prefix(connection, RULES, order(stranger), firm.enterprise_id),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_every_decision_is_in_the_change_log(connection: Connection) -> None:
    firm = await add_firm(connection)

    async def entries() -> int:
        number: int = await connection.fetchval("SELECT count(*) FROM changes_pending WHERE kind = 12")
        return number

    before = await entries()
    await set_verification(connection, order(REVIEWER), firm.enterprise_id, Verification.PASS)
    await set_tags(connection, order(), firm.enterprise_id, {"above_scale": "规模以上"})
    await suspend(connection, order(REVIEWER, "x"), firm.enterprise_id)
    assert await entries() == before + 3
