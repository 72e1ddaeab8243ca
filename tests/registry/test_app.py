"""The registry as a process: sockets handed in, jobs run, a clean end."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp

from schemas.resolution_log import End, decode_answers
from tests.registry.api_world import PUMP, open_world

PROGRAM = """
import asyncio, socket, sys
from pathlib import Path
from registry.app import RegistryConfig, serve_registry
from registry.prefixes import NodeRules
from schemas.sealing import KeyRing
url, place, descriptor = sys.argv[1:]
config = RegistryConfig(url, "http://node.example", Path(place, "jobs"), Path(place, "log"),
                        NodeRules(("88.101",), KeyRing({"k": bytes(32)})))
asyncio.run(serve_registry(config, [socket.socket(fileno=int(descriptor))]))
"""


async def test_it_serves_on_the_socket_it_was_given_and_ends_with_everything_closed(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    left = [tmp_path / "jobs" / name for name in ("arriving-x", "receipt-y", "z.upload")]
    for path in left:
        path.touch()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, database_url, str(tmp_path), str(listening.fileno()),
        pass_fds=[listening.fileno()], env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    listening.close()
    try:
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/health") as reply:  # waits in the socket's queue until then
                assert (reply.status, (await reply.json())["status"]) == (200, "ok")
            async with http.get(f"http://127.0.0.1:{port}/api/v1/identifiers/88.101.1/none") as reply:
                assert reply.status == 404
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert [path.exists() for path in left] == [False, False, True], "what a killed process left is cleared away"
    answers = [a for path in (tmp_path / "log").glob("*.segment") for a in decode_answers(path.read_bytes())]
    ends = [a for a in answers if isinstance(a, End)]
    assert len(answers) - len(ends) == 1 and all(end.finished for end in ends)


async def test_head_answers_wherever_get_does_and_sends_no_body(database_url: str, tmp_path: Path) -> None:
    async with open_world(database_url, tmp_path) as world:
        for path in ("/health", f"/api/v1/prefixes/{PUMP}", "/api/v1/jobs", "/docs", "/api/v1/none"):
            got, head = await world.ask("GET", path), await world.ask("HEAD", path)
            assert (head.status, head.body) == (got.status, b""), path
            for name in ("Content-Type", "Content-Length", "Cache-Control"):
                assert head.headers.get(name) == got.headers.get(name), (path, name)
        # The connection goes on: nobody reads a body as the next answer.
        assert (await world.ask("HEAD", "/api/v1/keys/x/revoke")).status == 405
        assert (await world.ask("GET", "/health")).status == 200
