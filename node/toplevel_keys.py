"""The keys that sign reports: made when first needed, sealed in the database, one active at a time."""

from dataclasses import dataclass
from datetime import datetime

from asyncpg import Connection

from schemas.errors import SetupError
from schemas.sealing import KeyRing, SealBroken, seal, unseal
from schemas.signatures import Algorithm, format_key_id, format_public_key, make_private_key
from schemas.toplevel_envelope import Signer


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What the top-level node must know."""

    key_id: str
    algorithm: Algorithm
    public_key: str
    state: str


def _context(key_id: str) -> str:
    return f"toplevel/{key_id}"


async def get_signer(conn: Connection, ring: KeyRing, app: str, algorithm: Algorithm, now: datetime) -> Signer:
    """Who signs; a first key is made if there is none. Raises SetupError if the active one cannot be opened."""
    key_id = await find_active_id(conn)
    if key_id is None:
        key_id = await make_key(conn, ring, algorithm, now)
        await activate(conn, key_id, now)
    return await open_key(conn, ring, app, key_id)


async def open_key(conn: Connection, ring: KeyRing, app: str, key_id: str) -> Signer:
    """Who signs with that key, in whatever state; raises SetupError if it cannot be opened."""
    row = await conn.fetchrow("SELECT algorithm, sealed FROM toplevel_keys WHERE key_id = $1", key_id)
    try:
        if row is None:
            raise SealBroken
        private_key = unseal(ring, row["sealed"], _context(key_id)).decode()
    except SealBroken as error:
        raise SetupError("toplevel_key_broken", key=key_id) from error
    return Signer(app, key_id, row["algorithm"], private_key)


async def find_active_id(conn: Connection) -> str | None:
    key_id: str | None = await conn.fetchval("SELECT key_id FROM toplevel_keys WHERE state = 'active'")
    return key_id


async def find_signing_since(conn: Connection) -> datetime | None:
    """Since when the active key signs."""
    since: datetime | None = await conn.fetchval("SELECT changed FROM toplevel_keys WHERE state = 'active'")
    return since


async def make_key(conn: Connection, ring: KeyRing, algorithm: Algorithm, now: datetime) -> str:
    """A new key that signs nothing yet; its id."""
    private_key = make_private_key(algorithm)
    public_key = format_public_key(algorithm, private_key)
    key_id = format_key_id(public_key)
    await conn.execute(
        "INSERT INTO toplevel_keys (key_id, algorithm, public_key, sealed, state, created, changed)"
        " VALUES ($1, $2, $3, $4, 'new', $5, $5)",
        key_id,
        algorithm,
        public_key,
        seal(ring, private_key.encode(), _context(key_id)),
        now,
    )
    return key_id


async def activate(conn: Connection, key_id: str, now: datetime) -> None:
    """From now on this one signs; the one before is retired."""
    async with conn.transaction():
        await conn.execute("LOCK TABLE toplevel_keys IN SHARE ROW EXCLUSIVE MODE")
        await conn.execute(
            "UPDATE toplevel_keys SET state = 'retired', changed = $2 WHERE state = 'active' AND key_id <> $1",
            key_id,
            now,
        )
        await conn.execute("UPDATE toplevel_keys SET state = 'active', changed = $2 WHERE key_id = $1", key_id, now)


async def fetch_public_keys(conn: Connection) -> list[PublicKey]:
    """Newest first."""
    rows = await conn.fetch("SELECT key_id, algorithm, public_key, state FROM toplevel_keys ORDER BY created DESC")
    return [PublicKey(*row) for row in rows]


async def find_new_key(conn: Connection) -> PublicKey | None:
    """A key that was made and waits to be signed over."""
    row = await conn.fetchrow(
        "SELECT key_id, algorithm, public_key, state FROM toplevel_keys WHERE state = 'new' ORDER BY created LIMIT 1"
    )
    return None if row is None else PublicKey(*row)
