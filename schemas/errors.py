"""What can go wrong, as types. Edges translate them: HTTP statuses, Handle response codes, exit statuses.

Every error carries a `code`, the key of its texts in `schemas.texts`, and the details that fill them.
"""

from collections.abc import Callable


class ServiceError(Exception):
    """Base of everything we raise on purpose; `field` names the input at fault, as the caller spelled it."""

    def __init__(self, code: str, *, field: str | None = None, **details: object) -> None:
        super().__init__(code, field, details)
        self.code = code
        self.field = field
        self.details = details

    def __str__(self) -> str:
        from schemas.texts import format_message  # the texts import nothing of errors; this keeps it one-way

        return format_message(self.code, "en", field=self.field or "", **self.details)


class InvalidInput(ServiceError):
    """The request can never succeed as it stands."""


class Unauthenticated(ServiceError):
    """No credentials, or wrong ones."""


class Forbidden(ServiceError):
    """Known caller, no right to this."""


class NotFound(ServiceError):
    """There is no such thing, or none the caller may know of."""


class Conflict(ServiceError):
    """The state of things forbids it: taken, overlapping, already decided."""


class Retired(ServiceError):
    """It was issued and is retired; `successor` may be among the details."""


class PreconditionFailed(ServiceError):
    """The caller described a state that is no longer true (If-Match)."""


class SlowDown(ServiceError):
    """Asked too often; `seconds` among the details says how long to wait."""


class TooLarge(ServiceError):
    """Over a documented limit."""


class Unavailable(ServiceError):
    """Not now: the database, an upstream or the disk does not answer. Never to be read as "not found"."""


class SetupError(ServiceError):
    """The node cannot start like this; said in one sentence with the remedy, exit status 1."""


def list_refusals(check: Callable[[], object], leave_out: Callable[[str], None]) -> list[InvalidInput]:
    """All that is wrong with something of which `check` names one field at a time, each field once.

    `leave_out` takes a named field away, so that the next look finds what else there is.
    """
    found: dict[str | None, InvalidInput] = {}
    while True:
        try:
            check()
        except InvalidInput as error:
            if error.field not in found:
                found[error.field] = error
                leave_out(error.field or "")
                continue
        return list(found.values())
