"""One signed call of TLN-1 over HTTP. This is the adapter to another kind of top-level node's seam: what lies behind it
knows messages and receipts, and nothing of how they travel."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from schemas.toplevel_envelope import Signer, make_headers

if TYPE_CHECKING:  # who sends nothing, as the registry, needs it not: a quarter of a second of its start
    import aiohttp

LONGEST_PAUSE_SECONDS = 3_600.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
RECEIPT_STATES = ("ACCEPTED", "PARTIAL", "REJECTED", "PENDING")

log = logging.getLogger("idnode.toplevel")


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is None if nothing was answered. `document` is None if it was not a JSON object."""

    status: int | None
    document: dict[str, Any] | None = None
    reason: str = ""
    retry_after_seconds: float | None = None
    date: datetime | None = None  # what time it is there


@dataclass(frozen=True, slots=True)
class Call:
    """A call before it is signed; `path` lies below the address of the top-level node, its query included."""

    method: str
    path: str
    prefix: str
    body: bytes = b""
    content_type: str = "application/json"
    encoding: str = ""
    idempotency_key: str = ""


class TopLevel:
    """The way to a top-level node: its address, an HTTP session, and who signs."""

    def __init__(self, url: str, session: "aiohttp.ClientSession", signer: Signer) -> None:
        self._url, self._session, self.signer = url.rstrip("/"), session, signer
        self._base_path = urlsplit(self._url).path

    async def call(self, call: Call, now: datetime) -> Answer:
        """Sign and send once; never raises for what the network or the other side does."""
        key = call.idempotency_key or str(uuid4())
        now_ms = int(now.timestamp() * 1000)
        signed = (call.method, self._base_path + call.path, call.body)
        headers = make_headers(self.signer, call.prefix, signed, now_ms, key)
        headers["Content-Type"] = call.content_type
        if call.encoding:
            headers["Content-Encoding"] = call.encoding
        return await self.send_unsigned(call, headers)

    async def send_unsigned(self, call: Call, headers: dict[str, str]) -> Answer:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=300, connect=10, sock_read=30)
        try:
            async with self._session.request(
                call.method, self._url + call.path, data=call.body, headers=headers, timeout=timeout,
                allow_redirects=False, skip_auto_headers=("Content-Encoding",),
            ) as response:  # fmt: skip
                content = await response.content.read(MAX_ANSWER_BYTES + 1)
                while len(content) <= MAX_ANSWER_BYTES and (more := await response.content.read(MAX_ANSWER_BYTES)):
                    content += more
                return _read(response, content)
        except TimeoutError:
            return Answer(None, reason="no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(None, reason=str(error) or type(error).__name__)


def _read(response: "aiohttp.ClientResponse", content: bytes) -> Answer:
    # What it says is kept and shown; PostgreSQL keeps no NUL.
    content = content.replace(b"\\u0000", b"\\ufffd")
    try:
        document = orjson.loads(content) if len(content) <= MAX_ANSWER_BYTES else None
    except orjson.JSONDecodeError:
        document = None
    at = _read_date(response.headers.get("Date", ""))
    return Answer(
        response.status,
        document if isinstance(document, dict) else None,
        f"HTTP {response.status}",
        read_pause_seconds(response.headers.get("Retry-After", ""), at),
        at,
    )


def read_pause_seconds(text: str, at: datetime | None) -> float | None:
    """The Retry-After header, seconds or a date (RFC 9110 §10.2.3), an hour at most; `at` is the answer's own date."""
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_PAUSE_SECONDS)
    until = _read_date(text)
    if until is None:
        return None
    return min(max((until - (at or datetime.now(UTC))).total_seconds(), 0.0), LONGEST_PAUSE_SECONDS)


def _read_date(text: str) -> datetime | None:
    """A date of HTTP (RFC 9110 §5.6.7)."""
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC) if text.endswith("GMT") else None
    except ValueError:
        return None


def has_receipt(answer: Answer) -> bool:
    """Whether the answer is a receipt of the contract; anything else is an answer of somebody else."""
    document = answer.document or {}
    return (
        document.get("status") in RECEIPT_STATES
        and isinstance(document.get("receiptId"), str)
        and type(document.get("received")) is int
        and isinstance(document.get("rejected", []), list)
    )
