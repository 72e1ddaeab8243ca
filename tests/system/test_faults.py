"""What the node does while the database is away or the log's disk is full, and how fast a change is seen everywhere."""

import os
import resource
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from node.postgres import EmbeddedPostgres
from schemas.resolution_log import Outcome
from tests.resolver.handle_server import encode_question, get_code
from tests.system.accounts import ROOT, use_own
from tests.system.running_node import wait_until
from tests.system.world import HttpAnswer, HttpClient, Workers, World, locate, run_world

TEMPLATE = ROOT / "data" / "products-pump-works.template.json"
OWN, OUTSIDE = "88.101.401", "88.101.402"
ASK_SECONDS = 0.005  # between two looks at what everybody sees
LOG_BYTES = 2 * 1_048_576
SMALLEST_SEGMENT_BYTES = 64 * 1024


@dataclass
class Firm:
    """An enterprise of a node, and how many questions were asked about its identifiers."""

    world: World
    prefix: str
    postgres: EmbeddedPostgres | None = None
    asked: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def name_new(self) -> str:
        return f"{self.prefix}/N{next(self.numbers)}"

    def register(self, identifier: str | None = None) -> str:
        """A new identifier that was acknowledged."""
        name = identifier or self.name_new()
        status, answer = self.try_register(name)
        assert status == 201, answer
        return name

    def try_register(self, name: str) -> tuple[int, Any]:
        values = {"product_code": "N", "model": "A", "produced_on": "2024-06-04"}
        body = {"identifier": name, "template": "product-1", "values": values}
        return self.world.api("POST", "/identifiers", self.prefix, body)

    def ask(self, client: HttpClient, identifier: str) -> HttpAnswer:
        self.asked += 1
        return client.ask(locate(identifier))

    def ask_handle(self, identifier: str) -> int:
        """The response code over TCP."""
        with closing(self.world.connect_tcp()) as client:
            client.send(encode_question(identifier))
            self.asked += 1
            return get_code(client.receive())


def begin(world: World, prefix: str, postgres: EmbeddedPostgres | None = None) -> Firm:
    world.add_enterprise(prefix)
    world.command("template", "add", TEMPLATE, "--prefix", prefix)
    return Firm(world, prefix, postgres)


@pytest.fixture(scope="module")
def firm(world: World) -> Firm:
    """Of a node that starts its own database."""
    return begin(world, OWN)


@pytest.fixture(scope="module")
def log_dir(open_place: Path) -> Iterator[Path]:
    """A file system of its own and small, where we may mount one."""
    made = open_place / "log"
    made.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={LOG_BYTES},mode=0755", "none", str(made)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mount.returncode:
        warnings.warn(f"no small file system for the log, files are limited instead: {mount.stderr}", stacklevel=1)
    yield made
    if not mount.returncode:
        subprocess.run(["umount", str(made)], check=True)


@pytest.fixture(scope="module")
def outside(open_place: Path, log_dir: Path) -> Iterator[Firm]:
    """Of a node whose database is somebody else's: here one that the tests start and stop."""
    postgres = EmbeddedPostgres(open_place / "database")
    settings = {"IDNODE_DATABASE_URL": postgres.start(), "IDNODE_LOG_DIR": str(log_dir)}
    try:
        with run_world(open_place / "outside", use_own(), **settings) as world:
            world.start()
            yield begin(world, OUTSIDE, postgres)
    finally:
        postgres.stop()


# A change is seen everywhere -------------------------------------------------------------------------------------


def change_and_wait(firm: Firm, identifier: str, workers: Any, text: str) -> float:
    """Seconds from the acknowledgement of a change until every worker shows it, over HTTP and Handle."""
    acknowledged = firm.world.change(identifier, body={"values": {"model": text}})
    wait_until(lambda: {values["model"] for _, values, _ in workers.ask(identifier).values()} == {text}, ASK_SECONDS)
    return time.monotonic() - acknowledged


