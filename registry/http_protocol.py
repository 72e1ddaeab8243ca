"""HTTP/1.1 as the registry serves it: uvicorn's protocol, and the bounds on a request's head that it lacks.

Without them one connection fills the memory by a header that never ends, before anybody asks who it is.
"""

import re
from asyncio import TimerHandle
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from registry.api.problems import MEDIA_TYPE, dump_json
from schemas.http_heads import check_host, encode_line, feed, is_offer
from schemas.texts import format_message, format_remedy

MAX_HEAD_BYTES = 32_768
HEAD_SECONDS = 20.0
IDLE_SECONDS = 75.0  # before a first request; uvicorn itself waits as long for the next one
LINGER_SECONDS = 2.0  # for a refused client to read why
_BLANK = re.compile(rb"[\r\n]*")


class BoundedProtocol(HttpToolsProtocol):
    """One connection; `language` is that of answers to requests which cannot say theirs."""

    def __init__(self, language: str, config: Config, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._language = language
        self._in_head = self._is_refused = False
        self._in_line = True  # the first one of a request, or before it
        self._head_bytes = 0  # as the parser found them
        self._later_bytes = 0  # that came after the read the head began in
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._set_deadline(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._in_head:
            self._later_bytes += len(data)
        start = 0
        while start < len(data) and not self._is_refused:
            end = data.find(b"\r\n\r\n", start) + 4 if self._in_line and not self._in_head else 0
            if end > 4 and (head := data[start:end]).isascii():
                self._feed(head)  # whole, and nothing in it to be read otherwise
                start = end
            elif self._in_line or self._in_head:
                start = self._feed_line(data, start)
            else:
                self._feed(data[start:])
                break
        if self._in_head and self._later_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "head_too_large")

    def _feed_line(self, data: bytes, start: int) -> int:
        """The parser gets a line of a head, or what has come of it; returns where the next one begins.

        Clients that put `handle=88.101.5/泵-1` into an address as it is mean its bytes, percent-encoded.
        """
        if not self._in_head and data[start] in b"\r\n":
            start = _BLANK.match(data, start).end()  # type: ignore[union-attr]  # it always matches
            if start == len(data):
                return start
        end = data.find(b"\n", start) + 1 or len(data)
        line = data[start:end]
        self._feed(encode_line(line) if self._in_line else line)
        if line.endswith(b"\n") and self._in_head:
            self._in_line = False
        return end

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            feed(self, data)
        except httptools.HttpParserError:
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self._later_bytes = True, 0, 0
        self._set_deadline(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._add_to_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._in_line = False
        self._add_to_head(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        self._in_head = self._in_line = False
        self._clear_deadline()
        check_host(self.headers, self.parser.get_http_version())
        if not is_offer(self.parser):
            super().on_headers_complete()
            self.cycle.transport = cast(Any, _LastAnswer(self, self.cycle))

    def on_message_complete(self) -> None:
        if not is_offer(self.parser):  # else it comes again without it
            super().on_message_complete()
        self._in_line = True

    def _add_to_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge  # stops the parser, which makes an HttpParserError of it

    def send_400_response(self, msg: str) -> None:
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "head_too_large")
        else:
            self._refuse(400, "request_malformed")

    def _set_deadline(self, seconds: float) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._in_head:
            self._refuse(408, "head_too_slow")
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str) -> None:
        """Say why, and close; what was asked before is answered first, and that answer is the last."""
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        self._clear_deadline()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # such as a client that counts its body in characters instead of bytes
                cycle.keep_alive = False
                return
            cycle.disconnected = True  # the body itself is malformed: nobody waits for the rest
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
        self.transport.write(format_refusal(status, code, self._language))
        self.linger()

    def linger(self) -> None:
        """Pass over what still comes: closing with bytes unread would reset the connection and take the answer away."""
        self._is_refused = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


class _LastAnswer:
    """The transport as a request's cycle sees it, which closes it after an answer that was given before the body."""

    def __init__(self, protocol: BoundedProtocol, cycle: Any) -> None:
        self._protocol, self._cycle = protocol, cycle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)

    def close(self) -> None:
        if self._cycle.more_body:
            self._protocol.linger()
        else:
            self._protocol.transport.close()


def format_refusal(status: int, code: str, language: str) -> bytes:
    """A whole answer with a problem document (RFC 9457), before there is a request."""
    document = {
        "type": f"/docs#error-{code}",
        "title": format_message(f"status_{status}", language),
        "status": status,
        "detail": format_message(code, language, limit=MAX_HEAD_BYTES, seconds=int(HEAD_SECONDS)),
        "code": code,
        "field": None,
        "remedy": format_remedy(code, language),
    }
    body = dump_json(document)
    head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head.encode() + body


class HeadTooLarge(Exception):
    """A head is over its limit."""
