"""The registry of `api_world`, asked by the SNMS interface."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from tests.registry.api_world import PUMP, World, open_world
from tests.registry.people import add_firm

ENVELOPE = {"message", "status", "data"}


@dataclass(frozen=True, slots=True)
class Said:
    """One envelope, with the HTTP status it came by."""

    status: int
    message: str
    data: Any
    http_status: int
    headers: Any


async def ask(
    world: World, method: str, path: str, body: Any = None, *, who: str = "pump", headers: dict[str, str] | None = None
) -> Said:
    """`body` goes out as JSON, bytes as they are. The answer must be an envelope, never HTTP 500."""
    sent = {"Content-Type": "application/json"} | (headers or {})
    data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
    reply = await world.ask(method, path, who=who, headers=sent, data=data)
    assert reply.status in (200, 404, 405, 504), (reply.status, reply.body[:500])
    assert reply.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert reply.json.keys() == ENVELOPE, reply.json
    assert isinstance(reply.json["message"], str)
    assert reply.json["message"]
    assert reply.json["status"] in (1, -1, -2, -3, -4)
    return Said(reply.json["status"], reply.json["message"], reply.json["data"], reply.status, reply.headers)


DATA = "/identityv2/data"
V3, V5 = "/snms/api/v3/template", "/snms/api/v5/template"
VERSION = "1.2"

TEMPLATE = {
    "prefix": PUMP, "version": VERSION, "type": 2, "description": "水泵",
    "industryCategory": "C", "industrySpecific": "34", "industryTrade": "344", "industrySubclass": "3441",
    "items": [
        {"name": "型号", "idType": "model", "idIndex": 2000, "required": True,
         "metadata": {"type": "string", "minLength": 1, "maxLength": 40}},
        {"name": "批次", "idType": "batch", "idIndex": 2001, "required": False,
         "metadata": {"type": "string", "minLength": 0, "maxLength": 10}},
    ],
}  # fmt: skip


def make_value(index: Any, kind: Any, text: Any) -> dict[str, Any]:
    return {"auth": "", "index": index, "type": kind, "data": {"format": "string", "value": text}}


def make_item(suffix: str, model: str = "QX-40", batch: str | None = None, *, prefix: str = PUMP) -> dict[str, Any]:
    """A HandleItem by TEMPLATE."""
    value = [make_value(2000, "model", model)] + ([] if batch is None else [make_value(2001, "batch", batch)])
    return {"handle": f"{prefix}/{suffix}", "templateVersion": VERSION, "value": value}


async def read_texts(world: World, suffix: str, who: str = "pump") -> dict[str, str]:
    """What `detail` says, by type; the template's own values left out."""
    said = await ask(world, "GET", f"{DATA}/detail?handle={PUMP}/{quote(suffix, safe='')}", who=who)
    assert said.status == 1, said
    return {value["type"]: value["data"]["value"] for value in said.data["value"] if value["index"] >= 2000}


@asynccontextmanager
async def open_snms_world(database_url: str, directory: Path) -> AsyncIterator[World]:
    """As `open_world`, with TEMPLATE under the pump works' prefix, added by the interface itself."""
    async with open_world(database_url, directory) as world:
        said = await ask(world, "POST", V5, TEMPLATE)
        assert (said.status, said.data) == (1, True), said
        yield world


async def add_owner(world: World, name: str, number: int, prefix: str) -> None:
    """One more firm with TEMPLATE under a prefix of its own; its key is known by this name."""
    async with world.state.pool.acquire() as conn, conn.transaction():
        firm = await add_firm(conn, number, prefix)
    world.firms[name], world.keys[name] = firm, f"{firm.access_key}.{firm.secret_key}"
    said = await ask(world, "POST", V5, TEMPLATE | {"prefix": prefix}, who=name)
    assert said.status == 1, said
