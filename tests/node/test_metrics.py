"""What monitoring reads is Prometheus' text, holds no secret, names what the dashboard asks for, and is not for all."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from node.agent_stats import AgentStats
from node.metrics import METRICS, Samples, collect
from node.metrics_api import make_metrics_router
from node.settings import NodeSettings, load_settings
from registry.api.state import RegistryState, open_pool
from registry.app import create_app, make_server
from schemas.process_stats import FRESH_SECONDS, StatsFile, read_stats
from schemas.segments import SegmentWriter
from tests.certificates import make_certificate
from tests.node.serving import serve_app
from tests.registry.api_world import make_config, make_people

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "docs" / "grafana-dashboard.json"
NAME = re.compile(r"\bidnode_[a-z_]+")
WORKER = {
    "cache_entries": 5, "cache_bytes": 900, "misses": 7, "misses_in_flight": 1, "database_up": True,
    "synced_seconds": 0.1, "position": 0, "statements": 3, "statement_seconds": 0.02, "log_missing": 0,
    "delay_seconds": 0.001, "udp_refused": 2, "udp_unsent": 1, "half_read_bytes": 40, "half_read_closed": 1,
}  # fmt: skip


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NodeSettings:
    """A node whose processes have all written what they know."""
    monkeypatch.setenv("IDNODE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IDNODE_TRUSTED_PROXIES", "")
    made = load_settings(NodeSettings)
    stats = AgentStats(totals={"rows": 4, "members": 10, "retired": 1, "enterprises": 2}, clock={"database": 0.1})
    stats.add({"resolver-0-77": 9, "registry-78": 1}, {(1, None, 0, 1, 1, 1, 1): 9, (1, None, 0, 1, 99, 1, 1): 1})  # type: ignore[dict-item]
    stats.note_counted()
    StatsFile(made.stats_dir, "agent").write(stats.collect())
    StatsFile(made.stats_dir, "resolver-0").write(WORKER)
    requests = {"requests": {"200": 3, "503": 1}, "request_seconds": 0.5, "log_missing": 0, "delay_seconds": 0.0}
    StatsFile(made.stats_dir, "registry").write(requests)
    StatsFile(made.stats_dir, "supervisor-node").write({"deaths": {"resolver-0": 2}})
    return made


def parse(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """As Prometheus reads it: metric → labels → value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), "no sample is there twice"
            found[sample.name][labels] = sample.value
    return found


async def test_every_metric_is_there_on_a_node_where_everything_happened(
    settings: NodeSettings, connection: asyncpg.Connection, tls_node: NodeSettings
) -> None:
    await connection.execute("INSERT INTO node_facts VALUES ('last_backup', '2026-03-02T04:00:00+00:00')")
    found = parse(await collect(tls_node, connection))
    assert found.keys() == METRICS.keys()
    assert found["idnode_answers_total"] == {(("process", "resolver-0"),): 9, (("process", "registry"),): 1}
    assert found["idnode_resolutions_total"][("outcome", "found"), ("transport", "http")] == 9
    assert found["idnode_resolutions_total"][("outcome", "found"), ("transport", "99")] == 1
    assert found["idnode_process_restarts_total"] == {(("process", "resolver-0"),): 2}
    assert found["idnode_requests_total"][(("status", "503"),)] == 1
    assert set(found["idnode_alarms_open"].values()) == {0}


@pytest.fixture
def tls_node(settings: NodeSettings, tmp_path: Path) -> NodeSettings:
    certificate, key = make_certificate(tmp_path, days=30)
    return settings.model_copy(update={"tls_certificate": certificate, "tls_key": key})


async def test_parts_that_are_supervised_apart_are_each_told_once(settings: NodeSettings) -> None:
    StatsFile(settings.stats_dir, "supervisor-resolver").write({"deaths": {"resolver-0": 1, "resolver-1": 0}})
    found = parse(await collect(settings, None))
    assert found["idnode_process_restarts_total"] == {(("process", "resolver-0"),): 3, (("process", "resolver-1"),): 0}


async def test_without_a_database_the_rest_is_told(settings: NodeSettings) -> None:
    found = parse(await collect(settings, None))
    assert found["idnode_database_up"] == {(): 0}
    assert found["idnode_cache_misses_total"] == {(("process", "resolver-0"),): 7}
    assert "idnode_jobs" not in found, "what is not known is not 0"


