"""Whole ranges, sandboxes and exports on the command line: a real database."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.node.command_line import PROMISED, read_reference
from tests.node.test_cli_data import DATA, Node

FIRST = "88.101.10/SN0001"


@pytest.fixture(scope="module")
def node(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Node:
    made = Node(database_url, tmp_path_factory.mktemp("node"))
    made.get("enterprise", "import", DATA / "enterprises-sucheng.csv")
    made.get("template", "add", DATA / "batches-tofu-works.template.json", "--prefix", "88.101.10")
    return made


def test_a_range_is_frozen_retired_and_restored_by_its_first_identifier(node: Node) -> None:
    template = json.loads((DATA / "batches-tofu-works.template.json").read_text(encoding="utf-8"))
    required = [item["type"] for item in template["items"] if item.get("required")]
    kinds = {item["type"]: item.get("data", "text") for item in template["items"]}
    samples = {"date": "2024-06-04", "number": "1", "integer": "1", "url": "https://example.org"}
    values = [part for item in required for part in ("--value", f"{item}={samples.get(kinds[item], 'x')}")]
    made = ("--prefix", "88.101.10", "--template", "batch-1")
    node.get("range", "add", "SN0001", "SN0999", *made, *values)
    tried = node.get("range", "freeze", FIRST, "--notice", "recall", "--dry-run")
    assert (tried["state"], tried["dry_run"]) == ("frozen", True)
    assert node.get("range", "freeze", FIRST, "--notice", "recall")["notice"] == "recall"
    assert node.get("range", "unfreeze", FIRST)["state"] == "live"
    assert node.get("range", "retire", FIRST, "--reason", "old")["state"] == "retired"
    restored = node.run("range", "restore", FIRST)
    assert "999 identifiers" in restored.stdout and "live" in restored.stdout
    assert node.fail("range", "retire", "88.101.10/SN0002")["code"] == "range_not_found"


def test_a_sandbox_is_opened_listed_and_emptied(node: Node) -> None:
    made = node.get("sandbox", "open", "--enterprise", "88.101.10")
    assert made["new"] and made["prefix"].startswith("88.101.SANDBOX")
    assert [row["prefix"] for row in node.get("sandbox", "list")] == [made["prefix"]]
    node.get("template", "add", DATA / "batches-tofu-works.template.json", "--prefix", made["prefix"])
    assert node.get("sandbox", "reset") == [{"prefix": made["prefix"], "deleted": 1}]
    assert node.fail("sandbox", "reset", "--enterprise", "88.101.9")["code"] == "sandbox_none"


def test_both_languages_promise_the_same_of_every_command() -> None:
    assert read_reference("cli.zh-CN.md") == PROMISED
    assert len(PROMISED) > 30


def test_a_backup_that_is_to_be_verified_must_be_named(node: Node) -> None:
    done = node.run("backup", "verify")
    assert done.returncode == 2 and not (node.data_dir / "verify").exists()


def test_an_enterprise_is_exported_to_a_directory_or_a_file(node: Node, tmp_path: Path) -> None:
    done = node.get("export", "--enterprise", "88.101.10", "--to", tmp_path)
    with zipfile.ZipFile(done["file"]) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert manifest["enterprise_id"] == done["enterprise_id"] and archive.testzip() is None
    named = node.get("export", "--enterprise", "88.101.10", "--to", tmp_path / "all.zip")
    assert Path(named["file"]) == tmp_path / "all.zip"
    assert {path.suffix for path in tmp_path.iterdir()} == {".zip"}, "nothing half written is left"
    node.fail("export", "--enterprise", "nobody", "--to", tmp_path)
