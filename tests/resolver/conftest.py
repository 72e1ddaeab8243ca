"""One HTTP side on each way for all tests of a module."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import ip_network

import asyncpg
import pytest
import pytest_asyncio

from resolver.bounds import ReadBudget
from resolver.cache import RecordCache
from resolver.fill import SERVER_SETTINGS, Filler, TemplateShelf
from resolver.follow import Follower
from resolver.http_app import HttpSite
from resolver.http_request import Judge
from resolver.pages import Pages
from resolver.prefixes import PrefixTable
from resolver.worker import WorkerConfig, _run, _serve_http
from schemas.segments import SegmentWriter
from tests.resolver.http_site import REGISTRY, SITE, Site, fill_database


@pytest_asyncio.fixture(scope="module")
async def filled(database_url: str) -> str:
    await fill_database(database_url)
    return database_url


@pytest_asyncio.fixture(scope="module", params=["short", "long", "odd"])
async def served(
    filled: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Site]:
    """The HTTP side of a worker: with the short cut, without it, and with a header that is never plain."""
    log_dir = tmp_path_factory.mktemp("log")
    listening = socket.create_server(("127.0.0.1", 0))
    cache = RecordCache(PrefixTable(["88.101"], SITE), 10_000_000, time.monotonic)
    templates = TemplateShelf()
    connect = partial(asyncpg.connect, filled, server_settings=SERVER_SETTINGS)
    follower, filler = Follower(cache, templates, connect), Filler(cache, templates, connect)
    log = SegmentWriter(log_dir, "resolver-0", 1_048_576)
    judge = Judge("zh", "probe token", [ip_network("127.0.0.1")])
    http = HttpSite(cache, log, judge, Pages(cache.prefixes, True, REGISTRY), SITE, "https://id.example.cn", True)
    config = WorkerConfig(filled, log_dir, http_sockets=[listening], short_cut=request.param != "long")
    extra = "X-Odd: yes" if request.param == "odd" else ""
    async with AsyncExitStack() as stack:
        stack.callback(log.close)
        await follower.poll()
        await stack.enter_async_context(_run(filler.run(), asyncio.Event()))
        await stack.enter_async_context(_serve_http(http, config, reads := ReadBudget()))
        yield Site(listening.getsockname()[1], log_dir, follower, cache, http, reads, extra)
        follower.disconnect()


@pytest_asyncio.fixture
async def site(served: Site) -> AsyncIterator[Site]:
    """With an empty cache and a log that counts from here."""
    served.cache.forget_everything()
    served.cache.mark_current()
    served.http.public_url_is_set = True
    served.logged_before = 0
    served.logged_before = len(served.read_log())
    yield served
    for client in served.clients:
        client.close()
    served.clients.clear()
