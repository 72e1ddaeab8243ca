"""Everything that goes wrong as one shape: problem documents (RFC 9457) in the caller's language."""

import errno
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from registry.store import DATABASE_AWAY, is_passing
from schemas import errors
from schemas.errors import InvalidInput, ServiceError, TooLarge, Unavailable
from schemas.identifiers import shorten
from schemas.request_ids import REQUEST_ID
from schemas.texts import format_message, format_remedy

logger = logging.getLogger("idnode.registry")

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
MAX_ERRORS_SHOWN = 20


class WrongContentType(ServiceError):
    """The body is of a kind the route does not read."""


class NoRoute(ServiceError):
    """There is nothing at this path."""


class WrongMethod(ServiceError):
    """The path is known, with other methods."""


class DiskFull(Unavailable):
    """Nothing can be written until there is room."""


class Defect(ServiceError):
    """A fault of ours; told without detail and written to the log."""


STATUS: dict[type[ServiceError], int] = {
    errors.InvalidInput: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    NoRoute: 404,
    WrongMethod: 405,
    errors.Conflict: 409,
    errors.Retired: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    WrongContentType: 415,
    errors.SlowDown: 429,
    Defect: 500,
    errors.SetupError: 500,
    errors.Unavailable: 503,
    DiskFull: 507,
}


class InvalidBody(InvalidInput):
    """Several things are wrong with a request; `problems` are (code, field, details), the first one stands for all."""

    def __init__(self, problems: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
        code, at, details = problems[0]
        super().__init__(code, field=at, **details)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class ProblemAnswer:
    status: int
    body: bytes
    headers: dict[str, str]

    def to_response(self) -> Response:
        return Response(self.body, self.status, self.headers, MEDIA_TYPE)


def get_status(error: ServiceError) -> int:
    """By the nearest class that has one; a test proves that every error has."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def answer_problem(error: ServiceError, language: str) -> ProblemAnswer:
    """The document, its status and the headers that belong to it."""
    status = get_status(error)
    details = {name: _plain(value) for name, value in error.details.items()}
    document: dict[str, Any] = {
        "type": f"/docs#error-{error.code}",
        "title": format_message(f"status_{status}", language),
        "status": status,
        "detail": format_message(error.code, language, field=error.field or "", **details),
        "code": error.code,
        "field": error.field and shorten(error.field, 200),
        "remedy": format_remedy(error.code, language, field=error.field or "", **details),
    }
    if REQUEST_ID.get():
        document["request_id"] = REQUEST_ID.get()
    if isinstance(error, errors.Retired):
        successor = error.details.get("successor")
        document["successor"] = None if successor in (None, "", "—") else successor
    if isinstance(error, InvalidBody):
        document["errors"] = [_describe(problem, language) for problem in error.problems[:MAX_ERRORS_SHOWN]]
    headers = {"Content-Language": language, "Cache-Control": "no-store"}
    if status in (503, 507):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if status == 429:
        headers["Retry-After"] = str(error.details.get("seconds", RETRY_SECONDS))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="idnode"'
    if status == 413:
        headers["Connection"] = "close"  # the rest of the body is not waited for
    if status == 405:
        headers["Allow"] = str(error.details.get("allow", ""))
    return ProblemAnswer(status, dump_json(document), headers)


async def handle(request: Request, error: Exception) -> Response:
    """In the place of the framework's own handlers."""
    return answer_problem(translate(error), request.state.language).to_response()


def dump_json(content: Any) -> bytes:
    """UTF-8 JSON, whatever a caller sent us: lone surrogates are shown as escapes."""
    try:
        return orjson.dumps(content)
    except TypeError:
        return orjson.dumps(_clean(content), default=str)


def _clean(content: Any) -> Any:
    if isinstance(content, str):
        return content.encode("utf-8", "backslashreplace").decode()
    if isinstance(content, Mapping):
        return {_clean(str(key)): _clean(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_clean(item) for item in content]
    return content


def _plain(value: object) -> object:
    return value if isinstance(value, int) else _clean(str(value))[:1_000]


def _describe(problem: tuple[str, str, dict[str, Any]], language: str) -> dict[str, str]:
    code, at, details = problem
    return {
        "field": shorten(at, 200),
        "code": code,
        "detail": format_message(code, language, field=at, **details),
        "remedy": format_remedy(code, language, field=at, **details),
    }


def translate(error: Exception) -> ServiceError:
    """Whatever was raised while a request was answered, as an error of ours; unknown ones are logged."""
    cause = error.__cause__
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestValidationError):
        return translate_validation(error.errors())
    if isinstance(error, StarletteHTTPException):
        if isinstance(cause, ServiceError | ClientDisconnect | OSError):
            return translate(cause)
        return _translate_http(error)
    if isinstance(error, DATABASE_AWAY):
        found = _translate_database(error)
        if found is not None:
            return found
    if isinstance(error, ClientDisconnect):
        return InvalidInput("body_cut_off")
    if isinstance(error, UnicodeEncodeError):
        return InvalidInput("text_not_unicode")
    logger.error("a request failed for a reason of ours", exc_info=error)
    return Defect("internal_error")


def _translate_http(error: StarletteHTTPException) -> ServiceError:
    if error.status_code == 404:
        return NoRoute("route_not_found")
    if error.status_code == 405:
        return WrongMethod("method_not_allowed", allow=(error.headers or {}).get("Allow", ""))
    if error.status_code == 413:
        return TooLarge("body_too_large", limit="…")
    if error.status_code < 500:
        return InvalidInput("body_unreadable")
    logger.error("a request failed for a reason of ours", exc_info=error)
    return Defect("internal_error")


_DISK_FULL = "53100"  # SQLSTATE


def _translate_database(error: Exception) -> ServiceError | None:
    """None if it is a defect of ours, such as a wrong statement."""
    state = getattr(error, "sqlstate", None)
    if state == _DISK_FULL or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        logger.error("the disk is full: %s", error)
        return DiskFull("disk_full")
    if isinstance(error, asyncpg.DataError) or state == "22021":
        # Texts are checked before they come here; a byte that slips through is still the caller's.
        logger.warning("the database refused a text: %s", error)
        return InvalidInput("text_not_unicode")
    return Unavailable("database_unavailable") if is_passing(error) else None


_VALIDATION_CODES = {
    "missing": "field_missing",
    "extra_forbidden": "field_unknown",
    "json_invalid": "body_not_json",
    "string_too_long": "field_too_long",
    "too_long": "field_too_many",
    "string_too_short": "field_empty",
    "too_short": "field_empty",
    "enum": "field_not_a_choice",
    "literal_error": "field_not_a_choice",
}


def translate_validation(found: Sequence[Any]) -> InvalidBody:
    """What FastAPI found wrong with parameters and body; pydantic's English is replaced by texts of ours."""
    return InvalidBody([_translate_one(item) for item in found] or [("body_unreadable", "", {})])


def _translate_one(item: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    place, *path = [str(part) for part in item["loc"]]
    context = item.get("ctx", {})
    own = context.get("error")
    at = ".".join(path) if path else place
    if isinstance(own, ServiceError):
        return own.code, at, dict(own.details)
    kind = str(item["type"])
    if kind == "json_invalid":
        return "body_not_json", "", {"position": path[0] if path else 0}
    if not path and kind != "missing":
        return "body_wrong_shape", "", {}
    code = _VALIDATION_CODES.get(kind, "field_invalid")
    limit = context.get("max_length", "")
    return code, shorten(at, 200), {"limit": limit, "choices": str(context.get("expected", ""))}
