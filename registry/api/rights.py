"""Which scope a request of `/api/v1` needs, by its method and path."""

import re

from registry.principals import Scope

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REVIEWS = re.compile(r"/api/v1/(enterprises/[^/]+/(review|approve|refuse|verification)|prefixes/[^/]+/decisions)$")
_TEMPLATES = re.compile(r"/api/v1/prefixes/[^/]+/templates(/|$)")
_EXPORT = re.compile(r"/api/v1/export(/|$)")  # everything an enterprise has, documents of its dossier among it
_STATISTICS = re.compile(r"/api/v1/statistics(/|$)")
_PLANS = re.compile(r"/api/v1/plans(/|$)")  # their figures; loading them is an administrator's
_WRITES = re.compile(r"/api/v1/(identifiers|ranges|jobs|batches|problem-reports)(/|$)")
_QUESTIONS = re.compile(r"/api/v1/identifiers/resolve$")  # asked by POST, for their size
_CERTIFICATES = re.compile(r"/api/v1/certificates(/|$)")  # administrators and reviewers, as they decide themselves
# Anybody may see and end what he has opened, whatever else he may do.
_OWN = re.compile(r"/api/v1/(sessions|me|tokens|accounts/[^/]+/password)(/|$)")


def find_scope(method: str, path: str) -> Scope:
    """`path` as it was sent. What is neither data, templates nor figures is an administrator's: manage."""
    if _STATISTICS.match(path) or (method in _SAFE and _PLANS.match(path)):
        return "statistics"
    if _EXPORT.match(path):
        return "manage"
    if method in _SAFE or _OWN.match(path) or _QUESTIONS.match(path) or _CERTIFICATES.match(path):
        return "read"
    if _REVIEWS.match(path):
        return "review"
    if _TEMPLATES.match(path):
        return "templates"
    return "write" if _WRITES.match(path) else "manage"
