"""The native interface `/api/v1`: routes translate between HTTP and the decisions of `registry`, and decide nothing."""
