"""A worker's HTTP side for tests from outside: what it holds, and a client that speaks bytes."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from resolver.bounds import ReadBudget
from resolver.cache import RecordCache
from resolver.follow import Follower
from resolver.http_app import HttpSite
from resolver.worker import make_site
from schemas.resolution_log import LoggedAnswer, decode_answers
from tests.resolver.rows import PUMP, add_owner, add_prefix, add_record, add_template, empty_tables

REGISTRY = "https://registry.example.cn"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SITE = make_site("192.0.2.1", 2641, 8081)
THEIRS = make_site("192.0.2.9", 2641, 8080)
EVIL = [(2000, "product_name", "<script>alert(1)</script>"), (2003, "URL", 'https://a.example/x?q="><b>')]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Client:
    """A connection that speaks bytes, kept open between requests."""

    port: int
    extra: str = ""
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def send(self, data: bytes) -> None:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, method: str = "GET") -> Answer:
        assert self.reader is not None
        async with asyncio.timeout(30):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:] if line)}
            size = 0 if method == "HEAD" else int(headers["content-length"])
            return Answer(int(head[0].split()[1]), headers, await self.reader.readexactly(size))

    async def ask(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        await self.send(self.format(target, method, body, **headers))
        return await self.read(method)

    def format(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", "Host: resolver.example"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [self.extra] * bool(self.extra) + [f"Content-Length: {len(body)}"] * bool(body)
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def is_closed(self) -> bool:
        assert self.reader is not None
        async with asyncio.timeout(30):
            return await self.reader.read(1) == b""

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


@dataclass
class Site:
    port: int
    log_dir: Path
    follower: Follower
    cache: RecordCache
    http: HttpSite
    reads: ReadBudget
    extra: str = ""
    clients: list[Client] = field(default_factory=list)
    logged_before: int = 0

    def connect(self) -> Client:
        client = Client(self.port, self.extra)
        self.clients.append(client)
        return client

    async def ask(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        return await self.connect().ask(target, method, body, **headers)

    async def ask_twice(self, target: str, **headers: str) -> Answer:
        """On one connection: first the long way (nothing is judged), then the way under test."""
        client = self.connect()
        first = await client.ask(target, "GET", b"", **headers)
        second = await client.ask(target, "GET", b"", **headers)
        assert (first.status, first.body) == (second.status, second.body)
        assert {*first.headers} == {*second.headers}
        return second

    def read_log(self) -> list[LoggedAnswer]:
        found = []
        for path in sorted(self.log_dir.iterdir()):
            found += [a for a in decode_answers(path.read_bytes()) if isinstance(a, LoggedAnswer)]
        return found[self.logged_before :]


async def fill_database(dsn: str) -> None:
    conn = await asyncpg.connect(dsn)
    await empty_tables(conn)
    prefix_id = await add_prefix(conn, "88.101.5")
    await add_owner(conn, prefix_id, "宿城水泵厂 <有限公司>")
    template = await add_template(conn, prefix_id, "88.101.5")
    n = template.template_id
    more = [(2003, "URL", "https://pump.example/p/1"), (2004, "cost", "99")]
    await add_record(conn, prefix_id, "PUMP-1", n, [*PUMP, *more])
    await add_record(conn, prefix_id, "OLD", n, state=2, note="88.101.5/PUMP-1")
    await add_record(conn, prefix_id, "GONE", n, state=2)
    await add_record(conn, prefix_id, "ICE", n, state=1, note="请停止使用 <b>")
    await add_record(conn, prefix_id, "EVIL", n, EVIL)
    await add_record(conn, prefix_id, "EMPTY", 0, [])
    await add_record(conn, prefix_id, "A/B C%2F", n)
    await add_record(conn, prefix_id, "标识", n)
    await add_record(conn, prefix_id, "..", n)
    await add_record(conn, prefix_id, "HUGE", n, [(3000 + i, f"t{i}", "长&" * 1_500) for i in range(30)])
    await add_prefix(conn, "88.101.7", hosting=1, site=THEIRS)
    await add_prefix(conn, "88.101.6", state=0)
    sandbox_id = await add_prefix(conn, "88.101.SANDBOX1", sandbox_of=1)
    await add_record(conn, sandbox_id, "TRY-1", 0, PUMP)
    while await conn.fetchval("SELECT number_changes()"):
        pass
    await conn.close()


PLAIN = {
    "responseCode": 1,
    "handle": "88.101.5/pump-1",
    "values": [
        {
            "index": i, "type": t, "data": {"format": "string", "value": v},
            "ttl": 86400, "timestamp": "2026-03-01T08:00:00Z",
        }
        for i, t, v in [
            (1000, "TEMPLATE_ID", "88.101.5/META_1.0"), (1001, "TEMPLATE", "1.0"), *PUMP,
            (2003, "URL", "https://pump.example/p/1"),
        ]
    ],
}  # fmt: skip
