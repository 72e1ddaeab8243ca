"""The second factor: codes as RFC 6238 computes them, each opening once."""

from base64 import b32decode
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from asyncpg import Connection

from registry.accounts import NewAccount, add_account, remove_second_factor, set_second_factor
from registry.principals import Principal
from registry.sign_in import Attempt, sign_in
from registry.totp import STEP_SECONDS, compute_code, find_step
from schemas.errors import NotFound, ServiceError, Unauthenticated
from tests.registry.people import add_firm, order
from tests.registry.test_sign_in import GOOD, PLANT, RING, add_clerk, add_operator, after, enter, use

# RFC 6238 appendix B, SHA-1, of which six digits are shown.
VECTORS = [
    (59, "94287082"),
    (1_111_111_109, "07081804"),
    (1_111_111_111, "14050471"),
    (1_234_567_890, "89005924"),
    (2_000_000_000, "69279037"),
    (20_000_000_000, "65353130"),
]
SECRET = b"12345678901234567890"


@pytest.mark.parametrize(("seconds", "code"), VECTORS)
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    assert compute_code(SECRET, seconds // STEP_SECONDS) == code[-6:]


def test_a_code_is_taken_one_step_early_or_late_and_no_more() -> None:
    at = datetime.fromtimestamp(1_111_111_111, UTC)
    now = 1_111_111_111 // STEP_SECONDS
    for step in (now - 1, now, now + 1):
        assert find_step(SECRET, compute_code(SECRET, step), at) == step
    for wrong in (compute_code(SECRET, now - 2), compute_code(SECRET, now + 2), "", "12345", "\ud800", "０５０４７１"):
        assert find_step(SECRET, wrong, at) is None


async def try_code(conn: Connection, code: str, seconds: float = 0, address: str = PLANT.address) -> str:
    """The user's name, or the code of what is wrong."""
    try:
        return (await sign_in(use(conn), RING, after(seconds, address), Attempt("olga", GOOD, code))).user_name
    except ServiceError as error:
        return error.code


async def test_both_factors_are_needed_and_a_code_opens_once(connection: Connection) -> None:
    await add_operator(connection)
    address = await set_second_factor(connection, RING, order(), "olga")
    query = parse_qs(urlsplit(address).query)
    assert address.startswith("otpauth://totp/idnode%3Aolga?")
    assert len(query["secret"][0]) == 32
    secret = b32decode(query["secret"][0])
    step = int(PLANT.at.timestamp()) // STEP_SECONDS
    assert await try_code(connection, "") == "second_factor_missing"
    assert await try_code(connection, compute_code(secret, step)) == "olga"
    assert await try_code(connection, compute_code(secret, step)) == "second_factor_wrong"
    assert await try_code(connection, compute_code(secret, step - 1)) == "second_factor_wrong"  # an older one neither
    assert await try_code(connection, compute_code(secret, step + 1), 40) == "olga"
    with pytest.raises(Unauthenticated):
        await sign_in(use(connection), RING, after(80), Attempt("olga", "wrong", compute_code(secret, step + 3)))
    await remove_second_factor(connection, order(), "olga")
    assert await try_code(connection, "", 90) == "olga"


async def test_guessing_codes_is_slowed_down(connection: Connection) -> None:
    await add_operator(connection)
    await set_second_factor(connection, RING, order(), "olga")
    said = [await try_code(connection, f"{number:06}") for number in range(6)]
    assert said[:3] == ["second_factor_wrong"] * 3
    assert said[-1] == "sign_in_slow_down"


async def test_codes_guessed_from_many_addresses_wait_as_if_from_one(connection: Connection) -> None:
    await add_operator(connection)
    address = await set_second_factor(connection, RING, order(), "olga")
    secret = b32decode(parse_qs(urlsplit(address).query)["secret"][0])
    said = [await try_code(connection, f"{n:06}", address=f"2001:db8:{n}::1") for n in range(5)]
    assert said == ["second_factor_wrong"] * 3 + ["sign_in_slow_down"] * 2
    right = compute_code(secret, int(PLANT.at.timestamp()) // STEP_SECONDS)
    assert await try_code(connection, right) == "sign_in_slow_down", "whoever it is: the password is no secret any more"
    assert await try_code(connection, right, 2) == "olga"
    assert await try_code(connection, "000007", 3) == "second_factor_wrong", "a right one takes the wait away"


async def test_one_sets_ones_own_and_nobody_elses(connection: Connection) -> None:
    await add_clerk(connection)
    firm = await add_firm(connection, 2)
    wanted = NewAccount("wang", ["enterprise_admin"], GOOD, enterprise_id=firm.enterprise_id)
    await add_account(connection, RING, order(), wanted)
    me: Principal = await enter(connection, "chen", GOOD)
    await set_second_factor(connection, RING, order(me), "chen")
    other = await enter(connection, "wang", GOOD)
    with pytest.raises(NotFound):
        await set_second_factor(connection, RING, order(other), "chen")
    with pytest.raises(NotFound):
        await remove_second_factor(connection, order(other), "chen")
    row = await connection.fetchrow("SELECT totp_secret FROM accounts WHERE user_name = 'chen'")
    assert row is not None
    assert len(row["totp_secret"]) > 20  # sealed
