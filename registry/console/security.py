"""What keeps other sites, scripts in values and hostile links out of the console."""

import base64
import hashlib
import hmac
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from schemas.errors import Forbidden

SESSION_COOKIE = "idnode_session"
VISITOR_COOKIE = "idnode_visitor"  # stands in for a session on forms before sign-in
LANGUAGE_COOKIE = "idnode_language"
SAFE_METHODS = frozenset({"GET", "HEAD"})

# No script, style or frame but our own files; forms go to us alone; pictures may be what the page itself draws.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
_PATH = re.compile(r"/[A-Za-z0-9_\-.~%/]*(?:\?[A-Za-z0-9_\-.~%&=+]*)?", re.ASCII)


def make_token(cookie: str) -> str:
    """The token of a visitor's forms, derived from a cookie that no script and no other site can read."""
    digest = hmac.digest(cookie.encode(), b"form", hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:24]).decode()


def check_token(cookie: str, given: str) -> None:
    """Raises Forbidden."""
    if not cookie or not hmac.compare_digest(make_token(cookie).encode(), given.encode("utf-8", "replace")):
        raise Forbidden("form_expired")


def check_origin(headers: Headers) -> None:
    """A form of another site is refused before anything of it is read. Raises Forbidden."""
    origin = headers.get("origin")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("form_foreign")
    if origin is not None and _find_netloc(origin) != headers.get("host", "").lower():
        raise Forbidden("form_foreign")


def _find_netloc(origin: str) -> str | None:
    """None for what is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def find_own_path(text: str, default: str) -> str:
    """Where to go after signing in: a path of the console, never an address elsewhere."""
    is_ours = _PATH.fullmatch(text) and text.startswith("/console/") and ".." not in text
    return text if is_ours else default
