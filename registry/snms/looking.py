"""Looks at identifiers together: whoever asks while the database is being asked is answered with the next question.

A question of one costs two switches between processes; sixteen clients at once share them.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from asyncpg import Connection

from registry.issuing import find_members
from registry.store.details import Detail, Key, fetch_details
from registry.store.records import PrefixRule

MAX_KEYS = 500  # of one statement

_Waiting = tuple[Key, asyncio.Future[Detail | None]]


async def look(conn: Connection, keys: Sequence[Key]) -> list[Detail | None]:
    """In order, members of ranges with what their range says; None where there is no such prefix."""
    details = await fetch_details(conn, keys)
    missing: dict[PrefixRule, dict[int, str]] = {}
    for n, (key, detail) in enumerate(zip(keys, details, strict=True)):
        if detail is not None and detail.stored is None:
            missing.setdefault(detail.rule, {})[n] = key.folded if detail.rule.folds_case else key.as_written
    for rule, suffix_keys in missing.items():
        members = await find_members(conn, rule, list(suffix_keys.values()))
        for n, suffix_key in suffix_keys.items():
            details[n] = Detail(rule, members.get(suffix_key))
    return details


class Looks:
    """One statement at a time; it begins after the last of its askers came, so that each reads what he wrote."""

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[Connection]]) -> None:
        self._connect = connect
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def find(self, key: Key) -> Detail | None:
        """None if there is no such prefix. Raises Unavailable, and what the driver raises."""
        answer: asyncio.Future[Detail | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:MAX_KEYS], self._waiting[MAX_KEYS:]
                await self._answer(taken)
        finally:
            self._task = None

    async def _answer(self, taken: list[_Waiting]) -> None:
        try:
            async with self._connect() as conn:
                details = await look(conn, [key for key, _ in taken])
        except Exception as error:
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), detail in zip(taken, details, strict=True):
            if not answer.done():
                answer.set_result(detail)
