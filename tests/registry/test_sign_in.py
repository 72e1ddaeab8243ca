"""Signing in: the right password opens, the wrong one teaches nothing, and who guesses waits."""

from asyncio import gather
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from asyncpg import Connection

from registry.accounts import NewAccount, add_account, disable_account, enable_account, set_password
from registry.keys import KeyTerms, add_key, revoke_key
from registry.passwords import digest_password
from registry.principals import Principal
from registry.sign_in import (
    Attempt,
    Connect,
    Visit,
    compute_wait_seconds,
    group_address,
    hash_for_day,
    list_days,
    sign_in,
    sign_in_hashed,
)
from schemas.errors import Forbidden, SlowDown, Unauthenticated
from tests.registry.people import NOW, RULES, add_firm, order

RING = RULES.key_ring
GOOD = "correct horse battery"
PLANT = Visit(NOW, "192.0.2.10")


def use(conn: Connection) -> Connect:
    """The test's one connection, wherever the code asks for one."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Connection]:
        yield conn

    return connect


async def add_operator(conn: Connection, name: str = "olga") -> None:
    await add_account(conn, RING, order(), NewAccount(name, ["operator", "reviewer"], GOOD))


async def add_clerk(conn: Connection, name: str = "chen") -> int:
    firm = await add_firm(conn)
    wanted = NewAccount(name, ["enterprise_user"], GOOD, enterprise_id=firm.enterprise_id, may_sign_in_hashed=True)
    await add_account(conn, RING, order(), wanted)
    return firm.enterprise_id


async def enter(conn: Connection, name: str, password: str, visit: Visit = PLANT) -> Principal:
    return await sign_in(use(conn), RING, visit, Attempt(name, password))


async def test_an_account_is_all_its_roles_say(connection: Connection) -> None:
    await add_operator(connection)
    principal = await enter(connection, "olga", GOOD)
    assert (principal.kind, principal.actor, principal.user_name) == ("operator", "account:olga", "olga")
    principal.check_operator()
    principal.check_reviewer()
    with pytest.raises(Forbidden):
        principal.check_role("regulator")


async def test_a_clerk_acts_for_his_enterprise_alone(connection: Connection) -> None:
    enterprise_id = await add_clerk(connection)
    principal = await enter(connection, "ＣＨＥＮ", GOOD)  # names are one whatever their width and case
    assert (principal.kind, principal.enterprise_id, len(principal.prefixes)) == ("enterprise", enterprise_id, 1)
    with pytest.raises(Forbidden):
        principal.check_scope("manage")
    with pytest.raises(Forbidden):
        principal.check_reviewer()


WRONG = [
    ("olga", "correct horse batterY", "nearly right"),
    ("olga", "", "nothing"),
    ("nobody", GOOD, "no such account"),
    ("", GOOD, "no name"),
    ("olga\0", GOOD, "what the database cannot be asked"),
    ("\ud800", "\ud800", "half a character"),
    ("x" * 51, GOOD, "longer than any name"),
    ("olga", "x" * 10_000, "longer than any password"),
    ("ak_00000000000000000000", "x", "no such access key"),
]


@pytest.mark.parametrize(("name", "password", "reason"), WRONG, ids=[w[2] for w in WRONG])
async def test_what_is_wrong_opens_nothing_and_tells_nothing(
    connection: Connection, name: str, password: str, reason: str
) -> None:
    await add_operator(connection)
    for way in (sign_in, sign_in_hashed):
        with pytest.raises(Unauthenticated) as caught:
            await way(use(connection), RING, PLANT, Attempt(name, password))
        assert (caught.value.code, caught.value.details) == ("sign_in_wrong", {})


async def test_an_access_key_and_its_secret_are_name_and_password(connection: Connection) -> None:
    firm = await add_firm(connection)
    principal = await enter(connection, firm.access_key, firm.secret_key)
    assert (principal.access_key, principal.enterprise_id) == (firm.access_key, firm.enterprise_id)
    await revoke_key(connection, order(), firm.access_key)
    with pytest.raises(Unauthenticated):
        await enter(connection, firm.access_key, firm.secret_key)


def hash_like_a_client(secret: str, day: str) -> str:
    """Written from the published formula: sha256hex( sha256hex(secret) + yyyy-MM-dd )."""
    return sha256((sha256(secret.encode()).hexdigest() + day).encode()).hexdigest()


async def test_the_hashed_sign_in_is_the_published_formula(connection: Connection) -> None:
    await add_clerk(connection)
    firm = await add_firm(connection, 2)
    for name, secret in (("chen", GOOD), (firm.access_key, firm.secret_key)):
        for hashed in (hash_like_a_client(secret, "2026-03-02"), hash_like_a_client(secret, "2026-03-02").upper()):
            principal = await sign_in_hashed(use(connection), RING, PLANT, Attempt(name, hashed))
            assert principal.kind == "enterprise"
        for wrong in (hash_like_a_client(secret, "2026-03-04"), digest_password(secret), secret):
            with pytest.raises(Unauthenticated):
                await sign_in_hashed(use(connection), RING, PLANT, Attempt(name, wrong))


# The worked example of the published text uses this date and this string.
def test_the_hash_of_the_day_is_the_worked_example() -> None:
    inner = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    assert digest_password("12345") == inner
    assert hash_for_day(inner, "2019-08-15") == sha256(f"{inner}2019-08-15".encode()).hexdigest()


DAYS = [
    ("2026-03-01T16:00", ["2026-03-02", "2026-03-01"], "midnight at UTC+8"),
    ("2026-03-02T03:59", ["2026-03-02", "2026-03-01"], "the morning: clients at UTC still write yesterday"),
    ("2026-03-02T04:00", ["2026-03-02", "2026-03-03"], "noon"),
    ("2026-03-02T15:59", ["2026-03-02", "2026-03-03"], "a clock that is ahead has tomorrow already"),
]


@pytest.mark.parametrize(("at", "days", "reason"), DAYS, ids=[d[2] for d in DAYS])
def test_two_days_are_taken(at: str, days: list[str], reason: str) -> None:
    assert list_days(datetime.fromisoformat(at).replace(tzinfo=UTC)) == days


async def test_no_password_equivalent_is_kept_where_it_is_not_needed(connection: Connection) -> None:
    await add_operator(connection)
    access_key, secret_key = await add_key(connection, order(), None, "operator", KeyTerms(key_ring=RING))
    for name, secret in (("olga", GOOD), (access_key, secret_key)):
        with pytest.raises(Unauthenticated):
            hashed = hash_like_a_client(secret, "2026-03-02")
            await sign_in_hashed(use(connection), RING, PLANT, Attempt(name, hashed))
    assert await connection.fetchval("SELECT count(*) FROM accounts WHERE hashed_signin IS NOT NULL") == 0
    assert await connection.fetchval("SELECT count(*) FROM access_keys WHERE hashed_signin IS NOT NULL") == 0


async def test_the_database_alone_opens_no_hashed_sign_in(connection: Connection) -> None:
    """Neither the digest nor its bytes lie open in any column of an account or a key that knows it."""
    await add_clerk(connection)
    firm = await add_firm(connection, 2)
    rows = [*await connection.fetch("SELECT * FROM accounts"), *await connection.fetch("SELECT * FROM access_keys")]
    for secret in (GOOD, firm.secret_key):
        digest = sha256(secret.encode())
        for row in rows:
            assert digest.hexdigest() not in str(dict(row))
            assert not any(isinstance(value, bytes) and digest.digest() in value for value in row.values())


async def test_keys_made_before_have_no_hashed_sign_in_and_work_as_they_did(connection: Connection) -> None:
    firm = await add_firm(connection)
    access_key, secret_key = await add_key(connection, order(), firm.enterprise_id)  # as before: sha256 alone
    assert (await enter(connection, access_key, secret_key)).kind == "enterprise"
    hashed = Attempt(access_key, hash_like_a_client(secret_key, "2026-03-02"))
    with pytest.raises(Unauthenticated):
        await sign_in_hashed(use(connection), RING, PLANT, hashed)


def after(seconds: float, address: str = PLANT.address) -> Visit:
    return Visit(NOW + timedelta(seconds=seconds), address)


async def guess(conn: Connection, password: str, visit: Visit = PLANT, name: str = "chen") -> int:
    """Seconds to wait; 0 if the password was looked at."""
    try:
        with pytest.raises(Unauthenticated):
            await enter(conn, name, password, visit)
    except SlowDown as error:
        return int(str(error.details["seconds"]))
    return 0


async def test_who_guesses_waits_ever_longer_and_nobody_else_does(connection: Connection) -> None:
    await add_clerk(connection)
    await add_account(connection, RING, order(), NewAccount("olga", ["operator"], GOOD))
    assert sorted(await gather(*(guess(connection, f"guess {n}") for n in range(5)))) == [0, 0, 0, 1, 1], "at once"
    assert await guess(connection, "guess 4", after(1)) == 0
    assert await guess(connection, "guess 5", after(1)) == 2
    with pytest.raises(SlowDown):
        await enter(connection, "chen", GOOD, after(2.5))  # the right one waits, too: nobody can tell
    assert (await enter(connection, "olga", GOOD, after(2.5))).user_name == "olga"  # the same address
    assert (await enter(connection, "chen", GOOD, after(2.5, "192.0.2.11"))).user_name == "chen"  # another address
    assert (await enter(connection, "chen", GOOD, after(3))).user_name == "chen"
    assert [await guess(connection, f"later {n}", after(4)) for n in range(3)] == [0, 0, 0]  # a right one clears


async def test_a_client_with_an_old_password_locks_nobody_out(connection: Connection) -> None:
    await add_clerk(connection)
    for second in range(40):
        assert await guess(connection, "the password of last year", after(second)) == 0
    assert (await enter(connection, "chen", GOOD, after(40))).user_name == "chen"


async def test_failures_are_forgotten_after_a_day_and_with_a_new_password(connection: Connection) -> None:
    await add_clerk(connection)
    for n in range(9):
        await guess(connection, f"guess {n}", after(100 * n))
    assert await guess(connection, "again", after(801)) == 63
    await set_password(connection, RING, order(), "chen", "another horse battery")
    assert (await enter(connection, "chen", "another horse battery", after(802))).user_name == "chen"
    for n in range(9):
        await guess(connection, f"guess {n}", after(1_000 + 100 * n))
    assert await guess(connection, "again", after(1_800 + 86_400)) == 0
    assert await connection.fetchval("SELECT count(*) FROM sign_in_failures") == 1


def test_the_wait_doubles_to_a_quarter_of_an_hour() -> None:
    assert [compute_wait_seconds(n) for n in range(8)] == [0, 0, 0, 1, 2, 4, 8, 16]
    assert compute_wait_seconds(10**9) == 900


def test_what_a_caller_can_choose_freely_is_one_address() -> None:
    assert group_address("2001:db8:1:2:3:4:5:6") == group_address("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert group_address("2001:db8:1:3::1") != group_address("2001:db8:1:2::1")
    assert group_address("::ffff:192.0.2.1") == group_address("192.0.2.1") == "192.0.2.1"
    assert group_address("") == ""


async def test_a_disabled_account_opens_nothing_until_it_is_enabled(connection: Connection) -> None:
    await add_clerk(connection)
    await disable_account(connection, order(), "chen")
    with pytest.raises(Unauthenticated):
        await enter(connection, "chen", GOOD)
    await enable_account(connection, order(), "chen")
    assert (await enter(connection, "chen", GOOD)).user_name == "chen"


async def test_every_sign_in_is_in_the_audit_trail(connection: Connection) -> None:
    await add_clerk(connection)
    await guess(connection, "wrong")
    await enter(connection, "chen", GOOD)
    rows = await connection.fetch(
        "SELECT actor, address, subject, outcome FROM audit_pending WHERE action = 'sign_in' ORDER BY pending_id"
    )
    assert [tuple(row) for row in rows] == [
        ("anonymous", "192.0.2.10", "account:chen", "sign_in_wrong"),
        ("account:chen", "192.0.2.10", "password", "ok"),
    ]
