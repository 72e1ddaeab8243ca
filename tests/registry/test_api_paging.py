"""Every list comes in pages that leave nothing out and say nothing twice."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.registry.api_world import PUMP, World, open_world
from tests.registry.issuing_world import DOCUMENT

V1 = "/api/v1"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        for n in range(3):
            await made.ask("POST", f"{V1}/prefixes/{PUMP}/templates", DOCUMENT | {"version": f"t-{n}"})
            unit = {"division": "321302", "name": f"镇 {n}"}
            await made.ask("POST", f"{V1}/units", unit, who="operator")
            await made.ask("POST", f"{V1}/keys", {"note": f"n{n}"})
        pump = made.firms["pump"].enterprise_id
        tags = {"tags": {"industrial_chain": "高端装备", "pilot_batch": "2024", "above_scale": "是"}}
        await made.ask("PUT", f"{V1}/enterprises/{pump}/tags", tags, who="operator")
        one = {"identifier": f"{PUMP}/H", "template": "pump-1", "values": {"model": "0"}}
        await made.ask("POST", f"{V1}/identifiers", one)
        for n in range(1, 5):
            await made.ask("PATCH", f"{V1}/identifiers/{PUMP}/H", {"values": {"model": str(n)}})
        yield made


@pytest.mark.parametrize(
    ("path", "member", "cursor"),
    [
        (f"prefixes/{PUMP}/templates", "templates", "after"),
        ("units", "units", "after"),
        ("tags", "tags", "after"),
        ("keys", "keys", "after"),
        (f"identifiers/{PUMP}/H/history", "revisions", "before"),
    ],
)
async def test_pages_put_together_are_the_whole(world: World, path: str, member: str, cursor: str) -> None:
    whole = (await world.ask("GET", f"{V1}/{path}", who="operator")).json
    assert whole["next"] is None and len(whole[member]) >= 3
    seen, position = [], ""
    while True:
        at = f"&{cursor}={quote(str(position))}" if position else ""
        page = (await world.ask("GET", f"{V1}/{path}?limit=2{at}", who="operator")).json
        assert len(page[member]) <= 2
        seen += page[member]
        if page["next"] is None:
            break
        position = page["next"]
    assert seen == whole[member]
    for wrong in ("limit=0", "limit=1001", f"{cursor}=-nowhere"):
        assert (await world.ask("GET", f"{V1}/{path}?{wrong}", who="operator")).status == 400
