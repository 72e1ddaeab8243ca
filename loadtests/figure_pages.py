"""Every page and file of figures over HTTP, as a signed-in operator and a regulator ask for them.

What another process does to the machine lengthens the time until an answer, not the CPU time spent on it (of the
registry and of its database sessions), so both are told; the bound is on the time.
"""

import asyncio
import http.cookiejar
import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from urllib.parse import urlencode

import asyncpg

from loadtests.processes import ROOT, BenchFailure, Node, list_tree, read_cpu_seconds, run_node
from loadtests.verdicts import DISTURBED, Finding, Verdict, judge_most, take_median
from node.pdf_font import WARM_AFTER_SECONDS
from node.statistics_pages import GROUPINGS

PASSWORD = "correct-horse-battery"
DIVISION = "321302"  # of the plan, and of the regulator
PLAN = "data/targets-sucheng-2024.csv"
PLAN_NAME = "annex"
DISTRICT = "宿城区"  # as the plan calls it
FILES = ("csv", "xlsx", "pdf")
BOUND_MS = 300
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
# The firms stand in the towns and parks of the plan, so that its regulator has all of them.
PLACE_FIRMS = """
WITH towns AS (SELECT array_agg(DISTINCT unit_id) AS ids FROM plan_targets WHERE unit_id IS NOT NULL)
UPDATE placements SET division_code = $1, unit_id = ids[1 + enterprise_id % cardinality(ids)] FROM towns
"""


@dataclass(slots=True)
class Reader:
    """Somebody whose browser keeps the session's cookie, or a platform with a key."""

    name: str
    base: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    def get(self, path: str, fields: Mapping[str, str] | None = None) -> bytes:
        """Raises BenchFailure for whatever is not answered with 200."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        data = None if fields is None else urlencode(fields).encode()
        request = urllib.request.Request(self.base + path, data, dict(self.headers))
        try:
            with opener.open(request, timeout=60) as answer:
                content: bytes = answer.read()
        except OSError as error:
            raise BenchFailure(f"{self.name}, {path}: {error}") from error
        return content

    def sign_in(self) -> None:
        found = re.search(r'name="token" value="([^"]+)"', self.get("/console/sign-in").decode())
        if found is None:
            raise BenchFailure("the page to sign in has no form")
        self.get("/console/sign-in", {"token": found[1], "user_name": self.name, "password": PASSWORD, "next": ""})


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds: the median until the answer was whole, and of CPU for each; `size` in bytes."""

    name: str
    wall: float
    cpu: float
    size: int

    def __str__(self) -> str:
        return f"{self.name}: {self.wall:.0f} ms, CPU {self.cpu:.0f} ms, {self.size / 1000:,.0f} kB"


def list_pages(first: date, last: date) -> dict[str, str]:
    """name → path, for everybody who sees the figures of a district."""
    period = {"from": str(first), "to": str(last)}
    pages = {f"page by {by}": f"/statistics?{urlencode({'by': by, **period})}" for by in GROUPINGS}
    pages["page of definitions"] = "/statistics/definitions"
    for kind in FILES:
        for by in GROUPINGS:
            pages[f"{kind} by {by}"] = f"/statistics/export?{urlencode({'by': by, **period, 'format': kind})}"
    plan = {"name": PLAN_NAME, "as_of": str(last)}
    pages |= {"page of plans": "/plans", "page of a plan": f"/plans/one?{urlencode(plan)}"}
    for indicator in ("enterprises_connected", "identifiers_registered"):
        asked = urlencode({**plan, "area": DISTRICT, "indicator": indicator})
        pages[f"page of the firms behind {indicator}"] = f"/plans/firms?{asked}"
    pages |= {f"annex as {kind}": f"/plans/annex?{urlencode({**plan, 'format': kind})}" for kind in FILES}
    pages |= {"page of firms": "/enterprises", "page of a firm": "/enterprises/7"}
    return {name: f"/console{path}" for name, path in pages.items()}


