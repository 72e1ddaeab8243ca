"""Every call of the guide for those who migrate is made, in its order, and answered as the guide says."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest_asyncio

from schemas.texts import TEXTS
from tests.registry.api_world import World, open_world

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = [DOCS / "migrating-from-snms.md", DOCS / "migrating-from-snms.zh-CN.md"]
_BLOCK = re.compile(r"```http\n(.*?)```", re.DOTALL)
_HEADER = re.compile(r"([A-Z][\w-]*): (.*)")
_CODE = re.compile(r"`([a-z]+_[a-z_]+)`")


class Call(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    piece: str


def read_calls(guide: Path) -> list[Call]:
    """METHOD path, headers, body, and ← with status and a piece of the answer."""
    calls, lines = [], "".join(_BLOCK.findall(guide.read_text(encoding="utf-8"))).splitlines()
    while lines:
        method, path = lines.pop(0).split(" ", 1)
        headers: dict[str, str] = {}
        while header := _HEADER.fullmatch(lines[0]):
            headers[header[1]] = header[2]
            lines.pop(0)
        body = []
        while not lines[0].startswith("← "):
            body.append(lines.pop(0))
        status, _, piece = lines.pop(0).removeprefix("← ").partition(" ")
        calls.append(Call(method, path, headers, "\n".join(body), int(status), piece))
    return calls


@pytest_asyncio.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(database_url, tmp_path) as made:
        yield made


async def test_every_call_of_the_guide_is_answered_as_it_says(world: World) -> None:
    calls = read_calls(GUIDES[0])
    assert len(calls) > 20
    for call in calls:
        headers = {"Content-Type": "application/json"} | call.headers
        reply = await world.ask(call.method, call.path, headers=headers, data=call.body.encode() or None)
        assert reply.status == call.status, (call, reply.body[:500])
        assert call.piece.encode() in reply.body, (call, reply.body[:500])


def test_both_languages_show_the_same_calls() -> None:
    assert read_calls(GUIDES[0]) == read_calls(GUIDES[1])


def test_every_error_the_guide_names_exists() -> None:
    for guide, heading in zip(GUIDES, ("## Errors", "## 错误对照"), strict=True):
        named = set(_CODE.findall(guide.read_text(encoding="utf-8").partition(heading)[2]))
        assert len(named) > 6
        assert not named - TEXTS.keys()
