"""One call of the interface: who asks, what the query and the body say, and the connection it may use."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl

import asyncpg
import orjson
from asyncpg import Connection
from starlette.requests import Request

from registry.api.gate import find_address
from registry.api.state import POOL_SIZE, RegistryState
from registry.audit import note
from registry.members import find_member_twice
from registry.principals import Order, Principal
from registry.sign_in import Visit
from registry.snms import texts
from registry.snms.fields import Fields, Refusal
from registry.snms.looking import Looks
from schemas.errors import Unauthenticated, Unavailable
from schemas.templates import Template

TURN_SECONDS = 20.0
BOM = b"\xef\xbb\xbf"
_NOT_LOST = ("08", "57P")  # SQLSTATE: the connection broke, the server is stopping


class UnknownOutcome(Unavailable):
    """A write was under way when the database went: it may have been done. The client repeats it (§d.1, 504)."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the calls of one process have in common.

    `looks`: what is looked up goes to the database together. `templates`: those that were looked up before, by
    number, each with the time of its last change. `turns`: who finds all connections busy waits here in order, and
    leaves some to the rest of the registry. `callers`: who looked something up within the last second, by token and
    address, until when (monotonic).
    """

    looks: Looks
    templates: dict[int, tuple[datetime, Template]] = field(default_factory=dict)
    callers: dict[tuple[str, str], tuple[float, Principal]] = field(default_factory=dict)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(POOL_SIZE - 2))


@dataclass(slots=True)
class SnmsCall:
    """`query` and `body` as they came in; `principal` None only where anybody may call."""

    request: Request
    state: RegistryState
    principal: Principal | None
    shared: Shared
    query: dict[str, str] = field(default_factory=dict)
    body: object = None

    def get_principal(self) -> Principal:
        """Raises Unauthenticated for anonymous callers."""
        if self.principal is None:
            raise Unauthenticated("key_missing")
        return self.principal

    def order(self, reason: str = "") -> Order:
        return Order(self.get_principal(), self.state.now(), reason, self.address)

    @property
    def address(self) -> str:
        return find_address(self.request.scope)

    def visit(self) -> Visit:
        return Visit(self.state.now(), self.address, self.request.headers.get("user-agent", ""))

    def get_object(self) -> Mapping[str, object]:
        """The members of the body; none for an empty one."""
        if self.body is not None and not isinstance(self.body, dict):
            raise Refusal(texts.BODY_NOT_OBJECT)
        return self.body or {}

    def read_fields(self) -> Fields:
        """Members of the body and parameters of the query together; each method's own place goes first (§d.9)."""
        body = self.get_object()
        return Fields({**body, **self.query} if self.request.method == "GET" else {**self.query, **body})

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A connection for reading, after those who asked before; Unavailable if none is to be had."""
        await _take_turn(self.shared.turns)
        try:
            async with self.state.connect() as conn:
                yield conn
        finally:
            self.shared.turns.release()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """A connection in a transaction. If it breaks once work has begun, nobody knows what became of it."""
        async with self.connect() as conn:
            try:
                async with conn.transaction():
                    yield conn
                    await note(conn, self.order(), f"{self.request.method} SNMS", self.request.url.path)
            except asyncpg.PostgresError as error:
                if (error.sqlstate or "").startswith(_NOT_LOST):
                    raise UnknownOutcome("database_unavailable") from error
                raise
            except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                raise UnknownOutcome("database_unavailable") from error


async def _take_turn(turns: asyncio.Semaphore) -> None:
    """Raises Unavailable after a wait that only a database in trouble makes so long."""
    if not turns.locked():
        await turns.acquire()
        return
    try:
        async with asyncio.timeout(TURN_SECONDS):
            await turns.acquire()
    except TimeoutError:
        raise Unavailable("database_unavailable") from None


Handler = Callable[[SnmsCall], Awaitable[object]]


def read_query(raw: bytes) -> dict[str, str]:
    """Parameters by name, the first of each; bytes that are no UTF-8 become lone surrogates, which match nothing."""
    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
    return dict(reversed(pairs))


def parse_body(data: bytes, content_type: str) -> object:
    """JSON whatever the content type says; a form only where it is called one. None for an empty body."""
    data = data.removeprefix(BOM).strip()
    if not data:
        return None
    if content_type.startswith("application/x-www-form-urlencoded") and data[:1] not in b"{[":
        return read_query(data)
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg or "recursion" in error.msg:
            raise Refusal(texts.BODY_TOO_DEEP) from None
        raise Refusal(texts.BODY_NOT_JSON.format(position=error.pos)) from None
    _check_no_member_twice(data, parsed)
    return parsed


def parse_spare_body(data: bytes, content_type: str) -> object:
    """Of a GET, whose parameters stand in the query: a body that is no JSON object says nothing (§d.9)."""
    try:
        body = parse_body(data, content_type)
    except Refusal:
        return None
    return body if isinstance(body, dict) else None


def _check_no_member_twice(data: bytes, parsed: object) -> None:
    try:
        name = find_member_twice(data, parsed)
    except (orjson.JSONEncodeError, RecursionError):
        raise Refusal(texts.BODY_TOO_DEEP) from None
    if name is not None:
        raise Refusal(texts.KEY_TWICE.format(name=name[:80]))
