"""SQL of who holds an access key, an account or a session: one statement a request."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Connection, Record

# $1 is what is looked for. `secret_hash` and `hashed_signin` are the key's.
_COLUMNS = (
    "SELECT a.account_id, a.user_name, coalesce(a.enterprise_id, k.enterprise_id) AS enterprise_id, k.access_key,"
    " k.secret_hash, k.hashed_signin, k.scopes, coalesce(k.networks, '{}') AS networks, k.expires,"
    " coalesce(a.organisation, k.organisation) AS organisation, coalesce(a.division_code, '') AS division_code,"
    " a.unit_id, coalesce(a.disabled, k.revoked) IS NOT NULL AS is_closed,"
    " array(SELECT role FROM account_roles r WHERE r.account_id = a.account_id) AS roles,"
    " coalesce(o.prefixes, '{}') AS prefixes, coalesce(o.prefix_ids, '{}') AS prefix_ids,"
    " array(SELECT p.prefix FROM grants g JOIN prefixes p USING (prefix_id) WHERE g.revoked IS NULL"
    " AND g.organisation = coalesce(nullif(a.organisation, ''), nullif(k.organisation, ''), c.certificate_code))"
    " AS partner_of"
)
# Only an approved enterprise (states 3 and 7) has proved that the social credit code is its own.
_OWNED = (
    " LEFT JOIN enterprises c ON c.enterprise_id = coalesce(a.enterprise_id, k.enterprise_id)"
    " AND c.state IN (3, 7) AND c.certificate_type = 1"
    " LEFT JOIN LATERAL (SELECT array_agg(p.prefix ORDER BY p.prefix_id) AS prefixes,"
    " array_agg(p.prefix_id ORDER BY p.prefix_id) AS prefix_ids FROM ("
    " SELECT prefix_id FROM prefix_owners WHERE enterprise_id = coalesce(a.enterprise_id, k.enterprise_id)"
    " AND to_day IS NULL UNION ALL SELECT prefix_id FROM prefixes"
    " WHERE sandbox_of = coalesce(a.enterprise_id, k.enterprise_id)) w JOIN prefixes p USING (prefix_id)) o ON true"
)
_OF_KEY = f"{_COLUMNS} FROM access_keys k LEFT JOIN accounts a ON false{_OWNED} WHERE k.access_key = $1"
_OF_ACCOUNT = f"{_COLUMNS} FROM accounts a LEFT JOIN access_keys k ON false{_OWNED} WHERE a."
_OF_SESSION = (
    f"{_COLUMNS}, s.session_id, s.seen, s.expires AS session_expires, s.ended FROM sessions s"
    " LEFT JOIN accounts a ON a.account_id = s.account_id LEFT JOIN access_keys k ON k.access_key = s.access_key"
    f"{_OWNED} WHERE "
)


@dataclass(frozen=True, slots=True)
class Holder:
    """Everything a Principal is made of: either `account_id` or `access_key` is set; `is_closed`: disabled, revoked."""

    account_id: int | None
    user_name: str | None
    enterprise_id: int | None
    access_key: str | None
    secret_hash: bytes | None
    hashed_signin: bytes | None
    scopes: list[str] | None
    networks: list[str]
    expires: datetime | None
    organisation: str
    division_code: str
    unit_id: int | None
    is_closed: bool
    roles: list[str]
    prefixes: list[str]
    prefix_ids: list[int]
    partner_of: list[str]


@dataclass(frozen=True, slots=True)
class SessionState:
    session_id: UUID
    seen: datetime
    session_expires: datetime
    ended: datetime | None


async def find_key_holder(conn: Connection, access_key: str) -> Holder | None:
    row = await conn.fetchrow(_OF_KEY, access_key)
    return Holder(**row) if row else None


async def find_account_holder(conn: Connection, account_id: int) -> Holder | None:
    row = await conn.fetchrow(f"{_OF_ACCOUNT}account_id = $1", account_id)
    return Holder(**row) if row else None


async def find_name_holder(conn: Connection, user_name_key: str) -> Holder | None:
    """Of an account by its folded name."""
    row = await conn.fetchrow(f"{_OF_ACCOUNT}user_name_key = $1", user_name_key)
    return Holder(**row) if row else None


async def find_token_holder(conn: Connection, session_id: UUID) -> tuple[Holder, SessionState] | None:
    """Of a bearer token; a number that belongs to a cookie opens nothing."""
    return _split(await conn.fetchrow(f"{_OF_SESSION} s.session_id = $1 AND s.cookie_hash IS NULL", session_id))


async def find_cookie_holder(conn: Connection, cookie_hash: bytes) -> tuple[Holder, SessionState] | None:
    return _split(await conn.fetchrow(f"{_OF_SESSION} s.cookie_hash = $1", cookie_hash))


_STATE = ("session_id", "seen", "session_expires", "ended")


def _split(row: Record | None) -> tuple[Holder, SessionState] | None:
    if row is None:
        return None
    values = dict(row)
    state = SessionState(**{name: values.pop(name) for name in _STATE})
    return Holder(**values), state
