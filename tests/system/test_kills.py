"""kill -9 of every process at random moments of imports and under load: nothing acknowledged or counted is lost."""

import csv
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.system.accounts import ROOT
from tests.system.asking import Asker, Ledger, Writer, ask_all
from tests.system.running_node import PATIENCE_SECONDS, wait_until
from tests.system.world import HOST, World, locate

LOADED, IMPORTED = "88.101.301", "88.101.302"
KNOWN = [f"{LOADED}/K{n}" for n in range(200)]
ROWS = 4_000  # two chunks of an import
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
VICTIMS = [
    ("resolver-0", "agent"), ("resolver-1", "command"), ("registry",), ("job child",), ("backend",), ("postgres",),
]  # fmt: skip


@dataclass
class Scene:
    """A node under load; `undisturbed` is the receipt of an import nobody disturbed, and how long it took."""

    world: World
    file: Path
    random: random.Random
    askers: list[Asker]
    writer: Writer
    undisturbed: list[list[str]] = field(default_factory=list)
    seconds: float = 1.0
    asked_imported: Ledger = field(default_factory=Ledger)
    asked_loaded: Ledger = field(default_factory=Ledger)
    rounds: int = 0
    rounds_asked: int = 0
    command: "subprocess.Popen[bytes] | None" = None

    def pause(self) -> None:
        """A random moment of an import."""
        time.sleep(self.random.uniform(0, self.seconds))


