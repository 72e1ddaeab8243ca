"""SQL of the registry: named functions that take a connection; the caller owns the transaction."""

import asyncpg
from asyncpg import Connection

# TimeoutError is an OSError; an InternalClientError is what the driver says of a connection cut in mid-air.
DATABASE_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# Classes of SQLSTATE (PostgreSQL manual, appendix A): connection lost, read only, deadlocks, no room, locks, shut down
# or taking too long, failed disks.
_PASSING = ("08", "25", "40", "53", "55", "57", "58")
# No statement of ours takes as long. A server that vanished without a word (its machine is off, a firewall forgot the
# connection) answers none, and nothing else would say so.
ANSWER_SECONDS = 300.0


def is_passing(error: BaseException) -> bool:
    """Whether it is trouble of the database that ends by itself or by its keepers: no fault of what was asked."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _PASSING
    return isinstance(error, TimeoutError | ConnectionError | asyncpg.InterfaceError | asyncpg.InternalClientError)


async def takes_writes(conn: Connection) -> bool:
    """False for a standby, and for a server that was made read-only."""
    setting: str = await conn.fetchval("SELECT current_setting('transaction_read_only')")
    return setting != "on"
