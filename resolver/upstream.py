"""Asking elsewhere about prefixes that are not ours: the HTTP proxy form of the Handle REST API (6.3).

One configured address, never one that a question or an answer names: redirects are not followed and, unless the
setting allows it, no private address is connected to. Answers are kept by their time to live.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import orjson

from resolver.upstream_values import parse_values
from schemas.errors import SetupError
from schemas.handle_messages import ResponseCode
from schemas.values import Value

if TYPE_CHECKING:  # a worker without an upstream needs neither them nor public_network: 8 MB and a tenth of a second
    import aiohttp
    from yarl import URL

Clock = Callable[[], float]

_ANSWERED = {
    ResponseCode.SUCCESS,
    ResponseCode.HANDLE_NOT_FOUND,
    ResponseCode.INVALID_HANDLE,
    ResponseCode.VALUES_NOT_FOUND,
    ResponseCode.SERVER_NOT_RESPONSIBLE,
    ResponseCode.SERVICE_REFERRAL,
    ResponseCode.PREFIX_REFERRAL,
}
_REFERRALS = {ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL}
_DENIED = range(ResponseCode.INVALID_ADMIN, ResponseCode.AUTHENTICATION_ERROR + 1)
_BUSY = {ResponseCode.SERVER_TOO_BUSY, ResponseCode.SERVER_BACKUP}


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """`url` without `/api`; `longest_ttl_seconds` caps what a value says about itself (handle-protocol 7.3)."""

    url: str
    allow_private: bool = False
    time_limit_seconds: float = 5.0
    answer_bytes: int = 1_048_576
    cache_entries: int = 20_000
    cache_bytes: int = 16 * 1_048_576
    longest_ttl_seconds: float = 3_600.0
    negative_ttl_seconds: float = 5.0
    failures_to_open: int = 5
    open_seconds: float = 10.0
    connections: int = 32
    waiting: int = 1_000


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """`response_code` as on 2641: 3 is "not now" and never to be read as not found, 2 an answer that made no sense.

    A referral names a handle, has values (sites), or both.
    """

    response_code: int
    values: list[Value] = field(default_factory=list)
    message: str = ""
    handle: str = ""


class CircuitBreaker:
    """Lets nobody wait for an upstream that does not answer: after failures in a row, one probe at a time."""

    def __init__(self, failures_to_open: int, open_seconds: float) -> None:
        self._failures_to_open = failures_to_open
        self._open_seconds = open_seconds
        self._failures = 0
        self._probe_at = 0.0  # when the next question may pass, if open

    @property
    def is_open(self) -> bool:
        return self._failures >= self._failures_to_open

    def allow(self, now: float) -> bool:
        """Whether a question may be sent at `now`; while open, one each `open_seconds`, the probe."""
        if not self.is_open:
            return True
        if now < self._probe_at:
            return False
        self._probe_at = now + self._open_seconds
        return True

    def report(self, succeeded: bool, now: float) -> None:
        """How a question that was allowed went."""
        self._failures = 0 if succeeded else self._failures + 1
        if self.is_open:
            self._probe_at = now + self._open_seconds


_Key = tuple[bytes, tuple[int, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: UpstreamAnswer
    until: float
    size: int


class _AnswerCache:
    """Answers by question until their time is over; bounded in entries and bytes, least recently used go first."""

    def __init__(self, entries: int, size: int) -> None:
        self._entries, self._bytes = entries, size
        self._kept: dict[_Key, _Kept] = {}
        self.held = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: _Key, now: float) -> UpstreamAnswer | None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return None
        if kept.until <= now:
            self.held -= kept.size
            return None
        self._kept[key] = kept  # now the youngest
        return kept.answer

    def keep(self, key: _Key, answer: UpstreamAnswer, until: float) -> None:
        replaced = self._kept.pop(key, None)
        if replaced is not None:
            self.held -= replaced.size
        size = _measure(key, answer)
        self._kept[key] = _Kept(answer, until, size)
        self.held += size
        while len(self._kept) > self._entries or self.held > self._bytes:
            self.held -= self._kept.pop(next(iter(self._kept))).size


def _measure(key: _Key, answer: UpstreamAnswer) -> int:
    """Bytes an answer is taken to occupy; what Python adds is estimated."""
    texts = len(key[0]) + sum(map(len, key[2])) + len(answer.message) + len(answer.handle)
    return 1_000 + texts + 8 * len(key[1]) + sum(len(v.data) + 2 * len(v.type) + 300 for v in answer.values)


class Upstream:
    """One upstream, used as an async context manager; `clock` is monotonic, `wall_clock` unix seconds."""

    def __init__(
        self, settings: UpstreamSettings, clock: Clock = time.monotonic, wall_clock: Clock = time.time
    ) -> None:
        """Raises SetupError for an address that can never be asked."""
        _check_url(settings)
        self._settings = settings
        self._clock, self._wall_clock = clock, wall_clock
        self._breaker = CircuitBreaker(settings.failures_to_open, settings.open_seconds)
        self._cache = _AnswerCache(settings.cache_entries, settings.cache_bytes)
        self._asking: dict[_Key, asyncio.Task[UpstreamAnswer]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Upstream":
        import aiohttp

        from resolver.public_network import PublicResolver

        settings = self._settings
        resolver = None if settings.allow_private else PublicResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.connections, resolver=resolver, use_dns_cache=False),
            timeout=aiohttp.ClientTimeout(total=settings.time_limit_seconds),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open: the upstream has not answered lately."""
        return self._breaker.is_open

    def find(self, identifier: bytes, indexes: list[int], types: list[str]) -> UpstreamAnswer | None:
        """The answer if it is known already."""
        return self._cache.find((identifier, tuple(indexes), tuple(types)), self._clock())

    async def resolve(self, identifier: bytes, indexes: list[int], types: list[str]) -> UpstreamAnswer:
        """The public values as the upstream knows them; every failure is an answer with code 2 or 3."""
        key = identifier, tuple(indexes), tuple(types)
        known = self._cache.find(key, self._clock())
        if known is not None:
            return known
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= self._settings.waiting:
                return UpstreamAnswer(ResponseCode.SERVER_TOO_BUSY, message="too many questions are waiting")
            if not self._breaker.allow(self._clock()):
                return UpstreamAnswer(ResponseCode.SERVER_TOO_BUSY, message="the upstream does not answer")
            task = self._asking[key] = asyncio.create_task(self._ask(key))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)  # who gives up must not take the answer from the others

    async def _ask(self, key: _Key) -> UpstreamAnswer:
        """Put the question, tell the breaker how it went, keep what may be kept."""
        import aiohttp

        answer = UpstreamAnswer(ResponseCode.SERVER_TOO_BUSY, message="the upstream was not asked to the end")
        try:
            answer = self._read(*await self._get(self._format_url(key)))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = type(error).__name__
            answer = UpstreamAnswer(ResponseCode.SERVER_TOO_BUSY, message=f"the upstream does not answer ({reason})")
        except (ValueError, RecursionError) as error:  # foreign bytes that are no answer
            answer = UpstreamAnswer(ResponseCode.ERROR, message=f"the upstream's answer cannot be read: {error}"[:200])
        finally:
            # What cannot be read is an answer, too: five odd identifiers must not close the way for all others.
            self._breaker.report(answer.response_code != ResponseCode.SERVER_TOO_BUSY, self._clock())
        if answer.response_code not in (ResponseCode.ERROR, ResponseCode.SERVER_TOO_BUSY):
            self._cache.keep(key, answer, self._clock() + self._choose_ttl(answer))
        return answer

    def _format_url(self, key: _Key) -> "URL":
        from yarl import URL

        identifier, indexes, types = key
        parameters = [f"index={n}" for n in indexes] + [f"type={quote(t, safe='', errors='replace')}" for t in types]
        query = "?" + "&".join(parameters) if parameters else ""
        path = format_path(identifier)
        return URL(f"{self._settings.url.rstrip('/')}/api/handles/{path}{query}", encoded=True)

    async def _get(self, url: "URL") -> tuple[int, bytes]:
        """Status and body; raises ValueError for a body over the bound."""
        assert self._session is not None, "use the upstream in `async with`"  # noqa: S101 (a defect of the caller)
        async with self._session.get(url, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > self._settings.answer_bytes:
                    raise ValueError(f"longer than {self._settings.answer_bytes} bytes")
            return response.status, bytes(body)

    def _read(self, status: int, body: bytes) -> UpstreamAnswer:
        """The answer in a response; raises ValueError if it makes no sense."""
        if 300 < status < 400:
            raise ValueError(f"a redirect (HTTP {status}), which is not followed")
        try:
            document: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            if status >= 500:
                return UpstreamAnswer(ResponseCode.SERVER_TOO_BUSY, message=f"the upstream answered HTTP {status}")
            raise ValueError(f"HTTP {status} without JSON") from error
        code = document.get("responseCode") if isinstance(document, dict) else None
        if not isinstance(code, int):
            raise ValueError("no responseCode")
        if code in _BUSY:
            return UpstreamAnswer(ResponseCode.SERVER_TOO_BUSY, message="the upstream is busy")
        if code in _DENIED:
            return UpstreamAnswer(ResponseCode.INSUFFICIENT_PERMISSIONS, message=_take_text(document, "message"))
        if code not in _ANSWERED:
            raise ValueError(f"responseCode {code}")
        has_values = code == ResponseCode.SUCCESS or code in _REFERRALS
        values = parse_values(document.get("values")) if has_values else []
        handle = _take_text(document, "handle") if code in _REFERRALS else ""
        return UpstreamAnswer(code, values, _take_text(document, "message"), handle)

    def _choose_ttl(self, answer: UpstreamAnswer) -> float:
        """Seconds an answer may be kept: the smallest time to live of its values; short if it has none."""
        settings = self._settings
        if not answer.values:
            return settings.negative_ttl_seconds
        now = self._wall_clock()
        lives = (v.ttl_seconds - now if v.ttl_is_absolute else v.ttl_seconds for v in answer.values)
        return max(0.0, min(settings.longest_ttl_seconds, *lives))


def format_path(identifier: bytes) -> str:
    """An identifier as a path: the first slash stays, unless what follows it is a segment that would be resolved."""
    prefix, slash, suffix = identifier.partition(b"/")
    separator = "%2F" if slash and suffix in {b".", b".."} else slash.decode()
    return f"{quote(prefix, safe='')}{separator}{quote(suffix, safe='')}"


def _take_text(document: dict[str, Any], name: str) -> str:
    text = document.get(name)
    return text[:200] if isinstance(text, str) else ""


def _check_url(settings: UpstreamSettings) -> None:
    try:
        parts = urlsplit(settings.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SetupError("upstream_url_malformed", field="upstream_url", url=settings.url) from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username:
        raise SetupError("upstream_url_malformed", field="upstream_url", url=settings.url)
    from resolver.public_network import is_private_literal

    if not settings.allow_private and is_private_literal(host):
        raise SetupError("upstream_private", field="upstream_url", url=settings.url)
