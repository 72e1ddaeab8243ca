"""The interface against its own description: whatever the document allows is answered as the document says.

A longer run: `SCHEMATHESIS_EXAMPLES=200 python -m pytest tests/registry/test_api_schemathesis.py`.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.registry.api_world import PUMP, open_world

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip


class Served:
    """A registry on a loop of its own, with an operator's key."""

    def __init__(self, database_url: str, directory: Path) -> None:
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self.base = self.key = ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(database_url, directory)))
        self._thread.start()
        assert self._ready.wait(60)

    async def _run(self, database_url: str, directory: Path) -> None:
        self._loop = asyncio.get_running_loop()
        async with open_world(database_url, directory) as world:
            made = {"identifier": f"{PUMP}/P1", "template": "pump-1", "values": {"model": "A"}}
            await world.ask("POST", "/api/v1/identifiers", made)
            self.base, self.key = world.base, world.keys["operator"]
            self._ready.set()
            await self._stop.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


@pytest.fixture(scope="module")
def served(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(database_url, Path(tmp_path_factory.mktemp("registry")))
    yield made
    made.stop()


def test_every_answer_is_one_the_document_describes(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.key}"}
    schema: Any = schemathesis.openapi.from_url(f"{served.base}/api/v1/openapi.json", timeout=60)
    failures: list[str] = []
    tested = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/stream/{action}"):
            continue  # lines are no body a generator of JSON makes
        tested += 1

        @settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES < 50, database=None,
                  suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])  # fmt: skip
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS, timeout=30)

        try:
            check()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failures.append(f"{operation.label}: {error}"[:1500])
    assert not failures, "\n\n".join(failures)
    assert tested > 60
