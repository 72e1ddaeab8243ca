"""The audit trail tells of what is done in the console and by the published interface, too."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from registry.audit import number_all
from registry.store.audit import fetch_audit
from tests.registry.api_world import PUMP
from tests.registry.console_world import Console, open_console
from tests.registry.people import make_uscc
from tests.registry.snms_world import ask

FIELDS = {"prefix": PUMP, "template": "pump-1", "suffix": "C1", "v.model": "A"}
DETAIL = f"/identityv2/data/detail?handle={PUMP}/C1"


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


async def read_new(console: Console) -> list[tuple[str, str, str, str]]:
    """Actor, action, subject and outcome of what came since the last time, oldest first."""
    async with console.world.state.connect() as conn:
        await number_all(conn)
        last = int(console.world.keys.get("last position", "0"))
        found = [(p, e) for p, e in await fetch_audit(conn, None, 1_000) if p > last]
    console.world.keys["last position"] = str(max([last, *(p for p, _ in found)]))
    return [(e.actor, e.action, e.subject, e.outcome) for _, e in reversed(found)]


async def test_what_is_done_on_pages_is_told_of_and_a_form_with_mistakes_is_not(console: Console) -> None:
    await read_new(console)
    pump = f"key:{console.world.firms['pump'].access_key}"
    assert (await console["pump"].post("/identifiers/new", FIELDS | {"suffix": ""})).status == 400
    assert (await console["pump"].get("/identifiers")).status == 200
    assert await read_new(console) == []
    assert (await console["pump"].post("/identifiers/new", FIELDS)).status == 303
    assert await read_new(console) == [
        (pump, "POST /console", f"/console/identifiers/new?prefix={PUMP}&suffix=C1&template=pump-1", "ok")
    ]
    named = {"prefix": PUMP, "organisation": make_uscc(7)}
    assert (await console["pump"].post("/partners", named)).status < 400
    assert [e[2] for e in await read_new(console)] == [f"/console/partners?prefix={PUMP}&organisation={make_uscc(7)}"]


async def test_looks_at_pages_of_others_and_refused_attempts_are_told_of(console: Console) -> None:
    await console["pump"].post("/identifiers/new", FIELDS)
    await read_new(console)
    path = f"/identifiers/one?identifier={PUMP}/C1"
    assert (await console["pump"].get(path)).status == 200
    assert await read_new(console) == []  # its own
    assert (await console["operator"].get(path)).status == 200
    assert (await console["pump"].get("/areas")).status == 403
    told = await read_new(console)
    assert [(entry[1], entry[2], entry[3]) for entry in told] == [
        ("GET /console", f"/console/identifiers/one?identifier={PUMP}/C1", "ok"),
        ("GET /console", "/console/areas", "operator_only"),
    ]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/identifiers", f"/console/identifiers?prefix={PUMP}"),  # the first of them is chosen
        (f"/identifiers?text={'9' * 400}&prefix={PUMP}", f"/console/identifiers?prefix={PUMP}&text=999"),
        (f"/ranges?prefix={PUMP}", f"/console/ranges?prefix={PUMP}"),
        (f"/resolve?text={PUMP}/C1", f"/console/resolve?text={PUMP}/C1"),
        ("/imports", "/console/imports"),
    ],
)
async def test_every_page_that_shows_values_of_others_is_told_of_with_whose_they_are(
    console: Console, path: str, told: str
) -> None:
    await console["pump"].post("/identifiers/new", FIELDS)
    await read_new(console)
    assert (await console["pump"].get(path)).status == 200
    assert await read_new(console) == []  # its own
    assert (await console["operator"].get(path)).status == 200
    [entry] = await read_new(console)
    assert entry[2].startswith(told)


async def test_lists_that_programs_of_the_operator_read_are_told_of_with_whose_they_are(console: Console) -> None:
    await read_new(console)
    path = "/api/v1/identifiers"
    assert (await console.world.ask("GET", f"{path}?limit=1&prefix={PUMP}", who="operator")).status == 200
    assert [entry[2] for entry in await read_new(console)] == [f"{path}?prefix={PUMP}"]


async def test_calls_of_the_published_interface_are_told_of(console: Console) -> None:
    await console["pump"].post("/identifiers/new", FIELDS)
    await read_new(console)
    world = console.world
    pump = f"key:{world.firms['pump'].access_key}"
    body = {"handle": f"{PUMP}/C2", "templateVersion": "pump-1", "value": [{"index": 2000, "type": "model",
            "data": {"format": "string", "value": "B"}}]}  # fmt: skip
    await ask(world, "POST", "/identityv2/data", body)
    told = await read_new(console)
    assert [(entry[0], entry[1]) for entry in told] == [(pump, "POST SNMS")]
    await ask(world, "GET", DETAIL)
    assert await read_new(console) == []  # its own
    await ask(world, "GET", DETAIL, who="operator")
    assert [(entry[1], entry[2]) for entry in await read_new(console)] == [("GET SNMS", f"{PUMP}/C1")]
