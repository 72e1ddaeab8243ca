"""Access keys act for one enterprise or for the operator, and tell nothing to anybody else."""

from datetime import timedelta

import pytest
from asyncpg import Connection

from registry.keys import KeyTerms, add_key, authenticate, list_keys, revoke_key, split_bearer
from registry.principals import Principal
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from tests.registry.people import CLERK, NOW, add_firm, make_owner, order


async def test_a_key_of_an_enterprise_touches_its_own_prefixes_only(connection: Connection) -> None:
    one, other = await add_firm(connection, 1), await add_firm(connection, 2)
    principal = await authenticate(connection, one.access_key, one.secret_key)
    assert (principal.kind, principal.enterprise_id) == ("enterprise", one.enterprise_id)
    assert principal.actor == f"key:{one.access_key}"
    principal.check_prefix(one.prefix)
    for forbidden in (other.prefix, "88.999.1", "\0"):
        with pytest.raises(NotFound):
            principal.check_prefix(forbidden)
    with pytest.raises(NotFound):
        principal.check_enterprise(other.enterprise_id)
    with pytest.raises(Forbidden):
        principal.check_operator()


async def test_a_key_of_the_operator_touches_everything(connection: Connection) -> None:
    firm = await add_firm(connection)
    access_key, secret_key = await add_key(connection, order(), None, "console")
    principal = await authenticate(connection, access_key, secret_key)
    assert principal.is_operator
    principal.check_prefix(firm.prefix)
    principal.check_enterprise(firm.enterprise_id)
    principal.check_operator()


async def test_the_secret_is_kept_as_a_hash_only(connection: Connection) -> None:
    firm = await add_firm(connection)
    row = await connection.fetchrow("SELECT * FROM access_keys WHERE access_key = $1", firm.access_key)
    assert row is not None
    assert firm.secret_key not in str(dict(row))
    assert len(row["secret_hash"]) == 32
    assert len(firm.secret_key) >= 43  # 256 bits


async def test_two_keys_never_share_a_secret(connection: Connection) -> None:
    made = [await add_key(connection, order(), None) for _ in range(20)]
    assert len({key for key, _ in made}) == len({secret for _, secret in made}) == 20
    assert not any("." in key + secret for key, secret in made)  # a dot separates the two in the header


async def test_a_revoked_key_opens_nothing(connection: Connection) -> None:
    firm = await add_firm(connection)
    owner = await authenticate(connection, firm.access_key, firm.secret_key)
    await revoke_key(connection, order(owner), firm.access_key)
    with pytest.raises(Unauthenticated):
        await authenticate(connection, firm.access_key, firm.secret_key)
    with pytest.raises(Conflict):
        await revoke_key(connection, order(), firm.access_key)
    (listed,) = await list_keys(connection, CLERK)
    assert listed.revoked is not None


WRONG = [
    ("", "", "nothing"),
    ("ak_00000000000000000000", "x", "no such key"),
    ("\0", "\0", "what the database cannot even be asked"),
    ("ak_\ud800", "\ud800", "half a character"),
    ("x" * 10_000, "y" * 10_000, "far too long"),
]


@pytest.mark.parametrize(("access_key", "secret_key", "reason"), WRONG, ids=[w[2] for w in WRONG])
async def test_wrong_credentials_are_refused(
    connection: Connection, access_key: str, secret_key: str, reason: str
) -> None:
    with pytest.raises(Unauthenticated):
        await authenticate(connection, access_key, secret_key)
    with pytest.raises(NotFound):
        await revoke_key(connection, order(), access_key)


async def test_the_secret_of_another_key_opens_nothing(connection: Connection) -> None:
    one, other = await add_firm(connection, 1), await add_firm(connection, 2)
    for secret in (other.secret_key, "", one.secret_key + "x", one.secret_key.swapcase()):
        with pytest.raises(Unauthenticated) as caught:
            await authenticate(connection, one.access_key, secret)
        assert caught.value.code == "key_wrong"


async def test_an_enterprise_sees_and_makes_its_own_keys_only(connection: Connection) -> None:
    one, other = await add_firm(connection, 1), await add_firm(connection, 2)
    owner = make_owner(one.enterprise_id, one.prefix)
    await add_key(connection, order(owner), one.enterprise_id, "MES")
    assert {k.note for k in await list_keys(connection, owner)} == {"enterprise add", "MES"}  # of one instant
    assert {k.enterprise_id for k in await list_keys(connection, owner, other.enterprise_id)} == {one.enterprise_id}
    with pytest.raises(NotFound):
        await add_key(connection, order(owner), other.enterprise_id)
    with pytest.raises(Forbidden):
        await add_key(connection, order(owner), None)
    with pytest.raises(NotFound):
        await revoke_key(connection, order(owner), other.access_key)


async def test_a_key_needs_an_enterprise_that_exists_and_a_short_note(connection: Connection) -> None:
    with pytest.raises(NotFound):
        await add_key(connection, order(Principal("operator", "cli:root")), 999_999)
    for note in ("x" * 201, "a\0b"):
        with pytest.raises(InvalidInput):
            await add_key(connection, order(), None, note)


WIDER: list[tuple[KeyTerms, str]] = [
    (KeyTerms(networks=("0.0.0.0/0",)), "key_networks_wider"),
    (KeyTerms(networks=("192.0.2.0/24",)), "key_networks_wider"),
    (KeyTerms(networks=("192.0.2.1", "198.51.100.1")), "key_networks_wider"),
    (KeyTerms(networks=("::/0",)), "key_networks_wider"),
    (KeyTerms(expires=NOW + timedelta(days=31)), "key_expiry_later"),
]


async def test_a_key_makes_none_that_works_from_more_addresses_or_for_longer(connection: Connection) -> None:
    firm = await add_firm(connection)
    end = NOW + timedelta(days=30)
    limited = KeyTerms(networks=("192.0.2.0/25", "2001:db8::/64"), expires=end)
    access_key, secret = await add_key(connection, order(), firm.enterprise_id, "MES", limited)
    maker = await authenticate(connection, access_key, secret, NOW, "192.0.2.9")
    for terms, code in WIDER:
        with pytest.raises(Forbidden) as caught:
            await add_key(connection, order(maker), firm.enterprise_id, "printer", terms)
        assert caught.value.code == code, terms
    within = KeyTerms(networks=("192.0.2.7", "2001:db8::/80"), expires=NOW + timedelta(days=1))
    made = [await add_key(connection, order(maker), firm.enterprise_id, "printer", terms)
            for terms in (within, KeyTerms())]  # fmt: skip
    rows = {key.access_key: key for key in await list_keys(connection, maker)}
    assert rows[made[0][0]].networks == ["192.0.2.7/32", "2001:db8::/80"]
    assert rows[made[1][0]].networks == list(limited.networks), "what is not named is as the maker's own"
    assert (rows[made[0][0]].expires, rows[made[1][0]].expires) == (within.expires, end)


def test_the_bearer_header_holds_key_and_secret() -> None:
    assert split_bearer("Bearer ak_1.secret-with_marks") == ("ak_1", "secret-with_marks")
    assert split_bearer("bearer  ak_1.s") == ("ak_1", "s")
    for header in (None, "", "Bearer", "Bearer ", "Basic ak_1.s", "Bearer ak_1", "ak_1.s"):
        with pytest.raises(Unauthenticated):
            split_bearer(header)
