"""A registry that really listens, with two firms and an operator, for tests of the interface over HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from fastapi import FastAPI
from yarl import URL

from node.alarm_pages import SECTION as ALARMS
from node.application_pages import SECTION as APPLICATIONS
from node.applications_api import router as applications
from node.certificate_pages import make_certificate_section
from node.certificates_api import make_certificates_router, verifying
from node.closed_day_pages import SECTION as CLOSED_DAYS
from node.connection_certificates import Office
from node.enterprise_node_pages import SECTION as NODES
from node.outbox_pages import SECTION as OUTBOX
from node.plan_pages import SECTION as PLANS
from node.plans_api import router as plans
from node.statistics_api import router as statistics
from node.statistics_pages import SECTION as STATISTICS
from registry.api.state import RegistryConfig, RegistryState, open_pool
from registry.app import create_app, make_server
from registry.enterprises import AddedEnterprise
from registry.keys import add_key
from registry.prefixes import NodeRules
from registry.templates import add_template
from schemas.resolution_log import LoggedAnswer, decode_answers
from schemas.segments import SegmentWriter
from tests.registry.issuing_world import DOCUMENT
from tests.registry.people import CLERK, RULES, add_firm, order

PUMP, TOFU = "88.101.5", "88.101.10"
PUBLIC_URL = "http://node.example"
CONSOLE_URL = "http://console.example"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Any
    body: bytes
    json: Any


@dataclass(slots=True)
class World:
    """`keys`: operator, pump (owns PUMP), tofu (owns TOFU), anonymous → bearer token."""

    base: str
    state: RegistryState
    http: aiohttp.ClientSession
    keys: dict[str, str] = field(default_factory=dict)
    firms: dict[str, AddedEnterprise] = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, json: Any = None, *, who: str = "pump", headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Reply:  # fmt: skip
        """`path` goes out as it is, percent signs and dots included."""
        sent = {"Accept-Language": "en"} | (headers or {})
        if self.keys.get(who):
            sent.setdefault("Authorization", f"Bearer {self.keys[who]}")
        if json is not None:
            more["json"] = json
        async with self.http.request(method, URL(self.base + path, encoded=True), headers=sent, **more) as reply:
            body = await reply.read()
            parsed = None
            if reply.content_type in ("application/json", "application/problem+json"):
                parsed = await reply.json(content_type=None)
            return Reply(reply.status, reply.headers, body, parsed)

    def read_log(self) -> list[LoggedAnswer]:
        """Everything that was counted so far."""
        return [
            answer
            for path in sorted(self.state.config.log_dir.glob("*.segment"))
            for answer in decode_answers(path.read_bytes())
            if isinstance(answer, LoggedAnswer)
        ]


def make_app(state: RegistryState) -> FastAPI:
    """The application with the pages and routes of the other packages, as the node serves it."""
    office = Office(("88.101",), CONSOLE_URL, state.config.rules.key_ring)
    sections = [STATISTICS, CLOSED_DAYS, PLANS, OUTBOX, ALARMS, APPLICATIONS, NODES]
    sections.append(make_certificate_section(office))
    more = [statistics, plans, applications, make_certificates_router(office)]
    return create_app(state, more, [verifying], sections)


@asynccontextmanager
async def serve(state: RegistryState, port: int = 0) -> AsyncIterator[str]:
    """The application on a socket of its own; its address."""
    listening = socket.create_server(("127.0.0.1", port))
    server = make_server(make_app(state), state.config)
    server.capture_signals = nullcontext  # the signals of this process stay pytest's
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


def make_config(database_url: str, directory: Path, rules: NodeRules = RULES) -> RegistryConfig:
    return RegistryConfig(database_url, PUBLIC_URL, directory / "jobs", directory / "log", rules)


@asynccontextmanager
async def open_world(database_url: str, directory: Path) -> AsyncIterator[World]:
    """Firms, keys and a template are made by the decisions themselves."""
    config = make_config(database_url, directory)
    segments = SegmentWriter(config.log_dir, "registry-test", 1 << 16)
    async with open_pool(database_url) as pool, aiohttp.ClientSession() as http:
        state = RegistryState(config, pool, segments)
        keys, firms = await make_people(pool)
        async with serve(state) as base:
            yield World(base, state, http, keys, firms)
    segments.close()


async def make_people(pool: asyncpg.Pool) -> tuple[dict[str, str], dict[str, AddedEnterprise]]:
    async with pool.acquire() as conn, conn.transaction():
        pump, tofu = await add_firm(conn, 901, PUMP), await add_firm(conn, 902, TOFU)
        keys = {name: f"{firm.access_key}.{firm.secret_key}" for name, firm in (("pump", pump), ("tofu", tofu))}
        for name in ("operator", "reviewer"):
            access_key, secret_key = await add_key(conn, order(CLERK), None, name)
            keys[name] = f"{access_key}.{secret_key}"
        for prefix in (PUMP, TOFU):
            await add_template(conn, order(CLERK), prefix, DOCUMENT)
    return keys, {"pump": pump, "tofu": tofu}
