"""Questions that this node cannot answer by itself: an upstream is asked, or the database is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from resolver.upstream import UpstreamSettings
from schemas.handle_bodies import decode_error, decode_handle_values, decode_referral
from schemas.handle_messages import CACR, CERT, DNRF, PUBL, RECU, decode_message
from schemas.handle_values import Site, encode_site
from schemas.resolution_log import Outcome
from tests import database
from tests.resolver.handle_server import (
    PATIENCE_SECONDS,
    HandleServer,
    ServerPlan,
    UdpClient,
    encode_question,
    fill_database,
    get_code,
    run_server,
)

SITE = encode_site(Site(serial=1))
FOREIGN_SITE = {"format": "site", "value": {"serialNumber": 3, "primarySite": True, "servers": []}}
SITE_VALUE = {"index": 1, "type": "HS_SITE", "data": FOREIGN_SITE}
URL_VALUE = {"index": 1, "type": "URL", "data": {"format": "string", "value": "https://example.org/"}, "ttl": 600}
LOGO_DATA = {"format": "base64", "value": "AP8="}
LOGO_VALUE = {"index": 2, "type": "LOGO", "data": LOGO_DATA, "timestamp": "2024-01-01T00:00:00Z"}
LARGE_VALUE = {"index": 1, "type": "DESC", "data": "x" * 300_000}
ANSWERS = {
    "10.1000/1": {"responseCode": 1, "values": [URL_VALUE, LOGO_VALUE]},
    "10.1000/gone": {"responseCode": 100},
    "10.1000/hidden": {"responseCode": 402},
    "10.1000/empty": {"responseCode": 200, "values": []},
    "10.1000/busy": {"responseCode": 3},
    "10.1000/nonsense": {"responseCode": "?"},
    "10.1000/there": {"responseCode": 302, "handle": "0.NA/10.1000", "values": [SITE_VALUE]},
    "10.1000/large": {"responseCode": 1, "values": [LARGE_VALUE]},
    "0.NA/10.1000": {"responseCode": 1, "values": [SITE_VALUE]},
    "10.1000": {"responseCode": 1, "values": [SITE_VALUE]},
}


@pytest_asyncio.fixture(scope="module")
async def asked() -> AsyncIterator[list[str]]:
    """What the upstream was asked; the first item is its address."""
    found: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        found.append(request.match_info["handle"])
        return web.json_response(ANSWERS[request.match_info["handle"]])

    application = web.Application()
    application.router.add_get("/api/handles/{handle:.+}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield found
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module")
async def server(
    database_url: str, asked: list[str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[HandleServer]:
    await fill_database(database_url, SITE)
    upstream = UpstreamSettings(asked[0], allow_private=True)
    with run_server(ServerPlan(database_url, tmp_path_factory.mktemp("log"), SITE, upstream)) as made:
        yield made


@pytest.mark.parametrize(
    ("handle", "code", "outcome"),
    [
        ("10.1000/1", 1, Outcome.FOUND),
        ("10.1000/gone", 100, Outcome.NOT_FOUND),
        ("10.1000/hidden", 401, Outcome.DENIED),
        ("10.1000/empty", 200, Outcome.NO_VALUES),
        ("10.1000/busy", 3, Outcome.UNAVAILABLE),
        ("10.1000/nonsense", 2, Outcome.UNAVAILABLE),
        ("10.1000/there", 302, Outcome.REFERRAL),
        ("10.1000/large", 2, Outcome.FOUND),  # found, but more than a message can carry
        ("0.NA/10.1000", 1, Outcome.FOUND),
        ("10.1000", 1, Outcome.FOUND),  # without a slash it is the record of the prefix
    ],
)
async def test_a_foreign_identifier_is_asked_upstream(
    server: HandleServer, handle: str, code: int, outcome: Outcome
) -> None:
    for ask in (server.ask, server.ask_udp):  # the second time from the cache, if it was kept
        before = len(server.read_log())
        assert get_code(await asyncio.to_thread(ask, encode_question(handle, flags=RECU | PUBL))) == code
        [counted] = server.read_log()[before:]
        assert (counted.outcome, counted.prefix_id, counted.identifier) == (outcome, 0, handle.encode())


async def test_foreign_values_arrive_as_they_are(server: HandleServer) -> None:
    reply = await asyncio.to_thread(server.ask, encode_question("10.1000/1", flags=RECU | CACR))
    url, logo = decode_handle_values(decode_message(reply).body).values
    assert (url.type, url.data, url.ttl_seconds) == ("URL", b"https://example.org/", 600)
    assert (logo.data, logo.timestamp) == (b"\0\xff", 1_704_067_200)


async def test_a_foreign_referral_is_passed_on(server: HandleServer) -> None:
    reply = await asyncio.to_thread(server.ask, encode_question("10.1000/there"))
    referral = decode_referral(decode_message(reply).body)
    assert referral.handle == b"0.NA/10.1000" and [v.type for v in referral.values] == ["HS_SITE"]
    refused = await asyncio.to_thread(server.ask, encode_question("10.1000/there", flags=RECU | DNRF))
    assert get_code(refused) == 301


@pytest.mark.parametrize(
    ("handle", "flags", "code"),
    [
        ("10.1000/unasked", PUBL, 301),  # the client does not want us to ask
        ("10.1000/unasked", RECU | CERT, 5),
        ("88.101.5/NOPE", RECU, 100),  # ours
        ("88.101.99/X", RECU, 100),
        ("0.NA/88.101.99", RECU, 100),
        ("0", RECU, 100),  # a heartbeat
    ],
)
async def test_what_is_not_asked_upstream(
    server: HandleServer, asked: list[str], handle: str, flags: int, code: int
) -> None:
    before = len(asked)
    assert get_code(await asyncio.to_thread(server.ask, encode_question(handle, flags=flags))) == code
    assert len(asked) == before


async def ask_until(server: HandleServer, handle: str, code: int) -> bytes:
    """Ask again until the answer has this code."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        reply = await asyncio.to_thread(server.ask, encode_question(handle))
        if get_code(reply) == code or time.monotonic() > deadline:
            assert get_code(reply) == code
            return reply
        await asyncio.sleep(0.05)


