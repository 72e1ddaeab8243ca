"""RESULTS.md says what was measured, on what, and what stands behind it."""

from datetime import UTC, datetime

from loadtests.machine import describe_machine
from loadtests.results import Run, format_results
from loadtests.verdicts import Finding, Verdict

BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
FINDINGS = [
    Finding("cold resolve", "≥ 25,000/s", "26,000/s", Verdict.HELD, rounds=["25,500/s", "26,000/s"]),
    Finding("range", "≤ 1 s", "2 s", Verdict.MISSED),
    Finding("two workers", "≥ 1.8 × one", "–", Verdict.NOT_MEASURABLE, "needs 4 cores, there are 2"),
]


def make_run(load: float = 0.0) -> Run:
    return Run("make bench", [("cores", "2")], load, 300.0, BEGAN)


def test_every_finding_is_a_row_with_its_reason_and_its_rounds() -> None:
    text = format_results(make_run(), FINDINGS)
    assert "| cold resolve | ≥ 25,000/s | 26,000/s | held |" in text
    assert "| range | ≤ 1 s | 2 s | **missed** |" in text
    assert "not measurable here: needs 4 cores, there are 2" in text
    assert "- 25,500/s" in text
    assert "1 held, 1 missed, 1 not measurable here." in text


def test_the_command_that_reproduces_it_and_the_day_are_named() -> None:
    assert "Made by `make bench` on 2026-03-01, in 5 minutes." in format_results(make_run(), FINDINGS)


def test_figures_of_a_busy_machine_are_provisional() -> None:
    assert "Provisional" in format_results(make_run(load=2.0), FINDINGS)
    assert "Provisional" not in format_results(make_run(load=0.2), FINDINGS)


def test_a_cell_cannot_break_the_table() -> None:
    text = format_results(make_run(), [Finding("a|b", "–", "–", Verdict.FAILED, "first\nsecond")])
    assert "| a\\|b | – | – | **failed**: first second |" in text


def test_the_machine_is_described_without_its_name() -> None:
    described = dict(describe_machine())
    assert int(described["cores"]) >= 1
    assert described["memory"].endswith(" GB")
    assert all("/" not in value for name, value in described.items() if name != "processor")
