"""Signing in (§d.2): user name and password, or access key and secret, for a token of 24 hours; and new users."""

import asyncio
import re
from collections.abc import Awaitable, Callable

from registry.accounts import MAX_NAME_CHARACTERS, NewAccount, add_account
from registry.principals import Principal
from registry.sign_in import Attempt, Connect, Visit, sign_in, sign_in_hashed
from registry.snms import texts
from registry.snms.calls import SnmsCall
from registry.snms.edge import Route
from registry.snms.fields import Fields, Refusal
from registry.tokens import issue_token
from schemas.errors import SlowDown, Unauthenticated
from schemas.sealing import KeyRing

Way = Callable[[Connect, KeyRing, Visit, Attempt], Awaitable[Principal]]


# Who guesses waits ever longer (registry.sign_in); so long he waits for the published answer, afterwards he is told.
PATIENCE_SECONDS = 2
# As published (§d.2); a longer one, which the console takes, is good for the console and `/api/v1`.
MAX_PASSWORD_CHARACTERS = 64


async def get_token(call: SnmsCall) -> object:
    """The password, or the secret, as it is."""
    principal = await _sign_in(call, sign_in, read_attempt(call))
    async with call.connect() as conn:
        return {"token": await issue_token(conn, call.state.config.rules.key_ring, call.visit(), principal)}


async def get_token_hashed(call: SnmsCall) -> object:
    """sha256hex(sha256hex(secret) + the day as yyyy-MM-dd)."""
    principal = await _sign_in(call, sign_in_hashed, read_attempt(call))
    async with call.connect() as conn:
        return {"token": await issue_token(conn, call.state.config.rules.key_ring, call.visit(), principal, "hashed")}


async def _sign_in(call: SnmsCall, way: Way, attempt: Attempt) -> Principal:
    try:
        try:
            return await way(call.state.connect, call.state.config.rules.key_ring, call.visit(), attempt)
        except SlowDown as error:
            seconds = error.details["seconds"]
            if not isinstance(seconds, int) or seconds > PATIENCE_SECONDS:
                raise
            await asyncio.sleep(seconds)
            return await way(call.state.connect, call.state.config.rules.key_ring, call.visit(), attempt)
    except Unauthenticated:
        raise Refusal(texts.WRONG_PASSWORD) from None


def read_attempt(call: SnmsCall) -> Attempt:
    """From the body alone: what stands in an address gets into the logs of proxies."""
    fields = Fields(call.get_object())
    name = fields.get_text("username", MAX_NAME_CHARACTERS, "userName")
    return Attempt(name, fields.get_text("password", MAX_PASSWORD_CHARACTERS))


_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


async def register(call: SnmsCall) -> object:
    """A user who belongs to no enterprise yet: `upgrade-apply` names it. Until then he can only sign in."""
    fields = Fields(call.get_object())
    user_name = fields.get_text("username", MAX_NAME_CHARACTERS, "userName").strip()
    digest = fields.get_text("password", 255).strip().lower()
    if not _DIGEST.fullmatch(digest):
        raise Refusal(texts.DIGEST_WRONG.format(name="password"))
    personal = {
        "email": fields.get_text("email", 255),
        "mobile": fields.get_text("mobile", 255),
        "open_id": fields.find_text("openId", 64) or "",
        "open_user_name": fields.find_text("openUserName", 255) or "",
        "remarks": fields.find_text("remarks", 500) or "",
    }
    wanted = NewAccount(user_name, ["enterprise_user"], password_digest=digest, personal=personal,
                        may_sign_in_hashed=True, awaits_enterprise=True)  # fmt: skip
    async with call.write() as conn:
        await add_account(conn, call.state.config.rules.key_ring, call.order(), wanted)
    return True


ROUTES = {
    ("POST", "/identity/token"): Route(get_token, "anyone"),
    ("POST", "/identity/token/v1"): Route(get_token_hashed, "anyone"),
    ("POST", "/identity/registry"): Route(register, "operator", scope="manage"),
}
