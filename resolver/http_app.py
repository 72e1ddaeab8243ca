"""The resolver's HTTP side, an ASGI application: everything that is not answered on the short cut.

Decides nothing about records: asks the cache (or the upstream), puts the finding into words, counts, sends.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address
from logging import getLogger
from typing import Any
from urllib.parse import quote

from resolver.cache import Entry, RecordCache
from resolver.http_request import (
    Judge,
    Parameters,
    Traits,
    pack_address,
    parse_json_carrier,
    parse_parameters,
    parse_path,
    parse_query,
)
from resolver.link import RegistryLink
from resolver.pages import Pages, choose_target
from resolver.qr import FORMATS, draw_code
from resolver.reply import MAX_HANDLE_BYTES, Finding, Reply, choose_status, find, make_error, make_json, make_rest
from resolver.rest_json import format_site
from resolver.upstream import Upstream, UpstreamAnswer
from schemas.errors import Forbidden, InvalidInput, ServiceError, Unauthenticated, Unavailable
from schemas.handle_messages import ResponseCode
from schemas.identifiers import format_scan_url
from schemas.link_messages import ViewerAnswer, ViewerQuestion
from schemas.request_ids import HEADER, REQUEST_ID, choose_request_id
from schemas.resolution_log import ClientClass, Outcome, Transport
from schemas.segments import SegmentWriter
from schemas.texts import format_message

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES = 65_536
BODY_SECONDS = 10.0
API = b"api"
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET,POST,HEAD,PUT,DELETE"),
    (b"access-control-allow-headers", b"X-Requested-With,Authorization,Origin,Accept,Content-Type"),
    (b"access-control-max-age", b"86400"),
)
VARY = (b"vary", b"Accept, Accept-Language")
NOSNIFF = (b"x-content-type-options", b"nosniff")
NOT_KEPT = (b"cache-control", b"private, no-store")
# How it is said that somebody was not believed: response code, HTTP status, header.
_REFUSALS: dict[type[ServiceError], tuple[int, int, tuple[bytes, bytes]]] = {
    Unauthenticated: (ResponseCode.AUTHENTICATION_FAILED, 401, (b"www-authenticate", b'Bearer realm="idnode"')),
    Forbidden: (ResponseCode.AUTHENTICATION_NEEDED, 403, NOT_KEPT),
    Unavailable: (ResponseCode.SERVER_TOO_BUSY, 503, (b"retry-after", b"5")),
}
_ANYBODY = ViewerAnswer(0)

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the rest of this module needs it; `path` is decoded, without the first slash."""

    method: str
    path: bytes
    raw_path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    traits: Traits
    receive: Receive

    @property
    def has_bearer(self) -> bool:
        """Whether it carries credentials of the registry: a token or an access key."""
        return self.headers.get(b"authorization", b"").lower().split(b" ")[0] == b"bearer"

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read it: TLS, or this machine."""
        address = self.traits.address
        return self.traits.is_secure or (bool(address) and ip_address(address).is_loopback)


@dataclass(slots=True)
class HttpSite:
    """What the HTTP side answers from, and how it presents itself. `site` is the HS_SITE record of this node."""

    cache: RecordCache
    log: SegmentWriter
    judge: Judge
    pages: Pages
    site: bytes
    public_url: str
    public_url_is_set: bool
    upstream: Upstream | None = None
    link: RegistryLink | None = None
    drawing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        request = read_request(scope, receive, self.judge)
        given = request.headers.get(HEADER, b"").decode("latin-1")
        request_id = choose_request_id(given)
        REQUEST_ID.set(request_id)  # of this request's own task
        try:
            reply = await self._answer(request)
        except (Unauthenticated, Forbidden, Unavailable) as error:
            reply = refuse_viewer(request, error)
        except ServiceError as error:
            reply = self._put_error(request, error)
        except Exception:
            _log.exception("a request could not be answered")
            message = "Unexpected server error"
            reply = make_error(ResponseCode.ERROR, message, Parameters())
        if given or reply.status >= 500:
            reply = replace(reply, headers=(*reply.headers, (HEADER, request_id.encode())))
        await send_reply(send, request, reply)

    async def _answer(self, request: Request) -> Reply:
        if request.method not in KNOWN_METHODS:
            return Reply(501, b'{"responseCode":4,"message":"Unknown method %b"}' % request.method.encode()[:40])
        first, _, rest = request.path.partition(b"/")
        if first == API:
            return await self._answer_api(request, rest)
        if request.method == "OPTIONS":
            return Reply(200, b"", headers=_PREFLIGHT)
        if request.method not in ("GET", "HEAD"):
            return Reply(405, b"", headers=((b"allow", b"GET, HEAD, OPTIONS"),))
        if request.path == b"health":
            return self._answer_health()
        if request.path in (b"favicon.ico", b"robots.txt"):
            return Reply(404, b"", b"text/plain; charset=utf-8")
        return await self._answer_identifier(request)

    # The Handle REST API (handle-protocol 6.3)

    async def _answer_api(self, request: Request, rest: bytes) -> Reply:
        if request.method == "OPTIONS":
            return Reply(200, b"", headers=_PREFLIGHT)
        name, _, raw = rest.partition(b"/")
        if name == b"handles":
            if request.method in ("PUT", "DELETE"):
                return self._refuse_credentials(request, raw)
            return await self._answer_handle(request, raw)
        parameters = parse_parameters(parse_query(request.query))
        if rest in (b"site", b"site/") and request.method in ("GET", "HEAD", "POST"):
            document = {"responseCode": 1, "site": format_site(self.site)}
            return make_json(200, document, parameters)
        if name == b"prefixes" and request.method in ("GET", "HEAD", "POST", "DELETE"):
            return self._refuse_credentials(request, raw)
        if name == b"sessions" and not request.traits.is_secure:
            return self._refuse_credentials(request, b"")
        if name in (b"sessions", b"verifications"):
            message = format_message("credentials_needed", "en")
            return make_error(ResponseCode.OPERATION_NOT_SUPPORTED, message, parameters)
        method = "GET" if request.method == "HEAD" else request.method  # their answers are the same
        shown = f"{method} {request.raw_path.decode('latin-1')[:200]}"
        known = rest.rstrip(b"/") == b"site"
        document = {"responseCode": 4, "message": f"Unknown HTTP API endpoint {shown}"}
        return make_json(405 if known else 404, document, parameters)

    async def _answer_handle(self, request: Request, raw: bytes) -> Reply:
        pairs = parse_query(request.query)
        if request.method == "POST":
            pairs += await self._read_carrier(request)
        if not raw:
            parameters = parse_parameters(pairs)
            if parameters.has_prefix:
                return self._refuse_credentials(request, b"")
            return make_error(ResponseCode.INVALID_HANDLE, format_message("identifier_empty", "en"), parameters)
        if len(raw) > MAX_HANDLE_BYTES:
            self._count(request, raw, Outcome.MALFORMED)
            message = format_message("identifier_too_long", "en")
            return make_error(ResponseCode.INVALID_HANDLE, message, Parameters())
        parameters = self._read_parameters(request, raw, pairs)
        if request.traits.is_secure and b"authorization" in request.headers and not request.has_bearer:
            self._count(request, raw, Outcome.DENIED)
            return Reply(401, b"", headers=((b"www-authenticate", b'Basic realm="handle"'),))
        finding = await self._find(request, raw, parameters)
        reply = make_rest(raw, finding, parameters, "en", request.traits.is_secure)
        return self._mark(request, reply, finding)

    def _read_parameters(self, request: Request, raw: bytes, pairs: list[tuple[str, str]]) -> Parameters:
        """Of a question about an identifier, which is counted even if it cannot be understood."""
        try:
            return parse_parameters(pairs)
        except InvalidInput:
            if raw:
                self._count(request, raw[:MAX_HANDLE_BYTES], Outcome.MALFORMED)
            raise

    def _refuse_credentials(self, request: Request, raw: bytes) -> Reply:
        """Everything that needs proof of identity; over plain HTTP none is ever taken (6.1)."""
        status = choose_status(ResponseCode.AUTHENTICATION_NEEDED, request.traits.is_secure)
        document: dict[str, Any] = {"responseCode": int(ResponseCode.AUTHENTICATION_NEEDED)}
        document["message"] = format_message("credentials_needed", "en")
        if raw:
            document["handle"] = raw.decode("utf-8", "replace")
        challenge = ((b"www-authenticate", b'Basic realm="handle"'),) if status == 401 else ()
        return make_json(status, document, Parameters(), headers=challenge)

    async def _read_carrier(self, request: Request) -> list[tuple[str, str]]:
        """The parameters in the body of a POST, a form or a JSON object."""
        body = await read_body(request.receive)
        if request.headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            return parse_json_carrier(body)
        return parse_query(body)

    # The address printed on goods

    async def _answer_identifier(self, request: Request) -> Reply:
        raw, traits = request.path, request.traits
        parameters = self._read_parameters(request, raw, parse_query(request.query))
        language = parameters.lang or traits.language
        if parameters.qr and raw:
            return await self._answer_code(raw, parameters.qr, language)
        if not raw or len(raw) > MAX_HANDLE_BYTES:
            code = "identifier_too_long" if raw else "identifier_empty"
            if raw:
                self._count(request, raw, Outcome.MALFORMED)
            if traits.wants_page:
                pages = self.pages
                return pages.show_error(400, "malformed", code, language) if raw else pages.show_root(language)
            return make_error(ResponseCode.INVALID_HANDLE, format_message(code, "en"), parameters)
        finding = await self._find(request, raw, parameters)
        target = choose_target(finding, raw) if parameters.follow else None
        if target is not None:
            headers = ((b"location", target), (b"cache-control", b"no-store"))
            return Reply(302, b"", b"text/plain; charset=utf-8", finding.outcome, headers)
        if traits.wants_page:
            reply = self.pages.show(raw, finding, language, self.cache.stale_seconds())
        else:
            reply = make_program(raw, finding, parameters, language)
        return self._mark(request, reply, finding)

    async def _answer_code(self, raw: bytes, kind: str, language: str) -> Reply:
        if kind not in FORMATS:
            raise InvalidInput("qr_unknown_format", field="qr", text=kind[:20])
        try:
            address = format_scan_url(self.public_url, raw.decode())
        except UnicodeDecodeError:
            raise InvalidInput("identifier_malformed", field="identifier", text=repr(raw[:40])) from None
        warning = "" if self.public_url_is_set else format_message("public_url_missing", language)
        async with self.drawing:  # one at a time and in a thread: a code costs as much as a thousand answers
            body = await asyncio.to_thread(_draw_once, address, kind, warning)
        headers: tuple[tuple[bytes, bytes], ...] = ((b"cache-control", b"public, max-age=86400"),)
        if warning:
            headers = ((b"cache-control", b"no-store"), (b"x-idnode-notice", quote(warning).encode()))
        return Reply(200, body, FORMATS[kind], None, headers)

    def _answer_health(self) -> Reply:
        stale = self.cache.stale_seconds()
        document: dict[str, Any] = {"status": "ok" if self.cache.is_current else "degraded"}
        document["database"] = "up" if self.cache.is_current else "away"
        if stale is not None:
            document["stale_seconds"] = stale
        document |= {"cached_records": len(self.cache), "cached_bytes": self.cache.occupied_bytes}
        return make_json(200, document | {"log_missing": self.log.missing}, Parameters())

    # Shared

    async def _find(self, request: Request, raw: bytes, parameters: Parameters) -> Finding:
        """Answered and counted. Raises what `_identify` raises, counted too."""
        entry = await self.cache.get(raw)
        viewer = _ANYBODY
        if request.has_bearer:
            try:
                viewer = await self._identify(request, raw, entry)
            except ServiceError as error:
                outcome = Outcome.UNAVAILABLE if isinstance(error, Unavailable) else Outcome.DENIED
                self._count(request, raw, outcome, entry)
                raise
        if entry is not None and entry.is_foreign and self.upstream is not None:
            indexes, types = list(parameters.indexes), list(parameters.types)
            finding = to_finding(await self.upstream.resolve(raw, indexes, types))
        else:
            finding = find(entry, parameters, viewer.viewer)
        self._count(request, raw, finding.outcome, finding.entry, viewer.is_owner)
        return finding

    async def _identify(self, request: Request, raw: bytes, entry: Entry | None) -> ViewerAnswer:
        """Asked after the record was read, so that no right is older than it. Raises Unauthenticated, Forbidden
        (also where others could read the credentials on their way), Unavailable."""
        if not request.is_private:
            raise Forbidden("credentials_in_clear")
        if self.link is None:
            raise Unavailable("link_away")
        has_values = entry is not None and entry.outcome in (Outcome.FOUND, Outcome.NO_VALUES)
        prefix = self.cache.prefixes.find_by_id(entry.prefix_id) if entry is not None and has_values else None
        question = ViewerQuestion(
            0, request.headers[b"authorization"].decode("latin-1"), str(ip_address(request.traits.address)),
            prefix.name if prefix else "", raw.decode("utf-8", "replace"),
        )  # fmt: skip
        return await self.link.identify(question)

    def _count(
        self, request: Request, raw: bytes, outcome: Outcome, entry: Entry | None = None, is_owner: bool = False
    ) -> None:
        """One answered question; before its answer is handed to the kernel."""
        if entry is not None:
            prefix_id, template_id = entry.prefix_id, entry.template_id
        else:
            prefix_id, template_id = self.cache.find_prefix_id(raw) if outcome is Outcome.UNAVAILABLE else 0, 0
        traits = request.traits
        client_class = ClientClass.SELF if is_owner else traits.client_class
        client_class = self.cache.prefixes.choose_class(prefix_id, client_class)
        self.log.append(raw, prefix_id, template_id, Transport.HTTP, outcome, client_class, traits.address)

    def _mark(self, request: Request, reply: Reply, finding: Finding) -> Reply:
        """How old it is, and whether it is for one pair of eyes only."""
        if request.has_bearer:
            reply = replace(reply, headers=(*reply.headers, NOT_KEPT))
        stale = self.cache.stale_seconds()
        if stale is None or finding.entry is None or finding.entry.is_foreign:
            return reply
        headers = (*reply.headers, *format_stale(stale))
        return replace(reply, headers=headers)

    def _put_error(self, request: Request, error: ServiceError) -> Reply:
        language = "en" if request.path.startswith(b"api/") else request.traits.language
        if request.traits.wants_page and language and not request.path.startswith(b"api/"):
            return self.pages.show_error(400, "malformed", error.code, language, **error.details)
        status_code = ResponseCode.PROTOCOL_ERROR
        message = format_message(error.code, language, **error.details)
        return make_error(status_code, message, Parameters())


def refuse_viewer(request: Request, error: ServiceError) -> Reply:
    """Why the holder of these credentials is not answered; credentials come from programs, so in JSON."""
    code, status, header = next(refusal for kind, refusal in _REFUSALS.items() if isinstance(error, kind))
    language = "en" if request.path.startswith(b"api/") else request.traits.language
    message = format_message(error.code, language, **error.details)
    return make_json(status, {"responseCode": int(code), "message": message}, Parameters(), headers=(header,))


def make_program(raw: bytes, finding: Finding, parameters: Parameters, language: str) -> Reply:
    """The printed address as a program sees it: the REST shape, but a retired identifier is gone, with successor."""
    reply = make_rest(raw, finding, parameters, language)
    status = 401 if finding.outcome is Outcome.DENIED else reply.status
    headers = (*reply.headers, VARY)
    if finding.outcome is not Outcome.RETIRED:
        return Reply(status, reply.body, reply.content_type, reply.outcome, headers)
    successor = finding.successor
    document: dict[str, Any] = {"responseCode": int(finding.code)}
    shown = raw.decode("utf-8", "replace")
    document["message"] = format_message("identifier_retired", language, identifier=shown, successor=successor)
    document["handle"] = shown
    if successor:
        document["successor"] = successor
    return make_json(410, document, parameters, finding.outcome, headers)


_UPSTREAM_OUTCOMES: dict[int, Outcome] = {
    ResponseCode.SUCCESS: Outcome.FOUND,
    ResponseCode.SERVICE_REFERRAL: Outcome.REFERRAL,
    ResponseCode.PREFIX_REFERRAL: Outcome.REFERRAL,
    ResponseCode.HANDLE_NOT_FOUND: Outcome.NOT_FOUND,
    ResponseCode.SERVER_NOT_RESPONSIBLE: Outcome.NOT_FOUND,
    ResponseCode.VALUES_NOT_FOUND: Outcome.NO_VALUES,
    ResponseCode.INVALID_HANDLE: Outcome.MALFORMED,
    ResponseCode.INSUFFICIENT_PERMISSIONS: Outcome.DENIED,
}


def to_finding(answer: UpstreamAnswer) -> Finding:
    """What an upstream said, as if we had found it."""
    outcome = _UPSTREAM_OUTCOMES.get(answer.response_code, Outcome.UNAVAILABLE)
    return Finding(answer.response_code, outcome, list(answer.values), answer.message)


def format_stale(seconds: int) -> tuple[tuple[bytes, bytes], ...]:
    """RFC 9111 §5.1, §5.5: how old the answer is, and that it could not be checked."""
    return ((b"age", b"%d" % seconds), (b"warning", b'110 - "Response is Stale"'))


_draw_once: Callable[[str, str, str], bytes] = lru_cache(maxsize=256)(draw_code)


def read_request(scope: Scope, receive: Receive, judge: Judge) -> Request:
    peer = b""
    if scope.get("client"):
        try:
            peer = pack_address(scope["client"][0])
        except ValueError:
            peer = b""  # a Unix socket
    headers = scope["headers"]
    traits = judge.read(headers, peer, scope.get("scheme") == "https")
    raw_path = scope["raw_path"]
    return Request(
        scope["method"], parse_path(raw_path), raw_path, scope["query_string"], dict(headers), traits, receive
    )


async def read_body(receive: Receive) -> bytes:
    """The whole body; raises InvalidInput over the limit or when it does not come."""
    body: bytes = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return body
                part: bytes = message.get("body", b"")
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise InvalidInput("parameters_too_large", limit=MAX_BODY_BYTES)
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        raise InvalidInput("parameters_not_json", reason="it did not arrive in time") from None


async def send_reply(send: Send, request: Request, reply: Reply) -> None:
    length = (b"content-length", b"%d" % len(reply.body))
    headers = [(b"content-type", reply.content_type), length, NOSNIFF, *reply.headers]
    origin = request.headers.get(b"origin")
    if origin:
        exposed = b", ".join(name.title() for name, _ in headers)
        headers += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", exposed)]
        headers = [(n, v + b", Origin") if n == b"vary" else (n, v) for n, v in headers]
        if not any(name == b"vary" for name, _ in headers):
            headers.append((b"vary", b"Origin"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
