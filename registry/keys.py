"""Access keys: `<access_key>.<secret_key>` acts for one enterprise or for the operator."""

import hmac
import re
import secrets
from hashlib import sha256

from asyncpg import Connection

from registry.principals import Order, Principal
from registry.store.enterprises import fetch_enterprise
from registry.store.keys import (
    KeyRow,
    fetch_keys,
    fetch_owned_prefixes,
    find_credentials,
    find_key,
    insert_key,
    update_revoked,
    update_revoked_of,
)
from schemas.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from schemas.identifiers import shorten

MAX_NOTE_CHARACTERS = 200
_ACCESS_KEY = re.compile(r"ak_[0-9a-f]{20}", re.ASCII)
_NOBODY = sha256(b"").digest()


async def add_key(conn: Connection, order: Order, enterprise_id: int | None, note: str = "") -> tuple[str, str]:
    """A new key for an enterprise, or for the operator (None): access key and secret, which is shown this once."""
    if enterprise_id is None:
        order.principal.check_operator()
    else:
        order.principal.check_enterprise(enterprise_id)
        if await fetch_enterprise(conn, enterprise_id) is None:
            raise NotFound("enterprise_not_found", field="enterprise", enterprise=enterprise_id)
    if len(note) > MAX_NOTE_CHARACTERS or not note.isprintable():
        raise InvalidInput("key_note_too_long", field="note", length=len(note), limit=MAX_NOTE_CHARACTERS)
    access_key, secret_key = f"ak_{secrets.token_hex(10)}", secrets.token_urlsafe(32)
    await insert_key(conn, KeyRow(access_key, enterprise_id, "", note, order.at, None), _hash(secret_key))
    return access_key, secret_key


async def list_keys(conn: Connection, principal: Principal, enterprise_id: int | None = None) -> list[KeyRow]:
    """Keys without their secrets, revoked ones among them; an enterprise sees its own."""
    return await fetch_keys(conn, enterprise_id if principal.is_operator else principal.enterprise_id)


async def revoke_key(conn: Connection, order: Order, access_key: str) -> KeyRow:
    """It ends with the transaction; raises NotFound, or Conflict if it was revoked before."""
    async with conn.transaction():
        key = await find_key(conn, access_key) if _ACCESS_KEY.fullmatch(access_key) else None
        own = order.principal.is_operator or (key is not None and key.enterprise_id == order.principal.enterprise_id)
        if key is None or not own:
            raise NotFound("key_not_found", field="access_key", access_key=shorten(access_key))
        if key.revoked is not None:
            raise Conflict("key_revoked_already", field="access_key", access_key=access_key)
        await update_revoked(conn, access_key, order.at)
    return key


async def revoke_keys_of(conn: Connection, order: Order, enterprise_id: int) -> None:
    """All keys of an enterprise that is closed."""
    await update_revoked_of(conn, enterprise_id, order.at)


def split_bearer(header: str | None) -> tuple[str, str]:
    """Access key and secret from an Authorization header; raises Unauthenticated."""
    scheme, _, token = (header or "").strip().partition(" ")
    if not token.strip():
        raise Unauthenticated("key_missing")
    access_key, dot, secret_key = token.strip().partition(".")
    if scheme.lower() != "bearer" or not dot:
        raise Unauthenticated("key_wrong")
    return access_key, secret_key


async def authenticate(conn: Connection, access_key: str, secret_key: str) -> Principal:
    """Who holds this key; raises Unauthenticated. Unknown, wrong and revoked keys take the same time and answer."""
    known = await find_credentials(conn, access_key) if _ACCESS_KEY.fullmatch(access_key) else None
    fits = hmac.compare_digest(known.secret_hash if known else _NOBODY, _hash(secret_key))
    if known is None or not fits or known.is_revoked:
        raise Unauthenticated("key_wrong")
    if known.enterprise_id is None:
        return Principal("operator", f"key:{access_key}", None, access_key)
    prefixes = await fetch_owned_prefixes(conn, known.enterprise_id)
    return Principal("enterprise", f"key:{access_key}", known.enterprise_id, access_key, prefixes)


def _hash(secret_key: str) -> bytes:
    # The secret has 256 random bits: nothing is gained by a slow hash.
    return sha256(secret_key.encode("utf-8", "surrogatepass")).digest()