def test_a_change_is_seen_on_every_worker(firm: Firm) -> None:
    identifier = firm.register()
    with firm.world.connect_to_every_worker() as workers:
        took = [change_and_wait(firm, identifier, workers, f"B{n}") for n in range(5)]
    print(f"\nseen everywhere after at most {max(took):.2f} s")


def test_a_new_identifier_is_found_although_it_was_missed_before(firm: Firm) -> None:
    name = firm.name_new()
    with firm.world.connect_to_every_worker() as workers:
        assert {code for code, _, _ in workers.ask(name).values()} == {100}
        firm.register(name)
        acknowledged = time.monotonic()
        wait_until(lambda: {code for code, _, _ in workers.ask(name).values()} == {1}, ASK_SECONDS)
    print(f"\nfound everywhere after {time.monotonic() - acknowledged:.2f} s")


def test_a_change_is_seen_while_a_file_is_imported(firm: Firm, tmp_path: Path) -> None:
    identifier = firm.register()
    file = tmp_path / "many.csv"
    rows = (f"M{n:06d},WQ15,2024-06-04" for n in range(12_000))
    file.write_text("\n".join(["产品编码,型号,生产日期", *rows, ""]), encoding="utf-8")
    form = {"prefix": firm.prefix, "template": "product-1", "identifier_column": "产品编码"}
    took: list[float] = []
    with firm.world.connect_to_every_worker() as workers:  # which may take longer than the import
        job_id = firm.world.post_file(firm.prefix, file, form)
        while (job := firm.world.api("GET", f"/jobs/{job_id}", firm.prefix)[1])["state"] in ("queued", "running"):
            took.append(change_and_wait(firm, identifier, workers, f"C{len(took)}"))
    assert job["counts"]["registered"] == 12_000
    assert took
    print(f"\n{len(took)} changes during an import, seen everywhere after at most {max(took):.2f} s")


def test_a_change_is_seen_after_the_workers_connections_were_cut(firm: Firm) -> None:
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'idnode resolver'"
    identifier = firm.register()
    took: list[float] = []
    with firm.world.connect_to_every_worker() as workers:
        workers.ask(identifier)
        for n in range(3):
            assert firm.world.fetch_value(cut) >= 2, "at least the followers of two workers"
            took.append(change_and_wait(firm, identifier, workers, f"D{n}"))
    print(f"\nseen everywhere after at most {max(took):.2f} s")


# The database is away --------------------------------------------------------------------------------------------


@contextmanager
def stop_by_signal(firm: Firm) -> Iterator[None]:
    """Every process of the database stands still, as on a machine whose disk hangs."""
    pids = firm.world.list_postgres()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in set(firm.world.list_postgres()) - set(pids):  # started meanwhile
        pids.append(pid)
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def stop_for_real(firm: Firm) -> Iterator[None]:
    assert firm.postgres is not None
    firm.postgres.stop()
    try:
        yield
    finally:
        firm.postgres.start()


@pytest.mark.parametrize(("which", "stop"), [("firm", stop_by_signal), ("outside", stop_for_real)])
def test_while_the_database_is_away_what_is_known_is_answered(
    request: pytest.FixtureRequest, which: str, stop: Any
) -> None:
    firm: Firm = request.getfixturevalue(which)
    known, unknown, existing = firm.register(), firm.name_new(), firm.register()
    world = firm.world
    with world.connect_to_every_worker() as workers:
        workers.ask(known)
        with stop(firm):
            check_known(firm, workers, known)
            check_not_now(firm, unknown, existing)
            check_writes(firm, unknown)
            check_stale(workers, known)
            check_not_now(firm, unknown)
        resumed = time.monotonic()
        check_recovered(firm, workers, unknown, existing)
        print(f"\nrecovered after {time.monotonic() - resumed:.1f} s")
    world.wait_until_well()
    refused = (
        "SELECT coalesce(sum(answers), 0)::int8 FROM resolution_counts JOIN prefixes USING (prefix_id)"
        f" WHERE outcome = {int(Outcome.UNAVAILABLE)} AND prefix = '{firm.prefix}'"
    )
    # "Not now" is an answer, too, and counted where it belongs.
    wait_until(lambda: world.fetch_value(refused) >= 6, 0.2)


