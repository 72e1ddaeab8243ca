"""The registry's end of the link (design decision 9): workers hand over credentials and hear what the holder may see.

A Unix socket that only the node's own account can open, and for workers of other machines TLS with a shared secret.
Nothing is remembered between two questions, so what was revoked is revoked from the next one on.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from logging import getLogger
from pathlib import Path

from registry.api.state import RegistryState
from registry.audit import note
from registry.principals import Order, find_viewer
from registry.sign_in import Visit
from registry.store import DATABASE_AWAY
from registry.tokens import authenticate_bearer
from schemas.errors import Forbidden, ServiceError, SetupError, Unauthenticated
from schemas.link_messages import (
    FORBIDDEN,
    MAX_LINE_BYTES,
    SECRET_WRONG,
    UNAUTHENTICATED,
    UNAVAILABLE,
    ViewerAnswer,
    ViewerQuestion,
    decode_question,
    encode_answer,
)
from schemas.link_place import LinkPlace, is_secret
from schemas.viewing import Viewer

AT_ONCE = 4  # questions with a connection of the pool in their hands, so that the API keeps some
SECRET_SECONDS = 10.0
MAX_STRANGERS = 64  # who have not yet said the secret
SILENT_SECONDS = 60  # after which the kernel asks whether a worker's machine is still there

_log = getLogger(__name__)


@asynccontextmanager
async def serve_link(state: RegistryState, path: Path | None, place: LinkPlace | None = None) -> AsyncIterator[None]:
    """Answer workers at `path`, those of other machines at `place`, while the context lasts; None: not there.

    Raises SetupError if nobody can listen at `place`.
    """
    link = _Link(state)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(link.hang_up)
        if path is not None:
            server = await asyncio.start_unix_server(link.begin, sock=open_link(path), limit=MAX_LINE_BYTES)
            stack.callback(server.close)
        if place is not None and state.config.tls is not None:
            stack.callback((await _listen(link, place, state.config.tls)).close)
        yield


class _Link:
    """The conversations with all workers."""

    def __init__(self, state: RegistryState) -> None:
        self._state = state
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._strangers = 0
        self._conversations: set[asyncio.Task[None]] = set()

    def begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A worker of this machine has called."""
        self._keep(_converse(self._state, self._turns, reader, writer))

    def begin_remote(self, place: LinkPlace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody has called, in TLS."""
        if self._strangers >= MAX_STRANGERS:
            writer.transport.abort()
            return
        opened: socket.socket = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS)
        self._keep(self._converse_remotely(place, reader, writer))

    async def hang_up(self) -> None:
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def _keep(self, conversation: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(conversation)
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _converse_remotely(
        self, place: LinkPlace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._strangers += 1
        try:
            async with asyncio.timeout(SECRET_SECONDS):
                is_worker = is_secret(await reader.readline(), place.secret)
        except (OSError, TimeoutError, ValueError):
            writer.transport.abort()
            return
        finally:
            self._strangers -= 1
        if is_worker:
            await _converse(self._state, self._turns, reader, writer)
            return
        _log.warning("%s called over the link without the right secret", writer.get_extra_info("peername"))
        writer.write(encode_answer(ViewerAnswer(0, refusal=UNAVAILABLE, code=SECRET_WRONG)))
        writer.close()


async def _listen(link: _Link, place: LinkPlace, tls: ssl.SSLContext) -> asyncio.Server:
    """Raises SetupError."""
    begin = partial(link.begin_remote, place)
    try:
        return await asyncio.start_server(
            begin, place.host, place.port, ssl=tls, ssl_handshake_timeout=SECRET_SECONDS, limit=MAX_LINE_BYTES
        )
    except OSError as error:
        raise SetupError("link_cannot_listen", place=str(place), reason=error.strerror or str(error)) from error


def open_link(path: Path) -> socket.socket:
    """A listening socket of mode 0600 in place of whatever a killed process left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        path.unlink(missing_ok=True)
        opened.bind(f"/proc/self/fd/{directory}/{path.name}")  # a socket's own path may have 107 bytes only
        path.chmod(0o600)  # nobody can connect before it listens
        opened.listen(128)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    finally:
        os.close(directory)
    return opened


async def _converse(
    state: RegistryState, turns: asyncio.Semaphore, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One worker's questions, until it hangs up; many may be under way."""
    try:
        async with asyncio.TaskGroup() as answering:
            while line := await reader.readline():
                answering.create_task(_answer(state, turns, decode_question(line), writer))
    except* ConnectionError:
        pass  # a worker that was killed
    except* ValueError:
        _log.warning("a connection of the link was closed: what came over it was no question")
    finally:
        writer.close()


async def _answer(
    state: RegistryState, turns: asyncio.Semaphore, question: ViewerQuestion, writer: asyncio.StreamWriter
) -> None:
    try:
        async with turns:
            answer = await _identify_or_note(state, question)
    except DATABASE_AWAY:
        answer = ViewerAnswer(question.number, refusal=UNAVAILABLE, code="database_unavailable")
    except ServiceError as error:
        details = {name: str(value) for name, value in error.details.items()}
        answer = ViewerAnswer(question.number, refusal=_judge(error), code=error.code, details=details)
    except Exception:  # one question's trouble is not the others'
        _log.exception("a viewer could not be identified")
        answer = ViewerAnswer(question.number, refusal=UNAVAILABLE, code="link_away")
    if not writer.is_closing():
        writer.write(encode_answer(answer))


def _judge(error: ServiceError) -> str:
    if isinstance(error, Unauthenticated):
        return UNAUTHENTICATED
    return FORBIDDEN if isinstance(error, Forbidden) else UNAVAILABLE


async def _identify_or_note(state: RegistryState, question: ViewerQuestion) -> ViewerAnswer:
    try:
        return await identify(state, question)
    except ServiceError as error:
        await state.note_refused("resolver", question.authorization, question.address, error)
        raise


async def identify(state: RegistryState, question: ViewerQuestion) -> ViewerAnswer:
    """What the holder of these credentials may see now; looks of the operator's people go into the audit trail.

    Raises Unauthenticated, Forbidden, Unavailable.
    """
    at = state.now()
    async with state.connect() as conn:
        ring, visit = state.config.rules.key_ring, Visit(at, question.address)
        principal = await authenticate_bearer(conn, ring, question.authorization, visit)
        principal.check_scope("read")
        viewer = find_viewer(principal, question.prefix) if question.prefix else Viewer.PUBLIC
        is_owner = question.prefix in principal.prefixes
        if viewer is Viewer.OWNER and not is_owner:
            order = Order(principal, at, address=question.address)
            await note(conn, order, "GET /{identifier}", question.identifier)
    return ViewerAnswer(question.number, viewer, is_owner)
