"""A table of figures as a PDF: what it is of, trend and rank, the table with its sums, the definitions."""

from node.charts import draw_trend
from node.definitions import name_column
from node.pdf_font import load_font
from node.pdf_paper import CHART_HEIGHT, MARGIN, Face, Paper, choose_size, lay_out
from node.statistics import AT_END, LEVELS
from node.statistics_files import list_definitions, list_facts, list_rows, rank_rows
from node.statistics_tables import Table
from node.wording import say
from schemas.texts.figure_pages import PAGES
from schemas.texts.statistics import LABELS

CHARTED = ("resolutions", "registered_new")


def make_pdf(table: Table, days: Table | None, language: str) -> bytes:
    """`days`: the same by day, if the table is not. Raises Unavailable where there is no font."""
    font = load_font()
    days = table if table.question.by == "day" else days
    rows = list(list_rows(table, language))
    title = name_table(table, language)
    cells = lay_out(Face(font), rows)
    paper = Paper(font, title, language, choose_size(cells))
    paper.heading(title)
    paper.notes(list_facts(table, language))
    paper.y -= 8
    for measure in CHARTED:
        _draw_charts(paper, table, days, measure, language)
    paper.table(cells, last_is_sum=True)
    paper.heading(say(LABELS["definitions"], language), 10.0)
    paper.notes(list_definitions(table, language))
    return paper.finish()


def name_table(table: Table, language: str) -> str:
    """Such as “Figures by industry section, 2024-01-01 – 2024-06-30”."""
    by, level = table.question.by, table.question.level
    grouped = f"{by}_{level or LEVELS[by][-1]}" if by in LEVELS else by
    first = table.question.first.isoformat() if table.question.first else say(LABELS["since_beginning"], language)
    name = say(PAGES[f"by_{grouped}"], language).lower()
    return say(LABELS["pdf_title"], language, by=name, first=first, last=table.question.last)


def _draw_charts(paper: Paper, table: Table, days: Table | None, measure: str, language: str) -> None:
    """Trend to the left, rank to the right; neither where there is a single point."""
    trend = draw_trend(days.rows, measure, at_end=measure in AT_END) if days is not None and days.rows else None
    ranked = rank_rows(table, measure, language)
    if trend is None and not ranked:
        return
    paper.need(CHART_HEIGHT + 8)
    half, name = (paper.inner - 28) / 2, name_column(measure, language)
    if trend is not None:
        step = say(PAGES[f"fig_step_{trend.step}"], language)
        paper.trend(trend, say(PAGES["fig_trend"], language, name=name, step=step), (MARGIN, half))
    if ranked:
        title = say(PAGES["fig_rank"], language, name=name)
        paper.rank(ranked, title, (MARGIN + half + 28, half))
    paper.y -= CHART_HEIGHT + 8
