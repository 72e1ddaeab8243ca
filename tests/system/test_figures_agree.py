"""A node whose processes are killed under mixed load: all its figures and those of the node above agree to the unit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.mixed import TEMPLATE, Load, compare, find_seed, find_settings, list_victims
from tests.system.accounts import use_own
from tests.system.running_node import wait_until
from tests.system.world import World, run_world

WAITING = "88.101.411"
SECONDS = 5.0
ROUNDS = 1
ENABLED = 1
KNOWN_ABOVE = "SELECT count(*) FROM outbox WHERE table_name = 'PREFIXES' AND state = 'accepted'"


@pytest.fixture(scope="module")
def node(open_place: Path) -> Iterator[World]:
    """A node with a rehearsal node above it that must agree to every prefix."""
    settings = find_settings() | {"IDNODE_TOPLEVEL_APPROVAL": "required"}
    with run_world(open_place / "agreeing", use_own(), **settings) as made:
        made.start()
        yield made


def test_an_approved_enterprise_resolves_only_after_the_decision_from_above(node: World) -> None:
    node.command("toplevel", "behave", "decide=hand")
    node.add_enterprise(WAITING)
    identifier = f"{WAITING}/first"
    wait_until(lambda: node.fetch_value(KNOWN_ABOVE), 0.2)
    assert not register(node, identifier), "approved here, known above, and not decided"
    assert node.resolve(identifier).document["responseCode"] != 1
    decided = node.run("toplevel", "decide", WAITING, "approved")
    assert decided.returncode == 0, decided.stderr
    wait_until(lambda: register(node, identifier), 0.2)
    wait_until(lambda: node.resolve(identifier).document["responseCode"] == 1)
    node.command("toplevel", "behave")


def register(node: World, identifier: str) -> bool:
    """Whether the enterprise's prefix takes an identifier: only an enabled one does."""
    if node.fetch_value(f"SELECT state FROM prefixes WHERE prefix = '{WAITING}'") == ENABLED:
        node.command("template", "add", TEMPLATE, "--prefix", WAITING)
    values = {"product_code": "A", "model": "WQ15", "produced_on": "2024-06-04"}
    body = {"identifier": identifier, "template": "product-1", "values": values}
    status, _ = node.api("POST", "/identifiers", WAITING, body)
    return status == 201


def test_a_platforms_key_reads_figures_and_nothing_else(node: World) -> None:
    made = node.command("key", "add", "--operator", "--scope", "statistics")
    node.keys["platform"] = f"Bearer {made['access_key']}.{made['secret_key']}"
    status, table = node.api("GET", "/statistics/table?by=enterprise", "platform")
    assert (status, table["status"]) == (200, "provisional")
    assert table["definitions"]
    refused = {node.api("GET", path, "platform")[0] for path in ("/enterprises", "/identifiers", "/accounts")}
    assert refused == {403}


def test_registered_resolved_stated_reported_and_received_are_equal(node: World) -> None:
    seed = find_seed()
    load = Load(node, seed)
    load.begin()
    load.disturb(SECONDS, list_victims(node, ROUNDS))
    load.end()
    print(load.describe())
    assert load.surprises == [], node.read_log("registry")
    assert load.find_unexplained() == [], "lost although nothing was killed and the kernel dropped nothing"
    assert compare(load) == []
