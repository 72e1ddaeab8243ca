"""Visitors of the console: real cookies, real forms, over real sockets."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp

from registry.accounts import NewAccount, add_account
from registry.console.security import SESSION_COOKIE, make_token
from registry.keys import authenticate
from registry.principals import Order, Principal
from registry.sign_in import Attempt, sign_in
from registry.sign_in import Visit as Origin
from registry.tokens import open_session
from tests.registry.api_world import Reply, World, open_world
from tests.registry.people import CLERK, RULES

ROOT = "/console"
PASSWORD = "correct-horse-battery"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the console; `text` is the page as it was sent."""

    status: int
    headers: Any
    text: str

    @property
    def location(self) -> str:
        return str(self.headers.get("Location", ""))

    @property
    def shown(self) -> str:
        """What a reader sees: no tags, one blank between words."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.text.replace("<wbr>", ""))).split())


@dataclass(slots=True)
class Visitor:
    """Somebody with a session; nobody has an empty cookie."""

    world: World
    cookie: str
    language: str = "en"
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> Page:
        return self._read(await self._ask("GET", path, headers))

    async def post(
        self, path: str, fields: dict[str, Any] | None = None, *, token: str | None = None,
        files: dict[str, tuple[str, bytes]] | None = None, **headers: str,
    ) -> Page:  # fmt: skip
        """With the right token unless another is given; as multipart if there are files."""
        sent = {"token": make_token(self.cookie) if token is None else token} | (fields or {})
        if not files:
            return self._read(await self._ask("POST", path, headers, data=sent))
        form = aiohttp.FormData(quote_fields=False)
        for name, text in sent.items():
            form.add_field(name, str(text))
        for name, (file_name, content) in files.items():
            form.add_field(name, content, filename=file_name)
        return self._read(await self._ask("POST", path, headers, data=form))

    async def _ask(self, method: str, path: str, headers: dict[str, str], **more: Any) -> Reply:
        sent = {"Accept-Language": self.language, **self.headers, **headers}
        if self.cookie:
            sent["Cookie"] = f"{SESSION_COOKIE}={self.cookie}"
        return await self.world.ask(method, ROOT + path, who="", headers=sent, allow_redirects=False, **more)

    @staticmethod
    def _read(reply: Reply) -> Page:
        return Page(reply.status, reply.headers, reply.body.decode("utf-8", "replace"))


@dataclass(slots=True)
class Console:
    """`pump` and `tofu` are firms, `operator` and `reviewer` the node's people, `clerk` an account of pump."""

    world: World
    visitors: dict[str, Visitor]

    def __getitem__(self, name: str) -> Visitor:
        return self.visitors[name]


@asynccontextmanager
async def open_console(database_url: str, directory: Path) -> AsyncIterator[Console]:
    async with open_world(database_url, directory) as world:
        visitors = {"nobody": Visitor(world, "")}
        async with world.state.connect() as conn:
            for name in ("pump", "tofu", "operator", "reviewer"):
                access_key, _, secret = world.keys[name].partition(".")
                principal = await authenticate(conn, access_key, secret)
                visitors[name] = Visitor(world, await enter(world, principal))
            order = Order(CLERK, datetime.now(UTC))
            firm = world.firms["pump"].enterprise_id
            clerk = NewAccount("clerk", ["enterprise_user"], PASSWORD, enterprise_id=firm)
            await add_account(conn, RULES.key_ring, order, clerk)
        yield Console(world, visitors)


async def enter(world: World, principal: Principal) -> str:
    """A session's cookie."""
    async with world.state.connect() as conn:
        return await open_session(conn, principal, Origin(datetime.now(UTC), "127.0.0.1", "test"))


async def add_visitor(console: Console, wanted: NewAccount) -> Visitor:
    """Somebody with a new account, who has signed in."""
    state = console.world.state
    async with state.connect() as conn:
        await add_account(conn, RULES.key_ring, Order(CLERK, datetime.now(UTC)), wanted)
    origin, attempt = Origin(datetime.now(UTC), "127.0.0.1", "test"), Attempt(wanted.user_name, wanted.password)
    principal = await sign_in(state.connect, RULES.key_ring, origin, attempt)
    return Visitor(console.world, await enter(console.world, principal))
