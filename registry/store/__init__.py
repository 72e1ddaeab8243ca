"""SQL of the registry: named functions that take a connection; the caller owns the transaction."""

import asyncpg

# TimeoutError is an OSError; an InternalClientError is what the driver says of a connection cut in mid-air.
DATABASE_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
