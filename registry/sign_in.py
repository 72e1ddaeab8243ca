"""Signing in with a password: plain, or hashed with the day as the published interface has it (domain.md §d.2).

Wrong passwords are counted per name and address: who guesses waits ever longer, and everybody else behind the same
address does not. The same wrong password again is no further guess, so a client with an old one locks nobody out.
Wrong codes of the second factor are counted per name alone: who guesses them knows the password already.
"""

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address, ip_address, ip_network
from weakref import WeakValueDictionary

from asyncpg import Connection

from registry import accounts, keys
from registry.accounts import MAX_NAME_CHARACTERS, fold_user_name, make_account_principal
from registry.keyed_hashes import hash_keyed
from registry.keys import is_access_key, make_key_principal
from registry.passwords import digest_password, fits_digest
from registry.principals import Principal
from registry.store.accounts import (
    AccountSecrets,
    add_failure,
    count_failing_names,
    delete_failures,
    delete_old_failures,
    find_failures,
    find_secrets,
    take_totp_step,
)
from registry.store.audit import AuditEntry, append_audit
from registry.store.holders import Holder, find_account_holder, find_key_holder
from registry.totp import find_step
from schemas.days import ZONE
from schemas.errors import ServiceError, SlowDown, Unauthenticated
from schemas.identifiers import shorten
from schemas.sealing import KeyRing, SealBroken, unseal

MAX_PASSWORD_CHARACTERS = 128
FREE_FAILURES = 3  # who mistypes twice waits for nothing
MAX_WAIT_SECONDS = 900
FORGET_AFTER = timedelta(days=1)
_ANYWHERE = ""  # stands for every address
MAX_NOTED_NAMES = 20  # from one address within a minute; the next one stands for all others

_turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

