"""Bearer tokens and sessions: valid everywhere, seen, ended one by one, and never forged."""

import base64
import hmac
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import orjson
import pytest
from asyncpg import Connection

from registry.accounts import NewAccount, add_account, disable_account, set_password
from registry.keys import KeyTerms, add_key, authenticate, revoke_key
from registry.principals import Principal
from registry.sign_in import Attempt, Visit, sign_in
from registry.tokens import (
    authenticate_token,
    end_session,
    find_session,
    forget_old_sessions,
    issue_token,
    list_sessions,
    open_session,
    read_claims,
    sign_claims,
)
from schemas.errors import Forbidden, NotFound, Unauthenticated
from schemas.sealing import KeyRing
from tests.registry.people import NOW, add_firm, order
from tests.registry.test_sign_in import GOOD, PLANT, RING, add_clerk, enter, use


def later(**passed: float) -> Visit:
    return Visit(NOW + timedelta(**passed), PLANT.address)


async def issue(conn: Connection, name: str = "chen", password: str = GOOD) -> tuple[Principal, str]:
    principal = await enter(conn, name, password)
    return principal, await issue_token(conn, RING, PLANT, principal)


async def test_a_token_is_worth_24_hours_of_its_holder(connection: Connection) -> None:
    enterprise_id = await add_clerk(connection)
    signed_in, token = await issue(connection)
    claims = read_claims(RING, token)
    assert {"sub", "uid", "ent", "pfx", "role", "jti", "iat", "exp"} == claims.keys()
    assert (claims["sub"], claims["ent"], claims["exp"] - claims["iat"]) == ("chen", enterprise_id, 86_400)
    held = await authenticate_token(connection, RING, token, later(hours=23, minutes=59))
    assert held == replace(signed_in, session_id=UUID(claims["jti"]))
    with pytest.raises(Unauthenticated) as caught:
        await authenticate_token(connection, RING, token, later(hours=24))
    assert caught.value.code == "token_expired"


async def test_a_token_of_an_access_key_acts_as_the_key(connection: Connection) -> None:
    firm = await add_firm(connection)
    _, token = await issue(connection, firm.access_key, firm.secret_key)
    by_key = await authenticate(connection, firm.access_key, firm.secret_key)
    held = await authenticate_token(connection, RING, token, PLANT)
    assert replace(held, session_id=None) == by_key
    await revoke_key(connection, order(), firm.access_key)
    with pytest.raises(Unauthenticated):
        await authenticate_token(connection, RING, token, PLANT)


async def test_a_second_sign_in_does_not_end_the_first(connection: Connection) -> None:
    await add_clerk(connection)
    (first, one), (_, two) = await issue(connection), await issue(connection)
    assert one != two
    for token in (one, two):
        assert (await authenticate_token(connection, RING, token, PLANT)).user_name == "chen"
    assert len(await list_sessions(connection, first, NOW)) == 2


async def test_an_ended_token_opens_nothing_and_the_others_stay(connection: Connection) -> None:
    await add_clerk(connection)
    (_, one), (_, two) = await issue(connection), await issue(connection)
    held = await authenticate_token(connection, RING, one, PLANT)
    assert held.session_id is not None
    await end_session(connection, order(held), held.session_id)
    with pytest.raises(Unauthenticated):
        await authenticate_token(connection, RING, one, PLANT)
    assert await authenticate_token(connection, RING, two, PLANT)
    with pytest.raises(NotFound):
        await end_session(connection, order(held), held.session_id)


async def test_nobody_ends_the_session_of_another(connection: Connection) -> None:
    enterprise_id = await add_clerk(connection)
    colleague = NewAccount("wang", ["enterprise_user"], GOOD, enterprise_id=enterprise_id)
    await add_account(connection, RING, order(), colleague)
    _, token = await issue(connection)
    held = await authenticate_token(connection, RING, token, PLANT)
    assert held.session_id is not None
    with pytest.raises(NotFound):
        await end_session(connection, order(await enter(connection, "wang", GOOD)), held.session_id)
    await end_session(connection, order(), held.session_id)  # the operator may


async def test_what_an_account_loses_its_tokens_lose_at_once(connection: Connection) -> None:
    await add_clerk(connection)
    holder, token = await issue(connection)
    cookie = await open_session(connection, holder, PLANT)
    await connection.execute("UPDATE account_roles SET role = 'enterprise_admin'")
    assert "manage" in (await authenticate_token(connection, RING, token, PLANT)).scopes
    await disable_account(connection, order(), "chen")
    with pytest.raises(Unauthenticated):
        await authenticate_token(connection, RING, token, PLANT)
    assert await find_session(connection, cookie, PLANT) is None


async def test_a_new_password_ends_all_sessions_but_ones_own(connection: Connection) -> None:
    await add_clerk(connection)
    _, token = await issue(connection)
    cookie = await open_session(connection, await enter(connection, "chen", GOOD), PLANT)
    me = await find_session(connection, cookie, PLANT)
    assert me is not None
    await set_password(connection, RING, order(me), "chen", "another horse battery")
    assert await find_session(connection, cookie, PLANT) == me
    with pytest.raises(Unauthenticated):
        await authenticate_token(connection, RING, token, PLANT)


