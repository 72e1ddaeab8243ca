"""The monthly report as a sheet, in the rows and order of annex 3 of the docking guide (domain.md §f.1)."""

from datetime import datetime
from typing import Any

from node.pdf_font import load_font
from node.pdf_paper import A4, Cell, Paper, lay_out
from node.wording import say
from schemas.days import ZONE, get_day, get_working_day
from schemas.texts.monthly_report import LABELS
from schemas.toplevel_tables import REPORT_DUE

FIGURES = ("registerAvgMs", "resolveAvgMs", "effectiveHours")


def make_pdf(row: dict[str, Any], about: tuple[str, str, datetime], language: str) -> bytes:
    """`about`: secondary prefix, operator's name or nothing, when it is made. Raises Unavailable without a font."""
    (prefix, operator, now), words = about, {name: pair[language == "en"] for name, pair in LABELS.items()}
    title = say(LABELS["month_title"], language, month=row["month"])
    paper = Paper(load_font(), title, language, (A4[1], A4[0]))  # upright, as reports are filed
    paper.heading(title)
    due = get_working_day(row["month"], REPORT_DUE)
    paper.notes([
        (words["month_node"], prefix), (words["month_operator"], operator or words["month_not_given"]),
        (words["month_due"], due.isoformat()), (words["month_made"], get_day(now).isoformat()),
    ])  # fmt: skip
    _head(paper, words["month_sla"])
    head = (words["month_month"], *(words[f"month_{name}"] for name in FIGURES))
    rows = [(entry["month"], *(_say(entry.get(name), words) for name in FIGURES)) for entry in row["sla"]]
    mean = (words["month_mean"], *(_say(row["average"].get(name), words) for name in FIGURES))
    paper.table(lay_out(paper.face, [head, *rows, mean]), last_is_sum=True)
    _head(paper, words["month_operating"])
    absent = {"resolution": "month_not_measured", "registration": "month_not_given"}
    services = []
    for entry in row["operating"]:
        hours = _say(entry.get("hours"), words, absent[entry["service"]])
        services.append((words[f"month_{entry['service']}"], hours, entry["of"]))
    paper.table(lay_out(paper.face, [(words["month_service"], words["month_hours"], words["month_of"]), *services]))
    for name in ("maintenance", "emergencies"):
        _head(paper, words[f"month_{name}"])
        _draw_works(paper, row.get(name), words)
    _head(paper, words["month_remarks"])
    paper.notes([("", row.get("remarks") or words["month_not_given"])], 0.0)
    _head(paper, words["month_definitions"])
    paper.notes([(words[f"month_{name}"], words[f"month_{name}_is"]) for name in (*FIGURES, "hours")])
    return paper.finish()


def _head(paper: Paper, text: str) -> None:
    paper.y -= 10
    paper.heading(text, 10.0)


def _say(value: float | None, words: dict[str, str], absent: str = "month_not_measured") -> Cell:
    return words[absent] if value is None else float(value)


def _draw_works(paper: Paper, works: list[dict[str, str]] | None, words: dict[str, str]) -> None:
    """From, to, what; nothing given is not the same as none."""
    if not works:
        paper.notes([("", words["month_not_given" if works is None else "month_none"])], 0.0)
        return
    head = (words["month_from"], words["month_to"], words["month_what"])
    rows = [(_say_at(one["from"]), _say_at(one["to"]), one["what"]) for one in works]
    paper.table(lay_out(paper.face, [head, *rows]))


def _say_at(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(ZONE).strftime("%Y-%m-%d %H:%M")
