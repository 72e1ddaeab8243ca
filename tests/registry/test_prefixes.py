"""Prefixes: their form, their states, who owns them, and where their identifiers are."""

from datetime import timedelta

import pytest
from asyncpg import Connection

from registry.enterprises import Registration, add_enterprise
from registry.prefixes import (
    NodeRules,
    approve_prefix,
    change_prefix_state,
    get_prefix,
    get_writable_prefix,
    host_prefix,
    list_prefixes,
    make_site,
    refuse_prefix,
    request_prefix,
    resubmit_prefix,
    suggest_prefix,
    transfer_prefix,
)
from registry.principals import Principal
from registry.store.placements import fetch_present_placements
from registry.store.prefixes import fetch_ownerships
from schemas.enterprises import EnterpriseState
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound
from schemas.handle_values import TCP, UDP, decode_site, format_address
from schemas.prefixes import PREFIX_DECISIONS, Hosting, PrefixState, check_new_prefix, decide_prefix_state
from tests.registry.people import CLERK, NOW, REVIEWER, RULES, add_firm, make_owner, make_uscc, order

NODE = ("88.101", "88.102")
BAD = [
    ("88.101.000000", "prefix_reserved", "the node's own"),
    ("88.101.", "prefix_malformed", "no digits"),
    ("88.101.5a", "prefix_malformed", "a letter"),
    ("88.101.5.6", "prefix_malformed", "four segments"),
    ("88.101.５", "prefix_malformed", "a full-width digit"),
    ("88.101.-5", "prefix_malformed", "a sign"),
    ("88.101." + "9" * 41, "prefix_malformed", "longer than a segment may be"),
    ("88.1015", "prefix_not_ours", "looks like ours, but is another node"),
    ("88", "prefix_not_ours", "above ours"),
    ("88.201.5", "prefix_not_ours", "another node"),
    ("0.NA/88.101.5", "prefix_not_ours", "a prefix record"),
    ("", "prefix_not_ours", "nothing"),
]


