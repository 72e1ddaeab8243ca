"""Requests and responses transcribed from the published contract, replayed word for word (tests/vectors/snms)."""

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from registry.accounts import NewAccount, add_account
from registry.keys import KeyTerms, add_key
from tests.registry.api_world import World
from tests.registry.people import CLERK, RULES, add_firm, order
from tests.registry.snms_world import ask

FILES = sorted((Path(__file__).parents[1] / "vectors" / "snms").glob("*.json"))
PREFIX = "88.101.7"
NAMES = ("ops01", f"{PREFIX}/mes")
PASSWORD = "a pump works' own word"


@pytest_asyncio.fixture(scope="module")
async def world(snms_world: World) -> World:
    async with snms_world.state.pool.acquire() as conn:
        firm = await add_firm(conn, 907, PREFIX)
        ring = RULES.key_ring
        for name in NAMES:
            account = NewAccount(name, ["enterprise_admin"], PASSWORD, enterprise_id=firm.enterprise_id,
                                 may_sign_in_hashed=True)  # fmt: skip
            await add_account(conn, ring, order(CLERK), account)
        key = await add_key(conn, order(CLERK), firm.enterprise_id, "MES", KeyTerms(key_ring=ring))
    snms_world.keys["firm"] = ".".join(key)
    return snms_world


def fill(text: str, world: World) -> str:
    """Places of the transcripts that stand for a secret or for today."""
    access_key, _, secret_key = world.keys["firm"].partition(".")
    plain = {"access key": access_key, "secret key": secret_key} | {f"password of {name}": PASSWORD for name in NAMES}
    day = datetime.now(UTC).astimezone(timezone(timedelta(hours=8))).strftime("%Y-%m-%d")
    for name, secret in plain.items():
        if text == f"<{name}>":
            return secret
        if text == f"<sha256hex(sha256hex({name}) + day)>":
            return sha256((sha256(secret.encode()).hexdigest() + day).encode()).hexdigest()
    return text


def matches(expected: Any, found: Any) -> bool:
    """Equal, but for places: any value, a number, a text, a JSON Web Token."""
    if expected == "<any>":
        return True
    if expected == "<int>":
        return type(found) is int
    if expected == "<text>":
        return isinstance(found, str) and found != ""
    if expected == "<jwt>":
        return isinstance(found, str) and found.startswith("eyJ") and found.count(".") == 2
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(matches(expected[name], found[name]) for name in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(matches, expected, found))
    return type(expected) is type(found) and bool(expected == found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_what_was_transcribed_is_what_is_answered(world: World, path: Path) -> None:
    for n, step in enumerate(json.loads(path.read_text(encoding="utf-8"))["steps"]):
        method, _, place = step["call"].partition(" ")
        body = step.get("body")
        if isinstance(body, dict):
            body = {name: fill(value, world) if isinstance(value, str) else value for name, value in body.items()}
        said = await ask(world, method, place, body, who=step.get("as", "firm"))
        found = {"message": said.message, "status": said.status, "data": said.data}
        assert said.http_status == 200
        assert matches(step["answer"], found), f"step {n}, {step['call']}: {found}"


def test_the_worked_example_of_the_hash_is_what_it_is() -> None:
    """sha256hex(sha256hex("12345") + "2019-08-15"), computed apart from our code."""
    from registry.sign_in import hash_for_day

    digest = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    assert sha256(b"12345").hexdigest() == digest
    assert hash_for_day(digest, "2019-08-15") == sha256(f"{digest}2019-08-15".encode()).hexdigest()
