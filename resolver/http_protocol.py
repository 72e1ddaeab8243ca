"""HTTP/1.1 on uvicorn with a short cut (design decision 7): a hot GET is answered in the socket's callback.

Short answers are given only if the connection is idle and the header block was judged plain before; everything
else goes the one long way: parser, ASGI application. Bounds that uvicorn lacks are here, too: the size of a head and
the time it may take, and how long a connection may be idle.
"""

import re
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from time import monotonic, time
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from resolver.bounds import ReadBudget
from resolver.cache import Entry, RecordCache
from resolver.http_app import VARY, HttpSite, format_stale
from resolver.http_request import Traits, is_plain, pack_address
from resolver.reply import JSON_TYPE, Reply, make_plain
from schemas.http_heads import STRICT_TRANSPORT, check_host, encode_line, feed, is_offer
from schemas.resolution_log import Outcome, Transport

MAX_HEAD_BYTES = 16_384
HEAD_SECONDS = 15.0
IDLE_SECONDS = 75.0
LINGER_SECONDS = 5.0  # for a refused client to read why
SWEEP_SECONDS = 1.0
MAX_JUDGED = 2_048
MAX_JUDGED_BYTES = 2_048
_API = b"GET /api/handles/"
_VERSION = b" HTTP/1.1\r\n"
_PLAIN_IDENTIFIER = re.compile(rb"[0-9][0-9A-Za-z.]*/[0-9A-Za-z.\-_~!$&'()*+,;=:@/]{1,1000}")
_METHOD = re.compile(rb"[A-Z]{1,20} /")
_HTTP, _FOUND = int(Transport.HTTP), int(Outcome.FOUND)


class _Lengths(dict[int, bytes]):
    """The end of a 200's head and the beginning of its body, by the bytes that follow."""

    def __missing__(self, following: int) -> bytes:
        body = b'{"responseCode":1,"handle":"'
        made = b"%d\r\n\r\n%b" % (len(body) + following, body)
        if len(self) < 4_096:
            self[following] = made
        return made


_LENGTHS = _Lengths()


class ShortCut:
    """What all connections of a worker share: judged header blocks, and heads of answers that change each second."""

    def __init__(self, site: HttpSite, reads: ReadBudget, is_on: bool = True, is_tls: bool = False) -> None:
        self.cache: RecordCache = site.cache
        self.log = site.log
        self.judge = site.judge
        self.reads = reads
        self.is_on = is_on  # tests turn it off, to see that both ways behave alike
        self._strict = "{}: {}\r\n".format(*STRICT_TRANSPORT).encode() if is_tls else b""
        self._judged: dict[bytes, Traits] = {}
        self._judged_by_proxy: dict[bytes, Traits] = {}
        self.connections: set[ResolverProtocol] = set()
        self.found_head = self.found_head_varying = self.common = b""
        self.refresh()

    def refresh(self) -> None:
        """Once a second: the date, and how stale answers are."""
        date = b"date: " + formatdate(time(), usegmt=True).encode() + b"\r\n"
        stale = self.cache.stale_seconds()
        age = b"" if stale is None else b"".join(b"%b: %b\r\n" % header for header in format_stale(stale))
        self.common = date + b"x-content-type-options: nosniff\r\n" + self._strict + age
        head = b"HTTP/1.1 200 OK\r\n" + self.common + b"content-type: " + JSON_TYPE + b"\r\n"
        self.found_head = head + b"content-length: "
        self.found_head_varying = head + b"%b: %b\r\ncontent-length: " % VARY

    def choose_table(self, peer: bytes) -> dict[bytes, Traits]:
        """Peers whose word about their clients is taken have judgements of their own."""
        return self._judged_by_proxy if self.judge.is_trusted(peer) else self._judged

    def sweep(self) -> None:
        """Close what is idle or slow."""
        now = monotonic()
        for connection in list(self.connections):
            connection.check_time(now)


class ResolverProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, short: ShortCut, config: Config, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._short = short
        self._find: Callable[[bytes], Entry | None] = short.cache.find
        self._log = short.log.append
        self._judged: dict[bytes, Traits] = {}
        self._traits: Traits | None = None  # of the header block that came last, which `_block` holds
        self._block, self._cut = b"", 0
        self._peer = b""
        self._idle = short.is_on  # nothing is being read, looked up or answered
        self._in_head = self._in_message = False
        self._waits = False  # for the database, on the short way
        self._held = b""  # what came meanwhile
        self._closing = False
        self._discards = False  # the request was refused; what else comes is not read
        self._begun = 0  # messages so far
        self._head_bytes = 0  # of the last head, as the parser found them
        self._later_bytes = 0  # of a head that is not complete, without those of the read it began behind another in
        self._head_since = 0.0
        self._served = False  # since the last look at the time
        self._quiet_since = monotonic()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._short.connections.add(self)
        if self.client:
            self._peer = pack_address(self.client[0])
        self._judged = self._short.choose_table(self._peer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._short.connections.discard(self)
        self._short.reads.release(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The commonest request, with the head of the one before, is answered right here: each call would cost 1 %."""
        if self._idle:
            traits = self._traits
            if traits is not None and data.endswith(self._block) and data.startswith(_API):
                raw = data[17 : self._cut]
                entry = self._find(raw)
                if entry is not None and entry.is_plain and not self.flow.write_paused:
                    if self.timeout_keep_alive_task is not None:
                        self._unset_keepalive_if_required()
                    self._served = True
                    address = traits.address or self._peer
                    self._log(raw, entry.prefix_id, entry.template_id, _HTTP, _FOUND, traits.client_class, address)
                    tail = entry.rest_tail()
                    self.transport.write(b"".join((self._short.found_head, _LENGTHS[len(raw) + len(tail)], raw, tail)))
                    return
                if self._answer_known(data, raw, entry, traits, is_api=True):
                    return
            elif self._answer_short(data):
                return
        elif self._waits:
            self._hold(data)
            return
        self._read(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Who has said all he wants to say may still hear the answer."""
        if self._in_message or self.scheme != "http":  # TLS knows no half-closed connections
            return False
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering:
            self.cycle.keep_alive = False
        self._closing = self._waits
        return self._waits or is_answering

    # The short way

    def _answer_short(self, data: bytes) -> bool:
        """Answer from the cache, or ask the database; False if this is not for the short way."""
        at = data.find(_VERSION)
        block = data[at:]
        traits = self._judged.get(block)
        if traits is None:
            return False
        self._traits, self._block, self._cut = traits, block, -len(block)
        if data.startswith(_API):
            raw = data[17:at]
            return self._answer_known(data, raw, self._find(raw), traits, is_api=True)
        if data.startswith(b"GET /") and not traits.wants_page:
            raw = data[5:at]
            return self._answer_known(data, raw, self._find(raw), traits, is_api=False)
        return False

    def _answer_known(self, data: bytes, raw: bytes, entry: Entry | None, traits: Traits, is_api: bool) -> bool:
        """As `_answer_short`, when it is known what the cache has."""
        if self.flow.write_paused:
            return False
        if entry is not None and entry.is_plain:
            self._unset_keepalive_if_required()
            self._send_found(raw, entry, traits, is_api)
            return True
        if _PLAIN_IDENTIFIER.fullmatch(raw) is None:
            return False
        self._unset_keepalive_if_required()
        if entry is not None:
            return self._send_short(raw, entry, traits, is_api)
        self._idle, self._waits = False, True
        self._short.cache.fetch(raw, partial(self._finish_short, data, raw, traits, is_api))
        return True

    def _hold(self, data: bytes) -> None:
        """Keep what comes before the database has answered; pausing for every miss would cost two system calls."""
        self._held += data
        self._short.reads.hold(self, len(self._held))
        if len(self._held) > MAX_HEAD_BYTES:
            self.flow.pause_reading()

    def _finish_short(self, data: bytes, raw: bytes, traits: Traits, is_api: bool, entry: Entry | None) -> None:
        """The database has answered."""
        self._waits = False
        if self.transport.is_closing():
            return
        try:
            self._go_on(data, raw, traits, is_api, entry)
        except Exception:  # out of memory, a damaged row: who waits for this answer must not wait for ever
            self.transport.abort()
            raise

    def _go_on(self, data: bytes, raw: bytes, traits: Traits, is_api: bool, entry: Entry | None) -> None:
        self._idle = True
        held, self._held = self._held, b""
        if held:
            self._short.reads.release(self)
        self.flow.resume_reading()
        if entry is not None and entry.is_plain:
            self._send_found(raw, entry, traits, is_api)
        elif not self._send_short(raw, entry, traits, is_api):
            self._read(data)
        if held:
            self.data_received(held)
        if self._closing:
            self.shutdown()

    def _send_found(self, raw: bytes, entry: Entry, traits: Traits, is_api: bool) -> None:
        """The commonest answer, from parts that are ready."""
        self._served = True
        address = traits.address or self._peer
        self._log(raw, entry.prefix_id, entry.template_id, _HTTP, _FOUND, traits.client_class, address)
        tail = entry.rest_tail()
        head = self._short.found_head if is_api else self._short.found_head_varying
        self.transport.write(b"".join((head, _LENGTHS[len(raw) + len(tail)], raw, tail)))

    def _send_short(self, raw: bytes, entry: Entry | None, traits: Traits, is_api: bool) -> bool:
        """Send the plain answer; False if it takes more than that."""
        if entry is not None and (entry.is_foreign or (entry.outcome is Outcome.RETIRED and not is_api)):
            return False
        reply = make_plain(raw, entry)
        if entry is not None:
            prefix_id, template_id, outcome = entry.prefix_id, entry.template_id, entry.outcome
        else:
            prefix_id, template_id, outcome = self._short.cache.find_prefix_id(raw), 0, Outcome.UNAVAILABLE
        client_class = self._short.cache.prefixes.choose_class(prefix_id, traits.client_class)
        self._log(raw, prefix_id, template_id, _HTTP, outcome, client_class, traits.address or self._peer)
        headers = reply.headers if is_api else (*reply.headers, VARY)
        self._write(Reply(reply.status, reply.body, reply.content_type, outcome, headers))
        return True

    def _write(self, reply: Reply) -> None:
        headers = b"".join(b"%b: %b\r\n" % header for header in reply.headers)
        self.transport.write(
            b"%b%bcontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b"
            % (STATUS_LINE[reply.status], self._short.common, reply.content_type, headers, len(reply.body), reply.body)
        )
        self._served = True

    # The long way

    def _read(self, data: bytes) -> None:
        """Feed the parser; refuse heads that are too large; remember a plain header block for the next time."""
        if self._discards:
            return
        was_idle, begun, is_new = self._idle, self._begun, not self._in_message
        if self._in_head:
            self._later_bytes += len(data)
        elif not self._in_message and not data.isascii():
            data = encode_request_line(data)
        self._unset_keepalive_if_required()
        try:
            feed(self, data)
        except httptools.HttpParserInvalidMethodError:
            if _METHOD.match(data):
                self._refuse(501, "Unknown method")
            else:
                self._refuse(400, "Invalid HTTP request")
        except httptools.HttpParserError:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()
            else:
                self._refuse(400, "Invalid HTTP request")
        else:
            if self._in_head and is_new and self._begun == begun + 1:
                self._later_bytes = len(data)  # all of this read is of one head
            if self._in_message:
                self._short.reads.hold(self, self._later_bytes if self._in_head else len(self.cycle.body))
            if self._in_head and self._later_bytes > MAX_HEAD_BYTES:
                self._refuse_head()
            elif was_idle and self._begun == begun + 1 and not self._in_message:
                self._remember(data)

    def _remember(self, data: bytes) -> None:
        """`data` was one whole request: judge its header block, if it has one that a short way could know."""
        block = data[data.find(_VERSION) :]
        if len(block) > MAX_JUDGED_BYTES or block.find(b"\r\n\r\n") != len(block) - 4:
            return
        if not data.startswith(b"GET /") or not is_plain(self.headers):
            return
        if len(self._judged) >= MAX_JUDGED:
            self._judged.clear()
        self._judged[block] = self._short.judge.read(self.headers, self._peer, self.scheme == "https")

    def _refuse_head(self) -> None:
        if len(self.url) > MAX_HEAD_BYTES // 2:
            self._refuse(414, "The request line is too long")
        else:
            self._refuse(431, "The head of the request is too large")

    def _refuse(self, status: int, message: str) -> None:
        """Say what is wrong with the bytes and close; what was asked before them is still answered."""
        self._idle = False
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if self._in_head or not self._in_message:
                self.cycle.keep_alive = False
                self.flow.pause_reading()
                return
            if self.cycle.response_started or self.pipeline:  # the body of a request that is being answered is broken
                self.transport.close()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = b'{"responseCode":4,"message":"%b"}' % message.encode()
        self._write(Reply(status, body, headers=((b"connection", b"close"),)))
        # Closing with bytes unread would reset the connection and take the answer away from the client.
        self._discards = True
        self._quiet_since = monotonic()
        self.transport.write_eof()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._idle, self._in_message, self._in_head = False, True, True
        self._begun += 1
        self._head_bytes = self._later_bytes = 0
        self._head_since = monotonic()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._add_to_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._add_to_head(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _add_to_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge  # stops the parser, which makes an HttpParserError of it

    def on_headers_complete(self) -> None:
        self._in_head = False
        check_host(self.headers, self.parser.get_http_version())
        if not is_offer(self.parser):
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        if is_offer(self.parser):  # comes again without it
            return
        self._short.reads.release(self)
        super().on_message_complete()
        self._settle()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._served = True
        self._settle()

    def _settle(self) -> None:
        """Idle again, if everything that was read is answered."""
        done = self.cycle is None or self.cycle.response_complete
        self._idle = self._short.is_on and done and not self._in_message and not self.pipeline

    # Time and end

    def check_time(self, now: float) -> None:
        """Called about once a second: a head has a deadline, and nobody may be idle for ever."""
        if self._discards:
            if now - self._quiet_since > LINGER_SECONDS:
                self.transport.close()
        elif self._in_head and now - self._head_since > HEAD_SECONDS:
            self._refuse(408, "The request did not arrive in time")
        elif self._served or self._waits or self._in_message:
            self._served = False
            self._quiet_since = now
        elif now - self._quiet_since > IDLE_SECONDS and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def give_way(self) -> None:
        """Too much is half read, and this began first."""
        self._discards = True
        self.transport.abort()

    def shutdown(self) -> None:
        if self._waits:
            self._closing = True
        else:
            super().shutdown()


def encode_request_line(data: bytes) -> bytes:
    """A whole request with its first line in ASCII."""
    line, end, rest = data.partition(b"\r\n")
    return encode_line(line) + end + rest


class HeadTooLarge(Exception):
    """A head is over its limit."""
