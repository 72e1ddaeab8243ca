"""SQL of accounts, roles, sessions and failed sign-ins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account without its secrets; `disabled` None: it may sign in."""

    account_id: int
    user_name: str
    roles: list[str]
    enterprise_id: int | None
    enterprise_name: str
    organisation: str
    division_code: str
    unit_id: int | None
    personal: bytes | None
    created: datetime
    password_changed: datetime
    disabled: datetime | None
    has_hashed_signin: bool
    has_totp: bool


@dataclass(frozen=True, slots=True)
class NewAccountRow:
    """What `insert_account` stores; hashes and sealed texts are made already."""

    user_name: str
    user_name_key: str
    password_hash: str
    hashed_signin: bytes | None
    enterprise_id: int | None
    organisation: str
    division_code: str
    unit_id: int | None
    personal: bytes | None
    email_hash: bytes | None
    mobile_hash: bytes | None
    at: datetime


@dataclass(frozen=True, slots=True)
class AccountSecrets:
    """What a sign-in is checked against."""

    account_id: int
    user_name: str
    password_hash: str
    hashed_signin: bytes | None
    totp_secret: bytes | None


_ACCOUNT = (
    "SELECT a.account_id, a.user_name, a.enterprise_id, coalesce(e.name, '') AS enterprise_name, a.organisation,"
    " a.division_code, a.unit_id, a.personal, a.created, a.password_changed, a.disabled,"
    " a.hashed_signin IS NOT NULL AS has_hashed_signin, a.totp_secret IS NOT NULL AS has_totp,"
    " array(SELECT role FROM account_roles r WHERE r.account_id = a.account_id ORDER BY role) AS roles"
    " FROM accounts a LEFT JOIN enterprises e USING (enterprise_id)"
)


async def insert_account(conn: Connection, row: NewAccountRow, roles: Sequence[str]) -> int | None:
    """Its number, or None if name, e-mail or mobile belongs to another account."""
    account_id: int | None = await conn.fetchval(
        "INSERT INTO accounts (user_name, user_name_key, password_hash, hashed_signin, enterprise_id, organisation,"
        " division_code, unit_id, personal, email_hash, mobile_hash, created, changed, password_changed)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $12)"
        " ON CONFLICT DO NOTHING RETURNING account_id",
        row.user_name, row.user_name_key, row.password_hash, row.hashed_signin, row.enterprise_id, row.organisation,
        row.division_code, row.unit_id, row.personal, row.email_hash, row.mobile_hash, row.at,
    )  # fmt: skip
    if account_id is not None:
        await conn.execute(
            "INSERT INTO account_roles (account_id, role) SELECT $1, unnest($2::text[])", account_id, list(roles)
        )
    return account_id


async def find_taken(conn: Connection, user_name_key: str, email: bytes | None, mobile: bytes | None) -> str | None:
    """Which of `user_name`, `email`, `mobile` belongs to an account, if any."""
    field: str | None = await conn.fetchval(
        "SELECT CASE WHEN user_name_key = $1 THEN 'user_name' WHEN email_hash = $2 THEN 'email' ELSE 'mobile' END"
        " FROM accounts WHERE user_name_key = $1 OR email_hash = $2 OR mobile_hash = $3 LIMIT 1",
        user_name_key, email, mobile,
    )  # fmt: skip
    return field


async def find_account(conn: Connection, user_name_key: str, *, for_update: bool = False) -> AccountRow | None:
    lock = " FOR UPDATE OF a" if for_update else ""
    row = await conn.fetchrow(f"{_ACCOUNT} WHERE a.user_name_key = $1{lock}", user_name_key)
    return AccountRow(**row) if row else None


async def fetch_accounts(conn: Connection, enterprise_id: int | None = None) -> list[AccountRow]:
    """All accounts, or those of one enterprise, oldest first."""
    rows = await conn.fetch(
        f"{_ACCOUNT} WHERE $1::int4 IS NULL OR a.enterprise_id = $1 ORDER BY a.account_id", enterprise_id
    )
    return [AccountRow(**row) for row in rows]


async def has_account(conn: Connection) -> bool:
    found: bool = await conn.fetchval("SELECT EXISTS (SELECT FROM accounts)")
    return found


async def find_secrets(conn: Connection, user_name_key: str) -> AccountSecrets | None:
    row = await conn.fetchrow(
        "SELECT account_id, user_name, password_hash, hashed_signin, totp_secret FROM accounts"
        " WHERE user_name_key = $1",
        user_name_key,
    )
    return AccountSecrets(**row) if row else None


async def update_password(
    conn: Connection, account_id: int, password_hash: str, hashed_signin: bytes | None, at: datetime
) -> None:
    await conn.execute(
        "UPDATE accounts SET password_hash = $2, hashed_signin = $3, password_changed = $4, changed = $4"
        " WHERE account_id = $1",
        account_id, password_hash, hashed_signin, at,
    )  # fmt: skip


async def update_totp(conn: Connection, account_id: int, sealed: bytes | None, at: datetime) -> None:
    await conn.execute(
        "UPDATE accounts SET totp_secret = $2, totp_counter = 0, changed = $3 WHERE account_id = $1",
        account_id, sealed, at,
    )  # fmt: skip