def check_known(firm: Firm, workers: Any, known: str) -> None:
    answers = workers.ask(known)
    assert {(code, values["model"]) for code, values, _ in answers.values()} == {(1, "A")}, answers


def check_stale(workers: Any, known: str) -> None:
    """Once a worker has noticed, it says how old its answers are (RFC 9111 §5.1, §5.5)."""

    def says_so() -> bool:
        answers = [client.ask(locate(known)) for client in workers.http.values()]
        assert all(answer.status == 200 for answer in answers)
        return all(a.headers.get("warning", "").startswith("110 ") and a.headers.get("age") for a in answers)

    wait_until(says_so, 0.1)


def check_not_now(firm: Firm, *identifiers: str) -> None:
    """Never "not found": whether one exists cannot be known now. All at once, since each answer takes its time."""
    with ExitStack() as stack:
        asked = []
        for identifier in identifiers:
            client = stack.enter_context(firm.world.connect_http())
            client.send(f"GET {locate(identifier)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            other = stack.enter_context(closing(firm.world.connect_tcp()))
            other.send(encode_question(identifier))
            asked.append((client, other))
            firm.asked += 2
        for client, other in asked:
            answer = client.receive()
            assert (answer.status, answer.document["responseCode"]) == (503, 3)
            assert int(answer.headers["retry-after"]) > 0
            assert get_code(other.receive()) == 3


def check_writes(firm: Firm, unknown: str) -> None:
    status, problem = firm.try_register(unknown)
    assert (status, problem["status"], problem["code"]) == (503, 503, "database_unavailable")
    assert problem["remedy"]


def check_recovered(firm: Firm, workers: Any, unknown: str, existing: str) -> None:
    def is_back() -> bool:
        codes = [code for code, _, _ in workers.ask(existing).values()]
        answers = [client.ask(locate(existing)) for client in workers.http.values()]
        return set(codes) == {1} and not any("warning" in answer.headers for answer in answers)

    wait_until(is_back, 0.1)
    wait_until(lambda: {code for code, _, _ in workers.ask(unknown).values()} == {100})
    wait_until(lambda: firm.try_register(unknown)[0] == 201, 0.1)
    wait_until(lambda: {code for code, _, _ in workers.ask(unknown).values()} == {1})


def test_a_worker_and_a_registry_that_start_without_a_database_wait_for_it(outside: Firm) -> None:
    existing = outside.register()
    with stop_for_real(outside):
        before = outside.world.find_processes()
        for name in ("resolver-0", "resolver-1", "registry", "agent"):
            os.kill(before[name], signal.SIGKILL)
        for name in ("resolver-0", "resolver-1", "registry"):
            outside.world.wait_for_successor(name, before[name])
        check_not_now(outside, existing)
        check_writes(outside, existing)
    wait_until(lambda: outside.ask_handle(existing) == 1)
    outside.register()
    outside.world.wait_until_well()


# The log's disk is full ------------------------------------------------------------------------------------------


AT_ONCE = 200  # questions on the wire


def count_missing(client: HttpClient) -> int:
    return int(client.ask("/health").document["log_missing"])


def ask_until_missing(firm: Firm, workers: Workers, name: str, identifier: str) -> int:
    """Until that worker's answers could not be logged; how many were asked."""
    first, http, handle = firm.asked, workers.http[name], workers.tcp[name]
    while not count_missing(http):
        firm.asked += AT_ONCE
        handle.send(b"".join(encode_question(identifier, n + 1) for n in range(AT_ONCE)))
        assert {get_code(handle.receive()) for _ in range(AT_ONCE)} == {1}
        assert firm.asked - first < 50_000
    assert firm.ask(http, identifier).status == 200
    return firm.asked - first


def check_resumed(firm: Firm, client: HttpClient, identifier: str) -> int:
    """Answers are logged again; how many are missing."""

    def is_logged() -> bool:
        missing = count_missing(client)
        assert firm.ask(client, identifier).status == 200
        return count_missing(client) == missing

    wait_until(is_logged)
    return count_missing(client)


@contextmanager
def stop_agent(world: World) -> Iterator[None]:
    """It asks a question of its own once a minute, which could be one of those that are not logged."""
    agent = world.find_processes()["agent"]
    os.kill(agent, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(agent, signal.SIGCONT)


def sum_gaps(world: World) -> int:
    return int(world.fetch_value("SELECT coalesce(sum(missing), 0) FROM log_gaps WHERE reason = 'no_room'"))


def settle(firm: Firm) -> int:
    """What is counted now, when the agent has read everything."""
    wait_until(lambda: firm.world.examine().get("segments") == "ok", 0.5)
    first = firm.world.read_stats(firm.prefix).get("resolutions", 0)
    wait_until(lambda: firm.world.read_stats(firm.prefix).get("resolutions", 0) == first, 0.5)
    return first


def test_answers_go_on_when_the_log_may_not_grow(outside: Firm) -> None:
    """A worker whose files may not be larger than its first segment, then not even that."""
    world, identifier = outside.world, outside.register()
    counted, gaps = settle(outside), sum_gaps(world)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    before = world.find_processes()["resolver-0"]
    resource.prlimit(world.pid, resource.RLIMIT_FSIZE, (SMALLEST_SEGMENT_BYTES, hard))
    os.kill(before, signal.SIGKILL)
    worker = world.wait_for_successor("resolver-0", before)
    resource.prlimit(world.pid, resource.RLIMIT_FSIZE, (hard, hard))
    outside.asked = 0
    with stop_agent(world), world.connect_to_every_worker() as workers:
        client = workers.http["resolver-0"]
        outside.ask(client, identifier)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (1_024, hard))
        asked = ask_until_missing(outside, workers, "resolver-0", identifier)
        assert outside.ask_handle(identifier) == 1
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (hard, hard))
        missing = check_resumed(outside, client, identifier)
    assert 0 < missing < asked
    world.wait_for_stats(outside.prefix, resolutions=counted + outside.asked - missing)
    wait_until(lambda: sum_gaps(world) == gaps + missing, 0.2)
    assert world.examine()["gaps"] == "warning"
    print(f"\n{outside.asked} asked, {missing} could not be logged")


