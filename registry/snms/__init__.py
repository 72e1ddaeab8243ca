"""SNMS OpenAPI v3 and v5 on the registry's port: an edge over the registry's own decisions (domain.md §d)."""
