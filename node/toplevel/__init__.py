"""A rehearsal top-level node: receives TLN-1 (domain.md §f.5), checks every rule of it, and shows what it got.

It is a witness and a conformance kit: it shares nothing with the node that reports but the published rules, and keeps
a directory, a database (SQLite, so that it depends on no server of that node) and keys of its own.
"""