def test_answers_go_on_when_the_logs_disk_is_full(outside: Firm, log_dir: Path) -> None:
    """Where no small file system can be mounted, the test before this one stands alone."""
    if not log_dir.is_mount():
        return
    world, identifier = outside.world, outside.register()
    counted, gaps = settle(outside), sum_gaps(world)
    outside.asked = 0
    with stop_agent(world), world.connect_to_every_worker() as workers:
        client = workers.http["resolver-1"]
        before = sum(map(count_missing, workers.http.values()))
        with fill_disk(log_dir):
            asked = ask_until_missing(outside, workers, "resolver-1", identifier)
            doctor = world.run("doctor", "--json")
            assert doctor.returncode == 1
            assert world.examine()["disk"] == "error"
            assert outside.ask_handle(identifier) == 1
            new = outside.register()
            assert outside.ask_handle(new) == 1, "registering needs no room in the log"
        check_resumed(outside, client, identifier)
        missing = sum(map(count_missing, workers.http.values())) - before
    assert 0 < missing <= asked + 3
    world.wait_for_stats(outside.prefix, resolutions=counted + outside.asked - missing)
    wait_until(lambda: sum_gaps(world) == gaps + missing, 0.2)
    print(f"\n{outside.asked} asked, {missing} could not be logged")


@contextmanager
def fill_disk(directory: Path) -> Iterator[None]:
    """Somebody else takes all the room there is, and what is given back."""
    file, end = directory / "somebody-elses", threading.Event()

    def grow() -> None:
        with file.open("ab", buffering=0) as opened:
            while not end.is_set():
                with suppress(OSError):
                    opened.write(bytes(4096))
                    continue
                end.wait(0.005)

    eater = threading.Thread(target=grow, daemon=True)
    eater.start()
    try:
        yield
    finally:
        end.set()
        eater.join()
        file.unlink()
