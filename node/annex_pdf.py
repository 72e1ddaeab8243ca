"""A plan as a PDF: the sheet of its annex in the annex's rows and order, targets as bars, what stands beside it."""

from node.annex import Annex, list_notes, list_rows, say_value
from node.charts import draw_progress
from node.pdf_font import load_font
from node.pdf_paper import Face, Paper, choose_size, lay_out
from node.plan_progress import Group, Progress
from node.plan_views import name_indicator, name_measure
from node.wording import say
from schemas.texts.figure_pages import PAGES
from schemas.texts.plans import LABELS
from schemas.texts.statistics import LABELS as FIGURE_LABELS

HEAD_NOTES = 4  # plan, day, time of the figures, status: they stand above the sheet


def make_annex_pdf(annex: Annex, language: str) -> bytes:
    """Raises Unavailable where there is no font."""
    font, rows, notes = load_font(), list_rows(annex.view, language), list_notes(annex, language)
    title = f"{annex.view.plan.name} · {say(LABELS['annex'], language)}"
    cells = lay_out(Face(font), rows)
    paper = Paper(font, title, language, choose_size(cells))
    paper.heading(title)
    paper.notes(notes[:HEAD_NOTES])
    paper.y -= 8
    if len(rows) > 1:
        paper.table(cells)
    paper.heading(say(PAGES["plan_progress"], language), 10.0)
    for group in annex.view.groups:
        _draw_group(paper, group, language)
    paper.heading(say(FIGURE_LABELS["definitions"], language), 10.0)
    paper.notes(notes[HEAD_NOTES:])
    return paper.finish()


def _draw_group(paper: Paper, group: Group, language: str) -> None:
    first = group.first
    measure = name_measure(first.counted_in, language)
    begin = first.period_start.isoformat() if first.period_start else say(LABELS["since_beginning"], language)
    name = name_indicator(first.indicator, language)
    paper.need(40)
    paper.notes([(f"{name} [{measure}]", f"{begin} – {first.deadline}")], 260.0)
    for row in group.rows:
        _draw_row(paper, row, language)
    paper.y -= 6


def _draw_row(paper: Paper, row: Progress, language: str) -> None:
    """The same bar, words and colours as on the page of the plan."""
    target, expected = row.target, row.forecast
    known = "unknown" if row.met is None else "met" if row.met else "missed"
    state = "plan_not_begun" if row.state == "not_begun" else f"plan_{row.state}_{known}"
    tone = {"met": "good", "missed": "bad" if row.state == "ended" else "info"}.get(known, "")
    value = say_value(row, language)
    shown = f"{value:,}" if isinstance(value, int) else value
    sign = "≥" if target.comparison == ">=" else ">"
    bar = draw_progress(target.target, row.value, None if expected is None else expected.value)
    paper.progress(target.area, (f"{shown} / {sign} {target.target:,}", say(PAGES[state], language)), bar, tone)
