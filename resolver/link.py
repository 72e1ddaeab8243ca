"""A worker's end of the link (design decision 9): credentials go to the registry, and what their holder may see comes
back. Nothing is remembered: what was revoked is revoked from the next question on.
"""

import asyncio
import os
import ssl
from contextlib import suppress
from dataclasses import replace
from itertools import count
from logging import getLogger
from pathlib import Path

from schemas.errors import Forbidden, Unauthenticated, Unavailable
from schemas.link_messages import (
    FORBIDDEN,
    MAX_LINE_BYTES,
    SECRET_WRONG,
    UNAUTHENTICATED,
    ViewerAnswer,
    ViewerQuestion,
    decode_answer,
    encode_question,
)
from schemas.link_place import LinkPlace, encode_secret

ANSWER_SECONDS = 5.0
MAX_WAITING = 500

_log = getLogger(__name__)

_Waiting = asyncio.Future[ViewerAnswer]


class RegistryLink:
    """One connection for all questions of a worker; opened when it is needed, and anew after it broke."""

    def __init__(self, where: Path | LinkPlace, tls: ssl.SSLContext | None = None, *, is_quiet: bool = False) -> None:
        """`where` is the registry's Unix socket, or its place on another machine, which speaks TLS."""
        self._where = where
        self._tls = tls
        self._is_quiet = is_quiet  # whoever asks says himself what is wrong
        self._heard_at = 0.0
        self.trouble = ""  # why the last question had no answer, for whoever keeps the node running
        self._numbers = count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def identify(self, question: ViewerQuestion) -> ViewerAnswer:
        """Raises Unauthenticated or Forbidden as the registry says, Unavailable (`link_away`) if it does not answer."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("link_away")
        began_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._ask_again(question)
        except (OSError, TimeoutError) as error:
            if self._writer is not None and self._heard_at < began_at:  # the other machine may be gone
                self._writer.transport.abort()
            self._note_trouble(getattr(error, "strerror", None) or str(error) or "no answer")
            raise Unavailable("link_away") from error
        self.trouble = ""
        if not answer.refusal:
            return answer
        kinds = {UNAUTHENTICATED: Unauthenticated, FORBIDDEN: Forbidden}
        raise kinds.get(answer.refusal, Unavailable)(answer.code, **answer.details)

    async def _ask_again(self, question: ViewerQuestion) -> ViewerAnswer:
        """A connection that breaks may be one of a registry that has a successor already."""
        with suppress(ConnectionError):
            return await self._ask(question)
        return await self._ask(question)

    async def _ask(self, question: ViewerQuestion) -> ViewerAnswer:
        writer = await self._open()
        number = next(self._numbers)
        waiting: _Waiting = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            writer.write(encode_question(replace(question, number=number)))
            return await waiting
        finally:
            self._waiting.pop(number, None)

    async def _open(self) -> asyncio.StreamWriter:
        """Raises OSError."""
        async with self._opening:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            where = self._where
            reader, writer = await (_call(where) if isinstance(where, Path) else _call_remotely(where, self._tls))
            self._writer = writer
            self._listening = asyncio.ensure_future(self._listen(reader, writer))
            return writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand out answers until the connection ends; then nobody waits for it in vain."""
        try:
            while line := await reader.readline():
                answer = decode_answer(line)
                self._heard_at = asyncio.get_running_loop().time()
                if answer.code == SECRET_WRONG and answer.number == 0:
                    self._note_trouble(SECRET_WRONG)
                waiting = self._waiting.get(answer.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except (OSError, ValueError):
            pass  # what does not speak our language is as good as gone
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None
                for waiting in self._waiting.values():
                    if not waiting.done():
                        waiting.set_exception(ConnectionResetError("the link broke"))

    def _note_trouble(self, reason: str) -> None:
        """Said once, until it is over; a wrong secret is what a broken connection comes from."""
        if reason != self.trouble and self.trouble != SECRET_WRONG:
            self.trouble = reason
            if not self._is_quiet:
                _log.warning("the registry does not answer over the link at %s: %s", self._where, reason)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)


async def _call(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:  # a socket's own path may have 107 bytes only
        place = f"/proc/self/fd/{directory}/{path.name}"
        return await asyncio.open_unix_connection(place, limit=MAX_LINE_BYTES)
    finally:
        os.close(directory)


async def _call_remotely(
    place: LinkPlace, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """In TLS, or not at all: credentials pass here."""
    if tls is None:
        raise ConnectionError("a link to another machine needs TLS")
    reader, writer = await asyncio.open_connection(place.host, place.port, ssl=tls, limit=MAX_LINE_BYTES)
    writer.write(encode_secret(place.secret))
    return reader, writer
