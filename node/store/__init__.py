"""SQL of the node as a whole: named functions that take a connection; the caller owns the transaction."""