Connect = Callable[[], AbstractAsyncContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Visit:
    """Where somebody comes from, and when. `address` is the client's, behind trusted proxies too."""

    at: datetime
    address: str
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A name (or an access key) and a password (or its secret)."""

    user_name: str
    password: str
    code: str = ""  # of the second factor


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found under a name: an account or an access key."""

    account: AccountSecrets | None = None
    key: Holder | None = None


@dataclass(frozen=True, slots=True)
class _Guess:
    user_name_key: str
    address: str
    ring: KeyRing
    attempt: Attempt

    @property
    def wrong(self) -> bytes:
        return hash_keyed(self.ring, "wrong password", f"{self.attempt.code}|{self.attempt.password}")

    def take_turn(self) -> asyncio.Lock:
        """One after the other: many guesses at once would all be made before the first is counted."""
        return _turns.setdefault((self.user_name_key, self.address), asyncio.Lock())


Fits = Callable[[_Known], Awaitable[bool]]


async def sign_in(connect: Connect, ring: KeyRing, visit: Visit, attempt: Attempt) -> Principal:
    """Who this is; raises Unauthenticated, SlowDown (`seconds`), Forbidden or Unavailable.

    Codes of Unauthenticated: `sign_in_wrong`; `second_factor_missing` and `second_factor_wrong` where the password was
    right. `connect` gives connections outside of any transaction (`RegistryState.connect`): failures are written even
    though the caller gets an error, and none is held while a password is hashed.
    """

    async def fits(known: _Known) -> bool:
        if is_access_key(attempt.user_name):
            return keys.fits_secret(known.key, attempt.password)
        account = known.account
        return await fits_digest(account.password_hash if account else None, digest_password(attempt.password))

    return await _sign_in(connect, ring, visit, attempt, fits)


async def sign_in_hashed(connect: Connect, ring: KeyRing, visit: Visit, attempt: Attempt) -> Principal:
    """As `sign_in` with sha256hex(sha256hex(password) + yyyy-MM-dd) of the day at UTC+8 as the password.

    Today's is taken and that of the nearer neighbouring day, for clocks that are wrong or of another zone. Only
    access keys made with a key ring and accounts that may do it can sign in like this.
    """
    given = attempt.password.lower()

    async def fits(known: _Known) -> bool:
        digest = _open_digest(ring, attempt.user_name, known)
        expected = [hash_for_day(digest or "", day) for day in list_days(visit.at)]
        found = [hmac.compare_digest(given.encode("utf-8", "surrogatepass"), hashed.encode()) for hashed in expected]
        return any(found) and digest is not None

    return await _sign_in(connect, ring, visit, attempt, fits, "hashed")


def hash_for_day(digest: str, day: str) -> str:
    """What a client sends that knows `digest`, the sha256hex of its password."""
    return sha256(f"{digest}{day}".encode()).hexdigest()


def list_days(at: datetime) -> list[str]:
    """Today at UTC+8, and yesterday before noon or tomorrow after it."""
    local = at.astimezone(ZONE)
    neighbour = local + timedelta(days=-1 if local.hour < 12 else 1)
    return [f"{day:%Y-%m-%d}" for day in (local, neighbour)]


def _open_digest(ring: KeyRing, user_name: str, known: _Known) -> str | None:
    """sha256hex of the password, if it is kept."""
    if known.key is not None:
        sealed, context = known.key.hashed_signin, keys.format_signin_context(user_name)
    elif known.account is not None:
        sealed, context = known.account.hashed_signin, accounts.format_signin_context(fold_user_name(user_name))
    else:
        return None
    try:
        return unseal(ring, sealed, context).decode() if sealed is not None else None
    except SealBroken:
        return None


async def _sign_in(
    connect: Connect, ring: KeyRing, visit: Visit, attempt: Attempt, fits: Fits, how: str = "password"
) -> Principal:
    if not _can_be_known(attempt):
        raise Unauthenticated("sign_in_wrong")
    guess = _Guess(fold_user_name(attempt.user_name), group_address(visit.address), ring, attempt)
    async with guess.take_turn():
        return await _judge(connect, visit, guess, fits, how)


async def _judge(connect: Connect, visit: Visit, guess: _Guess, fits: Fits, how: str) -> Principal:
    async with connect() as conn:
        await _check_pace(conn, visit, guess)
        known = await _find_known(conn, guess.attempt.user_name)
    is_right = await fits(known)
    async with connect() as conn:
        try:
            if not is_right:
                raise Unauthenticated("sign_in_wrong")
            principal = await _make_principal(conn, known, visit)
            if known.account is not None and known.account.totp_secret is not None:
                await _check_code(conn, visit, guess, known.account)
        except ServiceError as error:
            await _note_failure(conn, visit, guess, error)
            raise
        await delete_failures(conn, guess.user_name_key, guess.address)
        await append_audit(conn, AuditEntry(visit.at, principal.actor, visit.address, "sign_in", how))
    return principal


def _can_be_known(attempt: Attempt) -> bool:
    """Whether the database can be asked for such a name, and a password of that length was ever taken."""
    name = attempt.user_name
    return (
        0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable() and len(attempt.password) <= MAX_PASSWORD_CHARACTERS
    )


async def _find_known(conn: Connection, user_name: str) -> _Known:
    if is_access_key(user_name):
        return _Known(key=await find_key_holder(conn, user_name))
    return _Known(account=await find_secrets(conn, fold_user_name(user_name)))


async def _make_principal(conn: Connection, known: _Known, visit: Visit) -> Principal:
    """Of someone whose password was right; raises Unauthenticated if he may not sign in any more."""
    if known.key is not None:
        return make_key_principal(known.key, visit.at, visit.address)
    holder = await find_account_holder(conn, known.account.account_id) if known.account else None
    if holder is None or holder.is_closed:
        raise Unauthenticated("sign_in_wrong")  # who holds a disabled account learns nothing more
    return make_account_principal(holder)


async def _check_code(conn: Connection, visit: Visit, guess: _Guess, account: AccountSecrets) -> None:
    """Of the second factor; raises Unauthenticated (`second_factor_missing`, `second_factor_wrong`) or SlowDown."""
    if not guess.attempt.code:
        raise Unauthenticated("second_factor_missing", field="code")
    anywhere = replace(guess, address=_ANYWHERE)
    async with anywhere.take_turn():
        await _check_pace(conn, visit, anywhere)
        if not await _take_code(conn, visit, guess, account):
            await add_failure(conn, guess.user_name_key, _ANYWHERE, guess.wrong, visit.at)
            raise Unauthenticated("second_factor_wrong", field="code")
        await delete_failures(conn, guess.user_name_key, _ANYWHERE)


async def _take_code(conn: Connection, visit: Visit, guess: _Guess, account: AccountSecrets) -> bool:
    """Whether it is right and was not used before."""
    context = accounts.format_totp_context(guess.user_name_key)
    try:
        step = find_step(unseal(guess.ring, account.totp_secret or b"", context), guess.attempt.code, visit.at)
    except SealBroken:
        return False
    return step is not None and await take_totp_step(conn, account.account_id, step)


# Who guesses, waits -------------------------------------------------------------------------------------------------


async def _check_pace(conn: Connection, visit: Visit, guess: _Guess) -> None:
    """Raises SlowDown while it is too early for another guess."""
    known = await find_failures(conn, guess.user_name_key, guess.address)
    if known is None or visit.at - known.last_at >= FORGET_AFTER:
        return
    due = known.last_at + timedelta(seconds=compute_wait_seconds(known.failures))
    if visit.at < due:
        raise SlowDown("sign_in_slow_down", seconds=math.ceil((due - visit.at).total_seconds()))


def compute_wait_seconds(failures: int) -> int:
    """After so many different wrong passwords: nothing for the first three, then 1, 2, 4 … up to 15 minutes."""
    beyond = failures - FREE_FAILURES
    return 0 if beyond < 0 else min(2 ** min(beyond, 20), MAX_WAIT_SECONDS)


async def _note_failure(conn: Connection, visit: Visit, guess: _Guess, error: ServiceError) -> None:
    await delete_old_failures(conn, visit.at - FORGET_AFTER)
    if error.code in ("second_factor_missing", "sign_in_slow_down"):
        return  # the password was right, and the page asks for the code now
    subject = f"account:{shorten(guess.user_name_key, 60)}"
    if isinstance(error, Unauthenticated):
        is_guess = await add_failure(conn, guess.user_name_key, guess.address, guess.wrong, visit.at)
        names = await count_failing_names(conn, guess.address, visit.at - timedelta(minutes=1))
        if not is_guess or names > MAX_NOTED_NAMES + 1:
            return  # a flood of one password or of names is a few lines of the audit trail
        if names > MAX_NOTED_NAMES:
            subject = "account:others"
    await append_audit(conn, AuditEntry(visit.at, "anonymous", visit.address, "sign_in", subject, error.code))


def group_address(address: str) -> str:
    """What one caller can choose freely is one address: the /64 of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:60]
    if isinstance(parsed, IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed) >> 64 << 64, 64)))
