"""`Idempotency-Key`: the first answer again, byte for byte, stored in the transaction of its effect (design 4)."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import orjson
from asyncpg import Connection

from registry.store.idempotency import find_answer, lock_key, store_answer
from schemas.errors import Conflict, InvalidInput
from schemas.sealing import KeyRing, seal, unseal

MAX_KEY_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What is sent: status, headers and body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """`digest` covers everything that makes two requests the same: path, query, If-Match and body.

    Answers are kept sealed: that of a new access key holds its secret.
    """

    account: str
    route: str
    key: str
    digest: bytes
    key_ring: KeyRing

    async def find_first_answer(self, conn: Connection, now: datetime) -> StoredAnswer | None:
        """The first answer, once whoever works under this key has finished; raises Conflict for another request."""
        await lock_key(conn, self.account, self.route, self.key)
        row = await find_answer(conn, self.account, self.route, self.key, now)
        if row is None:
            return None
        if row["body_sha256"] != self.digest:
            raise Conflict("idempotency_key_reused", field="Idempotency-Key", key=self.key)
        headers, _, body = unseal(self.key_ring, row["answer"], self._context).partition(b"\n")
        return StoredAnswer(row["status"], orjson.loads(headers), body)

    async def store(self, conn: Connection, answer: StoredAnswer, now: datetime) -> None:
        packed = seal(self.key_ring, orjson.dumps(answer.headers) + b"\n" + answer.body, self._context)
        await store_answer(conn, self.account, self.route, self.key, self.digest, answer.status, packed, now)

    @property
    def _context(self) -> str:
        return f"idempotency/{self.account}/{self.route}/{self.key}"


def check_key(key: str) -> str:
    """1 to 255 printable ASCII characters."""
    if not (1 <= len(key) <= MAX_KEY_CHARACTERS and key.isascii() and key.isprintable()):
        raise InvalidInput("idempotency_key_malformed", field="Idempotency-Key")
    return key


def make_digest(*parts: bytes) -> bytes:
    """sha256 over the parts and where each of them ends."""
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
