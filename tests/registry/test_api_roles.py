"""Every role times every route: what a role may do is written down here, everything else is refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from registry.accounts import NewAccount
from registry.keys import KeyTerms, add_key
from tests.registry.account_world import PASSWORD, sign
from tests.registry.api_world import PUMP, World, open_world
from tests.registry.people import make_uscc, order
from tests.registry.test_api_rights import (
    ALLOWED,
    ID,
    NEW,
    OPEN,
    ROUTES,
    SERIALS,
    SIGN_IN,
    TEMPLATE,
    TEMPLATES,
    V1,
    X,
    add_figures,
    fill,
    make_form,
)

# What everybody may who has signed in: himself, and what is open.
ANYBODY = {
    ("GET", "/health"), ("GET", ID), ("GET", f"{V1}/identifiers?{X}"), ("POST", f"{V1}/identifiers/resolve"),
    ("GET", f"{V1}/me"), ("GET", f"{V1}/sessions"), ("GET", "/verify/CERTIFICATE"),
}  # fmt: skip
# Lists in which he finds what is his, which may be nothing.
LISTS = {
    ("GET", f"{V1}/{name}")
    for name in ("prefixes", "enterprises", "sandboxes", "units", "keys", "jobs", "partners", "attachments")
}
LISTS |= {("GET", f"{V1}/problem-reports"), ("GET", f"{V1}/applications")}
FIGURES = {("GET", f"{V1}/statistics{rest}") for rest in ("", "/totals", "/definitions", "/table",
           "/export?format=json")}  # fmt: skip
CLOSES = {("GET", f"{V1}/statistics/closes"), ("GET", f"{V1}/statistics/closes/DAY")}
FIRMS = f"{V1}/plans/now/firms?area=321302&indicator=enterprises_connected"
PLANS = {("GET", f"{V1}/plans"), ("GET", f"{V1}/plans/now"), ("GET", f"{V1}/plans/now/annex"), ("GET", FIRMS)}
CERTIFICATES = {("GET", f"{V1}/certificates{rest}") for rest in ("", "?enterprise_id=PUMP", "/CERTIFICATE",
                "/CERTIFICATE/file")}  # fmt: skip
READING = {
    ("GET", f"{V1}/identifiers?prefix={PUMP}"), ("GET", f"{ID}/history"), ("GET", f"{V1}/identifiers/history?{X}"),
    ("GET", f"{V1}/ranges?prefix={PUMP}"), ("GET", SERIALS), ("GET", f"{SERIALS}/history"), ("GET", TEMPLATES),
    ("GET", f"{TEMPLATES}/pump-1"), ("GET", f"{V1}/prefixes/{PUMP}"), ("GET", f"{V1}/enterprises/PUMP"),
    ("GET", f"{V1}/partners?prefix={PUMP}"), ("GET", f"{V1}/problem-reports/REPORT"),
    ("GET", f"{V1}/applications?prefix={PUMP}"), ("GET", f"{V1}/applications/APPLICATION"),
}  # fmt: skip
ATTACHMENTS = {("GET", f"{V1}/attachments/ATTACHMENT"), ("GET", f"{V1}/attachments/ATTACHMENT/content")}
OWN_READING = READING | ATTACHMENTS | {("GET", f"{V1}/jobs/JOB"), ("GET", f"{V1}/jobs/JOB/receipt")}
OWN_READING |= {("GET", f"{V1}/keys/KEY")}
ACTIONS = ("retire", "restore", "freeze", "unfreeze")
WRITING = {
    ("POST", f"{V1}/identifiers"), ("POST", f"{V1}/identifiers/batch"), ("PATCH", ID), ("PUT", ID),
    ("PATCH", f"{V1}/identifiers?{X}"), ("PUT", f"{V1}/identifiers?{X}"), ("POST", f"{V1}/ranges"), ("PATCH", SERIALS),
    ("POST", f"{V1}/identifiers/batch/ACTION"), ("POST", f"{V1}/identifiers/stream/ACTION?prefix={PUMP}"),
    ("POST", f"{V1}/jobs"), ("POST", f"{V1}/jobs/JOB/cancel"),
    ("POST", f"{V1}/problem-reports/REPORT/decision"), ("POST", f"{V1}/problem-reports/REPORT/contact"),
    *(("POST", f"{ID}/{action}") for action in ACTIONS), *(("POST", f"{SERIALS}/{action}") for action in ACTIONS),
    *(("POST", f"{V1}/identifiers/{action}?{X}") for action in ACTIONS),
}  # fmt: skip
REVIEWING = {
    ("POST", f"{V1}/enterprises/PUMP/{decision}") for decision in ("review", "approve", "refuse", "verification")
} | {("POST", f"{V1}/certificates"), ("POST", f"{V1}/certificates/CERTIFICATE/revoke")}

MAY: dict[str, set[tuple[str, str]]] = {
    "clerk": ANYBODY | LISTS | FIGURES | OWN_READING | WRITING | CERTIFICATES,
    "reading key": ANYBODY | LISTS | OWN_READING | CERTIFICATES,
    "writing key": ANYBODY | WRITING,
    "reviewer": ANYBODY | LISTS | FIGURES | CLOSES | PLANS | READING | ATTACHMENTS | REVIEWING | CERTIFICATES,
    "engineer": ANYBODY | LISTS | FIGURES | PLANS,
    "regulator": ANYBODY | LISTS | FIGURES | PLANS | {("GET", f"{V1}/enterprises/PUMP")},
    "partner": ANYBODY | LISTS,
}
# A key without the scope `read` asks nothing but what everybody may know without a key.
MAY["writing key"] -= {("GET", ID), ("GET", f"{V1}/identifiers?{X}"), ("POST", f"{V1}/identifiers/resolve"),
                       ("GET", f"{V1}/me"), ("GET", f"{V1}/sessions")}  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        right = NEW | {"identifier": f"{PUMP}/right"}
        assert (await made.ask("POST", f"{V1}/identifiers", right)).status == 201
        serials = {"prefix": PUMP, "template": "pump-1", "first": "S0001", "last": "S0009", "values": {"model": "A"}}
        assert (await made.ask("POST", f"{V1}/ranges", serials)).status == 201
        assert (await made.ask("POST", TEMPLATES, TEMPLATE | {"version": "unused"})).status == 201
        await add_figures(made)
        pump = made.firms["pump"].enterprise_id
        await sign(made, "clerk", NewAccount("kim", ["enterprise_user"], PASSWORD, enterprise_id=pump))
        await sign(made, "reviewer", NewAccount("rui", ["reviewer"], PASSWORD))
        await sign(made, "engineer", NewAccount("eng", ["engineer"], PASSWORD))
        await sign(made, "regulator", NewAccount("dai", ["regulator"], PASSWORD, area="321302"))
        await sign(made, "partner", NewAccount("paula", ["partner"], PASSWORD, organisation=make_uscc(501)))
        async with made.state.connect() as conn:
            for name, scope in (("reading key", "read"), ("writing key", "write")):
                key = await add_key(conn, order(), pump, name, KeyTerms((scope,)))
                made.keys[name] = ".".join(key)
        yield made


async def send(world: World, who: str, method: str, path: str, body: Any) -> int:
    """The status; writes are tried only."""
    path, sent = await fill(world, method, path, body)
    dry = path + ("&" if "?" in path else "?") + "dry_run=true" if method != "GET" and "/jobs" not in path else path
    if isinstance(sent, str):
        return (await world.ask(method, dry, who=who, data=make_form(sent))).status
    return (await world.ask(method, dry, sent, who=who)).status


@pytest.mark.parametrize("who", MAY)
async def test_a_role_may_what_is_written_down_and_nothing_else(world: World, who: str) -> None:
    wrong = []
    for method, path, body, rights in ROUTES:
        if rights == SIGN_IN:
            continue
        status = await send(world, who, method, path, body)
        if not (status in ALLOWED if (method, path) in MAY[who] else status in (403, 404)):
            wrong.append((method, path, status))
    assert wrong == []


def test_what_is_written_down_are_routes() -> None:
    routes = {(method, path) for method, path, _, _ in ROUTES}
    for who, allowed in MAY.items():
        assert allowed <= routes, who
    assert {path for _, path, _, rights in ROUTES if rights == OPEN} == {
        "/health", ID, f"{V1}/identifiers?{X}", "/verify/CERTIFICATE",
    }  # fmt: skip