async def test_a_cookie_is_kept_as_a_hash_and_opens_for_twelve_hours(connection: Connection) -> None:
    await add_clerk(connection)
    cookie = await open_session(connection, await enter(connection, "chen", GOOD), PLANT)
    row = await connection.fetchrow("SELECT * FROM sessions")
    assert row is not None
    assert cookie not in str(dict(row))
    assert await find_session(connection, cookie, later(hours=11, minutes=59)) is not None
    assert await find_session(connection, cookie, later(hours=12)) is None
    for wrong in ("", "x", cookie + "x", cookie[:-1], "\ud800", "é"):
        assert await find_session(connection, wrong, PLANT) is None


async def test_the_number_of_a_cookie_signed_as_a_token_opens_nothing(connection: Connection) -> None:
    await add_clerk(connection)
    await open_session(connection, await enter(connection, "chen", GOOD), PLANT)
    session_id = await connection.fetchval("SELECT session_id FROM sessions")
    token = sign_claims(RING, {"jti": session_id.hex, "exp": 1e12})
    with pytest.raises(Unauthenticated):
        await authenticate_token(connection, RING, token, PLANT)


def encode(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()


def forge(token: str) -> list[tuple[str, str]]:
    header, claims, signature = token.split(".")
    head = orjson.loads(base64.urlsafe_b64decode(header + "=="))
    unsigned = encode(head | {"alg": "none"})
    public = hmac.digest(b"", f"{header}.{claims}".encode(), sha256)
    return [
        (f"{unsigned}.{claims}.", "no algorithm"),
        (f"{unsigned}.{claims}.{signature}", "no algorithm, our signature"),
        (f"{encode(head | {'kid': 'k2'})}.{claims}.{signature}", "a key we have not"),
        (f"{encode(head | {'kid': ['k1']})}.{claims}.{signature}", "a key that is none"),
        (f"{header}.{claims}.{base64.urlsafe_b64encode(public).decode()}", "an empty key"),
        (f"{header}.{encode({'jti': 'x', 'exp': 9e9})}.{signature}", "other claims"),
        (f"{header}.{claims}.{signature[:-4]}AAAA", "a changed signature"),
        (f"{header}.{claims}.", "no signature"),
        (f"..{signature}", "nothing else"),
        ("..", "nothing"),
        ("a.b.c", "no base64"),
        ("é.é.é", "not ASCII"),
        (f"{encode({})}.{claims}.{signature}", "an empty head"),
        ("W10." * 2 + signature, "lists"),
        ("x" * 5_000, "far too long"),
    ]


async def test_a_forged_token_opens_nothing(connection: Connection) -> None:
    await add_clerk(connection)
    _, token = await issue(connection)
    for forged, reason in forge(token):
        with pytest.raises(Unauthenticated) as caught:
            await authenticate_token(connection, RING, forged, PLANT)
        assert caught.value.code == "token_wrong", reason
    for claims in (
        {},
        {"jti": 1, "exp": 9e9},
        {"jti": "x", "exp": 9e9},
        {"jti": "0" * 32},
        {"jti": "0" * 32, "exp": 9e9},
    ):
        with pytest.raises(Unauthenticated):
            await authenticate_token(connection, RING, sign_claims(RING, claims), PLANT)


async def test_tokens_survive_a_new_key_in_front_of_the_old_one(connection: Connection) -> None:
    await add_clerk(connection)
    _, token = await issue(connection)
    renewed = KeyRing({"k0": b"\1" * 32, **RING.keys})
    assert (await authenticate_token(connection, renewed, token, PLANT)).user_name == "chen"
    with pytest.raises(Unauthenticated):
        await authenticate_token(connection, KeyRing({"k1": b"\1" * 32}), token, PLANT)


async def test_a_key_works_from_its_networks_with_its_scopes_until_it_expires(connection: Connection) -> None:
    firm = await add_firm(connection)
    terms = KeyTerms(("read",), ("192.0.2.0/24", "2001:db8::7"), NOW + timedelta(hours=2), key_ring=RING)
    access_key, secret_key = await add_key(connection, order(), firm.enterprise_id, "scanner", terms)
    principal = await sign_in(use(connection), RING, PLANT, Attempt(access_key, secret_key))
    assert principal.scopes == {"read"}
    token = await issue_token(connection, RING, PLANT, principal)
    for address in ("192.0.2.255", "::ffff:192.0.2.1", "2001:db8::7"):
        assert await authenticate(connection, access_key, secret_key, NOW, address)
        assert await authenticate_token(connection, RING, token, Visit(NOW, address))
    for address in ("198.51.100.1", "2001:db8::8", "", "nonsense"):
        with pytest.raises(Forbidden):
            await authenticate(connection, access_key, secret_key, NOW, address)
        with pytest.raises(Forbidden):
            await authenticate_token(connection, RING, token, Visit(NOW, address))
    with pytest.raises(Unauthenticated):
        await authenticate(connection, access_key, secret_key, NOW + timedelta(hours=2), PLANT.address)
    with pytest.raises(Unauthenticated):
        await authenticate_token(connection, RING, token, later(hours=2))


async def test_old_sessions_are_forgotten(connection: Connection) -> None:
    await add_clerk(connection)
    await issue(connection)
    await forget_old_sessions(connection, NOW + timedelta(days=30))
    assert await connection.fetchval("SELECT count(*) FROM sessions") == 1
    await forget_old_sessions(connection, NOW + timedelta(days=32))
    assert await connection.fetchval("SELECT count(*) FROM sessions") == 0
