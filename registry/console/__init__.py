"""The console: pages for people on the registry's port, below `/console`, server-rendered, readable without scripts.

To add pages from another package, make a `Section` (registry/console/sections.py) and hand it to
`create_app(state, more, sections=[…])`:

- `router`: an APIRouter; its handlers take a `Visiting` (GET) or a `Posting` (POST; the form was read and its token
  checked) from registry/console/visits.py, and answer with `visit.page("name.html", …)` or `visit.redirect("/path")`.
- `entries`: what stands in the navigation, for whom (`Entry`).
- `pages`: a Jinja loader with its templates; they extend `layout.html` and import `macros.html`.
- `labels`: its words, key → (Chinese, English); templates say `{{ say("key") }}`.

Errors of ours that a handler raises become pages; `visit.explain(error)` shows them beside the field instead.
"""
