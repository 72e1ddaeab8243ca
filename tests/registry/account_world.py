"""Accounts in a world of the interface tests, each with a bearer token."""

from registry.accounts import NewAccount, add_account
from registry.sign_in import Attempt, Visit, sign_in
from registry.tokens import issue_token
from tests.registry.api_world import World
from tests.registry.people import RULES, order

PASSWORD = "correct horse battery"


async def sign(world: World, name: str, wanted: NewAccount) -> None:
    """Add an account and sign it in; `name` is how the tests call it."""
    async with world.state.connect() as conn:
        await add_account(conn, RULES.key_ring, order(), wanted)
    visit = Visit(world.state.now(), "127.0.0.1")
    principal = await sign_in(world.state.connect, RULES.key_ring, visit, Attempt(wanted.user_name, PASSWORD))
    async with world.state.connect() as conn:
        world.keys[name] = await issue_token(conn, RULES.key_ring, visit, principal)
