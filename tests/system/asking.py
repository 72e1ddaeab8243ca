"""Clients that go on asking whatever happens to the node, and list what they asked and what became of it."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from tests.resolver.handle_server import encode_question, get_code
from tests.system.world import World, locate

PAUSE_SECONDS = 0.02  # between questions: the load must leave room for what is being tested
UDP_SECONDS = 1.0


@dataclass
class Ledger:
    """`asked` counts questions handed to the kernel, wholly or in part; `lost` lists those that got no answer."""

    asked: int = 0
    codes: Counter[int] = field(default_factory=Counter)  # of the answers received
    lost: list[tuple[float, str]] = field(default_factory=list)  # when (unix seconds) and what
    surprises: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return self.codes.total()

    def add(self, other: "Ledger") -> None:
        self.asked += other.asked
        self.codes += other.codes
        self.lost += other.lost
        self.surprises += other.surprises

    def count(self, code: int, times: int = 1) -> None:
        """Questions that were asked and answered."""
        self.asked += times
        self.codes[code] += times


class Asker(threading.Thread):
    """Asks for known identifiers over one transport, one question after the other, until it is stopped."""

    def __init__(self, world: World, transport: str, identifiers: list[str], seed: int) -> None:
        super().__init__(name=f"asker {transport}", daemon=True)
        self.ledger = Ledger()
        self._world, self._identifiers, self._random = world, identifiers, random.Random(seed)
        self._connect = {"http": self._connect_http, "tcp": self._connect_tcp, "udp": self._connect_udp}[transport]
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.is_set():
            with ExitStack() as stack:
                try:
                    ask = self._connect(stack)
                    while not self._end.is_set():
                        self._ask_one(ask)
                        time.sleep(PAUSE_SECONDS)
                except OSError:  # cut: a new connection, as every client does
                    continue
                except Exception as error:
                    self.ledger.surprises.append(repr(error))
                    raise

    def stop(self) -> Ledger:
        self._end.set()
        self.join(30)
        assert not self.is_alive()
        return self.ledger

    def _ask_one(self, ask: Callable[[str], int]) -> None:
        identifier = self._random.choice(self._identifiers)
        self.ledger.asked += 1
        try:
            code = ask(identifier)
        except OSError:
            self.ledger.lost.append((time.time(), identifier))
            raise
        self.ledger.codes[code] += 1

    def _connect_http(self, stack: ExitStack) -> Callable[[str], int]:
        client = stack.enter_context(self._world.connect_http())

        def ask(identifier: str) -> int:
            answer = client.ask(locate(identifier)).document
            if answer["handle"] != identifier:
                self.ledger.surprises.append(f"{identifier}: {answer}")
            return int(answer["responseCode"])

        return ask

    def _connect_tcp(self, stack: ExitStack) -> Callable[[str], int]:
        client = stack.enter_context(closing(self._world.connect_tcp()))

        def ask(identifier: str) -> int:
            client.send(encode_question(identifier, self.ledger.asked))
            reply = client.receive()
            if int.from_bytes(reply[8:12], "big") != self.ledger.asked:
                self.ledger.surprises.append(f"{identifier}: an answer to another question")
            return get_code(reply)

        return ask

    def _connect_udp(self, stack: ExitStack) -> Callable[[str], int]:
        client = stack.enter_context(closing(self._world.connect_udp()))
        client.socket.settimeout(UDP_SECONDS)

        def ask(identifier: str) -> int:
            client.send(encode_question(identifier, self.ledger.asked))
            while int.from_bytes((reply := client.receive())[8:12], "big") != self.ledger.asked:
                pass  # late: it stands in the list of the lost
            return get_code(reply)

        return ask


class Writer(threading.Thread):
    """Registers batches, each with an Idempotency-Key under which it is sent again until it is acknowledged."""

    def __init__(self, world: World, prefix: str, size: int = 5) -> None:
        super().__init__(name="writer", daemon=True)
        self.acknowledged: list[str] = []
        self.sent_again = 0
        self.surprises: list[Any] = []
        self._world, self._prefix, self._size = world, prefix, size
        self._end = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._end.is_set():
            number += 1
            suffixes = [f"W{number}-{n}" for n in range(self._size)]
            while (answer := self._send(number, suffixes)) is None:
                self.sent_again += 1
                time.sleep(0.05)
            if answer.get("registered") != self._size:
                self.surprises.append(answer)
                return
            self.acknowledged += [f"{self._prefix}/{suffix}" for suffix in suffixes]
            time.sleep(0.05)

    def stop(self) -> list[str]:
        """The last batch is sent until it is acknowledged, too."""
        self._end.set()
        self.join(60)
        assert not self.is_alive()
        return self.acknowledged

    def _send(self, number: int, suffixes: list[str]) -> Any:
        """None: not acknowledged; every answer but a success must be a 503."""
        values = {"model": "WQ15", "produced_on": "2024-06-04"}
        items = [{"suffix": suffix, "values": values | {"product_code": suffix}} for suffix in suffixes]
        body = {"prefix": self._prefix, "template": "product-1", "items": items}
        key = {"Idempotency-Key": f"batch-{number}"}
        try:
            status, answer = self._world.api("POST", "/identifiers/batch", self._prefix, body, **key)
        except (OSError, EOFError, json.JSONDecodeError, ConnectionError):
            return None
        except Exception as error:  # half an answer (http.client.IncompleteRead, RemoteDisconnected)
            if type(error).__module__ == "http.client":
                return None
            raise
        if status == 503:
            return None
        if status != 200:
            self.surprises.append((status, answer))
        return answer


def ask_all(world: World, identifiers: list[str], window: int = 200) -> list[int]:
    """Response codes over one Handle connection with many questions under way."""
    codes: dict[int, int] = {}
    with closing(world.connect_tcp()) as client:
        for start in range(0, len(identifiers), window):
            asked = range(start, min(start + window, len(identifiers)))
            client.send(b"".join(encode_question(identifiers[n], n + 1) for n in asked))
            for _ in asked:
                reply = client.receive()
                codes[int.from_bytes(reply[8:12], "big") - 1] = int.from_bytes(reply[24:28], "big")
    return [codes[n] for n in range(len(identifiers))]