async def take_totp_step(conn: Connection, account_id: int, step: int) -> bool:
    """Whether the step was free: each opens once."""
    taken: bool | None = await conn.fetchval(
        "UPDATE accounts SET totp_counter = $2 WHERE account_id = $1 AND totp_counter < $2 RETURNING true",
        account_id, step,
    )  # fmt: skip
    return taken is not None


async def update_disabled(conn: Connection, account_id: int, disabled: datetime | None, at: datetime) -> None:
    await conn.execute(
        "UPDATE accounts SET disabled = $2, changed = $3 WHERE account_id = $1", account_id, disabled, at
    )


async def update_enterprise(conn: Connection, account_id: int, enterprise_id: int, role: str, at: datetime) -> None:
    """Give an account to an enterprise, with a role there."""
    await conn.execute(
        "UPDATE accounts SET enterprise_id = $2, changed = $3 WHERE account_id = $1", account_id, enterprise_id, at
    )
    await conn.execute(
        "INSERT INTO account_roles (account_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING", account_id, role
    )


# Sessions -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A bearer token or a console session; exactly one of `account_id` and `access_key` is set."""

    session_id: UUID
    account_id: int | None
    access_key: str | None
    how: str
    address: str
    user_agent: str
    created: datetime
    seen: datetime
    expires: datetime
    ended: datetime | None


_SESSION = (
    "SELECT session_id, account_id, access_key, how, address, user_agent, created, seen, expires, ended FROM sessions"
)


async def insert_session(conn: Connection, row: SessionRow, cookie_hash: bytes | None) -> None:
    await conn.execute(
        "INSERT INTO sessions (session_id, cookie_hash, account_id, access_key, how, address, user_agent, created,"
        " seen, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        row.session_id, cookie_hash, row.account_id, row.access_key, row.how, row.address, row.user_agent,
        row.created, row.seen, row.expires,
    )  # fmt: skip


async def find_session_row(conn: Connection, session_id: UUID) -> SessionRow | None:
    row = await conn.fetchrow(f"{_SESSION} WHERE session_id = $1", session_id)
    return SessionRow(**row) if row else None


async def fetch_sessions(
    conn: Connection, account_id: int | None, access_key: str | None, at: datetime
) -> list[SessionRow]:
    """Those that are open, of an account or of a key, newest first."""
    rows = await conn.fetch(
        f"{_SESSION} WHERE (account_id = $1 OR access_key = $2) AND ended IS NULL AND expires > $3"
        " ORDER BY created DESC, session_id LIMIT 1000",
        account_id, access_key, at,
    )  # fmt: skip
    return [SessionRow(**row) for row in rows]


async def update_seen(conn: Connection, session_id: UUID, at: datetime) -> None:
    await conn.execute("UPDATE sessions SET seen = $2 WHERE session_id = $1", session_id, at)


async def update_ended(conn: Connection, session_id: UUID, at: datetime) -> None:
    await conn.execute("UPDATE sessions SET ended = $2 WHERE session_id = $1 AND ended IS NULL", session_id, at)


async def end_all_of(conn: Connection, account_id: int, at: datetime, but: UUID | None = None) -> None:
    await conn.execute(
        "UPDATE sessions SET ended = $2 WHERE account_id = $1 AND ended IS NULL AND session_id IS DISTINCT FROM $3",
        account_id, at, but,
    )  # fmt: skip


async def delete_old_sessions(conn: Connection, before: datetime) -> None:
    """Those that expired before."""
    await conn.execute("DELETE FROM sessions WHERE expires < $1", before)


# Wrong passwords ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failures:
    failures: int
    last_at: datetime
    last_wrong: bytes


async def find_failures(conn: Connection, user_name_key: str, address: str) -> Failures | None:
    row = await conn.fetchrow(
        "SELECT failures, last_at, last_wrong FROM sign_in_failures WHERE user_name_key = $1 AND address = $2",
        user_name_key, address,
    )  # fmt: skip
    return Failures(**row) if row else None


async def add_failure(conn: Connection, user_name_key: str, address: str, wrong: bytes, at: datetime) -> bool:
    """One more; the same wrong password again adds nothing. Whether it was another guess."""
    last_at: datetime = await conn.fetchval(
        "INSERT INTO sign_in_failures AS f (user_name_key, address, failures, last_at, last_wrong)"
        " VALUES ($1, $2, 1, $4, $3) ON CONFLICT (user_name_key, address) DO UPDATE SET"
        " failures = f.failures + (f.last_wrong <> $3)::int, last_wrong = $3,"
        " last_at = CASE WHEN f.last_wrong = $3 THEN f.last_at ELSE $4 END RETURNING last_at",
        user_name_key, address, wrong, at,
    )  # fmt: skip
    return last_at == at


async def count_failing_names(conn: Connection, address: str, since: datetime) -> int:
    """How many names were tried with wrong passwords from an address."""
    number: int = await conn.fetchval(
        "SELECT count(*) FROM sign_in_failures WHERE last_at > $2 AND address = $1", address, since
    )
    return number


async def delete_failures(conn: Connection, user_name_key: str, address: str | None = None) -> None:
    """After a right password: of this address; after a new password: of all."""
    await conn.execute(
        "DELETE FROM sign_in_failures WHERE user_name_key = $1 AND ($2::text IS NULL OR address = $2)",
        user_name_key, address,
    )  # fmt: skip


async def delete_old_failures(conn: Connection, before: datetime) -> None:
    await conn.execute("DELETE FROM sign_in_failures WHERE last_at < $1", before)
