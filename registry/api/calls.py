"""One request as the routes see it, and the two ways to answer it: reading, and writing once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from asyncpg import Connection
from fastapi import Depends, Header, Query, Request, Response
from pydantic import AfterValidator

from registry.api.gate import find_address, name_action
from registry.api.idempotency import IdempotencyKey, StoredAnswer, check_key, make_digest
from registry.api.problems import answer_problem, dump_json
from registry.api.state import RegistryState
from registry.audit import note
from registry.principals import Order, Principal
from schemas.errors import InvalidInput, PreconditionFailed, ServiceError, Unauthenticated, Unavailable

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """`content` is what JSON can say, with datetimes and UUIDs."""

    content: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Effect = Callable[[Connection], Awaitable[Answer]]


class _DryRun(Exception):
    """Rolls back what was tried."""


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, in which language, and what the process holds."""

    request: Request
    state: RegistryState
    language: str
    principal: Principal | None

    def get_principal(self) -> Principal:
        """Raises Unauthenticated for anonymous callers."""
        if self.principal is None:
            raise Unauthenticated("key_missing")
        return self.principal

    def get_operator(self) -> Principal:
        """Raises Unauthenticated or Forbidden."""
        principal = self.get_principal()
        principal.check_operator()
        return principal

    def get_reviewer(self) -> Principal:
        """Raises Unauthenticated or Forbidden."""
        principal = self.get_principal()
        principal.check_reviewer()
        return principal

    def order(self, reason: str = "") -> Order:
        if reason:
            self.request.state.reason = reason  # for the audit trail, which is written when all is done
        return Order(self.get_principal(), self.state.now(), reason, self.address)

    @property
    def address(self) -> str:
        """The client's, as trusted proxies say it; empty for who comes by a Unix socket."""
        return find_address(self.request.scope)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        async with self.state.connect() as conn:
            yield conn

    def reply(self, content: Any, headers: Mapping[str, str] | None = None) -> Response:
        """What a read answers."""
        return Response(dump_json(content), 200, {"Cache-Control": "no-store", **(headers or {})}, JSON)


@dataclass(frozen=True, slots=True)
class WritingCall(Call):
    """`key` is the Idempotency-Key and `if_match` the If-Match header, if one was given."""

    dry_run: bool = False
    key: str | None = None
    if_match: str | None = None

    async def write(self, effect: Effect, digest: bytes | None = None) -> Response:
        """Run an effect in one transaction and answer; a repeated key gets the first answer and has no effect.

        `digest` stands for the body where it is not JSON.
        """
        if self.key is not None and not self.dry_run:
            key = await self.make_key(self.key, digest)
            lock = self.state.key_locks.setdefault((key.account, key.route, key.key), asyncio.Lock())
            async with lock, self.state.connect() as conn:
                answer = await self._write_once(conn, effect, key)
        else:
            async with self.state.connect() as conn:
                answer = await (self._try(conn, effect) if self.dry_run else self._write(conn, effect))
        return Response(answer.body, answer.status, answer.headers)

    async def _write(self, conn: Connection, effect: Effect) -> StoredAnswer:
        async with conn.transaction():
            return await self._carry_out(conn, effect)

    async def _write_once(self, conn: Connection, effect: Effect, key: IdempotencyKey) -> StoredAnswer:
        now = self.state.now()
        async with conn.transaction():
            first = await key.find_first_answer(conn, now)
            if first is not None:
                self.request.state.audited = True  # nothing is written again
                return first
            try:
                async with conn.transaction():  # a refusal is kept, what was written before it is not
                    answer = await self._carry_out(conn, effect)
            except Unavailable:
                raise
            except ServiceError as error:
                problem = answer_problem(error, self.language)
                headers = {**problem.headers, "Content-Type": "application/problem+json"}
                answer = StoredAnswer(problem.status, headers, problem.body)
            await key.store(conn, answer, now)
        return answer

    async def _carry_out(self, conn: Connection, effect: Effect) -> StoredAnswer:
        """What is done and its entry in the audit trail stand or fall together."""
        answer = self._pack(await effect(conn))
        held = self.request.state
        order = Order(self.get_principal(), self.state.now(), getattr(held, "reason", ""), self.address)
        await note(conn, order, name_action(self.request.scope), self.request.scope["path"])
        held.audited = True
        return answer

    async def _try(self, conn: Connection, effect: Effect) -> StoredAnswer:
        """Everything the effect would do and answer, rolled back."""
        try:
            async with conn.transaction():
                tried = await effect(conn)
                raise _DryRun
        except _DryRun:
            return self._pack(Answer(tried.content, 200, {**tried.headers, "Dry-Run": "true"}))

    def _pack(self, answer: Answer) -> StoredAnswer:
        headers = {"Cache-Control": "no-store", **answer.headers, "Content-Type": JSON}
        return StoredAnswer(answer.status, headers, dump_json(answer.content))

    async def make_key(self, key: str, digest: bytes | None) -> IdempotencyKey:
        request, principal = self.request, self.get_principal()
        if digest is None:
            digest = make_digest(await request.body())
        whole = make_digest(
            request.scope["raw_path"],
            request.scope["query_string"],
            request.headers.get("if-match", "").encode(),
            digest,
        )
        route, ring = name_action(request.scope), self.state.config.rules.key_ring
        # Each has his own: two programs of one firm may draw the same key, and one may be shown less than the other.
        return IdempotencyKey(principal.actor, route, check_key(key), whole, ring)


