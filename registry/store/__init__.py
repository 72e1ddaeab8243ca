"""SQL of the registry: named functions that take a connection; the caller owns the transaction."""
