"""Signing in (§d.2, I1 and I2): user name and password, or access key and secret, for a token of 24 hours."""

from registry.sign_in import MAX_NAME_CHARACTERS, MAX_PASSWORD_CHARACTERS, Attempt, sign_in, sign_in_hashed
from registry.snms import texts
from registry.snms.calls import SnmsCall
from registry.snms.edge import Route
from registry.snms.fields import Fields, Refusal
from registry.tokens import issue_token
from schemas.errors import Unauthenticated


async def get_token(call: SnmsCall) -> object:
    """The password, or the secret, as it is."""
    attempt, visit, ring = read_attempt(call), call.visit(), call.state.config.rules.key_ring
    try:
        principal = await sign_in(call.state.connect, ring, visit, attempt)
    except Unauthenticated:
        raise Refusal(texts.WRONG_PASSWORD) from None
    async with call.connect() as conn:
        return {"token": await issue_token(conn, ring, visit, principal)}


async def get_token_hashed(call: SnmsCall) -> object:
    """sha256hex(sha256hex(secret) + the day as yyyy-MM-dd)."""
    attempt, visit, ring = read_attempt(call), call.visit(), call.state.config.rules.key_ring
    try:
        principal = await sign_in_hashed(call.state.connect, ring, visit, attempt)
    except Unauthenticated:
        raise Refusal(texts.WRONG_PASSWORD) from None
    async with call.connect() as conn:
        return {"token": await issue_token(conn, ring, visit, principal, "hashed")}


def read_attempt(call: SnmsCall) -> Attempt:
    """From the body alone: what stands in an address gets into the logs of proxies."""
    fields = Fields(call.get_object())
    name = fields.get_text("username", MAX_NAME_CHARACTERS, "userName")
    return Attempt(name, fields.get_text("password", MAX_PASSWORD_CHARACTERS))


ROUTES = {
    ("POST", "/identity/token"): Route(get_token, "anyone"),
    ("POST", "/identity/token/v1"): Route(get_token_hashed, "anyone"),
}