@pytest.mark.parametrize(("text", "code", "reason"), BAD, ids=[b[2] for b in BAD])
def test_not_allotted(text: str, code: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_new_prefix(text, NODE)
    assert caught.value.code == code, reason


@pytest.mark.parametrize(
    "text", ["88.101", "88.102", "88.101.5", "88.101.00007", "88.102.0", "88.101.0000000", "88.101." + "9" * 40]
)
def test_allotted_as_written(text: str) -> None:
    assert check_new_prefix(f" {text} ", NODE) == text


def test_every_state_of_a_prefix_can_be_left_but_none_by_chance() -> None:
    left = {state for allowed, _ in PREFIX_DECISIONS.values() for state in allowed}
    assert left == set(PrefixState)
    possible = {(s, d) for d, (allowed, _) in PREFIX_DECISIONS.items() for s in allowed}
    for state in PrefixState:
        for decision in PREFIX_DECISIONS:
            if (state, decision) in possible:
                decide_prefix_state("88.101.5", state, decision)
            else:
                with pytest.raises(Conflict):
                    decide_prefix_state("88.101.5", state, decision)


async def test_leading_zeros_are_kept_and_make_another_prefix(connection: Connection) -> None:
    one, other = await add_firm(connection, 1, "88.101.00007"), await add_firm(connection, 2, "88.101.7")
    assert (await get_prefix(connection, CLERK, "88.101.00007")).enterprise_id == one.enterprise_id
    assert (await get_prefix(connection, CLERK, "88.101.7")).enterprise_id == other.enterprise_id


async def test_a_prefix_is_given_once_and_the_next_free_one_is_suggested(connection: Connection) -> None:
    for number, prefix in enumerate(("88.101.1", "88.101.2", "88.101.4", "88.101.03")):
        await add_firm(connection, number, prefix)
    assert await suggest_prefix(connection, RULES) == "88.101.3"
    assert await suggest_prefix(connection, RULES, "88.102") == "88.102.1"
    with pytest.raises(Conflict) as caught:
        await add_firm(connection, 9, "88.101.4")
    assert caught.value.details["suggestion"] == "88.101.3"
    with pytest.raises(InvalidInput):
        await suggest_prefix(connection, RULES, "88.999")


async def test_a_firm_may_have_several_prefixes(connection: Connection) -> None:
    firm = await add_firm(connection)
    owner = make_owner(firm.enterprise_id, firm.prefix)
    asked = await request_prefix(connection, RULES, order(owner), firm.enterprise_id)
    assert (asked.prefix, asked.state) == ("88.101.2", PrefixState.PENDING)
    with pytest.raises(Forbidden):
        await approve_prefix(connection, RULES, order(owner), asked.prefix)
    later = order(REVIEWER, at=NOW + timedelta(days=2))
    approved = await approve_prefix(connection, RULES, later, asked.prefix)
    assert (approved.state, approved.enabled_on) == (PrefixState.ENABLED, later.day)
    assert [p.prefix for p in await list_prefixes(connection, owner)] == ["88.101.1", "88.101.2"]


async def test_a_secondary_prefix_itself_is_allotted_by_the_operator_alone_and_asks_nobody_above(
    connection: Connection,
) -> None:
    strict = NodeRules(RULES.node_prefixes, RULES.key_ring, toplevel_approval_required=True)
    firm = await add_firm(connection)
    owner = make_owner(firm.enterprise_id, firm.prefix)
    with pytest.raises(InvalidInput):
        await request_prefix(connection, strict, order(owner), firm.enterprise_id, "88.102")
    asked = await request_prefix(connection, strict, order(), firm.enterprise_id, "88.102")
    approved = await approve_prefix(connection, strict, order(REVIEWER), asked.prefix)
    assert (approved.prefix, approved.state) == ("88.102", PrefixState.ENABLED)
    await get_writable_prefix(connection, owner, "88.102")
    assert await suggest_prefix(connection, RULES, "88.102") == "88.102.1"


async def test_a_refused_prefix_is_asked_for_again(connection: Connection) -> None:
    firm = await add_firm(connection)
    asked = await request_prefix(connection, RULES, order(), firm.enterprise_id, "88.101.9")
    with pytest.raises(Forbidden):
        await refuse_prefix(connection, order(reason="my own"), asked.prefix)
    with pytest.raises(InvalidInput):
        await refuse_prefix(connection, order(REVIEWER), asked.prefix)
    refused = await refuse_prefix(connection, order(REVIEWER, "promised to another"), asked.prefix)
    assert refused.state is PrefixState.REFUSED
    assert (await resubmit_prefix(connection, order(), asked.prefix)).state is PrefixState.PENDING


async def test_stopping_and_deleting_a_prefix_can_be_taken_back(connection: Connection) -> None:
    firm = await add_firm(connection)
    first_day = (await get_prefix(connection, CLERK, firm.prefix)).enabled_on
    later = order(REVIEWER, at=NOW + timedelta(days=5))
    for decision, state in (
        ("stopped", PrefixState.STOPPED),
        ("resumed", PrefixState.ENABLED),
        ("deletion", PrefixState.TO_BE_DELETED),
        ("deletion_withdrawn", PrefixState.STOPPED),
        ("resumed", PrefixState.ENABLED),
    ):
        assert (await change_prefix_state(connection, later, firm.prefix, decision)).state is state
    assert (await get_prefix(connection, CLERK, firm.prefix)).enabled_on == first_day
    with pytest.raises(InvalidInput):
        await change_prefix_state(connection, later, firm.prefix, "approved")


async def test_nothing_is_written_under_a_stopped_prefix(connection: Connection) -> None:
    firm = await add_firm(connection)
    await change_prefix_state(connection, order(), firm.prefix, "stopped")
    with pytest.raises(Conflict) as caught:
        await get_writable_prefix(connection, CLERK, firm.prefix)
    assert caught.value.code == "prefix_not_enabled"


async def test_where_the_node_above_must_agree_our_approval_waits(connection: Connection) -> None:
    strict = NodeRules(RULES.node_prefixes, RULES.key_ring, toplevel_approval_required=True)
    wanted = Registration("Waiting", make_uscc(8), "宿城区", "C/34/344/3441")
    firm = await add_enterprise(connection, strict, order(), wanted, approve=True)
    row = await get_prefix(connection, CLERK, firm.prefix)
    assert (row.state, row.enterprise_state) == (PrefixState.REVIEWING, EnterpriseState.APPROVED)
    assert await connection.fetchval("SELECT connected_on FROM enterprises") is None
    above = Principal("toplevel", "toplevel:T6")
    assert (await approve_prefix(connection, strict, order(above), firm.prefix)).state is PrefixState.ENABLED
    assert await connection.fetchval("SELECT connected_on FROM enterprises") == NOW.date()


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
async def test_a_firm_with_a_server_of_its_own_gets_a_site(connection: Connection, address: str) -> None:
    firm = await add_firm(connection)
    owner = make_owner(firm.enterprise_id, firm.prefix)
    row = await host_prefix(connection, order(owner), firm.prefix, make_site(address, {"tcp": 2641, "udp": 2642}))
    assert row.hosting is Hosting.NOT_HOSTED
    assert row.site is not None
    (server,) = decode_site(row.site).servers
    assert format_address(server.address) == address
    assert {(i.protocol, i.port) for i in server.interfaces} == {(TCP, 2641), (UDP, 2642)}
    with pytest.raises(Conflict) as caught:
        await get_writable_prefix(connection, owner, firm.prefix)
    assert caught.value.code == "prefix_not_hosted"
    back = await host_prefix(connection, order(owner), firm.prefix, None)
    assert (back.hosting, back.site) == (Hosting.HOSTED, None)


SITES = [
    ("192.0.2.7", {}, "no port at all"),
    ("192.0.2.7", {"ftp": 21}, "a protocol nobody asks by"),
    ("192.0.2.7", {"tcp": 0}, "port 0"),
    ("192.0.2.7", {"tcp": 65_536}, "a port beyond 16 bits"),
    ("node.example", {"tcp": 2641}, "a name instead of an address"),
    ("", {"tcp": 2641}, "no address"),
]


@pytest.mark.parametrize(("address", "ports", "reason"), SITES, ids=[s[2] for s in SITES])
def test_no_site_is_made_of(address: str, ports: dict[str, int], reason: str) -> None:
    with pytest.raises(InvalidInput):
        make_site(address, ports)


@pytest.mark.parametrize("site", [b"", b"\0" * 10, make_site("192.0.2.7", {"tcp": 2641})[:-1]])
async def test_a_site_that_cannot_be_read_is_refused(connection: Connection, site: bytes) -> None:
    firm = await add_firm(connection)
    with pytest.raises(InvalidInput):
        await host_prefix(connection, order(), firm.prefix, site)


async def test_a_transferred_prefix_keeps_its_former_owner_in_the_past(connection: Connection) -> None:
    one, other = await add_firm(connection, 1), await add_firm(connection, 2)
    later = order(REVIEWER, "merger", NOW + timedelta(days=20))
    day = later.day - timedelta(days=5)
    row = await transfer_prefix(connection, later, one.prefix, other.enterprise_id, day)
    assert (row.enterprise_id, row.owned_from) == (other.enterprise_id, day)
    owners = await fetch_ownerships(connection, row.prefix_id)
    assert [(o.enterprise_id, o.from_day, o.to_day) for o in owners] == [
        (one.enterprise_id, NOW.date(), day),
        (other.enterprise_id, day, None),
    ]
    with pytest.raises(NotFound):
        await get_prefix(connection, make_owner(one.enterprise_id), one.prefix)
    await get_writable_prefix(connection, make_owner(other.enterprise_id), one.prefix)
    with pytest.raises(Conflict):
        await transfer_prefix(connection, later, one.prefix, other.enterprise_id, day)
    for wrong in (day - timedelta(days=1), later.day + timedelta(days=1)):
        with pytest.raises(InvalidInput):
            await transfer_prefix(connection, later, one.prefix, one.enterprise_id, wrong)
    await transfer_prefix(connection, later, one.prefix, one.enterprise_id, day)  # corrected on the same day
    assert len(await fetch_ownerships(connection, row.prefix_id)) == 2


async def test_what_a_firm_receives_as_of_a_day_before_it_came_has_a_place(connection: Connection) -> None:
    one = await add_firm(connection, 1)
    later = order(CLERK, "merger", NOW + timedelta(days=20))
    new = Registration("Newcomer", make_uscc(2), "321302", "C/34/344/3441")
    other = await add_enterprise(connection, RULES, later, new, approve=True)
    await transfer_prefix(connection, later, one.prefix, other.enterprise_id, NOW.date())
    (place,) = (await fetch_present_placements(connection, [other.enterprise_id])).values()
    assert (place.division_code, place.from_day) == ("321302", NOW.date())


async def test_a_firm_without_a_prefix_is_connected_by_the_one_it_receives(connection: Connection) -> None:
    one = await add_firm(connection, 1)
    wanted = Registration("Receiver", make_uscc(2), "321302", "C/34/344/3441")
    other = await add_enterprise(connection, RULES, order(), wanted, approve=False)
    with pytest.raises(Conflict):
        await transfer_prefix(connection, order(REVIEWER), one.prefix, other.enterprise_id, NOW.date())


@pytest.mark.parametrize("text", ["", "88.101.9", "\0", "\ud800", "8" * 5_000])
async def test_an_unknown_prefix_is_not_found(connection: Connection, text: str) -> None:
    with pytest.raises(NotFound):
        await get_prefix(connection, CLERK, text)


async def test_every_change_of_a_prefix_is_in_the_change_log(connection: Connection) -> None:
    firm = await add_firm(connection)
    await connection.execute("DELETE FROM changes_pending")
    await change_prefix_state(connection, order(reason="audit"), firm.prefix, "stopped")
    await change_prefix_state(connection, order(), firm.prefix, "resumed")
    await host_prefix(connection, order(), firm.prefix, make_site("192.0.2.7", {"tcp": 2641}))
    rows = await connection.fetch("SELECT kind, prefix_id, actor, reason FROM changes_pending ORDER BY pending_id")
    row = await get_prefix(connection, CLERK, firm.prefix)
    assert [(r["kind"], r["prefix_id"]) for r in rows] == [(9, row.prefix_id)] * 3
    assert (rows[0]["actor"], rows[0]["reason"]) == ("key:clerk", "audit")
