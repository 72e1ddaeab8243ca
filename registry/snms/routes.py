"""Every call of the interface, by method and path; one line for each module that has some."""

from registry.snms import batches, detail, enterprises, files, identifiers, identity, prefixes, templates
from registry.snms.edge import Route, Routes, merge_routes

_MODULES: tuple[Routes, ...] = (
    identity.ROUTES, templates.ROUTES, detail.ROUTES, identifiers.ROUTES, batches.ROUTES, enterprises.ROUTES,
    files.ROUTES, prefixes.ROUTES,
)  # fmt: skip

# Older path → path (§d.9).
ALIASES = {
    "/api/identityv2/query/data": "/identityv2/data/detail",
    "/snms/api/template/v1": "/snms/api/v3/template",
    "/snms/api/ent/apply": "/snms/api/v3/ent/apply",
}


def make_routes(aliases: bool) -> dict[tuple[str, str], Route]:
    """All calls; with `aliases` under their older paths, too."""
    routes = merge_routes(_MODULES)
    if aliases:
        older = {new: old for old, new in ALIASES.items()}
        routes |= {(method, older[path]): route for (method, path), route in routes.items() if path in older}
    return routes
