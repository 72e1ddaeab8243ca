"""What surrounds every request: its id, what it cost, and a line in the log when it failed or took long."""

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.latencies import Latencies
from registry.store.changes import ISSUED
from schemas.request_ids import HEADER, REQUEST_ID, choose_request_id

SLOW_SECONDS = 1.0
NO_ANSWER = 499  # the client had gone, as nginx counts it
_STREAMS = "/api/v1/identifiers/stream"  # they take as long as their client sends
logger = logging.getLogger("idnode.requests")


@dataclass(slots=True)
class RequestCounts:
    """Since the process began."""

    by_status: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)  # of requests that registered


class Watch:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, counts: RequestCounts) -> None:
        self._app, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(Headers(scope=scope).get(HEADER.decode(), ""))
        token, started, status = REQUEST_ID.set(request_id), time.perf_counter(), NO_ANSWER
        issued: set[int] = set()
        issuing = ISSUED.set(issued)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER.decode()] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")  # what is asked for is in many answers
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            self._note(scope, status, seconds)
            if issued and status < 300 and not scope["path"].startswith(_STREAMS):
                self._counts.latencies.note(issued, seconds, datetime.now(UTC))
            ISSUED.reset(issuing)
            REQUEST_ID.reset(token)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        self._counts.by_status[status] += 1
        self._counts.seconds += seconds
        if status >= 500 or seconds > SLOW_SECONDS:
            path = scope["path"][:200]  # never the query, which may hold what is not for logs
            fields = {"method": scope["method"], "path": path, "status": status, "milliseconds": int(seconds * 1000)}
            text = "%(method)s %(path)s answered %(status)s after %(milliseconds)d ms"
            logger.info(text, fields, extra={"fields": fields})