async def test_a_process_that_hangs_is_not_up_and_one_that_ended_is_not_shown(settings: NodeSettings) -> None:
    path = settings.stats_dir / "resolver-0.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"written": time.time() - FRESH_SECONDS - 1}))
    (settings.stats_dir / "resolver-1.json").write_text("{half")
    StatsFile(settings.stats_dir, "registry").remove()
    found = parse(await collect(settings, None))
    assert found["idnode_process_up"][(("process", "resolver-0"),)] == 0
    assert found["idnode_invalidation_lag_seconds"][(("process", "resolver-0"),)] > FRESH_SECONDS
    assert {dict(labels)["process"] for labels in found["idnode_process_up"]} == {
        "agent", "resolver-0", "supervisor-node",
    }  # fmt: skip


def test_a_process_takes_away_its_own_file_only(tmp_path: Path) -> None:
    file = StatsFile(tmp_path, "resolver-0")
    file.write({})
    document = json.loads((tmp_path / "resolver-0.json").read_text())
    (tmp_path / "resolver-0.json").write_text(json.dumps(document | {"pid": 1}))  # its successor's
    file.remove()
    assert read_stats(tmp_path).keys() == {"resolver-0"}


def test_labels_cannot_break_a_line() -> None:
    samples = Samples()
    samples.add("idnode_process_up", 1, process='a"b\\c\nd')
    assert parse(samples.format())["idnode_process_up"] == {(("process", 'a"b\\c\nd'),): 1}


# The dashboard ----------------------------------------------------------------------------------------------------


def list_queries(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [str(node["expr"])] if "expr" in node else []
        return own + [query for child in node.values() for query in list_queries(child)]
    return [q for child in node for q in list_queries(child)] if isinstance(node, list) else []


def test_the_dashboard_asks_only_for_metrics_that_exist_and_for_nearly_all_of_them() -> None:
    queries = list_queries(json.loads(DASHBOARD.read_text(encoding="utf-8")))
    asked = {name for query in queries for name in NAME.findall(query)}
    assert asked - METRICS.keys() == set()
    assert METRICS.keys() - asked == {"idnode_info", "idnode_process_start_time_seconds"}


def test_the_guides_name_only_metrics_that_exist() -> None:
    for guide in ("operations.md", "operations.zh-CN.md"):
        named = NAME.findall((ROOT / "docs" / guide).read_text(encoding="utf-8"))
        assert named
        assert set(named) - METRICS.keys() == set()


# Who may read -----------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module")
async def keys(pool: asyncpg.Pool) -> dict[str, str]:
    return (await make_people(pool))[0]


@pytest.fixture
def serve(database_url: str, tmp_path: Path, settings: NodeSettings) -> Callable[..., Any]:
    async def run(**changes: Any) -> AsyncIterator[str]:
        own = settings.model_copy(update=changes)
        config = make_config(database_url, tmp_path)
        segments = SegmentWriter(config.log_dir, "registry-test", 1 << 16)
        async with open_pool(database_url) as opened:
            state = RegistryState(config, opened, segments)
            app = create_app(state, [], [make_metrics_router(own)])
            async with serve_app(make_server(app, config)) as port:
                yield f"http://127.0.0.1:{port}"
        segments.close()

    return run


async def ask(base: str, key: str = "", **headers: str) -> int:
    sent = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession() as http, http.get(f"{base}/metrics", headers=sent | headers) as reply:
        text = await reply.text()
        assert ("idnode_info" in text) == (reply.status == 200)
        return reply.status


async def test_the_page_is_for_near_networks_and_for_the_operator(
    serve: Callable[..., Any], keys: dict[str, str]
) -> None:
    async for base in serve():
        assert await ask(base) == 200
        assert await ask(base, **{"X-Forwarded-For": "203.0.113.9"}) == 401, "a proxy of ours may serve the world"
        assert await ask(base, Forwarded="for=127.0.0.1") == 401
    async for base in serve(metrics_networks=()):
        assert await ask(base) == 401
        assert await ask(base, keys["pump"]) == 403
        assert await ask(base, keys["operator"]) == 200
        assert await ask(base, "ak_" + "0" * 20 + ".x") == 401
