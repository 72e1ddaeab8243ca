"""The id of one request: given by the client or by us, echoed in the answer, written into every line of the log."""

import re
import secrets
from contextvars import ContextVar

HEADER = b"x-request-id"
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


def choose_request_id(given: str) -> str:
    """The client's own if it can stand in a header and a log line, else a new one."""
    return given if _SANE.fullmatch(given) else secrets.token_hex(8)
