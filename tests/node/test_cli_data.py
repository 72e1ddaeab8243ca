"""The commands on data, as a person or a script calls them: a real database, and a process for each kind."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from node.cli.import_command import check_receipt
from schemas.days import ZONE
from schemas.errors import InvalidInput
from tests.node.command_line import run_here

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"
TOFU = ("--prefix", "88.101.10", "--template", "batch-1", "--identifier", "{产品代码}-{生产日期:yyyyMMdd}-{批号}")
COUNTS = ("registered", "updated", "unchanged", "differs", "refused")


class Node:
    """A node's settings in the environment; `run` is one command line, `run_process` one in a process of its own."""

    def __init__(self, database_url: str, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.settings = {
            "IDNODE_DATABASE_URL": database_url, "IDNODE_DATA_DIR": str(data_dir), "IDNODE_LANGUAGE": "en",
        }  # fmt: skip

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IDNODE_")}
        command = [sys.executable, "-c", "from node.cli import main; main()", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=self.data_dir, env=kept | self.settings | {"PYTHONPATH": str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run_process(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments) as started:
            out, err = started.communicate()
        return subprocess.CompletedProcess(list(map(str, arguments)), started.returncode, out, err)

    def run(self, *arguments: object, language: str = "en") -> subprocess.CompletedProcess[str]:
        return run_here(list(map(str, arguments)), self.settings | {"IDNODE_LANGUAGE": language}, self.data_dir)

    def get(self, *arguments: object) -> Any:
        """The JSON a command prints; it must succeed."""
        return read(self.run(*arguments, "--json"))

    def get_from_process(self, *arguments: object) -> Any:
        return read(self.run_process(*arguments, "--json"))

    def fail(self, *arguments: object) -> dict[str, str]:
        """The error a command answers with --json; nothing else may be printed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        error: dict[str, str] = json.loads(done.stderr)
        assert error["message"] and error["remedy"]
        return error


def read(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def node(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Node:
    made = Node(database_url, tmp_path_factory.mktemp("node"))
    made.get_from_process("enterprise", "import", DATA / "enterprises-sucheng.csv")
    made.get_from_process("template", "add", DATA / "batches-tofu-works.template.json", "--prefix", "88.101.10")
    return made


def test_all_firms_are_connected_with_their_own_days_and_a_to_do_list(node: Node) -> None:
    again = node.get("enterprise", "import", DATA / "enterprises-sucheng.csv")
    assert (again["rows"], again["unchanged"], again["refused"]) == (66, 66, 0)
    firms = node.get("enterprise", "list")
    with (DATA / "enterprises-sucheng.csv").open(encoding="utf-8-sig", newline="") as file:
        expected = {row["统一社会信用代码"]: (row["接入日期"], row["申请前缀"]) for row in csv.DictReader(file)}
    assert {f["certificate_code"]: (f["connected_on"], f["prefixes"][0]) for f in firms} == expected
    one = node.get("enterprise", "show", "88.101.10")
    assert one["todo"] and one["prefixes"][0]["state"] == "enabled"


def test_an_added_firm_gets_a_prefix_and_a_key_and_registers(node: Node) -> None:
    added = node.get_from_process(
        "enterprise", "add", "--name", "Valve Works", "--uscc", "91321302MA00000A19", "--prefix", "88.101.00900",
        "--area", "宿城区", "--industry", "C/34/344/3443", "--approve",
    )  # fmt: skip
    assert added["prefix"] == "88.101.00900" and added["access_key"] and added["secret_key"]
    node.get_from_process("template", "add", DATA / "products-pump-works.template.json", "--prefix", "88.101.00900")
    made = node.get_from_process(
        "register", "88.101.00900/泵 1/a", "--template", "product-1", "--value", "product_code=泵 1",
        "--value", "model=WQ15", "--value", "produced_on=2024年6月4日",
    )  # fmt: skip
    assert made["values"][2]["data"] == "2024-06-04"
    assert made["scan_url"].endswith("/88.101.00900/%E6%B3%B5%201%2Fa")
    assert node.fail("enterprise", "show", "88.101.900")["code"] == "enterprise_not_found", "zeros count"


def test_the_workbook_goes_in_with_exactly_the_expected_outcomes(node: Node) -> None:
    dry = node.get("import", DATA / "batches-tofu-works.xlsx", *TOFU, "--dry-run", "--receipt", "dry.csv")
    done = node.get_from_process("import", DATA / "batches-tofu-works.xlsx", *TOFU, "--receipt", "real.csv")
    assert [done[name] for name in COUNTS] == [dry[name] for name in COUNTS] == [2940, 0, 5, 5, 51]
    assert done["rows"] == 3001 and done["receipt"] == "real.csv"
    assert (node.data_dir / "dry.csv").read_bytes() == (node.data_dir / "real.csv").read_bytes()
    again = node.get("import", DATA / "batches-tofu-works.xlsx", *TOFU, "--receipt", "again.csv")
    assert (again["registered"], again["unchanged"], again["differs"]) == (0, 2945, 5)


@pytest.mark.parametrize(
    ("receipt", "code"),
    [
        ("batches.csv", "receipt_is_the_file"),
        ("elsewhere/../batches.csv", "receipt_is_the_file"),
        ("missing/receipt.csv", "receipt_place_unusable"),
        ("elsewhere", "receipt_place_unusable"),
    ],
)
def test_a_receipt_that_cannot_be_written_is_refused_before_anything_is_registered(
    tmp_path: Path, receipt: str, code: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "batches.csv"
    file.write_text("the only copy")
    with pytest.raises(InvalidInput) as refused:
        check_receipt(tmp_path / receipt, file)
    assert refused.value.code == code and file.read_text() == "the only copy"
    check_receipt(tmp_path / "elsewhere" / "receipt.csv", file)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_import_whose_reader_is_killed_says_so_and_not_that_the_database_went(node: Node) -> None:
    many = node.data_dir / "many.csv"
    rows = "".join(f"泵-{n},WQ15,B1,2024-06-04\n" for n in range(60_000))
    many.write_text(f"产品编码,型号,批次,生产日期\n{rows}", encoding="utf-8")
    node.get("template", "add", DATA / "products-pump-works.template.json", "--prefix", "88.101.5")
    target = ("--prefix", "88.101.5", "--template", "product-1", "--identifier-column", "产品编码")
    with node.start("import", many, *target, "--json") as importing:
        while importing.poll() is None and not (readers := list_readers(importing.pid)):
            time.sleep(0.005)
        assert readers, importing.communicate()
        os.kill(readers[0], signal.SIGKILL)
        _, said = importing.communicate(timeout=60)
    assert importing.returncode == 1
    error = json.loads(said)
    assert (error["code"], "-9" in error["message"]) == ("import_reader_died", True)


def list_readers(pid: int) -> list[int]:
    """Processes of a command that read files."""
    tasks = Path(f"/proc/{pid}/task")
    children = [int(child) for task in tasks.glob("*/children") for child in task.read_text().split()]
    return [child for child in children if b"row_reader" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["import", "nowhere.csv", *TOFU], "file_cannot_be_opened"),
        (["import", DATA / "products-pump-works.csv", *TOFU], "file_"),
        (["import", DATA / "batches-tofu-works.xlsx", *TOFU[:4]], "identifier_rule_needed"),
        (["import", DATA / "batches-tofu-works.xlsx", *TOFU, "--map", "x"], "mapping_malformed"),
        (["import", DATA / "batches-tofu-works.xlsx", *TOFU, "--sheet", "none"], "sheet"),
        (["template", "add", DATA / "README.md", "--prefix", "88.101.10"], "template_malformed"),
        (["template", "show", "none", "--prefix", "88.101.10"], "template_not_found"),
        (["register", "88.101.10/x", "--template", "batch-1"], "value_missing"),
        (["register", "88.101.10/x", "--template", "batch-1", "--value", "x"], "value_option_malformed"),
        (["register", "nonsense", "--template", "batch-1"], "identifier_malformed"),
        (["register", "88.101.4711/x", "--template", "batch-1"], "prefix_not_found"),
        (["update", "88.101.10/none", "--value", "note=x"], "identifier_not_found"),
        (["history", "88.101.10/none"], "identifier_not_found"),
        (["history", "88.101.10/none", "--at", "yesterday"], "time_malformed"),
        (["range", "add", "SN9", "SN1", "--prefix", "88.101.10", "--template", "batch-1"], "range_backwards"),
        (["key", "add"], "key_for_whom"),
        (["key", "revoke", "ak_none"], "key_not_found"),
        (["stats", "--by", "colour"], "statistics_grouping_unknown"),
        (["stats", "--from", "yesterday"], "day_malformed"),
        (["stats", "recompute", "--day", "9999-12-31"], "statistics_day_out_of_bounds"),
        (["stats", "recompute", "--day", "0001-01-01"], "statistics_day_out_of_bounds"),
        (["resolve", "88.101.10/x", "--server", "nowhere"], "server_malformed"),
        (["resolve", "88.101.10/x", "--server", "..:2641"], "server_malformed"),
        (["resolve", "88.101.10/x", "--server", "127.0.0.1:1"], "resolve_not_answered"),
        (["prefix", "host", "88.101.11", "--address", "not-an-address", "--tcp-port", "2641"], "site_address"),
        (["enterprise", "add", "--name", "N", "--uscc", "91321302MA00000A18", "--area", "宿城区", "--industry",
          "C/34/344/3443"], "uscc"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_to_do(node: Node, arguments: list[object], code: str) -> None:
    assert code in node.fail(*arguments)["code"]


def test_an_identifier_through_its_life(node: Node) -> None:
    name = "88.101.10/LIFE-1"
    values = ("product_code=LIFE", "product_name=豆腐", "produced_on=2024-06-04", "batch=1")
    new = ("register", name, "--template", "batch-1", *(part for v in values for part in ("--value", v)))
    assert node.get(*new, "--dry-run")["dry_run"]
    node.get(*new)
    assert node.get("update", name, "--value", "inspection=合格")["revision"] == 2
    assert node.get("freeze", name, "--notice", "召回")["notice"] == "召回"
    assert node.fail("update", name, "--value", "inspection=不合格")["code"] == "identifier_is_frozen"
    node.get("unfreeze", name)
    assert node.get("retire", name, "--reason", "sold")["state"] == "retired"
    refused = node.fail("register", name, "--template", "batch-1", *(p for v in values for p in ("--value", v)))
    assert refused["code"] == "identifier_taken_retired"
    node.get("restore", name)
    history = node.get("history", name)
    assert [entry["ended_by"] for entry in history] == [None, "restored", "retired", "unfrozen", "frozen", "changed"]
    assert {entry["actor"] for entry in history[1:]} == {history[1]["actor"]}
    assert history[1]["actor"].startswith("cli:")
    made = datetime.fromisoformat(history[-1]["since"]).astimezone(ZONE)
    too_early = (made - timedelta(minutes=1)).replace(tzinfo=None)  # a time without an offset is at UTC+8
    assert node.fail("history", name, "--at", too_early)["code"] == "identifier_not_issued_then"


def test_a_unit_is_made_once_and_firms_report_under_it(node: Node) -> None:
    made = node.get("unit", "add", "--division", "宿城区", "--name", "水泵产业园")
    assert (made["division_code"], made["name"]) == ("321302", "水泵产业园")
    assert node.get("unit", "add", "--division", "321302", "--name", "水泵产业园") == made
    assert made in node.get("unit", "list")
    assert node.fail("unit", "add", "--division", "nowhere", "--name", "x")["code"] == "area_unknown"
    assert node.fail("unit", "add", "--division", "321302", "--name", "a/b")["code"] == "unit_name"


def test_a_prefix_names_all_who_have_owned_it(node: Node) -> None:
    owners = node.get("prefix", "owners", "88.101.10")
    assert [(one["to"], one["enterprise_id"] > 0) for one in owners] == [(None, True)]
    assert node.fail("prefix", "owners", "88.101.4711")["code"] == "prefix_not_found"


def test_ten_million_serials_in_one_command(node: Node) -> None:
    node.get("template", "add", DATA / "products-pump-works.template.json", "--prefix", "88.101.5")
    values = ("product_code=SN", "model=WQ15", "produced_on=2024-06-04")
    options = ["--prefix", "88.101.5", "--template", "product-1", *(p for v in values for p in ("--value", v))]
    made = node.get("range", "add", "SN00000001", "SN10000000", *options)
    assert made["members"] == 10_000_000
    assert node.fail("range", "add", "SN00000500", "SN00000600", *options)["code"] == "range_overlaps"
    assert [one["last"] for one in node.get("range", "list", "--prefix", "88.101.5")] == ["88.101.5/SN10000000"]


def test_keys_are_made_listed_and_revoked(node: Node) -> None:
    made = node.get("key", "add", "--enterprise", "88.101.10", "--note", "MES")
    assert made["secret_key"] not in json.dumps(node.get("key", "list"))
    node.get("key", "revoke", made["access_key"])
    assert node.fail("key", "revoke", made["access_key"])["code"] == "key_revoked_already"
    assert node.get("key", "add", "--operator")["enterprise_id"] is None


def test_a_certificate_is_issued_verified_and_revoked(node: Node) -> None:
    path = Path(node.data_dir, "proof.pdf")
    made = node.get("certificate", "issue", "88.101.10", "--out", path)
    assert (made["prefixes"], made["path"]) == (["88.101.10"], str(path))
    for what in (made["number"], path):
        found = node.get("certificate", "verify", what)
        assert (found["number"], found["state"], found["intact"]) == (made["number"], "valid", what == path or None)
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.with_name("changed.pdf").write_bytes(changed)
    refused = node.run("certificate", "verify", path.with_name("changed.pdf"))
    assert (refused.returncode, "No such file was issued" in refused.stdout) == (1, True)
    again = path.with_name("again.pdf")
    assert node.run("certificate", "file", made["number"], again).returncode == 0
    assert again.read_bytes() == path.read_bytes()
    assert node.fail("certificate", "revoke", made["number"])["code"] == "certificate_reason_missing"
    assert node.get("certificate", "revoke", made["number"], "--reason", "a test")["reason"] == "a test"
    assert node.run("certificate", "verify", path).returncode == 1
    assert [one["number"] for one in node.get("certificate", "list")["certificates"]] == [made["number"]]
    assert made["number"] in node.run("certificate", "list", "--enterprise", "88.101.10", language="zh").stdout
    assert node.fail("certificate", "verify", "JR2026-0000-0000-0000-0000")["code"] == "certificate_not_found"


def test_a_file_whose_name_is_no_utf_8_is_imported(node: Node) -> None:
    """As Windows programs pack them; the name stands in the audit trail, in the job and in the answer."""
    file = node.data_dir / os.fsdecode(b"\xb1\xc3.csv")
    file.write_text("产品代码,产品名称,生产日期,批号\nC001,豆干,2024-06-04,9\n", encoding="utf-8")
    done = node.run_process("import", file, *TOFU, "--dry-run", "--json")
    assert read(done)["rows"] == 1
    assert node.fail("outbox", "retry", "99999999999999999999")["code"] == "argument_unusable"


def test_statistics_come_as_a_list_of_objects(node: Node) -> None:
    rows = node.get("stats", "--by", "enterprise")
    assert {"prefix", "registered_total", "registered_live", "resolutions", "resolutions_ok"} <= rows[0].keys()
    for by in ("unit", "area", "industry", "template", "day"):
        assert isinstance(node.get("stats", "--by", by), list)


def test_a_file_of_statistics_is_written_and_stdout_is_json_all_the_same(node: Node) -> None:
    assert isinstance(node.get("stats", "--by", "unit", "--export", "units.csv"), list)
    assert "陈集镇" in (node.data_dir / "units.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(
    "arguments",
    [("stats", "--json", "recompute"), ("stats", "--from", "2024-01-01", "recompute", "--json"),
     ("resolve", "88.101.10/x", "--index", "99999999999", "--json")],
)  # fmt: skip
def test_an_option_that_would_be_lost_or_is_no_number_makes_a_wrong_command_line(
    node: Node, arguments: tuple[str, ...]
) -> None:
    done = node.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr)["code"] == "command_line_wrong"


@pytest.mark.parametrize(
    "arguments",
    [("enterprise", "list"), ("enterprise", "show", "88.101.10"), ("prefix", "list"), ("stats",), ("key", "list"),
     ("unit", "list"), ("prefix", "owners", "88.101.10"),
     ("template", "list", "--prefix", "88.101.10"), ("template", "show", "batch-1", "--prefix", "88.101.10"),
     ("range", "list", "--prefix", "88.101.5")],
)  # fmt: skip
def test_people_read_tables(node: Node, arguments: tuple[str, ...]) -> None:
    for done in (node.run(*arguments, language="zh"), node.run_process(*arguments)):
        assert (done.returncode, done.stderr) == (0, "")
