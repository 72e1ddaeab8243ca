"""The registry's end of the link (design decision 9): workers hand over credentials and hear what the holder may see.

A Unix socket that only the node's own account can open. Nothing is remembered between two questions, so what was
revoked is revoked from the next one on.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging import getLogger
from pathlib import Path

from registry.api.state import RegistryState
from registry.audit import note
from registry.principals import Order, find_viewer
from registry.sign_in import Visit
from registry.store import DATABASE_AWAY
from registry.tokens import authenticate_bearer
from schemas.errors import Forbidden, ServiceError, Unauthenticated
from schemas.link_messages import (
    FORBIDDEN,
    MAX_LINE_BYTES,
    UNAUTHENTICATED,
    UNAVAILABLE,
    ViewerAnswer,
    ViewerQuestion,
    decode_question,
    encode_answer,
)
from schemas.viewing import Viewer

AT_ONCE = 4  # questions with a connection of the pool in their hands, so that the API keeps some

_log = getLogger(__name__)


@asynccontextmanager
async def serve_link(state: RegistryState, path: Path | None) -> AsyncIterator[None]:
    """Answer workers for as long as the context lasts; None: there is no link."""
    if path is None:
        yield
        return
    conversations: set[asyncio.Task[None]] = set()
    turns = asyncio.Semaphore(AT_ONCE)

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_converse(state, turns, reader, writer))
        conversations.add(task)
        task.add_done_callback(conversations.discard)

    server = await asyncio.start_unix_server(begin, sock=open_link(path), limit=MAX_LINE_BYTES)
    try:
        yield
    finally:
        server.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


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
            answer = await identify(state, question)
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
