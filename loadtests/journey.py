"""What users do, for locust: register, resolve, ask for statistics. Web page: `locust -f loadtests/journey.py`.

Where and as whom, in the environment: JOURNEY_KEY (`<access_key>.<secret_key>` of a firm), JOURNEY_PREFIX,
JOURNEY_TEMPLATE (items model, batch, produced_on, inspection, flow), JOURNEY_RESOLVER (http://host:port). The host
that locust asks for is the registry.
"""

import os
import random
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from locust import FastHttpUser, between, task

KEPT = 2_000  # identifiers a user remembers and resolves again
VALUES = {"model": "WQ15-7-1.1", "batch": "B240102", "produced_on": "2024-01-02", "inspection": "合格", "flow": "13.5"}


def read_setting(name: str) -> str:
    """Raises SystemExit with what to do: locust would show a stack otherwise."""
    value = os.environ.get(name)
    if not value:
        raise SystemExit(f"{name} is not set: see loadtests/README.md")
    return value


class Journey(FastHttpUser):
    """A factory's system that registers what it makes, and the people who resolve it afterwards."""

    wait_time = between(0.01, 0.1)

    def on_start(self) -> None:
        self.prefix, self.template = read_setting("JOURNEY_PREFIX"), read_setting("JOURNEY_TEMPLATE")
        self.resolver = read_setting("JOURNEY_RESOLVER").rstrip("/")
        self.headers = {"Authorization": f"Bearer {read_setting('JOURNEY_KEY')}"}
        self.known: list[str] = []
        self.register_one()

    @task(3)
    def register_one(self) -> None:
        suffix = f"J-{uuid4().hex}"
        body = {"prefix": self.prefix, "template": self.template, "suffix": suffix, "values": VALUES}
        self._write("register one", "/api/v1/identifiers", body, [suffix])

    @task(1)
    def register_fifty(self) -> None:
        suffixes = [f"J-{uuid4().hex}" for _ in range(50)]
        items = [{"suffix": suffix, "values": VALUES} for suffix in suffixes]
        body = {"prefix": self.prefix, "template": self.template, "items": items}
        self._write("register fifty", "/api/v1/identifiers/batch", body, suffixes)

    def _write(self, name: str, path: str, body: dict[str, Any], suffixes: list[str]) -> None:
        headers = self.headers | {"Idempotency-Key": uuid4().hex}
        with self.client.post(path, json=body, headers=headers, name=name, catch_response=True) as answer:
            if answer.status_code not in (200, 201):
                answer.failure(f"{answer.status_code} {answer.text[:200]}")
                return
            if len(suffixes) > 1 and answer.json()["registered"] != len(suffixes):
                answer.failure("not all were registered")
        self.known = (self.known + suffixes)[-KEPT:]

    @task(20)
    def resolve_as_a_program(self) -> None:
        self._resolve("resolve, Handle REST", "/api/handles", "WQ15-7-1.1")

    @task(5)
    def resolve_as_a_person(self) -> None:
        self._resolve("resolve, page", "", "WQ15-7-1.1", {"Accept": "text/html", "Accept-Language": "zh"})

    def _resolve(self, name: str, before: str, expected: str, headers: dict[str, str] | None = None) -> None:
        if not self.known:
            return
        url = f"{self.resolver}{before}/{quote(self.prefix)}/{quote(random.choice(self.known))}"
        with self.client.get(url, headers=headers or {}, name=name, catch_response=True) as answer:
            if answer.status_code != 200 or expected not in answer.text:
                answer.failure(f"{answer.status_code} {answer.text[:200]}")

    @task(1)
    def ask_for_statistics(self) -> None:
        with self.client.get(
            "/api/v1/statistics?by=enterprise", headers=self.headers, name="statistics", catch_response=True
        ) as answer:
            if answer.status_code != 200 or self.prefix not in answer.text:
                answer.failure(f"{answer.status_code} {answer.text[:200]}")
