"""The agent as a process: counts within moments, survives the loss of its connections, stops when told."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from node.agent import _repeat
from schemas.segments import SegmentWriter
from tests.node.counting_world import count_answers

RUN = "import asyncio; from node.agent import run_agent; from node.settings import AgentSettings, load_settings;" \
      " asyncio.run(run_agent(load_settings(AgentSettings)))"  # fmt: skip


@pytest_asyncio.fixture
async def agent(database_url: str, tmp_path: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("IDNODE_")}
    environment |= {"IDNODE_DATABASE_URL": database_url, "IDNODE_LOG_DIR": str(tmp_path)}
    environment |= {"IDNODE_TOPLEVEL_REHEARSAL": "false"}
    process = subprocess.Popen([sys.executable, "-c", RUN], env=environment, cwd=Path(__file__).parents[2])
    yield process
    process.kill()
    process.wait()


async def wait_for_answers(conn: asyncpg.Connection, count: int) -> None:
    async with asyncio.timeout(30):
        while await count_answers(conn) < count:
            await asyncio.sleep(0.05)


async def test_it_counts_goes_on_after_lost_connections_and_stops_when_told(
    agent: subprocess.Popen[bytes], pool: asyncpg.Pool, tmp_path: Path
) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", 65_536)
    async with pool.acquire() as conn:
        for round_number in range(1, 4):
            for _ in range(1_000):
                writer.append(b"88.101.5/x", 5, 3, 1, 1, 1, b"")
            await wait_for_answers(conn, 1_000 * round_number)
            await conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        seen = await conn.fetchval("SELECT value FROM node_facts WHERE name = 'agent_seen'")
        assert datetime.fromisoformat(seen).tzinfo is not None
        writer.append(b"the last one", 5, 3, 1, 1, 1, b"")
        writer.close()
        agent.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(agent.wait, 30) == 0
        assert await count_answers(conn) == 3_001, "what was logged before it stopped is counted"


async def test_a_server_that_answers_no_more_is_left_for_a_new_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.agent.ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("node.agent.RETRY_SECONDS", 0.01)
    servers: list[int] = []
    stop = asyncio.Event()

    async def work(conn: asyncpg.Connection) -> None:
        servers.append(conn.get_server_pid())
        if len(servers) == 1:
            os.kill(servers[0], signal.SIGSTOP)
        async with conn.transaction():
            await conn.fetchval("SELECT 1")
        stop.set()

    try:
        await asyncio.wait_for(_repeat(database_url, work, 0.01, stop), 60)
    finally:
        os.kill(servers[0], signal.SIGCONT)
    assert len(set(servers)) >= 2
