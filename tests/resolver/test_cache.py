"""The cache against a real database: what is kept, for how long, and what the change log takes away."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest_asyncio

from resolver.cache import Entry, RecordCache
from resolver.fill import SERVER_SETTINGS, Filler, TemplateShelf
from resolver.follow import Follower
from resolver.prefixes import PrefixTable
from schemas.handle_values import Site, encode_site
from schemas.viewing import Verdict
from tests.resolver.rows import (
    PUMP,
    add_prefix,
    add_record,
)

OUR_SITE = encode_site(Site(serial=7))
THEIR_SITE = encode_site(Site(serial=9))


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Node:
    """A cache with one filler that a test runs by hand, and a follower that polls when told."""

    cache: RecordCache
    filler: Filler
    follower: Follower
    clock: Clock
    writer: Any
    dsn: str
    asked: int = 0

    async def get(self, identifier: str) -> Entry | None:
        """What an asker is answered."""
        found = self.cache.find(identifier.encode("utf-8", "surrogateescape"))
        if found is not None:
            return found
        answers: list[Entry | None] = []
        self.cache.fetch(identifier.encode("utf-8", "surrogateescape"), answers.append)
        await self.fill()
        return answers[0]

    async def fill(self) -> None:
        fills = self.cache.take_questions(1_000)
        self.asked += len(fills)
        await self.filler._answer(fills)

    async def poll(self) -> None:
        await self.follower.poll()


@pytest_asyncio.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    writer = await asyncpg.connect(database_url)
    await writer.execute(
        "TRUNCATE records, ranges, templates, prefixes, changes, changes_pending, prefix_owners, enterprises CASCADE"
    )
    clock = Clock()
    cache = RecordCache(PrefixTable(["88.101"], OUR_SITE), 10_000_000, clock)
    templates = TemplateShelf()

    async def connect() -> Any:
        return await asyncpg.connect(database_url, server_settings=SERVER_SETTINGS)

    filler, follower = Filler(cache, templates, connect), Follower(cache, templates, connect)
    made = Node(cache, filler, follower, clock, writer, database_url)
    await made.poll()
    yield made
    filler._disconnect()
    follower._disconnect()
    await writer.close()


async def test_a_record_is_read_once_and_answered_in_any_spelling(node: Node) -> None:
    prefix_id = await add_prefix(node.writer, "88.101.5")
    await add_record(node.writer, prefix_id, "SN1")
    await node.poll()
    first = await node.get("88.101.5/sn1")
    assert first is not None and first.verdict is Verdict.FOUND and first.prefix_id == prefix_id
    assert [value.data.decode() for value in first.answer().values] == [text for _, _, text in PUMP]
    assert await node.get("88.101.5/SN1") is first
    assert node.asked == 1