def make_call(
    request: Request,
    lang: Annotated[
        str | None, Query(description="`zh` or `en`; goes before Accept-Language.", examples=["en"])
    ] = None,
) -> Call:
    held = request.state
    return Call(request, request.app.state.registry, held.language, held.principal)


def make_writing_call(
    request: Request,
    call: Annotated[Call, Depends(make_call)],
    dry_run: Annotated[bool, Query(description="Answer as usual (with status 200) and write nothing.")] = False,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="The first answer is repeated for the same request within 7 days; another request is 409.",
            examples=["mes-2024-06-04-000017"],
        ),
    ] = None,
) -> WritingCall:
    return WritingCall(call.request, call.state, call.language, call.get_principal(), dry_run, idempotency_key)


Reading = Annotated[Call, Depends(make_call)]
Writing = Annotated[WritingCall, Depends(make_writing_call)]


def decode_once(text: str) -> str:
    """A part of the path as it was meant. Bytes that are no UTF-8 become lone surrogates, which match nothing."""
    return unquote(text, errors="surrogateescape")


PathText = Annotated[str, AfterValidator(decode_once)]

IfMatch = Annotated[
    str | None,
    Header(description="The ETag of what you saw: 412 if it is something else by now.", examples=['"3"']),
]


def make_changing_call(
    call: Annotated[WritingCall, Depends(make_writing_call)], if_match: IfMatch = None
) -> WritingCall:
    return replace(call, if_match=if_match)


# Of what has an ETag by `registry.api.etags`.
Changing = Annotated[WritingCall, Depends(make_changing_call)]


def parse_revision(if_match: str | None) -> int | None:
    """The revision in an If-Match header; `*` and none are None. Raises PreconditionFailed for foreign ETags."""
    text = (if_match or "*").strip()
    if text == "*":
        return None
    number = text.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise PreconditionFailed("etag_unknown", field="If-Match")
    return int(number)


def format_etag(revision: int) -> str:
    return f'"{revision}"'


def check_limit(limit: int, most: int) -> int:
    """A page's size; raises InvalidInput."""
    if not 1 <= limit <= most:
        raise InvalidInput("limit_out_of_bounds", field="limit", most=most)
    return limit


async def make_file_digest(path: Path) -> bytes:
    """sha256 of a file, read in a thread."""

    def read() -> bytes:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    return await asyncio.to_thread(read)
