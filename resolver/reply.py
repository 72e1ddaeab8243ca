"""What is sent back over HTTP, as values: the Handle REST answers (handle-protocol 6.1, 6.2)."""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson

from resolver.entry import OUTCOMES, Entry
from resolver.http_request import Parameters
from resolver.rest_json import format_value
from schemas.handle_messages import ResponseCode
from schemas.resolution_log import Outcome
from schemas.texts import format_message
from schemas.values import Value
from schemas.viewing import Verdict, Viewer

JSON_TYPE = b"application/json;charset=utf-8"
SCRIPT_TYPE = b"application/javascript;charset=utf-8"
MAX_HANDLE_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class Reply:
    """`outcome` is what the resolution log says of it; None: it answers no question about an identifier."""

    status: int
    body: bytes
    content_type: bytes = JSON_TYPE
    outcome: Outcome | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a question came to, before it is put into words for one kind of reader."""

    code: int
    outcome: Outcome
    values: list[Value] = field(default_factory=list)
    message: str = ""
    entry: Entry | None = None
    successor: str = ""


_STATUS: dict[int, int] = {
    ResponseCode.SUCCESS: 200,
    ResponseCode.VALUES_NOT_FOUND: 200,
    ResponseCode.SERVICE_REFERRAL: 300,
    ResponseCode.PREFIX_REFERRAL: 300,
    ResponseCode.HANDLE_NOT_FOUND: 404,
    ResponseCode.PROTOCOL_ERROR: 400,
    ResponseCode.INVALID_HANDLE: 400,
    ResponseCode.SERVER_NOT_RESPONSIBLE: 400,
    ResponseCode.OPERATION_NOT_SUPPORTED: 501,
    ResponseCode.SERVER_TOO_BUSY: 503,
    ResponseCode.SERVER_BACKUP: 503,
    ResponseCode.INVALID_ADMIN: 403,
    ResponseCode.INSUFFICIENT_PERMISSIONS: 403,
    ResponseCode.AUTHENTICATION_FAILED: 403,
    ResponseCode.INVALID_CREDENTIAL: 403,
}
_CODES = {
    Verdict.FOUND: ResponseCode.SUCCESS,
    Verdict.NO_VALUES: ResponseCode.VALUES_NOT_FOUND,
    Verdict.NOT_FOUND: ResponseCode.HANDLE_NOT_FOUND,
    Verdict.RETIRED: ResponseCode.HANDLE_NOT_FOUND,
    Verdict.DENIED: ResponseCode.AUTHENTICATION_NEEDED,
}


def choose_status(code: int, is_secure: bool) -> int:
    """HTTP status of a response code (6.2)."""
    if code == ResponseCode.AUTHENTICATION_NEEDED:
        return 401 if is_secure else 403
    return _STATUS.get(code, 500)


def find(entry: Entry | None, parameters: Parameters, viewer: Viewer = Viewer.PUBLIC) -> Finding:
    """What an entry answers to a question of this viewer; None: the database is away and nothing is known."""
    if entry is None:
        return Finding(ResponseCode.SERVER_TOO_BUSY, Outcome.UNAVAILABLE, message="database_away")
    if entry.outcome is Outcome.REFERRAL:
        sites = [Value(1, "HS_SITE", entry.site)]
        return Finding(ResponseCode.SERVICE_REFERRAL, Outcome.REFERRAL, sites, entry=entry)
    if entry.is_foreign:
        return Finding(ResponseCode.SERVER_NOT_RESPONSIBLE, Outcome.NOT_FOUND, message="prefix_not_here", entry=entry)
    viewer = viewer if parameters.uses_rights else Viewer.PUBLIC
    answer = entry.answer(list(parameters.indexes), list(parameters.types), parameters.public_only, viewer)
    message = entry.note if entry.outcome is Outcome.NOT_FOUND else ""
    successor = entry.note if answer.verdict is Verdict.RETIRED else ""
    return Finding(_CODES[answer.verdict], OUTCOMES[answer.verdict], answer.values, message, entry, successor)


def make_plain(raw: bytes, entry: Entry | None) -> Reply:
    """The answer to a plain question, as the short cut gives it: `raw` needs no escaping, the asker no credentials."""
    outcome = Outcome.UNAVAILABLE if entry is None else entry.outcome
    if entry is not None and outcome in (Outcome.FOUND, Outcome.NO_VALUES, Outcome.REFERRAL):
        code = _PLAIN_CODES[outcome]
        head = b'{"responseCode":%d,"handle":"%b' % (code, raw)
        return Reply(choose_status(code, False), head + entry.rest_tail(), outcome=outcome)
    return make_rest(raw, find(entry, Parameters()), Parameters(), "en")


_PLAIN_CODES = {
    Outcome.FOUND: ResponseCode.SUCCESS,
    Outcome.NO_VALUES: ResponseCode.VALUES_NOT_FOUND,
    Outcome.REFERRAL: ResponseCode.SERVICE_REFERRAL,
}


def make_rest(raw: bytes, finding: Finding, parameters: Parameters, language: str, is_secure: bool = False) -> Reply:
    """A finding in the shape of `/api/handles`."""
    document = format_finding(raw, finding, language)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if finding.outcome is Outcome.UNAVAILABLE:
        headers = ((b"retry-after", b"5"),)
    status = choose_status(finding.code, is_secure)
    if status == HTTPStatus.UNAUTHORIZED:
        headers = ((b"www-authenticate", b'Basic realm="handle"'),)
    return make_json(status, document, parameters, finding.outcome, headers)


def format_finding(raw: bytes, finding: Finding, language: str) -> dict[str, Any]:
    """The members of an answer in the order of the reference."""
    document: dict[str, Any] = {"responseCode": int(finding.code)}
    if finding.message:
        document["message"] = format_message(finding.message, language)
    document["handle"] = raw.decode("utf-8", "replace")
    if finding.values or finding.outcome is Outcome.NO_VALUES:
        document["values"] = [format_value(value) for value in finding.values]
    return document


def make_json(
    status: int,
    document: dict[str, Any],
    parameters: Parameters,
    outcome: Outcome | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Reply:
    """JSON, indented or wrapped in a call if that was asked for."""
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 if parameters.pretty else 0)
    if not parameters.callback:
        return Reply(status, body, JSON_TYPE, outcome, headers)
    for separator, escape in ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029")):
        body = body.replace(separator, escape)  # both end a line in older JavaScript
    return Reply(status, parameters.callback.encode() + b"(" + body + b");", SCRIPT_TYPE, outcome, headers)


def make_error(code: int, message: str, parameters: Parameters, outcome: Outcome | None = None) -> Reply:
    """An answer without a handle; `message` is a sentence."""
    return make_json(choose_status(code, False), {"responseCode": int(code), "message": message}, parameters, outcome)