def list_interface(first: date, last: date) -> dict[str, str]:
    """What a platform reads with its key."""
    period = urlencode({"from": str(first), "to": str(last)})
    paths = {f"table by {by}": f"/table?by={by}&{period}" for by in ("enterprise", "unit", "template", "day")}
    paths |= {"totals": f"/totals?{period}", "definitions": "/definitions", "closed days": "/closes"}
    return {f"interface, {name}": f"/api/v1/statistics{path}" for name, path in paths.items()}


async def measure_pages(dsn: str, place: Path, period: tuple[date, date], rounds: int) -> list[Finding]:
    """Of a database that is filled; makes accounts, a key and a plan in it."""
    data_dir = place / "figure-pages"
    data_dir.mkdir(mode=0o711)
    node = Node(data_dir, ("registry",), {"IDNODE_DATABASE_URL": dsn})
    warm_at = time.monotonic() + WARM_AFTER_SECONDS + 6
    with run_node(node):
        node.wait_for_answer("/health", port=node.registry_port)
        conn = await asyncpg.connect(dsn)
        try:
            readers = _prepare(node, data_dir / "password")
            await conn.execute(PLACE_FIRMS, DIVISION)
            await asyncio.sleep(max(0.0, warm_at - time.monotonic()))
            found = []
            for reader in readers:
                paths = list_interface(*period) if reader.headers else list_pages(*period)
                for name, path in paths.items():
                    found.append(await _ask(conn, node, reader, (name, path), rounds))
        finally:
            await conn.close()
    return judge_pages(found)


def _prepare(node: Node, password: Path) -> list[Reader]:
    """The plan of the district, an operator, a regulator, and a platform with a key."""
    node.run("plan", "load", str(ROOT / PLAN), "--name", PLAN_NAME, "--add-units", DIVISION)
    password.write_text(PASSWORD)
    base = f"http://127.0.0.1:{node.registry_port}"
    readers = []
    for role, more in (("operator", ()), ("regulator", ("--area", DIVISION))):
        node.run("account", "add", f"bench-{role}", "--role", role, *more, "--password-file", str(password))
        readers.append(reader := Reader(f"bench-{role}", base))
        reader.sign_in()
    key = node.run("key", "add", "--operator", "--scope", "statistics")
    readers.append(Reader("platform", base, {"Authorization": f"Bearer {key['access_key']}.{key['secret_key']}"}))
    return readers


async def _ask(conn: asyncpg.Connection, node: Node, reader: Reader, asked: tuple[str, str], rounds: int) -> Took:
    name, path = asked
    took, content, before = [], b"", await _read_cpu(conn, node)
    for _ in range(rounds):
        began = time.perf_counter()
        content = reader.get(path)
        took.append((time.perf_counter() - began) * 1000)
    spent = await _read_cpu(conn, node) - before
    return Took(f"{reader.name}: {name}", take_median(took), spent * 1000 / rounds, len(content))


async def _read_cpu(conn: asyncpg.Connection, node: Node) -> float:
    """Seconds of the registry and of its sessions in the database."""
    sessions = [row["pid"] for row in await conn.fetch(SESSIONS)]
    return sum(map(read_cpu_seconds, [*list_tree(node.pid), *sessions]))


def judge_pages(found: Sequence[Took]) -> list[Finding]:
    """The slowest; on a machine that was busy with other things a time beyond the bound says nothing."""
    slowest, dearest = max(found, key=lambda one: one.wall), max(found, key=lambda one: one.cpu)
    verdict, reason = judge_most(slowest.wall, BOUND_MS), f"dearest: {dearest.name}, CPU {dearest.cpu:.0f} ms"
    if verdict is Verdict.MISSED and dearest.cpu <= BOUND_MS:
        verdict, reason = Verdict.NOT_MEASURABLE, f"{DISTURBED}; {reason}"
    what = f"{len(found)} pages and files of these figures over HTTP, slowest"
    measured = f"{slowest.wall:.0f} ms ({slowest.name})"
    return [Finding(what, f"≤ {BOUND_MS} ms", measured, verdict, reason, [str(one) for one in found])]
