"""Streams of writes over HTTP: NDJSON in, NDJSON out, in memory one chunk at a time.

The body is taken in whole, into a file, before its first line is carried out: a request that is cut writes nothing,
and nobody who does not read the answer while he is still sending can be waited for by both sides at once.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, BinaryIO, Literal, cast

import asyncpg
import orjson
from asyncpg import Connection
from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from registry.api.calls import Writing, WritingCall
from registry.api.enterprises import ARRIVING
from registry.api.gate import MAX_UPLOAD_BYTES
from registry.api.idempotency import IdempotencyKey
from registry.api.problems import WrongContentType, answer_problem, translate
from registry.api.state import SERVER_SETTINGS
from registry.api.targets import check_texts, get_rule_for_state, get_rule_for_writing, get_template_for_writing
from registry.bulk import Wanted
from registry.late_routes import LateRouter
from registry.sign_in import Visit
from registry.store import ANSWER_SECONDS
from registry.store.records import PrefixRule
from registry.store.streams import fetch_chunk, insert_stream, lock_stream, store_chunk
from registry.streams import (
    Errand,
    Line,
    RowOutcome,
    carry_out,
    count,
    decode_outcomes,
    encode_outcomes,
    format_outcome,
    make_counts,
    read_change,
    read_lines,
    tell,
)
from registry.tokens import authenticate_bearer
from schemas.errors import Conflict, InvalidInput, ServiceError, TooLarge
from schemas.native_bodies import STREAM_TYPE, Action

router = LateRouter(prefix="/api/v1", tags=["identifiers"])

_LINES_IN = '{"suffix": "PUMP-0000001", "values": {"model": "WQ15"}}\n{"identifier": "88.101.5/PUMP-0000002"}\n'
_LINES_OUT = (
    '{"row":1,"identifier":"88.101.5/PUMP-0000001","outcome":"registered"}\n'
    '{"row":2,"identifier":"88.101.5/PUMP-0000002","outcome":"refused","code":"value_missing","field":"model",'
    '"reason":"…","remedy":"…"}\n'
    '{"rows":2,"registered":1,"updated":0,"unchanged":0,"differs":0,"refused":1}\n'
)


class _Undo(Exception):
    """Rolls back what was tried."""


@dataclass(slots=True)
class _Stream:
    """A body on its way through. `key` is its Idempotency-Key, `stream_id` the number it is kept under."""

    call: WritingCall
    prefix: str
    version: str | None
    errand: Errand
    reason: str
    file: BinaryIO
    stream_id: int | None = None
    chunk: int = 0
    row: int = 0
    counts: dict[str, int] = field(default_factory=make_counts)
    preview: Connection | None = None  # dry runs of create see their earlier chunks, on a connection of their own

    async def run_chunk(self) -> list[RowOutcome] | None:
        """The next chunk, carried out now or before; None at the end."""
        lines: list[Line] = await asyncio.to_thread(read_lines, self.file, self.row)
        if not lines:
            return None
        async with self._connect() as conn:
            if self.chunk:
                await self._identify_again(conn)
            outcomes = await self._find_or_carry_out(conn, lines)
        self.row, self.chunk = lines[-1].row, self.chunk + 1
        count(outcomes, self.counts)
        return outcomes

    async def _identify_again(self, conn: Connection) -> None:
        """Who sent it may have lost his key or his rights since; raises Unauthenticated or Forbidden."""
        call = self.call
        visit = Visit(call.state.now(), call.address)
        header = call.request.headers.get("authorization")
        principal = await authenticate_bearer(conn, call.state.config.rules.key_ring, header, visit)
        principal.check_scope("write")
        self.call = replace(call, principal=principal)

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Connection]:
        if self.preview is not None:
            yield self.preview
            return
        async with self.call.connect() as conn:
            yield conn

    async def _find_or_carry_out(self, conn: Connection, lines: list[Line]) -> list[RowOutcome]:
        outcomes: list[RowOutcome] = []
        try:
            async with conn.transaction():
                if self.stream_id is not None and await lock_stream(conn, self.stream_id) > self.chunk:
                    return decode_outcomes(await fetch_chunk(conn, self.stream_id, self.chunk))
                outcomes = await self._carry_out(conn, lines)
                if self.stream_id is not None:
                    await store_chunk(conn, self.stream_id, self.chunk, encode_outcomes(outcomes))
                if self.call.dry_run and self.preview is None:
                    raise _Undo
        except _Undo:
            pass
        return outcomes

    async def _carry_out(self, conn: Connection, lines: list[Line]) -> list[RowOutcome]:
        rule, errand = await self.get_target(conn)
        work = await asyncio.to_thread(lambda: [_read(self.prefix, errand, line) for line in lines])
        act = self.call.order(self.reason).act
        results = await carry_out(conn, rule, errand, work, act, dry_run=self.call.dry_run)
        return tell(self.prefix, lines, results)

    async def get_target(self, conn: Connection) -> tuple[PrefixRule, Errand]:
        """The prefix and what is to be done, with its template as it is now; raises NotFound or Conflict."""
        is_state = self.errand.action not in ("create", "update")
        rule = await (get_rule_for_state if is_state else get_rule_for_writing)(conn, self.call, self.prefix)
        if self.version is None:
            return rule, self.errand
        template = await get_template_for_writing(conn, self.call, self.prefix, self.version)
        errand, wanted = self.errand, self.errand.wanted
        wanted = Wanted(wanted.action, template, wanted.keep_others)
        return rule, Errand(errand.action, wanted, errand.overwrite, errand.successor, errand.notice)


def _read(prefix: str, errand: Errand, line: Line) -> Any:
    return line.item if isinstance(line.item, ServiceError) else read_change(prefix, errand, line.item)


@router.post(
    "/identifiers/stream/{action}", summary="Write any number of identifiers as a stream", response_class=Response,
    responses={200: {"description": "One line for every line sent, then the counts", "content": {
        STREAM_TYPE: {"schema": {"type": "string"}, "example": _LINES_OUT}}}},
    openapi_extra={"requestBody": {"required": True, "description": "NDJSON, gzip or not", "content": {
        STREAM_TYPE: {"schema": {"type": "string"}, "example": _LINES_IN}}}},
)  # fmt: skip
async def post_stream(
    call: Writing,
    action: Literal["create"] | Action,
    prefix: Annotated[str, Query(examples=["88.101.5"])],
    template: Annotated[str | None, Query(description="Needed to create; moves to it on update.")] = None,
    update: Annotated[bool, Query(description="Create: overwrite identifiers that exist with other values.")] = False,
    replace: Annotated[bool, Query(description="Update: values that are not named are removed.")] = False,
    successor: Annotated[str | None, Query(description="Retire: for lines without one.", max_length=4_096)] = None,
    notice: Annotated[str, Query(description="Freeze: for lines without one.", max_length=4_096)] = "",
    reason: Annotated[str, Query(description="Stands in the history.", max_length=1_000)] = "",
) -> Response:
    """Every line is answered by itself: row, identifier, outcome, and code, reason and remedy where there is one.

    The last line holds the counts: without it the answer is not complete. Send the same again under the same
    Idempotency-Key: what was done is told as it was done, the rest is carried out. 2,000 lines a transaction.
    """
    if action == "create" and template is None:
        raise InvalidInput("field_missing", field="template")
    check_texts(successor=successor or "", notice=notice, reason=reason)
    errand = Errand(action, Wanted(action, None, not replace), update, successor, notice)
    async with AsyncExitStack() as stack:
        file, digest = await stack.enter_async_context(_spool(call))
        stream = _Stream(call, prefix, template, errand, reason, file)
        async with call.connect() as conn:
            await stream.get_target(conn)
            if call.key is not None and not call.dry_run:
                stream.stream_id = await _find_stream(conn, await call.make_key(call.key, digest), call)
        if call.dry_run and action == "create":
            stream.preview = await stack.enter_async_context(_open_preview(call))
        first = await stream.run_chunk()
        answer = _answer(stream, first, stack.pop_all())
    headers = {"Cache-Control": "no-store", **({"Dry-Run": "true"} if call.dry_run else {})}
    return StreamingResponse(answer, 200, headers, STREAM_TYPE)


async def _answer(stream: _Stream, first: list[RowOutcome] | None, stack: AsyncExitStack) -> AsyncIterator[bytes]:
    """The lines of the answer, chunk by chunk; what goes wrong on the way is its last line."""
    language, outcomes = stream.call.language, first
    async with stack:
        try:
            while outcomes is not None:
                yield b"".join(orjson.dumps(format_outcome(one, language)) + b"\n" for one in outcomes)
                outcomes = await stream.run_chunk()
        except Exception as error:  # the status was sent long ago
            yield b'{"error":' + answer_problem(translate(error), language).body + b"}\n"
            return
        yield orjson.dumps(stream.counts) + b"\n"


async def _find_stream(conn: Connection, key: IdempotencyKey, call: WritingCall) -> int:
    """The number of this stream, new or not; raises Conflict for another request under the key."""
    async with conn.transaction():
        row = await insert_stream(conn, key.account, key.route, key.key, key.digest, call.state.now())
    if row["body_sha256"] != key.digest:
        raise Conflict("idempotency_key_reused", field="Idempotency-Key", key=key.key)
    return int(row["stream_id"])


@asynccontextmanager
async def _open_preview(call: WritingCall) -> AsyncIterator[Connection]:
    conn = await asyncpg.connect(
        call.state.config.database_url, timeout=5, command_timeout=ANSWER_SECONDS, server_settings=SERVER_SETTINGS
    )
    try:
        yield conn
    finally:
        await conn.close(timeout=5)


@asynccontextmanager
async def _spool(call: WritingCall) -> AsyncIterator[tuple[BinaryIO, bytes]]:
    """The body in a file of ours, unpacked, at its beginning, with its sha256; raises InvalidInput or TooLarge."""
    directory: Path = call.state.config.jobs_dir
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    encoding = call.request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise WrongContentType("content_encoding_wrong", field="Content-Encoding", kind=encoding[:40])
    with NamedTemporaryFile(dir=directory, prefix=ARRIVING) as file:
        digest, size = sha256(), 0
        async for data in _unpack(call, encoding):
            size += len(data)
            if size > MAX_UPLOAD_BYTES:
                raise TooLarge("body_too_large", limit=MAX_UPLOAD_BYTES)
            digest.update(data)
            await asyncio.to_thread(file.write, data)
        file.seek(0)
        yield cast(BinaryIO, file), digest.digest()


async def _unpack(call: WritingCall, encoding: str) -> AsyncIterator[bytes]:
    """The body as it was before it was compressed, a bounded piece at a time."""
    unpacker = zlib.decompressobj(31) if encoding == "gzip" else None
    async for received in call.request.stream():
        if unpacker is None:
            yield received
            continue
        rest = received
        while rest:
            try:
                data = unpacker.decompress(rest, 1 << 20)
            except zlib.error:
                raise InvalidInput("body_gzip_broken", field="Content-Encoding") from None
            yield data
            rest = unpacker.unconsumed_tail
            if unpacker.eof:
                rest = unpacker.unused_data
                if rest:  # a file may consist of several
                    unpacker = zlib.decompressobj(31)
    if unpacker is not None and not unpacker.eof:
        raise InvalidInput("body_gzip_broken", field="Content-Encoding")