@pytest.fixture(scope="module")
def scene(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    print(f"\nFAULT_SEED={SEED}")
    for prefix in (LOADED, IMPORTED):
        world.add_enterprise(prefix)
        world.command("template", "add", ROOT / "data" / "products-pump-works.template.json", "--prefix", prefix)
    register(world, KNOWN)
    file = tmp_path_factory.mktemp("file") / "rows.csv"
    write_rows(file)
    askers = [Asker(world, transport, KNOWN, SEED + n) for n, transport in enumerate(("http", "tcp", "udp"))]
    made = Scene(world, file, random.Random(SEED), askers, Writer(world, LOADED))
    for thread in (*askers, made.writer):
        thread.start()
    yield made
    for asker in askers:
        asker.stop()
    made.writer.stop()


def register(world: World, identifiers: list[str]) -> None:
    values = {"product_code": "K", "model": "WQ15", "produced_on": "2024-06-04"}
    prefix = identifiers[0].partition("/")[0]
    items = [{"identifier": identifier, "values": values} for identifier in identifiers]
    body = {"prefix": prefix, "template": "product-1", "items": items}
    status, answer = world.api("POST", "/identifiers/batch", prefix, body)
    assert (status, answer["registered"]) == (200, len(identifiers)), answer


def write_rows(file: Path) -> None:
    """Good rows, and among them a date that is none, a row said twice and one that says something else."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["产品编码", "型号", "生产日期", "批次"])
        for n in range(ROWS):
            code = f"P{n - max(n % 1000 - 499, 0) if n % 1000 in (500, 501) else n:06d}"
            produced = "2024-13-01" if n % 1000 == 7 else "2024-06-04"
            writer.writerow([code, "WQ16" if n % 1000 == 501 else "WQ15", produced, f"B{n // 1000}"])


def start_job(scene: Scene) -> str:
    """An import through the API; the job's id."""
    scene.rounds += 1
    form = {"prefix": IMPORTED, "template": "product-1", "identifier": f"R{scene.rounds}-{{产品编码}}"}
    return scene.world.post_file(IMPORTED, scene.file, form)


def read_receipt(scene: Scene, job_id: str) -> list[list[str]]:
    """The receipt of a job that has ended, with the number of the round taken out of the identifiers."""
    state = wait_until(lambda: (now := read_state(scene.world, job_id)) not in ("queued", "running") and now, 0.1)
    assert state == "done"

    def read_text() -> str:
        with suppress(OSError, AssertionError):  # a 503: not every connection has noticed yet what was killed
            return scene.world.read_text(IMPORTED, f"/jobs/{job_id}/receipt?lang=en")
        return ""

    text = wait_until(read_text, 0.1)
    rows = list(csv.reader(StringIO(text.removeprefix("\ufeff"))))
    return [[cell.replace(f"{IMPORTED}/R{scene.rounds}-", "") for cell in row] for row in rows]


def read_state(world: World, job_id: str) -> str:
    """While the node recovers it is asked again."""
    with suppress(OSError):
        status, job = world.api("GET", f"/jobs/{job_id}", IMPORTED)
        if status == 200:
            return str(job["state"])
    return "running"


def test_an_import_that_nobody_disturbs(scene: Scene) -> None:
    started = time.monotonic()
    scene.undisturbed = read_receipt(scene, start_job(scene))
    scene.seconds = time.monotonic() - started
    outcomes = [row[1] for row in scene.undisturbed[1:]]
    assert len(outcomes) == ROWS
    found = {name: outcomes.count(name) for name in set(outcomes)}
    assert found == {"registered": ROWS - 12, "unchanged": 4, "differs": 4, "refused": 4}
    check_registered(scene)


def check_registered(scene: Scene) -> None:
    """Every registered row resolves, and none that was refused."""
    issued = {row[2] for row in scene.undisturbed[1:] if row[1] in ("registered", "unchanged", "differs")}
    refused = {row[2] for row in scene.undisturbed[1:] if row[1] == "refused"} - issued
    for codes, names in ((1, sorted(issued)), (100, sorted(refused))):
        found = ask_all(scene.world, [f"{IMPORTED}/R{scene.rounds}-{name}" for name in names])
        assert set(found) <= {codes}
        scene.asked_imported.count(codes, len(found))


@pytest.mark.parametrize("victims", VICTIMS, ids=" and ".join)
def test_an_import_survives_a_kill(scene: Scene, victims: tuple[str, ...]) -> None:
    """Of one process or of two, each at a random moment; "command": the import is one of `idnode import`."""
    begin = begin_command if "command" in victims else start_job
    job_id = begin(scene)
    for victim in victims:
        kill(scene, victim)
    assert read_receipt(scene, job_id) == scene.undisturbed
    wait_for_answers(scene)
    check_registered(scene)


def kill(scene: Scene, victim: str) -> None:
    world = scene.world
    if victim == "command":
        scene.pause()
        assert scene.command is not None
        scene.command.kill()
        scene.command.wait()
        return
    if victim == "job child":
        pid = int(wait_until(world.find_job_child) or 0)
    elif victim == "backend":
        pid = wait_until(lambda: world.fetch_value(BUSIEST))  # of the job, or else of the writer
    else:
        pid = world.find_processes()[victim]
    scene.pause()
    with suppress(ProcessLookupError):  # a job that was quicker
        os.kill(pid, signal.SIGKILL)
    if victim in world.find_processes():
        world.wait_for_successor(victim, pid)


def wait_for_answers(scene: Scene) -> None:
    """Until every worker looks up what it does not know."""
    with scene.world.connect_to_every_worker() as workers:

        def looks_up() -> bool:
            scene.rounds_asked += 1
            codes = [code for code, _, _ in workers.ask(f"{LOADED}/none-{scene.rounds_asked}").values()]
            for code in codes:
                scene.asked_loaded.count(code)
            return set(codes) == {100}

        wait_until(looks_up, 0.1)


BUSIEST = (
    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'idnode %' AND application_name <> 'idnode resolver'"
    " ORDER BY application_name = 'idnode job' DESC LIMIT 1"
)


def begin_command(scene: Scene) -> str:
    """`idnode import`, which will be killed; the id of its job, which the node takes up."""
    scene.rounds += 1
    world, rule = scene.world, f"R{scene.rounds}-{{产品编码}}"
    command = [*world.account.command, "import", str(scene.file), "--prefix", IMPORTED, "--template", "product-1",
               "--identifier", rule, "--receipt", str(world.data_dir / "never.csv")]  # fmt: skip
    scene.command = subprocess.Popen(
        command, cwd="/", env=world.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    find = f"SELECT job_id::text FROM jobs WHERE options->>'identifier' = '{rule}'"
    return str(wait_until(lambda: world.fetch_value(find), 0.1))


def test_what_was_acknowledged_is_there_and_what_was_answered_is_counted(scene: Scene) -> None:
    world, total = scene.world, Ledger()
    acknowledged = scene.writer.stop()
    for asker in scene.askers:
        ledger = asker.stop()
        print(f"\n{asker.name}: {ledger.asked} asked, {dict(ledger.codes)}, {len(ledger.lost)} lost", end="")
        total.add(ledger)
    print(f"\n{len(acknowledged)} acknowledged, {scene.writer.sent_again} batches sent again")
    ever_found = set(total.codes)
    assert scene.writer.surprises == [], world.read_log("registry")
    assert total.surprises == []
    total.add(scene.asked_loaded)
    assert ever_found <= {1, 3}, "an identifier that exists is found, or not now: never 'not found'"
    assert acknowledged
    assert set(ask_all(world, acknowledged)) == {1}
    total.count(1, len(acknowledged))

    registered = sum(row[1] == "registered" for row in scene.undisturbed[1:]) * scene.rounds
    asked = scene.asked_imported
    world.wait_for_stats(IMPORTED, registered_total=registered, resolutions=asked.asked, resolutions_ok=asked.codes[1])
    world.wait_for_stats(LOADED, registered_total=len(KNOWN) + len(acknowledged))
    world.check_recomputed()
    counted = world.read_stats(LOADED)["resolutions"]
    print(f"{total.answered} answered, {counted} counted, {total.asked} asked, {len(total.lost)} in flight when cut")
    assert total.answered <= counted <= total.asked
    assert total.asked - total.answered == len(total.lost)


def test_an_owner_is_known_again_as_soon_as_the_registry_is_back_and_nobody_else_waits(world: World) -> None:
    prefix, identifier = "88.101.303", "88.101.303/MINE"
    world.add_enterprise(prefix)
    world.command("template", "add", ROOT / "data" / "products-pump-works.template.json", "--prefix", prefix)
    values = {"product_code": "K", "model": "WQ15", "produced_on": "2024-06-04", "line": "L1"}
    body = {"identifier": identifier, "template": "product-1", "values": values}
    assert world.api("POST", "/identifiers", prefix, body)[0] == 201
    mine = f"Authorization: {world.keys[prefix]}"
    with world.connect_http() as client:
        assert client.ask(locate(identifier), "GET", mine).values["line"] == "L1"
        before = world.find_processes()["registry"]
        os.kill(before, signal.SIGKILL)

        def is_back() -> bool:
            shown = client.ask(locate(identifier)).values
            assert shown["model"] == "WQ15" and "line" not in shown
            return client.ask(locate(identifier), "GET", mine).status == 200

        wait_until(is_back, 0.1)
        assert client.ask(locate(identifier), "GET", mine).values["line"] == "L1"
    world.wait_for_successor("registry", before)


SNMS, BATCH = "88.101.304", 2_000
TEMPLATE = {
    "prefix": SNMS, "version": "1", "type": 2, "industryCategory": "C", "industrySpecific": "34",
    "industryTrade": "344", "industrySubclass": "3441",
    "items": [{"name": "型号", "idType": "model", "required": True, "metadata": {"minLength": 1, "maxLength": 40}}],
}  # fmt: skip


def ask_snms(world: World, method: str, path: str, body: Any) -> Any:
    """The data of an envelope; None if the connection was cut or nobody listens."""
    connection = HTTPConnection(HOST, world.registry_port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, json.dumps(body), {"Authorization": world.keys[SNMS]})
        envelope = json.loads(connection.getresponse().read())
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return envelope["data"] if envelope["status"] == 1 else None


def make_items(model: str) -> list[dict[str, Any]]:
    data = {"format": "string", "value": model}
    value = [{"auth": "", "index": 2000, "type": "model", "data": data}]
    return [{"handle": f"{SNMS}/{n}", "templateVersion": "1", "value": value} for n in range(BATCH)]


def test_a_batch_of_the_published_interface_survives_a_kill_of_the_registry(world: World) -> None:
    """The next call with the same body completes it and says truly what had landed; nothing is written twice."""
    chosen = random.Random(SEED)
    world.add_enterprise(SNMS)
    assert ask_snms(world, "POST", "/snms/api/v5/template", TEMPLATE) is True
    path = "/identityv2/data/batch"
    calls = [("POST", f"{path}Create", make_items("A"), "标识已存在"),
             ("PUT", f"{path}Update", make_items("B"), "success"),
             ("DELETE", f"{path}Delete", [item["handle"] for item in make_items("")], "标识不存在")]  # fmt: skip
    for method, place, body, landed in calls:
        before = world.find_processes()["registry"]
        killer = threading.Timer(chosen.uniform(0, 0.6), os.kill, (before, signal.SIGKILL))
        killer.start()
        first = ask_snms(world, method, place, body)
        killer.join()
        world.wait_for_successor("registry", before)
        second = wait_until(partial(ask_snms, world, method, place, body), 0.2)
        said = {row["msg"] for row in second}
        assert len(said) == 1 and said <= {"success", landed}, "a batch is one transaction"
        assert first is None or said == {landed}, "what was answered has landed"
        assert {row["msg"] for row in ask_snms(world, method, place, body)} == {landed}
    where = f"prefix_id = (SELECT prefix_id FROM prefixes WHERE prefix = '{SNMS}')"
    retired = "SELECT count(*) FROM records WHERE {} AND state = 2 AND revision = 3 AND template_id <> 0"
    assert world.fetch_value(retired.format(where)) == BATCH
    assert world.fetch_value(f"SELECT count(*) FROM record_history WHERE {where}") == 2 * BATCH
    world.wait_for_stats(SNMS, registered_total=BATCH)
