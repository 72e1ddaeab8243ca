"""Bearer tokens (HS256 JWT, 24 hours) and console sessions (cookies). Both live in the table `sessions`: they survive
restarts, are valid on every registry process, and can be seen and ended one by one. One does not end another.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import orjson
from asyncpg import Connection

from registry.accounts import make_account_principal
from registry.keyed_hashes import derive_key
from registry.keys import authenticate, make_key_principal, read_bearer, split_bearer
from registry.principals import Order, Principal
from registry.sign_in import Visit
from registry.store.accounts import (
    SessionRow,
    delete_old_sessions,
    fetch_sessions,
    find_session_row,
    insert_session,
    update_ended,
    update_seen,
)
from registry.store.audit import AuditEntry, append_audit
from registry.store.holders import Holder, SessionState, find_cookie_holder, find_token_holder
from schemas.errors import NotFound, Unauthenticated
from schemas.sealing import KeyRing

TOKEN_LIFETIME = timedelta(hours=24)
SESSION_LIFETIME = timedelta(hours=12)
KEPT_AFTER_END = timedelta(days=30)  # who looks at an account's past sessions finds so many
SEEN_STEP = timedelta(minutes=1)
MAX_TOKEN_CHARACTERS = 4_096


async def issue_token(
    conn: Connection, ring: KeyRing, visit: Visit, principal: Principal, how: str = "password"
) -> str:
    """A bearer token for who has just signed in (`registry.sign_in`), valid for 24 hours."""
    row = _make_session(visit, principal, how, TOKEN_LIFETIME)
    await insert_session(conn, row, None)
    claims: dict[str, Any] = {
        "sub": principal.user_name or principal.access_key,
        "uid": principal.account_id,
        "ent": principal.enterprise_id,
        "pfx": list(principal.prefixes),
        "role": sorted(principal.roles or {principal.kind}),
        "jti": row.session_id.hex,
        "iat": int(visit.at.timestamp()),
        "exp": int(row.expires.timestamp()),
    }
    return sign_claims(ring, claims)


async def authenticate_token(conn: Connection, ring: KeyRing, token: str, visit: Visit) -> Principal:
    """Who holds this token, with the rights he has now. One statement, beside one a minute that notes the visit.

    Raises Unauthenticated (`token_wrong`, `token_expired`), or Forbidden where its access key does not work from here.
    """
    claims = read_claims(ring, token)
    try:
        session_id, expires = UUID(hex=claims["jti"]), int(claims["exp"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unauthenticated("token_wrong") from None
    if visit.at.timestamp() >= expires:
        raise Unauthenticated("token_expired")
    found = await find_token_holder(conn, session_id)
    if found is None:
        raise Unauthenticated("token_wrong")
    principal = _open(*found, visit)
    if principal is None:
        raise Unauthenticated("token_expired")
    await _note_seen(conn, found[1], visit.at)
    return principal


async def authenticate_bearer(conn: Connection, ring: KeyRing, header: str | None, visit: Visit) -> Principal:
    """Of a token, or of an access key with its secret, as an Authorization header gives them.

    Raises Unauthenticated, or Forbidden from an address the key does not work from.
    """
    bearer = read_bearer(header)
    if not bearer.isascii() or not bearer.isprintable():
        raise Unauthenticated("key_wrong")
    if is_token(bearer):
        return await authenticate_token(conn, ring, bearer, visit)
    return await authenticate(conn, *split_bearer(header), visit.at, visit.address)


def is_token(text: str) -> bool:
    """Whether a bearer's text has the form of a token; an access key with its secret has one dot."""
    return text.count(".") == 2


async def open_session(conn: Connection, principal: Principal, visit: Visit) -> str:
    """The value of the session cookie of a page, valid for 12 hours; only its sha256 is kept."""
    cookie = secrets.token_urlsafe(32)
    row = _make_session(visit, principal, "console", SESSION_LIFETIME)
    await insert_session(conn, row, _hash_cookie(cookie))
    return cookie


