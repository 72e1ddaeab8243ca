"""A worker's end of the link (design decision 9): credentials go to the registry, and what their holder may see comes
back. Nothing is remembered: what was revoked is revoked from the next question on.
"""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from schemas.errors import Forbidden, Unauthenticated, Unavailable
from schemas.link_messages import (
    FORBIDDEN,
    MAX_LINE_BYTES,
    UNAUTHENTICATED,
    ViewerAnswer,
    ViewerQuestion,
    decode_answer,
    encode_question,
)

ANSWER_SECONDS = 5.0
MAX_WAITING = 500

_Waiting = asyncio.Future[ViewerAnswer]


class RegistryLink:
    """One connection for all questions of a worker; opened when it is needed, and anew after it broke."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def identify(self, question: ViewerQuestion) -> ViewerAnswer:
        """Raises Unauthenticated or Forbidden as the registry says, Unavailable (`link_away`) if it does not answer."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("link_away")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._ask_again(question)
        except (OSError, TimeoutError) as error:
            raise Unavailable("link_away") from error
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
            directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
            try:  # a socket's own path may have 107 bytes only
                place = f"/proc/self/fd/{directory}/{self._path.name}"
                reader, writer = await asyncio.open_unix_connection(place, limit=MAX_LINE_BYTES)
            finally:
                os.close(directory)
            self._writer = writer
            self._listening = asyncio.ensure_future(self._listen(reader, writer))
            return writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand out answers until the connection ends; then nobody waits for it in vain."""
        try:
            while line := await reader.readline():
                answer = decode_answer(line)
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

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
