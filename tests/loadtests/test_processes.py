"""Whatever the bench starts is stopped, and what it says of a process is the system's word."""

import os
import sys
import time
from pathlib import Path

import pytest

from loadtests.processes import (
    BenchFailure,
    Node,
    find_free_port,
    list_tree,
    open_place,
    pin,
    read_cpu_seconds,
    read_memory,
    run_node,
)

# Starts a child of its own, says so, and waits for either to be stopped.
FAMILY = "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print('ready', flush=True); child.wait()"


def make_node(data_dir: Path, code: str) -> Node:
    return Node(data_dir, ("up",), command=(sys.executable, "-u", "-c", code))


def is_alive(pid: int) -> bool:
    """Not gone, and not a zombie that waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    node = make_node(tmp_path / "data", FAMILY)
    with pytest.raises(ZeroDivisionError), run_node(node):
        node.wait_until_said("ready")
        tree = list_tree(node.pid)
        raise ZeroDivisionError
    assert len(tree) == 2
    deadline = time.monotonic() + 10  # a killed process is gone a moment later
    while any(map(is_alive, tree)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, tree))


def test_a_node_that_does_not_start_is_a_failure_with_its_last_words(tmp_path: Path) -> None:
    node = make_node(tmp_path / "data", "raise SystemExit('port taken')")
    with pytest.raises(BenchFailure, match="port taken"), run_node(node):
        node.wait_for_answer("/health")


def test_only_the_settings_of_the_bench_reach_the_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Somebody's own node must neither be measured nor written to."""
    monkeypatch.setenv("IDNODE_DATABASE_URL", "postgresql://production/idnode")
    environment = Node(tmp_path).environment
    assert "IDNODE_DATABASE_URL" not in environment
    assert environment["IDNODE_DATA_DIR"] == str(tmp_path)


def test_the_place_is_removed_with_everything_in_it(tmp_path: Path) -> None:
    with open_place(tmp_path) as place:
        (place / "data").mkdir()
        (place / "data" / "file").write_text("x")
    assert not place.exists()


def test_a_port_is_free_for_tcp_and_udp() -> None:
    assert len({find_free_port() for _ in range(5)}) > 1


def test_figures_of_a_process() -> None:
    assert read_cpu_seconds(os.getpid()) > 0
    assert 1e6 < read_memory(os.getpid(), "Anonymous") <= read_memory(os.getpid(), "Rss")


def test_a_process_is_pinned_with_all_its_threads() -> None:
    before = os.sched_getaffinity(0)
    try:
        pin(os.getpid(), min(before))
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        pin(os.getpid(), *before)
