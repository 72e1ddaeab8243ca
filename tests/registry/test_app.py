"""The registry as a process: sockets handed in, jobs run, a clean end."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp

from schemas.resolution_log import End, decode_answers

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