async def test_without_the_database_known_answers_stay_and_unknown_ones_are_not_denied(
    server_dsn: str, tmp_path: Path
) -> None:
    dsn = await database.create_database(server_dsn)
    name = dsn.partition("?")[0].rpartition("/")[2]
    await fill_database(dsn, SITE)
    with run_server(ServerPlan(dsn, tmp_path, SITE)) as server:
        assert get_code(await asyncio.to_thread(server.ask, encode_question("88.101.5/SN0001"))) == 1
        await database.execute(server_dsn, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await database.execute(
            server_dsn, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        unknown = await ask_until(server, "88.101.5/BIG", 3)  # never 100
        assert "right now" in decode_error(decode_message(unknown).body).message
        assert server.read_log()[-1].outcome == Outcome.UNAVAILABLE
        for ask in (server.ask, server.ask_udp):
            assert get_code(await asyncio.to_thread(ask, encode_question("88.101.5/SN0001"))) == 1
            assert get_code(await asyncio.to_thread(ask, encode_question("88.101.5/NOT-KNOWN"))) == 3
            assert get_code(await asyncio.to_thread(ask, encode_question("88.101.5"))) == 1
        await database.execute(server_dsn, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await ask_until(server, "88.101.5/BIG", 1)
        await ask_until(server, "88.101.5/NOT-KNOWN", 100)
    await database.drop_database(server_dsn, dsn)


async def test_questions_under_way_when_the_server_stops_harm_nothing(server_dsn: str, tmp_path: Path) -> None:
    dsn = await database.create_database(server_dsn)
    await fill_database(dsn, SITE)
    with run_server(ServerPlan(dsn, tmp_path, SITE)) as server:
        client, datagrams = server.connect(), UdpClient(server.port)
        for number in range(200):
            client.send(encode_question(f"88.101.5/RN{number:08d}", number))
            datagrams.send(encode_question(f"88.101.5/RN{number:08d}", number))
    for peer in (client, datagrams):
        peer.close()
    await database.drop_database(server_dsn, dsn)
