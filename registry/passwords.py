"""Passwords: which ones are good enough, and how they are kept.

What is hashed with argon2id is sha256hex(password), since the published interface knows ways of handing over a
password that end in these 64 characters (domain.md §d.2, I2 and I3).
"""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from schemas.errors import InvalidInput, Unavailable

Result = TypeVar("Result")

MIN_CHARACTERS = 10
TELLING_CHARACTERS = 4  # a shorter name stands in many a random password, and gives nothing away
MAX_CHARACTERS = 128
WAITING_LIMIT = 16  # half a second of work; who comes then is told to come again

# OWASP's second choice of 2024: 19 MiB, two passes. About 25 ms of one core.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# What is compared when there is no such account, so that the answer takes as long: of no password, random bytes where
# salt and hash stand. Making a hash would hold up every process that starts.
_SALT, _HASH = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
_NOBODY = f"$argon2id$v=19$m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}${_SALT}${_HASH}"

# The commonest of published lists that are long enough for our rule, and what this field's people would take.
_COMMONEST = """
    1234567890 0123456789 0987654321 9876543210 1234567891 12345678910 123456789a a123456789 a1234567890
    aa123456789 1111111111 0000000000 8888888888 6666666666 1122334455 1234554321 1q2w3e4r5t 1qaz2wsx3edc
    q1w2e3r4t5 qwertyuiop qwerty12345 qwerty123456 qwer123456 asdfghjkl1 zxcvbnm123 password12 password123
    password1234 passw0rd123 p@ssw0rd123 p@ssword123 admin12345 admin123456 administrator woaini1314 woaini520
    5201314520 abc1234567 abcd123456 abcdefghij abcde12345 iloveyou12 iloveyou123 letmein123 welcome123
    changeme123 test123456 root123456 idnode1234 idnode12345 idnode123456
"""


def check_password(password: str, user_name: str) -> None:
    """Raises InvalidInput, which never holds the password."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS or not password.isprintable():
        raise InvalidInput("password_length", field="password", minimum=MIN_CHARACTERS, limit=MAX_CHARACTERS)
    folded, name = password.casefold(), user_name.casefold()
    if name and (folded in name or (len(name) >= TELLING_CHARACTERS and name in folded)):
        raise InvalidInput("password_is_name", field="password")
    if folded in _COMMONEST.split() or len(set(folded)) < 4:
        raise InvalidInput("password_too_common", field="password")


def make_password() -> str:
    """20 characters that can be read aloud: about 96 random bits, none of 0, O, 1, l, I."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))


def digest_password(password: str) -> str:
    """sha256hex, of whatever characters came."""
    return sha256(password.encode("utf-8", "surrogatepass")).hexdigest()


class _Workers:
    """Two threads, so that a flood of sign-ins takes neither all memory nor all cores of a process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, "argon2")
        self._waiting = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= WAITING_LIMIT:
            raise Unavailable("sign_in_busy")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


_workers = _Workers()


async def hash_digest(digest: str) -> str:
    """The argon2id hash of what `digest_password` gave, made in a thread."""
    return await _workers.run(lambda: _HASHER.hash(digest))


async def fits_digest(password_hash: str | None, digest: str) -> bool:
    """Whether the digest is the right one; as long and as slow for nobody (None). Unavailable under a flood."""
    return await _workers.run(lambda: _verify(password_hash or _NOBODY, digest)) and password_hash is not None


def _verify(password_hash: str, digest: str) -> bool:
    try:
        return _HASHER.verify(password_hash, digest)
    except (Argon2Error, InvalidHashError):
        return False
