"""The load generator against a live server: it counts what came, and it notices wrong answers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from loadtests.handle_load import Figures, Load, Questions, Window, encode_question, run
from schemas.handle_messages import decode_message
from schemas.handle_values import Site, encode_site
from tests.resolver.handle_server import HandleServer, ServerPlan, fill_database, run_server

SITE = encode_site(Site(serial=1))


@pytest_asyncio.fixture(scope="module")
async def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HandleServer]:
    await fill_database(database_url, SITE)
    with run_server(ServerPlan(database_url, tmp_path_factory.mktemp("log"), SITE)) as made:
        yield made


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_answers_are_counted_as_the_server_counts_them(server: HandleServer, transport: str) -> None:
    identifiers = [f"88.101.5/RN{number:08d}" for number in range(1, 501)]
    load = Load(transport, "127.0.0.1", server.port, connections=3, window=7, seconds=0.5)
    before = len(server.read_log())
    figures = run(load, identifiers)
    counted = len(server.read_log()) - before
    assert figures.answers and not figures.wrong and not figures.other_codes
    assert figures.checked and len(figures.latencies_ms) >= figures.checked - 3
    assert figures.answers <= counted <= figures.answers + figures.lost + 3 * 7
    summary = figures.summarise()
    assert summary["wrong"] == [] and isinstance(summary["answers_per_second"], int)


def test_identifiers_that_are_not_there_are_seen(server: HandleServer) -> None:
    figures = run(Load("tcp", "127.0.0.1", server.port, 1, 4, 0.2), ["88.101.5/NOT-THERE"])
    assert figures.other_codes == figures.answers > 0


def test_the_order_starts_again_at_its_end() -> None:
    window = Window(Questions(["88.101.5/A", "88.101.5/B", "88.101.5/C"], seed=1), Figures(), first=2)
    assert list(window.take(3)) == [(2, 3), (0, 2)]
    assert window.in_flight == 3 and window.next == 2


def test_an_answer_to_another_question_is_wrong(server: HandleServer) -> None:
    figures = Figures()
    window = Window(Questions(["88.101.5/SN0001"], seed=1), figures, first=0)
    good = server.ask(encode_question(0, "88.101.5/SN0001"))
    window.check(good)
    assert figures.wrong == []
    for bad in (server.ask(encode_question(0, "88.101.5/BIG")), good[:-8], server.ask(encode_question(0, "10.1/x"))):
        window.check(bad)
    assert len(figures.wrong) == 3


def test_processes_add_up() -> None:
    one: dict[str, Any] = {"answers": 10, "lost": 1, "checked": 2, "seconds": 2.0, "core_percent": 50.0}
    total = Figures()
    for percent in (50.0, 90.0):
        total.add(replace(Figures(**one), core_percent=percent))
    assert (total.answers, total.lost, total.seconds, total.core_percent) == (20, 2, 2.0, 90.0)
    assert total.summarise()["answers_per_second"] == 10
    assert decode_message(encode_question(5, "a/b")).envelope.request_id == 5
