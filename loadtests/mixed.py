"""Mixed load on a node whose processes are killed, and then one question to all who have figures: are they equal?

`python -m loadtests.mixed [--minutes 10] [--seed N]` starts a node of its own with a rehearsal node above it. A
generator registers, mints ranges and asks over HTTP and the Handle protocol (TCP and UDP), and counts what was
answered, while every process is killed with SIGKILL at random moments. At the end the counters, their recomputation,
the day's statement, the report and what the node above received must be equal to the unit; what the generator counted
may lack only the questions that were in flight when a worker was killed, and datagrams the kernel dropped, all of
them listed.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import Any

import asyncpg

from node.closing import close_day
from node.store.closing import fetch_latest_rows
from schemas.days import get_day, get_start
from tests.resolver.handle_server import encode_question, get_code
from tests.system.accounts import ROOT, use_own
from tests.system.asking import Asker, Ledger, Writer
from tests.system.running_node import find_ports, wait_until
from tests.system.world import World, run_world

PREFIXES = ("88.101.401", "88.101.402")
TRANSPORTS = {PREFIXES[0]: ("http", "udp"), PREFIXES[1]: ("tcp",)}
TEMPLATE = ROOT / "data" / "products-pump-works.template.json"
KNOWN_COUNT = 100  # identifiers of each prefix that are asked for
RANGE_MEMBERS = 1_000
ENABLED = 1
UDP_PATIENCE_SECONDS = 8.0  # longer than a worker takes to come back: a question that is lost then was in flight
NODE_PREFIX = "88.101"
MEASURES = {  # our name → that of T8
    "registered_new": "regNew", "registered_total": "regTotal", "range_minted": "rangeMinted",
    "registered_live": "liveTotal", "resolutions": "resolveReq", "resolutions_ok": "resolveOk",
}  # fmt: skip

Figures = dict[str, dict[str, int]]  # prefix → measure → count


def find_seed() -> int:
    """That of FAULT_SEED, else a random one; printed, so that a run can be repeated."""
    seed = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"\nFAULT_SEED={seed}")
    return seed


def find_settings() -> dict[str, str]:
    """Of a node with a rehearsal node on ports of its own."""
    above, handle = find_ports(2)
    return {
        "IDNODE_TOPLEVEL_REHEARSAL": "true",
        "IDNODE_TOPLEVEL_PORT": str(above),
        "IDNODE_TOPLEVEL_HANDLE_PORT": str(handle),
    }


def list_victims(world: World, rounds: int) -> list[str]:
    """Every process in each round, PostgreSQL and the node above in two at least."""
    every = sorted(world.find_processes())
    return every * rounds + ["postgres", "toplevel"] * max(0, 2 - rounds)


# The generator --------------------------------------------------------------------------------------------------


class PatientAsker(Asker):
    """Waits long enough for a datagram that a question without an answer was in flight when its worker was killed."""

    def _connect_udp(self, stack: ExitStack) -> Callable[[str], int]:
        client = stack.enter_context(closing(self._world.connect_udp()))
        client.socket.settimeout(UDP_PATIENCE_SECONDS)

        def ask(identifier: str) -> int:
            client.send(encode_question(identifier, self.ledger.asked))
            return get_code(client.receive())

        return ask


class Minter(Thread):
    """Registers ranges, each sent again under its Idempotency-Key until it is acknowledged."""

    def __init__(self, world: World, prefix: str) -> None:
        super().__init__(name="minter", daemon=True)
        self.minted = 0
        self.surprises: list[Any] = []
        self._world, self._prefix, self._end = world, prefix, Event()

    def run(self) -> None:
        number = 0
        while not self._end.is_set() and not self.surprises:
            first = number * RANGE_MEMBERS
            number += 1
            while not self._mint(number, first):
                time.sleep(0.1)
            self._end.wait(0.5)

    def stop(self) -> int:
        """Identifiers in ranges that were acknowledged."""
        self._end.set()
        self.join(60)
        assert not self.is_alive()
        return self.minted

    def _mint(self, number: int, first: int) -> bool:
        body = {
            "prefix": self._prefix, "template": "product-1", "first": f"SN{first:08d}",
            "last": f"SN{first + RANGE_MEMBERS - 1:08d}",
            "values": {"product_code": "SN", "model": "WQ15", "produced_on": "2024-06-04"},
        }  # fmt: skip
        key = {"Idempotency-Key": f"range-{number}"}
        try:
            status, answer = self._world.api("POST", "/ranges", self._prefix, body, **key)
        except (OSError, ValueError, HTTPException):  # cut, or half an answer
            return False
        if status == 503:
            return False
        if status == 201:
            self.minted += RANGE_MEMBERS
        else:
            self.surprises.append((status, answer))
        return True


@dataclass(frozen=True, slots=True)
class Kill:
    name: str
    at: float  # unix seconds


@dataclass
class Load:
    """Clients of a node that runs, what they counted, and who was killed meanwhile."""

    world: World
    seed: int
    kills: list[Kill] = field(default_factory=list)
    known: dict[str, list[str]] = field(default_factory=dict)
    askers: dict[str, list[PatientAsker]] = field(default_factory=dict)
    writers: dict[str, Writer] = field(default_factory=dict)
    minters: dict[str, Minter] = field(default_factory=dict)
    dropped: int = 0  # datagrams, by the kernel
    first_day: date = field(default_factory=lambda: get_day(datetime.now(UTC)))

    def begin(self) -> None:
        self.dropped = -read_dropped_datagrams()
        for prefix in PREFIXES:
            self.world.add_enterprise(prefix)
        for prefix in PREFIXES:
            self._prepare(prefix)
        for number, prefix in enumerate(PREFIXES):
            known = self.known[prefix]
            self.askers[prefix] = [
                PatientAsker(self.world, transport, known, self.seed + number) for transport in TRANSPORTS[prefix]
            ]
            self.writers[prefix] = Writer(self.world, prefix)
            self.minters[prefix] = Minter(self.world, prefix)
        for thread in self._threads():
            thread.start()

    def _prepare(self, prefix: str) -> None:
        """A template and identifiers, once the node above has agreed to the prefix where it must."""
        world = self.world
        wait_until(lambda: world.fetch_value(f"SELECT state FROM prefixes WHERE prefix = '{prefix}'") == ENABLED)
        world.command("template", "add", TEMPLATE, "--prefix", prefix)
        known = [f"{prefix}/K{n}" for n in range(KNOWN_COUNT)]
        values = {"product_code": "K", "model": "WQ15", "produced_on": "2024-06-04"}
        items = [{"identifier": identifier, "values": values} for identifier in known]
        body = {"prefix": prefix, "template": "product-1", "items": items}
        status, answer = world.api("POST", "/identifiers/batch", prefix, body)
        assert (status, answer["registered"]) == (200, KNOWN_COUNT), answer
        self.known[prefix] = known

    def _threads(self) -> Iterable[Any]:
        yield from (asker for askers in self.askers.values() for asker in askers)
        yield from self.writers.values()
        yield from self.minters.values()

    def disturb(self, seconds: float, victims: list[str]) -> None:
        """Kill them in random order, each at a random moment of its share of the time."""
        chance = random.Random(self.seed)
        order = chance.sample(victims, len(victims))
        began, share = time.monotonic(), seconds / len(order)
        for number, name in enumerate(order):
            moment = began + share * (number + chance.random())
            time.sleep(max(0.0, moment - time.monotonic()))
            self.kills.append(Kill(name, time.time()))
            self.world.kill(name)
        time.sleep(max(0.0, began + seconds - time.monotonic()))

    def end(self) -> None:
        """Stop the clients, the last requests acknowledged, and wait until the node is well."""
        for thread in self._threads():
            thread.stop()
        self.dropped += read_dropped_datagrams()
        self.world.wait_until_well()

    @property
    def surprises(self) -> list[Any]:
        return [surprise for thread in self._threads() for surprise in _find_surprises(thread)]

    def sum_ledger(self, prefix: str) -> Ledger:
        total = Ledger()
        for asker in self.askers[prefix]:
            total.add(asker.ledger)
        return total

    def count_registered(self, prefix: str) -> tuple[int, int]:
        """All that was acknowledged, and of that members of ranges."""
        minted = self.minters[prefix].minted
        return len(self.known[prefix]) + len(self.writers[prefix].acknowledged) + minted, minted

    def find_unexplained(self) -> list[str]:
        """Questions without an answer, if there are more than were in flight when a worker was killed or dropped."""
        killed = sum(kill.name.startswith("resolver") for kill in self.kills)
        found = []
        for askers in self.askers.values():
            for asker in askers:
                allowed = killed + (self.dropped if "udp" in asker.name else 0)
                if len(asker.ledger.lost) > allowed:
                    found.append(f"{asker.name}: {len(asker.ledger.lost)} lost, {allowed} allowed")
        return found

    def describe(self) -> str:
        """What was asked, what was answered, who was killed, and every question that got no answer."""
        names = [kill.name for kill in self.kills]
        lines = [f"{len(names)} kills: " + ", ".join(f"{name} {names.count(name)}×" for name in sorted(set(names)))]
        lines += [f"  {_format_time(kill.at)} {kill.name}" for kill in self.kills]
        for prefix in PREFIXES:
            registered, minted = self.count_registered(prefix)
            again = self.writers[prefix].sent_again
            lines.append(f"{prefix}: {registered} registered ({minted} in ranges; {again} batches sent again)")
            for asker in self.askers[prefix]:
                ledger = asker.ledger
                lines.append(f"  {asker.name}: {ledger.asked} asked, {ledger.answered} answered, codes "
                             f"{dict(ledger.codes)}, {len(ledger.lost)} in flight")  # fmt: skip
                lines += [f"    {_format_time(at)} {what}" for at, what in ledger.lost]
        return "\n".join([*lines, f"datagrams dropped by the kernel (whole machine): {self.dropped}"])


def _format_time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"


def _find_surprises(thread: Any) -> list[Any]:
    return list(thread.ledger.surprises if isinstance(thread, Asker) else thread.surprises)


def read_dropped_datagrams() -> int:
    """Datagrams for want of room since the machine started (InErrors of /proc/net/snmp)."""
    names, counts = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line[:4] == "Udp:")
    return int(counts[names.index("InErrors")])


# Comparing ------------------------------------------------------------------------------------------------------


def compare(load: Load) -> list[str]:
    """Everything that is not equal, in words; nothing if all is."""
    today, problems = get_day(datetime.now(UTC)), []
    days = [load.first_day + timedelta(days=n) for n in range((today - load.first_day).days + 1)]
    sums: Figures = {prefix: {} for prefix in PREFIXES}
    for day in days:
        check_recomputed(load.world, day)
        found = read_everywhere(load.world, day, is_over=day < today)
        problems += find_differences(found, day)
        for prefix in PREFIXES:
            for name, count in found["counted"].get(prefix, {}).items():
                before = 0 if name.endswith(("_total", "_live")) else sums[prefix].get(name, 0)
                sums[prefix][name] = before + count
    return problems + compare_with_generator(load, sums)


def check_recomputed(world: World, day: date) -> None:
    """Wait until the agent has counted all of a day; then what the log and the history say is what was counted."""
    deadline = time.monotonic() + 120
    while (done := world.run("stats", "recompute", "--day", day.isoformat(), "--json")).returncode:
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(0.5)


def read_everywhere(world: World, day: date, is_over: bool) -> dict[str, Figures]:
    """The figures of a day by who says so."""
    text = day.isoformat()
    counted = world.command("stats", "--by", "enterprise", "--from", text, "--to", text)
    (stated,) = world.command("close", "--provisional", "--day", text)
    report = world.command("report", "--day", text, *([] if is_over else ["--provisional"]))
    numbers = [message["number"] for message in report["messages"] if message["table_name"] == "T8"]
    assert {message["state"] for message in report["messages"]} == {"accepted"}, report
    shown = world.command("outbox", "show", *numbers)
    received = world.command("toplevel", "received", "--day", text)
    (whole,) = received["T3"]
    for measure in ("resolveReq", "resolveOk"):
        assert whole[measure] == sum(row[measure] for row in received["T8"]), (whole, received["T8"])
    ours = {name: name for name in MEASURES}
    return {
        "counted": pick(counted, ours),
        "stated": pick(stated["rows"], ours),
        "closed": pick(close_as_tomorrow(world, day), ours),
        "reported": pick([row for message in shown for row in message["rows"]], MEASURES),
        "received": pick(received["T8"], MEASURES),
    }


def pick(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Figures:
    """The measures that the rows have, under our names."""
    return {
        row["prefix"]: {ours: row[theirs] for ours, theirs in names.items() if theirs in row}
        for row in rows
        if row["prefix"] in PREFIXES
    }


def close_as_tomorrow(world: World, day: date) -> list[dict[str, Any]]:
    """The rows of the day as it is closed ten minutes after its end, by a clock that is already there."""

    async def close() -> list[dict[str, Any]]:
        conn = await asyncpg.connect(world.dsn)
        try:
            later = get_start(day + timedelta(days=1)) + timedelta(minutes=10)
            await close_day(conn, (NODE_PREFIX,), day, later, incomplete=True)
            return [row.format() for row in (await fetch_latest_rows(conn, NODE_PREFIX, day)).values()]
        finally:
            await conn.close()

    with closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(close())


def find_differences(found: dict[str, Figures], day: date) -> list[str]:
    """Who says otherwise than the counters."""
    problems = []
    for prefix in PREFIXES:
        for name in MEASURES:
            said = {who: figures.get(prefix, {}).get(name) for who, figures in found.items()}
            counts = {count for count in said.values() if count is not None}
            missing = [who for who, figures in found.items() if prefix not in figures]
            if len(counts) != 1 or missing:
                problems.append(f"{day} {prefix} {name}: {said}")
    return problems


def compare_with_generator(load: Load, sums: Figures) -> list[str]:
    """Registrations to the unit; resolutions but for those in flight."""
    problems = []
    for prefix in PREFIXES:
        ledger, figures = load.sum_ledger(prefix), sums[prefix]
        registered, minted = load.count_registered(prefix)
        lost = len(ledger.lost)
        allowed = {
            "registered_new": (registered, registered),
            "registered_total": (registered, registered),
            "range_minted": (minted, minted),
            "resolutions": (ledger.answered, ledger.answered + lost),
            "resolutions_ok": (ledger.codes[1], ledger.codes[1] + lost),
        }
        for name, (least, most) in allowed.items():
            if name in figures:
                print(f"{prefix} {name}: {figures[name]}, the generator says {least} to {most}")
                if not least <= figures[name] <= most:
                    problems.append(f"{prefix} {name}: {figures[name]} instead of {least} to {most}")
    return problems


# The long run ---------------------------------------------------------------------------------------------------


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=0, help="0: a random one")
    given = options.parse_args()
    seed = given.seed or find_seed()
    with tempfile.TemporaryDirectory(prefix="idnode-mixed-") as place:
        Path(place).chmod(0o711)
        with run_world(Path(place) / "node", use_own(), **find_settings()) as world:
            world.start()
            load = Load(world, seed)
            load.begin()
            load.disturb(given.minutes * 60, list_victims(world, max(2, round(given.minutes / 2))))
            load.end()
            print(load.describe())
            problems = [*map(str, load.surprises), *load.find_unexplained(), *compare(load)]
    print("\n".join(problems) or "all figures are equal")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
