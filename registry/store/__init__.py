"""SQL of the registry: named functions that take a connection; the caller owns the transaction."""

import asyncpg

# TimeoutError is an OSError; an InternalClientError is what the driver says of a connection cut in mid-air.
DATABASE_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# No statement of ours takes as long. A server that vanished without a word (its machine is off, a firewall forgot the
# connection) answers none, and nothing else would say so.
ANSWER_SECONDS = 300.0
