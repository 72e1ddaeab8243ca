"""RESULTS.md: the machine, the command, one table of bounds, the rounds behind every figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from loadtests.verdicts import Finding, Verdict

BUSY_LOAD = 0.7  # processes that ran before we began: figures of a busy machine are provisional


@dataclass(frozen=True, slots=True)
class Run:
    """What stands above the table."""

    command: str
    machine: Sequence[tuple[str, str]]
    load_before: float
    seconds: float
    began: datetime

    @property
    def is_provisional(self) -> bool:
        return self.load_before > BUSY_LOAD


def format_results(run: Run, findings: Sequence[Finding]) -> str:
    lines = ["# Results", "", *_describe_run(run), "", "| what | bound | measured | verdict |", "|---|---|---|---|"]
    lines += [_format_row(finding) for finding in findings]
    lines += ["", *_count(findings), "", "## Rounds", ""]
    for finding in findings:
        if finding.rounds:
            lines += [f"{finding.what}:", "", *(f"- {each}" for each in finding.rounds), ""]
    return "\n".join(lines).rstrip() + "\n"


def _describe_run(run: Run) -> list[str]:
    lines = [
        f"Made by `{run.command}` on {run.began.astimezone(UTC):%Y-%m-%d}, in {run.seconds / 60:.0f} minutes."
        " How: README.md in this directory.",
        "",
    ]
    if run.is_provisional:
        lines += [
            f"**Provisional**: other work kept the machine busy before the run (load {run.load_before:.1f}).",
            "",
        ]
    return [*lines, "| machine | |", "|---|---|", *(f"| {name} | {value} |" for name, value in run.machine)]


def _format_row(finding: Finding) -> str:
    verdict = f"**{finding.verdict}**" if finding.verdict in (Verdict.MISSED, Verdict.FAILED) else str(finding.verdict)
    if finding.reason:
        verdict += f": {finding.reason}"
    cells = (finding.what, finding.bound, finding.measured, verdict)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _count(findings: Sequence[Finding]) -> list[str]:
    counts = [(verdict, sum(finding.verdict is verdict for finding in findings)) for verdict in Verdict]
    return [", ".join(f"{count} {verdict}" for verdict, count in counts if count) + "."]
