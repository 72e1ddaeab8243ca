"""The registry of `api_world`, asked by the SNMS interface."""

from dataclasses import dataclass
from typing import Any

import orjson

from tests.registry.api_world import World

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