async def find_session(conn: Connection, cookie: str, visit: Visit) -> Principal | None:
    """Who holds this cookie, with the rights he has now; None if it is unknown, has expired or was ended."""
    found = await find_cookie_holder(conn, _hash_cookie(cookie)) if cookie.isascii() else None
    principal = _open(*found, visit) if found else None
    if found is not None and principal is not None:
        await _note_seen(conn, found[1], visit.at)
    return principal


async def list_sessions(conn: Connection, principal: Principal, at: datetime) -> list[SessionRow]:
    """The caller's own open sessions and tokens, newest first."""
    return await fetch_sessions(conn, principal.account_id, principal.access_key or None, at)


async def end_session(conn: Connection, order: Order, session_id: UUID) -> None:
    """One of the caller's own, or anybody's for the operator; raises NotFound."""
    principal = order.principal
    row = await find_session_row(conn, session_id)
    own = row is not None and (
        (row.account_id is not None and row.account_id == principal.account_id)
        or (row.access_key is not None and row.access_key == principal.access_key)
    )
    if row is None or row.ended is not None or not (own or principal.is_operator):
        raise NotFound("session_not_found", field="session_id")
    async with conn.transaction():
        await update_ended(conn, session_id, order.at)
        await append_audit(
            conn, AuditEntry(order.at, principal.actor, order.address, "session_ended", f"session:{session_id.hex}")
        )


async def forget_old_sessions(conn: Connection, at: datetime) -> None:
    """Those that expired a month ago."""
    await delete_old_sessions(conn, at - KEPT_AFTER_END)


def _make_session(visit: Visit, principal: Principal, how: str, lifetime: timedelta) -> SessionRow:
    return SessionRow(
        uuid4(), principal.account_id, principal.access_key or None, how, visit.address[:60], visit.user_agent[:300],
        visit.at, visit.at, visit.at + lifetime, None,
    )  # fmt: skip


def _open(holder: Holder, session: SessionState, visit: Visit) -> Principal | None:
    """None if the session or what it stands for has ended."""
    if session.ended is not None or session.session_expires <= visit.at or holder.is_closed:
        return None
    if holder.access_key is None:
        return make_account_principal(holder, session.session_id)
    return replace(make_key_principal(holder, visit.at, visit.address), session_id=session.session_id)


async def _note_seen(conn: Connection, session: SessionState, at: datetime) -> None:
    if at - session.seen >= SEEN_STEP:
        await update_seen(conn, session.session_id, at)


def _hash_cookie(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogatepass")).digest()


# JSON Web Tokens (RFC 7519) of one kind: HS256, `kid` names the key of the ring. -------------------------------------


def sign_claims(ring: KeyRing, claims: dict[str, Any]) -> str:
    """With the first key of the ring."""
    key_id, key = next(iter(ring.keys.items()))
    header = orjson.dumps({"alg": "HS256", "typ": "JWT", "kid": key_id})
    signed = f"{_encode(header)}.{_encode(orjson.dumps(claims))}"
    return f"{signed}.{_encode(_sign(key, signed))}"


def read_claims(ring: KeyRing, token: str) -> dict[str, Any]:
    """The claims of a token that one of our keys signed; raises Unauthenticated."""
    signed, _, signature = token.rpartition(".")
    header, _, claims = signed.partition(".")
    try:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise ValueError("far too long")
        stated, given = orjson.loads(_decode(header)), _decode(signature)
        key = ring.keys[stated["kid"]]
        if stated["alg"] != "HS256" or not hmac.compare_digest(_sign(key, signed), given):
            raise ValueError("not signed by us")
        read = orjson.loads(_decode(claims))
    except (ValueError, KeyError, TypeError):  # JSONDecodeError and what base64 raises are ValueErrors
        raise Unauthenticated("token_wrong") from None
    if not isinstance(read, dict):
        raise Unauthenticated("token_wrong")
    return read


def _sign(key: bytes, signed: str) -> bytes:
    return hmac.digest(derive_key(key, "token"), signed.encode(), sha256)


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
